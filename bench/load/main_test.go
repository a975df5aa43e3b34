package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMeasure(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/here" || string(body) != "text" || r.Header.Get("Authorization") != "Basic xyz" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Write(body)
	}))
	defer server.Close()
	o := options{url: server.URL + "/here", body: "text", basic: "Basic xyz", pid: os.Getpid(), connections: 2, duration: 100 * time.Millisecond}
	r, err := measure(o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests == 0 || r.Failed != 0 || r.PerSecond <= 0 || r.P50 <= 0 || r.P99 < r.P50 {
		t.Errorf("%+v", r)
	}
	o.url = server.URL + "/elsewhere"
	if r, err = measure(o); err != nil || r.Failed == 0 || !strings.Contains(r.FirstError, "418") {
		t.Errorf("other answers: %+v, %v", r, err)
	}
	server.Close()
	if r, err = measure(o); err != nil || r.Failed != 2 || r.Requests != 0 {
		t.Errorf("no server: %+v, %v", r, err)
	}
}

func TestRawRequestRefuses(t *testing.T) {
	for _, o := range []options{
		{url: "https://localhost:1/", connections: 1}, {url: "http://localhost/", connections: 1},
		{url: "localhost:80", connections: 1}, {url: "http://localhost:1/"},
	} {
		if _, _, err := rawRequest(o); err == nil {
			t.Errorf("%+v was accepted", o)
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
	if _, err := cpuTime(os.Getpid()); err != nil {
		t.Error(err)
	}
}
