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
	ID    string // lower-case UUID, or mrk- and 32 hex digits
	Alias string // with the prefix "alias/"
	Scope Scope
}

// ParseKeyRef parses a key id, key ARN, alias name ("alias/NAME") or alias ARN. It refuses
// everything else with CodeValidation, or CodeInvalidARN for what begins as an ARN; whether the object
// exists is not its concern.
func ParseKeyRef(s string) (KeyRef, error) {
	if s == "" || len(s) > 2048 {
		return KeyRef{}, Errorf(CodeValidation, "A key identifier has 1 to 2048 characters.")
	}
	var ref KeyRef
	rest := s
	if strings.HasPrefix(s, "arn:") {
		p := strings.SplitN(s, ":", 6)
		if len(p) != 6 || p[2] != "kms" || p[3] == "" || len(p[4]) != 12 {
			return KeyRef{}, Errorf(CodeInvalidARN, "Invalid arn %s", Printable(s))
		}
		ref.Scope = Scope{Region: p[3], Account: p[4]}
		rest = p[5]
		if id, ok := strings.CutPrefix(rest, "key/"); ok {
			rest = id
		} else if !strings.HasPrefix(rest, "alias/") {
			return KeyRef{}, Errorf(CodeInvalidARN, "Invalid arn %s", Printable(s))
		}
	}
	if strings.HasPrefix(rest, "alias/") {
		if !validAliasName(rest) {
			return KeyRef{}, Errorf(CodeInvalidKeyID, "Invalid keyId '%s'", Printable(s))
		}
		ref.Alias = rest
		return ref, nil
	}
	if !validKeyID(rest) {
		return KeyRef{}, Errorf(CodeInvalidKeyID, "Invalid keyId '%s'", Printable(s))
	}
	ref.ID = rest
	return ref, nil
}

func validKeyID(s string) bool {
	_, err := KeyIDBytes(s)
	return err == nil
}

// KeyIDBytes returns the 16 bytes of a key id, as ciphertext headers carry them: of a lower-case canonical
// UUID, or of the 32 lower-case hex digits of a multi-Region key's id. Two ids may have the same bytes, one
// of each form; keys are random, so they never meet.
func KeyIDBytes(id string) (raw [16]byte, err error) {
	digits, multiRegion := strings.CutPrefix(id, multiRegionPrefix)
	ok := len(id) == uuidLength
	for at, i := 0, 0; ok && i < len(raw); i++ {
		if !multiRegion && (at == 8 || at == 13 || at == 18 || at == 23) {
			ok = digits[at] == '-'
			at++
		}
		hi, lo := lowerHex(digits[at]), lowerHex(digits[at+1])
		raw[i] = hi<<4 | lo
		ok = ok && hi < 16 && lo < 16
		at += 2
	}
	if !ok {
		return [16]byte{}, Errorf(CodeInvalidKeyID, "Invalid keyId '%s'", Printable(id))
	}
	return raw, nil
}

const (
	multiRegionPrefix = "mrk-"
	uuidLength        = 36 // of a multi-Region key's id too
)

// IsMultiRegionID reports whether a key id is that of a multi-Region key.
func IsMultiRegionID(id string) bool { return strings.HasPrefix(id, multiRegionPrefix) }

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

// KeyIDFromBytes formats 16 bytes as the id of a key that is in one region.
func KeyIDFromBytes(b [16]byte) string { return UUID(b) }

// UUID formats 16 bytes as RFC 9562 has it.
func UUID(b [16]byte) string {
	var s [uuidLength]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// MultiRegionIDFromBytes formats 16 bytes as the id of a multi-Region key.
func MultiRegionIDFromBytes(b [16]byte) string { return multiRegionPrefix + hex.EncodeToString(b[:]) }

// AliasPrefix begins every alias name, ManagedAliasPrefix those of managed keys, which users cannot make.
const (
	AliasPrefix        = "alias/"
	ManagedAliasPrefix = "alias/aws/"
)

// ValidateAliasName checks a whole alias name, "alias/" included, against the rules of
// https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html.
func ValidateAliasName(name string) error {
	switch {
	case !strings.HasPrefix(name, AliasPrefix):
		return Errorf(CodeInvalidAliasName, `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
	case strings.HasPrefix(name, ManagedAliasPrefix) || name == "alias/aws":
		return Errorf(CodeInvalidAliasName, "Alias names that begin with alias/aws/ are reserved for managed keys.")
	case !validAliasName(name):
		return Errorf(CodeInvalidAliasName, "An alias name has at most 256 characters of a-z, A-Z, 0-9, '/', '_', '-' after \"alias/\".")
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
