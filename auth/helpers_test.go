package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

const (
	tenant   = "111122223333"
	operator = "000000000000"

	testID     = "AKIAABCDEFGHIJKLMNOP"
	testSecret = "0123456789abcdefghijABCDEFGHIJ0123456789"

	sessionID     = "ASIAABCDEFGHIJKLMNOP"
	sessionSecret = "abcdefghijABCDEFGHIJ01234567890123456789"
)

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func testClock() time.Time { return testNow }

// directory is a Directory over maps, counting what it is asked. Its tokens are sealed, so a changed one does not open.
type directory struct {
	keys    map[string]*Credential
	revoked bool // every session
	signing *sigv4.Keys
	anchors map[string][]*Anchor        // by account
	trust   map[string]*policy.Document // trust policies by the role's name
	lookups int
}

func newDirectory() *directory {
	d := &directory{keys: map[string]*Credential{}, signing: sigv4.NewKeys(64)}
	for id, sec := range map[string]string{testID: testSecret, "AKIADISABLED": testSecret, "AKIASHORT": "short", "AKIAEMPTY": ""} {
		d.keys[id] = &Credential{AccessKeyID: id, Secret: secret.Bytes(sec), Disabled: id == "AKIADISABLED",
			Principal: Principal{Account: tenant, Type: kms.TypeRoot, AccessKeyID: id}}
	}
	return d
}

// Credential implements Directory.
func (d *directory) Credential(id string) (*Credential, bool) {
	d.lookups++
	c, ok := d.keys[id]
	return c, ok
}

func tokenCipher() cipher.AEAD {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// tokenOf seals a session. The nonce is always the same: processes that share seeds of a fuzz target make one token.
func tokenOf(t testing.TB, s *Session) string {
	t.Helper()
	plain, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(tokenCipher().Seal(nil, make([]byte, 12), plain, nil))
}

// Session implements Directory.
func (d *directory) Session(token string) (*Session, bool) {
	d.lookups++
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return nil, false
	}
	plain, err := tokenCipher().Open(nil, make([]byte, 12), raw, nil)
	if err != nil {
		return nil, false
	}
	s, err := DecodeSession(plain)
	return s, err == nil
}

// Assumed implements Directory.
func (d *directory) Assumed(s *Session) (*Principal, bool) {
	if d.revoked {
		return nil, false
	}
	p := &Principal{Account: s.Account, Type: TypeAssumedRole, AccessKeyID: s.AccessKeyID, Session: s, Name: s.Role,
		ARN:  "arn:aws:sts::" + s.Account + ":assumed-role/" + s.Role + "/" + s.Name,
		Role: "arn:aws:iam::" + s.Account + ":role/" + s.Role}
	p.Complete(s.Limits())
	return p, true
}

// SigningKeys implements Directory.
func (d *directory) SigningKeys() *sigv4.Keys { return d.signing }

// Anchors implements Directory.
func (d *directory) Anchors(account string) []*Anchor {
	d.lookups++
	return d.anchors[account]
}

// AssumedByCertificate implements Directory.
func (d *directory) AssumedByCertificate(account string, a *Anchor, role string, cert *x509.Certificate) (*Principal, bool) {
	arn := "arn:aws:iam::" + account + ":role/" + role
	if !TrustsCertificate(d.trust[role], arn, a.ARN, CertificateTags(cert)) {
		return nil, false
	}
	return &Principal{Account: account, Type: TypeAssumedRole, Name: role, Role: arn}, true
}

// testSession is a session that ends an hour after testNow.
func testSession() *Session {
	return &Session{Schema: 1, AccessKeyID: sessionID, Secret: kms.Sensitive(sessionSecret), Account: tenant, Role: "deploy", RoleID: "AROAABCDEFGHIJKLMNOPQ",
		Generation: 3, Name: "build-7", Issued: testNow.UnixMilli(), Expires: testNow.Add(time.Hour).UnixMilli(), Issuer: "arn:aws:iam::111122223333:user/ci"}
}

// request is a request as it arrives with one Authorization header, with none when it is "".
func request(authorization string) *Request {
	r := &Request{Method: "POST", Host: "kms.example", RawPath: "/", Header: http.Header{}, Services: []string{"kms"}, Source: "192.0.2.1"}
	if authorization != "" {
		r.Header["Authorization"] = []string{authorization}
	}
	return r
}

func basicHeader(id, sec string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+sec))
}

// signing is what a client of SigV4 is told.
type signing struct {
	id, secret, token string
	at                time.Time // testNow when zero
	region, service   string    // us-east-1 and kms when ""
	header            http.Header
}

// signed is a request signed by the signer of the AWS SDK for Go, as it arrives.
func signed(t testing.TB, s signing) *Request {
	t.Helper()
	const body = `{"KeyId":"alias/orders"}`
	if s.at.IsZero() {
		s.at = testNow
	}
	if s.region == "" {
		s.region = "us-east-1"
	}
	if s.service == "" {
		s.service = "kms"
	}
	req, err := http.NewRequest("POST", "https://kms.example/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "TrentService.Encrypt")
	maps.Copy(req.Header, s.header)
	sum := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: s.id, SecretAccessKey: s.secret, SessionToken: s.token}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, req, hex.EncodeToString(sum[:]), s.service, s.region, s.at); err != nil {
		t.Fatal(err)
	}
	r := request("")
	r.Header = req.Header
	r.Header.Set("Content-Length", "24") // net/http adds it; the signer signed it
	r.BodySHA256 = func() [32]byte { return sum }
	return r
}

// testOptions are a chain at testNow.
func testOptions() Options {
	return Options{Now: testClock, Regions: []string{"us-east-1"}, OperatorAccount: operator, Certificates: true}
}

func parse(t testing.TB, kind policy.Kind, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse(kind, text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
