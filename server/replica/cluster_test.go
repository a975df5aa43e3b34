package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/storage"
)

func TestBootstrapInAnyOrder(t *testing.T) {
	for _, order := range [][]string{{"node1", "node2", "node3"}, {"node3", "node2", "node1"}, {"node2", "node3", "node1"}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			c := newCluster(t, names(3)...)
			c.start(order...)
			c.settled()
			ids := map[string]bool{}
			for _, n := range c.nodes {
				for _, s := range n.r.servers() {
					ids[string(s.ID)] = true
				}
			}
			if len(ids) != 3 {
				t.Fatalf("the nodes see %d different ids, want 3", len(ids))
			}
			members, err := c.follower().r.Members(context.Background())
			if err != nil || len(members) != 3 {
				t.Fatalf("members: %v, %v", members, err)
			}
			for _, m := range members {
				if !m.Voter || m.APIAddr != "http://"+m.Name || m.FeatureLevel != FeatureLevel {
					t.Errorf("member %+v", m)
				}
			}
		})
	}
}

func TestProposeThroughFollower(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	txn := f.txn("a", []byte("one"))
	first, err := f.r.Propose(context.Background(), txn)
	if err != nil || first.Status != fsm.Applied {
		t.Fatalf("%+v, %v", first, err)
	}
	if rec, ok := f.opened.f.View().Get(fsm.KindSetting, "a"); !ok || string(rec.Body) != "one" {
		t.Fatal("the proposer did not open what it was told")
	}
	second, err := f.r.Propose(context.Background(), txn)
	if err != nil || second.Status != fsm.Repeated || second.Index != first.Index {
		t.Fatalf("the second time: %+v, %v", second, err)
	}
	for _, n := range c.nodes {
		if err := n.r.Confirm(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n.opened.OpenedIndex() < first.Index {
			t.Fatalf("%s confirmed at index %d, before %d", n.name, n.opened.OpenedIndex(), first.Index)
		}
	}
}

func TestLeaderKilledProposalsApplyOnce(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	done := make(chan string, 100_000)
	for _, n := range c.nodes {
		if n == leader {
			continue
		}
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					id := fmt.Sprintf("%s-%d-%d", n.name, w, i)
					txn := n.txn(id, []byte(id))
					txn.Guards = []fsm.Guard{{Kind: fsm.KindSetting, ID: fsm.ID(id)}}
					if !proposeUntilKnown(t, n, txn) {
						return
					}
					done <- id
				}
			})
		}
	}
	c.until("some writes", func() bool { return len(done) > 50 })
	leader.kill()
	before := len(done)
	c.until("writes under the next leader", func() bool { return len(done) > before+200 })
	close(stop)
	wg.Wait()
	close(done)
	n := c.leader()
	if err := n.r.Confirm(context.Background()); err != nil {
		t.Fatal(err)
	}
	count := 0
	for id := range done {
		count++
		if rec, ok := n.opened.f.View().Get(fsm.KindSetting, fsm.ID(id)); !ok || string(rec.Body) != id {
			t.Fatalf("the acknowledged write %s is lost", id)
		}
	}
	t.Logf("%d writes", count)
}

// proposeUntilKnown proposes the same transaction until its outcome is known; a second application
// would show as a conflict with the first.
func proposeUntilKnown(t *testing.T, n *testNode, txn *fsm.Txn) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		out, err := n.r.Propose(context.Background(), txn)
		switch {
		case err == nil && (out.Status == fsm.Applied || out.Status == fsm.Repeated):
			return true
		case err == nil:
			t.Errorf("%s: %+v", n.name, out)
			return false
		case KindOf(err) != KindOutcomeUnknown && KindOf(err) != KindNoQuorum:
			t.Errorf("%s: %v", n.name, err)
			return false
		}
	}
	t.Error("the outcome never became known")
	return false
}

