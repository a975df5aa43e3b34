package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// network is a set of nodes of one CA that find each other by name.
type network struct {
	t  testing.TB
	ca *CA

	mu    sync.Mutex
	addrs map[string]string // guarded by mu
}

func newNetwork(t testing.TB) *network {
	t.Helper()
	ca, err := NewCA("test", Validity{})
	if err != nil {
		t.Fatal(err)
	}
	return &network{t: t, ca: ca, addrs: map[string]string{}}
}

func (n *network) resolve(name string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr, ok := n.addrs[name]
	if !ok {
		return "", fmt.Errorf("nobody knows %s", name)
	}
	return addr, nil
}

func (n *network) place(name, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs[name] = addr
}

func (n *network) cert(name string) tls.Certificate {
	n.t.Helper()
	return nodeCert(n.t, n.ca, name, Validity{})
}

func nodeCert(t testing.TB, ca *CA, name string, v Validity) tls.Certificate {
	t.Helper()
	pair, err := ca.IssueNode(name, nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return certOf(t, pair)
}

func certOf(t testing.TB, pair *Pair) tls.Certificate {
	t.Helper()
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func helloOf(name string) Hello {
	return Hello{Protocol: ProtocolVersion, FeatureLevel: 1, NodeID: "id-of-" + name, Name: name, Version: "test"}
}

// config is what node uses, for a test to change.
func (n *network) config(name string) Config {
	n.t.Helper()
	return Config{
		Listen:  "127.0.0.1:0",
		Cert:    n.cert(name),
		CA:      n.ca.Pool(),
		Name:    name,
		Local:   func() Hello { return helloOf(name) },
		Resolve: n.resolve,
	}
}

// start runs a node until the test ends.
func (n *network) start(cfg Config) *Transport {
	n.t.Helper()
	node, err := New(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = node.Close() })
	n.place(cfg.Name, node.Addr().String())
	return node
}

func (n *network) node(name string) *Transport {
	n.t.Helper()
	return n.start(n.config(name))
}

func (n *network) nodes(names ...string) []*Transport {
	n.t.Helper()
	var nodes []*Transport
	for _, name := range names {
		nodes = append(nodes, n.node(name))
	}
	return nodes
}

// eventually polls ok for up to 20 s.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func echo(_ context.Context, _ Peer, payload []byte) ([]byte, error) { return payload, nil }

// lines collects log lines.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// valve is a network path that can swallow everything while staying open.
type valve struct {
	mu     sync.Mutex
	closed chan struct{} // guarded by mu; non-nil: reads wait for it and writes vanish
}

func (v *valve) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	return valveConn{conn, v}, err
}

// shut makes the path swallow; the connections of then stay so.
func (v *valve) shut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = make(chan struct{})
}

type valveConn struct {
	net.Conn
	v *valve
}

func (c valveConn) isShut() bool {
	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	return c.v.closed != nil
}

func (c valveConn) Write(b []byte) (int, error) {
	if c.isShut() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c valveConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.isShut() {
			return n, err
		}
	}
}
