package material

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"io/fs"
	"testing"

	"filippo.io/mldsa"
	"github.com/c2sp/wycheproof"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/lockstep-kms/lockstep/kms"
)

// wycheproofGroup is what the files of Project Wycheproof that are used here have in common: keys of
// a group, in one form or another, and tests of it.
type wycheproofGroup struct {
	PublicKeyDER    hexBytes        `json:"publicKeyDer"`
	PublicKeyASN    hexBytes        `json:"publicKeyAsn"`
	PublicKey       json.RawMessage `json:"publicKey"`
	PrivateKeyPKCS8 hexBytes        `json:"privateKeyPkcs8"`
	PrivateSeed     hexBytes        `json:"privateSeed"`
	KeySize         int             `json:"keySize"`
	TagSize         int             `json:"tagSize"`
	Tests           []struct {
		ID      int      `json:"tcId"`
		Comment string   `json:"comment"`
		Flags   []string `json:"flags"`
		Result  string   `json:"result"` // valid, invalid, acceptable

		Msg     hexBytes `json:"msg"`
		Sig     hexBytes `json:"sig"`
		Ct      hexBytes `json:"ct"`
		Context hexBytes `json:"ctx"`
		Label   hexBytes `json:"label"`
		Key     hexBytes `json:"key"`
		Tag     hexBytes `json:"tag"`
		Public  hexBytes `json:"public"`
		Private hexBytes `json:"private"`
		Shared  hexBytes `json:"shared"`
		Seed    hexBytes `json:"seed"`
		EK      hexBytes `json:"ek"`
		C       hexBytes `json:"c"`
		K       hexBytes `json:"K"`
	} `json:"tests"`
}

// wycheproofGroups reads a file of the module; least guards against a file that lost its tests.
func wycheproofGroups(t *testing.T, name string, least int) []wycheproofGroup {
	t.Helper()
	raw, err := fs.ReadFile(wycheproof.TestVectors, name+"_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []wycheproofGroup `json:"testGroups"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, g := range file.Groups {
		count += len(g.Tests)
	}
	if count < least {
		t.Fatalf("%s has %d tests", name, count)
	}
	return file.Groups
}

// sampled leaves out most vectors of the long files in short mode, which the race detector runs in.
func sampled(i int) bool { return testing.Short() && i%10 != 0 }

// public returns a handle that only verifies.
func public(t *testing.T, spec kms.KeySpec, p private) *Key {
	t.Helper()
	return &Key{spec: spec, open: true, private: p}
}

// verifier returns a handle on the public key of a group.
func verifier(t *testing.T, spec kms.KeySpec, spki []byte) *Key {
	t.Helper()
	if spec == kms.ECCSECGP256K1 {
		var parsed subjectPublicKeyInfo
		if err := unmarshal(spki, &parsed); err != nil {
			t.Fatal(err)
		}
		key, err := secp256k1.ParsePubKey(parsed.PublicKey.RightAlign())
		if err != nil {
			t.Fatal(err)
		}
		k := public(t, spec, &koblitzKey{nil, key})
		if again, err := k.PublicKey(); err != nil || !bytes.Equal(again, spki) {
			t.Errorf("the public key is written as %x instead of %x, error %v", again, spki, err)
		}
		return k
	}
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	switch key := parsed.(type) {
	case *rsa.PublicKey:
		return public(t, spec, &rsaKey{&rsa.PrivateKey{PublicKey: *key}})
	case *ecdsa.PublicKey:
		return public(t, spec, &nistKey{key: &ecdsa.PrivateKey{PublicKey: *key}})
	case ed25519.PublicKey:
		return public(t, spec, &edKey{append(make([]byte, 32), key...)})
	default:
		t.Fatalf("a public key of type %T", parsed)
		return nil
	}
}

