package replica

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// events are what a node told, in order.
type events struct {
	mu  sync.Mutex
	all []Event // guarded by mu
}

func (e *events) add(one Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
}

// of returns the names of the events whose names are among some, in order; with the member of those that are about one.
func (e *events) of(some ...string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, one := range e.all {
		if slices.Contains(some, one.Name) {
			names = append(names, strings.TrimSpace(one.Name+" "+one.Member))
		}
	}
	return strings.Join(names, ", ")
}

// wantEvents waits until a node has told exactly these.
func (c *testCluster) wantEvents(n *testNode, want string, some ...string) {
	c.t.Helper()
	c.until(n.name+" tells "+want, func() bool { return n.heard.of(some...) == want })
}

// Each change of what a node is or does is told once, however often it is looked at.
func TestEvents(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	old := c.settled()
	reigns := []string{EventElected, EventDeposed}
	c.until("the leader says so", func() bool { return strings.HasSuffix(old.heard.of(reigns...), EventElected) })

	f := c.follower()
	lease := []string{EventLeaseLost, EventLeaseRegained}
	c.wantEvents(f, "", lease...)
	c.isolate(f.name, true)
	c.until("the lost leader is noticed", func() bool { return f.r.leaderName() == "" })
	c.pass(testBound)
	c.wantEvents(f, "LeaseLost", lease...)
	c.isolate(f.name, false)
	c.wantEvents(f, "LeaseLost, LeaseRegained", lease...)
	f.opened.sealed.Store(true)
	c.pass(testBound)
	c.until("the sealed node looks", func() bool { return f.r.Lease() != nil })
	f.opened.sealed.Store(false)
	c.until("the node has a lease", func() bool { return f.r.Lease() == nil })
	c.wantEvents(f, "LeaseLost, LeaseRegained", lease...)

	clock := []string{EventClockOff, EventClockWell}
	f.clock.wall.Add(int64(time.Hour))
	c.wantEvents(f, "ClockTroubled", clock...)
	f.clock.wall.Add(-int64(time.Hour))
	c.wantEvents(f, "ClockTroubled, ClockRecovered", clock...)

	disk := []string{EventDiskTrouble, EventDiskWell}
	leader := c.leader()
	hang := make(chan struct{})
	leader.faults.set(hang, nil)
	if _, err := leader.r.Propose(context.Background(), leader.txn("stuck", []byte("stuck"))); err == nil {
		t.Fatal("a hung node wrote")
	}
	c.wantEvents(leader, "DiskTroubled", disk...)
	c.leader(leader.name)
	leader.faults.set(nil, nil)
	close(hang)
	c.wantEvents(leader, "DiskTroubled, DiskRecovered", disk...)
	c.until("its reign is over", func() bool { return strings.HasSuffix(leader.heard.of(reigns...), EventDeposed) })
	leader.faults.set(nil, errors.New("input/output error"))
	_, _ = leader.r.Propose(context.Background(), leader.txn("failed", []byte("failed")))
	c.until("every reign that began has an end but the last", func() bool {
		begun, ended := 0, 0
		for _, n := range c.nodes {
			begun += strings.Count(n.heard.of(EventElected), EventElected)
			ended += strings.Count(n.heard.of(EventDeposed), EventDeposed)
		}
		return begun == ended+1
	})
}

// The leader tells what becomes of members.
func TestMemberEvents(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	f := c.follower()
	members := []string{EventJoined, EventReplaced, EventExpelled, EventAllowed, EventPromoted}
	all := func(want string) {
		t.Helper()
		c.until("the leader tells "+want, func() bool {
			return c.leader() == leader && strings.HasSuffix(leader.heard.of(members...), want)
		})
	}
	if _, err := leader.r.Remove(context.Background(), f.name); err != nil {
		t.Fatal(err)
	}
	all("MemberRemoved " + f.name)
	if _, err := leader.r.Allow(context.Background(), f.name); err != nil {
		t.Fatal(err)
	}
	f.stop()
	f.wipe()
	f.start()
	c.settled()
	all("MemberAllowed " + f.name + ", MemberReplaced " + f.name + ", MemberPromoted " + f.name)
}

// A node that differs from the majority says so once.
func TestQuarantineEvent(t *testing.T) {
	c := newCluster(t, names(3)...)
	bad := c.nodes["node2"]
	bad.mangle = corrupt
	for _, n := range c.nodes {
		n.timing.Checkpoint = 100 * time.Millisecond
	}
	c.start()
	c.settled()
	c.leader().put("bad")
	c.wantEvents(bad, EventQuarantined, EventQuarantined)
	if e := bad.heard.of(EventSplit); e != "" {
		t.Error(e)
	}
}
