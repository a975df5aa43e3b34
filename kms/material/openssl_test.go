package material

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// openssl is the command line of another implementation, in a directory of its own.
type openssl struct {
	t   *testing.T
	dir string
}

func newOpenSSL(t *testing.T) openssl {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("openssl is not installed here; the golden vectors in testdata were made with it")
	}
	return openssl{t, t.TempDir()}
}

// file writes a file for openssl and returns its path.
func (o openssl) file(name string, content []byte) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// try runs openssl, run must succeed.
func (o openssl) try(args ...string) ([]byte, error) {
	o.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("openssl", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("openssl %s: %w\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.Bytes(), nil
}

func (o openssl) run(args ...string) []byte {
	o.t.Helper()
	out, err := o.try(args...)
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

func (o openssl) knows(algorithm string) bool {
	o.t.Helper()
	all := append(o.run("list", "-signature-algorithms"), o.run("list", "-kem-algorithms")...)
	return strings.Contains(string(all), algorithm)
}

// interopPair returns a data key pair of a spec; long RSA ones are fixed, since they take seconds.
func interopPair(t *testing.T, spec kms.KeySpec) Pair {
	t.Helper()
	if spec == kms.RSA3072 || spec == kms.RSA4096 {
		plain := fixedMaterial(t)[spec]
		spki, err := opened(t, spec, plain).PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return Pair{plain, spki}
	}
	pair, err := GeneratePair(spec)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// opensslOptions says a signature algorithm in the words of pkeyutl.
func opensslOptions(a kms.SigningAlgorithm) []string {
	if a == kms.Ed25519SHA512 || a == kms.MLDSASHAKE256 {
		return []string{"-rawin"}
	}
	options := []string{"-pkeyopt", "digest:" + strings.ToLower(strings.ReplaceAll(signingHash(a).String(), "-", ""))}
	if isPSS(a) {
		options = append(options, "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest")
	}
	return options
}

// With every asymmetric spec of its version: openssl reads our keys, verifies our signatures and
// makes ones that verify here.
func TestOpenSSLSignatures(t *testing.T) {
	t.Parallel()
	for _, spec := range allSpecs() {
		s, _ := spec.Spec()
		if len(s.Signing) == 0 || spec == kms.MLDSA44 || spec == kms.MLDSA65 || spec == kms.MLDSA87 {
			continue // ML-DSA is below
		}
		t.Run(string(spec), func(t *testing.T) {
			o := newOpenSSL(t)
			pair := interopPair(t, spec)
			k := opened(t, spec, pair.Private)
			private, public := o.file("private.der", pair.Private), o.file("public.der", pair.Public)
			if got := o.run("pkey", "-inform", "DER", "-in", private, "-pubout", "-outform", "DER"); !bytes.Equal(got, pair.Public) {
				t.Errorf("openssl derives the public key %x", got)
			}
			if got := o.run("pkey", "-pubin", "-inform", "DER", "-in", public, "-pubout", "-outform", "DER"); !bytes.Equal(got, pair.Public) {
				t.Errorf("openssl rewrites the public key as %x", got)
			}
			o.run("pkey", "-inform", "DER", "-in", private, "-check", "-noout")
			for _, a := range s.Signing {
				if a == kms.Ed25519PHSHA512 {
					continue // before openssl 3.2 there is no Ed25519ph: its golden vector is that of RFC 8032
				}
				checkOpenSSLSignature(t, o, k, a, private, public)
			}
		})
	}
}

func checkOpenSSLSignature(t *testing.T, o openssl, k *Key, a kms.SigningAlgorithm, private, public string) {
	t.Helper()
	message := []byte("interoperable with " + string(a))
	signed := message
	if a != kms.Ed25519SHA512 && a != kms.MLDSASHAKE256 {
		signed = sum(a, message)
	}
	in := o.file("signed", signed)
	ours, err := k.Sign(a, kms.MessageRaw, message)
	if err != nil {
		t.Fatal(err)
	}
	verify := append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", public, "-keyform", "DER", "-in", in, "-sigfile", o.file("ours", ours)}, opensslOptions(a)...)
	if _, err := o.try(verify...); err != nil {
		t.Errorf("openssl does not verify %s of ours: %v", a, err)
	}
	theirs := o.run(append([]string{"pkeyutl", "-sign", "-inkey", private, "-keyform", "DER", "-in", in}, opensslOptions(a)...)...)
	if err := k.Verify(a, kms.MessageRaw, message, theirs); err != nil {
		t.Errorf("%s of openssl: %v", a, err)
	}
}

func TestOpenSSLEncryption(t *testing.T) {
	t.Parallel()
	for _, spec := range []kms.KeySpec{kms.RSA2048, kms.RSA3072, kms.RSA4096} {
		o, plain := newOpenSSL(t), fixedMaterial(t)[spec]
		k := opened(t, spec, plain)
		spki, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		private, public := o.file("private.der", plain), o.file("public.der", spki)
		for a, md := range map[kms.EncryptionAlgorithm]string{kms.RSAESOAEPSHA1: "sha1", kms.RSAESOAEPSHA256: "sha256"} {
			options := []string{"-keyform", "DER", "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:" + md, "-pkeyopt", "rsa_mgf1_md:" + md}
			message := random(MaxOAEP(spec, a))
			theirs := o.run(append([]string{"pkeyutl", "-encrypt", "-pubin", "-inkey", public, "-in", o.file("message", message)}, options...)...)
			if got, err := k.DecryptOAEP(a, theirs); err != nil || !bytes.Equal(got, message) {
				t.Errorf("%s of %s by openssl: %x, error %v", a, spec, got, err)
			}
			ours, err := k.EncryptOAEP(a, message)
			if err != nil {
				t.Fatal(err)
			}
			if got := o.run(append([]string{"pkeyutl", "-decrypt", "-inkey", private, "-in", o.file("ours", ours)}, options...)...); !bytes.Equal(got, message) {
				t.Errorf("%s of %s of ours opens to %x", a, spec, got)
			}
		}
	}
}

func TestOpenSSLAgreement(t *testing.T) {
	t.Parallel()
	for spec, curve := range map[kms.KeySpec]string{kms.ECCNISTP256: "P-256", kms.ECCNISTP384: "P-384", kms.ECCNISTP521: "P-521"} {
		o, pair := newOpenSSL(t), interopPair(t, spec)
		theirs := o.file("theirs.der", o.run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:"+curve, "-outform", "DER"))
		theirPublic := o.run("pkey", "-inform", "DER", "-in", theirs, "-pubout", "-outform", "DER")
		want := o.run("pkeyutl", "-derive", "-inkey", theirs, "-keyform", "DER", "-peerkey", o.file("public.der", pair.Public), "-peerform", "DER")
		if got, err := opened(t, spec, pair.Private).SharedSecret(theirPublic); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x, error %v", spec, got, want, err)
		}
	}
}

// What a customer makes with openssl by the documentation of AWS KMS is imported.
func TestOpenSSLImports(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	wrapping, wrappingPublic, err := Wrapping(kms.RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	to := o.file("wrapping.der", wrappingPublic)
	for _, tt := range []struct {
		spec  kms.KeySpec
		make  []string
		taken bool
	}{
		{kms.RSA2048, []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}, true},
		{kms.RSA2048, []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"}, false},
		{kms.RSA2048, []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2047"}, false},
		{kms.RSA2048, []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_primes:3"}, false},
		{kms.RSA2048, []string{"-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"}, false},
		{kms.ECCNISTP256, []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, true},
		{kms.ECCNISTP256, []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"}, false},
		{kms.ECCNISTP256, []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"}, false},
		{kms.ECCNISTP521, []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"}, true},
		{kms.ECCSECGP256K1, []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"}, true},
		{kms.ECCNISTEdwards25519, []string{"-algorithm", "ED25519"}, true},
		{kms.ECCNISTEdwards25519, []string{"-algorithm", "X25519"}, false},
	} {
		made := o.file("made.der", o.run(append([]string{"genpkey", "-outform", "DER"}, tt.make...)...))
		der := o.run("pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-in", made, "-outform", "DER")
		kek := random(kekSize)
		wrappedKEK := o.run("pkeyutl", "-encrypt", "-pubin", "-inkey", to, "-keyform", "DER", "-in", o.file("kek", kek),
			"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256")
		wrapped := o.run("enc", "-id-aes256-wrap-pad", "-K", hex.EncodeToString(kek), "-iv", "A65959A6", "-in", o.file("key.der", der))
		plain, err := Unwrap(kms.WrapRSAAESSHA256, wrapping, append(wrappedKEK, wrapped...))
		if err != nil || !bytes.Equal(plain, der) {
			t.Errorf("%v: unwrapped to %d bytes, error %v", tt.make, len(plain), err)
			continue
		}
		stored, err := ParseImport(tt.spec, plain)
		if !tt.taken {
			wantCode(t, fmt.Sprint(tt.make), err, kms.CodeIncorrectKeyMaterial)
			continue
		}
		if err != nil {
			t.Errorf("%v: %v, cause %v", tt.make, err, kms.AsError(err).Unwrap())
			continue
		}
		want := o.run("pkey", "-inform", "DER", "-in", made, "-pubout", "-outform", "DER")
		if got, err := opened(t, tt.spec, stored).PublicKey(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: public key %x, error %v", tt.make, got, err)
		}
	}
}

func TestOpenSSLPostQuantum(t *testing.T) {
	t.Parallel()
	o := newOpenSSL(t)
	if !o.knows("ML-DSA-44") || !o.knows("ML-KEM-512") {
		t.Skipf("%s has neither ML-DSA nor ML-KEM, which came with openssl 3.5; golden vectors of another implementation are in testdata", bytes.TrimSpace(o.run("version")))
	}
	for _, spec := range []kms.KeySpec{kms.MLDSA44, kms.MLDSA65, kms.MLDSA87} {
		k := fixed(t, spec)
		spki, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		message := []byte("a message")
		signature, err := k.Sign(kms.MLDSASHAKE256, kms.MessageRaw, message)
		if err != nil {
			t.Fatal(err)
		}
		o.run("pkeyutl", "-verify", "-pubin", "-inkey", o.file("public.der", spki), "-keyform", "DER", "-rawin", "-in", o.file("message", message), "-sigfile", o.file("signature", signature))
	}
	for _, spec := range []kms.KeySpec{kms.MLKEM512, kms.MLKEM768, kms.MLKEM1024} {
		pair := interopPair(t, spec)
		if got := o.run("pkey", "-inform", "DER", "-in", o.file("private.der", pair.Private), "-pubout", "-outform", "DER"); !bytes.Equal(got, pair.Public) {
			t.Errorf("%s: openssl derives the public key %x", spec, got)
		}
	}
}
