package service_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// chores are keys with everything that a scheduler does: one to rotate, one to destroy, and one whose imported
// material expires.
type chores struct {
	rotate, destroy, expire string
	left                    []byte // a ciphertext of the key that is rotated
}

// newChores makes chores that are due 100 days later.
func (w *world) newChores(t *testing.T) chores {
	t.Helper()
	c := chores{rotate: w.CreateKey(w.alice), destroy: w.CreateKey(w.alice), expire: w.make(t, w.alice, externalKey).KeyID}
	c.left = w.encrypt(t, w.alice, c.rotate, message, nil)
	w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: c.rotate, RotationPeriodInDays: ptr(90)})
	q := imported(t, w, c.expire, make([]byte, 32))
	q.ExpirationModel, q.ValidTo = kms.MaterialExpires, ptr(kms.Time(w.State().LogTime()).Add(95*days))
	w.must(t, w.alice, kms.OpImportKeyMaterial, q)
	w.schedule(t, c.destroy, 30)
	return c
}

// undone fails when anything was done.
func (c chores) undone(t testing.TB, w *world, nodes ...*servicetest.Node) {
	t.Helper()
	rotate, destroy, expire := keyOn(t, w.Node, c.rotate), keyOn(t, w.Node, c.destroy), keyOn(t, w.Node, c.expire)
	if len(rotate.Materials) != 1 || destroy == nil || destroy.State != kms.StatePendingDeletion || expire.State != kms.StateEnabled {
		t.Errorf("%d materials, to be destroyed: %v, to expire: %s", len(rotate.Materials), destroy, expire.State)
	}
	for event, key := range c.events() {
		if all, _ := audited(event, key, nodes...); all != 0 {
			t.Errorf("%s: %d audit records of what was not done", event, all)
		}
	}
}

func (c chores) events() map[string]string {
	return map[string]string{"RotateKey": c.rotate, "DeleteKey": c.destroy, "DeleteExpiredKeyMaterial": c.expire}
}

// done fails unless each thing was done exactly once, and each has one audit record on one of the nodes.
// uncertain of them may tell of an outcome that the node did not learn.
func (c chores) done(t testing.TB, w *world, uncertain int, nodes ...*servicetest.Node) {
	t.Helper()
	for _, n := range nodes {
		if n.Catalog.Sealed() {
			continue
		}
		k := keyOn(t, n, c.rotate)
		if len(k.Materials) != 2 || k.Current().Rotation != kms.RotationAutomatic {
			t.Errorf("%s: %d materials", n.Name, len(k.Materials))
		}
		if keyOn(t, n, c.destroy) != nil {
			t.Errorf("%s: the key is not destroyed", n.Name)
		}
		if k := keyOn(t, n, c.expire); k.State != kms.StatePendingImport || !k.Materials[0].Missing {
			t.Errorf("%s: the imported material did not expire: %s", n.Name, k.State)
		}
		if n.Catalog.View().Has(n.Catalog.View().IDs().Material(keyOn(t, n, c.expire).Materials[0].ID)) {
			t.Errorf("%s: the expired material has a record", n.Name)
		}
	}
	failures := 0
	for event, key := range c.events() {
		all, failed := audited(event, key, nodes...)
		if all != 1 {
			t.Errorf("%s: %d audit records", event, all)
		}
		failures += failed
	}
	if failures != uncertain {
		t.Errorf("%d audit records of errors, want %d", failures, uncertain)
	}
	w.decrypts(t, c.left, message)
}

