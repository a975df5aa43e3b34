package material

import (
	"encoding/hex"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/kms"
)

func TestCanonicalContext(t *testing.T) {
	tests := []struct {
		name    string
		context map[string]string
		want    string // hex
		bad     bool
	}{
		{name: "nil", want: "0000"},
		{name: "empty", context: map[string]string{}, want: "0000"},
		{name: "empty key and value", context: map[string]string{"": ""}, want: "0001" + "0000" + "0000"},
		{name: "sorted by bytes", context: map[string]string{"b": "1", "B": "2", "ba": ""},
			want: "0003" + "000142" + "000132" + "000162" + "000131" + "00026261" + "0000"},
		{name: "value not UTF-8", context: map[string]string{"a": "\xff"}, bad: true},
		{name: "key not UTF-8", context: map[string]string{"\xc3": ""}, bad: true},
		{name: "one byte too long", context: map[string]string{"k": strings.Repeat("v", MaxContext-6)}, bad: true},
	}
	for _, tt := range tests {
		got, err := CanonicalContext(tt.context)
		if tt.bad != (kms.CodeOf(err) == kms.CodeValidation) || hex.EncodeToString(got) != tt.want {
			t.Errorf("%s: %x, error %v", tt.name, got, err)
		}
	}
	if got, err := CanonicalContext(map[string]string{"k": strings.Repeat("v", MaxContext-7)}); err != nil || len(got) != MaxContext {
		t.Errorf("longest: %d bytes, error %v", len(got), err)
	}
}

// A refused context is refused the same way by what uses it, and reveals nothing of the ciphertext.
func TestRefusedContextIsNotAnInvalidCiphertext(t *testing.T) {
	s, _ := open(t)
	bad := map[string]string{"a": "\xff"}
	if _, err := s.Encrypt(nil, testKeyID, 1, bad, nil); kms.CodeOf(err) != kms.CodeValidation {
		t.Errorf("Encrypt: %v", err)
	}
	ct, err := s.Encrypt(nil, testKeyID, 1, nil, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decrypt(nil, ct, bad); kms.CodeOf(err) != kms.CodeValidation {
		t.Errorf("Decrypt: %v", err)
	}
}

// Two contexts have the same bytes only when they are the same.
func TestCanonicalContextIsInjective(t *testing.T) {
	few := rapid.MapOfN(rapid.StringMatching(`[ab\x00]{0,3}`), rapid.StringMatching(`[ab\x00]{0,3}`), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := few.Draw(t, "a"), few.Draw(t, "b")
		x, err := CanonicalContext(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := CanonicalContext(b)
		if err != nil {
			t.Fatal(err)
		}
		if (string(x) == string(y)) != maps.Equal(a, b) {
			t.Fatalf("%v and %v: %x and %x", a, b, x, y)
		}
	})
}
