package metrics

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// counts returns the series as a scrape has them.
func (u *keyUses) counts(t *testing.T) map[string]uint64 {
	t.Helper()
	u.choose()
	all := map[string]uint64{other: u.others.Load()}
	for key, n := range *u.shown.Load() {
		all[key] = n.Load()
	}
	if len(all) > u.limit+1 {
		t.Fatalf("%d series for %d keys", len(all), u.limit)
	}
	return all
}

// clock is a time that the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestFewKeysAreAllShown(t *testing.T) {
	u := newKeyUses(3, time.Now)
	for _, key := range []string{"a", "b", "a", "c", "d", "a", "d"} {
		u.add(key)
	}
	want := map[string]uint64{"a": 3, "b": 1, "c": 1, other: 2}
	if got := u.counts(t); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestNoKeysAreShown(t *testing.T) {
	u := newKeyUses(0, time.Now)
	u.add("a")
	u.add("b")
	if got := u.counts(t); !maps.Equal(got, map[string]uint64{other: 2}) {
		t.Errorf("%v", got)
	}
}

// Keys that come to be used most take the places of those shown first, no count ever falls while its series is there, and every
// use is an increase of one series.
func TestMostUsedKeysAreShown(t *testing.T) {
	c := &clock{time.Unix(0, 0)}
	u := newKeyUses(10, c.now)
	for i := range 10 {
		u.add(fmt.Sprint("early", i))
	}
	last, increases, uses := u.counts(t), uint64(0), uint64(10)
	for _, n := range last {
		increases += n
	}
	for range 40 {
		for range 3000 {
			uses++
			if rand.IntN(2) == 0 {
				u.add(fmt.Sprint("rare", rand.IntN(10_000)))
			} else {
				u.add(fmt.Sprint("heavy", rand.IntN(10)))
			}
		}
		before := u.snapshot()
		c.at = c.at.Add(rebalance)
		now := u.counts(t)
		for key, n := range before { // counted before the places were given anew
			if n < last[key] {
				t.Fatalf("%s fell from %d to %d", key, last[key], n)
			}
			increases += n - last[key]
		}
		if began := fresh(before, now); len(began) > 1 {
			t.Fatalf("%v took places at one time", began)
		}
		last = now
	}
	if increases != uses {
		t.Errorf("%d uses made %d increases", uses, increases)
	}
	for i := range 10 {
		if _, shown := last[fmt.Sprint("heavy", i)]; !shown {
			t.Errorf("heavy%d is not shown: %v", i, slices.Sorted(maps.Keys(last)))
		}
	}
}

// snapshot returns the series without giving places anew.
func (u *keyUses) snapshot() map[string]uint64 {
	all := map[string]uint64{other: u.others.Load()}
	for key, n := range *u.shown.Load() {
		all[key] = n.Load()
	}
	return all
}

func fresh(before, now map[string]uint64) (keys []string) {
	for key := range now {
		if _, was := before[key]; !was {
			keys = append(keys, key)
		}
	}
	return keys
}

// Where all keys are used alike no key is worth a new series.
func TestEvenUseChangesNothing(t *testing.T) {
	c := &clock{time.Unix(0, 0)}
	u := newKeyUses(10, c.now)
	for i := range 10 {
		u.add(fmt.Sprint("key", i))
	}
	first := slices.Sorted(maps.Keys(u.counts(t)))
	for range 20 {
		for range 5000 {
			u.add(fmt.Sprint("key", rand.IntN(100_000)))
		}
		c.at = c.at.Add(rebalance)
		if now := slices.Sorted(maps.Keys(u.counts(t))); !slices.Equal(now, first) {
			t.Fatalf("%v gave way to %v", first, now)
		}
	}
}

// The sketch is never wrong about what it says is sure.
func TestSketchBounds(t *testing.T) {
	s := newSketch(8)
	truth := map[string]uint64{}
	for range 20_000 {
		key := fmt.Sprint(int(rand.ExpFloat64() * 6))
		truth[key]++
		s.note(key)
		least := slices.MinFunc(s.order, func(a, b *estimate) int { return cmp.Compare(a.count, b.count) })
		if first := s.order[0]; first.count != least.count || s.of[first.key] != first || len(s.of) != len(s.order) {
			t.Fatalf("%+v gives way, %+v is the least of %d", first, least, len(s.of))
		}
	}
	for key := range s.of {
		if n := truth[key]; s.surely(key) > n || s.most(key) < n {
			t.Errorf("%s came %d times, the sketch says %d to %d", key, n, s.surely(key), s.most(key))
		}
	}
	if len(s.of) > s.limit {
		t.Errorf("%d keys", len(s.of))
	}
}

// What ages to nothing makes room, and the rest stays in order.
func TestSketchAges(t *testing.T) {
	s := newSketch(8)
	for i := range 8 {
		for range i + 1 {
			s.note(fmt.Sprint(i))
		}
	}
	s.age()
	s.age()
	if got := slices.Sorted(maps.Keys(s.of)); !slices.Equal(got, []string{"3", "4", "5", "6", "7"}) || len(s.order) != len(got) {
		t.Errorf("%v are left, %d in order", got, len(s.order))
	}
	if s.order[0].count != 1 || s.most("7") != 2 {
		t.Errorf("the least came %d times, the most %d times", s.order[0].count, s.most("7"))
	}
}

func BenchmarkKeyUses(b *testing.B) {
	for _, limit := range []int{100, 1000} {
		b.Run(fmt.Sprint(limit, " shown"), func(b *testing.B) {
			u := newKeyUses(limit, time.Now)
			keys := make([]string, 100*limit) // most samples are of a key that the sketch does not have
			for i := range keys {
				keys[i] = fmt.Sprint("key", i)
			}
			for i := range 20 * len(keys) {
				u.add(keys[i%len(keys)])
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				u.add(keys[i%len(keys)])
			}
		})
	}
}

// Who wants no key named has none named, not even one that is to be deleted.
func TestNoPendingKeyIsNamed(t *testing.T) {
	p := newPendingUses(0)
	p.add("a", time.Unix(0, 0))
	if len(p.last) > 0 {
		t.Errorf("%v", p.last)
	}
}

// However few keys are shown for their use, one that somebody needs and that is to be deleted stays named.
func TestManyPendingKeysAreNamed(t *testing.T) {
	m := node(State{})
	for i := range pendingShown {
		m.PendingDeletion(fmt.Sprint("key", i))
	}
	if n := len(gathered(t, m)["lockstep_key_pending_deletion_last_request_timestamp_seconds"].GetMetric()); n != pendingShown {
		t.Errorf("%d of %d keys are named", n, pendingShown)
	}
	m = New(Options{State: func() State { return State{} }})
	m.PendingDeletion("key")
	if f := gathered(t, m)["lockstep_key_pending_deletion_last_request_timestamp_seconds"]; f != nil {
		t.Errorf("with no keys named: %v", f)
	}
}

func TestPendingUsesKeepTheLast(t *testing.T) {
	p := newPendingUses(2)
	for i, key := range []string{"a", "b", "a", "c"} {
		p.add(key, time.Unix(int64(i), 0))
	}
	if got := slices.Sorted(maps.Keys(p.last)); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("%v", got)
	}
}
