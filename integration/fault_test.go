package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
	"github.com/lockstep-kms/lockstep/storage"
)

// faultyStore lies under the guards of one node's log store.
type faultyStore struct {
	storage.Store
	fail atomic.Bool
	hang atomic.Pointer[chan struct{}] // writes wait until it is closed
}

func (f *faultyStore) StoreLogs(logs []*raft.Log) error {
	if gate := f.hang.Load(); gate != nil {
		<-*gate
	}
	if f.fail.Load() {
		return errors.New("the test's disk fails")
	}
	return f.Store.StoreLogs(logs)
}

func (f *faultyStore) StoreLog(l *raft.Log) error { return f.StoreLogs([]*raft.Log{l}) }

// faultyDisks gives every node a faultyStore and a watchdog that the test drives.
func faultyDisks() (seams func(int, *server.Seams), disks []*faultyStore, ticks []chan time.Time) {
	disks, ticks = make([]*faultyStore, 3), make([]chan time.Time, 3)
	for i := range 3 {
		disks[i], ticks[i] = &faultyStore{}, make(chan time.Time)
	}
	return func(i int, s *server.Seams) {
		s.Log.Ticks = ticks[i]
		s.Log.Wrap = func(inner storage.Store) storage.Store { disks[i].Store = inner; return disks[i] }
	}, disks, ticks
}

func indexOf(c *cluster.Cluster, n *cluster.Node) int {
	for i, other := range c.Nodes {
		if other == n {
			return i
		}
	}
	return -1
}

// TestFailingDiskOfTheLeader makes the leader's log writes fail or hang: another node leads, the old
// one goes on with cryptography and says what is wrong, and nothing acknowledged is lost.
func TestFailingDiskOfTheLeader(t *testing.T) {
	for _, fault := range []string{"fail", "hang"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			seams, disks, ticks := faultyDisks()
			c := cluster.Start(t, cluster.Options{Seams: seams})
			key := createKey(t, c.Client(), "before")
			old := c.Leader()
			at := indexOf(c, old)
			var survivors []*cluster.Node
			for _, n := range c.Nodes {
				if n != old {
					survivors = append(survivors, n)
				}
			}
			acknowledged := map[string]bool{key: true}
			gate := make(chan struct{})
			var release sync.Once
			defer release.Do(func() { close(gate) })
			if fault == "fail" {
				disks[at].fail.Store(true)
			} else {
				disks[at].hang.Store(&gate)
			}
			// A write makes the fault felt; whatever it answers must be true.
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			felt := make(chan struct{})
			go func() {
				defer close(felt)
				if a, err := survivors[0].Client().CreateKey(ctx, &kms.CreateKeyRequest{Description: "during"}); err == nil {
					acknowledged[a.Key.KeyID] = true
				}
			}()
			if fault == "hang" { // the watchdog's time goes on, faster than the clock
				go func() {
					pace := time.NewTicker(2 * time.Millisecond)
					defer pace.Stop()
					for range pace.C {
						select {
						case ticks[at] <- time.Time{}:
						case <-ctx.Done():
							return
						}
					}
				}()
			}
			c.Eventually(30*time.Second, "another leader that takes writes", func(ctx context.Context) error {
				a, err := survivors[1].Client().CreateKey(ctx, &kms.CreateKeyRequest{Description: "after"})
				if err == nil {
					acknowledged[a.Key.KeyID] = true
				}
				return err
			})
			if err := roundTrip(ctx, key, old.Client(), survivors[0].Client()); err != nil {
				t.Errorf("cryptography on the node with the bad disk: %v", err)
			}
			h, err := old.Client().Health(ctx)
			if err != nil || h.Leader || h.Reason != "disk" {
				t.Errorf("its health: %+v, %v", h, err)
			}
			<-felt
			release.Do(func() { close(gate) })
			disks[at].hang.Store(nil)
			for key := range acknowledged {
				if err := roundTrip(ctx, key, survivors[0].Client(), survivors[1].Client()); err != nil {
					t.Errorf("an acknowledged key: %v", err)
				}
			}
		})
	}
}

