package audit

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// FileOptions configures OpenFile. The zero value means durability `write`, and one file for ever.
type FileOptions struct {
	Fsync      bool          // Write returns after fsync: the records survive loss of power
	MaxSize    int64         // bytes from which on the file is rotated; 0: never
	MaxAge     time.Duration // length of the periods, aligned to UTC, that have a file each; 0: no periods
	Retain     time.Duration // rotated files older than this are removed; 0: never
	RetainSize int64         // bytes that the files take together; the oldest rotated ones are removed; 0: any number
	Now        func() time.Time
	Logger     *slog.Logger

	files files // for tests; default osFiles
}

// file is what a FileSink needs of *os.File.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Stat() (os.FileInfo, error)
}

// FileSink is a Sink that appends to a file, one write a batch.
//
// After an error the file is opened again for the next batch, so the sink recovers by itself; what
// a failed write may have torn is ended with a newline before the next one's lines. A regular file that is no longer what
// the path names (moved away, deleted, replaced) is left for the one that the path names now.
// What it does with its files besides, see rotate, leave and sweep, rarely keeps a record waiting for longer
// than a rename, and never fails one.
type FileSink struct {
	path    string      // immutable
	options FileOptions // immutable, with defaults filled in
	found   Found       // immutable after OpenFile
	record  announce

	out     file            // owned by Write; nil: to be opened
	inode   *syscall.Stat_t // owned by Write: of out, when that is a regular file; else nil
	torn    bool            // owned by Write: out ends in a line without its newline
	now     syscall.Stat_t  // owned by Write: what moved saw
	sweepAt time.Time       // owned by Write
	swept   time.Time       // owned by Write: when the last sweep began
	sweeps  sync.WaitGroup

	reopen   atomic.Bool
	size     atomic.Int64 // of a regular file, after the last write
	ends     atomic.Int64 // the period of the file, ns since 1970; 0: never
	patience atomic.Int64 // no rotation before this, ns since 1970
	sweeping atomic.Bool
	full     atomic.Bool           // the last write failed for want of room
	rotation atomic.Pointer[error] // why the last one failed; nil: it did not
	removal  atomic.Pointer[error] // why the last sweep left a file; nil: it did not
	doubted  atomic.Pointer[error] // see doubt; nil: nothing

	syncing sync.Mutex // one Sync at a time

	mu   sync.Mutex
	left []file // guarded by mu: files that were left, with what may not be on the disk yet
}

