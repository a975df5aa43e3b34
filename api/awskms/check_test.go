package awskms

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestConstraints(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	const one, two = "1 validation error detected: ", "2 validation errors detected: "
	for _, tt := range []struct{ operation, body, want string }{
		{"Encrypt", `{"KeyId":"` + aKey + `","Plaintext":"` + strings.Repeat("AAAA", 1366) + `"}`,
			one + "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"Encrypt", `{"KeyId":"` + aKey + `","Plaintext":""}`,
			one + "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"Encrypt", `{}`, two + "Value null at 'keyId' failed to satisfy constraint: Member must not be null; " +
			"Value null at 'plaintext' failed to satisfy constraint: Member must not be null"},
		{"Encrypt", `{"KeyId":null,"Plaintext":"AA=="}`, one + "Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		{"Encrypt", `{"KeyId":"","Plaintext":"AA=="}`, one + "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"Encrypt", `{"Plaintext":"AA==","EncryptionContext":{"KeyId":""}}`, one + "Value null at 'keyId' failed to satisfy constraint: Member must not be null"},
		{"Encrypt", `{"KeyId":"` + aKey + `","Plaintext":"AA==","GrantTokens":["` + long(8193) + `"]}`,
			one + "Value at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]"},
		{"Encrypt", `{"KeyId":"` + aKey + `","Plaintext":"AA==","GrantTokens":[` + strings.Repeat(`"a",`, 10) + `"a"]}`,
			one + "Value at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10"},
		{"Encrypt", `{"KeyId":"` + aKey + `","Plaintext":"AA==","EncryptionAlgorithm":"ROT13"}`,
			one + "Value 'ROT13' at 'encryptionAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [" + strings.Join(enums[typeOf("EncryptionAlgorithm")], ", ") + "]"},
		{"ListKeys", `{"Limit":0}`, one + "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"ListKeys", `{"Limit":1001}`, one + "Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{"ListKeys", `{"Limit":-1,"Marker":""}`, two + "Value '-1' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1; " +
			"Value '' at 'marker' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"ListAliases", `{"Limit":101}`, one + "Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100"},
		{"ListResourceTags", `{"KeyId":"` + aKey + `","Limit":51}`, one + "Value '51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50"},
		{"CreateAlias", `{"AliasName":"alias/a b","TargetKeyId":"` + aKey + `"}`,
			one + "Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"CreateAlias", `{"AliasName":"` + long(257) + `","TargetKeyId":"` + aKey + `"}`,
			one + "Value '" + long(256) + "...' at 'aliasName' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"TagResource", `{"KeyId":"` + aKey + `","Tags":[{"TagKey":"a","TagValue":""},{"TagKey":"","TagValue":"b"}]}`,
			one + "Value '' at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"ScheduleKeyDeletion", `{"KeyId":"` + aKey + `","PendingWindowInDays":6}`,
			one + "Value '6' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value greater than or equal to 7"},
		{"ScheduleKeyDeletion", `{"KeyId":"` + aKey + `","PendingWindowInDays":31}`,
			one + "Value '31' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value less than or equal to 30"},
		{"GenerateRandom", `{"NumberOfBytes":1025}`, one + "Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
		{"PutKeyPolicy", `{"KeyId":"` + aKey + `","Policy":"\u0100"}`,
			one + `Value '?' at 'policy' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`},
		{"CreateGrant", `{"KeyId":"` + aKey + `","GranteePrincipal":"a","Operations":["Decrypt","Fly"]}`,
			one + "Value '[Fly]' at 'operations' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [" + strings.Join(enums[typeOf("GrantOperation")], ", ") + "]]"},
	} {
		w := serve(&fake{}, tt.operation, tt.body)
		r := refused(t, w)
		if w.Code != http.StatusBadRequest || r.Type != "ValidationException" {
			t.Errorf("%s: %d %+v", tt.operation, w.Code, r)
		}
		if r.Message != tt.want {
			t.Errorf("%s:\n %s\nwant\n %s", tt.operation, r.Message, tt.want)
		}
	}
}

// However much is wrong with a request, what is said of it is short.
func TestFindingsAreBounded(t *testing.T) {
	tags := func(n int) string { return strings.Repeat(`{},`, n-1) + `{}` }
	for _, tt := range []struct{ operation, body, starts, ends string }{
		{"TagResource", `{"KeyId":"x","Tags":[` + tags(1<<20/3-10) + `]}`, "1 validation error detected: ", "Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 200"},
		{"TagResource", `{"KeyId":"x","Tags":[` + tags(200) + `]}`, "20 validation errors detected: ", "Value null at 'tags.10.member.tagValue' failed to satisfy constraint: Member must not be null"},
		{"TagResource", `{"Tags":[` + tags(200) + `]}`, "20 validation errors detected: Value null at 'keyId'", "Value null at 'tags.10.member.tagKey' failed to satisfy constraint: Member must not be null"},
		{"Encrypt", `{"KeyId":"x","Plaintext":"AA==","GrantTokens":[` + strings.Repeat(`"",`, 1<<18) + `""]}`, "1 validation error detected: ", "less than or equal to 10"},
	} {
		r := refused(t, serve(&fake{}, tt.operation, tt.body))
		if m := r.Message; len(m) > 16<<10 || !strings.HasPrefix(m, tt.starts) || !strings.HasSuffix(m, tt.ends) {
			t.Errorf("%s of %d bytes: %d bytes: %.200s", tt.operation, len(tt.body), len(m), m)
		}
	}
}

// Nothing behind the door holds key stores to AWS's constraints.
func TestKeyStoreConstraints(t *testing.T) {
	const (
		least   = "Member must have length greater than or equal to "
		most    = "Member must have length less than or equal to "
		pattern = "Member must satisfy regular expression pattern: "
		set     = "Member must satisfy enum value set: "
		null    = "Member must not be null"
	)
	long := func(n int) string { return strings.Repeat("a", n) }
	credential := func(id, secret string) string {
		return `{"AccessKeyId":"` + id + `","RawSecretAccessKey":"` + secret + `"}`
	}
	id, secret := strings.Repeat("A", 20), long(43)
	for _, tt := range []struct{ member, value, at, want string }{ // value is "" for none, and JSON where it is an object
		{"CustomKeyStoreName", long(257), "customKeyStoreName", most + "256"},
		{"CustomKeyStoreName", "", "customKeyStoreName", null},
		{"CustomKeyStoreType", "HSM", "customKeyStoreType", set + "[AWS_CLOUDHSM, EXTERNAL_KEY_STORE]"},
		{"CloudHsmClusterId", "cluster-aaaaaaaaaa", "cloudHsmClusterId", least + "19"},
		{"CloudHsmClusterId", "cluster-" + long(17), "cloudHsmClusterId", most + "24"},
		{"CloudHsmClusterId", "cluster-1aaaaaaaaaaa", "cloudHsmClusterId", pattern + "cluster-[2-7a-zA-Z]{11,16}"},
		{"CloudHsmClusterId", "cluster-aaaaaaaaaaa!", "cloudHsmClusterId", pattern + "cluster-[2-7a-zA-Z]{11,16}"},
		{"TrustAnchorCertificate", long(5001), "trustAnchorCertificate", most + "5000"},
		{"KeyStorePassword", "6-char", "keyStorePassword", least + "7"},
		{"KeyStorePassword", long(33), "keyStorePassword", most + "32"},
		{"XksProxyUriEndpoint", "https://x", "xksProxyUriEndpoint", least + "10"},
		{"XksProxyUriEndpoint", "https://" + long(121), "xksProxyUriEndpoint", most + "128"},
		{"XksProxyUriEndpoint", "http://plain.example", "xksProxyUriEndpoint", pattern + `^https://[a-zA-Z0-9.-]+$`},
		{"XksProxyUriEndpoint", `https://xks.example\n`, "xksProxyUriEndpoint", pattern + `^https://[a-zA-Z0-9.-]+$`},
		{"XksProxyUriPath", "/v1", "xksProxyUriPath", least + "10"},
		{"XksProxyUriPath", "/" + long(128), "xksProxyUriPath", most + "128"},
		{"XksProxyUriPath", "/kms/xks/v1/", "xksProxyUriPath", pattern + `^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$`},
		{"XksProxyVpcEndpointServiceName", "com.amazonaws.vpce", "xksProxyVpcEndpointServiceName", least + "20"},
		{"XksProxyVpcEndpointServiceName", long(65), "xksProxyVpcEndpointServiceName", most + "64"},
		{"XksProxyVpcEndpointServiceName", "com.amazonaws.vpce.us-east-1.svc-0", "xksProxyVpcEndpointServiceName", pattern + `^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$`},
		{"XksProxyVpcEndpointServiceOwner", "11112222333", "xksProxyVpcEndpointServiceOwner", least + "12"},
		{"XksProxyVpcEndpointServiceOwner", "1111222233334", "xksProxyVpcEndpointServiceOwner", most + "12"},
		{"XksProxyVpcEndpointServiceOwner", "11112222333x", "xksProxyVpcEndpointServiceOwner", pattern + "[0-9]{12}"},
		{"XksProxyConnectivity", "WIRE", "xksProxyConnectivity", set + "[PUBLIC_ENDPOINT, VPC_ENDPOINT_SERVICE]"},
		{"XksProxyAuthenticationCredential", "{}", "xksProxyAuthenticationCredential.accessKeyId", null},
		{"XksProxyAuthenticationCredential", "{}", "xksProxyAuthenticationCredential.rawSecretAccessKey", null},
		{"XksProxyAuthenticationCredential", credential(id[1:], secret), "xksProxyAuthenticationCredential.accessKeyId", least + "20"},
		{"XksProxyAuthenticationCredential", credential(strings.Repeat("A", 31), secret), "xksProxyAuthenticationCredential.accessKeyId", most + "30"},
		{"XksProxyAuthenticationCredential", credential(id+"1", secret), "xksProxyAuthenticationCredential.accessKeyId", pattern + "^[A-Z2-7]+$"},
		{"XksProxyAuthenticationCredential", credential(id, secret[1:]), "xksProxyAuthenticationCredential.rawSecretAccessKey", least + "43"},
		{"XksProxyAuthenticationCredential", credential(id, long(65)), "xksProxyAuthenticationCredential.rawSecretAccessKey", most + "64"},
		{"XksProxyAuthenticationCredential", credential(id, secret+"!"), "xksProxyAuthenticationCredential.rawSecretAccessKey", pattern + `^[a-zA-Z0-9\/+=]+$`},
		{"CustomKeyStoreId", long(65), "customKeyStoreId", most + "64"},
		{"CustomKeyStoreId", "", "customKeyStoreId", null},
		{"NewCustomKeyStoreName", long(257), "newCustomKeyStoreName", most + "256"},
	} {
		operation, rest := "CreateCustomKeyStore", `"CustomKeyStoreName":"n"`
		if strings.HasSuffix(tt.member, "KeyStoreId") || strings.HasPrefix(tt.member, "New") {
			operation, rest = "UpdateCustomKeyStore", `"CustomKeyStoreId":"i"`
		}
		value := `"` + tt.value + `"`
		switch {
		case tt.value == "":
			value = "null"
		case tt.value[0] == '{':
			value = tt.value
		}
		if strings.HasPrefix(rest, `"`+tt.member+`"`) {
			rest = ""
		} else {
			rest += ","
		}
		r := refused(t, serve(&fake{}, operation, `{`+rest+`"`+tt.member+`":`+value+`}`))
		if m := r.Message; r.Type != "ValidationException" || !strings.Contains(m+"; ", " at '"+tt.at+"' failed to satisfy constraint: "+tt.want+"; ") {
			t.Errorf("%s %s:\n %s %s\nwant\n %s", tt.member, tt.value, r.Type, m, tt.want)
		} else if of := strings.Trim(tt.value, "{}"); of != "" && (tt.member == "KeyStorePassword" || tt.member == "XksProxyAuthenticationCredential") && (strings.Contains(m, of) || strings.Contains(m, id[1:]) || strings.Contains(m, secret[1:])) {
			t.Errorf("%s shows in %s", tt.member, m)
		}
	}
}

func TestWhatIsWithinItsConstraints(t *testing.T) {
	for _, tt := range []struct{ operation, body string }{
		{"UpdateKeyDescription", `{"KeyId":"` + aKey + `","Description":""}`},
		{"TagResource", `{"KeyId":"` + aKey + `","Tags":[]}`},
		{"TagResource", `{"KeyId":"` + aKey + `","Tags":[{"TagKey":"a","TagValue":""}]}`},
		{"CreateKey", ``},
		{"CreateKey", `{"Description":"","Tags":null,"KeySpec":"RSA_2048","CustomerMasterKeySpec":"RSA_2048"}`},
		{"Encrypt", `{"KeyId":"alias/a","Plaintext":"AA==","GrantTokens":[]}`},
		{"PutKeyPolicy", `{"KeyId":"` + aKey + `","Policy":"{\"é\":\n1}"}`},
	} {
		if w := serve(&fake{}, tt.operation, tt.body); w.Code != http.StatusOK {
			t.Errorf("%s %s: %d %s", tt.operation, tt.body, w.Code, w.Body)
		}
	}
}

// TestKeyIdentifiers holds each operation to the forms that AWS KMS takes in it.
func TestKeyIdentifiers(t *testing.T) {
	aliases := map[string]bool{}
	for _, name := range strings.Fields(`Encrypt Decrypt ReEncrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateDataKeyPair
		GenerateDataKeyPairWithoutPlaintext Sign Verify GenerateMac VerifyMac GetPublicKey DeriveSharedSecret Encapsulate Decapsulate DescribeKey`) {
		aliases[name] = true
	}
	for _, a := range actions() {
		for _, m := range a.members {
			if !m.key {
				continue
			}
			member := strings.Trim(string(m.sent), `"`)
			for _, id := range []string{"alias/a", "arn:aws:kms:us-east-1:000000000000:alias/a"} {
				body := strings.Replace(full(a), fmt.Sprintf(`"%s":"%s"`, member, aKey), fmt.Sprintf(`"%s":"%s"`, member, id), 1)
				w := serve(&fake{}, a.operation.Name, body)
				if taken := w.Code == http.StatusOK; taken != aliases[a.operation.Name] {
					t.Errorf("%s of %s: %d %s", a.operation.Name, id, w.Code, w.Body)
				} else if r := refused(t, w); !taken && (r.Type != "NotFoundException" || r.Message != "Invalid keyId '"+id+"'") {
					t.Errorf("%s of %s: %+v", a.operation.Name, id, r)
				}
			}
		}
	}
}

func TestConversions(t *testing.T) {
	for _, tt := range []struct{ name, operation, body, kind, message string }{
		{"two specs", "CreateKey", `{"KeySpec":"RSA_2048","CustomerMasterKeySpec":"RSA_4096"}`, "ValidationException", "CustomerMasterKeySpec is deprecated"},
		{"a tag twice", "CreateKey", `{"Tags":[{"TagKey":"a","TagValue":"1"},{"TagKey":"a","TagValue":"2"}]}`, "TagException", "Duplicate tag keys"},
		{"another policy", "GetKeyPolicy", `{"KeyId":"` + aKey + `","PolicyName":"other"}`, "NotFoundException", "No such policy exists"},
		{"a service", "CreateGrant", `{"KeyId":"` + aKey + `","GranteeServicePrincipal":"ec2.amazonaws.com","Operations":["Decrypt"]}`, "UnsupportedOperationException", "AWS services"},
		{"a source", "CreateGrant", `{"KeyId":"` + aKey + `","GranteePrincipal":"a","Operations":["Decrypt"],"Constraints":{"SourceArn":"arn"}}`, "UnsupportedOperationException", "AWS services"},
		{"nobody", "CreateGrant", `{"KeyId":"` + aKey + `","Operations":["Decrypt"]}`, "ValidationException", "'granteePrincipal'"},
		{"nobody retires", "ListRetirableGrants", `{}`, "ValidationException", "'retiringPrincipal'"},
	} {
		f := &fake{}
		w := serve(f, tt.operation, tt.body)
		if r := refused(t, w); r.Type != tt.kind || !strings.Contains(r.Message, tt.message) {
			t.Errorf("%s: %d %+v", tt.name, w.Code, r)
		}
	}
}

// typeOf returns the type of an enumeration of package kms by its name.
func typeOf(name string) reflect.Type {
	for t := range enums {
		if t.Name() == name {
			return t
		}
	}
	panic("no enumeration " + name)
}
