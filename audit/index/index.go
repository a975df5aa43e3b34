package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

const (
	suffix       = ".idx"
	defaultEvery = 200 * time.Millisecond
	// settle is how long after a change of the directory it is listed again each time: a file system's clock is coarse, and
	// a write may end in a file that was just moved.
	settle = 2 * time.Second
)

// ErrBehind says that the index had not read the whole trail when the context of a search ended: it is being made. What was
// read is kept, so a later search gets further.
var ErrBehind = errors.New("the index has not read the whole trail yet")

// Options configures Open.
type Options struct {
	Path   string        // of the active file of the sink
	Every  time.Duration // between looks at the files; default 200 ms
	Logger *slog.Logger  // nil: silent
}

// Index is the index of one file sink's trail. It is safe for concurrent use.
type Index struct {
	path, dir string // immutable: of the active file and of the index files
	log       *slog.Logger
	cancel    context.CancelFunc
	done      chan struct{} // closed when the follower has ended

	turn   chan struct{} // capacity 1: holds who may touch what follows
	files  []*logFile    // oldest first
	active inode         // what path named when the directory was listed; zero: nothing
	listed time.Time     // when that was
	change time.Time     // modification time of the directory then
	stale  bool          // it has to be listed again
	unread error         // why something of the trail could not be read the last time; nil: all of it was
	held   error         // why index files could not be written, whose rows are kept in memory, or removed; nil: they were
	buf    []byte
}

// Open starts to follow the files of a sink. What cannot be read or written is told by Search and in the log.
func Open(o Options) *Index {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &Index{path: o.Path, dir: o.Path + ".index", log: o.Logger, cancel: cancel, done: make(chan struct{}),
		turn: make(chan struct{}, 1), buf: make([]byte, maxLine)}
	go x.run(ctx, o.Every)
	return x
}

// Close ends the following. A search that is under way ends by itself, and so does the following when its file system
// hangs: it is not waited for longer than 2 s.
func (x *Index) Close() error {
	x.cancel()
	limit := time.NewTimer(settle)
	defer limit.Stop()
	select {
	case <-x.done:
		return nil
	case <-limit.C:
		return errors.New("audit index: the file system does not answer")
	}
}

// run follows the files until ctx ends.
func (x *Index) run(ctx context.Context, every time.Duration) {
	defer close(x.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	var said string
	for {
		err := x.update(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			x.log.Warn("the index of the audit trail cannot be brought up to date", "error", err)
		}
		if err == nil && said != "" {
			said = ""
			x.log.Info("the index of the audit trail is up to date again")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// update brings the index up to what the files have now, as far as they can be read.
func (x *Index) update(ctx context.Context) error {
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return ErrBehind
	}
	defer func() { <-x.turn }()
	err := x.catchUp(ctx)
	for _, trouble := range []error{x.unread, x.held} {
		if err == nil {
			err = trouble
		}
	}
	return err
}

// snapshot brings the index up to what the files have now and returns copies of them, oldest first. They are whole unless something
// could not be read.
func (x *Index) snapshot(ctx context.Context) (copies []*logFile, whole bool, err error) {
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ErrBehind
	}
	defer func() { <-x.turn }()
	if err := x.catchUp(ctx); err != nil {
		return nil, false, err
	}
	if ctx.Err() != nil {
		return nil, false, ErrBehind
	}
	copies = make([]*logFile, 0, len(x.files))
	for _, f := range x.files {
		if f.first != noTime {
			copies = append(copies, f.copy())
		}
	}
	return copies, x.unread == nil, nil
}

// catchUp lists the directory if it changed, and reads what was added to the files, which may be moved meanwhile. The turn is held.
func (x *Index) catchUp(ctx context.Context) error {
	err := x.try(ctx)
	for range 3 {
		if !passing(err) {
			break
		}
		err = x.try(ctx)
	}
	if err != nil {
		return fmt.Errorf("audit index: %w", err)
	}
	return nil
}

// passing reports whether an error comes of files that were just moved or removed.
func passing(err error) bool { return errors.Is(err, errMoved) || errors.Is(err, fs.ErrNotExist) }

// try is one attempt of catchUp.
func (x *Index) try(ctx context.Context) error {
	info, err := os.Stat(x.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var now inode
	var size int64
	if err == nil && info.Mode().IsRegular() {
		now, size = inodeOf(info), info.Size()
	}
	dir, err := os.Stat(filepath.Dir(x.path))
	if err != nil {
		return err
	}
	active := x.find(now)
	quiet := !x.stale && now == x.active && dir.ModTime().Equal(x.change) && x.listed.Sub(x.change).Abs() > settle
	if quiet && (active == nil) == (now == inode{}) && (active == nil || size >= active.end) {
		if active == nil || size == active.end {
			return nil
		}
		err = x.missing(active.follow(ctx, x.buf))
	} else {
		x.listed, x.change, x.active, x.unread, x.held = time.Now(), dir.ModTime(), now, nil, nil
		if err = x.list(); err == nil {
			err = x.readAll(ctx)
		}
	}
	x.stale = err != nil || x.unread != nil || x.held != nil || ctx.Err() != nil
	slices.SortFunc(x.files, func(a, b *logFile) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.seq, b.seq), cmp.Compare(a.id(), b.id()))
	})
	return err
}

