package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
)

// A client certificate assumes a role of an account that has a trust anchor for its authority. The TLS handshake has
// proven that the client holds the key; whose word the certificate is, is checked here, for each request: the trust
// anchors are state. The account is the one that the request names, else the operator account: so
// nobody comes to an account by what another account says of an authority.

const (
	verifications = 1024 // verified certificates that are remembered
	maxChain      = 4    // certificates of a client, its own included
	maxTried      = 4    // trust anchors of one request, of those with the authority that its certificates name
)

// verified names a certificate and the trust anchor, as it is, that it was checked against.
type verified struct {
	leaf   [32]byte // SHA-256 of the certificates that were sent
	anchor Ref
}

type certificates struct {
	now      Clock
	operator string

	mu    sync.Mutex
	until map[verified]time.Time // guarded by mu: when the chain ends to be valid
}

func newCertificates(o Options) *certificates {
	return &certificates{now: o.Now, operator: o.OperatorAccount, until: map[verified]time.Time{}}
}

func hasCertificate(r *Request) bool { return r.TLS != nil && len(r.TLS.PeerCertificates) > 0 }

func (c *certificates) authenticate(dir Directory, r *Request) (*Principal, error) {
	refused := unauthenticated(FailureUnknown, "", "No role is mapped to the client certificate.")
	account, ok := named(r.Header, c.operator)
	if !ok {
		return nil, unauthenticated(FailureIncomplete, "", "The request has more than one "+headerAccount+" header.")
	}
	leaf := r.TLS.PeerCertificates[0]
	tried := 0
	for _, a := range dir.Anchors(account) {
		if !a.issued(r.TLS.PeerCertificates) {
			continue
		}
		if tried++; tried > maxTried {
			break
		}
		if !c.verify(a, r.TLS.PeerCertificates) {
			continue
		}
		for _, m := range a.Mappings {
			if Maps(&m, leaf) {
				if p, ok := dir.AssumedByCertificate(account, a, m.Role, leaf); ok {
					return p, nil
				}
				return nil, refused
			}
		}
	}
	return nil, refused
}

// verify reports whether the certificates chain to the anchor now, for client authentication (RFC 5280).
func (c *certificates) verify(a *Anchor, chain []*x509.Certificate) bool {
	if len(chain) > maxChain {
		return false
	}
	h := sha256.New()
	for _, one := range chain {
		h.Write(one.Raw)
	}
	id, now := verified{anchor: a.Ref}, c.now()
	h.Sum(id.leaf[:0])
	c.mu.Lock()
	until, known := c.until[id]
	c.mu.Unlock()
	if known && now.Before(until) && !now.Before(chain[0].NotBefore) {
		return true
	}
	chains, err := VerifyClient(chain, a.Roots, now)
	if err != nil {
		return false
	}
	until = chain[0].NotAfter
	for _, one := range chains[0] {
		if one.NotAfter.Before(until) {
			until = one.NotAfter
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.until) >= verifications {
		clear(c.until) // those in use come back at once
	}
	c.until[id] = until
	return true
}

// VerifyClient verifies the certificates that a client sent, its own first, for client authentication (RFC 5280). What
// it costs is bounded: whoever connects can send certificates.
func VerifyClient(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, errChain
	}
	intermediates, seen := x509.NewCertPool(), map[string]bool{}
	for _, one := range chain[1:] {
		if seen[string(one.RawSubject)] { // several of one name are several ways to try
			return nil, errChain
		}
		seen[string(one.RawSubject)] = true
		intermediates.AddCert(one)
	}
	return chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

var errChain = errors.New("the certificate chain is not one of different authorities, or too long")

// issued reports whether one of the certificates says that an authority of the anchor issued it.
func (a *Anchor) issued(chain []*x509.Certificate) bool {
	if a.Names == nil {
		return true
	}
	for _, one := range chain {
		if _, named := a.Names[string(one.RawIssuer)]; named {
			return true
		}
	}
	return false
}

// Maps reports whether a mapping is for a certificate. A mapping that asks for nothing is for none.
func Maps(m *kms.CertificateMapping, cert *x509.Certificate) bool {
	uris := make([]string, len(cert.URIs))
	for i, u := range cert.URIs {
		uris[i] = u.String()
	}
	asked := false
	for _, rule := range []struct {
		pattern string
		values  []string
	}{
		{m.CommonName, []string{cert.Subject.CommonName}}, {m.Unit, cert.Subject.OrganizationalUnit},
		{m.DNSName, cert.DNSNames}, {m.URI, uris}, {m.Email, cert.EmailAddresses},
	} {
		if rule.pattern == "" {
			continue
		}
		asked = true
		found := false
		for _, v := range rule.values {
			found = found || v != "" && matches(rule.pattern, v)
		}
		if !found {
			return false
		}
	}
	return asked
}

// matches compares with case; '*' stands for any characters, none included.
func matches(pattern, s string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	for s = s[len(head):]; ; {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], after
	}
}

// CertificateTags are the session tags of a client certificate, as IAM Roles Anywhere names them: of several values the
// first. https://docs.aws.amazon.com/rolesanywhere/latest/userguide/attribute-mapping.html
func CertificateTags(cert *x509.Certificate) map[string]string {
	tags := map[string]string{}
	set := func(name string, values []string) {
		if len(values) > 0 && values[0] != "" {
			tags[name] = values[0]
		}
	}
	for prefix, n := range map[string]*pkix.Name{"x509Subject/": &cert.Subject, "x509Issuer/": &cert.Issuer} {
		set(prefix+"CN", []string{n.CommonName})
		set(prefix+"OU", n.OrganizationalUnit)
		set(prefix+"O", n.Organization)
		set(prefix+"L", n.Locality)
		set(prefix+"ST", n.Province)
		set(prefix+"C", n.Country)
	}
	set("x509SAN/DNS", cert.DNSNames)
	if len(cert.URIs) > 0 {
		set("x509SAN/URI", []string{cert.URIs[0].String()})
	}
	return tags
}

// TrustsCertificate reports whether a role's trust policy lets a trust anchor's certificate assume it: the service
// rolesanywhere.amazonaws.com may sts:AssumeRole, with the anchor as aws:SourceArn and the certificate's tags as
// aws:PrincipalTag.
func TrustsCertificate(trust *policy.Document, role, anchor string, tags map[string]string) bool {
	if trust == nil {
		return false
	}
	d := policy.EvaluateTrust(trust, &policy.Request{Action: "sts:AssumeRole", Resource: role,
		Caller:  policy.Caller{Kind: policy.Service, ARN: "rolesanywhere.amazonaws.com"},
		Context: certificateContext{anchor, tags}})
	return d.Allow()
}

type certificateContext struct {
	anchor string
	tags   map[string]string
}

// Lookup implements policy.Context.
func (c certificateContext) Lookup(name, sub string) (policy.Values, bool) {
	switch name {
	case "aws:sourcearn":
		return policy.One(c.anchor), true
	case "aws:principaltag":
		return Tag(c.tags, sub)
	}
	return policy.Values{}, false
}
