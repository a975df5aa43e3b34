package catalog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
)

// schema is the version of every record body this release writes and reads.
const schema = 1

// Material is the body of a material record. KeyID and Version tie it to its key, beside the key's
// own record, which names it.
type Material struct {
	Schema  uint8         `cbor:"0,keyasint"` // 1
	KeyID   [16]byte      `cbor:"1,keyasint"`
	Version uint32        `cbor:"2,keyasint"`
	Plain   kms.Sensitive `cbor:"3,keyasint"`
}

// codec is how record bodies become bytes: CBOR with integer keys (RFC 8949, core deterministic
// encoding), read strictly.
type codec struct {
	enc cbor.UserBufferEncMode // into buffers of ours: the library's own are pooled and never wiped
	dec cbor.DecMode
}

// records is the one codec. It is immutable.
var records = newCodec()

func newCodec() codec {
	enc, err := cbor.CoreDetEncOptions().UserBufferEncMode()
	if err != nil {
		panic(err) // constant options
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		UTF8:              cbor.UTF8RejectInvalid,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   8,
		MaxArrayElements:  4096,
		MaxMapPairs:       4096,
	}.DecMode()
	if err != nil {
		panic(err) // constant options
	}
	return codec{enc, dec}
}

// newBody returns an empty body of a kind of sealed record.
func newBody(kind fsm.Kind) (any, bool) {
	switch kind {
	case fsm.KindAccount:
		return new(kms.Account), true
	case fsm.KindIdentity:
		return new(kms.Identity), true
	case fsm.KindCredential:
		return new(kms.Credential), true
	case fsm.KindKey:
		return new(kms.Key), true
	case fsm.KindMaterial:
		return new(Material), true
	case fsm.KindAlias:
		return new(kms.Alias), true
	case fsm.KindPolicy:
		return new(kms.Policy), true
	case fsm.KindGrant:
		return new(kms.Grant), true
	case fsm.KindUsage:
		return new(kms.Usage), true
	case fsm.KindManagedPolicy:
		return new(kms.ManagedPolicy), true
	case fsm.KindProvider:
		return new(kms.Provider), true
	case fsm.KindSetting:
		return new(kms.Setting), true
	case fsm.KindAuditAnchor:
		return new(kms.AuditAnchor), true
	}
	return nil, false
}

// decode reads the plaintext of a record of the kind.
func (c codec) decode(kind fsm.Kind, plain []byte) (any, error) {
	body, known := newBody(kind)
	if !known {
		return nil, fmt.Errorf("no %v is readable in this release", kind)
	}
	if err := c.dec.Unmarshal(plain, body); err != nil {
		return nil, err
	}
	if s := reflect.ValueOf(body).Elem().FieldByName("Schema").Uint(); s != schema {
		return nil, fmt.Errorf("schema %d is not known to this release", s)
	}
	switch body := body.(type) {
	case *kms.Key:
		return body, checkKey(body)
	case *kms.Grant:
		return body, checkGrant(body)
	case *kms.AuditAnchor:
		return body, checkAnchor(body)
	}
	return body, nil
}

// checkAnchor refuses what no key could be made of.
func checkAnchor(a *kms.AuditAnchor) error {
	if len(a.Seed) != ed25519.SeedSize || a.Seq > 0 && len(a.Hash) != sha256.Size {
		return errors.New("the seed of an audit key has 32 bytes, and so has a hash")
	}
	return nil
}

// checkKey refuses what other code relies on not to happen.
func checkKey(k *kms.Key) error {
	if _, err := kms.KeyIDBytes(k.ID); err != nil {
		return err
	}
	if len(k.Materials) == 0 && k.Origin != kms.OriginExternal {
		return errors.New("the key has no material")
	}
	last := uint32(0)
	for i := range k.Materials {
		if k.Materials[i].Version <= last {
			return errors.New("the key's material versions do not ascend")
		}
		last = k.Materials[i].Version
	}
	if k.Announced != nil && k.Announced.Version <= last {
		return errors.New("the announced material is not above the key's others")
	}
	return nil
}

// checkGrant refuses what no tree could hold.
func checkGrant(g *kms.Grant) error {
	if _, err := kms.KeyIDBytes(g.KeyID); err != nil {
		return err
	}
	if g.ID == "" {
		return errors.New("the grant has no id")
	}
	return nil
}

// open returns the body of a record, a tombstone's too.
func (c codec) open(b *seal.Barrier, ref fsm.Ref, r fsm.Record) (any, error) {
	plain, err := b.Open(uint8(ref.Kind), string(ref.ID), r.Revision, r.Body)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(plain)
	return c.decode(ref.Kind, plain)
}

// Marshal encodes a value as record bodies are encoded. What has at most size bytes then is in the answer only,
// for the caller to wipe.
func Marshal(v any, size int) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(size)
	err := records.enc.MarshalToBuffer(v, &b)
	return b.Bytes(), err
}

// Write seals body, a pointer to the record type of ref's kind, into the write of one record.
// Revisions are chosen by the caller; see View.Put. The errors are the barrier's: CodeSealed once it
// is wiped.
func Write(b *seal.Barrier, ref fsm.Ref, revision uint64, body any, scopes ...fsm.ScopeID) (fsm.Write, error) {
	size := 512
	if m, ok := body.(*Material); ok {
		size += len(m.Plain)
	}
	plain, err := Marshal(body, size)
	if err != nil {
		return fsm.Write{}, err
	}
	defer secret.Wipe(plain)
	w := fsm.Write{Kind: ref.Kind, ID: ref.ID, Revision: revision, Scopes: scopes}
	w.Body, w.Term, err = b.Seal(uint8(ref.Kind), string(ref.ID), revision, plain)
	return w, err
}
