package catalog

import (
	"fmt"
	"runtime"
	"testing"
)

// heap returns the live heap in bytes.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkIdleKeys reports what one key costs that nobody uses: as sealed records of the state
// machine, and opened in the catalog; and how long a node with that many takes to unseal.
func BenchmarkIdleKeys(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			empty := heap()
			l := newLab(b)
			defer l.close()
			l.fill(n, true)
			records := heap()
			l.unseal(l.Catalog)
			opened := heap()
			l.Catalog.Seal()
			for b.Loop() {
				l.unseal(l.Catalog)
				b.StopTimer()
				l.Catalog.Seal()
				b.StartTimer()
			}
			b.ReportMetric((records-empty)/float64(n), "B/key-sealed")
			b.ReportMetric((opened-records)/float64(n), "B/key-opened")
		})
	}
}

// BenchmarkPublish is one key created, from the record to the view, with 100,000 keys there.
func BenchmarkPublish(b *testing.B) {
	l := newLab(b)
	defer l.close()
	l.fill(100_000, false)
	l.unseal(l.Catalog)
	n := 100_000
	b.ReportAllocs()
	for b.Loop() {
		n++
		l.commit(l.writeKey(keyNumber(scopeA, n))...)
		l.view()
	}
}

// BenchmarkKey is the look-up that every use of a key begins with.
func BenchmarkKey(b *testing.B) {
	l := newLab(b)
	defer l.close()
	l.fill(10_000, true)
	l.unseal(l.Catalog)
	id := raw(keyNumber(scopeA, 4711))
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
}
