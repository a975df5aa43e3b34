package service

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
)

func keyUses(all map[*kms.Operation]*use) {
	all[kms.OpCreateKey] = changing(checkCreateKey, createKey, replayKey)
	all[kms.OpDescribeKey] = reading(checkDescribeKey, describeKey)
	all[kms.OpGetKeyLastUsage] = reading(checkKey, lastUsage)
	all[kms.OpListKeys] = reading(checkListKeys, listKeys)
	all[kms.OpEnableKey] = changing(checkKey, setState(kms.StateEnabled, "key.enabled"), replayKey)
	all[kms.OpDisableKey] = changing(checkKey, setState(kms.StateDisabled, "key.disabled"), replayKey)
	all[kms.OpUpdateKeyDescription] = changing(checkDescribe, updateDescription, replayKey)
	all[kms.OpScheduleKeyDeletion] = changing(checkScheduleDeletion, scheduleDeletion, replayDeletion)
	all[kms.OpCancelKeyDeletion] = changing(checkKey, cancelDeletion, replayKey)
}

// metadata describes a key.
func (r *request) metadata(k *kms.Key) *kms.KeyAnswer {
	now := r.now()
	state := k.StateAt(now)
	m := kms.KeyMetadata{
		KeyID:       k.ID,
		ARN:         kms.ARN(r.Partition, k.Scope, "key/"+k.ID),
		AccountID:   k.Scope.Account,
		Region:      k.Scope.Region,
		KeyState:    state,
		Enabled:     state == kms.StateEnabled,
		KeySpec:     k.Spec,
		KeyUsage:    k.Usage,
		Origin:      k.Origin,
		KeyManager:  k.Manager(),
		Description: k.Description,
		MultiRegion: k.MultiRegion != nil,
		CreatedAt:   kms.Time(k.Created),
	}
	if spec, known := k.Spec.Spec(); known {
		switch k.Usage {
		case kms.EncryptDecrypt:
			m.EncryptionAlgorithms = spec.Encryption
		case kms.SignVerify:
			m.SigningAlgorithms = spec.Signing
		case kms.GenerateVerifyMac:
			m.MacAlgorithms = spec.Mac
		case kms.KeyAgreement:
			m.KeyAgreementAlgorithms = spec.Agreement
		case kms.EncapsulateDecapsulate:
			m.EncapsulationAlgorithms = spec.Encapsulation
		}
	}
	if k.Spec == kms.SymmetricDefault {
		m.CurrentKeyMaterialID = k.Current().ID
	}
	switch state {
	case kms.StatePendingDeletion:
		m.DeletionDate = timeOf(k.Deletion)
	case kms.StatePendingReplicaDeletion:
		m.PendingDeletionWindowInDays = k.Window
	}
	describeExpiry(&m, k, now)
	if k.MultiRegion != nil {
		m.MultiRegionConfiguration = r.multiRegion(k)
	}
	return &kms.KeyAnswer{Key: m}
}

// describeExpiry tells when a key of imported material loses some of it first.
func describeExpiry(m *kms.KeyMetadata, k *kms.Key, now int64) {
	if k.Origin != kms.OriginExternal {
		return
	}
	some, first := false, int64(0)
	for i := range k.Materials {
		if one := &k.Materials[i]; present(one, now) {
			some = true
			if one.Expires > 0 && (first == 0 || one.Expires < first) {
				first = one.Expires
			}
		}
	}
	switch {
	case first > 0:
		m.ExpirationModel, m.ValidTo = kms.MaterialExpires, timeOf(first)
	case some:
		m.ExpirationModel = kms.MaterialDoesNotExpire
	}
}

// timeOf returns a time for an answer, nil for 0.
func timeOf(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := kms.Time(ms)
	return &t
}

func checkCreateKey(r *request, q *kms.CreateKeyRequest) error {
	for _, err := range []error{
		optional("keySpec", q.KeySpec, kms.KeySpecs),
		optional("keyUsage", q.KeyUsage, kms.KeyUsages),
		optional("origin", q.Origin, kms.Origins),
		checkDescription(q.Description),
		checkTags(q.Tags),
		r.checkPolicy(q.Policy),
		storeID.check("customKeyStoreId", q.CustomKeyStoreID),
		xksKey.check("xksKeyId", q.XksKeyID),
	} {
		if err != nil {
			return err
		}
	}
	if q.Origin == kms.OriginCloudHSM || q.Origin == kms.OriginExternalKeyStore {
		return errStores("origin is AWS_KMS or EXTERNAL")
	}
	if q.CustomKeyStoreID != "" || q.XksKeyID != "" {
		return errStores("leave CustomKeyStoreId and XksKeyId out")
	}
	spec, usage, origin, err := kindOf(q)
	if err != nil {
		return err
	}
	r.note("keySpec", string(spec))
	r.note("keyUsage", string(usage))
	r.note("origin", string(origin))
	r.note("description", q.Description)
	r.noteMap("tags", q.Tags)
	r.noteDocument("policy", q.Policy)
	r.noteTrue("multiRegion", q.MultiRegion)
	r.noteTrue("bypassPolicyLockoutSafetyCheck", q.BypassPolicyLockoutSafetyCheck)
	return nil
}

