package auth

import (
	"crypto/tls"
	"net/http"

	"github.com/lockstep-kms/lockstep/secret"
)

// TypeRoot is the Type of the identity that an account begins with.
const TypeRoot = "Root"

// Ref names a record, at a revision, that a verdict depends on. Kind and ID are opaque here.
type Ref struct {
	Kind     uint8
	ID       string
	Revision uint64
}

// Principal is a proven identity. It is immutable and may be shared.
type Principal struct {
	Account     string // 12 digits
	ARN         string
	UserID      string
	Type        string // as CloudTrail's userIdentity.type; TypeRoot is the only one so far
	AccessKeyID string
	Operator    bool  // of the operator account: may be allowed lockstep:* actions
	Refs        []Ref // the records that make this identity what it is
}

// Request is what an authenticator sees of a request, as it arrived.
type Request struct {
	Method     string
	RawPath    string // still escaped
	RawQuery   string
	Header     http.Header
	BodySHA256 func() [32]byte // computed when first asked for; nil for no body
	Source     string          // the peer's address without port
	TLS        *tls.ConnectionState
}

// Credential is an access key as the directory knows it. It is immutable and may be shared.
type Credential struct {
	AccessKeyID string
	Secret      secret.Bytes
	Disabled    bool // the key, its identity or its account
	Principal   Principal
}

// Directory finds access keys. The opened catalog's view is one.
type Directory interface {
	Credential(accessKeyID string) (*Credential, bool)
}

// Authenticator proves who sent a request. The errors are *kms.Error: CodeUnauthenticated, with one
// message whatever was wrong, and CodeInvalidRequest for more than one scheme in a request.
type Authenticator interface {
	Authenticate(Directory, *Request) (*Principal, error)
}
