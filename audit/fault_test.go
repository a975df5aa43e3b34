package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/audit/verify"
	"github.com/lockstep-kms/lockstep/kms"
)

// rig is a log over files on disks that fail as told, and what it acknowledged. It lives in a synctest bubble: waiting for a
// timeout takes no time.
type rig struct {
	t       testing.TB
	options FileOptions
	require int
	disks   []*disk
	sinks   []*FileSink
	paths   []string
	log     *Log
	calls   int
	acked   []string // request ids
	lost    map[string]bool
}

func newRig(t testing.TB, sinks, require int, o FileOptions) *rig {
	r := &rig{t: t, options: o, require: require, lost: map[string]bool{}}
	for range sinks {
		r.disks = append(r.disks, &disk{})
		dir := filepath.Join(t.TempDir(), "audit")
		must(t, os.Mkdir(dir, 0o700))
		r.paths = append(r.paths, filepath.Join(dir, "audit.jsonl"))
	}
	r.start()
	return r
}

func (r *rig) start() {
	r.t.Helper()
	r.sinks = nil
	o := Options{Require: r.require, Node: "node-a"}
	for i, path := range r.paths {
		f := r.options
		f.files = r.disks[i]
		s, err := OpenFile(path, f)
		must(r.t, err)
		r.sinks = append(r.sinks, s)
		o.Sinks = append(o.Sinks, s)
	}
	var err error
	r.log, err = New(o)
	must(r.t, err)
}

// call appends the record of a call.
func (r *rig) call() error {
	r.calls++
	rec := record("Call")
	rec.RequestID = fmt.Sprint("request-", r.calls)
	err := r.log.Append(rec)
	if err == nil {
		r.acked = append(r.acked, rec.RequestID)
	}
	return err
}

// trail is what sink i has.
func (r *rig) trail(i int) []entry { return readTrail(r.t, trailFiles(r.t, r.paths[i])...) }

// crash leaves the files as they are now, and what more as the end of each; then the node starts again.
func (r *rig) crash(more func(i int, text string) string) {
	r.t.Helper()
	texts := map[string]string{}
	for i, path := range r.paths {
		for _, f := range trailFiles(r.t, path) {
			texts[f] = content(r.t, f)
		}
		if text, ok := texts[path]; ok {
			texts[path] = more(i, text)
		}
	}
	r.mendAll()
	must(r.t, r.log.Close())
	for _, path := range r.paths {
		for _, f := range trailFiles(r.t, path) {
			must(r.t, os.Remove(f))
		}
	}
	for f, text := range texts {
		must(r.t, os.WriteFile(f, []byte(text), 0o600))
	}
	r.start()
}

// sound fails the test for each of the problems.
func (r *rig) sound(t *testing.T) {
	t.Helper()
	for _, problem := range r.problems() {
		t.Error(problem)
	}
}

// problems says what is wrong with the files: an acknowledged record is in too few, or a gap is not explained.
func (r *rig) problems() (found []string) {
	in := map[string]int{}
	for i := range r.paths {
		all := r.trail(i)
		found = append(found, faults(r.sinks[i].Name(), all)...)
		found = append(found, r.unverified(i)...)
		seen := map[string]bool{}
		for _, e := range all {
			if e.request != "" && !seen[e.request] {
				seen[e.request] = true
				in[e.request]++
			}
		}
	}
	for _, id := range r.acked {
		if in[id] < r.require && !r.lost[id] {
			found = append(found, fmt.Sprintf("%s was acknowledged and is in %d sinks of %d required", id, in[id], r.require))
		}
	}
	return found
}

// unverified says what the offline check finds in the files of a sink.
func (r *rig) unverified(i int) (found []string) {
	var files []verify.File
	for _, path := range trailFiles(r.t, r.paths[i]) {
		if content(r.t, path) != "" {
			files = append(files, verify.File{Name: filepath.Base(path), Open: func() (io.ReadCloser, error) { return os.Open(path) }})
		}
	}
	report, err := verify.Files(files, verify.Options{Sink: r.sinks[i].Name(), Partial: true}) // what was deleted, or missed from the start, is remarked
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range report.Faults() {
		found = append(found, fmt.Sprintf("sink %d does not verify: %s\n%s", i, f, r.tail(i)))
	}
	return found
}

// tail is the trail of sink i in short.
func (r *rig) tail(i int) string {
	var b strings.Builder
	for _, path := range trailFiles(r.t, r.paths[i]) {
		fmt.Fprintln(&b, filepath.Base(path))
		for line := range strings.Lines(content(r.t, path)) {
			if link, err := chain.ReadLink([]byte(strings.TrimSuffix(line, "\n"))); err != nil {
				fmt.Fprintf(&b, "\t%.60q\n", line)
			} else {
				e := entries(r.t, []byte(line))[0]
				fmt.Fprintf(&b, "\t%d %s %s %v\n", link.Seq, e.name, e.request, e.details)
			}
		}
	}
	return b.String()
}

