package metrics

import (
	"cmp"
	"container/heap"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// keyUses counts the uses of keys: each of the keys that are shown in a series of its own, all others in one.
//
// A counter must never fall, so no count moves from one series to another. A use is counted where its key is at that time; a
// key that comes to be shown begins at 0, and the series of one that is no longer shown ends. So increases are right, those of
// all series together too but for what a key that gives way was used for since the last scrape, and absolute values mean little, as
// with every counter that a restart sets back.
//
// Which keys are shown changes seldom, since every change begins a series in Prometheus. While there is room, a key is shown at
// its first use. After that, one in sampled uses is noted in a space-saving sketch (Metwally et al., 2005), and once a rebalance
// the keys that were surely used more than twice as often as a shown one take its place, at most a tenth of the places at a time.
//
// Counting takes a look-up in a map that is never changed and an addition. The sketch has a lock, which only samples take and
// only when it is free: a sample that is lost changes no count.
type keyUses struct {
	limit int // of the keys shown; immutable
	now   func() time.Time

	shown  atomic.Pointer[map[string]*atomic.Uint64] // by key id; replaced as a whole, under mu
	others atomic.Uint64

	mu     sync.Mutex
	sketch sketch    // guarded by mu
	since  time.Time // guarded by mu: when the keys shown were last chosen
}

const (
	sampled   = 16 // one use in so many is noted
	rebalance = 10 * time.Minute
	fewest    = 8 // samples of a key that is to be shown: where all keys are used alike, none is
)

var (
	descKeyUses = prometheus.NewDesc("lockstep_key_uses_total",
		`Uses of a key by cryptographic operations that were done. The most used keys have a series each, all others together the one with key_id "other".`, []string{"key_id"}, nil)
	descPendingUse = prometheus.NewDesc("lockstep_key_pending_deletion_last_request_timestamp_seconds",
		"When a request to use the key was last refused because the key is to be deleted, of the keys asked for last.", []string{"key_id"}, nil)
)

func newKeyUses(limit int, now func() time.Time) *keyUses {
	u := &keyUses{limit: limit, now: now, sketch: newSketch(4 * limit), since: now()}
	u.shown.Store(&map[string]*atomic.Uint64{})
	return u
}

// add counts one use.
func (u *keyUses) add(key string) {
	shown := *u.shown.Load()
	count := shown[key]
	switch {
	case count != nil:
		count.Add(1)
	case len(shown) < u.limit:
		u.show(key).Add(1)
	default:
		u.others.Add(1)
	}
	if rand.Uint32()%sampled == 0 && u.limit > 0 && u.mu.TryLock() {
		u.sketch.note(key)
		u.mu.Unlock()
	}
}

// show gives a key a series of its own while there is room.
func (u *keyUses) show(key string) *atomic.Uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	old := *u.shown.Load()
	if count := old[key]; count != nil {
		return count
	}
	if len(old) >= u.limit {
		return &u.others
	}
	shown := maps.Clone(old)
	shown[key] = new(atomic.Uint64)
	u.shown.Store(&shown)
	return shown[key]
}

// choose lets keys that are used much more take the places of keys that are shown, when it is time.
func (u *keyUses) choose() {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	if now.Sub(u.since) < rebalance || u.limit == 0 {
		return
	}
	u.since = now
	shown := maps.Clone(*u.shown.Load())
	least := slices.SortedFunc(maps.Keys(shown), func(a, b string) int {
		return cmp.Or(cmp.Compare(u.sketch.most(a), u.sketch.most(b)), cmp.Compare(a, b))
	})
	for i, key := range u.sketch.top(max(1, u.limit/10), shown) {
		if n := u.sketch.surely(key); i >= len(least) || n < fewest || n <= 2*u.sketch.most(least[i]) {
			break
		}
		delete(shown, least[i])
		shown[key] = new(atomic.Uint64)
	}
	u.shown.Store(&shown)
	u.sketch.age()
}

// Describe implements prometheus.Collector.
func (u *keyUses) Describe(to chan<- *prometheus.Desc) { to <- descKeyUses }

