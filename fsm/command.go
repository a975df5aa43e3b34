package fsm

import (
	"errors"
	"fmt"
	"math"
)

// A command is the data of one Raft log entry:
//
//	version 1 | kind 1 | payload
//
//	batch            [stamp, [txn...]]
//	checkpoint       [stamp]
//	drop tombstones  [stamp]
//
//	txn         [id 16, request 32, event, based, long, [guard...], [scope guard...], [write...]]
//	guard       [kind, id, revision]
//	scope guard [scope 16, exact, revision when exact, else below]
//	write       [kind, id, revision, term, delete, body, [scope 16...]]
//
// Payloads are the CBOR subset of cbor.go; stamps are milliseconds since 1970 UTC. There is no room
// for anything unknown: a new field is a new version or a new kind, which an old node stops at.
const commandVersion = 1

// CommandKind says what a command does.
type CommandKind uint8

// The kinds of commands.
const (
	CommandBatch          CommandKind = 1 // apply transactions, each all or nothing, in order
	CommandCheckpoint     CommandKind = 2 // note the state digest at this index
	CommandDropTombstones CommandKind = 3 // drop tombstones older than TombstoneAge
)

// String returns the kind's name.
func (k CommandKind) String() string {
	switch k {
	case CommandBatch:
		return "batch"
	case CommandCheckpoint:
		return "checkpoint"
	case CommandDropTombstones:
		return "drop tombstones"
	}
	return fmt.Sprintf("command kind %d", uint8(k))
}

// Command is a decoded command.
type Command struct {
	Kind  CommandKind
	Stamp int64 // the leader's time, ms
	Txns  []Txn // of a batch
}

// BatchOverhead is what a batch of any number of transactions costs beside their TxnSize: the sum of
// both may not exceed MaxCommand.
const BatchOverhead = 2 + 1 + 9 + 3

const maxTime = math.MaxInt64

// maxRevision leaves room above every revision, so that a higher one can always be chosen.
const maxRevision = math.MaxInt64

// ErrTooLarge says that a command would exceed MaxCommand or MaxTxns.
var ErrTooLarge = errors.New("fsm: the command is too large")

// EncodeBatch returns the command that applies txns. Errors: ErrTooLarge, or what is wrong with a
// transaction.
func EncodeBatch(stamp int64, txns []Txn) ([]byte, error) {
	if len(txns) > MaxTxns {
		return nil, ErrTooLarge
	}
	if stamp < 0 {
		return nil, errors.New("fsm: negative stamp")
	}
	size := BatchOverhead
	for i := range txns {
		if err := txns[i].check(); err != nil {
			return nil, err
		}
		size += TxnSize(&txns[i])
	}
	if size > MaxCommand {
		return nil, ErrTooLarge
	}
	b := append(make([]byte, 0, size), commandVersion, byte(CommandBatch))
	b = appendArray(b, 2)
	b = appendUint(b, uint64(stamp))
	b = appendArray(b, len(txns))
	for i := range txns {
		b = txns[i].append(b)
	}
	return b, nil
}

// EncodeCheckpoint returns the command that notes the state digest. A negative stamp counts as 0.
func EncodeCheckpoint(stamp int64) []byte { return encodeStamped(CommandCheckpoint, stamp) }

// EncodeDropTombstones returns the command that drops old tombstones. A negative stamp counts as 0.
func EncodeDropTombstones(stamp int64) []byte { return encodeStamped(CommandDropTombstones, stamp) }

func encodeStamped(kind CommandKind, stamp int64) []byte {
	b := appendArray([]byte{commandVersion, byte(kind)}, 1)
	return appendUint(b, uint64(max(stamp, 0)))
}

// DecodeCommand decodes and checks a command. Bodies share data. It refuses whatever EncodeBatch
// and its like would not have written, byte for byte.
func DecodeCommand(data []byte) (Command, error) {
	if len(data) > MaxCommand {
		return Command{}, ErrTooLarge
	}
	if len(data) < 2 {
		return Command{}, errors.New("fsm: the command has no version and kind")
	}
	if data[0] != commandVersion {
		return Command{}, fmt.Errorf("fsm: command version %d is not known to this release (it knows %d)", data[0], commandVersion)
	}
	c := Command{Kind: CommandKind(data[1])}
	r := reader{data: data[2:]}
	switch c.Kind {
	case CommandBatch:
		r.tuple(2)
		c.Stamp = int64(r.uint(maxTime))
		c.Txns = make([]Txn, r.array(MaxTxns))
		for i := range c.Txns {
			if c.Txns[i].read(&r); r.err != nil {
				break
			}
		}
	case CommandCheckpoint, CommandDropTombstones:
		r.tuple(1)
		c.Stamp = int64(r.uint(maxTime))
	default:
		return Command{}, fmt.Errorf("fsm: %v is not known to this release", c.Kind)
	}
	if err := r.end(); err != nil {
		return Command{}, fmt.Errorf("fsm: malformed %v command: %w", c.Kind, err)
	}
	for i := range c.Txns {
		if err := c.Txns[i].check(); err != nil {
			return Command{}, err
		}
	}
	return c, nil
}

// EncodeTxn returns the transaction alone, as a batch holds it, for forwarding to the leader.
func EncodeTxn(t *Txn) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	size := TxnSize(t)
	if size > MaxCommand-BatchOverhead {
		return nil, ErrTooLarge
	}
	return t.append(make([]byte, 0, size)), nil
}

