package awsquery

import (
	"slices"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

type (
	createPolicy struct {
		PolicyName     string             `is:"required,1-128,name"`
		Path           string             `is:"1-512,path"`
		PolicyDocument kms.PolicyDocument `is:"required,1-131072,document"`
		Description    string             `is:"0-1000"`
		Tags           tagList            `is:"0-50"`
	}

	policyShape struct {
		PolicyName       string
		PolicyId         string
		Arn              string
		Path             string
		DefaultVersionId string
		AttachmentCount  int

		PermissionsBoundaryUsageCount int

		IsAttachable bool
		Description  string
		CreateDate   time.Time
		UpdateDate   time.Time
		Tags         *tagList
	}

	policyResult struct{ Policy policyShape }

	listPolicies struct {
		Scope             string `is:"All|AWS|Local"`
		OnlyAttached      bool
		PolicyUsageFilter string `is:"PermissionsPolicy|PermissionsBoundary"`
		listing
	}

	listPoliciesResult struct {
		Policies []policyShape
		more
	}

	createPolicyVersion struct {
		ofPolicy
		PolicyDocument kms.PolicyDocument `is:"required,1-131072,document"`
		SetAsDefault   bool
	}

	policyVersion struct {
		ofPolicy
		VersionId string `is:"required,version"`
	}

	versionShape struct {
		Document         document
		VersionId        string
		IsDefaultVersion bool
		CreateDate       time.Time
	}

	versionResult struct{ PolicyVersion versionShape }

	listPolicyVersions struct {
		ofPolicy
		whole
	}

	listPolicyVersionsResult struct {
		Versions    []versionShape
		IsTruncated bool
	}
)

type (
	tagPolicy struct {
		ofPolicy
		Tags tagList `is:"required,0-50"`
	}

	untagPolicy struct {
		ofPolicy
		TagKeys []string `is:"required,0-50;1-128,tagkey"`
	}

	listPolicyTags struct {
		ofPolicy
		whole
	}

	listEntities struct {
		ofPolicy
		EntityFilter      string `is:"User|Role|Group|LocalManagedPolicy|AWSManagedPolicy"`
		PathPrefix        string `is:"1-512,path"`
		PolicyUsageFilter string `is:"PermissionsPolicy|PermissionsBoundary"`
		whole
	}

	policyGroup struct{ GroupName, GroupId string }

	policyUser struct{ UserName, UserId string }

	policyRole struct{ RoleName, RoleId string }

	listEntitiesResult struct {
		PolicyGroups []policyGroup
		PolicyUsers  []policyUser
		PolicyRoles  []policyRole
		IsTruncated  bool
	}
)

// shown returns what a listing shows of users, groups or roles. A filter for kinds of policies shows none of them.
func (s *listEntities) shown(kind string) func(*kms.PolicyEntity) bool {
	return func(e *kms.PolicyEntity) bool {
		return (s.EntityFilter == "" || s.EntityFilter == kind) && strings.HasPrefix(e.Path, s.PathPrefix) &&
			(s.PolicyUsageFilter == "" || s.PolicyUsageFilter == "PermissionsPolicy" && e.Attached || s.PolicyUsageFilter == "PermissionsBoundary" && e.Bounds)
	}
}

func policyOf(e *kms.PolicyEntry) policyShape {
	p := listedPolicy(e)
	p.Description, p.Tags = e.Description, tagsOf(e.Tags)
	return p
}

func listedPolicy(e *kms.PolicyEntry) policyShape {
	return policyShape{PolicyName: e.Name, PolicyId: e.ID, Arn: e.ARN, Path: e.Path, DefaultVersionId: e.DefaultVersionID,
		AttachmentCount: e.AttachmentCount, PermissionsBoundaryUsageCount: e.BoundaryCount, IsAttachable: true, CreateDate: e.CreatedAt, UpdateDate: e.UpdatedAt}
}

// shown reports whether a listing that was asked for shows a policy. AWS has none here.
func (s *listPolicies) shown(e *kms.PolicyEntry) bool {
	uses := e.AttachmentCount
	if s.PolicyUsageFilter == "PermissionsBoundary" {
		uses = e.BoundaryCount
	}
	return s.Scope != "AWS" && strings.HasPrefix(e.Path, s.PathPrefix) && (!s.OnlyAttached && s.PolicyUsageFilter == "" || uses > 0)
}

func versionOf(e *kms.PolicyVersionEntry) versionShape {
	return versionShape{documentOf(e.Document), e.VersionID, e.IsDefaultVersion, e.CreatedAt}
}

func versionResultOf[S any](_ *S, a *kms.PolicyVersionAnswer) *versionResult {
	return &versionResult{versionOf(&a.PolicyVersion)}
}

func policyRequest[S interface{ arn() string }](s *S) *kms.PolicyRequest {
	return &kms.PolicyRequest{PolicyARN: (*s).arn()}
}

func (s ofPolicy) arn() string { return s.PolicyArn }

func (s *policyVersion) request() *kms.PolicyVersionRequest {
	return &kms.PolicyVersionRequest{PolicyARN: s.PolicyArn, VersionID: s.VersionId}
}

func managedPolicyOperations() []*operation {
	return []*operation{
		serve(iam, kms.OpCreatePolicy, func(s *createPolicy) *kms.CreatePolicyRequest {
			return &kms.CreatePolicyRequest{Name: s.PolicyName, Path: s.Path, PolicyDocument: s.PolicyDocument, Description: s.Description, Tags: tagMap(s.Tags)}
		}, func(_ *createPolicy, a *kms.PolicyAnswer) *policyResult { return &policyResult{policyOf(&a.Policy)} }),
		serve(iam, kms.OpGetPolicy, policyRequest[ofPolicy], func(_ *ofPolicy, a *kms.PolicyAnswer) *policyResult { return &policyResult{policyOf(&a.Policy)} }),
		serve(iam, kms.OpListPolicies, func(s *listPolicies) *kms.ListRequest { return s.request() }, func(s *listPolicies, a *kms.ListPoliciesAnswer) *listPoliciesResult {
			return &listPoliciesResult{pageOf(a.Policies, s.shown, listedPolicy), moreOf(a.NextMarker)}
		}),
		change(iam, kms.OpDeletePolicy, policyRequest[ofPolicy]),
		serve(iam, kms.OpCreatePolicyVersion, func(s *createPolicyVersion) *kms.CreatePolicyVersionRequest {
			return &kms.CreatePolicyVersionRequest{PolicyARN: s.PolicyArn, PolicyDocument: s.PolicyDocument, SetAsDefault: s.SetAsDefault}
		}, func(_ *createPolicyVersion, a *kms.PolicyVersionAnswer) *versionResult {
			a.PolicyVersion.Document = "" // AWS does not repeat it
			return &versionResult{versionOf(&a.PolicyVersion)}
		}),
		serve(iam, kms.OpGetPolicyVersion, func(s *policyVersion) *kms.GetPolicyVersionRequest {
			return &kms.GetPolicyVersionRequest{PolicyARN: s.PolicyArn, VersionID: s.VersionId}
		}, versionResultOf[policyVersion]),
		serve(iam, kms.OpListPolicyVersions, policyRequest[listPolicyVersions], func(_ *listPolicyVersions, a *kms.ListPolicyVersionsAnswer) *listPolicyVersionsResult {
			versions := pageOf(a.Versions, everything, versionOf)
			slices.Reverse(versions) // AWS begins with the newest
			return &listPolicyVersionsResult{Versions: versions}
		}),
		change(iam, kms.OpTagPolicy, func(s *tagPolicy) *kms.TagPolicyRequest {
			return &kms.TagPolicyRequest{PolicyARN: s.PolicyArn, Tags: tagMap(s.Tags)}
		}),
		change(iam, kms.OpUntagPolicy, func(s *untagPolicy) *kms.UntagPolicyRequest {
			return &kms.UntagPolicyRequest{PolicyARN: s.PolicyArn, TagKeys: s.TagKeys}
		}),
		serve(iam, kms.OpListPolicyTags, policyRequest[listPolicyTags], func(_ *listPolicyTags, a *kms.PolicyAnswer) *listTagsResult {
			return &listTagsResult{Tags: allTags(a.Policy.Tags)}
		}),
		serve(iam, kms.OpListEntitiesForPolicy, policyRequest[listEntities], func(s *listEntities, a *kms.ListEntitiesForPolicyAnswer) *listEntitiesResult {
			return &listEntitiesResult{
				PolicyGroups: pageOf(a.Groups, s.shown("Group"), func(e *kms.PolicyEntity) policyGroup { return policyGroup{e.Name, e.ID} }),
				PolicyUsers:  pageOf(a.Users, s.shown("User"), func(e *kms.PolicyEntity) policyUser { return policyUser{e.Name, e.ID} }),
				PolicyRoles:  pageOf(a.Roles, s.shown("Role"), func(e *kms.PolicyEntity) policyRole { return policyRole{e.Name, e.ID} })}
		}),
		change(iam, kms.OpSetDefaultPolicyVersion, (*policyVersion).request),
		change(iam, kms.OpDeletePolicyVersion, (*policyVersion).request),
	}
}

type (
	attachment[N named] struct {
		Of        N      `aws:"inline"`
		PolicyArn string `is:"required,20-2048,arn"`
	}

	listAttached[N named] struct {
		Of         N      `aws:"inline"`
		PathPrefix string `is:"1-512,prefix"`
		whole
	}

	attachedPolicy struct {
		PolicyName string
		PolicyArn  string
	}

	listAttachedResult struct {
		AttachedPolicies []attachedPolicy
		IsTruncated      bool
	}

	inlinePolicy[N named] struct {
		Of         N      `aws:"inline"`
		PolicyName string `is:"required,1-128,name"`
	}

	putPolicy[N named] struct {
		inlinePolicy[N]
		PolicyDocument kms.PolicyDocument `is:"required,1-131072,document"`
	}

	inlinePolicyResult[N named] struct {
		Of             N `aws:"inline"`
		PolicyName     string
		PolicyDocument document
	}

	listInline[N named] struct {
		Of N `aws:"inline"`
		whole
	}

	listInlineResult struct {
		PolicyNames []string
		IsTruncated bool
	}

	putBoundary[N named] struct {
		Of                  N      `aws:"inline"`
		PermissionsBoundary string `is:"required,20-2048,arn"`
	}
)

func (s *attachment[N]) request() *kms.AttachPolicyRequest {
	return &kms.AttachPolicyRequest{Name: s.Of.name(), PolicyARN: s.PolicyArn}
}

func attachedOf(e *kms.AttachedPolicy) attachedPolicy {
	return attachedPolicy{e.PolicyName, e.PolicyARN}
}

// pathOf returns the path of a policy, which is in its ARN: arn:PARTITION:iam::ACCOUNT:policy/PATH/NAME.
func pathOf(arn string) string {
	_, path, _ := strings.Cut(arn, ":policy/")
	return "/" + path[:strings.LastIndexByte(path, '/')+1]
}

// attachmentOperations are those on the policies of users, groups or roles.
func attachmentOperations[N named](s *kms.PolicyOperations) []*operation {
	return []*operation{
		change(iam, s.Attach, (*attachment[N]).request),
		change(iam, s.Detach, (*attachment[N]).request),
		serve(iam, s.ListAttached, func(s *listAttached[N]) *kms.IdentityRequest { return &kms.IdentityRequest{Name: s.Of.name()} },
			func(s *listAttached[N], a *kms.ListAttachedPoliciesAnswer) *listAttachedResult {
				shown := func(e *kms.AttachedPolicy) bool { return strings.HasPrefix(pathOf(e.PolicyARN), s.PathPrefix) }
				return &listAttachedResult{AttachedPolicies: pageOf(a.AttachedPolicies, shown, attachedOf)}
			}),
		change(iam, s.Put, func(s *putPolicy[N]) *kms.PutInlinePolicyRequest {
			return &kms.PutInlinePolicyRequest{Name: s.Of.name(), PolicyName: s.PolicyName, PolicyDocument: s.PolicyDocument}
		}),
		serve(iam, s.Get, func(s *inlinePolicy[N]) *kms.GetInlinePolicyRequest {
			return &kms.GetInlinePolicyRequest{Name: s.Of.name(), PolicyName: s.PolicyName}
		}, func(s *inlinePolicy[N], a *kms.InlinePolicyAnswer) *inlinePolicyResult[N] {
			return &inlinePolicyResult[N]{s.Of, a.PolicyName, documentOf(a.PolicyDocument)}
		}),
		change(iam, s.Delete, func(s *inlinePolicy[N]) *kms.DeleteInlinePolicyRequest {
			return &kms.DeleteInlinePolicyRequest{Name: s.Of.name(), PolicyName: s.PolicyName}
		}),
		serve(iam, s.List, func(s *listInline[N]) *kms.IdentityRequest { return &kms.IdentityRequest{Name: s.Of.name()} },
			func(_ *listInline[N], a *kms.ListInlinePoliciesAnswer) *listInlineResult {
				return &listInlineResult{PolicyNames: a.PolicyNames}
			}),
	}
}

// boundaryOperations are those on the permissions boundaries of users or roles.
func boundaryOperations[N named](s *kms.PolicyOperations) []*operation {
	return []*operation{
		change(iam, s.PutBoundary, func(s *putBoundary[N]) *kms.PutBoundaryRequest {
			return &kms.PutBoundaryRequest{Name: s.Of.name(), PermissionsBoundary: s.PermissionsBoundary}
		}),
		change(iam, s.DeleteBoundary, identityOf[N]),
	}
}
