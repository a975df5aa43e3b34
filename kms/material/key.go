package material

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// Key is a handle on the opened material of one key version. It is safe for concurrent use, and
// pinned while it is used: Wipe waits for the calls that hold it, and none begins after it.
type Key struct {
	spec kms.KeySpec // immutable after Open

	mu      sync.RWMutex
	open    bool         // guarded by mu; false once wiped
	plain   secret.Bytes // guarded by mu; SYMMETRIC_DEFAULT and HMAC only
	private private      // guarded by mu; the asymmetric specs only
}

// private is the parsed private key of an asymmetric spec. What else a spec can do is in the
// interfaces signer, agreer, decrypter and encapsulator; which one it has follows from the table of
// kms.KeySpec.Spec, which every operation asks first.
type private interface {
	encode() (secret.Bytes, error) // the stored encoding
	spki() ([]byte, error)         // the public key, DER SubjectPublicKeyInfo
	wipe()                         // overwrites what Go lets us reach
}

// Generate returns new random material of a spec in its stored encoding, which DESIGN.md draws. The
// caller wipes it. Errors: CodeUnsupported for SM2 and, in FIPS mode, for what AllowedFIPS refuses.
func Generate(spec kms.KeySpec) (secret.Bytes, error) {
	if err := Served(spec); err != nil {
		return nil, err
	}
	switch spec {
	case kms.SymmetricDefault:
		return random(SymmetricSize), nil
	case kms.HMAC224, kms.HMAC256, kms.HMAC384, kms.HMAC512:
		return random(macSize(spec)), nil
	case kms.MLDSA44, kms.MLDSA65, kms.MLDSA87:
		return random(mldsaSeedSize), nil
	case kms.MLKEM512, kms.MLKEM768, kms.MLKEM1024:
		return random(mlkemSeedSize), nil
	}
	p, err := generatePrivate(spec)
	if err != nil {
		return nil, err
	}
	defer p.wipe()
	return p.encode()
}

// generatePrivate returns a new private key of a spec whose stored encoding is PKCS#8.
func generatePrivate(spec kms.KeySpec) (private, error) {
	switch spec {
	case kms.RSA2048, kms.RSA3072, kms.RSA4096:
		return generateRSA(rsaBits(spec))
	case kms.ECCNISTP256, kms.ECCNISTP384, kms.ECCNISTP521:
		return generateNIST(spec)
	case kms.ECCSECGP256K1:
		return generateKoblitz()
	case kms.ECCNISTEdwards25519:
		return generateEd25519()
	default:
		return nil, fmt.Errorf("material: spec %s is generated elsewhere", spec)
	}
}

// Open returns a handle on a copy of plain, the stored encoding of a spec's material. Private keys
// are parsed here, once. A stored record that cannot be used is CodeUnavailable with its cause; in
// FIPS mode a spec that AllowedFIPS refuses is CodeUnsupported. The caller wipes its plain.
func Open(spec kms.KeySpec, plain []byte) (*Key, error) {
	if _, known := spec.Spec(); !known {
		return nil, errUnusable(fmt.Errorf("key spec %s", spec))
	}
	if err := Served(spec); err != nil {
		return nil, err
	}
	k := &Key{spec: spec, open: true}
	var err error
	switch spec {
	case kms.SymmetricDefault:
		if len(plain) != SymmetricSize {
			return nil, errUnusable(fmt.Errorf("symmetric material has %d bytes instead of %d", len(plain), SymmetricSize))
		}
		k.plain = clone(plain)
	case kms.HMAC224, kms.HMAC256, kms.HMAC384, kms.HMAC512:
		if err := checkMacKey(spec, plain); err != nil {
			return nil, errUnusable(err)
		}
		k.plain = clone(plain)
	default:
		if k.private, err = parsePrivate(spec, plain); err != nil {
			return nil, errUnusable(err)
		}
	}
	return k, nil
}

// parsePrivate reads the stored encoding of an asymmetric spec's private key, which for RSA and
// elliptic curves is also what a customer imports.
func parsePrivate(spec kms.KeySpec, encoding []byte) (private, error) {
	switch spec {
	case kms.RSA2048, kms.RSA3072, kms.RSA4096:
		return parseRSA(rsaBits(spec), encoding)
	case kms.ECCNISTP256, kms.ECCNISTP384, kms.ECCNISTP521:
		return parseNIST(spec, encoding)
	case kms.ECCSECGP256K1:
		return parseKoblitz(encoding)
	case kms.ECCNISTEdwards25519:
		return parseEd25519(encoding)
	case kms.MLDSA44, kms.MLDSA65, kms.MLDSA87:
		return parseMLDSA(spec, encoding)
	case kms.MLKEM512, kms.MLKEM768, kms.MLKEM1024:
		return parseMLKEM(spec, encoding)
	default:
		return nil, fmt.Errorf("spec %s has no private key", spec)
	}
}

// Spec returns the spec that the handle was opened with.
func (k *Key) Spec() kms.KeySpec { return k.spec }

// PublicKey returns the public key as DER SubjectPublicKeyInfo; CodeUnsupported for a spec without.
func (k *Key) PublicKey() ([]byte, error) {
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	if k.private == nil {
		return nil, kms.Errorf(kms.CodeUnsupported, "Key spec %s has no public key.", k.spec)
	}
	return k.private.spki()
}

// Wipe waits until no call uses the material and overwrites it. It may be called more than once.
func (k *Key) Wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = false
	k.plain.Wipe()
	k.plain = nil
	if k.private != nil {
		k.private.wipe()
		k.private = nil
	}
}

// pin takes the read lock, which the caller releases; after Wipe it answers CodeSealed without it.
func (k *Key) pin() error {
	k.mu.RLock()
	if !k.open {
		k.mu.RUnlock()
		return errWiped()
	}
	return nil
}

// Format writes a fixed text for every verb: fmt would print the material through the unexported
// fields.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a fixed text.
func (k *Key) LogValue() slog.Value { return slog.StringValue(redacted) }

const redacted = "[redacted]"

// Served refuses a spec that there is no material of: SM2, unknown ones, and in FIPS mode what the
// module does not cover.
func Served(spec kms.KeySpec) error {
	switch _, known := spec.Spec(); {
	case !known && slices.Contains(kms.KeySpecs, spec):
		return kms.Errorf(kms.CodeUnsupported, "Key spec %s is not supported.", spec)
	case !known:
		return kms.Errorf(kms.CodeValidation, "There is no key spec %q.", spec)
	case FIPS() && !AllowedFIPS(spec):
		return kms.Errorf(kms.CodeUnsupported, "Key spec %s is not available in FIPS mode.", spec)
	}
	return nil
}

func random(size int) secret.Bytes {
	b := make(secret.Bytes, size)
	rand.Read(b) // never fails: the runtime ends the process first
	return b
}

func clone(b []byte) secret.Bytes { return append(make(secret.Bytes, 0, len(b)), b...) }

// errWiped is the answer to using material after Wipe.
func errWiped() error {
	return kms.Errorf(kms.CodeSealed, "This node is sealed.")
}

// errUnusable is the answer to opening a stored record that is not what it should be.
func errUnusable(cause error) error {
	return kms.Errorf(kms.CodeUnavailable, "The key material cannot be used.").WithCause(cause)
}

// errAlgorithm is the answer to an algorithm that a key spec does not have.
func errAlgorithm[A ~string](a A, spec kms.KeySpec) error {
	return kms.Errorf(kms.CodeInvalidKeyUsage, "Algorithm %s is incompatible with key spec %s.", string(a), spec)
}
