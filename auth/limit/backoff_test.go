package limit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const (
	alice = "AKIAALICE"
	bob   = "AKIABOB"
	here  = "192.0.2.1"
	there = "198.51.100.7"
)

// clock is a time that only tests move.
type clock struct{ elapsed atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1000, c.elapsed.Load()) }
func (c *clock) advance(d time.Duration) { c.elapsed.Add(int64(d)) }

// fail fails n times and returns the last delay.
func fail(b *Backoff, source, identity string, n int) (d time.Duration) {
	for range n {
		d = b.Failed(source, identity)
	}
	return d
}

func TestFailedDoubles(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name   string
		config BackoffConfig
		want   []time.Duration
	}{
		{"defaults", BackoffConfig{}, []time.Duration{0, 0, 0, 0, 0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 2000 * ms, 2000 * ms}},
		{"none free", BackoffConfig{Free: -1}, []time.Duration{100 * ms, 200 * ms, 400 * ms}},
		{"own figures", BackoffConfig{Free: 1, First: 3 * ms, Longest: 10 * ms}, []time.Duration{0, 3 * ms, 6 * ms, 10 * ms, 10 * ms}},
		{"first above longest", BackoffConfig{Free: 1, First: 20 * ms, Longest: 10 * ms}, []time.Duration{0, 10 * ms, 10 * ms}},
		{"no longest in sight", BackoffConfig{Free: -1, First: 40 * time.Minute, Longest: 1 << 62}, []time.Duration{40 * time.Minute, time.Hour, time.Hour}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Now = new(clock).now
			b := NewBackoff(tt.config)
			for i, want := range tt.want {
				if got := b.Failed(here, alice); got != want {
					t.Errorf("failure %d: got %v, want %v", i+1, got, want)
				}
			}
		})
	}
}

func TestSucceededForgetsItsPair(t *testing.T) {
	b := NewBackoff(BackoffConfig{Now: new(clock).now})
	fail(b, here, alice, 20)
	fail(b, here, bob, 20)
	fail(b, there, alice, 20)
	b.Succeeded(here, alice)
	if d := fail(b, here, alice, 5); d != 0 {
		t.Errorf("five failures after a success are delayed by %v", d)
	}
	if d := b.Failed(here, bob); d != 2*time.Second {
		t.Errorf("another identity of the source: got %v", d)
	}
	if d := b.Failed(there, alice); d != 2*time.Second {
		t.Errorf("another source of the identity: got %v", d)
	}
	b.Succeeded(here, alice)
	b.Succeeded(here, alice)
	b.Succeeded(here, bob)
	b.Succeeded(there, alice)
	if n, m := b.pairs.live.Load(), b.sources.live.Load(); n != 0 || m != 0 {
		t.Errorf("%d pairs and %d sources are left, want none", n, m)
	}
}

func TestFailuresAreForgotten(t *testing.T) {
	c := new(clock)
	b := NewBackoff(BackoffConfig{Now: c.now})
	fail(b, here, alice, 7)
	c.advance(10 * time.Minute)
	if d := b.Failed(here, alice); d != 400*time.Millisecond {
		t.Errorf("after ten minutes: got %v", d)
	}
	c.advance(10*time.Minute + 1)
	if d := fail(b, here, alice, 5); d != 0 {
		t.Errorf("a nanosecond later than that: got %v", d)
	}
}

func TestSuccessOfForgottenPairLeavesItsSource(t *testing.T) {
	c := new(clock)
	b := NewBackoff(BackoffConfig{Now: c.now, Free: 1})
	b.Failed(here, alice)
	c.advance(11 * time.Minute)
	b.Failed(here, bob) // the source starts anew, without alice
	b.Succeeded(here, alice)
	if d := b.Failed(here, "AKIACAROL"); d == 0 {
		t.Error("a success took a failure of another identity off the source")
	}
}

func TestGroups(t *testing.T) {
	b := NewBackoff(BackoffConfig{Now: new(clock).now})
	tests := []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.1:443", true},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2", true},
		{"@", "@", true},
		{"@", "", false},
	}
	for _, tt := range tests {
		if same := b.group(tt.a) == b.group(tt.b); same != tt.same {
			t.Errorf("%q and %q: same group is %v, want %v", tt.a, tt.b, same, tt.same)
		}
	}
}

func TestSprayingIdentities(t *testing.T) {
	b := NewBackoff(BackoffConfig{Now: new(clock).now, Entries: 64})
	fail(b, there, alice, 20)
	var last time.Duration
	for i := range 5000 {
		last = b.Failed(here, fmt.Sprint("id-", i))
	}
	if last != 2*time.Second {
		t.Errorf("a new identity of a spraying source is delayed by %v", last)
	}
	if n := b.pairs.live.Load(); n != 1+11 {
		t.Errorf("%d pairs are stored, want 12", n)
	}
	if d := b.Failed(there, alice); d != 2*time.Second {
		t.Errorf("the pair of another source was pushed out: delayed by %v", d)
	}
	if d := b.Failed(there, bob); d != 0 {
		t.Errorf("another source is delayed by %v", d)
	}
}

