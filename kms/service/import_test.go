package service_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	kwp "github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// in calls an operation in a region.
func in(n *servicetest.Node, who servicetest.Credentials, region string, op *kms.Operation, request any) (any, error) {
	call := servicetest.Call(who, op, request)
	call.Region = region
	result, err := n.Service.Do(context.Background(), call)
	if err != nil {
		return nil, err
	}
	return result.Answer, nil
}

// ceremony is what alice got to import material into a key with.
type ceremony struct {
	w           *world
	region, key string
	algorithm   kms.WrappingAlgorithm
	public      *rsa.PublicKey
	token       []byte
}

func (w *world) ceremony(t *testing.T, region, key string, a kms.WrappingAlgorithm) *ceremony {
	t.Helper()
	answer, err := in(w.Node, w.alice, region, kms.OpGetParametersForImport,
		&kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: a, WrappingKeySpec: kms.RSA2048})
	want(t, "parameters", err, "")
	p := answer.(*kms.GetParametersForImportAnswer)
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	want(t, "public key", err, "")
	if until := p.ParametersValidTo.Sub(kms.Time(w.State().LogTime())); until < 23*time.Hour || until > 25*time.Hour {
		t.Errorf("the parameters are valid for %s", until)
	}
	return &ceremony{w, region, key, a, public.(*rsa.PublicKey), p.ImportToken}
}

// wrap encrypts material as the algorithm says.
func (c *ceremony) wrap(t *testing.T, plain []byte) []byte {
	t.Helper()
	h := crypto.SHA256
	if strings.HasSuffix(string(c.algorithm), "SHA_1") {
		h = crypto.SHA1
	}
	oaep := func(plain []byte) []byte {
		hash := sha256.New()
		if h == crypto.SHA1 {
			hash = sha1.New()
		}
		out, err := rsa.EncryptOAEP(hash, rand.Reader, c.public, plain, nil)
		want(t, "OAEP", err, "")
		return out
	}
	if strings.HasPrefix(string(c.algorithm), "RSAES_OAEP") {
		return oaep(plain)
	}
	kek := make([]byte, 32)
	rand.Read(kek)
	wrapper, err := kwp.NewKWP(kek)
	want(t, "KWP", err, "")
	wrapped, err := wrapper.Wrap(plain)
	want(t, "KWP", err, "")
	return append(oaep(kek), wrapped...)
}

// bring imports material for ever, unless edit says otherwise.
func (c *ceremony) bring(t *testing.T, plain []byte, edit func(*kms.ImportKeyMaterialRequest)) (string, error) {
	t.Helper()
	q := &kms.ImportKeyMaterialRequest{KeyID: c.key, ImportToken: c.token, EncryptedKeyMaterial: c.wrap(t, plain), ExpirationModel: kms.MaterialDoesNotExpire}
	if edit != nil {
		edit(q)
	}
	answer, err := in(c.w.Node, c.w.alice, c.region, kms.OpImportKeyMaterial, q)
	if err != nil {
		return "", err
	}
	return answer.(*kms.KeyMaterialAnswer).KeyMaterialID, nil
}

func (c *ceremony) mustBring(t *testing.T, plain []byte, edit func(*kms.ImportKeyMaterialRequest)) string {
	t.Helper()
	id, err := c.bring(t, plain, edit)
	want(t, "import", err, "")
	return id
}

func announce(q *kms.ImportKeyMaterialRequest) { q.ImportType = kms.ImportNewMaterial }

func until(d time.Duration, w *world) func(*kms.ImportKeyMaterialRequest) {
	return func(q *kms.ImportKeyMaterialRequest) {
		q.ExpirationModel, q.ValidTo = "", ptr(kms.Time(w.State().LogTime()).Add(d))
	}
}

func (w *world) describe(t *testing.T, region, key string) kms.KeyMetadata {
	t.Helper()
	answer, err := in(w.Node, w.alice, region, kms.OpDescribeKey, &kms.KeyRequest{KeyID: key})
	want(t, "describe", err, "")
	return answer.(*kms.KeyAnswer).Key
}