// kindOf returns what a request asks for, with the defaults of AWS KMS.
func kindOf(q *kms.CreateKeyRequest) (kms.KeySpec, kms.KeyUsage, kms.Origin, error) {
	name, usage, origin := q.KeySpec, q.KeyUsage, q.Origin
	if name == "" {
		name = kms.SymmetricDefault
	}
	if origin == "" {
		origin = kms.OriginAWSKMS
	}
	if name == kms.SM2 {
		return name, usage, origin, errSM2()
	}
	spec, _ := name.Spec()
	if usage == "" {
		if name != kms.SymmetricDefault {
			return name, usage, origin, kms.Errorf(kms.CodeValidation, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
		}
		usage = kms.EncryptDecrypt
	}
	switch {
	case !spec.Serves(usage):
		return name, usage, origin, kms.Errorf(kms.CodeValidation, "KeyUsage %s is not compatible with KeySpec %s", usage, name)
	case origin == kms.OriginExternal && !spec.Importable:
		return name, usage, origin, kms.Errorf(kms.CodeUnsupported, "Key material of key spec %s cannot be imported.", name)
	}
	return name, usage, origin, material.Served(name)
}

func createKey(r *request, q *kms.CreateKeyRequest) (*change, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	k, err := r.newKey(q)
	if err != nil {
		return nil, err
	}
	if err := r.mayTag(k, q.Tags); err != nil {
		return nil, err
	}
	document, err := r.newPolicy(k, q.Policy, q.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	c := &change{event: "key.created"}
	if err := r.writePolicy(c, k, "", document); err != nil {
		return nil, err
	}
	if err := r.writeNewKey(c, k); err != nil {
		return nil, err
	}
	c.answer = r.metadata(k)
	r.keyResource(k)
	return c, nil
}

// newKey makes the metadata of a key, with one material unless that is imported.
func (r *request) newKey(q *kms.CreateKeyRequest) (*kms.Key, error) {
	spec, usage, origin, err := kindOf(q)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a UUID of version 4
	now := r.now()
	k := &kms.Key{
		Schema: 1, Scope: r.scope, ID: kms.KeyIDFromBytes(id),
		State: kms.StateEnabled, Spec: spec, Usage: usage, Origin: origin,
		Description: q.Description, Tags: q.Tags, Created: now, DefaultPolicy: true,
	}
	if q.MultiRegion {
		k.ID = kms.MultiRegionIDFromBytes(id)
		k.MultiRegion = &kms.MultiRegion{Primary: r.scope.Region, Regions: []string{r.scope.Region}}
	}
	if origin == kms.OriginExternal {
		k.State = kms.StatePendingImport
		return k, nil
	}
	k.Materials = []kms.Material{{Version: 1, ID: newMaterialID(), Created: now}}
	return k, nil
}

// mayTag refuses who may not give a new key tags: identity policies say so, as the key has none yet.
func (r *request) mayTag(k *kms.Key, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	return r.allow(&auth.Query{Action: "kms:TagResource", Resource: kms.ARN(r.Partition, k.Scope, "key/"+k.ID), ResourceAccount: k.Scope.Account}, facts{region: k.Scope.Region})
}

// newMaterialID returns 64 random hex digits.
func newMaterialID() string {
	var id [32]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// writeNewKey writes a key that was not there, within the account's limit, with the material it has.
func (r *request) writeNewKey(c *change, k *kms.Key) error {
	ids := r.view.IDs()
	keys := ids.KeysOf(k.Scope.Account)
	if r.view.Members(keys) >= r.MaxKeys {
		return kms.Errorf(kms.CodeLimitExceeded, "The account has %d keys, which is the limit.", r.MaxKeys)
	}
	c.below = append(c.below, fsm.ScopeGuard{Scope: keys, Below: r.MaxKeys})
	if err := r.writeKey(c, k); err != nil {
		return err
	}
	if k.Origin != kms.OriginAWSKMS || k.Replica() {
		return nil
	}
	plain, err := r.generate(k.Spec)
	if err != nil {
		return err
	}
	return r.writeMaterial(c, k, k.Current(), kms.Sensitive(plain))
}

// writeKey writes the record of a key. Description and tags are bounded in bytes too, so that the records of all
// regions of a key fit into one transaction; in up to four regions, text of one byte a character never gets there.
func (r *request) writeKey(c *change, k *kms.Key) error {
	text, highest := len(k.Description), maxKeyText
	for key, value := range k.Tags {
		text += len(key) + len(value)
	}
	if k.MultiRegion != nil {
		highest = min(highest, maxAllText/len(k.MultiRegion.Regions))
	}
	if text > highest && !k.Destroying {
		return kms.Errorf(kms.CodeLimitExceeded, "The description and tags of this key have at most %d bytes in UTF-8.", highest)
	}
	ids := r.view.IDs()
	return c.put(r, ids.Key(k.Scope, k.ID), k, ids.KeysOf(k.Scope.Account))
}

// writeMaterial writes the record of one material of a key.
func (r *request) writeMaterial(c *change, k *kms.Key, m kms.Material, plain kms.Sensitive) error {
	raw, err := kms.KeyIDBytes(k.ID)
	if err != nil {
		return err
	}
	return c.put(r, r.view.IDs().Material(m.ID), &catalog.Material{Schema: 1, KeyID: raw, Version: m.Version, Plain: plain})
}

// keyResource notes a key that was made, for the audit record; of one that was there it is noted already.
func (r *request) keyResource(k *kms.Key) {
	if r.found == 0 {
		r.resource(kms.ARN(r.Partition, k.Scope, "key/"+k.ID), typeKey)
	}
}

// replayed returns the key that an earlier request made or changed, as it is now or was last.
func (r *request) replayed(rs *records) (*kms.Key, error) {
	k, err := record[kms.Key](rs, fsm.KindKey)
	if err != nil {
		return nil, err
	}
	if r.op == kms.OpCreateKey {
		err = r.allowAll()
	} else {
		_, err = r.useKey(kms.KeyRef{ID: k.ID, Scope: k.Scope}, r.op.Action, nil)
	}
	if err != nil {
		return nil, err
	}
	r.keyResource(k)
	return k, nil
}

func replayKey(r *request, rs *records) (any, error) {
	k, err := r.replayed(rs)
	if err != nil {
		return nil, err
	}
	return r.metadata(k), nil
}

// replayNothing answers a change of a key that answers nothing.
func replayNothing(r *request, rs *records) (any, error) {
	if _, err := r.replayed(rs); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

func checkKey(r *request, q *kms.KeyRequest) error { return r.parseSubject(q.KeyID, nil) }

func checkDescribeKey(r *request, q *kms.DescribeKeyRequest) error {
	return r.parseSubject(q.KeyID, q.GrantTokens)
}

func describeKey(r *request, _ *kms.DescribeKeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	answer := r.metadata(&k.Key)
	u, err := r.knownUsage(k)
	if err != nil {
		return nil, err
	}
	if k.Scope.Account == r.scope.Account { // who uses it is no business of other accounts
		answer.Key.LastUse, answer.Key.RecentCallers = lastUse(u), useEntries(u.Callers)
	}
	return answer, nil
}

// begin resolves and authorizes the key that a change is about, and returns the change with the guards of
// what was read. The key's state allows the operation. Managed keys are changed by the scheduler only.
func (r *request) begin(event string) (*catalog.Key, *change, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, nil, err
	}
	if k.Managed != "" {
		return nil, nil, kms.Errorf(kms.CodeAccessDenied, "User: %s is not authorized to perform: %s on resource: %s because the key is managed: it belongs to %s and is changed by nobody.",
			r.principal.ARN, r.op.Action, k.ARN, k.Managed)
	}
	if err := kms.CheckState(r.op.States, k.State, k.ARN); err != nil {
		return nil, nil, err
	}
	return k, &change{event: event, guards: r.guardKey(k, r.key)}, nil
}

// finish writes the key as it is changed, and answers it.
func (r *request) finish(c *change, k *kms.Key) (*change, error) {
	if c.answer == nil {
		c.answer = r.metadata(k)
	}
	return c, r.writeKey(c, k)
}

// setState moves a key between Enabled and Disabled. A key that is there already is written again:
// the answer tells a state that the log has confirmed.
func setState(to kms.KeyState, event string) func(*request, *kms.KeyRequest) (*change, error) {
	return func(r *request, _ *kms.KeyRequest) (*change, error) {
		k, c, err := r.begin(event)
		if err != nil {
			return nil, err
		}
		changed := k.Key
		changed.State = to
		return r.finish(c, &changed)
	}
}

// guardKey guards a key as it was resolved, the alias included that led to it.
func (r *request) guardKey(k *catalog.Key, ref kms.KeyRef) []fsm.Guard {
	guards := []fsm.Guard{k.Guard()}
	if ref.Alias != "" {
		if alias, err := r.view.Alias(k.Scope, ref.Alias); err == nil {
			guards = append(guards, alias.Guard())
		}
	}
	return guards
}

func checkDescribe(r *request, q *kms.UpdateKeyDescriptionRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if err := checkDescription(q.Description); err != nil {
		return err
	}
	r.note("description", q.Description)
	return nil
}

func updateDescription(r *request, q *kms.UpdateKeyDescriptionRequest) (*change, error) {
	k, c, err := r.begin("key.described")
	if err != nil {
		return nil, err
	}
	changed := k.Key
	changed.Description = q.Description
	return r.finish(c, &changed)
}

func checkScheduleDeletion(r *request, q *kms.ScheduleKeyDeletionRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if q.PendingWindowInDays == nil {
		return nil
	}
	r.noteInt("pendingWindowInDays", *q.PendingWindowInDays)
	return checkRange("pendingWindowInDays", *q.PendingWindowInDays, minWindow, maxWindow)
}

const day = 24 * 60 * 60 * 1000 // ms

// scheduleDeletion makes a key unusable now and lets the scheduler destroy it after the window. The window of a
// primary key begins when its last replica is destroyed. The answer tells who used the key, and so does
// every later description: what all members remember is written with it.
func scheduleDeletion(r *request, q *kms.ScheduleKeyDeletionRequest) (*change, error) {
	k, c, err := r.begin("key.deletion_scheduled")
	if err != nil {
		return nil, err
	}
	window := maxWindow
	if q.PendingWindowInDays != nil {
		window = *q.PendingWindowInDays
	}
	changed := k.Key
	changed.State, changed.Window, changed.Deletion = kms.StatePendingDeletion, int32(window), r.now()+int64(window)*day
	if k.Primary() && len(k.MultiRegion.Regions) > 1 {
		changed.State, changed.Deletion = kms.StatePendingReplicaDeletion, 0
	}
	u, _, err := r.clusterUsage(k)
	if err != nil {
		return nil, err
	}
	if err := r.writeUsage(c, k, u); err != nil {
		return nil, err
	}
	c.answer = r.deletionAnswer(&changed, u)
	return r.finish(c, &changed)
}

func (r *request) deletionAnswer(k *kms.Key, u kms.Usage) *kms.KeyAnswer {
	answer := r.metadata(k)
	answer.Key.PendingDeletionWindowInDays = k.Window
	answer.Key.LastUse, answer.Key.RecentCallers = lastUse(u), useEntries(u.Callers)
	return answer
}

// replayDeletion answers a deletion that an earlier request scheduled, with the use that it wrote.
func replayDeletion(r *request, rs *records) (any, error) {
	k, err := r.replayed(rs)
	if err != nil {
		return nil, err
	}
	var u kms.Usage
	if written, err := record[kms.Usage](rs, fsm.KindUsage); err == nil {
		u = *written
	} else if kms.CodeOf(err) == kms.CodeSealed { // else nobody had used the key, or the record does not open
		return nil, err
	}
	return r.deletionAnswer(k, u), nil
}

// cancelDeletion brings a key back, disabled. Once its day has come nothing brings it back: parts of it may
// be destroyed already.
func cancelDeletion(r *request, _ *kms.KeyRequest) (*change, error) {
	k, c, err := r.begin("key.deletion_cancelled")
	if err != nil {
		return nil, err
	}
	if k.Destroying || k.Deletion > 0 && r.now() >= k.Deletion {
		return nil, kms.Errorf(kms.CodeInvalidState, "%s is being destroyed: its deletion date has come.", k.ARN)
	}
	changed := k.Key
	changed.Window, changed.Deletion = 0, 0
	changed.State = k.AfterCancel()
	return r.finish(c, &changed)
}

func checkListKeys(r *request, q *kms.ListRequest) error {
	r.notePage(q.Limit, q.Marker)
	return checkLimit(q.Limit, 1000)
}

func listKeys(r *request, q *kms.ListRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	var from [16]byte
	copy(from[:], after)
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	shown, more := page(r.view.Keys(r.scope, from, limit+1), limit)
	answer := &kms.ListKeysAnswer{Keys: make([]kms.KeyEntry, len(shown))}
	for i, k := range shown {
		answer.Keys[i] = kms.KeyEntry{KeyID: k.ID, ARN: k.ARN}
	}
	if more {
		last := shown[len(shown)-1].Raw
		answer.NextMarker = r.marker(string(last[:]))
	}
	return answer, nil
}
