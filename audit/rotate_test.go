package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// key signs heads of node-a.
type key struct{ ed25519.PrivateKey }

func newKey() key { return key{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))} }

func (k key) Sign(seq uint64, hash chain.Hash, at time.Time) (chain.Head, ed25519.PublicKey, []byte) {
	h := chain.Head{Cluster: "c0", Node: "node-a", Seq: seq, Hash: hash, Time: at.UnixMilli()}
	return h, k.Public().(ed25519.PublicKey), h.Sign(k.PrivateKey)
}

// record is a call that took place.
func record(name string) *Record {
	return &Record{Time: time.Now(), Source: "kms.amazonaws.com", Name: name, Identity: Identity{Type: "Root"}, Node: "node-a"}
}

// trailFiles are the files of the sink at path, oldest first, the active one last,
// if there is one.
func trailFiles(t testing.TB, path string) []string {
	t.Helper()
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	all, err := filepath.Glob(stem + "-*" + filepath.Ext(path))
	must(t, err)
	slices.Sort(all)
	if _, err := os.Stat(path); err == nil {
		all = append(all, path)
	}
	return all
}

func startFile(t testing.TB, path string, o FileOptions) *Log {
	t.Helper()
	s, err := OpenFile(path, o)
	must(t, err)
	l, err := New(Options{Sinks: []Sink{s}, Node: "node-a"})
	must(t, err)
	return l
}

func TestRotationBySize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := startFile(t, path, FileOptions{MaxSize: 10 << 10})
	l.SetSigner(newKey())
	const n = 100
	for i := range n {
		must(t, l.Append(record(fmt.Sprintf("Call%d", i))))
	}
	must(t, l.Close())
	files := trailFiles(t, path)
	if len(files) < 4 {
		t.Errorf("only %d files: %q", len(files), files)
	}
	all := readTrail(t, files...)
	checkTrail(t, "file:"+path, all)
	if got := calls(all); len(got) != n || got[0] != "Call0" || got[n-1] != fmt.Sprintf("Call%d", n-1) {
		t.Errorf("calls: %q", got)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		must(t, err)
		if info.Mode().Perm() != 0o600 || info.Size() > 12<<10 {
			t.Errorf("%s: mode %v, %d bytes", f, info.Mode(), info.Size())
		}
		in := readTrail(t, f)
		if last := in[len(in)-1]; f != path && (last.name != eventHead || last.number("headSeq") != last.Seq-1 || last.details["headHash"] != last.Prev.String()) {
			t.Errorf("%s ends with %v", f, last)
		}
	}
}

func TestRotationAtMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it begins at midnight UTC
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		l := startFile(t, path, FileOptions{MaxAge: 24 * time.Hour, Now: time.Now})
		l.SetSigner(newKey())
		for day := range 3 {
			time.Sleep(24*time.Hour - time.Millisecond)
			must(t, l.Append(record(fmt.Sprintf("Before%d", day))))
			time.Sleep(time.Millisecond)
			must(t, l.Append(record(fmt.Sprintf("After%d", day)))) // the first record of a day closes the file of the day before
			must(t, l.Append(record(fmt.Sprintf("Next%d", day))))
		}
		must(t, l.Close())
		files := trailFiles(t, path)
		for i, want := range []string{"audit-20000102T000000.000Z.jsonl", "audit-20000103T000000.000Z.jsonl", "audit-20000104T000000.000Z.jsonl", "audit.jsonl"} {
			if i >= len(files) || filepath.Base(files[i]) != want {
				t.Fatalf("files %q, want %s", files, want)
			}
		}
		for i, want := range []string{"[AuditStarted Before0 After0 AuditHead]", "[Next0 Before1 After1 AuditHead]", "[Next1 Before2 After2 AuditHead]", "[Next2 AuditHead AuditStopped]"} {
			if got := fmt.Sprint(names(readTrail(t, files[i]))); got != want {
				t.Errorf("%s has %s, want %s", files[i], got, want)
			}
		}
		checkTrail(t, "file:"+path, readTrail(t, files...))
	})
}

