package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// turns returns a client of the next node, which repeats nothing.
type turns func() *client.Client

// TestKeysAcrossNodes goes through what keys can do on a real cluster, each step on another node than the
// one before it and without a retry, and once more after a node was restarted.
func TestKeysAcrossNodes(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: func(_ int, c *server.Config) { c.Regions = []string{"us-east-1", "eu-west-1"} }})
	tour := &tour{c: c, next: alternate(c)}
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"every spec", tour.everySpec}, {"data key pair", tour.dataKeyPair}, {"rotation", tour.rotation}, {"import", tour.importing},
		{"regions", tour.regions}, {"grants", tour.grants}, {"managed key", tour.managed}, {"deletion", tour.deletion}, {"last usage", tour.lastUsage},
		{"restart", tour.restart},
	} {
		t.Run(step.name, step.do)
	}
}

// tour is what the steps share.
type tour struct {
	c     *cluster.Cluster
	next  turns
	lasts []func(ctx context.Context, nodes turns) error // holds after a restart too
}

// keep does something, and again on a node that was restarted.
func (o *tour) keep(t *testing.T, what string, do func(ctx context.Context, nodes turns) error) {
	t.Helper()
	named := func(ctx context.Context, nodes turns) error {
		if err := do(ctx, nodes); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	o.lasts = append(o.lasts, named)
	if err := named(background(t), o.next); err != nil {
		t.Error(err)
	}
}

func (o *tour) everySpec(t *testing.T) {
	for _, spec := range kms.KeySpecs {
		s, served := spec.Spec()
		if !served {
			_, err := o.next().CreateKey(background(t), &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: kms.SignVerify})
			mustCode(t, err, kms.CodeUnsupported)
			continue
		}
		usages := s.Usages
		switch spec { // one RSA key of each size: to make them takes long
		case kms.RSA2048:
			usages = []kms.KeyUsage{kms.EncryptDecrypt}
		case kms.RSA3072, kms.RSA4096:
			usages = []kms.KeyUsage{kms.SignVerify}
		}
		for _, usage := range usages {
			key := createSpec(t, o.next(), spec, usage)
			for what, use := range uses(key, spec, usage) {
				o.keep(t, string(spec)+" "+what, use)
			}
		}
	}
}

// decrypts is a step that expects a plaintext, by the material of an id when that is given.
func decrypts(ciphertext []byte, plaintext, material string) func(context.Context, turns) error {
	return func(ctx context.Context, nodes turns) error {
		d, err := nodes().Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: ciphertext})
		if err != nil {
			return err
		}
		if string(d.Plaintext) != plaintext || material != "" && d.KeyMaterialID != material {
			return fmt.Errorf("decrypted with %s, not %s: %w", d.KeyMaterialID, material, errDiffer)
		}
		return nil
	}
}

func (o *tour) dataKeyPair(t *testing.T) {
	ctx := background(t)
	key := createKey(t, o.next(), "of data keys")
	pair, err := o.next().GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: kms.ECCNISTP256})
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(pair.PrivateKeyPlaintext)
	if err != nil {
		t.Fatal(err)
	}
	of, err := x509.ParsePKIXPublicKey(pair.PublicKey)
	if err != nil || !private.(*ecdsa.PrivateKey).PublicKey.Equal(of) {
		t.Fatalf("the public key is not the private key's: %v", err)
	}
	o.keep(t, "the private key", decrypts(pair.PrivateKeyCiphertextBlob, string(pair.PrivateKeyPlaintext), ""))
	data, err := o.next().GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256})
	if err != nil {
		t.Fatal(err)
	}
	o.keep(t, "the data key", decrypts(data.CiphertextBlob, string(data.Plaintext), ""))
}

func (o *tour) rotation(t *testing.T) {
	ctx := background(t)
	key := createKey(t, o.next(), "rotates")
	var seen []string
	for i := range 3 {
		var rotated client.Meta
		if i > 0 {
			if _, err := o.next().RotateKeyOnDemand(ctx, &kms.KeyRequest{KeyID: key}, client.WithMeta(&rotated)); err != nil {
				t.Fatal(err)
			}
		}
		k, err := o.next().DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(seen, k.Key.CurrentKeyMaterialID) {
			t.Fatalf("the material after %d rotations is an old one", i)
		}
		seen = append(seen, k.Key.CurrentKeyMaterialID)
		text := rand.Text()
		e, err := o.next().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(text)}, client.MinIndex(rotated.Index))
		if err != nil {
			t.Fatal(err)
		}
		o.keep(t, fmt.Sprintf("after %d rotations", i), decrypts(e.CiphertextBlob, text, k.Key.CurrentKeyMaterialID))
	}
	for _, do := range o.lasts[len(o.lasts)-3:] {
		for range o.c.Nodes {
			if err := do(ctx, o.next); err != nil {
				t.Error(err)
			}
		}
	}
}

