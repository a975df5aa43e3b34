package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// maxBasic bounds the decoded user-pass of a Basic header. An access key id and its secret have 61
// bytes.
const maxBasic = 256

// NewAuthenticator returns the chain of every scheme this release knows.
func NewAuthenticator() Authenticator {
	return chain{{"Basic", basic{}}}
}

// chain hands a request to the one scheme it names.
type chain []struct {
	scheme string // of the Authorization header, compared without case
	Authenticator
}

// Authenticate implements Authenticator. A scheme that nobody here knows is still a scheme: beside
// another one it is refused, alone it authenticates nobody.
func (c chain) Authenticate(dir Directory, r *Request) (*Principal, error) {
	headers := r.Header["Authorization"]
	presented := len(headers)
	if signedQuery(r.RawQuery) {
		presented++
	}
	if presented > 1 {
		return nil, kms.Errorf(kms.CodeInvalidRequest, "The request carries more than one authentication scheme.")
	}
	if len(headers) == 0 {
		return nil, errUnauthenticated()
	}
	name, _, _ := strings.Cut(headers[0], " ")
	for _, known := range c {
		if strings.EqualFold(name, known.scheme) {
			return known.Authenticate(dir, r)
		}
	}
	return nil, errUnauthenticated()
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

// errUnauthenticated is the one answer to every identity that was not proven.
func errUnauthenticated() error {
	return kms.Errorf(kms.CodeUnauthenticated, "The request is not authenticated: the access key is missing, unknown or disabled, or the proof for it is wrong.")
}

// basic is HTTP Basic authentication (RFC 7617) with an access key id and its secret.
type basic struct{}

// Authenticate implements Authenticator. The decoded secret stays in one buffer, which is wiped.
func (basic) Authenticate(dir Directory, r *Request) (*Principal, error) {
	_, encoded, _ := strings.Cut(r.Header["Authorization"][0], " ")
	encoded = strings.TrimLeft(encoded, " ")
	var buf [maxBasic]byte
	defer secret.Wipe(buf[:])
	if base64.StdEncoding.DecodedLen(len(encoded)) > len(buf) {
		return nil, errUnauthenticated()
	}
	n, err := base64.StdEncoding.Decode(buf[:], []byte(encoded))
	if err != nil {
		return nil, errUnauthenticated()
	}
	id, given, found := bytes.Cut(buf[:n], []byte(":"))
	if !found {
		return nil, errUnauthenticated()
	}
	return verify(dir, string(id), given)
}

// verify compares a given secret. An unknown id is compared with a secret that opens nothing, and
// both sides are hashed, so that neither existence nor length of a stored secret changes the work.
func verify(dir Directory, id string, given []byte) (*Principal, error) {
	var nobody [SecretLength]byte
	stored, usable := nobody[:], false
	credential, known := dir.Credential(id)
	if known {
		stored, usable = credential.Secret, !credential.Disabled
	}
	want, got := sha256.Sum256(stored), sha256.Sum256(given)
	if !secret.Equal(want[:], got[:]) || !usable {
		return nil, errUnauthenticated()
	}
	return &credential.Principal, nil
}
