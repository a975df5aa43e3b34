package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/lockstep-kms/lockstep/aead"
	"github.com/lockstep-kms/lockstep/secret"
)

// The keyring in clear, as it is wrapped and as it lies in locked memory, numbers big-endian:
//
//	+-----------+---------------+-------------------------------------+
//	| version 1 | active term 4 | { term 4 | key 32 }, terms ascending |
//	+-----------+---------------+-------------------------------------+
const (
	keyringVersion = 1
	keyringHeader  = 5
	keyringEntry   = 4 + keySize
)

// A record body, numbers big-endian:
//
//	+----------+--------+-----------+
//	| format 1 | term 4 | aead body |
//	+----------+--------+-----------+
//
//	aead key   = the keyring's key of the term
//	aead label = "lockstep/record/1"
//	aead info  = format | term
//	aead aad   = format | cluster id 16 | kind 1 | id length 4 | id | revision 8
const (
	bodyFormat = 1
	bodyHeader = 5

	// Overhead is how much longer a record body is than its plaintext.
	Overhead = bodyHeader + aead.Overhead
)

// ErrOpen is the one error of Open for every body that does not open.
var ErrOpen = errors.New("seal: record does not open")

// Barrier seals and opens record bodies and names records, with keys in locked memory. It is safe
// for concurrent use. After Wipe it refuses with kms.CodeSealed.
type Barrier struct {
	clusterID [16]byte // immutable
	active    uint32   // immutable: the term that Seal uses

	mu    sync.RWMutex      // held for reading while a key is used, for writing by Wipe
	keys  *secret.Locked    // guarded by mu; nil once wiped: root | index | keyring
	root  []byte            // guarded by mu, inside keys
	index []byte            // guarded by mu, inside keys
	terms map[uint32][]byte // guarded by mu, values inside keys
}

// openBarrier unwraps everything in c straight into locked memory and checks c's MAC.
func openBarrier(c Config, unsealKey []byte, allowUnlocked bool) (*Barrier, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	keys, err := secret.NewLocked(2*keySize+len(c.WrappedKeyring)-aead.Overhead, allowUnlocked)
	if err != nil {
		return nil, errMemory(err)
	}
	b := &Barrier{clusterID: c.ClusterID, keys: keys}
	if err := b.unwrap(c, unsealKey); err != nil {
		b.Wipe()
		return nil, err
	}
	return b, nil
}

func (b *Barrier) unwrap(c Config, unsealKey []byte) error {
	mem := b.keys.Bytes()
	var err error
	if b.root, err = aead.Open(mem[:0:keySize], unsealKey, labelRoot, c.rootInfo(), nil, c.WrappedRoot); err != nil {
		return errConfig("the root key does not open")
	}
	if err := c.verify(b.root); err != nil {
		return err
	}
	if b.index, err = aead.Open(mem[keySize:keySize:2*keySize], b.root, labelIndex, c.ClusterID[:], nil, c.WrappedIndexKey); err != nil {
		return errConfig("the index key does not open")
	}
	keyring, err := aead.Open(mem[2*keySize:2*keySize], b.root, labelKeyring, c.ClusterID[:], nil, c.WrappedKeyring)
	if err != nil {
		return errConfig("the keyring does not open")
	}
	b.active, b.terms, err = parseKeyring(keyring)
	return err
}

// parseKeyring returns the active term and the keys of all terms, as slices of keyring.
func parseKeyring(keyring []byte) (active uint32, terms map[uint32][]byte, err error) {
	if len(keyring) < keyringHeader || keyring[0] != keyringVersion || (len(keyring)-keyringHeader)%keyringEntry != 0 {
		return 0, nil, errConfig("the keyring cannot be read")
	}
	active = binary.BigEndian.Uint32(keyring[1:])
	terms = make(map[uint32][]byte)
	last := uint32(0) // term 0 stands for "not sealed"
	for rest := keyring[keyringHeader:]; len(rest) > 0; rest = rest[keyringEntry:] {
		term := binary.BigEndian.Uint32(rest)
		if term <= last {
			return 0, nil, errConfig("the keyring's terms are out of order")
		}
		terms[term] = rest[4:keyringEntry:keyringEntry]
		last = term
	}
	if terms[active] == nil {
		return 0, nil, errConfig("the keyring's active term has no key")
	}
	return active, terms, nil
}

