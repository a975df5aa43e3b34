package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
)

const anchorARN = "arn:aws:rolesanywhere::000000000000:trust-anchor/build"

// issued is a certificate and its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate that is valid from an hour before testNow to an hour after it, unless change says otherwise.
// It is signed by the parent, by itself when there is none.
func issue(t testing.TB, parent *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(time.Hour),
		Subject: pkix.Name{CommonName: "build-7"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	change(template)
	if parent == nil {
		parent = &issued{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.KeyUsage, c.ExtKeyUsage = pkix.Name{CommonName: name}, true, x509.KeyUsageCertSign, nil
		c.NotBefore, c.NotAfter = testNow.Add(-24*time.Hour), testNow.Add(24*time.Hour)
	}
}

func plain(*x509.Certificate) {}

func anchor(ca *issued, mappings ...kms.CertificateMapping) *Anchor {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return &Anchor{ARN: anchorARN, Roots: pool, Mappings: mappings, Ref: Ref{Kind: 9, ID: "build", Revision: 1}}
}

// presenting is a request over TLS with client certificates and no Authorization header.
func presenting(chain ...*issued) *Request {
	r := request("")
	r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	for _, one := range chain {
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, one.cert)
	}
	return r
}

const trustText = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rolesanywhere.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// trusting is a directory whose operator account has the anchors, and roles deploy and read that trust them.
func trusting(t testing.TB, anchors ...*Anchor) *directory {
	d, trust := newDirectory(), parse(t, policy.TrustPolicy, trustText)
	d.anchors = map[string][]*Anchor{operator: anchors}
	d.trust = map[string]*policy.Document{"deploy": trust, "read": trust}
	return d
}

var everyone = kms.CertificateMapping{Role: "deploy", CommonName: "*"}

func TestCertificateChains(t *testing.T) {
	ca, other := issue(t, nil, authority("ca")), issue(t, nil, authority("ca")) // same name, another key
	middle := issue(t, ca, authority("middle"))
	noCA := issue(t, ca, plain)
	rootNoCA := issue(t, nil, plain)
	oldCA := issue(t, nil, func(c *x509.Certificate) { authority("old")(c); c.NotAfter = testNow.Add(-time.Minute) })
	oldMiddle := issue(t, ca, func(c *x509.Certificate) { authority("middle")(c); c.NotAfter = testNow.Add(-time.Minute) })
	leaf := issue(t, ca, plain)
	long := []*issued{leaf}
	for len(long) < maxChain {
		long = append(long, issue(t, ca, authority(fmt.Sprint("middle ", len(long)))))
	}
	tests := []struct {
		name string
		ca   *issued
		sent []*issued
		want bool
	}{
		{"of the authority", ca, []*issued{leaf}, true},
		{"with an authority that is not needed", ca, []*issued{leaf, middle}, true},
		{"of an intermediate", ca, []*issued{issue(t, middle, plain), middle}, true},
		{"of an intermediate, root sent too", ca, []*issued{issue(t, middle, plain), middle, ca}, true},
		{"valid from now", ca, []*issued{issue(t, ca, func(c *x509.Certificate) { c.NotBefore = testNow })}, true},
		{"valid until now", ca, []*issued{issue(t, ca, func(c *x509.Certificate) { c.NotAfter = testNow })}, true},
		{"for every use", ca, []*issued{issue(t, ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })}, true},
		{"as many as are read", ca, long, true},

		{"more than are read", ca, append(slices.Clone(long), middle), false},
		{"two authorities of one name", ca, []*issued{leaf, middle, issue(t, ca, authority("middle"))}, false},
		{"intermediate is not sent", ca, []*issued{issue(t, middle, plain)}, false},
		{"of another authority", ca, []*issued{issue(t, other, plain)}, false},
		{"of another authority that is sent", ca, []*issued{issue(t, other, plain), other}, false},
		{"of itself", ca, []*issued{issue(t, nil, plain)}, false},
		{"expired", ca, []*issued{issue(t, ca, func(c *x509.Certificate) { c.NotAfter = testNow.Add(-time.Second) })}, false},
		{"not yet valid", ca, []*issued{issue(t, ca, func(c *x509.Certificate) { c.NotBefore = testNow.Add(time.Second) })}, false},
		{"for servers", ca, []*issued{issue(t, ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })}, false},
		{"of no authority", ca, []*issued{issue(t, noCA, plain), noCA}, false},
		{"anchor is no authority", rootNoCA, []*issued{issue(t, rootNoCA, plain)}, false},
		{"anchor expired", oldCA, []*issued{issue(t, oldCA, plain)}, false},
		{"intermediate expired", ca, []*issued{issue(t, oldMiddle, plain), oldMiddle}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := trusting(t, anchor(tt.ca, everyone))
			a := NewAuthenticator(testOptions())
			for range 2 { // the second time it may be remembered
				p, err := a.Authenticate(dir, presenting(tt.sent...))
				if (err == nil) != tt.want || (p != nil) != tt.want {
					t.Fatalf("got %v and %v", p, err)
				}
				var f *Failure
				if !tt.want && (kms.CodeOf(err) != kms.CodeUnauthenticated || !errors.As(err, &f) || f.Kind != FailureUnknown || f.Identity != "") {
					t.Errorf("got %v, %+v", err, f)
				}
			}
		})
	}
}

