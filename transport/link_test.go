package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A peer that comes back is called again at once, at its new address, however stale the connection.
func TestRedialAfterRestart(t *testing.T) {
	n := newNetwork(t)
	a := n.node("a")
	cert := n.cert("b")
	for round := range 20 {
		cfg := n.config("b")
		cfg.Cert = cert
		b := n.start(cfg)
		b.Handle("echo", echo)
		// Right after a restart the old connection may look alive still, and then a call on it is
		// answered "unknown" at worst; it never blocks the next.
		eventually(t, "an answer", func() bool {
			answer, err := a.Call(within(t), "b", "echo", []byte("x"))
			return err == nil && string(answer) == "x"
		})
		if dials := a.Stats().Dials; dials != uint64(round+1) {
			t.Fatalf("%d dials in round %d", dials, round)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// deadWriter is a connection whose next write fails after so many bytes.
type deadWriter struct {
	net.Conn
	armed *atomic.Bool
	after int
}

func (c deadWriter) Write(b []byte) (int, error) {
	if !c.armed.Load() {
		return c.Conn.Write(b)
	}
	n, _ := c.Conn.Write(b[:min(c.after, len(b))])
	return n, errors.New("connection reset by test")
}

// A request of which the connection did not take the end was not run, and is sent again on a new
// connection without the caller noticing.
func TestStaleConnectionIsRetried(t *testing.T) {
	for _, after := range []int{0, 5, 30} {
		n := newNetwork(t)
		var served atomic.Int32
		b := n.node("b")
		b.Handle("count", func(context.Context, Peer, []byte) ([]byte, error) { served.Add(1); return nil, nil })
		var armed atomic.Bool
		var dials atomic.Int32
		cfg := n.config("a")
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", addr)
			if dials.Add(1) > 1 {
				return conn, err
			}
			return deadWriter{conn, &armed, after}, err
		}
		a := n.start(cfg)
		for i := range 3 {
			if _, err := a.Call(within(t), "b", "count", nil); err != nil {
				t.Fatalf("cut at %d bytes, call %d: %v", after, i, err)
			}
			armed.Store(true)
		}
		if served.Load() != 3 || dials.Load() != 2 {
			t.Errorf("cut at %d bytes: %d served, %d dials", after, served.Load(), dials.Load())
		}
	}
}

// mortal is a connection that fails after so many writes.
type mortal struct {
	net.Conn
	writes *atomic.Int32
	limit  int32
}

func (c mortal) Write(b []byte) (int, error) {
	if c.writes.Add(1) > c.limit {
		return 0, errors.New("connection reset by test")
	}
	return c.Conn.Write(b)
}

// When a fresh connection dies too, the call fails and says that it was never sent.
func TestStaleConnectionIsRetriedOnce(t *testing.T) {
	n := newNetwork(t)
	b := n.node("b")
	b.Handle("echo", echo)
	var dials, writes atomic.Int32
	var limit atomic.Int32
	limit.Store(1000)
	cfg := n.config("a")
	cfg.KeepAlive = time.Hour // no ping among the counted writes
	cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if dials.Add(1) == 1 {
			return mortal{conn, &writes, 1000}, err
		}
		return mortal{conn, new(atomic.Int32), limit.Load()}, err
	}
	a := n.start(cfg)
	if _, err := a.Call(within(t), "b", "echo", nil); err != nil {
		t.Fatal(err)
	}
	limit.Store(writes.Load() - 1) // later connections get through the handshake and no further
	writes.Store(1000)
	if _, err := a.Call(within(t), "b", "echo", nil); !NeverRan(err) || !errors.Is(err, ErrDisconnected) {
		t.Errorf("%v", err)
	}
	if b.Stats().CallsServed != 1 || dials.Load() != 2 {
		t.Errorf("%d served, %d dials", b.Stats().CallsServed, dials.Load())
	}
}

// gated is a connection whose writes wait while the gate is shut.
type gated struct {
	net.Conn
	gate *sync.RWMutex
}

func (c gated) Write(b []byte) (int, error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	return c.Conn.Write(b)
}

// A call given up while its request waits behind a stuck write was never sent, and never will be.
func TestGivenUpInTheQueue(t *testing.T) {
	n := newNetwork(t)
	var gate sync.RWMutex
	cfg := n.config("a")
	cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		return gated{conn, &gate}, err
	}
	a, b := n.start(cfg), n.node("b")
	var served sync.Map
	b.Handle("note", func(_ context.Context, _ Peer, payload []byte) ([]byte, error) {
		served.Store(string(payload), true)
		return nil, nil
	})
	call := func(ctx context.Context, what string) chan error {
		result := make(chan error, 1)
		go func() {
			_, err := a.Call(ctx, "b", "note", []byte(what))
			result <- err
		}()
		return result
	}
	if err := <-call(within(t), "before"); err != nil {
		t.Fatal(err)
	}
	link := a.caller("b").current
	queued := func(n int) bool { link.mu.Lock(); defer link.mu.Unlock(); return len(link.queue) == n }
	gate.Lock()
	first := call(within(t), "stuck")
	eventually(t, "the first is being written", func() bool {
		link.mu.Lock()
		defer link.mu.Unlock()
		return len(link.pending) == 1 && len(link.queue) == 0
	})
	ctx, cancel := context.WithCancel(context.Background())
	second := call(ctx, "given up")
	eventually(t, "the second waits", func() bool { return queued(1) })
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) || !NeverRan(err) {
		t.Errorf("the second: %v", err)
	}
	gate.Unlock()
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
	if err := <-call(within(t), "after"); err != nil {
		t.Error(err)
	}
	if _, ran := served.Load("given up"); ran {
		t.Error("a call that was said never to have run ran")
	}
}