// TestFaults is the table of doc.go: what fails, for which sink, with how many of how many sinks required; whether calls are
// refused meanwhile. Always: no acknowledged record is lost, gaps explain themselves, it goes on by itself.
func TestFaults(t *testing.T) {
	set := func(change func(*disk)) func(*rig, int) {
		return func(r *rig, i int) { r.disks[i].set(func() { change(r.disks[i]) }) }
	}
	well := set(func(d *disk) { d.fail, d.noSync, d.noMove, d.torn = nil, nil, nil, 0 })
	nothing := func(*rig, int) {}
	for _, c := range []struct {
		name       string
		options    FileOptions
		fail, mend func(r *rig, i int)
		takes      bool // the sink takes records nevertheless
	}{
		{name: "disk full", fail: set(func(d *disk) { d.fail = syscall.ENOSPC }), mend: well},
		{name: "disk full in the middle of a record", fail: set(func(d *disk) { d.fail, d.torn = syscall.ENOSPC, 100 }), mend: well},
		{name: "disk full in the middle of a batch", fail: set(func(d *disk) { d.fail, d.torn = syscall.ENOSPC, 900 }), mend: well},
		{name: "short write", fail: set(func(d *disk) { d.fail, d.torn = io.ErrShortWrite, 10 }), mend: well},
		{name: "fsync fails", options: FileOptions{Fsync: true}, fail: set(func(d *disk) { d.noSync = syscall.EIO }), mend: well},
		{name: "hung", fail: func(r *rig, i int) { r.disks[i].set(func() { r.disks[i].hang = make(chan struct{}) }) },
			mend: func(r *rig, i int) {
				close(r.disks[i].hang)
				r.disks[i].set(func() { r.disks[i].hang = nil })
				synctest.Wait()
			}},
		{name: "slow", fail: set(func(d *disk) { d.slow = time.Second }), mend: set(func(d *disk) { d.slow = 0 }), takes: true},
		{name: "directory gone", fail: func(r *rig, i int) { must(r.t, os.Rename(filepath.Dir(r.paths[i]), filepath.Dir(r.paths[i])+"-away")) },
			mend: func(r *rig, i int) { must(r.t, os.Rename(filepath.Dir(r.paths[i])+"-away", filepath.Dir(r.paths[i]))) }},
		{name: "file moved", fail: func(r *rig, i int) {
			must(r.t, os.Rename(r.paths[i], filepath.Join(filepath.Dir(r.paths[i]), "audit-19991231T235959.000Z.jsonl")))
		}, mend: nothing, takes: true},
		{name: "file deleted", fail: func(r *rig, i int) {
			must(r.t, os.Remove(r.paths[i]))
			for _, id := range r.acked { // they were deleted, not lost
				r.lost[id] = true
			}
		}, mend: nothing, takes: true},
		{name: "rename fails", options: FileOptions{MaxSize: 1}, fail: set(func(d *disk) { d.noMove = syscall.EACCES }), mend: well, takes: true},
	} {
		for _, s := range []struct{ sinks, require int }{{1, 1}, {2, 1}, {2, 2}, {3, 2}} {
			t.Run(fmt.Sprintf("%s/%d of %d", c.name, s.require, s.sinks), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, s.sinks, s.require, c.options)
					must(t, r.call(), r.call())
					c.fail(r, 0)
					for range 3 {
						err := r.call()
						if refused := !c.takes && s.require == s.sinks; refused != (kms.CodeOf(err) == kms.CodeAuditBlocked) {
							t.Errorf("meanwhile: %v", err)
						}
					}
					c.mend(r, 0)
					must(t, r.log.Healthy(), r.call())
					time.Sleep(retryAfter)
					must(t, r.call())
					if n := len(r.log.Stats().Sinks); n != s.sinks || !r.log.Stats().Sinks[0].Healthy {
						synctest.Wait()
						if st := r.log.Stats(); !st.Sinks[0].Healthy {
							t.Errorf("afterwards: %+v", st)
						}
					}
					must(t, r.log.Close())
					r.sound(t)
				})
			})
		}
	}
}

// A node that dies in the middle of a batch leaves a torn line; the chain goes on behind it.
func TestRestartInTheMiddleOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 1, FileOptions{})
		must(t, r.call(), r.call())
		for _, torn := range []string{`{"eventVersion":"1.11","eventTi`, "", "{}\n{", strings.Repeat("x", 100<<10)} {
			last := r.trail(0)[len(r.trail(0))-1]
			r.crash(func(_ int, text string) string { return text + torn })
			must(t, r.call())
			all := r.trail(0)
			start := all[len(all)-2]
			if start.name != eventStarted || start.Prev != last.Hash || start.number("previousSeq") != last.Seq || start.details["previousHash"] != last.Hash.String() || start.details["clean"] != false {
				t.Errorf("after the end %.30q, the node began with %v", torn, start)
			}
			if f := r.log.Found(); f.Seq != last.Seq || f.Hash != last.Hash || f.Clean {
				t.Errorf("found %+v", f)
			}
		}
		must(t, r.log.Close())
		r.sound(t)
	})
}

