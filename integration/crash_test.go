package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
)

// TestLeaderKilledUnderLoad kills the leader's process: no crypto operation on the survivors fails,
// and writes work again by themselves.
func TestLeaderKilledUnderLoad(t *testing.T) {
	t.Parallel()
	leaderKills(t, rounds(2, 20))
}

func leaderKills(t *testing.T, count int) {
	c := cluster.Start(t, cluster.Options{Processes: true})
	key := createKey(t, c.Client(), "under load")
	for round := range count {
		leader := c.Leader()
		var survivors []*cluster.Node
		for _, n := range c.Nodes {
			if n != leader {
				n.WaitServing()
				survivors = append(survivors, n)
			}
		}
		for _, n := range survivors { // a node that has not heard of the key would have to ask the leader
			if err := roundTrip(background(t), key, n.Client(), n.Client()); err != nil {
				t.Fatal(err)
			}
		}
		l := cryptoLoad(key, survivors...)
		leader.Kill()
		c.Eventually(20*time.Second, "a write after the leader died", func(ctx context.Context) error {
			_, err := survivors[round%2].Client().CreateKey(ctx, &kms.CreateKeyRequest{})
			return err
		})
		l.end(t)
		leader.Start()
		leader.Unseal()
		leader.WaitServing()
	}
}

// TestAllKilledUnderWriteLoad kills every process in the middle of writes: what was acknowledged is
// there afterwards and decrypts, and no half of a key shows.
func TestAllKilledUnderWriteLoad(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Processes: true})
	for range rounds(1, 5) {
		acknowledged := writeUntilKilled(t, c, 40)
		for _, n := range c.Nodes {
			n.Start()
		}
		c.Unseal()
		ctx := background(t)
		all := map[string]bool{}
		for marker := ""; ; {
			page, err := c.Nodes[1].Client().ListKeys(ctx, &kms.ListRequest{Limit: 1000, Marker: marker})
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range page.Keys {
				all[k.KeyID] = true
			}
			if marker = page.NextMarker; marker == "" {
				break
			}
		}
		for key, ciphertext := range acknowledged {
			if !all[key] {
				t.Fatalf("the acknowledged key %s is gone", key)
			}
			if ciphertext == nil {
				continue
			}
			if _, err := c.Nodes[2].Client().Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: ciphertext}); err != nil {
				t.Fatalf("what was encrypted with %s before: %v", key, err)
			}
		}
		for key := range all { // acknowledged or not: whole
			if err := roundTrip(ctx, key, c.Nodes[0].Client(), c.Nodes[1].Client()); err != nil {
				t.Fatalf("key %s is not whole: %v", key, err)
			}
		}
	}
}

// writeUntilKilled creates keys on all nodes until enough were acknowledged, kills every process in
// the middle of more, and returns the acknowledged keys with a ciphertext each, nil where there was no time.
func writeUntilKilled(t *testing.T, c *cluster.Cluster, enough int) map[string][]byte {
	var mu sync.Mutex
	acknowledged := map[string][]byte{}
	reached := make(chan struct{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range c.Nodes {
		for range 4 {
			wg.Go(func() {
				cl := n.Client()
				for ctx.Err() == nil {
					a, err := cl.CreateKey(ctx, &kms.CreateKeyRequest{})
					if err != nil {
						return // the node is dead
					}
					mu.Lock()
					acknowledged[a.Key.KeyID] = nil
					if len(acknowledged) == enough {
						close(reached)
					}
					mu.Unlock()
					if e, err := cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: a.Key.KeyID, Plaintext: []byte("kept")}); err == nil {
						mu.Lock()
						acknowledged[a.Key.KeyID] = e.CiphertextBlob
						mu.Unlock()
					}
				}
			})
		}
	}
	select {
	case <-reached:
	case <-ctx.Done():
		t.Fatal("the writes did not get going")
	}
	var kills sync.WaitGroup
	for _, n := range c.Nodes {
		kills.Go(n.Kill)
	}
	kills.Wait()
	wg.Wait()
	return acknowledged
}

