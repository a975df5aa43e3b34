package material

import (
	"bytes"
	"crypto/aes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// wrapRFC5649 is AES-KWP as section 3 and 4.1 of RFC 5649 describe it, to check the library with.
func wrapRFC5649(t testing.TB, kek, plain []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(kek)
	if err != nil {
		t.Fatal(err)
	}
	a := binary.BigEndian.AppendUint32([]byte{0xa6, 0x59, 0x59, 0xa6}, uint32(len(plain)))
	r := append(bytes.Clone(plain), make([]byte, (8-len(plain)%8)%8)...)
	if len(r) == 8 {
		out := append(a, r...)
		block.Encrypt(out, out)
		return out
	}
	n := len(r) / 8
	for j := range 6 {
		for i := range n {
			b := append(bytes.Clone(a), r[8*i:8*i+8]...)
			block.Encrypt(b, b)
			binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(b)^uint64(n*j+i+1))
			copy(r[8*i:], b[8:])
		}
	}
	return append(a, r...)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors of RFC 5649 have a 192-bit key, which AWS does not use: they check wrapRFC5649, and
// that checks the library under 256-bit keys, for every length that is imported and more.
func TestKeyWrapWithPadding(t *testing.T) {
	kek := unhex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	for plain, wrapped := range map[string]string{
		"c37b7e6492584340bed12207808941155068f738": "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
		"466f7250617369": "afbeb0f07dfbf5419200f2ccb50bb24f",
	} {
		if got := wrapRFC5649(t, kek, unhex(t, plain)); hex.EncodeToString(got) != wrapped {
			t.Errorf("%s: %x, want %s", plain, got, wrapped)
		}
	}
	private := goldenImports(t)[0].Private
	key := wrappingKey(t, private)
	for _, size := range []int{16, 17, 23, 24, 28, 32, 48, 64, 128, 138, 1219, 2375, 4096} {
		kek, plain := random(32), random(size)
		wrapped := append(oaep(t, key, kms.WrapRSAAESSHA256, kek), wrapRFC5649(t, kek, plain)...)
		if got, err := Unwrap(kms.WrapRSAAESSHA256, private, wrapped); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %x, error %v", size, []byte(got), err)
		}
	}
}

func wrappingKey(t testing.TB, private []byte) *rsa.PublicKey {
	t.Helper()
	key, err := parseWrapping(private)
	if err != nil {
		t.Fatal(err)
	}
	return &key.key.PublicKey
}

