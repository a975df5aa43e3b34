package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	kwp "github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"github.com/lockstep-kms/lockstep/kms"
)

var wrappingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// importer is a node that has a wrapping key.
func importer(t *testing.T) (*node, *rsa.PrivateKey) {
	t.Helper()
	key, err := wrappingKey()
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &node{answers: map[*kms.Operation]any{kms.OpGetParametersForImport: &kms.GetParametersForImportAnswer{
		KeyID: testARN, ImportToken: []byte("the token"), PublicKey: spki, ParametersValidTo: testTime}}}, key
}

// unwrap is what the cluster does with what the command wrapped.
func unwrap(t *testing.T, key *rsa.PrivateKey, algorithm kms.WrappingAlgorithm, blob []byte) []byte {
	t.Helper()
	h := func() hash.Hash {
		if strings.HasSuffix(string(algorithm), "SHA_1") {
			return sha1.New()
		}
		return sha256.New()
	}()
	if strings.HasPrefix(string(algorithm), "RSAES") {
		plain, err := rsa.DecryptOAEP(h, nil, key, blob, nil)
		if err != nil {
			t.Fatal(err)
		}
		return plain
	}
	aes, err := rsa.DecryptOAEP(h, nil, key, blob[:key.Size()], nil)
	if err != nil || len(aes) != 32 {
		t.Fatalf("the AES key: %d bytes, %v", len(aes), err)
	}
	w, err := kwp.NewKWP(aes)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := w.Unwrap(blob[key.Size():])
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// Material arrives wrapped as the cluster was told, with the token that belongs to the wrapping key.
func TestImportWrapsHere(t *testing.T) {
	const material = "0123456789abcdef0123456789abcdef"
	for _, algorithm := range kms.WrappingAlgorithms {
		t.Run(string(algorithm), func(t *testing.T) {
			n, key := importer(t)
			code, stdout, stderr := lockstep(t, serve(t, n), material, "key", "import", "k", "--material", "-",
				"--wrapping-algorithm", string(algorithm), "--wrapping-key-spec", "RSA_2048", "--type", "NEW_KEY_MATERIAL", "--description", "ours")
			if code != 0 || !strings.Contains(stdout, "MATERIAL  0c0d") {
				t.Fatalf("%d %q %q", code, stdout, stderr)
			}
			if r := n.calls[0].Request.(*kms.GetParametersForImportRequest); r.KeyID != "k" || r.WrappingAlgorithm != algorithm || r.WrappingKeySpec != kms.RSA2048 {
				t.Errorf("%+v", r)
			}
			r := n.calls[1].Request.(*kms.ImportKeyMaterialRequest)
			if r.KeyID != "k" || string(r.ImportToken) != "the token" || r.ExpirationModel != kms.MaterialDoesNotExpire || r.ValidTo != nil ||
				r.ImportType != kms.ImportNewMaterial || r.KeyMaterialDescription != "ours" {
				t.Errorf("%+v", r)
			}
			if got := unwrap(t, key, algorithm, r.EncryptedKeyMaterial); string(got) != material {
				t.Errorf("%d bytes arrive", len(got))
			}
		})
	}
}

// The default takes material of every kind; a private key arrives as PKCS #8, however its file spells it.
func TestImportReadsPrivateKeys(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, _ := x509.MarshalECPrivateKey(ec)
	ec8, _ := x509.MarshalPKCS8PrivateKey(ec)
	n, key := importer(t)
	rsa8, _ := x509.MarshalPKCS8PrivateKey(key)
	env := serve(t, n)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, tt := range map[string]struct {
		file string
		want []byte
	}{
		"PKCS #8":         {block("PRIVATE KEY", ec8), ec8},
		"SEC 1":           {block("EC PARAMETERS", []byte{6}) + block("EC PRIVATE KEY", sec1), ec8},
		"PKCS #1":         {block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), rsa8},
		"DER":             {string(ec8), ec8},
		"what is not PEM": {"----BEGIN a key of 32 bytes-----", []byte("----BEGIN a key of 32 bytes-----")},
	} {
		n.calls = nil
		if code, _, stderr := lockstep(t, env, tt.file, "key", "import", "k", "--material", "-"); code != 0 {
			t.Errorf("%s: %q", name, stderr)
			continue
		}
		if r := n.calls[0].Request.(*kms.GetParametersForImportRequest); r.WrappingAlgorithm != kms.WrapRSAAESSHA256 || r.WrappingKeySpec != kms.RSA4096 {
			t.Errorf("%s: %+v", name, r)
		}
		if got := unwrap(t, key, kms.WrapRSAAESSHA256, n.calls[1].Request.(*kms.ImportKeyMaterialRequest).EncryptedKeyMaterial); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %x", name, got)
		}
	}
	for name, tt := range map[string][2]string{
		"a public key":    {block("PUBLIC KEY", ec8), "holds a public key"},
		"encrypted":       {block("ENCRYPTED PRIVATE KEY", ec8), "encrypted private key"},
		"another curve":   {block("EC PRIVATE KEY", []byte{1}), "openssl pkcs8"},
		"parameters only": {block("EC PARAMETERS", []byte{6}), "no private key"},
	} {
		n.calls = nil
		if code, _, stderr := lockstep(t, env, tt[0], "key", "import", "k", "--material", "-"); code != 1 || !strings.Contains(stderr, tt[1]) || len(n.calls) != 0 {
			t.Errorf("%s: %d %q, %d calls", name, code, stderr, len(n.calls))
		}
	}
}

