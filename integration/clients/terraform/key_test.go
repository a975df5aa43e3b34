package terraform

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/hashicorp/aws-sdk-go-base/v2/tfawserr"
	awspolicy "github.com/hashicorp/awspolicyequivalence"
)

// keyConfig is an aws_kms_key as its user writes it; the zero value is one without arguments, but for Enabled.
type keyConfig struct {
	description, policy string
	spec                types.KeySpec
	usage               types.KeyUsageType
	enabled, rotates    bool
	period              int32 // days; 0: not given
	tags                map[string]string
	multiRegion, bypass bool
}

func (c *keyConfig) kmsTags() (tags []types.Tag) {
	for k, v := range c.tags {
		tags = append(tags, types.Tag{TagKey: aws.String(k), TagValue: aws.String(v)})
	}
	return tags
}

// normalize is what the provider does to a policy before it sends it.
func (p *provider) normalize(policy string) string {
	p.Helper()
	var v any
	p.check("the policy", json.Unmarshal([]byte(policy), &v))
	b, err := json.Marshal(v)
	p.check("the policy", err)
	return string(b)
}

func (p *provider) createKey(c keyConfig) string {
	p.Helper()
	in := &kms.CreateKeyInput{BypassPolicyLockoutSafetyCheck: c.bypass, KeySpec: c.spec, KeyUsage: c.usage, Tags: c.kmsTags()}
	if in.KeySpec == "" {
		in.KeySpec = types.KeySpecSymmetricDefault
	}
	if in.KeyUsage == "" {
		in.KeyUsage = types.KeyUsageTypeEncryptDecrypt
	}
	if c.description != "" {
		in.Description = &c.description
	}
	if c.multiRegion {
		in.MultiRegion = &c.multiRegion
	}
	if c.policy != "" {
		in.Policy = aws.String(p.normalize(c.policy))
	}
	out, err := p.kms.CreateKey(p.ctx, in)
	p.check("CreateKey", err)
	id := aws.ToString(out.KeyMetadata.KeyId)
	if c.rotates {
		p.updateRotation(id, true, c.period)
	}
	if !c.enabled {
		p.updateEnabled(id, false)
	}
	if c.policy != "" {
		p.waitPolicy(id, c.policy)
	}
	if len(c.tags) > 0 {
		p.waitTags(id, c.tags)
	}
	return id
}

func (p *provider) updateEnabled(id string, enabled bool) {
	p.Helper()
	var err error
	if enabled {
		_, err = p.kms.EnableKey(p.ctx, &kms.EnableKeyInput{KeyId: &id})
	} else {
		_, err = p.kms.DisableKey(p.ctx, &kms.DisableKeyInput{KeyId: &id})
	}
	p.check("EnableKey or DisableKey", err)
	p.waitEnabled(id, enabled)
}

func (p *provider) updateRotation(id string, enabled bool, period int32) {
	p.Helper()
	var err error
	if enabled {
		in := &kms.EnableKeyRotationInput{KeyId: &id}
		if period > 0 {
			in.RotationPeriodInDays = &period
		}
		_, err = p.kms.EnableKeyRotation(p.ctx, in)
	} else {
		_, err = p.kms.DisableKeyRotation(p.ctx, &kms.DisableKeyRotationInput{KeyId: &id})
	}
	p.check("EnableKeyRotation or DisableKeyRotation", err)
	p.waitRotation(id, enabled, period)
}

func (p *provider) updateDescription(id, description string) {
	p.Helper()
	_, err := p.kms.UpdateKeyDescription(p.ctx, &kms.UpdateKeyDescriptionInput{KeyId: &id, Description: &description})
	p.check("UpdateKeyDescription", err)
	p.waitDescription(id, description)
}

func (p *provider) putPolicy(id, policy string, bypass bool) error {
	policy = p.normalize(policy)
	_, err := p.kms.PutKeyPolicy(p.ctx, &kms.PutKeyPolicyInput{KeyId: &id, Policy: &policy, PolicyName: aws.String("default"), BypassPolicyLockoutSafetyCheck: bypass})
	return err
}

func (p *provider) updatePolicy(id, policy string, bypass bool) {
	p.Helper()
	p.check("PutKeyPolicy", p.putPolicy(id, policy, bypass))
	p.waitPolicy(id, policy)
}

// updateTags takes away what is not there any more, then sets what is new or different.
func (p *provider) updateTags(id string, from, to map[string]string) {
	p.Helper()
	var removed []string
	updated := keyConfig{tags: map[string]string{}}
	for k := range from {
		if _, ok := to[k]; !ok {
			removed = append(removed, k)
		}
	}
	for k, v := range to {
		if old, ok := from[k]; !ok || old != v {
			updated.tags[k] = v
		}
	}
	if len(removed) > 0 {
		_, err := p.kms.UntagResource(p.ctx, &kms.UntagResourceInput{KeyId: &id, TagKeys: removed})
		p.check("UntagResource", err)
	}
	if len(updated.tags) > 0 {
		_, err := p.kms.TagResource(p.ctx, &kms.TagResourceInput{KeyId: &id, Tags: updated.kmsTags()})
		p.check("TagResource", err)
	}
	if len(removed) > 0 || len(updated.tags) > 0 {
		p.waitTags(id, to)
	}
}

