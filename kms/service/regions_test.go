package service_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

const thirdRegion = "ap-south-1"

// threeRegions is a world that serves three regions, and alice in each of them.
func threeRegions(t *testing.T) (w *world, first, second, third doer) {
	t.Helper()
	w = newWorld(t, servicetest.Options{Regions: []string{firstRegion, secondRegion, thirdRegion}})
	return w, w.in(firstRegion), w.in(secondRegion), w.in(thirdRegion)
}

func (do doer) make(t testing.TB, q *kms.CreateKeyRequest) kms.KeyMetadata {
	t.Helper()
	return do.must(t, kms.OpCreateKey, q).(*kms.KeyAnswer).Key
}

func (do doer) replicate(t testing.TB, key string, regions ...string) {
	t.Helper()
	for _, region := range regions {
		do.must(t, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: region})
	}
}

// related fails unless a key describes its relation so.
func (do doer) related(t testing.TB, key, kind, primary string, replicas ...string) {
	t.Helper()
	in := func(region string) kms.RegionalKey {
		return kms.RegionalKey{ARN: "arn:aws:kms:" + region + ":" + aliceID + ":key/" + key, Region: region}
	}
	m := do.describe(t, key).MultiRegionConfiguration
	if m == nil || m.MultiRegionKeyType != kind || m.PrimaryKey != in(primary) {
		t.Fatalf("the key describes %+v, want a %s of %s", m, kind, primary)
	}
	slices.Sort(replicas)
	var got []string
	for _, r := range m.ReplicaKeys {
		if r != in(r.Region) {
			t.Errorf("a replica is %+v", r)
		}
		got = append(got, r.Region)
	}
	if !slices.Equal(got, replicas) {
		t.Errorf("the replicas are in %v, want %v", got, replicas)
	}
}

// crosses encrypts in each region and decrypts in each.
func crosses(t *testing.T, key, material string, all ...doer) {
	t.Helper()
	for _, from := range all {
		ciphertext := from.encrypt(t, key)
		for _, to := range all {
			to.decrypts(t, key, ciphertext, material)
		}
	}
}

// A replica shares id and material with its primary, and nothing else.
func TestRegionsShareMaterial(t *testing.T) {
	w, first, second, third := threeRegions(t)
	q := &kms.CreateKeyRequest{MultiRegion: true, Description: "primary", Tags: map[string]string{"a": "1"}}
	k := first.make(t, q)
	key := k.KeyID
	if len(key) != 36 || !strings.HasPrefix(key, "mrk-") || !k.MultiRegion {
		t.Errorf("made %+v", k)
	}
	first.related(t, key, "PRIMARY", firstRegion)
	single := first.make(t, symmetricKey)
	if strings.HasPrefix(single.KeyID, "mrk-") || single.MultiRegion || single.MultiRegionConfiguration != nil {
		t.Errorf("made %+v", single)
	}
	to := func(key, region string) *kms.ReplicateKeyRequest {
		return &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: region}
	}
	w.refused(t, "no region", first, kms.OpReplicateKey, to(key, ""), kms.CodeValidation)
	w.refused(t, "an unserved region", first, kms.OpReplicateKey, to(key, "eu-central-1"), kms.CodeValidation)
	w.refused(t, "its own region", first, kms.OpReplicateKey, to(key, firstRegion), kms.CodeAlreadyExists)
	w.refused(t, "a single-region key", first, kms.OpReplicateKey, to(single.KeyID, secondRegion), kms.CodeUnsupported)
	w.refused(t, "a key of another region", second, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}, kms.CodeNotFound)
	w.refused(t, "a policy that is none", first, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion, Policy: "{}"}, kms.CodeMalformedPolicy)

	full := to(key, secondRegion)
	full.Description, full.Tags = "replica", map[string]string{"b": "2"}
	a := first.must(t, kms.OpReplicateKey, full).(*kms.ReplicateKeyAnswer)
	arn := "arn:aws:kms:" + secondRegion + ":" + aliceID + ":key/" + key
	if a.Key.ARN != arn || a.Key.Region != secondRegion || a.Key.Description != "replica" || !maps.Equal(a.Tags, full.Tags) ||
		a.Policy != auth.DefaultKeyPolicy("aws", aliceID) || a.Key.KeyState != kms.StateEnabled || a.Key.CurrentKeyMaterialID != k.CurrentKeyMaterialID {
		t.Errorf("replicated %+v", a)
	}
	w.refused(t, "a region that has one", first, kms.OpReplicateKey, full, kms.CodeAlreadyExists)
	w.refused(t, "a replica", second, kms.OpReplicateKey, to(key, thirdRegion), kms.CodeUnsupported)
	first.replicate(t, key, thirdRegion)
	first.related(t, key, "PRIMARY", firstRegion, secondRegion, thirdRegion)
	second.related(t, key, "REPLICA", firstRegion, secondRegion, thirdRegion)
	third.related(t, key, "REPLICA", firstRegion, secondRegion, thirdRegion)
	crosses(t, key, k.CurrentKeyMaterialID, first, second, third)

	// What is of one region stays there.
	w.refused(t, "the ARN of another region", first, kms.OpEncrypt, &kms.EncryptRequest{KeyID: arn, Plaintext: []byte(message)}, kms.CodeNotFound)
	first.must(t, kms.OpUpdateKeyDescription, &kms.UpdateKeyDescriptionRequest{KeyID: key, Description: "changed"})
	third.must(t, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: map[string]string{"c": "3"}})
	second.must(t, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/here", TargetKeyID: key})
	for i, do := range []doer{first, second, third} {
		var tags []string
		for _, tag := range do.must(t, kms.OpListResourceTags, &kms.KeyListRequest{KeyID: key}).(*kms.ListResourceTagsAnswer).Tags {
			tags = append(tags, tag.Key+tag.Value)
		}
		aliases := len(do.must(t, kms.OpListAliases, &kms.ListAliasesRequest{KeyID: key}).(*kms.ListAliasesAnswer).Aliases)
		got := fmt.Sprint(do.describe(t, key).Description, tags, aliases)
		if want := []string{"changed[a1]0", "replica[b2]1", "[c3]0"}[i]; strings.ReplaceAll(got, " ", "") != want {
			t.Errorf("region %d has %s, want %s", i, got, want)
		}
	}
	second.must(t, kms.OpDisableKey, &kms.KeyRequest{KeyID: "alias/here"})
	first.state(t, key, kms.StateEnabled)
	second.state(t, key, kms.StateDisabled)
	w.refused(t, "where it is disabled", second, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(message)}, kms.CodeKeyDisabled)
	crosses(t, key, k.CurrentKeyMaterialID, first, third)
}

