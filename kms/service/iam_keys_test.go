package service_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// A secret access key is told when it is made, and to whoever asks the same again with the same idempotency key, while
// there is the access key: nowhere else.
func TestAccessKeySecret(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	second := w.Cluster.Node(servicetest.Options{})
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "u"})
	byName := &kms.IdentityRequest{Name: "u"}
	create := func(n *servicetest.Node) (*kms.AccessKeyAnswer, error) {
		call := servicetest.Call(w.alice, kms.OpCreateAccessKey, byName)
		call.IdempotencyKey = "id"
		result, err := n.Service.Do(t.Context(), call)
		if err != nil {
			return nil, err
		}
		return result.Answer.(*kms.AccessKeyAnswer), nil
	}
	first, err := create(w.Node)
	want(t, "create", err, "")
	who := servicetest.Credentials{AccessKeyID: first.AccessKey.AccessKeyID, Secret: string(first.SecretAccessKey)}
	if len(who.Secret) != 43 || first.AccessKey.Status != kms.AccessKeyActive {
		t.Fatalf("made %+v", first)
	}
	again, err := create(second)
	want(t, "again", err, "")
	if *again != *first {
		t.Error("the same request makes another access key")
	}
	update := &kms.UpdateAccessKeyRequest{Name: "U", AccessKeyID: who.AccessKeyID, Status: kms.AccessKeyInactive}
	for op, q := range map[*kms.Operation]any{kms.OpListAccessKeys: byName, kms.OpUpdateAccessKey: update, kms.OpGetAccessKeyLastUsed: &kms.AccessKeyRequest{AccessKeyID: who.AccessKeyID}, kms.OpGetUser: byName} {
		text, err := json.Marshal(w.must(t, w.alice, op, q))
		want(t, op.Name, err, "")
		if shows(text, who.Secret) || strings.Contains(string(text), `"secret`) {
			t.Errorf("%s answers %s", op.Name, text)
		}
	}
	_, err = w.Do(who, kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "inactive", err, kms.CodeUnauthenticated)
	w.must(t, w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "u", AccessKeyID: who.AccessKeyID})
	for _, n := range []*servicetest.Node{w.Node, second} {
		_, err = create(n)
		want(t, "again, when it is deleted", err, kms.CodeNotFound)
		if shows(n.Lines(), who.Secret) {
			t.Error("the audit records show the secret")
		}
	}
	b := w.Barrier()
	defer b.Wipe()
	body, err := w.Catalog.View().Open(catalog.NewIDs(b).Credential(who.AccessKeyID))
	want(t, "the tombstone", err, "")
	if c := body.(*kms.Credential); len(c.Secret) != 0 || c.AccessKeyID != who.AccessKeyID {
		t.Errorf("the tombstone holds a secret of %d bytes", len(c.Secret))
	}
	_, err = w.Do(w.alice, kms.OpUpdateAccessKey, update)
	want(t, "update what is gone", err, kms.CodeNotFound)
}

// Secrets are overwritten when the node is sealed.
func TestAccessKeySecretIsWiped(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	who := w.hire(t, "u", "")
	known, ok := w.Catalog.View().Credential(who.AccessKeyID)
	if !ok || string(known.Secret) != who.Secret {
		t.Fatal("the access key is not there")
	}
	w.Catalog.Seal()
	for _, b := range known.Secret {
		if b != 0 {
			t.Fatal("the secret outlives the seal")
		}
	}
	_, err := w.Do(who, kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "sealed", err, kms.CodeSealed)
}

// A user that is made anew has nothing of the one of its name before, not even an access key that was left.
func TestAccessKeyOfAnotherOfTheName(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	old := w.hire(t, "u", "")
	byName := &kms.IdentityRequest{Name: "u"}
	was := entryOf(w.must(t, w.alice, kms.OpGetUser, byName))
	w.must(t, w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "u", AccessKeyID: old.AccessKeyID})
	w.must(t, w.alice, kms.OpDeleteUser, byName)
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "u"})
	w.put(t, "user/", "u", allowAll)
	_, err := w.Do(old, kms.OpListKeys, &kms.ListRequest{})
	want(t, "the old access key", err, kms.CodeUnauthenticated)
	left := servicetest.Credentials{AccessKeyID: "AKIALEFTLEFTLEFTLEFT", Secret: strings.Repeat("s", 40)}
	w.fill(t, 1, func(ids catalog.IDs) fsm.ScopeID { return ids.CredentialsOf(aliceID, was.ID) }, func(ids catalog.IDs, _ int) (fsm.Ref, any) {
		return ids.Credential(left.AccessKeyID), &kms.Credential{Schema: 1, AccessKeyID: left.AccessKeyID, Account: aliceID, Identity: was.ID, Holder: kms.IdentityKey(kms.TypeUser, "u"), Secret: kms.Sensitive(left.Secret)}
	})
	_, err = w.Do(left, kms.OpListKeys, &kms.ListRequest{})
	want(t, "an access key that was left", err, kms.CodeUnauthenticated)
	if a := w.must(t, w.alice, kms.OpListAccessKeys, byName).(*kms.ListAccessKeysAnswer); len(a.AccessKeys) != 0 {
		t.Errorf("the new user has %+v", a.AccessKeys)
	}
	_, err = w.Do(w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "u", AccessKeyID: left.AccessKeyID})
	want(t, "as the new user's", err, kms.CodeNotFound)
}