// A peer that has vanished without a word is found out by the pings, and the call says "unknown".
func TestSilentPeerIsFoundOut(t *testing.T) {
	n := newNetwork(t)
	path := &valve{}
	cfg := n.config("a")
	cfg.Dial = path.dial
	cfg.KeepAlive = 20 * time.Millisecond
	a, b := n.start(cfg), n.node("b")
	w := newWaiting()
	b.Handle("wait", w.handle)
	result := make(chan error, 1)
	go func() {
		_, err := a.Call(context.Background(), "b", "wait", nil)
		result <- err
	}()
	<-w.started
	path.shut()
	err := <-result
	if !errors.Is(err, errSilent) || !errors.Is(err, ErrDisconnected) || NeverRan(err) {
		t.Errorf("%v", err)
	}
	<-w.ended
}

// A quiet connection to a living peer stays.
func TestQuietConnectionStays(t *testing.T) {
	n := newNetwork(t)
	cfg := n.config("a")
	cfg.KeepAlive = 50 * time.Millisecond
	a, b := n.start(cfg), n.node("b")
	w := newWaiting()
	b.Handle("wait", w.handle)
	result := make(chan error, 1)
	go func() {
		_, err := a.Call(within(t), "b", "wait", nil)
		result <- err
	}()
	<-w.started
	tick := time.NewTicker(cfg.KeepAlive)
	defer tick.Stop()
	for range 3 * maxSilent {
		<-tick.C
	}
	close(w.release)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// A peer that breaks the frame format loses its connection, and its handlers are cancelled.
func TestBadFramesEndTheConnection(t *testing.T) {
	for what, bad := range map[string][]byte{
		"unknown kind":      appendHeader(nil, 99, 1, 0),
		"huge":              appendHeader(nil, frameRequest, 1, maxFrameBody+1),
		"answer":            appendHeader(nil, frameAnswer, 1, 0),
		"no method":         append(appendHeader(nil, frameRequest, 1, 5), 0, 0, 0, 0, 0),
		"id in use":         appendRequest(nil, 7, request{method: "wait"}),
		"long cancel":       appendHeader(nil, frameCancel, 7, 1),
		"cut in the middle": {frameRequest, 0, 0},
	} {
		t.Run(what, func(t *testing.T) {
			n := newNetwork(t)
			nodes := n.nodes("a", "b")
			w := newWaiting()
			nodes[1].Handle("wait", w.handle)
			s, err := nodes[0].dial(within(t), "b", "", ChannelRPC)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(append(appendRequest(nil, 7, request{method: "wait"}), bad...)); err != nil {
				t.Fatal(err)
			}
			<-w.started
			if what == "cut in the middle" {
				_ = s.Close()
			}
			<-w.ended
			eventually(t, "the connection is closed", func() bool { return nodes[1].Stats().Streams == 0 })
			_ = s.Close()
		})
	}
}
