package material

import (
	"crypto"
	"crypto/mlkem"
	"fmt"
	"slices"

	"github.com/cloudflare/circl/kem/mlkem/mlkem512"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// mlkemSeedSize is the length of the seed d || z (FIPS 203).
const mlkemSeedSize = mlkem.SeedSize

// mlkemKey is the private key of an ML_KEM spec, expanded from its seed.
type mlkemKey struct {
	number int // of the algorithm's name, 1 to 3
	seed   secret.Bytes
	key    crypto.Decapsulator
}

func parseMLKEM(spec kms.KeySpec, seed []byte) (*mlkemKey, error) {
	if len(seed) != mlkemSeedSize {
		return nil, fmt.Errorf("an ML-KEM seed of %d bytes instead of %d", len(seed), mlkemSeedSize)
	}
	k := &mlkemKey{seed: clone(seed)}
	var err error
	switch spec {
	case kms.MLKEM512:
		public, private := mlkem512.NewKeyFromSeed(k.seed)
		k.number, k.key = 1, decapsulator512{public, private}
	case kms.MLKEM768:
		k.number = 2
		k.key, err = mlkem.NewDecapsulationKey768(seed)
	default:
		k.number = 3
		k.key, err = mlkem.NewDecapsulationKey1024(seed)
	}
	return k, err
}

func (k *mlkemKey) encode() (secret.Bytes, error) { return clone(k.seed), nil }

// spki names the algorithm as RFC 9935 does.
func (k *mlkemKey) spki() ([]byte, error) {
	return encodeSPKI(nistAlgorithm(4, k.number), k.key.Encapsulator().Bytes())
}

// pkcs8 writes the seed form of RFC 9935, which it recommends: ML-KEM-PrivateKey ::= CHOICE { seed
// [0] IMPLICIT OCTET STRING (SIZE (64)), ... }.
func (k *mlkemKey) pkcs8() (secret.Bytes, error) {
	choice := append(secret.Bytes{0x80, mlkemSeedSize}, k.seed...)
	defer choice.Wipe()
	return encodePKCS8(nistAlgorithm(4, k.number), choice)
}

// wipe overwrites the seed; the expanded key can only be dropped.
func (k *mlkemKey) wipe() {
	k.seed.Wipe()
	*k = mlkemKey{}
}

// Encapsulate returns a new shared secret and the ciphertext that carries it to the private key.
// Errors: CodeInvalidKeyUsage for another spec, CodeSealed.
func (k *Key) Encapsulate() (sharedSecret, ciphertext []byte, err error) {
	if err := k.pinMLKEM(); err != nil {
		return nil, nil, err
	}
	defer k.mu.RUnlock()
	sharedSecret, ciphertext = k.private.(*mlkemKey).key.Encapsulator().Encapsulate()
	return sharedSecret, ciphertext, nil
}

// Decapsulate returns the shared secret of a ciphertext. One of another length gives the one
// CodeInvalidCiphertext of Decrypt; one that was changed gives a secret that nobody else has, as
// FIPS 203 has it. The other errors are those of Encapsulate.
func (k *Key) Decapsulate(ciphertext []byte) ([]byte, error) {
	if err := k.pinMLKEM(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	shared, err := k.private.(*mlkemKey).key.Decapsulate(ciphertext)
	if err != nil {
		return nil, errInvalid()
	}
	return shared, nil
}

func (k *Key) pinMLKEM() error {
	if s, ok := k.spec.Spec(); !ok || !slices.Contains(s.Encapsulation, kms.MLKEM) {
		return errAlgorithm(kms.MLKEM, k.spec)
	}
	return k.pin()
}

// decapsulator512 is ML-KEM-512, which the standard library does not have, in the shape of the
// standard library's.
type decapsulator512 struct {
	public  *mlkem512.PublicKey
	private *mlkem512.PrivateKey
}

func (d decapsulator512) Encapsulator() crypto.Encapsulator { return encapsulator512{d.public} }

func (d decapsulator512) Decapsulate(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != mlkem512.CiphertextSize {
		return nil, fmt.Errorf("an ML-KEM-512 ciphertext of %d bytes", len(ciphertext))
	}
	shared := make([]byte, mlkem512.SharedKeySize)
	d.private.DecapsulateTo(shared, ciphertext)
	return shared, nil
}

type encapsulator512 struct{ public *mlkem512.PublicKey }

func (e encapsulator512) Bytes() []byte {
	packed := make([]byte, mlkem512.PublicKeySize)
	e.public.Pack(packed)
	return packed
}

func (e encapsulator512) Encapsulate() (sharedSecret, ciphertext []byte) {
	sharedSecret, ciphertext = make([]byte, mlkem512.SharedKeySize), make([]byte, mlkem512.CiphertextSize)
	seed := random(mlkem512.EncapsulationSeedSize)
	defer seed.Wipe()
	e.public.EncapsulateTo(ciphertext, sharedSecret, seed)
	return sharedSecret, ciphertext
}
