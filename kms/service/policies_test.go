package service_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// lets is a statement of a key policy, bars one that denies. Principals and actions are separated by blanks; a condition
// is the text of the Condition element.
func lets(principals, actions string, condition ...string) string {
	return about("Allow", principals, actions, condition)
}

func bars(principals, actions string, condition ...string) string {
	return about("Deny", principals, actions, condition)
}

func about(effect, principals, actions string, condition []string) string {
	list := func(all string) string { return `["` + strings.Join(strings.Fields(all), `","`) + `"]` }
	text := `{"Effect":"` + effect + `","Principal":{"AWS":` + list(principals) + `},"Action":` + list(actions) + `,"Resource":"*"`
	for _, c := range condition {
		text += `,"Condition":` + c
	}
	return text + "}"
}

func keyPolicy(statements ...string) kms.PolicyDocument {
	return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
}

// delegating is a key policy that gives alice's account everything, beside other statements.
func delegating(statements ...string) kms.PolicyDocument {
	return keyPolicy(append([]string{lets(aliceRoot, "kms:*")}, statements...)...)
}

func keyARN(id string) string {
	return "arn:aws:kms:" + firstRegion + ":" + aliceID + ":key/" + id
}

// as returns who calls the first node with an access key.
func (w *world) as(who servicetest.Credentials) doer {
	return func(op *kms.Operation, request any) (any, error) { return w.Do(who, op, request) }
}

// member makes a user with an access key in the account of owner and, unless it is "", an inline policy.
func (w *world) member(t testing.TB, owner servicetest.Credentials, name string, document kms.PolicyDocument) servicetest.Credentials {
	t.Helper()
	w.must(t, owner, kms.OpCreateUser, &kms.CreateUserRequest{Name: name})
	w.inline(t, owner, kms.OpPutUserPolicy, name, document)
	a := w.must(t, owner, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: name}).(*kms.AccessKeyAnswer)
	return servicetest.Credentials{AccessKeyID: a.AccessKey.AccessKeyID, Secret: string(a.SecretAccessKey)}
}

func (w *world) inline(t testing.TB, owner servicetest.Credentials, op *kms.Operation, name string, document kms.PolicyDocument) {
	t.Helper()
	if document != "" {
		w.must(t, owner, op, &kms.PutInlinePolicyRequest{Name: name, PolicyName: "p", PolicyDocument: document})
	}
}

// sessionOptions are those of a world in which sessions are valid: they are issued in log time.
var sessionOptions = servicetest.Options{Regions: twoRegions.Regions, Now: func() time.Time { return time.UnixMilli(servicetest.Epoch) }}

// played makes a role in the account of owner, which everyone of the account may assume, and returns a session of it.
func (w *world) played(t testing.TB, owner servicetest.Credentials, name string, document kms.PolicyDocument, limits ...kms.PolicyDocument) doer {
	t.Helper()
	account := w.accountOf(owner)
	w.must(t, owner, kms.OpCreateRole, &kms.CreateRoleRequest{Name: name, AssumeRolePolicyDocument: trusting(iamARN(account, "root"))})
	w.inline(t, owner, kms.OpPutRolePolicy, name, document)
	actor := w.member(t, owner, name+"-actor", permit("sts:AssumeRole", "*"))
	q := &kms.AssumeRoleRequest{RoleARN: iamARN(account, "role/"+name), RoleSessionName: "session"}
	for _, one := range limits {
		q.Policy = one
	}
	a := w.must(t, actor, kms.OpAssumeRole, q).(*kms.SessionAnswer)
	return func(op *kms.Operation, request any) (any, error) {
		call := servicetest.Call(servicetest.Credentials{}, op, request)
		call.Auth.Header = http.Header{"Authorization": {"Bearer " + string(a.SessionToken)}}
		result, err := w.Service.Do(context.Background(), call)
		if err != nil {
			return nil, err
		}
		return result.Answer, nil
	}
}

