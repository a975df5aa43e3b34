package material

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/lockstep-kms/lockstep/secret"
)

// The structures that crypto/x509 does not write for every spec: PKCS#8 (RFC 5208, 5958) and
// SubjectPublicKeyInfo (RFC 5280) of secp256k1, ML-DSA and ML-KEM, and ECPrivateKey (RFC 5915).

type pkcs8 struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
	// Attributes and a public key may follow; they are not read.
}

type subjectPublicKeyInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	PublicKey asn1.BitString
}

type ecPrivateKey struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

func oidECPublicKey() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} }

// nistAlgorithm names a post-quantum algorithm: an arc of the NIST algorithms, without parameters
// (RFC 9881, RFC 9935).
func nistAlgorithm(arc, number int) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, arc, number}}
}

// ecAlgorithm names a curve.
func ecAlgorithm(curve asn1.ObjectIdentifier) pkix.AlgorithmIdentifier {
	der, _ := asn1.Marshal(curve) // an object identifier of ours: it cannot fail
	return pkix.AlgorithmIdentifier{Algorithm: oidECPublicKey(), Parameters: asn1.RawValue{FullBytes: der}}
}

func encodeSPKI(a pkix.AlgorithmIdentifier, public []byte) ([]byte, error) {
	return asn1.Marshal(subjectPublicKeyInfo{a, asn1.BitString{Bytes: public, BitLength: 8 * len(public)}})
}

func encodePKCS8(a pkix.AlgorithmIdentifier, private []byte) (secret.Bytes, error) {
	return asn1.Marshal(pkcs8{Algorithm: a, PrivateKey: private})
}

// encodeEC writes PKCS#8 as openssl and crypto/x509 do: the curve outside, the public key inside.
func encodeEC(curve asn1.ObjectIdentifier, scalar, point []byte) (secret.Bytes, error) {
	inner, err := asn1.Marshal(ecPrivateKey{Version: 1, PrivateKey: scalar,
		PublicKey: asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(inner)
	return encodePKCS8(ecAlgorithm(curve), inner)
}

// whole refuses bytes after a structure, which crypto/x509 lets pass.
func whole(der []byte) error {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errors.New("there are bytes after the end of the key")
	}
	return nil
}

// parseEC reads PKCS#8 of a private key on the named curve, whose scalars have size bytes. Explicit
// curve parameters are refused; a scalar that was written shorter or with leading zeros is taken.
func parseEC(der []byte, curve asn1.ObjectIdentifier, size int) (ecRaw, error) {
	var outer pkcs8
	if err := unmarshal(der, &outer); err != nil {
		return ecRaw{}, err
	}
	defer secret.Wipe(outer.PrivateKey)
	if !outer.Algorithm.Algorithm.Equal(oidECPublicKey()) {
		return ecRaw{}, errors.New("not an elliptic curve private key")
	}
	var named asn1.ObjectIdentifier
	if err := unmarshal(outer.Algorithm.Parameters.FullBytes, &named); err != nil || !named.Equal(curve) {
		return ecRaw{}, errors.New("a private key of another curve")
	}
	var inner ecPrivateKey
	if err := unmarshal(outer.PrivateKey, &inner); err != nil {
		return ecRaw{}, err
	}
	defer secret.Wipe(inner.PrivateKey)
	if inner.Version != 1 || inner.Curve != nil && !inner.Curve.Equal(curve) {
		return ecRaw{}, fmt.Errorf("an elliptic curve private key of version %d, curve %v", inner.Version, inner.Curve)
	}
	digits := inner.PrivateKey
	for len(digits) > size && digits[0] == 0 {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > size {
		return ecRaw{}, fmt.Errorf("a private key of %d bytes", len(digits))
	}
	scalar := make(secret.Bytes, size)
	copy(scalar[size-len(digits):], digits)
	return ecRaw{scalar, bytes.Clone(inner.PublicKey.RightAlign())}, nil // it lies in what is wiped
}

// unmarshal reads one structure and nothing after it.
func unmarshal(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errors.New("there are bytes after the end of the structure")
	}
	return nil
}
