package policy

import (
	"strings"
	"testing"
)

const (
	account = "111122223333"
	other   = "444455556666"

	keyARN     = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	rootARN    = "arn:aws:iam::111122223333:root"
	aliceARN   = "arn:aws:iam::111122223333:user/alice"
	roleARN    = "arn:aws:iam::111122223333:role/team/app"
	sessionARN = "arn:aws:sts::111122223333:assumed-role/app/run-7"
)

func userOf(account, name string) Caller {
	return Caller{Kind: User, Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name}
}

func rootOf(account string) Caller {
	return Caller{Kind: Root, Account: account, ARN: "arn:aws:iam::" + account + ":root"}
}

// sessionOf is a session of the role team/app.
func sessionOf(account, name string) Caller {
	return Caller{
		Kind:    AssumedRole,
		Account: account,
		ARN:     "arn:aws:sts::" + account + ":assumed-role/app/" + name,
		RoleARN: "arn:aws:iam::" + account + ":role/team/app",
	}
}

// keys is a Context of lower-case keys in one piece, "aws:principaltag/team". One value is a
// single value, another number of them a set.
type keys map[string][]string

func (k keys) Lookup(name, sub string) (Values, bool) {
	if sub != "" {
		separator := "/"
		if name == "kms:encryptioncontext" {
			separator = ":"
		}
		name += separator + strings.ToLower(sub)
	}
	values, ok := k[name]
	if len(values) == 1 {
		return One(values[0]), ok
	}
	return Many(values), ok
}

func parse(t testing.TB, kind Kind, text string) *Document {
	t.Helper()
	d, err := Parse(kind, text)
	if err != nil {
		t.Fatalf("Parse(%v, %s): %v", kind, text, err)
	}
	return d
}

// identity, keyPolicy and trust make documents of version 2012-10-17 from statements.
func identity(t testing.TB, statements ...string) *Document {
	t.Helper()
	return parse(t, IdentityPolicy, document(statements...))
}

func keyPolicy(t testing.TB, statements ...string) *Document {
	t.Helper()
	return parse(t, KeyPolicy, document(statements...))
}

func trust(t testing.TB, statements ...string) *Document {
	t.Helper()
	return parse(t, TrustPolicy, document(statements...))
}

func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// grant is a Grants with at most one grant.
type grant struct {
	id  string
	via Via
}

func (g grant) Granted(*Request) (string, Via, bool) { return g.id, g.via, g.id != "" }