func (w *world) repolice(t testing.TB, key string, document kms.PolicyDocument) {
	t.Helper()
	w.must(t, w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: document, BypassPolicyLockoutSafetyCheck: true})
}

func (do doer) policy(t testing.TB, key string) string {
	t.Helper()
	return do.must(t, kms.OpGetKeyPolicy, &kms.KeyRequest{KeyID: key}).(*kms.GetKeyPolicyAnswer).Policy
}

func (w *world) policyRecords(t *testing.T) int {
	t.Helper()
	want(t, "catch up", w.CatchUp(t.Context()), "")
	return live(w, fsm.KindPolicy)
}

// A document is kept byte for byte, whatever makes or changes the key; the default one has no record.
func TestKeyPolicyIsKept(t *testing.T) {
	w := newWorld(t, twoRegions)
	second := w.Cluster.Node(twoRegions)
	first, there := w.in(firstRegion), w.in(secondRegion)
	own := kms.PolicyDocument("\t{\"Version\" : \"2012-10-17\",\r\n \"Statement\": " + lets(aliceRoot, "kms:*") + " , \"Id\":\"é\"}\n\n")
	other := delegating(lets(bobRoot, "kms:Encrypt"))

	key := first.must(t, kms.OpCreateKey, &kms.CreateKeyRequest{Policy: own, MultiRegion: true}).(*kms.KeyAnswer).Key.KeyID
	if got := first.policy(t, key); got != string(own) {
		t.Errorf("made with %q, has %q", own, got)
	}
	a := first.must(t, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion, Policy: other}).(*kms.ReplicateKeyAnswer)
	if got := there.policy(t, key); got != string(other) || a.Policy != got {
		t.Errorf("replicated with %q, has %q, answered %q", other, got, a.Policy)
	}
	if got := first.policy(t, key); got != string(own) {
		t.Errorf("the replica's policy came to the primary key: %q", got)
	}
	put := first.must(t, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: other, PolicyName: "default"}).(*kms.GetKeyPolicyAnswer)
	if put.Policy != string(other) || first.policy(t, key) != put.Policy || put.PolicyName != "default" || put.KeyID != keyARN(key) {
		t.Errorf("put %+v", put)
	}
	if n := w.policyRecords(t); n != 2 {
		t.Errorf("%d policy records for two policies", n)
	}
	got, err := second.Do(w.alice, kms.OpGetKeyPolicy, &kms.KeyRequest{KeyID: key})
	want(t, "another node", err, "")
	if got.(*kms.GetKeyPolicyAnswer).Policy != string(other) {
		t.Errorf("another node has %+v", got)
	}
	for _, do := range []doer{first, there} {
		do.must(t, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: defaultPolicy(aliceID)})
		if got := do.policy(t, key); got != string(defaultPolicy(aliceID)) {
			t.Errorf("back to the default it is %s", got)
		}
	}
	plain := first.must(t, kms.OpCreateKey, &kms.CreateKeyRequest{}).(*kms.KeyAnswer).Key.KeyID
	if got := first.policy(t, plain); got != string(defaultPolicy(aliceID)) {
		t.Errorf("without a policy it is %s", got)
	}
	if n := w.policyRecords(t); n != 0 {
		t.Errorf("%d policy records for default policies", n)
	}
}

