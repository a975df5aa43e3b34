package replica

import (
	"context"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/transport"
)

// Identity is who this node is and whom it accepts. It is made before the transport, whose hooks
// Local, Check and Resolve are its methods.
type Identity struct{ cfg IdentityConfig }

// NewIdentity makes the identity of a node.
func NewIdentity(cfg IdentityConfig) *Identity { return &Identity{cfg: cfg} }

// Hello is what this node tells of itself.
func (i *Identity) Hello() transport.Hello { return transport.Hello{} }

// Check refuses a peer of another cluster, a removed name and a replaced incarnation.
func (i *Identity) Check(p transport.Peer) error { return nil }

// Resolve returns host:port of the node called name.
func (i *Identity) Resolve(name string) (string, error) { return "", nil }

// Hint sets where Resolve looks when a node is not where its record and the configuration say; nil for nowhere.
func (i *Identity) Hint(addr func(name string) (string, bool)) {}

// Member is one member of the cluster as the leader sees it.
type Member struct {
	ID, Name, APIAddr, PeerAddr, Version string
	FeatureLevel                         uint32
	Voter, Leader, Sealed, Healthy       bool
	Applied                              uint64
}

// Status is what this node says of itself.
type Status struct {
	Member     bool   // has a place in the cluster
	Leader     bool   // leads and has everything applied that was acknowledged before
	LeaderName string // "" when none is known
	Term       uint64
	Applied    uint64        // index of the last command applied
	Opened     uint64        // index opened
	Lag        time.Duration // since the view was last known to be fresh; negative when it never was
	CanWrite   bool          // a proposal made now has a leader to go to
	Reason     string        // when CanWrite is false or the node is unwell: which and why, for an operator

	Quarantined string // why, or ""
	DiskTrouble string // why, or ""
	Split       bool   // the nodes' states differ and none has a majority

	ClockOK     bool // within 10 s of the voters' median, as far as known
	ClockOffset time.Duration
}

// Replica is one node's part in the cluster. Safe for concurrent use.
type Replica struct{}

// Open starts the node's part in the cluster. It returns as soon as Raft runs; forming or joining
// goes on in the background.
func Open(cfg Config) (*Replica, error) { return nil, errorf(KindClosed, "the replica is not running") }

// Close hands leadership over, when held, and stops. The transport must outlive it, the data
// directory too.
func (r *Replica) Close() error { return nil }

// Propose replicates t and returns what became of it once this node has opened the result.
// The error is an *Error.
func (r *Replica) Propose(ctx context.Context, t *fsm.Txn) (fsm.Outcome, error) {
	return fsm.Outcome{}, errorf(KindClosed, "the replica is not running")
}

// Confirm returns nil once this node has opened everything that was acknowledged anywhere before
// the call; otherwise, within Timing.Confirm, KindCannotConfirm.
func (r *Replica) Confirm(ctx context.Context) error {
	return errorf(KindClosed, "the replica is not running")
}

// Lease returns nil while the freshness lease holds, else KindNoLease or KindQuarantined.
func (r *Replica) Lease() error { return errorf(KindNoLease, "the replica is not running") }

// AwaitAll returns once every member has opened index, is sealed, or is past its last possible lease.
// When ctx ends first it returns the names of the members still awaited, and no error.
func (r *Replica) AwaitAll(ctx context.Context, index uint64) (awaiting []string, err error) {
	return nil, errorf(KindClosed, "the replica is not running")
}

// LogNow is the time in Unix milliseconds that a proposal made now would get, as far as known here.
func (r *Replica) LogNow() int64 { return 0 }

// Members lists the members, asking the leader; without one, what is known here.
func (r *Replica) Members(ctx context.Context) ([]Member, error) { return nil, nil }

// Allow lets the node called name join, although it is not expected or was removed.
func (r *Replica) Allow(ctx context.Context, name string) (index uint64, err error) { return 0, nil }

// Remove removes the member called name; it stays out until allowed.
func (r *Replica) Remove(ctx context.Context, name string) (index uint64, err error) { return 0, nil }

// Status says how this node is.
func (r *Replica) Status() Status { return Status{} }

// Due reports, on the leader, whether a majority of the voters say that t (Unix milliseconds) has
// passed, in calm times: what irreversible work has to ask first.
func (r *Replica) Due(t int64) bool { return false }

// Schedule adds a job: on a leader whose clock agrees with the voters', run is called every
// Timing.Schedule.
func (r *Replica) Schedule(name string, run func(ctx context.Context) error) {}

var _ time.Duration
