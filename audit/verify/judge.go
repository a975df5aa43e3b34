package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// accept judges what a record says of the trail, once it stands where it belongs. unreadable says that it cannot be read.
func (n *node) accept(r *record, unreadable error) {
	n.recent.add(r.seq(), r.link.Hash)
	if a := n.anchor; a != nil && a.seq == r.seq() {
		if r.link.Hash == a.hash {
			n.found.Anchored = true
		} else {
			n.altered = r
		}
	}
	if unreadable != nil {
		n.failAt(r, "its serviceEventDetails are not those of %s", r.name)
		return
	}
	switch e := r.event.(type) {
	case *started:
		n.started(r, e)
	case *head:
		n.head(r, e)
	case *missed:
		if n.prefix == nil || !e.covers(n.prefix.seq()-1, n.prefix.seq()-1) {
			break
		}
		if e.AfterSeq == 0 {
			n.explainPrefix(r, e.Sink, "the sink had taken none of them")
		} else if len(n.unheld) < maxSinks {
			n.unheld = append(n.unheld, loss{e, vouched{run: r.run()}})
		}
	case *anchorFound:
		n.anchorFound(r, e)
	}
	n.last = r
}

func (n *node) started(r *record, e *started) {
	switch {
	case e.PreviousSeq != r.seq()-1 || chain.Hash(e.PreviousHash) != r.link.Prev:
		n.failAt(r, "its serviceEventDetails name another record before it than its place in the chain")
	case !e.Clean:
		n.remarkAt(r, "the node stopped uncleanly before it")
	}
	for i := range n.prefixBy {
		n.prefixBy[i].start(e.found(n.prefixBy[i].seq))
	}
	for i := range n.unheld {
		n.unheld[i].start(e.found(n.unheld[i].by))
	}
	for _, g := range n.gaps {
		g.start(e.found(g.by))
	}
}

// found reports whether the start found record seq in the files. What stands beyond that and before it the node wrote itself.
func (e *started) found(seq uint64) bool { return e.Found == 0 || seq <= e.Found }

func (n *node) head(r *record, e *head) {
	if wrong := n.checkHead(r, e); wrong != "" {
		n.failAt(r, "%s", wrong)
		return
	}
	n.key, n.cluster = e.PublicKey, e.ClusterID
	n.lastHead = r.seq()
	n.heads.add(e.Seq, chain.Hash(e.Hash))
	for i := range n.prefixBy {
		n.prefixBy[i].head(r.run())
	}
	for i := range n.unheld {
		n.unheld[i].head(r.run())
	}
	for _, g := range n.gaps {
		g.head(r.run())
	}
	n.found.Heads++
	n.found.SignedSeq, n.found.SignedTime = e.Seq, time.UnixMilli(e.Time).UTC()
}

// checkHead returns what is wrong with a head, "" for nothing.
func (n *node) checkHead(r *record, e *head) string {
	h := chain.Head{Cluster: e.ClusterID, Node: n.found.Name, Seq: e.Seq, Hash: chain.Hash(e.Hash), Time: e.Time}
	key := n.key
	if key == nil {
		key = e.PublicKey
	}
	switch {
	case n.options.Checkpoint != nil && n.anchor == nil:
		return "this head is of a node that the checkpoint does not name"
	case e.Seq != r.seq()-1 || h.Hash != r.link.Prev:
		return "this head does not cover the record before it"
	case n.cluster != "" && e.ClusterID != n.cluster:
		return "this head is of another cluster"
	case !bytes.Equal(e.PublicKey, key):
		return "this head is signed with another key than the node's"
	case !h.Verify(key, e.Signature):
		return "the signature of this head is wrong"
	}
	return ""
}

// anchorFound holds what was found when the node was started against what the cluster had anchored: a record that a head covered and
// that was on the disk before. It is here, or retention removed it, or the sink had missed it. The record that explains that counts
// when a head signed it in the same run: whoever cuts the files of a node that is down can append such a record too.
func (n *node) anchorFound(r *record, e *anchorFound) {
	at := time.UnixMilli(e.Time).UTC().Format(time.RFC3339)
	if e.Missing > 0 {
		first := e.Seq - min(e.Missing, e.Seq) + 1
		n.fail(r.place, first, "", "%s missing: the cluster anchored record %d at %s, and the node did not find it when it was started (record %d): records were cut off or rewritten",
			records(first, e.Seq), e.Seq, at, r.seq())
		return
	}
	hash, known := n.recent.of(e.Seq)
	if !known {
		hash, known = n.heads.of(e.Seq)
	}
	switch {
	case e.Seq == 0 || known && hash == chain.Hash(e.Hash):
		return
	case known:
	case n.prefix != nil && e.Seq < n.prefix.seq(): // finishPrefix judges what is missing there
		return
	default:
		for _, g := range n.gaps {
			if g.from <= e.Seq+1 && e.Seq <= g.to && g.holds(r.run()) { // the head behind this record covers it
				n.remarkAt(r, "the sink missed record %d, which the cluster anchored", e.Seq)
				return
			}
		}
	}
	n.fail(r.place, e.Seq, "", "the cluster anchored record %d at %s, which is not here (record %d): records were cut off or rewritten before the node was started",
		e.Seq, at, r.seq())
}

