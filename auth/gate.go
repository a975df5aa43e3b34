package auth

import (
	"strings"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
)

// Query is everything a decision may depend on. The caller fills it from one view of the catalog.
type Query struct {
	Principal *Principal
	Operation *kms.Operation
	Action    string // the policy action when one operation needs several; "" means Operation.Action

	Resource        string // the ARN that is acted on, or * for none
	ResourceAccount string // the account that Resource belongs to
	Key             bool   // Resource is a key, which always has a policy
	Policy          *policy.Document
	PolicyRef       Ref // the record of that policy

	Context policy.Context // condition keys of the request; those of the principal are added here
	Grants  policy.Grants  // of the key; nil: none

	// What Decide works in, so that it allocates nothing when the query is kept for the next one.
	context principalContext
	query   policy.Query
}

// The reasons of decisions that no policy is asked about.
const (
	ReasonEveryone    = "open to every authenticated principal"
	ReasonNoRule      = "no rule names what the query asks about"
	ReasonNotOperator = "the principal does not belong to the operator account"
	ReasonUnreadable  = "the key policy cannot be read"
	ReasonNotOneself  = "only a user or root that is in no session may ask for a session of its own"
	ReasonOwnSession  = "a user's or root's own session may not act on identities, nor ask for sessions but of roles"
)

// Decision is the gate's verdict.
type Decision struct {
	policy.Decision        // why, when policies were asked
	Reason          string // one sentence; for log, audit and simulation, never for the caller: it may tell what a foreign account holds

	principal *Principal
	policy    Ref
}

// Read returns the records the verdict depends on: those of the principal and, when the verdict
// looked at one, the key policy. A write guards all of them, and the grant that Decision.Grant names.
func (d *Decision) Read() []Ref {
	if d.principal == nil {
		return nil
	}
	refs := make([]Ref, 0, len(d.principal.Refs)+1)
	refs = append(refs, d.principal.Refs...)
	if d.policy != (Ref{}) {
		refs = append(refs, d.policy)
	}
	return refs
}

// PolicyID names the policy that decided, "" when none did or it was the resource's own.
func (d *Decision) PolicyID() string {
	p := d.principal
	if d.Document == nil || p == nil {
		return ""
	}
	for _, all := range [][]Policy{p.Identity, p.sessions} {
		for i := range all {
			if all[i].Document == d.Document {
				return all[i].ID
			}
		}
	}
	if p.Boundary != nil && p.Boundary.Document == d.Document {
		return p.Boundary.ID
	}
	return ""
}

// Decide is the gate. It is pure, and these are its rules:
//
//   - GetCallerIdentity is open to every principal, and GetSessionToken to users and roots that are in no session: it
//     gives nothing that they do not have.
//   - A session that a user or root got so calls nothing of IAM, and of STS only what asks for roles.
//     https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
//   - lockstep:* actions, which are all that acts on the cluster and what lets LookupEvents see other accounts, are for the
//     operator account only.
//   - Everything else, and within the operator account those too, is as the policies say, see policy.Evaluate.
//
// What no rule allows is denied: a query that lacks a field, an action of an unknown service, a key whose policy
// cannot be read.
func Decide(q *Query) Decision {
	p, op := q.Principal, q.Operation
	if p == nil || op == nil {
		return Decision{Reason: ReasonNoRule}
	}
	d := Decision{principal: p}
	action := q.Action
	if action == "" {
		action = op.Action
	}
	if op == kms.OpGetCallerIdentity && strings.EqualFold(action, op.Action) {
		d.Effect, d.Reason = policy.Allowed, ReasonEveryone
		return d
	}
	if op == kms.OpGetSessionToken && strings.EqualFold(action, op.Action) && p.Session == nil && (p.Type == kms.TypeUser || p.Type == kms.TypeRoot) {
		d.Effect, d.Reason = policy.Allowed, ReasonEveryone
		return d
	}
	service, _, _ := strings.Cut(action, ":")
	own := strings.EqualFold(service, "lockstep") // policies compare actions without case
	readsAudit := op == kms.OpLookupEvents && strings.EqualFold(action, kms.ActionReadAudit)
	switch {
	case op == kms.OpGetSessionToken:
		d.Reason = ReasonNotOneself
	case p.Session != nil && p.Session.OfKey != "" && beyondOwnSession(service, action):
		d.Reason = ReasonOwnSession
	case own != (op.Resource == kms.ResourceCluster) && !readsAudit:
		d.Reason = ReasonNoRule
	case own && !p.Operator:
		d.Reason = ReasonNotOperator
	case q.Key && q.Policy == nil:
		d.Reason, d.policy = ReasonUnreadable, q.PolicyRef
	default:
		d.policy = q.PolicyRef
		d.evaluate(q, action)
	}
	return d
}

// beyondOwnSession reports whether an action is not for a user's or root's own session.
func beyondOwnSession(service, action string) bool {
	switch strings.ToLower(service) {
	case "iam", "rolesanywhere":
		return true
	case "sts":
		return !strings.EqualFold(action, kms.OpAssumeRole.Action) && !strings.EqualFold(action, "sts:TagSession")
	}
	return false
}

// evaluate asks the policies.
func (d *Decision) evaluate(q *Query, action string) {
	p := q.Principal
	q.context = principalContext{p, q.Context}
	q.query = policy.Query{
		Request:         policy.Request{Action: action, Resource: q.Resource, Caller: p.caller(), Context: &q.context},
		ResourceAccount: q.ResourceAccount, KeyPolicy: q.Policy,
		Identity: p.documents, Session: p.session, HasSession: len(p.session) > 0, Grants: q.Grants,
	}
	if p.Boundary != nil {
		q.query.Bounded, q.query.Boundary = true, p.Boundary.Document
	}
	d.Decision = policy.Evaluate(&q.query)
	d.Reason = d.Decision.Reason.String()
}

// DefaultKeyPolicy returns the policy document that a key gets when its creator gives none, as AWS
// KMS defines it, in canonical JSON: names sorted, no blank.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
func DefaultKeyPolicy(partition, account string) string {
	return `{"Id":"key-default-1","Statement":[{"Action":"kms:*","Effect":"Allow","Principal":{"AWS":"arn:` + partition + `:iam::` + account +
		`:root"},"Resource":"*","Sid":"Enable IAM User Permissions"}],"Version":"2012-10-17"}`
}
