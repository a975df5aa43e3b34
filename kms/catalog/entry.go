package catalog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// Entries are immutable and shared between views. Each carries the record it was read from, so that
// a decision can guard what it read.

// Key is a key with its policy.
type Key struct {
	kms.Key
	ARN      string
	Raw      [16]byte // the key id, as ciphertexts carry it
	Record   fsm.ID
	Revision uint64
	Policy   Policy

	handles *handles        // shared by all entries of this key
	first   [1]kms.Material // where Materials lie of a key that has one: most have
}

// own moves what the decoder made into as few places as there can be.
func (k *Key) own() {
	if len(k.Materials) == 1 {
		k.first[0] = k.Materials[0]
		k.Materials = k.first[:]
	} else {
		k.Materials = slices.Clip(k.Materials)
	}
}

// Guard guards that the key is as it was read.
func (k *Key) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindKey, ID: k.Record, Revision: k.Revision}
}

// Policy is a key's policy document. A key always has one: Document is nil when its record could
// not be read. The account's default policy has no record, and then Record and Revision are zero.
type Policy struct {
	Document *Document
	Record   fsm.ID
	Revision uint64

	key *Key // whose policy it is, when that is the default one
}

// Ref is the policy as the gate reports what it read: its record, or that of the key, which says that it
// has the default one.
func (p *Policy) Ref() auth.Ref {
	if p.key != nil {
		return auth.Ref{Kind: uint8(fsm.KindKey), ID: string(p.key.Record), Revision: p.key.Revision}
	}
	return auth.Ref{Kind: uint8(fsm.KindPolicy), ID: string(p.Record), Revision: p.Revision}
}

// Alias is an alias.
type Alias struct {
	kms.Alias
	Target   [16]byte // KeyID, as trees order it
	Record   fsm.ID
	Revision uint64
}

// Guard guards that the alias is as it was read.
func (a *Alias) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindAlias, ID: a.Record, Revision: a.Revision}
}

// Grant is a grant.
type Grant struct {
	kms.Grant
	KeyRaw   [16]byte // KeyID, as trees order it
	Record   fsm.ID
	Revision uint64
}

// Guard guards that the grant is as it was read.
func (g *Grant) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindGrant, ID: g.Record, Revision: g.Revision}
}

// Account is an account.
type Account struct {
	kms.Account
	Record   fsm.ID
	Revision uint64
}

// Guard guards that the account is as it was read.
func (a *Account) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindAccount, ID: a.Record, Revision: a.Revision}
}

// Setting is a setting that was written once.
type Setting struct {
	kms.Setting
	Record   fsm.ID
	Revision uint64
}

// handles are what all entries of one key share: its opened materials, and what this node knows of its
// use. The list of materials is never changed in place; its pointer is set under the session's mutex and
// read without it.
type handles struct {
	first   atomic.Pointer[handle]
	use     atomic.Pointer[use] // set once, at the first use
	session *session            // immutable
}

// treeDegree makes nodes of at most 31 items, as the record tree's: small nodes keep down what a
// commit copies.
const treeDegree = 16

// keyItem is a key in its tree. Raw ids order as the lower-case UUIDs do.
type keyItem struct {
	hi, lo uint64
	key    *Key
}

func keyPivot(raw [16]byte) keyItem {
	return keyItem{hi: binary.BigEndian.Uint64(raw[:8]), lo: binary.BigEndian.Uint64(raw[8:])}
}

func keyLess(a, b keyItem) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// targetItem is an alias in the tree that is ordered by the key it names.
type targetItem struct {
	keyItem // of the target; its key is nil
	name    string
	alias   *Alias
}

func targetPivot(target [16]byte, name string) targetItem {
	return targetItem{keyItem: keyPivot(target), name: name}
}

func targetLess(a, b targetItem) bool {
	if keyLess(a.keyItem, b.keyItem) || keyLess(b.keyItem, a.keyItem) {
		return keyLess(a.keyItem, b.keyItem)
	}
	return a.name < b.name
}

// dueItem is a key that the scheduler has to look at.
type dueItem struct {
	at  int64
	key *Key // of a pivot nil: before every key of that time
}