func (o *tour) importing(t *testing.T) {
	ctx := background(t)
	made, err := o.next().CreateKey(ctx, &kms.CreateKeyRequest{Origin: kms.OriginExternal})
	if err != nil {
		t.Fatal(err)
	}
	key, material := made.Key.KeyID, []byte(rand.Text() + rand.Text())[:32]
	q := wrapped(t, o.next(), key, material)
	if _, err := o.next().ImportKeyMaterial(ctx, q); err != nil {
		t.Fatal(err)
	}
	e, err := o.next().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("imported")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.next().DeleteImportedKeyMaterial(ctx, &kms.DeleteImportedKeyMaterialRequest{KeyID: key}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	for range o.c.Nodes {
		_, err := o.next().Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: e.CiphertextBlob})
		mustCode(t, err, kms.CodeInvalidState)
	}
	if _, err := o.next().ImportKeyMaterial(ctx, wrapped(t, o.next(), key, material)); err != nil {
		t.Fatal(err)
	}
	o.keep(t, "imported again", decrypts(e.CiphertextBlob, "imported", ""))
}

// wrapped prepares an import on a node.
func wrapped(t *testing.T, cl *client.Client, key string, material []byte) *kms.ImportKeyMaterialRequest {
	t.Helper()
	p, err := cl.GetParametersForImport(background(t), &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048})
	if err != nil {
		t.Fatal(err)
	}
	of, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	w, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, of.(*rsa.PublicKey), material, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &kms.ImportKeyMaterialRequest{KeyID: key, ImportToken: p.ImportToken, EncryptedKeyMaterial: w, ExpirationModel: kms.MaterialDoesNotExpire}
}

// abroad is alternate in another region.
func abroad(t *testing.T, c *cluster.Cluster, region string) turns {
	at := 0
	return func() *client.Client {
		at = (at + 1) % len(c.Nodes)
		cl, err := client.New(client.Config{Addrs: []string{c.Nodes[at].APIAddr}, AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, Region: region, Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		return cl
	}
}

func (o *tour) regions(t *testing.T) {
	ctx := background(t)
	there := abroad(t, o.c, "eu-west-1")
	made, err := o.next().CreateKey(ctx, &kms.CreateKeyRequest{MultiRegion: true})
	if err != nil {
		t.Fatal(err)
	}
	key := made.Key.KeyID
	e, err := o.next().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("travels")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = there().Decrypt(ctx, &kms.DecryptRequest{KeyID: key, CiphertextBlob: e.CiphertextBlob})
	mustCode(t, err, kms.CodeNotFound)
	r, err := o.next().ReplicateKey(ctx, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: "eu-west-1"})
	if err != nil || r.Key.Region != "eu-west-1" || r.Key.KeyID != key {
		t.Fatalf("the replica: %+v, %v", r, err)
	}
	for range o.c.Nodes {
		d, err := there().Decrypt(ctx, &kms.DecryptRequest{KeyID: key, CiphertextBlob: e.CiphertextBlob})
		if err != nil || string(d.Plaintext) != "travels" || d.KeyID != r.Key.ARN {
			t.Errorf("decrypting abroad: %+v, %v", d, err)
		}
	}
	back, err := there().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("comes back")})
	if err != nil {
		t.Fatal(err)
	}
	o.keep(t, "of the replica", func(ctx context.Context, nodes turns) error {
		d, err := nodes().Decrypt(ctx, &kms.DecryptRequest{KeyID: made.Key.ARN, CiphertextBlob: back.CiphertextBlob})
		if err == nil && string(d.Plaintext) != "comes back" {
			err = errDiffer
		}
		return err
	})
	if _, err := o.next().UpdatePrimaryRegion(ctx, &kms.UpdatePrimaryRegionRequest{KeyID: key, PrimaryRegion: "eu-west-1"}); err != nil {
		t.Fatal(err)
	}
	k, err := o.next().DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key})
	if err != nil || k.Key.MultiRegionConfiguration.PrimaryKey.ARN != r.Key.ARN {
		t.Errorf("the primary key then: %+v, %v", k, err)
	}
}

