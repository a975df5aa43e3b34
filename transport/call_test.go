package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/integration/freeport"
	"github.com/lockstep-kms/lockstep/trace"
)

func TestCallConcurrently(t *testing.T) {
	nodes := newNetwork(t).nodes("a", "b")
	a, b := nodes[0], nodes[1]
	// Answers come in the reverse of an order: each handler waits for the next one's.
	const calls = 200
	turn := make([]chan struct{}, calls+1)
	for i := range turn {
		turn[i] = make(chan struct{})
	}
	b.Handle("reverse", func(ctx context.Context, p Peer, payload []byte) ([]byte, error) {
		var i int
		if _, err := fmt.Sscan(string(payload), &i); err != nil {
			return nil, err
		}
		<-turn[i+1]
		close(turn[i])
		return append([]byte("answer "), payload...), nil
	})
	close(turn[calls])
	ctx := within(t)
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			answer, err := a.Call(ctx, "b", "reverse", fmt.Append(nil, i))
			if err != nil || string(answer) != fmt.Sprint("answer ", i) {
				t.Errorf("call %d: %q, %v", i, answer, err)
			}
		})
	}
	group.Wait()
	if got := a.Stats(); got.CallsSent != calls || got.Dials != 1 {
		t.Errorf("caller: %+v", got)
	}
	if got := b.Stats(); got.CallsServed != calls || got.Accepts != 1 {
		t.Errorf("server: %+v", got)
	}
}

// Both nodes call each other, large and small at once.
func TestCallBothWays(t *testing.T) {
	nodes := newNetwork(t).nodes("a", "b")
	for _, node := range nodes {
		node.Handle("echo", echo)
	}
	ctx := within(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			payload := bytes.Repeat([]byte{byte(i)}, 1+i*i*10_000)
			for range 5 {
				answer, err := nodes[i%2].Call(ctx, []string{"b", "a"}[i%2], "echo", payload)
				if err != nil || !bytes.Equal(answer, payload) {
					t.Errorf("%d bytes: %d, %v", len(payload), len(answer), err)
				}
			}
		})
	}
	group.Wait()
}

func TestCallErrors(t *testing.T) {
	n := newNetwork(t)
	cfg := n.config("b")
	log := &lines{}
	cfg.Logger = log.logger()
	b := n.start(cfg)
	a := n.node("a")
	b.Handle("coded", func(context.Context, Peer, []byte) ([]byte, error) {
		return nil, fmt.Errorf("outer: %w", coded{"no_quorum", "no leader"})
	})
	b.Handle("plain", func(context.Context, Peer, []byte) ([]byte, error) { return nil, errors.New("plain\nbad \x1b[2J") })
	b.Handle("busy", func(context.Context, Peer, []byte) ([]byte, error) {
		return nil, &RemoteError{Code: CodeBusy, Rejected: true}
	})
	b.Handle("long", func(context.Context, Peer, []byte) ([]byte, error) {
		return nil, coded{strings.Repeat("c", 999), strings.Repeat("m", 99_999)}
	})
	b.Handle("panic", func(context.Context, Peer, []byte) ([]byte, error) { panic("secret of the node") })
	b.Handle("big answer", func(context.Context, Peer, []byte) ([]byte, error) { return make([]byte, defaultMaxFrame+1), nil })
	for _, test := range []struct {
		method string
		want   RemoteError
		ran    bool
	}{
		{"coded", RemoteError{Code: "no_quorum", Message: "outer: no leader"}, true},
		{"plain", RemoteError{Code: CodeFailed, Message: "plain?bad ?[2J"}, true},
		{"busy", RemoteError{Code: CodeBusy}, true}, // a handler's word is not the transport's
		{"long", RemoteError{Code: strings.Repeat("c", maxErrorCode), Message: strings.Repeat("m", maxFaultMessage)}, true},
		{"panic", RemoteError{Code: CodeFailed, Message: "internal error"}, true},
		{"big answer", RemoteError{Code: CodeAnswerLarge, Message: "the answer is over the frame limit"}, true},
		{"nothing", RemoteError{Code: CodeUnknownMethod, Message: "node b has no method nothing", Rejected: true}, false},
	} {
		_, err := a.Call(within(t), "b", test.method, nil)
		var remote *RemoteError
		if !errors.As(err, &remote) || *remote != test.want || NeverRan(err) == test.ran {
			t.Errorf("%s: %#v", test.method, err)
		}
	}
	if !log.contains("panicked") || log.contains("secret of the node") {
		t.Error("the log has the panic's value, or lacks that there was one")
	}
	for _, method := range []string{"", strings.Repeat("m", maxMethod+1)} {
		if _, err := a.Call(within(t), "b", method, nil); !NeverRan(err) {
			t.Errorf("method %q: %v", method, err)
		}
	}
	if NeverRan(nil) || NeverRan(errors.New("x")) {
		t.Error("NeverRan of another error")
	}
}

