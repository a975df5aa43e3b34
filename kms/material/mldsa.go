package material

import (
	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// Sizes of ML-DSA (FIPS 204), in bytes.
const (
	mldsaSeedSize = mldsa.PrivateKeySize
	muSize        = 64 // of a message representative
)

// mldsaKey is the private key of an ML_DSA spec, expanded from its seed.
type mldsaKey struct {
	key    *mldsa.PrivateKey
	public *mldsa.PublicKey
}

func parseMLDSA(spec kms.KeySpec, seed []byte) (*mldsaKey, error) {
	parameters := mldsa.MLDSA44()
	switch spec {
	case kms.MLDSA65:
		parameters = mldsa.MLDSA65()
	case kms.MLDSA87:
		parameters = mldsa.MLDSA87()
	}
	key, err := mldsa.NewPrivateKey(parameters, seed)
	if err != nil {
		return nil, err
	}
	return &mldsaKey{key, key.PublicKey()}, nil
}

func (k *mldsaKey) encode() (secret.Bytes, error) { return k.key.Bytes(), nil }

// spki names the algorithm as RFC 9881 does.
func (k *mldsaKey) spki() ([]byte, error) {
	number := 17
	switch k.public.Parameters() {
	case mldsa.MLDSA65():
		number = 18
	case mldsa.MLDSA87():
		number = 19
	}
	return encodeSPKI(nistAlgorithm(3, number), k.public.Bytes())
}

// wipe overwrites the expanded key, which this version of the module holds in the structure itself.
func (k *mldsaKey) wipe() { *k.key = mldsa.PrivateKey{} }

// sign is randomized ("hedged"), with an empty context.
func (k *mldsaKey) sign(a kms.SigningAlgorithm, t kms.MessageType, message []byte) ([]byte, error) {
	switch t {
	case kms.MessageRaw, "":
		return k.key.Sign(nil, message, nil)
	case kms.MessageExternalMu:
		if err := checkMu(message); err != nil {
			return nil, err
		}
		return k.key.Sign(nil, message, mldsacrypto.MLDSAMu)
	default:
		return nil, errMessageType(a, t)
	}
}

// verify refuses an external mu: no library verifies with one. The message itself verifies what was
// signed from its mu.
func (k *mldsaKey) verify(a kms.SigningAlgorithm, t kms.MessageType, message, signature []byte) error {
	switch t {
	case kms.MessageRaw, "":
		if mldsa.Verify(k.public, message, signature, nil) != nil {
			return errSignature()
		}
		return nil
	case kms.MessageExternalMu:
		if err := checkMu(message); err != nil {
			return err
		}
		return kms.Errorf(kms.CodeUnsupported, "Verify does not take message type EXTERNAL_MU; verify the message itself with message type RAW.")
	default:
		return errMessageType(a, t)
	}
}

func checkMu(mu []byte) error {
	if len(mu) != muSize {
		return kms.Errorf(kms.CodeValidation, "A message of type EXTERNAL_MU must be %d bytes long.", muSize)
	}
	return nil
}
