// Package seal turns key shares into the keys that open records, and back into nothing.
//
//	shares (t of n) -> unseal key -> root key -> keyring (one key a term) -> record bodies
//	                                         \-> index key -> opaque record ids
//
// Initialize makes all of it once per cluster and returns the shares, which exist nowhere else. The
// replicated seal Config holds the wrapped keys and what is needed to judge a share at once. An
// Unsealer collects shares on one node until the threshold is reached and then returns the Barrier,
// which seals and opens record bodies until it is wiped. A Relay brings submitted shares to the
// other members.
//
// The package promises that fewer than t shares tell nothing about any key; that a share that
// cannot count is refused by name and costs no progress; that a Config that was changed in any bit
// does not unseal; and that root key, keyring, index key and collected shares live in locked memory
// and are wiped when they are done with. It does not promise that a Config is the newest one, nor
// that the Go runtime keeps no copy of a derived key schedule. It knows no log, network or disk.
//
// The invariant that would hurt: a share leaves this package only as the answer of Initialize and
// through Relay's Deliver. It is in no error, log line, record or file.
//
// DESIGN.md beside this file has the decisions and the formats.
package seal

import (
	"fmt"

	"github.com/lockstep-kms/lockstep/kms"
)

const (
	keySize = 32

	// MaxShares is the largest number of shares a set can have.
	MaxShares = 32
)

// Domain separation labels. Each is used for one purpose and is never changed; a new version of a
// format gets a new label.
const (
	labelRoot      = "lockstep/seal/root/1"
	labelKeyring   = "lockstep/seal/keyring/1"
	labelIndex     = "lockstep/seal/index/1"
	labelConfigMAC = "lockstep/seal/config-mac/1"
	labelShareMAC  = "lockstep/seal/share-mac/1"
	labelCluster   = "lockstep/seal/cluster-fingerprint/1"
	labelRecord    = "lockstep/record/1"
	labelToken     = "lockstep/token/v1"
)

// checkSplit says whether n shares with threshold t are allowed: 2 <= t <= n <= MaxShares, or 1 of 1
// where a single share is allowed.
func checkSplit(t, n int, allowSingle bool) error {
	if t == 1 && n == 1 && allowSingle {
		return nil
	}
	if t < 2 || t > n || n > MaxShares {
		return kms.Errorf(kms.CodeValidation, "%d shares with threshold %d is not possible: the threshold is at least 2 and at most the number of shares, which is at most %d.", n, t, MaxShares)
	}
	return nil
}

// errConfig is the refusal to trust a seal configuration; what exactly is wrong is for the log.
func errConfig(format string, args ...any) error {
	return &kms.Error{
		Code:    kms.CodeUnavailable,
		Message: "The seal configuration of this cluster is damaged or was changed: " + fmt.Sprintf(format, args...) + ". Nothing was unsealed.",
		Reason:  "seal_config",
	}
}

// errMemory is the refusal to hold a secret in memory that cannot be protected.
func errMemory(err error) error {
	e := &kms.Error{
		Code:    kms.CodeUnavailable,
		Message: "This node cannot lock memory for key material; its log says what to change.",
		Reason:  "memory_lock",
	}
	return e.WithCause(err)
}

// errSealed is the answer of a wiped Barrier.
func errSealed() error { return kms.Errorf(kms.CodeSealed, "This node is sealed.") }
