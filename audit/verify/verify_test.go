package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// small is a trail of 30 records with two heads, a rotation behind the first one and an orderly end, and its two files.
func small() (*trail, []string) {
	t := newTrail("n1").started(true, "b1").calls(13).head().calls(13).head().stopped()
	return t, []string{t.text(1, 15), t.text(16, t.seq)}
}

func TestWholeTrail(t *testing.T) {
	tr, texts := small()
	r := accepted(t, Options{Checkpoint: tr.checkpoint(28)}, texts)
	n := r.Nodes[0]
	if n.Name != "n1" || n.Files != 2 || n.Records != 30 || n.Heads != 2 || n.FirstSeq != 1 || n.LastSeq != 30 || n.SignedSeq != 28 || !n.Anchored ||
		!n.LastTime.Equal(tr.now) || n.LastTime.Sub(n.FirstTime).Seconds() != 29 || len(n.Remarks)+len(r.Remarks) != 0 {
		t.Errorf("%+v", r)
	}
	slices.Reverse(texts)
	if again := accepted(t, Options{Checkpoint: tr.checkpoint(28)}, texts); again.Nodes[0].Files != 2 {
		t.Errorf("in another order: %+v", again)
	}
	accepted(t, Options{}, texts, "nothing vouches for the end", "nobody vouches for the key")
	accepted(t, Options{}, []string{"", tr.all()})
	accepted(t, Options{}, []string{strings.TrimSuffix(tr.all(), "\n")})
}

// Every single bit of every line, newlines included, also of the last record of all, of what no head covers, and of a record that
// stands although its sink failed. The trail is short and has each kind of place once: the time is that of its length squared.
func TestEveryBit(t *testing.T) {
	tr := newTrail("n1").started(true, "b1").calls(1).head().calls(4).missed(file, 3).head().stopped().started(true, "b1")
	texts := []string{tr.text(1, 3), tr.text(4, 5) + tr.text(8, tr.seq)}
	numbers := [][]uint64{{1, 2, 3}, {4, 5, 8, 9, 10, 11}}
	o := Options{Checkpoint: tr.checkpoint(8)}
	accepted(t, o, texts, "records 6 to 7 are not in these files")
	for which, text := range texts {
		name := files(texts...)[which].Name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given := slices.Clone(texts)
			number, first := 1, 0
			for i := range len(text) {
				seq := numbers[which][number-1]
				inNode := number == 1 && strings.Contains(text[max(first, i-9):i], `"node":"`) // then the file begins with another node
				for bit := range 8 {
					changed := []byte(text)
					changed[i] ^= 1 << bit
					given[which] = string(changed)
					faults := check(t, o, given...).Faults()
					named := slices.ContainsFunc(faults, func(f Finding) bool {
						return f.File == name && f.Line == number && (f.Seq == seq || seq == 8) // behind a gap its number is what it says
					})
					if !named || len(faults) != 1 && !inNode {
						t.Fatalf("record %d, byte %d, bit %d: %v", seq, i-first, bit, faults)
					}
				}
				if text[i] == '\n' {
					number, first = number+1, i+1
				}
			}
		})
	}
}

func TestEveryRecord(t *testing.T) {
	tr, _ := small()
	o := Options{Checkpoint: tr.checkpoint(28)}
	join := func(lines ...[]string) []string { // in two files
		all := slices.Concat(lines...)
		return []string{strings.Join(all[:15], "\n") + "\n", strings.Join(all[15:], "\n") + "\n"}
	}
	l := tr.lines
	for i := range l {
		seq := uint64(i + 1)
		if i < len(l)-1 {
			refused(t, o, join(l[:i], l[i+1:]), seq, "missing here")
			refused(t, o, join(l[:i], l[i+1:i+2], l[i:i+1], l[i+2:]), seq, "missing here")
		}
		refused(t, o, join(l[:i+1], l[i:]), seq, "twice")
		for j := range l {
			if j < i-1 || j > i+1 { // moved far, copied over another, copied behind another
				first := min(seq, uint64(j+1))
				moved := slices.Delete(slices.Clone(l), i, i+1)
				moved = slices.Insert(moved, j, l[i])
				if r := check(t, o, join(moved)...); len(r.Faults()) == 0 || r.Faults()[0].Seq != first {
					t.Errorf("record %d moved to %d: %v", seq, j+1, r.Faults())
				}
				over := slices.Clone(l)
				over[j] = l[i]
				if r := check(t, o, join(over)...); len(r.Faults()) == 0 {
					t.Errorf("record %d stands over %d: no fault", seq, j+1)
				}
			}
		}
	}
}