// What is no key policy is refused, with its place, by everything that takes one.
func TestKeyPolicyIsRefused(t *testing.T) {
	w := newWorld(t, twoRegions)
	key := w.make(t, w.alice, regionalKey).KeyID
	of := func(size int) kms.PolicyDocument {
		d := string(delegating())
		return kms.PolicyDocument(d + strings.Repeat(" ", size-len(d)))
	}
	for _, row := range []struct {
		name     string
		document kms.PolicyDocument
		code     kms.Code
		words    string
	}{
		{"no JSON", "{\n  \"Version\": x", kms.CodeMalformedPolicy, "line 2, column 14"},
		{"an unknown element", "{\"Version\":\"2012-10-17\",\n\n \"Sentence\":[]}", kms.CodeMalformedPolicy, "line 3, column 2"},
		{"no principal", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`, kms.CodeMalformedPolicy, "line 1, column"},
		{"no resource", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*"}]}`, kms.CodeMalformedPolicy, "line 1, column"},
		{"no principal's ARN", keyPolicy(lets("alice", "kms:*")), kms.CodeMalformedPolicy, "line 1, column"},
		{"an unknown operator", delegating(lets(bobRoot, "kms:*", `{"Equals":{"a":"b"}}`)), kms.CodeMalformedPolicy, "line 1, column"},
		{"too long", of(32<<10 + 1), kms.CodeLimitExceeded, "32768"},
		{"longest", of(32 << 10), "", ""},
	} {
		for op, request := range map[*kms.Operation]any{
			kms.OpCreateKey:    &kms.CreateKeyRequest{Policy: row.document, BypassPolicyLockoutSafetyCheck: true},
			kms.OpPutKeyPolicy: &kms.PutKeyPolicyRequest{KeyID: key, Policy: row.document, BypassPolicyLockoutSafetyCheck: true},
			kms.OpReplicateKey: &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion, Policy: row.document, BypassPolicyLockoutSafetyCheck: true},
		} {
			before := w.Counts().Proposals
			_, err := w.Do(w.alice, op, request)
			want(t, op.Name+", "+row.name, err, row.code)
			if err != nil && (!strings.Contains(err.Error(), row.words) || w.Counts().Proposals != before) {
				t.Errorf("%s, %s: %v", op.Name, row.name, err)
			}
		}
	}
	for _, q := range []*kms.PutKeyPolicyRequest{{KeyID: key}, {KeyID: key, Policy: delegating(), PolicyName: "other"}} {
		if _, err := w.Do(w.alice, kms.OpPutKeyPolicy, q); err == nil {
			t.Errorf("%+v is taken", q)
		}
	}
}

// A policy that neither the caller nor the account's root could change again is refused, unless that is asked for.
func TestLockoutSafetyCheck(t *testing.T) {
	w := newWorld(t, twoRegions)
	carl := w.member(t, w.alice, "carl", permit("kms:*", "*"))
	carlARN := iamARN(aliceID, "user/carl")
	for _, row := range []struct {
		name     string
		who      servicetest.Credentials
		document kms.PolicyDocument
		kept     bool
	}{
		{"the account keeps it", carl, keyPolicy(lets(aliceRoot, "kms:PutKeyPolicy")), true},
		{"the account is everyone", w.alice, keyPolicy(lets("*", "kms:*")), true},
		{"only the caller keeps it", carl, keyPolicy(lets(carlARN, "kms:PutKeyPolicy")), true},
		{"another user keeps it", w.alice, keyPolicy(lets(carlARN, "kms:PutKeyPolicy")), false},
		{"the root that calls keeps it", w.alice, keyPolicy(lets(aliceID, "kms:Put*")), true},
		{"nobody", w.alice, keyPolicy(lets(aliceRoot, "kms:Encrypt")), false},
		{"another account", w.alice, keyPolicy(lets(bobRoot, "kms:*")), false},
		{"a Deny for all", w.alice, delegating(bars("*", "kms:PutKeyPolicy")), false},
		{"a Deny for the caller", carl, delegating(bars(carlARN, "kms:PutKeyPolicy")), true},
		{"a condition that does not hold", w.alice, keyPolicy(lets(aliceRoot, "kms:*", `{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}}`)), false},
		{"a condition that holds", w.alice, keyPolicy(lets(aliceRoot, "kms:*", `{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT"}}`)), true},
		{"a condition on what has no days", w.alice, keyPolicy(lets(aliceRoot, "kms:*", `{"NumericGreaterThanEquals":{"kms:TrailingDaysWithoutKeyUsage":"0"}}`)), false},
	} {
		key := w.make(t, w.alice, regionalKey).KeyID
		for _, bypass := range []bool{false, true} {
			code := kms.Code("")
			if !row.kept && !bypass {
				code = kms.CodeMalformedPolicy
			}
			name := fmt.Sprintf("%s, bypass %t", row.name, bypass)
			_, err := w.Do(row.who, kms.OpCreateKey, &kms.CreateKeyRequest{Policy: row.document, BypassPolicyLockoutSafetyCheck: bypass})
			want(t, "create: "+name, err, code)
			again := w.make(t, w.alice, regionalKey).KeyID
			_, err = w.Do(row.who, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: again, ReplicaRegion: secondRegion, Policy: row.document, BypassPolicyLockoutSafetyCheck: bypass})
			want(t, "replicate: "+name, err, code)
		}
		_, err := w.Do(row.who, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: row.document})
		want(t, "put: "+row.name, err, map[bool]kms.Code{false: kms.CodeMalformedPolicy}[row.kept])
	}
	// What it says of the key's aliases is asked of the key that has them.
	key := w.CreateKey(w.alice)
	named := keyPolicy(lets(aliceRoot, "kms:*", `{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/named"}}`))
	_, err := w.Do(w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: named})
	want(t, "without the alias", err, kms.CodeMalformedPolicy)
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/named", TargetKeyID: key})
	w.must(t, w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: named})
}

