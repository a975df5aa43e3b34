package terraform

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/hashicorp/aws-sdk-go-base/v2/tfawserr"
)

const elsewhere = "eu-west-1"

// importMaterial wraps material for a key, brings it in and waits until the key has it. validTo is RFC 3339, or "".
func (p *provider) importMaterial(id string, material []byte, validTo string) {
	p.Helper()
	parameters, err := p.kms.GetParametersForImport(p.ctx, &kms.GetParametersForImportInput{KeyId: &id,
		WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048})
	p.check("GetParametersForImport", err)
	public, err := x509.ParsePKIXPublicKey(parameters.PublicKey)
	p.check("the wrapping key", err)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material, []byte{})
	p.check("wrapping", err)
	in := &kms.ImportKeyMaterialInput{KeyId: &id, EncryptedKeyMaterial: wrapped, ImportToken: parameters.ImportToken, ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire}
	if validTo != "" {
		at, err := time.Parse(time.RFC3339, validTo)
		p.check("the time", err)
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, &at
	}
	_, err = p.kms.ImportKeyMaterial(p.ctx, in)
	p.check("ImportKeyMaterial", err)
	if k, err := p.findKey(id); err != nil || k.KeyState != types.KeyStateEnabled && k.KeyState != types.KeyStateDisabled {
		p.Fatalf("with its material the key is %+v, %v", k, err)
	}
	p.propagated("valid_to", 5, func() (bool, error) {
		k, err := p.findKey(id)
		if err != nil || k.ValidTo == nil {
			return validTo == "", err
		}
		return k.ValidTo.Format(time.RFC3339) == validTo, nil
	})
}

func newMaterial() []byte {
	raw := make([]byte, 32)
	rand.Read(raw)
	return raw
}

func (p *provider) createExternal(multiRegion bool, c keyConfig) string {
	p.Helper()
	in := &kms.CreateKeyInput{KeyUsage: types.KeyUsageTypeEncryptDecrypt, Origin: types.OriginTypeExternal, Tags: c.kmsTags()}
	if multiRegion {
		in.MultiRegion = &multiRegion
	}
	if c.description != "" {
		in.Description = &c.description
	}
	out, err := p.kms.CreateKey(p.ctx, in)
	p.check("CreateKey", err)
	return aws.ToString(out.KeyMetadata.KeyId)
}

// planExternal reads a key of imported material.
func (p *provider) planExternal(id string, state types.KeyState, model types.ExpirationModelType, validTo string, c keyConfig) {
	p.Helper()
	c.enabled = state == types.KeyStateEnabled
	k := p.planKeyOf(id, c)
	got := ""
	if k.ValidTo != nil {
		got = k.ValidTo.Format(time.RFC3339)
	}
	if k.Origin != types.OriginTypeExternal || k.KeyManager != types.KeyManagerTypeCustomer || k.KeyState != state || k.ExpirationModel != model || got != validTo {
		p.Errorf("the key is %+v, want %s, %s until %q", k.KeyMetadata, state, model, validTo)
	}
}

// planKeyOf is planKey of a key that may be a replica.
func (p *provider) planKeyOf(id string, c keyConfig) keyInfo {
	p.Helper()
	k, err := p.findKey(id)
	p.check("DescribeKey", err)
	if c.multiRegion = aws.ToBool(k.MultiRegion); c.multiRegion && k.MultiRegionConfiguration.MultiRegionKeyType == types.MultiRegionKeyTypeReplica {
		info, err := p.findKeyInfo(id)
		p.check("reading the replica", err)
		if aws.ToString(info.Description) != c.description || info.Enabled != c.enabled || len(info.tags) != len(c.tags) {
			p.Errorf("the replica is %+v, tags %v; configured is %+v", info.KeyMetadata, info.tags, c)
		}
		return info
	}
	return p.planKey(id, c)
}

