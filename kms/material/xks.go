package material

import (
	"encoding/binary"
	"errors"

	"github.com/lockstep-kms/lockstep/aead"
	"github.com/lockstep-kms/lockstep/kms"
)

// Sizes of what an external key store (XKS) keeps, in bytes. The ciphertext is as long as its plaintext.
const (
	XKSMetadataSize = 1 + 4 + aead.CompactCommitmentSize // ciphertextMetadata, of which the protocol allows 20
	XKSIVSize       = aead.CompactIVSize                 // initializationVector, 12 or 16
	XKSTagSize      = aead.CompactTagSize                // authenticationTag
	XKSOverhead     = XKSMetadataSize + XKSIVSize + XKSTagSize

	// MaxXKSData is the most bytes of additionalAuthenticatedData.
	MaxXKSData = 8192
)

const (
	xksVersion1 = 0x81 // far from the versions of ciphertexts that we hand out ourselves
	xksLabel    = "lockstep/xks/v1"
)

// ParseXKS returns the key version that an XKS blob names; nothing in it is proven until DecryptXKS succeeds. What is
// no blob gives the error that Decrypt gives for every invalid ciphertext.
func ParseXKS(blob []byte) (version uint32, err error) {
	if len(blob) < XKSOverhead || blob[0] != xksVersion1 {
		return 0, errInvalid()
	}
	return binary.BigEndian.Uint32(blob[1:5]), nil
}

// EncryptXKS returns what the XKS proxy protocol calls ciphertextMetadata | initializationVector | ciphertext |
// authenticationTag of plaintext with data, its additionalAuthenticatedData; DESIGN.md draws it. The errors are
// CodeValidation for data longer than MaxXKSData, CodeInvalidKeyUsage for another spec and CodeSealed after Wipe.
func (k *Key) EncryptXKS(keyID [16]byte, version uint32, data, plaintext []byte) ([]byte, error) {
	if err := k.checkXKS(data); err != nil {
		return nil, err
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	blob := append(make([]byte, 0, XKSOverhead+len(plaintext)), xksVersion1)
	blob = binary.BigEndian.AppendUint32(blob, version)
	info, aad := bindXKS(keyID, version, data)
	return aead.SealCompact(blob, k.plain, xksLabel, info, aad, plaintext)
}

// DecryptXKS returns the plaintext of what EncryptXKS made. Every blob that this handle's material did not make for
// this key with this data gives the CodeInvalidCiphertext of Decrypt; the other errors are those of EncryptXKS.
func (k *Key) DecryptXKS(keyID [16]byte, data, blob []byte) ([]byte, error) {
	if err := k.checkXKS(data); err != nil {
		return nil, err
	}
	version, err := ParseXKS(blob)
	if err != nil {
		return nil, err
	}
	if err := k.pin(); err != nil {
		return nil, err
	}
	defer k.mu.RUnlock()
	info, aad := bindXKS(keyID, version, data)
	plaintext, err := aead.OpenCompact(nil, k.plain, xksLabel, info, aad, blob[5:])
	if errors.Is(err, aead.ErrOpen) {
		return nil, errInvalid()
	}
	return plaintext, err
}

func (k *Key) checkXKS(data []byte) error {
	if k.spec != kms.SymmetricDefault {
		return errAlgorithm(kms.AlgorithmSymmetricDefault, k.spec)
	}
	if len(data) > MaxXKSData {
		return kms.Errorf(kms.CodeValidation, "The additional authenticated data is longer than %d bytes.", MaxXKSData)
	}
	return nil
}

// bindXKS returns what the derived key is bound to, key id | key version, and what is authenticated beside the
// plaintext: length and bytes of data, then length and bytes of the ciphertextMetadata, of which package aead appends
// the commitment.
func bindXKS(keyID [16]byte, version uint32, data []byte) (info, aad []byte) {
	info = binary.BigEndian.AppendUint32(append(make([]byte, 0, 20), keyID[:]...), version)
	aad = binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(data)+1+XKSMetadataSize), uint16(len(data)))
	aad = append(append(aad, data...), XKSMetadataSize, xksVersion1)
	return info, binary.BigEndian.AppendUint32(aad, version)
}
