package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// issuingCA is a certificate authority of a test.
type issuingCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  time.Time
}

func newIssuingCA(t *testing.T, now time.Time) *issuingCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca := &issuingCA{key: key, now: now}
	ca.cert = ca.sign(t, template, template, key)
	return ca
}

func (ca *issuingCA) sign(t *testing.T, template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (ca *issuingCA) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}))
}

// client is a client's certificate, changed as asked.
func (ca *issuingCA) client(t *testing.T, name string, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(0xabc123), Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{"shop"}}, NotBefore: ca.now.Add(-time.Minute), NotAfter: ca.now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(template)
	}
	return ca.sign(t, template, ca.cert, ca.key)
}

// anchorTrust is a trust policy for a trust anchor of alice's, with further conditions.
func anchorTrust(anchor, further string) kms.PolicyDocument {
	return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Principal":{"Service":"rolesanywhere.amazonaws.com"},"Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:rolesanywhere::` +
		aliceID + `:trust-anchor/` + anchor + `"}` + further + `}}]}`)
}

func byCertificate(account string, chain ...*x509.Certificate) func(*service.Call) {
	return func(c *service.Call) {
		c.Auth.TLS = &tls.ConnectionState{PeerCertificates: chain}
		if account != "" {
			c.Auth.Header.Set("Lockstep-Account", account)
		}
	}
}

