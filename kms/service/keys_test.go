package service_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func TestControlDecisions(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, other := w.CreateKey(w.alice), w.CreateKey(w.alice)
	many := map[string]string{}
	for i := range 51 {
		many[strconv.Itoa(i)] = ""
	}
	alias := func(name, target string) *kms.CreateAliasRequest {
		return &kms.CreateAliasRequest{AliasName: name, TargetKeyID: target}
	}
	w.judge(t, []verdict{
		{"words of the defaults", kms.OpCreateKey, &kms.CreateKeyRequest{KeySpec: "SYMMETRIC_DEFAULT", KeyUsage: "ENCRYPT_DECRYPT", Origin: "AWS_KMS"}, "", ""},
		{"default policy", kms.OpCreateKey, &kms.CreateKeyRequest{Policy: defaultPolicy(aliceID)}, "", ""},
		{"no policy", kms.OpCreateKey, &kms.CreateKeyRequest{Policy: "{}"}, kms.CodeMalformedPolicy, "line 1, column"},
		{"RSA without a usage", kms.OpCreateKey, &kms.CreateKeyRequest{KeySpec: "RSA_2048"}, kms.CodeValidation, "You must specify a KeyUsage"},
		{"SM2", kms.OpCreateKey, &kms.CreateKeyRequest{KeySpec: "SM2", KeyUsage: "SIGN_VERIFY"}, kms.CodeUnsupported, "SM2"},
		{"unknown spec", kms.OpCreateKey, &kms.CreateKeyRequest{KeySpec: "DES"}, kms.CodeValidation, "Value at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [RSA_2048"},
		{"signing", kms.OpCreateKey, &kms.CreateKeyRequest{KeyUsage: "SIGN_VERIFY"}, kms.CodeValidation, "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT"},
		{"unknown usage", kms.OpCreateKey, &kms.CreateKeyRequest{KeyUsage: "PLAY"}, kms.CodeValidation, "keyUsage"},
		{"a key store", kms.OpCreateKey, &kms.CreateKeyRequest{Origin: "AWS_CLOUDHSM"}, kms.CodeUnsupported, "Key stores"},
		{"unknown origin", kms.OpCreateKey, &kms.CreateKeyRequest{Origin: "MARS"}, kms.CodeValidation, "origin"},
		{"longest description", kms.OpCreateKey, &kms.CreateKeyRequest{Description: strings.Repeat("é", 8192)}, "", ""},
		{"description", kms.OpCreateKey, &kms.CreateKeyRequest{Description: strings.Repeat("é", 8193)}, kms.CodeValidation, "8192"},
		{"tags", kms.OpCreateKey, &kms.CreateKeyRequest{Tags: many}, kms.CodeInvalidTag, "Too many tags"},
		{"reserved tag", kms.OpCreateKey, &kms.CreateKeyRequest{Tags: map[string]string{"AwS:x": ""}}, kms.CodeInvalidTag, "reserved"},
		{"long tag", kms.OpCreateKey, &kms.CreateKeyRequest{Tags: map[string]string{"x": strings.Repeat("v", 257)}}, kms.CodeInvalidTag, ""},
		{"empty tag", kms.OpCreateKey, &kms.CreateKeyRequest{Tags: map[string]string{"": "v"}}, kms.CodeInvalidTag, ""},

		{"id", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}, "", ""},
		{"nothing", kms.OpDescribeKey, &kms.DescribeKeyRequest{}, kms.CodeValidation, ""},
		{"page too large", kms.OpListKeys, &kms.ListRequest{Limit: 1001}, kms.CodeValidation, "less than or equal to 1000"},
		{"negative page", kms.OpListKeys, &kms.ListRequest{Limit: -1}, kms.CodeValidation, "greater than or equal to 1"},
		{"garbage marker", kms.OpListKeys, &kms.ListRequest{Marker: "AAAA"}, kms.CodeInvalidMarker, "marker is invalid"},
		{"no base64", kms.OpListKeys, &kms.ListRequest{Marker: "***"}, kms.CodeInvalidMarker, "marker is invalid"},

		{"first", kms.OpCreateAlias, alias("alias/a", key), "", ""},
		{"again", kms.OpCreateAlias, alias("alias/a", other), kms.CodeAlreadyExists, "An alias with the name arn:aws:kms:us-east-1:" + aliceID + ":alias/a already exists"},
		{"no prefix", kms.OpCreateAlias, alias("a", key), kms.CodeInvalidAliasName, `Alias must start with the prefix "alias/".`},
		{"reserved", kms.OpCreateAlias, alias("alias/aws/s3", key), kms.CodeInvalidAliasName, "reserved"},
		{"characters", kms.OpCreateAlias, alias("alias/ä", key), kms.CodeInvalidAliasName, ""},
		{"to an alias", kms.OpCreateAlias, alias("alias/b", "alias/a"), kms.CodeValidation, "Aliases must refer to keys. Not aliases"},
		{"to nothing", kms.OpCreateAlias, alias("alias/b", "00000000-0000-4000-8000-000000000001"), kms.CodeNotFound, "does not exist"},
		{"to a foreign key", kms.OpCreateAlias, alias("alias/b", "arn:aws:kms:us-east-1:"+bobID+":key/"+key), kms.CodeAccessDenied, ""},
		{"move", kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: other}, "", ""},
		{"stay", kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: other}, "", ""},
		{"missing", kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/none", TargetKeyID: key}, kms.CodeNotFound, "is not found"},
		{"by alias", kms.OpListAliases, &kms.ListAliasesRequest{KeyID: "alias/a"}, kms.CodeInvalidKeyID, "Invalid keyId"},
		{"missing key", kms.OpListAliases, &kms.ListAliasesRequest{KeyID: "00000000-0000-4000-8000-000000000001"}, kms.CodeNotFound, ""},
		{"page too large", kms.OpListAliases, &kms.ListAliasesRequest{Limit: 101}, kms.CodeValidation, "100"},
		{"delete", kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/a"}, "", ""},
		{"delete again", kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/a"}, kms.CodeNotFound, "is not found"},
		{"gone", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/a"}, kms.CodeNotFound, ""},
		{"free again", kms.OpCreateAlias, alias("alias/a", key), "", ""},
	})
	w.alice = w.Root // the rows below are the operator's
	w.judge(t, []verdict{
		{"chosen", kms.OpCreateAccount, &kms.CreateAccountRequest{AccountID: "123456789012"}, "", ""},
		{"taken", kms.OpCreateAccount, &kms.CreateAccountRequest{AccountID: "123456789012"}, kms.CodeAlreadyExists, ""},
		{"not 12 digits", kms.OpCreateAccount, &kms.CreateAccountRequest{AccountID: "12345678901x"}, kms.CodeValidation, "12 digits"},
		{"operator", kms.OpDisableAccount, &kms.AccountRequest{AccountID: servicetest.Operator}, kms.CodeInvalidState, ""},
		{"missing", kms.OpDisableAccount, &kms.AccountRequest{AccountID: "999999999999"}, kms.CodeNotFound, ""},
		{"tenant", kms.OpDisableAccount, &kms.AccountRequest{AccountID: bobID}, "", ""},
		{"unknown", kms.OpGetSetting, &kms.SettingRequest{Name: "color"}, kms.CodeNotFound, "color"},
		{"unknown", kms.OpPutSetting, &kms.PutSettingRequest{Name: "color", Value: "1s"}, kms.CodeNotFound, ""},
		{"too short", kms.OpPutSetting, &kms.PutSettingRequest{Name: "revocation_bound", Value: "999ms"}, kms.CodeValidation, "from 1s to 1h"},
		{"too long", kms.OpPutSetting, &kms.PutSettingRequest{Name: "revocation_bound", Value: "61m"}, kms.CodeValidation, ""},
		{"no duration", kms.OpPutSetting, &kms.PutSettingRequest{Name: "revocation_bound", Value: "soon"}, kms.CodeValidation, ""},
		{"right", kms.OpPutSetting, &kms.PutSettingRequest{Name: "revocation_bound", Value: "90s"}, "", ""},
		{"name", kms.OpAllowMember, &kms.AllowMemberRequest{Name: "No/Name"}, kms.CodeValidation, ""},
	})
	_, err := w.Do(w.bob, kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "a disabled account", err, kms.CodeUnauthenticated)
	if got := w.Catalog.RevocationBound().String(); got != "1m30s" {
		t.Errorf("the bound is %s", got)
	}
}

func TestControlAnswers(t *testing.T) {
	w := newWorld(t, servicetest.Options{Regions: []string{"eu-west-1", "us-east-1"}})
	do := func(op *kms.Operation, request any) any {
		t.Helper()
		answer, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, "")
		return answer
	}
	k := do(kms.OpCreateKey, &kms.CreateKeyRequest{Description: "d"}).(*kms.KeyAnswer).Key
	if k.ARN != "arn:aws:kms:eu-west-1:"+aliceID+":key/"+k.KeyID || k.AccountID != aliceID || k.Region != "eu-west-1" || !k.Enabled ||
		k.KeyState != kms.StateEnabled || k.KeyManager != "CUSTOMER" || k.Description != "d" || k.CreatedAt.UnixMilli() < servicetest.Epoch {
		t.Errorf("created %+v", k)
	}
	if got := do(kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: k.ARN}).(*kms.KeyAnswer).Key; got.ARN != k.ARN || got.CurrentKeyMaterialID != k.CurrentKeyMaterialID {
		t.Errorf("described %+v, created %+v", got, k)
	}
	if p := do(kms.OpGetKeyPolicy, &kms.KeyRequest{KeyID: k.KeyID}).(*kms.GetKeyPolicyAnswer); p.Policy != auth.DefaultKeyPolicy("aws", aliceID) || p.PolicyName != "default" || p.KeyID != k.ARN {
		t.Errorf("policy %+v", p)
	}
	for _, op := range []*kms.Operation{kms.OpDisableKey, kms.OpDisableKey, kms.OpEnableKey, kms.OpEnableKey} {
		got := do(op, &kms.KeyRequest{KeyID: k.KeyID}).(*kms.KeyAnswer).Key
		if got.Enabled != (op == kms.OpEnableKey) || got.Description != "d" {
			t.Errorf("%s: %+v", op.Name, got)
		}
	}
	if id := do(kms.OpGetCallerIdentity, &kms.Empty{}).(*kms.CallerIdentityAnswer); id.ARN != "arn:aws:iam::"+aliceID+":root" || id.Account != aliceID || id.UserID != aliceID {
		t.Errorf("identity %+v", id)
	}

	// A region is a namespace.
	call := servicetest.Call(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: k.KeyID})
	call.Region = "us-east-1"
	_, err := w.Service.Do(t.Context(), call)
	want(t, "other region", err, kms.CodeNotFound)
	call.Region = "mars-1"
	_, err = w.Service.Do(t.Context(), call)
	want(t, "a region that is not served", err, kms.CodeValidation)
	call = servicetest.Call(servicetest.Credentials{}, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: k.KeyID})
	call.Region = "mars-1"
	confirmed := w.Counts().Confirmations
	_, err = w.Service.Do(t.Context(), call)
	want(t, "nobody, in a region that is not served", err, kms.CodeUnauthenticated)
	if w.Counts().Confirmations == confirmed {
		t.Error("the refusal left unconfirmed")
	}
}

