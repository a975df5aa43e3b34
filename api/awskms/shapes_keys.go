package awskms

import "github.com/lockstep-kms/lockstep/kms"

// tagMember is a tag that is sent. Its members are pointers, since inside of a list the body is not asked what is absent.
type tagMember struct {
	TagKey   *string `json:"TagKey" aws:"TagKey,required"`
	TagValue *string `json:"TagValue" aws:"TagValue,required"`
}

// tag is a tag that is answered.
type tag struct {
	TagKey   string `json:"TagKey"`
	TagValue string `json:"TagValue"`
}

// Input shapes about keys: what they are, their lifecycle, policies, tags and material.
type (
	keyInput struct {
		KeyID string `json:"KeyId" aws:",required,key"`
	}

	createKeyInput struct {
		Policy                         string       `json:"Policy" aws:"Policy"`
		Description                    string       `json:"Description" aws:"Description"`
		KeyUsage                       kms.KeyUsage `json:"KeyUsage"`
		CustomerMasterKeySpec          kms.KeySpec  `json:"CustomerMasterKeySpec"`
		KeySpec                        kms.KeySpec  `json:"KeySpec"`
		Origin                         kms.Origin   `json:"Origin"`
		CustomKeyStoreID               string       `json:"CustomKeyStoreId" aws:"StoreID"`
		BypassPolicyLockoutSafetyCheck bool         `json:"BypassPolicyLockoutSafetyCheck"`
		Tags                           []tagMember  `json:"Tags"`
		MultiRegion                    bool         `json:"MultiRegion"`
		XksKeyID                       string       `json:"XksKeyId" aws:"XksKey"`
	}

	describeKeyInput struct {
		KeyID       string   `json:"KeyId" aws:",required,anykey"`
		GrantTokens []string `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
	}

	listInput struct {
		Limit  *int   `json:"Limit" aws:"Page1000"`
		Marker string `json:"Marker" aws:"Marker"`
	}

	scheduleInput struct {
		KeyID               string `json:"KeyId" aws:",required,key"`
		PendingWindowInDays *int   `json:"PendingWindowInDays" aws:"Window"`
	}

	descriptionInput struct {
		KeyID       string `json:"KeyId" aws:",required,key"`
		Description string `json:"Description" aws:"Description,required"`
	}

	getPolicyInput struct {
		KeyID      string `json:"KeyId" aws:",required,key"`
		PolicyName string `json:"PolicyName" aws:"PolicyName"`
	}

	putPolicyInput struct {
		KeyID                          string `json:"KeyId" aws:",required,key"`
		PolicyName                     string `json:"PolicyName" aws:"PolicyName"`
		Policy                         string `json:"Policy" aws:"Policy,required"`
		BypassPolicyLockoutSafetyCheck bool   `json:"BypassPolicyLockoutSafetyCheck"`
	}

	keyListInput struct {
		KeyID  string `json:"KeyId" aws:",required,key"`
		Limit  *int   `json:"Limit" aws:"Page1000"`
		Marker string `json:"Marker" aws:"Marker"`
	}

	tagsInput struct {
		KeyID  string `json:"KeyId" aws:",required,key"`
		Limit  *int   `json:"Limit" aws:"Page50"`
		Marker string `json:"Marker" aws:"Marker"`
	}

	tagInput struct {
		KeyID string      `json:"KeyId" aws:",required,key"`
		Tags  []tagMember `json:"Tags" aws:",required"`
	}

	untagInput struct {
		KeyID   string   `json:"KeyId" aws:",required,key"`
		TagKeys []string `json:"TagKeys" aws:",required,each=TagKey"`
	}

	rotationInput struct {
		KeyID                string `json:"KeyId" aws:",required,key"`
		RotationPeriodInDays *int   `json:"RotationPeriodInDays" aws:"Rotation"`
	}

	rotationsInput struct {
		KeyID              string             `json:"KeyId" aws:",required,key"`
		IncludeKeyMaterial includeKeyMaterial `json:"IncludeKeyMaterial"`
		Limit              *int               `json:"Limit" aws:"Page1000"`
		Marker             string             `json:"Marker" aws:"Marker"`
	}

	parametersInput struct {
		KeyID             string                `json:"KeyId" aws:",required,key"`
		WrappingAlgorithm kms.WrappingAlgorithm `json:"WrappingAlgorithm" aws:",required"`
		WrappingKeySpec   wrappingKeySpec       `json:"WrappingKeySpec" aws:",required"`
	}

	importInput struct {
		KeyID                  string              `json:"KeyId" aws:",required,key"`
		ImportToken            []byte              `json:"ImportToken" aws:"Blob,required"`
		EncryptedKeyMaterial   []byte              `json:"EncryptedKeyMaterial" aws:"Blob,required"`
		ValidTo                epoch               `json:"ValidTo"`
		ExpirationModel        kms.ExpirationModel `json:"ExpirationModel"`
		ImportType             kms.ImportType      `json:"ImportType"`
		KeyMaterialDescription string              `json:"KeyMaterialDescription" aws:"MaterialNote"`
		KeyMaterialID          string              `json:"KeyMaterialId" aws:"Material"`
	}

	materialInput struct {
		KeyID         string `json:"KeyId" aws:",required,key"`
		KeyMaterialID string `json:"KeyMaterialId" aws:"Material"`
	}

	replicateInput struct {
		KeyID                          string      `json:"KeyId" aws:",required,key"`
		ReplicaRegion                  string      `json:"ReplicaRegion" aws:"Region,required"`
		Policy                         string      `json:"Policy" aws:"Policy"`
		BypassPolicyLockoutSafetyCheck bool        `json:"BypassPolicyLockoutSafetyCheck"`
		Description                    string      `json:"Description" aws:"Description"`
		Tags                           []tagMember `json:"Tags"`
	}

	primaryInput struct {
		KeyID         string `json:"KeyId" aws:",required,key"`
		PrimaryRegion string `json:"PrimaryRegion" aws:"Region,required"`
	}
)

// Output shapes about keys. What belongs to key stores outside the cluster is never set.
type (
	empty struct{}

	keyMetadata struct {
		AWSAccountID                string                       `json:"AWSAccountId,omitempty"`
		KeyID                       string                       `json:"KeyId,omitempty"`
		ARN                         string                       `json:"Arn,omitempty"`
		CreationDate                epoch                        `json:"CreationDate,omitzero"`
		Enabled                     bool                         `json:"Enabled"`
		Description                 string                       `json:"Description"`
		KeyUsage                    kms.KeyUsage                 `json:"KeyUsage,omitempty"`
		KeyState                    kms.KeyState                 `json:"KeyState,omitempty"`
		DeletionDate                epoch                        `json:"DeletionDate,omitzero"`
		ValidTo                     epoch                        `json:"ValidTo,omitzero"`
		Origin                      kms.Origin                   `json:"Origin,omitempty"`
		CustomKeyStoreID            string                       `json:"CustomKeyStoreId,omitempty"`
		CloudHsmClusterID           string                       `json:"CloudHsmClusterId,omitempty"`
		ExpirationModel             kms.ExpirationModel          `json:"ExpirationModel,omitempty"`
		KeyManager                  kms.KeyManager               `json:"KeyManager,omitempty"`
		CustomerMasterKeySpec       kms.KeySpec                  `json:"CustomerMasterKeySpec,omitempty"`
		KeySpec                     kms.KeySpec                  `json:"KeySpec,omitempty"`
		EncryptionAlgorithms        []kms.EncryptionAlgorithm    `json:"EncryptionAlgorithms,omitempty"`
		SigningAlgorithms           []kms.SigningAlgorithm       `json:"SigningAlgorithms,omitempty"`
		KeyAgreementAlgorithms      []kms.KeyAgreementAlgorithm  `json:"KeyAgreementAlgorithms,omitempty"`
		EncapsulationAlgorithms     []kms.EncapsulationAlgorithm `json:"EncapsulationAlgorithms,omitempty"`
		MacAlgorithms               []kms.MacAlgorithm           `json:"MacAlgorithms,omitempty"`
		MultiRegion                 bool                         `json:"MultiRegion"`
		MultiRegionConfiguration    *multiRegion                 `json:"MultiRegionConfiguration,omitempty"`
		PendingDeletionWindowInDays int32                        `json:"PendingDeletionWindowInDays,omitzero"`
		XksKeyConfiguration         *xksKey                      `json:"XksKeyConfiguration,omitempty"`
		CurrentKeyMaterialID        string                       `json:"CurrentKeyMaterialId,omitempty"`
	}

	xksKey struct {
		ID string `json:"Id,omitempty"`
	}

	multiRegion struct {
		MultiRegionKeyType string        `json:"MultiRegionKeyType,omitempty"`
		PrimaryKey         regionalKey   `json:"PrimaryKey"`
		ReplicaKeys        []regionalKey `json:"ReplicaKeys"`
	}

	regionalKey struct {
		ARN    string `json:"Arn,omitempty"`
		Region string `json:"Region,omitempty"`
	}

	keyOutput struct {
		KeyMetadata keyMetadata `json:"KeyMetadata"`
	}

	keyIDOutput struct {
		KeyID string `json:"KeyId,omitempty"`
	}

	scheduleOutput struct {
		KeyID               string       `json:"KeyId,omitempty"`
		DeletionDate        epoch        `json:"DeletionDate,omitzero"`
		KeyState            kms.KeyState `json:"KeyState,omitempty"`
		PendingWindowInDays int          `json:"PendingWindowInDays,omitzero"`
	}

	keysOutput struct {
		Keys       []keyEntry `json:"Keys"`
		NextMarker string     `json:"NextMarker,omitempty"`
		Truncated  bool       `json:"Truncated"`
	}

	keyEntry struct {
		KeyID  string `json:"KeyId,omitempty"`
		KeyARN string `json:"KeyArn,omitempty"`
	}

	lastUsageOutput struct {
		KeyID             string     `json:"KeyId,omitempty"`
		KeyLastUsage      *lastUsage `json:"KeyLastUsage,omitempty"`
		TrackingStartDate epoch      `json:"TrackingStartDate,omitzero"`
		KeyCreationDate   epoch      `json:"KeyCreationDate,omitzero"`
	}

	lastUsage struct {
		Operation         string `json:"Operation,omitempty"`
		Timestamp         epoch  `json:"Timestamp,omitzero"`
		CloudTrailEventID string `json:"CloudTrailEventId,omitempty"`
		KmsRequestID      string `json:"KmsRequestId,omitempty"`
	}

	policyOutput struct {
		Policy     string `json:"Policy,omitempty"`
		PolicyName string `json:"PolicyName,omitempty"`
	}

	policiesOutput struct {
		PolicyNames []string `json:"PolicyNames"`
		NextMarker  string   `json:"NextMarker,omitempty"`
		Truncated   bool     `json:"Truncated"`
	}

	tagsOutput struct {
		Tags       []tag  `json:"Tags"`
		NextMarker string `json:"NextMarker,omitempty"`
		Truncated  bool   `json:"Truncated"`
	}

	// rotationOutput has OnDemandRotationStartDate only while a rotation is under way, which here it never is.
	rotationOutput struct {
		KeyRotationEnabled        bool   `json:"KeyRotationEnabled"`
		KeyID                     string `json:"KeyId,omitempty"`
		RotationPeriodInDays      int    `json:"RotationPeriodInDays,omitzero"`
		NextRotationDate          epoch  `json:"NextRotationDate,omitzero"`
		OnDemandRotationStartDate epoch  `json:"OnDemandRotationStartDate,omitzero"`
	}

	rotationsOutput struct {
		Rotations  []rotationEntry `json:"Rotations"`
		NextMarker string          `json:"NextMarker,omitempty"`
		Truncated  bool            `json:"Truncated"`
	}

	rotationEntry struct {
		KeyID                  string              `json:"KeyId,omitempty"`
		KeyMaterialID          string              `json:"KeyMaterialId,omitempty"`
		KeyMaterialDescription string              `json:"KeyMaterialDescription,omitempty"`
		ImportState            string              `json:"ImportState,omitempty"`
		KeyMaterialState       string              `json:"KeyMaterialState,omitempty"`
		ExpirationModel        kms.ExpirationModel `json:"ExpirationModel,omitempty"`
		ValidTo                epoch               `json:"ValidTo,omitzero"`
		RotationDate           epoch               `json:"RotationDate,omitzero"`
		RotationType           kms.RotationType    `json:"RotationType,omitempty"`
	}

	parametersOutput struct {
		KeyID             string `json:"KeyId,omitempty"`
		ImportToken       []byte `json:"ImportToken,omitempty"`
		PublicKey         []byte `json:"PublicKey,omitempty"`
		ParametersValidTo epoch  `json:"ParametersValidTo,omitzero"`
	}

	materialOutput struct {
		KeyID         string `json:"KeyId,omitempty"`
		KeyMaterialID string `json:"KeyMaterialId,omitempty"`
	}

	replicateOutput struct {
		ReplicaKeyMetadata keyMetadata `json:"ReplicaKeyMetadata"`
		ReplicaPolicy      string      `json:"ReplicaPolicy,omitempty"`
		ReplicaTags        []tag       `json:"ReplicaTags"`
	}
)
