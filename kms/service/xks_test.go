package service_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

var saidXKS = service.XKS{AWSPrincipalARN: "arn:aws:iam::123456789012:user/Alice", AWSSourceVPC: "vpc-1", AWSSourceVPCE: "vpce-1",
	KMSKeyARN: "arn:aws:kms:us-east-2:123456789012:key/k", KMSOperation: "GenerateDataKey", KMSRequestID: "a request", KMSViaService: "ebs"}

// external calls as the door of external key stores does.
func external(n *servicetest.Node, who servicetest.Credentials, x service.XKS, op *kms.Operation, request any) (any, error) {
	c := servicetest.Call(who, op, request)
	c.XKS = &x
	result, err := n.Service.Do(context.Background(), c)
	if err != nil {
		return nil, err
	}
	return result.Answer, nil
}

func opening(key string, e *service.XKSEncryptAnswer, data []byte) *service.XKSDecryptRequest {
	return &service.XKSDecryptRequest{KeyID: key, Metadata: e.Metadata, IV: e.IV, Ciphertext: e.Ciphertext, Tag: e.Tag, Data: data}
}

// What is encrypted for an external key store is decrypted on every node, after rotations too, also by one that learns of
// the rotation only when it cannot find the version.
func TestXKSRoundTrip(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	second := w.Cluster.Node(servicetest.Options{})
	key, data, text := w.CreateKey(w.alice), []byte("project=nile"), []byte("a data key")
	var made []*service.XKSEncryptAnswer
	second.Lag(true)
	for range 3 {
		a, err := external(w.Node, w.alice, saidXKS, kms.OpEncrypt, &service.XKSEncryptRequest{KeyID: key, Plaintext: text, Data: data, Integrity: true})
		want(t, "encrypt", err, "")
		e := a.(*service.XKSEncryptAnswer)
		sum := sha256.Sum256(bytes.Join([][]byte{data, e.Metadata, e.IV, e.Ciphertext, e.Tag}, nil))
		if !bytes.Equal(e.Integrity, sum[:]) || len(e.Metadata) != 20 || len(e.IV) != 16 || len(e.Tag) != 16 || len(e.Ciphertext) != len(text) {
			t.Errorf("%+v", e)
		}
		made = append(made, e)
		for _, n := range []*servicetest.Node{w.Node, second} {
			for _, e := range made {
				a, err := external(n, w.alice, saidXKS, kms.OpDecrypt, opening(key, e, data))
				want(t, "decrypt", err, "")
				if got := a.(*service.XKSDecryptAnswer).Plaintext; !bytes.Equal(got, text) {
					t.Errorf("%q", []byte(got))
				}
			}
		}
		w.must(t, w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	}
	if bytes.Equal(made[0].Metadata[:5], made[2].Metadata[:5]) {
		t.Error("the version stayed")
	}
	a, err := external(w.Node, w.alice, saidXKS, kms.OpEncrypt, &service.XKSEncryptRequest{KeyID: key, Plaintext: text})
	want(t, "encrypt", err, "")
	if a.(*service.XKSEncryptAnswer).Integrity != nil {
		t.Error("integrity that nobody wanted")
	}
}

func TestXKSDecisions(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, other, disabled := w.CreateKey(w.alice), w.CreateKey(w.alice), w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: disabled})
	rsa := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.RSA2048, KeyUsage: kms.EncryptDecrypt}).KeyID
	mac := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.HMAC256, KeyUsage: kms.GenerateVerifyMac}).KeyID
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/xks", TargetKeyID: key})
	enc := func(key string, text, data int) *service.XKSEncryptRequest {
		return &service.XKSEncryptRequest{KeyID: key, Plaintext: make([]byte, text), Data: make([]byte, data)}
	}
	a, err := external(w.Node, w.alice, saidXKS, kms.OpEncrypt, enc(key, 3, 0))
	want(t, "encrypt", err, "")
	e := a.(*service.XKSEncryptAnswer)
	dec := func(key string, change func(*service.XKSDecryptRequest)) *service.XKSDecryptRequest {
		q := opening(key, e, nil)
		if change != nil {
			change(q)
		}
		return q
	}
	nowhere := "00000000-0000-4000-8000-000000000001"
	long := saidXKS
	long.KMSRequestID = strings.Repeat("r", 2049)
	for _, row := range []struct {
		name    string
		who     servicetest.Credentials
		x       service.XKS
		op      *kms.Operation
		request any
		code    kms.Code
	}{
		{"largest", w.alice, saidXKS, kms.OpEncrypt, enc(key, 4300, 8192), ""},
		{"empty", w.alice, saidXKS, kms.OpEncrypt, enc(key, 0, 0), kms.CodeValidation},
		{"large", w.alice, saidXKS, kms.OpEncrypt, enc(key, 4301, 0), kms.CodeTooLarge},
		{"large data", w.alice, saidXKS, kms.OpEncrypt, enc(key, 1, 8193), kms.CodeTooLarge},
		{"long words", w.alice, long, kms.OpEncrypt, enc(key, 1, 0), kms.CodeTooLarge},
		{"disabled", w.alice, saidXKS, kms.OpEncrypt, enc(disabled, 1, 0), kms.CodeKeyDisabled},
		{"RSA", w.alice, saidXKS, kms.OpEncrypt, enc(rsa, 1, 0), kms.CodeInvalidKeyUsage},
		{"HMAC", w.alice, saidXKS, kms.OpEncrypt, enc(mac, 1, 0), kms.CodeInvalidKeyUsage},
		{"no key", w.alice, saidXKS, kms.OpEncrypt, enc(nowhere, 1, 0), kms.CodeNotFound},
		{"no id", w.alice, saidXKS, kms.OpEncrypt, enc("non_existing_key", 1, 0), kms.CodeInvalidKeyID},
		{"alias", w.alice, saidXKS, kms.OpEncrypt, enc("alias/xks", 1, 0), kms.CodeInvalidKeyID},
		{"ARN", w.alice, saidXKS, kms.OpEncrypt, enc(keyARN(key), 1, 0), kms.CodeInvalidKeyID},
		{"of another account", w.bob, saidXKS, kms.OpEncrypt, enc(key, 1, 0), kms.CodeNotFound},
		{"nobody", servicetest.Credentials{}, saidXKS, kms.OpEncrypt, enc(key, 1, 0), kms.CodeUnauthenticated},
		{"as it is", w.alice, saidXKS, kms.OpDecrypt, dec(key, nil), ""},
		{"other key", w.alice, saidXKS, kms.OpDecrypt, dec(other, nil), kms.CodeInvalidCiphertext},
		{"other data", w.alice, saidXKS, kms.OpDecrypt, dec(key, func(q *service.XKSDecryptRequest) { q.Data = []byte("x") }), kms.CodeInvalidCiphertext},
		{"other version", w.alice, saidXKS, kms.OpDecrypt, dec(key, func(q *service.XKSDecryptRequest) { q.Metadata = changed(q.Metadata, 4) }), kms.CodeInvalidCiphertext},
		{"other form", w.alice, saidXKS, kms.OpDecrypt, dec(key, func(q *service.XKSDecryptRequest) { q.Metadata = changed(q.Metadata, 0) }), kms.CodeInvalidCiphertext},
		{"no metadata", w.alice, saidXKS, kms.OpDecrypt, dec(key, func(q *service.XKSDecryptRequest) { q.Metadata = nil }), kms.CodeInvalidCiphertext},
		{"bytes moved", w.alice, saidXKS, kms.OpDecrypt, dec(key, func(q *service.XKSDecryptRequest) {
			q.Metadata, q.IV = q.Metadata[:19], append([]byte{q.Metadata[19]}, q.IV...)
		}), kms.CodeInvalidCiphertext},
		{"short tag", w.alice, saidXKS, kms.OpDecrypt, dec(key, func(q *service.XKSDecryptRequest) { q.Tag = q.Tag[1:] }), kms.CodeInvalidCiphertext},
		{"no ciphertext", w.alice, saidXKS, kms.OpDecrypt, dec(key, func(q *service.XKSDecryptRequest) { q.Ciphertext = nil }), kms.CodeValidation},
		{"disabled", w.alice, saidXKS, kms.OpDecrypt, dec(disabled, nil), kms.CodeKeyDisabled},
		{"describe", w.alice, saidXKS, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: disabled}, ""},
		{"describe no key", w.alice, saidXKS, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: nowhere}, kms.CodeNotFound},
		{"describe by alias", w.alice, saidXKS, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/xks"}, kms.CodeInvalidKeyID},
		{"health", w.alice, saidXKS, kms.OpGetCallerIdentity, &kms.Empty{}, ""},
		{"health of nobody", servicetest.Credentials{}, saidXKS, kms.OpGetCallerIdentity, &kms.Empty{}, kms.CodeUnauthenticated},
		{"another operation", w.alice, saidXKS, kms.OpListKeys, &kms.ListRequest{}, kms.CodeUnsupported},
		{"another message", w.alice, saidXKS, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")}, kms.CodeInvalidRequest},
	} {
		_, err := external(w.Node, row.who, row.x, row.op, row.request)
		want(t, row.op.Name+" "+row.name, err, row.code)
	}
	// Its messages are no other door's.
	_, err = w.Do(w.alice, kms.OpEncrypt, enc(key, 1, 0))
	want(t, "without an XKS", err, kms.CodeInvalidRequest)
}

