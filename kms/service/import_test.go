package service_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha512"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	kwp "github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// doer calls operations as somebody, somewhere.
type doer func(op *kms.Operation, request any) (any, error)

// in returns alice in a region; "" is the first one.
func (w *world) in(region string) doer {
	return func(op *kms.Operation, request any) (any, error) {
		call := servicetest.Call(w.alice, op, request)
		call.Region = region
		result, err := w.Service.Do(context.Background(), call)
		if err != nil {
			return nil, err
		}
		return result.Answer, nil
	}
}

func (do doer) must(t testing.TB, op *kms.Operation, request any) any {
	t.Helper()
	answer, err := do(op, request)
	if err != nil {
		t.Fatalf("%s: %v", op.Name, err)
	}
	return answer
}

// refused calls an operation that has to fail with a code and without a write.
func (w *world) refused(t *testing.T, what string, do doer, op *kms.Operation, request any, code kms.Code) {
	t.Helper()
	before := w.State().Index()
	_, err := do(op, request)
	want(t, what, err, code)
	if w.State().Index() != before {
		t.Errorf("%s: a refusal was written", what)
	}
}

func (do doer) describe(t testing.TB, key string) kms.KeyMetadata {
	t.Helper()
	return do.must(t, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}).(*kms.KeyAnswer).Key
}

func (do doer) state(t testing.TB, key string, want kms.KeyState) {
	t.Helper()
	if got := do.describe(t, key).KeyState; got != want {
		t.Fatalf("the key is %s, want %s", got, want)
	}
}

func (do doer) encrypt(t testing.TB, key string) []byte {
	t.Helper()
	return do.must(t, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(message)}).(*kms.EncryptAnswer).CiphertextBlob
}

// decrypts fails unless a key opens a ciphertext of message, with the material of an id.
func (do doer) decrypts(t testing.TB, key string, ciphertext []byte, material string) {
	t.Helper()
	a := do.must(t, kms.OpDecrypt, &kms.DecryptRequest{KeyID: key, CiphertextBlob: ciphertext}).(*kms.DecryptAnswer)
	if string(a.Plaintext) != message || a.KeyMaterialID != material {
		t.Errorf("decrypted %q with material %s, want %q with %s", a.Plaintext, a.KeyMaterialID, message, material)
	}
}

// materials lists a key's materials, each as state, import state and rotation type, with its id.
func (do doer) materials(t testing.TB, key string) (all, ids []string) {
	t.Helper()
	a := do.must(t, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, IncludeKeyMaterial: "ALL_KEY_MATERIAL"}).(*kms.ListKeyRotationsAnswer)
	for _, e := range a.Rotations {
		all = append(all, strings.TrimSpace(fmt.Sprint(e.KeyMaterialState, " ", e.ImportState, " ", e.RotationType)))
		ids = append(ids, e.KeyMaterialID)
	}
	return all, ids
}

func (do doer) lists(t testing.TB, key string, want ...string) {
	t.Helper()
	if got, _ := do.materials(t, key); !slices.Equal(got, want) {
		t.Errorf("the materials are %q, want %q", got, want)
	}
}

// live reports whether there is a record of a material.
func (w *world) live(id string) bool {
	ref := catalog.IDs{}.Material(id)
	_, live := w.State().Revision(ref.Kind, ref.ID)
	return live
}

// after returns a time after the last command of the log.
func (w *world) after(d time.Duration) *time.Time { return ptr(kms.Time(w.State().LogTime()).Add(d)) }

// pass lets time pass and does what is due then.
func (w *world) pass(t testing.TB, d time.Duration) {
	t.Helper()
	w.Advance(d)
	if err := w.RunDue(context.Background()); err != nil {
		t.Fatalf("what is due: %v", err)
	}
}

// ceremony is an import with one wrapping key.
type ceremony struct {
	do        doer
	key       string
	algorithm kms.WrappingAlgorithm
	answer    *kms.GetParametersForImportAnswer
}

func (do doer) ceremony(t testing.TB, key string, a kms.WrappingAlgorithm, spec kms.KeySpec) *ceremony {
	t.Helper()
	answer := do.must(t, kms.OpGetParametersForImport, &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: a, WrappingKeySpec: spec})
	return &ceremony{do, key, a, answer.(*kms.GetParametersForImportAnswer)}
}

