package material

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// operation is one use of a handle, with an algorithm that its spec may or may not have.
type operation struct {
	name string
	has  bool // by the table of specs
	run  func() error
}

// operations is every use of a handle with every algorithm.
func operations(k *Key) []operation {
	s, _ := k.spec.Spec()
	var all []operation
	add := func(name string, has bool, run func() error) { all = append(all, operation{name, has, run}) }
	symmetric := k.spec == kms.SymmetricDefault
	add("Encrypt", symmetric, func() error { _, err := k.Encrypt(nil, testKeyID, 1, nil, []byte("text")); return err })
	add("Decrypt", symmetric, func() error {
		_, err := k.Decrypt(nil, bytes.Repeat([]byte{1}, Overhead), nil)
		return past(err, kms.CodeInvalidCiphertext)
	})
	add("EncryptXKS", symmetric, func() error { _, err := k.EncryptXKS(testKeyID, 1, nil, []byte("text")); return err })
	add("DecryptXKS", symmetric, func() error {
		_, err := k.DecryptXKS(testKeyID, nil, bytes.Repeat([]byte{xksVersion1}, XKSOverhead))
		return past(err, kms.CodeInvalidCiphertext)
	})
	for _, a := range kms.EncryptionAlgorithms {
		has := contains(s.Encryption, a) && !symmetric
		add("EncryptOAEP "+string(a), has, func() error { _, err := k.EncryptOAEP(a, []byte("text")); return err })
		add("DecryptOAEP "+string(a), has, func() error {
			_, err := k.DecryptOAEP(a, []byte("short"))
			return past(err, kms.CodeInvalidCiphertext)
		})
	}
	for _, a := range kms.SigningAlgorithms {
		t, message := kms.MessageRaw, []byte("message")
		if a == kms.Ed25519PHSHA512 {
			sum := sha512.Sum512(message)
			t, message = kms.MessageDigest, sum[:]
		}
		add("Sign "+string(a), contains(s.Signing, a), func() error { _, err := k.Sign(a, t, message); return err })
		add("Verify "+string(a), contains(s.Signing, a), func() error {
			return past(k.Verify(a, t, message, []byte("no")), kms.CodeInvalidSignature)
		})
	}
	for _, a := range kms.MacAlgorithms {
		add("Mac "+string(a), contains(s.Mac, a), func() error { _, err := k.Mac(a, nil); return err })
		add("VerifyMac "+string(a), contains(s.Mac, a), func() error { return past(k.VerifyMac(a, nil, nil), kms.CodeInvalidMac) })
	}
	add("SharedSecret", len(s.Agreement) > 0, func() error {
		spki, err := k.PublicKey() // with itself: also a public key of its curve
		if err != nil && kms.CodeOf(err) != kms.CodeUnsupported {
			return err
		}
		_, err = k.SharedSecret(spki)
		return err
	})
	add("Encapsulate", len(s.Encapsulation) > 0, func() error { _, _, err := k.Encapsulate(); return err })
	add("Decapsulate", len(s.Encapsulation) > 0, func() error {
		_, err := k.Decapsulate([]byte("short"))
		return past(err, kms.CodeInvalidCiphertext)
	})
	return all
}

// past turns the verdict that an operation gives when it got to the material into nil.
func past(err error, verdict kms.Code) error {
	if kms.CodeOf(err) == verdict {
		return nil
	}
	return fmt.Errorf("not %s: %w", verdict, err)
}

func contains[T comparable](all []T, one T) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

// A handle does what the table of specs says and nothing else.
func TestEveryAlgorithmOnEverySpec(t *testing.T) {
	for spec, plain := range fixedMaterial(t) {
		for _, o := range operations(opened(t, spec, plain)) {
			err := o.run()
			if o.has && err != nil {
				t.Errorf("%s of %s: %v", o.name, spec, err)
			}
			var refusal *kms.Error
			if !o.has && (!errors.As(err, &refusal) || refusal.Code != kms.CodeInvalidKeyUsage ||
				!strings.HasSuffix(refusal.Message, " is incompatible with key spec "+string(spec)+".")) {
				t.Errorf("%s of %s: %v, want %s", o.name, spec, err, kms.CodeInvalidKeyUsage)
			}
		}
	}
	_, err := fixed(t, kms.HMAC224).Mac(kms.HMACSHA256, nil)
	wantError(t, "wording", err, "invalid_key_usage: Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224.")
}

func TestWipedHandlesAnswerSealed(t *testing.T) {
	for spec, plain := range fixedMaterial(t) {
		k := opened(t, spec, plain)
		k.Wipe()
		k.Wipe()
		if k.plain != nil || k.private != nil {
			t.Errorf("%s: the handle still holds material", spec)
		}
		for _, o := range operations(k) {
			if err := o.run(); o.has && !errors.Is(err, errWiped()) {
				t.Errorf("%s of wiped %s: %v", o.name, spec, err)
			}
		}
		_, err := k.PublicKey()
		wantCode(t, "public key of wiped "+string(spec), err, kms.CodeSealed)
	}
}

