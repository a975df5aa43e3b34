package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// lossBound is how much of a trail may be lost with a machine that goes down. Heads are signed every minute, and what was written
// reaches the disk within half a minute on Linux.
const lossBound = 2 * time.Minute

// accept judges what a record says of the trail, once it stands where it belongs. unreadable says that it cannot be read.
func (n *node) accept(r *record, unreadable error) {
	n.noteOpening(r)
	n.recent.add(r.seq(), r.hash)
	if a := n.anchor; a != nil && a.seq == r.seq() {
		if r.hash == a.hash {
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
			n.unheld = append(n.unheld, e)
		}
	case *lost:
		n.lost(r, e)
	}
	n.last = r
}

// noteOpening keeps account of which records belong to a start.
func (n *node) noteOpening(r *record) {
	switch r.event.(type) {
	case *started, *missed:
		if n.opening == 0 && n.last != nil {
			n.opening = min(n.last.seq()+1, r.seq())
		}
	default:
		n.opening, n.running = 0, &r.time
	}
}

func (n *node) started(r *record, e *started) {
	switch {
	case e.PreviousSeq != r.seq()-1 || chain.Hash(e.PreviousHash) != r.link.Prev:
		n.failAt(r, "its serviceEventDetails name another record before it than its place in the chain")
	case !e.Clean:
		n.remarkAt(r, "the node stopped uncleanly before it")
	}
	switch {
	case n.running != nil && n.boot != "" && e.BootID != "" && e.BootID != n.boot:
		n.reboot = n.running
	case n.headSince:
		n.reboot = nil
	}
	n.start, n.from, n.boot, n.headSince = r, n.opening, e.BootID, false
}

func (n *node) head(r *record, e *head) {
	if wrong := n.checkHead(r, e); wrong != "" {
		n.failAt(r, "%s", wrong)
		return
	}
	n.key, n.cluster = e.PublicKey, e.ClusterID
	n.headSince, n.lastHead = true, r.seq()
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

// lost judges records that the cluster knows and the node did not find when it started.
func (n *node) lost(r *record, e *lost) {
	anchored := time.UnixMilli(e.AnchorTime).UTC()
	at, why := r, ""
	if n.start != nil {
		at = n.start
	}
	switch {
	case n.start == nil || e.From < n.from || e.From > n.start.seq() || e.To < e.From:
		why = "they are not what is missing at a start"
	case n.reboot == nil && n.boot == "":
		why = "the start before names no boot, so whether the machine went down cannot be told"
	case n.reboot == nil:
		why = "the machine did not go down in between, or the start before that is not here"
	case anchored.Sub(*n.reboot) > lossBound:
		why = "more is missing than a machine that goes down loses, 2 minutes"
	}
	if why != "" {
		n.fail(at.place, e.From, "", "%s cut: the cluster signed for record %d at %s (record %d, AuditRecordsLost), and %s",
			records(e.From, e.To), e.To, anchored.Format(time.RFC3339), r.seq(), why)
		return
	}
	n.remarkAt(r, "%s lost: the machine went down less than 2 minutes after they were written", records(e.From, e.To))
	if n.anchor != nil && n.anchor.seq == e.To && n.anchor.hash == chain.Hash(e.AnchorHash) {
		n.lostAnchor = r.seq()
	}
}

// finish judges the end of the trail.
func (n *node) finish() {
	n.finishLines()
	if n.found.Fault == nil && n.last != nil {
		n.finishAnchor()
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
	case n.lostAnchor != 0 && n.lostAnchor <= n.found.SignedSeq:
		n.remarkAt(n.last, "record %d, which the checkpoint names, was lost with the machine (record %d)", a.seq, n.lostAnchor)
	case n.altered != nil:
		n.failAt(n.altered, "the checkpoint names another record %d, signed at %s", a.seq, a.time.UTC().Format(time.RFC3339))
	case a.seq > n.last.seq():
		n.fail(place{n.last.file, n.last.number + 1}, n.last.seq()+1, "", "%s missing at the end: the checkpoint names record %d, signed at %s",
			records(n.last.seq()+1, a.seq), a.seq, a.time.UTC().Format(time.RFC3339))
	case n.anchorGap != nil && n.found.SignedSeq < a.seq:
		n.fail(n.anchorGap.place, a.seq, "", "the checkpoint names record %d, signed at %s; no head after it vouches for the record that explains why it is missing",
			a.seq, a.time.UTC().Format(time.RFC3339))
	case n.anchorGap != nil:
		n.remark(n.anchorGap.place, a.seq, "", "the checkpoint names this record, which the sink missed")
	default:
		n.remarkAt(n.last, "record %d, which the checkpoint names, is older than these files", a.seq)
	}
}

// finishPrefix judges what is missing before the first record, which comes before any other fault.
func (n *node) finishPrefix() {
	p, missing := n.prefix, records(1, n.prefix.seq()-1)
	var by explanation
	for _, e := range n.prefixBy {
		if n.ofSink(e.sink) {
			by = e
		}
	}
	fault := func(format string, args ...any) {
		n.found.Fault = nil
		n.fail(p.place, 1, "", missing+" missing here"+format, args...)
	}
	switch {
	case by.seq != 0 && by.seq <= n.found.SignedSeq:
		n.remarkAt(p, "%s not here: %s (record %d)", missing, by.say, by.seq)
	case by.seq != 0 && n.found.Fault != nil: // the heads behind that are not read
	case n.options.Partial:
		n.remarkAt(p, "the files begin here; nothing is said of what was before")
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
	unsigned := n.last.seq() - n.lastHead
	switch {
	case n.found.Heads == 0:
		n.remarkAt(n.last, "no head is signed up to here: the records form a chain, and nothing vouches for it")
	case unsigned == 1 && orderly:
	case unsigned > 0:
		n.remarkAt(n.last, "%s not signed yet; the last head is of %s before", records(n.lastHead+1, n.last.seq()), n.last.time.Sub(n.found.SignedTime).Round(time.Millisecond))
	}
	if !orderly {
		n.remarkAt(n.last, "the trail does not end with AuditStopped: the node was running, or stopped uncleanly")
	}
	if n.anchor == nil && n.found.Heads > 0 {
		n.remarkAt(n.last, "nobody vouches for the key that signed: %s", base64.StdEncoding.EncodeToString(ed25519.PublicKey(n.key)))
	}
}
