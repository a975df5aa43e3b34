package material

import (
	"encoding/binary"
	"errors"

	"github.com/lockstep-kms/lockstep/aead"
	"github.com/lockstep-kms/lockstep/kms"
)

// Sizes of symmetric material and its ciphertexts, in bytes.
const (
	SymmetricSize = 32                         // material of a SYMMETRIC_DEFAULT key
	HeaderSize    = 1 + 1 + 16 + 4             // in clear before the sealed body
	Overhead      = HeaderSize + aead.Overhead // ciphertext length minus plaintext length
)

const (
	version1      = 1
	algorithmAEAD = 1 // AES-256-GCM under a derived, committed key: package aead

	// label separates these derived keys from every other use of package aead.
	label = "lockstep/ciphertext/v1"
)

// Header is what a ciphertext says in clear: which material made it.
type Header struct {
	KeyID      [16]byte // the UUID's bytes, see kms.KeyIDBytes
	KeyVersion uint32   // kms.Material.Version
}

// ParseHeader reads the header of a ciphertext without opening it; nothing in it is proven until
// Decrypt succeeds. Unknown versions and algorithms and short input give the error that Decrypt
// gives for every invalid ciphertext.
func ParseHeader(ciphertext []byte) (Header, error) {
	if len(ciphertext) < Overhead || ciphertext[0] != version1 || ciphertext[1] != algorithmAEAD {
		return Header{}, errInvalid()
	}
	return Header{
		KeyID:      [16]byte(ciphertext[2:18]),
		KeyVersion: binary.BigEndian.Uint32(ciphertext[18:22]),
	}, nil
}

// appendTo appends the 22 header bytes:
//
//	0         1           2              18            22
//	+---------+-----------+--------------+-------------+
//	| version | algorithm | key id       | key version |
//	| 1       | 1         | 16 bytes     | u32         |
//	+---------+-----------+--------------+-------------+
func (h Header) appendTo(dst []byte) []byte {
	dst = append(dst, version1, algorithmAEAD)
	dst = append(dst, h.KeyID[:]...)
	return binary.BigEndian.AppendUint32(dst, h.KeyVersion)
}

// errInvalid is the one error of every ciphertext that does not open, whatever is wrong with it.
func errInvalid() error {
	return kms.Errorf(kms.CodeInvalidCiphertext, "The ciphertext is not valid: it was changed, or it was made with another encryption context.")
}

// Encrypt appends to dst the ciphertext of plaintext, Overhead bytes longer than it, under the key
// version that keyID and version name. The errors are CodeValidation for a context that
// CanonicalContext refuses, CodeInvalidKeyUsage for another spec and CodeSealed after Wipe; dst's content is never changed. plaintext and
// dst must not overlap.
func (k *Key) Encrypt(dst []byte, keyID [16]byte, version uint32, context map[string]string, plaintext []byte) ([]byte, error) {
	if k.spec != kms.SymmetricDefault {
		return nil, errAlgorithm(kms.AlgorithmSymmetricDefault, k.spec)
	}
	header := Header{KeyID: keyID, KeyVersion: version}
	aad, err := bind(header, context)
	if err != nil {
		return nil, err
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	if need := Overhead + len(plaintext); cap(dst)-len(dst) < need {
		dst = append(make([]byte, 0, len(dst)+need), dst...)
	}
	return aead.Seal(header.appendTo(dst), k.plain, label, aad[2:HeaderSize], aad, plaintext)
}

// Decrypt appends to dst the plaintext of ciphertext. Every ciphertext that this handle's material
// did not make with this context gives one identical CodeInvalidCiphertext; the other errors are
// those of Encrypt.
func (k *Key) Decrypt(dst, ciphertext []byte, context map[string]string) ([]byte, error) {
	if k.spec != kms.SymmetricDefault {
		return nil, errAlgorithm(kms.AlgorithmSymmetricDefault, k.spec)
	}
	header, err := ParseHeader(ciphertext)
	if err != nil {
		return nil, err
	}
	aad, err := bind(header, context)
	if err != nil {
		return nil, err
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	plaintext, err := aead.Open(dst, k.plain, label, aad[2:HeaderSize], aad, ciphertext[HeaderSize:])
	if errors.Is(err, aead.ErrOpen) {
		return nil, errInvalid()
	}
	return plaintext, err
}

// bind returns what a ciphertext authenticates beside its plaintext: header | canonical context.
// The key id and key version in it are also the derivation info, so material that two key versions
// shared by mistake would still give them different keys.
func bind(h Header, context map[string]string) ([]byte, error) {
	size, err := contextSize(context)
	if err != nil {
		return nil, err
	}
	return appendContext(h.appendTo(make([]byte, 0, HeaderSize+size)), context), nil
}
