package service

import (
	"context"
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// Each node remembers in memory when and by whom its keys were used, and writes what it knows into the
// keys' usage records once an hour. Whoever has to know it now asks the other members besides.

// knownUsage returns what the record of a key's use says and what this node remembers beside it. A record that
// does not open says nothing; the next write mends it. Uses were noted by this node's clock: none is later than log
// time, so that one clock that is ahead does not outlast all later uses.
func (r *request) knownUsage(k *catalog.Key) (kms.Usage, error) {
	u := k.Used()
	noLater(&u, r.now())
	written, _, err := r.view.Usage(k)
	if kms.CodeOf(err) == kms.CodeSealed {
		return u, err
	}
	if err != nil {
		r.Logger.ErrorContext(r.ctx, "the record of a key's use does not open", "key", k.ARN, "error", err)
	}
	if written == nil {
		return u, nil
	}
	return catalog.MergeUsage(*written, u), nil
}

// noLater moves uses that are later than a time to it.
func noLater(u *kms.Usage, at int64) {
	for _, uses := range [][]kms.KeyUse{u.Operations, u.Callers} {
		for i := range uses {
			uses[i].At = min(uses[i].At, at)
		}
	}
}

// clusterUsage returns what all members know of a key's use, asked once for a request, and how many did not
// answer.
func (r *request) clusterUsage(k *catalog.Key) (u kms.Usage, silent int, err error) {
	if u, err = r.knownUsage(k); err != nil {
		return u, 0, err
	}
	if !r.asked {
		r.asked = true
		if err := r.askUsage(k); err != nil {
			return u, 0, err
		}
	}
	for _, other := range r.others {
		noLater(&other, r.now())
		u = catalog.MergeUsage(u, other)
	}
	return u, r.silent, nil
}

// writeUsage writes the record of a key's use, unless there is nothing to write.
func (r *request) writeUsage(c *change, k *catalog.Key, u kms.Usage) error {
	if len(u.Operations) == 0 {
		return nil
	}
	ref := r.view.IDs().Usage(k.Scope, k.ID)
	c.guard(r.view.Guard(ref))
	u.Schema, u.Scope, u.KeyID = 1, k.Scope, k.ID
	return c.put(r, ref, &u)
}

// useEntries renders uses, latest first.
func useEntries(uses []kms.KeyUse) []kms.UseEntry {
	all := make([]kms.UseEntry, len(uses))
	for i, u := range uses {
		all[i] = kms.UseEntry{Operation: u.Operation, At: kms.Time(u.At), EventID: u.EventID, RequestID: u.RequestID, PrincipalARN: u.Principal}
	}
	slices.SortStableFunc(all, func(a, b kms.UseEntry) int { return b.At.Compare(a.At) })
	return all
}

// lastUse returns the latest use, nil when there was none.
func lastUse(u kms.Usage) *kms.UseEntry {
	if all := useEntries(u.Operations); len(all) > 0 {
		return &all[0]
	}
	return nil
}

func lastUsage(r *request, _ *kms.KeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	u, silent, err := r.clusterUsage(k)
	if err != nil {
		return nil, err
	}
	created := kms.Time(k.Created)
	return &kms.KeyLastUsageAnswer{KeyID: k.ARN, KeyCreationDate: created, TrackingStartDate: created, LastUse: lastUse(u),
		Operations: useEntries(u.Operations), RecentCallers: useEntries(u.Callers), SilentNodes: silent}, nil
}

// askUsage asks the other members.
func (r *request) askUsage(k *catalog.Key) (err error) {
	r.silent, err = askMembers(r, question{Usage: &usageQuestion{Scope: k.Scope, KeyID: k.ID}}, func(u kms.Usage) bool {
		ours := u.Scope == k.Scope && u.KeyID == k.ID
		if ours {
			r.others = append(r.others, u)
		}
		return ours
	})
	return err
}

// usageBatch is how many records of use one transaction writes: each has up to about 8 KB.
const usageBatch = 16

// WriteUsage writes what this node remembers of the use of keys since it was last called. A node calls it once
// an hour and before it is sealed or stops. What could not be written is remembered for the next time, and so
// are uses that come while it writes.
func (s *Service) WriteUsage(ctx context.Context) error {
	view := s.Catalog.View()
	if view == nil {
		return nil
	}
	for left := view.UsedKeys(); left > 0; left -= usageBatch {
		if err := s.writeUsageBatch(ctx, min(left, usageBatch)); err != nil {
			return err
		}
	}
	return s.writeAccessKeyUse(ctx)
}

// writeAccessKeyUse writes what this node remembers of the use of access keys.
func (s *Service) writeAccessKeyUse(ctx context.Context) error {
	hold, err := s.Catalog.Hold()
	if err != nil {
		return err
	}
	defer hold.Release()
	r := s.background(ctx, hold)
	for ids := range slices.Chunk(r.view.UsedAccessKeys(), accessKeyBatch) { // those used meanwhile wait for the next time
		uses := map[string]int64{}
		for _, id := range ids {
			uses[id] = r.view.AccessKeyUsed(id).At
		}
		if _, err := r.commit(ctx, func() (*change, error) { return r.planAccessKeyUse(ids) }); err != nil {
			return err
		}
		for id, at := range uses {
			r.view.AccessKeyWritten(id, at)
		}
	}
	return nil
}

// accessKeyBatch is how many records of access keys one transaction writes.
const accessKeyBatch = 64

// planAccessKeyUse writes the last use of access keys that are still there, where it is later than what is written. Uses
// were noted by this node's clock: none is later than log time.
func (r *request) planAccessKeyUse(ids []string) (*change, error) {
	c := &change{event: "access_key.usage_noted"}
	for _, id := range ids {
		k, err := r.view.AccessKey(id)
		if err != nil {
			continue // it is gone, or nobody can read it
		}
		last := r.view.AccessKeyUsed(id)
		last.At = min(last.At, r.now())
		written, err := r.view.AccessKeyUsage(k)
		if kms.CodeOf(err) == kms.CodeSealed {
			return nil, err
		}
		if err == nil && written.At >= last.At {
			continue
		}
		ref := r.view.IDs().AccessKeyUsage(k.Account, id)
		c.guard(k.Guard(), r.view.Guard(ref))
		if err := c.put(r, ref, last.Usage(k)); err != nil {
			return nil, err
		}
	}
	if len(c.writes) == 0 {
		return nil, nil
	}
	return c, nil
}

func (s *Service) writeUsageBatch(ctx context.Context, n int) error {
	hold, err := s.Catalog.Hold()
	if err != nil {
		return err
	}
	defer hold.Release()
	r := s.background(ctx, hold)
	keys := r.view.DrainUse(n)
	if _, err = r.commit(ctx, func() (*change, error) { return r.planUsage(keys) }); err != nil {
		for _, k := range keys {
			k.KeepUse()
		}
	}
	return err
}

// planUsage merges what is remembered into the records of keys that are still there.
func (r *request) planUsage(keys []*catalog.Key) (*change, error) {
	c := &change{event: "key.usage_noted"}
	for _, k := range keys {
		k, err := r.view.Key(k.Scope, k.Raw)
		if err != nil {
			continue // it is gone, or nobody can read it
		}
		u, err := r.knownUsage(k)
		if err != nil {
			return nil, err
		}
		c.guard(k.Guard()) // a key that is destroyed meanwhile leaves no record of its use behind
		if err := r.writeUsage(c, k, u); err != nil {
			return nil, err
		}
	}
	if len(c.writes) == 0 {
		return nil, nil
	}
	return c, nil
}
