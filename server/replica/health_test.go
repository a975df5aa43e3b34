package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
)

// corrupt makes a node apply something else than the others when a record called "bad" is written.
func corrupt(l *raft.Log) {
	if l.Type != raft.LogCommand {
		return
	}
	c, err := fsm.DecodeCommand(l.Data)
	if err != nil {
		return
	}
	for i, t := range c.Txns {
		if len(t.Writes) == 1 && t.Writes[0].ID == "bad" {
			c.Txns[i].Writes[0].Body = []byte(fmt.Sprint("flipped", rand.Uint64()))
			l.Data, _ = fsm.EncodeBatch(c.Stamp, c.Txns)
		}
	}
}

func TestDigestMinorityQuarantinesItself(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			c := newCluster(t, names(3)...)
			bad := c.nodes["node2"]
			bad.mangle = corrupt
			for _, n := range c.nodes {
				n.timing.Checkpoint = 100 * time.Millisecond
			}
			c.start()
			c.settled()
			if who == "leader" {
				c.lead(bad)
			}
			for _, n := range c.nodes {
				if s := n.r.Status(); s.Quarantined != "" {
					t.Fatalf("quarantined before anything differs: %+v", s)
				}
			}
			c.leader().put("bad")
			c.until("the minority is quarantined", func() bool { return bad.r.Status().Quarantined != "" })
			wantKind(t, bad.r.Lease(), KindQuarantined)
			wantKind(t, bad.r.Confirm(context.Background()), KindQuarantined)
			_, err := bad.r.Propose(context.Background(), bad.txn("x", []byte("x")))
			wantKind(t, err, KindQuarantined)
			if _, err := (sealedOff{FSM: bad.opened.f, r: bad.r}).Snapshot(); KindOf(err) != KindQuarantined {
				t.Fatalf("a snapshot of a quarantined state: %v", err)
			}
			c.leader(bad.name).put("goes on")
			for _, n := range c.nodes {
				if s := n.r.Status(); n != bad && (s.Quarantined != "" || s.Split) {
					t.Fatalf("%s: %+v", n.name, s)
				}
			}
		})
	}
}

// lead makes n the leader.
func (c *testCluster) lead(n *testNode) {
	c.t.Helper()
	c.until(n.name+" leads", func() bool {
		leader := c.leader()
		if leader == n {
			return true
		}
		_ = leader.r.raft.LeadershipTransferToServer(raft.ServerID(n.r.nodeID), raft.ServerAddress(n.name)).Error()
		return n.r.Status().Leader
	})
}

func TestDigestSplitStopsWrites(t *testing.T) {
	c := newCluster(t, names(3)...)
	for _, n := range c.nodes {
		n.timing.Checkpoint = 100 * time.Millisecond
		if n.name != "node3" {
			n.mangle = corrupt
		}
	}
	c.start()
	c.settled()
	c.leader().put("bad")
	c.until("every node says so", func() bool {
		for _, n := range c.nodes {
			if s := n.r.Status(); !s.Split || s.Quarantined != "" || s.CanWrite || s.Reason != splitReason {
				return false
			}
		}
		return true
	})
	for _, n := range c.nodes {
		_, err := n.r.Propose(context.Background(), n.txn("x", []byte("x")))
		wantKind(t, err, KindSplit)
	}

	// An operator empties one of the wrong nodes; it learns the right state, which has a majority then.
	wiped, wrong := c.nodes["node1"], c.nodes["node2"]
	if c.leader() == wiped {
		wiped, wrong = wrong, wiped
	}
	wiped.kill()
	wiped.wipe()
	wiped.mangle = nil
	wiped.start()
	c.until("the other wrong node is quarantined", func() bool { return wrong.r.Status().Quarantined != "" })
	c.until("writes go on", func() bool { s := wiped.r.Status(); return s.CanWrite && !s.Split })
	wiped.put("again")
}

func TestJudge(t *testing.T) {
	voters := []string{"a", "b", "c"}
	one, two, three := slices.Repeat([]byte{1}, 32), slices.Repeat([]byte{2}, 32), slices.Repeat([]byte{3}, 32)
	for _, tt := range []struct {
		name     string
		reports  map[string][]byte
		majority []byte
		split    bool // when the others are not awaited
	}{
		{"nobody", nil, nil, false},
		{"one", map[string][]byte{"a": one}, nil, false},
		{"two agree", map[string][]byte{"a": one, "b": one}, one, false},
		{"two differ", map[string][]byte{"a": one, "b": two}, nil, true},
		{"all agree", map[string][]byte{"a": one, "b": one, "c": one}, one, false},
		{"one differs", map[string][]byte{"a": one, "b": two, "c": one}, one, false},
		{"all differ", map[string][]byte{"a": one, "b": two, "c": three}, nil, true},
		{"no voter", map[string][]byte{"a": one, "x": two, "y": two}, nil, false},
	} {
		d := digests{}
		for id, digest := range tt.reports {
			d.note(id, 7, digest)
		}
		v := d.judge(7, voters, func(string) bool { return false })
		if open := d.judge(7, voters, func(string) bool { return true }); len(tt.reports) < 3 && open.Split {
			t.Errorf("%s: a split while a report is awaited", tt.name)
		}
		if v.Index != 7 || string(v.Majority) != string(tt.majority) || v.Split != tt.split {
			t.Errorf("%s: %+v", tt.name, v)
		}
	}
	d := digests{}
	for i := range uint64(20) {
		d.note("a", i, one)
	}
	if len(d) != keptCheckups || d.newest() != 19 {
		t.Errorf("kept %d checkpoints up to %d", len(d), d.newest())
	}
	d.note("a", 3, one)
	d.note("a", 50, []byte("short"))
	if len(d) != keptCheckups || d.newest() != 19 || d[3] != nil {
		t.Error("an old checkpoint or a malformed digest was kept")
	}
}

