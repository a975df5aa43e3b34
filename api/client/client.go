// Package client is the Go client of Lockstep's REST door.
//
// It fails over between the addresses of one cluster and repeats only what is safe to repeat: what
// was never sent, what only reads, and writes, which carry an idempotency key of their own. The
// invariant that would hurt: init, unseal and cancel are never sent twice.
package client

import (
	"crypto/tls"
	"net/http"
	"time"
)

// Config is what New needs. Only Addrs must be set.
type Config struct {
	Addrs           []string // base URLs, "https://node1:8200"
	AccessKeyID     string
	SecretAccessKey string
	Region          string        // "" means the first region that the cluster serves
	TLS             *tls.Config   // nil means the system's roots
	HTTP            *http.Client  // nil means one of the client's own; then TLS is used
	Timeout         time.Duration // of one attempt, default 15 s
	Attempts        int           // in all, over all addresses; 1 never repeats. Default: every address twice
	UserAgent       string
}

// Client calls one cluster. It is safe for concurrent use.
type Client struct {
	cfg Config
}

// New returns a Client. It does not connect.
func New(c Config) (*Client, error) { return &Client{cfg: c}, nil }
