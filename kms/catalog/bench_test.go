package catalog

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// sizes are the numbers of keys that every benchmark runs with.
var sizes = []int{10, 100_000, 1_000_000}

// large is a node with many idle keys, as the service creates them.
type large struct {
	*lab
	sealed, opened float64 // live heap in bytes: of the state machine, of the catalog above it
}

var (
	largeMu sync.Mutex
	larges  = map[int]*large{} // guarded by largeMu: made once, for all benchmarks of a run
)

// largeOf returns the node with n keys.
func largeOf(tb testing.TB, n int) *large {
	largeMu.Lock()
	defer largeMu.Unlock()
	l := larges[n]
	if l == nil {
		empty := heap()
		l = &large{lab: newLab(tb)}
		l.create(n)
		l.sealed = heap() - empty
		l.unseal(l.Catalog)
		l.opened = heap() - empty - l.sealed
		larges[n] = l
	}
	l.t = tb
	return l
}

// heap returns the live heap in bytes.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// benchKey is the key of that number, with an id that looks random.
func benchKey(n int) *kms.Key {
	h := sha256.Sum256([]byte(fmt.Sprint("key ", n)))
	return &kms.Key{Schema: 1, Scope: scopeA, ID: kms.KeyIDFromBytes([16]byte(h[:])), State: kms.StateEnabled, Spec: kms.SymmetricDefault,
		Usage: kms.EncryptDecrypt, Origin: kms.OriginAWSKMS, Description: "bench", Created: testStamp, DefaultPolicy: true,
		Materials: []kms.Material{{Version: 1, ID: hex.EncodeToString(h[:]), Created: testStamp}}}
}

// creation returns the transaction that makes a key, as the service does.
func (l *lab) creation(n int) fsm.Txn {
	k := benchKey(n)
	txn := fsm.Txn{Event: "key.created", Based: testStamp, Writes: []fsm.Write{
		l.write(l.ids.Key(k.Scope, k.ID), k, l.ids.KeysOf(k.Scope.Account)),
		l.write(l.ids.Material(k.Current().ID), materialOf(k)),
	}}
	rand.Read(txn.ID[:])
	return txn
}

// create makes keys 1 to n, sealed on every core, and waits for log time to pass until their creation is no
// longer remembered.
func (l *lab) create(n int) {
	const pack = 200 // creations a command
	apply := func(stamp int64, txns ...fsm.Txn) {
		data, err := fsm.EncodeBatch(stamp, txns)
		if err != nil {
			l.t.Fatalf("encode: %v", err)
		}
		l.index++
		outcomes, ok := l.FSM.Apply(&raft.Log{Index: l.index, Type: raft.LogCommand, Data: data}).([]fsm.Outcome)
		if !ok || len(outcomes) != len(txns) || len(txns) > 0 && outcomes[0].Status != fsm.Applied {
			l.t.Fatalf("commit: %+v", outcomes)
		}
	}
	for from := 1; from <= n; from += pack {
		txns := make([]fsm.Txn, min(pack, n+1-from))
		var sealing sync.WaitGroup
		for w := range runtime.GOMAXPROCS(0) {
			sealing.Go(func() {
				for i := w; i < len(txns); i += runtime.GOMAXPROCS(0) {
					txns[i] = l.creation(from + i)
				}
			})
		}
		sealing.Wait()
		for i := range txns {
			txns[i].Based = l.stamp
		}
		apply(l.stamp, txns...)
		if l.FSM.View().Remembered() >= 100_000 {
			l.stamp += fsm.ShortMemory
		}
	}
	l.stamp += fsm.ShortMemory
	for l.FSM.View().Remembered() > 0 {
		apply(l.stamp)
	}
}

// BenchmarkMemory reports what one key costs that nobody uses: as sealed records of the state machine, and
// opened in the catalog.
func BenchmarkMemory(b *testing.B) {
	for _, n := range sizes[1:] {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := largeOf(b, n)
			for b.Loop() {
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(l.sealed/float64(n), "B/key-sealed")
			b.ReportMetric(l.opened/float64(n), "B/key-opened")
			b.ReportMetric((l.sealed+l.opened)/float64(n), "B/key")
		})
	}
}

// BenchmarkUnseal is how long a node takes to open 100,000 keys.
func BenchmarkUnseal(b *testing.B) {
	l := largeOf(b, 100_000)
	for b.Loop() {
		c := New(l.FSM, "aws", nil)
		l.unseal(c)
		b.StopTimer()
		c.Seal()
		b.StartTimer()
	}
}

// BenchmarkPage is a page of 100 keys. The smallest catalog that has more than one is of 1,000.
func BenchmarkPage(b *testing.B) {
	for _, n := range sizes {
		n = max(n, 1000)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v := largeOf(b, n).view()
			b.ReportAllocs()
			for b.Loop() {
				if len(v.Keys(scopeA, [16]byte{0x40}, 100)) != 100 {
					b.Fatal("a short page")
				}
			}
		})
	}
}

// BenchmarkCommit is one key changed, from sealing its record to the view.
func BenchmarkCommit(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := largeOf(b, n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if i%50_000 == 0 {
					l.stamp += fsm.ShortMemory // the memory of transactions is bounded
				}
				k := benchKey(1 + i*7919%n)
				l.commit(l.write(l.ids.Key(k.Scope, k.ID), k, l.ids.KeysOf(k.Scope.Account)))
				l.view()
			}
		})
	}
}

// BenchmarkKey is the look-up that every use of a key begins with.
func BenchmarkKey(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := largeOf(b, n)
			l.view()
			id := raw(benchKey(min(n, 4711)))
			b.ReportAllocs()
			for b.Loop() {
				h, err := l.Hold()
				if err != nil {
					b.Fatal(err)
				}
				k, err := h.View().Key(scopeA, id)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := h.View().Material(k, 1); err != nil {
					b.Fatal(err)
				}
				h.Release()
			}
		})
	}
}

// BenchmarkEncrypt is a key found and 32 bytes encrypted with it, over a thousand keys in turn, or all there are.
func BenchmarkEncrypt(b *testing.B) {
	plaintext, context := make([]byte, 32), map[string]string{"purpose": "bench"}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := largeOf(b, n)
			ids := make([][16]byte, min(n, 1000))
			for i := range ids {
				ids[i] = raw(benchKey(1 + i*7919%n))
			}
			encrypt := func(id [16]byte) {
				h, err := l.Hold()
				if err != nil {
					b.Fatal(err)
				}
				defer h.Release()
				k, err := h.View().Key(scopeA, id)
				if err != nil {
					b.Fatal(err)
				}
				m, err := h.View().Material(k, 1)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := m.Encrypt(nil, k.Raw, 1, context, plaintext); err != nil {
					b.Fatal(err)
				}
			}
			for _, id := range ids { // opens their material
				encrypt(id)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				encrypt(ids[i%len(ids)])
			}
		})
	}
}

// BenchmarkNoteUse is what every use of a key ends with.
func BenchmarkNoteUse(b *testing.B) {
	l := largeOf(b, 10)
	k, err := l.view().Key(scopeA, raw(benchKey(1)))
	if err != nil {
		b.Fatal(err)
	}
	at := int64(testStamp)
	b.Run("same", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.NoteUse("Encrypt", at, "arn:aws:iam::111111111111:root", "request", [16]byte{1})
		}
	})
	b.Run("every second", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			at += useEvery
			k.NoteUse("Encrypt", at, "arn:aws:iam::111111111111:root", "request", [16]byte{1})
		}
	})
}
