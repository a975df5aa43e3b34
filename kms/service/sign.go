package service

import (
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/material"
)

func signUses(all map[*kms.Operation]*use) {
	all[kms.OpSign] = reading(checkSign, sign)
	all[kms.OpVerify] = reading(checkVerify, verify)
	all[kms.OpGenerateMac] = reading(checkGenerateMac, generateMac)
	all[kms.OpVerifyMac] = reading(checkVerifyMac, verifyMac)
	all[kms.OpGetPublicKey] = reading(checkGetPublicKey, getPublicKey)
	all[kms.OpDeriveSharedSecret] = reading(checkDeriveSharedSecret, deriveSharedSecret)
	all[kms.OpEncapsulate] = reading(checkEncapsulate, encapsulate)
	all[kms.OpDecapsulate] = reading(checkDecapsulate, decapsulate)
}

// subject returns the ready key of an operation that works with one key and no context.
func (r *request) subject() (*catalog.Key, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	return k, r.ready(k)
}

// compute does a computation with the material of the request's key, which must have the algorithm; a dry run
// ends with its success.
func compute[A ~string](r *request, a A, has func(*kms.Spec) []A, do func(*catalog.Key, *material.Key) (any, error)) (any, error) {
	k, err := r.subject()
	if err != nil {
		return nil, err
	}
	if spec, known := k.Spec.Spec(); !known || !slices.Contains(has(spec), a) {
		return nil, incompatible(a, k.Spec)
	}
	m, err := r.current(k)
	if err != nil {
		return nil, err
	}
	answer, err := do(k, m)
	if err == nil && r.dryRun {
		wipeAnswer(answer)
		err = errDryRun()
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// The algorithms of a spec, by what they are for.
func signing(s *kms.Spec) []kms.SigningAlgorithm             { return s.Signing }
func macs(s *kms.Spec) []kms.MacAlgorithm                    { return s.Mac }
func agreement(s *kms.Spec) []kms.KeyAgreementAlgorithm      { return s.Agreement }
func encapsulation(s *kms.Spec) []kms.EncapsulationAlgorithm { return s.Encapsulation }

// checkSigning checks what Sign and Verify share.
func (r *request) checkSigning(key string, tokens []string, message []byte, t kms.MessageType, a kms.SigningAlgorithm, dryRun bool) error {
	if err := checkLength("message", len(message), maxMessage); err != nil {
		return err
	}
	if err := r.parseSubject(key, tokens); err != nil {
		return err
	}
	if err := required("signingAlgorithm", a, kms.SigningAlgorithms); err != nil {
		return err
	}
	if err := optional("messageType", t, kms.MessageTypes); err != nil {
		return err
	}
	r.message = t
	if t == "" {
		r.message = kms.MessageRaw
	}
	r.note("messageType", string(r.message))
	r.note("signingAlgorithm", string(a))
	r.noteDryRun(dryRun)
	return nil
}

func checkSign(r *request, q *kms.SignRequest) error {
	return r.checkSigning(q.KeyID, q.GrantTokens, q.Message, q.MessageType, q.SigningAlgorithm, q.DryRun)
}

func sign(r *request, q *kms.SignRequest) (any, error) {
	return compute(r, q.SigningAlgorithm, signing, func(k *catalog.Key, m *material.Key) (any, error) {
		signature, err := m.Sign(q.SigningAlgorithm, r.message, q.Message)
		return &kms.SignAnswer{KeyID: k.ARN, Signature: signature, SigningAlgorithm: q.SigningAlgorithm}, err
	})
}

func checkVerify(r *request, q *kms.VerifyRequest) error {
	if err := checkLength("signature", len(q.Signature), maxSignature); err != nil {
		return err
	}
	return r.checkSigning(q.KeyID, q.GrantTokens, q.Message, q.MessageType, q.SigningAlgorithm, q.DryRun)
}

func verify(r *request, q *kms.VerifyRequest) (any, error) {
	return compute(r, q.SigningAlgorithm, signing, func(k *catalog.Key, m *material.Key) (any, error) {
		err := m.Verify(q.SigningAlgorithm, r.message, q.Message, q.Signature)
		return &kms.VerifyAnswer{KeyID: k.ARN, SignatureValid: err == nil, SigningAlgorithm: q.SigningAlgorithm}, err
	})
}

// checkMac checks what GenerateMac and VerifyMac share.
func (r *request) checkMac(key string, tokens []string, message []byte, a kms.MacAlgorithm, dryRun bool) error {
	if err := checkLength("message", len(message), maxMessage); err != nil {
		return err
	}
	if err := r.parseSubject(key, tokens); err != nil {
		return err
	}
	if err := required("macAlgorithm", a, kms.MacAlgorithms); err != nil {
		return err
	}
	r.note("macAlgorithm", string(a))
	r.noteDryRun(dryRun)
	return nil
}

func checkGenerateMac(r *request, q *kms.GenerateMacRequest) error {
	return r.checkMac(q.KeyID, q.GrantTokens, q.Message, q.MacAlgorithm, q.DryRun)
}

func generateMac(r *request, q *kms.GenerateMacRequest) (any, error) {
	return compute(r, q.MacAlgorithm, macs, func(k *catalog.Key, m *material.Key) (any, error) {
		mac, err := m.Mac(q.MacAlgorithm, q.Message)
		return &kms.GenerateMacAnswer{KeyID: k.ARN, Mac: mac, MacAlgorithm: q.MacAlgorithm}, err
	})
}

func checkVerifyMac(r *request, q *kms.VerifyMacRequest) error {
	if err := checkLength("mac", len(q.Mac), maxSignature); err != nil {
		return err
	}
	return r.checkMac(q.KeyID, q.GrantTokens, q.Message, q.MacAlgorithm, q.DryRun)
}

func verifyMac(r *request, q *kms.VerifyMacRequest) (any, error) {
	return compute(r, q.MacAlgorithm, macs, func(k *catalog.Key, m *material.Key) (any, error) {
		err := m.VerifyMac(q.MacAlgorithm, q.Message, q.Mac)
		return &kms.VerifyMacAnswer{KeyID: k.ARN, MacValid: err == nil, MacAlgorithm: q.MacAlgorithm}, err
	})
}

func checkGetPublicKey(r *request, q *kms.GetPublicKeyRequest) error {
	return r.parseSubject(q.KeyID, q.GrantTokens)
}

func getPublicKey(r *request, _ *kms.GetPublicKeyRequest) (any, error) {
	k, err := r.subject()
	if err != nil {
		return nil, err
	}
	if spec, known := k.Spec.Spec(); !known || !spec.Asymmetric {
		return nil, kms.Errorf(kms.CodeUnsupported, "%s key spec is %s which is not valid for GetPublicKey.", k.ARN, k.Spec)
	}
	m, err := r.current(k)
	if err != nil {
		return nil, err
	}
	public, err := m.PublicKey()
	if err != nil {
		return nil, err
	}
	d := r.metadata(&k.Key).Key
	return &kms.GetPublicKeyAnswer{KeyID: k.ARN, PublicKey: public, KeySpec: k.Spec, KeyUsage: k.Usage,
		EncryptionAlgorithms: d.EncryptionAlgorithms, SigningAlgorithms: d.SigningAlgorithms,
		KeyAgreementAlgorithms: d.KeyAgreementAlgorithms, EncapsulationAlgorithms: d.EncapsulationAlgorithms}, nil
}

func checkDeriveSharedSecret(r *request, q *kms.DeriveSharedSecretRequest) error {
	if err := checkRecipient(q.Recipient); err != nil {
		return err
	}
	if err := checkLength("publicKey", len(q.PublicKey), maxPublicKey); err != nil {
		return err
	}
	if err := r.parseSubject(q.KeyID, q.GrantTokens); err != nil {
		return err
	}
	if err := required("keyAgreementAlgorithm", q.KeyAgreementAlgorithm, kms.KeyAgreementAlgorithms); err != nil {
		return err
	}
	r.note("keyAgreementAlgorithm", string(q.KeyAgreementAlgorithm))
	r.noteDryRun(q.DryRun)
	return nil
}

func deriveSharedSecret(r *request, q *kms.DeriveSharedSecretRequest) (any, error) {
	return compute(r, q.KeyAgreementAlgorithm, agreement, func(k *catalog.Key, m *material.Key) (any, error) {
		shared, err := m.SharedSecret(q.PublicKey)
		return &kms.DeriveSharedSecretAnswer{KeyID: k.ARN, SharedSecret: shared, KeyAgreementAlgorithm: q.KeyAgreementAlgorithm, KeyOrigin: k.Origin}, err
	})
}

func (r *request) checkEncapsulation(key string, tokens []string, a kms.EncapsulationAlgorithm, dryRun bool) error {
	if err := r.parseSubject(key, tokens); err != nil {
		return err
	}
	if err := required("encapsulationAlgorithm", a, kms.EncapsulationAlgorithms); err != nil {
		return err
	}
	r.note("encapsulationAlgorithm", string(a))
	r.noteDryRun(dryRun)
	return nil
}

func checkEncapsulate(r *request, q *kms.EncapsulateRequest) error {
	return r.checkEncapsulation(q.KeyID, q.GrantTokens, q.EncapsulationAlgorithm, q.DryRun)
}

func encapsulate(r *request, q *kms.EncapsulateRequest) (any, error) {
	return compute(r, q.EncapsulationAlgorithm, encapsulation, func(k *catalog.Key, m *material.Key) (any, error) {
		shared, ciphertext, err := m.Encapsulate()
		return &kms.EncapsulateAnswer{KeyID: k.ARN, SharedSecret: shared, SharedSecretCiphertextBlob: ciphertext, EncapsulationAlgorithm: q.EncapsulationAlgorithm}, err
	})
}

func checkDecapsulate(r *request, q *kms.DecapsulateRequest) error {
	if err := checkLength("sharedSecretCiphertextBlob", len(q.SharedSecretCiphertextBlob), maxCiphertext); err != nil {
		return err
	}
	return r.checkEncapsulation(q.KeyID, q.GrantTokens, q.EncapsulationAlgorithm, q.DryRun)
}

func decapsulate(r *request, q *kms.DecapsulateRequest) (any, error) {
	return compute(r, q.EncapsulationAlgorithm, encapsulation, func(k *catalog.Key, m *material.Key) (any, error) {
		shared, err := m.Decapsulate(q.SharedSecretCiphertextBlob)
		return &kms.DecapsulateAnswer{KeyID: k.ARN, SharedSecret: shared, EncapsulationAlgorithm: q.EncapsulationAlgorithm}, err
	})
}
