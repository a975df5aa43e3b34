package integration

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
	"github.com/lockstep-kms/lockstep/server/replica"
)

// shiftedClock is the system's clock with a date that a test moves.
type shiftedClock struct{ shift atomic.Int64 }

func (c *shiftedClock) Wall() time.Time { return time.Now().Add(time.Duration(c.shift.Load())) }

func (*shiftedClock) Boot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// dated is a cluster whose nodes look for scheduled work all the time, with clocks that the test moves.
type dated struct {
	*cluster.Cluster
	clocks []*shiftedClock
}

func startDated(t *testing.T) *dated {
	d := &dated{clocks: []*shiftedClock{{}, {}, {}}}
	d.Cluster = cluster.Start(t, cluster.Options{Seams: func(i int, s *server.Seams) {
		s.Clock = d.clocks[i]
		s.Timing = func(timing *replica.Timing) {
			cluster.FastTiming(timing)
			timing.Schedule, timing.Calm = 50*time.Millisecond, 300*time.Millisecond
		}
	}})
	return d
}

// pass lets days pass for every node.
func (d *dated) pass(n int) {
	for _, c := range d.clocks {
		c.shift.Add(int64(n) * 24 * int64(time.Hour))
	}
}

// audited counts the audit records of an event about a key on all nodes, and those that tell of no error.
func (d *dated) audited(t *testing.T, event, key string) (all, done int) {
	t.Helper()
	for _, n := range d.Nodes {
		for _, line := range auditLines(t, n, event) {
			if strings.Contains(line, key) {
				all++
				if !strings.Contains(line, `"errorCode"`) {
					done++
				}
			}
		}
	}
	return all, done
}

// materials returns how many materials a key has on a node.
func materials(ctx context.Context, n *cluster.Node, key string) (int, error) {
	a, err := n.Client().ListKeyRotations(ctx, &kms.ListKeyRotationsRequest{KeyID: key, IncludeKeyMaterial: "ALL_KEY_MATERIAL"})
	if err != nil {
		return 0, err
	}
	return len(a.Rotations), nil
}

// done waits until a running node no longer has the one key and has two materials of the other.
func (d *dated) done(n *cluster.Node, destroy, rotate string) {
	d.TB.Helper()
	d.Eventually(30*time.Second, "the scheduled work, seen by "+n.Name, func(ctx context.Context) error {
		if _, err := n.Client().DescribeKey(ctx, &kms.KeyRequest{KeyID: destroy}); kms.CodeOf(err) != kms.CodeNotFound && kms.CodeOf(err) != kms.CodeAccessDenied {
			return fmt.Errorf("the key is there: %v", err)
		}
		got, err := materials(ctx, n, rotate)
		if err != nil {
			return err
		}
		if got != 2 {
			return fmt.Errorf("%d materials", got)
		}
		return nil
	})
}

// chore makes a key that is destroyed after a week.
func (d *dated) chore(t *testing.T) string {
	t.Helper()
	key, window := createKey(t, d.Client(), "to be destroyed"), 7
	if _, err := d.Client().ScheduleKeyDeletion(background(t), &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: &window}); err != nil {
		t.Fatal(err)
	}
	return key
}

