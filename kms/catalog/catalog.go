package catalog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/seal"
)

// Catalog opens the records of a state machine while the node is unsealed. It is safe for concurrent
// use.
type Catalog struct {
	fsm       *fsm.FSM
	partition string
	log       *slog.Logger

	session atomic.Pointer[session] // nil while sealed; written under life

	life   sync.Mutex         // one Unseal or Seal at a time
	cancel context.CancelFunc // guarded by life: ends the follower
	ended  chan struct{}      // guarded by life: closed when it ended
	feed   *fsm.Feed          // guarded by life

	mu      sync.Mutex
	waiters map[*waiter]struct{} // guarded by mu
}

// New returns a sealed catalog. partition is that of ARNs ("aws"); a nil logger is silent.
func New(f *fsm.FSM, partition string, logger *slog.Logger) *Catalog {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Catalog{fsm: f, partition: partition, log: logger, waiters: map[*waiter]struct{}{}}
}

// Unseal opens everything there is and follows the state machine from then on. The catalog owns the
// barrier from the call on and wipes it at Seal, when it is unsealed already, or when Unseal fails:
// with ctx's error or with what stopped the state machine.
func (c *Catalog) Unseal(ctx context.Context, b *seal.Barrier) error {
	c.life.Lock()
	defer c.life.Unlock()
	if c.session.Load() != nil {
		b.Wipe()
		return nil
	}
	s, feed := newSession(b, c.partition, c.log), c.fsm.Subscribe(0)
	batch, err := feed.Next(ctx)
	builder := newBuilder(s, c.partition, c.log, nil)
	if err == nil {
		err = builder.load(batch.View)
	}
	if err != nil {
		feed.Close()
		b.Wipe()
		return err
	}
	s.view.Store(builder.publish(batch.View))
	c.session.Store(s)
	c.wake(nil)
	following, cancel := context.WithCancel(context.Background())
	c.cancel, c.ended, c.feed = cancel, make(chan struct{}), feed
	go c.follow(following, s, builder, feed, c.ended)
	return nil
}

// follow publishes what the state machine applies until ctx ends. It owns the builder.
func (c *Catalog) follow(ctx context.Context, s *session, b *builder, feed *fsm.Feed, ended chan<- struct{}) {
	defer close(ended)
	defer feed.Close()
	for {
		batch, err := feed.Next(ctx)
		if err == nil {
			b, err = c.advance(s, b, batch)
		}
		if err != nil {
			if ctx.Err() == nil {
				c.log.Error("the catalog stands still: it no longer follows the state machine", "index", s.view.Load().Index(), "error", err)
			}
			return
		}
	}
}

// advance publishes one batch. After a Reset it begins with new trees.
func (c *Catalog) advance(s *session, b *builder, batch fsm.Batch) (*builder, error) {
	var err error
	if batch.Reset {
		b = newBuilder(s, c.partition, c.log, s.view.Load())
		err = b.load(batch.View)
		s.keepOnly(batch.View, b.kept)
		b.inherit, b.kept = nil, nil
	} else {
		err = b.update(batch.View, batch.Changes)
	}
	if err != nil {
		return b, err
	}
	s.view.Store(b.publish(batch.View))
	c.wake(nil)
	return b, nil
}

// Seal closes the gate, waits up to 5 s for those who hold the view, and wipes everything that was
// opened, the barrier too. On a sealed catalog it does nothing.
func (c *Catalog) Seal() { c.sealWithin(drainTime) }

func (c *Catalog) sealWithin(limit time.Duration) {
	c.life.Lock()
	defer c.life.Unlock()
	s := c.session.Load()
	if s == nil {
		return
	}
	s.closed.Store(true)
	c.session.Store(nil)
	c.wake(errSealed())
	c.cancel()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	s.drain(timer.C)
	<-c.ended
	s.wipe()
}

// Sealed reports whether the catalog is sealed.
func (c *Catalog) Sealed() bool { return c.session.Load() == nil }

// View returns the opened state, nil while sealed. Requests use Hold instead.
func (c *Catalog) View() *View {
	if s := c.session.Load(); s != nil {
		return s.view.Load()
	}
	return nil
}

// OpenedIndex returns the index of View; 0 while sealed.
func (c *Catalog) OpenedIndex() uint64 {
	if v := c.View(); v != nil {
		return v.Index()
	}
	return 0
}

// RevocationBound returns the setting of that name as the view has it, or its default while sealed.
func (c *Catalog) RevocationBound() time.Duration {
	if v := c.View(); v != nil {
		return v.RevocationBound()
	}
	return kms.DefaultRevocationBound
}

// errSealed says why there is no view. A node that has applied nothing yet, as after a restart without
// contact, does not know whether the cluster is initialized; that it is sealed is true anyway.
func (c *Catalog) errSealed() error {
	if v := c.fsm.View(); v.Index() > 0 && v.Count(fsm.KindSealConfig) == 0 {
		return kms.Errorf(kms.CodeNotInitialized, "The cluster is not initialized.")
	}
	return errSealed()
}

// waiter is one call of WaitOpened.
type waiter struct {
	index uint64        // immutable
	done  chan struct{} // closed when the index is opened or the catalog is sealed
	err   error         // set before done is closed
}

// WaitOpened returns nil once OpenedIndex is at least index. Errors: ctx's, and CodeSealed or
// CodeNotInitialized when the catalog is sealed or gets sealed meanwhile.
func (c *Catalog) WaitOpened(ctx context.Context, index uint64) error {
	if v := c.View(); v != nil && v.Index() >= index {
		return nil
	}
	c.mu.Lock()
	switch v := c.View(); {
	case v == nil:
		c.mu.Unlock()
		return c.errSealed()
	case v.Index() >= index:
		c.mu.Unlock()
		return nil
	}
	w := &waiter{index: index, done: make(chan struct{})}
	c.waiters[w] = struct{}{}
	c.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiters, w)
		c.mu.Unlock()
		return ctx.Err()
	}
}

// wake ends the waits that the opened index satisfies, or all of them with err.
func (c *Catalog) wake(err error) {
	index := c.OpenedIndex()
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.waiters {
		if err != nil || w.index <= index {
			w.err = err
			delete(c.waiters, w)
			close(w.done)
		}
	}
}
