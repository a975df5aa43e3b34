package service_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// versionOf returns the key version in the header of a symmetric ciphertext.
func versionOf(t testing.TB, ciphertext []byte) uint32 {
	t.Helper()
	h, err := material.ParseHeader(ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	return h.KeyVersion
}

func (w *world) status(t testing.TB, key string) *kms.KeyRotationStatusAnswer {
	t.Helper()
	return w.must(t, w.alice, kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: key}).(*kms.KeyRotationStatusAnswer)
}

// listRotations lists all materials of a key, or its rotations only, page by page.
func (w *world) listRotations(t testing.TB, key, include string, limit int) (all []kms.RotationEntry) {
	t.Helper()
	for marker := ""; ; {
		a := w.must(t, w.alice, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, IncludeKeyMaterial: include, Limit: limit, Marker: marker}).(*kms.ListKeyRotationsAnswer)
		if limit > 0 && (len(a.Rotations) > limit || a.NextMarker != "" && len(a.Rotations) < limit) {
			t.Fatalf("a page of %d has %d entries and goes on: %v", limit, len(a.Rotations), a.NextMarker != "")
		}
		all = append(all, a.Rotations...)
		if marker = a.NextMarker; marker == "" {
			return all
		}
	}
}

// imported wraps material for a key and returns the request that imports it for ever.
func imported(t testing.TB, w *world, key string, plain []byte) *kms.ImportKeyMaterialRequest {
	t.Helper()
	p := w.must(t, w.alice, kms.OpGetParametersForImport, parametersRequest(&topic{name: key})).(*kms.GetParametersForImportAnswer)
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &kms.ImportKeyMaterialRequest{KeyID: key, ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ExpirationModel: kms.MaterialDoesNotExpire}
}

// The period is 365 days unless it is said, 90 at least and 2560 at most; the next date is up to a day later.
func TestRotationPeriod(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	if got := w.status(t, key); got.KeyRotationEnabled || got.NextRotationDate != nil || got.RotationPeriodInDays != 0 {
		t.Errorf("a new key: %+v", got)
	}
	dates := map[int64]bool{}
	for _, row := range []struct {
		period *int
		days   int
		code   kms.Code
	}{
		{ptr(89), 0, kms.CodeValidation}, {ptr(2561), 0, kms.CodeValidation}, {ptr(0), 0, kms.CodeValidation}, {ptr(-1), 0, kms.CodeValidation},
		{ptr(90), 90, ""}, {ptr(2560), 2560, ""}, {nil, 365, ""}, {nil, 365, ""}, {nil, 365, ""}, {ptr(365), 365, ""},
	} {
		before := w.State().LogTime()
		answer, err := w.Do(w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: row.period})
		want(t, fmt.Sprint(row.days), err, row.code)
		if err != nil {
			continue
		}
		got := answer.(*kms.KeyRotationStatusAnswer)
		if now := w.status(t, key); !now.NextRotationDate.Equal(*got.NextRotationDate) || now.RotationPeriodInDays != got.RotationPeriodInDays {
			t.Errorf("answered %+v, then %+v", got, now)
		}
		jitter := got.NextRotationDate.Sub(kms.Time(before).Add(time.Duration(row.days) * days))
		if !got.KeyRotationEnabled || got.RotationPeriodInDays != row.days || jitter < 0 || jitter > days+time.Second {
			t.Errorf("%d days: %+v, %v later", row.days, got, jitter)
		}
		if row.days == 365 {
			dates[jitter.Milliseconds()] = true
		}
	}
	if len(dates) < 2 {
		t.Error("keys of one moment are all rotated in one moment")
	}
	w.must(t, w.alice, kms.OpDisableKeyRotation, &kms.KeyRequest{KeyID: key})
	if got := w.status(t, key); got.KeyRotationEnabled || got.NextRotationDate != nil {
		t.Errorf("disabled: %+v", got)
	}
	w.Advance(3000 * days)
	w.runDue(t)
	if n := len(keyOn(t, w.Node, key).Materials); n != 1 {
		t.Errorf("a key without rotation has %d materials", n)
	}
}

