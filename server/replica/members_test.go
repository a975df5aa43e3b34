package replica

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/transport"
)

func TestWipedNodeIsReplaced(t *testing.T) {
	c := newCluster(t, names(3)...)
	for _, n := range c.nodes {
		n.timing.SnapshotThreshold, n.timing.TrailingLogs = 1, 1
	}
	c.start()
	c.settled()
	f := c.follower()
	oldID := f.r.nodeID
	for i := range 20 {
		c.leader().put(string(rune('a' + i)))
	}
	f.kill()
	f.wipe()
	if err := c.leader().r.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	f.start()
	if f.r.nodeID == oldID {
		t.Fatal("the wiped node kept its id")
	}
	c.settled()
	for _, s := range c.leader().r.servers() {
		if string(s.ID) == oldID {
			t.Fatal("the dead incarnation is still a member")
		}
	}
	if n, _, _ := node(c.leader().opened.f.View(), f.name); !n.isRetired(oldID) || n.NodeID != f.r.nodeID {
		t.Fatalf("the record of the replaced node: %+v", n)
	}
	if err := f.r.Confirm(context.Background()); err != nil {
		t.Fatal(err)
	}
	err := c.leader().r.id.Check(peerOf(f, oldID))
	wantKind(t, err, KindRefused)
}

// The first name of the list forms the cluster, but only once, even when it has forgotten everything.
func TestWipedFirstNodeFormsNothing(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	c.leader().put("kept")
	id := c.nodes["node2"].r.nodeID
	for _, n := range c.nodes {
		n.kill()
	}
	c.nodes["node1"].wipe()
	c.start("node1", "node2")
	first := c.nodes["node1"].r
	c.until("node1 sees that node2 has state", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return first.askStatus(ctx)["node2"].HasState
	})
	if err := first.formOrJoin(context.Background()); err == nil || first.raft.LastIndex() != 0 {
		t.Fatalf("a second cluster was formed: %v", err)
	}
	c.start("node3")
	c.settled()
	if !c.nodes["node1"].r.isServer(id) {
		t.Fatal("node1 is in another cluster than node2")
	}
	if err := c.nodes["node1"].r.Confirm(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.nodes["node1"].opened.f.View().Get(fsm.KindSetting, "kept"); !ok {
		t.Fatal("an acknowledged write is lost")
	}
}

func TestFormation(t *testing.T) {
	list := []Peer{{Name: "b"}, {Name: "a"}, {Name: "c"}}
	fresh := func(id string) statusAnswer { return statusAnswer{NodeID: id, List: "l"} }
	state := statusAnswer{NodeID: "3", List: "l", HasState: true}
	other := statusAnswer{NodeID: "3", List: "m"}
	for _, tt := range []struct {
		test, name string
		peers      map[string]statusAnswer
		forms      bool
		kind       Kind
	}{
		{"all there", "a", map[string]statusAnswer{"b": fresh("2"), "c": fresh("3")}, true, ""},
		{"not the first", "b", map[string]statusAnswer{"a": fresh("1"), "c": fresh("3")}, false, KindNoQuorum},
		{"one missing", "a", map[string]statusAnswer{"b": fresh("2")}, false, KindNoQuorum},
		{"one has state", "a", map[string]statusAnswer{"b": fresh("2"), "c": state}, false, ""},
		{"one has state, one is missing", "a", map[string]statusAnswer{"c": state}, false, ""},
		{"another list", "a", map[string]statusAnswer{"b": fresh("2"), "c": other}, false, KindRefused},
	} {
		servers, err := formation(list, tt.name, fresh("own"), tt.peers)
		if (len(servers) == 3) != tt.forms || len(servers) != 3 && servers != nil || KindOf(err) != tt.kind {
			t.Errorf("%s: %v, %v", tt.test, servers, err)
		}
	}
	if servers, err := formation(nil, "a", fresh("1"), nil); servers != nil || err == nil {
		t.Error("a cluster was formed of no expected peers")
	}
}

func peerOf(n *testNode, id string) transport.Peer {
	hello := n.r.id.Hello()
	hello.NodeID = id
	hello.Name = n.name
	return transport.Peer{Hello: hello, KeyHash: n.r.id.cfg.KeyHash}
}

func TestLiveIncarnationIsNotReplaced(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	f := c.follower()
	twin := f.r.id.record()
	twin.NodeID = "00000000000000000000000000000000"
	wantKind(t, leader.r.join(context.Background(), twin), KindRefused)
	twin.Name = leader.name
	wantKind(t, leader.r.join(context.Background(), twin), KindRefused)
}