// A day without records has no file.
func TestRotationOfIdleDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		l := startFile(t, path, FileOptions{MaxAge: 24 * time.Hour})
		for day := range 3 {
			time.Sleep(72 * time.Hour)
			must(t, l.Append(record(fmt.Sprint("First", day))), l.Append(record("Second")), l.Append(record("Third")))
		}
		must(t, l.Close())
		var got []string
		for _, f := range trailFiles(t, path) {
			got = append(got, filepath.Base(f)+fmt.Sprint(names(readTrail(t, f))))
		}
		want := "audit-20000104T000000.000Z.jsonl[AuditStarted First0] audit-20000107T000000.000Z.jsonl[Second Third First1] audit-20000110T000000.000Z.jsonl[Second Third First2] audit.jsonl[Second Third AuditStopped]"
		if strings.Join(got, " ") != want {
			t.Errorf("files %s, want %s", got, want)
		}
	})
}

// A file whose last record is of an earlier period is rotated behind the record of the start.
func TestRotationOfYesterdaysFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	must(t, startFile(t, path, FileOptions{}).Close())
	day := time.Now().Add(-24 * time.Hour)
	must(t, os.Chtimes(path, day, day))
	l := startFile(t, path, FileOptions{MaxAge: 24 * time.Hour})
	must(t, l.Append(record("Today")), l.Close())
	files := trailFiles(t, path)
	if got := fmt.Sprint(names(readTrail(t, path))); len(files) != 2 || got != "[Today AuditStopped]" {
		t.Errorf("files %q, the last has %s", files, got)
	}
	checkTrail(t, "file:"+path, readTrail(t, files...))
}

// A file that has the name already stays as it is.
func TestRotationReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		taken := filepath.Join(filepath.Dir(path), "audit-20000101T000000.000Z.jsonl")
		must(t, os.WriteFile(taken, []byte("precious\n"), 0o600))
		l := startFile(t, path, FileOptions{MaxSize: 1})
		must(t, l.Close())
		if got := content(t, taken); got != "precious\n" {
			t.Errorf("it has %s", got)
		}
		if got := names(readTrail(t, filepath.Join(filepath.Dir(path), "audit-20000101T000000.001Z.jsonl"))); fmt.Sprint(got) != "[AuditStarted AuditStopped]" {
			t.Errorf("the rotated file has %s", got)
		}
	})
}

// What cannot be rotated is written on, told, and tried again in a minute.
func TestRotationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{noMove: syscall.EACCES}
		s, path := openSink(t, d, FileOptions{MaxSize: 1})
		l, err := New(Options{Sinks: []Sink{s}, Node: "node-a"})
		must(t, err, l.Append(record("One")), l.Append(record("Two")))
		if st := l.Stats().Sinks[0]; !errors.Is(st.LastError, syscall.EACCES) || !st.Healthy || len(trailFiles(t, path)) != 1 {
			t.Errorf("while it cannot be renamed: %+v, files %q", st, trailFiles(t, path))
		}
		d.set(func() { d.noMove = nil })
		must(t, l.Append(record("Three")))
		if len(trailFiles(t, path)) != 1 {
			t.Error("it was tried again at once")
		}
		time.Sleep(rotateAgain)
		must(t, l.Append(record("Four")))
		if st := l.Stats().Sinks[0]; st.LastError != nil || len(trailFiles(t, path)) != 2 {
			t.Errorf("a minute later: %+v, files %q", st, trailFiles(t, path))
		}
		must(t, l.Close())
		checkTrail(t, s.Name(), readTrail(t, trailFiles(t, path)...))
	})
}

// When the next file cannot be opened, the next batch tries again; the record before the rotation is safe.
func TestRotationLeavesNoFile(t *testing.T) {
	d := &disk{}
	s, path := openSink(t, d, FileOptions{MaxSize: 1})
	d.set(func() { d.fail, d.failOpens = syscall.EMFILE, true })
	must(t, s.Write(&Batch{Lines: []byte("one\n"), Ends: []int{4}, First: 1, Rotate: true}))
	if err := write(s, "two"); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("with no file: %v", err)
	}
	d.set(func() { d.fail, d.failOpens = nil, false })
	must(t, write(s, "three"))
	files := trailFiles(t, path)
	if len(files) != 2 || content(t, files[0])+content(t, path) != "one\nthree\n" {
		t.Errorf("files %q", files)
	}
}

