package lab

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/here" || string(body) != "text" || r.Header.Get("Authorization") != "Basic aWQ6c2VjcmV0" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(http.StatusCreated)
		w.Write(body)
	}))
	defer server.Close()
	l := Load{Status: http.StatusCreated, PIDs: []int{os.Getpid()}, Connections: 2, Duration: 100 * time.Millisecond}
	run := func(path string) *Result {
		t.Helper()
		var err error
		if l.Address, l.Request, err = NewRequest(server.URL+path, "text", Credential{"id", "secret"}.Header()); err != nil {
			t.Fatal(err)
		}
		r, err := l.Run()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var varied atomic.Uint64
	l.Vary = func(r Request, n uint64) { varied.Store(n) }
	if r := run("/here"); r.Requests == 0 || r.Failed != 0 || r.PerSecond <= 0 || r.P50 <= 0 || r.P99 < r.P50 || varied.Load() < uint64(r.Requests) {
		t.Errorf("%+v", r)
	}
	l.Limit, l.Duration = 10, time.Hour
	if r := run("/here"); r.Requests != 10 {
		t.Errorf("limited: %+v", r)
	}
	l.Limit, l.Duration = 0, 100*time.Millisecond
	if r := run("/elsewhere"); r.Failed == 0 || r.Requests != 0 || r.Refused[http.StatusTeapot] != r.Failed || !strings.Contains(r.FirstError, "418") {
		t.Errorf("other answers: %+v", r)
	}
	server.Close()
	if r := run("/here"); r.Failed != 2 || r.Requests != 0 {
		t.Errorf("no server: %+v", r)
	}
	l.Connections = 0
	if _, err := l.Run(); err == nil {
		t.Error("a load without connections was accepted")
	}
}

func TestNewRequestRefuses(t *testing.T) {
	for _, url := range []string{"https://localhost:1/", "http://localhost/", "localhost:80"} {
		if _, _, err := NewRequest(url, ""); err == nil {
			t.Errorf("%q was accepted", url)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, tt := range []struct {
		of   []time.Duration
		p    int
		want time.Duration
	}{{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred[:1], 50, 1}, {hundred[:1], 99, 1}, {hundred[:3], 50, 2}, {hundred[:2], 0, 1}} {
		if got := percentile(tt.of, tt.p); got != tt.want {
			t.Errorf("percentile %d of %d values is %d, want %d", tt.p, len(tt.of), got, tt.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0 100 1000 10\n"
	for _, name := range []string{"(floor)", "(a b)", "(a) S 1 (b))"} {
		if got, err := parseStat([]byte("42 " + name + rest)); err != nil || got != 2*time.Second {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "42 (floor) S 1", "42 (floor)" + strings.Replace(rest, "150", "x", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if _, err := CPUTime(os.Getpid()); err != nil {
		t.Error(err)
	}
}

func TestParseStatus(t *testing.T) {
	m, err := parseStatus("Name:\tx\nVmRSS:\t  9 kB\nRssAnon:\t    5 kB\nRssFile:\t 4 kB\n")
	if err != nil || m != (Memory{5 << 10, 4 << 10}) {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{"", "RssAnon:\t5 kB\n", "RssAnon:\tx kB\nRssFile:\t4 kB\n"} {
		if _, err := parseStatus(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if m, err := MemoryOf(os.Getpid()); err != nil || m.Anonymous == 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestFigures(t *testing.T) {
	if got := Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v", got)
	}
	if got := Summarize([]time.Duration{3, 1, 2}); got != (Summary{3, 2, 3, 3}) {
		t.Errorf("%+v", got)
	}
	if got := Summarize(nil); got != (Summary{}) {
		t.Errorf("%+v", got)
	}
	if got, err := Fsync(t.TempDir(), 3); err != nil || got.N != 3 || got.P50 <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
