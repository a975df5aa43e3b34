package server

import (
	"context"
	"time"

	"github.com/lockstep-kms/lockstep/api/sys"
	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/trace"
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
func (n *node) called(ctx context.Context, who sys.Caller, name string, parameters ...audit.Pair) *audit.Record {
	return &audit.Record{Time: time.Now(), RequestID: who.RequestID, Source: kms.OpSeal.Source, Name: name, Region: n.cfg.Regions[0],
		SourceIP: who.Addr, UserAgent: who.UserAgent, Parameters: parameters, TLS: audit.TLSOf(who.TLS, who.Host), Node: n.cfg.Name, Door: "sys",
		TraceID: trace.From(ctx).Trace.String()}
}

// Refuse implements sys.Node.
func (n *node) Refuse(ctx context.Context, who sys.Caller, name string, err error) error {
	event := map[string]string{sys.RouteInit: eventInit, sys.RouteUnseal: eventUnseal, sys.RouteCancel: eventCancel}[name]
	return n.recorded(ctx, n.called(ctx, who, event), err)
}

// calledBy begins the audit record of what another node has this one do: an event, not a call.
func (n *node) calledBy(ctx context.Context, p transport.Peer, name string, details ...audit.Pair) *audit.Record {
	rec := n.event(name)
	rec.Identity, rec.SourceIP, rec.Details = audit.Identity{Type: "Service", PrincipalID: p.Name}, p.Name, details
	rec.TraceID = trace.From(ctx).Trace.String()
	return rec
}

// noteSeal adds how far unsealing is: to a call what came of it, to an event its details.
func noteSeal(rec *audit.Record, s sys.SealStatus) {
	to := &rec.Response
	if rec.Service {
		to = &rec.Details
	}
	*to = append(*to, audit.Bool("sealed", s.Sealed), audit.Int("threshold", int64(s.Threshold)),
		audit.Int("shares", int64(s.Shares)), audit.Int("progress", int64(s.Progress)))
	if s.AttemptLabel != "" {
		*to = append(*to, audit.Pair{Key: "attemptLabel", Value: s.AttemptLabel})
	}
}

// recorded writes the record of a call that ends with err, and returns what to answer: err, or
// kms.CodeAuditBlocked if the record could not be written. That of what was done, or may have been, is written later then.
func (n *node) recorded(ctx context.Context, rec *audit.Record, err error) error {
	blocked := n.write(ctx, rec, err)
	if blocked == nil {
		return err
	}
	if !rec.ReadOnly && (err == nil || kms.CodeOf(err) == kms.CodeOutcomeUnknown) {
		n.audit.Later(*rec)
	}
	return blocked
}

// write writes the record of a call that ends with err; with an error it is not written.
func (n *node) write(ctx context.Context, rec *audit.Record, err error) error {
	v := n.fsm.View()
	rec.Epoch, rec.Index = v.Epoch(), v.Index()
	if err != nil {
		e := kms.AsError(err)
		rec.ErrorCode, rec.ErrorMessage, rec.Response = string(e.Code), e.Message, nil
	}
	blocked := n.audit.Append(rec)
	if blocked != nil {
		n.log.DebugContext(ctx, "an audit record could not be written", "call", rec.Name, "error", blocked)
	}
	return blocked
}

// noted writes the record of a call of another node, which is answered in any case.
func (n *node) noted(ctx context.Context, rec *audit.Record, err error) {
	if blocked := n.recorded(ctx, rec, err); kms.CodeOf(blocked) == kms.CodeAuditBlocked {
		n.log.ErrorContext(ctx, "a call of another node is answered though its audit record could not be written", "call", rec.Name, "from", rec.SourceIP, "error", blocked)
	}
}
