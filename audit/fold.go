package audit

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/kms"
)

// Bounds of a fold. A flood from everywhere writes (foldSources + 1) * foldAfter records a second, and as many counted ones.
const (
	foldWindow  = time.Second
	foldAfter   = 10  // see Options.FoldAfter
	foldSources = 256 // sources told apart in a window; those beyond are one, foldOthers
	foldEvents  = 16  // event names told apart in a record; those beyond are one
	foldOthers  = "others"
	otherEvents = "other"
)

// fold counts refusals of callers that nobody authenticated: of each source, ten a second have records of their own, the
// others become one record with their number, which is written when the second is over. A second begins with the first
// refusal after the last one ended. An IPv6 source is its /64.
//
// What is counted is answered before its record is written: a node that dies takes the counts of at most a second, and of
// the time until the next record is written, with it. While records cannot be written, nothing is counted but refused.
type fold struct {
	log   *Log
	timer *time.Timer // rings at the end of the second, and only then

	writing sync.Mutex // held while counted records are written: close waits for those of the second before

	mu      sync.Mutex
	sources map[string]*tally // guarded by mu: of this second; nil: nothing was refused in it
	folded  uint64            // guarded by mu: refusals counted since the start
	closed  bool              // guarded by mu
}

// tally is what one source was refused in a second.
type tally struct {
	source       string
	own          int // have records of their own
	count        uint64
	first, last  time.Time
	events       map[string]uint64
	epoch, index uint64 // of the last
}

func (f *fold) init(l *Log) {
	f.log = l
	f.timer = time.AfterFunc(time.Hour, func() { _ = f.write() }) // what fails is repeated with the next batch
	f.timer.Stop()
}

// take reports whether the refusal r is counted, and so has no record of its own; the error is what to answer instead.
func (f *fold) take(r *Record) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false, nil
	}
	if f.sources == nil {
		f.sources = map[string]*tally{}
		f.timer.Reset(foldWindow)
	}
	source := sourceOf(r.SourceIP)
	t := f.sources[source]
	if t == nil {
		if len(f.sources) >= foldSources {
			source = foldOthers
			t = f.sources[source]
		}
		if t == nil {
			t = &tally{source: source}
			f.sources[source] = t
		}
	}
	if t.own < f.log.options.FoldAfter {
		t.own++
		return false, nil
	}
	if f.log.blocked.Load() != nil {
		return false, refusal(errBlocked)
	}
	f.folded++
	t.add(r)
	return true, nil
}

func (f *fold) number() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.folded
}

func (t *tally) add(r *Record) {
	if t.count == 0 {
		t.first, t.events = r.Time, map[string]uint64{}
	}
	t.count++
	t.last, t.epoch, t.index = r.Time, r.Epoch, r.Index
	name := r.Name
	if _, known := t.events[name]; !known && len(t.events) >= foldEvents {
		name = otherEvents
	}
	t.events[name]++
}

// write writes the counted records of the second that is over.
func (f *fold) write() error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	sources := f.sources
	f.sources = nil
	f.mu.Unlock()
	var counted []notice
	for _, t := range sources {
		if t.count > 0 {
			counted = append(counted, t.notice(f.log.options.Node))
		}
	}
	if counted == nil {
		return nil
	}
	return f.log.note(counted...)
}

// close writes what is counted. Refusals after that have records of their own.
func (f *fold) close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.timer.Stop()
	return f.write()
}

func (t *tally) notice(node string) notice {
	events := make(map[string]string, len(t.events))
	for name, n := range t.events {
		events[name] = strconv.FormatUint(n, 10)
	}
	r := Record{Time: t.last, Source: sourceOwn, Name: eventFold, SourceIP: t.source, ErrorCode: string(kms.CodeUnauthenticated),
		Parameters: []Pair{Int("count", int64(t.count)), {Key: "firstTime", Value: string(appendTime(nil, t.first))},
			{Key: "lastTime", Value: string(appendTime(nil, t.last))}, {Key: "events", Object: events}},
		Node: node, Epoch: t.epoch, Index: t.index}
	return func(uint64, chain.Hash) Record { return r }
}

// sourceOf returns what refusals are counted by: an IPv4 address, an IPv6 network of 64 bits, else the text.
func sourceOf(addr string) string {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return addr[:min(len(addr), maxSource)]
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64) // of 128
	return p.String()
}

const maxSource = 64 // bytes of a source that is no address