// Keys that sign and that authenticate are the same in all their regions too.
func TestRegionsOfOtherKeys(t *testing.T) {
	_, first, second, _ := threeRegions(t)
	q := *signingKey
	q.MultiRegion = true
	key := first.make(t, &q).KeyID
	first.replicate(t, key, secondRegion)
	s := &topic{name: key}
	s.signature = first.must(t, kms.OpSign, signRequest(s)).(*kms.SignAnswer).Signature
	second.must(t, kms.OpVerify, rights[kms.OpVerify].request(s))
	q = *macKey
	q.MultiRegion = true
	s.name = first.make(t, &q).KeyID
	first.replicate(t, s.name, secondRegion)
	s.mac = second.must(t, kms.OpGenerateMac, macRequest(s)).(*kms.GenerateMacAnswer).Mac
	first.must(t, kms.OpVerifyMac, rights[kms.OpVerifyMac].request(s))
}

// rotation asks how a key is rotated.
func (do doer) rotation(t testing.TB, key string) *kms.KeyRotationStatusAnswer {
	t.Helper()
	return do.must(t, kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: key}).(*kms.KeyRotationStatusAnswer)
}

// The primary key is rotated, for all; when another key becomes the primary, rotation goes with it.
func TestRegionsRotateWithThePrimary(t *testing.T) {
	w, first, second, third := threeRegions(t)
	key := first.make(t, regionalKey).KeyID
	first.replicate(t, key, secondRegion, thirdRegion)
	all := []doer{first, second, third}
	byKey := &kms.KeyRequest{KeyID: key}
	enable := &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: ptr(90)}
	old := third.encrypt(t, key)
	was := first.describe(t, key).CurrentKeyMaterialID
	rotated := func(what string) {
		t.Helper()
		now := first.describe(t, key).CurrentKeyMaterialID
		if now == was {
			t.Fatalf("%s: the material is still the same", what)
		}
		was = now
		for i, do := range all {
			if got := do.describe(t, key).CurrentKeyMaterialID; got != now {
				t.Errorf("%s: region %d has %s, want %s", what, i, got, now)
			}
		}
		crosses(t, key, now, all...)
	}
	made := was
	first.must(t, kms.OpRotateKeyOnDemand, byKey)
	rotated("on demand")
	for _, do := range all {
		do.decrypts(t, key, old, made)
	}
	for _, op := range []*kms.Operation{kms.OpRotateKeyOnDemand, kms.OpDisableKeyRotation} {
		w.refused(t, op.Name+" of a replica", second, op, byKey, kms.CodeUnsupported)
	}
	w.refused(t, "automatic rotation of a replica", second, kms.OpEnableKeyRotation, enable, kms.CodeUnsupported)

	first.must(t, kms.OpEnableKeyRotation, enable)
	for i, do := range all {
		if r := do.rotation(t, key); !r.KeyRotationEnabled || r.RotationPeriodInDays != 90 || r.OnDemandRotations != 1 || r.NextRotationDate == nil {
			t.Errorf("region %d is rotated so: %+v", i, r)
		}
	}
	w.pass(t, 92*24*time.Hour)
	rotated("automatically")

	next := *first.rotation(t, key).NextRotationDate
	move := func(region string) *kms.UpdatePrimaryRegionRequest {
		return &kms.UpdatePrimaryRegionRequest{KeyID: key, PrimaryRegion: region}
	}
	w.refused(t, "to where it is", first, kms.OpUpdatePrimaryRegion, move(firstRegion), kms.CodeUnsupported)
	w.refused(t, "to an unserved region", first, kms.OpUpdatePrimaryRegion, move("eu-central-1"), kms.CodeValidation)
	w.refused(t, "from a replica", second, kms.OpUpdatePrimaryRegion, move(thirdRegion), kms.CodeUnsupported)
	second.must(t, kms.OpDisableKey, byKey)
	w.refused(t, "to a disabled replica", first, kms.OpUpdatePrimaryRegion, move(secondRegion), kms.CodeKeyDisabled)
	second.must(t, kms.OpEnableKey, byKey)
	if a := first.must(t, kms.OpUpdatePrimaryRegion, move(secondRegion)).(*kms.KeyAnswer).Key; a.MultiRegionConfiguration.MultiRegionKeyType != "REPLICA" {
		t.Errorf("the former primary key is answered as %+v", a)
	}
	first.related(t, key, "REPLICA", secondRegion, firstRegion, thirdRegion)
	second.related(t, key, "PRIMARY", secondRegion, firstRegion, thirdRegion)
	third.related(t, key, "REPLICA", secondRegion, firstRegion, thirdRegion)
	w.refused(t, "the former primary key", first, kms.OpRotateKeyOnDemand, byKey, kms.CodeUnsupported)
	for i, do := range all {
		if r := do.rotation(t, key); !r.KeyRotationEnabled || r.OnDemandRotations != 1 || r.NextRotationDate == nil || !r.NextRotationDate.Equal(next) {
			t.Errorf("after the move region %d is rotated so: %+v", i, r)
		}
	}
	second.must(t, kms.OpRotateKeyOnDemand, byKey)
	rotated("by the new primary key")
	before := len(w.Records())
	w.pass(t, 91*24*time.Hour)
	rotated("automatically by the new primary key")
	var events []any
	for _, r := range w.Records()[before:] {
		if r["eventName"] == "RotateKey" {
			events = append(events, r["awsRegion"])
		}
	}
	if len(events) != 1 || events[0] != secondRegion {
		t.Errorf("rotations in %v", events)
	}
	single := first.make(t, regionalKey).KeyID
	w.refused(t, "where it has no replica", first, kms.OpUpdatePrimaryRegion, &kms.UpdatePrimaryRegionRequest{KeyID: single, PrimaryRegion: secondRegion}, kms.CodeUnsupported)
}