// Who of the own account is not there cannot be named; of other accounts nothing is told.
func TestPrincipalsOfKeyPolicies(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "carl", Path: "/a/"})
	w.must(t, w.alice, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "role", AssumeRolePolicyDocument: trusting(aliceRoot)})
	w.must(t, w.bob, kms.OpCreateUser, &kms.CreateUserRequest{Name: "dora"})
	key := w.CreateKey(w.alice)
	for principal, code := range map[string]kms.Code{
		aliceRoot: "", aliceID: "", "*": "",
		iamARN(aliceID, "user/a/carl"):   "",
		iamARN(aliceID, "role/role"):     "",
		iamARN(aliceID, "user/carl"):     kms.CodeMalformedPolicy,
		iamARN(aliceID, "user/a/CARL"):   kms.CodeMalformedPolicy,
		iamARN(aliceID, "user/a/dora"):   kms.CodeMalformedPolicy,
		iamARN(aliceID, "role/carl"):     kms.CodeMalformedPolicy,
		iamARN(aliceID, "role/a/role"):   kms.CodeMalformedPolicy,
		iamARN(bobID, "user/dora"):       "",
		iamARN(bobID, "user/nobody"):     "",
		iamARN("999999999999", "root"):   "",
		iamARN("999999999999", "user/x"): "",
	} {
		_, err := w.Do(w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: delegating(lets(principal, "kms:Encrypt"))})
		want(t, principal, err, code)
		if err != nil && !strings.Contains(err.Error(), principal) {
			t.Errorf("%s is not named: %v", principal, err)
		}
	}
}

