package storage

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// write is one write under way. Its fields are guarded by LogStore.mu.
type write struct {
	what  string
	ticks int // of the watchdog since it began
	hung  bool
}

// write runs f, the only one at a time, under the watchdog, and latches its first failure.
func (l *LogStore) write(what string, f func() error) error {
	w := &write{what: what}
	l.mu.Lock()
	if err := l.refusal(); err != nil {
		l.mu.Unlock()
		return err
	}
	l.inflight = append(l.inflight, w)
	l.mu.Unlock()

	l.writing.Lock()
	err := l.refusalNow() // the write before this one may have failed
	refused := err != nil
	if !refused {
		err = guarded(f)
		refused = errors.Is(err, ErrDiskLow)
	}
	l.writing.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	l.inflight = slices.DeleteFunc(l.inflight, func(other *write) bool { return other == w })
	if w.hung && !slices.ContainsFunc(l.inflight, func(other *write) bool { return other.hung }) {
		l.hung = nil
		l.signal()
	}
	if err != nil && !refused {
		err = fmt.Errorf("%s: %w", what, err)
		l.latch(err)
	}
	return err
}

// refusal returns why no write may begin; mu is held.
func (l *LogStore) refusal() error {
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

func (l *LogStore) refusalNow() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal()
}

// latch keeps the first failure for ever; mu is held.
func (l *LogStore) latch(err error) {
	if l.failed == nil && !l.closed {
		l.failed = fmt.Errorf("%w: %w", ErrFailed, err)
		l.signal()
	}
}

// readFailed latches an error of a read other than one that comes from closing the store.
func (l *LogStore) readFailed(err error) error {
	if err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.latch(err)
	return err
}

// Arm is called once raft.NewRaft has returned. Raft panics when a term cannot be stored or a
// committed entry cannot be read, and a panic ends the process and so seals it. From Arm on such a
// call does not return its error: its goroutine waits until Release and then ends
// (runtime.Goexit). The node has been told through OnTrouble, and goes on serving crypto until its
// lease ends. So after Arm, GetLog, Set and SetUint64 are for Raft's goroutines alone; others use Peek.
func (l *LogStore) Arm() { l.armed.Store(true) }

// Release ends the goroutines that Arm made wait, and those that would wait later. It is called
// after raft.Raft.Shutdown and before its future is waited for. It may be called more than once.
func (l *LogStore) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isReleased {
		l.isReleased = true
		close(l.released)
	}
}

func (l *LogStore) park(err error) error {
	if err == nil || !l.armed.Load() {
		return err
	}
	<-l.released
	runtime.Goexit()
	return err
}

// Close releases what waits and closes the store. It does not wait for a write that hangs: then it
// returns ErrDiskHung and the file stays open until the process ends.
func (l *LogStore) Close() error {
	l.Release()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	busy := len(l.inflight) > 0
	l.mu.Unlock()
	if busy {
		return fmt.Errorf("%w: %s is left open", ErrDiskHung, l.path)
	}
	return guarded(l.close)
}

// Trouble returns why the store does not take every write now, or nil: the latched failure before
// a hang before low space.
func (l *LogStore) Trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.failed != nil:
		return l.failed
	case l.hung != nil:
		return l.hung
	default:
		return l.low
	}
}

// guarded runs f and turns into an error what bbolt makes of a damaged file or of a page that
// cannot be read: a panic, or a fault in the memory map.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("unreadable or damaged file: %v", p)
		}
	}()
	return f()
}

// checkSpace refuses commands while the disk is low. Writing anew what was just truncated passes:
// Raft forgets where its log ends when that is refused, and needs a restart to find out.
func (l *LogStore) checkSpace(logs []*raft.Log) error {
	isCommand := func(log *raft.Log) bool { return log.Type == raft.LogCommand }
	if !slices.ContainsFunc(logs, isCommand) {
		return nil
	}
	free, err := l.options.Free(l.path)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteSpace(free, err)
	if l.truncated {
		return nil
	}
	return l.low
}

// noteSpace updates low from a look at the free space; mu is held. A look that failed says nothing.
func (l *LogStore) noteSpace(free uint64, err error) {
	mark := l.options.LowWater
	switch {
	case err != nil:
		l.options.Logger.Warn("cannot tell the free disk space", "error", err)
	case l.low == nil && free < mark:
		l.low = fmt.Errorf("%w: %d bytes for %s, under the mark of %d", ErrDiskLow, free, l.path, mark)
		l.signal()
	case l.low != nil && free >= mark+mark/4:
		l.low = nil
		l.signal()
	}
}

// watch is the watchdog's goroutine: it counts ticks while writes are under way.
func (l *LogStore) watch() {
	ticks := l.options.Ticks
	if ticks == nil {
		ticker := time.NewTicker(defaultTick)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		select {
		case <-ticks:
			l.tick()
		case <-l.done:
			return
		}
	}
}

func (l *LogStore) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.inflight {
		if w.ticks++; w.ticks > l.options.HangTicks && !w.hung {
			w.hung = true
			if l.hung == nil {
				l.hung = fmt.Errorf("%w: %s", ErrDiskHung, w.what)
				l.signal()
			}
		}
	}
	if l.ticks++; l.ticks%probeTicks == 0 && !l.probing {
		l.probing = true
		go l.probe() // statfs may hang too, and the watchdog must not
	}
}

func (l *LogStore) probe() {
	free, err := l.options.Free(l.path)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.probing = false
	l.noteSpace(free, err)
}

// signal wakes notify; it never blocks.
func (l *LogStore) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// notify is the goroutine of the callbacks. It compares what was told last with what is, so the
// last call always tells the present state.
func (l *LogStore) notify() {
	var told error
	for {
		select {
		case <-l.wake:
		case <-l.done:
			return
		}
		now := l.Trouble()
		switch {
		case now == told:
		case now != nil:
			l.options.Logger.Error("the raft log has trouble", "error", now)
			if l.options.OnTrouble != nil {
				l.options.OnTrouble(now)
			}
		default:
			l.options.Logger.Info("the raft log has recovered", "from", told)
			if l.options.OnRecovered != nil {
				l.options.OnRecovered()
			}
		}
		told = now
	}
}
