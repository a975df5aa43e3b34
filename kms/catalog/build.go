package catalog

import (
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// indexed are the kinds that the catalog keeps opened, in an order in which each needs only those
// before it. Policies are read with their keys, material and usage when somebody asks; of material it only
// matters here that what was opened is no more.
var indexed = [...]fsm.Kind{
	fsm.KindAccount, fsm.KindIdentity, fsm.KindCredential, fsm.KindManagedPolicy, fsm.KindProvider,
	fsm.KindKey, fsm.KindAlias, fsm.KindGrant, fsm.KindSetting, fsm.KindPolicy,
}

// builder holds the working trees. It belongs to one goroutine.
type builder struct {
	session   *session
	partition string
	log       *slog.Logger
	inherit   *View                 // keys keep the opened materials they had here; nil at the first load
	kept      map[*handles]struct{} // those that keys kept

	accounts    map[string]*account
	credentials *btree.Map[string, *Credential]
	tenants     *btree.Map[string, *tenant] // as published
	settings    *btree.Map[string, *Setting]
	unreadable  *btree.Map[string, struct{}]
	due         *btree.BTreeG[dueItem]
	kinds       map[KeyKind]int     // how many keys there are of each
	published   map[KeyKind]int     // a copy of kinds that views have, nil when it is no longer the same
	grants      map[fsm.ID]*Grant   // by record
	dirty       map[string]*account // accounts to publish

	// policies are those that the keys of the current batch were read with; nil during a load.
	policies map[fsm.ID]uint64
}

// account is the working state of one account.
type account struct {
	tenant
	id        string               // the one string of it that all its entries share
	touched   map[*region]struct{} // regions to publish
	published map[*region]*region  // what was published of each last
	changed   bool                 // people have to be published
	last      *people              // what was published of them last
}

func newBuilder(s *session, partition string, log *slog.Logger, inherit *View) *builder {
	return &builder{
		session: s, partition: partition, log: log, inherit: inherit, kept: map[*handles]struct{}{},
		accounts:    map[string]*account{},
		credentials: btree.NewMap[string, *Credential](treeDegree),
		tenants:     btree.NewMap[string, *tenant](treeDegree),
		settings:    btree.NewMap[string, *Setting](treeDegree),
		unreadable:  btree.NewMap[string, struct{}](treeDegree),
		due:         btree.NewBTreeGOptions(dueLess, treeOptions),
		kinds:       map[KeyKind]int{},
		grants:      map[fsm.ID]*Grant{},
		dirty:       map[string]*account{},
	}
}

// load takes every record of the state.
func (b *builder) load(state *fsm.View) error {
	b.session.follow(state)
	for _, kind := range indexed {
		if kind == fsm.KindPolicy {
			continue
		}
		refs := make([]fsm.Ref, 0, state.Count(kind))
		state.Ascend(kind, "", func(id fsm.ID, _ fsm.Record) bool {
			refs = append(refs, fsm.Ref{Kind: kind, ID: id})
			return true
		})
		if err := b.take(state, refs); err != nil {
			return err
		}
	}
	return nil
}

// update takes the records that changed, as the state has them now. A policy that was read with its
// key, which came in the same batch, is not read again.
func (b *builder) update(state *fsm.View, changes []fsm.Change) error {
	b.session.follow(state)
	var refs []fsm.Ref
	for _, c := range changes {
		for _, r := range c.Refs {
			if r.Kind == fsm.KindMaterial {
				b.session.dropMaterial(state, r.ID)
			}
			if slices.Contains(indexed[:], r.Kind) {
				refs = append(refs, r)
			}
		}
	}
	slices.SortStableFunc(refs, func(x, y fsm.Ref) int {
		return slices.Index(indexed[:], x.Kind) - slices.Index(indexed[:], y.Kind)
	})
	policies := slices.IndexFunc(refs, func(r fsm.Ref) bool { return r.Kind == fsm.KindPolicy })
	if policies < 0 {
		return b.take(state, refs)
	}
	b.policies = map[fsm.ID]uint64{}
	defer func() { b.policies = nil }()
	if err := b.take(state, refs[:policies]); err != nil {
		return err
	}
	return b.take(state, slices.DeleteFunc(refs[policies:], func(r fsm.Ref) bool {
		revision, read := b.policies[r.ID]
		now, _ := state.Get(r.Kind, r.ID)
		return read && revision == now.Revision
	}))
}

// found is a record as it was read.
type found struct {
	ref    fsm.Ref
	record fsm.Record
	body   any
	policy Policy // of a key
	err    error
}

// take reads records, on every core when they are many, and puts them into the trees in order. The
// error is CodeSealed.
func (b *builder) take(state *fsm.View, refs []fsm.Ref) error {
	const chunk = 512 // bounds the memory of a load
	for part := range slices.Chunk(refs, chunk*runtime.GOMAXPROCS(0)) {
		all := make([]found, len(part))
		b.read(state, part, all)
		for i := range all {
			f := &all[i]
			if errors.Is(f.err, kms.Errorf(kms.CodeSealed, "")) {
				return f.err
			}
			b.put(f)
		}
	}
	return nil
}

func (b *builder) read(state *fsm.View, refs []fsm.Ref, into []found) {
	const few = 16
	workers := min(runtime.GOMAXPROCS(0), (len(refs)+few-1)/few)
	if workers <= 1 {
		for i, r := range refs {
			into[i] = b.open(state, r)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w * len(refs) / workers; i < (w+1)*len(refs)/workers; i++ {
				into[i] = b.open(state, refs[i])
			}
		})
	}
	wg.Wait()
}

