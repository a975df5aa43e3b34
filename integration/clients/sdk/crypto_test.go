package sdk

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

var cryptoCases = map[string]func(*testing.T, *kms.Client){
	"Encrypt":                             encrypt,
	"Decrypt":                             encrypt,
	"ReEncrypt":                           reEncrypt,
	"GenerateDataKey":                     dataKeys,
	"GenerateDataKeyWithoutPlaintext":     dataKeys,
	"GenerateDataKeyPair":                 keyPairs,
	"GenerateDataKeyPairWithoutPlaintext": keyPairs,
	"GenerateRandom":                      random,
	"DeriveSharedSecret":                  deriveSharedSecret,
	"Encapsulate":                         encapsulate,
	"Decapsulate":                         encapsulate,
}

func encrypt(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	context := map[string]string{"purpose": "test", "": "empty name", "ü": ""}
	for _, plaintext := range [][]byte{{0}, []byte("some text"), bytes.Repeat([]byte{7}, 4096)} {
		sealed := call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: plaintext, EncryptionContext: context})
		equal(t, "KeyId", aws.ToString(sealed.KeyId), *k.Arn)
		equal(t, "EncryptionAlgorithm", sealed.EncryptionAlgorithm, types.EncryptionAlgorithmSpecSymmetricDefault)
		for range 3 {
			opened := call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: context})
			equal(t, "Plaintext", opened.Plaintext, plaintext)
			equal(t, "KeyId", aws.ToString(opened.KeyId), *k.Arn)
			equal(t, "EncryptionAlgorithm", opened.EncryptionAlgorithm, types.EncryptionAlgorithmSpecSymmetricDefault)
			equal(t, "KeyMaterialId", opened.KeyMaterialId, k.CurrentKeyMaterialId)
		}
	}
	k = newKey(t, c, spec(types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt))
	public := publicKey[*rsa.PublicKey](t, c, k)
	for a, longest := range map[types.EncryptionAlgorithmSpec]int{types.EncryptionAlgorithmSpecRsaesOaepSha1: 214, types.EncryptionAlgorithmSpecRsaesOaepSha256: 190} {
		plaintext := bytes.Repeat([]byte{1}, longest)
		sealed := call(t, c.Encrypt, &kms.EncryptInput{KeyId: k.KeyId, Plaintext: plaintext, EncryptionAlgorithm: a})
		equal(t, "EncryptionAlgorithm", sealed.EncryptionAlgorithm, a)
		h := sha256.New()
		if a == types.EncryptionAlgorithmSpecRsaesOaepSha1 {
			h = sha1.New()
		}
		offline, err := rsa.EncryptOAEP(h, rand.Reader, public, plaintext, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, blob := range [][]byte{sealed.CiphertextBlob, offline} {
			opened := call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: blob, EncryptionAlgorithm: a, KeyId: k.KeyId})
			equal(t, "Plaintext", opened.Plaintext, plaintext)
			equal(t, "KeyMaterialId", opened.KeyMaterialId, (*string)(nil))
		}
	}
}

func reEncrypt(t *testing.T, c *kms.Client) {
	from, to := newKey(t, c), newKey(t, c)
	here, there := map[string]string{"a": "1"}, map[string]string{"a": "2"}
	sealed := call(t, c.Encrypt, &kms.EncryptInput{KeyId: from.KeyId, Plaintext: []byte("text"), EncryptionContext: here})
	for _, source := range []*string{nil, from.KeyId, from.Arn} {
		out := call(t, c.ReEncrypt, &kms.ReEncryptInput{CiphertextBlob: sealed.CiphertextBlob, SourceKeyId: source, SourceEncryptionContext: here,
			DestinationKeyId: to.KeyId, DestinationEncryptionContext: there})
		opened := call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: there, KeyId: to.KeyId})
		equal(t, "Plaintext", string(opened.Plaintext), "text")
		out.CiphertextBlob, out.ResultMetadata = nil, opened.ResultMetadata
		equal(t, "answer", *out, kms.ReEncryptOutput{KeyId: to.Arn, SourceKeyId: from.Arn, SourceKeyMaterialId: from.CurrentKeyMaterialId, DestinationKeyMaterialId: to.CurrentKeyMaterialId,
			SourceEncryptionAlgorithm: "SYMMETRIC_DEFAULT", DestinationEncryptionAlgorithm: "SYMMETRIC_DEFAULT", ResultMetadata: opened.ResultMetadata})
	}
	asymmetric := newKey(t, c, spec(types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt))
	out := call(t, c.ReEncrypt, &kms.ReEncryptInput{CiphertextBlob: sealed.CiphertextBlob, SourceEncryptionContext: here,
		DestinationKeyId: asymmetric.KeyId, DestinationEncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
	equal(t, "DestinationKeyMaterialId", out.DestinationKeyMaterialId, (*string)(nil))
	back := call(t, c.ReEncrypt, &kms.ReEncryptInput{CiphertextBlob: out.CiphertextBlob, SourceKeyId: asymmetric.KeyId, SourceEncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256, DestinationKeyId: to.KeyId})
	equal(t, "Plaintext", string(call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: back.CiphertextBlob}).Plaintext), "text")
}

