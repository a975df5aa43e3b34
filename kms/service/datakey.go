package service

import (
	"crypto/rand"
	"runtime"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/material"
	"github.com/lockstep-kms/lockstep/secret"
)

func dataKeyUses(all map[*kms.Operation]*use) {
	all[kms.OpGenerateDataKey] = reading(checkDataKey, dataKey)
	all[kms.OpGenerateDataKeyWithoutPlaintext] = reading(checkDataKey, dataKey)
	all[kms.OpGenerateDataKeyPair] = reading(checkDataKeyPair, dataKeyPair)
	all[kms.OpGenerateDataKeyPairWithoutPlaintext] = reading(checkDataKeyPair, dataKeyPair)
}

func checkDataKey(r *request, q *kms.GenerateDataKeyRequest) (err error) {
	if err := checkRecipient(q.Recipient); err != nil {
		return err
	}
	if err := r.parseSubject(q.KeyID, q.GrantTokens); err != nil {
		return err
	}
	if _, err := dataKeyLength(q); err != nil {
		return err
	}
	if err := checkContext(q.EncryptionContext); err != nil {
		return err
	}
	r.noteMap("encryptionContext", q.EncryptionContext)
	r.note("keySpec", string(q.KeySpec))
	if q.NumberOfBytes != nil {
		r.noteInt("numberOfBytes", *q.NumberOfBytes)
	}
	r.noteDryRun(q.DryRun)
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
	return 0, notInEnum("keySpec", kms.DataKeySpecs)
}

func checkNumber(n int) error { return checkRange("numberOfBytes", n, 1, maxRandom) }

func dataKey(r *request, q *kms.GenerateDataKeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, q.EncryptionContext)
	if err == nil {
		err = r.ready(k)
	}
	if err != nil {
		return nil, err
	}
	n, err := dataKeyLength(q)
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, n)
	rand.Read(plaintext) // never fails: the runtime ends the process first
	ciphertext, err := r.seal(k, kms.AlgorithmSymmetricDefault, q.EncryptionContext, plaintext)
	if err == nil && q.DryRun {
		err = errDryRun()
	}
	if err != nil || r.op == kms.OpGenerateDataKeyWithoutPlaintext {
		secret.Wipe(plaintext)
		plaintext = nil
	}
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyAnswer{Plaintext: plaintext, CiphertextBlob: ciphertext, KeyID: k.ARN, KeyMaterialID: k.Current().ID}, nil
}

func checkDataKeyPair(r *request, q *kms.GenerateDataKeyPairRequest) error {
	if err := checkRecipient(q.Recipient); err != nil {
		return err
	}
	if err := r.parseSubject(q.KeyID, q.GrantTokens); err != nil {
		return err
	}
	if err := required("keyPairSpec", q.KeyPairSpec, kms.DataKeyPairSpecs); err != nil {
		return err
	}
	if q.KeyPairSpec == kms.SM2 {
		return errSM2()
	}
	if err := checkContext(q.EncryptionContext); err != nil {
		return err
	}
	r.noteMap("encryptionContext", q.EncryptionContext)
	r.note("keyPairSpec", string(q.KeyPairSpec))
	r.noteDryRun(q.DryRun)
	return nil
}

func dataKeyPair(r *request, q *kms.GenerateDataKeyPairRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, q.EncryptionContext)
	if err == nil {
		err = r.ready(k)
	}
	if err == nil {
		err = fits(k, kms.AlgorithmSymmetricDefault, q.EncryptionContext)
	}
	if err != nil {
		return nil, err
	}
	if q.DryRun {
		return nil, orDryRun(material.Served(q.KeyPairSpec))
	}
	pair, err := r.pair(q.KeyPairSpec)
	if err != nil {
		return nil, err
	}
	sealed, err := r.seal(k, kms.AlgorithmSymmetricDefault, q.EncryptionContext, pair.Private)
	if err != nil || r.op == kms.OpGenerateDataKeyPairWithoutPlaintext {
		pair.Private.Wipe()
		pair.Private = nil
	}
	if err != nil {
		return nil, err
	}
	return &kms.GenerateDataKeyPairAnswer{PrivateKeyPlaintext: kms.Sensitive(pair.Private), PrivateKeyCiphertextBlob: sealed,
		PublicKey: pair.Public, KeyPairSpec: q.KeyPairSpec, KeyID: k.ARN, KeyMaterialID: k.Current().ID}, nil
}

// pair makes a key pair, a few at a time: RSA takes seconds of a core.
func (r *request) pair(spec kms.KeySpec) (material.Pair, error) {
	leave, err := r.enterHeavy(spec)
	if err != nil {
		return material.Pair{}, err
	}
	defer leave()
	return material.GeneratePair(spec)
}

// generate makes the material of a key, once for a request however often it is decided again. It is
// wiped with the request.
func (r *request) generate(spec kms.KeySpec) (secret.Bytes, error) {
	if r.generated != nil {
		return r.generated, nil
	}
	leave, err := r.enterHeavy(spec)
	if err != nil {
		return nil, err
	}
	defer leave()
	r.generated, err = material.Generate(spec)
	return r.generated, err
}

const (
	heavyAll     = 32 // that make RSA keys or wait for it
	heavyAccount = 8  // the same of one account
)

// newHeavyWork bounds who makes RSA keys: they take seconds of a core, which must not take every core from everybody
// else, nor the places of all requests, nor one account the turn of the others.
func newHeavyWork() *gate { return newGate(max(1, runtime.GOMAXPROCS(0)/2), heavyAll, heavyAccount) }

// enterHeavy waits for its turn to make a key of the spec, if that takes long.
func (r *request) enterHeavy(spec kms.KeySpec) (leave func(), err error) {
	if spec != kms.RSA2048 && spec != kms.RSA3072 && spec != kms.RSA4096 {
		return func() {}, nil
	}
	leave, ok := r.heavy.wait(r.ctx, r.scope.Account)
	if !ok {
		busy := kms.Errorf(kms.CodeThrottled, "Too many RSA keys are being made on this node; try again later.")
		busy.RetryAfter = 5 * time.Second
		return nil, busy
	}
	if err := r.hold.Err(); err != nil { // sealed while it waited
		leave()
		return nil, err
	}
	return leave, nil
}
