package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
)

// keyStore is an external key store of AWS KMS: it signs as AWS KMS does, no more than host, time and body.
type keyStore struct {
	c          *cluster.Cluster
	id, secret string
	region     string // that AWS KMS calls from
	service    string
	path       string // XksProxyUriPath
	skew       time.Duration
}

// reply is an answer or a refusal.
type reply struct {
	status int
	header http.Header
	ErrorName,
	ErrorMessage,
	KeySpec,
	KeyStatus string
	KeyUsage []string

	Ciphertext, CiphertextMetadata, InitializationVector, AuthenticationTag, CiphertextDataIntegrityValue, Plaintext []byte

	XksProxyFleetSize                        int
	XksProxyVendor, XksProxyModel, EkmVendor string
	EkmFleetDetails                          []struct{ ID, Model, HealthStatus string }
}

// post asks until the answer comes in time.
func (s keyStore) post(t testing.TB, node int, path, body string) reply {
	t.Helper()
	return s.inTime(func() reply { return s.ask(t, node, path, body) })
}

// inTime asks until a machine that is busy with other things has the time to answer.
func (s keyStore) inTime(ask func() reply) (r reply) {
	s.c.Eventually(30*time.Second, "an answer in time", func(context.Context) error {
		if r = ask(); r.ErrorName == "DependencyTimeoutException" {
			return notYet("%s", r.ErrorMessage)
		}
		return nil
	})
	return r
}

// ask asks once.
func (s keyStore) ask(t testing.TB, node int, path, body string) reply {
	t.Helper()
	q, err := http.NewRequestWithContext(background(t), "POST", s.c.Nodes[node].APIAddr+s.path+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if s.id != "" {
		sum := sha256.Sum256([]byte(body))
		by := aws.Credentials{AccessKeyID: s.id, SecretAccessKey: s.secret}
		length := q.ContentLength
		q.ContentLength = 0 // which the signer would sign
		if err := v4.NewSigner().SignHTTP(q.Context(), by, q, hex.EncodeToString(sum[:]), s.service, s.region, time.Now().Add(s.skew)); err != nil {
			t.Fatal(err)
		}
		q.ContentLength = length
		if !strings.Contains(q.Header.Get("Authorization"), "SignedHeaders=host;x-amz-date,") {
			t.Fatalf("signed: %s", q.Header.Get("Authorization"))
		}
	}
	q.Header.Set("Content-Type", "application/json")
	return s.send(t, q)
}

func (s keyStore) send(t testing.TB, q *http.Request) (r reply) {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &r); err != nil || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %s %s", q.URL, resp.Status, body)
	}
	if (resp.StatusCode == 200) != (r.ErrorName == "") {
		t.Fatalf("%s: %s %s", q.URL, resp.Status, body)
	}
	r.status, r.header = resp.StatusCode, resp.Header
	return r
}

const (
	xksPrincipal = "arn:aws:iam::123456789012:user/Alice"
	xksKeyARN    = "arn:aws:kms:us-east-2:123456789012:/key/1234abcd-12ab-34cd-56ef-1234567890ab"
)

