package sdk

//lint:file-ignore SA1019 CustomerMasterKeySpec is deprecated, and AWS KMS answers and takes it

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// keyCases are those of keys themselves: their lifecycle, policies, tags and regions.
var keyCases = map[string]func(*testing.T, *kms.Client){
	"CreateKey":            createKey,
	"DescribeKey":          describeKey,
	"ListKeys":             listKeys,
	"EnableKey":            enableKey,
	"DisableKey":           enableKey,
	"ScheduleKeyDeletion":  deleteKey,
	"CancelKeyDeletion":    deleteKey,
	"UpdateKeyDescription": updateDescription,
	"GetKeyLastUsage":      lastUsage,
	"GetKeyPolicy":         keyPolicy,
	"PutKeyPolicy":         keyPolicy,
	"ListKeyPolicies":      keyPolicy,
	"TagResource":          tags,
	"UntagResource":        tags,
	"ListResourceTags":     tags,
	"ReplicateKey":         replicateKey,
	"UpdatePrimaryRegion":  updatePrimaryRegion,
}

// kinds are all kinds of keys that AWS KMS has outside China, with the algorithms of their metadata.
var kinds = []types.KeyMetadata{
	{KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt, EncryptionAlgorithms: []types.EncryptionAlgorithmSpec{"SYMMETRIC_DEFAULT"}},
	{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeEncryptDecrypt, EncryptionAlgorithms: []types.EncryptionAlgorithmSpec{"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}},
	{KeySpec: types.KeySpecRsa3072, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: rsaAlgorithms},
	{KeySpec: types.KeySpecRsa4096, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: rsaAlgorithms},
	{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: []types.SigningAlgorithmSpec{"ECDSA_SHA_256"}},
	{KeySpec: types.KeySpecEccNistP384, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: []types.SigningAlgorithmSpec{"ECDSA_SHA_384"}},
	{KeySpec: types.KeySpecEccNistP521, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: []types.SigningAlgorithmSpec{"ECDSA_SHA_512"}},
	{KeySpec: types.KeySpecEccSecgP256k1, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: []types.SigningAlgorithmSpec{"ECDSA_SHA_256"}},
	{KeySpec: types.KeySpecEccNistEdwards25519, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: []types.SigningAlgorithmSpec{"ED25519_SHA_512", "ED25519_PH_SHA_512"}},
	{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeKeyAgreement, KeyAgreementAlgorithms: []types.KeyAgreementAlgorithmSpec{"ECDH"}},
	{KeySpec: types.KeySpecEccNistP521, KeyUsage: types.KeyUsageTypeKeyAgreement, KeyAgreementAlgorithms: []types.KeyAgreementAlgorithmSpec{"ECDH"}},
	{KeySpec: types.KeySpecHmac224, KeyUsage: types.KeyUsageTypeGenerateVerifyMac, MacAlgorithms: []types.MacAlgorithmSpec{"HMAC_SHA_224"}},
	{KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac, MacAlgorithms: []types.MacAlgorithmSpec{"HMAC_SHA_256"}},
	{KeySpec: types.KeySpecHmac384, KeyUsage: types.KeyUsageTypeGenerateVerifyMac, MacAlgorithms: []types.MacAlgorithmSpec{"HMAC_SHA_384"}},
	{KeySpec: types.KeySpecHmac512, KeyUsage: types.KeyUsageTypeGenerateVerifyMac, MacAlgorithms: []types.MacAlgorithmSpec{"HMAC_SHA_512"}},
	{KeySpec: types.KeySpecMlDsa44, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: []types.SigningAlgorithmSpec{"ML_DSA_SHAKE_256"}},
	{KeySpec: types.KeySpecMlDsa65, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: []types.SigningAlgorithmSpec{"ML_DSA_SHAKE_256"}},
	{KeySpec: types.KeySpecMlDsa87, KeyUsage: types.KeyUsageTypeSignVerify, SigningAlgorithms: []types.SigningAlgorithmSpec{"ML_DSA_SHAKE_256"}},
	{KeySpec: types.KeySpecMlKem512, KeyUsage: types.KeyUsageTypeEncapsulateDecapsulate, EncapsulationAlgorithms: []types.EncapsulationAlgorithmSpec{"ML_KEM"}},
	{KeySpec: types.KeySpecMlKem768, KeyUsage: types.KeyUsageTypeEncapsulateDecapsulate, EncapsulationAlgorithms: []types.EncapsulationAlgorithmSpec{"ML_KEM"}},
	{KeySpec: types.KeySpecMlKem1024, KeyUsage: types.KeyUsageTypeEncapsulateDecapsulate, EncapsulationAlgorithms: []types.EncapsulationAlgorithmSpec{"ML_KEM"}},
}

// oneOfEach is a kind for each usage.
var oneOfEach = []types.KeyMetadata{kinds[0], kinds[4], kinds[9], kinds[12], kinds[19]}

var rsaAlgorithms = []types.SigningAlgorithmSpec{"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
	"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512"}

// checkKey checks the whole of a new key's metadata: want has what does not follow from the key being new.
func checkKey(t *testing.T, got *types.KeyMetadata, region string, want types.KeyMetadata) {
	t.Helper()
	if got == nil {
		t.Fatal("no metadata")
	}
	recent(t, "CreationDate", got.CreationDate)
	if symmetric := want.KeySpec == types.KeySpecSymmetricDefault && want.Origin != types.OriginTypeExternal; symmetric != (got.CurrentKeyMaterialId != nil) || symmetric && len(*got.CurrentKeyMaterialId) != 64 {
		t.Errorf("the material's id is %v", got.CurrentKeyMaterialId)
	}
	want.AWSAccountId, want.KeyId, want.Arn = aws.String(account(t)), got.KeyId, aws.String(keyARN(region, account(t), *got.KeyId))
	want.CreationDate, want.CurrentKeyMaterialId = got.CreationDate, got.CurrentKeyMaterialId
	want.KeyManager = types.KeyManagerTypeCustomer
	if want.Description == nil {
		want.Description = aws.String("")
	}
	if want.MultiRegion == nil {
		want.MultiRegion = aws.Bool(false)
	}
	if want.Origin == "" {
		want.Origin = types.OriginTypeAwsKms
	}
	if want.KeyState == "" {
		want.KeyState = types.KeyStateEnabled
	}
	want.Enabled = want.KeyState == types.KeyStateEnabled
	switch want.KeySpec { // specs that are younger than the deprecated member do not have it
	case types.KeySpecEccNistEdwards25519, types.KeySpecMlDsa44, types.KeySpecMlDsa65, types.KeySpecMlDsa87, types.KeySpecMlKem512, types.KeySpecMlKem768, types.KeySpecMlKem1024:
	default:
		want.CustomerMasterKeySpec = types.CustomerMasterKeySpec(want.KeySpec)
	}
	equal(t, "metadata", *got, want)
}

func createKey(t *testing.T, c *kms.Client) {
	for _, kind := range kinds {
		t.Run(fmt.Sprintf("%s %s", kind.KeySpec, kind.KeyUsage), func(t *testing.T) {
			t.Parallel()
			checkKey(t, newKey(t, c, spec(kind.KeySpec, kind.KeyUsage)), home, kind)
		})
	}
	k := newKey(t, c)
	checkKey(t, k, home, kinds[0])
	if len(*k.KeyId) != 36 {
		t.Errorf("the key id %s is no UUID", *k.KeyId)
	}
	k = newKey(t, c, external, func(q *kms.CreateKeyInput) { q.Description = aws.String("imported, ünïcode") })
	want := kinds[0]
	want.Origin, want.KeyState, want.Description = types.OriginTypeExternal, types.KeyStatePendingImport, aws.String("imported, ünïcode")
	checkKey(t, k, home, want)
	k = newKey(t, c, multiRegion)
	if (*k.KeyId)[:4] != "mrk-" || len(*k.KeyId) != 36 {
		t.Errorf("the id of a multi-Region key is %s", *k.KeyId)
	}
	want = kinds[0]
	want.MultiRegion = aws.Bool(true)
	want.MultiRegionConfiguration = &types.MultiRegionConfiguration{MultiRegionKeyType: types.MultiRegionKeyTypePrimary,
		PrimaryKey: &types.MultiRegionKey{Arn: k.Arn, Region: aws.String(home)}, ReplicaKeys: []types.MultiRegionKey{}}
	checkKey(t, k, home, want)
	// The deprecated member is taken, too.
	k = newKey(t, c, func(q *kms.CreateKeyInput) {
		q.CustomerMasterKeySpec, q.KeyUsage = types.CustomerMasterKeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac
	})
	checkKey(t, k, home, kinds[12])
}

func describeKey(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	name := newAlias(t, c, k)
	ids := []string{*k.KeyId, *k.Arn, name, "arn:aws:kms:" + home + ":" + account(t) + ":" + name}
	for range 3 { // each form of an identifier at each node
		for _, id := range ids {
			equal(t, id, call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: &id}).KeyMetadata, k)
		}
	}
	everyMember(t, c, func(k *types.KeyMetadata) *types.KeyMetadata {
		return call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}).KeyMetadata
	})
}

