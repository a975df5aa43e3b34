package service_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// excused are the members of requests that no audit record shows, and why.
var excused = map[string]string{
	"EncryptRequest.Plaintext":                                     "plaintext",
	"DecryptRequest.CiphertextBlob":                                "ciphertext",
	"ReEncryptRequest.CiphertextBlob":                              "ciphertext",
	"SignRequest.Message":                                          "plaintext",
	"VerifyRequest.Message":                                        "plaintext",
	"VerifyRequest.Signature":                                      "ciphertext",
	"GenerateMacRequest.Message":                                   "plaintext",
	"VerifyMacRequest.Message":                                     "plaintext",
	"VerifyMacRequest.Mac":                                         "ciphertext",
	"DecapsulateRequest.SharedSecretCiphertextBlob":                "ciphertext",
	"DeriveSharedSecretRequest.PublicKey":                          "too large: 8 KiB of a key that the caller has anyway",
	"ImportKeyMaterialRequest.EncryptedKeyMaterial":                "ciphertext of key material",
	"ImportKeyMaterialRequest.ImportToken":                         "token",
	"RetireGrantRequest.GrantToken":                                "token; the grant's key is among the resources",
	"AssumeRoleWithWebIdentityRequest.WebIdentityToken":            "token; who it names is the identity of the record",
	"CreateCustomKeyStoreRequest.KeyStorePassword":                 "secret",
	"UpdateCustomKeyStoreRequest.KeyStorePassword":                 "secret",
	"CreateCustomKeyStoreRequest.XksProxyAuthenticationCredential": "secret",
	"UpdateCustomKeyStoreRequest.XksProxyAuthenticationCredential": "secret",
	"CreateCustomKeyStoreRequest.TrustAnchorCertificate":           "too large: a certificate",
	"CreateOIDCProviderRequest.CACertificate":                      "too large: certificates",
	"CreateOIDCProviderRequest.JWKS":                               "too large: keys",
	"CreateTrustAnchorRequest.Certificate":                         "too large: certificates",
	"GenerateDataKeyRequest.WithoutPlaintext":                      "the name of the event says it",
	"GenerateDataKeyPairRequest.WithoutPlaintext":                  "the name of the event says it",
	"CreateKeyRequest.CustomKeyStoreID":                            "refused before anything is recorded, whatever it is",
	"CreateKeyRequest.XksKeyID":                                    "refused before anything is recorded, whatever it is",
	"GenerateRandomRequest.CustomKeyStoreID":                       "refused before anything is recorded, whatever it is",
	"*.Recipient":                                                  "refused before anything is recorded, whatever it is",
	"*.GrantTokens":                                                "tokens; the grants that they name are known by the key",
}

func excuse(request, member string) string {
	if why := excused[request+"."+member]; why != "" {
		return why
	}
	return excused["*."+member]
}

