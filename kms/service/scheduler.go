package service

import (
	"context"
	"errors"
	"slices"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// The scheduler rotates, expires and destroys what is due. It runs wherever the leader is. When something
// is due stands in the key's record, and whoever does it guards that record: two leaders, or one that lost an
// answer, never do it twice. Nothing is done before a majority of the voters say that its time has come.

const (
	dueBatch      = 1 << 17 // keys that one run looks at: those that fail again and again stand before the others
	destroyBatch  = 200     // grants or materials that one transaction deletes
	systemSource  = "lockstep"
	manyMaterials = 100
)

// background returns a request of the node itself. It has no principal and is not authenticated.
func (s *Service) background(ctx context.Context, hold catalog.Hold) *request {
	r := &request{Service: s, ctx: ctx, call: &Call{Source: systemSource}, hold: hold, held: true, started: s.Now()}
	r.look()
	return r
}

// commit decides, proposes and decides again until a decision holds. A nil change is none: there is nothing to do.
func (r *request) commit(ctx context.Context, plan func() (*change, error)) (done bool, err error) {
	for range maxAttempts {
		c, err := plan()
		if err != nil || c == nil {
			return false, err
		}
		txn := fsm.Txn{ID: newTxnID(), Event: c.event, Based: r.now(), Writes: c.writes, ScopeGuards: c.below, Guards: r.guards(c.guards)}
		outcome, err := r.Replica.Propose(ctx, &txn)
		if err != nil {
			r.unheard = nodeWide(err)
			return false, err
		}
		r.look()
		switch outcome.Status {
		case fsm.Applied, fsm.Repeated:
			return true, nil
		case fsm.Conflict, fsm.Stale:
		default:
			return false, refused(outcome)
		}
	}
	return false, errContended()
}

// auditEvent writes the record of what the cluster did, or may have done, by itself: later if it cannot be now.
func (r *request) auditEvent(name string, s kms.Scope, arn string, err error) error {
	rec := audit.Record{
		Time: r.Now(), RequestID: r.call.RequestID, Source: "kms.amazonaws.com", Name: name, Region: s.Region, SourceIP: systemSource, UserAgent: systemSource,
		Identity: audit.Identity{Type: "Service", PrincipalID: r.Node, AccountID: s.Account}, Recipient: s.Account,
		Service: true, Details: texts("keyId", arn), Resources: []audit.Resource{{ARN: arn, AccountID: s.Account, Type: typeKey}},
		Node: r.Node, Epoch: r.epoch, Index: r.index, TraceID: r.served.Request.Trace.String(),
	}
	if p := r.principal; p != nil { // who caused it
		rec.Identity = identityOf(p, r.started)
		rec.SourceIP, rec.UserAgent = r.call.Source, r.call.UserAgent
	}
	if err != nil {
		e := kms.AsError(err)
		rec.ErrorCode, rec.ErrorMessage = string(e.Code), e.Message
	}
	blocked := r.Audit.Append(&rec)
	if blocked != nil {
		r.Audit.Later(rec)
	}
	return blocked
}

// RunDue does what is due. The leader calls it again and again; a node that does not lead does nothing. It
// returns the first error, after it has tried the other keys.
func (s *Service) RunDue(ctx context.Context) error {
	view := s.Catalog.View()
	if view == nil {
		return nil
	}
	var first error
	for _, k := range view.Due(max(s.Replica.LogNow(), view.LogTime()), dueBatch) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !s.Replica.Due(k.Due()) {
			continue
		}
		if unheard, err := s.runKey(ctx, k.Scope, k.Raw); err != nil {
			if unheard || concernsAll(err) {
				return err
			}
			s.Logger.WarnContext(ctx, "scheduled work on a key failed and is tried again", "key", k.ARN, "error", err)
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// nodeWide reports whether an error of proposing is the node's, not the transaction's: the next would meet it too.
func nodeWide(err error) bool {
	switch kms.CodeOf(err) {
	case kms.CodeNoQuorum, kms.CodeThrottled, kms.CodeUnavailable:
		return true
	}
	return false
}

// concernsAll reports whether an error will meet every other key too.
func concernsAll(err error) bool {
	switch kms.CodeOf(err) {
	case kms.CodeSealed, kms.CodeAuditBlocked: // not CodeUnavailable: that is a record of this key
		return true
	}
	return false
}

// runKey does what is due of one key, one thing after the other. It says whether an error is one of proposing that
// other keys would meet too.
func (s *Service) runKey(ctx context.Context, scope kms.Scope, raw [16]byte) (unheard bool, err error) {
	for {
		if err := s.Audit.Healthy(); err != nil {
			return false, err
		}
		hold, err := s.Catalog.Hold()
		if err != nil {
			return false, err
		}
		r := s.background(ctx, hold)
		r.scope = scope
		done, err := r.runStep(ctx, raw)
		hold.Release()
		if err != nil || !done {
			return r.unheard, err
		}
	}
}

// runStep does the first thing that is due of a key, if there is one, and records it.
func (r *request) runStep(ctx context.Context, raw [16]byte) (done bool, err error) {
	var next step
	done, err = r.commit(ctx, func() (*change, error) {
		if next, err = r.nextStep(raw); err != nil || next.plan == nil {
			return nil, err
		}
		c := &change{event: next.change, guards: []fsm.Guard{next.key.Guard()}}
		return c, next.plan(r, c, next.key)
	})
	r.generated.Wipe()
	if next.event != "" {
		r.Observer.Scheduled(next.event, kms.CodeOf(err))
	} else if err != nil && next.plan != nil { // a part of a deletion, which cannot go on
		r.Observer.Scheduled(kms.EventDeleteKey, kms.CodeOf(err))
	}
	unknown := kms.CodeOf(err) == kms.CodeOutcomeUnknown
	if next.event == "" || !done && !unknown {
		return done, err
	}
	if done {
		r.Logger.InfoContext(r.ctx, "scheduled work is done", "event", next.event, "key", next.key.ARN)
	}
	// What may have been done has a record too: nobody finds it due again, to write one later.
	if blocked := r.auditEvent(next.event, r.scope, next.key.ARN, err); err == nil {
		err = blocked
	}
	return done, err
}

// step is one thing that is due of a key.
type step struct {
	key    *catalog.Key
	change string // event name of the transaction
	event  string // of the audit record; "" for one that goes on
	plan   func(*request, *change, *catalog.Key) error
}

// nextStep returns what is due first of a key, on the request's view.
func (r *request) nextStep(raw [16]byte) (step, error) {
	k, err := r.view.Key(r.scope, raw)
	if errors.Is(err, catalog.ErrNotFound) {
		return step{}, nil
	}
	if err != nil {
		return step{}, err
	}
	due := func(at int64) bool { return at > 0 && r.now() >= at && r.Replica.Due(at) }
	switch {
	case k.State == kms.StatePendingDeletion && due(k.Deletion):
		return r.destroyStep(k), nil
	case expired(k, due) != "":
		return step{k, "key.material_expired", kms.EventDeleteExpiredKeyMaterial, func(r *request, c *change, k *catalog.Key) error {
			changed := k.Key
			return r.dropMaterial(c, k, &changed, expired(k, due))
		}}, nil
	case k.Rotation != nil && k.State == kms.StateEnabled && due(k.Rotation.Next):
		return step{k, "key.rotated", kms.EventRotateKey, rotateDue}, nil
	}
	return step{}, nil
}

// expired returns the id of imported material whose time has come, or "".
func expired(k *catalog.Key, due func(int64) bool) string {
	all := k.Materials
	if k.Announced != nil {
		all = append(slices.Clone(all), *k.Announced)
	}
	for i := range all {
		if !all[i].Missing && due(all[i].Expires) {
			return all[i].ID
		}
	}
	return ""
}

// rotateDue gives a key new material when its period is over. The next date counts from this one, not from when it
// was done, unless that has passed too.
func rotateDue(r *request, c *change, k *catalog.Key) error {
	changed := k.Key
	period := int64(k.Rotation.Period) * day
	next := k.Rotation.Next + period
	if now := r.now(); next <= now {
		next = now + period
	}
	changed.Rotation = &kms.Rotation{Period: k.Rotation.Period, Next: next}
	related, err := r.related(k, c)
	if err != nil {
		return err
	}
	return r.rotate(c, k, &changed, related, kms.RotationAutomatic)
}

// destroyStep returns the next part of a key's destruction. Its grants and most of many materials go first,
// in transactions of their own, and then the key with what is left. Nobody can cancel any more, so it does not
// matter where another leader goes on.
func (r *request) destroyStep(k *catalog.Key) step {
	grants := len(r.view.Grants(k.Scope, k.Raw, "", 1)) > 0
	materials := len(k.Materials) > manyMaterials && !r.sharesMaterial(k) && len(r.liveMaterials(k)) > manyMaterials
	switch {
	case (grants || materials) && !k.Destroying:
		return step{k, "key.destroying", "", beginDestruction}
	case grants:
		return step{k, "grant.deleted", "", destroyGrants}
	case materials:
		return step{k, "key.material_deleted", "", destroyMaterials}
	}
	return step{k, "key.destroyed", kms.EventDeleteKey, destroyKey}
}

// beginDestruction says in the key's record that it is going in parts.
func beginDestruction(r *request, c *change, k *catalog.Key) error {
	changed := k.Key
	changed.Destroying = true
	return r.writeKey(c, &changed)
}

// sharesMaterial reports whether keys of other regions need the material.
func (r *request) sharesMaterial(k *catalog.Key) bool {
	return k.MultiRegion != nil && len(k.MultiRegion.Regions) > 1
}

// liveMaterials returns the materials of a key that have a record.
func (r *request) liveMaterials(k *catalog.Key) []kms.Material {
	all := slices.Clone(k.Materials)
	if k.Announced != nil {
		all = append(all, *k.Announced)
	}
	return slices.DeleteFunc(all, func(m kms.Material) bool { return !r.view.Has(r.view.IDs().Material(m.ID)) })
}

func destroyGrants(r *request, c *change, k *catalog.Key) error {
	for _, g := range r.view.Grants(k.Scope, k.Raw, "", destroyBatch) {
		// What is left is small: grants can be so large that few would fit into a transaction.
		left := &kms.Grant{Schema: 1, Scope: g.Scope, KeyID: g.KeyID, ID: g.ID, GranteePrincipal: g.GranteePrincipal, RetiringPrincipal: g.RetiringPrincipal}
		if err := c.delete(r, fsm.Ref{Kind: fsm.KindGrant, ID: g.Record}, left); err != nil {
			return err
		}
	}
	return nil
}

func destroyMaterials(r *request, c *change, k *catalog.Key) error {
	live := r.liveMaterials(k)
	for _, m := range live[:min(len(live), destroyBatch)] {
		if err := r.deleteMaterial(c, k.Raw, m.Version, m.ID); err != nil {
			return err
		}
	}
	return nil
}

// destroyKey deletes a key, its aliases, policy, usage and, unless other regions need it, its material.
func destroyKey(r *request, c *change, k *catalog.Key) error {
	ids := r.view.IDs()
	left := k.Key
	left.Description, left.Tags = "", nil
	if err := c.delete(r, ids.Key(k.Scope, k.ID), &left); err != nil {
		return err
	}
	if !k.DefaultPolicy {
		if err := c.delete(r, ids.Policy(k.Scope, k.ID), &kms.Policy{Schema: 1, Scope: k.Scope, KeyID: k.ID}); err != nil {
			return err
		}
	}
	// Guarded, so that no alias and no record of use that comes meanwhile outlives the key.
	c.below = append(c.below, r.view.Unchanged(ids.AliasesOf(k.Scope, k.ID)))
	c.guard(r.view.Guard(ids.Usage(k.Scope, k.ID)))
	for _, a := range r.view.AliasesOf(k.Scope, k.Raw, "", maxAliasesOfKey) {
		if err := c.delete(r, fsm.Ref{Kind: fsm.KindAlias, ID: a.Record}, &a.Alias); err != nil {
			return err
		}
	}
	if ref := ids.Usage(k.Scope, k.ID); r.view.Has(ref) {
		if err := c.delete(r, ref, &kms.Usage{Schema: 1, Scope: k.Scope, KeyID: k.ID}); err != nil {
			return err
		}
	}
	return r.leaveRelated(c, k)
}

// leaveRelated takes a key that is destroyed out of its multi-Region key, and deletes material that no key has any
// more. The window of a primary key that waited for its last replica begins.
func (r *request) leaveRelated(c *change, k *catalog.Key) error {
	related, err := r.related(k, c)
	if err != nil {
		return err
	}
	for _, other := range related {
		changed := other.Key
		left := slices.DeleteFunc(slices.Clone(k.MultiRegion.Regions), func(region string) bool { return region == k.Scope.Region })
		changed.MultiRegion = &kms.MultiRegion{Primary: k.MultiRegion.Primary, Regions: left}
		if changed.State == kms.StatePendingReplicaDeletion && len(left) == 1 {
			changed.State, changed.Deletion = kms.StatePendingDeletion, r.now()+int64(changed.Window)*day
		}
		if err := r.writeKey(c, &changed); err != nil {
			return err
		}
	}
	for _, m := range r.liveMaterials(k) {
		held := slices.ContainsFunc(related, func(other *catalog.Key) bool {
			has, there := other.MaterialVersion(m.Version)
			return there && has.ID == m.ID
		})
		if held {
			continue
		}
		if err := r.deleteMaterial(c, k.Raw, m.Version, m.ID); err != nil {
			return err
		}
	}
	return nil
}