// With a checkpoint a trail that ends before the record it names is refused, wherever it is cut.
func TestTruncated(t *testing.T) {
	tr, texts := small()
	o := Options{Checkpoint: tr.checkpoint(28)}
	for which, text := range texts {
		for size := range len(text) {
			given := slices.Clone(texts[:which+1])
			given[which] = text[:size]
			r, err := Files(files(given...), o)
			seen := uint64(15*which + strings.Count(text[:size]+"\n", "}}\n")) // whole records
			faults := []Finding{}
			if err == nil {
				faults = r.Faults()
			}
			switch {
			case err != nil && seen == 0: // no record at all
			case seen >= 28 && err == nil && len(faults) == 0:
			case seen < 28 && len(faults) == 1 && faults[0].Seq == seen+1:
			case seen == 0 && err == nil && len(r.Nodes) == 0:
			default:
				t.Fatalf("file %d cut at %d of %d bytes, after record %d: %v %v", which, size, len(text), seen, err, faults)
			}
		}
	}
	// Without one the end is not missed, and the report says so.
	accepted(t, Options{}, []string{tr.text(1, 7)}, "nothing vouches for the end", "does not end with AuditStopped", "no head is signed")
}

func TestFileMissingOrTwice(t *testing.T) {
	tr := newTrail("n1").started(true, "b1").calls(8).head().calls(9).head().calls(9).head().stopped()
	texts := []string{tr.text(1, 10), tr.text(11, 20), tr.text(21, tr.seq)}
	o := Options{Checkpoint: tr.checkpoint(29)}
	accepted(t, o, texts)
	refused(t, o, texts[1:], 1, "records 1 to 10 are missing here, and nothing explains it")
	refused(t, o, []string{texts[0], texts[2]}, 11, "records 11 to 20 are missing here")
	refused(t, o, texts[:2], 21, "missing at the end: the checkpoint names record 29")
	for i := range texts {
		refused(t, o, append([]string{texts[i]}, texts...), uint64(10*i+1), "twice")
	}
	o.Partial = true
	accepted(t, o, texts[1:], "the files begin here")
	refused(t, o, []string{texts[0], texts[2]}, 11, "records 11 to 20 are missing here")
	refused(t, o, texts[:2], 21, "missing at the end")
}

func TestHeads(t *testing.T) {
	base := func() *trail { return newTrail("n1").started(true, "b1").calls(3).head().calls(3) }
	own := testKey(1)
	for name, c := range map[string]struct {
		forge func(*trail)
		says  string
	}{
		"another key":     {func(tr *trail) { tr.headOf(cluster, "n1", testKey(2)) }, "another key"},
		"another node":    {func(tr *trail) { tr.headOf(cluster, "n2", own) }, "signature of this head is wrong"},
		"another cluster": {func(tr *trail) { tr.headOf("c0", "n1", own) }, "of another cluster"},
		"another record": {func(tr *trail) {
			f := tr.fork(tr.seq - 1).head()
			details := f.lines[f.seq-1]
			details = details[strings.Index(details, `,"serviceEventDetails"`):strings.Index(details, `,"additionalEventData"`)]
			tr.write("AuditHead", "AwsServiceEvent", "lockstep", details)
		}, "does not cover"},
		"no details": {func(tr *trail) { tr.event("AuditHead", `"headSeq":"x"`) }, "not those of AuditHead"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := base()
			c.forge(tr)
			at := tr.seq
			tr.calls(2)
			refused(t, Options{}, []string{tr.all()}, at, c.says)
			refused(t, Options{Checkpoint: tr.checkpoint(4)}, []string{tr.all()}, at, c.says)
		})
	}
	// The first head brings the key, unless a checkpoint has it.
	forged := newTrail("n1")
	forged.key = testKey(2)
	forged.started(true, "b1").calls(3).head()
	accepted(t, Options{}, []string{forged.all()}, "nobody vouches for the key")
	checkpoint := forged.checkpoint(4)
	checkpoint.Anchors[0].PublicKey = newTrail("n1").checkpoint(0).Anchors[0].PublicKey
	refused(t, Options{Checkpoint: checkpoint}, []string{forged.all()}, 5, "another key")
	checkpoint = forged.checkpoint(4)
	checkpoint.ClusterID = "other"
	refused(t, Options{Checkpoint: checkpoint}, []string{forged.all()}, 5, "another cluster")
	// A call by that name is no head.
	accepted(t, Options{}, []string{base().write("AuditHead", "AwsApiCall", "lockstep", "").all()})
}

