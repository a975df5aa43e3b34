package fsm

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// history drives a node with random commands over few ids and scopes, so that they collide.
type history struct {
	*node
	views []frozen
	txns  int
}

// frozen is a view with the digest it had when it was current.
type frozen struct {
	view   *View
	digest [32]byte
}

// next draws a transaction that a proposer could have made a while ago: its reads are of any view.
func (h *history) next(t *rapid.T) Txn {
	view := h.View()
	if n := len(h.views); n > 0 {
		view = h.views[rapid.IntRange(max(0, n-4), n-1).Draw(t, "view")].view
	}
	id := rapid.IntRange(max(0, h.txns-6), h.txns).Draw(t, "txn")
	h.txns = max(h.txns, id+1)
	x := Txn{
		ID: txnID(id), Event: "key.changed", Based: max(0, h.now-rapid.Int64Range(-40_000, 700_000).Draw(t, "age")),
		Long: rapid.Bool().Draw(t, "long"),
	}
	if rapid.IntRange(0, 3).Draw(t, "fresh") > 0 {
		x.Based = h.now
	}
	x.Request[0] = byte(rapid.IntRange(0, 1).Draw(t, "request"))
	kinds := rapid.SampledFrom([]Kind{KindNode, KindKey, KindAlias})
	ids := rapid.Map(rapid.IntRange(0, 7), func(i int) ID { return ID(fmt.Sprintf("id%d", i)) })
	scopes := rapid.Map(rapid.IntRange(0, 3), scopeID)
	for range rapid.IntRange(0, 2).Draw(t, "guards") {
		g := Guard{Kind: kinds.Draw(t, "kind"), ID: ids.Draw(t, "id")}
		r, _ := view.Get(g.Kind, g.ID)
		g.Revision = r.Revision
		x.Guards = append(x.Guards, g)
	}
	if rapid.Bool().Draw(t, "scope guard") {
		g := ScopeGuard{Scope: scopes.Draw(t, "scope"), Exact: rapid.Bool().Draw(t, "exact")}
		if revision, members := view.Scope(g.Scope); g.Exact {
			g.Revision = revision
		} else {
			g.Below = members + 2
		}
		x.ScopeGuards = append(x.ScopeGuards, g)
	}
	seen := map[Ref]bool{}
	for range rapid.IntRange(0, 3).Draw(t, "writes") {
		w := Write{Kind: kinds.Draw(t, "kind"), ID: ids.Draw(t, "id"), Body: []byte{byte(rapid.IntRange(0, 3).Draw(t, "body"))}}
		if seen[Ref{w.Kind, w.ID}] {
			continue
		}
		seen[Ref{w.Kind, w.ID}] = true
		old, _ := view.GetAny(w.Kind, w.ID)
		w.Revision = max(old.Revision, view.Index()) + 1
		if !w.Kind.clear() {
			w.Term = uint32(rapid.IntRange(1, 2).Draw(t, "term"))
		}
		if w.Delete = rapid.IntRange(0, 3).Draw(t, "delete") == 0; !w.Delete {
			w.Scopes = rapid.SliceOfNDistinct(scopes, 0, 3, rapid.ID[ScopeID]).Draw(t, "scopes")
		}
		x.Writes = append(x.Writes, w)
	}
	return x
}

func (h *history) command(t *rapid.T) *raft.Log {
	h.now += rapid.SampledFrom([]int64{-50, 0, 1, 20, 5000, ShortMemory, TombstoneAge}).Draw(t, "step")
	h.now = max(h.now, start)
	switch rapid.IntRange(0, 9).Draw(t, "command") {
	case 0:
		return h.entry(EncodeDropTombstones(h.now))
	case 1:
		return h.entry(EncodeCheckpoint(h.now))
	}
	var txns []Txn
	for range rapid.IntRange(1, 4).Draw(t, "txns") {
		txns = append(txns, h.next(t))
	}
	data, err := EncodeBatch(h.now, txns)
	if err != nil {
		t.Fatal(err)
	}
	return h.entry(data)
}

// One log, however it is cut into batches and whatever snapshot it starts from, gives one state, one
// digest and one answer to every command; and no view ever changes.
func TestReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{node: newNodeOf(t, Options{RetryLimit: 12})}
		var answers []any
		var saved []byte
		savedAt := 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			var batch []*raft.Log
			for range rapid.IntRange(1, 3).Draw(t, "batch") {
				batch = append(batch, h.command(t))
			}
			answers = append(answers, h.ApplyBatch(batch)...)
			audit(t, h.View())
			h.views = append(h.views, frozen{h.View(), h.View().Digest()})
			if rapid.IntRange(0, 15).Draw(t, "save") == 0 {
				saved, savedAt = persist(t, h.FSM), len(h.log)
			}
		}
		for _, old := range h.views {
			if old.view.Digest() != old.digest {
				t.Fatalf("the view of index %d changed", old.view.Index())
			}
			audit(t, old.view)
		}
		again := newNodeOf(t, Options{RetryLimit: 12})
		for i, l := range h.log {
			if a := again.Apply(l); !reflect.DeepEqual(a, answers[i]) {
				t.Fatalf("entry %d answers\n%+v, then\n%+v", l.Index, answers[i], a)
			}
		}
		sameState(t, h.View(), again.View())
		if saved == nil {
			return
		}
		late := newNodeOf(t, Options{RetryLimit: 12})
		if err := restore(late.FSM, saved); err != nil {
			t.Fatal(err)
		}
		for i, l := range h.log[savedAt:] {
			if a := late.Apply(l); !reflect.DeepEqual(a, answers[savedAt+i]) {
				t.Fatalf("entry %d answers\n%+v, after a restore\n%+v", l.Index, answers[savedAt+i], a)
			}
		}
		sameState(t, h.View(), late.View())
	})
}

// What is written is the digest's whole concern: any difference shows.
func TestDigestSeesEverything(t *testing.T) {
	digest := func(change func(*Txn)) [32]byte {
		n := newNode(t)
		x := txn(1, key("a", 1, scopeID(1)))
		x.Based = n.now
		change(&x)
		n.commit(Applied, x)
		return n.View().Digest()
	}
	seen := map[[32]byte]string{}
	for name, change := range map[string]func(*Txn){
		"nothing":  func(*Txn) {},
		"id":       func(x *Txn) { x.Writes[0].ID = "b" },
		"kind":     func(x *Txn) { x.Writes[0].Kind = KindAlias },
		"revision": func(x *Txn) { x.Writes[0].Revision = 2 },
		"term":     func(x *Txn) { x.Writes[0].Term = 2 },
		"body":     func(x *Txn) { x.Writes[0].Body = []byte("other") },
		"scope":    func(x *Txn) { x.Writes[0].Scopes[0] = scopeID(2) },
		"no scope": func(x *Txn) { x.Writes[0].Scopes = nil },
		"deleted":  func(x *Txn) { x.Writes[0] = drop(x.Writes[0]) },
		"txn id":   func(x *Txn) { x.ID = txnID(2) },
		"request":  func(x *Txn) { x.Request[31] = 1 },
		"long":     func(x *Txn) { x.Long = true },
	} {
		d := digest(change)
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[d] = name
	}
	if len(seen) != 12 {
		t.Errorf("%d digests", len(seen))
	}
	a, b := newNode(t), newNode(t)
	a.run(EncodeCheckpoint(start))
	b.run(EncodeCheckpoint(start + 1))
	if a.View().Digest() == b.View().Digest() {
		t.Error("log time is not in the digest")
	}
}
