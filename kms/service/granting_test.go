package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// grantedOperations returns the operations on a key that grants can allow, with the words of the grant.
func grantedOperations() map[*kms.Operation][]kms.GrantOperation {
	all := map[*kms.Operation][]kms.GrantOperation{kms.OpReEncrypt: {"ReEncryptFrom", "ReEncryptTo"}}
	for _, o := range kms.GrantOperations {
		if op, ok := kms.OperationByName(string(o)); ok && o != "RetireGrant" {
			all[op] = []kms.GrantOperation{o}
		}
	}
	return all
}

// beyond returns every other operation that a grant on the key can allow.
func (w *world) beyond(t *testing.T, key string, operations []kms.GrantOperation) (others []kms.GrantOperation) {
	t.Helper()
	for _, o := range kms.GrantOperations {
		_, err := w.Do(w.alice, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: iamARN("999999999999", "root"), Operations: []kms.GrantOperation{o}, DryRun: true})
		if kms.CodeOf(err) == kms.CodeDryRun && !slices.Contains(operations, o) {
			others = append(others, o)
		}
	}
	return others
}

func (w *world) revoke(t testing.TB, key, grant string) {
	t.Helper()
	w.must(t, w.alice, kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: key, GrantID: grant})
}

// Each operation of a grant lets the grantee do that operation with that key, from the grant's first moment to its last.
func TestGranteesUseTheirGrants(t *testing.T) {
	w := newWorld(t, sessionOptions)
	everything := permit("kms:*", "*")
	grantees := []struct {
		name, arn string
		do        doer
		code      kms.Code // of what the grant lets in
	}{
		{"user", iamARN(aliceID, "user/carl"), w.as(w.member(t, w.alice, "carl", "")), ""},
		{"role, by a session", iamARN(aliceID, "role/near"), w.played(t, w.alice, "near", ""), ""},
		{"session", "arn:aws:sts::" + aliceID + ":assumed-role/near2/session", w.played(t, w.alice, "near2", ""), ""},
		{"role, by a session that has less", iamARN(aliceID, "role/less"), w.played(t, w.alice, "less", "", permit("kms:None", "*")), kms.CodeAccessDenied},
		{"account, by a user without a policy", aliceRoot, w.as(w.member(t, w.alice, "cora", "")), kms.CodeAccessDenied},
		{"user of another account without a policy", iamARN(bobID, "user/dan"), w.as(w.member(t, w.bob, "dan", "")), kms.CodeAccessDenied},
		{"user of another account", iamARN(bobID, "user/dora"), w.as(w.member(t, w.bob, "dora", everything)), ""},
		{"role of another account without a policy", iamARN(bobID, "role/far"), w.played(t, w.bob, "far", ""), kms.CodeAccessDenied},
		{"role of another account", iamARN(bobID, "role/far2"), w.played(t, w.bob, "far2", everything), ""},
		{"another account, by its root", bobRoot, w.as(w.bob), ""},
		{"another account, by a user", bobRoot, w.as(w.member(t, w.bob, "dick", everything)), ""},
		{"another account, by a user without a policy", bobRoot, w.as(w.member(t, w.bob, "dot", "")), kms.CodeAccessDenied},
	}
	n := 0
	for op, operations := range grantedOperations() {
		n++
		s := w.topic(t, w.alice, op, fmt.Sprintf("alias/granted-%d", n))
		s.name = keyARN(s.id)
		request := rights[op].request(s)
		if q, ok := request.(*kms.CreateGrantRequest); ok {
			q.Operations, q.GranteePrincipal = []kms.GrantOperation{"CreateGrant"}, iamARN("999999999999", "root")
		}
		others := w.beyond(t, s.id, operations)
		for _, one := range grantees {
			name := op.Name + " by " + one.name
			_, err := one.do(op, request)
			want(t, name+", without a grant", err, kms.CodeAccessDenied)
			wrong := w.grant(t, &kms.CreateGrantRequest{KeyID: s.id, GranteePrincipal: one.arn, Operations: others}).GrantID
			_, err = one.do(op, request)
			want(t, name+", with a grant of everything else", err, kms.CodeAccessDenied)
			w.revoke(t, s.id, wrong)
			right := w.grant(t, &kms.CreateGrantRequest{KeyID: s.id, GranteePrincipal: one.arn, Operations: operations}).GrantID
			_, err = one.do(op, request)
			want(t, name, err, one.code)
			w.revoke(t, s.id, right)
			_, err = one.do(op, request)
			want(t, name+", after the grant", err, kms.CodeAccessDenied)
		}
	}
	if n < 17 {
		t.Errorf("%d operations were granted", n)
	}
}

