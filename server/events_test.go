package server

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
)

// recorder is an audit log that can be blocked, or hang.
type recorder struct {
	mu    sync.Mutex
	names []string // guarded by mu
	fail  bool     // guarded by mu
	hang  chan struct{}
}

func (r *recorder) append(rec *audit.Record) error {
	if r.hang != nil {
		<-r.hang
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail {
		return errors.New("blocked")
	}
	name := rec.Name
	if name == eventDropped {
		name = fmt.Sprintf("%s %s", name, rec.Details[0].Value)
	}
	r.names = append(r.names, name)
	return nil
}

func (r *recorder) set(fail bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = fail
}

func (r *recorder) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.names, ",")
}

func event(name string) *audit.Record { return &audit.Record{Name: name, Details: []audit.Pair{}} }

// While records cannot be written events wait, in order; telling one never waits, and those that are too many are counted.
func TestEventsWaitForTheTrail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{fail: true}
		e := newEvents(r.append)
		for i := range eventQueue + 10 {
			e.tell(event(fmt.Sprint(i)))
			if i == 0 {
				synctest.Wait() // the first is being recorded; the queue is empty
			}
		}
		time.Sleep(10 * eventRetry)
		if r.told() != "" {
			t.Fatal(r.told())
		}
		r.set(false)
		time.Sleep(2 * eventRetry)
		e.tell(event("later"))
		synctest.Wait()
		want := "0,EventsDropped 9"
		for i := range eventQueue {
			want += fmt.Sprintf(",%d", i+1)
		}
		if want += ",later"; r.told() != want {
			t.Errorf("recorded %.200s", r.told())
		}
		e.close()
	})
}

// A node that stops records what waits, and does not wait for a sink that hangs.
func TestEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		e := newEvents(r.append)
		e.tell(event("a"))
		e.tell(event("b"))
		e.close()
		if r.told() != "a,b" {
			t.Errorf("recorded %s", r.told())
		}

		hung := &recorder{hang: make(chan struct{})}
		e = newEvents(hung.append)
		e.tell(event("a"))
		began := time.Now()
		e.close()
		if waited := time.Since(began); waited != eventGrace {
			t.Errorf("it waited %s for a sink that hangs", waited)
		}
		close(hung.hang)

		blocked := &recorder{fail: true}
		e = newEvents(blocked.append)
		e.tell(event("a"))
		synctest.Wait()
		e.close()
		if blocked.told() != "" {
			t.Errorf("recorded %s", blocked.told())
		}
	})
}