// begin is the usual ceremony.
func (do doer) begin(t testing.TB, key string) *ceremony {
	t.Helper()
	return do.ceremony(t, key, kms.WrapRSAESOAEPSHA256, kms.RSA2048)
}

// wrap encrypts material as a customer does.
func (c *ceremony) wrap(t testing.TB, plain []byte) []byte {
	t.Helper()
	public, err := x509.ParsePKIXPublicKey(c.answer.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	h := crypto.SHA256
	if c.algorithm == kms.WrapRSAESOAEPSHA1 || c.algorithm == kms.WrapRSAAESSHA1 {
		h = crypto.SHA1
	}
	oaep := func(b []byte) []byte {
		out, err := rsa.EncryptOAEP(h.New(), rand.Reader, public.(*rsa.PublicKey), b, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if c.algorithm == kms.WrapRSAESOAEPSHA1 || c.algorithm == kms.WrapRSAESOAEPSHA256 {
		return oaep(plain)
	}
	kek := random(32)
	wrapper, err := kwp.NewKWP(kek)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := wrapper.Wrap(plain)
	if err != nil {
		t.Fatal(err)
	}
	return append(oaep(kek), wrapped...)
}

func (c *ceremony) request(t testing.TB, plain []byte, changes ...func(*kms.ImportKeyMaterialRequest)) *kms.ImportKeyMaterialRequest {
	t.Helper()
	q := &kms.ImportKeyMaterialRequest{KeyID: c.key, ImportToken: c.answer.ImportToken, EncryptedKeyMaterial: c.wrap(t, plain), ExpirationModel: kms.MaterialDoesNotExpire}
	for _, change := range changes {
		change(q)
	}
	return q
}

// bring imports material and returns its id.
func (c *ceremony) bring(t testing.TB, plain []byte, changes ...func(*kms.ImportKeyMaterialRequest)) string {
	t.Helper()
	return c.do.must(t, kms.OpImportKeyMaterial, c.request(t, plain, changes...)).(*kms.KeyMaterialAnswer).KeyMaterialID
}

// What imports say.
func asNew(q *kms.ImportKeyMaterialRequest)      { q.ImportType = kms.ImportNewMaterial }
func asExisting(q *kms.ImportKeyMaterialRequest) { q.ImportType = kms.ImportExistingMaterial }
func until(at *time.Time) func(*kms.ImportKeyMaterialRequest) {
	return func(q *kms.ImportKeyMaterialRequest) { q.ExpirationModel, q.ValidTo = kms.MaterialExpires, at }
}

func random(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

// customers makes material of a spec as a customer would, and returns the public key that belongs to it, if any.
func customers(t *testing.T, do doer, spec kms.KeySpec) (plain, public []byte) {
	t.Helper()
	var key crypto.Signer
	var err error
	switch spec {
	case kms.SymmetricDefault, kms.HMAC256:
		return random(32), nil
	case kms.HMAC224:
		return random(28), nil
	case kms.HMAC384:
		return random(48), nil
	case kms.HMAC512:
		return random(64), nil
	case kms.RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case kms.RSA3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case kms.RSA4096:
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	case kms.ECCNISTP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case kms.ECCNISTP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case kms.ECCNISTP521:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case kms.ECCNISTEdwards25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case kms.ECCSECGP256K1: // which crypto/x509 does not write
		under := do.must(t, kms.OpCreateKey, symmetricKey).(*kms.KeyAnswer).Key.KeyID
		p := do.must(t, kms.OpGenerateDataKeyPair, &kms.GenerateDataKeyPairRequest{KeyID: under, KeyPairSpec: spec}).(*kms.GenerateDataKeyPairAnswer)
		return p.PrivateKeyPlaintext, p.PublicKey
	default:
		t.Fatalf("the test makes no material of %s", spec)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pkcs8(t, key), spki(t, key.Public())
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func spki(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Every spec that can be imported is, with every algorithm that its material fits into, and the key computes with
// just that material. Where it does not fit, no wrapping key is given.
func TestImportOfEverySpec(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and nothing runs beside anything: the run without -short has it")
	}
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	for _, spec := range kms.KeySpecs {
		s, known := spec.Spec()
		if !known || material.Served(spec) != nil {
			continue
		}
		usage := s.Usages[len(s.Usages)-1]
		create := &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: usage, Origin: kms.OriginExternal}
		if !s.Importable {
			w.refused(t, string(spec), do, kms.OpCreateKey, create, kms.CodeUnsupported)
			continue
		}
		t.Run(string(spec), func(t *testing.T) {
			plain, public := customers(t, do, spec)
			isRSA := spec == kms.RSA2048 || spec == kms.RSA3072 || spec == kms.RSA4096
			for _, a := range kms.WrappingAlgorithms {
				sha1 := a == kms.WrapRSAESOAEPSHA1 || a == kms.WrapRSAAESSHA1
				if sha1 && fips140.Enabled() {
					continue
				}
				key := do.must(t, kms.OpCreateKey, create).(*kms.KeyAnswer).Key.KeyID
				wrapping, direct := kms.RSA2048, a == kms.WrapRSAESOAEPSHA1 || a == kms.WrapRSAESOAEPSHA256
				if direct && (isRSA || spec == kms.ECCNISTP521) {
					w.refused(t, string(a), do, kms.OpGetParametersForImport,
						&kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: a, WrappingKeySpec: wrapping}, kms.CodeUnsupported)
					wrapping = kms.RSA3072
				}
				if direct && isRSA {
					w.refused(t, string(a), do, kms.OpGetParametersForImport,
						&kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: a, WrappingKeySpec: kms.RSA4096}, kms.CodeUnsupported)
					continue
				}
				do.state(t, key, kms.StatePendingImport)
				c := do.ceremony(t, key, a, wrapping)
				id := c.bring(t, plain)
				do.state(t, key, kms.StateEnabled)
				if !w.live(id) {
					t.Errorf("%s: there is no record of the material", a)
				}
				switch {
				case public != nil:
					got := do.must(t, kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: key}).(*kms.GetPublicKeyAnswer).PublicKey
					if !bytes.Equal(got, public) {
						t.Errorf("%s: the key has another public key", a)
					}
				case usage == kms.GenerateVerifyMac:
					h := map[kms.KeySpec]crypto.Hash{kms.HMAC224: crypto.SHA224, kms.HMAC256: crypto.SHA256, kms.HMAC384: crypto.SHA384, kms.HMAC512: crypto.SHA512}[spec]
					mac := hmac.New(h.New, plain)
					mac.Write([]byte(message))
					got := do.must(t, kms.OpGenerateMac, &kms.GenerateMacRequest{KeyID: key, Message: []byte(message), MacAlgorithm: s.Mac[0]}).(*kms.GenerateMacAnswer).Mac
					if !hmac.Equal(got, mac.Sum(nil)) {
						t.Errorf("%s: the key makes another MAC", a)
					}
				default:
					body, err := w.Catalog.View().Open(catalog.IDs{}.Material(id))
					if err != nil || !bytes.Equal(body.(*catalog.Material).Plain, plain) {
						t.Errorf("%s: other material was written (%v)", a, err)
					}
					do.decrypts(t, key, do.encrypt(t, key), id)
				}
				if !direct { // the same again is the same; a spec other than symmetric never gets other material
					if again := c.bring(t, plain); again != id {
						t.Errorf("%s: the same material has the ids %s and %s", a, id, again)
					}
				}
				if a == kms.WrapRSAAESSHA256 {
					w.otherMaterial(t, do, c, spec)
				}
			}
		})
	}
}

// otherMaterial brings what a key cannot take: other material, of its spec and of none.
func (w *world) otherMaterial(t *testing.T, do doer, c *ceremony, spec kms.KeySpec) {
	t.Helper()
	other, _ := customers(t, do, spec)
	w.refused(t, "other material", do, kms.OpImportKeyMaterial, c.request(t, other), kms.CodeIncorrectKeyMaterial)
	if spec != kms.SymmetricDefault {
		w.refused(t, "new material", do, kms.OpImportKeyMaterial, c.request(t, other, asNew), kms.CodeIncorrectKeyMaterial)
	}
	w.refused(t, "no material of the spec", do, kms.OpImportKeyMaterial, c.request(t, random(17)), kms.CodeIncorrectKeyMaterial)
	q := c.request(t, other)
	q.EncryptedKeyMaterial[len(q.EncryptedKeyMaterial)-1] ^= 1
	w.refused(t, "what does not open", do, kms.OpImportKeyMaterial, q, kms.CodeInvalidCiphertext)
}

// An import token is good for one key of one cluster, for a day, on any node.
func TestImportTokens(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	key := w.make(t, w.alice, externalKey).KeyID
	c := do.begin(t, key)
	if until := c.answer.ParametersValidTo.Sub(kms.Time(w.State().LogTime())); until != 24*time.Hour {
		t.Errorf("the token is valid for %v", until)
	}
	plain := random(32)
	q := c.request(t, plain)
	refused := func(what string, token []byte, code kms.Code) {
		t.Helper()
		other := *q
		other.ImportToken = token
		w.refused(t, what, do, kms.OpImportKeyMaterial, &other, code)
	}
	for at := range len(q.ImportToken) {
		if at < 64 || at%97 == 0 || at == len(q.ImportToken)-1 {
			refused(fmt.Sprintf("byte %d changed", at), changed(q.ImportToken, at), kms.CodeInvalidImportToken)
		}
	}
	refused("cut", q.ImportToken[:len(q.ImportToken)-1], kms.CodeInvalidImportToken)
	refused("one byte", []byte{1}, kms.CodeInvalidImportToken)
	refused("another key's", do.begin(t, w.make(t, w.alice, externalKey).KeyID).answer.ImportToken, kms.CodeInvalidImportToken)

	// Of another cluster, for a key of the same name.
	stranger := newWorld(t, servicetest.Options{})
	b := stranger.Barrier()
	defer b.Wipe()
	body, err := w.Catalog.View().Open(w.keyRef(t, key))
	if err != nil {
		t.Fatal(err)
	}
	ids := catalog.NewIDs(b)
	write, err := catalog.Write(b, ids.Key(aliceScope, key), 1, body, ids.KeysOf(aliceID))
	if err != nil {
		t.Fatal(err)
	}
	stranger.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.copied", Based: stranger.State().LogTime(), Writes: []fsm.Write{write}})
	if err := stranger.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused("another cluster's", stranger.in("").begin(t, key).answer.ImportToken, kms.CodeInvalidImportToken)

	// The node that made it need not be the one that takes it, and the private key is in no record.
	second := w.Cluster.Node(servicetest.Options{})
	answer, err := second.Do(w.alice, kms.OpImportKeyMaterial, q)
	want(t, "on another node", err, "")
	do.state(t, key, kms.StateEnabled)
	do.decrypts(t, key, do.encrypt(t, key), answer.(*kms.KeyMaterialAnswer).KeyMaterialID)

	w.Advance(c.answer.ParametersValidTo.Sub(kms.Time(w.State().LogTime())) - time.Millisecond)
	do.must(t, kms.OpImportKeyMaterial, q) // in its last millisecond; the command of it is the next one
	w.refused(t, "after a day", do, kms.OpImportKeyMaterial, q, kms.CodeExpiredImportToken)
}

// keyRef returns where the record of a key of alice's is.
func (w *world) keyRef(t *testing.T, key string) fsm.Ref {
	t.Helper()
	b := w.Barrier()
	defer b.Wipe()
	return catalog.NewIDs(b).Key(aliceScope, key)
}

// Keys whose material the cluster made take none, and words that AWS KMS does not know are refused.
func TestImportParameters(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	own, key := w.CreateKey(w.alice), w.make(t, w.alice, externalKey).KeyID
	parameters := func(key string, a kms.WrappingAlgorithm, spec kms.KeySpec) *kms.GetParametersForImportRequest {
		return &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: a, WrappingKeySpec: spec}
	}
	w.judge(t, []verdict{
		{"a key of AWS_KMS", kms.OpGetParametersForImport, parameters(own, kms.WrapRSAESOAEPSHA256, kms.RSA2048), kms.CodeUnsupported, "origin is AWS_KMS which is not valid for this operation."},
		{"a dead algorithm", kms.OpGetParametersForImport, parameters(key, "RSAES_PKCS1_V1_5", kms.RSA2048), kms.CodeUnsupported, "RSAES_OAEP_SHA_256"},
		{"no algorithm", kms.OpGetParametersForImport, parameters(key, "", kms.RSA2048), kms.CodeValidation, "wrappingAlgorithm"},
		{"no spec", kms.OpGetParametersForImport, parameters(key, kms.WrapRSAAESSHA256, ""), kms.CodeValidation, "wrappingKeySpec"},
		{"SM2", kms.OpGetParametersForImport, parameters(key, kms.WrapRSAAESSHA256, kms.SM2), kms.CodeUnsupported, ""},
		{"a curve", kms.OpGetParametersForImport, parameters(key, kms.WrapRSAAESSHA256, kms.ECCNISTP256), kms.CodeValidation, "wrappingKeySpec"},
		{"delete before the first import", kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key}, "", ""},
		{"delete of a key of AWS_KMS", kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: own}, kms.CodeUnsupported, "origin is AWS_KMS"},
		{"delete of what it never had", kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: strings.Repeat("0", 64)}, kms.CodeNotFound, ""},
		{"delete of no id", kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: "x"}, kms.CodeValidation, "keyMaterialId"},
	})
}