// A grant binds its encryption context: this one, or one that has these pairs at least.
func TestGrantConstraints(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carl, key := w.member(t, w.alice, "carl", ""), w.CreateKey(w.alice)
	pairs := func(all ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(all); i += 2 {
			m[all[i]] = all[i+1]
		}
		return m
	}
	contexts := []map[string]string{nil, pairs("a", "1"), pairs("a", "2"), pairs("A", "1"), pairs("a", "1", "b", "2"), pairs("a", "1", "b", "3"), pairs("b", "2"), pairs("a", "1", "b", "2", "c", "3")}
	for _, row := range []struct {
		c       *kms.GrantConstraints
		allowed []int // contexts
	}{
		{nil, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{&kms.GrantConstraints{}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{&kms.GrantConstraints{EncryptionContextEquals: pairs("a", "1")}, []int{1}},
		{&kms.GrantConstraints{EncryptionContextEquals: pairs("a", "1", "b", "2")}, []int{4}},
		{&kms.GrantConstraints{EncryptionContextSubset: pairs("a", "1")}, []int{1, 4, 5, 7}},
		{&kms.GrantConstraints{EncryptionContextSubset: pairs("a", "1", "b", "2")}, []int{4, 7}},
	} {
		g := w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: iamARN(aliceID, "user/carl"), Constraints: row.c,
			Operations: []kms.GrantOperation{"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyPair", "DescribeKey", "RetireGrant"}})
		for i, context := range contexts {
			code := kms.CodeAccessDenied
			if slices.Contains(row.allowed, i) {
				code = ""
			}
			blob := w.encrypt(t, w.alice, key, "p", context)
			for op, request := range map[*kms.Operation]any{
				kms.OpEncrypt:             &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), EncryptionContext: context},
				kms.OpDecrypt:             &kms.DecryptRequest{CiphertextBlob: blob, EncryptionContext: context},
				kms.OpReEncrypt:           &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: blob, SourceEncryptionContext: context, DestinationEncryptionContext: context},
				kms.OpGenerateDataKey:     &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256, EncryptionContext: context},
				kms.OpGenerateDataKeyPair: &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: kms.ECCNISTP256, EncryptionContext: context},
			} {
				_, err := w.Do(carl, op, request)
				want(t, fmt.Sprintf("%s with %v under %+v", op.Name, context, row.c), err, code)
			}
		}
		w.must(t, carl, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}) // has no context
		w.must(t, carl, kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: key, GrantID: g.GrantID})
	}
	// One of several grants is enough.
	for _, v := range []string{"1", "2"} {
		w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: iamARN(aliceID, "user/carl"), Operations: []kms.GrantOperation{"Encrypt"},
			Constraints: &kms.GrantConstraints{EncryptionContextEquals: pairs("a", v)}})
	}
	for context, code := range map[string]kms.Code{"1": "", "2": "", "3": kms.CodeAccessDenied} {
		_, err := w.Do(carl, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), EncryptionContext: pairs("a", context)})
		want(t, "of two grants, "+context, err, code)
	}
}

// A Deny in any policy wins over a grant, and a grant on one key is none on another.
func TestGrantsYieldToDenials(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carlARN, key := iamARN(aliceID, "user/carl"), w.CreateKey(w.alice)
	carl := w.member(t, w.alice, "carl", "")
	w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: carlARN, Operations: []kms.GrantOperation{"Encrypt"}})
	want(t, "granted", uses(w.Node, carl, key), "")
	want(t, "another key", uses(w.Node, carl, w.CreateKey(w.alice)), kms.CodeAccessDenied)
	w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", rules(rule("Deny", "kms:Encrypt", "*")))
	want(t, "an identity policy denies", uses(w.Node, carl, key), kms.CodeAccessDenied)
	w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", rules(rule("Deny", "kms:Decrypt", "*")))
	want(t, "an identity policy denies something else", uses(w.Node, carl, key), "")
	w.repolice(t, key, delegating(bars(carlARN, "kms:Encrypt")))
	want(t, "the key policy denies", uses(w.Node, carl, key), kms.CodeAccessDenied)
	w.repolice(t, key, keyPolicy(lets(aliceRoot, "kms:PutKeyPolicy")))
	want(t, "the key policy is silent", uses(w.Node, carl, key), "")
	bound := w.publish(t, "bound", permit("kms:Decrypt", "*"))
	w.must(t, w.alice, kms.OpPutUserPermissionsBoundary, &kms.PutBoundaryRequest{Name: "carl", PermissionsBoundary: bound})
	want(t, "named directly no boundary counts", uses(w.Node, carl, key), "")
	w.must(t, w.alice, kms.OpCreatePolicyVersion, &kms.CreatePolicyVersionRequest{PolicyARN: bound, SetAsDefault: true, PolicyDocument: rules(rule("Deny", "kms:*", "*"))})
	want(t, "the boundary denies", uses(w.Node, carl, key), kms.CodeAccessDenied)
}

