package server

import (
	"context"
	"crypto/ed25519"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/chain"
	"github.com/lockstep-kms/lockstep/kms"
)

const (
	anchorEvery = time.Minute
	anchorRetry = 5 * time.Second // after one that the cluster did not take
	anchorGrace = time.Second     // for the last one before the node stops
	probeEvery  = time.Second     // while no records can be written

	// eventAnchor tells, once a start, which head the cluster had of this node's trail. Signed by the next head, it is what a
	// trail that was rewritten while the node did not run is convicted by.
	eventAnchor = "AuditAnchorFound"
)

// anchors keeps this node's audit trail signed while the node is unsealed, and its latest head in the replicated state.
// Nothing waits for it: what is missed is reported, and the next head covers it.
type anchors struct {
	node     *node
	wakeUp   chan struct{} // buffered 1
	compared bool          // owned by who runs anchor: what was found at the start was held against the anchor
	signed   chain.Head    // owned by who runs anchor: the latest that is on the disk and not anchored yet; Seq 0: there is none
	seen     atomic.Uint64 // up to where the trail was signed when anchor last looked

	mu       sync.Mutex  // sealing waits for it: nothing is written under it
	signer   *headSigner // guarded by mu; nil while sealed, and until the key is known
	anchored chain.Head  // guarded by mu: what the replicated state has
}

func newAnchors(n *node) *anchors { return &anchors{node: n, wakeUp: make(chan struct{}, 1)} }

// openAnchors begins to sign and to anchor. The key is wiped after the audit log is closed, which signs its last records.
func (s *Server) openAnchors() {
	a := s.node.anchors
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.run(ctx) })
	running.Go(func() { a.probe(ctx) })
	s.closeLater("audit anchors", func() error {
		cancel()
		running.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), anchorGrace)
		defer cancel()
		if s.node.replica.Status().CanWrite {
			_, _ = a.anchor(ctx) // what it misses is signed after the next start
		}
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

// probe finds out, while records cannot be written, when they can again: nobody else may ask. And it has a head anchored that
// was signed by another's doing, since a file was rotated or retention asked for it.
func (a *anchors) probe(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if a.node.audit.Blocked() {
				_ = a.node.audit.Healthy()
			}
			if a.node.audit.Stats().HeadSeq > a.seen.Load() {
				a.wake()
			}
		}
	}
}

// run signs and anchors every minute.
func (a *anchors) run(ctx context.Context) {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wakeUp:
		case <-due.C:
		}
		wait, err := a.anchor(ctx)
		if err != nil {
			a.node.log.Warn("the head of the audit trail could not be anchored; the next one will cover it", "error", err)
		}
		due.Reset(wait)
	}
}

// wake has the head signed and anchored now.
func (a *anchors) wake() {
	select {
	case a.wakeUp <- struct{}{}:
	default:
	}
}

// anchor signs the head and leaves it in the replicated state, and says when to do so next. A sealed node does nothing.
func (a *anchors) anchor(ctx context.Context) (time.Duration, error) {
	if a.node.catalog.Sealed() {
		return anchorEvery, nil
	}
	if err := a.learn(ctx); err != nil {
		return anchorRetry, unlessSealed(err)
	}
	if err := a.sign(); err != nil || a.signed.Seq == 0 {
		return anchorEvery, err // a head may be written each time
	}
	if err := a.node.service.AnchorAudit(ctx, a.signed); err != nil {
		return anchorRetry, unlessSealed(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.anchored, a.signed = a.signed, chain.Head{}
	if a.node.audit.Stats().HeadSeq > a.anchored.Seq { // a later one was signed meanwhile
		a.wake()
	}
	return anchorEvery, nil
}

// sign has the head signed. One that could not be anchored is good for a minute: who tries again and again writes no record
// for each time.
func (a *anchors) sign() error {
	defer func() { a.seen.Store(a.node.audit.Stats().HeadSeq) }()
	if a.signed.Seq > 0 && time.Since(time.UnixMilli(a.signed.Time)).Abs() < anchorEvery {
		return nil
	}
	head, signed, err := a.node.audit.SignHead()
	if err == nil && signed {
		a.signed = head
	}
	return err
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

// compare writes into the trail which head of it the cluster had at this start: the trail must hold that record, which was on
// the disk before it was anchored. The offline check looks for it; what can be seen without reading the files is an alarm at once.
func (a *anchors) compare(anchor *kms.AuditAnchor) error {
	if anchor.Seq == 0 {
		return nil
	}
	found, hash := a.node.audit.Found(), hashOf(anchor)
	missing := uint64(0)
	switch {
	case anchor.Seq > found.Seq:
		missing = anchor.Seq - found.Seq
	case anchor.Seq == found.Seq && hash != found.Hash:
		missing = 1 // it is there, and is another one
	}
	if missing > 0 {
		a.node.log.Error("audit records that this node had signed are not in its audit file: they were cut off or rewritten",
			"records", missing, "up_to", anchor.Seq, "signed", kms.Time(anchor.Signed))
	}
	return a.node.audit.Event(eventAnchor, audit.Int("anchorSeq", int64(anchor.Seq)), audit.Pair{Key: "anchorHash", Value: hash.String()},
		audit.Int("anchorTime", anchor.Signed), audit.Int("missing", int64(missing)))
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
