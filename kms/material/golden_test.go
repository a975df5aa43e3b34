package material

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// vector is one golden ciphertext. testdata/ciphertext_v1.json was made by an implementation of
// DESIGN.md in another language; it is never regenerated, only extended.
type vector struct {
	Name       string            `json:"name"`
	Material   hexBytes          `json:"material"`
	KeyID      hexBytes          `json:"key_id"`
	KeyVersion uint32            `json:"key_version"`
	Context    map[string]string `json:"encryption_context"`
	Plaintext  hexBytes          `json:"plaintext"`
	Ciphertext hexBytes          `json:"ciphertext"`
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func vectors(t testing.TB) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/ciphertext_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d golden vectors", len(all))
	}
	return all
}

func (v *vector) open(t testing.TB) *Key {
	t.Helper()
	s, err := Open(kms.SymmetricDefault, v.Material)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGoldenVectorsDecrypt(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			h, err := ParseHeader(v.Ciphertext)
			if err != nil || !bytes.Equal(h.KeyID[:], v.KeyID) || h.KeyVersion != v.KeyVersion {
				t.Fatalf("header %v, error %v", h, err)
			}
			got, err := v.open(t).Decrypt(nil, v.Ciphertext, v.Context)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, v.Plaintext) {
				t.Errorf("plaintext %x, want %x", got, []byte(v.Plaintext))
			}
		})
	}
}

// What Encrypt makes today must be what the drawing says, so that today's ciphertexts are as good
// as golden ones: an independent reading of DESIGN.md opens both.
func TestEncryptFollowsTheDrawing(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			ct, err := v.open(t).Encrypt(nil, [16]byte(v.KeyID), v.KeyVersion, v.Context, v.Plaintext)
			if err != nil {
				t.Fatal(err)
			}
			if len(ct) != len(v.Plaintext)+Overhead {
				t.Errorf("%d bytes for %d", len(ct), len(v.Plaintext))
			}
			for what, ct := range map[string][]byte{"golden": v.Ciphertext, "new": ct} {
				if got := read(t, &v, ct); !bytes.Equal(got, v.Plaintext) {
					t.Errorf("%s: the drawing reads %x, want %x", what, got, []byte(v.Plaintext))
				}
			}
		})
	}
}

// read opens a ciphertext v1 step by step as DESIGN.md says, with primitives only.
func read(t *testing.T, v *vector, ct []byte) []byte {
	t.Helper()
	header := append([]byte{1, 1}, v.KeyID...)
	header = binary.BigEndian.AppendUint32(header, v.KeyVersion)
	salt, commitment, sealed := ct[22:54], ct[54:86], ct[86:]
	if !bytes.Equal(ct[:22], header) {
		t.Fatalf("header %x, want %x", ct[:22], header)
	}

	info := append([]byte("lockstep/ciphertext/v1\x00"), header[2:]...)
	prk := mac(salt, v.Material)
	encryptionKey := mac(prk, append(slices.Clone(info), 1))
	if want := mac(prk, append(append(slices.Clone(encryptionKey), info...), 2)); !bytes.Equal(commitment, want) {
		t.Fatalf("commitment %x, want %x", commitment, want)
	}

	names := slices.Sorted(maps.Keys(v.Context))
	aad := binary.BigEndian.AppendUint16(header, uint16(len(names)))
	for _, name := range names {
		for _, s := range []string{name, v.Context[name]} {
			aad = append(binary.BigEndian.AppendUint16(aad, uint16(len(s))), s...)
		}
	}
	block, err := aes.NewCipher(encryptionKey)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block) // the form that FIPS mode allows; its iv comes first
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := gcm.Open(nil, nil, sealed, aad)
	if err != nil {
		t.Fatal(err)
	}
	return plaintext
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}
