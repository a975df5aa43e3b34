package kms

const (
	sourceIAM           = "iam.amazonaws.com"
	sourceRolesAnywhere = "rolesanywhere.amazonaws.com"
)

// iamReads, iamCreates and iamRevokes declare operations on identities, policies and providers of the caller's
// account. What changes rights may take some away: a policy that is attached can deny.
func iamReads[Request, Answer any](name string) *Operation {
	return op[Request, Answer](Operation{Name: name, Action: "iam:" + name, Source: sourceIAM, Resource: ResourceIdentity})
}

func iamCreates[Request, Answer any](name string) *Operation {
	o := iamReads[Request, Answer](name)
	o.Mutates, o.Created = true, true
	return o
}

func iamRevokes[Request, Answer any](name string) *Operation {
	o := iamReads[Request, Answer](name)
	o.Mutates, o.Revokes = true, true
	return o
}

func trustAnchor(o *Operation) *Operation {
	o.Action, o.Source = "rolesanywhere:"+o.Name, sourceRolesAnywhere
	return o
}

// The operations on identities, named as those of AWS IAM where it has them.
var (
	OpCreateUser = iamCreates[CreateUserRequest, UserAnswer]("CreateUser")
	OpGetUser    = iamReads[IdentityRequest, UserAnswer]("GetUser")
	OpListUsers  = iamReads[ListRequest, ListUsersAnswer]("ListUsers")
	OpDeleteUser = iamRevokes[IdentityRequest, Empty]("DeleteUser")
	OpTagUser    = iamRevokes[TagIdentityRequest, Empty]("TagUser")
	OpUntagUser  = iamRevokes[UntagIdentityRequest, Empty]("UntagUser")

	OpCreateGroup         = iamCreates[CreateGroupRequest, GroupAnswer]("CreateGroup")
	OpGetGroup            = iamReads[IdentityListRequest, GetGroupAnswer]("GetGroup")
	OpListGroups          = iamReads[ListRequest, ListGroupsAnswer]("ListGroups")
	OpDeleteGroup         = iamRevokes[IdentityRequest, Empty]("DeleteGroup")
	OpAddUserToGroup      = iamRevokes[GroupMemberRequest, Empty]("AddUserToGroup")
	OpRemoveUserFromGroup = iamRevokes[GroupMemberRequest, Empty]("RemoveUserFromGroup")
	OpListGroupsForUser   = iamReads[IdentityRequest, ListGroupsAnswer]("ListGroupsForUser")

	OpCreateRole             = iamCreates[CreateRoleRequest, RoleAnswer]("CreateRole")
	OpGetRole                = iamReads[IdentityRequest, RoleAnswer]("GetRole")
	OpListRoles              = iamReads[ListRequest, ListRolesAnswer]("ListRoles")
	OpDeleteRole             = iamRevokes[IdentityRequest, Empty]("DeleteRole")
	OpUpdateRole             = iamRevokes[UpdateRoleRequest, RoleAnswer]("UpdateRole")
	OpUpdateAssumeRolePolicy = iamRevokes[UpdateAssumeRolePolicyRequest, RoleAnswer]("UpdateAssumeRolePolicy")
	OpTagRole                = iamRevokes[TagIdentityRequest, Empty]("TagRole")
	OpUntagRole              = iamRevokes[UntagIdentityRequest, Empty]("UntagRole")
	OpRevokeSessions         = iamRevokes[RevokeSessionsRequest, RoleAnswer]("RevokeSessions")

	OpCreateAccessKey      = iamCreates[IdentityRequest, AccessKeyAnswer]("CreateAccessKey")
	OpListAccessKeys       = iamReads[IdentityRequest, ListAccessKeysAnswer]("ListAccessKeys")
	OpUpdateAccessKey      = iamRevokes[UpdateAccessKeyRequest, AccessKeyAnswer]("UpdateAccessKey")
	OpDeleteAccessKey      = iamRevokes[DeleteAccessKeyRequest, Empty]("DeleteAccessKey")
	OpGetAccessKeyLastUsed = iamReads[AccessKeyRequest, AccessKeyLastUsedAnswer]("GetAccessKeyLastUsed")

	OpCreatePolicy            = iamCreates[CreatePolicyRequest, PolicyAnswer]("CreatePolicy")
	OpGetPolicy               = iamReads[PolicyRequest, PolicyAnswer]("GetPolicy")
	OpListPolicies            = iamReads[ListRequest, ListPoliciesAnswer]("ListPolicies")
	OpDeletePolicy            = iamRevokes[PolicyRequest, Empty]("DeletePolicy")
	OpCreatePolicyVersion     = iamRevokes[CreatePolicyVersionRequest, PolicyVersionAnswer]("CreatePolicyVersion")
	OpGetPolicyVersion        = iamReads[GetPolicyVersionRequest, PolicyVersionAnswer]("GetPolicyVersion")
	OpListPolicyVersions      = iamReads[PolicyRequest, ListPolicyVersionsAnswer]("ListPolicyVersions")
	OpSetDefaultPolicyVersion = iamRevokes[PolicyVersionRequest, Empty]("SetDefaultPolicyVersion")
	OpDeletePolicyVersion     = iamRevokes[PolicyVersionRequest, Empty]("DeletePolicyVersion")

	OpTagPolicy             = iamRevokes[TagPolicyRequest, Empty]("TagPolicy")
	OpUntagPolicy           = iamRevokes[UntagPolicyRequest, Empty]("UntagPolicy")
	OpListEntitiesForPolicy = iamReads[PolicyRequest, ListEntitiesForPolicyAnswer]("ListEntitiesForPolicy")

	OpAttachUserPolicy  = iamRevokes[AttachPolicyRequest, Empty]("AttachUserPolicy")
	OpAttachGroupPolicy = iamRevokes[AttachPolicyRequest, Empty]("AttachGroupPolicy")
	OpAttachRolePolicy  = iamRevokes[AttachPolicyRequest, Empty]("AttachRolePolicy")
	OpDetachUserPolicy  = iamRevokes[AttachPolicyRequest, Empty]("DetachUserPolicy")
	OpDetachGroupPolicy = iamRevokes[AttachPolicyRequest, Empty]("DetachGroupPolicy")
	OpDetachRolePolicy  = iamRevokes[AttachPolicyRequest, Empty]("DetachRolePolicy")

	OpListAttachedUserPolicies  = iamReads[IdentityRequest, ListAttachedPoliciesAnswer]("ListAttachedUserPolicies")
	OpListAttachedGroupPolicies = iamReads[IdentityRequest, ListAttachedPoliciesAnswer]("ListAttachedGroupPolicies")
	OpListAttachedRolePolicies  = iamReads[IdentityRequest, ListAttachedPoliciesAnswer]("ListAttachedRolePolicies")

	OpPutUserPolicy     = iamRevokes[PutInlinePolicyRequest, Empty]("PutUserPolicy")
	OpPutGroupPolicy    = iamRevokes[PutInlinePolicyRequest, Empty]("PutGroupPolicy")
	OpPutRolePolicy     = iamRevokes[PutInlinePolicyRequest, Empty]("PutRolePolicy")
	OpGetUserPolicy     = iamReads[GetInlinePolicyRequest, InlinePolicyAnswer]("GetUserPolicy")
	OpGetGroupPolicy    = iamReads[GetInlinePolicyRequest, InlinePolicyAnswer]("GetGroupPolicy")
	OpGetRolePolicy     = iamReads[GetInlinePolicyRequest, InlinePolicyAnswer]("GetRolePolicy")
	OpDeleteUserPolicy  = iamRevokes[DeleteInlinePolicyRequest, Empty]("DeleteUserPolicy")
	OpDeleteGroupPolicy = iamRevokes[DeleteInlinePolicyRequest, Empty]("DeleteGroupPolicy")
	OpDeleteRolePolicy  = iamRevokes[DeleteInlinePolicyRequest, Empty]("DeleteRolePolicy")
	OpListUserPolicies  = iamReads[IdentityRequest, ListInlinePoliciesAnswer]("ListUserPolicies")
	OpListGroupPolicies = iamReads[IdentityRequest, ListInlinePoliciesAnswer]("ListGroupPolicies")
	OpListRolePolicies  = iamReads[IdentityRequest, ListInlinePoliciesAnswer]("ListRolePolicies")

	OpPutUserPermissionsBoundary    = iamRevokes[PutBoundaryRequest, Empty]("PutUserPermissionsBoundary")
	OpPutRolePermissionsBoundary    = iamRevokes[PutBoundaryRequest, Empty]("PutRolePermissionsBoundary")
	OpDeleteUserPermissionsBoundary = iamRevokes[IdentityRequest, Empty]("DeleteUserPermissionsBoundary")
	OpDeleteRolePermissionsBoundary = iamRevokes[IdentityRequest, Empty]("DeleteRolePermissionsBoundary")

	OpCreateOIDCProvider             = iamCreates[CreateOIDCProviderRequest, OIDCProviderAnswer]("CreateOpenIDConnectProvider")
	OpGetOIDCProvider                = iamReads[ProviderRequest, OIDCProviderAnswer]("GetOpenIDConnectProvider")
	OpListOIDCProviders              = iamReads[Empty, ListOIDCProvidersAnswer]("ListOpenIDConnectProviders")
	OpDeleteOIDCProvider             = iamRevokes[ProviderRequest, Empty]("DeleteOpenIDConnectProvider")
	OpAddClientIDToOIDCProvider      = iamRevokes[ClientIDRequest, Empty]("AddClientIDToOpenIDConnectProvider")
	OpRemoveClientIDFromOIDCProvider = iamRevokes[ClientIDRequest, Empty]("RemoveClientIDFromOpenIDConnectProvider")
	OpUpdateOIDCThumbprint           = iamRevokes[UpdateThumbprintRequest, Empty]("UpdateOpenIDConnectProviderThumbprint")
	OpTagOIDCProvider                = iamRevokes[TagProviderRequest, Empty]("TagOpenIDConnectProvider")
	OpUntagOIDCProvider              = iamRevokes[UntagProviderRequest, Empty]("UntagOpenIDConnectProvider")

	OpCreateTrustAnchor = trustAnchor(iamCreates[CreateTrustAnchorRequest, TrustAnchorAnswer]("CreateTrustAnchor"))
	OpGetTrustAnchor    = trustAnchor(iamReads[ProviderRequest, TrustAnchorAnswer]("GetTrustAnchor"))
	OpListTrustAnchors  = trustAnchor(iamReads[Empty, ListTrustAnchorsAnswer]("ListTrustAnchors"))
	OpDeleteTrustAnchor = trustAnchor(iamRevokes[ProviderRequest, Empty]("DeleteTrustAnchor"))

	OpSimulatePrincipalPolicy = iamReads[SimulateRequest, SimulateAnswer]("SimulatePrincipalPolicy")
	OpWhoCan                  = reads[WhoCanRequest, WhoCanAnswer]("WhoCan")
)