// given gives members that the right requests of the walks leave out a value that the request is right with.
var given = map[string]any{
	"Limit":                              17,
	"Marker":                             "bWFya2Vy",
	"Path":                               "/a/path/",
	"PermissionsBoundary":                "arn:aws:iam::" + aliceID + ":policy/boundary",
	"Description":                        "a description",
	"EncryptionContext":                  map[string]string{"tenant": "seven"},
	"Tags":                               map[string]string{"a": "tagged"},
	"DryRunModifiers":                    []string{"IGNORE_CIPHERTEXT"},
	"EncryptionAlgorithm":                kms.AlgorithmSymmetricDefault,
	"SourceEncryptionAlgorithm":          kms.AlgorithmSymmetricDefault,
	"DestinationEncryptionAlgorithm":     kms.AlgorithmSymmetricDefault,
	"SourceEncryptionContext":            map[string]string{"from": "here"},
	"DestinationEncryptionContext":       map[string]string{"to": "there"},
	"DecryptRequest.KeyID":               "alias/a",
	"SourceKeyID":                        "alias/source",
	"CreateKeyRequest.KeySpec":           kms.HMAC256,
	"CreateKeyRequest.KeyUsage":          kms.EncryptDecrypt,
	"CreateKeyRequest.Origin":            kms.OriginExternal,
	"Policy":                             allowAll,
	"CreateKeyRequest.Policy":            defaultPolicy(aliceID),
	"ReplicateKeyRequest.Policy":         defaultPolicy(aliceID),
	"PolicyName":                         "default",
	"PolicyARNs":                         []string{"arn:aws:iam::" + aliceID + ":policy/narrow"},
	"RotationPeriodInDays":               ptr(99),
	"PendingWindowInDays":                ptr(9),
	"IncludeKeyMaterial":                 "ALL_KEY_MATERIAL",
	"ValidTo":                            ptr(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)),
	"ImportType":                         kms.ImportExistingMaterial,
	"KeyMaterialID":                      strings.Repeat("0b", 32),
	"KeyMaterialDescription":             "from the vault",
	"GrantID":                            strings.Repeat("0c", 32),
	"ListGrantsRequest.GranteePrincipal": "arn:aws:iam::" + bobID + ":user/grantee",
	"Constraints":                        &kms.GrantConstraints{EncryptionContextSubset: map[string]string{"c": "constrained"}},
	"CreateGrantRequest.Name":            "grant-name",
	"NumberOfBytes":                      ptr(77),
	"GenerateDataKeyRequest.KeySpec":     kms.DataKeyAES128,
	"MessageType":                        kms.MessageDigest,
	"TagFilters":                         []kms.TagFilter{{Key: "filtered", Values: []string{"by value"}}},
	"ResourceTypeFilters":                []string{"kms:key"},
	"ResourceARNList":                    []string{"arn:aws:kms:us-east-1:" + aliceID + ":key/x"},
	"ResourcesPerPage":                   18,
	"TagsPerPage":                        119,
	"PaginationToken":                    "cGFnZQ",
	"DescribeCustomKeyStoresRequest.CustomKeyStoreID":   "cks-7",
	"DescribeCustomKeyStoresRequest.CustomKeyStoreName": "store seven",
	"StartTime":                           "2026-01-02T03:04:05Z",
	"EndTime":                             "2027-01-02T03:04:05Z",
	"LookupEventsRequest.Principal":       "arn:aws:iam::" + aliceID + ":user/looked-for",
	"LookupEventsRequest.EventName":       "LookedFor",
	"LookupEventsRequest.SourceIPAddress": "192.0.2.78",
	"LookupEventsRequest.ErrorCode":       "looked_for",
	"LookupEventsRequest.RequestID":       "looked-for-request",
	"LookupEventsRequest.EventID":         "looked-for-event",
	"LookupEventsRequest.AccountID":       "777777777777",
	"LookupEventsRequest.ReadOnly":        "true",
	"MaxSessionDuration":                  ptr(3661),
	"Before":                              ptr(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)),
	"VersionID":                           "v3",
	"ThumbprintList":                      []string{strings.Repeat("0d", 20)},
	"DurationSeconds":                     ptr(901),
	"ExternalID":                          "external-id",
	"Context":                             map[string][]string{"aws:SourceIp": {"192.0.2.77"}},
}

// alongside sets what goes with a member that given has.
var alongside = map[string]func(q reflect.Value){
	"DryRunModifiers": func(q reflect.Value) {
		q.FieldByName("DryRun").SetBool(true)
		for _, member := range []string{"SourceKeyID", "KeyID"} { // of a request that leaves the key to the ciphertext
			if f := q.FieldByName(member); f.IsValid() && f.String() == "" {
				f.SetString("alias/a")
			}
		}
	},
	"CreateKeyRequest.KeySpec":             func(q reflect.Value) { q.FieldByName("KeyUsage").SetString(string(kms.GenerateVerifyMac)) },
	"ValidTo":                              func(q reflect.Value) { q.FieldByName("ExpirationModel").SetString(string(kms.MaterialExpires)) },
	"GenerateDataKeyRequest.NumberOfBytes": func(q reflect.Value) { q.FieldByName("KeySpec").SetZero() },
	"GenerateDataKeyRequest.KeySpec":       func(q reflect.Value) { q.FieldByName("NumberOfBytes").SetZero() },
	"RetireGrantRequest.GrantToken":        func(q reflect.Value) { q.FieldByName("KeyID").SetZero(); q.FieldByName("GrantID").SetZero() },
}

// leaves are the values of a decoded JSON text, each behind the name of its member.
func leaves(of any, name string, all map[string][]string) {
	switch v := of.(type) {
	case map[string]any:
		for k, one := range v {
			leaves(one, k, all)
		}
	case []any:
		for _, one := range v {
			leaves(one, name, all)
		}
	default:
		all[name] = append(all[name], fmt.Sprint(v))
	}
}

// words are the texts and numbers that a member of a request holds, as a record would show them.
func words(v reflect.Value) (all []string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if at, ok := v.Interface().(*time.Time); ok {
			return []string{at.UTC().Format(time.RFC3339)}
		}
		return words(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				all = append(all, words(v.Field(i))...)
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			all = append(all, words(v.MapIndex(k))...)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return []string{string(v.Bytes())}
		}
		for i := range v.Len() {
			all = append(all, words(v.Index(i))...)
		}
	case reflect.String:
		return []string{v.String()}
	default:
		return []string{fmt.Sprint(v.Interface())}
	}
	return all
}