// A header that proves something else wins over the certificate, and so does one that proves nothing.
func TestCertificateBesideAHeader(t *testing.T) {
	ca := issue(t, nil, authority("ca"))
	leaf := issue(t, ca, plain)
	for header, want := range map[string]string{basicHeader(testID, testSecret): testID, "Bearer " + tokenOf(t, testSession()): sessionID,
		basicHeader(testID, "wrong"): "", "Digest abc": "", "Bearer x": ""} {
		r := presenting(leaf)
		r.Header["Authorization"] = []string{header}
		dir := trusting(t, anchor(ca, everyone))
		p, err := NewAuthenticator(testOptions()).Authenticate(dir, r)
		if want == "" && kms.CodeOf(err) != kms.CodeUnauthenticated || want != "" && (err != nil || p.AccessKeyID != want) {
			t.Errorf("%s: got %+v and %v", header, p, err)
		}
	}
	r := presenting()
	if _, err := NewAuthenticator(testOptions()).Authenticate(newDirectory(), r); kms.CodeOf(err) != kms.CodeUnauthenticated {
		t.Errorf("TLS without a certificate: %v", err)
	}
}

// Where certificates are no proof none is one, whatever anchors there are.
func TestCertificatesAreOff(t *testing.T) {
	ca := issue(t, nil, authority("ca"))
	dir, r := trusting(t, anchor(ca, everyone)), presenting(issue(t, ca, plain))
	o := testOptions()
	if _, err := NewAuthenticator(o).Authenticate(dir, r); err != nil {
		t.Fatal(err)
	}
	o.Certificates = false
	if p, err := NewAuthenticator(o).Authenticate(dir, r); kms.CodeOf(err) != kms.CodeUnauthenticated {
		t.Errorf("got %+v and %v", p, err)
	}
}

// An anchor whose authorities have other names than a certificate says is not looked at.
func TestAnchorsOfOtherNames(t *testing.T) {
	ca := issue(t, nil, authority("ca"))
	leaf, a := issue(t, ca, plain), anchor(ca, everyone)
	for name, want := range map[string]bool{string(ca.cert.RawSubject): true, "another": false} {
		a.Names = map[string]struct{}{name: {}}
		if _, err := NewAuthenticator(testOptions()).Authenticate(trusting(t, a), presenting(leaf)); (err == nil) != want {
			t.Errorf("named %q: %v", name, err)
		}
	}
}

func TestCertificateAccount(t *testing.T) {
	ca := issue(t, nil, authority("ca"))
	leaf := issue(t, ca, plain)
	tests := []struct {
		name     string
		headers  []string
		operator string
		want     string // account, "" when refused
		kind     FailureKind
		lookups  int
	}{
		{"none named", nil, operator, operator, 0, 1},
		{"named", []string{tenant}, operator, tenant, 0, 1},
		{"operator named", []string{operator}, tenant, operator, 0, 1},
		{"unknown", []string{"999999999999"}, operator, "", FailureUnknown, 1},
		{"empty", []string{""}, operator, "", FailureUnknown, 1},
		{"no operator account", nil, "", "", FailureUnknown, 1},
		{"two", []string{tenant, tenant}, operator, "", FailureIncomplete, 0},
		{"two of which one is empty", []string{"", tenant}, operator, "", FailureIncomplete, 0},
		{"two in one", []string{tenant + ", " + operator}, operator, "", FailureUnknown, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := trusting(t, anchor(ca, everyone))
			dir.anchors[tenant] = dir.anchors[operator]
			r := presenting(leaf)
			r.Header["Lockstep-Account"] = tt.headers
			p, err := NewAuthenticator(Options{Now: testClock, OperatorAccount: tt.operator, Certificates: true}).Authenticate(dir, r)
			if dir.lookups != tt.lookups {
				t.Errorf("%d look-ups", dir.lookups)
			}
			if tt.want != "" {
				if err != nil || p.Account != tt.want {
					t.Fatalf("got %+v and %v", p, err)
				}
				return
			}
			var f *Failure
			if p != nil || !errors.As(err, &f) || f.Kind != tt.kind {
				t.Errorf("got %+v and %v, %+v", p, err, f)
			}
		})
	}
}

