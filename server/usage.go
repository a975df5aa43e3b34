package server

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

const (
	usageEvery = time.Hour   // between writes of what a node remembers of its keys' use
	usageGrace = time.Second // for the last write before a node is sealed or stops
)

// openUsage writes what is remembered of the use of keys every hour, and once more when the node stops.
func (s *Server) openUsage() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Nodes that were started together write at different times.
		for wait := usageEvery/2 + rand.N(usageEvery/2); ; wait = usageEvery {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
				s.node.writeUsage(ctx, time.Minute)
			}
		}
	}()
	s.closeLater("key usage", func() error {
		cancel()
		<-done
		s.node.writeUsage(context.Background(), usageGrace)
		return nil
	})
}

// writeUsage writes what this node remembers of the use of keys. What cannot be written now is written the next
// time, or lost when there is none: it is at most an hour's.
func (n *node) writeUsage(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := n.service.WriteUsage(ctx); err != nil && kms.CodeOf(err) != kms.CodeSealed && kms.CodeOf(err) != kms.CodeNotInitialized {
		n.log.Warn("the last use of keys could not be written", "error", err)
	}
}
