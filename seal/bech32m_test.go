package seal

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The vectors of BIP-350, section "Test vectors for Bech32m".
var (
	validBech32m = []string{
		"A1LQFN3A",
		"a1lqfn3a",
		"an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
		"abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
		"11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
		"split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
		"?1v759aa",
	}
	invalidBech32m = map[string]string{
		"character of the prefix out of range, space": "\x201xj0phk",
		"character of the prefix out of range, DEL":   "\x7f1g6xzxy",
		"character of the prefix out of range, 0x80":  "\x801vctc34",
		"no separator":                            "qyrz8wqd2c9m",
		"empty prefix":                            "1qyrz8wqd2c9m",
		"invalid data character b":                "y1b0jsk6g",
		"invalid data character i":                "lt1igcx5c0",
		"checksum too short":                      "in1muywd",
		"invalid character i in the checksum":     "mm1crxm3i",
		"invalid character o in the checksum":     "au1s5cgom",
		"checksum calculated with upper-case HRP": "M1VUXWEZ",
		"empty prefix, only data":                 "16plkw9",
		"empty prefix, long":                      "1p2gdwpf",
		"mixed case":                              "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3rYx",
		"bech32, not bech32m":                     "a12uel5l",
		"empty":                                   "",
	}
)

func TestBech32mVectors(t *testing.T) {
	for _, s := range validBech32m {
		hrp, values, err := decodeBech32m(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got := string(encodeBech32m(hrp, values)); got != strings.ToLower(s) {
			t.Errorf("%q encodes again as %q", s, got)
		}
	}
	for name, s := range invalidBech32m {
		if hrp, values, err := decodeBech32m(s); err != errBech32m {
			t.Errorf("%s: %q decodes to %q, %v, %v", name, s, hrp, values, err)
		}
	}
}

func TestBech32mHasNoLengthLimit(t *testing.T) {
	// BIP-350 refuses this one for its length alone.
	const long = "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4"
	if _, _, err := decodeBech32m(long); err != nil {
		t.Error(err)
	}
	s := string(encodeBech32m("x", make([]byte, 5000)))
	if _, values, err := decodeBech32m(s); err != nil || len(values) != 5000 {
		t.Errorf("%d values, %v", len(values), err)
	}
}

func TestRegroup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "raw")
		values, err := regroup(raw, 8, 5, true)
		if err != nil {
			t.Fatal(err)
		}
		again, err := regroup(values, 5, 8, false)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%x came back as %x, %v", raw, again, err)
		}
	})
	for name, values := range map[string][]byte{
		"padding is not zero":      {31, 31},
		"a whole group of padding": {0, 0, 0},
	} {
		if out, err := regroup(values, 5, 8, false); err == nil {
			t.Errorf("%s: %v", name, out)
		}
	}
}

func FuzzBech32m(f *testing.F) {
	for _, s := range validBech32m {
		f.Add(s)
	}
	for _, s := range invalidBech32m {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hrp, values, err := decodeBech32m(s)
		if err != nil {
			return
		}
		if got := string(encodeBech32m(hrp, values)); got != strings.ToLower(s) {
			t.Fatalf("%q encodes again as %q", s, got)
		}
	})
}
