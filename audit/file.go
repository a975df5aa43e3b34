package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Sink takes lines. Append returns when the line has the durability of the sink, or an error within
// the sink's own deadline; it adds the newline and does not keep line. It is safe for concurrent
// use.
type Sink interface {
	Append(line []byte) error
	Close() error
}

const (
	defaultDeadline = 2 * time.Second
	maxPending      = 8 << 20 // bytes that may wait behind the write that is under way
	keepBuffer      = 1 << 20 // a larger buffer is given back after use
)

// Errors of a FileSink; other errors are those of the file.
var (
	ErrHung   = errors.New("a write to the audit file hangs")
	ErrFull   = errors.New("too many records wait for the audit file")
	ErrClosed = errors.New("the audit file is closed")
)

// FileOptions configures OpenFile. The zero value means durability `write`.
type FileOptions struct {
	Fsync    bool          // Append returns after fsync: the record survives loss of power
	Deadline time.Duration // a drain that takes longer hangs; default 2 s

	open func(path string) (file, error) // for tests; default openAppend
}

// file is what a FileSink needs of *os.File.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Stat() (os.FileInfo, error)
}

// FileSink appends lines to a file with group commit: lines gather in a buffer, one goroutine
// writes the whole buffer with one write, and every Append waits for the write that holds its line.
//
// After an error the file is opened again for the next batch, so the sink recovers by itself; what
// a failed write may have torn is ended with a newline first.
type FileSink struct {
	path    string      // immutable
	options FileOptions // immutable, with defaults filled in

	out  file // owned by the drain goroutine; nil: to be opened
	work chan struct{}
	done chan struct{} // closed when the drain goroutine has ended

	mu      sync.Mutex
	pending *batch    // guarded by mu: gathers lines, not nil while the sink is open
	current *batch    // guarded by mu: is being written
	idle    *batch    // guarded by mu: for reuse
	began   time.Time // guarded by mu: when the write of current began
	hung    bool      // guarded by mu: current has passed its deadline
	reopen  bool      // guarded by mu
	closed  bool      // guarded by mu
}

// batch is the lines of one write. All fields but buf are guarded by FileSink.mu; buf is so while
// the batch is pending and belongs to the drain goroutine while it is current.
type batch struct {
	buf     []byte
	waiters int
	settled bool
	err     error // valid once settled
	wake    sync.Cond
}

// OpenFile opens path for appending and starts the sink. A file that does not exist is created with
// mode 0600; another keeps its mode.
func OpenFile(path string, o FileOptions) (*FileSink, error) {
	if o.Deadline == 0 {
		o.Deadline = defaultDeadline
	}
	if o.open == nil {
		o.open = openAppend
	}
	s := &FileSink{path: path, options: o, work: make(chan struct{}, 1), done: make(chan struct{})}
	s.pending = s.newBatch()
	if err := s.openFile(); err != nil {
		return nil, err
	}
	go s.drain()
	return s, nil
}

func openAppend(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err // not a typed nil
	}
	return f, nil
}

func (s *FileSink) newBatch() *batch {
	b := new(batch)
	b.wake.L = &s.mu
	return b
}

// Append implements Sink.
func (s *FileSink) Append(line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.pending
	switch {
	case s.closed:
		return ErrClosed
	case s.hung:
		return ErrHung
	case len(b.buf)+len(line) >= maxPending:
		return ErrFull
	}
	b.buf = append(append(b.buf, line...), '\n')
	b.waiters++
	if s.current == nil {
		select {
		case s.work <- struct{}{}:
		default: // it is awake, or will be
		}
	}
	for !b.settled {
		b.wake.Wait()
	}
	err := b.err
	if b.waiters--; b.waiters == 0 && b != s.current {
		s.recycle(b)
	}
	return err
}

// recycle keeps b for the next batch; mu is held and nobody else has b.
func (s *FileSink) recycle(b *batch) {
	if cap(b.buf) > keepBuffer {
		return
	}
	b.buf, b.settled, b.err = b.buf[:0], false, nil
	s.idle = b
}

// settle lets the waiters of b go with err, once; mu is held.
func (b *batch) settle(err error) {
	if !b.settled {
		b.settled, b.err = true, err
		b.wake.Broadcast()
	}
}

// drain is the goroutine that writes.
func (s *FileSink) drain() {
	defer close(s.done)
	alarm := time.AfterFunc(time.Hour, s.expire)
	defer alarm.Stop()
	for range s.work {
		for b, reopen := s.take(); b != nil; b, reopen = s.take() {
			alarm.Reset(s.options.Deadline)
			err := s.writeOut(b.buf, reopen)
			alarm.Stop()
			s.finish(b, err)
		}
	}
	if s.out != nil {
		s.out.Close()
	}
}

// take makes the pending batch the current one; nil when there is nothing to write. reopen says
// that the file is to be opened again before.
func (s *FileSink) take() (b *batch, reopen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending.buf) == 0 {
		return nil, false
	}
	reopen, s.reopen = s.reopen, false
	s.began = time.Now()
	s.current, s.pending, s.idle = s.pending, s.idle, nil
	if s.pending == nil {
		s.pending = s.newBatch()
	}
	return s.current, reopen
}

func (s *FileSink) finish(b *batch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.settle(err)
	s.current, s.hung = nil, false
	if b.waiters == 0 {
		s.recycle(b)
	}
}

// expire is the alarm: the write under way has passed its deadline. What waits behind it is given
// up too, and is not written later: its callers were refused.
func (s *FileSink) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.current.settled || time.Since(s.began) < s.options.Deadline {
		return // the alarm was for the write before
	}
	s.hung = true
	s.current.settle(ErrHung)
	if b := s.pending; b.waiters > 0 {
		b.settle(ErrHung)
		s.pending = s.newBatch()
	}
}

// writeOut writes one batch to the file. It is called by the drain goroutine.
func (s *FileSink) writeOut(lines []byte, reopen bool) error {
	if reopen && s.out != nil {
		s.out.Close()
		s.out = nil
	}
	if s.out == nil {
		if err := s.openFile(); err != nil {
			return err
		}
	}
	_, err := s.out.Write(lines)
	if err == nil && s.options.Fsync {
		err = s.out.Sync()
	}
	if err != nil {
		s.out.Close()
		s.out = nil
		return fmt.Errorf("audit file %s: %w", s.path, err)
	}
	return nil
}

// openFile opens the file and ends a line that a failed write, or a dying process, left torn.
func (s *FileSink) openFile() error {
	f, err := s.options.open(s.path)
	if err == nil {
		if err = endTornLine(f); err == nil {
			s.out = f
			return nil
		}
		f.Close()
	}
	return fmt.Errorf("audit file %s: %w", s.path, err)
}

func endTornLine(f file) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.Write([]byte{'\n'})
	return err
}

// Reopen makes the next batch open the path again, for a file that was moved away (log rotation).
func (s *FileSink) Reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reopen = true
}

// Close implements Sink: it waits, at most the deadline, for what was appended before.
func (s *FileSink) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.work)
	}
	s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	case <-time.After(s.options.Deadline):
		return ErrHung
	}
}
