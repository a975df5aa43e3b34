package fsm

import (
	"encoding/binary"

	"github.com/lockstep-kms/lockstep/storage"
)

// tables is the whole replicated state. The working copy belongs to the goroutine that applies;
// a View holds an immutable one.
type tables struct {
	epoch   uint64 // 1
	index   uint64 // of the last command applied
	logTime int64  // the highest stamp, ms

	records [kinds]*storage.Tree[ID, *entry] // tombstones too; slot 0 is empty
	floors  [kinds]uint64                    // highest revision dropped with a tombstone, by kind
	scopes  *storage.Tree[ScopeID, scope]    // those that have members
	memos   *storage.Tree[TxnID, *memo]      // the retry memory
	queues  [2]queue                         // the same memos in the order of their stamps: short, long

	// Derived from the above.
	terms      *storage.Tree[uint32, uint64]      // live records by keyring term
	tombstones *storage.Tree[tombstone, struct{}] // oldest first
	sum        sum                                // see digest.go

	// checkpoint is this node's own finding since it started, no part of the state.
	checkpoint Checkpoint
}

// entry is a record as the tree keeps it, made small: 32 bytes and one allocation for its data. It is
// immutable.
type entry struct {
	revision uint64
	stamp    int64
	data     string // term 4 | flags 1 | scopes, 16 bytes each | body
}

// The parts of an entry's data.
const (
	entryHead    = 5
	entryDeleted = 0x80 // of the flags; the rest counts the scopes
)

func newEntry(revision uint64, term uint32, deleted bool, stamp int64, body []byte, scopes []ScopeID) *entry {
	flags := byte(len(scopes))
	if deleted {
		flags |= entryDeleted
	}
	head := make([]byte, entryHead, entryHead+MaxScopes*len(ScopeID{}))
	binary.BigEndian.PutUint32(head, term)
	head[4] = flags
	for i := range scopes {
		head = append(head, scopes[i][:]...)
	}
	return &entry{revision: revision, stamp: stamp, data: string(head) + string(body)}
}

func (e *entry) term() uint32 {
	return uint32(e.data[0])<<24 | uint32(e.data[1])<<16 | uint32(e.data[2])<<8 | uint32(e.data[3])
}

func (e *entry) deleted() bool { return e.data[4]&entryDeleted != 0 }

func (e *entry) scopes() int { return int(e.data[4] &^ entryDeleted) }

func (e *entry) scope(i int) (id ScopeID) {
	copy(id[:], e.data[entryHead+i*len(id):])
	return id
}

func (e *entry) inScope(id ScopeID) bool {
	for i := range e.scopes() {
		if e.scope(i) == id {
			return true
		}
	}
	return false
}

func (e *entry) body() string { return e.data[entryHead+e.scopes()*len(ScopeID{}):] }

func (e *entry) record() Record {
	r := Record{Revision: e.revision, Term: e.term(), Deleted: e.deleted(), Stamp: e.stamp, Body: []byte(e.body())}
	if n := e.scopes(); n > 0 {
		r.Scopes = make([]ScopeID, n)
		for i := range r.Scopes {
			r.Scopes[i] = e.scope(i)
		}
	}
	return r
}

// append encodes the record: [kind, id, revision, term, deleted, stamp, body, [scope...]].
func (e *entry) append(b []byte, kind Kind, id ID) []byte {
	b = appendArray(b, 8)
	b = appendUint(b, uint64(kind))
	b = appendBytes(b, id)
	b = appendUint(b, e.revision)
	b = appendUint(b, uint64(e.term()))
	b = appendBool(b, e.deleted())
	b = appendUint(b, uint64(e.stamp))
	b = appendBytes(b, e.body())
	b = appendArray(b, e.scopes())
	for i := range e.scopes() {
		s := e.scope(i)
		b = appendBytes(b, s[:])
	}
	return b
}

// scope is what is known of a scope. One without members is not kept: whoever scanned an empty scope
// read nothing, and reads nothing again however often it was filled and emptied between; whoever
// scanned a filled one holds a revision that no later filling can have, since indexes only rise.
type scope struct {
	revision uint64 // index of the last command that wrote a record in it
	members  uint64 // live records that name it
}

// append encodes the scope: [id 16, revision, members].
func (s scope) append(b []byte, id ScopeID) []byte {
	b = appendArray(b, 3)
	b = appendBytes(b, id[:])
	b = appendUint(b, s.revision)
	return appendUint(b, s.members)
}

// memo is an applied transaction in the retry memory. It is immutable.
type memo struct {
	id      TxnID
	request [32]byte
	index   uint64
	stamp   int64 // log time it was applied at
	long    bool
	refs    []Ref
}

// append encodes the memo: [id 16, request 32, index, stamp, long, [[kind, id]...]].
func (m *memo) append(b []byte) []byte {
	b = appendArray(b, 6)
	b = appendBytes(b, m.id[:])
	b = appendBytes(b, m.request[:])
	b = appendUint(b, m.index)
	b = appendUint(b, uint64(m.stamp))
	b = appendBool(b, m.long)
	b = appendArray(b, len(m.refs))
	for i := range m.refs {
		b = appendArray(b, 2)
		b = appendUint(b, uint64(m.refs[i].Kind))
		b = appendBytes(b, m.refs[i].ID)
	}
	return b
}

