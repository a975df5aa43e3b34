package kms

import "crypto/ed25519"

// AuditAnchor is what the cluster keeps of a node's audit trail: the key that signs its heads, and the latest head, which
// each one replaces. Whoever has an old anchor can still hold the files against it.
type AuditAnchor struct {
	Schema uint8     `cbor:"0,keyasint"` // 1
	Node   string    `cbor:"1,keyasint"`
	Seed   Sensitive `cbor:"2,keyasint"`           // of the Ed25519 key (RFC 8032), 32 bytes
	Seq    uint64    `cbor:"3,keyasint,omitempty"` // position of the head's record in the node's chain; 0: nothing is anchored yet
	Hash   []byte    `cbor:"4,keyasint,omitempty"` // SHA-256 of that record's line
	Signed int64     `cbor:"5,keyasint,omitempty"` // Unix milliseconds, by the node's clock
}

// Key returns the key that signs the node's heads.
func (a *AuditAnchor) Key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(a.Seed) }
