// Package chain is the form of an audit trail that makes it tamper-evident: how a record names the one before it, how a head
// is signed, what a checkpoint says, and how the files are named.
//
// The records of a node form one hash chain across restarts. A line of the trail ends with its place in the chain, inside
// the last member of the record, additionalEventData:
//
//	... ,"seq":77,"prev":"<43 characters>","hash":"<43 characters>"}}
//
//	seq   position of the record in the node's chain, from 1; each record has the one before it plus 1
//	prev  hash of the line before; 32 zero bytes for the first record of all
//	hash  SHA-256 of every byte of the line before ,"hash":" in base64url without padding (RFC 4648), as is prev
//
// So a line vouches for its own bytes: what hash does not cover has one form. Its hash vouches for every line before it too, and a
// signature of a hash, a head, for all of them. It promises that a line has one reading: what ReadLink accepts, and Fits its line,
// AppendLink writes byte for byte.
//
// The invariant that would hurt: a line is hashed as it is written, so nothing may touch it afterwards.
package chain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"
)

// Hash is that of a line. The zero value stands before the first record.
type Hash [sha256.Size]byte

// String returns the hash in base64url without padding.
func (h Hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// ParseHash reads what String returns, and nothing else: the decoder would pass over line breaks within.
func ParseHash(s string) (h Hash, err error) {
	if len(s) != hashText {
		return h, errHash
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(h[:], []byte(s)); err != nil || n != len(h) {
		return h, errHash
	}
	return h, nil
}

var errHash = errors.New("a hash is 43 characters of base64url")

// Link is a record's place in the chain, as its line says.
type Link struct {
	Seq  uint64
	Prev Hash // of the line before
	Hash Hash // of the line
}

const (
	hashText = 43 // characters of a hash
	seqKey   = `,"seq":`
	prevKey  = `,"prev":"`
	hashKey  = `,"hash":"`
	end      = `}}`

	unhashed = len(hashKey) + hashText + len(`"`) + len(end) // bytes at the end of a line that its hash does not cover

	// LinkSize is the most bytes that AppendLink appends.
	LinkSize = len(seqKey) + 20 + len(prevKey) + hashText + len(`"`) + unhashed
)

// AppendLink ends the record that begins at b[start], whose last object, additionalEventData, is open and has a member already. It
// returns the hash of the line.
func AppendLink(b []byte, start int, seq uint64, prev Hash) ([]byte, Hash) {
	b = append(b, seqKey...)
	b = strconv.AppendUint(b, seq, 10)
	b = appendHash(b, prevKey, prev)
	hash := Hash(sha256.Sum256(b[start:]))
	b = appendHash(b, hashKey, hash)
	return append(b, end...), hash
}

func appendHash(b []byte, key string, h Hash) []byte {
	b = append(b, key...)
	b = base64.RawURLEncoding.AppendEncode(b, h[:])
	return append(b, '"')
}

// ErrNoLink says that a line does not end with a place in a chain.
var ErrNoLink = errors.New("the line does not end with its place in the chain")

// ReadLink reads the end of a line, which is given without its newline. Whether the hash is the line's own, Fits tells.
func ReadLink(line []byte) (l Link, err error) {
	rest, ok := bytes.CutSuffix(line, []byte(end))
	if rest, l.Hash, err = cutHash(rest, hashKey); !ok || err != nil {
		return Link{}, ErrNoLink
	}
	if rest, l.Prev, err = cutHash(rest, prevKey); err != nil {
		return Link{}, ErrNoLink
	}
	digits := rest[len(rest)-countDigits(rest):]
	if !bytes.HasSuffix(rest[:len(rest)-len(digits)], []byte(seqKey)) {
		return Link{}, ErrNoLink
	}
	l.Seq, err = strconv.ParseUint(string(digits), 10, 64)
	if err != nil || digits[0] == '0' {
		return Link{}, ErrNoLink
	}
	return l, nil
}

// Fits reports whether the line that l was read from is the one that was hashed.
func (l Link) Fits(line []byte) bool { return sha256.Sum256(line[:len(line)-unhashed]) == l.Hash }

// Ended reports whether a line that cannot be read has its end all the same: no write was torn within it.
func Ended(line []byte) bool {
	return len(line) >= unhashed && bytes.HasPrefix(line[len(line)-unhashed:], []byte(hashKey)) && bytes.HasSuffix(line, []byte(end))
}

// cutHash takes what appendHash wrote off the end of b.
func cutHash(b []byte, key string) (rest []byte, h Hash, err error) {
	b, ok := bytes.CutSuffix(b, []byte{'"'})
	if !ok || len(b) < hashText {
		return b, h, errHash
	}
	if h, err = ParseHash(string(b[len(b)-hashText:])); err != nil {
		return b, h, err
	}
	if rest, ok = bytes.CutSuffix(b[:len(b)-hashText], []byte(key)); !ok {
		return b, h, errHash
	}
	return rest, h, nil
}

// countDigits counts the digits at the end of b, 21 at most.
func countDigits(b []byte) (n int) {
	for n < min(len(b), 21) && b[len(b)-1-n] >= '0' && b[len(b)-1-n] <= '9' {
		n++
	}
	return n
}

// Head is what a node signs of its chain: everything up to and including record Seq.
type Head struct {
	Cluster string // the cluster's id, hexadecimal
	Node    string
	Seq     uint64
	Hash    Hash  // of record Seq
	Time    int64 // ms since 1970, when it was signed
}

// message is what is signed: a domain, then the fields, each string behind its length.
//
//	"lockstep audit head v1" 0 | len cluster 2 | cluster | len node 2 | node | seq 8 | hash 32 | time 8
func (h Head) message() []byte {
	b := append([]byte("lockstep audit head v1"), 0)
	for _, s := range []string{h.Cluster, h.Node} {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	b = binary.BigEndian.AppendUint64(b, h.Seq)
	b = append(b, h.Hash[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(h.Time))
}

// Sign signs the head with Ed25519 (RFC 8032).
func (h Head) Sign(key ed25519.PrivateKey) []byte { return ed25519.Sign(key, h.message()) }

// Verify reports whether sig is the head's signature.
func (h Head) Verify(key ed25519.PublicKey, sig []byte) bool {
	return len(key) == ed25519.PublicKeySize && len(h.Cluster) < 1<<16 && len(h.Node) < 1<<16 && ed25519.Verify(key, h.message(), sig)
}

// Checkpoint is what a cluster says of the chains of its nodes at some time: offline, files are verified against it.
type Checkpoint struct {
	ClusterID string   `json:"cluster_id"`
	Anchors   []Anchor `json:"anchors"`
}

// Anchor is the latest head of a node's chain that the cluster has in its replicated state.
type Anchor struct {
	Node      string    `json:"node"`
	PublicKey []byte    `json:"public_key"` // Ed25519, of the node's audit key
	Seq       uint64    `json:"seq"`
	Hash      string    `json:"hash"` // as Hash.String writes it
	Time      time.Time `json:"time"` // when the node signed it
}
