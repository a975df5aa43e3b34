package replica

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
)

// BenchmarkPropose counts proposals through a follower, each waited for until the follower opened it.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			c := newCluster(b, names(3)...)
			for _, n := range c.nodes {
				n.timing = Timing{}
			}
			c.start()
			c.settled()
			f := c.follower()
			body := make([]byte, 600) // about a key, its policy and its material
			var next, failed atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			begun := time.Now()
			for range clients {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						out, err := f.r.Propose(context.Background(), f.txn(fmt.Sprint("key", i), body))
						if err != nil || out.Status != fsm.Applied {
							failed.Add(1)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "proposals/s")
			if failed.Load() > 0 {
				b.Errorf("%d of %d failed", failed.Load(), b.N)
			}
		})
	}
}

// BenchmarkConfirm counts confirmations shared by many refusals on a follower.
func BenchmarkConfirm(b *testing.B) {
	c := newCluster(b, names(3)...)
	c.start()
	c.settled()
	f := c.follower()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f.r.Confirm(context.Background()); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkLease(b *testing.B) {
	c := newCluster(b, names(1)...)
	c.start()
	c.settled()
	n := c.leader()
	b.ReportAllocs()
	for b.Loop() {
		if err := n.r.Lease(); err != nil {
			b.Fatal(err)
		}
	}
}
