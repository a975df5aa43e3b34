package material

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha3"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/lockstep-kms/lockstep/kms"
)

// A signature of a RAW message is one of its DIGEST too: nothing is hashed twice. Every change of
// message or signature, and every other key, is the same CodeInvalidSignature.
func TestSignatures(t *testing.T) {
	message := []byte("a message")
	for spec, plain := range fixedMaterial(t) {
		s, _ := spec.Spec()
		k := opened(t, spec, plain)
		for _, a := range s.Signing {
			t.Run(fmt.Sprintf("%s/%s", spec, a), func(t *testing.T) {
				forms := map[kms.MessageType][]byte{kms.MessageRaw: message, "": message, kms.MessageDigest: sum(a, message)}
				switch a {
				case kms.Ed25519SHA512, kms.MLDSASHAKE256:
					delete(forms, kms.MessageDigest)
				case kms.Ed25519PHSHA512:
					forms = map[kms.MessageType][]byte{kms.MessageDigest: sum(a, message)}
				}
				for signType, signed := range forms {
					signature, err := k.Sign(a, signType, signed)
					if err != nil {
						t.Fatal(err)
					}
					for verifyType, verified := range forms {
						if err := k.Verify(a, verifyType, verified, signature); err != nil {
							t.Errorf("signed as %q, verified as %q: %v", signType, verifyType, err)
						}
						wrongSignatures(t, k, a, verifyType, verified, signature)
					}
				}
			})
		}
	}
}

func sum(a kms.SigningAlgorithm, message []byte) []byte {
	h := signingHash(a)
	if a == kms.Ed25519PHSHA512 {
		h = signingHash(kms.ECDSASHA512)
	}
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}

func wrongSignatures(t *testing.T, k *Key, a kms.SigningAlgorithm, mt kms.MessageType, message, signature []byte) {
	t.Helper()
	want := errSignature().Error()
	wantError(t, "another message", k.Verify(a, mt, changed(message), signature), want)
	wantError(t, "no signature", k.Verify(a, mt, message, nil), want)
	wantError(t, "a byte more", k.Verify(a, mt, message, append(bytes.Clone(signature), 0)), want)
	wantError(t, "a byte less", k.Verify(a, mt, message, signature[:len(signature)-1]), want)
	for _, at := range []int{0, 1, len(signature) / 2, len(signature) - 1} {
		flipped := bytes.Clone(signature)
		flipped[at] ^= 0x10
		wantError(t, fmt.Sprintf("byte %d changed", at), k.Verify(a, mt, message, flipped), want)
	}
}

func TestMessageTypes(t *testing.T) {
	tests := []struct {
		spec    kms.KeySpec
		a       kms.SigningAlgorithm
		t       kms.MessageType
		size    int
		message string // of the refusal; "" when it is taken
	}{
		{kms.ECCNISTP256, kms.ECDSASHA256, kms.MessageDigest, 32, ""},
		{kms.ECCNISTP256, kms.ECDSASHA256, kms.MessageDigest, 31, "Digest is invalid length for algorithm ECDSA_SHA_256."},
		{kms.ECCNISTP384, kms.ECDSASHA384, kms.MessageDigest, 32, "Digest is invalid length for algorithm ECDSA_SHA_384."},
		{kms.ECCNISTP521, kms.ECDSASHA512, kms.MessageDigest, 66, "Digest is invalid length for algorithm ECDSA_SHA_512."},
		{kms.ECCSECGP256K1, kms.ECDSASHA256, kms.MessageDigest, 33, "Digest is invalid length for algorithm ECDSA_SHA_256."},
		{kms.RSA2048, kms.RSASSAPSSSHA384, kms.MessageDigest, 32, "Digest is invalid length for algorithm RSASSA_PSS_SHA_384."},
		{kms.RSA2048, kms.RSASSAPKCS1SHA512, kms.MessageDigest, 0, "Digest is invalid length for algorithm RSASSA_PKCS1_V1_5_SHA_512."},
		{kms.RSA2048, kms.RSASSAPSSSHA256, kms.MessageExternalMu, 64, "Message type EXTERNAL_MU is not valid for algorithm RSASSA_PSS_SHA_256."},
		{kms.RSA2048, kms.RSASSAPSSSHA256, "HEX", 64, "Message type HEX is not valid for algorithm RSASSA_PSS_SHA_256."},
		{kms.ECCNISTEdwards25519, kms.Ed25519SHA512, kms.MessageRaw, 0, ""},
		{kms.ECCNISTEdwards25519, kms.Ed25519SHA512, kms.MessageDigest, 64, "Message type DIGEST is not valid for algorithm ED25519_SHA_512."},
		{kms.ECCNISTEdwards25519, kms.Ed25519PHSHA512, kms.MessageDigest, 64, ""},
		{kms.ECCNISTEdwards25519, kms.Ed25519PHSHA512, kms.MessageDigest, 32, "Digest is invalid length for algorithm ED25519_PH_SHA_512."},
		{kms.ECCNISTEdwards25519, kms.Ed25519PHSHA512, kms.MessageRaw, 64, "Message type RAW is not valid for algorithm ED25519_PH_SHA_512."},
		{kms.ECCNISTEdwards25519, kms.Ed25519PHSHA512, "", 64, "Message type RAW is not valid for algorithm ED25519_PH_SHA_512."},
		{kms.MLDSA44, kms.MLDSASHAKE256, kms.MessageDigest, 64, "Message type DIGEST is not valid for algorithm ML_DSA_SHAKE_256."},
		{kms.MLDSA65, kms.MLDSASHAKE256, kms.MessageExternalMu, 63, "A message of type EXTERNAL_MU must be 64 bytes long."},
		{kms.MLDSA87, kms.MLDSASHAKE256, kms.MessageRaw, 0, ""},
	}
	for _, tt := range tests {
		k, message := fixed(t, tt.spec), make([]byte, tt.size)
		signature, err := k.Sign(tt.a, tt.t, message)
		if tt.message == "" {
			if err != nil || k.Verify(tt.a, tt.t, message, signature) != nil {
				t.Errorf("%s %s of %d bytes: %v", tt.a, tt.t, tt.size, err)
			}
			continue
		}
		wantError(t, "Sign", err, "validation: "+tt.message)
		wantError(t, "Verify", k.Verify(tt.a, tt.t, message, nil), "validation: "+tt.message)
	}
}

