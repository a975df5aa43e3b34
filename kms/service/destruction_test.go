package service_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

const days = 24 * time.Hour

// runDue does what is due, on the first node or those that are named, once they hold the whole log.
func (w *world) runDue(t testing.TB, nodes ...*servicetest.Node) {
	t.Helper()
	if nodes == nil {
		nodes = []*servicetest.Node{w.Node}
	}
	for _, n := range nodes {
		if err := n.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := n.RunDue(t.Context()); err != nil {
			t.Fatalf("RunDue on %s: %v", n.Name, err)
		}
	}
}

func rawOf(t testing.TB, id string) [16]byte {
	t.Helper()
	raw, err := kms.KeyIDBytes(id)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// keyOn returns one of alice's keys as a node that has applied everything has it; nil when it is gone.
func keyOn(t testing.TB, n *servicetest.Node, id string) *catalog.Key {
	t.Helper()
	if err := n.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	k, err := n.Catalog.View().Key(aliceScope, rawOf(t, id))
	if err == catalog.ErrNotFound {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// live lists every record that is not a tombstone.
func liveRecords(v *fsm.View) map[string]bool {
	all := map[string]bool{}
	for kind := fsm.KindSealConfig; kind <= fsm.KindAuditAnchor; kind++ {
		v.Ascend(kind, "", func(id fsm.ID, _ fsm.Record) bool {
			all[fsm.Ref{Kind: kind, ID: id}.String()] = true
			return true
		})
	}
	return all
}

// audited returns how many audit records of an event about a key the nodes have written, and how many of them
// tell of an error.
func audited(event, key string, nodes ...*servicetest.Node) (all, failed int) {
	for _, n := range nodes {
		for _, r := range n.Records() {
			if r["eventName"] == event && bytes.Contains(fmt.Append(nil, r["resources"]), []byte("key/"+key)) {
				all++
				if r["errorCode"] != nil {
					failed++
				}
			}
		}
	}
	return all, failed
}

// scheduleDeletion schedules the deletion of a key after so many days.
func (w *world) scheduleDeletion(t testing.TB, key string, window int) kms.KeyMetadata {
	t.Helper()
	return w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(window)}).(*kms.KeyAnswer).Key
}

func (w *world) describeKey(t testing.TB, key string) kms.KeyMetadata {
	t.Helper()
	return w.must(t, w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}).(*kms.KeyAnswer).Key
}

func (w *world) decrypts(t testing.TB, ciphertext []byte, plaintext string) {
	t.Helper()
	got := w.must(t, w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext}).(*kms.DecryptAnswer).Plaintext
	if string(got) != plaintext {
		t.Fatalf("decrypted %q, want %q", got, plaintext)
	}
}

// gone fails when a key can be found or used in any way.
func (w *world) gone(t testing.TB, key string, ciphertext []byte) {
	t.Helper()
	for op, request := range map[*kms.Operation]any{
		kms.OpDescribeKey: &kms.DescribeKeyRequest{KeyID: key}, kms.OpEncrypt: &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")},
		kms.OpDecrypt: &kms.DecryptRequest{CiphertextBlob: ciphertext}, kms.OpCancelKeyDeletion: &kms.KeyRequest{KeyID: key},
	} {
		if ciphertext == nil && op == kms.OpDecrypt {
			continue
		}
		if _, err := w.Do(w.alice, op, request); kms.CodeOf(err) != kms.CodeNotFound && kms.CodeOf(err) != kms.CodeAccessDenied {
			t.Errorf("%s of a destroyed key: %v", op.Name, err)
		}
	}
	if keyOn(t, w.Node, key) != nil {
		t.Error("the catalog has the key")
	}
}

