package service_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// want fails unless err has the code; "" means success.
func want(t *testing.T, what string, err error, code kms.Code) {
	t.Helper()
	if got := kms.CodeOf(err); got != code {
		t.Fatalf("%s: %q (%v), want %q", what, got, err, code)
	}
}

func ptr[T any](v T) *T { return &v }

// world is a cluster of one node with two tenants.
type world struct {
	*servicetest.Cluster
	*servicetest.Node
	alice, bob servicetest.Credentials
}

const (
	aliceID = "111111111111"
	bobID   = "222222222222"
)

func newWorld(t *testing.T, o servicetest.Options) *world {
	t.Helper()
	c := servicetest.New(t)
	n := c.Node(o)
	return &world{c, n, n.CreateAccount(aliceID), n.CreateAccount(bobID)}
}

func (w *world) encrypt(t *testing.T, who servicetest.Credentials, key, plaintext string, context map[string]string) []byte {
	t.Helper()
	answer, err := w.Do(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(plaintext), EncryptionContext: context})
	want(t, "encrypt", err, "")
	return answer.(*kms.EncryptAnswer).CiphertextBlob
}

// requests returns a request of every operation that is right for the owner of key and alias.
func requests(key, alias string, ciphertext []byte) map[*kms.Operation]any {
	return map[*kms.Operation]any{
		kms.OpCreateKey:                       &kms.CreateKeyRequest{Description: "d", Tags: map[string]string{"k": "v"}},
		kms.OpDescribeKey:                     &kms.KeyRequest{KeyID: key},
		kms.OpListKeys:                        &kms.ListRequest{},
		kms.OpEnableKey:                       &kms.KeyRequest{KeyID: key},
		kms.OpDisableKey:                      &kms.KeyRequest{KeyID: key},
		kms.OpGetKeyPolicy:                    &kms.KeyRequest{KeyID: key},
		kms.OpEncrypt:                         &kms.EncryptRequest{KeyID: key, Plaintext: []byte("secret plaintext")},
		kms.OpDecrypt:                         &kms.DecryptRequest{CiphertextBlob: ciphertext},
		kms.OpReEncrypt:                       &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: ciphertext},
		kms.OpGenerateDataKey:                 &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256},
		kms.OpGenerateDataKeyWithoutPlaintext: &kms.GenerateDataKeyRequest{KeyID: key, NumberOfBytes: ptr(24)},
		kms.OpGenerateRandom:                  &kms.GenerateRandomRequest{NumberOfBytes: ptr(16)},
		kms.OpCreateAlias:                     &kms.CreateAliasRequest{AliasName: "alias/new", TargetKeyID: key},
		kms.OpUpdateAlias:                     &kms.UpdateAliasRequest{AliasName: alias, TargetKeyID: key},
		kms.OpDeleteAlias:                     &kms.DeleteAliasRequest{AliasName: alias},
		kms.OpListAliases:                     &kms.ListAliasesRequest{KeyID: key},
		kms.OpGetCallerIdentity:               &kms.Empty{},
		kms.OpCreateAccount:                   &kms.CreateAccountRequest{AccountID: "333333333333", Name: "n"},
		kms.OpListAccounts:                    &kms.ListRequest{},
		kms.OpDisableAccount:                  &kms.AccountRequest{AccountID: bobID},
		kms.OpGetSetting:                      &kms.SettingRequest{Name: kms.SettingRevocationBound},
		kms.OpPutSetting:                      &kms.PutSettingRequest{Name: kms.SettingRevocationBound, Value: "30s"},
		kms.OpReadMembers:                     &kms.Empty{},
		kms.OpAllowMember:                     &kms.AllowMemberRequest{Name: "node-9"},
		kms.OpRemoveMember:                    &kms.RemoveMemberRequest{Name: "node-9"},
		kms.OpSeal:                            &kms.SealRequest{},
	}
}

// Every operation of the table is served, its answer has the table's type, and it is audited once,
// under its own name, without any secret.
func TestEveryOperation(t *testing.T) {
	for _, op := range kms.Operations {
		t.Run(op.Name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			key := w.CreateKey(w.Root)
			_, err := w.Do(w.Root, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
			want(t, "alias", err, "")
			ciphertext := w.encrypt(t, w.Root, key, "secret plaintext", nil)
			request, ok := requests(key, "alias/a", ciphertext)[op]
			if !ok {
				t.Fatal("the test has no request for it")
			}
			before, counts := len(w.Records()), w.Counts()
			answer, err := w.Do(w.Root, op, request)
			want(t, op.Name, err, "")
			if got := fmt.Sprintf("%T", answer); got != "*"+op.AnswerType().String() {
				t.Errorf("the answer is a %s", got)
			}
			records := w.Records()[before:]
			if len(records) != 1 || records[0]["eventName"] != op.Name || records[0]["readOnly"] != !op.Mutates {
				t.Fatalf("audit records: %v", records)
			}
			for _, leak := range []string{"secret plaintext", string(ciphertext), w.Root.Secret} {
				if bytes.Contains(w.Lines(), []byte(leak)) {
					t.Errorf("the audit record shows a secret")
				}
			}
			if a, ok := answer.(*kms.CreateAccountAnswer); ok && bytes.Contains(w.Lines(), []byte(string(a.SecretAccessKey))) {
				t.Error("the audit record shows the new secret access key")
			}
			after := w.Counts()
			proposed, confirmed, leases := after.Proposals-counts.Proposals, after.Confirmations-counts.Confirmations, after.Leases-counts.Leases
			switch {
			case op.Crypto && (proposed != 0 || confirmed != 0 || leases < 2):
				t.Errorf("cryptography made %d proposals, %d confirmations and asked for %d leases", proposed, confirmed, leases)
			case !op.Crypto && leases != 0:
				t.Error("control work asked for the lease")
			case op.Revokes && after.Awaits == counts.Awaits:
				t.Error("a revocation did not wait for the members")
			}
		})
	}
}

