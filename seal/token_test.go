package seal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/kms"
)

// goldenToken is a token of the golden cluster. It opens for as long as the cluster's term is there.
type goldenToken struct{ Purpose, AAD, Plaintext, Token string } // hexadecimal, except Purpose

func goldenTokens(t testing.TB) []goldenToken {
	t.Helper()
	var tokens []goldenToken
	readGolden(t, "tokens.json", &tokens)
	if len(tokens) == 0 {
		t.Fatal("no vectors")
	}
	return tokens
}

func TestGoldenTokens(t *testing.T) {
	_, b := openGolden(t)
	for _, g := range goldenTokens(t) {
		got, err := b.OpenToken(g.Purpose, unhex(t, g.AAD), unhex(t, g.Token))
		if err != nil || hex.EncodeToString(got) != g.Plaintext {
			t.Errorf("%s: %x, %v", g.Purpose, got, err)
		}
	}
}

func TestTokenRoundTrip(t *testing.T) {
	_, _, b := newSet(t, 2, 2)
	rapid.Check(t, func(t *rapid.T) {
		purpose := rapid.String().Draw(t, "purpose")
		aad := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "aad")
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		token, err := b.SealToken(purpose, aad, plaintext)
		if err != nil || len(token) != TokenOverhead+len(plaintext) {
			t.Fatalf("%d bytes, %v", len(token), err)
		}
		got, err := b.OpenToken(purpose, aad, token)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("%x, %v", got, err)
		}
		// Moving a byte between purpose and aad is another token.
		if len(purpose) > 0 {
			if _, err := b.OpenToken(purpose[:len(purpose)-1], append([]byte{purpose[len(purpose)-1]}, aad...), token); err != ErrOpen {
				t.Fatalf("the purpose is not bound: %v", err)
			}
		}
	})
}

// TestChangedTokens shows that a token opens for nothing but what it was sealed for, and that every
// refusal is the same.
func TestChangedTokens(t *testing.T) {
	_, _, b := newSet(t, 2, 2)
	_, _, stranger := newSet(t, 2, 2)
	aad := []byte("who")
	token, err := b.SealToken("import", aad, []byte("the plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, b *Barrier, purpose string, aad, token []byte) {
		t.Helper()
		if got, err := b.OpenToken(purpose, aad, token); err != ErrOpen || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for bit := range 8 * len(token) {
		changed := bytes.Clone(token)
		changed[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprint("bit ", bit), b, "import", aad, changed)
	}
	for n := range token {
		refused(fmt.Sprint("first ", n), b, "import", aad, token[:n])
	}
	refused("longer", b, "import", aad, append(bytes.Clone(token), 0))
	refused("other purpose", b, "grant", aad, token)
	refused("longer purpose", b, "import\x00", aad, token)
	refused("no purpose", b, "", aad, token)
	refused("other aad", b, "import", []byte("wh"), token)
	refused("no aad", b, "import", nil, token)
	refused("other cluster", stranger, "import", aad, token)
	body, _, err := b.Seal(1, "import", 1, []byte("the plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	refused("a record", b, "import", aad, body)
	if got, err := b.Open(1, "import", 1, token); err != ErrOpen {
		t.Errorf("a token opens as a record: %x, %v", got, err)
	}
}

func TestTokensAfterWipe(t *testing.T) {
	_, _, b := newSet(t, 2, 2)
	token, err := b.SealToken("import", nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	var using sync.WaitGroup
	for range 4 {
		using.Go(func() {
			for range 100 {
				if _, err := b.OpenToken("import", nil, token); err != nil && kms.CodeOf(err) != kms.CodeSealed {
					t.Error(err)
				}
			}
		})
	}
	b.Wipe()
	using.Wait()
	if _, err := b.SealToken("import", nil, nil); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("seal: %v", err)
	}
	if _, err := b.OpenToken("import", nil, token); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("open: %v", err)
	}
}

func FuzzOpenToken(f *testing.F) {
	_, b := openGolden(f)
	g := goldenTokens(f)[0]
	sealed, aad := unhex(f, g.Token), unhex(f, g.AAD)
	f.Add(sealed)
	f.Add(sealed[:TokenOverhead])
	f.Add([]byte{tokenVersion, 0, 0, 0, 1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, token []byte) {
		got, err := b.OpenToken(g.Purpose, aad, token)
		if !bytes.Equal(token, sealed) && (err != ErrOpen || got != nil) {
			t.Fatalf("a token that nobody sealed: %x, %v", got, err)
		}
	})
}
