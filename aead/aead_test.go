package aead

import (
	"testing"
)

func BenchmarkSeal(b *testing.B) {
	key := make([]byte, KeySize)
	info := make([]byte, 20)
	aad := make([]byte, 64)
	pt := make([]byte, 32)
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Seal(dst, key, "lockstep/bench/1", info, aad, pt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	key := make([]byte, KeySize)
	info := make([]byte, 20)
	aad := make([]byte, 64)
	body, _ := Seal(nil, key, "lockstep/bench/1", info, aad, make([]byte, 32))
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(dst, key, "lockstep/bench/1", info, aad, body); err != nil {
			b.Fatal(err)
		}
	}
}
