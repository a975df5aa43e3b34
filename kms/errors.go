package kms

import (
	"errors"
	"fmt"
	"time"
)

// Code is the stable name of a refusal or failure. Codes are part of the outside contract: they
// are spelled the same in every answer, audit record and client, and are never renamed.
type Code string

// The codes. Class says what a door does with each.
const (
	CodeInvalidRequest       Code = "invalid_request"       // malformed: JSON, base64, path, header
	CodeValidation           Code = "validation"            // well-formed, but outside a documented limit
	CodeUnsupported          Code = "unsupported_operation" // AWS knows it; this release does not do it
	CodeInvalidCiphertext    Code = "invalid_ciphertext"    // one error for every way a ciphertext can be wrong
	CodeIncorrectKey         Code = "incorrect_key"         // the ciphertext names another key than the request
	CodeInvalidSignature     Code = "invalid_signature"     // the signature is not one of the key, algorithm and message
	CodeInvalidMac           Code = "invalid_mac"           // likewise a message authentication code
	CodeInvalidKeyID         Code = "invalid_key_id"        // no key can have such an identifier, or the operation takes none of its form
	CodeInvalidARN           Code = "invalid_arn"
	CodeInvalidAliasName     Code = "invalid_alias_name"
	CodeInvalidMarker        Code = "invalid_marker"
	CodeInvalidTag           Code = "invalid_tag"
	CodeMalformedPolicy      Code = "malformed_policy"
	CodeInvalidGrantID       Code = "invalid_grant_id"
	CodeInvalidGrantToken    Code = "invalid_grant_token"
	CodeInvalidImportToken   Code = "invalid_import_token"
	CodeExpiredImportToken   Code = "expired_import_token"
	CodeIncorrectKeyMaterial Code = "incorrect_key_material" // not the material that this key may have
	CodeInvalidIdentityToken Code = "invalid_identity_token" // not a token of an issuer that the account trusts, or one that lacks what it needs
	CodeDeleteConflict       Code = "delete_conflict"        // something still belongs to what should be deleted
	CodeInvalidShare         Code = "share_malformed"        // not a share: typo, truncation, checksum
	CodeShareOtherCluster    Code = "share_other_cluster"    // a share of another cluster
	CodeShareSuperseded      Code = "share_superseded"       // a share of an older set of this cluster
	CodeShareDuplicate       Code = "share_duplicate"        // already submitted in this attempt
	CodeShareWrong           Code = "share_wrong"            // well-formed, but not the value that was issued
	CodeUnauthenticated      Code = "unauthenticated"        // no or wrong identity
	CodeAccessDenied         Code = "access_denied"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeKeyDisabled          Code = "key_disabled"
	CodeInvalidState         Code = "invalid_state"     // the key's state or kind does not allow the operation
	CodeInvalidKeyUsage      Code = "invalid_key_usage" // the key's usage or spec does not allow the operation or algorithm
	CodeAlreadyExists        Code = "already_exists"
	CodeConflict             Code = "conflict" // concurrent changes kept winning; nothing was changed
	CodeIdempotencyMismatch  Code = "idempotency_mismatch"
	CodeAlreadyInitialized   Code = "already_initialized"
	CodeIndexNotReached      Code = "index_not_reached" // the asked Lockstep-Min-Index is not here yet
	CodeDryRun               Code = "dry_run"           // it would have succeeded, and only that was asked
	CodeTooLarge             Code = "too_large"
	CodeLimitExceeded        Code = "limit_exceeded" // a quota of the account or key
	CodeThrottled            Code = "throttled"      // too many requests, or the retry memory is full
	CodeNotInitialized       Code = "not_initialized"
	CodeSealed               Code = "sealed"
	CodeNoLease              Code = "no_lease"
	CodeNoQuorum             Code = "no_quorum"
	CodeCannotConfirm        Code = "cannot_confirm"
	CodeAuditBlocked         Code = "audit_blocked"
	CodeUnavailable          Code = "unavailable" // starting, stopping, quarantined, one record unreadable; Reason says
	CodeOutcomeUnknown       Code = "outcome_unknown"
	CodeInternal             Code = "internal"

	CodeCustomKeyStoreNotFound Code = "custom_key_store_not_found" // of those outside the cluster, which are none
)

// Class groups codes by what a caller can do about them.
type Class int

// Classes, in the order of HTTP statuses that the REST door gives them.
const (
	ClassInvalid         Class = iota + 1 // 400: change the request
	ClassUnauthenticated                  // 401
	ClassDenied                           // 403
	ClassNotFound                         // 404
	ClassMethod                           // 405
	ClassState                            // 409: wrong state or conflict
	ClassPrecondition                     // 412: what was asked for beside the operation holds it back
	ClassTooLarge                         // 413
	ClassThrottled                        // 429: later
	ClassInternal                         // 500
	ClassUnavailable                      // 503: later or elsewhere
	ClassUnknown                          // 504: may or may not have happened
)

