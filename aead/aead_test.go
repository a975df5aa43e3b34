package aead

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"

	"pgregory.net/rapid"
)

// hexBytes is bytes that are hexadecimal in JSON.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type vector struct {
	Key       hexBytes `json:"key"`
	Label     string   `json:"label"`
	Info      hexBytes `json:"info"`
	AAD       hexBytes `json:"aad"`
	Plaintext hexBytes `json:"plaintext"`
	Body      hexBytes `json:"body"`
}

// goldenVectors returns bodies made by the first release. They open for ever and are never made
// anew.
func goldenVectors(t testing.TB) []vector { return readVectors(t, "testdata/bodies.json") }

func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(raw, &vs); err != nil || len(vs) == 0 {
		t.Fatalf("%d vectors, %v", len(vs), err)
	}
	return vs
}

func TestGoldenVectors(t *testing.T) {
	for _, v := range goldenVectors(t) {
		got, err := Open(nil, v.Key, v.Label, v.Info, v.AAD, v.Body)
		if err != nil || !bytes.Equal(got, v.Plaintext) {
			t.Errorf("%q: %x, %v", v.Label, got, err)
		}
		if again := sealByTheBook(t, v); !bytes.Equal(again, v.Body) {
			t.Errorf("%q: the drawn format gives\n%x, not\n%x", v.Label, again, v.Body)
		}
	}
}

// sealByTheBook makes v's body a second time from the package comment alone, with the salt and iv
// that v has.
func sealByTheBook(t *testing.T, v vector) []byte {
	if fips140.Enforced() {
		t.Log("the mode refuses chosen ivs; the body is not made a second time")
		return v.Body
	}
	salt, iv := v.Body[:32], v.Body[64:76]
	info := append(append([]byte(v.Label), 0), v.Info...)
	prk := mac(salt, v.Key)
	encryption := mac(prk, info, []byte{1})
	commitment := mac(prk, encryption, info, []byte{2})
	block, err := aes.NewCipher(encryption)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	body := append(append(append([]byte(nil), salt...), commitment...), iv...)
	return gcm.Seal(body, iv, v.Plaintext, v.AAD)
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), KeySize, KeySize).Draw(t, "key")
		label := rapid.StringMatching(`[a-z/0-9]{1,40}`).Draw(t, "label")
		bytesOf := rapid.SliceOfN(rapid.Byte(), 0, 200)
		info, aad, plaintext := bytesOf.Draw(t, "info"), bytesOf.Draw(t, "aad"), bytesOf.Draw(t, "plaintext")
		prefix := bytesOf.Draw(t, "prefix")

		body, err := Seal(bytes.Clone(prefix), key, label, info, aad, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(body, prefix) || len(body) != len(prefix)+Overhead+len(plaintext) {
			t.Fatalf("%d bytes after a prefix of %d and a plaintext of %d", len(body), len(prefix), len(plaintext))
		}
		got, err := Open(bytes.Clone(prefix), key, label, info, aad, body[len(prefix):])
		if err != nil || !bytes.Equal(got, append(prefix, plaintext...)) {
			t.Fatalf("opened %x, %v", got, err)
		}
	})
}

func TestEveryBodyIsDifferent(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		body, err := Seal(nil, make([]byte, KeySize), "lockstep/test/1", nil, nil, make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		for name, part := range map[string][]byte{"salt": body[:32], "commitment": body[32:64], "iv": body[64:76], "ciphertext": body[76:]} {
			if seen[name+string(part)] {
				t.Fatalf("%s came twice", name)
			}
			seen[name+string(part)] = true
		}
	}
}