// A primary key waits for its last replica, and the material goes with the last key.
func TestRegionsAreDestroyed(t *testing.T) {
	const days = 24 * time.Hour
	w, first, second, third := threeRegions(t)
	k := first.make(t, regionalKey)
	key := k.KeyID
	first.replicate(t, key, secondRegion, thirdRegion)
	byKey := &kms.KeyRequest{KeyID: key}
	schedule := func(do doer, window int) kms.KeyMetadata {
		t.Helper()
		return do.must(t, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: &window}).(*kms.KeyAnswer).Key
	}
	if a := schedule(first, 9); a.KeyState != kms.StatePendingReplicaDeletion || a.DeletionDate != nil || a.PendingDeletionWindowInDays != 9 {
		t.Errorf("scheduled %+v", a)
	}
	crosses(t, key, k.CurrentKeyMaterialID, second, third) // which go on
	w.refused(t, "replicate", first, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion}, kms.CodeInvalidState)
	w.pass(t, 30*days) // nothing comes of it
	first.state(t, key, kms.StatePendingReplicaDeletion)
	first.must(t, kms.OpCancelKeyDeletion, byKey)
	first.state(t, key, kms.StateDisabled)
	first.must(t, kms.OpEnableKey, byKey)
	crosses(t, key, k.CurrentKeyMaterialID, first, second, third)
	schedule(first, 9)

	ciphertext := third.encrypt(t, key)
	if a := schedule(second, 7); a.KeyState != kms.StatePendingDeletion || a.DeletionDate == nil {
		t.Errorf("scheduled %+v", a)
	}
	w.pass(t, 7*days)
	w.refused(t, "a destroyed replica", second, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}, kms.CodeNotFound)
	first.state(t, key, kms.StatePendingReplicaDeletion)
	first.related(t, key, "PRIMARY", firstRegion, thirdRegion)
	third.related(t, key, "REPLICA", firstRegion, thirdRegion)
	third.decrypts(t, key, ciphertext, k.CurrentKeyMaterialID)

	schedule(third, 8)
	w.pass(t, 8*days)
	w.refused(t, "the last replica", third, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}, kms.CodeNotFound)
	got := first.describe(t, key)
	if at := w.after(9 * days); got.KeyState != kms.StatePendingDeletion || got.DeletionDate == nil || at.Sub(*got.DeletionDate).Abs() > time.Second {
		t.Fatalf("after its last replica the primary key is %+v, want its deletion at %v", got, at)
	}
	first.related(t, key, "PRIMARY", firstRegion)
	if !w.live(k.CurrentKeyMaterialID) {
		t.Fatal("the material did not outlive the replicas")
	}
	first.must(t, kms.OpCancelKeyDeletion, byKey)
	first.must(t, kms.OpEnableKey, byKey)
	first.decrypts(t, key, ciphertext, k.CurrentKeyMaterialID)
	schedule(first, 7)
	w.pass(t, 7*days-time.Minute)
	if !w.live(k.CurrentKeyMaterialID) {
		t.Fatal("the material went before the window was over")
	}
	w.pass(t, time.Minute)
	w.refused(t, "the primary key", first, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}, kms.CodeNotFound)
	if w.live(k.CurrentKeyMaterialID) {
		t.Error("the material outlived the last key")
	}
}

