package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/auth"
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

// givePolicy gives alice's key a policy record of its own, which says what the default one says.
func (w *world) givePolicy(t *testing.T, key string) {
	t.Helper()
	b := w.Barrier()
	defer b.Wipe()
	ref := catalog.NewIDs(b).Policy(aliceScope, key)
	body := &kms.Policy{Schema: 1, Scope: aliceScope, KeyID: key, Document: auth.DefaultKeyPolicy("aws", aliceID)}
	state := w.State()
	write, err := catalog.Write(b, ref, state.Index()+1, body)
	want(t, "a policy", err, "")
	w.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.policy", Based: state.LogTime(), Writes: []fsm.Write{write}})
	w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Key(aliceScope, key) }, func(body any) { body.(*kms.Key).DefaultPolicy = false })
	want(t, "catch up", w.CatchUp(t.Context()), "")
}

func (w *world) touchKey(t *testing.T, key string) {
	w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Key(aliceScope, key) }, func(any) {})
}

// A change conflicts with every record that its decision read, the ones it does not write too, and
// is decided again on what is there then.
func TestConflictsWithWhatWasOnlyRead(t *testing.T) {
	disabled := func(body any) { body.(*kms.Account).Disabled = true }
	policy := func(body any) { body.(*kms.Policy).Document = "{}" }
	rows := []struct {
		name   string
		ref    func(ids catalog.IDs, key string, who servicetest.Credentials) fsm.Ref
		change func(any)
		op     *kms.Operation
		code   kms.Code // of the second decision
	}{
		{"account", func(ids catalog.IDs, _ string, _ servicetest.Credentials) fsm.Ref { return ids.Account(aliceID) }, disabled, kms.OpCreateKey, kms.CodeUnauthenticated},
		{"account, of a key", func(ids catalog.IDs, _ string, _ servicetest.Credentials) fsm.Ref { return ids.Account(aliceID) }, disabled, kms.OpDisableKey, kms.CodeUnauthenticated},
		{"identity", func(ids catalog.IDs, _ string, _ servicetest.Credentials) fsm.Ref {
			return ids.Identity(aliceID, aliceID)
		},
			func(body any) { body.(*kms.Identity).Disabled = true }, kms.OpCreateAlias, kms.CodeUnauthenticated},
		{"credential", func(ids catalog.IDs, _ string, who servicetest.Credentials) fsm.Ref {
			return ids.Credential(who.AccessKeyID)
		}, func(body any) { body.(*kms.Credential).Disabled = true }, kms.OpCreateKey, kms.CodeUnauthenticated},
		{"policy", func(ids catalog.IDs, key string, _ servicetest.Credentials) fsm.Ref {
			return ids.Policy(aliceScope, key)
		}, policy, kms.OpDisableKey, kms.CodeAccessDenied},
		{"policy, of an alias's key", func(ids catalog.IDs, key string, _ servicetest.Credentials) fsm.Ref {
			return ids.Policy(aliceScope, key)
		}, policy, kms.OpCreateAlias, kms.CodeAccessDenied},
		{"policy, of the key that is left", func(ids catalog.IDs, key string, _ servicetest.Credentials) fsm.Ref {
			return ids.Policy(aliceScope, key)
		}, policy, kms.OpDeleteAlias, kms.CodeAccessDenied},
		{"key, touched", func(ids catalog.IDs, key string, _ servicetest.Credentials) fsm.Ref { return ids.Key(aliceScope, key) }, func(any) {}, kms.OpCreateAlias, ""},
		{"alias, touched", func(ids catalog.IDs, _ string, _ servicetest.Credentials) fsm.Ref {
			return ids.Alias(aliceScope, "alias/a")
		}, func(any) {}, kms.OpUpdateAlias, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			key := w.CreateKey(w.alice)
			w.givePolicy(t, key)
			_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
			want(t, "alias", err, "")
			var once sync.Once
			w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
				once.Do(func() {
					w.touch(t, func(ids catalog.IDs) fsm.Ref { return row.ref(ids, key, w.alice) }, row.change)
				})
			}})
			before := w.Counts().Proposals
			request := requests(key, "alias/a", nil)[row.op]
			if q, ok := request.(*kms.CreateAliasRequest); ok {
				q.AliasName = "alias/b"
			}
			_, err = w.Do(w.alice, row.op, request)
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

