package verify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

const other = "file:/mnt/audit.jsonl"

// base is 10 records of a node with a head, so 11.
func base() *trail { return newTrail("n1").started(true, "b1").calls(9).head() }

// without is the trail without records from to to.
func (t *trail) without(from, to uint64) string { return t.text(1, from-1) + t.text(to+1, t.seq) }

// A sink that failed lacks records: its files are taken with the record that says so, and refused without.
func TestMissedRecords(t *testing.T) {
	tr := base().calls(5).missed(file, 11).calls(3).head()
	accepted(t, Options{}, []string{tr.without(12, 16)}, `the sink "`+file+`" failed: records 12 to 16 are not in these files`)
	accepted(t, Options{Sink: file}, []string{tr.without(12, 16)})
	// Some of them stand all the same, the last one torn.
	accepted(t, Options{}, []string{tr.text(1, 13) + tr.lines[13][:100] + "\n" + tr.text(17, tr.seq)}, "records 14 to 16 are not in these files", "in the middle of a record")
	accepted(t, Options{}, []string{tr.text(1, 16) + tr.text(17, tr.seq)})
	refused(t, Options{}, []string{tr.text(1, 13) + tr.lines[13][1:] + "\n" + tr.text(17, tr.seq)}, 14, "not one JSON object")
	refused(t, Options{}, []string{tr.text(1, 13) + tr.lines[13][:100] + "\n" + tr.text(15, tr.seq)}, 14, "in the middle of a record")

	refused(t, Options{}, []string{tr.without(12, 17)}, 12, "records 12 to 17 are missing")
	refused(t, Options{}, []string{tr.without(11, 16)}, 11, "records 11 to 16 are missing")
	refused(t, Options{Sink: syslog}, []string{tr.without(12, 16)}, 12, "of the sink")
	lines := strings.Split(tr.without(12, 16), "\n")
	lines[10] = again(lines[10], "AuditHead", "AuditHeaD")
	refused(t, Options{}, []string{strings.Join(lines, "\n")}, 11, "names another record 11")

	// Without losses of this sink, what another one lost explains nothing.
	elsewhere := base().calls(5).missed(syslog, 11).calls(3)
	refused(t, Options{Sink: file}, []string{elsewhere.without(12, 16)}, 12, "says so of the sink")
	accepted(t, Options{Sink: syslog}, []string{elsewhere.without(12, 16)})
	both := base().calls(5).missed(syslog, 11).calls(3).missed(file, 17).calls(2)
	refused(t, Options{}, []string{both.text(1, 11) + both.text(17, 17) + both.text(21, both.seq)}, 18, "taken for those of")
	// Two sinks come back at once.
	together := base().calls(5).missed(syslog, 11).missedTo(file, 12, 16).calls(3)
	accepted(t, Options{Sink: file}, []string{together.without(13, 16)})
	accepted(t, Options{Sink: syslog}, []string{together.without(12, 16)})
	refused(t, Options{Sink: file}, []string{together.text(1, 12) + together.text(17, 17)}, 13, "missing")
}

func TestMissedRecordsSayTheTruth(t *testing.T) {
	for name, c := range map[string]struct {
		details string
		seq     uint64
		says    string
	}{
		"another range":  {`"afterSeq":11,"afterHash":"%[1]s","fromSeq":12,"toSeq":15`, 12, "missing"},
		"its own number": {`"afterSeq":11,"afterHash":"%[1]s","fromSeq":12,"toSeq":17`, 12, "missing"},
		"backwards":      {`"afterSeq":12,"afterHash":"%[1]s","fromSeq":12,"toSeq":16`, 12, "missing"},
		"another hash":   {`"afterSeq":10,"afterHash":"%[1]s","fromSeq":11,"toSeq":16`, 17, "another record 10"},
		"no record":      {`"afterSeq":0,"afterHash":"%[1]s","fromSeq":1,"toSeq":16`, 17, "another record 0"},
		"unreadable":     {`"afterHash":"%[1]s","afterSeq":"x"`, 12, "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := base().calls(5)
			tr.event("AuditRecordsMissed", `"sink":"s",`+c.details, tr.hash(11)).calls(2)
			refused(t, Options{}, []string{tr.without(12, 16)}, c.seq, c.says)
		})
	}
	earlier := base().calls(5).missed(file, 11).calls(4)
	earlier.missed(file, 13).calls(1)
	refused(t, Options{}, []string{earlier.text(1, 11) + earlier.text(17, 18) + earlier.text(22, earlier.seq)}, 22, "which is not here")
	// What is remembered is bounded: which record came long before is not asked.
	tr := base()
	after := tr.seq
	tr.calls(2*recentSize+5).missed(file, after).calls(1)
	accepted(t, Options{}, []string{tr.without(tr.seq-2, tr.seq-2)})
}

