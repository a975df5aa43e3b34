package fsm

import (
	"encoding/hex"
	"strconv"
)

// Kind says what a record is. Its number is in every command, snapshot and digest, and in the
// additional data of every sealed body: it never changes.
type Kind uint8

// The kinds of records. Seal configuration and nodes are clear text (term 0), everything else is
// sealed.
const (
	KindSealConfig    Kind = 1
	KindNode          Kind = 2
	KindAccount       Kind = 3
	KindIdentity      Kind = 4
	KindCredential    Kind = 5
	KindKey           Kind = 6
	KindMaterial      Kind = 7
	KindAlias         Kind = 8
	KindPolicy        Kind = 9
	KindGrant         Kind = 10
	KindSetting       Kind = 11
	KindUsage         Kind = 12
	KindManagedPolicy Kind = 13
	KindProvider      Kind = 14
	KindAuditAnchor   Kind = 15
)

// kinds is one more than the highest kind: arrays are indexed by kind.
const kinds = int(KindAuditAnchor) + 1

// firstKinds is kinds as it was in the first release, see tables.appendFloors.
const firstKinds = int(KindSetting) + 1

var kindNames = [kinds]string{
	KindSealConfig: "seal config", KindNode: "node", KindAccount: "account", KindIdentity: "identity",
	KindCredential: "credential", KindKey: "key", KindMaterial: "material", KindAlias: "alias",
	KindPolicy: "policy", KindGrant: "grant", KindSetting: "setting",
	KindUsage: "usage", KindManagedPolicy: "managed policy", KindProvider: "identity provider",
	KindAuditAnchor: "audit anchor",
}

// String returns the kind's name, for messages.
func (k Kind) String() string {
	if k.valid() {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

func (k Kind) valid() bool { return k > 0 && int(k) < kinds }

// clear says whether records of this kind are clear text.
func (k Kind) clear() bool { return k == KindSealConfig || k == KindNode }

// ID names a record within its kind: 1 to MaxID raw bytes, opaque to this package.
type ID string

// ScopeID names a scope: a set of live records that has a revision and a member count.
type ScopeID [16]byte

// String returns the scope id in hexadecimal.
func (s ScopeID) String() string { return hex.EncodeToString(s[:]) }

// TxnID names a transaction, for safe retries. It is never zero.
type TxnID [16]byte

// String returns the transaction id in hexadecimal.
func (t TxnID) String() string { return hex.EncodeToString(t[:]) }

// Ref names a record.
type Ref struct {
	Kind Kind
	ID   ID
}

// String returns the kind and the id, in hexadecimal.
func (r Ref) String() string { return r.Kind.String() + " " + hex.EncodeToString([]byte(r.ID)) }

// Record is a record as a View returns it, the caller's own.
type Record struct {
	Revision uint64 // chosen by the writer; rises with every write of this id
	Term     uint32 // keyring term that sealed Body; 0: clear text
	Deleted  bool   // a tombstone
	Stamp    int64  // log time of the last write, ms
	Body     []byte
	Scopes   []ScopeID // none when Deleted
}

// Guard asks that a record is as the decision saw it.
type Guard struct {
	Kind     Kind
	ID       ID
	Revision uint64 // of the live record; 0: there is no live record
}

// ScopeGuard asks that a scope is as the decision saw it.
type ScopeGuard struct {
	Scope    ScopeID
	Exact    bool
	Revision uint64 // when Exact: the scope's revision is this one; 0: it has no members
	Below    uint64 // when not Exact: the scope has fewer members than this
}

// Write puts one record. It moves the revision of every scope that the record named before or
// names now to the index of the command.
type Write struct {
	Kind     Kind
	ID       ID
	Revision uint64 // above the record's old one, tombstones included, and above the kind's floor
	Term     uint32 // 0 for the clear text kinds, and only for those
	Delete   bool   // leave a tombstone, with Body
	Body     []byte // 1 to MaxBody bytes
	Scopes   []ScopeID
}

// Txn is a transaction: when every guard holds, every write is done, else none is.
type Txn struct {
	ID      TxnID
	Request [32]byte // keyed hash of the request, tells a repeat from another request under the same id
	Event   string   // clear text name of what happens, [a-z._], 1 to MaxEvent bytes

	// Based is the proposer's reading of log time (ms) when it built this transaction:
	// max(View.LogTime(), its clock). A transaction is refused as Stale when Based is so old that
	// its first application may have been forgotten, or more than BasedAhead in the future.
	// A transaction proposed again because its outcome is unknown keeps its first Based.
	Based int64

	Long        bool // remember the transaction for LongMemory, not ShortMemory
	Guards      []Guard
	ScopeGuards []ScopeGuard
	Writes      []Write
}

// Windows of log time, in milliseconds. An id is remembered BasedAhead longer than a transaction
// may be old, so a proposer whose clock is ahead by up to BasedAhead cannot make one apply twice.
const (
	ShortMemory = 120_000 // how long an id is remembered
	LongMemory  = 630_000 // how long an id is remembered when Txn.Long
	BasedAhead  = 30_000  // how far ahead of log time Txn.Based may be

	// TombstoneAge is the log time after which DropTombstones drops a tombstone.
	TombstoneAge = 7 * 24 * 3600 * 1000
)

// Bounds of what a command may hold.
const (
	MaxCommand     = 256 << 10 // bytes of one command
	MaxTxns        = 1024      // transactions of one command
	MaxID          = 64        // bytes of an ID
	MaxEvent       = 64        // bytes of an event name
	MaxBody        = 128 << 10 // bytes of a record body
	MaxScopes      = 8         // scopes of one record
	MaxGuards      = 256       // guards of one transaction
	MaxScopeGuards = 64        // scope guards of one transaction
	MaxWrites      = 256       // writes of one transaction
)

// Status is what became of a transaction.
type Status uint8

// The outcomes of a transaction. Only Applied changed anything.
const (
	Applied  Status = iota + 1 // every write was done
	Repeated                   // this id and request were applied before, at Outcome.Index
	Conflict                   // a guard did not hold: decide again on a fresh view
	Mismatch                   // this id was applied before for another request
	Full                       // the retry memory is full
	Stale                      // a revision is not above the old one or the floor, or Based is out of its window: as Conflict
	Invalid                    // never an outcome of Apply, which stops the node: see DecodeTxn
)

var statusNames = [...]string{
	Applied: "applied", Repeated: "repeated", Conflict: "conflict", Mismatch: "mismatch",
	Full: "full", Stale: "stale", Invalid: "invalid",
}

// String returns the status in one word.
func (s Status) String() string {
	if int(s) < len(statusNames) && s > 0 {
		return statusNames[s]
	}
	return "status " + strconv.Itoa(int(s))
}

// Outcome is the answer to one transaction.
type Outcome struct {
	Status Status
	Index  uint64 // the index the transaction was applied at (for Repeated the first one's), else the index that refused it
	Detail string // what refused it, for messages: names no body and no readable name
	Refs   []Ref  // the records that were written (for Repeated by the first one)
}

// Checkpoint is the answer to a checkpoint command.
type Checkpoint struct {
	Index  uint64
	Digest [32]byte
}

// Dropped is the answer to a command that drops tombstones.
type Dropped struct {
	Count int  // tombstones dropped
	More  bool // more are old enough: propose again
}

// Change is one applied transaction, as the feed carries it.
type Change struct {
	Index uint64
	Stamp int64 // log time, ms
	Event string
	Refs  []Ref // records written; read them from the batch's View
}
