package libraries

import (
	"strings"
	"testing"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/awskms/v2"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// TestHashicorpWrapper wraps and unwraps a root key as the awskms seal of Vault and OpenBao does, from the settings of
// its 'seal "awskms"' block.
func TestHashicorpWrapper(t *testing.T) {
	c := cluster.Get(t)
	ctx := within(t)
	arn := newKey(t, c, "", "")
	id := arn[strings.LastIndex(arn, "/")+1:]
	seal := func(endpoint, key string) *awskms.Wrapper {
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

	rootKey := []byte("the root key of a vault, 32 byte")
	wrapped, err := seal(c.Nodes[0], newAlias(t, c, arn)).Encrypt(ctx, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	if wrapped.KeyInfo.KeyId != arn {
		t.Errorf("the wrapped key names the key %s", wrapped.KeyInfo.KeyId)
	}
	for _, endpoint := range append([]string{c.URL}, c.Nodes...) {
		w := seal(endpoint, id)
		if now, err := w.KeyId(ctx); err != nil || now != id {
			t.Errorf("the wrapper's key is %s, %v", now, err)
		}
		if got, err := w.Decrypt(ctx, wrapped); err != nil || string(got) != string(rootKey) {
			t.Errorf("through %s: unwrapped to %d bytes, %v", endpoint, len(got), err)
		}
	}
	wrapped.KeyInfo.WrappedKey[len(wrapped.KeyInfo.WrappedKey)-1] ^= 1
	if _, err := seal(c.URL, id).Decrypt(ctx, wrapped); err == nil || !strings.Contains(err.Error(), "InvalidCiphertextException") {
		t.Errorf("a changed wrapped key: %v", err)
	}

	_, err = awskms.NewWrapper().SetConfig(ctx, wrapping.WithConfigMap(map[string]string{
		"region": c.Region, "endpoint": c.URL, "kms_key_id": "alias/none", "access_key": c.AccessKeyID, "secret_key": c.SecretAccessKey,
	}))
	if err == nil || !strings.Contains(err.Error(), "NotFoundException") {
		t.Errorf("a seal with a key that is not there was configured: %v", err)
	}
}
