package service

import (
	"crypto/rand"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/secret"
)

func cryptoUses(all map[*kms.Operation]*use) {
	all[kms.OpEncrypt] = reading(checkEncrypt, encrypt)
	all[kms.OpDecrypt] = reading(checkDecrypt, decrypt)
	all[kms.OpReEncrypt] = reading(checkReEncrypt, reEncrypt)
	all[kms.OpGenerateDataKey] = reading(checkDataKey, dataKey)
	all[kms.OpGenerateDataKeyWithoutPlaintext] = reading(checkDataKey, dataKey)
	all[kms.OpGenerateRandom] = reading(checkRandom, random)
}

// usable returns the material of one version of a key whose state and usage allow the operation.
func (r *request) usable(k *catalog.Key, version uint32) (kms.Material, *material.Key, error) {
	if err := k.CheckCryptoState(k.ARN); err != nil {
		return kms.Material{}, nil, err
	}
	if k.Usage != r.op.Usage {
		return kms.Material{}, nil, kms.Errorf(kms.CodeInvalidState, "%s key usage is %s which is not valid for %s.", k.ARN, k.Usage, r.op.Name)
	}
	m, ok := k.MaterialVersion(version)
	if !ok {
		return m, nil, invalidCiphertext()
	}
	opened, err := r.view.Material(k, version)
	return m, opened, err
}

// invalidCiphertext returns the one error of every ciphertext that does not open.
func invalidCiphertext() error {
	_, err := material.ParseHeader(nil)
	return err
}

// seal encrypts under the current material.
func (r *request) seal(k *catalog.Key, context map[string]string, plaintext []byte) ([]byte, error) {
	m, opened, err := r.usable(k, k.Current().Version)
	if err != nil {
		return nil, err
	}
	return opened.Encrypt(nil, k.Raw, m.Version, context, plaintext)
}

// open decrypts what names this key and one of its versions in its header.
func (r *request) open(k *catalog.Key, context map[string]string, ciphertext []byte) ([]byte, kms.Material, error) {
	m, opened, err := r.usable(k, r.header.KeyVersion)
	if err != nil {
		return nil, m, err
	}
	plaintext, err := opened.Decrypt(nil, ciphertext, context)
	return plaintext, m, err
}

func checkEncrypt(r *request, q *kms.EncryptRequest) (err error) {
	if err := checkLength("plaintext", len(q.Plaintext), maxPlaintext); err != nil {
		return err
	}
	if r.key, err = r.parseKey(q.KeyID); err != nil {
		return err
	}
	if err := checkAlgorithm(q.EncryptionAlgorithm); err != nil {
		return err
	}
	if err := checkContext(q.EncryptionContext); err != nil {
		return err
	}
	r.note("keyId", q.KeyID)
	r.noteMap("encryptionContext", q.EncryptionContext)
	r.note("encryptionAlgorithm", string(kms.AlgorithmSymmetricDefault))
	return nil
}

func encrypt(r *request, q *kms.EncryptRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, q.EncryptionContext)
	if err != nil {
		return nil, err
	}
	ciphertext, err := r.seal(k, q.EncryptionContext, q.Plaintext)
	if err != nil {
		return nil, err
	}
	return &kms.EncryptAnswer{CiphertextBlob: ciphertext, KeyID: k.ARN, EncryptionAlgorithm: kms.AlgorithmSymmetricDefault}, nil
}

// checkCiphertext reads what a ciphertext says of its key.
func (r *request) checkCiphertext(ciphertext []byte) (err error) {
	if err := checkLength("ciphertextBlob", len(ciphertext), maxCiphertext); err != nil {
		return err
	}
	r.header, err = material.ParseHeader(ciphertext)
	return err
}

func checkDecrypt(r *request, q *kms.DecryptRequest) (err error) {
	if q.KeyID != "" {
		if r.key, err = r.parseKey(q.KeyID); err != nil {
			return err
		}
	}
	if err := checkAlgorithm(q.EncryptionAlgorithm); err != nil {
		return err
	}
	if err := checkContext(q.EncryptionContext); err != nil {
		return err
	}
	r.note("keyId", q.KeyID)
	r.noteMap("encryptionContext", q.EncryptionContext)
	r.note("encryptionAlgorithm", string(kms.AlgorithmSymmetricDefault))
	return r.checkCiphertext(q.CiphertextBlob)
}

