package service_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// pair is two nodes of a cluster: what one makes the other uses.
type pair struct {
	*world
	second *servicetest.Node
}

func newPair(t *testing.T) *pair {
	t.Helper()
	w := newWorld(t, twoRegions)
	return &pair{w, w.Cluster.Node(twoRegions)}
}

// on calls an operation of alice on the second node.
func (p *pair) on(t testing.TB, op *kms.Operation, request any) any {
	t.Helper()
	answer, err := p.second.Do(p.alice, op, request)
	if err != nil {
		t.Fatalf("%s on the second node: %v", op.Name, err)
	}
	return answer
}

// specsOf lists the specs of one usage; of RSA only the smallest, since making larger ones takes long: package
// material has tests of all.
func specsOf(u kms.KeyUsage) (all []kms.KeySpec) {
	for _, name := range kms.KeySpecs {
		if s, ok := name.Spec(); ok && s.Serves(u) && name != kms.RSA3072 && name != kms.RSA4096 {
			all = append(all, name)
		}
	}
	return all
}

// digestOf returns the digest that an algorithm takes instead of a message, nil where it takes none.
func digestOf(a kms.SigningAlgorithm, message []byte) []byte {
	switch name := string(a); {
	case a == kms.Ed25519SHA512, a == kms.MLDSASHAKE256:
		return nil
	case strings.HasSuffix(name, "256"):
		d := sha256.Sum256(message)
		return d[:]
	case strings.HasSuffix(name, "384"):
		d := sha512.Sum384(message)
		return d[:]
	}
	d := sha512.Sum512(message)
	return d[:]
}

// What one node signs another verifies, by every algorithm of every spec, and what was changed is an error.
func TestSignaturesOfEverySpec(t *testing.T) {
	p := newPair(t)
	for _, spec := range specsOf(kms.SignVerify) {
		key := p.make(t, p.alice, &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: kms.SignVerify})
		s, _ := spec.Spec()
		if !slices.Equal(key.SigningAlgorithms, s.Signing) {
			t.Errorf("%s is described with %v", spec, key.SigningAlgorithms)
		}
		for _, a := range kms.SigningAlgorithms {
			t.Run(fmt.Sprintf("%s/%s", spec, a), func(t *testing.T) {
				signature := func(mt kms.MessageType, message []byte) ([]byte, error) {
					answer, err := p.Do(p.alice, kms.OpSign, &kms.SignRequest{KeyID: key.KeyID, Message: message, MessageType: mt, SigningAlgorithm: a})
					if err != nil {
						return nil, err
					}
					if got := answer.(*kms.SignAnswer); got.KeyID != key.ARN || got.SigningAlgorithm != a {
						t.Errorf("answered %+v", got)
					}
					return answer.(*kms.SignAnswer).Signature, nil
				}
				if !slices.Contains(s.Signing, a) {
					text := fmt.Sprintf("Algorithm %s is incompatible with key spec %s.", a, spec)
					_, err := signature(kms.MessageRaw, []byte("m"))
					want(t, "sign", err, kms.CodeInvalidKeyUsage)
					_, verr := p.Do(p.alice, kms.OpVerify, &kms.VerifyRequest{KeyID: key.KeyID, Message: []byte("m"), Signature: []byte("s"), SigningAlgorithm: a})
					want(t, "verify", verr, kms.CodeInvalidKeyUsage)
					if !strings.HasSuffix(err.Error(), text) || !strings.HasSuffix(verr.Error(), text) {
						t.Errorf("%v, %v", err, verr)
					}
					return
				}
				p.signsAndVerifies(t, key, a, signature)
			})
		}
	}
}

func (p *pair) signsAndVerifies(t *testing.T, key kms.KeyMetadata, a kms.SigningAlgorithm, signature func(kms.MessageType, []byte) ([]byte, error)) {
	t.Helper()
	verify := func(mt kms.MessageType, message, signature []byte) error {
		answer, err := p.second.Do(p.alice, kms.OpVerify, &kms.VerifyRequest{KeyID: key.ARN, Message: message, MessageType: mt, Signature: signature, SigningAlgorithm: a})
		if err == nil && (!answer.(*kms.VerifyAnswer).SignatureValid || answer.(*kms.VerifyAnswer).KeyID != key.ARN) {
			t.Errorf("verified with %+v", answer)
		}
		return err
	}
	largest := bytes.Repeat([]byte("x"), 4096)
	digest := digestOf(a, largest)
	mu := bytes.Repeat([]byte{7}, 64)
	type form struct {
		t       kms.MessageType
		message []byte
		code    kms.Code // of Sign and Verify
	}
	forms := []form{{kms.MessageRaw, largest, ""}, {"", largest, ""}, {kms.MessageDigest, digest, ""}, {kms.MessageExternalMu, mu, kms.CodeValidation}}
	switch a {
	case kms.Ed25519SHA512:
		forms[2] = form{kms.MessageDigest, mu, kms.CodeValidation}
	case kms.Ed25519PHSHA512:
		forms[0].code, forms[1].code = kms.CodeValidation, kms.CodeValidation
	case kms.MLDSASHAKE256:
		forms[2], forms[3] = form{kms.MessageDigest, mu, kms.CodeValidation}, form{kms.MessageExternalMu, mu, ""}
	}
	var invalid string
	for _, f := range forms {
		made, err := signature(f.t, f.message)
		want(t, "sign "+string(f.t), err, f.code)
		if f.code != "" {
			want(t, "verify "+string(f.t), verify(f.t, f.message, mu), f.code)
			continue
		}
		if f.t == kms.MessageExternalMu {
			want(t, "verify by external mu", verify(f.t, f.message, made), kms.CodeUnsupported)
			continue
		}
		want(t, "verify "+string(f.t), verify(f.t, f.message, made), "")
		for what, err := range map[string]error{
			"another message": verify(f.t, changed(f.message, 0), made), "another signature": verify(f.t, f.message, changed(made, len(made)/2)),
			"a byte more": verify(f.t, f.message, append(bytes.Clone(made), 0)), "garbage": verify(f.t, f.message, []byte("garbage")),
		} {
			want(t, what, err, kms.CodeInvalidSignature)
			if invalid == "" {
				invalid = err.Error()
			}
			if err.Error() != invalid {
				t.Errorf("%s is told apart: %v, %s", what, err, invalid)
			}
		}
	}
	if digest != nil && a != kms.Ed25519PHSHA512 { // nothing is hashed twice
		made, err := signature(kms.MessageDigest, digest)
		want(t, "sign the digest", err, "")
		want(t, "verify the message", verify(kms.MessageRaw, largest, made), "")
	}
	if digest != nil {
		for _, wrong := range [][]byte{digest[:len(digest)-1], append(bytes.Clone(digest), 0), largest[:1]} {
			_, err := signature(kms.MessageDigest, wrong)
			want(t, "a digest of another length", err, kms.CodeValidation)
			if verr := verify(kms.MessageDigest, wrong, digest); verr == nil || verr.Error() != err.Error() || !strings.HasSuffix(err.Error(), fmt.Sprintf("Digest is invalid length for algorithm %s.", a)) {
				t.Errorf("a digest of %d bytes: %v, %v", len(wrong), err, verr)
			}
		}
	}
	for _, err := range []error{verify(kms.MessageRaw, append(largest, 'x'), mu), verify(kms.MessageRaw, nil, mu), verify(kms.MessageRaw, []byte("m"), nil), verify(kms.MessageRaw, []byte("m"), make([]byte, 6145))} {
		want(t, "a length outside the limits", err, kms.CodeValidation)
	}
	for _, message := range [][]byte{append(largest, 'x'), nil} {
		_, err := signature(kms.MessageRaw, message)
		want(t, "a length outside the limits", err, kms.CodeValidation)
	}
}

