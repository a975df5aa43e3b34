package service_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// A session outlives the state that it was issued on: an old one issues none, also to who asks for it.
func TestNoSessionIsIssuedOnAStaleState(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	who := w.hire(t, "u", permit("sts:AssumeRole", "*"))
	w.roleFor(t, "r", trusting(iamARN(aliceID, "user/u")), allowAll)
	n := w.behind(t)
	w.must(t, w.alice, kms.OpUpdateAssumeRolePolicy, &kms.UpdateAssumeRolePolicyRequest{Name: "r", PolicyDocument: trusting(iamARN(bobID, "root"))})
	call := servicetest.Call(who, kms.OpAssumeRole, &kms.AssumeRoleRequest{RoleARN: iamARN(aliceID, "role/r"), RoleSessionName: "session"})
	call.Stale = true
	_, err := n.Service.Do(t.Context(), call)
	want(t, "stale", err, kms.CodeAccessDenied)

	owner := w.accessKey(t, "u")
	n = w.behind(t)
	w.must(t, w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "u", AccessKeyID: owner.AccessKeyID})
	call = servicetest.Call(owner, kms.OpGetSessionToken, &kms.GetSessionTokenRequest{})
	call.Stale = true
	_, err = n.Service.Do(t.Context(), call)
	want(t, "stale, of a key that is gone", err, kms.CodeUnauthenticated)
}

// A denied caller learns neither that an identity is there, nor its path or spelling, nor whose an access key is.
func TestDeniedCallersLearnNothingOfIdentities(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "Boss", Path: "/secret/project/"})
	boss := w.accessKey(t, "Boss")
	nobody := w.hire(t, "nobody", "")
	said := func(op *kms.Operation, request any, name string) string {
		_, err := w.Do(nobody, op, request)
		want(t, name, err, kms.CodeAccessDenied)
		return strings.ReplaceAll(err.Error(), name, "NAME")
	}
	if a, b := said(kms.OpGetUser, &kms.IdentityRequest{Name: "boss"}, "boss"), said(kms.OpGetUser, &kms.IdentityRequest{Name: "other"}, "other"); a != b {
		t.Errorf("%s, and of nobody: %s", a, b)
	}
	none := "AKIAAAAAAAAAAAAAAAAA"
	for _, id := range []string{boss.AccessKeyID, w.alice.AccessKeyID, w.bob.AccessKeyID} {
		if a, b := said(kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: id}, id), said(kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: none}, none); a != b {
			t.Errorf("%s, and of none: %s", a, b)
		}
	}
}

// What is being made has no tags yet that a policy could mean by aws:ResourceTag.
func TestWhatIsMadeHasNoTags(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	team := w.hire(t, "lead", permit("iam:*", "*", `{"StringEquals":{"aws:ResourceTag/team":"a"}}`))
	for op, q := range map[*kms.Operation]any{
		kms.OpCreateUser:   &kms.CreateUserRequest{Name: "x", Tags: map[string]string{"team": "a"}},
		kms.OpCreateRole:   &kms.CreateRoleRequest{Name: "x", AssumeRolePolicyDocument: trusting(iamARN(aliceID, "root")), Tags: map[string]string{"team": "a"}},
		kms.OpCreatePolicy: &kms.CreatePolicyRequest{Name: "x", PolicyDocument: allowAll, Tags: map[string]string{"team": "a"}},
	} {
		_, err := w.Do(team, op, q)
		want(t, op.Name, err, kms.CodeAccessDenied)
	}
}

// Who may attach some policies only is answered a repeat of it.
func TestARepeatKnowsThePolicyToo(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	p := w.publish(t, "ok", permit("kms:Encrypt", "*"))
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "x"})
	lead := w.hire(t, "lead", permit("iam:AttachUserPolicy", "*", `{"ArnEquals":{"iam:PolicyARN":"`+p+`"}}`))
	for range 2 {
		call := servicetest.Call(lead, kms.OpAttachUserPolicy, &kms.AttachPolicyRequest{Name: "x", PolicyARN: p})
		call.IdempotencyKey = "k"
		_, err := w.Service.Do(t.Context(), call)
		want(t, "attach", err, "")
	}
}

// The keys of an account that is disabled are nobody's, whatever their policies say.
func TestKeysOfADisabledAccount(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.repolice(t, key, delegating(lets(iamARN(bobID, "root"), "kms:*")))
	sealed := w.encrypt(t, w.bob, keyARN(key), message, nil)
	grant := func() error {
		_, err := w.Do(w.bob, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: keyARN(key), GranteePrincipal: iamARN(bobID, "root"), Operations: []kms.GrantOperation{"Decrypt"}})
		return err
	}
	want(t, "grant", grant(), "")
	met := false
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if !met {
			met = true
			w.must(t, w.Root, kms.OpDisableAccount, &kms.AccountRequest{AccountID: aliceID})
		}
	}})
	want(t, "grant, and disabled meanwhile", grant(), kms.CodeAccessDenied)
	w.Break(servicetest.Faults{})
	_, err := w.Do(w.bob, kms.OpEncrypt, &kms.EncryptRequest{KeyID: keyARN(key), Plaintext: []byte("x")})
	want(t, "encrypt", err, kms.CodeAccessDenied)
	_, err = w.Do(w.bob, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: sealed})
	want(t, "decrypt", err, kms.CodeAccessDenied)
}

