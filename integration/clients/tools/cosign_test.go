package tools

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

// TestCosign makes a key with one node, signs a blob with the next and verifies it with the third, over TLS that cosign
// trusts by AWS_CA_BUNDLE. The transparency log, which is a public service, is left out.
func TestCosign(t *testing.T) {
	c := cluster.GetTLS(t)
	u := newUser(t, cosignProgram, c.Env())
	alias := "alias/cosign-" + strings.ToLower(rand.Text())
	ref := func(node int) string {
		return fmt.Sprintf("awskms://%s/%s", strings.TrimPrefix(c.Nodes[node], "https://"), alias)
	}
	u.run("generate-key-pair", "--kms", ref(0))
	public := u.read("cosign.pub")
	if !strings.HasPrefix(public, "-----BEGIN PUBLIC KEY-----") {
		t.Fatalf("the public key is %s", public)
	}
	if got := u.run("public-key", "--key", ref(1)); strings.TrimSpace(got) != strings.TrimSpace(public) {
		t.Errorf("another node gives the public key %s", got)
	}

	u.write("blob", strings.Repeat("what is signed\n", 1000)) // more than a message to sign may be long: a digest is signed
	u.write("other", "something else")
	u.run("sign-blob", "--yes", "--tlog-upload=false", "--key", ref(1), "--output-signature", "blob.sig", "blob")
	for _, key := range []string{ref(0), ref(1), ref(2), "awskms:///" + alias, "cosign.pub"} {
		u.run("verify-blob", "--insecure-ignore-tlog", "--key", key, "--signature", "blob.sig", "blob")
		u.refused([]string{"invalid signature"}, "verify-blob", "--insecure-ignore-tlog", "--key", key, "--signature", "blob.sig", "other")
	}
	// A signature of another key.
	other := newUser(t, cosignProgram, c.Env())
	other.run("generate-key-pair", "--kms", ref(2)+"-other")
	u.write("other.pub", other.read("cosign.pub"))
	u.refused([]string{"invalid signature"}, "verify-blob", "--insecure-ignore-tlog", "--key", "other.pub", "--signature", "blob.sig", "blob")

	u.with("AWS_CA_BUNDLE=", "AWS_MAX_ATTEMPTS=1").refused([]string{"certificate"},
		"sign-blob", "--yes", "--tlog-upload=false", "--key", ref(0), "--output-signature", "untrusted.sig", "blob")
}
