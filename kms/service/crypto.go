package service

import (
	"crypto/rand"
	"errors"
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/secret"
)

func cryptoUses(all map[*kms.Operation]*use) {
	all[kms.OpEncrypt] = reading(checkEncrypt, encrypt)
	all[kms.OpDecrypt] = reading(checkDecrypt, decrypt)
	all[kms.OpReEncrypt] = reading(checkReEncrypt, reEncrypt)
	all[kms.OpGenerateRandom] = reading(checkRandom, random)
}

// ready returns nil when the key's state and usage allow the operation, and notes the key as used.
func (r *request) ready(k *catalog.Key) error {
	state := k.StateAt(r.now())
	if err := kms.CheckState(r.op.States, state, k.ARN); err != nil {
		if state == kms.StatePendingDeletion || state == kms.StatePendingReplicaDeletion {
			r.doomed = k
		}
		return err
	}
	if r.op.Usage != "" && k.Usage != r.op.Usage {
		return kms.Errorf(kms.CodeInvalidKeyUsage, "%s key usage is %s which is not valid for %s.", k.ARN, k.Usage, r.op.Name)
	}
	if r.op.Used && r.usedKeys < len(r.used) {
		r.used[r.usedKeys] = k
		r.usedKeys++
	}
	return nil
}

// current returns the opened material that a ready key works with now. Only keys that are symmetric
// have more than one.
func (r *request) current(k *catalog.Key) (*material.Key, error) {
	return r.material(k, k.Current().Version)
}

// material returns the opened material of one version, which an invalid ciphertext may have named.
func (r *request) material(k *catalog.Key, version uint32) (*material.Key, error) {
	if _, ok := k.MaterialVersion(version); !ok {
		return nil, invalidCiphertext()
	}
	return r.view.Material(k, version)
}

// invalidCiphertext returns the one error of every ciphertext that does not open.
func invalidCiphertext() error {
	_, err := material.ParseHeader(nil)
	return err
}

// incompatible is the refusal of an algorithm that keys of the spec do not have.
func incompatible[A ~string](a A, s kms.KeySpec) error {
	return kms.Errorf(kms.CodeInvalidKeyUsage, "Algorithm %s is incompatible with key spec %s.", a, s)
}

// fits refuses an encryption algorithm and a context that the key does not have.
func fits(k *catalog.Key, a kms.EncryptionAlgorithm, context map[string]string) error {
	spec, known := k.Spec.Spec()
	switch {
	case !known || !slices.Contains(spec.Encryption, a):
		return incompatible(a, k.Spec)
	case a != kms.AlgorithmSymmetricDefault && len(context) > 0:
		return kms.Errorf(kms.CodeValidation, "An encryption context can be used with symmetric encryption keys only.")
	}
	return nil
}

// seal encrypts under the current material of a ready key.
func (r *request) seal(k *catalog.Key, a kms.EncryptionAlgorithm, context map[string]string, plaintext []byte) ([]byte, error) {
	if err := fits(k, a, context); err != nil {
		return nil, err
	}
	if a != kms.AlgorithmSymmetricDefault && len(plaintext) > material.MaxOAEP(k.Spec, a) {
		return nil, kms.Errorf(kms.CodeValidation, "Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", a, k.Spec, material.MaxOAEP(k.Spec, a))
	}
	m, err := r.current(k)
	if err != nil {
		return nil, err
	}
	if a == kms.AlgorithmSymmetricDefault {
		return m.Encrypt(nil, k.Raw, k.Current().Version, context, plaintext)
	}
	return m.EncryptOAEP(a, plaintext)
}

