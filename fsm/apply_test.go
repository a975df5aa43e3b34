package fsm

import (
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

func TestGuards(t *testing.T) {
	const live, gone, never = ID("live"), ID("gone"), ID("never")
	full := scopeID(1)
	tests := []struct {
		name   string
		guards []Guard
		scopes []ScopeGuard
		want   Status
	}{
		{"revision as read", []Guard{{KindKey, live, 1}}, nil, Applied},
		{"revision moved on", []Guard{{KindKey, live, 2}}, nil, Conflict},
		{"absent but live", []Guard{{KindKey, live, 0}}, nil, Conflict},
		{"absent and deleted", []Guard{{KindKey, gone, 0}}, nil, Applied},
		{"absent and never there", []Guard{{KindKey, never, 0}}, nil, Applied},
		{"live but deleted", []Guard{{KindKey, gone, 2}}, nil, Conflict},
		{"live but never there", []Guard{{KindKey, never, 1}}, nil, Conflict},
		{"another kind", []Guard{{KindAlias, live, 1}}, nil, Conflict},
		{"the last of several", []Guard{{KindKey, live, 1}, {KindKey, never, 0}, {KindKey, live, 9}}, nil, Conflict},
		{"scope as scanned", nil, []ScopeGuard{{Scope: full, Exact: true, Revision: 2}}, Applied},
		{"scope moved on", nil, []ScopeGuard{{Scope: full, Exact: true, Revision: 1}}, Conflict},
		{"scope filled since", nil, []ScopeGuard{{Scope: full, Exact: true}}, Conflict},
		{"scope still empty", nil, []ScopeGuard{{Scope: scopeID(9), Exact: true}}, Applied},
		{"limit not reached", nil, []ScopeGuard{{Scope: full, Below: 3}}, Applied},
		{"limit reached", nil, []ScopeGuard{{Scope: full, Below: 2}}, Conflict},
		{"limit of an empty scope", nil, []ScopeGuard{{Scope: scopeID(9), Below: 1}}, Applied},
		{"limit of none", nil, []ScopeGuard{{Scope: scopeID(9), Below: 0}}, Conflict},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n := newNode(t)
			n.commit(Applied, txn(1, key(live, 1, full), key(gone, 1, full)))
			n.commit(Applied, txn(2, drop(key(gone, 2)), key("other", 2, full)))
			x := txn(3, key("new", 3))
			x.Guards, x.ScopeGuards = test.guards, test.scopes
			before := n.View()
			n.commit(test.want, x)
			_, written := n.View().Get(KindKey, "new")
			if written != (test.want == Applied) {
				t.Fatalf("written: %v", written)
			}
			if _, remembered := n.View().Txn(x.ID, x.Request); remembered != written {
				t.Fatalf("remembered: %v", remembered)
			}
			if _, ok := before.Get(KindKey, "new"); ok {
				t.Fatal("an old view changed")
			}
			audit(t, n.View())
		})
	}
}

func TestRevisionsOnlyRise(t *testing.T) {
	n := newNode(t)
	n.commit(Applied, txn(1, key("a", 5)))
	n.commit(Stale, txn(2, key("a", 5)))
	n.commit(Stale, txn(3, key("a", 4)))
	n.commit(Applied, txn(4, drop(key("a", 6))))
	n.commit(Stale, txn(5, key("a", 6))) // over a tombstone too
	n.commit(Stale, txn(6, key("new", 9), key("a", 3)))
	if _, ok := n.View().Get(KindKey, "new"); ok {
		t.Fatal("half of a transaction was applied")
	}
	n.commit(Applied, txn(7, key("a", 7)))
	audit(t, n.View())
}

