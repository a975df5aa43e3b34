package service_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"hash"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func newMaterial(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// wrapFor encrypts material as a customer does who has the parameters.
func wrapFor(t testing.TB, a kms.WrappingAlgorithm, spki, plain []byte) []byte {
	t.Helper()
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		t.Fatal(err)
	}
	h := func() hash.Hash { return sha256.New() }
	if a == kms.WrapRSAESOAEPSHA1 || a == kms.WrapRSAAESSHA1 {
		h = func() hash.Hash { return sha1.New() }
	}
	direct, rest := plain, []byte(nil)
	if a == kms.WrapRSAAESSHA1 || a == kms.WrapRSAAESSHA256 {
		direct = newMaterial(32)
		k, err := subtle.NewKWP(direct)
		if err != nil {
			t.Fatal(err)
		}
		if rest, err = k.Wrap(plain); err != nil {
			t.Fatal(err)
		}
	}
	wrapped, err := rsa.EncryptOAEP(h(), rand.Reader, public.(*rsa.PublicKey), direct, nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(wrapped, rest...)
}

func (w *world) parameters(t testing.TB, key string) *kms.GetParametersForImportAnswer {
	t.Helper()
	return w.must(t, w.alice, kms.OpGetParametersForImport, &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048}).(*kms.GetParametersForImportAnswer)
}

// tryImport imports symmetric or HMAC material; q says how.
func (w *world) tryImport(t testing.TB, region, key string, plain []byte, q *kms.ImportKeyMaterialRequest) (string, error) {
	t.Helper()
	p, err := in(t, w.Node, w.alice, region, kms.OpGetParametersForImport, &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: kms.WrapRSAESOAEPSHA256, WrappingKeySpec: kms.RSA2048})
	if err != nil {
		t.Fatal(err)
	}
	r := *q
	r.KeyID, r.ImportToken = key, p.(*kms.GetParametersForImportAnswer).ImportToken
	r.EncryptedKeyMaterial = wrapFor(t, kms.WrapRSAESOAEPSHA256, p.(*kms.GetParametersForImportAnswer).PublicKey, plain)
	if r.ValidTo == nil {
		r.ExpirationModel = kms.MaterialDoesNotExpire
	}
	a, err := in(t, w.Node, w.alice, region, kms.OpImportKeyMaterial, &r)
	if err != nil {
		return "", err
	}
	return a.(*kms.KeyMaterialAnswer).KeyMaterialID, nil
}

func (w *world) importInto(t testing.TB, key string, plain []byte, q *kms.ImportKeyMaterialRequest) string {
	t.Helper()
	id, err := w.tryImport(t, "", key, plain, q)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *world) external(t testing.TB) string {
	t.Helper()
	return w.make(t, w.alice, &kms.CreateKeyRequest{Origin: kms.OriginExternal}).KeyID
}

func pkcs8(t testing.TB, key any, err error) []byte {
	t.Helper()
	if err == nil {
		var der []byte
		if der, err = x509.MarshalPKCS8PrivateKey(key); err == nil {
			return der
		}
	}
	t.Fatal(err)
	return nil
}