// Who may create grants by a grant passes on no more than that grant allows.
func TestChildGrantsAreNeverWider(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carlARN := iamARN(aliceID, "user/carl")
	carl := w.member(t, w.alice, "carl", "")
	one, two := map[string]string{"a": "1"}, map[string]string{"a": "1", "b": "2"}
	other := map[string]string{"a": "2"}
	equal := func(c map[string]string) *kms.GrantConstraints {
		return &kms.GrantConstraints{EncryptionContextEquals: c}
	}
	subset := func(c map[string]string) *kms.GrantConstraints {
		return &kms.GrantConstraints{EncryptionContextSubset: c}
	}
	ops := func(names string) (all []kms.GrantOperation) {
		for _, n := range strings.Fields(names) {
			all = append(all, kms.GrantOperation(n))
		}
		return all
	}
	for _, row := range []struct {
		parent, child string // operations
		bound, asked  *kms.GrantConstraints
		ok            bool
	}{
		{"CreateGrant Encrypt Decrypt", "Encrypt", nil, nil, true},
		{"CreateGrant Encrypt Decrypt", "Encrypt Decrypt CreateGrant", nil, nil, true},
		{"CreateGrant Encrypt", "Decrypt", nil, nil, false},
		{"CreateGrant Encrypt", "Encrypt Decrypt", nil, nil, false},
		{"CreateGrant Encrypt", "RetireGrant Encrypt", nil, nil, false},
		{"CreateGrant Encrypt", "DescribeKey", nil, nil, false},
		{"Encrypt Decrypt", "Encrypt", nil, nil, false},
		{"CreateGrant Encrypt", "Encrypt", nil, equal(one), true},
		{"CreateGrant Encrypt", "Encrypt", nil, subset(one), true},
		{"CreateGrant Encrypt", "Encrypt", equal(one), nil, false},
		{"CreateGrant Encrypt", "Encrypt", equal(one), &kms.GrantConstraints{}, false},
		{"CreateGrant Encrypt", "CreateGrant", equal(one), nil, false},
		{"CreateGrant Encrypt", "Encrypt", equal(one), equal(one), true},
		{"CreateGrant Encrypt", "Encrypt", equal(one), equal(two), false},
		{"CreateGrant Encrypt", "Encrypt", equal(two), equal(one), false},
		{"CreateGrant Encrypt", "Encrypt", equal(one), subset(one), false},
		{"CreateGrant Encrypt", "Encrypt", subset(one), nil, false},
		{"CreateGrant Encrypt", "Encrypt", subset(one), subset(one), true},
		{"CreateGrant Encrypt", "Encrypt", subset(one), subset(two), true},
		{"CreateGrant Encrypt", "Encrypt", subset(two), subset(one), false},
		{"CreateGrant Encrypt", "Encrypt", subset(one), subset(other), false},
		{"CreateGrant Encrypt", "Encrypt", subset(one), equal(one), true},
		{"CreateGrant Encrypt", "Encrypt", subset(one), equal(two), true},
		{"CreateGrant Encrypt", "Encrypt", subset(two), equal(one), false},
		{"CreateGrant Encrypt", "Encrypt", subset(one), equal(other), false},
	} {
		key := w.CreateKey(w.alice)
		parent := w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: carlARN, Operations: ops(row.parent), Constraints: row.bound})
		answer, err := w.Do(carl, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: iamARN(aliceID, "user/cora"), Operations: ops(row.child), Constraints: row.asked})
		name := fmt.Sprintf("%s under %+v passes on %s under %+v", row.parent, row.bound, row.child, row.asked)
		want(t, name, err, map[bool]kms.Code{false: kms.CodeAccessDenied}[row.ok])
		if !row.ok {
			continue
		}
		// The child is a grant of its own: it outlives its parent.
		w.revoke(t, key, parent.GrantID)
		if left := w.grants(t, &kms.ListGrantsRequest{KeyID: key}); !slices.Equal(left, []string{answer.(*kms.CreateGrantAnswer).GrantID}) {
			t.Errorf("%s: left %v", name, left)
		}
	}
	// Two grants do not add up.
	key := w.CreateKey(w.alice)
	w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: carlARN, Operations: ops("CreateGrant Encrypt")})
	w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: carlARN, Operations: ops("CreateGrant Decrypt")})
	_, err := w.Do(carl, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: carlARN, Operations: ops("Encrypt Decrypt")})
	want(t, "two grants together", err, kms.CodeAccessDenied)
	_, err = w.Do(carl, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: carlARN, Operations: ops("Decrypt")})
	want(t, "the second one", err, "")
}

