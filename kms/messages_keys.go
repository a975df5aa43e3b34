package kms

import "time"

// Requests and answers about keys: what they are, their lifecycle, material, policies, tags and grants.
type (
	// CreateKeyRequest asks for a new key. Empty fields mean AWS's defaults.
	CreateKeyRequest struct {
		KeySpec                        KeySpec           `json:"key_spec,omitempty"`
		KeyUsage                       KeyUsage          `json:"key_usage,omitempty"`
		Description                    string            `json:"description,omitempty"`
		Origin                         Origin            `json:"origin,omitempty"`
		MultiRegion                    bool              `json:"multi_region,omitempty"`
		Tags                           map[string]string `json:"tags,omitempty"`
		Policy                         PolicyDocument    `json:"policy,omitempty"`
		BypassPolicyLockoutSafetyCheck bool              `json:"bypass_policy_lockout_safety_check,omitempty"`
		CustomKeyStoreID               string            `json:"custom_key_store_id,omitempty"` // refused: see messages_stores.go
		XksKeyID                       string            `json:"xks_key_id,omitempty"`          // likewise
	}

	// KeyRequest names one key by id, key ARN, alias name or alias ARN.
	KeyRequest struct {
		KeyID string `json:"-" path:"key"`
	}

	// DescribeKeyRequest is a KeyRequest with grant tokens.
	DescribeKeyRequest struct {
		KeyID       string   `json:"-" path:"key"`
		GrantTokens []string `json:"-" query:"grant_tokens"` // comma-separated
	}

	// RegionalKey names one key of a multi-Region key.
	RegionalKey struct {
		ARN    string `json:"arn"`
		Region string `json:"region"`
	}

	// MultiRegionConfiguration says what other keys share id and material with a multi-Region key.
	MultiRegionConfiguration struct {
		MultiRegionKeyType string        `json:"multi_region_key_type"` // PRIMARY or REPLICA
		PrimaryKey         RegionalKey   `json:"primary_key"`
		ReplicaKeys        []RegionalKey `json:"replica_keys"`
	}

	// UseEntry is the last successful use of a key by an operation or a caller.
	UseEntry struct {
		Operation    string    `json:"operation"`
		At           time.Time `json:"at"`
		EventID      string    `json:"event_id,omitempty"` // of the audit record
		RequestID    string    `json:"request_id,omitempty"`
		PrincipalARN string    `json:"principal_arn,omitempty"`
	}

	// KeyMetadata describes a key; times are UTC.
	KeyMetadata struct {
		KeyID       string     `json:"key_id"`
		ARN         string     `json:"arn"`
		AccountID   string     `json:"account_id"`
		Region      string     `json:"region"`
		KeyState    KeyState   `json:"key_state"`
		Enabled     bool       `json:"enabled"`
		KeySpec     KeySpec    `json:"key_spec"`
		KeyUsage    KeyUsage   `json:"key_usage"`
		Origin      Origin     `json:"origin"`
		KeyManager  KeyManager `json:"key_manager"`
		Description string     `json:"description"`
		MultiRegion bool       `json:"multi_region"`

		// Those of the key's usage; the others are absent.
		EncryptionAlgorithms    []EncryptionAlgorithm    `json:"encryption_algorithms,omitempty"`
		SigningAlgorithms       []SigningAlgorithm       `json:"signing_algorithms,omitempty"`
		MacAlgorithms           []MacAlgorithm           `json:"mac_algorithms,omitempty"`
		KeyAgreementAlgorithms  []KeyAgreementAlgorithm  `json:"key_agreement_algorithms,omitempty"`
		EncapsulationAlgorithms []EncapsulationAlgorithm `json:"encapsulation_algorithms,omitempty"`

		CurrentKeyMaterialID        string                    `json:"current_key_material_id,omitempty"` // 64 hex digits
		CreatedAt                   time.Time                 `json:"created_at"`
		DeletionDate                *time.Time                `json:"deletion_date,omitempty"`
		PendingDeletionWindowInDays int32                     `json:"pending_deletion_window_in_days,omitzero"` // while replicas are awaited
		ExpirationModel             ExpirationModel           `json:"expiration_model,omitempty"`
		ValidTo                     *time.Time                `json:"valid_to,omitempty"`
		MultiRegionConfiguration    *MultiRegionConfiguration `json:"multi_region_configuration,omitempty"`

		// What deleting the key would stop, where the answer tells it: DescribeKey and ScheduleKeyDeletion do.
		LastUse       *UseEntry  `json:"last_use,omitempty"`
		RecentCallers []UseEntry `json:"recent_callers,omitempty"` // latest first
	}

	// KeyAnswer is the answer of what creates, reads or changes one key.
	KeyAnswer struct {
		Key KeyMetadata `json:"key"`
	}

	// ListRequest pages through a listing. Limit 0 means the default.
	ListRequest struct {
		Limit  int    `json:"-" query:"limit"`
		Marker string `json:"-" query:"marker"`
	}

	// KeyEntry is one key of a listing.
	KeyEntry struct {
		KeyID string `json:"key_id"`
		ARN   string `json:"arn"`
	}

	// ListKeysAnswer is one page of keys; NextMarker is empty on the last one.
	ListKeysAnswer struct {
		Keys       []KeyEntry `json:"keys"`
		NextMarker string     `json:"next_marker,omitempty"`
	}

	// UpdateKeyDescriptionRequest replaces a key's description.
	UpdateKeyDescriptionRequest struct {
		KeyID       string `json:"-" path:"key"`
		Description string `json:"description"`
	}

	// ScheduleKeyDeletionRequest asks for a key's destruction after 7 to 30 days; nil means 30.
	ScheduleKeyDeletionRequest struct {
		KeyID               string `json:"-" path:"key"`
		PendingWindowInDays *int   `json:"pending_window_in_days,omitempty"`
	}

	// KeyLastUsageAnswer says when and by whom a key was last used since TrackingStartDate. LastUse is nil
	// for a key that was not.
	KeyLastUsageAnswer struct {
		KeyID             string     `json:"key_id"` // ARN
		KeyCreationDate   time.Time  `json:"key_creation_date"`
		TrackingStartDate time.Time  `json:"tracking_start_date"`
		LastUse           *UseEntry  `json:"last_use,omitempty"`
		Operations        []UseEntry `json:"operations"` // the last use by each operation, latest first
		RecentCallers     []UseEntry `json:"recent_callers"`
		SilentNodes       int        `json:"silent_nodes"` // nodes that did not tell what they have not written yet, an hour's at most
	}

	// GetKeyPolicyAnswer carries the policy document.
	GetKeyPolicyAnswer struct {
		KeyID      string `json:"key_id"` // ARN
		PolicyName string `json:"policy_name"`
		Policy     string `json:"policy"` // JSON text
	}

	// PutKeyPolicyRequest replaces a key's policy document.
	PutKeyPolicyRequest struct {
		KeyID                          string         `json:"-" path:"key"`
		PolicyName                     string         `json:"policy_name,omitempty"` // default
		Policy                         PolicyDocument `json:"policy"`
		BypassPolicyLockoutSafetyCheck bool           `json:"bypass_policy_lockout_safety_check,omitempty"`
	}

	// KeyListRequest pages through what belongs to one key.
	KeyListRequest struct {
		KeyID  string `json:"-" path:"key"`
		Limit  int    `json:"-" query:"limit"`
		Marker string `json:"-" query:"marker"`
	}

	// ListKeyPoliciesAnswer lists the names of a key's policies: there is one, default.
	ListKeyPoliciesAnswer struct {
		PolicyNames []string `json:"policy_names"`
		NextMarker  string   `json:"next_marker,omitempty"`
	}

	// TagResourceRequest sets tags of a key; tags of the same name are replaced.
	TagResourceRequest struct {
		KeyID string            `json:"-" path:"key"`
		Tags  map[string]string `json:"tags"`
	}

	// UntagResourceRequest takes tags off a key; a name that is not there is no error.
	UntagResourceRequest struct {
		KeyID   string   `json:"-" path:"key"`
		TagKeys []string `json:"tag_keys"`
	}

	// Tag is one tag of a listing.
	Tag struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}

	// ListResourceTagsAnswer is one page of a key's tags.
	ListResourceTagsAnswer struct {
		Tags       []Tag  `json:"tags"`
		NextMarker string `json:"next_marker,omitempty"`
	}

	// TagFilter matches what has a tag of that key with one of the values; with any value when there are none.
	TagFilter struct {
		Key    string   `json:"key"`
		Values []string `json:"values,omitempty"`
	}

	// GetResourcesRequest asks for the tagged keys of the account and region, as GetResources of the AWS Resource Groups
	// Tagging API does: those that all filters match, or those of the list, which stands alone. A page can be shorter
	// than its limit, even empty, and there is more all the same: only the answer's marker tells.
	GetResourcesRequest struct {
		TagFilters          []TagFilter `json:"tag_filters,omitempty"`           // at most 50, of 20 values each
		ResourceTypeFilters []string    `json:"resource_type_filters,omitempty"` // kms and kms:key are what there is
		ResourceARNList     []string    `json:"resource_arn_list,omitempty"`     // at most 100
		ResourcesPerPage    int         `json:"limit,omitempty"`                 // 1 to 100; 0 means 50
		TagsPerPage         int         `json:"tags_per_page,omitempty"`         // 100 to 500; 0 means no bound
		PaginationToken     string      `json:"marker,omitempty"`
	}

	// ResourceTagMapping is a key and its tags.
	ResourceTagMapping struct {
		ResourceARN string `json:"resource_arn"`
		Tags        []Tag  `json:"tags"`
	}

	// GetResourcesAnswer is one page of tagged keys.
	GetResourcesAnswer struct {
		ResourceTagMappingList []ResourceTagMapping `json:"resources"`
		PaginationToken        string               `json:"next_marker,omitempty"`
	}
)

