package limit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultEntries = 16384
	maxEntries     = 1 << 22 // bounds what a configuration can make us allocate
	ways           = 8       // keys of a set, one cache line
)

// table counts failures by key in a fixed number of sets of eight. A key can only be in its own set,
// and a new key replaces the oldest of its set. Keys are hashes under a secret seed, so nobody can
// aim at a set.
type table struct {
	forget time.Duration
	sets   []set
	live   atomic.Int64 // keys that are stored
}

// set is eight keys with their failures.
type set struct {
	keys  [ways]atomic.Uint64 // written with mu held, read without; 0 is free
	mu    sync.Mutex
	slots [ways]slot // guarded by mu
}

type slot struct {
	failures int
	last     time.Duration // when the last failure came
}

func newTable(entries int, forget time.Duration) *table {
	entries = min(max(entries, 1), maxEntries)
	return &table{forget: forget, sets: make([]set, (entries+ways-1)/ways)}
}

// note adds by to the failures of key and returns how many there are. A key that is not stored has
// none, and is stored only when add is true.
func (t *table) note(key uint64, now time.Duration, by int, add bool) int {
	key = hashKey(key)
	s := t.set(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.find(key)
	if !found {
		if !add {
			return 0
		}
		i = s.oldest()
		if s.keys[i].Load() == 0 {
			t.live.Add(1)
		}
		s.keys[i].Store(key)
		s.slots[i] = slot{last: now}
	}
	c := &s.slots[i]
	if now-c.last > t.forget {
		c.failures = 0
	}
	c.failures = min(max(c.failures+by, 0), math.MaxInt32)
	c.last = now
	if c.failures == 0 {
		t.free(s, i)
	}
	return s.slots[i].failures
}

// has reports whether key is stored, without a lock.
func (t *table) has(key uint64) bool {
	key = hashKey(key)
	_, found := t.set(key).find(key)
	return found
}

// remove frees key and reports whether it had failures that were not forgotten.
func (t *table) remove(key uint64, now time.Duration) bool {
	key = hashKey(key)
	s := t.set(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.find(key)
	if !found {
		return false
	}
	current := now-s.slots[i].last <= t.forget
	t.free(s, i)
	return current
}

// free empties a slot. The caller holds s.mu.
func (t *table) free(s *set, i int) {
	s.keys[i].Store(0)
	s.slots[i] = slot{}
	t.live.Add(-1)
}

// set returns the set of key: the upper half of key, scaled to the number of sets.
func (t *table) set(key uint64) *set {
	return &t.sets[(key>>32)*uint64(len(t.sets))>>32]
}

func (s *set) find(key uint64) (i int, found bool) {
	for i := range s.keys {
		if s.keys[i].Load() == key {
			return i, true
		}
	}
	return 0, false
}

// oldest returns a free slot, or else the one whose last failure is the longest ago. The caller
// holds s.mu.
func (s *set) oldest() int {
	oldest := 0
	for i := range s.keys {
		if s.keys[i].Load() == 0 {
			return i
		}
		if s.slots[i].last < s.slots[oldest].last {
			oldest = i
		}
	}
	return oldest
}

// hashKey keeps a hash apart from the values that mark what is free or claimed.
func hashKey(hash uint64) uint64 { return max(hash, claimed+1) }
