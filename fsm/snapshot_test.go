package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
)

// populate fills a node with something of everything.
func populate(n *node) {
	n.commit(Applied, txn(1, key("a", 1, scopeID(1), scopeID(2)), key("b", 1, scopeID(1)),
		Write{Kind: KindSealConfig, ID: "config", Revision: 1, Body: []byte("clear")}))
	long := txn(2, drop(key("b", 2)), Write{Kind: KindSetting, ID: "s", Revision: 2, Term: 3, Body: []byte("x")})
	long.Long = true
	n.commit(Applied, long)
	n.now += TombstoneAge + 1
	n.run(EncodeDropTombstones(n.now))
	n.commit(Applied, txn(3, drop(key("c", 4))))
	n.commit(Applied, txn(4, key("d", 5, scopeID(2))))
}

func sameState(t tester, a, b *View) {
	t.Helper()
	if a.Digest() != b.Digest() || a.Index() != b.Index() || a.LogTime() != b.LogTime() {
		t.Fatalf("states differ: index %d and %d, digest %x and %x", a.Index(), b.Index(), a.Digest(), b.Digest())
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	n := newNode(t)
	populate(n)
	data := persist(t, n.FSM)
	other := newNode(t)
	mustRestore(t, other.FSM, data)
	audit(t, other.View())
	sameState(t, n.View(), other.View())
	if again := persist(t, other.FSM); !bytes.Equal(again, data) {
		t.Fatal("the snapshot of the restored state differs")
	}
	info, err := VerifySnapshot(bytes.NewReader(data))
	if err != nil || info.Index != n.View().Index() || info.Digest != n.View().Digest() || info.Records != 5 || info.Epoch != 1 {
		t.Fatalf("%+v, %v", info, err)
	}
	// Both go on alike: guards, retries and floors came along.
	other.index, other.now = n.index, n.now
	for _, m := range []*node{n, other} {
		m.commit(Repeated, txn(4))
		m.commit(Stale, txn(5, key("b", 2)))
		m.commit(Applied, txn(6, key("b", 6, scopeID(1))))
	}
	sameState(t, n.View(), other.View())
}

// Version 1 of the snapshot is what every later release must go on reading.
func TestSnapshotGolden(t *testing.T) {
	n := newNode(t)
	populate(n)
	want := golden(t, "snapshot.hex")
	if got := persist(t, n.FSM); !bytes.Equal(got, want) {
		t.Errorf("written\n%x", got)
	}
	other := newNode(t)
	mustRestore(t, other.FSM, want)
	sameState(t, n.View(), other.View())
	if want := golden(t, "digest.hex"); fmt.Sprintf("%x", n.View().Digest()) != fmt.Sprintf("%x", want) {
		t.Errorf("digest %x", n.View().Digest())
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	n := newNode(t)
	other := newNode(t)
	mustRestore(t, other.FSM, persist(t, n.FSM))
	sameState(t, n.View(), other.View())
}

// Records enough for several sections of each table.
func TestLargeSnapshot(t *testing.T) {
	n := newNode(t)
	body := bytes.Repeat([]byte("sealed"), 100)
	for i := range 40 {
		x := txn(i)
		x.Long = i%3 == 0
		for j := range 60 {
			w := key(ID(fmt.Sprintf("%d/%d", i, j)), 1, ScopeID(sha256.New().Sum([]byte{byte(i), byte(j)})[:16]))
			w.Body = body
			x.Writes = append(x.Writes, w)
		}
		n.commit(Applied, x)
	}
	n.commit(Applied, txn(100, Write{Kind: KindPolicy, ID: "large", Revision: 1, Term: 1, Body: make([]byte, MaxBody)}))
	data := persist(t, n.FSM)
	if len(data) < 4*sectionTarget {
		t.Fatalf("only %d bytes", len(data))
	}
	other := newNode(t)
	mustRestore(t, other.FSM, data)
	audit(t, other.View())
	sameState(t, n.View(), other.View())
}

func TestDamagedSnapshotChangesNothing(t *testing.T) {
	n := newNode(t)
	populate(n)
	good := persist(t, n.FSM)
	victim := newNode(t)
	victim.commit(Applied, txn(50, key("mine", 1)))
	before := victim.View()
	refuse := func(data []byte, what string) {
		t.Helper()
		if err := restore(victim.FSM, data); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%s: %v", what, err)
		}
		if victim.View() != before {
			t.Fatalf("%s: the state changed", what)
		}
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			refuse(bad, fmt.Sprintf("bit %d of byte %d", bit, i))
		}
		refuse(good[:i], fmt.Sprintf("cut at %d", i))
	}
	refuse(append(bytes.Clone(good), 0), "one byte more")
	victim.commit(Applied, txn(51, key("mine", 2)))
	audit(t, victim.View())
}

