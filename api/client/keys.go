package client

import (
	"context"

	"github.com/lockstep-kms/lockstep/kms"
)

// CreateKey creates a key.
func (c *Client) CreateKey(ctx context.Context, r *kms.CreateKeyRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpCreateKey, r, opts)
}

// DescribeKey describes a key.
func (c *Client) DescribeKey(ctx context.Context, r *kms.DescribeKeyRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpDescribeKey, r, opts)
}

// ListKeys returns one page of keys.
func (c *Client) ListKeys(ctx context.Context, r *kms.ListRequest, opts ...Option) (*kms.ListKeysAnswer, error) {
	return do[kms.ListKeysAnswer](ctx, c, kms.OpListKeys, r, opts)
}

// EnableKey enables a key.
func (c *Client) EnableKey(ctx context.Context, r *kms.KeyRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpEnableKey, r, opts)
}

// DisableKey disables a key.
func (c *Client) DisableKey(ctx context.Context, r *kms.KeyRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpDisableKey, r, opts)
}

// GetKeyLastUsage says when, how and by whom a key was last used.
func (c *Client) GetKeyLastUsage(ctx context.Context, r *kms.KeyRequest, opts ...Option) (*kms.KeyLastUsageAnswer, error) {
	return do[kms.KeyLastUsageAnswer](ctx, c, kms.OpGetKeyLastUsage, r, opts)
}

// ScheduleKeyDeletion has a key destroyed after a waiting time.
func (c *Client) ScheduleKeyDeletion(ctx context.Context, r *kms.ScheduleKeyDeletionRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpScheduleKeyDeletion, r, opts)
}

// CancelKeyDeletion keeps a key that was to be deleted; it is disabled then.
func (c *Client) CancelKeyDeletion(ctx context.Context, r *kms.KeyRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpCancelKeyDeletion, r, opts)
}

// UpdateKeyDescription replaces a key's description.
func (c *Client) UpdateKeyDescription(ctx context.Context, r *kms.UpdateKeyDescriptionRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpUpdateKeyDescription, r, opts)
}

// GetKeyPolicy returns a key's policy.
func (c *Client) GetKeyPolicy(ctx context.Context, r *kms.KeyRequest, opts ...Option) (*kms.GetKeyPolicyAnswer, error) {
	return do[kms.GetKeyPolicyAnswer](ctx, c, kms.OpGetKeyPolicy, r, opts)
}

// PutKeyPolicy replaces a key's policy.
func (c *Client) PutKeyPolicy(ctx context.Context, r *kms.PutKeyPolicyRequest, opts ...Option) (*kms.GetKeyPolicyAnswer, error) {
	return do[kms.GetKeyPolicyAnswer](ctx, c, kms.OpPutKeyPolicy, r, opts)
}

// ListKeyPolicies returns one page of the names of a key's policies.
func (c *Client) ListKeyPolicies(ctx context.Context, r *kms.KeyListRequest, opts ...Option) (*kms.ListKeyPoliciesAnswer, error) {
	return do[kms.ListKeyPoliciesAnswer](ctx, c, kms.OpListKeyPolicies, r, opts)
}

// TagResource sets tags of a key.
func (c *Client) TagResource(ctx context.Context, r *kms.TagResourceRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpTagResource, r, opts)
	return err
}

// UntagResource takes tags off a key.
func (c *Client) UntagResource(ctx context.Context, r *kms.UntagResourceRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpUntagResource, r, opts)
	return err
}

// GetResources returns one page of tagged keys.
func (c *Client) GetResources(ctx context.Context, r *kms.GetResourcesRequest, opts ...Option) (*kms.GetResourcesAnswer, error) {
	return do[kms.GetResourcesAnswer](ctx, c, kms.OpGetResources, r, opts)
}

// ListResourceTags returns one page of a key's tags.
func (c *Client) ListResourceTags(ctx context.Context, r *kms.KeyListRequest, opts ...Option) (*kms.ListResourceTagsAnswer, error) {
	return do[kms.ListResourceTagsAnswer](ctx, c, kms.OpListResourceTags, r, opts)
}

// RotateKeyOnDemand gives a key new material now.
func (c *Client) RotateKeyOnDemand(ctx context.Context, r *kms.KeyRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpRotateKeyOnDemand, r, opts)
}

// EnableKeyRotation turns automatic rotation on.
func (c *Client) EnableKeyRotation(ctx context.Context, r *kms.EnableKeyRotationRequest, opts ...Option) (*kms.KeyRotationStatusAnswer, error) {
	return do[kms.KeyRotationStatusAnswer](ctx, c, kms.OpEnableKeyRotation, r, opts)
}

// DisableKeyRotation turns automatic rotation off.
func (c *Client) DisableKeyRotation(ctx context.Context, r *kms.KeyRequest, opts ...Option) (*kms.KeyRotationStatusAnswer, error) {
	return do[kms.KeyRotationStatusAnswer](ctx, c, kms.OpDisableKeyRotation, r, opts)
}

