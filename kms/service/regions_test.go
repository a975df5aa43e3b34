package service_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

const thirdRegion = "ap-south-1"

var threeRegions = servicetest.Options{Regions: []string{firstRegion, secondRegion, thirdRegion}}

// regional is a world in which alice calls regions.
type regional struct {
	*world
	t *testing.T
}

func newRegional(t *testing.T) *regional { return &regional{newWorld(t, threeRegions), t} }

func (w *regional) do(region string, op *kms.Operation, request any) any {
	w.t.Helper()
	answer, err := in(w.Node, w.alice, region, op, request)
	want(w.t, op.Name+" in "+region, err, "")
	return answer
}

func (w *regional) refused(region string, op *kms.Operation, request any, code kms.Code) {
	w.t.Helper()
	_, err := in(w.Node, w.alice, region, op, request)
	want(w.t, op.Name+" in "+region, err, code)
}

func (w *regional) replicate(key, region string) {
	w.t.Helper()
	w.do(firstRegion, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: region})
}

func (w *regional) encryptIn(region, key, plain string) []byte {
	w.t.Helper()
	return w.do(region, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(plain)}).(*kms.EncryptAnswer).CiphertextBlob
}

func (w *regional) key(region, key string) kms.KeyMetadata {
	w.t.Helper()
	return w.describe(w.t, region, key)
}

func (w *regional) runDue(after time.Duration) {
	w.t.Helper()
	w.Advance(after)
	want(w.t, "run", w.RunDue(w.t.Context()), "")
}

const days = 24 * time.Hour

