package oidc

import "fmt"

// Failure says why a token was refused.
type Failure uint8

// The failures. Only Unreachable is worth a retry with the same token. For AWS STS it is an
// IDPCommunicationError, Expired is an ExpiredTokenException, and all others are an
// InvalidIdentityToken.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
const (
	Malformed     Failure = iota + 1 // not a JWT in compact serialization, or a claim is missing or of another form
	Algorithm                        // the algorithm is not accepted, or is not one of the key that the token names
	UnknownIssuer                    // the token is of another issuer than the provider
	Audience                         // no accepted audience
	Expired                          // past its exp
	NotYet                           // before its nbf or iat
	Signature                        // no key of the provider made the signature
	UnknownKey                       // the provider has no such key
	Unreachable                      // the provider could not be asked or its answer was unusable
)

// String returns the failure's name, for logs and metrics.
func (f Failure) String() string {
	names := [...]string{
		Malformed: "malformed", Algorithm: "algorithm", UnknownIssuer: "unknown_issuer",
		Audience: "audience", Expired: "expired", NotYet: "not_yet", Signature: "signature",
		UnknownKey: "unknown_key", Unreachable: "unreachable",
	}
	if f == 0 || int(f) >= len(names) {
		return "unknown"
	}
	return names[f]
}

// Error is the error of Peek and Verify. Message may be shown to the caller: of the token it holds
// at most issuer, audience or key id, quoted and cut. The wrapped cause may name addresses of the
// operator's network and is for logs alone, so Error does not include it.
type Error struct {
	Failure Failure
	Message string // a whole sentence

	cause error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns what led to the failure, or nil.
func (e *Error) Unwrap() error { return e.cause }

func fail(f Failure, cause error, format string, args ...any) *Error {
	return &Error{Failure: f, Message: fmt.Sprintf(format, args...), cause: cause}
}

// shown returns what a token says in a form that is safe in messages: quoted, ASCII, cut.
func shown(s string) string {
	return fmt.Sprintf("%+.128q", s)
}
