package kms

import "time"

// KeyState is the state of a key in its lifecycle.
type KeyState string

// Origin says where key material came from.
type Origin string

// The key states of https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html.
const (
	StateCreating               KeyState = "Creating"
	StateEnabled                KeyState = "Enabled"
	StateDisabled               KeyState = "Disabled"
	StatePendingDeletion        KeyState = "PendingDeletion"
	StatePendingImport          KeyState = "PendingImport"
	StatePendingReplicaDeletion KeyState = "PendingReplicaDeletion"
	StateUnavailable            KeyState = "Unavailable"
	StateUpdating               KeyState = "Updating"
)

// KeyStates lists every state.
var KeyStates = []KeyState{StateCreating, StateEnabled, StateDisabled, StatePendingDeletion, StatePendingImport,
	StatePendingReplicaDeletion, StateUnavailable, StateUpdating}

// The origins. Key stores outside the cluster are known and refused.
const (
	OriginAWSKMS           Origin = "AWS_KMS"
	OriginExternal         Origin = "EXTERNAL"
	OriginCloudHSM         Origin = "AWS_CLOUDHSM"
	OriginExternalKeyStore Origin = "EXTERNAL_KEY_STORE"
)

// Origins lists every origin of AWS KMS.
var Origins = []Origin{OriginAWSKMS, OriginExternal, OriginCloudHSM, OriginExternalKeyStore}

// Scope is the namespace that names and ids are unique in: a tenant and a region.
type Scope struct {
	Account string `cbor:"1,keyasint"` // 12 digits
	Region  string `cbor:"2,keyasint"`
}

// Material names one version of a key's material. The material itself is a record of its own, which the
// related keys of a multi-Region key share.
type Material struct {
	Version     uint32       `cbor:"1,keyasint"`           // 1, 2, 3, ... in the order of creation; in the ciphertext header
	ID          string       `cbor:"2,keyasint"`           // 64 hex digits, the AWS KeyMaterialId
	Created     int64        `cbor:"3,keyasint"`           // Unix milliseconds, log time; of imported material, of the last import
	Rotated     int64        `cbor:"4,keyasint,omitempty"` // when it became the current one; 0: it was the first
	Rotation    RotationType `cbor:"5,keyasint,omitempty"` // "" for the first
	Missing     bool         `cbor:"6,keyasint,omitempty"` // imported once, and deleted or expired since: there is no record
	Expires     int64        `cbor:"7,keyasint,omitempty"` // of imported material: when it is deleted; 0: never
	Description string       `cbor:"8,keyasint,omitempty"` // of imported material, given with the import
}

// RotationType says what made a material the current one.
type RotationType string

// The types of rotation.
const (
	RotationAutomatic RotationType = "AUTOMATIC"
	RotationOnDemand  RotationType = "ON_DEMAND"
)

// RotationTypes lists them.
var RotationTypes = []RotationType{RotationAutomatic, RotationOnDemand}

// Rotation is a key's automatic rotation.
type Rotation struct {
	Period int32 `cbor:"1,keyasint"` // days
	Next   int64 `cbor:"2,keyasint"` // Unix milliseconds
}

// MultiRegion ties the keys of several regions that share id and material. Each of them carries the same one.
type MultiRegion struct {
	Primary string   `cbor:"1,keyasint"` // region of the primary key
	Regions []string `cbor:"2,keyasint"` // all, the primary's included, sorted
}

// KeyManager says who manages a key: a customer, or the account's managed alias that it was made for.
type KeyManager string

// The managers of keys.
const (
	ManagerCustomer KeyManager = "CUSTOMER"
	ManagerAWS      KeyManager = "AWS"
)

