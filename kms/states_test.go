package kms

import (
	"strings"
	"testing"
)

// stateTable is the table of https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html, written down
// independently of lifecycle.go. The columns are
//
//	Enabled, Disabled, PendingDeletion, PendingReplicaDeletion, PendingImport, Unavailable, Creating, Updating
//
// and a cell says what happens: + it is done; otherwise the refusal, by the footnote of AWS: 1 is disabled, 3 is
// pending deletion, r is pending replica deletion, 4 is not pending deletion, 5 is pending import, 6 origin is
// EXTERNAL, u is unavailable (11), c is creating (14), d is updating (15). A row that differs from AWS says where.
var stateTable = map[*Operation]string{
	OpDescribeKey: "++++++++", OpGetKeyLastUsage: "++++++++", OpGetKeyPolicy: "++++++++", OpListKeyPolicies: "++++++++",
	OpListResourceTags: "++++++++", OpGetKeyRotationStatus: "++++++++", OpListKeyRotations: "++++++++", OpListGrants: "++++++++", OpWhoCan: "++++++++",
	OpPutKeyPolicy: "++++++++", OpRevokeGrant: "++++++++", OpRetireGrant: "++++++++", OpDeleteAlias: "++++++++",

	OpEnableKey:            "++3r5ucd", // AWS enables and disables keys that are unavailable, to take effect later
	OpDisableKey:           "++3r5ucd", // likewise
	OpScheduleKeyDeletion:  "++3r+++d",
	OpCancelKeyDeletion:    "44++4444",
	OpUpdateKeyDescription: "++3r++++", OpTagResource: "++3r++++", OpUntagResource: "++3r++++",
	OpCreateAlias: "++3r++++", OpUpdateAlias: "++3r++++", // of the key that the alias comes to

	OpEnableKeyRotation:  "+13r6uc+", // AWS says unsupported where keys are unavailable: those of key stores
	OpDisableKeyRotation: "+13r6uc+",
	OpRotateKeyOnDemand:  "+13r5ucd",

	OpGetParametersForImport:    "++3r+ucd", // AWS says unsupported where keys are unavailable
	OpImportKeyMaterial:         "++3r+ucd", // AWS imports into keys that are updating
	OpDeleteImportedKeyMaterial: "+++++ucd",
	OpReplicateKey:              "+13r5ucd",
	OpUpdatePrimaryRegion:       "+13r5uc+",

	OpCreateGrant: "+13r5uc+", // AWS grants rights to keys that are unavailable
	OpEncrypt:     "+13r5uc+", OpDecrypt: "+13r5uc+", OpReEncrypt: "+13r5uc+",
	OpGenerateDataKey: "+13r5uc+", OpGenerateDataKeyWithoutPlaintext: "+13r5uc+",
	OpGenerateDataKeyPair: "+13r5uc+", OpGenerateDataKeyPairWithoutPlaintext: "+13r5uc+",
	OpSign: "+13r5uc+", OpVerify: "+13r5uc+", OpGenerateMac: "+13r5uc+", OpVerifyMac: "+13r5uc+",
	OpGetPublicKey: "+13r5uc+", OpDeriveSharedSecret: "+13r5uc+", OpEncapsulate: "+13r5uc+", OpDecapsulate: "+13r5uc+",
}

var stateColumns = []KeyState{StateEnabled, StateDisabled, StatePendingDeletion, StatePendingReplicaDeletion,
	StatePendingImport, StateUnavailable, StateCreating, StateUpdating}

var stateRefusals = map[byte]string{
	'1': "key_disabled: ARN is disabled.",
	'3': "invalid_state: ARN is pending deletion.",
	'r': "invalid_state: ARN is pending replica deletion.",
	'4': "invalid_state: ARN is not pending deletion.",
	'5': "invalid_state: ARN is pending import.",
	'6': "unsupported_operation: ARN origin is EXTERNAL which is not valid for this operation.",
	'u': "invalid_state: ARN is unavailable.",
	'c': "invalid_state: ARN is creating.",
	'd': "invalid_state: ARN is updating.",
}

