// Package secret holds what must not leak: bytes that redact themselves, memory that is neither
// swapped nor dumped, and the hardening of the process around them.
//
// It promises that a value of its types never shows its bytes through fmt, log/slog, encoding/json
// or a text encoding, and that a Locked region is outside the Go heap, wiped before it is given
// back, and (unless the operator allowed otherwise) locked into memory. It does not promise that
// Go keeps no copy: key schedules of ciphers, strings, and what a caller copied stay until the
// collector reuses them. fmt cannot call methods on unexported struct fields, so a struct that
// holds Bytes in one must redact itself.
//
// The invariant that would hurt: no code path turns a secret into text except an explicit
// string(b) or copy, which a reviewer can search for.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Bytes is a secret on the heap. Its length is not a secret. Convert it with []byte(b) or
// string(b) where the bytes themselves are meant.
type Bytes []byte

// Wipe overwrites the bytes with zeros.
func (b Bytes) Wipe() { clear(b) }

// String returns a fixed text instead of the bytes.
func (b Bytes) String() string { return redacted }

// GoString returns a fixed text instead of the bytes.
func (b Bytes) GoString() string { return redacted }

// Format writes a fixed text for every verb, the numeric ones included.
func (b Bytes) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns a fixed text instead of the bytes.
func (b Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns a fixed text instead of the bytes.
func (b Bytes) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns a fixed text instead of the bytes.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Equal reports whether a and b are the same bytes, in time that depends on their lengths only.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// Wipe overwrites b with zeros.
func Wipe(b []byte) { clear(b) }