// open decrypts what a ready key encrypted. A ciphertext of a symmetric key names one of its versions.
func (r *request) open(k *catalog.Key, a kms.EncryptionAlgorithm, context map[string]string, ciphertext []byte) ([]byte, kms.Material, error) {
	if err := fits(k, a, context); err != nil {
		return nil, kms.Material{}, err
	}
	if a != kms.AlgorithmSymmetricDefault {
		m, err := r.current(k)
		if err != nil {
			return nil, kms.Material{}, err
		}
		plaintext, err := m.DecryptOAEP(a, ciphertext)
		return plaintext, kms.Material{}, err
	}
	made, _ := k.MaterialVersion(r.header.KeyVersion)
	m, err := r.material(k, r.header.KeyVersion)
	if err != nil {
		return nil, made, err
	}
	plaintext, err := m.Decrypt(nil, ciphertext, context)
	return plaintext, made, err
}

// materialID returns what an answer tells of the material of a key: those of symmetric keys have ids.
func materialID(k *catalog.Key, m kms.Material) string {
	if k.Spec == kms.SymmetricDefault {
		return m.ID
	}
	return ""
}

func (r *request) maxPlaintext() int {
	if r.call.MaxPlaintext > 0 {
		return r.call.MaxPlaintext
	}
	return maxPlaintext
}

func checkEncrypt(r *request, q *kms.EncryptRequest) (err error) {
	if err := checkLength("plaintext", len(q.Plaintext), r.maxPlaintext()); err != nil {
		return err
	}
	if err := r.parseSubject(q.KeyID, q.GrantTokens); err != nil {
		return err
	}
	if r.encryption, err = encryptionAlgorithm("encryptionAlgorithm", q.EncryptionAlgorithm); err != nil {
		return err
	}
	if err := checkContext(q.EncryptionContext); err != nil {
		return err
	}
	r.noteMap("encryptionContext", q.EncryptionContext)
	r.note("encryptionAlgorithm", string(r.encryption))
	r.noteDryRun(q.DryRun)
	return nil
}

func encrypt(r *request, q *kms.EncryptRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, q.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if err := r.ready(k); err != nil {
		return nil, err
	}
	ciphertext, err := r.seal(k, r.encryption, q.EncryptionContext, q.Plaintext)
	if err != nil {
		return nil, err
	}
	if q.DryRun {
		return nil, errDryRun()
	}
	return &kms.EncryptAnswer{CiphertextBlob: ciphertext, KeyID: k.ARN, EncryptionAlgorithm: r.encryption}, nil
}

// checkCiphertext reads what a ciphertext of a symmetric key says of it; with another algorithm the
// request has to name the key.
func (r *request) checkCiphertext(a kms.EncryptionAlgorithm, named bool, ciphertext []byte, ignore bool) (err error) {
	highest := max(maxCiphertext, r.maxPlaintext()+material.Overhead)
	if ignore && !named {
		return kms.Errorf(kms.CodeValidation, "A key is required: with IGNORE_CIPHERTEXT the ciphertext does not name it.")
	}
	if ignore && len(ciphertext) == 0 {
		return nil
	}
	if err := checkLength("ciphertextBlob", len(ciphertext), highest); err != nil {
		return err
	}
	switch {
	case a != kms.AlgorithmSymmetricDefault && !named:
		return kms.Errorf(kms.CodeValidation, "A key is required: ciphertexts of algorithm %s do not name theirs.", a)
	case a != kms.AlgorithmSymmetricDefault, ignore:
		return nil
	}
	r.header, err = material.ParseHeader(ciphertext)
	return err
}

// ignoresCiphertext reports whether a dry run is to leave the ciphertext unread.
func ignoresCiphertext(dryRun bool, modifiers []string) (bool, error) {
	for _, m := range modifiers {
		if m != "IGNORE_CIPHERTEXT" {
			return false, constraint("dryRunModifiers", "Member must satisfy enum value set: [IGNORE_CIPHERTEXT]")
		}
	}
	if len(modifiers) > 0 && !dryRun {
		return false, kms.Errorf(kms.CodeValidation, "DryRunModifiers go with DryRun only.")
	}
	return len(modifiers) > 0, nil
}

