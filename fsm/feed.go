package fsm

import (
	"context"
	"errors"
)

// ErrClosed is returned by a closed Feed.
var ErrClosed = errors.New("fsm: the feed is closed")

// defaultFeedLimit is how many changes a feed holds when Subscribe is given no limit.
const defaultFeedLimit = 8192

// Feed is one subscriber's queue of changes. Applying never waits for it: a subscriber that falls
// more than its limit behind gets one Reset in place of what it missed.
type Feed struct {
	fsm   *FSM
	limit int
	wake  chan struct{} // capacity 1

	// guarded by fsm.mu
	changes []Change // not yet delivered, in the order of the log
	reset   bool
	moved   bool // the view moved since the last delivery
	closed  bool
}

// Batch is what happened since the last call of Feed.Next.
type Batch struct {
	View    *View    // the state after the last of Changes
	Changes []Change // applied transactions, in the order of the log; may be empty when only the index moved
	Reset   bool     // changes were missed or a snapshot was installed: read everything from View
}

// Subscribe returns a feed that holds up to limit undelivered changes (0: a default). Its first
// batch is a Reset.
func (f *FSM) Subscribe(limit int) *Feed {
	if limit <= 0 {
		limit = defaultFeedLimit
	}
	d := &Feed{fsm: f, limit: limit, wake: make(chan struct{}, 1), reset: true}
	f.mu.Lock()
	f.feeds = append(f.feeds, d)
	f.mu.Unlock()
	return d
}

// Next waits until the state moves past what the last call returned. Errors: ctx's, ErrClosed, and
// what stopped the state machine once everything before it is delivered. Only one goroutine may
// call it at a time.
func (d *Feed) Next(ctx context.Context) (Batch, error) {
	for {
		b, ready, err := d.take()
		if ready || err != nil {
			return b, err
		}
		select {
		case <-d.wake:
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		}
	}
}

func (d *Feed) take() (Batch, bool, error) {
	d.fsm.mu.Lock()
	defer d.fsm.mu.Unlock()
	switch {
	case d.closed:
		return Batch{}, false, ErrClosed
	case d.reset, d.moved:
		b := Batch{View: d.fsm.view.Load(), Changes: d.changes, Reset: d.reset}
		d.changes, d.reset, d.moved = nil, false, false
		return b, true, nil
	}
	return Batch{}, false, d.fsm.err
}

// Close ends the feed. Next returns ErrClosed from now on.
func (d *Feed) Close() {
	d.fsm.mu.Lock()
	defer d.fsm.mu.Unlock()
	d.closed = true
	d.changes = nil
	for i, other := range d.fsm.feeds {
		if other == d {
			d.fsm.feeds = append(d.fsm.feeds[:i:i], d.fsm.feeds[i+1:]...)
			break
		}
	}
	d.notify()
}

// push adds changes. The caller holds fsm.mu.
func (d *Feed) push(changes []Change, reset bool) {
	d.moved = true
	if reset || len(d.changes)+len(changes) > d.limit {
		d.reset = true
	}
	if d.reset {
		d.changes = nil
	} else {
		d.changes = append(d.changes, changes...)
	}
	d.notify()
}

func (d *Feed) notify() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