// answer is the outcome of a transaction with m's id that is met again, at index.
func (m *memo) answer(request [32]byte, index uint64) Outcome {
	if m.request != request {
		return Outcome{Status: Mismatch, Index: index, Detail: "the transaction id was used for another request"}
	}
	return Outcome{Status: Repeated, Index: m.index, Refs: m.refs}
}

// memory is how long a transaction is remembered, in ms of log time.
func memory(long bool) int64 {
	if long {
		return LongMemory
	}
	return ShortMemory
}

// tombstone is the place of a tombstone in the order of their age.
type tombstone struct {
	stamp int64
	kind  Kind
	id    ID
}

func tombstoneLess(a, b tombstone) bool {
	switch {
	case a.stamp != b.stamp:
		return a.stamp < b.stamp
	case a.kind != b.kind:
		return a.kind < b.kind
	}
	return a.id < b.id
}

func less16(a, b [16]byte) bool {
	x, y := binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:])
	if x != y {
		return x < y
	}
	return binary.BigEndian.Uint64(a[8:]) < binary.BigEndian.Uint64(b[8:])
}

// queueChunk is how many memos share one allocation of a queue.
const queueChunk = 128

// queue is a persistent first-in-first-out list: a copy of the struct is a snapshot of it. A push
// writes only where no copy made before it reads, and a pop writes nothing.
type queue struct {
	head, tail *chunk
	at         int // of the first memo in head
	n          int
}

type chunk struct {
	memos [queueChunk]*memo
	next  *chunk // set when the chunk is full and one more follows
}

func (q *queue) push(m *memo) {
	end := (q.at + q.n) % queueChunk
	switch {
	case q.head == nil:
		q.head = new(chunk)
		q.tail, q.at, end = q.head, 0, 0
	case end == 0:
		q.tail.next = new(chunk)
		q.tail = q.tail.next
	}
	q.tail.memos[end] = m
	q.n++
}

func (q *queue) first() *memo {
	if q.n == 0 {
		return nil
	}
	return q.head.memos[q.at]
}

func (q *queue) pop() {
	q.n--
	q.at++
	switch {
	case q.n == 0:
		*q = queue{}
	case q.at == queueChunk:
		q.head, q.at = q.head.next, 0
	}
}

// all calls visit for every memo, oldest first, until it returns false.
func (q queue) all(visit func(*memo) bool) {
	for ; q.n > 0; q.pop() {
		if !visit(q.first()) {
			return
		}
	}
}

// state is the working copy of the tables with what applying needs. It is owned by the goroutine
// that applies.
type state struct {
	tables
	limit   int    // of the retry memory
	scratch []byte // for hashing
}

func newState(limit int) *state {
	s := &state{limit: limit}
	s.epoch = 1
	for kind := range s.records {
		s.records[kind] = storage.NewTree[ID, *entry]()
	}
	s.scopes = storage.NewTreeFunc[ScopeID, scope](func(a, b ScopeID) bool { return less16(a, b) })
	s.memos = storage.NewTreeFunc[TxnID, *memo](func(a, b TxnID) bool { return less16(a, b) })
	s.terms = storage.NewTree[uint32, uint64]()
	s.tombstones = storage.NewTreeFunc[tombstone, struct{}](tombstoneLess)
	return s
}

// snapshot returns an immutable copy, in O(1).
func (t *tables) snapshot() *View {
	v := &View{*t}
	for kind := range t.records {
		v.t.records[kind] = t.records[kind].Snapshot()
	}
	v.t.scopes = t.scopes.Snapshot()
	v.t.memos = t.memos.Snapshot()
	v.t.terms = t.terms.Snapshot()
	v.t.tombstones = t.tombstones.Snapshot()
	return v
}

// note adds a record that is in its table to everything derived from records but the scopes.
func (s *state) note(kind Kind, id ID, e *entry) {
	s.sum.add(s.hashRecord(kind, id, e))
	if e.deleted() {
		s.tombstones.Set(tombstone{e.stamp, kind, id}, struct{}{})
	} else {
		n, _ := s.terms.Get(e.term())
		s.terms.Set(e.term(), n+1)
	}
}

// forget takes back what note added.
func (s *state) forget(kind Kind, id ID, e *entry) {
	s.sum.sub(s.hashRecord(kind, id, e))
	if e.deleted() {
		s.tombstones.Delete(tombstone{e.stamp, kind, id})
		return
	}
	if n, _ := s.terms.Get(e.term()); n > 1 {
		s.terms.Set(e.term(), n-1)
	} else {
		s.terms.Delete(e.term())
	}
}

// putScope sets what is known of a scope; one without members is dropped.
func (s *state) putScope(id ScopeID, sc scope) {
	var old scope
	var had bool
	if sc.members == 0 {
		old, had = s.scopes.Delete(id)
	} else {
		old, had = s.scopes.Set(id, sc)
		s.sum.add(s.hashScope(id, sc))
	}
	if had {
		s.sum.sub(s.hashScope(id, old))
	}
}

// remember puts a memo into the retry memory. Its stamp is not below the last one's of its class.
func (s *state) remember(m *memo) {
	s.memos.Set(m.id, m)
	s.queues[class(m.long)].push(m)
	s.sum.add(s.hashMemo(m))
}

func class(long bool) int {
	if long {
		return 1
	}
	return 0
}
