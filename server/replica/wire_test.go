package replica

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/transport"
)

// FuzzMessages decodes bytes as every message between nodes and as a node record. What decodes has
// to survive being encoded and decoded again.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{})
	for _, v := range []any{
		statusAnswer{NodeID: "a", List: "b", HasState: true, Leader: "c"},
		pollRequest{Bound: 60000, Sealed: true, Applied: 7, Trouble: "t", CheckIndex: 3, CheckDigest: make([]byte, 32), Quarantined: true},
		pollAnswer{Index: 9, Median: 10, Verdict: verdict{Index: 3, Majority: make([]byte, 32), Split: true}},
		termAnswer{NodeID: "a", Term: 4, Wall: 5},
		[][]byte{{1, 2}, {3}}, []proposeResult{{Status: 1, Index: 2}, {Kind: KindSplit, Msg: "m"}},
		uint64(5), openedAnswer{NodeID: "a", Sealed: true}, []string{"a"},
		[]Member{{ID: "1", Name: "a"}}, adminRequest{Remove: true, Name: "a"},
		nodeRecord{Schema: 1, Name: "a", NodeID: "1", KeyHash: make([]byte, 32), Retired: []retired{{"2", 3}}},
	} {
		f.Add(encode(v))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again[statusAnswer](t, b)
		again[pollRequest](t, b)
		again[pollAnswer](t, b)
		again[termAnswer](t, b)
		again[[][]byte](t, b)
		again[[]proposeResult](t, b)
		again[uint64](t, b)
		again[openedAnswer](t, b)
		again[[]string](t, b)
		again[[]Member](t, b)
		again[adminRequest](t, b)
		if n, err := decodeNode(b); err == nil && (n.Name == "" || len(n.KeyHash) != 0 && len(n.KeyHash) != 32) {
			t.Fatalf("a record without a name or with a malformed key hash: %+v", n)
		}
	})
}

func again[T any](t *testing.T, b []byte) {
	v, err := decode[T](b)
	if err != nil {
		return
	}
	first := encode(v)
	w, err := decode[T](first)
	if err != nil || !bytes.Equal(first, encode(w)) {
		t.Fatalf("%T: %x decodes, but not what it is encoded to: %v", v, b, err)
	}
}

func TestKindOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Kind
	}{
		{nil, ""},
		{errors.New("x"), ""},
		{errorf(KindSplit, "x"), KindSplit},
		{errors.Join(errors.New("x"), errorf(KindDisk, "y")), KindDisk},
		{&transport.RemoteError{Code: "throttled"}, KindThrottled},
		{&transport.CallError{Err: &transport.RefusedError{Remote: true, Code: "refused"}}, KindRefused},
		{&transport.CallError{Err: &transport.RefusedError{Code: "refused"}}, ""},
	} {
		if got := KindOf(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// A run of the gate is shared only by those who asked before it began.
func TestGate(t *testing.T) {
	begin, runs := make(chan struct{}), 0
	g := newGate(context.Background(), 0, func(context.Context) (int, error) {
		runs++
		n := runs
		<-begin
		return n, nil
	})
	results := make(chan int, 8)
	ask := func() {
		n, _ := g.ask(context.Background())
		results <- n
	}
	go ask()
	waitFor(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.running && g.next == nil })
	for range 5 {
		go ask()
	}
	late := func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.next != nil }
	waitFor(t, late)
	begin <- struct{}{}
	if n := <-results; n != 1 {
		t.Fatalf("the first asker got run %d", n)
	}
	close(begin)
	for range 5 {
		if n := <-results; n < 2 {
			t.Fatal("a run that had begun was shared with who asked later")
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	blocked := newGate(context.Background(), 0, func(context.Context) (int, error) { select {} })
	if _, err := blocked.ask(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
		pause(context.Background(), time.Millisecond)
	}
}

func TestQueue(t *testing.T) {
	q := newQueue()
	var all []*pending
	for range 10 {
		p := &pending{size: 10, done: make(chan struct{})}
		all = append(all, p)
	}
	if err := q.push(false, all...); err != nil {
		t.Fatal(err)
	}
	any := func(*pending) bool { return true }
	all[0].state.Store(abandoned)
	if got := q.take(35, 100, any); len(got) != 3 || got[0] != all[1] {
		t.Fatalf("took %d by bytes", len(got))
	}
	if got := q.take(1000, 2, any); len(got) != 2 || got[0] != all[4] {
		t.Fatalf("took %d by number", len(got))
	}
	if got := q.take(1, 100, any); len(got) != 1 {
		t.Fatalf("took %d of which one does not fit", len(got))
	}
	all[7].remote = true
	if got := q.take(1000, 100, func(p *pending) bool { return p.remote }); len(got) != 1 || got[0] != all[7] {
		t.Fatal("took what was not wanted")
	}
	if got := q.take(1000, 100, any); len(got) != 2 || q.waiting() {
		t.Fatalf("took %d at last", len(got))
	}
	wantKind(t, q.push(false, make([]*pending, maxQueued+1)...), KindThrottled)
	q.close()
	wantKind(t, q.push(true, all[0]), KindClosed)
}

// What is given up while it flies must not be proposed again behind its owner's back.
func TestRetries(t *testing.T) {
	r := &Replica{clock: systemClock{}}
	for _, tt := range []struct {
		name           string
		remote, logged bool
		state          int32
		err            error
		again          bool
		kind           Kind // of a finished one
		unknown        bool
	}{
		{"not logged", false, false, flying, errorf(KindNotLeader, "x"), true, "", false},
		{"logged", false, true, flying, errors.New("x"), true, "", true},
		{"abandoned", false, true, abandoned, errors.New("x"), false, "", true},
		{"final", false, false, flying, errorf(KindSplit, "x"), false, KindSplit, false},
		{"remote, not logged", true, false, flying, errors.New("x"), false, KindNotLeader, false},
		{"remote, logged", true, true, flying, errors.New("x"), false, KindOutcomeUnknown, true},
		{"remote, final", true, false, flying, errorf(KindSplit, "x"), false, KindSplit, false},
	} {
		p := &pending{remote: tt.remote, done: make(chan struct{})}
		p.state.Store(tt.state)
		if got := r.retries(p, tt.err, tt.logged); got != tt.again {
			t.Errorf("%s: again %v", tt.name, got)
		}
		if KindOf(p.err) != tt.kind || p.unknown.Load() != tt.unknown {
			t.Errorf("%s: error %v, unknown %v", tt.name, p.err, p.unknown.Load())
		}
	}
}

// Failed is not unknown: only what is listed is known to be in no log.
func TestNeverLogged(t *testing.T) {
	for err, want := range map[error]bool{
		raft.ErrNotLeader: true, raft.ErrEnqueueTimeout: true, raft.ErrLeadershipTransferInProgress: true,
		raft.ErrLeadershipLost: false, raft.ErrRaftShutdown: false, raft.ErrAbortedByRestore: false, errors.New("disk"): false,
	} {
		if neverLogged(err) != want {
			t.Errorf("%v: never logged %v", err, !want)
		}
	}
	for err, want := range map[error]bool{
		&transport.RemoteError{Code: string(KindNotLeader)}:        true,
		&transport.RemoteError{Code: string(KindThrottled)}:        true,
		&transport.RemoteError{Code: transport.CodeDeadline}:       false,
		&transport.RemoteError{Code: transport.CodeFailed}:         false,
		&transport.RemoteError{Code: string(KindOutcomeUnknown)}:   false,
		&transport.CallError{Sent: true, Err: errors.New("reset")}: false,
	} {
		if refusedWhole(err) != want {
			t.Errorf("%v: refused whole %v", err, !want)
		}
	}
}

// An answer that does not decode says nothing of what the leader did.
func TestUndecodableAnswerIsUnknown(t *testing.T) {
	c := newCluster(t, names(3)...)
	c.start()
	leader := c.settled()
	leader.transport.Handle("test.garbage", func(context.Context, transport.Peer, []byte) ([]byte, error) { return []byte{0xff}, nil })
	_, err := call[[]proposeResult](context.Background(), c.follower().r, leader.name, "test.garbage", empty{})
	if err == nil || KindOf(err) != "" || refusedWhole(err) || transport.NeverRan(err) || !elsewhere(err) {
		t.Fatalf("%v, of kind %q", err, KindOf(err))
	}
}

// A reign is cancelled before it is taken out of sight, so that ascend cannot put it back.
func TestDepose(t *testing.T) {
	r := &Replica{}
	g := &reign{}
	inSight := false
	g.cancel = func() { inSight = r.reign.Load() == g }
	r.reign.Store(g)
	r.depose(g)
	if !inSight || r.reign.Load() != nil {
		t.Fatalf("in sight when cancelled %v, afterwards %v", inSight, r.reign.Load() != nil)
	}
}

// Removed is a refusal like others to all but the one who asked to be removed.
func TestWasRemoved(t *testing.T) {
	removed := admit(nodeRecord{Name: "a", NodeID: "1", Removed: true}, "1", nil)
	replaced := admit(nodeRecord{Name: "a", NodeID: "2", Retired: []retired{{ID: "1"}}}, "1", nil)
	for err, want := range map[error]bool{
		removed: true, replaced: false, errorf(KindRefused, "x"): false,
		&transport.RemoteError{Code: codeRemoved}:                                           true,
		&transport.RemoteError{Code: string(KindRefused)}:                                   false,
		&transport.CallError{Err: &transport.RefusedError{Remote: true, Code: codeRemoved}}: true,
		&transport.CallError{Err: &transport.RefusedError{Remote: true, Code: "refused"}}:   false,
	} {
		if wasRemoved(err) != want || KindOf(err) != KindRefused {
			t.Errorf("%v: removed %v, kind %q", err, !want, KindOf(err))
		}
	}
}
