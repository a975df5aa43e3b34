package service

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"

	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/kms"
)

// Each node signs the head of its audit trail and leaves it in the replicated state, in one record that each head
// overwrites: what the files said then, nobody who has only the files can take back.

func anchorUses(all map[*kms.Operation]*use) {
	all[kms.OpGetAuditCheckpoint] = reading(unchecked[kms.Empty], auditCheckpoint)
}

// auditCheckpoint answers the latest head of every node that ever had one.
func auditCheckpoint(r *request, _ *kms.Empty) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	anchors, err := r.view.AuditAnchors()
	answer := &kms.AuditCheckpointAnswer{ClusterID: r.view.ClusterID(), Anchors: []kms.AuditAnchorEntry{}}
	for _, a := range anchors {
		if a.Seq > 0 {
			key := a.Key()
			answer.Anchors = append(answer.Anchors, kms.AuditAnchorEntry{Node: a.Node, PublicKey: key.Public().(ed25519.PublicKey),
				Seq: a.Seq, Hash: chain.Hash(a.Hash).String(), Time: kms.Time(a.Signed)})
			clear(key)
		}
		clear(a.Seed)
	}
	return answer, err
}

// AuditAnchor returns what the cluster keeps of this node's audit trail. The first time, it makes the node's audit key.
// The caller wipes the seed.
func (s *Service) AuditAnchor(ctx context.Context) (*kms.AuditAnchor, error) {
	hold, err := s.Catalog.Hold()
	if err != nil {
		return nil, err
	}
	defer hold.Release()
	r := s.background(ctx, hold)
	_, err = r.commit(ctx, func() (*change, error) {
		a, err := r.view.AuditAnchor(s.Node)
		if err != nil || a != nil {
			if a != nil {
				clear(a.Seed)
			}
			return nil, err
		}
		a = &kms.AuditAnchor{Schema: 1, Node: s.Node, Seed: make(kms.Sensitive, ed25519.SeedSize)}
		defer clear(a.Seed)
		rand.Read(a.Seed)
		return r.anchor("audit.key_created", a)
	})
	if err != nil {
		return nil, err
	}
	return r.view.AuditAnchor(s.Node)
}

// AnchorAudit replaces this node's anchor by a later head of its trail.
func (s *Service) AnchorAudit(ctx context.Context, head chain.Head) error {
	hold, err := s.Catalog.Hold()
	if err != nil {
		return err
	}
	defer hold.Release()
	r := s.background(ctx, hold)
	_, err = r.commit(ctx, func() (*change, error) {
		a, err := r.view.AuditAnchor(s.Node)
		if err != nil {
			return nil, err
		}
		if a == nil {
			return nil, kms.Errorf(kms.CodeNotFound, "The node's audit key is gone.")
		}
		defer clear(a.Seed)
		a.Seq, a.Hash, a.Signed = head.Seq, head.Hash[:], head.Time
		return r.anchor("audit.anchored", a)
	})
	return err
}

// anchor plans the write of an anchor.
func (r *request) anchor(event string, a *kms.AuditAnchor) (*change, error) {
	ref := r.view.IDs().AuditAnchor(a.Node)
	c := &change{event: event}
	c.guard(r.view.Guard(ref))
	return c, c.put(r, ref, a)
}
