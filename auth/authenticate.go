package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// maxBasic bounds the decoded user-pass of a Basic header. An access key id and its secret have 64
// bytes.
const maxBasic = 256

// Options are what NewAuthenticator needs. The zero value is usable.
type Options struct {
	Now             Clock    // default time.Now; of signatures, sessions and certificates
	Regions         []string // that SigV4 scopes may name
	OperatorAccount string   // whose trust anchors count when a request names no account
	Certificates    bool     // a client certificate can be a proof
}

// NewAuthenticator returns the chain of every scheme this release knows.
func NewAuthenticator(o Options) Authenticator {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &chain{schemes: map[string]scheme{
		"basic":         basic,
		"bearer":        bearer{o.Now}.authenticate,
		schemeSignature: signature{o.Now, o.Regions}.authenticate,
	}}
	if o.Certificates {
		c.certificate = newCertificates(o)
	}
	return c
}

// scheme authenticates a request by the one Authorization header it has.
type scheme func(Directory, *Request) (*Principal, error)

const schemeSignature = "aws4-hmac-sha256"

// chain hands a request to the one scheme it names.
type chain struct {
	schemes     map[string]scheme // by the lower-case name in the Authorization header
	certificate *certificates     // nil: none is a proof
}

// Authenticate implements Authenticator. A scheme that nobody here knows is still a scheme: beside
// another one it is refused, alone it authenticates nobody.
func (c *chain) Authenticate(dir Directory, r *Request) (*Principal, error) {
	headers := r.Header["Authorization"]
	presented := len(headers)
	presigned := signedQuery(r.RawQuery)
	if presigned {
		presented++
	}
	switch {
	case presented > 1:
		return nil, kms.Errorf(kms.CodeInvalidRequest, "The request carries more than one authentication scheme.")
	case presigned:
		return nil, unauthenticated(FailureIncomplete, "", "Presigned requests are not accepted.")
	case presented == 0 && c.certificate != nil && !r.Signed && hasCertificate(r):
		return c.certificate.authenticate(dir, r)
	case presented == 0:
		return nil, missing()
	}
	name, _, _ := strings.Cut(headers[0], " ")
	name = strings.ToLower(name)
	if known := c.schemes[name]; known != nil && (name == schemeSignature || !r.Signed) {
		return known(dir, r)
	}
	return nil, missing()
}

// signedQuery reports whether a query string carries a SigV4 signature (a presigned URL).
func signedQuery(raw string) bool {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if name, _, _ := strings.Cut(pair, "="); strings.EqualFold(name, "X-Amz-Signature") || strings.EqualFold(name, "X-Amz-Algorithm") {
			return true
		}
	}
	return false
}

// unauthenticated is the one answer to every identity that was not proven. What was wrong is its cause.
func unauthenticated(kind FailureKind, identity, message string) error {
	return kms.Errorf(kms.CodeUnauthenticated, "The request is not authenticated: the access key is missing, unknown or disabled, or the proof for it is wrong.").
		WithCause(&Failure{Kind: kind, Message: message, Identity: identity})
}

func missing() error { return unauthenticated(FailureMissing, "", "Missing Authentication Token") }

const invalidToken = "The security token included in the request is invalid."

// basic is HTTP Basic authentication (RFC 7617) with an access key id and its secret. The decoded secret stays in
// one buffer, which is wiped. The access keys of sessions prove nothing without their token.
func basic(dir Directory, r *Request) (*Principal, error) {
	_, encoded, _ := strings.Cut(r.Header["Authorization"][0], " ")
	encoded = strings.TrimLeft(encoded, " ")
	var buf [maxBasic]byte
	defer secret.Wipe(buf[:])
	malformed := func() error { return unauthenticated(FailureIncomplete, "", "The Basic credentials are malformed.") }
	if base64.StdEncoding.DecodedLen(len(encoded)) > len(buf) {
		return nil, malformed()
	}
	n, err := base64.StdEncoding.Decode(buf[:], []byte(encoded))
	if err != nil {
		return nil, malformed()
	}
	id, given, found := bytes.Cut(buf[:n], []byte(":"))
	if !found {
		return nil, malformed()
	}
	return verify(dir, string(id), given)
}

// verify compares a given secret. An unknown id is compared with a secret that opens nothing, and
// both sides are hashed, so that neither existence nor length of a stored secret changes the work.
// A stored secret that is empty opens nothing either.
func verify(dir Directory, id string, given []byte) (*Principal, error) {
	var nobody [SecretLength]byte
	stored, usable := nobody[:], false
	credential, known := dir.Credential(id)
	if known {
		stored, usable = credential.Secret, !credential.Disabled && len(credential.Secret) > 0
	}
	want, got := sha256.Sum256(stored), sha256.Sum256(given)
	switch equal := secret.Equal(want[:], got[:]); {
	case !known || equal && !usable:
		return nil, unauthenticated(FailureUnknown, id, invalidToken)
	case !equal:
		return nil, unauthenticated(FailureMismatch, id, "The secret access key is wrong.")
	}
	return &credential.Principal, nil
}

