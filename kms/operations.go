package kms

import (
	"reflect"
	"slices"
)

// ResourceKind says what an operation acts on, and so which resource its authorization names.
type ResourceKind string

// The resource kinds.
const (
	ResourceNone     ResourceKind = "none"     // no resource: *
	ResourceKey      ResourceKind = "key"      // one existing key
	ResourceAlias    ResourceKind = "alias"    // an alias and the keys it names
	ResourceAccount  ResourceKind = "account"  // everything of the caller's account
	ResourceCluster  ResourceKind = "cluster"  // lockstep:* actions, for the operator account only
	ResourceIdentity ResourceKind = "identity" // identities, policies and providers of the caller's account
	ResourceRole     ResourceKind = "role"     // a role of any account, which says itself who may assume it
)

// Operation declares one operation. The table below is the only place where operations exist.
type Operation struct {
	Name     string // AWS's name where AWS has one; the metric label and the audit eventName
	Action   string // the policy action, "kms:Encrypt"
	Source   string // the audit eventSource, "kms.amazonaws.com"
	Resource ResourceKind
	Mutates  bool      // asks for a change, in general of a Raft entry; false also means readOnly in the audit record
	Revokes  bool      // takes rights away: waits for every member (promise 3)
	Crypto   bool      // served from the opened catalog under the lease, without a read index
	Used     bool      // a success counts as a use of the key (GetKeyLastUsage)
	Usage    KeyUsage  // for Crypto on a key: the usage it needs; "" otherwise
	States   StateRule // of what acts on one key: the states of it that allow the operation
	Created  bool      // a success is 201 on the REST door
	Foreign  bool      // takes keys of other accounts, named by ARN
	Open     bool      // needs no identity: the request holds the proof of one
	request  reflect.Type
	answer   reflect.Type
}

// NewRequest returns a pointer to a zero request of the operation's type.
func (o *Operation) NewRequest() any { return reflect.New(o.request).Interface() }

// RequestType returns the struct type of the request.
func (o *Operation) RequestType() reflect.Type { return o.request }

// AnswerType returns the struct type of the answer.
func (o *Operation) AnswerType() reflect.Type { return o.answer }

const (
	sourceKMS      = "kms.amazonaws.com"
	sourceTagging  = "tagging.amazonaws.com"
	sourceSTS      = "sts.amazonaws.com"
	sourceTrail    = "cloudtrail.amazonaws.com"
	sourceLockstep = "lockstep"
)

// op binds an operation's Go types; the pointer is shared by everyone who looks the operation up.
func op[Request, Answer any](o Operation) *Operation {
	o.request, o.answer = reflect.TypeFor[Request](), reflect.TypeFor[Answer]()
	return &o
}

// reads, changes and revokes declare what acts on one key without cryptography; crypto what uses it.
func reads[Request, Answer any](name string) *Operation {
	return op[Request, Answer](Operation{Name: name, Action: "kms:" + name, Source: sourceKMS, Resource: ResourceKey})
}

func changes[Request, Answer any](name string, states StateRule) *Operation {
	o := reads[Request, Answer](name)
	o.Mutates, o.States = true, states
	return o
}

func revokes[Request, Answer any](name string, states StateRule) *Operation {
	o := changes[Request, Answer](name, states)
	o.Revokes = true
	return o
}

func crypto[Request, Answer any](name string, usage KeyUsage) *Operation {
	o := reads[Request, Answer](name)
	o.Crypto, o.Used, o.Usage, o.States, o.Foreign = true, true, usage, StatesUse, true
	return o
}

// store declares what changes a key store outside the cluster. None is served: whoever may ask is refused, and nothing
// is proposed.
func store[Request any](name string) *Operation {
	return op[Request, Empty](Operation{Name: name, Action: "kms:" + name, Source: sourceKMS, Resource: ResourceAccount, Mutates: true})
}

// foreign lets an operation take keys of other accounts, as the AWS page of each says under "Cross-account use".
func foreign(o *Operation) *Operation {
	o.Foreign = true
	return o
}

