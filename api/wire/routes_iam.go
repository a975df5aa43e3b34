package wire

import (
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
)

// identityRoutes are those of identities, their access keys, policies and providers, and of sessions.
func identityRoutes() []Route {
	return slices.Concat(sessionRoutes(), userRoutes(), groupRoutes(), roleRoutes(), policyRoutes(), providerRoutes())
}

func sessionRoutes() []Route {
	return []Route{
		of(kms.OpAssumeRole, "POST", "/v1/assume-role", "Answers the credentials of a session of a role."),
		of(kms.OpAssumeRoleWithWebIdentity, "POST", "/v1/assume-role-with-web-identity", "Answers the credentials of a session of a role for an OpenID Connect token, which is the caller's identity."),
		of(kms.OpGetSessionToken, "POST", "/v1/get-session-token", "Answers the credentials of a session of the calling user or root itself; it ends with the access key that asked for it."),
	}
}

func userRoutes() []Route {
	return []Route{
		of(kms.OpCreateUser, "POST", "/v1/users", "Creates a user; it may do nothing until a policy allows it."),
		of(kms.OpListUsers, "GET", "/v1/users", "Lists the users of the account."),
		of(kms.OpGetUser, "GET", "/v1/users/{name}", "Describes a user."),
		of(kms.OpDeleteUser, "DELETE", "/v1/users/{name}", "Deletes a user that has no access keys, policies or groups any more."),
		of(kms.OpTagUser, "POST", "/v1/users/{name}/tag-user", "Sets tags of a user."),
		of(kms.OpUntagUser, "POST", "/v1/users/{name}/untag-user", "Takes tags off a user."),
		of(kms.OpListGroupsForUser, "GET", "/v1/users/{name}/list-groups-for-user", "Lists the groups that a user is in."),

		of(kms.OpCreateAccessKey, "POST", "/v1/users/{name}/create-access-key", "Creates an access key of a user; its secret is answered this once."),
		of(kms.OpListAccessKeys, "GET", "/v1/users/{name}/list-access-keys", "Lists the access keys of a user."),
		of(kms.OpUpdateAccessKey, "POST", "/v1/users/{name}/update-access-key", "Makes an access key active or inactive."),
		of(kms.OpDeleteAccessKey, "POST", "/v1/users/{name}/delete-access-key", "Deletes an access key."),
		of(kms.OpGetAccessKeyLastUsed, "GET", "/v1/access-keys/{id}/get-access-key-last-used", "Says when an access key was last used."),

		of(kms.OpAttachUserPolicy, "POST", "/v1/users/{name}/attach-user-policy", "Attaches a managed policy to a user."),
		of(kms.OpDetachUserPolicy, "POST", "/v1/users/{name}/detach-user-policy", "Detaches a managed policy from a user."),
		of(kms.OpListAttachedUserPolicies, "GET", "/v1/users/{name}/list-attached-user-policies", "Lists the managed policies that a user has attached."),
		of(kms.OpPutUserPolicy, "POST", "/v1/users/{name}/put-user-policy", "Writes an inline policy of a user."),
		of(kms.OpGetUserPolicy, "GET", "/v1/users/{name}/get-user-policy", "Answers an inline policy of a user."),
		of(kms.OpListUserPolicies, "GET", "/v1/users/{name}/list-user-policies", "Lists the names of a user's inline policies."),
		of(kms.OpDeleteUserPolicy, "POST", "/v1/users/{name}/delete-user-policy", "Deletes an inline policy of a user."),
		of(kms.OpPutUserPermissionsBoundary, "POST", "/v1/users/{name}/put-user-permissions-boundary", "Bounds what a user may do by a managed policy."),
		of(kms.OpDeleteUserPermissionsBoundary, "POST", "/v1/users/{name}/delete-user-permissions-boundary", "Takes the permissions boundary off a user."),
	}
}

