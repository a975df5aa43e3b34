package service_test

import (
	"reflect"
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// touch writes a record again as it is, behind the node's back: another node's change.
func (w *world) touch(t *testing.T, ref func(catalog.IDs) fsm.Ref, change func(body any)) {
	t.Helper()
	b := w.Barrier()
	defer b.Wipe()
	r := ref(catalog.NewIDs(b))
	state := w.State()
	old, ok := state.Get(r.Kind, r.ID)
	if !ok {
		t.Errorf("there is no %v", r)
		return
	}
	v := w.Catalog.View()
	body, err := v.Open(r)
	if err != nil {
		t.Errorf("open %v: %v", r, err)
		return
	}
	change(body)
	write, err := catalog.Write(b, r, max(old.Revision, state.Index())+1, body, old.Scopes...)
	if err != nil {
		t.Errorf("seal %v: %v", r, err)
		return
	}
	w.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.touched", Based: state.LogTime(), Writes: []fsm.Write{write}})
}

var aliceScope = kms.Scope{Account: aliceID, Region: "us-east-1"}

func (w *world) touchKey(t *testing.T, key string) {
	w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Key(aliceScope, key) }, func(any) {})
}

// repolicy gives a key of alice's another policy than the default one, which nobody evaluates.
func (w *world) repolicy(t *testing.T, key string) {
	t.Helper()
	b := w.Barrier()
	defer b.Wipe()
	ids, state := catalog.NewIDs(b), w.State()
	ref := ids.Key(aliceScope, key)
	old, ok := state.Get(ref.Kind, ref.ID)
	if !ok {
		t.Errorf("there is no %v", ref)
		return
	}
	body, err := w.Catalog.View().Open(ref)
	if err != nil {
		t.Errorf("open %v: %v", ref, err)
		return
	}
	body.(*kms.Key).DefaultPolicy = false
	revision := max(old.Revision, state.Index()) + 1
	keyWrite, err := catalog.Write(b, ref, revision, body, old.Scopes...)
	if err != nil {
		t.Errorf("seal %v: %v", ref, err)
		return
	}
	policyWrite, err := catalog.Write(b, ids.Policy(aliceScope, key), revision, &kms.Policy{Schema: 1, Scope: aliceScope, KeyID: key, Document: "{}"})
	if err != nil {
		t.Errorf("seal a policy: %v", err)
		return
	}
	w.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.policy", Based: state.LogTime(), Writes: []fsm.Write{keyWrite, policyWrite}})
}

// A change conflicts with every record that its decision read, the ones it does not write too, and
// is decided again on what is there then.
func TestConflictsWithWhatWasOnlyRead(t *testing.T) {
	disabled := func(body any) { body.(*kms.Account).Disabled = true }
	rows := []struct {
		name   string
		ref    func(ids catalog.IDs, key string, who servicetest.Credentials) fsm.Ref // nil: the key's policy
		change func(any)
		op     *kms.Operation
		code   kms.Code // of the second decision
	}{
		{"account", func(ids catalog.IDs, _ string, _ servicetest.Credentials) fsm.Ref { return ids.Account(aliceID) }, disabled, kms.OpCreateKey, kms.CodeUnauthenticated},
		{"account, of a key", func(ids catalog.IDs, _ string, _ servicetest.Credentials) fsm.Ref { return ids.Account(aliceID) }, disabled, kms.OpDisableKey, kms.CodeUnauthenticated},
		{"identity", func(ids catalog.IDs, _ string, _ servicetest.Credentials) fsm.Ref {
			return ids.Identity(aliceID, "")
		},
			func(body any) { body.(*kms.Identity).Disabled = true }, kms.OpCreateAlias, kms.CodeUnauthenticated},
		{"credential", func(ids catalog.IDs, _ string, who servicetest.Credentials) fsm.Ref {
			return ids.Credential(who.AccessKeyID)
		}, func(body any) { body.(*kms.Credential).Disabled = true }, kms.OpCreateKey, kms.CodeUnauthenticated},
		{"policy", nil, nil, kms.OpDisableKey, kms.CodeAccessDenied},
		{"policy, of an alias's key", nil, nil, kms.OpCreateAlias, kms.CodeAccessDenied},
		{"policy, of the key that is left", nil, nil, kms.OpDeleteAlias, kms.CodeAccessDenied},
		{"key, touched", func(ids catalog.IDs, key string, _ servicetest.Credentials) fsm.Ref { return ids.Key(aliceScope, key) }, func(any) {}, kms.OpCreateAlias, ""},
		{"alias, touched", func(ids catalog.IDs, _ string, _ servicetest.Credentials) fsm.Ref {
			return ids.Alias(aliceScope, "alias/a")
		}, func(any) {}, kms.OpUpdateAlias, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			key := w.CreateKey(w.alice)
			_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
			want(t, "alias", err, "")
			var once sync.Once
			w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
				once.Do(func() {
					if row.ref == nil {
						w.repolicy(t, key)
						return
					}
					w.touch(t, func(ids catalog.IDs) fsm.Ref { return row.ref(ids, key, w.alice) }, row.change)
				})
			}})
			before := w.Counts().Proposals
			_, err = w.Do(w.alice, row.op, requests(key, "alias/a", nil)[row.op])
			want(t, row.op.Name, err, row.code)
			proposals := w.Counts().Proposals - before
			if row.code == "" && proposals != 2 || row.code != "" && proposals != 1 {
				t.Errorf("%d proposals", proposals)
			}
		})
	}
}

