package server

import (
	"context"
	"crypto/fips140"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/sys"
	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/metrics"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
	"github.com/lockstep-kms/lockstep/server/replica"
	"github.com/lockstep-kms/lockstep/storage"
	"github.com/lockstep-kms/lockstep/transport"
)

// sealConfigID names the one record of kind seal config.
const sealConfigID fsm.ID = "seal"

// node is what the system door and the cluster operations act on: this node's seal, its place in
// the cluster, and the relay of shares to the others.
type node struct {
	cfg       Config
	version   string
	log       *slog.Logger
	dir       *storage.Dir
	fsm       *fsm.FSM
	catalog   *catalog.Catalog
	replica   *replica.Replica
	transport *transport.Transport
	unsealer  *seal.Unsealer
	relay     *seal.Relay
	audit     *audit.Log
	events    *events
	service   *service.Service
	anchors   *anchors
	gossip    *transport.Gossip
	metrics   *metrics.Metrics
	gates     map[string]*door.Gate // by the name of their queue in the metrics; immutable once the API is open
	clientCA  *x509.CertPool        // of operators' client certificates; nil: none

	opening sync.Mutex // held while a barrier is being put to use or taken away
	sealed  atomic.Pointer[sealRecord]
	sealing sealings
}

// sealRecord is the decoded seal configuration of one revision.
type sealRecord struct {
	revision uint64
	config   seal.Config
	err      error
}

// sealConfig returns the cluster's seal configuration; revision 0 means that there is none.
func (n *node) sealConfig() (seal.Config, uint64, error) {
	rec, ok := n.fsm.View().Get(fsm.KindSealConfig, sealConfigID)
	if !ok {
		return seal.Config{}, 0, nil
	}
	if got := n.sealed.Load(); got != nil && got.revision == rec.Revision {
		return got.config, got.revision, got.err
	}
	c, err := seal.DecodeConfig(rec.Body)
	n.sealed.Store(&sealRecord{revision: rec.Revision, config: c, err: err})
	return c, rec.Revision, err
}

// initialized reports whether the cluster has keys, also on a node that has just been started and
// knows it only from its data directory.
func (n *node) initialized(revision uint64) bool { return revision > 0 || n.dir.ClusterID() != "" }

// errNoSealConfig says why there is nothing to unseal.
func (n *node) errNoSealConfig() error {
	if n.initialized(0) {
		return kms.Errorf(kms.CodeUnavailable, "This node has not heard from the cluster since it was started; it can be unsealed once a leader is in contact.")
	}
	return kms.Errorf(kms.CodeNotInitialized, "The cluster is not initialized yet; run 'lockstep operator init'.")
}

// bindDirectory writes the cluster's id into the data directory as soon as the log tells it, so that
// this directory is never used for another cluster. It ends then, or with ctx.
func (n *node) bindDirectory(ctx context.Context) {
	feed := n.fsm.Subscribe(1)
	defer feed.Close()
	for n.dir.ClusterID() == "" {
		if c, revision, err := n.sealConfig(); err == nil && revision > 0 {
			if err := n.dir.SetClusterID(hex.EncodeToString(c.ClusterID[:])); err != nil {
				n.log.Error("the data directory could not be bound to the cluster", "error", err)
				return
			}
			n.transport.Recheck()
			return
		}
		if _, err := feed.Next(ctx); err != nil {
			return
		}
	}
}

// Health implements sys.Node.
func (n *node) Health() sys.Health { return n.health(n.replica.Status()) }

// health is Health by what the replica says.
func (n *node) health(st replica.Status) sys.Health {
	_, revision, configErr := n.sealConfig()
	h := sys.Health{Name: n.cfg.Name, Version: n.version, Initialized: n.initialized(revision), Sealed: n.catalog.Sealed(),
		Leader: st.Leader, LeaderName: st.LeaderName, CanWrite: st.CanWrite, AppliedIndex: st.Applied, LagSeconds: st.Lag.Seconds(), FIPS: fips140.Enabled()}
	lease := n.replica.Lease()
	blocked := n.audit.Blocked()
	h.CanServeCrypto = h.Initialized && !h.Sealed && lease == nil && !blocked
	switch {
	case !h.Initialized:
		h.Reason = string(kms.CodeNotInitialized)
	case configErr != nil:
		h.Reason = "seal_config"
	case st.Quarantined != "":
		h.Reason = string(replica.KindQuarantined)
	case st.DiskTrouble != "":
		h.Reason = string(replica.KindDisk)
	case h.Sealed:
		h.Reason = string(kms.CodeSealed)
	case blocked:
		h.Reason = string(kms.CodeAuditBlocked)
	case st.Split:
		h.Reason = string(replica.KindSplit)
	case lease != nil:
		h.Reason = string(kms.CodeNoLease)
	case !st.CanWrite:
		h.Reason = string(kms.CodeNoQuorum)
	case !st.ClockOK:
		h.Reason = "clock"
	}
	h.CanWrite = h.CanWrite && h.Initialized && !h.Sealed && !blocked
	return h
}