// said is requestMetadata, with a request id that the audit record is found by.
func said(operation, requestID string) string {
	return fmt.Sprintf(`"requestMetadata":{"awsPrincipalArn":%q,"kmsKeyArn":%q,"kmsOperation":%q,"kmsRequestId":%q,"kmsViaService":"ebs"}`,
		xksPrincipal, xksKeyARN, operation, requestID)
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func encryptBody(plaintext, aad []byte, more string) string {
	body := "{" + said("GenerateDataKey", rand.Text()) + `,"encryptionAlgorithm":"AES_GCM","plaintext":"` + b64(plaintext) + `"` + more
	if aad != nil {
		body += `,"additionalAuthenticatedData":"` + b64(aad) + `"`
	}
	return body + "}"
}

// decryptBody asks for the plaintext of what was encrypted.
func decryptBody(e reply, aad []byte) string {
	body := "{" + said("Decrypt", rand.Text()) + `,"encryptionAlgorithm":"AES_GCM","ciphertext":"` + b64(e.Ciphertext) + `","initializationVector":"` +
		b64(e.InitializationVector) + `","authenticationTag":"` + b64(e.AuthenticationTag) + `"`
	if e.CiphertextMetadata != nil {
		body += `,"ciphertextMetadata":"` + b64(e.CiphertextMetadata) + `"`
	}
	if aad != nil {
		body += `,"additionalAuthenticatedData":"` + b64(aad) + `"`
	}
	return body + "}"
}

// xks is a cluster whose keys back AWS KMS.
type xks struct {
	keyStore
	key, disabled, mac string // key ids
}

// TestXKS is AWS KMS with an external key store on the cluster: the cases of AWS's test client for XKS proxies, and others.
// Calls go from node to node.
func TestXKS(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	bound(t, c, "3s")
	root := c.Client()
	x := &xks{key: createKey(t, root, "behind AWS"), disabled: createKey(t, root, "off")}
	ctx := background(t)
	h, err := root.CreateKey(ctx, &kms.CreateKeyRequest{KeySpec: kms.HMAC256, KeyUsage: kms.GenerateVerifyMac})
	if err != nil {
		t.Fatal(err)
	}
	x.mac = h.Key.KeyID
	if _, err := root.DisableKey(ctx, &kms.KeyRequest{KeyID: x.disabled}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	x.keyStore = storeOf(t, c, "aws-kms", allowing("*", "kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"))
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"health", x.health}, {"metadata", x.metadata}, {"round trips", x.roundTrips}, {"refusals", x.refusals}, {"wrong ciphertexts", x.wrongCiphertexts},
		{"who", x.who}, {"paths", x.paths}, {"rights", x.rights}, {"rotation", x.rotation}, {"records", x.records}, {"curl", x.curl}, {"cut off", x.cutOff},
	} {
		if !t.Run(step.name, step.do) {
			return
		}
	}
}

// storeOf returns a key store with the access key of a new user who has a policy.
func storeOf(t testing.TB, c *cluster.Cluster, user string, policy kms.PolicyDocument) keyStore {
	t.Helper()
	ctx, root := background(t), c.Client()
	if _, err := root.CreateUser(ctx, &kms.CreateUserRequest{Name: user}); err != nil {
		t.Fatal(err)
	}
	if err := root.PutUserPolicy(ctx, &kms.PutInlinePolicyRequest{Name: user, PolicyName: "p", PolicyDocument: policy}); err != nil {
		t.Fatal(err)
	}
	a, err := root.CreateAccessKey(ctx, &kms.IdentityRequest{Name: user})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(a.SecretAccessKey); n < 43 || n > 64 {
		t.Fatalf("AWS KMS takes secrets of 43 to 64 characters, not %d", n)
	}
	return keyStore{c: c, id: a.AccessKey.AccessKeyID, secret: string(a.SecretAccessKey), region: "eu-west-3", service: "kms-xks-proxy", path: "/xks/us-east-1/kms/xks/v1"}
}

// expect checks a refusal, or an answer when name is "".
func expect(t testing.TB, what string, r reply, status int, name string) reply {
	t.Helper()
	if r.status != status || r.ErrorName != name {
		t.Errorf("%s: %d %s %s, want %d %s", what, r.status, r.ErrorName, r.ErrorMessage, status, name)
	}
	return r
}

const healthBody = `{"requestMetadata":{"kmsOperation":"KmsHealthCheck","kmsRequestId":"h"}}`

func (x *xks) health(t *testing.T) {
	for node := range 3 {
		r := expect(t, "health", x.post(t, node, "/health", healthBody), 200, "")
		if r.XksProxyFleetSize != 3 || len(r.EkmFleetDetails) != 3 || r.XksProxyVendor != "Lockstep" || r.XksProxyModel != "Lockstep test" || r.EkmVendor != "Lockstep" {
			t.Fatalf("%+v", r)
		}
		for i, m := range r.EkmFleetDetails {
			if m.ID != strconv.Itoa(i+1) || m.Model != "Lockstep" || m.HealthStatus != "ACTIVE" {
				t.Errorf("%+v", m)
			}
		}
	}
	for what, body := range map[string]string{"nothing": "{}", "nothing said": `{"requestMetadata":{}}`, "no body": ""} {
		expect(t, what, x.post(t, 0, "/health", body), 400, "ValidationException")
	}
}