// What is due is done once: however many nodes do it at the same moment, whatever they learn of it.
func TestDueIsDoneOnce(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, p *pair, c chores) (uncertain int, nodes []*servicetest.Node){
		"by one node": func(t *testing.T, p *pair, _ chores) (int, []*servicetest.Node) {
			p.runDue(t, p.Node, p.Node)
			return 0, nil
		},
		"one node after the other, which lags": func(t *testing.T, p *pair, _ chores) (int, []*servicetest.Node) {
			p.second.Lag(true)
			p.runDue(t)
			if err := p.second.RunDue(t.Context()); err != nil {
				t.Errorf("the node that lags: %v", err)
			}
			p.second.Lag(false)
			return 0, nil
		},
		"two nodes at the same moment": func(t *testing.T, p *pair, _ chores) (int, []*servicetest.Node) {
			// Each has decided when the first proposes.
			var met sync.WaitGroup
			met.Add(2)
			for _, n := range []*servicetest.Node{p.Node, p.second} {
				n.Lag(true)
				var once sync.Once
				n.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) { once.Do(func() { met.Done(); met.Wait() }) }})
			}
			var both sync.WaitGroup
			for _, n := range []*servicetest.Node{p.Node, p.second} {
				both.Go(func() {
					if err := n.RunDue(t.Context()); err != nil {
						t.Errorf("%s: %v", n.Name, err)
					}
				})
			}
			both.Wait()
			return 0, nil
		},
		"a node that does not learn it, then another": func(t *testing.T, p *pair, _ chores) (int, []*servicetest.Node) {
			p.Break(servicetest.Faults{AfterPropose: func(*fsm.Txn) error {
				return kms.Errorf(kms.CodeOutcomeUnknown, "The test loses the answer.")
			}})
			want(t, "the first", p.RunDue(t.Context()), kms.CodeOutcomeUnknown)
			p.Break(servicetest.Faults{})
			p.runDue(t, p.second, p.Node)
			return 3, nil
		},
		"a node that is sealed, then another": func(t *testing.T, p *pair, _ chores) (int, []*servicetest.Node) {
			p.second.Catalog.Seal()
			if err := p.second.RunDue(t.Context()); err != nil && kms.CodeOf(err) != kms.CodeSealed {
				t.Errorf("a sealed node: %v", err)
			}
			p.runDue(t)
			p.second.Unseal()
			p.runDue(t, p.second)
			return 0, nil
		},
		"a node that is sealed in the middle": func(t *testing.T, p *pair, _ chores) (int, []*servicetest.Node) {
			var once sync.Once
			sealed := make(chan struct{})
			p.Break(servicetest.Faults{Propose: func(*fsm.Txn) error {
				once.Do(func() { go func() { p.Catalog.Seal(); close(sealed) }() })
				return kms.Errorf(kms.CodeNoQuorum, "The test stops it.")
			}})
			if err := p.RunDue(t.Context()); err == nil {
				t.Error("what failed is said to be done")
			}
			p.Break(servicetest.Faults{})
			<-sealed
			p.runDue(t, p.second)
			p.Unseal()
			p.runDue(t)
			return 0, nil
		},
		"a new node from the log": func(t *testing.T, p *pair, _ chores) (int, []*servicetest.Node) {
			third := p.Cluster.Node(twoRegions)
			p.runDue(t, third, p.Node)
			fourth := p.Cluster.Node(twoRegions)
			p.runDue(t, fourth)
			return 0, []*servicetest.Node{third, fourth}
		},
		"a clock that jumps, until a majority agrees": func(t *testing.T, p *pair, c chores) (int, []*servicetest.Node) {
			for _, n := range []*servicetest.Node{p.Node, p.second} {
				n.Break(servicetest.Faults{Due: func(int64) bool { return false }})
			}
			p.runDue(t, p.Node, p.second)
			c.undone(t, p.world, p.Node, p.second)
			for _, n := range []*servicetest.Node{p.Node, p.second} {
				n.Break(servicetest.Faults{})
			}
			p.runDue(t, p.second, p.Node)
			return 0, nil
		},
		"while no quorum is there, then again": func(t *testing.T, p *pair, c chores) (int, []*servicetest.Node) {
			p.Break(servicetest.Faults{Propose: func(*fsm.Txn) error { return kms.Errorf(kms.CodeNoQuorum, "The test has no leader.") }})
			want(t, "without quorum", p.RunDue(t.Context()), kms.CodeNoQuorum)
			p.Break(servicetest.Faults{})
			c.undone(t, p.world, p.Node, p.second)
			p.runDue(t)
			return 0, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c := p.newChores(t)
			p.runDue(t, p.Node, p.second)
			c.undone(t, p.world, p.Node, p.second)
			p.Advance(100 * days)
			uncertain, more := run(t, p, c)
			p.Break(servicetest.Faults{})
			p.second.Break(servicetest.Faults{})
			c.done(t, p.world, uncertain, append(more, p.Node, p.second)...)
		})
	}
}

// While no audit record can be written nothing is done, and afterwards all of it, once.
func TestNothingIsDoneWithoutAudit(t *testing.T) {
	p := newPair(t)
	c := p.newChores(t)
	p.Advance(100 * days)
	blocked := servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }}
	p.Break(blocked)
	if _, err := p.Do(p.alice, kms.OpGenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: ptr(1)}); err == nil {
		t.Fatal("the audit is not blocked")
	}
	before := p.State().Index()
	want(t, "without audit", p.RunDue(t.Context()), kms.CodeAuditBlocked)
	if p.State().Index() != before {
		t.Error("something was written")
	}
	p.Break(servicetest.Faults{})
	c.undone(t, p.world, p.Node, p.second)
	p.runDue(t, p.Node)
	p.runDue(t, p.second)
	c.done(t, p.world, 0, p.Node, p.second)
}

