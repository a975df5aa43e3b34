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

// Material names one version of a key's material. The material itself is a record of its own.
type Material struct {
	Version uint32 `cbor:"1,keyasint"` // 1, 2, 3, ... in the order of creation; in the ciphertext header
	ID      string `cbor:"2,keyasint"` // 64 hex digits, the AWS KeyMaterialId
	Created int64  `cbor:"3,keyasint"` // Unix milliseconds, log time
}

// Key is the metadata of one KMS key. It holds no material.
type Key struct {
	Schema      uint8             `cbor:"0,keyasint"` // 1
	Scope       Scope             `cbor:"1,keyasint"`
	ID          string            `cbor:"2,keyasint"` // lower-case UUID
	State       KeyState          `cbor:"3,keyasint"`
	Spec        KeySpec           `cbor:"4,keyasint"`
	Usage       KeyUsage          `cbor:"5,keyasint"`
	Origin      Origin            `cbor:"6,keyasint"`
	Description string            `cbor:"7,keyasint,omitempty"`
	Tags        map[string]string `cbor:"8,keyasint,omitempty"`
	Created     int64             `cbor:"9,keyasint"`  // Unix milliseconds
	Materials   []Material        `cbor:"10,keyasint"` // ascending Version; the last one is current
}

// Current returns the material that encrypts.
func (k *Key) Current() Material { return k.Materials[len(k.Materials)-1] }

// MaterialVersion returns the material of one version.
func (k *Key) MaterialVersion(version uint32) (Material, bool) {
	for i := len(k.Materials) - 1; i >= 0; i-- {
		if k.Materials[i].Version == version {
			return k.Materials[i], true
		}
	}
	return Material{}, false
}

// CheckCryptoState returns nil when k may be used for cryptography now, and otherwise the refusal
// that AWS KMS would give. arn is how the key is named in the message.
func (k *Key) CheckCryptoState(arn string) error {
	switch k.State {
	case StateEnabled:
		return nil
	case StateDisabled:
		return Errorf(CodeKeyDisabled, "%s is disabled.", arn)
	default:
		return Errorf(CodeInvalidState, "%s is in state %s.", arn, k.State)
	}
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