func (w *world) decrypts(t *testing.T, region string, ciphertext []byte, plain string) {
	t.Helper()
	answer, err := in(w.Node, w.alice, region, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
	want(t, "decrypt", err, "")
	if got := string(answer.(*kms.DecryptAnswer).Plaintext); got != plain {
		t.Errorf("decrypted %q, want %q", got, plain)
	}
}

// hasMaterial reports whether there is a record of a material.
func (w *world) hasMaterial(id string) bool {
	b := w.Barrier()
	defer b.Wipe()
	ref := catalog.NewIDs(b).Material(id)
	_, there := w.State().Get(ref.Kind, ref.ID)
	return there
}

func bytes32(first byte) []byte { return append([]byte{first}, make([]byte, 31)...) }

// Material of every spec that can be imported comes in by every algorithm that it fits into, and is what the key
// computes with then; the combinations that do not fit are refused.
func TestImportOfEverySpec(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for _, name := range kms.KeySpecs {
		spec, served := name.Spec()
		if !served || !spec.Importable {
			continue
		}
		t.Run(string(name), func(t *testing.T) {
			plain, err := material.Generate(name)
			want(t, "material", err, "")
			if strings.HasPrefix(string(name), "HMAC_224") {
				plain = plain[:28]
			}
			for _, a := range kms.WrappingAlgorithms {
				q := &kms.CreateKeyRequest{Origin: kms.OriginExternal, KeySpec: name, KeyUsage: spec.Usages[0]}
				key := w.make(t, w.alice, q).KeyID
				refused := strings.HasPrefix(string(a), "RSAES_OAEP") && (strings.HasPrefix(string(name), "RSA") || name == kms.ECCNISTP521)
				if refused {
					_, err := w.Do(w.alice, kms.OpGetParametersForImport, &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: a, WrappingKeySpec: kms.RSA2048})
					want(t, string(a), err, kms.CodeUnsupported)
					continue
				}
				c := w.ceremony(t, "", key, a)
				c.mustBring(t, plain, nil)
				if k := w.describe(t, "", key); k.KeyState != kms.StateEnabled || k.ExpirationModel != kms.MaterialDoesNotExpire || k.ValidTo != nil {
					t.Errorf("after the import: %+v", k)
				}
				switch {
				case spec.Asymmetric:
					opened, err := material.Open(name, plain)
					want(t, "open", err, "")
					public, err := opened.PublicKey()
					want(t, "public key", err, "")
					got := w.must(t, w.alice, kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: key}).(*kms.GetPublicKeyAnswer).PublicKey
					if !bytes.Equal(got, public) {
						t.Errorf("%s: another public key", a)
					}
				case name == kms.SymmetricDefault:
					w.decrypts(t, "", w.encrypt(t, w.alice, key, "p", nil), "p")
				default:
					w.must(t, w.alice, kms.OpGenerateMac, &kms.GenerateMacRequest{KeyID: key, Message: []byte("m"), MacAlgorithm: spec.Mac[0]})
				}
			}
		})
	}
}