func TestCertificateMapping(t *testing.T) {
	ca := issue(t, nil, authority("ca"))
	uri, _ := url.Parse("spiffe://example/ns/orders")
	full := issue(t, ca, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "build-7", OrganizationalUnit: []string{"Ops", "Build"}}
		c.DNSNames, c.URIs, c.EmailAddresses = []string{"a.example", "b.example"}, []*url.URL{uri}, []string{"ops@example.com"}
	})
	bare := issue(t, ca, func(c *x509.Certificate) { c.Subject = pkix.Name{} })
	m := func(f func(*kms.CertificateMapping)) kms.CertificateMapping {
		one := kms.CertificateMapping{Role: "deploy"}
		f(&one)
		return one
	}
	tests := []struct {
		mapping kms.CertificateMapping
		want    bool // of full
	}{
		{m(func(*kms.CertificateMapping) {}), false},
		{m(func(m *kms.CertificateMapping) { m.CommonName = "build-7" }), true},
		{m(func(m *kms.CertificateMapping) { m.CommonName = "Build-7" }), false},
		{m(func(m *kms.CertificateMapping) { m.CommonName = "build-" }), false},
		{m(func(m *kms.CertificateMapping) { m.CommonName = "build-*" }), true},
		{m(func(m *kms.CertificateMapping) { m.CommonName = "build-7*" }), true},
		{m(func(m *kms.CertificateMapping) { m.CommonName = "*" }), true},
		{m(func(m *kms.CertificateMapping) { m.Unit = "Ops" }), true},
		{m(func(m *kms.CertificateMapping) { m.Unit = "Build" }), true},
		{m(func(m *kms.CertificateMapping) { m.Unit = "OpsBuild" }), false},
		{m(func(m *kms.CertificateMapping) { m.DNSName = "b.example" }), true},
		{m(func(m *kms.CertificateMapping) { m.DNSName = "*.example" }), true},
		{m(func(m *kms.CertificateMapping) { m.DNSName = "*.other" }), false},
		{m(func(m *kms.CertificateMapping) { m.URI = "spiffe://example/ns/*" }), true},
		{m(func(m *kms.CertificateMapping) { m.URI = "spiffe://other/*" }), false},
		{m(func(m *kms.CertificateMapping) { m.Email = "ops@example.com" }), true},
		{m(func(m *kms.CertificateMapping) { m.Email = "*@example.org" }), false},
		{m(func(m *kms.CertificateMapping) {
			*m = kms.CertificateMapping{CommonName: "build-*", Unit: "Ops", DNSName: "a.example", URI: "spiffe://*", Email: "*@*"}
		}), true},
		{m(func(m *kms.CertificateMapping) { m.CommonName, m.Unit = "build-*", "Dev" }), false},
		{m(func(m *kms.CertificateMapping) { m.CommonName, m.Unit = "dev-*", "Ops" }), false},
	}
	for _, tt := range tests {
		if got := Maps(&tt.mapping, full.cert); got != tt.want {
			t.Errorf("%+v: %v", tt.mapping, got)
		}
		if Maps(&tt.mapping, bare.cert) { // what is not there matches nothing, not even *
			t.Errorf("%+v is for a certificate that says nothing", tt.mapping)
		}
	}

	none, first, second := kms.CertificateMapping{Role: "deploy", CommonName: "dev-*"}, kms.CertificateMapping{Role: "read", CommonName: "build-*"}, everyone
	gone := kms.CertificateMapping{Role: "gone", CommonName: "build-*"}
	for _, tt := range []struct {
		anchors [][]kms.CertificateMapping
		want    string
	}{
		{[][]kms.CertificateMapping{{none, first, second}}, "read"},
		{[][]kms.CertificateMapping{{none, second, first}}, "deploy"},
		{[][]kms.CertificateMapping{{none}, {first}}, "read"},
		{[][]kms.CertificateMapping{{none}}, ""},
		{[][]kms.CertificateMapping{{gone, first}}, ""}, // the first that matches counts, even for a role that is not there
		{[][]kms.CertificateMapping{{gone}, {first}}, ""},
		{[][]kms.CertificateMapping{{}}, ""},
	} {
		var anchors []*Anchor
		for i, all := range tt.anchors {
			a := anchor(ca, all...)
			a.Ref.ID = fmt.Sprint(i)
			anchors = append(anchors, a)
		}
		p, err := NewAuthenticator(testOptions()).Authenticate(trusting(t, anchors...), presenting(full))
		if tt.want == "" && err == nil || tt.want != "" && (err != nil || p.Name != tt.want) {
			t.Errorf("%v: got %+v and %v", tt.anchors, p, err)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "a", true}, {"a*a", "a", false}, {"a*a", "aa", true}, {"a*b*c", "aXbYbZc", true},
		{"a*b*c", "aXcYb", false}, {"*b", "abab", true}, {"*ab", "aab", true}, {"a?", "ab", false}, {"a?", "a?", true}, {"a*", "ba", false}, {"*a*", "bab", true},
	} {
		if got := matches(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q on %q: %v", tt.pattern, tt.s, got)
		}
	}
}