// Requests and answers of rotation, import and multi-Region keys.
type (
	// EnableKeyRotationRequest turns automatic rotation on, every 90 to 2560 days; nil means 365.
	EnableKeyRotationRequest struct {
		KeyID                string `json:"-" path:"key"`
		RotationPeriodInDays *int   `json:"rotation_period_in_days,omitempty"`
	}

	// KeyRotationStatusAnswer says how a key is rotated.
	KeyRotationStatusAnswer struct {
		KeyID                string     `json:"key_id"` // ARN
		KeyRotationEnabled   bool       `json:"key_rotation_enabled"`
		RotationPeriodInDays int        `json:"rotation_period_in_days,omitzero"`
		NextRotationDate     *time.Time `json:"next_rotation_date,omitempty"`
		OnDemandRotations    int        `json:"on_demand_rotations"` // of the 25 that a key can have
	}

	// ListKeyRotationsRequest pages through a key's rotations, or through all of its materials.
	ListKeyRotationsRequest struct {
		KeyID              string `json:"-" path:"key"`
		IncludeKeyMaterial string `json:"-" query:"include_key_material"` // ROTATIONS_ONLY (default) or ALL_KEY_MATERIAL
		Limit              int    `json:"-" query:"limit"`
		Marker             string `json:"-" query:"marker"`
	}

	// RotationEntry is one material of a key.
	RotationEntry struct {
		KeyID                  string          `json:"key_id"` // ARN
		KeyMaterialID          string          `json:"key_material_id"`
		KeyMaterialState       string          `json:"key_material_state"`
		KeyMaterialDescription string          `json:"key_material_description,omitempty"`
		RotationDate           *time.Time      `json:"rotation_date,omitempty"`
		RotationType           RotationType    `json:"rotation_type,omitempty"`
		ImportState            string          `json:"import_state,omitempty"` // IMPORTED or PENDING_IMPORT, of imported material
		ExpirationModel        ExpirationModel `json:"expiration_model,omitempty"`
		ValidTo                *time.Time      `json:"valid_to,omitempty"`
	}

	// ListKeyRotationsAnswer is one page of rotations, oldest first.
	ListKeyRotationsAnswer struct {
		Rotations  []RotationEntry `json:"rotations"`
		NextMarker string          `json:"next_marker,omitempty"`
	}

	// GetParametersForImportRequest asks for a wrapping key.
	GetParametersForImportRequest struct {
		KeyID             string            `json:"-" path:"key"`
		WrappingAlgorithm WrappingAlgorithm `json:"wrapping_algorithm"`
		WrappingKeySpec   KeySpec           `json:"wrapping_key_spec"`
	}

	// GetParametersForImportAnswer carries the public wrapping key, SPKI in DER, and the token that belongs to it.
	GetParametersForImportAnswer struct {
		KeyID             string    `json:"key_id"` // ARN
		ImportToken       []byte    `json:"import_token"`
		PublicKey         []byte    `json:"public_key"`
		ParametersValidTo time.Time `json:"parameters_valid_to"`
	}

	// ImportKeyMaterialRequest brings wrapped key material into a key of origin EXTERNAL.
	ImportKeyMaterialRequest struct {
		KeyID                  string          `json:"-" path:"key"`
		ImportToken            []byte          `json:"import_token"`
		EncryptedKeyMaterial   []byte          `json:"encrypted_key_material"`
		ExpirationModel        ExpirationModel `json:"expiration_model,omitempty"` // KEY_MATERIAL_EXPIRES by default, as at AWS
		ValidTo                *time.Time      `json:"valid_to,omitempty"`
		ImportType             ImportType      `json:"import_type,omitempty"`
		KeyMaterialID          string          `json:"key_material_id,omitempty"`
		KeyMaterialDescription string          `json:"key_material_description,omitempty"`
	}

	// KeyMaterialAnswer names a key and one of its materials.
	KeyMaterialAnswer struct {
		KeyID         string `json:"key_id"` // ARN
		KeyMaterialID string `json:"key_material_id,omitempty"`
	}

	// DeleteImportedKeyMaterialRequest deletes imported material: of the id, or the current one.
	DeleteImportedKeyMaterialRequest struct {
		KeyID         string `json:"-" path:"key"`
		KeyMaterialID string `json:"key_material_id,omitempty"`
	}

	// ReplicateKeyRequest makes a replica of a multi-Region primary key in another served region.
	ReplicateKeyRequest struct {
		KeyID                          string            `json:"-" path:"key"`
		ReplicaRegion                  string            `json:"replica_region"`
		Description                    string            `json:"description,omitempty"`
		Policy                         PolicyDocument    `json:"policy,omitempty"`
		Tags                           map[string]string `json:"tags,omitempty"`
		BypassPolicyLockoutSafetyCheck bool              `json:"bypass_policy_lockout_safety_check,omitempty"`
	}

	// ReplicateKeyAnswer describes the new replica.
	ReplicateKeyAnswer struct {
		Key    KeyMetadata       `json:"key"`
		Policy string            `json:"policy"` // JSON text
		Tags   map[string]string `json:"tags,omitempty"`
	}

	// UpdatePrimaryRegionRequest makes a replica the primary key.
	UpdatePrimaryRegionRequest struct {
		KeyID         string `json:"-" path:"key"`
		PrimaryRegion string `json:"primary_region"`
	}
)