// GetKeyRotationStatus says how a key is rotated.
func (c *Client) GetKeyRotationStatus(ctx context.Context, r *kms.KeyRequest, opts ...Option) (*kms.KeyRotationStatusAnswer, error) {
	return do[kms.KeyRotationStatusAnswer](ctx, c, kms.OpGetKeyRotationStatus, r, opts)
}

// ListKeyRotations returns one page of a key's rotations.
func (c *Client) ListKeyRotations(ctx context.Context, r *kms.ListKeyRotationsRequest, opts ...Option) (*kms.ListKeyRotationsAnswer, error) {
	return do[kms.ListKeyRotationsAnswer](ctx, c, kms.OpListKeyRotations, r, opts)
}

// GetParametersForImport returns a wrapping key and an import token.
func (c *Client) GetParametersForImport(ctx context.Context, r *kms.GetParametersForImportRequest, opts ...Option) (*kms.GetParametersForImportAnswer, error) {
	return do[kms.GetParametersForImportAnswer](ctx, c, kms.OpGetParametersForImport, r, opts)
}

// ImportKeyMaterial brings wrapped key material into a key.
func (c *Client) ImportKeyMaterial(ctx context.Context, r *kms.ImportKeyMaterialRequest, opts ...Option) (*kms.KeyMaterialAnswer, error) {
	return do[kms.KeyMaterialAnswer](ctx, c, kms.OpImportKeyMaterial, r, opts)
}

// DeleteImportedKeyMaterial deletes imported key material.
func (c *Client) DeleteImportedKeyMaterial(ctx context.Context, r *kms.DeleteImportedKeyMaterialRequest, opts ...Option) (*kms.KeyMaterialAnswer, error) {
	return do[kms.KeyMaterialAnswer](ctx, c, kms.OpDeleteImportedKeyMaterial, r, opts)
}

// ReplicateKey makes a replica of a multi-Region key in another region.
func (c *Client) ReplicateKey(ctx context.Context, r *kms.ReplicateKeyRequest, opts ...Option) (*kms.ReplicateKeyAnswer, error) {
	return do[kms.ReplicateKeyAnswer](ctx, c, kms.OpReplicateKey, r, opts)
}

// UpdatePrimaryRegion makes a replica of a multi-Region key its primary key.
func (c *Client) UpdatePrimaryRegion(ctx context.Context, r *kms.UpdatePrimaryRegionRequest, opts ...Option) (*kms.KeyAnswer, error) {
	return do[kms.KeyAnswer](ctx, c, kms.OpUpdatePrimaryRegion, r, opts)
}

// CreateGrant lets a principal use a key.
func (c *Client) CreateGrant(ctx context.Context, r *kms.CreateGrantRequest, opts ...Option) (*kms.CreateGrantAnswer, error) {
	return do[kms.CreateGrantAnswer](ctx, c, kms.OpCreateGrant, r, opts)
}

// ListGrants returns one page of a key's grants.
func (c *Client) ListGrants(ctx context.Context, r *kms.ListGrantsRequest, opts ...Option) (*kms.ListGrantsAnswer, error) {
	return do[kms.ListGrantsAnswer](ctx, c, kms.OpListGrants, r, opts)
}

// ListRetirableGrants returns one page of the grants that a principal may retire.
func (c *Client) ListRetirableGrants(ctx context.Context, r *kms.ListRetirableGrantsRequest, opts ...Option) (*kms.ListGrantsAnswer, error) {
	return do[kms.ListGrantsAnswer](ctx, c, kms.OpListRetirableGrants, r, opts)
}

// RevokeGrant ends a grant of a key.
func (c *Client) RevokeGrant(ctx context.Context, r *kms.RevokeGrantRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpRevokeGrant, r, opts)
	return err
}

// RetireGrant ends a grant, by its token or by key and id.
func (c *Client) RetireGrant(ctx context.Context, r *kms.RetireGrantRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpRetireGrant, r, opts)
	return err
}

// CreateAlias gives a key another name.
func (c *Client) CreateAlias(ctx context.Context, r *kms.CreateAliasRequest, opts ...Option) (*kms.AliasAnswer, error) {
	return do[kms.AliasAnswer](ctx, c, kms.OpCreateAlias, r, opts)
}

// UpdateAlias moves an alias. The name has the prefix "alias/" here too.
func (c *Client) UpdateAlias(ctx context.Context, r *kms.UpdateAliasRequest, opts ...Option) (*kms.AliasAnswer, error) {
	return do[kms.AliasAnswer](ctx, c, kms.OpUpdateAlias, r, opts)
}

// DeleteAlias deletes an alias. The name has the prefix "alias/" here too.
func (c *Client) DeleteAlias(ctx context.Context, r *kms.DeleteAliasRequest, opts ...Option) error {
	_, err := do[kms.Empty](ctx, c, kms.OpDeleteAlias, r, opts)
	return err
}

// ListAliases returns one page of aliases.
func (c *Client) ListAliases(ctx context.Context, r *kms.ListAliasesRequest, opts ...Option) (*kms.ListAliasesAnswer, error) {
	return do[kms.ListAliasesAnswer](ctx, c, kms.OpListAliases, r, opts)
}
