package limit

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// QuotaConfig configures a Quota.
type QuotaConfig struct {
	PerSecond float64          // requests a second of one identity, to the nanosecond between two; not positive is unlimited
	Burst     int              // requests at once after a pause, those of one second by default and at least 1
	Now       func() time.Time // the clock, time.Now by default
	Entries   int              // identities that are counted apart at once, 16384 by default, 64 bytes each
}

// Quota limits the requests of each identity, as a token bucket does: it holds up to Burst tokens,
// fills with PerSecond, and a request takes one.
//
// It is the generic cell rate algorithm (ITU-T I.371), which is the same bucket told by the one time
// at which it is full again. One number needs no lock: a request moves it with one compare-and-swap
// and shares nothing with the requests of other identities, where a bucket of tokens and a time
// (as golang.org/x/time/rate has) needs a mutex around both.
//
// An identity whose bucket is full again is as good as unknown, so its place goes to the next one
// that needs it. When every place is in use, new identities share one bucket: they are neither
// unlimited nor at the cost of those that came before.
//
// A nil *Quota limits nothing.
type Quota struct {
	now       func() time.Time
	start     time.Time
	interval  time.Duration // between two requests at the rate
	tolerance time.Duration // interval for each request of a burst
	seed      maphash.Seed

	mu       sync.Mutex // held while an identity claims a bucket
	buckets  []bucket   // a hash table with linear probing; the length is a power of two
	overflow bucket     // of the identities that found no place
}

// bucket is the state of one identity.
type bucket struct {
	key  atomic.Uint64 // hash of the identity, 0 for nobody yet, or claimed; written with Quota.mu held
	full atomic.Int64  // when the bucket is full again, in nanoseconds since Quota.start
}

const (
	// With a quarter of the table in use, one of 64 neighbours is as good as always to be had.
	bucketsPerEntry = 4
	maxProbes       = 64

	claimed = 1 // the key of a bucket that changes its owner

	maxInterval  = 24 * time.Hour
	maxTolerance = 1 << 61 // far from an overflow when added to a time since start
)

// NewQuota returns a Quota of full buckets, or nil when c has no positive and finite rate.
func NewQuota(c QuotaConfig) *Quota {
	if !(c.PerSecond > 0) || math.IsInf(c.PerSecond, 1) {
		return nil
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	interval := math.Round(min(max(float64(time.Second)/c.PerSecond, 1), float64(maxInterval)))
	burst := float64(c.Burst)
	if c.Burst <= 0 {
		burst = max(math.Round(c.PerSecond), 1)
	}
	entries := min(max(orDefault(c.Entries, defaultEntries), 1), maxEntries)
	size := bucketsPerEntry
	for size < entries*bucketsPerEntry {
		size *= 2
	}
	return &Quota{
		now:       c.Now,
		start:     c.Now(),
		interval:  time.Duration(interval),
		tolerance: time.Duration(min(interval*burst, maxTolerance)),
		seed:      maphash.MakeSeed(),
		buckets:   make([]bucket, size),
	}
}

// Take takes one request of the identity. When it may not be served, ok is false and retry is how
// long the next one has to wait.
func (q *Quota) Take(identity string) (ok bool, retry time.Duration) {
	if q == nil {
		return true, 0
	}
	now := q.now().Sub(q.start)
	key := hashKey(maphash.String(q.seed, identity))
	for {
		b, full, owned := q.find(key, now)
		if b == nil {
			b, owned = &q.overflow, true
			full = b.full.Load()
		}
		if !owned {
			if q.claim(key, now) {
				return true, 0
			}
			continue
		}
		next := max(time.Duration(full), now) + q.interval
		if wait := next - now - q.tolerance; wait > 0 {
			return false, wait
		}
		if b.full.CompareAndSwap(full, int64(next)) {
			return true, 0
		}
	}
}

// claim gives key a bucket and takes its first request from it, so that the bucket is in use before
// another identity can look for one. It returns false when another request was faster.
func (q *Quota) claim(key uint64, now time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	b, full, owned := q.find(key, now)
	if b == nil || owned {
		return false
	}
	owner := b.key.Load()
	b.key.Store(claimed)
	if !b.full.CompareAndSwap(full, int64(now+q.interval)) {
		b.key.Store(owner) // its owner came back just now
		return false
	}
	b.key.Store(key)
	return true
}

// find returns the bucket that key owns, or else one that it may claim, or nil when all are in use.
// A bucket that had an owner always has one, so the first without ends the search.
//
// The time is read before the owner. Since a claim changes them in the other order and the time only
// grows, a request can move the time it got here only while the bucket is still its own.
func (q *Quota) find(key uint64, now time.Duration) (b *bucket, full int64, owned bool) {
	mask := uint64(len(q.buckets) - 1)
	for i := range min(maxProbes, uint64(len(q.buckets))) {
		candidate := &q.buckets[(key+i)&mask]
		t := candidate.full.Load()
		owner := candidate.key.Load()
		if owner == key {
			return candidate, t, true
		}
		if b == nil && time.Duration(t) <= now {
			b, full = candidate, t
		}
		if owner == 0 {
			break
		}
	}
	return b, full, false
}