func TestPaging(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	names := map[string]bool{}
	for range 25 {
		names[w.CreateKey(w.alice)] = true
	}
	var first string
	for key := range names {
		first = key
	}
	w.CreateKey(w.bob)
	read := func(op *kms.Operation, request func(marker string) any, page func(any) (names []string, next string)) []string {
		t.Helper()
		var all []string
		for marker := ""; ; {
			answer, err := w.Do(w.alice, op, request(marker))
			want(t, op.Name, err, "")
			some, next := page(answer)
			if next != "" && len(some) != 4 {
				t.Fatalf("a page of %d before the last one", len(some))
			}
			all = append(all, some...)
			if marker = next; next == "" {
				return all
			}
		}
	}
	keys := read(kms.OpListKeys, func(m string) any { return &kms.ListRequest{Limit: 4, Marker: m} }, func(a any) (ids []string, next string) {
		for _, k := range a.(*kms.ListKeysAnswer).Keys {
			ids = append(ids, k.KeyID)
		}
		return ids, a.(*kms.ListKeysAnswer).NextMarker
	})
	if len(keys) != 25 {
		t.Fatalf("%d keys", len(keys))
	}
	for i, k := range keys {
		if !names[k] || i > 0 && keys[i-1] >= k {
			t.Errorf("key %d is %s", i, k)
		}
	}

	for i := range 12 {
		target := first
		if i%3 == 2 {
			target = keys[0]
			if target == first {
				target = keys[1]
			}
		}
		_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/" + strconv.Itoa(100+i), TargetKeyID: target})
		want(t, "alias", err, "")
	}
	for filter, n := range map[string]int{"": 12, first: 8} {
		aliases := read(kms.OpListAliases, func(m string) any { return &kms.ListAliasesRequest{KeyID: filter, Limit: 4, Marker: m} }, func(a any) (ids []string, next string) {
			for _, k := range a.(*kms.ListAliasesAnswer).Aliases {
				if filter != "" && k.TargetKeyID != filter {
					t.Errorf("%s is listed for %s", k.AliasName, filter)
				}
				ids = append(ids, k.AliasName)
			}
			return ids, a.(*kms.ListAliasesAnswer).NextMarker
		})
		if len(aliases) != n {
			t.Errorf("filter %q: %v", filter, aliases)
		}
	}

	// A marker is of one listing of one account.
	answer, err := w.Do(w.alice, kms.OpListKeys, &kms.ListRequest{Limit: 1})
	want(t, "list", err, "")
	marker := answer.(*kms.ListKeysAnswer).NextMarker
	_, err = w.Do(w.bob, kms.OpListKeys, &kms.ListRequest{Marker: marker})
	want(t, "another account's marker", err, kms.CodeInvalidMarker)
	_, err = w.Do(w.alice, kms.OpListAliases, &kms.ListAliasesRequest{Marker: marker})
	want(t, "another listing's marker", err, kms.CodeInvalidMarker)

	answer, err = w.Do(w.Root, kms.OpListAccounts, &kms.ListRequest{Limit: 2})
	want(t, "accounts", err, "")
	accounts := answer.(*kms.ListAccountsAnswer)
	if len(accounts.Accounts) != 2 || accounts.Accounts[0].AccountID != servicetest.Operator || !accounts.Accounts[0].Operator || accounts.NextMarker == "" {
		t.Errorf("accounts %+v", accounts)
	}
	answer, err = w.Do(w.Root, kms.OpListAccounts, &kms.ListRequest{Limit: 2, Marker: accounts.NextMarker})
	want(t, "accounts", err, "")
	if rest := answer.(*kms.ListAccountsAnswer); len(rest.Accounts) != 1 || rest.Accounts[0].AccountID != bobID || rest.NextMarker != "" {
		t.Errorf("rest of the accounts %+v", rest)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, servicetest.Options{MaxKeys: 3})
	key := w.CreateKey(w.alice)
	w.CreateKey(w.alice)
	w.CreateKey(w.alice)
	_, err := w.Do(w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{})
	want(t, "a fourth key", err, kms.CodeLimitExceeded)
	w.CreateKey(w.bob) // another account's
	for i := range 50 {
		_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/" + strconv.Itoa(i), TargetKeyID: key})
		want(t, "alias", err, "")
	}
	_, err = w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/50", TargetKeyID: key})
	want(t, "a 51st alias", err, kms.CodeLimitExceeded)
	_, err = w.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/0", TargetKeyID: key})
	want(t, "an alias that stays", err, "")
	_, err = w.Do(w.alice, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/7"})
	want(t, "delete", err, "")
	_, err = w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/50", TargetKeyID: key})
	want(t, "an alias in the place", err, "")
}

// What is known to be wrong is not answered as something old either.
func TestStaleReadsOfAnUnsoundNode(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.Break(servicetest.Faults{Sound: func() error { return kms.Errorf(kms.CodeUnavailable, "") }})
	for op, request := range map[*kms.Operation]any{
		kms.OpDescribeKey: &kms.KeyRequest{KeyID: key}, kms.OpListKeys: &kms.ListRequest{}, kms.OpListAliases: &kms.ListAliasesRequest{},
	} {
		call := servicetest.Call(w.alice, op, request)
		call.Stale = true
		_, err := w.Service.Do(t.Context(), call)
		want(t, op.Name, err, kms.CodeUnavailable)
	}
}