// PolicyOperations are the operations on the policies of one type of identity. A group has no permissions boundary: those
// two are nil.
type PolicyOperations struct {
	Attach, Detach, ListAttached, Put, Get, Delete, List, PutBoundary, DeleteBoundary *Operation
}

// Those of users, groups and roles.
var (
	UserPolicyOperations = PolicyOperations{OpAttachUserPolicy, OpDetachUserPolicy, OpListAttachedUserPolicies, OpPutUserPolicy, OpGetUserPolicy,
		OpDeleteUserPolicy, OpListUserPolicies, OpPutUserPermissionsBoundary, OpDeleteUserPermissionsBoundary}
	GroupPolicyOperations = PolicyOperations{OpAttachGroupPolicy, OpDetachGroupPolicy, OpListAttachedGroupPolicies, OpPutGroupPolicy, OpGetGroupPolicy,
		OpDeleteGroupPolicy, OpListGroupPolicies, nil, nil}
	RolePolicyOperations = PolicyOperations{OpAttachRolePolicy, OpDetachRolePolicy, OpListAttachedRolePolicies, OpPutRolePolicy, OpGetRolePolicy,
		OpDeleteRolePolicy, OpListRolePolicies, OpPutRolePermissionsBoundary, OpDeleteRolePermissionsBoundary}
)