// Every spec that is imported, with every way to wrap it. One key of each takes all ways: the same material every time.
func TestImportEverySpec(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	curve := func(c elliptic.Curve) []byte {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		return pkcs8(t, k, err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	rsaKey, rsaErr := rsa.GenerateKey(rand.Reader, 2048)
	koblitz, kErr := material.GeneratePair(kms.ECCSECGP256K1)
	if kErr != nil {
		t.Fatal(kErr)
	}
	use := func(op *kms.Operation, request func(key string) any) func(t *testing.T, key string) {
		return func(t *testing.T, key string) { w.must(t, w.alice, op, request(key)) }
	}
	sign := func(a kms.SigningAlgorithm) func(t *testing.T, key string) {
		return use(kms.OpSign, func(key string) any {
			return &kms.SignRequest{KeyID: key, Message: []byte("m"), SigningAlgorithm: a}
		})
	}
	mac := func(a kms.MacAlgorithm) func(t *testing.T, key string) {
		return use(kms.OpGenerateMac, func(key string) any {
			return &kms.GenerateMacRequest{KeyID: key, Message: []byte("m"), MacAlgorithm: a}
		})
	}
	for _, row := range []struct {
		spec  kms.KeySpec
		usage kms.KeyUsage
		plain []byte
		use   func(t *testing.T, key string)
	}{
		{kms.SymmetricDefault, kms.EncryptDecrypt, newMaterial(32), func(t *testing.T, key string) { w.encrypt(t, w.alice, key, "x", nil) }},
		{kms.HMAC224, kms.GenerateVerifyMac, newMaterial(28), mac(kms.HMACSHA224)},
		{kms.HMAC256, kms.GenerateVerifyMac, newMaterial(32), mac(kms.HMACSHA256)},
		{kms.HMAC384, kms.GenerateVerifyMac, newMaterial(48), mac(kms.HMACSHA384)},
		{kms.HMAC512, kms.GenerateVerifyMac, newMaterial(64), mac(kms.HMACSHA512)},
		{kms.ECCNISTP256, kms.SignVerify, curve(elliptic.P256()), sign(kms.ECDSASHA256)},
		{kms.ECCNISTP384, kms.SignVerify, curve(elliptic.P384()), sign(kms.ECDSASHA384)},
		{kms.ECCNISTP521, kms.SignVerify, curve(elliptic.P521()), sign(kms.ECDSASHA512)},
		{kms.ECCSECGP256K1, kms.SignVerify, koblitz.Private, sign(kms.ECDSASHA256)},
		{kms.ECCNISTEdwards25519, kms.SignVerify, pkcs8(t, ed, err), sign(kms.Ed25519SHA512)},
		{kms.RSA2048, kms.SignVerify, pkcs8(t, rsaKey, rsaErr), sign(kms.RSASSAPSSSHA256)},
	} {
		t.Run(string(row.spec), func(t *testing.T) {
			key := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: row.spec, KeyUsage: row.usage, Origin: kms.OriginExternal}).KeyID
			var first string
			for _, a := range kms.WrappingAlgorithms {
				direct := a == kms.WrapRSAESOAEPSHA1 || a == kms.WrapRSAESOAEPSHA256
				wrapping := kms.RSA2048
				refused := direct && (row.spec == kms.RSA2048 || row.spec == kms.ECCNISTP521)
				q := &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: a, WrappingKeySpec: wrapping}
				answer, err := w.Do(w.alice, kms.OpGetParametersForImport, q)
				if refused {
					want(t, string(a), err, kms.CodeUnsupported)
					continue
				}
				want(t, string(a), err, "")
				p := answer.(*kms.GetParametersForImportAnswer)
				id := w.must(t, w.alice, kms.OpImportKeyMaterial, &kms.ImportKeyMaterialRequest{KeyID: key, ImportToken: p.ImportToken,
					EncryptedKeyMaterial: wrapFor(t, a, p.PublicKey, row.plain), ExpirationModel: kms.MaterialDoesNotExpire}).(*kms.KeyMaterialAnswer).KeyMaterialID
				if first == "" {
					first = id
				}
				if id != first || len(id) != 64 {
					t.Errorf("%s: material %q, the first time %q", a, id, first)
				}
				row.use(t, key)
			}
		})
	}
}