// section is a section taken out of a snapshot.
type section struct {
	kind    byte
	payload []byte
}

func sections(t testing.TB, data []byte) (list []section) {
	t.Helper()
	r := sectionReader{r: bytes.NewReader(data[len(snapshotMagic)+2:])}
	for {
		kind, payload, err := r.next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, section{kind, bytes.Clone(payload)})
		r.number++
	}
}

// assemble writes sections with fresh numbers and hashes, as someone would who mends them.
func assemble(list []section) []byte {
	var out bytes.Buffer
	out.Write(binary.BigEndian.AppendUint16([]byte(snapshotMagic), snapshotVersion))
	w := sectionWriter{w: &out, buf: make([]byte, sectionHead)}
	for _, s := range list {
		w.buf = append(w.buf, s.payload...)
		w.flush(s.kind)
	}
	return out.Bytes()
}

// Every section is whole, and still the snapshot is not: counts, order and the digest tell.
func TestForgedSnapshot(t *testing.T) {
	n := newNode(t)
	populate(n)
	good := sections(t, persist(t, n.FSM))
	if data := assemble(good); !bytes.Equal(data, persist(t, n.FSM)) || len(good) != 5 {
		t.Fatalf("%d sections", len(good))
	}
	payload := func(i int, change func([]byte) []byte) func([]section) []section {
		return func(list []section) []section {
			list[i].payload = change(bytes.Clone(list[i].payload))
			return list
		}
	}
	for name, forge := range map[string]func([]section) []section{
		"no meta":        func(l []section) []section { return l[1:] },
		"two metas":      func(l []section) []section { return append(l[:1:1], l...) },
		"no records":     func(l []section) []section { return append(l[:1:1], l[2:]...) },
		"records twice":  func(l []section) []section { return append(l[:2:2], l[1:]...) },
		"no scopes":      func(l []section) []section { return append(l[:2:2], l[3:]...) },
		"no memory":      func(l []section) []section { return append(l[:3:3], l[4:]...) },
		"swapped":        func(l []section) []section { l[1], l[2] = l[2], l[1]; return l },
		"unknown":        func(l []section) []section { l[4].kind = 9; return l },
		"two ends":       func(l []section) []section { return append(l, l[4]) },
		"another body":   payload(1, func(p []byte) []byte { return bytes.Replace(p, []byte("sealed a"), []byte("sealed A"), 1) }),
		"another digest": payload(4, func(p []byte) []byte { p[5] ^= 1; return p }),
		"half a record":  payload(1, func(p []byte) []byte { return p[:len(p)-1] }),
		"two digests":    payload(4, func(p []byte) []byte { return append(p, p...) }),
		"later index":    payload(0, func(p []byte) []byte { p[2]++; return p }),
		"members":        payload(2, func(p []byte) []byte { p[len(p)-1]++; return p }),
		"memory count":   payload(0, func(p []byte) []byte { p[len(p)-1]++; return p }),
		"scope count":    payload(0, func(p []byte) []byte { p[len(p)-2]++; return p }),
		"record count":   payload(0, func(p []byte) []byte { p[len(p)-3]++; return p }),
	} {
		other := newNode(t)
		if err := restore(other.FSM, assemble(forge(slices.Clone(good)))); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node whose state went wrong writes snapshots whose digest fits. What can be counted anew tells.
func TestSnapshotOfAWrongState(t *testing.T) {
	for name, spoil := range map[string]func(*state){
		"members": func(s *state) {
			sc, _ := s.scopes.Get(scopeID(1))
			sc.members++
			s.putScope(scopeID(1), sc)
		},
		"scope missing":    func(s *state) { s.putScope(scopeID(1), scope{}) },
		"scope of nobody":  func(s *state) { s.putScope(scopeID(9), scope{revision: 1, members: 1}) },
		"revision to come": func(s *state) { s.putScope(scopeID(2), scope{revision: s.index + 1, members: 2}) },
		"stamp to come":    func(s *state) { s.logTime -= 1 },
		"memory out of order": func(s *state) {
			s.remember(&memo{id: txnID(90), index: 1, stamp: start, long: false})
		},
		"transaction of no id": func(s *state) { s.remember(&memo{index: 1, stamp: s.logTime}) },
	} {
		n := newNode(t)
		populate(n)
		spoil(n.state)
		var out sink
		if err := n.state.snapshot().writeSnapshot(&out); err != nil {
			t.Fatal(err)
		}
		if err := restore(newNode(t).FSM, out.Bytes()); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The sum does not know an order, but the snapshot has one: that of its tables.
func TestSnapshotOutOfOrder(t *testing.T) {
	n := newNode(t)
	populate(n)
	list := sections(t, persist(t, n.FSM))
	r := reader{data: list[1].payload}
	one := restorer{state: newState(0), members: map[ScopeID]uint64{}}
	one.logTime = maxTime
	if err := one.record(&r); err != nil {
		t.Fatal(err)
	}
	first := list[1].payload[:len(list[1].payload)-len(r.data)]
	list[1].payload = append(bytes.Clone(r.data), first...)
	if err := restore(newNode(t).FSM, assemble(list)); !errors.Is(err, ErrSnapshot) {
		t.Fatal(err)
	}
}

func TestSnapshotOfAnotherVersion(t *testing.T) {
	data := persist(t, newNode(t).FSM)
	data[len(snapshotMagic)+1]++
	if err := restore(newNode(t).FSM, data); !errors.Is(err, ErrSnapshot) {
		t.Fatal(err)
	}
}

func TestSnapshotWhileApplying(t *testing.T) {
	n := newNode(t)
	populate(n)
	want := persist(t, n.FSM)
	s, err := n.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []byte)
	go func() {
		var out sink
		_ = s.Persist(&out)
		done <- out.Bytes()
	}()
	for i := range 3 * queueChunk {
		n.commit(Applied, txn(1000+i, key("a", n.revision(), scopeID(i%5)), key(ID(txnID(i).String()), n.revision())))
	}
	if !bytes.Equal(<-done, want) {
		t.Fatal("later commands show in the snapshot")
	}
}

func TestFailedPersistCancels(t *testing.T) {
	n := newNode(t)
	populate(n)
	for _, limit := range []int{1, 20, 100, 600} {
		s, err := n.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		out := sink{limit: limit}
		if err := s.Persist(&out); !errors.Is(err, io.ErrShortWrite) || !out.cancelled || out.closed {
			t.Fatalf("limit %d: %v", limit, err)
		}
	}
}

func FuzzSnapshot(f *testing.F) {
	f.Add(golden(f, "snapshot.hex"))
	f.Add(persist(f, New(Options{})))
	f.Fuzz(func(t *testing.T, data []byte) {
		restoreAny(t, data)
		// The hashes keep a fuzzer out: mend them, and the records themselves are reached.
		if len(data) > len(snapshotMagic)+2 {
			restoreAny(t, mend(data))
		}
	})
}

// restoreAny restores data; when that succeeds the state must be sound.
func restoreAny(t *testing.T, data []byte) {
	t.Helper()
	n := newNode(t)
	if err := restore(n.FSM, data); err != nil {
		if !errors.Is(err, ErrSnapshot) {
			t.Fatal(err)
		}
		return
	}
	audit(t, n.View())
}

// mend makes number, length and hash of every section right, as far as there are bytes.
func mend(data []byte) []byte {
	var list []section
	rest := data[len(snapshotMagic)+2:]
	for len(rest) > sectionHead+sha256.Size {
		length := min(int(binary.BigEndian.Uint32(rest[5:])), len(rest)-sectionHead-sha256.Size)
		if length <= 0 {
			break
		}
		list = append(list, section{rest[0], rest[sectionHead : sectionHead+length]})
		rest = rest[sectionHead+length+sha256.Size:]
	}
	return assemble(list)
}

// A state that has no floor of a later kind is the same bytes as in the release before that kind, and a
// floor of a later kind is kept. Trailing zeros are no second encoding of it.
func TestFloorsOfLaterKinds(t *testing.T) {
	usage := Write{Kind: KindUsage, ID: "u", Revision: 1, Term: 1, Body: []byte("x")}
	n := newNode(t)
	n.commit(Applied, txn(1, usage))
	if got := n.View().t.appendFloors(nil); len(got) != 1+firstKinds {
		t.Errorf("%x", got)
	}
	usage.Revision, usage.Delete = 2, true
	n.commit(Applied, txn(2, usage))
	n.now += TombstoneAge + 1
	n.run(EncodeDropTombstones(n.now))
	if got := n.View().t.appendFloors(nil); len(got) != 1+int(KindUsage)+1 {
		t.Errorf("%x", got)
	}
	other := newNode(t)
	mustRestore(t, other.FSM, persist(t, n.FSM))
	sameState(t, n.View(), other.View())
	if other.View().Floor(KindUsage) != 2 {
		t.Errorf("floor %d", other.View().Floor(KindUsage))
	}
	for floors, ok := range map[int]bool{firstKinds - 1: false, firstKinds: true, kinds: false} {
		b := appendUint(appendUint(appendUint(appendArray(nil, 7), 1), 1), 0)
		b = appendArray(b, floors)
		for range floors + 3 {
			b = appendUint(b, 0)
		}
		rs := &restorer{state: newState(0)}
		if err := rs.meta(&reader{data: b}); (err == nil) != ok {
			t.Errorf("%d floors of 0: %v", floors, err)
		}
	}
}
