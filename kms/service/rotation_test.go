package service_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
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

func TestRotationPeriod(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	if s := w.rotation(t, key); s.KeyRotationEnabled || s.NextRotationDate != nil || s.RotationPeriodInDays != 0 {
		t.Errorf("a new key: %+v", s)
	}
	for _, days := range []int{-1, 0, 89, 2561} {
		_, err := w.Do(w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: &days})
		want(t, fmt.Sprint(days), err, kms.CodeValidation)
	}
	for _, days := range []*int{nil, ptr(90), ptr(2560)} {
		now := w.Now()
		a := w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: days}).(*kms.KeyRotationStatusAnswer)
		period := 365
		if days != nil {
			period = *days
		}
		late := a.NextRotationDate.UnixMilli() - now - int64(period)*oneDay.Milliseconds()
		if a.RotationPeriodInDays != period || late < 0 || late > oneDay.Milliseconds() || !a.KeyRotationEnabled {
			t.Errorf("enabled %+v, %d ms late", a, late)
		}
		if s := w.rotation(t, key); !s.NextRotationDate.Equal(*a.NextRotationDate) || s.RotationPeriodInDays != period {
			t.Errorf("status %+v", s)
		}
	}
	w.schedule(t, key, 7)
	if w.rotation(t, key).KeyRotationEnabled {
		t.Error("a key that is pending deletion says that it is rotated")
	}
	w.must(t, w.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
	if !w.rotation(t, key).KeyRotationEnabled {
		t.Error("the rotation did not come back")
	}
	w.must(t, w.alice, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	w.must(t, w.alice, kms.OpDisableKeyRotation, &kms.KeyRequest{KeyID: key})
	w.Advance(3000 * oneDay)
	runDue(t, w.Node)
	if len(w.rotations(t, key, "")) != 0 || w.rotation(t, key).KeyRotationEnabled {
		t.Error("a key without rotation was rotated")
	}
}

func TestAutomaticRotation(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	key := w.CreateKey(w.alice)
	ciphertexts := map[string][]byte{}
	first := w.describe(t, key).CurrentKeyMaterialID
	for i := range 3 {
		text := fmt.Sprint("text ", i)
		ciphertexts[text] = w.encrypt(t, w.alice, key, text, nil)
		next := w.enableRotation(t, key, 90)
		if i > 0 {
			next = *w.rotation(t, key).NextRotationDate
		}
		w.until(next.Add(-time.Second))
		runDue(t, w.Node, n)
		if got := len(w.rotations(t, key, "")); got != i {
			t.Fatalf("%d rotations before the date", got)
		}
		w.until(next.Add(time.Second))
		runDue(t, w.Node, n)
		if got := len(w.rotations(t, key, "")); got != i+1 {
			t.Fatalf("%d rotations after the date", got)
		}
		late := w.rotation(t, key).NextRotationDate.Sub(next)
		if late < 90*oneDay || late > 91*oneDay {
			t.Errorf("the next rotation is %s after this one", late)
		}
	}
	all := w.rotations(t, key, "ALL_KEY_MATERIAL")
	if len(all) != 4 || all[0].KeyMaterialID != first || all[0].RotationDate != nil || all[0].RotationType != "" || all[0].KeyMaterialState != "NON_CURRENT" {
		t.Errorf("all materials: %+v", all)
	}
	ids := map[string]bool{}
	for i, m := range all {
		ids[m.KeyMaterialID] = true
		if i > 0 && (m.RotationType != kms.RotationAutomatic || m.RotationDate == nil || m.ImportState != "" || len(m.KeyMaterialID) != 64) {
			t.Errorf("material %d: %+v", i, m)
		}
	}
	current := all[3]
	if current.KeyMaterialState != "CURRENT" || w.describe(t, key).CurrentKeyMaterialID != current.KeyMaterialID || len(ids) != 4 {
		t.Errorf("the current material is %+v", current)
	}
	ciphertexts["last"] = w.encrypt(t, w.alice, key, "last", nil)
	for text, c := range ciphertexts {
		for _, one := range []*servicetest.Node{w.Node, n} {
			a, err := one.Do(w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: c})
			want(t, text, err, "")
			d := a.(*kms.DecryptAnswer)
			if string(d.Plaintext) != text || text == "last" && d.KeyMaterialID != current.KeyMaterialID || text == "text 0" && d.KeyMaterialID != first {
				t.Errorf("%s: %s with material %s", text, string(d.Plaintext), d.KeyMaterialID)
			}
		}
	}
	if done, failed := events("RotateKey", w.Node, n); done != 3 || failed != 0 {
		t.Errorf("%d and %d records of rotations", done, failed)
	}
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

func TestRotationOnDemand(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	next := w.enableRotation(t, key, 90)
	c := w.encrypt(t, w.alice, key, "first", nil)
	for i := range 25 {
		a := w.must(t, w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key}).(*kms.KeyAnswer).Key
		s := w.rotation(t, key)
		if s.OnDemandRotations != i+1 || !s.NextRotationDate.Equal(next) || a.CurrentKeyMaterialID != w.describe(t, key).CurrentKeyMaterialID {
			t.Fatalf("after %d: %+v", i+1, s)
		}
	}
	_, err := w.Do(w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	want(t, "the 26th", err, kms.CodeLimitExceeded)
	all := w.rotations(t, key, "")
	if len(all) != 25 || all[24].RotationType != kms.RotationOnDemand || all[24].KeyMaterialState != "CURRENT" {
		t.Errorf("%d rotations", len(all))
	}
	w.until(next.Add(time.Second))
	runDue(t, w.Node)
	if got := len(w.rotations(t, key, "")); got != 26 {
		t.Errorf("%d rotations: the automatic one does not count", got)
	}
	if text, err := w.decrypt(w.alice, c); text != "first" {
		t.Errorf("%q, %v", text, err)
	}
	if got := live(w, fsm.KindMaterial); got != 27 {
		t.Errorf("%d materials", got)
	}
	_, err = w.Do(w.alice, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, IncludeKeyMaterial: "SOME"})
	want(t, "include what", err, kms.CodeValidation)
	_, err = w.Do(w.alice, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, Limit: 1001})
	want(t, "page", err, kms.CodeValidation)
	_, err = w.Do(w.alice, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, Marker: "AAAA"})
	want(t, "marker", err, kms.CodeInvalidMarker)
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