// A change that is allowed for the sake of an alias guards it.
func TestAliasesThatAllowAreGuarded(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/test", TargetKeyID: key})
	dev := w.hire(t, "dev", permit("kms:DisableKey", "*", `{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/test"}}`))
	met := false
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if !met {
			met = true
			w.must(t, w.alice, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/test"})
		}
	}})
	_, err := w.Do(dev, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	want(t, "the alias went meanwhile", err, kms.CodeAccessDenied)
}

// Without an alias that cannot be read nobody knows what a policy on aliases says.
func TestUnreadableAliasesAllowNothing(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/prod", TargetKeyID: key})
	w.repolice(t, key, delegating(`{"Effect":"Deny","Principal":"*","Action":"kms:DisableKey","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/prod"}}}`))
	w.spoil(t, func(ids catalog.IDs) fsm.Ref { return ids.Alias(aliceScope, "alias/prod") })
	_, err := w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	want(t, "an alias that does not open", err, kms.CodeUnavailable)
}

// spoil replaces a record by one that does not open, in its scopes.
func (w *world) spoil(t *testing.T, which func(catalog.IDs) fsm.Ref) {
	t.Helper()
	b := w.Barrier()
	defer b.Wipe()
	state := w.State()
	ref := which(catalog.NewIDs(b))
	old, ok := state.Get(ref.Kind, ref.ID)
	if !ok {
		t.Fatal("there is no such record")
	}
	body := append([]byte{}, old.Body...)
	body[len(body)-1] ^= 1
	w.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.damage", Based: state.LogTime(),
		Writes: []fsm.Write{{Kind: ref.Kind, ID: ref.ID, Revision: old.Revision + 100, Term: old.Term, Body: body, Scopes: old.Scopes}}})
	want(t, "catch up", w.CatchUp(t.Context()), "")
}

// A use that cannot be read may have been today's.
func TestUnreadableUseIsNoLackOfUse(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.repolice(t, key, delegating(`{"Effect":"Deny","Principal":"*","Action":"kms:ScheduleKeyDeletion","Resource":"*","Condition":{"NumericLessThan":{"kms:TrailingDaysWithoutKeyUsage":"90"}}}`))
	w.encrypt(t, w.alice, key, message, nil)
	want(t, "write the use", w.WriteUsage(t.Context()), "")
	w.spoil(t, func(ids catalog.IDs) fsm.Ref { return ids.Usage(aliceScope, key) })
	w.Advance(100 * 24 * time.Hour)
	_, err := w.Do(w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key})
	want(t, "delete", err, kms.CodeAccessDenied)
}

// What would be decided on a role is what its trust policy and the caller's policies decide together.
func TestSimulationKnowsTrust(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	w.hire(t, "u", permit("sts:AssumeRole", "*"))
	w.hire(t, "v", "")
	w.roleFor(t, "foreign", trusting(iamARN(bobID, "root")), allowAll)
	w.roleFor(t, "named", trusting(iamARN(aliceID, "user/v")), allowAll)
	for _, tt := range []struct{ who, role, decision string }{
		{"u", "foreign", "implicitDeny"}, {"v", "foreign", "implicitDeny"}, {"u", "named", "implicitDeny"}, {"v", "named", "allowed"},
	} {
		a := w.must(t, w.alice, kms.OpSimulatePrincipalPolicy, &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "user/"+tt.who), Action: "sts:AssumeRole", Resource: iamARN(aliceID, "role/"+tt.role)})
		if got := a.(*kms.SimulateAnswer).Verdict; got.Decision != tt.decision {
			t.Errorf("%+v: %+v", tt, got)
		}
	}
}

// Which policies an account has is not told to who may assume one of its roles from outside.
func TestPoliciesAreNotToldAbroad(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	w.roleFor(t, "r", trusting(iamARN(bobID, "root")), "")
	w.publish(t, "hidden", permit("kms:Encrypt", "*"))
	for _, name := range []string{"hidden", "none"} {
		_, err := w.Do(w.bob, kms.OpAssumeRole, &kms.AssumeRoleRequest{RoleARN: iamARN(aliceID, "role/r"), RoleSessionName: "session", PolicyARNs: []string{iamARN(aliceID, "policy/"+name)}})
		want(t, name, err, "")
	}
}

// Two tags that a policy cannot tell apart are not both there.
func TestTagsOfAKeyDifferInMoreThanCase(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: map[string]string{"Team": "prod"}})
	for _, tags := range []map[string]string{{"team": "dev"}, {"a": "1", "A": "2"}} {
		_, err := w.Do(w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: tags})
		want(t, "tag", err, kms.CodeInvalidTag)
	}
}

// iam:PermissionsBoundary is there where an identity's policies or boundary are changed, and nowhere else.
func TestWhereTheBoundaryIsACondition(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	b := w.publish(t, "bound", permit("kms:*", "*"))
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "x", PermissionsBoundary: b})
	lead := w.hire(t, "lead", permit("iam:*", "*", `{"StringEquals":{"iam:PermissionsBoundary":"`+b+`"}}`))
	_, err := w.Do(lead, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: "x"})
	want(t, "access key", err, kms.CodeAccessDenied)
	_, err = w.Do(lead, kms.OpPutUserPolicy, &kms.PutInlinePolicyRequest{Name: "x", PolicyName: "p", PolicyDocument: allowAll})
	want(t, "policy", err, "")
}
