package replica

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/transport"
)

// A proposal's way: Propose puts a pending into the queue; the dispatcher, one goroutine, takes as
// many as fit and either packs them into one log entry (leader) or sends them to the leader; the
// outcomes come back in order. What failed and may be tried again returns to the queue, unchanged:
// the state machine knows a transaction by its id, so proposing it twice applies it once.
const (
	maxQueued    = 4096      // transactions waiting on one node
	maxFlights   = 8         // entries given to Raft and not yet applied
	maxForwards  = 4         // batches on their way to the leader
	forwardBytes = 512 << 10 // of one batch
	forwardTxns  = 1024
	entryBytes   = fsm.MaxCommand - fsm.BatchOverhead
	enqueueLimit = 500 * time.Millisecond // for Raft to take an entry; it does not while it writes
)

// pending is a transaction on its way.
type pending struct {
	txn    *fsm.Txn
	wire   []byte // fsm.EncodeTxn
	size   int    // in an entry
	remote bool   // came from another node, which tries again itself
	inner  bool   // concerns the membership: goes on while the states are split, for a split to be repaired
	done   chan struct{}

	outcome fsm.Outcome // set before done is closed
	err     error       // set before done is closed

	state atomic.Int32 // queued, flying or abandoned
	// unknown says that an attempt may have reached a log; from fault on the outcome is looked for.
	unknown atomic.Bool
	fault   atomic.Int64 // boot time of the first such attempt; 0: none
}

const (
	queued int32 = iota
	flying
	abandoned
)

func newPending(t *fsm.Txn, wire []byte) *pending {
	return &pending{txn: t, wire: wire, size: fsm.TxnSize(t), done: make(chan struct{})}
}

func (p *pending) finish(o fsm.Outcome, err error) {
	p.outcome, p.err = o, err
	close(p.done)
}

// queue is the transactions that wait to be packed or forwarded.
type queue struct {
	wake chan struct{} // has a token when the dispatcher should look

	mu      sync.Mutex
	items   []*pending // guarded by mu
	refused uint64     // guarded by mu: counts those for which there was no place
	closed  bool       // guarded by mu
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push adds transactions, all or none. Those that return from an attempt always fit.
func (q *queue) push(again bool, items ...*pending) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return errorf(KindClosed, "the node is stopping")
	case !again && len(q.items)+len(items) > maxQueued:
		q.refused += uint64(len(items))
		return errorf(KindThrottled, "too many changes wait to be replicated")
	}
	q.items = append(q.items, items...)
	q.nudge()
	return nil
}

// nudge has the dispatcher look.
func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take claims waiting transactions within the limits, at least one if there is one that want accepts.
func (q *queue) take(maxBytes, maxTxns int, want func(*pending) bool) (batch []*pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size, kept := 0, q.items[:0]
	full := false
	for _, p := range q.items {
		if p.state.Load() == abandoned {
			continue
		}
		if full || !want(p) {
			kept = append(kept, p)
			continue
		}
		if len(batch) > 0 && (size+p.size > maxBytes || len(batch) == maxTxns) {
			full = true
			kept = append(kept, p)
			continue
		}
		if p.state.CompareAndSwap(queued, flying) {
			batch, size = append(batch, p), size+p.size
		}
	}
	clear(q.items[len(kept):])
	q.items = kept
	return batch
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.items = true, nil
}

// Propose replicates t and returns what became of it once this node has opened the result. It looks
// for a leader for Timing.Propose, and from the moment on that an attempt may have been logged for as
// long again for the outcome. The error is an *Error.
func (r *Replica) Propose(ctx context.Context, t *fsm.Txn) (fsm.Outcome, error) {
	return r.propose(ctx, t, false)
}