// The window is 30 days unless it is said, 7 at least and 30 at most, and begins now.
func TestDeletionWindow(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for _, row := range []struct {
		window *int
		days   int
		code   kms.Code
	}{
		{nil, 30, ""}, {ptr(7), 7, ""}, {ptr(30), 30, ""},
		{ptr(6), 0, kms.CodeValidation}, {ptr(31), 0, kms.CodeValidation}, {ptr(0), 0, kms.CodeValidation}, {ptr(-7), 0, kms.CodeValidation},
	} {
		key := w.CreateKey(w.alice)
		before := w.State().LogTime()
		answer, err := w.Do(w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: row.window})
		want(t, fmt.Sprint(row.days), err, row.code)
		if err != nil {
			if got := w.describeKey(t, key); got.KeyState != kms.StateEnabled || got.DeletionDate != nil {
				t.Errorf("a refusal left the key %s, to be deleted %v", got.KeyState, got.DeletionDate)
			}
			continue
		}
		got := answer.(*kms.KeyAnswer).Key
		if got.KeyState != kms.StatePendingDeletion || got.Enabled || got.PendingDeletionWindowInDays != int32(row.days) || got.DeletionDate == nil ||
			got.DeletionDate.UnixMilli() < before+int64(row.days)*days.Milliseconds() || got.DeletionDate.UnixMilli() > w.State().LogTime()+int64(row.days)*days.Milliseconds() {
			t.Errorf("%d days: %+v, scheduled at %d", row.days, got, before)
		}
		if described := w.describeKey(t, key); described.DeletionDate == nil || !described.DeletionDate.Equal(*got.DeletionDate) {
			t.Errorf("described: %v, answered: %v", described.DeletionDate, got.DeletionDate)
		}
	}
}

// A key that waits for its deletion serves nothing, and comes back disabled and whole.
func TestDeletionIsCancelled(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	ciphertext := p.encrypt(t, p.alice, key, message, nil)
	p.must(t, p.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key})
	p.schedule(t, key, 7)
	for _, n := range []*servicetest.Node{p.Node, p.second} {
		keyOn(t, n, key) // and the catalog has what was scheduled
		_, err := n.Do(p.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
		want(t, "encrypt", err, kms.CodeInvalidState)
		_, err = n.Do(p.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
		want(t, "decrypt", err, kms.CodeInvalidState)
		_, err = n.Do(p.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key})
		want(t, "schedule again", err, kms.CodeInvalidState)
	}
	if p.must(t, p.alice, kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: key}).(*kms.KeyRotationStatusAnswer).KeyRotationEnabled {
		t.Error("a key that waits for its deletion is to be rotated")
	}
	p.Advance(6 * days)
	p.runDue(t, p.Node, p.second)
	got := p.on(t, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key}).(*kms.KeyAnswer).Key
	if got.KeyState != kms.StateDisabled || got.DeletionDate != nil || got.PendingDeletionWindowInDays != 0 {
		t.Errorf("cancelled: %+v", got)
	}
	p.Advance(40 * days)
	p.runDue(t, p.Node, p.second)
	_, err := p.Do(p.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
	want(t, "decrypt with a disabled key", err, kms.CodeKeyDisabled)
	p.must(t, p.alice, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	p.decrypts(t, ciphertext, message)
	if !p.must(t, p.alice, kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: key}).(*kms.KeyRotationStatusAnswer).KeyRotationEnabled {
		t.Error("the rotation did not come back")
	}
}