func TestHandleTwicePanics(t *testing.T) {
	a := newNetwork(t).node("a")
	a.Handle("m", echo)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	a.Handle("m", echo)
}

func TestCallUnreachable(t *testing.T) {
	n := newNetwork(t)
	a := n.node("a")
	n.place("b", freeport.Addr(t))
	for _, name := range []string{"b", "unknown"} {
		_, err := a.Call(within(t), name, "echo", nil)
		if !errors.Is(err, ErrUnreachable) || !NeverRan(err) || !strings.Contains(err.Error(), "node "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.place("b", a.Addr().String()) // somebody else answers there
	if _, err := a.Call(within(t), "b", "echo", nil); !errors.Is(err, ErrUnreachable) || !NeverRan(err) {
		t.Errorf("another node answered: %v", err)
	}
}

// waiting is a handler that tells of each start and end and returns when released or cancelled.
type waiting struct {
	started chan time.Time // the deadline, zero when none
	ended   chan error
	release chan struct{}
}

func newWaiting() *waiting {
	return &waiting{started: make(chan time.Time, 100), ended: make(chan error, 100), release: make(chan struct{})}
}

func (w *waiting) handle(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
	deadline, _ := ctx.Deadline()
	w.started <- deadline
	select {
	case <-w.release:
		return nil, nil
	case <-ctx.Done():
		w.ended <- ctx.Err()
		return nil, ctx.Err()
	}
}

func TestCancelReachesTheHandler(t *testing.T) {
	nodes := newNetwork(t).nodes("a", "b")
	w := newWaiting()
	nodes[1].Handle("wait", w.handle)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := nodes[0].Call(ctx, "b", "wait", nil)
		result <- err
	}()
	if deadline := <-w.started; !deadline.IsZero() {
		t.Errorf("a deadline out of nothing: %v", deadline)
	}
	cancel()
	err := <-result
	var failed *CallError
	if !errors.As(err, &failed) || !failed.Sent || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler ended with %v", err)
	}
	nodes[1].Handle("echo", echo)
	if _, err := nodes[0].Call(within(t), "b", "echo", nil); err != nil {
		t.Errorf("the next call: %v", err)
	}
	if dials := nodes[0].Stats().Dials; dials != 1 {
		t.Errorf("%d dials: a cancel must not cost the connection", dials)
	}
}

// A call is of its caller's trace at the other node, unless that one is of an earlier release: then it is a call all the same.
func TestTraceReachesTheHandler(t *testing.T) {
	n := newNetwork(t)
	before := n.config("c")
	before.older = true
	a, b, c := n.node("a"), n.node("b"), n.start(before)
	for _, node := range []*Transport{a, b, c} {
		node.Handle("trace", func(ctx context.Context, _ Peer, payload []byte) ([]byte, error) {
			return append(payload, trace.From(ctx).Trace.String()...), nil
		})
	}
	traced := trace.With(within(t), trace.Request{ID: "r", Trace: someTrace})
	for _, row := range []struct {
		from *Transport
		to   string
		ctx  context.Context
		want string
	}{
		{a, "b", traced, "of " + someTrace.String()},
		{a, "b", within(t), "of "},
		{a, "c", traced, "of "},
		{c, "a", traced, "of " + someTrace.String()},
	} {
		if answer, err := row.from.Call(row.ctx, row.to, "trace", []byte("of ")); err != nil || string(answer) != row.want {
			t.Errorf("from %s to %s: %q, %v", row.from.cfg.Name, row.to, answer, err)
		}
	}
}

