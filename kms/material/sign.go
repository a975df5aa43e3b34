package material

import (
	"crypto"
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
)

// signer is a private key of a SIGN_VERIFY spec. The algorithm is one of its spec.
type signer interface {
	sign(a kms.SigningAlgorithm, t kms.MessageType, message []byte) ([]byte, error)
	// verify reports a signature that does not verify as errSignature.
	verify(a kms.SigningAlgorithm, t kms.MessageType, message, signature []byte) error
}

// Sign returns the signature of a message, or of a message's digest or external mu as t says; "" is
// RAW. Errors: CodeInvalidKeyUsage for an algorithm that the spec does not have, CodeValidation for
// a message type or digest length that the algorithm does not take, CodeSealed.
func (k *Key) Sign(a kms.SigningAlgorithm, t kms.MessageType, message []byte) ([]byte, error) {
	if s, ok := k.spec.Spec(); !ok || !slices.Contains(s.Signing, a) {
		return nil, errAlgorithm(a, k.spec)
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	return k.private.(signer).sign(a, t, message)
}

// Verify returns nil for a signature of the message by this key, CodeInvalidSignature for any other;
// the rest of the errors are those of Sign, and CodeUnsupported for EXTERNAL_MU.
func (k *Key) Verify(a kms.SigningAlgorithm, t kms.MessageType, message, signature []byte) error {
	if s, ok := k.spec.Spec(); !ok || !slices.Contains(s.Signing, a) {
		return errAlgorithm(a, k.spec)
	}
	if err := k.pin(); err != nil {
		return err
	}
	defer k.mu.RUnlock()
	return k.private.(signer).verify(a, t, message, signature)
}

// digest returns what an RSA or ECDSA algorithm signs: the hash of a RAW message, or a DIGEST as it
// is, which is never hashed again.
func digest(a kms.SigningAlgorithm, t kms.MessageType, message []byte) (crypto.Hash, []byte, error) {
	h := signingHash(a)
	switch t {
	case kms.MessageRaw, "":
		sum := h.New()
		sum.Write(message)
		return h, sum.Sum(nil), nil
	case kms.MessageDigest:
		if len(message) != h.Size() {
			return 0, nil, errDigestLength(a)
		}
		return h, message, nil
	default:
		return 0, nil, errMessageType(a, t)
	}
}

func signingHash(a kms.SigningAlgorithm) crypto.Hash {
	switch a {
	case kms.RSASSAPSSSHA384, kms.RSASSAPKCS1SHA384, kms.ECDSASHA384:
		return crypto.SHA384
	case kms.RSASSAPSSSHA512, kms.RSASSAPKCS1SHA512, kms.ECDSASHA512:
		return crypto.SHA512
	default:
		return crypto.SHA256
	}
}

// errSignature is the one error of every signature that does not verify.
func errSignature() error {
	return kms.Errorf(kms.CodeInvalidSignature, "The signature is not valid for this message and key.")
}

func errDigestLength(a kms.SigningAlgorithm) error {
	return kms.Errorf(kms.CodeValidation, "Digest is invalid length for algorithm %s.", a)
}

func errMessageType(a kms.SigningAlgorithm, t kms.MessageType) error {
	return kms.Errorf(kms.CodeValidation, "Message type %s is not valid for algorithm %s.", t, a)
}