func TestClockMedian(t *testing.T) {
	const day = int64(24 * time.Hour / time.Millisecond)
	voters := []string{"a", "b", "c"}
	for _, tt := range []struct {
		name  string
		walls map[string]int64
		want  int64
	}{
		{"nobody: log time runs on", nil, 1000 + 10},
		{"no majority", map[string]int64{"a": 40 * day}, 1000 + 10},
		{"agreeing", map[string]int64{"a": 5000, "b": 5002, "c": 5001}, 5001},
		{"leader ahead", map[string]int64{"a": 5000 + 40*day, "b": 5002, "c": 5001}, 5002},
		{"two of three, one ahead", map[string]int64{"a": 5000 + 40*day, "b": 5002}, 5002},
		{"one behind", map[string]int64{"a": 5000, "b": 5002, "c": 5000 - 40*day}, 5000},
		{"a stranger ahead", map[string]int64{"a": 5000, "b": 5002, "x": 5000 + 40*day}, 5000},
	} {
		c := newClocks(1000, 0)
		now := 10 * time.Millisecond
		for id, wall := range tt.walls {
			c.note(id, sample{wall: wall, boot: now})
		}
		if got := c.median(voters, now); got != tt.want {
			t.Errorf("%s: median %d, want %d", tt.name, got, tt.want)
		}
	}
	c := newClocks(1000, 0)
	c.note("a", sample{wall: 9000, boot: 0})
	c.note("b", sample{wall: 9000, boot: 0})
	first := c.next(voters, 0)
	c.note("a", sample{wall: 2000, boot: time.Second})
	c.note("b", sample{wall: 2000, boot: time.Second})
	if second := c.next(voters, time.Second); first != 9000 || second != 9000 {
		t.Errorf("stamps %d, %d: they went back", first, second)
	}
	if c.jumped != time.Second {
		t.Errorf("the jump was noticed at %v", c.jumped)
	}
	if got := c.median(voters, time.Second+clockFresh+time.Second); got != 2000+clockFresh.Milliseconds()+1000 {
		t.Errorf("without fresh samples the last median does not run on: %d", got)
	}
	if c.due(voters, time.Second, 2000) != true || c.due(voters, time.Second, 2001) != false {
		t.Error("due does not ask the majority")
	}
}

func TestLeaderWithWrongClock(t *testing.T) {
	c := newCluster(t, names(3)...)
	wrong := c.nodes["node2"]
	for _, n := range c.nodes {
		n.timing.Schedule = 50 * time.Millisecond
	}
	c.start()
	c.settled()
	c.leader().put("before")
	c.delete("gone")
	before := wrong.opened.f.View().LogTime()
	wrong.clock.wall.Store(int64(40 * 24 * time.Hour))
	c.lead(wrong)
	var ran atomic.Bool
	wrong.r.Schedule("never", func(context.Context) error { ran.Store(true); return nil })
	c.until("the wrong clock is noticed", func() bool { s := wrong.r.Status(); return !s.ClockOK && s.Reason != "" })
	for i := range 10 {
		c.until("a write by the leader with the wrong clock", func() bool {
			c.lead(wrong)
			_, err := wrong.r.Propose(context.Background(), wrong.txn(fmt.Sprint(i), []byte("x")))
			return err == nil
		})
	}
	for range 3 { // times at which work is due
		looked := func() time.Duration {
			c.lead(wrong)
			if g := wrong.r.reign.Load(); g != nil {
				g.mu.Lock()
				defer g.mu.Unlock()
				return g.worked
			}
			return 0
		}
		before := looked()
		c.until("another look for work", func() bool { return looked() > before })
	}
	if moved := wrong.opened.f.View().LogTime() - before; moved > patience.Milliseconds() {
		t.Fatalf("log time jumped by %d ms", moved)
	}
	if wrong.r.Due(time.Now().Add(20 * 24 * time.Hour).UnixMilli()) {
		t.Fatal("one clock made something due")
	}
	if n, _ := wrong.opened.f.View().Tombstones(); ran.Load() || n != 1 {
		t.Fatal("a leader with a wrong clock did scheduled work")
	}
}

// delete leaves a tombstone.
func (c *testCluster) delete(id string) {
	c.t.Helper()
	c.until("deleting "+id, func() bool {
		n := c.leader()
		txn := n.txn(id, []byte("tombstone"))
		txn.Writes[0].Delete = true
		out, err := n.r.Propose(context.Background(), txn)
		return err == nil && out.Status == fsm.Applied
	})
}

func TestOldTombstonesAreDropped(t *testing.T) {
	c := newCluster(t, names(3)...)
	for _, n := range c.nodes {
		n.timing.Schedule = 50 * time.Millisecond
	}
	c.start()
	c.settled()
	c.delete("gone")
	ran := make(chan struct{}, 1)
	for _, n := range c.nodes {
		n.r.Schedule("look", func(context.Context) error {
			select {
			case ran <- struct{}{}:
			default:
			}
			return nil
		})
	}
	<-ran
	if n, _ := c.leader().opened.f.View().Tombstones(); n != 1 {
		t.Fatalf("%d tombstones, want 1 that is too young to drop", n)
	}
	c.pass(8 * 24 * time.Hour)
	c.until("the tombstone is dropped", func() bool {
		n, _ := c.leader().opened.f.View().Tombstones()
		return n == 0
	})
}
