package xks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// fake is a service that keeps the call and answers as told.
type fake struct {
	call     *service.Call
	deadline time.Time
	answer   any
	err      error
}

func (f *fake) Do(ctx context.Context, c *service.Call) (*service.Result, error) {
	f.call = c
	f.deadline, _ = ctx.Deadline()
	if err := errors.Join(c.Refused, c.Malformed, f.err); err != nil {
		return &service.Result{Epoch: 2, Index: 41}, kms.AsError(err)
	}
	return &service.Result{Answer: f.answer, Epoch: 2, Index: 41}, nil
}

func handler(s aws.Service) http.Handler {
	d := door.New(door.Config{Index: func() (uint64, uint64) { return 2, 40 }, BodyLimit: 64 << 10})
	r := d.Router()
	New(Config{Edge: aws.New(aws.Config{Service: s, Door: d}), Regions: []string{"us-east-1", "eu-west-1"}, Version: "1.2"}).Mount(r)
	return d.Handler(r)
}

const authorization = "AWS4-HMAC-SHA256 Credential=AKIAAAAAAAAAAAAAAAAA/20261009/us-west-2/kms-xks-proxy/aws4_request, SignedHeaders=host;x-amz-date, Signature=1164eaa8e79eacaa9c0df54aa42f3b300380d14bedfc08e3b319648d4abfff66"

func send(s aws.Service, method, path, body string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, path, strings.NewReader(body))
	q.Header.Set("Authorization", authorization)
	q.Header.Set("X-Amz-Date", "20261009T000000Z")
	q.Header.Set("User-Agent", "aws-kms")
	w := httptest.NewRecorder()
	handler(s).ServeHTTP(w, q)
	return w
}

const said = `"requestMetadata":{"awsPrincipalArn":"p","awsSourceVpc":"v","awsSourceVpce":"e","kmsKeyArn":"k","kmsOperation":"o","kmsRequestId":"r","kmsViaService":"s"}`

var saidWords = service.XKS{AWSPrincipalARN: "p", AWSSourceVPC: "v", AWSSourceVPCE: "e", KMSKeyARN: "k", KMSOperation: "o", KMSRequestID: "r", KMSViaService: "s"}