// Every member of every operation's request is in its audit record, by its value, unless it is excused; what is excused is
// in none.
func TestEveryMemberIsRecordedOrExcused(t *testing.T) {
	w := newWorld(t, servicetest.Options{Regions: twoRegions.Regions})
	key := w.CreateKey(w.alice)
	ciphertext := w.encrypt(t, w.alice, key, "p", nil)
	all := requests(key, "alias/a", ciphertext)
	byType := map[reflect.Type]any{}
	for _, request := range all {
		byType[reflect.TypeOf(request).Elem()] = request
	}
	used := map[string]bool{}
	for _, op := range slices.Concat(kms.Operations, kms.AWSOperations) {
		right := all[op]
		if right == nil {
			right = byType[op.RequestType()]
		}
		if right == nil {
			t.Fatalf("the tests have no request of %s", op.Name)
		}
		of := op.RequestType()
		for i := range of.NumField() {
			member := of.Field(i)
			q := reflect.New(of)
			q.Elem().Set(reflect.ValueOf(right).Elem())
			mend(q.Interface())
			give(q.Elem(), member)
			if q.Elem().Field(i).IsZero() {
				t.Errorf("%s, %s.%s: the tests have no value for it", op.Name, of.Name(), member.Name)
				continue
			}
			before := len(w.Lines())
			who := w.alice
			if op.Resource == kms.ResourceCluster {
				who = w.Root
			}
			if op == kms.OpSeal {
				who = w.alice // denied: the walk goes on
			}
			_, err := w.Do(who, op, q.Interface())
			text := w.Lines()[before:]
			var record map[string]any
			if err := json.Unmarshal(text, &record); err != nil {
				t.Fatal(err)
			}
			shown := map[string][]string{}
			leaves(record["requestParameters"], "", shown)
			if why := excuse(of.Name(), member.Name); why != "" {
				used[of.Name()+"."+member.Name], used["*."+member.Name] = true, true
				for _, word := range words(q.Elem().Field(i)) {
					if shows(text, word) {
						t.Errorf("%s: the record shows %s.%s, which is excused as %s", op.Name, of.Name(), member.Name, why)
					}
				}
				continue
			}
			for _, word := range words(q.Elem().Field(i)) {
				found := false
				for name, values := range shown {
					if word == "true" {
						found = found || strings.EqualFold(name, member.Name) && slices.Contains(values, word)
					} else {
						found = found || slices.Contains(values, word)
					}
				}
				if !found {
					t.Errorf("%s: the record does not show %s.%s (%q) and nothing excuses it (%v): %s", op.Name, of.Name(), member.Name, word, err, text)
				}
			}
		}
	}
	for name := range excused {
		if !used[name] {
			t.Errorf("%s is excused and is no member", name)
		}
	}
}

// mend makes a request of the walks right in form, where one key cannot be of the right kind for all.
func mend(request any) {
	switch q := request.(type) {
	case *kms.RevokeGrantRequest:
		q.GrantID = strings.Repeat("0e", 32)
	case *kms.RetireGrantRequest:
		q.KeyID, q.GrantID = "arn:aws:kms:us-east-1:"+aliceID+":key/00000000-0000-4000-8000-000000000001", strings.Repeat("0e", 32)
	case *kms.DeleteImportedKeyMaterialRequest:
		q.KeyMaterialID = strings.Repeat("0e", 32)
	}
}

// give gives a member a value, unless the request has one.
func give(q reflect.Value, member reflect.StructField) {
	f := q.FieldByIndex(member.Index)
	value := given[q.Type().Name()+"."+member.Name]
	if value == nil && f.IsZero() {
		value = given[member.Name]
	}
	switch {
	case value != nil:
		f.Set(reflect.ValueOf(value).Convert(f.Type()))
	case f.Kind() == reflect.Bool:
		f.SetBool(true)
	case f.IsZero() && excuse(q.Type().Name(), member.Name) != "":
		excusedValue(f)
	}
	for _, name := range []string{member.Name, q.Type().Name() + "." + member.Name} {
		if set := alongside[name]; set != nil {
			set(q)
		}
	}
}

// excusedValue gives a member that no record shows a value that would be found.
func excusedValue(f reflect.Value) {
	const canary = "canary of the members"
	switch {
	case f.Type() == reflect.TypeFor[kms.Recipient]():
		f.Set(reflect.ValueOf(kms.Recipient{"AttestationDocument": canary}))
	case f.Kind() == reflect.String:
		f.SetString(canary)
	case f.Type() == reflect.TypeFor[[]string]():
		f.Set(reflect.ValueOf([]string{canary}))
	case f.Kind() == reflect.Slice:
		f.SetBytes([]byte(canary))
	case f.Kind() == reflect.Pointer:
		f.Set(reflect.ValueOf(&kms.XksProxyAuthenticationCredential{AccessKeyID: canary, RawSecretAccessKey: canary}))
	}
}
