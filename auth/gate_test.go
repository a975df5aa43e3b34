package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/kms"
)

const (
	tenant   = "111122223333"
	operator = "000000000000"
	keyARN   = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	aliasARN = "arn:aws:kms:us-east-1:111122223333:alias/orders"
)

func root(account string, isOperator bool) *Principal {
	return &Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account, Type: TypeRoot,
		AccessKeyID: testID, Operator: isOperator, Refs: []Ref{{Kind: 5, ID: "credential", Revision: 7}, {Kind: 3, ID: "account", Revision: 2}}}
}

func TestDecide(t *testing.T) {
	policy := DefaultKeyPolicy("aws", tenant)
	user := root(tenant, true)
	user.Type = "IAMUser"
	tests := []struct {
		name   string
		q      Query
		allow  bool
		reason string
	}{
		{"own key", Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant, Policy: policy}, true, ReasonKeyPolicy},
		{"own key, named action", Query{Principal: root(tenant, false), Operation: kms.OpReEncrypt, Action: "kms:ReEncryptFrom", Resource: keyARN, ResourceAccount: tenant, Policy: policy}, true, ReasonKeyPolicy},
		{"operator uses a tenant's key", Query{Principal: root(operator, true), Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant, Policy: policy}, false, ReasonForeign},
		{"policy of another account", Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant, Policy: DefaultKeyPolicy("aws", operator)}, false, ReasonPolicy},
		{"policy of another partition", Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant, Policy: DefaultKeyPolicy("aws-cn", tenant)}, false, ReasonPolicy},
		{"no policy", Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant}, false, ReasonPolicy},
		{"policy with a blank more", Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant, Policy: policy + " "}, false, ReasonPolicy},
		{"ARN of another account", Query{Principal: root(operator, false), Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: operator, Policy: DefaultKeyPolicy("aws", operator)}, false, ReasonNoRule},
		{"ARN of another service", Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: strings.Replace(keyARN, ":kms:", ":s3:", 1), ResourceAccount: tenant, Policy: policy}, false, ReasonNoRule},
		{"key operation on an alias", Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: aliasARN, ResourceAccount: tenant, Policy: policy}, false, ReasonNoRule},
		{"key operation on everything", Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: "*", ResourceAccount: tenant, Policy: policy}, false, ReasonNoRule},
		{"no resource account", Query{Principal: root("", false), Operation: kms.OpEncrypt, Resource: keyARN, Policy: policy}, false, ReasonForeign},
		{"user", Query{Principal: user, Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant, Policy: policy}, false, ReasonNotRoot},

		{"own alias", Query{Principal: root(tenant, false), Operation: kms.OpCreateAlias, Resource: aliasARN, ResourceAccount: tenant}, true, ReasonRoot},
		{"alias operation's key", Query{Principal: root(tenant, false), Operation: kms.OpCreateAlias, Resource: keyARN, ResourceAccount: tenant, Policy: policy}, true, ReasonKeyPolicy},
		{"alias operation's key, other policy", Query{Principal: root(tenant, false), Operation: kms.OpCreateAlias, Resource: keyARN, ResourceAccount: tenant, Policy: "{}"}, false, ReasonPolicy},
		{"foreign alias", Query{Principal: root(operator, true), Operation: kms.OpDeleteAlias, Resource: aliasARN, ResourceAccount: tenant}, false, ReasonForeign},

		{"create a key", Query{Principal: root(tenant, false), Operation: kms.OpCreateKey, Resource: "*", ResourceAccount: tenant}, true, ReasonRoot},
		{"list a foreign account", Query{Principal: root(tenant, false), Operation: kms.OpListKeys, Resource: "*", ResourceAccount: operator}, false, ReasonForeign},
		{"random", Query{Principal: root(tenant, false), Operation: kms.OpGenerateRandom, Resource: "*"}, true, ReasonRoot},
		{"random, user", Query{Principal: user, Operation: kms.OpGenerateRandom, Resource: "*"}, false, ReasonNotRoot},
		{"who am I", Query{Principal: user, Operation: kms.OpGetCallerIdentity}, true, ReasonEveryone},

		{"operator seals", Query{Principal: root(operator, true), Operation: kms.OpSeal, Resource: "*"}, true, ReasonOperator},
		{"tenant seals", Query{Principal: root(tenant, false), Operation: kms.OpSeal, Resource: "*"}, false, ReasonNotOperator},
		{"operator's user seals", Query{Principal: user, Operation: kms.OpSeal, Resource: "*"}, false, ReasonNotRoot},
		{"cluster operation under a kms action", Query{Principal: root(operator, true), Operation: kms.OpSeal, Action: "kms:Encrypt", Resource: "*"}, false, ReasonNoRule},
		{"key operation under a lockstep action", Query{Principal: root(operator, true), Operation: kms.OpEncrypt, Action: "lockstep:Seal", Resource: keyARN, ResourceAccount: operator}, false, ReasonNoRule},
		{"action of another service", Query{Principal: root(operator, true), Operation: kms.OpGenerateRandom, Action: "iam:CreateUser"}, false, ReasonNoRule},

		{"nobody", Query{Operation: kms.OpGetCallerIdentity}, false, ReasonNoRule},
		{"nothing", Query{Principal: root(operator, true)}, false, ReasonNoRule},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.q
			d := Decide(&tt.q)
			if d.Allow != tt.allow || d.Reason != tt.reason {
				t.Errorf("got %v (%s), want %v (%s)", d.Allow, d.Reason, tt.allow, tt.reason)
			}
			if tt.q.Principal != before.Principal || tt.q.Resource != before.Resource || tt.q.Policy != before.Policy {
				t.Error("the query was changed")
			}
		})
	}
}