// sole are what the cluster does beside the log, without an idempotency key.
var sole = []*kms.Operation{kms.OpSeal, kms.OpAllowMember, kms.OpRemoveMember}

// second returns a request of the same operation that asks for something else.
func second(t *testing.T, request any) any {
	t.Helper()
	v := reflect.New(reflect.TypeOf(request).Elem())
	v.Elem().Set(reflect.ValueOf(request).Elem())
	switch q := v.Interface().(type) {
	case *kms.CreateKeyRequest:
		q.Tags = map[string]string{"k": "w"}
	case *kms.CreateAliasRequest:
		q.AliasName += "-other"
	case *kms.UpdateAliasRequest:
		q.AliasName += "-other"
	case *kms.DeleteAliasRequest:
		q.AliasName += "-other"
	case *kms.CreateAccountRequest:
		q.Name = "m"
	case *kms.AccountRequest:
		q.AccountID = aliceID
	case *kms.PutSettingRequest:
		q.Value = "6s"
	case *kms.RetireGrantRequest:
		q.DryRun = true
	default:
		id := v.Elem().FieldByName("KeyID")
		if !id.IsValid() {
			t.Fatalf("the test has no other %T", request)
		}
		id.SetString("00000000-0000-4000-8000-000000000001")
	}
	return v.Interface()
}

// repeatable are further right requests of operations whose answers have several forms.
var repeatable = []struct {
	name string
	op   *kms.Operation
	make func(t *testing.T, w *world, s *topic) any
}{
	{"a used key's deletion", kms.OpScheduleKeyDeletion, func(t *testing.T, w *world, s *topic) any {
		encrypted(t, w, w.alice, s)
		return &kms.ScheduleKeyDeletionRequest{KeyID: s.id, PendingWindowInDays: ptr(9)}
	}},
	{"the deletion of a key with replicas", kms.OpScheduleKeyDeletion, func(t *testing.T, w *world, s *topic) any {
		s.id = w.make(t, w.alice, regionalKey).KeyID
		replicated(t, w, w.alice, s)
		return &kms.ScheduleKeyDeletionRequest{KeyID: s.id}
	}},
	{"a rotation period", kms.OpEnableKeyRotation, func(_ *testing.T, _ *world, s *topic) any {
		return &kms.EnableKeyRotationRequest{KeyID: s.id, RotationPeriodInDays: ptr(100)}
	}},
	{"a multi-Region key", kms.OpCreateKey, func(*testing.T, *world, *topic) any {
		return &kms.CreateKeyRequest{MultiRegion: true, Description: "d"}
	}},
	{"a key of the other kind", kms.OpCreateKey, func(*testing.T, *world, *topic) any { return signingKey }},
	{"a replica with its own words", kms.OpReplicateKey, func(t *testing.T, w *world, s *topic) any {
		return &kms.ReplicateKeyRequest{KeyID: w.make(t, w.alice, regionalKey).KeyID, ReplicaRegion: secondRegion, Description: "theirs", Tags: map[string]string{"x": "y"}}
	}},
	{"a grant of a name", kms.OpCreateGrant, func(_ *testing.T, _ *world, s *topic) any {
		q := grantRequest(s.id)
		q.Name = "name"
		return q
	}},
	{"a grant that is there", kms.OpCreateGrant, func(t *testing.T, w *world, s *topic) any {
		q := grantRequest(s.id)
		q.Name = "name"
		w.must(t, w.alice, kms.OpCreateGrant, q)
		return q
	}},
	{"a grant ended by its token", kms.OpRetireGrant, func(t *testing.T, w *world, s *topic) any {
		granted(t, w, w.alice, s)
		return &kms.RetireGrantRequest{GrantToken: s.grantToken}
	}},
	{"an import that expires", kms.OpImportKeyMaterial, func(t *testing.T, w *world, s *topic) any {
		s.id = w.make(t, w.alice, externalKey).KeyID
		s.name = s.id
		wrap(t, w, w.alice, s)
		return &kms.ImportKeyMaterialRequest{KeyID: s.id, ImportToken: s.token, EncryptedKeyMaterial: s.wrapped, ValidTo: ptr(kms.Time(servicetest.Epoch + 1e9))}
	}},
	{"an announcement", kms.OpImportKeyMaterial, func(t *testing.T, w *world, s *topic) any {
		w.imported(t, s, nil)
		wrap(t, w, w.alice, s)
		return &kms.ImportKeyMaterialRequest{KeyID: s.id, ImportToken: s.token, EncryptedKeyMaterial: s.wrapped,
			ExpirationModel: kms.MaterialDoesNotExpire, ImportType: kms.ImportNewMaterial}
	}},
	{"the deletion of the current material", kms.OpDeleteImportedKeyMaterial, func(t *testing.T, w *world, s *topic) any {
		w.imported(t, s, nil)
		return &kms.DeleteImportedKeyMaterialRequest{KeyID: s.id}
	}},
	{"the deletion of material by its id", kms.OpDeleteImportedKeyMaterial, func(t *testing.T, w *world, s *topic) any {
		return &kms.DeleteImportedKeyMaterialRequest{KeyID: s.id, KeyMaterialID: w.imported(t, s, nil)}
	}},
	{"the deletion of announced material", kms.OpDeleteImportedKeyMaterial, func(t *testing.T, w *world, s *topic) any {
		w.imported(t, s, nil)
		return &kms.DeleteImportedKeyMaterialRequest{KeyID: s.id, KeyMaterialID: w.announced(t, s)}
	}},
	{"the deletion of what is gone already", kms.OpDeleteImportedKeyMaterial, func(t *testing.T, w *world, s *topic) any {
		w.imported(t, s, nil)
		w.must(t, w.alice, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: s.id})
		return &kms.DeleteImportedKeyMaterialRequest{KeyID: s.id}
	}},
	{"the rotation of an imported key", kms.OpRotateKeyOnDemand, func(t *testing.T, w *world, s *topic) any {
		w.imported(t, s, nil)
		w.announced(t, s)
		return &kms.KeyRequest{KeyID: s.id}
	}},
}

