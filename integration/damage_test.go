package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// forge changes the last command up to index at of a stopped node's log that change accepts, and gives
// it a checksum that fits: no guard of the log can tell it from what was stored. It returns its index.
func forge(t *testing.T, n *cluster.Node, at uint64, change func(data []byte) ([]byte, bool)) uint64 {
	t.Helper()
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(n.DataDir(), "raft", "raft.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	first, err := store.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := min(at, last); i >= max(first, 1); i-- {
		var l raft.Log
		if err := store.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if l.Type != raft.LogCommand {
			continue
		}
		data, ok := change(bytes.Clone(l.Data))
		if !ok {
			continue
		}
		if got := binary.BigEndian.Uint32(l.Extensions[len(l.Extensions)-4:]); got != storedCRC(&l) {
			t.Fatalf("entry %d is not stored as this test believes", i)
		}
		l.Data = data
		l.Extensions = binary.BigEndian.AppendUint32(l.Extensions[:len(l.Extensions)-4], storedCRC(&l))
		if err := store.StoreLog(&l); err != nil {
			t.Fatal(err)
		}
		return i
	}
	t.Fatal("no entry can be forged")
	return 0
}

// storedCRC is the checksum that stands in the last 4 bytes of a stored entry's extensions.
func storedCRC(l *raft.Log) uint32 {
	var b []byte
	b = binary.BigEndian.AppendUint64(b, l.Index)
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, uint64(l.AppendedAt.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(l.AppendedAt.Nanosecond()))
	b = binary.BigEndian.AppendUint64(b, uint64(len(l.Data)))
	b = append(b, l.Data...)
	return crc32.Checksum(append(b, l.Extensions[:len(l.Extensions)-4]...), crc32.MakeTable(crc32.Castagnoli))
}

// later changes a batch that made a key: its time is a millisecond later, and nothing else.
func later(data []byte) ([]byte, bool) {
	c, err := fsm.DecodeCommand(data)
	if err != nil || c.Kind != fsm.CommandBatch || !slices.ContainsFunc(c.Txns, func(t fsm.Txn) bool { return t.Event == "key.created" }) {
		return nil, false
	}
	data, err = fsm.EncodeBatch(c.Stamp+1, c.Txns)
	return data, err == nil
}

// TestUnknownCommandStopsTheNode puts a command of a later version into a stopped node's log: the node
// stops at it, says what it met, and applies nothing of it.
func TestUnknownCommandStopsTheNode(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Nodes: 1})
	n := c.Nodes[0]
	createKey(t, n.Client(), "the last entry")
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	index := forge(t, n, 1<<62, func(data []byte) ([]byte, bool) { data[0] = 9; return data, true })
	const message = "command version 9 is not known to this release"
	if r, err := server.Fsck(n.DataDir()); err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], message) {
		t.Errorf("fsck: %+v, %v", r.Problems, err)
	}
	n.Start()
	select {
	case <-n.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the node runs on a command that it does not know")
	}
	if err := n.Err(); err == nil || !strings.Contains(err.Error(), message) {
		t.Errorf("entry %d was changed; the node ended with %v", index, err)
	}
}

// quick makes nodes compare digests often.
func quick(_ int, cfg *server.Config) { cfg.Raft.CheckpointInterval = 200 * time.Millisecond }

// TestDivergentFollowerIsQuarantined changes what one follower believes was committed: the digests
// tell, and it serves nothing until it has been emptied and has joined anew.
func TestDivergentFollowerIsQuarantined(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: quick})
	key := createKey(t, c.Client(), "before")
	n := c.Followers()[0]
	n.Stop()
	forge(t, n, 1<<62, later)
	if r, err := server.Fsck(n.DataDir()); err != nil || len(r.Problems) != 0 {
		t.Fatalf("fsck can tell: %+v, %v", r.Problems, err)
	}
	n.Start()
	n.Unseal()
	quarantined(t, c, n, key)
	reseed(t, c, n, key)
}

