package verify

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"sort"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// place is where a line stands.
type place struct {
	file   string
	number int // from 1
}

// record is a line that is chained.
type record struct {
	place
	line
	event any // what it says of the trail; see events.go
}

func (r *record) seq() uint64 { return r.link.Seq }

// badLines are lines between two records that are none.
type badLines struct {
	place   // of the first one
	why     error
	count   uint64
	endless bool   // the last one has no newline behind it
	whole   bool   // one of them is not torn, so no failing write left it
	held    bool   // a start may still explain them
	seq     uint64 // the record that is missing where they stand; 0: none
}

// unfinished reports whether the end of the file is all that is missing.
func (b *badLines) unfinished() bool { return b.count == 1 && b.endless && b.why == errTorn }

func (b *badLines) join(next *badLines) *badLines {
	if b == nil || next == nil {
		if b == nil {
			return next
		}
		return b
	}
	b.count += next.count
	b.endless = next.endless
	b.whole = b.whole || next.whole
	return b
}

// gap is records that are missing before the record at place.
type gap struct {
	place
	from, to uint64
	say      string // why what follows does not explain it
	by       uint64 // the record that explains it
	vouched
}

// vouched says whether the node itself wrote a record that explains what is far before it: whoever can cut the files of a node that is
// down can append one.
type vouched struct {
	run    string // of the node, that wrote the record, as that says
	signed bool   // a head covered it in the same run
	late   bool   // the node was started again before, and found it in its files
}

// head is the next one, of a run of the node. The start of that may be among what the sink missed.
func (v *vouched) head(run string) {
	v.late = v.late || !v.signed && v.run != run
	v.signed = !v.late
}

// start is that of the node; found says that it found the record in its files.
func (v *vouched) start(found bool) { v.late = v.late || found && !v.signed }

// holds reports whether the record may explain what a record of a run says: it is signed, or of that run itself.
func (v *vouched) holds(run string) bool { return !v.late && (v.signed || v.run == run) }

// node is the trail of one node as far as it is read.
type node struct {
	found   Node
	options *Options
	anchor  *anchor           // nil: the checkpoint has none
	key     ed25519.PublicKey // nil: the first head brings it
	cluster string            // "": the first head brings it
	sink    string            // whose losses the files showed first

	file    string     // of the line before
	first   chain.Hash // of the first record
	last    *record    // nil: none yet
	recent  recent     // hashes of the latest records
	heads   recent     // hashes that the latest heads cover
	old     place      // of the last unchained line
	bad     *badLines
	gap     *gap    // waits for the record that explains it
	back    *gap    // records that stand beside the chain, for which a start is awaited
	suspect *record // has the next seq but not the hash of last; the record after it tells which of the two is altered

	prefix    *record // the first record, when it is not record 1
	prefixBy  []explanation
	unheld    []loss  // what sinks had missed before that
	altered   *record // stands where the checkpoint names another one
	gaps      []*gap  // the latest ones, explained
	anchorGap *gap    // the checkpoint's record is among these, which the sink missed
	lastHead  uint64  // record of the last verified head
}

// explanation is a record that says why what is before the first one is missing.
type explanation struct {
	seq       uint64
	sink, say string
	vouched
}

// loss is AuditRecordsMissed about records before the first one.
type loss struct {
	*missed
	vouched
}

// recent remembers the hashes of the latest records.
type recent []struct {
	seq  uint64
	hash chain.Hash
}

func (r *recent) add(seq uint64, hash chain.Hash) {
	if len(*r) == 2*recentSize {
		*r = (*r)[:copy(*r, (*r)[recentSize:])]
	}
	*r = append(*r, struct {
		seq  uint64
		hash chain.Hash
	}{seq, hash})
}

func (r recent) index(seq uint64) int {
	return sort.Search(len(r), func(i int) bool { return r[i].seq >= seq })
}

func (r recent) of(seq uint64) (chain.Hash, bool) {
	if i := r.index(seq); i < len(r) && r[i].seq == seq {
		return r[i].hash, true
	}
	return chain.Hash{}, false
}

// fail notes the first fault; what is read later is counted only.
func (n *node) fail(at place, seq uint64, id, format string, args ...any) {
	if n.found.Fault == nil {
		n.found.Fault = &Finding{at.file, at.number, seq, id, fmt.Sprintf(format, args...)}
	}
	n.gap, n.back, n.bad, n.suspect = nil, nil, nil, nil
}

func (n *node) failAt(r *record, format string, args ...any) {
	n.fail(r.place, r.seq(), r.id, format, args...)
}