// SealStatus implements sys.Node.
func (n *node) SealStatus() sys.SealStatus {
	c, revision, err := n.sealConfig()
	if revision == 0 || err != nil {
		return sys.SealStatus{Initialized: n.initialized(revision), Sealed: true}
	}
	return n.status(c, n.unsealer.Status(c))
}

func (n *node) status(c seal.Config, p seal.Progress) sys.SealStatus {
	s := sys.SealStatus{Initialized: true, Sealed: n.catalog.Sealed(), Threshold: int(c.Threshold), Shares: int(c.Shares),
		Progress: p.Progress, AttemptLabel: p.AttemptLabel}
	if !p.ExpiresAt.IsZero() {
		at := p.ExpiresAt.UTC().Truncate(time.Second)
		s.ExpiresAt = &at
	}
	return s
}

// Init implements sys.Node: it makes the keys, the operator account and its first access key in one
// transaction that is guarded by what it replaces, so of two racing calls one wins.
func (n *node) Init(ctx context.Context, who sys.Caller, r *sys.InitRequest) (*sys.InitAnswer, error) {
	rec := n.called(ctx, who, eventInit, audit.Int("shares", int64(r.Shares)), audit.Int("threshold", int64(r.Threshold)), audit.Bool("again", r.Again))
	m, err := n.initialize(ctx, who, r, *rec)
	defer m.wipe()
	if blocked := n.recorded(ctx, rec, err); blocked != nil {
		if err == nil {
			blocked = kms.Errorf(kms.CodeAuditBlocked, "The cluster was initialized, but the audit record could not be written, so shares and access key are withheld. Once records can be written, --again with the init token replaces them.").WithCause(blocked)
		}
		return nil, blocked
	}
	answer := &sys.InitAnswer{AccessKeyID: m.first.AccessKeyID, SecretAccessKey: kms.SensitiveString(m.first.Secret)}
	for _, s := range m.shares {
		answer.Shares = append(answer.Shares, kms.SensitiveString(s))
	}
	return answer, nil
}

// made is what an init made and nobody else has.
type made struct {
	shares []secret.Bytes
	first  *service.First // nil when it was not made
}

func (m made) wipe() {
	for _, s := range m.shares {
		s.Wipe()
	}
	if m.first != nil {
		m.first.Secret.Wipe()
	}
}

// initialize makes the first records and proposes them. Before that it writes a record of its own: what
// cannot be audited is not begun. The caller wipes what was made, also with an error.
func (n *node) initialize(ctx context.Context, who sys.Caller, r *sys.InitRequest, rec audit.Record) (m made, err error) {
	if err := n.mayInit(who, r); err != nil {
		return m, err
	}
	if len(r.Recipients) > 0 {
		return m, kms.Errorf(kms.CodeUnsupported, "This release does not encrypt shares to recipients; leave recipients out.")
	}
	old, revision, err := n.sealConfig()
	if err != nil {
		return m, err
	}
	params := seal.Params{Shares: r.Shares, Threshold: r.Threshold, AllowSingle: n.cfg.Dev, AllowUnlocked: n.cfg.AllowUnlockedMemory}
	var c seal.Config
	var barrier *seal.Barrier
	switch {
	case revision == 0 && n.initialized(revision):
		return m, n.errNoSealConfig()
	case revision == 0:
		c, m.shares, barrier, err = seal.Initialize(params)
	case !r.Again || old.Activated:
		return m, errAlreadyInitialized(old.Activated)
	default:
		c, m.shares, barrier, err = seal.ReInitialize(old, params)
	}
	if err != nil {
		return m, err
	}
	defer barrier.Wipe()
	txn, first, err := n.firstTransaction(c, barrier, revision)
	if err != nil {
		return m, err
	}
	m.first = first
	rec.Parameters = append(rec.Parameters, audit.Pair{Key: "phase", Value: "begin"})
	if err := n.write(ctx, &rec, nil); err != nil {
		return m, err
	}
	out, err := n.replica.Propose(ctx, txn)
	if err != nil {
		return m, kmsError(err)
	}
	switch out.Status {
	case fsm.Applied, fsm.Repeated:
	default:
		return m, errAlreadyInitialized(false)
	}
	n.log.InfoContext(ctx, "the cluster was initialized", "shares", r.Shares, "threshold", r.Threshold, "again", r.Again)
	return m, nil
}

