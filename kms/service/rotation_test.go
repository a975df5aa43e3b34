package service_test

import (
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func (w *world) rotations(t testing.TB, key, include string) []kms.RotationEntry {
	t.Helper()
	var all []kms.RotationEntry
	for marker := ""; ; {
		a := w.must(t, w.alice, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, IncludeKeyMaterial: include, Limit: 2, Marker: marker}).(*kms.ListKeyRotationsAnswer)
		all = append(all, a.Rotations...)
		if marker = a.NextMarker; marker == "" {
			return all
		}
		if len(a.Rotations) != 2 {
			t.Fatalf("a page of %d", len(a.Rotations))
		}
	}
}

func (w *world) rotation(t testing.TB, key string) *kms.KeyRotationStatusAnswer {
	t.Helper()
	return w.must(t, w.alice, kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: key}).(*kms.KeyRotationStatusAnswer)
}

func (w *world) enableRotation(t testing.TB, key string, days int) time.Time {
	t.Helper()
	a := w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: &days}).(*kms.KeyRotationStatusAnswer)
	return *a.NextRotationDate
}

// until moves log time to a moment.
func (w *world) until(at time.Time) {
	w.Advance(time.Duration(at.UnixMilli()-w.Now()) * time.Millisecond)
}

// A key that is disabled is not rotated, and once when it is enabled again, however many dates passed.
func TestDisabledKeysAreRotatedLater(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.enableRotation(t, key, 90)
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	w.Advance(1000 * oneDay)
	runDue(t, w.Node)
	if got := len(w.rotations(t, key, "")); got != 0 {
		t.Fatalf("%d rotations of a disabled key", got)
	}
	w.must(t, w.alice, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	for range 3 {
		runDue(t, w.Node)
	}
	if got := len(w.rotations(t, key, "")); got != 1 {
		t.Errorf("%d rotations after enabling", got)
	}
	if next := w.rotation(t, key).NextRotationDate.UnixMilli() - w.Now(); next < 89*oneDay.Milliseconds() {
		t.Errorf("the next rotation is in %d ms", next)
	}
}

func TestKeysWithoutRotation(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for _, row := range []struct {
		q    *kms.CreateKeyRequest
		list kms.Code
		now  kms.Code // RotateKeyOnDemand
	}{
		{signingKey, kms.CodeUnsupported, kms.CodeUnsupported},
		{macKey, kms.CodeUnsupported, kms.CodeUnsupported},
		{&kms.CreateKeyRequest{Origin: kms.OriginExternal}, "", kms.CodeInvalidState}, // it waits for its first material
	} {
		key := w.make(t, w.alice, row.q).KeyID
		if s := w.rotation(t, key); s.KeyRotationEnabled {
			t.Errorf("%s: %+v", row.q.KeySpec, s)
		}
		_, err := w.Do(w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key})
		want(t, "enable", err, kms.CodeUnsupported)
		_, err = w.Do(w.alice, kms.OpDisableKeyRotation, &kms.KeyRequest{KeyID: key})
		want(t, "disable", err, kms.CodeUnsupported)
		_, err = w.Do(w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
		want(t, "rotate", err, row.now)
		_, err = w.Do(w.alice, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key})
		want(t, "list", err, row.list)
	}
}
