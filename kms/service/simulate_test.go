package service_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func (w *world) simulates(t testing.TB, who servicetest.Credentials, q *kms.SimulateRequest) kms.Verdict {
	t.Helper()
	return w.must(t, who, kms.OpSimulatePrincipalPolicy, q).(*kms.SimulateAnswer).Verdict
}

// whoCan returns whom WhoCan names, read in pages.
func (w *world) whoCan(t testing.TB, q kms.WhoCanRequest) (names, others []string) {
	t.Helper()
	for range 100 {
		a := w.must(t, w.alice, kms.OpWhoCan, &q).(*kms.WhoCanAnswer)
		for _, v := range a.Allowed {
			names = append(names, v.PrincipalARN)
		}
		others = append(others, a.Others...)
		if q.Marker = a.NextMarker; q.Marker == "" {
			return names, others
		}
	}
	t.Fatal("the pages have no end")
	return nil, nil
}

// simulable are operations that change nothing, and how they are called.
var simulable = []*kms.Operation{kms.OpEncrypt, kms.OpDecrypt, kms.OpGenerateDataKey, kms.OpDescribeKey, kms.OpGetKeyPolicy, kms.OpListResourceTags, kms.OpListGrants}

// chance makes random small policies.
type chance struct{ *rand.Rand }

func (c chance) pick(all ...string) string { return all[c.IntN(len(all))] }

func (c chance) actions() string {
	return c.pick("kms:*", "kms:Encrypt", "kms:Decrypt kms:Encrypt", "kms:Generate* kms:Describe*", "kms:Get* kms:List*", "*", "kms:e?crypt")
}

func (c chance) condition() []string {
	return [][]string{nil, nil, nil,
		{`{"StringEquals":{"kms:KeySpec":"` + c.pick("SYMMETRIC_DEFAULT", "RSA_2048") + `"}}`},
		{`{"StringEquals":{"aws:ResourceTag/Team":"` + c.pick("blue", "red") + `"}}`},
		{`{"StringEquals":{"aws:PrincipalTag/Team":"` + c.pick("blue", "red") + `"}}`},
		{`{"ArnLike":{"aws:PrincipalArn":"*:` + c.pick("user", "role") + `/*"}}`},
	}[c.IntN(7)]
}

func (c chance) effect() string { return c.pick("Allow", "Allow", "Allow", "Deny") }

func (c chance) identity(key string) kms.PolicyDocument {
	var all []string
	for range 1 + c.IntN(3) {
		all = append(all, rule(c.effect(), c.actions(), c.pick("*", keyARN(key), keyARN("*"), keyARN("none")), c.condition()...))
	}
	return rules(all...)
}

func (c chance) key(principals []string) kms.PolicyDocument {
	var all []string
	if c.IntN(3) > 0 {
		all = append(all, lets(aliceRoot, c.actions()))
	}
	for range 1 + c.IntN(3) {
		all = append(all, about(c.effect(), c.pick(append(principals, aliceRoot, "*")...), c.actions(), c.condition()))
	}
	// Alice keeps what the test needs; her root is asked about too.
	return keyPolicy(append(all, lets(aliceRoot, "kms:PutKeyPolicy kms:CreateGrant kms:WhoCan", `{"StringEquals":{"aws:PrincipalType":"Account"}}`))...)
}

