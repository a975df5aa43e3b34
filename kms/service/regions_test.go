package service_test

import (
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

var threeRegions = servicetest.Options{Regions: []string{"us-east-1", "eu-west-1", "ap-south-1"}}

// regions is a world whose operations name a region.
type regions struct {
	*world
	t *testing.T
}

func newRegions(t *testing.T) *regions { return &regions{newWorld(t, threeRegions), t} }

func (w *regions) do(region string, op *kms.Operation, request any) any {
	w.t.Helper()
	a, err := in(w.t, w.Node, w.alice, region, op, request)
	want(w.t, region+": "+op.Name, err, "")
	return a
}

func (w *regions) refuse(region string, op *kms.Operation, request any, code kms.Code) {
	w.t.Helper()
	_, err := in(w.t, w.Node, w.alice, region, op, request)
	want(w.t, region+": "+op.Name, err, code)
}

func (w *regions) key(region, id string) kms.KeyMetadata {
	w.t.Helper()
	return w.do(region, kms.OpDescribeKey, &kms.KeyRequest{KeyID: id}).(*kms.KeyAnswer).Key
}

func (w *regions) encryptIn(region, id, text string) []byte {
	w.t.Helper()
	return w.do(region, kms.OpEncrypt, &kms.EncryptRequest{KeyID: id, Plaintext: []byte(text)}).(*kms.EncryptAnswer).CiphertextBlob
}

func (w *regions) decryptIn(region string, c []byte, text string) {
	w.t.Helper()
	a := w.do(region, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: c}).(*kms.DecryptAnswer)
	if string(a.Plaintext) != text || !strings.HasPrefix(a.KeyID, "arn:aws:kms:"+region+":") {
		w.t.Errorf("%s: %q by %s", region, string(a.Plaintext), a.KeyID)
	}
}

func (w *regions) replicate(id, region string) kms.KeyMetadata {
	w.t.Helper()
	return w.do("us-east-1", kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: id, ReplicaRegion: region}).(*kms.ReplicateKeyAnswer).Key
}

