package sdk

//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated, and AWS KMS answers and takes it

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

const (
	one    = "1 validation error detected: "
	longer = " failed to satisfy constraint: Member must have length less than or equal to "
	atMost = " failed to satisfy constraint: Member must have value less than or equal to "
	least  = " failed to satisfy constraint: Member must have value greater than or equal to "
)

// TestValidation shows what is outside of AWS KMS's limits, in AWS KMS's words.
func TestValidation(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c)
	signing := newKey(t, c, spec(types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt))
	for _, test := range []struct {
		operation string
		in        any
		message   string
	}{
		{"Encrypt", &kms.EncryptInput{KeyId: k.KeyId, Plaintext: make([]byte, 4097)}, one + "Value at 'plaintext'" + longer + "4096"},
		{"Encrypt", &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte{}}, one + "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"Encrypt", &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x"), GrantTokens: strings.Split(strings.Repeat("t ", 11)[:21], " ")}, one + "Value at 'grantTokens'" + longer + "10"},
		{"Encrypt", &kms.EncryptInput{KeyId: signing.KeyId, Plaintext: make([]byte, 215), EncryptionAlgorithm: "RSAES_OAEP_SHA_1"}, "Algorithm RSAES_OAEP_SHA_1 and key spec RSA_2048 cannot encrypt data larger than 214 bytes."},
		{"Encrypt", &kms.EncryptInput{KeyId: signing.KeyId, Plaintext: make([]byte, 191), EncryptionAlgorithm: "RSAES_OAEP_SHA_256"}, "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes."},
		{"Decrypt", &kms.DecryptInput{CiphertextBlob: make([]byte, 6145)}, one + "Value at 'ciphertextBlob'" + longer + "6144"},
		{"Decrypt", &kms.DecryptInput{CiphertextBlob: make([]byte, 256), EncryptionAlgorithm: "RSAES_OAEP_SHA_256"}, anything}, // names no key
		{"GenerateRandom", &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(0)}, one + "Value '0' at 'numberOfBytes'" + least + "1"},
		{"GenerateRandom", &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1025)}, one + "Value '1025' at 'numberOfBytes'" + atMost + "1024"},
		{"GenerateRandom", &kms.GenerateRandomInput{}, "NumberOfBytes is required."},
		{"GenerateDataKey", &kms.GenerateDataKeyInput{KeyId: k.KeyId}, "Please specify either number of bytes or key spec."},
		{"GenerateDataKey", &kms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: "AES_256", NumberOfBytes: aws.Int32(32)}, "Please specify either number of bytes or key spec."},
		{"ScheduleKeyDeletion", &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(6)}, one + "Value '6' at 'pendingWindowInDays'" + least + "7"},
		{"ScheduleKeyDeletion", &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: aws.Int32(31)}, one + "Value '31' at 'pendingWindowInDays'" + atMost + "30"},
		{"EnableKeyRotation", &kms.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: aws.Int32(89)}, one + "Value '89' at 'rotationPeriodInDays'" + least + "90"},
		{"EnableKeyRotation", &kms.EnableKeyRotationInput{KeyId: k.KeyId, RotationPeriodInDays: aws.Int32(2561)}, one + "Value '2561' at 'rotationPeriodInDays'" + atMost + "2560"},
		{"ListKeys", &kms.ListKeysInput{Limit: aws.Int32(0)}, one + "Value '0' at 'limit'" + least + "1"},
		{"ListKeys", &kms.ListKeysInput{Limit: aws.Int32(1001)}, one + "Value '1001' at 'limit'" + atMost + "1000"},
		{"ListKeyPolicies", &kms.ListKeyPoliciesInput{KeyId: k.KeyId, Limit: aws.Int32(1001)}, one + "Value '1001' at 'limit'" + atMost + "1000"},
		{"ListKeyRotations", &kms.ListKeyRotationsInput{KeyId: k.KeyId, Limit: aws.Int32(1001)}, one + "Value '1001' at 'limit'" + atMost + "1000"},
		{"ListAliases", &kms.ListAliasesInput{Limit: aws.Int32(101)}, one + "Value '101' at 'limit'" + atMost + "100"},
		{"ListGrants", &kms.ListGrantsInput{KeyId: k.KeyId, Limit: aws.Int32(101)}, one + "Value '101' at 'limit'" + atMost + "100"},
		{"ListRetirableGrants", &kms.ListRetirableGrantsInput{RetiringPrincipal: aws.String(root(t)), Limit: aws.Int32(101)}, one + "Value '101' at 'limit'" + atMost + "100"},
		{"ListResourceTags", &kms.ListResourceTagsInput{KeyId: k.KeyId, Limit: aws.Int32(51)}, one + "Value '51' at 'limit'" + atMost + "50"},
		{"UpdateKeyDescription", &kms.UpdateKeyDescriptionInput{KeyId: k.KeyId, Description: repeat("x", 8193)}, anything},
		{"Sign", &kms.SignInput{KeyId: k.KeyId, Message: make([]byte, 4097), SigningAlgorithm: "ECDSA_SHA_256"}, one + "Value at 'message'" + longer + "4096"},
		{"CreateKey", &kms.CreateKeyInput{KeySpec: "RSA_2048"}, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."},
		{"CreateKey", &kms.CreateKeyInput{KeySpec: "RSA_2048", KeyUsage: "KEY_AGREEMENT"}, "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048"},
		{"CreateKey", &kms.CreateKeyInput{KeySpec: "RSA_2048", CustomerMasterKeySpec: "RSA_4096", KeyUsage: "SIGN_VERIFY"},
			"You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated."},
		{"CreateKey", &kms.CreateKeyInput{KeyUsage: "NONE"}, one + "Value 'NONE' at 'keyUsage' failed to satisfy constraint: Member must satisfy enum value set: [SIGN_VERIFY, ENCRYPT_DECRYPT, GENERATE_VERIFY_MAC, KEY_AGREEMENT, ENCAPSULATE_DECAPSULATE]"},
		{"CreateAlias", &kms.CreateAliasInput{AliasName: aws.String("alias/a.b"), TargetKeyId: k.KeyId}, one + "Value 'alias/a.b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"CreateAlias", &kms.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: aws.String("alias/b")}, "Aliases must refer to keys. Not aliases"},
		{"ImportKeyMaterial", &kms.ImportKeyMaterialInput{KeyId: k.KeyId, ImportToken: []byte("x"), EncryptedKeyMaterial: []byte("x")}, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"},
		{"CreateGrant", &kms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: aws.String(root(t)), Operations: []types.GrantOperation{"Fly"}}, anything},
		{"CreateGrant", &kms.CreateGrantInput{KeyId: k.KeyId, GranteePrincipal: aws.String(root(t)), Operations: []types.GrantOperation{"Sign"}}, anything}, // of a key that cannot sign
		{"CreateGrant", &kms.CreateGrantInput{KeyId: signing.KeyId, GranteePrincipal: aws.String(root(t)), Operations: []types.GrantOperation{"Decrypt"},
			Constraints: &types.GrantConstraints{EncryptionContextEquals: map[string]string{"a": "b"}}}, anything}, // of a key without contexts
		// Everything that is wrong, in one message.
		{"Encrypt", &kms.EncryptInput{KeyId: repeat("x", 2049), Plaintext: make([]byte, 5000), EncryptionAlgorithm: "ROT13"}, "3 validation errors detected: " +
			"Value '" + strings.Repeat("x", 256) + "...' at 'keyId'" + longer + "2048; Value at 'plaintext'" + longer + "4096; " +
			"Value 'ROT13' at 'encryptionAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE]"},
		{"ListKeys", &kms.ListKeysInput{Limit: aws.Int32(1001), Marker: repeat("m", 1025)}, anything},
	} {
		t.Run(test.operation, func(t *testing.T) {
			c, _ := client(t)
			var code string
			err := do(t, c, test.operation, test.in)
			if e := asAPI(err); e == nil {
				t.Fatalf("got %v", err)
			} else if code = e.ErrorCode(); code != "ValidationException" {
				t.Errorf("got %v", err)
			} else {
				compareMessage(t, e, test.message)
			}
		})
	}
}