// What cannot be wrapped is said before it is imported.
func TestImportRefusesHere(t *testing.T) {
	n, _ := importer(t)
	env := serve(t, n)
	try := func(material, says string, args ...string) {
		t.Helper()
		n.calls = nil
		code, _, stderr := lockstep(t, env, material, append([]string{"key", "import", "k", "--material", "-"}, args...)...)
		if code != 1 || !strings.Contains(stderr, says) || len(n.calls) > 1 {
			t.Errorf("%d %q, %d calls", code, stderr, len(n.calls))
		}
	}
	try(strings.Repeat("x", 191), "takes at most 190 bytes", "--wrapping-algorithm", "RSAES_OAEP_SHA_256")
	try(strings.Repeat("x", 9000), "cannot be wrapped")
	try("", "cannot be wrapped")
	try("x", `"ROT13" is not known here`, "--wrapping-algorithm", "ROT13")
	n.answers[kms.OpGetParametersForImport] = &kms.GetParametersForImportAnswer{PublicKey: []byte("no key")}
	try(strings.Repeat("x", 32), "not readable")
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	spki, _ := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	n.answers[kms.OpGetParametersForImport] = &kms.GetParametersForImportAnswer{PublicKey: spki}
	try(strings.Repeat("x", 32), "not an RSA key")
	n.refuse = map[*kms.Operation]error{kms.OpGetParametersForImport: kms.Errorf(kms.CodeInvalidState, "It is enabled.")}
	try(strings.Repeat("x", 32), "It is enabled.")
	n, _ = importer(t)
	n.refuse = map[*kms.Operation]error{kms.OpImportKeyMaterial: kms.Errorf(kms.CodeIncorrectKeyMaterial, "It is other material.")}
	if code, _, stderr := lockstep(t, serve(t, n), strings.Repeat("x", 32), "key", "import", "k", "--material", "-"); code != 1 || !strings.Contains(stderr, "other material") {
		t.Errorf("%d %q", code, stderr)
	}
}

// A duration counts from now on, in days too; the exact time is the clock's, so it is compared with bounds.
func TestImportExpires(t *testing.T) {
	n, _ := importer(t)
	env := serve(t, n)
	for text, wait := range map[string]time.Duration{"30d": 30 * 24 * time.Hour, "90m": 90 * time.Minute} {
		n.calls = nil
		before := time.Now().Add(wait).Truncate(time.Second)
		if code, _, stderr := lockstep(t, env, strings.Repeat("x", 32), "key", "import", "k", "--material", "-", "--expires", text); code != 0 {
			t.Fatal(stderr)
		}
		r := n.calls[1].Request.(*kms.ImportKeyMaterialRequest)
		if r.ExpirationModel != kms.MaterialExpires || r.ValidTo == nil || r.ValidTo.Before(before) || r.ValidTo.After(time.Now().Add(wait)) {
			t.Errorf("%s: %s %v", text, r.ExpirationModel, r.ValidTo)
		}
	}
}

// The two steps by hand write and read the bytes themselves; the token is for its owner only.
func TestImportByHand(t *testing.T) {
	n, key := importer(t)
	env, dir := serve(t, n), t.TempDir()
	public, token, wrapped := filepath.Join(dir, "public"), filepath.Join(dir, "token"), filepath.Join(dir, "wrapped")
	if code, _, stderr := lockstep(t, env, "", "key", "import-parameters", "k", "--public-key", public, "--token", token); code != 0 {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	got, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil || !key.PublicKey.Equal(got) {
		t.Fatalf("the wrapping key: %v", err)
	}
	if info, err := os.Stat(token); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token: %v %v", info, err)
	}
	blob, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, got.(*rsa.PublicKey), []byte("material"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(wrapped, blob, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := lockstep(t, env, "", "key", "import-material", "k", "--wrapped", wrapped, "--token", token); code != 0 {
		t.Fatal(stderr)
	}
	r := n.calls[1].Request.(*kms.ImportKeyMaterialRequest)
	if string(r.ImportToken) != "the token" || string(unwrap(t, key, kms.WrapRSAESOAEPSHA256, r.EncryptedKeyMaterial)) != "material" {
		t.Errorf("%+v", r)
	}
	if code, _, _ := lockstep(t, env, "", "key", "import-parameters", "k", "--public-key", public, "--token", token, "--format", "der"); code != 0 {
		t.Fatal("der")
	}
	if der, err := os.ReadFile(public); err != nil || !slices.Equal(der, block.Bytes) {
		t.Errorf("as DER: %v", err)
	}
}

func TestPublicKeyFiles(t *testing.T) {
	n, _ := importer(t)
	env, file := serve(t, n), filepath.Join(t.TempDir(), "public")
	for format, want := range map[string]string{"pem": "-----BEGIN PUBLIC KEY-----\ncHVibGlj\n-----END PUBLIC KEY-----\n", "der": "public"} {
		if code, _, stderr := lockstep(t, env, "", "key", "public-key", "k", "--out", file, "--format", format); code != 0 {
			t.Fatal(stderr)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", format, got, err)
		}
		if code, stdout, _ := lockstep(t, env, "", "key", "public-key", "k", "--format", format); code != 0 || stdout != want {
			t.Errorf("%s: %q", format, stdout)
		}
	}
	if code, _, stderr := lockstep(t, env, "", "key", "public-key", "k", "--out", "/nowhere/public"); code != 1 || !strings.Contains(stderr, "/nowhere/public") {
		t.Errorf("%d %q", code, stderr)
	}
}