// What a token does not fit, and what is no material, is refused.
func TestImportRefusals(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, other := w.make(t, w.alice, externalKey).KeyID, w.make(t, w.alice, externalKey).KeyID
	c := w.ceremony(t, "", key, kms.WrapRSAESOAEPSHA256)
	elsewhere := newWorld(t, servicetest.Options{})
	theirs := elsewhere.ceremony(t, "", elsewhere.make(t, elsewhere.alice, externalKey).KeyID, kms.WrapRSAESOAEPSHA256)
	now := kms.Time(w.State().LogTime())
	for _, row := range []struct {
		name string
		edit func(*kms.ImportKeyMaterialRequest)
		code kms.Code
	}{
		{"tampered", func(q *kms.ImportKeyMaterialRequest) {
			q.ImportToken = bytes.Clone(q.ImportToken)
			q.ImportToken[len(q.ImportToken)/2] ^= 1
		}, kms.CodeInvalidImportToken},
		{"no token", func(q *kms.ImportKeyMaterialRequest) { q.ImportToken = []byte("t") }, kms.CodeInvalidImportToken},
		{"of another key", func(q *kms.ImportKeyMaterialRequest) { q.KeyID = other }, kms.CodeInvalidImportToken},
		{"of another cluster", func(q *kms.ImportKeyMaterialRequest) { q.ImportToken = theirs.token }, kms.CodeInvalidImportToken},
		{"other wrapping key", func(q *kms.ImportKeyMaterialRequest) { q.EncryptedKeyMaterial = theirs.wrap(t, bytes32(1)) }, kms.CodeInvalidCiphertext},
		{"a short material", func(q *kms.ImportKeyMaterialRequest) { q.EncryptedKeyMaterial = c.wrap(t, []byte("short")) }, kms.CodeIncorrectKeyMaterial},
		{"expires, no date", func(q *kms.ImportKeyMaterialRequest) { q.ExpirationModel = "" }, kms.CodeValidation},
		{"does not expire, a date", func(q *kms.ImportKeyMaterialRequest) { q.ValidTo = ptr(now.Add(time.Hour)) }, kms.CodeValidation},
		{"a past date", until(-time.Hour, w), kms.CodeValidation},
		{"a date too far", until(366*24*time.Hour, w), kms.CodeValidation},
		{"existing material of a new key", func(q *kms.ImportKeyMaterialRequest) { q.ImportType = kms.ImportExistingMaterial }, kms.CodeIncorrectKeyMaterial},
		{"another id", func(q *kms.ImportKeyMaterialRequest) { q.KeyMaterialID = strings.Repeat("0", 64) }, kms.CodeIncorrectKeyMaterial},
		{"not imported", func(q *kms.ImportKeyMaterialRequest) { q.KeyID = w.CreateKey(w.alice) }, kms.CodeUnsupported},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := c.bring(t, bytes32(1), row.edit)
			want(t, row.name, err, row.code)
		})
	}
	// Any node takes the material, until a day has passed.
	w.Advance(23 * time.Hour)
	n := w.Cluster.Node(servicetest.Options{})
	q := &kms.ImportKeyMaterialRequest{KeyID: key, ImportToken: c.token, EncryptedKeyMaterial: c.wrap(t, bytes32(1)), ExpirationModel: kms.MaterialDoesNotExpire}
	_, err := n.Do(w.alice, kms.OpImportKeyMaterial, q)
	want(t, "on another node", err, "")
	w.Advance(time.Hour)
	_, err = n.Do(w.alice, kms.OpImportKeyMaterial, q)
	want(t, "a day later", err, kms.CodeExpiredImportToken)
}

// Material that expired or was deleted makes the key unusable and leaves no record; the same material makes it usable
// again and its ciphertexts decrypt, other material does not.
func TestReimport(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.make(t, w.alice, externalKey).KeyID
	c := w.ceremony(t, "", key, kms.WrapRSAESOAEPSHA256)
	id := c.mustBring(t, bytes32(1), until(time.Hour, w))
	if k := w.describe(t, "", key); k.ExpirationModel != kms.MaterialExpires || k.ValidTo == nil || k.CurrentKeyMaterialID != id {
		t.Errorf("with a date: %+v", k)
	}
	old := w.encrypt(t, w.alice, key, "old", nil)
	for _, lose := range []func(){
		func() { w.Advance(2 * time.Hour); want(t, "run", w.RunDue(t.Context()), "") },
		func() {
			w.must(t, w.alice, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key})
		},
	} {
		lose()
		if k := w.describe(t, "", key); k.KeyState != kms.StatePendingImport || k.ExpirationModel != "" || k.ValidTo != nil || w.hasMaterial(id) {
			t.Errorf("without material: %+v, a record: %v", k, w.hasMaterial(id))
		}
		_, err := w.Do(w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: old})
		want(t, "decrypt without material", err, kms.CodeInvalidState)
		_, err = c.bring(t, bytes32(2), nil)
		want(t, "other material", err, kms.CodeIncorrectKeyMaterial)
		if again := c.mustBring(t, bytes32(1), nil); again != id {
			t.Errorf("the same material is %s, was %s", again, id)
		}
		if k := w.describe(t, "", key); k.KeyState != kms.StateEnabled || k.ExpirationModel != kms.MaterialDoesNotExpire {
			t.Errorf("after the import: %+v", k)
		}
		w.decrypts(t, "", old, "old")
	}
	_, err := c.bring(t, bytes32(1), announce)
	want(t, "its own material as new", err, kms.CodeIncorrectKeyMaterial)
}

