package auth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
)

const (
	keyARN   = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	aliasARN = "arn:aws:kms:us-east-1:111122223333:alias/orders"
	roleARN  = "arn:aws:iam::111122223333:role/deploy"
	userARN  = "arn:aws:iam::111122223333:user/alice"
)

func root(account string, isOperator bool) *Principal {
	return &Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account, Type: kms.TypeRoot, AccessKeyID: testID,
		Operator: isOperator, Refs: []Ref{{Kind: 5, ID: "credential", Revision: 7}, {Kind: 3, ID: "account", Revision: 2}}}
}

// user is a user of an account with identity policies, which are named p0, p1 and so on.
func user(account string, isOperator bool, policies ...*policy.Document) *Principal {
	p := &Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/alice", UserID: "AIDAALICE", Type: kms.TypeUser, Name: "alice",
		Operator: isOperator, Refs: []Ref{{Kind: 5, ID: "user", Revision: 1}}}
	for i, d := range policies {
		p.Identity = append(p.Identity, Policy{ID: fmt.Sprint("p", i), Document: d})
	}
	p.Complete(nil)
	return p
}

// roleSession is a session of a role that is not completed yet.
func roleSession() *Principal {
	return &Principal{Account: tenant, ARN: "arn:aws:sts::111122223333:assumed-role/deploy/build-7", UserID: "AROAX:build-7", Type: TypeAssumedRole,
		Name: "deploy", Role: roleARN, Session: testSession(), Tags: map[string]string{"Team": "blue"}}
}

// statement is an identity policy of one statement.
func statement(t testing.TB, effect, action string) *policy.Document {
	t.Helper()
	return parse(t, policy.IdentityPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"`+effect+`","Action":"`+action+`","Resource":"*"}]}`)
}

// naming is a key policy of one statement that allows a principal kms:*.
func naming(t testing.TB, principal string) *policy.Document {
	t.Helper()
	return parse(t, policy.KeyPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+principal+`"},"Action":"kms:*","Resource":"*"}]}`)
}

func defaultPolicy(t testing.TB, account string) *policy.Document {
	return parse(t, policy.KeyPolicy, DefaultKeyPolicy("aws", account))
}

func onKey(p *Principal, key *policy.Document) Query {
	return Query{Principal: p, Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant, Key: true, Policy: key}
}

func onCluster(p *Principal, action string) Query {
	return Query{Principal: p, Operation: kms.OpSeal, Action: action, Resource: "*", ResourceAccount: p.Account}
}

func onAudit(p *Principal) Query {
	return Query{Principal: p, Operation: kms.OpLookupEvents, Action: kms.ActionReadAudit, Resource: "*", ResourceAccount: p.Account}
}

func change(q Query, f func(*Query)) Query {
	f(&q)
	return q
}

