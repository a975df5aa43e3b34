package service

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

func rotationUses(all map[*kms.Operation]*use) {
	all[kms.OpEnableKeyRotation] = changing(checkEnableRotation, enableRotation, replayRotation)
	all[kms.OpDisableKeyRotation] = changing(checkKey, disableRotation, replayRotation)
	all[kms.OpRotateKeyOnDemand] = changing(checkKey, rotateOnDemand, replayKey)
	all[kms.OpGetKeyRotationStatus] = reading(checkKey, rotationStatus)
	all[kms.OpListKeyRotations] = reading(checkListRotations, listRotations)
}

// nextRotation returns when a key is rotated whose period begins at a time: up to a day later, so that
// keys that were made together are not all rotated together.
func nextRotation(from int64, period int32) int64 {
	return from + int64(period)*day + rand.Int64N(day)
}

func checkEnableRotation(r *request, q *kms.EnableKeyRotationRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if q.RotationPeriodInDays == nil {
		return nil
	}
	r.noteInt("rotationPeriodInDays", *q.RotationPeriodInDays)
	return checkRange("rotationPeriodInDays", *q.RotationPeriodInDays, minRotation, maxRotation)
}

// rotates refuses keys that have no rotation of their own.
func rotates(k *catalog.Key, onDemand bool) error {
	switch {
	case k.Spec != kms.SymmetricDefault:
		return kms.Errorf(kms.CodeUnsupported, "%s key spec is %s: symmetric encryption keys only are rotated.", k.ARN, k.Spec)
	case k.Origin != kms.OriginAWSKMS && !onDemand:
		return kms.Errorf(kms.CodeUnsupported, "%s origin is %s which is not valid for this operation.", k.ARN, k.Origin)
	case k.Replica():
		return kms.Errorf(kms.CodeUnsupported, "%s is not a multi-region primary key.", k.ARN)
	}
	return nil
}

// enableRotation begins a period now, also where one is running.
func enableRotation(r *request, q *kms.EnableKeyRotationRequest) (*change, error) {
	period := int32(defaultRotation)
	if q.RotationPeriodInDays != nil {
		period = int32(*q.RotationPeriodInDays)
	}
	return r.setRotation("key.rotation_enabled", &kms.Rotation{Period: period, Next: nextRotation(r.now(), period)})
}

func disableRotation(r *request, _ *kms.KeyRequest) (*change, error) {
	return r.setRotation("key.rotation_disabled", nil)
}

// setRotation writes the automatic rotation of a key; a primary key has it for all its replicas.
func (r *request) setRotation(event string, to *kms.Rotation) (*change, error) {
	k, c, err := r.begin(event)
	if err == nil {
		err = rotates(k, false)
	}
	if err != nil {
		return nil, err
	}
	changed := k.Key
	changed.Rotation = to
	c.answer = r.rotation(&changed)
	if c, err = r.finish(c, &changed); err != nil {
		return nil, err
	}
	return c, nil
}

// replayRotation answers the rotation of a key that an earlier request set.
func replayRotation(r *request, rs *records) (any, error) {
	k, err := r.replayed(rs)
	if err != nil {
		return nil, err
	}
	return r.rotation(k), nil
}

// rotation tells how a key is rotated. The primary key of a multi-Region key says it for all.
func (r *request) rotation(k *kms.Key) *kms.KeyRotationStatusAnswer {
	answer := &kms.KeyRotationStatusAnswer{KeyID: kms.ARN(r.Partition, k.Scope, "key/"+k.ID), OnDemandRotations: int(k.OnDemand)}
	leaves := k.State == kms.StatePendingDeletion || k.State == kms.StatePendingReplicaDeletion
	if k.Rotation == nil || leaves {
		return answer
	}
	answer.KeyRotationEnabled = true
	answer.RotationPeriodInDays = int(k.Rotation.Period)
	answer.NextRotationDate = timeOf(k.Rotation.Next)
	return answer
}

func rotationStatus(r *request, _ *kms.KeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	shown := k.Key
	if primary, err := r.primaryOf(k); err != nil {
		return nil, err
	} else if primary != nil {
		shown.Rotation, shown.OnDemand = primary.Rotation, primary.OnDemand
	}
	return r.rotation(&shown), nil
}

// rotateOnDemand makes new material the current one: of imported keys the announced, else random. The
// automatic date stays where it is.
func rotateOnDemand(r *request, _ *kms.KeyRequest) (*change, error) {
	k, c, err := r.begin("key.rotated")
	if err == nil {
		err = rotates(k, true)
	}
	if err != nil {
		return nil, err
	}
	if k.OnDemand >= maxOnDemand {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: %s", k.ARN)
	}
	changed := k.Key
	changed.OnDemand++
	related, err := r.related(k, c)
	if err != nil {
		return nil, err
	}
	if err := r.rotate(c, k, &changed, related, kms.RotationOnDemand); err != nil {
		return nil, err
	}
	c.answer = r.metadata(&changed)
	return c, nil
}

// present reports whether imported material is there and has not expired, though the scheduler may be late.
func present(m *kms.Material, now int64) bool {
	return !m.Missing && (m.Expires == 0 || now < m.Expires)
}

