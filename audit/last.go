package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

const (
	firstLook  = 64 << 10 // bytes at the end of a file that are looked at first; then twice as many, and so on
	searchable = 64 << 20 // bytes at an end of a file in which a record with a place in the chain is looked for
	olderFiles = 8        // in which the end of the chain is looked for besides the file itself
)

// stoppedMark is in the line of AuditStopped and in no other: quotes within a text are escaped.
var stoppedMark = []byte(`,"eventSource":"` + sourceOwn + `","eventName":"` + eventStopped + `",`)

// find looks for the end of the chain: in the file, else, when that has just begun, in those before it.
func (s *FileSink) find() (Found, error) {
	found, size, err := s.findInFile()
	if err != nil || found.Seq != 0 || size < 0 {
		return found, err
	}
	older, err := s.rotatedFiles()
	if err != nil {
		return Found{}, err
	}
	for _, f := range older[max(0, len(older)-olderFiles):] { // their times may be those of copies
		_, last, err := rangeOf(f.path)
		if err != nil {
			return Found{}, err
		}
		if last.Seq > found.Seq {
			found = last
		}
	}
	found.Clean = found.Clean && size == 0 // else what the file has came behind AuditStopped
	return found, nil
}

// findInFile looks for the end of the chain in the file alone, which need not be open for writing, nor be there. size is -1 when it
// is no regular file, in which nothing is looked for.
func (s *FileSink) findInFile() (found Found, size int64, err error) {
	f := s.out
	if f == nil {
		if f, err = s.options.files.read(s.path); errors.Is(err, os.ErrNotExist) {
			return Found{}, 0, nil
		} else if err != nil {
			return Found{}, 0, err
		}
		defer f.Close()
	}
	info, err := f.Stat()
	if err != nil {
		return Found{}, 0, err
	}
	if !info.Mode().IsRegular() {
		return Found{}, -1, nil
	}
	size = info.Size()
	torn, err := endsTorn(f, size)
	if err != nil {
		return Found{}, 0, err
	}
	if torn { // a record that lacks only its newline is whole: the next write begins with that
		found, err = lastRecord(ended{f, size}, size+1)
	} else {
		found, err = lastRecord(f, size)
	}
	return found, size, err
}

// ended reads a file of size bytes as if a newline stood behind them.
type ended struct {
	io.ReaderAt
	size int64
}

func (e ended) ReadAt(b []byte, off int64) (int, error) {
	n, err := e.ReaderAt.ReadAt(b, off)
	if n < len(b) && off+int64(n) == e.size {
		b[n] = '\n'
		return n + 1, io.EOF
	}
	return n, err
}

// rangeOf returns the first and the last place in the chain that a file has; zero values when it has none.
func rangeOf(path string) (first chain.Link, last Found, err error) {
	f, err := os.Open(path)
	if err != nil {
		return first, last, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return first, last, err
	}
	if last, err = lastRecord(f, info.Size()); err != nil || last.Seq == 0 {
		return first, last, err
	}
	first, err = firstRecord(f, info.Size())
	return first, last, err
}

// lastRecord returns the last whole line of a file of size bytes that has a place in the chain. Others, of older releases
// or torn, are skipped. It is clean when it is AuditStopped and ends the file.
func lastRecord(f io.ReaderAt, size int64) (Found, error) {
	for look := int64(firstLook); ; look *= 2 {
		look = min(look, size, searchable)
		text, err := readAt(f, size-look, look)
		if err != nil {
			return Found{}, err
		}
		whole := bytes.LastIndexByte(text, '\n') // what comes behind is torn
		for whole >= 0 {
			line := text[:whole]
			whole = bytes.LastIndexByte(line, '\n')
			if whole < 0 && look < size {
				break // it may have begun before
			}
			if link, err := chain.ReadLink(line[whole+1:]); err == nil {
				end := len(line) + len("\n")
				line = line[whole+1:]
				return Found{Seq: link.Seq, Hash: link.Hash, Clean: end == len(text) && bytes.Contains(line, stoppedMark)}, nil
			}
		}
		if look >= min(size, searchable) {
			return Found{}, nil
		}
	}
}

// firstRecord returns the place of the first line that has one; the zero Link when there is none.
func firstRecord(f io.ReaderAt, size int64) (chain.Link, error) {
	for look := int64(firstLook); ; look *= 2 {
		look = min(look, size, searchable)
		text, err := readAt(f, 0, look)
		if err != nil {
			return chain.Link{}, err
		}
		for line := range bytes.Lines(text) {
			if line, whole := bytes.CutSuffix(line, []byte("\n")); whole {
				if link, err := chain.ReadLink(line); err == nil {
					return link, nil
				}
			}
		}
		if look >= min(size, searchable) {
			return chain.Link{}, nil
		}
	}
}

func readAt(f io.ReaderAt, from, n int64) ([]byte, error) {
	b := make([]byte, n)
	if got, err := f.ReadAt(b, from); got < len(b) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading its end: %w", err)
	} else {
		return b[:got], nil
	}
}