func TestWycheproofSignatures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		file  string
		spec  kms.KeySpec
		a     kms.SigningAlgorithm
		least int
	}{
		{"ecdsa_secp256r1_sha256", kms.ECCNISTP256, kms.ECDSASHA256, 400},
		{"ecdsa_secp384r1_sha384", kms.ECCNISTP384, kms.ECDSASHA384, 400},
		{"ecdsa_secp521r1_sha512", kms.ECCNISTP521, kms.ECDSASHA512, 400},
		{"ecdsa_secp256k1_sha256", kms.ECCSECGP256K1, kms.ECDSASHA256, 400},
		{"ed25519", kms.ECCNISTEdwards25519, kms.Ed25519SHA512, 140},
		{"rsa_signature_2048_sha256", kms.RSA2048, kms.RSASSAPKCS1SHA256, 200},
		{"rsa_signature_2048_sha384", kms.RSA2048, kms.RSASSAPKCS1SHA384, 200},
		{"rsa_signature_2048_sha512", kms.RSA2048, kms.RSASSAPKCS1SHA512, 200},
		{"rsa_signature_3072_sha256", kms.RSA3072, kms.RSASSAPKCS1SHA256, 200},
		{"rsa_signature_3072_sha384", kms.RSA3072, kms.RSASSAPKCS1SHA384, 200},
		{"rsa_signature_3072_sha512", kms.RSA3072, kms.RSASSAPKCS1SHA512, 200},
		{"rsa_signature_4096_sha256", kms.RSA4096, kms.RSASSAPKCS1SHA256, 200},
		{"rsa_signature_4096_sha384", kms.RSA4096, kms.RSASSAPKCS1SHA384, 200},
		{"rsa_signature_4096_sha512", kms.RSA4096, kms.RSASSAPKCS1SHA512, 200},
		{"rsa_pss_2048_sha256_mgf1_32", kms.RSA2048, kms.RSASSAPSSSHA256, 100},
		{"rsa_pss_2048_sha384_mgf1_48", kms.RSA2048, kms.RSASSAPSSSHA384, 100},
		{"rsa_pss_3072_sha256_mgf1_32", kms.RSA3072, kms.RSASSAPSSSHA256, 100},
		{"rsa_pss_4096_sha256_mgf1_32", kms.RSA4096, kms.RSASSAPSSSHA256, 100},
		{"rsa_pss_4096_sha384_mgf1_48", kms.RSA4096, kms.RSASSAPSSSHA384, 100},
		{"rsa_pss_4096_sha512_mgf1_64", kms.RSA4096, kms.RSASSAPSSSHA512, 100},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			for _, g := range wycheproofGroups(t, tt.file, tt.least) {
				k := verifier(t, tt.spec, g.PublicKeyDER)
				for i, v := range g.Tests {
					if sampled(i) {
						continue
					}
					err := k.Verify(tt.a, kms.MessageRaw, v.Msg, v.Sig)
					// "acceptable" is a PKCS #1 signature without the NULL, which RFC 8017 lets pass or not.
					if v.Result == "valid" && err != nil || v.Result != "valid" && kms.CodeOf(err) != kms.CodeInvalidSignature {
						t.Errorf("%d (%s): %s, but %v", v.ID, v.Comment, v.Result, err)
					}
				}
			}
		})
	}
}

func TestWycheproofMLDSA(t *testing.T) {
	t.Parallel()
	for spec, name := range map[kms.KeySpec]string{kms.MLDSA44: "mldsa_44", kms.MLDSA65: "mldsa_65", kms.MLDSA87: "mldsa_87"} {
		parameters := map[kms.KeySpec]mldsa.Parameters{kms.MLDSA44: mldsa.MLDSA44(), kms.MLDSA65: mldsa.MLDSA65(), kms.MLDSA87: mldsa.MLDSA87()}[spec]
		for _, g := range wycheproofGroups(t, name+"_verify", 50) {
			var raw hexBytes
			if err := json.Unmarshal(g.PublicKey, &raw); err != nil {
				t.Fatal(err)
			}
			key, err := mldsa.NewPublicKey(parameters, raw)
			if err != nil { // a group of keys that cannot be keys: its tests are invalid
				for _, v := range g.Tests {
					if v.Result == "valid" {
						t.Errorf("%s %d: %v", name, v.ID, err)
					}
				}
				continue
			}
			k := public(t, spec, &mldsaKey{public: key})
			if spki, err := k.PublicKey(); err != nil || len(g.PublicKeyDER) > 0 && !bytes.Equal(spki, g.PublicKeyDER) {
				t.Errorf("%s: the public key is written as %x, error %v", name, spki, err)
			}
			for _, v := range g.Tests {
				if len(v.Context) > 0 {
					continue // AWS KMS signs with an empty context
				}
				if err := k.Verify(kms.MLDSASHAKE256, kms.MessageRaw, v.Msg, v.Sig); (err == nil) != (v.Result == "valid") {
					t.Errorf("%s %d (%s): %s, but %v", name, v.ID, v.Comment, v.Result, err)
				}
			}
		}
		for _, g := range wycheproofGroups(t, name+"_sign_seed", 50) {
			if len(g.PrivateSeed) != mldsaSeedSize {
				_, err := Open(spec, g.PrivateSeed)
				wantCode(t, "a seed of another length", err, kms.CodeUnavailable)
				continue
			}
			k := opened(t, spec, g.PrivateSeed)
			for _, v := range g.Tests {
				if len(v.Context) > 0 || len(v.Msg) == 0 {
					continue // with a context, or made from a mu alone
				}
				if err := k.Verify(kms.MLDSASHAKE256, kms.MessageRaw, v.Msg, v.Sig); (err == nil) != (v.Result == "valid") {
					t.Errorf("%s, signed, %d (%s): %s, but %v", name, v.ID, v.Comment, v.Result, err)
				}
			}
		}
	}
}