func (r *Replica) propose(ctx context.Context, t *fsm.Txn, inner bool) (fsm.Outcome, error) {
	if err := r.refusesProposals(); err != nil {
		return fsm.Outcome{}, err
	}
	wire, err := fsm.EncodeTxn(t)
	if err != nil {
		return fsm.Outcome{}, errorf(KindInvalid, "not a transaction: %v", err)
	}
	p := newPending(t, wire)
	p.inner = inner
	if p.size > entryBytes {
		return fsm.Outcome{}, errorf(KindTooLarge, "a change of %d bytes does not fit a log entry", p.size)
	}
	if err := r.queue.push(false, p); err != nil {
		return fsm.Outcome{}, err
	}
	outcome, err := r.attend(ctx, p)
	if err != nil {
		return fsm.Outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.timing.Propose)
	defer cancel()
	if err := r.waitView(ctx, outcome.Index); err != nil {
		return outcome, errorf(KindOutcomeUnknown, "the change was decided at index %d, which this node has not reached", outcome.Index)
	}
	if first, met := r.fsm.View().Txn(t.ID, t.Request); met && outcome.Refs == nil {
		outcome.Refs = first.Refs // the leader does not send what this node knows by now
	}
	return outcome, nil
}

// refusesProposals says why this node takes no proposals now.
func (r *Replica) refusesProposals() error {
	switch {
	case r.ctx.Err() != nil:
		return errorf(KindClosed, "the node is stopping")
	case r.quarantined() != "":
		return errorf(KindQuarantined, "%s", r.quarantined())
	case r.diskTrouble() != "":
		return errorf(KindDisk, "this node takes no changes: %s", r.diskTrouble())
	}
	return nil
}

// attend waits until p is done or its time is up.
func (r *Replica) attend(ctx context.Context, p *pending) (fsm.Outcome, error) {
	timer := time.NewTimer(r.timing.Propose)
	defer timer.Stop()
	for {
		select {
		case <-p.done:
			return p.outcome, p.err
		case <-timer.C:
			if fault := p.fault.Load(); fault != 0 {
				if left := time.Duration(fault) + r.timing.Propose - r.clock.Boot(); left > 0 {
					timer.Reset(left)
					continue
				}
			}
		case <-ctx.Done():
		case <-r.ctx.Done():
		}
		return r.giveUp(p)
	}
}

// giveUp stops waiting for p and takes it out of the queue. Only what never left the queue is known
// to have failed.
func (r *Replica) giveUp(p *pending) (fsm.Outcome, error) {
	inQueue := p.state.Swap(abandoned) == queued
	if o, met := r.fsm.View().Txn(p.txn.ID, p.txn.Request); met {
		return o, nil
	}
	select {
	case <-p.done:
		return p.outcome, p.err
	default:
	}
	if inQueue && !p.unknown.Load() {
		return fsm.Outcome{}, r.contextError(KindNoQuorum, "no leader took the change in time; it was not made")
	}
	return fsm.Outcome{}, errorf(KindOutcomeUnknown, "the change was sent, but its outcome is not known")
}

// dispatch is the goroutine that takes transactions from the queue.
func (r *Replica) dispatch() {
	var again <-chan time.Time // set while there is nobody to send to
	for {
		select {
		case <-r.queue.wake:
		case <-again:
		case <-r.ctx.Done():
			return
		}
		again = nil
		for r.send() {
		}
		if r.queue.waiting() {
			again = time.After(leaderRetry)
		}
	}
}

// send gives one batch on its way; false when there is nothing to send or nobody to send it to.
func (r *Replica) send() bool {
	if g := r.reign.Load(); g != nil {
		split := r.split.Load()
		if split {
			outer := r.queue.take(math.MaxInt, math.MaxInt, func(p *pending) bool { return !p.inner })
			r.settle(outer, errorf(KindSplit, "%s", splitReason), false)
		}
		batch := r.queue.take(entryBytes, fsm.MaxTxns, func(p *pending) bool { return p.inner || !split })
		return len(batch) > 0 && r.pack(g, batch)
	}
	for _, p := range r.queue.take(forwardBytes, forwardTxns, func(p *pending) bool { return p.remote }) {
		p.finish(fsm.Outcome{}, errorf(KindNotLeader, "node %s does not lead", r.name))
	}
	leader := r.leaderName()
	if leader == "" || leader == r.name {
		return false
	}
	select {
	case r.forwards <- struct{}{}:
	default: // the next to come back wakes the dispatcher, which must be free to lead meanwhile
		return false
	}
	batch := r.queue.take(forwardBytes, forwardTxns, func(p *pending) bool { return !p.remote })
	if len(batch) == 0 {
		<-r.forwards
		return false
	}
	go func() {
		r.forward(leader, batch)
		<-r.forwards
		r.queue.nudge()
	}()
	return true
}

