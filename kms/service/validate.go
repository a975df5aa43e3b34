package service

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/material"
)

// Limits of AWS KMS, in bytes unless said.
const (
	maxPlaintext     = 4096
	maxCiphertext    = 6144
	maxMessage       = 4096
	maxSignature     = 6144
	maxPublicKey     = 8192
	maxRandom        = 1024
	maxDescription   = 8192      // characters
	maxKeyText       = 40 << 10  // of description and tags
	maxAllText       = 112 << 10 // the same of a key in all its regions
	maxKeyRegions    = 8
	maxTags          = 50
	maxTagKey        = 128 // characters
	maxTagValue      = 256 // characters
	maxGrantTokens   = 10
	maxGrantToken    = 8192
	maxGrantsOfKey   = 50_000
	maxGrantName     = 256
	maxPrincipal     = 256
	maxConstraints   = 8   // pairs
	maxConstraint    = 384 // characters
	maxImport        = 6144
	maxMaterialNote  = 256
	maxOnDemand      = 25
	minWindow        = 7 // days
	maxWindow        = 30
	minRotation      = 90 // days
	maxRotation      = 2560
	defaultRotation  = 365
	maxAliasesOfKey  = 50
	maxMaterialYears = 365 // days that imported material may live
)

// constraint words a refusal as AWS KMS does.
func constraint(field, format string, args ...any) error {
	return kms.Errorf(kms.CodeValidation, "1 validation error detected: Value at '%s' failed to satisfy constraint: %s", field, fmt.Sprintf(format, args...))
}

func checkLength(field string, n, highest int) error {
	switch {
	case n < 1:
		return constraint(field, "Member must have length greater than or equal to 1")
	case n > highest:
		return constraint(field, "Member must have length less than or equal to %d", highest)
	}
	return nil
}

func checkRange(field string, n, lowest, highest int) error {
	switch {
	case n < lowest:
		return constraint(field, "Member must have value greater than or equal to %d", lowest)
	case n > highest:
		return constraint(field, "Member must have value less than or equal to %d", highest)
	}
	return nil
}

// required refuses a word that AWS KMS does not know, and none.
func required[T ~string](field string, word T, known []T) error {
	if !slices.Contains(known, word) {
		return notInEnum(field, known)
	}
	return nil
}

// optional refuses a word that AWS KMS does not know.
func optional[T ~string](field string, word T, known []T) error {
	if word == "" {
		return nil
	}
	return required(field, word, known)
}

func notInEnum[T ~string](field string, known []T) error {
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	return constraint(field, "Member must satisfy enum value set: [%s]", strings.Join(names, ", "))
}

// errSM2 is the refusal of the one key spec that is not served.
func errSM2() error {
	return kms.Errorf(kms.CodeUnsupported, "Key spec SM2 and its algorithms, which AWS KMS offers in China only, are not served.")
}

// encryptionAlgorithm returns the algorithm that a request names, or the default.
func encryptionAlgorithm(field string, a kms.EncryptionAlgorithm) (kms.EncryptionAlgorithm, error) {
	if a == "" {
		return kms.AlgorithmSymmetricDefault, nil
	}
	return a, required(field, a, kms.EncryptionAlgorithms)
}

// checkRecipient refuses delivery to an enclave.
func checkRecipient(r kms.Recipient) error {
	if r != nil {
		return kms.Errorf(kms.CodeUnsupported, "Delivery to an enclave (Recipient) is not served; leave it out.")
	}
	return nil
}

// checkContext refuses a context before it is recorded: what is too long is no parameter.
func checkContext(context map[string]string) error {
	if len(context) == 0 {
		return nil
	}
	_, err := material.CanonicalContext(context)
	return err
}

func (r *request) checkGrantTokens(tokens []string) error {
	r.tokens = tokens
	if len(tokens) > maxGrantTokens {
		return constraint("grantTokens", "Member must have length less than or equal to %d", maxGrantTokens)
	}
	for _, t := range tokens {
		if err := checkLength("grantTokens", len(t), maxGrantToken); err != nil {
			return err
		}
	}
	return nil
}

func checkDescription(s string) error {
	if !utf8.ValidString(s) {
		return kms.Errorf(kms.CodeInvalidRequest, "The description is not valid UTF-8.")
	}
	if n := utf8.RuneCountInString(s); n > maxDescription {
		return constraint("description", "Member must have length less than or equal to %d", maxDescription)
	}
	return nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return kms.Errorf(kms.CodeInvalidTag, "Too many tags")
	}
	if err := checkCases(tags); err != nil {
		return err
	}
	for key, value := range tags {
		if err := checkTagKey(key); err != nil {
			return err
		}
		switch {
		case !utf8.ValidString(value):
			return kms.Errorf(kms.CodeInvalidRequest, "A tag is not valid UTF-8.")
		case utf8.RuneCountInString(value) > maxTagValue:
			return kms.Errorf(kms.CodeInvalidTag, "A tag value has at most %d characters.", maxTagValue)
		}
	}
	return nil
}

func checkTagKey(key string) error {
	switch n := utf8.RuneCountInString(key); {
	case !utf8.ValidString(key):
		return kms.Errorf(kms.CodeInvalidRequest, "A tag is not valid UTF-8.")
	case n < 1 || n > maxTagKey:
		return kms.Errorf(kms.CodeInvalidTag, "A tag key has 1 to %d characters.", maxTagKey)
	case len(key) >= 4 && strings.EqualFold(key[:4], "aws:"):
		return kms.Errorf(kms.CodeInvalidTag, "Tags beginning with aws: are reserved")
	}
	return nil
}

// inPattern reports whether s has only letters, digits and the other characters.
func inPattern(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return false
		}
	}
	return true
}