// A decision that read a scope must fail when the scope was emptied and filled again since; one that
// read an empty scope need not, since it is empty again.
func TestEmptiedScopes(t *testing.T) {
	n := newNode(t)
	s := scopeID(1)
	n.commit(Applied, txn(1, key("a", 1, s)))
	seen, _ := n.View().Scope(s)
	n.commit(Applied, txn(2, drop(key("a", 2))))
	if revision, members := n.View().Scope(s); revision != 0 || members != 0 {
		t.Fatalf("an empty scope has revision %d, %d members", revision, members)
	}
	n.commit(Applied, txn(3, key("a", 3, s)))
	x := txn(4, key("b", 4))
	x.ScopeGuards = []ScopeGuard{{Scope: s, Exact: true, Revision: seen}}
	n.commit(Conflict, x)
	n.commit(Applied, txn(5, drop(key("a", 6))))
	x = txn(6, key("c", 7))
	x.ScopeGuards = []ScopeGuard{{Scope: s, Exact: true}}
	n.commit(Applied, x)
	audit(t, n.View())
}

func TestScopesFollowTheirRecords(t *testing.T) {
	n := newNode(t)
	a, b, c := scopeID(1), scopeID(2), scopeID(3)
	n.commit(Applied, txn(1, key("x", 1, a, b)))
	n.commit(Applied, txn(2, key("x", 2, b, c))) // leaves a, stays in b, enters c
	for _, want := range []struct {
		scope             ScopeID
		revision, members uint64
	}{{a, 0, 0}, {b, 2, 1}, {c, 2, 1}} {
		if revision, members := n.View().Scope(want.scope); revision != want.revision || members != want.members {
			t.Errorf("scope %v: %d, %d", want.scope, revision, members)
		}
	}
	audit(t, n.View())
}

func TestRetriesAreAnsweredFromTheFirst(t *testing.T) {
	n := newNode(t)
	x := txn(1, key("a", 1), Write{Kind: KindMaterial, ID: "m", Revision: 1, Term: 1, Body: []byte("m")})
	x.Based = n.now
	x.Request[0] = 7
	first := n.batch(x, x) // both in one command
	if first[0].Status != Applied || first[1].Status != Repeated {
		t.Fatalf("%v", first)
	}
	other := x
	other.Writes = []Write{key("b", 2)} // a retry that decided again made other ids
	o := n.commit(Repeated, other)
	if o.Index != first[0].Index || len(o.Refs) != 2 || o.Refs[0] != (Ref{KindKey, "a"}) || o.Refs[1] != (Ref{KindMaterial, "m"}) {
		t.Fatalf("%+v", o)
	}
	if _, ok := n.View().Get(KindKey, "b"); ok {
		t.Fatal("the repeat wrote")
	}
	other.Request[0] = 8
	n.commit(Mismatch, other)
	if o, ok := n.View().Txn(x.ID, x.Request); !ok || o.Status != Repeated || o.Index != 1 {
		t.Fatalf("%+v", o)
	}
	audit(t, n.View())
}

func TestRefusedTransactionsAreNotRemembered(t *testing.T) {
	n := newNode(t)
	x := txn(1, key("a", 2))
	x.Guards = []Guard{{KindKey, "b", 1}}
	n.commit(Conflict, x)
	n.commit(Applied, txn(2, key("b", 1)))
	n.commit(Applied, x)
}

func TestRetryMemoryForgetsByLogTime(t *testing.T) {
	for _, long := range []bool{false, true} {
		n := newNode(t)
		x := txn(1, key("a", 1))
		x.Long, x.Based = long, n.now
		n.commit(Applied, x)
		n.now = start + memory(long) - 1
		n.commit(Repeated, x)
		n.now-- // an earlier stamp does not turn log time back
		n.commit(Repeated, x)
		n.now = start + memory(long)
		n.commit(Stale, x) // forgotten, but too old to be applied twice
		if n.View().Remembered() != 0 {
			t.Fatal("still remembered")
		}
		x.Based = n.now
		x.Writes = []Write{key("a", 9)}
		n.commit(Applied, x)
		audit(t, n.View())
	}
}

