package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

// keepLine is the capacity in bytes above which a line's buffer is not reused.
const keepLine = 64 << 10

// Log hands each record to its sinks and requires some of them to take it. It is safe for
// concurrent use.
type Log struct {
	sinks   []Sink // immutable after New
	require int    // immutable after New
	logger  *slog.Logger
	run     uint64                // random, immutable after New: the first half of event ids
	count   atomic.Uint64         // of event ids
	lines   sync.Pool             // of *[]byte
	blocked atomic.Pointer[block] // nil while records are taken
}

// block is a time in which too few sinks take records.
type block struct {
	since time.Time
	node  string
}

// New makes a Log over sinks of which at least require must take each record. It closes them when
// it is closed.
func New(sinks []Sink, require int, logger *slog.Logger) (*Log, error) {
	if require < 1 || require > len(sinks) {
		return nil, fmt.Errorf("audit: %d of %d sinks cannot be required", require, len(sinks))
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	var seed [8]byte
	rand.Read(seed[:])
	l := &Log{sinks: sinks, require: require, logger: logger, run: binary.BigEndian.Uint64(seed[:])}
	l.lines.New = func() any { return new([]byte) }
	return l, nil
}

// Append returns nil when enough sinks have the record. Otherwise it returns a *kms.Error with
// CodeAuditBlocked, and what the record tells of must not leave. A record without an event id gets
// one. The record is not kept.
func (l *Log) Append(r *Record) error {
	if r.EventID == ([16]byte{}) {
		r.EventID = l.nextID()
	}
	line := l.lines.Get().(*[]byte)
	*line = r.AppendJSON((*line)[:0])
	err := l.appendLine(*line)
	if cap(*line) <= keepLine {
		l.lines.Put(line)
	}
	if err != nil {
		if l.blocked.CompareAndSwap(nil, &block{since: time.Now(), node: r.Node}) {
			l.logger.Error("audit records cannot be written; everything is refused until they can", "error", err)
		}
		refusal := kms.Errorf(kms.CodeAuditBlocked, "The node cannot write its audit records, and nothing is answered unaudited.")
		refusal.RetryAfter = time.Second
		return refusal.WithCause(err)
	}
	if b := l.blocked.Load(); b != nil && l.blocked.CompareAndSwap(b, nil) {
		l.logger.Info("audit records are written again", "blocked_since", b.since)
	}
	return nil
}

// Healthy returns nil when a record could be taken now, else what Append would return. While
// records are refused it finds out by appending one, named AuditResumed, which tells a reader of
// the log from when on nothing was answered.
func (l *Log) Healthy() error {
	b := l.blocked.Load()
	if b == nil {
		return nil
	}
	return l.Append(&Record{
		Time: time.Now(), Source: "lockstep", Name: "AuditResumed", Node: b.node,
		Identity:   Identity{Type: "Service", PrincipalID: b.node},
		Parameters: []Pair{{Key: "blockedSince", Value: string(appendTime(nil, b.since))}},
	})
}

// Reopen makes the sinks that write to files open them again for their next record.
func (l *Log) Reopen() {
	for _, s := range l.sinks {
		if f, ok := s.(interface{ Reopen() }); ok {
			f.Reopen()
		}
	}
}

// Close closes the sinks.
func (l *Log) Close() error {
	var err error
	for _, s := range l.sinks {
		err = errors.Join(err, s.Close())
	}
	return err
}

// nextID makes a UUID of version 8 (RFC 9562): unique, from a random number for this run and a
// counter.
func (l *Log) nextID() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], l.run)
	binary.BigEndian.PutUint64(id[8:], l.count.Add(1))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (l *Log) appendLine(line []byte) error {
	if len(l.sinks) == 1 {
		return l.sinks[0].Append(line)
	}
	line = bytes.Clone(line) // the slower sinks may still read it afterwards
	results := make(chan error, len(l.sinks))
	for _, s := range l.sinks {
		go func() { results <- s.Append(line) }()
	}
	var failures error
	for taken, failed := 0, 0; ; {
		err := <-results
		if err == nil {
			taken++
		} else {
			failed++
			failures = errors.Join(failures, err)
		}
		switch {
		case taken == l.require:
			return nil
		case failed > len(l.sinks)-l.require:
			return failures
		}
	}
}