// ExpirationModel says whether imported material expires.
type ExpirationModel string

// ImportType says whether imported material is a key's own or its next one.
type ImportType string

// The words of import.
const (
	MaterialExpires       ExpirationModel = "KEY_MATERIAL_EXPIRES"
	MaterialDoesNotExpire ExpirationModel = "KEY_MATERIAL_DOES_NOT_EXPIRE"

	ImportNewMaterial      ImportType = "NEW_KEY_MATERIAL"
	ImportExistingMaterial ImportType = "EXISTING_KEY_MATERIAL"
)

// Their lists.
var (
	ExpirationModels = []ExpirationModel{MaterialExpires, MaterialDoesNotExpire}
	ImportTypes      = []ImportType{ImportNewMaterial, ImportExistingMaterial}
)

// Requests and answers of grants.
type (
	// CreateGrantRequest lets a principal use a key.
	CreateGrantRequest struct {
		KeyID             string            `json:"-" path:"key"`
		GranteePrincipal  string            `json:"grantee_principal"` // ARN
		RetiringPrincipal string            `json:"retiring_principal,omitempty"`
		Operations        []GrantOperation  `json:"operations"`
		Constraints       *GrantConstraints `json:"constraints,omitempty"`
		Name              string            `json:"name,omitempty"` // the same name and parameters make one grant
		GrantTokens       []string          `json:"grant_tokens,omitempty"`
		DryRun            bool              `json:"dry_run,omitempty"`
	}

	// CreateGrantAnswer names the grant; the token is new in every answer.
	CreateGrantAnswer struct {
		GrantID    string `json:"grant_id"`
		GrantToken string `json:"grant_token"`
	}

	// ListGrantsRequest pages through the grants of a key.
	ListGrantsRequest struct {
		KeyID            string `json:"-" path:"key"`
		GrantID          string `json:"-" query:"grant_id"`
		GranteePrincipal string `json:"-" query:"grantee_principal"`
		Limit            int    `json:"-" query:"limit"`
		Marker           string `json:"-" query:"marker"`
	}

	// ListRetirableGrantsRequest pages through the grants that a principal may retire.
	ListRetirableGrantsRequest struct {
		RetiringPrincipal string `json:"-" query:"retiring_principal"` // ARN
		Limit             int    `json:"-" query:"limit"`
		Marker            string `json:"-" query:"marker"`
	}

	// GrantEntry describes a grant.
	GrantEntry struct {
		GrantID           string            `json:"grant_id"`
		KeyID             string            `json:"key_id"` // ARN
		Name              string            `json:"name,omitempty"`
		GranteePrincipal  string            `json:"grantee_principal"`
		RetiringPrincipal string            `json:"retiring_principal,omitempty"`
		Operations        []GrantOperation  `json:"operations"`
		Constraints       *GrantConstraints `json:"constraints,omitempty"`
		IssuingAccount    string            `json:"issuing_account"`
		CreationDate      time.Time         `json:"creation_date"`
	}

	// ListGrantsAnswer is one page of grants.
	ListGrantsAnswer struct {
		Grants     []GrantEntry `json:"grants"`
		NextMarker string       `json:"next_marker,omitempty"`
	}

	// RetireGrantRequest ends a grant, named by its token or by key ARN and id.
	RetireGrantRequest struct {
		GrantToken string `json:"grant_token,omitempty"`
		KeyID      string `json:"key_id,omitempty"`
		GrantID    string `json:"grant_id,omitempty"`
		DryRun     bool   `json:"dry_run,omitempty"`
	}

	// RevokeGrantRequest ends a grant of a key.
	RevokeGrantRequest struct {
		KeyID   string `json:"-" path:"key"`
		GrantID string `json:"grant_id"`
		DryRun  bool   `json:"dry_run,omitempty"`
	}
)
