package service_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// The secrets of a right request.
const (
	hsmPassword  = "kmsPswd-of-hsm"
	xksAccessKey = "ABCDEFGHIJKLMNOPQRST234567"
	xksSecret    = "0123456789abcdefghijklmnopqrstuvwxyzABCDEF+/="
)

// createStore returns a request in which every member is given, and right by itself.
func createStore() *kms.CreateCustomKeyStoreRequest {
	return &kms.CreateCustomKeyStoreRequest{
		CustomKeyStoreName: "näme", CustomKeyStoreType: "EXTERNAL_KEY_STORE",
		CloudHsmClusterID: "cluster-a23b4cdefgh", TrustAnchorCertificate: "-----BEGIN CERTIFICATE-----", KeyStorePassword: hsmPassword,
		XksProxyUriEndpoint: "https://xks.example", XksProxyUriPath: "/pre/fix/kms/xks/v1", XksProxyConnectivity: "VPC_ENDPOINT_SERVICE",
		XksProxyVpcEndpointServiceName: "com.amazonaws.vpce.us-east-1.vpce-svc-0e0f", XksProxyVpcEndpointServiceOwner: "111122223333",
		XksProxyAuthenticationCredential: &kms.XksProxyAuthenticationCredential{AccessKeyID: xksAccessKey, RawSecretAccessKey: xksSecret},
	}
}

// updateStore returns the same of a change.
func updateStore() *kms.UpdateCustomKeyStoreRequest {
	q := createStore()
	return &kms.UpdateCustomKeyStoreRequest{
		CustomKeyStoreID: "cks-1", NewCustomKeyStoreName: q.CustomKeyStoreName,
		CloudHsmClusterID: q.CloudHsmClusterID, KeyStorePassword: q.KeyStorePassword,
		XksProxyUriEndpoint: q.XksProxyUriEndpoint, XksProxyUriPath: q.XksProxyUriPath, XksProxyConnectivity: q.XksProxyConnectivity,
		XksProxyVpcEndpointServiceName: q.XksProxyVpcEndpointServiceName, XksProxyVpcEndpointServiceOwner: q.XksProxyVpcEndpointServiceOwner,
		XksProxyAuthenticationCredential: q.XksProxyAuthenticationCredential,
	}
}

// No key store is served: what is wrong with a request is said first, then that.
func TestKeyStoresAreNotServed(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	const unserved = "unsupported_operation: Key stores outside the cluster are not served: "
	one := func(id string) *kms.CustomKeyStoreRequest { return &kms.CustomKeyStoreRequest{CustomKeyStoreID: id} }
	index := w.State().Index()
	rows := []verdict{
		{"whole", kms.OpCreateCustomKeyStore, createStore(), kms.CodeUnsupported, unserved},
		{"a name only", kms.OpCreateCustomKeyStore, &kms.CreateCustomKeyStoreRequest{CustomKeyStoreName: "n"}, kms.CodeUnsupported, unserved},
		{"whole", kms.OpUpdateCustomKeyStore, updateStore(), kms.CodeUnsupported, unserved},
		{"nothing new", kms.OpUpdateCustomKeyStore, &kms.UpdateCustomKeyStoreRequest{CustomKeyStoreID: "cks-1"}, kms.CodeUnsupported, unserved},
		{"no id", kms.OpUpdateCustomKeyStore, &kms.UpdateCustomKeyStoreRequest{}, kms.CodeValidation, "Value at 'customKeyStoreId' failed to satisfy constraint: Member must not be null"},

		{"all", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{Limit: 1000}, "", ""},
		{"id", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreID: "cks-1"}, kms.CodeCustomKeyStoreNotFound, "cks-1 does not exist."},
		{"name", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreName: "n"}, kms.CodeCustomKeyStoreNotFound, "n does not exist."},
		{"both", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreID: "cks-1", CustomKeyStoreName: "n"}, kms.CodeValidation, "not by both"},
		{"long id", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreID: strings.Repeat("i", 257)}, kms.CodeValidation, "customKeyStoreId"},
		{"long name", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{CustomKeyStoreName: strings.Repeat("ä", 257)}, kms.CodeValidation, "customKeyStoreName"},
		{"limit", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{Limit: 1001}, kms.CodeValidation, "limit"},
		{"marker", kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{Marker: "AAAA"}, kms.CodeInvalidMarker, ""},

		{"key in a store", kms.OpCreateKey, &kms.CreateKeyRequest{CustomKeyStoreID: "cks-1"}, kms.CodeUnsupported, unserved + "leave CustomKeyStoreId"},
		{"key of a proxy", kms.OpCreateKey, &kms.CreateKeyRequest{XksKeyID: "k-1_.2"}, kms.CodeUnsupported, unserved + "leave CustomKeyStoreId"},
		{"origin too", kms.OpCreateKey, &kms.CreateKeyRequest{Origin: kms.OriginExternalKeyStore, CustomKeyStoreID: "cks-1", XksKeyID: "k"}, kms.CodeUnsupported, unserved + "origin is"},
		{"key, long store", kms.OpCreateKey, &kms.CreateKeyRequest{CustomKeyStoreID: strings.Repeat("i", 257)}, kms.CodeValidation, "customKeyStoreId"},
		{"key, long proxy's", kms.OpCreateKey, &kms.CreateKeyRequest{XksKeyID: strings.Repeat("i", 257)}, kms.CodeValidation, "xksKeyId"},
		{"random of a store", kms.OpGenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: ptr(1), CustomKeyStoreID: "cks-1"}, kms.CodeUnsupported, unserved + "leave CustomKeyStoreId"},
		{"random, long store", kms.OpGenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: ptr(1), CustomKeyStoreID: strings.Repeat("i", 257)}, kms.CodeValidation, "customKeyStoreId"},
	}
	for _, op := range []*kms.Operation{kms.OpDeleteCustomKeyStore, kms.OpConnectCustomKeyStore, kms.OpDisconnectCustomKeyStore} {
		rows = append(rows,
			verdict{"any", op, one(strings.Repeat("i", 256)), kms.CodeUnsupported, unserved},
			verdict{"none", op, one(""), kms.CodeValidation, "Value at 'customKeyStoreId' failed to satisfy constraint: Member must not be null"},
			verdict{"long", op, one(strings.Repeat("i", 257)), kms.CodeValidation, "Member must have length less than or equal to 256"})
	}
	w.judge(t, rows)
	if w.State().Index() != index {
		t.Error("something was written")
	}
	answer := w.must(t, w.alice, kms.OpDescribeCustomKeyStores, &kms.DescribeCustomKeyStoresRequest{}).(*kms.DescribeCustomKeyStoresAnswer)
	if answer.CustomKeyStores == nil || len(answer.CustomKeyStores) != 0 || answer.NextMarker != "" {
		t.Errorf("the key stores are %+v", answer)
	}
}