func TestRetention(t *testing.T) {
	tr := base().calls(5).removed(file, 11).calls(2)
	unsigned := tr.text(12, tr.seq)
	accepted(t, Options{}, []string{unsigned}, "not signed yet")
	early := base().calls(3).head().removed(file, 11).calls(2)
	for _, seq := range []uint64{10, 14} {
		refused(t, Options{Checkpoint: early.checkpoint(seq)}, []string{early.text(12, early.seq)}, 1, "no head after it is signed yet")
	}
	tr.head().calls(1)
	signed := tr.text(12, tr.seq)
	accepted(t, Options{}, []string{signed}, "retention deleted the file before")
	accepted(t, Options{Sink: file}, []string{signed})
	accepted(t, Options{Partial: true}, []string{unsigned}, "the files begin here")
	accepted(t, Options{Checkpoint: tr.checkpoint(5)}, []string{signed}, "older than these files")
	refused(t, Options{Sink: syslog}, []string{signed}, 1, "records 1 to 11 are missing")
	refused(t, Options{}, []string{tr.text(11, tr.seq)}, 1, "records 1 to 10 are missing")
	refused(t, Options{}, []string{tr.text(13, tr.seq)}, 1, "records 1 to 12 are missing")

	// Two sinks deleted files that ended alike; what one of them missed says whose files these are.
	two := base().calls(5).removed(syslog, 11).removed(file, 11).calls(3).missed(file, 18).calls(1).head()
	accepted(t, Options{}, []string{two.text(12, 18) + two.text(22, two.seq)}, "retention deleted", "19 to 21 are not in")

	// A fault behind it is still the first one, and a beginning that nothing explains comes before it.
	faulty := tr.text(12, 14) + tr.text(16, tr.seq)
	refused(t, Options{}, []string{faulty}, 15, "missing here")
	refused(t, Options{}, []string{tr.text(13, 14) + tr.text(16, tr.seq)}, 1, "records 1 to 12 are missing")

	// The sink failed between the file that was deleted and this one.
	failed := base().calls(5).missed(syslog, 9).missedTo(file, 11, 16).removed(file, 11).head()
	accepted(t, Options{}, []string{failed.text(17, failed.seq)}, "retention deleted the file before")
	refused(t, Options{Sink: syslog}, []string{failed.text(17, failed.seq)}, 1, "records 1 to 16 are missing")
	beyond := base().calls(5).missed(file, 11).removed(file, 13).head() // it holds some that it had not acknowledged
	accepted(t, Options{}, []string{beyond.text(17, beyond.seq)}, "retention deleted the file before")
	for name, last := range map[string]uint64{"before": 10, "here": 17} {
		wrong := base().calls(5).missed(file, 11).removed(file, last).head()
		if f := check(t, Options{}, wrong.text(17, wrong.seq)).Faults(); len(f) != 1 || f[0].Seq != 1 {
			t.Errorf("%s: %v", name, f)
		}
	}

	// A sink that took nothing before says so.
	late := base().missed(syslog, 0).calls(1).head()
	accepted(t, Options{}, []string{late.text(12, late.seq)}, "the sink had taken none of them")
	refused(t, Options{Sink: file}, []string{late.text(12, late.seq)}, 1, "records 1 to 11 are missing")
}

