package kms

// Recipient asks that a plaintext be encrypted to an enclave (CMS EnvelopedData). No field of it is read:
// it is known so that it can be refused.
type Recipient map[string]any

// Requests and answers of cryptography. KeyID in answers is the key's ARN.
type (
	// EncryptRequest asks for the encryption of up to 4096 bytes.
	EncryptRequest struct {
		KeyID               string              `json:"-" path:"key"`
		Plaintext           Sensitive           `json:"plaintext"`
		EncryptionContext   map[string]string   `json:"encryption_context,omitempty"`
		EncryptionAlgorithm EncryptionAlgorithm `json:"encryption_algorithm,omitempty"`
		GrantTokens         []string            `json:"grant_tokens,omitempty"`
		DryRun              bool                `json:"dry_run,omitempty"`
	}

	// EncryptAnswer carries the ciphertext.
	EncryptAnswer struct {
		CiphertextBlob      []byte              `json:"ciphertext"`
		KeyID               string              `json:"key_id"`
		EncryptionAlgorithm EncryptionAlgorithm `json:"encryption_algorithm"`
	}

	// DecryptRequest asks for the plaintext of up to 6144 bytes of ciphertext. KeyID may be empty for
	// ciphertexts of symmetric keys.
	DecryptRequest struct {
		KeyID               string              `json:"-" path:"key"`
		CiphertextBlob      []byte              `json:"ciphertext"`
		EncryptionContext   map[string]string   `json:"encryption_context,omitempty"`
		EncryptionAlgorithm EncryptionAlgorithm `json:"encryption_algorithm,omitempty"`
		GrantTokens         []string            `json:"grant_tokens,omitempty"`
		DryRun              bool                `json:"dry_run,omitempty"`
		DryRunModifiers     []string            `json:"dry_run_modifiers,omitempty"` // IGNORE_CIPHERTEXT
		Recipient           Recipient           `json:"recipient,omitempty"`
	}

	// DecryptAnswer carries the plaintext. KeyID is the ARN of the key that decrypted.
	DecryptAnswer struct {
		Plaintext           Sensitive           `json:"plaintext"`
		KeyID               string              `json:"key_id"`
		EncryptionAlgorithm EncryptionAlgorithm `json:"encryption_algorithm"`
		KeyMaterialID       string              `json:"key_material_id,omitempty"`
	}

	// ReEncryptRequest asks for decryption and encryption without the plaintext leaving the node.
	// KeyID is the destination key; SourceKeyID may be empty for ciphertexts of symmetric keys.
	ReEncryptRequest struct {
		KeyID                          string              `json:"-" path:"key"`
		CiphertextBlob                 []byte              `json:"ciphertext"`
		SourceKeyID                    string              `json:"source_key_id,omitempty"`
		SourceEncryptionContext        map[string]string   `json:"source_encryption_context,omitempty"`
		SourceEncryptionAlgorithm      EncryptionAlgorithm `json:"source_encryption_algorithm,omitempty"`
		DestinationEncryptionContext   map[string]string   `json:"destination_encryption_context,omitempty"`
		DestinationEncryptionAlgorithm EncryptionAlgorithm `json:"destination_encryption_algorithm,omitempty"`
		GrantTokens                    []string            `json:"grant_tokens,omitempty"`
		DryRun                         bool                `json:"dry_run,omitempty"`
		DryRunModifiers                []string            `json:"dry_run_modifiers,omitempty"`
	}

	// ReEncryptAnswer carries the new ciphertext. KeyID and SourceKeyID are ARNs.
	ReEncryptAnswer struct {
		CiphertextBlob                 []byte              `json:"ciphertext"`
		KeyID                          string              `json:"key_id"`
		SourceKeyID                    string              `json:"source_key_id"`
		SourceEncryptionAlgorithm      EncryptionAlgorithm `json:"source_encryption_algorithm"`
		DestinationEncryptionAlgorithm EncryptionAlgorithm `json:"destination_encryption_algorithm"`
		SourceKeyMaterialID            string              `json:"source_key_material_id,omitempty"`
		DestinationKeyMaterialID       string              `json:"destination_key_material_id,omitempty"`
	}

	// GenerateDataKeyRequest asks for a random data key, by spec or by length (1-1024 bytes), never
	// both. On the REST door WithoutPlaintext turns it into GenerateDataKeyWithoutPlaintext.
	GenerateDataKeyRequest struct {
		KeyID             string            `json:"-" path:"key"`
		KeySpec           DataKeySpec       `json:"key_spec,omitempty"`
		NumberOfBytes     *int              `json:"number_of_bytes,omitempty"`
		EncryptionContext map[string]string `json:"encryption_context,omitempty"`
		WithoutPlaintext  bool              `json:"without_plaintext,omitempty"`
		GrantTokens       []string          `json:"grant_tokens,omitempty"`
		DryRun            bool              `json:"dry_run,omitempty"`
		Recipient         Recipient         `json:"recipient,omitempty"`
	}

	// GenerateDataKeyAnswer carries the data key and its ciphertext.
	GenerateDataKeyAnswer struct {
		Plaintext      Sensitive `json:"plaintext,omitempty"`
		CiphertextBlob []byte    `json:"ciphertext"`
		KeyID          string    `json:"key_id"`
		KeyMaterialID  string    `json:"key_material_id,omitempty"`
	}

	// GenerateDataKeyPairRequest asks for a random key pair whose private key is encrypted under a symmetric
	// key. On the REST door WithoutPlaintext turns it into GenerateDataKeyPairWithoutPlaintext.
	GenerateDataKeyPairRequest struct {
		KeyID             string            `json:"-" path:"key"`
		KeyPairSpec       KeySpec           `json:"key_pair_spec"`
		EncryptionContext map[string]string `json:"encryption_context,omitempty"`
		WithoutPlaintext  bool              `json:"without_plaintext,omitempty"`
		GrantTokens       []string          `json:"grant_tokens,omitempty"`
		DryRun            bool              `json:"dry_run,omitempty"`
		Recipient         Recipient         `json:"recipient,omitempty"`
	}

	// GenerateDataKeyPairAnswer carries a key pair: the private key as PKCS#8, the public one as SPKI, both DER.
	GenerateDataKeyPairAnswer struct {
		PrivateKeyPlaintext      Sensitive `json:"private_key_plaintext,omitempty"`
		PrivateKeyCiphertextBlob []byte    `json:"private_key_ciphertext"`
		PublicKey                []byte    `json:"public_key"`
		KeyPairSpec              KeySpec   `json:"key_pair_spec"`
		KeyID                    string    `json:"key_id"`
		KeyMaterialID            string    `json:"key_material_id,omitempty"`
	}

	// GenerateRandomRequest asks for 1-1024 random bytes.
	GenerateRandomRequest struct {
		NumberOfBytes    *int      `json:"number_of_bytes"`
		CustomKeyStoreID string    `json:"custom_key_store_id,omitempty"` // refused: see messages_stores.go
		Recipient        Recipient `json:"recipient,omitempty"`
	}

	// GenerateRandomAnswer carries random bytes.
	GenerateRandomAnswer struct {
		Plaintext Sensitive `json:"plaintext"`
	}

	// SignRequest asks for a signature over a message of up to 4096 bytes, its digest, or its external mu.
	SignRequest struct {
		KeyID            string           `json:"-" path:"key"`
		Message          Sensitive        `json:"message"`
		MessageType      MessageType      `json:"message_type,omitempty"` // default RAW
		SigningAlgorithm SigningAlgorithm `json:"signing_algorithm"`
		GrantTokens      []string         `json:"grant_tokens,omitempty"`
		DryRun           bool             `json:"dry_run,omitempty"`
	}

	// SignAnswer carries the signature: PKCS #1 (RFC 8017), DER (RFC 3279) for ECDSA, as FIPS 204 and RFC 8032
	// have it for ML-DSA and Ed25519.
	SignAnswer struct {
		KeyID            string           `json:"key_id"`
		Signature        []byte           `json:"signature"`
		SigningAlgorithm SigningAlgorithm `json:"signing_algorithm"`
	}

	// VerifyRequest asks whether a signature is right. One that is not is CodeInvalidSignature.
	VerifyRequest struct {
		KeyID            string           `json:"-" path:"key"`
		Message          Sensitive        `json:"message"`
		MessageType      MessageType      `json:"message_type,omitempty"`
		Signature        []byte           `json:"signature"`
		SigningAlgorithm SigningAlgorithm `json:"signing_algorithm"`
		GrantTokens      []string         `json:"grant_tokens,omitempty"`
		DryRun           bool             `json:"dry_run,omitempty"`
	}

	// VerifyAnswer says that a signature is right; there is no answer for one that is not.
	VerifyAnswer struct {
		KeyID            string           `json:"key_id"`
		SignatureValid   bool             `json:"signature_valid"`
		SigningAlgorithm SigningAlgorithm `json:"signing_algorithm"`
	}

	// GenerateMacRequest asks for the HMAC of a message of up to 4096 bytes.
	GenerateMacRequest struct {
		KeyID        string       `json:"-" path:"key"`
		Message      Sensitive    `json:"message"`
		MacAlgorithm MacAlgorithm `json:"mac_algorithm"`
		GrantTokens  []string     `json:"grant_tokens,omitempty"`
		DryRun       bool         `json:"dry_run,omitempty"`
	}

	// GenerateMacAnswer carries the HMAC.
	GenerateMacAnswer struct {
		KeyID        string       `json:"key_id"`
		Mac          []byte       `json:"mac"`
		MacAlgorithm MacAlgorithm `json:"mac_algorithm"`
	}

	// VerifyMacRequest asks whether an HMAC is right. One that is not is CodeInvalidMac.
	VerifyMacRequest struct {
		KeyID        string       `json:"-" path:"key"`
		Message      Sensitive    `json:"message"`
		Mac          []byte       `json:"mac"`
		MacAlgorithm MacAlgorithm `json:"mac_algorithm"`
		GrantTokens  []string     `json:"grant_tokens,omitempty"`
		DryRun       bool         `json:"dry_run,omitempty"`
	}

	// VerifyMacAnswer says that an HMAC is right; there is no answer for one that is not.
	VerifyMacAnswer struct {
		KeyID        string       `json:"key_id"`
		MacValid     bool         `json:"mac_valid"`
		MacAlgorithm MacAlgorithm `json:"mac_algorithm"`
	}

	// GetPublicKeyRequest asks for the public key of an asymmetric key.
	GetPublicKeyRequest struct {
		KeyID       string   `json:"-" path:"key"`
		GrantTokens []string `json:"-" query:"grant_tokens"` // comma-separated
	}

	// GetPublicKeyAnswer carries the public key, SubjectPublicKeyInfo in DER (RFC 5280).
	GetPublicKeyAnswer struct {
		KeyID                   string                   `json:"key_id"`
		PublicKey               []byte                   `json:"public_key"`
		KeySpec                 KeySpec                  `json:"key_spec"`
		KeyUsage                KeyUsage                 `json:"key_usage"`
		EncryptionAlgorithms    []EncryptionAlgorithm    `json:"encryption_algorithms,omitempty"`
		SigningAlgorithms       []SigningAlgorithm       `json:"signing_algorithms,omitempty"`
		KeyAgreementAlgorithms  []KeyAgreementAlgorithm  `json:"key_agreement_algorithms,omitempty"`
		EncapsulationAlgorithms []EncapsulationAlgorithm `json:"encapsulation_algorithms,omitempty"`
	}

	// DeriveSharedSecretRequest asks for the ECDH secret with another's public key, SPKI in DER.
	DeriveSharedSecretRequest struct {
		KeyID                 string                `json:"-" path:"key"`
		PublicKey             []byte                `json:"public_key"`
		KeyAgreementAlgorithm KeyAgreementAlgorithm `json:"key_agreement_algorithm"`
		GrantTokens           []string              `json:"grant_tokens,omitempty"`
		DryRun                bool                  `json:"dry_run,omitempty"`
		Recipient             Recipient             `json:"recipient,omitempty"`
	}

	// DeriveSharedSecretAnswer carries the raw secret: the x-coordinate (SP 800-56A).
	DeriveSharedSecretAnswer struct {
		KeyID                 string                `json:"key_id"`
		SharedSecret          Sensitive             `json:"shared_secret"`
		KeyAgreementAlgorithm KeyAgreementAlgorithm `json:"key_agreement_algorithm"`
		KeyOrigin             Origin                `json:"key_origin"`
	}

	// EncapsulateRequest asks for a shared secret and its ciphertext (FIPS 203).
	EncapsulateRequest struct {
		KeyID                  string                 `json:"-" path:"key"`
		EncapsulationAlgorithm EncapsulationAlgorithm `json:"encapsulation_algorithm"`
		GrantTokens            []string               `json:"grant_tokens,omitempty"`
		DryRun                 bool                   `json:"dry_run,omitempty"`
	}

	// EncapsulateAnswer carries a shared secret of 32 bytes and its ciphertext.
	EncapsulateAnswer struct {
		KeyID                      string                 `json:"key_id"`
		SharedSecret               Sensitive              `json:"shared_secret"`
		SharedSecretCiphertextBlob []byte                 `json:"shared_secret_ciphertext"`
		EncapsulationAlgorithm     EncapsulationAlgorithm `json:"encapsulation_algorithm"`
	}

	// DecapsulateRequest asks for the shared secret of a ciphertext.
	DecapsulateRequest struct {
		KeyID                      string                 `json:"-" path:"key"`
		SharedSecretCiphertextBlob []byte                 `json:"shared_secret_ciphertext"`
		EncapsulationAlgorithm     EncapsulationAlgorithm `json:"encapsulation_algorithm"`
		GrantTokens                []string               `json:"grant_tokens,omitempty"`
		DryRun                     bool                   `json:"dry_run,omitempty"`
	}

	// DecapsulateAnswer carries the shared secret, 32 bytes.
	DecapsulateAnswer struct {
		KeyID                  string                 `json:"key_id"`
		SharedSecret           Sensitive              `json:"shared_secret"`
		EncapsulationAlgorithm EncapsulationAlgorithm `json:"encapsulation_algorithm"`
	}
)
