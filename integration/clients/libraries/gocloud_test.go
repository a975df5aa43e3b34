package libraries

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/awskms"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// TestGoCloud keeps secrets with the Go CDK: by URL and the environment, and node by node.
func TestGoCloud(t *testing.T) {
	c := cluster.Get(t)
	c.Setenv(t)
	ctx := within(t)
	arn := newKey(t, c, "", "")
	alias := newAlias(t, c, arn)

	open := func(url string) *secrets.Keeper {
		t.Helper()
		k, err := secrets.OpenKeeper(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		return k
	}
	byAlias := open("awskms://" + alias + "?region=us-east-1&context_app=shop")
	sealed, err := byAlias.Encrypt(ctx, []byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	keepers := map[string]*secrets.Keeper{"by alias": byAlias, "by ARN": open("awskms:///" + arn + "?context_app=shop")}
	for node := range c.Nodes {
		keepers[c.Nodes[node]] = awskms.OpenKeeper(clientOf(t, c, node, c.Region), arn, &awskms.KeeperOptions{EncryptionContext: map[string]string{"app": "shop"}})
	}
	for name, k := range keepers {
		if got, err := k.Decrypt(ctx, sealed); err != nil || string(got) != "a secret" {
			t.Errorf("%s: decrypted to %q, %v", name, got, err)
		}
	}
	goCloudErrors(ctx, t, c, sealed, arn)
}

// goCloudErrors shows that the library's classes of error come out, which callers branch on.
func goCloudErrors(ctx context.Context, t *testing.T, c *cluster.Cluster, sealed []byte, arn string) {
	client := kms.NewFromConfig(c.Config(t))
	keeper := func(key string) *secrets.Keeper { return awskms.OpenKeeper(client, key, nil) }
	_, err := keeper(arn).Decrypt(ctx, sealed)
	if gcerrors.Code(err) != gcerrors.InvalidArgument {
		t.Errorf("without the context: %v", err)
	}
	if bad := (*types.InvalidCiphertextException)(nil); !errors.As(err, &bad) && !keeper(arn).ErrorAs(err, &bad) {
		t.Errorf("without the context: %v is no InvalidCiphertextException", err)
	}
	missing := arn[:strings.LastIndex(arn, "/")+1] + "00000000-0000-4000-8000-000000000000"
	if _, err := keeper(missing).Encrypt(ctx, []byte("x")); gcerrors.Code(err) != gcerrors.NotFound {
		t.Errorf("with a key that is not there: %v", err)
	}
	if _, err := client.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &arn}); err != nil {
		t.Fatal(err)
	}
	if _, err := keeper(arn).Encrypt(ctx, []byte("x")); gcerrors.Code(err) != gcerrors.PermissionDenied {
		t.Errorf("with a disabled key: %v", err)
	}
}
