package policy

import (
	"errors"
	"strings"
	"testing"
)

// syntaxRow is a malformed document with a § before the offending token, and a part of the message.
type syntaxRow struct {
	kind    Kind
	text    string
	message string
}

// in puts statement elements into an Allow statement that is right otherwise.
func in(elements string) string {
	return "{\n \"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\": \"Allow\", " + elements + "}]\n}"
}

const (
	who  = `"Principal": "*", `
	what = `"Action": "kms:*", `
	on   = `"Resource": "*"`
)

// condition is a document with one condition.
func withCondition(c string) string { return in(what + on + `, "Condition": {` + c + `}`) }

func syntaxRows() []syntaxRow {
	return []syntaxRow{
		// JSON
		{IdentityPolicy, ``, "ends too early"},
		{IdentityPolicy, `{§`, "ends too early"},
		{IdentityPolicy, "{\n \"Version\": \"2012-10-17\",\n \"Statement\": [§", "ends too early"},
		{IdentityPolicy, `{"Version": "2012-10§`, "ends too early"},
		{IdentityPolicy, `n§onsense`, "not valid JSON"},
		{IdentityPolicy, "{\"Version\" §\"2012-10-17\"}", "not valid JSON"},
		{IdentityPolicy, `{"Statement": [{} §{}]}`, "not valid JSON"},
		{IdentityPolicy, `{§'Version': 1}`, "not valid JSON"},
		{IdentityPolicy, "{\"Id\": \"a§\nb\"}", "not valid JSON"},
		{IdentityPolicy, `{"Id": "§\x"}`, "not valid JSON"},
		{IdentityPolicy, "{\"Id\": \"§\xff\"}", "not valid UTF-8"},
		{IdentityPolicy, in(what+on) + "\n§{}", "ends before this"},
		{IdentityPolicy, in(what+on) + " §x", "ends before this"},
		{IdentityPolicy, in(what+on) + "§,", "ends before this"},
		{IdentityPolicy, "{\n  \"Version\": \"2012-10-17\",\n  §\"Version\": \"2012-10-17\"}", "is in this object twice"},
		{IdentityPolicy, in(what + `§"Action": "kms:Encrypt", ` + on), "is in this object twice"},
		{IdentityPolicy, withCondition(`"Bool": {"aws:x": "true"}, §"Bool": {}`), "is in this object twice"},
		{IdentityPolicy, `{"Statement": [[[[[[[§[[]]]]]]]]}`, "8 levels"},
		{IdentityPolicy, `{"Statement": [` + strings.Repeat(`1,`, 998) + `§1]}`, "1000 values"},
		{IdentityPolicy, strings.Repeat(" ", maxText) + "§{}", "65536 bytes"},
		{IdentityPolicy, in(`"Action": ["kms:*", §"kms:` + strings.Repeat("a?", maxWildcards) + `"], ` + on), "at most 1000 wildcards"},
		{KeyPolicy, in(who + what + on + `, "Sid": "§Ā"`), "U+0020 to U+00FF"},
		{KeyPolicy, "{§\v}", "U+0020 to U+00FF"},
		{KeyPolicy, "{\"Id\": \"é§\u2028\"}", "U+0020 to U+00FF"},
		// the document
		{IdentityPolicy, `§[]`, "is a JSON object"},
		{IdentityPolicy, `§"x"`, "is a JSON object"},
		{IdentityPolicy, ` §null`, "is a JSON object"},
		{IdentityPolicy, `§{}`, "has no Statement"},
		{IdentityPolicy, `{§"version": "2012-10-17"}`, "not an element of a policy document"},
		{IdentityPolicy, `{"Version": §"2012-10-18"}`, "not a version"},
		{IdentityPolicy, `{"Version": §2012}`, "Version is a string"},
		{KeyPolicy, `{"Id": §[]}`, "Id is a string"},
		{IdentityPolicy, `{§"Id": "x"}`, "has no Id"},
		{IdentityPolicy, `{"Statement": §"x"}`, "Statement is an object or a list"},
		{IdentityPolicy, `{"Statement": §[]}`, "Statement is an object or a list"},
		{IdentityPolicy, `{"Statement": [§"x"]}`, "A statement is an object"},
		{IdentityPolicy, `{"Statement": {}, §"Extra": 1}`, "not an element of a policy document"},
		// statements
		{IdentityPolicy, in(what + on + `, §"Resources": "*"`), "not an element of a statement"},
		{IdentityPolicy, in(what + on + `, §"effect": "Allow"`), "not an element of a statement"},
		{IdentityPolicy, `{"Statement": §{"Action": "*", "Resource": "*"}}`, "has no Effect"},
		{IdentityPolicy, `{"Statement": {"Effect": §"allow", "Action": "*", "Resource": "*"}}`, "Effect is \"Allow\" or \"Deny\""},
		{IdentityPolicy, `{"Statement": {"Effect": §true, "Action": "*", "Resource": "*"}}`, "Effect is a string"},
		{IdentityPolicy, in(what + on + `, "Sid": §7`), "Sid is a string"},
		{IdentityPolicy, in(what + on + `, "Sid": §"a b"`), "letters and digits only"},
		{TrustPolicy, in(`"Principal": "*", "Action": "sts:AssumeRole", "Sid": §"a-b"`), "letters and digits only"},
		{IdentityPolicy, "{\"Statement\": [{\"Sid\": \"A\", \"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\"},\n{\"Sid\": §\"A\", \"Effect\": \"Deny\", \"Action\": \"*\", \"Resource\": \"*\"}]}", "is taken by an earlier statement"},
		// actions
		{IdentityPolicy, "{\"Statement\":\n  §{\"Effect\": \"Allow\", \"Resource\": \"*\"}}", "neither Action nor NotAction"},
		{IdentityPolicy, in(what + on + `, §"NotAction": "iam:*"`), "Action or NotAction but not both"},
		{IdentityPolicy, in(`"Action": §[], ` + on), "Action is an empty list"},
		{IdentityPolicy, in(`"NotAction": §[], ` + on), "NotAction is an empty list"},
		{IdentityPolicy, in(`"Action": §7, ` + on), "Action is a string or a list of strings"},
		{IdentityPolicy, in(`"Action": ["kms:*", §null], ` + on), "Action is a string or a list of strings"},
		{IdentityPolicy, in(`"Action": §{}, ` + on), "Action is a string or a list of strings"},
		{IdentityPolicy, in(`"Action": §"Encrypt", ` + on), "is not an action"},
		{IdentityPolicy, in(`"Action": §"", ` + on), "is not an action"},
		{IdentityPolicy, in(`"Action": ["kms:Encrypt", §"k*:Decrypt"], ` + on), "no wildcard"},
		{IdentityPolicy, in(`"Action": §":Decrypt", ` + on), "is not an action"},
		{IdentityPolicy, in(`"Action": §"kms:", ` + on), "is not an action"},
		{IdentityPolicy, in(`"Action": §"kms:De crypt", ` + on), "is not an action"},
		{IdentityPolicy, in(`"Action": §"kms:${aws:username}", ` + on), "is not an action"},
		{TrustPolicy, in(who + `"Action": §"*"`), "is not an action"},
		{TrustPolicy, in(who + `"Action": §"kms:Encrypt"`), "actions of sts only"},
		// resources
		{IdentityPolicy, `{"Statement": §{"Effect": "Allow", "Action": "*"}}`, "neither Resource nor NotResource"},
		{KeyPolicy, `{"Statement": §{"Effect": "Allow", "Principal": "*", "Action": "*"}}`, "neither Resource nor NotResource"},
		{IdentityPolicy, in(what + on + `, §"NotResource": "*"`), "Resource or NotResource but not both"},
		{IdentityPolicy, in(what + `"Resource": §[]`), "Resource is an empty list"},
		{IdentityPolicy, in(what + `"Resource": [§7]`), "Resource is a string or a list of strings"},
		{IdentityPolicy, in(what + `"Resource": §"key/1"`), "is not a resource"},
		{IdentityPolicy, in(what + `"Resource": ["*", §"arn:aws:kms"]`), "is not a resource"},
		{IdentityPolicy, in(what + `"Resource": §"**"`), "is not a resource"},
		{IdentityPolicy, in(what + `"Resource": §"arn:aws:kms:${aws:RequestedRegion}:111122223333:key/x"`), "after the fifth colon"},
		{IdentityPolicy, in(what + `"Resource": §"arn:aws:iam::111122223333:user/${aws:username"`), "closing"},
		{IdentityPolicy, in(what + `"Resource": §"arn:aws:iam::111122223333:user/${}"`), "names a condition key"},
		{IdentityPolicy, in(what + `"Resource": §"arn:aws:iam::111122223333:user/${aws:username, nobody}"`), "single quotes"},
		{IdentityPolicy, in(what + `"Resource": §"arn:aws:iam::111122223333:user/${aws:username, 'nobody}"`), "single quote"},
		{IdentityPolicy, in(what + `"Resource": §"arn:aws:iam::111122223333:user/` + strings.Repeat("${aws:username}", 17) + `"`), "at most 16"},
		{TrustPolicy, in(who + `"Action": "sts:AssumeRole", §"Resource": "*"`), "has no Resource"},
		{TrustPolicy, in(who + `"Action": "sts:AssumeRole", §"NotResource": "*"`), "has no NotResource"},
		// principals
		{KeyPolicy, `{"Statement": §{"Effect": "Allow", "Action": "*", "Resource": "*"}}`, "neither Principal nor NotPrincipal"},
		{IdentityPolicy, in(`§"Principal": "*", ` + what + on), "has no Principal"},
		{IdentityPolicy, in(`§"NotPrincipal": "*", ` + what + on), "has no NotPrincipal"},
		{KeyPolicy, in(`§"NotPrincipal": "*", ` + what + on), "NotPrincipal with Allow"},
		{KeyPolicy, `{"Statement": {"Effect": "Deny", "Principal": "*", §"NotPrincipal": "*", "Action": "*", "Resource": "*"}}`, "but not both"},
		{TrustPolicy, `{"Statement": {"Effect": "Deny", §"NotPrincipal": "*", "Action": "sts:*"}}`, "has no NotPrincipal"},
		{KeyPolicy, in(`"Principal": §"` + aliceARN + `", ` + what + on), "Principal is \"*\" or an object"},
		{KeyPolicy, in(`"Principal": §["*"], ` + what + on), "Principal is \"*\" or an object"},
		{KeyPolicy, in(`"Principal": §{}, ` + what + on), "Principal is \"*\" or an object"},
		{KeyPolicy, in(`"Principal": {§"User": "x"}, ` + what + on), "not a type of principal"},
		{KeyPolicy, in(`"Principal": {§"aws": "*"}, ` + what + on), "not a type of principal"},
		{KeyPolicy, in(`"Principal": {§"CanonicalUser": "x"}, ` + what + on), "CanonicalUser"},
		{KeyPolicy, in(`"Principal": {§"Federated": "x"}, ` + what + on), "no Federated principal"},
		{KeyPolicy, in(`"Principal": {"AWS": §[]}, ` + what + on), "AWS is an empty list"},
		{KeyPolicy, in(`"Principal": {"AWS": §111122223333}, ` + what + on), "AWS is a string or a list of strings"},
		{KeyPolicy, in(`"Principal": {"AWS": §"11112222333"}, ` + what + on), "is not a principal"},
		{KeyPolicy, in(`"Principal": {"AWS": §""}, ` + what + on), "is named in full"},
		{KeyPolicy, in(`"Principal": {"AWS": §"arn:aws:iam::111122223333:user/*"}, ` + what + on), "is named in full"},
		{KeyPolicy, in(`"Principal": {"AWS": ["*", §"arn:aws:sts::111122223333:assumed-role/app/*"]}, ` + what + on), "is named in full"},
		{KeyPolicy, in(`"Principal": {"AWS": §"arn:aws:iam::111122223333:group/x"}, ` + what + on), "is not a principal"},
		{KeyPolicy, in(`"Principal": {"AWS": §"arn:aws:iam::111122223333:user/"}, ` + what + on), "is not a principal"},
		{KeyPolicy, in(`"Principal": {"AWS": §"arn:aws:iam:us-east-1:111122223333:user/x"}, ` + what + on), "is not a principal"},
		{KeyPolicy, in(`"Principal": {"AWS": §"arn:aws:iam::1111:user/x"}, ` + what + on), "is not a principal"},
		{KeyPolicy, in(`"Principal": {"AWS": §"arn:aws:sts::111122223333:assumed-role/app"}, ` + what + on), "is not a principal"},
		{KeyPolicy, in(`"Principal": {"AWS": §"AIDACKCEVSQ6C2EXAMPLE"}, ` + what + on), "is not a principal"},
		{KeyPolicy, in(`"Principal": {"Service": §"*"}, ` + what + on), "is named in full"},
		{KeyPolicy, in(`"Principal": {"Service": §"backup"}, ` + what + on), "is not a service principal"},
		{TrustPolicy, in(`"Principal": {"Federated": §"*"}, "Action": "sts:AssumeRoleWithWebIdentity"`), "is named in full"},
		// conditions
		{IdentityPolicy, in(what + on + `, "Condition": §[]`), "Condition is an object"},
		{IdentityPolicy, withCondition(`§"StringIs": {"aws:x": "a"}`), "is not a condition operator"},
		{IdentityPolicy, withCondition(`§"ForSomeValues:StringEquals": {"aws:x": "a"}`), "is not a condition operator"},
		{IdentityPolicy, withCondition(`§"NullIfExists": {"aws:x": "true"}`), "is not a condition operator"},
		{IdentityPolicy, withCondition(`§"ForAnyValue:Null": {"aws:x": "true"}`), "is not a condition operator"},
		{IdentityPolicy, withCondition(`§"IfExists": {"aws:x": "true"}`), "is not a condition operator"},
		{IdentityPolicy, withCondition(`"StringEquals": §"x"`), "condition operator has an object"},
		{IdentityPolicy, withCondition(`"StringEquals": {§"username": "a"}`), "is not a condition key"},
		{IdentityPolicy, withCondition(`"StringEquals": {§"aws:": "a"}`), "is not a condition key"},
		{IdentityPolicy, withCondition(`"StringEquals": {"aws:x": §[]}`), "has no value"},
		{IdentityPolicy, withCondition(`"StringEquals": {"aws:x": §null}`), "string, a number or a boolean"},
		{IdentityPolicy, withCondition(`"StringEquals": {"aws:x": ["a", §["b"]]}`), "string, a number or a boolean"},
		{IdentityPolicy, withCondition(`"StringEquals": {"aws:x": §"${aws:username"}`), "closing"},
		{IdentityPolicy, withCondition(`"NumericEquals": {"aws:x": [1, §"one"]}`), "is not a number"},
		{IdentityPolicy, withCondition(`"NumericEquals": {"aws:x": §"${aws:x}"}`), "is not a number"},
		{IdentityPolicy, withCondition(`"DateEquals": {"aws:x": §"2026-13-01"}`), "is not a time"},
		{IdentityPolicy, withCondition(`"DateEquals": {"aws:x": §"2026-01-01T12:00:00"}`), "is not a time"},
		{IdentityPolicy, withCondition(`"DateEquals": {"aws:x": §"2026-01-01T12:00:00,5Z"}`), "is not a time"},
		{IdentityPolicy, withCondition(`"DateEquals": {"aws:x": §""}`), "is not a time"},
		{IdentityPolicy, withCondition(`"Bool": {"aws:x": §"yes"}`), "is not \"true\" or \"false\""},
		{IdentityPolicy, withCondition(`"Null": {"aws:x": §"1"}`), "is not \"true\" or \"false\""},
		{IdentityPolicy, withCondition(`"Null": {"aws:x": §["true", "false"]}`), "Null has one value"},
		{IdentityPolicy, withCondition(`"BinaryEquals": {"aws:x": §"%"}`), "is not base64"},
		{IdentityPolicy, withCondition(`"IpAddress": {"aws:x": §"10.0.0.0/33"}`), "is not an IP address"},
		{IdentityPolicy, withCondition(`"IpAddress": {"aws:x": §"10.0.0"}`), "is not an IP address"},
		{IdentityPolicy, withCondition(`"IpAddress": {"aws:x": §"fe80::1%eth0"}`), "is not an IP address"},
	}
}

