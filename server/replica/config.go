package replica

import (
	"context"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/storage"
	"github.com/lockstep-kms/lockstep/transport"
)

// FeatureLevel is the level of record and command kinds that this build understands. A node
// advertises it; new kinds are written only when every voter advertises their level.
const FeatureLevel = 1

// Peer is a node expected to form the cluster.
type Peer struct {
	Name string
	Addr string // host:port of its transport
}

// Opened is the node's opened view, the catalog.
type Opened interface {
	OpenedIndex() uint64
	// WaitOpened returns nil once OpenedIndex is at least index, an error when the node is or gets
	// sealed or ctx ends.
	WaitOpened(ctx context.Context, index uint64) error
	Sealed() bool
}

// Clock is time as this package sees it; tests shift it.
type Clock interface {
	Wall() time.Time     // what the node believes the date to be
	Boot() time.Duration // since some fixed moment, running through suspend and never set
}

// Config makes a Replica. Identity, Transport and Opened are required; every zero elsewhere means
// its default.
type Config struct {
	Identity  *Identity
	Transport *transport.Transport
	Opened    Opened
	// Bound returns the revocation bound now; default 60 s. Called for every lease check.
	Bound func() time.Duration
	// Longest returns the longest bound that a lease may still have on a node that has not heard of
	// the present one; default Bound.
	Longest func() time.Duration
	// Unfit says why this node should not lead although its log is well, or ""; default "".
	Unfit      func() string
	Clock      Clock
	Timing     Timing
	Log        storage.LogOptions // OnTrouble and OnRecovered are taken by the replica
	Logger     *slog.Logger
	RaftLogger *slog.Logger // of Raft's own lines; nil: Logger
	// Events is told what changes. It must not block; nil: nobody listens.
	Events func(Event)
	// ApplyHook, for tests, sees every entry before it is applied on this node and may change it.
	ApplyHook func(*raft.Log)
}

// Timing holds every duration and count. The zero value is replaced by the defaults.
type Timing struct {
	HeartbeatTimeout, ElectionTimeout, LeaderLease, CommitTimeout time.Duration // 400 ms, 400 ms, 300 ms, 5 ms

	TrailingLogs, SnapshotThreshold uint64        // 200,000 and 50,000
	SnapshotInterval                time.Duration // 30 s

	Propose time.Duration // how long a proposal looks for a leader, and from a fault on for its outcome: 2 s
	Confirm time.Duration // how long Confirm tries: 1 s
	PollGap time.Duration // least time between polls that Confirm causes: 5 ms

	Join       time.Duration // between attempts to form or join: 250 ms
	Contact    time.Duration // a member heard of within this is alive and not replaced: 5 s
	Stable     time.Duration // a new member is promoted after so long in contact: 10 s
	Checkpoint time.Duration // between digest comparisons: 1 min
	Schedule   time.Duration // between looks for scheduled work: 1 min
	Calm       time.Duration // scheduled work waits so long after an election or a clock jump: 5 min
	Duty       time.Duration // between the leader's looks at membership and at itself: 200 ms
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&t.HeartbeatTimeout, 400*time.Millisecond)
	set(&t.ElectionTimeout, 400*time.Millisecond)
	set(&t.LeaderLease, min(300*time.Millisecond, t.HeartbeatTimeout))
	set(&t.CommitTimeout, 5*time.Millisecond)
	set(&t.SnapshotInterval, 30*time.Second)
	set(&t.Propose, 2*time.Second)
	set(&t.Confirm, time.Second)
	set(&t.PollGap, 5*time.Millisecond)
	set(&t.Join, 250*time.Millisecond)
	set(&t.Contact, 5*time.Second)
	set(&t.Stable, 10*time.Second)
	set(&t.Checkpoint, time.Minute)
	set(&t.Schedule, time.Minute)
	set(&t.Calm, 5*time.Minute)
	set(&t.Duty, 200*time.Millisecond)
	if t.TrailingLogs == 0 {
		t.TrailingLogs = 200_000
	}
	if t.SnapshotThreshold == 0 {
		t.SnapshotThreshold = 50_000
	}
	return t
}