func dataKeys(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	context := map[string]string{"a": "b"}
	for _, q := range []kms.GenerateDataKeyInput{{KeySpec: types.DataKeySpecAes128}, {KeySpec: types.DataKeySpecAes256}, {NumberOfBytes: aws.Int32(1)}, {NumberOfBytes: aws.Int32(1024)}} {
		size := map[types.DataKeySpec]int{types.DataKeySpecAes128: 16, types.DataKeySpecAes256: 32, "": int(aws.ToInt32(q.NumberOfBytes))}[q.KeySpec]
		q.KeyId, q.EncryptionContext = k.KeyId, context
		out := call(t, c.GenerateDataKey, &q)
		opened := call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob, EncryptionContext: context})
		equal(t, "Plaintext", opened.Plaintext, out.Plaintext)
		equal(t, "length", len(out.Plaintext), size)
		equal(t, "KeyId", aws.ToString(out.KeyId), *k.Arn)
		equal(t, "KeyMaterialId", out.KeyMaterialId, k.CurrentKeyMaterialId)

		without := call(t, c.GenerateDataKeyWithoutPlaintext, &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: k.KeyId, EncryptionContext: context, KeySpec: q.KeySpec, NumberOfBytes: q.NumberOfBytes})
		opened = call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: without.CiphertextBlob, EncryptionContext: context})
		equal(t, "length", len(opened.Plaintext), size)
		equal(t, "KeyId", aws.ToString(without.KeyId), *k.Arn)
		equal(t, "KeyMaterialId", without.KeyMaterialId, k.CurrentKeyMaterialId)
	}
}

func keyPairs(t *testing.T, c *kms.Client) {
	k := newKey(t, c)
	context := map[string]string{"a": "b"}
	for _, s := range types.DataKeyPairSpec("").Values() {
		if s == types.DataKeyPairSpecSm2 || s == types.DataKeyPairSpecRsa4096 { // China only; takes long
			continue
		}
		out := call(t, c.GenerateDataKeyPair, &kms.GenerateDataKeyPairInput{KeyId: k.KeyId, KeyPairSpec: s, EncryptionContext: context})
		opened := call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: out.PrivateKeyCiphertextBlob, EncryptionContext: context})
		equal(t, "the private key", opened.Plaintext, out.PrivateKeyPlaintext)
		checkPair(t, s, out.PrivateKeyPlaintext, out.PublicKey)
		equal(t, "answer", []any{aws.ToString(out.KeyId), out.KeyPairSpec, out.KeyMaterialId}, []any{*k.Arn, s, k.CurrentKeyMaterialId})

		without := call(t, c.GenerateDataKeyPairWithoutPlaintext, &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: k.KeyId, KeyPairSpec: s, EncryptionContext: context})
		opened = call(t, c.Decrypt, &kms.DecryptInput{CiphertextBlob: without.PrivateKeyCiphertextBlob, EncryptionContext: context})
		checkPair(t, s, opened.Plaintext, without.PublicKey)
		equal(t, "answer", []any{aws.ToString(without.KeyId), without.KeyPairSpec, without.KeyMaterialId}, []any{*k.Arn, s, k.CurrentKeyMaterialId})
	}
}

// checkPair checks that a private key is PKCS#8 and a public key the SPKI of it.
func checkPair(t *testing.T, s types.DataKeyPairSpec, private, public []byte) {
	t.Helper()
	var pkcs8 struct {
		Version   int
		Algorithm asn1.RawValue
		Key       []byte
	}
	var spki struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(private, &pkcs8); err != nil {
		t.Errorf("the private %s key is no PKCS#8: %v", s, err)
		return
	}
	if rest, err := asn1.Unmarshal(public, &spki); err != nil || len(rest) > 0 {
		t.Errorf("the public %s key is no SPKI: %v", s, err)
		return
	}
	if !bytes.Equal(pkcs8.Algorithm.FullBytes, spki.Algorithm.FullBytes) {
		t.Errorf("the algorithms of a pair of %s differ", s)
	}
	key, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		if s == types.DataKeyPairSpecEccSecgP256k1 || s == types.DataKeyPairSpecMlKem512 || s == types.DataKeyPairSpecMlKem768 || s == types.DataKeyPairSpecMlKem1024 {
			return // package x509 does not know them
		}
		t.Errorf("the private %s key: %v", s, err)
		return
	}
	var of any
	switch key := key.(type) {
	case *rsa.PrivateKey:
		of = &key.PublicKey
	case *ecdsa.PrivateKey:
		of = &key.PublicKey
	case ed25519.PrivateKey:
		of = key.Public()
	case *ecdh.PrivateKey:
		of = key.PublicKey()
	default:
		t.Errorf("the private %s key is a %T", s, key)
		return
	}
	if want, err := x509.MarshalPKIXPublicKey(of); err != nil || !bytes.Equal(want, public) {
		t.Errorf("the public %s key is not that of the private one: %v", s, err)
	}
}

