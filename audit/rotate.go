package audit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
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
	s.full.Store(false)
	if s.ends.Load() == 0 {
		s.begin(s.size.Load(), now)
	}
	if rotate && s.WantsRotation(now) {
		if err := s.rotate(now); err != nil {
			s.patience.Store(now.Add(rotateAgain).UnixNano())
			s.report(&s.rotation, "the audit file cannot be rotated; it is written on", err)
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

// retainSoon does so after a write that failed, since room may be what is missing; once a minute at most: such writes come one after
// the other.
func (s *FileSink) retainSoon(failure error) {
	s.full.Store(errors.Is(failure, syscall.ENOSPC) || errors.Is(failure, syscall.EDQUOT))
	if now := s.options.Now(); now.Sub(s.swept) >= sweepAgain {
		s.retain(now)
	}
}

// rotate moves the file to a name with the time, never onto another file, and opens the next one. The name is later than those that
// are there, also when the clock was set back: their order is that of the chain. With an error the file is where it was.
func (s *FileSink) rotate(now time.Time) error {
	all, err := s.rotatedFiles()
	if err != nil {
		return err
	}
	for _, f := range all {
		if after := f.at.Add(time.Millisecond); f.ours && after.After(now) {
			now = after
		}
	}
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
	s.rotation.Store(nil)
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

// sweep removes rotated files that are too old or too many, from the oldest on: what is left is a trail without its beginning.
//
// That is on record first, in this sink and signed: a file whose removal nobody wrote down looks like one that somebody took away, and
// so does one whose removal was written down but not signed before the node was started again, since anybody can have written that. A file
// that is only too old waits for it. When the files take too much room, or room is what writes want, they go all the same.
func (s *FileSink) sweep(now time.Time) {
	all, err := s.rotatedFiles()
	if err != nil {
		s.report(&s.removal, "old audit files cannot be listed", err)
		return
	}
	all = slices.DeleteFunc(all, func(f old) bool { return !f.ours })
	total := s.size.Load()
	for _, f := range all {
		total += f.size
	}
	for i, f := range all {
		aged := s.options.Retain > 0 && now.Sub(f.at) > s.options.Retain
		large := s.options.RetainSize > 0 && total > s.options.RetainSize
		if !aged && !large {
			break
		}
		next := s.path
		if i+1 < len(all) {
			next = all[i+1].path
		}
		err := s.announce(f.path, next, large)
		if errors.Is(err, ErrClosed) || err != nil && !large && !s.full.Load() {
			return
		}
		err = s.options.files.remove(f.path)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // without it the next one would leave a hole, which nothing explains
			s.report(&s.removal, "an old audit file cannot be removed", err)
			return
		}
		s.options.Logger.Info("an old audit file was removed", "file", filepath.Base(f.path))
		total -= f.size
	}
	s.removal.Store(nil)
}

// announce puts on record that the file at path is removed, behind which the one at next stands. What it held, if it cannot be read,
// follows from where the next one begins.
func (s *FileSink) announce(path, next string, unsigned bool) error {
	if s.record == nil {
		return nil
	}
	first, last, err := rangeOf(path)
	if err != nil {
		s.options.Logger.Error("an old audit file cannot be read; it is removed", "file", path, "error", err)
		if behind, _, err := rangeOf(next); err == nil && behind.Seq > 0 {
			last.Seq, last.Hash = behind.Seq-1, behind.Prev
		}
	}
	err = s.record(unsigned || s.full.Load(), eventRemoved, Pair{Key: "sink", Value: s.Name()}, Pair{Key: "file", Value: filepath.Base(path)},
		Int("firstSeq", int64(first.Seq)), Int("lastSeq", int64(last.Seq)), Pair{Key: "lastHash", Value: last.Hash.String()})
	if err == nil {
		err = s.Sync() // loss of power may not take the record and leave the removal
	}
	return err
}

// report notes what could not be done with files, until it could.
func (s *FileSink) report(where *atomic.Pointer[error], what string, err error) {
	where.Store(&err)
	s.options.Logger.Error(what, "file", s.path, "error", err)
}