// Every operation is decided on purpose: the root of an account may do everything of its own, the
// cluster aside, and nothing of another account.
func TestDecideEveryOperation(t *testing.T) {
	resources := map[kms.ResourceKind]string{kms.ResourceNone: "*", kms.ResourceKey: keyARN, kms.ResourceAlias: aliasARN,
		kms.ResourceAccount: "*", kms.ResourceCluster: "*"}
	for _, op := range kms.Operations {
		q := Query{Operation: op, Resource: resources[op.Resource], ResourceAccount: tenant, Policy: DefaultKeyPolicy("aws", tenant)}
		if q.Resource == "" {
			t.Errorf("%s: no rule for resource kind %q", op.Name, op.Resource)
		}
		cluster := op.Resource == kms.ResourceCluster
		open := op.Resource == kms.ResourceNone
		for _, tt := range []struct {
			who  *Principal
			want bool
		}{
			{root(tenant, false), !cluster}, {root(tenant, true), true},
			{root(operator, false), open}, {root(operator, true), open || cluster},
		} {
			q.Principal = tt.who
			if d := Decide(&q); d.Allow != tt.want {
				t.Errorf("%s by account %s, operator %v: %v (%s)", op.Name, tt.who.Account, tt.who.Operator, d.Allow, d.Reason)
			}
		}
	}
}

func TestDecisionReportsWhatItRead(t *testing.T) {
	policy := Ref{Kind: 9, ID: "policy", Revision: 4}
	p := root(tenant, false)
	q := Query{Principal: p, Operation: kms.OpDisableKey, Resource: keyARN, ResourceAccount: tenant,
		Policy: DefaultKeyPolicy("aws", tenant), PolicyRef: policy}
	want := append(slices.Clone(p.Refs), policy)
	if got := Decide(&q).Read(); !slices.Equal(got, want) {
		t.Errorf("allowed: read %v, want %v", got, want)
	}
	q.Policy = "{}"
	if got := Decide(&q).Read(); !slices.Equal(got, want) {
		t.Errorf("denied by the policy: read %v, want %v", got, want)
	}
	q.Operation, q.Resource = kms.OpCreateKey, "*"
	if got := Decide(&q).Read(); !slices.Equal(got, p.Refs) {
		t.Errorf("no key: read %v, want %v", got, p.Refs)
	}
	if got := Decide(&Query{}).Read(); got != nil {
		t.Errorf("nobody: read %v", got)
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
}

// isDefaultKeyPolicy must be equality with the built document, for every input.
func TestIsDefaultKeyPolicy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`(aws|aws-cn|:|:iam::)?[0-9a-z:]{0,3}`)
		partition, account := word.Draw(t, "partition"), word.Draw(t, "account")
		document := DefaultKeyPolicy(word.Draw(t, "other partition"), word.Draw(t, "other account"))
		if rapid.Bool().Draw(t, "cut") {
			document = document[:rapid.IntRange(0, len(document)).Draw(t, "at")]
		}
		want := document == DefaultKeyPolicy(partition, account)
		if got := isDefaultKeyPolicy(document, partition, account); got != want {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func TestDecideDoesNotAllocate(t *testing.T) {
	q := encryptQuery()
	if n := testing.AllocsPerRun(100, func() { Decide(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func encryptQuery() *Query {
	return &Query{Principal: root(tenant, false), Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant,
		Policy: DefaultKeyPolicy("aws", tenant), PolicyRef: Ref{Kind: 9, ID: "policy", Revision: 4}}
}

func BenchmarkDecide(b *testing.B) {
	q := encryptQuery()
	b.ReportAllocs()
	for b.Loop() {
		if !Decide(q).Allow {
			b.Fatal("denied")
		}
	}
}