// What AWS KMS says can narrow rights, and stands in the record with nothing of a text.
func TestXKSConditionsAndRecords(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	carl := w.member(t, w.alice, "carl", "")
	const secret = "a text that nobody writes down"
	q := &service.XKSEncryptRequest{KeyID: key, Plaintext: []byte(secret), Data: []byte(secret)}
	for name, value := range map[string]string{
		"xks:AwsPrincipalArn": saidXKS.AWSPrincipalARN, "xks:AwsSourceVpc": saidXKS.AWSSourceVPC, "xks:AwsSourceVpce": saidXKS.AWSSourceVPCE, "xks:KmsKeyArn": saidXKS.KMSKeyARN,
		"xks:KmsOperation": saidXKS.KMSOperation, "xks:KmsRequestId": saidXKS.KMSRequestID, "xks:KmsViaService": saidXKS.KMSViaService, "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
	} {
		w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", permit("kms:*", "*", `{"StringEquals":{"`+name+`":"`+value+`"}}`))
		_, err := external(w.Node, carl, saidXKS, kms.OpEncrypt, q)
		want(t, name, err, "")
		if strings.HasPrefix(name, "xks:") {
			_, err = external(w.Node, carl, service.XKS{}, kms.OpEncrypt, q)
			want(t, name+" not said", err, kms.CodeAccessDenied)
			_, err = w.Do(carl, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
			want(t, name+" of another door", err, kms.CodeAccessDenied)
		}
	}
	w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", permit("kms:Encrypt", "*"))
	_, err := external(w.Node, carl, saidXKS, kms.OpDecrypt, &service.XKSDecryptRequest{KeyID: key, Metadata: make([]byte, 20), IV: make([]byte, 16), Ciphertext: []byte(secret), Tag: make([]byte, 16)})
	want(t, "decrypt", err, kms.CodeAccessDenied)
	_, err = external(w.Node, carl, saidXKS, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
	want(t, "describe", err, kms.CodeAccessDenied)
	_, err = external(w.Node, carl, saidXKS, kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "health", err, "")

	if bytes.Contains(w.Lines(), []byte(secret)) {
		t.Error("a text stands in the records")
	}
	records := w.Records()
	last := records[len(records)-3] // the refused decryption
	parameters := last["requestParameters"].(map[string]any)
	said := parameters["requestMetadata"].(map[string]any)
	if last["eventName"] != "Decrypt" || parameters["keyId"] != key || len(said) != 7 || said["kmsRequestId"] != "a request" || said["awsPrincipalArn"] != saidXKS.AWSPrincipalARN {
		t.Errorf("%v", last)
	}
}

// Health is refused by whatever would keep a key from being used or described, and is no use of a key.
func TestXKSHealth(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	health := func(code kms.Code, f servicetest.Faults) {
		t.Helper()
		w.Break(f)
		a, err := external(w.Node, w.alice, saidXKS, kms.OpGetCallerIdentity, &kms.Empty{})
		want(t, "health", err, code)
		if h, ok := a.(*service.XKSHealth); code == "" && (!ok || len(h.Members) == 0) {
			t.Errorf("%+v", a)
		}
	}
	health("", servicetest.Faults{})
	health(kms.CodeNoLease, servicetest.Faults{Lease: func() error { return kms.Errorf(kms.CodeNoLease, "No.") }})
	health(kms.CodeCannotConfirm, servicetest.Faults{Confirm: func() error { return kms.Errorf(kms.CodeCannotConfirm, "No.") }})
	health(kms.CodeAuditBlocked, servicetest.Faults{Audit: func([]byte) error { return kms.Errorf(kms.CodeAuditBlocked, "No.") }})
	w.Break(servicetest.Faults{})
	w.Catalog.Seal()
	health(kms.CodeSealed, servicetest.Faults{})
}

// A plaintext does not leave past the lease, nor without its record.
func TestXKSAnswersLeaveUnderTheLease(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	a, err := external(w.Node, w.alice, saidXKS, kms.OpEncrypt, &service.XKSEncryptRequest{KeyID: key, Plaintext: []byte("p")})
	want(t, "encrypt", err, "")
	e := a.(*service.XKSEncryptAnswer)
	asked := 0
	w.Break(servicetest.Faults{Lease: func() error {
		if asked++; asked > 1 {
			return kms.Errorf(kms.CodeNoLease, "It ended meanwhile.")
		}
		return nil
	}})
	_, err = external(w.Node, w.alice, saidXKS, kms.OpDecrypt, opening(key, e, nil))
	want(t, "past the lease", err, kms.CodeNoLease)
	w.Break(servicetest.Faults{Audit: func([]byte) error { return kms.Errorf(kms.CodeAuditBlocked, "No.") }})
	_, err = external(w.Node, w.alice, saidXKS, kms.OpDecrypt, opening(key, e, nil))
	want(t, "without a record", err, kms.CodeAuditBlocked)
}
