package statuscmd

import (
	"math"
	"testing"
	"time"
)

func mustParse(t testing.TB, text string, at time.Time) *sample {
	t.Helper()
	s, err := parse([]byte(text), at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSample(t *testing.T) {
	s := mustParse(t, `# TYPE a counter
a{x="1",y="1"} 2
a{x="1",y="2"} 3
a{x="2",y="1"} 5
# TYPE b gauge
b 7
`, time.Time{})
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
		ok     bool
	}{
		{"a", nil, 10, true}, {"a", []string{"x", "1"}, 5, true}, {"a", []string{"x", "1", "y", "2"}, 3, true}, {"a", []string{"x", "3"}, 0, false},
		{"a", []string{"z", "1"}, 0, false}, {"b", nil, 7, true}, {"c", nil, 0, false},
	} {
		if got, ok := s.value(tt.name, tt.labels...); got != tt.want || ok != tt.ok || s.sum(tt.name, tt.labels...) != tt.want {
			t.Errorf("%s %v: %v %v", tt.name, tt.labels, got, ok)
		}
	}
	var none *sample
	if _, ok := none.value("a"); ok {
		t.Error("no sample has a value")
	}
	if _, err := parse([]byte("<html>"), time.Time{}); err == nil {
		t.Error("a page is metrics")
	}
}

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	for name, tt := range map[string]struct {
		q           float64
		before, now map[float64]float64
		want        float64
		ok          bool
	}{
		"nothing":            {.5, nil, nil, 0, false},
		"nothing new":        {.5, map[float64]float64{1: 3, inf: 3}, map[float64]float64{1: 3, inf: 3}, 0, false},
		"within a bucket":    {.5, nil, map[float64]float64{1: 0, 2: 10, inf: 10}, 1.5, true},
		"first bucket":       {.5, nil, map[float64]float64{2: 10, inf: 10}, 1, true},
		"end of a bucket":    {.5, nil, map[float64]float64{1: 5, 2: 10, inf: 10}, 1, true},
		"above all buckets":  {.99, nil, map[float64]float64{1: 5, 2: 5, inf: 10}, 2, true},
		"only what is new":   {.5, map[float64]float64{1: 100, 2: 100, inf: 100}, map[float64]float64{1: 100, 2: 110, inf: 110}, 1.5, true},
		"after a restart":    {.5, map[float64]float64{1: 100, 2: 100, inf: 100}, map[float64]float64{1: 0, 2: 10, inf: 10}, 1.5, true},
		"only the last one":  {.5, nil, map[float64]float64{inf: 4}, 0, true},
		"no buckets but one": {.5, nil, map[float64]float64{1: 2}, 0, false},
	} {
		if got, ok := quantile(tt.q, grown(tt.before, tt.now)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
}

// Whatever a node answers, it is read or refused.
func FuzzSample(f *testing.F) {
	f.Add([]byte("lockstep_sealed 1\n"), []byte("lockstep_sealed 0\n"))
	f.Add([]byte(wellText), []byte(wellText))
	f.Add([]byte("# TYPE lockstep_request_duration_seconds histogram\nlockstep_request_duration_seconds_bucket{le=\"NaN\"} NaN\n"), []byte("lockstep_lag_seconds -Inf\n"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		before, err := parse(one, time.Unix(1, 0))
		now, err2 := parse(two, time.Unix(2, 0))
		if err != nil || err2 != nil {
			return
		}
		compare([]reading{{"a", before, nil}}, []reading{{"a", now, nil}})
		n := &reported{Node: wellNode("node-0"), Metrics: tell(now), sample: now}
		(&report{Nodes: []*reported{n}}).judge(time.Unix(2, 0))
	})
}