// failHeld fails what was held for a record that explains it and did not come.
func (n *node) failHeld() {
	switch g := n.gap; {
	case n.back != nil:
		n.fail(n.back.place, n.back.from, "", "%s", n.back.say)
	case n.bad != nil && g != nil && !n.bad.held:
		n.failBad(g.from)
	case n.bad != nil:
		n.failBad(n.bad.seq)
	case g != nil:
		n.fail(g.place, g.from, "", "%s missing here%s", records(g.from, g.to), g.say)
	}
}

func (n *node) held() bool { return n.gap != nil || n.back != nil || n.bad != nil && n.bad.held }

// failBad says that the first of the bad lines stands where record seq belongs, or 0 when none is missing.
func (n *node) failBad(seq uint64) { n.fail(n.bad.place, seq, "", "%v", n.bad.why) }

func (n *node) remark(at place, seq uint64, id, format string, args ...any) {
	if len(n.found.Remarks) == maxRemarks {
		n.found.MoreRemarks++
		return
	}
	n.found.Remarks = append(n.found.Remarks, Finding{at.file, at.number, seq, id, fmt.Sprintf(format, args...)})
}

func (n *node) remarkAt(r *record, format string, args ...any) {
	n.remark(r.place, r.seq(), r.id, format, args...)
}

// records says "record 7 is" or "records 7 to 9 are".
func records(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("record %d is", from)
	}
	return fmt.Sprintf("records %d to %d are", from, to)
}

// inFile counts the files that hold lines of the node.
func (n *node) inFile(name string) {
	if n.found.Files == 0 || n.file != name {
		n.found.Files++
	}
	n.file = name
}

// oldLine notes a line without a place in the chain, and the lines before it that are no record: until record 1 they are of a
// release that had no chain.
func (n *node) oldLine(at place, before *badLines) {
	n.inFile(at.file)
	n.found.Unchained++
	if before != nil {
		n.found.Unchained += before.count
	}
	n.old = at
}

// add takes the node's next record.
func (n *node) add(r *record) {
	n.inFile(r.file)
	if r.altered && r.link.Prev == n.next().Prev {
		r.link.Seq = n.next().Seq // the number may be what was altered
	}
	f := &n.found
	if f.Records == 0 {
		f.FirstSeq, f.FirstTime = r.seq(), r.time
	}
	f.Records++
	f.LastSeq, f.LastTime = r.seq(), r.time
	event, err := r.line.event()
	if e, ok := event.(*removed); ok && err == nil && !r.altered && n.endsBefore(e, r.run()) {
		n.explainPrefix(r, e.Sink, "retention deleted the file before, %q", clip(e.File)) // also when a fault came first
	}
	switch {
	case f.Fault != nil:
	case n.suspect != nil:
		n.decide(r)
	case r.altered && n.bad != nil && n.bad.whole:
		n.failBad(n.next().Seq)
	case r.altered:
		n.failAt(r, "it was altered: its hash is not that of the line")
	default:
		if err == nil {
			r.event = event
		}
		if n.joins(r) {
			n.accept(r, err)
		}
	}
}

// next returns the place of the record that follows, but for its hash.
func (n *node) next() chain.Link {
	if n.last == nil {
		return chain.Link{Seq: 1}
	}
	return chain.Link{Seq: n.last.seq() + 1, Prev: n.last.link.Hash}
}

// joins decides whether r may stand after what was read before.
func (n *node) joins(r *record) bool {
	if n.last == nil {
		return n.begins(r)
	}
	follows := r.seq() == n.next().Seq && r.link.Prev == n.next().Prev
	switch {
	case follows:
	case n.gap != nil && n.back == nil && r.seq() > n.last.seq()+1:
		n.gap.to = r.seq() - 1 // a batch that failed too left its first records here, about other sinks; one explanation has to cover all
	case n.held() && (n.gap != nil || n.back != nil || r.seq() <= n.last.seq()+1): // n.last is about another sink; it explains nothing
		n.failHeld()
	case r.link.Prev == n.last.link.Hash:
		n.fail(r.place, n.last.seq()+1, r.id, "it names the record before it, but its own number is %d", r.seq())
	case r.seq() == n.last.seq()+1 && n.bad != nil && !unclean(r):
		n.failBad(r.seq())
	case r.seq() == n.last.seq()+1:
		n.suspect = r
		return false
	case r.seq() > n.last.seq():
		n.gap = &gap{place: r.place, from: n.last.seq() + 1, to: r.seq() - 1}
	default:
		n.goesBack(r)
	}
	if n.found.Fault == nil {
		n.explain(r)
	}
	return n.found.Fault == nil
}