// imported makes a key of imported material and returns the material's id.
func (w *world) imported(t *testing.T, s *topic, q *kms.CreateKeyRequest) string {
	t.Helper()
	if q == nil {
		q = externalKey
	}
	s.id = w.make(t, w.alice, q).KeyID
	s.name = s.id
	return w.importRandom(t, s, "")
}

func (w *world) importRandom(t *testing.T, s *topic, how kms.ImportType) string {
	t.Helper()
	wrap(t, w, w.alice, s)
	return w.must(t, w.alice, kms.OpImportKeyMaterial, &kms.ImportKeyMaterialRequest{KeyID: s.id, ImportToken: s.token, EncryptedKeyMaterial: s.wrapped,
		ExpirationModel: kms.MaterialDoesNotExpire, ImportType: how}).(*kms.KeyMaterialAnswer).KeyMaterialID
}

// announced imports a key's next material and returns its id.
func (w *world) announced(t *testing.T, s *topic) string {
	t.Helper()
	return w.importRandom(t, s, kms.ImportNewMaterial)
}

// One idempotency key makes one change, whatever comes between, and is answered by every node what the first
// request was answered; the same key for anything else is refused.
func TestIdempotency(t *testing.T) {
	for _, op := range kms.Operations {
		if !op.Mutates || slices.Contains(sole, op) {
			continue
		}
		t.Run(op.Name, func(t *testing.T) {
			w := newWorld(t, twoRegions)
			who := w.alice
			if op.Resource == kms.ResourceCluster {
				who = w.Root
			}
			s := w.topic(t, who, op, "alias/a")
			request := rights[op].request(s)
			switch q := request.(type) {
			case *kms.PutKeyPolicyRequest:
				q.Policy = defaultPolicy(aliceID)
			case *kms.DeleteImportedKeyMaterialRequest:
				q.KeyMaterialID = w.importRandom(t, s, "")
			}
			w.repeats(t, who, op, request)
		})
	}
	for _, row := range repeatable {
		t.Run(row.op.Name+", "+row.name, func(t *testing.T) {
			w := newWorld(t, twoRegions)
			s := &topic{id: w.CreateKey(w.alice)}
			s.name = s.id
			w.repeats(t, w.alice, row.op, row.make(t, w, s))
		})
	}
	// Another principal's key of the same spelling is another key.
	w := newWorld(t, twoRegions)
	for _, who := range []servicetest.Credentials{w.alice, w.bob} {
		_, err := again(w.Node, who, kms.OpCreateKey, &kms.CreateKeyRequest{})
		want(t, "a principal", err, "")
		if n := len(w.keys(t, who)); n != 1 {
			t.Errorf("%d keys", n)
		}
	}
}