// Whatever its proposer's clock said, a transaction that was forgotten is never applied again.
func TestNothingIsAppliedTwice(t *testing.T) {
	for _, long := range []bool{false, true} {
		for _, ahead := range []int64{-BasedAhead, -1, 0, 1, BasedAhead, BasedAhead + 1} {
			n := newNode(t)
			x := txn(1, key("a", 1))
			x.Long, x.Based = long, start+ahead
			if o := n.batch(x)[0]; o.Status == Stale && ahead > BasedAhead {
				continue
			} else if o.Status != Applied {
				t.Fatalf("ahead %d: %v", ahead, o)
			}
			for now := int64(start); now < start+memory(long)+4*BasedAhead; now += 500 {
				n.now = now
				again := x
				again.Writes = []Write{key("a", n.revision())}
				if o := n.batch(again)[0]; o.Status != Repeated && o.Status != Stale {
					t.Fatalf("ahead %d, %d ms later: %v", ahead, now-start, o.Status)
				}
			}
		}
	}
}

func TestBasedWindow(t *testing.T) {
	for _, test := range []struct {
		name  string
		long  bool
		based int64
		want  Status
	}{
		{"now", false, start, Applied},
		{"a little ahead", false, start + BasedAhead, Applied},
		{"too far ahead", false, start + BasedAhead + 1, Stale},
		{"old", false, start - ShortMemory + BasedAhead + 1, Applied},
		{"too old", false, start - ShortMemory + BasedAhead, Stale},
		{"old, long", true, start - LongMemory + BasedAhead + 1, Applied},
		{"too old, long", true, start - LongMemory + BasedAhead, Stale},
	} {
		n := newNode(t)
		x := txn(1, key("a", 1))
		x.Based, x.Long = test.based, test.long
		if o := n.batch(x)[0]; o.Status != test.want {
			t.Errorf("%s: %v (%s)", test.name, o.Status, o.Detail)
		}
	}
}

func TestRetryMemoryIsBounded(t *testing.T) {
	n := newNodeOf(t, Options{RetryLimit: 2})
	n.commit(Applied, txn(1, key("a", 1)))
	n.commit(Applied, txn(2, key("b", 1)))
	n.commit(Full, txn(3, key("c", 1)))
	n.commit(Repeated, txn(1))
	n.now += ShortMemory
	n.commit(Applied, txn(4, key("c", 1)))
	if n.View().Remembered() != 1 {
		t.Fatalf("%d remembered", n.View().Remembered())
	}
	audit(t, n.View())
}

// TestMemoryKeepsRoom fills the memory with what is remembered for long: short transactions still have
// their share of it, and membership is never refused.
func TestMemoryKeepsRoom(t *testing.T) {
	n := newNodeOf(t, Options{RetryLimit: 16})
	long := func(i int) Txn {
		x := txn(i, key(ID(rune(0x61+i)), 1))
		x.Based, x.Long = n.now, true
		return x
	}
	for i := range 14 {
		n.commit(Applied, long(i+1))
	}
	n.commit(Full, long(15))
	n.commit(Applied, txn(16, key("short", 1)))
	n.commit(Applied, txn(17, key("shorter", 1)))
	n.commit(Full, txn(18, key("too many", 1)))
	n.commit(Applied, txn(19, Write{Kind: KindNode, ID: "node-9", Revision: 1, Body: []byte("x")}))
	n.commit(Full, txn(20))
	audit(t, n.View())
}

func TestExpiryIsBoundedPerCommand(t *testing.T) {
	n := newNode(t)
	total := maxExpire + 3*MaxTxns/2
	for i := 0; i < total; {
		var txns []Txn
		for ; len(txns) < MaxTxns && i < total; i++ {
			x := txn(i)
			x.Based, x.Long = n.now, i%2 == 0
			txns = append(txns, x)
		}
		n.batch(txns...)
	}
	n.now += LongMemory
	n.run(EncodeCheckpoint(n.now))
	if got := n.View().Remembered(); got != total-maxExpire {
		t.Fatalf("%d remembered after one command, of %d", got, total)
	}
	audit(t, n.View())
	n.run(EncodeCheckpoint(n.now))
	if got := n.View().Remembered(); got != 0 {
		t.Fatalf("%d remembered", got)
	}
	audit(t, n.View())
}

