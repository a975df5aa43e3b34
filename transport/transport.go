package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Channel is a use of the port, the name of its ALPN protocol.
type Channel string

// The channels.
const (
	ChannelRaft   Channel = "lockstep-raft/1"
	ChannelRPC    Channel = "lockstep-rpc/1"
	ChannelGossip Channel = "lockstep-gossip/1"
)

// ProtocolVersion is the version of the hello and of the frames that this package speaks.
const ProtocolVersion = 1

const (
	defaultMaxFrame  = 1 << 20
	maxMaxFrame      = 16 << 20
	defaultMaxCalls  = 1024
	defaultKeepAlive = time.Second

	handshakeTimeout = 5 * time.Second // of an accepted connection: TLS and hello
	dialTimeout      = 3 * time.Second // of a call connection: TCP, TLS and hello
	maxHandshakes    = 256             // accepted connections that are not past the hello
	acceptBackoff    = 50 * time.Millisecond
)

// Hello is what a node says of itself when a stream opens.
type Hello struct {
	Protocol     uint32 // filled in by the transport
	FeatureLevel uint32
	ClusterID    string // hex; "" before init
	NodeID       string // the incarnation
	Name         string // filled in by the transport; equals the name in the certificate
	APIAddr      string
	PeerAddr     string
	Version      string
	Extensions   uint32 // what the node understands beyond the protocol; filled in by the transport
}

// Peer is a node at the other end of a stream, as it was when the stream opened.
type Peer struct {
	Hello
	KeyHash [32]byte // SHA-256 of the certificate's SubjectPublicKeyInfo
	Channel Channel
	Dialed  bool // this node dialed
}

// Config makes a Transport. Cert, CA, Name, Local and one of Listen and Listener are required.
type Config struct {
	Listen   string       // TCP address to listen on; unused when Listener is set
	Listener net.Listener // closed by Close
	Cert     tls.Certificate
	CA       *x509.CertPool
	Name     string // this node's name, equal to the name in Cert

	// Local says what to tell of this node; called for each stream.
	Local func() Hello
	// Check accepts or refuses a peer whose certificate and name are right: removed and replaced
	// incarnations, another cluster id. The error's text, cut at 512 bytes, goes to the peer, and its
	// code if it has a method RPCCode() string. It is called for each stream, concurrently, and must
	// not block. Nil accepts every node of the CA.
	Check func(Peer) error
	// Resolve gives host:port of a node, asked at each dial. Nil knows no node.
	Resolve func(name string) (addr string, err error)
	// Dial connects; nil is net.Dialer.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	MaxFrame  int           // largest payload of a call, in bytes; 0 is 1 MiB, at most 16 MiB
	MaxCalls  int           // calls in flight per peer and direction; 0 is 1024
	KeepAlive time.Duration // between pings on a silent call connection; three unanswered close it; 0 is 1 s
	Logger    *slog.Logger  // nil discards

	older bool // for tests: it says nothing of extensions, as earlier releases
}

// Stats counts what a Transport has done since New.
type Stats struct {
	CallsSent   uint64 // requests queued to a connection
	CallsServed uint64 // requests given to a handler
	Dials       uint64 // streams dialed whose hello both sides accepted
	Accepts     uint64 // streams accepted, likewise
	Refused     uint64 // streams that failed at TLS or that either side refused at the hello
	Streams     int    // open now
}

// Transport is one node's end of the cluster's network. Safe for concurrent use.
type Transport struct {
	cfg       Config
	log       *slog.Logger
	listener  net.Listener
	serverTLS *tls.Config
	quiet     *throttle
	raft      *raftLayer

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	tasks      sync.WaitGroup
	handshakes chan struct{} // a token for each accepted connection that is not past the hello

	callsSent, callsServed, dials, accepts, refused atomic.Uint64

	gossip atomic.Pointer[gossipNet]

	mu       sync.Mutex
	closed   bool                 // guarded by mu
	cut      bool                 // guarded by mu: Raft streams are refused
	streams  map[*stream]struct{} // guarded by mu
	handlers map[string]Handler   // guarded by mu
	callers  map[string]*caller   // guarded by mu
}

// New listens and serves. Until a method has a handler, calls to it are answered CodeUnknownMethod.
func New(cfg Config) (*Transport, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	listener := cfg.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, fmt.Errorf("transport: %w", err)
		}
	}
	t := &Transport{
		cfg:        cfg,
		log:        cfg.Logger,
		listener:   listener,
		quiet:      newThrottle(),
		handshakes: make(chan struct{}, maxHandshakes),
		streams:    map[*stream]struct{}{},
		handlers:   map[string]Handler{},
		callers:    map[string]*caller{},
	}
	t.serverTLS = t.newServerTLS()
	t.raft = newRaftLayer(t)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.tasks.Go(t.listen)
	return t, nil
}

