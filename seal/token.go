package seal

import (
	"encoding/binary"
	"fmt"

	"github.com/lockstep-kms/lockstep/aead"
)

// A token, numbers big-endian:
//
//	+-----------+--------+-----------+
//	| version 1 | term 4 | aead body |
//	+-----------+--------+-----------+
//
//	aead key   = the keyring's key of the term
//	aead label = "lockstep/token/v1"
//	aead info  = version | term | purpose
//	aead aad   = version | cluster id 16 | purpose length 4 | purpose | the caller's aad
//
// The version and term have a fixed length, so info reads one way only; package aead derives a key of its
// own from it for every purpose and token.
const (
	tokenVersion = 1
	tokenHeader  = 5

	// TokenOverhead is how much longer a token is than its plaintext.
	TokenOverhead = tokenHeader + aead.Overhead
)

// SealToken encrypts what a client carries and brings back, so that no node has to remember it. purpose
// names what kind of token it is; aad is what the opener has to know again. A token can be brought any
// number of times and does not age: both are for what is inside. The error is kms.CodeSealed after Wipe.
func (b *Barrier) SealToken(purpose string, aad, plaintext []byte) ([]byte, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return nil, errSealed()
	}
	token := make([]byte, 0, TokenOverhead+len(plaintext))
	token = binary.BigEndian.AppendUint32(append(token, tokenVersion), b.active)
	info := tokenInfo(token, purpose)
	token, err := aead.Seal(token, b.terms[b.active], labelToken, info, b.tokenAAD(purpose, aad), plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal: token: %w", err)
	}
	return token, nil
}

// OpenToken decrypts a token that SealToken made for the same purpose and aad in this cluster. Any other
// gives ErrOpen; after Wipe the error is kms.CodeSealed.
func (b *Barrier) OpenToken(purpose string, aad, token []byte) ([]byte, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return nil, errSealed()
	}
	if len(token) < TokenOverhead || token[0] != tokenVersion {
		return nil, ErrOpen
	}
	key := b.terms[binary.BigEndian.Uint32(token[1:])]
	if key == nil {
		return nil, ErrOpen
	}
	plaintext, err := aead.Open(nil, key, labelToken, tokenInfo(token[:tokenHeader], purpose), b.tokenAAD(purpose, aad), token[tokenHeader:])
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

func tokenInfo(header []byte, purpose string) []byte {
	info := make([]byte, 0, tokenHeader+len(purpose))
	return append(append(info, header...), purpose...)
}

func (b *Barrier) tokenAAD(purpose string, aad []byte) []byte {
	bound := make([]byte, 0, 1+len(b.clusterID)+4+len(purpose)+len(aad))
	bound = append(append(bound, tokenVersion), b.clusterID[:]...)
	bound = binary.BigEndian.AppendUint32(bound, uint32(len(purpose)))
	return append(append(bound, purpose...), aad...)
}
