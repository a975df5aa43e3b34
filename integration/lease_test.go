package integration

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// bound sets the revocation bound and waits until every node uses it.
func bound(t *testing.T, c *cluster.Cluster, value string) {
	t.Helper()
	if _, err := c.Client().PutSetting(background(t), &kms.PutSettingRequest{Name: kms.SettingRevocationBound, Value: value}, client.WaitAll(0)); err != nil {
		t.Fatalf("setting the bound: %v", err)
	}
}

// patient is for clusters in which a busy machine must not be taken for a leader's silence: whoever is elected believes in leases of
// the default bound, a minute.
func patient(_ int, cfg *server.Config) {
	cfg.Raft.HeartbeatTimeout, cfg.Raft.ElectionTimeout = 2*time.Second, 2*time.Second
}

// TestCutOffFollower cuts a follower off: it serves until its lease ends and then says why not; a
// key that is disabled meanwhile is used by no request that begins after the bound.
func TestCutOffFollower(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	bound(t, c, "3s")
	key := createKey(t, c.Client(), "to be disabled")
	cutOff, rest := c.Followers()[0], c.Leader()
	if err := roundTrip(background(t), key, cutOff.Client(), cutOff.Client()); err != nil {
		t.Fatal(err)
	}
	c.Net.Isolate(cutOff)
	if err := roundTrip(background(t), key, cutOff.Client(), cutOff.Client()); err != nil {
		t.Fatalf("just after the cut: %v", err)
	}
	ctx := background(t)
	if _, err := rest.Client().DisableKey(ctx, &kms.KeyRequest{KeyID: key}, client.WaitNone()); err != nil {
		t.Fatal(err)
	}
	disabled := time.Now()

	var served []time.Time // when requests that were served began
	c.Eventually(20*time.Second, "the end of the lease", func(ctx context.Context) error {
		begin := time.Now()
		_, err := cutOff.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
		switch kms.CodeOf(err) {
		case "":
			served = append(served, begin)
			return notYet("it still serves")
		case kms.CodeNoLease:
			return nil
		default:
			return err
		}
	})
	late := slices.IndexFunc(served, func(at time.Time) bool { return at.After(disabled.Add(3 * time.Second)) })
	if late >= 0 {
		t.Errorf("a request that began %s after the disable was served", served[late].Sub(disabled))
	}
	if len(served) == 0 {
		t.Error("the follower stopped at once: it did not live on its lease")
	}
	h, err := cutOff.Client().Health(ctx)
	if err != nil || h.CanServeCrypto || h.Reason != string(kms.CodeNoLease) {
		t.Errorf("its health: %+v, %v", h, err)
	}
	if err := func() error {
		_, err := cutOff.Client().DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "11111111-2222-3333-4444-555555555555"})
		return err
	}(); kms.CodeOf(err) != kms.CodeCannotConfirm {
		t.Errorf("a refusal of a cut-off node: %v", err)
	}

	c.Net.Heal()
	cutOff.WaitServing()
	_, err = cutOff.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
	mustCode(t, err, kms.CodeKeyDisabled)
}

// TestWaitAll holds wait=all to its word: with a node cut off it returns only when that node's lease
// has ended; on a healthy cluster it does not wait for the bound.
func TestWaitAll(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	bound(t, c, "1h") // far longer than this test: a wait for it would fail
	ctx := background(t)
	key := createKey(t, c.Client(), "healthy")
	if _, err := c.Nodes[0].Client().DisableKey(ctx, &kms.KeyRequest{KeyID: key}, client.WaitAll(0)); err != nil {
		t.Fatalf("on a healthy cluster: %v", err)
	}
	for _, n := range c.Nodes { // no confirmation can hide a view that lags: the crypto path is asked
		_, err := n.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
		mustCode(t, err, kms.CodeKeyDisabled)
	}

	// Another cluster: should a busy machine make this one elect, the new leader would have to believe in leases of an hour.
	c = cluster.Start(t, cluster.Options{Config: patient})
	bound(t, c, "4s")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // and here in leases of the default bound
	defer cancel()
	second := createKey(t, c.Client(), "cut off")
	cutOff, leader := c.Followers()[0], c.Leader()
	if err := roundTrip(ctx, second, cutOff.Client(), cutOff.Client()); err != nil {
		t.Fatal(err)
	}
	c.Net.Isolate(cutOff)
	var m client.Meta
	if _, err := leader.Client().DisableKey(ctx, &kms.KeyRequest{KeyID: second}, client.WaitAll(300*time.Millisecond), client.WithMeta(&m)); err != nil {
		t.Fatalf("wait=all with a limit: %v", err)
	}
	if !slices.Equal(m.Awaiting, []string{cutOff.Name}) {
		t.Errorf("awaited are %v, want %s", m.Awaiting, cutOff.Name)
	}
	if _, err := leader.Client().EnableKey(ctx, &kms.KeyRequest{KeyID: second}); err != nil {
		t.Fatal(err)
	}
	if _, err := leader.Client().DisableKey(ctx, &kms.KeyRequest{KeyID: second}, client.WaitAll(0)); err != nil {
		t.Fatalf("wait=all with a node cut off: %v", err)
	}
	_, err := cutOff.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: second, Plaintext: []byte("x")})
	if err == nil {
		t.Error("wait=all returned and the cut-off node still used the key")
	}
}

