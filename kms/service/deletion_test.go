package service_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

const oneDay = 24 * time.Hour

// in calls an operation in a region of the world's account alice.
func in(t testing.TB, n *servicetest.Node, who servicetest.Credentials, region string, op *kms.Operation, request any) (any, error) {
	t.Helper()
	call := servicetest.Call(who, op, request)
	call.Region = region
	result, err := n.Service.Do(t.Context(), call)
	if err != nil {
		return nil, err
	}
	return result.Answer, nil
}

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

// events counts the audit records of a name that nodes have, those of successes and of failures.
func events(name string, nodes ...*servicetest.Node) (done, failed int) {
	for _, n := range nodes {
		for _, r := range n.Records() {
			if r["eventName"] != name {
				continue
			}
			if code, _ := r["errorCode"].(string); code == "" {
				done++
			} else {
				failed++
			}
		}
	}
	return done, failed
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
	return w.must(t, w.alice, kms.OpDescribeKey, &kms.KeyRequest{KeyID: key}).(*kms.KeyAnswer).Key
}

func (w *world) schedule(t testing.TB, key string, days int) kms.KeyMetadata {
	t.Helper()
	return w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(days)}).(*kms.KeyAnswer).Key
}

func (w *world) decrypt(who servicetest.Credentials, ciphertext []byte) (string, error) {
	answer, err := w.Do(who, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
	if err != nil {
		return "", err
	}
	return string(answer.(*kms.DecryptAnswer).Plaintext), nil
}

func TestDeletionWindow(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for _, days := range []int{-1, 0, 6, 31, 365} {
		_, err := w.Do(w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: w.CreateKey(w.alice), PendingWindowInDays: &days})
		want(t, fmt.Sprint(days, " days"), err, kms.CodeValidation)
	}
	for _, row := range []struct {
		window *int
		days   int64
	}{{nil, 30}, {ptr(7), 7}, {ptr(30), 30}} {
		key := w.CreateKey(w.alice)
		now := w.Now()
		k := w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: row.window}).(*kms.KeyAnswer).Key
		if k.KeyState != kms.StatePendingDeletion || k.Enabled || int64(k.PendingDeletionWindowInDays) != row.days || k.DeletionDate.UnixMilli() != now+row.days*oneDay.Milliseconds() {
			t.Errorf("scheduled %+v", k)
		}
		if got := w.describe(t, key); got.KeyState != kms.StatePendingDeletion || !got.DeletionDate.Equal(*k.DeletionDate) {
			t.Errorf("described %+v", got)
		}
		_, err := w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
		want(t, "use", err, kms.CodeInvalidState)
		_, err = w.Do(w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key})
		want(t, "again", err, kms.CodeInvalidState)
		if k := w.must(t, w.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key}).(*kms.KeyAnswer).Key; k.KeyState != kms.StateDisabled || k.DeletionDate != nil {
			t.Errorf("cancelled %+v", k)
		}
		w.Advance(31 * oneDay)
		runDue(t, w.Node)
		w.must(t, w.alice, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
		w.encrypt(t, w.alice, key, "x", nil)
	}
	key := w.make(t, w.alice, &kms.CreateKeyRequest{Origin: kms.OriginExternal}).KeyID
	w.schedule(t, key, 7)
	if k := w.must(t, w.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key}).(*kms.KeyAnswer).Key; k.KeyState != kms.StatePendingImport {
		t.Errorf("a key without material is %s after its deletion was cancelled", k.KeyState)
	}
}

// What a deletion would stop is told from the memory of all nodes.
func TestDeletionTellsWhoUsesTheKey(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	key := w.CreateKey(w.alice)
	c := w.encrypt(t, w.alice, key, "x", nil)
	_, err := n.Do(w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: c})
	want(t, "decrypt", err, "")
	k := w.schedule(t, key, 7)
	if k.LastUse == nil || k.LastUse.Operation != "Decrypt" || len(k.RecentCallers) != 1 || k.RecentCallers[0].PrincipalARN != "arn:aws:iam::"+aliceID+":root" {
		t.Errorf("the answer tells %+v, %+v", k.LastUse, k.RecentCallers)
	}
	later := w.Cluster.Node(servicetest.Options{}) // remembers nothing by itself
	answer, err := later.Do(w.alice, kms.OpDescribeKey, &kms.KeyRequest{KeyID: key})
	want(t, "describe", err, "")
	if got := answer.(*kms.KeyAnswer).Key; got.LastUse == nil || *got.LastUse != *k.LastUse || len(got.RecentCallers) != 1 {
		t.Errorf("described %+v, %+v", got.LastUse, got.RecentCallers)
	}
}

