package awskms

import "github.com/lockstep-kms/lockstep/kms"

// The enumerations of the model that are a part of a type's words, or no type of package kms.
type (
	keyPairSpec        string
	wrappingKeySpec    string
	dryRunModifier     string
	includeKeyMaterial string
	keyEncryption      string
)

// recipient is RecipientInfo: delivery to an enclave.
type recipient struct {
	KeyEncryptionAlgorithm keyEncryption `json:"KeyEncryptionAlgorithm,omitempty"`
	AttestationDocument    []byte        `json:"AttestationDocument,omitempty" aws:"Attestation"`
}

// Input shapes of cryptography.
type (
	encryptInput struct {
		KeyID               string                  `json:"KeyId" aws:",required,anykey"`
		Plaintext           kms.Sensitive           `json:"Plaintext" aws:"Plaintext,required"`
		EncryptionContext   map[string]string       `json:"EncryptionContext"`
		GrantTokens         []string                `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		EncryptionAlgorithm kms.EncryptionAlgorithm `json:"EncryptionAlgorithm"`
		DryRun              bool                    `json:"DryRun"`
	}

	decryptInput struct {
		CiphertextBlob      []byte                  `json:"CiphertextBlob" aws:"Blob"`
		EncryptionContext   map[string]string       `json:"EncryptionContext"`
		GrantTokens         []string                `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		KeyID               string                  `json:"KeyId" aws:",anykey"`
		EncryptionAlgorithm kms.EncryptionAlgorithm `json:"EncryptionAlgorithm"`
		Recipient           *recipient              `json:"Recipient"`
		DryRun              bool                    `json:"DryRun"`
		DryRunModifiers     []dryRunModifier        `json:"DryRunModifiers"`
	}

	reEncryptInput struct {
		CiphertextBlob                 []byte                  `json:"CiphertextBlob" aws:"Blob"`
		SourceEncryptionContext        map[string]string       `json:"SourceEncryptionContext"`
		SourceKeyID                    string                  `json:"SourceKeyId" aws:",anykey"`
		DestinationKeyID               string                  `json:"DestinationKeyId" aws:",required,anykey"`
		DestinationEncryptionContext   map[string]string       `json:"DestinationEncryptionContext"`
		SourceEncryptionAlgorithm      kms.EncryptionAlgorithm `json:"SourceEncryptionAlgorithm"`
		DestinationEncryptionAlgorithm kms.EncryptionAlgorithm `json:"DestinationEncryptionAlgorithm"`
		GrantTokens                    []string                `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun                         bool                    `json:"DryRun"`
		DryRunModifiers                []dryRunModifier        `json:"DryRunModifiers"`
	}

	dataKeyInput struct {
		KeyID             string            `json:"KeyId" aws:",required,anykey"`
		EncryptionContext map[string]string `json:"EncryptionContext"`
		NumberOfBytes     *int              `json:"NumberOfBytes" aws:"NumberOfBytes"`
		KeySpec           kms.DataKeySpec   `json:"KeySpec"`
		GrantTokens       []string          `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		Recipient         *recipient        `json:"Recipient"`
		DryRun            bool              `json:"DryRun"`
	}

	sealedDataKeyInput struct {
		KeyID             string            `json:"KeyId" aws:",required,anykey"`
		EncryptionContext map[string]string `json:"EncryptionContext"`
		KeySpec           kms.DataKeySpec   `json:"KeySpec"`
		NumberOfBytes     *int              `json:"NumberOfBytes" aws:"NumberOfBytes"`
		GrantTokens       []string          `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun            bool              `json:"DryRun"`
	}

	keyPairInput struct {
		EncryptionContext map[string]string `json:"EncryptionContext"`
		KeyID             string            `json:"KeyId" aws:",required,anykey"`
		KeyPairSpec       keyPairSpec       `json:"KeyPairSpec" aws:",required"`
		GrantTokens       []string          `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		Recipient         *recipient        `json:"Recipient"`
		DryRun            bool              `json:"DryRun"`
	}

	sealedKeyPairInput struct {
		EncryptionContext map[string]string `json:"EncryptionContext"`
		KeyID             string            `json:"KeyId" aws:",required,anykey"`
		KeyPairSpec       keyPairSpec       `json:"KeyPairSpec" aws:",required"`
		GrantTokens       []string          `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun            bool              `json:"DryRun"`
	}

	randomInput struct {
		NumberOfBytes    *int       `json:"NumberOfBytes" aws:"NumberOfBytes"`
		CustomKeyStoreID string     `json:"CustomKeyStoreId" aws:"StoreID"`
		Recipient        *recipient `json:"Recipient"`
	}

	signInput struct {
		KeyID            string               `json:"KeyId" aws:",required,anykey"`
		Message          kms.Sensitive        `json:"Message" aws:"Plaintext,required"`
		MessageType      kms.MessageType      `json:"MessageType"`
		GrantTokens      []string             `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		SigningAlgorithm kms.SigningAlgorithm `json:"SigningAlgorithm" aws:",required"`
		DryRun           bool                 `json:"DryRun"`
	}

	verifyInput struct {
		KeyID            string               `json:"KeyId" aws:",required,anykey"`
		Message          kms.Sensitive        `json:"Message" aws:"Plaintext,required"`
		MessageType      kms.MessageType      `json:"MessageType"`
		Signature        []byte               `json:"Signature" aws:"Blob,required"`
		SigningAlgorithm kms.SigningAlgorithm `json:"SigningAlgorithm" aws:",required"`
		GrantTokens      []string             `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun           bool                 `json:"DryRun"`
	}

	macInput struct {
		Message      kms.Sensitive    `json:"Message" aws:"Plaintext,required"`
		KeyID        string           `json:"KeyId" aws:",required,anykey"`
		MacAlgorithm kms.MacAlgorithm `json:"MacAlgorithm" aws:",required"`
		GrantTokens  []string         `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun       bool             `json:"DryRun"`
	}

	verifyMacInput struct {
		Message      kms.Sensitive    `json:"Message" aws:"Plaintext,required"`
		KeyID        string           `json:"KeyId" aws:",required,anykey"`
		MacAlgorithm kms.MacAlgorithm `json:"MacAlgorithm" aws:",required"`
		Mac          []byte           `json:"Mac" aws:"Blob,required"`
		GrantTokens  []string         `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun       bool             `json:"DryRun"`
	}

	publicKeyInput struct {
		KeyID       string   `json:"KeyId" aws:",required,anykey"`
		GrantTokens []string `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
	}

	deriveInput struct {
		KeyID                 string                    `json:"KeyId" aws:",required,anykey"`
		KeyAgreementAlgorithm kms.KeyAgreementAlgorithm `json:"KeyAgreementAlgorithm" aws:",required"`
		PublicKey             []byte                    `json:"PublicKey" aws:"PublicKey,required"`
		GrantTokens           []string                  `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun                bool                      `json:"DryRun"`
		Recipient             *recipient                `json:"Recipient"`
	}

	encapsulateInput struct {
		EncapsulationAlgorithm kms.EncapsulationAlgorithm `json:"EncapsulationAlgorithm" aws:",required"`
		KeyID                  string                     `json:"KeyId" aws:",required,anykey"`
		GrantTokens            []string                   `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun                 bool                       `json:"DryRun"`
	}

	decapsulateInput struct {
		EncapsulationAlgorithm     kms.EncapsulationAlgorithm `json:"EncapsulationAlgorithm" aws:",required"`
		KeyID                      string                     `json:"KeyId" aws:",required,anykey"`
		SharedSecretCiphertextBlob []byte                     `json:"SharedSecretCiphertextBlob" aws:"Blob,required"`
		GrantTokens                []string                   `json:"GrantTokens" aws:"GrantTokens,each=GrantToken"`
		DryRun                     bool                       `json:"DryRun"`
	}
)

