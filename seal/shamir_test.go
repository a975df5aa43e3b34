package seal

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestField(t *testing.T) {
	if got := gfMul(0x57, 0x83); got != 0xc1 { // the worked example of FIPS 197
		t.Errorf("0x57 * 0x83 = %#x", got)
	}
	slow := func(a, b byte) byte { // polynomial product, then remainder by 0x11b
		var p uint16
		for i := range 8 {
			if b>>i&1 == 1 {
				p ^= uint16(a) << i
			}
		}
		for i := 15; i >= 8; i-- {
			if p>>i&1 == 1 {
				p ^= 0x11b << (i - 8)
			}
		}
		return byte(p)
	}
	for a := range 256 {
		for b := range 256 {
			if got, want := gfMul(byte(a), byte(b)), slow(byte(a), byte(b)); got != want {
				t.Fatalf("%#x * %#x = %#x, want %#x", a, b, got, want)
			}
		}
		if got := gfMul(byte(a), gfInv(byte(a))); a != 0 && got != 1 {
			t.Errorf("%#x times its inverse is %#x", a, got)
		}
	}
	if gfInv(0) != 0 {
		t.Error("the inverse of 0 is not 0")
	}
}

// TestAnyThresholdCombines draws t, n, a key and any t of the n points in any order.
func TestAnyThresholdCombines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, MaxShares).Draw(t, "n")
		threshold := rapid.IntRange(1, n).Draw(t, "t")
		key := rapid.SliceOfN(rapid.Byte(), keySize, keySize).Draw(t, "key")
		ys := split(bytes.Clone(key), threshold, n)

		var all, xs []byte
		for i := range n {
			all = append(all, byte(i+1))
		}
		var chosen [][]byte
		for _, x := range rapid.Permutation(all).Draw(t, "order")[:threshold] {
			xs, chosen = append(xs, x), append(chosen, ys[x-1])
		}
		got := make([]byte, keySize)
		if err := combine(got, xs, chosen); err != nil || !bytes.Equal(got, key) {
			t.Fatalf("%d of %d gave %x, %v", threshold, n, got, err)
		}
		if threshold > 1 {
			chosen[0][0] ^= 1
			if err := combine(got, xs, chosen); err != nil || bytes.Equal(got, key) {
				t.Fatalf("a changed point still combined: %v", err)
			}
		}
	})
}

func TestCombineRefuses(t *testing.T) {
	y := make([]byte, 2)
	for name, points := range map[string]struct {
		xs []byte
		ys [][]byte
	}{
		"no points":          {nil, nil},
		"zero point":         {[]byte{0, 1}, [][]byte{y, y}},
		"one zero point":     {[]byte{0}, [][]byte{y}},
		"repeated point":     {[]byte{1, 2, 1}, [][]byte{y, y, y}},
		"a value is missing": {[]byte{1, 2}, [][]byte{y}},
		"a value is shorter": {[]byte{1, 2}, [][]byte{y, y[:1]}},
	} {
		if err := combine(make([]byte, 2), points.xs, points.ys); err != errPoints {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFewerTellNothing looks at every polynomial there is, for thresholds 2 and 3: for every secret,
// the values that t-1 holders see take every possible combination equally often, exactly once. So
// what they see is as likely under any secret as under any other.
func TestFewerTellNothing(t *testing.T) {
	for _, x := range []byte{1, 2, 32} {
		for secret := range 256 {
			var seen [256]bool
			for c1 := range 256 {
				y := evaluate([]byte{byte(secret), byte(c1)}, x)
				if seen[y] {
					t.Fatalf("t=2: secret %d gives %d twice at %d", secret, y, x)
				}
				seen[y] = true
			}
		}
	}
	for secret := range 256 {
		var seen [1 << 16]bool
		for c := range 1 << 16 {
			coefficients := []byte{byte(secret), byte(c), byte(c >> 8)}
			y := int(evaluate(coefficients, 1))<<8 | int(evaluate(coefficients, 7))
			if seen[y] {
				t.Fatalf("t=3: secret %d gives %#x twice", secret, y)
			}
			seen[y] = true
		}
	}
}

// TestCoefficientsAreUniform looks for the classic mistake: a top coefficient that is never zero
// rules one secret out for t-1 holders.
func TestCoefficientsAreUniform(t *testing.T) {
	var count [256]int
	const rounds = 256 * 200
	for _, y := range split(make([]byte, rounds), 2, 1)[0] {
		count[y]++ // the secret is 0, so at x=1 the value is the coefficient
	}
	for v, n := range count {
		if n < 100 || n > 320 { // 200 expected, 7 and 8 standard deviations away
			t.Errorf("coefficient %d came %d times of %d", v, n, rounds)
		}
	}
}
