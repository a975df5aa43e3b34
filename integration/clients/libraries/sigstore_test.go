package libraries

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/sigstore/sigstore/pkg/signature"
	sigkms "github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/kms/aws"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// TestSigstore signs digests with keys of every kind that the signer knows, and verifies with the public key and with the
// cluster. With a host in the reference the signer speaks TLS to it.
func TestSigstore(t *testing.T) {
	c := cluster.GetTLS(t)
	c.Setenv(t)
	host := func(node int) string { return strings.TrimPrefix(c.Nodes[node], "https://") }
	for _, spec := range []types.KeySpec{
		types.KeySpecEccNistP256, types.KeySpecEccNistP384, types.KeySpecEccNistP521,
		types.KeySpecRsa2048, types.KeySpecRsa3072, types.KeySpecRsa4096,
	} {
		t.Run(string(spec), func(t *testing.T) {
			alias := "alias/sigstore-" + strings.ToLower(rand.Text())
			signer := load(t, fmt.Sprintf("awskms://%s/%s", host(0), alias))
			public, err := signer.CreateKey(within(t), string(spec))
			if err != nil {
				t.Fatal(err)
			}
			// A second time the key is found, not made.
			again, err := load(t, fmt.Sprintf("awskms://%s/%s", host(1), alias)).CreateKey(within(t), string(spec))
			if err != nil || !again.(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
				t.Fatalf("creating the key again made another one, %v", err)
			}
			message := []byte("what is signed")
			sig, err := signer.SignMessage(bytes.NewReader(message))
			if err != nil {
				t.Fatal(err)
			}
			for node := range c.Nodes {
				verifier := load(t, fmt.Sprintf("awskms://%s/%s", host(node), alias))
				for where, remote := range map[string]bool{"locally": false, "by the cluster": true} {
					verify := func(sig, message []byte) error {
						return verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message), options.WithRemoteVerification(remote))
					}
					if err := verify(sig, message); err != nil {
						t.Errorf("node %d: verifying %s: %v", node, where, err)
					}
					if verify(sig, []byte("something else")) == nil {
						t.Errorf("node %d: another message was verified %s", node, where)
					}
				}
			}
		})
	}
}

func load(t *testing.T, reference string) sigkms.SignerVerifier {
	t.Helper()
	sv, err := aws.LoadSignerVerifier(within(t), reference)
	if err != nil {
		t.Fatal(err)
	}
	return sv
}

// TestSigstoreByEnvironment uses references without a host: the endpoint comes from the environment, so each call goes to
// the next node.
func TestSigstoreByEnvironment(t *testing.T) {
	c := cluster.Get(t)
	c.Setenv(t)
	arn := newKey(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	for _, name := range []string{arn, arn[strings.LastIndex(arn, "/")+1:], newAlias(t, c, arn)} {
		sv, err := sigkms.Get(within(t), "awskms:///"+name, crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		signer, opts, err := sv.CryptoSigner(context.Background(), func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256([]byte(name))
		sig, err := signer.Sign(nil, digest[:], opts)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := signature.LoadVerifier(signer.Public(), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.VerifySignature(bytes.NewReader(sig), strings.NewReader(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSigstoreNeedsTheCA shows that the trust in the cluster's certificates comes from AWS_CA_BUNDLE.
func TestSigstoreNeedsTheCA(t *testing.T) {
	c := cluster.GetTLS(t)
	c.Setenv(t)
	os.Unsetenv("AWS_CA_BUNDLE") // Setenv puts it back
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	_, err := load(t, fmt.Sprintf("awskms://%s/alias/none", strings.TrimPrefix(c.Nodes[0], "https://"))).PublicKey()
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the CA: %v", err)
	}
}
