package sdk

//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated, and AWS KMS answers and takes it

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var signCases = map[string]func(*testing.T, *kms.Client){
	"Sign":         sign,
	"Verify":       sign,
	"GenerateMac":  mac,
	"VerifyMac":    mac,
	"GetPublicKey": publicKeys,
}

// publicKey returns the public key of a key, as package x509 reads it.
func publicKey[K any](t *testing.T, c *kms.Client, k *types.KeyMetadata) K {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(call(t, c.GetPublicKey, &kms.GetPublicKeyInput{KeyId: k.KeyId}).PublicKey)
	if err != nil {
		t.Fatalf("the public key is no SPKI: %v", err)
	}
	public, ok := key.(K)
	if !ok {
		t.Fatalf("the public key is a %T", key)
	}
	return public
}

func publicKeys(t *testing.T, c *kms.Client) {
	for _, kind := range kinds {
		k := newKey(t, c, spec(kind.KeySpec, kind.KeyUsage))
		if kind.KeySpec == types.KeySpecSymmetricDefault || kind.MacAlgorithms != nil {
			refused[*types.UnsupportedOperationException](t, c.GetPublicKey, &kms.GetPublicKeyInput{KeyId: k.KeyId}, anything)
			continue
		}
		out := call(t, c.GetPublicKey, &kms.GetPublicKeyInput{KeyId: k.KeyId})
		if len(out.PublicKey) == 0 {
			t.Errorf("%s has no public key", kind.KeySpec)
		}
		out.PublicKey = nil
		want := kms.GetPublicKeyOutput{KeyId: k.Arn, KeySpec: kind.KeySpec, KeyUsage: kind.KeyUsage, CustomerMasterKeySpec: k.CustomerMasterKeySpec,
			EncryptionAlgorithms: kind.EncryptionAlgorithms, SigningAlgorithms: kind.SigningAlgorithms,
			KeyAgreementAlgorithms: kind.KeyAgreementAlgorithms, EncapsulationAlgorithms: kind.EncapsulationAlgorithms, ResultMetadata: out.ResultMetadata}
		equal(t, string(kind.KeySpec), *out, want)
	}
}

