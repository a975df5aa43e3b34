package policy

import (
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	known := []string{"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "sts:AssumeRole"}
	for _, row := range []struct {
		kind    Kind
		text    string // with a § before what is warned of, in the order of the warnings
		message []string
	}{
		{KeyPolicy, document(allowTo(aliceARN)), nil},
		{KeyPolicy, document(`{"Effect":"Allow","Principal":§"*","Action":"kms:*","Resource":"*"}`), []string{"Everyone is allowed"}},
		{KeyPolicy, document(`{"Effect":"Allow","Principal":{"AWS":[§"*","` + account + `"]},"Action":"kms:*","Resource":"*","Condition":{}}`), []string{"Everyone is allowed"}},
		{KeyPolicy, document(`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`), nil},
		{KeyPolicy, document(`{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}`), nil},
		{KeyPolicy, document(`{"Effect":"Deny",§"NotPrincipal":{"AWS":"` + account + `"},"Action":"kms:*","Resource":"*"}`), []string{"NotPrincipal denies every caller"}},
		{KeyPolicy, document(`{"Effect":"Deny",§"NotPrincipal":§"*","Action":"kms:*","Resource":"*"}`), []string{"NotPrincipal denies", "can never apply"}},
		{KeyPolicy, document(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":["kms:Encrypt",§"kms:Encrpyt",§"s3:GetObject"],"Resource":"*"}`), []string{"no known action", "can never apply"}},
		{KeyPolicy, document(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":["KMS:encrypt","kms:Gen*",§"kms:Gone*"],"Resource":"*"}`), []string{"no known action"}},
		{KeyPolicy, document(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"kms:*","Resource":["*",§"arn:aws:s3:::x"]}`), []string{"is the key"}},
		{KeyPolicy, document(`{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"*","Resource":"*","Condition":{"StringEquals":{§"kms:KeySpecs":"x","kms:KeySpec":"x","kms:EncryptionContext:a":"b","aws:PrincipalTag/t":"x","graph.facebook.com:id":"1",§"aws:SourceIpp":"x","kms:RecipientAttestation:PCR0":"x"}}}`), []string{"not a known condition key", "not a known condition key"}},
		{IdentityPolicy, document(`{"Effect":"Allow",§"NotAction":"iam:*",§"NotResource":§"*"}`), []string{"NotAction with Allow", "NotResource with Allow", "can never apply"}},
		{IdentityPolicy, document(`{"Effect":"Deny","NotAction":"iam:*","Resource":"*"}`), nil},
		{IdentityPolicy, document(`{"Effect":"Allow","Action":"s3:Anything","Resource":"*"}`), nil},
		{IdentityPolicy, document(`{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*","Condition":{§"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}}`), []string{"true when the key is absent"}},
		{IdentityPolicy, document(`{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}}`), nil},
		{IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":§"arn:aws:kms:*:*:key/${aws:username}","Condition":{"StringEquals":{"aws:username":["a",§"${aws:userid}"]}}}}`, []string{"2012-10-17", "2012-10-17"}},
		{TrustPolicy, document(`{"Effect":"Allow","Principal":§"*","Action":"sts:AssumeRole"}`), []string{"Everyone is allowed"}},
	} {
		warnings := Lint(parse(t, row.kind, strings.ReplaceAll(row.text, "§", "")), known)
		if len(warnings) != len(row.message) {
			t.Errorf("%s: %+v", row.text, warnings)
			continue
		}
		rest := row.text
		column := 1
		for i, w := range warnings {
			before, after, _ := strings.Cut(rest, "§")
			column += len([]rune(before))
			rest = after
			if w.Line != 1 || w.Column != column || w.Statement != 0 || !strings.Contains(w.Message, row.message[i]) {
				t.Errorf("%s: %+v, want column %d and %q", row.text, w, column, row.message[i])
			}
		}
	}
	if Lint(nil, known) != nil || Lint(&Document{}, known) != nil {
		t.Error("no document has warnings")
	}
}