// TestDivergentLeaderIsQuarantined is the same for a node that leads: the others have the majority.
func TestDivergentLeaderIsQuarantined(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: quick})
	key := createKey(t, c.Client(), "before")
	bad, good, lags := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	if err := roundTrip(background(t), key, lags.Client(), lags.Client()); err != nil { // it has the key's entry
		t.Fatal(err)
	}
	h, err := lags.Client().Health(background(t))
	if err != nil {
		t.Fatal(err)
	}
	lags.Stop()
	c.Eventually(20*time.Second, "entries that one node lacks", func(ctx context.Context) error {
		_, err := c.Leader().Client().CreateKey(ctx, &kms.CreateKeyRequest{})
		return err
	})
	for _, n := range []*cluster.Node{bad, good} { // both have them
		c.Eventually(20*time.Second, "the last key on "+n.Name, func(ctx context.Context) error {
			_, err := n.Client().ListKeys(ctx, &kms.ListRequest{})
			return err
		})
	}
	good.Stop()
	bad.Stop()
	// The entry is one that all have, so it is not replicated as it is now.
	if at := forge(t, bad, h.AppliedIndex, later); at > h.AppliedIndex {
		t.Fatalf("entry %d of %d", at, h.AppliedIndex)
	}
	bad.Start()
	lags.Start() // its log is behind, so it cannot lead
	c.Eventually(20*time.Second, "the node whose state is wrong to lead", func(ctx context.Context) error {
		h, err := bad.Client().Health(ctx)
		if err == nil && !h.Leader {
			err = notYet("the leader is %q", h.LeaderName)
		}
		return err
	})
	bad.Unseal()
	good.Start()
	good.Unseal()
	lags.Unseal()
	quarantined(t, c, bad, key)
	reseed(t, c, bad, key)
}

// quarantined waits until a node says that it is quarantined, and checks that it serves nothing and
// that the others serve everything.
func quarantined(t *testing.T, c *cluster.Cluster, n *cluster.Node, key string) {
	t.Helper()
	ctx := background(t)
	c.Eventually(20*time.Second, "the quarantine of "+n.Name, func(ctx context.Context) error {
		h, err := n.Client().Health(ctx)
		if err != nil {
			return err
		}
		if h.Reason != "quarantined" || h.Leader {
			return notYet("its health is %+v", h)
		}
		if h.CanServeCrypto || h.CanWrite || h.Sealed {
			t.Errorf("a quarantined node's health: %+v", h)
		}
		return nil
	})
	cl := n.Client()
	_, encrypt := cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
	_, random := cl.GenerateRandom(ctx, &kms.GenerateRandomRequest{NumberOfBytes: new(32)})
	_, describe := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key})
	_, stale := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key}, client.Stale())
	_, list := cl.ListKeys(ctx, &kms.ListRequest{})
	_, members := cl.Members(ctx)
	_, create := cl.CreateKey(ctx, &kms.CreateKeyRequest{})
	_, unknown := cl.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "11111111-2222-3333-4444-555555555555"})
	for what, err := range map[string]error{"encrypt": encrypt, "random": random, "describe": describe, "stale describe": stale,
		"list": list, "members": members, "create": create, "describe of no key": unknown} {
		if class := kms.CodeOf(err).Class(); err == nil || class != kms.ClassUnavailable {
			t.Errorf("%s on a quarantined node: %v", what, err)
		}
	}
	for _, other := range c.Nodes {
		if other == n {
			continue
		}
		other.WaitServing()
		if err := roundTrip(ctx, key, other.Client(), other.Client()); err != nil {
			t.Errorf("%s: %v", other.Name, err)
		}
		c.Eventually(20*time.Second, "a write through "+other.Name, func(ctx context.Context) error {
			_, err := other.Client().CreateKey(ctx, &kms.CreateKeyRequest{})
			return err
		})
	}
	c.Eventually(20*time.Second, "the members' health", func(ctx context.Context) error {
		m, err := c.Leader().Client().Members(ctx)
		if err != nil {
			return err
		}
		for _, member := range m.Members {
			if member.Healthy != (member.Name != n.Name) {
				return notYet("%s is healthy: %v", member.Name, member.Healthy)
			}
		}
		return nil
	})
}

// reseed empties a node and lets it join anew.
func reseed(t *testing.T, c *cluster.Cluster, n *cluster.Node, key string) {
	t.Helper()
	n.Stop()
	n.Wipe()
	n.Start()
	n.Unseal()
	n.WaitServing()
	oneCluster(t, c)
	if err := roundTrip(background(t), key, n.Client(), c.Leader().Client()); err != nil {
		t.Error(err)
	}
}

