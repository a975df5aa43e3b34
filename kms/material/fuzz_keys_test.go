package material

import (
	"bytes"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// pick turns a fuzzed byte into one of a list.
func pick[T any](all []T, n byte) T { return all[int(n)%len(all)] }

// FuzzParseImport: what is imported opens, is stored the same when it is imported again, and works;
// everything else is incorrect_key_material.
func FuzzParseImport(f *testing.F) {
	specs := allSpecs()
	for i, spec := range specs {
		f.Add(byte(i), fixedMaterial(f)[spec])
	}
	for _, g := range goldenKeys(f) {
		f.Add(byte(0), g.Public)
	}
	f.Fuzz(func(t *testing.T, n byte, plain []byte) {
		spec := pick(specs, n)
		stored, err := ParseImport(spec, plain)
		if err != nil {
			if c := kms.CodeOf(err); c != kms.CodeIncorrectKeyMaterial && c != kms.CodeUnsupported || stored != nil {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseImport(spec, stored)
		if err != nil || !bytes.Equal(again, stored) {
			t.Fatalf("%s: stored as %x, then as %x, error %v", spec, []byte(stored), []byte(again), err)
		}
		for _, o := range operations(opened(t, spec, stored)) {
			if err := o.run(); o.has && err != nil {
				t.Fatalf("%s of imported %s: %v", o.name, spec, err)
			}
		}
	})
}

// FuzzUnwrap: only the seeded wrappings open.
func FuzzUnwrap(f *testing.F) {
	g := goldenImports(f)[0]
	for i, a := range kms.WrappingAlgorithms {
		for _, c := range g.Cases {
			if c.Algorithm == a {
				f.Add(byte(i), c.Wrapped)
			}
		}
	}
	f.Fuzz(func(t *testing.T, n byte, wrapped []byte) {
		a := pick(kms.WrappingAlgorithms, n)
		got, err := Unwrap(a, g.Private, wrapped)
		if err != nil {
			if err.Error() != errWrapped().Error() || got != nil {
				t.Fatalf("%x, error %v", []byte(got), err)
			}
			return
		}
		for _, c := range g.Cases {
			if c.Algorithm == a && bytes.Equal(c.Wrapped, wrapped) && bytes.Equal(c.Plain, got) {
				return
			}
		}
		t.Fatalf("forged key material opened: %x", wrapped)
	})
}

// FuzzSharedSecret: a public key that is taken gives a secret of full length that is not zero.
func FuzzSharedSecret(f *testing.F) {
	specs := []kms.KeySpec{kms.ECCNISTP256, kms.ECCNISTP384, kms.ECCNISTP521}
	keys := []*Key{fixed(f, specs[0]), fixed(f, specs[1]), fixed(f, specs[2])}
	for _, g := range goldenKeys(f) {
		for i := range specs {
			f.Add(byte(i), g.Public)
		}
	}
	f.Fuzz(func(t *testing.T, n byte, spki []byte) {
		k := pick(keys, n)
		got, err := k.SharedSecret(spki)
		if err != nil {
			if kms.CodeOf(err) != kms.CodeValidation || got != nil {
				t.Fatalf("%x, error %v", got, err)
			}
			return
		}
		if size := map[kms.KeySpec]int{specs[0]: 32, specs[1]: 48, specs[2]: 66}[k.Spec()]; len(got) != size || bytes.Equal(got, make([]byte, size)) {
			t.Fatalf("%s: %x", k.Spec(), got)
		}
	})
}

// FuzzDecryptOAEP: only the seeded ciphertexts open.
func FuzzDecryptOAEP(f *testing.F) {
	k := fixed(f, kms.RSA2048)
	type golden struct{ plaintext, ciphertext []byte }
	var all []golden
	for _, g := range goldenKeys(f) {
		for _, c := range g.Ciphertexts {
			f.Add(c.Algorithm == kms.RSAESOAEPSHA1, c.Ciphertext)
			all = append(all, golden{c.Plaintext, c.Ciphertext})
		}
	}
	f.Fuzz(func(t *testing.T, sha1 bool, ct []byte) {
		a := kms.RSAESOAEPSHA256
		if sha1 {
			a = kms.RSAESOAEPSHA1
		}
		got, err := k.DecryptOAEP(a, ct)
		if err != nil {
			if err.Error() != errInvalid().Error() || got != nil {
				t.Fatalf("%x, error %v", got, err)
			}
			return
		}
		for _, g := range all {
			if bytes.Equal(g.ciphertext, ct) && bytes.Equal(g.plaintext, got) {
				return
			}
		}
		t.Fatalf("a forged ciphertext opened: %x", ct)
	})
}

// FuzzDecapsulate: the length decides, and nothing but the length.
func FuzzDecapsulate(f *testing.F) {
	specs := []kms.KeySpec{kms.MLKEM512, kms.MLKEM768, kms.MLKEM1024}
	keys := []*Key{fixed(f, specs[0]), fixed(f, specs[1]), fixed(f, specs[2])}
	for _, g := range goldenKeys(f) {
		for _, e := range g.Encapsulations {
			for i := range specs {
				f.Add(byte(i), e.Ciphertext)
			}
		}
	}
	f.Fuzz(func(t *testing.T, n byte, ct []byte) {
		k := pick(keys, n)
		got, err := k.Decapsulate(ct)
		if size := map[kms.KeySpec]int{specs[0]: 768, specs[1]: 1088, specs[2]: 1568}[k.Spec()]; len(ct) == size {
			if err != nil || len(got) != 32 {
				t.Fatalf("%s: %x, error %v", k.Spec(), got, err)
			}
		} else if err == nil || err.Error() != errInvalid().Error() || got != nil {
			t.Fatalf("%s: %d bytes give %x, error %v", k.Spec(), len(ct), got, err)
		}
	})
}

// FuzzVerify: only the seeded signatures verify.
func FuzzVerify(f *testing.F) {
	all := goldenKeys(f)
	var keys []*Key
	var index []int
	for i, g := range all {
		if len(g.Signatures) == 0 {
			continue
		}
		keys, index = append(keys, opened(f, g.Spec, g.Material)), append(index, i)
		for j, s := range g.Signatures {
			f.Add(byte(len(keys)-1), byte(j), s.Message, s.Signature)
		}
	}
	f.Fuzz(func(t *testing.T, n, m byte, message, signature []byte) {
		g := all[pick(index, n)]
		s := pick(g.Signatures, m)
		err := pick(keys, n).Verify(s.Algorithm, s.MessageType, message, signature)
		if c := kms.CodeOf(err); err != nil {
			if c != kms.CodeInvalidSignature && c != kms.CodeValidation {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(message, s.Message) { // of the same one another signature can be valid: the other value of s
			t.Fatalf("%s: a forged signature: %x of %x", s.Algorithm, signature, message)
		}
	})
}
