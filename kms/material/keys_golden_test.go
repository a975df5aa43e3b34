package material

import (
	"bytes"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// Every stored encoding of every spec opens, is written back byte for byte, and has the public key
// that another implementation derived; everything that others made with it keeps working.
func TestGoldenKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range goldenKeys(t) {
		t.Run(string(g.Spec)+"/"+g.Source, func(t *testing.T) {
			k := opened(t, g.Spec, g.Material)
			checkEncodings(t, &g, k)
			for _, s := range g.Signatures {
				seen[string(s.Algorithm)] = true
				if err := k.Verify(s.Algorithm, s.MessageType, s.Message, s.Signature); err != nil {
					t.Errorf("%s: %v", s.Algorithm, err)
				}
				wantCode(t, string(s.Algorithm)+" of another message",
					k.Verify(s.Algorithm, s.MessageType, changed(s.Message), s.Signature), kms.CodeInvalidSignature)
			}
			for _, c := range g.Ciphertexts {
				seen[string(c.Algorithm)] = true
				if got, err := k.DecryptOAEP(c.Algorithm, c.Ciphertext); err != nil || !bytes.Equal(got, c.Plaintext) {
					t.Errorf("%s: %q, error %v", c.Algorithm, got, err)
				}
			}
			for _, m := range g.Macs {
				seen[string(m.Algorithm)] = true
				if got, err := k.Mac(m.Algorithm, m.Message); err != nil || !bytes.Equal(got, m.Mac) {
					t.Errorf("%s: %x, error %v", m.Algorithm, got, err)
				}
			}
			for _, s := range g.SharedSecrets {
				seen["ECDH"] = true
				if got, err := k.SharedSecret(s.Peer); err != nil || !bytes.Equal(got, s.Secret) {
					t.Errorf("ECDH: %x, error %v", got, err)
				}
			}
			for _, e := range g.Encapsulations {
				seen["ML_KEM"] = true
				if got, err := k.Decapsulate(e.Ciphertext); err != nil || !bytes.Equal(got, e.Secret) {
					t.Errorf("ML_KEM: %x, error %v", got, err)
				}
			}
		})
		seen[string(g.Spec)] = true
	}
	for _, spec := range allSpecs() {
		s, _ := spec.Spec()
		for _, name := range append(names(s.Signing), append(names(s.Mac), append(names(s.Agreement), names(s.Encapsulation)...)...)...) {
			if !seen[name] {
				t.Errorf("there is no golden vector of algorithm %s", name)
			}
		}
		if !seen[string(spec)] && spec != kms.SymmetricDefault { // whose vectors are ciphertext_v1.json
			t.Errorf("there is no golden material of spec %s", spec)
		}
	}
}

func names[T ~string](all []T) []string {
	var s []string
	for _, a := range all {
		s = append(s, string(a))
	}
	return s
}

// changed returns a copy with one bit of the last byte flipped.
func changed(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)-1] ^= 1
	return c
}

func checkEncodings(t *testing.T, g *goldenKey, k *Key) {
	t.Helper()
	if k.private == nil {
		_, err := k.PublicKey()
		wantCode(t, "public key of a symmetric spec", err, kms.CodeUnsupported)
		return
	}
	if got, err := k.private.encode(); err != nil || !bytes.Equal(got, g.Material) {
		t.Errorf("the stored encoding is written as %x, error %v", []byte(got), err)
	}
	if got, err := k.PublicKey(); err != nil || !bytes.Equal(got, g.Public) {
		t.Errorf("the public key is %x, error %v", got, err)
	}
	if g.PKCS8 != nil {
		if got, err := k.private.(*mlkemKey).pkcs8(); err != nil || !bytes.Equal(got, g.PKCS8) {
			t.Errorf("PKCS#8 is %x, error %v", []byte(got), err)
		}
	}
	if s, _ := g.Spec.Spec(); s.Importable {
		if got, err := ParseImport(g.Spec, g.Material); err != nil || !bytes.Equal(got, g.Material) {
			t.Errorf("it is imported as %x, error %v", []byte(got), err)
		}
	}
}

func TestGoldenImports(t *testing.T) {
	count := 0
	for _, g := range goldenImports(t) {
		for _, c := range g.Cases {
			got, err := Unwrap(c.Algorithm, g.Private, c.Wrapped)
			if err != nil || !bytes.Equal(got, c.Plain) {
				t.Errorf("%s: %x, error %v", c.Algorithm, []byte(got), err)
				continue
			}
			if stored, err := ParseImport(c.Spec, got); err != nil || !bytes.Equal(stored, c.Plain) {
				t.Errorf("%s of %s: %x, error %v", c.Algorithm, c.Spec, []byte(stored), err)
			}
			count++
		}
	}
	if count < 18 {
		t.Errorf("only %d vectors", count)
	}
}