// A root deletes its own access keys, the others stay.
func TestAccessKeysOfTheRoot(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	root := &kms.IdentityRequest{Name: kms.RootName}
	a := w.must(t, w.alice, kms.OpCreateAccessKey, root).(*kms.AccessKeyAnswer)
	second := servicetest.Credentials{AccessKeyID: a.AccessKey.AccessKeyID, Secret: string(a.SecretAccessKey)}
	_, err := w.Do(w.alice, kms.OpCreateAccessKey, root)
	want(t, "a third", err, kms.CodeLimitExceeded)
	w.must(t, second, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: kms.RootName, AccessKeyID: w.alice.AccessKeyID})
	_, err = w.Do(w.alice, kms.OpListKeys, &kms.ListRequest{})
	want(t, "the first", err, kms.CodeUnauthenticated)
	w.must(t, second, kms.OpListKeys, &kms.ListRequest{})
	who := w.CreateAccount("333333333333")
	w.must(t, who, kms.OpListAccessKeys, root)
}

// The last use of an access key is known on every node, as far as the members answer.
func TestAccessKeyLastUsed(t *testing.T) {
	w := newWorld(t, twoRegions)
	second, third := w.Cluster.Node(twoRegions), w.Cluster.Node(twoRegions)
	who := w.hire(t, "u", allowAll)
	key := w.CreateKey(w.alice)
	ask := func(n *servicetest.Node) *kms.AccessKeyLastUsedAnswer {
		t.Helper()
		a, err := n.Do(w.alice, kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: who.AccessKeyID})
		want(t, "last used", err, "")
		return a.(*kms.AccessKeyLastUsedAnswer)
	}
	if a := ask(w.Node); a.LastUsedDate != nil || a.ServiceName != "" || a.UserName != "u" || a.SilentNodes != 0 {
		t.Errorf("before: %+v", a)
	}
	want(t, "catch up", second.CatchUp(t.Context()), "")
	call := servicetest.Call(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: w.alias(t, key), Plaintext: []byte("p")})
	call.Region = firstRegion
	_, err := second.Service.Do(t.Context(), call)
	want(t, "use", err, "")
	for _, n := range []*servicetest.Node{w.Node, second, third} {
		if a := ask(n); a.LastUsedDate == nil || a.ServiceName != "kms" || a.Region != firstRegion || a.SilentNodes != 0 {
			t.Errorf("on %s: %+v", n.Name, a)
		}
	}
	third.Catalog.Seal()
	if a := ask(w.Node); a.SilentNodes != 1 || a.ServiceName != "kms" {
		t.Errorf("with a sealed member: %+v", a)
	}
	second.Catalog.Seal()
	if a := ask(w.Node); a.SilentNodes != 2 || a.LastUsedDate != nil {
		t.Errorf("with silent members: %+v", a)
	}
	w.must(t, who, kms.OpListUsers, &kms.ListRequest{})
	if a := ask(w.Node); a.ServiceName != "iam" {
		t.Errorf("after another use: %+v", a)
	}
}

// alias gives a key of alice's an alias.
func (w *world) alias(t testing.TB, key string) string {
	t.Helper()
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/used", TargetKeyID: key})
	return "alias/used"
}

