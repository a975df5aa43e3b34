package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// reign is what a leader knows that only holds while it leads. It is made when Raft elects this
// node and dropped with the leadership: nothing of it outlives the term.
type reign struct {
	ctx    context.Context // ends with the leadership
	cancel context.CancelFunc
	term   uint64
	since  time.Duration // boot time of the election as noticed here

	working atomic.Bool // scheduled work is under way
	tending atomic.Bool // the membership is being brought in order

	mu      sync.Mutex
	told    bool                // guarded by mu: that this node leads
	members map[string]*contact // guarded by mu; by node id
	clocks  clocks              // guarded by mu
	digests digests             // guarded by mu
	checked time.Duration       // guarded by mu: boot time of the last checkpoint proposal
	worked  time.Duration       // guarded by mu: boot time of the last look for scheduled work
}

// contact is what a leader heard from a member.
type contact struct {
	since  time.Duration // boot time of the first poll in an unbroken row
	last   time.Duration // boot time of the last poll
	until  time.Duration // boot time at which the last lease that a poll may have given is over
	report pollRequest
}

// lead follows Raft's leadership: it begins a reign when elected, makes it public once ready, and
// does the leader's duties.
func (r *Replica) lead() {
	changes := r.raft.LeaderCh()
	ticker := time.NewTicker(r.timing.Duty)
	defer ticker.Stop()
	var g *reign // this term's, ready or not
	end := func() {
		if g != nil {
			r.depose(g)
			g = nil
		}
	}
	defer end()
	for {
		select {
		case <-r.ctx.Done():
			return
		case leads := <-changes:
			end()
			if leads {
				g = r.newReign()
			}
		case <-ticker.C:
			// LeaderCh keeps only the newest change: a loss and a win between two looks show as a new term.
			if g != nil && g.term != r.raft.CurrentTerm() && r.raft.State() == raft.Leader {
				end()
				g = r.newReign()
			}
			if g != nil {
				r.duties(g)
			}
		}
	}
}

// newReign begins the reign of the current term. Its ascent goes on after lead has moved to another one.
// depose ends a reign, ready or not. It is cancelled first: ascend makes it public and then looks
// whether it was cancelled, so one of the two takes it back.
func (r *Replica) depose(g *reign) {
	g.cancel()
	r.reign.Store(nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told {
		r.tell(Event{Name: EventDeposed, Term: g.term})
	}
}

// proclaim tells that this node leads, unless the reign is over: then its end was not told either.
func (r *Replica) proclaim(g *reign) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() == nil {
		g.told = true
		r.tell(Event{Name: EventElected, Term: g.term})
	}
}

func (r *Replica) newReign() *reign {
	g := &reign{term: r.raft.CurrentTerm(), since: r.clock.Boot(), members: map[string]*contact{}, digests: digests{}}
	g.ctx, g.cancel = context.WithCancel(r.ctx)
	g.clocks = newClocks(r.fsm.View().LogTime(), g.since)
	g.checked, g.worked = g.since, g.since
	r.tasks.Go(func() { r.ascend(g) })
	return g
}

// ascend makes g the reign once an entry of its term is committed and applied, and a majority of the
// voters told their clocks.
func (r *Replica) ascend(g *reign) {
	for g.ctx.Err() == nil {
		if err := await(g.ctx, r.raft.Barrier(r.timing.Propose)); err == nil {
			err = r.verify(g)
			if err == nil && r.stillLeads(g) {
				r.log.Info("this node leads", "term", g.term)
				r.reign.Store(g)
				if !r.stillLeads(g) || g.ctx.Err() != nil {
					r.reign.CompareAndSwap(g, nil)
				}
				r.proclaim(g)
				return
			}
		}
		if !pause(g.ctx, leaderRetry) {
			return
		}
	}
}

func (r *Replica) stillLeads(g *reign) bool {
	return r.raft.State() == raft.Leader && r.raft.CurrentTerm() == g.term
}

// duties is the leader's work, done at every tick. What takes long runs in goroutines of its own,
// one of each kind at a time.
func (r *Replica) duties(g *reign) {
	if why := r.shouldStepDown(); why != "" {
		r.handOver(why)
	}
	if r.reign.Load() != g {
		return
	}
	r.noteOwnClock(g)
	r.judge(g)
	r.tend(g)
	r.checkpoint(g)
	r.work(g)
}

// shouldStepDown says why another node would lead better, or "".
func (r *Replica) shouldStepDown() string {
	switch {
	case r.quarantined() != "":
		return "this node is quarantined"
	case r.diskTrouble() != "":
		return "this node's log has trouble"
	case r.cfg.Opened.Sealed():
		return "this node is sealed"
	}
	return r.cfg.Unfit()
}

// handOver begins to give leadership to the fittest voter heard of lately, at most one attempt at a
// time and per election timeout. A sealed leader keeps it when all are sealed.
func (r *Replica) handOver(why string) <-chan struct{} {
	done := make(chan struct{})
	now := r.clock.Boot()
	g := r.reign.Load()
	to, ok := raft.Server{}, false
	if g != nil {
		to, ok = r.successor(g, now)
	}
	last := r.handed.Load()
	if !ok || last != 0 && now-time.Duration(last) < 2*r.timing.ElectionTimeout || !r.handed.CompareAndSwap(last, int64(now)) {
		close(done)
		return done
	}
	r.log.Info("handing leadership over", "to", to.Address, "because", why)
	go func() { // apart from tasks: a transfer asked of a hung Raft is answered when it is no more
		defer close(done)
		if err := r.raft.LeadershipTransferToServer(to.ID, to.Address).Error(); err != nil {
			r.log.Warn("handing leadership over failed", "to", to.Address, "error", err)
		}
	}()
	return done
}

// successor picks a voter that was heard of within the contact time and is well: an unsealed one
// before a sealed one, then the one that has applied most. A sealed leader has no sealed successor.
func (r *Replica) successor(g *reign, now time.Duration) (best raft.Server, ok bool) {
	var found pollRequest
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range r.voters() {
		c := g.members[string(s.ID)]
		if string(s.ID) == r.nodeID || c == nil || now-c.last > r.timing.Contact || c.report.Trouble != "" {
			continue
		}
		q := c.report
		if q.Sealed && r.cfg.Opened.Sealed() {
			continue
		}
		better := found.Sealed && !q.Sealed || found.Sealed == q.Sealed && q.Applied > found.Applied
		if !ok || better {
			best, found, ok = s, q, true
		}
	}
	return best, ok
}

// await waits for a future of Raft or for the end of ctx. Raft forgets some futures when it shuts
// down, and answers none while its thread hangs in a write.
func await(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note keeps what a poll told. It is called before the poll is answered.
func (g *reign) note(id string, q pollRequest, now, contactTime time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.members[id]
	if c == nil {
		c = &contact{since: now}
		g.members[id] = c
	}
	if now-c.last > contactTime {
		c.since = now
	}
	until := now + leaseOf(q) + drift(leaseOf(q))
	if q.Sent <= c.report.Sent { // overtaken by a newer report, whose lease may be the longer one
		until = max(until, c.until)
	}
	q.Sent = max(q.Sent, c.report.Sent)
	c.last, c.report, c.until = now, q, until
}
