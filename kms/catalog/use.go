package catalog

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lockstep-kms/lockstep/kms"
)

// maxNoted is how many callers of a key are kept in memory.
const maxNoted = kms.MaxCallers * 4

// useEvery is the exactness of what is noted, in milliseconds: within it, a repeated use by the same
// caller changes nothing.
const useEvery = 1000

// use is what this node knows of the use of one key, since it was unsealed. Entries are never changed in place.
type use struct {
	// recent has the latest uses by a hash of operation and caller. It is read and written without a lock, and
	// only saves work: what is not found there is looked at below.
	recent [16]atomic.Pointer[kms.KeyUse]

	mu         sync.Mutex
	operations map[string]*kms.KeyUse // guarded by mu: the last use by operation
	callers    map[string]*kms.KeyUse // guarded by mu: the last use by principal, at most maxNoted
	dirty      bool                   // guarded by mu: used since it was drained
}

// useSeed keeps callers from choosing names that meet in use.recent. It is immutable.
var useSeed = maphash.MakeSeed()

// NoteUse notes a successful use of the key. It costs next to nothing when the caller did the same within the
// last second, and then changes nothing.
func (k *Key) NoteUse(operation string, at int64, principalARN, requestID string, eventID [16]byte) {
	u := k.handles.use.Load()
	if u == nil {
		k.handles.use.CompareAndSwap(nil, &use{operations: map[string]*kms.KeyUse{}, callers: map[string]*kms.KeyUse{}})
		u = k.handles.use.Load()
	}
	place := (maphash.String(useSeed, principalARN) ^ maphash.String(useSeed, operation)) % uint64(len(u.recent))
	for i := range uint64(2) { // two uses that meet do not drive each other out
		one := u.recent[place^i].Load()
		// One that is later by more is of a clock that was set back since.
		if one != nil && at-one.At < useEvery && one.At-at < useEvery && one.Operation == operation && one.Principal == principalARN {
			return
		}
	}
	one := &kms.KeyUse{Operation: operation, At: at, EventID: kms.KeyIDFromBytes(eventID), RequestID: requestID, Principal: principalARN}
	if old, other := u.recent[place].Load(), u.recent[place^1].Load(); old != nil && (other == nil || other.At < old.At) {
		place ^= 1
	}
	u.recent[place].Store(one)
	if u.note(one) {
		k.handles.session.used.add(k)
	}
}

// KeepUse makes a key be drained again, after what was drained of it could not be written.
func (k *Key) KeepUse() {
	u := k.handles.use.Load()
	u.mu.Lock()
	first := !u.dirty
	u.dirty = true
	u.mu.Unlock()
	if first {
		k.handles.session.used.add(k)
	}
}

// note reports whether this is the first use since the last drain.
func (u *use) note(one *kms.KeyUse) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	put := func(all map[string]*kms.KeyUse, name string) {
		if old := all[name]; old == nil || compareUses(one, old) < 0 {
			all[name] = one
		}
	}
	put(u.operations, one.Operation)
	put(u.callers, one.Principal)
	if len(u.callers) > maxNoted {
		oldest := one
		for _, other := range u.callers {
			if compareUses(other, oldest) > 0 {
				oldest = other
			}
		}
		delete(u.callers, oldest.Principal)
	}
	first := !u.dirty
	u.dirty = true
	return first
}

// Used returns what this node noted of the key's use since it was unsealed.
func (k *Key) Used() kms.Usage {
	all := kms.Usage{Schema: schema, Scope: k.Scope, KeyID: k.ID}
	if u := k.handles.use.Load(); u != nil {
		u.mu.Lock()
		for _, one := range u.operations {
			all.Operations = append(all.Operations, *one)
		}
		for _, one := range u.callers {
			all.Callers = append(all.Callers, *one)
		}
		u.mu.Unlock()
	}
	return MergeUsage(all, kms.Usage{})
}

// MergeUsage returns what two reports of one key's use say together: the last use by each operation, by name,
// and by each caller, latest first and at most kms.MaxCallers. It does not matter in which order, how often and
// in what groups reports are merged.
func MergeUsage(a, b kms.Usage) kms.Usage {
	m := kms.Usage{Schema: max(a.Schema, b.Schema), Scope: a.Scope, KeyID: a.KeyID}
	if m.KeyID == "" {
		m.Scope, m.KeyID = b.Scope, b.KeyID
	}
	m.Operations = latest(func(one *kms.KeyUse) string { return one.Operation }, a.Operations, b.Operations)
	slices.SortFunc(m.Operations, func(x, y kms.KeyUse) int { return cmp.Compare(x.Operation, y.Operation) })
	m.Callers = latest(func(one *kms.KeyUse) string { return one.Principal }, a.Callers, b.Callers)
	slices.SortFunc(m.Callers, func(x, y kms.KeyUse) int { return compareUses(&x, &y) })
	m.Callers = m.Callers[:min(len(m.Callers), kms.MaxCallers)]
	return m
}

