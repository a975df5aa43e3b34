package sigv4

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
)

// checkLine checks the method, the host, the path and the query. A path is accepted only in normal
// form, and a query only when it is well-formed and carries no signature. See the package comment.
func checkLine(r *Request) error {
	if r.Method == "" || len(r.Method) > maxMethod || !isToken(r.Method) {
		return incomplete("The request has a malformed method.")
	}
	if r.Host == "" || len(r.Host) > maxHost || hasControl(r.Host) || strings.ContainsAny(r.Host, " \t") {
		return incomplete("The request has a malformed Host header.")
	}
	if !isNormalPath(r.RawPath) {
		return incomplete("The path of the request must be absolute, well-formed and without empty, '.' or '..' segments.")
	}
	pairs, ok := parseQuery(r.RawQuery)
	if !ok {
		return incomplete("The query of the request is malformed or too long.")
	}
	for _, p := range pairs {
		if len(p.name) >= 6 && strings.EqualFold(p.name[:6], "X-Amz-") {
			return &Error{Presigned, "A signature in the query is not accepted: sign with the Authorization header."}
		}
	}
	return nil
}

// isNormalPath reports whether a path as sent reads the same for every client and router: absolute,
// with complete escapes, and with nothing that the normalization of RFC 3986, section 5.2.4, or the
// merging of slashes would take away, escaped or not.
func isNormalPath(raw string) bool {
	if raw == "" {
		return true
	}
	if len(raw) > maxPath || raw[0] != '/' || hasControl(raw) || strings.ContainsAny(raw, "?#\t") {
		return false
	}
	for rest, more := raw[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		plain, ok := unescape(segment, false)
		if !ok || plain == "" && more || plain == "." || plain == ".." {
			return false
		}
	}
	return true
}

// appendCanonical appends the canonical request: the method, the path, the query, the signed
// headers, their names and the hash of the body, each ended by a line feed but the last. The path is
// as appendPath or, with pathAsSent, as it came.
func (s *Signature) appendCanonical(dst []byte, r *Request, body *[32]byte, pathAsSent bool) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, '\n')
	if pathAsSent {
		dst = append(dst, r.RawPath...)
	} else {
		dst = appendPath(dst, r.RawPath)
	}
	dst = append(dst, '\n')
	dst = appendQuery(dst, r.RawQuery)
	dst = append(dst, '\n')
	for names, more := s.signedHeaders, true; more; {
		var name string
		name, names, more = strings.Cut(names, ";")
		dst = append(dst, name...)
		dst = append(dst, ':')
		if name == "host" {
			dst = appendTrimmed(dst, r.Host)
		} else {
			for i, value := range lookup(r.Header, name) {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendTrimmed(dst, value)
			}
		}
		dst = append(dst, '\n')
	}
	dst = append(dst, '\n')
	dst = append(dst, s.signedHeaders...)
	dst = append(dst, '\n')
	return hex.AppendEncode(dst, body[:])
}

// appendTrimmed appends a header value without the blanks around it and with one space for each run
// of spaces inside it.
func appendTrimmed(dst []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if value[i] != ' ' || value[i-1] != ' ' {
			dst = append(dst, value[i])
		}
	}
	return dst
}

// appendPath appends the path as sent, escaped once more: services other than S3 sign each segment
// escaped twice.
func appendPath(dst []byte, raw string) []byte {
	if raw == "" {
		return append(dst, '/')
	}
	for i := range len(raw) {
		if raw[i] == '/' {
			dst = append(dst, '/')
		} else {
			dst = appendEscaped(dst, raw[i])
		}
	}
	return dst
}

// hasSecondForm reports whether a path may also be signed as it came, which curl does. A path with an
// escaped per cent sign may not. This is what makes the second form safe: were one string the first
// form of p and the second form of q, then q = escape(p); as q has no "%25", p has no per cent sign,
// so p and q unescape to the same path. Two requests for different paths never share a signature.
func hasSecondForm(raw string) bool {
	if strings.Contains(raw, "%25") {
		return false
	}
	for i := range len(raw) {
		if raw[i] != '/' && !isUnreserved(raw[i]) {
			return true
		}
	}
	return false
}

// pair is one parameter of a query, not escaped.
type pair struct{ name, value string }

// parseQuery reads a query as net/url does, but refuses what is malformed instead of dropping it.
func parseQuery(raw string) (pairs []pair, ok bool) {
	if raw == "" {
		return nil, true
	}
	if len(raw) > maxQuery {
		return nil, false
	}
	for more := true; more; {
		var part string
		part, raw, more = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(part, "=")
		name, ok1 := unescape(name, true)
		value, ok2 := unescape(value, true)
		if part == "" || !ok1 || !ok2 || len(pairs) == maxQueryPairs {
			return nil, false
		}
		pairs = append(pairs, pair{name, value})
	}
	return pairs, true
}

// appendQuery appends the canonical query: names and values escaped, then sorted by name and value.
func appendQuery(dst []byte, raw string) []byte {
	pairs, _ := parseQuery(raw)
	for i := range pairs {
		pairs[i] = pair{escape(pairs[i].name), escape(pairs[i].value)}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, p.name...)
		dst = append(dst, '=')
		dst = append(dst, p.value...)
	}
	return dst
}

// isUnreserved is the set of RFC 3986, section 2.3.
func isUnreserved(c byte) bool {
	return isAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

func appendEscaped(dst []byte, c byte) []byte {
	if isUnreserved(c) {
		return append(dst, c)
	}
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// escape escapes every byte that is not unreserved.
func escape(s string) string {
	dst := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		dst = appendEscaped(dst, s[i])
	}
	return string(dst)
}

// unescape reads percent escapes and, in a query, a plus sign as a space. It reports whether all
// escapes were complete.
func unescape(s string, query bool) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	dst := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+' && query:
			dst = append(dst, ' ')
		case c != '%':
			dst = append(dst, c)
		case i+2 >= len(s):
			return "", false
		default:
			var b [1]byte
			if _, err := hex.Decode(b[:], []byte(s[i+1:i+3])); err != nil {
				return "", false
			}
			dst = append(dst, b[0])
			i += 2
		}
	}
	return string(dst), true
}