func TestUncleanStop(t *testing.T) {
	torn := `{"eventTime":"2026-11-26T20:00`
	tr := base().calls(2).started(false, "b1").calls(2).head()
	accepted(t, Options{}, []string{tr.all()}, "stopped uncleanly before it")
	accepted(t, Options{}, []string{tr.text(1, 13) + torn + "\n" + tr.text(14, tr.seq)}, "in the middle of a record; the node stopped uncleanly before record 14")
	accepted(t, Options{}, []string{tr.text(1, 13) + torn, tr.text(14, tr.seq)}, "in the middle of a record; the node stopped uncleanly before record 14")
	accepted(t, Options{}, []string{tr.text(1, 13) + torn + "\x00\x00\x00\n" + tr.text(14, tr.seq)})
	accepted(t, Options{}, []string{tr.all() + torn}, "it was being written, or the node died")
	refused(t, Options{}, []string{tr.all() + torn + "\n"}, tr.seq+1, "in the middle of a record")
	refused(t, Options{}, []string{tr.all() + "x"}, tr.seq+1, "not one JSON object")
	refused(t, Options{}, []string{tr.text(1, 12) + torn + "\n" + tr.text(13, tr.seq)}, 0, "in the middle of a record")
	refused(t, Options{}, []string{tr.text(1, 12) + torn + "\n" + tr.text(14, tr.seq)}, 13, "in the middle of a record")
	refused(t, Options{Partial: true}, []string{tr.lines[11][9:] + "\n" + tr.text(13, tr.seq)}, 12, "not one JSON object")
	accepted(t, Options{Partial: true}, []string{torn + "\n" + tr.text(14, tr.seq)}, "what stands before record 14 is no record")
	// A damaged record before a torn line is named, not the line.
	refused(t, Options{}, []string{tr.text(1, 12) + strings.Replace(tr.lines[12], "Encrypt", "Decrypt", 1) + "\n" + torn + "\n" + tr.text(14, tr.seq)}, 13, "it was altered")

	orderly := base().stopped().started(true, "b1").calls(1).head()
	accepted(t, Options{}, []string{orderly.all()})
	refused(t, Options{}, []string{orderly.text(1, 12) + torn + "\n" + orderly.text(13, orderly.seq)}, 0, "in the middle of a record")
	wrong := base()
	wrong.event("AuditStarted", `"previousSeq":10,"previousHash":"%s","clean":false,"bootId":""`, wrong.prev).calls(1)
	refused(t, Options{}, []string{wrong.all()}, 12, "name another record before it")
	// A file that holds only the beginning of a record tells nothing, and one of garbage is refused.
	accepted(t, Options{}, []string{tr.all(), torn}, "b.jsonl: the line ends in the middle of a record")
	refused(t, Options{}, []string{"garbage\n"}, 0, "not one JSON object")
}

// After an unclean stop the node goes on from what its first sink has: another one may have had more, and keeps it.
func TestSinkThatWasAhead(t *testing.T) {
	dead := base().calls(6)
	tr := dead.fork(13).started(false, "b2").calls(9).head()
	both := dead.all() + tr.text(14, tr.seq)
	r := accepted(t, Options{Checkpoint: tr.checkpoint(22)}, []string{both}, "records 14 to 17 are in these files only")
	if n := r.Nodes[0]; n.LastSeq != tr.seq || n.Records != 17+tr.seq-13 {
		t.Errorf("%+v", n)
	}
	accepted(t, Options{}, []string{dead.all() + `{"torn` + "\n" + tr.text(14, tr.seq)})
	accepted(t, Options{Partial: true}, []string{dead.text(14, 14) + tr.text(14, tr.seq)}, "record 14 is in these files only")
	// It must be an unclean start, at a record that stands here.
	clean := dead.fork(13).started(true, "b2").calls(9)
	refused(t, Options{}, []string{dead.all() + clean.text(14, clean.seq)}, 14, "stands after record 17")
	refused(t, Options{}, []string{dead.all() + tr.text(15, tr.seq)}, 15, "stands after record 17")
	foreign := base().calls(1).head().started(false, "b2").calls(9)
	refused(t, Options{}, []string{dead.all() + foreign.text(14, foreign.seq)}, 14, "stands after record 17")
	again := newTrail("n1").calls(0)
	again.now = again.now.Add(time.Hour)
	again.started(true, "b1").calls(2)
	refused(t, Options{}, []string{dead.all(), again.all()}, 1, "began a new chain")
}

