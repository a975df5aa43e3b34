package policy

import "testing"

// matchRow is the elements of a statement, and whether it covers an action on a resource.
type matchRow struct {
	elements string
	action   string
	resource string
	keys     keys
	want     bool
	doubt    bool // as in conditionRow
}

type matchGroup struct {
	page string
	rows []matchRow
}

const aliasARN = "arn:aws:kms:us-east-1:111122223333:alias/app"

func TestMatching(t *testing.T) {
	for _, group := range []matchGroup{actionRows, notActionRows, resourceRows, notResourceRows} {
		for _, row := range group.rows {
			allow := Query{
				Request:  Request{Action: row.action, Resource: row.resource, Caller: alice, Context: row.keys},
				Identity: []*Document{identity(t, `{"Effect":"Allow",`+row.elements+`}`)},
			}
			if got := Evaluate(&allow).Allow(); got != (row.want && !row.doubt) {
				t.Errorf("%s\n%s: %s on %s: Allow applies: %v", group.page, row.elements, row.action, row.resource, got)
			}
			deny := allow
			deny.Identity = []*Document{identity(t, `{"Effect":"Deny",`+row.elements+`}`)}
			if got := Evaluate(&deny).Effect == ExplicitDeny; got != (row.want || row.doubt) {
				t.Errorf("%s\n%s: %s on %s: Deny applies: %v", group.page, row.elements, row.action, row.resource, got)
			}
		}
	}
}

var actionRows = matchGroup{"reference_policies_elements_action.html", []matchRow{
	{elements: `"Action":"kms:Encrypt","Resource":"*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"kms:encrypt","Resource":"*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"KMS:ENCRYPT","Resource":"*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"kms:Encrypt","Resource":"*"`, action: "KMS:encrypt", resource: keyARN, want: true},
	{elements: `"Action":"kms:Encrypt","Resource":"*"`, action: "kms:EncryptMore", resource: keyARN},
	{elements: `"Action":"kms:Encrypt","Resource":"*"`, action: "kms:ReEncrypt", resource: keyARN},
	{elements: `"Action":"kms:Encrypt","Resource":"*"`, action: "s3:Encrypt", resource: keyARN},
	{elements: `"Action":"*","Resource":"*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"kms:*","Resource":"*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"kms:*","Resource":"*"`, action: "iam:GetUser", resource: aliceARN},
	{elements: `"Action":"kms:*","Resource":"*"`, action: "kmsx:Encrypt", resource: keyARN},
	{elements: `"Action":"kms:GenerateDataKey*","Resource":"*"`, action: "kms:GenerateDataKey", resource: keyARN, want: true},
	{elements: `"Action":"kms:GenerateDataKey*","Resource":"*"`, action: "kms:GenerateDataKeyPairWithoutPlaintext", resource: keyARN, want: true},
	{elements: `"Action":"kms:GenerateDataKey*","Resource":"*"`, action: "kms:GenerateMac", resource: keyARN},
	{elements: `"Action":"kms:*Encrypt*","Resource":"*"`, action: "kms:ReEncryptFrom", resource: keyARN, want: true},
	{elements: `"Action":"kms:*crypt","Resource":"*"`, action: "kms:Decrypt", resource: keyARN, want: true},
	{elements: `"Action":"kms:*crypt","Resource":"*"`, action: "kms:ReEncryptTo", resource: keyARN},
	{elements: `"Action":"kms:?ncrypt","Resource":"*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"kms:?ncrypt","Resource":"*"`, action: "kms:ncrypt", resource: keyARN},
	{elements: `"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"`, action: "kms:Decrypt", resource: keyARN, want: true},
	{elements: `"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"`, action: "kms:Sign", resource: keyARN},
	{elements: `"Action":"kms:Encrypt","Resource":"*"`, action: "kms:*", resource: keyARN},
	{elements: `"Action":"kms:Encrypt","Resource":"*"`, action: "kms:Encryp?", resource: keyARN},
	{elements: `"Action":"lockstep:*","Resource":"*"`, action: "lockstep:GetClusterStatus", resource: "*", want: true},
	{elements: `"Action":"resource-groups:List*","Resource":"*"`, action: "resource-groups:ListGroups", resource: "*", want: true},
}}

