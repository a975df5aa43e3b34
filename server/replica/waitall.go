package replica

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
)

// AwaitAll returns once every member has opened index, is sealed, or is past its last possible lease.
// When ctx ends first it returns the names of the members still awaited, and no error.
func (r *Replica) AwaitAll(ctx context.Context, index uint64) (awaiting []string, err error) {
	awaiting, err = atLeader(ctx, r, methodAwait, index, r.awaitAll)
	switch {
	case err == nil:
		return awaiting, nil
	case r.ctx.Err() != nil:
		return nil, errorf(KindClosed, "the node is stopping")
	case ctx.Err() != nil:
		return r.everyone(index), nil // no leader said who: nobody but this node is known to be done
	}
	return nil, err
}

// everyone lists who would be awaited if nothing were known of the others.
func (r *Replica) everyone(index uint64) (names []string) {
	for _, s := range r.servers() {
		if string(s.ID) != r.nodeID || !r.cfg.Opened.Sealed() && r.cfg.Opened.OpenedIndex() < index {
			names = append(names, string(s.Address))
		}
	}
	return sorted(names)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// serveAwait answers a follower a little before its deadline, so that the names still reach it.
func (r *Replica) serveAwait(ctx context.Context, index uint64) ([]string, error) {
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left-min(left/5, 50*time.Millisecond))
		defer cancel()
	}
	return r.awaitAll(ctx, index)
}

// holder is an incarnation that may still serve what it opened before.
type holder struct {
	id, name string
	until    time.Duration // boot time at which its last possible lease is over
	gone     bool          // removed or replaced: only time ends its lease
}

// awaitAll is AwaitAll on the leader. Whatever leads later: a poll that is received after this call
// began is answered with an index that is not below, so only leases given before it count.
func (r *Replica) awaitAll(ctx context.Context, index uint64) ([]string, error) {
	g, err := r.leading()
	if err != nil {
		return nil, err
	}
	if err := r.waitView(ctx, index); err != nil { // the bounds, too, come from what this node has opened
		return r.everyone(index), nil
	}
	if !r.stillLeads(g) {
		return nil, errorf(KindNotLeader, "node %s no longer leads", r.name)
	}
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		awaiting []string // guarded by mu
	)
	for _, h := range r.holders(g) {
		wg.Go(func() {
			if !r.outwait(ctx, h, index) {
				mu.Lock()
				awaiting = append(awaiting, h.name)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if r.ctx.Err() != nil {
		return nil, errorf(KindClosed, "the node is stopping")
	}
	return sorted(awaiting), nil
}

// holders lists the members, and the incarnations that were members within the longest lease.
// Of whom this leader has not heard, it assumes a full lease from its own start.
func (r *Replica) holders(g *reign) (all []holder) {
	bound := max(r.cfg.Longest(), r.longBound.note(r.cfg.Bound(), r.clock.Boot()))
	full := bound + drift(bound)
	seen := map[string]bool{}
	g.mu.Lock()
	defer g.mu.Unlock()
	add := func(id, name string, gone bool) {
		if id == "" || seen[id] {
			return
		}
		seen[id] = true
		h := holder{id: id, name: name, until: g.since + full, gone: gone}
		if c := g.members[id]; c != nil { // which ended every longer lease of an earlier reign with its report
			h.until = c.until
		}
		all = append(all, h)
	}
	for _, s := range r.servers() {
		add(string(s.ID), string(s.Address), false)
	}
	v := r.fsm.View()
	recent := v.LogTime() - (full + time.Minute).Milliseconds()
	for name, n := range nodes(v) {
		if rec, _ := v.Get(fsm.KindNode, fsm.ID(name)); n.Removed && rec.Stamp >= recent {
			add(n.NodeID, name, true)
		}
		for _, old := range n.Retired {
			if old.At >= recent {
				add(old.ID, name, true)
			}
		}
	}
	for id, c := range g.members { // removed in this reign, whatever the records say
		if c.until > r.clock.Boot() {
			add(id, "an earlier member", true)
		}
	}
	return all
}

// outwait returns true when h has opened index, is sealed, or is past its lease; false when ctx ended.
func (r *Replica) outwait(ctx context.Context, h holder, index uint64) bool {
	asked := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !h.gone {
		go func() {
			if r.asksOpened(ctx, h, index) {
				close(asked)
			}
		}()
	}
	for {
		left := h.until - r.clock.Boot()
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(min(left, time.Second)) // in steps: the boot clock runs through suspend, a timer does not
		select {
		case <-asked:
			timer.Stop()
			return true
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// asksOpened asks a member until it says that it has opened index or is sealed; false when ctx ended.
func (r *Replica) asksOpened(ctx context.Context, h holder, index uint64) bool {
	for {
		var answer openedAnswer
		var err error
		if h.id == r.nodeID {
			answer, err = r.ownOpened(ctx, index)
		} else {
			answer, err = call[openedAnswer](ctx, r, h.name, methodOpened, index)
		}
		if err == nil && answer.NodeID == h.id {
			return true
		}
		if !pause(ctx, leaderRetry) {
			return false
		}
	}
}

// ownOpened answers when this node has opened index, or at once when it is sealed; from then on it
// serves nothing under a lease that it took before.
func (r *Replica) ownOpened(ctx context.Context, index uint64) (openedAnswer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	for {
		if r.cfg.Opened.Sealed() {
			r.dropLease()
			return openedAnswer{NodeID: r.nodeID, Sealed: true}, nil
		}
		err := r.cfg.Opened.WaitOpened(ctx, index)
		if err == nil {
			return openedAnswer{NodeID: r.nodeID}, nil
		}
		if ctx.Err() != nil {
			return openedAnswer{}, errors.Join(errorf(KindCannotConfirm, "node %s has not opened index %d", r.name, index), err)
		}
		if !r.cfg.Opened.Sealed() && !pause(ctx, leaderRetry) {
			return openedAnswer{}, ctx.Err()
		}
	}
}