func TestReplicas(t *testing.T) {
	w := newRegions(t)
	single := w.CreateKey(w.alice)
	w.refuse("us-east-1", kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: single, ReplicaRegion: "eu-west-1"}, kms.CodeUnsupported)
	k := w.make(t, w.alice, &kms.CreateKeyRequest{MultiRegion: true, Description: "primary", Tags: map[string]string{"a": "b"}})
	if !kms.IsMultiRegionID(k.KeyID) || len(k.KeyID) != 36 || !k.MultiRegion || k.MultiRegionConfiguration.MultiRegionKeyType != "PRIMARY" || len(k.MultiRegionConfiguration.ReplicaKeys) != 0 {
		t.Fatalf("created %+v", k)
	}
	old := w.encryptIn("us-east-1", k.KeyID, "old")
	w.do("us-east-1", kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: k.KeyID})
	r := w.replicate(k.KeyID, "eu-west-1")
	if r.KeyID != k.KeyID || r.Region != "eu-west-1" || r.Description != "" || r.MultiRegionConfiguration.MultiRegionKeyType != "REPLICA" ||
		r.MultiRegionConfiguration.PrimaryKey.ARN != k.ARN || len(r.MultiRegionConfiguration.ReplicaKeys) != 1 || r.MultiRegionConfiguration.ReplicaKeys[0].ARN != r.ARN {
		t.Errorf("replicated %+v", r)
	}
	for _, region := range []string{"eu-west-1", "us-east-1"} {
		w.refuse("us-east-1", kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: k.KeyID, ReplicaRegion: region}, kms.CodeAlreadyExists)
	}
	w.refuse("us-east-1", kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: k.KeyID, ReplicaRegion: "mars-1"}, kms.CodeValidation)
	w.refuse("eu-west-1", kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: k.KeyID, ReplicaRegion: "ap-south-1"}, kms.CodeUnsupported)
	w.decryptIn("eu-west-1", old, "old")
	w.decryptIn("us-east-1", w.encryptIn("eu-west-1", r.ARN, "new"), "new")

	// A rotation of the primary key is one of all, with one new record.
	materials := live(w.world, fsm.KindMaterial)
	for _, op := range []*kms.Operation{kms.OpRotateKeyOnDemand, kms.OpDisableKeyRotation} {
		w.refuse("eu-west-1", op, &kms.KeyRequest{KeyID: k.KeyID}, kms.CodeUnsupported)
	}
	w.do("us-east-1", kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: k.KeyID})
	if live(w.world, fsm.KindMaterial) != materials+1 || w.key("eu-west-1", k.KeyID).CurrentKeyMaterialID != w.key("us-east-1", k.KeyID).CurrentKeyMaterialID {
		t.Error("the rotation did not reach the replica")
	}
	w.decryptIn("us-east-1", w.encryptIn("eu-west-1", k.KeyID, "rotated"), "rotated")
	w.enableRotation(t, k.KeyID, 90)
	if s := w.do("eu-west-1", kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: k.KeyID}).(*kms.KeyRotationStatusAnswer); !s.KeyRotationEnabled || s.RotationPeriodInDays != 90 {
		t.Errorf("the replica says %+v", s)
	}
	w.Advance(92 * oneDay)
	runDue(t, w.Node)
	if w.key("eu-west-1", k.KeyID).CurrentKeyMaterialID != w.key("us-east-1", k.KeyID).CurrentKeyMaterialID || live(w.world, fsm.KindMaterial) != materials+2 {
		t.Error("the automatic rotation did not reach the replica")
	}

	// What is each one's own.
	w.do("eu-west-1", kms.OpDisableKey, &kms.KeyRequest{KeyID: k.KeyID})
	w.do("eu-west-1", kms.OpTagResource, &kms.TagResourceRequest{KeyID: k.KeyID, Tags: map[string]string{"c": "d"}})
	w.do("eu-west-1", kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: k.KeyID})
	w.do("eu-west-1", kms.OpUpdateKeyDescription, &kms.UpdateKeyDescriptionRequest{KeyID: k.KeyID, Description: "replica"})
	w.do("us-east-1", kms.OpCreateGrant, grantRequest(k.KeyID))
	if p := w.key("us-east-1", k.KeyID); p.KeyState != kms.StateEnabled || p.Description != "primary" {
		t.Errorf("the primary key is %+v", p)
	}
	w.refuse("us-east-1", kms.OpDescribeKey, &kms.KeyRequest{KeyID: "alias/a"}, kms.CodeNotFound)
	w.refuse("eu-west-1", kms.OpEncrypt, &kms.EncryptRequest{KeyID: "alias/a", Plaintext: []byte("x")}, kms.CodeKeyDisabled)
	for region, tag := range map[string]string{"us-east-1": "a", "eu-west-1": "c"} {
		if tags := w.do(region, kms.OpListResourceTags, &kms.KeyListRequest{KeyID: k.KeyID}).(*kms.ListResourceTagsAnswer).Tags; len(tags) != 1 || tags[0].Key != tag {
			t.Errorf("%s: tags %+v", region, tags)
		}
	}
	for region, n := range map[string]int{"us-east-1": 1, "eu-west-1": 0} {
		if got := len(w.do(region, kms.OpListGrants, &kms.ListGrantsRequest{KeyID: k.KeyID}).(*kms.ListGrantsAnswer).Grants); got != n {
			t.Errorf("%s: %d grants", region, got)
		}
	}
}

