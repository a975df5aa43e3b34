package service

import (
	"encoding/hex"
	"errors"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
)

func importUses(all map[*kms.Operation]*use) {
	all[kms.OpGetParametersForImport] = reading(checkImportParameters, importParameters)
	all[kms.OpImportKeyMaterial] = changing(checkImport, importMaterial, replayImport)
	all[kms.OpDeleteImportedKeyMaterial] = changing(checkUnimport, deleteImported, replayUnimport)
}

const (
	importPurpose  = "import"
	importLifetime = day // ms that an import token is good for
)

// importToken is what an import token holds, sealed: the private wrapping key is kept nowhere else, so that any
// node can take the material and nothing is written for a ceremony that may never end.
type importToken struct {
	Schema    uint8                 `cbor:"0,keyasint"` // 1
	Key       string                `cbor:"1,keyasint"` // ARN
	Algorithm kms.WrappingAlgorithm `cbor:"2,keyasint"`
	Private   kms.Sensitive         `cbor:"3,keyasint"` // PKCS#8
	Expires   int64                 `cbor:"4,keyasint"` // Unix milliseconds, log time
}

func checkImportParameters(r *request, q *kms.GetParametersForImportRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if q.WrappingAlgorithm == "RSAES_PKCS1_V1_5" {
		return kms.Errorf(kms.CodeUnsupported, "RSAES_PKCS1_V1_5 is not served, as at AWS since 2023; use RSAES_OAEP_SHA_256.")
	}
	if err := required("wrappingAlgorithm", q.WrappingAlgorithm, kms.WrappingAlgorithms); err != nil {
		return err
	}
	if q.WrappingKeySpec == kms.SM2 {
		return errSM2()
	}
	if err := required("wrappingKeySpec", q.WrappingKeySpec, kms.WrappingKeySpecs); err != nil {
		return err
	}
	r.note("wrappingAlgorithm", string(q.WrappingAlgorithm))
	r.note("wrappingKeySpec", string(q.WrappingKeySpec))
	return nil
}

// imports refuses keys that take no material from outside.
func imports(k *catalog.Key) error {
	if k.Origin != kms.OriginExternal {
		return kms.Errorf(kms.CodeUnsupported, "%s origin is %s which is not valid for this operation.", k.ARN, k.Origin)
	}
	return nil
}

// wraps refuses wrapping algorithms that material of a spec does not fit into, see
// https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-get-public-key-and-token.html
func wraps(a kms.WrappingAlgorithm, wrapping, spec kms.KeySpec) error {
	direct := a == kms.WrapRSAESOAEPSHA1 || a == kms.WrapRSAESOAEPSHA256
	switch {
	case !direct:
		return nil
	case spec == kms.RSA2048, spec == kms.RSA3072, spec == kms.RSA4096:
		return kms.Errorf(kms.CodeUnsupported, "RSA private keys are imported with RSA_AES_KEY_WRAP_SHA_256 or RSA_AES_KEY_WRAP_SHA_1.")
	case spec == kms.ECCNISTP521 && wrapping == kms.RSA2048:
		return kms.Errorf(kms.CodeUnsupported, "Private keys of ECC_NIST_P521 do not fit into %s with RSA_2048; use a larger wrapping key or RSA_AES_KEY_WRAP.", a)
	}
	return nil
}

func importParameters(r *request, q *kms.GetParametersForImportRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	if err := imports(k); err != nil {
		return nil, err
	}
	if err := kms.CheckState(r.op.States, k.State, k.ARN); err != nil {
		return nil, err
	}
	if err := wraps(q.WrappingAlgorithm, q.WrappingKeySpec, k.Spec); err != nil {
		return nil, err
	}
	leave, err := r.enterHeavy(q.WrappingKeySpec)
	if err != nil {
		return nil, err
	}
	defer leave()
	private, public, err := material.Wrapping(q.WrappingKeySpec)
	if err != nil {
		return nil, err
	}
	defer private.Wipe()
	t := importToken{Schema: 1, Key: k.ARN, Algorithm: q.WrappingAlgorithm, Private: kms.Sensitive(private), Expires: r.now() + importLifetime}
	plain, err := catalog.Marshal(t, 512+len(t.Private))
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(plain)
	token, err := r.view.SealToken(importPurpose, nil, plain)
	if err != nil {
		return nil, err
	}
	return &kms.GetParametersForImportAnswer{KeyID: k.ARN, ImportToken: token, PublicKey: public, ParametersValidTo: kms.Time(t.Expires)}, nil
}