func (p *provider) updateKey(id string, from, to keyConfig) {
	p.Helper()
	p.updateTags(id, from.tags, to.tags)
	if !from.enabled && to.enabled {
		p.updateEnabled(id, true)
	}
	if from.rotates != to.rotates || to.rotates && from.period != to.period {
		p.updateRotation(id, to.rotates, to.period)
	}
	if from.description != to.description {
		p.updateDescription(id, to.description)
	}
	if from.policy != to.policy {
		p.updatePolicy(id, to.policy, to.bypass)
	}
	if from.enabled && !to.enabled {
		p.updateEnabled(id, false)
	}
}

// planKey reads the key and fails unless it is as configured, so that the next plan would change nothing.
func (p *provider) planKey(id string, c keyConfig) keyInfo {
	p.Helper()
	k, err := p.findKeyInfo(id)
	p.check("reading the key", err)
	if want := c.period; want == 0 && c.rotates {
		c.period = 365
	}
	if aws.ToString(k.Description) != c.description || k.Enabled != c.enabled || k.rotates != c.rotates || c.rotates && k.period != c.period || !maps.Equal(k.tags, c.tags) ||
		c.spec != "" && k.KeySpec != c.spec || c.usage != "" && k.KeyUsage != c.usage || aws.ToBool(k.MultiRegion) != c.multiRegion {
		p.Errorf("the key is %+v, rotates %v every %d days, tags %v; configured is %+v", k.KeyMetadata, k.rotates, k.period, k.tags, c)
	}
	if same, err := awspolicy.PoliciesAreEquivalent(k.policy, c.policy); c.policy != "" && (!same || err != nil) {
		p.Errorf("the policy %s is not %s: %v", k.policy, c.policy, err)
	}
	if c.multiRegion && k.MultiRegionConfiguration.MultiRegionKeyType != types.MultiRegionKeyTypePrimary {
		p.Errorf("no primary key: %+v", k.MultiRegionConfiguration)
	}
	return k
}

// rootPolicy is a policy such as people write: with blanks, single values for lists, and members in any order.
func (p *provider) rootPolicy(more ...string) string {
	return `{ "Version": "2012-10-17", "Id": "by-hand",
	"Statement": [` + strings.Join(append([]string{`{"Sid": "root", "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::` + p.c.Account + `:root"]}, "Resource": ["*"], "Action": "kms:*"}`}, more...), ",") + `] }`
}

