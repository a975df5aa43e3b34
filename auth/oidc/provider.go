package oidc

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Bounds of a provider. Those of the issuer and the audiences are AWS IAM's.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html
const (
	maxIssuer    = 255
	maxAudience  = 255
	maxAudiences = 100
	maxCA        = 16 << 10
	maxKeysText  = 64 << 10
	maxURL       = 2048
)

// Provider is an issuer that an account trusts.
type Provider struct {
	Owner     string   // whose provider it is; what is cached is for one owner, so that none sees another's logins by their speed
	Issuer    string   // the URL that is the iss of its tokens: https, no query, no fragment, no user info
	Audiences []string // the accepted client ids; none accepts no token
	CA        string   // PEM of the CAs that sign the issuer's TLS certificate; "" means the system's roots
	Keys      string   // a JWK Set (RFC 7517) for issuers that cannot be reached; "" means OpenID Connect Discovery 1.0
}

// invalid is an error whose text is a whole sentence for the person who configures a provider.
type invalid string

func (i invalid) Error() string { return string(i) }

func invalidf(format string, args ...any) error {
	return invalid(fmt.Sprintf(format, args...))
}

// Check reports what is wrong with p, as a sentence that names the field. With allowLoopbackHTTP
// the issuer may also be http on 127.0.0.1, ::1 or localhost.
func (p *Provider) Check(allowLoopbackHTTP bool) error {
	if err := p.checkIssuer(allowLoopbackHTTP); err != nil {
		return err
	}
	if len(p.Audiences) > maxAudiences {
		return invalidf("A provider has at most %d audiences.", maxAudiences)
	}
	for _, audience := range p.Audiences {
		if len(audience) < 1 || len(audience) > maxAudience || !printable(audience) {
			return invalidf("An audience must be 1 to %d printable characters.", maxAudience)
		}
	}
	if _, err := parseRoots(p.CA); err != nil {
		return invalidf("The CA %s.", err)
	}
	if len(p.Keys) > maxKeysText {
		return invalidf("The JWK Set must be at most %d bytes.", maxKeysText)
	}
	if p.Keys != "" {
		if err := checkKeys(p.Keys); err != nil {
			return invalidf("The JWK Set %s.", err)
		}
	}
	return nil
}

func (p *Provider) checkIssuer(allowLoopbackHTTP bool) error {
	if len(p.Issuer) < 1 || len(p.Issuer) > maxIssuer {
		return invalidf("The issuer must be a URL of 1 to %d characters.", maxIssuer)
	}
	u, err := parseURL(p.Issuer, allowLoopbackHTTP)
	if err != nil {
		return invalidf("The issuer %s.", err)
	}
	if u.RawQuery != "" || u.ForceQuery {
		return invalid("The issuer must not have a query.")
	}
	return nil
}

// parseURL parses a URL that may be asked. Private addresses are allowed, since an issuer of
// Kubernetes usually has one. The error continues a sentence whose subject is the URL.
func parseURL(raw string, allowLoopbackHTTP bool) (*url.URL, error) {
	if len(raw) > maxURL || !ascii(raw) {
		return nil, fmt.Errorf("must be at most %d printable ASCII characters without a space", maxURL)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("must be a URL with a host")
	case u.User != nil:
		return nil, errors.New("must not have user info")
	case strings.Contains(raw, "#"):
		return nil, errors.New("must not have a fragment")
	case u.Scheme == "https":
		return u, nil
	case u.Scheme == "http" && allowLoopbackHTTP && loopback(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("must be an https URL")
}

// loopback compares names instead of resolving them: what resolves to loopback today may not later.
func loopback(host string) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost"
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// parseRoots reads PEM certificates; "" gives nil, which means the system's roots. Anything that is
// not a certificate is refused, since a dropped one would be missed only at the next login.
func parseRoots(ca string) (*x509.CertPool, error) {
	if ca == "" {
		return nil, nil
	}
	if len(ca) > maxCA {
		return nil, fmt.Errorf("must be at most %d bytes", maxCA)
	}
	pool, found := x509.NewCertPool(), false
	rest := []byte(ca)
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("must be PEM certificates and nothing else")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("holds a certificate that cannot be read")
		}
		pool.AddCert(certificate)
		found = true
	}
	if !found {
		return nil, errors.New("holds no certificate")
	}
	return pool, nil
}