func dueLess(a, b dueItem) bool {
	if a.at != b.at || a.key == nil || b.key == nil {
		return a.at < b.at || a.at == b.at && a.key == nil && b.key != nil
	}
	x, y := a.key, b.key
	return cmp.Or(cmp.Compare(x.Scope.Account, y.Scope.Account), cmp.Compare(x.Scope.Region, y.Scope.Region),
		bytes.Compare(x.Raw[:], y.Raw[:])) < 0
}

// grantItem is a grant in a tree that is ordered by a principal, the key and the grant's id.
type grantItem struct {
	principal string // "" in the tree of all grants
	keyItem          // its key is nil
	id        string
	grant     *Grant
}

func grantPivot(principal string, key [16]byte, id string) grantItem {
	return grantItem{principal: principal, keyItem: keyPivot(key), id: id}
}

func grantLess(a, b grantItem) bool {
	switch {
	case keyLess(a.keyItem, b.keyItem) || keyLess(b.keyItem, a.keyItem):
		return keyLess(a.keyItem, b.keyItem)
	case a.principal != b.principal:
		return a.principal < b.principal
	}
	return a.id < b.id
}

// retirableLess orders by the principal first.
func retirableLess(a, b grantItem) bool {
	if a.principal != b.principal {
		return a.principal < b.principal
	}
	return grantLess(a, b)
}

// grants are the grants of a region. Nothing is kept for a region that has none.
type grants struct {
	all       *btree.BTreeG[grantItem] // by key and id
	byGrantee *btree.BTreeG[grantItem] // by key, grantee and id
	retirable *btree.BTreeG[grantItem] // by retiring principal, key and id
}

func newGrants() *grants {
	return &grants{
		all:       btree.NewBTreeGOptions(grantLess, treeOptions),
		byGrantee: btree.NewBTreeGOptions(grantLess, treeOptions),
		retirable: btree.NewBTreeGOptions(retirableLess, treeOptions),
	}
}

func (g *grants) copy() *grants {
	if g == nil {
		return nil
	}
	return &grants{all: g.all.Copy(), byGrantee: g.byGrantee.Copy(), retirable: g.retirable.Copy()}
}

func (g *grants) set(one *Grant) {
	item := grantPivot("", one.KeyRaw, one.ID)
	item.grant = one
	g.all.Set(item)
	item.principal = one.GranteePrincipal
	g.byGrantee.Set(item)
	if item.principal = one.RetiringPrincipal; item.principal != "" {
		g.retirable.Set(item)
	}
}

func (g *grants) delete(one *Grant) {
	item := grantPivot("", one.KeyRaw, one.ID)
	g.all.Delete(item)
	item.principal = one.GranteePrincipal
	g.byGrantee.Delete(item)
	item.principal = one.RetiringPrincipal
	g.retirable.Delete(item)
}

var treeOptions = btree.Options{Degree: treeDegree, NoLocks: true}

// region holds the names of one account in one region.
type region struct {
	scope    kms.Scope
	keys     *btree.BTreeG[keyItem]
	aliases  *btree.Map[string, *Alias]
	byTarget *btree.BTreeG[targetItem]
	grants   *grants // nil: none yet
}

func newRegion(s kms.Scope) *region {
	return &region{
		scope:    s,
		keys:     btree.NewBTreeGOptions(keyLess, treeOptions),
		aliases:  btree.NewMap[string, *Alias](treeDegree),
		byTarget: btree.NewBTreeGOptions(targetLess, treeOptions),
	}
}

func (r *region) copy() *region {
	return &region{scope: r.scope, keys: r.keys.Copy(), aliases: r.aliases.Copy(), byTarget: r.byTarget.Copy(), grants: r.grants.copy()}
}

// tenant is everything of one account. Published, it is immutable; the working one belongs to the
// goroutine that follows the state machine.
type tenant struct {
	account *Account // nil: no record, or one that does not open
	regions []*region
	people  *people
	policy  *Document // the account's default key policy
}

func (t *tenant) region(name string) *region {
	for _, r := range t.regions {
		if r.scope.Region == name {
			return r
		}
	}
	return nil
}