// TestMarkers shows that a marker is one of the same listing, or none.
func TestMarkers(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c)
	for range 2 {
		newAlias(t, c, k)
	}
	marker := call(t, c.ListAliases, &kms.ListAliasesInput{KeyId: k.KeyId, Limit: aws.Int32(1)}).NextMarker
	call(t, c.ListAliases, &kms.ListAliasesInput{KeyId: k.KeyId, Limit: aws.Int32(1), Marker: marker})
	other, _ := client(t, in(away))
	refused[*types.InvalidMarkerException](t, other.ListAliases, &kms.ListAliasesInput{Marker: marker}, anything)
	refused[*types.InvalidMarkerException](t, c.ListKeys, &kms.ListKeysInput{Marker: marker}, anything)
	for _, garbage := range []string{"x", "AAAA", *marker + "A", (*marker)[1:], strings.ToUpper(*marker) + "=", "é"} {
		refused[*types.InvalidMarkerException](t, c.ListAliases, &kms.ListAliasesInput{KeyId: k.KeyId, Marker: &garbage}, anything)
	}
}

// TestIdentifiers shows what is no identifier, and which identifiers an operation takes: those that work with a key take
// aliases, those that manage one do not.
func TestIdentifiers(t *testing.T) {
	c, _ := client(t)
	f := &fixtures{t: t, c: c, made: map[string]*fixture{}}
	k := f.key(symmetric, ready)
	name := newAlias(t, c, k.KeyMetadata)
	aliasARN := "arn:aws:kms:" + home + ":" + account(t) + ":" + name
	refused[*types.NotFoundException](t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: aws.String("no-such-thing")}, "Invalid keyId 'no-such-thing'")
	refused[*types.NotFoundException](t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: aws.String(strings.ToUpper(noKey()))}, anything)
	refused[*types.NotFoundException](t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: aws.String(keyARN("ap-south-1", account(t), *k.KeyId))}, "Invalid arn ap-south-1")
	refused[*types.NotFoundException](t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: aws.String(keyARN(away, account(t), *k.KeyId))}, "Invalid arn "+away)
	refused[*types.NotFoundException](t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: aws.String("alias/" + unique() + "x")}, anything)
	absent := "alias/" + unique()
	refused[*types.NotFoundException](t, c.Encrypt, &kms.EncryptInput{KeyId: &absent, Plaintext: []byte("x")}, "Alias arn:aws:kms:"+home+":"+account(t)+":"+absent+" is not found.")
	refused[*types.NotFoundException](t, c.UpdateAlias, &kms.UpdateAliasInput{AliasName: &absent, TargetKeyId: k.KeyId}, "Alias arn:aws:kms:"+home+":"+account(t)+":"+absent+" is not found.")
	refusedAs(t, "AccessDeniedException", c.Encrypt, &kms.EncryptInput{KeyId: aws.String(keyARN(home, "999999999999", *k.KeyId)), Plaintext: []byte("x")}, anything)

	withAliases := map[string]bool{"DescribeKey": true, "GetPublicKey": true, "Encrypt": true, "Decrypt": true, "ReEncrypt": true, "Sign": true, "Verify": true, "GenerateMac": true, "VerifyMac": true,
		"GenerateDataKey": true, "GenerateDataKeyWithoutPlaintext": true, "GenerateDataKeyPair": true, "GenerateDataKeyPairWithoutPlaintext": true,
		"DeriveSharedSecret": true, "Encapsulate": true, "Decapsulate": true}
	for operation, s := range subjects {
		member := s.member
		if member == "" {
			member = "KeyId"
		}
		if operation == "CreateKey" || operation == "GenerateRandom" || operation == "ListKeys" || operation == "ListRetirableGrants" || operation == "DeleteAlias" || operation == "DescribeCustomKeyStores" ||
			operation == "CreateAlias" || operation == "UpdateAlias" { // what names no key, and targets of aliases, which TestValidation has
			continue
		}
		t.Run(operation, func(t *testing.T) {
			c, _ := client(t)
			f := &fixtures{t: t, c: c, made: f.made}
			if withAliases[operation] {
				name := newAlias(t, c, f.key(s.kind, ready).KeyMetadata)
				for _, id := range []string{name, "arn:aws:kms:" + home + ":" + account(t) + ":" + name} {
					in := s.in(f)
					set(in, member, id)
					if err := do(t, c, operation, in); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
				return
			}
			for _, id := range []string{name, aliasARN} {
				in := s.in(f)
				set(in, member, id)
				checkException(t, do(t, c, operation, in), "NotFound", "Invalid keyId '"+id+"'")
			}
		})
	}
}

// TestUnknown shows what is no operation of AWS KMS, and no JSON.
func TestUnknown(t *testing.T) {
	if status, exception := raw(t, "NoSuchOperation", []byte("{}")); status != http.StatusBadRequest || exception != "UnknownOperationException" {
		t.Errorf("an unknown operation is answered with %d %s", status, exception)
	}
	for _, body := range []string{"", "null", "[]", `{"Limit":1`, `{"Limit":1}x`, `{"Limit":1,"Limit":2}`, `{"limit":1}`, "\xff"} {
		status, exception := raw(t, "ListKeys", []byte(body))
		want := "SerializationException"
		if body == "" {
			want = ""
		}
		if exception != want || (status == http.StatusOK) != (want == "") {
			t.Errorf("%q is answered with %d %s", body, status, exception)
		}
	}
}