func TestSyntaxErrors(t *testing.T) {
	rows := syntaxRows()
	if len(rows) < 60 {
		t.Errorf("only %d rows", len(rows))
	}
	for _, row := range rows {
		before, after, _ := strings.Cut(row.text, "§")
		doc, err := Parse(row.kind, before+after)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || doc != nil {
			t.Errorf("%v %.200q: %v", row.kind, row.text, err)
			continue
		}
		line := strings.Count(before, "\n") + 1
		column := len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
		if syntax.Line != line || syntax.Column != column || !strings.Contains(syntax.Message, row.message) {
			t.Errorf("%v %.200q: %v; want line %d, column %d and %q", row.kind, row.text, err, line, column, row.message)
		}
		if m := syntax.Message; !strings.HasSuffix(m, ".") || len(m) > 400 {
			t.Errorf("not a sentence: %q", m)
		}
	}
}

func TestSyntaxErrorText(t *testing.T) {
	_, err := Parse(IdentityPolicy, "{\n\"Version\": \"2012-10-17\",\n  \"Sid\": \"é\"}")
	if err == nil || !strings.HasPrefix(err.Error(), "line 3, column 3: ") {
		t.Error(err)
	}
	if _, err := Parse(0, document(allowKMS)); err == nil {
		t.Error("a kind that does not exist is parsed")
	}
}

