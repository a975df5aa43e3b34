package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/index"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/limit"
	"github.com/lockstep-kms/lockstep/auth/oidc"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// WaitMode says how long the answer to a change that takes rights away waits for the members.
type WaitMode uint8

// The wait modes. They mean something for operations that revoke only.
const (
	WaitDefault WaitMode = iota // for every member, at most 2 s
	WaitAll                     // until no member can honour the old state any more
	WaitNone                    // not at all
)

// Call is one request as a door hands it over. The service does not keep it.
type Call struct {
	Operation *kms.Operation
	Request   any  // a pointer to the operation's request type
	XKS       *XKS // of a call that AWS KMS makes for an external key store; Request is then what XKS says
	Auth      auth.Request

	// Refused is why the door does not understand the request. Such a call is recorded and refused,
	// no more: nobody is authenticated and Request is not looked at.
	Refused error

	// Malformed is what the door finds wrong with a request that it can read: the refusal of a caller who is
	// authenticated. Request may be nil beside it.
	Malformed error

	Region    string // "" for the first served one
	RequestID string
	Source    string // the caller's address
	UserAgent string
	Door      string // "rest", ...
	TLS       bool

	MaxPlaintext       int    // bytes that Encrypt takes from this door, default 4096 as at AWS
	IdempotencyKey     string // "": the call is not retried
	MinEpoch, MinIndex uint64 // the state to have seen at least; 0: any
	Stale              bool   // a control read need not be confirmed
	Wait               WaitMode
	Timeout            time.Duration // with WaitAll: answer after this long with who is awaited
}

// Result is what leaves. With an error only Epoch and Index are set.
type Result struct {
	Answer       any    // a pointer to the operation's answer type, or to what XKS says
	Epoch, Index uint64 // of the state that the verdict was taken on; for a change, of the change

	// Awaiting is not nil when the change is made but WaitAll's time ended first: the members that
	// may honour the old state still. It is empty when the node could not learn who they are.
	Awaiting []string
}

// Replica is the node's place in the cluster. Errors are *kms.Error.
type Replica interface {
	// Propose returns when this node's catalog opened the index of the outcome. An error is
	// CodeOutcomeUnknown unless the transaction surely was not and will not be applied.
	Propose(ctx context.Context, t *fsm.Txn) (fsm.Outcome, error)
	// Confirm returns when the catalog opened a read index whose poll was sent after the call
	// began; else CodeCannotConfirm within 1 s.
	Confirm(ctx context.Context) error
	// Lease returns nil while the freshness lease holds, else CodeNoLease with a reason. It is
	// called twice for each crypto operation and must cost next to nothing.
	Lease() error
	// Sound returns nil unless this node's state is known to be wrong: then nothing is answered from
	// it, not even to those who take an old answer.
	Sound() error
	// AwaitAll returns when every member opened the index, sealed itself or is past its last
	// possible lease; when ctx ends first, with the members still awaited and no error.
	AwaitAll(ctx context.Context, index uint64) (awaiting []string, err error)
	// LogNow returns the node's reading of log time, in ms.
	LogNow() int64
	// Due reports, on the leader, whether a majority of the voters say that t, in ms, has passed, and no
	// election or clock jump is recent: what the scheduler does asks it.
	Due(t int64) bool
}

// Cluster is the membership as operations see it. Errors are *kms.Error.
type Cluster interface {
	Members(ctx context.Context) ([]kms.Member, error)
	// AllowMember and RemoveMember return the index at which the change was applied.
	AllowMember(ctx context.Context, name string) (index uint64, err error)
	RemoveMember(ctx context.Context, name string) (index uint64, err error)
	// Ask puts a question to the other members, whose services answer it with Service.Answer, and returns what
	// they answered within a second, and how many did not.
	Ask(ctx context.Context, question []byte) (answers [][]byte, silent int)
	// Seal seals this node or all; it returns after this node's catalog is wiped.
	Seal(ctx context.Context, cluster bool) (kms.SealAnswer, error)
}

// Trail is this node's part of the audit trail.
type Trail interface {
	// Search finds records, as index.Index does. An error says that not all of them can be seen now.
	Search(ctx context.Context, q index.Query) (index.Page, error)
}

// Observer is told what the service does, for metrics. It is called on the way of every request, so it costs next to nothing and
// does not wait.
type Observer interface {
	// Request tells of a call that Do is about to answer: code is "" when it was done.
	Request(op *kms.Operation, door string, code kms.Code, took time.Duration)
	// Used tells of a key that a cryptographic operation has used, once the operation is done.
	Used(op *kms.Operation, spec kms.KeySpec, keyID string)
	// PendingDeletion tells of a caller who may use a key and was refused because it is to be deleted.
	PendingDeletion(keyID string)
	// Scheduled tells of scheduled work, one of kms.ScheduledEvents, that was done (code "") or failed.
	Scheduled(event string, code kms.Code)
}

// unobserved is the observer of a service that nobody observes.
type unobserved struct{}

func (unobserved) Request(*kms.Operation, string, kms.Code, time.Duration) {}
func (unobserved) Used(*kms.Operation, kms.KeySpec, string)                {}
func (unobserved) PendingDeletion(string)                                  {}
func (unobserved) Scheduled(string, kms.Code)                              {}

// Config makes a Service. Catalog, Replica, Cluster, Authenticator and Audit are required.
type Config struct {
	Catalog       *catalog.Catalog
	Replica       Replica
	Cluster       Cluster
	Authenticator auth.Authenticator
	Audit         *audit.Log
	Trail         Trail // nil: this node writes its records to no file

	Partition string   // of ARNs; default "aws". The catalog must have the same.
	Regions   []string // served; the first one is the default; default us-east-1
	Node      string   // this node's name, for audit records

	MaxKeys uint64 // of an account, default 100,000

	Backoff *limit.Backoff // delays the answers to failed authentications; nil does not
	Quota   *limit.Quota   // bounds the requests of each identity; nil does not

	Observer Observer // nil: nobody

	OIDC            *oidc.Verifier // of web identities; nil takes none
	LoopbackIssuers bool           // issuers may be reached over HTTP on loopback

	Now    func() time.Time // default time.Now; for audit records only
	Logger *slog.Logger     // nil: silent
}