func TestMacsOfEverySpec(t *testing.T) {
	p := newPair(t)
	for _, spec := range specsOf(kms.GenerateVerifyMac) {
		key := p.make(t, p.alice, &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: kms.GenerateVerifyMac})
		for _, a := range kms.MacAlgorithms {
			largest := bytes.Repeat([]byte("x"), 4096)
			answer, err := p.Do(p.alice, kms.OpGenerateMac, &kms.GenerateMacRequest{KeyID: key.KeyID, Message: largest, MacAlgorithm: a})
			verify := func(message, mac []byte) error {
				answer, err := p.second.Do(p.alice, kms.OpVerifyMac, &kms.VerifyMacRequest{KeyID: key.KeyID, Message: message, Mac: mac, MacAlgorithm: a})
				if err == nil && !answer.(*kms.VerifyMacAnswer).MacValid {
					t.Error("an answer says that a MAC is wrong")
				}
				return err
			}
			if !slices.Contains(key.MacAlgorithms, a) {
				want(t, "generate", err, kms.CodeInvalidKeyUsage)
				want(t, "verify", verify(largest, []byte("mac")), kms.CodeInvalidKeyUsage)
				if text := fmt.Sprintf("Algorithm %s is incompatible with key spec %s.", a, spec); !strings.HasSuffix(err.Error(), text) {
					t.Errorf("%v, want %s", err, text)
				}
				continue
			}
			want(t, "generate", err, "")
			mac := answer.(*kms.GenerateMacAnswer).Mac
			want(t, "verify", verify(largest, mac), "")
			messages := map[string]bool{}
			for what, err := range map[string]error{
				"another message": verify(changed(largest, 9), mac), "another mac": verify(largest, changed(mac, 0)),
				"truncated": verify(largest, mac[:len(mac)-1]), "one byte": verify(largest, mac[:1]), "garbage": verify(largest, []byte("garbage")),
			} {
				want(t, what, err, kms.CodeInvalidMac)
				messages[err.Error()] = true
			}
			if len(messages) != 1 {
				t.Errorf("wrong MACs are told apart: %v", messages)
			}
			for _, err := range []error{verify(append(largest, 'x'), mac), verify(nil, mac), verify(largest, nil), verify(largest, make([]byte, 6145))} {
				want(t, "a length outside the limits", err, kms.CodeValidation)
			}
			_, err = p.Do(p.alice, kms.OpGenerateMac, &kms.GenerateMacRequest{KeyID: key.KeyID, Message: append(largest, 'x'), MacAlgorithm: a})
			want(t, "a message that is too long", err, kms.CodeValidation)
		}
	}
}

func TestSharedSecretsOfEverySpec(t *testing.T) {
	p := newPair(t)
	for _, spec := range specsOf(kms.KeyAgreement) {
		q := &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: kms.KeyAgreement}
		a, b := p.make(t, p.alice, q).KeyID, p.make(t, p.alice, q)
		public := func(key string) []byte {
			return p.on(t, kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: key}).(*kms.GetPublicKeyAnswer).PublicKey
		}
		request := func(key string, public []byte) *kms.DeriveSharedSecretRequest {
			return &kms.DeriveSharedSecretRequest{KeyID: key, PublicKey: public, KeyAgreementAlgorithm: kms.ECDH}
		}
		x := p.must(t, p.alice, kms.OpDeriveSharedSecret, request(a, public(b.KeyID))).(*kms.DeriveSharedSecretAnswer)
		y := p.on(t, kms.OpDeriveSharedSecret, request(b.KeyID, public(a))).(*kms.DeriveSharedSecretAnswer)
		length := map[kms.KeySpec]int{kms.ECCNISTP256: 32, kms.ECCNISTP384: 48, kms.ECCNISTP521: 66}[spec]
		if !bytes.Equal(x.SharedSecret, y.SharedSecret) || len(x.SharedSecret) != length || y.KeyID != b.ARN || y.KeyOrigin != kms.OriginAWSKMS || y.KeyAgreementAlgorithm != kms.ECDH {
			t.Errorf("%s: %d and %d bytes, %+v", spec, len(x.SharedSecret), len(y.SharedSecret), y)
		}
		other := kms.ECCNISTP384
		if spec == other {
			other = kms.ECCNISTP256
		}
		stranger := public(p.make(t, p.alice, &kms.CreateKeyRequest{KeySpec: other, KeyUsage: kms.KeyAgreement}).KeyID)
		for what, bad := range map[string][]byte{"of another curve": stranger, "garbage": []byte("garbage"), "changed": changed(public(a), len(public(a))-1), "none": nil, "too long": make([]byte, 8193)} {
			_, err := p.Do(p.alice, kms.OpDeriveSharedSecret, request(a, bad))
			want(t, fmt.Sprintf("%s: a public key that is %s", spec, what), err, kms.CodeValidation)
		}
	}
}