// What may be said with an import.
func TestImportRequests(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	key := w.make(t, w.alice, externalKey).KeyID
	c := do.begin(t, key)
	plain := random(32)
	const days = 24 * time.Hour
	for what, change := range map[string]func(*kms.ImportKeyMaterialRequest){
		"now":                    until(w.after(0)),
		"in the past":            until(w.after(-days)),
		"after 365 days":         until(w.after(365*days + time.Millisecond)),
		"no date":                until(nil),
		"no model and no date":   func(q *kms.ImportKeyMaterialRequest) { q.ExpirationModel = "" },
		"a date and no expiry":   func(q *kms.ImportKeyMaterialRequest) { q.ValidTo = w.after(days) },
		"an unknown model":       func(q *kms.ImportKeyMaterialRequest) { q.ExpirationModel = "SOMETIMES" },
		"an unknown type":        func(q *kms.ImportKeyMaterialRequest) { q.ImportType = "OLD" },
		"an id of new material":  func(q *kms.ImportKeyMaterialRequest) { asNew(q); q.KeyMaterialID = strings.Repeat("0", 64) },
		"no id":                  func(q *kms.ImportKeyMaterialRequest) { q.KeyMaterialID = "A" },
		"a long description":     func(q *kms.ImportKeyMaterialRequest) { q.KeyMaterialDescription = strings.Repeat("d", 257) },
		"a description of signs": func(q *kms.ImportKeyMaterialRequest) { q.KeyMaterialDescription = "<d>" },
		"no token":               func(q *kms.ImportKeyMaterialRequest) { q.ImportToken = nil },
		"no material":            func(q *kms.ImportKeyMaterialRequest) { q.EncryptedKeyMaterial = nil },
		"too long a token":       func(q *kms.ImportKeyMaterialRequest) { q.ImportToken = make([]byte, 6145) },
		"too much":               func(q *kms.ImportKeyMaterialRequest) { q.EncryptedKeyMaterial = make([]byte, 6145) },
	} {
		w.refused(t, what, do, kms.OpImportKeyMaterial, c.request(t, plain, change), kms.CodeValidation)
	}
	w.refused(t, "existing material of a key that had none", do, kms.OpImportKeyMaterial, c.request(t, plain, asExisting), kms.CodeIncorrectKeyMaterial)
	w.refused(t, "another id", do, kms.OpImportKeyMaterial,
		c.request(t, plain, func(q *kms.ImportKeyMaterialRequest) { q.KeyMaterialID = strings.Repeat("0", 64) }), kms.CodeIncorrectKeyMaterial)
	do.state(t, key, kms.StatePendingImport)

	if k := do.describe(t, key); k.ExpirationModel != "" || k.ValidTo != nil || k.CurrentKeyMaterialID != "" {
		t.Errorf("without material: %+v", k)
	}
	last := w.after(365 * days)
	id := c.bring(t, plain, until(last), func(q *kms.ImportKeyMaterialRequest) { q.KeyMaterialDescription = "the first" })
	if k := do.describe(t, key); k.ExpirationModel != kms.MaterialExpires || k.ValidTo == nil || !k.ValidTo.Equal(*last) || k.CurrentKeyMaterialID != id {
		t.Errorf("with material that expires: %+v", k)
	}
	c.bring(t, plain, func(q *kms.ImportKeyMaterialRequest) { q.KeyMaterialID = id })
	if k := do.describe(t, key); k.ExpirationModel != kms.MaterialDoesNotExpire || k.ValidTo != nil {
		t.Errorf("imported again without expiry: %+v", k)
	}
	a := do.must(t, kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, IncludeKeyMaterial: "ALL_KEY_MATERIAL"}).(*kms.ListKeyRotationsAnswer)
	if e := a.Rotations; len(e) != 1 || e[0].KeyMaterialDescription != "the first" || e[0].ExpirationModel != kms.MaterialDoesNotExpire || e[0].RotationDate != nil {
		t.Errorf("listed: %+v", e)
	}
}

