package catalog

import (
	"slices"

	"github.com/lockstep-kms/lockstep/fsm"
)

// Material that is deleted or replaced in the records must not live on in memory. The follower tells the
// session what state it is about to publish (follow), before it drops what that state no longer holds: a
// first use that comes between, on an older view, opens nothing that is gone.

// follow takes the state from which material is opened from now on.
func (s *session) follow(state *fsm.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = state
}

// dropMaterial wipes what was opened from a record that is deleted or has another revision now, once nobody
// uses it. Who asks again opens the record as it is.
func (s *session) dropMaterial(state *fsm.View, record fsm.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropRecord(state, record)
}

// dropRecord is dropMaterial. The caller holds mu.
func (s *session) dropRecord(state *fsm.View, record fsm.ID) {
	all := s.opened[record]
	if all == nil {
		return
	}
	now, live := state.Get(fsm.KindMaterial, record)
	left := all[:0]
	for _, h := range all {
		h.drop(func(one *handle) bool { return one.record == record && !(live && one.revision == now.Revision) })
		if h.holds(record) {
			left = append(left, h)
		}
	}
	s.setOpened(record, left)
}

// setOpened notes who holds what was opened from a record. The caller holds mu.
func (s *session) setOpened(record fsm.ID, all []*handles) {
	if len(all) == 0 {
		delete(s.opened, record)
	} else {
		s.opened[record] = all
	}
}

// dropHandles wipes the materials of a key that is gone, once nobody uses them.
func (s *session) dropHandles(h *handles) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := h.first.Load(); one != nil; one = one.next {
		s.setOpened(one.record, slices.DeleteFunc(s.opened[one.record], func(other *handles) bool { return other == h }))
	}
	h.wipe()
}

// keepOnly wipes, after every record was read anew, what belongs to no key any more or is no longer what the
// state holds.
func (s *session) keepOnly(state *fsm.View, kept map[*handles]struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for record, all := range s.opened {
		left := all[:0]
		for _, h := range all {
			if _, is := kept[h]; is {
				left = append(left, h)
			} else {
				h.wipe()
			}
		}
		s.setOpened(record, left)
		s.dropRecord(state, record)
	}
}

// drop wipes the handles that are gone and takes them out of the list, which is made anew, in its order: who
// reads it holds no lock.
func (h *handles) drop(gone func(*handle) bool) {
	old := h.first.Load()
	var kept *handle
	end := &kept
	for one := old; one != nil; one = one.next {
		if !gone(one) {
			again := *one
			again.next, *end = nil, &again
			end = &again.next
		}
	}
	h.first.Store(kept)
	for one := old; one != nil; one = one.next {
		if gone(one) {
			one.wipe()
		}
	}
}

// holds reports whether something was opened from a record.
func (h *handles) holds(record fsm.ID) bool {
	for one := h.first.Load(); one != nil; one = one.next {
		if one.record == record {
			return true
		}
	}
	return false
}