func TestRemovedNameStaysOutUntilAllowed(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	if _, err := f.r.Remove(context.Background(), f.name); err != nil {
		t.Fatal(err)
	}
	c.until("the removed node knows", func() bool { return f.r.outcast.Load() != nil || f.r.Lease() != nil })
	// Empty or not, it stays out.
	f.stop()
	f.wipe()
	f.start()
	c.until("the leader refuses it", func() bool {
		err := c.leader().r.join(context.Background(), f.r.id.record())
		if err == nil {
			t.Fatal("a removed node was taken in")
		}
		return KindOf(err) == KindRefused
	})
	if n := len(c.leader().r.servers()); n != 2 {
		t.Fatalf("%d servers, want 2", n)
	}
	if _, err := c.leader().r.Allow(context.Background(), f.name); err != nil {
		t.Fatal(err)
	}
	c.settled()
	f.put("back")
	_, err := c.leader().r.Remove(context.Background(), "nobody")
	wantKind(t, err, KindNotFound)
}

func TestLeaderIsRemoved(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	old := c.settled()
	c.until("the leader is removed", func() bool {
		_, err := c.follower().r.Remove(context.Background(), old.name)
		return err == nil
	})
	next := c.leader(old.name)
	if len(next.r.servers()) != 2 || next.r.isServer(old.r.nodeID) {
		t.Fatalf("servers: %v", next.r.servers())
	}
	next.put("x")
}

func TestUnexpectedNameNeedsAllow(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	fourth := c.add("node4")
	fourth.peers = append(slices.Clone(c.peers), Peer{Name: "node4", Addr: fourth.addr})
	fourth.start()
	wantKind(t, leader.r.join(context.Background(), fourth.r.id.record()), KindRefused)
	if _, err := fourth.r.Propose(context.Background(), fourth.txn("x", []byte("x"))); err == nil {
		t.Fatal("a node outside the cluster wrote")
	}
	if _, err := leader.r.Allow(context.Background(), "node4"); err != nil {
		t.Fatal(err)
	}
	c.until("the new node is a voter", func() bool { return len(leader.r.voters()) == 4 && fourth.r.Lease() == nil })
	fourth.put("x")
}

func TestOtherListsFormNothing(t *testing.T) {
	c := newCluster(t, names(3)...)
	odd := c.nodes["node2"]
	odd.peers = append(slices.Clone(c.peers), Peer{Name: "node9", Addr: "127.0.0.1:1"})
	c.start()
	c.until("the difference is noticed", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return KindOf(c.nodes["node1"].r.formOrJoin(ctx)) == KindRefused
	})
	for _, n := range c.nodes {
		if n.r.raft.LastIndex() != 0 {
			t.Fatalf("%s has a log", n.name)
		}
	}
}

func TestCheck(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	f := c.follower()
	good := peerOf(f, f.r.nodeID)
	if err := leader.r.id.Check(good); err != nil {
		t.Fatal(err)
	}
	otherKey := good
	otherKey.KeyHash[0]++
	wantKind(t, leader.r.id.Check(otherKey), KindRefused)
	if err := leader.data.SetClusterID("00112233445566778899aabbccddeeff"); err != nil {
		t.Fatal(err)
	}
	if err := leader.r.id.Check(good); err != nil { // does not know its cluster yet
		t.Fatal(err)
	}
	other := good
	other.ClusterID = "ffeeddccbbaa99887766554433221100"
	wantKind(t, leader.r.id.Check(other), KindRefused)
	wantKind(t, leader.r.id.Check(peerOf(f, leader.r.nodeID)), KindRefused)

	// A stale view refuses nobody: the peer may have been allowed meanwhile.
	leader.r.lease.fresh.Store(0)
	never := func() bool { return false }
	leader.r.id.fresh.Store(&never)
	if err := leader.r.id.Check(otherKey); err != nil {
		t.Fatal(err)
	}
}

func TestPlan(t *testing.T) {
	server := func(id, name string) raft.Server {
		return raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(name)}
	}
	servers := []raft.Server{server("1", "a"), server("2", "b"), server("3", "c")}
	for _, tt := range []struct {
		name   string
		record nodeRecord
		want   int
	}{
		{"current", nodeRecord{Name: "b", NodeID: "2"}, 0},
		{"replaced", nodeRecord{Name: "b", NodeID: "9"}, 1},
		{"removed", nodeRecord{Name: "b", NodeID: "2", Removed: true}, 1},
		{"allowed again", nodeRecord{Name: "b", NodeID: "2", Removed: true, Allowed: true}, 0},
		{"only allowed", nodeRecord{Name: "b", Allowed: true}, 0},
		{"unknown", nodeRecord{Name: "z", NodeID: "8"}, 0},
	} {
		changes := plan(servers, map[string]nodeRecord{tt.record.Name: tt.record})
		if len(changes) != tt.want || tt.want == 1 && (changes[0].server.ID != "2" || !changes[0].remove) {
			t.Errorf("%s: %v", tt.name, changes)
		}
	}
}

