package fsm

import (
	"encoding/binary"
	"errors"
)

// The wire is the deterministic subset of CBOR (RFC 8949, section 4.2.1): definite lengths and the
// shortest head, and of that only unsigned integers, byte and text strings, arrays and booleans.
// One value has one encoding, so what decodes encodes to the same bytes again.
const (
	majorUint  = 0 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5

	cborFalse = 0xf4
	cborTrue  = 0xf5
)

func appendHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n <= 0xff:
		return append(dst, major|24, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

// headSize is the number of bytes that appendHead appends for n.
func headSize(n uint64) int {
	switch {
	case n < 24:
		return 1
	case n <= 0xff:
		return 2
	case n <= 0xffff:
		return 3
	case n <= 0xffffffff:
		return 5
	}
	return 9
}

func appendUint(dst []byte, n uint64) []byte { return appendHead(dst, majorUint, n) }
func appendArray(dst []byte, n int) []byte   { return appendHead(dst, majorArray, uint64(n)) }

func appendBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
}

func appendText(dst []byte, s string) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, cborTrue)
	}
	return append(dst, cborFalse)
}

// stringSize is the encoded size of a byte or text string of n bytes.
func stringSize(n int) int { return headSize(uint64(n)) + n }

var (
	errShort   = errors.New("it ends in the middle of a value")
	errShape   = errors.New("a value is not of the type that belongs there")
	errLong    = errors.New("a number is not in its shortest form")
	errBounds  = errors.New("a value is out of its bounds")
	errTrailer = errors.New("bytes follow the last value")
)

// reader decodes the subset. The first error stays: every later read returns zero values, so a
// caller checks err once, and before it trusts a count in a loop that allocates.
type reader struct {
	data []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
		r.data = nil
	}
}

// head reads the head of a value of the major type and returns its number, at most max.
func (r *reader) head(major byte, max uint64) uint64 {
	if len(r.data) == 0 {
		r.fail(errShort)
		return 0
	}
	first := r.data[0]
	if first&0xe0 != major {
		r.fail(errShape)
		return 0
	}
	n, size := uint64(first&0x1f), 1
	if n >= 24 {
		if n > 27 {
			r.fail(errShape)
			return 0
		}
		width := 1 << (n - 24)
		if len(r.data) < 1+width {
			r.fail(errShort)
			return 0
		}
		n = 0
		for _, b := range r.data[1 : 1+width] {
			n = n<<8 | uint64(b)
		}
		size += width
	}
	if headSize(n) != size {
		r.fail(errLong)
		return 0
	}
	if n > max {
		r.fail(errBounds)
		return 0
	}
	r.data = r.data[size:]
	return n
}

func (r *reader) uint(max uint64) uint64 { return r.head(majorUint, max) }

// string reads a byte or text string of min to max bytes. It shares the reader's data.
func (r *reader) string(major byte, min, max int) []byte {
	n := int(r.head(major, uint64(max)))
	if r.err == nil && n < min {
		r.fail(errBounds)
	}
	if n > len(r.data) {
		r.fail(errShort)
	}
	if r.err != nil {
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) bytes(min, max int) []byte { return r.string(majorBytes, min, max) }

// fixed reads a byte string of exactly len(dst) bytes into dst.
func (r *reader) fixed(dst []byte) { copy(dst, r.bytes(len(dst), len(dst))) }

// array reads the head of an array of at most max elements, each of which takes a byte at least:
// a count that the remaining data cannot hold is refused here, before anything is allocated.
func (r *reader) array(max int) int {
	n := int(r.head(majorArray, uint64(max)))
	if n > len(r.data) {
		r.fail(errShort)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// tuple reads the head of an array of exactly n elements.
func (r *reader) tuple(n int) {
	if got := r.array(n); r.err == nil && got != n {
		r.fail(errShape)
	}
}

func (r *reader) bool() bool {
	if len(r.data) == 0 {
		r.fail(errShort)
		return false
	}
	b := r.data[0]
	if b != cborFalse && b != cborTrue {
		r.fail(errShape)
		return false
	}
	r.data = r.data[1:]
	return b == cborTrue
}

// end returns the first error, or an error when data is left.
func (r *reader) end() error {
	if len(r.data) != 0 {
		r.fail(errTrailer)
	}
	return r.err
}
