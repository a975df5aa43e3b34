package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// leaseKeeper holds the freshness lease. Lease reads one atomic pointer; everything else is rare.
type leaseKeeper struct {
	now   atomic.Pointer[lease] // nil: none
	fresh atomic.Int64          // boot time at which the newest poll was sent whose index the state machine has applied; 0: none
	seals atomic.Uint64         // counts the times this node reported itself sealed or was quarantined

	mu       sync.Mutex    // held to change now and seals together
	reported time.Duration // guarded by mu: the bound of the newest report; no lease is longer
	lowered  uint64        // guarded by mu: counts the reports with a shorter bound than the one before
}

// lease says that everything acknowledged before sent is opened here.
type lease struct {
	sent  time.Duration // boot time
	bound time.Duration // as reported with the poll: the leader waits so long for this node
}

// minPoll and maxPoll bound how often a node renews its lease by itself.
const (
	minPoll = 100 * time.Millisecond
	maxPoll = time.Second
)

// Lease returns nil while the freshness lease holds, else KindNoLease or KindQuarantined. A lease
// lasts the bound that was in force when it was taken, or the bound now, whichever is less.
func (r *Replica) Lease() error {
	if r.leaseLeft() > 0 {
		return nil
	}
	return r.noLease()
}

// leaseLeft returns how long the lease holds still; 0 when there is none.
func (r *Replica) leaseLeft() time.Duration {
	l := r.lease.now.Load()
	if l == nil {
		return 0
	}
	return max(0, l.sent+min(l.bound, r.cfg.Bound())-r.clock.Boot())
}

func (r *Replica) noLease() error {
	switch {
	case r.quarantined() != "":
		return errorf(KindQuarantined, "%s", r.quarantined())
	case r.diskTrouble() != "":
		return errorf(KindNoLease, "this node cannot keep up with the leader: %s", r.diskTrouble())
	case r.outcast.Load() != nil:
		return errorf(KindNoLease, "this node has no place in the cluster: %s", *r.outcast.Load())
	case r.lease.now.Load() == nil:
		return errorf(KindNoLease, "this node has not yet learned from the leader that it is up to date")
	case r.leaderName() == "":
		return errorf(KindNoLease, "this node has heard of no leader for longer than the revocation bound")
	}
	return errorf(KindNoLease, "the leader has not confirmed for longer than the revocation bound that this node is up to date")
}

// renew takes a lease from a poll whose index is opened. It does nothing when the node reported
// itself sealed, or a shorter bound, since the poll was sent: whoever was told so does not wait for
// this node, or not that long, whatever was reported after that.
func (r *Replica) renew(p polled) {
	k := &r.lease
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.seals != k.seals.Load() || p.lowered != k.lowered || r.cfg.Opened.Sealed() || r.quarantined() != "" {
		return
	}
	if old := k.now.Load(); old == nil || p.sent > old.sent {
		k.now.Store(&lease{sent: p.sent, bound: min(p.bound, k.reported)})
	}
}

// report notes the bound that is about to be reported, and shortens the lease to it: from now on the
// leader waits no longer for this node than the report says. The number returned is for renew.
func (k *leaseKeeper) report(bound time.Duration) (lowered uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if bound < k.reported {
		k.lowered++
	}
	k.reported = bound
	if l := k.now.Load(); l != nil && l.bound > bound {
		k.now.Store(&lease{sent: l.sent, bound: bound})
	}
	return k.lowered
}

// dropLease ends the lease, and those that polls under way would give.
func (r *Replica) dropLease() {
	r.lease.mu.Lock()
	defer r.lease.mu.Unlock()
	r.lease.seals.Add(1)
	r.lease.now.Store(nil)
}

// keepLease polls the leader all the time, more often while there is no lease.
func (r *Replica) keepLease() {
	var seen condition
	for {
		interval := minPoll
		p, err := r.polls.ask(r.ctx)
		if err == nil {
			err = r.settlePoll(p)
		}
		if err == nil && r.Lease() == nil || r.cfg.Opened.Sealed() {
			interval = min(max(r.cfg.Bound()/10, minPoll), maxPoll, r.timing.Contact/4)
		}
		r.look(&seen)
		if !pause(r.ctx, interval) {
			return
		}
	}
}

// settlePoll waits until what a poll returned is shown here, then notes it.
func (r *Replica) settlePoll(p polled) error {
	ctx, cancel := context.WithTimeout(r.ctx, r.timing.Confirm)
	defer cancel()
	if err := r.fsm.Wait(ctx, p.Index); err != nil {
		return err
	}
	r.lease.fresh.Store(int64(p.sent))
	if err := r.waitView(ctx, p.Index); err != nil {
		return err
	}
	r.renew(p)
	return nil
}

// fresh reports whether this node's state is recent enough to refuse others on its word.
func (r *Replica) fresh() bool {
	sent := r.lease.fresh.Load()
	return sent != 0 && r.clock.Boot()-time.Duration(sent) < r.timing.Contact
}

// leaseOf is the lease that a report's poll may give.
func leaseOf(q pollRequest) time.Duration { return time.Duration(q.Bound) * time.Millisecond }

// drift is what a member's clock may run slower than this one over a lease.
func drift(bound time.Duration) time.Duration { return bound/500 + 10*time.Millisecond }

// longest remembers the longest revocation bound in force, for as long as a lease under it may last.
type longest struct {
	mu    sync.Mutex
	bound time.Duration // guarded by mu
	seen  time.Duration // guarded by mu: boot time at which bound was last in force
}

// note records the bound in force now and returns the longest that a lease may still have.
func (l *longest) note(bound, now time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bound >= l.bound || now-l.seen > l.bound {
		l.bound, l.seen = bound, now
	}
	return l.bound
}
