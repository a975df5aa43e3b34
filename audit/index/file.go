package index

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// maxLine is the longest line, in bytes, that is looked at; records of ours are far shorter.
const maxLine = 1 << 20

// errMoved says that a path names another file than it did.
var errMoved = errors.New("the audit file was moved")

// inode is which file it is, whatever its name.
type inode struct{ dev, ino uint64 }

func inodeOf(info fs.FileInfo) inode {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}
	}
	return inode{uint64(s.Dev), uint64(s.Ino)}
}

// logFile is one file of the trail and its index. A copy of it stands still: what it names only grows.
type logFile struct {
	path  string
	inode inode
	index string   // path of the index file
	hash  [32]byte // of the first record's line
	seq   uint64   // of the first record; 0: it has none

	first   int64    // time of the first row; noTime before there is one
	end     int64    // what was read; the start of a line unless skipping
	long    bool     // end is within a line that is too long
	chunks  []*chunk // in the index file
	size    int64    // of the index file; 0: it is to be made
	tail    *tail    // rows after the chunks; nil: none yet
	partial *chunk   // of a copy: what tail had; nil: no rows
	skipped int64    // lines that are no records, those of tail aside
}

// id stands for the file in a Position.
func (f *logFile) id() uint64 {
	var id uint64
	for _, b := range f.hash[:8] {
		id = id<<8 | uint64(b)
	}
	return id
}

// openLog finds out which file of a trail stands at path; nil while it has no record.
func openLog(path, dir string, info fs.FileInfo) (*logFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if now, err := file.Stat(); err != nil || inodeOf(now) != inodeOf(info) {
		return nil, errMoved
	}
	line, err := firstRecord(file)
	if line == nil {
		return nil, err
	}
	f := &logFile{path: path, inode: inodeOf(info), hash: sha256.Sum256(line), first: noTime}
	if link, err := chain.ReadLink(line); err == nil {
		f.seq = link.Seq
	}
	f.index = filepath.Join(dir, fmt.Sprintf("%020d-%x%s", f.seq, f.hash[:8], suffix))
	if err := f.load(file, info.Size()); err != nil {
		f.forget()
	}
	return f, nil
}

// firstRecord returns the line of the first record, without its newline; nil when the file does not begin with '{' or has none in
// its first maxLine bytes.
func firstRecord(file *os.File) ([]byte, error) {
	for size := 4096; ; size *= 4 {
		b := make([]byte, size)
		n, err := file.ReadAt(b, 0)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if n == 0 || b[0] != '{' {
			return nil, nil
		}
		var rec fields
		for line := range bytes.Lines(b[:n]) {
			if line, whole := bytes.CutSuffix(line, []byte{'\n'}); whole && scan(line, &rec) && rec.timed {
				return line, nil
			}
		}
		if n < size || size >= maxLine {
			return nil, nil
		}
	}
}

// forget begins the index anew.
func (f *logFile) forget() {
	f.first, f.end, f.long, f.chunks, f.size, f.tail, f.skipped = noTime, 0, false, nil, 0, nil, 0
}

// load takes what the index file has, as far as it is whole. An error means that there is nothing to be taken.
func (f *logFile) load(log *os.File, logSize int64) error {
	file, err := os.Open(f.index)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, fileHeader)
	if _, err := file.ReadAt(head, 0); err != nil || string(head[:len(magic)]) != magic || !bytes.Equal(head[len(magic):], f.hash[:]) {
		return errDamaged
	}
	f.size = int64(len(head))
	var last *chunk
	for b := make([]byte, headerSize); ; {
		if _, err := file.ReadAt(b, f.size); err != nil {
			break
		}
		c, err := readHeader(b, f.size, last)
		if err != nil || f.size+c.size() > info.Size() || c.end > logSize {
			break
		}
		f.add(c)
		last = c
	}
	if last == nil {
		return nil
	}
	f.first, f.end = f.chunks[0].base, last.end
	if !endsLine(log, last.end) {
		return errDamaged // this is not the file that was indexed
	}
	return nil
}