func TestImportTokens(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	key, other := w.external(t), w.external(t)
	p := w.parameters(t, key)
	plain := newMaterial(32)
	wrapped := wrapFor(t, kms.WrapRSAESOAEPSHA256, p.PublicKey, plain)
	request := func(key string, token, wrapped []byte) *kms.ImportKeyMaterialRequest {
		return &kms.ImportKeyMaterialRequest{KeyID: key, ImportToken: token, EncryptedKeyMaterial: wrapped, ExpirationModel: kms.MaterialDoesNotExpire}
	}
	foreign := newWorld(t, servicetest.Options{})
	theirs := foreign.parameters(t, foreign.external(t))
	for _, row := range []struct {
		name string
		q    *kms.ImportKeyMaterialRequest
		code kms.Code
	}{
		{"first bit", request(key, changed(p.ImportToken, 0), wrapped), kms.CodeInvalidImportToken},
		{"last bit", request(key, changed(p.ImportToken, len(p.ImportToken)-1), wrapped), kms.CodeInvalidImportToken},
		{"short", request(key, p.ImportToken[:10], wrapped), kms.CodeInvalidImportToken},
		{"of another cluster", request(key, theirs.ImportToken, wrapped), kms.CodeInvalidImportToken},
		{"of another key", request(other, p.ImportToken, wrapped), kms.CodeInvalidImportToken},
		{"none", request(key, nil, wrapped), kms.CodeValidation},
		{"other material", request(key, p.ImportToken, changed(wrapped, 5)), kms.CodeInvalidCiphertext},
		{"wrapped for others", request(key, p.ImportToken, wrapFor(t, kms.WrapRSAESOAEPSHA256, theirs.PublicKey, plain)), kms.CodeInvalidCiphertext},
		{"16 bytes", request(key, p.ImportToken, wrapFor(t, kms.WrapRSAESOAEPSHA256, p.PublicKey, plain[:16])), kms.CodeIncorrectKeyMaterial},
	} {
		_, err := w.Do(w.alice, kms.OpImportKeyMaterial, row.q)
		want(t, row.name, err, row.code)
	}
	if got := p.ParametersValidTo.UnixMilli() - w.Now(); got > oneDay.Milliseconds() || got < oneDay.Milliseconds()-1000 {
		t.Errorf("the token is good for %d ms", got)
	}
	_, err := n.Do(w.alice, kms.OpImportKeyMaterial, request(key, p.ImportToken, wrapped))
	want(t, "on another node", err, "")
	w.Advance(oneDay - time.Second)
	_, err = w.Do(w.alice, kms.OpImportKeyMaterial, request(key, p.ImportToken, wrapped))
	want(t, "on its last day", err, "")
	w.Advance(2 * time.Second)
	_, err = w.Do(w.alice, kms.OpImportKeyMaterial, request(key, p.ImportToken, wrapped))
	want(t, "a day later", err, kms.CodeExpiredImportToken)
	for _, code := range []struct {
		q    *kms.GetParametersForImportRequest
		code kms.Code
	}{
		{&kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: "RSAES_PKCS1_V1_5", WrappingKeySpec: kms.RSA2048}, kms.CodeUnsupported},
		{&kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: "X", WrappingKeySpec: kms.RSA2048}, kms.CodeValidation},
		{&kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: kms.WrapRSAESOAEPSHA1, WrappingKeySpec: "X"}, kms.CodeValidation},
		{&kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: kms.WrapRSAESOAEPSHA1, WrappingKeySpec: kms.SM2}, kms.CodeUnsupported},
		{&kms.GetParametersForImportRequest{KeyID: w.CreateKey(w.alice), WrappingAlgorithm: kms.WrapRSAESOAEPSHA1, WrappingKeySpec: kms.RSA2048}, kms.CodeUnsupported},
	} {
		_, err := w.Do(w.alice, kms.OpGetParametersForImport, code.q)
		want(t, fmt.Sprint(code.q), err, code.code)
	}
}