// Whoever schedules a deletion is told who used the key, on whichever node, and so is whoever describes it later:
// what the nodes knew is written. A retry is told the same.
func TestDeletionTellsWhoUsedTheKey(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	at := p.State().LogTime()
	user := func(name string) string { return "arn:aws:iam::" + aliceID + ":user/" + name }
	keyOn(t, p.Node, key).NoteUse("Encrypt", at+1000, user("first"), "request-1", [16]byte{1})
	keyOn(t, p.second, key).NoteUse("Decrypt", at+3000, user("second"), "request-2", [16]byte{2})
	keyOn(t, p.second, key).NoteUse("Encrypt", at+2000, user("third"), "request-3", [16]byte{3})
	p.Advance(time.Minute)

	told := func(what string, got kms.KeyMetadata) {
		t.Helper()
		if u := got.LastUse; u == nil || u.Operation != "Decrypt" || u.PrincipalARN != user("second") || u.At.UnixMilli() != at+3000 || u.RequestID != "request-2" {
			t.Errorf("%s: the last use is %+v", what, u)
		}
		var callers []string
		for _, u := range got.RecentCallers {
			callers = append(callers, u.PrincipalARN)
		}
		if !slices.Equal(callers, []string{user("second"), user("third"), user("first")}) {
			t.Errorf("%s: the callers are %v", what, callers)
		}
	}
	call := servicetest.Call(p.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(9)})
	call.IdempotencyKey = "revoke"
	first, err := p.Service.Do(t.Context(), call)
	want(t, "schedule", err, "")
	told("the answer", first.Answer.(*kms.KeyAnswer).Key)
	third := p.Cluster.Node(twoRegions)
	for _, n := range []*servicetest.Node{p.Node, p.second, third} {
		again, err := n.Service.Do(t.Context(), call)
		want(t, "the retry", err, "")
		if !reflect.DeepEqual(again.Answer, first.Answer) {
			t.Errorf("the retry on %s is answered\n%+v, the first was answered\n%+v", n.Name, again.Answer, first.Answer)
		}
		described, err := n.Do(p.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
		want(t, "describe", err, "")
		told("described on "+n.Name, described.(*kms.KeyAnswer).Key)
	}
}

// full makes a key with all that a key can have, and returns its id and a ciphertext. What is there beside it is
// what live said before.
func (w *world) full(t *testing.T, q *kms.CreateKeyRequest, name string, grants int) (key string, ciphertext []byte) {
	t.Helper()
	key = w.make(t, w.alice, q).KeyID
	for _, alias := range []string{"alias/" + name + "-a", "alias/" + name + "-b"} {
		w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: alias, TargetKeyID: key})
	}
	for i := range grants {
		q := grantRequest(key)
		q.Name = fmt.Sprint("grant-", i)
		w.must(t, w.alice, kms.OpCreateGrant, q)
	}
	w.must(t, w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: map[string]string{"a": "b"}})
	answer := w.must(t, w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(message)})
	w.must(t, w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	if err := w.WriteUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	return key, answer.(*kms.EncryptAnswer).CiphertextBlob
}

