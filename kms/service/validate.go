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
	maxPlaintext   = 4096
	maxCiphertext  = 6144
	maxRandom      = 1024
	maxDescription = 8192 // characters
	maxTags        = 50
	maxTagKey      = 128 // characters
	maxTagValue    = 256 // characters
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

// oneOf tells a word that AWS KMS does not know from one that this release does not serve. The empty
// word is the default.
func oneOf[T ~string](field string, word, served T, known []T) error {
	switch {
	case word == "" || word == served:
		return nil
	case slices.Contains(known, word):
		return kms.Errorf(kms.CodeUnsupported, "This release serves no %s but %s.", field, served)
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	return constraint(field, "Member must satisfy enum value set: [%s]", strings.Join(names, ", "))
}

// checkAlgorithm refuses an algorithm that symmetric keys, which are all there are, do not have.
func checkAlgorithm(a kms.EncryptionAlgorithm) error {
	if a == "" || a == kms.AlgorithmSymmetricDefault {
		return nil
	}
	if slices.Contains(kms.EncryptionAlgorithms, a) {
		return kms.Errorf(kms.CodeInvalidKeyUsage, "Algorithm %s is incompatible with key spec %s.", a, kms.SymmetricDefault)
	}
	return oneOf("encryptionAlgorithm", a, kms.AlgorithmSymmetricDefault, kms.EncryptionAlgorithms)
}

// checkContext refuses a context before it is recorded: what is too long is no parameter.
func checkContext(context map[string]string) error {
	if len(context) == 0 {
		return nil
	}
	_, err := material.CanonicalContext(context)
	return err
}

func checkDescription(s string) error {
	if n := utf8.RuneCountInString(s); n > maxDescription {
		return constraint("description", "Member must have length less than or equal to %d", maxDescription)
	}
	if !utf8.ValidString(s) {
		return kms.Errorf(kms.CodeInvalidRequest, "The description is not valid UTF-8.")
	}
	return nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return kms.Errorf(kms.CodeValidation, "Too many tags")
	}
	for key, value := range tags {
		switch n := utf8.RuneCountInString(key); {
		case n < 1 || n > maxTagKey:
			return kms.Errorf(kms.CodeValidation, "A tag key has 1 to %d characters.", maxTagKey)
		case utf8.RuneCountInString(value) > maxTagValue:
			return kms.Errorf(kms.CodeValidation, "A tag value has at most %d characters.", maxTagValue)
		case !utf8.ValidString(key) || !utf8.ValidString(value):
			return kms.Errorf(kms.CodeInvalidRequest, "A tag is not valid UTF-8.")
		case len(key) >= 4 && strings.EqualFold(key[:4], "aws:"):
			return kms.Errorf(kms.CodeValidation, "Tags beginning with aws: are reserved")
		}
	}
	return nil
}