// latest returns the last use of each name.
func latest(name func(*kms.KeyUse) string, lists ...[]kms.KeyUse) []kms.KeyUse {
	var out []kms.KeyUse
	at := map[string]int{}
	for _, list := range lists {
		for _, one := range list {
			i, ok := at[name(&one)]
			if !ok {
				at[name(&one)] = len(out)
				out = append(out, one)
			} else if compareUses(&one, &out[i]) < 0 {
				out[i] = one
			}
		}
	}
	return out
}

// compareUses orders uses, the later first. No two different ones are equal.
func compareUses(a, b *kms.KeyUse) int {
	return cmp.Or(-cmp.Compare(a.At, b.At), cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Operation, b.Operation),
		cmp.Compare(a.EventID, b.EventID), cmp.Compare(a.RequestID, b.RequestID))
}

// used are the keys that were used since they were drained, in the order of their first use.
type used struct {
	mu   sync.Mutex
	keys []*Key // guarded by mu
}

func (u *used) add(k *Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.keys = append(u.keys, k)
}

// UsedKeys returns how many keys were used on this node since they were drained.
func (v *View) UsedKeys() int {
	u := &v.session.used
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.keys)
}

// DrainUse returns up to limit keys, as the view has them, that were used on this node since they were drained,
// the longest waiting first. They count as drained then; what was noted stays. Keys that are gone are left out.
func (v *View) DrainUse(limit int) []*Key {
	u := &v.session.used
	u.mu.Lock()
	n := max(0, min(limit, len(u.keys)))
	drained := slices.Clone(u.keys[:n])
	u.keys = slices.Delete(u.keys, 0, n)
	u.mu.Unlock()
	now := make([]*Key, 0, n)
	for _, k := range drained {
		use := k.handles.use.Load()
		use.mu.Lock()
		use.dirty = false
		use.mu.Unlock()
		if r := v.region(k.Scope); r != nil {
			if item, ok := r.keys.Get(keyPivot(k.Raw)); ok && item.key.handles == k.handles {
				now = append(now, item.key)
			}
		}
	}
	return now
}

// AccessKeyUse is the last successful use of an access key.
type AccessKeyUse struct {
	At      int64  `cbor:"1,keyasint"` // Unix milliseconds; 0: none
	Service string `cbor:"2,keyasint"` // "kms"
	Region  string `cbor:"3,keyasint"`
}

// accessKeyUse is what this node knows of the use of an access key.
type accessKeyUse struct {
	last    atomic.Pointer[AccessKeyUse]
	written atomic.Int64 // up to when it is in the records
}

// NoteAccessKey notes a successful use of an access key. Within a second of the last one it changes nothing.
func (v *View) NoteAccessKey(id string, at int64, service, region string) {
	all := &v.session.accessKeys
	known, ok := all.Load(id)
	if !ok {
		known, _ = all.LoadOrStore(id, new(accessKeyUse))
	}
	last := &known.(*accessKeyUse).last
	if old := last.Load(); old == nil || at-old.At >= useEvery {
		last.Store(&AccessKeyUse{at, service, region})
	}
}

// AccessKeyUsed returns when an access key was last used on this node since it was unsealed.
func (v *View) AccessKeyUsed(id string) AccessKeyUse {
	if known, ok := v.session.accessKeys.Load(id); ok {
		if last := known.(*accessKeyUse).last.Load(); last != nil {
			return *last
		}
	}
	return AccessKeyUse{}
}

// UsedAccessKeys returns the access keys whose use on this node is not noted as written.
func (v *View) UsedAccessKeys() (ids []string) {
	v.session.accessKeys.Range(func(id, known any) bool {
		u := known.(*accessKeyUse)
		if last := u.last.Load(); last != nil && last.At > u.written.Load() {
			ids = append(ids, id.(string))
		}
		return true
	})
	return ids
}

// AccessKeyWritten notes that uses of an access key up to a time are in the records, or need not be.
func (v *View) AccessKeyWritten(id string, at int64) {
	if known, ok := v.session.accessKeys.Load(id); ok {
		known.(*accessKeyUse).written.Store(at)
	}
}

// AccessKeyUsage returns what the records tell of an access key's use; the zero value when there is none. The error is
// CodeUnavailable when the record does not open, or CodeSealed.
func (v *View) AccessKeyUsage(c *Credential) (AccessKeyUse, error) {
	ref := v.IDs().AccessKeyUsage(c.Account, c.AccessKeyID)
	r, ok := v.state.Get(ref.Kind, ref.ID)
	if !ok {
		return AccessKeyUse{}, nil
	}
	body, err := records.open(v.session.barrier, ref, r)
	if err != nil {
		return AccessKeyUse{}, unavailable(err)
	}
	u := body.(*kms.Usage)
	if len(u.Operations) != 1 {
		return AccessKeyUse{}, errUnavailable()
	}
	return AccessKeyUse{u.Operations[0].At, u.Operations[0].Operation, u.Scope.Region}, nil
}

// Usage returns the use as the body of its record: the service stands for the operation.
func (u AccessKeyUse) Usage(c *Credential) *kms.Usage {
	return &kms.Usage{Schema: schema, Scope: kms.Scope{Account: c.Account, Region: u.Region}, KeyID: c.AccessKeyID,
		Operations: []kms.KeyUse{{Operation: u.Service, At: u.At}}}
}