// open reads one record, and a key's policy with it.
func (b *builder) open(state *fsm.View, ref fsm.Ref) found {
	f := found{ref: ref}
	var ok bool
	if f.record, ok = state.GetAny(ref.Kind, ref.ID); !ok {
		f.err = ErrNotFound // a tombstone that was dropped
		return f
	}
	f.body, f.err = records.open(b.session.barrier, ref, f.record)
	if k, isKey := f.body.(*kms.Key); isKey && f.err == nil && !f.record.Deleted && !k.DefaultPolicy {
		ref := IDs{b.session.barrier}.Policy(k.Scope, k.ID)
		f.policy.Record = ref.ID
		if r, ok := state.Get(ref.Kind, ref.ID); ok {
			f.policy = b.policy(ref, r)
		}
	}
	return f
}

// policy returns the policy of a record, without a document when it does not open.
func (b *builder) policy(ref fsm.Ref, r fsm.Record) Policy {
	body, err := records.open(b.session.barrier, ref, r)
	if err != nil {
		b.alarm(ref, err)
		return Policy{Record: ref.ID}
	}
	return Policy{Record: ref.ID, Revision: r.Revision, Document: newDocument(policy.KeyPolicy, body.(*kms.Policy).Document)}
}

func (b *builder) alarm(ref fsm.Ref, err error) {
	b.log.Error("a record does not open: its object is unavailable on this node", "record", ref.String(), "error", err)
}

// put puts what was read into the trees.
func (b *builder) put(f *found) {
	switch {
	case errors.Is(f.err, ErrNotFound), f.err != nil && f.record.Deleted:
		b.dropRecord(f.ref)
		b.unreadable.Delete(refKey(f.ref))
		return
	case f.err != nil:
		b.alarm(f.ref, f.err)
		b.dropRecord(f.ref)
		if f.ref.Kind != fsm.KindPolicy { // counted with its key
			b.unreadable.Set(refKey(f.ref), struct{}{})
		}
		return
	}
	b.unreadable.Delete(refKey(f.ref))
	switch body := f.body.(type) {
	case *kms.Account:
		b.putAccount(f, body)
	case *kms.Identity:
		b.putIdentity(f, body)
	case *kms.Credential:
		b.putCredential(f, body)
	case *kms.ManagedPolicy:
		b.putManagedPolicy(f, body)
	case *kms.Provider:
		b.putProvider(f, body)
	case *kms.Key:
		b.putKey(f, body)
	case *kms.Alias:
		b.putAlias(f, body)
	case *kms.Grant:
		b.putGrant(f, body)
	case *kms.Policy:
		b.putPolicy(f, body)
	case *kms.Setting:
		b.putSetting(f, body)
	}
}

// account returns the working state of an account and marks it to be published.
func (b *builder) account(id string) *account {
	a := b.accounts[id]
	if a == nil {
		a = &account{
			tenant:  tenant{people: newPeople(), policy: newDocument(policy.KeyPolicy, auth.DefaultKeyPolicy(b.partition, id))},
			id:      id,
			touched: map[*region]struct{}{}, published: map[*region]*region{}, changed: true,
		}
		b.accounts[id] = a
	}
	b.dirty[id] = a
	return a
}

// region returns the working state of an account's region and marks it to be published.
func (a *account) region(name string) *region {
	r := a.tenant.region(name)
	if r == nil {
		r = newRegion(kms.Scope{Account: a.id, Region: name})
		a.regions = append(a.regions, r)
	}
	a.touched[r] = struct{}{}
	return r
}

func (b *builder) putAccount(f *found, body *kms.Account) {
	a := b.account(body.ID)
	a.account = nil
	if !f.record.Deleted {
		body.ID = a.id
		a.account = &Account{Account: *body, Record: f.ref.ID, Revision: f.record.Revision}
	}
}