// One key that fails does not keep the others waiting, wherever it stands.
func TestAFailingKeyStopsNobody(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	keys := make([]string, 5)
	for i := range keys {
		keys[i] = w.CreateKey(w.alice)
		w.schedule(t, keys[i], 7)
	}
	w.Advance(8 * days)
	for bad := range keys[:2] { // the soonest of those that are left
		ids := w.Catalog.View().IDs()
		ref := ids.Key(aliceScope, keys[bad])
		w.Break(servicetest.Faults{Propose: func(txn *fsm.Txn) error {
			for _, one := range txn.Writes {
				if one.Kind == ref.Kind && one.ID == ref.ID {
					return kms.Errorf(kms.CodeInternal, "The test refuses this key.")
				}
			}
			return nil
		}})
		want(t, "RunDue", w.RunDue(t.Context()), kms.CodeInternal)
		for i, key := range keys {
			if (keyOn(t, w.Node, key) != nil) != (i == bad) {
				t.Errorf("while %d fails, %d is there: %v", bad, i, i != bad)
			}
		}
		if bad == 0 {
			w.Break(servicetest.Faults{})
			w.runDue(t)
			for i := range keys {
				keys[i] = w.CreateKey(w.alice)
				w.schedule(t, keys[i], 7)
			}
			w.Advance(8 * days)
		}
	}
}

// A run ends with its context, and an ended run leaves the rest for the next.
func TestRunDueEndsWithItsContext(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	c := w.newChores(t)
	w.Advance(100 * days)
	ctx, cancel := context.WithCancel(t.Context())
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) { cancel() }})
	if err := w.RunDue(ctx); err == nil {
		t.Error("an ended run says that all is done")
	}
	w.Break(servicetest.Faults{})
	w.runDue(t)
	if keyOn(t, w.Node, c.destroy) != nil || len(keyOn(t, w.Node, c.rotate).Materials) != 2 {
		t.Error("the rest was not done")
	}
}

// A key that is changed while the scheduler decides is looked at again: what is not due any more is not done.
func TestWhatIsNotDueAnyMore(t *testing.T) {
	for name, row := range map[string]struct {
		op    *kms.Operation
		state kms.KeyState
	}{"disabled": {kms.OpDisableKey, kms.StateDisabled}, "rotation disabled": {kms.OpDisableKeyRotation, kms.StateEnabled}, "to be deleted": {kms.OpScheduleKeyDeletion, kms.StatePendingDeletion}} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			key := p.CreateKey(p.alice)
			p.must(t, p.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: ptr(90)})
			p.Advance(92 * days)
			var once sync.Once
			p.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
				once.Do(func() { p.on(t, row.op, rights[row.op].request(&topic{name: key})) })
			}})
			p.runDue(t)
			if k := keyOn(t, p.Node, key); len(k.Materials) != 1 || k.State != row.state {
				t.Errorf("%d materials, %s", len(k.Materials), k.State)
			}
			if all, _ := audited("RotateKey", key, p.Node, p.second); all != 0 {
				t.Errorf("%d audit records", all)
			}
		})
	}
}

// The records of what a cluster does by itself name who did it, and whom it concerns.
func TestScheduledWorkIsAudited(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	c := w.newChores(t)
	w.Advance(100 * days)
	w.runDue(t)
	for event, key := range c.events() {
		found := false
		for _, r := range w.Records() {
			if r["eventName"] != event {
				continue
			}
			found = true
			if at, err := time.Parse(time.RFC3339Nano, r["eventTime"].(string)); err != nil || at.IsZero() {
				t.Errorf("%s: the time is %v", event, r["eventTime"])
			}
			if r["recipientAccountId"] != aliceID || r["awsRegion"] != firstRegion || r["readOnly"] == true || r["eventID"] == "" {
				t.Errorf("%s of %s: %v", event, key, r)
			}
		}
		if !found {
			t.Errorf("%s has no record", event)
		}
	}
}

// A key that cannot be worked on since a record beside it does not open keeps nobody else waiting.
func TestAnUnreadableKeyStopsNobody(t *testing.T) {
	w := newWorld(t, twoRegions)
	bad, good := w.make(t, w.alice, regionalKey).KeyID, w.CreateKey(w.alice)
	replicated(t, w, w.alice, &topic{id: bad})
	for _, key := range []string{bad, good} { // the bad one is due first
		w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: ptr(map[bool]int{true: 90, false: 100}[key == bad])})
	}
	v := w.Catalog.View()
	there := kms.Scope{Account: aliceID, Region: secondRegion}
	replica, err := v.Key(there, rawOf(t, bad))
	if err != nil {
		t.Fatal(err)
	}
	write, err := v.Put(v.IDs().Key(there, bad), &replica.Key)
	if err != nil {
		t.Fatal(err)
	}
	write.Body[len(write.Body)-1] ^= 1
	if o := w.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.damaged", Based: w.State().LogTime(), Writes: []fsm.Write{write}}); o[0].Status != fsm.Applied {
		t.Fatal(o[0].Status)
	}
	w.Advance(200 * days)
	if err := w.RunDue(t.Context()); err == nil {
		t.Error("what failed is said to be done")
	}
	if n := len(keyOn(t, w.Node, good).Materials); n != 2 {
		t.Errorf("the good key has %d materials", n)
	}
	if n := len(keyOn(t, w.Node, bad).Materials); n != 1 {
		t.Errorf("the bad key has %d materials", n)
	}
}
