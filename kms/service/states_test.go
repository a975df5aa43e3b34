package service_test

import (
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// What an operation does with a key that is Enabled, Disabled, PendingDeletion, PendingReplicaDeletion,
// PendingImport: + succeeds, d is disabled, p is pending (replica) deletion, n is not pending deletion, i is pending
// import, x says that the origin is EXTERNAL; - cannot be: nobody imports such a key.
var inStates = map[*kms.Operation]string{
	kms.OpDescribeKey: "+++++", kms.OpGetKeyLastUsage: "+++++", kms.OpGetKeyPolicy: "+++++", kms.OpListKeyPolicies: "+++++",
	kms.OpListResourceTags: "+++++", kms.OpWhoCan: "+++++", kms.OpGetKeyRotationStatus: "+++++", kms.OpListKeyRotations: "+++++", kms.OpListGrants: "+++++",
	kms.OpPutKeyPolicy: "+++++", kms.OpRevokeGrant: "+++++", kms.OpRetireGrant: "+++++", kms.OpDeleteAlias: "+++++", kms.OpListAliases: "+++++",
	kms.OpEnableKey: "++ppi", kms.OpDisableKey: "++ppi", kms.OpScheduleKeyDeletion: "++pp+", kms.OpCancelKeyDeletion: "nn++n",
	kms.OpUpdateKeyDescription: "++pp+", kms.OpTagResource: "++pp+", kms.OpUntagResource: "++pp+", kms.OpCreateAlias: "++pp+", kms.OpUpdateAlias: "++pp+",
	kms.OpEnableKeyRotation: "+dppx", kms.OpDisableKeyRotation: "+dppx", kms.OpRotateKeyOnDemand: "+dppi",
	kms.OpDeleteImportedKeyMaterial: "+++++", kms.OpReplicateKey: "+dppi", kms.OpUpdatePrimaryRegion: "+dppi",
	kms.OpCreateGrant: "+dppi", kms.OpEncrypt: "+dppi", kms.OpDecrypt: "+dppi", kms.OpReEncrypt: "+dppi",
	kms.OpGenerateDataKey: "+dppi", kms.OpGenerateDataKeyWithoutPlaintext: "+dppi", kms.OpGenerateDataKeyPair: "+dppi", kms.OpGenerateDataKeyPairWithoutPlaintext: "+dppi",
	kms.OpSign: "+dppi", kms.OpVerify: "+dppi", kms.OpGenerateMac: "+dppi", kms.OpVerifyMac: "+dppi", kms.OpGetPublicKey: "+dppi",
	kms.OpDeriveSharedSecret: "+dppi", kms.OpEncapsulate: "+dpp-", kms.OpDecapsulate: "+dpp-",
}

var reachable = []kms.KeyState{kms.StateEnabled, kms.StateDisabled, kms.StatePendingDeletion, kms.StatePendingReplicaDeletion, kms.StatePendingImport}

// bring makes a key of the right kind for an operation, with what its request needs, and brings it into a state.
func (w *world) bring(t *testing.T, op *kms.Operation, state kms.KeyState) *topic {
	t.Helper()
	q := *symmetricKey
	if r := rights[op].key; r != nil {
		q = *r
	}
	q.MultiRegion = q.MultiRegion || state == kms.StatePendingReplicaDeletion
	switch {
	case op == kms.OpDeleteImportedKeyMaterial:
		q.Origin = kms.OriginAWSKMS // and imported below, without the ceremony
	case state == kms.StatePendingImport:
		q.Origin = kms.OriginExternal
	}
	s := &topic{alias: "alias/a", public: []byte("p"), signature: []byte("s"), mac: []byte("m")}
	s.id = w.make(t, w.alice, &q).KeyID
	s.name = s.id
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: s.alias, TargetKeyID: s.id})
	if op == kms.OpDeleteImportedKeyMaterial {
		w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Key(aliceScope, s.id) }, func(body any) {
			k := body.(*kms.Key)
			k.Origin = kms.OriginExternal
			if state == kms.StatePendingImport {
				k.State, k.Materials = state, nil
			}
		})
	}
	prepare := rights[op].prepare
	switch {
	case op == kms.OpCancelKeyDeletion: // its preparation is a state
	case state == kms.StatePendingImport && (op == kms.OpDecrypt || op == kms.OpReEncrypt):
		other := w.CreateKey(w.alice)
		s.ciphertext = underNameOf(t, w.encrypt(t, w.alice, other, message, nil), s.id)
	case state == kms.StatePendingImport && op.Crypto: // refused whatever the request carries
	case state == kms.StatePendingImport && op == kms.OpUpdatePrimaryRegion:
	case state == kms.StatePendingImport && op == kms.OpRevokeGrant, state == kms.StatePendingImport && op == kms.OpRetireGrant:
		w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Key(aliceScope, s.id) }, func(body any) { body.(*kms.Key).State = kms.StateEnabled })
		prepare(t, w, w.alice, s)
		w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Key(aliceScope, s.id) }, func(body any) { body.(*kms.Key).State = state })
	case prepare != nil:
		prepare(t, w, w.alice, s)
	}
	switch state {
	case kms.StateDisabled:
		w.must(t, w.alice, kms.OpDisableKey, byKey(s))
	case kms.StatePendingReplicaDeletion:
		if op != kms.OpUpdatePrimaryRegion { // which has a replica already
			replicated(t, w, w.alice, s)
		}
		w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: s.id})
	case kms.StatePendingDeletion:
		if op == kms.OpUpdatePrimaryRegion { // with a replica it would be another state
			w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Key(aliceScope, s.id) }, func(body any) {
				k := body.(*kms.Key)
				k.State, k.Deletion = state, servicetest.Epoch+int64(1e12)
			})
			break
		}
		w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: s.id})
	}
	if got := w.must(t, w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: s.name}).(*kms.KeyAnswer).Key; got.KeyState != state || got.Enabled != (state == kms.StateEnabled) {
		t.Fatalf("the key is %s, enabled: %v, instead of %s", got.KeyState, got.Enabled, state)
	}
	return s
}

