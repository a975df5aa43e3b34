package catalog

import (
	"encoding/binary"
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

	handles *handles // shared by all entries of this key
}

// Guard guards that the key is as it was read.
func (k *Key) Guard() fsm.Guard {
	return fsm.Guard{Kind: fsm.KindKey, ID: k.Record, Revision: k.Revision}
}

// Policy is a key's policy document. A key always has one: Document is empty when its record could
// not be read.
type Policy struct {
	Document string
	Record   fsm.ID
	Revision uint64
}

// Ref is the policy as the gate reports what it read.
func (p *Policy) Ref() auth.Ref {
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

// identity and credential are what access keys of the directory are made of.
type identity struct {
	kms.Identity
	record   fsm.ID
	revision uint64
}

type credential struct {
	kms.Credential
	record   fsm.ID
	revision uint64
}

// handles are the opened materials of one key, a list that only grows. The pointer is set under the
// session's mutex and read without it.
type handles struct{ first atomic.Pointer[handle] }

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

// region holds the names of one account in one region.
type region struct {
	scope    kms.Scope
	keys     *btree.BTreeG[keyItem]
	aliases  *btree.Map[string, *Alias]
	byTarget *btree.BTreeG[targetItem]
}

func newRegion(s kms.Scope) *region {
	options := btree.Options{Degree: treeDegree, NoLocks: true}
	return &region{
		scope:    s,
		keys:     btree.NewBTreeGOptions(keyLess, options),
		aliases:  btree.NewMap[string, *Alias](treeDegree),
		byTarget: btree.NewBTreeGOptions(targetLess, options),
	}
}

func (r *region) copy() *region {
	return &region{scope: r.scope, keys: r.keys.Copy(), aliases: r.aliases.Copy(), byTarget: r.byTarget.Copy()}
}

// tenant is everything of one account. Published, it is immutable; the working one belongs to the
// goroutine that follows the state machine.
type tenant struct {
	account *Account // nil: no record, or one that does not open
	regions []*region
}

func (t *tenant) region(name string) *region {
	for _, r := range t.regions {
		if r.scope.Region == name {
			return r
		}
	}
	return nil
}