// A client certificate of a trust anchor is a session of the role it is mapped to, for as long as all of them say so.
func TestClientCertificates(t *testing.T) {
	c := newClock()
	w := newWorld(t, servicetest.Options{Now: c.now})
	ca, wrong := newIssuingCA(t, c.now()), newIssuingCA(t, c.now())
	key := w.CreateKey(w.alice)
	w.roleFor(t, "shop", anchorTrust("a", ""), permit("kms:Encrypt", "*"))
	w.roleFor(t, "tagged", anchorTrust("a", `,"StringEquals":{"aws:PrincipalTag/x509Subject/OU":"shop"}`), permit("kms:Encrypt", "*"))
	w.roleFor(t, "other", anchorTrust("b", ""), permit("kms:Encrypt", "*"))
	w.roleFor(t, "users", trusting(iamARN(aliceID, "root")), permit("kms:Encrypt", "*"))
	w.must(t, w.alice, kms.OpCreateTrustAnchor, &kms.CreateTrustAnchorRequest{Name: "a", Certificate: ca.pem(), Mappings: []kms.CertificateMapping{
		{Role: "shop", CommonName: "orders-*"}, {Role: "tagged", CommonName: "tagged"}, {Role: "other", CommonName: "other"}, {Role: "users", CommonName: "users"},
		{Role: "none", CommonName: "none"}, {Role: "shop", DNSName: "*.shop.example", Unit: "shop"}}})
	use := func(proof func(*service.Call)) error {
		_, err := proven(w.Node, proof, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
		return err
	}
	client := ca.client(t, "orders-1", nil)
	for what, row := range map[string]struct {
		account string
		cert    *x509.Certificate
		code    kms.Code
	}{
		"mapped":                          {aliceID, client, ""},
		"in no account, the operator's":   {"", client, kms.CodeUnauthenticated},
		"in another account":              {bobID, client, kms.CodeUnauthenticated},
		"in one that is not there":        {"1", client, kms.CodeUnauthenticated},
		"of another authority":            {aliceID, wrong.client(t, "orders-1", nil), kms.CodeUnauthenticated},
		"mapped to nothing":               {aliceID, ca.client(t, "nothing", nil), kms.CodeUnauthenticated},
		"mapped to no role":               {aliceID, ca.client(t, "none", nil), kms.CodeUnauthenticated},
		"a role of another anchor":        {aliceID, ca.client(t, "other", nil), kms.CodeUnauthenticated},
		"a role of users":                 {aliceID, ca.client(t, "users", nil), kms.CodeUnauthenticated},
		"with the tag":                    {aliceID, ca.client(t, "tagged", nil), ""},
		"with another tag":                {aliceID, ca.client(t, "tagged", func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"evil"} }), kms.CodeUnauthenticated},
		"by its DNS name":                 {aliceID, ca.client(t, "x", func(c *x509.Certificate) { c.DNSNames = []string{"a.shop.example"} }), ""},
		"by its DNS name, in part":        {aliceID, ca.client(t, "x", func(c *x509.Certificate) { c.DNSNames, c.Subject.OrganizationalUnit = []string{"a.shop.example"}, nil }), kms.CodeUnauthenticated},
		"for servers":                     {aliceID, ca.client(t, "orders-1", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), kms.CodeUnauthenticated},
		"expired":                         {aliceID, ca.client(t, "orders-1", func(x *x509.Certificate) { x.NotAfter = c.now().Add(-time.Second) }), kms.CodeUnauthenticated},
		"not yet":                         {aliceID, ca.client(t, "orders-1", func(x *x509.Certificate) { x.NotBefore = c.now().Add(time.Second) }), kms.CodeUnauthenticated},
		"the authority's own certificate": {aliceID, ca.cert, kms.CodeUnauthenticated},
	} {
		want(t, what, use(byCertificate(row.account, row.cert)), row.code)
	}
	twice := func(c *service.Call) {
		byCertificate(aliceID, client)(c)
		c.Auth.Header.Add("Lockstep-Account", bobID)
	}
	want(t, "two accounts", use(twice), kms.CodeUnauthenticated)
	want(t, "a wrong signature beside it", use(func(c *service.Call) {
		byCertificate(aliceID, client)(c)
		c.Auth.Header.Set("Authorization", "Bearer x")
	}), kms.CodeUnauthenticated)

	a, err := proven(w.Node, byCertificate(aliceID, client), kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "who am I", err, "")
	session := "arn:aws:sts::" + aliceID + ":assumed-role/shop/abc123"
	if me := a.(*kms.CallerIdentityAnswer); me.ARN != session || me.Account != aliceID {
		t.Errorf("I am %+v", me)
	}
	records := w.Records()
	if id := records[len(records)-1]["userIdentity"].(map[string]any); id["type"] != auth.TypeAssumedRole || id["arn"] != session {
		t.Errorf("recorded %v", id)
	}
	_, err = proven(w.Node, byCertificate(aliceID, client), kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
	want(t, "what the role may not", err, kms.CodeAccessDenied)

	// What changes takes effect with the next request.
	for _, step := range []struct {
		what    string
		op      *kms.Operation
		request any
		code    kms.Code
	}{
		{"another policy", kms.OpPutRolePolicy, &kms.PutInlinePolicyRequest{Name: "shop", PolicyName: "p", PolicyDocument: permit("kms:Decrypt", "*")}, kms.CodeAccessDenied},
		{"the policy again", kms.OpPutRolePolicy, &kms.PutInlinePolicyRequest{Name: "shop", PolicyName: "p", PolicyDocument: permit("kms:Encrypt", "*")}, ""},
		{"another trust policy", kms.OpUpdateAssumeRolePolicy, &kms.UpdateAssumeRolePolicyRequest{Name: "shop", PolicyDocument: anchorTrust("b", "")}, kms.CodeUnauthenticated},
		{"the trust policy again", kms.OpUpdateAssumeRolePolicy, &kms.UpdateAssumeRolePolicyRequest{Name: "shop", PolicyDocument: anchorTrust("a", "")}, ""},
		{"no trust anchor", kms.OpDeleteTrustAnchor, &kms.ProviderRequest{Provider: "a"}, kms.CodeUnauthenticated},
		{"one of another authority", kms.OpCreateTrustAnchor, &kms.CreateTrustAnchorRequest{Name: "a", Certificate: wrong.pem(), Mappings: []kms.CertificateMapping{{Role: "shop", CommonName: "*"}}}, kms.CodeUnauthenticated},
	} {
		w.must(t, w.alice, step.op, step.request)
		want(t, step.what, use(byCertificate(aliceID, client)), step.code)
	}
	want(t, "of that authority", use(byCertificate(aliceID, wrong.client(t, "x", nil))), "")
	c.advance(2 * time.Hour)
	want(t, "expired meanwhile", use(byCertificate(aliceID, wrong.client(t, "x", nil))), kms.CodeUnauthenticated)
}

