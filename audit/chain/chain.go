// Package chain is the form of an audit trail that makes it tamper-evident: how a record names the one before it, how a head
// is signed, what a checkpoint says, and how the files are named.
//
// The records of a node form one hash chain across restarts. A line of the trail ends with its place in the chain, inside
// the last member of the record, additionalEventData:
//
//	... ,"seq":77,"prev":"<43 characters>"}}
//
//	seq   position of the record in the node's chain, from 1; each record has the one before it plus 1
//	prev  SHA-256 of the line before, without its newline, in base64url without padding (RFC 4648); 32 zero bytes for
//	      the first record of all
//
// So the hash of a line vouches for every line before it, and a signature of a hash, a head, for all of them. It promises that
// a line has one reading: what ReadLink accepts, AppendLink writes byte for byte.
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

// Hash is the SHA-256 of a line. The zero value stands before the first record.
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

// Of returns the hash of a line, which is given without its newline.
func Of(line []byte) Hash { return sha256.Sum256(line) }

// Link is a record's place in the chain.
type Link struct {
	Seq  uint64
	Prev Hash
}

const (
	hashText = 43 // characters of a hash
	prevKey  = `,"prev":"`
	seqKey   = `,"seq":`
	end      = `"}}`
)

// LinkSize is the most bytes that AppendLink appends.
const LinkSize = len(seqKey) + 20 + len(prevKey) + hashText + len(end)

// AppendLink ends a record whose last object, additionalEventData, is open and has a member already.
func AppendLink(b []byte, l Link) []byte {
	b = append(b, seqKey...)
	b = strconv.AppendUint(b, l.Seq, 10)
	b = append(b, prevKey...)
	b = base64.RawURLEncoding.AppendEncode(b, l.Prev[:])
	return append(b, end...)
}

// ErrNoLink says that a line does not end with a place in a chain.
var ErrNoLink = errors.New("the line does not end with its place in the chain")

// ReadLink reads the end of a line, which is given without its newline.
func ReadLink(line []byte) (l Link, err error) {
	rest, ok := bytes.CutSuffix(line, []byte(end))
	if !ok || len(rest) < hashText {
		return l, ErrNoLink
	}
	if l.Prev, err = ParseHash(string(rest[len(rest)-hashText:])); err != nil {
		return l, ErrNoLink
	}
	rest, ok = bytes.CutSuffix(rest[:len(rest)-hashText], []byte(prevKey))
	if !ok {
		return l, ErrNoLink
	}
	digits := rest[len(rest)-countDigits(rest):]
	if !bytes.HasSuffix(rest[:len(rest)-len(digits)], []byte(seqKey)) {
		return l, ErrNoLink
	}
	l.Seq, err = strconv.ParseUint(string(digits), 10, 64)
	if err != nil || digits[0] == '0' {
		return l, ErrNoLink
	}
	return l, nil
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
	Hash    Hash  // of the line of record Seq
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