func TestCutOffNode(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	if err := f.r.Confirm(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.isolate(f.name, true)
	wantKind(t, f.r.Confirm(context.Background()), KindCannotConfirm)
	c.until("the lost leader is noticed", func() bool { return f.r.leaderName() == "" })
	c.pass(testBound / 2)
	if err := f.r.Lease(); err != nil {
		t.Fatalf("the lease ended early: %v", err)
	}
	c.pass(testBound / 2)
	wantKind(t, f.r.Lease(), KindNoLease)
	_, err := f.r.Propose(context.Background(), f.txn("x", []byte("x")))
	wantKind(t, err, KindNoQuorum)
	if s := f.r.Status(); s.CanWrite || s.Reason == "" {
		t.Fatalf("the status of a node that is cut off: %+v", s)
	}
	c.isolate(f.name, false)
	c.until("the lease returns", func() bool { return f.r.Lease() == nil })
	f.put("y")
}

func TestRestartedNodeHasNoLease(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	f.kill()
	c.isolate(f.name, true)
	f.start()
	wantKind(t, f.r.Lease(), KindNoLease)
	wantKind(t, f.r.Confirm(context.Background()), KindCannotConfirm)
	wantKind(t, f.r.Lease(), KindNoLease)
}

// Hearing from the leader is not enough: a node whose catalog lags loses its lease.
func TestLeaseNeedsTheCatalog(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	f.opened.held.Store(f.opened.OpenedIndex())
	c.leader().put("x")
	wantKind(t, f.r.Confirm(context.Background()), KindCannotConfirm)
	c.pass(testBound)
	for range 3 { // polls after the write go well and do not help
		before := f.r.lease.fresh.Load()
		c.until("another poll", func() bool { return f.r.lease.fresh.Load() > before })
		wantKind(t, f.r.Lease(), KindNoLease)
	}
	sent := f.r.lease.now.Load().sent
	f.opened.held.Store(0)
	c.until("the lease returns", func() bool { return f.r.Lease() == nil && f.r.lease.now.Load().sent > sent })
}

// A leader that was deposed without noticing, here because its thread hangs in a write, must not
// hand out read indices.
func TestHungLeader(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	old := c.settled()
	hang := make(chan struct{})
	old.faults.set(hang, nil)
	released := sync.OnceFunc(func() { old.faults.set(nil, nil); close(hang) })
	defer released()
	_, err := old.r.Propose(context.Background(), old.txn("stuck", []byte("stuck")))
	wantKind(t, err, KindOutcomeUnknown, KindDisk)
	next := c.leader(old.name)
	out := next.put("after")
	if old.r.Status().DiskTrouble == "" {
		t.Fatal("the hung node does not say so")
	}
	_, err = old.r.Propose(context.Background(), old.txn("refused", []byte("refused")))
	wantKind(t, err, KindDisk)
	wantKind(t, old.r.Confirm(context.Background()), KindCannotConfirm)
	c.pass(testBound)
	wantKind(t, old.r.Lease(), KindNoLease)
	released()
	c.until("the hung node catches up", func() bool {
		return old.r.Confirm(context.Background()) == nil && old.opened.OpenedIndex() >= out.Index && old.r.Lease() == nil
	})
	old.put("works again")
}

func TestFailingLeaderDisk(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	old := c.settled()
	out := old.put("before")
	old.faults.set(nil, fmt.Errorf("input/output error"))
	_, err := old.r.Propose(context.Background(), old.txn("failed", []byte("failed")))
	wantKind(t, err, KindOutcomeUnknown, KindDisk)
	next := c.leader(old.name)
	next.put("after")
	if rec, ok := next.opened.f.View().Get(fsm.KindSetting, "before"); !ok || next.opened.OpenedIndex() < out.Index {
		t.Fatalf("an acknowledged write is lost: %v", rec)
	}
	old.faults.set(nil, nil)
	_, err = old.r.Propose(context.Background(), old.txn("latched", []byte("latched")))
	wantKind(t, err, KindDisk)
	old.stop()
	old.start()
	old.put("after restart")
}

func TestSealedLeaderHandsOver(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	leader.opened.sealed.Store(true)
	next := c.leader(leader.name)
	c.until("the sealed node follows", func() bool { return !leader.r.Status().Leader })
	out := next.put("x")
	c.until("the sealed node applies", func() bool { return leader.opened.f.View().Index() >= out.Index })
	leader.opened.sealed.Store(false)
	c.until("the lease returns", func() bool { return leader.r.Lease() == nil })

	// When all are sealed somebody leads all the same.
	for _, n := range c.nodes {
		n.opened.sealed.Store(true)
	}
	c.leader().put("sealed")
}

// A leader that is unfit for a reason of its own follows, and none that is unfit is chosen while another is not.
func TestUnfitLeaderHandsOver(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	first := c.settled()
	first.unfit.Store(true)
	second := c.leader(first.name)
	c.until("the unfit node follows", func() bool { return !first.r.Status().Leader })
	second.put("x")
	c.until("the unfit node, which reports, is seen to be unwell", func() bool {
		m := memberOf(t, second, first.name)
		return m.Applied > 0 && !m.Healthy
	})
	second.unfit.Store(true)
	third := c.leader(first.name, second.name)
	c.until("the second unfit node follows", func() bool { return !second.r.Status().Leader })
	third.put("y")

	// When all are unfit somebody leads all the same.
	third.unfit.Store(true)
	c.leader().put("z")
}

func memberOf(t *testing.T, n *testNode, name string) Member {
	t.Helper()
	all, err := n.r.Members(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Name == name {
			return m
		}
	}
	return Member{}
}

// What is on its way to a leader that hangs must not hold up what goes to the next one, nor what the
// next one itself proposes.
func TestForwardsLeaveAHungLeader(t *testing.T) {
	c := newCluster(t, names(3)...)
	var hang atomic.Pointer[chan struct{}]
	var hung atomic.Pointer[testNode]
	for _, n := range c.nodes {
		n.timing.Propose = 4 * patience
		n.mangle = func(*raft.Log) {
			if ch := hang.Load(); ch != nil && hung.Load() == n {
				<-*ch
			}
		}
	}
	c.start()
	old := c.settled()
	ch := make(chan struct{})
	hung.Store(old)
	hang.Store(&ch)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); close(ch); wg.Wait() })
	for _, f := range c.others(old) {
		for i := range maxForwards + 1 {
			wg.Go(func() { _, _ = f.r.Propose(ctx, f.txn(fmt.Sprint(f.name, i), []byte("x"))) })
			c.until("a batch is on its way", func() bool {
				return len(f.r.forwards) == min(i+1, maxForwards) && f.r.queue.waiting() == (i == maxForwards)
			})
		}
	}
	old.transport.CutRaft(true)
	c.leader(old.name)
	for _, f := range c.others(old) {
		done := make(chan error, 1)
		wg.Go(func() {
			_, err := f.r.Propose(ctx, f.txn("after "+f.name, []byte("x")))
			done <- err
		})
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatalf("%s waits for the leader that hangs", f.name)
		}
	}
}