func TestDecide(t *testing.T) {
	own := defaultPolicy(t, tenant)
	encrypt, all, seal := statement(t, "Allow", "kms:Encrypt"), statement(t, "Allow", "*"), statement(t, "Allow", "lockstep:Seal")
	denied, broken := statement(t, "Deny", "kms:Encrypt"), (*policy.Document)(nil)
	bounded := func(p *Principal, d *policy.Document) *Principal {
		p.Boundary = &Policy{ID: "bound", Document: d}
		return p
	}
	assumed := func(identity *policy.Document, limits ...*policy.Document) *Principal {
		p := roleSession()
		p.Identity = []Policy{{ID: "p0", Document: identity}}
		var all []Policy
		for i, d := range limits {
			all = append(all, Policy{ID: fmt.Sprint("s", i), Document: d})
		}
		p.Complete(all)
		return p
	}
	of := func(r policy.Reason) string { return r.String() }

	tests := []struct {
		name   string
		q      Query
		allow  bool
		reason string
		policy string // Decision.PolicyID
	}{
		{"root, own key", onKey(root(tenant, false), own), true, of(policy.KeyPolicyAllows), ""},
		{"root, own key, named action", change(onKey(root(tenant, false), own), func(q *Query) { q.Operation, q.Action = kms.OpReEncrypt, "kms:ReEncryptFrom" }), true, of(policy.KeyPolicyAllows), ""},
		{"root, policy of another account", onKey(root(tenant, false), defaultPolicy(t, operator)), false, of(policy.KeyPolicySilent), ""},
		{"root, policy of another partition", onKey(root(tenant, false), parse(t, policy.KeyPolicy, DefaultKeyPolicy("aws-cn", tenant))), false, of(policy.KeyPolicySilent), ""},
		{"operator's root, foreign key", onKey(root(operator, true), own), false, of(policy.KeyPolicySilent), ""},
		{"operator's root, foreign key that lets it in", onKey(root(operator, true), naming(t, operator)), true, of(policy.BothAccountsAllow), ""},
		{"root, no key policy", onKey(root(tenant, false), nil), false, ReasonUnreadable, ""},
		{"root, key policy that is empty", onKey(root(tenant, false), &policy.Document{}), false, of(policy.UnreadablePolicy), ""},
		{"root, no resource", change(onKey(root(tenant, false), own), func(q *Query) { q.Resource = "" }), false, of(policy.MalformedQuery), ""},
		{"root, own alias", change(onKey(root(tenant, false), nil), func(q *Query) { q.Operation, q.Resource, q.Key = kms.OpCreateAlias, aliasARN, false }), true, of(policy.RootOfOwner), ""},
		{"root, foreign alias", change(onKey(root(operator, true), nil), func(q *Query) { q.Operation, q.Resource, q.Key = kms.OpDeleteAlias, aliasARN, false }), false, of(policy.ForeignWithoutPolicy), ""},

		{"user without policies", onKey(user(tenant, false), own), false, of(policy.DelegatedButIdentitySilent), ""},
		{"user that the key names", onKey(user(tenant, false), naming(t, userARN)), true, of(policy.KeyPolicyAllows), ""},
		{"user with a policy", onKey(user(tenant, false, encrypt), own), true, of(policy.DelegatedToIdentity), "p0"},
		{"user with a policy, key that does not delegate", onKey(user(tenant, false, encrypt), naming(t, roleARN)), false, of(policy.KeyPolicySilent), ""},
		{"user with the second policy", onKey(user(tenant, false, seal, encrypt), own), true, of(policy.DelegatedToIdentity), "p1"},
		{"user with another action", change(onKey(user(tenant, false, encrypt), own), func(q *Query) { q.Operation = kms.OpDecrypt }), false, of(policy.DelegatedButIdentitySilent), ""},
		{"user with a deny", onKey(user(tenant, false, all, denied), naming(t, userARN)), false, of(policy.DeniedByStatement), "p1"},
		{"user with a policy that cannot be read", onKey(user(tenant, false, all, broken), naming(t, userARN)), false, of(policy.UnreadablePolicy), ""},
		{"user of another account", onKey(user(operator, true, all), own), false, of(policy.KeyPolicySilent), ""},
		{"user within its boundary", onKey(bounded(user(tenant, false, all), encrypt), own), true, of(policy.DelegatedToIdentity), "p0"},
		{"user outside of its boundary", onKey(bounded(user(tenant, false, all), seal), own), false, of(policy.LimitedByBoundary), ""},
		{"user whose boundary denies", onKey(bounded(user(tenant, false, all), denied), naming(t, userARN)), false, of(policy.DeniedByStatement), "bound"},
		{"user whose boundary cannot be read", onKey(bounded(user(tenant, false, all), nil), naming(t, userARN)), false, of(policy.UnreadableBoundary), ""},

		{"role", onKey(assumed(encrypt), own), true, of(policy.DelegatedToIdentity), "p0"},
		{"role within its session policy", onKey(assumed(all, encrypt), own), true, of(policy.DelegatedToIdentity), "p0"},
		{"role outside of its session policy", onKey(assumed(all, seal), own), false, of(policy.LimitedBySession), ""},
		{"role within one of its session policies", onKey(assumed(all, seal, encrypt), own), true, of(policy.DelegatedToIdentity), "p0"},
		{"role whose session policy denies", onKey(assumed(all, all, denied), own), false, of(policy.DeniedByStatement), "s1"},
		{"role whose session policy cannot be read", onKey(assumed(all, broken), naming(t, roleARN)), false, of(policy.UnreadablePolicy), ""},
		{"role that the key names, outside of its session policy", onKey(assumed(all, seal), naming(t, roleARN)), false, of(policy.LimitedBySession), ""},
		{"role that the key names", onKey(assumed(seal), naming(t, roleARN)), true, of(policy.KeyPolicyAllows), ""},
		{"web identity", onKey(&Principal{Account: tenant, Type: TypeWebIdentity, ARN: "arn:aws:iam::111122223333:oidc-provider/x", Federated: "arn:aws:iam::111122223333:oidc-provider/x"}, own), false, of(policy.KeyPolicySilent), ""},
		{"unknown type", onKey(&Principal{Account: tenant, Type: "Group", ARN: userARN}, naming(t, "*")), false, of(policy.MalformedQuery), ""},

		{"operator's root seals", onCluster(root(operator, true), ""), true, of(policy.RootOfOwner), ""},
		{"tenant's root seals", onCluster(root(tenant, false), ""), false, ReasonNotOperator, ""},
		{"operator's user seals", onCluster(user(operator, true), ""), false, of(policy.IdentitySilent), ""},
		{"operator's user with a policy seals", onCluster(user(operator, true, seal), ""), true, of(policy.IdentityAllows), "p0"},
		{"operator's user with another policy seals", onCluster(user(operator, true, encrypt), ""), false, of(policy.IdentitySilent), ""},
		{"operator's bounded user seals", onCluster(bounded(user(operator, true, seal), encrypt), ""), false, of(policy.LimitedByBoundary), ""},
		{"tenant's user with a policy seals", onCluster(user(tenant, false, all), ""), false, ReasonNotOperator, ""},
		{"tenant's role with a policy seals", onCluster(assumed(all), ""), false, ReasonNotOperator, ""},

		{"cluster operation, kms action", onCluster(root(operator, true), "kms:Encrypt"), false, ReasonNoRule, ""},
		{"cluster operation, iam action", onCluster(root(operator, true), "iam:CreateUser"), false, ReasonNoRule, ""},
		{"key operation, lockstep action", change(onKey(root(tenant, true), own), func(q *Query) { q.Action = "lockstep:Seal" }), false, ReasonNoRule, ""},
		{"key operation, lockstep action in other case", change(onKey(user(tenant, false, all), nil), func(q *Query) { q.Key, q.Action = false, "LockStep:seal" }), false, ReasonNoRule, ""},
		{"random, lockstep action in other case", Query{Principal: root(tenant, false), Operation: kms.OpGenerateRandom, Action: "LOCKSTEP:Seal", Resource: "*"}, false, ReasonNoRule, ""},

		{"operator's root reads the audit of all", onAudit(root(operator, true)), true, of(policy.RootOfOwner), ""},
		{"operator's user reads the audit of all", onAudit(user(operator, true, all)), true, of(policy.IdentityAllows), "p0"},
		{"operator's user without a policy reads the audit of all", onAudit(user(operator, true, encrypt)), false, of(policy.IdentitySilent), ""},
		{"tenant's root reads the audit of all", onAudit(root(tenant, false)), false, ReasonNotOperator, ""},
		{"tenant's user with a policy reads the audit of all", onAudit(user(tenant, false, all)), false, ReasonNotOperator, ""},
		{"audit, another lockstep action", change(onAudit(root(operator, true)), func(q *Query) { q.Action = "lockstep:Seal" }), false, ReasonNoRule, ""},
		{"another operation reads the audit of all", change(onAudit(root(operator, true)), func(q *Query) { q.Operation = kms.OpListKeys }), false, ReasonNoRule, ""},

		{"who am I", Query{Principal: user(tenant, false), Operation: kms.OpGetCallerIdentity}, true, ReasonEveryone, ""},
		{"who am I, denied by a policy", Query{Principal: user(tenant, false, statement(t, "Deny", "*")), Operation: kms.OpGetCallerIdentity, Action: "sts:getcalleridentity"}, true, ReasonEveryone, ""},
		{"who am I, for another action", Query{Principal: user(tenant, false), Operation: kms.OpGetCallerIdentity, Action: "sts:AssumeRole", Resource: "*"}, false, of(policy.IdentitySilent), ""},
		{"who am I, for a cluster action", Query{Principal: root(tenant, false), Operation: kms.OpGetCallerIdentity, Action: "lockstep:Seal", Resource: "*"}, false, ReasonNoRule, ""},

		{"nobody", Query{Operation: kms.OpGetCallerIdentity}, false, ReasonNoRule, ""},
		{"nothing", Query{Principal: root(operator, true)}, false, ReasonNoRule, ""},
		{"empty", Query{}, false, ReasonNoRule, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // a query may be used again
				d := Decide(&tt.q)
				if d.Allow() != tt.allow || d.Reason != tt.reason || d.PolicyID() != tt.policy {
					t.Errorf("got %v (%s) by %q, want %v (%s) by %q", d.Allow(), d.Reason, d.PolicyID(), tt.allow, tt.reason, tt.policy)
				}
			}
		})
	}
}