func (f *logFile) add(c *chunk) {
	f.chunks = append(f.chunks, c)
	f.size = c.at + c.size()
	f.skipped += int64(c.skipped)
}

// follow reads what was added to the file, until ctx ends. A torn line at the end waits for its newline.
func (f *logFile) follow(ctx context.Context, buf []byte) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || inodeOf(info) != f.inode {
		return errMoved
	}
	if f.end > 0 && !f.long && !endsLine(file, f.end) {
		f.inode = inode{} // it was written anew under its name
		return errMoved
	}
	for ctx.Err() == nil {
		n, err := file.ReadAt(buf, f.end)
		if n == 0 || err != nil && err != io.EOF {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		read, failed := f.lines(buf[:n])
		if failed != nil {
			return failed
		}
		switch {
		case read > 0:
		case n < len(buf):
			return nil
		default: // one line fills the buffer
			f.long = true
			f.end += int64(n)
		}
	}
	return nil
}

// endsLine reports whether a line ends before a place of the file.
func endsLine(file *os.File, at int64) bool {
	var b [1]byte
	_, err := file.ReadAt(b[:], at-1)
	return err == nil && b[0] == '\n'
}

// lines takes the whole lines of b, which stands in the file at end, and returns how many bytes they are.
func (f *logFile) lines(b []byte) (read int, err error) {
	var rec fields
	for {
		n := bytes.IndexByte(b[read:], '\n')
		if n < 0 {
			return read, nil
		}
		line := b[read : read+n]
		if f.tail == nil {
			f.renew()
		}
		known := !f.long && scan(line, &rec) && rec.timed
		if f.tail.rows == maxRows || known && !f.tail.fits(f.end, rec.at) {
			if err := f.flush(); err != nil {
				return read, err
			}
			f.renew()
		}
		if known {
			if f.first == noTime {
				f.first = rec.at
			}
			f.tail.add(&rec, f.end)
		} else {
			f.tail.skipped++
		}
		f.long = false
		read += n + 1
		f.end += int64(n) + 1
		f.tail.end = f.end
	}
}

// renew begins a tail at the end of what was read. It counts the skipped lines of one without rows, which is not written.
func (f *logFile) renew() {
	skipped := uint32(0)
	if f.tail != nil {
		skipped = f.tail.skipped
	}
	before := int64(noTime)
	if n := len(f.chunks); n > 0 {
		before = f.chunks[n-1].high()
	}
	f.tail = newTail(f.end, before)
	f.tail.skipped = skipped
}

// flush writes the rows of the tail, if there are any, into the index file.
func (f *logFile) flush() error {
	t := f.tail
	if t == nil || t.rows == 0 {
		return nil
	}
	var b []byte
	at, flags := f.size, os.O_WRONLY
	if at == 0 {
		b = append(append(make([]byte, 0, int64(fileHeader)+t.size()), magic...), f.hash[:]...)
		at, flags = int64(fileHeader), flags|os.O_CREATE
		if err := os.MkdirAll(filepath.Dir(f.index), 0o700); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(f.index, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) && f.size > 0 { // somebody deleted it: it is made again
		f.forget()
		return errMoved
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(f.size); err != nil { // what is behind is torn
		return err
	}
	if _, err := file.WriteAt(t.appendChunk(b), f.size); err != nil {
		return err
	}
	f.add(t.written(at))
	f.tail = nil
	return nil
}

// copy returns the file as it is now.
func (f *logFile) copy() *logFile {
	now := *f
	if f.tail != nil && f.tail.rows > 0 {
		now.partial = f.tail.written(-1)
	}
	return &now
}

// high is the greatest time of the rows.
func (f *logFile) high() int64 {
	if f.tail != nil && f.tail.rows > 0 {
		return f.tail.high()
	}
	if n := len(f.chunks); n > 0 {
		return f.chunks[n-1].high()
	}
	return noTime
}