// Who can write the files and has no key can forge nothing that a checkpoint vouches for.
func TestRewrittenTrail(t *testing.T) {
	tr, _ := small()
	for cut := uint64(1); cut < 28; cut++ {
		forged := tr.fork(cut)
		forged.calls(40)
		refused(t, Options{Checkpoint: tr.checkpoint(28)}, []string{forged.all()}, 28, "the checkpoint names another record 28")
	}
}

func TestSeveralNodes(t *testing.T) {
	a, _ := small()
	b := newTrail("n2").started(true, "b2").calls(4).head().stopped()
	c := a.checkpoint(28)
	c.Anchors = append(c.Anchors, b.checkpoint(5).Anchors...)
	o := Options{Checkpoint: c}
	r := accepted(t, o, []string{b.all(), a.text(16, 30), a.text(1, 15)})
	if len(r.Nodes) != 2 || r.Nodes[0].Files != 2 || r.Nodes[1].Records != 7 {
		t.Errorf("%+v", r)
	}
	accepted(t, o, []string{a.all()}, "no file is of node n2")
	// A collector mixes them, file after file.
	var mixed []string
	for i := range a.lines {
		mixed = append(mixed, a.lines[i])
		if i < len(b.lines) {
			mixed = append(mixed, b.lines[i])
		}
	}
	accepted(t, o, []string{strings.Join(mixed[7:], "\n"), strings.Join(mixed[:7], "\n")})
	faults := check(t, o, b.text(1, 3)+b.text(5, 7), a.text(1, 29)).Faults()
	if len(faults) != 1 || faults[0].Seq != 4 {
		t.Errorf("%v", faults)
	}
}

// A line has one reading.
func TestLines(t *testing.T) {
	good := newTrail("n1").calls(1).lines[0]
	link := good[strings.LastIndex(good, `,"seq"`):]
	body := strings.TrimSuffix(good, link)
	if l, err := parse([]byte(good)); err != nil || l.node != "n1" || l.link.Seq != 1 || l.id != "e-1" || l.name != "Encrypt" || l.service {
		t.Fatalf("%+v, %v", l, err)
	}
	for name, c := range map[string]struct {
		line string
		want error
	}{
		"empty":             {"", errNoObject},
		"blank":             {" ", errNoObject},
		"indented":          {" " + good, errNoObject},
		"carriage return":   {good + "\r", errNoObject},
		"two":               {good + good, errNoObject},
		"a list":            {"[" + good + "]", errNoObject},
		"torn":              {good[:40], errTorn},
		"torn string":       {`"` + good[:4], errNoObject},
		"open at its end":   {strings.TrimSuffix(good, `"}}`) + "#}}", errNoObject},
		"no link":           {body + "}}", errUnchained},
		"link elsewhere":    {`{"a":{"node":"n1","x":1` + link, errMembers},
		"link twice":        {body + strings.TrimSuffix(link, "}}") + link, errMembers},
		"link behind blank": {strings.Replace(good, `"seq":1`, `"seq": 1`, 1), errUnchained},
		"escaped seq":       {body + `,"\u0073eq":2` + link, errMembers},
		"node twice":        {strings.Replace(good, `"node"`, `"node":"n2","node"`, 1), errMembers},
		"odd node":          {strings.Replace(good, `"n1"`, `"\u001b[2J"`, 1), errMembers},
		"no node":           {strings.Replace(good, `"node"`, `"mode"`, 1), errMembers},
		"place twice":       {strings.Replace(good, `"eventName"`, `"additionalEventData":{},"eventName"`, 1), errMembers},
		"name twice":        {strings.Replace(good, `"eventName"`, `"eventName":"Decrypt","eventName"`, 1), errMembers},
		"not UTF-8":         {strings.Replace(good, "Encrypt", "Encr\xffpt", 1), errText},
		"no place":          {`{"additionalEventData":1}`, errMembers},
	} {
		if l, err := parse([]byte(c.line)); err != c.want {
			t.Errorf("%s: %v, want %v (%+v)", name, err, c.want, l)
		}
	}
	if l, err := parse([]byte(strings.Replace(good, `"e-1"`, `"\u001b[2J"`, 1))); err != nil || l.id != "" {
		t.Errorf("%+v, %v", l, err)
	}
	spaced := `{ "eventName" : "x" , "a" : [ { "b" : "]\"}" } , null ] , "n" : -1.5e3 , "additionalEventData" : { "node" : "n1" ` + link
	if l, err := parse([]byte(spaced)); err != nil || l.node != "n1" {
		t.Errorf("%+v, %v", l, err)
	}
}

