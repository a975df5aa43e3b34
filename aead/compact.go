package aead

import (
	"crypto/rand"
	"crypto/subtle"
	"slices"
)

// Sizes of a compact body, in bytes.
const (
	CompactCommitmentSize = 15
	CompactIVSize         = 4 + ivSize // salt | iv
	CompactTagSize        = tagSize

	// CompactOverhead is how much longer a compact body is than its plaintext.
	CompactOverhead = CompactCommitmentSize + CompactIVSize + CompactTagSize
)

// SealCompact is Seal for a protocol that has no room for a body: it appends CompactOverhead bytes more than
// plaintext has, to which info and label are bound as in Seal, and
// aad | commitment is what AES-256-GCM authenticates beside the plaintext:
//
//	+---------------+--------+-------+------------+--------+
//	| commitment 15 | salt 4 | iv 12 | ciphertext | tag 16 |
//	+---------------+--------+-------+------------+--------+
//
//	derived            = HKDF-SHA256(ikm: key, salt: salt, info: label | 0x00 | info), 64 bytes
//	encryption key     = derived[0:32]
//	commitment         = derived[32:47]
//	ciphertext and tag = AES-256-GCM(encryption key, iv, aad | commitment, plaintext)
//
// What it costs: salt and iv are 16 random bytes together, so that one of 2^48 messages under a key repeats both
// with a probability of 2^-33; a body that opens under two keys takes 2^60 work to make, not 2^128.
func SealCompact(dst, key []byte, label string, info, aad, plaintext []byte) ([]byte, error) {
	if len(key) != KeySize {
		return nil, errKeySize
	}
	dst = slices.Grow(dst, CompactOverhead+len(plaintext))
	start := len(dst)
	dst = dst[:start+CompactCommitmentSize+CompactIVSize-ivSize]
	commitment, salt := dst[start:start+CompactCommitmentSize], dst[start+CompactCommitmentSize:]
	rand.Read(salt)
	derived, err := derive(key, salt, label, info)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	copy(commitment, derived[KeySize:])
	gcm, err := newGCM(derived[:KeySize])
	if err != nil {
		return nil, err
	}
	return gcm.Seal(dst, nil, plaintext, slices.Concat(aad, commitment)), nil
}

// OpenCompact is Open for what SealCompact made.
func OpenCompact(dst, key []byte, label string, info, aad, body []byte) ([]byte, error) {
	if len(key) != KeySize {
		return nil, errKeySize
	}
	if len(body) < CompactOverhead {
		return nil, ErrOpen
	}
	commitment, salted := body[:CompactCommitmentSize], body[CompactCommitmentSize:]
	salt, sealed := salted[:CompactIVSize-ivSize], salted[CompactIVSize-ivSize:]
	derived, err := derive(key, salt, label, info)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	if subtle.ConstantTimeCompare(derived[KeySize:KeySize+CompactCommitmentSize], commitment) != 1 {
		return nil, ErrOpen
	}
	gcm, err := newGCM(derived[:KeySize])
	if err != nil {
		return nil, err
	}
	out, err := gcm.Open(dst, nil, sealed, slices.Concat(aad, commitment))
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}
