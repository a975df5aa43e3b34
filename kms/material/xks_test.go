package material

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/kms"
)

// xksVector is one golden XKS blob. testdata/xks_v1.json was made by an implementation of DESIGN.md in another
// language; it is never regenerated, only extended.
type xksVector struct {
	Name       string   `json:"name"`
	Material   hexBytes `json:"material"`
	KeyID      hexBytes `json:"key_id"`
	KeyVersion uint32   `json:"key_version"`
	Data       hexBytes `json:"data"`
	Plaintext  hexBytes `json:"plaintext"`
	Blob       hexBytes `json:"blob"`
}

func xksVectors(t testing.TB) []xksVector {
	t.Helper()
	all := readJSON[[]xksVector](t, "testdata/xks_v1.json")
	if len(all) < 7 {
		t.Fatalf("only %d golden vectors", len(all))
	}
	return all
}

func (v *xksVector) open(t testing.TB) *Key {
	t.Helper()
	k, err := Open(kms.SymmetricDefault, v.Material)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Golden blobs open for ever; what EncryptXKS makes today is what the drawing says, which an independent reading of
// it opens.
func TestXKSGoldenVectors(t *testing.T) {
	for _, v := range xksVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if version, err := ParseXKS(v.Blob); err != nil || version != v.KeyVersion {
				t.Fatalf("version %d, error %v", version, err)
			}
			got, err := v.open(t).DecryptXKS([16]byte(v.KeyID), v.Data, v.Blob)
			if err != nil || !bytes.Equal(got, v.Plaintext) {
				t.Fatalf("plaintext %x, error %v", got, err)
			}
			made, err := v.open(t).EncryptXKS([16]byte(v.KeyID), v.KeyVersion, v.Data, v.Plaintext)
			if err != nil || len(made) != XKSOverhead+len(v.Plaintext) {
				t.Fatalf("%d bytes, error %v", len(made), err)
			}
			for what, blob := range map[string][]byte{"golden": v.Blob, "new": made} {
				if got := v.read(t, blob); !bytes.Equal(got, v.Plaintext) {
					t.Errorf("%s: the drawing reads %x, want %x", what, got, []byte(v.Plaintext))
				}
			}
		})
	}
}

// read opens a blob step by step as DESIGN.md says, with primitives only.
func (v *xksVector) read(t *testing.T, blob []byte) []byte {
	t.Helper()
	metadata, salt, sealed := blob[:20], blob[20:24], blob[24:]
	version := binary.BigEndian.AppendUint32(nil, v.KeyVersion)
	info := slices.Concat([]byte("lockstep/xks/v1\x00"), v.KeyID, version)
	prk := mac(salt, v.Material)
	encryptionKey := mac(prk, append(slices.Clone(info), 1))
	commitment := mac(prk, slices.Concat(encryptionKey, info, []byte{2}))[:15]
	if want := slices.Concat([]byte{0x81}, version, commitment); !bytes.Equal(metadata, want) {
		t.Fatalf("metadata %x, want %x", metadata, want)
	}
	aad := binary.BigEndian.AppendUint16(nil, uint16(len(v.Data)))
	aad = slices.Concat(aad, v.Data, []byte{20}, metadata)
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

func TestXKSRoundTrip(t *testing.T) {
	a, b := open(t)
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")
		version := rapid.Uint32().Draw(t, "version")
		blob, err := a.EncryptXKS(testKeyID, version, data, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseXKS(blob); err != nil || got != version {
			t.Fatalf("version %d, error %v", got, err)
		}
		back, err := b.DecryptXKS(testKeyID, data, blob)
		if err != nil || !bytes.Equal(back, plaintext) {
			t.Fatalf("got %x, error %v", back, err)
		}
	})
}