func (q *queue) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) > 0
}

// flight is an entry given to Raft and what is in it.
type flight struct {
	future raft.ApplyFuture
	batch  []*pending
}

// pack writes a batch as one entry. Raft takes an entry only when its thread is not writing: what
// arrives meanwhile becomes the next, larger one.
func (r *Replica) pack(g *reign, batch []*pending) bool {
	if err := r.refusesProposals(); err != nil {
		r.settle(batch, err, false)
		return true
	}
	txns := make([]fsm.Txn, len(batch))
	for i, p := range batch {
		txns[i] = *p.txn
	}
	data, err := fsm.EncodeBatch(r.stamp(g), txns)
	if err != nil {
		r.settle(batch, errorf(KindInvalid, "not a transaction: %v", err), false)
		return true
	}
	future := r.raft.ApplyLog(raft.Log{Data: data}, enqueueLimit)
	select {
	case r.flights <- flight{future, batch}:
		return true
	case <-r.ctx.Done():
		r.settle(batch, errorf(KindClosed, "the node is stopping"), true)
		return false
	}
}

// settleFlights waits for Raft's answers, in order.
func (r *Replica) settleFlights() {
	for {
		select {
		case f := <-r.flights:
			err := f.future.Error()
			outcomes, _ := f.future.Response().([]fsm.Outcome)
			switch {
			case err != nil:
				r.settle(f.batch, err, !neverLogged(err))
			case len(outcomes) != len(f.batch):
				r.settle(f.batch, errorf(KindOutcomeUnknown, "the state machine has stopped"), true)
			default:
				for i, p := range f.batch {
					p.finish(outcomes[i], nil)
				}
			}
		case <-r.ctx.Done():
			return
		}
	}
}

// neverLogged reports whether Raft refused an entry before it could reach any log. Everything that
// is not listed here may have been logged.
func neverLogged(err error) bool {
	return errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) ||
		errors.Is(err, raft.ErrLeadershipTransferInProgress)
}

// settle ends an attempt of a whole batch that failed.
func (r *Replica) settle(batch []*pending, err error, logged bool) {
	var again []*pending
	for _, p := range batch {
		if r.retries(p, err, logged) {
			again = append(again, p)
		}
	}
	r.requeue(again)
}

// retries notes a failed attempt of p and says whether p returns to the queue; otherwise it is done.
func (r *Replica) retries(p *pending, err error, logged bool) bool {
	if logged {
		p.unknown.Store(true)
		p.fault.CompareAndSwap(0, int64(r.clock.Boot()))
	}
	switch {
	case p.remote && logged:
		p.finish(fsm.Outcome{}, errorf(KindOutcomeUnknown, "the entry may have been logged: %v", err))
		return false
	case p.remote && KindOf(err) == "":
		p.finish(fsm.Outcome{}, errorf(KindNotLeader, "%v", err))
		return false
	case p.remote || !p.unknown.Load() && !elsewhere(err):
		p.finish(fsm.Outcome{}, asError(err))
		return false
	}
	return p.state.CompareAndSwap(flying, queued) // not when nobody waits for it any more
}

// requeue puts transactions back after a moment: what just failed would fail again at once.
func (r *Replica) requeue(again []*pending) {
	if len(again) > 0 {
		time.AfterFunc(leaderRetry, func() { _ = r.queue.push(true, again...) })
	}
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if kind := KindOf(err); kind != "" {
		return &Error{Kind: kind, Msg: err.Error()}
	}
	return errorf(KindNoQuorum, "%v", err)
}

