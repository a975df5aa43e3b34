package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/storage"
	"github.com/lockstep-kms/lockstep/transport"
)

// Replica is one node's part in the cluster. Safe for concurrent use.
type Replica struct {
	cfg       Config
	id        *Identity
	name      string
	nodeID    string
	timing    Timing
	clock     Clock
	log       *slog.Logger
	fsm       *fsm.FSM
	transport *transport.Transport

	store   *storage.LogStore
	entries raft.LogStore // store behind a cache; its reads never park
	wire    *raft.NetworkTransport
	raft    *raft.Raft

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	closed sync.Once

	reign    atomic.Pointer[reign] // set while this node leads and has applied what was acknowledged before
	rounds   *gate[uint64]         // the leader's read index rounds
	polls    *gate[polled]         // this node's polls of the leader
	queue    *queue                // transactions that wait to be packed or forwarded
	flights  chan flight           // entries given to Raft, in order
	forwards chan struct{}         // a token for each batch on its way to the leader
	waiters  atomic.Int64          // of Confirm
	overflow atomic.Uint64         // counts those that Confirm refused for want of a place

	lease     leaseKeeper
	trouble   atomic.Pointer[error]    // of the log; nil when none
	unfit     atomic.Pointer[string]   // why this node is quarantined; latched
	split     atomic.Bool              // the digests have no majority
	formed    atomic.Uint64            // index of the last configuration committed, as applied here
	outcast   atomic.Pointer[string]   // why the leader does not count this node as a member; nil when it does
	timeline  atomic.Pointer[timeline] // the voters' median clock; nil before the first poll
	longBound longest                  // longest revocation bound that a lease may still have
	changes   atomic.Uint64            // of the leader known here
	handed    atomic.Int64             // boot time of the last attempt to hand leadership over

	mu   sync.Mutex
	jobs []job // guarded by mu
}

// Open starts the node's part in the cluster. It returns as soon as Raft runs; forming or joining
// goes on in the background.
func Open(cfg Config) (*Replica, error) {
	if cfg.Identity == nil || cfg.Transport == nil || cfg.Opened == nil {
		return nil, errorf(KindInvalid, "Identity, Transport and Opened are required")
	}
	if cfg.Bound == nil {
		cfg.Bound = func() time.Duration { return time.Minute }
	}
	if cfg.Unfit == nil {
		cfg.Unfit = func() string { return "" }
	}
	if cfg.Longest == nil {
		cfg.Longest = cfg.Bound
	}
	if cfg.Clock == nil {
		cfg.Clock = systemClock{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.RaftLogger == nil {
		cfg.RaftLogger = cfg.Logger
	}
	own := cfg.Identity.cfg
	r := &Replica{
		cfg: cfg, id: cfg.Identity, name: own.Name, nodeID: own.Dir.NodeID(), timing: cfg.Timing.withDefaults(),
		clock: cfg.Clock, log: cfg.Logger, fsm: own.FSM, transport: cfg.Transport,
		queue: newQueue(), flights: make(chan flight, maxFlights), forwards: make(chan struct{}, maxForwards),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.rounds = newGate(r.ctx, 0, r.round)
	r.polls = newGate(r.ctx, r.timing.PollGap, r.poll)
	if err := r.startRaft(); err != nil {
		r.cancel()
		return nil, err
	}
	fresh := r.fresh
	r.id.fresh.Store(&fresh)
	r.register()
	r.tasks.Go(r.lead)
	r.tasks.Go(r.dispatch)
	r.tasks.Go(r.keepLease)
	r.tasks.Go(r.belong)
	r.tasks.Go(r.watchMembers)
	go r.settleFlights() // apart from tasks: Raft forgets some futures when it shuts down
	return r, nil
}

// Close hands leadership over, when held, and stops. The transport and the data directory must
// outlive it.
func (r *Replica) Close() error {
	var err error
	r.closed.Do(func() {
		select {
		case <-r.handOver("this node is stopping"):
		case <-time.After(4 * r.timing.ElectionTimeout):
		}
		r.cancel()
		r.queue.close()
		err = r.stopRaft()
		r.tasks.Wait()
	})
	return err
}

// waitView waits until this node shows what was committed up to index: in the catalog, or when the
// node is sealed in the state machine.
func (r *Replica) waitView(ctx context.Context, index uint64) error {
	for {
		if r.cfg.Opened.Sealed() {
			return r.fsm.Wait(ctx, index)
		}
		err := r.cfg.Opened.WaitOpened(ctx, index)
		if err == nil || !r.cfg.Opened.Sealed() {
			return err
		}
	}
}

// leading returns the reign while this node leads, otherwise KindNotLeader.
func (r *Replica) leading() (*reign, error) {
	if g := r.reign.Load(); g != nil {
		return g, nil
	}
	return nil, errorf(KindNotLeader, "node %s does not lead", r.name)
}

func (r *Replica) noLeader() *Error {
	switch {
	case r.diskTrouble() != "":
		return errorf(KindNoQuorum, "no leader: %s", r.diskTrouble())
	default:
		return errorf(KindNoQuorum, "no leader with a majority of the nodes behind it was found")
	}
}

// contextError tells apart that the node is closing from that the caller's time is up.
func (r *Replica) contextError(kind Kind, format string, args ...any) *Error {
	if r.ctx.Err() != nil {
		return errorf(KindClosed, "the node is stopping")
	}
	return errorf(kind, format, args...)
}

func errIsContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