func TestEncapsulationOfEverySpec(t *testing.T) {
	p := newPair(t)
	for _, spec := range specsOf(kms.EncapsulateDecapsulate) {
		key := p.make(t, p.alice, &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: kms.EncapsulateDecapsulate})
		e := p.must(t, p.alice, kms.OpEncapsulate, &kms.EncapsulateRequest{KeyID: key.KeyID, EncapsulationAlgorithm: kms.MLKEM}).(*kms.EncapsulateAnswer)
		request := func(ciphertext []byte) *kms.DecapsulateRequest {
			return &kms.DecapsulateRequest{KeyID: key.KeyID, SharedSecretCiphertextBlob: ciphertext, EncapsulationAlgorithm: kms.MLKEM}
		}
		d := p.on(t, kms.OpDecapsulate, request(e.SharedSecretCiphertextBlob)).(*kms.DecapsulateAnswer)
		length := map[kms.KeySpec]int{kms.MLKEM512: 768, kms.MLKEM768: 1088, kms.MLKEM1024: 1568}[spec]
		if !bytes.Equal(e.SharedSecret, d.SharedSecret) || len(d.SharedSecret) != 32 || len(e.SharedSecretCiphertextBlob) != length || d.KeyID != key.ARN {
			t.Errorf("%s: secrets of %d and %d bytes, ciphertext of %d", spec, len(e.SharedSecret), len(d.SharedSecret), len(e.SharedSecretCiphertextBlob))
		}
		// A ciphertext that was changed gives another secret, as FIPS 203 has it; one of another length none.
		wrong := p.on(t, kms.OpDecapsulate, request(changed(e.SharedSecretCiphertextBlob, 3))).(*kms.DecapsulateAnswer)
		if bytes.Equal(wrong.SharedSecret, e.SharedSecret) || len(wrong.SharedSecret) != 32 {
			t.Errorf("%s: a changed ciphertext gives the secret", spec)
		}
		for _, bad := range [][]byte{e.SharedSecretCiphertextBlob[1:], append(bytes.Clone(e.SharedSecretCiphertextBlob), 0), []byte("garbage")} {
			_, err := p.Do(p.alice, kms.OpDecapsulate, request(bad))
			want(t, "another length", err, kms.CodeInvalidCiphertext)
		}
		for _, bad := range [][]byte{nil, make([]byte, 6145)} {
			_, err := p.Do(p.alice, kms.OpDecapsulate, request(bad))
			want(t, "a length outside the limits", err, kms.CodeValidation)
		}
	}
}

