package index

import (
	"encoding/binary"
	"math"
	"math/bits"
)

func value(column *[columnSize]byte, row int) uint32 {
	return binary.LittleEndian.Uint32(column[width*row:])
}

// bitmap is a set of rows of a chunk.
type bitmap [maxRows / 64]uint64

// fill makes it the first n rows.
func (b *bitmap) fill(n int) {
	for i := range b {
		switch left := n - 64*i; {
		case left >= 64:
			b[i] = math.MaxUint64
		case left > 0:
			b[i] = 1<<left - 1
		default:
			b[i] = 0
		}
	}
}

func (b *bitmap) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

func (b *bitmap) drop(i int) { b[i/64] &^= 1 << (i % 64) }

func (b *bitmap) and(o *bitmap) {
	for i := range b {
		b[i] &= o[i]
	}
}

// last returns the greatest row below n; -1 when there is none.
func (b *bitmap) last(n int) int {
	for i := (n - 1) / 64; i >= 0 && n > 0; i-- {
		w := b[i]
		if left := n - 64*i; left < 64 {
			w &= 1<<left - 1
		}
		if w != 0 {
			return 64*i + 63 - bits.LeadingZeros64(w)
		}
	}
	return -1
}

// match adds the rows of among whose value under mask is want, and may add others. Two values are compared at a time: mostly
// none of many is right.
func (b *bitmap) match(column *[columnSize]byte, among *bitmap, want, mask uint32) {
	const half, low = 0x80000000_80000000, 0x7fffffff_7fffffff
	w, m := uint64(want)<<32|uint64(want), uint64(mask)<<32|uint64(mask)
	for i := range b {
		if among[i] == 0 {
			continue
		}
		rows := column[64*width*i:][:64*width]
		for row := 0; row < 64; row += 8 {
			c := rows[width*row:][:8*width]
			x0 := binary.LittleEndian.Uint64(c[0:])&m ^ w
			x1 := binary.LittleEndian.Uint64(c[8:])&m ^ w
			x2 := binary.LittleEndian.Uint64(c[16:])&m ^ w
			x3 := binary.LittleEndian.Uint64(c[24:])&m ^ w
			// The high bit of a half of x&low + low | x is 0 if the half is.
			all := (x0&low + low | x0) & (x1&low + low | x1) & (x2&low + low | x2) & (x3&low + low | x3)
			if all&half == half {
				continue
			}
			b[i] |= (zeros(x0) | zeros(x1)<<2 | zeros(x2)<<4 | zeros(x3)<<6) << row
		}
	}
}

// pick is match for few rows.
func (b *bitmap) pick(column *[columnSize]byte, among *bitmap, want, mask uint32) {
	for i, w := range among {
		for ; w != 0; w &= w - 1 {
			row := bits.TrailingZeros64(w)
			if value(column, 64*i+row)&mask == want {
				b[i] |= 1 << row
			}
		}
	}
}

// zeros returns bit 0 if the lower half of x is 0, and bit 1 if the upper one is.
func zeros(x uint64) uint64 {
	const half, low = 0x80000000_80000000, 0x7fffffff_7fffffff
	z := ^(x&low + low | x) & half
	return z>>31&1 | z>>62
}