// openImportToken returns what a token of this key holds. The caller wipes the private key.
func (r *request) openImportToken(k *catalog.Key, token []byte) (t importToken, err error) {
	plain, err := r.view.OpenToken(importPurpose, nil, token)
	if err != nil {
		if errors.Is(err, seal.ErrOpen) {
			err = errImportToken()
		}
		return t, err
	}
	defer secret.Wipe(plain)
	if err := cbor.Unmarshal(plain, &t); err != nil || t.Schema != 1 || t.Key != k.ARN {
		secret.Wipe(t.Private)
		return t, errImportToken()
	}
	if r.now() >= t.Expires {
		secret.Wipe(t.Private)
		return t, kms.Errorf(kms.CodeExpiredImportToken, "The import token is older than 24 hours; get new parameters for import.")
	}
	return t, nil
}

func errImportToken() error {
	return kms.Errorf(kms.CodeInvalidImportToken, "The import token is not one that this cluster gave for this key.")
}

func checkImport(r *request, q *kms.ImportKeyMaterialRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	for _, err := range []error{
		checkLength("importToken", len(q.ImportToken), maxImport),
		checkLength("encryptedKeyMaterial", len(q.EncryptedKeyMaterial), maxImport),
		optional("expirationModel", q.ExpirationModel, kms.ExpirationModels),
		optional("importType", q.ImportType, kms.ImportTypes),
		checkMaterialID(q.KeyMaterialID),
	} {
		if err != nil {
			return err
		}
	}
	switch forever := q.ExpirationModel == kms.MaterialDoesNotExpire; {
	case !forever && q.ValidTo == nil:
		return kms.Errorf(kms.CodeValidation, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
	case forever && q.ValidTo != nil:
		return kms.Errorf(kms.CodeValidation, "The parameter ValidTo cannot be specified for a key with an expiration model of KEY_MATERIAL_DOES_NOT_EXPIRE")
	case q.ImportType == kms.ImportNewMaterial && q.KeyMaterialID != "":
		return kms.Errorf(kms.CodeValidation, "A key material id names material that was imported before; it does not go with NEW_KEY_MATERIAL.")
	case len(q.KeyMaterialDescription) > maxMaterialNote || !inPattern(q.KeyMaterialDescription, ":/_ .-\t\n\r"):
		return constraint("keyMaterialDescription", "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_\\s.-]+$ and have length less than or equal to %d", maxMaterialNote)
	}
	r.note("expirationModel", string(q.ExpirationModel))
	if q.ValidTo != nil {
		r.note("validTo", q.ValidTo.UTC().Format("2006-01-02T15:04:05Z"))
	}
	r.note("importType", string(q.ImportType))
	r.note("keyMaterialId", q.KeyMaterialID)
	r.note("keyMaterialDescription", q.KeyMaterialDescription)
	return nil
}

func checkMaterialID(id string) error {
	if id == "" {
		return nil
	}
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 32 || hex.EncodeToString(raw) != id {
		return constraint("keyMaterialId", "Member must satisfy regular expression pattern: ^[a-f0-9]{64}$")
	}
	return nil
}

// importMaterial takes wrapped material into a key.
func importMaterial(r *request, q *kms.ImportKeyMaterialRequest) (*change, error) {
	k, c, err := r.begin("key.material_imported")
	if err == nil {
		err = imports(k)
	}
	if err != nil {
		return nil, err
	}
	var expires int64
	if q.ValidTo != nil {
		expires = q.ValidTo.UnixMilli()
		if now := r.now(); expires <= now || expires > now+maxMaterialYears*day {
			return nil, kms.Errorf(kms.CodeValidation, "ValidTo must be in the future and within %d days.", maxMaterialYears)
		}
	}
	plain, err := r.unwrap(k, q)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe()
	id, err := r.importedID(k, plain)
	if err != nil {
		return nil, err
	}
	m := kms.Material{ID: id, Created: r.now(), Expires: expires, Description: q.KeyMaterialDescription}
	if q.KeyMaterialID != "" && q.KeyMaterialID != m.ID {
		return nil, errOtherMaterial()
	}
	changed := k.Key
	changed.Materials = slices.Clone(k.Materials)
	added, err := place(k, &changed, &m, q.ImportType)
	if err != nil {
		return nil, err
	}
	changed.State = changed.AfterImport()
	c.answer = &kms.KeyMaterialAnswer{KeyID: k.ARN, KeyMaterialID: m.ID}
	if c, err = r.finish(c, &changed); err != nil {
		return nil, err
	}
	if added {
		if err := r.announce(c, k, m); err != nil {
			return nil, err
		}
	}
	return c, r.writeMaterial(c, &changed, m, kms.Sensitive(plain))
}

// importedID returns the id of imported material: the same for the same material of the same key, in whatever
// encoding it comes, and a keyed hash that tells nothing of it.
func (r *request) importedID(k *catalog.Key, plain secret.Bytes) (string, error) {
	ids := r.view.IDs()
	key := ids.Hash("material fingerprint")
	defer clear(key[:])
	print, err := material.Fingerprint(key[:], k.Spec, plain)
	if err != nil {
		return "", err
	}
	id := ids.Hash("material", k.ID, print)
	return hex.EncodeToString(id[:]), nil
}

// unwrap returns the material of a request in the encoding that is stored.
func (r *request) unwrap(k *catalog.Key, q *kms.ImportKeyMaterialRequest) (secret.Bytes, error) {
	t, err := r.openImportToken(k, q.ImportToken)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(t.Private)
	wrapped, err := material.Unwrap(t.Algorithm, t.Private, q.EncryptedKeyMaterial)
	if err != nil {
		return nil, err
	}
	defer wrapped.Wipe()
	return material.ParseImport(k.Spec, wrapped)
}

func errOtherMaterial() error {
	return kms.Errorf(kms.CodeIncorrectKeyMaterial, "The key material is not the one that was imported into this key before; to rotate a symmetric key, announce it with the import type NEW_KEY_MATERIAL.")
}

// place puts imported material where it belongs in a key, changed from k, and gives it its version. It reports
// whether the key has not had it before; related keys have to know it then.
func place(k *catalog.Key, changed *kms.Key, m *kms.Material, how kms.ImportType) (added bool, err error) {
	if how == "" {
		how = kms.ImportExistingMaterial
		if len(k.Materials) == 0 {
			how = kms.ImportNewMaterial
		}
	}
	at := slices.IndexFunc(changed.Materials, func(one kms.Material) bool { return one.ID == m.ID })
	announced := k.Announced != nil && k.Announced.ID == m.ID
	switch {
	case how == kms.ImportNewMaterial && (at >= 0 || announced && !k.Announced.Missing):
		return false, kms.Errorf(kms.CodeIncorrectKeyMaterial, "The key material belongs to this key already; import it again with the import type EXISTING_KEY_MATERIAL.")
	case at >= 0:
		changed.Materials[at] = reimported(changed.Materials[at], m)
		return false, nil
	case announced:
		again := reimported(*k.Announced, m)
		changed.Announced = &again
		return false, nil
	case how == kms.ImportExistingMaterial:
		return false, errOtherMaterial()
	case k.Replica():
		return false, kms.Errorf(kms.CodeUnsupported, "New key material is imported into the primary key first: %s is a replica.", k.ARN)
	case len(k.Materials) > 0 && k.Spec != kms.SymmetricDefault:
		return false, errOtherMaterial()
	case k.Announced != nil:
		return false, kms.Errorf(kms.CodeInvalidState, "%s has key material pending rotation already; rotate to it or delete it first.", k.ARN)
	}
	m.Version = k.NextVersion()
	putNew(changed, *m)
	return true, nil
}

// reimported returns material that a key had as it is after its import again. m gets its version.
func reimported(was kms.Material, m *kms.Material) kms.Material {
	m.Version = was.Version
	was.Missing, was.Expires, was.Created = false, m.Expires, m.Created
	if m.Description != "" {
		was.Description = m.Description
	}
	return was
}

// putNew makes material the first one of a key, or the announced next one.
func putNew(k *kms.Key, m kms.Material) {
	if len(k.Materials) == 0 {
		k.Materials = []kms.Material{m}
	} else {
		k.Announced = &m
	}
}

// announce makes material known to the related keys, as missing until it is imported there too.
func (r *request) announce(c *change, k *catalog.Key, m kms.Material) error {
	related, err := r.related(k, c)
	if err != nil {
		return err
	}
	for _, other := range related {
		theirs, missing := other.Key, m
		theirs.Materials = slices.Clone(other.Materials)
		forget(&missing)
		putNew(&theirs, missing)
		if err := r.writeKey(c, &theirs); err != nil {
			return err
		}
	}
	return nil
}

// materialOf returns the id of the material that an earlier request wrote or deleted, or "".
func materialOf(rs *records) string {
	for _, ref := range rs.refs {
		if ref.Kind == fsm.KindMaterial {
			return hex.EncodeToString([]byte(ref.ID))
		}
	}
	return ""
}

func replayImport(r *request, rs *records) (any, error) {
	k, err := r.replayed(rs)
	if err != nil {
		return nil, err
	}
	return &kms.KeyMaterialAnswer{KeyID: kms.ARN(r.Partition, k.Scope, "key/"+k.ID), KeyMaterialID: materialOf(rs)}, nil
}

func checkUnimport(r *request, q *kms.DeleteImportedKeyMaterialRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if err := checkMaterialID(q.KeyMaterialID); err != nil {
		return err
	}
	r.note("keyMaterialId", q.KeyMaterialID)
	return nil
}

// deleteImported deletes the current material or the one of an id; what is missing already stays missing.
func deleteImported(r *request, q *kms.DeleteImportedKeyMaterialRequest) (*change, error) {
	k, c, err := r.begin("key.material_deleted")
	if err == nil {
		err = imports(k)
	}
	if err != nil {
		return nil, err
	}
	id := q.KeyMaterialID
	if id == "" {
		id = k.Current().ID
	}
	c.answer = &kms.KeyMaterialAnswer{KeyID: k.ARN, KeyMaterialID: id}
	changed := k.Key
	if id == "" { // nothing was ever imported
		return r.finish(c, &changed)
	}
	if err := r.dropMaterial(c, k, &changed, id); err != nil {
		return nil, err
	}
	return c, nil
}

// dropMaterial takes imported material out of a key, changed from k, writes the key, first, and deletes the
// record unless a related key still has it. Announced material is forgotten, on a primary key by all.
func (r *request) dropMaterial(c *change, k *catalog.Key, changed *kms.Key, id string) error {
	at := slices.IndexFunc(k.Materials, func(m kms.Material) bool { return m.ID == id })
	announced := k.Announced != nil && k.Announced.ID == id
	if at < 0 && !announced {
		return kms.Errorf(kms.CodeNotFound, "%s has no key material %s.", k.ARN, id)
	}
	related, err := r.related(k, c)
	if err != nil {
		return err
	}
	changed.Materials = slices.Clone(k.Materials)
	var version uint32
	forgets := announced && !k.Replica()
	switch {
	case at >= 0:
		forget(&changed.Materials[at])
		version = changed.Materials[at].Version
	case forgets:
		version, changed.Announced = k.Announced.Version, nil
	default:
		mine := *k.Announced
		forget(&mine)
		version, changed.Announced = mine.Version, &mine
	}
	changed.State = changed.AfterImport()
	if err := r.writeKey(c, changed); err != nil {
		return err
	}
	kept := false
	for _, other := range related {
		if !forgets {
			m, there := other.MaterialVersion(version)
			kept = kept || there && m.ID == id
			continue
		}
		theirs := other.Key
		theirs.Announced = nil
		if err := r.writeKey(c, &theirs); err != nil {
			return err
		}
	}
	if kept {
		return nil
	}
	return r.deleteMaterial(c, k.Raw, version, id)
}

// deleteMaterial deletes the record of material, if there is one. The tombstone holds nothing of it.
func (r *request) deleteMaterial(c *change, raw [16]byte, version uint32, id string) error {
	ref := r.view.IDs().Material(id)
	if !r.view.Has(ref) {
		return nil
	}
	return c.delete(r, ref, &catalog.Material{Schema: 1, KeyID: raw, Version: version})
}

// replayUnimport names the material that the request named, or the one that was deleted; what was missing
// already was the current one.
func replayUnimport(r *request, rs *records) (any, error) {
	k, err := r.replayed(rs)
	if err != nil {
		return nil, err
	}
	id := r.call.Request.(*kms.DeleteImportedKeyMaterialRequest).KeyMaterialID
	if id == "" {
		id = materialOf(rs)
	}
	if id == "" {
		id = k.Current().ID
	}
	return &kms.KeyMaterialAnswer{KeyID: kms.ARN(r.Partition, k.Scope, "key/"+k.ID), KeyMaterialID: id}, nil
}