// Every operation that acts on a key succeeds or is refused in the words of AWS KMS, as the key's state says.
func TestEveryOperationInEveryState(t *testing.T) {
	for _, op := range kms.Operations {
		row, acts := inStates[op]
		if imports := op == kms.OpGetParametersForImport || op == kms.OpImportKeyMaterial; imports || op.Resource != kms.ResourceKey && !acts {
			if op.Resource == kms.ResourceAlias {
				t.Errorf("%s has no row", op.Name)
			}
			continue // TestImportInEveryState
		}
		if !acts {
			t.Errorf("%s has no row", op.Name)
			continue
		}
		for i, state := range reachable {
			if row[i] == '-' {
				continue
			}
			t.Run(op.Name+"/"+string(state), func(t *testing.T) {
				w := newWorld(t, twoRegions)
				s := w.bring(t, op, state)
				request := rights[op].request(s)
				switch q := request.(type) {
				case *kms.DecryptRequest:
					q.KeyID = s.name
				case *kms.ReEncryptRequest: // from it; to it is below
					q.SourceKeyID, q.KeyID = s.name, w.CreateKey(w.alice)
				case *kms.PutKeyPolicyRequest:
					q.Policy = defaultPolicy(aliceID)
				}
				w.judged(t, op, request, s, row[i], state)
				if op == kms.OpReEncrypt {
					other := w.CreateKey(w.alice)
					q := &kms.ReEncryptRequest{KeyID: s.name, CiphertextBlob: w.encrypt(t, w.alice, other, message, nil)}
					w.judged(t, op, q, s, row[i], state)
				}
			})
		}
	}
}

// judged calls an operation and compares what comes of it with a cell of inStates.
func (w *world) judged(t *testing.T, op *kms.Operation, request any, s *topic, cell byte, state kms.KeyState) {
	t.Helper()
	arn := "arn:aws:kms:" + firstRegion + ":" + aliceID + ":key/" + s.id
	pending := " is pending deletion."
	if state == kms.StatePendingReplicaDeletion {
		pending = " is pending replica deletion."
	}
	refusal := map[byte]string{
		'd': "key_disabled: " + arn + " is disabled.",
		'p': "invalid_state: " + arn + pending,
		'n': "invalid_state: " + arn + " is not pending deletion.",
		'i': "invalid_state: " + arn + " is pending import.",
		'x': "unsupported_operation: " + arn + " origin is EXTERNAL which is not valid for this operation.",
	}[cell]
	before := w.State().Index()
	_, err := w.Do(w.alice, op, request)
	if refusal == "" {
		want(t, "a key that is "+string(state), err, "")
		return
	}
	if err == nil || err.Error() != refusal {
		t.Errorf("refused with %v, want %s", err, refusal)
	}
	if w.State().Index() != before {
		t.Error("a refusal was written")
	}
}