// Encryption under RSA: exactly as much as fits, by each algorithm, and by everybody who has the public key.
func TestRSAEncryption(t *testing.T) {
	p := newPair(t)
	rsaKey := p.make(t, p.alice, &kms.CreateKeyRequest{KeySpec: kms.RSA2048, KeyUsage: kms.EncryptDecrypt})
	symmetric, other := p.CreateKey(p.alice), p.CreateKey(p.alice)
	encrypt := func(key string, a kms.EncryptionAlgorithm, plaintext []byte, context map[string]string) ([]byte, error) {
		answer, err := p.Do(p.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: plaintext, EncryptionAlgorithm: a, EncryptionContext: context})
		if err != nil {
			return nil, err
		}
		return answer.(*kms.EncryptAnswer).CiphertextBlob, nil
	}
	decrypt := func(key string, a kms.EncryptionAlgorithm, ciphertext []byte, context map[string]string) (*kms.DecryptAnswer, error) {
		answer, err := p.second.Do(p.alice, kms.OpDecrypt, &kms.DecryptRequest{KeyID: key, CiphertextBlob: ciphertext, EncryptionAlgorithm: a, EncryptionContext: context})
		if err != nil {
			return nil, err
		}
		return answer.(*kms.DecryptAnswer), nil
	}
	context := map[string]string{"a": "b"}
	symmetricBlob, err := encrypt(symmetric, "", []byte("of the symmetric key"), context)
	want(t, "encrypt", err, "")
	publicDER := p.on(t, kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: rsaKey.KeyID}).(*kms.GetPublicKeyAnswer).PublicKey
	public, err := x509.ParsePKIXPublicKey(publicDER)
	want(t, "public key", err, "")
	outside, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), []byte("offline"), nil)
	want(t, "outside", err, "")
	if d, err := decrypt(rsaKey.KeyID, kms.RSAESOAEPSHA256, outside, nil); err != nil || string(d.Plaintext) != "offline" || d.KeyMaterialID != "" || d.KeyID != rsaKey.ARN {
		t.Errorf("what was encrypted outside: %+v, %v", d, err)
	}

	for a, most := range map[kms.EncryptionAlgorithm]int{kms.RSAESOAEPSHA1: 214, kms.RSAESOAEPSHA256: 190} {
		plaintext := bytes.Repeat([]byte("x"), most)
		blob, err := encrypt(rsaKey.KeyID, a, plaintext, nil)
		want(t, "the most", err, "")
		d, err := decrypt(rsaKey.KeyID, a, blob, nil)
		want(t, "decrypt", err, "")
		if !bytes.Equal(d.Plaintext, plaintext) || d.EncryptionAlgorithm != a {
			t.Errorf("%s: decrypted to %+v", a, d)
		}
		_, err = encrypt(rsaKey.KeyID, a, append(plaintext, 'x'), nil)
		want(t, "more", err, kms.CodeValidation)
		if text := fmt.Sprintf("Algorithm %s and key spec RSA_2048 cannot encrypt data larger than %d bytes.", a, most); !strings.HasSuffix(err.Error(), text) {
			t.Errorf("%v, want %s", err, text)
		}
		_, err = encrypt(rsaKey.KeyID, a, []byte("p"), context)
		want(t, "encrypt with a context", err, kms.CodeValidation)
		_, err = decrypt(rsaKey.KeyID, a, blob, context)
		want(t, "decrypt with a context", err, kms.CodeValidation)
		_, err = decrypt("", a, blob, nil)
		want(t, "decrypt without a key", err, kms.CodeValidation)
		_, err = decrypt(symmetric, a, blob, nil)
		want(t, "decrypt with a symmetric key", err, kms.CodeInvalidKeyUsage)
		_, err = encrypt(symmetric, a, []byte("p"), nil)
		want(t, "encrypt with a symmetric key", err, kms.CodeInvalidKeyUsage)
		if text := fmt.Sprintf("Algorithm %s is incompatible with key spec SYMMETRIC_DEFAULT.", a); !strings.HasSuffix(err.Error(), text) {
			t.Errorf("%v, want %s", err, text)
		}

		// Every ciphertext that does not open is refused as one of a symmetric key is.
		_, reference := decrypt(symmetric, "", changed(symmetricBlob, len(symmetricBlob)-1), context)
		otherAlgorithm := kms.RSAESOAEPSHA1
		if a == otherAlgorithm {
			otherAlgorithm = kms.RSAESOAEPSHA256
		}
		byOther, err := encrypt(rsaKey.KeyID, otherAlgorithm, []byte("p"), nil)
		want(t, "encrypt", err, "")
		for what, bad := range map[string][]byte{"changed": changed(blob, 100), "truncated": blob[1:], "longer": append(bytes.Clone(blob), 0), "garbage": []byte("garbage"),
			"zeros": make([]byte, 256), "all ones": bytes.Repeat([]byte{0xff}, 256), "by another algorithm": byOther, "of a symmetric key": symmetricBlob} {
			_, err := decrypt(rsaKey.KeyID, a, bad, nil)
			want(t, what, err, kms.CodeInvalidCiphertext)
			if err.Error() != reference.Error() {
				t.Errorf("%s is told apart: %v", what, err)
			}
		}

		// Between the kinds of key, and between contexts.
		re := func(q kms.ReEncryptRequest) *kms.ReEncryptAnswer {
			return p.on(t, kms.OpReEncrypt, &q).(*kms.ReEncryptAnswer)
		}
		toRSA := re(kms.ReEncryptRequest{KeyID: rsaKey.KeyID, CiphertextBlob: symmetricBlob, SourceEncryptionContext: context, DestinationEncryptionAlgorithm: a})
		if toRSA.SourceKeyMaterialID == "" || toRSA.DestinationKeyMaterialID != "" || toRSA.DestinationEncryptionAlgorithm != a || toRSA.SourceEncryptionAlgorithm != kms.AlgorithmSymmetricDefault {
			t.Errorf("to RSA: %+v", toRSA)
		}
		toOther := re(kms.ReEncryptRequest{KeyID: other, SourceKeyID: rsaKey.ARN, CiphertextBlob: toRSA.CiphertextBlob, SourceEncryptionAlgorithm: a,
			DestinationEncryptionContext: map[string]string{"c": "d"}})
		back := re(kms.ReEncryptRequest{KeyID: other, CiphertextBlob: toOther.CiphertextBlob, SourceEncryptionContext: map[string]string{"c": "d"}})
		d, err = decrypt("", "", back.CiphertextBlob, nil)
		want(t, "at the end", err, "")
		if string(d.Plaintext) != "of the symmetric key" {
			t.Errorf("re-encrypted to %q", []byte(d.Plaintext))
		}
		for what, row := range map[string]struct {
			q    kms.ReEncryptRequest
			code kms.Code
		}{
			"without a source key":        {kms.ReEncryptRequest{KeyID: other, CiphertextBlob: blob, SourceEncryptionAlgorithm: a}, kms.CodeValidation},
			"context at the source":       {kms.ReEncryptRequest{KeyID: other, SourceKeyID: rsaKey.KeyID, CiphertextBlob: blob, SourceEncryptionAlgorithm: a, SourceEncryptionContext: context}, kms.CodeValidation},
			"context at the destination":  {kms.ReEncryptRequest{KeyID: rsaKey.KeyID, CiphertextBlob: symmetricBlob, SourceEncryptionContext: context, DestinationEncryptionAlgorithm: a, DestinationEncryptionContext: context}, kms.CodeValidation},
			"more than fits":              {kms.ReEncryptRequest{KeyID: rsaKey.KeyID, CiphertextBlob: p.encrypt(t, p.alice, symmetric, strings.Repeat("x", most+1), nil), DestinationEncryptionAlgorithm: a}, kms.CodeValidation},
			"destination algorithm":       {kms.ReEncryptRequest{KeyID: rsaKey.KeyID, CiphertextBlob: symmetricBlob, SourceEncryptionContext: context}, kms.CodeInvalidKeyUsage},
			"source algorithm":            {kms.ReEncryptRequest{KeyID: other, SourceKeyID: rsaKey.KeyID, CiphertextBlob: symmetricBlob}, kms.CodeIncorrectKey},
			"garbage":                     {kms.ReEncryptRequest{KeyID: other, SourceKeyID: rsaKey.KeyID, CiphertextBlob: []byte("garbage"), SourceEncryptionAlgorithm: a}, kms.CodeInvalidCiphertext},
			"garbage of a symmetric key":  {kms.ReEncryptRequest{KeyID: rsaKey.KeyID, CiphertextBlob: []byte("garbage"), DestinationEncryptionAlgorithm: a}, kms.CodeInvalidCiphertext},
			"another key than it is from": {kms.ReEncryptRequest{KeyID: rsaKey.KeyID, SourceKeyID: other, CiphertextBlob: symmetricBlob, SourceEncryptionContext: context, DestinationEncryptionAlgorithm: a}, kms.CodeIncorrectKey},
		} {
			_, err := p.Do(p.alice, kms.OpReEncrypt, &row.q)
			want(t, "re-encrypt: "+what, err, row.code)
		}
	}
	_, err = encrypt(rsaKey.KeyID, "", []byte("p"), nil)
	want(t, "the default algorithm", err, kms.CodeInvalidKeyUsage)
}