func TestImportedMaterialExpires(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, plain := w.external(t), newMaterial(32)
	now := w.Now()
	at := func(days int64) *time.Time { return ptr(kms.Time(now + days*oneDay.Milliseconds())) }
	for name, q := range map[string]*kms.ImportKeyMaterialRequest{
		"past": {ValidTo: at(-1)}, "too far": {ValidTo: at(366)}, "new, of an id": {ImportType: kms.ImportNewMaterial, KeyMaterialID: fmt.Sprintf("%064d", 1)},
		"type": {ImportType: "X"}, "description": {KeyMaterialDescription: "a\"b"}, "id": {KeyMaterialID: "AB"},
	} {
		_, err := w.tryImport(t, "", key, plain, q)
		want(t, name, err, kms.CodeValidation)
	}
	for _, q := range []*kms.ImportKeyMaterialRequest{
		{ExpirationModel: kms.MaterialExpires}, {}, {ExpirationModel: kms.MaterialDoesNotExpire, ValidTo: at(1)},
	} {
		q.KeyID, q.ImportToken, q.EncryptedKeyMaterial = key, []byte("x"), []byte("x")
		_, err := w.Do(w.alice, kms.OpImportKeyMaterial, q)
		want(t, "model and date", err, kms.CodeValidation)
	}
	id := w.importInto(t, key, plain, &kms.ImportKeyMaterialRequest{ValidTo: at(10), KeyMaterialDescription: "from the vault"})
	if k := w.describe(t, key); k.KeyState != kms.StateEnabled || k.ExpirationModel != kms.MaterialExpires || !k.ValidTo.Equal(*at(10)) || k.CurrentKeyMaterialID != id {
		t.Errorf("imported %+v", k)
	}
	c := w.encrypt(t, w.alice, key, "x", nil)
	w.until(at(10).Add(-time.Second))
	runDue(t, w.Node)
	if got := w.describe(t, key).KeyState; got != kms.StateEnabled {
		t.Fatalf("before its time the key is %s", got)
	}
	w.until(at(10).Add(time.Second))
	runDue(t, w.Node, w.Node)
	if k := w.describe(t, key); k.KeyState != kms.StatePendingImport || k.ExpirationModel != "" || k.ValidTo != nil {
		t.Errorf("expired %+v", k)
	}
	if live(w, fsm.KindMaterial) != 0 {
		t.Error("the record is still there")
	}
	v := w.Catalog.View()
	body, err := v.Open(v.IDs().Material(id))
	want(t, "tombstone", err, "")
	if len(body.(*catalog.Material).Plain) > 0 {
		t.Error("the tombstone holds the material")
	}
	_, err = w.decrypt(w.alice, c)
	want(t, "decrypt", err, kms.CodeInvalidState)
	if e := w.rotations(t, key, "ALL_KEY_MATERIAL"); len(e) != 1 || e[0].ImportState != "PENDING_IMPORT" || e[0].KeyMaterialDescription != "from the vault" {
		t.Errorf("materials %+v", e)
	}
	_, err = w.tryImport(t, "", key, newMaterial(32), &kms.ImportKeyMaterialRequest{})
	want(t, "other material", err, kms.CodeIncorrectKeyMaterial)
	_, err = w.tryImport(t, "", key, newMaterial(32), &kms.ImportKeyMaterialRequest{ImportType: kms.ImportNewMaterial})
	want(t, "new material of a key that lacks its own", err, "")
	if got := w.importInto(t, key, plain, &kms.ImportKeyMaterialRequest{}); got != id {
		t.Errorf("the same material is %s, was %s", got, id)
	}
	if text, err := w.decrypt(w.alice, c); text != "x" {
		t.Errorf("%q, %v", text, err)
	}
	if k := w.describe(t, key); k.ExpirationModel != kms.MaterialDoesNotExpire || k.KeyState != kms.StateEnabled {
		t.Errorf("again %+v", k)
	}
	if done, failed := events("DeleteExpiredKeyMaterial", w.Node); done != 1 || failed != 0 {
		t.Errorf("%d and %d records", done, failed)
	}
}