// forward sends a batch to the leader and settles it.
func (r *Replica) forward(leader string, batch []*pending) {
	ctx, cancel := context.WithTimeout(r.ctx, r.timing.Propose)
	defer cancel()
	wires := make([][]byte, len(batch))
	for i, p := range batch {
		wires[i] = p.wire
	}
	results, err := callLeader[[]proposeResult](ctx, r, leader, methodPropose, wires)
	if err == nil && len(results) != len(batch) {
		err = fmt.Errorf("the leader answered %d of %d transactions", len(results), len(batch))
	}
	if err != nil {
		r.settle(batch, err, !transport.NeverRan(err) && !refusedWhole(err))
		return
	}
	var again []*pending
	for i, p := range batch {
		outcome, err := results[i].outcome()
		switch {
		case err == nil:
			p.finish(outcome, nil)
		case r.retries(p, err, err.Kind == KindOutcomeUnknown):
			again = append(again, p)
		}
	}
	r.requeue(again)
}

// refusedWhole reports whether err is the leader's refusal of a whole batch, of which nothing was
// queued then; see servePropose.
func refusedWhole(err error) bool {
	switch KindOf(err) {
	case KindNotLeader, KindInvalid, KindTooLarge, KindThrottled, KindClosed:
		return true
	}
	return false
}

// servePropose is the leader's side of forward. The answer to what is not finished when the caller's
// time is up is that the outcome is unknown.
func (r *Replica) servePropose(ctx context.Context, wires [][]byte) ([]proposeResult, error) {
	if _, err := r.leading(); err != nil {
		return nil, err
	}
	if len(wires) > forwardTxns {
		return nil, errorf(KindTooLarge, "%d transactions in one call", len(wires))
	}
	results := make([]proposeResult, len(wires))
	batch := make([]*pending, len(wires)) // nil where results has the answer already
	var good []*pending
	for i, wire := range wires {
		t, err := fsm.DecodeTxn(wire)
		if err != nil {
			results[i] = proposeResult{Kind: KindInvalid, Msg: err.Error()}
			continue
		}
		batch[i] = newPending(t, wire)
		batch[i].remote = true
		good = append(good, batch[i])
	}
	if err := r.queue.push(false, good...); err != nil {
		return nil, err
	}
	for i, p := range batch {
		if p == nil {
			continue
		}
		select {
		case <-p.done:
			results[i] = resultOf(p.outcome, p.err)
		case <-ctx.Done():
			results[i] = r.resultOfLate(p)
		}
	}
	return results, nil
}

// resultOfLate answers for a transaction that is not done in time.
func (r *Replica) resultOfLate(p *pending) proposeResult {
	if p.state.Swap(abandoned) == queued {
		return proposeResult{Kind: KindNotLeader, Msg: "the leader did not get to it"}
	}
	select {
	case <-p.done:
		return resultOf(p.outcome, p.err)
	default:
		return proposeResult{Kind: KindOutcomeUnknown, Msg: "the leader does not know the outcome yet"}
	}
}

func resultOf(o fsm.Outcome, err error) proposeResult {
	if err != nil {
		e := asError(err)
		return proposeResult{Kind: e.Kind, Msg: e.Msg}
	}
	return proposeResult{Status: o.Status, Index: o.Index, Detail: o.Detail}
}

func (p proposeResult) outcome() (fsm.Outcome, *Error) {
	if p.Kind != "" {
		return fsm.Outcome{}, &Error{Kind: p.Kind, Msg: p.Msg}
	}
	return fsm.Outcome{Status: p.Status, Index: p.Index, Detail: p.Detail}, nil
}

// apply logs one command that is no transaction. Only the leader's own duties use it.
func (r *Replica) apply(ctx context.Context, command []byte) (any, error) {
	if err := r.refusesProposals(); err != nil {
		return nil, err
	}
	future := r.raft.ApplyLog(raft.Log{Data: command}, enqueueLimit)
	if err := await(ctx, future); err != nil {
		return nil, err
	}
	return future.Response(), nil
}