// The operations. Each is a variable so that code names it without a string.
var (
	OpCreateKey = op[CreateKeyRequest, KeyAnswer](Operation{
		Name: "CreateKey", Action: "kms:CreateKey", Source: sourceKMS, Resource: ResourceAccount, Mutates: true, Created: true})
	OpListKeys = op[ListRequest, ListKeysAnswer](Operation{
		Name: "ListKeys", Action: "kms:ListKeys", Source: sourceKMS, Resource: ResourceAccount})
	OpDescribeKey          = foreign(reads[DescribeKeyRequest, KeyAnswer]("DescribeKey"))
	OpGetKeyLastUsage      = reads[KeyRequest, KeyLastUsageAnswer]("GetKeyLastUsage")
	OpGetKeyPolicy         = reads[KeyRequest, GetKeyPolicyAnswer]("GetKeyPolicy")
	OpListKeyPolicies      = reads[KeyListRequest, ListKeyPoliciesAnswer]("ListKeyPolicies")
	OpListResourceTags     = reads[KeyListRequest, ListResourceTagsAnswer]("ListResourceTags")
	OpGetKeyRotationStatus = foreign(reads[KeyRequest, KeyRotationStatusAnswer]("GetKeyRotationStatus"))
	OpListKeyRotations     = reads[ListKeyRotationsRequest, ListKeyRotationsAnswer]("ListKeyRotations")
	OpListGrants           = foreign(reads[ListGrantsRequest, ListGrantsAnswer]("ListGrants"))

	OpEnableKey            = changes[KeyRequest, KeyAnswer]("EnableKey", StatesToggle)
	OpDisableKey           = revokes[KeyRequest, KeyAnswer]("DisableKey", StatesToggle)
	OpScheduleKeyDeletion  = revokes[ScheduleKeyDeletionRequest, KeyAnswer]("ScheduleKeyDeletion", StatesDelete)
	OpCancelKeyDeletion    = changes[KeyRequest, KeyAnswer]("CancelKeyDeletion", StatesCancel)
	OpUpdateKeyDescription = changes[UpdateKeyDescriptionRequest, KeyAnswer]("UpdateKeyDescription", StatesManage)
	OpPutKeyPolicy         = revokes[PutKeyPolicyRequest, GetKeyPolicyAnswer]("PutKeyPolicy", AnyState)
	OpTagResource          = revokes[TagResourceRequest, Empty]("TagResource", StatesManage) // rights may hang on tags
	OpUntagResource        = revokes[UntagResourceRequest, Empty]("UntagResource", StatesManage)

	OpEnableKeyRotation  = changes[EnableKeyRotationRequest, KeyRotationStatusAnswer]("EnableKeyRotation", StatesRotate)
	OpDisableKeyRotation = changes[KeyRequest, KeyRotationStatusAnswer]("DisableKeyRotation", StatesRotate)
	OpRotateKeyOnDemand  = changes[KeyRequest, KeyAnswer]("RotateKeyOnDemand", StatesRotateOnDemand)

	OpGetParametersForImport = op[GetParametersForImportRequest, GetParametersForImportAnswer](Operation{
		Name: "GetParametersForImport", Action: "kms:GetParametersForImport", Source: sourceKMS, Resource: ResourceKey, States: StatesImport})
	OpImportKeyMaterial         = changes[ImportKeyMaterialRequest, KeyMaterialAnswer]("ImportKeyMaterial", StatesImport)
	OpDeleteImportedKeyMaterial = revokes[DeleteImportedKeyMaterialRequest, KeyMaterialAnswer]("DeleteImportedKeyMaterial", StatesUnimport)

	OpReplicateKey = op[ReplicateKeyRequest, ReplicateKeyAnswer](Operation{
		Name: "ReplicateKey", Action: "kms:ReplicateKey", Source: sourceKMS, Resource: ResourceKey, Mutates: true, Created: true, States: StatesReplicate})
	OpUpdatePrimaryRegion = changes[UpdatePrimaryRegionRequest, KeyAnswer]("UpdatePrimaryRegion", StatesPromote)

	OpCreateGrant         = foreign(changes[CreateGrantRequest, CreateGrantAnswer]("CreateGrant", StatesUse))
	OpRevokeGrant         = foreign(revokes[RevokeGrantRequest, Empty]("RevokeGrant", AnyState))
	OpRetireGrant         = foreign(revokes[RetireGrantRequest, Empty]("RetireGrant", AnyState))
	OpListRetirableGrants = op[ListRetirableGrantsRequest, ListGrantsAnswer](Operation{
		Name: "ListRetirableGrants", Action: "kms:ListRetirableGrants", Source: sourceKMS, Resource: ResourceAccount})

	OpEncrypt                             = crypto[EncryptRequest, EncryptAnswer]("Encrypt", EncryptDecrypt)
	OpDecrypt                             = crypto[DecryptRequest, DecryptAnswer]("Decrypt", EncryptDecrypt)
	OpGenerateDataKey                     = crypto[GenerateDataKeyRequest, GenerateDataKeyAnswer]("GenerateDataKey", EncryptDecrypt)
	OpGenerateDataKeyWithoutPlaintext     = crypto[GenerateDataKeyRequest, GenerateDataKeyAnswer]("GenerateDataKeyWithoutPlaintext", EncryptDecrypt)
	OpGenerateDataKeyPair                 = crypto[GenerateDataKeyPairRequest, GenerateDataKeyPairAnswer]("GenerateDataKeyPair", EncryptDecrypt)
	OpGenerateDataKeyPairWithoutPlaintext = crypto[GenerateDataKeyPairRequest, GenerateDataKeyPairAnswer]("GenerateDataKeyPairWithoutPlaintext", EncryptDecrypt)
	OpSign                                = crypto[SignRequest, SignAnswer]("Sign", SignVerify)
	OpVerify                              = crypto[VerifyRequest, VerifyAnswer]("Verify", SignVerify)
	OpGenerateMac                         = crypto[GenerateMacRequest, GenerateMacAnswer]("GenerateMac", GenerateVerifyMac)
	OpVerifyMac                           = crypto[VerifyMacRequest, VerifyMacAnswer]("VerifyMac", GenerateVerifyMac)
	OpDeriveSharedSecret                  = crypto[DeriveSharedSecretRequest, DeriveSharedSecretAnswer]("DeriveSharedSecret", KeyAgreement)
	OpEncapsulate                         = crypto[EncapsulateRequest, EncapsulateAnswer]("Encapsulate", EncapsulateDecapsulate)
	OpDecapsulate                         = crypto[DecapsulateRequest, DecapsulateAnswer]("Decapsulate", EncapsulateDecapsulate)

	OpReEncrypt = op[ReEncryptRequest, ReEncryptAnswer](Operation{
		Name: "ReEncrypt", Action: "kms:ReEncryptTo", Source: sourceKMS, Resource: ResourceKey, Crypto: true, Used: true, Usage: EncryptDecrypt, States: StatesUse, Foreign: true})
	OpGetPublicKey = op[GetPublicKeyRequest, GetPublicKeyAnswer](Operation{
		Name: "GetPublicKey", Action: "kms:GetPublicKey", Source: sourceKMS, Resource: ResourceKey, Crypto: true, States: StatesUse, Foreign: true})
	OpGenerateRandom = op[GenerateRandomRequest, GenerateRandomAnswer](Operation{
		Name: "GenerateRandom", Action: "kms:GenerateRandom", Source: sourceKMS, Resource: ResourceNone, Crypto: true})

	OpCreateAlias = op[CreateAliasRequest, AliasAnswer](Operation{
		Name: "CreateAlias", Action: "kms:CreateAlias", Source: sourceKMS, Resource: ResourceAlias, States: StatesManage, Mutates: true, Created: true})
	OpUpdateAlias = op[UpdateAliasRequest, AliasAnswer](Operation{
		Name: "UpdateAlias", Action: "kms:UpdateAlias", Source: sourceKMS, Resource: ResourceAlias, States: StatesManage, Mutates: true, Revokes: true})
	OpDeleteAlias = op[DeleteAliasRequest, Empty](Operation{
		Name: "DeleteAlias", Action: "kms:DeleteAlias", Source: sourceKMS, Resource: ResourceAlias, Mutates: true, Revokes: true})
	OpListAliases = op[ListAliasesRequest, ListAliasesAnswer](Operation{
		Name: "ListAliases", Action: "kms:ListAliases", Source: sourceKMS, Resource: ResourceAccount})

	OpGetResources = op[GetResourcesRequest, GetResourcesAnswer](Operation{
		Name: "GetResources", Action: "tag:GetResources", Source: sourceTagging, Resource: ResourceAccount})

	OpCreateCustomKeyStore = op[CreateCustomKeyStoreRequest, CreateCustomKeyStoreAnswer](Operation{
		Name: "CreateCustomKeyStore", Action: "kms:CreateCustomKeyStore", Source: sourceKMS, Resource: ResourceAccount, Mutates: true, Created: true})
	OpUpdateCustomKeyStore     = store[UpdateCustomKeyStoreRequest]("UpdateCustomKeyStore")
	OpDeleteCustomKeyStore     = store[CustomKeyStoreRequest]("DeleteCustomKeyStore")
	OpConnectCustomKeyStore    = store[CustomKeyStoreRequest]("ConnectCustomKeyStore")
	OpDisconnectCustomKeyStore = store[CustomKeyStoreRequest]("DisconnectCustomKeyStore")
	OpDescribeCustomKeyStores  = op[DescribeCustomKeyStoresRequest, DescribeCustomKeyStoresAnswer](Operation{
		Name: "DescribeCustomKeyStores", Action: "kms:DescribeCustomKeyStores", Source: sourceKMS, Resource: ResourceAccount})

	OpGetCallerIdentity = op[Empty, CallerIdentityAnswer](Operation{
		Name: "GetCallerIdentity", Action: "sts:GetCallerIdentity", Source: sourceSTS, Resource: ResourceNone})

	OpCreateAccount = op[CreateAccountRequest, CreateAccountAnswer](Operation{
		Name: "CreateAccount", Action: "lockstep:CreateAccount", Source: sourceLockstep, Resource: ResourceCluster, Mutates: true, Created: true})
	OpListAccounts = op[ListRequest, ListAccountsAnswer](Operation{
		Name: "ListAccounts", Action: "lockstep:ListAccounts", Source: sourceLockstep, Resource: ResourceCluster})
	OpDisableAccount = op[AccountRequest, AccountAnswer](Operation{
		Name: "DisableAccount", Action: "lockstep:DisableAccount", Source: sourceLockstep, Resource: ResourceCluster, Mutates: true, Revokes: true})
	OpGetSetting = op[SettingRequest, SettingAnswer](Operation{
		Name: "GetSetting", Action: "lockstep:GetSetting", Source: sourceLockstep, Resource: ResourceCluster})
	OpPutSetting = op[PutSettingRequest, SettingAnswer](Operation{
		Name: "PutSetting", Action: "lockstep:PutSetting", Source: sourceLockstep, Resource: ResourceCluster, Mutates: true, Revokes: true})
	OpLookupEvents = op[LookupEventsRequest, LookupEventsAnswer](Operation{
		Name: "LookupEvents", Action: "cloudtrail:LookupEvents", Source: sourceTrail, Resource: ResourceAccount})
	OpGetAuditCheckpoint = op[Empty, AuditCheckpointAnswer](Operation{
		Name: "GetAuditCheckpoint", Action: "lockstep:GetAuditCheckpoint", Source: sourceLockstep, Resource: ResourceCluster})
	OpReadMembers = op[Empty, MembersAnswer](Operation{
		Name: "ReadMembers", Action: "lockstep:ReadMembers", Source: sourceLockstep, Resource: ResourceCluster})
	OpAllowMember = op[AllowMemberRequest, Empty](Operation{
		Name: "AllowMember", Action: "lockstep:AllowMember", Source: sourceLockstep, Resource: ResourceCluster, Mutates: true})
	OpRemoveMember = op[RemoveMemberRequest, Empty](Operation{
		Name: "RemoveMember", Action: "lockstep:RemoveMember", Source: sourceLockstep, Resource: ResourceCluster, Mutates: true})
	OpSeal = op[SealRequest, SealAnswer](Operation{
		Name: "Seal", Action: "lockstep:Seal", Source: sourceLockstep, Resource: ResourceCluster, Mutates: true})
)

