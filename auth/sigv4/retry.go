package sigv4

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

const headerInvocation = "Amz-Sdk-Invocation-Id"

// RetryID returns what tells a signed request apart from others of its signer: the SDK's invocation id, which its
// retries share although each is signed anew, when that is signed; else the signature. A copy of a request that
// verifies has the same RetryID, whatever of it was not signed. It is "" when the request has no Authorization header
// of this scheme, and proves nothing.
func RetryID(h http.Header) string {
	values := h["Authorization"]
	if len(values) != 1 || len(values[0]) > maxAuthorization {
		return ""
	}
	a, err := parseAuthorization(values[0], h)
	if err != nil {
		return ""
	}
	// Of another form, such as one with blanks, a copy could be spelled in another way and verify still.
	id := h[headerInvocation]
	if len(id) == 1 && isInvocation(id[0]) && slices.Contains(strings.Split(a.signedHeaders, ";"), strings.ToLower(headerInvocation)) {
		return "sigv4:id:" + id[0]
	}
	return "sigv4:" + hex.EncodeToString(a.signature[:])
}

// InvocationID is RetryID with an invocation id that counts though nobody signed it: botocore, on which boto3 and the AWS CLI
// stand, adds it after it has signed, so that its retries share nothing else, and two equal changes that it signs within a
// second share everything else. What that gives up, a copy of a request under another id being another request, AWS does not
// promise either.
func InvocationID(h http.Header) string {
	of := RetryID(h)
	if id := h[headerInvocation]; of != "" && len(id) == 1 && isInvocation(id[0]) {
		return "sigv4:id:" + id[0]
	}
	return of
}

// isInvocation reports whether s is like the UUIDs that SDKs send.
func isInvocation(s string) bool {
	return s != "" && len(s) <= maxHeaderName && !slices.ContainsFunc([]byte(s), func(c byte) bool { return !isAlphanumeric(c) && c != '-' })
}

// Region returns the region that a request's signature is scoped to, "" when it has none that can be read. It proves
// nothing: Parse decides whether the region may be named.
func Region(h http.Header) string { return scoped(h, 2) }

// Service returns the service that a request's signature is scoped to, as Region does.
func Service(h http.Header) string { return scoped(h, 3) }

// scoped returns an element of the scope.
func scoped(h http.Header, n int) string {
	values := h["Authorization"]
	if len(values) != 1 || len(values[0]) > maxAuthorization {
		return ""
	}
	a, err := parseAuthorization(values[0], h)
	if err != nil {
		return ""
	}
	if parts := strings.Split(a.credential, "/"); len(parts) == 5 {
		return parts[n]
	}
	return ""
}
