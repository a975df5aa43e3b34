package material

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	kwp "github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// kekSize is the length of the AES key in RSA_AES_KEY_WRAP.
const kekSize = 32

// Wrapping returns a new RSA key pair to encrypt key material for its import: the private key as
// PKCS#8, which the caller wipes, and the public key as SubjectPublicKeyInfo. Errors: CodeValidation
// for a spec that is not one of kms.WrappingKeySpecs.
func Wrapping(spec kms.KeySpec) (private secret.Bytes, publicSPKI []byte, err error) {
	if !slices.Contains(kms.WrappingKeySpecs, spec) {
		return nil, nil, kms.Errorf(kms.CodeValidation, "There are no wrapping keys of key spec %q.", spec)
	}
	pair, err := GeneratePair(spec)
	return pair.Private, pair.Public, err
}

// Unwrap opens key material that was encrypted under the public key of Wrapping:
//
//	RSAES_OAEP_*:       OAEP(material), as long as the modulus
//	RSA_AES_KEY_WRAP_*: OAEP(AES-256 key), as long as the modulus | AES-KWP (RFC 5649) of the material
//
// Every input that does not open gives one CodeInvalidCiphertext. That RSA private keys come by
// RSA_AES_KEY_WRAP only is for the caller to enforce: they do not fit into OAEP anyhow. The caller
// wipes the result. The other errors are CodeValidation for what is no wrapping algorithm,
// CodeUnsupported for SHA-1 in FIPS mode and CodeUnavailable for a private key that Wrapping did not
// make.
func Unwrap(a kms.WrappingAlgorithm, private, wrapped []byte) (secret.Bytes, error) {
	if !slices.Contains(kms.WrappingAlgorithms, a) {
		return nil, kms.Errorf(kms.CodeValidation, "There is no wrapping algorithm %q.", a)
	}
	h := oaepHash(a)
	if h == crypto.SHA1 {
		if err := refuseSHA1(a); err != nil {
			return nil, err
		}
	}
	key, err := parseWrapping(private)
	if err != nil {
		return nil, errUnusable(err)
	}
	defer key.wipe()
	var plain []byte
	if a == kms.WrapRSAAESSHA1 || a == kms.WrapRSAAESSHA256 {
		plain, err = unwrapAES(key, h, wrapped)
	} else {
		plain, err = key.openOAEP(h, wrapped)
	}
	if err != nil {
		return nil, errWrapped()
	}
	return plain, nil
}

// parseWrapping reads the private key of a wrapping key pair of any size.
func parseWrapping(private []byte) (*rsaKey, error) {
	k, err := parseAnyRSA(private)
	if err != nil {
		return nil, err
	}
	for _, spec := range kms.WrappingKeySpecs {
		if k.key.N.BitLen() == rsaBits(spec) {
			return k, nil
		}
	}
	k.wipe()
	return nil, errors.New("an RSA key of another size than wrapping keys have")
}

// unwrapAES opens RSA_AES_KEY_WRAP. When the first part does not open, a random key takes its place,
// so that the time does not say which of the two parts was wrong.
func unwrapAES(key *rsaKey, h crypto.Hash, wrapped []byte) ([]byte, error) {
	size := key.key.Size()
	if len(wrapped) < size {
		return nil, errors.New("shorter than the modulus")
	}
	kek := random(kekSize)
	defer kek.Wipe()
	opened, oaepErr := key.openOAEP(h, wrapped[:size])
	defer secret.Wipe(opened)
	if len(opened) == kekSize {
		copy(kek, opened)
	} else if oaepErr == nil {
		oaepErr = fmt.Errorf("an AES key of %d bytes", len(opened))
	}
	wrapper, err := kwp.NewKWP(kek)
	if err != nil {
		return nil, err
	}
	plain, err := wrapper.Unwrap(wrapped[size:])
	if err = errors.Join(oaepErr, err); err != nil {
		secret.Wipe(plain)
		return nil, err
	}
	return plain, nil
}

// errWrapped is the one error of encrypted key material that does not open.
func errWrapped() error {
	return kms.Errorf(kms.CodeInvalidCiphertext, "The encrypted key material is not valid: it was changed, or it was encrypted with another wrapping key or algorithm.")
}

// ParseImport reads what a customer imports and returns its stored encoding, which is the same for
// the same key however it was written: raw bytes for SYMMETRIC_DEFAULT (32) and HMAC (the
// spec's length), PKCS#8 for RSA and elliptic curves. The caller wipes it. Anything else
// is CodeIncorrectKeyMaterial; CodeUnsupported for a spec whose material cannot be imported.
func ParseImport(spec kms.KeySpec, plain []byte) (secret.Bytes, error) {
	if err := Served(spec); err != nil {
		return nil, err
	}
	if s, _ := spec.Spec(); !s.Importable {
		return nil, kms.Errorf(kms.CodeUnsupported, "Key material of key spec %s cannot be imported.", spec)
	}
	switch spec {
	case kms.SymmetricDefault:
		if len(plain) != SymmetricSize {
			return nil, errImport(spec, fmt.Errorf("%d bytes", len(plain)))
		}
		return clone(plain), nil
	case kms.HMAC224, kms.HMAC256, kms.HMAC384, kms.HMAC512:
		if err := checkMacKey(spec, plain); err != nil {
			return nil, errImport(spec, err)
		}
		return clone(plain), nil
	}
	p, err := parsePrivate(spec, plain)
	if err != nil {
		return nil, errImport(spec, err)
	}
	defer p.wipe()
	if r, ok := p.(*rsaKey); ok {
		for _, prime := range r.key.Primes {
			// The Baillie-PSW test: parsing proves that the numbers belong together, not that they are prime.
			if !prime.ProbablyPrime(0) {
				return nil, errImport(spec, errors.New("a factor is not prime"))
			}
		}
	}
	return p.encode()
}

func errImport(spec kms.KeySpec, cause error) error {
	return kms.Errorf(kms.CodeIncorrectKeyMaterial, "The key material is not that of a key of key spec %s.", spec).WithCause(cause)
}

// Fingerprint returns 64 hexadecimal digits that are the same for the same material, whoever imports
// it and however it was encoded, and say nothing about it without secretKey: HMAC-SHA256 over spec
// and material, or, of asymmetric specs, over spec and public key. plain is the stored encoding.
func Fingerprint(secretKey []byte, spec kms.KeySpec, plain []byte) (string, error) {
	k, err := Open(spec, plain)
	if err != nil {
		return "", err
	}
	defer k.Wipe()
	identity := plain
	if k.private != nil {
		if identity, err = k.private.spki(); err != nil {
			return "", err
		}
	}
	h := hmac.New(sha256.New, secretKey)
	for _, part := range [][]byte{[]byte("lockstep/material/fingerprint/v1"), {0}, []byte(spec), {0}, identity} {
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
