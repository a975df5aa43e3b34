package fsm

import (
	"fmt"
	"math"
	"slices"
)

// What one command does at most beside its transactions, so that no command takes long after a
// pause. What is left over is done by the next one.
const (
	maxExpire = 4096 // memos forgotten
	maxDrop   = 4096 // tombstones dropped
)

// begin takes the index and the time of a command.
func (s *state) begin(index uint64, stamp int64) {
	s.index = index
	s.logTime = max(s.logTime, stamp)
	s.expire()
}

// expire forgets the memos whose window is over, oldest first. A memo that is due and still there is
// honoured: being remembered longer breaks nothing.
func (s *state) expire() {
	left := maxExpire
	for i := range s.queues {
		q := &s.queues[i]
		for m := q.first(); m != nil && left > 0 && s.logTime-m.stamp >= memory(m.long); m = q.first() {
			q.pop()
			s.memos.Delete(m.id)
			s.sum.sub(s.hashMemo(m))
			left--
		}
	}
}

// commit applies one checked transaction, wholly or not at all.
func (s *state) commit(t *Txn) Outcome {
	if m, ok := s.memos.Get(t.ID); ok {
		return m.answer(t.Request, s.index)
	}
	if status, detail := s.refuse(t); status != Applied {
		return Outcome{Status: status, Index: s.index, Detail: detail}
	}
	var refs []Ref
	if len(t.Writes) > 0 {
		refs = make([]Ref, len(t.Writes))
	}
	for i := range t.Writes {
		w := &t.Writes[i]
		refs[i] = Ref{w.Kind, w.ID}
		s.write(w)
	}
	s.remember(&memo{id: t.ID, request: t.Request, index: s.index, stamp: s.logTime, long: t.Long, refs: refs})
	return Outcome{Status: Applied, Index: s.index, Refs: refs}
}

// refuse says why the transaction may not be applied to this state, or Applied.
func (s *state) refuse(t *Txn) (Status, string) {
	if age := s.logTime - t.Based; age < -BasedAhead || age >= memory(t.Long)-BasedAhead {
		return Stale, fmt.Sprintf("based on a log time %d ms old, out of its window", age)
	}
	if s.memos.Len() >= s.room(t) {
		return Full, "the retry memory is full"
	}
	for i := range t.Guards {
		g := &t.Guards[i]
		var revision uint64
		if e, ok := s.records[g.Kind].Get(g.ID); ok && !e.deleted() {
			revision = e.revision
		}
		if revision != g.Revision {
			return Conflict, fmt.Sprintf("%v is at revision %d, guarded %d", Ref{g.Kind, g.ID}, revision, g.Revision)
		}
	}
	for i := range t.ScopeGuards {
		g := &t.ScopeGuards[i]
		sc, _ := s.scopes.Get(g.Scope)
		if g.Exact && sc.revision != g.Revision {
			return Conflict, fmt.Sprintf("scope %v is at revision %d, guarded %d", g.Scope, sc.revision, g.Revision)
		}
		if !g.Exact && sc.members >= g.Below {
			return Conflict, fmt.Sprintf("scope %v has %d members, guarded below %d", g.Scope, sc.members, g.Below)
		}
	}
	for i := range t.Writes {
		w := &t.Writes[i]
		if e, ok := s.records[w.Kind].Get(w.ID); ok && w.Revision <= e.revision {
			return Stale, fmt.Sprintf("%v is at revision %d, written %d", Ref{w.Kind, w.ID}, e.revision, w.Revision)
		}
		if floor := s.floors[w.Kind]; w.Revision <= floor {
			return Stale, fmt.Sprintf("%v: written revision %d, floor %d", Ref{w.Kind, w.ID}, w.Revision, floor)
		}
	}
	return Applied, ""
}

// room is how many transactions may be remembered before t is refused. What is remembered for long
// leaves an eighth of the memory to what is not, and membership may always be put in order: its
// changes are few.
func (s *state) room(t *Txn) int {
	switch {
	case len(t.Writes) > 0 && !slices.ContainsFunc(t.Writes, func(w Write) bool { return w.Kind != KindNode }):
		return math.MaxInt
	case t.Long:
		return s.limit - s.limit/8
	}
	return s.limit
}

// write puts one record and moves its scopes.
func (s *state) write(w *Write) {
	e := newEntry(w.Revision, w.Term, w.Delete, s.logTime, w.Body, w.Scopes)
	old, replaced := s.records[w.Kind].Set(w.ID, e)
	if replaced {
		s.forget(w.Kind, w.ID, old)
	}
	s.note(w.Kind, w.ID, e)
	if replaced {
		for i := range old.scopes() {
			if id := old.scope(i); !e.inScope(id) {
				s.move(id, -1)
			}
		}
	}
	for _, id := range w.Scopes {
		if replaced && old.inScope(id) {
			s.move(id, 0)
		} else {
			s.move(id, 1)
		}
	}
}

// move changes a scope's members by delta and its revision to the command's index.
func (s *state) move(id ScopeID, delta int) {
	sc, _ := s.scopes.Get(id)
	s.putScope(id, scope{revision: s.index, members: sc.members + uint64(delta)})
}

// dropTombstones drops the oldest tombstones that are old enough, and raises the floors above them,
// so that no id ever comes back with a revision it had.
func (s *state) dropTombstones() Dropped {
	var d Dropped
	for {
		t, _, ok := s.tombstones.Min()
		if !ok || s.logTime-t.stamp <= TombstoneAge {
			return d
		}
		if d.Count == maxDrop {
			d.More = true
			return d
		}
		e, _ := s.records[t.kind].Delete(t.id)
		s.forget(t.kind, t.id, e)
		s.floors[t.kind] = max(s.floors[t.kind], e.revision)
		d.Count++
	}
}
