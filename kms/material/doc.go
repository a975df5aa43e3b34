// Package material holds the algorithms of key material: symmetric ciphertexts in a format of its
// own, and RSA, elliptic curve, Ed25519, HMAC, ML-DSA and ML-KEM exactly as their standards say, so
// that what it makes can be verified and opened elsewhere. It generates, imports and opens material. It
// knows no names, policies or storage: who may use which material is decided before it is called.
//
// It promises that a ciphertext, signature or MAC made by any release, and material stored by any
// release, works with every later one; that a symmetric ciphertext opens under one material only (key
// commitment) and its encryption context and header cannot be changed; that every ciphertext that
// does not open, symmetric or RSA, gives one and the same error; that a spec does only what the table
// of kms.KeySpec.Spec gives it; and that in FIPS mode only what the module covers is done. It does not
// promise to hide the length of a plaintext, and it cannot wipe what the standard library copies while
// it works: DESIGN.md says what that is.
//
// The invariant that would hurt: the bytes of a version, and the stored encodings, never change. Their
// golden vectors are in testdata; a new layout takes a new version byte. DESIGN.md draws them.
package material
