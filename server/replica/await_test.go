package replica

import (
	"context"
	"slices"
	"testing"
	"time"
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