// remains returns the kinds of live records that there are more of than before.
func remains(w *world, before map[fsm.Kind]int) (kinds []fsm.Kind) {
	for kind, n := range before {
		if live(w, kind) != n {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

func counts(w *world) map[fsm.Kind]int {
	all := map[fsm.Kind]int{}
	for kind := fsm.Kind(0); kind < 32; kind++ {
		all[kind] = live(w, kind)
	}
	return all
}

func TestDestruction(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	before := counts(w)
	key := w.CreateKey(w.alice)
	c := w.encrypt(t, w.alice, key, "x", nil)
	w.must(t, w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	w.encrypt(t, w.alice, key, "x", nil)
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/b", TargetKeyID: key})
	w.must(t, w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: map[string]string{"a": "b"}})
	grant := w.must(t, w.alice, kms.OpCreateGrant, grantRequest(key)).(*kms.CreateGrantAnswer)
	want(t, "usage", w.WriteUsage(t.Context()), "")
	raw, _ := kms.KeyIDBytes(key)
	k, err := w.Catalog.View().Key(aliceScope, raw)
	want(t, "key", err, "")
	handle, err := w.Catalog.View().Material(k, 1)
	want(t, "material", err, "")
	w.schedule(t, key, 7)
	date := w.describe(t, key).DeletionDate.UnixMilli()
	w.Advance(time.Duration(date-w.Now()-10) * time.Millisecond)
	runDue(t, w.Node, n)
	if got := w.describe(t, key).KeyState; got != kms.StatePendingDeletion {
		t.Fatalf("before its time the key is %s", got)
	}
	w.Advance(time.Second)
	n.Break(servicetest.Faults{Due: func(int64) bool { return false }})
	w.Break(servicetest.Faults{Due: func(int64) bool { return false }})
	runDue(t, w.Node, n)
	if len(w.Catalog.View().Grants(aliceScope, raw, "", 10)) != 1 || live(w, fsm.KindMaterial) != before[fsm.KindMaterial]+2 {
		t.Fatal("something went while the voters did not say that the time has come")
	}
	_, err = w.Do(w.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
	want(t, "cancel once the date has come", err, kms.CodeInvalidState)
	w.Break(servicetest.Faults{})
	runDue(t, w.Node, n)

	if kinds := remains(w, before); len(kinds) > 0 {
		t.Errorf("live records remain of kinds %v", kinds)
	}
	if _, err := handle.Encrypt(nil, raw, 1, nil, []byte("x")); err == nil {
		t.Error("the opened material still works")
	}
	v := w.Catalog.View()
	for _, m := range k.Materials {
		body, err := v.Open(v.IDs().Material(m.ID))
		want(t, "tombstone", err, "")
		if b := body.(*catalog.Material); len(b.Plain) != 0 || b.KeyID != raw {
			t.Error("the tombstone holds material")
		}
	}
	for _, one := range []*servicetest.Node{w.Node, n} {
		v := one.Catalog.View()
		if _, err := v.Key(aliceScope, raw); err != catalog.ErrNotFound {
			t.Errorf("the view has the key: %v", err)
		}
		if len(v.Aliases(aliceScope, "", 10))+len(v.Grants(aliceScope, raw, "", 10))+len(v.RetirableGrants(aliceScope, "arn:aws:iam::"+aliceID+":root", [16]byte{}, "", 10)) > 0 || len(v.Due(1<<62, 10)) > 0 {
			t.Error("the view has something of the key")
		}
		_, err = one.Do(w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: c})
		want(t, "decrypt", err, kms.CodeAccessDenied)
		_, err = one.Do(w.alice, kms.OpDescribeKey, &kms.KeyRequest{KeyID: key})
		want(t, "describe", err, kms.CodeNotFound)
		_, err = one.Do(w.alice, kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: grant.GrantToken})
		want(t, "retire", err, kms.CodeNotFound)
	}
	if done, failed := events("DeleteKey", w.Node, n); done != 1 || failed != 0 {
		t.Errorf("%d and %d records of the destruction", done, failed)
	}
	// The names are free again.
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: w.CreateKey(w.alice)})
}

// A key with many grants goes in parts; another leader goes on in the middle, and nobody brings it back.
func TestDestructionInParts(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	before := counts(w)
	key := w.CreateKey(w.alice)
	for range 450 {
		w.must(t, w.alice, kms.OpCreateGrant, grantRequest(key))
	}
	w.schedule(t, key, 7)
	w.Advance(8 * oneDay)
	parts := 0
	w.Break(servicetest.Faults{Propose: func(txn *fsm.Txn) error {
		if txn.Event == "grant.deleted" {
			if parts++; parts == 2 {
				return kms.Errorf(kms.CodeNoQuorum, "The leader is gone.")
			}
		}
		return nil
	}})
	caughtUp(t, w.Node)
	want(t, "the first leader", w.RunDue(t.Context()), kms.CodeNoQuorum)
	if left := live(w, fsm.KindGrant); left != 250 {
		t.Errorf("%d grants are left", left)
	}
	w.Break(servicetest.Faults{})
	for _, back := range []*servicetest.Node{w.Node, n} {
		_, err := back.Do(w.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
		want(t, "cancel", err, kms.CodeInvalidState)
	}
	runDue(t, n)
	if kinds := remains(w, before); len(kinds) > 0 {
		t.Errorf("live records remain of kinds %v", kinds)
	}
	if done, failed := events("DeleteKey", w.Node, n); done != 1 || failed != 0 {
		t.Errorf("%d and %d records of the destruction", done, failed)
	}
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
	_, err := w.Do(w.alice, kms.OpDescribeKey, &kms.KeyRequest{KeyID: key})
	want(t, "the key", err, kms.CodeNotFound)
}