// Output shapes of cryptography. CiphertextForRecipient is never set: delivery to enclaves is refused.
type (
	encryptOutput struct {
		CiphertextBlob      []byte                  `json:"CiphertextBlob,omitempty"`
		KeyID               string                  `json:"KeyId,omitempty"`
		EncryptionAlgorithm kms.EncryptionAlgorithm `json:"EncryptionAlgorithm,omitempty"`
	}

	decryptOutput struct {
		KeyID                  string                  `json:"KeyId,omitempty"`
		Plaintext              kms.Sensitive           `json:"Plaintext,omitempty"`
		EncryptionAlgorithm    kms.EncryptionAlgorithm `json:"EncryptionAlgorithm,omitempty"`
		CiphertextForRecipient []byte                  `json:"CiphertextForRecipient,omitempty"`
		KeyMaterialID          string                  `json:"KeyMaterialId,omitempty"`
	}

	reEncryptOutput struct {
		CiphertextBlob                 []byte                  `json:"CiphertextBlob,omitempty"`
		SourceKeyID                    string                  `json:"SourceKeyId,omitempty"`
		KeyID                          string                  `json:"KeyId,omitempty"`
		SourceEncryptionAlgorithm      kms.EncryptionAlgorithm `json:"SourceEncryptionAlgorithm,omitempty"`
		DestinationEncryptionAlgorithm kms.EncryptionAlgorithm `json:"DestinationEncryptionAlgorithm,omitempty"`
		SourceKeyMaterialID            string                  `json:"SourceKeyMaterialId,omitempty"`
		DestinationKeyMaterialID       string                  `json:"DestinationKeyMaterialId,omitempty"`
	}

	dataKeyOutput struct {
		CiphertextBlob         []byte        `json:"CiphertextBlob,omitempty"`
		Plaintext              kms.Sensitive `json:"Plaintext,omitempty"`
		KeyID                  string        `json:"KeyId,omitempty"`
		CiphertextForRecipient []byte        `json:"CiphertextForRecipient,omitempty"`
		KeyMaterialID          string        `json:"KeyMaterialId,omitempty"`
	}

	sealedDataKeyOutput struct {
		CiphertextBlob []byte `json:"CiphertextBlob,omitempty"`
		KeyID          string `json:"KeyId,omitempty"`
		KeyMaterialID  string `json:"KeyMaterialId,omitempty"`
	}

	keyPairOutput struct {
		PrivateKeyCiphertextBlob []byte        `json:"PrivateKeyCiphertextBlob,omitempty"`
		PrivateKeyPlaintext      kms.Sensitive `json:"PrivateKeyPlaintext,omitempty"`
		PublicKey                []byte        `json:"PublicKey,omitempty"`
		KeyID                    string        `json:"KeyId,omitempty"`
		KeyPairSpec              kms.KeySpec   `json:"KeyPairSpec,omitempty"`
		CiphertextForRecipient   []byte        `json:"CiphertextForRecipient,omitempty"`
		KeyMaterialID            string        `json:"KeyMaterialId,omitempty"`
	}

	sealedKeyPairOutput struct {
		PrivateKeyCiphertextBlob []byte      `json:"PrivateKeyCiphertextBlob,omitempty"`
		PublicKey                []byte      `json:"PublicKey,omitempty"`
		KeyID                    string      `json:"KeyId,omitempty"`
		KeyPairSpec              kms.KeySpec `json:"KeyPairSpec,omitempty"`
		KeyMaterialID            string      `json:"KeyMaterialId,omitempty"`
	}

	randomOutput struct {
		Plaintext              kms.Sensitive `json:"Plaintext,omitempty"`
		CiphertextForRecipient []byte        `json:"CiphertextForRecipient,omitempty"`
	}

	signOutput struct {
		KeyID            string               `json:"KeyId,omitempty"`
		Signature        []byte               `json:"Signature,omitempty"`
		SigningAlgorithm kms.SigningAlgorithm `json:"SigningAlgorithm,omitempty"`
	}

	verifyOutput struct {
		KeyID            string               `json:"KeyId,omitempty"`
		SignatureValid   bool                 `json:"SignatureValid"`
		SigningAlgorithm kms.SigningAlgorithm `json:"SigningAlgorithm,omitempty"`
	}

	macOutput struct {
		Mac          []byte           `json:"Mac,omitempty"`
		MacAlgorithm kms.MacAlgorithm `json:"MacAlgorithm,omitempty"`
		KeyID        string           `json:"KeyId,omitempty"`
	}

	verifyMacOutput struct {
		KeyID        string           `json:"KeyId,omitempty"`
		MacValid     bool             `json:"MacValid"`
		MacAlgorithm kms.MacAlgorithm `json:"MacAlgorithm,omitempty"`
	}

	publicKeyOutput struct {
		KeyID                   string                       `json:"KeyId,omitempty"`
		PublicKey               []byte                       `json:"PublicKey,omitempty"`
		CustomerMasterKeySpec   kms.KeySpec                  `json:"CustomerMasterKeySpec,omitempty"`
		KeySpec                 kms.KeySpec                  `json:"KeySpec,omitempty"`
		KeyUsage                kms.KeyUsage                 `json:"KeyUsage,omitempty"`
		EncryptionAlgorithms    []kms.EncryptionAlgorithm    `json:"EncryptionAlgorithms,omitempty"`
		SigningAlgorithms       []kms.SigningAlgorithm       `json:"SigningAlgorithms,omitempty"`
		KeyAgreementAlgorithms  []kms.KeyAgreementAlgorithm  `json:"KeyAgreementAlgorithms,omitempty"`
		EncapsulationAlgorithms []kms.EncapsulationAlgorithm `json:"EncapsulationAlgorithms,omitempty"`
	}

	deriveOutput struct {
		KeyID                  string                    `json:"KeyId,omitempty"`
		SharedSecret           kms.Sensitive             `json:"SharedSecret,omitempty"`
		CiphertextForRecipient []byte                    `json:"CiphertextForRecipient,omitempty"`
		KeyAgreementAlgorithm  kms.KeyAgreementAlgorithm `json:"KeyAgreementAlgorithm,omitempty"`
		KeyOrigin              kms.Origin                `json:"KeyOrigin,omitempty"`
	}

	encapsulateOutput struct {
		EncapsulationAlgorithm     kms.EncapsulationAlgorithm `json:"EncapsulationAlgorithm,omitempty"`
		KeyID                      string                     `json:"KeyId,omitempty"`
		SharedSecret               kms.Sensitive              `json:"SharedSecret,omitempty"`
		SharedSecretCiphertextBlob []byte                     `json:"SharedSecretCiphertextBlob,omitempty"`
	}

	decapsulateOutput struct {
		EncapsulationAlgorithm kms.EncapsulationAlgorithm `json:"EncapsulationAlgorithm,omitempty"`
		KeyID                  string                     `json:"KeyId,omitempty"`
		SharedSecret           kms.Sensitive              `json:"SharedSecret,omitempty"`
	}
)