// Every way in which a blob can be wrong gives the error of every invalid ciphertext, word for word. The two formats
// never open as each other.
func TestInvalidXKSBlobsAreAlike(t *testing.T) {
	k, _ := open(t)
	other, _ := open(t)
	data := []byte("project=nile")
	blob, err := k.EncryptXKS(testKeyID, 1, data, []byte("sixteen bytes..."))
	if err != nil {
		t.Fatal(err)
	}
	want := errInvalid().Error()
	refused := func(what string, k *Key, id [16]byte, data, blob []byte) {
		t.Helper()
		if got, err := k.DecryptXKS(id, data, blob); err == nil || err.Error() != want || got != nil {
			t.Errorf("%s: answer %x, error %v", what, got, err)
		}
	}
	for bit := range len(blob) * 8 {
		flipped := bytes.Clone(blob)
		flipped[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("bit %d flipped", bit), k, testKeyID, data, flipped)
	}
	for n := range len(blob) {
		refused(fmt.Sprintf("cut to %d bytes", n), k, testKeyID, data, blob[:n])
	}
	refused("one byte more", k, testKeyID, data, append(bytes.Clone(blob), 0))
	refused("other material", other, testKeyID, data, blob)
	refused("other key id", k, [16]byte{1}, data, blob)
	refused("no data", k, testKeyID, nil, blob)
	refused("other data", k, testKeyID, []byte("project=blue"), blob)
	refused("the metadata as data", k, testKeyID, append(bytes.Clone(data), blob[:XKSMetadataSize]...), blob)

	ct, err := k.Encrypt(nil, testKeyID, 1, nil, []byte("a plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	refused("a ciphertext v1", k, testKeyID, nil, ct)
	if _, err := k.Decrypt(nil, blob, nil); kms.CodeOf(err) != kms.CodeInvalidCiphertext {
		t.Errorf("the blob as a ciphertext v1: %v", err)
	}
	if _, err := k.DecryptXKS(testKeyID, data, blob); err != nil {
		t.Errorf("the blob itself: %v", err)
	}
}

func TestXKSRefusals(t *testing.T) {
	k, _ := open(t)
	if _, err := k.EncryptXKS(testKeyID, 1, make([]byte, MaxXKSData+1), nil); kms.CodeOf(err) != kms.CodeValidation {
		t.Errorf("long data: %v", err)
	}
	if _, err := k.DecryptXKS(testKeyID, make([]byte, MaxXKSData+1), make([]byte, 100)); kms.CodeOf(err) != kms.CodeValidation {
		t.Errorf("long data: %v", err)
	}
	plain, err := Generate(kms.HMAC256)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Open(kms.HMAC256, plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.EncryptXKS(testKeyID, 1, nil, nil); kms.CodeOf(err) != kms.CodeInvalidKeyUsage {
		t.Errorf("an HMAC key: %v", err)
	}
	blob, err := k.EncryptXKS(testKeyID, 1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.Wipe()
	if _, err := k.EncryptXKS(testKeyID, 1, nil, nil); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("a wiped key: %v", err)
	}
	if _, err := k.DecryptXKS(testKeyID, nil, blob); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("a wiped key: %v", err)
	}
}

// FuzzDecryptXKS: only the seeded blobs open, and only to their plaintexts.
func FuzzDecryptXKS(f *testing.F) {
	all := xksVectors(f)
	for _, v := range all {
		f.Add([]byte(v.Material), []byte(v.KeyID), []byte(v.Data), []byte(v.Blob))
	}
	f.Add(make([]byte, SymmetricSize), make([]byte, 16), []byte{}, make([]byte, XKSOverhead))
	f.Fuzz(func(t *testing.T, material, id, data, blob []byte) {
		k, err := Open(kms.SymmetricDefault, material)
		if err != nil || len(id) != 16 {
			return
		}
		got, err := k.DecryptXKS([16]byte(id), data, blob)
		if err != nil {
			if code := kms.CodeOf(err); code != kms.CodeInvalidCiphertext && code != kms.CodeValidation {
				t.Fatal(err)
			}
			return
		}
		for _, v := range all {
			if bytes.Equal(v.Blob, blob) && bytes.Equal(v.Plaintext, got) {
				return
			}
		}
		t.Fatalf("a forged blob opened: %x", blob)
	})
}