// What is signed from an external mu verifies with the message: mu is SHAKE256(SHAKE256(public key)
// | 0 | length of the context, 0 | message), FIPS 204, 6.2.
func TestExternalMu(t *testing.T) {
	for _, spec := range []kms.KeySpec{kms.MLDSA44, kms.MLDSA65, kms.MLDSA87} {
		k, message := fixed(t, spec), []byte("a message")
		tr := sha3.SumSHAKE256(k.private.(*mldsaKey).public.Bytes(), 64)
		mu := sha3.SumSHAKE256(append(append(tr, 0, 0), message...), 64)
		signature, err := k.Sign(kms.MLDSASHAKE256, kms.MessageExternalMu, mu)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Verify(kms.MLDSASHAKE256, kms.MessageRaw, message, signature); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		wantCode(t, "the mu as a message", k.Verify(kms.MLDSASHAKE256, kms.MessageRaw, mu, signature), kms.CodeInvalidSignature)
		wantCode(t, "verify with mu", k.Verify(kms.MLDSASHAKE256, kms.MessageExternalMu, mu, signature), kms.CodeUnsupported)
	}
}

// Others make signatures with the higher of the two values of s; both are valid.
func TestKoblitzTakesBothValuesOfS(t *testing.T) {
	k, message := fixed(t, kms.ECCSECGP256K1), []byte("a message")
	signature, err := k.Sign(kms.ECDSASHA256, kms.MessageRaw, message)
	if err != nil {
		t.Fatal(err)
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &rs); err != nil {
		t.Fatal(err)
	}
	rs.S.Sub(secp256k1.Params().N, rs.S)
	other, err := asn1.Marshal(rs)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Verify(kms.ECDSASHA256, kms.MessageRaw, message, other); err != nil {
		t.Error(err)
	}
}

// The salt of PSS is as long as the digest, and no other length verifies.
func TestPSSSaltLength(t *testing.T) {
	k := fixed(t, kms.RSA2048)
	key := k.private.(*rsaKey).key
	digest := sum(kms.RSASSAPSSSHA256, []byte("a message"))
	signature, err := k.Sign(kms.RSASSAPSSSHA256, kms.MessageDigest, digest)
	if err != nil {
		t.Fatal(err)
	}
	h := signingHash(kms.RSASSAPSSSHA256)
	if err := rsa.VerifyPSS(&key.PublicKey, h, digest, signature, &rsa.PSSOptions{SaltLength: 32}); err != nil {
		t.Error(err)
	}
	for _, salt := range []int{1, 20, 64} {
		other, err := rsa.SignPSS(rand.Reader, key, h, digest, &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, fmt.Sprintf("salt of %d bytes", salt), k.Verify(kms.RSASSAPSSSHA256, kms.MessageDigest, digest, other), kms.CodeInvalidSignature)
	}
}

// Ed25519 is the pure one and Ed25519ph has no context: the public key verifies both elsewhere.
func TestEd25519IsThatOfTheRFC(t *testing.T) {
	k := fixed(t, kms.ECCNISTEdwards25519)
	spki, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	pure, err := k.Sign(kms.Ed25519SHA512, kms.MessageRaw, []byte("a message"))
	if err != nil || !ed25519.Verify(public.(ed25519.PublicKey), []byte("a message"), pure) {
		t.Errorf("ED25519_SHA_512 is not Ed25519: %v", err)
	}
	prehashed := sum(kms.Ed25519PHSHA512, []byte("a message"))
	wantCode(t, "Ed25519 as Ed25519ph", k.Verify(kms.Ed25519PHSHA512, kms.MessageDigest, prehashed, pure), kms.CodeInvalidSignature)
	made, err := k.Sign(kms.Ed25519PHSHA512, kms.MessageDigest, prehashed)
	if err != nil {
		t.Fatal(err)
	}
	ph := &ed25519.Options{Hash: crypto.SHA512}
	again := sum(kms.Ed25519PHSHA512, prehashed)
	if err := ed25519.VerifyWithOptions(public.(ed25519.PublicKey), again, made, ph); err != nil {
		t.Errorf("ED25519_PH_SHA_512 is not Ed25519ph of the digest: %v", err)
	}
	if ed25519.VerifyWithOptions(public.(ed25519.PublicKey), prehashed, made, ph) == nil {
		t.Error("ED25519_PH_SHA_512 takes the digest for the hash that Ed25519ph makes")
	}
}
