package seal

import (
	"bytes"
	"crypto/fips140"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/lockstep-kms/lockstep/kms"
	"pgregory.net/rapid"
)

// goldenCluster is a cluster of the first release: its configuration, its shares, records and
// names. All of it opens for ever.
type goldenCluster struct {
	Config  string
	Shares  []string
	Records []struct {
		Kind                int
		ID, Plaintext, Body string // hexadecimal, except ID
		Revision            uint64
	}
	Names []struct {
		Label string
		Parts []string
		ID    string // hexadecimal
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// openGolden unseals the golden cluster with two of its three shares.
func openGolden(t testing.TB) (goldenCluster, *Barrier) {
	t.Helper()
	var g goldenCluster
	readGolden(t, "cluster.json", &g)
	c, err := DecodeConfig(unhex(t, g.Config))
	if err != nil {
		t.Fatal(err)
	}
	u := NewUnsealer(0, false)
	if _, _, err := u.Submit(c, g.Shares[2], ""); err != nil {
		t.Fatal(err)
	}
	_, b, err := u.Submit(c, g.Shares[0], "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return g, b
}

func TestGoldenCluster(t *testing.T) {
	g, b := openGolden(t)
	if len(g.Records) == 0 || len(g.Names) == 0 {
		t.Fatal("no vectors")
	}
	for _, r := range g.Records {
		got, err := b.Open(uint8(r.Kind), r.ID, r.Revision, unhex(t, r.Body))
		if err != nil || hex.EncodeToString(got) != r.Plaintext {
			t.Errorf("%d/%s: %x, %v", r.Kind, r.ID, got, err)
		}
	}
	for _, n := range g.Names {
		if got := b.NameID(n.Label, n.Parts...); hex.EncodeToString(got[:]) != n.ID {
			t.Errorf("%s%q is %x", n.Label, n.Parts, got)
		}
	}
}

func TestRecordRoundTrip(t *testing.T) {
	_, _, b := newSet(t, 2, 2)
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.Uint8().Draw(t, "kind")
		id := string(rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "id"))
		revision := rapid.Uint64().Draw(t, "revision")
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		body, term, err := b.Seal(kind, id, revision, plaintext)
		if err != nil || term != 1 || len(body) != Overhead+len(plaintext) {
			t.Fatalf("%d bytes, term %d, %v", len(body), term, err)
		}
		got, err := b.Open(kind, id, revision, body)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("%x, %v", got, err)
		}
	})
}

// TestChangedRecords shows that a body opens nowhere but where it was sealed for, and that every
// refusal is the same.
func TestChangedRecords(t *testing.T) {
	_, _, b := newSet(t, 2, 2)
	_, _, stranger := newSet(t, 2, 2)
	const kind, id, revision = 6, "record", 41
	body, _, err := b.Seal(kind, id, revision, []byte("the plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, b *Barrier, kind uint8, id string, revision uint64, body []byte) {
		t.Helper()
		if got, err := b.Open(kind, id, revision, body); err != ErrOpen || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for bit := range 8 * len(body) {
		changed := bytes.Clone(body)
		changed[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprint("bit ", bit), b, kind, id, revision, changed)
	}
	for n := range body {
		refused(fmt.Sprint("first ", n), b, kind, id, revision, body[:n])
	}
	refused("longer", b, kind, id, revision, append(bytes.Clone(body), 0))
	refused("other kind", b, kind+1, id, revision, body)
	refused("other id", b, kind, "recorD", revision, body)
	refused("longer id", b, kind, id+"\x00", revision, body)
	refused("older revision", b, kind, id, revision-1, body)
	refused("newer revision", b, kind, id, revision+1, body)
	refused("other cluster", stranger, kind, id, revision, body)
}

// TestTerms opens records of an older term and seals under the active one.
func TestTerms(t *testing.T) {
	_, _, b := newSet(t, 2, 2)
	older, _, err := b.Seal(1, "a", 1, []byte("older"))
	if err != nil {
		t.Fatal(err)
	}
	b.terms[7] = bytes.Repeat([]byte{7}, keySize)
	b.active = 7
	newer, term, err := b.Seal(1, "a", 1, []byte("newer"))
	if err != nil || term != 7 {
		t.Fatalf("term %d, %v", term, err)
	}
	for want, body := range map[string][]byte{"older": older, "newer": newer} {
		if got, err := b.Open(1, "a", 1, body); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
	copy(older[1:bodyHeader], newer[1:bodyHeader])
	if _, err := b.Open(1, "a", 1, older); err != ErrOpen {
		t.Errorf("a body moved to another term: %v", err)
	}
}

func TestNameID(t *testing.T) {
	c, texts, b := newSet(t, 2, 2)
	again, err := openBarrier(c, unsealKeyOf(t, texts), false)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Wipe()
	_, _, stranger := newSet(t, 2, 2)
	if b.NameID("alias", "a", "b") != again.NameID("alias", "a", "b") {
		t.Error("a name changed with the next unseal")
	}
	if b.NameID("alias", "a", "b") == stranger.NameID("alias", "a", "b") {
		t.Error("two clusters share a name")
	}
	seen := map[[32]byte][]string{}
	for _, name := range [][]string{{"alias"}, {"alias", ""}, {"alias", "", ""}, {"alias", "ab"}, {"alias", "a", "b"}, {"alias", "b", "a"}, {"aliasa", "b"}, {"", "alias", "ab"}, {""}} {
		id := b.NameID(name[0], name[1:]...)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q are the same", name, other)
		}
		seen[id] = name
	}
}

func TestWipe(t *testing.T) {
	c, _, b := newSet(t, 2, 2)
	body, _, err := b.Seal(1, "a", 1, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	b.Wipe()
	b.Wipe()
	if _, _, err := b.Seal(1, "a", 1, nil); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("Seal: %v", err)
	}
	if _, err := b.Open(1, "a", 1, body); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("Open: %v", err)
	}
	if _, err := b.MarkActivated(c); kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("MarkActivated: %v", err)
	}
	if id := b.NameID("alias"); id != [32]byte{} {
		t.Errorf("NameID: %x", id)
	}
	if b.ClusterID() != c.ClusterID || b.Term() != 1 {
		t.Error("cluster id and term are no secrets and stay")
	}
}

