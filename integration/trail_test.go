package integration

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/audit/verify"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// trailLine is what these tests read of a line of an audit file.
type trailLine struct {
	Name    string `json:"eventName"`
	Details struct {
		AnchorSeq, Missing, HeadSeq uint64
		AnchorHash, HeadHash        string
		HeadTime                    int64
		ClusterID                   string
		PublicKey, Signature        []byte
	} `json:"serviceEventDetails"`
	link chain.Link
}

func readTrail(t *testing.T, n *cluster.Node) (all []trailLine) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(n.Dir, "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var l trailLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.link, err = chain.ReadLink(line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

// anchorOf returns what the cluster has of a node's trail.
func anchorOf(ctx context.Context, c *cluster.Cluster, through, of *cluster.Node) (a kms.AuditAnchorEntry, clusterID string, err error) {
	answer, err := through.Client().GetAuditCheckpoint(ctx)
	if err != nil {
		return a, "", err
	}
	for _, a := range answer.Anchors {
		if a.Node == of.Name {
			return a, answer.ClusterID, nil
		}
	}
	return a, "", fmt.Errorf("no anchor of %s", of.Name)
}

// TestAuditAnchors: every unsealed node signs its trail and anchors it; a node whose file lost records that the cluster
// knows of says so, in the trail itself.
func TestAuditAnchors(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	node, other := c.Followers()[0], c.Leader()
	key := createKey(t, node.Client(), "anchored")
	c.Eventually(30*time.Second, "every node is anchored", func(ctx context.Context) error {
		for _, n := range c.Nodes {
			if _, _, err := anchorOf(ctx, c, other, n); err != nil {
				return err
			}
		}
		return nil
	})
	for range 20 {
		if _, err := node.Client().Encrypt(context.Background(), &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := node.Stop(); err != nil {
		t.Fatal(err)
	}
	anchor, clusterID, err := anchorOf(context.Background(), c, other, node)
	if err != nil {
		t.Fatal(err)
	}
	lines := readTrail(t, node)
	var found bool
	for i, l := range lines {
		if i > 0 && (l.link.Seq != lines[i-1].link.Seq+1 || l.link.Prev != lines[i-1].link.Hash) {
			t.Errorf("line %d does not follow", i+1)
		}
		found = found || l.link.Seq == anchor.Seq && l.link.Hash.String() == anchor.Hash
		if l.Name == "AuditHead" {
			head := chain.Head{Cluster: clusterID, Node: node.Name, Seq: l.Details.HeadSeq, Hash: l.link.Prev, Time: l.Details.HeadTime}
			if l.Details.HeadSeq+1 != l.link.Seq || !head.Verify(ed25519.PublicKey(anchor.PublicKey), l.Details.Signature) {
				t.Errorf("line %d: the head does not verify", i+1)
			}
		}
	}
	last := lines[len(lines)-1]
	if before := lines[len(lines)-2]; !found || anchor.Seq+10 < last.link.Seq || last.Name != "AuditStopped" || before.Name != "AuditHead" {
		t.Errorf("the stop was not anchored and signed: %+v, and the file ends with %s, %s, %d", anchor, before.Name, last.Name, last.link.Seq)
	}

	// Somebody cuts off the end.
	cut := lines[len(lines)-10]
	path := filepath.Join(node.Dir, "audit.jsonl")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keep := bytes.SplitAfter(raw, []byte("\n"))[:len(lines)-9]
	if err := os.WriteFile(path, bytes.Join(keep, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	node.Start()
	node.Unseal()
	c.Eventually(30*time.Second, "the loss is recorded, and signed over", func(ctx context.Context) error {
		now, _, err := anchorOf(ctx, c, other, node)
		if err != nil {
			return err
		}
		told := uint64(0)
		for _, l := range readTrail(t, node) {
			if l.Name == "AuditAnchorFound" && l.Details.AnchorSeq == anchor.Seq && l.Details.AnchorHash == anchor.Hash && l.Details.Missing == anchor.Seq-cut.link.Seq {
				told = l.link.Seq
			}
		}
		if told == 0 || now.Time.Equal(anchor.Time) || now.Seq < told {
			return fmt.Errorf("told at %d, anchored %+v", told, now)
		}
		return nil
	})
}

// TestRotationIsAnchored: the head that ends a rotated file is followed by one that is anchored at once, not at the next minute.
func TestRotationIsAnchored(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: func(_ int, cfg *server.Config) { cfg.Audit.MaxSize = 1 << 20 }})
	node, other := c.Followers()[0], c.Leader()
	key := createKey(t, node.Client(), "rotated")
	var before uint64
	c.Eventually(30*time.Second, "the node is anchored", func(ctx context.Context) error {
		a, _, err := anchorOf(ctx, c, other, node)
		before = a.Seq
		return err
	})
	rotated := func() int {
		files, err := filepath.Glob(filepath.Join(node.Dir, "audit-*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	long := map[string]string{"context": strings.Repeat("x", 1000), "more": strings.Repeat("y", 1000), "most": strings.Repeat("z", 1000)}
	for calls := 0; rotated() == 0; calls++ {
		if _, err := node.Client().Encrypt(t.Context(), &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x"), EncryptionContext: long}); err != nil {
			t.Fatal(err)
		}
		if calls > 2000 {
			t.Fatal("the file was not rotated")
		}
	}
	c.Eventually(20*time.Second, "the head of the rotated file is anchored", func(ctx context.Context) error {
		a, _, err := anchorOf(ctx, c, other, node)
		if err == nil && a.Seq < before+100 {
			err = fmt.Errorf("anchored up to %d, it was %d before", a.Seq, before)
		}
		return err
	})
}

// TestLeaderThatCannotAuditHandsOver: a leader whose records cannot be written refuses everything, so another one leads; it
// serves again by itself.
func TestLeaderThatCannotAuditHandsOver(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Config: func(_ int, cfg *server.Config) {
		cfg.Audit.File = filepath.Join(filepath.Dir(cfg.DataDir), "audit", "audit.jsonl")
	}})
	leader := c.Leader()
	key := createKey(t, leader.Client(), "audited")
	dir := filepath.Join(leader.Dir, "audit")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	encrypt := func(ctx context.Context, n *cluster.Node) error {
		_, err := n.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
		return err
	}
	if err := encrypt(context.Background(), leader); kms.CodeOf(err) != kms.CodeAuditBlocked {
		t.Fatalf("without audit files: %v", err)
	}
	c.Eventually(30*time.Second, "another node leads and takes writes", func(ctx context.Context) error {
		for _, n := range c.Nodes {
			if h, err := n.Client().Health(ctx); err == nil && h.Leader && n != leader {
				_, err := n.Client().CreateKey(ctx, &kms.CreateKeyRequest{})
				return err
			}
		}
		return errors.New("no other leads")
	})
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	c.Eventually(30*time.Second, "it serves again", func(ctx context.Context) error { return encrypt(ctx, leader) })
}

// TestTrailOfCrashes: a node that is killed again and again, sealed or not, leaves a trail that verifies.
func TestTrailOfCrashes(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Processes: true})
	n := c.Followers()[0]
	key := createKey(t, n.Client(), "crashes")
	encrypt := func(ctx context.Context) error {
		_, err := n.Client().Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
		return err
	}
	anchored := func(after uint64) (seq uint64) {
		c.Eventually(30*time.Second, "the trail is anchored", func(ctx context.Context) error {
			a, _, err := anchorOf(ctx, c, c.Leader(), n)
			if seq = a.Seq; err == nil && seq <= after {
				err = fmt.Errorf("at %d", seq)
			}
			return err
		})
		return seq
	}
	last := anchored(0)
	for _, sealed := range []int{0, 2} { // how often it is killed before it is unsealed
		for range sealed {
			n.Kill()
			n.Start()
			c.Eventually(30*time.Second, "it is up", func(ctx context.Context) error {
				h, err := n.Client().Health(ctx)
				if err == nil && !h.Initialized {
					err = errors.New("not initialized yet")
				}
				return err
			})
			if err := encrypt(background(t)); kms.CodeOf(err) != kms.CodeSealed {
				t.Errorf("a sealed node: %v", err)
			}
		}
		if sealed > 0 {
			n.Unseal()
			n.WaitServing()
			last = anchored(last)
		}
		for range 3 {
			if err := encrypt(background(t)); err != nil {
				t.Fatal(err)
			}
		}
		verified(t, c, n)
	}
}

// verified holds a node's trail against the cluster's checkpoint.
func verified(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	t.Helper()
	answer, err := c.Leader().Client().GetAuditCheckpoint(background(t))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := verify.ParseCheckpoint(raw)
	if err != nil {
		t.Fatal(err)
	}
	file := verify.File{Name: "audit.jsonl", Open: func() (io.ReadCloser, error) { return os.Open(filepath.Join(n.Dir, "audit.jsonl")) }}
	report, err := verify.Files([]verify.File{file}, verify.Options{Checkpoint: checkpoint})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range report.Nodes {
		if node.Fault != nil {
			t.Errorf("%+v", *node.Fault)
		}
	}
}