// What was verified is remembered for the trust anchor as it is, so a change of it counts at once.
func TestCertificateCache(t *testing.T) {
	ca, other := issue(t, nil, authority("ca")), issue(t, nil, authority("other"))
	leaf := issue(t, ca, plain)
	now := testNow
	a := NewAuthenticator(Options{Now: func() time.Time { return now }, OperatorAccount: operator, Certificates: true})
	try := func(one *Anchor) bool {
		_, err := a.Authenticate(trusting(t, one), presenting(leaf))
		return err == nil
	}
	first := anchor(ca, everyone)
	if !try(first) {
		t.Fatal("refused")
	}
	// The same Ref says that nothing changed. Roots that cannot have verified it show that it was not verified again.
	same := anchor(other, everyone)
	if !try(same) {
		t.Error("verified twice")
	}
	for name, change := range map[string]func(*Ref){"revision": func(r *Ref) { r.Revision++ }, "id": func(r *Ref) { r.ID = "x" }, "kind": func(r *Ref) { r.Kind++ }} {
		changed := anchor(other, everyone)
		change(&changed.Ref)
		if try(changed) {
			t.Errorf("another %s: the authority is gone, and yet its certificate is taken", name)
		}
	}
	now = leaf.cert.NotBefore.Add(-time.Second)
	if try(same) {
		t.Error("taken before it is valid")
	}
	now = leaf.cert.NotAfter.Add(-time.Second)
	if !try(same) {
		t.Error("forgotten before its end")
	}
	now = leaf.cert.NotAfter
	if !try(first) { // the last second is verified anew
		t.Error("refused in its last second")
	}
	now = leaf.cert.NotAfter.Add(time.Second)
	if try(first) || try(same) {
		t.Error("taken after its end")
	}
	now = testNow
	if _, err := a.Authenticate(trusting(t, same), presenting(issue(t, ca, plain))); err == nil {
		t.Error("another certificate is taken for the one that is remembered")
	}
}

// The chain ends with the first of its certificates.
func TestCertificateCacheEndsWithTheChain(t *testing.T) {
	ca := issue(t, nil, authority("ca"))
	middle := issue(t, ca, func(c *x509.Certificate) { authority("middle")(c); c.NotAfter = testNow.Add(time.Minute) })
	leaf := issue(t, middle, plain)
	now := testNow
	a := NewAuthenticator(Options{Now: func() time.Time { return now }, OperatorAccount: operator, Certificates: true})
	dir := trusting(t, anchor(ca, everyone))
	if _, err := a.Authenticate(dir, presenting(leaf, middle)); err != nil {
		t.Fatal(err)
	}
	now = testNow.Add(2 * time.Minute)
	if _, err := a.Authenticate(dir, presenting(leaf, middle)); err == nil {
		t.Error("taken after the end of the intermediate")
	}
}

func TestCertificateCacheIsBounded(t *testing.T) {
	ca := issue(t, nil, authority("ca"))
	leaf := issue(t, ca, plain)
	c := newCertificates(Options{Now: testClock})
	for i := range verifications + 10 {
		a := anchor(ca)
		a.Ref.Revision = uint64(i)
		c.until[verified{anchor: a.Ref}] = testNow
		if i >= verifications-1 && !c.verify(a, []*x509.Certificate{leaf.cert}) {
			t.Fatal("refused")
		}
	}
	if len(c.until) > verifications {
		t.Errorf("%d are remembered", len(c.until))
	}
}