func TestWycheproofOAEP(t *testing.T) {
	t.Parallel()
	count := 0
	for _, tt := range []struct {
		file string
		spec kms.KeySpec
		a    kms.EncryptionAlgorithm
	}{
		{"rsa_oaep_2048_sha1_mgf1sha1", kms.RSA2048, kms.RSAESOAEPSHA1}, {"rsa_oaep_2048_sha256_mgf1sha256", kms.RSA2048, kms.RSAESOAEPSHA256},
		{"rsa_oaep_3072_sha256_mgf1sha256", kms.RSA3072, kms.RSAESOAEPSHA256}, {"rsa_oaep_4096_sha256_mgf1sha256", kms.RSA4096, kms.RSAESOAEPSHA256},
	} {
		for _, g := range wycheproofGroups(t, tt.file, 30) {
			k := opened(t, tt.spec, g.PrivateKeyPKCS8)
			for _, v := range g.Tests {
				if len(v.Label) > 0 {
					v.Result = "invalid" // there is no label in AWS KMS
				}
				got, err := k.DecryptOAEP(tt.a, v.Ct)
				if v.Result == "valid" && (err != nil || !bytes.Equal(got, v.Msg)) || v.Result != "valid" && kms.CodeOf(err) != kms.CodeInvalidCiphertext {
					t.Errorf("%s %d (%s): %s, but %x, error %v", tt.file, v.ID, v.Comment, v.Result, got, err)
				}
				count++
			}
		}
	}
	if count < 120 {
		t.Errorf("only %d tests", count)
	}
}

func TestWycheproofHMAC(t *testing.T) {
	t.Parallel()
	count := 0
	for _, tt := range []struct {
		file string
		spec kms.KeySpec
		a    kms.MacAlgorithm
	}{
		{"hmac_sha224", kms.HMAC224, kms.HMACSHA224}, {"hmac_sha256", kms.HMAC256, kms.HMACSHA256},
		{"hmac_sha384", kms.HMAC384, kms.HMACSHA384}, {"hmac_sha512", kms.HMAC512, kms.HMACSHA512},
	} {
		for _, g := range wycheproofGroups(t, tt.file, 100) {
			for _, v := range g.Tests {
				k, err := Open(tt.spec, v.Key)
				if len(v.Key) != macSize(tt.spec) {
					wantCode(t, fmt.Sprintf("%s %d: a key of %d bytes", tt.file, v.ID, len(v.Key)), err, kms.CodeUnavailable)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if g.TagSize != 8*macSize(tt.spec) {
					v.Result = "invalid" // truncated: AWS KMS has full length only
				}
				if err := k.VerifyMac(tt.a, v.Msg, v.Tag); (err == nil) != (v.Result == "valid") {
					t.Errorf("%s %d (%s): %s, but %v", tt.file, v.ID, v.Comment, v.Result, err)
				}
				count++
			}
		}
	}
	if count < 200 {
		t.Errorf("only %d tests", count)
	}
}

func TestWycheproofECDH(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file  string
		spec  kms.KeySpec
		curve elliptic.Curve
	}{
		{"ecdh_secp256r1", kms.ECCNISTP256, elliptic.P256()}, {"ecdh_secp384r1", kms.ECCNISTP384, elliptic.P384()}, {"ecdh_secp521r1", kms.ECCNISTP521, elliptic.P521()},
	} {
		agreed := 0
		for _, g := range wycheproofGroups(t, tt.file, 400) {
			for i, v := range g.Tests {
				if sampled(i) {
					continue
				}
				k := opened(t, tt.spec, ecPKCS8(t, tt.spec, v.Private))
				got, err := k.SharedSecret(v.Public)
				switch {
				case v.Result == "valid" && err != nil && contains(v.Flags, "CompressedPoint"):
					wantCode(t, "a compressed point", err, kms.CodeValidation) // which AWS KMS does not promise to take
				case v.Result == "valid" && (err != nil || !bytes.Equal(got, v.Shared)):
					t.Errorf("%s %d (%s): %x, error %v, cause %v", tt.file, v.ID, v.Comment, got, err, kms.AsError(err).Unwrap())
				case v.Result == "invalid" && kms.CodeOf(err) != kms.CodeValidation:
					t.Errorf("%s %d (%s): %x, error %v", tt.file, v.ID, v.Comment, got, err)
				case v.Result == "acceptable" && err == nil && !bytes.Equal(got, v.Shared):
					t.Errorf("%s %d (%s): %x", tt.file, v.ID, v.Comment, got)
				case err == nil:
					agreed++
				}
			}
		}
		if agreed < 200 && !testing.Short() {
			t.Errorf("%s: only %d tests agreed", tt.file, agreed)
		}
	}
}

