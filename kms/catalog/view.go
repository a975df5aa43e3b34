package catalog

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// ErrNotFound says that a view holds no such object.
var ErrNotFound = errors.New("catalog: no such object")

// View is the opened state after some command. It is immutable and safe for any number of readers,
// but its materials and secrets are wiped after Catalog.Seal: requests read it through a Hold.
type View struct {
	session     *session
	state       *fsm.View
	tenants     *btree.Map[string, *tenant]
	credentials *btree.Map[string, *Credential]
	settings    *btree.Map[string, *Setting]
	unreadable  *btree.Map[string, struct{}] // live records that do not open, see refKey
	due         *btree.BTreeG[dueItem]       // keys that the scheduler has to look at
	kinds       map[KeyKind]int              // how many keys there are of each
	bound       time.Duration

	// recent are keys that were looked up in this view, by a hash of their name, so that a look-up costs the
	// same whatever the number of keys.
	recent [256]atomic.Pointer[Key]
	known  [256]atomic.Pointer[auth.Credential] // likewise access keys, with what their identity may
}

var _ auth.Directory = (*View)(nil)

// Index returns the Raft index of the last command that the view holds.
func (v *View) Index() uint64 { return v.state.Index() }

// Epoch returns the number of the history that indexes count in.
func (v *View) Epoch() uint64 { return v.state.Epoch() }

// LogTime returns log time at the view's index, in ms.
func (v *View) LogTime() int64 { return v.state.LogTime() }

// IDs gives records their ids.
func (v *View) IDs() IDs { return IDs{v.session.barrier} }

// Members returns how many live records are in a scope.
func (v *View) Members(scope fsm.ScopeID) uint64 {
	_, members := v.state.Scope(scope)
	return members
}

// Txn returns how a transaction would be answered from memory, see fsm.View.
func (v *View) Txn(id fsm.TxnID, request [32]byte) (fsm.Outcome, bool) {
	return v.state.Txn(id, request)
}

// RevocationBound returns the setting of that name, or its default.
func (v *View) RevocationBound() time.Duration { return v.bound }

// LongestRevocationBound returns the longest bound that a lease may still have on a node that has not
// heard of the present one: the present bound, and for as long as it lasts a longer earlier one. now is
// log time in ms.
func (v *View) LongestRevocationBound(now int64) time.Duration {
	const slack = time.Minute // between the stamp of a change and its commit
	s, err := v.Setting(kms.SettingRevocationBound)
	if errors.Is(err, ErrNotFound) || err == nil && s.Longest == "" {
		return v.bound
	}
	if err != nil {
		return kms.MaxRevocationBound
	}
	longest, err := kms.ParseRevocationBound(s.Longest)
	if err != nil {
		return kms.MaxRevocationBound
	}
	if now > s.Changed+(longest+slack).Milliseconds() {
		return v.bound
	}
	return max(v.bound, longest)
}

// Unreadable returns how many live records do not open. Material is not counted before its first use.
func (v *View) Unreadable() int { return v.unreadable.Len() }

// KeyKind is what keys are counted by.
type KeyKind struct {
	Spec  kms.KeySpec
	State kms.KeyState
}

// KeyKinds returns how many keys there are of each spec in each state, of all accounts and regions. It is not to be changed.
func (v *View) KeyKinds() map[KeyKind]int { return v.kinds }

// Account returns an account. Errors: ErrNotFound, or CodeUnavailable when its record does not open.
func (v *View) Account(id string) (*Account, error) {
	if t, ok := v.tenants.Get(id); ok && t.account != nil {
		return t.account, nil
	}
	return nil, v.missing(func() fsm.Ref { return v.IDs().Account(id) })
}

// Accounts returns up to limit accounts whose id is above after, ascending.
func (v *View) Accounts(after string, limit int) []*Account {
	page := make([]*Account, 0, min(limit, v.tenants.Len()))
	v.tenants.Ascend(after, func(id string, t *tenant) bool {
		if id != after && t.account != nil {
			page = append(page, t.account)
		}
		return len(page) < limit
	})
	return page
}