func random(t *testing.T, c *kms.Client) {
	seen := map[string]bool{}
	for _, n := range []int32{32, 32, 1024} {
		out := call(t, c.GenerateRandom, &kms.GenerateRandomInput{NumberOfBytes: &n})
		if len(out.Plaintext) != int(n) || seen[string(out.Plaintext)] {
			t.Errorf("%d bytes of random are %x", n, out.Plaintext)
		}
		seen[string(out.Plaintext)] = true
	}
	equal(t, "length", len(call(t, c.GenerateRandom, &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1)}).Plaintext), 1)
}

func deriveSharedSecret(t *testing.T, c *kms.Client) {
	for s, curve := range map[types.KeySpec]ecdh.Curve{types.KeySpecEccNistP256: ecdh.P256(), types.KeySpecEccNistP384: ecdh.P384(), types.KeySpecEccNistP521: ecdh.P521()} {
		k := newKey(t, c, spec(s, types.KeyUsageTypeKeyAgreement))
		mine, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(mine.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := publicKey[*ecdsa.PublicKey](t, c, k).ECDH()
		if err != nil {
			t.Fatal(err)
		}
		want, err := mine.ECDH(theirs)
		if err != nil {
			t.Fatal(err)
		}
		out := call(t, c.DeriveSharedSecret, &kms.DeriveSharedSecretInput{KeyId: k.KeyId, PublicKey: der, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh})
		equal(t, "answer", []any{aws.ToString(out.KeyId), out.KeyAgreementAlgorithm, out.KeyOrigin, out.SharedSecret},
			[]any{*k.Arn, types.KeyAgreementAlgorithmSpecEcdh, types.OriginTypeAwsKms, want})
	}
}

func encapsulate(t *testing.T, c *kms.Client) {
	for s, size := range map[types.KeySpec]int{types.KeySpecMlKem512: 768, types.KeySpecMlKem768: mlkem.CiphertextSize768, types.KeySpecMlKem1024: mlkem.CiphertextSize1024} {
		k := newKey(t, c, spec(s, types.KeyUsageTypeEncapsulateDecapsulate))
		out := call(t, c.Encapsulate, &kms.EncapsulateInput{KeyId: k.KeyId, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem})
		equal(t, "answer", []any{aws.ToString(out.KeyId), out.EncapsulationAlgorithm, len(out.SharedSecret), len(out.SharedSecretCiphertextBlob)},
			[]any{*k.Arn, types.EncapsulationAlgorithmSpecMlKem, mlkem.SharedKeySize, size})
		opened := call(t, c.Decapsulate, &kms.DecapsulateInput{KeyId: k.KeyId, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem, SharedSecretCiphertextBlob: out.SharedSecretCiphertextBlob})
		equal(t, "answer", []any{aws.ToString(opened.KeyId), opened.EncapsulationAlgorithm, opened.SharedSecret}, []any{*k.Arn, types.EncapsulationAlgorithmSpecMlKem, out.SharedSecret})
	}
	// What is encapsulated to the public key outside of the cluster is opened in it.
	k := newKey(t, c, spec(types.KeySpecMlKem768, types.KeyUsageTypeEncapsulateDecapsulate))
	var spki struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(call(t, c.GetPublicKey, &kms.GetPublicKeyInput{KeyId: k.KeyId}).PublicKey, &spki); err != nil {
		t.Fatal(err)
	}
	public, err := mlkem.NewEncapsulationKey768(spki.Key.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	shared, blob := public.Encapsulate()
	opened := call(t, c.Decapsulate, &kms.DecapsulateInput{KeyId: k.KeyId, EncapsulationAlgorithm: types.EncapsulationAlgorithmSpecMlKem, SharedSecretCiphertextBlob: blob})
	equal(t, "SharedSecret", opened.SharedSecret, shared)
}