func TestImportedMaterialRotates(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, first, second := w.external(t), newMaterial(32), newMaterial(32)
	one := w.importInto(t, key, first, &kms.ImportKeyMaterialRequest{})
	old := w.encrypt(t, w.alice, key, "old", nil)
	_, err := w.Do(w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	want(t, "nothing is announced", err, kms.CodeInvalidState)
	_, err = w.tryImport(t, "", key, first, &kms.ImportKeyMaterialRequest{ImportType: kms.ImportNewMaterial})
	want(t, "its own as new", err, kms.CodeIncorrectKeyMaterial)
	announce := &kms.ImportKeyMaterialRequest{ImportType: kms.ImportNewMaterial}
	two := w.importInto(t, key, second, announce)
	if k := w.describe(t, key); k.CurrentKeyMaterialID != one || k.KeyState != kms.StateEnabled {
		t.Errorf("announced: %+v", k)
	}
	_, err = w.tryImport(t, "", key, newMaterial(32), announce)
	want(t, "a second announcement", err, kms.CodeInvalidState)
	if e := w.rotations(t, key, "ALL_KEY_MATERIAL"); len(e) != 2 || e[1].KeyMaterialState != "PENDING_ROTATION" || e[1].KeyMaterialID != two || e[1].RotationDate != nil {
		t.Errorf("announced: %+v", e)
	}
	if len(w.rotations(t, key, "")) != 0 {
		t.Error("an announcement is a rotation")
	}

	// What is announced is forgotten when it is deleted, and the key stays as it is.
	unimport := func(id string) {
		t.Helper()
		a := w.must(t, w.alice, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: id}).(*kms.KeyMaterialAnswer)
		if id != "" && a.KeyMaterialID != id {
			t.Errorf("deleted %s", a.KeyMaterialID)
		}
	}
	unimport(two)
	if e := w.rotations(t, key, "ALL_KEY_MATERIAL"); len(e) != 1 || w.describe(t, key).KeyState != kms.StateEnabled || live(w, fsm.KindMaterial) != 1 {
		t.Errorf("forgotten: %+v", e)
	}
	_, err = w.tryImport(t, "", key, second, &kms.ImportKeyMaterialRequest{})
	want(t, "existing, once forgotten", err, kms.CodeIncorrectKeyMaterial)
	two = w.importInto(t, key, second, announce)
	w.must(t, w.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	if k := w.describe(t, key); k.CurrentKeyMaterialID != two {
		t.Errorf("rotated: %+v", k)
	}
	fresh := w.encrypt(t, w.alice, key, "fresh", nil)
	both := func() {
		t.Helper()
		for c, text := range map[string]string{string(old): "old", string(fresh): "fresh"} {
			if got, err := w.decrypt(w.alice, []byte(c)); got != text {
				t.Errorf("%q, %v, want %s", got, err, text)
			}
		}
	}
	both()

	// Without one of its materials a key is not used at all.
	for id, plain := range map[string][]byte{one: first, two: second, "": second} {
		unimport(id)
		unimport(id)
		if got := w.describe(t, key).KeyState; got != kms.StatePendingImport {
			t.Errorf("without %q the key is %s", id, got)
		}
		for _, c := range [][]byte{old, fresh} {
			_, err := w.decrypt(w.alice, c)
			want(t, "decrypt", err, kms.CodeInvalidState)
		}
		_, err = w.tryImport(t, "", key, newMaterial(32), &kms.ImportKeyMaterialRequest{})
		want(t, "other material", err, kms.CodeIncorrectKeyMaterial)
		w.importInto(t, key, plain, &kms.ImportKeyMaterialRequest{KeyMaterialID: id})
		both()
	}
	_, err = w.Do(w.alice, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: fmt.Sprintf("%064x", 7)})
	want(t, "material it never had", err, kms.CodeNotFound)
}

// A repeated request is answered what the first one was.
func TestImportReplays(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	twice := func(key string, op *kms.Operation, request any) string {
		t.Helper()
		call := servicetest.Call(w.alice, op, request)
		call.IdempotencyKey = key
		var ids [2]string
		for i, one := range []*servicetest.Node{w.Node, n} {
			result, err := one.Service.Do(t.Context(), call)
			want(t, op.Name, err, "")
			ids[i] = result.Answer.(*kms.KeyMaterialAnswer).KeyMaterialID
		}
		if ids[0] != ids[1] || ids[0] == "" {
			t.Errorf("%s %s: %q, then %q", key, op.Name, ids[0], ids[1])
		}
		return ids[0]
	}
	key := w.external(t)
	request := func(how kms.ImportType) *kms.ImportKeyMaterialRequest {
		p := w.parameters(t, key)
		return &kms.ImportKeyMaterialRequest{KeyID: key, ImportToken: p.ImportToken, ExpirationModel: kms.MaterialDoesNotExpire, ImportType: how,
			EncryptedKeyMaterial: wrapFor(t, kms.WrapRSAESOAEPSHA256, p.PublicKey, newMaterial(32))}
	}
	current := twice("first", kms.OpImportKeyMaterial, request(""))
	announced := twice("announced", kms.OpImportKeyMaterial, request(kms.ImportNewMaterial))
	for name, id := range map[string]string{"announced": announced, "current, deleted": current, "current, again": current, "current, by default": ""} {
		twice(name, kms.OpDeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialRequest{KeyID: key, KeyMaterialID: id})
	}
	if got := len(w.rotations(t, key, "ALL_KEY_MATERIAL")); got != 1 || live(w, fsm.KindMaterial) != 0 {
		t.Errorf("%d materials", got)
	}
}
