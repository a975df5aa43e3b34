package aead

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// compactVectors returns compact bodies that an implementation of the drawing in another language made.
// They open for ever and are never made anew.
func compactVectors(t testing.TB) []vector { return readVectors(t, "testdata/compact.json") }

func TestCompactGoldenVectors(t *testing.T) {
	for _, v := range compactVectors(t) {
		got, err := OpenCompact(nil, v.Key, v.Label, v.Info, v.AAD, v.Body)
		if err != nil || !bytes.Equal(got, v.Plaintext) {
			t.Errorf("%q: %x, %v", v.Label, got, err)
		}
		sealed, err := SealCompact(nil, v.Key, v.Label, v.Info, v.AAD, v.Plaintext)
		if err != nil {
			t.Fatal(err)
		}
		for what, body := range map[string][]byte{"golden": v.Body, "new": sealed} {
			if again := compactByTheBook(t, v, body); !bytes.Equal(again, body) {
				t.Errorf("%q, %s: the drawn format gives\n%x, not\n%x", v.Label, what, again, body)
			}
		}
	}
}

// compactByTheBook makes v's compact body from the comment of SealCompact alone, with the salt and iv of body.
func compactByTheBook(t *testing.T, v vector, body []byte) []byte {
	if fips140.Enforced() {
		t.Log("the mode refuses chosen ivs; the body is not made a second time")
		return body
	}
	salt, iv := body[15:19], body[19:31]
	info := slices.Concat([]byte(v.Label), []byte{0}, v.Info)
	prk := mac(salt, v.Key)
	encryption := mac(prk, info, []byte{1})
	commitment := mac(prk, encryption, info, []byte{2})[:15]
	block, err := aes.NewCipher(encryption)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm.Seal(slices.Concat(commitment, salt, iv), iv, v.Plaintext, slices.Concat(v.AAD, commitment))
}

func TestCompactRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), KeySize, KeySize).Draw(t, "key")
		bytesOf := rapid.SliceOfN(rapid.Byte(), 0, 200)
		info, aad, plaintext := bytesOf.Draw(t, "info"), bytesOf.Draw(t, "aad"), bytesOf.Draw(t, "plaintext")
		prefix := bytesOf.Draw(t, "prefix")
		body, err := SealCompact(bytes.Clone(prefix), key, "lockstep/test/1", info, aad, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(body, prefix) || len(body) != len(prefix)+CompactOverhead+len(plaintext) {
			t.Fatalf("%d bytes after a prefix of %d and a plaintext of %d", len(body), len(prefix), len(plaintext))
		}
		got, err := OpenCompact(bytes.Clone(prefix), key, "lockstep/test/1", info, aad, body[len(prefix):])
		if err != nil || !bytes.Equal(got, append(prefix, plaintext...)) {
			t.Fatalf("opened %x, %v", got, err)
		}
	})
}

// TestCompactChangedBodies shows for compact bodies what TestChangedBodies shows.
func TestCompactChangedBodies(t *testing.T) {
	v := compactVectors(t)[1]
	refused := func(name string, v vector) {
		t.Helper()
		got, err := OpenCompact(nil, v.Key, v.Label, v.Info, v.AAD, v.Body)
		if err != ErrOpen || got != nil {
			t.Errorf("%s: opened %x, %v", name, got, err)
		}
	}
	for bit := range 8 * len(v.Body) {
		c := v
		c.Body = bytes.Clone(v.Body)
		c.Body[bit/8] ^= 1 << (bit % 8)
		refused("flipped body bit", c)
	}
	for n := range v.Body {
		c := v
		c.Body = v.Body[:n]
		refused("truncated body", c)
	}
	for name, change := range map[string]func(c *vector){
		"longer body":                   func(c *vector) { c.Body = append(bytes.Clone(c.Body), 0) },
		"other key":                     func(c *vector) { c.Key = append(bytes.Clone(c.Key[1:]), 0) },
		"other label":                   func(c *vector) { c.Label = "lockstep/test/2" },
		"other info":                    func(c *vector) { c.Info = []byte("inf0") },
		"no info":                       func(c *vector) { c.Info = nil },
		"other aad":                     func(c *vector) { c.AAD = []byte("aae") },
		"no aad":                        func(c *vector) { c.AAD = nil },
		"the commitment in the aad too": func(c *vector) { c.AAD = slices.Concat(c.AAD, c.Body[:CompactCommitmentSize]) },
		"a byte from info to the aad":   func(c *vector) { c.Info, c.AAD = []byte("inf"), []byte("oaad") },
	} {
		c := v
		change(&c)
		refused(name, c)
	}
	if _, err := OpenCompact(nil, v.Key[1:], v.Label, v.Info, v.AAD, v.Body); !errors.Is(err, errKeySize) {
		t.Errorf("short key: %v", err)
	}
	if _, err := SealCompact(nil, v.Key[1:], v.Label, v.Info, v.AAD, v.Plaintext); !errors.Is(err, errKeySize) {
		t.Errorf("short key: %v", err)
	}
}

func TestEveryCompactBodyIsDifferent(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		body, err := SealCompact(nil, make([]byte, KeySize), "lockstep/test/1", nil, nil, make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		for name, part := range map[string][]byte{"commitment": body[:15], "salt": body[15:19], "iv": body[19:31], "ciphertext": body[31:]} {
			if seen[name+string(part)] {
				t.Fatalf("%s came twice", name)
			}
			seen[name+string(part)] = true
		}
	}
}

func FuzzOpenCompact(f *testing.F) {
	v := compactVectors(f)[1]
	f.Add([]byte(v.Body))
	f.Add([]byte(v.Body[:CompactOverhead]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := OpenCompact(nil, v.Key, v.Label, v.Info, v.AAD, body)
		if bytes.Equal(body, v.Body) {
			return
		}
		if err != ErrOpen || got != nil {
			t.Fatalf("a body that nobody sealed opened: %x, %v", got, err)
		}
	})
}