// again calls an operation with the one idempotency key of the tests.
func again(n *servicetest.Node, who servicetest.Credentials, op *kms.Operation, request any) (any, error) {
	call := servicetest.Call(who, op, request)
	call.IdempotencyKey = "id"
	result, err := n.Service.Do(context.Background(), call)
	if err != nil {
		return nil, err
	}
	return result.Answer, nil
}

// repeats makes a change, and asks for it again of this node and of another one.
func (w *world) repeats(t *testing.T, who servicetest.Credentials, op *kms.Operation, request any) {
	t.Helper()
	other := second(t, request)
	first, err := again(w.Node, who, op, request)
	want(t, op.Name, err, "")
	answered := show(t, first)
	w.CreateKey(w.Root) // the log goes on
	state := w.State()
	for _, n := range []*servicetest.Node{w.Node, w.Cluster.Node(twoRegions)} {
		repeated, err := again(n, who, op, request)
		want(t, op.Name+" again", err, "")
		if got := show(t, repeated); got != answered {
			t.Errorf("first: %s\nagain: %s", answered, got)
		}
		if a, ok := first.(*kms.CreateGrantAnswer); ok && repeated.(*kms.CreateGrantAnswer).GrantToken == a.GrantToken {
			t.Error("the token is not fresh")
		}
	}
	_, err = again(w.Node, who, op, other)
	want(t, op.Name+", another request", err, kms.CodeIdempotencyMismatch)
	if before, after := state.Remembered(), w.State().Remembered(); before != after {
		t.Errorf("the repeats were remembered: %d, %d", before, after)
	}
}

// show returns everything that an answer tells, its secret too, but a grant's token.
func show(t *testing.T, answer any) string {
	t.Helper()
	if g, ok := answer.(*kms.CreateGrantAnswer); ok {
		return g.GrantID
	}
	text, err := json.Marshal(answer)
	want(t, "an answer in JSON", err, "")
	return fmt.Sprintf("%s %q", text, secretsOf(reflect.ValueOf(answer)))
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
	_, err = w.Do(w.alice, kms.OpDescribeKey, &kms.KeyRequest{KeyID: "alias/a"})
	want(t, "the alias stays deleted", err, kms.CodeNotFound)
}

// A retry is an access: the rights to it are decided again.
func TestRetryIsAuthorizedAgain(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.givePolicy(t, key)
	call := servicetest.Call(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	call.IdempotencyKey = "id"
	_, err := w.Service.Do(t.Context(), call)
	want(t, "first", err, "")
	w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Policy(aliceScope, key) }, func(body any) { body.(*kms.Policy).Document = "{}" })
	_, err = w.Service.Do(t.Context(), call)
	want(t, "retry after the policy changed", err, kms.CodeAccessDenied)
	_, err = w.Do(w.Root, kms.OpDisableAccount, &kms.AccountRequest{AccountID: aliceID})
	want(t, "disable", err, "")
	_, err = w.Service.Do(t.Context(), call)
	want(t, "retry after the account was disabled", err, kms.CodeUnauthenticated)
}
