package service

import (
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

const typePolicy = "AWS::IAM::Policy"

func managedPolicyUses(all map[*kms.Operation]*use) {
	all[kms.OpCreatePolicy] = changing(checkCreatePolicy, createPolicy, replayManaged)
	all[kms.OpGetPolicy] = reading(checkManaged, getPolicy)
	all[kms.OpListPolicies] = reading(checkIdentityList, listManaged)
	all[kms.OpDeletePolicy] = changing(checkManaged, deletePolicy, replayManagedDone)
	all[kms.OpCreatePolicyVersion] = changing(checkNewVersion, createVersion, replayVersion)
	all[kms.OpGetPolicyVersion] = reading(checkGetVersion, getVersion)
	all[kms.OpListPolicyVersions] = reading(checkManaged, listVersions)
	all[kms.OpSetDefaultPolicyVersion] = changing(checkVersion, setDefaultVersion, replayManagedDone)
	all[kms.OpDeletePolicyVersion] = changing(checkVersion, deleteVersion, replayManagedDone)
	all[kms.OpTagPolicy] = changing(checkTagPolicy, tagPolicy, replayManagedDone)
	all[kms.OpUntagPolicy] = changing(checkUntagPolicy, untagPolicy, replayManagedDone)
	all[kms.OpListEntitiesForPolicy] = reading(checkManaged, policyEntities)
	for s, of := range map[*species]*kms.PolicyOperations{user: &kms.UserPolicyOperations, group: &kms.GroupPolicyOperations, role: &kms.RolePolicyOperations} {
		all[of.Attach] = changing(checkAttach(s), attachPolicy(s), replayDone)
		all[of.Detach] = changing(checkAttach(s), detachPolicy(s), replayDone)
		all[of.ListAttached] = reading(byName(s), attachedPolicies(s))
		all[of.Put] = changing(checkPutInline(s), putInline(s), replayDone)
		all[of.Get] = reading(checkGetInline(s), getInline(s))
		all[of.Delete] = changing(checkDeleteInline(s), deleteInline(s), replayDone)
		all[of.List] = reading(byName(s), listInline(s))
		if of.PutBoundary != nil {
			all[of.PutBoundary] = changing(checkBoundary(s), putBoundary(s), replayDone)
			all[of.DeleteBoundary] = changing(byName(s), deleteBoundary(s), replayDone)
		}
	}
}

// checkPolicyARN refuses what is no ARN of a managed policy of the caller's account.
func (r *request) checkPolicyARN(arn string) error {
	r.note("policyArn", kms.Printable(arn))
	name := policyNameOf(arn)
	head, own := "arn:"+r.Partition+":iam::"+r.scope.Account+":policy/", false
	if own = strings.HasPrefix(arn, head); own {
		own = checkName("policyArn", name, 128) == nil && checkPath(arn[len(head)-1:len(arn)-len(name)]) == nil
	}
	if !own {
		return kms.Errorf(kms.CodeInvalidARN, "%s is not the ARN of a managed policy of this account.", kms.Printable(arn))
	}
	return nil
}

func policyNameOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// managedPolicy finds a managed policy by its ARN, for a caller who may do with it what the operation does.
func (r *request) managedPolicy(arn string) (*catalog.ManagedPolicy, error) {
	p, err := r.view.ManagedPolicy(r.scope.Account, policyNameOf(arn))
	if err == nil && p.ARN(r.Partition) != arn {
		err = catalog.ErrNotFound
	}
	f := facts{}
	if err == nil {
		f.tags = p.Tags
		r.resource(arn, typePolicy)
	} else if !errors.Is(err, catalog.ErrNotFound) {
		return nil, err
	}
	if denied := r.allowIdentity(arn, f); denied != nil {
		return nil, denied
	}
	return p, notFound(err, "Policy %s does not exist or is not attachable.", arn)
}

// attachable returns a managed policy that is to be attached; whether the caller may is asked of the identity.
func (r *request) attachable(arn string) (*catalog.ManagedPolicy, error) {
	if err := r.checkPolicyARN(arn); err != nil {
		return nil, err
	}
	p, err := r.view.ManagedPolicy(r.scope.Account, policyNameOf(arn))
	if err == nil && p.ARN(r.Partition) != arn {
		err = catalog.ErrNotFound
	}
	return p, notFound(err, "Policy %s does not exist or is not attachable.", arn)
}

func checkManaged(r *request, q *kms.PolicyRequest) error { return r.checkPolicyARN(q.PolicyARN) }

func checkCreatePolicy(r *request, q *kms.CreatePolicyRequest) error {
	r.note("policyName", q.Name)
	r.note("path", q.Path)
	r.note("description", q.Description)
	if !utf8.ValidString(q.Description) || utf8.RuneCountInString(q.Description) > maxRoleNote {
		return constraint("description", "Member must have length less than or equal to %d", maxRoleNote)
	}
	return firstOf(checkName("policyName", q.Name, 128), checkPath(q.Path), r.takeTags(q.Tags),
		r.takeDocument("policyDocument", policy.IdentityPolicy, q.PolicyDocument, maxManagedPolicy))
}

func createPolicy(r *request, q *kms.CreatePolicyRequest) (*change, error) {
	now := r.now()
	p := &kms.ManagedPolicy{Schema: 1, Account: r.scope.Account, Name: q.Name, Path: q.Path, Description: q.Description, Tags: q.Tags,
		Versions: []kms.PolicyVersion{{Number: 1, Document: string(q.PolicyDocument), Created: now}}, Default: 1, Last: 1, Created: now, Updated: now}
	if p.Path == "" {
		p.Path = "/"
	}
	arn := p.ARN(r.Partition)
	if err := r.allowNew(arn, p.Tags, facts{}); err != nil {
		return nil, err
	}
	r.resource(arn, typePolicy)
	ids := r.view.IDs()
	ref, scope := ids.ManagedPolicy(p.Account, p.Name), ids.PoliciesOf(p.Account)
	_, err := r.view.ManagedPolicy(p.Account, p.Name)
	free, err := absent(err, ref, "A policy called %s already exists. Duplicate names are not allowed.", p.Name)
	if err != nil {
		return nil, err
	}
	if r.view.Members(scope) >= maxPolicies {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The account has %d policies, which is the limit.", maxPolicies)
	}
	if p.ID, err = auth.NewUniqueID(rand.Reader, "ANPA"); err != nil {
		return nil, err
	}
	c := &change{event: "managed_policy.created", guards: []fsm.Guard{free}, below: []fsm.ScopeGuard{{Scope: scope, Below: maxPolicies}}}
	c.answer = r.policyOf(p)
	return c, c.put(r, ref, p, scope)
}

// policyOf is the answer that carries a managed policy.
func (r *request) policyOf(p *kms.ManagedPolicy) *kms.PolicyAnswer {
	return &kms.PolicyAnswer{Policy: r.policyEntry(p, r.attachments())}
}

func (r *request) policyEntry(p *kms.ManagedPolicy, attachments map[string]policyUsage) kms.PolicyEntry {
	arn := p.ARN(r.Partition)
	return kms.PolicyEntry{Name: p.Name, ID: p.ID, ARN: arn, Path: p.Path, Description: p.Description,
		DefaultVersionID: versionID(p.Default), AttachmentCount: attachments[arn].attached, BoundaryCount: attachments[arn].bounds, Tags: p.Tags,
		CreatedAt: kms.Time(p.Created), UpdatedAt: kms.Time(p.Updated)}
}

func versionID(n uint32) string { return "v" + strconv.FormatUint(uint64(n), 10) }

func replayManaged(r *request, rs *records) (any, error) {
	p, err := r.replayedManaged(rs)
	if err != nil {
		return nil, err
	}
	return r.policyOf(p), nil
}

func (r *request) replayedManaged(rs *records) (*kms.ManagedPolicy, error) {
	p, err := record[kms.ManagedPolicy](rs, fsm.KindManagedPolicy)
	if err != nil {
		return nil, err
	}
	r.resource(p.ARN(r.Partition), typePolicy)
	return p, r.allowIdentity(p.ARN(r.Partition), facts{tags: p.Tags})
}

func replayManagedDone(r *request, rs *records) (any, error) {
	if _, err := r.replayedManaged(rs); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

func getPolicy(r *request, q *kms.PolicyRequest) (any, error) {
	p, err := r.managedPolicy(q.PolicyARN)
	if err != nil {
		return nil, err
	}
	return r.policyOf(&p.ManagedPolicy), nil
}

func listManaged(r *request, q *kms.ListRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultIdentities
	}
	shown, more := page(r.view.ManagedPolicies(r.scope.Account, after, limit+1), limit)
	answer, attachments := &kms.ListPoliciesAnswer{Policies: make([]kms.PolicyEntry, len(shown))}, r.attachments()
	for n, p := range shown {
		answer.Policies[n] = r.policyEntry(&p.ManagedPolicy, attachments)
	}
	if more {
		answer.NextMarker = r.marker(strings.ToLower(shown[len(shown)-1].Name))
	}
	return answer, nil
}

// deletePolicy deletes a policy that nobody has: what was looked through is guarded.
func deletePolicy(r *request, q *kms.PolicyRequest) (*change, error) {
	p, err := r.managedPolicy(q.PolicyARN)
	if err != nil {
		return nil, err
	}
	switch {
	case r.attachments()[q.PolicyARN] != policyUsage{}:
		return nil, kms.Errorf(kms.CodeDeleteConflict, "Cannot delete a policy attached to entities.")
	case len(p.Versions) > 1:
		return nil, kms.Errorf(kms.CodeDeleteConflict, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	c := &change{event: "managed_policy.deleted", guards: []fsm.Guard{p.Guard()}, answer: &kms.Empty{}}
	for _, s := range []*species{user, group, role} {
		c.below = append(c.below, r.view.Unchanged(r.view.IDs().IdentitiesOf(p.Account, s.kind)))
	}
	return c, c.delete(r, fsm.Ref{Kind: fsm.KindManagedPolicy, ID: p.Record}, &p.ManagedPolicy)
}

func checkNewVersion(r *request, q *kms.CreatePolicyVersionRequest) error {
	r.parameters = append(r.parameters, audit.Bool("setAsDefault", q.SetAsDefault))
	return firstOf(r.checkPolicyARN(q.PolicyARN), r.takeDocument("policyDocument", policy.IdentityPolicy, q.PolicyDocument, maxManagedPolicy))
}

// editPolicy changes a managed policy.
func (r *request) editPolicy(arn, event string, edit func(*kms.ManagedPolicy) error) (*change, error) {
	old, err := r.managedPolicy(arn)
	if err != nil {
		return nil, err
	}
	p := old.ManagedPolicy
	p.Versions = slices.Clone(p.Versions)
	if err := edit(&p); err != nil {
		return nil, err
	}
	p.Updated = r.now()
	c := &change{event: event, guards: []fsm.Guard{old.Guard()}, answer: &kms.Empty{}}
	return c, c.put(r, fsm.Ref{Kind: fsm.KindManagedPolicy, ID: old.Record}, &p, r.view.IDs().PoliciesOf(p.Account))
}

func createVersion(r *request, q *kms.CreatePolicyVersionRequest) (*change, error) {
	var made *kms.PolicyVersionAnswer
	c, err := r.editPolicy(q.PolicyARN, "managed_policy.changed", func(p *kms.ManagedPolicy) error {
		if len(p.Versions) >= maxVersions {
			return kms.Errorf(kms.CodeLimitExceeded, "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		v := kms.PolicyVersion{Number: p.Last + 1, Document: string(q.PolicyDocument), Created: r.now()}
		p.Versions, p.Last = append(p.Versions, v), v.Number
		if q.SetAsDefault {
			p.Default = v.Number
		}
		made = &kms.PolicyVersionAnswer{PolicyVersion: versionEntry(p, &v, true)}
		return nil
	})
	if err == nil {
		c.answer = made
	}
	return c, err
}

func versionEntry(p *kms.ManagedPolicy, v *kms.PolicyVersion, full bool) kms.PolicyVersionEntry {
	e := kms.PolicyVersionEntry{VersionID: versionID(v.Number), IsDefaultVersion: v.Number == p.Default, CreatedAt: kms.Time(v.Created)}
	if full {
		e.Document = v.Document
	}
	return e
}

// replayVersion answers the newest version, which the earlier request made or a later one.
func replayVersion(r *request, rs *records) (any, error) {
	p, err := r.replayedManaged(rs)
	if err != nil {
		return nil, err
	}
	document := string(r.call.Request.(*kms.CreatePolicyVersionRequest).PolicyDocument)
	for n := len(p.Versions) - 1; n >= 0; n-- {
		if v := &p.Versions[n]; v.Document == document {
			return &kms.PolicyVersionAnswer{PolicyVersion: versionEntry(p, v, true)}, nil
		}
	}
	return nil, kms.Errorf(kms.CodeNotFound, "What the first request made is gone.")
}

// version finds a version of a policy by its id.
func version(p *kms.ManagedPolicy, id string) (int, error) {
	n := slices.IndexFunc(p.Versions, func(v kms.PolicyVersion) bool { return versionID(v.Number) == id })
	if n < 0 {
		return 0, kms.Errorf(kms.CodeNotFound, "Policy %s version %s does not exist or is not attachable.", p.Name, kms.Printable(id))
	}
	return n, nil
}

func checkGetVersion(r *request, q *kms.GetPolicyVersionRequest) error {
	r.note("versionId", kms.Printable(q.VersionID))
	return r.checkPolicyARN(q.PolicyARN)
}

func getVersion(r *request, q *kms.GetPolicyVersionRequest) (any, error) {
	p, err := r.managedPolicy(q.PolicyARN)
	if err != nil {
		return nil, err
	}
	id := q.VersionID
	if id == "" {
		id = versionID(p.ManagedPolicy.Default)
	}
	n, err := version(&p.ManagedPolicy, id)
	if err != nil {
		return nil, err
	}
	return &kms.PolicyVersionAnswer{PolicyVersion: versionEntry(&p.ManagedPolicy, &p.Versions[n], true)}, nil
}

func listVersions(r *request, q *kms.PolicyRequest) (any, error) {
	p, err := r.managedPolicy(q.PolicyARN)
	if err != nil {
		return nil, err
	}
	answer := &kms.ListPolicyVersionsAnswer{}
	for n := range p.Versions {
		answer.Versions = append(answer.Versions, versionEntry(&p.ManagedPolicy, &p.Versions[n], false))
	}
	return answer, nil
}

func checkVersion(r *request, q *kms.PolicyVersionRequest) error {
	r.note("versionId", kms.Printable(q.VersionID))
	return r.checkPolicyARN(q.PolicyARN)
}

func setDefaultVersion(r *request, q *kms.PolicyVersionRequest) (*change, error) {
	return r.editPolicy(q.PolicyARN, "managed_policy.changed", func(p *kms.ManagedPolicy) error {
		n, err := version(p, q.VersionID)
		if err == nil {
			p.Default = p.Versions[n].Number
		}
		return err
	})
}

func deleteVersion(r *request, q *kms.PolicyVersionRequest) (*change, error) {
	return r.editPolicy(q.PolicyARN, "managed_policy.changed", func(p *kms.ManagedPolicy) error {
		n, err := version(p, q.VersionID)
		switch {
		case err != nil:
			return err
		case p.Versions[n].Number == p.Default:
			return kms.Errorf(kms.CodeDeleteConflict, "Cannot delete the default version of a policy.")
		}
		p.Versions = slices.Delete(p.Versions, n, n+1)
		return nil
	})
}

func checkAttach(s *species) func(*request, *kms.AttachPolicyRequest) error {
	return func(r *request, q *kms.AttachPolicyRequest) error {
		return firstOf(r.checkIdentity(s, q.Name), r.checkPolicyARN(q.PolicyARN))
	}
}

// attachPolicy guards the policy, so that none that is deleted meanwhile is attached.
func attachPolicy(s *species) func(*request, *kms.AttachPolicyRequest) (*change, error) {
	return func(r *request, q *kms.AttachPolicyRequest) (*change, error) {
		old, err := r.identityFor(s, q.Name, facts{policyARN: q.PolicyARN})
		if err != nil {
			return nil, err
		}
		p, err := r.attachable(q.PolicyARN)
		if err != nil {
			return nil, err
		}
		i := old.Identity
		if !slices.Contains(i.Attached, q.PolicyARN) {
			i.Attached = append(slices.Clone(i.Attached), q.PolicyARN)
			slices.Sort(i.Attached)
		}
		if len(i.Attached) > maxAttached {
			return nil, kms.Errorf(kms.CodeLimitExceeded, "The %s %s has %d policies attached, which is the limit.", s.noun, i.Name, maxAttached)
		}
		c, err := r.writeIdentity(s.noun+".policy_attached", old, &i)
		c.guard(p.Guard())
		return c, err
	}
}

func detachPolicy(s *species) func(*request, *kms.AttachPolicyRequest) (*change, error) {
	return func(r *request, q *kms.AttachPolicyRequest) (*change, error) {
		old, err := r.identityFor(s, q.Name, facts{policyARN: q.PolicyARN})
		if err != nil {
			return nil, err
		}
		i := old.Identity
		if !slices.Contains(i.Attached, q.PolicyARN) {
			return nil, kms.Errorf(kms.CodeNotFound, "Policy %s was not found.", q.PolicyARN)
		}
		i.Attached = slices.DeleteFunc(slices.Clone(i.Attached), func(arn string) bool { return arn == q.PolicyARN })
		return r.writeIdentity(s.noun+".policy_detached", old, &i)
	}
}

func attachedPolicies(s *species) func(*request, *kms.IdentityRequest) (any, error) {
	return func(r *request, q *kms.IdentityRequest) (any, error) {
		i, err := r.identity(s, q.Name)
		if err != nil {
			return nil, err
		}
		answer := &kms.ListAttachedPoliciesAnswer{AttachedPolicies: make([]kms.AttachedPolicy, len(i.Attached))}
		for n, arn := range i.Attached {
			answer.AttachedPolicies[n] = kms.AttachedPolicy{PolicyName: policyNameOf(arn), PolicyARN: arn}
		}
		return answer, nil
	}
}

func (r *request) checkInline(s *species, name, policyName string) error {
	r.note("policyName", policyName)
	return firstOf(r.checkIdentity(s, name), checkName("policyName", policyName, 128))
}

func checkPutInline(s *species) func(*request, *kms.PutInlinePolicyRequest) error {
	return func(r *request, q *kms.PutInlinePolicyRequest) error {
		return firstOf(r.checkInline(s, q.Name, q.PolicyName), r.takeDocument("policyDocument", policy.IdentityPolicy, q.PolicyDocument, s.inline))
	}
}

func putInline(s *species) func(*request, *kms.PutInlinePolicyRequest) (*change, error) {
	return func(r *request, q *kms.PutInlinePolicyRequest) (*change, error) {
		return r.editIdentity(s, q.Name, s.noun+".policy_put", func(i *kms.Identity) error {
			if i.Inline = maps.Clone(i.Inline); i.Inline == nil {
				i.Inline = map[string]string{}
			}
			i.Inline[q.PolicyName] = string(q.PolicyDocument)
			all, bytes := 0, 0
			for _, text := range i.Inline {
				all, bytes = all+weight(text), bytes+len(text)
			}
			if all > s.inline || bytes > 4*s.inline || len(i.Inline) > maxInlineOfAll {
				return kms.Errorf(kms.CodeLimitExceeded, "The inline policies of the %s %s may be %d, of %d characters without blanks together.", s.noun, i.Name, maxInlineOfAll, s.inline)
			}
			return nil
		})
	}
}

func checkGetInline(s *species) func(*request, *kms.GetInlinePolicyRequest) error {
	return func(r *request, q *kms.GetInlinePolicyRequest) error { return r.checkInline(s, q.Name, q.PolicyName) }
}

func errNoInline(s *species, name string) error {
	return kms.Errorf(kms.CodeNotFound, "The %s policy with name %s cannot be found.", s.noun, kms.Printable(name))
}

func getInline(s *species) func(*request, *kms.GetInlinePolicyRequest) (any, error) {
	return func(r *request, q *kms.GetInlinePolicyRequest) (any, error) {
		i, err := r.identity(s, q.Name)
		if err != nil {
			return nil, err
		}
		text, ok := i.Inline[q.PolicyName]
		if !ok {
			return nil, errNoInline(s, q.PolicyName)
		}
		return &kms.InlinePolicyAnswer{Name: i.Name, PolicyName: q.PolicyName, PolicyDocument: text}, nil
	}
}

func checkDeleteInline(s *species) func(*request, *kms.DeleteInlinePolicyRequest) error {
	return func(r *request, q *kms.DeleteInlinePolicyRequest) error {
		return r.checkInline(s, q.Name, q.PolicyName)
	}
}

func deleteInline(s *species) func(*request, *kms.DeleteInlinePolicyRequest) (*change, error) {
	return func(r *request, q *kms.DeleteInlinePolicyRequest) (*change, error) {
		return r.editIdentity(s, q.Name, s.noun+".policy_deleted", func(i *kms.Identity) error {
			if _, ok := i.Inline[q.PolicyName]; !ok {
				return errNoInline(s, q.PolicyName)
			}
			i.Inline = maps.Clone(i.Inline)
			delete(i.Inline, q.PolicyName)
			return nil
		})
	}
}

func listInline(s *species) func(*request, *kms.IdentityRequest) (any, error) {
	return func(r *request, q *kms.IdentityRequest) (any, error) {
		i, err := r.identity(s, q.Name)
		if err != nil {
			return nil, err
		}
		names := slices.Sorted(maps.Keys(i.Inline))
		if names == nil {
			names = []string{}
		}
		return &kms.ListInlinePoliciesAnswer{PolicyNames: names}, nil
	}
}

func checkBoundary(s *species) func(*request, *kms.PutBoundaryRequest) error {
	return func(r *request, q *kms.PutBoundaryRequest) error {
		return firstOf(r.checkIdentity(s, q.Name), r.checkPolicyARN(q.PermissionsBoundary))
	}
}

func putBoundary(s *species) func(*request, *kms.PutBoundaryRequest) (*change, error) {
	return func(r *request, q *kms.PutBoundaryRequest) (*change, error) {
		old, err := r.identityFor(s, q.Name, facts{boundary: q.PermissionsBoundary})
		if err != nil {
			return nil, err
		}
		p, err := r.attachable(q.PermissionsBoundary)
		if err != nil {
			return nil, err
		}
		i := old.Identity
		i.Boundary = q.PermissionsBoundary
		c, err := r.writeIdentity(s.noun+".boundary_put", old, &i)
		c.guard(p.Guard())
		return c, err
	}
}

func deleteBoundary(s *species) func(*request, *kms.IdentityRequest) (*change, error) {
	return func(r *request, q *kms.IdentityRequest) (*change, error) {
		return r.editIdentity(s, q.Name, s.noun+".boundary_deleted", func(i *kms.Identity) error {
			i.Boundary = ""
			return nil
		})
	}
}