func TestPrimaryRegionMoves(t *testing.T) {
	w := newRegions(t)
	k := w.make(t, w.alice, &kms.CreateKeyRequest{MultiRegion: true})
	w.replicate(k.KeyID, "eu-west-1")
	w.replicate(k.KeyID, "ap-south-1")
	next := w.enableRotation(t, k.KeyID, 90)
	w.do("us-east-1", kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: k.KeyID})
	promote := func(region string) *kms.UpdatePrimaryRegionRequest {
		return &kms.UpdatePrimaryRegionRequest{KeyID: k.KeyID, PrimaryRegion: region}
	}
	w.refuse("eu-west-1", kms.OpUpdatePrimaryRegion, promote("eu-west-1"), kms.CodeUnsupported)
	w.refuse("us-east-1", kms.OpUpdatePrimaryRegion, promote("us-east-1"), kms.CodeUnsupported)
	w.do("eu-west-1", kms.OpDisableKey, &kms.KeyRequest{KeyID: k.KeyID})
	w.refuse("us-east-1", kms.OpUpdatePrimaryRegion, promote("eu-west-1"), kms.CodeKeyDisabled)
	w.do("eu-west-1", kms.OpEnableKey, &kms.KeyRequest{KeyID: k.KeyID})
	w.do("us-east-1", kms.OpUpdatePrimaryRegion, promote("eu-west-1"))
	for region, kind := range map[string]string{"us-east-1": "REPLICA", "eu-west-1": "PRIMARY", "ap-south-1": "REPLICA"} {
		m := w.key(region, k.KeyID).MultiRegionConfiguration
		if m.MultiRegionKeyType != kind || m.PrimaryKey.Region != "eu-west-1" || len(m.ReplicaKeys) != 2 {
			t.Errorf("%s: %+v", region, m)
		}
		s := w.do(region, kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: k.KeyID}).(*kms.KeyRotationStatusAnswer)
		if !s.KeyRotationEnabled || !s.NextRotationDate.Equal(next) || s.OnDemandRotations != 1 {
			t.Errorf("%s: %+v", region, s)
		}
	}
	w.refuse("us-east-1", kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: k.KeyID}, kms.CodeUnsupported)
	w.Advance(92 * oneDay)
	runDue(t, w.Node)
	if done, _ := events("RotateKey", w.Node); done != 1 {
		t.Errorf("%d automatic rotations", done)
	}
	w.decryptIn("us-east-1", w.encryptIn("ap-south-1", k.KeyID, "x"), "x")
}

// A primary key waits for its replicas, and the material for the last key that has it.
func TestDeletionOfMultiRegionKeys(t *testing.T) {
	w := newRegions(t)
	before := counts(w.world)
	k := w.make(t, w.alice, &kms.CreateKeyRequest{MultiRegion: true})
	c := w.encryptIn("us-east-1", k.KeyID, "x")
	w.replicate(k.KeyID, "eu-west-1")
	w.replicate(k.KeyID, "ap-south-1")
	p := w.do("us-east-1", kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: k.KeyID, PendingWindowInDays: ptr(10)}).(*kms.KeyAnswer).Key
	if p.KeyState != kms.StatePendingReplicaDeletion || p.DeletionDate != nil || p.PendingDeletionWindowInDays != 10 {
		t.Errorf("scheduled %+v", p)
	}
	w.Advance(100 * oneDay)
	runDue(t, w.Node)
	if got := w.do("us-east-1", kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: k.KeyID}).(*kms.KeyAnswer).Key; got.KeyState != kms.StateDisabled {
		t.Errorf("cancelled %+v", got)
	}
	w.do("us-east-1", kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: k.KeyID, PendingWindowInDays: ptr(10)})
	for i, region := range []string{"eu-west-1", "ap-south-1"} {
		w.decryptIn(region, c, "x") // as long as it is there
		w.do(region, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: k.KeyID, PendingWindowInDays: ptr(7)})
		w.Advance(8 * oneDay)
		runDue(t, w.Node)
		w.refuse(region, kms.OpDescribeKey, &kms.KeyRequest{KeyID: k.KeyID}, kms.CodeNotFound)
		p := w.key("us-east-1", k.KeyID)
		if i == 0 && p.KeyState != kms.StatePendingReplicaDeletion || len(p.MultiRegionConfiguration.ReplicaKeys) != 1-i {
			t.Errorf("after %s the primary key is %+v", region, p)
		}
		if live(w.world, fsm.KindMaterial) != before[fsm.KindMaterial]+1 {
			t.Fatal("the material did not wait for the last key")
		}
	}
	p = w.key("us-east-1", k.KeyID)
	if left := p.DeletionDate.UnixMilli() - w.Now(); p.KeyState != kms.StatePendingDeletion || left < 9*oneDay.Milliseconds() || left > 10*oneDay.Milliseconds() {
		t.Errorf("the window: %+v", p)
	}
	w.do("us-east-1", kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: k.KeyID})
	w.do("us-east-1", kms.OpEnableKey, &kms.KeyRequest{KeyID: k.KeyID})
	w.decryptIn("us-east-1", c, "x")
	w.replicate(k.KeyID, "eu-west-1") // comes back with the material
	w.decryptIn("eu-west-1", c, "x")
	for _, region := range []string{"eu-west-1", "us-east-1"} {
		w.do(region, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: k.KeyID, PendingWindowInDays: ptr(7)})
		w.Advance(8 * oneDay)
		runDue(t, w.Node)
	}
	if kinds := remains(w.world, before); len(kinds) > 0 {
		t.Errorf("live records remain of kinds %v", kinds)
	}
	if done, failed := events("DeleteKey", w.Node); done != 4 || failed != 0 {
		t.Errorf("%d and %d records", done, failed)
	}
}

