package replica

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
)

func TestAwaitAllHealthy(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	for _, n := range c.nodes {
		out := n.put("on " + n.name)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		awaiting, err := n.r.AwaitAll(ctx, out.Index)
		cancel()
		if err != nil || len(awaiting) > 0 {
			t.Fatalf("awaiting %v, %v", awaiting, err)
		}
		for _, m := range c.nodes {
			if m.opened.OpenedIndex() < out.Index {
				t.Fatalf("%s has not opened what was awaited", m.name)
			}
		}
	}
}

func TestAwaitAllNamesTheCutOff(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	c.isolate(f.name, true)
	other := c.leader(f.name)
	for _, n := range c.nodes {
		if n != f && n != other {
			other = n // a follower, which has to ask the leader
		}
	}
	out := other.put("revoked")
	c.until("the cut-off member alone is awaited", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		awaiting, err := other.r.AwaitAll(ctx, out.Index)
		if err != nil || len(awaiting) == 0 {
			t.Fatalf("awaiting %v, %v; want %s", awaiting, err, f.name)
		}
		return slices.Equal(awaiting, []string{f.name})
	})
	if f.r.Lease() != nil {
		t.Fatal("the cut-off member has no lease; the test shows nothing")
	}
	c.pass(testBound + drift(testBound))
	if awaiting, err := other.r.AwaitAll(context.Background(), out.Index); err != nil || len(awaiting) > 0 {
		t.Fatalf("awaiting %v, %v", awaiting, err)
	}
	if f.opened.OpenedIndex() < out.Index && f.r.Lease() == nil {
		t.Fatal("a member that has not opened the index still has its lease")
	}
}

func TestAwaitAllHeldAndSealed(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	f.opened.held.Store(f.opened.OpenedIndex())
	out := c.leader().put("x")
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if awaiting, err := c.leader().r.AwaitAll(ctx, out.Index); err != nil || !slices.Equal(awaiting, []string{f.name}) {
		t.Fatalf("awaiting %v, %v; want %s", awaiting, err, f.name)
	}
	before := f.r.lease.seals.Load()
	f.opened.sealed.Store(true)
	if awaiting, err := c.leader().r.AwaitAll(context.Background(), out.Index); err != nil || len(awaiting) > 0 {
		t.Fatalf("awaiting %v, %v, with a sealed member", awaiting, err)
	}
	if f.r.Lease() == nil || f.r.lease.seals.Load() == before {
		t.Fatal("a member that reported itself sealed kept its lease")
	}
	// A poll sent before the report gives no lease after it, not even to a node unsealed meanwhile.
	f.opened.sealed.Store(false)
	f.r.dropLease()
	f.r.renew(polled{sent: f.clock.Boot(), bound: time.Hour, seals: before})
	if l := f.r.lease.now.Load(); l != nil && l.bound == time.Hour {
		t.Fatal("a poll from before the seal renewed the lease")
	}
}

func TestAwaitAllCountsTheRemoved(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	c.isolate(f.name, true)
	leader := c.leader(f.name)
	if _, err := leader.r.Remove(context.Background(), f.name); err != nil {
		t.Fatal(err)
	}
	out := leader.put("revoked")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if awaiting, err := leader.r.AwaitAll(ctx, out.Index); err != nil || !slices.Equal(awaiting, []string{f.name}) {
		t.Fatalf("awaiting %v, %v; want the removed %s", awaiting, err, f.name)
	}
	c.pass(testBound + drift(testBound))
	if awaiting, err := leader.r.AwaitAll(context.Background(), out.Index); err != nil || len(awaiting) > 0 {
		t.Fatalf("awaiting %v, %v", awaiting, err)
	}
	if f.r.Lease() == nil {
		t.Fatal("the removed member still has its lease")
	}
}

// A replaced incarnation may have a lease although nothing was written, and so log time stood still, for long.
func TestAwaitAllCountsTheReplacedAfterIdleTime(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	old := c.settled() // the next leader has no poll of it
	c.pass(5 * testBound)
	c.until("leases after the idle time", func() bool {
		for _, n := range c.nodes {
			if n.r.Lease() != nil {
				return false
			}
		}
		return true
	})
	c.isolate(old.name, true)
	next := c.leader(old.name)
	twin := old.r.id.record()
	twin.NodeID = "00000000000000000000000000000001"
	c.until("the old incarnation is replaced", func() bool { return next.r.join(context.Background(), twin) == nil })
	if old.r.Lease() != nil {
		t.Fatal("the replaced incarnation has no lease; the test shows nothing")
	}
	awaited := func() bool {
		return slices.ContainsFunc(next.r.holders(next.r.reign.Load()), func(h holder) bool { return h.id == old.r.nodeID })
	}
	next.put("revoked")
	if !awaited() {
		t.Fatal("the replaced incarnation has its lease and is not awaited")
	}
	c.pass(2 * testBound)
	next.put("later")
	if awaited() {
		t.Fatal("the replaced incarnation is awaited for ever")
	}
}

