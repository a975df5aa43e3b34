package material

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"errors"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// edKey is the private key of ECC_NIST_EDWARDS25519.
type edKey struct{ key ed25519.PrivateKey }

func generateEd25519() (*edKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &edKey{key}, nil
}

// parseEd25519 reads PKCS#8 as RFC 8410 draws it.
func parseEd25519(der []byte) (*edKey, error) {
	if err := whole(der); err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("not an Ed25519 private key")
	}
	return &edKey{key}, nil
}

func (k *edKey) encode() (secret.Bytes, error) { return x509.MarshalPKCS8PrivateKey(k.key) }

func (k *edKey) spki() ([]byte, error) { return x509.MarshalPKIXPublicKey(k.key.Public()) }

func (k *edKey) wipe() { clear(k.key) }

// options says what the two algorithms of RFC 8032 take: Ed25519 a message, since it hashes twice,
// Ed25519ph the SHA-512 digest of one, which is its message: it is hashed once more, as AWS KMS documents it
// (FIPS 186-5, 7.8.1). So whoever verifies elsewhere gives the digest to Ed25519ph as the message.
func (k *edKey) options(a kms.SigningAlgorithm, t kms.MessageType, message []byte) (*ed25519.Options, error) {
	switch {
	case a == kms.Ed25519SHA512 && (t == kms.MessageRaw || t == ""):
		return &ed25519.Options{}, nil
	case a == kms.Ed25519PHSHA512 && t == kms.MessageDigest && len(message) == crypto.SHA512.Size():
		return &ed25519.Options{Hash: crypto.SHA512}, nil
	case a == kms.Ed25519PHSHA512 && t == kms.MessageDigest:
		return nil, errDigestLength(a)
	case a == kms.Ed25519PHSHA512 && t == "":
		return nil, errMessageType(a, kms.MessageRaw)
	default:
		return nil, errMessageType(a, t)
	}
}

// prehash returns what the library takes of a message: Ed25519ph the hash of it.
func prehash(o *ed25519.Options, message []byte) []byte {
	if o.Hash != crypto.SHA512 {
		return message
	}
	sum := sha512.Sum512(message)
	return sum[:]
}

func (k *edKey) sign(a kms.SigningAlgorithm, t kms.MessageType, message []byte) ([]byte, error) {
	o, err := k.options(a, t, message)
	if err != nil {
		return nil, err
	}
	return k.key.Sign(nil, prehash(o, message), o)
}

func (k *edKey) verify(a kms.SigningAlgorithm, t kms.MessageType, message, signature []byte) error {
	o, err := k.options(a, t, message)
	if err != nil {
		return err
	}
	if ed25519.VerifyWithOptions(k.key.Public().(ed25519.PublicKey), prehash(o, message), signature, o) != nil {
		return errSignature()
	}
	return nil
}
