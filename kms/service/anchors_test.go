package service_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"

	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// Every node has an audit key of its own, and one record that each head overwrites.
func TestAuditAnchors(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	nodes := []*servicetest.Node{w.Node, w.Cluster.Node(servicetest.Options{})}
	ctx := context.Background()
	checkpoint := func() *kms.AuditCheckpointAnswer {
		t.Helper()
		return w.must(t, w.Root, kms.OpGetAuditCheckpoint, &kms.Empty{}).(*kms.AuditCheckpointAnswer)
	}
	if got := checkpoint(); len(got.Anchors) != 0 || len(got.ClusterID) != 32 {
		t.Errorf("before there is a head: %+v", got)
	}
	keys := map[string]ed25519.PublicKey{}
	for _, n := range nodes {
		first, err := n.AuditAnchor(ctx)
		if err != nil || first.Seq != 0 {
			t.Fatalf("%+v, %v", first, err)
		}
		again, err := n.AuditAnchor(ctx)
		if err != nil || string(again.Seed) != string(first.Seed) {
			t.Fatalf("%s has another key the second time (%v)", n.Name, err)
		}
		keys[n.Name] = first.Key().Public().(ed25519.PublicKey)
	}
	if keys[nodes[0].Name].Equal(keys[nodes[1].Name]) {
		t.Error("two nodes have one audit key")
	}
	if got := checkpoint(); len(got.Anchors) != 0 {
		t.Errorf("keys without a head are anchors: %+v", got)
	}
	for seq := uint64(1); seq <= 3; seq++ {
		for _, n := range nodes {
			head := chain.Head{Node: n.Name, Seq: seq, Hash: sha256.Sum256([]byte(n.Name)), Time: int64(1000 * seq)}
			if err := n.AnchorAudit(ctx, head); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := checkpoint()
	if len(got.Anchors) != 2 {
		t.Fatalf("%+v", got)
	}
	for i, n := range nodes {
		name := n.Name
		a := got.Anchors[i]
		if a.Node != name || a.Seq != 3 || a.Hash != chain.Hash(sha256.Sum256([]byte(name))).String() || a.Time != kms.Time(3000) || !keys[name].Equal(ed25519.PublicKey(a.PublicKey)) {
			t.Errorf("%+v", a)
		}
	}
	records := 0
	w.State().Ascend(fsm.KindAuditAnchor, "", func(fsm.ID, fsm.Record) bool { records++; return true })
	if records != 2 {
		t.Errorf("%d records for two nodes", records)
	}
	_, err := w.Do(w.alice, kms.OpGetAuditCheckpoint, &kms.Empty{})
	want(t, "a tenant's root", err, kms.CodeAccessDenied)
}