func (x *xks) metadata(t *testing.T) {
	for _, operation := range []string{"DescribeKey", "CreateKey", "BulkDescribeKey"} {
		r := expect(t, operation, x.post(t, 1, "/keys/"+x.key+"/metadata", "{"+said(operation, "m")+"}"), 200, "")
		if r.KeySpec != "AES_256" || fmt.Sprint(r.KeyUsage) != "[ENCRYPT DECRYPT]" || r.KeyStatus != "ENABLED" {
			t.Errorf("%+v", r)
		}
	}
	body := "{" + said("DescribeKey", "m") + "}"
	if r := expect(t, "disabled", x.post(t, 2, "/keys/"+x.disabled+"/metadata", body), 200, ""); r.KeyStatus != "DISABLED" || r.KeySpec != "AES_256" {
		t.Errorf("%+v", r)
	}
	if r := expect(t, "HMAC", x.post(t, 2, "/keys/"+x.mac+"/metadata", body), 200, ""); r.KeySpec != "HMAC_256" || fmt.Sprint(r.KeyUsage) != "[GENERATE_VERIFY_MAC]" {
		t.Errorf("%+v", r)
	}
	for what, body := range map[string]string{"nothing": "{}", "nothing said": `{"requestMetadata":{}}`} {
		expect(t, what, x.post(t, 0, "/keys/"+x.key+"/metadata", body), 400, "ValidationException")
	}
	for _, id := range []string{"non_existing_key", "00000000-0000-4000-8000-000000000001", "mrk-00000000000040008000000000000001", strings.Repeat("k", 128)} {
		expect(t, id, x.post(t, 0, "/keys/"+id+"/metadata", body), 404, "KeyNotFoundException")
	}
}

func (x *xks) roundTrips(t *testing.T) {
	large := make([]byte, 8192)
	rand.Read(large)
	turn := 0
	for _, row := range []struct {
		what           string
		plaintext, aad []byte
		more           string
	}{
		{"without data", []byte("Hello World!"), nil, ""},
		{"with data", []byte("Hello World!"), []byte("project=nile,department=marketing"), ""},
		{"with integrity and data", []byte("Hello World!"), []byte("project=nile,department=marketing"), `,"ciphertextDataIntegrityValueAlgorithm":"SHA_256"`},
		{"with integrity", []byte("Hello World!"), nil, `,"ciphertextDataIntegrityValueAlgorithm":"SHA_256"`},
		{"largest", large[:4300], large, `,"ciphertextDataIntegrityValueAlgorithm":"SHA_256"`},
		{"one byte", []byte{0}, []byte{}, ""},
		{"members to come", []byte("x"), nil, `,"recipientAttestation":{"pcr0":["a"]},"more":null`},
	} {
		node := turn % 3
		turn++
		e := expect(t, row.what, x.post(t, node, "/keys/"+x.key+"/encrypt", encryptBody(row.plaintext, row.aad, row.more)), 200, "")
		if len(e.Ciphertext) != len(row.plaintext) || len(e.CiphertextMetadata) == 0 || len(e.CiphertextMetadata) > 20 || len(e.InitializationVector) != 16 || len(e.AuthenticationTag) != 16 {
			t.Errorf("%s: %+v", row.what, e)
		}
		if strings.Contains(row.more, "SHA_256") {
			sum := sha256.Sum256(bytes.Join([][]byte{row.aad, e.CiphertextMetadata, e.InitializationVector, e.Ciphertext, e.AuthenticationTag}, nil))
			if !bytes.Equal(e.CiphertextDataIntegrityValue, sum[:]) {
				t.Errorf("%s: the integrity value is another", row.what)
			}
		} else if e.CiphertextDataIntegrityValue != nil {
			t.Errorf("%s: an integrity value that nobody wanted", row.what)
		}
		d := expect(t, row.what, x.post(t, turn%3, "/keys/"+x.key+"/decrypt", decryptBody(e, row.aad)), 200, "")
		if !bytes.Equal(d.Plaintext, row.plaintext) {
			t.Errorf("%s: decrypted to something else", row.what)
		}
	}
}