// sourceKey returns the key that a ciphertext is to be opened with: the one the request names, which
// must be the one the ciphertext names, or that one alone. Without a name in the request the
// answer does not tell a key that is not there from one of somebody else.
func (r *request) sourceKey(named bool, ref kms.KeyRef, action string, context map[string]string) (*catalog.Key, error) {
	if named {
		k, err := r.useKey(ref, action, context)
		if err == nil && k.Raw != r.header.KeyID {
			err = kms.Errorf(kms.CodeIncorrectKey, "The key ID in the request does not identify a CMK that can perform this operation.")
		}
		return k, err
	}
	k, err := r.view.Key(r.scope, r.header.KeyID)
	if err == nil {
		r.resource(k.ARN, typeKey)
		err = r.allowKey(k, action, "", context)
	}
	if code := kms.CodeOf(notFound(err, "")); code == kms.CodeNotFound || code == kms.CodeAccessDenied {
		err = kms.Errorf(kms.CodeAccessDenied, "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	}
	return k, err
}

func decrypt(r *request, q *kms.DecryptRequest) (any, error) {
	k, err := r.sourceKey(q.KeyID != "", r.key, r.op.Action, q.EncryptionContext)
	if err != nil {
		return nil, err
	}
	plaintext, m, err := r.open(k, q.EncryptionContext, q.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	return &kms.DecryptAnswer{Plaintext: plaintext, KeyID: k.ARN, EncryptionAlgorithm: kms.AlgorithmSymmetricDefault, KeyMaterialID: m.ID}, nil
}

func checkReEncrypt(r *request, q *kms.ReEncryptRequest) (err error) {
	if r.key, err = r.parseKey(q.KeyID); err != nil {
		return err
	}
	if q.SourceKeyID != "" {
		if r.other, err = r.parseKey(q.SourceKeyID); err != nil {
			return err
		}
	}
	for _, a := range []kms.EncryptionAlgorithm{q.SourceEncryptionAlgorithm, q.DestinationEncryptionAlgorithm} {
		if err := checkAlgorithm(a); err != nil {
			return err
		}
	}
	for _, c := range []map[string]string{q.SourceEncryptionContext, q.DestinationEncryptionContext} {
		if err := checkContext(c); err != nil {
			return err
		}
	}
	r.note("sourceKeyId", q.SourceKeyID)
	r.noteMap("sourceEncryptionContext", q.SourceEncryptionContext)
	r.note("destinationKeyId", q.KeyID)
	r.noteMap("destinationEncryptionContext", q.DestinationEncryptionContext)
	return r.checkCiphertext(q.CiphertextBlob)
}

func reEncrypt(r *request, q *kms.ReEncryptRequest) (any, error) {
	from, err := r.sourceKey(q.SourceKeyID != "", r.other, "kms:ReEncryptFrom", q.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	to, err := r.useKey(r.key, "kms:ReEncryptTo", q.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	plaintext, m, err := r.open(from, q.SourceEncryptionContext, q.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(plaintext)
	ciphertext, err := r.seal(to, q.DestinationEncryptionContext, plaintext)
	if err != nil {
		return nil, err
	}
	return &kms.ReEncryptAnswer{
		CiphertextBlob: ciphertext, KeyID: to.ARN, SourceKeyID: from.ARN,
		SourceEncryptionAlgorithm: kms.AlgorithmSymmetricDefault, DestinationEncryptionAlgorithm: kms.AlgorithmSymmetricDefault,
		SourceKeyMaterialID: m.ID, DestinationKeyMaterialID: to.Current().ID,
	}, nil
}

func checkDataKey(r *request, q *kms.GenerateDataKeyRequest) (err error) {
	if r.key, err = r.parseKey(q.KeyID); err != nil {
		return err
	}
	if _, err := dataKeyLength(q); err != nil {
		return err
	}
	if err := checkContext(q.EncryptionContext); err != nil {
		return err
	}
	r.note("keyId", q.KeyID)
	r.noteMap("encryptionContext", q.EncryptionContext)
	r.note("keySpec", string(q.KeySpec))
	if q.NumberOfBytes != nil {
		r.noteInt("numberOfBytes", *q.NumberOfBytes)
	}
	return nil
}

// dataKeyLength returns how many bytes a request asks for: by spec or by number, never both.
func dataKeyLength(q *kms.GenerateDataKeyRequest) (int, error) {
	switch {
	case (q.KeySpec == "") == (q.NumberOfBytes == nil):
		return 0, kms.Errorf(kms.CodeValidation, "Please specify either number of bytes or key spec.")
	case q.NumberOfBytes != nil:
		return *q.NumberOfBytes, checkNumber(*q.NumberOfBytes)
	case q.KeySpec == kms.DataKeyAES128:
		return 16, nil
	case q.KeySpec == kms.DataKeyAES256:
		return 32, nil
	}
	return 0, constraint("keySpec", "Member must satisfy enum value set: [AES_256, AES_128]")
}

func checkNumber(n int) error {
	switch {
	case n < 1:
		return constraint("numberOfBytes", "Member must have value greater than or equal to 1")
	case n > maxRandom:
		return constraint("numberOfBytes", "Member must have value less than or equal to %d", maxRandom)
	}
	return nil
}

func dataKey(r *request, q *kms.GenerateDataKeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, q.EncryptionContext)
	if err != nil {
		return nil, err
	}
	n, err := dataKeyLength(q)
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, n)
	rand.Read(plaintext) // never fails: the runtime ends the process first
	ciphertext, err := r.seal(k, q.EncryptionContext, plaintext)
	if err != nil || r.op == kms.OpGenerateDataKeyWithoutPlaintext {
		secret.Wipe(plaintext)
		plaintext = nil
	}
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyAnswer{Plaintext: plaintext, CiphertextBlob: ciphertext, KeyID: k.ARN, KeyMaterialID: k.Current().ID}, nil
}

func checkRandom(r *request, q *kms.GenerateRandomRequest) error {
	if q.NumberOfBytes == nil {
		return kms.Errorf(kms.CodeValidation, "NumberOfBytes is required.")
	}
	r.noteInt("numberOfBytes", *q.NumberOfBytes)
	return checkNumber(*q.NumberOfBytes)
}

func random(r *request, q *kms.GenerateRandomRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	plaintext := make([]byte, *q.NumberOfBytes)
	rand.Read(plaintext)
	return &kms.GenerateRandomAnswer{Plaintext: plaintext}, nil
}
