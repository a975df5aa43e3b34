package fsm

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/hashicorp/raft"
)

// start is the log time that tests begin at.
const start = 1_800_000_000_000

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Fatalf(string, ...any)
}

// node is a state machine under test with a log of what it was given.
type node struct {
	t tester
	*FSM
	index uint64
	now   int64
	log   []*raft.Log
	fatal error
}

func newNode(t tester) *node { return newNodeOf(t, Options{}) }

func newNodeOf(t tester, o Options) *node {
	n := &node{t: t, now: start}
	o.Fatal = func(err error) { n.fatal = err }
	n.FSM = New(o)
	return n
}

// entry appends a command to the log without applying it.
func (n *node) entry(data []byte) *raft.Log {
	n.index++
	l := &raft.Log{Index: n.index, Type: raft.LogCommand, Data: data}
	n.log = append(n.log, l)
	return l
}

// run applies one command and returns the answer.
func (n *node) run(data []byte) any {
	n.t.Helper()
	answer := n.Apply(n.entry(data))
	if err, bad := answer.(error); bad {
		n.t.Fatalf("apply: %v", err)
	}
	return answer
}

// batch applies transactions in one command.
func (n *node) batch(txns ...Txn) []Outcome {
	n.t.Helper()
	data, err := EncodeBatch(n.now, txns)
	if err != nil {
		n.t.Fatalf("encode: %v", err)
	}
	return n.run(data).([]Outcome)
}

// commit applies one transaction, based on now when it says nothing else, and wants a status.
func (n *node) commit(want Status, txn Txn) Outcome {
	n.t.Helper()
	if txn.Based == 0 {
		txn.Based = n.now
	}
	o := n.batch(txn)[0]
	if o.Status != want {
		n.t.Fatalf("%v (%s), want %v", o.Status, o.Detail, want)
	}
	return o
}

// revision is what a proposer would choose for a write now.
func (n *node) revision() uint64 { return n.View().Index() + 1 }

// txnID numbers transactions.
func txnID(i int) (id TxnID) {
	binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
	return id
}

func scopeID(i int) (id ScopeID) {
	id[0] = byte(i)
	return id
}

// key is a write of a key record.
func key(id ID, revision uint64, scopes ...ScopeID) Write {
	return Write{Kind: KindKey, ID: id, Revision: revision, Term: 1, Body: []byte("sealed " + id), Scopes: scopes}
}

func drop(w Write) Write {
	w.Delete, w.Scopes = true, nil
	return w
}

func txn(i int, writes ...Write) Txn {
	return Txn{ID: txnID(i), Event: "key.created", Writes: writes}
}

// audit recomputes everything that the view keeps incrementally and compares.
func audit(t tester, v *View) {
	t.Helper()
	s := newState(0)
	s.epoch, s.index, s.logTime, s.floors = v.t.epoch, v.t.index, v.t.logTime, v.t.floors
	terms, members, tombstones := map[uint32]uint64{}, map[ScopeID]uint64{}, 0
	for kind, table := range v.t.records {
		table.All(func(id ID, e *entry) bool {
			s.records[kind].Set(id, e)
			s.sum.add(s.hashRecord(Kind(kind), id, e))
			if e.deleted() {
				tombstones++
				if _, ok := v.t.tombstones.Get(tombstone{e.stamp, Kind(kind), id}); !ok {
					t.Fatalf("the tombstone %v is not in the order of age", Ref{Kind(kind), id})
				}
				return true
			}
			terms[e.term()]++
			for i := range e.scopes() {
				members[e.scope(i)]++
			}
			return true
		})
	}
	if n, _ := v.Tombstones(); n != tombstones {
		t.Fatalf("%d tombstones, counted %d", n, tombstones)
	}
	if v.t.scopes.Len() != len(members) {
		t.Fatalf("%d scopes, counted %d", v.t.scopes.Len(), len(members))
	}
	v.t.scopes.All(func(id ScopeID, sc scope) bool {
		if sc.members != members[id] || sc.members == 0 {
			t.Fatalf("scope %v: %d members, counted %d", id, sc.members, members[id])
		}
		s.putScope(id, sc)
		return true
	})
	if v.t.terms.Len() != len(terms) {
		t.Fatalf("%d terms, counted %d", v.t.terms.Len(), len(terms))
	}
	for term, n := range terms {
		if v.TermCount(term) != n {
			t.Fatalf("term %d: %d records, counted %d", term, v.TermCount(term), n)
		}
	}
	for i, q := range v.t.queues {
		last, seen := int64(0), 0
		q.all(func(m *memo) bool {
			if other, ok := v.t.memos.Get(m.id); !ok || other != m || class(m.long) != i || m.stamp < last {
				t.Fatalf("memo %v of queue %d", m.id, i)
			}
			s.memos.Set(m.id, m)
			s.sum.add(s.hashMemo(m))
			last = m.stamp
			seen++
			return true
		})
		if seen != q.n {
			t.Fatalf("queue %d holds %d of %d", i, seen, q.n)
		}
	}
	if s.memos.Len() != v.t.memos.Len() {
		t.Fatalf("%d memos, queued %d", v.t.memos.Len(), s.memos.Len())
	}
	if s.digest() != v.Digest() {
		t.Fatalf("the digest kept is not the digest of the state")
	}
}

// sink is a snapshot sink in memory. It fails after limit bytes when limit is not 0.
type sink struct {
	bytes.Buffer
	limit             int
	closed, cancelled bool
}

func (s *sink) Write(b []byte) (int, error) {
	if s.limit > 0 && s.Len()+len(b) > s.limit {
		return 0, io.ErrShortWrite
	}
	return s.Buffer.Write(b)
}
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.cancelled = true; return nil }
func (s *sink) ID() string    { return "test" }

// persist returns the bytes of a snapshot of the node.
func persist(t tester, f *FSM) []byte {
	t.Helper()
	s, err := f.Snapshot()
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	var out sink
	if err := s.Persist(&out); err != nil || !out.closed {
		t.Fatalf("persist: %v", err)
	}
	s.Release()
	return out.Bytes()
}

func restore(f *FSM, snapshot []byte) error {
	return f.Restore(io.NopCloser(bytes.NewReader(snapshot)))
}

func mustRestore(t *testing.T, f *FSM, snapshot []byte) {
	t.Helper()
	if err := restore(f, snapshot); err != nil {
		t.Fatal(err)
	}
}
