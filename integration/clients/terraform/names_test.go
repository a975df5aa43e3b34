package terraform

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/hashicorp/aws-sdk-go-base/v2/tfawserr"
)

// findAlias looks through all aliases, page by page, as there is no operation that describes one.
func (p *provider) findAlias(name string) (*types.AliasListEntry, error) {
	pages := kms.NewListAliasesPaginator(p.kms, &kms.ListAliasesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(p.ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range page.Aliases {
			if aws.ToString(a.AliasName) == name {
				return &a, nil
			}
		}
	}
	return nil, errNotFound
}

// planAlias reads an alias and fails unless it leads to the key.
func (p *provider) planAlias(name, key string) {
	p.Helper()
	a, err := p.findAlias(name)
	p.check("ListAliases", err)
	parsed, err := arn.Parse(aws.ToString(a.AliasArn))
	p.check("the alias ARN", err)
	if parsed.Service != "kms" || parsed.Region != p.region || parsed.Resource != name || aws.ToString(a.TargetKeyId) != key {
		p.Errorf("%s is %+v, want it to lead to %s", name, a, key)
	}
	parsed.Resource = "key/" + aws.ToString(a.TargetKeyId)
	// The data source has the target from the key itself.
	if k, err := p.findKey(name); err != nil || aws.ToString(k.Arn) != parsed.String() || aws.ToString(k.KeyId) != key {
		p.Errorf("the key of %s is %+v, %v; its ARN should be %s", name, k, err, parsed)
	}
}

func (p *provider) deleteAlias(name string) {
	p.Helper()
	if _, err := p.kms.DeleteAlias(p.ctx, &kms.DeleteAliasInput{AliasName: &name}); !is[*types.NotFoundException](err) {
		p.check("DeleteAlias", err)
	}
}

// TestAlias creates an aws_kms_alias, moves it to other keys, one of which is being replaced, and destroys it.
func TestAlias(t *testing.T) {
	p := newProvider(t)
	first, second := p.createKey(keyConfig{enabled: true}), p.createKey(keyConfig{enabled: true})
	secondARN := aws.ToString(p.planKey(second, keyConfig{enabled: true}).Arn)
	name := unique("alias/app/")
	_, err := p.kms.CreateAlias(p.ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &first})
	p.check("CreateAlias", err)
	p.planAlias(name, first)

	_, err = p.kms.UpdateAlias(p.ctx, &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &secondARN})
	p.check("UpdateAlias to an ARN", err)
	p.planAlias(name, second)

	// The key is replaced: with create_before_destroy the alias moves first, without it the old key is going already.
	p.deleteKey(second, 7)
	if _, err := p.findAlias(name); err != nil {
		t.Errorf("the alias of a key that goes: %v", err)
	}
	_, err = p.kms.UpdateAlias(p.ctx, &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: &first})
	p.check("UpdateAlias away from a key that goes", err)
	p.planAlias(name, first)

	_, err = p.kms.CreateAlias(p.ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &first})
	if !is[*types.AlreadyExistsException](err) {
		t.Errorf("an alias twice: %v", err)
	}
	// The provider waits this one out, since the key may only not be known yet.
	_, err = p.kms.CreateAlias(p.ctx, &kms.CreateAliasInput{AliasName: aws.String(unique("alias/")), TargetKeyId: aws.String("11111111-2222-4333-8444-555555555555")})
	if !is[*types.NotFoundException](err) {
		t.Errorf("an alias of no key: %v", err)
	}
	p.deleteAlias(name)
	if _, err := p.findAlias(name); err != errNotFound {
		t.Errorf("after its deletion: %v", err)
	}
	p.deleteAlias(name)
	_, err = p.kms.CreateAlias(p.ctx, &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &first}) // replaced in one apply
	p.check("CreateAlias again", err)
	p.planAlias(name, first)
	p.deleteAlias(name)
	p.deleteKey(first, 7)
}