func (x *xks) refusals(t *testing.T) {
	plain, ok := []byte("plaintext\n"), encryptBody([]byte("p"), nil, "")
	for _, row := range []struct {
		what, path, body string
		status           int
		name             string
	}{
		{"no such key", "non_existing_key/encrypt", ok, 404, "KeyNotFoundException"},
		{"no such key of ours", "00000000-0000-4000-8000-000000000001/encrypt", ok, 404, "KeyNotFoundException"},
		{"disabled", x.disabled + "/encrypt", ok, 400, "InvalidStateException"},
		{"HMAC", x.mac + "/encrypt", ok, 400, "InvalidKeyUsageException"},
		{"HMAC with integrity", x.mac + "/encrypt", encryptBody(plain, nil, `,"ciphertextDataIntegrityValueAlgorithm":"SHA_256"`), 400, "InvalidKeyUsageException"},
		{"no plaintext", x.key + "/encrypt", "{" + said("Encrypt", "r") + `,"encryptionAlgorithm":"AES_GCM"}`, 400, "ValidationException"},
		{"empty plaintext", x.key + "/encrypt", encryptBody(nil, nil, ""), 400, "ValidationException"},
		{"no algorithm", x.key + "/encrypt", "{" + said("Encrypt", "r") + `,"plaintext":"cA=="}`, 400, "ValidationException"},
		{"another algorithm", x.key + "/encrypt", strings.Replace(ok, "AES_GCM", "AES_CBC", 1), 400, "ValidationException"},
		{"another hash", x.key + "/encrypt", encryptBody(plain, nil, `,"ciphertextDataIntegrityValueAlgorithm":"MD5"`), 400, "ValidationException"},
		{"no key ARN", x.key + "/encrypt", strings.Replace(ok, "kmsKeyArn", "kmskeyarn", 1), 400, "ValidationException"},
		{"no JSON", x.key + "/encrypt", "plaintext", 400, "ValidationException"},
		{"a member twice", x.key + "/encrypt", encryptBody(plain, nil, `,"plaintext":"cA=="`), 400, "ValidationException"},
		{"loose base64", x.key + "/encrypt", strings.Replace(ok, "cA==", "cA", 1), 400, "ValidationException"},
		{"long plaintext", x.key + "/encrypt", encryptBody(make([]byte, 4301), nil, ""), 501, "UnsupportedOperationException"},
		{"long data", x.key + "/encrypt", encryptBody(plain, make([]byte, 8193), ""), 501, "UnsupportedOperationException"},
		{"long request id", x.key + "/encrypt", strings.Replace(ok, `"kmsRequestId":"`, `"kmsRequestId":"`+strings.Repeat("r", 2048), 1), 501, "UnsupportedOperationException"},
	} {
		expect(t, row.what, x.post(t, 0, "/keys/"+row.path, row.body), row.status, row.name)
	}
}

