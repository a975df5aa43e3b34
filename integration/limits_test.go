package integration

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// TestRequestsPerSecond makes more requests than an identity may: they are refused with when to come back, and another
// identity is served. A session token of another cluster is nobody's.
func TestRequestsPerSecond(t *testing.T) {
	t.Parallel()
	limited := func(_ int, c *server.Config) { c.Limits.RequestsPerSecond, c.Limits.RequestsBurst = 1, 30 }
	c := cluster.Start(t, cluster.Options{Nodes: 1, Config: limited})
	other := cluster.Start(t, cluster.Options{Nodes: 1})
	ctx, n := background(t), c.Nodes[0]
	r := &realm{c: c}
	busy := r.newUser(t, r.root(0), "busy", allowing("*", "kms:*"))
	calm := r.newUser(t, r.root(0), "calm", allowing("*", "kms:*"))
	by := credentials{id: busy.AccessKey.AccessKeyID, secret: string(busy.SecretAccessKey)}
	c.Eventually(20*time.Second, "a refusal", func(context.Context) error {
		a := by.basic(t, n, request{method: "GET", path: "/v1/keys"})
		if a.status == http.StatusOK {
			return notYet("it is served")
		}
		if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); a.status != http.StatusTooManyRequests || a.Code != kms.CodeThrottled || err != nil || seconds < 1 {
			t.Errorf("the refusal is %d %s, to come back after %q", a.status, a.Code, a.header.Get("Retry-After"))
		}
		return nil
	})
	if _, err := r.as(calm, 0).ListKeys(ctx, &kms.ListRequest{}); err != nil {
		t.Errorf("another identity meanwhile: %v", err)
	}
	c.Eventually(20*time.Second, "being served again", func(ctx context.Context) error {
		return failed(r.as(busy, 0).ListKeys(ctx, &kms.ListRequest{}))
	})

	sessions := [2]string{}
	for i, cl := range []*cluster.Cluster{c, other} { // the same account, role and user on both
		root := cl.Nodes[0].Client()
		account := cl.Nodes[0].Config.OperatorAccountID
		role, err := root.CreateRole(ctx, &kms.CreateRoleRequest{Name: "clerk", AssumeRolePolicyDocument: trusting("sts:AssumeRole", `{"AWS":"arn:aws:iam::`+account+`:user/ann"}`)})
		if err != nil {
			t.Fatal(err)
		}
		key := (&realm{c: cl}).newUser(t, root, "ann", "")
		s, err := cl.NewClient(key.AccessKey.AccessKeyID, string(key.SecretAccessKey), cl.Nodes[0]).AssumeRole(ctx, &kms.AssumeRoleRequest{RoleARN: role.Role.ARN, RoleSessionName: "here"})
		if err != nil {
			t.Fatal(err)
		}
		sessions[i] = string(s.SessionToken)
	}
	for i, want := range []kms.Code{"", kms.CodeUnauthenticated} {
		_, err := n.ClientWith(client.Config{SessionToken: sessions[i]}).GetCallerIdentity(ctx)
		if kms.CodeOf(err) != want {
			t.Errorf("a token of cluster %d: %v", i, err)
		}
	}
}

// TestRevokedOnTheOtherSide deletes an access key while a node is cut off: no request of it that begins after the bound
// is served there, and none at all once the change was answered with wait=all.
func TestRevokedOnTheOtherSide(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: patient})
	bound(t, c, "3s")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // a leader elected after this believes in leases of the default bound
	defer cancel()
	r := &realm{c: c}
	r.key = createKey(t, c.Client(), "used on both sides")
	first, second := r.newUser(t, c.Client(), "first", allowing("*", "kms:*")), r.newUser(t, c.Client(), "second", allowing("*", "kms:*"))
	cutOff := c.Followers()[0]
	at := slices.Index(c.Nodes, cutOff)
	for _, key := range []*kms.AccessKeyAnswer{first, second} {
		if err := encrypts(ctx, r.as(key, at), r.key); err != nil {
			t.Fatal(err)
		}
	}
	c.Net.Isolate(cutOff)
	root := c.Leader().Client()
	if err := root.DeleteAccessKey(ctx, &kms.DeleteAccessKeyRequest{Name: "first", AccessKeyID: first.AccessKey.AccessKeyID}, client.WaitNone()); err != nil {
		t.Fatal(err)
	}
	deleted := time.Now()
	served := 0
	c.Eventually(20*time.Second, "the end of the lease", func(ctx context.Context) error {
		begin := time.Now()
		err := encrypts(ctx, r.as(first, at), r.key)
		switch kms.CodeOf(err) {
		case "":
			if served++; begin.After(deleted.Add(3 * time.Second)) {
				t.Errorf("a request that began %s after the revocation was served", begin.Sub(deleted))
			}
			return notYet("it still serves")
		case kms.CodeNoLease:
			return nil
		}
		return err
	})
	if served == 0 {
		t.Error("the node stopped at once: it did not live on its lease")
	}
	if err := root.DeleteAccessKey(ctx, &kms.DeleteAccessKeyRequest{Name: "second", AccessKeyID: second.AccessKey.AccessKeyID}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	if err := encrypts(ctx, r.as(second, at), r.key); err == nil {
		t.Error("wait=all returned and the cut-off node still took the access key")
	}
	c.Net.Heal()
	cutOff.WaitServing()
	for _, key := range []*kms.AccessKeyAnswer{first, second} {
		mustCode(t, encrypts(ctx, r.as(key, at), r.key), kms.CodeUnauthenticated)
	}
}