// everyMember has keys described that have between them all members of a key's metadata.
func everyMember(t *testing.T, c *kms.Client, describe func(*types.KeyMetadata) *types.KeyMetadata) {
	for _, kind := range oneOfEach {
		checkKey(t, describe(newKey(t, c, spec(kind.KeySpec, kind.KeyUsage))), home, kind)
	}
	leaving := newKey(t, c)
	call(t, c.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: leaving.KeyId, PendingWindowInDays: aws.Int32(7)})
	d := describe(leaving)
	if d.KeyState != types.KeyStatePendingDeletion || d.Enabled || d.DeletionDate == nil || d.DeletionDate.Sub(*d.CreationDate) < 7*24*time.Hour {
		t.Errorf("a key that is pending deletion: %+v", d)
	}
	expiring := newKey(t, c, external)
	until := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	importMaterial(t, c, expiring, symmetricMaterial(), func(q *kms.ImportKeyMaterialInput) { q.ValidTo = &until })
	d = describe(expiring)
	if d.ExpirationModel != types.ExpirationModelTypeKeyMaterialExpires || d.ValidTo == nil || !d.ValidTo.Equal(until) || d.KeyState != types.KeyStateEnabled || len(*d.CurrentKeyMaterialId) != 64 {
		t.Errorf("a key whose material expires at %v: %+v", until, d)
	}
	primary := newKey(t, c, multiRegion)
	call(t, c.ReplicateKey, &kms.ReplicateKeyInput{KeyId: primary.KeyId, ReplicaRegion: aws.String(away)})
	call(t, c.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: primary.KeyId, PendingWindowInDays: aws.Int32(9)})
	d = describe(primary)
	if d.KeyState != types.KeyStatePendingReplicaDeletion || d.PendingDeletionWindowInDays == nil || *d.PendingDeletionWindowInDays != 9 || d.DeletionDate != nil || len(d.MultiRegionConfiguration.ReplicaKeys) != 1 {
		t.Errorf("a key that waits for its replica's deletion: %+v", d)
	}
}

