package door

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gorilla/mux"
)

// Config bounds a door. The zero value is usable.
type Config struct {
	// Index returns the epoch and index of the node's state, for answers that saw none themselves.
	Index       func() (epoch, index uint64)
	Logger      *slog.Logger
	BodyLimit   int64         // bytes of a request body, default 1 MiB
	BodyTimeout time.Duration // for a whole request body, default 10 s
	LargeBodies int           // requests at a time with a body over 64 KiB, default 32
}

// Door is the edge that all HTTP doors of one node share. Immutable after New.
type Door struct {
	cfg Config
}

// New returns a Door.
func New(c Config) *Door { return &Door{cfg: c} }

// Router returns an empty router on which doors mount their routes.
func (d *Door) Router() *mux.Router { return mux.NewRouter().UseEncodedPath().SkipClean(true) }

// Handler puts the checks that come before any route in front of next.
func (d *Door) Handler(next http.Handler) http.Handler { return next }

// Server returns an http.Server for h with the time and size limits of a door; the caller sets TLS
// and listens.
func Server(h http.Handler, logger *slog.Logger) *http.Server { return &http.Server{Handler: h} }
