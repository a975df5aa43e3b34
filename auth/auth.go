package auth

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// The types of principals that are no identity of their own, as CloudTrail's userIdentity.type has them.
const (
	TypeAssumedRole = "AssumedRole"
	TypeWebIdentity = "WebIdentityUser"
)

// Ref names a record, at a revision, that a verdict depends on. Kind and ID are opaque here.
type Ref struct {
	Kind     uint8
	ID       string
	Revision uint64
}

// Policy is an identity policy, a permissions boundary or a session policy of a principal.
type Policy struct {
	ID       string           // the ARN of a managed policy; of an inline one its holder and name
	Document *policy.Document // nil: it does not open or parse, and so denies everything
}

// Principal is a proven identity. It is immutable and may be shared.
type Principal struct {
	Account     string // 12 digits
	ARN         string
	UserID      string // of a session "ROLE ID:SESSION NAME"
	Type        string // kms.TypeRoot, kms.TypeUser, TypeAssumedRole or TypeWebIdentity
	Name        string // of a user, or of a session's role
	AccessKeyID string
	Operator    bool              // of the operator account: may be allowed lockstep:* actions
	Tags        map[string]string // aws:PrincipalTag
	Refs        []Ref             // the records that make this identity and its rights what they are

	Identity  []Policy // identity policies
	Boundary  *Policy  // nil: nothing bounds it
	Session   *Session // of TypeAssumedRole, and of a user or root who acts by a session of its own
	Role      string   // of TypeAssumedRole: the role's ARN
	Federated string   // of TypeWebIdentity: the provider's ARN

	documents []*policy.Document // those of Identity
	sessions  []Policy           // session policies
	session   []*policy.Document // those of sessions
}

// Complete prepares a principal whose fields are set for decisions. limits are the session policies; without any
// a session is limited by none.
func (p *Principal) Complete(limits []Policy) {
	p.sessions = limits
	for _, one := range p.Identity {
		p.documents = append(p.documents, one.Document)
	}
	for _, one := range limits {
		p.session = append(p.session, one.Document)
	}
}

// caller is the principal as policies name it.
func (p *Principal) caller() policy.Caller {
	c := policy.Caller{Account: p.Account, ARN: p.ARN, RoleARN: p.Role, Federated: p.Federated}
	switch p.Type {
	case kms.TypeRoot:
		c.Kind = policy.Root
	case kms.TypeUser:
		c.Kind = policy.User
	case TypeAssumedRole:
		c.Kind = policy.AssumedRole
	case TypeWebIdentity: // of an account it has only asked for a role
		c.Kind, c.Account = policy.Federated, ""
	}
	return c
}

// Request is what an authenticator sees of a request, as it arrived.
type Request struct {
	Method     string
	Host       string // the Host header
	RawPath    string // still escaped
	RawQuery   string
	Header     http.Header
	BodySHA256 func() [32]byte // computed when first asked for; nil for no body
	Source     string          // the caller's address without port
	TLS        *tls.ConnectionState
	Services   []string // of the door, as SigV4 scopes name them
	Regions    []string // of the door, likewise; nil for those that are served
	Signed     bool     // the door takes signatures only
	Untyped    bool     // the door does not read Content-Type: a signature need not cover it
}

// Credential is an access key as the directory knows it. It is immutable and may be shared.
type Credential struct {
	AccessKeyID string
	Secret      secret.Bytes
	Disabled    bool // the key, its identity or its account
	Principal   Principal
}

// Anchor is a certificate authority whose clients assume roles of an account.
type Anchor struct {
	ARN      string
	Roots    *x509.CertPool
	Names    map[string]struct{} // raw subjects in Roots, so that a chain of others costs nothing; nil: not known
	Mappings []kms.CertificateMapping
	Ref      Ref
}

// Directory finds who there is. The opened catalog's view is one; what it returns is immutable.
type Directory interface {
	// Credential finds an access key of a user or root.
	Credential(accessKeyID string) (*Credential, bool)
	// Session opens a session token; false for one that this cluster did not give.
	Session(token string) (*Session, bool)
	// Assumed returns the principal of a session, as its role is now; false when the role is gone, another one of
	// its name, or revoked the session, or when the account is disabled. Of a session of a user or root it is that one,
	// for as long as the access key that asked for it can be used.
	Assumed(s *Session) (*Principal, bool)
	// SigningKeys remembers derived keys for as long as the directory's secrets are open; nil remembers none.
	SigningKeys() *sigv4.Keys
	// Anchors returns the trust anchors of an account.
	Anchors(account string) []*Anchor
	// AssumedByCertificate returns the principal of a client certificate that a trust anchor maps to a role; false
	// when there is no such role or it does not trust the anchor.
	AssumedByCertificate(account string, a *Anchor, role string, cert *x509.Certificate) (*Principal, bool)
}

// Authenticator proves who sent a request. The errors are *kms.Error: CodeUnauthenticated, with one
// message whatever was wrong and a *Failure as its cause, and CodeInvalidRequest for more than one scheme in a request.
type Authenticator interface {
	Authenticate(Directory, *Request) (*Principal, error)
}

// FailureKind says why a request is not authenticated, for doors that tell.
type FailureKind uint8

// The kinds of failures.
const (
	FailureMissing      FailureKind = iota + 1 // no proof at all
	FailureUnknown                             // no such access key, or one that is disabled
	FailureMismatch                            // the wrong secret, or a signature that another secret made
	FailureSkew                                // signed too long ago or in the future
	FailureIncomplete                          // what is said of the signature is malformed, or covers too little
	FailureInvalidToken                        // a session token that this cluster did not give, or that is not this access key's
	FailureExpired                             // a session that is over
)

// Failure is the cause of CodeUnauthenticated. It must not reach those to whom all failures are one.
type Failure struct {
	Kind     FailureKind
	Message  string // as AWS words it
	Identity string // the access key id that was claimed, "" when none was
}

// Error returns the message.
func (f *Failure) Error() string { return f.Message }

// Clock returns the time; time.Now outside tests.
type Clock func() time.Time
