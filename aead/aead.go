// Package aead is the one authenticated encryption of the product. Records, wrapped keys and
// ciphertexts all are bodies of this package, so there is one construction to review.
//
// It promises confidentiality and integrity of the plaintext and integrity of label, info and aad
// under a 32-byte key, for any number of messages (each has its own derived key), and commitment: a
// body opens under one key only. It does not promise to hide the plaintext's length or to notice a
// replay; what a body may stand for is bound by its label, info and aad.
//
// The invariant that would hurt: a body that was changed in any bit, and a body under another key,
// label, info or aad, all give the same ErrOpen and no plaintext.
//
// A body, all lengths in bytes:
//
//	+---------+---------------+-------+-----------------+--------+
//	| salt 32 | commitment 32 | iv 12 | ciphertext      | tag 16 |
//	+---------+---------------+-------+-----------------+--------+
//
//	derived            = HKDF-SHA256(ikm: key, salt: salt, info: label | 0x00 | info), 64 bytes
//	encryption key     = derived[0:32]
//	commitment         = derived[32:64]
//	ciphertext and tag = AES-256-GCM(encryption key, iv, aad, plaintext)
//
// SealCompact has a second form for a protocol without room for these, with its own promises.
//
// Salt and iv are random. A label has no zero byte, so label | 0x00 | info reads one way only.
package aead

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
)

// Sizes in bytes.
const (
	KeySize        = 32
	saltSize       = 32
	commitmentSize = 32
	ivSize         = 12
	tagSize        = 16
	prefixSize     = saltSize + commitmentSize

	// Overhead is how much longer a body is than its plaintext.
	Overhead = prefixSize + ivSize + tagSize
)

// ErrOpen is the one error of Open for every body that does not open.
var ErrOpen = errors.New("aead: body does not open")

// Errors of wrong use, which no input from outside can cause.
var (
	errKeySize = errors.New("aead: the key is not 32 bytes")
	errLabel   = errors.New("aead: a label is empty or has a zero byte")
)

// Seal encrypts plaintext under key and appends the body to dst, Overhead longer than plaintext. The
// label names the purpose (domain separation), info what the derived key is bound to, aad what is
// authenticated beside the plaintext. plaintext and aad must not overlap the spare capacity of dst.
func Seal(dst, key []byte, label string, info, aad, plaintext []byte) ([]byte, error) {
	if len(key) != KeySize {
		return nil, errKeySize
	}
	dst = slices.Grow(dst, Overhead+len(plaintext))
	start := len(dst)
	dst = dst[:start+prefixSize]
	salt := dst[start : start+saltSize]
	rand.Read(salt)
	derived, err := derive(key, salt, label, info)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	copy(dst[start+saltSize:], derived[KeySize:])
	gcm, err := newGCM(derived[:KeySize])
	if err != nil {
		return nil, err
	}
	return gcm.Seal(dst, nil, plaintext, aad), nil
}

// Open decrypts a body that Seal made with the same key, label, info and aad and appends the
// plaintext to dst. A body that does not open gives ErrOpen and nothing else.
func Open(dst, key []byte, label string, info, aad, body []byte) ([]byte, error) {
	if len(key) != KeySize {
		return nil, errKeySize
	}
	if len(body) < Overhead {
		return nil, ErrOpen
	}
	derived, err := derive(key, body[:saltSize], label, info)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	if subtle.ConstantTimeCompare(derived[KeySize:], body[saltSize:prefixSize]) != 1 {
		return nil, ErrOpen
	}
	gcm, err := newGCM(derived[:KeySize])
	if err != nil {
		return nil, err
	}
	out, err := gcm.Open(dst, nil, body[prefixSize:], aad)
	if err != nil {
		return nil, ErrOpen
	}
	return out, nil
}

// derive returns encryption key | commitment.
func derive(key, salt []byte, label string, info []byte) ([]byte, error) {
	if label == "" || strings.IndexByte(label, 0) >= 0 {
		return nil, errLabel
	}
	return hkdf.Key(sha256.New, key, salt, label+"\x00"+string(info), KeySize+commitmentSize)
}

// newGCM returns AES-256-GCM that draws a random iv for each Seal and puts it before the
// ciphertext; this form alone is allowed under GODEBUG=fips140=only.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