func TestOwningACredentialDoesNotHelpGuessing(t *testing.T) {
	b := NewBackoff(BackoffConfig{Now: new(clock).now})
	var last time.Duration
	for i := range 20 {
		last = b.Failed(here, fmt.Sprint("id-", i))
		b.Failed(here, "own")
		b.Succeeded(here, "own")
	}
	if last != 2*time.Second {
		t.Errorf("got %v", last)
	}
}

func TestOldestIsEvicted(t *testing.T) {
	c := new(clock)
	table := newTable(1, time.Hour) // one set
	for key := range uint64(ways) {
		c.advance(1)
		table.note(key+10, time.Duration(c.elapsed.Load()), 1, true)
	}
	c.advance(1)
	now := time.Duration(c.elapsed.Load())
	table.note(10, now, 1, true) // 11 is the oldest now
	table.note(100, now, 1, true)
	for key, want := range map[uint64]bool{10: true, 11: false, 12: true, 17: true, 100: true} {
		if table.has(key) != want {
			t.Errorf("has(%d) is %v", key, !want)
		}
	}
	if n := table.live.Load(); n != ways {
		t.Errorf("%d keys are live, want %d", n, ways)
	}
}

func TestFloodIsBounded(t *testing.T) {
	const entries = 256
	b := NewBackoff(BackoffConfig{Now: new(clock).now, Entries: entries})
	sources, identities := make([]string, 5000), make([]string, 5000)
	for i := range sources {
		sources[i], identities[i] = fmt.Sprintf("2001:db8:%x::1", i), fmt.Sprint("id-", i)
	}
	i := 0
	allocs := testing.AllocsPerRun(10*len(sources), func() {
		b.Failed(sources[i%len(sources)], identities[i/3%len(identities)])
		i++
	})
	if allocs != 0 {
		t.Errorf("Failed allocates %v times", allocs)
	}
	for name, table := range map[string]*table{"pairs": b.pairs, "sources": b.sources} {
		if n := table.live.Load(); n > entries || n != stored(table) {
			t.Errorf("%s: %d live of at most %d, %d stored", name, n, entries, stored(table))
		}
	}
}

// stored counts the keys of a table.
func stored(t *table) (n int64) {
	for i := range t.sets {
		for k := range t.sets[i].keys {
			if t.sets[i].keys[k].Load() != 0 {
				n++
			}
		}
	}
	return n
}

// TestSucceededTakesNoLock hangs when Succeeded of a pair without failures locks anything.
func TestSucceededTakesNoLock(t *testing.T) {
	b := NewBackoff(BackoffConfig{Now: new(clock).now, Entries: 1})
	b.Failed(here, alice)
	b.pairs.sets[0].mu.Lock()
	b.sources.sets[0].mu.Lock()
	if allocs := testing.AllocsPerRun(100, func() { b.Succeeded(here, bob) }); allocs != 0 {
		t.Errorf("Succeeded allocates %v times", allocs)
	}
}

// TestBackoffModel compares with maps that forget nothing too early, on a table that never fills.
func TestBackoffModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type pair struct{ source, identity string }
		type count struct {
			n    int
			last time.Duration
		}
		c := new(clock)
		b := NewBackoff(BackoffConfig{Now: c.now, Free: 2, Forget: 10 * time.Second, Longest: 300 * time.Millisecond})
		pairs, sources := map[pair]count{}, map[string]count{}
		delay := func(n int) time.Duration {
			return []time.Duration{0, 0, 0, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond}[min(n, 5)]
		}
		forget := func() {
			for k, v := range pairs {
				if time.Duration(c.elapsed.Load())-v.last > 10*time.Second {
					delete(pairs, k)
				}
			}
			for k, v := range sources {
				if time.Duration(c.elapsed.Load())-v.last > 10*time.Second {
					delete(sources, k)
				}
			}
		}
		draw := rapid.Custom(func(t *rapid.T) pair {
			return pair{rapid.SampledFrom([]string{here, there, "2001:db8::1"}).Draw(t, "source"),
				rapid.StringMatching(`[a-h]`).Draw(t, "identity")}
		})
		t.Repeat(map[string]func(*rapid.T){
			"fail": func(t *rapid.T) {
				p, now := draw.Draw(t, "pair"), time.Duration(c.elapsed.Load())
				got := b.Failed(p.source, p.identity)
				v, known := pairs[p]
				s := sources[p.source]
				if !known && delay(s.n) < 300*time.Millisecond {
					s.n++
					known = true
				}
				if s.n > 0 {
					sources[p.source] = count{s.n, now}
				}
				if known {
					pairs[p] = count{v.n + 1, now}
				}
				if want := max(delay(pairs[p].n), delay(s.n)); got != want {
					t.Fatalf("%v: got %v, want %v", p, got, want)
				}
			},
			"succeed": func(t *rapid.T) {
				p, now := draw.Draw(t, "pair"), time.Duration(c.elapsed.Load())
				b.Succeeded(p.source, p.identity)
				if _, known := pairs[p]; known {
					delete(pairs, p)
					if sources[p.source] = (count{sources[p.source].n - 1, now}); sources[p.source].n == 0 {
						delete(sources, p.source)
					}
				}
			},
			"pass": func(t *rapid.T) {
				c.advance(time.Duration(rapid.IntRange(0, 12).Draw(t, "seconds")) * time.Second)
				forget()
			},
		})
	})
}