// ClusterID returns the cluster the keys belong to.
func (b *Barrier) ClusterID() [16]byte { return b.clusterID }

// Term returns the keyring term that Seal uses.
func (b *Barrier) Term() uint32 { return b.active }

// Seal encrypts a record's plaintext for exactly this kind, id and revision and returns the body
// and the term it is sealed under. The error is kms.CodeSealed after Wipe.
func (b *Barrier) Seal(kind uint8, id string, revision uint64, plaintext []byte) (body []byte, term uint32, err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return nil, 0, errSealed()
	}
	body = make([]byte, 0, Overhead+len(plaintext))
	body = binary.BigEndian.AppendUint32(append(body, bodyFormat), b.active)
	body, err = aead.Seal(body, b.terms[b.active], labelRecord, body[:bodyHeader], b.recordAAD(kind, id, revision), plaintext)
	if err != nil {
		return nil, 0, fmt.Errorf("seal: record: %w", err)
	}
	return body, b.active, nil
}

// Open decrypts a body that Seal made for this kind, id and revision. Any other body gives ErrOpen;
// after Wipe the error is kms.CodeSealed.
func (b *Barrier) Open(kind uint8, id string, revision uint64, body []byte) ([]byte, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return nil, errSealed()
	}
	if len(body) < Overhead || body[0] != bodyFormat {
		return nil, ErrOpen
	}
	key := b.terms[binary.BigEndian.Uint32(body[1:])]
	if key == nil {
		return nil, ErrOpen
	}
	plaintext, err := aead.Open(nil, key, labelRecord, body[:bodyHeader], b.recordAAD(kind, id, revision), body[bodyHeader:])
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

func (b *Barrier) recordAAD(kind uint8, id string, revision uint64) []byte {
	aad := make([]byte, 0, 1+len(b.clusterID)+1+4+len(id)+8)
	aad = append(aad, bodyFormat)
	aad = append(aad, b.clusterID[:]...)
	aad = append(aad, kind)
	aad = binary.BigEndian.AppendUint32(aad, uint32(len(id)))
	aad = append(aad, id...)
	return binary.BigEndian.AppendUint64(aad, revision)
}

// NameID returns the opaque id that stands for label and parts in this cluster, for ever:
// HMAC-SHA256 under the index key over label and parts, each with its 4-byte length before it. After
// Wipe it returns the zero id, which names nothing: a record cannot be sealed under it any more.
func (b *Barrier) NameID(label string, parts ...string) (id [32]byte) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return id
	}
	h := hmac.New(sha256.New, b.index)
	var message []byte
	for _, s := range append([]string{label}, parts...) {
		message = binary.BigEndian.AppendUint32(message, uint32(len(s)))
		message = append(message, s...)
	}
	h.Write(message)
	h.Sum(id[:0])
	return id
}

// MarkActivated returns c with Activated set and a new MAC; after the first successful unseal
// nothing may replace the set. It refuses a Config that is not of this Barrier's root key.
func (b *Barrier) MarkActivated(c Config) (Config, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return Config{}, errSealed()
	}
	if err := c.verify(b.root); err != nil {
		return Config{}, err
	}
	c.Activated = true
	var err error
	c.MAC, err = c.mac(b.root)
	return c, err
}

// Verify refuses a Config that is not of this Barrier's root key.
func (b *Barrier) Verify(c Config) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return errSealed()
	}
	return c.verify(b.root)
}

// Wipe waits for calls in flight, then overwrites every key. It can be called again.
func (b *Barrier) Wipe() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys == nil {
		return
	}
	_ = b.keys.Close() // wipes first; what fails can only be giving the pages back
	b.keys, b.root, b.index, b.terms = nil, nil, nil, nil
}

// Format keeps fmt from printing what is inside.
func (b *Barrier) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[barrier]") }