// Every way in which a ciphertext can be wrong is one error, told the same way.
func TestInvalidCiphertextsAreOneError(t *testing.T) {
	p := newPair(t)
	key, other := p.CreateKey(p.alice), p.CreateKey(p.alice)
	context := map[string]string{"a": "b"}
	blob := p.encrypt(t, p.alice, key, "plaintext", context)
	ofOther := p.encrypt(t, p.alice, other, "plaintext", context)
	const version, algorithm, keyID, keyVersion, salt, commitment, iv = 0, 1, 2, 18, 22, 54, 86
	moved := bytes.Clone(ofOther) // another key's, under this key's name
	copy(moved[keyID:keyVersion], blob[keyID:keyVersion])
	bad := map[string][]byte{
		"version": changed(blob, version), "algorithm": changed(blob, algorithm), "key version": changed(blob, keyVersion+3), "high key version": changed(blob, keyVersion),
		"salt": changed(blob, salt), "commitment": changed(blob, commitment), "iv": changed(blob, iv), "ciphertext": changed(blob, 98), "tag": changed(blob, len(blob)-1),
		"truncated": blob[:len(blob)-1], "cut to its header": blob[:salt], "longer": append(bytes.Clone(blob), 0), "garbage": []byte("garbage"), "one byte": {1},
		"zeros": make([]byte, len(blob)), "moved": moved,
	}
	messages := map[string]bool{}
	for what, ciphertext := range bad {
		for _, name := range []string{"", key} {
			_, err := p.second.Do(p.alice, kms.OpDecrypt, &kms.DecryptRequest{KeyID: name, CiphertextBlob: ciphertext, EncryptionContext: context})
			want(t, what, err, kms.CodeInvalidCiphertext)
			messages[err.Error()] = true
			_, err = p.Do(p.alice, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: other, SourceKeyID: name, CiphertextBlob: ciphertext, SourceEncryptionContext: context})
			want(t, "re-encrypt: "+what, err, kms.CodeInvalidCiphertext)
			messages[err.Error()] = true
		}
	}
	for _, wrong := range []map[string]string{nil, {"a": "c"}, {"A": "b"}, {"a": "b", "c": "d"}} {
		_, err := p.Do(p.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob, EncryptionContext: wrong})
		want(t, "another context", err, kms.CodeInvalidCiphertext)
		messages[err.Error()] = true
	}
	if len(messages) != 1 {
		t.Errorf("invalid ciphertexts are told apart: %v", messages)
	}

	// A key that the account does not have, and one of another account, are told in other, but equal, words.
	own := p.CreateKey(p.bob)
	foreign := p.encrypt(t, p.bob, own, "plaintext", context)
	var told []string
	for _, ciphertext := range [][]byte{foreign, changed(blob, keyID)} {
		_, err := p.Do(p.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext, EncryptionContext: context})
		want(t, "of a key that is not the account's", err, kms.CodeAccessDenied)
		_, rerr := p.Do(p.alice, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: ciphertext, SourceEncryptionContext: context})
		want(t, "of a key that is not the account's", rerr, kms.CodeAccessDenied)
		_, named := p.Do(p.alice, kms.OpDecrypt, &kms.DecryptRequest{KeyID: key, CiphertextBlob: ciphertext, EncryptionContext: context})
		want(t, "with an own key", named, kms.CodeIncorrectKey)
		told = append(told, err.Error()+rerr.Error()+named.Error())
	}
	if told[0] != told[1] {
		t.Errorf("another account's ciphertext is told from one of no account: %v", told)
	}
}

// A ciphertext decrypts without its key's name, whichever name it was made with and whatever happened to name and
// key since; and not under the name of another key.
func TestDecryptFindsItsKey(t *testing.T) {
	p := newPair(t)
	key, other := p.CreateKey(p.alice), p.CreateKey(p.alice)
	p.must(t, p.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: key})
	describe := func() kms.KeyMetadata {
		return p.must(t, p.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}).(*kms.KeyAnswer).Key
	}
	type made struct {
		blob     []byte
		material string
	}
	var all []made
	for range 3 {
		all = append(all, made{p.encrypt(t, p.alice, "alias/a", "plaintext", nil), describe().CurrentKeyMaterialID})
		p.must(t, p.alice, kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key})
	}
	p.must(t, p.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: other})
	seen := map[string]bool{}
	for i, m := range all {
		for _, name := range []string{"", key, describe().ARN} {
			d := p.on(t, kms.OpDecrypt, &kms.DecryptRequest{KeyID: name, CiphertextBlob: m.blob}).(*kms.DecryptAnswer)
			if string(d.Plaintext) != "plaintext" || d.KeyID != describe().ARN || d.KeyMaterialID != m.material {
				t.Errorf("ciphertext %d: %+v, made with %s", i, d, m.material)
			}
		}
		seen[m.material] = true
		for _, name := range []string{other, "alias/a"} {
			_, err := p.Do(p.alice, kms.OpDecrypt, &kms.DecryptRequest{KeyID: name, CiphertextBlob: m.blob})
			want(t, "another key", err, kms.CodeIncorrectKey)
			if !strings.HasSuffix(err.Error(), ": The key ID in the request does not identify a CMK that can perform this operation.") {
				t.Error(err)
			}
		}
		re := p.on(t, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: m.blob}).(*kms.ReEncryptAnswer)
		if re.SourceKeyMaterialID != m.material || re.DestinationKeyMaterialID != describe().CurrentKeyMaterialID {
			t.Errorf("re-encrypted %+v", re)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d materials", len(seen))
	}
}

