package audit

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// The records of the trail about itself; DESIGN.md has their details.
const (
	eventStarted = "AuditStarted"
	eventStopped = "AuditStopped"
	eventHead    = "AuditHead"
	eventMissed  = "AuditRecordsMissed"
	eventRemoved = "AuditFileRemoved"
	eventResumed = "AuditResumed"
	eventDropped = "AuditRecordsDropped"
	eventFold    = "UnauthenticatedRefusals"

	sourceOwn = "lockstep" // eventSource
)

// own begins a record of the node itself.
func (l *Log) own(name string, details ...Pair) Record {
	if details == nil {
		details = []Pair{}
	}
	return Record{Time: l.options.Now(), Source: sourceOwn, Name: name, Node: l.options.Node,
		Identity: Identity{Type: "Service", PrincipalID: l.options.Node}, Details: details}
}

// started is the notice of this start. It says what is right before it: where the chain went on, unless sinks missed
// something before the start was on record.
func (l *Log) started(seq uint64, prev chain.Hash) Record {
	names := make([]string, len(l.members))
	for i, m := range l.members {
		names[i] = m.name
	}
	return l.own(eventStarted, Int("previousSeq", int64(seq-1)), Pair{Key: "previousHash", Value: prev.String()},
		Int("foundSeq", int64(l.found.Seq)), Bool("clean", seq == l.found.Seq+1 && (l.found.Clean || l.found.Seq == 0)), Pair{Key: "bootId", Value: bootID()}, Pair{Key: "sinks", Value: strings.Join(names, ",")})
}

// bootID tells the runs of the machine apart; "" where it is not known.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id") // random(4)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (l *Log) stopped(uint64, chain.Hash) Record { return l.own(eventStopped) }

// missed is the notice of the records up to seq to that a sink has not taken; mu is held.
func (l *Log) missed(m *member, to uint64) notice {
	taken, gap, why := m.taken, m.gap, m.why
	return func(uint64, chain.Hash) Record {
		return l.own(eventMissed, Pair{Key: "sink", Value: m.name}, Int("afterSeq", int64(taken.seq)), Pair{Key: "afterHash", Value: taken.hash.String()},
			Int("fromSeq", int64(gap)), Int("toSeq", int64(to)), Pair{Key: "error", Value: why.Error()})
	}
}

// sign adds the head of everything before to a batch.
func (l *Log) sign(b *batch) {
	head, public, sig := b.signer.Sign(l.seq, l.hash, b.at)
	if sig == nil {
		return
	}
	b.head = head
	l.tell(b, func(uint64, chain.Hash) Record {
		return l.own(eventHead, Pair{Key: "clusterId", Value: head.Cluster}, Int("headSeq", int64(head.Seq)), Pair{Key: "headHash", Value: head.Hash.String()},
			Int("headTime", head.Time), Pair{Key: "publicKey", Value: base64.StdEncoding.EncodeToString(public)},
			Pair{Key: "signature", Value: base64.StdEncoding.EncodeToString(sig)})
	})
}

// announce is Log.announce for one sink.
type announce func(unsigned bool, name string, details ...Pair) error

// errUnsigned says that nobody signs heads.
var errUnsigned = errors.New("the node is sealed: nobody signs the audit trail")

// announce records what a sink says of itself, with a head behind it. It returns nil when that sink itself has taken both, since
// what the record explains is in no other one. With unsigned the head may be missing; else, while nobody signs, nothing is recorded.
func (l *Log) announce(m *member, unsigned bool, name string, details ...Pair) error {
	r := l.own(name, details...)
	l.mu.Lock()
	if l.signer == nil && !unsigned {
		l.mu.Unlock()
		return errUnsigned
	}
	l.mu.Unlock()
	a := ask{m, make(chan error, 1)}
	g, err := l.postWith(func(g *group) { g.head, g.asks = true, append(g.asks, a) }, func(uint64, chain.Hash) Record { return r })
	if err != nil {
		return err
	}
	if <-g.settled; g.err != nil {
		return g.err
	}
	wait := time.NewTimer(l.options.Timeout) // the other sinks may have been faster
	defer wait.Stop()
	select {
	case err = <-a.taken:
	case <-wait.C:
		err = ErrHung
	}
	if err == nil && g.signed == nil && !unsigned {
		err = errUnsigned
	}
	return err
}
