package material

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// nistKey is the private key of ECC_NIST_P256, P384 or P521, in the forms that signing and key
// agreement take.
type nistKey struct {
	key   *ecdsa.PrivateKey
	agree *ecdh.PrivateKey
}

// nistCurve returns the curve of a spec and its name in DER.
func nistCurve(spec kms.KeySpec) (elliptic.Curve, asn1.ObjectIdentifier) {
	switch spec {
	case kms.ECCNISTP256:
		return elliptic.P256(), asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	case kms.ECCNISTP384:
		return elliptic.P384(), asn1.ObjectIdentifier{1, 3, 132, 0, 34}
	default:
		return elliptic.P521(), asn1.ObjectIdentifier{1, 3, 132, 0, 35}
	}
}

func generateNIST(spec kms.KeySpec) (*nistKey, error) {
	curve, _ := nistCurve(spec)
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, err
	}
	return newNIST(key)
}

func newNIST(key *ecdsa.PrivateKey) (*nistKey, error) {
	agree, err := key.ECDH()
	if err != nil {
		return nil, err
	}
	return &nistKey{key, agree}, nil
}

func parseNIST(spec kms.KeySpec, der []byte) (*nistKey, error) {
	curve, oid := nistCurve(spec)
	raw, err := parseEC(der, oid, (curve.Params().BitSize+7)/8)
	if err != nil {
		return nil, err
	}
	defer raw.scalar.Wipe()
	key, err := ecdsa.ParseRawPrivateKey(curve, raw.scalar)
	if err != nil {
		return nil, err
	}
	k, err := newNIST(key)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return k, raw.checkPublic(point)
}

// oid returns the curve's name in DER.
func (k *nistKey) oid() asn1.ObjectIdentifier {
	for _, spec := range []kms.KeySpec{kms.ECCNISTP256, kms.ECCNISTP384} {
		if curve, oid := nistCurve(spec); curve == k.key.Curve {
			return oid
		}
	}
	_, oid := nistCurve(kms.ECCNISTP521)
	return oid
}

func (k *nistKey) encode() (secret.Bytes, error) {
	scalar, err := k.key.Bytes()
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(scalar)
	point, err := k.key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return encodeEC(k.oid(), scalar, point)
}

func (k *nistKey) spki() ([]byte, error) { return x509.MarshalPKIXPublicKey(&k.key.PublicKey) }

// wipe overwrites the scalar of the signing form; the agreement form and the standard library's own
// copy can only be dropped.
func (k *nistKey) wipe() {
	//lint:ignore SA1019 there is no other way to overwrite the scalar
	clear(k.key.D.Bits())
	*k = nistKey{}
}

func (k *nistKey) sign(a kms.SigningAlgorithm, t kms.MessageType, message []byte) ([]byte, error) {
	_, sum, err := digest(a, t, message)
	if err != nil {
		return nil, err
	}
	return ecdsa.SignASN1(rand.Reader, k.key, sum)
}

func (k *nistKey) verify(a kms.SigningAlgorithm, t kms.MessageType, message, signature []byte) error {
	_, sum, err := digest(a, t, message)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(&k.key.PublicKey, sum, signature) {
		return errSignature()
	}
	return nil
}

// SharedSecret returns the raw ECDH shared secret, the x coordinate in full length, with the public
// key of a peer: DER SubjectPublicKeyInfo with an uncompressed point. A key that does not parse, is
// of another curve or not on it is CodeValidation; CodeInvalidKeyUsage for a spec without key
// agreement, CodeSealed.
func (k *Key) SharedSecret(peerSPKI []byte) ([]byte, error) {
	if s, ok := k.spec.Spec(); !ok || !slices.Contains(s.Agreement, kms.ECDH) {
		return nil, errAlgorithm(kms.ECDH, k.spec)
	}
	peer, err := parsePeer(peerSPKI)
	if err != nil {
		return nil, errPeer(k.spec, err)
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	shared, err := k.private.(*nistKey).agree.ECDH(peer)
	if err != nil { // of another curve
		return nil, errPeer(k.spec, err)
	}
	return shared, nil
}

// parsePeer reads a public key; the standard library checks that its point is on the curve.
func parsePeer(spki []byte) (*ecdh.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, err
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("not an elliptic curve public key")
	}
	return public.ECDH()
}

func errPeer(spec kms.KeySpec, cause error) error {
	return kms.Errorf(kms.CodeValidation, "The public key is not a DER-encoded public key of key spec %s.", spec).WithCause(cause)
}

// ecRaw is what an elliptic curve private key says.
type ecRaw struct {
	scalar secret.Bytes // in full length
	public []byte       // the point, empty when it is not there
}

// checkPublic refuses a private key that carries the public key of another.
func (r ecRaw) checkPublic(point []byte) error {
	if len(r.public) == 0 || bytes.Equal(r.public, point) {
		return nil
	}
	half := (len(point) - 1) / 2
	compressed := append([]byte{2 + point[len(point)-1]&1}, point[1:1+half]...)
	if bytes.Equal(r.public, compressed) {
		return nil
	}
	return errors.New("the public key is not that of the private key")
}
