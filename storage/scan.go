package storage

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// span is a run of indexes without a gap; the zero span is empty.
type span struct{ from, to uint64 }

func (s *span) contains(i uint64) bool { return s.from != 0 && s.from <= i && i <= s.to }

// stored notes that entry i is durable: the span is the run that ends at the last entry.
func (s *span) stored(i uint64) {
	if s.from == 0 || i > s.to+1 {
		s.from = i
	}
	s.to = max(s.to, i)
}

// deleted notes, before it happens, that from..to goes.
func (s *span) deleted(from, to uint64) {
	switch {
	case s.from == 0 || to < s.from || from > s.to:
	case to >= s.to && from > s.from:
		s.to = from - 1
	case to >= s.to:
		*s = span{}
	default:
		s.from = to + 1
	}
}

// scan walks every page of the bolt file at path, read-only, and returns the runs of entries in it,
// ascending; none when there is no file. It comes before a writable open because that rebuilds the
// list of free pages in a goroutine of its own, where a damaged page ends the process.
func scan(path string) (found []span, err error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, nil
	}
	err = guarded(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
				return b.ForEach(func(k, v []byte) error {
					if string(name) != "logs" {
						return nil
					}
					if len(k) != 8 || v == nil {
						return &CorruptError{Detail: "a key that is no index"}
					}
					found, err = extend(found, binary.BigEndian.Uint64(k))
					return err
				})
			})
		})
	})
	return found, err
}

func extend(found []span, i uint64) ([]span, error) {
	n := len(found)
	switch {
	case i == 0 || n > 0 && i <= found[n-1].to:
		return nil, &CorruptError{Index: i, Detail: "it is out of order"}
	case n > 0 && i == found[n-1].to+1:
		found[n-1].to = i
		return found, nil
	default:
		return append(found, span{from: i, to: i}), nil
	}
}
