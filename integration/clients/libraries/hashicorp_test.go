package libraries

import (
	"context"
	"strings"
	"testing"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/awskms/v2"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// TestHashicorpWrapper wraps and unwraps a root key as the awskms seal of Vault and OpenBao does, from the settings of
// its 'seal "awskms"' block; trust in the cluster's CA comes from AWS_CA_BUNDLE.
func TestHashicorpWrapper(t *testing.T) {
	t.Run("HTTP", func(t *testing.T) { hashicorpWrapper(t, cluster.Get(t)) })
	t.Run("TLS", func(t *testing.T) {
		c := cluster.GetTLS(t)
		t.Setenv("AWS_CA_BUNDLE", c.CAFile)
		hashicorpWrapper(t, c)
	})
}

func hashicorpWrapper(t *testing.T, c *cluster.Cluster) {
	ctx := within(t)
	arn := newKey(t, c, "", "")
	id := arn[strings.LastIndex(arn, "/")+1:]
	rootKey := "the root key of a vault, 32 byte"
	wrapped, err := seal(ctx, t, c, c.Nodes[0], newAlias(t, c, arn)).Encrypt(ctx, []byte(rootKey))
	if err != nil {
		t.Fatal(err)
	}
	if wrapped.KeyInfo.KeyId != arn {
		t.Errorf("the wrapped key names the key %s", wrapped.KeyInfo.KeyId)
	}
	for _, endpoint := range append([]string{c.URL}, c.Nodes...) {
		w := seal(ctx, t, c, endpoint, id)
		if now, err := w.KeyId(ctx); err != nil || now != id {
			t.Errorf("the wrapper's key is %s, %v", now, err)
		}
		if got, err := w.Decrypt(ctx, wrapped); err != nil || string(got) != rootKey {
			t.Errorf("through %s: unwrapped to %d bytes, %v", endpoint, len(got), err)
		}
	}

	// Vault's environment variables, in the place of a block.
	for name, value := range map[string]string{
		"AWS_REGION": c.Region, "AWS_ACCESS_KEY_ID": c.AccessKeyID, "AWS_SECRET_ACCESS_KEY": c.SecretAccessKey,
		"AWS_KMS_ENDPOINT": c.URL, "VAULT_AWSKMS_SEAL_KEY_ID": id,
	} {
		t.Setenv(name, value)
	}
	w := awskms.NewWrapper()
	if _, err := w.SetConfig(ctx); err != nil {
		t.Fatalf("a wrapper configured by the environment: %v", err)
	}
	if got, err := w.Decrypt(ctx, wrapped); err != nil || string(got) != rootKey {
		t.Errorf("configured by the environment: unwrapped to %d bytes, %v", len(got), err)
	}

	wrapped.KeyInfo.WrappedKey[len(wrapped.KeyInfo.WrappedKey)-1] ^= 1
	if _, err := w.Decrypt(ctx, wrapped); err == nil || !strings.Contains(err.Error(), "InvalidCiphertextException") {
		t.Errorf("a changed wrapped key: %v", err)
	}
	t.Setenv("VAULT_AWSKMS_SEAL_KEY_ID", "alias/none")
	if _, err := awskms.NewWrapper().SetConfig(ctx); err == nil || !strings.Contains(err.Error(), "NotFoundException") {
		t.Errorf("a seal with a key that is not there was configured: %v", err)
	}
}

func seal(ctx context.Context, t *testing.T, c *cluster.Cluster, endpoint, key string) *awskms.Wrapper {
	t.Helper()
	w := awskms.NewWrapper()
	info, err := w.SetConfig(ctx, wrapping.WithConfigMap(map[string]string{
		"region": c.Region, "endpoint": endpoint, "kms_key_id": key, "access_key": c.AccessKeyID, "secret_key": c.SecretAccessKey,
	}))
	if err != nil {
		t.Fatalf("a wrapper for %s: %v", key, err)
	}
	if info.Metadata["endpoint"] != endpoint {
		t.Errorf("the wrapper took the endpoint %q", info.Metadata["endpoint"])
	}
	return w
}
