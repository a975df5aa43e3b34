package metrics

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	scrapesAtOnce = 4
	scrapeTimeout = 10 * time.Second
)

// Handler serves the metrics in the form that the scraper asks for: Prometheus's text, OpenMetrics, or its protocol buffers,
// which alone carry native histograms; compressed with gzip if it is taken. A few scrapes run at a time; another one, and one
// that takes too long, is answered 503.
func (m *Metrics) Handler(logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(logger.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError, // what can be told of an unwell node is told
		OfferedCompressions: []promhttp.Compression{promhttp.Identity, promhttp.Gzip},
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTimeout,
		EnableOpenMetrics:   true,
	})
}
