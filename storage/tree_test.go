package storage

import (
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// treeModel is what a tree should hold.
type treeModel map[int]int

func (m treeModel) check(t interface {
	Helper()
	Fatalf(string, ...any)
}, tree *Tree[int, int], from int) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(m))
	if tree.Len() != len(keys) {
		t.Fatalf("%d keys, want %d", tree.Len(), len(keys))
	}
	var all []int
	tree.All(func(k, v int) bool {
		if m[k] != v {
			t.Fatalf("%d is %d, want %d", k, v, m[k])
		}
		all = append(all, k)
		return true
	})
	if !slices.Equal(all, keys) {
		t.Fatalf("keys %v, want %v", all, keys)
	}
	at, _ := slices.BinarySearch(keys, from)
	var tail []int
	tree.Ascend(from, func(k, _ int) bool {
		tail = append(tail, k)
		return true
	})
	if !slices.Equal(tail, keys[at:]) {
		t.Fatalf("from %d: %v, want %v", from, tail, keys[at:])
	}
	if k, v, ok := tree.Min(); ok != (len(keys) > 0) || ok && (k != keys[0] || v != m[k]) {
		t.Fatalf("lowest %d, %v", k, ok)
	}
}

// A tree and every snapshot of it, written on or not, behave as maps copied at that moment.
func TestTreeSnapshotsArePersistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trees := []*Tree[int, int]{NewTree[int, int]()}
		models := []treeModel{{}}
		key := rapid.IntRange(0, 300)
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				i := rapid.IntRange(0, len(trees)-1).Draw(t, "tree")
				for range rapid.IntRange(1, 60).Draw(t, "changes") {
					k := key.Draw(t, "key")
					old, had := models[i][k]
					var got int
					var ok bool
					switch rapid.IntRange(0, 3).Draw(t, "change") {
					case 0:
						got, ok = trees[i].Delete(k)
						delete(models[i], k)
					case 1:
						got, ok = trees[i].Load(k, k+len(models))
						models[i][k] = k + len(models)
					default:
						got, ok = trees[i].Set(k, k*7)
						models[i][k] = k * 7
					}
					if ok != had || got != old {
						t.Fatalf("old value of %d: %d %v, want %d %v", k, got, ok, old, had)
					}
				}
			},
			"snapshot": func(t *rapid.T) {
				i := rapid.IntRange(0, len(trees)-1).Draw(t, "tree")
				s := trees[i].Snapshot()
				if trees[i].Snapshot() != s {
					t.Fatalf("a second snapshot of an unchanged tree is another one")
				}
				if len(trees) < 6 && !slices.Contains(trees, s) {
					trees, models = append(trees, s), append(models, maps.Clone(models[i]))
					// A snapshot that is written on is no longer what its tree may hand out.
					trees[i].snapshot = nil
				}
			},
			"": func(t *rapid.T) {
				from := key.Draw(t, "from")
				for i := range trees {
					models[i].check(t, trees[i], from)
					v, ok := trees[i].Get(from)
					if want, had := models[i][from]; ok != had || v != want {
						t.Fatalf("get %d: %d %v, want %d %v", from, v, ok, want, had)
					}
				}
			},
		})
	})
}

// Readers of a snapshot and the writer of its tree share nothing that is written (run with -race).
func TestTreeReadersBesideAWriter(t *testing.T) {
	tree := NewTree[int, int]()
	for i := range 2000 {
		tree.Set(i, 0)
	}
	var readers sync.WaitGroup
	for round := range 20 {
		s := tree.Snapshot()
		readers.Go(func() {
			s.All(func(k, v int) bool {
				if k < 2000 && v != round {
					t.Errorf("round %d: %d is %d", round, k, v)
					return false
				}
				return true
			})
		})
		for i := range 2000 {
			tree.Set(i, round+1)
		}
		tree.Set(2000+round, 0)
		tree.Delete(2000 + round - 5)
	}
	readers.Wait()
}

func TestTreeReplacesTheKey(t *testing.T) {
	type key struct {
		order int
		name  string
	}
	tree := NewTreeFunc[key, int](func(a, b key) bool { return a.order < b.order })
	tree.Set(key{1, "old"}, 1)
	tree.Set(key{1, "new"}, 2)
	if k, v, _ := tree.Min(); k.name != "new" || v != 2 {
		t.Fatalf("%v %d", k, v)
	}
}
