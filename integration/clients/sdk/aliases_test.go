package sdk

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var aliasCases = map[string]func(*testing.T, *kms.Client){
	"CreateAlias": aliases,
	"UpdateAlias": aliases,
	"DeleteAlias": aliases,
	"ListAliases": aliases,
}

// aliasesOf returns the aliases of a key, page by page.
func aliasesOf(t *testing.T, c *kms.Client, key *types.KeyMetadata) (all []types.AliasListEntry) {
	t.Helper()
	pages := kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{KeyId: key.Arn, Limit: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Aliases) > 1 || page.Truncated != (page.NextMarker != nil) {
			t.Errorf("a page of one is %+v", page)
		}
		all = append(all, page.Aliases...)
	}
	return all
}

func aliases(t *testing.T, c *kms.Client) {
	from, to := newKey(t, c), newKey(t, c)
	names := []string{newAlias(t, c, from), newAlias(t, c, from)}
	slices.Sort(names)
	for i, a := range aliasesOf(t, c, from) {
		recent(t, "CreationDate", a.CreationDate)
		recent(t, "LastUpdatedDate", a.LastUpdatedDate)
		equal(t, "alias", a, types.AliasListEntry{AliasName: &names[i], AliasArn: aws.String("arn:aws:kms:" + home + ":" + account(t) + ":" + names[i]),
			TargetKeyId: from.KeyId, CreationDate: a.CreationDate, LastUpdatedDate: a.CreationDate})
	}
	created := aliasesOf(t, c, from)[0].CreationDate
	call(t, c.UpdateAlias, &kms.UpdateAliasInput{AliasName: &names[0], TargetKeyId: to.Arn})
	for range 3 {
		moved := aliasesOf(t, c, to)
		if len(moved) != 1 || *moved[0].AliasName != names[0] || *moved[0].TargetKeyId != *to.KeyId || !moved[0].CreationDate.Equal(*created) || moved[0].LastUpdatedDate.Before(*created) {
			t.Errorf("after the alias was moved to %s it is %+v", *to.KeyId, moved)
		}
	}
	call(t, c.DeleteAlias, &kms.DeleteAliasInput{AliasName: &names[0]})
	for range 3 {
		equal(t, "aliases", len(aliasesOf(t, c, to)), 0)
	}
	// The list of all has those of managed keys, which every account has, and the other one.
	var all []string
	pages := kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Aliases {
			all = append(all, *a.AliasName)
		}
	}
	if !slices.Contains(all, names[1]) || slices.Contains(all, names[0]) {
		t.Errorf("of %v the second is there: %v", names, all)
	}
}

var rotationCases = map[string]func(*testing.T, *kms.Client){
	"EnableKeyRotation":    rotation,
	"DisableKeyRotation":   rotation,
	"GetKeyRotationStatus": rotation,
	"RotateKeyOnDemand":    rotateOnDemand,
	"ListKeyRotations":     rotateOnDemand,
}

func rotation(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	status := func() *kms.GetKeyRotationStatusOutput {
		out := call(t, c.GetKeyRotationStatus, &kms.GetKeyRotationStatusInput{KeyId: k.KeyId})
		equal(t, "KeyId", aws.ToString(out.KeyId), *k.Arn)
		return out
	}
	if s := status(); s.KeyRotationEnabled || s.RotationPeriodInDays != nil || s.NextRotationDate != nil || s.OnDemandRotationStartDate != nil {
		t.Errorf("of a key without rotation: %+v", s)
	}
	for days, asked := range map[int32]*int32{365: nil, 90: aws.Int32(90), 2560: aws.Int32(2560)} {
		call(t, c.EnableKeyRotation, &kms.EnableKeyRotationInput{KeyId: k.Arn, RotationPeriodInDays: asked})
		for range 3 {
			s := status()
			if !s.KeyRotationEnabled || aws.ToInt32(s.RotationPeriodInDays) != days || s.NextRotationDate == nil || (time.Until(*s.NextRotationDate)-time.Duration(days)*24*time.Hour).Abs() > 25*time.Hour {
				t.Errorf("of a key that is rotated every %d days: %+v", days, s)
			}
		}
	}
	call(t, c.DisableKeyRotation, &kms.DisableKeyRotationInput{KeyId: k.KeyId})
	if s := status(); s.KeyRotationEnabled {
		t.Errorf("after it was turned off: %+v", s)
	}
	// Of an asymmetric key it is not an error to ask.
	k = newKey(t, c, spec(types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify))
	if s := status(); s.KeyRotationEnabled {
		t.Errorf("of an asymmetric key: %+v", s)
	}
}

