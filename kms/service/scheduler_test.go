package service_test

import (
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// errLost is what a leader learns of a transaction whose answer it lost.
func errLost(*fsm.Txn) error {
	return kms.Errorf(kms.CodeOutcomeUnknown, "The answer was lost.")
}

// duties are a key of each thing that falls due, 40 days after they were made.
type duties struct{ doomed, rotated, expiring string }

func (w *world) duties(t *testing.T) duties {
	t.Helper()
	d := duties{w.CreateKey(w.alice), w.CreateKey(w.alice), w.make(t, w.alice, &kms.CreateKeyRequest{Origin: kms.OriginExternal}).KeyID}
	w.enableRotation(t, d.rotated, 90)
	w.Advance(60 * oneDay)
	w.importInto(t, d.expiring, newMaterial(32), &kms.ImportKeyMaterialRequest{ValidTo: ptr(kms.Time(w.Now() + 10*oneDay.Milliseconds()))})
	w.schedule(t, d.doomed, 7)
	return d
}

// undone fails when one of the duties is done already.
func (w *world) undone(t *testing.T, d duties) {
	t.Helper()
	if w.describe(t, d.doomed).KeyState != kms.StatePendingDeletion || len(w.rotations(t, d.rotated, "")) > 0 || w.describe(t, d.expiring).KeyState != kms.StateEnabled {
		t.Fatal("something was done already")
	}
}

// doneOnce fails unless each of the duties is done, once, by whatever nodes. lost says how many nodes did not learn
// that they did it.
func (w *world) doneOnce(t *testing.T, d duties, lost int, nodes ...*servicetest.Node) {
	t.Helper()
	_, err := w.Do(w.alice, kms.OpDescribeKey, &kms.KeyRequest{KeyID: d.doomed})
	want(t, "the key that was to be deleted", err, kms.CodeNotFound)
	if got := len(w.rotations(t, d.rotated, "")); got != 1 {
		t.Errorf("%d rotations", got)
	}
	if got := w.describe(t, d.expiring).KeyState; got != kms.StatePendingImport {
		t.Errorf("the key whose material expired is %s", got)
	}
	if got := live(w, fsm.KindMaterial); got != 2 {
		t.Errorf("%d materials are live", got)
	}
	for _, name := range []string{"DeleteKey", "RotateKey", "DeleteExpiredKeyMaterial"} {
		if done, failed := events(name, nodes...); done+failed != 1 || failed != lost {
			t.Errorf("%s is recorded %d times, and %d times as unknown", name, done, failed)
		}
	}
}

func TestTwoLeadersDoItOnce(t *testing.T) {
	for range 10 {
		w := newWorld(t, servicetest.Options{})
		n := w.Cluster.Node(servicetest.Options{})
		d := w.duties(t)
		w.Advance(40 * oneDay)
		caughtUp(t, w.Node, n)
		var wg sync.WaitGroup
		for _, one := range []*servicetest.Node{w.Node, n, w.Node, n} {
			wg.Go(func() { want(t, "run", one.RunDue(t.Context()), "") })
		}
		wg.Wait()
		w.doneOnce(t, d, 0, w.Node, n)
	}
}

func TestALeaderThatLosesItsAnswers(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	d := w.duties(t)
	w.Advance(40 * oneDay)
	n.Break(servicetest.Faults{AfterPropose: errLost})
	caughtUp(t, n)
	want(t, "run", n.RunDue(t.Context()), kms.CodeOutcomeUnknown)
	n.Break(servicetest.Faults{})
	runDue(t, w.Node, n, w.Node)
	w.doneOnce(t, d, 1, w.Node, n)
}

func TestNothingIsDoneWhile(t *testing.T) {
	no := func(int64) bool { return false }
	for _, row := range []struct {
		name  string
		fault servicetest.Faults
		code  kms.Code
	}{
		{"the voters do not agree", servicetest.Faults{Due: no}, ""},
		{"there is no quorum", servicetest.Faults{Propose: func(*fsm.Txn) error { return kms.Errorf(kms.CodeNoQuorum, "") }}, kms.CodeNoQuorum},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			n := w.Cluster.Node(servicetest.Options{})
			d := w.duties(t)
			n.Break(row.fault)
			w.Advance(40 * oneDay)
			for range 3 {
				caughtUp(t, n)
				want(t, "run", n.RunDue(t.Context()), row.code)
			}
			w.undone(t, d)
			n.Break(servicetest.Faults{})
			runDue(t, n, n)
			w.doneOnce(t, d, 0, w.Node, n)
		})
	}
}

func TestASealedNodeDoesNothing(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	d := w.duties(t)
	w.Advance(40 * oneDay)
	n.Catalog.Seal()
	runDue(t, n)
	w.undone(t, d)
	n.Unseal()
	runDue(t, n)
	w.doneOnce(t, d, 0, w.Node, n)
	runDue(t, w.Cluster.Node(servicetest.Options{})) // a node that has its state from the log alone
	w.doneOnce(t, d, 0, w.Node, n)
}

// A node whose records cannot be written does nothing that would need one.
func TestNothingIsDoneUnrecorded(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	d := w.duties(t)
	w.Advance(40 * oneDay)
	n.Break(servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }})
	_, err := n.Do(w.alice, kms.OpListKeys, &kms.ListRequest{}) // the node learns that it cannot write
	want(t, "list", err, kms.CodeAuditBlocked)
	caughtUp(t, n)
	want(t, "run", n.RunDue(t.Context()), kms.CodeAuditBlocked)
	w.undone(t, d)
	runDue(t, w.Node)
	w.doneOnce(t, d, 0, w.Node, n)
}

// A leader that decided before another one, and is heard after it decided, has done it: the other finds nothing.
func TestTwoLeadersInTurn(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.enableRotation(t, key, 90)
	w.Advance(92 * oneDay)
	decided, may, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	n.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) { close(decided); <-may }})
	caughtUp(t, n)
	go func() { done <- n.RunDue(t.Context()) }()
	<-decided
	w.CreateKey(w.alice) // so that the second decides on a later state
	once := false
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if !once {
			once = true
			close(may)
			want(t, "the first", <-done, "")
		}
	}})
	runDue(t, w.Node)
	if got := len(w.rotations(t, key, "")); got != 1 || live(w, fsm.KindMaterial) != 3 {
		t.Errorf("%d rotations", got)
	}
}