// A change that a certificate makes is guarded by what it was authenticated with.
func TestCertificateIsGuarded(t *testing.T) {
	c := newClock()
	for _, op := range []*kms.Operation{kms.OpDeleteTrustAnchor, kms.OpUpdateAssumeRolePolicy} {
		w := newWorld(t, servicetest.Options{Now: c.now})
		ca := newIssuingCA(t, c.now())
		w.roleFor(t, "shop", anchorTrust("a", ""), permit("kms:*", "*"))
		w.must(t, w.alice, kms.OpCreateTrustAnchor, &kms.CreateTrustAnchorRequest{Name: "a", Certificate: ca.pem(), Mappings: []kms.CertificateMapping{{Role: "shop", CommonName: "*"}}})
		other := w.Cluster.Node(servicetest.Options{Now: c.now})
		w.Break(once(func() {
			var request any = &kms.ProviderRequest{Provider: "a"}
			if op == kms.OpUpdateAssumeRolePolicy {
				request = &kms.UpdateAssumeRolePolicyRequest{Name: "shop", PolicyDocument: anchorTrust("b", "")}
			}
			_, err := other.Do(w.alice, op, request)
			want(t, op.Name, err, "")
		}))
		_, err := proven(w.Node, byCertificate(aliceID, ca.client(t, "x", nil)), kms.OpCreateKey, &kms.CreateKeyRequest{})
		want(t, "a key, after "+op.Name, err, kms.CodeUnauthenticated)
	}
}

// What is no trust anchor.
func TestTrustAnchorRules(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	ca := newIssuingCA(t, time.Now())
	leaf := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.client(t, "x", nil).Raw}))
	good := []kms.CertificateMapping{{Role: "r", CommonName: "c"}}
	var many []kms.CertificateMapping
	for i := range 51 {
		many = append(many, kms.CertificateMapping{Role: "r", CommonName: fmt.Sprint(i)})
	}
	huge := ""
	for len(huge) <= 32<<10 {
		huge += ca.pem()
	}
	for what, q := range map[string]kms.CreateTrustAnchorRequest{
		"no certificate": {Mappings: good}, "text": {Certificate: "x", Mappings: good}, "a client's": {Certificate: leaf, Mappings: good}, "both": {Certificate: ca.pem() + leaf, Mappings: good},
		"text behind": {Certificate: ca.pem() + "x", Mappings: good}, "two of one name": {Certificate: ca.pem() + newIssuingCA(t, time.Now()).pem(), Mappings: good}, "too large": {Certificate: huge, Mappings: good}, "no mapping": {Certificate: ca.pem()}, "51 mappings": {Certificate: ca.pem(), Mappings: many},
		"a mapping of everybody": {Certificate: ca.pem(), Mappings: []kms.CertificateMapping{{Role: "r"}}}, "a mapping to nothing": {Certificate: ca.pem(), Mappings: []kms.CertificateMapping{{CommonName: "c"}}},
		"a key": {Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: ca.cert.Raw})), Mappings: good},
	} {
		q.Name = "a"
		_, err := w.Do(w.alice, kms.OpCreateTrustAnchor, &q)
		want(t, what, err, kms.CodeValidation)
	}
	w.must(t, w.alice, kms.OpCreateTrustAnchor, &kms.CreateTrustAnchorRequest{Name: "a", Certificate: ca.pem() + "\n" + authority, Mappings: good})
	_, err := w.Do(w.alice, kms.OpCreateTrustAnchor, &kms.CreateTrustAnchorRequest{Name: "a", Certificate: ca.pem(), Mappings: good})
	want(t, "again", err, kms.CodeAlreadyExists)
}
