package fsm

// View is the state after some command, immutable and safe for any number of readers.
type View struct{ t tables }

// Index returns the Raft index of the last command applied; other log entries do not move it.
func (v *View) Index() uint64 { return v.t.index }

// Epoch returns the number of the history that indexes count in.
func (v *View) Epoch() uint64 { return v.t.epoch }

// LogTime returns the highest stamp of the log so far, in ms. It never goes back.
func (v *View) LogTime() int64 { return v.t.logTime }

// Get returns a live record.
func (v *View) Get(kind Kind, id ID) (Record, bool) {
	r, ok := v.GetAny(kind, id)
	if !ok || r.Deleted {
		return Record{}, false
	}
	return r, true
}

// Revision returns the revision of a record, 0 for none, and whether it is live, without copying its body.
func (v *View) Revision(kind Kind, id ID) (revision uint64, live bool) {
	if !kind.valid() {
		return 0, false
	}
	e, ok := v.t.records[kind].Get(id)
	if !ok {
		return 0, false
	}
	return e.revision, !e.deleted()
}

// GetAny returns a record that may be a tombstone.
func (v *View) GetAny(kind Kind, id ID) (Record, bool) {
	if !kind.valid() {
		return Record{}, false
	}
	e, ok := v.t.records[kind].Get(id)
	if !ok {
		return Record{}, false
	}
	return e.record(), true
}

// Ascend calls visit for every live record of the kind from the id from (inclusive; "" is the
// first) upwards, in byte order of the ids, until visit returns false.
func (v *View) Ascend(kind Kind, from ID, visit func(ID, Record) bool) {
	if !kind.valid() {
		return
	}
	v.t.records[kind].Ascend(from, func(id ID, e *entry) bool {
		return e.deleted() || visit(id, e.record())
	})
}

// Count returns the number of records of the kind, tombstones included.
func (v *View) Count(kind Kind) int {
	if !kind.valid() {
		return 0
	}
	return v.t.records[kind].Len()
}

// Scope returns the index of the last command that wrote a record in the scope, and how many live
// records name it. Both are 0 for a scope without members.
func (v *View) Scope(id ScopeID) (revision, members uint64) {
	sc, _ := v.t.scopes.Get(id)
	return sc.revision, sc.members
}

// Floor returns the highest revision that was dropped with a tombstone of the kind. Every write of
// the kind must be above it.
func (v *View) Floor(kind Kind) uint64 {
	if !kind.valid() {
		return 0
	}
	return v.t.floors[kind]
}

// TermCount returns how many live records are sealed under the keyring term.
func (v *View) TermCount(term uint32) uint64 {
	n, _ := v.t.terms.Get(term)
	return n
}

// Txn returns what a transaction with that id and request would be answered from memory: Repeated
// with the outcome of the first one, or Mismatch when the id was used for another request; false when
// the id is not remembered.
func (v *View) Txn(id TxnID, request [32]byte) (Outcome, bool) {
	m, ok := v.t.memos.Get(id)
	if !ok {
		return Outcome{}, false
	}
	return m.answer(request, v.t.index), true
}

// Remembered returns the number of transactions in the retry memory.
func (v *View) Remembered() int { return v.t.memos.Len() }

// Checkpoint returns the index of the last checkpoint command that this node applied since it
// started or restored a snapshot, and the digest of its own state there. The index is 0 when there
// was none: a digest is never passed on from another node.
func (v *View) Checkpoint() (index uint64, digest [32]byte) {
	return v.t.checkpoint.Index, v.t.checkpoint.Digest
}

// Tombstones returns how many tombstones there are and the log time of the oldest, in ms.
func (v *View) Tombstones() (n int, oldest int64) {
	t, _, _ := v.t.tombstones.Min()
	return v.t.tombstones.Len(), t.stamp
}
