package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

// A head is given out once what it covers is on a disk, in the files that were left too; until then nothing is refused.
func TestHeadsAreSecured(t *testing.T) {
	for _, fsync := range []bool{false, true} {
		t.Run(fmt.Sprint("fsync=", fsync), func(t *testing.T) {
			d := &disk{}
			s, path := openSink(t, d, FileOptions{Fsync: fsync})
			l, err := New(Options{Sinks: []Sink{s}, Node: "node-a"})
			must(t, err)
			l.SetSigner(newKey())
			must(t, l.Append(record("Before")))
			must(t, os.Rename(path, filepath.Join(filepath.Dir(path), "moved")))
			must(t, l.Append(record("After")))
			left, synced := 1, 2
			if fsync { // each batch is on the disk already
				left, synced = 0, 0
			}
			if len(s.left) != left {
				t.Errorf("%d files were left", len(s.left))
			}
			d.set(func() { d.synced = nil })
			if _, signed, err := l.SignHead(); !signed || err != nil || len(s.left) != 0 || !fsync && len(d.synced) != synced {
				t.Errorf("%v, %v: %d files are left still, synced were %q", signed, err, len(s.left), d.synced)
			}
			must(t, l.Close())
		})
	}
}

// What an fsync that failed has not brought to the disk, a later one that succeeds has not either. So the sink is not vouched for
// any more, whatever file it is about, until the node is started again; and it goes on to take records.
func TestAFailedSyncIsNotForgotten(t *testing.T) {
	fail := func(d *disk, l *Log) {
		d.set(func() { d.noSync = errDisk })
		if _, signed, err := l.SignHead(); signed || !errors.Is(err, errDisk) || kms.CodeOf(err) == kms.CodeAuditBlocked {
			t.Errorf("what is on no disk is given out: %v, %v", signed, err)
		}
		d.set(func() { d.noSync = nil })
	}
	away := func(path string) { must(t, os.Rename(path, filepath.Join(filepath.Dir(path), "moved"))) }
	for name, happen := range map[string]func(d *disk, l *Log, path string){
		"the file": func(d *disk, l *Log, _ string) { fail(d, l) },
		"the file, which is rotated then": func(d *disk, l *Log, path string) {
			fail(d, l)
			away(path)
		},
		"a file that was left": func(d *disk, l *Log, path string) {
			away(path)
			must(t, l.Append(record("After")))
			fail(d, l)
		},
		"a file of many that were left": func(d *disk, l *Log, path string) {
			d.set(func() { d.noSync = errDisk })
			for range maxLeft + 1 {
				away(path)
				must(t, l.Append(record("After")))
			}
			d.set(func() { d.noSync = nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &disk{}
			s, path := openSink(t, d, FileOptions{})
			l := newLog(t, 1, s)
			l.SetSigner(newKey())
			happen(d, l, path)
			for range 3 {
				must(t, l.Append(record("Meanwhile")))
				if _, signed, err := l.SignHead(); signed || err == nil || kms.CodeOf(err) == kms.CodeAuditBlocked {
					t.Errorf("afterwards: %v, %v", signed, err)
				}
			}
			if st := l.Stats(); st.Blocked || st.Sinks[0].LastError == nil || s.Trouble() == nil {
				t.Errorf("%+v", st)
			}
			must(t, l.Close())
			again, err := OpenFile(path, FileOptions{files: d})
			must(t, err)
			l = newLog(t, 1, again)
			l.SetSigner(newKey())
			if _, signed, err := l.SignHead(); !signed || err != nil || again.Trouble() != nil {
				t.Errorf("after a restart: %v, %v", signed, err)
			}
		})
	}
}

// A disk that hangs keeps no other sink from being synced, however often a head is asked for.
func TestAHungSyncHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, 2, FileOptions{})
		r.log.SetSigner(newKey())
		stuck := make(chan struct{})
		r.disks[0].set(func() { r.disks[0].stuck = stuck })
		for range 3 {
			if d := spent(func() {
				if _, signed, err := r.log.SignHead(); !signed || err != nil {
					t.Errorf("%v, %v", signed, err)
				}
			}); d != 0 {
				t.Errorf("it took %v", d)
			}
		}
		r.disks[1].set(func() { r.disks[1].stuck = stuck })
		if _, signed, err := r.log.SignHead(); signed || !errors.Is(err, ErrHung) {
			t.Errorf("with both: %v, %v", signed, err)
		}
		close(stuck)
		synctest.Wait()
		if _, signed, err := r.log.SignHead(); !signed || err != nil {
			t.Errorf("afterwards: %v, %v", signed, err)
		}
		must(t, r.log.Close())
	})
}

// Only a sink that has the head's record vouches for it: one that is behind does once it has that, one that missed it never.
func TestHeadsAreOnTheDiskThatIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{name: "syslog"}
		d := &disk{}
		s, _ := openSink(t, d, FileOptions{})
		l, err := New(Options{Sinks: []Sink{s, m}, Node: "node-a"})
		must(t, err)
		l.SetSigner(newKey())
		synctest.Wait()
		sign := func() (bool, error) { // what the head covers is as new as the head
			must(t, l.Append(record("Call")))
			_, signed, err := l.SignHead()
			return signed, err
		}
		d.set(func() { d.slow = time.Second })
		if signed, err := sign(); !signed || err != nil {
			t.Errorf("while the file is behind: %v, %v", signed, err)
		}
		d.set(func() { d.slow = 0 })
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		if signed, err := sign(); signed || err == nil {
			t.Errorf("while the file hangs: %v, %v", signed, err)
		}
		d.set(func() { d.hang = nil })
		close(hang)
		synctest.Wait()
		d.set(func() { d.fail = errDisk })
		var all sync.WaitGroup
		all.Go(func() {
			if signed, err := sign(); signed || !errors.Is(err, errLacks) && !errors.Is(err, ErrHung) {
				t.Errorf("the file missed it: %v, %v", signed, err)
			}
		})
		synctest.Wait()
		d.set(func() { d.fail = nil })
		time.Sleep(retryAfter)
		must(t, l.Append(record("After"))) // the file has records again, behind the head
		all.Wait()
		if signed, err := sign(); !signed || err != nil {
			t.Errorf("afterwards: %v, %v", signed, err)
		}
		must(t, l.Close())
	})
}

// Of many files that nobody syncs only the last are kept open, and none is given up.
func TestLeftFiles(t *testing.T) {
	d := &disk{}
	s, path := openSink(t, d, FileOptions{})
	for range 3 * maxLeft {
		must(t, s.Write(&Batch{Lines: []byte("line\n"), Ends: []int{5}, First: 1}))
		must(t, os.Remove(path))
	}
	if left := 3*maxLeft - 1; len(s.left) != maxLeft || len(d.synced) != left-maxLeft {
		t.Errorf("%d files are open, %d of %d were synced", len(s.left), len(d.synced), left)
	}
	must(t, s.Write(&Batch{Lines: []byte("line\n"), Ends: []int{5}, First: 1}), s.Sync(), s.Trouble(), s.Close())
	if s.left != nil {
		t.Error("they are open still")
	}
}