// A key that was named by an alias is the key that the alias names when the change is made.
func TestAliasMovesUnderAChange(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	first, second := w.CreateKey(w.alice), w.CreateKey(w.alice)
	_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: first})
	want(t, "alias", err, "")
	var once sync.Once
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		once.Do(func() {
			w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Alias(aliceScope, "alias/a") },
				func(body any) { body.(*kms.Alias).KeyID = second })
		})
	}})
	answer, err := w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: "alias/a"})
	want(t, "disable", err, "")
	if got := answer.(*kms.KeyAnswer).Key.KeyID; got != second {
		t.Errorf("disabled %s, the alias names %s", got, second)
	}
}

// Two writers of one alias: both decide that it is free, one gets it. The one that is first may
// have the lower revision, from an older view.
func TestTwoWriters(t *testing.T) {
	for _, lagging := range []bool{false, true} {
		w := newWorld(t, servicetest.Options{})
		key := w.CreateKey(w.alice)
		first := w.Cluster.Node(servicetest.Options{})
		first.Lag(lagging)
		w.CreateKey(w.alice)
		create := func(n *servicetest.Node) error {
			_, err := n.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
			return err
		}
		var once sync.Once
		w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
			once.Do(func() {
				if err := create(first); err != nil {
					t.Error(err)
				}
			})
		}})
		want(t, "the second one", create(w.Node), kms.CodeAlreadyExists)
	}
}

// A limit holds against writers who all saw room for one more.
func TestLimitUnderRace(t *testing.T) {
	w := newWorld(t, servicetest.Options{MaxKeys: 2})
	w.CreateKey(w.alice)
	other := w.Cluster.Node(servicetest.Options{MaxKeys: 2})
	want(t, "catch up", other.CatchUp(t.Context()), "")
	var once sync.Once
	other.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) { once.Do(func() { w.CreateKey(w.alice) }) }})
	_, err := other.Do(w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{})
	want(t, "the third key", err, kms.CodeLimitExceeded)
}

