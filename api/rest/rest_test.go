package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// fake is a service that keeps the call and answers as told.
type fake struct {
	call    *service.Call
	refused *service.Call
	result  *service.Result
	err     error
	do      func(context.Context, *service.Call) (*service.Result, error)

	mu sync.Mutex // held while a call is kept: requests that end together write together
}

func (f *fake) Do(ctx context.Context, c *service.Call) (*service.Result, error) {
	if c.Refused != nil { // recorded and refused, no more
		f.keep(&f.refused, c)
		return nil, c.Refused
	}
	f.keep(&f.call, c)
	if f.do != nil {
		return f.do(ctx, c)
	}
	if f.result == nil && f.err == nil {
		return &service.Result{Answer: reflect.New(c.Operation.AnswerType()).Interface(), Epoch: 2, Index: 41}, nil
	}
	return f.result, f.err
}

func (f *fake) keep(at **service.Call, c *service.Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*at = c
}

func handler(s Service, c Config) http.Handler { return narrow(s, c, 0) }

// narrow is a handler that serves some requests at a time.
func narrow(s Service, c Config, concurrency int) http.Handler {
	d := door.New(door.Config{Index: func() (uint64, uint64) { return 2, 40 }, Concurrency: concurrency})
	r := d.Router()
	c.Service, c.Door = s, d
	New(c).Mount(r)
	return d.Handler(r)
}

func send(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	q := httptest.NewRequest(method, target, r)
	for i := 0; i+1 < len(headers); i += 2 {
		q.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	return w
}

func errorOf(t *testing.T, w *httptest.ResponseRecorder) wire.ErrorDetail {
	t.Helper()
	var body wire.ErrorBody
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return body.Error
}

// sample returns a path of the route with every variable filled.
func sample(rt wire.Route) string {
	return strings.NewReplacer("{key}", "alias%2Fapp", "{name}", "thing", "{account}", "111122223333",
		"{id}", "AKIATEST", "{store}", "cks-1", "{policy}", "arn:aws:iam::111122223333:policy%2Fp", "{provider}", "issuer.example%2Frealm").Replace(rt.Path)
}

func TestEveryOperationHasARoute(t *testing.T) {
	served := map[*kms.Operation]bool{}
	seen := map[string]bool{}
	for _, rt := range wire.Routes() {
		at := rt.Method + " " + rt.Path
		if seen[at] {
			t.Errorf("%s is there twice", at)
		}
		seen[at] = true
		if rt.Summary == "" || rt.Name == "" {
			t.Errorf("%s says nothing about itself", at)
		}
		if rt.Operation == nil {
			continue
		}
		served[rt.Operation] = true
		f := &fake{}
		w := send(handler(f, Config{}), rt.Method, sample(rt), "")
		want := http.StatusOK
		if rt.Operation.Created {
			want = http.StatusCreated
		}
		if w.Code != want || f.call == nil || f.call.Operation != rt.Operation {
			t.Errorf("%s: %d %s", at, w.Code, w.Body)
			continue
		}
		if got := reflect.TypeOf(f.call.Request).Elem(); got != rt.Operation.RequestType() {
			t.Errorf("%s: the request is a %s", at, got)
		}
		if w.Header().Get(wire.HeaderIndex) != "2.41" || f.call.RequestID != w.Header().Get(wire.HeaderRequestID) || f.call.RequestID == "" {
			t.Errorf("%s: headers %v", at, w.Header())
		}
	}
	for _, op := range kms.Operations {
		if !served[op] {
			t.Errorf("%s has no route", op.Name)
		}
	}
}

// Every field of every request must have a place: path, query or body.
func TestEveryFieldHasAPlace(t *testing.T) {
	for _, rt := range wire.Routes() {
		if rt.Operation == nil {
			continue
		}
		for i := range rt.Request.NumField() {
			f := rt.Request.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" && f.Tag.Get("path") == "" && f.Tag.Get("query") == "" {
				t.Errorf("%s: nothing fills %s", rt.Name, f.Name)
			}
		}
	}
}

