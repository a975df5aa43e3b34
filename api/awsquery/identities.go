package awsquery

import (
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

type (
	createUser struct {
		Path                string  `is:"1-512,path"`
		UserName            string  `is:"required,1-64,name"`
		PermissionsBoundary string  `is:"20-2048,arn"`
		Tags                tagList `is:"0-50"`
	}

	userResult struct{ User userShape }

	listUsersResult struct {
		Users []userShape
		more
	}

	listIdentityTags[N named] struct {
		Of N `aws:"inline"`
		whole
	}

	tagIdentity[N named] struct {
		Of   N       `aws:"inline"`
		Tags tagList `is:"required,0-50"`
	}

	untagIdentity[N named] struct {
		Of      N        `aws:"inline"`
		TagKeys []string `is:"required,0-50;1-128,tagkey"`
	}
)

func tagging[N named](s *tagIdentity[N]) *kms.TagIdentityRequest {
	return &kms.TagIdentityRequest{Name: s.Of.name(), Tags: tagMap(s.Tags)}
}

func untagging[N named](s *untagIdentity[N]) *kms.UntagIdentityRequest {
	return &kms.UntagIdentityRequest{Name: s.Of.name(), TagKeys: s.TagKeys}
}

func (s *listIdentityTags[N]) request() *kms.IdentityRequest {
	return &kms.IdentityRequest{Name: s.Of.name()}
}

func userOperations() []*operation {
	return []*operation{
		serve(iam, kms.OpCreateUser, func(s *createUser) *kms.CreateUserRequest {
			return &kms.CreateUserRequest{Name: s.UserName, Path: s.Path, PermissionsBoundary: s.PermissionsBoundary, Tags: tagMap(s.Tags)}
		}, func(_ *createUser, a *kms.UserAnswer) *userResult { return &userResult{userOf(&a.User)} }),
		serve(iam, kms.OpGetUser, identityOf[self], func(_ *self, a *kms.UserAnswer) *userResult { return &userResult{userOf(&a.User)} }),
		serve(iam, kms.OpListUsers, (*listing).request, func(s *listing, a *kms.ListUsersAnswer) *listUsersResult {
			return &listUsersResult{pageOf(a.Users, under(s.PathPrefix), listedUser), moreOf(a.NextMarker)}
		}),
		change(iam, kms.OpDeleteUser, identityOf[ofUser]),
		change(iam, kms.OpTagUser, tagging[ofUser]),
		change(iam, kms.OpUntagUser, untagging[ofUser]),
		serve(iam, kms.OpListUserTags, (*listIdentityTags[ofUser]).request, func(_ *listIdentityTags[ofUser], a *kms.UserAnswer) *listTagsResult {
			return &listTagsResult{Tags: allTags(a.User.Tags)}
		}),
	}
}

type (
	accessKey struct {
		UserName        string
		AccessKeyId     string
		Status          string
		SecretAccessKey kms.SensitiveString
		CreateDate      time.Time
	}

	accessKeyResult struct{ AccessKey accessKey }

	listAccessKeys struct {
		self
		whole
	}

	listAccessKeysResult struct {
		AccessKeyMetadata []accessKey
		IsTruncated       bool
	}

	updateAccessKey struct {
		self
		AccessKeyId string              `is:"required,16-128,word"`
		Status      kms.AccessKeyStatus `is:"required,Active|Inactive|Expired"`
	}

	deleteAccessKey struct {
		self
		AccessKeyId string `is:"required,16-128,word"`
	}

	accessKeyLastUsed struct {
		AccessKeyId string `is:"required,16-128,word"`
	}

	lastUsed struct {
		LastUsedDate time.Time
		ServiceName  string
		Region       string
	}

	accessKeyLastUsedResult struct {
		UserName          string
		AccessKeyLastUsed lastUsed
	}
)

func accessKeyOf(e *kms.AccessKeyEntry) accessKey {
	return accessKey{UserName: holderOf(e.UserName), AccessKeyId: e.AccessKeyID, Status: string(e.Status), CreateDate: e.CreatedAt}
}

// holderOf leaves out the name of the root, which AWS has none for.
func holderOf(name string) string {
	if name == kms.RootName {
		return ""
	}
	return name
}

func accessKeyOperations() []*operation {
	return []*operation{
		serve(iam, kms.OpCreateAccessKey, identityOf[self], func(_ *self, a *kms.AccessKeyAnswer) *accessKeyResult {
			key := accessKeyOf(&a.AccessKey)
			key.SecretAccessKey = a.SecretAccessKey
			return &accessKeyResult{key}
		}),
		serve(iam, kms.OpListAccessKeys, identityOf[listAccessKeys], func(_ *listAccessKeys, a *kms.ListAccessKeysAnswer) *listAccessKeysResult {
			return &listAccessKeysResult{AccessKeyMetadata: pageOf(a.AccessKeys, everything, accessKeyOf)}
		}),
		serve[updateAccessKey, kms.UpdateAccessKeyRequest, kms.AccessKeyAnswer, struct{}](iam, kms.OpUpdateAccessKey, func(s *updateAccessKey) *kms.UpdateAccessKeyRequest {
			return &kms.UpdateAccessKeyRequest{Name: s.name(), AccessKeyID: s.AccessKeyId, Status: s.Status}
		}, nil),
		change(iam, kms.OpDeleteAccessKey, func(s *deleteAccessKey) *kms.DeleteAccessKeyRequest {
			return &kms.DeleteAccessKeyRequest{Name: s.name(), AccessKeyID: s.AccessKeyId}
		}),
		serve(iam, kms.OpGetAccessKeyLastUsed, func(s *accessKeyLastUsed) *kms.AccessKeyRequest {
			return &kms.AccessKeyRequest{AccessKeyID: s.AccessKeyId}
		}, func(_ *accessKeyLastUsed, a *kms.AccessKeyLastUsedAnswer) *accessKeyLastUsedResult {
			used := lastUsed{ServiceName: "N/A", Region: "N/A"}
			if a.LastUsedDate != nil {
				used = lastUsed{*a.LastUsedDate, a.ServiceName, a.Region}
			}
			return &accessKeyLastUsedResult{holderOf(a.UserName), used}
		}),
	}
}

type (
	createGroup struct {
		Path      string `is:"1-512,path"`
		GroupName string `is:"required,1-128,name"`
	}

	groupResult struct{ Group groupShape }

	getGroup struct {
		ofGroup
		paging
	}

	getGroupResult struct {
		Group groupShape
		Users []userShape
		more
	}

	listGroupsResult struct {
		Groups []groupShape
		more
	}

	groupMember struct {
		ofGroup
		UserName string `is:"required,1-64,name"`
	}

	listGroupsForUser struct {
		ofUser
		whole
	}
)

func (s *groupMember) request() *kms.GroupMemberRequest {
	return &kms.GroupMemberRequest{Name: s.GroupName, UserName: s.UserName}
}

func groupOperations() []*operation {
	return []*operation{
		serve(iam, kms.OpCreateGroup, func(s *createGroup) *kms.CreateGroupRequest {
			return &kms.CreateGroupRequest{Name: s.GroupName, Path: s.Path}
		}, func(_ *createGroup, a *kms.GroupAnswer) *groupResult { return &groupResult{groupOf(&a.Group)} }),
		serve(iam, kms.OpGetGroup, func(s *getGroup) *kms.IdentityListRequest {
			return &kms.IdentityListRequest{Name: s.GroupName, Limit: s.limit(), Marker: s.Marker}
		}, func(_ *getGroup, a *kms.GetGroupAnswer) *getGroupResult {
			return &getGroupResult{groupOf(&a.Group), pageOf(a.Users, everything, listedUser), moreOf(a.NextMarker)}
		}),
		serve(iam, kms.OpListGroups, (*listing).request, func(s *listing, a *kms.ListGroupsAnswer) *listGroupsResult {
			return &listGroupsResult{pageOf(a.Groups, under(s.PathPrefix), groupOf), moreOf(a.NextMarker)}
		}),
		change(iam, kms.OpDeleteGroup, identityOf[ofGroup]),
		change(iam, kms.OpAddUserToGroup, (*groupMember).request),
		change(iam, kms.OpRemoveUserFromGroup, (*groupMember).request),
		serve(iam, kms.OpListGroupsForUser, identityOf[listGroupsForUser], func(_ *listGroupsForUser, a *kms.ListGroupsAnswer) *listGroupsResult {
			return &listGroupsResult{Groups: pageOf(a.Groups, everything, groupOf)}
		}),
	}
}

type (
	createRole struct {
		Path                     string             `is:"1-512,path"`
		RoleName                 string             `is:"required,1-64,name"`
		AssumeRolePolicyDocument kms.PolicyDocument `is:"required,1-131072,document"`
		Description              string             `is:"0-1000,note"`
		MaxSessionDuration       *int               `is:"3600-43200"`
		PermissionsBoundary      string             `is:"20-2048,arn"`
		Tags                     tagList            `is:"0-50"`
	}

	roleResult struct{ Role roleShape }

	listRolesResult struct {
		Roles []roleShape
		more
	}

	updateRole struct {
		ofRole
		Description        *string `is:"0-1000,note"`
		MaxSessionDuration *int    `is:"3600-43200"`
	}

	updateRoleDescription struct {
		ofRole
		Description *string `is:"required,0-1000,note"`
	}

	updateAssumeRolePolicy struct {
		ofRole
		PolicyDocument kms.PolicyDocument `is:"required,1-131072,document"`
	}
)

func roleOperations() []*operation {
	return []*operation{
		serve(iam, kms.OpCreateRole, func(s *createRole) *kms.CreateRoleRequest {
			return &kms.CreateRoleRequest{Name: s.RoleName, Path: s.Path, AssumeRolePolicyDocument: s.AssumeRolePolicyDocument, Description: s.Description,
				MaxSessionDuration: s.MaxSessionDuration, PermissionsBoundary: s.PermissionsBoundary, Tags: tagMap(s.Tags)}
		}, func(_ *createRole, a *kms.RoleAnswer) *roleResult { return &roleResult{roleOf(&a.Role)} }),
		serve(iam, kms.OpGetRole, identityOf[ofRole], func(_ *ofRole, a *kms.RoleAnswer) *roleResult { return &roleResult{roleOf(&a.Role)} }),
		serve(iam, kms.OpListRoles, (*listing).request, func(s *listing, a *kms.ListRolesAnswer) *listRolesResult {
			return &listRolesResult{pageOf(a.Roles, under(s.PathPrefix), listedRole), moreOf(a.NextMarker)}
		}),
		change(iam, kms.OpDeleteRole, identityOf[ofRole]),
		serve(iam, kms.OpUpdateRole, func(s *updateRole) *kms.UpdateRoleRequest {
			return &kms.UpdateRoleRequest{Name: s.RoleName, Description: s.Description, MaxSessionDuration: s.MaxSessionDuration}
		}, func(*updateRole, *kms.RoleAnswer) *struct{} { return &struct{}{} }),
		serve[updateAssumeRolePolicy, kms.UpdateAssumeRolePolicyRequest, kms.RoleAnswer, struct{}](iam, kms.OpUpdateAssumeRolePolicy,
			func(s *updateAssumeRolePolicy) *kms.UpdateAssumeRolePolicyRequest {
				return &kms.UpdateAssumeRolePolicyRequest{Name: s.RoleName, PolicyDocument: s.PolicyDocument}
			}, nil),
		change(iam, kms.OpTagRole, tagging[ofRole]),
		change(iam, kms.OpUntagRole, untagging[ofRole]),
		serve(iam, kms.OpListRoleTags, (*listIdentityTags[ofRole]).request, func(_ *listIdentityTags[ofRole], a *kms.RoleAnswer) *listTagsResult {
			return &listTagsResult{Tags: allTags(a.Role.Tags)}
		}),
		serve(iam, kms.OpUpdateRoleDescription, func(s *updateRoleDescription) *kms.UpdateRoleRequest {
			return &kms.UpdateRoleRequest{Name: s.RoleName, Description: s.Description}
		}, func(_ *updateRoleDescription, a *kms.RoleAnswer) *roleResult { return &roleResult{roleOf(&a.Role)} }),
	}
}
