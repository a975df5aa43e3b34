package integration

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/kms"
)

// uses are those of a key of a spec, by algorithm.
func uses(key string, spec kms.KeySpec, usage kms.KeyUsage) map[string]func(context.Context, turns) error {
	all := map[string]func(context.Context, turns) error{}
	s, _ := spec.Spec()
	switch usage {
	case kms.EncryptDecrypt:
		for _, a := range s.Encryption {
			all[string(a)] = func(ctx context.Context, nodes turns) error {
				if a == kms.AlgorithmSymmetricDefault {
					return roundTrip(ctx, key, nodes(), nodes())
				}
				return oaep(ctx, nodes, key, a)
			}
		}
	case kms.SignVerify:
		for _, a := range s.Signing {
			all[string(a)] = func(ctx context.Context, nodes turns) error { return signed(ctx, nodes, key, a) }
		}
	case kms.GenerateVerifyMac:
		for _, a := range s.Mac {
			all[string(a)] = func(ctx context.Context, nodes turns) error { return maced(ctx, nodes, key, a) }
		}
	case kms.KeyAgreement:
		all["ECDH"] = func(ctx context.Context, nodes turns) error { return derived(ctx, nodes, key) }
	case kms.EncapsulateDecapsulate:
		all["ML_KEM"] = func(ctx context.Context, nodes turns) error { return encapsulated(ctx, nodes, key) }
	}
	return all
}

var errDiffer = errors.New("the two sides differ")

// public gets a public key. Those that crypto/x509 does not know come as the bit string in them.
func public(ctx context.Context, cl *client.Client, key string) (parsed any, spec kms.KeySpec, err error) {
	a, err := cl.GetPublicKey(ctx, &kms.GetPublicKeyRequest{KeyID: key})
	if err != nil {
		return nil, "", err
	}
	if parsed, err = x509.ParsePKIXPublicKey(a.PublicKey); err == nil {
		return parsed, a.KeySpec, nil
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if rest, err := asn1.Unmarshal(a.PublicKey, &info); err != nil || len(rest) > 0 {
		return nil, "", fmt.Errorf("the public key of %s is not one: %w", a.KeySpec, err)
	}
	return info.PublicKey.Bytes, a.KeySpec, nil
}

// oaep encrypts on a node and outside of the cluster, and decrypts on others.
func oaep(ctx context.Context, nodes turns, key string, a kms.EncryptionAlgorithm) error {
	text := []byte(rand.Text())
	e, err := nodes().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: text, EncryptionAlgorithm: a})
	if err != nil {
		return err
	}
	of, _, err := public(ctx, nodes(), key)
	if err != nil {
		return err
	}
	hash := map[kms.EncryptionAlgorithm]crypto.Hash{kms.RSAESOAEPSHA1: crypto.SHA1, kms.RSAESOAEPSHA256: crypto.SHA256}[a]
	outside, err := rsa.EncryptOAEP(hash.New(), rand.Reader, of.(*rsa.PublicKey), text, nil)
	if err != nil {
		return err
	}
	for _, ciphertext := range [][]byte{e.CiphertextBlob, outside} {
		d, err := nodes().Decrypt(ctx, &kms.DecryptRequest{KeyID: key, CiphertextBlob: ciphertext, EncryptionAlgorithm: a})
		if err != nil {
			return err
		}
		if !bytes.Equal(d.Plaintext, text) {
			return errDiffer
		}
	}
	return nil
}

// signed signs on a node, verifies on another and outside of the cluster, and sees another message refused.
func signed(ctx context.Context, nodes turns, key string, a kms.SigningAlgorithm) error {
	message, form := []byte(rand.Text()), kms.MessageRaw
	if a == kms.Ed25519PHSHA512 {
		digest := sha512.Sum512(message)
		message, form = digest[:], kms.MessageDigest
	}
	s, err := nodes().Sign(ctx, &kms.SignRequest{KeyID: key, Message: message, MessageType: form, SigningAlgorithm: a})
	if err != nil {
		return err
	}
	v, err := nodes().Verify(ctx, &kms.VerifyRequest{KeyID: key, Message: message, MessageType: form, Signature: s.Signature, SigningAlgorithm: a})
	if err != nil || !v.SignatureValid {
		return fmt.Errorf("verifying: %+v, %w", v, err)
	}
	of, _, err := public(ctx, nodes(), key)
	if err != nil {
		return err
	}
	if !verifiedOutside(of, a, message, s.Signature) {
		return errors.New("crypto/x509 and its kin do not verify it")
	}
	message[0] ^= 1
	_, err = nodes().Verify(ctx, &kms.VerifyRequest{KeyID: key, Message: message, MessageType: form, Signature: s.Signature, SigningAlgorithm: a})
	if kms.CodeOf(err) != kms.CodeInvalidSignature {
		return fmt.Errorf("verifying another message: %w", err)
	}
	return nil
}