// Material that expires is destroyed when its time has come, and the key works again when it is brought again.
func TestImportExpires(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	key := w.make(t, w.alice, externalKey).KeyID
	c, plain := do.begin(t, key), random(32)
	id := c.bring(t, plain, until(w.after(time.Hour)))
	ciphertext := do.encrypt(t, key)
	w.pass(t, time.Hour-time.Minute)
	do.state(t, key, kms.StateEnabled)
	before := len(w.Records())
	w.pass(t, time.Minute)
	if all := w.Records()[before:]; len(all) != 1 || all[0]["eventName"] != "DeleteExpiredKeyMaterial" {
		t.Errorf("audit records: %v", all)
	}
	do.state(t, key, kms.StatePendingImport)
	if w.live(id) {
		t.Error("the material is still there")
	}
	if k := do.describe(t, key); k.ExpirationModel != "" || k.ValidTo != nil {
		t.Errorf("without material: %+v", k)
	}
	do.lists(t, key, "CURRENT PENDING_IMPORT")
	w.refused(t, "decrypt", do, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext}, kms.CodeInvalidState)
	index := w.State().Index()
	w.pass(t, time.Hour)
	if w.State().Index() != index {
		t.Error("it expired twice")
	}
	if again := c.bring(t, plain, until(w.after(3*time.Hour))); again != id {
		t.Errorf("the same material has the ids %s and %s", id, again)
	}
	do.decrypts(t, key, ciphertext, id)

	// Brought again before its time it stays for the new time. A disabled key that loses it comes back enabled.
	c.bring(t, plain, until(w.after(5*time.Hour)))
	w.pass(t, 4*time.Hour)
	do.decrypts(t, key, ciphertext, id)
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	w.pass(t, 2*time.Hour)
	do.state(t, key, kms.StatePendingImport)

	// A key that is pending deletion loses its material too, and is then pending import after the deletion is cancelled.
	c.bring(t, plain, until(w.after(time.Hour)))
	do.state(t, key, kms.StateEnabled)
	w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key})
	w.pass(t, 2*time.Hour)
	do.state(t, key, kms.StatePendingDeletion)
	if w.live(id) {
		t.Error("the material of a key that is pending deletion did not expire")
	}
	w.must(t, w.alice, kms.OpCancelKeyDeletion, &kms.KeyRequest{KeyID: key})
	do.state(t, key, kms.StatePendingImport)
}

