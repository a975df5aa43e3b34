package material

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

func TestMaxOAEP(t *testing.T) {
	tests := []struct {
		spec         kms.KeySpec
		sha1, sha256 int
	}{
		{kms.RSA2048, 214, 190}, {kms.RSA3072, 342, 318}, {kms.RSA4096, 470, 446},
		{kms.SymmetricDefault, 0, 0}, {kms.ECCNISTP256, 0, 0}, {kms.SM2, 0, 0},
	}
	for _, tt := range tests {
		for a, want := range map[kms.EncryptionAlgorithm]int{kms.RSAESOAEPSHA1: tt.sha1, kms.RSAESOAEPSHA256: tt.sha256} {
			if got := MaxOAEP(tt.spec, a); got != want {
				t.Errorf("%s with %s: %d bytes, want %d", a, tt.spec, got, want)
			}
			if want == 0 {
				continue
			}
			k := fixed(t, tt.spec)
			for _, size := range []int{0, 1, want} {
				plaintext := bytes.Repeat([]byte{7}, size)
				ct, err := k.EncryptOAEP(a, plaintext)
				if err != nil {
					t.Fatal(err)
				}
				if back, err := k.DecryptOAEP(a, ct); err != nil || !bytes.Equal(back, plaintext) {
					t.Errorf("%s with %s, %d bytes: %x, error %v", a, tt.spec, size, back, err)
				}
			}
			_, err := k.EncryptOAEP(a, make([]byte, want+1))
			wantError(t, "too long", err, fmt.Sprintf("validation: Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", a, tt.spec, want))
		}
	}
}

