package transport

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkCall is one round trip over loopback, TLS included: one at a time, and many at once on the
// one connection.
func BenchmarkCall(b *testing.B) {
	nodes := newNetwork(b).nodes("a", "b")
	nodes[1].Handle("echo", echo)
	for _, size := range []int{64, 4 << 10, 256 << 10} {
		payload := make([]byte, size)
		call := func() {
			if _, err := nodes[0].Call(context.Background(), "b", "echo", payload); err != nil {
				b.Error(err)
			}
		}
		b.Run(fmt.Sprintf("%d/one", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				call()
			}
		})
		b.Run(fmt.Sprintf("%d/many", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					call()
				}
			})
		})
	}
}

// BenchmarkDial is what a redial costs: TCP, TLS with both certificates, hello.
func BenchmarkDial(b *testing.B) {
	nodes := newNetwork(b).nodes("a", "b")
	b.ReportAllocs()
	for b.Loop() {
		s, err := nodes[0].dial(context.Background(), "b", "", ChannelRPC)
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}
