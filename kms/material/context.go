package material

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/kms"
)

// MaxContext is the most bytes that the canonical form of an encryption context may have.
const MaxContext = 8192

// CanonicalContext returns the one byte form of an encryption context, which ciphertexts
// authenticate:
//
//	0         2
//	+---------+---------+---------+-----------+-----------+-- - -
//	| pairs   | key len | key     | value len | value     | next pair
//	| u16     | u16     | UTF-8   | u16       | UTF-8     |
//	+---------+---------+---------+-----------+-----------+-- - -
//
// Integers are big-endian and pairs ascend by the bytes of their keys. A nil and an empty context
// are the same two zero bytes. What is longer than MaxContext or not UTF-8 is refused with
// CodeValidation.
func CanonicalContext(context map[string]string) ([]byte, error) {
	size, err := contextSize(context)
	if err != nil {
		return nil, err
	}
	return appendContext(make([]byte, 0, size), context), nil
}

// contextSize returns the length of the canonical form after checking its limits.
func contextSize(context map[string]string) (int, error) {
	size := 2
	for key, value := range context {
		size += 4 + len(key) + len(value)
		if size > MaxContext {
			return 0, kms.Errorf(kms.CodeValidation, "The encryption context is too long: its keys and values, with 4 bytes for each pair, may have %d bytes.", MaxContext-2)
		}
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return 0, kms.Errorf(kms.CodeValidation, "The encryption context is not valid UTF-8.")
		}
	}
	return size, nil
}

// appendContext appends the canonical form of a context that contextSize accepted.
func appendContext(dst []byte, context map[string]string) []byte {
	var few [8]string // sorts usual contexts without an allocation
	keys := few[:0]
	for key := range context {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(keys)))
	for _, key := range keys {
		dst = appendString(dst, key)
		dst = appendString(dst, context[key])
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}