// Deleted material comes back by importing the same.
// What has expired is not used, however late the scheduler is.
func TestExpiredMaterialIsNotUsed(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	key := w.make(t, w.alice, externalKey).KeyID
	do.begin(t, key).bring(t, random(32), until(w.after(time.Hour)))
	ciphertext := do.encrypt(t, key)
	w.Advance(time.Hour)
	w.refused(t, "encrypt", do, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")}, kms.CodeInvalidState)
	w.refused(t, "decrypt", do, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext}, kms.CodeInvalidState)
	do.state(t, key, kms.StatePendingImport)
	if k := do.describe(t, key); k.Enabled || k.ExpirationModel != "" || k.ValidTo != nil {
		t.Errorf("without material: %+v", k)
	}
	do.lists(t, key, "CURRENT PENDING_IMPORT")
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	do.state(t, key, kms.StatePendingImport)
}

func TestImportAgain(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	key := w.make(t, w.alice, externalKey).KeyID
	c, plain := do.begin(t, key), random(32)
	id := c.bring(t, plain)
	ciphertext := do.encrypt(t, key)
	for range 2 { // the second time nothing is there to delete
		a := do.must(t, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key}).(*kms.KeyMaterialAnswer)
		if a.KeyMaterialID != id || a.KeyID != "arn:aws:kms:"+firstRegion+":"+aliceID+":key/"+key {
			t.Errorf("deleted %+v", a)
		}
		do.state(t, key, kms.StatePendingImport)
		if w.live(id) {
			t.Error("the material is still there")
		}
	}
	w.refused(t, "encrypt", do, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(message)}, kms.CodeInvalidState)
	w.refused(t, "other material", do, kms.OpImportKeyMaterial, c.request(t, random(32)), kms.CodeIncorrectKeyMaterial)
	w.refused(t, "the same as new", do, kms.OpImportKeyMaterial, c.request(t, plain, asNew), kms.CodeIncorrectKeyMaterial)
	if again := c.bring(t, plain, asExisting); again != id {
		t.Errorf("the same material has the ids %s and %s", id, again)
	}
	do.state(t, key, kms.StateEnabled)
	do.decrypts(t, key, ciphertext, id)

	// The id says nothing about the material: another key that has the same has another id.
	other := do.begin(t, w.make(t, w.alice, externalKey).KeyID)
	if got := other.bring(t, plain); got == id {
		t.Error("two keys tell that they have the same material")
	}
}

