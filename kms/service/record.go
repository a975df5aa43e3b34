package service

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
)

// audit writes the record of the call as it ends with answer or err. One of what was done, or may have been, is written later if
// it cannot be now.
func (r *request) audit(answer any, err error) error {
	rec := audit.Record{
		Time:      r.started,
		RequestID: r.call.RequestID,
		Source:    r.op.Source,
		Name:      r.op.Name,
		Region:    cmp.Or(r.scope.Region, r.Regions[0]), // one that is not served is nowhere
		SourceIP:  r.call.Source,
		UserAgent: r.call.UserAgent,
		Resources: r.resources[:r.found],
		ReadOnly:  !r.op.Mutates,
		Recipient: r.scope.Account,
		Node:      r.Node,
		Epoch:     r.epoch,
		Index:     r.index,
		Door:      r.call.Door,
		TraceID:   r.served.Request.Trace.String(),
	}
	if len(r.parameters) > 0 {
		rec.Parameters = r.parameters
	}
	rec.TLS = audit.TLSOf(r.call.Auth.TLS, r.call.Auth.Host)
	if p := r.principal; p != nil && (p.Type != auth.TypeWebIdentity || p.Federated != "") { // who only says who it is is nobody
		rec.Identity = identityOf(p, r.started)
	}
	if err != nil {
		e := kms.AsError(err)
		rec.ErrorCode, rec.ErrorMessage = string(e.Code), e.Message
	} else {
		rec.Response = r.elements(answer)
	}
	blocked := r.Audit.Append(&rec)
	if blocked != nil && (r.applied || kms.CodeOf(err) == kms.CodeOutcomeUnknown) {
		r.Audit.Later(rec)
	}
	r.eventID = rec.EventID
	return blocked
}

// identityOf is a principal as CloudTrail has it. A session that a client certificate has is one of this call.
func identityOf(p *auth.Principal, at time.Time) audit.Identity {
	i := audit.Identity{Type: p.Type, PrincipalID: p.UserID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.AccessKeyID}
	switch p.Type {
	case kms.TypeUser:
		i.UserName = p.Name
	case auth.TypeWebIdentity: // it is known at its issuer only
		_, i.Provider, _ = strings.Cut(p.Federated, "/")
		i.UserName, i.ARN, i.AccountID = p.Name, "", ""
	}
	s := p.Session
	if s == nil {
		return i
	}
	i.Session = audit.Session{Created: kms.Time(s.Issued), Provider: s.Federated, Subject: s.Subject}
	if s.Certificate {
		i.Session.Created = at
	}
	if s.OfKey == "" {
		i.Session.Issuer = audit.Issuer{Type: "Role", PrincipalID: s.RoleID, ARN: p.Role, AccountID: s.Account, UserName: s.Role}
	}
	return i
}

// eventWithheld is an event of the node: an answer that has a record did not leave.
const eventWithheld = "AnswerWithheld"

// withheld records that the answer of the call did not leave after all, because of err. The record of the call says what
// was done, and a call has one.
func (r *request) withheld(err error) error {
	return r.Audit.Append(&audit.Record{Time: r.Now(), Source: systemSource, Name: eventWithheld, Region: r.scope.Region, SourceIP: systemSource, UserAgent: systemSource,
		Identity: audit.Identity{Type: "Service", PrincipalID: r.Node}, Recipient: r.scope.Account, Node: r.Node, Epoch: r.epoch, Index: r.index, TraceID: r.served.Request.Trace.String(),
		Details: texts("eventID", kms.UUID(r.eventID), "requestID", r.call.RequestID, "eventName", r.op.Name, "errorCode", string(kms.CodeOf(err)))})
}

// note adds a parameter to the audit record unless it is empty. The record cuts what is long.
func (r *request) note(key, value string) {
	if value != "" {
		r.parameters = append(r.parameters, audit.Pair{Key: key, Value: value})
	}
}

// noteDocument is note of a policy document.
func (r *request) noteDocument(key string, document kms.PolicyDocument) {
	if document != "" {
		r.parameters = append(r.parameters, audit.Document(key, string(document)))
	}
}

// noteMap adds an object, which has been checked, to the audit record unless it is empty.
func (r *request) noteMap(key string, object map[string]string) {
	if len(object) > 0 {
		r.parameters = append(r.parameters, audit.Pair{Key: key, Object: object})
	}
}

// noteList adds an array of words to the audit record unless it is empty.
func noteList[T ~string](r *request, key string, words []T) {
	r.parameters = appendList(r.parameters, key, words)
}

// noteEntries adds an array of objects to the audit record unless it is empty.
func (r *request) noteEntries(key string, entries []audit.Pair) {
	if len(entries) > 0 {
		r.parameters = append(r.parameters, audit.Entries(key, entries))
	}
}

// noteValues adds an array of objects that have a key and values, in the order of the keys.
func (r *request) noteValues(name, key, values string, all map[string][]string) {
	var entries []audit.Pair
	for _, k := range slices.Sorted(maps.Keys(all)) {
		entries = append(entries, audit.Members("", audit.Pair{Key: key, Value: k}, audit.List(values, all[k])))
	}
	r.noteEntries(name, entries)
}

// noteInt adds a number to the audit record.
func (r *request) noteInt(key string, n int) {
	r.parameters = append(r.parameters, audit.Int(key, int64(n)))
}

// noteTrue adds a choice to the audit record that the caller made.
func (r *request) noteTrue(key string, chosen bool) {
	if chosen {
		r.parameters = append(r.parameters, audit.Bool(key, true))
	}
}

// notePage adds to the audit record which page of a listing is asked for.
func (r *request) notePage(limit int, marker string) {
	if limit != 0 {
		r.noteInt("limit", limit)
	}
	r.note("marker", marker)
}

// noteDryRun says in the audit record that nothing was to be done.
func (r *request) noteDryRun(dryRun bool) {
	r.dryRun = dryRun
	r.noteTrue("dryRun", dryRun)
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
