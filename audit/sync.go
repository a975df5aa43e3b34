package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// syncer is a Sink that can bring what it has taken to where loss of power does not reach it.
type syncer interface{ Sync() error }

// maxLeft is how many files that were left wait for a Sync; of more, the oldest is synced at once.
const maxLeft = 8

var (
	errLacks  = errors.New("the sink does not have the record")
	errNoDisk = errors.New("the sink is no regular file")
)

// secure returns nil as soon as a sink that can has record seq, and everything that it took before, on its disk: a head is
// anchored after that, so that no anchor tells of a record which loss of power may take. Each sink is on its own: one that hangs
// keeps no other from it. It waits for the timeout at most.
func (l *Log) secure(seq uint64) error {
	late, cancel := context.WithTimeout(context.Background(), l.options.Timeout)
	defer cancel()
	results := make(chan error, len(l.members))
	able := 0
	for _, m := range l.members {
		y, ok := m.sink.(syncer)
		if !ok {
			continue
		}
		able++
		if !m.syncing.CompareAndSwap(false, true) {
			results <- m.named(ErrHung)
			continue
		}
		go func() {
			err := errLacks
			select {
			case <-l.arrival(m, seq):
				if l.arrived(m, seq) {
					err = y.Sync()
				}
			case <-late.Done():
			}
			m.syncing.Store(false)
			results <- m.named(err)
		}()
	}
	if able == 0 {
		return nil
	}
	var failures error
	for range able {
		select {
		case err := <-results:
			if err == nil {
				return nil
			}
			if !errors.Is(err, errNoDisk) {
				failures = errors.Join(failures, err)
			}
		case <-late.Done():
			return errors.Join(failures, ErrHung)
		}
	}
	return failures
}

// arrival returns what is closed once the sink has record seq, or never will. One caller at a time.
func (l *Log) arrival(m *member, seq uint64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	arrival := make(chan struct{})
	m.awaited, m.arrival = seq, arrival
	m.arrive()
	return arrival
}

// arrive tells who waits for a record that the sink has it, or missed it; Log.mu is held.
func (m *member) arrive() {
	if m.arrival != nil && (m.awaited <= m.taken.seq || m.lacks(m.awaited)) {
		close(m.arrival)
		m.arrival = nil
	}
}

// lacks reports whether the sink missed a record, or one between that and what it is told of its last gap; Log.mu is held.
func (m *member) lacks(seq uint64) bool {
	switch {
	case seq <= m.lacked:
		return true
	case m.telling != nil:
		return m.gap <= seq && seq < m.telling.First || m.later != 0 && m.later <= seq
	default:
		return m.gap != 0 && m.gap <= seq
	}
}

func (l *Log) arrived(m *member, seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return seq <= m.taken.seq && !m.lacks(seq)
}

// leave lets go of the open file, whatever the path names now. What it holds may not be on the disk yet: Sync sees to that.
func (s *FileSink) leave() {
	f := s.out
	s.out = nil
	if s.options.Fsync || s.inode == nil {
		f.Close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = append(s.left, f)
	if len(s.left) > maxLeft { // a Sync that begins now waits for this one
		s.syncLeft(s.left[:1])
		s.left = s.left[1:]
	}
}

func (s *FileSink) syncLeft(left []file) {
	for _, f := range left {
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			s.doubt(err)
		}
	}
}

// doubt notes that what was written may not be on the disk, and never come there: after an fsync that failed, Linux takes the pages
// for written, and another fsync succeeds without them. The chain of later records goes through those, so nothing that this run of
// the node does makes the sink one to vouch for a head again.
func (s *FileSink) doubt(err error) {
	err = fmt.Errorf("what was written may not be on the disk, so no head is anchored by this sink until the node is started again: %w", err)
	if s.doubted.CompareAndSwap(nil, &err) {
		s.options.Logger.Error("the audit file cannot be synced", "file", s.path, "error", err)
	}
}

// Sync brings everything that was written before to the disk; with an error that is not so, see doubt. It may be called beside Write.
func (s *FileSink) Sync() error {
	if s.options.Fsync {
		return nil
	}
	s.syncing.Lock()
	defer s.syncing.Unlock()
	f, err := s.current()
	if err != nil {
		return err
	}
	s.mu.Lock()
	left := s.left
	s.left = nil
	s.mu.Unlock()
	s.syncLeft(append(left, f))
	if err := s.options.files.syncDir(filepath.Dir(s.path)); err != nil {
		s.doubt(err)
	}
	if err := s.doubted.Load(); err != nil {
		return *err
	}
	return nil
}

// current opens the file at the path. That comes before the files that were left are looked at: one that is rotated meanwhile
// is this one, or among them.
func (s *FileSink) current() (file, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNoDisk
	}
	return s.options.files.read(s.path)
}
