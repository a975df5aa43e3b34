package material

import (
	"encoding/asn1"
	"errors"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// koblitzKey is the private key of ECC_SECG_P256K1. The curve is not in the standard library, and so
// not in its FIPS module.
type koblitzKey struct {
	key    *secp256k1.PrivateKey
	public *secp256k1.PublicKey
}

func koblitzOID() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 132, 0, 10} }

func generateKoblitz() (*koblitzKey, error) {
	key, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		return nil, err
	}
	return &koblitzKey{key, key.PubKey()}, nil
}

// parseKoblitz checks the range of the scalar, which the library would reduce.
func parseKoblitz(der []byte) (*koblitzKey, error) {
	raw, err := parseEC(der, koblitzOID(), 32)
	if err != nil {
		return nil, err
	}
	defer raw.scalar.Wipe()
	var scalar secp256k1.ModNScalar
	defer scalar.Zero()
	if overflow := scalar.SetByteSlice(raw.scalar); overflow || scalar.IsZero() {
		return nil, errors.New("the private key is not between 1 and the order of the curve")
	}
	key := secp256k1.NewPrivateKey(&scalar)
	k := &koblitzKey{key, key.PubKey()}
	return k, raw.checkPublic(k.public.SerializeUncompressed())
}

func (k *koblitzKey) encode() (secret.Bytes, error) {
	scalar := k.key.Serialize()
	defer secret.Wipe(scalar)
	return encodeEC(koblitzOID(), scalar, k.public.SerializeUncompressed())
}

func (k *koblitzKey) spki() ([]byte, error) {
	return encodeSPKI(ecAlgorithm(koblitzOID()), k.public.SerializeUncompressed())
}

func (k *koblitzKey) wipe() { k.key.Zero() }

// sign is deterministic (RFC 6979) and yields the lower of the two values of s.
func (k *koblitzKey) sign(a kms.SigningAlgorithm, t kms.MessageType, message []byte) ([]byte, error) {
	_, sum, err := digest(a, t, message)
	if err != nil {
		return nil, err
	}
	return ecdsa.Sign(k.key, sum).Serialize(), nil
}

// verify takes both values of s, as other implementations make them.
func (k *koblitzKey) verify(a kms.SigningAlgorithm, t kms.MessageType, message, signature []byte) error {
	_, sum, err := digest(a, t, message)
	if err != nil {
		return err
	}
	parsed, err := ecdsa.ParseDERSignature(signature)
	if err != nil || !parsed.Verify(sum, k.public) {
		return errSignature()
	}
	return nil
}
