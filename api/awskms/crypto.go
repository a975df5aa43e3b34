package awskms

import "github.com/lockstep-kms/lockstep/kms"

// asked passes delivery to an enclave on to where it is refused.
func (r *recipient) asked() kms.Recipient {
	if r == nil {
		return nil
	}
	return kms.Recipient{}
}

func cryptoActions() []*action {
	return []*action{
		bind(kms.OpEncrypt,
			func(in *encryptInput) (*kms.EncryptRequest, error) {
				return &kms.EncryptRequest{KeyID: in.KeyID, Plaintext: in.Plaintext, EncryptionContext: in.EncryptionContext,
					EncryptionAlgorithm: in.EncryptionAlgorithm, GrantTokens: in.GrantTokens, DryRun: in.DryRun}, nil
			},
			func(_ *kms.EncryptRequest, a *kms.EncryptAnswer) *encryptOutput { return (*encryptOutput)(a) }),
		bind(kms.OpDecrypt,
			func(in *decryptInput) (*kms.DecryptRequest, error) {
				return &kms.DecryptRequest{KeyID: in.KeyID, CiphertextBlob: in.CiphertextBlob, EncryptionContext: in.EncryptionContext,
					EncryptionAlgorithm: in.EncryptionAlgorithm, GrantTokens: in.GrantTokens, DryRun: in.DryRun,
					DryRunModifiers: words(in.DryRunModifiers), Recipient: in.Recipient.asked()}, nil
			},
			func(_ *kms.DecryptRequest, a *kms.DecryptAnswer) *decryptOutput {
				return &decryptOutput{KeyID: a.KeyID, Plaintext: a.Plaintext, EncryptionAlgorithm: a.EncryptionAlgorithm, KeyMaterialID: a.KeyMaterialID}
			}),
		bind(kms.OpReEncrypt,
			func(in *reEncryptInput) (*kms.ReEncryptRequest, error) {
				return &kms.ReEncryptRequest{KeyID: in.DestinationKeyID, CiphertextBlob: in.CiphertextBlob, SourceKeyID: in.SourceKeyID,
					SourceEncryptionContext: in.SourceEncryptionContext, SourceEncryptionAlgorithm: in.SourceEncryptionAlgorithm,
					DestinationEncryptionContext: in.DestinationEncryptionContext, DestinationEncryptionAlgorithm: in.DestinationEncryptionAlgorithm,
					GrantTokens: in.GrantTokens, DryRun: in.DryRun, DryRunModifiers: words(in.DryRunModifiers)}, nil
			},
			func(_ *kms.ReEncryptRequest, a *kms.ReEncryptAnswer) *reEncryptOutput {
				return &reEncryptOutput{CiphertextBlob: a.CiphertextBlob, SourceKeyID: a.SourceKeyID, KeyID: a.KeyID,
					SourceEncryptionAlgorithm: a.SourceEncryptionAlgorithm, DestinationEncryptionAlgorithm: a.DestinationEncryptionAlgorithm,
					SourceKeyMaterialID: a.SourceKeyMaterialID, DestinationKeyMaterialID: a.DestinationKeyMaterialID}
			}),
		bind(kms.OpGenerateDataKey,
			func(in *dataKeyInput) (*kms.GenerateDataKeyRequest, error) {
				return &kms.GenerateDataKeyRequest{KeyID: in.KeyID, KeySpec: in.KeySpec, NumberOfBytes: in.NumberOfBytes,
					EncryptionContext: in.EncryptionContext, GrantTokens: in.GrantTokens, DryRun: in.DryRun, Recipient: in.Recipient.asked()}, nil
			},
			func(_ *kms.GenerateDataKeyRequest, a *kms.GenerateDataKeyAnswer) *dataKeyOutput {
				return &dataKeyOutput{CiphertextBlob: a.CiphertextBlob, Plaintext: a.Plaintext, KeyID: a.KeyID, KeyMaterialID: a.KeyMaterialID}
			}),
		bind(kms.OpGenerateDataKeyWithoutPlaintext,
			func(in *sealedDataKeyInput) (*kms.GenerateDataKeyRequest, error) {
				return &kms.GenerateDataKeyRequest{KeyID: in.KeyID, KeySpec: in.KeySpec, NumberOfBytes: in.NumberOfBytes,
					EncryptionContext: in.EncryptionContext, GrantTokens: in.GrantTokens, DryRun: in.DryRun, WithoutPlaintext: true}, nil
			},
			func(_ *kms.GenerateDataKeyRequest, a *kms.GenerateDataKeyAnswer) *sealedDataKeyOutput {
				return &sealedDataKeyOutput{CiphertextBlob: a.CiphertextBlob, KeyID: a.KeyID, KeyMaterialID: a.KeyMaterialID}
			}),
		bind(kms.OpGenerateDataKeyPair,
			func(in *keyPairInput) (*kms.GenerateDataKeyPairRequest, error) {
				return &kms.GenerateDataKeyPairRequest{KeyID: in.KeyID, KeyPairSpec: kms.KeySpec(in.KeyPairSpec),
					EncryptionContext: in.EncryptionContext, GrantTokens: in.GrantTokens, DryRun: in.DryRun, Recipient: in.Recipient.asked()}, nil
			},
			func(_ *kms.GenerateDataKeyPairRequest, a *kms.GenerateDataKeyPairAnswer) *keyPairOutput {
				return &keyPairOutput{PrivateKeyCiphertextBlob: a.PrivateKeyCiphertextBlob, PrivateKeyPlaintext: a.PrivateKeyPlaintext,
					PublicKey: a.PublicKey, KeyID: a.KeyID, KeyPairSpec: a.KeyPairSpec, KeyMaterialID: a.KeyMaterialID}
			}),
		bind(kms.OpGenerateDataKeyPairWithoutPlaintext,
			func(in *sealedKeyPairInput) (*kms.GenerateDataKeyPairRequest, error) {
				return &kms.GenerateDataKeyPairRequest{KeyID: in.KeyID, KeyPairSpec: kms.KeySpec(in.KeyPairSpec),
					EncryptionContext: in.EncryptionContext, GrantTokens: in.GrantTokens, DryRun: in.DryRun, WithoutPlaintext: true}, nil
			},
			func(_ *kms.GenerateDataKeyPairRequest, a *kms.GenerateDataKeyPairAnswer) *sealedKeyPairOutput {
				return &sealedKeyPairOutput{PrivateKeyCiphertextBlob: a.PrivateKeyCiphertextBlob, PublicKey: a.PublicKey, KeyID: a.KeyID,
					KeyPairSpec: a.KeyPairSpec, KeyMaterialID: a.KeyMaterialID}
			}),
		bind(kms.OpGenerateRandom,
			func(in *randomInput) (*kms.GenerateRandomRequest, error) {
				return &kms.GenerateRandomRequest{NumberOfBytes: in.NumberOfBytes, CustomKeyStoreID: in.CustomKeyStoreID, Recipient: in.Recipient.asked()}, nil
			},
			func(_ *kms.GenerateRandomRequest, a *kms.GenerateRandomAnswer) *randomOutput {
				return &randomOutput{Plaintext: a.Plaintext}
			}),
		bind(kms.OpSign,
			func(in *signInput) (*kms.SignRequest, error) {
				return &kms.SignRequest{KeyID: in.KeyID, Message: in.Message, MessageType: in.MessageType,
					SigningAlgorithm: in.SigningAlgorithm, GrantTokens: in.GrantTokens, DryRun: in.DryRun}, nil
			},
			func(_ *kms.SignRequest, a *kms.SignAnswer) *signOutput { return (*signOutput)(a) }),
		bind(kms.OpVerify,
			func(in *verifyInput) (*kms.VerifyRequest, error) {
				return &kms.VerifyRequest{KeyID: in.KeyID, Message: in.Message, MessageType: in.MessageType, Signature: in.Signature,
					SigningAlgorithm: in.SigningAlgorithm, GrantTokens: in.GrantTokens, DryRun: in.DryRun}, nil
			},
			func(_ *kms.VerifyRequest, a *kms.VerifyAnswer) *verifyOutput { return (*verifyOutput)(a) }),
		bind(kms.OpGenerateMac,
			func(in *macInput) (*kms.GenerateMacRequest, error) {
				return &kms.GenerateMacRequest{KeyID: in.KeyID, Message: in.Message, MacAlgorithm: in.MacAlgorithm,
					GrantTokens: in.GrantTokens, DryRun: in.DryRun}, nil
			},
			func(_ *kms.GenerateMacRequest, a *kms.GenerateMacAnswer) *macOutput {
				return &macOutput{Mac: a.Mac, MacAlgorithm: a.MacAlgorithm, KeyID: a.KeyID}
			}),
		bind(kms.OpVerifyMac,
			func(in *verifyMacInput) (*kms.VerifyMacRequest, error) {
				return &kms.VerifyMacRequest{KeyID: in.KeyID, Message: in.Message, Mac: in.Mac, MacAlgorithm: in.MacAlgorithm,
					GrantTokens: in.GrantTokens, DryRun: in.DryRun}, nil
			},
			func(_ *kms.VerifyMacRequest, a *kms.VerifyMacAnswer) *verifyMacOutput { return (*verifyMacOutput)(a) }),
		bind(kms.OpGetPublicKey,
			func(in *publicKeyInput) (*kms.GetPublicKeyRequest, error) {
				return &kms.GetPublicKeyRequest{KeyID: in.KeyID, GrantTokens: in.GrantTokens}, nil
			},
			func(_ *kms.GetPublicKeyRequest, a *kms.GetPublicKeyAnswer) *publicKeyOutput {
				return &publicKeyOutput{KeyID: a.KeyID, PublicKey: a.PublicKey, CustomerMasterKeySpec: masterKeySpec(a.KeySpec),
					KeySpec: a.KeySpec, KeyUsage: a.KeyUsage, EncryptionAlgorithms: a.EncryptionAlgorithms, SigningAlgorithms: a.SigningAlgorithms,
					KeyAgreementAlgorithms: a.KeyAgreementAlgorithms, EncapsulationAlgorithms: a.EncapsulationAlgorithms}
			}),
		bind(kms.OpDeriveSharedSecret,
			func(in *deriveInput) (*kms.DeriveSharedSecretRequest, error) {
				return &kms.DeriveSharedSecretRequest{KeyID: in.KeyID, PublicKey: in.PublicKey, KeyAgreementAlgorithm: in.KeyAgreementAlgorithm,
					GrantTokens: in.GrantTokens, DryRun: in.DryRun, Recipient: in.Recipient.asked()}, nil
			},
			func(_ *kms.DeriveSharedSecretRequest, a *kms.DeriveSharedSecretAnswer) *deriveOutput {
				return &deriveOutput{KeyID: a.KeyID, SharedSecret: a.SharedSecret, KeyAgreementAlgorithm: a.KeyAgreementAlgorithm, KeyOrigin: a.KeyOrigin}
			}),
		bind(kms.OpEncapsulate,
			func(in *encapsulateInput) (*kms.EncapsulateRequest, error) {
				return &kms.EncapsulateRequest{KeyID: in.KeyID, EncapsulationAlgorithm: in.EncapsulationAlgorithm,
					GrantTokens: in.GrantTokens, DryRun: in.DryRun}, nil
			},
			func(_ *kms.EncapsulateRequest, a *kms.EncapsulateAnswer) *encapsulateOutput {
				return &encapsulateOutput{EncapsulationAlgorithm: a.EncapsulationAlgorithm, KeyID: a.KeyID, SharedSecret: a.SharedSecret,
					SharedSecretCiphertextBlob: a.SharedSecretCiphertextBlob}
			}),
		bind(kms.OpDecapsulate,
			func(in *decapsulateInput) (*kms.DecapsulateRequest, error) {
				return &kms.DecapsulateRequest{KeyID: in.KeyID, SharedSecretCiphertextBlob: in.SharedSecretCiphertextBlob,
					EncapsulationAlgorithm: in.EncapsulationAlgorithm, GrantTokens: in.GrantTokens, DryRun: in.DryRun}, nil
			},
			func(_ *kms.DecapsulateRequest, a *kms.DecapsulateAnswer) *decapsulateOutput {
				return &decapsulateOutput{EncapsulationAlgorithm: a.EncapsulationAlgorithm, KeyID: a.KeyID, SharedSecret: a.SharedSecret}
			}),
	}
}