var classes = map[Code]Class{
	CodeInvalidRequest: ClassInvalid, CodeValidation: ClassInvalid, CodeUnsupported: ClassInvalid,
	CodeInvalidCiphertext: ClassInvalid, CodeIncorrectKey: ClassInvalid, CodeInvalidSignature: ClassInvalid, CodeInvalidMac: ClassInvalid,
	CodeInvalidKeyID: ClassInvalid, CodeInvalidARN: ClassInvalid, CodeInvalidAliasName: ClassInvalid, CodeInvalidMarker: ClassInvalid, CodeInvalidTag: ClassInvalid,
	CodeMalformedPolicy: ClassInvalid, CodeInvalidGrantID: ClassInvalid, CodeInvalidGrantToken: ClassInvalid,
	CodeInvalidImportToken: ClassInvalid, CodeExpiredImportToken: ClassInvalid, CodeIncorrectKeyMaterial: ClassInvalid,
	CodeInvalidIdentityToken: ClassInvalid, CodeDeleteConflict: ClassState,
	CodeInvalidShare: ClassInvalid, CodeShareOtherCluster: ClassInvalid, CodeShareSuperseded: ClassInvalid,
	CodeShareDuplicate: ClassInvalid, CodeShareWrong: ClassInvalid,
	CodeUnauthenticated: ClassUnauthenticated, CodeAccessDenied: ClassDenied, CodeNotFound: ClassNotFound, CodeCustomKeyStoreNotFound: ClassNotFound,
	CodeMethodNotAllowed: ClassMethod,
	CodeKeyDisabled:      ClassState, CodeInvalidState: ClassState, CodeInvalidKeyUsage: ClassState, CodeAlreadyExists: ClassState,
	CodeConflict: ClassState, CodeIdempotencyMismatch: ClassState, CodeAlreadyInitialized: ClassState,
	CodeIndexNotReached: ClassPrecondition, CodeDryRun: ClassPrecondition, CodeTooLarge: ClassTooLarge,
	CodeLimitExceeded: ClassThrottled, CodeThrottled: ClassThrottled,
	CodeNotInitialized: ClassUnavailable, CodeSealed: ClassUnavailable, CodeNoLease: ClassUnavailable,
	CodeNoQuorum: ClassUnavailable, CodeCannotConfirm: ClassUnavailable, CodeAuditBlocked: ClassUnavailable,
	CodeUnavailable: ClassUnavailable, CodeOutcomeUnknown: ClassUnknown, CodeInternal: ClassInternal,
}

// Codes returns every code there is, in no particular order; tests walk it.
func Codes() []Code {
	all := make([]Code, 0, len(classes))
	for c := range classes {
		all = append(all, c)
	}
	return all
}

// Class returns the class of c; an unknown code is ClassInternal.
func (c Code) Class() Class {
	if k, ok := classes[c]; ok {
		return k
	}
	return ClassInternal
}

// Error is the one error type that crosses every layer. Message is a whole sentence for the
// caller; it never holds a Go error chain, a secret, or what the caller may not see. The wrapped
// cause is for the log only.
type Error struct {
	Code       Code
	Message    string
	Reason     string        // for ClassUnavailable: a short machine-readable word, by default the code
	RetryAfter time.Duration // for ClassUnavailable and ClassThrottled: when a retry makes sense
	cause      error
}

// Errorf makes an Error with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error returns "code: message".
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the cause kept for the log, or nil.
func (e *Error) Unwrap() error { return e.cause }

// WithCause returns a copy of e that carries err for the log.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// Is reports whether target is an *Error with the same code, so that
// errors.Is(err, kms.Errorf(kms.CodeSealed, "")) asks about the code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// AsError returns err as an *Error. What is not one becomes CodeInternal with a message that tells
// the caller nothing of the inside; the cause stays available to the log.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Errorf(CodeInternal, "The node could not complete the request because of an internal error; the request id finds it in the node's log.").WithCause(err)
}

// CodeOf returns the code of err, or "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}

// IsRefusal reports whether err can be a verdict on the caller's rights or on an object's state, which
// a stale view can get wrong: such a verdict may leave only after it was confirmed on a fresh view. What is wrong with a
// request in itself has some of these codes, too; who found it there knows that no view changes it.
func IsRefusal(err error) bool {
	if err == nil {
		return false
	}
	switch c := AsError(err).Code; c {
	case CodeUnauthenticated, CodeAccessDenied, CodeNotFound, CodeKeyDisabled, CodeInvalidState, CodeInvalidKeyUsage,
		CodeAlreadyExists, CodeLimitExceeded, CodeIncorrectKey, CodeInvalidCiphertext, CodeInvalidTag, CodeUnsupported,
		CodeInvalidGrantID, CodeInvalidGrantToken, CodeInvalidImportToken, CodeExpiredImportToken, CodeIncorrectKeyMaterial, CodeDryRun,
		CodeInvalidIdentityToken, CodeDeleteConflict, CodeValidation, CodeMalformedPolicy, CodeCustomKeyStoreNotFound:
		return true
	default:
		return false
	}
}
