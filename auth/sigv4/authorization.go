package sigv4

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// authorization is an Authorization header taken apart.
type authorization struct {
	credential    string
	signedHeaders string // well-formed: see checkNames
	signature     [32]byte
}

// parseAuthorization reads
//
//	AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX
//
// The three parts may come in any order, each exactly once, and nothing else may come. h is asked
// only whether the request has a date, which AWS reports among the missing parts.
func parseAuthorization(header string, h http.Header) (authorization, error) {
	name, rest, _ := strings.Cut(header, " ")
	if name != algorithm {
		return authorization{}, incomplete("Unsupported AWS 'algorithm': '" + shown(name) + "' (only " + algorithm + " for now). ")
	}
	var credential, signedHeaders, signature string
	for more := rest != ""; more; {
		var part string
		part, rest, more = strings.Cut(rest, ",")
		part = strings.Trim(part, " ")
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return authorization{}, incomplete("Invalid key=value pair (missing equal-sign) in Authorization header " +
				"(hashed with SHA-256 and encoded with Base64): '" + hashed(header) + "'.")
		}
		var into *string
		switch key {
		case "Credential":
			into = &credential
		case "SignedHeaders":
			into = &signedHeaders
		case "Signature":
			into = &signature
		default:
			return authorization{}, incomplete("Authorization header has the unknown parameter '" + shown(key) + "'.")
		}
		if *into != "" || value == "" {
			return authorization{}, incomplete("Authorization header has the parameter '" + key + "' empty or more than once.")
		}
		*into = value
	}
	if err := checkParts(header, h, credential, signature, signedHeaders); err != nil {
		return authorization{}, err
	}
	if err := checkNames(signedHeaders); err != nil {
		return authorization{}, err
	}
	a := authorization{credential: credential, signedHeaders: signedHeaders}
	if !decodeHex(&a.signature, signature) {
		return authorization{}, incomplete("The 'Signature' parameter of the Authorization header must have 64 lower-case hexadecimal digits.")
	}
	return a, nil
}

// checkParts names all that is missing in one message, as AWS does.
func checkParts(header string, h http.Header, credential, signature, signedHeaders string) error {
	var missing strings.Builder
	for _, part := range [...]struct{ name, value string }{
		{"Credential", credential}, {"Signature", signature}, {"SignedHeaders", signedHeaders},
	} {
		if part.value == "" {
			missing.WriteString("Authorization header requires '" + part.name + "' parameter. ")
		}
	}
	if len(h["X-Amz-Date"]) == 0 && len(h["Date"]) == 0 {
		missing.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	if missing.Len() == 0 {
		return nil
	}
	return incomplete(missing.String() + "(Hashed with SHA-256 and encoded with Base64) Authorization=" + hashed(header))
}

// checkNames asks for header names in lower case, ascending, each once: there is one way to write a
// set of names, so nothing can be said twice or in two orders.
func checkNames(names string) error {
	previous, n := "", 0
	for more := true; more; n++ {
		var name string
		name, names, more = strings.Cut(names, ";")
		if n == maxSignedHeaders {
			return incomplete("The 'SignedHeaders' parameter of the Authorization header has too many names.")
		}
		if !isLowerName(name) || name <= previous || name == "authorization" {
			return incomplete("The 'SignedHeaders' parameter of the Authorization header must have lower-case header names, " +
				"sorted, each once, and not the Authorization header itself.")
		}
		previous = name
	}
	return nil
}

// isLowerName reports whether s is a header name (a token of RFC 9110) in lower case.
func isLowerName(s string) bool {
	return s != "" && len(s) <= maxHeaderName && isToken(s) && !strings.ContainsFunc(s, func(c rune) bool { return 'A' <= c && c <= 'Z' })
}

// isToken reports whether s has only the characters of a token of RFC 9110.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// isAccessKeyID accepts what IAM accepts as an access key id, whatever its length.
func isAccessKeyID(s string) bool {
	return s != "" && len(s) <= maxAccessKeyID &&
		!slices.ContainsFunc([]byte(s), func(c byte) bool { return !isAlphanumeric(c) && c != '_' })
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// decodeHex reads 64 lower-case digits. encoding/hex would take upper-case ones too.
func decodeHex(dst *[32]byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	for i := range dst {
		high, ok1 := lowerDigit(s[2*i])
		low, ok2 := lowerDigit(s[2*i+1])
		if !ok1 || !ok2 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

func lowerDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// hashed is how AWS repeats an Authorization header in a message.
func hashed(header string) string {
	sum := sha256.Sum256([]byte(header))
	return base64.StdEncoding.EncodeToString(sum[:])
}