// rotate gives a key, changed from k, a new current material, and the same one to its related keys. It
// writes them all.
func (r *request) rotate(c *change, k *catalog.Key, changed *kms.Key, related []*catalog.Key, how kms.RotationType) error {
	now := r.now()
	m := kms.Material{Version: k.NextVersion(), ID: newMaterialID(), Created: now}
	if k.Origin == kms.OriginExternal {
		if k.Announced == nil || !present(k.Announced, now) {
			return kms.Errorf(kms.CodeInvalidState, "No available key material pending rotation for the key: %s.", k.ARN)
		}
		m = *k.Announced
	}
	m.Rotated, m.Rotation = now, how
	changed.Materials = append(slices.Clone(k.Materials), m)
	changed.Announced = nil
	if err := r.writeKey(c, changed); err != nil {
		return err
	}
	for _, other := range related {
		theirs := other.Key
		their := m
		if k.Origin == kms.OriginExternal {
			if other.Announced == nil || !present(other.Announced, now) || other.Announced.ID != m.ID {
				return kms.Errorf(kms.CodeInvalidState, "The key material pending rotation is not imported into %s yet.", other.ARN)
			}
			their.Created, their.Expires, their.Description = other.Announced.Created, other.Announced.Expires, other.Announced.Description
		}
		theirs.Materials = append(slices.Clone(other.Materials), their)
		theirs.Announced = nil
		if err := r.writeKey(c, &theirs); err != nil {
			return err
		}
	}
	if k.Origin == kms.OriginExternal {
		return nil
	}
	plain, err := r.generate(k.Spec)
	if err != nil {
		return err
	}
	return r.writeMaterial(c, changed, m, kms.Sensitive(plain))
}

// What a listing of rotations includes.
const (
	rotationsOnly = "ROTATIONS_ONLY"
	allMaterial   = "ALL_KEY_MATERIAL"
)

func checkListRotations(r *request, q *kms.ListKeyRotationsRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if err := optional("includeKeyMaterial", q.IncludeKeyMaterial, []string{allMaterial, rotationsOnly}); err != nil {
		return err
	}
	r.note("includeKeyMaterial", q.IncludeKeyMaterial)
	r.notePage(q.Limit, q.Marker)
	return checkLimit(q.Limit, 1000)
}

func listRotations(r *request, q *kms.ListKeyRotationsRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	if k.Spec != kms.SymmetricDefault {
		return nil, kms.Errorf(kms.CodeUnsupported, "%s key spec is %s: symmetric encryption keys only are rotated.", k.ARN, k.Spec)
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	var from uint32
	if len(after) == 4 {
		from = binary.BigEndian.Uint32([]byte(after))
	}
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	all := slices.Clone(k.Materials)
	if k.Announced != nil {
		all = append(all, *k.Announced)
	}
	all = slices.DeleteFunc(all, func(m kms.Material) bool {
		return m.Version <= from || q.IncludeKeyMaterial != allMaterial && m.Rotation == ""
	})
	shown, more := page(all, limit)
	answer := &kms.ListKeyRotationsAnswer{Rotations: make([]kms.RotationEntry, len(shown))}
	for i := range shown {
		answer.Rotations[i], err = r.rotationEntry(k, &shown[i])
		if err != nil {
			return nil, err
		}
	}
	if more {
		answer.NextMarker = r.marker(string(binary.BigEndian.AppendUint32(nil, shown[len(shown)-1].Version)))
	}
	return answer, nil
}

// rotationEntry describes one material of a key.
func (r *request) rotationEntry(k *catalog.Key, m *kms.Material) (kms.RotationEntry, error) {
	e := kms.RotationEntry{KeyID: k.ARN, KeyMaterialID: m.ID, RotationDate: timeOf(m.Rotated), RotationType: m.Rotation, KeyMaterialState: "NON_CURRENT"}
	switch {
	case k.Announced != nil && m.Version == k.Announced.Version:
		state, err := r.announcedState(k)
		if err != nil {
			return e, err
		}
		e.KeyMaterialState = state
	case m.Version == k.Current().Version:
		e.KeyMaterialState = "CURRENT"
	}
	if k.Origin != kms.OriginExternal {
		return e, nil
	}
	e.KeyMaterialDescription, e.ImportState = m.Description, "IMPORTED"
	switch {
	case !present(m, r.now()):
		e.ImportState = "PENDING_IMPORT"
	case m.Expires > 0:
		e.ExpirationModel, e.ValidTo = kms.MaterialExpires, timeOf(m.Expires)
	default:
		e.ExpirationModel = kms.MaterialDoesNotExpire
	}
	return e, nil
}

// announcedState says what keeps announced material from becoming the current one.
func (r *request) announcedState(k *catalog.Key) (string, error) {
	related, err := r.related(k, nil)
	if err != nil {
		return "", err
	}
	for _, other := range append(related, k) {
		if other.Announced == nil || !present(other.Announced, r.now()) {
			return "PENDING_MULTI_REGION_IMPORT_AND_ROTATION", nil
		}
	}
	return "PENDING_ROTATION", nil
}