// underNameOf returns a ciphertext with the id of another key in its header.
func underNameOf(t *testing.T, ciphertext []byte, key string) []byte {
	t.Helper()
	raw, err := kms.KeyIDBytes(key)
	if err != nil {
		t.Fatal(err)
	}
	moved := bytes.Clone(ciphertext)
	copy(moved[2:], raw[:])
	return moved
}

// Each operation refuses keys of every other usage, in words that name it.
func TestUsages(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	keys := map[kms.KeyUsage]kms.KeyMetadata{
		kms.EncryptDecrypt: w.make(t, w.alice, symmetricKey), kms.SignVerify: w.make(t, w.alice, signingKey), kms.GenerateVerifyMac: w.make(t, w.alice, macKey),
		kms.KeyAgreement: w.make(t, w.alice, agreementKey), kms.EncapsulateDecapsulate: w.make(t, w.alice, kemKey),
	}
	blob := w.encrypt(t, w.alice, keys[kms.EncryptDecrypt].KeyID, "p", nil)
	for _, op := range kms.Operations {
		if op.Usage == "" {
			continue
		}
		for usage, key := range keys {
			if usage == op.Usage {
				continue
			}
			request := requests(key.KeyID, "", blob)[op]
			if q, ok := request.(*kms.DecryptRequest); ok { // what names another key comes before what that key is for
				q.KeyID = key.KeyID
				_, err := w.Do(w.alice, op, request)
				want(t, op.Name, err, kms.CodeIncorrectKey)
				q.CiphertextBlob = underNameOf(t, blob, key.KeyID)
			}
			_, err := w.Do(w.alice, op, request)
			want(t, op.Name, err, kms.CodeInvalidKeyUsage)
			if text := fmt.Sprintf("%s key usage is %s which is not valid for %s.", key.ARN, usage, op.Name); !strings.HasSuffix(err.Error(), text) {
				t.Errorf("%v, want %s", err, text)
			}
		}
	}
	for _, op := range []*kms.Operation{kms.OpGenerateDataKey, kms.OpGenerateDataKeyWithoutPlaintext, kms.OpGenerateDataKeyPair, kms.OpGenerateDataKeyPairWithoutPlaintext} {
		key := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.RSA2048, KeyUsage: kms.EncryptDecrypt})
		_, err := w.Do(w.alice, op, requests(key.KeyID, "", nil)[op])
		want(t, op.Name+" with an RSA key", err, kms.CodeInvalidKeyUsage)
	}
}

// The public key of every asymmetric spec is SPKI of its kind, the same on every node.
func TestPublicKeys(t *testing.T) {
	p := newPair(t)
	for _, spec := range kms.KeySpecs {
		s, served := spec.Spec()
		if !served || spec == kms.RSA3072 || spec == kms.RSA4096 {
			continue
		}
		key := p.make(t, p.alice, &kms.CreateKeyRequest{KeySpec: spec, KeyUsage: s.Usages[0]})
		answer, err := p.Do(p.alice, kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: key.KeyID})
		if !s.Asymmetric {
			want(t, string(spec), err, kms.CodeUnsupported)
			continue
		}
		want(t, string(spec), err, "")
		got := answer.(*kms.GetPublicKeyAnswer)
		again := p.on(t, kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: key.KeyID}).(*kms.GetPublicKeyAnswer)
		if !bytes.Equal(got.PublicKey, again.PublicKey) || got.KeySpec != spec || got.KeyUsage != s.Usages[0] || got.KeyID != key.ARN {
			t.Errorf("%s: %+v, %+v", spec, got, again)
		}
		lists := 0
		for _, n := range []int{len(got.EncryptionAlgorithms), len(got.SigningAlgorithms), len(got.KeyAgreementAlgorithms), len(got.EncapsulationAlgorithms)} {
			if n > 0 {
				lists++
			}
		}
		if lists != 1 {
			t.Errorf("%s: %d lists of algorithms", spec, lists)
		}
		public, err := x509.ParsePKIXPublicKey(got.PublicKey)
		switch spec {
		case kms.RSA2048:
			if k, ok := public.(*rsa.PublicKey); !ok || k.N.BitLen() != 2048 {
				t.Errorf("%s: %T, %v", spec, public, err)
			}
		case kms.ECCNISTP256, kms.ECCNISTP384, kms.ECCNISTP521:
			if k, ok := public.(*ecdsa.PublicKey); !ok || !strings.HasSuffix(string(spec), strings.ReplaceAll(k.Curve.Params().Name, "-", "")) {
				t.Errorf("%s: %T, %v", spec, public, err)
			}
		case kms.ECCNISTEdwards25519:
			if _, ok := public.(ed25519.PublicKey); !ok {
				t.Errorf("%s: %T, %v", spec, public, err)
			}
		default: // what the standard library does not parse
			if !bytes.HasPrefix(got.PublicKey, []byte{0x30}) {
				t.Errorf("%s: no DER", spec)
			}
		}
	}
}

