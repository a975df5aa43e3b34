package awskms

import (
	"maps"
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
)

const defaultWindow = 30 // days

func keyActions() []*action {
	return []*action{
		bind(kms.OpCreateKey, createKey, func(_ *kms.CreateKeyRequest, a *kms.KeyAnswer) *keyOutput { return describe(a) }),
		bind(kms.OpDescribeKey,
			func(in *describeKeyInput) (*kms.DescribeKeyRequest, error) {
				return &kms.DescribeKeyRequest{KeyID: in.KeyID, GrantTokens: in.GrantTokens}, nil
			},
			func(_ *kms.DescribeKeyRequest, a *kms.KeyAnswer) *keyOutput { return describe(a) }),
		bind(kms.OpListKeys,
			func(in *listInput) (*kms.ListRequest, error) {
				return &kms.ListRequest{Limit: number(in.Limit), Marker: in.Marker}, nil
			},
			func(_ *kms.ListRequest, a *kms.ListKeysAnswer) *keysOutput {
				return &keysOutput{Keys: each(a.Keys, func(k kms.KeyEntry) keyEntry { return keyEntry{KeyID: k.KeyID, KeyARN: k.ARN} }),
					NextMarker: a.NextMarker, Truncated: a.NextMarker != ""}
			}),
		bind(kms.OpEnableKey, oneKey, nothing[kms.KeyRequest, kms.KeyAnswer]),
		bind(kms.OpDisableKey, oneKey, nothing[kms.KeyRequest, kms.KeyAnswer]),
		bind(kms.OpScheduleKeyDeletion,
			func(in *scheduleInput) (*kms.ScheduleKeyDeletionRequest, error) {
				return &kms.ScheduleKeyDeletionRequest{KeyID: in.KeyID, PendingWindowInDays: in.PendingWindowInDays}, nil
			}, scheduled),
		bind(kms.OpCancelKeyDeletion, oneKey, keyID),
		bind(kms.OpUpdateKeyDescription,
			func(in *descriptionInput) (*kms.UpdateKeyDescriptionRequest, error) {
				return &kms.UpdateKeyDescriptionRequest{KeyID: in.KeyID, Description: in.Description}, nil
			}, nothing[kms.UpdateKeyDescriptionRequest, kms.KeyAnswer]),
		bind(kms.OpGetKeyLastUsage, oneKey,
			func(_ *kms.KeyRequest, a *kms.KeyLastUsageAnswer) *lastUsageOutput {
				out := &lastUsageOutput{KeyID: a.KeyID, TrackingStartDate: at(a.TrackingStartDate), KeyCreationDate: at(a.KeyCreationDate)}
				if u := a.LastUse; u != nil {
					out.KeyLastUsage = &lastUsage{Operation: u.Operation, Timestamp: at(u.At), CloudTrailEventID: u.EventID, KmsRequestID: u.RequestID}
				}
				return out
			}),
		bind(kms.OpGetKeyPolicy,
			func(in *getPolicyInput) (*kms.KeyRequest, error) {
				return &kms.KeyRequest{KeyID: in.KeyID}, checkPolicyName(in.PolicyName)
			},
			func(_ *kms.KeyRequest, a *kms.GetKeyPolicyAnswer) *policyOutput {
				return &policyOutput{Policy: a.Policy, PolicyName: a.PolicyName}
			}),
		bind(kms.OpPutKeyPolicy,
			func(in *putPolicyInput) (*kms.PutKeyPolicyRequest, error) {
				return &kms.PutKeyPolicyRequest{KeyID: in.KeyID, PolicyName: in.PolicyName, Policy: kms.PolicyDocument(in.Policy),
					BypassPolicyLockoutSafetyCheck: in.BypassPolicyLockoutSafetyCheck}, nil
			}, nothing[kms.PutKeyPolicyRequest, kms.GetKeyPolicyAnswer]),
		bind(kms.OpListKeyPolicies,
			func(in *keyListInput) (*kms.KeyListRequest, error) {
				return &kms.KeyListRequest{KeyID: in.KeyID, Limit: number(in.Limit), Marker: in.Marker}, nil
			},
			func(_ *kms.KeyListRequest, a *kms.ListKeyPoliciesAnswer) *policiesOutput {
				return &policiesOutput{PolicyNames: a.PolicyNames, NextMarker: a.NextMarker, Truncated: a.NextMarker != ""}
			}),
		bind(kms.OpTagResource,
			func(in *tagInput) (*kms.TagResourceRequest, error) {
				tags, err := tagMap(in.Tags)
				return &kms.TagResourceRequest{KeyID: in.KeyID, Tags: tags}, err
			}, nothing[kms.TagResourceRequest, kms.Empty]),
		bind(kms.OpUntagResource,
			func(in *untagInput) (*kms.UntagResourceRequest, error) {
				return &kms.UntagResourceRequest{KeyID: in.KeyID, TagKeys: in.TagKeys}, nil
			}, nothing[kms.UntagResourceRequest, kms.Empty]),
		bind(kms.OpListResourceTags,
			func(in *tagsInput) (*kms.KeyListRequest, error) {
				return &kms.KeyListRequest{KeyID: in.KeyID, Limit: number(in.Limit), Marker: in.Marker}, nil
			},
			func(_ *kms.KeyListRequest, a *kms.ListResourceTagsAnswer) *tagsOutput {
				return &tagsOutput{Tags: each(a.Tags, func(t kms.Tag) tag { return tag{TagKey: t.Key, TagValue: t.Value} }),
					NextMarker: a.NextMarker, Truncated: a.NextMarker != ""}
			}),
		bind(kms.OpReplicateKey,
			func(in *replicateInput) (*kms.ReplicateKeyRequest, error) {
				tags, err := tagMap(in.Tags)
				return &kms.ReplicateKeyRequest{KeyID: in.KeyID, ReplicaRegion: in.ReplicaRegion, Description: in.Description,
					Policy: kms.PolicyDocument(in.Policy), Tags: tags, BypassPolicyLockoutSafetyCheck: in.BypassPolicyLockoutSafetyCheck}, err
			},
			func(_ *kms.ReplicateKeyRequest, a *kms.ReplicateKeyAnswer) *replicateOutput {
				return &replicateOutput{ReplicaKeyMetadata: metadata(&a.Key), ReplicaPolicy: a.Policy, ReplicaTags: tagList(a.Tags)}
			}),
		bind(kms.OpUpdatePrimaryRegion,
			func(in *primaryInput) (*kms.UpdatePrimaryRegionRequest, error) {
				return &kms.UpdatePrimaryRegionRequest{KeyID: in.KeyID, PrimaryRegion: in.PrimaryRegion}, nil
			}, nothing[kms.UpdatePrimaryRegionRequest, kms.KeyAnswer]),
	}
}