// The examples of the specification and what becomes of them.
func TestRequests(t *testing.T) {
	key := "/xks/eu-west-1/kms/xks/v1/keys/1234abcd-12ab-34cd-56ef-1234567890ab/"
	const id = "1234abcd-12ab-34cd-56ef-1234567890ab"
	for _, row := range []struct {
		path, body string
		op         *kms.Operation
		request    any
		answer     any
		want       string
	}{
		{"/xks/eu-west-1/kms/xks/v1/health", "{" + said + "}", kms.OpGetCallerIdentity, &kms.Empty{},
			&service.XKSHealth{Members: []kms.Member{{ID: "a", Healthy: true, Version: "1.2"}, {ID: "b", Healthy: true, Sealed: true, Version: "1.1"}, {ID: "c", Version: "1.2"}}},
			`{"xksProxyFleetSize":3,"xksProxyVendor":"Lockstep","xksProxyModel":"Lockstep 1.2","ekmVendor":"Lockstep","ekmFleetDetails":[{"id":"1","model":"Lockstep","healthStatus":"ACTIVE"},` +
				`{"id":"2","model":"Lockstep","healthStatus":"UNAVAILABLE"},{"id":"3","model":"Lockstep","healthStatus":"UNAVAILABLE"}]}`},
		{key + "metadata", "{" + said + "}", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: id},
			&kms.KeyAnswer{Key: kms.KeyMetadata{KeySpec: kms.SymmetricDefault, KeyUsage: kms.EncryptDecrypt, KeyState: kms.StateEnabled}},
			`{"keySpec":"AES_256","keyUsage":["ENCRYPT","DECRYPT"],"keyStatus":"ENABLED"}`},
		{key + "metadata", "{" + said + "}", kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: id},
			&kms.KeyAnswer{Key: kms.KeyMetadata{KeySpec: kms.RSA2048, KeyUsage: kms.SignVerify, KeyState: kms.StatePendingDeletion}},
			`{"keySpec":"RSA_2048","keyUsage":["SIGN_VERIFY"],"keyStatus":"DISABLED"}`},
		{key + "encrypt", "{" + said + `,"plaintext":"SGVsbG8gV29ybGQh","encryptionAlgorithm":"AES_GCM","additionalAuthenticatedData":"YQ==","ciphertextDataIntegrityValueAlgorithm":"SHA_256"}`,
			kms.OpEncrypt, &service.XKSEncryptRequest{KeyID: id, Plaintext: []byte("Hello World!"), Data: []byte("a"), Integrity: true},
			&service.XKSEncryptAnswer{Metadata: []byte("m"), IV: []byte("i"), Ciphertext: []byte("c"), Tag: []byte("t"), Integrity: []byte("v")},
			`{"ciphertextMetadata":"bQ==","initializationVector":"aQ==","ciphertext":"Yw==","authenticationTag":"dA==","ciphertextDataIntegrityValue":"dg=="}`},
		{key + "encrypt", "{" + said + `,"plaintext":"","encryptionAlgorithm":"AES_GCM","to":{"come":[1,null]}}`,
			kms.OpEncrypt, &service.XKSEncryptRequest{KeyID: id, Plaintext: kms.Sensitive{}},
			&service.XKSEncryptAnswer{Metadata: []byte("m"), IV: []byte("i"), Ciphertext: []byte("c"), Tag: []byte("t")},
			`{"ciphertextMetadata":"bQ==","initializationVector":"aQ==","ciphertext":"Yw==","authenticationTag":"dA=="}`},
		{key + "decrypt", "{" + said + `,"ciphertext":"Yw==","ciphertextMetadata":"bQ==","initializationVector":"aQ==","authenticationTag":"dA==","encryptionAlgorithm":"AES_GCM","additionalAuthenticatedData":"YQ=="}`,
			kms.OpDecrypt, &service.XKSDecryptRequest{KeyID: id, Metadata: []byte("m"), IV: []byte("i"), Ciphertext: []byte("c"), Tag: []byte("t"), Data: []byte("a")},
			&service.XKSDecryptAnswer{Plaintext: []byte("Hello World!")}, `{"plaintext":"SGVsbG8gV29ybGQh"}`},
	} {
		f := &fake{answer: row.answer}
		w := send(f, "POST", row.path, row.body)
		if w.Code != 200 || w.Body.String() != row.want || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Lockstep-Index") != "2.41" {
			t.Errorf("%s: %d %s, want %s", row.path, w.Code, w.Body, row.want)
		}
		c := f.call
		if c.Operation != row.op || !reflect.DeepEqual(c.Request, row.request) || c.XKS == nil || *c.XKS != saidWords {
			t.Errorf("%s: %s %#v %+v", row.path, c.Operation.Name, c.Request, c.XKS)
		}
		if c.Region != "eu-west-1" || c.Door != "xks" || c.UserAgent != "aws-kms" || !c.Auth.Signed || !c.Auth.Untyped ||
			fmt.Sprint(c.Auth.Services, c.Auth.Regions) != "[kms-xks-proxy] [us-west-2]" || c.RequestID == "" {
			t.Errorf("%s: %+v", row.path, c)
		}
		if left := time.Until(f.deadline); f.deadline.IsZero() || left > answerWithin {
			t.Errorf("%s: the service may take %s", row.path, left)
		}
	}
}