func listKeys(t *testing.T, c *kms.Client) {
	var made []types.KeyListEntry
	for range 5 {
		k := newKey(t, c)
		made = append(made, types.KeyListEntry{KeyId: k.KeyId, KeyArn: k.Arn})
	}
	for _, size := range []int32{1, 2, 3, 1000} {
		var all []types.KeyListEntry
		pages := kms.NewListKeysPaginator(c, &kms.ListKeysInput{Limit: &size})
		for pages.HasMorePages() {
			if size < 4 && len(all) > 3*int(size) { // other tests make keys meanwhile
				break
			}
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Keys) > int(size) || page.Truncated != (page.NextMarker != nil) {
				t.Errorf("a page of %d has %d keys, truncated %v", size, len(page.Keys), page.Truncated)
			}
			all = append(all, page.Keys...)
		}
		for _, k := range made {
			if size == 1000 && !slices.ContainsFunc(all, func(e types.KeyListEntry) bool { return *e.KeyId == *k.KeyId && *e.KeyArn == *k.KeyArn }) {
				t.Errorf("%s is not listed", *k.KeyArn)
			}
		}
	}
}

func enableKey(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	for _, state := range []types.KeyState{types.KeyStateDisabled, types.KeyStateDisabled, types.KeyStateEnabled, types.KeyStateEnabled} {
		if state == types.KeyStateDisabled {
			call(t, c.DisableKey, &kms.DisableKeyInput{KeyId: k.KeyId})
		} else {
			call(t, c.EnableKey, &kms.EnableKeyInput{KeyId: k.Arn})
		}
		for range 3 {
			want := *k
			want.KeyState, want.Enabled = state, state == types.KeyStateEnabled
			equal(t, string(state), *call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}).KeyMetadata, want)
		}
	}
}

