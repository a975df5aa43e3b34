package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// disk makes files that fail as a test tells them to.
type disk struct {
	mu     sync.Mutex
	hang   chan struct{} // guarded by mu: writes wait until it is closed
	fail   error         // guarded by mu: writes and opens return it
	torn   int           // guarded by mu: bytes a failing write writes nevertheless
	noSync error         // guarded by mu: Sync returns it
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
	return &diskFile{f, d}, err
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

const never = time.Hour // a deadline that no test reaches

func openSink(t testing.TB, d *disk, o FileOptions) (*FileSink, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if d != nil {
		o.open = d.open
	}
	s, err := OpenFile(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, path
}

func lines(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		t.Errorf("the file ends in the middle of a line: %q", b)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
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

// waiters is the number of appends that wait for a write that has not begun.
func (s *FileSink) waiters() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Count(s.pending.buf, []byte{'\n'})
}

func (s *FileSink) writing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil
}

func TestFileHasEveryLineOnce(t *testing.T) {
	for _, fsync := range []bool{false, true} {
		t.Run(fmt.Sprint("fsync=", fsync), func(t *testing.T) {
			s, path := openSink(t, nil, FileOptions{Fsync: fsync, Deadline: never})
			const writers, each = 16, 50
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					line := make([]byte, 0, 64)
					for i := range each {
						line = fmt.Appendf(line[:0], `{"w":%d,"i":%d}`, w, i)
						if err := s.Append(line); err != nil {
							t.Error(err)
						}
						if i == 0 {
							if b, err := os.ReadFile(path); err != nil || !bytes.Contains(b, append(line, '\n')) {
								t.Errorf("Append returned before %s was written (%v)", line, err)
							}
						}
						clear(line) // it is not kept
					}
				})
			}
			wg.Wait()
			next := map[int]int{}
			for _, line := range lines(t, path) {
				var w, i int
				if _, err := fmt.Sscanf(line, `{"w":%d,"i":%d}`, &w, &i); err != nil || next[w] != i {
					t.Fatalf("line %q after %d of writer %d (%v)", line, next[w], w, err)
				}
				next[w]++
			}
			for w := range writers {
				if next[w] != each {
					t.Errorf("%d lines of writer %d", next[w], w)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestGroupCommitSharesOneWrite(t *testing.T) {
	d := &disk{}
	s, path := openSink(t, d, FileOptions{Deadline: never})
	hang := make(chan struct{})
	d.set(func() { d.hang = hang })
	var wg sync.WaitGroup
	wg.Go(func() { s.Append([]byte("first")) })
	waitFor(t, "the first write hangs", s.writing)
	for i := range 20 {
		wg.Go(func() {
			if err := s.Append(fmt.Appendf(nil, "line %d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, "all wait", func() bool { return s.waiters() == 20 })
	close(hang)
	wg.Wait()
	if d.writes != 2 || len(lines(t, path)) != 21 {
		t.Errorf("%d writes for %d lines", d.writes, len(lines(t, path)))
	}
}

func TestFailedWriteIsToldToItsBatchAndRecovers(t *testing.T) {
	full := syscall.ENOSPC
	for _, c := range []struct {
		name  string
		fail  func(*disk)
		fsync bool
		torn  string // what the failed write leaves, as a line of its own
	}{
		{name: "nothing was written", fail: func(d *disk) { d.fail = full }},
		{name: "a torn line", fail: func(d *disk) { d.fail, d.torn = full, 3 }, torn: "los"},
		{name: "fsync fails", fsync: true, fail: func(d *disk) { d.noSync = full }, torn: "lost 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &disk{}
			s, path := openSink(t, d, FileOptions{Fsync: c.fsync, Deadline: never})
			if err := s.Append([]byte("before")); err != nil {
				t.Fatal(err)
			}
			hang := make(chan struct{})
			d.set(func() { d.hang = hang })
			errs := make(chan error, 4)
			go func() { errs <- s.Append([]byte("lost 0")) }()
			waitFor(t, "a write hangs", s.writing)
			for i := range 3 {
				go func() { errs <- s.Append(fmt.Appendf(nil, "lost %d", i+1)) }()
			}
			waitFor(t, "all wait", func() bool { return s.waiters() == 3 })
			d.set(func() { c.fail(d); d.hang = nil })
			close(hang)
			for range 4 {
				if err := <-errs; !errors.Is(err, full) {
					t.Errorf("a waiter of a failed write got %v", err)
				}
			}
			for range 3 { // later ones are told as well, and retry the file
				if err := s.Append([]byte("lost too")); !errors.Is(err, full) {
					t.Errorf("on a full disk: %v", err)
				}
			}
			d.set(func() { d.fail, d.noSync, d.torn = nil, nil, 0 })
			if err := s.Append([]byte("after")); err != nil {
				t.Errorf("on a mended disk: %v", err)
			}
			all := lines(t, path)
			if all[0] != "before" || all[len(all)-1] != "after" {
				t.Errorf("lines: %q", all)
			}
			if c.torn != "" && !strings.Contains(strings.Join(all, "\n")+"\n", "\n"+c.torn+"\n") {
				t.Errorf("no line %q in %q", c.torn, all)
			}
		})
	}
}

func TestTornLineOfADeadProcessIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, c := range []struct{ before, after string }{
		{"", "new\n"},
		{"whole\n", "whole\nnew\n"},
		{"whole\n{\"torn", "whole\n{\"torn\nnew\n"},
	} {
		if err := os.WriteFile(path, []byte(c.before), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenFile(path, FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Append([]byte("new")), s.Close()); err != nil {
			t.Error(err)
		}
		if b, _ := os.ReadFile(path); string(b) != c.after {
			t.Errorf("%q became %q, want %q", c.before, b, c.after)
		}
	}
}

func TestHungSink(t *testing.T) {
	d := &disk{}
	s, path := openSink(t, d, FileOptions{Deadline: 30 * time.Millisecond})
	hang := make(chan struct{})
	d.set(func() { d.hang = hang })
	errs := make(chan error, 3)
	go func() { errs <- s.Append([]byte("hangs")) }()
	waitFor(t, "the write hangs", s.writing)
	for range 2 {
		go func() { errs <- s.Append([]byte("refused")) }()
	}
	for range 3 {
		if err := <-errs; !errors.Is(err, ErrHung) {
			t.Errorf("got %v", err)
		}
	}
	if err := s.Append([]byte("refused")); !errors.Is(err, ErrHung) {
		t.Errorf("while it hangs: %v", err)
	}
	d.set(func() { d.hang = nil })
	close(hang)
	waitFor(t, "the sink recovers", func() bool { return s.Append([]byte("after")) == nil })
	all := lines(t, path)
	if all[0] != "hangs" || all[len(all)-1] != "after" || strings.Contains(strings.Join(all, "\n"), "refused") {
		t.Errorf("lines: %q", all)
	}
}

func TestAlarmOfAnEarlierWriteIsIgnored(t *testing.T) {
	d := &disk{}
	s, _ := openSink(t, d, FileOptions{Deadline: never})
	hang := make(chan struct{})
	d.set(func() { d.hang = hang })
	done := make(chan error, 1)
	go func() { done <- s.Append([]byte("line")) }()
	waitFor(t, "the write is under way", s.writing)
	s.expire()
	close(hang)
	if err := <-done; err != nil {
		t.Errorf("the write was in time: %v", err)
	}
}

func TestTooManyRecordsWait(t *testing.T) {
	d := &disk{}
	s, path := openSink(t, d, FileOptions{Deadline: never})
	hang := make(chan struct{})
	d.set(func() { d.hang = hang })
	done := make(chan error, 2)
	go func() { done <- s.Append([]byte("first")) }()
	waitFor(t, "the write hangs", s.writing)
	big := bytes.Repeat([]byte("x"), maxPending-10)
	go func() { done <- s.Append(big) }()
	waitFor(t, "the big one waits", func() bool { return s.waiters() == 1 })
	if err := s.Append([]byte("one too many")); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	close(hang)
	if err := errors.Join(<-done, <-done); err != nil {
		t.Error(err)
	}
	if n := len(lines(t, path)); n != 2 {
		t.Errorf("%d lines", n)
	}
	waitFor(t, "the write is over", func() bool { return !s.writing() })
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := max(cap(s.spare), cap(s.pending.buf)); n > keepBuffer {
		t.Errorf("a buffer of %d bytes is kept", n)
	}
}

// A record goes where the path leads when it is written, whether or not anybody says that the file
// was rotated.
func TestRotation(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
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
			must(t, os.Rename(path, path+".1"))
			must(t, os.WriteFile(path, nil, 0o600))
		}},
		{name: "deleted", rotate: func(t *testing.T, _ *FileSink, path string) { must(t, os.Remove(path)) }},
		{name: "copied and truncated", old: true, rotate: func(t *testing.T, _ *FileSink, path string) {
			b, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path+".1", b, 0o600))
			must(t, os.Truncate(path, 0))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, path := openSink(t, nil, FileOptions{Deadline: never})
			must(t, s.Append([]byte("old")))
			c.rotate(t, s, path)
			must(t, s.Append([]byte("new")))
			if got := fmt.Sprint(lines(t, path)); got != "[new]" {
				t.Errorf("the path has %s", got)
			}
			if c.old && fmt.Sprint(lines(t, path+".1")) != "[old]" {
				t.Errorf("the old file has %s", lines(t, path+".1"))
			}
		})
	}
}

// With nowhere to write, nothing is acknowledged; it goes on by itself.
func TestDirectoryIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit", "audit.jsonl")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := OpenFile(path, FileOptions{Deadline: never})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if err := s.Append([]byte("nowhere")); err == nil {
		t.Error("a record in a deleted directory is acknowledged")
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Append([]byte("back")); err != nil || fmt.Sprint(lines(t, path)) != "[back]" {
		t.Errorf("%v, %s", err, lines(t, path))
	}
}

func TestMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o644, 0o660, 0o600} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		s, err := OpenFile(path, FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("a file with mode %o has %v, %v", mode, info.Mode(), err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of another user")
	}
	const other = 65534
	if err := errors.Join(os.Chmod(path, 0o644), os.Chown(path, other, other)); err != nil {
		t.Fatal(err)
	}
	if s, err := OpenFile(path, FileOptions{}); err == nil {
		s.Close()
		t.Error("a file of another user that all can read is taken")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenFile(path, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// A pipe or a terminal is what it was when it was opened.
func TestPathIsNoRegularFile(t *testing.T) {
	s, err := OpenFile(os.DevNull, FileOptions{Deadline: never})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Append([]byte("line")); err != nil || s.inode != nil {
		t.Errorf("%v, %v", err, s.inode)
	}
}

func TestCloseWritesWhatWasAppended(t *testing.T) {
	d := &disk{}
	s, path := openSink(t, d, FileOptions{Deadline: never})
	hang := make(chan struct{})
	d.set(func() { d.hang = hang })
	done := make(chan error, 2)
	go func() { done <- s.Append([]byte("one")) }()
	waitFor(t, "the write hangs", s.writing)
	go func() { done <- s.Append([]byte("two")) }()
	waitFor(t, "the second waits", func() bool { return s.waiters() == 1 })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	waitFor(t, "it is closed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closed
	})
	if err := s.Append([]byte("three")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	close(hang)
	if err := errors.Join(<-done, <-done, <-closed, s.Close()); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(lines(t, path)); got != "[one two]" {
		t.Error(got)
	}
}

func TestOpenFileRefuses(t *testing.T) {
	if s, err := OpenFile(filepath.Join(t.TempDir(), "no", "such", "audit.jsonl"), FileOptions{}); err == nil {
		s.Close()
		t.Error("a file in no directory")
	}
	if _, err := OpenFile(t.TempDir(), FileOptions{}); err == nil {
		t.Error("a directory")
	}
}

var _ io.Closer = (*FileSink)(nil)