// A line of 1 MiB is read, a longer one refused without being kept.
func TestLongLines(t *testing.T) {
	for size, want := range map[int]string{maxLine: "", maxLine + 1: "longer than 1 MiB", 5 * maxLine: "longer than 1 MiB"} {
		tr := newTrail("n1").started(true, "b1")
		frame := len(tr.fork(1).write("Encrypt", "AwsApiCall", "kms", `,"pad":""`).lines[1])
		tr.write("Encrypt", "AwsApiCall", "kms", `,"pad":"`+strings.Repeat("x", size-frame)+`"`).calls(1)
		if len(tr.lines[1]) != size {
			t.Fatalf("%d bytes", len(tr.lines[1]))
		}
		if want == "" {
			accepted(t, Options{}, []string{tr.all()})
		} else {
			refused(t, Options{}, []string{tr.all()}, 2, want)
		}
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("it is broken")
	for name, c := range map[string]struct {
		files []File
		o     Options
		says  string
	}{
		"open":  {[]File{{"x", func() (io.ReadCloser, error) { return nil, broken }}}, Options{}, "x: it is broken"},
		"read":  {[]File{{"x", func() (io.ReadCloser, error) { return io.NopCloser(&half{}), nil }}}, Options{}, "x: line 1: half is gone"},
		"empty": {files("", ""), Options{}, "no record"},
		"nodes": {files(func() (s string) {
			for i := range maxNodes + 1 {
				s += newTrail(fmt.Sprint("n", i)).calls(1).all()
			}
			return s
		}()), Options{}, "more than 64 nodes"},
		"checkpoint": {files(), Options{Checkpoint: &chain.Checkpoint{}}, "names no cluster"},
	} {
		if _, err := Files(c.files, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type half struct{ n int }

func (h *half) Read(b []byte) (int, error) {
	if h.n++; h.n == 1 {
		return copy(b, "{"), nil
	}
	return 0, errors.New("half is gone")
}

func TestParseCheckpoint(t *testing.T) {
	good := `{"cluster_id":"c1","anchors":[{"node":"n1","public_key":"` + strings.Repeat("A", 43) + `=","seq":3,"hash":"` + strings.Repeat("A", 43) + `","time":"2026-11-26T20:00:00Z"}]}`
	c, err := ParseCheckpoint([]byte(good))
	if err != nil || c.ClusterID != "c1" || c.Anchors[0].Seq != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	for old, new := range map[string]string{
		`"c1"`: `""`, `"n1"`: `""`, `"seq":3`: `"seq":0`, "=": "", `"hash":"A`: `"hash":"`, "]}": "]}{}", `]`: `,` + good[strings.Index(good, `{"node`):strings.Index(good, "]")] + `]`,
		`{"cluster`: `["cluster`,
	} {
		if _, err := ParseCheckpoint([]byte(strings.Replace(good, old, new, 1))); err == nil {
			t.Errorf("%s: taken", strings.Replace(good, old, new, 1))
		}
	}
	if _, err := ParseCheckpoint(bytes.Repeat([]byte(" "), maxLine+1)); err == nil {
		t.Error("a long one is taken")
	}
}

// Whatever the bytes, nothing panics, and no node is without a verdict.
func FuzzFiles(f *testing.F) {
	tr := newTrail("n1").started(false, "b1").calls(1).missed(file, 1).removed(file, 1).found(2, chain.Hash{}, 0).stopped()
	f.Add([]byte(tr.text(1, 4)), []byte(tr.text(5, tr.seq)), false)
	f.Add([]byte(tr.text(3, 4)), []byte("{}\n\n{"), true)
	f.Fuzz(func(t *testing.T, a, b []byte, partial bool) {
		r, err := Files(files(string(a), string(b)), Options{Checkpoint: tr.checkpoint(5), Partial: partial})
		if err != nil {
			return
		}
		for _, n := range r.Nodes {
			if n.Records == 0 && n.Fault == nil || n.Anchored && n.Records == 0 || len(n.Remarks) > maxRemarks {
				t.Errorf("%+v", n)
			}
			for _, l := range n.Remarks {
				_ = l.String()
			}
		}
	})
}

// The files may be long: what is kept of them is not.
func BenchmarkFiles(b *testing.B) {
	tr := newTrail("n1").started(true, "b1")
	for range 200 {
		tr.write("Encrypt", "AwsApiCall", "kms.amazonaws.com", `,"requestParameters":{"keyId":"alias/app","encryptionContext":{"tenant":"7"}},"pad":"`+strings.Repeat("x", 300+rand.IntN(200))+`"`)
	}
	tr.head()
	in := files(tr.all())
	b.SetBytes(int64(len(tr.all())))
	b.ReportAllocs()
	for b.Loop() {
		if r, err := Files(in, Options{}); err != nil || len(r.Faults()) > 0 {
			b.Fatal(err)
		}
	}
}
