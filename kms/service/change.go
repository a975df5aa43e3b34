package service

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// change is what a decision wants written, and what it answers then.
type change struct {
	event  string
	guards []fsm.Guard // of what the decision read beside what the gate did
	below  []fsm.ScopeGuard
	writes []fsm.Write
	answer any
}

// put adds the write of a record, sealed for the request's view.
func (c *change) put(r *request, ref fsm.Ref, body any, scopes ...fsm.ScopeID) error {
	return c.write(r.view.Put(ref, body, scopes...))
}

// delete adds the write that leaves a tombstone with the last body.
func (c *change) delete(r *request, ref fsm.Ref, body any) error {
	return c.write(r.view.Delete(ref, body))
}

func (c *change) write(w fsm.Write, err error) error {
	c.writes = append(c.writes, w)
	return err
}

// guard adds guards of what the decision read.
func (c *change) guard(guards ...fsm.Guard) { c.guards = append(c.guards, guards...) }

// change decides and proposes until a decision holds.
func (r *request) change(ctx context.Context) (any, error) {
	if err := r.Audit.Healthy(); err != nil {
		return nil, err
	}
	r.guarding = true
	for range maxAttempts {
		var txn fsm.Txn
		answer, err := r.decide(ctx, func(r *request) (any, error) { return r.plan(&txn) })
		if err != nil {
			return nil, err
		}
		outcome, err := r.Replica.Propose(ctx, &txn)
		if err != nil {
			return nil, err
		}
		r.look() // Propose returned when the catalog had opened the outcome
		switch outcome.Status {
		case fsm.Applied, fsm.Repeated:
			r.index, r.applied = outcome.Index, true
			if outcome.Status == fsm.Repeated && r.call.IdempotencyKey != "" {
				return r.repeat(ctx, outcome.Refs)
			}
			return answer, nil // also when it is this very transaction that was met again
		case fsm.Full:
			// What takes rights away may use the room that is kept free of what is remembered for long.
			if !txn.Long || !r.op.Revokes {
				return nil, refused(outcome)
			}
			r.brief = true
		case fsm.Conflict, fsm.Stale:
			r.Logger.DebugContext(ctx, "a change is decided again", "operation", r.op.Name, "conflict", outcome.Detail)
		default:
			return nil, refused(outcome)
		}
	}
	return nil, errContended()
}

func errContended() error {
	return kms.Errorf(kms.CodeConflict, "Other changes came first %d times; nothing was changed.", maxAttempts)
}

// repeat answers a request whose idempotency key was met before, from the records that the first one
// wrote. Nothing in the log guards what allows that now, and the outcome may have come from this
// node's own memory: so it is confirmed, authenticated and authorized as any read.
func (r *request) repeat(ctx context.Context, refs []fsm.Ref) (any, error) {
	if err := r.confirm(ctx); err != nil {
		return nil, err
	}
	return r.attempt(func(r *request) (any, error) { return r.use.replay(r, &records{r, refs}) })
}

// refused is what an outcome that did not apply means for the caller.
func refused(o fsm.Outcome) error {
	switch o.Status {
	case fsm.Mismatch:
		return kms.Errorf(kms.CodeIdempotencyMismatch, "The idempotency key was used for another request.")
	case fsm.Full:
		e := kms.Errorf(kms.CodeThrottled, "The cluster remembers as many recent changes as it can; try again later.")
		e.RetryAfter = 10 * time.Second
		return e
	default:
		return kms.Errorf(kms.CodeInternal, "The change was refused: %s.", o.Status)
	}
}

// plan decides a change on the current view and makes its transaction.
func (r *request) plan(txn *fsm.Txn) (any, error) {
	known, err := r.identify(txn)
	if err != nil {
		return nil, err
	}
	if known {
		// Only the log says whether the request is the same one. Were the first one forgotten just
		// now, this transaction does not hold and the change is decided.
		txn.Event, txn.Guards, txn.Writes = "request.repeated", never(), nil
		return nil, nil
	}
	c, err := r.use.change(r)
	if err != nil {
		return nil, err
	}
	txn.Event, txn.Writes, txn.ScopeGuards = c.event, c.writes, append(c.below, r.scanned...)
	txn.Guards = r.guards(c.guards)
	return c.answer, nil
}

