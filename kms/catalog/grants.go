package catalog

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// Grant returns a grant of a key. Errors: ErrNotFound, or CodeUnavailable when its record does not open. The
// record of a grant that was made with a name cannot be told from others that do not open: it is not found.
func (v *View) Grant(s kms.Scope, key [16]byte, grantID string) (*Grant, error) {
	if r := v.region(s); r != nil && r.grants != nil {
		if item, ok := r.grants.all.Get(grantPivot("", key, grantID)); ok {
			return item.grant, nil
		}
	}
	return nil, v.missing(
		func() fsm.Ref { return v.IDs().Grant(s, kms.KeyIDFromBytes(key), grantID) },
		func() fsm.Ref { return v.IDs().Grant(s, kms.MultiRegionIDFromBytes(key), grantID) })
}

// Grants returns up to limit grants of a key whose id is above after, ascending.
func (v *View) Grants(s kms.Scope, key [16]byte, after string, limit int) []*Grant {
	r := v.region(s)
	if r == nil || r.grants == nil {
		return nil
	}
	return grantPage(r.grants.all, grantPivot("", key, after), limit, func(item, pivot grantItem) bool {
		return !keyLess(pivot.keyItem, item.keyItem)
	})
}

// GrantsTo is Grants of one grantee. It looks at no other grant.
func (v *View) GrantsTo(s kms.Scope, key [16]byte, grantee, after string, limit int) []*Grant {
	r := v.region(s)
	if r == nil || r.grants == nil {
		return nil
	}
	return grantPage(r.grants.byGrantee, grantPivot(grantee, key, after), limit, func(item, pivot grantItem) bool {
		return item.principal == pivot.principal && !keyLess(pivot.keyItem, item.keyItem)
	})
}

// EachGrantTo calls do with the grants of a key and grantee until it returns false.
func (v *View) EachGrantTo(s kms.Scope, key [16]byte, grantee string, do func(*Grant) bool) {
	r := v.region(s)
	if r == nil || r.grants == nil {
		return
	}
	pivot := grantPivot(grantee, key, "")
	r.grants.byGrantee.Ascend(pivot, func(item grantItem) bool {
		return item.principal == grantee && !keyLess(pivot.keyItem, item.keyItem) && do(item.grant)
	})
}

// RetirableGrants returns up to limit grants of the scope that name retiring as the principal who may retire
// them, in the order of key and grant id, those above (afterKey, after).
func (v *View) RetirableGrants(s kms.Scope, retiring string, afterKey [16]byte, after string, limit int) []*Grant {
	r := v.region(s)
	if r == nil || r.grants == nil || retiring == "" {
		return nil
	}
	return grantPage(r.grants.retirable, grantPivot(retiring, afterKey, after), limit, func(item, pivot grantItem) bool {
		return item.principal == pivot.principal
	})
}

// grantPage returns up to limit grants above pivot for as long as they belong to what is asked for.
func grantPage(tree *btree.BTreeG[grantItem], pivot grantItem, limit int, belongs func(item, pivot grantItem) bool) []*Grant {
	var page []*Grant
	tree.Ascend(pivot, func(item grantItem) bool {
		if !belongs(item, pivot) || len(page) >= limit {
			return false
		}
		if item.id != pivot.id || item.keyItem.hi != pivot.hi || item.keyItem.lo != pivot.lo {
			page = append(page, item.grant)
		}
		return len(page) < limit
	})
	return page
}

// Due returns up to limit keys of all accounts and regions whose time to be looked at, kms.Key.Due, is not
// after before, the soonest first. A key whose policy cannot be read is among them.
func (v *View) Due(before int64, limit int) []*Key {
	var page []*Key
	v.due.Scan(func(item dueItem) bool {
		if item.at > before || len(page) >= limit {
			return false
		}
		page = append(page, item.key)
		return true
	})
	return page
}

// Usage returns what the records tell of a key's use, and the revision of that record; nil and 0 when there is
// none. It is opened anew by every call. The error is CodeUnavailable when it does not open, or CodeSealed.
func (v *View) Usage(k *Key) (*kms.Usage, uint64, error) {
	ref := v.IDs().Usage(k.Scope, k.ID)
	r, ok := v.state.Get(ref.Kind, ref.ID)
	if !ok {
		return nil, 0, nil
	}
	body, err := records.open(v.session.barrier, ref, r)
	if err != nil {
		return nil, 0, unavailable(err)
	}
	return body.(*kms.Usage), r.Revision, nil
}

// ClusterID returns the cluster's id, hexadecimal.
func (v *View) ClusterID() string {
	id := v.session.barrier.ClusterID()
	return hex.EncodeToString(id[:])
}

// AuditAnchor returns what the records tell of a node's audit trail, nil when there is nothing. The caller wipes its
// seed. It is opened anew by every call. The error is CodeUnavailable when it does not open, or CodeSealed.
func (v *View) AuditAnchor(node string) (*kms.AuditAnchor, error) {
	ref := v.IDs().AuditAnchor(node)
	r, ok := v.state.Get(ref.Kind, ref.ID)
	if !ok {
		return nil, nil
	}
	return v.openAnchor(ref, r)
}

// AuditAnchors returns those of all nodes that ever had one, by name, as far as they can be opened; the caller wipes
// the seeds. The error is CodeUnavailable when one does not open, or CodeSealed.
func (v *View) AuditAnchors() (all []*kms.AuditAnchor, err error) {
	v.state.Ascend(fsm.KindAuditAnchor, "", func(id fsm.ID, r fsm.Record) bool {
		var a *kms.AuditAnchor
		if a, err = v.openAnchor(fsm.Ref{Kind: fsm.KindAuditAnchor, ID: id}, r); err == nil {
			all = append(all, a)
		}
		return err == nil
	})
	slices.SortFunc(all, func(a, b *kms.AuditAnchor) int { return strings.Compare(a.Node, b.Node) })
	return all, err
}

func (v *View) openAnchor(ref fsm.Ref, r fsm.Record) (*kms.AuditAnchor, error) {
	body, err := records.open(v.session.barrier, ref, r)
	if err != nil {
		return nil, unavailable(err)
	}
	return body.(*kms.AuditAnchor), nil
}

// SealToken is seal.Barrier.SealToken.
func (v *View) SealToken(purpose string, aad, plaintext []byte) ([]byte, error) {
	return v.session.barrier.SealToken(purpose, aad, plaintext)
}

// OpenToken is seal.Barrier.OpenToken.
func (v *View) OpenToken(purpose string, aad, token []byte) ([]byte, error) {
	return v.session.barrier.OpenToken(purpose, aad, token)
}
