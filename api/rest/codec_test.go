package rest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/lockstep-kms/lockstep/kms"
)

// The short way must render what the long way renders, or nothing.
func TestEncodeCrypto(t *testing.T) {
	const arn, id = "arn:aws:kms:us-east-1:000000000000:key/0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55", "0011"
	blobs := [][]byte{nil, {}, {0}, {1, 2}, []byte("three"), bytes.Repeat([]byte{0xff}, 4096)}
	for _, text := range []string{"", arn, `a"b`, `a\b`, "a\nb", "\x7f", "é", strings.Repeat("x", 500)} {
		for _, blob := range blobs {
			for _, answer := range []any{
				&kms.EncryptAnswer{CiphertextBlob: blob, KeyID: text, EncryptionAlgorithm: kms.AlgorithmSymmetricDefault},
				&kms.EncryptAnswer{CiphertextBlob: blob, KeyID: arn, EncryptionAlgorithm: kms.EncryptionAlgorithm(text)},
				&kms.DecryptAnswer{Plaintext: blob, KeyID: text, KeyMaterialID: id},
				&kms.DecryptAnswer{Plaintext: blob, KeyID: arn, KeyMaterialID: text},
				&kms.GenerateDataKeyAnswer{Plaintext: blob, CiphertextBlob: blob, KeyID: text},
				&kms.GenerateDataKeyAnswer{CiphertextBlob: blob, KeyID: arn, KeyMaterialID: text},
			} {
				want, err := json.Marshal(answer)
				if err != nil {
					t.Fatal(err)
				}
				got := encodeCrypto(answer)
				if plain := text == "" || text == arn || text[0] == 'x'; plain && got == nil {
					t.Errorf("%T with %q took the long way", answer, text)
				}
				if got != nil && !bytes.Equal(got, want) {
					t.Errorf("%T: %s, want %s", answer, got, want)
				}
			}
		}
	}
	if encodeCrypto(&kms.KeyAnswer{}) != nil || encodeCrypto(nil) != nil {
		t.Error("another answer took the short way")
	}
}