// What a grant allowed is not done when the grant ends before it is.
func TestGrantEndsUnderAChange(t *testing.T) {
	for name, code := range map[string]kms.Code{"revoked": kms.CodeAccessDenied, "touched": ""} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			second := w.Cluster.Node(servicetest.Options{})
			carl, key := w.member(t, w.alice, "carl", ""), w.CreateKey(w.alice)
			q := &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: iamARN(aliceID, "user/carl"), Operations: []kms.GrantOperation{"CreateGrant", "Encrypt"}}
			id := w.grant(t, q).GrantID
			w.Break(once(func() {
				if code == "" {
					w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Grant(aliceScope, key, id) }, func(any) {})
					return
				}
				_, err := second.Do(w.alice, kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: key, GrantID: id})
				want(t, "revoke", err, "")
			}))
			before := w.Counts().Proposals
			_, err := w.Do(carl, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: bobRoot, Operations: []kms.GrantOperation{"Encrypt"}})
			want(t, "create", err, code)
			if n := w.Counts().Proposals - before; code == "" && n != 2 || code != "" && n != 1 {
				t.Errorf("%d proposals", n)
			}
		})
	}
}

// A grant is retired by whom it names and by the accounts that have a say; to everybody else it is as if it was not.
func TestWhoRetiresGrants(t *testing.T) {
	w := newWorld(t, sessionOptions)
	const emilID = "444444444444"
	emil := w.CreateAccount(emilID)
	retires := permit("kms:RetireGrant", "*")
	people := map[string]doer{
		"alice":      w.as(w.alice),
		"bob":        w.as(w.bob),
		"emil":       w.as(emil),
		"carl":       w.as(w.member(t, w.alice, "carl", "")),
		"carl who":   w.as(w.member(t, w.alice, "carl-who", retires)),
		"carl not":   w.as(w.member(t, w.alice, "carl-not", rules(rule("Deny", "kms:RetireGrant", "*")))),
		"near":       w.played(t, w.alice, "near", ""),
		"near less":  w.played(t, w.alice, "near-less", "", permit("kms:None", "*")),
		"dora":       w.as(w.member(t, w.bob, "dora", "")),
		"dora who":   w.as(w.member(t, w.bob, "dora-who", retires)),
		"dora not":   w.as(w.member(t, w.bob, "dora-not", rules(rule("Allow", "kms:*", "*"), rule("Deny", "kms:RetireGrant", "*")))),
		"far":        w.played(t, w.bob, "far", ""),
		"emilia who": w.as(w.member(t, emil, "emilia", permit("kms:*", "*"))),
	}
	owners := []string{"alice", "carl who"} // of the key's account
	for _, row := range []struct {
		name, grantee, retiring string
		operations              []kms.GrantOperation
		by                      []string // beside the owners
	}{
		{"nobody is named", iamARN(bobID, "user/x"), "", []kms.GrantOperation{"Encrypt"}, nil},
		{"a grantee without RetireGrant", iamARN(bobID, "user/dora"), "", []kms.GrantOperation{"Encrypt"}, nil},
		{"a grantee", iamARN(bobID, "user/dora"), "", []kms.GrantOperation{"Encrypt", "RetireGrant"}, []string{"dora"}},
		{"a grantee of the account", iamARN(aliceID, "user/carl"), "", []kms.GrantOperation{"RetireGrant"}, []string{"carl"}},
		{"a grantee that is an account", bobRoot, "", []kms.GrantOperation{"RetireGrant"}, []string{"bob", "dora who"}},
		{"a retiring user", iamARN(bobID, "user/x"), iamARN(aliceID, "user/carl"), []kms.GrantOperation{"Encrypt"}, []string{"carl"}},
		{"a retiring user who is denied it", iamARN(bobID, "user/x"), iamARN(aliceID, "user/carl-not"), []kms.GrantOperation{"Encrypt"}, nil},
		{"a retiring user of another account", iamARN(bobID, "user/x"), iamARN(bobID, "user/dora"), []kms.GrantOperation{"Encrypt"}, []string{"dora"}},
		{"a retiring user of another account who is denied it", iamARN(bobID, "user/x"), iamARN(bobID, "user/dora-not"), []kms.GrantOperation{"Encrypt"}, nil},
		{"a retiring role", iamARN(bobID, "user/x"), iamARN(aliceID, "role/near"), []kms.GrantOperation{"Encrypt"}, []string{"near"}},
		{"a retiring role whose session has less", iamARN(bobID, "user/x"), iamARN(aliceID, "role/near-less"), []kms.GrantOperation{"Encrypt"}, nil},
		{"a retiring role of another account", iamARN(bobID, "user/x"), iamARN(bobID, "role/far"), []kms.GrantOperation{"Encrypt"}, []string{"far"}},
		{"a retiring account", iamARN(emilID, "user/x"), bobRoot, []kms.GrantOperation{"Encrypt"}, []string{"bob", "dora who"}},
		{"the retiring account is the key's", iamARN(emilID, "user/x"), aliceRoot, []kms.GrantOperation{"Encrypt"}, nil},
	} {
		for who, do := range people {
			may := slices.Contains(row.by, who) || slices.Contains(owners, who)
			key := w.CreateKey(w.alice)
			make := func() *kms.CreateGrantAnswer {
				return w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: row.grantee, RetiringPrincipal: row.retiring, Operations: row.operations})
			}
			g := make()
			name := row.name + ", by " + who
			_, byID := do(kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: keyARN(key), GrantID: g.GrantID})
			want(t, name, byID, map[bool]kms.Code{false: kms.CodeAccessDenied}[may])
			if may {
				if left := w.grants(t, &kms.ListGrantsRequest{KeyID: key}); len(left) != 0 {
					t.Errorf("%s: left %v", name, left)
				}
				g = make()
			}
			_, byToken := do(kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: g.GrantToken})
			want(t, name+" by token", byToken, map[bool]kms.Code{false: kms.CodeAccessDenied}[may])
			if may {
				continue
			}
			// In the words of a grant, and of a key, that is not there.
			nothing, nowhere := strings.Repeat("0", 64), "00000000-0000-4000-8000-000000000001"
			_, missing := do(kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: keyARN(key), GrantID: nothing})
			_, keyless := do(kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: keyARN(nowhere), GrantID: nothing})
			if missing == nil || missing.Error() != byID.Error() || keyless == nil || strings.ReplaceAll(keyless.Error(), nowhere, key) != byID.Error() {
				t.Errorf("%s: %v, without the grant %v, without the key %v", name, byID, missing, keyless)
			}
			if strings.Contains(byToken.Error(), key) || strings.Contains(byToken.Error(), aliceID) && !strings.Contains(byToken.Error(), "User: arn:aws:"+"iam::"+aliceID) && !strings.Contains(byToken.Error(), "User: arn:aws:sts::"+aliceID) {
				t.Errorf("%s: the refusal tells what the token hides: %v", name, byToken)
			}
			w.revoke(t, key, g.GrantID)
			_, ended := do(kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: g.GrantToken})
			if ended == nil || ended.Error() != byToken.Error() {
				t.Errorf("%s: by token %v, after its end %v", name, byToken, ended)
			}
		}
	}
}