// The operations that bring material, with one wrapping key: it is taken by keys that wait for it, are enabled or
// disabled, and by none on its way out.
func TestImportInEveryState(t *testing.T) {
	w := newWorld(t, twoRegions)
	s := w.topic(t, w.alice, kms.OpImportKeyMaterial, "alias/a") // one that is pending import, with a token
	state := func(want kms.KeyState) {
		t.Helper()
		if got := w.must(t, w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: s.name}).(*kms.KeyAnswer).Key.KeyState; got != want {
			t.Fatalf("the key is %s, want %s", got, want)
		}
	}
	take := func() {
		t.Helper()
		w.must(t, w.alice, kms.OpImportKeyMaterial, rights[kms.OpImportKeyMaterial].request(s))
	}
	state(kms.StatePendingImport)
	take()
	state(kms.StateEnabled)
	take()
	state(kms.StateEnabled)
	w.must(t, w.alice, kms.OpDisableKey, byKey(s))
	take()
	w.must(t, w.alice, kms.OpGetParametersForImport, parametersRequest(s))
	state(kms.StateDisabled)
	ofAWS := &topic{id: w.CreateKey(w.alice)}
	ofAWS.name = ofAWS.id
	for _, leave := range []struct {
		state kms.KeyState
		text  string
	}{{kms.StatePendingDeletion, " is pending deletion."}, {kms.StatePendingReplicaDeletion, " is pending replica deletion."}} {
		w.touch(t, func(ids catalog.IDs) fsm.Ref { return ids.Key(aliceScope, s.id) }, func(body any) {
			k := body.(*kms.Key)
			k.State, k.Deletion = leave.state, servicetest.Epoch+int64(1e12)
		})
		for _, op := range []*kms.Operation{kms.OpGetParametersForImport, kms.OpImportKeyMaterial} {
			_, err := w.Do(w.alice, op, rights[op].request(s))
			want(t, op.Name, err, kms.CodeInvalidState)
			if !strings.HasSuffix(err.Error(), leave.text) {
				t.Errorf("%s: %v", op.Name, err)
			}
		}
	}
	for _, op := range []*kms.Operation{kms.OpGetParametersForImport, kms.OpImportKeyMaterial, kms.OpDeleteImportedKeyMaterial} {
		s := *s
		s.id, s.name = ofAWS.id, ofAWS.id
		_, err := w.Do(w.alice, op, rights[op].request(&s))
		want(t, op.Name, err, kms.CodeUnsupported)
		if !strings.HasSuffix(err.Error(), " origin is AWS_KMS which is not valid for this operation.") {
			t.Errorf("%s: %v", op.Name, err)
		}
	}
}

// An alias leaves a key that is on its way out, and moves between keys of one kind only.
func TestAliasesMoveBetweenKeysOfOneKind(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	symmetric, signing, mac, agreement := w.make(t, w.alice, symmetricKey).KeyID, w.make(t, w.alice, signingKey).KeyID, w.make(t, w.alice, macKey).KeyID, w.make(t, w.alice, agreementKey).KeyID
	rsa := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.RSA2048, KeyUsage: kms.EncryptDecrypt}).KeyID
	p384 := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.ECCNISTP384, KeyUsage: kms.SignVerify}).KeyID
	for i, first := range []string{symmetric, signing, mac, agreement, rsa} {
		alias := "alias/" + string(rune('a'+i))
		w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: alias, TargetKeyID: first})
		for _, second := range []string{symmetric, signing, mac, agreement, rsa} {
			_, err := w.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: alias, TargetKeyID: second})
			code := kms.CodeValidation
			if first == second {
				code = ""
			}
			want(t, "move", err, code)
		}
	}
	w.must(t, w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/b", TargetKeyID: p384})
	w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: p384})
	_, err := w.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/b", TargetKeyID: p384})
	want(t, "to a key that is pending deletion", err, kms.CodeInvalidState)
	w.must(t, w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/b", TargetKeyID: signing})

	// A managed key has the one alias that it was made for.
	managed := w.must(t, w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/aws/test"}).(*kms.KeyAnswer).Key.KeyID
	_, err = w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/z", TargetKeyID: managed})
	want(t, "an alias of a managed key", err, kms.CodeAccessDenied)
	_, err = w.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: managed})
	want(t, "an alias that moves to a managed key", err, kms.CodeAccessDenied)
}