func checkDecrypt(r *request, q *kms.DecryptRequest) (err error) {
	if err := checkRecipient(q.Recipient); err != nil {
		return err
	}
	if q.KeyID != "" {
		if err := r.parseSubject(q.KeyID, q.GrantTokens); err != nil {
			return err
		}
	} else if err := r.checkGrantTokens(q.GrantTokens); err != nil {
		return err
	}
	if r.encryption, err = encryptionAlgorithm("encryptionAlgorithm", q.EncryptionAlgorithm); err != nil {
		return err
	}
	if err := checkContext(q.EncryptionContext); err != nil {
		return err
	}
	if r.ignore, err = ignoresCiphertext(q.DryRun, q.DryRunModifiers); err != nil {
		return err
	}
	r.noteMap("encryptionContext", q.EncryptionContext)
	r.note("encryptionAlgorithm", string(r.encryption))
	r.noteDryRun(q.DryRun)
	noteList(r, "dryRunModifiers", q.DryRunModifiers)
	return r.checkCiphertext(r.encryption, q.KeyID != "", q.CiphertextBlob, r.ignore)
}

// source is what a ciphertext is to be opened with.
type source struct {
	named   bool // the request names the key
	ref     kms.KeyRef
	action  string
	a       kms.EncryptionAlgorithm
	context map[string]string
}

