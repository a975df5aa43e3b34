package audit

import (
	"runtime"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

const (
	keepLines   = 1 << 20 // bytes; the lines of a larger batch are not kept for another
	keepBatches = 4
)

// group is what callers wait for together: it becomes one batch. Callers wait for settled and then read err and signed.
type group struct {
	lines []*[]byte // guarded by Log.mu while pending, then owned by the committer: records without their links
	head  bool      // as lines: AuditHead comes behind them
	stop  bool      // as lines: AuditStopped comes behind that
	note  bool      // as lines: somebody waits for the notices
	asks  []ask     // as lines

	settled chan struct{} // closed under Log.mu, once
	err     error         // written before settled is closed
	signed  *chain.Head   // written before settled is closed: what AuditHead covers
}

// ask is somebody who waits until a sink has taken the batch, or has missed it.
type ask struct {
	by    *member
	taken chan error // buffered 1
}

func (g *group) empty() bool { return len(g.lines) == 0 && !g.head && !g.stop && !g.note }

// batch is a Batch on its way to the sinks.
type batch struct {
	Batch
	group   *group // nil once settled
	last    mark
	about   []notice // what it begins with
	asks    []ask    // answered under Log.mu
	notices int      // how many of the log's notices that has
	late    int      // how many of the log's late records that has
	block   *block   // what it ends when enough sinks have it; nil: nothing
	dropped int64    // how many of the log's dropped records it tells of
	at      time.Time
	due     time.Time  // when callers have waited long enough
	signer  Signer     // nil: none
	head    chain.Head // what AuditHead covers; the zero Head: there is none

	open    int   // guarded by Log.mu: who may still read it: the committer, sinks
	taken   int   // guarded by Log.mu: sinks that have it
	failed  int   // guarded by Log.mu: sinks that will not have it in time
	failure error // guarded by Log.mu: why, joined
}

// mark is a place in the chain.
type mark struct {
	seq  uint64
	hash chain.Hash
}

// notice makes a record of the trail about itself, at the place in the chain that it gets. It is repeated until enough sinks
// have it.
type notice func(seq uint64, prev chain.Hash) Record

// renewPending begins an empty group; mu is held, or nobody else has l.
func (l *Log) renewPending() {
	l.pending = &group{lines: l.spare[:0], settled: make(chan struct{})}
	l.spare, l.waiting = nil, 0
}

// enqueue adds a record without its link, which must stay as it is until the group is settled.
func (l *Log) enqueue(line *[]byte) (*group, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.down != nil:
		return nil, l.down
	case l.waiting+len(*line) > maxPending:
		return nil, ErrFull
	}
	l.waiting += len(*line)
	l.pending.lines = append(l.pending.lines, line)
	l.wake()
	return l.pending, nil
}

// request changes the pending group otherwise than by a record.
func (l *Log) request(change func(*group)) (*group, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.down != nil:
		return nil, l.down
	}
	change(l.pending)
	l.wake()
	return l.pending, nil
}

// note adds notices and waits until enough sinks have them. With an error they stay, for the next batch.
func (l *Log) note(n ...notice) error {
	g, err := l.post(n...)
	if err != nil {
		return err
	}
	<-g.settled
	return g.err
}

// post adds notices. With any error but ErrClosed they stay, for the next batch.
func (l *Log) post(n ...notice) (*group, error) {
	return l.postWith(func(*group) {}, n...)
}

// postWith does so and changes the group that they become a part of.
func (l *Log) postWith(change func(*group), n ...notice) (*group, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	l.notices = append(l.notices, n...)
	if l.down != nil {
		return nil, l.down
	}
	l.pending.note = true
	change(l.pending)
	l.wake()
	return l.pending, nil
}

// wake sees to it that the committer takes the pending group; mu is held.
func (l *Log) wake() {
	if l.busy {
		return
	}
	select {
	case l.work <- struct{}{}:
	default: // it is awake, or will be
	}
}

// commit is the goroutine that makes batches, one after the other: the next begins when the last is settled.
func (l *Log) commit() {
	defer l.endMembers()
	for range l.work {
		// Whoever else is ready to run goes first: under load their records share this batch, which
		// is several times cheaper than a write and a switch for each.
		runtime.Gosched()
		for g, b := l.take(); g != nil; g, b = l.take() {
			if b == nil {
				continue // it failed
			}
			l.compose(g, b)
			l.deliver(b)
			if l.single() {
				l.pump(l.members[0])
			}
			<-g.settled
			if g.err == nil && b.block != nil {
				l.logger.Info("audit records are written again", "blocked_since", b.block.since)
			}
			l.reuse(g, b)
		}
	}
}