func TestRetention(t *testing.T) {
	const size = 1000
	ages := []time.Duration{1 * time.Hour, 30 * time.Hour, 50 * time.Hour, 100 * time.Hour}
	for _, c := range []struct {
		name    string
		options FileOptions
		kept    int // of the rotated files, the newest
	}{
		{"for ever", FileOptions{}, 4},
		{"48 hours", FileOptions{Retain: 48 * time.Hour}, 2},
		{"3 files", FileOptions{RetainSize: 3*size + 900}, 3},
		{"nothing", FileOptions{RetainSize: 1}, 0},
		{"both", FileOptions{Retain: 60 * time.Hour, RetainSize: 2*size + 900}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "audit.jsonl")
			s, l := startSigned(t, path, c.options)
			now := time.Now()
			for i, age := range ages { // a chained line in each, and what is not of the chain
				text := chained(uint64(len(ages)-i), 0)
				text += strings.Repeat("x", size-len(text)-1) + "\n"
				must(t, os.WriteFile(chain.RotatedName(path, now.Add(-age)), []byte(text), 0o600))
			}
			others := []string{"audit-20000101T000000.000Z.jsonl.gz", "audit-20000101T000000Z.jsonl", "audit.jsonl.1", "other-20000101T000000.000Z.jsonl", "audit-x-20000101T000000.000Z.jsonl"}
			for _, name := range others {
				must(t, os.WriteFile(filepath.Join(dir, name), make([]byte, 10*size), 0o600))
			}
			must(t, os.Mkdir(filepath.Join(dir, "audit-20000101T000000.000Z.jsonl"), 0o700))
			s.sweep(now)
			gone := len(ages) - c.kept
			if files := trailFiles(t, path); len(files) != c.kept+4 {
				t.Errorf("files %q", files)
			}
			must(t, l.Append(record("After")), l.Close())
			for _, name := range others {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
			var removed []entry
			all := readTrail(t, path)
			for i, e := range all {
				if e.name == eventRemoved {
					removed = append(removed, e)
					if all[i+1].name != eventHead {
						t.Errorf("behind a removal is %v", all[i+1])
					}
				}
			}
			if len(removed) != gone {
				t.Fatalf("%d removals are recorded, want %d", len(removed), gone)
			}
			for i, e := range removed { // oldest first
				file := filepath.Base(chain.RotatedName(path, now.Add(-ages[len(ages)-1-i])))
				if e.details["sink"] != "file:"+path || e.details["file"] != file || e.number("firstSeq") != uint64(i+1) || e.number("lastSeq") != uint64(i+1) || len(fmt.Sprint(e.details["lastHash"])) != 43 {
					t.Errorf("removal %d is recorded as %v", i, e)
				}
			}
		})
	}
}

// startSigned starts a log over one file, whose node is unsealed, and waits for the sweep of the start, which finds it sealed.
func startSigned(t testing.TB, path string, o FileOptions) (*FileSink, *Log) {
	t.Helper()
	s, err := OpenFile(path, o)
	must(t, err)
	l, err := New(Options{Sinks: []Sink{s}, Node: "node-a"})
	must(t, err)
	s.sweeps.Wait()
	l.SetSigner(newKey())
	return s, l
}

// witness sees what the trail has when a file is removed, and says that a directory is a file.
type witness struct {
	*disk
	removing func(path string)
}

func (w witness) remove(path string) error {
	w.removing(path)
	return w.disk.remove(path)
}

func (w witness) list(dir string) ([]os.DirEntry, error) {
	all, err := w.disk.list(dir)
	for i, e := range all {
		all[i] = plainEntry{e}
	}
	return all, err
}

type plainEntry struct{ os.DirEntry }

func (plainEntry) Type() os.FileMode { return 0 }