// oaepFailures is every way in which an RSA ciphertext can be wrong.
func oaepFailures(t *testing.T, k *Key) map[string][]byte {
	t.Helper()
	public := &k.private.(*rsaKey).key.PublicKey
	good, err := k.EncryptOAEP(kms.RSAESOAEPSHA256, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	labelled, err := rsa.EncryptOAEP(oaepHash(kms.RSAESOAEPSHA256).New(), rand.Reader, public, []byte("text"), []byte("label"))
	if err != nil {
		t.Fatal(err)
	}
	otherHash, err := k.EncryptOAEP(kms.RSAESOAEPSHA1, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{
		"a label": labelled, "another hash": otherHash, "nothing": nil,
		"a byte less": good[1:], "a byte more": append([]byte{0}, good...),
		"all ones": bytes.Repeat([]byte{0xff}, len(good)), "zero": make([]byte, len(good)),
		"one": append(make([]byte, len(good)-1), 1), "random": random(len(good)),
	}
	zero := good
	for zero[0] != 0 { // one in 256: the same number in a byte less
		if zero, err = k.EncryptOAEP(kms.RSAESOAEPSHA256, []byte("text")); err != nil {
			t.Fatal(err)
		}
	}
	all["a leading zero less"] = zero[1:]
	for _, bit := range []int{1, 8, len(good) * 4, len(good)*8 - 1} {
		flipped := bytes.Clone(good)
		flipped[bit/8] ^= 1 << (bit % 8)
		all[fmt.Sprintf("bit %d flipped", bit)] = flipped
	}
	return all
}

// An RSA ciphertext that does not open gives the error of a symmetric one, word for word.
func TestInvalidOAEPCiphertextsAreAlike(t *testing.T) {
	for _, spec := range []kms.KeySpec{kms.RSA2048, kms.RSA3072} {
		k := fixed(t, spec)
		for what, ct := range oaepFailures(t, k) {
			got, err := k.DecryptOAEP(kms.RSAESOAEPSHA256, ct)
			if got != nil {
				t.Errorf("%s: plaintext %x", what, got)
			}
			wantError(t, what, err, errInvalid().Error())
		}
	}
}

// A padding that fails takes about as long as one that opens. The bound is
// narrow enough for a check that ends before the private operation.
func TestOAEPFailureTakesAsLong(t *testing.T) {
	k := fixed(t, kms.RSA2048)
	good, err := k.EncryptOAEP(kms.RSAESOAEPSHA256, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	fastest := func(ct []byte) time.Duration { // a busy machine adds to a run, it never takes away
		best := time.Duration(math.MaxInt64)
		for range 20 {
			start := time.Now()
			_, _ = k.DecryptOAEP(kms.RSAESOAEPSHA256, ct)
			best = min(best, time.Since(start))
		}
		return best
	}
	want := fastest(good)
	failures := oaepFailures(t, k)
	for _, what := range []string{"a label", "another hash", "bit 8 flipped", "one"} {
		if got := fastest(failures[what]); got < want/2 {
			t.Errorf("%s is refused in %v, a good ciphertext opens in %v", what, got, want)
		}
	}
}

func TestSharedSecret(t *testing.T) {
	specs := []kms.KeySpec{kms.ECCNISTP256, kms.ECCNISTP384, kms.ECCNISTP521}
	sizes := map[kms.KeySpec]int{kms.ECCNISTP256: 32, kms.ECCNISTP384: 48, kms.ECCNISTP521: 66}
	for _, spec := range specs {
		a := fixed(t, spec)
		pair, err := GeneratePair(spec)
		if err != nil {
			t.Fatal(err)
		}
		b := opened(t, spec, pair.Private)
		publicA, err := a.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		x, errA := a.SharedSecret(pair.Public)
		y, errB := b.SharedSecret(publicA)
		if errA != nil || errB != nil || !bytes.Equal(x, y) || len(x) != sizes[spec] {
			t.Errorf("%s: %x and %x, errors %v, %v", spec, x, y, errA, errB)
		}
		for other, plain := range fixedMaterial(t) {
			if spki, err := opened(t, other, plain).PublicKey(); err == nil && other != spec {
				_, err := a.SharedSecret(spki)
				wantError(t, "public key of "+string(other), err,
					fmt.Sprintf("validation: The public key is not a DER-encoded public key of key spec %s.", spec))
			}
		}
		for what, spki := range badPeers(t, pair.Public) {
			_, err := a.SharedSecret(spki)
			wantCode(t, string(spec)+": "+what, err, kms.CodeValidation)
		}
	}
}

// badPeers spoils a public key: its point leaves the curve, and so on.
func badPeers(t *testing.T, spki []byte) map[string][]byte {
	t.Helper()
	var parsed subjectPublicKeyInfo
	if err := unmarshal(spki, &parsed); err != nil {
		t.Fatal(err)
	}
	with := func(point []byte) []byte {
		p := parsed
		p.PublicKey = asn1.BitString{Bytes: point, BitLength: 8 * len(point)}
		der, err := asn1.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	point := parsed.PublicKey.Bytes
	return map[string][]byte{
		"nothing": nil, "a byte less": spki[:len(spki)-1], "a byte more": append(bytes.Clone(spki), 0),
		"off the curve": with(changed(point)), "infinity": with([]byte{0}), "no point": with(nil),
		"coordinates too large": with(append([]byte{4}, bytes.Repeat([]byte{0xff}, len(point)-1)...)),
		"zero coordinates":      with(append([]byte{4}, make([]byte, len(point)-1)...)),
	}
}

// What agrees here is what crypto/ecdh agrees on: the bare x coordinate, not hashed.
func TestSharedSecretIsRaw(t *testing.T) {
	k := fixed(t, kms.ECCNISTP256)
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(peer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.SharedSecret(spki)
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.ECDH(k.private.(*nistKey).agree.PublicKey())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, want %x, error %v", got, want, err)
	}
}

func TestEncapsulation(t *testing.T) {
	sizes := map[kms.KeySpec]int{kms.MLKEM512: 768, kms.MLKEM768: 1088, kms.MLKEM1024: 1568}
	for spec, size := range sizes {
		k := fixed(t, spec)
		secret, ct, err := k.Encapsulate()
		if err != nil || len(secret) != 32 || len(ct) != size {
			t.Fatalf("%s: %d and %d bytes, error %v", spec, len(secret), len(ct), err)
		}
		if got, err := k.Decapsulate(ct); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: %x, want %x, error %v", spec, got, secret, err)
		}
		if again, _, _ := k.Encapsulate(); bytes.Equal(again, secret) {
			t.Errorf("%s: the same secret twice", spec)
		}
		// Implicit rejection: another secret, the same each time, and no error.
		x, errX := k.Decapsulate(changed(ct))
		y, errY := k.Decapsulate(changed(ct))
		if errX != nil || errY != nil || bytes.Equal(x, secret) || !bytes.Equal(x, y) {
			t.Errorf("%s: a changed ciphertext gives %x and %x, errors %v, %v", spec, x, y, errX, errY)
		}
		for _, wrong := range [][]byte{nil, ct[1:], append(bytes.Clone(ct), 0), make([]byte, 32)} {
			got, err := k.Decapsulate(wrong)
			if got != nil {
				t.Errorf("%s: %d bytes open to %x", spec, len(wrong), got)
			}
			wantError(t, fmt.Sprintf("%s: %d bytes", spec, len(wrong)), err, errInvalid().Error())
		}
	}
}

func TestVerifyMac(t *testing.T) {
	for _, spec := range []kms.KeySpec{kms.HMAC224, kms.HMAC256, kms.HMAC384, kms.HMAC512} {
		s, _ := spec.Spec()
		a, k, message := s.Mac[0], fixed(t, spec), []byte("a message")
		mac, err := k.Mac(a, message)
		if err != nil || len(mac) != macSize(spec) {
			t.Fatalf("%s: %d bytes, error %v", spec, len(mac), err)
		}
		if err := k.VerifyMac(a, message, mac); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		for what, wrong := range map[string][]byte{"none": nil, "changed": changed(mac), "cut": mac[:16], "longer": append(bytes.Clone(mac), 0)} {
			wantCode(t, string(spec)+": "+what, k.VerifyMac(a, message, wrong), kms.CodeInvalidMac)
		}
		wantCode(t, "another message", k.VerifyMac(a, changed(message), mac), kms.CodeInvalidMac)
	}
}

func TestGeneratePair(t *testing.T) {
	for _, spec := range kms.DataKeyPairSpecs {
		if spec == kms.SM2 || spec == kms.RSA3072 || spec == kms.RSA4096 { // SM2 below, long RSA as 2048
			continue
		}
		pair, err := GeneratePair(spec)
		if err != nil {
			t.Fatal(err)
		}
		var p8 pkcs8
		var spki subjectPublicKeyInfo
		if err := errors.Join(unmarshal(pair.Private, &p8), unmarshal(pair.Public, &spki)); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		if !p8.Algorithm.Algorithm.Equal(spki.Algorithm.Algorithm) {
			t.Errorf("%s: private %v, public %v", spec, p8.Algorithm.Algorithm, spki.Algorithm.Algorithm)
		}
		encoding := []byte(pair.Private)
		if s, _ := spec.Spec(); len(s.Encapsulation) > 0 {
			encoding = p8.PrivateKey[2:] // [0], 64 bytes
		}
		if public, err := opened(t, spec, encoding).PublicKey(); err != nil || !bytes.Equal(public, pair.Public) {
			t.Errorf("%s: the public key is not that of the private key, error %v", spec, err)
		}
	}
	_, err := GeneratePair(kms.SM2)
	wantCode(t, "SM2", err, kms.CodeUnsupported)
	for _, spec := range []kms.KeySpec{kms.SymmetricDefault, kms.HMAC256, kms.MLDSA44, "DES"} {
		_, err := GeneratePair(spec)
		wantCode(t, string(spec), err, kms.CodeValidation)
	}
}
