package kms

// The operations that only the doors for AWS's clients have: what they answer is part of an answer of the table, or they are
// about something that this product has none of, as tools ask before they delete a user or role. Each is authorized by its own
// action, confirmed and recorded like those of the table.
var (
	OpListUserTags          = iamReads[IdentityRequest, UserAnswer]("ListUserTags")
	OpListRoleTags          = iamReads[IdentityRequest, RoleAnswer]("ListRoleTags")
	OpListPolicyTags        = iamReads[PolicyRequest, PolicyAnswer]("ListPolicyTags")
	OpListOIDCProviderTags  = iamReads[ProviderRequest, OIDCProviderAnswer]("ListOpenIDConnectProviderTags")
	OpUpdateRoleDescription = iamRevokes[UpdateRoleRequest, RoleAnswer]("UpdateRoleDescription")

	OpListInstanceProfilesForRole    = iamReads[IdentityRequest, Empty]("ListInstanceProfilesForRole")
	OpListMFADevices                 = iamReads[IdentityRequest, Empty]("ListMFADevices")
	OpListSigningCertificates        = iamReads[IdentityRequest, Empty]("ListSigningCertificates")
	OpListSSHPublicKeys              = iamReads[IdentityRequest, Empty]("ListSSHPublicKeys")
	OpListServiceSpecificCredentials = iamReads[IdentityRequest, Empty]("ListServiceSpecificCredentials")
	OpGetLoginProfile                = iamReads[IdentityRequest, Empty]("GetLoginProfile")
	OpDeleteLoginProfile             = change(iamReads[IdentityRequest, Empty]("DeleteLoginProfile"))
	OpListVirtualMFADevices          = iamReads[Empty, Empty]("ListVirtualMFADevices")
	OpListAccountAliases             = iamReads[Empty, Empty]("ListAccountAliases")
)

// change makes an operation one that asks for a change, though there never is anything to change.
func change(o *Operation) *Operation {
	o.Mutates = true
	return o
}

// AWSOperations lists them. None of them is in Operations.
var AWSOperations = []*Operation{
	OpListUserTags, OpListRoleTags, OpListPolicyTags, OpListOIDCProviderTags, OpUpdateRoleDescription,
	OpListInstanceProfilesForRole, OpListMFADevices, OpListSigningCertificates, OpListSSHPublicKeys, OpListServiceSpecificCredentials,
	OpGetLoginProfile, OpDeleteLoginProfile, OpListVirtualMFADevices, OpListAccountAliases,
}
