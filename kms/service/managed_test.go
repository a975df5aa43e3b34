package service_test

import (
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func TestManagedKeysComeWithTheirFirstUse(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	const alias = "alias/aws/ebs"
	for op, request := range map[*kms.Operation]any{
		kms.OpDecrypt:           &kms.DecryptRequest{KeyID: alias, CiphertextBlob: w.encrypt(t, w.alice, w.CreateKey(w.alice), "x", nil)},
		kms.OpDisableKey:        &kms.KeyRequest{KeyID: alias},
		kms.OpGetKeyPolicy:      &kms.KeyRequest{KeyID: alias},
		kms.OpRotateKeyOnDemand: &kms.KeyRequest{KeyID: alias},
	} {
		_, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, kms.CodeNotFound)
	}
	for _, bad := range []string{"alias/aws/", "alias/aws"} {
		_, err := w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: bad, Plaintext: []byte("x")})
		if err == nil {
			t.Errorf("%s made a key", bad)
		}
	}
	if got := live(w, fsm.KindKey); got != 1 {
		t.Fatalf("%d keys", got)
	}
	for name, use := range map[string]struct {
		op      *kms.Operation
		request any
	}{
		"alias/aws/a": {kms.OpEncrypt, &kms.EncryptRequest{KeyID: "alias/aws/a", Plaintext: []byte("x")}},
		"alias/aws/b": {kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: "alias/aws/b", KeySpec: kms.DataKeyAES256}},
		"alias/aws/c": {kms.OpDescribeKey, &kms.KeyRequest{KeyID: "alias/aws/c"}},
	} {
		n.Lag(true)
		w.must(t, w.alice, use.op, use.request)
		_, err := n.Do(w.alice, use.op, use.request) // a node that has not heard of it
		want(t, name, err, "")
		n.Lag(false)
		k := w.describe(t, name)
		if k.KeyManager != kms.ManagerAWS || !k.Enabled {
			t.Errorf("%s: %+v", name, k)
		}
		if s := w.rotation(t, k.KeyID); !s.KeyRotationEnabled || s.RotationPeriodInDays != 365 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if got := live(w, fsm.KindKey); got != 4 {
		t.Errorf("%d keys", got)
	}
	if done, failed := events("CreateKey", w.Node, n); done != 4 || failed != 0 {
		t.Errorf("%d and %d records", done, failed)
	}
	w.Advance(367 * oneDay)
	runDue(t, w.Node, n)
	if done, _ := events("RotateKey", w.Node, n); done != 3 {
		t.Errorf("%d rotations", done)
	}
}

func TestManagedKeyIsMadeOnce(t *testing.T) {
	for range 10 {
		w := newWorld(t, servicetest.Options{})
		n := w.Cluster.Node(servicetest.Options{})
		var wg sync.WaitGroup
		for _, one := range []*servicetest.Node{w.Node, n, w.Node, n} {
			wg.Go(func() {
				if _, err := one.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: "alias/aws/s3", Plaintext: []byte("x")}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if keys, materials := live(w, fsm.KindKey), live(w, fsm.KindMaterial); keys != 1 || materials != 1 {
			t.Fatalf("%d keys, %d materials", keys, materials)
		}
	}
}

func TestManagedKeysAreChangedByNobody(t *testing.T) {
	w := newWorld(t, threeRegions)
	const alias = "alias/aws/ebs"
	k := w.describe(t, alias)
	for _, id := range []string{k.KeyID, alias} {
		for op, request := range map[*kms.Operation]any{
			kms.OpDisableKey: &kms.KeyRequest{KeyID: id}, kms.OpEnableKey: &kms.KeyRequest{KeyID: id},
			kms.OpScheduleKeyDeletion: &kms.ScheduleKeyDeletionRequest{KeyID: id}, kms.OpCancelKeyDeletion: &kms.KeyRequest{KeyID: id},
			kms.OpUpdateKeyDescription: &kms.UpdateKeyDescriptionRequest{KeyID: id}, kms.OpPutKeyPolicy: &kms.PutKeyPolicyRequest{KeyID: id, Policy: defaultPolicy(aliceID)},
			kms.OpTagResource:         &kms.TagResourceRequest{KeyID: id, Tags: map[string]string{"a": "b"}},
			kms.OpUntagResource:       &kms.UntagResourceRequest{KeyID: id, TagKeys: []string{"a"}},
			kms.OpEnableKeyRotation:   &kms.EnableKeyRotationRequest{KeyID: id},
			kms.OpDisableKeyRotation:  &kms.KeyRequest{KeyID: id},
			kms.OpRotateKeyOnDemand:   &kms.KeyRequest{KeyID: id},
			kms.OpReplicateKey:        &kms.ReplicateKeyRequest{KeyID: id, ReplicaRegion: "eu-west-1"},
			kms.OpUpdatePrimaryRegion: &kms.UpdatePrimaryRegionRequest{KeyID: id, PrimaryRegion: "eu-west-1"},
			kms.OpCreateGrant:         grantRequest(id),
		} {
			_, err := w.Do(w.alice, op, request)
			want(t, op.Name, err, kms.CodeAccessDenied)
		}
	}
	own := w.CreateKey(w.alice)
	for op, request := range map[*kms.Operation]any{
		kms.OpCreateAlias: &kms.CreateAliasRequest{AliasName: "alias/aws/mine", TargetKeyID: own},
		kms.OpUpdateAlias: &kms.UpdateAliasRequest{AliasName: alias, TargetKeyID: own},
		kms.OpDeleteAlias: &kms.DeleteAliasRequest{AliasName: alias},
	} {
		_, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, kms.CodeInvalidAliasName)
	}
	if got := w.describe(t, alias); got.KeyID != k.KeyID || got.KeyState != kms.StateEnabled {
		t.Errorf("afterwards %+v", got)
	}
}