// What a request has to have it has, and no member that is recorded is long. Nothing else is looked at.
func TestKeyStoreMembers(t *testing.T) {
	const null, most = "Member must not be null", "Member must have length less than or equal to 256"
	long := strings.Repeat("a", 257)
	w := newWorld(t, servicetest.Options{})
	for i, row := range []struct {
		member, value, words string // member is the Go field's name, of the credential behind a dot
	}{
		{"CustomKeyStoreName", long, most},
		{"CustomKeyStoreName", "", null},
		{"NewCustomKeyStoreName", long, most},
		{"CustomKeyStoreID", long, most},
		{"CustomKeyStoreID", "", null},
		{"CustomKeyStoreType", long, most},
		{"CloudHsmClusterID", long, most},
		{"XksProxyUriEndpoint", long, most},
		{"XksProxyUriPath", long, most},
		{"XksProxyVpcEndpointServiceName", long, most},
		{"XksProxyVpcEndpointServiceOwner", long, most},
		{"XksProxyConnectivity", long, most},
		{"XksProxyAuthenticationCredential.AccessKeyID", "", null},
		{"XksProxyAuthenticationCredential.AccessKeyID", long, most},
		{"XksProxyAuthenticationCredential.RawSecretAccessKey", "", null},
		{"XksProxyAuthenticationCredential.RawSecretAccessKey", long, most},
	} {
		for op, request := range map[*kms.Operation]any{kms.OpCreateCustomKeyStore: createStore(), kms.OpUpdateCustomKeyStore: updateStore()} {
			v := reflect.ValueOf(request).Elem()
			field := ""
			for name := range strings.SplitSeq(row.member, ".") {
				if v = reflect.Indirect(v).FieldByName(name); !v.IsValid() {
					break
				}
				field += "." + strings.ToLower(name[:1]) + strings.ReplaceAll(name[1:], "ID", "Id")
			}
			if !v.IsValid() {
				continue // the other request has it
			}
			v.SetString(row.value)
			_, err := w.Do(w.alice, op, request)
			text := fmt.Sprintf("validation: 1 validation error detected: Value at '%s' failed to satisfy constraint: %s", field[1:], row.words)
			if err == nil || err.Error() != text {
				t.Errorf("row %d, %s: %v\nwant %s", i, op.Name, err, text)
			}
		}
	}
	_, err := w.Do(w.alice, kms.OpCreateCustomKeyStore, &kms.CreateCustomKeyStoreRequest{CustomKeyStoreName: "\xff"})
	want(t, "not UTF-8", err, kms.CodeInvalidRequest)
}

// Who may not ask is told nothing else, and who may needs a policy that says so.
func TestKeyStoresNeedRights(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	ops := append([]*kms.Operation{kms.OpDescribeCustomKeyStores}, unserved...)
	for i, op := range ops {
		carl := w.member(t, w.alice, fmt.Sprintf("carl-%d", i), permit(op.Action, "*"))
		for _, other := range ops {
			code := kms.CodeAccessDenied
			if other == op {
				code = verdictOn(op)
			}
			_, err := w.Do(carl, other, requests("", "", nil)[other])
			want(t, fmt.Sprintf("%s by who may %s", other.Name, op.Action), err, code)
		}
	}
}

// The audit record says which key store was asked for, and shows no credential, whether the request is right or not.
func TestKeyStoresInTheAuditRecord(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for op, request := range map[*kms.Operation]any{kms.OpCreateCustomKeyStore: createStore(), kms.OpUpdateCustomKeyStore: updateStore()} {
		_, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, kms.CodeUnsupported)
		records := w.Records()
		last := records[len(records)-1]
		parameters := fmt.Sprint(last["requestParameters"])
		for _, text := range []string{"ustomKeyStoreName:näme", "xksProxyUriEndpoint:https://xks.example", "xksProxyConnectivity:VPC_ENDPOINT_SERVICE"} {
			if !strings.Contains(parameters, text) {
				t.Errorf("%s: %s is missing in %s", op.Name, text, parameters)
			}
		}
		if last["readOnly"] != false || last["errorCode"] != string(kms.CodeUnsupported) {
			t.Errorf("%s is recorded as %v", op.Name, last)
		}
	}
	wrong := createStore()
	wrong.XksProxyAuthenticationCredential.RawSecretAccessKey += kms.SensitiveString(strings.Repeat("!", 256))
	_, err := w.Do(w.alice, kms.OpCreateCustomKeyStore, wrong)
	want(t, "wrong", err, kms.CodeValidation)
	for _, secret := range []string{hsmPassword, xksAccessKey, xksSecret} {
		if shows(w.Lines(), secret) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s shows", secret)
		}
	}
}
