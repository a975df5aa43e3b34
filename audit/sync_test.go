package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

func (d *disk) syncFile(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced = append(d.synced, path)
	if d.noSync != nil {
		return d.noSync
	}
	return d.osFiles.syncFile(path)
}

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
			left, synced := 1, 1
			if fsync { // each batch is on the disk already
				left, synced = 0, 0
			}
			if len(s.left) != left {
				t.Errorf("%d files were left", len(s.left))
			}
			if _, signed, err := l.SignHead(); !signed || err != nil || len(s.left) != 0 || len(d.synced) != synced {
				t.Errorf("%v, %v: %d files are left still, synced were %q", signed, err, len(s.left), d.synced)
			}
			if fsync {
				must(t, l.Close())
				return
			}
			d.set(func() { d.noSync = errDisk })
			if _, signed, err := l.SignHead(); signed || err == nil || kms.CodeOf(err) == kms.CodeAuditBlocked {
				t.Errorf("what is on no disk is given out: %v, %v", signed, err)
			}
			must(t, l.Append(record("Meanwhile")))
			d.set(func() { d.noSync = nil })
			if _, signed, err := l.SignHead(); !signed || err != nil {
				t.Errorf("once it can be synced: %v, %v", signed, err)
			}
			must(t, l.Close())
		})
	}
}

// Of many files that nobody syncs only the last are kept open.
func TestLeftFiles(t *testing.T) {
	s, path := openSink(t, nil, FileOptions{})
	for range 3 * maxLeft {
		must(t, s.Write(&Batch{Lines: []byte("line\n"), Ends: []int{5}, First: 1}))
		must(t, os.Remove(path))
	}
	if len(s.left) != maxLeft {
		t.Errorf("%d files are open", len(s.left))
	}
	must(t, s.Close())
	if s.left != nil {
		t.Error("they are open still")
	}
}
