package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	readBuffer   = 32 << 10
	writeChunk   = 64 << 10         // frames are joined into writes up to this size
	writeTimeout = 5 * time.Second  // of one write
	queueBytes   = 2 * maxFrameBody // frames waiting to be written
	maxSilent    = 3                // pings without a byte from the peer
)

var errSilent = errors.New("the peer is silent")

// link is a call connection, either end: a writer that joins waiting frames into one write, a reader,
// and pings that find out that the peer is gone when TCP does not say so.
//
// It fails once, by whichever side notices first; the writer goroutine then settles what was queued,
// when it is certain which frames were never wholly written.
type link struct {
	stream *stream
	limit  int // of a body read
	room   *semaphore.Weighted
	heard  atomic.Uint64 // bytes read
	wake   chan struct{} // capacity 1: the queue is not empty
	down   chan struct{} // closed when the link has failed

	mu      sync.Mutex
	queue   []outgoing // guarded by mu
	cancels []uint64   // guarded by mu: calls to cancel at the peer
	ping    bool       // guarded by mu: one is due
	pong    bool       // guarded by mu: one is due
	err     error      // guarded by mu: why the link failed
}

// outgoing is a frame that waits to be written, of a call when the link is the dialer's.
type outgoing struct {
	frame []byte
	call  *call
}

func newLink(s *stream, maxFrame int) *link {
	return &link{
		stream: s,
		limit:  maxFrame + requestOverhead,
		room:   semaphore.NewWeighted(queueBytes),
		wake:   make(chan struct{}, 1),
		down:   make(chan struct{}),
	}
}

// fail closes the connection; the first reason stays.
func (l *link) fail(err error) {
	l.mu.Lock()
	first := l.err == nil
	if first {
		l.err = err
		close(l.down)
	}
	l.mu.Unlock()
	if first {
		_ = l.stream.Close()
	}
}

func (l *link) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// send queues a frame, when there is room for it. register, if any, runs under l.mu together with the
// queueing.
func (l *link) send(ctx context.Context, out outgoing, register func()) error {
	size := int64(len(out.frame))
	if err := l.room.Acquire(ctx, size); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		l.room.Release(size)
		return l.err
	}
	if register != nil {
		register()
	}
	l.queue = append(l.queue, out)
	l.signal()
	return nil
}

func (l *link) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// sendPong answers a ping; any number of pings in a row gets one.
func (l *link) sendPong() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pong = true
	l.signal()
}

// read gives each frame to use until the connection or use fails, which fails the link. An oversized
// frame is given without a body and with errBodyTooLong.
func (l *link) read(use func(h header, body []byte, tooLong bool) error) {
	in := bufio.NewReaderSize(countingReader{l.stream, &l.heard}, readBuffer)
	for {
		h, body, err := readFrame(in, l.limit)
		tooLong := errors.Is(err, errBodyTooLong)
		if err == nil || tooLong {
			switch h.kind {
			case framePing:
				l.sendPong()
				continue
			case framePong:
				continue
			}
			err = use(h, body, tooLong)
		}
		if err != nil {
			l.fail(err)
			return
		}
	}
}

// write writes what is queued until the link fails, then returns with an empty queue.
func (l *link) write(keepAlive time.Duration) {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	var (
		heard  uint64
		silent int
		buf    []byte
	)
	for {
		select {
		case <-l.down:
			l.settle()
			return
		case <-tick.C:
			if now := l.heard.Load(); now != heard {
				heard, silent = now, 0
				continue
			}
			if silent++; silent > maxSilent {
				l.fail(errSilent)
				continue
			}
			l.mu.Lock()
			l.ping = true
			l.signal()
			l.mu.Unlock()
		case <-l.wake:
			buf = l.flush(buf)
		}
	}
}

// flush writes the whole queue, chunk by chunk.
func (l *link) flush(buf []byte) []byte {
	for {
		chunk, frames := l.take(buf[:0])
		if len(chunk) == 0 {
			return chunk
		}
		_ = l.stream.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := l.stream.Write(chunk)
		l.written(frames, n, err)
		if err != nil {
			l.fail(err)
			return nil
		}
		if buf = chunk; cap(buf) > 2*writeChunk {
			buf = nil
		}
	}
}

// take moves frames from the queue to buf: those that fit writeChunk, at least one. Calls that were
// given up while they waited are left out; from here on the others count as sent.
func (l *link) take(buf []byte) ([]byte, []outgoing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, nil
	}
	if l.pong {
		buf, l.pong = appendHeader(buf, framePong, 0, 0), false
	}
	if l.ping {
		buf, l.ping = appendHeader(buf, framePing, 0, 0), false
	}
	for _, id := range l.cancels {
		buf = appendHeader(buf, frameCancel, id, 0)
	}
	l.cancels = nil
	var frames []outgoing
	for len(l.queue) > 0 && (len(frames) == 0 || len(buf)+len(l.queue[0].frame) <= writeChunk) {
		out := l.queue[0]
		l.queue[0] = outgoing{}
		l.queue = l.queue[1:]
		if out.call != nil && out.call.abandoned {
			l.room.Release(int64(len(out.frame)))
			continue
		}
		buf = append(buf, out.frame...)
		if out.call != nil {
			out.call.sent = true
			out.call.end = len(buf)
		}
		frames = append(frames, out)
	}
	if len(l.queue) == 0 {
		l.queue = nil
	}
	return buf, frames
}

// written settles the frames of a chunk of which n bytes were written. The peer acts on whole frames
// only, so one whose end was not written was never run.
func (l *link) written(frames []outgoing, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, out := range frames {
		l.room.Release(int64(len(out.frame)))
		if err != nil && out.call != nil && out.call.end > n {
			out.call.sent = false
		}
	}
}

// settle empties the queue of a failed link.
func (l *link) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, out := range l.queue {
		l.room.Release(int64(len(out.frame)))
	}
	l.queue = nil
}

type countingReader struct {
	in    io.Reader
	count *atomic.Uint64
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.count.Add(uint64(n))
	return n, err
}

func disconnected(cause error) error { return fmt.Errorf("%w: %w", ErrDisconnected, cause) }
