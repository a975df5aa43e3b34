package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/trace"
)

// Call asks node name to run method (1..64 bytes) and returns its answer, which is the caller's to
// keep. payload is not used after Call returns. The handler's context carries ctx's deadline and is
// cancelled when ctx ends.
//
// Errors are *RemoteError (the peer answered with an error) and *CallError (no answer came, and
// whether the request may have been run). A request that could not be written because the connection
// had died meanwhile is tried once on a new one.
func (t *Transport) Call(ctx context.Context, name, method string, payload []byte) ([]byte, error) {
	answer, err := t.call(ctx, name, method, payload)
	var failed *CallError
	if errors.As(err, &failed) {
		return nil, &CallError{Sent: failed.Sent, Err: fmt.Errorf("call %s of node %s: %w", method, name, failed.Err)}
	}
	return answer, err
}

func (t *Transport) call(ctx context.Context, name, method string, payload []byte) ([]byte, error) {
	notSent := func(err error) ([]byte, error) { return nil, &CallError{Err: err} }
	switch {
	case method == "" || len(method) > maxMethod:
		return notSent(fmt.Errorf("a method name has 1 to %d bytes", maxMethod))
	case len(payload) > t.cfg.MaxFrame:
		return notSent(ErrTooLarge)
	case ctx.Err() != nil:
		return notSent(ctx.Err())
	}
	c := t.caller(name)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return notSent(ctx.Err())
	}
	for retried := false; ; retried = true {
		l, fresh, err := c.connection(ctx)
		if err != nil {
			return notSent(err)
		}
		answer, err := l.roundTrip(ctx, method, payload)
		var failed *CallError
		if errors.As(err, &failed) && !failed.Sent && !fresh && !retried && ctx.Err() == nil {
			continue
		}
		return answer, err
	}
}

// caller holds the call connection to one node.
type caller struct {
	owner *Transport
	name  string
	slots chan struct{} // a token for each call in flight

	mu      sync.Mutex
	current *callLink // guarded by mu; may have failed
	dialing *attempt  // guarded by mu; shared by all who wait
}

type attempt struct {
	done chan struct{} // closed when link and err are set
	link *callLink
	err  error
}

func (t *Transport) caller(name string) *caller {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.callers[name]
	if c == nil {
		c = &caller{owner: t, name: name, slots: make(chan struct{}, t.cfg.MaxCalls)}
		t.callers[name] = c
	}
	return c
}

// connection gives the live connection, or dials; fresh says that it was dialed for this request.
func (c *caller) connection(ctx context.Context) (l *callLink, fresh bool, err error) {
	c.mu.Lock()
	if c.current != nil && c.current.failed() == nil {
		defer c.mu.Unlock()
		return c.current, false, nil
	}
	a := c.dialing
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		if !c.owner.spawn(func() { c.dial(a) }) {
			c.mu.Unlock()
			return nil, false, ErrClosed
		}
		c.dialing = a
	}
	c.mu.Unlock()
	select {
	case <-a.done:
		return a.link, true, a.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// dial makes the connection that all waiters share, so its time limit is its own.
func (c *caller) dial(a *attempt) {
	t := c.owner
	ctx, cancel := context.WithTimeout(t.ctx, dialTimeout)
	defer cancel()
	s, err := t.dial(ctx, c.name, "", ChannelRPC)
	if err == nil {
		a.link = newCallLink(s, t)
		if !t.spawn(a.link.readAnswers) || !t.spawn(a.link.run) {
			a.link.fail(ErrClosed)
		}
	}
	a.err = err
	c.mu.Lock()
	c.current, c.dialing = a.link, nil
	c.mu.Unlock()
	close(a.done)
}

// call is a request that waits for its answer.
type call struct {
	done   chan struct{} // closed when answer or err is set
	answer []byte
	err    error

	// guarded by link.mu:
	sent      bool // the frame may have reached the peer
	abandoned bool // nobody waits any more
	end       int  // of the frame in the chunk being written
}

func (c *call) finish(answer []byte, err error) {
	c.answer, c.err = answer, err
	close(c.done)
}

// callLink is the dialer's end of a link.
type callLink struct {
	*link
	owner   *Transport
	last    uint64           // id of the newest call; guarded by mu
	pending map[uint64]*call // guarded by mu
}

func newCallLink(s *stream, t *Transport) *callLink {
	return &callLink{link: newLink(s, t.cfg.MaxFrame), owner: t, pending: map[uint64]*call{}}
}

// run writes until the link fails and then ends every call that waits.
func (l *callLink) run() {
	l.write(l.owner.cfg.KeepAlive)
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, c := range l.pending {
		delete(l.pending, id)
		c.finish(nil, &CallError{Sent: c.sent, Err: disconnected(l.err)})
	}
}

func (l *callLink) roundTrip(ctx context.Context, method string, payload []byte) ([]byte, error) {
	q := request{method: method, payload: payload}
	if l.stream.peer.Extensions&extensionTraced != 0 {
		q.trace = trace.From(ctx).Trace
	}
	if deadline, ok := ctx.Deadline(); ok {
		q.timeout = max(time.Until(deadline), time.Millisecond)
	}
	c := &call{done: make(chan struct{})}
	// The id is given when the frame takes its place in the queue; until then the header holds 0.
	frame := appendRequest(make([]byte, 0, frameHeader+requestOverhead+len(payload)), 0, q)
	var id uint64
	err := l.send(ctx, outgoing{frame, c}, func() {
		l.last++
		id = l.last
		setID(frame, id)
		l.pending[id] = c
	})
	if err != nil {
		if ctx.Err() == nil {
			err = disconnected(err)
		}
		return nil, &CallError{Err: err}
	}
	l.owner.callsSent.Add(1)
	select {
	case <-c.done:
	case <-ctx.Done():
		if sent, gone := l.abandon(id, c); gone {
			return nil, &CallError{Sent: sent, Err: ctx.Err()}
		}
		<-c.done
	}
	if deadline, ok := ctx.Deadline(); ok && isCode(c.err, CodeDeadline) && !time.Now().Before(deadline) {
		// The peer's clock told before ours did; it is the caller's deadline all the same.
		return nil, &CallError{Sent: true, Err: context.DeadlineExceeded}
	}
	return c.answer, c.err
}

func isCode(err error, code string) bool {
	var remote *RemoteError
	return errors.As(err, &remote) && remote.Code == code
}

// abandon gives a call up and tells the peer, if it may know of it. gone is false when the call has
// ended meanwhile.
func (l *callLink) abandon(id uint64, c *call) (sent, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, waits := l.pending[id]; !waits {
		return false, false
	}
	delete(l.pending, id)
	c.abandoned = true
	if c.sent && l.err == nil {
		l.cancels = append(l.cancels, id)
		l.signal()
	}
	return c.sent, true
}

func (l *callLink) readAnswers() {
	l.read(func(h header, body []byte, tooLong bool) error {
		var err error
		switch {
		case h.kind == frameAnswer && tooLong:
			err = &RemoteError{Code: CodeAnswerLarge, Message: "the answer is over this node's frame limit"}
		case h.kind == frameAnswer:
		case (h.kind == frameFault || h.kind == frameRejection) && !tooLong:
			code, message, bad := decodeFault(body)
			if bad != nil {
				return bad
			}
			body, err = nil, &RemoteError{Code: code, Message: message, Rejected: h.kind == frameRejection}
		default:
			return errFrame
		}
		l.mu.Lock()
		c := l.pending[h.id]
		delete(l.pending, h.id)
		l.mu.Unlock()
		if c != nil {
			c.finish(body, err)
		}
		return nil
	})
}
