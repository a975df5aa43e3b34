package client

import (
	"context"

	"github.com/lockstep-kms/lockstep/kms"
)

// CreateUser creates a user.
func (c *Client) CreateUser(ctx context.Context, r *kms.CreateUserRequest, opts ...Option) (*kms.UserAnswer, error) {
	return do[kms.UserAnswer](ctx, c, kms.OpCreateUser, r, opts)
}

// GetUser describes a user.
func (c *Client) GetUser(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.UserAnswer, error) {
	return do[kms.UserAnswer](ctx, c, kms.OpGetUser, r, opts)
}

// ListUsers returns one page of users.
func (c *Client) ListUsers(ctx context.Context, r *kms.ListRequest, opts ...Option) (*kms.ListUsersAnswer, error) {
	return do[kms.ListUsersAnswer](ctx, c, kms.OpListUsers, r, opts)
}

// DeleteUser deletes a user that has no access keys, policies or groups.
func (c *Client) DeleteUser(ctx context.Context, r *kms.IdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteUser, r, opts)
	return err
}

// TagUser sets tags of a user.
func (c *Client) TagUser(ctx context.Context, r *kms.TagIdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpTagUser, r, opts)
	return err
}

// UntagUser takes tags off a user.
func (c *Client) UntagUser(ctx context.Context, r *kms.UntagIdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpUntagUser, r, opts)
	return err
}

// CreateGroup creates a group.
func (c *Client) CreateGroup(ctx context.Context, r *kms.CreateGroupRequest, opts ...Option) (*kms.GroupAnswer, error) {
	return do[kms.GroupAnswer](ctx, c, kms.OpCreateGroup, r, opts)
}

// GetGroup describes a group with one page of its users.
func (c *Client) GetGroup(ctx context.Context, r *kms.IdentityListRequest, opts ...Option) (*kms.GetGroupAnswer, error) {
	return do[kms.GetGroupAnswer](ctx, c, kms.OpGetGroup, r, opts)
}

// ListGroups returns one page of groups.
func (c *Client) ListGroups(ctx context.Context, r *kms.ListRequest, opts ...Option) (*kms.ListGroupsAnswer, error) {
	return do[kms.ListGroupsAnswer](ctx, c, kms.OpListGroups, r, opts)
}

// DeleteGroup deletes a group that has no users and policies.
func (c *Client) DeleteGroup(ctx context.Context, r *kms.IdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteGroup, r, opts)
	return err
}

// AddUserToGroup puts a user into a group.
func (c *Client) AddUserToGroup(ctx context.Context, r *kms.GroupMemberRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpAddUserToGroup, r, opts)
	return err
}

// RemoveUserFromGroup takes a user out of a group.
func (c *Client) RemoveUserFromGroup(ctx context.Context, r *kms.GroupMemberRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpRemoveUserFromGroup, r, opts)
	return err
}

// ListGroupsForUser lists the groups that a user is in.
func (c *Client) ListGroupsForUser(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.ListGroupsAnswer, error) {
	return do[kms.ListGroupsAnswer](ctx, c, kms.OpListGroupsForUser, r, opts)
}

// CreateRole creates a role.
func (c *Client) CreateRole(ctx context.Context, r *kms.CreateRoleRequest, opts ...Option) (*kms.RoleAnswer, error) {
	return do[kms.RoleAnswer](ctx, c, kms.OpCreateRole, r, opts)
}

// GetRole describes a role.
func (c *Client) GetRole(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.RoleAnswer, error) {
	return do[kms.RoleAnswer](ctx, c, kms.OpGetRole, r, opts)
}

// ListRoles returns one page of roles.
func (c *Client) ListRoles(ctx context.Context, r *kms.ListRequest, opts ...Option) (*kms.ListRolesAnswer, error) {
	return do[kms.ListRolesAnswer](ctx, c, kms.OpListRoles, r, opts)
}

// DeleteRole deletes a role that has no policies.
func (c *Client) DeleteRole(ctx context.Context, r *kms.IdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteRole, r, opts)
	return err
}

// UpdateRole changes a role's description or how long its sessions last at most.
func (c *Client) UpdateRole(ctx context.Context, r *kms.UpdateRoleRequest, opts ...Option) (*kms.RoleAnswer, error) {
	return do[kms.RoleAnswer](ctx, c, kms.OpUpdateRole, r, opts)
}