func TestCertificateTags(t *testing.T) {
	ca := issue(t, nil, func(c *x509.Certificate) {
		authority("Build CA")(c)
		c.Subject.Organization, c.Subject.Country = []string{"Example"}, []string{"CH"}
	})
	uri, _ := url.Parse("spiffe://example/ns/orders")
	leaf := issue(t, ca, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "build-7", OrganizationalUnit: []string{"Ops"}, Organization: []string{"Example"},
			Locality: []string{"Bern"}, Province: []string{"BE"}, Country: []string{"CH"}}
		c.DNSNames, c.URIs = []string{"a.example", "b.example"}, []*url.URL{uri}
	})
	want := map[string]string{"x509Subject/CN": "build-7", "x509Subject/OU": "Ops", "x509Subject/O": "Example", "x509Subject/L": "Bern",
		"x509Subject/ST": "BE", "x509Subject/C": "CH", "x509Issuer/CN": "Build CA", "x509Issuer/O": "Example", "x509Issuer/C": "CH",
		"x509SAN/DNS": "a.example", "x509SAN/URI": "spiffe://example/ns/orders"}
	if got := CertificateTags(leaf.cert); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := CertificateTags(&x509.Certificate{Subject: pkix.Name{Organization: []string{""}}}); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestTrustsCertificate(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/deploy"
	tags := map[string]string{"x509Subject/CN": "build-7"}
	statement := func(effect, service, action, condition string) string {
		return `{"Effect":"` + effect + `","Principal":{"Service":"` + service + `"},"Action":` + action + `,"Condition":{` + condition + `}}`
	}
	document := func(statements string) *policy.Document {
		return parse(t, policy.TrustPolicy, `{"Version":"2012-10-17","Statement":[`+statements+`]}`)
	}
	const service = "rolesanywhere.amazonaws.com"
	source := `"ArnEquals":{"aws:SourceArn":"` + anchorARN + `"}`
	allow := statement("Allow", service, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, source+`,"StringEquals":{"aws:PrincipalTag/x509Subject/CN":"build-7"}`)
	tests := []struct {
		name   string
		trust  *policy.Document
		anchor string
		tags   map[string]string
		want   bool
	}{
		{"as documented", document(allow), anchorARN, tags, true},
		{"another anchor", document(allow), anchorARN + "2", tags, false},
		{"another name", document(allow), anchorARN, map[string]string{"x509Subject/CN": "build-8"}, false},
		{"no name", document(allow), anchorARN, nil, false},
		{"wildcard", document(statement("Allow", service, `"sts:AssumeRole"`, `"StringLike":{"aws:PrincipalTag/x509subject/cn":"build-*"}`)), anchorARN, tags, true},
		{"denied in other case", document(allow + "," + statement("Deny", service, `"sts:AssumeRole"`, `"StringEquals":{"aws:PrincipalTag/X509SUBJECT/CN":"build-7"}`)), anchorARN, tags, false},
		{"another service", document(statement("Allow", "ec2.amazonaws.com", `"sts:AssumeRole"`, source)), anchorARN, tags, false},
		{"another action", document(statement("Allow", service, `"sts:TagSession"`, source)), anchorARN, tags, false},
		{"a key that is not known", document(statement("Allow", service, `"sts:AssumeRole"`, `"StringEquals":{"aws:SourceAccount":"111122223333"}`)), anchorARN, tags, false},
		{"everyone", document(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}`), anchorARN, tags, false},
		{"the account", document(`{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}`), anchorARN, tags, false},
		{"no policy", nil, anchorARN, tags, false},
		{"a policy of another kind", parse(t, policy.IdentityPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`), anchorARN, tags, false},
		{"one that cannot be read", &policy.Document{}, anchorARN, tags, false},
	}
	for _, tt := range tests {
		if got := TrustsCertificate(tt.trust, role, tt.anchor, tt.tags); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func BenchmarkCertificate(b *testing.B) {
	ca := issue(b, nil, authority("ca"))
	a, dir, r := NewAuthenticator(testOptions()), trusting(b, anchor(ca, everyone)), presenting(issue(b, ca, plain))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(dir, r); err != nil {
			b.Fatal(err)
		}
	}
}