// TestRestartedIsolatedNode restarts a node without contact and unseals it: it serves no crypto.
func TestRestartedIsolatedNode(t *testing.T) {
	t.Parallel()
	// A snapshot gives the restarted node its state without contact, so that it can be unsealed.
	c := cluster.Start(t, cluster.Options{Config: func(_ int, cfg *server.Config) {
		cfg.Raft.SnapshotThreshold, cfg.Raft.SnapshotInterval = 4, 50*time.Millisecond
	}})
	key := createKey(t, c.Client(), "before")
	n := c.Followers()[0]
	h, err := n.Client().Health(background(t))
	if err != nil {
		t.Fatal(err)
	}
	c.Eventually(20*time.Second, "a snapshot with the key", func(context.Context) error {
		createKey(t, c.Client(), "another")
		files, err := filepath.Glob(filepath.Join(n.DataDir(), "raft", "snapshots", "*.snap"))
		for _, f := range files { // TERM-INDEX-TIME.snap
			if part := strings.Split(filepath.Base(f), "-"); len(part) == 3 {
				if index, err := strconv.ParseUint(part[1], 10, 64); err == nil && index >= h.AppliedIndex {
					return nil
				}
			}
		}
		return notYet("the snapshots are %v, %v", files, err)
	})
	if err := roundTrip(background(t), key, n.Client(), n.Client()); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	c.Net.Isolate(n)
	n.Start()
	n.Unseal()
	ctx := background(t)
	c.Eventually(10*time.Second, "the reason", func(ctx context.Context) error {
		h, err := n.Client().Health(ctx)
		if err != nil {
			return err
		}
		if h.CanServeCrypto {
			t.Fatal("an isolated node says that it can serve")
		}
		if h.Reason != string(kms.CodeNoLease) {
			return notYet("the reason is %s", h.Reason)
		}
		return nil
	})
	_, err = n.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
	mustCode(t, err, kms.CodeNoLease)
	_, err = n.Client().GenerateRandom(ctx, &kms.GenerateRandomRequest{NumberOfBytes: new(32)})
	mustCode(t, err, kms.CodeNoLease)
	c.Net.Heal()
	n.WaitServing()
	if err := roundTrip(ctx, key, n.Client(), n.Client()); err != nil {
		t.Errorf("back in contact: %v", err)
	}
}

// TestCryptoMakesNoEntryAndNoHop counts what cryptography costs the cluster: no log entry.
func TestCryptoMakesNoEntryAndNoHop(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	key := createKey(t, c.Client(), "counted")
	follower := c.Followers()[0]
	ctx := background(t)
	cl := follower.Client()
	if err := roundTrip(ctx, key, cl, cl); err != nil {
		t.Fatal(err)
	}
	before, err := cl.Health(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// Cut off from everyone, a hop could not be made: every operation is served from memory.
	c.Net.Isolate(follower)
	for range 200 {
		if err := roundTrip(ctx, key, cl, cl); err != nil {
			t.Fatal(err)
		}
	}
	c.Net.Heal()
	after, err := cl.Health(ctx)
	if err != nil || after.AppliedIndex != before.AppliedIndex {
		t.Errorf("400 operations moved the log from %d to %d, %v", before.AppliedIndex, after.AppliedIndex, err)
	}
}

// TestRepeatOnCutOffNode repeats a create on a node that is cut off, under a credential that was
// revoked meanwhile: nothing leaves, neither the first answer nor another request's.
func TestRepeatOnCutOffNode(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: patient})
	bound(t, c, "2s")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // a leader elected after this believes in leases of the default bound
	defer cancel()
	a, err := c.Client().CreateAccount(ctx, &kms.CreateAccountRequest{Name: "tenant"})
	if err != nil {
		t.Fatal(err)
	}
	n := c.Followers()[0]
	tenant := c.NewClient(a.AccessKeyID, string(a.SecretAccessKey), n)
	first, err := tenant.CreateKey(ctx, &kms.CreateKeyRequest{Description: "one"}, client.IdempotencyKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	c.Net.Isolate(n)
	if _, err := c.Leader().Client().DisableAccount(ctx, &kms.AccountRequest{AccountID: a.Account.AccountID}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	c.Eventually(10*time.Second, "the end of the lease", func(ctx context.Context) error {
		_, err := tenant.Encrypt(ctx, &kms.EncryptRequest{KeyID: first.Key.KeyID, Plaintext: []byte("x")})
		if kms.CodeOf(err) != kms.CodeNoLease {
			return notYet("the answer is %v", err)
		}
		return nil
	})
	for _, description := range []string{"one", "two"} {
		again, err := tenant.CreateKey(ctx, &kms.CreateKeyRequest{Description: description}, client.IdempotencyKey("k"))
		if err == nil {
			t.Errorf("the repeat of %q was answered with %s", description, again.Key.KeyID)
		} else if code := kms.CodeOf(err); code.Class() != kms.ClassUnavailable && code != kms.CodeIdempotencyMismatch {
			t.Errorf("the repeat of %q: %v", description, err)
		}
	}
	c.Net.Heal()
	n.WaitServing()
	_, err = tenant.CreateKey(ctx, &kms.CreateKeyRequest{Description: "one"}, client.IdempotencyKey("k"))
	mustCode(t, err, kms.CodeUnauthenticated)
}