// UpdateAssumeRolePolicy replaces a role's trust policy.
func (c *Client) UpdateAssumeRolePolicy(ctx context.Context, r *kms.UpdateAssumeRolePolicyRequest, opts ...Option) (*kms.RoleAnswer, error) {
	return do[kms.RoleAnswer](ctx, c, kms.OpUpdateAssumeRolePolicy, r, opts)
}

// TagRole sets tags of a role.
func (c *Client) TagRole(ctx context.Context, r *kms.TagIdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpTagRole, r, opts)
	return err
}

// UntagRole takes tags off a role.
func (c *Client) UntagRole(ctx context.Context, r *kms.UntagIdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpUntagRole, r, opts)
	return err
}

// RevokeSessions revokes the sessions of a role that were issued before a time.
func (c *Client) RevokeSessions(ctx context.Context, r *kms.RevokeSessionsRequest, opts ...Option) (*kms.RoleAnswer, error) {
	return do[kms.RoleAnswer](ctx, c, kms.OpRevokeSessions, r, opts)
}

// CreateAccessKey creates an access key of a user, or of the root: kms.RootName.
func (c *Client) CreateAccessKey(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.AccessKeyAnswer, error) {
	return do[kms.AccessKeyAnswer](ctx, c, kms.OpCreateAccessKey, r, opts)
}

// ListAccessKeys lists the access keys of a user.
func (c *Client) ListAccessKeys(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.ListAccessKeysAnswer, error) {
	return do[kms.ListAccessKeysAnswer](ctx, c, kms.OpListAccessKeys, r, opts)
}

// UpdateAccessKey makes an access key active or inactive.
func (c *Client) UpdateAccessKey(ctx context.Context, r *kms.UpdateAccessKeyRequest, opts ...Option) (*kms.AccessKeyAnswer, error) {
	return do[kms.AccessKeyAnswer](ctx, c, kms.OpUpdateAccessKey, r, opts)
}

// DeleteAccessKey deletes an access key.
func (c *Client) DeleteAccessKey(ctx context.Context, r *kms.DeleteAccessKeyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteAccessKey, r, opts)
	return err
}

// GetAccessKeyLastUsed says when an access key was last used.
func (c *Client) GetAccessKeyLastUsed(ctx context.Context, r *kms.AccessKeyRequest, opts ...Option) (*kms.AccessKeyLastUsedAnswer, error) {
	return do[kms.AccessKeyLastUsedAnswer](ctx, c, kms.OpGetAccessKeyLastUsed, r, opts)
}

// CreatePolicy creates a managed policy.
func (c *Client) CreatePolicy(ctx context.Context, r *kms.CreatePolicyRequest, opts ...Option) (*kms.PolicyAnswer, error) {
	return do[kms.PolicyAnswer](ctx, c, kms.OpCreatePolicy, r, opts)
}

// GetPolicy describes a managed policy.
func (c *Client) GetPolicy(ctx context.Context, r *kms.PolicyRequest, opts ...Option) (*kms.PolicyAnswer, error) {
	return do[kms.PolicyAnswer](ctx, c, kms.OpGetPolicy, r, opts)
}

// ListPolicies returns one page of managed policies.
func (c *Client) ListPolicies(ctx context.Context, r *kms.ListRequest, opts ...Option) (*kms.ListPoliciesAnswer, error) {
	return do[kms.ListPoliciesAnswer](ctx, c, kms.OpListPolicies, r, opts)
}

// DeletePolicy deletes a managed policy that is attached nowhere.
func (c *Client) DeletePolicy(ctx context.Context, r *kms.PolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeletePolicy, r, opts)
	return err
}

// CreatePolicyVersion gives a managed policy another document.
func (c *Client) CreatePolicyVersion(ctx context.Context, r *kms.CreatePolicyVersionRequest, opts ...Option) (*kms.PolicyVersionAnswer, error) {
	return do[kms.PolicyVersionAnswer](ctx, c, kms.OpCreatePolicyVersion, r, opts)
}

// GetPolicyVersion returns the document of a version of a managed policy.
func (c *Client) GetPolicyVersion(ctx context.Context, r *kms.GetPolicyVersionRequest, opts ...Option) (*kms.PolicyVersionAnswer, error) {
	return do[kms.PolicyVersionAnswer](ctx, c, kms.OpGetPolicyVersion, r, opts)
}

// ListPolicyVersions lists the versions of a managed policy.
func (c *Client) ListPolicyVersions(ctx context.Context, r *kms.PolicyRequest, opts ...Option) (*kms.ListPolicyVersionsAnswer, error) {
	return do[kms.ListPolicyVersionsAnswer](ctx, c, kms.OpListPolicyVersions, r, opts)
}