// A data key pair: the ciphertext holds the private key that was answered, and the public key is that one's.
func TestDataKeyPairs(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	context := map[string]string{"a": "b"}
	for _, spec := range kms.DataKeyPairSpecs {
		if spec == kms.RSA3072 || spec == kms.RSA4096 {
			continue
		}
		answer, err := p.Do(p.alice, kms.OpGenerateDataKeyPair, &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: spec, EncryptionContext: context})
		if spec == kms.SM2 {
			want(t, "SM2", err, kms.CodeUnsupported)
			continue
		}
		want(t, string(spec), err, "")
		a := answer.(*kms.GenerateDataKeyPairAnswer)
		d := p.on(t, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: a.PrivateKeyCiphertextBlob, EncryptionContext: context}).(*kms.DecryptAnswer)
		if !bytes.Equal(d.Plaintext, a.PrivateKeyPlaintext) || len(d.Plaintext) == 0 || a.KeyPairSpec != spec || a.KeyMaterialID != d.KeyMaterialID {
			t.Errorf("%s: the ciphertext does not hold the private key", spec)
		}
		private, err := x509.ParsePKCS8PrivateKey(a.PrivateKeyPlaintext)
		if err != nil {
			if spec != kms.ECCSECGP256K1 && !strings.HasPrefix(string(spec), "ML_KEM") {
				t.Errorf("%s: %v", spec, err)
			}
			continue // package material has tests of what the standard library does not parse
		}
		public, err := x509.ParsePKIXPublicKey(a.PublicKey)
		want(t, "public key", err, "")
		if !equalKeys(private, public) {
			t.Errorf("%s: the public key is not that of the private key", spec)
		}
		w := p.must(t, p.alice, kms.OpGenerateDataKeyPair, &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: spec, EncryptionContext: context, WithoutPlaintext: true}).(*kms.GenerateDataKeyPairAnswer)
		if w.PrivateKeyPlaintext != nil || len(w.PublicKey) == 0 {
			t.Errorf("%s without plaintext: %+v", spec, w)
		}
		d = p.on(t, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: w.PrivateKeyCiphertextBlob, EncryptionContext: context}).(*kms.DecryptAnswer)
		private, err = x509.ParsePKCS8PrivateKey(d.Plaintext)
		want(t, "private key", err, "")
		public, err = x509.ParsePKIXPublicKey(w.PublicKey)
		want(t, "public key", err, "")
		if !equalKeys(private, public) {
			t.Errorf("%s without plaintext: the public key is not that of the private key", spec)
		}
	}
}

// equalKeys reports whether a private key belongs to a public one.
func equalKeys(private, public any) bool {
	switch k := private.(type) {
	case *rsa.PrivateKey:
		return k.PublicKey.Equal(public)
	case *ecdsa.PrivateKey:
		return k.PublicKey.Equal(public)
	case ed25519.PrivateKey:
		return k.Public().(ed25519.PublicKey).Equal(public)
	case *ecdh.PrivateKey:
		return k.PublicKey().Equal(public)
	}
	return false
}

// A word that AWS KMS does not know is answered with those it knows, everywhere.
func TestUnknownWords(t *testing.T) {
	w := newWorld(t, twoRegions)
	key := w.CreateKey(w.alice)
	words := func(all any) string { return strings.ReplaceAll(fmt.Sprint(all), " ", ", ") }
	for _, row := range []struct {
		field   string
		op      *kms.Operation
		request any
		set     any
	}{
		{"keySpec", kms.OpCreateKey, &kms.CreateKeyRequest{KeySpec: "X"}, kms.KeySpecs},
		{"keyUsage", kms.OpCreateKey, &kms.CreateKeyRequest{KeyUsage: "X"}, kms.KeyUsages},
		{"origin", kms.OpCreateKey, &kms.CreateKeyRequest{Origin: "X"}, kms.Origins},
		{"encryptionAlgorithm", kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), EncryptionAlgorithm: "X"}, kms.EncryptionAlgorithms},
		{"encryptionAlgorithm", kms.OpDecrypt, &kms.DecryptRequest{KeyID: key, CiphertextBlob: []byte("p"), EncryptionAlgorithm: "X"}, kms.EncryptionAlgorithms},
		{"sourceEncryptionAlgorithm", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: []byte("p"), SourceEncryptionAlgorithm: "X"}, kms.EncryptionAlgorithms},
		{"destinationEncryptionAlgorithm", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: []byte("p"), DestinationEncryptionAlgorithm: "X"}, kms.EncryptionAlgorithms},
		{"dryRunModifiers", kms.OpDecrypt, &kms.DecryptRequest{KeyID: key, CiphertextBlob: []byte("p"), DryRun: true, DryRunModifiers: []string{"X"}}, []string{"IGNORE_CIPHERTEXT"}},
		{"dryRunModifiers", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, SourceKeyID: key, CiphertextBlob: []byte("p"), DryRun: true, DryRunModifiers: []string{"X"}}, []string{"IGNORE_CIPHERTEXT"}},
		{"keySpec", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: "X"}, kms.DataKeySpecs},
		{"keyPairSpec", kms.OpGenerateDataKeyPair, &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: "X"}, kms.DataKeyPairSpecs},
		{"keyPairSpec", kms.OpGenerateDataKeyPair, &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: "ML_DSA_44"}, kms.DataKeyPairSpecs},
		{"keyPairSpec", kms.OpGenerateDataKeyPair, &kms.GenerateDataKeyPairRequest{KeyID: key}, kms.DataKeyPairSpecs},
		{"signingAlgorithm", kms.OpSign, &kms.SignRequest{KeyID: key, Message: []byte("m"), SigningAlgorithm: "X"}, kms.SigningAlgorithms},
		{"signingAlgorithm", kms.OpSign, &kms.SignRequest{KeyID: key, Message: []byte("m")}, kms.SigningAlgorithms},
		{"messageType", kms.OpSign, &kms.SignRequest{KeyID: key, Message: []byte("m"), SigningAlgorithm: kms.ECDSASHA256, MessageType: "X"}, kms.MessageTypes},
		{"signingAlgorithm", kms.OpVerify, &kms.VerifyRequest{KeyID: key, Message: []byte("m"), Signature: []byte("s"), SigningAlgorithm: "X"}, kms.SigningAlgorithms},
		{"messageType", kms.OpVerify, &kms.VerifyRequest{KeyID: key, Message: []byte("m"), Signature: []byte("s"), SigningAlgorithm: kms.ECDSASHA256, MessageType: "X"}, kms.MessageTypes},
		{"macAlgorithm", kms.OpGenerateMac, &kms.GenerateMacRequest{KeyID: key, Message: []byte("m"), MacAlgorithm: "X"}, kms.MacAlgorithms},
		{"macAlgorithm", kms.OpVerifyMac, &kms.VerifyMacRequest{KeyID: key, Message: []byte("m"), Mac: []byte("s")}, kms.MacAlgorithms},
		{"keyAgreementAlgorithm", kms.OpDeriveSharedSecret, &kms.DeriveSharedSecretRequest{KeyID: key, PublicKey: []byte("m")}, kms.KeyAgreementAlgorithms},
		{"encapsulationAlgorithm", kms.OpEncapsulate, &kms.EncapsulateRequest{KeyID: key, EncapsulationAlgorithm: "X"}, kms.EncapsulationAlgorithms},
		{"encapsulationAlgorithm", kms.OpDecapsulate, &kms.DecapsulateRequest{KeyID: key, SharedSecretCiphertextBlob: []byte("m")}, kms.EncapsulationAlgorithms},
		{"wrappingAlgorithm", kms.OpGetParametersForImport, &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: "X", WrappingKeySpec: kms.RSA2048}, kms.WrappingAlgorithms},
		{"wrappingKeySpec", kms.OpGetParametersForImport, &kms.GetParametersForImportRequest{KeyID: key, WrappingAlgorithm: kms.WrapRSAAESSHA256, WrappingKeySpec: "X"}, kms.WrappingKeySpecs},
		{"operations", kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: "arn:aws:iam::" + bobID + ":root", Operations: []kms.GrantOperation{"X"}}, kms.GrantOperations},
		{"includeKeyMaterial", kms.OpListKeyRotations, &kms.ListKeyRotationsRequest{KeyID: key, IncludeKeyMaterial: "X"}, []string{"ALL_KEY_MATERIAL", "ROTATIONS_ONLY"}},
	} {
		_, err := w.Do(w.alice, row.op, row.request)
		text := fmt.Sprintf("validation: 1 validation error detected: Value at '%s' failed to satisfy constraint: Member must satisfy enum value set: %s", row.field, words(row.set))
		if err == nil || err.Error() != text {
			t.Errorf("%s: %v\nwant %s", row.op.Name, err, text)
		}
	}
}

