package seal

import (
	"crypto/subtle"
	"errors"
)

// Bech32m as in BIP-350, with two differences: any length is allowed (the checksum surely finds up
// to four changed characters only in the first 89, and still finds all but one in 2^30 of other
// changes; a share is MACed besides), and the characters of secrets are translated without look-ups
// that depend on them.

const (
	bech32mAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32mConst    = 0x2bc830a3
	bech32mChecksum = 6 // characters
)

var errBech32m = errors.New("seal: not a bech32m string")

// polymod adds one 5-bit value to the checksum register.
func polymod(register uint32, value byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	top := register >> 25
	register = register&0x1ffffff<<5 ^ uint32(value)
	for i, g := range generator {
		register ^= g & -(top >> i & 1)
	}
	return register
}

// startChecksum returns the checksum register after the human-readable part.
func startChecksum(hrp string) uint32 {
	register := uint32(1)
	for i := range len(hrp) {
		register = polymod(register, hrp[i]>>5)
	}
	register = polymod(register, 0)
	for i := range len(hrp) {
		register = polymod(register, hrp[i]&31)
	}
	return register
}

// encodeBech32m returns hrp, "1", the characters of the 5-bit values and the checksum. hrp is lower
// case.
func encodeBech32m(hrp string, values []byte) []byte {
	out := make([]byte, 0, len(hrp)+1+len(values)+bech32mChecksum)
	out = append(append(out, hrp...), '1')
	register := startChecksum(hrp)
	for _, v := range values {
		register = polymod(register, v)
		out = append(out, toChar(v))
	}
	for range bech32mChecksum {
		register = polymod(register, 0)
	}
	register ^= bech32mConst
	for i := range bech32mChecksum {
		out = append(out, toChar(byte(register>>(5*(bech32mChecksum-1-i))&31)))
	}
	return out
}

// decodeBech32m returns the human-readable part in lower case and the 5-bit values without the
// checksum.
func decodeBech32m(s string) (hrp string, values []byte, err error) {
	lower, upper := false, false
	separator := -1
	text := []byte(s)
	defer clear(text)
	for i, c := range text {
		switch {
		case c < 33 || c > 126:
			return "", nil, errBech32m
		case 'a' <= c && c <= 'z':
			lower = true
		case 'A' <= c && c <= 'Z':
			upper = true
			text[i] = c + 'a' - 'A'
		case c == '1':
			separator = i
		}
	}
	if lower && upper || separator < 1 || len(text)-separator-1 < bech32mChecksum {
		return "", nil, errBech32m
	}
	hrp = string(text[:separator])
	register := startChecksum(hrp)
	values = make([]byte, 0, len(text))
	bad := 0
	for _, c := range text[separator+1:] {
		v, ok := fromChar(c)
		bad |= 1 - ok
		register = polymod(register, v)
		values = append(values, v)
	}
	if bad != 0 || register != bech32mConst {
		clear(values)
		return "", nil, errBech32m
	}
	return hrp, values[:len(values)-bech32mChecksum], nil
}

// toChar returns the character of a 5-bit value.
func toChar(v byte) byte {
	var c byte
	for i := range len(bech32mAlphabet) {
		c |= bech32mAlphabet[i] & -byte(subtle.ConstantTimeByteEq(v, byte(i)))
	}
	return c
}

// fromChar returns the 5-bit value of a character, and 1 when there is one, else 0.
func fromChar(c byte) (v byte, ok int) {
	for i := range len(bech32mAlphabet) {
		eq := subtle.ConstantTimeByteEq(c, bech32mAlphabet[i])
		v |= byte(i) & -byte(eq)
		ok |= eq
	}
	return v, ok
}

// regroup turns groups of from bits into groups of to bits, most significant first. With pad the
// last group is filled with zero bits; without, left-over bits must be fewer than from and zero.
func regroup(in []byte, from, to uint, pad bool) ([]byte, error) {
	out := make([]byte, 0, (uint(len(in))*from+to-1)/to)
	var acc uint32
	var bits uint
	for _, v := range in {
		acc = acc<<from | uint32(v)
		for bits += from; bits >= to; {
			bits -= to
			out = append(out, byte(acc>>bits&(1<<to-1)))
		}
		acc &= 1<<bits - 1
	}
	if pad && bits > 0 {
		return append(out, byte(acc<<(to-bits)&(1<<to-1))), nil
	}
	if !pad && (bits >= from || acc != 0) {
		clear(out)
		return nil, errBech32m
	}
	return out, nil
}