func TestBackoffConcurrently(t *testing.T) {
	b := NewBackoff(BackoffConfig{Now: new(clock).now, Entries: 32})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				source, identity := fmt.Sprintf("192.0.2.%d", (g+i)%16), fmt.Sprint(i%5)
				b.Failed(source, identity)
				if i%3 != 0 {
					b.Succeeded(source, identity)
				}
			}
		})
	}
	wg.Wait()
	for name, table := range map[string]*table{"pairs": b.pairs, "sources": b.sources} {
		if n := table.live.Load(); n != stored(table) {
			t.Errorf("%s: %d live, %d stored", name, n, stored(table))
		}
	}
	for s := range 16 {
		for i := range 5 {
			b.Succeeded(fmt.Sprintf("192.0.2.%d", s), fmt.Sprint(i))
		}
	}
	if n := b.pairs.live.Load(); n != 0 {
		t.Errorf("%d pairs are left after all succeeded", n)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBackoff(BackoffConfig{})
		start := time.Now()
		if !b.Wait(t.Context(), here, time.Second) || time.Since(start) != time.Second {
			t.Errorf("waited %v, want 1s", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if !b.Wait(ctx, here, time.Minute) || time.Since(start) != time.Second {
			t.Errorf("with a context that ends: waited %v, want 1s", time.Since(start))
		}
		if b.waiting != 0 || len(b.waitingOf) != 0 {
			t.Errorf("%d wait, %d of sources, want none", b.waiting, len(b.waitingOf))
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBackoff(BackoffConfig{Waiting: 5, WaitingPerSource: 3})
		var admitted atomic.Int64
		// try lets n answers of source wait and returns how many then wait in all.
		try := func(source string, n int) int {
			for range n {
				go func() {
					start := time.Now()
					if b.Wait(t.Context(), source, time.Second) {
						admitted.Add(1)
					} else if time.Since(start) != 0 {
						t.Error("a refusal took time")
					}
				}()
			}
			synctest.Wait()
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.waiting
		}
		if n := try(here, 10); n != 3 {
			t.Errorf("%d of one source wait, want 3", n)
		}
		if n := try(there, 10); n != 5 {
			t.Errorf("%d wait in all, want 5", n)
		}
		if !b.Wait(t.Context(), "2001:db8::1", 0) {
			t.Error("no delay, and yet refused")
		}
		time.Sleep(time.Second) // of the bubble's clock
		synctest.Wait()
		if admitted.Load() != 5 || b.waiting != 0 || len(b.waitingOf) != 0 {
			t.Errorf("%d were admitted, %d wait, %d of sources", admitted.Load(), b.waiting, len(b.waitingOf))
		}
		if !b.Wait(t.Context(), here, time.Second) {
			t.Error("refused when nobody waits any more")
		}
	})
}

func TestNilBackoff(t *testing.T) {
	var b *Backoff
	if d := fail(b, here, alice, 100); d != 0 {
		t.Errorf("got %v", d)
	}
	b.Succeeded(here, alice)
	if !b.Wait(t.Context(), here, time.Hour) {
		t.Error("refused")
	}
}

func BenchmarkSucceededNoFailures(b *testing.B) { benchmarkSucceeded(b, 0) }
func BenchmarkSucceededFull(b *testing.B)       { benchmarkSucceeded(b, 100_000) }

func benchmarkSucceeded(b *testing.B, failures int) {
	backoff := NewBackoff(BackoffConfig{})
	for i := range failures {
		backoff.Failed(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff), alice)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			backoff.Succeeded(here, alice)
		}
	})
}

func BenchmarkFailed(b *testing.B) {
	backoff := NewBackoff(BackoffConfig{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			backoff.Failed(here, alice)
		}
	})
}
