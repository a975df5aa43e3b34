package audit

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// disk makes files that fail as a test tells them to.
type disk struct {
	osFiles
	mu     sync.Mutex
	hang   chan struct{} // guarded by mu: writes wait until it is closed
	fail   error         // guarded by mu: writes and opens return it
	torn   int           // guarded by mu: bytes a failing write writes nevertheless
	noSync error         // guarded by mu: Sync returns it
	noMove error         // guarded by mu: a rename returns it
	writes int           // guarded by mu
	opens  int           // guarded by mu
}

func (d *disk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *disk) open(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opens++
	if d.fail != nil {
		return nil, d.fail
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

func (d *disk) move(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noMove != nil {
		return d.noMove
	}
	return d.osFiles.move(from, to)
}

type diskFile struct {
	*os.File
	disk *disk
}

func (f *diskFile) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	f.disk.writes++
	hang := f.disk.hang
	f.disk.mu.Unlock()
	if hang != nil {
		<-hang
	}
	f.disk.mu.Lock()
	fail, torn := f.disk.fail, f.disk.torn
	f.disk.mu.Unlock()
	if fail != nil {
		n, _ := f.File.Write(b[:min(torn, len(b))])
		return n, fail
	}
	return f.File.Write(b)
}

func (f *diskFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.noSync != nil {
		return f.disk.noSync
	}
	return f.File.Sync()
}

const never = time.Hour // a timeout that no test reaches

func openSink(t testing.TB, d *disk, o FileOptions) (*FileSink, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if d != nil {
		o.files = d
	}
	s, err := OpenFile(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
