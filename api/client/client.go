// Package client is the Go client of Lockstep's REST door.
//
// It fails over between the addresses of one cluster and repeats only what is safe to repeat: what
// was never sent, what only reads or computes, and writes, which carry an idempotency key of their
// own. What concerns one node (health, seal status, init, unseal, seal) goes to the first address,
// unless it was asked to reach the whole cluster. The invariant that would hurt: init, unseal and
// cancel are never sent twice.
package client

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
)

// The messages of the system routes.
type (
	Health        = wire.HealthAnswer
	SealStatus    = wire.SealStatus
	InitRequest   = wire.InitRequest
	InitAnswer    = wire.InitAnswer
	UnsealRequest = wire.UnsealRequest
	UnsealAnswer  = wire.UnsealAnswer
)

// Config is what New needs. Only Addrs must be set.
type Config struct {
	Addrs           []string // base URLs, "https://node1:8200"
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string        // of a session; it is sent as bearer token, instead of the access key
	Region          string        // "" means the first region that the cluster serves
	TLS             *tls.Config   // nil means the system's roots
	HTTP            *http.Client  // nil means one of the client's own, with TLS
	Timeout         time.Duration // of one attempt, default 15 s; wait=all adds what it waits
	Attempts        int           // in all, over all addresses; 1 never repeats. Default: each address twice
	UserAgent       string
}

// Client calls one cluster. It is safe for concurrent use.
type Client struct {
	cfg    Config
	nodes  []*node
	last   atomic.Int32            // position of the node that answered last
	routes map[string][]wire.Route // by name
}

// node is one address.
type node struct {
	base string
	at   int // position in Client.nodes
}

// Error is a refusal or failure that a node answered. It unwraps to the *kms.Error.
type Error struct {
	Err       *kms.Error // code, message, reason and when to retry
	Status    int
	RequestID string // finds the request in the node's log and audit
	Addr      string // of the node that answered
}

// Error returns the message with its code and request id.
func (e *Error) Error() string {
	return fmt.Sprintf("%s (%s, request %s)", e.Err.Message, e.Err.Code, e.RequestID)
}

// Unwrap returns the *kms.Error.
func (e *Error) Unwrap() error { return e.Err }

// New returns a Client. It does not connect.
func New(c Config) (*Client, error) {
	if len(c.Addrs) == 0 {
		return nil, errors.New("client: no address")
	}
	cl := &Client{cfg: c, routes: map[string][]wire.Route{}}
	for _, rt := range wire.Routes() {
		cl.routes[rt.Name] = append(cl.routes[rt.Name], rt)
	}
	for i, addr := range c.Addrs {
		u, err := url.Parse(addr)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("client: %q is not an http or https URL", addr)
		}
		cl.nodes = append(cl.nodes, &node{at: i, base: strings.TrimRight(u.Scheme+"://"+u.Host+u.EscapedPath(), "/")})
	}
	if cl.cfg.Timeout <= 0 {
		cl.cfg.Timeout = 15 * time.Second
	}
	if cl.cfg.Attempts <= 0 {
		cl.cfg.Attempts = 2 * len(cl.nodes)
	}
	if cl.cfg.UserAgent == "" {
		cl.cfg.UserAgent = "lockstep-client"
	}
	if cl.cfg.HTTP == nil {
		cl.cfg.HTTP = &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
				TLSClientConfig:     c.TLS,
				TLSHandshakeTimeout: 5 * time.Second,
				MaxIdleConnsPerHost: 256,
				IdleConnTimeout:     90 * time.Second,
				ForceAttemptHTTP2:   true,
			},
			// The door never redirects, and credentials must not follow one.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return cl, nil
}

// Meta is what an answer says besides its body.
type Meta struct {
	Addr      string // of the node that answered
	Index     string // EPOCH.INDEX of the state it saw
	RequestID string
	Awaiting  []string // with WaitAll and a limit: not nil when the limit came first; who may still honour the old state
	Attempts  int
}

// options are those of one call.
type options struct {
	idempotencyKey string
	minIndex       string
	wait           string
	timeout        time.Duration
	stale          bool
	meta           *Meta
}

// Option changes one call.
type Option func(*options)

// IdempotencyKey makes calls with the same key one write. Without it the client makes one up for each
// call that changes something.
func IdempotencyKey(key string) Option { return func(o *options) { o.idempotencyKey = key } }

// MinIndex asks for a state that is at least as new as an answer's Meta.Index.
func MinIndex(index string) Option { return func(o *options) { o.minIndex = index } }

// WaitAll answers when every member honours the change, at the longest after limit; 0 is no limit.
func WaitAll(limit time.Duration) Option {
	return func(o *options) { o.wait, o.timeout = "all", limit }
}

// WaitNone does not wait for other members.
func WaitNone() Option { return func(o *options) { o.wait = "none" } }

// Stale reads the node's own state without asking the leader.
func Stale() Option { return func(o *options) { o.stale = true } }

// WithMeta fills m when the call ends, failed or not.
func WithMeta(m *Meta) Option { return func(o *options) { o.meta = m } }

func collect(opts []Option) *options {
	o := &options{}
	for _, f := range opts {
		f(o)
	}
	if o.meta == nil {
		o.meta = &Meta{}
	}
	return o
}

// newKey returns an idempotency key that nobody else uses.
func newKey() string { return rand.Text() }