// ecPKCS8 wraps a scalar of Wycheproof, which may have a leading zero too many.
func ecPKCS8(t *testing.T, spec kms.KeySpec, scalar []byte) []byte {
	t.Helper()
	_, oid := nistCurve(spec)
	inner, err := asn1.Marshal(ecPrivateKey{Version: 1, PrivateKey: scalar})
	if err != nil {
		t.Fatal(err)
	}
	der, err := encodePKCS8(ecAlgorithm(oid), inner)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestWycheproofMLKEM(t *testing.T) {
	t.Parallel()
	for spec, name := range map[kms.KeySpec]string{kms.MLKEM512: "mlkem_512", kms.MLKEM768: "mlkem_768", kms.MLKEM1024: "mlkem_1024"} {
		valid := 0
		for _, g := range wycheproofGroups(t, name, 100) {
			for _, v := range g.Tests {
				k, err := Open(spec, v.Seed)
				if len(v.Seed) != mlkemSeedSize {
					wantCode(t, fmt.Sprintf("%s %d: a seed of %d bytes", name, v.ID, len(v.Seed)), err, kms.CodeUnavailable)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				got, err := k.Decapsulate(v.C)
				switch {
				case v.Result == "valid" && (err != nil || !bytes.Equal(got, v.K)):
					t.Errorf("%s %d (%s): %x, error %v", name, v.ID, v.Comment, got, err)
				case v.Result == "invalid" && kms.CodeOf(err) != kms.CodeInvalidCiphertext:
					t.Errorf("%s %d (%s): %x, error %v", name, v.ID, v.Comment, got, err)
				case v.Result == "valid":
					valid++
					if ek := k.private.(*mlkemKey).key.Encapsulator().Bytes(); len(v.EK) > 0 && !bytes.Equal(ek, v.EK) {
						t.Errorf("%s %d: another encapsulation key", name, v.ID)
					}
				}
			}
		}
		if valid < 50 {
			t.Errorf("%s: only %d valid tests", name, valid)
		}
	}
}

// Key wrapping goes through Unwrap: the AES key is encrypted to a wrapping key first.
func TestWycheproofKeyWrap(t *testing.T) {
	t.Parallel()
	private := goldenImports(t)[0].Private
	to := wrappingKey(t, private)
	valid := 0
	for _, g := range wycheproofGroups(t, "aes_kwp", 200) {
		if g.KeySize != 8*kekSize {
			continue
		}
		for _, v := range g.Tests {
			got, err := Unwrap(kms.WrapRSAAESSHA256, private, append(oaep(t, to, kms.WrapRSAAESSHA256, v.Key), v.Ct...))
			switch {
			case v.Result == "valid" && len(v.Msg) > 8:
				valid++
				if err != nil || !bytes.Equal(got, v.Msg) {
					t.Errorf("%d (%s): %x, error %v", v.ID, v.Comment, []byte(got), err)
				}
			case kms.CodeOf(err) != kms.CodeInvalidCiphertext: // what fits in one block is no key material either
				t.Errorf("%d (%s): %s, but %x, error %v", v.ID, v.Comment, v.Result, []byte(got), err)
			}
		}
	}
	if valid < 10 {
		t.Errorf("only %d valid tests", valid)
	}
}