// DecodeTxn decodes and checks what EncodeTxn returned. Bodies share data.
func DecodeTxn(data []byte) (*Txn, error) {
	if len(data) > MaxCommand-BatchOverhead {
		return nil, ErrTooLarge
	}
	r := reader{data: data}
	t := new(Txn)
	t.read(&r)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("fsm: malformed transaction: %w", err)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// TxnSize returns the length of EncodeTxn's result, without encoding.
func TxnSize(t *Txn) int {
	n := 1 + stringSize(len(t.ID)) + stringSize(len(t.Request)) + stringSize(len(t.Event)) + headSize(uint64(t.Based)) + 1
	n += headSize(uint64(len(t.Guards)))
	for i := range t.Guards {
		g := &t.Guards[i]
		n += 1 + headSize(uint64(g.Kind)) + stringSize(len(g.ID)) + headSize(g.Revision)
	}
	n += headSize(uint64(len(t.ScopeGuards)))
	for i := range t.ScopeGuards {
		n += 1 + stringSize(len(ScopeID{})) + 1 + headSize(t.ScopeGuards[i].number())
	}
	n += headSize(uint64(len(t.Writes)))
	for i := range t.Writes {
		w := &t.Writes[i]
		n += 1 + headSize(uint64(w.Kind)) + stringSize(len(w.ID)) + headSize(w.Revision) + headSize(uint64(w.Term)) + 1
		n += stringSize(len(w.Body)) + headSize(uint64(len(w.Scopes))) + len(w.Scopes)*stringSize(len(ScopeID{}))
	}
	return n
}

// number is the number the guard compares with.
func (g *ScopeGuard) number() uint64 {
	if g.Exact {
		return g.Revision
	}
	return g.Below
}

func (t *Txn) append(b []byte) []byte {
	b = appendArray(b, 8)
	b = appendBytes(b, t.ID[:])
	b = appendBytes(b, t.Request[:])
	b = appendText(b, t.Event)
	b = appendUint(b, uint64(t.Based))
	b = appendBool(b, t.Long)
	b = appendArray(b, len(t.Guards))
	for i := range t.Guards {
		g := &t.Guards[i]
		b = appendArray(b, 3)
		b = appendUint(b, uint64(g.Kind))
		b = appendBytes(b, g.ID)
		b = appendUint(b, g.Revision)
	}
	b = appendArray(b, len(t.ScopeGuards))
	for i := range t.ScopeGuards {
		g := &t.ScopeGuards[i]
		b = appendArray(b, 3)
		b = appendBytes(b, g.Scope[:])
		b = appendBool(b, g.Exact)
		b = appendUint(b, g.number())
	}
	b = appendArray(b, len(t.Writes))
	for i := range t.Writes {
		w := &t.Writes[i]
		b = appendArray(b, 7)
		b = appendUint(b, uint64(w.Kind))
		b = appendBytes(b, w.ID)
		b = appendUint(b, w.Revision)
		b = appendUint(b, uint64(w.Term))
		b = appendBool(b, w.Delete)
		b = appendBytes(b, w.Body)
		b = appendScopes(b, w.Scopes)
	}
	return b
}

func appendScopes(b []byte, scopes []ScopeID) []byte {
	b = appendArray(b, len(scopes))
	for i := range scopes {
		b = appendBytes(b, scopes[i][:])
	}
	return b
}

func (t *Txn) read(r *reader) {
	r.tuple(8)
	r.fixed(t.ID[:])
	r.fixed(t.Request[:])
	t.Event = string(r.string(majorText, 1, MaxEvent))
	t.Based = int64(r.uint(maxTime))
	t.Long = r.bool()
	t.Guards = readList(r, MaxGuards, (*Guard).read)
	t.ScopeGuards = readList(r, MaxScopeGuards, (*ScopeGuard).read)
	t.Writes = readList(r, MaxWrites, (*Write).read)
}

// readList reads an array of at most max elements. An empty one is nil.
func readList[T any](r *reader, max int, read func(*T, *reader)) []T {
	n := r.array(max)
	if n == 0 {
		return nil
	}
	list := make([]T, n)
	for i := range list {
		if read(&list[i], r); r.err != nil {
			return nil
		}
	}
	return list
}

func (g *Guard) read(r *reader) {
	r.tuple(3)
	g.Kind = Kind(r.uint(math.MaxUint8))
	g.ID = ID(r.bytes(1, MaxID))
	g.Revision = r.uint(maxRevision)
}

func (g *ScopeGuard) read(r *reader) {
	r.tuple(3)
	r.fixed(g.Scope[:])
	g.Exact = r.bool()
	if n := r.uint(math.MaxUint64); g.Exact {
		g.Revision = n
	} else {
		g.Below = n
	}
}

func (w *Write) read(r *reader) {
	r.tuple(7)
	w.Kind = Kind(r.uint(math.MaxUint8))
	w.ID = ID(r.bytes(1, MaxID))
	w.Revision = r.uint(maxRevision)
	w.Term = uint32(r.uint(math.MaxUint32))
	w.Delete = r.bool()
	w.Body = r.bytes(1, MaxBody)
	w.Scopes = readList(r, MaxScopes, (*ScopeID).read)
}

func (s *ScopeID) read(r *reader) { r.fixed(s[:]) }
