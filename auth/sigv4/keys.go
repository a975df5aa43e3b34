package sigv4

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"hash/maphash"
	"strings"
	"sync"
)

// shards is the number of parts of the cache, each with its own lock.
const shards = 16

// keyID names a signing key.
type keyID struct{ accessKeyID, date, region, service string }

// Keys is a bounded cache of signing keys, which cost four HMACs to derive. It is safe for
// concurrent use. Each key is bound to a keyed hash of the secret it was derived from and is used
// only for that secret, so a secret that was changed or taken away never verifies with an old key.
// Only keys that verified a request are put in, so requests that prove nothing cannot push out those
// of others.
type Keys struct {
	hashKey [32]byte // of the keyed hash of secrets; immutable after NewKeys
	seed    maphash.Seed
	shards  [shards]shard
}

// shard is a part of the cache. It evicts by the clock algorithm: the hand passes over entries found
// again since it last came by and takes the first that was not.
type shard struct {
	mu      sync.Mutex
	index   map[keyID]int // place in entries; guarded by mu
	entries []entry       // allocated once, so no growth leaves copies of keys; guarded by mu
	hand    int           // guarded by mu
	wipes   uint64        // how often the shard was wiped; guarded by mu
}

type entry struct {
	id     keyID
	secret [32]byte // the keyed hash of the secret
	key    [32]byte
	used   bool
}

// ticket is what get found out and put needs: the keyed hash of the secret and the age of the shard.
type ticket struct {
	secret [32]byte
	wipes  uint64
}

// NewKeys returns a cache of about capacity keys, at least one in each of its 16 parts. A cache of
// 4096 takes less than 1 MiB.
func NewKeys(capacity int) *Keys {
	k := &Keys{seed: maphash.MakeSeed()}
	rand.Read(k.hashKey[:]) // never fails; see its documentation
	for i := range k.shards {
		size := max(1, capacity/shards)
		k.shards[i].index = make(map[keyID]int, size)
		k.shards[i].entries = make([]entry, 0, size)
	}
	return k
}

// Wipe forgets and overwrites all keys, when the server is sealed. A Verify that is under way does
// not put its key in afterwards.
func (k *Keys) Wipe() {
	for i := range k.shards {
		s := &k.shards[i]
		s.mu.Lock()
		clear(s.index)
		clear(s.entries)
		s.entries = s.entries[:0]
		s.hand = 0
		s.wipes++
		s.mu.Unlock()
	}
}

// get returns the key of id if it is cached and was derived from secret.
func (k *Keys) get(id keyID, secret []byte) (key [32]byte, t ticket, ok bool) {
	if k == nil {
		return key, t, false
	}
	t.secret = k.hashed(secret)
	s := k.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.wipes = s.wipes
	i, found := s.index[id]
	if !found || subtle.ConstantTimeCompare(s.entries[i].secret[:], t.secret[:]) == 0 {
		return key, t, false
	}
	s.entries[i].used = true
	return s.entries[i].key, t, true
}

// hashed is the keyed hash of a secret: SHA-256 of a random key and the secret. The key has a fixed
// length and no hash leaves the memory of the process, so this needs none of what HMAC adds.
func (k *Keys) hashed(secret []byte) [32]byte {
	var buf [128]byte
	data := append(append(buf[:0], k.hashKey[:]...), secret...)
	defer clear(data)
	return sha256.Sum256(data)
}

// put puts in a key that get did not find and that verified a request.
func (k *Keys) put(id keyID, t ticket, key [32]byte) {
	if k == nil {
		return
	}
	s := k.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.wipes != s.wipes {
		return
	}
	i, found := s.index[id]
	if !found {
		// The strings of a request are parts of its whole header, which must not stay in memory.
		id = keyID{strings.Clone(id.accessKeyID), strings.Clone(id.date), strings.Clone(id.region), strings.Clone(id.service)}
		i = s.free()
		s.index[id] = i
		s.entries[i].id = id
	}
	e := &s.entries[i]
	e.secret, e.key, e.used = t.secret, key, false // not used again yet
}

// free returns the place of an entry that is not in use, after evicting one if there is none.
func (s *shard) free() int {
	if n := len(s.entries); n < cap(s.entries) {
		s.entries = s.entries[:n+1]
		return n
	}
	for s.entries[s.hand].used {
		s.entries[s.hand].used = false
		s.hand = (s.hand + 1) % len(s.entries)
	}
	i := s.hand
	s.hand = (s.hand + 1) % len(s.entries)
	delete(s.index, s.entries[i].id)
	s.entries[i] = entry{}
	return i
}

func (k *Keys) shard(id keyID) *shard {
	return &k.shards[maphash.String(k.seed, id.accessKeyID)%shards]
}
