package terraform

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	taggingtypes "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"
)

// TestDataKey reads keys as the data source aws_kms_key does: by id, ARN, alias and alias ARN, and those that go.
func TestDataKey(t *testing.T) {
	p := newProvider(t)
	id := p.createKey(keyConfig{enabled: true, multiRegion: true, description: "to be found"})
	alias := unique("alias/data-")
	_, err := p.kms.CreateAlias(p.ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: &id})
	p.check("CreateAlias", err)
	prefix := "arn:aws:kms:" + p.region + ":" + p.c.Account + ":"
	for _, name := range []string{id, prefix + "key/" + id, alias, prefix + alias} {
		out, err := p.kms.DescribeKey(p.ctx, &kms.DescribeKeyInput{KeyId: &name, GrantTokens: []string{}})
		p.check("DescribeKey "+name, err)
		k := out.KeyMetadata
		if aws.ToString(k.KeyId) != id || aws.ToString(k.Arn) != prefix+"key/"+id || aws.ToString(k.AWSAccountId) != p.c.Account || k.CreationDate.IsZero() || k.DeletionDate != nil ||
			!k.Enabled || k.KeyManager != types.KeyManagerTypeCustomer || k.KeyState != types.KeyStateEnabled || k.KeyUsage != types.KeyUsageTypeEncryptDecrypt ||
			k.KeySpec != types.KeySpecSymmetricDefault || string(k.CustomerMasterKeySpec) != "SYMMETRIC_DEFAULT" || k.Origin != types.OriginTypeAwsKms || k.CustomKeyStoreId != nil || k.XksKeyConfiguration != nil || k.ValidTo != nil {
			t.Errorf("%s is %+v", name, k)
		}
		if m := k.MultiRegionConfiguration; m == nil || m.MultiRegionKeyType != types.MultiRegionKeyTypePrimary || aws.ToString(m.PrimaryKey.Region) != p.region || len(m.ReplicaKeys) != 0 {
			t.Errorf("%s: %+v", name, m)
		}
	}
	p.deleteAlias(alias)
	p.deleteKey(id, 7)
	out, err := p.kms.DescribeKey(p.ctx, &kms.DescribeKeyInput{KeyId: &id}) // a data source shows a key that goes
	p.check("DescribeKey", err)
	if k := out.KeyMetadata; k.KeyState != types.KeyStatePendingDeletion || k.DeletionDate == nil || k.Enabled {
		t.Errorf("%+v", k)
	}
	_, err = p.kms.DescribeKey(p.ctx, &kms.DescribeKeyInput{KeyId: &alias})
	if !is[*types.NotFoundException](err) {
		t.Errorf("an alias that is gone: %v", err)
	}
}

// TestManagedAlias finds the key of an alias/aws/NAME, which there is once somebody asks for it.
func TestManagedAlias(t *testing.T) {
	p := newProvider(t)
	name := unique("alias/aws/t-")
	if _, err := p.findAlias(name); err != errNotFound {
		t.Errorf("before it was used: %v", err)
	}
	k, err := p.findKey(name)
	p.check("DescribeKey", err)
	if k.KeyManager != types.KeyManagerTypeAws {
		t.Errorf("%+v", k)
	}
	p.planAlias(name, aws.ToString(k.KeyId))
}

// TestDataPublicKey reads a public key as the data source aws_kms_public_key does, which shows it as PEM.
func TestDataPublicKey(t *testing.T) {
	p := newProvider(t)
	id := p.createKey(keyConfig{enabled: true, spec: types.KeySpecEccNistP256, usage: types.KeyUsageTypeSignVerify})
	out, err := p.kms.GetPublicKey(p.ctx, &kms.GetPublicKeyInput{KeyId: &id})
	p.check("GetPublicKey", err)
	block, _ := pem.Decode(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: out.PublicKey}))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if _, ok := public.(*ecdsa.PublicKey); !ok || err != nil {
		t.Errorf("%T, %v", public, err)
	}
	if out.KeyUsage != types.KeyUsageTypeSignVerify || !slices.Equal(out.SigningAlgorithms, []types.SigningAlgorithmSpec{types.SigningAlgorithmSpecEcdsaSha256}) ||
		len(out.EncryptionAlgorithms) != 0 || string(out.CustomerMasterKeySpec) != "ECC_NIST_P256" || aws.ToString(out.KeyId) != "arn:aws:kms:"+p.region+":"+p.c.Account+":key/"+id {
		t.Errorf("%+v", out)
	}
	p.deleteKey(id, 7)
}

// TestDataCustomKeyStore looks for key stores outside the cluster, of which there are none: not found, as the provider sees
// it, and a key in one is refused.
func TestDataCustomKeyStore(t *testing.T) {
	p := newProvider(t)
	for _, in := range []*kms.DescribeCustomKeyStoresInput{{CustomKeyStoreId: aws.String("cks-1234567890abcdef0")}, {CustomKeyStoreName: aws.String("store")}} {
		if out, err := p.kms.DescribeCustomKeyStores(p.ctx, in); !is[*types.CustomKeyStoreNotFoundException](err) {
			t.Errorf("%+v, %v", out, err)
		}
	}
	_, err := p.kms.CreateKey(p.ctx, &kms.CreateKeyInput{Origin: types.OriginTypeAwsCloudhsm, CustomKeyStoreId: aws.String("cks-1234567890abcdef0")})
	if !is[*types.UnsupportedOperationException](err) {
		t.Errorf("a key in a key store: %v", err)
	}
}