// TestChangedBodies shows that whatever is changed, the error is the same one and no plaintext
// comes back.
func TestChangedBodies(t *testing.T) {
	v := goldenVectors(t)[1]
	refused := func(name string, v vector) {
		t.Helper()
		got, err := Open(nil, v.Key, v.Label, v.Info, v.AAD, v.Body)
		if err != ErrOpen || got != nil {
			t.Errorf("%s: opened %x, %v", name, got, err)
		}
	}
	flip := func(b []byte, bit int) []byte {
		b = bytes.Clone(b)
		b[bit/8] ^= 1 << (bit % 8)
		return b
	}
	for bit := range 8 * len(v.Body) {
		c := v
		c.Body = flip(v.Body, bit)
		refused("flipped body bit", c)
	}
	for bit := range 8 * len(v.Key) {
		c := v
		c.Key = flip(v.Key, bit)
		refused("flipped key bit", c)
	}
	for n := range v.Body {
		c := v
		c.Body = v.Body[:n]
		refused("truncated body", c)
	}
	for name, change := range map[string]func(c *vector){
		"longer body":                   func(c *vector) { c.Body = append(bytes.Clone(c.Body), 0) },
		"other label":                   func(c *vector) { c.Label = "lockstep/test/2" },
		"other info":                    func(c *vector) { c.Info = []byte("inf0") },
		"no info":                       func(c *vector) { c.Info = nil },
		"other aad":                     func(c *vector) { c.AAD = []byte("aae") },
		"no aad":                        func(c *vector) { c.AAD = nil },
		"a byte from info to the aad":   func(c *vector) { c.Info, c.AAD = []byte("inf"), []byte("oaad") },
		"a byte from label to the info": func(c *vector) { c.Label, c.Info = "lockstep/test/", []byte("1info") },
	} {
		c := v
		change(&c)
		refused(name, c)
	}
}

func TestWrongUse(t *testing.T) {
	key := make([]byte, KeySize)
	body, err := Seal(nil, key, "l", nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		key   []byte
		label string
		want  error
	}{
		{"no key", nil, "l", errKeySize},
		{"short key", key[1:], "l", errKeySize},
		{"long key", append(key, 0), "l", errKeySize},
		{"no label", key, "", errLabel},
		{"zero byte in label", key, "a\x00b", errLabel},
	}
	for _, tt := range tests {
		if out, err := Seal(nil, tt.key, tt.label, nil, nil, nil); !errors.Is(err, tt.want) || out != nil {
			t.Errorf("%s: Seal gives %x, %v", tt.name, out, err)
		}
		if out, err := Open(nil, tt.key, tt.label, nil, nil, body); !errors.Is(err, tt.want) || out != nil {
			t.Errorf("%s: Open gives %x, %v", tt.name, out, err)
		}
	}
}

// TestFIPSOnly runs the tests of this package that use the construction in a process that refuses
// everything outside the FIPS 140-3 module.
func TestFIPSOnly(t *testing.T) {
	if fips140.Enforced() {
		block, _ := aes.NewCipher(make([]byte, 32))
		if _, err := cipher.NewGCM(block); err == nil {
			t.Fatal("this process allows chosen ivs: it does not run with fips140=only")
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^(TestFIPSOnly|TestGoldenVectors|TestChangedBodies|TestEveryBodyIsDifferent|TestCompactGoldenVectors|TestCompactChangedBodies|TestCompactRoundTrip)$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Count(out, []byte("--- PASS")) != 7 {
		t.Fatalf("%v\n%s", err, out)
	}
}

func FuzzOpen(f *testing.F) {
	v := goldenVectors(f)[1]
	f.Add([]byte(v.Body))
	f.Add([]byte(v.Body[:Overhead]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Open(nil, v.Key, v.Label, v.Info, v.AAD, body)
		if bytes.Equal(body, v.Body) {
			return
		}
		if err != ErrOpen || got != nil {
			t.Fatalf("a body that nobody sealed opened: %x, %v", got, err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	key, info, aad, plaintext := make([]byte, KeySize), make([]byte, 20), make([]byte, 64), make([]byte, 32)
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Seal(dst, key, "lockstep/benchmark/1", info, aad, plaintext); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	key, info, aad := make([]byte, KeySize), make([]byte, 20), make([]byte, 64)
	body, err := Seal(nil, key, "lockstep/benchmark/1", info, aad, make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(dst, key, "lockstep/benchmark/1", info, aad, body); err != nil {
			b.Fatal(err)
		}
	}
}
