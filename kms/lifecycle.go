package kms

// StateRule says in which states of its key an operation is done. Every operation that acts on a key
// has one; CheckState is the table of
// https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html.
//
// Creating and Updating, which AWS KMS passes through while regions follow each other, are never
// entered: all regions of a cluster change in one transaction. Unavailable is for keys of key stores
// outside the cluster. The table has them all the same (but that a key that is unavailable can be neither enabled nor disabled), so that a key that an importing tool or a later
// release left in one of them does what AWS KMS would do.
type StateRule uint8

// The rules.
const (
	AnyState             StateRule = iota // reads, policies, aliases that go, grants that end
	StatesUse                             // cryptography, public keys, new grants
	StatesRotate                          // automatic rotation on and off
	StatesRotateOnDemand                  // RotateKeyOnDemand
	StatesToggle                          // EnableKey, DisableKey
	StatesManage                          // aliases that come, descriptions, tags: everything but keys on their way out
	StatesDelete                          // ScheduleKeyDeletion
	StatesCancel                          // CancelKeyDeletion
	StatesImport                          // GetParametersForImport, ImportKeyMaterial
	StatesUnimport                        // DeleteImportedKeyMaterial
	StatesReplicate                       // ReplicateKey
	StatesPromote                         // UpdatePrimaryRegion
)

// refusal is a column of the table: what a state answers where it does not allow.
type refusal struct {
	code Code
	text string // after the ARN
}

var refusals = map[KeyState]refusal{
	StateEnabled:                {CodeInvalidState, "is not pending deletion."}, // only CancelKeyDeletion is refused
	StateDisabled:               {CodeKeyDisabled, "is disabled."},
	StatePendingDeletion:        {CodeInvalidState, "is pending deletion."},
	StatePendingReplicaDeletion: {CodeInvalidState, "is pending replica deletion."},
	StatePendingImport:          {CodeInvalidState, "is pending import."},
	StateUnavailable:            {CodeInvalidState, "is unavailable."},
	StateCreating:               {CodeInvalidState, "is creating."},
	StateUpdating:               {CodeInvalidState, "is updating."},
}

// allowed lists for each rule the states that it allows; AnyState allows all.
var allowed = map[StateRule]map[KeyState]bool{
	StatesUse:       {StateEnabled: true, StateUpdating: true},
	StatesRotate:    {StateEnabled: true, StateUpdating: true},
	StatesToggle:    {StateEnabled: true, StateDisabled: true},
	StatesManage:    {StateEnabled: true, StateDisabled: true, StatePendingImport: true, StateUnavailable: true, StateCreating: true, StateUpdating: true},
	StatesDelete:    {StateEnabled: true, StateDisabled: true, StatePendingImport: true, StateUnavailable: true, StateCreating: true},
	StatesCancel:    {StatePendingDeletion: true, StatePendingReplicaDeletion: true},
	StatesImport:    {StateEnabled: true, StateDisabled: true, StatePendingImport: true},
	StatesUnimport:  {StateEnabled: true, StateDisabled: true, StatePendingImport: true, StatePendingDeletion: true, StatePendingReplicaDeletion: true},
	StatesReplicate: {StateEnabled: true},
	StatesPromote:   {StateEnabled: true, StateUpdating: true},
}

// What happens to keys at its time, without a call: the names that CloudTrail gives these events.
const (
	EventRotateKey                = "RotateKey"
	EventDeleteKey                = "DeleteKey"
	EventDeleteExpiredKeyMaterial = "DeleteExpiredKeyMaterial"
)

// ScheduledEvents lists them.
var ScheduledEvents = []string{EventRotateKey, EventDeleteKey, EventDeleteExpiredKeyMaterial}

// CheckState returns nil when rule allows the state, and otherwise the refusal that AWS KMS would give.
// arn is how the key is named in the message. A state that this release does not know allows reads only.
func CheckState(rule StateRule, state KeyState, arn string) error {
	if rule == AnyState || state == StateEnabled && rule != StatesCancel || allowed[rule][state] {
		return nil
	}
	r, known := refusals[state]
	switch {
	case !known:
		return Errorf(CodeInvalidState, "%s is in state %s.", arn, state)
	case rule == StatesCancel:
		return Errorf(CodeInvalidState, "%s is not pending deletion.", arn)
	case rule == StatesRotate && state == StatePendingImport: // only what is imported is pending import
		return Errorf(CodeUnsupported, "%s origin is %s which is not valid for this operation.", arn, OriginExternal)
	}
	return Errorf(r.code, "%s %s", arn, r.text)
}

// stateWithMaterial returns whole, or PendingImport when imported material
// is missing.
func (k *Key) stateWithMaterial(whole KeyState) KeyState {
	if k.Origin == OriginExternal && k.lacksMaterial() {
		return StatePendingImport
	}
	return whole
}

// lacksMaterial reports whether some material that encrypted is not there. A key that has only a part
// of its materials is not usable at all, so that nothing depends on which version made a ciphertext.
func (k *Key) lacksMaterial() bool {
	for i := range k.Materials {
		if k.Materials[i].Missing {
			return true
		}
	}
	return len(k.Materials) == 0
}

// lacksMaterialAt reports whether some imported material that encrypted has reached its expiry at now (Unix
// milliseconds), whether or not it is deleted yet: such a key is as good as pending import.
func (k *Key) lacksMaterialAt(now int64) bool {
	if k.Origin != OriginExternal {
		return false
	}
	for i := range k.Materials {
		if at := k.Materials[i].Expires; at > 0 && now >= at {
			return true
		}
	}
	return false
}

// StateAt returns the state of the key at now (Unix milliseconds): with material that has expired it is pending import,
// though the scheduler may not have deleted that yet.
func (k *Key) StateAt(now int64) KeyState {
	if (k.State == StateEnabled || k.State == StateDisabled) && k.lacksMaterialAt(now) {
		return StatePendingImport
	}
	return k.State
}

// AfterCancel returns the state of a key whose deletion is cancelled.
func (k *Key) AfterCancel() KeyState { return k.stateWithMaterial(StateDisabled) }

// AfterImport returns the state of a key after material came or went: Enabled if it is whole again, its
// state of before where that has nothing to do with material.
func (k *Key) AfterImport() KeyState {
	switch k.State {
	case StateEnabled, StateDisabled:
		return k.stateWithMaterial(k.State)
	case StatePendingImport:
		return k.stateWithMaterial(StateEnabled)
	default:
		return k.State
	}
}
