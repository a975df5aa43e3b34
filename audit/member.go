package audit

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxQueue   = 8 << 20         // bytes of batches that may wait for one sink
	retryAfter = 1 * time.Second // a sink that failed, and that the others make up for, is tried again after this
)

// member is a sink with its queue. A sink takes batches in order, and a batch that follows one it missed only when that
// begins with AuditRecordsMissed: so no gap in a sink is without its explanation.
type member struct {
	sink  Sink
	name  string     // immutable
	ready *sync.Cond // on Log.mu: there is something in the queue, or the log is closed

	syncing atomic.Bool // somebody syncs the sink, or waits to

	// All below is guarded by Log.mu.
	queue   []*batch
	queued  int    // bytes
	writing *batch // is being written
	began   time.Time
	hung    bool // the write has passed its timeout, and counts as failed

	chosen  bool   // gets the batch that is being made
	taken   mark   // the last record that the sink acknowledged
	gap     uint64 // the first record that it missed; 0: none
	why     error  // it missed that
	lacked  uint64 // the last record of the last gap that was told; 0: none
	telling *batch // begins with AuditRecordsMissed about the gap
	later   uint64 // the first record of another gap, which began behind telling; 0: none
	retry   time.Time

	records uint64 // acknowledged
	misses  uint64 // records missed
	last    error  // of the last write; nil: it went well

	awaited uint64        // the record that somebody waits for until the sink has it, or missed it
	arrival chan struct{} // closed then; nil: nobody waits
}

// join makes the members, and finds where the chain goes on: at the highest record that one of them has, the first of them
// if several have that number. One that has less has missed the difference, and one that has another record of that number
// has missed this chain.
func (l *Log) join(sinks []Sink) {
	for _, s := range sinks {
		m := &member{sink: s, name: s.Name(), ready: sync.NewCond(&l.mu)}
		l.members = append(l.members, m)
		if f, ok := s.(finder); ok {
			found := f.Last()
			m.taken = mark{found.Seq, found.Hash}
			if found.Seq > l.found.Seq {
				l.found = found
			}
		}
	}
	for _, m := range l.members {
		if _, ok := m.sink.(finder); !ok {
			continue
		}
		switch {
		case m.taken.seq < l.found.Seq:
			m.gap, m.why = m.taken.seq+1, errBehind
		case m.taken.hash != l.found.Hash: // how far back they agree is not known
			m.gap, m.why, m.taken = 1, errBeside, mark{}
		}
	}
}

var (
	errBehind = errors.New("the sink has fewer records than another one")
	errBeside = errors.New("the sink has other records than another one")
)

// start starts the goroutines. A single sink is written to by the committer itself, which saves a switch a batch.
func (l *Log) start() {
	l.ended.Add(1)
	go l.commit()
	if l.single() {
		return
	}
	for _, m := range l.members {
		l.ended.Add(1)
		go l.serve(m)
	}
}

func (l *Log) single() bool { return len(l.members) == 1 }

// choose decides which sinks get the next batch; an error when they are too few. mu is held.
func (l *Log) choose(now time.Time) error {
	n := 0
	for _, m := range l.members {
		if m.chosen = m.able() && !now.Before(m.retry); m.chosen {
			n++
		}
	}
	for _, m := range l.members { // those that are needed are tried at once
		if n < l.options.Require && !m.chosen && m.able() {
			m.chosen = true
			n++
		}
	}
	if n >= l.options.Require {
		return nil
	}
	var err error
	for _, m := range l.members {
		switch {
		case m.chosen:
		case m.hung:
			err = errors.Join(err, m.named(ErrHung))
		default:
			err = errors.Join(err, m.named(ErrBusy))
		}
	}
	return err
}

// able reports whether a batch may be queued: a sink with a gap has to have settled everything before, so that its last
// record is certain. Log.mu is held.
func (m *member) able() bool {
	switch {
	case m.hung || m.queued > maxQueue:
		return false
	case m.gap == 0:
		return true
	case m.telling != nil:
		return m.later == 0
	default:
		return m.writing == nil && len(m.queue) == 0
	}
}

// deliver hands a batch to the chosen sinks. The others miss it, also those that have failed since they were chosen.
func (l *Log) deliver(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(b.Ends) == 0 { // a head was asked for, and nobody signs
		l.settle(b)
		return
	}
	b.due = b.at.Add(l.options.Timeout)
	l.arm()
	for _, m := range l.members {
		if !m.chosen || m.hung || m.gap != 0 && m.telling == nil || m.later != 0 {
			why := m.why
			switch {
			case m.hung:
				why = ErrHung
			case why == nil:
				why = ErrBusy
			}
			m.miss(b, why)
			l.failed(m, b, why)
			continue
		}
		m.queue = append(m.queue, b)
		m.queued += len(b.Lines)
		b.open++
		m.ready.Signal()
	}
}

// serve is the goroutine of a sink.
func (l *Log) serve(m *member) {
	defer l.ended.Done()
	for l.await(m) {
		l.pump(m)
	}
	l.closeSink(m)
}

// await waits for a batch; false when the log is closed and none will come.
func (l *Log) await(m *member) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(m.queue) == 0 {
		if l.finished {
			return false
		}
		m.ready.Wait()
	}
	return true
}

// pump writes what is in the queue.
func (l *Log) pump(m *member) {
	for b := l.next(m); b != nil; b = l.next(m) {
		began := m.began // nobody else changes it
		err := m.sink.Write(&b.Batch)
		if l.options.Observe != nil {
			l.options.Observe(m.name, l.options.Now().Sub(began), err)
		}
		l.wrote(m, b, err)
	}
}

