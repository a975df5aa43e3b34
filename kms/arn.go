package kms

import (
	"encoding/hex"
	"strings"
)

// ARN returns the Amazon resource name of resource ("key/ID" or "alias/NAME") in scope.
func ARN(partition string, scope Scope, resource string) string {
	return "arn:" + partition + ":kms:" + scope.Region + ":" + scope.Account + ":" + resource
}

// KeyRef is a parsed key identifier as requests carry it: exactly one of ID and Alias is set.
// Scope fields are empty unless the identifier was an ARN.
type KeyRef struct {
	ID    string // lower-case UUID
	Alias string // with the prefix "alias/"
	Scope Scope
}

// ParseKeyRef parses a key id, key ARN, alias name ("alias/NAME") or alias ARN. It refuses
// everything else with CodeValidation; whether the object exists is not its concern.
func ParseKeyRef(s string) (KeyRef, error) {
	if s == "" || len(s) > 2048 {
		return KeyRef{}, Errorf(CodeValidation, "A key identifier has 1 to 2048 characters.")
	}
	var ref KeyRef
	rest := s
	if strings.HasPrefix(s, "arn:") {
		p := strings.SplitN(s, ":", 6)
		if len(p) != 6 || p[2] != "kms" || p[3] == "" || len(p[4]) != 12 {
			return KeyRef{}, Errorf(CodeValidation, "Invalid arn %s", Printable(s))
		}
		ref.Scope = Scope{Region: p[3], Account: p[4]}
		rest = p[5]
		if id, ok := strings.CutPrefix(rest, "key/"); ok {
			rest = id
		} else if !strings.HasPrefix(rest, "alias/") {
			return KeyRef{}, Errorf(CodeValidation, "Invalid arn %s", Printable(s))
		}
	}
	if strings.HasPrefix(rest, "alias/") {
		if !validAliasName(rest) {
			return KeyRef{}, Errorf(CodeValidation, "Invalid keyId '%s'", Printable(s))
		}
		ref.Alias = rest
		return ref, nil
	}
	if !validKeyID(rest) {
		return KeyRef{}, Errorf(CodeValidation, "Invalid keyId '%s'", Printable(s))
	}
	ref.ID = rest
	return ref, nil
}

func validKeyID(s string) bool {
	_, err := KeyIDBytes(s)
	return err == nil
}

// KeyIDBytes returns the 16 bytes of a key id (lower-case canonical UUID), as ciphertext headers
// carry them.
func KeyIDBytes(id string) (raw [16]byte, err error) {
	ok := len(id) == uuidLength
	for at, i := 0, 0; ok && i < len(raw); i++ {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			ok = id[at] == '-'
			at++
		}
		hi, lo := lowerHex(id[at]), lowerHex(id[at+1])
		raw[i] = hi<<4 | lo
		ok = ok && hi < 16 && lo < 16
		at += 2
	}
	if !ok {
		return [16]byte{}, Errorf(CodeValidation, "Invalid keyId '%s'", Printable(id))
	}
	return raw, nil
}

const uuidLength = 36

// lowerHex returns the value of a lower-case hex digit, or 16.
func lowerHex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 16
}

// KeyIDFromBytes formats 16 bytes as a key id.
func KeyIDFromBytes(b [16]byte) string {
	var s [uuidLength]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// ValidateAliasName checks a whole alias name, "alias/" included, against the rules of
// https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html.
func ValidateAliasName(name string) error {
	switch {
	case !strings.HasPrefix(name, "alias/"):
		return Errorf(CodeValidation, `Alias must start with the prefix "alias/".`)
	case strings.HasPrefix(name, "alias/aws/") || name == "alias/aws":
		return Errorf(CodeValidation, "Alias names that begin with alias/aws/ are reserved.")
	case !validAliasName(name):
		return Errorf(CodeValidation, "An alias name has at most 256 characters of a-z, A-Z, 0-9, '/', '_', '-' after \"alias/\".")
	}
	return nil
}

func validAliasName(name string) bool {
	rest, ok := strings.CutPrefix(name, "alias/")
	if !ok || rest == "" || len(name) > 256 {
		return false
	}
	for i := range len(rest) {
		c := rest[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// Printable returns s cut to 256 bytes with everything but printable ASCII replaced, so that a
// caller's bytes can stand in a message or a log line.
func Printable(s string) string {
	if len(s) > 256 {
		s = s[:256] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
}
