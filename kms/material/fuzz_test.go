package material

import (
	"bytes"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// FuzzParseHeader: what parses is written back the same, everything else gives the one error.
func FuzzParseHeader(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.Ciphertext))
	}
	f.Add([]byte{})
	f.Add([]byte{1, 1})
	f.Add(bytes.Repeat([]byte{1}, Overhead-1))
	f.Add(bytes.Repeat([]byte{1}, Overhead))
	f.Fuzz(func(t *testing.T, ct []byte) {
		h, err := ParseHeader(ct)
		if err != nil {
			if err.Error() != errInvalid().Error() || h != (Header{}) {
				t.Fatalf("header %v, error %v", h, err)
			}
			return
		}
		if !bytes.Equal(h.appendTo(nil), ct[:HeaderSize]) {
			t.Fatalf("%v was read from %x", h, ct)
		}
	})
}

// FuzzDecrypt: only the seeded ciphertexts open, and only to their plaintexts.
func FuzzDecrypt(f *testing.F) {
	all := vectors(f)
	for _, v := range all {
		if len(v.Context) <= 1 {
			var key, value string
			for key, value = range v.Context {
			}
			f.Add([]byte(v.Material), []byte(v.Ciphertext), key, value, len(v.Context) == 1)
		}
	}
	f.Add(make([]byte, SymmetricSize), make([]byte, Overhead), "k", "\xff", true)
	f.Fuzz(func(t *testing.T, material, ct []byte, key, value string, withContext bool) {
		s, err := Open(kms.SymmetricDefault, material)
		if err != nil {
			return
		}
		var context map[string]string
		if withContext {
			context = map[string]string{key: value}
		}
		got, err := s.Decrypt(nil, ct, context)
		if err != nil {
			if code := kms.CodeOf(err); code != kms.CodeInvalidCiphertext && code != kms.CodeValidation {
				t.Fatal(err)
			}
			return
		}
		for _, v := range all {
			if bytes.Equal(v.Ciphertext, ct) && bytes.Equal(v.Plaintext, got) {
				return
			}
		}
		t.Fatalf("a forged ciphertext opened: %x", ct)
	})
}
