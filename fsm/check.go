package fsm

import (
	"fmt"
	"slices"
)

// check says what makes a transaction one that no state could apply. It looks at the transaction
// alone, so the node that builds it, the leader that packs it and every node that applies it agree.
func (t *Txn) check() error {
	if t.ID == (TxnID{}) {
		return fmt.Errorf("fsm: the transaction has no id")
	}
	if err := checkEvent(t.Event); err != nil {
		return err
	}
	if t.Based < 0 {
		return fmt.Errorf("fsm: %s is based on a negative log time", t.Event)
	}
	if len(t.Guards) > MaxGuards || len(t.ScopeGuards) > MaxScopeGuards || len(t.Writes) > MaxWrites {
		return fmt.Errorf("fsm: %s has too many guards or writes", t.Event)
	}
	for i := range t.Guards {
		g := &t.Guards[i]
		if err := checkRef(g.Kind, g.ID); err != nil {
			return fmt.Errorf("fsm: %s: guard: %w", t.Event, err)
		}
		if g.Revision > maxRevision {
			return fmt.Errorf("fsm: %s: guard: revision out of bounds", t.Event)
		}
	}
	for i := range t.Writes {
		w := &t.Writes[i]
		if err := w.check(); err != nil {
			return fmt.Errorf("fsm: %s: write of %v: %w", t.Event, w.Kind, err)
		}
		for j := range i {
			if t.Writes[j].Kind == w.Kind && t.Writes[j].ID == w.ID {
				return fmt.Errorf("fsm: %s writes one %v twice", t.Event, w.Kind)
			}
		}
	}
	return nil
}

func checkEvent(event string) error {
	if len(event) == 0 || len(event) > MaxEvent {
		return fmt.Errorf("fsm: an event name has 1 to %d bytes", MaxEvent)
	}
	for i := range len(event) {
		if c := event[i]; (c < 'a' || c > 'z') && c != '.' && c != '_' {
			return fmt.Errorf("fsm: an event name has only [a-z._]")
		}
	}
	return nil
}

func checkRef(kind Kind, id ID) error {
	if !kind.valid() {
		return fmt.Errorf("%v is not known to this release", kind)
	}
	if len(id) == 0 || len(id) > MaxID {
		return fmt.Errorf("an id has 1 to %d bytes", MaxID)
	}
	return nil
}

func (w *Write) check() error {
	if w.Delete && len(w.Scopes) > 0 {
		return fmt.Errorf("a tombstone is in no scope")
	}
	return checkRecord(w.Kind, w.ID, w.Revision, w.Term, w.Body, w.Scopes)
}

// checkRecord holds for every record of a state, written or restored.
func checkRecord(kind Kind, id ID, revision uint64, term uint32, body []byte, scopes []ScopeID) error {
	if err := checkRef(kind, id); err != nil {
		return err
	}
	switch {
	case revision == 0 || revision > maxRevision:
		return fmt.Errorf("revision out of bounds")
	case kind.clear() != (term == 0):
		return fmt.Errorf("term %d: clear text kinds have term 0, and only those", term)
	case len(body) == 0 || len(body) > MaxBody:
		return fmt.Errorf("a body has 1 to %d bytes", MaxBody)
	case len(scopes) > MaxScopes:
		return fmt.Errorf("a record is in at most %d scopes", MaxScopes)
	}
	for i := range scopes {
		if slices.Contains(scopes[:i], scopes[i]) {
			return fmt.Errorf("a scope is named twice")
		}
	}
	return nil
}
