package server

import (
	"context"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server/replica"
)

// The names of what this node tells of itself, beside the replica's.
const (
	eventStarted  = "NodeStarted"
	eventStopping = "NodeStopping"
	eventUnsealed = "NodeUnsealed"
	eventSealed   = "NodeSealed"
	eventDropped  = "EventsDropped"
)

const (
	eventQueue = 256             // events that wait to be recorded
	eventRetry = time.Second     // between attempts to record one
	eventGrace = 2 * time.Second // for those that wait when the node stops
)

// events are what nobody called for, on their way to the audit trail: they are recorded after the fact, in order. What
// happens never waits for its record and is never refused for want of one: while records cannot be written they wait, and
// those beyond the queue are counted.
type events struct {
	write func(*audit.Record) error
	queue chan *audit.Record
	end   context.CancelFunc
	done  chan struct{}

	mu      sync.Mutex
	dropped int64 // guarded by mu
}

// newEvents begins to record with write.
func newEvents(write func(*audit.Record) error) *events {
	ctx, end := context.WithCancel(context.Background())
	e := &events{write: write, queue: make(chan *audit.Record, eventQueue), end: end, done: make(chan struct{})}
	go e.run(ctx)
	return e
}

// tell hands an event over and never blocks.
func (e *events) tell(rec *audit.Record) {
	select {
	case e.queue <- rec:
	default:
		e.mu.Lock()
		e.dropped++
		e.mu.Unlock()
	}
}

// run records until ctx ends, and then what waits still.
func (e *events) run(ctx context.Context) {
	defer close(e.done)
	for {
		select {
		case rec := <-e.queue:
			e.record(ctx, rec)
		case <-ctx.Done():
			for {
				select {
				case rec := <-e.queue:
					e.record(ctx, rec)
				default:
					return
				}
			}
		}
	}
}

// record writes one event, again and again until ctx ends. Those that were dropped meanwhile are told after it.
func (e *events) record(ctx context.Context, rec *audit.Record) {
	for e.write(rec) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(eventRetry):
		}
	}
	e.mu.Lock()
	dropped := e.dropped
	e.dropped = 0
	e.mu.Unlock()
	if dropped > 0 {
		late := *rec
		late.EventID, late.Time, late.Name, late.Details = [16]byte{}, time.Now(), eventDropped, []audit.Pair{audit.Int("events", dropped)}
		e.record(ctx, &late)
	}
}

// close gives what waits a grace.
func (e *events) close() error {
	e.end()
	select {
	case <-e.done:
	case <-time.After(eventGrace): // a sink that hangs
	}
	return nil
}

// tell records an event of this node, as soon as records can be written.
func (n *node) tell(name string, details ...audit.Pair) {
	if details == nil {
		details = []audit.Pair{}
	}
	rec := n.event(name)
	rec.Details = details
	n.events.tell(rec)
}

// event begins the record of an event.
func (n *node) event(name string) *audit.Record {
	rec := &audit.Record{Time: time.Now(), Source: kms.OpSeal.Source, Name: name, Region: n.cfg.Regions[0], SourceIP: "lockstep", UserAgent: "lockstep",
		Identity: audit.Identity{Type: "Service", PrincipalID: n.cfg.Name}, Node: n.cfg.Name, Service: true}
	if n.fsm != nil {
		v := n.fsm.View()
		rec.Epoch, rec.Index = v.Epoch(), v.Index()
	}
	return rec
}

// heard records an event of the replica.
func (n *node) heard(e replica.Event) {
	details := []audit.Pair{}
	if e.Member != "" {
		details = append(details, audit.Pair{Key: "member", Value: e.Member})
	}
	if e.Term != 0 {
		details = append(details, audit.Int("term", int64(e.Term)))
	}
	if e.Offset != 0 {
		details = append(details, audit.Int("offsetMilliseconds", e.Offset.Milliseconds()))
	}
	if e.Reason != "" {
		details = append(details, audit.Pair{Key: "reason", Value: e.Reason})
	}
	n.tell(e.Name, details...)
}