// A rotation on its date makes one new material. What was encrypted under the old ones stays readable, what is
// encrypted now carries the new version.
func TestAutomaticRotation(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	p.must(t, p.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: ptr(90)})
	due := *p.status(t, key).NextRotationDate
	texts := map[string][]byte{"version 1": p.encrypt(t, p.alice, key, "version 1", nil)}
	first := p.describe(t, key).CurrentKeyMaterialID

	p.Advance(due.Sub(kms.Time(p.State().LogTime())) - time.Minute)
	p.runDue(t)
	if n := len(keyOn(t, p.Node, key).Materials); n != 1 {
		t.Fatalf("before its date the key has %d materials", n)
	}
	for version := uint32(2); version <= 4; version++ {
		p.Advance(2 * time.Minute)
		p.runDue(t, p.second, p.Node)
		k := keyOn(t, p.Node, key)
		if len(k.Materials) != int(version) || k.Current().Version != version || k.Current().Rotation != kms.RotationAutomatic || k.Current().ID == first {
			t.Fatalf("version %d: %+v", version, k.Materials)
		}
		if got := p.describe(t, key).CurrentKeyMaterialID; got != k.Current().ID {
			t.Errorf("described: %s, want %s", got, k.Current().ID)
		}
		next := *p.status(t, key).NextRotationDate
		if late := next.Sub(due) - 90*days; late < 0 || late > days {
			t.Errorf("the next date is %v after 90 days", late)
		}
		due = next
		text := fmt.Sprint("version ", version)
		answer := p.on(t, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(text)}).(*kms.EncryptAnswer)
		texts[text] = answer.CiphertextBlob
		if got := versionOf(t, texts[text]); got != version {
			t.Errorf("a ciphertext after the rotation has version %d, want %d", got, version)
		}
		for text, ciphertext := range texts {
			p.decrypts(t, ciphertext, text)
			got := p.on(t, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext}).(*kms.DecryptAnswer)
			m, _ := k.MaterialVersion(versionOf(t, ciphertext))
			if string(got.Plaintext) != text || got.KeyMaterialID != m.ID {
				t.Errorf("%q decrypts to %q with %s, want %s", text, got.Plaintext, got.KeyMaterialID, m.ID)
			}
		}
		p.Advance(due.Sub(kms.Time(p.State().LogTime())) - time.Minute)
	}
	if all, failed := audited("RotateKey", key, p.Node, p.second); all != 3 || failed != 0 {
		t.Errorf("%d audit records, %d of errors", all, failed)
	}
}

// After a long time without scheduler a key is rotated once, not once for every date that passed.
func TestRotationCatchesUpOnce(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: ptr(90)})
	w.Advance(1000 * days)
	for range 3 {
		w.runDue(t)
	}
	if n := len(keyOn(t, w.Node, key).Materials); n != 2 {
		t.Errorf("%d materials", n)
	}
	if next := w.status(t, key).NextRotationDate; next.Before(kms.Time(w.State().LogTime()).Add(89 * days)) {
		t.Errorf("the next date is %v", next)
	}
}

// A disabled key is not rotated; one that is enabled after its date is rotated then, once.
func TestDisabledKeysRotateWhenEnabled(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: ptr(90)})
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	w.Advance(200 * days)
	w.runDue(t)
	if n := len(keyOn(t, w.Node, key).Materials); n != 1 {
		t.Fatalf("while it is disabled the key has %d materials", n)
	}
	if !w.status(t, key).KeyRotationEnabled {
		t.Error("a disabled key forgot its rotation")
	}
	w.must(t, w.alice, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	for range 3 {
		w.runDue(t)
	}
	if n := len(keyOn(t, w.Node, key).Materials); n != 2 {
		t.Errorf("after it was enabled the key has %d materials", n)
	}
}

// Rotations on demand are 25 at most and leave the automatic date where it is.
func TestRotationOnDemand(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key})
	due := *w.status(t, key).NextRotationDate
	var texts [][]byte
	for i := range 25 {
		texts = append(texts, w.encrypt(t, w.alice, key, message, nil))
		answer := w.must(t, w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key}).(*kms.KeyAnswer)
		if k := keyOn(t, w.Node, key); k.Current().ID != answer.Key.CurrentKeyMaterialID || k.Current().Version != uint32(i+2) {
			t.Fatalf("rotation %d: %+v", i, k.Current())
		}
	}
	_, err := w.Do(w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	want(t, "the 26th", err, kms.CodeLimitExceeded)
	got := w.status(t, key)
	if got.OnDemandRotations != 25 || !got.NextRotationDate.Equal(due) {
		t.Errorf("%+v, the date was %v", got, due)
	}
	for i, ciphertext := range texts {
		if v := versionOf(t, ciphertext); v != uint32(i+1) {
			t.Errorf("ciphertext %d has version %d", i, v)
		}
		w.decrypts(t, ciphertext, message)
	}
	w.Advance(400 * days) // the limit is one of rotations on demand only
	w.runDue(t)
	if n := len(keyOn(t, w.Node, key).Materials); n != 27 {
		t.Errorf("%d materials", n)
	}
}

