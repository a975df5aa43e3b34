package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// syncer is a Sink that can bring what it has taken to where loss of power does not reach it.
type syncer interface{ Sync() error }

// maxLeft is how many files that were left wait for a Sync; of more, the oldest are given up.
const maxLeft = 8

// secure returns nil when a sink that can has everything it has taken on its disk: a head is anchored after that, so that no
// anchor tells of a record which loss of power may take. It waits for the timeout at most, and for one call at a time.
func (l *Log) secure() error {
	if !l.securing.CompareAndSwap(false, true) {
		return ErrHung
	}
	done := make(chan error, 1)
	go func() {
		defer l.securing.Store(false)
		done <- l.sync()
	}()
	wait := time.NewTimer(l.options.Timeout)
	defer wait.Stop()
	select {
	case err := <-done:
		return err
	case <-wait.C:
		return ErrHung
	}
}

func (l *Log) sync() error {
	var failures error
	secured, able := 0, 0
	for _, s := range l.options.Sinks {
		y, ok := s.(syncer)
		if !ok {
			continue
		}
		able++
		if err := y.Sync(); err != nil {
			failures = errors.Join(failures, fmt.Errorf("%s: %w", s.Name(), err))
		} else {
			secured++
		}
	}
	if able > 0 && secured == 0 {
		return failures
	}
	return nil
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
	if len(s.left) > maxLeft {
		s.left[0].Close()
		s.left = s.left[1:]
	}
}

// Sync brings everything that was written before to the disk. It may be called beside Write; one call at a time.
func (s *FileSink) Sync() error {
	if s.options.Fsync {
		return nil
	}
	s.mu.Lock()
	left := s.left
	s.left = nil
	s.mu.Unlock()
	var errs error
	for _, f := range left {
		errs = errors.Join(errs, f.Sync(), f.Close())
	}
	return errors.Join(errs, s.options.files.syncFile(s.path))
}

// syncFile syncs the file at path and the directory that names it. What is no regular file has nothing to sync.
func (o osFiles) syncFile(path string) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Sync(), o.syncDir(filepath.Dir(path)))
}
