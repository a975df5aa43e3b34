package libraries

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// tinkAEAD returns Tink's AEAD of a key, through one node.
func tinkAEAD(t *testing.T, c *cluster.Cluster, node int, arn string) tink.AEAD {
	t.Helper()
	client, err := awskms.NewClientWithOptions(within(t), "aws-kms://"+arn, awskms.WithKMS(clientOf(t, c, node, c.Region)))
	if err != nil {
		t.Fatal(err)
	}
	a, err := client.GetAEAD("aws-kms://" + arn)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestTink encrypts with one node and decrypts with each, data and Tink keysets.
func TestTink(t *testing.T) {
	c := cluster.Get(t)
	arn := newKey(t, c, "", "")
	text, data := []byte("what Tink encrypts"), []byte("associated data")
	sealed, err := tinkAEAD(t, c, 0, arn).Encrypt(text, data)
	if err != nil {
		t.Fatal(err)
	}
	for node := range c.Nodes {
		a := tinkAEAD(t, c, node, arn)
		if got, err := a.Decrypt(sealed, data); err != nil || !bytes.Equal(got, text) {
			t.Errorf("node %d decrypted to %q, %v", node, got, err)
		}
		if got, err := a.Decrypt(sealed, []byte("other data")); err == nil {
			t.Errorf("node %d decrypted %q with other associated data", node, got)
		}
	}
	// A client of its own, from the environment: the region is that of the ARN.
	c.Setenv(t)
	t.Setenv("AWS_REGION", secondRegion)
	own, err := awskms.NewClientWithOptions(within(t), "aws-kms://"+arn)
	if err != nil {
		t.Fatal(err)
	}
	a, err := own.GetAEAD("aws-kms://" + arn)
	if err != nil {
		t.Fatal(err)
	}
	for range c.Nodes {
		if got, err := a.Decrypt(sealed, data); err != nil || !bytes.Equal(got, text) {
			t.Errorf("configured by the environment: decrypted to %q, %v", got, err)
		}
	}
	if got, err := tinkAEAD(t, c, 1, newKey(t, c, "", "")).Decrypt(sealed, data); err == nil || !strings.Contains(err.Error(), "IncorrectKeyException") {
		t.Errorf("another key decrypted to %q, %v", got, err)
	}
	// An RSA key is none that Tink's AEAD takes: the error names the mistake and is no fault.
	if _, err := tinkAEAD(t, c, 1, newKey(t, c, types.KeySpecRsa2048, types.KeyUsageTypeSignVerify)).Encrypt(text, data); err == nil || !strings.Contains(err.Error(), "InvalidKeyUsageException") {
		t.Errorf("a signing key encrypted: %v", err)
	}
}

// TestTinkKeyset keeps a Tink keyset under a key of the cluster, the way Tink's users store theirs.
func TestTinkKeyset(t *testing.T) {
	c := cluster.Get(t)
	arn := newKey(t, c, "", "")
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := primitive.Encrypt([]byte("text"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var stored bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&stored), tinkAEAD(t, c, 0, arn), []byte("app")); err != nil {
		t.Fatal(err)
	}
	for node := range c.Nodes {
		read, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(stored.Bytes())), tinkAEAD(t, c, node, arn), []byte("app"))
		if err != nil {
			t.Fatalf("node %d: %v", node, err)
		}
		again, err := aead.New(read)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Decrypt(sealed, nil); err != nil || string(got) != "text" {
			t.Errorf("node %d gave a keyset that decrypts to %q, %v", node, got, err)
		}
	}
}