// begins takes the first record of the node.
func (n *node) begins(r *record) bool {
	first := r.seq() == 1
	m, ok := r.event.(*missed)
	torn := first || unclean(r) || ok && m.covers(r.seq()-1, r.seq()-1)
	switch {
	case r.link.Prev == (chain.Hash{}) && !first:
		n.fail(r.place, 1, r.id, "it names no record before it, but its own number is %d", r.seq())
	case r.link.Prev != (chain.Hash{}) && first:
		n.failAt(r, "it is the first record and names one before it")
	case !first && n.old.file == r.file:
		n.fail(n.old, r.seq()-1, "", "%v", errUnchained)
	case n.bad != nil && !torn && r.seq()-1 <= 2*n.bad.count: // a line that lost its newline is two records
		n.failBad(1)
	case n.bad != nil && !torn:
		n.failBad(r.seq() - 1)
	}
	if n.found.Fault != nil {
		return false
	}
	if n.bad != nil {
		n.remark(n.bad.place, 0, "", "what stands before record %d is no record: %v", r.seq(), n.bad.why)
		n.bad = nil
	}
	if !first {
		n.prefix = r
	}
	n.first = r.link.Hash
	n.recent.add(r.seq()-1, r.link.Prev)
	return true
}

// goesBack takes a record whose number was there already. After an unclean stop another sink may have had less: the node goes on
// from what the first one has, and what this one has beyond is not of the chain.
func (n *node) goesBack(r *record) {
	_, start := r.event.(*started)
	hash, known := n.recent.of(r.seq() - 1)
	moved := fmt.Sprintf("it stands after record %d: a record or a file is here twice, or was moved", n.last.seq())
	switch {
	case start && r.seq() == 1 && r.link.Hash != n.first:
		n.failAt(r, "the node began a new chain: when it started, the file with record %d was not where it writes", n.last.seq())
	case known && hash == r.link.Prev && n.found.SignedSeq >= r.seq():
		n.failAt(r, "%s; records up to %d, which it would leave behind, are signed", moved, n.found.SignedSeq)
	case known && hash == r.link.Prev && n.found.Anchored && n.anchor.seq >= r.seq():
		n.failAt(r, "%s; the checkpoint names record %d, which it would leave behind", moved, n.anchor.seq)
	case known && hash == r.link.Prev:
		n.leave(r.seq())
		n.back = &gap{place: r.place, from: r.seq(), to: n.last.seq(), say: moved}
	default:
		n.failAt(r, "%s", moved)
	}
}

// leave forgets what the records from seq on, which are not of the chain, said.
func (n *node) leave(seq uint64) {
	n.recent, n.heads = n.recent[:n.recent.index(seq)], n.heads[:n.heads.index(seq)]
	n.found.SignedSeq, n.lastHead = min(n.found.SignedSeq, seq-1), min(n.lastHead, seq-1)
	n.prefixBy = slices.DeleteFunc(n.prefixBy, func(e explanation) bool { return e.seq >= seq })
	n.unheld = slices.DeleteFunc(n.unheld, func(m loss) bool { return m.by >= seq })
	n.gaps = slices.DeleteFunc(n.gaps, func(g *gap) bool { return g.by >= seq })
	if n.altered != nil && n.altered.seq() >= seq {
		n.altered = nil
	}
	if n.anchorGap != nil && n.anchorGap.by >= seq {
		n.anchorGap = nil
	}
}

func unclean(r *record) bool {
	e, ok := r.event.(*started)
	return ok && !e.Clean
}

// covers reports whether a sink missed these records.
func (m *missed) covers(from, to uint64) bool {
	return m.AfterSeq < m.From && m.From <= from && m.To >= to
}

// explain settles what is wrong before r, if r does. Records of what other sinks missed may come first.
func (n *node) explain(r *record) {
	m, isMissed := r.event.(*missed)
	switch {
	case n.gap != nil && isMissed && m.covers(n.gap.from, n.gap.to) && m.To < r.seq():
		n.explainGap(r, m)
	case n.gap == nil && n.back == nil && n.bad == nil:
	case isMissed:
		if n.bad != nil {
			n.bad.held = true
		}
	case n.gap != nil || !unclean(r):
		n.failHeld()
	default:
		if n.back != nil {
			n.remark(n.back.place, n.back.from, "", "after an unclean stop the node went on from record %d; %s in these files only, beside the chain", n.back.from-1, records(n.back.from, n.back.to))
		}
		if n.bad != nil {
			n.remark(n.bad.place, 0, "", "%v; the node stopped uncleanly before record %d", n.bad.why, r.seq())
		}
		n.back, n.bad = nil, nil
	}
}

