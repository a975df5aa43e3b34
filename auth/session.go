package auth

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// Session is what a session token holds. The token is all there is of a session: no node keeps it. Tokens are
// CBOR with integer keys, sealed under a keyring term; sessions that are decoded are immutable.
type Session struct {
	Schema      uint8             `cbor:"0,keyasint"` // 1
	AccessKeyID string            `cbor:"1,keyasint"` // "ASIA..."
	Secret      kms.Sensitive     `cbor:"2,keyasint"`
	Account     string            `cbor:"3,keyasint"` // of the role, or of the user or root
	Role        string            `cbor:"4,keyasint"` // name
	RoleID      string            `cbor:"5,keyasint"` // a role that was made anew has another one
	Generation  uint32            `cbor:"6,keyasint"` // of the role when the session was issued
	Name        string            `cbor:"7,keyasint"`
	Issued      int64             `cbor:"8,keyasint"` // log time, Unix milliseconds
	Expires     int64             `cbor:"9,keyasint"` // Unix milliseconds
	Tags        map[string]string `cbor:"10,keyasint,omitempty"`
	Policy      string            `cbor:"11,keyasint,omitempty"` // session policy
	PolicyARNs  []string          `cbor:"12,keyasint,omitempty"` // managed policies as session policies
	Issuer      string            `cbor:"13,keyasint,omitempty"` // ARN of who assumed the role
	Federated   string            `cbor:"14,keyasint,omitempty"` // of a web identity: the provider's ARN
	Subject     string            `cbor:"15,keyasint,omitempty"` // of a web identity
	Certificate bool              `cbor:"16,keyasint,omitempty"` // never in a token: the session is a certificate's, for one request
	OfKey       string            `cbor:"17,keyasint,omitempty"` // the access key of the user or root whose own session it is; then there is no role

	document *policy.Document // Policy
	kept     atomic.Pointer[kept]
}

// kept is the principal of a session on one state. It does not keep the state itself.
type kept struct {
	epoch, index uint64
	principal    *Principal
}

// Kept returns what Keep was told last, if it was of the same state.
func (s *Session) Kept(epoch, index uint64) *Principal {
	if k := s.kept.Load(); k != nil && k.epoch == epoch && k.index == index {
		return k.principal
	}
	return nil
}

// Keep keeps the session's principal for the next request on the state.
func (s *Session) Keep(epoch, index uint64, p *Principal) { s.kept.Store(&kept{epoch, index, p}) }

// Bounds of sessions.
const (
	MaxSessionToken  = 8192 // characters
	MaxSessionPolicy = 2048 // characters of the document
	sessionSchema    = 1
)

// NewSessionKey is NewAccessKey for a session.
func NewSessionKey(random io.Reader) (id string, sec secret.Bytes, err error) {
	return newAccessKey(random, "ASIA")
}

// Encode returns the plaintext of a token, which the caller wipes.
func (s *Session) Encode() ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().UserBufferEncMode()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(MaxSessionToken)
	err = mode.MarshalToBuffer(s, &b)
	return b.Bytes(), err
}

var errForm = errors.New("the session token is of another form")

// DecodeSession reads the plaintext of a token. The error, which says nothing of the content but where it is malformed,
// is for whoever holds the key of tokens.
func DecodeSession(plain []byte) (*Session, error) {
	if len(plain) > MaxSessionToken { // the token is longer than what is in it
		return nil, errForm
	}
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4, MaxMapPairs: 64, MaxArrayElements: 64}.DecMode()
	if err != nil {
		return nil, err
	}
	s := new(Session)
	if err := mode.Unmarshal(plain, s); err != nil {
		return nil, err
	}
	whose := s.Role != "" && s.RoleID != "" && s.Name != ""
	if s.OfKey != "" {
		whose = s.Role == "" && s.RoleID == "" && s.Name == "" && s.Policy == "" && len(s.PolicyARNs) == 0 && len(s.Tags) == 0
	}
	if s.Schema != sessionSchema || s.Certificate || s.AccessKeyID == "" || len(s.Secret) == 0 || s.Account == "" || !whose || s.Expires <= s.Issued {
		return nil, errForm
	}
	if s.Policy != "" {
		// One that does not parse was not sealed by this release; Limits then denies everything.
		s.document, _ = policy.Parse(policy.IdentityPolicy, s.Policy)
	}
	return s, nil
}

// Limits returns the inline session policy, when there is one.
func (s *Session) Limits() []Policy {
	if s.Policy == "" {
		return nil
	}
	return []Policy{{ID: "session policy", Document: s.document}}
}

// over reports whether the session has expired.
func (s *Session) over(now time.Time) bool { return now.UnixMilli() >= s.Expires }
