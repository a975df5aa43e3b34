package awskms

import (
	"net/http"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
)

// exception is an error as AWS KMS names it. What is the client's is 400 whatever the service model says, as AWS KMS
// sends it; SDKs retry by name and by status.
type exception struct {
	name   string
	status int
	silent bool // AWS KMS says no word of why
}

func client(name string) exception { return exception{name: name, status: http.StatusBadRequest} }

// later is everything that a retry, now or on another node, can mend.
var later = exception{name: "DependencyTimeoutException", status: http.StatusServiceUnavailable}

// exceptions has every code. The system door's codes of shares and of init never reach this door; they stand here so
// that none can be forgotten.
var exceptions = map[kms.Code]exception{
	kms.CodeInvalidRequest:         client("SerializationException"),
	kms.CodeValidation:             client("ValidationException"),
	kms.CodeUnsupported:            client("UnsupportedOperationException"),
	kms.CodeInvalidCiphertext:      {"InvalidCiphertextException", http.StatusBadRequest, true},
	kms.CodeInvalidSignature:       {"KMSInvalidSignatureException", http.StatusBadRequest, true},
	kms.CodeInvalidMac:             {"KMSInvalidMacException", http.StatusBadRequest, true},
	kms.CodeIncorrectKey:           client("IncorrectKeyException"),
	kms.CodeInvalidKeyID:           client("NotFoundException"),
	kms.CodeInvalidARN:             client("InvalidArnException"),
	kms.CodeInvalidAliasName:       client("InvalidAliasNameException"),
	kms.CodeInvalidMarker:          client("InvalidMarkerException"),
	kms.CodeInvalidTag:             client("TagException"),
	kms.CodeMalformedPolicy:        client("MalformedPolicyDocumentException"),
	kms.CodeInvalidGrantID:         client("InvalidGrantIdException"),
	kms.CodeInvalidGrantToken:      client("InvalidGrantTokenException"),
	kms.CodeInvalidImportToken:     client("InvalidImportTokenException"),
	kms.CodeExpiredImportToken:     client("ExpiredImportTokenException"),
	kms.CodeIncorrectKeyMaterial:   client("IncorrectKeyMaterialException"),
	kms.CodeInvalidIdentityToken:   client("ValidationException"),
	kms.CodeDeleteConflict:         client("ConflictException"),
	kms.CodeAccessDenied:           client("AccessDeniedException"),
	kms.CodeNotFound:               client("NotFoundException"),
	kms.CodeCustomKeyStoreNotFound: client("CustomKeyStoreNotFoundException"),
	kms.CodeMethodNotAllowed:       client("UnknownOperationException"),
	kms.CodeKeyDisabled:            client("DisabledException"),
	kms.CodeInvalidState:           client("KMSInvalidStateException"),
	kms.CodeInvalidKeyUsage:        client("InvalidKeyUsageException"),
	kms.CodeAlreadyExists:          client("AlreadyExistsException"),
	kms.CodeConflict:               client("ConflictException"),
	kms.CodeIdempotencyMismatch:    client("ConflictException"),
	kms.CodeDryRun:                 client("DryRunOperationException"),
	kms.CodeLimitExceeded:          client("LimitExceededException"),
	kms.CodeThrottled:              client("ThrottlingException"),
	kms.CodeTooLarge:               {name: "RequestEntityTooLargeException", status: http.StatusRequestEntityTooLarge},
	kms.CodeIndexNotReached:        later,
	kms.CodeNotInitialized:         later,
	kms.CodeSealed:                 later,
	kms.CodeNoLease:                later,
	kms.CodeNoQuorum:               later,
	kms.CodeCannotConfirm:          later,
	kms.CodeAuditBlocked:           later,
	kms.CodeUnavailable:            later,
	kms.CodeOutcomeUnknown:         {name: "KMSInternalException", status: http.StatusInternalServerError},
	kms.CodeInternal:               {name: "KMSInternalException", status: http.StatusInternalServerError},
	kms.CodeUnauthenticated:        client("UnrecognizedClientException"),
	kms.CodeInvalidShare:           client("ValidationException"),
	kms.CodeShareOtherCluster:      client("ValidationException"),
	kms.CodeShareSuperseded:        client("ValidationException"),
	kms.CodeShareDuplicate:         client("ValidationException"),
	kms.CodeShareWrong:             client("ValidationException"),
	kms.CodeAlreadyInitialized:     client("ConflictException"),
}

// failures names what is wrong with the proof of an identity.
var failures = map[auth.FailureKind]string{
	auth.FailureMissing:      "MissingAuthenticationTokenException",
	auth.FailureUnknown:      "UnrecognizedClientException",
	auth.FailureMismatch:     "InvalidSignatureException",
	auth.FailureSkew:         "InvalidSignatureException",
	auth.FailureIncomplete:   "IncompleteSignatureException",
	auth.FailureInvalidToken: "UnrecognizedClientException",
	auth.FailureExpired:      "ExpiredTokenException",
}

// exceptionOf returns how AWS KMS would answer err, and in what words.
func exceptionOf(err error) (exception, string) {
	if f, ok := aws.Failure(err); ok {
		if name := failures[f.Kind]; name != "" {
			return client(name), f.Message
		}
	}
	e := kms.AsError(err)
	x, known := exceptions[e.Code]
	if !known {
		x = exceptions[kms.CodeInternal]
	}
	if x.silent {
		return x, ""
	}
	return x, e.Message
}