// A replica of a key of imported material waits for the same material, and material that is announced for it in
// every region.
func TestRegionsOfImportedMaterial(t *testing.T) {
	w, first, second, _ := threeRegions(t)
	key := first.make(t, &kms.CreateKeyRequest{MultiRegion: true, Origin: kms.OriginExternal}).KeyID
	w.refused(t, "without material", first, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion}, kms.CodeInvalidState)
	here, one, two := first.begin(t, key), random(32), random(32)
	id := here.bring(t, one)
	ciphertext := first.encrypt(t, key)
	first.replicate(t, key, secondRegion)
	second.state(t, key, kms.StatePendingImport)
	second.lists(t, key, "CURRENT PENDING_IMPORT")
	w.refused(t, "before its import", second, kms.OpDecrypt, &kms.DecryptRequest{KeyID: key, CiphertextBlob: ciphertext}, kms.CodeInvalidState)
	there := second.begin(t, key)
	q := there.request(t, one)
	q.ImportToken = here.answer.ImportToken
	w.refused(t, "a token of the primary key", second, kms.OpImportKeyMaterial, q, kms.CodeInvalidImportToken)
	w.refused(t, "other material", second, kms.OpImportKeyMaterial, there.request(t, two), kms.CodeIncorrectKeyMaterial)
	w.refused(t, "new material of a replica", second, kms.OpImportKeyMaterial, there.request(t, two, asNew), kms.CodeUnsupported)
	if got := there.bring(t, one); got != id {
		t.Errorf("the replica calls the material %s, the primary key %s", got, id)
	}
	crosses(t, key, id, first, second)

	// It is deleted in one region, and expires in one region, without harm to the other.
	first.must(t, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key})
	first.state(t, key, kms.StatePendingImport)
	second.decrypts(t, key, ciphertext, id)
	here.bring(t, one)
	there.bring(t, one, until(w.after(time.Hour)))
	if k := first.describe(t, key); k.ExpirationModel != kms.MaterialDoesNotExpire {
		t.Errorf("the expiry of the replica is the primary key's: %+v", k)
	}
	w.pass(t, 2*time.Hour)
	second.state(t, key, kms.StatePendingImport)
	first.decrypts(t, key, ciphertext, id)
	if !w.live(id) {
		t.Error("the material is gone, which the primary key has")
	}
	there.bring(t, one)

	// The next material.
	rotate := func(code kms.Code) {
		t.Helper()
		_, err := first(kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
		want(t, "rotate", err, code)
	}
	const waiting = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
	rotate(kms.CodeInvalidState)
	next := here.bring(t, two, asNew)
	first.lists(t, key, "CURRENT IMPORTED", waiting+" IMPORTED")
	second.lists(t, key, "CURRENT IMPORTED", waiting+" PENDING_IMPORT")
	crosses(t, key, id, first, second) // meanwhile
	rotate(kms.CodeInvalidState)
	there.bring(t, two)
	first.lists(t, key, "CURRENT IMPORTED", "PENDING_ROTATION IMPORTED")
	second.must(t, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: next})
	second.lists(t, key, "CURRENT IMPORTED", waiting+" PENDING_IMPORT")
	if !w.live(next) {
		t.Error("announced material is gone, which the primary key has")
	}
	rotate(kms.CodeInvalidState)
	there.bring(t, two)
	crosses(t, key, id, first, second)
	rotate("")
	for _, do := range []doer{first, second} {
		do.lists(t, key, "NON_CURRENT IMPORTED", "CURRENT IMPORTED ON_DEMAND")
		do.decrypts(t, key, ciphertext, id)
	}
	crosses(t, key, next, first, second)

	// Forgotten by the primary key it is forgotten by all.
	third := here.bring(t, random(32), asNew)
	first.must(t, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: third})
	for _, do := range []doer{first, second} {
		do.lists(t, key, "NON_CURRENT IMPORTED", "CURRENT IMPORTED ON_DEMAND")
		do.state(t, key, kms.StateEnabled)
	}
	if w.live(third) {
		t.Error("material that all forgot is still there")
	}
	for _, do := range []doer{first, second} {
		do.must(t, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key})
	}
	if w.live(next) || !w.live(id) {
		t.Error("the current material is still there, or the old one is gone")
	}
}

