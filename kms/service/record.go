package service

import (
	"strings"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/kms"
)

// audit writes the record of the call as it ends with err.
func (r *request) audit(err error) error {
	rec := audit.Record{
		Time:       r.started,
		RequestID:  r.call.RequestID,
		Source:     r.op.Source,
		Name:       r.op.Name,
		Region:     r.scope.Region,
		SourceIP:   r.call.Source,
		UserAgent:  r.call.UserAgent,
		Parameters: r.parameters,
		Resources:  r.resources[:r.found],
		ReadOnly:   !r.op.Mutates,
		Recipient:  r.scope.Account,
		Node:       r.Node,
		Epoch:      r.epoch,
		Index:      r.index,
	}
	if p := r.principal; p != nil {
		rec.Identity = audit.Identity{Type: p.Type, PrincipalID: p.UserID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.AccessKeyID}
	}
	if err != nil {
		e := kms.AsError(err)
		rec.ErrorCode, rec.ErrorMessage = string(e.Code), e.Message
	} else {
		rec.Response = r.response
	}
	err = r.Audit.Append(&rec)
	r.eventID = rec.EventID
	return err
}

// note adds a parameter to the audit record unless it is empty. The record cuts what is long.
func (r *request) note(key, value string) {
	if value != "" {
		r.parameters = append(r.parameters, audit.Pair{Key: key, Value: value})
	}
}

// noteMap adds an object, which has been checked, to the audit record unless it is empty.
func (r *request) noteMap(key string, object map[string]string) {
	if len(object) > 0 {
		r.parameters = append(r.parameters, audit.Pair{Key: key, Object: object})
	}
}

// noteInt adds a number to the audit record.
func (r *request) noteInt(key string, n int) {
	r.parameters = append(r.parameters, audit.Int(key, int64(n)))
}

// noteDryRun says in the audit record that nothing was to be done.
func (r *request) noteDryRun(dryRun bool) {
	r.dryRun = dryRun
	if dryRun {
		r.parameters = append(r.parameters, audit.Bool("dryRun", true))
	}
}

// noteUse remembers that a call used its keys.
func (r *request) noteUse() {
	at := r.started.UnixMilli() // this node's clock: log time costs more, see knownUsage
	if id := r.principal.AccessKeyID; id != "" && r.principal.Session == nil {
		service, _, _ := strings.Cut(r.op.Action, ":")
		r.hold.View().NoteAccessKey(id, at, service, r.scope.Region)
	}
	for _, k := range r.used[:r.usedKeys] {
		k.NoteUse(r.op.Name, at, r.principal.ARN, r.call.RequestID, r.eventID)
	}
}

// observe tells the observer how the call ended.
func (r *request) observe(err error) {
	code := kms.CodeOf(err)
	switch {
	case code == "":
		for _, k := range r.used[:r.usedKeys] {
			r.Observer.Used(r.op, k.Spec, k.ID)
		}
	case r.doomed != nil && code == kms.CodeInvalidState:
		r.Observer.PendingDeletion(r.doomed.ID)
	}
	r.Observer.Request(r.op, r.call.Door, code, r.Now().Sub(r.started))
}
