package xks

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// failure is an error name of the specification with its HTTP status.
type failure struct {
	name   string
	status int
}

// The failures, from the table "Error codes" of the specification.
var (
	validation           = failure{"ValidationException", http.StatusBadRequest}
	invalidState         = failure{"InvalidStateException", http.StatusBadRequest}
	invalidCiphertext    = failure{"InvalidCiphertextException", http.StatusBadRequest}
	invalidKeyUsage      = failure{"InvalidKeyUsageException", http.StatusBadRequest}
	authenticationFailed = failure{"AuthenticationFailedException", http.StatusUnauthorized}
	accessDenied         = failure{"AccessDeniedException", http.StatusForbidden}
	keyNotFound          = failure{"KeyNotFoundException", http.StatusNotFound}
	invalidURIPath       = failure{"InvalidUriPathException", http.StatusNotFound}
	throttling           = failure{"ThrottlingException", http.StatusTooManyRequests}
	unsupported          = failure{"UnsupportedOperationException", http.StatusNotImplemented}
	dependencyTimeout    = failure{"DependencyTimeoutException", http.StatusServiceUnavailable}
	internal             = failure{"InternalException", http.StatusInternalServerError}

	// methodNotAllowed has the status that the specification demands; it has no name for it.
	methodNotAllowed = failure{"UnsupportedOperationException", http.StatusMethodNotAllowed}
)

// failureOf returns the failure that a code is here: by its own meaning where the specification has that, else by its
// class.
func failureOf(c kms.Code) failure {
	switch c {
	case kms.CodeInvalidCiphertext, kms.CodeIncorrectKey:
		return invalidCiphertext
	case kms.CodeInvalidKeyUsage:
		return invalidKeyUsage
	case kms.CodeInvalidKeyID: // no key can have it
		return keyNotFound
	case kms.CodeUnsupported:
		return unsupported
	case kms.CodeIndexNotReached:
		return dependencyTimeout
	}
	switch c.Class() {
	case kms.ClassInvalid:
		return validation
	case kms.ClassUnauthenticated:
		return authenticationFailed
	case kms.ClassDenied:
		return accessDenied
	case kms.ClassNotFound:
		return keyNotFound
	case kms.ClassMethod:
		return methodNotAllowed
	case kms.ClassState:
		return invalidState
	case kms.ClassTooLarge: // more than the specification asks of a proxy
		return unsupported
	case kms.ClassThrottled:
		return throttling
	case kms.ClassUnavailable, kms.ClassUnknown:
		return dependencyTimeout
	}
	return internal
}

// maxMessage is the most characters of an errorMessage.
const maxMessage = 511

// message makes a message what the specification asks for: short, and of printable ASCII characters.
func message(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
	return s[:min(len(s), maxMessage)]
}

func (d *Door) refuse(w http.ResponseWriter, r *service.Result, err error) {
	d.fail(w, r, err, failureOf(kms.CodeOf(err)))
}

func (d *Door) fail(w http.ResponseWriter, r *service.Result, err error, f failure) {
	body, _ := json.Marshal(struct { // of ASCII only: it cannot fail
		Name    string `json:"errorName"`
		Message string `json:"errorMessage"`
	}{f.name, message(kms.AsError(err).Message)})
	d.edge.Write(w, f.status, contentType, r, err, body)
}
