package service

import "github.com/lockstep-kms/lockstep/kms"

// awsUses binds the operations that only AWS's clients ask for, see kms.AWSOperations.
func awsUses(all map[*kms.Operation]*use) {
	all[kms.OpListUserTags] = reading(byName(user), getIdentity(user))
	all[kms.OpListRoleTags] = reading(byName(role), getIdentity(role))
	all[kms.OpListPolicyTags] = reading(checkManaged, getPolicy)
	all[kms.OpListOIDCProviderTags] = reading(checkProvider, getProvider(kms.ProviderOIDC))
	all[kms.OpUpdateRoleDescription] = changing(checkUpdateRole, updateRole, replayIdentity)
	all[kms.OpListInstanceProfilesForRole] = reading(byName(role), noneOf(role))
	for _, op := range []*kms.Operation{kms.OpListMFADevices, kms.OpListSigningCertificates, kms.OpListSSHPublicKeys, kms.OpListServiceSpecificCredentials} {
		all[op] = reading(checkHolder, noneOfUser)
	}
	for _, op := range []*kms.Operation{kms.OpGetLoginProfile, kms.OpDeleteLoginProfile} {
		all[op] = reading(checkHolder, noPassword)
	}
	for _, op := range []*kms.Operation{kms.OpListVirtualMFADevices, kms.OpListAccountAliases} {
		all[op] = reading(unchecked[kms.Empty], none)
	}
}

// none answers that the account has nothing of the kind.
func none(r *request, _ *kms.Empty) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

// noneOf answers that an identity has nothing of the kind.
func noneOf(s *species) func(*request, *kms.IdentityRequest) (any, error) {
	return func(r *request, q *kms.IdentityRequest) (any, error) {
		if _, err := r.identity(s, q.Name); err != nil {
			return nil, err
		}
		return &kms.Empty{}, nil
	}
}

func noneOfUser(r *request, q *kms.IdentityRequest) (any, error) {
	if _, err := r.holder(q.Name); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

// noPassword answers that a user has no password: there is nothing to log in to with one.
func noPassword(r *request, q *kms.IdentityRequest) (any, error) {
	i, err := r.holder(q.Name)
	if err != nil {
		return nil, err
	}
	return nil, kms.Errorf(kms.CodeNotFound, "Login Profile for User %s cannot be found.", holderName(i))
}
