package audit

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
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

	slow      time.Duration // guarded by mu: writes take this long
	failOnce  bool          // guarded by mu: the next write fails
	failOpens bool          // guarded by mu: only opens fail
	noRoom    error         // guarded by mu: writes return it, opens do not
	noRead    error         // guarded by mu: opening for reading returns it
	noRemove  error         // guarded by mu: a removal returns it

	writes int      // guarded by mu
	opens  int      // guarded by mu
	synced []string // guarded by mu: files that were synced

	stuck chan struct{} // guarded by mu: syncs wait until it is closed
}

var errDisk = errors.New("the test's disk fails")

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

func (d *disk) read(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noRead != nil {
		return nil, d.noRead
	}
	f, err := os.Open(path)
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

func (d *disk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noRemove != nil {
		return d.noRemove
	}
	return d.osFiles.remove(path)
}

type diskFile struct {
	*os.File
	disk *disk
}

func (f *diskFile) Write(b []byte) (int, error) {
	f.disk.mu.Lock()
	f.disk.writes++
	hang, slow := f.disk.hang, f.disk.slow
	f.disk.mu.Unlock()
	if slow > 0 {
		time.Sleep(slow)
	}
	if hang != nil {
		<-hang
	}
	f.disk.mu.Lock()
	fail, torn := f.disk.fail, f.disk.torn
	if f.disk.failOnce {
		f.disk.failOnce, fail = false, syscall.EIO
	}
	if f.disk.failOpens {
		fail = nil
	}
	if f.disk.noRoom != nil {
		fail = f.disk.noRoom
	}
	f.disk.mu.Unlock()
	if fail != nil {
		n, _ := f.File.Write(b[:min(torn, len(b))])
		return n, fail
	}
	return f.File.Write(b)
}

func (f *diskFile) Sync() error {
	f.disk.mu.Lock()
	stuck := f.disk.stuck
	f.disk.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.disk.synced = append(f.disk.synced, f.Name())
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

// write writes lines as one batch.
func write(s Sink, lines ...string) error {
	b := &Batch{First: 1}
	for _, line := range lines {
		b.Lines = append(append(b.Lines, line...), '\n')
		b.Ends = append(b.Ends, len(b.Lines))
	}
	return s.Write(b)
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func TestTornLineOfADeadProcessIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, c := range []struct{ before, after string }{
		{"", "new\n"},
		{"whole\n", "whole\nnew\n"},
		{"whole\n{\"torn", "whole\n{\"torn\nnew\n"},
	} {
		must(t, os.WriteFile(path, []byte(c.before), 0o600))
		s, err := OpenFile(path, FileOptions{})
		must(t, err)
		must(t, write(s, "new"), s.Close())
		if got := content(t, path); got != c.after {
			t.Errorf("%q became %q, want %q", c.before, got, c.after)
		}
	}
}

func TestFileIsOpenedAgainAfterAnError(t *testing.T) {
	for _, c := range []struct {
		name  string
		fail  func(*disk)
		fsync bool
		want  string
	}{
		{name: "nothing was written", fail: func(d *disk) { d.fail = syscall.ENOSPC }, want: "before\nafter\n"},
		{name: "a torn line", fail: func(d *disk) { d.fail, d.torn = syscall.ENOSPC, 3 }, want: "before\nlos\nafter\n"},
		{name: "a short write", fail: func(d *disk) { d.fail, d.torn = io.ErrShortWrite, 6 }, want: "before\nlost 1\nafter\n"},
		{name: "fsync fails", fsync: true, fail: func(d *disk) { d.noSync = syscall.EIO }, want: "before\nlost 1\nlost 2\nafter\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &disk{}
			s, path := openSink(t, d, FileOptions{Fsync: c.fsync})
			must(t, write(s, "before"))
			d.set(func() { c.fail(d) })
			if err := write(s, "lost 1", "lost 2"); err == nil {
				t.Errorf("got %v", err)
			}
			d.set(func() { d.fail, d.noSync = nil, nil })
			must(t, write(s, "after"), s.Close())
			if got := content(t, path); got != c.want {
				t.Errorf("the file has %q, want %q", got, c.want)
			}
		})
	}
}

// A record goes where the path leads when it is written, whether or not anybody says that the file
// was rotated.
func TestFileIsRotatedByOthers(t *testing.T) {
	for _, c := range []struct {
		name   string
		rotate func(t *testing.T, s *FileSink, path string)
		old    bool // the old file is at path.1
	}{
		{name: "moved and told", old: true, rotate: func(t *testing.T, s *FileSink, path string) {
			must(t, os.Rename(path, path+".1"))
			s.Reopen()
		}},
		{name: "moved", old: true, rotate: func(t *testing.T, _ *FileSink, path string) { must(t, os.Rename(path, path+".1")) }},
		{name: "replaced", old: true, rotate: func(t *testing.T, _ *FileSink, path string) {
			must(t, os.Rename(path, path+".1"), os.WriteFile(path, nil, 0o600))
		}},
		{name: "deleted", rotate: func(t *testing.T, _ *FileSink, path string) { must(t, os.Remove(path)) }},
		{name: "copied and truncated", old: true, rotate: func(t *testing.T, _ *FileSink, path string) {
			must(t, os.WriteFile(path+".1", []byte(content(t, path)), 0o600), os.Truncate(path, 0))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, path := openSink(t, nil, FileOptions{MaxSize: 1 << 20})
			must(t, write(s, "old"))
			c.rotate(t, s, path)
			must(t, write(s, "new"))
			if got := content(t, path); got != "new\n" {
				t.Errorf("the path has %s", got)
			}
			if c.old && content(t, path+".1") != "old\n" {
				t.Errorf("the old file has %s", content(t, path+".1"))
			}
			if n := s.size.Load(); n != 4 {
				t.Errorf("the file is taken for one of %d bytes", n)
			}
		})
	}
}

// With nowhere to write, nothing is acknowledged; it goes on by itself.
func TestDirectoryIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit", "audit.jsonl")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	s, err := OpenFile(path, FileOptions{})
	must(t, err, os.RemoveAll(filepath.Dir(path)))
	if err := write(s, "nowhere"); err == nil {
		t.Error("a record in a deleted directory is acknowledged")
	}
	must(t, os.Mkdir(filepath.Dir(path), 0o700), write(s, "back"))
	if got := content(t, path); got != "back\n" {
		t.Error(got)
	}
}

func TestMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	must(t, os.WriteFile(path, []byte("before\n"), 0o600))
	for _, mode := range []os.FileMode{0o644, 0o660, 0o600} {
		must(t, os.Chmod(path, mode))
		s, err := OpenFile(path, FileOptions{})
		must(t, err, s.Close())
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("a file with mode %o has %v, %v", mode, info.Mode(), err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of another user")
	}
	const other = 65534
	must(t, os.Chmod(path, 0o644), os.Chown(path, other, other))
	if s, err := OpenFile(path, FileOptions{}); err == nil {
		s.Close()
		t.Error("a file of another user that all can read is taken")
	}
	must(t, os.Chmod(path, 0o600))
	s, err := OpenFile(path, FileOptions{})
	must(t, err, s.Close())
}

// A pipe or a terminal is what it was when it was opened, and has no end to find, no size and no age.
func TestPathIsNoRegularFile(t *testing.T) {
	s, err := OpenFile(os.DevNull, FileOptions{MaxSize: 1, MaxAge: time.Minute})
	must(t, err)
	defer s.Close()
	if err := write(s, "line"); err != nil || s.inode != nil || s.WantsRotation(time.Now().Add(time.Hour)) {
		t.Errorf("%v, %v", err, s.inode)
	}
}

// What the disk does not do now is no reason not to start, as long as the end of the chain can be read; what was configured wrongly is.
func TestOpenFileRefuses(t *testing.T) {
	for _, c := range []struct {
		fail, noRead error
		starts       bool
	}{
		{syscall.ENOSPC, nil, true}, {syscall.EDQUOT, nil, true}, {syscall.EIO, nil, true}, {syscall.EROFS, nil, true}, {syscall.ESTALE, nil, true},
		{syscall.EACCES, nil, false}, {syscall.ENOENT, nil, false}, {syscall.EISDIR, nil, false}, {errDisk, nil, false}, {syscall.EIO, syscall.EIO, false},
	} {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		must(t, os.WriteFile(path, []byte(chained(4, 0)+chained(5, 0)+`{"torn`), 0o600))
		s, err := OpenFile(path, FileOptions{files: &disk{fail: c.fail, noRead: c.noRead}})
		if (err == nil) != c.starts {
			t.Errorf("%v, %v: %v", c.fail, c.noRead, err)
		}
		if err == nil {
			if got := s.Last(); got.Seq != 5 || got.Clean {
				t.Errorf("%v: it found %+v", c.fail, got)
			}
			must(t, s.Close())
		}
	}
	if s, err := OpenFile(filepath.Join(t.TempDir(), "no", "such", "audit.jsonl"), FileOptions{}); err == nil {
		s.Close()
		t.Error("a file in no directory")
	}
	if _, err := OpenFile(t.TempDir(), FileOptions{}); err == nil {
		t.Error("a directory")
	}
}
