package sigv4

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// checkHeaders asks that what must be signed is signed, and that each signed header has one meaning.
// dateHeader is the header that the time was read from.
func (s *Signature) checkHeaders(r *Request, rules *Rules, dateHeader string) error {
	if !s.signs("host") {
		return unsigned("host")
	}
	if !s.signs(dateHeader) {
		return unsigned(dateHeader)
	}
	for name, values := range r.Header {
		if rules.Untyped && name == "Content-Type" && !s.signs(name) {
			continue
		}
		if err := s.checkHeader(name, values); err != nil {
			return err
		}
	}
	for _, name := range rules.Required {
		if !s.signs(name) && len(lookup(r.Header, name)) > 0 {
			return unsigned(name)
		}
	}
	if dateHeader == "date" && len(r.Header["Date"]) > 1 {
		return duplicated("date")
	}
	if err := s.checkSigned(r.Header); err != nil {
		return err
	}
	return checkContentHash(r.Header)
}

// checkHeader looks at one header of the request, signed or not. Names that are not as net/http
// writes them are refused: two spellings of one name would be two headers here and one elsewhere.
func (s *Signature) checkHeader(name string, values []string) error {
	if !isCanonicalName(name) || name == "Host" {
		return incomplete("The request has the malformed header '" + shown(name) + "'.")
	}
	if !strings.HasPrefix(name, "X-Amz-") && name != "Content-Type" {
		return nil
	}
	if !s.signs(name) {
		return unsigned(strings.ToLower(name))
	}
	if len(values) > 1 {
		return duplicated(name)
	}
	return nil
}

// checkSigned asks that each signed header is there, and that the values can be put into the
// canonical request without ending their line.
func (s *Signature) checkSigned(h http.Header) error {
	size := 0
	for names, more := s.signedHeaders, true; more; {
		var name string
		name, names, more = strings.Cut(names, ";")
		if name == "host" {
			continue
		}
		values := lookup(h, name)
		if len(values) == 0 {
			return mismatch()
		}
		for _, value := range values {
			if size += len(value) + 1; size > maxSignedValues {
				return incomplete("The signed headers are too long.")
			}
			if hasControl(value) {
				return incomplete("The header '" + shown(name) + "' has control characters.")
			}
		}
	}
	return nil
}

// checkContentHash refuses everything but the hash of the whole body, so UNSIGNED-PAYLOAD and the
// STREAMING- forms. Verify compares the hash.
func checkContentHash(h http.Header) error {
	values := h["X-Amz-Content-Sha256"]
	var sum [32]byte
	if len(values) > 0 && !decodeHex(&sum, values[0]) {
		return incomplete("The 'x-amz-content-sha256' header must have the SHA-256 hash of the body in lower-case hexadecimal digits, got '" +
			shown(values[0]) + "'.")
	}
	return nil
}

// signs reports whether name, in any case, is among the signed headers. Both are ASCII, so no two
// different names are equal under case folding.
func (s *Signature) signs(name string) bool {
	for names, more := s.signedHeaders, true; more; {
		var signed string
		signed, names, more = strings.Cut(names, ";")
		if len(signed) == len(name) && strings.EqualFold(signed, name) {
			return true
		}
	}
	return false
}

// lookup finds the values of a header by its lower-case name, without an allocation.
func lookup(h http.Header, lower string) []string {
	var buf [maxHeaderName]byte
	if len(lower) > len(buf) {
		return nil
	}
	name := buf[:copy(buf[:], lower)]
	upper := true
	for i, c := range name {
		if upper && 'a' <= c && c <= 'z' {
			name[i] = c - 'a' + 'A'
		}
		upper = c == '-'
	}
	return h[string(name)]
}

// isCanonicalName reports whether name is as net/http writes header names.
func isCanonicalName(name string) bool {
	return name != "" && isToken(name) && textproto.CanonicalMIMEHeaderKey(name) == name
}

// hasControl reports whether s has control characters other than the tab.
func hasControl(s string) bool {
	return slices.ContainsFunc([]byte(s), func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f })
}