// Imported material is each region's own: it comes and goes there, and the last one to lose it destroys it.
func TestImportIntoRegions(t *testing.T) {
	w := newRegions(t)
	k := w.make(t, w.alice, &kms.CreateKeyRequest{MultiRegion: true, Origin: kms.OriginExternal})
	first, second := newMaterial(32), newMaterial(32)
	imported := func(region string, plain []byte, how kms.ImportType, code kms.Code) {
		t.Helper()
		_, err := w.tryImport(t, region, k.KeyID, plain, &kms.ImportKeyMaterialRequest{ImportType: how})
		want(t, region, err, code)
	}
	imported("us-east-1", first, "", "")
	w.replicate(k.KeyID, "eu-west-1")
	if got := w.key("eu-west-1", k.KeyID).KeyState; got != kms.StatePendingImport {
		t.Errorf("the replica is %s", got)
	}
	imported("eu-west-1", second, "", kms.CodeIncorrectKeyMaterial)
	imported("eu-west-1", second, kms.ImportNewMaterial, kms.CodeUnsupported)
	imported("eu-west-1", first, "", "")
	c := w.encryptIn("eu-west-1", k.KeyID, "x")
	w.decryptIn("us-east-1", c, "x")
	imported("us-east-1", second, kms.ImportNewMaterial, "")
	all := w.do("us-east-1", kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: k.KeyID, IncludeKeyMaterial: "ALL_KEY_MATERIAL"}).(*kms.ListKeyRotationsAnswer).Rotations
	if len(all) != 2 || all[1].KeyMaterialState != "PENDING_MULTI_REGION_IMPORT_AND_ROTATION" {
		t.Errorf("announced %+v", all)
	}
	w.refuse("us-east-1", kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: k.KeyID}, kms.CodeInvalidState)
	imported("eu-west-1", second, "", "")
	w.do("us-east-1", kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: k.KeyID})
	w.decryptIn("eu-west-1", w.encryptIn("us-east-1", k.KeyID, "y"), "y")
	w.decryptIn("us-east-1", c, "x")
	w.do("us-east-1", kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: k.KeyID})
	if a, b := w.key("us-east-1", k.KeyID).KeyState, w.key("eu-west-1", k.KeyID).KeyState; a != kms.StatePendingImport || b != kms.StateEnabled {
		t.Errorf("without material here: %s and %s", a, b)
	}
	w.decryptIn("eu-west-1", c, "x")
	if got := live(w.world, fsm.KindMaterial); got != 2 {
		t.Errorf("%d materials", got)
	}
	w.do("eu-west-1", kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: k.KeyID})
	if got := live(w.world, fsm.KindMaterial); got != 1 {
		t.Errorf("%d materials", got)
	}
}