// A key policy and identity policies decide together, on every node.
func TestKeyPolicyAndIdentityPolicies(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	second := w.Cluster.Node(servicetest.Options{})
	carlARN, key := iamARN(aliceID, "user/carl"), w.CreateKey(w.alice)
	carl := w.member(t, w.alice, "carl", "")
	for _, row := range []struct {
		name          string
		key, identity kms.PolicyDocument // "" is the default one, or none
		user, root    bool               // whether they may
	}{
		{"default policy alone", "", "", false, true},
		{"default policy and identity policy", "", permit("kms:Encrypt", "*"), true, true},
		{"another action", "", permit("kms:Decrypt", "*"), false, true},
		{"another resource", "", permit("kms:*", keyARN("00000000-0000-4000-8000-000000000001")), false, true},
		{"its resource", "", permit("kms:*", keyARN(key)), true, true},
		{"key policy names the user", delegating(lets(carlARN, "kms:Encrypt")), "", true, true},
		{"key policy names the user alone", keyPolicy(lets(carlARN, "kms:Encrypt")), "", true, false},
		{"no delegation", keyPolicy(lets(aliceRoot, "kms:PutKeyPolicy")), permit("kms:*", "*"), false, false},
		{"everyone", keyPolicy(lets("*", "kms:Encrypt")), "", true, true},
		{"key policy denies", delegating(bars(carlARN, "kms:Encrypt")), permit("kms:*", "*"), false, true},
		{"key policy allows and denies", delegating(lets(carlARN, "kms:*"), bars("*", "kms:Encrypt")), "", false, false},
		{"identity policy denies", delegating(lets(carlARN, "kms:Encrypt")), rules(rule("Allow", "kms:*", "*"), rule("Deny", "kms:Encrypt", "*")), false, true},
		{"key policy of another resource", keyPolicy(strings.Replace(lets(carlARN, "kms:*"), `"Resource":"*"`, `"Resource":"`+keyARN("none")+`"`, 1)), "", false, false},
	} {
		document := row.key
		if document == "" {
			document = defaultPolicy(aliceID)
		}
		// The key's policy may shut everybody out: the next row has a key of its own then.
		w.repolice(t, key, delegating())
		w.repolice(t, key, document)
		w.must(t, w.alice, kms.OpPutUserPolicy, &kms.PutInlinePolicyRequest{Name: "carl", PolicyName: "p", PolicyDocument: permit("iam:None", "*")})
		w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", row.identity)
		caughtUp(t, w.Node, second)
		for _, n := range []*servicetest.Node{w.Node, second} {
			want(t, row.name+", user", uses(n, carl, key), map[bool]kms.Code{false: kms.CodeAccessDenied}[row.user])
			want(t, row.name+", root", uses(n, w.alice, key), map[bool]kms.Code{false: kms.CodeAccessDenied}[row.root])
		}
		if _, err := w.Do(w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: defaultPolicy(aliceID)}); err != nil {
			key = w.CreateKey(w.alice)
		}
	}
}

// A change that a policy allowed is not made when the policy is another by then.
func TestKeyPolicyChangesUnderAChange(t *testing.T) {
	carlARN := iamARN(aliceID, "user/carl")
	with, without := delegating(lets(carlARN, "kms:UpdateKeyDescription")), delegating()
	for name, row := range map[string]struct {
		before, after kms.PolicyDocument
		code          kms.Code
	}{
		"own to own":              {with, without, kms.CodeAccessDenied},
		"own to default":          {with, defaultPolicy(aliceID), kms.CodeAccessDenied},
		"own to one that lets it": {with, delegating(lets(carlARN, "kms:*")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			second := w.Cluster.Node(servicetest.Options{})
			carl, key := w.member(t, w.alice, "carl", ""), w.CreateKey(w.alice)
			w.repolice(t, key, row.before)
			policy := w.Catalog.View().IDs().Policy(aliceScope, key)
			w.Break(once(func() {
				if row.code == "" { // the policy's record alone: that of the key stays as it is
					w.touch(t, func(catalog.IDs) fsm.Ref { return policy }, func(body any) { body.(*kms.Policy).Document = string(row.after) })
					return
				}
				_, err := second.Do(w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: row.after})
				want(t, "put", err, "")
			}))
			before := w.Counts().Proposals
			_, err := w.Do(carl, kms.OpUpdateKeyDescription, &kms.UpdateKeyDescriptionRequest{KeyID: key, Description: "d"})
			want(t, "describe", err, row.code)
			if n := w.Counts().Proposals - before; row.code != "" && n != 1 || row.code == "" && n != 2 {
				t.Errorf("%d proposals", n)
			}
		})
	}
	// The record of the policy alone is guarded too, not only that of the key.
	w := newWorld(t, servicetest.Options{})
	carl, key := w.member(t, w.alice, "carl", ""), w.CreateKey(w.alice)
	w.repolice(t, key, with)
	w.Break(once(func() {
		w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Policy(aliceScope, key) }, func(body any) { body.(*kms.Policy).Document = string(without) })
	}))
	_, err := w.Do(carl, kms.OpUpdateKeyDescription, &kms.UpdateKeyDescriptionRequest{KeyID: key, Description: "d"})
	want(t, "the policy's record alone", err, kms.CodeAccessDenied)
}

