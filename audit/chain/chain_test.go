package chain

import (
	"bytes"
	"crypto/ed25519"
	"math"
	"testing"
)

func TestLinkReadsBack(t *testing.T) {
	for _, l := range []Link{{Seq: 1}, {Seq: 77, Prev: Of([]byte("line"))}, {Seq: math.MaxUint64, Prev: Hash{0xff}}} {
		b := AppendLink([]byte(`{"additionalEventData":{"node":"n1"`), l)
		got, err := ReadLink(b)
		if err != nil || got != l {
			t.Errorf("%+v read back as %+v, %v", l, got, err)
		}
		if n := len(b) - len(`{"additionalEventData":{"node":"n1"`); n > LinkSize {
			t.Errorf("%d bytes, at most %d are promised", n, LinkSize)
		}
	}
}

func FuzzReadLink(f *testing.F) {
	f.Add(AppendLink([]byte(`{"a":{"b":1`), Link{Seq: 12, Prev: Of(nil)}))
	f.Add([]byte(`"}}`))
	f.Add([]byte(`,"seq":01,"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}`))
	f.Add([]byte("{\"b\":{\"b\":1,\"seq\":12,\"prev\":\"47DEQpj\nHBSaEQpjNH-5JCeuQeRkm5NMpJWZG3h7DEQ\"}}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := ReadLink(line)
		if err != nil {
			return
		}
		suffix := AppendLink(nil, l)
		if !bytes.HasSuffix(line, suffix) {
			t.Errorf("%q was read as %+v, which is written %q", line, l, suffix)
		}
	})
}

func TestHeadSignature(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	head := Head{Cluster: "c1", Node: "n1", Seq: 9, Hash: Of([]byte("x")), Time: 1234}
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