// take takes the pending group, and decides which sinks get it; nil when there is nothing to do. Without a batch the group
// has failed already: too few sinks are left for it, so it gets no place in the chain.
func (l *Log) take() (*group, *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.pending
	if l.busy = !g.empty(); !l.busy {
		return nil, nil
	}
	l.renewPending()
	now := l.options.Now()
	if g.err = l.choose(now); g.err != nil {
		close(g.settled)
		return g, nil
	}
	b := l.newBatch(g, now)
	g.head = g.head || g.stop || b.Rotate
	return g, b
}

// newBatch makes the batch that begins with what the trail says of itself: first which records the chosen sinks have missed,
// so that what explains a gap stands right behind it. mu is held.
func (l *Log) newBatch(g *group, now time.Time) *batch {
	var b *batch
	if n := len(l.batches); n > 0 {
		b, l.batches = l.batches[n-1], l.batches[:n-1]
		clear(b.about)
		*b = batch{Batch: Batch{Lines: b.Lines[:0], Ends: b.Ends[:0]}, about: b.about[:0]}
	} else {
		b = new(batch)
	}
	b.group, b.asks, b.at, b.signer, b.open = g, g.asks, now, l.signer, 1
	b.First = l.seq + 1
	for _, m := range l.members {
		if !m.chosen {
			continue
		}
		if m.gap != 0 && m.telling == nil {
			m.telling = b
			b.about = append(b.about, l.missed(m, l.seq))
		}
		if r, ok := m.sink.(rotator); ok && r.WantsRotation(now) {
			b.Rotate = true
		}
	}
	b.notices, b.late, b.block = len(l.notices), 0, l.blocked.Load()
	b.about = append(b.about, l.notices...)
	if b.block == nil || g.stop { // each attempt to end that time would write them into the sinks that work
		b.late = len(l.late)
		b.about = append(b.about, l.late...)
	}
	if b.dropped = l.dropped; b.dropped > 0 {
		b.about = append(b.about, l.lost(b.dropped))
	}
	return b
}

// compose makes the lines of a batch.
func (l *Log) compose(g *group, b *batch) {
	for _, n := range b.about {
		l.tell(b, n)
	}
	for _, line := range g.lines {
		l.chain(b, *line)
	}
	if g.head && b.signer != nil {
		l.sign(b)
	}
	if g.stop {
		l.tell(b, l.stopped)
	}
	b.last = mark{l.seq, l.hash}
}

func (l *Log) tell(b *batch, n notice) {
	r := n(l.seq+1, l.hash)
	if r.EventID == ([16]byte{}) {
		r.EventID = l.nextID()
	}
	l.text = r.appendOpen(l.text[:0])
	l.chain(b, l.text)
}

// chain ends a record with its place in the chain.
func (l *Log) chain(b *batch, record []byte) {
	start := len(b.Lines)
	b.Lines = append(b.Lines, record...)
	l.seq++
	b.Lines, l.hash = chain.AppendLink(b.Lines, start, l.seq, l.hash)
	b.Lines = append(b.Lines, '\n')
	b.Ends = append(b.Ends, len(b.Lines))
}

// settle lets the callers of a batch go as soon as its outcome is certain; mu is held.
func (l *Log) settle(b *batch) {
	g := b.group
	switch {
	case g == nil:
		return
	case b.taken >= l.options.Require || len(b.Ends) == 0:
		if len(b.Ends) > 0 { // else earlier records, which may have failed, are the last
			l.acked = b.last.seq
			l.blocked.CompareAndSwap(b.block, nil)
		}
		l.notices = l.notices[b.notices:]
		l.late = l.late[b.late:]
		l.dropped -= b.dropped
		if len(l.notices) == 0 {
			l.notices = nil
		}
		if len(l.late) == 0 {
			l.late = nil
		} else if !l.closed { // the batch behind this one has them
			l.pending.note = true
			l.wake()
		}
		if b.head.Seq != 0 {
			head := b.head
			g.signed, l.headSeq, l.headTime = &head, head.Seq, b.at
		}
	case b.failed > len(l.members)-l.options.Require:
		g.err = b.failure
	default:
		return
	}
	b.group = nil
	close(g.settled)
}

// answer tells who asks for m how that ended; Log.mu is held.
func (b *batch) answer(m *member, err error) {
	for _, a := range b.asks {
		if a.by == m {
			select {
			case a.taken <- err:
			default: // of a batch that was given up and written late the first answer counts
			}
		}
	}
}

// reuse keeps what the next group can use.
func (l *Log) reuse(g *group, b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release(b)
	if l.spare == nil {
		clear(g.lines)
		l.spare = g.lines[:0]
	}
	g.lines = nil
}

// release gives a batch back when no sink reads it any more; mu is held.
func (l *Log) release(b *batch) {
	if b.open--; b.open == 0 && cap(b.Lines) <= keepLines && len(l.batches) < keepBatches {
		l.batches = append(l.batches, b)
	}
}
