package seal

import (
	"crypto/rand"
	"errors"
)

// Shamir's scheme byte by byte over GF(2^8) with the AES polynomial x^8+x^4+x^3+x+1. All arithmetic
// on secrets runs without branches or table look-ups that depend on them; the points x and the
// numbers t and n are public.

// gfMul multiplies in GF(2^8).
func gfMul(a, b byte) byte {
	var p byte
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return p
}

// gfInv returns the inverse of a as a^254; of 0, 0.
func gfInv(a byte) byte {
	r := byte(1)
	for range 7 { // 254 = 0b11111110
		a = gfMul(a, a)
		r = gfMul(r, a)
	}
	return r
}

// evaluate returns the polynomial's value at x; coefficients[0] is the constant term, the secret.
func evaluate(coefficients []byte, x byte) byte {
	var y byte
	for i := len(coefficients) - 1; i >= 0; i-- {
		y = gfMul(y, x) ^ coefficients[i]
	}
	return y
}

// split returns n points' values, at x = 1..n, any t of which give key back. The coefficients are
// uniformly random, zero included: leaving zero out would tell something to t-1 holders.
func split(key []byte, t, n int) [][]byte {
	coefficients := make([]byte, t)
	defer clear(coefficients)
	ys := make([][]byte, n)
	for i := range ys {
		ys[i] = make([]byte, len(key))
	}
	for i, b := range key {
		rand.Read(coefficients[1:])
		coefficients[0] = b
		for j := range ys {
			ys[j][i] = evaluate(coefficients, byte(j+1))
		}
	}
	return ys
}

var errPoints = errors.New("seal: points of a split are missing, zero or repeated")

// combine writes the secret into key from the points (xs[i], ys[i]): as many as the threshold it
// was split with, each y as long as key.
func combine(key, xs []byte, ys [][]byte) error {
	if len(xs) == 0 || len(xs) != len(ys) {
		return errPoints
	}
	clear(key)
	for i, xi := range xs {
		basis := byte(1) // the Lagrange basis polynomial of point i, at 0
		for j, xj := range xs {
			if i == j {
				continue
			}
			if xi == xj {
				return errPoints
			}
			basis = gfMul(basis, gfMul(xj, gfInv(xi^xj)))
		}
		if xi == 0 || len(ys[i]) != len(key) {
			return errPoints
		}
		for k := range key {
			key[k] ^= gfMul(ys[i][k], basis)
		}
	}
	return nil
}
