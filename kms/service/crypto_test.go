package service_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// verdict is one row of a decision table: an operation of alice and the code it ends with.
type verdict struct {
	name    string
	op      *kms.Operation
	request any
	code    kms.Code
	message string // part of it
}

func (w *world) judge(t *testing.T, rows []verdict) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.op.Name+"/"+row.name, func(t *testing.T) {
			_, err := w.Do(w.alice, row.op, row.request)
			want(t, row.name, err, row.code)
			if err != nil && !strings.Contains(err.Error(), row.message) {
				t.Errorf("message %q, want %q in it", err, row.message)
			}
		})
	}
}

func changed(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[at] ^= 1
	return c
}

func TestCryptoDecisions(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, disabled := w.CreateKey(w.alice), w.CreateKey(w.alice)
	arn := "arn:aws:kms:us-east-1:" + aliceID + ":key/"
	for name, target := range map[string]string{"alias/on": key, "alias/off": disabled} {
		_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: name, TargetKeyID: target})
		want(t, name, err, "")
	}
	context := map[string]string{"tenant": "a", "purpose": "test"}
	ciphertext := w.encrypt(t, w.alice, key, "p", context)
	ofDisabled := w.encrypt(t, w.alice, disabled, "p", nil)
	_, err := w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: disabled})
	want(t, "disable", err, "")
	otherVersion := bytes.Clone(ciphertext)
	binary.BigEndian.PutUint32(otherVersion[18:], 2)
	nowhere := "00000000-0000-4000-8000-000000000001"

	enc := func(key, plaintext string) *kms.EncryptRequest {
		return &kms.EncryptRequest{KeyID: key, Plaintext: []byte(plaintext)}
	}
	dec := func(key string, ciphertext []byte, context map[string]string) *kms.DecryptRequest {
		return &kms.DecryptRequest{KeyID: key, CiphertextBlob: ciphertext, EncryptionContext: context}
	}
	big := map[string]string{"k": strings.Repeat("v", 9000)}
	w.judge(t, []verdict{
		{"id", kms.OpEncrypt, enc(key, "p"), "", ""},
		{"arn", kms.OpEncrypt, enc(arn+key, "p"), "", ""},
		{"alias", kms.OpEncrypt, enc("alias/on", "p"), "", ""},
		{"alias arn", kms.OpEncrypt, enc(strings.TrimSuffix(arn, "key/")+"alias/on", "p"), "", ""},
		{"largest", kms.OpEncrypt, enc(key, strings.Repeat("x", 4096)), "", ""},
		{"empty", kms.OpEncrypt, enc(key, ""), kms.CodeValidation, "greater than or equal to 1"},
		{"too large", kms.OpEncrypt, enc(key, strings.Repeat("x", 4097)), kms.CodeValidation,
			"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"no key", kms.OpEncrypt, enc("", "p"), kms.CodeValidation, ""},
		{"no uuid", kms.OpEncrypt, enc("nonsense", "p"), kms.CodeInvalidKeyID, "Invalid keyId 'nonsense'"},
		{"upper case", kms.OpEncrypt, enc(strings.ToUpper(key), "p"), kms.CodeInvalidKeyID, "Invalid keyId"},
		{"missing key", kms.OpEncrypt, enc(nowhere, "p"), kms.CodeNotFound, "Key '" + arn + nowhere + "' does not exist"},
		{"missing alias", kms.OpEncrypt, enc("alias/none", "p"), kms.CodeNotFound, "Alias arn:aws:kms:us-east-1:" + aliceID + ":alias/none is not found."},
		{"other region", kms.OpEncrypt, enc(strings.Replace(arn, "us-east-1", "eu-west-1", 1)+key, "p"), kms.CodeNotFound, "Invalid arn eu-west-1"},
		{"other partition", kms.OpEncrypt, enc(strings.Replace(arn, "arn:aws:", "arn:aws-cn:", 1)+key, "p"), kms.CodeInvalidARN, "Invalid arn"},
		{"foreign account", kms.OpEncrypt, enc(strings.Replace(arn, aliceID, bobID, 1)+key, "p"), kms.CodeAccessDenied, "is not authorized to perform: kms:Encrypt on resource: arn:aws:kms:us-east-1:" + bobID},
		{"disabled by id", kms.OpEncrypt, enc(disabled, "p"), kms.CodeKeyDisabled, arn + disabled + " is disabled."},
		{"disabled by arn", kms.OpEncrypt, enc(arn+disabled, "p"), kms.CodeKeyDisabled, "is disabled."},
		{"disabled by alias", kms.OpEncrypt, enc("alias/off", "p"), kms.CodeKeyDisabled, "is disabled."},
		{"disabled by alias arn", kms.OpEncrypt, enc(strings.TrimSuffix(arn, "key/")+"alias/off", "p"), kms.CodeKeyDisabled, "is disabled."},
		{"algorithm", kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), EncryptionAlgorithm: "SYMMETRIC_DEFAULT"}, "", ""},
		{"algorithm of other keys", kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), EncryptionAlgorithm: "SM2PKE"}, kms.CodeInvalidKeyUsage, "Algorithm SM2PKE is incompatible with key spec SYMMETRIC_DEFAULT."},
		{"unknown algorithm", kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), EncryptionAlgorithm: "ROT13"}, kms.CodeValidation, "enum value set"},
		{"context", kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), EncryptionContext: context}, "", ""},
		{"context too long", kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), EncryptionContext: big}, kms.CodeValidation, "encryption context"},
		{"wrong type", kms.OpEncrypt, &kms.Empty{}, kms.CodeInvalidRequest, ""},

		{"without key", kms.OpDecrypt, dec("", ciphertext, context), "", ""},
		{"with key", kms.OpDecrypt, dec(key, ciphertext, context), "", ""},
		{"with alias", kms.OpDecrypt, dec("alias/on", ciphertext, context), "", ""},
		{"no context", kms.OpDecrypt, dec("", ciphertext, nil), kms.CodeInvalidCiphertext, ""},
		{"changed tag", kms.OpDecrypt, dec("", changed(ciphertext, len(ciphertext)-1), context), kms.CodeInvalidCiphertext, ""},
		{"changed format", kms.OpDecrypt, dec("", changed(ciphertext, 0), context), kms.CodeInvalidCiphertext, ""},
		{"short", kms.OpDecrypt, dec("", ciphertext[:20], context), kms.CodeInvalidCiphertext, ""},
		{"empty", kms.OpDecrypt, dec("", nil, nil), kms.CodeValidation, "ciphertextBlob"},
		{"too long", kms.OpDecrypt, dec("", make([]byte, 6145), nil), kms.CodeValidation, "6144"},
		{"unknown version", kms.OpDecrypt, dec("", otherVersion, context), kms.CodeInvalidCiphertext, ""},
		{"unknown key", kms.OpDecrypt, dec("", changed(ciphertext, 5), context), kms.CodeAccessDenied, "The ciphertext refers to a customer master key that does not exist"},
		{"another key", kms.OpDecrypt, dec(disabled, ciphertext, context), kms.CodeIncorrectKey, ""},
		{"disabled", kms.OpDecrypt, dec("", ofDisabled, nil), kms.CodeKeyDisabled, arn + disabled + " is disabled."},
		{"disabled, named", kms.OpDecrypt, dec("alias/off", ofDisabled, nil), kms.CodeKeyDisabled, ""},

		{"to itself", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: ciphertext, SourceEncryptionContext: context}, "", ""},
		{"wrong source", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, SourceKeyID: disabled, CiphertextBlob: ciphertext, SourceEncryptionContext: context}, kms.CodeIncorrectKey, ""},
		{"from disabled", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: ofDisabled}, kms.CodeKeyDisabled, arn + disabled},
		{"to disabled", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: disabled, CiphertextBlob: ciphertext, SourceEncryptionContext: context}, kms.CodeKeyDisabled, arn + disabled},
		{"source context", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: ciphertext}, kms.CodeInvalidCiphertext, ""},

		{"spec and number", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: "AES_256", NumberOfBytes: ptr(1)}, kms.CodeValidation, "either"},
		{"neither", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key}, kms.CodeValidation, "either"},
		{"unknown spec", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: "AES_512"}, kms.CodeValidation, "keySpec"},
		{"0 bytes", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, NumberOfBytes: ptr(0)}, kms.CodeValidation, "numberOfBytes"},
		{"1025 bytes", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, NumberOfBytes: ptr(1025)}, kms.CodeValidation, "numberOfBytes"},
		{"disabled", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: disabled, KeySpec: "AES_128"}, kms.CodeKeyDisabled, ""},
		{"missing", kms.OpGenerateRandom, &kms.GenerateRandomRequest{}, kms.CodeValidation, "NumberOfBytes is required."},
		{"0", kms.OpGenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: ptr(0)}, kms.CodeValidation, ""},
		{"1025", kms.OpGenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: ptr(1025)}, kms.CodeValidation, ""},
	})
}

