package service

import (
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// policyUsage is by how many identities a managed policy is used, and how.
type policyUsage struct{ attached, bounds int }

// eachUse calls back for each identity of the account that has a managed policy attached or is bounded by one.
func (r *request) eachUse(found func(s *species, i *catalog.Identity, arn string, attached, bounds bool)) {
	for _, s := range []*species{user, group, role} {
		for _, i := range r.view.Identities(r.scope.Account, s.kind, "", int(s.most)) {
			bounded := i.Boundary == ""
			for _, arn := range i.Attached {
				found(s, i, arn, true, arn == i.Boundary)
				bounded = bounded || arn == i.Boundary
			}
			if !bounded {
				found(s, i, i.Boundary, false, true)
			}
		}
	}
}

// attachments returns the uses of each policy of the account.
func (r *request) attachments() map[string]policyUsage {
	all := map[string]policyUsage{}
	r.eachUse(func(_ *species, _ *catalog.Identity, arn string, attached, bounds bool) {
		n := all[arn]
		if attached {
			n.attached++
		}
		if bounds {
			n.bounds++
		}
		all[arn] = n
	})
	return all
}

// policyEntities lists who has a policy.
func policyEntities(r *request, q *kms.PolicyRequest) (any, error) {
	if _, err := r.managedPolicy(q.PolicyARN); err != nil {
		return nil, err
	}
	answer := &kms.ListEntitiesForPolicyAnswer{Users: []kms.PolicyEntity{}, Groups: []kms.PolicyEntity{}, Roles: []kms.PolicyEntity{}}
	into := map[*species]*[]kms.PolicyEntity{user: &answer.Users, group: &answer.Groups, role: &answer.Roles}
	r.eachUse(func(s *species, i *catalog.Identity, arn string, attached, bounds bool) {
		if arn == q.PolicyARN {
			*into[s] = append(*into[s], kms.PolicyEntity{Name: i.Name, ID: i.ID, Path: i.Path, Attached: attached, Bounds: bounds})
		}
	})
	return answer, nil
}

func checkTagPolicy(r *request, q *kms.TagPolicyRequest) error {
	return firstOf(r.checkPolicyARN(q.PolicyARN), r.checkNewTags(q.Tags))
}

func tagPolicy(r *request, q *kms.TagPolicyRequest) (*change, error) {
	return r.editPolicy(q.PolicyARN, "managed_policy.tagged", func(p *kms.ManagedPolicy) error { return setTags(&p.Tags, q.Tags) })
}

func checkUntagPolicy(r *request, q *kms.UntagPolicyRequest) error {
	return firstOf(r.checkPolicyARN(q.PolicyARN), r.checkGoneTags(q.TagKeys))
}

func untagPolicy(r *request, q *kms.UntagPolicyRequest) (*change, error) {
	return r.editPolicy(q.PolicyARN, "managed_policy.untagged", func(p *kms.ManagedPolicy) error {
		dropTags(&p.Tags, q.TagKeys)
		return nil
	})
}
