package catalog

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstep-kms/lockstep/auth/sigv4"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
)

// drainTime is how long sealing waits for those who hold the view.
const drainTime = 5 * time.Second

// session is the time between one Unseal and the next Seal.
type session struct {
	barrier   *seal.Barrier
	partition string
	log       *slog.Logger
	view      atomic.Pointer[View] // set before the session is published, never nil again

	closed  atomic.Bool   // no new Hold
	dropped atomic.Bool   // the time to drain is over: no answer may leave any more
	held    atomic.Int64  // Holds
	drained chan struct{} // capacity 1: told when held falls to 0 after closed

	mu     sync.Mutex            // serializes first uses of material
	latest *fsm.View             // guarded by mu: material is opened as it is here, never older
	opened map[fsm.ID][]*handles // guarded by mu: those to wipe, by the material's record

	used   used   // what DrainUse returns
	tokens tokens // sessions that were opened

	accessKeys sync.Map    // access key id -> *accessKeyUse: reading and noting take no lock
	keys       *sigv4.Keys // signing keys that were derived
}

// signingKeys is how many derived signing keys are remembered: one for each access key, day, region and service.
const signingKeys = 4096

func newSession(b *seal.Barrier, partition string, log *slog.Logger) *session {
	return &session{barrier: b, partition: partition, log: log, drained: make(chan struct{}, 1), opened: map[fsm.ID][]*handles{}, keys: sigv4.NewKeys(signingKeys)}
}

// Hold keeps what a request reads from being wiped while the request runs. Release it soon: sealing
// waits 5 s for all of them, and then tells them by Err to drop their answers.
type Hold struct{ session *session }

// Hold returns a hold on the opened state; CodeSealed or CodeNotInitialized when there is none.
func (c *Catalog) Hold() (Hold, error) {
	s := c.session.Load()
	if s == nil {
		return Hold{}, c.errSealed()
	}
	s.held.Add(1)
	if s.closed.Load() {
		Hold{s}.Release()
		return Hold{}, c.errSealed()
	}
	return Hold{s}, nil
}

// View returns the latest opened state.
func (h Hold) View() *View { return h.session.view.Load() }

// Err returns CodeSealed once sealing stopped waiting for this hold: the answer must not leave.
func (h Hold) Err() error {
	if h.session.dropped.Load() {
		return errSealed()
	}
	return nil
}

// Release ends the hold. It is called once.
func (h Hold) Release() {
	if h.session.held.Add(-1) == 0 && h.session.closed.Load() {
		select {
		case h.session.drained <- struct{}{}:
		default:
		}
	}
}

// drain waits until nobody holds the session, which is closed, or the time is over.
func (s *session) drain(limit <-chan time.Time) {
	for s.held.Load() > 0 {
		select {
		case <-s.drained:
		case <-limit:
			s.dropped.Store(true)
			s.log.Warn("sealing waited for requests in vain: their answers are dropped", "requests", s.held.Load())
			return
		}
	}
}

// wipe overwrites everything that was opened. Material waits for the operation that is using it.
func (s *session) wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, all := range s.opened {
		for _, h := range all {
			h.wipe()
		}
	}
	clear(s.opened)
	s.view.Load().credentials.Scan(func(_ string, c *Credential) bool {
		secret.Wipe(c.Secret)
		return true
	})
	s.tokens.wipe()
	s.keys.Wipe()
	s.barrier.Wipe()
}

// handle is the opened material of one key version, or what kept it from opening.
type handle struct {
	version  uint32
	record   fsm.ID // the material's
	revision uint64 // of the record
	material *material.Key
	err      error
	next     *handle
}

func (h *handles) wipe() {
	for one := h.first.Load(); one != nil; one = one.next {
		one.wipe()
	}
}

func (one *handle) wipe() {
	if one.material != nil {
		one.material.Wipe()
	}
}

// find returns the handle of a version; of one that did not open, the newest.
func (h *handles) find(version uint32) *handle {
	for one := h.first.Load(); one != nil; one = one.next {
		if one.version == version {
			return one
		}
	}
	return nil
}

// Material returns the opened material of a key version, which the key must have. It is opened at
// its first use and stays open until its record is changed or deleted, or the node is sealed. Errors: CodeUnavailable when the record
// does not open or is gone by now, CodeUnsupported in FIPS mode for a spec that it does not cover, CodeSealed.
func (v *View) Material(k *Key, version uint32) (*material.Key, error) {
	if one := k.handles.find(version); one != nil && one.err == nil {
		return one.material, nil
	}
	return v.session.openMaterial(v.state, k, version)
}

func (s *session) openMaterial(state *fsm.View, k *Key, version uint32) (*material.Key, error) {
	m, ok := k.MaterialVersion(version)
	if !ok {
		return nil, ErrNotFound
	}
	ref := IDs{}.Material(m.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	record, ok := s.latest.Get(ref.Kind, ref.ID)
	if _, was := state.Get(ref.Kind, ref.ID); was && !ok {
		e := kms.Errorf(kms.CodeUnavailable, "The key material was deleted just now; try again.")
		e.Reason, e.RetryAfter = "changing", time.Second
		return nil, e // the view will follow
	}
	one := k.handles.find(version)
	if one != nil && (one.err == nil || one.revision == record.Revision) {
		return one.material, one.err
	}
	one = &handle{version: version, record: ref.ID, revision: record.Revision, next: k.handles.first.Load(), err: ErrNotFound}
	if ok {
		one.material, one.err = s.readMaterial(ref, record, k, version)
	}
	if one.err != nil {
		cause := one.err
		if kms.CodeOf(cause) == kms.CodeUnsupported { // the mode of this process refuses it; nothing is wrong with the record
			return nil, cause
		}
		if one.err = unavailable(cause); kms.CodeOf(one.err) == kms.CodeSealed {
			return nil, one.err
		}
		s.log.Error("key material does not open: the key version is unavailable on this node", "record", ref.String(), "error", cause)
	}
	k.handles.first.Store(one)
	if all := s.opened[ref.ID]; !slices.Contains(all, k.handles) {
		s.opened[ref.ID] = append(all, k.handles)
	}
	return one.material, one.err
}

// readMaterial opens a material record that must be that of this key version.
func (s *session) readMaterial(ref fsm.Ref, r fsm.Record, k *Key, version uint32) (*material.Key, error) {
	body, err := records.open(s.barrier, ref, r)
	if err != nil {
		return nil, err
	}
	m := body.(*Material)
	defer secret.Wipe(m.Plain)
	if m.KeyID != k.Raw || m.Version != version {
		return nil, fmt.Errorf("the material is that of version %d of key %s", m.Version, hex.EncodeToString(m.KeyID[:]))
	}
	return material.Open(k.Spec, m.Plain)
}

func errSealed() error {
	return kms.Errorf(kms.CodeSealed, "This node is sealed.")
}