// Key returns a key by the bytes of its id. Errors: ErrNotFound, or CodeUnavailable when its record
// or its policy's does not open.
func (v *View) Key(s kms.Scope, raw [16]byte) (*Key, error) {
	recent := &v.recent[recentPlace(s, raw)]
	if k := recent.Load(); k != nil && k.Raw == raw && k.Scope == s {
		return k, nil
	}
	if r := v.region(s); r != nil {
		if item, ok := r.keys.Get(keyPivot(raw)); ok {
			if item.key.Policy.Document == nil {
				return nil, errUnavailable()
			}
			recent.Store(item.key)
			return item.key, nil
		}
	}
	return nil, v.missing(
		func() fsm.Ref { return v.IDs().Key(s, kms.KeyIDFromBytes(raw)) },
		func() fsm.Ref { return v.IDs().Key(s, kms.MultiRegionIDFromBytes(raw)) })
}

// DefaultPolicy returns the default key policy of an account, nil of one that is not there.
func (v *View) DefaultPolicy(account string) *Document {
	if t, ok := v.tenants.Get(account); ok {
		return t.policy
	}
	return nil
}

// KeyAnywhere returns the key of a region by the bytes of its id, in whatever account it is.
func (v *View) KeyAnywhere(region string, raw [16]byte) (found *Key) {
	v.tenants.Scan(func(id string, _ *tenant) bool {
		if k, err := v.Key(kms.Scope{Account: id, Region: region}, raw); err == nil {
			found = k
		}
		return found == nil
	})
	return found
}

// recentPlace spreads keys over View.recent. Key ids are random; those of a multi-Region key differ in the
// region.
func recentPlace(s kms.Scope, raw [16]byte) uint8 {
	place := raw[15] ^ raw[0]
	if n := len(s.Region); n > 0 {
		place += s.Region[0] + s.Region[n-1]<<4
	}
	return place
}

// Keys returns up to limit keys of the scope whose id is above after (the zero id is below all),
// ascending.
func (v *View) Keys(s kms.Scope, after [16]byte, limit int) []*Key {
	r := v.region(s)
	if r == nil {
		return nil
	}
	page := make([]*Key, 0, min(limit, r.keys.Len()))
	pivot := keyPivot(after)
	r.keys.Ascend(pivot, func(item keyItem) bool {
		if keyLess(pivot, item) {
			page = append(page, item.key)
		}
		return len(page) < limit
	})
	return page
}

// Alias returns an alias by its name, "alias/" included. Errors: ErrNotFound, or CodeUnavailable
// when its record does not open.
func (v *View) Alias(s kms.Scope, name string) (*Alias, error) {
	if r := v.region(s); r != nil {
		if a, ok := r.aliases.Get(name); ok {
			return a, nil
		}
	}
	return nil, v.missing(func() fsm.Ref { return v.IDs().Alias(s, name) })
}

// Aliases returns up to limit aliases of the scope whose name is above after, ascending.
func (v *View) Aliases(s kms.Scope, after string, limit int) []*Alias {
	r := v.region(s)
	if r == nil {
		return nil
	}
	page := make([]*Alias, 0, min(limit, r.aliases.Len()))
	r.aliases.Ascend(after, func(name string, a *Alias) bool {
		if name != after {
			page = append(page, a)
		}
		return len(page) < limit
	})
	return page
}

// AliasesOf is Aliases of one key.
func (v *View) AliasesOf(s kms.Scope, target [16]byte, after string, limit int) []*Alias {
	r := v.region(s)
	if r == nil {
		return nil
	}
	var page []*Alias
	pivot := targetPivot(target, after)
	r.byTarget.Ascend(pivot, func(item targetItem) bool {
		if keyLess(pivot.keyItem, item.keyItem) {
			return false
		}
		if item.name != after {
			page = append(page, item.alias)
		}
		return len(page) < limit
	})
	return page
}

