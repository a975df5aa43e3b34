package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of a token.
const (
	maxToken   = 20_000 // that of AWS STS, https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
	maxSubject = 255    // OpenID Connect Core 1.0, 2
	maxStrings = 256    // claims in Claims.Strings
	maxName    = 256    // bytes of a name in Claims.Strings
)

// Claims are what a verified token says.
type Claims struct {
	Issuer          string
	Subject         string   // 1 to 255 bytes without control characters
	Audience        []string // at least one of them is accepted by the provider
	AuthorizedParty string   // azp, or ""; if not "", accepted by the provider too. AWS takes it for the value of its condition key aud
	AMR             []string
	IssuedAt        time.Time // zero if the token does not say
	Expires         time.Time

	// Strings holds the other claims that are a string or a list of strings, for condition keys.
	// What is inside an object is named by the path to it, joined with "/", such as
	// "kubernetes.io/serviceaccount/name". Numbers, booleans, null, empty lists and lists that
	// hold anything but strings are left out. Nothing is left out for its size: a token with more
	// than 256 of these, with a name longer than 256 bytes, or with two claims of the same name
	// once joined is Malformed.
	Strings map[string][]string

	notBefore time.Time
}

// token is a JWT that was parsed and not verified.
type token struct {
	raw       string
	algorithm jose.SignatureAlgorithm
	keyID     string // kid, or ""
	claims    map[string]any
}

// Peek returns the issuer that a token claims to be of, without verifying anything, so that the
// caller can find the provider to verify it with. The error is an *Error of Malformed.
func Peek(raw string) (issuer string, err error) {
	t, err := parseToken(raw)
	if err != nil {
		return "", err
	}
	return t.issuer()
}

// parseToken reads the compact serialization (RFC 7515, 7.1) of exactly one signature.
func parseToken(raw string) (*token, error) {
	if len(raw) > maxToken {
		return nil, fail(Malformed, nil, "The token is longer than %d bytes.", maxToken)
	}
	parts := strings.SplitN(raw, ".", 4)
	if len(parts) != 3 {
		return nil, fail(Malformed, nil, "The token is not a JWT in compact serialization.")
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = decodePart(part); err != nil {
			return nil, fail(Malformed, err, "The token is not a JWT in compact serialization.")
		}
	}
	t := &token{raw: raw}
	if err := t.readHeader(decoded[0]); err != nil {
		return nil, err
	}
	var err error
	if t.claims, err = parseObject(decoded[1]); err != nil {
		return nil, fail(Malformed, err, "The token's claims are not one JSON object without a name given twice.")
	}
	return t, nil
}

// decodePart decodes base64url (RFC 7515, 2). One sequence of bytes has one encoding: line breaks
// and stray bits at the end, which decoders tend to skip, are refused.
func decodePart(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, errors.New("oidc: line break in base64")
	}
	return base64.RawURLEncoding.Strict().DecodeString(part)
}

// readHeader takes alg and kid and ignores the rest, above all the headers that would have a token
// bring its own key: jwk, jku, x5c, x5u.
func (t *token) readHeader(data []byte) error {
	header, err := parseObject(data)
	if err != nil {
		return fail(Malformed, err, "The token's header is not one JSON object without a name given twice.")
	}
	algorithm, ok := header["alg"].(string)
	if !ok {
		return fail(Malformed, nil, "The token's header has no alg.")
	}
	t.algorithm = jose.SignatureAlgorithm(algorithm)
	for _, name := range [...]string{"crit", "b64"} {
		if _, ok := header[name]; ok {
			return fail(Malformed, nil, "The token's header has %s, which is not supported.", name)
		}
	}
	if kid, ok := header["kid"]; ok {
		if t.keyID, ok = kid.(string); !ok {
			return fail(Malformed, nil, "The token's kid is not a string.")
		}
	}
	return nil
}

func (t *token) issuer() (string, error) {
	issuer, ok := t.claims["iss"].(string)
	if !ok || len(issuer) < 1 || len(issuer) > maxIssuer || !printable(issuer) {
		return "", fail(Malformed, nil, "The token's iss is not a string of 1 to %d printable characters.", maxIssuer)
	}
	return issuer, nil
}

// read reads the claims (RFC 7519, 4.1; OpenID Connect Core 1.0, 2).
func (t *token) read() (*Claims, error) {
	c := &Claims{Strings: make(map[string][]string)}
	var err error
	if c.Issuer, err = t.issuer(); err != nil {
		return nil, err
	}
	var ok bool
	if c.Subject, ok = t.claims["sub"].(string); !ok || len(c.Subject) < 1 || len(c.Subject) > maxSubject || !printable(c.Subject) {
		return nil, fail(Malformed, nil, "The token's sub is not a string of 1 to %d printable bytes.", maxSubject)
	}
	if azp, present := t.claims["azp"]; present {
		if c.AuthorizedParty, ok = azp.(string); !ok || c.AuthorizedParty == "" {
			return nil, fail(Malformed, nil, "The token's azp is not a string.")
		}
	}
	if c.Audience, ok = stringList(t.claims["aud"]); !ok {
		return nil, fail(Malformed, nil, "The token's aud is not a string or a list of strings.")
	}
	if amr, present := t.claims["amr"]; present {
		if c.AMR, ok = stringList(amr); !ok {
			return nil, fail(Malformed, nil, "The token's amr is not a list of strings.")
		}
	}
	if err := t.readTimes(c); err != nil {
		return nil, err
	}
	return c, t.readStrings(c)
}

func (t *token) readTimes(c *Claims) error {
	for _, claim := range [...]struct {
		name     string
		required bool
		to       *time.Time
	}{{"exp", true, &c.Expires}, {"nbf", false, &c.notBefore}, {"iat", false, &c.IssuedAt}} {
		value, present := t.claims[claim.name]
		if !present && !claim.required {
			continue
		}
		var ok bool
		if *claim.to, ok = numericDate(value); !ok {
			return fail(Malformed, nil, "The token's %s is not a time in seconds.", claim.name)
		}
	}
	return nil
}

// numericDate reads seconds since 1970, up to the end of the year 9999. RFC 7519, 2 allows a
// fraction, which is cut off.
func numericDate(value any) (time.Time, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds >= 253402300800 {
		return time.Time{}, false
	}
	return time.Unix(int64(math.Floor(seconds)), 0).UTC(), true
}

func (t *token) readStrings(c *Claims) error {
	for name, value := range t.claims {
		switch name {
		case "iss", "sub", "aud", "azp", "amr", "exp", "nbf", "iat":
			continue
		}
		if !flatten(c.Strings, name, value) {
			return fail(Malformed, nil, "The token has too many claims, a name that is too long, or two claims of one name.")
		}
	}
	return nil
}

// flatten puts value under name, or under names that begin with it, and reports whether it could.
func flatten(to map[string][]string, name string, value any) bool {
	if object, ok := value.(map[string]any); ok {
		for inner, value := range object {
			if !flatten(to, name+"/"+inner, value) {
				return false
			}
		}
		return true
	}
	list, ok := stringList(value)
	if !ok || len(list) == 0 {
		return true
	}
	if _, twice := to[name]; twice || len(to) == maxStrings || len(name) > maxName {
		return false
	}
	to[name] = list
	return true
}

// stringList accepts a string as a list of one, as aud does (RFC 7519, 4.1.3).
func stringList(value any) ([]string, bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		list := make([]string, len(value))
		for i, element := range value {
			var ok bool
			if list[i], ok = element.(string); !ok {
				return nil, false
			}
		}
		return list, true
	}
	return nil, false
}

// printable reports whether s is text without control characters: what it names ends up in logs.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