// A start says first what sinks lack that have less than another one, and all of it again when no sink took it.
func TestStartOfSeveralSinks(t *testing.T) {
	torn := `{"eventTime":"2026-11-26T20:00` + "\n"
	tr := base().calls(6)
	tr.missed(syslog, 13).missedTo(other, 0, 17).startedFrom(17, false, "b2").calls(2).head()
	accepted(t, Options{}, []string{tr.text(1, 17) + torn + tr.text(18, tr.seq)}, "in the middle of a record; the node stopped uncleanly")
	accepted(t, Options{Sink: syslog}, []string{tr.text(1, 13) + torn + tr.text(18, tr.seq)}, "records 14 to 17 are not in")
	accepted(t, Options{Sink: other}, []string{tr.text(18, tr.seq)}, "had taken none")
	accepted(t, Options{Sink: syslog}, []string{tr.text(1, 13) + "\x00\x00\n" + tr.text(18, tr.seq)}, "records 14 to 17 are not in", "not one JSON object; the node stopped uncleanly")
	beside := tr.fork(15).calls(9)
	ahead := tr.fork(15)
	ahead.missed(syslog, 13).started(false, "b2").calls(2).head()
	accepted(t, Options{Sink: file}, []string{beside.all() + torn + ahead.text(16, ahead.seq)}, "records 16 to 24 are in these files only", "in the middle of a record")
	// The start itself is missing, with the rest of its batch.
	gone := tr.fork(17).missed(syslog, 13).started(false, "b2").calls(3)
	gone.missed(file, 18).calls(1).head()
	missing := gone.text(1, 17) + torn + gone.text(18, 18) + torn + gone.text(23, gone.seq)
	accepted(t, Options{Sink: file}, []string{missing}, "the start behind it is among the records", "records 19 to 22 are not in")
	refused(t, Options{Sink: file}, []string{strings.Replace(missing, torn, torn[1:], 1)}, 19, "not one JSON object")
	refused(t, Options{Sink: file}, []string{gone.text(1, 17) + torn + gone.text(18, 18) + gone.text(24, gone.seq)}, 0, "in the middle of a record")
	// No start comes.
	noStart := tr.fork(17).missed(syslog, 13).calls(2)
	refused(t, Options{}, []string{noStart.text(1, 17) + torn + noStart.text(18, noStart.seq)}, 0, "in the middle of a record")
	refused(t, Options{}, []string{noStart.text(1, 17) + torn + noStart.text(18, 18)}, 0, "in the middle of a record")
	noStart = tr.fork(15).missed(syslog, 13).calls(2)
	refused(t, Options{}, []string{beside.all() + noStart.text(16, noStart.seq)}, 16, "it stands after record 24")
	refused(t, Options{}, []string{beside.all() + noStart.text(16, 16)}, 16, "it stands after record 24")
	refused(t, Options{}, []string{beside.all() + noStart.text(16, 16) + noStart.text(18, 18)}, 16, "it stands after record 24")
}

func TestOlderRelease(t *testing.T) {
	old := strings.Repeat(`{"eventName":"Encrypt","additionalEventData":{"node":"n1","index":"1.2"}}`+"\n", 3)
	tr := base()
	r := accepted(t, Options{}, []string{old + tr.all()}, "the 3 lines up to here are of a release without a chain")
	if n := r.Nodes[0]; n.Unchained != 3 || n.Files != 1 || n.Records != 11 {
		t.Errorf("%+v", n)
	}
	r = accepted(t, Options{}, []string{tr.all(), old + `{"torn` + "\n" + old}, "the 7 lines")
	if r.Nodes[0].Files != 2 {
		t.Errorf("%+v", r.Nodes[0])
	}
	accepted(t, Options{}, []string{old + `{"torn` + "\n" + tr.all()}, "what stands before record 1 is no record")
	refused(t, Options{}, []string{tr.all() + old}, tr.seq+1, "does not end with its place")
	refused(t, Options{}, []string{tr.text(1, 4) + old + tr.text(5, tr.seq)}, 0, "does not end with its place")
	refused(t, Options{}, []string{old + tr.text(2, tr.seq)}, 1, "")
	refused(t, Options{}, []string{old}, 0, "no line of this node is chained")
}