// Creating keys in one account conflicts with nothing.
func TestConcurrentCreatesDoNotConflict(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	before := w.Counts().Proposals
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, err := w.Do(w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := w.Counts().Proposals - before; n != writers*each {
		t.Errorf("%d proposals for %d keys", n, writers*each)
	}
	if n := len(w.keys(t, w.alice)); n != writers*each {
		t.Errorf("%d keys", n)
	}
}

// One idempotency key makes one change, whatever comes between, and is answered from what the first
// request wrote.
func TestIdempotency(t *testing.T) {
	w := newWorld(t, twoRegions)
	key, other := w.CreateKey(w.alice), w.CreateKey(w.alice)
	do := func(n *servicetest.Node, who servicetest.Credentials, op *kms.Operation, id string, request any) (any, error) {
		call := servicetest.Call(who, op, request)
		call.IdempotencyKey = id
		result, err := n.Service.Do(t.Context(), call)
		if err != nil {
			return nil, err
		}
		return result.Answer, nil
	}
	second := w.Cluster.Node(twoRegions)
	regional, external := w.make(t, w.alice, regionalKey).KeyID, &topic{name: w.make(t, w.alice, externalKey).KeyID}
	wrap(t, w, w.alice, external)
	grant := &topic{id: other}
	granted(t, w, w.alice, grant)
	leaving := &topic{id: other}
	leaving.grantID = w.must(t, w.alice, kms.OpCreateGrant, grantRequest(other)).(*kms.CreateGrantAnswer).GrantID
	w.encrypt(t, w.alice, other, "a use that the deletion tells of", nil)
	byOther := func() any { return &kms.KeyRequest{KeyID: other} }
	imported := func() any {
		return &kms.ImportKeyMaterialRequest{KeyID: external.name, ImportToken: external.token, EncryptedKeyMaterial: external.wrapped, ExpirationModel: kms.MaterialDoesNotExpire}
	}
	type row struct {
		who     servicetest.Credentials
		op      *kms.Operation
		request func() any
		other   any // another request
	}
	rows := []row{
		{w.alice, kms.OpCreateKey, func() any {
			return &kms.CreateKeyRequest{Description: "x", Tags: map[string]string{"a": "1", "b": "2"}}
		}, &kms.CreateKeyRequest{Description: "x", Tags: map[string]string{"a": "1"}}},
		{w.alice, kms.OpCreateAlias, func() any { return &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key} },
			&kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: other}},
		{w.alice, kms.OpUpdateAlias, func() any { return &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: other} },
			&kms.UpdateAliasRequest{AliasName: "alias/b", TargetKeyID: other}},
		{w.alice, kms.OpDisableKey, func() any { return &kms.KeyRequest{KeyID: "alias/a"} }, &kms.KeyRequest{KeyID: other}},
		{w.alice, kms.OpEnableKey, func() any { return &kms.KeyRequest{KeyID: other} }, &kms.KeyRequest{KeyID: key}},
		{w.alice, kms.OpDeleteAlias, func() any { return &kms.DeleteAliasRequest{AliasName: "alias/a"} }, &kms.DeleteAliasRequest{AliasName: "alias/b"}},
		{w.alice, kms.OpUpdateKeyDescription, func() any { return &kms.UpdateKeyDescriptionRequest{KeyID: other, Description: "d"} },
			&kms.UpdateKeyDescriptionRequest{KeyID: other, Description: "e"}},
		{w.alice, kms.OpPutKeyPolicy, func() any { return &kms.PutKeyPolicyRequest{KeyID: other, Policy: defaultPolicy(aliceID)} },
			&kms.PutKeyPolicyRequest{KeyID: key, Policy: defaultPolicy(aliceID)}},
		{w.alice, kms.OpTagResource, func() any { return &kms.TagResourceRequest{KeyID: other, Tags: map[string]string{"a": "b", "c": "d"}} },
			&kms.TagResourceRequest{KeyID: other, Tags: map[string]string{"a": "b"}}},
		{w.alice, kms.OpUntagResource, func() any { return &kms.UntagResourceRequest{KeyID: other, TagKeys: []string{"a"}} },
			&kms.UntagResourceRequest{KeyID: other, TagKeys: []string{"c"}}},
		{w.alice, kms.OpEnableKeyRotation, func() any { return &kms.EnableKeyRotationRequest{KeyID: other, RotationPeriodInDays: ptr(100)} },
			&kms.EnableKeyRotationRequest{KeyID: other, RotationPeriodInDays: ptr(101)}},
		{w.alice, kms.OpDisableKeyRotation, byOther, &kms.KeyRequest{KeyID: key}},
		{w.alice, kms.OpRotateKeyOnDemand, byOther, &kms.KeyRequest{KeyID: key}},
		{w.alice, kms.OpCreateGrant, func() any { return grantRequest(other) }, grantRequest(key)},
		{w.alice, kms.OpRevokeGrant, func() any { return &kms.RevokeGrantRequest{KeyID: other, GrantID: grant.grantID} },
			&kms.RevokeGrantRequest{KeyID: other, GrantID: leaving.grantID}},
		{w.alice, kms.OpRetireGrant, func() any { return &kms.RetireGrantRequest{KeyID: other, GrantID: leaving.grantID} },
			&kms.RetireGrantRequest{KeyID: other, GrantID: grant.grantID}},
		{w.alice, kms.OpImportKeyMaterial, imported, &kms.ImportKeyMaterialRequest{KeyID: external.name, ImportToken: external.token,
			EncryptedKeyMaterial: external.wrapped, ExpirationModel: kms.MaterialDoesNotExpire, KeyMaterialDescription: "other"}},
		{w.alice, kms.OpDeleteImportedKeyMaterial, func() any { return &kms.DeleteImportedKeyMaterialRequest{KeyID: external.name} },
			&kms.DeleteImportedKeyMaterialRequest{KeyID: key}},
		{w.alice, kms.OpReplicateKey, func() any { return &kms.ReplicateKeyRequest{KeyID: regional, ReplicaRegion: secondRegion} },
			&kms.ReplicateKeyRequest{KeyID: regional, ReplicaRegion: secondRegion, Description: "other"}},
		{w.alice, kms.OpUpdatePrimaryRegion, func() any { return &kms.UpdatePrimaryRegionRequest{KeyID: regional, PrimaryRegion: secondRegion} },
			&kms.UpdatePrimaryRegionRequest{KeyID: regional, PrimaryRegion: firstRegion}},
		{w.alice, kms.OpScheduleKeyDeletion, func() any { return &kms.ScheduleKeyDeletionRequest{KeyID: other, PendingWindowInDays: ptr(8)} },
			&kms.ScheduleKeyDeletionRequest{KeyID: other, PendingWindowInDays: ptr(9)}},
		{w.alice, kms.OpCancelKeyDeletion, byOther, &kms.KeyRequest{KeyID: key}},
		{w.Root, kms.OpCreateAccount, func() any { return &kms.CreateAccountRequest{Name: "n"} }, &kms.CreateAccountRequest{Name: "m"}},
		{w.Root, kms.OpDisableAccount, func() any { return &kms.AccountRequest{AccountID: bobID} }, &kms.AccountRequest{AccountID: aliceID}},
		{w.Root, kms.OpPutSetting, func() any { return &kms.PutSettingRequest{Name: kms.SettingRevocationBound, Value: "5s"} },
			&kms.PutSettingRequest{Name: kms.SettingRevocationBound, Value: "6s"}},
	}
	for op, r := range identityRights() {
		if op.Mutates {
			s := w.topic(t, w.alice, op, "alias/"+op.Name)
			rows = append([]row{{w.alice, op, func() any { return r.request(s) }, differing(r, s)}}, rows...)
		}
	}
	seen := map[*kms.Operation]bool{}
	for _, row := range rows {
		seen[row.op] = true
		first, err := do(w.Node, row.who, row.op, "id", row.request())
		want(t, row.op.Name, err, "")
		for _, n := range []*servicetest.Node{w.Node, second} {
			again, err := do(n, row.who, row.op, "id", row.request())
			want(t, row.op.Name+" again", err, "")
			if !reflect.DeepEqual(again, first) && !freshToken(again, first) {
				t.Errorf("%s: first %+v, again %+v", row.op.Name, first, again)
			}
		}
		_, err = do(w.Node, row.who, row.op, "id", row.other)
		want(t, row.op.Name+", another request", err, kms.CodeIdempotencyMismatch)
	}
	for _, op := range kms.Operations {
		if op.Mutates && !seen[op] && op != kms.OpSeal && op != kms.OpAllowMember && op != kms.OpRemoveMember && verdictOn(op) == "" {
			t.Errorf("%s has no row", op.Name)
		}
	}
	// Another principal's key of the same spelling is another key.
	carol := w.CreateAccount("555555555555")
	_, err := do(w.Node, carol, kms.OpCreateKey, "id", &kms.CreateKeyRequest{})
	want(t, "another principal", err, "")
	if n := len(w.keys(t, carol)); n != 1 {
		t.Errorf("%d keys", n)
	}
}

