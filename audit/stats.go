package audit

import "time"

// Stats is the state of a Log at a moment.
type Stats struct {
	Seq      uint64    // of the last record that enough sinks have
	HeadSeq  uint64    // what the last signed head covers; 0: there is none since the start
	HeadTime time.Time // when it was signed
	Blocked  bool      // records cannot be written, and everything is refused
	Folded   uint64    // refusals that were counted together since the start
	Sinks    []SinkStats
}

// SinkStats is the state of one sink.
type SinkStats struct {
	Name      string
	Healthy   bool   // its last write went well, none hangs, and it misses nothing that its next batch will not explain
	Records   uint64 // acknowledged since the start
	Missed    uint64 // not taken since the start
	Queue     int    // records that wait or are being written
	LastError error  // of its last write, or what is wrong with its files; nil: nothing
}

// Stats returns the state now.
func (l *Log) Stats() Stats {
	s := Stats{Blocked: l.blocked.Load() != nil, Folded: l.fold.number()}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Seq, s.HeadSeq, s.HeadTime = l.acked, l.headSeq, l.headTime
	for _, m := range l.members {
		st := SinkStats{Name: m.name, Healthy: m.last == nil && !m.hung && m.gap == 0, Records: m.records, Missed: m.misses, LastError: m.last}
		for _, b := range m.queue {
			st.Queue += len(b.Ends)
		}
		if m.writing != nil {
			st.Queue += len(m.writing.Ends)
		}
		if t, ok := m.sink.(interface{ Trouble() error }); ok && st.LastError == nil {
			st.LastError = t.Trouble()
		}
		s.Sinks = append(s.Sinks, st)
	}
	return s
}