// peopleChanged returns the working people of an account and marks them to be published.
func (a *account) peopleChanged() *people {
	a.changed = true
	return a.people
}

func (b *builder) putKey(f *found, body *kms.Key) {
	a := b.account(body.Scope.Account)
	r := a.region(body.Scope.Region)
	raw, err := kms.KeyIDBytes(body.ID)
	if err != nil {
		return // checked when it was decoded
	}
	if f.record.Deleted {
		b.dropKey(r, raw)
		return
	}
	k := &Key{Key: *body, Raw: raw, Record: f.ref.ID, Revision: f.record.Revision, Policy: f.policy}
	k.Scope, k.State, k.Spec, k.Usage, k.Origin = r.scope, shared(k.State), shared(k.Spec), shared(k.Usage), shared(k.Origin)
	k.ARN = kms.ARN(b.partition, k.Scope, "key/"+k.ID)
	k.ID = k.ARN[len(k.ARN)-len(k.ID):]
	if k.DefaultPolicy {
		k.Policy = Policy{Document: a.policy, key: k}
	}
	a.share(&k.Policy)
	if b.policies != nil && k.Policy.Document != nil {
		b.policies[k.Policy.Record] = k.Policy.Revision
	}
	k.handles = b.handlesOf(r, k)
	b.setKey(r, k)
}

// setKey puts an entry of a key in place of the one that is there.
func (b *builder) setKey(r *region, k *Key) {
	k.own()
	b.notePolicy(k)
	item := keyPivot(k.Raw)
	item.key = k
	if old, ok := r.keys.Set(item); ok {
		b.setDue(old.key, false)
		b.count(old.key, -1)
	}
	b.setDue(k, true)
	b.count(k, 1)
}

// count notes that there are more or fewer keys of k's kind.
func (b *builder) count(k *Key, change int) {
	kind := KeyKind{k.Spec, k.State}
	if b.kinds[kind] += change; b.kinds[kind] == 0 {
		delete(b.kinds, kind)
	}
	b.published = nil
}

// dropKey takes out a key that is gone, and what was opened of it.
func (b *builder) dropKey(r *region, raw [16]byte) {
	if old, ok := r.keys.Delete(keyPivot(raw)); ok {
		b.setDue(old.key, false)
		b.count(old.key, -1)
		b.session.dropHandles(old.key.handles)
	}
}

func (b *builder) setDue(k *Key, is bool) {
	switch at := k.Due(); {
	case at <= 0:
	case is:
		b.due.Set(dueItem{at, k})
	default:
		b.due.Delete(dueItem{at, k})
	}
}

// handlesOf returns the opened materials that a key has already, or a place for them.
func (b *builder) handlesOf(r *region, k *Key) *handles {
	if old, ok := r.keys.Get(keyPivot(k.Raw)); ok {
		return old.key.handles
	}
	if b.inherit != nil {
		if from := b.inherit.region(k.Scope); from != nil {
			if old, ok := from.keys.Get(keyPivot(k.Raw)); ok {
				b.kept[old.key.handles] = struct{}{}
				return old.key.handles
			}
		}
	}
	return &handles{session: b.session}
}

// share makes the default policies of an account one string.
func (a *account) share(p *Policy) {
	if p.Document != nil && p.Document.Text == a.policy.Text {
		p.Document = a.policy
	}
}

// notePolicy keeps count of keys that are unavailable for want of a policy, beside those whose own
// record does not open.
func (b *builder) notePolicy(k *Key) {
	ref := fsm.Ref{Kind: fsm.KindKey, ID: k.Record}
	if k.Policy.Document == nil {
		b.unreadable.Set(refKey(ref), struct{}{})
	} else if b.unreadable.Len() > 0 {
		b.unreadable.Delete(refKey(ref))
	}
}

// shared returns the constant of the same spelling, so that keys share it.
func shared[T ~string](s T) T {
	switch s {
	case T(kms.StateEnabled):
		return T(kms.StateEnabled)
	case T(kms.StateDisabled):
		return T(kms.StateDisabled)
	case T(kms.SymmetricDefault):
		return T(kms.SymmetricDefault)
	case T(kms.EncryptDecrypt):
		return T(kms.EncryptDecrypt)
	case T(kms.OriginAWSKMS):
		return T(kms.OriginAWSKMS)
	}
	return s
}

