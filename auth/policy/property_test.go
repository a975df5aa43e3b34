package policy

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// The vocabulary is small so that random policies and requests often meet.
var (
	someActions    = []string{"*", "kms:*", "kms:Encrypt", "kms:encrypt", "kms:Decrypt", "kms:?ncrypt", "kms:*crypt", "kms:*c*t", "iam:*"}
	someResources  = []string{"*", "arn:aws:kms:*", "arn:aws:kms:eu:111122223333:key/a", "arn:aws:kms:*:111122223333:key/*", "arn:*:kms:e?:*:key/${aws:username}", "arn:aws:kms:eu:111122223333:key/*b*${*}", "arn:aws:kms:*:444455556666:key/a"}
	realResources  = []string{"*", "arn:aws:kms:eu:111122223333:key/a", "arn:aws:kms:eu:111122223333:key/bab*", "arn:aws:kms:us:444455556666:key/a", "arn:aws:kms:x:111122223333:key/q:444455556666:key/a"}
	someTexts      = []string{"", "a", "A", "ab", "aab", "a*", "*", "?b", "a*b", "*a?", "x*", "${aws:username}", "${aws:username}*", "*${aws:b}?", "a${*}", "${$}a", "${aws:none}"}
	someValues     = []string{"", "a", "A", "ab", "aab", "a*", "*", "${aws:username}", "xaby", "äb"}
	somePrincipals = []string{"*", "111122223333", rootARN, aliceARN, roleARN, sessionARN, "444455556666", otherAlice, otherRole, otherSession}
	someKeys       = []string{"aws:a", "aws:b", "aws:username", "aws:PrincipalTag/T", "kms:EncryptionContext:K"}
	someARNs       = []string{"*", "arn:aws:iam::*:user/*", "arn:*:iam::111122223333:user/alice", aliceARN, roleARN, "arn:aws:iam::1*3:user/${aws:username}", "arn:aws:s?s::*"}
)

type draw = rapid.T

func pick(t *draw, from []string) string { return rapid.SampledFrom(from).Draw(t, "pick") }