// Every operation is decided on purpose: the root of an account may do everything of its own, the
// cluster aside, and nothing of another account.
func TestDecideEveryOperation(t *testing.T) {
	resources := map[kms.ResourceKind]string{kms.ResourceNone: "*", kms.ResourceKey: keyARN, kms.ResourceAlias: aliasARN,
		kms.ResourceAccount: "*", kms.ResourceCluster: "*", kms.ResourceIdentity: userARN, kms.ResourceRole: roleARN}
	trust := parse(t, policy.TrustPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:*"}]}`)
	all := statement(t, "Allow", "*")
	for _, op := range kms.Operations {
		q := Query{Operation: op, Resource: resources[op.Resource], ResourceAccount: tenant}
		switch op.Resource {
		case "":
			t.Errorf("%s: no resource kind", op.Name)
		case kms.ResourceKey:
			q.Key, q.Policy = true, defaultPolicy(t, tenant)
		case kms.ResourceRole:
			q.Policy = trust
		case kms.ResourceNone: // of nobody, so of the caller
			q.ResourceAccount = ""
		}
		if q.Resource == "" {
			t.Errorf("%s: no rule for resource kind %q", op.Name, op.Resource)
		}
		cluster, open := op.Resource == kms.ResourceCluster, op.Resource == kms.ResourceNone
		for _, tt := range []struct {
			name string
			who  *Principal
			want bool
		}{
			{"root", root(tenant, false), !cluster},
			{"operator's root", root(tenant, true), true},
			{"user who may everything", user(tenant, false, all), !cluster},
			{"operator's user who may everything", user(tenant, true, all), true},
			{"user", user(tenant, true), op == kms.OpGetCallerIdentity || op == kms.OpGetSessionToken},
			{"foreign root", root(operator, false), open},
			{"foreign operator's root", root(operator, true), open},
			{"foreign user who may everything", user(operator, false, all), open},
		} {
			q.Principal = tt.who
			if d := Decide(&q); d.Allow() != tt.want {
				t.Errorf("%s by %s: %v (%s)", op.Name, tt.name, d.Allow(), d.Reason)
			}
		}
	}
}

// grants is one grant to whoever asks.
type grants string

// Granted implements policy.Grants.
func (g grants) Granted(*policy.Request) (string, policy.Via, bool) {
	return string(g), policy.ViaDirect, true
}

func TestDecideAsksGrants(t *testing.T) {
	q := onKey(user(tenant, false), defaultPolicy(t, tenant))
	q.Grants = grants("grant-1")
	if d := Decide(&q); !d.Allow() || d.Grant != "grant-1" || d.PolicyID() != "" {
		t.Errorf("%v (%s) by %q", d.Allow(), d.Reason, d.Grant)
	}
	q.Policy = nil
	if d := Decide(&q); d.Allow() {
		t.Error("a grant helps on a key whose policy cannot be read")
	}
}

func TestDecisionReportsWhatItRead(t *testing.T) {
	ref := Ref{Kind: 9, ID: "policy", Revision: 4}
	p := root(tenant, false)
	q := change(onKey(p, defaultPolicy(t, tenant)), func(q *Query) { q.Operation, q.PolicyRef = kms.OpDisableKey, ref })
	want := append(slices.Clone(p.Refs), ref)
	read := func(name string, want []Ref) {
		t.Helper()
		d := Decide(&q)
		if got := d.Read(); !slices.Equal(got, want) {
			t.Errorf("%s: read %v, want %v", name, got, want)
		}
	}
	read("allowed", want)
	q.Policy = naming(t, roleARN)
	read("denied by the policy", want)
	q.Policy = nil
	read("policy that cannot be read", want)
	q.Operation, q.Resource, q.Key, q.PolicyRef = kms.OpCreateKey, "*", false, Ref{}
	read("no key", p.Refs)
	q = Query{}
	read("nobody", nil)
	if len(p.Refs) != 2 {
		t.Error("the principal was changed")
	}
}

func TestDefaultKeyPolicy(t *testing.T) {
	const want = `{"Id":"key-default-1","Statement":[{"Action":"kms:*","Effect":"Allow",` +
		`"Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Resource":"*","Sid":"Enable IAM User Permissions"}],"Version":"2012-10-17"}`
	got := DefaultKeyPolicy("aws", tenant)
	if got != want {
		t.Errorf("got %s", got)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(got), &document); err != nil {
		t.Fatal(err)
	}
	if canonical, _ := json.Marshal(document); string(canonical) != got {
		t.Errorf("not canonical: %s", canonical)
	}
	parse(t, policy.KeyPolicy, got)
}

// requestContext is a request's own keys. It says that it is someone else, which must not count.
type requestContext map[string]string

// Lookup implements policy.Context.
func (c requestContext) Lookup(name, sub string) (policy.Values, bool) {
	if sub != "" {
		name += "/" + sub
	}
	v, ok := c[name]
	return policy.One(v), ok
}

func TestPrincipalContext(t *testing.T) {
	forged := requestContext{"aws:sourceip": "192.0.2.1", "kms:encryptioncontext/App": "orders"}
	for _, name := range []string{"aws:principalarn", "aws:principalaccount", "kms:calleraccount", "aws:principaltype", "aws:userid", "aws:username",
		"aws:principaltag/Forged", "aws:multifactorauthpresent", "aws:principalisawsservice", "aws:viaawsservice", "aws:tokenissuetime", "aws:federatedprovider"} {
		forged[name] = "forged"
	}
	web := roleSession()
	web.Session.Federated = "arn:aws:iam::111122223333:oidc-provider/ci.example"
	always := map[string]string{"aws:multifactorauthpresent": "false", "aws:principalisawsservice": "false", "aws:viaawsservice": "false",
		"aws:sourceip": "192.0.2.1", "kms:encryptioncontext/App": "orders", "aws:principalaccount": tenant, "kms:calleraccount": tenant}
	tests := map[string]struct {
		p    *Principal
		want map[string]string
	}{
		"root": {root(tenant, false), map[string]string{"aws:principalarn": "arn:aws:iam::111122223333:root", "aws:principaltype": "Account", "aws:userid": tenant}},
		"user": {user(tenant, false), map[string]string{"aws:principalarn": userARN, "aws:principaltype": "User", "aws:userid": "AIDAALICE", "aws:username": "alice"}},
		"role": {roleSession(), map[string]string{"aws:principalarn": roleARN, "aws:principaltype": "AssumedRole", "aws:userid": "AROAX:build-7",
			"aws:tokenissuetime": "2026-03-04T05:06:07Z", "aws:principaltag/Team": "blue", "aws:principaltag/tEAM": "blue"}},
		"role of a web identity": {web, map[string]string{"aws:principalarn": roleARN, "aws:principaltype": "AssumedRole", "aws:userid": "AROAX:build-7",
			"aws:tokenissuetime": "2026-03-04T05:06:07Z", "aws:principaltag/Team": "blue", "aws:principaltag/tEAM": "blue", "aws:federatedprovider": web.Session.Federated}},
		"web identity": {&Principal{Account: tenant, Type: TypeWebIdentity, ARN: "arn:aws:iam::111122223333:oidc-provider/x"},
			map[string]string{"aws:principalarn": "arn:aws:iam::111122223333:oidc-provider/x", "aws:principaltype": "FederatedUser"}},
	}
	keys := []string{"aws:principaltag/Team", "aws:principaltag/tEAM", "aws:principaltag/", "kms:unknown"}
	for name := range forged {
		keys = append(keys, name)
	}
	for name, tt := range tests {
		c := &principalContext{tt.p, forged}
		for _, key := range keys {
			want, present := tt.want[key]
			if !present {
				want, present = always[key]
			}
			family, sub, _ := strings.Cut(key, "/")
			v, ok := c.Lookup(family, sub)
			if ok != present || ok && (v.Len() != 1 || v.At(0) != want) {
				t.Errorf("%s, %s: got %v (%v), want %q (%v)", name, key, v, ok, want, present)
			}
		}
		if _, ok := (&principalContext{tt.p, nil}).Lookup("aws:sourceip", ""); ok {
			t.Errorf("%s: a key of no request", name)
		}
	}
}

func TestTag(t *testing.T) {
	tags := map[string]string{"Team": "1", "team": "2", "TEAM": "3", "Cost": "", "x509Subject/CN": "build-7"}
	for _, tt := range []struct {
		key, want string
		ok        bool
	}{
		{"Team", "1", true}, {"team", "2", true}, {"tEAM", "3", true}, // of several the first in order
		{"Cost", "", true}, {"cost", "", true}, {"x509subject/cn", "build-7", true}, {"Teams", "", false}, {"", "", false},
	} {
		if v, ok := Tag(tags, tt.key); ok != tt.ok || v.At(0) != tt.want {
			t.Errorf("%q: %q, %v", tt.key, v.At(0), ok)
		}
	}
	if _, ok := Tag(nil, "Team"); ok {
		t.Error("a tag of none")
	}
}

// A policy that lets in by the principal's keys sees those of the principal, not those of the request.
func TestDecideByPrincipalKeys(t *testing.T) {
	p := roleSession()
	p.Identity = []Policy{{ID: "p0", Document: parse(t, policy.IdentityPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt",
		"Resource":"*","Condition":{"ArnEquals":{"aws:PrincipalArn":"`+roleARN+`"},"StringEquals":{"aws:PrincipalTag/team":"blue"},
		"DateGreaterThan":{"aws:TokenIssueTime":"2026-03-04T05:06:06Z"},"Bool":{"aws:MultiFactorAuthPresent":"false"}}}]}`)}}
	p.Complete(nil)
	q := onKey(p, defaultPolicy(t, tenant))
	q.Context = requestContext{"aws:principaltag/team": "red", "aws:principalarn": "x"}
	if d := Decide(&q); !d.Allow() {
		t.Errorf("denied: %s", d.Reason)
	}
	p.Tags = map[string]string{"Team": "red"}
	q.Context = requestContext{"aws:principaltag/team": "blue"}
	if d := Decide(&q); d.Allow() {
		t.Error("the request's tag counts as the principal's")
	}
}

// tenStatements is a query on a key whose policy has ten statements, the last of which allows it under a condition.
func tenStatements(t testing.TB) *Query {
	var all []string
	for i := range 9 {
		all = append(all, fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/u%d"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"}`, i))
	}
	all = append(all, `{"Effect":"Allow","Principal":{"AWS":"`+roleARN+`"},"Action":"kms:En*","Resource":"*",
		"Condition":{"StringEquals":{"kms:CallerAccount":"111122223333","aws:PrincipalTag/Team":"blue","kms:EncryptionContext:App":"orders"}}}`)
	p := roleSession()
	p.Complete(nil)
	q := onKey(p, parse(t, policy.KeyPolicy, `{"Version":"2012-10-17","Statement":[`+strings.Join(all, ",")+`]}`))
	q.PolicyRef, q.Context = Ref{Kind: 9, ID: "policy", Revision: 4}, &encryptionContext{"App", "orders"}
	return &q
}

