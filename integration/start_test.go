package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// TestColdStartInAnyOrder starts the nodes in every order, each only when the one before had time to
// look for the others: exactly one cluster comes out.
func TestColdStartInAnyOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Stopped: true})
			for _, i := range order {
				c.Nodes[i].Start()
				// The next starts when this one answers and so has begun to look around.
				c.Eventually(10*time.Second, "an answer", func(ctx context.Context) error {
					_, err := c.Nodes[i].Client().Health(ctx)
					return err
				})
			}
			c.Init()
			c.Unseal()
			oneCluster(t, c)
		})
	}
}

// oneCluster checks that all nodes name the same leader and the same three members.
func oneCluster(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	c.Eventually(20*time.Second, "one cluster of all nodes", func(ctx context.Context) error {
		var seen string
		for _, n := range c.Nodes {
			h, err := n.Client().Health(ctx)
			if err != nil {
				return err
			}
			m, err := n.Client().Members(ctx)
			if err != nil {
				return err
			}
			var names []string
			for _, member := range m.Members {
				if !member.Voter {
					return fmt.Errorf("%s has no vote yet", member.Name)
				}
				names = append(names, member.Name+"="+member.ID)
			}
			view := h.LeaderName + " of " + strings.Join(names, ",")
			if len(names) != len(c.Nodes) || h.LeaderName == "" || seen != "" && seen != view {
				return fmt.Errorf("%s sees %s, another %s", n.Name, view, seen)
			}
			seen = view
		}
		return nil
	})
}

// TestRacingInits lets two nodes initialize at once: one wins, and its shares are the ones that unseal.
func TestRacingInits(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Empty: true})
	c.Leader()
	answers := make([]*client.InitAnswer, 2)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			answers[i], errs[i] = c.Nodes[i].Client().Init(background(t), client.InitRequest{Shares: 5, Threshold: 3})
		})
	}
	wg.Wait()
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	if errs[winner] != nil {
		t.Fatalf("nobody won: %v", errs)
	}
	mustCode(t, errs[1-winner], kms.CodeAlreadyInitialized)
	c.Keep(answers[winner])
	c.Unseal()
	createKey(t, c.Nodes[2].Client(), "after the race")
}

// TestLostInitAnswer shows that an init whose answer was lost can be done again, with the token, and
// that the first unseal ends that.
func TestLostInitAnswer(t *testing.T) {
	t.Parallel()
	const token = "a token of the configuration"
	c := cluster.Start(t, cluster.Options{Empty: true, Config: func(_ int, cfg *server.Config) { cfg.InitToken = token }})
	c.Init() // its answer is lost
	lost, lostKey := c.Shares, c.AccessKeyID
	ctx := background(t)
	again := func(r client.InitRequest) (*client.InitAnswer, error) {
		r.Shares, r.Threshold = 5, 3
		return c.Nodes[1].Client().Init(ctx, r)
	}
	_, err := again(client.InitRequest{})
	mustCode(t, err, kms.CodeAlreadyInitialized)
	_, err = again(client.InitRequest{Again: true})
	mustCode(t, err, kms.CodeAccessDenied)
	_, err = again(client.InitRequest{Again: true, InitToken: "another token entirely"})
	mustCode(t, err, kms.CodeAccessDenied)
	a, err := again(client.InitRequest{Again: true, InitToken: token})
	if err != nil {
		t.Fatalf("init again: %v", err)
	}
	_, err = c.Nodes[0].Client().Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(lost[0])})
	mustCode(t, err, kms.CodeShareSuperseded)

	c.Keep(a)
	c.Unseal()
	key := createKey(t, c.Nodes[0].Client(), "kept")
	_, err = again(client.InitRequest{Again: true, InitToken: token})
	mustCode(t, err, kms.CodeAlreadyInitialized)
	if err := roundTrip(ctx, key, c.Nodes[1].Client(), c.Nodes[2].Client()); err != nil {
		t.Errorf("after init was refused: %v", err)
	}
	_, err = c.NewClient(lostKey, c.SecretAccessKey, c.Nodes[0]).GetCallerIdentity(ctx)
	mustCode(t, err, kms.CodeUnauthenticated)
}

