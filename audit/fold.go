package audit

import (
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// Bounds of a fold. A flood from everywhere writes foldOwn records of refusals a second, and foldSources + 1 counted ones.
const (
	foldWindow  = time.Second
	foldAfter   = 10  // see Options.FoldAfter
	foldOwn     = 100 // see Options.FoldOwn
	foldSources = 256 // sources told apart in a window; those beyond are one, foldOthers
	foldNames   = 16  // event names, and error codes, told apart in a record; those beyond are one, foldOther
	foldOthers  = "others"
	foldOther   = "other"
)

// fold counts refusals of callers that nobody authenticated: of each source, ten a second have records of their own, of
// all sources together a hundred; the others become one record with their number, which is written when the second is over. A second begins with the first
// refusal after the last one ended. An IPv6 source is its /64.
//
// What is counted is answered before its record is written: a node that dies takes the counts of at most a second, and of
// the time until the next record is written, with it. While records cannot be written, nothing is counted but refused.
type fold struct {
	log   *Log
	timer *time.Timer // rings at the end of the second, and only then

	posting sync.Mutex // held while counted records are handed on: close waits for those of the second before

	mu      sync.Mutex
	sources map[string]*tally // guarded by mu: of this second; nil: nothing was refused in it
	own     int               // guarded by mu: of this second, that have records of their own
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
	codes        map[string]uint64 // by errorCode
	epoch, index uint64            // of the last
}

func (f *fold) init(l *Log) {
	f.log = l
	f.timer = time.AfterFunc(time.Hour, f.write)
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
		f.sources, f.own = map[string]*tally{}, 0
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
	if t.own < f.log.options.FoldAfter && f.own < f.log.options.FoldOwn {
		t.own++
		f.own++
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
		t.first, t.events, t.codes = r.Time, map[string]uint64{}, map[string]uint64{}
	}
	t.count++
	t.last, t.epoch, t.index = r.Time, r.Epoch, r.Index
	countName(t.events, r.Name)
	countName(t.codes, r.ErrorCode)
}

// countName counts a name, or as one those beyond the first foldNames.
func countName(all map[string]uint64, name string) {
	if _, known := all[name]; !known && len(all) >= foldNames {
		name = foldOther
	}
	all[name]++
}

// numbers are counts as texts.
func numbers(all map[string]uint64) map[string]string {
	texts := make(map[string]string, len(all))
	for name, n := range all {
		texts[name] = strconv.FormatUint(n, 10)
	}
	return texts
}

// write hands the counted records of the second that is over to the log, which repeats them until enough sinks have them.
func (f *fold) write() {
	f.posting.Lock()
	defer f.posting.Unlock()
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
	if counted != nil {
		_, _ = f.log.post(counted...) // it is closed behind the last ones only
	}
}

// close writes what is counted, before the log's last batch. Refusals after that have records of their own.
func (f *fold) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.timer.Stop()
	f.write()
}

func (t *tally) notice(node string) notice {
	r := Record{Time: t.last, Source: sourceOwn, Name: eventFold, SourceIP: t.source,
		Parameters: []Pair{Int("count", int64(t.count)), {Key: "firstTime", Value: string(appendTime(nil, t.first))},
			{Key: "lastTime", Value: string(appendTime(nil, t.last))}, {Key: "events", Object: numbers(t.events)}},
		Node: node, Epoch: t.epoch, Index: t.index}
	if len(t.codes) > 1 {
		r.Parameters = append(r.Parameters, Pair{Key: "errorCodes", Object: numbers(t.codes)})
	} else {
		for code := range t.codes { // the one that all had
			r.ErrorCode = code
		}
	}
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