func oaep(t testing.TB, key *rsa.PublicKey, a kms.WrappingAlgorithm, plain []byte) []byte {
	t.Helper()
	ct, err := rsa.EncryptOAEP(oaepHash(a).New(), rand.Reader, key, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

// Whatever is wrong with encrypted key material, the answer is one and the same.
func TestUnwrapFailuresAreAlike(t *testing.T) {
	g := goldenImports(t)[0]
	key := wrappingKey(t, g.Private)
	refused := func(what string, a kms.WrappingAlgorithm, wrapped []byte) {
		t.Helper()
		got, err := Unwrap(a, g.Private, wrapped)
		if got != nil {
			t.Errorf("%s: %x", what, []byte(got))
		}
		wantError(t, what, err, errWrapped().Error())
	}
	for _, c := range g.Cases {
		for _, other := range kms.WrappingAlgorithms {
			if other != c.Algorithm {
				refused(fmt.Sprintf("%s as %s", c.Algorithm, other), other, c.Wrapped)
			}
		}
		refused("nothing", c.Algorithm, nil)
		refused("cut", c.Algorithm, c.Wrapped[:len(c.Wrapped)-1])
		refused("a byte more", c.Algorithm, append(bytes.Clone(c.Wrapped), 0))
		refused("a block more", c.Algorithm, append(bytes.Clone(c.Wrapped), make([]byte, 8)...))
		for _, at := range []int{1, 100, 255, len(c.Wrapped) - 20, len(c.Wrapped) - 1} {
			flipped := bytes.Clone(c.Wrapped)
			flipped[at] ^= 4
			refused(fmt.Sprintf("%s, byte %d changed", c.Algorithm, at), c.Algorithm, flipped)
		}
	}
	plain := random(32)
	for _, size := range []int{16, 24} {
		kek := random(size)
		refused(fmt.Sprintf("an AES key of %d bytes", size), kms.WrapRSAAESSHA256,
			append(oaep(t, key, kms.WrapRSAAESSHA256, kek), wrapRFC5649(t, kek, plain)...))
	}
	kek := random(32)
	refused("only the AES key", kms.WrapRSAAESSHA256, oaep(t, key, kms.WrapRSAAESSHA256, kek))

	_, err := Unwrap("RSAES_PKCS1_V1_5", g.Private, nil)
	wantCode(t, "a dead algorithm", err, kms.CodeValidation)
	_, err = Unwrap(kms.WrapRSAAESSHA256, []byte("no key"), nil)
	wantCode(t, "no wrapping key", err, kms.CodeUnavailable)
}

func TestWrapping(t *testing.T) {
	private, public, err := Wrapping(kms.RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range kms.WrappingAlgorithms {
		plain, kek := random(32), random(32)
		wrapped := oaep(t, parsed.(*rsa.PublicKey), a, plain)
		if a == kms.WrapRSAAESSHA1 || a == kms.WrapRSAAESSHA256 {
			wrapped = append(oaep(t, parsed.(*rsa.PublicKey), a, kek), wrapRFC5649(t, kek, plain)...)
		}
		if got, err := Unwrap(a, private, wrapped); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %x, error %v", a, []byte(got), err)
		}
	}
	_, _, err = Wrapping(kms.ECCNISTP256)
	wantCode(t, "P-256", err, kms.CodeValidation)
}

func TestParseImportTakesLengths(t *testing.T) {
	for spec, bounds := range map[kms.KeySpec][2]int{kms.SymmetricDefault: {32, 32}, kms.HMAC224: {28, 28}, kms.HMAC256: {32, 32},
		kms.HMAC384: {48, 48}, kms.HMAC512: {64, 64}} {
		for _, size := range []int{0, 16, bounds[0] - 1, bounds[1] + 1, 4096} {
			got, err := ParseImport(spec, make([]byte, size))
			if got != nil {
				t.Errorf("%d bytes of %s were taken", size, spec)
			}
			wantError(t, fmt.Sprintf("%d bytes of %s", size, spec), err,
				fmt.Sprintf("incorrect_key_material: The key material is not that of a key of key spec %s.", spec))
		}
		for _, size := range bounds {
			plain := random(size)
			got, err := ParseImport(spec, plain)
			if err != nil || !bytes.Equal(got, plain) || &got[0] == &plain[0] {
				t.Errorf("%d bytes of %s: %x, error %v", size, spec, []byte(got), err)
			}
		}
	}
}

// Material of another kind, size or curve, and what does not hold together, is not imported.
func TestParseImportRefuses(t *testing.T) {
	all := fixedMaterial(t)
	for _, spec := range allSpecs() {
		if s, _ := spec.Spec(); !s.Importable {
			_, err := ParseImport(spec, all[spec])
			wantCode(t, string(spec), err, kms.CodeUnsupported)
			continue
		} else if !s.Asymmetric {
			continue
		}
		for other, plain := range all {
			if other != spec {
				_, err := ParseImport(spec, plain)
				wantCode(t, fmt.Sprintf("%s as %s", other, spec), err, kms.CodeIncorrectKeyMaterial)
			}
		}
		public, err := opened(t, spec, all[spec]).PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		for what, plain := range map[string][]byte{"nothing": nil, "a public key": public, "a byte less": all[spec][:len(all[spec])-1],
			"a byte more": append(bytes.Clone(all[spec]), 0), "garbage": bytes.Repeat([]byte{0x30}, 200)} {
			_, err := ParseImport(spec, plain)
			wantCode(t, fmt.Sprintf("%s as %s", what, spec), err, kms.CodeIncorrectKeyMaterial)
		}
	}
	_, err := ParseImport(kms.SM2, nil)
	wantCode(t, "SM2", err, kms.CodeUnsupported)
}

func TestParseImportOfEllipticCurves(t *testing.T) {
	p256 := asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	n := elliptic.P256().Params().N
	der := func(e ecPrivateKey, curve asn1.ObjectIdentifier) []byte {
		inner, err := asn1.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := encodePKCS8(ecAlgorithm(curve), inner)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	bits := func(b []byte) asn1.BitString { return asn1.BitString{Bytes: b, BitLength: 8 * len(b)} }
	parities := map[byte]bool{}
	var scalar, point, compressed []byte
	for n := range byte(8) {
		scalar = append(make([]byte, 31), n+1)
		want, err := ParseImport(kms.ECCNISTP256, der(ecPrivateKey{Version: 1, PrivateKey: scalar}, p256))
		if err != nil {
			t.Fatal(err)
		}
		if point, err = opened(t, kms.ECCNISTP256, want).private.(*nistKey).key.PublicKey.Bytes(); err != nil {
			t.Fatal(err)
		}
		compressed = append([]byte{2 + point[64]&1}, point[1:33]...)
		parities[compressed[0]] = true
		for what, e := range map[string]ecPrivateKey{
			"with its point":            {Version: 1, PrivateKey: scalar, PublicKey: bits(point)},
			"with its point compressed": {Version: 1, PrivateKey: scalar, PublicKey: bits(compressed)},
			"with its curve":            {Version: 1, PrivateKey: scalar, Curve: p256},
			"short":                     {Version: 1, PrivateKey: []byte{n + 1}},
			"long":                      {Version: 1, PrivateKey: append(make([]byte, 8), scalar...)},
		} {
			if got, err := ParseImport(kms.ECCNISTP256, der(e, p256)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %x, error %v", what, []byte(got), err)
			}
		}
	}
	if len(parities) != 2 {
		t.Error("the points tried all have y of one parity")
	}
	for what, e := range map[string]ecPrivateKey{
		"another point":            {Version: 1, PrivateKey: append(make([]byte, 31), 99), PublicKey: bits(point)},
		"the other compressed one": {Version: 1, PrivateKey: scalar, PublicKey: bits(append([]byte{compressed[0] ^ 1}, compressed[1:]...))},
		"another curve inside":     {Version: 1, PrivateKey: scalar, Curve: koblitzOID()},
		"zero":                     {Version: 1, PrivateKey: make([]byte, 32)},
		"nothing":                  {Version: 1},
		"the order":                {Version: 1, PrivateKey: n.Bytes()},
		"33 bytes":                 {Version: 1, PrivateKey: append([]byte{1}, scalar...)},
		"version 2":                {Version: 2, PrivateKey: scalar},
	} {
		_, err := ParseImport(kms.ECCNISTP256, der(e, p256))
		wantCode(t, what, err, kms.CodeIncorrectKeyMaterial)
	}
	_, err := ParseImport(kms.ECCNISTP256, der(ecPrivateKey{Version: 1, PrivateKey: scalar}, koblitzOID()))
	wantCode(t, "another curve outside", err, kms.CodeIncorrectKeyMaterial)
	order := unhex(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	for what, scalar := range map[string][]byte{"zero": make([]byte, 32), "the order": order, "above it": bytes.Repeat([]byte{0xff}, 32)} {
		_, err := ParseImport(kms.ECCSECGP256K1, der(ecPrivateKey{Version: 1, PrivateKey: scalar}, koblitzOID()))
		wantCode(t, "secp256k1: "+what, err, kms.CodeIncorrectKeyMaterial)
	}
}

// An RSA key that the standard library parses can still have factors that are not prime, or three.
func TestParseImportOfRSA(t *testing.T) {
	//lint:ignore SA1019 it makes what must be refused
	three, err := rsa.GenerateMultiPrimeKey(rand.Reader, 3, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(three)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParseImport(kms.RSA2048, der)
	wantCode(t, "three primes", err, kms.CodeIncorrectKeyMaterial)

	// p = r*s with r, s prime and e*d = 1 modulo p-1 and q-1: consistent by the numbers the format has.
	good := three.Primes
	p, q := new(big.Int).Mul(good[0], good[1]), good[2]
	one := big.NewInt(1)
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	d := new(big.Int).ModInverse(big.NewInt(65537), new(big.Int).Mul(p1, q1))
	if d == nil {
		t.Fatal("no exponent: try again")
	}
	numbers := rsaNumbers{0, three.N, 65537, d, p, q, new(big.Int).Mod(d, p1), new(big.Int).Mod(d, q1), new(big.Int).ModInverse(q, p)}
	_, err = ParseImport(kms.RSA2048, rsaPKCS8(t, numbers))
	wantCode(t, "a factor that is not prime", err, kms.CodeIncorrectKeyMaterial)
}

// rsaNumbers is the RSAPrivateKey of RFC 8017.
type rsaNumbers struct {
	Version                   int
	N                         *big.Int
	E                         int
	D, P, Q, Dp, Dq, QInverse *big.Int
}

func rsaPKCS8(t *testing.T, n rsaNumbers) []byte {
	t.Helper()
	inner, err := asn1.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var p pkcs8
	if err := unmarshal(fixedMaterial(t)[kms.RSA2048], &p); err != nil {
		t.Fatal(err)
	}
	p.PrivateKey = inner
	der, err := asn1.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A key is taken as it is or not at all: no number of it may be off, nor is one repaired.
func TestParseImportChecksEveryNumberOfRSA(t *testing.T) {
	var p pkcs8
	if err := unmarshal(fixedMaterial(t)[kms.RSA2048], &p); err != nil {
		t.Fatal(err)
	}
	two := big.NewInt(2)
	plus := func(n *big.Int) *big.Int { return new(big.Int).Add(n, two) }
	for what, spoil := range map[string]func(n *rsaNumbers){
		"nothing":          func(*rsaNumbers) {},
		"the modulus":      func(n *rsaNumbers) { n.N = plus(n.N) },
		"the exponent":     func(n *rsaNumbers) { n.E += 2 },
		"the private one":  func(n *rsaNumbers) { n.D = plus(n.D) },
		"a factor":         func(n *rsaNumbers) { n.P = plus(n.P) },
		"the other factor": func(n *rsaNumbers) { n.Q = plus(n.Q) },
		"dP":               func(n *rsaNumbers) { n.Dp = plus(n.Dp) },
		"dQ":               func(n *rsaNumbers) { n.Dq = plus(n.Dq) },
		"qInv":             func(n *rsaNumbers) { n.QInverse = plus(n.QInverse) },
		"swapped factors":  func(n *rsaNumbers) { n.P, n.Q = n.Q, n.P },
		"one exponent":     func(n *rsaNumbers) { n.E, n.D, n.Dp, n.Dq = 1, big.NewInt(1), big.NewInt(1), big.NewInt(1) },
	} {
		var n rsaNumbers
		if err := unmarshal(p.PrivateKey, &n); err != nil {
			t.Fatal(err)
		}
		spoil(&n)
		got, err := ParseImport(kms.RSA2048, rsaPKCS8(t, n))
		if what == "nothing" {
			if err != nil || !bytes.Equal(got, fixedMaterial(t)[kms.RSA2048]) {
				t.Errorf("the key itself: %v", err)
			}
			continue
		}
		wantCode(t, what, err, kms.CodeIncorrectKeyMaterial)
	}
}

func TestFingerprint(t *testing.T) {
	all := map[string]kms.KeySpec{}
	for spec, plain := range fixedMaterial(t) {
		f, err := Fingerprint([]byte("a secret key"), spec, plain)
		again, _ := Fingerprint([]byte("a secret key"), spec, bytes.Clone(plain))
		other, _ := Fingerprint([]byte("another key"), spec, plain)
		if err != nil || len(f) != 64 || f != again || f == other || all[f] != "" {
			t.Errorf("%s: %s, again %s, under another key %s, also of %s, error %v", spec, f, again, other, all[f], err)
		}
		all[f] = spec
	}
	for _, spec := range []kms.KeySpec{kms.HMAC256, kms.MLDSA44} { // the same bytes are other material
		if f, err := Fingerprint([]byte("a secret key"), spec, fixedMaterial(t)[kms.SymmetricDefault]); err != nil || all[f] != "" {
			t.Errorf("%s: %s, error %v", spec, f, err)
		}
	}
	// The factors of an RSA key in another order are the same key.
	key := fixed(t, kms.RSA2048).private.(*rsaKey).key
	swapped := &rsa.PrivateKey{PublicKey: key.PublicKey, D: key.D, Primes: []*big.Int{key.Primes[1], key.Primes[0]}}
	swapped.Precompute()
	der, err := x509.MarshalPKCS8PrivateKey(swapped)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := Fingerprint([]byte("a secret key"), kms.RSA2048, der); err != nil || all[f] != kms.RSA2048 {
		t.Errorf("swapped factors: %s, error %v", f, err)
	}
	_, err = Fingerprint(nil, kms.RSA2048, []byte("no key"))
	wantCode(t, "no key", err, kms.CodeUnavailable)
}