// missing notes that something cannot be read, which keeps nobody from the rest of the trail. It returns the errors that pass.
func (x *Index) missing(err error) error {
	if err == nil || passing(err) {
		return err
	}
	x.unread = err
	return nil
}

// readAll reads what was added to the files. Of rotated ones, to which nothing will be added, it writes the last rows.
func (x *Index) readAll(ctx context.Context) error {
	for _, f := range x.files {
		err := f.follow(ctx, x.buf)
		if err == nil && f.inode != x.active && ctx.Err() == nil {
			if err := f.flush(); passing(err) {
				return err
			} else if err != nil {
				x.held = err
			}
		}
		if err := x.missing(err); err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) find(i inode) *logFile {
	for _, f := range x.files {
		if f.inode == i {
			return f
		}
	}
	return nil
}

// list finds the files of the trail, and removes the index files of those that are gone.
func (x *Index) list() error {
	entries, err := os.ReadDir(filepath.Dir(x.path))
	if err != nil {
		return err
	}
	names := []string{filepath.Base(x.path)} // first, so that a copy does not stand in its place
	for _, e := range entries {
		if _, _, ok := chain.Rotated(x.path, e.Name()); ok && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	known := map[inode]*logFile{}
	for _, f := range x.files {
		known[f.inode] = f
	}
	var files []*logFile
	seen := map[string]bool{}
	for _, name := range names {
		f, err := x.file(filepath.Join(filepath.Dir(x.path), name), known)
		if err := x.missing(err); err != nil {
			return err
		}
		if f != nil && !seen[f.index] {
			seen[f.index] = true
			files = append(files, f)
		}
	}
	x.files = files
	if x.unread != nil {
		return nil // whose index which file is, is not known
	}
	x.held = x.sweep(seen)
	return nil
}

// file returns what stands at path: a file that is known already, or one whose index is loaded; nil when it is no trail.
func (x *Index) file(path string, known map[inode]*logFile) (*logFile, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if f := known[inodeOf(info)]; f != nil && info.Size() >= f.end {
		f.path = path
		return f, nil
	}
	return openLog(path, x.dir, info)
}

// sweep removes the index files that belong to no file.
func (x *Index) sweep(used map[string]bool) error {
	entries, err := os.ReadDir(x.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(x.dir, e.Name())
		if strings.HasSuffix(path, suffix) && !used[path] {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// forget makes the index of a file anew, which turned out to be damaged, unless somebody did since.
func (x *Index) forget(ctx context.Context, damaged *logFile) error {
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		return ErrBehind
	}
	defer func() { <-x.turn }()
	for _, f := range x.files {
		if f.hash == damaged.hash && len(f.chunks) > 0 && len(damaged.chunks) > 0 && f.chunks[0] == damaged.chunks[0] {
			x.log.Warn("the index of an audit file is damaged and made again", "file", f.path)
			f.forget()
			x.stale = true
		}
	}
	return nil
}

// Stats is what the index has.
type Stats struct {
	Files   int
	Records int64
	Skipped int64 // lines that are no records
}

// Stats brings the index up to date and returns what it has.
func (x *Index) Stats(ctx context.Context) (s Stats, err error) {
	files, _, err := x.snapshot(ctx)
	for _, f := range files {
		s.Files++
		s.Skipped += f.skipped
		for _, c := range f.chunks {
			s.Records += int64(c.rows)
		}
		if f.partial != nil {
			s.Records += int64(f.partial.rows)
			s.Skipped += int64(f.partial.skipped)
		}
	}
	return s, err
}
