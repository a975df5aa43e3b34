package server

import (
	"context"
	"crypto/ed25519"
	"sync"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/kms"
)

const (
	anchorEvery = time.Minute
	anchorRetry = 5 * time.Second // after one that failed
	anchorGrace = time.Second     // for the last one before the node stops
	probeEvery  = time.Second     // while no records can be written

	// eventLost tells that records which the cluster knows to have been written are not in the files.
	eventLost = "AuditRecordsLost"
)

// anchors keeps this node's audit trail signed while the node is unsealed, and its latest head in the replicated state.
// Nothing waits for it: what is missed is reported, and the next head covers it.
type anchors struct {
	node     *node
	wakeUp   chan struct{} // buffered 1
	compared bool          // owned by who runs anchor: what was found at the start was held against the anchor

	mu       sync.Mutex  // sealing waits for it: nothing is written under it
	signer   *headSigner // guarded by mu; nil while sealed, and until the key is known
	anchored chain.Head  // guarded by mu: what the replicated state has
}

func newAnchors(n *node) *anchors { return &anchors{node: n, wakeUp: make(chan struct{}, 1)} }

// openAnchors begins to sign and to anchor.
func (s *Server) openAnchors() {
	a := s.node.anchors
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.run(ctx) }()
	s.closeLater("audit anchors", func() error {
		cancel()
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), anchorGrace)
		defer cancel()
		if s.node.replica.Status().CanWrite {
			_ = a.anchor(ctx) // what it misses is signed after the next start
		}
		a.forget()
		return nil
	})
}

// unfit implements replica.Config.Unfit: a leader that cannot write its audit records refuses everything.
func (n *node) unfit() string {
	if n.audit.Blocked() {
		return "this node cannot write its audit records"
	}
	return ""
}

// run signs and anchors every minute. While records cannot be written it finds out when they can again: nobody else may ask.
func (a *anchors) run(ctx context.Context) {
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-probe.C:
			if a.node.audit.Blocked() {
				_ = a.node.audit.Healthy()
			}
			continue
		case <-a.wakeUp:
		case <-due.C:
		}
		wait := anchorEvery
		if err := a.anchor(ctx); err != nil {
			wait = anchorRetry
			a.node.log.Warn("the head of the audit trail could not be anchored; the next one will cover it", "error", err)
		}
		due.Reset(wait)
	}
}

// wake has the head signed now: the node was unsealed.
func (a *anchors) wake() {
	select {
	case a.wakeUp <- struct{}{}:
	default:
	}
}

// anchor signs the head and leaves it in the replicated state. A sealed node does nothing.
func (a *anchors) anchor(ctx context.Context) error {
	if a.node.catalog.Sealed() {
		return nil
	}
	if err := a.learn(ctx); err != nil {
		return unlessSealed(err)
	}
	head, signed, err := a.node.audit.SignHead()
	if err != nil || !signed {
		return err
	}
	if err := a.node.service.AnchorAudit(ctx, head); err != nil {
		return unlessSealed(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.anchored = head
	return nil
}

func unlessSealed(err error) error {
	if kms.CodeOf(err) == kms.CodeSealed {
		return nil
	}
	return err
}

// learn gets the node's audit key, once, and holds what the files had at the start against the anchor.
func (a *anchors) learn(ctx context.Context) error {
	a.mu.Lock()
	known := a.signer != nil
	a.mu.Unlock()
	if known {
		return nil
	}
	anchor, err := a.node.service.AuditAnchor(ctx)
	if err != nil {
		return err
	}
	defer clear(anchor.Seed)
	if !a.compared {
		if err := a.compare(anchor); err != nil {
			return err
		}
		a.compared = true
	}
	view := a.node.catalog.View()
	if view == nil {
		return nil
	}
	signer := &headSigner{cluster: view.ClusterID(), node: a.node.cfg.Name, key: anchor.Key()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.node.catalog.Sealed() { // forget has run, or will and then sees this one
		signer.wipe()
		return nil
	}
	a.signer = signer
	a.anchored = chain.Head{Cluster: signer.cluster, Node: anchor.Node, Seq: anchor.Seq, Hash: hashOf(anchor), Time: anchor.Signed}
	a.node.audit.SetSigner(signer)
	return nil
}

func hashOf(a *kms.AuditAnchor) (h chain.Hash) {
	copy(h[:], a.Hash)
	return h
}

// compare tells of records that the cluster knows this node to have written and that its files did not have when it was
// started: power failed before they were on the disk, or somebody cut them off.
func (a *anchors) compare(anchor *kms.AuditAnchor) error {
	found := a.node.audit.Found()
	hash := hashOf(anchor)
	if anchor.Seq < found.Seq || anchor.Seq == found.Seq && hash == found.Hash {
		return nil
	}
	from := found.Seq + 1
	if anchor.Seq == found.Seq {
		from = anchor.Seq // it is there, and is another one
	}
	a.node.log.Error("audit records that were written before are not in the audit file: power failed, or they were removed",
		"from", from, "to", anchor.Seq, "signed", kms.Time(anchor.Signed))
	return a.node.audit.Event(eventLost, audit.Int("fromSeq", int64(from)), audit.Int("toSeq", int64(anchor.Seq)),
		audit.Pair{Key: "anchorHash", Value: hash.String()}, audit.Int("anchorTime", anchor.Signed))
}

// forget wipes the key: the catalog is sealed, or the node stops. It waits for no sink.
func (a *anchors) forget() {
	a.node.audit.SetSigner(nil)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.signer != nil {
		a.signer.wipe()
		a.signer = nil
	}
}

// Anchored returns the head that the replicated state has of this node, as far as this node knows: Seq 0 before the first.
func (a *anchors) Anchored() chain.Head {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.anchored
}

// headSigner signs heads with the node's audit key.
type headSigner struct {
	cluster, node string // immutable

	mu  sync.Mutex
	key ed25519.PrivateKey // guarded by mu; nil once it is wiped
}

// Sign implements audit.Signer: no signature once the key is wiped.
func (s *headSigner) Sign(seq uint64, hash chain.Hash, at time.Time) (chain.Head, ed25519.PublicKey, []byte) {
	head := chain.Head{Cluster: s.cluster, Node: s.node, Seq: seq, Hash: hash, Time: at.UnixMilli()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key == nil {
		return head, nil, nil
	}
	return head, s.key.Public().(ed25519.PublicKey), head.Sign(s.key)
}

func (s *headSigner) wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.key)
	s.key = nil
}