// When a file is removed, its own sink has that on record, signed.
func TestRemovalIsSignedFirst(t *testing.T) {
	for _, o := range []FileOptions{{Retain: time.Hour}, {RetainSize: 1}} {
		dir := t.TempDir()
		path := filepath.Join(dir, "audit.jsonl")
		removed := 0
		d := &disk{}
		o.files = witness{d, func(string) {
			removed++
			if len(d.synced) != 1 || d.synced[0] != path {
				t.Errorf("synced: %q", d.synced)
			}
			if all := names(readTrail(t, path)); fmt.Sprint(all[len(all)-2:]) != "[AuditFileRemoved AuditHead]" {
				t.Errorf("the trail has %q", all)
			}
		}}
		s, l := startSigned(t, path, o)
		must(t, os.WriteFile(filepath.Join(dir, "audit-20000101T000000.000Z.jsonl"), []byte(chained(1, 0)), 0o600))
		s.sweep(time.Now())
		if must(t, l.Close()); removed != 1 {
			t.Errorf("%+v: %d removals", o, removed)
		}
	}
}

// While nobody signs, or the sink itself does not take the record, a file that is only too old stays; one that takes too much room,
// or whose room writes want, does not.
func TestRemovalWithoutRecord(t *testing.T) {
	for _, c := range []struct {
		name    string
		options FileOptions
		fail    error // of the sink's writes
		noSync  error // of its syncs
		signed  bool
		gone    bool
	}{
		{"age, sealed", FileOptions{Retain: time.Hour}, nil, nil, false, false},
		{"size, sealed", FileOptions{RetainSize: 1}, nil, nil, false, true},
		{"age, missed", FileOptions{Retain: time.Hour}, syscall.EIO, nil, true, false},
		{"size, missed", FileOptions{RetainSize: 1}, syscall.EIO, nil, true, true},
		{"age, no room", FileOptions{Retain: time.Hour}, syscall.ENOSPC, nil, true, true},
		{"age, no room, sealed", FileOptions{Retain: time.Hour}, syscall.ENOSPC, nil, false, true},
		{"age, not synced", FileOptions{Retain: time.Hour}, nil, syscall.EIO, true, false},
		{"size, not synced", FileOptions{RetainSize: 1}, nil, syscall.EIO, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2, 1, c.options)
			synctest.Wait()
			if c.signed {
				r.log.SetSigner(newKey())
			}
			dir := filepath.Dir(r.paths[0])
			old := filepath.Join(dir, "audit-19990101T000000.000Z.jsonl")
			must(t, os.WriteFile(old, []byte(chained(1, 0)), 0o600))
			r.disks[0].set(func() { r.disks[0].fail, r.disks[0].noSync = c.fail, c.noSync })
			must(t, r.call())
			synctest.Wait()
			time.Sleep(retryAfter) // then the sink is given the record, and misses it
			r.sinks[0].sweep(time.Now())
			synctest.Wait()
			if _, err := os.Stat(old); errors.Is(err, os.ErrNotExist) != c.gone {
				t.Errorf("%s: %v", c.name, err)
			}
			if c.signed || c.gone {
				if all := names(r.trail(1)); !slices.Contains(all, eventRemoved) {
					t.Errorf("%s: the other sink has %q", c.name, all)
				}
			} else if all := names(r.trail(1)); slices.Contains(all, eventRemoved) {
				t.Errorf("%s: a removal is recorded that is none: %q", c.name, all)
			}
			must(t, os.RemoveAll(old))
			r.mendAll()
			must(t, r.log.Close())
		})
	}
}