// What is simulated is what happens, and who can is who does: with random policies, boundaries and grants.
func TestSimulationsComeTrue(t *testing.T) {
	w := newWorld(t, sessionOptions)
	c := chance{rand.New(rand.NewPCG(1, 2))}
	arns := []string{aliceRoot, iamARN(aliceID, "user/carl"), iamARN(aliceID, "user/cora"), iamARN(aliceID, "role/role")}
	people := map[string]doer{
		arns[0]: w.as(w.alice), arns[1]: w.as(w.member(t, w.alice, "carl", "")), arns[2]: w.as(w.member(t, w.alice, "cora", "")),
		arns[3]: w.played(t, w.alice, "role", ""),
	}
	w.must(t, w.alice, kms.OpTagUser, &kms.TagIdentityRequest{Name: "carl", Tags: map[string]string{"Team": "blue"}})
	w.must(t, w.alice, kms.OpTagRole, &kms.TagIdentityRequest{Name: "role", Tags: map[string]string{"Team": "red"}})
	bound := w.publish(t, "bound", permit("kms:Encrypt kms:Get*", "*"))
	blob := w.encrypt(t, w.alice, w.CreateKey(w.alice), message, nil)
	seen := map[string]int{}
	for round := range 60 {
		key := w.make(t, w.alice, &kms.CreateKeyRequest{Tags: map[string]string{"Team": c.pick("blue", "red")}}).KeyID
		w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", c.identity(key))
		w.inline(t, w.alice, kms.OpPutRolePolicy, "role", c.identity(key))
		if c.IntN(2) == 0 {
			w.must(t, w.alice, kms.OpPutUserPermissionsBoundary, &kms.PutBoundaryRequest{Name: "carl", PermissionsBoundary: bound})
			w.must(t, w.alice, kms.OpPutRolePermissionsBoundary, &kms.PutBoundaryRequest{Name: "role", PermissionsBoundary: bound})
		} else {
			w.must(t, w.alice, kms.OpDeleteUserPermissionsBoundary, &kms.IdentityRequest{Name: "carl"})
			w.must(t, w.alice, kms.OpDeleteRolePermissionsBoundary, &kms.IdentityRequest{Name: "role"})
		}
		own := c.key(arns[1:])
		w.repolice(t, key, own)
		for range c.IntN(2) {
			w.must(t, w.alice, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: c.pick(arns...), Operations: []kms.GrantOperation{"Encrypt", "DescribeKey"}})
		}
		// What is simulated is about the key whatever the caller may with it: the operator asks as the policies are.
		for _, op := range simulable {
			var can []string
			for _, arn := range arns {
				request := rights[op].request(&topic{name: key, ciphertext: blob})
				if q, ok := request.(*kms.DecryptRequest); ok {
					q.KeyID = key
				}
				_, err := people[arn](op, request)
				code := kms.CodeOf(err)
				if code != "" && code != kms.CodeAccessDenied && code != kms.CodeIncorrectKey {
					t.Fatalf("%s by %s: %v", op.Name, arn, err)
				}
				if code != kms.CodeAccessDenied {
					can = append(can, arn)
				}
			}
			q := kms.WhoCanRequest{KeyID: key, Action: c.pick(op.Action, strings.ToLower(op.Action)), Limit: 1 + c.IntN(5)}
			if _, err := w.Do(w.alice, kms.OpWhoCan, &q); kms.CodeOf(err) == kms.CodeAccessDenied {
				continue // denied by the random policy
			}
			names, _ := w.whoCan(t, q)
			known := func(arn string) bool { return !slices.Contains(arns, arn) }
			names = slices.DeleteFunc(names, known)
			slices.Sort(names)
			slices.Sort(can)
			if !slices.Equal(names, can) {
				t.Errorf("round %d: %s is said to be for %v, is for %v, with %s", round, op.Action, names, can, own)
			}
			for _, arn := range arns {
				s := &kms.SimulateRequest{PrincipalARN: arn, Action: op.Action, Resource: key}
				answer, err := w.Do(w.alice, kms.OpSimulatePrincipalPolicy, s)
				if kms.CodeOf(err) == kms.CodeAccessDenied {
					continue // the random policy does not let her read it
				}
				want(t, "simulate", err, "")
				v := answer.(*kms.SimulateAnswer).Verdict
				seen[v.Decision+" "+v.Source]++
				if (v.Decision == "allowed") != slices.Contains(can, arn) {
					t.Errorf("round %d: %s by %s: %+v, but they are %v, with %s", round, op.Action, arn, v, can, own)
				}
			}
		}
	}
	for _, kind := range []string{"allowed key policy", "allowed identity policy", "allowed grant", "explicitDeny key policy", "explicitDeny identity policy", "implicitDeny permissions boundary", "implicitDeny identity policy", "implicitDeny"} {
		if seen[strings.TrimSpace(kind)]+seen[kind+" "] == 0 {
			t.Errorf("no verdict was %q: %v", kind, seen)
		}
	}
}

