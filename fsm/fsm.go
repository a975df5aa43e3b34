package fsm

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// DefaultRetryLimit is how many transactions the retry memory holds. It decides outcomes, so every
// node of a cluster must have the same.
const DefaultRetryLimit = 1 << 20

// Options are for New.
type Options struct {
	// Fatal is called once, when the log holds a command that this release does not know or that is
	// damaged. From then on nothing is applied. It should take the node out of service; nil panics.
	Fatal func(error)

	// RetryLimit replaces DefaultRetryLimit, for tests.
	RetryLimit int

	Logger *slog.Logger // nil: silent
}

// FSM is the replicated state machine of one node. It implements raft.FSM and raft.BatchingFSM;
// those methods are Raft's alone to call, the others are safe for everyone.
type FSM struct {
	fatal func(error)  // immutable
	log   *slog.Logger // immutable

	state   *state   // owned by Raft's apply goroutine
	changes []Change // of the batch being applied; owned by Raft's apply goroutine

	view atomic.Pointer[View] // written under mu

	mu      sync.Mutex
	err     error   // guarded by mu: what stopped it
	feeds   []*Feed // guarded by mu
	waiters waiters // guarded by mu
}

var _ raft.BatchingFSM = (*FSM)(nil)

// New returns an empty state machine at index 0.
func New(o Options) *FSM {
	f := &FSM{fatal: o.Fatal, log: o.Logger}
	if f.fatal == nil {
		f.fatal = func(err error) { panic(err) }
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	limit := o.RetryLimit
	if limit <= 0 {
		limit = DefaultRetryLimit
	}
	f.state = newState(limit)
	f.view.Store(f.state.snapshot())
	return f
}

// View returns the state after the last batch of commands, without a lock.
func (f *FSM) View() *View { return f.view.Load() }

// Err returns what stopped the state machine, or nil.
func (f *FSM) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Apply applies one log entry. See ApplyBatch.
func (f *FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies log entries in order and publishes one View for all of them before it returns.
// The answer to a batch command is []Outcome, one for each transaction; to a checkpoint Checkpoint;
// to dropping tombstones Dropped; to an entry that is no command nil; and, once the state machine
// stopped, the error that stopped it.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	err := f.Err()
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		if err == nil {
			answers[i], err = f.apply(l.Index, l.Data)
		}
		if err != nil {
			answers[i] = err
		}
	}
	f.publish(false)
	if err != nil {
		f.stop(err)
	}
	return answers
}

// apply applies one command. An error leaves the state as it was.
func (f *FSM) apply(index uint64, data []byte) (any, error) {
	s := f.state
	if index <= s.index {
		return nil, fmt.Errorf("fsm: log entry %d follows %d, which is applied", index, s.index)
	}
	c, err := DecodeCommand(data)
	if err != nil {
		return nil, fmt.Errorf("log entry %d: %w", index, err)
	}
	s.begin(index, c.Stamp)
	switch c.Kind {
	case CommandCheckpoint:
		s.checkpoint = Checkpoint{index, s.digest()}
		return s.checkpoint, nil
	case CommandDropTombstones:
		return s.dropTombstones(), nil
	}
	outcomes := make([]Outcome, len(c.Txns))
	for i := range c.Txns {
		t := &c.Txns[i]
		outcomes[i] = s.commit(t)
		if outcomes[i].Status == Applied {
			f.changes = append(f.changes, Change{Index: index, Stamp: s.logTime, Event: t.Event, Refs: outcomes[i].Refs})
		}
	}
	return outcomes, nil
}

// publish makes the state the current View and tells everyone who waits for it.
func (f *FSM) publish(reset bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !reset && f.state.index == f.view.Load().Index() {
		return
	}
	v := f.state.snapshot()
	f.view.Store(v)
	for _, d := range f.feeds {
		d.push(f.changes, reset)
	}
	clear(f.changes)
	f.changes = f.changes[:0]
	f.wakeWaiters(v.Index(), nil)
}

// stop ends the state machine: the first error is kept, told to the node and to everyone who waits.
func (f *FSM) stop(err error) {
	f.mu.Lock()
	first := f.err == nil
	if first {
		f.err = err
		f.wakeWaiters(0, err)
		for _, d := range f.feeds {
			d.notify()
		}
	}
	f.mu.Unlock()
	if first {
		f.log.Error("the state machine stopped: nothing more is applied on this node", "error", err)
		f.fatal(err)
	}
}

// Snapshot returns the state as it is, in O(1). It refuses once the state machine stopped: Raft would
// take it to include the entry that was not applied.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.Err(); err != nil {
		return nil, err
	}
	return &snapshot{f.View()}, nil
}

// Restore replaces the state with a snapshot's. Everything is verified before anything is replaced:
// on an error the state is as before. Subscribers get a Reset.
func (f *FSM) Restore(r io.ReadCloser) error {
	defer r.Close()
	if err := f.Err(); err != nil {
		return err
	}
	s, err := readSnapshot(r, f.state.limit)
	if err != nil {
		return err
	}
	f.state = s
	f.changes = f.changes[:0]
	f.publish(true)
	f.log.Info("state restored from a snapshot", "index", s.index, "remembered", s.memos.Len())
	return nil
}
