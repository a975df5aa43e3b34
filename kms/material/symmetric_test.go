package material

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

var testKeyID = [16]byte{0x12, 0x34, 0xab, 0xcd, 0x12, 0xab, 0x34, 0xcd, 0x56, 0xef, 0x12, 0x34, 0x56, 0x78, 0x90, 0xab}

// open returns two handles on the same new material.
func open(t testing.TB) (*Key, *Key) {
	t.Helper()
	plain, err := Generate(kms.SymmetricDefault)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(kms.SymmetricDefault, plain)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(kms.SymmetricDefault, plain)
	if err != nil {
		t.Fatal(err)
	}
	plain.Wipe() // the handles must have copies
	return a, b
}

func context() *rapid.Generator[map[string]string] {
	return rapid.MapOfN(rapid.StringN(-1, 20, 60), rapid.StringN(-1, 20, 60), 0, 12)
}

func TestRoundTrip(t *testing.T) {
	a, b := open(t)
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		context := context().Draw(t, "context")
		version := rapid.Uint32().Draw(t, "version")
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "prefix")

		out, err := a.Encrypt(bytes.Clone(prefix), testKeyID, version, context, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		ct, ok := bytes.CutPrefix(out, prefix)
		if !ok || len(ct) != len(plaintext)+Overhead {
			t.Fatalf("%d bytes appended to a prefix kept: %v", len(ct), ok)
		}
		if h, err := ParseHeader(ct); err != nil || h != (Header{testKeyID, version}) {
			t.Fatalf("header %v, error %v", h, err)
		}
		back, err := b.Decrypt(bytes.Clone(prefix), ct, maps.Clone(context))
		if err != nil || !bytes.Equal(back, append(bytes.Clone(prefix), plaintext...)) {
			t.Fatalf("got %x, error %v", back, err)
		}
		again, err := a.Encrypt(nil, testKeyID, version, context, plaintext)
		if err != nil || bytes.Equal(again, ct) {
			t.Fatalf("the same ciphertext twice, error %v", err)
		}
	})
}

// Every way in which a ciphertext can be wrong gives the same error, word for word.
func TestInvalidCiphertextsAreAlike(t *testing.T) {
	s, _ := open(t)
	other, _ := open(t)
	context := map[string]string{"tenant": "blue", "a": "b"}
	ct, err := s.Encrypt(nil, testKeyID, 1, context, []byte("sixteen bytes..."))
	if err != nil {
		t.Fatal(err)
	}
	want := errInvalid().Error()
	refused := func(what string, s *Key, ct []byte, context map[string]string) {
		t.Helper()
		dst := make([]byte, 0, 64)
		got, err := s.Decrypt(dst, ct, context)
		if err == nil || err.Error() != want || kms.CodeOf(err) != kms.CodeInvalidCiphertext || got != nil {
			t.Errorf("%s: answer %x, error %v", what, got, err)
		}
		if !bytes.Equal(dst[:cap(dst)], make([]byte, cap(dst))) {
			t.Errorf("%s: plaintext was left in the buffer", what)
		}
	}
	for bit := range len(ct) * 8 {
		flipped := bytes.Clone(ct)
		flipped[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("bit %d flipped", bit), s, flipped, context)
	}
	for n := range len(ct) {
		refused(fmt.Sprintf("cut to %d bytes", n), s, ct[:n], context)
	}
	refused("one byte more", s, append(bytes.Clone(ct), 0), context)
	refused("other material", other, ct, context)
	for what, changed := range map[string]map[string]string{
		"no context":           nil,
		"a pair less":          {"tenant": "blue"},
		"a pair more":          {"tenant": "blue", "a": "b", "": ""},
		"another value":        {"tenant": "red", "a": "b"},
		"another case":         {"Tenant": "blue", "a": "b"},
		"key and value moved":  {"tenantb": "lue", "a": "b"},
		"keys and values swap": {"tenant": "b", "a": "blue"},
	} {
		refused(what, s, ct, changed)
	}
	if _, err := s.Decrypt(nil, ct, context); err != nil {
		t.Errorf("the ciphertext itself: %v", err)
	}
}