func TestRemoveLeavesAMajority(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	far, near := c.others(leader)[0], c.others(leader)[1]
	c.isolate(far.name, true)
	g := leader.r.reign.Load()
	c.until("one member is out of contact", func() bool { return !leader.r.inContact(g, far.r.nodeID) })
	for _, asker := range []*testNode{leader, near} { // near asks for itself: refused is not done
		for _, name := range []string{near.name, leader.name} {
			_, err := asker.r.Remove(context.Background(), name)
			wantKind(t, err, KindRefused)
			if n, _, _ := node(leader.opened.f.View(), name); n.Removed {
				t.Fatalf("the record says that %s was removed", name)
			}
		}
	}

	// Nor does the leader act on a record from better days.
	v := leader.opened.f.View()
	n, revision, _ := node(v, near.name)
	n.Removed = true
	if _, err := leader.r.write(context.Background(), v, n, revision, "node.removed"); err != nil {
		t.Fatal(err)
	}
	if steps := leader.r.steps(g); len(steps) != 0 {
		t.Fatalf("the leader means to do %v", steps)
	}
	_, err := leader.r.amend(context.Background(), g, n)
	wantKind(t, err, KindRefused)
	if len(leader.r.voters()) != 3 {
		t.Fatal("the leader took out a voter that it needs")
	}
	leader.put("still writes")
	c.isolate(far.name, false)
	c.until("the removal is done when it costs nothing", func() bool { return len(c.leader(near.name).r.servers()) == 2 })
	c.leader(near.name).put("with two")
}

func TestDeadMemberIsRemoved(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	far, ill := c.others(leader)[0], c.others(leader)[1]
	c.isolate(far.name, true)
	g := leader.r.reign.Load()
	c.until("one member is out of contact", func() bool { return !leader.r.inContact(g, far.r.nodeID) })
	ill.r.quarantine("a test") // its log still counts
	c.until("the leader knows", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.members[ill.r.nodeID].report.Trouble != ""
	})
	if _, err := leader.r.Remove(context.Background(), far.name); err != nil {
		t.Fatalf("a member that is part of no majority cannot be removed: %v", err)
	}
	leader.put("x")
}

func TestOnlyVoterIsNotRemoved(t *testing.T) {
	c := newCluster(t, names(1)...)
	c.start()
	leader := c.settled()
	_, err := leader.r.Remove(context.Background(), leader.name)
	wantKind(t, err, KindRefused)
	if n, _, _ := node(leader.opened.f.View(), leader.name); n.Removed {
		t.Fatal("the only voter was removed")
	}
}

// A step that was decided before the configuration changed is not taken.
func TestStaleStepIsRefused(t *testing.T) {
	c := newCluster(t, names(3)...)
	for _, n := range c.nodes {
		n.timing.TrailingLogs = 1
	}
	c.start()
	leader := c.settled()
	leader.put("a")
	leader.put("b")
	for _, n := range c.nodes {
		if err := n.r.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.nodes {
		n.stop()
	}
	c.start() // knows its configuration from a snapshot alone
	leader = c.settled()
	f := c.follower()
	base := leader.r.formed.Load()
	gone := raft.Server{ID: raft.ServerID(f.r.nodeID), Address: raft.ServerAddress(f.name), Suffrage: raft.Voter}
	if _, err := leader.r.Remove(context.Background(), f.name); err != nil {
		t.Fatal(err)
	}
	g := leader.r.reign.Load()
	if now := leader.r.formed.Load(); base == 0 || now <= base {
		t.Fatalf("the configuration is at %d, was at %d", now, base)
	}
	if err := leader.r.change(context.Background(), g, base, change{server: gone}); err == nil || leader.r.isServer(f.r.nodeID) {
		t.Fatalf("a removed member was promoted: %v", err)
	}
}

// A certificate of the cluster's CA is no place in the cluster.
func TestMembersOnly(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	stranger := c.add("node4")
	stranger.start()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := call[statusAnswer](ctx, stranger.r, leader.name, methodStatus, empty{}); err != nil {
		t.Fatal(err)
	}
	wire, err := fsm.EncodeTxn(leader.txn("x", []byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	for method, request := range map[string]any{
		methodPropose: [][]byte{wire}, methodAdmin: adminRequest{Name: stranger.name}, methodAwait: uint64(1), methodMembers: empty{},
		methodTerm: empty{}, methodOpened: uint64(1), methodPoll: pollRequest{Bound: 1000}, methodJoin: empty{},
	} {
		_, err := stranger.r.transport.Call(ctx, leader.name, method, encode(request))
		if KindOf(err) != KindRefused {
			t.Errorf("%s: %v", method, err)
		}
	}
	v := leader.opened.f.View()
	if _, ok := v.Get(fsm.KindSetting, "x"); ok {
		t.Error("a stranger wrote")
	}
	if _, _, known := node(v, stranger.name); known {
		t.Error("a stranger has a record")
	}

	// A member's id under another name is no member either.
	peer := peerOf(c.follower(), c.follower().r.nodeID)
	peer.Name = stranger.name
	_, err = leader.r.servePoll(ctx, peer, pollRequest{Bound: 1000})
	wantKind(t, err, KindRefused)
}
