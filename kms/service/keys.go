package service

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
)

func keyUses(all map[*kms.Operation]*use) {
	all[kms.OpCreateKey] = changing(checkCreateKey, createKey, replayKey)
	all[kms.OpDescribeKey] = reading(checkKey, describeKey)
	all[kms.OpListKeys] = reading(checkListKeys, listKeys)
	all[kms.OpEnableKey] = changing(checkKey, setState(kms.StateEnabled, "key.enabled"), replayKey)
	all[kms.OpDisableKey] = changing(checkKey, setState(kms.StateDisabled, "key.disabled"), replayKey)
	all[kms.OpGetKeyPolicy] = reading(checkKey, getKeyPolicy)
}

// metadata describes a key.
func (r *request) metadata(k *kms.Key) *kms.KeyAnswer {
	return &kms.KeyAnswer{Key: kms.KeyMetadata{
		KeyID:                k.ID,
		ARN:                  kms.ARN(r.Partition, k.Scope, "key/"+k.ID),
		AccountID:            k.Scope.Account,
		Region:               k.Scope.Region,
		KeyState:             k.State,
		Enabled:              k.State == kms.StateEnabled,
		KeySpec:              k.Spec,
		KeyUsage:             k.Usage,
		Origin:               k.Origin,
		KeyManager:           "CUSTOMER",
		Description:          k.Description,
		EncryptionAlgorithms: []kms.EncryptionAlgorithm{kms.AlgorithmSymmetricDefault},
		CurrentKeyMaterialID: k.Current().ID,
		CreatedAt:            kms.Time(k.Created),
	}}
}

func checkCreateKey(r *request, q *kms.CreateKeyRequest) error {
	for _, err := range []error{
		oneOf("keySpec", q.KeySpec, kms.SymmetricDefault, kms.KeySpecs),
		oneOf("keyUsage", q.KeyUsage, kms.EncryptDecrypt, kms.KeyUsages),
		oneOf("origin", q.Origin, kms.OriginAWSKMS, kms.Origins),
		checkDescription(q.Description),
		checkTags(q.Tags),
		r.checkPolicy(q.Policy),
	} {
		if err != nil {
			return err
		}
	}
	if q.MultiRegion {
		return kms.Errorf(kms.CodeUnsupported, "This release has no multi-Region keys.")
	}
	r.note("keySpec", string(kms.SymmetricDefault))
	r.note("keyUsage", string(kms.EncryptDecrypt))
	r.note("origin", string(kms.OriginAWSKMS))
	r.note("description", q.Description)
	r.noteMap("tags", q.Tags)
	return nil
}

// checkPolicy refuses every policy but the default one, since no other is evaluated.
func (r *request) checkPolicy(document map[string]any) error {
	if document == nil {
		return nil
	}
	text, err := json.Marshal(document) // sorts names, as the default policy's text has them
	if err != nil || string(text) != auth.DefaultKeyPolicy(r.Partition, r.scope.Account) {
		return kms.Errorf(kms.CodeUnsupported, "This release serves no key policy but the default one.")
	}
	return nil
}

func createKey(r *request, q *kms.CreateKeyRequest) (*change, error) {
	if err := r.allowAccount(); err != nil {
		return nil, err
	}
	ids := r.view.IDs()
	keys := ids.KeysOf(r.scope.Account)
	if r.view.Members(keys) >= r.MaxKeys {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The account has %d keys, which is the limit.", r.MaxKeys)
	}
	k := r.newKey(q)
	raw, err := kms.KeyIDBytes(k.ID)
	if err != nil {
		return nil, err
	}
	c := &change{event: "key.created", answer: r.metadata(k), below: []fsm.ScopeGuard{{Scope: keys, Below: r.MaxKeys}}}
	if err := c.put(r, ids.Key(k.Scope, k.ID), k, keys); err != nil {
		return nil, err
	}
	policy := &kms.Policy{Schema: 1, Scope: k.Scope, KeyID: k.ID, Document: auth.DefaultKeyPolicy(r.Partition, k.Scope.Account)}
	if err := c.put(r, ids.Policy(k.Scope, k.ID), policy); err != nil {
		return nil, err
	}
	plain, err := material.Generate(k.Spec)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe()
	m := &catalog.Material{Schema: 1, KeyID: raw, Version: 1, Plain: kms.Sensitive(plain)}
	if err := c.put(r, ids.Material(k.Current().ID), m); err != nil {
		return nil, err
	}
	r.keyResponse(k)
	return c, nil
}

