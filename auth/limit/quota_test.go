package limit

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// taken takes n times and returns how many were served.
func taken(q *Quota, identity string, n int) (served int) {
	for range n {
		if ok, _ := q.Take(identity); ok {
			served++
		}
	}
	return served
}

func TestTake(t *testing.T) {
	c := new(clock)
	q := NewQuota(QuotaConfig{PerSecond: 10, Burst: 3, Now: c.now})
	if n := taken(q, alice, 10); n != 3 {
		t.Errorf("a full bucket served %d, want 3", n)
	}
	if n := taken(q, bob, 10); n != 3 {
		t.Errorf("another identity was served %d, want 3", n)
	}
	ok, retry := q.Take(alice)
	if ok || retry != 100*time.Millisecond {
		t.Errorf("got %v and %v, want a retry in 100ms", ok, retry)
	}
	c.advance(retry - 1)
	if ok, retry = q.Take(alice); ok || retry != 1 {
		t.Errorf("got %v and %v, want a retry in 1ns", ok, retry)
	}
	c.advance(1)
	if n := taken(q, alice, 10); n != 1 {
		t.Errorf("at the time of the retry %d were served, want 1", n)
	}
	c.advance(time.Hour)
	if n := taken(q, alice, 10); n != 3 {
		t.Errorf("after an hour %d were served, want 3", n)
	}
}

func TestNewQuota(t *testing.T) {
	tests := []struct {
		perSecond float64
		burst     int
		want      int // served of 20,000 at once
	}{
		{0, 5, 20_000},
		{-1, 5, 20_000},
		{math.NaN(), 5, 20_000},
		{math.Inf(1), 5, 20_000},
		{10, 0, 10},
		{0.2, 0, 1},
		{10, -4, 10},
		{1e-300, 3, 3},
		{math.MaxFloat64, 3, 3},
		{10, math.MaxInt, 20_000},
	}
	for _, tt := range tests {
		q := NewQuota(QuotaConfig{PerSecond: tt.perSecond, Burst: tt.burst, Now: new(clock).now})
		if q != nil && (q.tolerance < q.interval || q.tolerance > maxTolerance) {
			t.Errorf("%v a second, burst %d: tolerance %d", tt.perSecond, tt.burst, q.tolerance)
		}
		if n := taken(q, alice, 20_000); n != tt.want {
			t.Errorf("%v a second, burst %d: served %d, want %d", tt.perSecond, tt.burst, n, tt.want)
		}
	}
}

// TestQuotaIsATokenBucket compares with a bucket that counts tokens, in parts of the interval.
func TestQuotaIsATokenBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "interval"))
		burst := time.Duration(rapid.IntRange(1, 20).Draw(t, "burst"))
		c := new(clock)
		q := NewQuota(QuotaConfig{PerSecond: float64(time.Second) / float64(interval), Burst: int(burst), Now: c.now})
		tokens := burst * interval
		for range rapid.IntRange(1, 300).Draw(t, "requests") {
			pause := time.Duration(0)
			if rapid.Bool().Draw(t, "pause") {
				pause = time.Duration(rapid.Int64Range(0, int64(3*interval)).Draw(t, "long"))
			}
			c.advance(pause)
			tokens = min(tokens+pause, burst*interval)
			want, wait := tokens >= interval, max(interval-tokens, 0)
			if want {
				tokens -= interval
			}
			if ok, retry := q.Take(alice); ok != want || retry != wait {
				t.Fatalf("got %v, retry in %v; want %v, %v", ok, retry, want, wait)
			}
		}
	})
}

func TestEveryEntryIsCountedApart(t *testing.T) {
	q := NewQuota(QuotaConfig{PerSecond: 1, Burst: 1, Now: new(clock).now})
	for i := range defaultEntries {
		if ok, _ := q.Take(strconv.Itoa(i)); !ok {
			t.Fatalf("identity %d was refused its first request", i)
		}
	}
	if q.overflow.full.Load() != 0 {
		t.Error("an identity shares the overflow bucket")
	}
	for i := range defaultEntries {
		if ok, _ := q.Take(strconv.Itoa(i)); ok {
			t.Fatalf("identity %d was served twice", i)
		}
	}
}