// A key is in eight regions at most: all of it is written in one transaction.
func TestRegionsAreLimited(t *testing.T) {
	var o servicetest.Options
	for i := range 9 {
		o.Regions = append(o.Regions, fmt.Sprintf("test-region-%d", i+1))
	}
	w := newWorld(t, o)
	first := w.in("")
	key := first.make(t, regionalKey).KeyID
	first.replicate(t, key, o.Regions[1:8]...)
	w.refused(t, "a ninth region", first, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: o.Regions[8]}, kms.CodeLimitExceeded)
	first.must(t, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	crosses(t, key, first.describe(t, key).CurrentKeyMaterialID, first, w.in(o.Regions[7]))

	// One that is gone makes room.
	w.in(o.Regions[7]).must(t, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(7)})
	w.pass(t, 7*24*time.Hour)
	first.replicate(t, key, o.Regions[8])
	w.refused(t, "an unserved region", w.in("eu-central-1"), kms.OpListKeys, &kms.ListRequest{}, kms.CodeValidation)
}

// What a change of one region writes for another is decided on that one's record: one that was changed meanwhile, by a
// decision that is older and comes first, is not overwritten.
func TestRegionsKeepWhatTheOthersChanged(t *testing.T) {
	w, first, _, _ := threeRegions(t)
	key := first.make(t, regionalKey).KeyID
	first.replicate(t, key, secondRegion)
	n := w.Cluster.Node(servicetest.Options{Regions: []string{firstRegion, secondRegion, thirdRegion}})
	caughtUp(t, n)
	decided, may, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	n.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) { close(decided); <-may }})
	go func() {
		call := servicetest.Call(w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: map[string]string{"a": "b"}})
		call.Region = secondRegion
		_, err := n.Service.Do(t.Context(), call)
		done <- err
	}()
	<-decided
	for range 3 { // so that the other decides on a later state
		w.CreateKey(w.alice)
	}
	var once sync.Once
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		once.Do(func() {
			close(may)
			want(t, "tag", <-done, "")
		})
	}})
	first.must(t, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	call := servicetest.Call(w.alice, kms.OpListResourceTags, &kms.KeyListRequest{KeyID: key})
	call.Region = secondRegion
	result, err := w.Service.Do(t.Context(), call)
	want(t, "tags", err, "")
	if tags := result.Answer.(*kms.ListResourceTagsAnswer).Tags; len(tags) != 1 {
		t.Errorf("the tag is lost: %v", tags)
	}
}