// TestOneKeyPerIdempotencyKey repeats a create under one key, through every node and across a change
// of leader: one key is made, and every answer names it.
func TestOneKeyPerIdempotencyKey(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Processes: true})
	ctx := background(t)
	token := rand.Text()
	create := func(n *cluster.Node, description string) (string, error) {
		a, err := n.Client().CreateKey(ctx, &kms.CreateKeyRequest{Description: description}, client.IdempotencyKey(token))
		if err != nil {
			return "", err
		}
		return a.Key.KeyID, nil
	}
	first, err := create(c.Nodes[0], "once")
	if err != nil {
		t.Fatal(err)
	}
	leader := c.Leader()
	leader.Kill()
	for _, n := range c.Nodes {
		if n == leader {
			continue
		}
		var again string
		c.Eventually(20*time.Second, "the repeat through "+n.Name, func(context.Context) error {
			again, err = create(n, "once")
			return err
		})
		if again != first {
			t.Errorf("%s made %s, the first answer was %s", n.Name, again, first)
		}
		_, err := create(n, "something else")
		mustCode(t, err, kms.CodeIdempotencyMismatch)
	}
	survivor := c.Followers()[0]
	page, err := survivor.Client().ListKeys(ctx, &kms.ListRequest{})
	if err != nil || len(page.Keys) != 1 {
		t.Errorf("there are %d keys, %v", len(page.Keys), err)
	}
}

// TestRestartKeepsCiphertexts restarts every node in turn while the others serve.
func TestRestartKeepsCiphertexts(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	ctx := background(t)
	key := createKey(t, c.Nodes[0].Client(), "kept")
	e, err := c.Nodes[0].Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("kept"), EncryptionContext: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if err := n.Stop(); err != nil {
			t.Errorf("%s ended with %v", n.Name, err)
		}
		n.Start()
		n.Unseal()
		n.WaitServing()
		d, err := n.Client().Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: e.CiphertextBlob, EncryptionContext: map[string]string{"a": "b"}})
		if err != nil || string(d.Plaintext) != "kept" {
			t.Fatalf("%s after its restart: %v", n.Name, err)
		}
		_, err = n.Client().Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: e.CiphertextBlob, EncryptionContext: map[string]string{"a": "c"}})
		mustCode(t, err, kms.CodeInvalidCiphertext)
	}
}

// TestNoQuorumFailsFastAndCryptoGoesOn stops two of three nodes.
func TestNoQuorumFailsFastAndCryptoGoesOn(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Processes: true})
	key := createKey(t, c.Client(), "here")
	left := c.Nodes[0]
	left.WaitServing()
	if err := roundTrip(background(t), key, left.Client(), left.Client()); err != nil {
		t.Fatal(err)
	}
	c.Nodes[1].Kill()
	c.Nodes[2].Kill()
	ctx := background(t)
	_, err := left.Client().CreateKey(ctx, &kms.CreateKeyRequest{})
	if code := kms.CodeOf(err); code != kms.CodeNoQuorum && code != kms.CodeOutcomeUnknown && code != kms.CodeCannotConfirm {
		t.Errorf("a write without a quorum: %v", err)
	}
	if err := roundTrip(ctx, key, left.Client(), left.Client()); err != nil {
		t.Errorf("cryptography without a quorum, inside the bound: %v", err)
	}
	_, err = left.Client().DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key})
	mustCode(t, err, kms.CodeCannotConfirm)
	if _, err := left.Client().DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key}, client.Stale()); err != nil {
		t.Errorf("a stale read was asked for: %v", err)
	}
	_, err = left.Client().DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "11111111-2222-3333-4444-555555555555"}, client.Stale())
	mustCode(t, err, kms.CodeCannotConfirm) // a refusal is never stale
}

var errNotYet = errors.New("not yet")

// notYet is a reason to poll on.
func notYet(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errNotYet, fmt.Sprintf(format, args...))
}
