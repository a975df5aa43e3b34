package storage

import (
	"cmp"

	"github.com/tidwall/btree"
)

// treeDegree makes nodes of at most 31 pairs. A commit copies one node a level for every path it
// touches, so small nodes keep the copied bytes low; larger ones save little on look-ups.
const treeDegree = 16

// Tree is a persistent ordered map: Snapshot is O(1), and a change after it copies only the path
// it touches, O(log n).
//
// One goroutine owns a tree and is the only one to call Set, Load, Delete and Snapshot. What
// Snapshot returned may be read by any number of goroutines at once as long as nobody changes it.
// Keys and values are shared between a tree and its snapshots and must not be changed in place.
type Tree[K, V any] struct {
	pairs *btree.BTreeG[pair[K, V]]
	// snapshot is what Snapshot returned last, nil since the first change after it. A tree that
	// nothing changed is published again for nothing.
	snapshot *Tree[K, V]
}

type pair[K, V any] struct {
	key   K
	value V
}

// NewTree returns an empty tree in the natural order of its keys.
func NewTree[K cmp.Ordered, V any]() *Tree[K, V] {
	return NewTreeFunc[K, V](func(a, b K) bool { return a < b })
}

// NewTreeFunc returns an empty tree ordered by less, a strict order that never changes.
func NewTreeFunc[K, V any](less func(a, b K) bool) *Tree[K, V] {
	return &Tree[K, V]{pairs: btree.NewBTreeGOptions(
		func(a, b pair[K, V]) bool { return less(a.key, b.key) },
		btree.Options{Degree: treeDegree, NoLocks: true},
	)}
}

// Get returns the value under key.
func (t *Tree[K, V]) Get(key K) (V, bool) {
	p, ok := t.pairs.Get(pair[K, V]{key: key})
	return p.value, ok
}

// Set puts value under key and returns the value it replaced. The key is replaced too, so nothing
// that only the old key referred to stays in memory.
func (t *Tree[K, V]) Set(key K, value V) (old V, replaced bool) {
	t.snapshot = nil
	p, replaced := t.pairs.Set(pair[K, V]{key, value})
	return p.value, replaced
}

// Load is Set, faster when key is above every key of the tree and slower when it is not.
func (t *Tree[K, V]) Load(key K, value V) (old V, replaced bool) {
	t.snapshot = nil
	p, replaced := t.pairs.Load(pair[K, V]{key, value})
	return p.value, replaced
}

// Delete removes key and returns the value that was there.
func (t *Tree[K, V]) Delete(key K) (old V, deleted bool) {
	t.snapshot = nil
	p, deleted := t.pairs.Delete(pair[K, V]{key: key})
	return p.value, deleted
}

// Len returns the number of keys.
func (t *Tree[K, V]) Len() int { return t.pairs.Len() }

// Min returns the lowest key and its value.
func (t *Tree[K, V]) Min() (K, V, bool) {
	p, ok := t.pairs.Min()
	return p.key, p.value, ok
}

// Ascend calls visit for every key from from (inclusive) upwards, in order, until visit returns
// false. The tree must not be changed meanwhile.
func (t *Tree[K, V]) Ascend(from K, visit func(K, V) bool) {
	t.pairs.Ascend(pair[K, V]{key: from}, func(p pair[K, V]) bool { return visit(p.key, p.value) })
}

// All calls visit for every key, in order, until visit returns false. The tree must not be
// changed meanwhile.
func (t *Tree[K, V]) All(visit func(K, V) bool) {
	t.pairs.Scan(func(p pair[K, V]) bool { return visit(p.key, p.value) })
}

// Snapshot returns the tree as it is now, in O(1).
func (t *Tree[K, V]) Snapshot() *Tree[K, V] {
	if t.snapshot == nil {
		t.snapshot = &Tree[K, V]{pairs: t.pairs.Copy()}
	}
	return t.snapshot
}