// No caller without a valid identity learns anything from any operation, and each refusal is
// confirmed and audited.
func TestEveryOperationNeedsIdentity(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	ciphertext := w.encrypt(t, w.alice, key, "p", nil)
	messages := map[string]bool{}
	for _, who := range []servicetest.Credentials{
		{}, {AccessKeyID: w.alice.AccessKeyID, Secret: "wrong"}, {AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Secret: w.alice.Secret},
	} {
		for op, request := range requests(key, "alias/a", ciphertext) {
			records, confirmed := len(w.Records()), w.Counts().Confirmations
			_, err := w.Do(who, op, request)
			want(t, op.Name, err, kms.CodeUnauthenticated)
			messages[err.Error()] = true
			if len(w.Records()) != records+1 {
				t.Errorf("%s: the refusal is not audited", op.Name)
			}
			if w.Counts().Confirmations == confirmed {
				t.Errorf("%s: the refusal left unconfirmed", op.Name)
			}
		}
	}
	if len(messages) != 1 {
		t.Errorf("refusals differ: %v", messages)
	}
}

// Two tenants cannot see each other: walk every operation with each form of the other's names.
func TestTenantsCannotSeeEachOther(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	arn := "arn:aws:kms:us-east-1:" + aliceID + ":key/" + key
	_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/secret-name", TargetKeyID: key})
	want(t, "alias", err, "")
	ciphertext := w.encrypt(t, w.alice, key, "p", nil)
	own := w.CreateKey(w.bob)
	nowhere := "00000000-0000-4000-8000-000000000001"
	gone := "arn:aws:kms:us-east-1:" + aliceID + ":key/" + nowhere

	for _, op := range kms.Operations {
		if op == kms.OpSeal {
			continue // denied below with the other cluster operations; here it would end the walk
		}
		for form, name := range map[string]string{"id": key, "arn": arn, "alias arn": strings.Replace(arn, "key/"+key, "alias/secret-name", 1)} {
			request := requests(name, "alias/secret-name", ciphertext)[op]
			answer, err := w.Do(w.bob, op, request)
			switch op {
			case kms.OpCreateKey, kms.OpListKeys, kms.OpGenerateRandom, kms.OpGetCallerIdentity:
				want(t, op.Name, err, "")
				if text := fmt.Sprintf("%+v", answer); strings.Contains(text, key) || strings.Contains(text, aliceID) {
					t.Errorf("%s shows the other tenant: %s", op.Name, text)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s by %s succeeds: %+v", op.Name, form, answer)
				continue
			}
			code := kms.CodeOf(err)
			if code != kms.CodeAccessDenied && code != kms.CodeNotFound && code != kms.CodeValidation {
				t.Errorf("%s by %s: %v", op.Name, form, err)
			}
			// What does not exist is refused in the same words as what exists elsewhere.
			if form == "alias arn" || op.Resource != kms.ResourceKey || op == kms.OpDecrypt || op == kms.OpReEncrypt {
				continue
			}
			other := nowhere
			if form == "arn" {
				other = gone
			}
			_, missing := w.Do(w.bob, op, requests(other, "alias/other", ciphertext)[op])
			if missing == nil || strings.ReplaceAll(missing.Error(), nowhere, key) != err.Error() {
				t.Errorf("%s by %s tells existence: %v, %v", op.Name, form, err, missing)
			}
		}
	}

	// The other's ciphertext, under no name and under one's own.
	_, err = w.Do(w.bob, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
	want(t, "decrypt", err, kms.CodeAccessDenied)
	_, err = w.Do(w.bob, kms.OpDecrypt, &kms.DecryptRequest{KeyID: own, CiphertextBlob: ciphertext})
	want(t, "decrypt with own key", err, kms.CodeIncorrectKey)
	_, err = w.Do(w.bob, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: own, CiphertextBlob: ciphertext})
	want(t, "re-encrypt", err, kms.CodeAccessDenied)

	// The same alias name is another alias.
	_, err = w.Do(w.bob, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/secret-name", TargetKeyID: own})
	want(t, "alias of the same name", err, "")
	answer, err := w.Do(w.alice, kms.OpDescribeKey, &kms.KeyRequest{KeyID: "alias/secret-name"})
	want(t, "describe", err, "")
	if answer.(*kms.KeyAnswer).Key.KeyID != key {
		t.Error("the other tenant moved the alias")
	}
}

// Actions on the cluster are for the operator account alone.
func TestClusterOperationsAreTheOperators(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for op, request := range requests("k", "alias/a", nil) {
		if op.Resource != kms.ResourceCluster {
			continue
		}
		_, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, kms.CodeAccessDenied)
	}
	if w.Catalog.Sealed() {
		t.Error("a tenant sealed the node")
	}
}