// finish judges the end of the trail.
func (n *node) finish() {
	n.finishLines()
	if n.found.Fault == nil && n.last != nil {
		n.finishAnchor()
	}
	if n.found.Fault == nil && n.last != nil {
		n.finishGaps()
	}
	if n.prefix != nil {
		n.finishPrefix()
	}
	if n.found.Fault == nil {
		n.remarkEnd()
	}
}

func (n *node) finishLines() {
	switch {
	case n.found.Fault != nil:
	case n.suspect != nil:
		n.decide(nil)
	case n.held():
		n.failHeld()
	case n.bad != nil && n.last != nil && n.bad.unfinished():
		n.remark(n.bad.place, n.last.seq()+1, "", "%v: it was being written, or the node died", n.bad.why)
	case n.bad != nil && n.last != nil:
		n.failBad(n.last.seq() + 1)
	case n.bad != nil:
		n.failBad(0)
	case n.last == nil:
		n.fail(n.old, 0, "", "no line of this node is chained: nothing can be said of them")
	}
}

func (n *node) finishAnchor() {
	a := n.anchor
	switch {
	case a == nil || n.found.Anchored:
	case n.altered != nil:
		n.failAt(n.altered, "the checkpoint names another record %d, signed at %s", a.seq, a.time.UTC().Format(time.RFC3339))
	case a.seq > n.last.seq():
		n.fail(place{n.last.file, n.last.number + 1}, n.last.seq()+1, "", "%s missing at the end: the checkpoint names record %d, signed at %s",
			records(n.last.seq()+1, a.seq), a.seq, a.time.UTC().Format(time.RFC3339))
	case n.found.Heads == 0:
		n.failAt(n.last, "no head is signed up to here, and the checkpoint names record %d of this node, signed at %s", a.seq, a.time.UTC().Format(time.RFC3339))
	case n.anchorGap != nil && n.anchorGap.by > n.found.SignedSeq:
		n.fail(n.anchorGap.place, a.seq, "", "the checkpoint names record %d, signed at %s; no head after it vouches for the record that explains why it is missing",
			a.seq, a.time.UTC().Format(time.RFC3339))
	case n.anchorGap != nil:
		n.remark(n.anchorGap.place, a.seq, "", "the checkpoint names this record, which the sink missed")
	default:
		n.remarkAt(n.last, "record %d, which the checkpoint names, is older than these files", a.seq)
	}
}

// finishGaps tells of explanations that nothing vouches for yet.
func (n *node) finishGaps() {
	vouched := n.found.SignedSeq
	if n.found.Anchored {
		vouched = max(vouched, n.anchor.seq)
	}
	for _, g := range n.gaps {
		if g.by > vouched {
			n.remark(g.place, g.from, "", "%s missing here; that the sink failed (record %d) is not signed yet", records(g.from, g.to), g.by)
		}
	}
}

// finishPrefix judges what is missing before the first record, which comes before any other fault.
func (n *node) finishPrefix() {
	p, missing := n.prefix, records(1, n.prefix.seq()-1)
	var by explanation
	for _, e := range n.prefixBy {
		if n.ofSink(e.sink) && (by.seq == 0 || e.signed && !by.signed) {
			by = e
		}
	}
	fault := func(format string, args ...any) {
		n.found.Fault = nil
		n.fail(p.place, 1, "", missing+" missing here"+format, args...)
	}
	switch {
	case by.late && !n.options.Partial:
		fault("; record %d says that %s, but the node was started again before that was signed: anybody can have written it", by.seq, by.say)
	case by.signed && by.seq <= n.found.SignedSeq:
		n.remarkAt(p, "%s not here: %s (record %d)", missing, by.say, by.seq)
	case by.seq != 0 && n.found.Fault != nil: // the heads behind that are not read
	case n.options.Partial:
		n.remarkAt(p, "the files begin here; nothing is said of what was before")
	case by.seq != 0 && n.anchor == nil:
		n.remarkAt(p, "%s not here: %s (record %d), which is not signed yet", missing, by.say, by.seq)
	case by.seq != 0:
		fault("; record %d says that %s, but no head after it is signed yet", by.seq, by.say)
	default:
		fault(", and nothing explains it, as AuditFileRemoved does when retention deletes a file")
	}
}

func (n *node) remarkEnd() {
	if n.found.Unchained > 0 {
		n.remark(n.old, 0, "", "the %d lines up to here are of a release without a chain: nothing vouches for them", n.found.Unchained)
	}
	_, orderly := n.last.event.(*stopped)
	switch {
	case n.found.Heads == 0:
		n.remarkAt(n.last, "no head is signed up to here: the records form a chain, and nothing vouches for it")
	case n.lastHead+1 == n.last.seq() && orderly:
	case n.lastHead < n.last.seq():
		n.remarkAt(n.last, "%s not signed yet; the last head is of %s before", records(n.lastHead+1, n.last.seq()), n.last.time.Sub(n.found.SignedTime).Round(time.Millisecond))
	}
	if !orderly {
		n.remarkAt(n.last, "the trail does not end with AuditStopped: the node was running, or stopped uncleanly")
	}
	if n.anchor == nil && n.found.Heads > 0 {
		n.remarkAt(n.last, "nobody vouches for the key that signed: %s", base64.StdEncoding.EncodeToString(ed25519.PublicKey(n.key)))
	}
}