// TestExternalKey creates an aws_kms_external_key without material, gives it some, changes how long it is valid, and
// destroys it.
func TestExternalKey(t *testing.T) {
	p := newProvider(t)
	c := keyConfig{description: "waits", tags: map[string]string{"a": "b"}}
	id, material := p.createExternal(false, c), newMaterial()
	p.waitTags(id, c.tags)
	p.planExternal(id, types.KeyStatePendingImport, "", "", c)

	// Without material its description, policy and tags can be changed; whether it is enabled cannot.
	p.updateDescription(id, "still waits")
	p.updatePolicy(id, p.rootPolicy(), false)
	p.updateTags(id, c.tags, map[string]string{"a": "c"})
	c.description, c.tags = "still waits", map[string]string{"a": "c"}
	p.planExternal(id, types.KeyStatePendingImport, "", "", c)
	_, err := p.kms.DisableKey(p.ctx, &kms.DisableKeyInput{KeyId: &id})
	if !is[*types.KMSInvalidStateException](err) || !tfawserr.ErrMessageContains(err, "KMSInvalidStateException", "is pending import") {
		t.Errorf("disabling a key without material: %v", err)
	}

	p.importMaterial(id, material, "")
	p.planExternal(id, types.KeyStateEnabled, types.ExpirationModelTypeKeyMaterialDoesNotExpire, "", c)
	validTo := time.Now().UTC().Add(48 * time.Hour).Format(time.RFC3339)
	p.importMaterial(id, material, validTo)
	p.planExternal(id, types.KeyStateEnabled, types.ExpirationModelTypeKeyMaterialExpires, validTo, c)
	p.updateEnabled(id, false)
	later := time.Now().UTC().Add(72 * time.Hour).Format(time.RFC3339)
	p.importMaterial(id, material, later) // of a disabled key, which stays disabled
	p.planExternal(id, types.KeyStateDisabled, types.ExpirationModelTypeKeyMaterialExpires, later, c)
	p.updateEnabled(id, true)
	p.importMaterial(id, material, "")
	p.planExternal(id, types.KeyStateEnabled, types.ExpirationModelTypeKeyMaterialDoesNotExpire, "", c)
	p.deleteKey(id, 7)

	without := p.createExternal(false, keyConfig{})
	p.deleteKey(without, 30)
	p.deleteKey(without, 30)
}

// replicate makes a replica of a primary key in the provider's own region, asking the primary's, and waits for its state.
func (p *provider) replicate(primary string, c keyConfig, becomes types.KeyState) string {
	p.Helper()
	parsed, err := arn.Parse(primary)
	p.check("the primary's ARN", err)
	in := &kms.ReplicateKeyInput{KeyId: aws.String(strings.TrimPrefix(parsed.Resource, "key/")), ReplicaRegion: &p.region, Tags: c.kmsTags()}
	if c.description != "" {
		in.Description = &c.description
	}
	if c.policy != "" {
		in.Policy = &c.policy
	}
	out, err := p.kms.ReplicateKey(p.ctx, in, func(o *kms.Options) { o.Region = parsed.Region })
	p.check("ReplicateKey", err)
	id := aws.ToString(out.ReplicaKeyMetadata.KeyId)
	if k, err := p.findKey(id); err != nil || k.KeyState != becomes {
		p.Fatalf("the new replica is %+v, %v", k, err)
	}
	if c.policy != "" {
		p.waitPolicy(id, c.policy)
	}
	if len(c.tags) > 0 {
		p.waitTags(id, c.tags)
	}
	return id
}

// planReplica reads a replica and fails unless it is one of the primary key.
func (p *provider) planReplica(id, primary string, c keyConfig) keyInfo {
	p.Helper()
	k := p.planKeyOf(id, c)
	if m := k.MultiRegionConfiguration; m == nil || m.MultiRegionKeyType != types.MultiRegionKeyTypeReplica || aws.ToString(m.PrimaryKey.Arn) != primary {
		p.Errorf("%+v is no replica of %s", k.KeyMetadata, primary)
	}
	if want := "arn:aws:kms:" + p.region + ":" + p.c.Account + ":key/" + id; aws.ToString(k.Arn) != want {
		p.Errorf("the replica's ARN is %s, want %s", aws.ToString(k.Arn), want)
	}
	return k
}