// snapshots returns the snapshot files of a node, oldest first.
func snapshots(t *testing.T, n *cluster.Node) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.DataDir(), "raft", "snapshots", "*.snap"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(files, func(a, b string) int { // TERM-INDEX-TIME.snap; indexes grow longer
		if d := len(a) - len(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return files
}

// manySnapshots makes nodes take snapshots often and keep that many entries behind them.
func manySnapshots(trailing uint64) func(int, *server.Config) {
	return func(_ int, cfg *server.Config) {
		cfg.Raft.SnapshotThreshold, cfg.Raft.SnapshotInterval, cfg.Raft.TrailingLogs = 8, 50*time.Millisecond, trailing
	}
}

// twoSnapshots creates keys until the node has two snapshots.
func twoSnapshots(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	c.Eventually(20*time.Second, "two snapshots", func(context.Context) error {
		createKey(t, c.Client(), "another")
		if files := snapshots(t, n); len(files) < 2 {
			return notYet("the snapshots are %v", files)
		}
		return nil
	})
}

// TestFlippedBitInASnapshot changes one bit in a stopped node's only snapshot, wherever it is: the node
// refuses to start and names the file, and is seeded anew once it is emptied.
func TestFlippedBitInASnapshot(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: manySnapshots(1)})
	key := createKey(t, c.Client(), "before")
	n := c.Followers()[0]
	twoSnapshots(t, c, n)
	n.Stop()
	files := snapshots(t, n)
	newest := files[len(files)-1]
	for _, older := range files[:len(files)-1] { // which the log might still reach back to
		if err := os.Remove(older); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 17, 30, len(raw) / 3, len(raw) / 2, len(raw) - 40, len(raw) - 1} {
		damaged := bytes.Clone(raw)
		damaged[at] ^= 0x10
		if err := os.WriteFile(newest, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(newest), ".snap")
		if r, err := server.Fsck(n.DataDir()); err != nil || !strings.Contains(strings.Join(r.Problems, "\n"), name) {
			t.Errorf("byte %d of %d: fsck says %v, %v", at, len(raw), r.Problems, err)
		}
		logged := logSize(t, n)
		err := n.TryStart()
		if err == nil {
			t.Fatalf("byte %d of %d: the node starts", at, len(raw))
		}
		if !strings.Contains(err.Error()+logSince(t, n, logged), name) {
			t.Errorf("byte %d of %d: the snapshot is not named: %v", at, len(raw), err)
		}
	}
	reseed(t, c, n, key)
}

// TestDamagedSnapshotIsPassedOver damages the newest snapshot of a node whose log reaches back to the
// one before: it starts from that one, says so, and is none the worse.
func TestDamagedSnapshotIsPassedOver(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Nodes: 1, Config: manySnapshots(10_000)})
	n := c.Nodes[0]
	key := createKey(t, n.Client(), "before")
	twoSnapshots(t, c, n)
	ctx := background(t)
	before, err := n.Client().ListKeys(ctx, &kms.ListRequest{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	n.Stop()
	files := snapshots(t, n)
	newest := files[len(files)-1]
	raw, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 0x01
	if err := os.WriteFile(newest, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	logged := logSize(t, n)
	n.Start()
	n.Unseal()
	n.WaitServing()
	if said := logSince(t, n, logged); !strings.Contains(said, strings.TrimSuffix(filepath.Base(newest), ".snap")) {
		t.Error("the log does not name the snapshot")
	}
	after, err := n.Client().ListKeys(ctx, &kms.ListRequest{Limit: 1000})
	if err != nil || !slices.Equal(after.Keys, before.Keys) {
		t.Errorf("%d keys, before %d, %v", len(after.Keys), len(before.Keys), err)
	}
	if err := roundTrip(ctx, key, n.Client(), n.Client()); err != nil {
		t.Error(err)
	}
}

func logSize(t *testing.T, n *cluster.Node) int { return len(logSince(t, n, 0)) }

// logSince returns what the node has logged after that many bytes.
func logSince(t *testing.T, n *cluster.Node, from int) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(n.Dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw[from:])
}