// Operations is the table.
var Operations = slices.Concat(keyOperations, identityOperations)

var keyOperations = []*Operation{
	OpCreateKey, OpListKeys, OpDescribeKey, OpGetKeyLastUsage, OpGetKeyPolicy, OpListKeyPolicies, OpListResourceTags,
	OpGetKeyRotationStatus, OpListKeyRotations, OpListGrants,
	OpEnableKey, OpDisableKey, OpScheduleKeyDeletion, OpCancelKeyDeletion, OpUpdateKeyDescription, OpPutKeyPolicy, OpTagResource, OpUntagResource,
	OpEnableKeyRotation, OpDisableKeyRotation, OpRotateKeyOnDemand,
	OpGetParametersForImport, OpImportKeyMaterial, OpDeleteImportedKeyMaterial, OpReplicateKey, OpUpdatePrimaryRegion,
	OpCreateGrant, OpRevokeGrant, OpRetireGrant, OpListRetirableGrants,
	OpEncrypt, OpDecrypt, OpReEncrypt, OpGenerateDataKey, OpGenerateDataKeyWithoutPlaintext, OpGenerateDataKeyPair, OpGenerateDataKeyPairWithoutPlaintext,
	OpSign, OpVerify, OpGenerateMac, OpVerifyMac, OpGetPublicKey, OpDeriveSharedSecret, OpEncapsulate, OpDecapsulate, OpGenerateRandom,
	OpCreateAlias, OpUpdateAlias, OpDeleteAlias, OpListAliases,
	OpCreateCustomKeyStore, OpUpdateCustomKeyStore, OpDeleteCustomKeyStore, OpDescribeCustomKeyStores, OpConnectCustomKeyStore, OpDisconnectCustomKeyStore,
	OpGetResources, OpGetCallerIdentity,
	OpCreateAccount, OpListAccounts, OpDisableAccount,
	OpGetSetting, OpPutSetting, OpLookupEvents, OpGetAuditCheckpoint, OpReadMembers, OpAllowMember, OpRemoveMember, OpSeal,
}

// OperationByName returns the operation of that name.
func OperationByName(name string) (*Operation, bool) {
	for _, o := range Operations {
		if o.Name == name {
			return o, true
		}
	}
	return nil, false
}
