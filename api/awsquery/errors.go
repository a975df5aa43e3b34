package awsquery

import (
	"errors"
	"net/http"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
)

// refusal is an error as AWS's clients of the query protocol see it.
type refusal struct {
	code    string
	status  int
	message string
}

// Error implements error: what the door itself finds is one already.
func (r *refusal) Error() string { return r.code + ": " + r.message }

// known is what a kind of refusal is called.
type known struct {
	code   string
	status int
}

// failures are the refusals of who is not authenticated, as STS and IAM answer them.
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
var failures = map[auth.FailureKind]known{
	auth.FailureMissing:      {"MissingAuthenticationToken", http.StatusForbidden},
	auth.FailureUnknown:      {"InvalidClientTokenId", http.StatusForbidden},
	auth.FailureMismatch:     {"SignatureDoesNotMatch", http.StatusForbidden},
	auth.FailureSkew:         {"SignatureDoesNotMatch", http.StatusForbidden},
	auth.FailureIncomplete:   {"IncompleteSignature", http.StatusBadRequest},
	auth.FailureInvalidToken: {"InvalidClientTokenId", http.StatusForbidden},
	auth.FailureExpired:      {"ExpiredToken", http.StatusForbidden},
}

// refusals are those that IAM has a name of its own for, see the errors of each operation of
// https://docs.aws.amazon.com/IAM/latest/APIReference/. Those of STS are in stsRefusals.
var refusals = map[kms.Code]known{
	kms.CodeInvalidRequest:       {"MalformedInput", http.StatusBadRequest},
	kms.CodeValidation:           {"ValidationError", http.StatusBadRequest},
	kms.CodeUnsupported:          {"InvalidInput", http.StatusBadRequest},
	kms.CodeInvalidARN:           {"InvalidInput", http.StatusBadRequest},
	kms.CodeInvalidMarker:        {"ValidationError", http.StatusBadRequest},
	kms.CodeInvalidTag:           {"InvalidInput", http.StatusBadRequest},
	kms.CodeMalformedPolicy:      {"MalformedPolicyDocument", http.StatusBadRequest},
	kms.CodeInvalidIdentityToken: {"InvalidIdentityToken", http.StatusBadRequest},
	kms.CodeDeleteConflict:       {"DeleteConflict", http.StatusConflict},
	kms.CodeUnauthenticated:      {"InvalidClientTokenId", http.StatusForbidden}, // see failures
	kms.CodeAccessDenied:         {"AccessDenied", http.StatusForbidden},
	kms.CodeNotFound:             {"NoSuchEntity", http.StatusNotFound},
	kms.CodeInvalidState:         {"UnmodifiableEntity", http.StatusBadRequest},
	kms.CodeAlreadyExists:        {"EntityAlreadyExists", http.StatusConflict},
	kms.CodeConflict:             {"ConcurrentModification", http.StatusConflict},
	kms.CodeTooLarge:             {"RequestEntityTooLarge", http.StatusRequestEntityTooLarge},
	kms.CodeLimitExceeded:        {"LimitExceeded", http.StatusConflict},
	kms.CodeThrottled:            {"Throttling", http.StatusBadRequest},
}

// stsRefusals are those that STS calls otherwise: its only limit is the size of a session's policies and tags.
var stsRefusals = map[kms.Code]known{
	kms.CodeInvalidARN:    {"ValidationError", http.StatusBadRequest},
	kms.CodeInvalidTag:    {"ValidationError", http.StatusBadRequest},
	kms.CodeLimitExceeded: {"PackedPolicyTooLarge", http.StatusBadRequest},
	kms.CodeUnsupported:   {"ValidationError", http.StatusBadRequest},
}

// refusalOf maps an error to what clients of a service know. What neither service can answer of itself is told by its class.
func refusalOf(a *api, err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	e := kms.AsError(err)
	if f, ok := aws.Failure(err); ok {
		k, ok := failures[f.Kind]
		if !ok {
			k = refusals[kms.CodeUnauthenticated]
		}
		return &refusal{k.code, k.status, f.Message}
	}
	k, ok := stsRefusals[e.Code]
	if !ok || a != sts {
		k, ok = refusals[e.Code]
	}
	if !ok {
		switch e.Code.Class() {
		case kms.ClassUnavailable:
			k = known{"ServiceUnavailable", http.StatusServiceUnavailable}
		case kms.ClassInternal, kms.ClassUnknown: // a retry finds the first result
			k = known{a.internal, http.StatusInternalServerError}
		default:
			k = refusals[kms.CodeValidation]
		}
	}
	return &refusal{k.code, k.status, e.Message}
}