// A verdict names the policy and statement that decided.
func TestVerdictsNameTheirStatement(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carlARN, key := iamARN(aliceID, "user/carl"), w.CreateKey(w.alice)
	w.member(t, w.alice, "carl", rules(rule("Allow", "kms:None", "*"), strings.Replace(rule("Allow", "kms:Encrypt", "*"), "{", `{"Sid":"Uses",`, 1)))
	attached := w.publish(t, "attached", rules(rule("Deny", "kms:Sign", "*")))
	w.must(t, w.alice, kms.OpAttachUserPolicy, &kms.AttachPolicyRequest{Name: "carl", PolicyARN: attached})
	w.gather(t, "staff", permit("kms:Verify", "*"), "carl")
	w.repolice(t, key, delegating(strings.Replace(lets(carlARN, "kms:Decrypt"), "{", `{"Sid":"Opens",`, 1), bars(carlARN, "kms:DisableKey")))
	grant := w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: carlARN, Operations: []kms.GrantOperation{"GenerateDataKey"}}).GrantID
	for _, row := range []struct {
		action, resource, decision, source, policy, sid string
		statement                                       int // -1: none
		grant                                           string
	}{
		{"kms:Encrypt", key, "allowed", "identity policy", carlARN + " p", "Uses", 1, ""},
		{"kms:Encrypt", keyARN(key), "allowed", "identity policy", carlARN + " p", "Uses", 1, ""},
		{"kms:Decrypt", key, "allowed", "key policy", keyARN(key), "Opens", 1, ""},
		{"KMS:decrypt", key, "allowed", "key policy", keyARN(key), "Opens", 1, ""},
		{"kms:DisableKey", key, "explicitDeny", "key policy", keyARN(key), "", 2, ""},
		{"kms:Sign", key, "explicitDeny", "identity policy", attached, "", 0, ""},
		{"kms:Verify", key, "allowed", "identity policy", iamARN(aliceID, "group/staff") + " p", "", 0, ""},
		{"kms:GenerateDataKey", key, "allowed", "grant", "", "", -1, grant},
		{"kms:generatedatakey", key, "allowed", "grant", "", "", -1, grant},
		{"kms:EnableKey", key, "implicitDeny", "identity policy", "", "", -1, ""},
		{"kms:ListKeys", "", "implicitDeny", "identity policy", "", "", -1, ""},
		{"iam:GetUser", carlARN, "implicitDeny", "identity policy", "", "", -1, ""},
	} {
		v := w.simulates(t, w.alice, &kms.SimulateRequest{PrincipalARN: carlARN, Action: row.action, Resource: row.resource})
		number := -1
		if v.Statement != nil {
			number = *v.Statement
		}
		if row.decision == "implicitDeny" { // of which policy was silent nothing is promised but the decision
			number, v.PolicyID, v.StatementID = row.statement, row.policy, row.sid
		}
		if v.Decision != row.decision || v.Source != row.source || v.PolicyID != row.policy || v.StatementID != row.sid || number != row.statement || v.GrantID != row.grant || v.Reason == "" || v.PrincipalARN != carlARN {
			t.Errorf("%s of %s: %+v", row.action, row.resource, v)
		}
	}
	if v := w.simulates(t, w.alice, &kms.SimulateRequest{PrincipalARN: aliceRoot, Action: "lockstep:Seal"}); v.Decision == "allowed" {
		t.Errorf("a tenant may seal: %+v", v)
	}
}

