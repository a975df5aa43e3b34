package terraform

import (
	"os"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
)

// TestRightsOfThePage makes a user of the policy in docs/terraform.md and does as that user what the page says it is for.
func TestRightsOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/terraform.md")
	if err != nil {
		t.Fatal(err)
	}
	policy := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(page)
	if policy == nil {
		t.Fatal("the page has no policy")
	}
	p := newProvider(t)
	role := p.role(unique("grantee-"))
	_, id, secret := p.user(string(policy[1]))
	as := func(region string) *provider {
		q, cfg := *p, p.c.Config(t)
		cfg.Region, cfg.Credentials = region, credentials.NewStaticCredentialsProvider(id, secret, "")
		q.region, q.kms, q.iam = region, kms.NewFromConfig(cfg), nil
		return &q
	}
	q, away := as(p.region), as(elsewhere)

	c := keyConfig{enabled: true, multiRegion: true, rotates: true, description: "d", tags: map[string]string{"a": "b", "c": "d"}, policy: p.rootPolicy()}
	key, is := q.createKey(c), c
	is.enabled, is.rotates, is.description, is.tags = false, false, "e", map[string]string{"a": "x"}
	is.policy = p.rootPolicy(`{"Effect":"Deny","Principal":"*","Action":"kms:Sign","Resource":"*"}`)
	q.updateKey(key, c, is)
	q.updateEnabled(key, true)
	alias := unique("alias/page-")
	_, err = q.kms.CreateAlias(q.ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: &key})
	q.check("CreateAlias", err)
	_, err = q.kms.UpdateAlias(q.ctx, &kms.UpdateAliasInput{AliasName: &alias, TargetKeyId: &key})
	q.check("UpdateAlias", err)
	q.planAlias(alias, key)
	grant, err := q.kms.CreateGrant(q.ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &role, Operations: []types.GrantOperation{types.GrantOperationDecrypt}})
	q.check("CreateGrant", err)
	q.deleteGrant(key, aws.ToString(grant.GrantId), false)
	out, err := q.kms.Encrypt(q.ctx, &kms.EncryptInput{KeyId: &alias, Plaintext: []byte("x")})
	q.check("Encrypt", err)
	_, err = q.kms.Decrypt(q.ctx, &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob})
	q.check("Decrypt", err)
	q.deleteAlias(alias)

	replica := away.replicate("arn:aws:kms:"+p.region+":"+p.c.Account+":key/"+key, keyConfig{enabled: true, tags: map[string]string{"a": "b"}}, types.KeyStateEnabled)
	away.deleteKey(replica, 7)
	external := q.createExternal(false, keyConfig{})
	q.importMaterial(external, newMaterial(), "")
	signs := q.createKey(keyConfig{enabled: true, spec: types.KeySpecEccNistP256, usage: types.KeyUsageTypeSignVerify})
	_, err = q.kms.GetPublicKey(q.ctx, &kms.GetPublicKeyInput{KeyId: &signs})
	q.check("GetPublicKey", err)
	cfg := p.c.Config(t)
	cfg.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "")
	if arns := q.found(tagging.NewFromConfig(cfg), &tagging.GetResourcesInput{ResourceTypeFilters: []string{"kms"}}); len(arns) == 0 {
		t.Error("no tagged key is found")
	}
	for _, k := range []string{key, external, signs} {
		q.deleteKey(k, 7)
	}
}
