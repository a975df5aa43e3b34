package libraries

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/awskms"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// TestSmallstep makes signing keys as step-ca does and signs with them.
func TestSmallstep(t *testing.T) {
	c := cluster.Get(t)
	c.Setenv(t)
	for _, tc := range []struct {
		name string
		alg  apiv1.SignatureAlgorithm
		bits int
		opts crypto.SignerOpts
	}{
		{"default", apiv1.UnspecifiedSignAlgorithm, 0, crypto.SHA256},
		{"P-384", apiv1.ECDSAWithSHA384, 0, crypto.SHA384},
		{"P-521", apiv1.ECDSAWithSHA512, 0, crypto.SHA512},
		{"Ed25519", apiv1.PureEd25519, 0, crypto.Hash(0)},
		{"RSA", apiv1.SHA256WithRSA, 2048, crypto.SHA256},
		{"RSA PSS", apiv1.SHA512WithRSAPSS, 3072, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, err := awskms.New(within(t), apiv1.Options{URI: "awskms:region=" + c.Region})
			if err != nil {
				t.Fatal(err)
			}
			created, err := k.CreateKey(&apiv1.CreateKeyRequest{
				Name: "awskms:name=step-" + strings.ToLower(rand.Text()), SignatureAlgorithm: tc.alg, Bits: tc.bits,
			})
			if err != nil {
				t.Fatal(err)
			}
			signer, err := k.CreateSigner(&created.CreateSignerRequest)
			if err != nil {
				t.Fatal(err)
			}
			if !signer.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(created.PublicKey) {
				t.Error("the signer has another public key than the one created")
			}
			message := []byte("what is signed")
			digest := message
			if h := tc.opts.HashFunc(); h != 0 {
				digest = sum(h, message)
			}
			sig, err := signer.Sign(rand.Reader, digest, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			if !verifies(signer.Public(), digest, sig, tc.opts) {
				t.Error("the signature does not verify")
			}
			sig[len(sig)-1] ^= 1
			if verifies(signer.Public(), digest, sig, tc.opts) {
				t.Error("a changed signature verifies")
			}
		})
	}
}

func sum(h crypto.Hash, message []byte) []byte {
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}

// verifies checks a signature with the standard library.
func verifies(public crypto.PublicKey, digest, sig []byte, opts crypto.SignerOpts) bool {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, sig)
	case ed25519.PublicKey:
		return ed25519.Verify(k, digest, sig)
	case *rsa.PublicKey:
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(k, pss.Hash, digest, sig, pss) == nil
		}
		return rsa.VerifyPKCS1v15(k, opts.HashFunc(), digest, sig) == nil
	}
	return false
}

// TestSmallstepCA issues a certificate authority's certificate with a key that never leaves the cluster.
func TestSmallstepCA(t *testing.T) {
	c := cluster.Get(t)
	c.Setenv(t)
	k, err := awskms.New(within(t), apiv1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	created, err := k.CreateKey(&apiv1.CreateKeyRequest{Name: "root-ca", SignatureAlgorithm: apiv1.ECDSAWithSHA256})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := k.CreateSigner(&created.CreateSignerRequest)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		t.Error(err)
	}
}

// TestSmallstepDecrypter decrypts what was encrypted with the public key outside the cluster.
func TestSmallstepDecrypter(t *testing.T) {
	c := cluster.Get(t)
	c.Setenv(t)
	arn := newKey(t, c, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt)
	k, err := awskms.New(within(t), apiv1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	decrypter, err := k.CreateDecrypter(&apiv1.CreateDecrypterRequest{DecryptionKey: "awskms:key-id=" + arn[strings.LastIndex(arn, "/")+1:]})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		sealed, err := rsa.EncryptOAEP(h.New(), rand.Reader, decrypter.Public().(*rsa.PublicKey), []byte("a secret"), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decrypter.Decrypt(nil, sealed, &rsa.OAEPOptions{Hash: h})
		if err != nil || string(got) != "a secret" {
			t.Errorf("%v: decrypted to %q, %v", h, got, err)
		}
	}
	digest := sha256.Sum256([]byte("x"))
	if _, err := decrypter.Decrypt(nil, digest[:], &rsa.OAEPOptions{Hash: crypto.SHA256}); err == nil || !strings.Contains(err.Error(), "InvalidCiphertextException") {
		t.Errorf("what is no ciphertext: %v", err)
	}
}