// explainGap takes a record that says which records the sink missed.
func (n *node) explainGap(r *record, m *missed) {
	hash, known := n.recent.of(m.AfterSeq)
	switch {
	case !n.ofSink(m.Sink):
		n.gap.say = fmt.Sprintf("; record %d says so of the sink %q, but these files are taken for those of %q", r.seq(), clip(m.Sink), clip(n.sink))
		return
	case known && hash != chain.Hash(m.AfterHash) && m.AfterSeq == n.last.seq():
		n.failAt(n.last, "record %d, AuditRecordsMissed, names another record %d as the last one that the sink took", r.seq(), m.AfterSeq)
		return
	case known && hash != chain.Hash(m.AfterHash):
		n.failAt(r, "it names another record %d as the last one that the sink took", m.AfterSeq)
		return
	case !known && m.AfterSeq > n.recent[0].seq:
		n.failAt(r, "it names record %d as the last one that the sink took, which is not here", m.AfterSeq)
		return
	}
	n.remarkAt(r, "the sink %q failed: %s not in these files", clip(m.Sink), records(n.gap.from, n.gap.to))
	switch {
	case n.bad == nil:
	case n.bad.whole: // unless a start tells that the machine went down
		n.bad.held, n.bad.seq = true, n.gap.from
	case n.bad.held:
		n.remark(n.bad.place, 0, "", "%v; the start behind it is among the records that the sink %q missed", n.bad.why, clip(m.Sink))
		n.bad = nil
	default:
		n.remark(n.bad.place, 0, "", "%v; it is among those that the sink %q missed", n.bad.why, clip(m.Sink))
		n.bad = nil
	}
	if n.anchor != nil && n.anchor.seq >= n.gap.from && n.anchor.seq <= n.gap.to {
		n.anchorGap = n.gap
	}
	n.gap.by, n.gap.vouched = r.seq(), vouched{run: r.run()}
	if len(n.gaps) == maxGaps {
		n.gaps = slices.Delete(n.gaps, 0, maxGaps/2)
	}
	n.gaps = append(n.gaps, n.gap)
	n.gap = nil
}

// ofSink reports whether the files are of the sink name. Unless the caller said which they are of, the first loss that they
// show does.
func (n *node) ofSink(name string) bool {
	if n.sink == "" {
		n.sink = n.options.Sink
	}
	if n.sink == "" {
		n.sink = name
	}
	return n.sink == name
}

// endsBefore reports whether a file that was deleted in a run ended where this trail begins, but for what its sink had missed.
func (n *node) endsBefore(e *removed, run string) bool {
	if n.prefix == nil {
		return false
	}
	if e.LastSeq == n.prefix.seq()-1 && chain.Hash(e.LastHash) == n.prefix.link.Prev {
		return true
	}
	for _, m := range n.unheld {
		if m.Sink == e.Sink && m.holds(run) && (e.LastSeq == m.AfterSeq && e.LastHash == m.AfterHash || e.LastSeq > m.AfterSeq && e.LastSeq < n.prefix.seq()) {
			return true
		}
	}
	return false
}

// explainPrefix notes what may explain the missing beginning. Each sink deletes files of its own.
func (n *node) explainPrefix(r *record, sink, format string, args ...any) {
	for _, e := range n.prefixBy {
		if e.sink == sink && !e.late {
			return
		}
	}
	if len(n.prefixBy) < maxSinks {
		n.prefixBy = append(n.prefixBy, explanation{r.seq(), sink, fmt.Sprintf(format, args...), vouched{run: r.run()}})
	}
}

// clip bounds what a message quotes of a trail.
func clip(s string) string { return s[:min(len(s), maxNode)] }

// decide tells, by the record after them, which of two records is altered that have successive numbers but do not fit.
func (n *node) decide(next *record) {
	before, r := n.last, n.suspect
	h, isHead := r.event.(*head)
	intact := next != nil && next.seq() == r.seq()+1 && next.link.Prev == r.link.Hash
	switch {
	case isHead && h.Hash != hash(r.link.Prev):
		intact = false
	case isHead && n.checkHead(r, h) == "":
		intact = true
	case next == nil && n.anchor != nil && n.anchor.seq == before.seq():
		intact = n.anchor.hash != before.link.Hash
	case next == nil:
		n.failAt(before, "it is not the record that record %d names: one of the two was altered", r.seq())
		return
	}
	if intact {
		n.failAt(before, "it is not the record that record %d names: it was altered, or stands in the place of another", r.seq())
	} else {
		n.failAt(r, "it does not name the record before it: it was altered, or stands in the place of another")
	}
}
