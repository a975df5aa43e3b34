package audit

import (
	"slices"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// maxLate is how many records Later keeps. Once records cannot be written nothing new is done, so what
// waits is what was under way in that moment.
const maxLate = 1024

// Later keeps a record that Append could not write, of something that was done all the same, and writes it as soon as enough sinks
// take records again, with the event id that it has: right behind the batch that ends the time in which they did not. The sinks that
// took the record then may have it twice. What is kept is lost with the process; beyond a bound it is counted, and AuditRecordsDropped tells.
func (l *Log) Later(r Record) {
	// What the caller goes on to use, or holds on to, is not kept.
	r.Parameters, r.Response, r.Details, r.Resources = slices.Clone(r.Parameters), slices.Clone(r.Response), slices.Clone(r.Details), slices.Clone(r.Resources)
	if !l.keep(&r) {
		l.logger.Error("something was done that will have no audit record: too many wait, or the log is closed", "event", r.Name, "request", r.RequestID)
	}
}

func (l *Log) keep(r *Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return false
	case len(l.late) >= maxLate:
		l.dropped++
		return false
	}
	l.late = append(l.late, func(uint64, chain.Hash) Record { return *r })
	if l.down == nil { // else the next batch has it, once a write that hangs has ended
		l.pending.note = true
		l.wake()
	}
	return true
}

// lost is the notice of n records that Later could not keep.
func (l *Log) lost(n int64) notice {
	return func(uint64, chain.Hash) Record { return l.own(eventDropped, Int("records", n)) }
}
