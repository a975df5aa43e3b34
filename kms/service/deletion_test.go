package service_test

import (
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

const oneDay = 24 * time.Hour

// caughtUp waits until nodes have seen what the log holds: what is due they look for in what they have seen.
func caughtUp(t testing.TB, nodes ...*servicetest.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.CatchUp(t.Context()); err != nil && !n.Catalog.Sealed() {
			t.Fatalf("%s: %v", n.Name, err)
		}
	}
}

// runDue does what is due, without an error.
func runDue(t testing.TB, nodes ...*servicetest.Node) {
	t.Helper()
	for _, n := range nodes {
		caughtUp(t, n)
		if err := n.RunDue(t.Context()); err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
	}
}

// live counts the live records of a kind.
func live(w *world, kind fsm.Kind) (n int) {
	state := w.State()
	state.Ascend(kind, "", func(id fsm.ID, _ fsm.Record) bool {
		if _, ok := state.Get(kind, id); ok {
			n++
		}
		return true
	})
	return n
}

func (w *world) describe(t testing.TB, key string) kms.KeyMetadata {
	t.Helper()
	return w.must(t, w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}).(*kms.KeyAnswer).Key
}

func (w *world) schedule(t testing.TB, key string, days int) kms.KeyMetadata {
	t.Helper()
	return w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(days)}).(*kms.KeyAnswer).Key
}

// A cancellation that was decided in time and comes late finds that the destruction began.
func TestLateCancellation(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	key := w.CreateKey(w.alice)
	for range 201 {
		w.must(t, w.alice, kms.OpCreateGrant, grantRequest(key))
	}
	w.Advance(time.Duration(w.schedule(t, key, 7).DeletionDate.UnixMilli()-w.Now()-50) * time.Millisecond)
	n.Break(servicetest.Faults{Propose: func(txn *fsm.Txn) error {
		if txn.Event == "key.destroyed" {
			return servicetest.ErrFault
		}
		return nil
	}})
	first := true
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if first {
			first = false
			w.Advance(time.Second)
			caughtUp(t, n)
			n.RunDue(t.Context())
		}
	}})
	_, err := w.Do(w.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
	want(t, "cancel", err, kms.CodeInvalidState)
	if live(w, fsm.KindGrant) != 0 {
		t.Error("the destruction did not begin")
	}
}

// An alias that moves away while its key is destroyed stays.
func TestAliasLeavesADestroyedKey(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	key, other := w.CreateKey(w.alice), w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
	w.schedule(t, key, 7)
	w.Advance(8 * oneDay)
	decided, mayMove, moved := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	first := true
	n.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if first {
			first = false
			close(decided)
			<-mayMove
		}
	}})
	go func() {
		_, err := n.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: other})
		moved <- err
	}()
	<-decided
	w.CreateKey(w.alice) // so that the destruction is decided on a later state
	begun := false
	w.Break(servicetest.Faults{BeforePropose: func(txn *fsm.Txn) {
		if txn.Event == "key.destroyed" && !begun {
			begun = true
			close(mayMove)
			want(t, "move", <-moved, "")
		}
	}})
	runDue(t, w.Node)
	if got := w.describe(t, "alias/a").KeyID; got != other {
		t.Errorf("the alias names %s", got)
	}
	_, err := w.Do(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
	want(t, "the key", err, kms.CodeNotFound)
}
