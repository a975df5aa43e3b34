package limit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// BackoffConfig configures a Backoff. A field that is 0 has its default.
type BackoffConfig struct {
	Now              func() time.Time // the clock, time.Now by default
	Entries          int              // how many pairs, and as many sources, are remembered; 16384 by default, about 50 bytes each
	Free             int              // failures that are not delayed, 5 by default; negative for none
	First            time.Duration    // the first delay, 100 ms by default
	Longest          time.Duration    // the longest delay, 2 s by default, at most an hour
	Forget           time.Duration    // failures are forgotten when no other came for so long, 10 min by default
	Waiting          int              // how many answers may wait at once, 512 by default
	WaitingPerSource int              // and how many of one source, 32 by default
}

// Backoff delays the answers to failed authentication. It counts the failures of each pair of source
// and claimed identity, and for each source the identities that fail there; the longer of the two
// delays holds. A source is an IPv4 address or an IPv6 /64, which is what one subscriber gets.
//
// Callers behind one NAT share their source's delay, but only for attempts that fail. A source at
// the longest delay gets no new pairs, since they could not delay it any more: with the defaults,
// a source that sprays identities gets eleven entries of the table, and pushing out the pairs of
// others takes more than a thousand sources.
//
// A nil *Backoff delays nothing.
type Backoff struct {
	now     func() time.Time
	start   time.Time
	free    int
	first   time.Duration
	longest time.Duration

	sourceSeed, identitySeed maphash.Seed
	pairs                    *table // failures of a source and identity
	sources                  *table // failing identities of a source

	total, perSource int // bounds of waiting
	mu               sync.Mutex
	waiting          int            // guarded by mu
	waitingOf        map[uint64]int // by source, without zeros; guarded by mu
}

// NewBackoff returns a Backoff that remembers no failure.
func NewBackoff(c BackoffConfig) *Backoff {
	if c.Now == nil {
		c.Now = time.Now
	}
	forget := orDefault(c.Forget, 10*time.Minute)
	entries := orDefault(c.Entries, defaultEntries)
	return &Backoff{
		now:          c.Now,
		start:        c.Now(),
		free:         max(orDefault(c.Free, 5), 0),
		first:        orDefault(c.First, 100*time.Millisecond),
		longest:      min(orDefault(c.Longest, 2*time.Second), time.Hour),
		sourceSeed:   maphash.MakeSeed(),
		identitySeed: maphash.MakeSeed(),
		pairs:        newTable(entries, forget),
		sources:      newTable(entries, forget),
		total:        orDefault(c.Waiting, 512),
		perSource:    orDefault(c.WaitingPerSource, 32),
		waitingOf:    make(map[uint64]int),
	}
}

// Failed notes a failed attempt and returns how long its answer has to wait, 0 for not at all. Once
// the free failures are used up, the delay doubles with each failure.
func (b *Backoff) Failed(source, identity string) time.Duration {
	if b == nil {
		return 0
	}
	now := b.elapsed()
	group := b.group(source)
	identities := b.sources.note(group, now, 0, false)
	useful := b.delay(identities) < b.longest
	failures := b.pairs.note(b.pair(group, identity), now, 1, useful)
	if failures == 1 {
		identities = b.sources.note(group, now, 1, true)
	}
	return max(b.delay(failures), b.delay(identities))
}

// Succeeded forgets the failures of that pair. It costs one atomic read while no pair has failures,
// and takes a lock only when this one has. The other identities that failed at the source still
// count, so that owning one credential does not help to guess another.
func (b *Backoff) Succeeded(source, identity string) {
	if b == nil || b.pairs.live.Load() == 0 {
		return
	}
	group := b.group(source)
	pair := b.pair(group, identity)
	if !b.pairs.has(pair) {
		return
	}
	if now := b.elapsed(); b.pairs.remove(pair, now) {
		b.sources.note(group, now, -1, false)
	}
}

// Wait waits for d or until ctx ends, and returns true. It returns false at once when too many
// answers wait already, in all or of that source; the caller then answers 429 (RFC 6585, section 4).
// That answer tells a failure as well as any other: what is bounded here is what waiting costs us,
// not how often a caller can try.
func (b *Backoff) Wait(ctx context.Context, source string, d time.Duration) bool {
	if b == nil || d <= 0 {
		return true
	}
	group := b.group(source)
	if !b.enter(group) {
		return false
	}
	defer b.leave(group)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return true
}

func (b *Backoff) enter(group uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting >= b.total || b.waitingOf[group] >= b.perSource {
		return false
	}
	b.waiting++
	b.waitingOf[group]++
	return true
}

func (b *Backoff) leave(group uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
	if b.waitingOf[group]--; b.waitingOf[group] == 0 {
		delete(b.waitingOf, group)
	}
}

// delay returns the delay after n failures.
func (b *Backoff) delay(n int) time.Duration {
	if n <= b.free {
		return 0
	}
	d := b.first
	for i := b.free + 1; i < n && d < b.longest; i++ {
		d *= 2
	}
	return min(d, b.longest)
}

// group hashes the network that a source belongs to. What is no address stands for itself.
func (b *Backoff) group(source string) uint64 {
	addr, ok := parseAddr(source)
	switch {
	case !ok:
		return maphash.String(b.sourceSeed, source)
	case addr.Is4():
		a := addr.As4()
		return maphash.Bytes(b.sourceSeed, a[:])
	default:
		a := addr.As16()
		return maphash.Bytes(b.sourceSeed, a[:8])
	}
}

// pair hashes a source and an identity. Two seeds keep an identity that spells a source from
// cancelling it.
func (b *Backoff) pair(group uint64, identity string) uint64 {
	return group ^ maphash.String(b.identitySeed, identity)
}

// elapsed returns the time since start, which no change of the wall clock moves.
func (b *Backoff) elapsed() time.Duration { return b.now().Sub(b.start) }

// orDefault returns v, or def when v is 0.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
