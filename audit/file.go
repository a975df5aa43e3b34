package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
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
	keepBuffer      = 1 << 20 // bytes; a larger buffer is given back after use
	keepBatches     = 4
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
// a failed write may have torn is ended with a newline first. A regular file that is no longer what
// the path names (moved away, deleted, replaced) is left for the one that the path names now.
type FileSink struct {
	path    string      // immutable
	options FileOptions // immutable, with defaults filled in

	out   file            // owned by the drain goroutine; nil: to be opened
	inode *syscall.Stat_t // owned by the drain goroutine: of out, when that is a regular file; else nil
	now   syscall.Stat_t  // owned by the drain goroutine: what moved saw
	work  chan struct{}   // buffered 1: wakes the drain goroutine
	done  chan struct{}   // closed when the drain goroutine has ended
	alarm *time.Timer     // calls expire

	mu      sync.Mutex
	pending *batch    // guarded by mu: gathers lines, not nil
	current *batch    // guarded by mu: is being written
	spare   []byte    // guarded by mu: a buffer for the next batch
	began   time.Time // guarded by mu: when the write of current began
	armed   bool      // guarded by mu: the alarm will ring
	hung    bool      // guarded by mu: current has passed its deadline
	reopen  bool      // guarded by mu
	closed  bool      // guarded by mu
}

// batch is the lines of one write. Its appenders wait for settled and then read err.
type batch struct {
	buf     []byte        // guarded by FileSink.mu while pending, then owned by the drain goroutine
	settled chan struct{} // closed under FileSink.mu, once
	err     error         // written before settled is closed
}

func (b *batch) isSettled() bool {
	select {
	case <-b.settled:
		return true
	default:
		return false
	}
}

// settle lets the appenders of b go with err, the first time; FileSink.mu is held.
func (b *batch) settle(err error) {
	if !b.isSettled() {
		b.err = err
		close(b.settled)
	}
}

// OpenFile opens path for appending and starts the sink. A file that does not exist is created with
// mode 0600. A regular file of this process's user is given that mode; one of another user that is
// open to more than its owner is refused.
func OpenFile(path string, o FileOptions) (*FileSink, error) {
	if o.Deadline == 0 {
		o.Deadline = defaultDeadline
	}
	if o.open == nil {
		o.open = openAppend
	}
	s := &FileSink{path: path, options: o, work: make(chan struct{}, 1), done: make(chan struct{})}
	s.renewPending()
	if err := s.openFile(); err != nil {
		return nil, err
	}
	s.alarm = time.AfterFunc(time.Hour, s.expire)
	go s.drain()
	return s, nil
}

func openAppend(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		if err = closeToOthers(f); err == nil {
			return f, nil
		}
		f.Close()
	}
	return nil, err // not a typed nil
}

// closeToOthers takes from a regular file what others than its owner may do with it.
func closeToOthers(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) == os.Geteuid() {
		return f.Chmod(0o600)
	}
	return fmt.Errorf("its mode is %v and it belongs to another user: let nobody but its owner read or write it (chmod 600)", info.Mode().Perm())
}

// renewPending begins an empty batch; mu is held, or nobody else has s.
func (s *FileSink) renewPending() {
	s.pending = &batch{buf: s.spare[:0], settled: make(chan struct{})}
	s.spare = nil
}

// Append implements Sink.
func (s *FileSink) Append(line []byte) error {
	b, err := s.enqueue(line)
	if err != nil {
		return err
	}
	<-b.settled
	return b.err
}

// enqueue adds line to the pending batch and sees to it that it will be written.
func (s *FileSink) enqueue(line []byte) (*batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.pending
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.hung:
		return nil, ErrHung
	case len(b.buf)+len(line) >= maxPending:
		return nil, ErrFull
	}
	b.buf = append(append(b.buf, line...), '\n')
	if s.current == nil {
		select {
		case s.work <- struct{}{}:
		default: // it is awake, or will be
		}
	}
	return b, nil
}

// drain is the goroutine that writes.
func (s *FileSink) drain() {
	defer close(s.done)
	for range s.work {
		// Whoever else is ready to run goes first: under load their lines share this write, which
		// is several times cheaper than a write and a switch for each.
		runtime.Gosched()
		for b, reopen := s.take(); b != nil; b, reopen = s.take() {
			s.finish(b, s.writeOut(b.buf, reopen))
		}
	}
	s.alarm.Stop()
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
	s.current, s.began = s.pending, time.Now()
	s.renewPending()
	if !s.armed {
		s.armed = true
		s.alarm.Reset(s.options.Deadline)
	}
	reopen, s.reopen = s.reopen, false
	return s.current, reopen
}

func (s *FileSink) finish(b *batch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.settle(err)
	s.current, s.hung = nil, false
	if cap(b.buf) <= keepBuffer {
		s.spare = b.buf
	}
}

// expire is called by the alarm, which is set at most once a deadline: it gives up a write that has
// passed its deadline. What waits behind that is given up too, and is not written later: its
// callers were refused.
func (s *FileSink) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = false
	if s.current == nil || s.hung {
		return
	}
	if left := s.options.Deadline - time.Since(s.began); left > 0 {
		s.armed = true
		s.alarm.Reset(left)
		return
	}
	s.hung = true
	s.current.settle(ErrHung)
	s.pending.settle(ErrHung)
	s.renewPending()
}

// writeOut writes one batch to the file. It is called by the drain goroutine.
func (s *FileSink) writeOut(lines []byte, reopen bool) error {
	if s.out != nil && (reopen || s.moved()) {
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

// moved reports whether the path names something else than the open file: what would be written to
// that, nobody would find. It costs half a microsecond, so every batch asks.
func (s *FileSink) moved() bool {
	return s.inode != nil && (syscall.Stat(s.path, &s.now) != nil || s.now.Dev != s.inode.Dev || s.now.Ino != s.inode.Ino)
}

// openFile opens the file and ends a line that a failed write, or a dying process, left torn.
func (s *FileSink) openFile() error {
	f, err := s.options.open(s.path)
	if err != nil {
		return fmt.Errorf("audit file %s: %w", s.path, err)
	}
	s.inode = nil
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		s.inode, _ = info.Sys().(*syscall.Stat_t)
		err = endTornLine(f, info)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("audit file %s: %w", s.path, err)
	}
	s.out = f
	return nil
}

func endTornLine(f file, info os.FileInfo) error {
	if info.Size() == 0 {
		return nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err := f.Write([]byte{'\n'})
	return err
}

// Reopen makes the next batch open the path again, whatever it names (log rotation).
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