func TestTombstones(t *testing.T) {
	n := newNode(t)
	n.commit(Applied, txn(1, key("old", 1), key("again", 1), key("young", 1)))
	n.commit(Applied, txn(2, drop(key("old", 40)), drop(key("again", 2))))
	n.now += 1000
	n.commit(Applied, txn(3, drop(key("young", 50)), key("again", 3)))
	if count, oldest := n.View().Tombstones(); count != 2 || oldest != start {
		t.Fatalf("%d, oldest %d", count, oldest)
	}
	if r, ok := n.View().GetAny(KindKey, "old"); !ok || !r.Deleted || r.Scopes != nil {
		t.Fatalf("%+v", r)
	}
	if d := n.run(EncodeDropTombstones(start + TombstoneAge)).(Dropped); d != (Dropped{}) {
		t.Fatalf("dropped too early: %+v", d)
	}
	if d := n.run(EncodeDropTombstones(start + TombstoneAge + 1)).(Dropped); d != (Dropped{Count: 1}) {
		t.Fatalf("%+v", d)
	}
	v := n.View()
	if _, ok := v.GetAny(KindKey, "old"); ok || v.Floor(KindKey) != 40 || v.Floor(KindAlias) != 0 {
		t.Fatalf("floor %d", v.Floor(KindKey))
	}
	if _, ok := v.GetAny(KindKey, "young"); !ok {
		t.Fatal("a young tombstone was dropped")
	}
	audit(t, v)
	n.now = v.LogTime()
	n.commit(Stale, txn(4, key("old", 40)))
	n.commit(Stale, txn(5, key("never seen", 40)))
	n.commit(Applied, txn(6, key("old", 41)))
}

// The place in the order of age is kept when a tombstone replaces one of the same log time.
func TestTombstoneOverTombstone(t *testing.T) {
	n := newNode(t)
	n.commit(Applied, txn(1, drop(key("a", 1))))
	n.commit(Applied, txn(2, drop(key("a", 2))))
	audit(t, n.View())
}

func TestDroppingIsBoundedPerCommand(t *testing.T) {
	n := newNode(t)
	var i int
	for i < maxDrop+10 {
		x := txn(i)
		for range MaxWrites {
			x.Writes = append(x.Writes, drop(key(ID(txnID(i).String()), 1)))
			i++
		}
		n.commit(Applied, x)
	}
	n.now += TombstoneAge + 1
	if d := n.run(EncodeDropTombstones(n.now)).(Dropped); d.Count != maxDrop || !d.More {
		t.Fatalf("%+v", d)
	}
	if d := n.run(EncodeDropTombstones(n.now)).(Dropped); d.Count != i-maxDrop || d.More {
		t.Fatalf("%+v", d)
	}
	audit(t, n.View())
}

func TestCheckpointIsThisNodesOwn(t *testing.T) {
	n := newNode(t)
	n.commit(Applied, txn(1, key("a", 1)))
	c := n.run(EncodeCheckpoint(n.now)).(Checkpoint)
	if c.Index != 2 || c.Digest != n.View().Digest() {
		t.Fatalf("%+v", c)
	}
	n.commit(Applied, txn(2, key("b", 2)))
	if index, digest := n.View().Checkpoint(); index != c.Index || digest != c.Digest || digest == n.View().Digest() {
		t.Fatalf("%d %x", index, digest)
	}
	other := newNode(t)
	mustRestore(t, other.FSM, persist(t, n.FSM))
	if index, _ := other.View().Checkpoint(); index != 0 {
		t.Fatal("a checkpoint came from another node")
	}
}

