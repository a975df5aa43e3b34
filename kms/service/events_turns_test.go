package service_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit/index"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// busyTrail is searched until it is let go.
type busyTrail struct {
	let           chan struct{}
	running, most atomic.Int32
	bytes         atomic.Int64
}

func (b *busyTrail) Search(_ context.Context, q index.Query) (index.Page, error) {
	now := b.running.Add(1)
	defer b.running.Add(-1)
	for most := b.most.Load(); now > most && !b.most.CompareAndSwap(most, now); most = b.most.Load() {
	}
	b.bytes.Store(int64(q.Bytes))
	<-b.let
	return index.Page{}, nil
}

// A few look up at a time, and one account cannot take the turns of the others: neither of those who ask nor of those whom
// members ask for.
func TestEventsAreLookedUpInTurn(t *testing.T) {
	ask := func(n *servicetest.Node, who servicetest.Credentials) error {
		_, err := n.Do(who, kms.OpLookupEvents, &kms.LookupEventsRequest{Limit: 1000})
		return err
	}
	for name, look := range map[string]func(*servicetest.Node, servicetest.Credentials) error{
		"asking": ask,
		"answering": func(n *servicetest.Node, who servicetest.Credentials) error {
			return n.AnswerMember(context.Background(), who.AccessKeyID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			trail := &busyTrail{let: make(chan struct{})}
			w.Trail = trail
			const beyond = 5
			greedy, other := make(chan error, service.EventsAccount+beyond), make(chan error, 1)
			for range service.EventsAccount + beyond {
				go func() { greedy <- look(w.Node, w.alice) }()
			}
			patience := time.After(time.Minute)
			for range beyond { // none of the others can be done
				select {
				case err := <-greedy:
					want(t, "beyond the share", err, kms.CodeThrottled)
				case <-patience:
					close(trail.let)
					t.Fatal("an account got more than its share")
				}
			}
			go func() { other <- look(w.Node, w.bob) }()
			close(trail.let)
			want(t, "another account", <-other, "")
			for range service.EventsAccount {
				want(t, "within the share", <-greedy, "")
			}
			if most := trail.most.Load(); int(most) > service.EventsRunning() {
				t.Errorf("%d looked up at a time, want %d at most", most, service.EventsRunning())
			}
			if got := trail.bytes.Load(); got != service.MemberBytes {
				t.Errorf("an answer has up to %d bytes, want %d", got, service.MemberBytes)
			}
			want(t, "afterwards", look(w.Node, w.alice), "")
		})
	}
}
