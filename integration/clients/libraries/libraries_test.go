// Package libraries uses the key in a real cluster through libraries of others, each for its main job.
//
// Where a library takes a client, what it does is spread over the nodes one by one; where it makes its own from the
// environment, its calls go through the rotating endpoint.
package libraries

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// clientOf returns a client that talks to one node only, and in one region.
func clientOf(t *testing.T, c *cluster.Cluster, node int, region string) *kms.Client {
	cfg := c.ConfigFor(t, c.Nodes[node])
	cfg.Region = region
	return kms.NewFromConfig(cfg)
}

// newKey makes a key through the rotating endpoint and returns its ARN. The zero spec and usage make a symmetric one.
func newKey(t *testing.T, c *cluster.Cluster, spec types.KeySpec, usage types.KeyUsageType) string {
	t.Helper()
	return newKeyWith(t, kms.NewFromConfig(c.Config(t)), &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
}

func newKeyWith(t *testing.T, client *kms.Client, in *kms.CreateKeyInput) string {
	t.Helper()
	in.Description = aws.String(t.Name())
	out, err := client.CreateKey(within(t), in)
	if err != nil {
		t.Fatalf("creating a key: %v", err)
	}
	return *out.KeyMetadata.Arn
}

// newAlias gives a key a name that no other test has.
func newAlias(t *testing.T, c *cluster.Cluster, key string) string {
	t.Helper()
	name := "alias/" + strings.ToLower(rand.Text())
	_, err := kms.NewFromConfig(c.Config(t)).CreateAlias(within(t), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &key})
	if err != nil {
		t.Fatalf("creating an alias: %v", err)
	}
	return name
}

// secondRegion is the second region of the shared cluster.
const secondRegion = "eu-west-1"

// pemOf is a public key as the cluster gives it, in the form that programs read.
func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