// TestListKeys finds every key as the list resource aws_kms_key does, and reads each of them.
func TestListKeys(t *testing.T) {
	p := newProvider(t)
	want := map[string]bool{}
	for range 3 {
		want[p.createKey(keyConfig{enabled: true})] = true
	}
	pages := kms.NewListKeysPaginator(p.kms, &kms.ListKeysInput{Limit: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(p.ctx)
		p.check("ListKeys", err)
		for _, k := range page.Keys {
			if id := aws.ToString(k.KeyId); want[id] {
				p.planKey(id, keyConfig{enabled: true})
				delete(want, id)
			}
		}
	}
	if len(want) != 0 {
		t.Errorf("not listed: %v", want)
	}
}

// found returns the ARNs that a question answers, page by page.
func (p *provider) found(client *tagging.Client, in *tagging.GetResourcesInput) (arns []string) {
	p.Helper()
	pages := tagging.NewGetResourcesPaginator(client, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(p.ctx)
		p.check("GetResources", err)
		for _, m := range page.ResourceTagMappingList {
			arns = append(arns, aws.ToString(m.ResourceARN))
		}
	}
	slices.Sort(arns)
	return arns
}

// TestTaggedResources finds keys as the data source aws_resourcegroupstaggingapi_resources does.
func TestTaggedResources(t *testing.T) {
	p, away := newProvider(t), providerIn(t, elsewhere)
	cfg := p.c.Config(t)
	client := tagging.NewFromConfig(cfg)
	team := unique("team-")
	var arns []string
	for i := range 5 {
		id := p.createKey(keyConfig{enabled: true, tags: map[string]string{"team": team, "n": fmt.Sprint(i)}})
		arns = append(arns, "arn:aws:kms:"+p.region+":"+p.c.Account+":key/"+id)
	}
	away.createKey(keyConfig{enabled: true, tags: map[string]string{"team": team}})
	filter := func(key string, values ...string) taggingtypes.TagFilter {
		return taggingtypes.TagFilter{Key: &key, Values: values}
	}
	for name, tt := range map[string]struct {
		in   tagging.GetResourcesInput
		want []string
	}{
		"a tag":          {tagging.GetResourcesInput{TagFilters: []taggingtypes.TagFilter{filter("team", team)}}, arns},
		"pages":          {tagging.GetResourcesInput{TagFilters: []taggingtypes.TagFilter{filter("team", team)}, ResourcesPerPage: aws.Int32(2)}, arns},
		"values":         {tagging.GetResourcesInput{TagFilters: []taggingtypes.TagFilter{filter("team", team), filter("n", "1", "3", "9")}, TagsPerPage: aws.Int32(100)}, []string{arns[1], arns[3]}},
		"a type":         {tagging.GetResourcesInput{TagFilters: []taggingtypes.TagFilter{filter("team", team), filter("n")}, ResourceTypeFilters: []string{"kms:key"}}, arns},
		"a service":      {tagging.GetResourcesInput{TagFilters: []taggingtypes.TagFilter{filter("team", team)}, ResourceTypeFilters: []string{"ec2:instance", "kms"}}, arns},
		"another type":   {tagging.GetResourcesInput{TagFilters: []taggingtypes.TagFilter{filter("team", team)}, ResourceTypeFilters: []string{"ec2"}}, nil},
		"ARNs":           {tagging.GetResourcesInput{ResourceARNList: []string{arns[4], arns[0], "arn:aws:s3:::bucket"}}, []string{arns[0], arns[4]}},
		"nobody's value": {tagging.GetResourcesInput{TagFilters: []taggingtypes.TagFilter{filter("team", team+"x")}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			slices.Sort(tt.want)
			if got := p.of(t).found(client, &tt.in); !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	out, err := client.GetResources(p.ctx, &tagging.GetResourcesInput{ResourceARNList: arns[:1]})
	p.check("GetResources", err)
	tags := map[string]string{}
	for _, tag := range out.ResourceTagMappingList[0].Tags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	if len(tags) != 2 || tags["team"] != team {
		t.Errorf("the tags are %v", tags)
	}
	for name, in := range map[string]*tagging.GetResourcesInput{
		"a list and filters": {ResourceARNList: arns, TagFilters: []taggingtypes.TagFilter{filter("team")}},
		"a list and pages":   {ResourceARNList: arns, ResourcesPerPage: aws.Int32(5)},
		"a page of 101":      {ResourcesPerPage: aws.Int32(101)},
		"a foreign token":    {PaginationToken: aws.String("garbage")},
		"compliance":         {IncludeComplianceDetails: aws.Bool(true)},
	} {
		if _, err := client.GetResources(p.ctx, in); !is[*taggingtypes.InvalidParameterException](err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
