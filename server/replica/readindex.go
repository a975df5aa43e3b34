package replica

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/transport"
)

// gate runs f for everyone who asks, one run at a time: a run is shared by those who joined before
// it began, so its result is never older than the question. gap is the least time between the
// beginnings of two runs.
type gate[T any] struct {
	ctx context.Context
	gap time.Duration
	f   func(ctx context.Context) (T, error)

	mu      sync.Mutex
	running bool     // guarded by mu
	next    *shot[T] // guarded by mu: not begun; nil when nobody waits
}

// shot is one run; value and err are set when done is closed.
type shot[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func newGate[T any](ctx context.Context, gap time.Duration, f func(context.Context) (T, error)) *gate[T] {
	return &gate[T]{ctx: ctx, gap: gap, f: f}
}

// ask waits for the result of a run that began after the call.
func (g *gate[T]) ask(ctx context.Context) (T, error) {
	g.mu.Lock()
	if g.next == nil {
		g.next = &shot[T]{done: make(chan struct{})}
	}
	s := g.next
	if !g.running {
		g.running = true
		go g.runAll()
	}
	g.mu.Unlock()
	select {
	case <-s.done:
		return s.value, s.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (g *gate[T]) runAll() {
	for {
		g.mu.Lock()
		s := g.next
		g.next = nil
		g.running = s != nil
		g.mu.Unlock()
		if s == nil {
			return
		}
		begun := time.Now()
		s.value, s.err = g.f(g.ctx)
		close(s.done)
		if rest := g.gap - time.Since(begun); rest > 0 && !pause(g.ctx, rest) {
			continue // closing: those who still wait get the context's error from f
		}
	}
}

// round is one read index round of the leader: note what is committed, then have a majority say that
// it has seen no later term.
//
// raft.VerifyLeader is not used: it counts the answer to a heartbeat that was sent before the call,
// and the answers of non-voters.
func (r *Replica) round(ctx context.Context) (uint64, error) {
	g, err := r.leading()
	if err != nil {
		return 0, err
	}
	index, err := r.commandIndex()
	if err != nil {
		return 0, err
	}
	return index, r.verify(g)
}

// verify returns nil when a majority of the voters said, after the call, that they have seen no term
// after g's. Any later leader was then elected after the call, and what it commits comes after too.
func (r *Replica) verify(g *reign) error {
	r.noteOwnClock(g)
	voters := r.voters()
	answers := make(chan bool, len(voters))
	votes, isVoter := 0, false
	for _, s := range voters {
		if string(s.ID) == r.nodeID {
			isVoter = true
			votes++
			continue
		}
		go func() { answers <- r.asksTerm(g, s) }()
	}
	if !isVoter {
		return errorf(KindNotLeader, "node %s is no voter", r.name)
	}
	need := len(voters)/2 + 1
	for open := len(voters) - 1; votes < need; open-- {
		if open == 0 {
			return errorf(KindNotLeader, "node %s has no majority behind it", r.name)
		}
		select {
		case yes := <-answers:
			if yes {
				votes++
			}
		case <-g.ctx.Done():
			return errorf(KindNotLeader, "node %s no longer leads", r.name)
		}
	}
	if !r.stillLeads(g) {
		return errorf(KindNotLeader, "node %s no longer leads", r.name)
	}
	return nil
}

// asksTerm asks one voter, and keeps the clock that it tells.
func (r *Replica) asksTerm(g *reign, s raft.Server) bool {
	ctx, cancel := context.WithTimeout(g.ctx, r.timing.ElectionTimeout)
	defer cancel()
	sent := r.clock.Boot()
	answer, err := call[termAnswer](ctx, r, string(s.Address), methodTerm, empty{})
	if err != nil || answer.NodeID != string(s.ID) {
		return false
	}
	r.noteClock(g, answer.NodeID, answer.Wall, (sent+r.clock.Boot())/2)
	return answer.Term <= g.term
}

func (r *Replica) ownTerm() termAnswer {
	return termAnswer{NodeID: r.nodeID, Term: r.raft.CurrentTerm(), Wall: r.clock.Wall().UnixMilli()}
}

// polled is the result of one poll of the leader.
type polled struct {
	pollAnswer
	sent  time.Duration // boot time
	bound time.Duration // reported with it
	seals uint64        // leaseKeeper.seals at that time

	lowered uint64 // leaseKeeper.lowered at that time
}

// poll asks the leader for a read index and tells it how this node is.
func (r *Replica) poll(ctx context.Context) (polled, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timing.Confirm)
	defer cancel()
	p := polled{sent: r.clock.Boot(), seals: r.lease.seals.Load()}
	q := r.report()
	q.Sent = int64(p.sent)
	p.bound = leaseOf(q)
	p.lowered = r.lease.report(p.bound)
	var err error
	if r.reign.Load() != nil {
		p.pollAnswer, err = r.servePoll(ctx, transport.Peer{Hello: r.id.Hello()}, q)
	} else if leader := r.leaderName(); leader != "" && leader != r.name {
		p.pollAnswer, err = callLeader[pollAnswer](ctx, r, leader, methodPoll, q)
	} else {
		err = r.noLeader()
	}
	if err != nil {
		return polled{}, r.heedRefusal(err)
	}
	r.outcast.Store(nil)
	r.timeline.Store(&timeline{wall: p.Median, boot: (p.sent + r.clock.Boot()) / 2})
	r.heed(q, p.Verdict)
	return p, nil
}

// servePoll answers a member. The report is noted first: a lease that the answer gives is then never
// longer than what the leader waits for.
func (r *Replica) servePoll(ctx context.Context, p transport.Peer, q pollRequest) (pollAnswer, error) {
	g, err := r.leading()
	if err != nil {
		return pollAnswer{}, err
	}
	if !r.IsMember(p) {
		return pollAnswer{}, r.noMember(p)
	}
	now := r.clock.Boot()
	r.longBound.note(leaseOf(q), now)
	g.note(p.NodeID, q, now, r.timing.Contact)
	index, err := r.rounds.ask(ctx)
	if err != nil {
		return pollAnswer{}, err
	}
	return pollAnswer{Index: index, Median: r.median(g), Verdict: r.verdict(g, p.NodeID, q)}, nil
}

func (r *Replica) isServer(id string) bool {
	for _, s := range r.servers() {
		if string(s.ID) == id {
			return true
		}
	}
	return false
}

const maxWaiters = 4096 // of Confirm

// Confirm returns nil once this node has opened everything that was acknowledged anywhere before
// the call; otherwise, within Timing.Confirm, KindCannotConfirm.
func (r *Replica) Confirm(ctx context.Context) error {
	if err := r.Sound(); err != nil {
		return err
	}
	if r.waiters.Add(1) > maxWaiters {
		r.waiters.Add(-1)
		r.overflow.Add(1)
		return errorf(KindCannotConfirm, "too many requests wait for a confirmation")
	}
	defer r.waiters.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, r.timing.Confirm)
	defer cancel()
	last := error(r.noLeader())
	for {
		p, err := r.polls.ask(ctx)
		if err == nil {
			if err = r.waitView(ctx, p.Index); err == nil {
				r.renew(p)
				return nil
			}
			return r.contextError(KindCannotConfirm, "this node has not caught up with the leader")
		}
		if !errIsContext(err) {
			last = err
		}
		if !pause(ctx, leaderRetry) {
			return r.contextError(KindCannotConfirm, "the leader did not confirm that this node is up to date: %v", last)
		}
	}
}