func errAlreadyInitialized(activated bool) error {
	if activated {
		return kms.Errorf(kms.CodeAlreadyInitialized, "The cluster is initialized and has been unsealed; its keys cannot be made again.")
	}
	return kms.Errorf(kms.CodeAlreadyInitialized, "The cluster is initialized. If the answer was lost, --again with the init token replaces everything until the first unseal.")
}

// mayInit asks for the init token off loopback, and for replacing an earlier init wherever a token is configured.
func (n *node) mayInit(who sys.Caller, r *sys.InitRequest) error {
	if who.Loopback && (!r.Again || n.cfg.InitToken == "") {
		return nil
	}
	if n.cfg.InitToken == "" {
		return kms.Errorf(kms.CodeAccessDenied, "This node has no init_token in its configuration, so it can be initialized from loopback only.")
	}
	if !secret.Equal([]byte(r.InitToken), []byte(n.cfg.InitToken)) {
		return kms.Errorf(kms.CodeAccessDenied, "Initializing asks for the init_token of the node's configuration (--init-token).")
	}
	return nil
}

// firstTransaction seals the first records. When it replaces an earlier init (revision > 0) it also
// deletes that one's records, which nobody can read any more.
func (n *node) firstTransaction(c seal.Config, b *seal.Barrier, revision uint64) (*fsm.Txn, *service.First, error) {
	view := n.fsm.View()
	next := max(view.Index(), revision) + 1
	first, err := service.FirstRecords(b, n.cfg.OperatorAccountID, n.replica.LogNow(), view.Index())
	if err != nil {
		return nil, nil, err
	}
	body, err := c.Encode()
	if err != nil {
		return nil, nil, err
	}
	txn := &fsm.Txn{Event: "cluster.initialized", Based: n.replica.LogNow(),
		Guards: []fsm.Guard{{Kind: fsm.KindSealConfig, ID: sealConfigID, Revision: revision}},
		Writes: append([]fsm.Write{{Kind: fsm.KindSealConfig, ID: sealConfigID, Revision: next, Body: body}}, first.Writes...)}
	for _, kind := range []fsm.Kind{fsm.KindAccount, fsm.KindIdentity, fsm.KindCredential} {
		view.Ascend(kind, "", func(id fsm.ID, rec fsm.Record) bool {
			txn.Writes = append(txn.Writes, fsm.Write{Kind: kind, ID: id, Revision: max(rec.Revision, view.Index()) + 1, Term: rec.Term, Delete: true, Body: []byte{0}})
			return true
		})
	}
	if _, err := rand.Read(txn.ID[:]); err != nil {
		return nil, nil, err
	}
	return txn, first, nil
}

// Unseal implements sys.Node.
func (n *node) Unseal(ctx context.Context, who sys.Caller, share string, cluster bool, attempt string) (*sys.UnsealAnswer, error) {
	if err := n.audit.Healthy(); err != nil {
		return nil, err
	}
	rec := n.called(ctx, who, eventUnseal, audit.Bool("cluster", cluster))
	answer, err := n.unseal(ctx, share, cluster, attempt)
	if err != nil {
		noteSeal(rec, n.SealStatus())
	} else {
		noteSeal(rec, answer.SealStatus)
	}
	if err := n.recorded(ctx, rec, err); err != nil {
		return nil, err
	}
	return answer, nil
}

func (n *node) unseal(ctx context.Context, share string, cluster bool, attempt string) (*sys.UnsealAnswer, error) {
	c, revision, err := n.sealConfig()
	if err != nil {
		return nil, err
	}
	if revision == 0 {
		return nil, n.errNoSealConfig()
	}
	p, err := n.submit(ctx, c, share, attempt, 0)
	if cluster && (err == nil || kms.CodeOf(err) == kms.CodeShareDuplicate) {
		// A share that this node has already may still be missing elsewhere.
		if relayErr := n.relay.Add(c, share); relayErr != nil && err == nil {
			err = relayErr
		}
	}
	if err != nil {
		return nil, err
	}
	if !n.catalog.Sealed() && cluster {
		p.Progress = n.relay.Held()
	}
	return &sys.UnsealAnswer{SealStatus: n.status(c, p), AttemptID: p.AttemptID}, nil
}

