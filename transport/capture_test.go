package transport

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// tap keeps every byte that crosses the connections it made.
type tap struct {
	mu   sync.Mutex
	seen []byte // guarded by mu
}

func (p *tap) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	return tapped{conn, p}, err
}

func (p *tap) keep(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, b...)
}

func (p *tap) contains(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.seen, b)
}

func (p *tap) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

type tapped struct {
	net.Conn
	p *tap
}

func (c tapped) Write(b []byte) (int, error) {
	c.p.keep(b)
	return c.Conn.Write(b)
}

func (c tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.p.keep(b[:n])
	return n, err
}

// No channel shows its content, nor a hello, to who watches the wire. (Names of nodes may show only
// inside TLS too: TLS 1.3 encrypts certificates.)
func TestWireShowsNothing(t *testing.T) {
	const canary = "CANARY-a7f3e1"
	n := newNetwork(t)
	wire := &tap{}
	hello := func(name string) func() Hello {
		return func() Hello {
			h := helloOf(name)
			h.APIAddr = canary
			return h
		}
	}
	start := func(name string, seeds ...string) (*Transport, *Gossip) {
		cfg := n.config(name)
		cfg.Dial = wire.dial
		cfg.Local = hello(name)
		node := n.start(cfg)
		g, err := NewGossip(node, GossipConfig{
			Name: name, Advertise: n.seed(name), Meta: []byte(canary),
			Seeds: func() []string { return seeds }, quick: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.Close() })
		return node, g
	}
	a, gossipA := start("canary-a7f3e1")
	b, _ := start("b", "canary-a7f3e1="+n.seed("canary-a7f3e1"))
	b.Handle("echo", echo)
	for range 3 {
		if answer, err := a.Call(within(t), "b", "echo", []byte(canary)); err != nil || string(answer) != canary {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	eventually(t, "gossip has crossed", func() bool { return len(gossipA.Members()) == 2 })

	received := make(chan string, 1)
	go func() {
		conn, err := b.RaftLayer().Accept()
		if err != nil {
			return
		}
		got := make([]byte, len(canary))
		_, _ = io.ReadFull(conn, got)
		received <- string(got)
	}()
	conn, err := a.RaftLayer().Dial("b", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, canary); err != nil {
		t.Fatal(err)
	}
	if got := <-received; got != canary {
		t.Fatalf("raft received %q", got)
	}
	if wire.size() < 4096 {
		t.Fatalf("only %d bytes were seen: the tap is not on the wire", wire.size())
	}
	for _, secret := range []string{canary, "canary-a7f3e1", "id-of-b"} {
		if wire.contains([]byte(secret)) {
			t.Errorf("%q is on the wire", secret)
		}
	}
	// The tap sees what is not encrypted: the ALPN offer is.
	if !wire.contains([]byte(ChannelRPC)) {
		t.Error("the tap is blind")
	}
}