// encryptionContext is a request's context that does not allocate.
type encryptionContext struct{ key, value string }

// Lookup implements policy.Context.
func (c *encryptionContext) Lookup(name, sub string) (policy.Values, bool) {
	return policy.One(c.value), name == "kms:encryptioncontext" && sub == c.key
}

func TestDecideDoesNotAllocate(t *testing.T) {
	q := tenStatements(t)
	n := testing.AllocsPerRun(100, func() {
		if d := Decide(q); !d.Allow() {
			t.Fatal(d.Reason)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	q := tenStatements(b)
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(q); !d.Allow() {
			b.Fatal(d.Reason)
		}
	}
}

// A session of a user or root itself acts on no identities, and asks for no sessions but of roles, whatever policies allow.
func TestDecideOwnSession(t *testing.T) {
	trust := parse(t, policy.TrustPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:*"}]}`)
	for name, who := range map[string]*Principal{"root": root(tenant, false), "user": user(tenant, false, statement(t, "Allow", "*"))} {
		own := *who
		own.Session = &Session{OfKey: "AKIAOWNER"}
		for _, op := range kms.Operations {
			q := Query{Principal: &own, Operation: op, Resource: "*", ResourceAccount: tenant}
			want := op.Resource != kms.ResourceCluster
			switch op.Resource {
			case kms.ResourceKey:
				q.Resource, q.Key, q.Policy = keyARN, true, defaultPolicy(t, tenant)
			case kms.ResourceIdentity:
				q.Resource, want = userARN, false
			case kms.ResourceRole:
				q.Resource, q.Policy, want = roleARN, trust, op == kms.OpAssumeRole
			}
			want = want && op != kms.OpGetSessionToken
			if d := Decide(&q); d.Allow() != want {
				t.Errorf("%s by a %s's own session: %v (%s)", op.Name, name, d.Allow(), d.Reason)
			}
		}
		q := Query{Principal: &own, Operation: kms.OpAssumeRole, Action: "STS:tagsession", Resource: roleARN, ResourceAccount: tenant, Policy: trust}
		if d := Decide(&q); !d.Allow() {
			t.Errorf("sts:TagSession by a %s's own session: %s", name, d.Reason)
		}
	}
	role := *user(tenant, false, statement(t, "Allow", "*"))
	role.Type, role.Session = TypeAssumedRole, &Session{Role: "r"}
	if d := Decide(&Query{Principal: &role, Operation: kms.OpGetSessionToken, Resource: "*", ResourceAccount: tenant}); d.Allow() || d.Reason != ReasonNotOneself {
		t.Errorf("a session of a role asks for a session of its own: %v (%s)", d.Allow(), d.Reason)
	}
}