// Collect implements prometheus.Collector.
func (u *keyUses) Collect(to chan<- prometheus.Metric) {
	u.choose()
	for key, count := range *u.shown.Load() {
		to <- prometheus.MustNewConstMetric(descKeyUses, prometheus.CounterValue, float64(count.Load()), key)
	}
	to <- prometheus.MustNewConstMetric(descKeyUses, prometheus.CounterValue, float64(u.others.Load()), other)
}

// sketch estimates how often the most frequent of many keys come, in bounded space: a key that is not in it takes the place of
// the least frequent, with that one's count as how far its own may be too high. A note takes time logarithmic in the limit.
type sketch struct {
	limit int
	of    map[string]*estimate
	order byCount // the same estimates
}

// estimate says that a key came at most count times and at least count-excess times.
type estimate struct {
	key           string
	count, excess uint64
	place         int // in the order
}

func newSketch(limit int) sketch { return sketch{limit: limit, of: map[string]*estimate{}} }

func (s *sketch) note(key string) {
	e := s.of[key]
	switch {
	case e != nil:
		e.count++
		heap.Fix(&s.order, e.place)
	case len(s.order) < s.limit:
		e = &estimate{key: key, count: 1}
		s.of[key] = e
		heap.Push(&s.order, e)
	default:
		e = s.order[0]
		delete(s.of, e.key)
		e.key, e.excess = key, e.count
		e.count++
		s.of[key] = e
		heap.Fix(&s.order, 0)
	}
}

// byCount is a heap of estimates, the least count first.
type byCount []*estimate

func (h byCount) Len() int           { return len(h) }
func (h byCount) Less(i, j int) bool { return h[i].count < h[j].count }
func (h byCount) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *byCount) Push(x any) {
	e := x.(*estimate)
	e.place = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *byCount) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

// most returns how often a key came at most, as far as the sketch has it.
func (s *sketch) most(key string) uint64 {
	if e := s.of[key]; e != nil {
		return e.count
	}
	return 0
}

// surely returns how often a key came at least.
func (s *sketch) surely(key string) uint64 {
	if e := s.of[key]; e != nil {
		return e.count - e.excess
	}
	return 0
}

// top returns up to n keys that came most, surely, without those in except.
func (s *sketch) top(n int, except map[string]*atomic.Uint64) []string {
	keys := slices.SortedFunc(maps.Keys(s.of), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.surely(b), s.surely(a)), cmp.Compare(a, b))
	})
	keys = slices.DeleteFunc(keys, func(k string) bool { return except[k] != nil })
	return keys[:min(n, len(keys))]
}

// age lets what came long ago count less. Halving keeps the order; what came to nothing is first in it.
func (s *sketch) age() {
	for _, e := range s.order {
		e.count, e.excess = e.count/2, e.excess/2
	}
	for len(s.order) > 0 && s.order[0].count == 0 {
		delete(s.of, heap.Pop(&s.order).(*estimate).key)
	}
}

// pendingUses remembers when keys that are to be deleted were last asked for, of the keys that were asked for last.
type pendingUses struct {
	limit int

	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

// pendingShown is how many keys that are to be deleted are named: callers of other keys should not push out the one that somebody
// needs, and few such keys are ever asked for.
const pendingShown = 1000

func newPendingUses(limit int) *pendingUses {
	return &pendingUses{limit: limit, last: map[string]time.Time{}}
}

func (p *pendingUses) add(key string, now time.Time) {
	if p.limit == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[key] = now
	if len(p.last) <= p.limit {
		return
	}
	oldest := key
	for k, at := range p.last {
		if at.Before(p.last[oldest]) {
			oldest = k
		}
	}
	delete(p.last, oldest)
}

// Describe implements prometheus.Collector.
func (p *pendingUses) Describe(to chan<- *prometheus.Desc) { to <- descPendingUse }

// Collect implements prometheus.Collector.
func (p *pendingUses) Collect(to chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, at := range p.last {
		to <- prometheus.MustNewConstMetric(descPendingUse, prometheus.GaugeValue, float64(at.UnixMilli())/1000, key)
	}
}