// A repeated request is answered the policy that it wrote, not the one that came after it.
func TestKeyPolicyReplay(t *testing.T) {
	w := newWorld(t, twoRegions)
	second := w.Cluster.Node(twoRegions)
	key := w.make(t, w.alice, regionalKey).KeyID
	own, later := delegating(lets(bobRoot, "kms:Encrypt")), delegating(lets(bobRoot, "kms:Decrypt"))
	for name, row := range map[string]struct {
		op      *kms.Operation
		request any
		policy  kms.PolicyDocument
		region  string // of the key that gets another policy
	}{
		"put own":         {kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: own}, own, firstRegion},
		"put the default": {kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: defaultPolicy(aliceID)}, defaultPolicy(aliceID), firstRegion},
		"replicate":       {kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion, Policy: own}, own, secondRegion},
	} {
		call := servicetest.Call(w.alice, row.op, row.request)
		call.IdempotencyKey = name
		answers := func(n *servicetest.Node) {
			t.Helper()
			result, err := n.Service.Do(t.Context(), call)
			want(t, name, err, "")
			got := ""
			switch a := result.Answer.(type) {
			case *kms.GetKeyPolicyAnswer:
				got = a.Policy
			case *kms.ReplicateKeyAnswer:
				got = a.Policy
			}
			if got != string(row.policy) {
				t.Errorf("%s: answered %s", name, got)
			}
		}
		answers(w.Node)
		w.in(row.region).must(t, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: later})
		answers(w.Node)
		answers(second)
		if got := w.in(row.region).policy(t, key); got != string(later) {
			t.Errorf("%s: the repetition changed the policy to %s", name, got)
		}
	}
	// Who has lost the right to put it is answered nothing.
	carl := w.member(t, w.alice, "carl", permit("kms:*", "*"))
	call := servicetest.Call(carl, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: own})
	call.IdempotencyKey = "carl"
	_, err := w.Service.Do(t.Context(), call)
	want(t, "put", err, "")
	w.repolice(t, key, delegating(bars(iamARN(aliceID, "user/carl"), "kms:PutKeyPolicy")))
	_, err = w.Service.Do(t.Context(), call)
	want(t, "put again", err, kms.CodeAccessDenied)
}

// A policy goes with its key.
func TestKeyPolicyGoesWithItsKey(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.repolice(t, key, delegating(lets(bobRoot, "kms:Encrypt")))
	w.schedule(t, key, 7)
	if n := w.policyRecords(t); n != 1 {
		t.Errorf("%d policy records", n)
	}
	if got := w.as(w.alice).policy(t, key); got != string(delegating(lets(bobRoot, "kms:Encrypt"))) {
		t.Errorf("while it is pending deletion the policy is %s", got)
	}
	w.Advance(8 * 24 * time.Hour)
	w.runDue(t)
	if n := w.policyRecords(t); n != 0 {
		t.Errorf("%d policy records are left", n)
	}
	_, err := w.Do(w.alice, kms.OpGetKeyPolicy, &kms.KeyRequest{KeyID: key})
	want(t, "gone", err, kms.CodeNotFound)
	want(t, "for another account", uses(w.Node, w.bob, keyARN(key)), kms.CodeAccessDenied)
}