// A key is destroyed on its day and not before, with all that belongs to it; nothing brings it back, and no copy
// of its material is left in the state or opened on a node.
func TestDestruction(t *testing.T) {
	p := newPair(t)
	other := p.CreateKey(p.alice)
	kept := p.encrypt(t, p.alice, other, message, nil)
	if err := p.WriteUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := p.recordsOfUsers(t)
	key, ciphertext := p.full(t, symmetricKey, "full", 3)
	var handles []interface {
		Decrypt(dst, ciphertext []byte, context map[string]string) ([]byte, error)
	}
	for _, n := range []*servicetest.Node{p.Node, p.second} {
		m, err := n.Catalog.View().Material(keyOn(t, n, key), 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Decrypt(nil, ciphertext, nil); err != nil {
			t.Fatal(err)
		}
		handles = append(handles, m)
	}
	var materials []string
	for _, m := range keyOn(t, p.Node, key).Materials {
		materials = append(materials, m.ID)
	}
	p.schedule(t, key, 7)

	p.Advance(7*days - time.Minute)
	p.runDue(t, p.Node, p.second)
	if got := p.describe(t, key).KeyState; got != kms.StatePendingDeletion {
		t.Fatalf("before its day the key is %s", got)
	}
	p.Advance(2 * time.Minute)
	_, err := p.Do(p.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
	want(t, "cancel on the day", err, kms.CodeInvalidState)
	p.Break(servicetest.Faults{Due: func(int64) bool { return false }})
	p.runDue(t)
	if keyOn(t, p.Node, key) == nil {
		t.Fatal("the key was destroyed though no majority said that it is time")
	}
	p.Break(servicetest.Faults{})
	p.runDue(t)

	p.gone(t, key, ciphertext)
	if after := liveRecords(p.State()); !reflect.DeepEqual(after, before) {
		for ref := range after {
			if !before[ref] {
				t.Errorf("there is still %s", ref)
			}
		}
		for ref := range before {
			if !after[ref] {
				t.Errorf("%s went too", ref)
			}
		}
	}
	for i, n := range []*servicetest.Node{p.Node, p.second} {
		if keyOn(t, n, key) != nil {
			t.Errorf("%s has the key", n.Name)
		}
		if _, err := handles[i].Decrypt(nil, ciphertext, nil); kms.CodeOf(err) != kms.CodeSealed {
			t.Errorf("the opened material on %s still serves: %v", n.Name, err)
		}
		v := n.Catalog.View()
		if left := len(v.AliasesOf(aliceScope, rawOf(t, key), "", 10)) + len(v.Grants(aliceScope, rawOf(t, key), "", 10)) + len(v.Due(1<<60, 10)); left != 0 {
			t.Errorf("%s has %d aliases, grants and things due", n.Name, left)
		}
		for _, name := range []string{"alias/full-a", "alias/full-b"} {
			if _, err := v.Alias(aliceScope, name); err != catalog.ErrNotFound {
				t.Errorf("%s has %s: %v", n.Name, name, err)
			}
		}
		for _, id := range materials {
			body, err := v.Open(v.IDs().Material(id))
			if err != nil {
				t.Fatal(err)
			}
			if m := body.(*catalog.Material); len(m.Plain) != 0 {
				t.Errorf("the tombstone of %s holds %d bytes", id, len(m.Plain))
			}
		}
	}
	if all, failed := audited("DeleteKey", key, p.Node, p.second); all != 1 || failed != 0 {
		t.Errorf("%d audit records of the destruction, %d of errors", all, failed)
	}
	p.decrypts(t, kept, message)
}

// Many grants are destroyed in transactions of their own; another node goes on where the first one stopped, and
// nobody cancels in between.
func TestDestructionInParts(t *testing.T) {
	p := newPair(t)
	before := p.recordsOfUsers(t)
	key, ciphertext := p.full(t, symmetricKey, "many", 450)
	p.schedule(t, key, 7)
	p.Advance(8 * days)
	parts := 0
	p.Break(servicetest.Faults{Propose: func(txn *fsm.Txn) error {
		if txn.Event == "grant.deleted" {
			if parts++; parts > 1 {
				return kms.Errorf(kms.CodeNoQuorum, "The test stops it.")
			}
			if len(txn.Writes) != 200 {
				t.Errorf("a part has %d writes", len(txn.Writes))
			}
		}
		return nil
	}})
	want(t, "the first node", p.RunDue(t.Context()), kms.CodeNoQuorum)
	p.Break(servicetest.Faults{})
	if n := len(p.Catalog.View().Grants(aliceScope, rawOf(t, key), "", 1000)); n != 250 {
		t.Errorf("%d grants are left", n)
	}
	if all, _ := audited("DeleteKey", key, p.Node); all != 0 {
		t.Errorf("%d audit records of a destruction that is not done", all)
	}
	_, err := p.Do(p.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
	want(t, "cancel half of it", err, kms.CodeInvalidState)
	p.runDue(t, p.second)
	p.gone(t, key, ciphertext)
	if after := liveRecords(p.State()); !reflect.DeepEqual(after, before) {
		t.Errorf("%d records are left, there were %d", len(after), len(before))
	}
	if all, failed := audited("DeleteKey", key, p.Node, p.second); all != 1 || failed != 0 {
		t.Errorf("%d audit records, %d of errors", all, failed)
	}
}

// What comes to a key between the decision to destroy it and the commit does not survive it.
func TestDestructionLeavesNothingThatCameLate(t *testing.T) {
	late := map[string]func(v *catalog.View, key string) (fsm.Ref, any, []fsm.ScopeID){
		"alias": func(v *catalog.View, key string) (fsm.Ref, any, []fsm.ScopeID) {
			ids := v.IDs()
			return ids.Alias(aliceScope, "alias/late"), &kms.Alias{Schema: 1, Scope: aliceScope, Name: "alias/late", KeyID: key}, []fsm.ScopeID{ids.AliasesOf(aliceScope, key)}
		},
		"usage": func(v *catalog.View, key string) (fsm.Ref, any, []fsm.ScopeID) {
			return v.IDs().Usage(aliceScope, key), &kms.Usage{Schema: 1, Scope: aliceScope, KeyID: key, Operations: []kms.KeyUse{{Operation: "Encrypt", At: 1}}}, nil
		},
	}
	for name, make := range late {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			before := liveRecords(w.State())
			key := w.CreateKey(w.alice)
			w.scheduleDeletion(t, key, 7)
			w.Advance(8 * days)
			var once sync.Once
			w.Break(servicetest.Faults{BeforePropose: func(txn *fsm.Txn) {
				once.Do(func() {
					v := w.Catalog.View()
					ref, body, scopes := make(v, key)
					write, err := v.Put(ref, body, scopes...)
					if err != nil {
						t.Fatal(err)
					}
					o := w.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.late", Based: txn.Based, Writes: []fsm.Write{write}})
					if o[0].Status != fsm.Applied {
						t.Fatal(o[0].Status)
					}
				})
			}})
			w.runDue(t)
			w.gone(t, key, nil)
			if after := liveRecords(w.State()); !reflect.DeepEqual(after, before) {
				t.Errorf("%d records are left, there were %d", len(after), len(before))
			}
		})
	}
}

// A primary key waits for its replicas, and its window begins when the last one is gone. Shared material goes
// with the last key that has it.
func TestDestructionOfRegionalKeys(t *testing.T) {
	p := newPair(t)
	before := p.recordsOfUsers(t)
	key, ciphertext := p.full(t, regionalKey, "regional", 1)
	p.must(t, p.alice, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion})
	there := "arn:aws:kms:" + secondRegion + ":" + aliceID + ":key/" + key
	in := func(call *service.Call) *service.Call { call.Region = secondRegion; return call }
	if got := p.schedule(t, key, 7); got.KeyState != kms.StatePendingReplicaDeletion || got.DeletionDate != nil || got.PendingDeletionWindowInDays != 7 {
		t.Errorf("the primary key: %+v", got)
	}
	p.Advance(40 * days)
	p.runDue(t, p.Node, p.second)
	if got := p.describe(t, key).KeyState; got != kms.StatePendingReplicaDeletion {
		t.Fatalf("without its replica's deletion the primary key is %s", got)
	}
	_, err := p.Service.Do(t.Context(), in(servicetest.Call(p.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: there, PendingWindowInDays: ptr(7)})))
	want(t, "the replica", err, "")
	p.Advance(8 * days)
	p.runDue(t)
	got := p.describe(t, key)
	if got.KeyState != kms.StatePendingDeletion || got.DeletionDate == nil || got.DeletionDate.UnixMilli() < p.State().LogTime()+6*days.Milliseconds() {
		t.Fatalf("after its replica the primary key: %+v", got)
	}
	p.must(t, p.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
	p.must(t, p.alice, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	p.decrypts(t, ciphertext, message) // the material is shared and was not destroyed with the replica
	p.schedule(t, key, 7)
	p.Advance(8 * days)
	p.runDue(t, p.second)
	p.gone(t, key, ciphertext)
	if after := liveRecords(p.State()); !reflect.DeepEqual(after, before) {
		t.Errorf("%d records are left, there were %d", len(after), len(before))
	}
}