// Related keys share id and material, and nothing else.
func TestMultiRegionKeys(t *testing.T) {
	w := newRegional(t)
	key := w.make(t, w.alice, &kms.CreateKeyRequest{MultiRegion: true, Description: "one", Tags: map[string]string{"a": "1"}}).KeyID
	if !strings.HasPrefix(key, "mrk-") || len(key) != 36 {
		t.Errorf("a multi-Region key has the id %s", key)
	}
	r := w.do(firstRegion, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion, Description: "two"}).(*kms.ReplicateKeyAnswer)
	if r.Key.KeyID != key || r.Key.Region != secondRegion || r.Key.Description != "two" || len(r.Tags) != 0 {
		t.Errorf("replica %+v", r)
	}
	replicate := func(id, region string) any { return &kms.ReplicateKeyRequest{KeyID: id, ReplicaRegion: region} }
	w.refused(firstRegion, kms.OpReplicateKey, replicate(key, secondRegion), kms.CodeAlreadyExists)
	w.refused(firstRegion, kms.OpReplicateKey, replicate(key, firstRegion), kms.CodeAlreadyExists)
	w.refused(secondRegion, kms.OpReplicateKey, replicate(key, thirdRegion), kms.CodeUnsupported)
	w.refused(firstRegion, kms.OpReplicateKey, replicate(w.CreateKey(w.alice), secondRegion), kms.CodeUnsupported)
	w.refused(firstRegion, kms.OpReplicateKey, replicate(key, "us-west-9"), kms.CodeValidation)
	w.refused(thirdRegion, kms.OpDescribeKey, &kms.KeyRequest{KeyID: key}, kms.CodeNotFound)
	w.replicate(key, thirdRegion)
	for _, region := range threeRegions.Regions {
		m := w.key(region, key).MultiRegionConfiguration
		if m.PrimaryKey.Region != firstRegion || len(m.ReplicaKeys) != 2 || (m.MultiRegionKeyType == "PRIMARY") != (region == firstRegion) {
			t.Errorf("in %s: %+v", region, m)
		}
	}

	w.decrypts(t, secondRegion, w.encryptIn(firstRegion, key, "p"), "p")
	old := w.encryptIn(secondRegion, key, "p")
	w.refused(secondRegion, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key}, kms.CodeUnsupported)
	w.refused(secondRegion, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key}, kms.CodeUnsupported)
	was := w.key(firstRegion, key).CurrentKeyMaterialID
	w.do(firstRegion, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	is := w.key(firstRegion, key).CurrentKeyMaterialID
	for _, region := range threeRegions.Regions {
		if got := w.key(region, key).CurrentKeyMaterialID; got != is || got == was {
			t.Errorf("in %s the current material is %s", region, got)
		}
		w.decrypts(t, region, old, "p")
	}

	w.do(secondRegion, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	w.do(secondRegion, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: map[string]string{"b": "2"}})
	w.do(secondRegion, kms.OpUpdateKeyDescription, &kms.UpdateKeyDescriptionRequest{KeyID: key, Description: "theirs"})
	w.do(secondRegion, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/there", TargetKeyID: key})
	if k := w.key(firstRegion, key); !k.Enabled || k.Description != "one" {
		t.Errorf("the primary key became %+v", k)
	}
	if tags := w.do(firstRegion, kms.OpListResourceTags, &kms.KeyListRequest{KeyID: key}).(*kms.ListResourceTagsAnswer).Tags; len(tags) != 1 || tags[0].Key != "a" {
		t.Errorf("the primary key's tags became %v", tags)
	}
	w.refused(firstRegion, kms.OpDescribeKey, &kms.KeyRequest{KeyID: "alias/there"}, kms.CodeNotFound)
	w.refused(secondRegion, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")}, kms.CodeKeyDisabled)
}

// Another region becomes the primary one, and rotation goes with it.
func TestPrimaryMoves(t *testing.T) {
	w := newRegional(t)
	key := w.make(t, w.alice, regionalKey).KeyID
	w.do(firstRegion, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: ptr(100)})
	move := func(to string) any { return &kms.UpdatePrimaryRegionRequest{KeyID: key, PrimaryRegion: to} }
	w.refused(firstRegion, kms.OpUpdatePrimaryRegion, move(secondRegion), kms.CodeUnsupported)
	w.replicate(key, secondRegion)
	w.refused(firstRegion, kms.OpUpdatePrimaryRegion, move(firstRegion), kms.CodeUnsupported)
	w.refused(secondRegion, kms.OpUpdatePrimaryRegion, move(secondRegion), kms.CodeUnsupported)
	w.do(secondRegion, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	w.refused(firstRegion, kms.OpUpdatePrimaryRegion, move(secondRegion), kms.CodeKeyDisabled)
	w.do(secondRegion, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	// A node that has not seen the replica yet asks before it refuses.
	n := w.Cluster.Node(threeRegions)
	n.Lag(true)
	w.replicate(key, thirdRegion)
	_, err := in(n, w.alice, firstRegion, kms.OpUpdatePrimaryRegion, move(thirdRegion))
	want(t, "on a node that is behind", err, "")
	w.do(thirdRegion, kms.OpUpdatePrimaryRegion, move(secondRegion))

	for _, region := range threeRegions.Regions {
		if m := w.key(region, key).MultiRegionConfiguration; m.PrimaryKey.Region != secondRegion || len(m.ReplicaKeys) != 2 {
			t.Errorf("in %s: %+v", region, m)
		}
		s := w.do(region, kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: key}).(*kms.KeyRotationStatusAnswer)
		if !s.KeyRotationEnabled || s.RotationPeriodInDays != 100 {
			t.Errorf("in %s rotation is %+v", region, s)
		}
	}
	w.refused(firstRegion, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key}, kms.CodeUnsupported)
	before := w.key(firstRegion, key).CurrentKeyMaterialID
	w.runDue(102 * days)
	after := w.key(firstRegion, key).CurrentKeyMaterialID
	if after == before || w.key(thirdRegion, key).CurrentKeyMaterialID != after {
		t.Error("the new primary key was not rotated for all")
	}
}

// A primary key waits for its replicas before its window begins, and the material stays as long as one key has it.
func TestRelatedKeysAreDestroyed(t *testing.T) {
	w := newRegional(t)
	key := w.make(t, w.alice, regionalKey).KeyID
	w.replicate(key, secondRegion)
	w.replicate(key, thirdRegion)
	id := w.key(firstRegion, key).CurrentKeyMaterialID
	blob := w.encryptIn(firstRegion, key, "p")
	remove := &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(7)}
	if k := w.do(firstRegion, kms.OpScheduleKeyDeletion, remove).(*kms.KeyAnswer).Key; k.KeyState != kms.StatePendingReplicaDeletion || k.DeletionDate != nil || k.PendingDeletionWindowInDays != 7 {
		t.Errorf("with replicas: %+v", k)
	}
	w.runDue(60 * days)
	w.do(secondRegion, kms.OpScheduleKeyDeletion, remove)
	w.runDue(8 * days)
	w.refused(secondRegion, kms.OpDescribeKey, &kms.KeyRequest{KeyID: key}, kms.CodeNotFound)
	if k := w.key(firstRegion, key); k.KeyState != kms.StatePendingReplicaDeletion || len(k.MultiRegionConfiguration.ReplicaKeys) != 1 {
		t.Errorf("with one replica left: %+v", k)
	}
	w.decrypts(t, thirdRegion, blob, "p")
	w.do(thirdRegion, kms.OpScheduleKeyDeletion, remove)
	w.runDue(8 * days)
	k := w.key(firstRegion, key)
	if k.KeyState != kms.StatePendingDeletion || k.DeletionDate == nil || !k.DeletionDate.After(kms.Time(w.State().LogTime()).Add(6*days)) {
		t.Errorf("without replicas: %+v", k)
	}
	if !w.hasMaterial(id) {
		t.Error("the material went before the last key")
	}
	w.do(firstRegion, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
	w.do(firstRegion, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	w.decrypts(t, firstRegion, blob, "p")
	w.do(firstRegion, kms.OpScheduleKeyDeletion, remove)
	w.runDue(8 * days)
	w.refused(firstRegion, kms.OpDescribeKey, &kms.KeyRequest{KeyID: key}, kms.CodeNotFound)
	if w.hasMaterial(id) {
		t.Error("the material outlived the last key")
	}
}

// Material is imported into each region, the announced one too, and the same one.
func TestImportPerRegion(t *testing.T) {
	w := newRegional(t)
	key := w.make(t, w.alice, &kms.CreateKeyRequest{MultiRegion: true, Origin: kms.OriginExternal}).KeyID
	first, second := w.ceremony(t, firstRegion, key, kms.WrapRSAESOAEPSHA256), (*ceremony)(nil)
	w.refused(firstRegion, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion}, kms.CodeInvalidState)
	id := first.mustBring(t, bytes32(1), nil)
	w.replicate(key, secondRegion)
	if k := w.key(secondRegion, key); k.KeyState != kms.StatePendingImport {
		t.Errorf("the replica begins %s", k.KeyState)
	}
	blob := w.encryptIn(firstRegion, key, "p")
	w.refused(secondRegion, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob}, kms.CodeInvalidState)
	second = w.ceremony(t, secondRegion, key, kms.WrapRSAESOAEPSHA256)
	_, err := second.bring(t, bytes32(2), nil)
	want(t, "other material in the replica", err, kms.CodeIncorrectKeyMaterial)
	_, err = second.bring(t, bytes32(1), func(q *kms.ImportKeyMaterialRequest) { q.ImportToken = first.token })
	want(t, "the token of the other region", err, kms.CodeInvalidImportToken)
	if got := second.mustBring(t, bytes32(1), nil); got != id {
		t.Errorf("in the replica it is %s, in the primary key %s", got, id)
	}
	if k := w.key(secondRegion, key); k.KeyState != kms.StateEnabled {
		t.Errorf("after its import the replica is %s", k.KeyState)
	}
	w.decrypts(t, secondRegion, blob, "p")

	// It goes and comes in each region by itself, and the record stays as long as one has it.
	unimport := &kms.DeleteImportedKeyMaterialRequest{KeyID: key}
	w.do(firstRegion, kms.OpDeleteImportedKeyMaterial, unimport)
	w.refused(firstRegion, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob}, kms.CodeInvalidState)
	w.decrypts(t, secondRegion, blob, "p")
	w.do(secondRegion, kms.OpDeleteImportedKeyMaterial, unimport)
	if w.hasMaterial(id) {
		t.Error("the record is there though no region has the material")
	}
	first.mustBring(t, bytes32(1), nil)
	second.mustBring(t, bytes32(1), nil)

	_, err = second.bring(t, bytes32(3), announce)
	want(t, "announced in the replica first", err, kms.CodeUnsupported)
	next := first.mustBring(t, bytes32(3), announce)
	rotate := &kms.KeyRequest{KeyID: key}
	w.refused(firstRegion, kms.OpRotateKeyOnDemand, rotate, kms.CodeInvalidState)
	if k := w.key(secondRegion, key); k.KeyState != kms.StateEnabled {
		t.Errorf("what is only announced makes the replica %s", k.KeyState)
	}
	second.mustBring(t, bytes32(3), nil)
	w.do(firstRegion, kms.OpRotateKeyOnDemand, rotate)
	if got := w.key(secondRegion, key).CurrentKeyMaterialID; got != next {
		t.Errorf("the replica's current material is %s", got)
	}
	w.decrypts(t, firstRegion, w.encryptIn(secondRegion, key, "q"), "q")
	w.decrypts(t, secondRegion, blob, "p")
}