// An RSA key is the same key in whatever order its primes are written.
func TestImportOfTheSameRSAKey(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	key := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.RSA2048, KeyUsage: kms.SignVerify, Origin: kms.OriginExternal}).KeyID
	c := do.ceremony(t, key, kms.WrapRSAAESSHA256, kms.RSA2048)
	first, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	second := &rsa.PrivateKey{PublicKey: first.PublicKey, D: first.D, Primes: []*big.Int{first.Primes[1], first.Primes[0]}}
	second.Precompute()
	if bytes.Equal(pkcs8(t, first), pkcs8(t, second)) {
		t.Fatal("the encodings do not differ")
	}
	id := c.bring(t, pkcs8(t, first))
	do.must(t, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key})
	if again := c.bring(t, pkcs8(t, second)); again != id {
		t.Errorf("the same key has the ids %s and %s", id, again)
	}
	do.state(t, key, kms.StateEnabled)
}

// New material is announced, becomes the current one by rotation on demand, and what it replaced still decrypts.
func TestImportAndRotate(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	key := w.make(t, w.alice, externalKey).KeyID
	c := do.begin(t, key)
	plains := [][]byte{random(32), random(32), random(32)}
	rotate := func() error {
		_, err := do(kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
		return err
	}
	first := c.bring(t, plains[0], asNew)
	old := do.encrypt(t, key)
	want(t, "nothing is announced", rotate(), kms.CodeInvalidState)
	w.refused(t, "automatic rotation", do, kms.OpEnableKeyRotation, &kms.EnableKeyRotationRequest{KeyID: key}, kms.CodeUnsupported)

	second := c.bring(t, plains[1], asNew, until(w.after(100*24*time.Hour)))
	do.lists(t, key, "CURRENT IMPORTED", "PENDING_ROTATION IMPORTED")
	if k := do.describe(t, key); k.CurrentKeyMaterialID != first || k.KeyState != kms.StateEnabled {
		t.Errorf("with announced material: %+v", k)
	}
	do.decrypts(t, key, do.encrypt(t, key), first)
	w.refused(t, "a second announcement", do, kms.OpImportKeyMaterial, c.request(t, plains[2], asNew), kms.CodeInvalidState)
	w.refused(t, "the announced as new", do, kms.OpImportKeyMaterial, c.request(t, plains[1], asNew), kms.CodeIncorrectKeyMaterial)
	if c.bring(t, plains[1], until(w.after(100*24*time.Hour))) != second || c.bring(t, plains[0]) != first {
		t.Error("material that is imported again has another id")
	}

	// Without its record announced material cannot become the current one, nor does its lack stop the key.
	c.bring(t, plains[1], until(w.after(time.Hour)))
	w.pass(t, 2*time.Hour)
	do.state(t, key, kms.StateEnabled)
	if w.live(second) {
		t.Error("announced material did not expire")
	}
	do.lists(t, key, "CURRENT IMPORTED") // on a primary or single key it is forgotten
	want(t, "what was announced expired", rotate(), kms.CodeInvalidState)

	second = c.bring(t, plains[1], asNew)
	want(t, "rotate", rotate(), "")
	do.lists(t, key, "NON_CURRENT IMPORTED", "CURRENT IMPORTED ON_DEMAND")
	if k := do.describe(t, key); k.CurrentKeyMaterialID != second {
		t.Errorf("after the rotation the current material is %s", k.CurrentKeyMaterialID)
	}
	young := do.encrypt(t, key)
	do.decrypts(t, key, old, first)
	do.decrypts(t, key, young, second)
	want(t, "rotated already", rotate(), kms.CodeInvalidState)

	// Announced material goes without a trace.
	third := c.bring(t, plains[2], asNew)
	do.must(t, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: third})
	if w.live(third) {
		t.Error("announced material that was deleted is still there")
	}
	do.lists(t, key, "NON_CURRENT IMPORTED", "CURRENT IMPORTED ON_DEMAND")
	do.state(t, key, kms.StateEnabled)

	// A key that lacks the old one is as unusable as one that lacks the current one.
	for _, lost := range []struct {
		id    string
		plain []byte
		named bool
	}{{first, plains[0], true}, {second, plains[1], true}, {second, plains[1], false}} {
		q := &kms.DeleteImportedKeyMaterialRequest{KeyID: key}
		if lost.named {
			q.KeyMaterialID = lost.id
		}
		if a := do.must(t, kms.OpDeleteImportedKeyMaterial, q).(*kms.KeyMaterialAnswer); a.KeyMaterialID != lost.id {
			t.Errorf("deleted %s, want %s", a.KeyMaterialID, lost.id)
		}
		if w.live(lost.id) || !w.live(first) && !w.live(second) {
			t.Error("another material was deleted")
		}
		do.state(t, key, kms.StatePendingImport)
		for _, ciphertext := range [][]byte{old, young} {
			w.refused(t, "decrypt", do, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext}, kms.CodeInvalidState)
		}
		c.bring(t, lost.plain)
		do.decrypts(t, key, old, first)
		do.decrypts(t, key, young, second)
	}

	// The one that expires first counts for the key.
	at := w.after(time.Hour)
	c.bring(t, plains[0], until(at))
	if k := do.describe(t, key); k.ExpirationModel != kms.MaterialExpires || k.ValidTo == nil || !k.ValidTo.Equal(*at) {
		t.Errorf("with one material that expires: %+v", k)
	}
	w.pass(t, 2*time.Hour)
	do.state(t, key, kms.StatePendingImport)
	if w.live(first) || !w.live(second) {
		t.Error("another material than the old one expired")
	}
	both := []string{first, second}
	if _, ids := do.materials(t, key); !slices.Equal(ids, both) {
		t.Errorf("listed %v, want %v", ids, both)
	}

	// The key goes with all its material.
	c.bring(t, plains[0])
	do.must(t, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(7)})
	w.pass(t, 8*24*time.Hour)
	if w.live(first) || w.live(second) {
		t.Error("material outlived its key")
	}
}

// Announced material that has expired does not become the current one, however late the scheduler is.
func TestExpiredMaterialIsNotRotatedTo(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	do := w.in("")
	key := w.make(t, w.alice, externalKey).KeyID
	do.begin(t, key).bring(t, random(32))
	ciphertext := do.encrypt(t, key)
	do.begin(t, key).bring(t, random(32), asNew, until(w.after(time.Hour)))
	w.Advance(time.Hour)
	w.refused(t, "rotate", do, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key}, kms.CodeInvalidState)
	do.must(t, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
}
