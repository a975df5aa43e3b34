package oidc

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	leeway   = 60 * time.Second // how far the issuer's clock may be from ours
	maxTries = 16               // keys to try for one token
)

// Config says how a Verifier works. The zero value is ready for production.
type Config struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// Transport makes what asks an issuer; roots is nil for the system's. It is used for one
	// fetch and its idle connections are closed after it. nil means HTTP/1.1 over TLS 1.2 or
	// later without a proxy: the environment does not decide where keys come from. A caller
	// whose issuers are behind a proxy says so here.
	Transport func(roots *x509.CertPool) http.RoundTripper

	// AllowLoopbackHTTP allows http to 127.0.0.1, ::1 and localhost.
	AllowLoopbackHTTP bool

	// Logger is told of every fetch; nil means none. Tokens are never logged.
	Logger *slog.Logger
}

// Verifier verifies tokens and keeps the keys of issuers. It is safe for concurrent use, and it has
// no background work: a fetch is started by a token and ends within 5 seconds, even if the caller
// who needed it has left.
type Verifier struct {
	now               func() time.Time
	transport         func(*x509.CertPool) http.RoundTripper
	allowLoopbackHTTP bool
	log               *slog.Logger
	timeout           time.Duration // of one fetch

	mu      sync.Mutex
	sources map[sourceKey]*source // guarded by mu, at most maxSources
	uses    uint64                // guarded by mu; counts look-ups, to know the least recent
}

// New returns a Verifier that knows no keys yet.
func New(c Config) *Verifier {
	v := &Verifier{
		now:               c.Now,
		transport:         c.Transport,
		allowLoopbackHTTP: c.AllowLoopbackHTTP,
		log:               c.Logger,
		timeout:           fetchTimeout,
		sources:           make(map[sourceKey]*source),
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.transport == nil {
		v.transport = newTransport
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	return v
}

// Verify returns the claims of a token of provider p, which must have passed its Check. The error
// is an *Error. Claims that decide cheaply are looked at before the signature, so that a token
// which cannot be good never makes us ask an issuer.
func (v *Verifier) Verify(ctx context.Context, p *Provider, raw string) (*Claims, error) {
	t, err := parseToken(raw)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(algorithms, t.algorithm) {
		return nil, fail(Algorithm, nil, "The token's signature algorithm is not supported.")
	}
	c, err := t.read()
	if err != nil {
		return nil, err
	}
	if c.Issuer != p.Issuer {
		return nil, fail(UnknownIssuer, nil, "The token's issuer %s is not the provider's.", shown(c.Issuer))
	}
	if err := c.checkAudience(p.Audiences); err != nil {
		return nil, err
	}
	if err := c.checkTimes(v.now()); err != nil {
		return nil, err
	}
	if err := v.checkSignature(ctx, p, t); err != nil {
		return nil, err
	}
	return c, nil
}

// checkAudience wants an accepted aud, and an accepted azp if there is one, however many values aud
// has: AWS takes azp for the audience of such a token, so a policy will see that value.
func (c *Claims) checkAudience(accepted []string) error {
	if !slices.ContainsFunc(c.Audience, func(a string) bool { return slices.Contains(accepted, a) }) {
		if len(c.Audience) == 1 {
			return fail(Audience, nil, "The token's audience %s is not accepted.", shown(c.Audience[0]))
		}
		return fail(Audience, nil, "None of the token's audiences is accepted.")
	}
	if c.AuthorizedParty != "" && !slices.Contains(accepted, c.AuthorizedParty) {
		return fail(Audience, nil, "The token's azp %s is not an accepted audience.", shown(c.AuthorizedParty))
	}
	return nil
}

func (c *Claims) checkTimes(now time.Time) error {
	if !now.Before(c.Expires.Add(leeway)) {
		return fail(Expired, nil, "The token is expired.")
	}
	if latest := now.Add(leeway); c.notBefore.After(latest) || c.IssuedAt.After(latest) {
		return fail(NotYet, nil, "The token is not valid yet.")
	}
	return nil
}

func (v *Verifier) checkSignature(ctx context.Context, p *Provider, t *token) error {
	// The library reads the header again. It may refuse what we ignore, such as a bad jwk.
	jws, err := jose.ParseSignedCompact(t.raw, algorithms)
	if err != nil {
		return fail(Malformed, err, "The token's header cannot be read.")
	}
	if p.Keys != "" {
		keys, err := parseKeys([]byte(p.Keys))
		if err != nil {
			return fail(UnknownKey, err, "The provider's keys cannot be read.")
		}
		return t.refusal(t.verify(jws, keys))
	}
	set, err := v.current(ctx, p)
	if err != nil {
		return err
	}
	failure := t.verify(jws, set.keys)
	if failure == UnknownKey || failure == Signature && t.keyID == "" {
		newer, err := v.newer(ctx, p, set)
		if err != nil {
			return err
		}
		if newer != set {
			failure = t.verify(jws, newer.keys)
		}
	}
	return t.refusal(failure)
}

// verify returns 0 if one of the keys made the token's signature. A token with a kid is of a key of
// that kid only; one without may be of any key that fits.
func (t *token) verify(jws *jose.JSONWebSignature, keys []key) Failure {
	named, tried := false, 0
	for i := range keys {
		k := &keys[i]
		if t.keyID != "" && k.id != t.keyID {
			continue
		}
		named = t.keyID != ""
		if !k.fits(t.algorithm) || tried == maxTries {
			continue
		}
		tried++
		if _, err := jws.Verify(k.public); err == nil {
			return 0
		}
	}
	switch {
	case tried > 0:
		return Signature
	case named:
		return Algorithm
	}
	return UnknownKey
}

func (t *token) refusal(f Failure) error {
	switch f {
	case 0:
		return nil
	case Algorithm:
		return fail(f, nil, "The key %s is not one for the token's signature algorithm.", shown(t.keyID))
	case Signature:
		return fail(f, nil, "The token's signature is not valid.")
	}
	if t.keyID == "" {
		return fail(UnknownKey, nil, "The provider has no key for the token's signature algorithm.")
	}
	return fail(UnknownKey, nil, "The provider has no key %s.", shown(t.keyID))
}