func groupRoutes() []Route {
	return []Route{
		of(kms.OpCreateGroup, "POST", "/v1/groups", "Creates a group of users."),
		of(kms.OpListGroups, "GET", "/v1/groups", "Lists the groups of the account."),
		of(kms.OpGetGroup, "GET", "/v1/groups/{name}", "Describes a group and lists its users."),
		of(kms.OpDeleteGroup, "DELETE", "/v1/groups/{name}", "Deletes a group that has no users and policies any more."),
		of(kms.OpAddUserToGroup, "POST", "/v1/groups/{name}/add-user-to-group", "Puts a user into a group."),
		of(kms.OpRemoveUserFromGroup, "POST", "/v1/groups/{name}/remove-user-from-group", "Takes a user out of a group."),

		of(kms.OpAttachGroupPolicy, "POST", "/v1/groups/{name}/attach-group-policy", "Attaches a managed policy to a group."),
		of(kms.OpDetachGroupPolicy, "POST", "/v1/groups/{name}/detach-group-policy", "Detaches a managed policy from a group."),
		of(kms.OpListAttachedGroupPolicies, "GET", "/v1/groups/{name}/list-attached-group-policies", "Lists the managed policies that a group has attached."),
		of(kms.OpPutGroupPolicy, "POST", "/v1/groups/{name}/put-group-policy", "Writes an inline policy of a group."),
		of(kms.OpGetGroupPolicy, "GET", "/v1/groups/{name}/get-group-policy", "Answers an inline policy of a group."),
		of(kms.OpListGroupPolicies, "GET", "/v1/groups/{name}/list-group-policies", "Lists the names of a group's inline policies."),
		of(kms.OpDeleteGroupPolicy, "POST", "/v1/groups/{name}/delete-group-policy", "Deletes an inline policy of a group."),
	}
}

func roleRoutes() []Route {
	return []Route{
		of(kms.OpCreateRole, "POST", "/v1/roles", "Creates a role; its trust policy says who may assume it."),
		of(kms.OpListRoles, "GET", "/v1/roles", "Lists the roles of the account."),
		of(kms.OpGetRole, "GET", "/v1/roles/{name}", "Describes a role with its trust policy."),
		of(kms.OpUpdateRole, "PUT", "/v1/roles/{name}", "Changes a role's description or how long its sessions last at most."),
		of(kms.OpDeleteRole, "DELETE", "/v1/roles/{name}", "Deletes a role that has no policies any more."),
		of(kms.OpUpdateAssumeRolePolicy, "POST", "/v1/roles/{name}/update-assume-role-policy", "Replaces a role's trust policy."),
		of(kms.OpTagRole, "POST", "/v1/roles/{name}/tag-role", "Sets tags of a role."),
		of(kms.OpUntagRole, "POST", "/v1/roles/{name}/untag-role", "Takes tags off a role."),
		of(kms.OpRevokeSessions, "POST", "/v1/roles/{name}/revoke-sessions", "Revokes the sessions of a role that were issued before a time, or all there are."),

		of(kms.OpAttachRolePolicy, "POST", "/v1/roles/{name}/attach-role-policy", "Attaches a managed policy to a role."),
		of(kms.OpDetachRolePolicy, "POST", "/v1/roles/{name}/detach-role-policy", "Detaches a managed policy from a role."),
		of(kms.OpListAttachedRolePolicies, "GET", "/v1/roles/{name}/list-attached-role-policies", "Lists the managed policies that a role has attached."),
		of(kms.OpPutRolePolicy, "POST", "/v1/roles/{name}/put-role-policy", "Writes an inline policy of a role."),
		of(kms.OpGetRolePolicy, "GET", "/v1/roles/{name}/get-role-policy", "Answers an inline policy of a role."),
		of(kms.OpListRolePolicies, "GET", "/v1/roles/{name}/list-role-policies", "Lists the names of a role's inline policies."),
		of(kms.OpDeleteRolePolicy, "POST", "/v1/roles/{name}/delete-role-policy", "Deletes an inline policy of a role."),
		of(kms.OpPutRolePermissionsBoundary, "POST", "/v1/roles/{name}/put-role-permissions-boundary", "Bounds what a role may do by a managed policy."),
		of(kms.OpDeleteRolePermissionsBoundary, "POST", "/v1/roles/{name}/delete-role-permissions-boundary", "Takes the permissions boundary off a role."),
	}
}