// bearer is a session token by itself (RFC 6750).
type bearer struct{ now Clock }

func (b bearer) authenticate(dir Directory, r *Request) (*Principal, error) {
	_, token, _ := strings.Cut(r.Header["Authorization"][0], " ")
	s, err := session(dir, strings.TrimLeft(token, " "), b.now)
	if err != nil {
		return nil, err
	}
	return assumed(dir, s)
}

// session opens a token and checks that the session is not over.
func session(dir Directory, token string, now Clock) (*Session, error) {
	if token == "" || len(token) > MaxSessionToken {
		return nil, unauthenticated(FailureInvalidToken, "", invalidToken)
	}
	s, ok := dir.Session(token)
	if !ok {
		return nil, unauthenticated(FailureInvalidToken, "", invalidToken)
	}
	if s.over(now()) {
		return nil, unauthenticated(FailureExpired, s.AccessKeyID, "The security token included in the request is expired")
	}
	return s, nil
}

func assumed(dir Directory, s *Session) (*Principal, error) {
	p, ok := dir.Assumed(s)
	if !ok {
		return nil, unauthenticated(FailureInvalidToken, s.AccessKeyID, invalidToken)
	}
	return p, nil
}

// signature is AWS Signature Version 4, see package sigv4.
type signature struct {
	now     Clock
	regions []string
}

// required are headers of this product that change what a request does.
var required = []string{"lockstep-region", "idempotency-key"}

func (v signature) authenticate(dir Directory, r *Request) (*Principal, error) {
	in := &sigv4.Request{Method: r.Method, Host: r.Host, RawPath: r.RawPath, RawQuery: r.RawQuery, Header: r.Header, BodySHA256: r.BodySHA256}
	regions := r.Regions
	if regions == nil {
		regions = v.regions
	}
	s, err := sigv4.Parse(in, &sigv4.Rules{Services: r.Services, Regions: regions, Now: v.now(), Required: required, Untyped: r.Untyped})
	if err != nil {
		return nil, refuse(err, "")
	}
	if s.SecurityToken != "" {
		return v.ofSession(dir, in, &s)
	}
	var key secret.Bytes // an empty one is verified in the same way, in vain
	credential, known := dir.Credential(s.AccessKeyID)
	if known {
		key = credential.Secret
	}
	err = s.Verify(in, key, dir.SigningKeys())
	switch {
	case !known || err == nil && credential.Disabled:
		return nil, unauthenticated(FailureUnknown, s.AccessKeyID, invalidToken)
	case err != nil:
		return nil, refuse(err, s.AccessKeyID)
	}
	return &credential.Principal, nil
}

// ofSession verifies the signature of a session: its key is in its token.
func (v signature) ofSession(dir Directory, in *sigv4.Request, s *sigv4.Signature) (*Principal, error) {
	of, err := session(dir, s.SecurityToken, v.now)
	if err == nil && of.AccessKeyID != s.AccessKeyID {
		err = unauthenticated(FailureInvalidToken, s.AccessKeyID, invalidToken)
	}
	if err != nil {
		_ = s.Verify(in, nil, dir.SigningKeys()) // the same work as for a wrong signature
		return nil, err
	}
	if err := s.Verify(in, of.Secret, dir.SigningKeys()); err != nil {
		return nil, refuse(err, s.AccessKeyID)
	}
	return assumed(dir, of)
}

// refuse is what a failed signature means.
func refuse(err error, identity string) error {
	kind, message := FailureIncomplete, "The signature is malformed."
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		message = e.Message
		switch e.Failure {
		case sigv4.MissingToken:
			kind = FailureMissing
		case sigv4.TooOld, sigv4.TooNew:
			kind = FailureSkew
		case sigv4.Scope, sigv4.Unsigned, sigv4.Mismatch:
			kind = FailureMismatch
		}
	}
	return unauthenticated(kind, identity, message)
}

// ClaimedIdentity returns whom a request claims to be without proof, "" when it names nobody: for what counts
// failures, never for a decision.
func ClaimedIdentity(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Identity
	}
	return ""
}

// headerAccount names the account whose trust anchors a client certificate is for.
const headerAccount = "Lockstep-Account"

// named returns the account that the request names, or def when it names none. Two names are ambiguous.
func named(h http.Header, def string) (account string, ok bool) {
	switch v := h[headerAccount]; len(v) {
	case 0:
		return def, true
	case 1:
		return v[0], true
	}
	return "", false
}
