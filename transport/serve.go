package transport

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/lockstep-kms/lockstep/trace"
)

// servedFrames bounds the requests of one connection that are being run by their size: so many times
// the frame limit.
const servedFrames = 32

// Handler serves a call. Its context ends with the caller's deadline, with the caller's cancel, with
// the connection and with Close, and it must return then. It owns payload. An error that has a method
// RPCCode() string keeps its code.
type Handler = func(ctx context.Context, p Peer, payload []byte) ([]byte, error)

// Handle names the handler of a method, 1..64 bytes. A second handler for a method is a panic.
func (t *Transport) Handle(method string, h Handler) {
	if method == "" || len(method) > maxMethod || h == nil {
		panic("transport: a handler needs a method name of 1 to 64 bytes")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handlers[method] != nil {
		panic("transport: two handlers for " + method)
	}
	t.handlers[method] = h
}

func (t *Transport) handler(method string) Handler {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.handlers[method]
}

// server is the acceptor's end of a link.
type server struct {
	*link
	owner *Transport
	ctx   context.Context // ends with the link

	running map[uint64]context.CancelFunc // guarded by mu
	bytes   int                           // of running requests; guarded by mu
	tasks   sync.WaitGroup                // the handlers
}

// serveCalls runs a call connection until it fails and its handlers have returned.
func (t *Transport) serveCalls(s *stream) {
	ctx, cancel := context.WithCancel(t.ctx)
	srv := &server{link: newLink(s, t.cfg.MaxFrame), owner: t, ctx: ctx, running: map[uint64]context.CancelFunc{}}
	srv.tasks.Go(func() { srv.write(t.cfg.KeepAlive) })
	srv.read(srv.receive)
	cancel()
	srv.tasks.Wait()
}

func (s *server) receive(h header, body []byte, tooLong bool) error {
	switch {
	case h.kind == frameCancel:
		s.mu.Lock()
		if cancel := s.running[h.id]; cancel != nil {
			cancel()
		}
		s.mu.Unlock()
		return nil
	case h.kind != frameRequest && h.kind != frameTraced:
		return errFrame
	case tooLong:
		return s.reject(h.id, CodeTooLarge, "the request is over the frame limit")
	}
	q, err := parseRequest(h.kind, body)
	if err != nil {
		return err
	}
	if len(q.payload) > s.owner.cfg.MaxFrame {
		return s.reject(h.id, CodeTooLarge, "the request is over the frame limit")
	}
	handler := s.owner.handler(q.method)
	if handler == nil {
		return s.reject(h.id, CodeUnknownMethod, fmt.Sprintf("node %s has no method %s", s.owner.cfg.Name, q.method))
	}
	ctx, err := s.start(h.id, q, len(body))
	if errors.Is(err, errBusy) {
		return s.reject(h.id, CodeBusy, fmt.Sprintf("node %s has too many calls in flight", s.owner.cfg.Name))
	}
	if err != nil {
		return err
	}
	s.owner.callsServed.Add(1)
	s.tasks.Go(func() { s.answer(ctx, h.id, len(body), handler, q.payload) })
	return nil
}

var errBusy = errors.New("busy")

// start counts a request in, within the bounds.
func (s *server) start(id uint64, q request, size int) (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] != nil {
		return nil, errFrame
	}
	if len(s.running) >= s.owner.cfg.MaxCalls || s.bytes+size > servedFrames*s.limit {
		return nil, errBusy
	}
	var (
		ctx    context.Context
		cancel context.CancelFunc
	)
	if q.timeout > 0 {
		ctx, cancel = context.WithTimeout(s.ctx, q.timeout)
	} else {
		ctx, cancel = context.WithCancel(s.ctx)
	}
	if q.trace != (trace.ID{}) {
		ctx = trace.With(ctx, trace.Request{Trace: q.trace})
	}
	s.running[id] = cancel
	s.bytes += size
	return ctx, nil
}

func (s *server) finish(id uint64, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[id]()
	delete(s.running, id)
	s.bytes -= size
}

// answer runs the handler and queues its answer.
func (s *server) answer(ctx context.Context, id uint64, size int, handler Handler, payload []byte) {
	result, err := s.run(ctx, handler, payload)
	s.finish(id, size)
	var frame []byte
	switch {
	case err == nil && len(result) > s.owner.cfg.MaxFrame:
		frame = appendError(frameFault, id, CodeAnswerLarge, "the answer is over the frame limit")
	case err == nil:
		frame = appendHeader(make([]byte, 0, frameHeader+len(result)), frameAnswer, id, len(result))
		frame = append(frame, result...)
	default:
		frame = appendError(frameFault, id, faultCode(err), err.Error())
	}
	_ = s.send(s.ctx, outgoing{frame: frame}, nil)
}

// run keeps a panic of one call from ending the node, which would seal it.
func (s *server) run(ctx context.Context, handler Handler, payload []byte) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			// The panic value may hold anything of the call, key shares too: only the stack goes to the log.
			s.owner.log.ErrorContext(ctx, "a call handler panicked", "stack", string(debug.Stack()))
			result, err = nil, errors.New("internal error")
		}
	}()
	return handler(ctx, s.stream.peer, payload)
}

func faultCode(err error) string {
	code := errorCode(err)
	switch {
	case code != "":
		return code
	case errors.Is(err, context.DeadlineExceeded):
		return CodeDeadline
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	default:
		return CodeFailed
	}
}

// reject answers a request that was not run. Answers to a peer that does not read them wait for room,
// and the peer's further requests with them.
func (s *server) reject(id uint64, code, message string) error {
	return s.send(s.ctx, outgoing{frame: appendError(frameRejection, id, code, message)}, nil)
}