// differing returns another request of an operation, on what has another name.
func differing(r right, s *topic) any {
	other := *s
	other.n = "other"
	return r.request(&other)
}

// freshToken reports whether two answers name the same grant with different tokens.
func freshToken(again, first any) bool {
	a, ok := again.(*kms.CreateGrantAnswer)
	return ok && a.GrantID == first.(*kms.CreateGrantAnswer).GrantID && a.GrantToken != first.(*kms.CreateGrantAnswer).GrantToken
}

// A retry whose first request was applied but not answered finds it, in spite of what came after:
// the alias exists, but it is the retry's own.
func TestRetryAfterUnknownOutcome(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	call := servicetest.Call(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
	call.IdempotencyKey = "id"
	w.Break(servicetest.Faults{AfterPropose: func(*fsm.Txn) error {
		return kms.Errorf(kms.CodeOutcomeUnknown, "The leader did not answer.")
	}})
	_, err := w.Service.Do(t.Context(), call)
	want(t, "first", err, kms.CodeOutcomeUnknown)
	w.Break(servicetest.Faults{})
	n := w.behind(t)
	_, err = w.Do(w.alice, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/a"})
	want(t, "delete", err, "")
	for _, node := range []*servicetest.Node{w.Node, n} {
		result, err := node.Service.Do(t.Context(), call)
		want(t, "retry", err, "")
		if a := result.Answer.(*kms.AliasAnswer).Alias; a.AliasName != "alias/a" || a.TargetKeyID != key {
			t.Errorf("answered %+v", a)
		}
	}
	_, err = w.Do(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/a"})
	want(t, "the alias stays deleted", err, kms.CodeNotFound)
}

// A retry is an access: the rights to it are decided again.
func TestRetryIsAuthorizedAgain(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	call := servicetest.Call(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	call.IdempotencyKey = "id"
	_, err := w.Service.Do(t.Context(), call)
	want(t, "first", err, "")
	w.repolicy(t, key)
	_, err = w.Service.Do(t.Context(), call)
	want(t, "retry after the policy changed", err, kms.CodeAccessDenied)
	_, err = w.Do(w.Root, kms.OpDisableAccount, &kms.AccountRequest{AccountID: aliceID})
	want(t, "disable", err, "")
	_, err = w.Service.Do(t.Context(), call)
	want(t, "retry after the account was disabled", err, kms.CodeUnauthenticated)
}