// damage is a command that must stop the node, and what its message must say.
func TestUnknownCommandStopsTheNode(t *testing.T) {
	good := EncodeCheckpoint(start)
	for name, test := range map[string]struct {
		data []byte
		says string
	}{
		"version":   {append([]byte{2}, good[1:]...), "version 2 is not known"},
		"kind":      {append([]byte{1, 99}, good[2:]...), "command kind 99 is not known"},
		"empty":     {nil, "no version"},
		"cut":       {good[:len(good)-1], "malformed checkpoint"},
		"trailing":  {append(append([]byte{}, good...), 0), "malformed checkpoint"},
		"too large": {make([]byte, MaxCommand+1), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			batch, _ := EncodeBatch(start, []Txn{{ID: txnID(1), Event: "key.created", Based: start, Writes: []Write{key("a", 1)}}})
			answers := n.ApplyBatch([]*raft.Log{n.entry(batch), n.entry(test.data), n.entry(good)})
			if _, ok := answers[0].([]Outcome); !ok {
				t.Fatalf("what came before: %v", answers[0])
			}
			for _, a := range answers[1:] {
				if err, ok := a.(error); !ok || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("%v", a)
				}
			}
			if n.fatal == nil || n.Err() == nil || n.View().Index() != 1 {
				t.Fatalf("fatal %v, err %v, index %d", n.fatal, n.Err(), n.View().Index())
			}
			digest := n.View().Digest()
			if _, ok := n.Apply(n.entry(good)).(error); !ok || n.View().Digest() != digest {
				t.Fatal("something was applied after the stop")
			}
			if _, err := n.Snapshot(); err == nil {
				t.Fatal("a snapshot would claim the entry that was not applied")
			}
		})
	}
}

func TestLogNeverGoesBack(t *testing.T) {
	n := newNode(t)
	n.run(EncodeCheckpoint(start))
	if _, ok := n.Apply(n.log[0]).(error); !ok || n.fatal == nil {
		t.Fatal("an entry was applied twice")
	}
}

func TestOtherEntriesMoveNothing(t *testing.T) {
	n := newNode(t)
	n.run(EncodeCheckpoint(start))
	if a := n.Apply(&raft.Log{Index: 7, Type: raft.LogConfiguration, Data: []byte("x")}); a != nil {
		t.Fatal(a)
	}
	if n.View().Index() != 1 || n.View().Epoch() != 1 || n.View().LogTime() != start {
		t.Fatal("the view moved")
	}
}

func TestViewReads(t *testing.T) {
	n := newNode(t)
	s := scopeID(4)
	n.commit(Applied, txn(1, key("a", 1), key("b", 1, s), key("c", 1), drop(key("bb", 1)),
		Write{Kind: KindNode, ID: "n", Revision: 1, Body: []byte("clear")}))
	v := n.View()
	r, ok := v.Get(KindKey, "b")
	if !ok || string(r.Body) != "sealed b" || r.Revision != 1 || r.Term != 1 || r.Stamp != start || len(r.Scopes) != 1 || r.Scopes[0] != s {
		t.Fatalf("%+v", r)
	}
	if _, ok := v.Get(KindKey, "bb"); ok {
		t.Fatal("a tombstone is no live record")
	}
	if _, ok := v.Get(99, "a"); ok || v.Count(99) != 0 || v.Floor(99) != 0 {
		t.Fatal("unknown kinds are empty")
	}
	var ids []ID
	v.Ascend(KindKey, "b", func(id ID, _ Record) bool { ids = append(ids, id); return true })
	if len(ids) != 2 || ids[0] != "b" || ids[1] != "c" {
		t.Fatalf("%v", ids)
	}
	v.Ascend(KindKey, "", func(id ID, _ Record) bool { ids = append(ids, id); return false })
	if len(ids) != 3 || ids[2] != "a" {
		t.Fatalf("%v", ids)
	}
	if v.TermCount(1) != 3 || v.TermCount(0) != 1 || v.Count(KindKey) != 4 {
		t.Fatal("counts")
	}
}