// sourceKey returns the key that a ciphertext is to be opened with: the one the request names, which
// must be the one the ciphertext names, or that one alone. Without a name in the request the
// answer does not tell a key that is not there from one of somebody else.
func (r *request) sourceKey(s source) (*catalog.Key, error) {
	r.opening = true
	defer func() { r.opening = false }()
	if s.named {
		k, err := r.useKey(s.ref, s.action, s.context)
		if err == nil && s.a == kms.AlgorithmSymmetricDefault && !r.ignore && k.Raw != r.header.KeyID {
			err = kms.Errorf(kms.CodeIncorrectKey, "The key ID in the request does not identify a CMK that can perform this operation.")
		}
		if err == nil {
			err = r.ready(k)
		}
		return k, err
	}
	if err := r.openTokens(r.tokens); err != nil { // before the key is looked for: the refusal tells nothing of it
		return nil, err
	}
	k, err := r.view.Key(r.scope, r.header.KeyID)
	if errors.Is(err, catalog.ErrNotFound) {
		if foreign := r.view.KeyAnywhere(r.scope.Region, r.header.KeyID); foreign != nil && r.standing(foreign.Scope.Account) == nil {
			k, err = foreign, nil
		}
	}
	if err == nil {
		if k.Scope.Account == r.scope.Account {
			r.resource(k.ARN, typeKey)
		}
		err = r.allowKey(k, s.action, "", s.context)
		if err == nil && k.Scope.Account != r.scope.Account {
			r.resource(k.ARN, typeKey)
		}
	}
	if code := kms.CodeOf(notFound(err, "")); code == kms.CodeNotFound || code == kms.CodeAccessDenied {
		err = kms.Errorf(kms.CodeAccessDenied, "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
	}
	if err == nil {
		err = r.ready(k)
	}
	return k, err
}

func decrypt(r *request, q *kms.DecryptRequest) (any, error) {
	k, err := r.sourceKey(source{q.KeyID != "", r.key, r.op.Action, r.encryption, q.EncryptionContext})
	if err != nil {
		return nil, err
	}
	if r.ignore {
		return nil, orDryRun(fits(k, r.encryption, q.EncryptionContext))
	}
	plaintext, m, err := r.open(k, r.encryption, q.EncryptionContext, q.CiphertextBlob)
	if err != nil {
		return nil, err
	}
	if q.DryRun {
		secret.Wipe(plaintext)
		return nil, errDryRun()
	}
	return &kms.DecryptAnswer{Plaintext: plaintext, KeyID: k.ARN, EncryptionAlgorithm: r.encryption, KeyMaterialID: materialID(k, m)}, nil
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
	if err := r.checkGrantTokens(q.GrantTokens); err != nil {
		return err
	}
	if r.encryption, err = encryptionAlgorithm("destinationEncryptionAlgorithm", q.DestinationEncryptionAlgorithm); err != nil {
		return err
	}
	if r.decryption, err = encryptionAlgorithm("sourceEncryptionAlgorithm", q.SourceEncryptionAlgorithm); err != nil {
		return err
	}
	for _, c := range []map[string]string{q.SourceEncryptionContext, q.DestinationEncryptionContext} {
		if err := checkContext(c); err != nil {
			return err
		}
	}
	if r.ignore, err = ignoresCiphertext(q.DryRun, q.DryRunModifiers); err != nil {
		return err
	}
	r.note("sourceKeyId", q.SourceKeyID)
	r.noteMap("sourceEncryptionContext", q.SourceEncryptionContext)
	r.note("sourceEncryptionAlgorithm", string(r.decryption))
	r.note("destinationKeyId", q.KeyID)
	r.noteMap("destinationEncryptionContext", q.DestinationEncryptionContext)
	r.note("destinationEncryptionAlgorithm", string(r.encryption))
	r.noteDryRun(q.DryRun)
	noteList(r, "dryRunModifiers", q.DryRunModifiers)
	return r.checkCiphertext(r.decryption, q.SourceKeyID != "", q.CiphertextBlob, r.ignore)
}

func reEncrypt(r *request, q *kms.ReEncryptRequest) (any, error) {
	from, err := r.sourceKey(source{q.SourceKeyID != "", r.other, "kms:ReEncryptFrom", r.decryption, q.SourceEncryptionContext})
	if err != nil {
		return nil, err
	}
	// The ciphertext is opened first: for one that does not open no managed key is made.
	var plaintext []byte
	var m kms.Material
	if !r.ignore {
		if plaintext, m, err = r.open(from, r.decryption, q.SourceEncryptionContext, q.CiphertextBlob); err != nil {
			return nil, err
		}
		defer secret.Wipe(plaintext)
	} else if err := fits(from, r.decryption, q.SourceEncryptionContext); err != nil {
		return nil, err
	}
	to, err := r.useKey(r.key, "kms:ReEncryptTo", q.DestinationEncryptionContext)
	if err == nil {
		err = r.ready(to)
	}
	if err != nil {
		return nil, err
	}
	if r.ignore {
		return nil, orDryRun(fits(to, r.encryption, q.DestinationEncryptionContext))
	}
	ciphertext, err := r.seal(to, r.encryption, q.DestinationEncryptionContext, plaintext)
	if err != nil {
		return nil, err
	}
	if q.DryRun {
		return nil, errDryRun()
	}
	return &kms.ReEncryptAnswer{
		CiphertextBlob: ciphertext, KeyID: to.ARN, SourceKeyID: from.ARN,
		SourceEncryptionAlgorithm: r.decryption, DestinationEncryptionAlgorithm: r.encryption,
		SourceKeyMaterialID: materialID(from, m), DestinationKeyMaterialID: materialID(to, to.Current()),
	}, nil
}

func checkRandom(r *request, q *kms.GenerateRandomRequest) error {
	if err := checkRecipient(q.Recipient); err != nil {
		return err
	}
	if q.NumberOfBytes == nil {
		return kms.Errorf(kms.CodeValidation, "NumberOfBytes is required.")
	}
	if err := storeID.check("customKeyStoreId", q.CustomKeyStoreID); err != nil {
		return err
	}
	if q.CustomKeyStoreID != "" {
		return errStores("leave CustomKeyStoreId out")
	}
	r.noteInt("numberOfBytes", *q.NumberOfBytes)
	return checkNumber(*q.NumberOfBytes)
}

func random(r *request, q *kms.GenerateRandomRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	plaintext := make([]byte, *q.NumberOfBytes)
	rand.Read(plaintext) // never fails: the runtime ends the process first
	return &kms.GenerateRandomAnswer{Plaintext: plaintext}, nil
}

// errDryRun is the answer to a request that would have succeeded.
func errDryRun() error {
	return kms.Errorf(kms.CodeDryRun, "The request would have succeeded, but the DryRun option is set.")
}

// orDryRun is the end of a dry run.
func orDryRun(err error) error {
	if err != nil {
		return err
	}
	return errDryRun()
}
