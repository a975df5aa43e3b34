package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/kms"
)

const (
	defaultTimeout = 2 * time.Second
	keepLine       = 64 << 10 // bytes; the buffer of a longer line is not reused
	maxPending     = 8 << 20  // bytes of records that may wait for the batch that is under way
)

// Why a sink, or a log, does not take a record; other errors are those of the sink.
var (
	ErrHung   = errors.New("a write to the audit sink hangs")
	ErrBusy   = errors.New("too many records wait for the audit sink")
	ErrFull   = errors.New("too many records wait for the audit sinks")
	ErrClosed = errors.New("the audit log is closed")

	errBlocked = errors.New("records cannot be written")
)

// Batch is what a sink takes with one write: whole records, in the order of the node's chain.
type Batch struct {
	Lines  []byte // the records, each with its newline
	Ends   []int  // for each record where it ends in Lines, behind its newline
	First  uint64 // seq of the first record; each has the one before it plus 1
	Rotate bool   // a file that is due ends behind this batch
}

// Sink keeps records. The Log calls Write from one goroutine at a time and Close once, when no Write runs.
type Sink interface {
	// Name tells the sink from the others: "file:/var/log/lockstep/audit.jsonl".
	Name() string
	// Write returns nil when the batch has the durability of the sink. After an error any part of the batch may stand in the
	// sink. It may hang: the Log watches the time. It changes nothing of the batch and does not keep it.
	Write(b *Batch) error
	Close() error
}

// rotator is a Sink that wants to be told where to rotate, so that a signed head is the last record before. It is asked
// before each batch, also while Write runs.
type rotator interface{ WantsRotation(now time.Time) bool }

// finder is a Sink that knows what it had at the start.
type finder interface{ Last() Found }

// announcer is a Sink that has something to record about itself. It calls the function, see Log.announce, from a goroutine of its
// own, since that waits until the record is written.
type announcer interface{ Announce(record announce) }

// Found is the end of a chain that was found at the start; the zero value is the beginning of a chain.
type Found struct {
	Seq   uint64     // of the last whole record; 0: none was found
	Hash  chain.Hash // of its line
	Clean bool       // it is AuditStopped
}

// Signer signs heads. Sign is called by the goroutine that all records wait for, and may not call the Log.
type Signer interface {
	Sign(seq uint64, hash chain.Hash, at time.Time) (head chain.Head, public ed25519.PublicKey, sig []byte)
}

// Options configures New.
type Options struct {
	Sinks   []Sink
	Require int              // how many of them must take each record; 0 means 1
	Timeout time.Duration    // a write that takes longer hangs; 0 means 2 s
	Node    string           // this node, in the records of the trail itself
	Now     func() time.Time // nil means time.Now

	// FoldAfter is how many refusals a second of one source that nobody authenticated have records of their own; 0 means 10.
	FoldAfter int
	FoldOwn   int // as FoldAfter, of all sources together; 0 means 100

	Logger *slog.Logger // nil: none

	// Observe, when not nil, is told how long each write of a batch took; it may not call the Log.
	Observe func(sink string, took time.Duration, err error)
}

// Log numbers and chains records, hands them to its sinks and requires some of them to take each. It is safe for concurrent
// use.
type Log struct {
	options Options // immutable, with defaults filled in
	logger  *slog.Logger
	found   Found                 // immutable: where the chain goes on from
	run     uint64                // random, immutable: the first half of event ids
	count   atomic.Uint64         // of event ids
	lines   sync.Pool             // of *[]byte
	blocked atomic.Pointer[block] // changes under mu
	fold    fold

	seq  uint64     // owned by the committer: of the last record
	hash chain.Hash // owned by the committer: of its line
	text []byte     // owned by the committer: for a record of the trail itself

	work  chan struct{} // buffered 1: wakes the committer; closed by Close
	ended sync.WaitGroup
	alarm *time.Timer // calls expire

	mu       sync.Mutex
	members  []*member // the slice is immutable
	pending  *group    // guarded by mu: gathers records, not nil
	waiting  int       // guarded by mu: bytes in pending
	notices  []notice  // guarded by mu: what the trail says of itself next
	late     []notice  // guarded by mu: records that are late
	dropped  int64     // guarded by mu: late records that could not be kept, until enough sinks have been told
	spare    []*[]byte // guarded by mu: a slice for the next pending
	batches  []*batch  // guarded by mu: to be reused
	busy     bool      // guarded by mu: the committer has a batch under way
	armed    bool      // guarded by mu: the alarm will ring
	down     error     // guarded by mu: why, while so many writes hang that too few sinks are left
	signer   Signer    // guarded by mu
	closed   bool      // guarded by mu
	finished bool      // guarded by mu: the committer has ended
	closeErr error     // guarded by mu
	acked    uint64    // guarded by mu: the last record that enough sinks have
	headSeq  uint64    // guarded by mu: what the last head in enough sinks covers
	headTime time.Time // guarded by mu
}

// block is a time in which too few sinks take records.
type block struct{ since time.Time }

