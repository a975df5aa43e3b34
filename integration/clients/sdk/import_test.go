package sdk

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"hash"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var importCases = map[string]func(*testing.T, *kms.Client){
	"GetParametersForImport":    importing,
	"ImportKeyMaterial":         importing,
	"DeleteImportedKeyMaterial": importing,
}

func symmetricMaterial() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

// wrap wraps material as the importer of a key does.
func wrap(t *testing.T, algorithm types.AlgorithmSpec, public, material []byte) []byte {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		t.Fatalf("the wrapping key is no SPKI: %v", err)
	}
	oaep := func(h hash.Hash, plain []byte) []byte {
		out, err := rsa.EncryptOAEP(h, rand.Reader, key.(*rsa.PublicKey), plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	h := sha256.New()
	if algorithm == types.AlgorithmSpecRsaesOaepSha1 || algorithm == types.AlgorithmSpecRsaAesKeyWrapSha1 {
		h = sha1.New()
	}
	if algorithm == types.AlgorithmSpecRsaesOaepSha1 || algorithm == types.AlgorithmSpecRsaesOaepSha256 {
		return oaep(h, material)
	}
	kek := symmetricMaterial()
	return append(oaep(h, kek), wrapAES(t, kek, material)...)
}

// wrapAES is the key wrap with padding of RFC 5649, of more than 8 bytes.
func wrapAES(t *testing.T, kek, plain []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(kek)
	if err != nil {
		t.Fatal(err)
	}
	padded := append(bytes.Clone(plain), make([]byte, (8-len(plain)%8)%8)...)
	n := len(padded) / 8
	out := append(binary.BigEndian.AppendUint32([]byte{0xA6, 0x59, 0x59, 0xA6}, uint32(len(plain))), padded...)
	for j := range 6 {
		for i := 1; i <= n; i++ {
			step(block, out, i, uint64(n*j+i))
		}
	}
	return out
}

func step(block cipher.Block, out []byte, i int, count uint64) {
	var b [16]byte
	copy(b[:8], out[:8])
	copy(b[8:], out[8*i:8*i+8])
	block.Encrypt(b[:], b[:])
	binary.BigEndian.PutUint64(out[:8], binary.BigEndian.Uint64(b[:8])^count)
	copy(out[8*i:], b[8:])
}

// importMaterial imports material into a key, not to expire unless edit says when, and returns its id.
func importMaterial(t *testing.T, c *kms.Client, k *types.KeyMetadata, material []byte, edit ...func(*kms.ImportKeyMaterialInput)) string {
	t.Helper()
	return *call(t, c.ImportKeyMaterial, importOf(t, c, k, types.AlgorithmSpecRsaesOaepSha256, material, edit...)).KeyMaterialId
}

// importOf gets parameters for an import and returns its request.
func importOf(t *testing.T, c *kms.Client, k *types.KeyMetadata, algorithm types.AlgorithmSpec, material []byte, edit ...func(*kms.ImportKeyMaterialInput)) *kms.ImportKeyMaterialInput {
	t.Helper()
	p := call(t, c.GetParametersForImport, &kms.GetParametersForImportInput{KeyId: k.KeyId, WrappingAlgorithm: algorithm, WrappingKeySpec: types.WrappingKeySpecRsa2048})
	equal(t, "KeyId", aws.ToString(p.KeyId), *k.Arn)
	if p.ParametersValidTo == nil || (time.Until(*p.ParametersValidTo)-24*time.Hour).Abs() > time.Hour {
		t.Errorf("the parameters are valid until %v", p.ParametersValidTo)
	}
	q := &kms.ImportKeyMaterialInput{KeyId: k.KeyId, ImportToken: p.ImportToken, EncryptedKeyMaterial: wrap(t, algorithm, p.PublicKey, material)}
	for _, e := range edit {
		e(q)
	}
	if q.ValidTo == nil {
		q.ExpirationModel = types.ExpirationModelTypeKeyMaterialDoesNotExpire
	}
	return q
}

func importing(t *testing.T, c *kms.Client) {
	k := newKey(t, c, external)
	material := symmetricMaterial()
	out := call(t, c.ImportKeyMaterial, importOf(t, c, k, types.AlgorithmSpecRsaAesKeyWrapSha256, material))
	if *out.KeyId != *k.Arn || len(aws.ToString(out.KeyMaterialId)) != 64 {
		t.Errorf("the import answered %+v", out)
	}
	d := call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}).KeyMetadata
	if d.KeyState != types.KeyStateEnabled || d.ExpirationModel != types.ExpirationModelTypeKeyMaterialDoesNotExpire || d.ValidTo != nil || *d.CurrentKeyMaterialId != *out.KeyMaterialId {
		t.Errorf("after the import the key is %+v", d)
	}
	sealed := call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}).CiphertextBlob
	gone := call(t, c.DeleteImportedKeyMaterial, &kms.DeleteImportedKeyMaterialInput{KeyId: k.KeyId})
	equal(t, "DeleteImportedKeyMaterial", []string{*gone.KeyId, aws.ToString(gone.KeyMaterialId)}, []string{*k.Arn, *out.KeyMaterialId})
	for range 3 {
		refused[*types.KMSInvalidStateException](t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: sealed}, *k.Arn+" is pending import.")
	}
	// The same material has the same id and opens what it sealed.
	equal(t, "the id", importMaterial(t, c, k, material, func(q *kms.ImportKeyMaterialInput) { q.KeyMaterialId = out.KeyMaterialId }), *out.KeyMaterialId)
	equal(t, "Plaintext", string(call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: sealed}).Plaintext), "x")

	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	importPrivate(t, c, types.KeySpecRsa2048, private, &private.PublicKey, types.AlgorithmSpecRsaAesKeyWrapSha1, types.AlgorithmSpecRsaAesKeyWrapSha256)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	importPrivate(t, c, types.KeySpecEccNistP256, curve, &curve.PublicKey,
		types.AlgorithmSpecRsaesOaepSha1, types.AlgorithmSpecRsaesOaepSha256, types.AlgorithmSpecRsaAesKeyWrapSha1, types.AlgorithmSpecRsaAesKeyWrapSha256)
}

