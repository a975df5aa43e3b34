package replica

import (
	"context"
	"testing"
	"time"
)

// Every node tells its own numbers, the leader those of the members too; a lost leader is a change that every node sees, and what a
// full queue refuses is counted.
func TestStats(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	leader.put("a")
	c.until("the leader has heard of all", func() bool { return leader.r.Stats().Healthy == 3 })
	s := leader.r.Stats()
	if s.State != "Leader" || s.LastContact != 0 || s.Members != 3 || s.Voters != 3 || s.Sealed != 0 || s.Term == 0 || s.Commit == 0 ||
		s.LastLog < s.Commit || s.Applied > s.Commit || s.LeaderChanges == 0 {
		t.Errorf("the leader: %+v", s)
	}
	if left := leader.r.Status().Lease; left <= 0 || left > leader.r.cfg.Bound() {
		t.Errorf("the lease holds for %s", left)
	}
	before := map[*testNode]uint64{}
	for _, n := range c.others(leader) {
		s := n.r.Stats()
		before[n] = s.LeaderChanges
		if s.State != "Follower" || s.LastContact < 0 || s.Members != 3 || s.Healthy != -1 || s.Sealed != -1 {
			t.Errorf("%s: %+v", n.name, s)
		}
	}
	leader.kill()
	for n, changes := range before {
		c.until(n.name+" sees another leader", func() bool { return n.r.Stats().LeaderChanges > changes })
	}
}

func TestQueuesAreCounted(t *testing.T) {
	c := newCluster(t, "node1")
	c.start()
	n := c.settled()
	queues := func() map[string]Queue {
		all := map[string]Queue{}
		for _, q := range n.r.Stats().Queues {
			all[q.Name] = q
		}
		return all
	}
	if q := queues(); len(q) != 4 || q["proposals"] != (Queue{"proposals", 0, maxQueued, 0}) || q["confirmations"] != (Queue{"confirmations", 0, maxWaiters, 0}) {
		t.Errorf("%v", q)
	}
	full := newQueue()
	if err := full.push(false, make([]*pending, maxQueued)...); err != nil {
		t.Fatal(err)
	}
	wantKind(t, full.push(false, make([]*pending, 2)...), KindThrottled)
	if waiting, refused := full.depth(); waiting != maxQueued || refused != 2 {
		t.Errorf("%d wait, %d were refused", waiting, refused)
	}
	n.r.waiters.Add(maxWaiters)
	wantKind(t, n.r.Confirm(context.Background()), KindCannotConfirm)
	if q := queues()["confirmations"]; q.Depth != maxWaiters || q.Refused != 1 {
		t.Errorf("%v", q)
	}
	n.r.waiters.Add(-maxWaiters)
}

// A node that has heard of no leader since its start does not know how old its view is.
func TestLagIsUnknownAtFirst(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start("node1")
	if lag := c.nodes["node1"].r.Status().Lag; lag != -time.Second {
		t.Errorf("the view is %s old", lag)
	}
}