func TestStateTable(t *testing.T) {
	if len(stateColumns) != len(KeyStates) {
		t.Fatalf("the table has %d states of %d", len(stateColumns), len(KeyStates))
	}
	for _, op := range Operations {
		row, acts := stateTable[op]
		if acts != (op.Resource == ResourceKey || op.Resource == ResourceAlias) {
			t.Errorf("%s: acts on a key: %v", op.Name, acts)
			continue
		}
		if !acts {
			if op.States != AnyState {
				t.Errorf("%s acts on no key and asks for its state", op.Name)
			}
			continue
		}
		for i, state := range stateColumns {
			err, want := CheckState(op.States, state, "ARN"), stateRefusals[row[i]]
			if (err == nil) != (want == "") || err != nil && err.Error() != want {
				t.Errorf("%s of a key that is %s: %v, want %q", op.Name, state, err, want)
			}
		}
		// A state of tomorrow allows nothing that AnyState does not.
		if err := CheckState(op.States, "Melting", "ARN"); (err == nil) != (row == "++++++++") || err != nil && CodeOf(err) != CodeInvalidState {
			t.Errorf("%s of a key in a state of tomorrow: %v", op.Name, err)
		}
	}
}

// A key whose material came from outside is in the state that its materials allow.
func TestStateFollowsMaterial(t *testing.T) {
	whole, part := []Material{{Version: 1}, {Version: 2}}, []Material{{Version: 1, Missing: true}, {Version: 2}}
	for _, row := range []struct {
		origin         Origin
		state          KeyState
		materials      []Material
		imported, back KeyState
	}{
		{OriginAWSKMS, StateEnabled, whole, StateEnabled, StateDisabled},
		{OriginExternal, StateEnabled, whole, StateEnabled, StateDisabled},
		{OriginExternal, StateEnabled, part, StatePendingImport, StatePendingImport},
		{OriginExternal, StateDisabled, whole, StateDisabled, StateDisabled},
		{OriginExternal, StateDisabled, part, StatePendingImport, StatePendingImport},
		{OriginExternal, StatePendingImport, whole, StateEnabled, StateDisabled},
		{OriginExternal, StatePendingImport, nil, StatePendingImport, StatePendingImport},
		{OriginExternal, StatePendingDeletion, whole, StatePendingDeletion, StateDisabled},
		{OriginExternal, StatePendingDeletion, nil, StatePendingDeletion, StatePendingImport},
		{OriginExternal, StatePendingReplicaDeletion, part, StatePendingReplicaDeletion, StatePendingImport},
	} {
		k := &Key{Origin: row.origin, State: row.state, Materials: row.materials}
		if got := k.AfterImport(); got != row.imported {
			t.Errorf("%+v after an import: %s", row, got)
		}
		if got := k.AfterCancel(); got != row.back {
			t.Errorf("%+v after its deletion was cancelled: %s", row, got)
		}
	}
}

// TestSpecTable holds the table of key specs to the lists of AWS's words and to what every spec is for.
func TestSpecTable(t *testing.T) {
	served := 0
	seen := map[string]bool{}
	for _, name := range KeySpecs {
		s, ok := name.Spec()
		if !ok {
			if name != SM2 {
				t.Errorf("%s is not served", name)
			}
			continue
		}
		served++
		has := map[KeyUsage]int{EncryptDecrypt: len(s.Encryption), SignVerify: len(s.Signing), GenerateVerifyMac: len(s.Mac),
			KeyAgreement: len(s.Agreement), EncapsulateDecapsulate: len(s.Encapsulation)}
		for _, u := range KeyUsages {
			if s.Serves(u) != (has[u] > 0) {
				t.Errorf("%s serves %s: %v, with %d algorithms", name, u, s.Serves(u), has[u])
			}
		}
		for _, a := range s.Encryption {
			seen[string(a)] = true
		}
		for _, a := range s.Signing {
			seen[string(a)] = true
		}
		for _, a := range s.Mac {
			seen[string(a)] = true
		}
		symmetric := name == SymmetricDefault || strings.HasPrefix(string(name), "HMAC_")
		if s.Asymmetric == symmetric {
			t.Errorf("%s is asymmetric: %v", name, s.Asymmetric)
		}
		if quantum := strings.HasPrefix(string(name), "ML_"); s.Importable == quantum {
			t.Errorf("%s can be imported: %v", name, s.Importable)
		}
	}
	if served != len(specs) {
		t.Errorf("%d specs of %d are words of AWS", served, len(specs))
	}
	for _, a := range EncryptionAlgorithms {
		if !seen[string(a)] && a != SM2PKE {
			t.Errorf("no spec has %s", a)
		}
	}
	for _, a := range SigningAlgorithms {
		if !seen[string(a)] && a != SM2DSA {
			t.Errorf("no spec has %s", a)
		}
	}
	for _, a := range MacAlgorithms {
		if !seen[string(a)] {
			t.Errorf("no spec has %s", a)
		}
	}
}