func TestCryptoAnswers(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, other := w.CreateKey(w.alice), w.CreateKey(w.alice)
	arn := "arn:aws:kms:us-east-1:" + aliceID + ":key/"
	do := func(op *kms.Operation, request any) any {
		t.Helper()
		answer, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, "")
		return answer
	}
	context := map[string]string{"a": "b"}
	decrypt := func(blob []byte, context map[string]string) *kms.DecryptAnswer {
		t.Helper()
		return do(kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob, EncryptionContext: context}).(*kms.DecryptAnswer)
	}

	material := do(kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}).(*kms.KeyAnswer).Key.CurrentKeyMaterialID
	blob := w.encrypt(t, w.alice, key, "hello", context)
	if d := decrypt(blob, context); string(d.Plaintext) != "hello" || d.KeyID != arn+key || d.KeyMaterialID != material || len(material) != 64 {
		t.Errorf("decrypted %q with %s, %s", []byte(d.Plaintext), d.KeyID, d.KeyMaterialID)
	}
	re := do(kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: other, CiphertextBlob: blob, SourceEncryptionContext: context}).(*kms.ReEncryptAnswer)
	if re.KeyID != arn+other || re.SourceKeyID != arn+key || re.SourceKeyMaterialID != material {
		t.Errorf("re-encrypted %+v", re)
	}
	if d := decrypt(re.CiphertextBlob, nil); string(d.Plaintext) != "hello" || d.KeyID != arn+other || d.KeyMaterialID != re.DestinationKeyMaterialID {
		t.Errorf("re-encrypted to %q with %s", []byte(d.Plaintext), d.KeyID)
	}
	for _, q := range []kms.GenerateDataKeyRequest{
		{KeyID: key, KeySpec: kms.DataKeyAES128}, {KeyID: key, KeySpec: kms.DataKeyAES256}, {KeyID: key, NumberOfBytes: ptr(1024)},
	} {
		a := do(kms.OpGenerateDataKey, &q).(*kms.GenerateDataKeyAnswer)
		if d := decrypt(a.CiphertextBlob, nil); !bytes.Equal(d.Plaintext, a.Plaintext) || bytes.Equal(a.Plaintext, make([]byte, len(a.Plaintext))) {
			t.Error("the data key is not what its ciphertext holds")
		}
		q.WithoutPlaintext = true
		a = do(kms.OpGenerateDataKey, &q).(*kms.GenerateDataKeyAnswer)
		if a.Plaintext != nil {
			t.Error("a data key was answered in plaintext")
		}
		decrypt(a.CiphertextBlob, nil)
	}
	if last := w.Records()[len(w.Records())-2]; last["eventName"] != kms.OpGenerateDataKeyWithoutPlaintext.Name {
		t.Errorf("without plaintext it is audited as %v", last["eventName"])
	}
}