// verifiedOutside verifies with the standard library, which has no secp256k1 and no ML-DSA.
func verifiedOutside(of any, a kms.SigningAlgorithm, message, signature []byte) bool {
	hash := crypto.SHA256
	switch {
	case strings.HasSuffix(string(a), "384"):
		hash = crypto.SHA384
	case strings.HasSuffix(string(a), "512"):
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(message)
	digest := h.Sum(nil)
	switch k := of.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, signature)
	case *rsa.PublicKey:
		if strings.HasPrefix(string(a), "RSASSA_PSS") {
			return rsa.VerifyPSS(k, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(k, hash, digest, signature) == nil
	case ed25519.PublicKey:
		if a == kms.Ed25519PHSHA512 {
			return ed25519.VerifyWithOptions(k, digest, signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
		}
		return ed25519.Verify(k, message, signature)
	}
	return len(of.([]byte)) > 0
}

// maced makes an HMAC on a node and checks it on others.
func maced(ctx context.Context, nodes turns, key string, a kms.MacAlgorithm) error {
	m, err := nodes().GenerateMac(ctx, &kms.GenerateMacRequest{KeyID: key, Message: []byte("m"), MacAlgorithm: a})
	if err != nil {
		return err
	}
	v, err := nodes().VerifyMac(ctx, &kms.VerifyMacRequest{KeyID: key, Message: []byte("m"), Mac: m.Mac, MacAlgorithm: a})
	if err != nil || !v.MacValid {
		return fmt.Errorf("verifying: %+v, %w", v, err)
	}
	m.Mac[0] ^= 1
	if _, err = nodes().VerifyMac(ctx, &kms.VerifyMacRequest{KeyID: key, Message: []byte("m"), Mac: m.Mac, MacAlgorithm: a}); kms.CodeOf(err) != kms.CodeInvalidMac {
		return fmt.Errorf("verifying another HMAC: %w", err)
	}
	return nil
}

// derived derives the secret shared with a key outside of the cluster, on two nodes.
func derived(ctx context.Context, nodes turns, key string) error {
	of, _, err := public(ctx, nodes(), key)
	if err != nil {
		return err
	}
	theirs, err := of.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		return err
	}
	own, err := theirs.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	secret, err := own.ECDH(theirs)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(own.Public().(*ecdh.PublicKey))
	if err != nil {
		return err
	}
	for range 2 {
		d, err := nodes().DeriveSharedSecret(ctx, &kms.DeriveSharedSecretRequest{KeyID: key, PublicKey: spki, KeyAgreementAlgorithm: kms.ECDH})
		if err != nil {
			return err
		}
		if !bytes.Equal(d.SharedSecret, secret) {
			return errDiffer
		}
	}
	return nil
}

// encapsulated encapsulates on a node and, where the standard library can, outside, and decapsulates on others.
func encapsulated(ctx context.Context, nodes turns, key string) error {
	e, err := nodes().Encapsulate(ctx, &kms.EncapsulateRequest{KeyID: key, EncapsulationAlgorithm: kms.MLKEM})
	if err != nil {
		return err
	}
	of, spec, err := public(ctx, nodes(), key)
	if err != nil {
		return err
	}
	pairs := [][2][]byte{{e.SharedSecret, e.SharedSecretCiphertextBlob}}
	var outside interface {
		Encapsulate() (shared, ciphertext []byte)
	}
	switch spec {
	case kms.MLKEM768:
		outside, err = mlkem.NewEncapsulationKey768(of.([]byte))
	case kms.MLKEM1024:
		outside, err = mlkem.NewEncapsulationKey1024(of.([]byte))
	}
	if err != nil {
		return err
	}
	if outside != nil {
		shared, ciphertext := outside.Encapsulate()
		pairs = append(pairs, [2][]byte{shared, ciphertext})
	}
	for _, p := range pairs {
		d, err := nodes().Decapsulate(ctx, &kms.DecapsulateRequest{KeyID: key, SharedSecretCiphertextBlob: p[1], EncapsulationAlgorithm: kms.MLKEM})
		if err != nil {
			return err
		}
		if !bytes.Equal(d.SharedSecret, p[0]) {
			return errDiffer
		}
	}
	return nil
}