// The next material of a key waits for a rotation on demand; what was encrypted before decrypts as long as its
// material is there.
func TestAnnouncedMaterial(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.make(t, w.alice, externalKey).KeyID
	c := w.ceremony(t, "", key, kms.WrapRSAESOAEPSHA256)
	first := c.mustBring(t, bytes32(1), nil)
	rotate := func() error {
		_, err := w.Do(w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
		return err
	}
	unimport := func(id string) error {
		_, err := w.Do(w.alice, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: id})
		return err
	}
	old := w.encrypt(t, w.alice, key, "old", nil)
	want(t, "rotate to nothing", rotate(), kms.CodeInvalidState)
	dropped := c.mustBring(t, bytes32(2), announce)
	want(t, "delete what is announced", unimport(dropped), "")
	if w.hasMaterial(dropped) || w.describe(t, "", key).KeyState != kms.StateEnabled {
		t.Error("announced material was not just forgotten")
	}
	want(t, "rotate to what was deleted", rotate(), kms.CodeInvalidState)
	second := c.mustBring(t, bytes32(3), announce)
	_, err := c.bring(t, bytes32(4), announce)
	want(t, "a third one", err, kms.CodeInvalidState)
	if w.describe(t, "", key).CurrentKeyMaterialID != first {
		t.Error("announced material is current already")
	}
	want(t, "rotate", rotate(), "")
	if w.describe(t, "", key).CurrentKeyMaterialID != second {
		t.Error("announced material is not the current one")
	}
	w.decrypts(t, "", old, "old")
	next := w.encrypt(t, w.alice, key, "next", nil)
	for id, plain := range map[string][]byte{first: bytes32(1), second: bytes32(3)} {
		want(t, "delete", unimport(id), "")
		if w.describe(t, "", key).KeyState != kms.StatePendingImport {
			t.Error("a key without a material is usable")
		}
		c.mustBring(t, plain, func(q *kms.ImportKeyMaterialRequest) { q.KeyMaterialID = id })
		w.decrypts(t, "", old, "old")
		w.decrypts(t, "", next, "next")
	}
	want(t, "delete what never was", unimport(strings.Repeat("0", 64)), kms.CodeNotFound)
}

// An RSA key is the same key with its primes the other way round.
func TestReimportInAnotherEncoding(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.make(t, w.alice, &kms.CreateKeyRequest{Origin: kms.OriginExternal, KeySpec: kms.RSA2048, KeyUsage: kms.SignVerify}).KeyID
	c := w.ceremony(t, "", key, kms.WrapRSAAESSHA256)
	plain, err := rsa.GenerateKey(rand.Reader, 2048)
	want(t, "generate", err, "")
	encode := func(p, q *big.Int) []byte {
		one := big.NewInt(1)
		exp := func(prime *big.Int) *big.Int { return new(big.Int).Mod(plain.D, new(big.Int).Sub(prime, one)) }
		der, err := asn1.Marshal(struct {
			Version                     int
			N                           *big.Int
			E                           int
			D, P, Q, DP, DQ, Coefficent *big.Int
		}{0, plain.N, plain.E, plain.D, p, q, exp(p), exp(q), new(big.Int).ModInverse(q, p)})
		want(t, "PKCS#1", err, "")
		var info struct {
			Version   int
			Algorithm struct {
				OID  asn1.ObjectIdentifier
				Null asn1.RawValue
			}
			Key []byte
		}
		info.Algorithm.OID, info.Algorithm.Null, info.Key = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, asn1.NullRawValue, der
		out, err := asn1.Marshal(info)
		want(t, "PKCS#8", err, "")
		return out
	}
	p, q := plain.Primes[0], plain.Primes[1]
	id := c.mustBring(t, encode(p, q), nil)
	w.must(t, w.alice, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key})
	if again := c.mustBring(t, encode(q, p), nil); again != id {
		t.Errorf("with its primes swapped it is %s, was %s", again, id)
	}
	w.must(t, w.alice, kms.OpSign, &kms.SignRequest{KeyID: key, Message: []byte("m"), SigningAlgorithm: kms.RSASSAPSSSHA256})
}