// SetDefaultPolicyVersion makes a version of a managed policy the one that counts.
func (c *Client) SetDefaultPolicyVersion(ctx context.Context, r *kms.PolicyVersionRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpSetDefaultPolicyVersion, r, opts)
	return err
}

// DeletePolicyVersion deletes a version that is not the default one.
func (c *Client) DeletePolicyVersion(ctx context.Context, r *kms.PolicyVersionRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeletePolicyVersion, r, opts)
	return err
}

// AttachUserPolicy attaches a managed policy to a user.
func (c *Client) AttachUserPolicy(ctx context.Context, r *kms.AttachPolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpAttachUserPolicy, r, opts)
	return err
}

// DetachUserPolicy detaches a managed policy from a user.
func (c *Client) DetachUserPolicy(ctx context.Context, r *kms.AttachPolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDetachUserPolicy, r, opts)
	return err
}

// ListAttachedUserPolicies lists the managed policies that a user has attached.
func (c *Client) ListAttachedUserPolicies(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.ListAttachedPoliciesAnswer, error) {
	return do[kms.ListAttachedPoliciesAnswer](ctx, c, kms.OpListAttachedUserPolicies, r, opts)
}

// PutUserPolicy writes an inline policy of a user.
func (c *Client) PutUserPolicy(ctx context.Context, r *kms.PutInlinePolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpPutUserPolicy, r, opts)
	return err
}

// GetUserPolicy returns an inline policy of a user.
func (c *Client) GetUserPolicy(ctx context.Context, r *kms.GetInlinePolicyRequest, opts ...Option) (*kms.InlinePolicyAnswer, error) {
	return do[kms.InlinePolicyAnswer](ctx, c, kms.OpGetUserPolicy, r, opts)
}

// ListUserPolicies lists the names of a user's inline policies.
func (c *Client) ListUserPolicies(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.ListInlinePoliciesAnswer, error) {
	return do[kms.ListInlinePoliciesAnswer](ctx, c, kms.OpListUserPolicies, r, opts)
}

// DeleteUserPolicy deletes an inline policy of a user.
func (c *Client) DeleteUserPolicy(ctx context.Context, r *kms.DeleteInlinePolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteUserPolicy, r, opts)
	return err
}

// PutUserPermissionsBoundary bounds what a user may do by a managed policy.
func (c *Client) PutUserPermissionsBoundary(ctx context.Context, r *kms.PutBoundaryRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpPutUserPermissionsBoundary, r, opts)
	return err
}

// DeleteUserPermissionsBoundary takes the permissions boundary off a user.
func (c *Client) DeleteUserPermissionsBoundary(ctx context.Context, r *kms.IdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteUserPermissionsBoundary, r, opts)
	return err
}

// AttachGroupPolicy attaches a managed policy to a group.
func (c *Client) AttachGroupPolicy(ctx context.Context, r *kms.AttachPolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpAttachGroupPolicy, r, opts)
	return err
}

// DetachGroupPolicy detaches a managed policy from a group.
func (c *Client) DetachGroupPolicy(ctx context.Context, r *kms.AttachPolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDetachGroupPolicy, r, opts)
	return err
}

// ListAttachedGroupPolicies lists the managed policies that a group has attached.
func (c *Client) ListAttachedGroupPolicies(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.ListAttachedPoliciesAnswer, error) {
	return do[kms.ListAttachedPoliciesAnswer](ctx, c, kms.OpListAttachedGroupPolicies, r, opts)
}

// PutGroupPolicy writes an inline policy of a group.
func (c *Client) PutGroupPolicy(ctx context.Context, r *kms.PutInlinePolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpPutGroupPolicy, r, opts)
	return err
}

// GetGroupPolicy returns an inline policy of a group.
func (c *Client) GetGroupPolicy(ctx context.Context, r *kms.GetInlinePolicyRequest, opts ...Option) (*kms.InlinePolicyAnswer, error) {
	return do[kms.InlinePolicyAnswer](ctx, c, kms.OpGetGroupPolicy, r, opts)
}

// ListGroupPolicies lists the names of a group's inline policies.
func (c *Client) ListGroupPolicies(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.ListInlinePoliciesAnswer, error) {
	return do[kms.ListInlinePoliciesAnswer](ctx, c, kms.OpListGroupPolicies, r, opts)
}

