package sdk

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// modelled are the errors of each operation, as the API reference lists them, without those that need a key store outside of
// the cluster and without the three that every operation can have and that TestExceptions is about
// (https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html).
var modelled = map[string]string{
	"CancelKeyDeletion":                   "NotFound InvalidArn KMSInvalidState",
	"CreateAlias":                         "AlreadyExists NotFound InvalidAliasName LimitExceeded KMSInvalidState",
	"CreateGrant":                         "NotFound Disabled InvalidArn InvalidGrantToken LimitExceeded KMSInvalidState DryRunOperation",
	"CreateKey":                           "MalformedPolicyDocument InvalidArn UnsupportedOperation LimitExceeded Tag",
	"Decapsulate":                         "NotFound Disabled InvalidCiphertext InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"Decrypt":                             "NotFound Disabled InvalidCiphertext IncorrectKey InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"DeleteAlias":                         "NotFound KMSInvalidState",
	"DeleteImportedKeyMaterial":           "InvalidArn UnsupportedOperation NotFound KMSInvalidState",
	"DeriveSharedSecret":                  "NotFound Disabled InvalidGrantToken InvalidKeyUsage KMSInvalidState DryRunOperation",
	"DescribeCustomKeyStores":             "CustomKeyStoreNotFound InvalidMarker",
	"DescribeKey":                         "NotFound InvalidArn InvalidGrantToken",
	"DisableKey":                          "NotFound InvalidArn KMSInvalidState",
	"DisableKeyRotation":                  "NotFound Disabled InvalidArn KMSInvalidState UnsupportedOperation",
	"EnableKey":                           "NotFound InvalidArn LimitExceeded KMSInvalidState",
	"EnableKeyRotation":                   "NotFound Disabled InvalidArn KMSInvalidState UnsupportedOperation",
	"Encapsulate":                         "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"Encrypt":                             "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"GenerateDataKey":                     "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"GenerateDataKeyPair":                 "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState UnsupportedOperation DryRunOperation",
	"GenerateDataKeyPairWithoutPlaintext": "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState UnsupportedOperation DryRunOperation",
	"GenerateDataKeyWithoutPlaintext":     "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"GenerateMac":                         "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"GenerateRandom":                      "UnsupportedOperation",
	"GetKeyLastUsage":                     "NotFound InvalidArn",
	"GetKeyPolicy":                        "NotFound InvalidArn KMSInvalidState",
	"GetKeyRotationStatus":                "NotFound InvalidArn KMSInvalidState UnsupportedOperation",
	"GetParametersForImport":              "InvalidArn UnsupportedOperation NotFound KMSInvalidState",
	"GetPublicKey":                        "NotFound Disabled UnsupportedOperation InvalidArn InvalidGrantToken InvalidKeyUsage KMSInvalidState",
	"ImportKeyMaterial":                   "InvalidArn UnsupportedOperation NotFound KMSInvalidState InvalidCiphertext IncorrectKeyMaterial ExpiredImportToken InvalidImportToken",
	"ListAliases":                         "InvalidMarker InvalidArn NotFound",
	"ListGrants":                          "NotFound InvalidMarker InvalidGrantId InvalidArn KMSInvalidState",
	"ListKeyPolicies":                     "NotFound InvalidArn KMSInvalidState",
	"ListKeyRotations":                    "NotFound InvalidArn InvalidMarker KMSInvalidState UnsupportedOperation",
	"ListKeys":                            "InvalidMarker",
	"ListResourceTags":                    "NotFound InvalidArn InvalidMarker",
	"ListRetirableGrants":                 "InvalidMarker InvalidArn NotFound",
	"PutKeyPolicy":                        "NotFound InvalidArn MalformedPolicyDocument UnsupportedOperation LimitExceeded KMSInvalidState",
	"ReEncrypt":                           "NotFound Disabled InvalidCiphertext IncorrectKey InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"ReplicateKey":                        "AlreadyExists Disabled InvalidArn KMSInvalidState LimitExceeded MalformedPolicyDocument NotFound Tag UnsupportedOperation",
	"RetireGrant":                         "InvalidArn InvalidGrantToken InvalidGrantId NotFound KMSInvalidState DryRunOperation",
	"RevokeGrant":                         "NotFound InvalidArn InvalidGrantId KMSInvalidState DryRunOperation",
	"RotateKeyOnDemand":                   "NotFound Disabled InvalidArn KMSInvalidState UnsupportedOperation LimitExceeded Conflict",
	"ScheduleKeyDeletion":                 "NotFound InvalidArn KMSInvalidState",
	"Sign":                                "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState DryRunOperation",
	"TagResource":                         "NotFound InvalidArn KMSInvalidState LimitExceeded Tag",
	"UntagResource":                       "NotFound InvalidArn KMSInvalidState Tag",
	"UpdateAlias":                         "NotFound LimitExceeded KMSInvalidState",
	"UpdateKeyDescription":                "NotFound InvalidArn KMSInvalidState",
	"UpdatePrimaryRegion":                 "Disabled InvalidArn KMSInvalidState NotFound UnsupportedOperation",
	"Verify":                              "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidState KMSInvalidSignature DryRunOperation",
	"VerifyMac":                           "NotFound Disabled InvalidKeyUsage InvalidGrantToken KMSInvalidMac KMSInvalidState DryRunOperation",
}