func TestOpenRefusesOtherLengths(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 64} {
		if s, err := Open(kms.SymmetricDefault, make([]byte, n)); kms.CodeOf(err) != kms.CodeUnavailable || s != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestWipe(t *testing.T) {
	s, _ := open(t)
	ct, err := s.Encrypt(nil, testKeyID, 1, nil, []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	memory := s.plain
	s.Wipe()
	s.Wipe()
	if !bytes.Equal(memory, make([]byte, SymmetricSize)) {
		t.Error("the material is still in memory")
	}
	if _, err := s.Encrypt(nil, testKeyID, 1, nil, []byte("text")); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("Encrypt after Wipe: %v", err)
	}
	if _, err := s.Decrypt(nil, ct, nil); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("Decrypt after Wipe: %v", err)
	}
}

// Wipe waits for a call that is using the material.
func TestWipeWaitsForUsers(t *testing.T) {
	s, _ := open(t)
	memory := s.plain
	s.mu.RLock() // as Encrypt and Decrypt hold it
	done := make(chan struct{})
	go func() { s.Wipe(); close(done) }()
	for waiting := false; !waiting; { // until Wipe stands in line
		select {
		case <-done:
			t.Fatal("Wipe did not wait")
		default:
		}
		if waiting = !s.mu.TryRLock(); !waiting {
			s.mu.RUnlock()
			runtime.Gosched()
		}
	}
	if bytes.Equal(memory, make([]byte, SymmetricSize)) {
		t.Error("the material was wiped while it was used")
	}
	s.mu.RUnlock()
	<-done
	if !bytes.Equal(memory, make([]byte, SymmetricSize)) {
		t.Error("the material was not wiped")
	}
}

// Under load every ciphertext that was answered decrypts, and what was not answered says sealed.
func TestWipeUnderLoad(t *testing.T) {
	for range 50 {
		s, keep := open(t)
		var started, finished sync.WaitGroup
		for range 4 {
			started.Add(1)
			finished.Go(func() {
				begun := started.Done
				for {
					ct, err := s.Encrypt(nil, testKeyID, 1, nil, []byte("text"))
					if err != nil {
						if kms.CodeOf(err) != kms.CodeSealed {
							t.Error(err)
						}
						return
					}
					if begun != nil {
						begun()
						begun = nil
					}
					if got, err := keep.Decrypt(nil, ct, nil); err != nil || string(got) != "text" {
						t.Errorf("an answered ciphertext does not decrypt: %v", err)
					}
				}
			})
		}
		started.Wait()
		s.Wipe()
		finished.Wait()
	}
}

func TestHandlesDoNotPrintMaterial(t *testing.T) {
	plain := secret.Bytes(strings.Repeat("canary42", 4))
	s, err := Open(kms.SymmetricDefault, plain)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("opened", "material", s)
	texts := map[string]string{"slog": log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		texts[verb] = fmt.Sprintf(verb, s)
	}
	for verb, got := range texts {
		for _, leak := range []string{"canary42", "63616e61727934", "99 97 110", "0x63, 0x61"} {
			if strings.Contains(got, leak) {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
}

func BenchmarkEncrypt(b *testing.B) {
	s, _ := open(b)
	for _, context := range []map[string]string{nil, {"tenant": "blue", "purpose": "orders"}} {
		b.Run(fmt.Sprintf("32B/pairs=%d", len(context)), func(b *testing.B) {
			plaintext := make([]byte, 32)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Encrypt(nil, testKeyID, 1, context, plaintext); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecrypt(b *testing.B) {
	s, _ := open(b)
	for _, context := range []map[string]string{nil, {"tenant": "blue", "purpose": "orders"}} {
		b.Run(fmt.Sprintf("32B/pairs=%d", len(context)), func(b *testing.B) {
			ct, err := s.Encrypt(nil, testKeyID, 1, context, make([]byte, 32))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Decrypt(nil, ct, context); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