// A root keeps an access key by which it can act, also when two requests take away one each.
func TestTheLastAccessKeyOfARootStays(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	first := w.alice.AccessKeyID
	drop := func(id string) *kms.DeleteAccessKeyRequest {
		return &kms.DeleteAccessKeyRequest{Name: kms.RootName, AccessKeyID: id}
	}
	off := func(id string) *kms.UpdateAccessKeyRequest {
		return &kms.UpdateAccessKeyRequest{Name: kms.RootName, AccessKeyID: id, Status: kms.AccessKeyInactive}
	}
	_, err := w.Do(w.alice, kms.OpDeleteAccessKey, drop(first))
	want(t, "delete the last", err, kms.CodeInvalidState)
	_, err = w.Do(w.alice, kms.OpUpdateAccessKey, off(first))
	want(t, "deactivate the last", err, kms.CodeInvalidState)
	made := w.must(t, w.alice, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: kms.RootName}).(*kms.AccessKeyAnswer)
	second := servicetest.Credentials{AccessKeyID: made.AccessKey.AccessKeyID, Secret: string(made.SecretAccessKey)}
	met := false
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if !met { // the one that comes between proposes too
			met = true
			_, err := w.Do(second, kms.OpUpdateAccessKey, off(second.AccessKeyID))
			want(t, "deactivate the other meanwhile", err, "")
		}
	}})
	_, err = w.Do(w.alice, kms.OpDeleteAccessKey, drop(first))
	want(t, "delete one", err, kms.CodeInvalidState)
	w.Break(servicetest.Faults{})
	w.must(t, w.alice, kms.OpUpdateAccessKey, &kms.UpdateAccessKeyRequest{Name: kms.RootName, AccessKeyID: second.AccessKeyID, Status: kms.AccessKeyActive})
	w.must(t, second, kms.OpDeleteAccessKey, drop(first))
	_, err = w.Do(w.alice, kms.OpListKeys, &kms.ListRequest{})
	want(t, "the deleted one", err, kms.CodeUnauthenticated)
}

// What the records know of the use of access keys outlasts every node's memory, and goes with the access key.
func TestLastUseOfAnAccessKeyIsWritten(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	var ids []string
	for i := range 70 { // more than one transaction takes
		name := fmt.Sprintf("u%d", i/2)
		if i%2 == 0 {
			w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: name})
		}
		made := w.must(t, w.alice, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: name}).(*kms.AccessKeyAnswer)
		w.must(t, servicetest.Credentials{AccessKeyID: made.AccessKey.AccessKeyID, Secret: string(made.SecretAccessKey)}, kms.OpGetCallerIdentity, &kms.Empty{})
		ids = append(ids, made.AccessKey.AccessKeyID)
	}
	want(t, "write", w.WriteUsage(t.Context()), "")
	written := w.Counts().Proposals
	want(t, "write again", w.WriteUsage(t.Context()), "")
	if n := w.Counts().Proposals - written; n != 0 {
		t.Errorf("%d proposals for what is written", n)
	}
	w.Catalog.Seal()
	w.Unseal()
	for _, id := range ids {
		a := w.must(t, w.alice, kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: id}).(*kms.AccessKeyLastUsedAnswer)
		if a.LastUsedDate == nil || a.ServiceName != "sts" || a.Region != firstRegion {
			t.Fatalf("%s: %+v", id, a)
		}
	}
	usage := func() fsm.Ref { return w.Catalog.View().IDs().AccessKeyUsage(aliceID, ids[0]) }
	if !w.Catalog.View().Has(usage()) {
		t.Fatal("there is no record")
	}
	w.must(t, w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "u0", AccessKeyID: ids[0]})
	want(t, "write", w.WriteUsage(t.Context()), "")
	if w.Catalog.View().Has(usage()) {
		t.Error("the record is left")
	}

	// One that is deleted while its use is written leaves nothing either.
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "late"})
	late := w.accessKey(t, "late")
	w.must(t, late, kms.OpGetCallerIdentity, &kms.Empty{})
	met := false
	w.Break(servicetest.Faults{BeforePropose: func(txn *fsm.Txn) {
		if txn.Event == "access_key.usage_noted" && !met {
			met = true
			w.must(t, w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "late", AccessKeyID: late.AccessKeyID})
		}
	}})
	want(t, "write", w.WriteUsage(t.Context()), "")
	w.Break(servicetest.Faults{})
	if v := w.Catalog.View(); !met || v.Has(v.IDs().AccessKeyUsage(aliceID, late.AccessKeyID)) {
		t.Error("the record of a deleted access key is left")
	}

	w.spoil(t, func(i catalog.IDs) fsm.Ref { return i.AccessKeyUsage(aliceID, ids[1]) })
	a := w.must(t, w.alice, kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: ids[1]}).(*kms.AccessKeyLastUsedAnswer)
	if a.LastUsedDate != nil {
		t.Errorf("of a record that does not open: %+v", a)
	}
}