// A node whose forwards are all under way leads all the same.
func TestForwardsDoNotHoldUpALeader(t *testing.T) {
	c := newCluster(t, names(3)...)
	for _, n := range c.nodes {
		n.timing.Propose = patience
	}
	c.start()
	c.settled()
	f := c.follower()
	for range maxForwards {
		f.r.forwards <- struct{}{}
	}
	done := make(chan error, 1)
	go func() {
		_, err := f.r.Propose(context.Background(), f.txn("x", []byte("x")))
		done <- err
	}()
	c.until("it waits", f.r.queue.waiting)
	c.lead(f)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A poll of a leader that has gone silent must not hold up the polls of the next one.
func TestPollsLeaveASilentLeader(t *testing.T) {
	c := newCluster(t, names(3)...)
	for _, n := range c.nodes {
		n.timing.Confirm, n.alive = 4*patience, 4*patience
	}
	c.start()
	old := c.settled()
	c.silence(old.name, true)
	t.Cleanup(func() { c.silence(old.name, false) })
	c.leader(old.name)
	done := make(chan error, 2)
	for _, f := range c.others(old) {
		go func() { done <- f.r.Confirm(context.Background()) }()
	}
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("a node waits for the leader that is silent")
		}
	}
}

// Closing does not wait for a disk that hangs, also before the store has said that it does.
func TestCloseWhileTheDiskHangs(t *testing.T) {
	c := newCluster(t, names(1)...)
	n := c.nodes["node1"]
	n.ticks = 10
	c.start()
	c.settled()
	hang := make(chan struct{})
	n.faults.set(hang, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _, _ = n.r.Propose(ctx, n.txn("stuck", []byte("stuck"))) }()
	c.until("a write hangs", func() bool { return n.faults.holds() > 0 })
	closed := make(chan error, 1)
	go func() { closed <- n.r.Close() }()
	select {
	case err := <-closed:
		if !errors.Is(err, storage.ErrDiskHung) || errors.Is(err, errNotStopped) {
			t.Errorf("closing: %v", err)
		}
	case <-time.After(patience):
		t.Error("closing waits for the disk")
	}
	cancel()
	close(hang)
}

// What cannot be read from the log stops Raft's goroutines, not those of this package.
func TestUnreadableEntry(t *testing.T) {
	c := newCluster(t, names(1)...)
	n := c.nodes["node1"]
	c.start()
	c.settled()
	out := n.put("x")
	n.stop()
	n.start() // with an empty cache
	n.faults.mu.Lock()
	n.faults.read = fmt.Errorf("input/output error")
	n.faults.mu.Unlock()
	read := make(chan error, 1)
	go func() { read <- n.r.entries.GetLog(out.Index, new(raft.Log)) }()
	select {
	case err := <-read:
		var corrupt *storage.CorruptError
		if !errors.As(err, &corrupt) {
			t.Fatalf("reading an entry: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("a read of this package's waits until the node closes")
	}
	parked := make(chan struct{})
	go func() {
		defer close(parked)
		_ = parking{n.r.entries.(*raft.LogCache), n.r.store}.GetLog(out.Index, new(raft.Log))
		t.Error("Raft was told, and would panic")
	}()
	c.until("the node says so", func() bool { return n.r.diskTrouble() != "" })
	n.stop()
	<-parked
}
