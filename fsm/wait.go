package fsm

import (
	"container/heap"
	"context"
)

// waiter is one call of Wait.
type waiter struct {
	index uint64        // immutable
	done  chan struct{} // closed when the index is reached or the state machine stopped
	err   error         // set before done is closed
	place int           // in waiters; -1 when out of it; guarded by FSM.mu
}

// waiters is a heap by index: a step of the view wakes those it satisfies and nobody else.
type waiters []*waiter

func (w waiters) Len() int           { return len(w) }
func (w waiters) Less(i, j int) bool { return w[i].index < w[j].index }
func (w waiters) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

// Push is for container/heap.
func (w *waiters) Push(x any) {
	x.(*waiter).place = len(*w)
	*w = append(*w, x.(*waiter))
}

// Pop is for container/heap.
func (w *waiters) Pop() any {
	last := len(*w) - 1
	x := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	x.place = -1
	return x
}

// Wait returns nil once View().Index() is at least index. Errors: ctx's, or what stopped the state
// machine.
func (f *FSM) Wait(ctx context.Context, index uint64) error {
	if f.View().Index() >= index {
		return nil
	}
	f.mu.Lock()
	if f.view.Load().Index() >= index {
		f.mu.Unlock()
		return nil
	}
	if f.err != nil {
		f.mu.Unlock()
		return f.err
	}
	w := &waiter{index: index, done: make(chan struct{})}
	heap.Push(&f.waiters, w)
	f.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.place < 0 {
		return w.err
	}
	heap.Remove(&f.waiters, w.place)
	return ctx.Err()
}

// wakeWaiters ends the waits that the index satisfies, or all of them with err. The caller holds mu.
func (f *FSM) wakeWaiters(index uint64, err error) {
	for len(f.waiters) > 0 && (err != nil || f.waiters[0].index <= index) {
		w := heap.Pop(&f.waiters).(*waiter)
		w.err = err
		close(w.done)
	}
}