func rotateOnDemand(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	call(t, c.EnableKeyRotation, &kms.EnableKeyRotationInput{KeyId: k.KeyId})
	next := call(t, c.GetKeyRotationStatus, &kms.GetKeyRotationStatusInput{KeyId: k.KeyId}).NextRotationDate
	old := call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("before")})
	materials := []string{*k.CurrentKeyMaterialId}
	for range 2 {
		equal(t, "KeyId", aws.ToString(call(t, c.RotateKeyOnDemand, &kms.RotateKeyOnDemandInput{KeyId: k.KeyId}).KeyId), *k.Arn)
		materials = append(materials, *call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}).KeyMetadata.CurrentKeyMaterialId)
	}
	if materials[0] == materials[1] || materials[1] == materials[2] {
		t.Errorf("the materials are %v", materials)
	}
	equal(t, "NextRotationDate", call(t, c.GetKeyRotationStatus, &kms.GetKeyRotationStatusInput{KeyId: k.KeyId}).NextRotationDate, next)
	for range 3 { // ciphertext from before the rotations
		out := call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: old.CiphertextBlob})
		equal(t, "Plaintext", string(out.Plaintext), "before")
		equal(t, "KeyMaterialId", aws.ToString(out.KeyMaterialId), materials[0])
	}
	now := call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("now")})
	equal(t, "KeyMaterialId", aws.ToString(call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: now.CiphertextBlob}).KeyMaterialId), materials[2])

	list := func(k *types.KeyMetadata, what types.IncludeKeyMaterial) (all []types.RotationsListEntry) {
		pages := kms.NewListKeyRotationsPaginator(c, &kms.ListKeyRotationsInput{KeyId: k.KeyId, IncludeKeyMaterial: what, Limit: aws.Int32(1)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page.Rotations...)
		}
		return all
	}
	for what, want := range map[types.IncludeKeyMaterial][]string{"": materials[1:], types.IncludeKeyMaterialRotationsOnly: materials[1:], types.IncludeKeyMaterialAllKeyMaterial: materials} {
		all := list(k, what)
		if len(all) != len(want) {
			t.Errorf("%q lists %d rotations, want %d", what, len(all), len(want))
			continue
		}
		for i, r := range all {
			entry := types.RotationsListEntry{KeyId: k.Arn, KeyMaterialId: &want[i], KeyMaterialState: types.KeyMaterialStateNonCurrent, RotationDate: r.RotationDate, RotationType: types.RotationTypeOnDemand}
			if want[i] == materials[2] {
				entry.KeyMaterialState = types.KeyMaterialStateCurrent
			}
			if want[i] == materials[0] { // was not rotated to
				entry.RotationType = ""
			} else {
				recent(t, "RotationDate", r.RotationDate)
			}
			equal(t, string(what), r, entry)
		}
	}

	// A key of imported material rotates to what was announced.
	k = newKey(t, c, external)
	until := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	first := importMaterial(t, c, k, symmetricMaterial())
	second := importMaterial(t, c, k, symmetricMaterial(), func(q *kms.ImportKeyMaterialInput) {
		q.ImportType, q.KeyMaterialDescription, q.ValidTo = types.ImportTypeNewKeyMaterial, aws.String("the second"), &until
	})
	want := []types.RotationsListEntry{
		{KeyId: k.Arn, KeyMaterialId: &first, KeyMaterialState: types.KeyMaterialStateCurrent, ImportState: types.ImportStateImported, ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire},
		{KeyId: k.Arn, KeyMaterialId: &second, KeyMaterialState: types.KeyMaterialStatePendingRotation, ImportState: types.ImportStateImported,
			ExpirationModel: types.ExpirationModelTypeKeyMaterialExpires, ValidTo: &until, KeyMaterialDescription: aws.String("the second")},
	}
	equal(t, "materials", list(k, types.IncludeKeyMaterialAllKeyMaterial), want)
	call(t, c.RotateKeyOnDemand, &kms.RotateKeyOnDemandInput{KeyId: k.KeyId})
	all := list(k, types.IncludeKeyMaterialAllKeyMaterial)
	want[0].KeyMaterialState = types.KeyMaterialStateNonCurrent
	want[1].KeyMaterialState, want[1].RotationType, want[1].RotationDate = types.KeyMaterialStateCurrent, types.RotationTypeOnDemand, all[1].RotationDate
	equal(t, "materials", all, want)
}