func TestOverflow(t *testing.T) {
	c := new(clock)
	q := NewQuota(QuotaConfig{PerSecond: 1, Burst: 10, Now: c.now, Entries: 1})
	for i := range bucketsPerEntry {
		taken(q, strconv.Itoa(i), 1)
	}
	if n := taken(q, alice, 6) + taken(q, bob, 20); n != 10 {
		t.Errorf("two new identities were served %d, want 10 together", n)
	}
	for i := range bucketsPerEntry {
		if n := taken(q, strconv.Itoa(i), 20); n != 9 {
			t.Errorf("identity %d was served %d more, want 9", i, n)
		}
	}
	// A second later no bucket is full, so nobody lost a place.
	c.advance(time.Second)
	if n := taken(q, alice, 20) + taken(q, bob, 20); n != 1 {
		t.Errorf("the overflow bucket served %d after a second, want 1", n)
	}
	// Full buckets are as good as free.
	c.advance(10 * time.Second)
	if n := taken(q, alice, 20) + taken(q, bob, 20); n != 20 {
		t.Errorf("two identities were served %d, want 10 each", n)
	}
}

func TestQuotaFloodAllocatesNothing(t *testing.T) {
	c := new(clock)
	q := NewQuota(QuotaConfig{PerSecond: 1, Burst: 2, Now: c.now, Entries: 64})
	identities := make([]string, 5000)
	for i := range identities {
		identities[i] = strconv.Itoa(i)
	}
	i := 0
	allocs := testing.AllocsPerRun(10*len(identities), func() {
		c.advance(time.Millisecond)
		q.Take(identities[i%len(identities)])
		i++
	})
	if allocs != 0 {
		t.Errorf("Take allocates %v times", allocs)
	}
	if len(q.buckets) != 64*bucketsPerEntry {
		t.Errorf("the table has %d buckets", len(q.buckets))
	}
}

// TestKnownIdentityTakesNoLock hangs when Take of an active identity locks anything.
func TestKnownIdentityTakesNoLock(t *testing.T) {
	q := NewQuota(QuotaConfig{PerSecond: 1, Burst: 100, Now: new(clock).now})
	q.Take(alice)
	q.mu.Lock()
	if n := taken(q, alice, 200); n != 99 {
		t.Errorf("served %d, want 99", n)
	}
}

func TestQuotaConcurrently(t *testing.T) {
	q := NewQuota(QuotaConfig{PerSecond: 1, Burst: 50, Now: new(clock).now})
	var served [40]atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range len(served) * 20 {
				id := i % len(served)
				if ok, _ := q.Take(fmt.Sprint(id)); ok {
					served[id].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range served {
		if n := served[i].Load(); n != 50 {
			t.Errorf("identity %d was served %d, want 50", i, n)
		}
	}
}

// TestHandOver is a request that found its bucket idle and is overtaken by the claim of another
// identity: it must not take from that identity's bucket.
func TestHandOver(t *testing.T) {
	c := new(clock)
	q := NewQuota(QuotaConfig{PerSecond: 1, Burst: 2, Now: c.now, Entries: 1})
	for i := range bucketsPerEntry {
		q.Take(strconv.Itoa(i))
	}
	c.advance(time.Minute)
	now := time.Minute
	type found struct {
		b    *bucket
		full int64
	}
	var idle []found
	for i := range q.buckets {
		b, full, owned := q.find(q.buckets[i].key.Load(), now)
		if !owned || b != &q.buckets[i] {
			t.Fatalf("the owner of bucket %d has lost it", i)
		}
		idle = append(idle, found{b, full})
	}
	for i := range bucketsPerEntry {
		if ok, _ := q.Take(fmt.Sprint("new-", i)); !ok {
			t.Fatalf("new identity %d was refused", i)
		}
	}
	for i, f := range idle {
		if f.b.full.CompareAndSwap(f.full, int64(now+q.interval)) {
			t.Errorf("the last owner of bucket %d took from the next one's", i)
		}
	}
	if q.overflow.full.Load() != 0 {
		t.Error("a new identity found no place among idle ones")
	}
}

func TestNilQuota(t *testing.T) {
	var q *Quota
	if n := taken(q, alice, 1000); n != 1000 {
		t.Errorf("served %d", n)
	}
}

func BenchmarkTakeOwnIdentity(b *testing.B) {
	q := NewQuota(QuotaConfig{PerSecond: 1e6, Burst: 1000})
	var goroutine atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		id := fmt.Sprint("AKIA", goroutine.Add(1))
		for pb.Next() {
			q.Take(id)
		}
	})
}

func BenchmarkTakeSameIdentity(b *testing.B) {
	q := NewQuota(QuotaConfig{PerSecond: 1e6, Burst: 1000})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			q.Take(alice)
		}
	})
}

func BenchmarkTakeOverflow(b *testing.B) {
	q := NewQuota(QuotaConfig{PerSecond: 0.001, Burst: 1, Entries: 16})
	for i := range 1000 {
		q.Take(strconv.Itoa(i))
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			q.Take(alice)
		}
	})
}