// Key is the metadata of one KMS key. It holds no material.
type Key struct {
	Schema      uint8             `cbor:"0,keyasint"` // 1
	Scope       Scope             `cbor:"1,keyasint"`
	ID          string            `cbor:"2,keyasint"` // lower-case UUID, or mrk- and 32 hex digits
	State       KeyState          `cbor:"3,keyasint"`
	Spec        KeySpec           `cbor:"4,keyasint"`
	Usage       KeyUsage          `cbor:"5,keyasint"`
	Origin      Origin            `cbor:"6,keyasint"`
	Description string            `cbor:"7,keyasint,omitempty"`
	Tags        map[string]string `cbor:"8,keyasint,omitempty"`
	Created     int64             `cbor:"9,keyasint"`            // Unix milliseconds
	Materials   []Material        `cbor:"10,keyasint,omitempty"` // ascending Version; none before the first import

	DefaultPolicy bool         `cbor:"11,keyasint,omitempty"` // the policy is the account's default one and has no record
	Managed       string       `cbor:"12,keyasint,omitempty"` // the alias/aws/NAME that the key was made for; "": a customer's
	Rotation      *Rotation    `cbor:"13,keyasint,omitempty"` // nil: no automatic rotation
	OnDemand      uint8        `cbor:"14,keyasint,omitempty"` // rotations on demand so far
	Deletion      int64        `cbor:"15,keyasint,omitempty"` // Unix milliseconds; 0: not pending, or waiting for replicas
	Window        int32        `cbor:"16,keyasint,omitempty"` // days that the deletion waits
	MultiRegion   *MultiRegion `cbor:"17,keyasint,omitempty"`
	Announced     *Material    `cbor:"18,keyasint,omitempty"` // imported, to become current with the next rotation on demand
	Destroying    bool         `cbor:"19,keyasint,omitempty"` // parts of it may be destroyed: nothing brings it back
}

// Manager says who manages the key.
func (k *Key) Manager() KeyManager {
	if k.Managed != "" {
		return ManagerAWS
	}
	return ManagerCustomer
}

// Current returns the material that encrypts; before the first import the zero Material.
func (k *Key) Current() Material {
	if len(k.Materials) == 0 {
		return Material{}
	}
	return k.Materials[len(k.Materials)-1]
}

// MaterialVersion returns the material of one version; one that is missing is not there.
func (k *Key) MaterialVersion(version uint32) (Material, bool) {
	for i := len(k.Materials) - 1; i >= 0; i-- {
		if m := k.Materials[i]; m.Version == version {
			return m, !m.Missing
		}
	}
	if m := k.Announced; m != nil && m.Version == version {
		return *m, !m.Missing
	}
	return Material{}, false
}

// NextVersion returns the version that a new material gets.
func (k *Key) NextVersion() uint32 {
	next := k.Current().Version + 1
	if k.Announced != nil {
		next = max(next, k.Announced.Version+1)
	}
	return next
}

// Primary reports whether k is the primary key of a multi-Region key.
func (k *Key) Primary() bool { return k.MultiRegion != nil && k.MultiRegion.Primary == k.Scope.Region }

// Replica reports whether k is a replica key of a multi-Region key.
func (k *Key) Replica() bool { return k.MultiRegion != nil && k.MultiRegion.Primary != k.Scope.Region }

// Due returns when the scheduler has to look at the key next, in Unix milliseconds: for its destruction, its
// rotation or the expiry of material. 0: never.
func (k *Key) Due() int64 {
	due, _ := k.DueEvent()
	return due
}

// DueEvent is Due, with which of ScheduledEvents it is for; "" when it is never.
func (k *Key) DueEvent() (due int64, event string) {
	sooner := func(at int64, what string) {
		if at > 0 && (due == 0 || at < due) {
			due, event = at, what
		}
	}
	sooner(k.Deletion, EventDeleteKey)
	if k.Rotation != nil && k.State == StateEnabled { // one that is not is rotated when it is enabled again
		sooner(k.Rotation.Next, EventRotateKey)
	}
	for i := range k.Materials {
		if !k.Materials[i].Missing {
			sooner(k.Materials[i].Expires, EventDeleteExpiredKeyMaterial)
		}
	}
	if k.Announced != nil && !k.Announced.Missing {
		sooner(k.Announced.Expires, EventDeleteExpiredKeyMaterial)
	}
	return due, event
}

// Alias is a second, movable name of a key in the same account and region.
type Alias struct {
	Schema  uint8  `cbor:"0,keyasint"` // 1
	Scope   Scope  `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"` // with the prefix "alias/"
	KeyID   string `cbor:"3,keyasint"`
	Created int64  `cbor:"4,keyasint"` // Unix milliseconds
	Updated int64  `cbor:"5,keyasint"`
}