// A retried rotation is answered by the first one's.
func TestRotationOnDemandIsRepeated(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	call := servicetest.Call(p.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	call.IdempotencyKey = "once"
	for _, n := range []*servicetest.Node{p.Node, p.second, p.Node} {
		_, err := n.Service.Do(t.Context(), call)
		want(t, n.Name, err, "")
	}
	if k := keyOn(t, p.Node, key); len(k.Materials) != 2 || k.OnDemand != 1 {
		t.Errorf("%d materials, %d rotations on demand", len(k.Materials), k.OnDemand)
	}
}

// Rotations are listed oldest first, page by page; all material has the first one too.
func TestListKeyRotations(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key})
	for range 3 {
		w.must(t, w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	}
	w.Advance(400 * days)
	w.runDue(t)
	k := keyOn(t, w.Node, key)
	for _, include := range []string{"", "ROTATIONS_ONLY", "ALL_KEY_MATERIAL"} {
		materials := k.Materials
		if include != "ALL_KEY_MATERIAL" {
			materials = materials[1:]
		}
		for _, limit := range []int{0, 1, 2, 3, 4, 5, 1000} {
			got := w.listRotations(t, key, include, limit)
			if len(got) != len(materials) {
				t.Fatalf("%s by %d: %d entries, want %d", include, limit, len(got), len(materials))
			}
			for i, e := range got {
				m := materials[i]
				state, how := "NON_CURRENT", kms.RotationOnDemand
				if m.Version == 5 {
					state, how = "CURRENT", kms.RotationAutomatic
				}
				if m.Version == 1 {
					how = ""
				}
				if e.KeyMaterialID != m.ID || e.KeyMaterialState != state || e.RotationType != how || (e.RotationDate == nil) != (m.Version == 1) ||
					e.ImportState != "" || e.ExpirationModel != "" || !bytes.HasSuffix([]byte(e.KeyID), []byte("key/"+key)) {
					t.Errorf("%s by %d, entry %d: %+v", include, limit, i, e)
				}
				if raw, err := hex.DecodeString(e.KeyMaterialID); err != nil || len(raw) != 32 {
					t.Errorf("the material id is %q", e.KeyMaterialID)
				}
			}
		}
	}
	for _, q := range []*kms.ListKeyRotationsRequest{{KeyID: key, Limit: 1001}, {KeyID: key, Limit: -1}, {KeyID: key, IncludeKeyMaterial: "SOME"}} {
		_, err := w.Do(w.alice, kms.OpListKeyRotations, q)
		want(t, fmt.Sprintf("%+v", q), err, kms.CodeValidation)
	}
	if _, err := w.Do(w.alice, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, Marker: "x"}); err == nil {
		t.Error("a marker that is none is taken")
	}
}

// Keys that are not symmetric encryption keys are not rotated, and say so; whether they are can be asked.
func TestKeysThatDoNotRotate(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for _, q := range []*kms.CreateKeyRequest{macKey, signingKey, agreementKey, kemKey} {
		key := w.make(t, w.alice, q).KeyID
		for _, op := range []*kms.Operation{kms.OpEnableKeyRotation, kms.OpDisableKeyRotation, kms.OpRotateKeyOnDemand, kms.OpListKeyRotations} {
			_, err := w.Do(w.alice, op, rights[op].request(&topic{name: key}))
			want(t, op.Name+" of "+string(q.KeySpec), err, kms.CodeUnsupported)
		}
		if got := w.status(t, key); got.KeyRotationEnabled || got.NextRotationDate != nil {
			t.Errorf("%s: %+v", q.KeySpec, got)
		}
	}
}