// some draws one value or a list of up to three.
func some(t *draw, from []string) any {
	list := rapid.SliceOfN(rapid.SampledFrom(from), 1, 3).Draw(t, "list")
	if len(list) == 1 && rapid.Bool().Draw(t, "alone") {
		return list[0]
	}
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// families of operators: what they are called, and values of policies and requests.
var operatorFamilies = []struct {
	names, wanted, values []string
}{
	{[]string{"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"}, someTexts, someValues},
	{[]string{"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"}, someARNs, []string{aliceARN, roleARN, sessionARN, "x"}},
	{[]string{"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals"}, []string{"0", "1", "1.5", "-2", "10"}, []string{"0", "1", "1.5", "-2", "10", "x"}},
	{[]string{"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"}, []string{"2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "1769860801"}, []string{"2026-01-31T12:00:00Z", "1769860801", "x"}},
	{[]string{"Bool"}, []string{"true", "false"}, []string{"true", "false"}},
	{[]string{"BinaryEquals"}, []string{"AA==", "YQ=="}, []string{"AA==", "YQ=="}},
	{[]string{"IpAddress", "NotIpAddress"}, []string{"10.0.0.0/8", "10.1.2.3", "::/0", "2001:db8::/32"}, []string{"10.1.2.3", "192.0.2.1", "2001:db8::1", "x"}},
}

func condition1(t *draw) map[string]any {
	out := map[string]any{}
	for range rapid.IntRange(0, 3).Draw(t, "conditions") {
		if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
			out["Null"] = map[string]any{pick(t, someKeys): pick(t, []string{"true", "false"})}
			continue
		}
		family := rapid.SampledFrom(operatorFamilies).Draw(t, "family")
		op := pick(t, []string{"", "", "ForAllValues:", "ForAnyValue:"}) + pick(t, family.names) + pick(t, []string{"", "", "IfExists"})
		out[op] = map[string]any{pick(t, someKeys): some(t, family.wanted)}
	}
	return out
}

func statement1(t *draw, kind Kind) map[string]any {
	s := map[string]any{"Effect": pick(t, []string{"Allow", "Allow", "Deny"})}
	s[pick(t, []string{"Action", "Action", "NotAction"})] = some(t, someActions)
	s[pick(t, []string{"Resource", "Resource", "NotResource"})] = some(t, someResources)
	if rapid.Bool().Draw(t, "conditional") {
		s["Condition"] = condition1(t)
	}
	if kind == KeyPolicy {
		element := "Principal"
		if s["Effect"] == "Deny" {
			element = pick(t, []string{"Principal", "NotPrincipal"})
		}
		s[element] = map[string]any{"AWS": some(t, somePrincipals)}
	}
	return s
}

// policy1 draws a document and returns it compiled and decoded.
func policy1(t *draw, kind Kind) (*Document, map[string]any) {
	list := []any{}
	for range rapid.IntRange(1, 3).Draw(t, "statements") {
		list = append(list, statement1(t, kind))
	}
	text, err := json.Marshal(map[string]any{"Version": pick(t, []string{"2012-10-17", "2012-10-17", "2008-10-17"}), "Statement": list})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(kind, string(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d, decodeJSON(string(text))
}

func context1(t *draw) keys {
	out := keys{}
	for _, key := range []string{"aws:a", "aws:b", "aws:username", "aws:principaltag/t", "kms:encryptioncontext:k"} {
		family := operatorFamilies[0]
		if rapid.Bool().Draw(t, "typed") {
			family = rapid.SampledFrom(operatorFamilies).Draw(t, "family")
		}
		switch n := rapid.IntRange(-1, 3).Draw(t, "values"); {
		case n >= 0:
			out[key] = rapid.SliceOfN(rapid.SampledFrom(family.values), n, n).Draw(t, "value")
		}
	}
	return out
}

// TestAgainstReference: the compiled evaluator and the plain one agree on every decision.
func TestAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *draw) { agree(t, 50) })
}

// agree draws policies and compares the evaluators on a number of requests.
func agree(t *draw, requests int) {
	callers := []Caller{alice, bob, root, session, sessionOf(account, "run-8"), foreignAlice, foreignRoot, foreignSession}
	var q Query
	var ref refQuery
	if rapid.IntRange(0, 5).Draw(t, "key policy") > 0 {
		q.KeyPolicy, ref.key = policy1(t, KeyPolicy)
	}
	for range rapid.IntRange(0, 2).Draw(t, "identity") {
		d, m := policy1(t, IdentityPolicy)
		q.Identity, ref.identity = append(q.Identity, d), append(ref.identity, m)
	}
	if rapid.IntRange(0, 3).Draw(t, "boundary") == 0 {
		q.Bounded = true
		q.Boundary, ref.boundary = policy1(t, IdentityPolicy)
	}
	if rapid.IntRange(0, 3).Draw(t, "session") == 0 {
		q.HasSession, ref.hasSession = true, true
		d, m := policy1(t, IdentityPolicy)
		q.Session, ref.session = []*Document{d}, []map[string]any{m}
	}
	if rapid.IntRange(0, 3).Draw(t, "grant") == 0 {
		ref.grant = grant{"g", Via(rapid.IntRange(1, 3).Draw(t, "via"))}
		q.Grants = ref.grant
	}
	for range requests {
		ref.caller = rapid.SampledFrom(callers).Draw(t, "caller")
		ref.action = pick(t, []string{"kms:Encrypt", "kms:Decrypt", "KMS:encrypt", "iam:GetUser"})
		ref.resource, ref.owner, ref.keys = pick(t, realResources), pick(t, []string{account, account, other}), context1(t)
		q.Request = Request{Action: ref.action, Resource: ref.resource, Caller: ref.caller, Context: ref.keys}
		q.ResourceAccount = ref.owner
		if got, want := Evaluate(&q).Effect, ref.decide(); got != want {
			t.Fatalf("%v, want %v\nrequest %+v\nowner %s, grant %+v\nkey %v\nidentity %v\nboundary %v\nsession %v", got, want, q.Request, ref.owner, ref.grant, ref.key, ref.identity, ref.boundary, ref.session)
		}
	}
}

// TestGlobAgainstReference: backtracking to the last star is as good as trying everything.
func TestGlobAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *draw) {
		s := syntax{wildcards: true, variables: true, arn: rapid.Bool().Draw(t, "arn")}
		how := "like"
		if s.arn {
			how = "arn"
		}
		for range 50 {
			pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab:*?")), 0, 12, -1).Draw(t, "pattern")
			if rapid.Bool().Draw(t, "variable") {
				pattern += "${aws:username}" + rapid.StringOfN(rapid.SampledFrom([]rune("ab:*?")), 0, 4, -1).Draw(t, "tail")
			}
			text := rapid.StringOfN(rapid.SampledFrom([]rune("aab::*ü")), 0, 16, -1).Draw(t, "text")
			k := keys{"aws:username": {rapid.StringOfN(rapid.SampledFrom([]rune("ab*:")), 0, 3, -1).Draw(t, "value")}}
			p, complaint := compilePattern(pattern, s)
			if complaint != "" {
				t.Fatal(complaint)
			}
			if got, want := p.match(text, k) == yes, refMatch(pattern, text, how, true, k) == isTrue; got != want {
				t.Fatalf("%q against %q with %v: %v, want %v", pattern, text, k, got, want)
			}
		}
	})
}