var notActionRows = matchGroup{"reference_policies_elements_notaction.html", []matchRow{
	{elements: `"NotAction":"kms:Encrypt","Resource":"*"`, action: "kms:Encrypt", resource: keyARN},
	{elements: `"NotAction":"kms:Encrypt","Resource":"*"`, action: "kms:Decrypt", resource: keyARN, want: true},
	{elements: `"NotAction":"kms:Encrypt","Resource":"*"`, action: "KMS:ENCRYPT", resource: keyARN},
	{elements: `"NotAction":"kms:*","Resource":"*"`, action: "kms:Decrypt", resource: keyARN},
	{elements: `"NotAction":"kms:*","Resource":"*"`, action: "iam:GetUser", resource: aliceARN, want: true},
	{elements: `"NotAction":["kms:Encrypt","kms:De*"],"Resource":"*"`, action: "kms:Decrypt", resource: keyARN},
	{elements: `"NotAction":["kms:Encrypt","kms:De*"],"Resource":"*"`, action: "kms:Sign", resource: keyARN, want: true},
	{elements: `"NotAction":"*","Resource":"*"`, action: "kms:Sign", resource: keyARN},
	{elements: `"NotAction":"kms:Encrypt","Resource":"` + aliasARN + `"`, action: "kms:Decrypt", resource: keyARN},
}}