func deleteKey(t *testing.T, c *kms.Client) {
	for days, asked := range map[int32]*int32{7: aws.Int32(7), 30: nil} {
		k := newKey(t, c)
		out := call(t, c.ScheduleKeyDeletion, &kms.ScheduleKeyDeletionInput{KeyId: k.KeyId, PendingWindowInDays: asked})
		if *out.KeyId != *k.Arn || out.KeyState != types.KeyStatePendingDeletion || out.PendingWindowInDays == nil || *out.PendingWindowInDays != days ||
			out.DeletionDate == nil || time.Until(*out.DeletionDate).Round(24*time.Hour) != time.Duration(days)*24*time.Hour {
			t.Errorf("scheduling for %v days answered %+v", asked, out)
		}
		equal(t, "CancelKeyDeletion", call(t, c.CancelKeyDeletion, &kms.CancelKeyDeletionInput{KeyId: k.KeyId}).KeyId, k.Arn)
		d := call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}).KeyMetadata
		if d.KeyState != types.KeyStateDisabled || d.DeletionDate != nil {
			t.Errorf("after its deletion was cancelled the key is %+v", d)
		}
	}
}

func updateDescription(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	for _, text := range []string{"one", "", *repeat("é", 8192)} {
		call(t, c.UpdateKeyDescription, &kms.UpdateKeyDescriptionInput{KeyId: k.KeyId, Description: &text})
		equal(t, "Description", *call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}).KeyMetadata.Description, text)
	}
}

func lastUsage(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	out := call(t, c.GetKeyLastUsage, &kms.GetKeyLastUsageInput{KeyId: k.KeyId})
	if *out.KeyId != *k.Arn || !out.KeyCreationDate.Equal(*k.CreationDate) || out.TrackingStartDate == nil || out.KeyLastUsage != nil {
		t.Errorf("of a key that was not used: %+v", out)
	}
	call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")})
	for range 3 {
		u := call(t, c.GetKeyLastUsage, &kms.GetKeyLastUsageInput{KeyId: k.Arn}).KeyLastUsage
		if u == nil || u.Operation != types.KeyLastUsageTrackingOperationEncrypt || u.CloudTrailEventId == nil || len(*u.CloudTrailEventId) != 36 || u.KmsRequestId == nil || len(*u.KmsRequestId) != 36 {
			t.Errorf("of a key that was used: %+v", u)
			continue
		}
		recent(t, "Timestamp", u.Timestamp)
	}
}

func keyPolicy(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	var got, want any
	out := call(t, c.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: k.KeyId})
	equal(t, "PolicyName", aws.ToString(out.PolicyName), "default")
	// https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
	decode(t, *out.Policy, &got)
	decode(t, `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow",
		"Principal":{"AWS":"`+root(t)+`"},"Action":"kms:*","Resource":"*"}]}`, &want)
	equal(t, "the default policy", got, want)

	document := policyOf(root(t), "mine")
	call(t, c.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: k.Arn, Policy: &document, PolicyName: aws.String("default")})
	for range 3 {
		equal(t, "Policy", *call(t, c.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: k.KeyId, PolicyName: aws.String("default")}).Policy, document)
	}
	given := newKey(t, c, func(q *kms.CreateKeyInput) { q.Policy = &document })
	equal(t, "Policy", *call(t, c.GetKeyPolicy, &kms.GetKeyPolicyInput{KeyId: given.KeyId}).Policy, document)

	list := call(t, c.ListKeyPolicies, &kms.ListKeyPoliciesInput{KeyId: k.KeyId})
	equal(t, "PolicyNames", list.PolicyNames, []string{"default"})
	if list.Truncated || list.NextMarker != nil {
		t.Errorf("a key has one policy: %+v", list)
	}
}

// policyOf returns a key policy that lets a principal do everything.
func policyOf(principal, sid string) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"` + sid + `","Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"kms:*","Resource":"*"}]}`
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err)
	}
}

