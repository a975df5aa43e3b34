package material

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"

	_ "crypto/sha1" // OAEP with SHA-1 only: interoperable, and not broken by collisions

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// rsaKey is the private key of an RSA spec, with the values of the Chinese remainder theorem.
type rsaKey struct{ key *rsa.PrivateKey }

func rsaBits(spec kms.KeySpec) int {
	switch spec {
	case kms.RSA2048:
		return 2048
	case kms.RSA3072:
		return 3072
	default:
		return 4096
	}
}

func generateRSA(bits int) (*rsaKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	return &rsaKey{key}, nil
}

// parseRSA reads PKCS#8 of a key of so many bits.
func parseRSA(bits int, der []byte) (*rsaKey, error) {
	k, err := parseAnyRSA(der)
	if err != nil {
		return nil, err
	}
	if n := k.key.N.BitLen(); n != bits {
		k.wipe()
		return nil, fmt.Errorf("an RSA key of %d bits instead of %d", n, bits)
	}
	return k, nil
}

// parseAnyRSA reads PKCS#8. The standard library checks that the numbers belong together.
func parseAnyRSA(der []byte) (*rsaKey, error) {
	if err := whole(der); err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PrivateKey)
	switch {
	case !ok:
		return nil, errors.New("not an RSA private key")
	case len(key.Primes) != 2:
		return nil, fmt.Errorf("an RSA key of %d primes", len(key.Primes))
	case FIPS() && key.E < 65537:
		return nil, fmt.Errorf("an RSA key with exponent %d in FIPS mode", key.E)
	}
	return &rsaKey{key}, nil
}

func (k *rsaKey) encode() (secret.Bytes, error) { return x509.MarshalPKCS8PrivateKey(k.key) }

func (k *rsaKey) spki() ([]byte, error) { return x509.MarshalPKIXPublicKey(&k.key.PublicKey) }

func (k *rsaKey) wipe() {
	p := &k.key.Precomputed
	for _, n := range append([]*big.Int{k.key.D, p.Dp, p.Dq, p.Qinv}, k.key.Primes...) {
		if n != nil {
			clear(n.Bits())
		}
	}
	*k.key = rsa.PrivateKey{}
}

// sign makes PSS with a salt as long as the digest, or PKCS #1 v1.5.
func (k *rsaKey) sign(a kms.SigningAlgorithm, t kms.MessageType, message []byte) ([]byte, error) {
	h, sum, err := digest(a, t, message)
	if err != nil {
		return nil, err
	}
	if isPSS(a) {
		return rsa.SignPSS(rand.Reader, k.key, h, sum, pssOptions())
	}
	return rsa.SignPKCS1v15(nil, k.key, h, sum)
}

func (k *rsaKey) verify(a kms.SigningAlgorithm, t kms.MessageType, message, signature []byte) error {
	h, sum, err := digest(a, t, message)
	if err != nil {
		return err
	}
	if isPSS(a) {
		err = rsa.VerifyPSS(&k.key.PublicKey, h, sum, signature, pssOptions())
	} else {
		err = rsa.VerifyPKCS1v15(&k.key.PublicKey, h, sum, signature)
	}
	if err != nil {
		return errSignature()
	}
	return nil
}

func isPSS(a kms.SigningAlgorithm) bool {
	return a == kms.RSASSAPSSSHA256 || a == kms.RSASSAPSSSHA384 || a == kms.RSASSAPSSSHA512
}

func pssOptions() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
}

// MaxOAEP returns how many bytes an RSA spec encrypts with an algorithm; 0 for another spec or
// algorithm.
func MaxOAEP(spec kms.KeySpec, a kms.EncryptionAlgorithm) int {
	if !encryptsOAEP(spec, a) {
		return 0
	}
	return rsaBits(spec)/8 - 2*oaepHash(a).Size() - 2
}

func encryptsOAEP(spec kms.KeySpec, a kms.EncryptionAlgorithm) bool {
	s, ok := spec.Spec()
	return ok && a != kms.AlgorithmSymmetricDefault && slices.Contains(s.Encryption, a)
}

func oaepHash[A ~string](a A) crypto.Hash {
	switch string(a) {
	case string(kms.RSAESOAEPSHA1), string(kms.WrapRSAAESSHA1):
		return crypto.SHA1
	default:
		return crypto.SHA256
	}
}

// checkOAEP refuses what EncryptOAEP and DecryptOAEP do not do before the key is touched.
func (k *Key) checkOAEP(a kms.EncryptionAlgorithm) error {
	if !encryptsOAEP(k.spec, a) {
		return errAlgorithm(a, k.spec)
	}
	if oaepHash(a) == crypto.SHA1 {
		return refuseSHA1(a)
	}
	return nil
}

// EncryptOAEP returns RSAES-OAEP under the public key: MGF1 with the algorithm's hash, no label, and
// nothing of ours around it, so that anyone with the public key makes the same. Errors:
// CodeInvalidKeyUsage for an algorithm that the spec does not have, CodeValidation for more than
// MaxOAEP bytes, CodeUnsupported for SHA-1 in FIPS mode, CodeSealed.
func (k *Key) EncryptOAEP(a kms.EncryptionAlgorithm, plaintext []byte) ([]byte, error) {
	if err := k.checkOAEP(a); err != nil {
		return nil, err
	}
	if limit := MaxOAEP(k.spec, a); len(plaintext) > limit {
		return nil, kms.Errorf(kms.CodeValidation, "Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", a, k.spec, limit)
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	return rsa.EncryptOAEP(oaepHash(a).New(), rand.Reader, &k.private.(*rsaKey).key.PublicKey, plaintext, nil)
}

// DecryptOAEP opens RSAES-OAEP. Every ciphertext that does not open gives the one
// CodeInvalidCiphertext of Decrypt. The private operation and the unpadding take constant time, so
// that there is no padding to probe; only what the sender knows, a ciphertext of another length than
// the modulus or not below it, is refused earlier.
func (k *Key) DecryptOAEP(a kms.EncryptionAlgorithm, ciphertext []byte) ([]byte, error) {
	if err := k.checkOAEP(a); err != nil {
		return nil, err
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	plaintext, err := k.private.(*rsaKey).openOAEP(oaepHash(a), ciphertext)
	if err != nil {
		return nil, errInvalid()
	}
	return plaintext, nil
}

// openOAEP asks for exactly as many bytes as the modulus has, as RFC 8017 does and the standard
// library does not.
func (k *rsaKey) openOAEP(h crypto.Hash, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != k.key.Size() {
		return nil, rsa.ErrDecryption
	}
	return rsa.DecryptOAEP(h.New(), nil, k.key, ciphertext, nil)
}