// importPrivate imports a private key, PKCS#8, in every way that it can be wrapped.
func importPrivate(t *testing.T, c *kms.Client, s types.KeySpec, private, public any, algorithms ...types.AlgorithmSpec) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range algorithms {
		k := newKey(t, c, external, spec(s, types.KeyUsageTypeSignVerify))
		call(t, c.ImportKeyMaterial, importOf(t, c, k, a, der))
		if got := call(t, c.GetPublicKey, &kms.GetPublicKeyInput{KeyId: k.KeyId}); !bytes.Equal(got.PublicKey, want) {
			t.Errorf("%s by %s: the public key is another", s, a)
		}
	}
}

// TestImports shows what of an import is refused, and that material that expires does.
func TestImports(t *testing.T) {
	c, _ := client(t)
	k := newKey(t, c, external)
	at := func(d time.Duration) func(*kms.ImportKeyMaterialInput) {
		return func(q *kms.ImportKeyMaterialInput) { q.ValidTo = aws.Time(time.Now().Add(d)) }
	}
	algorithm := types.AlgorithmSpecRsaesOaepSha256
	for what, edit := range map[string]func(*kms.ImportKeyMaterialInput){
		"material that has expired":    at(-time.Hour),
		"material that lives too long": at(366 * 24 * time.Hour),
		"an id for what is new": func(q *kms.ImportKeyMaterialInput) {
			q.ImportType, q.KeyMaterialId = types.ImportTypeNewKeyMaterial, repeat("0", 64)
		},
		"an id that is none":           func(q *kms.ImportKeyMaterialInput) { q.KeyMaterialId = aws.String("x") },
		"a description with a bracket": func(q *kms.ImportKeyMaterialInput) { q.KeyMaterialDescription = aws.String("<x>") },
	} {
		t.Run(what, func(t *testing.T) {
			c, _ := client(t)
			refusedAs(t, "ValidationException", c.ImportKeyMaterial, importOf(t, c, k, algorithm, symmetricMaterial(), edit), anything)
		})
	}
	both := importOf(t, c, k, algorithm, symmetricMaterial(), at(time.Hour))
	both.ExpirationModel = types.ExpirationModelTypeKeyMaterialDoesNotExpire
	refusedAs(t, "ValidationException", c.ImportKeyMaterial, both, anything)
	refused[*types.IncorrectKeyMaterialException](t, c.ImportKeyMaterial, importOf(t, c, k, algorithm, symmetricMaterial()[:31]), anything)
	other := importOf(t, c, newKey(t, c, external), algorithm, symmetricMaterial())
	other.KeyId = k.KeyId
	refused[*types.InvalidImportTokenException](t, c.ImportKeyMaterial, other, anything) // a token of another key

	private := newKey(t, c, external, spec(types.KeySpecRsa2048, types.KeyUsageTypeSignVerify))
	refused[*types.UnsupportedOperationException](t, c.GetParametersForImport, &kms.GetParametersForImportInput{KeyId: private.KeyId, WrappingAlgorithm: algorithm, WrappingKeySpec: types.WrappingKeySpecRsa4096}, anything)
	curve := newKey(t, c, external, spec(types.KeySpecEccNistP521, types.KeyUsageTypeSignVerify))
	refused[*types.UnsupportedOperationException](t, c.GetParametersForImport, &kms.GetParametersForImportInput{KeyId: curve.KeyId, WrappingAlgorithm: algorithm, WrappingKeySpec: types.WrappingKeySpecRsa2048}, anything)
	call(t, c.GetParametersForImport, &kms.GetParametersForImportInput{KeyId: curve.KeyId, WrappingAlgorithm: algorithm, WrappingKeySpec: types.WrappingKeySpecRsa3072})

	importMaterial(t, c, k, symmetricMaterial(), at(2*time.Second))
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		d := call(t, c.DescribeKey, &kms.DescribeKeyInput{KeyId: k.KeyId}).KeyMetadata
		if d.KeyState == types.KeyStatePendingImport {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the material does not expire: %+v", d)
		}
	}
	refused[*types.KMSInvalidStateException](t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: []byte("x")}, *k.Arn+" is pending import.")
}