// TestParseAccepts: what the grammar leaves open.
func TestParseAccepts(t *testing.T) {
	for _, row := range []struct {
		kind Kind
		text string
	}{
		{KeyPolicy, "{\"Id\":\"key-default-1\",\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"Enable IAM User Permissions\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"" + rootARN + "\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}]}"},
		{KeyPolicy, "\t\r\n{\"Statement\": {\"Resource\": \"*\", \"NotAction\": [\"kms:Delete*\"], \"Principal\": {\"AWS\": [\"" + account + "\", \"*\"], \"Service\": [\"s3.amazonaws.com\"]}, \"Effect\": \"Allow\", \"Sid\": \"\"}}\n "},
		{KeyPolicy, document(allowTo("*"), `{"Sid":"","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`, `{"Sid":"","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`)},
		{TrustPolicy, document(`{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{}}`)},
		{IdentityPolicy, document(`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:NoSuchKey":"x"},"bool":{"aws:SecureTransport":true}}}`)},
		{IdentityPolicy, document(`{"Effect":"Allow","Action":"kms:*","Resource":["arn:aws:kms:*:*:key/*","arn:aws-us-gov:kms:*"]}`)},
	} {
		d := parse(t, row.kind, row.text)
		if d.Text() != row.text || d.Kind() != row.kind || len(d.Statements()) == 0 {
			t.Errorf("%s: %+v", row.text, d.Statements())
		}
	}
}