// TestScheduledWorkIsDoneOnce lets a key be due for its destruction and one for its rotation while the leader is
// lost, and seals the next one: each thing is done once, and what comes later is done too.
func TestScheduledWorkIsDoneOnce(t *testing.T) {
	t.Parallel()
	d := startDated(t)
	period := 90
	rotate := createKey(t, d.Client(), "to be rotated")
	e, err := d.Client().Encrypt(background(t), &kms.EncryptRequest{KeyID: rotate, Plaintext: []byte("before")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Client().EnableKeyRotation(background(t), &kms.EnableKeyRotationRequest{KeyID: rotate, RotationPeriodInDays: &period}); err != nil {
		t.Fatal(err)
	}
	destroy := d.chore(t)

	first := d.Leader()
	d.pass(100)
	d.Net.Isolate(first) // it may be in the midst of it
	var rest []*cluster.Node
	for _, n := range d.Nodes {
		if n != first {
			rest = append(rest, n)
		}
	}
	for _, n := range rest {
		d.done(n, destroy, rotate)
	}
	first.Stop()
	d.Net.Heal()
	first.Start()
	first.Unseal()
	first.WaitServing()

	second := d.Leader()
	if _, err := second.Client().Seal(background(t), &kms.SealRequest{}); err != nil {
		t.Fatal(err)
	}
	var third *cluster.Node
	d.Eventually(30*time.Second, "an unsealed leader", func(ctx context.Context) error {
		third = d.Leader()
		if third == second {
			return fmt.Errorf("%s leads, sealed", second.Name)
		}
		return nil
	})
	later := d.chore(t) // where it is gone the scheduler has looked at all keys again
	d.pass(8)
	for _, n := range d.Nodes {
		if n == second {
			continue
		}
		d.done(n, later, rotate)
		d.done(n, destroy, rotate)
	}
	second.Unseal()
	second.WaitServing()
	d.done(second, later, rotate)
	for _, n := range d.Nodes {
		got, err := n.Client().Decrypt(background(t), &kms.DecryptRequest{CiphertextBlob: e.CiphertextBlob})
		if err != nil || string(got.Plaintext) != "before" {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
	for event, keys := range map[string][]string{"DeleteKey": {destroy, later}, "RotateKey": {rotate}} {
		for _, key := range keys {
			// The one that was cut off may have done it and not have learned it.
			if all, done := d.audited(t, event, key); all == 0 || done > 1 {
				t.Errorf("%s: %d audit records, %d of them of success", event, all, done)
			}
		}
	}
}

// TestOneWrongClockDestroysNothing sets one node's date 40 days ahead, a follower's and then the leader's: a key that
// waits 7 days is not destroyed, and can still be brought back.
func TestOneWrongClockDestroysNothing(t *testing.T) {
	t.Parallel()
	d := startDated(t)
	key := d.chore(t)
	there := func(what string) {
		t.Helper()
		for _, n := range d.Nodes {
			a, err := n.Client().DescribeKey(background(t), &kms.KeyRequest{KeyID: key})
			if err != nil || a.Key.KeyState != kms.StatePendingDeletion {
				t.Fatalf("%s, %s: %v", what, n.Name, err)
			}
		}
		if all, _ := d.audited(t, "DeleteKey", key); all != 0 {
			t.Errorf("%s: %d audit records", what, all)
		}
	}
	ahead := int64(40 * 24 * time.Hour)

	wrong := d.clocks[indexOf(d.Cluster, d.Followers()[0])]
	wrong.shift.Store(ahead)
	expiring := expiringKey(t, d) // where its material is gone the scheduler has run since
	d.Eventually(30*time.Second, "scheduled work with a follower's clock wrong", func(ctx context.Context) error {
		a, err := d.Leader().Client().DescribeKey(ctx, &kms.KeyRequest{KeyID: expiring})
		if err != nil {
			return err
		}
		if a.Key.KeyState != kms.StatePendingImport {
			return fmt.Errorf("the key is %s", a.Key.KeyState)
		}
		return nil
	})
	there("a follower's clock is wrong")
	wrong.shift.Store(0)

	leader := d.Leader()
	d.clocks[indexOf(d.Cluster, leader)].shift.Store(ahead)
	d.Eventually(30*time.Second, "the leader to say that its clock is wrong", func(context.Context) error {
		raw, err := os.ReadFile(filepath.Join(leader.Dir, "server.log"))
		if err != nil {
			return err
		}
		if strings.Count(string(raw), "no scheduled work is done: this node's clock does not agree") < 10 {
			return fmt.Errorf("the log does not say so")
		}
		return nil
	})
	there("the leader's clock is wrong")
	if _, err := d.Client().CancelKeyDeletion(background(t), &kms.KeyRequest{KeyID: key}); err != nil {
		t.Errorf("cancelling: %v", err)
	}
}

// expiringKey makes a key whose imported material expires at once.
func expiringKey(t *testing.T, d *dated) string {
	t.Helper()
	c := d.Client()
	a, err := c.CreateKey(background(t), &kms.CreateKeyRequest{Origin: kms.OriginExternal})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.GetParametersForImport(background(t), &kms.GetParametersForImportRequest{KeyID: a.Key.KeyID, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), make([]byte, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(3 * time.Second)
	if _, err := c.ImportKeyMaterial(background(t), &kms.ImportKeyMaterialRequest{KeyID: a.Key.KeyID, ImportToken: p.ImportToken, EncryptedKeyMaterial: wrapped, ValidTo: &until}); err != nil {
		t.Fatal(err)
	}
	return a.Key.KeyID
}
