package kms

import (
	"encoding/hex"
	"fmt"
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
	bad := Errorf(CodeValidation, "Invalid keyId '%s'", Printable(id))
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' || strings.ToLower(id) != id {
		return raw, bad
	}
	var flat [32]byte
	n := 0
	for i := range len(id) {
		if id[i] == '-' && (i == 8 || i == 13 || i == 18 || i == 23) {
			continue
		}
		flat[n] = id[i]
		n++
	}
	if _, err := hex.Decode(raw[:], flat[:]); err != nil {
		return raw, bad
	}
	return raw, nil
}

// KeyIDFromBytes formats 16 bytes as a key id.
func KeyIDFromBytes(b [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
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