func TestDeadlineReachesTheHandler(t *testing.T) {
	nodes := newNetwork(t).nodes("a", "b")
	w := newWaiting()
	nodes[1].Handle("wait", w.handle)
	far := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(context.Background(), far)
	defer cancel()
	close(w.release)
	if _, err := nodes[0].Call(ctx, "b", "wait", nil); err != nil {
		t.Fatal(err)
	}
	if deadline := <-w.started; deadline.Before(far.Add(-time.Minute)) || deadline.After(far.Add(time.Minute)) {
		t.Errorf("the handler had until %v, not %v", deadline, far)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := nodes[0].Call(done, "b", "wait", nil); !errors.Is(err, context.Canceled) || !NeverRan(err) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestDeadlineEndsCallAndHandler(t *testing.T) {
	nodes := newNetwork(t).nodes("a", "b")
	w := newWaiting()
	nodes[1].Handle("wait", w.handle)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := nodes[0].Call(ctx, "b", "wait", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	// A caller that does not cancel: the handler keeps the time itself, and answers so.
	s, err := nodes[0].dial(within(t), "b", "", ChannelRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write(appendRequest(nil, 1, request{method: "wait", timeout: time.Millisecond})); err != nil {
		t.Fatal(err)
	}
	h, body, err := readFrame(s, 1000)
	if err != nil || h.kind != frameFault {
		t.Fatalf("%+v, %v", h, err)
	}
	if code, _, err := decodeFault(body); err != nil || code != CodeDeadline {
		t.Errorf("answered %s, %v", code, err)
	}
}

func TestFrameLimits(t *testing.T) {
	n := newNetwork(t)
	small := n.config("small")
	small.MaxFrame = 1000
	big := n.config("big")
	big.MaxFrame = maxMaxFrame
	nodes := []*Transport{n.start(small), n.start(big)}
	for _, node := range nodes {
		node.Handle("echo", echo)
		node.Handle("zeros", func(_ context.Context, _ Peer, b []byte) ([]byte, error) {
			return make([]byte, 1001), nil
		})
	}
	ctx := within(t)
	if answer, err := nodes[0].Call(ctx, "big", "echo", make([]byte, 1000)); err != nil || len(answer) != 1000 {
		t.Errorf("at the limit: %d, %v", len(answer), err)
	}
	if _, err := nodes[0].Call(ctx, "big", "echo", make([]byte, 1001)); !errors.Is(err, ErrTooLarge) || !NeverRan(err) {
		t.Errorf("over this node's limit: %v", err)
	}
	for _, size := range []int{1001, 1001 + requestOverhead, 100_000, maxMaxFrame} {
		_, err := nodes[1].Call(ctx, "small", "echo", make([]byte, size))
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Code != CodeTooLarge || !NeverRan(err) {
			t.Errorf("%d bytes, over the peer's limit: %v", size, err)
		}
	}
	_, err := nodes[1].Call(ctx, "small", "zeros", nil)
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Code != CodeAnswerLarge || NeverRan(err) {
		t.Errorf("an answer over the peer's limit: %v", err)
	}
	if answer, err := nodes[1].Call(ctx, "small", "echo", []byte("still")); err != nil || string(answer) != "still" {
		t.Errorf("afterwards: %q, %v", answer, err)
	}
	if dials := nodes[1].Stats().Dials; dials != 1 {
		t.Errorf("%d dials: a large frame must not cost the connection", dials)
	}
	over := n.config("over")
	over.MaxFrame = maxMaxFrame + 1
	if _, err := New(over); err == nil {
		t.Error("a limit over the limit")
	}
}

// An answer that only the caller finds too large.
func TestAnswerOverTheCallersLimit(t *testing.T) {
	n := newNetwork(t)
	cfg := n.config("a")
	cfg.MaxFrame = 1000
	a, b := n.start(cfg), n.node("b")
	b.Handle("zeros", func(context.Context, Peer, []byte) ([]byte, error) { return make([]byte, 2000), nil })
	for range 2 {
		_, err := a.Call(within(t), "b", "zeros", nil)
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Code != CodeAnswerLarge || NeverRan(err) {
			t.Errorf("%v", err)
		}
	}
}

func TestCallsInFlightAreBounded(t *testing.T) {
	n := newNetwork(t)
	few := n.config("few")
	few.MaxCalls = 2
	nodes := []*Transport{n.start(few), n.node("many")}
	w := newWaiting()
	for _, node := range nodes {
		node.Handle("wait", w.handle)
		node.Handle("echo", echo)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for i, name := range []string{"many", "few"} {
		for range 2 {
			group.Go(func() { _, _ = nodes[i].Call(ctx, name, "wait", nil) })
		}
	}
	for range 4 {
		<-w.started
	}
	// The caller's bound: the third call waits for a place and is never sent.
	short, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer stop()
	if _, err := nodes[0].Call(short, "many", "echo", nil); !errors.Is(err, context.DeadlineExceeded) || !NeverRan(err) {
		t.Errorf("over the caller's bound: %v", err)
	}
	// The server's bound: the third call is rejected.
	_, err := nodes[1].Call(within(t), "few", "echo", nil)
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Code != CodeBusy || !NeverRan(err) {
		t.Errorf("over the server's bound: %v", err)
	}
	cancel()
	group.Wait()
	eventually(t, "the places are free again", func() bool {
		_, err := nodes[1].Call(within(t), "few", "echo", nil)
		return err == nil
	})
}

func TestServedBytesAreBounded(t *testing.T) {
	n := newNetwork(t)
	cfg := n.config("b")
	cfg.MaxFrame = 1000
	a, b := n.node("a"), n.start(cfg)
	w := newWaiting()
	b.Handle("wait", w.handle)
	b.Handle("echo", echo)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var group sync.WaitGroup
	for range servedFrames {
		group.Go(func() { _, _ = a.Call(ctx, "b", "wait", make([]byte, 1000)) })
	}
	for range servedFrames {
		<-w.started
	}
	call := func() error { _, err := a.Call(within(t), "b", "echo", make([]byte, 1000)); return err }
	for {
		// What the frames' overhead leaves free is taken by small requests first.
		var remote *RemoteError
		if err := call(); errors.As(err, &remote) && remote.Code == CodeBusy {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		group.Go(func() { _, _ = a.Call(ctx, "b", "wait", make([]byte, 500)) })
		<-w.started
	}
	cancel()
	group.Wait()
	eventually(t, "there is room again", func() bool { return call() == nil })
}

func TestCloseEndsHandlersAndCalls(t *testing.T) {
	nodes := newNetwork(t).nodes("a", "b")
	started := make(chan struct{})
	var ended atomic.Bool
	nodes[1].Handle("slow to end", func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		close(started)
		<-ctx.Done()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range 10 {
			<-tick.C
		}
		ended.Store(true)
		return nil, ctx.Err()
	})
	result := make(chan error, 1)
	go func() {
		_, err := nodes[0].Call(context.Background(), "b", "slow to end", nil)
		result <- err
	}()
	<-started
	if err := nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	if !ended.Load() {
		t.Error("Close returned before the handler")
	}
	err := <-result
	var failed *CallError
	if !errors.As(err, &failed) || !failed.Sent || !errors.Is(err, ErrDisconnected) {
		t.Errorf("the caller met %v", err)
	}
}