// What Go lets us reach of a private key is overwritten.
func TestWipeOverwritesPrivateKeys(t *testing.T) {
	zero := func(what string, words ...any) {
		t.Helper()
		for _, w := range words {
			if strings.Trim(fmt.Sprint(w), "[0 ]") != "" {
				t.Errorf("%s is still in memory", what)
			}
		}
	}
	r := fixed(t, kms.RSA2048)
	key := *r.private.(*rsaKey).key
	d, p, dp := key.D.Bits(), key.Primes[0].Bits(), key.Precomputed.Dp.Bits()
	r.Wipe()
	zero("RSA", d, p, dp)

	n := fixed(t, kms.ECCNISTP384)
	//lint:ignore SA1019 the scalar must be seen to go
	scalar := n.private.(*nistKey).key.D.Bits()
	n.Wipe()
	zero("P-384", scalar)

	s := fixed(t, kms.ECCSECGP256K1)
	koblitz := s.private.(*koblitzKey).key
	s.Wipe()
	zero("secp256k1", koblitz.Serialize())

	e := fixed(t, kms.ECCNISTEdwards25519)
	ed := e.private.(*edKey).key
	e.Wipe()
	zero("Ed25519", []byte(ed))

	m := fixed(t, kms.MLDSA44)
	dsa := m.private.(*mldsaKey).key
	m.Wipe()
	zero("ML-DSA", dsa.Bytes())

	q := fixed(t, kms.MLKEM768)
	seed := q.private.(*mlkemKey).seed
	q.Wipe()
	zero("ML-KEM", []byte(seed))

	h := fixed(t, kms.HMAC256)
	plain := h.plain
	h.Wipe()
	zero("HMAC", []byte(plain))
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	for _, spec := range allSpecs() {
		plain, err := Generate(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		k := opened(t, spec, plain)
		for _, o := range operations(k) {
			if err := o.run(); o.has && err != nil {
				t.Errorf("%s of a new %s: %v", o.name, spec, err)
			}
		}
		if spec == kms.RSA3072 || spec == kms.RSA4096 {
			continue // one is enough of what takes long
		}
		if again, err := Generate(spec); err != nil || bytes.Equal(again, plain) {
			t.Errorf("%s: the same material twice, error %v", spec, err)
		}
	}
	for spec, size := range map[kms.KeySpec]int{kms.SymmetricDefault: 32, kms.HMAC224: 28, kms.HMAC256: 32, kms.HMAC384: 48,
		kms.HMAC512: 64, kms.MLDSA44: 32, kms.MLDSA65: 32, kms.MLDSA87: 32, kms.MLKEM512: 64, kms.MLKEM768: 64, kms.MLKEM1024: 64} {
		if plain, err := Generate(spec); err != nil || len(plain) != size {
			t.Errorf("%s: %d bytes, error %v", spec, len(plain), err)
		}
	}
	_, err := Generate(kms.SM2)
	wantError(t, "SM2", err, "unsupported_operation: Key spec SM2 is not supported.")
	_, err = Generate("DES")
	wantCode(t, "DES", err, kms.CodeValidation)
}

// A stored record that cannot be used makes this key version unavailable, with a cause for the log.
func TestOpenRefusesWhatIsNoMaterial(t *testing.T) {
	all := fixedMaterial(t)
	refused := func(what string, spec kms.KeySpec, plain []byte) {
		t.Helper()
		k, err := Open(spec, plain)
		if kms.CodeOf(err) != kms.CodeUnavailable || k != nil || kms.AsError(err).Unwrap() == nil {
			t.Errorf("%s as %s: %v", what, spec, err)
		}
	}
	for spec, plain := range all {
		refused("nothing", spec, nil)
		refused("a byte less", spec, plain[:len(plain)-1])
		refused("a byte more", spec, append(bytes.Clone(plain), 0))
		for other, foreign := range all {
			if other != spec && len(foreign) != len(plain) {
				refused("material of "+string(other), spec, foreign)
			}
		}
	}
	refused("SM2", kms.SM2, make([]byte, 32))
	refused("an unknown spec", "DES", make([]byte, 32))
}

func TestHandlesOfEverySpecAreRedacted(t *testing.T) {
	for spec, plain := range fixedMaterial(t) {
		k := opened(t, spec, plain)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("opened", "material", k)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if got := fmt.Sprintf(verb, k); got != redacted {
				t.Errorf("%s: %s prints %q", spec, verb, got)
			}
		}
		if !strings.HasSuffix(strings.TrimSpace(log.String()), "material="+redacted) {
			t.Errorf("%s: slog prints %q", spec, log.String())
		}
	}
}

// Wiping a handle of any spec under load lets running calls finish and refuses the others; the race
// detector sees what is overwritten while it is read.
func TestWipeUnderLoadOfEverySpec(t *testing.T) {
	for spec, plain := range fixedMaterial(t) {
		k := opened(t, spec, plain)
		var started, finished sync.WaitGroup
		for range 3 {
			started.Add(1)
			finished.Go(func() {
				begun := sync.OnceFunc(started.Done)
				defer begun()
				for {
					for _, o := range operations(k) {
						err := o.run()
						if err != nil && o.has && !errors.Is(err, errWiped()) {
							t.Errorf("%s of %s: %v", o.name, spec, err)
						}
						if err != nil && o.has {
							return
						}
					}
					begun()
				}
			})
		}
		started.Wait()
		k.Wipe()
		finished.Wait()
	}
}