// The root of the account that created a grant with another account's key may retire it, nobody else of that account.
func TestIssuersRetireGrants(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.repolice(t, key, delegating(lets(bobRoot, "kms:CreateGrant")))
	dora := w.member(t, w.bob, "dora", permit("kms:*", "*"))
	create := func() string {
		return w.must(t, dora, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: keyARN(key), GranteePrincipal: iamARN(bobID, "user/x"), Operations: []kms.GrantOperation{"Encrypt"}}).(*kms.CreateGrantAnswer).GrantID
	}
	id := create()
	_, err := w.Do(dora, kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: keyARN(key), GrantID: id})
	want(t, "who created it", err, kms.CodeAccessDenied)
	w.must(t, w.bob, kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: keyARN(key), GrantID: id})
	id = create()
	w.must(t, w.alice, kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: key, GrantID: id})
}

// A repeated retirement is answered to who made it, although the grant that allowed it is gone.
func TestRetirementIsRepeated(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	dora, carl, key := w.member(t, w.bob, "dora", ""), w.member(t, w.alice, "carl", ""), w.CreateKey(w.alice)
	for who, arn := range map[servicetest.Credentials]string{dora: iamARN(bobID, "user/dora"), carl: iamARN(aliceID, "user/carl")} {
		g := w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: bobRoot, RetiringPrincipal: arn, Operations: []kms.GrantOperation{"Encrypt"}})
		call := servicetest.Call(who, kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: g.GrantToken})
		call.IdempotencyKey = "id"
		for range 2 {
			_, err := w.Service.Do(t.Context(), call)
			want(t, arn, err, "")
		}
	}
	// A grant that a retiring principal loses its rights to while it retires it stays.
	g := w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: bobRoot, RetiringPrincipal: iamARN(aliceID, "user/carl"), Operations: []kms.GrantOperation{"Encrypt"}})
	second := w.Cluster.Node(servicetest.Options{})
	w.Break(once(func() {
		_, err := second.Do(w.alice, kms.OpPutUserPolicy, &kms.PutInlinePolicyRequest{Name: "carl", PolicyName: "p", PolicyDocument: rules(rule("Deny", "kms:RetireGrant", "*"))})
		want(t, "deny", err, "")
	}))
	_, err := w.Do(carl, kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: key, GrantID: g.GrantID})
	want(t, "denied meanwhile", err, kms.CodeAccessDenied)
}

