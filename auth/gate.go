package auth

import (
	"strings"

	"github.com/lockstep-kms/lockstep/kms"
)

// Query is everything a decision may depend on. The caller fills it from one view of the catalog.
type Query struct {
	Principal *Principal
	Operation *kms.Operation
	Action    string // the policy action when one operation needs several; "" means Operation.Action

	Resource        string // the ARN that is acted on, or * for none
	ResourceAccount string // the account that Resource belongs to
	Policy          string // of a key: its policy document as stored
	PolicyRef       Ref    // of a key: the record of that document

	Alias             string // the alias the request named the key by, with "alias/", or ""
	EncryptionContext map[string]string
	Source            string // the caller's address
	TLS               bool   // the request came over TLS
}

// The reasons of decisions.
const (
	ReasonEveryone    = "open to every authenticated principal"
	ReasonOperator    = "the principal belongs to the operator account"
	ReasonRoot        = "the principal is the root of the account"
	ReasonKeyPolicy   = "the default key policy allows the account's root"
	ReasonNoRule      = "no rule names what the query asks about"
	ReasonNotOperator = "the principal does not belong to the operator account"
	ReasonNotRoot     = "the principal is not the root of its account"
	ReasonForeign     = "the resource belongs to another account"
	ReasonPolicy      = "the key policy is not the default key policy"
)

// Decision is the gate's verdict.
type Decision struct {
	Allow  bool
	Reason string // one of the reasons above; for log and audit, never for the caller: it may tell what a foreign account holds

	principal *Principal
	policy    Ref
}

// Read returns the records the verdict depends on: those of the principal and, when the verdict
// looked at one, the key policy. A write guards all of them.
func (d Decision) Read() []Ref {
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

// Decide is the gate. It is pure, and these are its rules:
//
//   - GetCallerIdentity is open to every principal.
//   - Everything else is for roots of accounts, since no identity policy is evaluated.
//   - lockstep:* actions, which are all that acts on the cluster, are for the operator account.
//   - A resource is for the account that owns it, and a key only under the default key policy,
//     since no other document is evaluated.
//
// What no rule allows is denied: a query that lacks a field, an action of an unknown service.
func Decide(q *Query) Decision {
	p, op := q.Principal, q.Operation
	if p == nil || op == nil {
		return Decision{Reason: ReasonNoRule}
	}
	d := Decision{principal: p}
	if op == kms.OpGetCallerIdentity {
		return d.allow(ReasonEveryone)
	}
	if p.Type != TypeRoot {
		return d.deny(ReasonNotRoot)
	}
	action := q.Action
	if action == "" {
		action = op.Action
	}
	switch service, _, _ := strings.Cut(action, ":"); {
	case service == "lockstep" && op.Resource == kms.ResourceCluster:
		if !p.Operator {
			return d.deny(ReasonNotOperator)
		}
		return d.allow(ReasonOperator)
	case service == "kms" && op.Resource != kms.ResourceCluster:
		return d.decideResource(q)
	default:
		return d.deny(ReasonNoRule)
	}
}

// decideResource decides on kms:* actions of an account's root.
func (d Decision) decideResource(q *Query) Decision {
	if q.Operation.Resource == kms.ResourceNone {
		return d.allow(ReasonRoot)
	}
	account := d.principal.Account
	if account == "" || account != q.ResourceAccount {
		return d.deny(ReasonForeign)
	}
	if q.Operation.Resource == kms.ResourceAccount {
		return d.allow(ReasonRoot)
	}
	partition, resource, ok := splitARN(q.Resource, account)
	switch {
	case ok && q.Operation.Resource == kms.ResourceAlias && strings.HasPrefix(resource, "alias/"):
		return d.allow(ReasonRoot)
	case !ok || !strings.HasPrefix(resource, "key/"):
		return d.deny(ReasonNoRule)
	}
	d.policy = q.PolicyRef
	if !isDefaultKeyPolicy(q.Policy, partition, account) {
		return d.deny(ReasonPolicy)
	}
	return d.allow(ReasonKeyPolicy)
}

func (d Decision) allow(reason string) Decision {
	d.Allow, d.Reason = true, reason
	return d
}

func (d Decision) deny(reason string) Decision {
	d.Reason = reason
	return d
}

// splitARN returns the partition and resource part of a KMS ARN of that account.
func splitARN(arn, account string) (partition, resource string, ok bool) {
	rest, ok := strings.CutPrefix(arn, "arn:")
	if !ok {
		return "", "", false
	}
	partition, rest, _ = strings.Cut(rest, ":")
	service, rest, _ := strings.Cut(rest, ":")
	_, rest, _ = strings.Cut(rest, ":") // region
	owner, resource, ok := strings.Cut(rest, ":")
	return partition, resource, ok && service == "kms" && owner == account
}

// DefaultKeyPolicy returns the policy document that a key gets when its creator gives none, as AWS
// KMS defines it, in canonical JSON: names sorted, no blank.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
func DefaultKeyPolicy(partition, account string) string {
	return policyHead + partition + policyIAM + account + policyTail
}

const (
	policyHead = `{"Id":"key-default-1","Statement":[{"Action":"kms:*","Effect":"Allow","Principal":{"AWS":"arn:`
	policyIAM  = `:iam::`
	policyTail = `:root"},"Resource":"*","Sid":"Enable IAM User Permissions"}],"Version":"2012-10-17"}`
)

// isDefaultKeyPolicy reports whether document is DefaultKeyPolicy(partition, account), without
// building it.
func isDefaultKeyPolicy(document, partition, account string) bool {
	for _, part := range [...]string{policyHead, partition, policyIAM, account} {
		rest, ok := strings.CutPrefix(document, part)
		if !ok {
			return false
		}
		document = rest
	}
	return document == policyTail
}
