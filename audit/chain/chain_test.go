package chain

import (
	"bytes"
	"crypto/ed25519"
	"math"
	"strings"
	"testing"
)

// golden is a line whose hash another program computed.
const golden = `{"additionalEventData":{"node":"n1","seq":77,"prev":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","hash":"HKyw6A41TlpkxSKyxINfV4uc4RZSWQiToPikHgWI-tg"}}`

func TestGoldenLine(t *testing.T) {
	var prev Hash
	for i := range prev {
		prev[i] = byte(i)
	}
	body, _, _ := strings.Cut(golden, `,"seq"`)
	b, hash := AppendLink([]byte("before"+body), len("before"), 77, prev)
	if string(b) != "before"+golden {
		t.Errorf("%s", b)
	}
	l, err := ReadLink([]byte(golden))
	if err != nil || l != (Link{77, prev, hash}) || !l.Fits([]byte(golden)) {
		t.Errorf("%+v, %v", l, err)
	}
}

// No bit of a line may be another one.
func TestEveryBitOfALine(t *testing.T) {
	for i := range golden {
		for bit := range 8 {
			changed := []byte(golden)
			changed[i] ^= 1 << bit
			if l, err := ReadLink(changed); err == nil && l.Fits(changed) {
				t.Errorf("%s is taken", changed)
			}
		}
	}
}

func TestLinkReadsBack(t *testing.T) {
	for _, want := range []Link{{Seq: 1}, {Seq: math.MaxUint64, Prev: Hash{0xff}}} {
		b, hash := AppendLink([]byte(`{"additionalEventData":{"node":"n1"`), 0, want.Seq, want.Prev)
		want.Hash = hash
		if got, err := ReadLink(b); err != nil || got != want || !got.Fits(b) {
			t.Errorf("%+v read back as %+v, %v", want, got, err)
		}
	}
}

func FuzzReadLink(f *testing.F) {
	f.Add([]byte(golden))
	f.Add([]byte(golden[:len(golden)-5] + `A"}}`)) // of another line
	f.Add([]byte(`"}}`))
	f.Add([]byte(`,"seq":01,"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}`))
	f.Add([]byte(strings.Replace(golden, "AAECAw", "AA\nCAw", 1)))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := ReadLink(line)
		if err != nil {
			return
		}
		suffix, _ := AppendLink(nil, 0, l.Seq, l.Prev)
		again, hash := AppendLink(bytes.Clone(line[:len(line)-len(suffix)]), 0, l.Seq, l.Prev)
		if fits := l.Fits(line); fits != bytes.Equal(again, line) || fits != (hash == l.Hash) {
			t.Errorf("%q was read as %+v, fits %v, and is written %q", line, l, fits, again)
		}
		if body := len(line) - unhashed; !bytes.Equal(again[:body], line[:body]) {
			t.Errorf("%q was read as %+v, which is written %q", line, l, again)
		}
	})
}

func TestHeadSignature(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	head := Head{Cluster: "c1", Node: "n1", Seq: 9, Hash: Hash{7}, Time: 1234}
	sig := head.Sign(private)
	if !head.Verify(public, sig) {
		t.Fatal("its own signature is refused")
	}
	for name, change := range map[string]func(*Head){
		"cluster": func(h *Head) { h.Cluster = "c2" },
		"node":    func(h *Head) { h.Node = "n2" },
		"shifted": func(h *Head) { h.Cluster, h.Node = "c1n", "1" },
		"seq":     func(h *Head) { h.Seq++ },
		"hash":    func(h *Head) { h.Hash[31] ^= 1 },
		"time":    func(h *Head) { h.Time++ },
	} {
		other := head
		change(&other)
		if other.Verify(public, sig) {
			t.Errorf("%s: the signature of another head is taken", name)
		}
	}
	if head.Verify(nil, sig) || head.Verify(public, nil) {
		t.Error("no key or no signature is taken")
	}
}