// policyRoutes are those of managed policies and of questions about all policies together.
func policyRoutes() []Route {
	return []Route{
		of(kms.OpCreatePolicy, "POST", "/v1/policies", "Creates a managed policy."),
		of(kms.OpListPolicies, "GET", "/v1/policies", "Lists the managed policies of the account."),
		of(kms.OpGetPolicy, "GET", "/v1/policies/{policy}", "Describes a managed policy."),
		of(kms.OpDeletePolicy, "DELETE", "/v1/policies/{policy}", "Deletes a managed policy that is attached nowhere, with all of its versions."),
		of(kms.OpCreatePolicyVersion, "POST", "/v1/policies/{policy}/create-policy-version", "Gives a managed policy another document."),
		of(kms.OpGetPolicyVersion, "GET", "/v1/policies/{policy}/get-policy-version", "Answers the document of a version of a managed policy."),
		of(kms.OpListPolicyVersions, "GET", "/v1/policies/{policy}/list-policy-versions", "Lists the versions of a managed policy."),
		of(kms.OpSetDefaultPolicyVersion, "POST", "/v1/policies/{policy}/set-default-policy-version", "Makes a version of a managed policy the one that counts."),
		of(kms.OpDeletePolicyVersion, "POST", "/v1/policies/{policy}/delete-policy-version", "Deletes a version of a managed policy that is not the default one."),
		of(kms.OpTagPolicy, "POST", "/v1/policies/{policy}/tag-policy", "Sets tags of a managed policy."),
		of(kms.OpUntagPolicy, "POST", "/v1/policies/{policy}/untag-policy", "Takes tags off a managed policy."),
		of(kms.OpListEntitiesForPolicy, "GET", "/v1/policies/{policy}/list-entities-for-policy", "Lists the users, groups and roles that a managed policy is attached to or bounds."),

		of(kms.OpSimulatePrincipalPolicy, "POST", "/v1/policy/simulate", "Says whether a principal may do something, and which policy decides that."),
		of(kms.OpWhoCan, "POST", "/v1/keys/{key}/who-can", "Lists the principals that may do something with a key, and what allows it."),
	}
}

func providerRoutes() []Route {
	return []Route{
		of(kms.OpCreateOIDCProvider, "POST", "/v1/oidc-providers", "Makes the account trust the tokens of an OpenID Connect issuer."),
		of(kms.OpListOIDCProviders, "GET", "/v1/oidc-providers", "Lists the OpenID Connect providers of the account."),
		of(kms.OpGetOIDCProvider, "GET", "/v1/oidc-providers/{provider}", "Describes an OpenID Connect provider."),
		of(kms.OpDeleteOIDCProvider, "DELETE", "/v1/oidc-providers/{provider}", "Deletes an OpenID Connect provider."),
		of(kms.OpAddClientIDToOIDCProvider, "POST", "/v1/oidc-providers/{provider}/add-client-id-to-open-id-connect-provider", "Accepts another audience in the tokens of an OpenID Connect provider."),
		of(kms.OpRemoveClientIDFromOIDCProvider, "POST", "/v1/oidc-providers/{provider}/remove-client-id-from-open-id-connect-provider", "Accepts an audience in the tokens of an OpenID Connect provider no more."),
		of(kms.OpUpdateOIDCThumbprint, "POST", "/v1/oidc-providers/{provider}/update-open-id-connect-provider-thumbprint", "Replaces the thumbprints that are kept of an OpenID Connect provider; no trust is in them."),
		of(kms.OpTagOIDCProvider, "POST", "/v1/oidc-providers/{provider}/tag-open-id-connect-provider", "Sets tags of an OpenID Connect provider."),
		of(kms.OpUntagOIDCProvider, "POST", "/v1/oidc-providers/{provider}/untag-open-id-connect-provider", "Takes tags off an OpenID Connect provider."),

		of(kms.OpCreateTrustAnchor, "POST", "/v1/trust-anchors", "Makes the account trust the client certificates of a certificate authority."),
		of(kms.OpListTrustAnchors, "GET", "/v1/trust-anchors", "Lists the trust anchors of the account."),
		of(kms.OpGetTrustAnchor, "GET", "/v1/trust-anchors/{provider}", "Describes a trust anchor."),
		of(kms.OpDeleteTrustAnchor, "DELETE", "/v1/trust-anchors/{provider}", "Deletes a trust anchor."),
	}
}