// materialActions are those on a key's material: rotation and import.
func materialActions() []*action {
	return []*action{
		bind(kms.OpEnableKeyRotation,
			func(in *rotationInput) (*kms.EnableKeyRotationRequest, error) {
				return &kms.EnableKeyRotationRequest{KeyID: in.KeyID, RotationPeriodInDays: in.RotationPeriodInDays}, nil
			}, nothing[kms.EnableKeyRotationRequest, kms.KeyRotationStatusAnswer]),
		bind(kms.OpDisableKeyRotation, oneKey, nothing[kms.KeyRequest, kms.KeyRotationStatusAnswer]),
		bind(kms.OpGetKeyRotationStatus, oneKey,
			func(_ *kms.KeyRequest, a *kms.KeyRotationStatusAnswer) *rotationOutput {
				return &rotationOutput{KeyRotationEnabled: a.KeyRotationEnabled, KeyID: a.KeyID,
					RotationPeriodInDays: a.RotationPeriodInDays, NextRotationDate: maybe(a.NextRotationDate)}
			}),
		bind(kms.OpRotateKeyOnDemand, oneKey, keyID),
		bind(kms.OpListKeyRotations,
			func(in *rotationsInput) (*kms.ListKeyRotationsRequest, error) {
				return &kms.ListKeyRotationsRequest{KeyID: in.KeyID, IncludeKeyMaterial: string(in.IncludeKeyMaterial),
					Limit: number(in.Limit), Marker: in.Marker}, nil
			},
			func(_ *kms.ListKeyRotationsRequest, a *kms.ListKeyRotationsAnswer) *rotationsOutput {
				return &rotationsOutput{Rotations: each(a.Rotations, rotation), NextMarker: a.NextMarker, Truncated: a.NextMarker != ""}
			}),
		bind(kms.OpGetParametersForImport,
			func(in *parametersInput) (*kms.GetParametersForImportRequest, error) {
				return &kms.GetParametersForImportRequest{KeyID: in.KeyID, WrappingAlgorithm: in.WrappingAlgorithm,
					WrappingKeySpec: kms.KeySpec(in.WrappingKeySpec)}, nil
			},
			func(_ *kms.GetParametersForImportRequest, a *kms.GetParametersForImportAnswer) *parametersOutput {
				return &parametersOutput{KeyID: a.KeyID, ImportToken: a.ImportToken, PublicKey: a.PublicKey, ParametersValidTo: at(a.ParametersValidTo)}
			}),
		bind(kms.OpImportKeyMaterial,
			func(in *importInput) (*kms.ImportKeyMaterialRequest, error) {
				return &kms.ImportKeyMaterialRequest{KeyID: in.KeyID, ImportToken: in.ImportToken, EncryptedKeyMaterial: in.EncryptedKeyMaterial,
					ExpirationModel: in.ExpirationModel, ValidTo: in.ValidTo.time(), ImportType: in.ImportType,
					KeyMaterialID: in.KeyMaterialID, KeyMaterialDescription: in.KeyMaterialDescription}, nil
			},
			func(_ *kms.ImportKeyMaterialRequest, a *kms.KeyMaterialAnswer) *materialOutput {
				return (*materialOutput)(a)
			}),
		bind(kms.OpDeleteImportedKeyMaterial,
			func(in *materialInput) (*kms.DeleteImportedKeyMaterialRequest, error) {
				return &kms.DeleteImportedKeyMaterialRequest{KeyID: in.KeyID, KeyMaterialID: in.KeyMaterialID}, nil
			},
			func(_ *kms.DeleteImportedKeyMaterialRequest, a *kms.KeyMaterialAnswer) *materialOutput {
				return (*materialOutput)(a)
			}),
	}
}