// A key of imported material is rotated to material that was announced, on demand only.
func TestRotationOfImportedKeys(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.make(t, w.alice, externalKey).KeyID
	first, second := make([]byte, 32), bytes.Repeat([]byte{7}, 32)
	firstID := w.must(t, w.alice, kms.OpImportKeyMaterial, imported(t, w, key, first)).(*kms.KeyMaterialAnswer).KeyMaterialID
	old := w.encrypt(t, w.alice, key, message, nil)
	for _, op := range []*kms.Operation{kms.OpEnableKeyRotation, kms.OpDisableKeyRotation} {
		_, err := w.Do(w.alice, op, rights[op].request(&topic{name: key}))
		want(t, op.Name, err, kms.CodeUnsupported)
	}
	if w.status(t, key).KeyRotationEnabled {
		t.Error("a key of imported material is rotated automatically")
	}
	_, err := w.Do(w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	want(t, "without announced material", err, kms.CodeInvalidState)

	next := imported(t, w, key, second)
	next.ImportType, next.KeyMaterialDescription = kms.ImportNewMaterial, "the next"
	secondID := w.must(t, w.alice, kms.OpImportKeyMaterial, next).(*kms.KeyMaterialAnswer).KeyMaterialID
	if got := w.describeKey(t, key); got.CurrentKeyMaterialID != firstID || got.KeyState != kms.StateEnabled {
		t.Errorf("announced: %+v", got)
	}
	if n := len(w.listRotations(t, key, "", 0)); n != 0 {
		t.Errorf("%d rotations before the first", n)
	}
	all := w.listRotations(t, key, "ALL_KEY_MATERIAL", 1)
	if len(all) != 2 || all[1].KeyMaterialID != secondID || all[1].KeyMaterialState != "PENDING_ROTATION" || all[1].ImportState != "IMPORTED" ||
		all[1].KeyMaterialDescription != "the next" || all[1].RotationDate != nil || all[1].ExpirationModel != kms.MaterialDoesNotExpire {
		t.Errorf("announced: %+v", all)
	}
	w.must(t, w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	if got := w.describeKey(t, key).CurrentKeyMaterialID; got != secondID {
		t.Errorf("the current material is %s, want %s", got, secondID)
	}
	if got := versionOf(t, w.encrypt(t, w.alice, key, message, nil)); got != 2 {
		t.Errorf("a ciphertext after the rotation has version %d", got)
	}
	w.decrypts(t, old, message)

	// Without its old material the key is not usable at all, and with it again it is.
	w.must(t, w.alice, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: firstID})
	_, err = w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
	want(t, "encrypt without the old material", err, kms.CodeInvalidState)
	w.must(t, w.alice, kms.OpImportKeyMaterial, imported(t, w, key, first))
	w.decrypts(t, old, message)
	if got := w.describeKey(t, key); got.KeyState != kms.StateEnabled || got.CurrentKeyMaterialID != secondID {
		t.Errorf("whole again: %+v", got)
	}
}

// A primary key rotates for all its replicas, and they cannot themselves.
func TestRotationOfRegionalKeys(t *testing.T) {
	w := newWorld(t, twoRegions)
	key := w.make(t, w.alice, regionalKey).KeyID
	replicated(t, w, w.alice, &topic{id: key})
	there := "arn:aws:kms:" + secondRegion + ":" + aliceID + ":key/" + key
	in := func(op *kms.Operation, request any) (any, error) {
		call := servicetest.Call(w.alice, op, request)
		call.Region = secondRegion
		result, err := w.Service.Do(t.Context(), call)
		if err != nil {
			return nil, err
		}
		return result.Answer, nil
	}
	for _, op := range []*kms.Operation{kms.OpEnableKeyRotation, kms.OpDisableKeyRotation, kms.OpRotateKeyOnDemand} {
		_, err := in(op, rights[op].request(&topic{name: there}))
		want(t, op.Name+" of a replica", err, kms.CodeUnsupported)
	}
	w.must(t, w.alice, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key, RotationPeriodInDays: ptr(90)})
	w.Advance(92 * days)
	w.runDue(t)
	a, err := in(kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: there})
	want(t, "describe the replica", err, "")
	if got, mine := a.(*kms.KeyAnswer).Key.CurrentKeyMaterialID, w.describeKey(t, key).CurrentKeyMaterialID; got != mine || len(keyOn(t, w.Node, key).Materials) != 2 {
		t.Errorf("the replica has %s, the primary %s", got, mine)
	}
	a, err = in(kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: there})
	want(t, "the replica's rotation", err, "")
	if got := a.(*kms.KeyRotationStatusAnswer); !got.KeyRotationEnabled || got.RotationPeriodInDays != 90 {
		t.Errorf("the replica's rotation: %+v", got)
	}
	ciphertext := w.encrypt(t, w.alice, key, message, nil)
	a, err = in(kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext, KeyID: there})
	want(t, "decrypt in the other region", err, "")
	if string(a.(*kms.DecryptAnswer).Plaintext) != message {
		t.Error("the other region decrypts something else")
	}
	if all, _ := audited("RotateKey", key, w.Node); all != 1 {
		t.Errorf("%d audit records", all)
	}
}
