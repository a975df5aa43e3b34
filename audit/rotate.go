package audit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

const (
	rotateAgain  = time.Minute // a rotation that failed is tried again after this
	sweepEvery   = time.Hour
	sweepAgain   = time.Minute // after a sweep, when writes fail
	nameAttempts = 1000        // ms that a name may be later than the rotation, when there is a file of that name
)

// begin notes the size and the period of the file. The period is that of the last record; an empty file has none yet.
func (s *FileSink) begin(size int64, last time.Time) {
	s.size.Store(size)
	s.ends.Store(0)
	if s.options.MaxAge > 0 && size > 0 {
		s.ends.Store(last.Truncate(s.options.MaxAge).Add(s.options.MaxAge).UnixNano())
	}
}

// WantsRotation reports whether the file is due: it is as large as it may be, or its period is over.
func (s *FileSink) WantsRotation(now time.Time) bool {
	size, ends, at := s.size.Load(), s.ends.Load(), now.UnixNano()
	if at < s.patience.Load() {
		return false
	}
	return s.options.MaxSize > 0 && size >= s.options.MaxSize || ends != 0 && at >= ends
}

// tidy does, after a write, what is due with the files.
func (s *FileSink) tidy(rotate bool) {
	now := s.options.Now()
	if s.ends.Load() == 0 {
		s.begin(s.size.Load(), now)
	}
	if rotate && s.WantsRotation(now) {
		if err := s.rotate(now); err != nil {
			s.patience.Store(now.Add(rotateAgain).UnixNano())
			s.report("the audit file cannot be rotated; it is written on", err)
		} else {
			s.sweepAt = now
		}
	}
	if !now.Before(s.sweepAt) {
		s.retain(now)
	}
}

// retain starts a sweep, if there are bounds and none runs.
func (s *FileSink) retain(now time.Time) {
	if s.options.Retain == 0 && s.options.RetainSize == 0 || !s.sweeping.CompareAndSwap(false, true) {
		return
	}
	s.swept, s.sweepAt = now, now.Add(sweepEvery)
	s.sweeps.Go(func() {
		defer s.sweeping.Store(false)
		s.sweep(now)
	})
}

// retainSoon does so after a write that failed, once a minute at most: such writes come one after the other.
func (s *FileSink) retainSoon() {
	if now := s.options.Now(); now.Sub(s.swept) >= sweepAgain {
		s.retain(now)
	}
}

// rotate moves the file to a name with the time, never onto another file, and opens the next one. With an error the file
// is where it was.
func (s *FileSink) rotate(now time.Time) error {
	var err error
	for i := range nameAttempts {
		err = s.options.files.move(s.path, chain.RotatedName(s.path, now.Add(time.Duration(i)*time.Millisecond)))
		if !errors.Is(err, os.ErrExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	s.leave()
	s.size.Store(0)
	s.trouble.Store(nil)
	if err := s.open(); err != nil {
		s.options.Logger.Error("after its rotation the audit file cannot be opened", "error", err) // the next batch tries again
	}
	return nil
}

// old is a rotated file.
type old struct {
	path string
	ours bool      // rotated by this sink, not by logrotate(8)
	at   time.Time // when it was rotated, as its name says, else when it was written last
	size int64
}

// rotatedFiles lists what the file was rotated to, oldest first.
func (s *FileSink) rotatedFiles() ([]old, error) {
	entries, err := s.options.files.list(filepath.Dir(s.path))
	if err != nil {
		return nil, err
	}
	var all []old
	for _, e := range entries {
		at, ours, ok := chain.Rotated(s.path, e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it has gone
		}
		if !ours {
			at = info.ModTime()
		}
		all = append(all, old{filepath.Join(filepath.Dir(s.path), e.Name()), ours, at, info.Size()})
	}
	slices.SortStableFunc(all, func(a, b old) int { return a.at.Compare(b.at) })
	return all, nil
}

// sweep removes rotated files that are too old or too many. The record of it is written first: a file whose removal nobody
// wrote down looks like one that somebody took away. It is removed even though the record has to wait, since the space may
// be what is missing.
func (s *FileSink) sweep(now time.Time) {
	all, err := s.rotatedFiles()
	if err != nil {
		s.report("old audit files cannot be listed", err)
		return
	}
	all = slices.DeleteFunc(all, func(f old) bool { return !f.ours })
	total := s.size.Load()
	for _, f := range all {
		total += f.size
	}
	for _, f := range all {
		aged := s.options.Retain > 0 && now.Sub(f.at) > s.options.Retain
		if !aged && (s.options.RetainSize == 0 || total <= s.options.RetainSize) {
			return
		}
		if err := s.discard(f); errors.Is(err, ErrClosed) {
			return
		} else if err != nil {
			s.report("an old audit file cannot be removed", err)
			return
		}
		total -= f.size
	}
}

func (s *FileSink) discard(f old) error {
	name := filepath.Base(f.path)
	if s.record != nil {
		first, last, err := rangeOf(f.path)
		if err != nil {
			return err
		}
		err = s.record(eventRemoved, Pair{Key: "sink", Value: s.Name()}, Pair{Key: "file", Value: name}, Int("firstSeq", int64(first)),
			Int("lastSeq", int64(last.Seq)), Pair{Key: "lastHash", Value: last.Hash.String()})
		if errors.Is(err, ErrClosed) {
			return err
		}
	}
	if err := s.options.files.remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.options.Logger.Info("an old audit file was removed", "file", name)
	return nil
}

// report notes what could not be done with files.
func (s *FileSink) report(what string, err error) {
	s.trouble.Store(&err)
	s.options.Logger.Error(what, "file", s.path, "error", err)
}