// TestSharesAreNamed walks what can be wrong with a share; progress survives each of them.
func TestSharesAreNamed(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Sealed: true})
	other := cluster.Start(t, cluster.Options{Nodes: 1, Sealed: true})
	n := c.Nodes[0].Client()
	ctx := background(t)
	submit := func(share string) (*client.UnsealAnswer, error) {
		return n.Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(share)})
	}
	c.Eventually(10*time.Second, "the first share", func(context.Context) error {
		_, err := submit(c.Shares[0])
		if kms.CodeOf(err) == kms.CodeNotInitialized {
			return err
		}
		if err != nil {
			t.Fatal(err)
		}
		return nil
	})
	share := c.Shares[1]
	typo := share[:len(share)-8] + swapped(share[len(share)-8:])
	cases := []struct {
		name, share string
		want        kms.Code
	}{
		{"typo", typo, kms.CodeInvalidShare},
		{"truncated", share[:len(share)-1], kms.CodeInvalidShare},
		{"not a share", "correct horse battery staple", kms.CodeInvalidShare},
		{"other cluster", other.Shares[0], kms.CodeShareOtherCluster},
		{"duplicate", c.Shares[0], kms.CodeShareDuplicate},
	}
	for _, tc := range cases {
		_, err := submit(tc.share)
		if got := kms.CodeOf(err); got != tc.want {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), tc.share) {
			t.Errorf("%s: the error repeats the share", tc.name)
		}
		s, err := n.SealStatus(ctx)
		if err != nil || s.Progress != 1 || !s.Sealed {
			t.Fatalf("%s: progress is %+v, %v", tc.name, s, err)
		}
	}
	if a, err := submit(c.Shares[3]); err != nil || !a.Sealed || a.Progress != 2 {
		t.Fatalf("two of three shares: %+v, %v", a, err)
	}
	if a, err := submit(c.Shares[4]); err != nil || a.Sealed {
		t.Fatalf("three of three shares: %+v, %v", a, err)
	}
}

// swapped exchanges two neighbouring characters that differ: the commonest typo.
func swapped(s string) string {
	for i := 0; i+1 < len(s); i++ {
		if s[i] != s[i+1] {
			return s[:i] + string(s[i+1]) + string(s[i]) + s[i+2:]
		}
	}
	return s + "q"
}

// TestClusterUnseal gives three shares to one node: all nodes are unsealed, one that is restarted
// midway included.
func TestClusterUnseal(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Sealed: true})
	ctx := background(t)
	first := c.Nodes[0].Client()
	give := func(i int) {
		t.Helper()
		c.Eventually(10*time.Second, "a share", func(context.Context) error {
			_, err := first.Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(c.Shares[i]), Cluster: true})
			if kms.CodeOf(err) == kms.CodeShareDuplicate {
				return nil
			}
			return err
		})
	}
	give(1)
	give(3)
	c.Nodes[2].Stop()
	for _, n := range c.Nodes[:2] {
		if h, err := n.Client().Health(ctx); err != nil || !h.Sealed {
			t.Fatalf("%s with two shares: %+v, %v", n.Name, h, err)
		}
	}
	give(0)
	c.Nodes[1].WaitServing()
	c.Nodes[2].Start()
	for _, n := range c.Nodes {
		n.WaitServing()
	}
}

// TestCreateHereUseThere creates keys on one node and uses each at once on another, with clients
// that never repeat: no first try fails.
func TestCreateHereUseThere(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	ctx := background(t)
	clients := []*client.Client{c.Nodes[0].Client(), c.Nodes[1].Client(), c.Nodes[2].Client()}
	var wg sync.WaitGroup
	errs := make(chan error, 300)
	for worker := range 6 {
		wg.Go(func() {
			for range 50 {
				here, there := rand.IntN(3), rand.IntN(3)
				a, err := clients[here].CreateKey(ctx, &kms.CreateKeyRequest{})
				if err == nil {
					err = roundTrip(ctx, a.Key.KeyID, clients[there], clients[(there+1)%3])
				}
				if err != nil {
					errs <- fmt.Errorf("worker %d, created on %d, used on %d: %w", worker, here, there, err)
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	if len(all) > 0 {
		t.Fatalf("%d of 300 first tries failed, among them: %v", len(all), errors.Join(all[:min(3, len(all))]...))
	}
}