// A simulation has the condition keys that it is given, those of principal and key, and none of the request that asks.
func TestSimulatedContext(t *testing.T) {
	w := newWorld(t, sessionOptions)
	carlARN, key := iamARN(aliceID, "user/carl"), w.CreateKey(w.alice)
	w.member(t, w.alice, "carl", "")
	w.played(t, w.alice, "role", "")
	for _, row := range []struct {
		condition string
		given     map[string][]string
		ok        bool
	}{
		{`{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`, nil, false}, // the address of who asks
		{`{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`, map[string][]string{"AWS:sourceip": {"192.0.2.9"}}, true},
		{`{"Null":{"aws:UserAgent":"true","aws:SecureTransport":"true"}}`, nil, true},
		{`{"StringEquals":{"kms:EncryptionContext:App":"shop"}}`, nil, false},
		{`{"StringEquals":{"kms:EncryptionContext:App":"shop"}}`, map[string][]string{"kms:EncryptionContext:App": {"shop"}}, true},
		{`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["App"]},"Null":{"kms:EncryptionContextKeys":"false"}}`, map[string][]string{"kms:EncryptionContext:App": {"shop"}}, true},
		{`{"StringEquals":{"aws:RequestTag/a":"b"}}`, map[string][]string{"aws:RequestTag/a": {"b"}}, true},
		{`{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]},"Null":{"aws:TagKeys":"false"}}`, map[string][]string{"aws:TagKeys": {"a", "b"}}, true},
		{`{"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}}`, map[string][]string{"aws:TagKeys": {"a", "b"}}, false},
		{`{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT","aws:ResourceAccount":"` + aliceID + `","aws:RequestedRegion":"us-east-1"}}`, nil, true},
		{`{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, nil, true},
	} {
		for _, who := range []string{"user/carl", "role/role"} {
			op := map[string]*kms.Operation{"user/carl": kms.OpPutUserPolicy, "role/role": kms.OpPutRolePolicy}[who]
			w.inline(t, w.alice, op, who[5:], permit("kms:Encrypt", "*", row.condition))
			v := w.simulates(t, w.alice, &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, who), Action: "kms:Encrypt", Resource: key, Context: row.given})
			if (v.Decision == "allowed") != row.ok {
				t.Errorf("%s of %s with %v: %+v", row.condition, who, row.given, v)
			}
		}
	}
	// The session that a role is simulated by was issued now.
	w.inline(t, w.alice, kms.OpPutRolePolicy, "role", rules(rule("Allow", "kms:*", "*"), rule("Deny", "*", "*", `{"DateLessThan":{"aws:TokenIssueTime":"2020-01-01T00:00:00Z"}}`)))
	if v := w.simulates(t, w.alice, &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "role/role"), Action: "kms:Encrypt", Resource: key}); v.Decision != "allowed" {
		t.Errorf("a new session: %+v", v)
	}
	// Constraints of grants see the encryption context too, and days without use count for what has them.
	w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", permit("kms:DisableKey", "*", `{"NumericLessThan":{"kms:TrailingDaysWithoutKeyUsage":"1"}}`))
	w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: carlARN, Operations: []kms.GrantOperation{"Decrypt"}, Constraints: &kms.GrantConstraints{EncryptionContextEquals: map[string]string{"App": "shop"}}})
	for _, row := range []struct {
		action, value, decision string
	}{{"kms:Decrypt", "shop", "allowed"}, {"kms:Decrypt", "bank", "implicitDeny"}, {"kms:disablekey", "", "allowed"}} {
		v := w.simulates(t, w.alice, &kms.SimulateRequest{PrincipalARN: carlARN, Action: row.action, Resource: key, Context: map[string][]string{"kms:EncryptionContext:App": {row.value}}})
		if v.Decision != row.decision {
			t.Errorf("%+v: %+v", row, v)
		}
	}
}

// Who asks needs the rights to: for a principal, and for the key whose policy the answer tells of.
func TestRightsToSimulate(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, theirs := w.CreateKey(w.alice), w.CreateKey(w.bob)
	w.member(t, w.alice, "cora", "")
	carl := w.member(t, w.alice, "carl", "")
	simulate, who := "iam:SimulatePrincipalPolicy", "kms:WhoCan"
	bobs := "arn:aws:kms:us-east-1:" + bobID + ":key/" + theirs
	for _, row := range []struct {
		name     string
		identity kms.PolicyDocument
		q        any
		code     kms.Code
	}{
		{"none", permit("kms:GetKeyPolicy "+who, "*"), &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "user/cora"), Action: "kms:Encrypt", Resource: key}, kms.CodeAccessDenied},
		{"both", permit("kms:GetKeyPolicy "+simulate, "*"), &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "user/cora"), Action: "kms:Encrypt", Resource: key}, ""},
		{"not the key", permit(simulate, "*"), &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "user/cora"), Action: "kms:Encrypt", Resource: key}, kms.CodeAccessDenied},
		{"no key", permit(simulate, "*"), &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "user/cora"), Action: "kms:ListKeys"}, ""},
		{"another principal", permit("kms:GetKeyPolicy "+simulate, iamARN(aliceID, "user/carl")+" "+keyARN(key)), &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "user/cora"), Action: "kms:Encrypt", Resource: key}, kms.CodeAccessDenied},
		{"nobody, without rights", permit("kms:None", "*"), &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "user/nobody"), Action: "kms:Encrypt"}, kms.CodeAccessDenied},
		{"nobody", permit(simulate, "*"), &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "user/nobody"), Action: "kms:Encrypt"}, kms.CodeNotFound},
		{"of another account", permit("kms:* iam:*", "*"), &kms.SimulateRequest{PrincipalARN: bobRoot, Action: "kms:Encrypt"}, kms.CodeNotFound},
		{"a key of another account", permit("kms:* iam:*", "*"), &kms.SimulateRequest{PrincipalARN: aliceRoot, Action: "kms:Encrypt", Resource: bobs}, kms.CodeAccessDenied},
		{"no action", permit("kms:* iam:*", "*"), &kms.SimulateRequest{PrincipalARN: aliceRoot, Action: "Encrypt"}, kms.CodeValidation},
		{"no key of that name", permit("kms:* iam:*", "*"), &kms.SimulateRequest{PrincipalARN: aliceRoot, Action: "kms:Encrypt", Resource: "alias/none"}, kms.CodeNotFound},

		{"who, none", permit("kms:GetKeyPolicy", "*"), &kms.WhoCanRequest{KeyID: key, Action: "kms:Encrypt"}, kms.CodeAccessDenied},
		{"who, not the key", permit(simulate, "*"), &kms.WhoCanRequest{KeyID: key, Action: "kms:Encrypt"}, kms.CodeAccessDenied},
		{"who, not everybody", permit(simulate+" "+who, iamARN(aliceID, "user/*")+" "+keyARN(key)), &kms.WhoCanRequest{KeyID: key, Action: "kms:Encrypt"}, kms.CodeAccessDenied},
		{"who, both", permit(simulate+" "+who, "*"), &kms.WhoCanRequest{KeyID: key, Action: "kms:Encrypt"}, ""},
		{"who, of another account", permit("kms:* iam:*", "*"), &kms.WhoCanRequest{KeyID: bobs, Action: "kms:Encrypt"}, kms.CodeAccessDenied},
		{"who, limit", permit("kms:* iam:*", "*"), &kms.WhoCanRequest{KeyID: key, Action: "kms:Encrypt", Limit: 1001}, kms.CodeValidation},
		{"who, marker", permit("kms:* iam:*", "*"), &kms.WhoCanRequest{KeyID: key, Action: "kms:Encrypt", Marker: "x"}, kms.CodeInvalidMarker},
	} {
		w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", row.identity)
		op := kms.OpSimulatePrincipalPolicy
		if _, ok := row.q.(*kms.WhoCanRequest); ok {
			op = kms.OpWhoCan
		}
		_, err := w.Do(carl, op, row.q)
		want(t, row.name, err, row.code)
	}
}

// WhoCan looks at everybody of the account once, whatever the pages, and names the others that the key's policy and
// grants do.
func TestWhoCanPages(t *testing.T) {
	w := newWorld(t, sessionOptions)
	key := w.CreateKey(w.alice)
	expected := []string{aliceRoot}
	for i := range 12 {
		name := fmt.Sprintf("user-%02d", i)
		w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: name})
		if i%3 == 0 {
			w.inline(t, w.alice, kms.OpPutUserPolicy, name, permit("kms:Encrypt", "*"))
			expected = append(expected, iamARN(aliceID, "user/"+name))
		}
	}
	w.gather(t, "group", permit("kms:Encrypt", "*"), "user-01")
	w.played(t, w.alice, "role", permit("kms:Encrypt", "*"))
	expected = append(expected, iamARN(aliceID, "user/user-01"), iamARN(aliceID, "role/role"))
	slices.Sort(expected)
	doraARN := iamARN(bobID, "user/dora")
	w.repolice(t, key, delegating(lets(bobRoot, "kms:Decrypt")))
	w.grant(t, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: doraARN, Operations: []kms.GrantOperation{"Encrypt"}})
	for _, limit := range []int{0, 1, 2, 5, 100} {
		names, others := w.whoCan(t, kms.WhoCanRequest{KeyID: key, Action: "kms:Encrypt", Limit: limit})
		slices.Sort(names)
		if !slices.Equal(names, expected) {
			t.Errorf("in pages of %d: %v, want %v", limit, names, expected)
		}
		if !slices.Equal(others, []string{bobRoot, doraARN}) {
			t.Errorf("in pages of %d the others are %v", limit, others)
		}
	}
}
