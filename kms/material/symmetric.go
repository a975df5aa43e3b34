package material

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/lockstep-kms/lockstep/aead"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
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

// errWiped is the answer to using material after Wipe.
func errWiped() error {
	return kms.Errorf(kms.CodeSealed, "This node is sealed.")
}

// NewSymmetric returns new random material for a SYMMETRIC_DEFAULT key. The caller wipes it.
func NewSymmetric() secret.Bytes {
	plain := make(secret.Bytes, SymmetricSize)
	rand.Read(plain) // never fails: the runtime ends the process first
	return plain
}

// Symmetric is a handle on the opened material of one key version. It is safe for concurrent use,
// and pinned while it is used: Wipe waits for the calls that hold it, and none begins after it.
type Symmetric struct {
	mu    sync.RWMutex
	plain secret.Bytes // guarded by mu; nil once wiped
}

// Open returns a handle on a copy of plain, which has SymmetricSize bytes; anything else is
// CodeUnavailable, for a stored record that cannot be used. The caller wipes its plain.
func Open(plain []byte) (*Symmetric, error) {
	if len(plain) != SymmetricSize {
		return nil, kms.Errorf(kms.CodeUnavailable, "The key material cannot be used.").
			WithCause(fmt.Errorf("symmetric material has %d bytes instead of %d", len(plain), SymmetricSize))
	}
	return &Symmetric{plain: append(make(secret.Bytes, 0, SymmetricSize), plain...)}, nil
}

// Encrypt appends to dst the ciphertext of plaintext, Overhead bytes longer than it, under the key
// version that keyID and version name. The errors are CodeValidation for a context that
// CanonicalContext refuses and CodeSealed after Wipe; dst's content is never changed. plaintext and
// dst must not overlap.
func (s *Symmetric) Encrypt(dst []byte, keyID [16]byte, version uint32, context map[string]string, plaintext []byte) ([]byte, error) {
	header := Header{KeyID: keyID, KeyVersion: version}
	aad, err := bind(header, context)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.plain == nil {
		return nil, errWiped()
	}
	if need := Overhead + len(plaintext); cap(dst)-len(dst) < need {
		dst = append(make([]byte, 0, len(dst)+need), dst...)
	}
	return aead.Seal(header.appendTo(dst), s.plain, label, aad[2:HeaderSize], aad, plaintext)
}

// Decrypt appends to dst the plaintext of ciphertext. Every ciphertext that this handle's material
// did not make with this context gives one identical CodeInvalidCiphertext; the other errors are
// those of Encrypt.
func (s *Symmetric) Decrypt(dst, ciphertext []byte, context map[string]string) ([]byte, error) {
	header, err := ParseHeader(ciphertext)
	if err != nil {
		return nil, err
	}
	aad, err := bind(header, context)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.plain == nil {
		return nil, errWiped()
	}
	plaintext, err := aead.Open(dst, s.plain, label, aad[2:HeaderSize], aad, ciphertext[HeaderSize:])
	if errors.Is(err, aead.ErrOpen) {
		return nil, errInvalid()
	}
	return plaintext, err
}

// Wipe waits until no call uses the material and overwrites it. It may be called more than once.
func (s *Symmetric) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plain.Wipe()
	s.plain = nil
}

// Format writes a fixed text for every verb: fmt would print the material through the unexported
// field.
func (s *Symmetric) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns a fixed text.
func (s *Symmetric) LogValue() slog.Value { return slog.StringValue(redacted) }

const redacted = "[redacted]"

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
