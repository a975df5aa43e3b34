package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
)

// The columns of a chunk. Those of one filter stand together.
const (
	colOffset = iota
	colTime
	colPrincipal // 2: arn, session issuer's arn
	_
	colPrincipalID // 2: principalId, accessKeyId
	_
	colAccount // 3: recipientAccountId, accountId of both resources
	_
	_
	colResource // 2
	_
	colEvent // readOnly is its lowest bit
	colSource
	colError
	colRequestID
	colEventID
	columns
)

const (
	maxRows    = 4096
	width      = 4 // bytes of a value
	columnSize = maxRows * width

	magic      = "LSAIDX01"
	fileHeader = len(magic) + 32
	headerSize = 136
)

var table = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("the index is damaged")

// hashText is what the columns hold of a text: FNV-1a, which is stable across releases.
func hashText(b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return max(h, 1)
}

// hashEvent makes room for readOnly in the lowest bit. No name has hash 0 or 1 but an absent one.
func hashEvent(name []byte, readOnly bool) uint32 {
	h := hashText(name) &^ 1
	if h == 0 && len(name) > 0 {
		h = 2
	}
	if readOnly {
		h |= 1
	}
	return h
}

// chunk describes rows that stand in the index file, or in a tail. Immutable once it is written.
type chunk struct {
	at              int64 // place of the header in the index file
	rows            int
	skipped         uint32 // lines that are no records
	start, end      int64  // of the lines in the log file
	base            int64  // time to which column 1 is relative
	least, greatest int64  // times of the rows
	before          int64  // greatest time of the rows before; math.MinInt64: there are none
	zero            uint32 // a bit for each column that is 0 in every row: it need not be read
	sums            [columns]uint32
}

// high is the time of the chunk's last row as a position.
func (c *chunk) high() int64 { return max(c.before, c.greatest) }

// size is the length of the chunk in the index file.
func (c *chunk) size() int64 { return headerSize + int64(columns*width*c.rows) }

// appendHeader appends the header, with the checksums that are there.
func (c *chunk) appendHeader(b []byte) []byte {
	start := len(b)
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(c.rows))
	b = le.AppendUint32(b, c.skipped)
	for _, n := range []int64{c.start, c.end, c.base, c.least, c.greatest, c.before} {
		b = le.AppendUint64(b, uint64(n))
	}
	b = le.AppendUint32(b, c.zero)
	b = append(b, make([]byte, 8)...)
	for _, s := range c.sums {
		b = le.AppendUint32(b, s)
	}
	return le.AppendUint32(b, crc32.Checksum(b[start:], table))
}

// readHeader reads the header of the chunk that follows on last; nil last: the first one.
func readHeader(b []byte, at int64, last *chunk) (*chunk, error) {
	le := binary.LittleEndian
	sum := len(b) - 4
	if len(b) != headerSize || le.Uint32(b[sum:]) != crc32.Checksum(b[:sum], table) {
		return nil, errDamaged
	}
	n := func(i int) int64 { return int64(le.Uint64(b[8+8*i:])) }
	c := &chunk{at: at, rows: int(le.Uint32(b)), skipped: le.Uint32(b[4:]), start: n(0), end: n(1), base: n(2), least: n(3), greatest: n(4), before: n(5), zero: le.Uint32(b[56:])}
	for i := range c.sums {
		c.sums[i] = le.Uint32(b[68+4*i:])
	}
	start, before := int64(0), int64(math.MinInt64)
	if last != nil {
		start, before = last.end, last.high()
	}
	if c.rows < 1 || c.rows > maxRows || c.start < start || c.end <= c.start || c.before != before {
		return nil, errDamaged
	}
	return c, nil
}

// tail is a chunk that is being filled. Rows are added by who has the index's turn; those that are there do not change.
type tail struct {
	chunk
	data [columns][columnSize]byte
}

func newTail(start, before int64) *tail {
	return &tail{chunk: chunk{at: -1, start: start, end: start, before: before, least: math.MaxInt64, greatest: math.MinInt64, zero: 1<<columns - 1}}
}

// fits reports whether a row can be added: offset and time are 4 bytes each.
func (t *tail) fits(offset, at int64) bool {
	delta := at - t.base
	return t.rows < maxRows && offset-t.start <= math.MaxUint32 && (t.rows == 0 || delta >= math.MinInt32 && delta <= math.MaxInt32)
}

// add adds the row of the record in the line at offset.
func (t *tail) add(f *fields, offset int64) {
	if t.rows == 0 {
		t.base = f.at
	}
	account, first, second := hashText(f.account), hashText(f.resources[0].account), hashText(f.resources[1].account)
	if first == account {
		first = 0 // a search looks into all three, and columns of zeros are not read
	}
	if second == account || second == first {
		second = 0
	}
	row := [columns]uint32{
		uint32(offset - t.start), uint32(int32(f.at - t.base)),
		hashText(f.arn), hashText(f.issuer), hashText(f.principalID), hashText(f.accessKeyID),
		account, first, second,
		hashText(f.resources[0].arn), hashText(f.resources[1].arn),
		hashEvent(f.event, f.readOnly), hashText(f.source), hashText(f.errorCode), hashText(f.requestID), hashText(f.eventID),
	}
	for c, v := range row {
		if v != 0 {
			t.zero &^= 1 << c
		}
		binary.LittleEndian.PutUint32(t.data[c][width*t.rows:], v)
	}
	t.least, t.greatest = min(t.least, f.at), max(t.greatest, f.at)
	t.rows++
}

// appendChunk appends the chunk as it stands in the index file.
func (t *tail) appendChunk(b []byte) []byte {
	for c := range t.sums {
		t.sums[c] = crc32.Checksum(t.data[c][:width*t.rows], table)
	}
	b = t.appendHeader(b)
	for c := range t.data {
		b = append(b, t.data[c][:width*t.rows]...)
	}
	return b
}

// written returns the chunk as it was written at a place of the index file.
func (t *tail) written(at int64) *chunk {
	return &chunk{at: at, rows: t.rows, skipped: t.skipped, start: t.start, end: t.end, base: t.base, least: t.least, greatest: t.greatest, before: t.before, zero: t.zero, sums: t.sums}
}

// window reads columns of one chunk after the other into buffers of its own.
type window struct {
	file *os.File // the index file
	tail *tail
	c    *chunk
	have uint32 // a bit for each column in data
	data [columns][columnSize]byte
}

// open turns to another chunk of an index file, or with t to the first rows of a tail.
func (w *window) open(file *os.File, t *tail, c *chunk) { w.file, w.tail, w.c, w.have = file, t, c, 0 }

// column returns a column; what is behind its last row is anything.
func (w *window) column(i int) (*[columnSize]byte, error) {
	data := &w.data[i]
	if w.have&(1<<i) != 0 {
		return data, nil
	}
	n := width * w.c.rows
	if w.tail != nil {
		copy(data[:n], w.tail.data[i][:n])
	} else if err := w.read(data[:n], i); err != nil {
		return nil, err
	}
	w.have |= 1 << i
	return data, nil
}

// read reads a column of a chunk and checks it.
func (w *window) read(data []byte, i int) error {
	c := w.c
	if _, err := w.file.ReadAt(data, c.at+headerSize+int64(i*len(data))); err != nil {
		if errors.Is(err, io.EOF) {
			err = errDamaged
		}
		return fmt.Errorf("audit index: %w", err)
	}
	if crc32.Checksum(data, table) != c.sums[i] {
		return errDamaged
	}
	return nil
}