func (x *xks) wrongCiphertexts(t *testing.T) {
	aad := []byte("project=nile")
	e := expect(t, "encrypt", x.post(t, 0, "/keys/"+x.key+"/encrypt", encryptBody([]byte("text"), aad, "")), 200, "")
	flipped := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)-1] ^= 1
		return b
	}
	other := createKey(t, x.c.Client(), "another")
	changed := func(change func(*reply)) reply {
		r := e
		change(&r)
		return r
	}
	for _, row := range []struct {
		what   string
		key    string
		e      reply
		aad    []byte
		status int
		name   string
	}{
		{"as it is", x.key, e, aad, 200, ""},
		{"no data", x.key, e, nil, 400, "InvalidCiphertextException"},
		{"other data", x.key, e, []byte("project=blue"), 400, "InvalidCiphertextException"},
		{"other key", other, e, aad, 400, "InvalidCiphertextException"},
		{"tag", x.key, changed(func(r *reply) { r.AuthenticationTag = flipped(r.AuthenticationTag) }), aad, 400, "InvalidCiphertextException"},
		{"short tag", x.key, changed(func(r *reply) { r.AuthenticationTag = r.AuthenticationTag[1:] }), aad, 400, "InvalidCiphertextException"},
		{"vector", x.key, changed(func(r *reply) { r.InitializationVector = flipped(r.InitializationVector) }), aad, 400, "InvalidCiphertextException"},
		{"short vector", x.key, changed(func(r *reply) { r.InitializationVector = r.InitializationVector[:12] }), aad, 400, "InvalidCiphertextException"},
		{"ciphertext", x.key, changed(func(r *reply) { r.Ciphertext = flipped(r.Ciphertext) }), aad, 400, "InvalidCiphertextException"},
		{"metadata", x.key, changed(func(r *reply) { r.CiphertextMetadata = flipped(r.CiphertextMetadata) }), aad, 400, "InvalidCiphertextException"},
		{"version", x.key, changed(func(r *reply) {
			r.CiphertextMetadata = bytes.Clone(r.CiphertextMetadata)
			r.CiphertextMetadata[4] = 9
		}), aad, 400, "InvalidCiphertextException"},
		{"no metadata", x.key, changed(func(r *reply) { r.CiphertextMetadata = nil }), aad, 400, "InvalidCiphertextException"},
		{"long metadata", x.key, changed(func(r *reply) { r.CiphertextMetadata = append(bytes.Clone(r.CiphertextMetadata), 0) }), aad, 400, "InvalidCiphertextException"},
		{"HMAC", x.mac, e, aad, 400, "InvalidKeyUsageException"},
		{"disabled", x.disabled, e, aad, 400, "InvalidStateException"},
		{"no such key", "non_existing_key", e, aad, 404, "KeyNotFoundException"},
	} {
		expect(t, row.what, x.post(t, 1, "/keys/"+row.key+"/decrypt", decryptBody(row.e, row.aad)), row.status, row.name)
	}
	for _, name := range []string{"ciphertext", "initializationVector", "authenticationTag", "encryptionAlgorithm"} {
		body := strings.Replace(decryptBody(e, aad), `"`+name+`"`, `"other"`, 1)
		expect(t, "no "+name, x.post(t, 1, "/keys/"+x.key+"/decrypt", body), 400, "ValidationException")
	}
	// What this door makes opens nowhere else.
	blob := bytes.Join([][]byte{e.CiphertextMetadata, e.InitializationVector, e.Ciphertext, e.AuthenticationTag}, nil)
	if _, err := x.c.Client().Decrypt(background(t), &kms.DecryptRequest{KeyID: x.key, CiphertextBlob: blob}); kms.CodeOf(err) != kms.CodeInvalidCiphertext {
		t.Errorf("at the REST door: %v", err)
	}
}

// who may not call at all. Each from another address as far as the nodes know, since failures are slowed down.
func (x *xks) who(t *testing.T) {
	body := encryptBody([]byte("p"), nil, "")
	for what, change := range map[string]func(*keyStore){
		"invalid id":      func(s *keyStore) { s.id = "Invalid" + s.id },
		"unknown id":      func(s *keyStore) { s.id = "AKIAAAAAAAAAAAAAAAAA" },
		"wrong secret":    func(s *keyStore) { s.secret = "Invalid" + s.secret },
		"another service": func(s *keyStore) { s.service = "kms" },
		"no region":       func(s *keyStore) { s.region = "EU_WEST" },
		"too old":         func(s *keyStore) { s.skew = -6 * time.Minute },
		"too new":         func(s *keyStore) { s.skew = 6 * time.Minute },
		"nobody":          func(s *keyStore) { s.id = "" },
	} {
		s := x.keyStore
		change(&s)
		for node, path := range []string{"/health", "/keys/" + x.key + "/metadata", "/keys/" + x.key + "/encrypt"} {
			expect(t, what+" "+path, s.post(t, node, path, body), 401, "AuthenticationFailedException")
		}
	}
	// Other proofs than a signature are none here.
	expect(t, "basic", x.inTime(func() reply {
		q, err := http.NewRequestWithContext(background(t), "POST", x.c.Nodes[0].APIAddr+x.path+"/health", strings.NewReader(healthBody))
		if err != nil {
			t.Fatal(err)
		}
		q.SetBasicAuth(x.id, x.secret)
		return x.send(t, q)
	}), 401, "AuthenticationFailedException")
	for _, region := range []string{"us-east-1", "ap-southeast-2"} {
		s := x.keyStore
		s.region = region
		expect(t, region, s.post(t, 0, "/health", healthBody), 200, "")
	}
}

