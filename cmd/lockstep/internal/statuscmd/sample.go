package statuscmd

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// sample is a node's metrics at one time. A nil sample has none.
type sample struct {
	at       time.Time
	families map[string]*dto.MetricFamily
}

// parse reads Prometheus's text format.
func parse(text []byte, at time.Time) (*sample, error) {
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("what the node answered is no metrics")
	}
	return &sample{at, families}, nil
}

// each calls f for every series of a metric that has all of these labels, given as name and value in turn.
func (s *sample) each(name string, f func(*dto.Metric), labels ...string) {
	if s == nil {
		return
	}
	for _, m := range s.families[name].GetMetric() {
		have := 0
		for _, l := range m.GetLabel() {
			for i := 0; i+1 < len(labels); i += 2 {
				if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
					have += 2
				}
			}
		}
		if have == len(labels) {
			f(m)
		}
	}
}

// sum adds up the series of a gauge or counter that have all of these labels.
func (s *sample) sum(name string, labels ...string) (total float64) {
	s.each(name, func(m *dto.Metric) { total += number(m) }, labels...)
	return total
}

// value is sum where there is such a series; ok is false where there is none.
func (s *sample) value(name string, labels ...string) (v float64, ok bool) {
	s.each(name, func(m *dto.Metric) { v, ok = v+number(m), true }, labels...)
	return v, ok
}

func number(m *dto.Metric) float64 { return m.GetGauge().GetValue() + m.GetCounter().GetValue() }

// label returns the value of a label of a series.
func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// buckets adds up the classic buckets of a histogram, by upper bound: how many observations were not above it.
func (s *sample) buckets(name string, labels ...string) map[float64]float64 {
	all := map[float64]float64{}
	s.each(name, func(m *dto.Metric) {
		for _, b := range m.GetHistogram().GetBucket() {
			all[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
	}, labels...)
	return all
}

// increase is what a counter grew by. One that fell began anew when the node was restarted.
func increase(before, now float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

// grown is what the buckets of a node's histogram grew by. When the node was restarted all of them began anew, also those that
// have passed their earlier counts again.
func grown(before, now map[float64]float64) map[float64]float64 {
	counts := map[float64]float64{}
	anew := false
	for bound, n := range now {
		anew = anew || n < before[bound]
	}
	for bound, n := range now {
		if counts[bound] = n; !anew {
			counts[bound] -= before[bound]
		}
	}
	return counts
}

// quantile estimates a quantile of what was observed, counted in a histogram's buckets, as Prometheus does: by a straight line
// within a bucket. ok is false when nothing was observed.
func quantile(q float64, counts map[float64]float64) (v float64, ok bool) {
	rank := q * counts[math.Inf(1)]
	if !(rank > 0) {
		return 0, false
	}
	lower, below := 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(counts)) {
		if counts[bound] < rank {
			lower, below = bound, counts[bound]
			continue
		}
		if math.IsInf(bound, 1) || counts[bound] <= below {
			return lower, true
		}
		return lower + (bound-lower)*(rank-below)/(counts[bound]-below), true
	}
	return lower, true
}