func createKey(in *createKeyInput) (*kms.CreateKeyRequest, error) {
	spec := in.KeySpec
	switch {
	case spec != "" && in.CustomerMasterKeySpec != "" && spec != in.CustomerMasterKeySpec:
		return nil, kms.Errorf(kms.CodeValidation, "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	case spec == "":
		spec = in.CustomerMasterKeySpec
	}
	tags, err := tagMap(in.Tags)
	return &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: in.KeyUsage, Description: in.Description, Origin: in.Origin, MultiRegion: in.MultiRegion,
		Tags: tags, CustomKeyStoreID: in.CustomKeyStoreID, XksKeyID: in.XksKeyID, Policy: kms.PolicyDocument(in.Policy), BypassPolicyLockoutSafetyCheck: in.BypassPolicyLockoutSafetyCheck}, err
}

// checkPolicyName refuses every name but that of the one policy that a key has.
func checkPolicyName(name string) error {
	if name != "" && name != "default" {
		return kms.Errorf(kms.CodeNotFound, "No such policy exists")
	}
	return nil
}

func oneKey(in *keyInput) (*kms.KeyRequest, error) { return &kms.KeyRequest{KeyID: in.KeyID}, nil }

// nothing is the answer of operations that answer nothing at AWS.
func nothing[Q, A any](*Q, *A) *empty { return &empty{} }

func keyID(_ *kms.KeyRequest, a *kms.KeyAnswer) *keyIDOutput { return &keyIDOutput{KeyID: a.Key.ARN} }

