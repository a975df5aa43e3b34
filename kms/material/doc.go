// Package material holds the algorithms of key material and the ciphertext format. It knows no
// names, policies or storage: who may use which material is decided before it is called.
//
// It promises that a ciphertext made by any release decrypts with every later one for as long as
// the material exists, that a ciphertext opens under one material only (key commitment), that its
// encryption context and header cannot be changed, and that every ciphertext that does not open
// gives one and the same error. It does not promise to hide the length of the plaintext, and it
// cannot wipe the key schedules that the standard library makes while it works.
//
// The invariant that would hurt: the bytes of a version never change. Their golden vectors are in
// testdata; a new layout takes a new version byte. DESIGN.md draws them.
package material