// A grant token adds nothing to its grant; one that is none is refused before anything is told of the key.
func TestGrantTokensTellNothing(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carl, dora, key := w.member(t, w.alice, "carl", ""), w.member(t, w.bob, "dora", permit("kms:*", "*")), w.CreateKey(w.alice)
	other := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
	encrypt := func(who servicetest.Credentials, key string, tokens ...string) error {
		_, err := w.Do(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), GrantTokens: tokens})
		return err
	}
	g := w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: iamARN(aliceID, "user/carl"), Operations: []kms.GrantOperation{"Encrypt"}})
	want(t, "with its token", encrypt(carl, key, g.GrantToken), "")
	want(t, "without", encrypt(carl, key), "")
	want(t, "by alias", encrypt(carl, "alias/a", g.GrantToken), "")
	want(t, "another key", encrypt(carl, other, g.GrantToken), kms.CodeAccessDenied)
	want(t, "somebody else", encrypt(dora, keyARN(key), g.GrantToken), kms.CodeAccessDenied)
	blob := w.encrypt(t, w.alice, key, "p", nil)
	fake := underNameOf(t, blob, "00000000-0000-4000-8000-000000000001")
	for _, who := range []servicetest.Credentials{carl, dora, w.bob} {
		for _, name := range []string{key, keyARN(key), other, keyARN(other), "00000000-0000-4000-8000-000000000001", keyARN("00000000-0000-4000-8000-000000000001"),
			"alias/a", "alias/none", strings.Replace(keyARN("x"), "key/x", "alias/a", 1), strings.Replace(keyARN("x"), "key/x", "alias/none", 1)} {
			want(t, "a token that is none, "+name, encrypt(who, name, "00"), kms.CodeInvalidGrantToken)
		}
		for _, ciphertext := range [][]byte{blob, fake} {
			_, err := w.Do(who, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext, GrantTokens: []string{"00"}})
			want(t, "a token that is none, by ciphertext", err, kms.CodeInvalidGrantToken)
		}
	}
	w.revoke(t, key, g.GrantID)
	want(t, "with the token of a grant that ended", encrypt(carl, key, g.GrantToken), kms.CodeAccessDenied)
}