func scheduled(q *kms.ScheduleKeyDeletionRequest, a *kms.KeyAnswer) *scheduleOutput {
	out := &scheduleOutput{KeyID: a.Key.ARN, DeletionDate: maybe(a.Key.DeletionDate), KeyState: a.Key.KeyState, PendingWindowInDays: defaultWindow}
	if q.PendingWindowInDays != nil {
		out.PendingWindowInDays = *q.PendingWindowInDays
	}
	return out
}

func describe(a *kms.KeyAnswer) *keyOutput { return &keyOutput{KeyMetadata: metadata(&a.Key)} }

func metadata(k *kms.KeyMetadata) keyMetadata {
	m := keyMetadata{
		AWSAccountID: k.AccountID, KeyID: k.KeyID, ARN: k.ARN, CreationDate: at(k.CreatedAt), Enabled: k.Enabled, Description: k.Description,
		KeyUsage: k.KeyUsage, KeyState: k.KeyState, DeletionDate: maybe(k.DeletionDate), ValidTo: maybe(k.ValidTo), Origin: k.Origin,
		ExpirationModel: k.ExpirationModel, KeyManager: k.KeyManager, CustomerMasterKeySpec: masterKeySpec(k.KeySpec), KeySpec: k.KeySpec,
		EncryptionAlgorithms: k.EncryptionAlgorithms, SigningAlgorithms: k.SigningAlgorithms, KeyAgreementAlgorithms: k.KeyAgreementAlgorithms,
		EncapsulationAlgorithms: k.EncapsulationAlgorithms, MacAlgorithms: k.MacAlgorithms, MultiRegion: k.MultiRegion,
		PendingDeletionWindowInDays: k.PendingDeletionWindowInDays, CurrentKeyMaterialID: k.CurrentKeyMaterialID,
	}
	if c := k.MultiRegionConfiguration; c != nil {
		m.MultiRegionConfiguration = &multiRegion{MultiRegionKeyType: c.MultiRegionKeyType, PrimaryKey: regionalKey(c.PrimaryKey),
			ReplicaKeys: each(c.ReplicaKeys, func(k kms.RegionalKey) regionalKey { return regionalKey(k) })}
	}
	return m
}

// masterKeySpec is the deprecated name of a key spec: newer specs have none.
func masterKeySpec(spec kms.KeySpec) kms.KeySpec {
	switch spec {
	case kms.ECCNISTEdwards25519, kms.MLDSA44, kms.MLDSA65, kms.MLDSA87, kms.MLKEM512, kms.MLKEM768, kms.MLKEM1024:
		return ""
	}
	return spec
}

func rotation(r kms.RotationEntry) rotationEntry {
	return rotationEntry{KeyID: r.KeyID, KeyMaterialID: r.KeyMaterialID, KeyMaterialDescription: r.KeyMaterialDescription, ImportState: r.ImportState,
		KeyMaterialState: r.KeyMaterialState, ExpirationModel: r.ExpirationModel, ValidTo: maybe(r.ValidTo), RotationDate: maybe(r.RotationDate), RotationType: r.RotationType}
}

// tagMap makes a map of tags that keep their constraints. A key that is given twice is refused: one of the two values
// would be lost.
func tagMap(list []tagMember) (map[string]string, error) {
	if list == nil {
		return nil, nil
	}
	tags := make(map[string]string, len(list))
	for _, t := range list {
		if _, twice := tags[*t.TagKey]; twice {
			return nil, kms.Errorf(kms.CodeInvalidTag, "Duplicate tag keys")
		}
		tags[*t.TagKey] = *t.TagValue
	}
	return tags, nil
}

func tagList(tags map[string]string) []tag {
	list := make([]tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag{TagKey: key, TagValue: tags[key]})
	}
	return list
}

// number is a number that may be absent: 0 then, which stands for the default.
func number(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// each converts the members of a list; the result is never nil.
func each[A, B any](list []A, convert func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = convert(a)
	}
	return out
}
