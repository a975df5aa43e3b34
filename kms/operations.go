package kms

import "reflect"

// ResourceKind says what an operation acts on, and so which resource its authorization names.
type ResourceKind string

// The resource kinds.
const (
	ResourceNone    ResourceKind = "none"    // no resource: *
	ResourceKey     ResourceKind = "key"     // one existing key
	ResourceAlias   ResourceKind = "alias"   // an alias and the keys it names
	ResourceAccount ResourceKind = "account" // everything of the caller's account
	ResourceCluster ResourceKind = "cluster" // lockstep:* actions, for the operator account only
)

// Operation declares one operation. The table below is the only place where operations exist.
type Operation struct {
	Name     string // AWS's name where AWS has one; the metric label and the audit eventName
	Action   string // the policy action, "kms:Encrypt"
	Source   string // the audit eventSource, "kms.amazonaws.com"
	Resource ResourceKind
	Mutates  bool     // proposes a Raft entry; false also means readOnly in the audit record
	Revokes  bool     // takes rights away: waits for every member (promise 3)
	Crypto   bool     // served from the opened catalog under the lease, without a read index
	Usage    KeyUsage // for Crypto on a key: the usage it needs; "" otherwise
	Created  bool     // a success is 201 on the REST door
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
	sourceSTS      = "sts.amazonaws.com"
	sourceLockstep = "lockstep"
)

// op binds an operation's Go types; the pointer is shared by everyone who looks the operation up.
func op[Request, Answer any](o Operation) *Operation {
	o.request, o.answer = reflect.TypeFor[Request](), reflect.TypeFor[Answer]()
	return &o
}

// The operations. Each is a variable so that code names it without a string.
var (
	OpCreateKey = op[CreateKeyRequest, KeyAnswer](Operation{
		Name: "CreateKey", Action: "kms:CreateKey", Source: sourceKMS, Resource: ResourceAccount, Mutates: true, Created: true})
	OpDescribeKey = op[KeyRequest, KeyAnswer](Operation{
		Name: "DescribeKey", Action: "kms:DescribeKey", Source: sourceKMS, Resource: ResourceKey})
	OpListKeys = op[ListRequest, ListKeysAnswer](Operation{
		Name: "ListKeys", Action: "kms:ListKeys", Source: sourceKMS, Resource: ResourceAccount})
	OpEnableKey = op[KeyRequest, KeyAnswer](Operation{
		Name: "EnableKey", Action: "kms:EnableKey", Source: sourceKMS, Resource: ResourceKey, Mutates: true})
	OpDisableKey = op[KeyRequest, KeyAnswer](Operation{
		Name: "DisableKey", Action: "kms:DisableKey", Source: sourceKMS, Resource: ResourceKey, Mutates: true, Revokes: true})
	OpGetKeyPolicy = op[KeyRequest, GetKeyPolicyAnswer](Operation{
		Name: "GetKeyPolicy", Action: "kms:GetKeyPolicy", Source: sourceKMS, Resource: ResourceKey})

	OpEncrypt = op[EncryptRequest, EncryptAnswer](Operation{
		Name: "Encrypt", Action: "kms:Encrypt", Source: sourceKMS, Resource: ResourceKey, Crypto: true, Usage: EncryptDecrypt})
	OpDecrypt = op[DecryptRequest, DecryptAnswer](Operation{
		Name: "Decrypt", Action: "kms:Decrypt", Source: sourceKMS, Resource: ResourceKey, Crypto: true, Usage: EncryptDecrypt})
	OpReEncrypt = op[ReEncryptRequest, ReEncryptAnswer](Operation{
		Name: "ReEncrypt", Action: "kms:ReEncryptTo", Source: sourceKMS, Resource: ResourceKey, Crypto: true, Usage: EncryptDecrypt})
	OpGenerateDataKey = op[GenerateDataKeyRequest, GenerateDataKeyAnswer](Operation{
		Name: "GenerateDataKey", Action: "kms:GenerateDataKey", Source: sourceKMS, Resource: ResourceKey, Crypto: true, Usage: EncryptDecrypt})
	OpGenerateDataKeyWithoutPlaintext = op[GenerateDataKeyRequest, GenerateDataKeyAnswer](Operation{
		Name: "GenerateDataKeyWithoutPlaintext", Action: "kms:GenerateDataKeyWithoutPlaintext", Source: sourceKMS, Resource: ResourceKey, Crypto: true, Usage: EncryptDecrypt})
	OpGenerateRandom = op[GenerateRandomRequest, GenerateRandomAnswer](Operation{
		Name: "GenerateRandom", Action: "kms:GenerateRandom", Source: sourceKMS, Resource: ResourceNone, Crypto: true})

	OpCreateAlias = op[CreateAliasRequest, AliasAnswer](Operation{
		Name: "CreateAlias", Action: "kms:CreateAlias", Source: sourceKMS, Resource: ResourceAlias, Mutates: true, Created: true})
	OpUpdateAlias = op[UpdateAliasRequest, AliasAnswer](Operation{
		Name: "UpdateAlias", Action: "kms:UpdateAlias", Source: sourceKMS, Resource: ResourceAlias, Mutates: true, Revokes: true})
	OpDeleteAlias = op[DeleteAliasRequest, Empty](Operation{
		Name: "DeleteAlias", Action: "kms:DeleteAlias", Source: sourceKMS, Resource: ResourceAlias, Mutates: true, Revokes: true})
	OpListAliases = op[ListAliasesRequest, ListAliasesAnswer](Operation{
		Name: "ListAliases", Action: "kms:ListAliases", Source: sourceKMS, Resource: ResourceAccount})

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
var Operations = []*Operation{
	OpCreateKey, OpDescribeKey, OpListKeys, OpEnableKey, OpDisableKey, OpGetKeyPolicy,
	OpEncrypt, OpDecrypt, OpReEncrypt, OpGenerateDataKey, OpGenerateDataKeyWithoutPlaintext, OpGenerateRandom,
	OpCreateAlias, OpUpdateAlias, OpDeleteAlias, OpListAliases,
	OpGetCallerIdentity,
	OpCreateAccount, OpListAccounts, OpDisableAccount,
	OpGetSetting, OpPutSetting, OpReadMembers, OpAllowMember, OpRemoveMember, OpSeal,
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
