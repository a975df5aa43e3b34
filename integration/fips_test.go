package integration

import (
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
)

// TestFIPSOnly runs the nodes with every algorithm forbidden that is not in Go's FIPS 140-3 module: they
// start, are unsealed, say so and serve what the module has; the rest is refused by name.
func TestFIPSOnly(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Processes: true, Env: []string{"GODEBUG=fips140=only"}})
	ctx := background(t)
	nodes := alternate(c)
	key := createKey(t, c.Nodes[0].Client(), "under FIPS 140-3")
	for i, n := range c.Nodes {
		if err := roundTrip(ctx, key, n.Client(), c.Nodes[(i+1)%3].Client()); err != nil {
			t.Error(err)
		}
		if h, err := n.Client().Health(ctx); err != nil || !h.FIPS {
			t.Errorf("%s does not say that it is in FIPS mode: %+v, %v", n.Name, h, err)
		}
	}
	refused := func(what string, err error) {
		t.Helper()
		if kms.CodeOf(err) != kms.CodeUnsupported || !strings.Contains(err.Error(), "FIPS mode") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for spec, usage := range map[kms.KeySpec]kms.KeyUsage{kms.ECCSECGP256K1: kms.SignVerify, kms.MLDSA65: kms.SignVerify, kms.MLKEM512: kms.EncapsulateDecapsulate} {
		_, err := nodes().CreateKey(ctx, &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: usage})
		refused(string(spec), err)
	}
	for _, spec := range []kms.KeySpec{kms.ECCSECGP256K1, kms.MLKEM512} {
		_, err := nodes().GenerateDataKeyPair(ctx, &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: spec})
		refused("a data key pair of "+string(spec), err)
	}
	encrypts := createSpec(t, nodes(), kms.RSA2048, kms.EncryptDecrypt)
	_, err := nodes().Encrypt(ctx, &kms.EncryptRequest{KeyID: encrypts, Plaintext: []byte("x"), EncryptionAlgorithm: kms.RSAESOAEPSHA1})
	refused("OAEP with SHA-1", err)
	if err := oaep(ctx, nodes, encrypts, kms.RSAESOAEPSHA256); err != nil {
		t.Errorf("OAEP with SHA-256: %v", err)
	}
	for spec, algorithms := range map[kms.KeySpec][]kms.SigningAlgorithm{
		kms.RSA2048:             {kms.RSASSAPSSSHA256, kms.RSASSAPKCS1SHA512},
		kms.ECCNISTP256:         {kms.ECDSASHA256},
		kms.ECCNISTEdwards25519: {kms.Ed25519SHA512},
	} {
		key := createSpec(t, nodes(), spec, kms.SignVerify)
		for _, a := range algorithms {
			if err := signed(ctx, nodes, key, a); err != nil {
				t.Errorf("%s, %s: %v", spec, a, err)
			}
		}
	}
	if err := maced(ctx, nodes, createSpec(t, nodes(), kms.HMAC256, kms.GenerateVerifyMac), kms.HMACSHA256); err != nil {
		t.Errorf("HMAC_256: %v", err)
	}
	if err := encapsulated(ctx, nodes, createSpec(t, nodes(), kms.MLKEM768, kms.EncapsulateDecapsulate)); err != nil {
		t.Errorf("ML_KEM_768: %v", err)
	}
}

// alternate returns what returns a client of the next node at each call.
func alternate(c *cluster.Cluster) turns {
	var all []*client.Client
	for _, n := range c.Nodes {
		all = append(all, n.Client())
	}
	var at int
	return func() *client.Client {
		at = (at + 1) % len(all)
		return all[at]
	}
}

// createSpec creates a key of a spec.
func createSpec(t *testing.T, cl *client.Client, spec kms.KeySpec, usage kms.KeyUsage) string {
	t.Helper()
	a, err := cl.CreateKey(background(t), &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: usage})
	if err != nil {
		t.Fatalf("creating a key of %s: %v", spec, err)
	}
	return a.Key.KeyID
}