// signer is an algorithm and how package crypto verifies its signatures; hash is that of its digests.
type signer struct {
	algorithm types.SigningAlgorithmSpec
	hash      crypto.Hash
	verify    func(public crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool
}

func pss(public crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool {
	return rsa.VerifyPSS(public.(*rsa.PublicKey), hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}

func pkcs1(public crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool {
	return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), hash, digest, signature) == nil
}

func ecdsaASN1(public crypto.PublicKey, _ crypto.Hash, digest, signature []byte) bool {
	return ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest, signature)
}

var signers = map[types.KeySpec][]signer{
	types.KeySpecRsa2048: {
		{types.SigningAlgorithmSpecRsassaPssSha256, crypto.SHA256, pss}, {types.SigningAlgorithmSpecRsassaPssSha384, crypto.SHA384, pss}, {types.SigningAlgorithmSpecRsassaPssSha512, crypto.SHA512, pss},
		{types.SigningAlgorithmSpecRsassaPkcs1V15Sha256, crypto.SHA256, pkcs1}, {types.SigningAlgorithmSpecRsassaPkcs1V15Sha384, crypto.SHA384, pkcs1}, {types.SigningAlgorithmSpecRsassaPkcs1V15Sha512, crypto.SHA512, pkcs1},
	},
	types.KeySpecEccNistP256: {{types.SigningAlgorithmSpecEcdsaSha256, crypto.SHA256, ecdsaASN1}},
	types.KeySpecEccNistP384: {{types.SigningAlgorithmSpecEcdsaSha384, crypto.SHA384, ecdsaASN1}},
	types.KeySpecEccNistP521: {{types.SigningAlgorithmSpecEcdsaSha512, crypto.SHA512, ecdsaASN1}},
}

// sign signs with every algorithm; what package crypto can verify it verifies. MessageType says what the message is: a
// digest is not hashed again, and both ways of saying the same verify each other's signatures. The salt of PSS is as long
// as the digest.
func sign(t *testing.T, c *kms.Client) {
	message := []byte("the message")
	for s, all := range signers {
		k := newKey(t, c, spec(s, types.KeyUsageTypeSignVerify))
		public := publicKey[crypto.PublicKey](t, c, k)
		for _, a := range all {
			h := a.hash.New()
			h.Write(message)
			digest := h.Sum(nil)
			signed := map[types.MessageType][]byte{"": message, types.MessageTypeRaw: message, types.MessageTypeDigest: digest}
			for how, m := range signed {
				out := call(t, c.Sign, &kms.SignInput{KeyId: k.KeyId, Message: m, MessageType: how, SigningAlgorithm: a.algorithm})
				equal(t, "Sign", []any{aws.ToString(out.KeyId), out.SigningAlgorithm}, []any{*k.Arn, a.algorithm})
				if !a.verify(public, a.hash, digest, out.Signature) {
					t.Errorf("%s of %q is not a signature of the message", a.algorithm, how)
				}
				for how, m := range signed {
					v := call(t, c.Verify, &kms.VerifyInput{KeyId: k.KeyId, Message: m, MessageType: how, SigningAlgorithm: a.algorithm, Signature: out.Signature})
					equal(t, "Verify", []any{aws.ToString(v.KeyId), v.SignatureValid, v.SigningAlgorithm}, []any{*k.Arn, true, a.algorithm})
				}
			}
		}
	}
	k := newKey(t, c, spec(types.KeySpecEccNistEdwards25519, types.KeyUsageTypeSignVerify))
	public := publicKey[ed25519.PublicKey](t, c, k)
	out := call(t, c.Sign, &kms.SignInput{KeyId: k.KeyId, Message: message, SigningAlgorithm: types.SigningAlgorithmSpecEd25519Sha512})
	if !ed25519.Verify(public, message, out.Signature) {
		t.Error("ED25519_SHA_512 is not a signature of the message")
	}
	digest := sha512.Sum512(message)
	twice := sha512.Sum512(digest[:]) // the one exception: Ed25519ph takes the digest for its message, as the SDK's documentation of MessageType says
	out = call(t, c.Sign, &kms.SignInput{KeyId: k.KeyId, Message: digest[:], MessageType: types.MessageTypeDigest, SigningAlgorithm: types.SigningAlgorithmSpecEd25519PhSha512})
	if err := ed25519.VerifyWithOptions(public, twice[:], out.Signature, &ed25519.Options{Hash: crypto.SHA512}); err != nil {
		t.Errorf("ED25519_PH_SHA_512: %v", err)
	}
	for s, a := range map[types.KeySpec]types.SigningAlgorithmSpec{types.KeySpecEccSecgP256k1: types.SigningAlgorithmSpecEcdsaSha256, types.KeySpecMlDsa44: types.SigningAlgorithmSpecMlDsaShake256,
		types.KeySpecMlDsa65: types.SigningAlgorithmSpecMlDsaShake256, types.KeySpecMlDsa87: types.SigningAlgorithmSpecMlDsaShake256} {
		k := newKey(t, c, spec(s, types.KeyUsageTypeSignVerify))
		out := call(t, c.Sign, &kms.SignInput{KeyId: k.KeyId, Message: message, SigningAlgorithm: a})
		v := call(t, c.Verify, &kms.VerifyInput{KeyId: k.KeyId, Message: message, SigningAlgorithm: a, Signature: out.Signature})
		equal(t, "Verify", []any{aws.ToString(v.KeyId), v.SignatureValid, v.SigningAlgorithm}, []any{*k.Arn, true, a})
	}
}

// TestDigests shows that a digest has to be as long as the algorithm's, and that the digest of a digest is not what is
// signed.
func TestDigests(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c, spec(types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify))
	digest := sha256.Sum256([]byte("the message"))
	out := call(t, c.Sign, &kms.SignInput{KeyId: k.KeyId, Message: digest[:], MessageType: types.MessageTypeDigest, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	twice := sha256.Sum256(digest[:])
	if ecdsa.VerifyASN1(publicKey[*ecdsa.PublicKey](t, c, k), twice[:], out.Signature) {
		t.Error("the digest was hashed again")
	}
	refused[*types.KMSInvalidSignatureException](t, c.Verify, &kms.VerifyInput{KeyId: k.KeyId, Message: digest[:], MessageType: types.MessageTypeRaw,
		SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256, Signature: out.Signature}, "")
	refusedAs(t, "ValidationException", c.Sign, &kms.SignInput{KeyId: k.KeyId, Message: digest[:31], MessageType: types.MessageTypeDigest, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256},
		"Digest is invalid length for algorithm ECDSA_SHA_256.")
}

func mac(t *testing.T, c *kms.Client) {
	message := []byte(strings.Repeat("m", 4096))
	for s, a := range map[types.KeySpec]types.MacAlgorithmSpec{types.KeySpecHmac224: types.MacAlgorithmSpecHmacSha224, types.KeySpecHmac256: types.MacAlgorithmSpecHmacSha256,
		types.KeySpecHmac384: types.MacAlgorithmSpecHmacSha384, types.KeySpecHmac512: types.MacAlgorithmSpecHmacSha512} {
		k := newKey(t, c, spec(s, types.KeyUsageTypeGenerateVerifyMac))
		out := call(t, c.GenerateMac, &kms.GenerateMacInput{KeyId: k.KeyId, Message: message, MacAlgorithm: a})
		size := map[types.KeySpec]int{types.KeySpecHmac224: 28, types.KeySpecHmac256: 32, types.KeySpecHmac384: 48, types.KeySpecHmac512: 64}[s]
		equal(t, "GenerateMac", []any{aws.ToString(out.KeyId), out.MacAlgorithm, len(out.Mac)}, []any{*k.Arn, a, size})
		for range 3 {
			v := call(t, c.VerifyMac, &kms.VerifyMacInput{KeyId: k.Arn, Message: message, MacAlgorithm: a, Mac: out.Mac})
			equal(t, "VerifyMac", []any{aws.ToString(v.KeyId), v.MacValid, v.MacAlgorithm}, []any{*k.Arn, true, a})
		}
	}
}

// TestExternalMu shows that a message of type EXTERNAL_MU is the representative of FIPS 204, section 6.2, of the message: the
// signature is one of the message itself.
func TestExternalMu(t *testing.T) {
	c, _ := client(t)
	message := []byte("the message")
	for _, s := range []types.KeySpec{types.KeySpecMlDsa44, types.KeySpecMlDsa65, types.KeySpecMlDsa87} {
		k := newKey(t, c, spec(s, types.KeyUsageTypeSignVerify))
		var spki struct {
			Algorithm asn1.RawValue
			Key       asn1.BitString
		}
		if _, err := asn1.Unmarshal(call(t, c.GetPublicKey, &kms.GetPublicKeyInput{KeyId: k.KeyId}).PublicKey, &spki); err != nil {
			t.Fatal(err)
		}
		key := sha3.SumSHAKE256(spki.Key.Bytes, 64)
		mu := sha3.SumSHAKE256(slices.Concat(key, []byte{0, 0}, message), 64)
		out := call(t, c.Sign, &kms.SignInput{KeyId: k.KeyId, Message: mu, MessageType: types.MessageTypeExternalMu, SigningAlgorithm: types.SigningAlgorithmSpecMlDsaShake256})
		call(t, c.Verify, &kms.VerifyInput{KeyId: k.KeyId, Message: message, SigningAlgorithm: types.SigningAlgorithmSpecMlDsaShake256, Signature: out.Signature})
		refusedAs(t, "ValidationException", c.Sign, &kms.SignInput{KeyId: k.KeyId, Message: mu[1:], MessageType: types.MessageTypeExternalMu, SigningAlgorithm: types.SigningAlgorithmSpecMlDsaShake256}, anything)
	}
}