// notGiven says why this product does not give an error that AWS KMS has for an operation.
var notGiven = map[string]string{
	"CreateGrant/LimitExceeded":                 "50,000 grants are too many for a test here; kms/service has one",
	"CreateKey/InvalidArn":                      "the request names nothing by its ARN",
	"DeleteAlias/KMSInvalidState":               "an alias can be deleted whatever the state of its key",
	"DeleteImportedKeyMaterial/KMSInvalidState": "material can be deleted in every state that a key has here",
	"EnableKey/LimitExceeded":                   "keys are counted when they are made",
	"GetKeyPolicy/KMSInvalidState":              "a policy can be read in every state",
	"GetKeyRotationStatus/KMSInvalidState":      "it can be read in every state",
	"GetKeyRotationStatus/UnsupportedOperation": "a key that cannot be rotated is not rotated",
	"GetPublicKey/InvalidKeyUsage":              "every usage of an asymmetric key goes with its public key",
	"ImportKeyMaterial/ExpiredImportToken":      "a token is good for 24 hours; kms/service has a test with a clock",
	"ListGrants/KMSInvalidState":                "grants can be listed in every state",
	"ListKeyPolicies/KMSInvalidState":           "policies can be listed in every state",
	"ListKeyRotations/KMSInvalidState":          "rotations can be listed in every state",
	"ListRetirableGrants/NotFound":              "the request names no key",
	"PutKeyPolicy/KMSInvalidState":              "a policy can be put in every state",
	"RetireGrant/KMSInvalidState":               "a grant can end in every state",
	"RevokeGrant/KMSInvalidState":               "a grant can end in every state",
	"RotateKeyOnDemand/Conflict":                "a rotation is done when it is answered, so none is under way",
}

// A kind of keys that operations work with.
type kind int

const (
	symmetric kind = iota
	rsaSigning
	rsaEncryption
	agreeing
	macKey
	encapsulating
	imported // pending import
	regional
)

// fixtures are keys that all errors share, made when they are first asked for.
type fixtures struct {
	t    *testing.T
	c    *kms.Client
	mu   sync.Mutex
	made map[string]*fixture // guarded by mu
}

// fixture is a key, with what was encrypted under it while it could be.
type fixture struct {
	*types.KeyMetadata
	blob []byte
}

const (
	ready    = "ready"
	disabled = "disabled"
	leaving  = "pending deletion"
)

// key returns the key of a kind in a state.
func (f *fixtures) key(k kind, state string) *fixture {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := fmt.Sprint(k, state)
	if f.made[name] == nil {
		f.made[name] = f.make(k, state)
	}
	return f.made[name]
}

func (f *fixtures) make(k kind, state string) *fixture {
	t, c := f.t, f.c
	var edit func(*kms.CreateKeyInput)
	switch k {
	case symmetric:
		edit = func(*kms.CreateKeyInput) {}
	case rsaSigning:
		edit = spec(types.KeySpecRsa2048, types.KeyUsageTypeSignVerify)
	case rsaEncryption:
		edit = spec(types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt)
	case agreeing:
		edit = spec(types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement)
	case macKey:
		edit = spec(types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac)
	case encapsulating:
		edit = spec(types.KeySpecMlKem768, types.KeyUsageTypeEncapsulateDecapsulate)
	case imported:
		edit = external
	case regional:
		edit = multiRegion
	}
	made := &fixture{KeyMetadata: newKey(t, c, edit)}
	switch k {
	case symmetric, regional:
		made.blob = call(t, c.Encrypt, &kms.EncryptInput{KeyId: made.KeyId, Plaintext: []byte("text")}).CiphertextBlob
	case encapsulating:
		made.blob = call(t, c.Encapsulate, &kms.EncapsulateInput{KeyId: made.KeyId, EncapsulationAlgorithm: "ML_KEM"}).SharedSecretCiphertextBlob
	case rsaSigning:
		made.blob = call(t, c.Sign, &kms.SignInput{KeyId: made.KeyId, Message: []byte("text"), SigningAlgorithm: "RSASSA_PSS_SHA_256"}).Signature
	case macKey:
		made.blob = call(t, c.GenerateMac, &kms.GenerateMacInput{KeyId: made.KeyId, Message: []byte("text"), MacAlgorithm: "HMAC_SHA_256"}).Mac
	case agreeing:
		made.blob = call(t, c.GetPublicKey, &kms.GetPublicKeyInput{KeyId: made.KeyId}).PublicKey
	}
	switch state {
	case disabled:
		call(t, c.DisableKey, &kms.DisableKeyInput{KeyId: made.KeyId})
	case leaving:
		call(t, c.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: made.KeyId})
	}
	return made
}