var resourceRows = matchGroup{"reference_policies_elements_resource.html", []matchRow{
	{elements: `"Action":"*","Resource":"` + keyARN + `"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"` + keyARN + `"`, action: "kms:Encrypt", resource: keyARN + "0"},
	{elements: `"Action":"*","Resource":"*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"*"`, action: "kms:CreateKey", resource: "*", want: true},
	{elements: `"Action":"*","Resource":"` + keyARN + `"`, action: "kms:CreateKey", resource: "*"},
	{elements: `"Action":"*","Resource":"arn:aws:kms:*:*:*"`, action: "kms:CreateKey", resource: "*"},
	{elements: `"Action":"*","Resource":"arn:aws:kms:us-east-1:111122223333:key/*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:kms:us-east-1:111122223333:key/*"`, action: "kms:Encrypt", resource: aliasARN},
	{elements: `"Action":"*","Resource":"arn:aws:kms:*:111122223333:key/*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:kms:us-*:111122223333:key/*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:kms:us-east-?:111122223333:key/*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:kms:*:*:key/*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:kms:*:444455556666:key/*"`, action: "kms:Encrypt", resource: keyARN},
	{elements: `"Action":"*","Resource":"arn:*:kms:*:*:key/*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:kms:*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:kms:us-east-1:*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/ALICE"`, action: "iam:GetUser", resource: aliceARN},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/a*e"`, action: "iam:GetUser", resource: aliceARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/accounting/*"`, action: "iam:GetUser", resource: "arn:aws:iam::111122223333:user/accounting/eu/alice", want: true},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/?????"`, action: "iam:GetUser", resource: aliceARN, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/????"`, action: "iam:GetUser", resource: aliceARN},
	{elements: `"Action":"*","Resource":["` + aliasARN + `","` + keyARN + `"]`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","Resource":"` + aliceARN + `"`, action: "iam:GetUser", resource: "arn:aws:iam::111122223333:user/*"},
	{elements: `"Action":"*","Resource":"arn:aws:kms:*:444455556666:key/x"`, action: "kms:Encrypt", resource: "arn:aws:kms:us-east-1:111122223333:key/a:444455556666:key/x"},
	{elements: `"Action":"*","Resource":"arn:aws:kms:us-east-1:1*3:key/x"`, action: "kms:Encrypt", resource: "arn:aws:kms:us-east-1:1:key/y:3:key/x"},
	{elements: `"Action":"*","Resource":"arn:aws:kms:us-east-1:111122223333:key/*x"`, action: "kms:Encrypt", resource: "arn:aws:kms:us-east-1:111122223333:key/a:444455556666:key/x", want: true},
	{elements: `"Action":"*","Resource":"arn:aws:kms:us?east-1:111122223333:key/x"`, action: "kms:Encrypt", resource: "arn:aws:kms:us:east-1:111122223333:key/x"},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/${aws:username}"`, action: "iam:GetUser", resource: aliceARN, keys: keys{"aws:username": {"alice"}}, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/${aws:username}"`, action: "iam:GetUser", resource: aliceARN, keys: keys{"aws:username": {"bob"}}},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/${aws:username}"`, action: "iam:GetUser", resource: aliceARN, keys: keys{"aws:username": {"*"}}},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/${aws:username}"`, action: "iam:GetUser", resource: "arn:aws:iam::111122223333:user/*", keys: keys{"aws:username": {"*"}}, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/${aws:username}"`, action: "iam:GetUser", resource: aliceARN},
	{elements: `"Action":"*","Resource":"arn:aws:kms:*:*:key/${aws:PrincipalTag/key}"`, action: "kms:Encrypt", resource: "arn:aws:kms:eu:1:key/k1", keys: keys{"aws:principaltag/key": {"k1"}}, want: true},
	{elements: `"Action":"*","Resource":"arn:aws:iam::111122223333:user/${*}"`, action: "iam:GetUser", resource: aliceARN},
	{elements: `"Action":"*","Resource":["arn:aws:iam::111122223333:user/${aws:username}","` + aliceARN + `"]`, action: "iam:GetUser", resource: aliceARN, want: true},
}}

var notResourceRows = matchGroup{"reference_policies_elements_notresource.html", []matchRow{
	{elements: `"Action":"*","NotResource":"` + keyARN + `"`, action: "kms:Encrypt", resource: keyARN},
	{elements: `"Action":"*","NotResource":"` + keyARN + `"`, action: "kms:Encrypt", resource: aliasARN, want: true},
	{elements: `"Action":"*","NotResource":"` + keyARN + `"`, action: "kms:CreateKey", resource: "*", want: true},
	{elements: `"Action":"*","NotResource":"arn:aws:kms:*:*:alias/*"`, action: "kms:Encrypt", resource: aliasARN},
	{elements: `"Action":"*","NotResource":"arn:aws:kms:*:*:alias/*"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","NotResource":["arn:aws:kms:*:*:alias/*","arn:aws:kms:*:*:key/*"]`, action: "kms:Encrypt", resource: keyARN},
	{elements: `"Action":"*","NotResource":"*"`, action: "kms:Encrypt", resource: keyARN},
	{elements: `"Action":"kms:Decrypt","NotResource":"` + aliasARN + `"`, action: "kms:Encrypt", resource: keyARN},
	{elements: `"NotAction":"kms:Decrypt","NotResource":"` + aliasARN + `"`, action: "kms:Encrypt", resource: keyARN, want: true},
	{elements: `"Action":"*","NotResource":"arn:aws:iam::111122223333:user/${aws:username}"`, action: "iam:GetUser", resource: aliceARN, keys: keys{"aws:username": {"alice"}}},
	{elements: `"Action":"*","NotResource":"arn:aws:iam::111122223333:user/${aws:username}"`, action: "iam:GetUser", resource: aliceARN, keys: keys{"aws:username": {"bob"}}, want: true},
	{elements: `"Action":"*","NotResource":"arn:aws:iam::111122223333:user/${aws:username}"`, action: "iam:GetUser", resource: aliceARN, doubt: true},
}}

// TestVersions: reference_policies_elements_version.html. Variables are text in the older language,
// which is also that of a document without a version.
func TestVersions(t *testing.T) {
	for _, row := range []struct {
		version  string
		username string
		want     bool
	}{
		{`"Version":"2012-10-17",`, "alice", true},
		{`"Version":"2012-10-17",`, "${aws:username}", true},
		{`"Version":"2008-10-17",`, "alice", false},
		{`"Version":"2008-10-17",`, "${aws:username}", true},
		{``, "alice", false},
		{``, "${aws:username}", true},
	} {
		d := parse(t, IdentityPolicy, `{`+row.version+`"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:x":"${aws:username}"}}}}`)
		got := Evaluate(&Query{
			Request:  Request{Action: "kms:Encrypt", Resource: keyARN, Caller: alice, Context: keys{"aws:x": {row.username}, "aws:username": {row.username}}},
			Identity: []*Document{d},
		}).Allow()
		if got != row.want {
			t.Errorf("%q with %q: %v", row.version, row.username, got)
		}
	}
}
