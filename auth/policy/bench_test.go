package policy

import "testing"

// benchPolicy has ten statements with conditions, as a key of several teams would. The last one
// allows.
const benchPolicy = `{
  "Version": "2012-10-17",
  "Id": "team-key",
  "Statement": [
    {"Sid": "TLS", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    {"Sid": "Network", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]}}},
    {"Sid": "Freeze", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}},
    {"Sid": "Deletion", "Effect": "Deny", "Principal": "*", "Action": "kms:ScheduleKeyDeletion", "Resource": "*", "Condition": {"NumericLessThan": {"kms:ScheduleKeyDeletionPendingWindowInDays": 30}}},
    {"Sid": "Admin", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/admin"}, "Action": "kms:*", "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
    {"Sid": "Grants", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/team/app"}, "Action": "kms:CreateGrant", "Resource": "*", "Condition": {"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt", "Decrypt"]}}},
    {"Sid": "Service", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*", "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}},
    {"Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": ["kms:Decrypt", "kms:DescribeKey"], "Resource": "*", "Condition": {"StringEquals": {"kms:EncryptionContext:Partner": "acme"}}},
    {"Sid": "Owner", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/team/app"}, "Action": "kms:*", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/owner": "${aws:PrincipalTag/owner}"}}},
    {"Sid": "Use", "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::111122223333:role/other", "arn:aws:iam::111122223333:role/team/app"]}, "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*", "Condition": {"StringEquals": {"kms:EncryptionContext:App": "${aws:PrincipalTag/app}"}, "ForAllValues:StringLike": {"kms:EncryptionContextKeys": ["App", "File*"]}, "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/team/*"}}}
  ]
}`

// requestKeys is a Context as a server has one: it answers from fields and does not allocate.
type requestKeys struct{ contextKeys []string }

func (k *requestKeys) Lookup(name, sub string) (Values, bool) {
	switch name {
	case "aws:securetransport":
		return One("true"), true
	case "aws:sourceip":
		return One("10.20.30.40"), true
	case "aws:currenttime":
		return One("2026-01-31T12:00:00Z"), true
	case "aws:principalarn":
		return One(roleARN), true
	case "aws:principaltag":
		return One("billing"), sub == "app"
	case "kms:encryptioncontext":
		return One("billing"), sub == "App"
	case "kms:encryptioncontextkeys":
		return Many(k.contextKeys), true
	}
	return Values{}, false
}

func benchQuery(tb testing.TB) *Query {
	return &Query{
		Request: Request{
			Action:   "kms:Decrypt",
			Resource: keyARN,
			Caller:   session,
			Context:  &requestKeys{contextKeys: []string{"App", "FilePath"}},
		},
		ResourceAccount: account,
		KeyPolicy:       parse(tb, KeyPolicy, benchPolicy),
		Identity:        []*Document{identity(tb, allowKMS)},
	}
}

func TestEvaluateDoesNotAllocate(t *testing.T) {
	q := benchQuery(t)
	if d := Evaluate(q); d.Reason != KeyPolicyAllows || d.Sid() != "Use" {
		t.Fatalf("%v by %q", d.Reason, d.Sid())
	}
	if n := testing.AllocsPerRun(100, func() { Evaluate(q) }); n != 0 {
		t.Errorf("%v allocations for an allow", n)
	}
	q.Caller = bob
	if n := testing.AllocsPerRun(100, func() { Evaluate(q) }); n != 0 {
		t.Errorf("%v allocations for a denial", n)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	q := benchQuery(b)
	b.ReportAllocs()
	for b.Loop() {
		if !Evaluate(q).Allow() {
			b.Fatal("denied")
		}
	}
}

// BenchmarkEvaluateDefault is the policy that most keys have: it delegates to the account.
func BenchmarkEvaluateDefault(b *testing.B) {
	q := benchQuery(b)
	q.KeyPolicy = keyPolicy(b, allowTo(rootARN))
	b.ReportAllocs()
	for b.Loop() {
		if !Evaluate(q).Allow() {
			b.Fatal("denied")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(KeyPolicy, benchPolicy); err != nil {
			b.Fatal(err)
		}
	}
}