// Account is a tenant. The operator account is the one that init makes.
type Account struct {
	Schema   uint8  `cbor:"0,keyasint"` // 1
	ID       string `cbor:"1,keyasint"` // 12 digits
	Name     string `cbor:"2,keyasint,omitempty"`
	Operator bool   `cbor:"3,keyasint,omitempty"` // may be allowed lockstep:* actions
	Disabled bool   `cbor:"4,keyasint,omitempty"`
	Created  int64  `cbor:"5,keyasint"`
}

// GrantOperation names what a grant allows.
type GrantOperation string

// GrantOperations lists what grants can allow, as AWS KMS spells it.
var GrantOperations = []GrantOperation{
	"Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "Sign", "Verify",
	"GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
	"GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate", "Decapsulate",
}

// GrantConstraints bind a grant to encryption contexts. At most one of the two is set.
type GrantConstraints struct {
	EncryptionContextEquals map[string]string `json:"encryption_context_equals,omitempty" cbor:"1,keyasint,omitempty"`
	EncryptionContextSubset map[string]string `json:"encryption_context_subset,omitempty" cbor:"2,keyasint,omitempty"`
}

// Grant lets a principal use a key, beside its policy.
type Grant struct {
	Schema            uint8             `cbor:"0,keyasint"` // 1
	Scope             Scope             `cbor:"1,keyasint"` // of the key
	KeyID             string            `cbor:"2,keyasint"`
	ID                string            `cbor:"3,keyasint"` // 64 hex digits
	Name              string            `cbor:"4,keyasint,omitempty"`
	GranteePrincipal  string            `cbor:"5,keyasint"` // ARN
	RetiringPrincipal string            `cbor:"6,keyasint,omitempty"`
	Operations        []GrantOperation  `cbor:"7,keyasint"` // sorted, each once
	Constraints       *GrantConstraints `cbor:"8,keyasint,omitempty"`
	Issuer            string            `cbor:"9,keyasint"`  // ARN of who created it
	IssuingAccount    string            `cbor:"10,keyasint"` // ARN of the account under which it was created
	Created           int64             `cbor:"11,keyasint"` // Unix milliseconds
}

// KeyUse is the last successful use of a key by one operation, or by one caller.
type KeyUse struct {
	Operation string `cbor:"1,keyasint"`
	At        int64  `cbor:"2,keyasint"` // Unix milliseconds
	EventID   string `cbor:"3,keyasint,omitempty"`
	RequestID string `cbor:"4,keyasint,omitempty"`
	Principal string `cbor:"5,keyasint,omitempty"` // ARN
}

// Usage is what is remembered of a key's use: the last use by each operation and by each of the latest callers.
type Usage struct {
	Schema     uint8    `cbor:"0,keyasint"` // 1
	Scope      Scope    `cbor:"1,keyasint"`
	KeyID      string   `cbor:"2,keyasint"`
	Operations []KeyUse `cbor:"3,keyasint,omitempty"` // by name
	Callers    []KeyUse `cbor:"4,keyasint,omitempty"` // latest first, at most MaxCallers
}

// MaxCallers is how many callers a key's usage remembers.
const MaxCallers = 16

// Policy is a key's policy document as it was written, JSON.
type Policy struct {
	Schema   uint8  `cbor:"0,keyasint"` // 1
	Scope    Scope  `cbor:"1,keyasint"`
	KeyID    string `cbor:"2,keyasint"`
	Document string `cbor:"3,keyasint"`
}

// Setting is one replicated setting of the cluster.
type Setting struct {
	Schema uint8  `cbor:"0,keyasint"` // 1
	Name   string `cbor:"1,keyasint"`
	Value  string `cbor:"2,keyasint"`
	// Of the revocation bound: the longest one under which a lease may have been taken before Changed.
	Longest string `cbor:"3,keyasint,omitempty"`
	Changed int64  `cbor:"4,keyasint,omitempty"` // Unix milliseconds, log time
}

// Time converts log time (Unix milliseconds) to a UTC time.
func Time(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