func (o *tour) grants(t *testing.T) {
	ctx := background(t)
	key := createKey(t, o.next(), "has grants")
	who := "arn:aws:iam::123456789012:root"
	listed := func() []string {
		t.Helper()
		byKey, err := o.next().ListGrants(ctx, &kms.ListGrantsRequest{KeyID: key})
		if err != nil {
			t.Fatal(err)
		}
		byRetiring, err := o.next().ListRetirableGrants(ctx, &kms.ListRetirableGrantsRequest{RetiringPrincipal: o.root(t)})
		if err != nil {
			t.Fatal(err)
		}
		ids := [2][]string{}
		for i, all := range [][]kms.GrantEntry{byKey.Grants, byRetiring.Grants} {
			for _, g := range all {
				ids[i] = append(ids[i], g.GrantID)
			}
			slices.Sort(ids[i])
		}
		if !slices.Equal(ids[0], ids[1]) {
			t.Errorf("of the key are %v, retirable are %v", ids[0], ids[1])
		}
		return ids[0]
	}
	var made []*kms.CreateGrantAnswer
	var ids []string
	for range 2 {
		g, err := o.next().CreateGrant(ctx, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: who, RetiringPrincipal: o.root(t), Operations: []kms.GrantOperation{"Encrypt"}})
		if err != nil {
			t.Fatal(err)
		}
		made, ids = append(made, g), append(ids, g.GrantID)
	}
	if slices.Sort(ids); !slices.Equal(listed(), ids) {
		t.Errorf("made were %v, listed are %v", ids, listed())
	}
	if err := o.next().RevokeGrant(ctx, &kms.RevokeGrantRequest{KeyID: key, GrantID: made[0].GrantID}); err != nil {
		t.Fatal(err)
	}
	if left := listed(); !slices.Equal(left, []string{made[1].GrantID}) {
		t.Errorf("after a revocation %v are listed", left)
	}
	if err := o.next().RetireGrant(ctx, &kms.RetireGrantRequest{GrantToken: made[1].GrantToken}); err != nil {
		t.Fatal(err)
	}
	if left := listed(); len(left) > 0 {
		t.Errorf("after the last was retired %v are listed", left)
	}
}

// root is the ARN of the operator account's root.
func (o *tour) root(t *testing.T) string {
	t.Helper()
	who, err := o.next().GetCallerIdentity(background(t))
	if err != nil {
		t.Fatal(err)
	}
	return who.ARN
}

// managed uses an alias of a service for the first time on all nodes at once: one key is made.
func (o *tour) managed(t *testing.T) {
	ctx := background(t)
	answers, errs := make([]*kms.EncryptAnswer, len(o.c.Nodes)), make([]error, len(o.c.Nodes))
	var wg sync.WaitGroup
	for i := range o.c.Nodes {
		cl := o.next()
		wg.Go(func() {
			answers[i], errs[i] = cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: "alias/aws/tour", Plaintext: []byte("managed")})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if a.KeyID != answers[0].KeyID {
			t.Errorf("two keys were made: %s and %s", a.KeyID, answers[0].KeyID)
		}
		o.keep(t, "the managed key", decrypts(a.CiphertextBlob, "managed", ""))
	}
}

func (o *tour) deletion(t *testing.T) {
	ctx := background(t)
	key := createKey(t, o.next(), "is deleted")
	e, err := o.next().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("comes back")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.next().ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: new(7)}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	for range o.c.Nodes {
		_, err := o.next().Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: e.CiphertextBlob})
		mustCode(t, err, kms.CodeInvalidState)
	}
	k, err := o.next().CancelKeyDeletion(ctx, &kms.KeyRequest{KeyID: key})
	if err != nil || k.Key.KeyState != kms.StateDisabled {
		t.Fatalf("cancelled: %+v, %v", k, err)
	}
	if _, err := o.next().EnableKey(ctx, &kms.KeyRequest{KeyID: key}); err != nil {
		t.Fatal(err)
	}
	o.keep(t, "what was to be deleted", decrypts(e.CiphertextBlob, "comes back", ""))
}

func (o *tour) lastUsage(t *testing.T) {
	ctx := background(t)
	key := createKey(t, o.next(), "is used")
	e, err := o.next().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.next().Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: e.CiphertextBlob}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.next().GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES128}); err != nil {
		t.Fatal(err)
	}
	for range o.c.Nodes {
		u, err := o.next().GetKeyLastUsage(ctx, &kms.KeyRequest{KeyID: key})
		if err != nil {
			t.Fatal(err)
		}
		var used []string
		for _, op := range u.Operations {
			used = append(used, op.Operation)
		}
		if slices.Sort(used); !slices.Equal(used, []string{"Decrypt", "Encrypt", "GenerateDataKey"}) || u.SilentNodes != 0 {
			t.Errorf("the uses are %v; %d nodes are silent", used, u.SilentNodes)
		}
	}
}

// restart restarts a node. Unsealed again, it does by itself what was done before.
func (o *tour) restart(t *testing.T) {
	n := o.c.Nodes[1]
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n.Start()
	n.Unseal()
	n.WaitServing()
	ctx, cl := background(t), n.Client()
	for _, do := range o.lasts {
		if err := do(ctx, func() *client.Client { return cl }); err != nil {
			t.Errorf("on a node that was restarted, %v", err)
		}
	}
}
