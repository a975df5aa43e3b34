package seal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

// newSet makes a cluster for a test.
func newSet(t testing.TB, threshold, shares int) (Config, []string, *Barrier) {
	t.Helper()
	c, texts, b, err := Initialize(Params{Shares: shares, Threshold: threshold, AllowSingle: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return c, plain(texts), b
}

func plain(texts []secret.Bytes) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = string(s)
	}
	return out
}

// readGolden decodes a file of testdata, made by the first release and never made anew.
func readGolden(t testing.TB, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func testShare() share {
	s := share{fingerprint: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, set: [8]byte{9, 10, 11, 12, 13, 14, 15, 16}, t: 3, n: 5, x: 4}
	for i := range s.y {
		s.y[i] = byte(i * 7)
	}
	return s
}

func TestShareText(t *testing.T) {
	s := testShare()
	var golden struct{ Text string }
	readGolden(t, "share.json", &golden)
	if got := string(s.text()); got != golden.Text || len(got) != shareLength {
		t.Errorf("the share is written as\n%s, want\n%s", got, golden.Text)
	}
	for _, text := range []string{golden.Text, strings.ToUpper(golden.Text), " \t" + golden.Text + "\r\n"} {
		got, err := parseShare(text)
		if err != nil || *got != s {
			t.Errorf("%q reads as %+v, %v", text, got, err)
		}
	}
}

// TestEveryTypo changes every character to every other one, removes, doubles and swaps them.
func TestEveryTypo(t *testing.T) {
	s := testShare()
	text := string(s.text())
	refused := func(typo string) {
		t.Helper()
		if _, err := parseShare(typo); kms.CodeOf(err) != kms.CodeInvalidShare {
			t.Errorf("%q: %v", typo, err)
		} else if len(typo) > 20 && strings.Contains(err.Error(), typo[9:]) {
			t.Errorf("the error repeats what was typed: %v", err)
		}
	}
	for i := range text {
		for c := byte(1); c < 128; c++ {
			if c != text[i] {
				refused(text[:i] + string(c) + text[i+1:])
			}
		}
		refused(text[:i] + text[i+1:])
		refused(text[:i] + text[i:i+1] + text[i:])
		refused(text[:i])
		if i > 0 && text[i-1] != text[i] {
			refused(text[:i-1] + text[i:i+1] + text[i-1:i] + text[i+1:])
		}
	}
	refused("")
	refused(strings.Repeat("q", 1<<20))
}

// TestWellFormedNonsense has the right checksum around bytes that are no share.
func TestWellFormedNonsense(t *testing.T) {
	encode := func(hrp string, raw []byte) string {
		values, _ := regroup(raw, 8, 5, true)
		return string(encodeBech32m(hrp, values))
	}
	s := testShare()
	raw := s.append(nil)
	change := func(at int, b byte) []byte {
		c := bytes.Clone(raw)
		c[at] = b
		return c
	}
	for name, text := range map[string]string{
		"other prefix":      encode("lockstop", raw),
		"version 0":         encode(shareHRP, change(0, 0)),
		"version 2":         encode(shareHRP, change(0, 2)),
		"threshold 0":       encode(shareHRP, change(17, 0)),
		"threshold 1 of 5":  encode(shareHRP, change(17, 1)),
		"threshold above n": encode(shareHRP, change(17, 6)),
		"too many shares":   encode(shareHRP, change(18, MaxShares+1)),
		"share number 0":    encode(shareHRP, change(19, 0)),
		"share number 6":    encode(shareHRP, change(19, 6)),
		"too short":         encode(shareHRP, raw[:51]),
		"too long":          encode(shareHRP, append(bytes.Clone(raw), 0)),
	} {
		if _, err := parseShare(text); kms.CodeOf(err) != kms.CodeInvalidShare {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWrongSharesAreNamed checks well-formed shares against a configuration.
func TestWrongSharesAreNamed(t *testing.T) {
	c, texts, _ := newSet(t, 2, 3)
	again, newer, b, err := ReInitialize(c, Params{Shares: 3, Threshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Wipe()
	_, foreign, _ := newSet(t, 2, 3)

	forged := func(change func(s *share)) string {
		s, err := c.checkShare(texts[0])
		if err != nil {
			t.Fatal(err)
		}
		change(s)
		return string(s.text())
	}
	tests := []struct {
		name   string
		config Config
		text   string
		want   kms.Code
	}{
		{"right", c, texts[0], ""},
		{"right, of the newer set", again, string(newer[2]), ""},
		{"other cluster", c, foreign[0], kms.CodeShareOtherCluster},
		{"superseded", again, texts[0], kms.CodeShareSuperseded},
		{"changed value", c, forged(func(s *share) { s.y[31] ^= 1 }), kms.CodeShareWrong},
		{"changed number", c, forged(func(s *share) { s.x = 2 }), kms.CodeShareWrong},
		{"changed threshold", c, forged(func(s *share) { s.t = 3 }), kms.CodeShareWrong},
		{"changed count", c, forged(func(s *share) { s.n = 4 }), kms.CodeShareWrong},
		{"number that was never issued", c, forged(func(s *share) { s.n, s.x = 32, 32 }), kms.CodeShareWrong},
	}
	for _, tt := range tests {
		s, err := tt.config.checkShare(tt.text)
		if kms.CodeOf(err) != tt.want || (s == nil) != (tt.want != "") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && strings.Contains(fmt.Sprintf("%+v %#v", err, err), tt.text[20:]) {
			t.Errorf("%s: the error holds the share", tt.name)
		}
	}
}

func FuzzParseShare(f *testing.F) {
	s := testShare()
	f.Add(string(s.text()))
	f.Add(strings.ToUpper(string(s.text())))
	f.Add("lockstep1")
	f.Add("lockstep1" + strings.Repeat("q", 90))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseShare(text)
		if err != nil {
			if kms.CodeOf(err) != kms.CodeInvalidShare {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if got := string(s.text()); got != strings.ToLower(strings.TrimSpace(text)) {
			t.Fatalf("%q is written again as %q", text, got)
		}
	})
}