// findGrant looks through all grants of a key.
func (p *provider) findGrant(key, id string) (*types.GrantListEntry, error) {
	pages := kms.NewListGrantsPaginator(p.kms, &kms.ListGrantsInput{KeyId: &key, Limit: aws.Int32(100)})
	var found []types.GrantListEntry
	for pages.HasMorePages() {
		page, err := pages.NextPage(p.ctx)
		if err != nil {
			return nil, notFound(err)
		}
		for _, g := range page.Grants {
			if aws.ToString(g.GrantId) == id {
				found = append(found, g)
			}
		}
	}
	if len(found) != 1 {
		return nil, errNotFound
	}
	return &found[0], nil
}

// deleteGrant revokes a grant, or retires it.
func (p *provider) deleteGrant(key, id string, retire bool) {
	p.Helper()
	var err error
	if retire {
		_, err = p.kms.RetireGrant(p.ctx, &kms.RetireGrantInput{GrantId: &id, KeyId: &key})
	} else {
		_, err = p.kms.RevokeGrant(p.ctx, &kms.RevokeGrantInput{GrantId: &id, KeyId: &key})
	}
	if is[*types.NotFoundException](err) {
		return
	}
	p.check("RevokeGrant or RetireGrant", err)
	if g, err := p.findGrant(key, id); err != errNotFound {
		p.Fatalf("after its deletion the grant is %+v, %v", g, err)
	}
}

// TestGrant creates aws_kms_grants of all arguments, for a role of the same apply, reads them back and destroys them.
func TestGrant(t *testing.T) {
	p := newProvider(t)
	key := p.createKey(keyConfig{enabled: true})
	keyARN := aws.ToString(p.planKey(key, keyConfig{enabled: true}).Arn)
	user, err := p.iam.CreateUser(p.ctx, &iam.CreateUserInput{UserName: aws.String(unique("user-"))})
	p.check("CreateUser", err)
	root := "arn:aws:iam::" + p.c.Account + ":root"
	for _, tt := range []struct {
		name   string
		in     kms.CreateGrantInput
		retire bool
	}{
		{"the least", kms.CreateGrantInput{KeyId: &key, Operations: []types.GrantOperation{types.GrantOperationDecrypt}}, false},
		{"by ARN", kms.CreateGrantInput{KeyId: &keyARN, Operations: []types.GrantOperation{types.GrantOperationEncrypt, types.GrantOperationDecrypt, types.GrantOperationGenerateDataKey}}, false},
		{"named, retired", kms.CreateGrantInput{KeyId: &keyARN, Name: aws.String(unique("grant-")), RetiringPrincipal: &root,
			Operations: []types.GrantOperation{types.GrantOperationCreateGrant, types.GrantOperationRetireGrant, types.GrantOperationDescribeKey}}, true},
		{"by id, retired", kms.CreateGrantInput{KeyId: &key, RetiringPrincipal: &root, Operations: []types.GrantOperation{types.GrantOperationDescribeKey}}, true},
		{"constraint", kms.CreateGrantInput{KeyId: &key, Operations: []types.GrantOperation{types.GrantOperationEncrypt}, GranteePrincipal: user.User.Arn,
			Constraints: &types.GrantConstraints{EncryptionContextEquals: map[string]string{"foo": "bar", "baz": "kaz"}}}, false},
		{"subset", kms.CreateGrantInput{KeyId: &key, Operations: []types.GrantOperation{types.GrantOperationEncrypt},
			Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"foo": "bar"}}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := p.of(t)
			if tt.in.GranteePrincipal == nil {
				tt.in.GranteePrincipal = aws.String(q.role(unique("grantee-"))) // known to the next node at once
			}
			out, err := q.kms.CreateGrant(q.ctx, &tt.in)
			q.check("CreateGrant", err)
			id, on := aws.ToString(out.GrantId), aws.ToString(tt.in.KeyId)
			g, err := q.findGrant(on, id)
			q.check("ListGrants", err)
			slices.Sort(g.Operations)
			slices.Sort(tt.in.Operations)
			if aws.ToString(out.GrantToken) == "" || aws.ToString(g.GranteePrincipal) != *tt.in.GranteePrincipal || aws.ToString(g.Name) != aws.ToString(tt.in.Name) ||
				aws.ToString(g.RetiringPrincipal) != aws.ToString(tt.in.RetiringPrincipal) || !slices.Equal(g.Operations, tt.in.Operations) || aws.ToString(g.KeyId) != keyARN {
				t.Errorf("%+v of %+v", g, tt.in)
			}
			var equals, subset map[string]string
			if g.Constraints != nil {
				equals, subset = g.Constraints.EncryptionContextEquals, g.Constraints.EncryptionContextSubset
			}
			if want := tt.in.Constraints; want != nil && (!maps.Equal(equals, want.EncryptionContextEquals) || !maps.Equal(subset, want.EncryptionContextSubset)) || want == nil && len(equals)+len(subset) > 0 {
				t.Errorf("constraints %v %v, want %+v", equals, subset, want)
			}
			q.deleteGrant(on, id, tt.retire)
			q.deleteGrant(on, id, tt.retire) // somebody was faster
		})
	}
	if _, err := p.findGrant("11111111-2222-4333-8444-555555555555", "x"); err != errNotFound {
		t.Errorf("grants of no key: %v", err)
	}
	_, err = p.kms.CreateGrant(p.ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &root, Operations: []types.GrantOperation{types.GrantOperationSign}})
	if !tfawserr.ErrCodeEquals(err, "ValidationException") {
		t.Errorf("an operation that the key has not: %v", err)
	}
	p.deleteKey(key, 7)
}

