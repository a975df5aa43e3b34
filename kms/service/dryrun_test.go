package service_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// dry returns a copy of a request that asks for a dry run; false for one that cannot.
func dry(request any) (any, bool) {
	v := reflect.New(reflect.TypeOf(request).Elem())
	v.Elem().Set(reflect.ValueOf(request).Elem())
	f := v.Elem().FieldByName("DryRun")
	if !f.IsValid() {
		return nil, false
	}
	f.SetBool(true)
	return v.Interface(), true
}

// Every operation that has a dry run ends it with dry_run, and nothing came of it: nothing is written, no use is
// noted, and the audit record says what it was.
func TestDryRun(t *testing.T) {
	has := map[string]bool{}
	for _, op := range kms.Operations {
		if _, ok := op.RequestType().FieldByName("DryRun"); !ok {
			continue
		}
		has[op.Name] = true
		t.Run(op.Name, func(t *testing.T) {
			w := newWorld(t, twoRegions)
			s := w.topic(t, w.alice, op, "alias/a")
			usage := func() string {
				a := w.must(t, w.alice, kms.OpGetKeyLastUsage, &kms.KeyRequest{KeyID: s.id}).(*kms.KeyLastUsageAnswer)
				for i := range a.Operations {
					a.Operations[i].EventID = ""
				}
				return fmt.Sprintf("%+v", a.Operations)
			}
			request := rights[op].request(s)
			asked, _ := dry(request)
			used, before, index, proposals := usage(), len(w.Records()), w.State().Index(), w.Counts().Proposals
			answer, err := w.Do(w.alice, op, asked)
			want(t, "dry run", err, kms.CodeDryRun)
			if answer != nil || !strings.HasSuffix(err.Error(), ": The request would have succeeded, but the DryRun option is set.") {
				t.Errorf("%v, %v", answer, err)
			}
			if w.State().Index() != index || w.Counts().Proposals != proposals {
				t.Error("a dry run was written")
			}
			records := w.Records()[before:]
			parameters := fmt.Sprint(records[0]["requestParameters"])
			if len(records) != 1 || records[0]["errorCode"] != string(kms.CodeDryRun) || !strings.Contains(parameters, "dryRun:true") {
				t.Errorf("audited as %v", records)
			}
			if got := usage(); got != used {
				t.Errorf("a dry run is noted as a use: %s, before %s", got, used)
			}

			// What would fail fails.
			w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: s.id})
			code := kms.CodeKeyDisabled
			if op == kms.OpRevokeGrant || op == kms.OpRetireGrant {
				code = kms.CodeDryRun // in every state
			}
			_, err = w.Do(w.alice, op, asked)
			want(t, "of a disabled key", err, code)
			_, err = w.Do(w.bob, op, asked)
			if code := kms.CodeOf(err); code != kms.CodeNotFound && code != kms.CodeAccessDenied {
				t.Errorf("by somebody else: %v", err)
			}
			w.must(t, w.alice, kms.OpEnableKey, &kms.KeyRequest{KeyID: s.id})
			w.must(t, w.alice, op, request)
		})
	}
	for _, name := range strings.Fields("CreateGrant RetireGrant RevokeGrant Encrypt Decrypt ReEncrypt GenerateDataKey GenerateDataKeyWithoutPlaintext " +
		"GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateMac VerifyMac Sign Verify DeriveSharedSecret Encapsulate Decapsulate") {
		if !has[name] {
			t.Errorf("%s has no dry run", name)
		}
		delete(has, name)
	}
	if len(has) > 0 {
		t.Errorf("AWS KMS has no dry run of %v", has)
	}
}

// A dry run finds what is wrong as the request itself would; but one that leaves the ciphertext unread.
func TestDryRunFindsWhatIsWrong(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, other, sign, mac := w.CreateKey(w.alice), w.CreateKey(w.alice), w.make(t, w.alice, signingKey).KeyID, w.make(t, w.alice, macKey).KeyID
	blob := w.encrypt(t, w.alice, key, "p", nil)
	ignore := []string{"IGNORE_CIPHERTEXT"}
	dec := func(key string, blob []byte, modifiers ...string) *kms.DecryptRequest {
		return &kms.DecryptRequest{KeyID: key, CiphertextBlob: blob, DryRun: true, DryRunModifiers: modifiers}
	}
	re := func(from string, blob []byte, modifiers ...string) *kms.ReEncryptRequest {
		return &kms.ReEncryptRequest{KeyID: other, SourceKeyID: from, CiphertextBlob: blob, DryRun: true, DryRunModifiers: modifiers}
	}
	w.judge(t, []verdict{
		{"signature", kms.OpVerify, &kms.VerifyRequest{KeyID: sign, Message: []byte("m"), Signature: []byte("s"), SigningAlgorithm: kms.ECDSASHA256, DryRun: true}, kms.CodeInvalidSignature, ""},
		{"mac", kms.OpVerifyMac, &kms.VerifyMacRequest{KeyID: mac, Message: []byte("m"), Mac: []byte("s"), MacAlgorithm: kms.HMACSHA256, DryRun: true}, kms.CodeInvalidMac, ""},
		{"algorithm", kms.OpSign, &kms.SignRequest{KeyID: sign, Message: []byte("m"), SigningAlgorithm: kms.ECDSASHA384, DryRun: true}, kms.CodeInvalidKeyUsage, ""},
		{"usage", kms.OpEncrypt, &kms.EncryptRequest{KeyID: sign, Plaintext: []byte("m"), DryRun: true}, kms.CodeInvalidKeyUsage, ""},
		{"length", kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: make([]byte, 4097), DryRun: true}, kms.CodeValidation, ""},
		{"ciphertext", kms.OpDecrypt, dec("", changed(blob, 50)), kms.CodeInvalidCiphertext, ""},
		{"another key", kms.OpDecrypt, dec(other, blob), kms.CodeIncorrectKey, ""},
		{"no ciphertext", kms.OpDecrypt, dec(key, nil), kms.CodeValidation, ""},
		{"source ciphertext", kms.OpReEncrypt, re("", changed(blob, 50)), kms.CodeInvalidCiphertext, ""},

		{"ignored", kms.OpDecrypt, dec(key, []byte("garbage"), ignore...), kms.CodeDryRun, ""},
		{"ignored, another's", kms.OpDecrypt, dec(other, blob, ignore...), kms.CodeDryRun, ""},
		{"ignored, none", kms.OpDecrypt, dec(key, nil, ignore...), kms.CodeDryRun, ""},
		{"ignored, no key", kms.OpDecrypt, dec("", blob, ignore...), kms.CodeValidation, ""},
		{"ignored, no key, none", kms.OpDecrypt, dec("", nil, ignore...), kms.CodeValidation, ""},
		{"ignored, usage", kms.OpDecrypt, dec(sign, nil, ignore...), kms.CodeInvalidKeyUsage, ""},
		{"ignored", kms.OpReEncrypt, re(key, []byte("garbage"), ignore...), kms.CodeDryRun, ""},
		{"ignored, none", kms.OpReEncrypt, re(key, nil, ignore...), kms.CodeDryRun, ""},
		{"ignored, no key", kms.OpReEncrypt, re("", blob, ignore...), kms.CodeValidation, ""},
		{"no dry run", kms.OpDecrypt, &kms.DecryptRequest{KeyID: key, CiphertextBlob: blob, DryRunModifiers: ignore}, kms.CodeValidation, "DryRun"},
		{"no dry run", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: blob, DryRunModifiers: ignore}, kms.CodeValidation, "DryRun"},
	})
}