// Delivery to an enclave is refused by each operation that AWS KMS has it for, whatever it says.
func TestRecipientIsRefused(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	blob := w.encrypt(t, w.alice, key, "p", nil)
	for _, r := range []kms.Recipient{{}, {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": "AAAA"}} {
		for op, request := range map[*kms.Operation]any{
			kms.OpDecrypt:                             &kms.DecryptRequest{CiphertextBlob: blob, Recipient: r},
			kms.OpGenerateDataKey:                     &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256, Recipient: r},
			kms.OpGenerateDataKeyPair:                 &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: kms.ECCNISTP256, Recipient: r},
			kms.OpGenerateRandom:                      &kms.GenerateRandomRequest{NumberOfBytes: ptr(8), Recipient: r},
			kms.OpDeriveSharedSecret:                  &kms.DeriveSharedSecretRequest{KeyID: key, PublicKey: []byte("p"), KeyAgreementAlgorithm: kms.ECDH, Recipient: r},
			kms.OpGenerateDataKeyWithoutPlaintext:     &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256, Recipient: r},
			kms.OpGenerateDataKeyPairWithoutPlaintext: &kms.GenerateDataKeyPairRequest{KeyID: key, KeyPairSpec: kms.ECCNISTP256, Recipient: r},
		} {
			_, err := w.Do(w.alice, op, request)
			want(t, op.Name, err, kms.CodeUnsupported)
			if !strings.Contains(err.Error(), "Recipient") {
				t.Errorf("%s: %v", op.Name, err)
			}
		}
	}
}

// A door may let plaintexts be longer than AWS KMS does; what it made decrypts, through that door, and so does what is
// shorter through every other.
func TestLongPlaintexts(t *testing.T) {
	p := newPair(t)
	key, other := p.CreateKey(p.alice), p.CreateKey(p.alice)
	const most = 64 << 10
	do := func(limit int, op *kms.Operation, request any) (any, error) {
		call := servicetest.Call(p.alice, op, request)
		call.MaxPlaintext = limit
		result, err := p.second.Service.Do(t.Context(), call)
		if err != nil {
			return nil, err
		}
		return result.Answer, nil
	}
	for _, row := range []struct {
		limit, length int
		code          kms.Code
	}{{0, 4096, ""}, {0, 4097, kms.CodeValidation}, {most, 4097, ""}, {most, most, ""}, {most, most + 1, kms.CodeValidation}, {100, 101, kms.CodeValidation}} {
		plaintext := bytes.Repeat([]byte("x"), row.length)
		answer, err := do(row.limit, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: plaintext})
		want(t, fmt.Sprintf("%d bytes of %d", row.length, row.limit), err, row.code)
		if row.code != "" {
			limit := row.limit
			if limit == 0 {
				limit = 4096
			}
			if text := fmt.Sprintf("Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to %d", limit); !strings.HasSuffix(err.Error(), text) {
				t.Errorf("%v, want %s", err, text)
			}
			continue
		}
		blob := answer.(*kms.EncryptAnswer).CiphertextBlob
		if len(blob) != row.length+material.Overhead {
			t.Errorf("a ciphertext of %d bytes", len(blob))
		}
		answer, err = do(row.limit, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: other, CiphertextBlob: blob})
		want(t, "re-encrypt", err, "")
		for _, blob := range [][]byte{blob, answer.(*kms.ReEncryptAnswer).CiphertextBlob} {
			answer, err := do(row.limit, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob})
			want(t, "decrypt", err, "")
			if !bytes.Equal(answer.(*kms.DecryptAnswer).Plaintext, plaintext) {
				t.Error("another plaintext")
			}
			_, err = do(0, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob})
			code := kms.Code("")
			if len(blob) > 6144 {
				code = kms.CodeValidation
			}
			want(t, "decrypt through another door", err, code)
		}
	}
	_, err := do(0, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: make([]byte, 6144)})
	want(t, "6144 bytes", err, kms.CodeInvalidCiphertext)
	_, err = do(0, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: make([]byte, 6145)})
	want(t, "6145 bytes", err, kms.CodeValidation)
	_, err = do(most, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: make([]byte, most+material.Overhead+1)})
	want(t, "longer than what the door makes", err, kms.CodeValidation)
}
