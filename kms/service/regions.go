package service

import (
	"slices"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// A multi-Region key is one key in each of several served regions, with the same id and the same material
// records. Each has its own state, policy, aliases, grants, tags and description; what they share is
// written for all of them in one transaction, which guards all of them.

func regionUses(all map[*kms.Operation]*use) {
	all[kms.OpReplicateKey] = changing(checkReplicate, replicateKey, replayReplicate)
	all[kms.OpUpdatePrimaryRegion] = changing(checkPromote, updatePrimaryRegion, replayKey)
}

// multiRegion describes what a multi-Region key belongs to.
func (r *request) multiRegion(k *kms.Key) *kms.MultiRegionConfiguration {
	in := func(region string) kms.RegionalKey {
		s := kms.Scope{Account: k.Scope.Account, Region: region}
		return kms.RegionalKey{ARN: kms.ARN(r.Partition, s, "key/"+k.ID), Region: region}
	}
	m := &kms.MultiRegionConfiguration{MultiRegionKeyType: "REPLICA", PrimaryKey: in(k.MultiRegion.Primary), ReplicaKeys: []kms.RegionalKey{}}
	if k.Primary() {
		m.MultiRegionKeyType = "PRIMARY"
	}
	for _, region := range k.MultiRegion.Regions {
		if region != k.MultiRegion.Primary {
			m.ReplicaKeys = append(m.ReplicaKeys, in(region))
		}
	}
	return m
}

// related returns the keys of the other regions, and guards them for a change.
func (r *request) related(k *catalog.Key, c *change) ([]*catalog.Key, error) {
	if k.MultiRegion == nil {
		return nil, nil
	}
	var all []*catalog.Key
	for _, region := range k.MultiRegion.Regions {
		if region == k.Scope.Region {
			continue
		}
		other, err := r.view.Key(kms.Scope{Account: k.Scope.Account, Region: region}, k.Raw)
		if err != nil {
			return nil, notFound(err, "The key of region %s is not there.", region)
		}
		all = append(all, other)
		if c != nil {
			c.guard(other.Guard())
		}
	}
	return all, nil
}

// primaryOf returns the primary key of a replica, nil for every other key.
func (r *request) primaryOf(k *catalog.Key) (*catalog.Key, error) {
	if !k.Replica() {
		return nil, nil
	}
	primary, err := r.view.Key(kms.Scope{Account: k.Scope.Account, Region: k.MultiRegion.Primary}, k.Raw)
	return primary, notFound(err, "The primary key is not there.")
}

// beginPrimary is begin for what only primary keys can do.
func (r *request) beginPrimary(event string) (*catalog.Key, *change, error) {
	k, c, err := r.begin(event)
	if err == nil && !k.Primary() {
		err = kms.Errorf(kms.CodeUnsupported, "%s is not a multi-region primary key.", k.ARN)
	}
	return k, c, err
}

func (r *request) checkRegion(field, region string) error {
	if region == "" {
		return constraint(field, "Member must not be null")
	}
	if !slices.Contains(r.Regions, region) {
		return kms.Errorf(kms.CodeValidation, "The region %s is not served.", kms.Printable(region))
	}
	return nil
}

func checkReplicate(r *request, q *kms.ReplicateKeyRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	for _, err := range []error{
		r.checkRegion("replicaRegion", q.ReplicaRegion), checkDescription(q.Description), checkTags(q.Tags), r.checkPolicy(q.Policy),
	} {
		if err != nil {
			return err
		}
	}
	r.note("replicaRegion", q.ReplicaRegion)
	r.note("description", q.Description)
	r.noteMap("tags", q.Tags)
	r.noteDocument("policy", q.Policy)
	r.noteTrue("bypassPolicyLockoutSafetyCheck", q.BypassPolicyLockoutSafetyCheck)
	return nil
}

// replicateKey makes a replica. Imported material has to be imported into it too, as at AWS.
func replicateKey(r *request, q *kms.ReplicateKeyRequest) (*change, error) {
	k, c, err := r.beginPrimary("key.replicated")
	if err != nil {
		return nil, err
	}
	s := kms.Scope{Account: k.Scope.Account, Region: q.ReplicaRegion}
	if err := r.allowIn(s.Region, "kms:CreateKey"); err != nil {
		return nil, err
	}
	if slices.Contains(k.MultiRegion.Regions, q.ReplicaRegion) {
		return nil, kms.Errorf(kms.CodeAlreadyExists, "The region %s has a key %s already.", q.ReplicaRegion, k.ID)
	}
	if len(k.MultiRegion.Regions) >= maxKeyRegions {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The key %s is in %d regions, which is the limit.", k.ARN, maxKeyRegions)
	}
	replica := kms.Key{
		Schema: 1, Scope: s, ID: k.ID, State: kms.StateEnabled, Spec: k.Spec, Usage: k.Usage, Origin: k.Origin,
		Description: q.Description, Tags: q.Tags, Created: r.now(), DefaultPolicy: true, Materials: slices.Clone(k.Materials),
	}
	if k.Origin == kms.OriginExternal {
		replica.State = kms.StatePendingImport
		for i := range replica.Materials {
			forget(&replica.Materials[i])
		}
		if k.Announced != nil {
			announced := *k.Announced
			forget(&announced)
			replica.Announced = &announced
		}
	}
	regions := append(slices.Clone(k.MultiRegion.Regions), q.ReplicaRegion)
	slices.Sort(regions)
	together := &kms.MultiRegion{Primary: k.Scope.Region, Regions: regions}
	replica.MultiRegion = together
	c.guard(catalog.Absent(r.view.IDs().Key(s, k.ID)))
	if err := r.mayTag(&replica, q.Tags); err != nil {
		return nil, err
	}
	document, err := r.newPolicy(&replica, q.Policy, q.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	if err := r.writePolicy(c, &replica, "", document); err != nil {
		return nil, err
	}
	if err := r.writeNewKey(c, &replica); err != nil {
		return nil, err
	}
	if err := r.relate(c, k, together); err != nil {
		return nil, err
	}
	c.answer = r.replicaAnswer(&replica, document)
	return c, nil
}

// forget marks material as not imported.
func forget(m *kms.Material) { m.Missing, m.Expires = true, 0 }

// relate writes the relation into a key and all that it is related to now.
func (r *request) relate(c *change, k *catalog.Key, together *kms.MultiRegion) error {
	related, err := r.related(k, c)
	if err != nil {
		return err
	}
	for _, one := range append([]*catalog.Key{k}, related...) {
		changed := one.Key
		changed.MultiRegion = together
		if err := r.writeKey(c, &changed); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) replicaAnswer(k *kms.Key, document string) *kms.ReplicateKeyAnswer {
	return &kms.ReplicateKeyAnswer{Key: r.metadata(k).Key, Policy: r.policyAnswer(k, document).Policy, Tags: k.Tags}
}

// replayReplicate answers the replica that an earlier request made; it was written first.
func replayReplicate(r *request, rs *records) (any, error) {
	k, err := record[kms.Key](rs, fsm.KindKey)
	if err != nil {
		return nil, err
	}
	primary := kms.KeyRef{ID: k.ID}
	if _, err := r.useKey(primary, r.op.Action, nil); err != nil {
		return nil, err
	}
	return r.replicaAnswer(k, string(r.call.Request.(*kms.ReplicateKeyRequest).Policy)), nil
}

func checkPromote(r *request, q *kms.UpdatePrimaryRegionRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if err := r.checkRegion("primaryRegion", q.PrimaryRegion); err != nil {
		return err
	}
	r.note("primaryRegion", q.PrimaryRegion)
	return nil
}

// updatePrimaryRegion makes a replica the primary key. Rotation goes with it.
func updatePrimaryRegion(r *request, q *kms.UpdatePrimaryRegionRequest) (*change, error) {
	k, c, err := r.beginPrimary("key.primary_moved")
	if err != nil {
		return nil, err
	}
	if q.PrimaryRegion == k.Scope.Region || !slices.Contains(k.MultiRegion.Regions, q.PrimaryRegion) {
		return nil, kms.Errorf(kms.CodeUnsupported, "%s has no replica key in region %s.", k.ARN, q.PrimaryRegion)
	}
	related, err := r.related(k, c)
	if err != nil {
		return nil, err
	}
	together := &kms.MultiRegion{Primary: q.PrimaryRegion, Regions: k.MultiRegion.Regions}
	former := k.Key
	former.MultiRegion, former.Rotation, former.OnDemand = together, nil, 0
	if err := r.writeKey(c, &former); err != nil {
		return nil, err
	}
	for _, one := range related {
		changed := one.Key
		changed.MultiRegion = together
		if one.Scope.Region == q.PrimaryRegion {
			if err := r.allowKey(one, r.op.Action, "", nil); err != nil {
				return nil, err
			}
			if err := kms.CheckState(r.op.States, one.State, one.ARN); err != nil {
				return nil, err
			}
			changed.Rotation, changed.OnDemand = k.Rotation, k.OnDemand
		}
		if err := r.writeKey(c, &changed); err != nil {
			return nil, err
		}
	}
	c.answer = r.metadata(&former)
	return c, nil
}