// OpenFile opens path for appending. A file that does not exist is created with mode 0600. A regular file of this process's
// user is given that mode; one of another user that is open to more than its owner is refused. A disk that takes nothing now is no
// error: the sink fails then, and is tried again. But where the chain ends has to be read.
func OpenFile(path string, o FileOptions) (*FileSink, error) {
	if o.files == nil {
		o.files = osFiles{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &FileSink{path: path, options: o}
	err := s.open()
	if err != nil && !passes(err) {
		return nil, err
	}
	if err != nil {
		s.options.Logger.Error("the audit file cannot be opened for writing; it is tried again", "file", path, "error", err)
	}
	if s.found, err = s.find(); err != nil {
		if s.out != nil {
			s.out.Close()
		}
		return nil, err
	}
	return s, nil
}

// passes reports whether an error of opening the file is one of the disk, which may be over by itself, not of the configuration.
func passes(err error) bool {
	for _, of := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.ESTALE} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

// Name implements Sink.
func (s *FileSink) Name() string { return "file:" + s.path }

// Last returns the end of the chain that the files had when the sink was opened.
func (s *FileSink) Last() Found { return s.found }

// Announce sets what records the removal of files. Without it there is no record of that.
func (s *FileSink) Announce(record announce) { s.record = record }

// Write implements Sink.
func (s *FileSink) Write(b *Batch) error {
	err := s.write(b.Lines)
	switch {
	case err != nil:
		s.retainSoon(err)
	case s.inode != nil:
		s.size.Add(int64(len(b.Lines)))
		s.tidy(b.Rotate)
	}
	return err
}

func (s *FileSink) write(lines []byte) error {
	if s.out != nil && (s.reopen.Swap(false) || s.moved()) {
		s.leave()
	}
	if s.out == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	_, err := s.out.Write(lines)
	if err == nil && s.options.Fsync {
		err = s.out.Sync()
	}
	if err != nil {
		s.out.Close()
		s.out = nil
		return err
	}
	s.torn = false
	return nil
}

// moved reports whether the path names something else than the open file: what would be written to
// that, nobody would find. It costs half a microsecond, so every batch asks.
func (s *FileSink) moved() bool {
	if s.inode == nil {
		return false
	}
	if syscall.Stat(s.path, &s.now) != nil || s.now.Dev != s.inode.Dev || s.now.Ino != s.inode.Ino {
		return true
	}
	s.size.Store(s.now.Size) // somebody may have truncated it
	return false
}

// open opens the file, and looks whether a failed write, or a dying process, left a torn line at its end. The next write ends that:
// a disk that is full is no reason not to open, since what removes old files then has to run.
func (s *FileSink) open() error {
	f, err := s.options.files.open(s.path)
	if err != nil {
		return err
	}
	s.inode, s.torn = nil, false
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		s.inode, _ = info.Sys().(*syscall.Stat_t)
		s.begin(info.Size(), info.ModTime())
		s.torn, err = endsTorn(f, info.Size())
		if err == nil && s.options.Fsync {
			err = s.options.files.syncDir(filepath.Dir(s.path)) // the file may be new
		}
	}
	if err != nil {
		f.Close()
		return err
	}
	s.out = f
	return nil
}

// endsTorn reports whether a file of size bytes ends in a line without its newline.
func endsTorn(f io.ReaderAt, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var last [1]byte
	_, err := f.ReadAt(last[:], size-1)
	return last[0] != '\n', err
}

// Reopen makes the next batch open the path again, whatever it names (log rotation by somebody else).
func (s *FileSink) Reopen() { s.reopen.Store(true) }

// Trouble returns what keeps the sink from syncing, rotating or removing files; nil: nothing.
func (s *FileSink) Trouble() error {
	var all error
	for _, err := range []*error{s.doubted.Load(), s.rotation.Load(), s.removal.Load()} {
		if err != nil {
			all = errors.Join(all, *err)
		}
	}
	return all
}

// Close implements Sink.
func (s *FileSink) Close() error {
	s.sweeps.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.left {
		f.Close()
	}
	s.left = nil
	if s.out == nil {
		return nil
	}
	err := s.out.Close()
	s.out = nil
	return err
}

// files are what a FileSink needs of the file system besides looking.
type files interface {
	open(path string) (file, error) // for appending and reading; made when it is not there
	move(from, to string) error     // fails when something is at to
	remove(path string) error
	list(dir string) ([]os.DirEntry, error)
	syncDir(dir string) error
	read(path string) (file, error) // for reading and syncing
}

type osFiles struct{}

func (osFiles) open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		if err = closeToOthers(f); err == nil {
			return f, nil
		}
		f.Close()
	}
	return nil, err // not a typed nil
}

func (osFiles) read(path string) (file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // not a typed nil
	}
	return f, nil
}

// closeToOthers takes from a regular file what others than its owner may do with it.
func closeToOthers(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) == os.Geteuid() {
		return f.Chmod(0o600)
	}
	return fmt.Errorf("%s has mode %v and belongs to another user: let nobody but its owner read or write it (chmod 600)", f.Name(), info.Mode().Perm())
}

// move reserves the name first, since a rename replaces what is there.
func (osFiles) move(from, to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	if err = os.Rename(from, to); err != nil {
		os.Remove(to)
	}
	return err
}

func (osFiles) remove(path string) error { return os.Remove(path) }

func (osFiles) list(dir string) ([]os.DirEntry, error) { return os.ReadDir(dir) }

func (osFiles) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
