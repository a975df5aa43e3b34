package verify

import (
	"testing"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// down is 30 records of a node with heads at 11, 21 and 30; the cluster anchored 29. It was killed at 33.
func down() *trail { return base().calls(9).head().calls(8).head().calls(3) }

// restart is what a node writes that died, is started and unsealed; the cluster had anchored record seq of anchored.
func (t *trail) restart(anchored *trail, seq uint64) *trail {
	missing := seq - min(seq, t.seq)
	return t.started(false, "b2").found(seq, anchored.hash(seq), missing).calls(3).head()
}

// Whatever is done to the files of a node that is down, below what the cluster anchored, the next start tells.
func TestRewrittenWhileDown(t *testing.T) {
	const anchored = 29
	tr := down()
	whole := func(t *trail) string { return t.all() }
	for name, c := range map[string]struct {
		forged *trail
		text   func(*trail) string
		seq    uint64
		says   string
	}{
		"rewritten, and longer":            {tr.fork(14).calls(30), whole, anchored, "cut off or rewritten"},
		"a forged loss of the sink":        {gapTo(tr.fork(16), 50), func(t *trail) string { return t.without(17, 49) }, anchored, "cut off or rewritten"},
		"and a forged start":               {gapTo(tr.fork(16), 50).started(true, "b1"), func(t *trail) string { return t.without(17, 49) }, anchored, "cut off or rewritten"},
		"a forged loss before a stop":      {gapTo(tr.fork(16), 50).stopped(), func(t *trail) string { return t.without(17, 49) }, anchored, "cut off or rewritten"},
		"and the start of an orderly node": {gapTo(tr.fork(16), 50).startedFrom(49, true, "b1"), func(t *trail) string { return t.without(17, 49) }, anchored, "cut off or rewritten"},
		"cut, and a forged call":           {tr.fork(16).calls(1), whole, 18, "cut off or rewritten"},
		"cut":                              {tr.fork(16), whole, 17, "cut off or rewritten"},
		"all before the end":               {tr.fork(33).removed(file, 30), func(t *trail) string { return t.text(31, t.seq) }, 1, "started again before that was signed"},
		"and a forged sink that is new":    {tr.fork(33).missed(file, 0), func(t *trail) string { return t.text(31, t.seq) }, 1, "started again before that was signed"},
	} {
		t.Run(name, func(t *testing.T) {
			again := c.forged.restart(tr, anchored)
			refused(t, Options{}, []string{c.text(again)}, c.seq, c.says)
			refused(t, Options{Checkpoint: again.checkpoint(again.seq - 1)}, []string{c.text(again)}, c.seq, c.says)
			// A later start, for which the new chain is the anchored one, changes nothing.
			again.restart(again, again.seq-1)
			refused(t, Options{Checkpoint: again.checkpoint(again.seq - 1)}, []string{c.text(again)}, c.seq, c.says)
		})
	}
	missing := tr.fork(33)
	refused(t, Options{}, []string{missing.started(false, "b1").found(2, chain.Hash{}, 9).all()}, 1, "records 1 to 2 are missing")
}

// gapTo is t with records up to one that says the sink missed those before.
func gapTo(t *trail, seq uint64) *trail {
	after := t.seq
	return t.calls(int(seq-after-1)).missed(file, after)
}

// What happens to a node that nobody attacks is no fault.
func TestAnchorsOfHonestNodes(t *testing.T) {
	tr := down()
	signed := func(t *trail) Options { return Options{Checkpoint: t.checkpoint(t.seq - 1)} }
	killed := tr.fork(33).restart(tr, 29)
	accepted(t, signed(killed), []string{killed.all()})
	lost := tr.fork(31).restart(tr, 29) // what was not anchored
	accepted(t, signed(lost), []string{lost.all()})
	behind := tr.fork(33).restart(tr, 10) // anchoring failed for long
	accepted(t, signed(behind), []string{behind.all()})
	long := tr.fork(33).calls(3*recentSize).restart(tr, 20)
	accepted(t, signed(long), []string{long.all()})
	orderly := tr.fork(33).head().stopped()
	orderly.started(true, "b1").found(33, orderly.hash(33), 0)
	accepted(t, signed(orderly), []string{orderly.all()})
	twice := tr.fork(33).started(false, "b2").started(false, "b2") // sealed
	accepted(t, Options{}, []string{twice.restart(tr, 29).all()})

	// The record is here and the sink missed the head behind it, or both.
	for _, anchored := range []uint64{29, 33, 34} {
		gap := tr.fork(33).calls(1).head()
		gap.calls(5).missed(file, anchored).head()
		gap.restart(gap, anchored)
		accepted(t, signed(gap), []string{gap.without(anchored+1, 40)}, "failed: records")
		gap = tr.fork(33).calls(1).head()
		gap.calls(5).missed(file, 28).head()
		gap.restart(gap, anchored)
		accepted(t, signed(gap), []string{gap.without(29, 40)}, "which the cluster anchored")
	}
	// A sink that was behind when the node was stopped, and is told at the start.
	gap := tr.fork(33).head().stopped().missed(file, 20).startedFrom(35, false, "b1")
	gap.missed(syslog, 36).startedFrom(35, false, "b1") // again: no sink took it
	gap.found(33, gap.hash(33), 0)
	accepted(t, signed(gap), []string{gap.without(21, 35)}, "which the cluster anchored")

	// Retention deleted the file with the record, before the start or long after it.
	kept := tr.fork(33).removed(file, 21).head()
	kept.restart(kept, 20)
	accepted(t, signed(kept), []string{kept.text(22, kept.seq)}, "retention deleted")
	later := tr.fork(33).restart(tr, 29)
	later.removed(file, 30).head()
	accepted(t, signed(later), []string{later.text(31, later.seq)}, "retention deleted")
	crashed := later.fork(later.seq - 1) // before that was signed
	crashed.restart(crashed, crashed.seq-2)
	text := func() []string { return []string{crashed.text(31, crashed.seq)} }
	refused(t, signed(crashed), text(), 1, "started again before that was signed")
	refused(t, Options{Checkpoint: later.checkpoint(29)}, text(), 1, "started again before that was signed")
	accepted(t, Options{Partial: true}, text(), "the files begin here")
	crashed.removed(file, 30).head() // what nobody but an attacker had removed yet, retention found again
	accepted(t, signed(crashed), text(), "retention deleted")
	accepted(t, Options{Partial: true}, []string{killed.text(31, killed.seq)}, "the files begin here")
}

// A start that the sink itself missed is one too: the head behind it is of another run of the node.
func TestForgedExplanationBeforeAHiddenStart(t *testing.T) {
	tr := down()
	for name, forge := range map[string]func(*trail){
		"retention":  func(t *trail) { t.removed(file, 30) },
		"a new sink": func(t *trail) { t.missed(file, 0) },
	} {
		forged := tr.fork(33)
		forge(forged)
		forged.run = "f"
		forged.missed(syslog, 33).startedFrom(34, false, "b2").calls(1).missed(file, 34).head()
		t.Run(name, func(t *testing.T) {
			refused(t, Options{}, []string{forged.text(31, 34) + forged.text(38, forged.seq)}, 1, "started again before that was signed")
		})
	}
	hidden := func(t *trail) *trail { // the start is, of which the sink has the records from 38 on
		t.run = "f"
		return t.missed(syslog, 33).startedFrom(34, false, "b2").calls(1).missed(file, 34)
	}
	anchored := hidden(tr.fork(33).missed(file, 25)).found(29, tr.hash(29), 0).calls(1).head()
	refused(t, Options{}, []string{anchored.text(1, 25) + anchored.text(34, 34) + anchored.text(38, anchored.seq)}, 29, "the cluster anchored record 29")
	hole := hidden(tr.fork(33).missed(file, 11)).removed(file, 11).head()
	refused(t, Options{}, []string{hole.text(34, 34) + hole.text(38, hole.seq)}, 1, "nothing explains it")
}

// What the sink missed before the first record explains the end of a file that was deleted long before it only when it was signed in time.
func TestForgedLossBeforeAHole(t *testing.T) {
	tr := down()
	for _, honest := range []bool{true, false} {
		gap := tr.fork(33).missed(file, 11)
		if honest {
			gap.head()
		}
		gap.restart(tr, 29).removed(file, 11).head()
		text, o := []string{gap.text(34, gap.seq)}, Options{Checkpoint: gap.checkpoint(gap.seq - 1)}
		if honest {
			accepted(t, o, text, "retention deleted")
		} else {
			refused(t, o, text, 1, "nothing explains it")
		}
	}
}

// A start that goes back over what was signed is none.
func TestBranchThatWasSigned(t *testing.T) {
	tr := base().calls(38) // up to 49
	tr.head().calls(2)     // 50 to 52
	signed := tr.fork(52).head()
	forged := tr.fork(50).started(false, "b2").removed(file, 11)
	text := signed.text(12, 53) + forged.text(51, forged.seq)
	refused(t, Options{}, []string{text}, 51, "would leave behind, are signed")
	refused(t, Options{Checkpoint: signed.checkpoint(52)}, []string{text}, 51, "would leave behind, are signed")
	again := forged.fork(52).restart(forged, 49)
	refused(t, Options{}, []string{signed.text(12, 53) + again.text(51, again.seq)}, 51, "would leave behind, are signed")

	// The checkpoint vouches as well.
	ahead := tr.fork(52)
	other := tr.fork(50).started(false, "b2").calls(3).head()
	refused(t, Options{Checkpoint: ahead.checkpoint(51)}, []string{ahead.all() + other.text(51, other.seq)}, 51, "the checkpoint names record 51, which it would leave behind")

	// What the records left behind said does not count, whatever is signed later.
	left := tr.fork(51).removed(file, 11)
	honest := tr.fork(51).started(false, "b2").calls(3).head()
	refused(t, Options{}, []string{left.text(12, 52) + honest.text(52, honest.seq)}, 1, "nothing explains it")
	// Nor does the last head, when the branch is the longer one.
	short := tr.fork(50).started(false, "b2")
	accepted(t, Options{}, []string{tr.all() + short.text(51, 51)}, "record 51 is not signed yet")
}

// With a checkpoint a key that it does not have signs nothing, and a node that it has must have signed.
func TestCheckpointVouchesForEveryNode(t *testing.T) {
	tr := base()
	foreign := newTrail("n2")
	foreign.key = testKey(2)
	foreign.started(true, "b1").calls(3).head()
	refused(t, Options{Checkpoint: tr.checkpoint(10)}, []string{tr.all(), foreign.all()}, 5, "the checkpoint does not name")
	unsigned := tr.fork(10).started(false, "b1").calls(3)
	o := Options{Checkpoint: tr.checkpoint(5), Partial: true}
	refused(t, o, []string{unsigned.text(8, unsigned.seq)}, unsigned.seq, "no head is signed")
	accepted(t, Options{Partial: true}, []string{unsigned.text(8, unsigned.seq)})
}

// A loss at the end of all that is not signed yet is told, and refused when the checkpoint vouches for what was there.
func TestUnsignedLoss(t *testing.T) {
	tr := base().calls(9).head().calls(5).missed(file, 16).calls(2)
	text := tr.without(17, 26)
	accepted(t, Options{}, []string{text}, "that the sink failed (record 27) is not signed yet")
	accepted(t, Options{Checkpoint: tr.checkpoint(10)}, []string{text}, "not signed yet")
	refused(t, Options{Checkpoint: tr.checkpoint(20)}, []string{text}, 20, "no head after it vouches")
	accepted(t, Options{Checkpoint: tr.checkpoint(28)}, []string{text})
}