// When power fails, what was not synchronized is gone: a file ends earlier. If another sink has more, the chain goes on from
// there and the first is told what it misses; otherwise from what is left.
func TestPowerCut(t *testing.T) {
	for _, sinks := range []int{1, 2} {
		t.Run(fmt.Sprint(sinks, " sinks"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, sinks, sinks, FileOptions{})
				must(t, r.call(), r.call(), r.call())
				before := r.trail(0)
				cut := before[1] // of 4: AuditStarted and three calls
				r.crash(func(i int, text string) string {
					if i > 0 {
						return text
					}
					for range 2 {
						text = text[:strings.LastIndex(strings.TrimSuffix(text, "\n"), "\n")+1]
					}
					return text + `{"eventV`
				})
				must(t, r.call(), r.log.Close())
				all := r.trail(0)
				got := fmt.Sprint(names(all))
				if sinks == 1 {
					r.lost["request-2"], r.lost["request-3"] = true, true
					if got != "[AuditStarted Call AuditStarted Call AuditStopped]" || all[2].Prev != cut.Hash || all[2].details["clean"] != false {
						t.Errorf("%s: %v after %v", got, all[2], cut)
					}
				} else {
					r.require = 1 // what was cut is in the other
					m := all[2]
					if got != "[AuditStarted Call AuditRecordsMissed AuditStarted Call AuditStopped]" || m.Prev != before[3].Hash || m.number("afterSeq") != 2 ||
						m.details["afterHash"] != cut.Hash.String() || m.number("fromSeq") != 3 || m.number("toSeq") != 4 || m.details["sink"] != r.sinks[0].Name() {
						t.Errorf("%s: %v after %v", got, m, cut)
					}
				}
				r.sound(t)
			})
		})
	}
}

// A node starts on a disk that takes nothing, also when that has torn its last record: it refuses everything, removes what it does not
// keep if it lacks room, and goes on by itself.
func TestStartOnAFullDisk(t *testing.T) {
	for name, full := range map[string]func(*disk){
		"no room":             func(d *disk) { d.noRoom = syscall.ENOSPC },
		"cannot be opened":    func(d *disk) { d.fail = syscall.EROFS },
		"over the quota":      func(d *disk) { d.noRoom, d.torn = syscall.EDQUOT, 1 },
		"torn in the newline": func(d *disk) { d.noRoom, d.torn = syscall.ENOSPC, 30 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, 1, FileOptions{Retain: time.Hour})
				must(t, r.call(), r.call(), r.log.Close())
				must(t, os.WriteFile(r.paths[0], []byte(content(t, r.paths[0])+`{"eventVersion`), 0o600))
				old := filepath.Join(filepath.Dir(r.paths[0]), "audit-19991231T000000.000Z.jsonl")
				if name != "cannot be opened" {
					must(t, os.WriteFile(old, []byte("{}\n"), 0o600))
				}
				r.disks[0].set(func() { full(r.disks[0]) })
				r.start()
				if f := r.log.Found(); f.Seq != 4 || f.Clean || !r.log.Blocked() {
					t.Errorf("found %+v", f)
				}
				if err := r.call(); kms.CodeOf(err) != kms.CodeAuditBlocked {
					t.Errorf("on a full disk: %v", err)
				}
				synctest.Wait()
				if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("retention did not run: %v", err)
				}
				r.disks[0].set(func() { r.disks[0].fail, r.disks[0].noRoom, r.disks[0].torn = nil, nil, 0 })
				must(t, r.log.Healthy(), r.call(), r.log.Close())
				r.sound(t)
			})
		})
	}
}

func TestStopsInOrder(t *testing.T) {
	r := newRig(t, 2, 2, FileOptions{})
	must(t, r.call(), r.log.Close(), r.log.Close())
	if err := r.call(); kms.CodeOf(err) != kms.CodeAuditBlocked || !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	r.start()
	if f := r.log.Found(); f.Seq != 3 || !f.Clean {
		t.Errorf("found %+v", f)
	}
	must(t, r.call(), r.log.Close())
	for i := range r.paths {
		all := r.trail(i)
		if got := fmt.Sprint(names(all)); got != "[AuditStarted Call AuditStopped AuditStarted Call AuditStopped]" || all[0].details["clean"] != true || all[3].details["clean"] != true {
			t.Errorf("sink %d: %s %v", i, got, all)
		}
		if all[0].Seq != 1 || all[0].number("previousSeq") != 0 || all[0].details["previousHash"] != strings.Repeat("A", 43) {
			t.Errorf("the first record of all: %v", all[0])
		}
		if want := r.sinks[0].Name() + "," + r.sinks[1].Name(); all[0].details["sinks"] != want || all[0].details["bootId"] != bootID() {
			t.Errorf("the start is recorded as %v", all[0])
		}
	}
}