// New starts a Log. The chain goes on from the highest record that a sink has, and the first record, AuditStarted, says from
// where; New returns when it was written or could not be, which Healthy then says. The Log closes the sinks.
func New(o Options) (*Log, error) {
	if o.Require == 0 {
		o.Require = 1
	}
	if o.Require < 0 || o.Require > len(o.Sinks) {
		return nil, fmt.Errorf("audit: %d of %d sinks cannot be required", o.Require, len(o.Sinks))
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.FoldAfter == 0 {
		o.FoldAfter = foldAfter
	}
	if o.FoldOwn == 0 {
		o.FoldOwn = foldOwn
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var seed [8]byte
	rand.Read(seed[:])
	l := &Log{options: o, logger: o.Logger, run: binary.BigEndian.Uint64(seed[:]), work: make(chan struct{}, 1)}
	l.lines.New = func() any { return new([]byte) }
	l.renewPending()
	l.join(o.Sinks)
	l.seq, l.hash = l.found.Seq, l.found.Hash
	l.alarm = time.AfterFunc(time.Hour, l.expire)
	l.fold.init(l)
	l.start()
	for _, m := range l.members {
		if a, ok := m.sink.(announcer); ok {
			a.Announce(func(unsigned bool, name string, details ...Pair) error {
				return l.announce(m, unsigned, name, details...)
			})
		}
	}
	if err := l.note(l.started); err != nil {
		l.block(err)
	}
	return l, nil
}

// Append returns nil when enough sinks have the record. Otherwise it returns a *kms.Error with
// CodeAuditBlocked, and what the record tells of must not leave. A record without an event id gets
// one. The record is not kept.
//
// A refusal of somebody who has no identity may be counted instead, see fold.
func (l *Log) Append(r *Record) error {
	if r.EventID == ([16]byte{}) {
		r.EventID = l.nextID()
	}
	if r.ErrorCode != "" && r.Identity.Type == "" {
		if folded, err := l.fold.take(r); folded || err != nil {
			return err
		}
	}
	return l.append(r)
}

func (l *Log) append(r *Record) error {
	line := l.lines.Get().(*[]byte)
	*line = r.appendOpen((*line)[:0])
	g, err := l.enqueue(line)
	if err == nil {
		<-g.settled
		err = g.err
	}
	if cap(*line) <= keepLine {
		l.lines.Put(line)
	}
	if err != nil {
		return l.block(err)
	}
	return nil
}

// block notes that a record could not be written, because of err, and returns what to answer. The notice that records are
// written again waits from now on: so the batch that ends this time, whoever it is for, tells of it before anything else.
func (l *Log) block(err error) error {
	l.mu.Lock()
	first := l.blocked.Load() == nil
	if first {
		b := &block{since: l.options.Now()}
		l.blocked.Store(b)
		l.notices = append(l.notices, func(uint64, chain.Hash) Record {
			return l.own(eventResumed, Pair{Key: "blockedSince", Value: string(appendTime(nil, b.since))})
		})
	}
	l.mu.Unlock()
	if first {
		l.logger.Error("audit records cannot be written; everything is refused until they can", "error", err)
	}
	return refusal(err)
}

func refusal(cause error) error {
	e := kms.Errorf(kms.CodeAuditBlocked, "The node cannot write its audit records, and nothing is answered unaudited.")
	e.RetryAfter = time.Second
	return e.WithCause(cause)
}

// Blocked reports whether records were refused when the last one was appended.
func (l *Log) Blocked() bool { return l.blocked.Load() != nil }

// Healthy returns nil when a record could be taken now, else what Append would return. While records are refused it finds
// out by having the notices written that wait, AuditResumed among them, and then what is late.
func (l *Log) Healthy() error {
	if l.blocked.Load() == nil {
		return nil
	}
	for range 2 {
		if err := l.note(); err != nil {
			return l.block(err)
		}
	}
	return nil
}

// Event appends a record of the node itself: an AwsServiceEvent of source "lockstep" with these details.
func (l *Log) Event(name string, details ...Pair) error {
	r := l.own(name, details...)
	return l.Append(&r)
}

// Found returns what the chain went on from at this start: what AuditStarted names.
func (l *Log) Found() Found { return l.found }

// SetSigner makes s sign the heads from now on; nil: nobody.
func (l *Log) SetSigner(s Signer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.signer = s
}

// SignHead appends AuditHead, which signs everything before it, and returns what it covers once enough sinks have it and a
// file has it on the disk, whatever the durability; false when there is no signer.
func (l *Log) SignHead() (chain.Head, bool, error) {
	g, err := l.request(func(g *group) { g.head = true })
	if err != nil {
		return chain.Head{}, false, l.block(err)
	}
	<-g.settled
	switch {
	case g.err != nil:
		return chain.Head{}, false, l.block(g.err)
	case g.signed == nil:
		return chain.Head{}, false, nil
	}
	if err := l.secure(g.signed.Seq); err != nil { // the record is written: nothing is refused for this
		return chain.Head{}, false, err
	}
	return *g.signed, true, nil
}

// Reopen makes the sinks that write to files open them again for their next batch.
func (l *Log) Reopen() {
	for _, s := range l.options.Sinks {
		if f, ok := s.(interface{ Reopen() }); ok {
			f.Reopen()
		}
	}
}

// Close writes AuditStopped behind what was appended before and closes the sinks. It waits for them, three times the timeout
// at most.
func (l *Log) Close() error {
	l.fold.close()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	g, err := l.pending, l.down
	if err == nil {
		g.stop = true
		l.wake()
	}
	l.mu.Unlock()
	if err == nil {
		<-g.settled
		err = g.err
	}
	return errors.Join(err, l.end())
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