// The operations on sessions. They write nothing: a session is what its token says.
var (
	OpAssumeRole = op[AssumeRoleRequest, SessionAnswer](Operation{
		Name: "AssumeRole", Action: "sts:AssumeRole", Source: sourceSTS, Resource: ResourceRole})
	OpAssumeRoleWithWebIdentity = op[AssumeRoleWithWebIdentityRequest, SessionAnswer](Operation{
		Name: "AssumeRoleWithWebIdentity", Action: "sts:AssumeRoleWithWebIdentity", Source: sourceSTS, Resource: ResourceRole, Open: true})
	OpGetSessionToken = op[GetSessionTokenRequest, SessionTokenAnswer](Operation{
		Name: "GetSessionToken", Action: "sts:GetSessionToken", Source: sourceSTS, Resource: ResourceNone})
)

// identityOperations is the part of the table that is declared here.
var identityOperations = []*Operation{
	OpCreateUser, OpGetUser, OpListUsers, OpDeleteUser, OpTagUser, OpUntagUser,
	OpCreateGroup, OpGetGroup, OpListGroups, OpDeleteGroup, OpAddUserToGroup, OpRemoveUserFromGroup, OpListGroupsForUser,
	OpCreateRole, OpGetRole, OpListRoles, OpDeleteRole, OpUpdateRole, OpUpdateAssumeRolePolicy, OpTagRole, OpUntagRole, OpRevokeSessions,
	OpCreateAccessKey, OpListAccessKeys, OpUpdateAccessKey, OpDeleteAccessKey, OpGetAccessKeyLastUsed,
	OpCreatePolicy, OpGetPolicy, OpListPolicies, OpDeletePolicy,
	OpCreatePolicyVersion, OpGetPolicyVersion, OpListPolicyVersions, OpSetDefaultPolicyVersion, OpDeletePolicyVersion,
	OpTagPolicy, OpUntagPolicy, OpListEntitiesForPolicy,
	OpAttachUserPolicy, OpAttachGroupPolicy, OpAttachRolePolicy, OpDetachUserPolicy, OpDetachGroupPolicy, OpDetachRolePolicy,
	OpListAttachedUserPolicies, OpListAttachedGroupPolicies, OpListAttachedRolePolicies,
	OpPutUserPolicy, OpPutGroupPolicy, OpPutRolePolicy, OpGetUserPolicy, OpGetGroupPolicy, OpGetRolePolicy,
	OpDeleteUserPolicy, OpDeleteGroupPolicy, OpDeleteRolePolicy, OpListUserPolicies, OpListGroupPolicies, OpListRolePolicies,
	OpPutUserPermissionsBoundary, OpPutRolePermissionsBoundary, OpDeleteUserPermissionsBoundary, OpDeleteRolePermissionsBoundary,
	OpCreateOIDCProvider, OpGetOIDCProvider, OpListOIDCProviders, OpDeleteOIDCProvider, OpAddClientIDToOIDCProvider, OpRemoveClientIDFromOIDCProvider,
	OpUpdateOIDCThumbprint, OpTagOIDCProvider, OpUntagOIDCProvider,
	OpCreateTrustAnchor, OpGetTrustAnchor, OpListTrustAnchors, OpDeleteTrustAnchor,
	OpSimulatePrincipalPolicy, OpWhoCan,
	OpAssumeRole, OpAssumeRoleWithWebIdentity, OpGetSessionToken,
}
