package service

import (
	"context"
	"sync"
)

// gate lets a few run at a time, and a few more wait for it.
type gate struct {
	running chan struct{} // a token for each that runs
	turns
}

// newGate returns a gate for so many that run, and so many that run or wait, in all and of one account.
func newGate(running, most, each int) *gate {
	return &gate{running: make(chan struct{}, running), turns: turns{most: most, each: each, of: map[string]int{}}}
}

// wait waits for a turn of the account. It is refused when too many wait, or when ctx ends first; else leave gives the turn back.
func (g *gate) wait(ctx context.Context, account string) (leave func(), ok bool) {
	if !g.enter(account) {
		return nil, false
	}
	select {
	case g.running <- struct{}{}:
		return func() { <-g.running; g.leave(account) }, true
	case <-ctx.Done():
		g.leave(account)
		return nil, false
	}
}

// turns bounds how many wait or run, in all and of one account.
type turns struct {
	most, each int
	mu         sync.Mutex
	of         map[string]int // guarded by mu: by account
	all        int            // guarded by mu: their sum
}

func (t *turns) enter(account string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all >= t.most || t.of[account] >= t.each {
		return false
	}
	t.all++
	t.of[account]++
	return true
}

func (t *turns) leave(account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if t.of[account]--; t.of[account] == 0 {
		delete(t.of, account)
	}
}