// TestWipeUnderUse wipes while others seal and open: each call works wholly or is refused.
func TestWipeUnderUse(t *testing.T) {
	_, _, b := newSet(t, 2, 2)
	var users sync.WaitGroup
	started := make(chan struct{}, 4)
	for range 4 {
		users.Go(func() {
			for first := true; ; first = false {
				body, _, err := b.Seal(1, "a", 1, []byte("x"))
				if err == nil {
					_, err = b.Open(1, "a", 1, body)
					_ = b.NameID("alias", "a")
				}
				if first {
					started <- struct{}{}
				}
				if kms.CodeOf(err) == kms.CodeSealed {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	b.Wipe()
	users.Wait()
}

// TestKeysAreInLockedMemory looks where the keys are, and at what the kernel says is locked.
func TestKeysAreInLockedMemory(t *testing.T) {
	before := lockedMemory(t)
	_, _, b := newSet(t, 2, 2)
	if after := lockedMemory(t); after == before {
		t.Errorf("VmLck is %s before and after", before)
	}
	mem := b.keys.Bytes()
	start := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	for name, key := range map[string][]byte{"root key": b.root, "index key": b.index, "term 1": b.terms[1]} {
		at := uintptr(unsafe.Pointer(unsafe.SliceData(key)))
		if len(key) != keySize || at < start || at+keySize > start+uintptr(len(mem)) {
			t.Errorf("%s is not in the locked region", name)
		}
		if text := fmt.Sprintf("%v %+v %#v %s %x %d", b, b, b, b, b, struct{ B *Barrier }{b}); strings.Contains(text, hex.EncodeToString(key)) || strings.Contains(text, fmt.Sprint(key[:4])) {
			t.Errorf("%s shows in %s", name, text)
		}
	}
	b.Wipe()
	if wiped := lockedMemory(t); wiped != before {
		t.Errorf("VmLck is %s after Wipe, %s before", wiped, before)
	}
}

func lockedMemory(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^VmLck:\s*(.*)$`).FindSubmatch(status)
	if m == nil {
		t.Fatal("/proc/self/status has no VmLck")
	}
	return string(m[1])
}

// TestFIPSOnly runs a cluster's way from init to open records in a process that refuses everything
// outside the FIPS 140-3 module.
func TestFIPSOnly(t *testing.T) {
	if fips140.Enforced() {
		return
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^(TestUnseal|TestReInitialize|TestMarkActivated|TestGoldenCluster|TestChangedRecords)$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Count(out, []byte("--- PASS")) != 5 {
		t.Fatalf("%v\n%s", err, out)
	}
}

func FuzzBarrierOpen(f *testing.F) {
	g, b := openGolden(f)
	r := g.Records[0]
	sealed := unhex(f, r.Body)
	f.Add(sealed)
	f.Add(sealed[:Overhead])
	f.Add([]byte{bodyFormat, 0, 0, 0, 1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := b.Open(uint8(r.Kind), r.ID, r.Revision, body)
		if !bytes.Equal(body, sealed) && (err != ErrOpen || got != nil) {
			t.Fatalf("a body that nobody sealed: %x, %v", got, err)
		}
	})
}

func BenchmarkBarrierSeal(b *testing.B) {
	_, _, barrier := newSet(b, 2, 2)
	plaintext := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := barrier.Seal(6, "0123456789abcdef0123456789abcdef", 7, plaintext); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNameID(b *testing.B) {
	_, _, barrier := newSet(b, 2, 2)
	b.ReportAllocs()
	for b.Loop() {
		barrier.NameID("alias", "000000000000", "us-east-1", "alias/some-name")
	}
}