// submit gives this node one share, which was given to the cluster that long ago; on a node that is
// unsealed the share is checked and changes nothing.
func (n *node) submit(ctx context.Context, c seal.Config, share, attempt string, age time.Duration) (seal.Progress, error) {
	if !n.catalog.Sealed() {
		return seal.Progress{Threshold: int(c.Threshold), Shares: int(c.Shares)}, c.CheckShare(share)
	}
	var p seal.Progress
	var barrier *seal.Barrier
	seals, err := n.sealing.since(age, func() (err error) {
		p, barrier, err = n.unsealer.Submit(c, share, attempt)
		return err
	})
	if err != nil {
		return p, err
	}
	n.log.InfoContext(ctx, "a share was accepted", "progress", p.Progress, "threshold", int(c.Threshold), "attempt", p.AttemptLabel)
	if barrier == nil {
		return p, nil
	}
	return p, n.open(ctx, c, barrier, seals)
}

// sealings is when this node was last sealed on purpose, so that shares given before then do not unseal
// it again: neither those that another node still relays, nor those on their way inside this one.
type sealings struct {
	mu    sync.Mutex
	count int       // guarded by mu
	last  time.Time // guarded by mu; with a monotonic reading
}

// since runs f, beside no sealing, and returns how often this node was sealed; it refuses when the
// last time was less than age ago.
func (s *sealings) since(age time.Duration, f func() error) (count int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count > 0 && time.Since(s.last) <= age {
		return s.count, errSealedSince()
	}
	return s.count, f()
}

// add notes that the node is sealed now and runs f, which forgets shares.
func (s *sealings) add(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count, s.last = s.count+1, time.Now()
	f()
}

// same reports whether the node was not sealed since it had been that often.
func (s *sealings) same(count int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count == count
}

func errSealedSince() error {
	return kms.Errorf(kms.CodeConflict, "The node was sealed after this key share was given; give the shares again to unseal it.")
}

// open puts a barrier to use that c's shares gave when the node had been sealed so often. The first
// unseal of a cluster is recorded before anything is opened: from then on init cannot replace the keys.
func (n *node) open(ctx context.Context, c seal.Config, b *seal.Barrier, seals int) error {
	n.opening.Lock()
	defer n.opening.Unlock()
	if !n.catalog.Sealed() {
		b.Wipe()
		return nil
	}
	err := n.activate(ctx, c, b)
	if err == nil && !n.sealing.same(seals) {
		err = errSealedSince()
	}
	if err != nil {
		b.Wipe()
		return err
	}
	if err := n.catalog.Unseal(ctx, b); err != nil { // which has wiped b
		return kms.AsError(err)
	}
	n.log.InfoContext(ctx, "the node is unsealed")
	n.tell(eventUnsealed)
	n.anchors.wake()
	return nil
}

// activate records that shares of the set that was unsealed; on success b has the keys of the
// cluster, which nothing replaces any more.
func (n *node) activate(ctx context.Context, was seal.Config, b *seal.Barrier) error {
	for {
		c, revision, err := n.sealConfig()
		switch {
		case err != nil:
			return err
		case c.SetID != was.SetID:
			return kms.Errorf(kms.CodeShareSuperseded, "A newer set of key shares has replaced this one meanwhile; give shares of that set.")
		case c.Activated:
			return b.Verify(c)
		}
		marked, err := b.MarkActivated(c)
		if err != nil {
			return err
		}
		body, err := marked.Encode()
		if err != nil {
			return err
		}
		txn := &fsm.Txn{Event: "seal.activated", Based: n.replica.LogNow(),
			Guards: []fsm.Guard{{Kind: fsm.KindSealConfig, ID: sealConfigID, Revision: revision}},
			Writes: []fsm.Write{{Kind: fsm.KindSealConfig, ID: sealConfigID, Revision: max(revision, n.fsm.View().Index()) + 1, Body: body}}}
		if _, err := rand.Read(txn.ID[:]); err != nil {
			return err
		}
		out, err := n.replica.Propose(ctx, txn)
		if err != nil {
			return kmsError(err)
		}
		if out.Status == fsm.Applied || out.Status == fsm.Repeated {
			return nil
		}
		// Somebody else changed the configuration; once that is applied here the loop sees it.
		if err := n.fsm.Wait(ctx, out.Index); err != nil {
			return kms.Errorf(kms.CodeUnavailable, "The node did not catch up in time; give the shares again.").WithCause(err)
		}
	}
}

