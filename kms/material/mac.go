package material

import (
	"crypto"
	"crypto/hmac"
	"fmt"
	"hash"
	"slices"

	// The hashes that crypto.Hash.New finds.
	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/lockstep-kms/lockstep/kms"
)

// macSize returns how long generated material of an HMAC spec is: as long as the digest.
func macSize(spec kms.KeySpec) int {
	switch spec {
	case kms.HMAC224:
		return 28
	case kms.HMAC256:
		return 32
	case kms.HMAC384:
		return 48
	default:
		return 64
	}
}

// checkMacKey refuses what does not have the spec's length, as AWS KMS does with imported material.
func checkMacKey(spec kms.KeySpec, key []byte) error {
	if n := len(key); n != macSize(spec) {
		return fmt.Errorf("%s material has %d bytes instead of %d", spec, n, macSize(spec))
	}
	return nil
}

// Mac returns the HMAC of a message, in full length. Errors: CodeInvalidKeyUsage for an algorithm
// that the spec does not have, CodeSealed.
func (k *Key) Mac(a kms.MacAlgorithm, message []byte) ([]byte, error) {
	if s, ok := k.spec.Spec(); !ok || !slices.Contains(s.Mac, a) {
		return nil, errAlgorithm(a, k.spec)
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	h := hmac.New(macHash(a), k.plain)
	h.Write(message)
	return h.Sum(nil), nil
}

// VerifyMac compares in constant time. A MAC that is not that of the message, or not in full length,
// is CodeInvalidMac; the other errors are those of Mac.
func (k *Key) VerifyMac(a kms.MacAlgorithm, message, mac []byte) error {
	want, err := k.Mac(a, message)
	if err != nil {
		return err
	}
	if !hmac.Equal(want, mac) {
		return kms.Errorf(kms.CodeInvalidMac, "The MAC is not valid for this message and key.")
	}
	return nil
}

func macHash(a kms.MacAlgorithm) func() hash.Hash {
	switch a {
	case kms.HMACSHA224:
		return crypto.SHA224.New
	case kms.HMACSHA256:
		return crypto.SHA256.New
	case kms.HMACSHA384:
		return crypto.SHA384.New
	default:
		return crypto.SHA512.New
	}
}