// What is malformed reaches no key: the service is told, for its record.
func TestMalformed(t *testing.T) {
	const encrypt = "/xks/us-east-1/kms/xks/v1/keys/k/encrypt"
	const decrypt = "/xks/us-east-1/kms/xks/v1/keys/k/decrypt"
	all := `,"plaintext":"cA==","encryptionAlgorithm":"AES_GCM"`
	without := func(word string) string { return strings.Replace(said, `"`+word+`"`, `"other"`, 1) }
	for _, row := range []struct{ path, body, says string }{
		{"/xks/us-east-1/kms/xks/v1/health", "", "no requestMetadata.kmsRequestId"},
		{"/xks/us-east-1/kms/xks/v1/health", `{"requestMetadata":null}`, "no requestMetadata.kmsRequestId"},
		{"/xks/us-east-1/kms/xks/v1/health", `{"requestMetadata":"x"}`, "wrong type"},
		{"/xks/us-east-1/kms/xks/v1/health", "{" + without("kmsOperation") + "}", "no requestMetadata.kmsOperation"},
		{"/xks/us-east-1/kms/xks/v1/keys/k/metadata", "{" + without("awsPrincipalArn") + "}", "no requestMetadata.awsPrincipalArn"},
		{encrypt, "{" + without("kmsKeyArn") + all + "}", "no requestMetadata.kmsKeyArn"},
		{encrypt, "{" + said + `,"encryptionAlgorithm":"AES_GCM"}`, "no plaintext"},
		{encrypt, "{" + said + `,"plaintext":null,"encryptionAlgorithm":"AES_GCM"}`, "no plaintext"},
		{encrypt, "{" + said + `,"plaintext":"cA=="}`, "no encryptionAlgorithm"},
		{encrypt, "{" + said + `,"plaintext":"cA==","encryptionAlgorithm":"AES_CBC"}`, "only encryptionAlgorithm is AES_GCM"},
		{encrypt, "{" + said + all + `,"ciphertextDataIntegrityValueAlgorithm":"MD5"}`, "only ciphertextDataIntegrityValueAlgorithm is SHA_256"},
		{encrypt, "{" + said + all + all + "}", "twice"},
		{encrypt, "{" + said + all + `,"additionalAuthenticatedData":"YQ"}`, "not standard base64"},
		{encrypt, "{" + said + all + "}x", "not valid JSON"},
		{encrypt, "[]", "must be a JSON object"},
		{decrypt, "{" + said + `,"ciphertext":"Yw==","initializationVector":"aQ==","authenticationTag":"dA=="}`, "no encryptionAlgorithm"},
		{decrypt, "{" + said + `,"ciphertext":"Yw==","initializationVector":"aQ==","encryptionAlgorithm":"AES_GCM"}`, "no authenticationTag"},
		{decrypt, "{" + said + `,"ciphertext":"Yw==","authenticationTag":"aQ==","encryptionAlgorithm":"AES_GCM"}`, "no initializationVector"},
		{decrypt, "{" + said + `,"initializationVector":"Yw==","authenticationTag":"aQ==","encryptionAlgorithm":"AES_GCM"}`, "no ciphertext"},
		{decrypt, "{" + said + `,"ciphertext":"Yw==","initializationVector":"aQ==","authenticationTag":"dA==","encryptionAlgorithm":"GCM"}`, "only encryptionAlgorithm"},
	} {
		f := &fake{}
		w := send(f, "POST", row.path, row.body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"errorName":"ValidationException"`) || !strings.Contains(w.Body.String(), row.says) {
			t.Errorf("%s %s: %d %s", row.path, row.body, w.Code, w.Body)
		}
		if f.call == nil || f.call.Malformed == nil || f.call.Refused != nil {
			t.Errorf("%s: the service was told %+v", row.body, f.call)
		}
	}
	f := &fake{}
	if w := send(f, "POST", encrypt, `{"plaintext":"`+strings.Repeat("A", 64<<10)+`"}`); w.Code != 501 || f.call.Refused == nil {
		t.Errorf("a long body: %d %s", w.Code, w.Body)
	}
}

func TestPaths(t *testing.T) {
	d := New(Config{Regions: []string{"us-east-1", "eu-west-1"}})
	type found struct {
		a           *api
		region, key string
	}
	for path, want := range map[string]found{
		"/xks/us-east-1/kms/xks/v1/health":                                        {health, "us-east-1", ""},
		"/xks/eu-west-1/kms/xks/v1/keys/a/metadata":                               {metadata, "eu-west-1", "a"},
		"/xks/eu-west-1/kms/xks/v1/keys/A.b-c_9/encrypt":                          {encrypt, "eu-west-1", "A.b-c_9"},
		"/xks/eu-west-1/kms/xks/v1/keys/" + strings.Repeat("k", 128) + "/decrypt": {decrypt, "eu-west-1", strings.Repeat("k", 128)},
	} {
		if a, region, key := d.find(path); (found{a, region, key}) != want {
			t.Errorf("%s: %v %s %s", path, a, region, key)
		}
	}
	for _, path := range []string{"/xks/", "/xks/us-east-1", "/xks/us-east-1/kms/xks/v1/", "/xks/us-east-1/kms/xks/v2/health", "/xks/us-west-1/kms/xks/v1/health", "/xks/kms/xks/v1/health",
		"/xks/us-east-1/x/kms/xks/v1/health", "/xks/us-east-1/kms/xks/v1/health/", "/xks/us-east-1/kms/xks/v1/keys/a", "/xks/us-east-1/kms/xks/v1/keys/a/", "/xks/us-east-1/kms/xks/v1/keys/a/b",
		"/xks/us-east-1/kms/xks/v1/keys//encrypt", "/xks/us-east-1/kms/xks/v1/keys/a/encrypt/", "/xks/us-east-1/kms/xks/v1/keys/a%2Fb/encrypt", "/xks/us-east-1/kms/xks/v1/a/encrypt",
		"/xks/us-east-1/kms/xks/v1/keys/" + strings.Repeat("k", 129) + "/encrypt"} {
		f := &fake{}
		if w := send(f, "POST", path, "{}"); w.Code != 404 || !strings.Contains(w.Body.String(), `"errorName":"InvalidUriPathException"`) || f.call != nil {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		f := &fake{}
		if w := send(f, method, "/xks/us-east-1/kms/xks/v1/health", ""); w.Code != 405 || w.Header().Get("Allow") != "POST" || f.call != nil {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

// A signature may be scoped to any region, but to one.
func TestScope(t *testing.T) {
	for credential, want := range map[string]string{
		"AKIA/20261009/eu-west-3/kms-xks-proxy/aws4_request":   "[eu-west-3]",
		"AKIA/20261009//kms-xks-proxy/aws4_request":            "[]",
		"AKIA/20261009/EU/kms-xks-proxy/aws4_request":          "[]",
		"AKIA/20261009/eu-west-3/x/kms-xks-proxy/aws4":         "[]",
		"AKIA/20261009/" + strings.Repeat("a", 65) + "/k/aws4": "[]",
	} {
		q := httptest.NewRequest("POST", "/", nil)
		q.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+credential+", SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64))
		q.Header.Set("X-Amz-Date", "20261009T000000Z")
		if s := scopeOf(q); s.Regions == nil || fmt.Sprint(s.Regions) != want {
			t.Errorf("%s: %v", credential, s.Regions)
		}
	}
}

// Every code is an error name of the specification, with its status.
func TestErrors(t *testing.T) {
	names := map[string]int{
		"ValidationException": 400, "InvalidStateException": 400, "InvalidCiphertextException": 400, "InvalidKeyUsageException": 400, "AuthenticationFailedException": 401,
		"AccessDeniedException": 403, "KeyNotFoundException": 404, "ThrottlingException": 429, "UnsupportedOperationException": 501, "DependencyTimeoutException": 503, "InternalException": 500,
	}
	own := map[kms.Code]string{
		kms.CodeInvalidRequest: "ValidationException", kms.CodeValidation: "ValidationException", kms.CodeKeyDisabled: "InvalidStateException", kms.CodeInvalidState: "InvalidStateException",
		kms.CodeInvalidCiphertext: "InvalidCiphertextException", kms.CodeIncorrectKey: "InvalidCiphertextException", kms.CodeInvalidKeyUsage: "InvalidKeyUsageException",
		kms.CodeUnauthenticated: "AuthenticationFailedException", kms.CodeAccessDenied: "AccessDeniedException", kms.CodeNotFound: "KeyNotFoundException", kms.CodeInvalidKeyID: "KeyNotFoundException",
		kms.CodeThrottled: "ThrottlingException", kms.CodeTooLarge: "UnsupportedOperationException", kms.CodeUnsupported: "UnsupportedOperationException",
		kms.CodeSealed: "DependencyTimeoutException", kms.CodeNoLease: "DependencyTimeoutException", kms.CodeCannotConfirm: "DependencyTimeoutException", kms.CodeAuditBlocked: "DependencyTimeoutException",
		kms.CodeInternal: "InternalException",
	}
	for _, code := range kms.Codes() {
		w := send(&fake{err: kms.Errorf(code, "Ein %s.\n%s", "Schlüssel", strings.Repeat("x", 600))}, "POST", "/xks/us-east-1/kms/xks/v1/health", "{"+said+"}")
		var body struct{ ErrorName, ErrorMessage string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		status := names[body.ErrorName]
		if code == kms.CodeMethodNotAllowed {
			status = 405
		}
		if status == 0 || w.Code != status || own[code] != "" && body.ErrorName != own[code] {
			t.Errorf("%s: %d %s", code, w.Code, body.ErrorName)
		}
		if !strings.HasPrefix(body.ErrorMessage, "Ein Schl?ssel.?xxx") || len(body.ErrorMessage) != 511 {
			t.Errorf("%s: %q", code, body.ErrorMessage)
		}
		if later := w.Header().Get("Retry-After") != ""; later != (code.Class() == kms.ClassUnavailable || code == kms.CodeThrottled) {
			t.Errorf("%s: Retry-After: %v", code, later)
		}
	}
}

// No more than ten entries of the fleet are shown; all are counted.
func TestFleet(t *testing.T) {
	a := new(Door).health(&service.XKSHealth{Members: make([]kms.Member, 11)}).(healthAnswer)
	if a.FleetSize != 11 || len(a.EKMs) != 10 {
		t.Errorf("%+v", a)
	}
}

// FuzzDecode: what decodes has what the specification demands, and its bytes are those of the body.
func FuzzDecode(f *testing.F) {
	f.Add("{"+said+"}", byte(0))
	f.Add("{"+said+`,"plaintext":"SGVsbG8gV29ybGQh","encryptionAlgorithm":"AES_GCM","more":[{}]}`, byte(2))
	f.Add("{"+said+`,"ciphertext":"Yw==","ciphertextMetadata":"bQ==","initializationVector":"aQ==","authenticationTag":"dA==","encryptionAlgorithm":"AES_GCM","additionalAuthenticatedData":"YWE="}`, byte(3))
	f.Add("{"+said+`,"plaintext":"","Plaintext":"eA==","encryption\u0041lgorithm":"AES_GCM","additionalAuthenticatedData":null}`, byte(2))
	f.Add(strings.Repeat(`{"requestMetadata":`, 100), byte(1))
	f.Fuzz(func(t *testing.T, body string, which byte) {
		a := []*api{health, metadata, encrypt, decrypt}[which%4]
		sent := []byte(body)
		request, x, err := a.decode(sent, "key")
		if x == nil || request == nil {
			t.Fatal("nothing for the record")
		}
		if err != nil {
			if c := kms.CodeOf(err); c != kms.CodeInvalidRequest && c != kms.CodeValidation {
				t.Fatal(err)
			}
			return
		}
		clear(sent) // nothing may point into the body
		if x.KMSRequestID == "" || x.KMSOperation == "" || a != health && x.AWSPrincipalARN == "" || (a == encrypt || a == decrypt) && x.KMSKeyARN == "" {
			t.Fatalf("%+v of %q", x, body)
		}
		var again map[string]json.RawMessage // by exact names, as the door takes them
		if err := json.Unmarshal([]byte(body), &again); err != nil {
			t.Fatalf("%q is no JSON: %v", body, err)
		}
		same := func(name string, got []byte) {
			var want []byte
			if text, ok := again[name]; ok {
				if err := json.Unmarshal(text, &want); err != nil {
					t.Fatalf("%s of %q: %v", name, body, err)
				}
			}
			if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
				t.Fatalf("%s is %x of %q", name, got, body)
			}
		}
		switch q := request.(type) {
		case *service.XKSEncryptRequest:
			same("plaintext", q.Plaintext)
			same("additionalAuthenticatedData", q.Data)
			if q.Plaintext == nil {
				t.Fatalf("%+v of %q", q, body)
			}
		case *service.XKSDecryptRequest:
			same("ciphertext", q.Ciphertext)
			same("ciphertextMetadata", q.Metadata)
			same("initializationVector", q.IV)
			same("authenticationTag", q.Tag)
			same("additionalAuthenticatedData", q.Data)
			if q.Ciphertext == nil || q.IV == nil || q.Tag == nil {
				t.Fatalf("%+v of %q", q, body)
			}
		}
	})
}

// FuzzPath: what is found is at one path only.
func FuzzPath(f *testing.F) {
	f.Add("/xks/us-east-1/kms/xks/v1/health")
	f.Add("/xks/us-east-1/kms/xks/v1/keys/a.b/encrypt")
	f.Add("/xks/us-east-1/kms/xks/v1/keys/a/b/encrypt")
	d := New(Config{Regions: []string{"us-east-1"}})
	names := map[*api]string{metadata: "metadata", encrypt: "encrypt", decrypt: "decrypt"}
	f.Fuzz(func(t *testing.T, path string) {
		a, region, key := d.find(prefix + strings.TrimPrefix(path, prefix))
		if a == nil {
			return
		}
		want := prefix + region + "/kms/xks/v1/health"
		if a != health {
			want = prefix + region + "/kms/xks/v1/keys/" + key + "/" + names[a]
		}
		if got := prefix + strings.TrimPrefix(path, prefix); got != want || !isKeyID(key) && a != health {
			t.Fatalf("%q was taken for %q", got, want)
		}
	})
}