// TestFlippedBitInTheLog changes one bit of a stopped node's log: it is found, named, and not applied;
// the others go on, and the node comes back once its data is moved away.
func TestFlippedBitInTheLog(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	const marker = "key.created"
	for range 5 {
		createKey(t, c.Client(), "entry")
	}
	n := c.Followers()[0]
	n.Stop()
	if r, err := server.Fsck(n.DataDir()); err != nil || len(r.Problems) > 0 || r.Commands == 0 {
		t.Fatalf("fsck before: %+v, %v", r, err)
	}
	path := filepath.Join(n.DataDir(), "raft", "raft.db")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Event names are clear text, so they show where an entry lies.
	at := strings.LastIndex(string(raw), marker)
	if at < 0 {
		t.Fatal("no entry was found in the log file")
	}
	for i := range raw { // every copy: bolt may hold freed pages with old contents
		if strings.HasPrefix(string(raw[i:min(i+len(marker), len(raw))]), marker) {
			raw[i] ^= 0x01
		}
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := server.Fsck(n.DataDir()); err != nil || len(r.Problems) == 0 {
		t.Fatalf("fsck after: %+v, %v", r, err)
	}
	err = n.TryStart()
	if err == nil {
		select {
		case <-n.Done():
			err = n.Err()
		case <-time.After(20 * time.Second):
			t.Fatal("the node runs on a corrupt log")
		}
	}
	if err == nil || !strings.Contains(err.Error(), "corrupt") {
		t.Fatalf("the node ended with %v", err)
	}
	createKey(t, c.Leader().Client(), "the others go on")
	n.Wipe()
	n.Start()
	n.Unseal()
	n.WaitServing()
	oneCluster(t, c)
}

// TestWipedNodeIsReplaced empties a node's data directory: it comes back under its name as a new
// incarnation, from a snapshot, and votes again.
func TestWipedNodeIsReplaced(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: func(_ int, cfg *server.Config) {
		cfg.Raft.SnapshotThreshold, cfg.Raft.SnapshotInterval, cfg.Raft.TrailingLogs = 10, 100*time.Millisecond, 5
	}})
	var keys []string
	for range 40 {
		keys = append(keys, createKey(t, c.Client(), "before"))
	}
	n := c.Followers()[0]
	before := memberID(t, c, n)
	n.Stop()
	n.Wipe()
	n.Start()
	n.Unseal()
	n.WaitServing()
	oneCluster(t, c)
	if after := memberID(t, c, n); after == before {
		t.Error("the wiped node has its old incarnation's id")
	}
	for _, key := range keys {
		if err := roundTrip(background(t), key, n.Client(), c.Leader().Client()); err != nil {
			t.Fatal(err)
		}
	}
}

func memberID(t *testing.T, c *cluster.Cluster, n *cluster.Node) string {
	t.Helper()
	m, err := c.Leader().Client().Members(background(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range m.Members {
		if member.Name == n.Name {
			return member.ID
		}
	}
	t.Fatalf("%s is not a member", n.Name)
	return ""
}

// TestRemovedNameStaysOut removes a node: it is refused until its name is allowed again.
func TestRemovedNameStaysOut(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	ctx := background(t)
	n := c.Followers()[0]
	if err := c.Leader().Client().RemoveMember(ctx, &kms.RemoveMemberRequest{Name: n.Name}); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	n.Wipe()
	n.Start()
	c.Eventually(20*time.Second, "two members", func(ctx context.Context) error {
		m, err := c.Leader().Client().Members(ctx)
		if err != nil {
			return err
		}
		if len(m.Members) != 2 {
			return notYet("%d members", len(m.Members))
		}
		return nil
	})
	// It has had a chance to join when it has asked and been told why not.
	c.Eventually(20*time.Second, "the refusal in its log", func(context.Context) error {
		raw, err := os.ReadFile(filepath.Join(n.Dir, "server.log"))
		if err != nil {
			return err
		}
		if !strings.Contains(string(raw), "removed") {
			return notYet("no refusal yet")
		}
		return nil
	})
	if m, err := c.Leader().Client().Members(ctx); err != nil || len(m.Members) != 2 {
		t.Fatalf("the removed node is back: %+v, %v", m, err)
	}
	if err := c.Leader().Client().AllowMember(ctx, &kms.AllowMemberRequest{Name: n.Name}); err != nil {
		t.Fatal(err)
	}
	n.Unseal()
	n.WaitServing()
	oneCluster(t, c)
}

// TestAuditRefusal takes the audit file away: the operation is refused and nothing leaves, and it
// recovers by itself.
func TestAuditRefusal(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Nodes: 1, Config: func(i int, cfg *server.Config) {
		cfg.Audit.File = filepath.Join(filepath.Dir(cfg.DataDir), "audit", "audit.jsonl")
	}})
	n := c.Nodes[0]
	key := createKey(t, n.Client(), "audited")
	raw, err := os.ReadFile(n.Config.Audit.File)
	if err != nil || !strings.Contains(string(raw), `"eventName":"CreateKey"`) {
		t.Fatalf("the audit file: %v\n%s", err, raw)
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Fatalf("this test needs /dev/full: %v", err)
	}
	// A full disk: the path now leads to a device that takes nothing, and the node follows it.
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Remove(n.Config.Audit.File))
	must(os.Symlink("/dev/full", n.Config.Audit.File))
	ctx := background(t)
	_, err = n.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
	mustCode(t, err, kms.CodeAuditBlocked)
	h, err := n.Client().Health(ctx)
	if err != nil || h.CanServeCrypto || h.Reason != string(kms.CodeAuditBlocked) {
		t.Errorf("its health: %+v, %v", h, err)
	}
	before := h.AppliedIndex
	if _, err := n.Client().CreateKey(ctx, &kms.CreateKeyRequest{}); kms.CodeOf(err) != kms.CodeAuditBlocked {
		t.Errorf("a create that cannot be audited: %v", err)
	}
	if h, err = n.Client().Health(ctx); err != nil || h.AppliedIndex != before {
		t.Errorf("a create that was refused moved the log: %+v, %v", h, err)
	}
	must(os.Remove(n.Config.Audit.File))
	must(os.WriteFile(n.Config.Audit.File, nil, 0o600))
	c.Eventually(20*time.Second, "recovery", func(ctx context.Context) error {
		return roundTrip(ctx, key, n.Client(), n.Client())
	})
}