// A file that cannot be read is removed like others: what it held follows from where the next one begins.
func TestRemovalOfAnUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	s, l := startSigned(t, path, FileOptions{RetainSize: 1, files: witness{&disk{}, func(string) {}}})
	must(t, os.Mkdir(filepath.Join(dir, "audit-20000101T000000.000Z.jsonl"), 0o700), // reading it fails
		os.WriteFile(filepath.Join(dir, "audit-20000102T000000.000Z.jsonl"), []byte(chained(7, 0)+chained(8, 0)), 0o600))
	s.sweep(time.Now())
	if files := trailFiles(t, path); len(files) != 1 || s.Trouble() != nil {
		t.Errorf("files %q, trouble %v", files, s.Trouble())
	}
	must(t, l.Close())
	var got []string
	for _, e := range readTrail(t, path) {
		if e.name == eventRemoved {
			got = append(got, fmt.Sprintf("%s %d %d %v", e.details["file"], e.number("firstSeq"), e.number("lastSeq"), e.details["lastHash"] == chain.Hash{}.String()))
		}
	}
	if want := "audit-20000101T000000.000Z.jsonl 0 6 true, audit-20000102T000000.000Z.jsonl 7 8 false"; strings.Join(got, ", ") != want {
		t.Errorf("removals %q, want %s", got, want)
	}
}

// The names of files are in the order of the chain, also when the clock was set back.
func TestRotationAfterTheClockWasSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	now := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)
	for range 4 {
		l := startFile(t, path, FileOptions{MaxSize: 1, Now: func() time.Time { return now }})
		must(t, l.Append(record("Call")), l.Close())
		now = now.Add(-time.Hour)
	}
	all := readTrail(t, trailFiles(t, path)...)
	if len(trailFiles(t, path)) < 4 || len(all) != 12 {
		t.Errorf("files %q", trailFiles(t, path))
	}
	checkTrail(t, "file:"+path, all)
}

// A file that cannot be removed is told, and keeps no record waiting.
func TestRemovalFails(t *testing.T) {
	d := &disk{noRemove: syscall.EPERM}
	s, path := openSink(t, d, FileOptions{RetainSize: 1, MaxSize: 1})
	l, err := New(Options{Sinks: []Sink{s}, Node: "node-a"})
	must(t, err, l.Append(record("Rotated")))
	waitFor(t, "it is told", func() bool {
		must(t, l.Append(record("After"))) // a sweep that finds another under way is left to the next record
		return errors.Is(l.Stats().Sinks[0].LastError, syscall.EPERM)
	})
	must(t, l.Close())
	if files := trailFiles(t, path); len(files) < 2 {
		t.Errorf("files %q", files)
	}
}

// While nothing can be written, a file that is in the way is removed all the same, and that is recorded afterwards.
func TestRemovalWhileBlocked(t *testing.T) {
	d := &disk{}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s, l := startSigned(t, path, FileOptions{Retain: time.Hour, files: d})
	old := filepath.Join(filepath.Dir(path), "audit-20000101T000000.000Z.jsonl")
	must(t, os.WriteFile(old, nil, 0o600))
	d.set(func() { d.fail = syscall.ENOSPC })
	s.sweep(time.Now())
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old file: %v", err)
	}
	d.set(func() { d.fail = nil })
	must(t, l.Append(record("After")), l.Close())
	if got := fmt.Sprint(names(readTrail(t, path))); got != "[AuditStarted AuditRecordsMissed AuditFileRemoved After AuditHead AuditStopped]" {
		t.Errorf("the trail has %s", got)
	}
}

// On a full disk nothing but retention makes room, so it runs when writes fail, not only when they go well.
func TestRetentionOnAFullDisk(t *testing.T) {
	for _, opens := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := &disk{}
			s, path := openSink(t, d, FileOptions{Retain: time.Hour})
			l, err := New(Options{Sinks: []Sink{s}, Node: "node-a"})
			must(t, err)
			synctest.Wait()
			old := filepath.Join(filepath.Dir(path), "audit-19991231T000000.000Z.jsonl")
			must(t, os.WriteFile(old, nil, 0o600))
			d.set(func() { d.fail = syscall.ENOSPC })
			if opens {
				s.Reopen()
			}
			fail := func() {
				if err := l.Append(record("Call")); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("on a full disk: %v", err)
				}
				synctest.Wait()
			}
			fail() // the sweep of the start is less than a minute ago
			if _, err := os.Stat(old); err != nil {
				t.Errorf("each failed write sweeps: %v", err)
			}
			time.Sleep(sweepAgain)
			fail()
			if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the old file: %v", err)
			}
			d.set(func() { d.fail = nil })
			must(t, l.Append(record("After")), l.Close())
		})
	}
}
