package material

import (
	"crypto/fips140"

	"github.com/lockstep-kms/lockstep/kms"
)

// FIPS reports whether the process runs in FIPS 140-3 mode (GODEBUG=fips140=on or only). The mode is
// fixed when the process starts, so what was opened stays allowed.
func FIPS() bool { return fips140.Enabled() }

// AllowedFIPS reports whether keys of a spec may be made and used in FIPS mode. False is what the
// FIPS 140-3 module of the Go standard library does not do: secp256k1, ML-KEM-512, and ML-DSA for as
// long as it comes from another module.
func AllowedFIPS(spec kms.KeySpec) bool {
	switch spec {
	case kms.ECCSECGP256K1, kms.MLKEM512, kms.MLDSA44, kms.MLDSA65, kms.MLDSA87:
		return false
	}
	_, known := spec.Spec()
	return known
}

// refuseSHA1 is the answer to OAEP with SHA-1 in FIPS mode; nil outside of it.
func refuseSHA1[A ~string](a A) error {
	if !FIPS() {
		return nil
	}
	return kms.Errorf(kms.CodeUnsupported, "Algorithm %s is not available in FIPS mode.", string(a))
}