// next takes a batch from the queue and begins to watch the time; nil when there is none.
func (l *Log) next(m *member) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(m.queue) == 0 {
		return nil
	}
	b := m.queue[0]
	n := copy(m.queue, m.queue[1:])
	m.queue[n] = nil
	m.queue = m.queue[:n]
	m.queued -= len(b.Lines)
	m.writing, m.began = b, l.options.Now()
	l.arm()
	return b
}

// arm makes the alarm ring within the timeout; mu is held.
func (l *Log) arm() {
	if !l.armed {
		l.armed = true
		l.alarm.Reset(l.options.Timeout)
	}
}

// wrote notes how a write ended.
func (l *Log) wrote(m *member, b *batch, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counted := m.hung
	m.writing, m.hung, m.last = nil, false, err
	if counted {
		l.down = l.hung()
	}
	if err != nil {
		m.retry = l.options.Now().Add(retryAfter)
		m.miss(b, err)
		if !counted {
			l.failed(m, b, err)
		}
		l.flush(m, 0, err)
	} else {
		m.taken = b.last
		b.answer(m, nil)
		m.records += uint64(len(b.Ends))
		if m.telling == b {
			m.telling, m.gap, m.later, m.lacked = nil, m.later, 0, b.First-1
		}
		m.arrive()
		if m.gap == 0 {
			m.why = nil
		}
		if !counted {
			b.taken++
			l.settle(b)
		}
	}
	l.release(b)
}

// miss notes that the sink did not take b. Log.mu is held.
func (m *member) miss(b *batch, why error) {
	m.misses += uint64(len(b.Ends))
	b.answer(m, why)
	switch {
	case m.telling == b:
		m.telling, m.later = nil, 0
	case m.telling != nil:
		if m.later == 0 {
			m.later = b.First
		}
	case m.gap == 0 || b.First < m.gap:
		m.gap, m.why = b.First, why
	}
	m.arrive()
}

// failed counts a sink that does not take b in time; mu is held.
func (l *Log) failed(m *member, b *batch, why error) {
	b.failed++
	b.failure = errors.Join(b.failure, m.named(why))
	l.settle(b)
}

// named says whose error it is; nil stays nil.
func (m *member) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", m.name, err)
}

// flush makes the sink miss what is in its queue from place i on; mu is held.
func (l *Log) flush(m *member, i int, why error) {
	for _, b := range m.queue[i:] {
		m.queued -= len(b.Lines)
		m.miss(b, why)
		l.failed(m, b, why)
		l.release(b)
	}
	clear(m.queue[i:])
	m.queue = m.queue[:i]
}

// expire is called by the alarm, which is set at most once a timeout: it gives up writes that have passed it, and a batch for
// which callers wait, wherever it waits, when they have waited so long. What waits behind is given up too, and is not
// written later.
func (l *Log) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	now, first := l.options.Now(), time.Duration(-1)
	passed := func(end time.Time) bool {
		left := end.Sub(now)
		if left > 0 && (first < 0 || left < first) {
			first = left
		}
		return left <= 0
	}
	for _, m := range l.members {
		if b := m.writing; b != nil && !m.hung && passed(m.until(l.options.Timeout)) {
			m.hung, m.last = true, ErrHung
			l.failed(m, b, ErrHung)
			l.flush(m, 0, ErrHung)
		}
		// Only the last can be unsettled. The sink is slow, and goes on with what it has to write.
		if i := len(m.queue) - 1; i >= 0 && m.queue[i].group != nil && passed(m.queue[i].due) {
			l.flush(m, i, ErrBusy)
		}
	}
	if first >= 0 {
		l.armed = true
		l.alarm.Reset(first)
	}
	if l.down = l.hung(); l.down != nil {
		l.pending.err = l.down
		close(l.pending.settled)
		l.renewPending()
	}
}

// until returns when the write that is under way counts as failed; mu is held.
func (m *member) until(timeout time.Duration) time.Time {
	end := m.began.Add(timeout)
	if m.writing.group != nil && m.writing.due.Before(end) {
		return m.writing.due
	}
	return end
}

// hung says which writes hang if they leave too few sinks, until one of them ends; else nil. mu is held.
func (l *Log) hung() error {
	var err error
	n := 0
	for _, m := range l.members {
		if m.hung {
			err = errors.Join(err, m.named(ErrHung))
			n++
		}
	}
	if n <= len(l.members)-l.options.Require {
		return nil
	}
	return err
}

// endMembers ends what the committer started.
func (l *Log) endMembers() {
	defer l.ended.Done()
	l.mu.Lock()
	l.finished = true
	for _, m := range l.members {
		m.ready.Signal()
	}
	l.mu.Unlock()
	if l.single() {
		l.closeSink(l.members[0])
	}
}

func (l *Log) closeSink(m *member) {
	err := m.sink.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeErr = errors.Join(l.closeErr, err)
}

// end waits until everything is written and the sinks are closed, at most the timeout.
func (l *Log) end() error {
	close(l.work)
	ended := make(chan struct{})
	go func() {
		l.ended.Wait()
		close(ended)
	}()
	wait := time.NewTimer(l.options.Timeout)
	defer wait.Stop()
	select {
	case <-ended:
		l.alarm.Stop()
		return l.closeErr
	case <-wait.C:
		return ErrHung
	}
}