// putPolicy changes the policy of a key that is there; one that is not reads it when it comes.
func (b *builder) putPolicy(f *found, body *kms.Policy) {
	a := b.account(body.Scope.Account)
	r := a.region(body.Scope.Region)
	raw, err := kms.KeyIDBytes(body.KeyID)
	if err != nil {
		return
	}
	old, ok := r.keys.Get(keyPivot(raw))
	if !ok || old.key.DefaultPolicy {
		return
	}
	k := *old.key
	k.Policy = Policy{Record: f.ref.ID}
	if !f.record.Deleted {
		k.Policy.Revision, k.Policy.Document = f.record.Revision, newDocument(policy.KeyPolicy, body.Document)
		a.share(&k.Policy)
	}
	b.setKey(r, &k)
}

// putGrant puts a grant in place of the one that its record was before.
func (b *builder) putGrant(f *found, body *kms.Grant) {
	b.dropGrant(f.ref.ID)
	raw, err := kms.KeyIDBytes(body.KeyID)
	if f.record.Deleted || err != nil {
		return // checked when it was decoded
	}
	r := b.account(body.Scope.Account).region(body.Scope.Region)
	if r.grants == nil {
		r.grants = newGrants()
	}
	g := &Grant{Grant: *body, KeyRaw: raw, Record: f.ref.ID, Revision: f.record.Revision}
	g.Scope = r.scope
	if item, ok := r.keys.Get(keyPivot(raw)); ok && item.key.ID == g.KeyID {
		g.KeyID = item.key.ID
	}
	r.grants.set(g)
	b.grants[g.Record] = g
}

// dropGrant takes out the grant of a record.
func (b *builder) dropGrant(record fsm.ID) {
	g := b.grants[record]
	if g == nil {
		return
	}
	delete(b.grants, record)
	b.account(g.Scope.Account).region(g.Scope.Region).grants.delete(g)
}

func (b *builder) putAlias(f *found, body *kms.Alias) {
	a := b.account(body.Scope.Account)
	r := a.region(body.Scope.Region)
	if old, ok := r.aliases.Get(body.Name); ok {
		r.byTarget.Delete(targetPivot(old.Target, old.Name))
		r.aliases.Delete(body.Name)
	}
	if f.record.Deleted {
		return
	}
	target, err := kms.KeyIDBytes(body.KeyID)
	if err != nil {
		b.alarm(f.ref, err)
		b.unreadable.Set(refKey(f.ref), struct{}{})
		return
	}
	body.Scope = r.scope
	alias := &Alias{Alias: *body, Target: target, Record: f.ref.ID, Revision: f.record.Revision}
	r.aliases.Set(body.Name, alias)
	item := targetPivot(target, body.Name)
	item.alias = alias
	r.byTarget.Set(item)
}

func (b *builder) putSetting(f *found, body *kms.Setting) {
	if f.record.Deleted {
		b.settings.Delete(body.Name)
		return
	}
	b.settings.Set(body.Name, &Setting{Setting: *body, Record: f.ref.ID, Revision: f.record.Revision})
}

// publish returns the trees as they are as an immutable view.
func (b *builder) publish(state *fsm.View) *View {
	for id, a := range b.dirty {
		if a.changed {
			a.last, a.changed = a.people.copy(), false
		}
		t := &tenant{account: a.account, regions: make([]*region, len(a.regions)), people: a.last, policy: a.policy}
		for i, r := range a.regions {
			if _, changed := a.touched[r]; changed {
				a.published[r] = r.copy()
			}
			t.regions[i] = a.published[r]
		}
		clear(a.touched)
		b.tenants.Set(id, t)
	}
	clear(b.dirty)
	if b.published == nil {
		b.published = maps.Clone(b.kinds)
	}
	return &View{
		session: b.session, state: state,
		tenants:     b.tenants.Copy(),
		credentials: b.credentials.Copy(),
		settings:    b.settings.Copy(),
		unreadable:  b.unreadable.Copy(),
		due:         b.due.Copy(),
		kinds:       b.published,
		bound:       b.bound(),
	}
}

// bound returns the revocation bound. A value that cannot be read is the shortest: it is never
// longer than what somebody set.
func (b *builder) bound() time.Duration {
	s, ok := b.settings.Get(kms.SettingRevocationBound)
	if !ok && !b.isUnreadable(func() fsm.Ref { return IDs{b.session.barrier}.Setting(kms.SettingRevocationBound) }) {
		return kms.DefaultRevocationBound
	}
	if !ok {
		return kms.MinRevocationBound
	}
	d, err := kms.ParseRevocationBound(s.Value)
	if err != nil {
		return kms.MinRevocationBound
	}
	return d
}

// isUnreadable asks for the id of a record only when some record is unreadable.
func (b *builder) isUnreadable(ref func() fsm.Ref) bool {
	if b.unreadable.Len() == 0 {
		return false
	}
	_, damaged := b.unreadable.Get(refKey(ref()))
	return damaged
}