// DeleteGroupPolicy deletes an inline policy of a group.
func (c *Client) DeleteGroupPolicy(ctx context.Context, r *kms.DeleteInlinePolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteGroupPolicy, r, opts)
	return err
}

// AttachRolePolicy attaches a managed policy to a role.
func (c *Client) AttachRolePolicy(ctx context.Context, r *kms.AttachPolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpAttachRolePolicy, r, opts)
	return err
}

// DetachRolePolicy detaches a managed policy from a role.
func (c *Client) DetachRolePolicy(ctx context.Context, r *kms.AttachPolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDetachRolePolicy, r, opts)
	return err
}

// ListAttachedRolePolicies lists the managed policies that a role has attached.
func (c *Client) ListAttachedRolePolicies(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.ListAttachedPoliciesAnswer, error) {
	return do[kms.ListAttachedPoliciesAnswer](ctx, c, kms.OpListAttachedRolePolicies, r, opts)
}

// PutRolePolicy writes an inline policy of a role.
func (c *Client) PutRolePolicy(ctx context.Context, r *kms.PutInlinePolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpPutRolePolicy, r, opts)
	return err
}

// GetRolePolicy returns an inline policy of a role.
func (c *Client) GetRolePolicy(ctx context.Context, r *kms.GetInlinePolicyRequest, opts ...Option) (*kms.InlinePolicyAnswer, error) {
	return do[kms.InlinePolicyAnswer](ctx, c, kms.OpGetRolePolicy, r, opts)
}

// ListRolePolicies lists the names of a role's inline policies.
func (c *Client) ListRolePolicies(ctx context.Context, r *kms.IdentityRequest, opts ...Option) (*kms.ListInlinePoliciesAnswer, error) {
	return do[kms.ListInlinePoliciesAnswer](ctx, c, kms.OpListRolePolicies, r, opts)
}

// DeleteRolePolicy deletes an inline policy of a role.
func (c *Client) DeleteRolePolicy(ctx context.Context, r *kms.DeleteInlinePolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteRolePolicy, r, opts)
	return err
}

// PutRolePermissionsBoundary bounds what a role may do by a managed policy.
func (c *Client) PutRolePermissionsBoundary(ctx context.Context, r *kms.PutBoundaryRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpPutRolePermissionsBoundary, r, opts)
	return err
}

// DeleteRolePermissionsBoundary takes the permissions boundary off a role.
func (c *Client) DeleteRolePermissionsBoundary(ctx context.Context, r *kms.IdentityRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteRolePermissionsBoundary, r, opts)
	return err
}

// CreateOpenIDConnectProvider makes the account trust an OpenID Connect issuer.
func (c *Client) CreateOpenIDConnectProvider(ctx context.Context, r *kms.CreateOIDCProviderRequest, opts ...Option) (*kms.OIDCProviderAnswer, error) {
	return do[kms.OIDCProviderAnswer](ctx, c, kms.OpCreateOIDCProvider, r, opts)
}

// GetOpenIDConnectProvider describes an OpenID Connect provider.
func (c *Client) GetOpenIDConnectProvider(ctx context.Context, r *kms.ProviderRequest, opts ...Option) (*kms.OIDCProviderAnswer, error) {
	return do[kms.OIDCProviderAnswer](ctx, c, kms.OpGetOIDCProvider, r, opts)
}

// ListOpenIDConnectProviders lists the OpenID Connect providers.
func (c *Client) ListOpenIDConnectProviders(ctx context.Context, opts ...Option) (*kms.ListOIDCProvidersAnswer, error) {
	return do[kms.ListOIDCProvidersAnswer](ctx, c, kms.OpListOIDCProviders, nil, opts)
}

// DeleteOpenIDConnectProvider deletes an OpenID Connect provider.
func (c *Client) DeleteOpenIDConnectProvider(ctx context.Context, r *kms.ProviderRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteOIDCProvider, r, opts)
	return err
}

// AddClientIDToOpenIDConnectProvider accepts another audience.
func (c *Client) AddClientIDToOpenIDConnectProvider(ctx context.Context, r *kms.ClientIDRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpAddClientIDToOIDCProvider, r, opts)
	return err
}

// RemoveClientIDFromOpenIDConnectProvider accepts an audience no more.
func (c *Client) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, r *kms.ClientIDRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpRemoveClientIDFromOIDCProvider, r, opts)
	return err
}

