package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/rest"
	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// discard is a response writer that keeps nothing but the status.
type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// BenchmarkEncryptHandler is one encrypt request from the handler on, without net/http and Raft: for
// profiles and for counting allocations.
func BenchmarkEncryptHandler(b *testing.B) {
	sink, err := audit.OpenFile(filepath.Join(b.TempDir(), "audit"), audit.FileOptions{})
	if err != nil {
		b.Fatal(err)
	}
	cluster := servicetest.New(b)
	node := cluster.Node(servicetest.Options{Sink: sink})
	d := door.New(door.Config{})
	r := d.Router()
	rest.New(rest.Config{Service: node.Service, Door: d}).Mount(r)
	h, header := d.Handler(r), cluster.Root.Header()
	url := "http://127.0.0.1/v1/keys/" + node.CreateKey(cluster.Root) + "/encrypt"
	w, text := &discard{h: http.Header{}}, strings.NewReader("")
	b.ReportAllocs()
	for b.Loop() {
		text.Reset(body)
		q, err := http.NewRequest(http.MethodPost, url, io.NopCloser(text))
		if err != nil {
			b.Fatal(err)
		}
		q.Header, q.ContentLength, q.RemoteAddr = header, int64(len(body)), "127.0.0.1:49152"
		clear(w.h)
		if h.ServeHTTP(w, q); w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}
