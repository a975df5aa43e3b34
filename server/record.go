package server

import (
	"time"

	"github.com/lockstep-kms/lockstep/api/sys"
	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/transport"
)

// Names of the audited calls that are no operations: nobody who makes them has an identity yet.
const (
	eventInit   = "InitializeCluster"
	eventUnseal = "SubmitUnsealShare"
	eventCancel = "CancelUnseal"
)

// called begins the audit record of a call of the system door. Parameters are never a share, a token
// or an attempt's id.
func (n *node) called(who sys.Caller, name string, parameters ...audit.Pair) *audit.Record {
	return &audit.Record{Time: time.Now(), RequestID: who.RequestID, Source: kms.OpSeal.Source, Name: name,
		SourceIP: who.Addr, UserAgent: who.UserAgent, Parameters: parameters, Node: n.cfg.Name}
}

// calledBy begins the audit record of a call of another node.
func (n *node) calledBy(p transport.Peer, name string, parameters ...audit.Pair) *audit.Record {
	rec := n.called(sys.Caller{Addr: p.Name}, name, parameters...)
	rec.Identity = audit.Identity{Type: "Service", PrincipalID: p.Name}
	return rec
}

// noteSeal adds how far unsealing is.
func noteSeal(rec *audit.Record, s sys.SealStatus) {
	rec.Parameters = append(rec.Parameters, audit.Bool("sealed", s.Sealed), audit.Int("threshold", int64(s.Threshold)),
		audit.Int("shares", int64(s.Shares)), audit.Int("progress", int64(s.Progress)))
	if s.AttemptLabel != "" {
		rec.Parameters = append(rec.Parameters, audit.Pair{Key: "attemptLabel", Value: s.AttemptLabel})
	}
}

// recorded writes the record of a call that ends with err, and returns what to answer: err, or
// kms.CodeAuditBlocked if the record could not be written.
func (n *node) recorded(rec *audit.Record, err error) error {
	v := n.fsm.View()
	rec.Epoch, rec.Index = v.Epoch(), v.Index()
	if err != nil {
		e := kms.AsError(err)
		rec.ErrorCode, rec.ErrorMessage = string(e.Code), e.Message
	}
	if blocked := n.audit.Append(rec); blocked != nil {
		n.log.Warn("an answer is withheld because its audit record could not be written", "call", rec.Name, "error", err)
		return blocked
	}
	return err
}

// noted writes the record of a call of another node, which is answered in any case.
func (n *node) noted(rec *audit.Record, err error) {
	if blocked := n.recorded(rec, err); kms.CodeOf(blocked) == kms.CodeAuditBlocked {
		n.log.Error("a call of another node has no audit record", "call", rec.Name, "from", rec.SourceIP, "error", blocked)
	}
}