// CreateTrustAnchor makes the account trust a certificate authority for client certificates.
func (c *Client) CreateTrustAnchor(ctx context.Context, r *kms.CreateTrustAnchorRequest, opts ...Option) (*kms.TrustAnchorAnswer, error) {
	return do[kms.TrustAnchorAnswer](ctx, c, kms.OpCreateTrustAnchor, r, opts)
}

// GetTrustAnchor describes a trust anchor.
func (c *Client) GetTrustAnchor(ctx context.Context, r *kms.ProviderRequest, opts ...Option) (*kms.TrustAnchorAnswer, error) {
	return do[kms.TrustAnchorAnswer](ctx, c, kms.OpGetTrustAnchor, r, opts)
}

// ListTrustAnchors lists the trust anchors.
func (c *Client) ListTrustAnchors(ctx context.Context, opts ...Option) (*kms.ListTrustAnchorsAnswer, error) {
	return do[kms.ListTrustAnchorsAnswer](ctx, c, kms.OpListTrustAnchors, nil, opts)
}

// DeleteTrustAnchor deletes a trust anchor.
func (c *Client) DeleteTrustAnchor(ctx context.Context, r *kms.ProviderRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteTrustAnchor, r, opts)
	return err
}

// SimulatePrincipalPolicy says whether a principal may do something, and why.
func (c *Client) SimulatePrincipalPolicy(ctx context.Context, r *kms.SimulateRequest, opts ...Option) (*kms.SimulateAnswer, error) {
	return do[kms.SimulateAnswer](ctx, c, kms.OpSimulatePrincipalPolicy, r, opts)
}

// WhoCan returns one page of who may do something with a key.
func (c *Client) WhoCan(ctx context.Context, r *kms.WhoCanRequest, opts ...Option) (*kms.WhoCanAnswer, error) {
	return do[kms.WhoCanAnswer](ctx, c, kms.OpWhoCan, r, opts)
}

// AssumeRole returns the credentials of a session of a role.
func (c *Client) AssumeRole(ctx context.Context, r *kms.AssumeRoleRequest, opts ...Option) (*kms.SessionAnswer, error) {
	return do[kms.SessionAnswer](ctx, c, kms.OpAssumeRole, r, opts)
}

// AssumeRoleWithWebIdentity returns the credentials of a session of a role for an OpenID Connect token. The
// client's own identity is not sent.
func (c *Client) AssumeRoleWithWebIdentity(ctx context.Context, r *kms.AssumeRoleWithWebIdentityRequest, opts ...Option) (*kms.SessionAnswer, error) {
	return do[kms.SessionAnswer](ctx, c, kms.OpAssumeRoleWithWebIdentity, r, opts)
}

// TagPolicy sets tags of a managed policy.
func (c *Client) TagPolicy(ctx context.Context, r *kms.TagPolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpTagPolicy, r, opts)
	return err
}

// UntagPolicy takes tags off a managed policy.
func (c *Client) UntagPolicy(ctx context.Context, r *kms.UntagPolicyRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpUntagPolicy, r, opts)
	return err
}

// ListEntitiesForPolicy lists the users, groups and roles that have a managed policy.
func (c *Client) ListEntitiesForPolicy(ctx context.Context, r *kms.PolicyRequest, opts ...Option) (*kms.ListEntitiesForPolicyAnswer, error) {
	return do[kms.ListEntitiesForPolicyAnswer](ctx, c, kms.OpListEntitiesForPolicy, r, opts)
}

// UpdateOpenIDConnectProviderThumbprint replaces the thumbprints that are kept of an OpenID Connect provider.
func (c *Client) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, r *kms.UpdateThumbprintRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpUpdateOIDCThumbprint, r, opts)
	return err
}

// TagOpenIDConnectProvider sets tags of an OpenID Connect provider.
func (c *Client) TagOpenIDConnectProvider(ctx context.Context, r *kms.TagProviderRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpTagOIDCProvider, r, opts)
	return err
}

// UntagOpenIDConnectProvider takes tags off an OpenID Connect provider.
func (c *Client) UntagOpenIDConnectProvider(ctx context.Context, r *kms.UntagProviderRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpUntagOIDCProvider, r, opts)
	return err
}

// GetSessionToken returns the credentials of a session of the client's own user or root.
func (c *Client) GetSessionToken(ctx context.Context, r *kms.GetSessionTokenRequest, opts ...Option) (*kms.SessionTokenAnswer, error) {
	return do[kms.SessionTokenAnswer](ctx, c, kms.OpGetSessionToken, r, opts)
}