// forget makes n a leader that knows no bound but its own, and of no report.
func (n *testNode) forget(bound time.Duration) {
	n.bound.Store(int64(bound))
	l := &n.r.longBound
	l.mu.Lock()
	l.bound, l.seen = 0, 0
	l.mu.Unlock()
	g := n.r.reign.Load()
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.members)
	g.since = n.clock.Boot() - time.Second
}

// How long a lease may be is known from the settings, and so only once they are opened.
func TestAwaitAllOpensBeforeItCounts(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	far, near := c.others(leader)[0], c.others(leader)[1]
	c.isolate(far.name, true)
	near.bound.Store(int64(time.Millisecond))
	leader.opened.held.Store(leader.opened.OpenedIndex())
	out := near.put("a longer bound")
	leader.forget(time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result := make(chan []string, 1)
	go func() {
		awaiting, _ := leader.r.awaitAll(ctx, out.Index)
		result <- awaiting
	}()
	c.until("the leader has applied it", func() bool { return leader.opened.f.View().Index() >= out.Index })
	select {
	case awaiting := <-result:
		t.Fatalf("awaiting %v, before the leader has opened it", awaiting)
	case <-time.After(100 * time.Millisecond):
	}
	leader.bound.Store(int64(testBound))
	leader.opened.held.Store(0)
	c.until("the others are done", func() bool { return leader.opened.OpenedIndex() >= out.Index && near.opened.OpenedIndex() >= out.Index })
	select {
	case awaiting := <-result:
		t.Fatalf("awaiting %v; the cut-off member has a lease under the bound that was just opened", awaiting)
	case <-time.After(100 * time.Millisecond):
	}
	cancel()
	if awaiting := <-result; !slices.Contains(awaiting, far.name) {
		t.Fatalf("awaiting %v, want %s", awaiting, far.name)
	}
}

// A bound that any member reported may be another member's too.
func TestLongestBoundOfTheReports(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	far, near := c.others(leader)[0], c.others(leader)[1]
	near.bound.Store(int64(time.Second))
	c.isolate(far.name, true)
	leader.forget(time.Second)
	q := pollRequest{Bound: testBound.Milliseconds(), Sent: int64(near.clock.Boot())}
	if _, err := leader.r.servePoll(context.Background(), peerOf(near, near.r.nodeID), q); err != nil {
		t.Fatal(err)
	}
	for _, h := range leader.r.holders(leader.r.reign.Load()) {
		if h.id == far.r.nodeID && h.until-leader.clock.Boot() < testBound/2 {
			t.Fatalf("the unheard member is awaited for %v", h.until-leader.clock.Boot())
		}
	}
}

// The leader never waits less than the lease that a report with a lowered bound leaves.
func TestLoweredBound(t *testing.T) {
	const long, short, contactTime = time.Minute, time.Second, 5 * time.Second
	g := &reign{members: map[string]*contact{}}
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	g.note("a", pollRequest{Bound: ms(long), Sent: 1}, 0, contactTime)
	g.note("a", pollRequest{Bound: ms(short), Sent: 3}, time.Second, contactTime)
	if until := g.members["a"].until; until != time.Second+short+drift(short) {
		t.Errorf("a report shortened the lease to %v", until)
	}
	g.note("a", pollRequest{Bound: ms(long), Sent: 2}, 2*time.Second, contactTime) // overtaken
	if until := g.members["a"].until; until < 2*time.Second+long {
		t.Errorf("an overtaken report counts to %v only", until)
	}
	g.note("a", pollRequest{Bound: ms(short), Sent: 2}, 2*time.Second, contactTime)
	if until := g.members["a"].until; until < 2*time.Second+long {
		t.Errorf("an overtaken shorter report shortened the lease to %v", until)
	}

	state := fsm.New(fsm.Options{})
	r := &Replica{cfg: Config{Opened: &testOpened{f: state}}, fsm: state}
	first := polled{sent: 1, bound: long, lowered: r.lease.report(long)}
	r.renew(first)
	stale := polled{sent: 2, bound: long, lowered: r.lease.report(long)}
	low := polled{sent: 3, bound: short, lowered: r.lease.report(short)}
	if l := r.lease.now.Load(); l.bound != short {
		t.Errorf("the lease lasts %v after a shorter bound was reported", l.bound)
	}
	again := polled{sent: 4, bound: long, lowered: r.lease.report(long)}
	r.renew(stale)
	if l := r.lease.now.Load(); l.sent != 1 || l.bound != short {
		t.Errorf("a poll from before a shorter bound gave the lease %+v", *l)
	}
	r.renew(low)
	if l := r.lease.now.Load(); l.sent != 3 || l.bound != short {
		t.Errorf("the poll with the shorter bound gave the lease %+v", *l)
	}
	r.renew(again)
	if l := r.lease.now.Load(); l.sent != 4 || l.bound != long {
		t.Errorf("the poll after it gave the lease %+v", *l)
	}
}