// role makes an IAM role, as the aws_iam_role beside a key would, and returns its ARN.
func (p *provider) role(name string) string {
	p.Helper()
	out, err := p.iam.CreateRole(p.ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::` + p.c.Account + `:root"}}]}`)})
	p.check("CreateRole", err)
	return aws.ToString(out.Role.Arn)
}

// TestKey creates an aws_kms_key, changes each argument as an apply would, imports it and destroys it.
func TestKey(t *testing.T) {
	p := newProvider(t)
	role := p.role(unique("reader-"))
	is := keyConfig{description: "first", enabled: true, policy: p.rootPolicy(), tags: map[string]string{"team": "payments", "stage": ""}}
	id := p.createKey(is)
	for _, step := range []struct {
		name   string
		change func(*keyConfig)
	}{
		{"create", func(*keyConfig) {}},
		{"description", func(c *keyConfig) { c.description = "second, with \"quotes\" and ünïcödé" }},
		{"no description", func(c *keyConfig) { c.description = "" }},
		{"policy", func(c *keyConfig) {
			c.policy = p.rootPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":["kms:Encrypt","kms:Decrypt","kms:DescribeKey"],"Resource":"*",
				"Condition":{"Bool":{"kms:GrantIsForAWSResource":"true"},"StringEquals":{"aws:PrincipalTag/team":["a","b"]}}}`)
		}},
		{"rotation", func(c *keyConfig) { c.rotates = true }},
		{"rotation period", func(c *keyConfig) { c.period = 180 }},
		{"no rotation", func(c *keyConfig) { c.rotates, c.period = false, 0 }},
		{"tags", func(c *keyConfig) {
			c.tags = map[string]string{"team": "orders", "cost center": "a=b/c:d+e@f", "owner": "x"}
		}},
		{"no tags", func(c *keyConfig) { c.tags = nil }},
		{"disabled", func(c *keyConfig) { c.enabled, c.description = false, "while it is being disabled" }},
		{"a disabled key", func(c *keyConfig) {
			c.description, c.policy, c.tags = "while it is disabled", p.rootPolicy(), map[string]string{"a": "b"}
		}},
		{"everything", func(c *keyConfig) {
			*c = keyConfig{description: "last", enabled: true, rotates: true, period: 90, policy: p.rootPolicy(), tags: map[string]string{"c": "d"}}
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			q, to := p.of(t), is
			step.change(&to)
			q.updateKey(id, is, to)
			is = to
			q.planKey(id, is)
		})
	}
	k := p.planKey(id, is)
	if k.KeyManager != types.KeyManagerTypeCustomer || k.Origin != types.OriginTypeAwsKms || aws.ToString(k.AWSAccountId) != p.c.Account {
		t.Errorf("%+v", k.KeyMetadata)
	}
	if imported := p.planKey(aws.ToString(k.Arn), is); aws.ToString(imported.KeyId) != id { // import by ARN, and a data source
		t.Errorf("by its ARN the key is %+v", imported.KeyMetadata)
	}
	p.deleteKey(id, 7)
	p.deleteKey(id, 7) // somebody was faster
	if _, err := p.findKeyInfo(id); err != errNotFound {
		t.Errorf("after its deletion: %v", err)
	}
	p.deleteKey(p.createKey(keyConfig{enabled: true}), 0)
	p.deleteKey(p.createKey(keyConfig{rotates: true, period: 2560}), 30) // rotation on, then disabled
	p.deleteKey("00000000-0000-4000-8000-000000000000", 7)
}

// TestKeySpecs creates a key of every kind: reading the rotation of those that cannot rotate is no error.
func TestKeySpecs(t *testing.T) {
	p := newProvider(t)
	for _, c := range []keyConfig{
		{spec: types.KeySpecSymmetricDefault, usage: types.KeyUsageTypeEncryptDecrypt, multiRegion: true},
		{spec: types.KeySpecRsa2048, usage: types.KeyUsageTypeEncryptDecrypt},
		{spec: types.KeySpecRsa2048, usage: types.KeyUsageTypeSignVerify},
		{spec: types.KeySpecEccNistP256, usage: types.KeyUsageTypeSignVerify, multiRegion: true},
		{spec: types.KeySpecEccNistP384, usage: types.KeyUsageTypeKeyAgreement},
		{spec: types.KeySpecEccSecgP256k1, usage: types.KeyUsageTypeSignVerify},
		{spec: types.KeySpecHmac256, usage: types.KeyUsageTypeGenerateVerifyMac},
		{spec: types.KeySpecMlDsa44, usage: types.KeyUsageTypeSignVerify},
	} {
		t.Run(string(c.spec)+" "+string(c.usage), func(t *testing.T) {
			q := p.of(t)
			c.enabled = true
			id := q.createKey(c)
			k := q.planKey(id, c)
			if k.rotates || k.period != 0 {
				t.Errorf("rotates %v every %d days", k.rotates, k.period)
			}
			if strings.HasPrefix(id, "mrk-") != c.multiRegion {
				t.Errorf("the id is %s", id)
			}
			q.deleteKey(id, 7)
		})
	}
}

// TestKeyDefaultPolicy reads the policy of a key that was made without one: the computed attribute is a document that
// can be written back, which changes nothing.
func TestKeyDefaultPolicy(t *testing.T) {
	p := newProvider(t)
	id := p.createKey(keyConfig{enabled: true})
	policy, err := p.findPolicy(id)
	p.check("GetKeyPolicy", err)
	want := `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + p.c.Account + `:root"},"Action":"kms:*","Resource":"*"}]}`
	if same, err := awspolicy.PoliciesAreEquivalent(policy, want); !same || err != nil {
		t.Errorf("%s: %v", policy, err)
	}
	p.updatePolicy(id, policy, false)

	// aws_kms_key_policy: put on a key of its own, changed, imported, and taken away again for the default policy.
	p.updatePolicy(id, p.rootPolicy(), false)
	p.updatePolicy(id, p.rootPolicy(`{"Effect":"Deny","Principal":"*","Action":"kms:Sign","Resource":"*"}`), false)
	p.planKey(id, keyConfig{enabled: true, policy: p.rootPolicy(`{"Effect":"Deny","Principal":"*","Action":"kms:Sign","Resource":"*"}`)})
	p.updatePolicy(id, strings.Replace(want, "key-default-1", "default", 1), false)
	p.deleteKey(id, 7)
}

// TestDeletedPrincipal deletes a role that a key's policy and a grant name: both read as they were written, so that the
// plan is empty, the next change to the policy is refused, and the grant can be destroyed.
func TestDeletedPrincipal(t *testing.T) {
	p := newProvider(t)
	name := unique("leaver-")
	role := p.role(name)
	c := keyConfig{enabled: true, policy: p.rootPolicy(`{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"kms:Decrypt","Resource":"*"}`)}
	id := p.createKey(c)
	grant, err := p.kms.CreateGrant(p.ctx, &kms.CreateGrantInput{KeyId: &id, GranteePrincipal: &role, Operations: []types.GrantOperation{types.GrantOperationDecrypt}})
	p.check("CreateGrant", err)
	_, err = p.iam.DeleteRole(p.ctx, &iam.DeleteRoleInput{RoleName: &name})
	p.check("DeleteRole", err)
	p.planKey(id, c)
	if err := p.putPolicy(id, c.policy, false); !is[*types.MalformedPolicyDocumentException](err) {
		t.Errorf("the policy again: %v", err)
	}
	p.updatePolicy(id, p.rootPolicy(), false)
	if g, err := p.findGrant(id, aws.ToString(grant.GrantId)); err != nil || aws.ToString(g.GranteePrincipal) != role {
		t.Errorf("the grant: %+v, %v", g, err)
	}
	p.deleteGrant(id, aws.ToString(grant.GrantId), false)
	p.deleteKey(id, 7)
}

// TestKeyRefusals holds the refusals to the types that the provider waits out, or tells its user.
func TestKeyRefusals(t *testing.T) {
	p := newProvider(t)
	id := p.createKey(keyConfig{enabled: true})
	disabled := p.createKey(keyConfig{})

	// DisabledException is waited out by rotation; every read of the provider works meanwhile.
	_, err := p.kms.EnableKeyRotation(p.ctx, &kms.EnableKeyRotationInput{KeyId: &disabled})
	if !is[*types.DisabledException](err) {
		t.Errorf("rotation of a disabled key: %v", err)
	}
	p.planKey(disabled, keyConfig{})

	// MalformedPolicyDocumentException is waited out for principals that IAM does not know yet.
	name := unique("later-")
	policy := p.rootPolicy(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + p.c.Account + `:role/` + name + `"},"Action":"kms:Decrypt","Resource":"*"}`)
	create := func() (*kms.CreateKeyOutput, error) {
		return p.kms.CreateKey(p.ctx, &kms.CreateKeyInput{Policy: aws.String(p.normalize(policy))})
	}
	_, err = create()
	put := p.putPolicy(id, policy, false)
	if !is[*types.MalformedPolicyDocumentException](err) || !is[*types.MalformedPolicyDocumentException](put) {
		t.Errorf("a policy for nobody: %v, %v", err, put)
	}
	p.role(name)
	out, err := create() // the next node, at once
	p.check("CreateKey for a new role", err)
	p.updatePolicy(id, policy, false)
	p.deleteKey(aws.ToString(out.KeyMetadata.KeyId), 7)

	// A policy that locks its writer out is refused, unless that is what is asked for.
	locked := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + p.c.Account + `:role/` + name + `"},"Action":"kms:*","Resource":"*"}]}`
	if err := p.putPolicy(id, locked, false); !is[*types.MalformedPolicyDocumentException](err) || !tfawserr.ErrMessageContains(err, "MalformedPolicyDocumentException", "will not allow you to update the key policy") {
		t.Errorf("a policy that locks out: %v", err)
	}
	p.check("the same with bypass_policy_lockout_safety_check", p.putPolicy(disabled, locked, true))

	if err := p.putPolicy(id, `{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps"}]}`, false); !is[*types.MalformedPolicyDocumentException](err) {
		t.Errorf("no policy: %v", err)
	}
	p.deleteKey(id, 7)
	_, err = p.kms.EnableKey(p.ctx, &kms.EnableKeyInput{KeyId: &id})
	if !is[*types.KMSInvalidStateException](err) || !tfawserr.ErrMessageContains(err, "KMSInvalidStateException", "is pending deletion") {
		t.Errorf("enabling a key that goes: %v", err)
	}
	unknown := "11111111-2222-4333-8444-555555555555"
	// Tags whose keys differ in case only are taken by AWS KMS; to policies they would be one. Terraform shows the refusal.
	_, err = p.kms.TagResource(p.ctx, &kms.TagResourceInput{KeyId: &disabled, Tags: (&keyConfig{tags: map[string]string{"team": "a", "Team": "b"}}).kmsTags()})
	if !is[*types.TagException](err) {
		t.Errorf("tags that differ in case only: %v", err)
	}
	for what, err := range map[string]error{
		"findKey":  second(p.findKey(unknown)),
		"policy":   second(p.findPolicy(unknown)),
		"rotation": func() error { _, _, err := p.findRotation(unknown); return err }(),
		"tags":     second(p.findTags(unknown)),
	} {
		if err != errNotFound {
			t.Errorf("%s of a key that is not there: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