// now is log time as this node reads it; it never goes back.
func (r *request) now() int64 { return max(r.Replica.LogNow(), r.view.LogTime()) }

// newTxnID returns a random transaction id.
func newTxnID() (id fsm.TxnID) {
	rand.Read(id[:])
	return id
}

// identify gives the transaction its id, and says whether the view remembers it.
func (r *request) identify(txn *fsm.Txn) (known bool, err error) {
	txn.Based = r.now()
	key := r.call.IdempotencyKey
	if key == "" {
		txn.ID = newTxnID()
		return false, nil
	}
	ids := r.view.IDs()
	id := ids.Hash("txn", r.principal.Account, r.principal.UserID, r.op.Name, key)
	txn.ID, txn.Long = fsm.TxnID(id[:16]), !r.brief
	fields, err := canonical(r.call.Request)
	if err != nil {
		return false, err
	}
	txn.Request = ids.Hash("request", append(fields, r.op.Name, r.scope.Region)...)
	_, known = r.view.Txn(txn.ID, txn.Request)
	return known, nil
}

// canonical returns every field of a request, in order: equal requests have equal fields.
func canonical(request any) ([]string, error) {
	v := reflect.ValueOf(request).Elem()
	fields := make([]string, v.NumField(), v.NumField()+2)
	for i := range fields {
		text, err := json.Marshal(v.Field(i).Interface()) // sorts maps
		if err != nil {
			return nil, kms.Errorf(kms.CodeInvalidRequest, "The field %s cannot be represented.", v.Type().Field(i).Name)
		}
		fields[i] = string(text)
	}
	return fields, nil
}

// never is a guard that does not hold in any state: no record has that id.
func never() []fsm.Guard {
	return []fsm.Guard{{Kind: fsm.KindMaterial, ID: "-", Revision: 1}}
}

// guards returns the guards of everything the decision read, each once.
func (r *request) guards(own []fsm.Guard) []fsm.Guard {
	all := make([]fsm.Guard, 0, len(own)+8)
	add := func(g fsm.Guard) {
		if !slices.Contains(all, g) {
			all = append(all, g)
		}
	}
	for _, g := range own {
		add(g)
	}
	for _, g := range r.granted {
		add(g)
	}
	for i := range r.reads {
		for _, ref := range r.reads[i].Read() {
			add(fsm.Guard{Kind: fsm.Kind(ref.Kind), ID: fsm.ID(ref.ID), Revision: ref.Revision})
		}
	}
	return all
}

// records are those that the first request of an id wrote, as the current view has them.
type records struct {
	request *request
	refs    []fsm.Ref
}

// record opens the record of T's kind among them. What is gone meanwhile is answered from its
// tombstone.
func record[T any](rs *records, kind fsm.Kind) (*T, error) {
	for _, ref := range rs.refs {
		if ref.Kind != kind {
			continue
		}
		body, err := rs.request.view.Open(ref)
		if err != nil {
			return nil, notFound(err, "What the first request made is gone.")
		}
		if t, ok := body.(*T); ok {
			return t, nil
		}
	}
	return nil, kms.Errorf(kms.CodeIdempotencyMismatch, "The idempotency key was used for another request.")
}

// absent returns the guard that there is no such record, given what looking for it returned.
func absent(err error, ref fsm.Ref, taken string, args ...any) (fsm.Guard, error) {
	if err == nil {
		return fsm.Guard{}, kms.Errorf(kms.CodeAlreadyExists, taken, args...)
	}
	if notFound(err, "") == err { // something else
		return fsm.Guard{}, err
	}
	return catalog.Absent(ref), nil
}
