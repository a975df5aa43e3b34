package sigv4

import "strings"

// Failure says what is wrong with a signature.
type Failure uint8

// The failures, with the error code with which AWS answers them.
const (
	_            Failure = iota
	MissingToken         // no SigV4 signature at all (MissingAuthenticationToken)
	Presigned            // the signature is in the query, which is not accepted
	Incomplete           // the signature, or what it covers, is malformed (IncompleteSignature)
	TooOld               // the time is more than Skew in the past (InvalidSignature)
	TooNew               // the time is more than Skew in the future (InvalidSignature)
	Scope                // the scope has another region, service, date or end (InvalidSignature)
	Unsigned             // a header that must be signed is not (InvalidSignature)
	Mismatch             // the signature is not that of the request (InvalidSignature)
)

// String names the failure for logs and metrics.
func (f Failure) String() string {
	names := [...]string{"none", "missing_token", "presigned", "incomplete", "too_old", "too_new", "scope", "unsigned", "mismatch"}
	if int(f) < len(names) {
		return names[f]
	}
	return "unknown"
}

// Error is the error of Parse and Verify. Message is worded as AWS words it where AWS has words for
// it. It may repeat parts of the request but never a secret or a calculated signature.
type Error struct {
	Failure Failure
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

func incomplete(message string) *Error { return &Error{Incomplete, message} }

func duplicated(name string) *Error {
	return incomplete("The request has more than one '" + shown(name) + "' header.")
}

func unsigned(name string) *Error {
	if name == "host" {
		return &Error{Unsigned, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	}
	return &Error{Unsigned, "'" + shown(name) + "' must be a 'SignedHeader' in the AWS Authorization."}
}

func mismatch() *Error {
	return &Error{Mismatch, "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
}

// shown makes text of the request fit for a message: short, and printable ASCII only.
func shown(s string) string {
	const most = 128
	end := ""
	if len(s) > most {
		s, end = s[:most], "..."
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s) + end
}
