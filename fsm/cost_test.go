package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/hashicorp/raft"
)

// hashID is an id as catalogs make them: 32 bytes in no order.
func hashID(kind Kind, i int) ID {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte{byte(kind)}, uint64(i)))
	return ID(h[:])
}

// creation is what creating one key writes.
func creation(i int, revision uint64) Txn {
	account, own := ScopeID{1}, ScopeID([]byte(hashID(0, i))[:16])
	x := Txn{
		ID: txnID(i), Event: "key.created", Based: start,
		Guards:      []Guard{{KindAccount, "account", 0}, {KindCredential, "credential", 0}},
		ScopeGuards: []ScopeGuard{{Scope: account, Below: 1 << 40}},
		Writes: []Write{
			{Kind: KindKey, Scopes: []ScopeID{account, own}, Body: make([]byte, 300)},
			{Kind: KindMaterial, Body: make([]byte, 150)},
			{Kind: KindPolicy, Scopes: []ScopeID{own}, Body: make([]byte, 500)},
		},
	}
	x.Request[0] = 1
	for j := range x.Writes {
		w := &x.Writes[j]
		w.ID, w.Revision, w.Term = hashID(w.Kind, i), revision, 1
	}
	return x
}

// filled returns a state machine with that many keys, and the index it is at.
func filled(t testing.TB, keys int) (*FSM, uint64) {
	f := New(Options{Fatal: func(err error) { t.Fatal(err) }})
	var index uint64
	for i := 0; i < keys; {
		var txns []Txn
		for ; len(txns) < 100 && i < keys; i++ {
			txns = append(txns, creation(i, index+1))
		}
		index++
		if o := f.Apply(command(t, index, start, txns...)).([]Outcome); o[0].Status != Applied {
			t.Fatalf("%+v", o[0])
		}
	}
	return f, index
}

func command(t testing.TB, index uint64, stamp int64, txns ...Txn) *raft.Log {
	data, err := EncodeBatch(stamp, txns)
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: data}
}

// A commit costs what it changes, not what there is.
func TestCommitAllocations(t *testing.T) {
	count := func(keys int) float64 {
		f, index := filled(t, keys)
		i := keys
		const runs = 200
		logs := make([]*raft.Log, runs+1) // AllocsPerRun runs once more, to warm up
		for j := range logs {
			logs[j] = command(t, index+uint64(j)+1, start, creation(i+j, index+uint64(j)+1))
		}
		j := 0
		return testing.AllocsPerRun(runs, func() {
			f.Apply(logs[j])
			j++
		})
	}
	small, large := count(1_000/3), count(100_000/3)
	t.Logf("allocations of one commit: %.0f at 1,000 records, %.0f at 100,000", small, large)
	if large >= 3*small {
		t.Fatalf("%.0f allocations at 100,000 records, %.0f at 1,000", large, small)
	}
}

func BenchmarkApplyCreate(b *testing.B) {
	for _, batch := range []struct {
		name string
		size int
	}{{"batch=1", 1}, {"batch=32", 32}, {"batch=100", 100}} {
		b.Run(batch.name, func(b *testing.B) {
			f, index := filled(b, 10_000)
			logs := make([]*raft.Log, (b.N+batch.size-1)/batch.size)
			for j := range logs {
				var txns []Txn
				for k := range batch.size {
					txns = append(txns, creation(10_000+j*batch.size+k, index+uint64(j)+1))
				}
				logs[j] = command(b, index+uint64(j)+1, start, txns...)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, l := range logs {
				f.Apply(l)
			}
		})
	}
}

func BenchmarkDecodeCreate(b *testing.B) {
	l := command(b, 1, start, creation(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeCommand(l.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	f, _ := filled(b, 100_000)
	v := f.View()
	id := hashID(KindMaterial, 77)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := v.Get(KindMaterial, id); !ok {
			b.Fatal("gone")
		}
	}
}

// BenchmarkMemory reports bytes of heap for each key (three records, their bodies and a scope) with
// the retry memory full of their creations and after it forgot them.
func BenchmarkMemory(b *testing.B) {
	const keys = 100_000
	for b.Loop() {
		before := heapInUse()
		f, index := filled(b, keys)
		fresh := heapInUse()
		for i := range uint64(keys/maxExpire + 1) {
			f.Apply(&raft.Log{Index: index + i + 1, Type: raft.LogCommand, Data: EncodeCheckpoint(start + ShortMemory)})
		}
		b.ReportMetric(float64(fresh-before)/keys, "B/key-remembered")
		b.ReportMetric(float64(heapInUse()-before)/keys, "B/key")
		runtime.KeepAlive(f)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkRestore(b *testing.B) {
	f, _ := filled(b, 100_000)
	data := persist(b, f)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := restore(New(Options{}), data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPersist(b *testing.B) {
	f, _ := filled(b, 100_000)
	b.SetBytes(int64(len(persist(b, f))))
	for b.Loop() {
		persist(b, f)
	}
}