func tag(key, value string) types.Tag { return types.Tag{TagKey: &key, TagValue: &value} }

func tags(t *testing.T, c *kms.Client) {
	k := newKey(t, c, func(q *kms.CreateKeyInput) { q.Tags = []types.Tag{tag("a", "1"), tag("b", "")} })
	list := func() (all []types.Tag) {
		pages := kms.NewListResourceTagsPaginator(c, &kms.ListResourceTagsInput{KeyId: k.Arn, Limit: aws.Int32(1)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page.Tags...)
		}
		return all
	}
	equal(t, "tags", list(), []types.Tag{tag("a", "1"), tag("b", "")})
	call(t, c.TagResource, &kms.TagResourceInput{KeyId: k.KeyId, Tags: []types.Tag{tag("a", "2"), tag("c:d", "x y")}})
	equal(t, "tags", list(), []types.Tag{tag("a", "2"), tag("b", ""), tag("c:d", "x y")})
	call(t, c.UntagResource, &kms.UntagResourceInput{KeyId: k.Arn, TagKeys: []string{"a", "never there"}})
	equal(t, "tags", list(), []types.Tag{tag("b", ""), tag("c:d", "x y")})
}

func replicateKey(t *testing.T, c *kms.Client) {
	for _, kind := range oneOfEach {
		primary := newKey(t, c, spec(kind.KeySpec, kind.KeyUsage), multiRegion)
		document := policyOf(root(t), "replica")
		out := call(t, c.ReplicateKey, &kms.ReplicateKeyInput{KeyId: primary.KeyId, ReplicaRegion: aws.String(away), Description: aws.String("there"),
			Policy: &document, Tags: []types.Tag{tag("k", "v")}})
		want := kind
		want.Description, want.MultiRegion = aws.String("there"), aws.Bool(true)
		want.MultiRegionConfiguration = &types.MultiRegionConfiguration{MultiRegionKeyType: types.MultiRegionKeyTypeReplica,
			PrimaryKey:  &types.MultiRegionKey{Arn: primary.Arn, Region: aws.String(home)},
			ReplicaKeys: []types.MultiRegionKey{{Arn: aws.String(keyARN(away, account(t), *primary.KeyId)), Region: aws.String(away)}}}
		checkKey(t, out.ReplicaKeyMetadata, away, want)
		equal(t, "ReplicaPolicy", aws.ToString(out.ReplicaPolicy), document)
		equal(t, "ReplicaTags", out.ReplicaTags, []types.Tag{tag("k", "v")})
		equal(t, "the id", *out.ReplicaKeyMetadata.KeyId, *primary.KeyId)
		if kind.KeySpec == types.KeySpecSymmetricDefault {
			equal(t, "the material", out.ReplicaKeyMetadata.CurrentKeyMaterialId, primary.CurrentKeyMaterialId)
		}
	}
}

func updatePrimaryRegion(t *testing.T, c *kms.Client) {
	there, _ := client(t, in(away))
	k := newKey(t, c, multiRegion)
	replica := call(t, c.ReplicateKey, &kms.ReplicateKeyInput{KeyId: k.KeyId, ReplicaRegion: aws.String(away)}).ReplicaKeyMetadata
	sealed := call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("anywhere")})
	opened := call(t, there.Decrypt, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	equal(t, "the plaintext", string(opened.Plaintext), "anywhere")
	equal(t, "the key", *opened.KeyId, *replica.Arn)
	call(t, c.UpdatePrimaryRegion, &kms.UpdatePrimaryRegionInput{KeyId: k.KeyId, PrimaryRegion: aws.String(away)})
	for at, want := range map[*kms.Client]types.MultiRegionKeyType{c: types.MultiRegionKeyTypeReplica, there: types.MultiRegionKeyTypePrimary} {
		m := call(t, at.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}).KeyMetadata.MultiRegionConfiguration
		equal(t, "the configuration", *m, types.MultiRegionConfiguration{MultiRegionKeyType: want,
			PrimaryKey:  &types.MultiRegionKey{Arn: replica.Arn, Region: aws.String(away)},
			ReplicaKeys: []types.MultiRegionKey{{Arn: k.Arn, Region: aws.String(home)}}})
	}
}