// Setting returns a setting that was written. Errors: ErrNotFound, or CodeUnavailable when its
// record does not open.
func (v *View) Setting(name string) (*Setting, error) {
	if s, ok := v.settings.Get(name); ok {
		return s, nil
	}
	return nil, v.missing(func() fsm.Ref { return v.IDs().Setting(name) })
}

func (v *View) region(s kms.Scope) *region {
	if t, ok := v.tenants.Get(s.Account); ok {
		return t.region(s.Region)
	}
	return nil
}

// missing tells an object that is not there from one whose record does not open. Only a node with
// unreadable records asks what the record would be.
func (v *View) missing(refs ...func() fsm.Ref) error {
	if v.unreadable.Len() > 0 {
		for _, ref := range refs {
			if _, damaged := v.unreadable.Get(refKey(ref())); damaged {
				return errUnavailable()
			}
		}
	}
	return ErrNotFound
}

func refKey(r fsm.Ref) string { return string(rune(r.Kind)) + string(r.ID) }

// Open returns the body of a record, that of a tombstone too: a pointer to the record type of the
// kind, the caller's own. Errors: ErrNotFound, or CodeUnavailable when it does not open.
func (v *View) Open(ref fsm.Ref) (body any, err error) {
	r, ok := v.state.GetAny(ref.Kind, ref.ID)
	if !ok {
		return nil, ErrNotFound
	}
	if body, err = records.open(v.session.barrier, ref, r); err != nil {
		return nil, unavailable(err)
	}
	return body, nil
}

// Has reports whether there is a live record.
func (v *View) Has(ref fsm.Ref) bool {
	_, live := v.state.Revision(ref.Kind, ref.ID)
	return live
}

// Guard guards that a record is as the view has it, live or not there.
func (v *View) Guard(ref fsm.Ref) fsm.Guard {
	revision, live := v.state.Revision(ref.Kind, ref.ID)
	if !live {
		revision = 0
	}
	return fsm.Guard{Kind: ref.Kind, ID: ref.ID, Revision: revision}
}

// Unchanged guards that no record came into a scope, went or was written since the view.
func (v *View) Unchanged(scope fsm.ScopeID) fsm.ScopeGuard {
	revision, _ := v.state.Scope(scope)
	return fsm.ScopeGuard{Scope: scope, Exact: true, Revision: revision}
}

// Absent guards that there is no such live record.
func Absent(ref fsm.Ref) fsm.Guard { return fsm.Guard{Kind: ref.Kind, ID: ref.ID} }

// Put makes the write of a record, sealed at a revision above every one that the view can know of.
// body is a pointer to the record type of ref's kind.
func (v *View) Put(ref fsm.Ref, body any, scopes ...fsm.ScopeID) (fsm.Write, error) {
	revision := v.Index() + 1
	old, _ := v.state.Revision(ref.Kind, ref.ID)
	return Write(v.session.barrier, ref, max(revision, old+1), body, scopes...)
}

// Delete makes the write that leaves a tombstone. It holds the last body: that is how the catalog
// knows what went, and how a retry is answered.
func (v *View) Delete(ref fsm.Ref, body any) (fsm.Write, error) {
	w, err := v.Put(ref, body)
	w.Delete = true
	return w, err
}

func errUnavailable() error {
	return kms.Errorf(kms.CodeUnavailable, "A record of this object cannot be read on this node.")
}

// unavailable is the caller's view of a record that does not open; the barrier's own refusal, that
// the node is sealed, stays what it is.
func unavailable(err error) error {
	var e *kms.Error
	if errors.As(err, &e) && e.Code == kms.CodeSealed {
		return err
	}
	u := kms.AsError(errUnavailable())
	u.Reason = "unreadable_record"
	return u.WithCause(err)
}