// set sets a member of an input.
func set(in any, member string, value any) {
	field := reflect.ValueOf(in).Elem().FieldByName(member)
	v := reflect.ValueOf(value)
	if field.Kind() == reflect.Pointer && v.Kind() != reflect.Pointer {
		p := reflect.New(field.Type().Elem())
		p.Elem().Set(v.Convert(p.Elem().Type()))
		v = p
	}
	field.Set(v)
}

// provoke makes the error of an operation out of a request that would succeed, and returns the message that AWS KMS has
// for it, or anything.
func provoke(f *fixtures, operation, exception string, s subject, in any) string {
	if special := specials[operation+"/"+exception]; special != nil {
		return special(f, in)
	}
	member := "KeyId"
	if s.member != "" {
		member = s.member
	}
	switch exception {
	case "NotFound":
		id := noKey()
		set(in, member, id)
		return "Key '" + keyARN(home, account(f.t), id) + "' does not exist"
	case "InvalidArn":
		set(in, member, "arn:aws:kms:"+home)
		return "Invalid arn arn:aws:kms:" + home
	case "Disabled":
		set(in, member, f.key(s.kind, disabled).KeyId)
		return *f.key(s.kind, disabled).Arn + " is disabled."
	case "KMSInvalidState":
		set(in, member, f.key(s.kind, leaving).KeyId)
		return *f.key(s.kind, leaving).Arn + " is pending deletion."
	case "InvalidKeyUsage":
		other := agreeing
		if s.kind == agreeing {
			other = symmetric
		}
		k := f.key(other, ready)
		set(in, member, k.KeyId)
		return fmt.Sprintf("%s key usage is %s which is not valid for %s.", *k.Arn, k.KeyUsage, operation)
	case "UnsupportedOperation": // what is for symmetric keys, or for those of another origin
		set(in, member, f.key(macKey, ready).KeyId)
		return anything
	case "InvalidGrantToken":
		set(in, "GrantTokens", []string{"no token"})
		return anything
	case "DryRunOperation":
		set(in, "DryRun", true)
		return "The request would have succeeded, but the DryRun option is set."
	case "CustomKeyStoreNotFound":
		set(in, "CustomKeyStoreId", "cks-1234567890abcdef0")
		return anything
	case "InvalidMarker":
		set(in, "Marker", "garbage")
		return anything
	case "MalformedPolicyDocument":
		set(in, "Policy", `{"Version":"2012-10-17","Statement":[`)
		return anything
	case "LimitExceeded": // of policies
		set(in, "Policy", policyOf(root(f.t), strings.Repeat("x", 32<<10)))
		return anything
	case "Tag":
		set(in, "Tags", []types.Tag{tag("aws:mine", "x")})
		return "Tags beginning with aws: are reserved"
	}
	f.t.Fatalf("nobody knows how %s of %s comes about", exception, operation)
	return ""
}

// do calls an operation by its name.
func do(t *testing.T, c *kms.Client, operation string, in any) error {
	t.Helper()
	out := reflect.ValueOf(c).MethodByName(operation).Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.ValueOf(in)})
	err, _ := out[1].Interface().(error)
	return err
}

// checkException checks that an error is of a modelled type, by errors.As.
func checkException(t *testing.T, err error, exception, message string) {
	t.Helper()
	at := slices.IndexFunc(exceptions, func(e smithy.APIError) bool { return e.ErrorCode() == exception+"Exception" })
	if at < 0 {
		t.Fatalf("the SDK has no %sException", exception)
	}
	target := reflect.New(reflect.TypeOf(exceptions[at]))
	if !errors.As(err, target.Interface()) {
		t.Errorf("got %v, want %sException", err, exception)
		return
	}
	if silent[exception] {
		message = ""
	}
	compareMessage(t, target.Elem().Interface().(smithy.APIError), message)
}

// silent are the exceptions of which AWS KMS tells nothing.
var silent = map[string]bool{"InvalidCiphertext": true, "KMSInvalidSignature": true, "KMSInvalidMac": true}

// TestErrors provokes every error of every operation that this product can give.
func TestErrors(t *testing.T) {
	c, _ := client(t)
	f := &fixtures{t: t, c: c, made: map[string]*fixture{}}
	for _, operation := range operations() {
		if modelled[operation] == "" && storeCases[operation] == nil {
			t.Errorf("the errors of %s are not listed", operation)
		}
	}
	for pair := range notGiven {
		operation, exception, _ := strings.Cut(pair, "/")
		if !slices.Contains(strings.Fields(modelled[operation]), exception) {
			t.Errorf("%s is not among the errors", pair)
		}
	}
	for _, operation := range slices.Sorted(maps.Keys(modelled)) {
		for exception := range strings.FieldsSeq(modelled[operation]) {
			if notGiven[operation+"/"+exception] != "" {
				continue
			}
			t.Run(operation+"/"+exception, func(t *testing.T) {
				s, ok := subjects[operation]
				if !ok {
					t.Fatal("the operation has no subject")
				}
				f := &fixtures{t: t, c: f.c, made: f.made}
				in := s.in(f)
				message := provoke(f, operation, exception, s, in)
				c, _ := client(t)
				for range 3 { // each node says the same
					checkException(t, do(t, c, operation, in), exception, message)
				}
			})
		}
	}
}