func (x *xks) paths(t *testing.T) {
	body := encryptBody([]byte("p"), nil, "")
	for _, path := range []string{"/xks/us-east-1/invalid/kms/xks/v1", "/xks/kms/xks/v1", "/xks/mars-north-1/kms/xks/v1", "/xks/us-east-1/kms/xks/v2", "/xks"} {
		s := x.keyStore
		s.path = path
		for _, rest := range []string{"/health", "/keys/" + x.key + "/metadata", "/keys/" + x.key + "/encrypt", "/keys/" + x.key + "/decrypt"} {
			expect(t, path+rest, s.post(t, 0, rest, body), 404, "InvalidUriPathException")
		}
	}
	for _, rest := range []string{"/healthy", "/health/", "/keys/" + x.key, "/keys/" + x.key + "/delete", "/keys/" + x.key + "/encrypt/", "/keys/" + strings.Repeat("k", 129) + "/encrypt", "/keys/a%2Fb/encrypt", "/keys//encrypt"} {
		expect(t, rest, x.post(t, 0, rest, body), 404, "InvalidUriPathException")
	}
	for _, rest := range []string{"/health", "/keys/" + x.key + "/metadata", "/keys/" + x.key + "/encrypt", "/keys/" + x.key + "/decrypt"} {
		q, err := http.NewRequestWithContext(background(t), "GET", x.c.Nodes[0].APIAddr+x.path+rest, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r := x.send(t, q); r.status != 405 || r.header.Get("Allow") != "POST" {
			t.Errorf("GET %s: %d", rest, r.status)
		}
	}
}

// rights are those of policies, which can ask who is behind a request of AWS KMS. Health asks for none.
func (x *xks) rights(t *testing.T) {
	only := storeOf(t, x.c, "only-encrypts", kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*",
		"Condition":{"ArnLike":{"xks:AwsPrincipalArn":"arn:aws:iam::123456789012:user/*"},"StringEquals":{"xks:KmsViaService":"ebs"}}}]}`))
	body := encryptBody([]byte("p"), nil, "")
	e := expect(t, "encrypt", only.post(t, 0, "/keys/"+x.key+"/encrypt", body), 200, "")
	expect(t, "health", only.post(t, 1, "/health", healthBody), 200, "")
	expect(t, "decrypt", only.post(t, 1, "/keys/"+x.key+"/decrypt", decryptBody(e, nil)), 403, "AccessDeniedException")
	expect(t, "metadata", only.post(t, 1, "/keys/"+x.key+"/metadata", body), 403, "AccessDeniedException")
	expect(t, "another principal", only.post(t, 2, "/keys/"+x.key+"/encrypt", strings.Replace(body, "user/Alice", "role/Alice", 1)), 403, "AccessDeniedException")
	expect(t, "another service", only.post(t, 2, "/keys/"+x.key+"/encrypt", strings.Replace(body, `"ebs"`, `"rds"`, 1)), 403, "AccessDeniedException")
}

// rotation leaves what was encrypted before, on every node.
func (x *xks) rotation(t *testing.T) {
	aad := []byte("rotated")
	var made []reply
	for round := range 3 {
		for node := range 3 {
			made = append(made, expect(t, "encrypt", x.post(t, node, "/keys/"+x.key+"/encrypt", encryptBody([]byte("text"), aad, "")), 200, ""))
		}
		if _, err := x.c.Nodes[round].Client().RotateKeyOnDemand(background(t), &kms.KeyRequest{KeyID: x.key}); err != nil {
			t.Fatal(err)
		}
		for i, e := range made {
			d := expect(t, "decrypt", x.post(t, (round+i)%3, "/keys/"+x.key+"/decrypt", decryptBody(e, aad)), 200, "")
			if string(d.Plaintext) != "text" {
				t.Fatalf("round %d: %q", round, d.Plaintext)
			}
		}
	}
	if bytes.Equal(made[0].CiphertextMetadata[:5], made[8].CiphertextMetadata[:5]) {
		t.Error("the key was not rotated")
	}
}

// records tell whose request of AWS KMS it was, and nothing of a text.
func (x *xks) records(t *testing.T) {
	id, secret := rand.Text(), rand.Text()
	body := "{" + said("GenerateDataKey", id) + `,"encryptionAlgorithm":"AES_GCM","plaintext":"` + b64([]byte(secret)) + `","additionalAuthenticatedData":"` + b64([]byte(secret)) + `"}`
	expect(t, "encrypt", x.post(t, 1, "/keys/"+x.key+"/encrypt", body), 200, "")
	raw, err := os.ReadFile(filepath.Join(x.c.Nodes[1].Dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		if bytes.Contains(line, []byte(secret)) || bytes.Contains(line, []byte(b64([]byte(secret)))) {
			t.Errorf("the text is in %s", line)
		}
		if !bytes.Contains(line, []byte(id)) {
			continue
		}
		var record struct {
			EventName         string
			RequestParameters struct {
				KeyID           string
				RequestMetadata map[string]string
			}
		}
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		m := record.RequestParameters.RequestMetadata
		if record.EventName != "Encrypt" || record.RequestParameters.KeyID != x.key || m["awsPrincipalArn"] != xksPrincipal || m["kmsOperation"] != "GenerateDataKey" ||
			m["kmsKeyArn"] != xksKeyARN || m["kmsRequestId"] != id || m["kmsViaService"] != "ebs" || len(m) != 5 {
			t.Errorf("%s", line)
		}
		return
	}
	t.Error("there is no record")
}

// curl signs as AWS's test client and the specification's appendix D have it.
func (x *xks) curl(t *testing.T) {
	path, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no curl")
		}
		t.Skip("there is no curl")
	}
	for _, row := range []struct{ path, body, want string }{
		{"/health", healthBody, `"healthStatus":"ACTIVE"`},
		{"/keys/" + x.key + "/metadata", "{" + said("DescribeKey", "c") + "}", `"keyStatus":"ENABLED"`},
		{"/keys/" + x.key + "/encrypt", encryptBody([]byte("p"), nil, ""), `"ciphertext":`},
		{"/keys/non_existing_key/encrypt", encryptBody([]byte("p"), nil, ""), `"errorName":"KeyNotFoundException"`},
	} {
		x.c.Eventually(30*time.Second, "an answer in time", func(context.Context) error {
			out, err := exec.CommandContext(background(t), path, "-sS", "-i", x.c.Nodes[2].APIAddr+x.path+row.path, "-H", "Content-Type:application/json",
				"--aws-sigv4", "aws:amz:eu-central-1:kms-xks-proxy", "--user", x.id+":"+x.secret, "--data-binary", row.body).CombinedOutput()
			if strings.Contains(string(out), "DependencyTimeoutException") {
				return notYet("%s", out)
			}
			if err != nil || !strings.Contains(string(out), row.want) {
				t.Errorf("%s: %v\n%s", row.path, err, out)
			}
			return nil
		})
	}
}

// cutOff is a node that cannot ask the others: what needs to be asked is a time-out, in the words of the specification and
// not the whole second that other doors wait. A lease serves until it ends.
func (x *xks) cutOff(t *testing.T) {
	node := slices.Index(x.c.Nodes, x.c.Followers()[0])
	x.c.Net.Isolate(x.c.Nodes[node])
	for what, r := range map[string]reply{
		"health":      x.ask(t, node, "/health", healthBody),
		"metadata":    x.ask(t, node, "/keys/"+x.key+"/metadata", "{"+said("DescribeKey", "c")+"}"),
		"no such key": x.ask(t, node, "/keys/00000000-0000-4000-8000-000000000001/encrypt", encryptBody([]byte("p"), nil, "")),
	} {
		if r := expect(t, what, r, 503, "DependencyTimeoutException"); r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", what)
		}
	}
	x.c.Eventually(30*time.Second, "the end of the lease", func(context.Context) error {
		if r := x.ask(t, node, "/keys/"+x.key+"/encrypt", encryptBody([]byte("p"), nil, "")); r.status == 200 {
			return notYet("it still serves")
		} else if r.status != 503 || r.ErrorName != "DependencyTimeoutException" {
			return fmt.Errorf("%d %s", r.status, r.ErrorName)
		}
		return nil
	})
}