// complete fills defaults in and refuses what no peer would accept.
func (c *Config) complete() error {
	switch {
	case c.CA == nil || c.Local == nil || len(c.Cert.Certificate) == 0:
		return errors.New("transport: CA, certificate and Local are required")
	case c.MaxFrame < 0 || c.MaxFrame > maxMaxFrame:
		return fmt.Errorf("transport: the frame limit must be at most %d bytes", maxMaxFrame)
	case c.MaxCalls < 0 || c.KeepAlive < 0:
		return errors.New("transport: limits cannot be negative")
	}
	if c.MaxFrame == 0 {
		c.MaxFrame = defaultMaxFrame
	}
	if c.MaxCalls == 0 {
		c.MaxCalls = defaultMaxCalls
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = defaultKeepAlive
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Resolve == nil {
		c.Resolve = func(name string) (string, error) { return "", fmt.Errorf("no address for node %s", name) }
	}
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	return c.checkCert()
}

// checkCert applies the peers' own rules to this node's certificate, so that a wrong one is named at
// the start and not by every peer.
func (c *Config) checkCert() error {
	chain := make([]*x509.Certificate, len(c.Cert.Certificate))
	for i, der := range c.Cert.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("transport: this node's certificate: %w", err)
		}
		chain[i] = cert
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		name, err := verifyNode(chain, c.CA, usage)
		if err != nil {
			return fmt.Errorf("transport: this node's certificate: %w", err)
		}
		if name != c.Name {
			return fmt.Errorf("transport: this node's certificate names node %q, but the node is %q", name, c.Name)
		}
	}
	return nil
}

// Addr is the address listened on.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

// Close closes the port and every stream and waits for the running handlers, whose context it cancels.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	open := t.openStreams(func(*stream) bool { return true })
	t.mu.Unlock()

	t.cancel()
	err := t.listener.Close()
	for _, s := range open {
		_ = s.Close()
	}
	t.tasks.Wait()
	return err
}

// Stats returns the counters.
func (t *Transport) Stats() Stats {
	t.mu.Lock()
	open := len(t.streams)
	t.mu.Unlock()
	return Stats{
		CallsSent:   t.callsSent.Load(),
		CallsServed: t.callsServed.Load(),
		Dials:       t.dials.Load(),
		Accepts:     t.accepts.Load(),
		Refused:     t.refused.Load(),
		Streams:     open,
	}
}

// Recheck asks Check about every open stream and closes those that it refuses or whose certificate
// has expired. To be called when membership changed.
func (t *Transport) Recheck() {
	t.mu.Lock()
	open := t.openStreams(func(*stream) bool { return true })
	t.mu.Unlock()
	for _, s := range open {
		err := checkPeer(s.peer, s.peer.Name, t.cfg.Name, t.cfg.Check)
		if err == nil && time.Now().After(s.expires) {
			err = errors.New("its certificate has expired")
		}
		if err != nil {
			t.log.Warn("closing a stream", "peer", s.peer.Name, "channel", s.peer.Channel, "error", err)
			_ = s.Close()
		}
	}
}

// openStreams lists the open streams that want accepts. t.mu is held.
func (t *Transport) openStreams(want func(*stream) bool) []*stream {
	var open []*stream
	for s := range t.streams {
		if want(s) {
			open = append(open, s)
		}
	}
	return open
}

// spawn runs f in a goroutine that Close waits for; false after Close.
func (t *Transport) spawn(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.tasks.Go(f)
	return true
}

func (t *Transport) listen() {
	for {
		raw, err := t.listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil {
				return
			}
			t.log.Error("accepting a peer connection", "error", err)
			if !pause(t.ctx, acceptBackoff) {
				return
			}
			continue
		}
		select {
		case t.handshakes <- struct{}{}:
		default:
			_ = raw.Close()
			continue
		}
		if !t.spawn(func() { t.serve(raw) }) {
			_ = raw.Close()
		}
	}
}

// serve takes an accepted connection through the handshake to who uses its channel.
func (t *Transport) serve(raw net.Conn) {
	s, err := t.accept(raw)
	<-t.handshakes
	if err != nil {
		_ = raw.Close()
		t.refused.Add(1)
		if t.ctx.Err() == nil && t.quiet.allow(hostOf(raw.RemoteAddr())) {
			t.log.Warn("a peer connection was refused", "from", raw.RemoteAddr(), "error", err)
		}
		return
	}
	t.accepts.Add(1)
	switch s.peer.Channel {
	case ChannelRaft:
		t.raft.offer(s)
	case ChannelRPC:
		t.serveCalls(s)
	case ChannelGossip:
		t.serveGossip(s)
	}
}

// pause waits, false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return host
}

// throttle lets one line per subject and period through, so that a peer that keeps knocking does
// not fill the log.
type throttle struct {
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

const (
	throttlePeriod   = 10 * time.Second
	throttleSubjects = 256
)

func newThrottle() *throttle { return &throttle{last: map[string]time.Time{}} }

func (q *throttle) allow(subject string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if last, known := q.last[subject]; known && now.Sub(last) < throttlePeriod {
		return false
	}
	if len(q.last) >= throttleSubjects {
		clear(q.last)
	}
	q.last[subject] = now
	return true
}