func TestRequests(t *testing.T) {
	n, at := 16, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		method, target, body string
		op                   *kms.Operation
		want                 any
	}{
		"key id": {"POST", "/v1/keys/0b2c/encrypt", `{"plaintext":"aGk=","encryption_context":{"a":"b"}}`, kms.OpEncrypt,
			&kms.EncryptRequest{KeyID: "0b2c", Plaintext: []byte("hi"), EncryptionContext: map[string]string{"a": "b"}}},
		"alias": {"GET", "/v1/keys/alias%2Fa%2Fb", "", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/a/b"}},
		"ARN": {"GET", "/v1/keys/arn:aws:kms:us-east-1:000000000000:key%2F0b2c", "", kms.OpDescribeKey,
			&kms.DescribeKeyRequest{KeyID: "arn:aws:kms:us-east-1:000000000000:key/0b2c"}},
		"alias that looks like a route": {"GET", "/v1/keys/alias%2Fx%2Fpolicy", "", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/x/policy"}},
		"plus and percent":              {"GET", "/v1/keys/a+b%2525", "", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "a+b%25"}},
		"decrypt without key":           {"POST", "/v1/decrypt", `{"ciphertext":"AQ=="}`, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: []byte{1}}},
		"decrypt with key":              {"POST", "/v1/keys/k/decrypt", `{"ciphertext":"AQ=="}`, kms.OpDecrypt, &kms.DecryptRequest{KeyID: "k", CiphertextBlob: []byte{1}}},
		"data key":                      {"POST", "/v1/keys/k/generate-data-key", `{"number_of_bytes":16}`, kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: "k", NumberOfBytes: &n}},
		"data key without plaintext": {"POST", "/v1/keys/k/generate-data-key", `{"key_spec":"AES_256","without_plaintext":true}`, kms.OpGenerateDataKeyWithoutPlaintext,
			&kms.GenerateDataKeyRequest{KeyID: "k", KeySpec: kms.DataKeyAES256, WithoutPlaintext: true}},
		"data key pair": {"POST", "/v1/keys/k/generate-data-key-pair", `{"key_pair_spec":"RSA_2048"}`, kms.OpGenerateDataKeyPair,
			&kms.GenerateDataKeyPairRequest{KeyID: "k", KeyPairSpec: kms.RSA2048}},
		"data key pair without plaintext": {"POST", "/v1/keys/k/generate-data-key-pair", `{"key_pair_spec":"ECC_NIST_P256","without_plaintext":true}`,
			kms.OpGenerateDataKeyPairWithoutPlaintext, &kms.GenerateDataKeyPairRequest{KeyID: "k", KeyPairSpec: kms.ECCNISTP256, WithoutPlaintext: true}},
		"a list in the query":     {"GET", "/v1/keys/k/get-public-key?grant_tokens=a%2B,b", "", kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: "k", GrantTokens: []string{"a+", "b"}}},
		"grant tokens":            {"GET", "/v1/keys/k?grant_tokens=a,b", "", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "k", GrantTokens: []string{"a", "b"}}},
		"an empty list":           {"GET", "/v1/keys/k/get-public-key?grant_tokens=", "", kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: "k"}},
		"a query beside the path": {"GET", "/v1/keys/k/list-key-rotations?include_key_material=ALL_KEY_MATERIAL&limit=2", "", kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: "k", IncludeKeyMaterial: "ALL_KEY_MATERIAL", Limit: 2}},
		"a time": {"POST", "/v1/keys/k/import-key-material", `{"import_token":"AQ==","encrypted_key_material":"Ag==","valid_to":"2026-01-02T04:04:05+01:00"}`, kms.OpImportKeyMaterial,
			&kms.ImportKeyMaterialRequest{KeyID: "k", ImportToken: []byte{1}, EncryptedKeyMaterial: []byte{2}, ValidTo: &at}},
		"a nested object": {"POST", "/v1/keys/k/create-grant", `{"grantee_principal":"p","operations":["Decrypt"],"constraints":{"encryption_context_subset":{"a":"b"}}}`, kms.OpCreateGrant,
			&kms.CreateGrantRequest{KeyID: "k", GranteePrincipal: "p", Operations: []kms.GrantOperation{"Decrypt"}, Constraints: &kms.GrantConstraints{EncryptionContextSubset: map[string]string{"a": "b"}}}},
		"a recipient":   {"POST", "/v1/decrypt", `{"ciphertext":"AQ==","recipient":{"attestation_document":"AQ=="}}`, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: []byte{1}, Recipient: kms.Recipient{"attestation_document": "AQ=="}}},
		"no key at all": {"POST", "/v1/retire-grant", `{"grant_token":"t"}`, kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: "t"}},
		"retirable":     {"GET", "/v1/list-retirable-grants?retiring_principal=arn:aws:iam::1:root", "", kms.OpListRetirableGrants, &kms.ListRetirableGrantsRequest{RetiringPrincipal: "arn:aws:iam::1:root"}},
		"filters": {"POST", "/v1/get-resources", `{"tag_filters":[{"key":"a","values":["1","2"]},{"key":"b"}],"limit":5,"marker":"m"}`, kms.OpGetResources,
			&kms.GetResourcesRequest{TagFilters: []kms.TagFilter{{Key: "a", Values: []string{"1", "2"}}, {Key: "b"}}, ResourcesPerPage: 5, PaginationToken: "m"}},
		"days":          {"POST", "/v1/keys/k/schedule-deletion", `{"pending_window_in_days":0}`, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: "k", PendingWindowInDays: new(int)}},
		"update alias":  {"PUT", "/v1/aliases/a%2Fb", `{"target_key_id":"k"}`, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a/b", TargetKeyID: "k"}},
		"delete alias":  {"DELETE", "/v1/aliases/a", "", kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/a"}},
		"listing":       {"GET", "/v1/aliases?key_id=k&limit=5&marker=m%2B", "", kms.OpListAliases, &kms.ListAliasesRequest{KeyID: "k", Limit: 5, Marker: "m+"}},
		"empty object":  {"POST", "/v1/keys/k/enable", `{}`, kms.OpEnableKey, &kms.KeyRequest{KeyID: "k"}},
		"create":        {"POST", "/v1/keys", ``, kms.OpCreateKey, &kms.CreateKeyRequest{}},
		"setting":       {"PUT", "/v1/sys/settings/revocation_bound", `{"value":"30s"}`, kms.OpPutSetting, &kms.PutSettingRequest{Name: "revocation_bound", Value: "30s"}},
		"remove member": {"DELETE", "/v1/sys/members/node-4", ``, kms.OpRemoveMember, &kms.RemoveMemberRequest{Name: "node-4"}},
		"policy object": {"POST", "/v1/keys", `{"policy":{"Version":"2012-10-17"}}`, kms.OpCreateKey, &kms.CreateKeyRequest{Policy: `{"Version":"2012-10-17"}`}},
		"policy written": {"POST", "/v1/keys/k/put-key-policy", `{"policy": {"Version" : "2012-10-17",
 "Statement": []} }`, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: "k", Policy: "{\"Version\" : \"2012-10-17\",\n \"Statement\": []}"}},
		"policy text":    {"POST", "/v1/keys/k/put-key-policy", `{"policy":" {\n\"a\":\u003c}"}`, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: "k", Policy: " {\n\"a\":<}"}},
		"policy of null": {"POST", "/v1/roles", `{"name":"r","assume_role_policy_document":null}`, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "r"}},
		"policy by ARN":  {"GET", "/v1/policies/arn:aws:iam::111122223333:policy%2Fteam%2Fp/get-policy-version?version_id=v2", "", kms.OpGetPolicyVersion, &kms.GetPolicyVersionRequest{PolicyARN: "arn:aws:iam::111122223333:policy/team/p", VersionID: "v2"}},
		"root's keys":    {"GET", "/v1/users/%3Croot_account%3E/list-access-keys", "", kms.OpListAccessKeys, &kms.IdentityRequest{Name: kms.RootName}},
		"an issuer":      {"DELETE", "/v1/oidc-providers/issuer.example%2Frealm", "", kms.OpDeleteOIDCProvider, &kms.ProviderRequest{Provider: "issuer.example/realm"}},
		"empty text":     {"PUT", "/v1/roles/r", `{"description":""}`, kms.OpUpdateRole, &kms.UpdateRoleRequest{Name: "r", Description: new(string)}},
		"condition keys": {"POST", "/v1/policy/simulate", `{"principal_arn":"p","action":"kms:Encrypt","context":{"a":["b","c"]}}`, kms.OpSimulatePrincipalPolicy, &kms.SimulateRequest{PrincipalARN: "p", Action: "kms:Encrypt", Context: map[string][]string{"a": {"b", "c"}}}},
		"disable tenant": {"POST", "/v1/accounts/111122223333/disable", ``, kms.OpDisableAccount, &kms.AccountRequest{AccountID: "111122223333"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			w := send(handler(f, Config{}), tt.method, tt.target, tt.body)
			if f.call == nil {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if r, ok := f.call.Request.(*kms.ImportKeyMaterialRequest); ok { // the same time in another zone
				*r.ValidTo = r.ValidTo.UTC()
			}
			if f.call.Operation != tt.op || !reflect.DeepEqual(f.call.Request, tt.want) {
				t.Errorf("%s %#v", f.call.Operation.Name, f.call.Request)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	f := &fake{}
	h := handler(f, Config{})
	w := send(h, "POST", "/v1/keys/k/disable?wait=all&timeout=1500ms", "",
		wire.HeaderRegion, "eu-west-1", wire.HeaderIdempotencyKey, "order 4711", wire.HeaderMinIndex, "3.77", "User-Agent", "test/1")
	c := f.call
	if c == nil {
		t.Fatal(w.Body)
	}
	if c.Wait != service.WaitAll || c.Timeout != 1500*time.Millisecond || c.Region != "eu-west-1" || c.IdempotencyKey != "order 4711" ||
		c.MinEpoch != 3 || c.MinIndex != 77 || c.UserAgent != "test/1" || c.Door != "rest" || c.TLS || c.Source != "192.0.2.1" {
		t.Errorf("%+v", c)
	}
	if c.Auth.Method != "POST" || c.Auth.RawPath != "/v1/keys/k/disable" || c.Auth.RawQuery != "wait=all&timeout=1500ms" || c.Auth.BodySHA256 != nil {
		t.Errorf("%+v", c.Auth)
	}
	send(h, "POST", "/v1/keys/k/disable?wait=none", "")
	if f.call.Wait != service.WaitNone {
		t.Errorf("wait=none: %v", f.call.Wait)
	}
	send(h, "GET", "/v1/keys/k?stale=true", "")
	if !f.call.Stale {
		t.Error("stale=true is lost")
	}
}

// A request is for the region that it names, else for the one that it is signed for.
func TestRegionOfSignedRequests(t *testing.T) {
	f := &fake{}
	h := handler(f, Config{})
	signed := []string{"X-Amz-Date", "20260304T050607Z", "Authorization",
		"AWS4-HMAC-SHA256 Credential=AKIA/20260304/eu-west-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("0a", 32)}
	for _, tt := range []struct {
		headers []string
		want    string
	}{
		{signed, "eu-west-1"},
		{append(slices.Clone(signed), wire.HeaderRegion, "us-east-1"), "us-east-1"},
		{[]string{"Authorization", "Basic eA=="}, ""},
		{[]string{"Authorization", "AWS4-HMAC-SHA256 Credential=AKIA"}, ""},
	} {
		f.call = nil
		if w := send(h, "GET", "/v1/keys", "", tt.headers...); f.call == nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if f.call.Region != tt.want {
			t.Errorf("with %q the region is %q", tt.headers, f.call.Region)
		}
	}
}

// A signed change without an Idempotency-Key has its signature for one, or the invocation id of an SDK.
func TestSignedChanges(t *testing.T) {
	f := &fake{}
	h := handler(f, Config{})
	hexa := strings.Repeat("0a", 32)
	signed := []string{"X-Amz-Date", "20260304T050607Z", "Amz-Sdk-Invocation-Id", "4711", "Authorization",
		"AWS4-HMAC-SHA256 Credential=AKIA/20260304/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + hexa}
	invoked := slices.Clone(signed)
	invoked[5] = strings.Replace(invoked[5], "=host", "=amz-sdk-invocation-id;host", 1)
	for _, tt := range []struct {
		method, target string
		headers        []string
		want           string
	}{
		{"POST", "/v1/keys", signed, "sigv4:" + hexa},
		{"POST", "/v1/keys", invoked, "sigv4:id:4711"},
		{"POST", "/v1/keys", append(slices.Clone(signed), wire.HeaderIdempotencyKey, "own"), "own"},
		{"POST", "/v1/keys", []string{"Authorization", "Basic eA=="}, ""},
		{"POST", "/v1/keys/k/encrypt", signed, ""},
		{"GET", "/v1/keys/k", signed, ""},
	} {
		f.call = nil
		if w := send(h, tt.method, tt.target, "", tt.headers...); f.call == nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if f.call.IdempotencyKey != tt.want {
			t.Errorf("%s %s with %q: the key is %q", tt.method, tt.target, tt.headers, f.call.IdempotencyKey)
		}
	}
}

// The authenticator must see the bytes that were sent.
func TestBodyHash(t *testing.T) {
	const body = ` {"plaintext" : "aGk="}`
	var got [32]byte
	f := &fake{do: func(_ context.Context, c *service.Call) (*service.Result, error) {
		got = c.Auth.BodySHA256()
		return &service.Result{Answer: &kms.EncryptAnswer{}}, nil
	}}
	send(handler(f, Config{}), "POST", "/v1/keys/k/encrypt", body)
	if got != sha256.Sum256([]byte(body)) {
		t.Error("the hash is of something else")
	}
}

func TestMalformedRequestsNeverReachTheService(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := map[string]struct {
		method, target, body string
		headers              []string
		status               int
	}{
		"bad base64":             {"POST", "/v1/keys/k/encrypt", `{"plaintext":"%%%"}`, nil, 400},
		"duplicate member":       {"POST", "/v1/keys/k/encrypt", `{"plaintext":"","plaintext":""}`, nil, 400},
		"unknown member":         {"POST", "/v1/keys/k/encrypt", `{"plaintext":"","x":1}`, nil, 400},
		"key in the body":        {"POST", "/v1/keys/k/encrypt", `{"plaintext":"","key_id":"other"}`, nil, 400},
		"bad UTF-8":              {"POST", "/v1/keys/k/encrypt", "{\"encryption_context\":{\"\xff\":\"\"}}", nil, 400},
		"deep":                   {"POST", "/v1/keys", `{"policy":` + strings.Repeat(`{"a":`, 5000) + strings.Repeat("}", 5001), nil, 400},
		"10 MB":                  {"POST", "/v1/keys/k/encrypt", `{"plaintext":"` + strings.Repeat("A", 10<<20) + `"}`, nil, 413},
		"body where none is":     {"GET", "/v1/keys", `{"limit":1}`, nil, 400},
		"dot segment":            {"GET", "/v1/keys/../sys/members", "", nil, 400},
		"escaped dot segment":    {"GET", "/v1/keys/%2e%2e/sys/members", "", nil, 400},
		"unknown parameter":      {"GET", "/v1/keys?color=red", "", nil, 400},
		"parameter twice":        {"GET", "/v1/keys?limit=1&limit=2", "", nil, 400},
		"bad number":             {"GET", "/v1/keys?limit=ten", "", nil, 400},
		"huge number":            {"GET", "/v1/keys?limit=99999999999", "", nil, 400},
		"bad query":              {"GET", "/v1/keys?limit=%zz", "", nil, 400},
		"bad time":               {"POST", "/v1/keys/k/import-key-material", `{"valid_to":"tomorrow"}`, nil, 400},
		"time as a number":       {"POST", "/v1/keys/k/import-key-material", `{"valid_to":1767323045}`, nil, 400},
		"unknown member inside":  {"POST", "/v1/keys/k/create-grant", `{"constraints":{"encryption_context":{"a":"b"}}}`, nil, 400},
		"another case inside":    {"POST", "/v1/keys/k/create-grant", `{"constraints":{"Encryption_context_equals":{"a":"b"}}}`, nil, 400},
		"key twice":              {"POST", "/v1/keys/k/revoke-grant", `{"grant_id":"g","key_id":"other"}`, nil, 400},
		"list parameter twice":   {"GET", "/v1/keys/k/get-public-key?grant_tokens=a&grant_tokens=b", "", nil, 400},
		"semicolon query":        {"GET", "/v1/keys?limit=1;marker=2", "", nil, 400},
		"query not UTF-8":        {"GET", "/v1/keys?marker=%ff", "", nil, 400},
		"wait on a read":         {"GET", "/v1/keys/k?wait=all", "", nil, 400},
		"stale on a write":       {"POST", "/v1/keys/k/disable?stale=true", "", nil, 400},
		"wait for nobody":        {"POST", "/v1/keys/k/disable?wait=some", "", nil, 400},
		"timeout alone":          {"POST", "/v1/keys/k/disable?timeout=1s", "", nil, 400},
		"timeout negative":       {"POST", "/v1/keys/k/disable?wait=all&timeout=-1s", "", nil, 400},
		"timeout too long":       {"POST", "/v1/keys/k/disable?wait=all&timeout=2h", "", nil, 400},
		"timeout without a unit": {"POST", "/v1/keys/k/disable?wait=all&timeout=5", "", nil, 400},
		"min index":              {"GET", "/v1/keys", "", []string{wire.HeaderMinIndex, "77"}, 400},
		"min index twice":        {"GET", "/v1/keys", "", []string{wire.HeaderMinIndex, "1.1", wire.HeaderMinIndex, "1.2"}, 400},
		"region twice":           {"GET", "/v1/keys", "", []string{wire.HeaderRegion, "a", wire.HeaderRegion, "b"}, 400},
		"idempotency key long":   {"POST", "/v1/keys", "", []string{wire.HeaderIdempotencyKey, long}, 400},
		"idempotency key binary": {"POST", "/v1/keys", "", []string{wire.HeaderIdempotencyKey, "a\x80"}, 400},
		"wrong method":           {"DELETE", "/v1/keys/k/encrypt", "", nil, 405},
		"no such path":           {"POST", "/v1/keys/k/frobnicate", "", nil, 404},
		"split by a slash":       {"POST", "/v1/keys/alias/app/encrypt", "{}", nil, 404},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			w := send(handler(f, Config{}), tt.method, tt.target, tt.body, tt.headers...)
			if w.Code != tt.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if f.call != nil {
				t.Error("the service was called")
			}
			// What reaches a route is recorded, with nothing of the request that was not understood.
			if noRoute := tt.status == 404 || tt.status == 405 || strings.Contains(name, "dot segment"); noRoute != (f.refused == nil) {
				t.Errorf("recorded: %v", f.refused != nil)
			} else if f.refused != nil && (f.refused.Request != nil || f.refused.Operation == nil || f.refused.RequestID == "") {
				t.Errorf("recorded as %+v", f.refused)
			}
			if e := errorOf(t, w); e.Code == "" || e.Message == "" || e.RequestID == "" {
				t.Errorf("%+v", e)
			}
			if w.Header().Get(wire.HeaderIndex) != "2.40" {
				t.Errorf("index %q", w.Header().Get(wire.HeaderIndex))
			}
		})
	}
}

func TestEveryCodeIsAnswered(t *testing.T) {
	for _, code := range kms.Codes() {
		f := &fake{result: &service.Result{Epoch: 5, Index: 6}, err: &kms.Error{Code: code, Message: "A sentence."}}
		w := send(handler(f, Config{}), "GET", "/v1/keys", "")
		if e := errorOf(t, w); w.Code != door.Status(code) || e.Code != code || e.Message != "A sentence." {
			t.Errorf("%s: %d %+v", code, w.Code, e)
		}
		if got := w.Header().Get(wire.HeaderIndex); got != "5.6" {
			t.Errorf("%s: index %q", code, got)
		}
	}
	f := &fake{err: fmt.Errorf("a secret cause")}
	if w := send(handler(f, Config{}), "GET", "/v1/keys", ""); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAnswers(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	tests := map[string]struct {
		answer   any
		awaiting []string
		status   int
		want     string
	}{
		"bytes": {&kms.EncryptAnswer{CiphertextBlob: []byte{0xfb, 0xff}, KeyID: "arn", EncryptionAlgorithm: "SYMMETRIC_DEFAULT"}, nil, 200,
			`{"ciphertext":"+/8=","key_id":"arn","encryption_algorithm":"SYMMETRIC_DEFAULT"}`},
		"empty list":              {&kms.ListKeysAnswer{}, nil, 200, `{"keys":[]}`},
		"times":                   {&kms.AccountAnswer{Account: kms.AccountEntry{AccountID: "1", CreatedAt: at}}, nil, 200, `{"account":{"account_id":"1","name":"","operator":false,"disabled":false,"created_at":"2026-01-02T03:04:05.006Z"}}`},
		"secrets":                 {&kms.CreateAccountAnswer{SecretAccessKey: "s"}, nil, 200, `{"account":{"account_id":"","name":"","operator":false,"disabled":false,"created_at":"0001-01-01T00:00:00Z"},"access_key_id":"","secret_access_key":"s"}`},
		"nothing":                 {nil, nil, 200, `{}`},
		"awaited":                 {&kms.SettingAnswer{Name: "n", Value: "v"}, []string{"node-2"}, 202, `{"name":"n","value":"v","awaiting":["node-2"]}`},
		"awaited, nothing to say": {&kms.Empty{}, []string{"a", "b"}, 202, `{"awaiting":["a","b"]}`},
		"times that are not":      {&kms.ListKeyRotationsAnswer{Rotations: []kms.RotationEntry{{KeyID: "arn", KeyMaterialID: "m"}}}, nil, 200, `{"rotations":[{"key_id":"arn","key_material_id":"m","key_material_state":""}]}`},
		"times behind pointers": {&kms.ListKeyRotationsAnswer{Rotations: []kms.RotationEntry{{KeyID: "arn", KeyMaterialID: "m", RotationDate: &at, RotationType: kms.RotationOnDemand}}}, nil, 200,
			`{"rotations":[{"key_id":"arn","key_material_id":"m","key_material_state":"","rotation_date":"2026-01-02T03:04:05.006Z","rotation_type":"ON_DEMAND"}]}`},
		"no constraints": {&kms.ListGrantsAnswer{Grants: []kms.GrantEntry{{GrantID: "g", Operations: []kms.GrantOperation{"Decrypt"}, CreationDate: at}}}, nil, 200, `{"grants":[{"grant_id":"g","key_id":"","grantee_principal":"","operations":["Decrypt"],"issuing_account":"","creation_date":"2026-01-02T03:04:05.006Z"}]}`},
		"no plaintext":   {&kms.GenerateDataKeyAnswer{CiphertextBlob: []byte{1}, KeyID: "arn"}, nil, 200, `{"ciphertext":"AQ==","key_id":"arn"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{result: &service.Result{Answer: tt.answer, Epoch: 1, Index: 2, Awaiting: tt.awaiting}}
			w := send(handler(f, Config{}), "GET", "/v1/keys", "")
			if w.Code != tt.status || w.Body.String() != tt.want+"\n" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// A caller over the limit gets 429 at once; nobody's request is left waiting.
func TestConcurrency(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := &fake{do: func(context.Context, *service.Call) (*service.Result, error) {
		entered <- struct{}{}
		<-leave
		return &service.Result{Answer: &kms.Empty{}}, nil
	}}
	h := narrow(f, Config{}, 1)
	done := make(chan int)
	go func() { done <- send(h, "GET", "/v1/keys", "").Code }()
	<-entered
	w := send(h, "GET", "/v1/keys", "")
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || errorOf(t, w).Code != kms.CodeThrottled {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(leave)
	if got := <-done; got != 200 {
		t.Errorf("the first one: %d", got)
	}
	go func() { <-entered }()
	if w := send(h, "GET", "/v1/keys", ""); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

// slow opens n connections whose requests never send their whole body, and returns when the handlers of
// all are reading it.
func slow(t *testing.T, s *httptest.Server, entered <-chan struct{}, n int) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "POST /v1/keys/k/encrypt HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-entered:
		case <-time.After(20 * time.Second):
			t.Fatal("a body is not read: its request was refused before")
		}
	}
}

// Senders who never finish their bodies take nobody's place.
func TestSlowSendersTakeNoPlace(t *testing.T) {
	const limit = 4
	entered := make(chan struct{}, 2*limit)
	h := narrow(&fake{}, Config{}, limit)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		q.Body = &told{ReadCloser: q.Body, reading: entered}
		h.ServeHTTP(w, q)
	}))
	t.Cleanup(s.CloseClientConnections)
	slow(t, s, entered, 2*limit)
	got, err := http.Post(s.URL+"/v1/keys/k/encrypt", "", strings.NewReader(benchBody))
	if err != nil || got.StatusCode != 200 {
		t.Errorf("%v %v", got, err)
	}
}

// told is a body that tells when it is read for the first time.
type told struct {
	io.ReadCloser
	reading chan<- struct{}
	once    sync.Once
}

func (b *told) Read(p []byte) (int, error) {
	b.once.Do(func() { b.reading <- struct{}{} })
	return b.ReadCloser.Read(p)
}

// Those who wait for every member take no place of the others, and are bounded themselves.
func TestWaitsTakeNoPlace(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := &fake{do: func(_ context.Context, c *service.Call) (*service.Result, error) {
		if c.Wait == service.WaitAll {
			entered <- struct{}{}
			<-leave
		}
		return &service.Result{Answer: &kms.KeyAnswer{}}, nil
	}}
	h := narrow(f, Config{}, 4) // one may wait
	done := make(chan int)
	go func() { done <- send(h, "POST", "/v1/keys/k/disable?wait=all", "").Code }()
	<-entered
	if w := send(h, "POST", "/v1/keys/k/disable?wait=all", ""); w.Code != 429 || errorOf(t, w).Code != kms.CodeThrottled {
		t.Errorf("a second wait: %d %s", w.Code, w.Body)
	}
	if w := send(h, "POST", "/v1/keys/k/disable", ""); w.Code != 200 {
		t.Errorf("one that does not wait: %d %s", w.Code, w.Body)
	}
	close(leave)
	if got := <-done; got != 200 {
		t.Errorf("the first one: %d", got)
	}
	go func() { <-entered }()
	if w := send(h, "POST", "/v1/keys/k/disable?wait=all", ""); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

// A request that waits gives its place to another: Concurrency 1 serves both.
func TestAWaitLeavesItsPlace(t *testing.T) {
	var h http.Handler
	inside := 0
	f := &fake{do: func(_ context.Context, c *service.Call) (*service.Result, error) {
		if c.Wait == service.WaitAll {
			inside = send(h, "GET", "/v1/keys/k", "").Code
		}
		return &service.Result{Answer: &kms.KeyAnswer{}}, nil
	}}
	h = narrow(f, Config{}, 1)
	if w := send(h, "POST", "/v1/keys/k/disable?wait=all", ""); w.Code != 200 || inside != 200 {
		t.Errorf("the wait %d, one meanwhile %d", w.Code, inside)
	}
	if w := send(h, "GET", "/v1/keys/k", ""); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

// A wait for every member outlives the server's write timeout.
func TestWaitAllOutlivesTheWriteTimeout(t *testing.T) {
	release := make(chan struct{})
	f := &fake{do: func(context.Context, *service.Call) (*service.Result, error) {
		<-release
		return &service.Result{Answer: &kms.KeyAnswer{}}, nil
	}}
	s := httptest.NewUnstartedServer(handler(f, Config{}))
	s.Config.WriteTimeout = 20 * time.Millisecond
	s.Start()
	defer s.Close()
	time.AfterFunc(60*time.Millisecond, func() { close(release) })
	got, err := http.Post(s.URL+"/v1/keys/k/disable?wait=all", "", nil)
	if err != nil || got.StatusCode != 200 {
		t.Errorf("%v %v", got, err)
	}
}

// FuzzRequest sends any path, query, headers and body through the whole door: no panic, no redirect,
// and what is refused never reaches the service.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/v1/keys/alias%2Fa/encrypt", "", "", []byte(benchBody))
	f.Add("POST", "/v1/decrypt", "", "1.2", []byte(`{"ciphertext":"AQ=="}`))
	f.Add("GET", "/v1/keys", "limit=10&marker=x", "", []byte(nil))
	f.Add("POST", "/v1/keys/k/disable", "wait=all&timeout=5s", "", []byte(`{}`))
	f.Add("PUT", "/v1/aliases/a%2Fb", "", "", []byte(`{"target_key_id":"k"}`))
	f.Add("GET", "/v1/keys/%2e%2e/x", "", "", []byte(nil))
	f.Add("GET", "/v1/keys/a%2Fb\"", "stale=1", "", []byte(nil))
	s := &fake{}
	h := handler(s, Config{})
	f.Fuzz(func(t *testing.T, method, path, query, minIndex string, body []byte) {
		target := "http://host" + path
		if query != "" {
			target += "?" + query
		}
		q, err := http.NewRequest(method, target, bytes.NewReader(body))
		if err != nil || !strings.HasPrefix(path, "/") {
			t.Skip("not an HTTP request")
		}
		if minIndex != "" {
			q.Header.Set(wire.HeaderMinIndex, minIndex)
		}
		s.call = nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if w.Code >= 300 && w.Code < 400 || w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w.Code >= 400 && s.call != nil {
			t.Fatalf("%d after the service was called", w.Code)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("no JSON: %s", w.Body)
		}
	})
}
