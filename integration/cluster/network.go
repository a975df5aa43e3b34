package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
)

// Network is what nodes inside the test process dial each other through. It can cut any pair.
// Addresses are the nodes' peer addresses.
type Network struct {
	mu    sync.Mutex
	cut   map[[2]string]bool // guarded by mu; from, to
	conns map[*conn]struct{} // guarded by mu
}

type conn struct {
	net.Conn
	network  *Network
	from, to string
}

// NewNetwork returns a network without cuts.
func NewNetwork() *Network {
	return &Network{cut: map[[2]string]bool{}, conns: map[*conn]struct{}{}}
}

var errCut = errors.New("the test has cut this connection")

// DialFrom returns the dial function of the node at addr from.
func (w *Network) DialFrom(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		if w.isCut(from, to) {
			return nil, errCut
		}
		raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, network: w, from: from, to: to}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cut[[2]string{from, to}] {
			raw.Close()
			return nil, errCut
		}
		w.conns[c] = struct{}{}
		return c, nil
	}
}

func (w *Network) isCut(from, to string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[[2]string{from, to}]
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}

// Cut cuts a and b off from each other, connections that exist included.
func (w *Network) Cut(a, b *Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pair := range [][2]string{{a.peer, b.peer}, {b.peer, a.peer}} {
		w.cut[pair] = true
		for c := range w.conns {
			if c.from == pair[0] && c.to == pair[1] {
				c.Conn.Close()
			}
		}
	}
}

// Isolate cuts a node off from every other one.
func (w *Network) Isolate(n *Node) {
	for _, other := range n.c.Nodes {
		if other != n {
			w.Cut(n, other)
		}
	}
}

// Heal ends every cut.
func (w *Network) Heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cut)
}

func newTestLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