// A record that the checkpoint names may be among those that the sink missed, once a head signs that.
func TestAnchorAmongTheMissed(t *testing.T) {
	tr := base().calls(5).missed(file, 11).calls(3)
	o := Options{Checkpoint: tr.checkpoint(14)}
	refused(t, o, []string{tr.without(12, 16)}, 14, "no head after it vouches")
	tr.head()
	accepted(t, o, []string{tr.without(12, 16)}, "which the sink missed")
}

func TestUnsignedEnd(t *testing.T) {
	tr := base().calls(4)
	accepted(t, Options{}, []string{tr.all()}, "records 12 to 15 are not signed yet; the last head is of 5s before", "does not end with AuditStopped")
	r := accepted(t, Options{}, []string{base().stopped().all()})
	if len(r.Nodes[0].Remarks) != 1 {
		t.Errorf("%v", r.Nodes[0].Remarks)
	}
}

func TestRemarksAreBounded(t *testing.T) {
	tr := newTrail("n1").started(true, "b1")
	for i := range 3 * maxRemarks {
		tr.started(false, fmt.Sprint("b", i))
	}
	n := accepted(t, Options{}, []string{tr.all()}).Nodes[0]
	if len(n.Remarks) != maxRemarks || n.MoreRemarks != 2*maxRemarks+2 {
		t.Errorf("%d and %d more", len(n.Remarks), n.MoreRemarks)
	}
}

// What is wrong with a number or a name of the record before is said of the record that has it, also at either end.
func TestPlaces(t *testing.T) {
	tr := base().calls(1).head()
	// put has record seq with another place in the chain, and the rest as it was.
	put := func(seq uint64, l chain.Link) string {
		lines := append([]string{}, tr.lines...)
		lines[seq-1] = relink(lines[seq-1], l.Seq, l.Prev)
		return strings.Join(lines, "\n") + "\n"
	}
	refused(t, Options{}, []string{put(5, chain.Link{Seq: 8, Prev: tr.hash(4)})}, 5, "its own number is 8")
	refused(t, Options{}, []string{put(5, chain.Link{Seq: 5, Prev: chain.Hash{1}})}, 5, "does not name the record before it")
	refused(t, Options{}, []string{put(1, chain.Link{Seq: 3})}, 1, "its own number is 3")
	refused(t, Options{}, []string{put(1, chain.Link{Seq: 1, Prev: chain.Hash{1}})}, 1, "names one before it")
	refused(t, Options{}, []string{put(tr.seq, chain.Link{Seq: tr.seq, Prev: chain.Hash{1}})}, tr.seq, "does not name the record before it")
	changed := func(tr *trail, seq uint64) string {
		return tr.text(1, seq-1) + again(tr.lines[seq-1], `"e-`, `"x-`) + "\n" + tr.text(seq+1, tr.seq)
	}
	refused(t, Options{}, []string{changed(tr, 12)}, 12, "stands in the place of another")
	noHead := base().calls(2)
	refused(t, Options{}, []string{changed(noHead, 12)}, 12, "one of the two was altered")
	refused(t, Options{Checkpoint: noHead.checkpoint(12)}, []string{changed(noHead, 12)}, 12, "stands in the place of another")
	noLink := strings.Replace(tr.text(5, 5), `,"seq":5`, `,"seq": 5`, 1)
	refused(t, Options{Partial: true}, []string{noLink + tr.text(6, tr.seq)}, 5, "does not end with its place")

	for _, l := range []chain.Link{{Seq: 10, Prev: tr.hash(11)}, {Seq: 11, Prev: tr.hash(10)}} {
		tr := base().calls(2)
		tr.event("AuditFileRemoved", `"sink":"s","file":"f","firstSeq":1,"lastSeq":%d,"lastHash":"%s"`, l.Seq, l.Prev).head()
		refused(t, Options{}, []string{tr.text(12, tr.seq)}, 1, "records 1 to 11 are missing")
	}
}
