package fsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
)

func next(t *testing.T, d *Feed) Batch {
	t.Helper()
	b, err := d.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// idle wants that nothing is ready.
func idle(t *testing.T, d *Feed) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b, ready, err := d.take(); ready || err != nil {
		t.Fatalf("%+v, %v", b, err)
	}
	if _, err := d.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestFeed(t *testing.T) {
	n := newNode(t)
	n.commit(Applied, txn(1, key("a", 1)))
	d := n.Subscribe(0)
	if b := next(t, d); !b.Reset || b.View != n.View() || b.Changes != nil {
		t.Fatalf("first batch: %+v", b)
	}
	idle(t, d)
	n.now++
	x := txn(2, key("b", 2), drop(key("a", 2)))
	x.Event = "key.replaced"
	n.commit(Applied, x)
	n.commit(Repeated, x)
	n.commit(Applied, txn(3, key("c", 3)))
	b := next(t, d)
	if b.Reset || b.View != n.View() || len(b.Changes) != 2 {
		t.Fatalf("%+v", b)
	}
	if c := b.Changes[0]; c.Index != 2 || c.Stamp != start+1 || c.Event != "key.replaced" || len(c.Refs) != 2 || c.Refs[1] != (Ref{KindKey, "a"}) {
		t.Fatalf("%+v", c)
	}
	if b.Changes[1].Index != 4 {
		t.Fatalf("%+v", b.Changes[1])
	}
	n.run(EncodeCheckpoint(n.now)) // moves the index alone
	if b := next(t, d); b.Reset || len(b.Changes) != 0 || b.View.Index() != 5 {
		t.Fatalf("%+v", b)
	}
	idle(t, d)
}

func TestFeedOverflowResets(t *testing.T) {
	n := newNode(t)
	slow, quick := n.Subscribe(2), n.Subscribe(2)
	next(t, slow)
	next(t, quick)
	for i := range 5 {
		n.commit(Applied, txn(i, key("a", n.revision())))
		if b := next(t, quick); b.Reset || len(b.Changes) != 1 {
			t.Fatalf("%+v", b)
		}
	}
	if b := next(t, slow); !b.Reset || len(b.Changes) != 0 || b.View != n.View() {
		t.Fatalf("%+v", b)
	}
	n.commit(Applied, txn(9, key("a", n.revision())))
	if b := next(t, slow); b.Reset || len(b.Changes) != 1 {
		t.Fatalf("after the reset: %+v", b)
	}
}

func TestFeedResetsOnRestore(t *testing.T) {
	n := newNode(t)
	populate(n)
	data := persist(t, n.FSM)
	d := n.Subscribe(0)
	next(t, d)
	n.commit(Applied, txn(60, key("later", n.revision())))
	mustRestore(t, n.FSM, data)
	if b := next(t, d); !b.Reset || len(b.Changes) != 0 || b.View != n.View() {
		t.Fatalf("%+v", b)
	}
	if _, ok := n.View().Get(KindKey, "later"); ok {
		t.Fatal("the state is not the snapshot's")
	}
}

func TestFeedCloses(t *testing.T) {
	n := newNode(t)
	d, other := n.Subscribe(0), n.Subscribe(0)
	next(t, d)
	ended := make(chan error)
	go func() {
		_, err := d.Next(context.Background())
		ended <- err
	}()
	d.Close()
	d.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	n.commit(Applied, txn(1, key("a", 1)))
	if b := next(t, other); !b.Reset {
		t.Fatalf("%+v", b)
	}
}

func TestFeedTellsOfTheStop(t *testing.T) {
	n := newNode(t)
	d := n.Subscribe(0)
	next(t, d)
	n.commit(Applied, txn(1, key("a", 1)))
	n.Apply(n.entry([]byte{9, 9}))
	if b := next(t, d); len(b.Changes) != 1 {
		t.Fatalf("%+v", b)
	}
	if _, err := d.Next(t.Context()); err == nil || err != n.Err() {
		t.Fatal(err)
	}
}

// A subscriber that follows the feed alone has what the view has, whatever it was late for.
func TestFeedFollowsEverything(t *testing.T) {
	n := newNode(t)
	d := n.Subscribe(8)
	var wg sync.WaitGroup
	const last = 400
	wg.Go(func() {
		mine := map[Ref]uint64{}
		for {
			b, err := d.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if b.Reset {
				clear(mine)
				b.View.Ascend(KindKey, "", func(id ID, r Record) bool { mine[Ref{KindKey, id}] = r.Revision; return true })
			}
			for _, c := range b.Changes {
				for _, ref := range c.Refs {
					if r, ok := b.View.Get(ref.Kind, ref.ID); ok {
						mine[ref] = r.Revision
					} else {
						delete(mine, ref)
					}
				}
			}
			live := 0
			b.View.Ascend(KindKey, "", func(id ID, r Record) bool {
				if live++; mine[Ref{KindKey, id}] != r.Revision {
					t.Errorf("index %d: %s is at %d, followed to %d", b.View.Index(), id, r.Revision, mine[Ref{KindKey, id}])
				}
				return true
			})
			if live != len(mine) {
				t.Errorf("index %d: %d live, followed %d", b.View.Index(), live, len(mine))
			}
			if b.View.Index() == last {
				return
			}
		}
	})
	for i := range last {
		w := key(ID(fmt.Sprint("k", i%37)), n.revision())
		if i%5 == 0 {
			w = drop(w)
		}
		n.commit(Applied, txn(i, w))
	}
	wg.Wait()
}

func TestWait(t *testing.T) {
	n := newNode(t)
	if err := n.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	const waits = 50
	reached := make(chan uint64, waits)
	for i := range waits {
		go func() {
			if err := n.Wait(t.Context(), uint64(i+1)); err != nil {
				t.Error(err)
			}
			if at := n.View().Index(); at < uint64(i+1) {
				t.Errorf("woken at %d, waited for %d", at, i+1)
			}
			reached <- uint64(i + 1)
		}()
	}
	for range waits {
		n.run(EncodeCheckpoint(start))
	}
	for range waits {
		<-reached
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Wait(ctx, n.index+1); !errors.Is(err, context.Canceled) || len(n.waiters) != 0 {
		t.Fatalf("%v, %d waiting", err, len(n.waiters))
	}
	if err := n.Wait(ctx, n.index); err != nil {
		t.Fatal("an index that is here is no wait")
	}
}

func TestWaitEndsWithTheStop(t *testing.T) {
	n := newNode(t)
	ended := make(chan error)
	go func() { ended <- n.Wait(context.Background(), 9) }()
	n.Apply(n.entry([]byte{9, 9}))
	if err := <-ended; err == nil || err != n.Err() {
		t.Fatal(err)
	}
	if err := n.Wait(context.Background(), 9); err != n.Err() {
		t.Fatal(err)
	}
}

// A batch is one step: nobody sees the state between its entries.
func TestBatchIsOneView(t *testing.T) {
	n := newNode(t)
	d := n.Subscribe(0)
	next(t, d)
	var batch []*raft.Log
	for i := range 4 {
		x := txn(i, key("a", uint64(i+1)))
		x.Based = n.now
		data, err := EncodeBatch(n.now, []Txn{x})
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, n.entry(data))
	}
	before := n.View()
	n.ApplyBatch(batch)
	if before.Index() != 0 || n.View().Index() != 4 {
		t.Fatal("index")
	}
	if b := next(t, d); len(b.Changes) != 4 || b.View != n.View() {
		t.Fatalf("%+v", b)
	}
}