// CancelUnseal implements sys.Node.
func (n *node) CancelUnseal(ctx context.Context, who sys.Caller, attempt string) error {
	if err := n.audit.Healthy(); err != nil {
		return err
	}
	rec := n.called(ctx, who, eventCancel)
	noteSeal(rec, n.SealStatus())
	return n.recorded(ctx, rec, n.unsealer.Cancel(attempt))
}

// SealedMembers implements sys.Node.
func (n *node) SealedMembers(ctx context.Context, who sys.Caller, chain []*x509.Certificate) (*kms.MembersAnswer, error) {
	rec := n.called(ctx, who, kms.OpReadMembers.Name)
	rec.ReadOnly = true
	answer, err := n.sealedMembers(ctx, chain, &rec.Identity)
	if err := n.recorded(ctx, rec, err); err != nil {
		return nil, err
	}
	return answer, nil
}

// sealedMembers fills who with the operator that a certificate of the configured client CA names.
func (n *node) sealedMembers(ctx context.Context, chain []*x509.Certificate, who *audit.Identity) (*kms.MembersAnswer, error) {
	roots := n.clientCA
	if roots == nil {
		roots = x509.NewCertPool() // nobody's word counts
	}
	_, err := auth.VerifyClient(chain, roots, time.Now())
	var id transport.Identity
	if err == nil {
		id, err = transport.IdentityOf(chain[0])
	}
	if err != nil || id.Role != transport.RoleOperator {
		return nil, kms.Errorf(kms.CodeUnauthenticated, "While the node is sealed, the members are shown to an operator's client certificate only ('lockstep cert operator').")
	}
	*who = audit.Identity{Type: "Operator", PrincipalID: id.Name}
	members, err := n.Members(ctx)
	return &kms.MembersAnswer{Members: members}, err
}

// Members implements service.Cluster.
func (n *node) Members(ctx context.Context) ([]kms.Member, error) {
	members, err := n.replica.Members(ctx)
	if err != nil {
		return nil, kmsError(err)
	}
	out := make([]kms.Member, 0, len(members))
	for _, m := range members {
		out = append(out, kms.Member{ID: m.ID, Name: m.Name, APIAddr: m.APIAddr, Voter: m.Voter, Leader: m.Leader,
			Sealed: m.Sealed, Healthy: m.Healthy, AppliedIndex: m.Applied, Version: m.Version})
	}
	return out, nil
}

// AllowMember implements service.Cluster.
func (n *node) AllowMember(ctx context.Context, name string) (uint64, error) {
	index, err := n.replica.Allow(ctx, name)
	return index, kmsError(err)
}

// RemoveMember implements service.Cluster.
func (n *node) RemoveMember(ctx context.Context, name string) (uint64, error) {
	index, err := n.replica.Remove(ctx, name)
	return index, kmsError(err)
}

// Seal implements service.Cluster. This node is sealed last.
func (n *node) Seal(ctx context.Context, cluster bool) (kms.SealAnswer, error) {
	answer := kms.SealAnswer{Sealed: []string{n.cfg.Name}}
	if cluster {
		n.relay.Drop()
		names := n.otherMembers(ctx)
		errs := make([]error, len(names))
		var wg sync.WaitGroup
		for i, name := range names {
			wg.Go(func() { errs[i] = n.sealMember(ctx, name) })
		}
		wg.Wait()
		for i, name := range names {
			if errs[i] != nil {
				n.log.WarnContext(ctx, "a member could not be sealed", "member", name, "error", errs[i])
				answer.Unreachable = append(answer.Unreachable, name)
				continue
			}
			answer.Sealed = append(answer.Sealed, name)
		}
	}
	n.sealLocal(ctx, n.cfg.Name)
	return answer, nil
}

// sealMember seals another node, which has its running requests to end.
func (n *node) sealMember(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	_, err := n.transport.Call(ctx, name, methodSeal, nil)
	return err
}

// sealLocal seals this node: it forgets every share, takes no new requests, gives running ones a grace,
// then wipes everything. One that is sealed already forgets shares all the same. by is the node that was asked to.
func (n *node) sealLocal(ctx context.Context, by string) {
	n.relay.Drop()
	n.sealing.add(n.unsealer.Close)
	n.opening.Lock()
	defer n.opening.Unlock()
	if n.catalog.Sealed() {
		return
	}
	if n.replica.Status().CanWrite { // nothing delays an emergency
		n.writeUsage(context.WithoutCancel(ctx), usageGrace)
	}
	n.catalog.Seal()
	n.anchors.forget()
	n.log.InfoContext(ctx, "the node is sealed", "by", by)
	n.tell(eventSealed, audit.Pair{Key: "reason", Value: "asked by " + by})
}