// TestReplicaKey creates an aws_kms_replica_key in a second region, changes it, and destroys both keys, in either order.
func TestReplicaKey(t *testing.T) {
	home, away := newProvider(t), providerIn(t, elsewhere)
	id := home.createKey(keyConfig{enabled: true, multiRegion: true, description: "primary", rotates: true})
	primary := aws.ToString(home.planKey(id, keyConfig{enabled: true, multiRegion: true, description: "primary", rotates: true}).Arn)
	c := keyConfig{enabled: true, description: "replica", tags: map[string]string{"where": "away"}, policy: away.rootPolicy()}
	replica := away.replicate(primary, c, types.KeyStateEnabled)
	if replica != id {
		t.Errorf("the replica's id is %s, the primary's %s", replica, id)
	}
	k := away.planReplica(replica, primary, c)
	if !k.rotates { // key_rotation_enabled is the primary's
		t.Error("the replica does not rotate")
	}
	away.updateTags(replica, c.tags, map[string]string{"where": "here", "and": "there"})
	away.updateDescription(replica, "changed")
	away.updatePolicy(replica, away.rootPolicy(`{"Effect":"Deny","Principal":"*","Action":"kms:Sign","Resource":"*"}`), false)
	away.updateEnabled(replica, false)
	away.planReplica(replica, primary, keyConfig{description: "changed", tags: map[string]string{"where": "here", "and": "there"}})
	away.updateEnabled(replica, true)
	home.planKey(id, keyConfig{enabled: true, multiRegion: true, description: "primary", rotates: true}) // nothing of it reached the primary

	_, err := home.kms.ReplicateKey(home.ctx, &kms.ReplicateKeyInput{KeyId: &id, ReplicaRegion: aws.String(elsewhere)})
	if !is[*types.AlreadyExistsException](err) {
		t.Errorf("a second replica in one region: %v", err)
	}
	away.deleteKey(replica, 7)
	home.deleteKey(id, 7)

	// The primary first: it waits for its replica, which is gone for Terraform.
	id = home.createKey(keyConfig{enabled: true, multiRegion: true})
	primary = aws.ToString(home.planKey(id, keyConfig{enabled: true, multiRegion: true}).Arn)
	replica = away.replicate(primary, keyConfig{enabled: true}, types.KeyStateEnabled)
	home.deleteKey(id, 7)
	if out, err := home.kms.DescribeKey(home.ctx, &kms.DescribeKeyInput{KeyId: &id}); err != nil || out.KeyMetadata.KeyState != types.KeyStatePendingReplicaDeletion {
		t.Errorf("%+v, %v", out, err)
	}
	away.deleteKey(replica, 7)

	single := home.createKey(keyConfig{enabled: true})
	_, err = home.kms.ReplicateKey(home.ctx, &kms.ReplicateKeyInput{KeyId: &single, ReplicaRegion: aws.String(elsewhere)})
	if !is[*types.UnsupportedOperationException](err) {
		t.Errorf("a replica of a key of one region: %v", err)
	}
	home.deleteKey(single, 7)
}

// TestReplicaExternalKey creates an aws_kms_replica_external_key, which is given the same material as its primary.
func TestReplicaExternalKey(t *testing.T) {
	home, away := newProvider(t), providerIn(t, elsewhere)
	material := newMaterial()
	id := home.createExternal(true, keyConfig{})
	home.importMaterial(id, material, "")
	primary := "arn:aws:kms:" + home.region + ":" + home.c.Account + ":key/" + id
	c := keyConfig{description: "replica", tags: map[string]string{"a": "b"}}
	replica := away.replicate(primary, c, types.KeyStatePendingImport)
	away.planReplica(replica, primary, c)
	away.updateDescription(replica, "with material soon")
	c.description = "with material soon"
	validTo := time.Now().UTC().Add(24 * time.Hour).Format(time.RFC3339)
	away.importMaterial(replica, material, validTo)
	away.planExternal(replica, types.KeyStateEnabled, types.ExpirationModelTypeKeyMaterialExpires, validTo, c)
	c.enabled = true
	away.planReplica(replica, primary, c)

	out, err := home.kms.Encrypt(home.ctx, &kms.EncryptInput{KeyId: &id, Plaintext: []byte("x")})
	home.check("Encrypt", err)
	plain, err := away.kms.Decrypt(away.ctx, &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob})
	away.check("Decrypt in the other region", err)
	if string(plain.Plaintext) != "x" {
		t.Errorf("decrypted %q", plain.Plaintext)
	}
	away.deleteKey(replica, 7)
	home.deleteKey(id, 7)
}