// newKey makes the metadata of a key with one material.
func (r *request) newKey(q *kms.CreateKeyRequest) *kms.Key {
	var id [16]byte
	var materialID [32]byte
	rand.Read(id[:])
	rand.Read(materialID[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a UUID of version 4
	now := r.now()
	return &kms.Key{
		Schema: 1, Scope: r.scope, ID: kms.KeyIDFromBytes(id),
		State: kms.StateEnabled, Spec: kms.SymmetricDefault, Usage: kms.EncryptDecrypt, Origin: kms.OriginAWSKMS,
		Description: q.Description, Tags: q.Tags, Created: now,
		Materials: []kms.Material{{Version: 1, ID: hex.EncodeToString(materialID[:]), Created: now}},
	}
}

// keyResponse notes a key that was made or changed, for the audit record.
func (r *request) keyResponse(k *kms.Key) {
	arn := kms.ARN(r.Partition, k.Scope, "key/"+k.ID)
	r.response = []audit.Pair{{Key: "keyId", Value: arn}}
	if r.found == 0 {
		r.resource(arn, typeKey)
	}
}

// replayKey answers the key that an earlier request made or changed, as it is now.
func replayKey(r *request, rs *records) (any, error) {
	k, err := record[kms.Key](rs, fsm.KindKey)
	if err != nil {
		return nil, err
	}
	if r.op == kms.OpCreateKey {
		err = r.allowAccount()
	} else {
		_, err = r.useKey(kms.KeyRef{ID: k.ID}, r.op.Action, nil)
	}
	if err != nil {
		return nil, err
	}
	r.keyResponse(k)
	return r.metadata(k), nil
}

func checkKey(r *request, q *kms.KeyRequest) (err error) {
	if r.key, err = r.parseKey(q.KeyID); err != nil {
		return err
	}
	r.note("keyId", q.KeyID)
	return nil
}

func describeKey(r *request, _ *kms.KeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	return r.metadata(&k.Key), nil
}

func getKeyPolicy(r *request, _ *kms.KeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	return &kms.GetKeyPolicyAnswer{KeyID: k.ARN, PolicyName: "default", Policy: k.Policy.Document}, nil
}

// setState moves a key between Enabled and Disabled. A key that is there already is written again:
// the answer tells a state that the log has confirmed.
func setState(to kms.KeyState, event string) func(*request, *kms.KeyRequest) (*change, error) {
	return func(r *request, _ *kms.KeyRequest) (*change, error) {
		k, err := r.useKey(r.key, r.op.Action, nil)
		if err != nil {
			return nil, err
		}
		if k.State != kms.StateEnabled && k.State != kms.StateDisabled {
			return nil, kms.Errorf(kms.CodeInvalidState, "%s is in state %s.", k.ARN, k.State)
		}
		changed := k.Key
		changed.State = to
		c := &change{event: event, guards: r.guardKey(k, r.key), answer: r.metadata(&changed)}
		ids := r.view.IDs()
		if err := c.put(r, ids.Key(k.Scope, k.ID), &changed, ids.KeysOf(k.Scope.Account)); err != nil {
			return nil, err
		}
		r.keyResponse(&changed)
		return c, nil
	}
}

// guardKey guards a key as it was resolved, the alias included that led to it.
func (r *request) guardKey(k *catalog.Key, ref kms.KeyRef) []fsm.Guard {
	guards := []fsm.Guard{k.Guard()}
	if ref.Alias != "" {
		if alias, err := r.view.Alias(r.scope, ref.Alias); err == nil {
			guards = append(guards, alias.Guard())
		}
	}
	return guards
}

func checkListKeys(r *request, q *kms.ListRequest) error {
	return checkLimit(q.Limit, 1000)
}

func listKeys(r *request, q *kms.ListRequest) (any, error) {
	if err := r.allowAccount(); err != nil {
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