// TestGrantPages finds a grant behind the first page of 100, and a grant is a plan without changes for each of them.
func TestGrantPages(t *testing.T) {
	p := newProvider(t)
	key, grantee := p.createKey(keyConfig{enabled: true}), p.role(unique("grantee-"))
	var ids []string
	for range 101 {
		out, err := p.kms.CreateGrant(p.ctx, &kms.CreateGrantInput{KeyId: &key, GranteePrincipal: &grantee, Operations: []types.GrantOperation{types.GrantOperationDecrypt}})
		p.check("CreateGrant", err)
		ids = append(ids, aws.ToString(out.GrantId))
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(ids))); len(distinct) != 101 {
		t.Errorf("%d ids of 101 grants", len(distinct))
	}
	for _, id := range []string{ids[0], ids[50], ids[100]} {
		if _, err := p.findGrant(key, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	p.deleteKey(key, 7)
}

// TestCiphertext encrypts as aws_kms_ciphertext does and decrypts as the data source aws_kms_secrets does, which names no key.
func TestCiphertext(t *testing.T) {
	p := newProvider(t)
	key := p.createKey(keyConfig{enabled: true})
	alias := unique("alias/secrets-")
	_, err := p.kms.CreateAlias(p.ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: &key})
	p.check("CreateAlias", err)
	for _, context := range []map[string]string{nil, {"name": "value", "Name": "other"}} {
		for _, id := range []string{key, alias} {
			out, err := p.kms.Encrypt(p.ctx, &kms.EncryptInput{KeyId: &id, Plaintext: []byte("Super secret data"), EncryptionContext: context})
			p.check("Encrypt", err)
			for range 3 {
				plain, err := p.kms.Decrypt(p.ctx, &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: context})
				p.check("Decrypt", err)
				if string(plain.Plaintext) != "Super secret data" {
					t.Errorf("decrypted %q", plain.Plaintext)
				}
			}
			_, err = p.kms.Decrypt(p.ctx, &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: map[string]string{"not": "this"}})
			if !is[*types.InvalidCiphertextException](err) {
				t.Errorf("another context: %v", err)
			}
		}
	}
	p.deleteAlias(alias)

	rsa := p.createKey(keyConfig{enabled: true, spec: types.KeySpecRsa3072})
	out, err := p.kms.Encrypt(p.ctx, &kms.EncryptInput{KeyId: &rsa, Plaintext: []byte("x"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
	p.check("Encrypt with RSA", err)
	plain, err := p.kms.Decrypt(p.ctx, &kms.DecryptInput{KeyId: &rsa, CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
	p.check("Decrypt with RSA", err)
	if string(plain.Plaintext) != "x" {
		t.Errorf("decrypted %q", plain.Plaintext)
	}
	_, err = p.kms.Encrypt(p.ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte(strings.Repeat("x", 4097))})
	if !tfawserr.ErrMessageContains(err, "ValidationException", "Member must have length less than or equal to 4096") {
		t.Errorf("too much: %v", err)
	}
	p.deleteKey(rsa, 7)
	p.deleteKey(key, 7)
}
