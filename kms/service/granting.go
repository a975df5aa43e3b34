package service

import (
	"slices"
	"strings"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// grantsOf finds what a grant on the key that is decided on allows. Grants hold on every node as soon as they are
// acknowledged, so it does not matter whether a request brings their tokens.
// https://docs.aws.amazon.com/kms/latest/developerguide/grants.html
type grantsOf request

// Granted implements policy.Grants: the grant that names the caller the closest.
func (g *grantsOf) Granted(q *policy.Request) (id string, via policy.Via, ok bool) {
	r := (*request)(g)
	name, isKMS := strings.CutPrefix(q.Action, "kms:")
	operation := kms.GrantOperation(name)
	if !isKMS || r.facts.key == nil || operation == "RetireGrant" || !slices.Contains(kms.GrantOperations, operation) {
		return "", policy.ViaNone, false
	}
	for _, as := range r.namesOf(r.principal) {
		if grant := r.grantTo(as.arn, operation); grant != nil {
			return grant.ID, as.via, true
		}
	}
	return "", policy.ViaNone, false
}

// name is an ARN that means a principal.
type name struct {
	arn string
	via policy.Via
}

// namesOf returns the ARNs that mean a principal, the closest first: its own, its role's, its account's.
func (r *request) namesOf(p *auth.Principal) []name {
	all := []name{{p.ARN, policy.ViaDirect}}
	if p.Role != "" {
		all = append(all, name{p.Role, policy.ViaRole})
	}
	if p.Type != kms.TypeRoot {
		all = append(all, name{r.rootARN(p.Account), policy.ViaAccount})
	}
	return all
}

func (r *request) rootARN(account string) string {
	return "arn:" + r.Partition + ":iam::" + account + ":root"
}

// grantTo returns a grant that allows a grantee the operation with the key that is decided on.
func (r *request) grantTo(grantee string, operation kms.GrantOperation) (found *catalog.Grant) {
	k := r.facts.key
	r.view.EachGrantTo(k.Scope, k.Raw, grantee, func(g *catalog.Grant) bool {
		if slices.Contains(g.Operations, operation) && r.withinGrant(g, operation) {
			found = g
		}
		return found == nil
	})
	return found
}

// withinGrant reports whether a request keeps to a grant's constraints. What a grant on a key allows to be granted is
// never more than itself.
func (r *request) withinGrant(g *catalog.Grant, operation kms.GrantOperation) bool {
	if operation == "CreateGrant" {
		q, ok := r.call.Request.(*kms.CreateGrantRequest)
		return ok && narrower(q, &g.Grant)
	}
	if g.Constraints == nil || !slices.Contains(contextual, operation) {
		return true
	}
	return satisfies(g.Constraints, r.facts.encryptionContext)
}

// satisfies reports whether an encryption context is one that constraints allow.
func satisfies(c *kms.GrantConstraints, context map[string]string) bool {
	if len(c.EncryptionContextEquals) > 0 && len(c.EncryptionContextEquals) != len(context) {
		return false
	}
	return contains(context, c.EncryptionContextEquals) && contains(context, c.EncryptionContextSubset)
}

// contains reports whether all has every pair of some.
func contains(all, some map[string]string) bool {
	for k, v := range some {
		if got, ok := all[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// narrower reports whether a grant that is asked for allows nothing that its parent does not: its operations are among
// the parent's, and every encryption context it allows, the parent allows.
func narrower(q *kms.CreateGrantRequest, parent *kms.Grant) bool {
	for _, o := range q.Operations {
		if !slices.Contains(parent.Operations, o) {
			return false
		}
	}
	if parent.Constraints == nil {
		return true
	}
	c := q.Constraints
	switch {
	case c == nil:
		return false
	case len(c.EncryptionContextEquals) > 0: // one context
		return satisfies(parent.Constraints, c.EncryptionContextEquals)
	case len(c.EncryptionContextSubset) > 0: // every context that has these pairs
		return len(parent.Constraints.EncryptionContextEquals) == 0 && contains(c.EncryptionContextSubset, parent.Constraints.EncryptionContextSubset)
	}
	return false
}

// guardGrant guards the grant that a decision was made by.
func (r *request) guardGrant(k *catalog.Key, id string) {
	if g, err := r.view.Grant(k.Scope, k.Raw, id); err == nil {
		r.granted = append(r.granted, g.Guard())
	}
}

// mayRetire refuses who may not retire a grant. The grant says it, no key policy does: see retiring. Besides, the account
// of the key delegates it by its identity policies, and a Deny in one holds against everybody.
// https://docs.aws.amazon.com/kms/latest/developerguide/grant-delete.html
func (r *request) mayRetire(k *catalog.Key, g *catalog.Grant) error {
	return r.allow(&auth.Query{Resource: k.ARN, ResourceAccount: r.principal.Account, // whom the grant names needs no policy of its own
		Key: true, Policy: r.view.DefaultPolicy(k.Scope.Account).Policy(), Grants: &retiring{r, g}}, facts{key: k, owner: k.Scope.Account})
}

// retiring is a grant as what allows that it is retired: by its retiring principal, by its grantee when RetireGrant is
// among what it allows, and by the root of the account it was created in. An account that is named as one of the
// first two stands for those of its identities whose policies allow kms:RetireGrant.
type retiring struct {
	request *request
	grant   *catalog.Grant
}

// Granted implements policy.Grants.
func (t *retiring) Granted(*policy.Request) (id string, via policy.Via, ok bool) {
	g := t.grant
	for _, as := range t.request.namesOf(t.request.principal) {
		if as.arn == g.RetiringPrincipal || as.arn == g.GranteePrincipal && slices.Contains(g.Operations, "RetireGrant") ||
			as.arn == g.IssuingAccount && as.via == policy.ViaDirect {
			return g.ID, as.via, true
		}
	}
	return "", policy.ViaNone, false
}
