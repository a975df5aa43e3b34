package kms

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Sensitive is plaintext or a secret inside a request or answer. It is base64 in JSON and redacted
// everywhere else. What fmt never asks a value for shows it nevertheless: %w where no error is wrapped
// (vet refuses that) and a field that is not exported.
type Sensitive []byte

const redacted = "[redacted]"

// String implements fmt.Stringer without the content.
func (Sensitive) String() string { return redacted }

// GoString implements fmt.GoStringer without the content.
func (Sensitive) GoString() string { return redacted }

// Format implements fmt.Formatter without the content: for every verb, the numeric ones too.
func (Sensitive) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer without the content.
func (Sensitive) LogValue() slog.Value { return slog.StringValue(redacted) }

// SensitiveString is a secret that is text, such as a secret access key. It is redacted as Sensitive is;
// %p, which vet refuses too, shows it as well.
type SensitiveString string

// String implements fmt.Stringer without the content.
func (SensitiveString) String() string { return redacted }

// GoString implements fmt.GoStringer without the content.
func (SensitiveString) GoString() string { return redacted }

// Format implements fmt.Formatter without the content: for every verb, the numeric ones too.
func (SensitiveString) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer without the content.
func (SensitiveString) LogValue() slog.Value { return slog.StringValue(redacted) }

// Requests and answers of the operations. The json names are those of the REST door; a field
// tagged `path` is filled from the path, one tagged `query` from the query string, and neither is
// accepted in a body. Doors with other spellings derive them from the Go names, which are AWS's.
type (
	// CreateKeyRequest asks for a new key. Empty fields mean AWS's defaults.
	CreateKeyRequest struct {
		KeySpec     KeySpec           `json:"key_spec,omitempty"`
		KeyUsage    KeyUsage          `json:"key_usage,omitempty"`
		Description string            `json:"description,omitempty"`
		Origin      Origin            `json:"origin,omitempty"`
		MultiRegion bool              `json:"multi_region,omitempty"`
		Tags        map[string]string `json:"tags,omitempty"`
		Policy      map[string]any    `json:"policy,omitempty"` // a policy document
	}

	// KeyRequest names one key by id, key ARN, alias name or alias ARN.
	KeyRequest struct {
		KeyID string `json:"-" path:"key"`
	}

	// KeyMetadata describes a key; times are UTC.
	KeyMetadata struct {
		KeyID                string                `json:"key_id"`
		ARN                  string                `json:"arn"`
		AccountID            string                `json:"account_id"`
		Region               string                `json:"region"`
		KeyState             KeyState              `json:"key_state"`
		Enabled              bool                  `json:"enabled"`
		KeySpec              KeySpec               `json:"key_spec"`
		KeyUsage             KeyUsage              `json:"key_usage"`
		Origin               Origin                `json:"origin"`
		KeyManager           string                `json:"key_manager"` // CUSTOMER
		Description          string                `json:"description"`
		MultiRegion          bool                  `json:"multi_region"`
		EncryptionAlgorithms []EncryptionAlgorithm `json:"encryption_algorithms,omitempty"`
		CurrentKeyMaterialID string                `json:"current_key_material_id,omitempty"` // 64 hex digits
		CreatedAt            time.Time             `json:"created_at"`
	}

	// KeyAnswer is the answer of what creates, reads or changes one key.
	KeyAnswer struct {
		Key KeyMetadata `json:"key"`
	}

	// ListRequest pages through a listing. Limit 0 means the default.
	ListRequest struct {
		Limit  int    `json:"-" query:"limit"`
		Marker string `json:"-" query:"marker"`
	}

	// KeyEntry is one key of a listing.
	KeyEntry struct {
		KeyID string `json:"key_id"`
		ARN   string `json:"arn"`
	}

	// ListKeysAnswer is one page of keys; NextMarker is empty on the last one.
	ListKeysAnswer struct {
		Keys       []KeyEntry `json:"keys"`
		NextMarker string     `json:"next_marker,omitempty"`
	}

	// GetKeyPolicyAnswer carries the policy document.
	GetKeyPolicyAnswer struct {
		KeyID      string `json:"key_id"` // ARN
		PolicyName string `json:"policy_name"`
		Policy     string `json:"policy"` // JSON text
	}

	// EncryptRequest asks for the encryption of up to 4096 bytes.
	EncryptRequest struct {
		KeyID               string              `json:"-" path:"key"`
		Plaintext           Sensitive           `json:"plaintext"`
		EncryptionContext   map[string]string   `json:"encryption_context,omitempty"`
		EncryptionAlgorithm EncryptionAlgorithm `json:"encryption_algorithm,omitempty"`
	}

	// EncryptAnswer carries the ciphertext. KeyID is the key's ARN.
	EncryptAnswer struct {
		CiphertextBlob      []byte              `json:"ciphertext"`
		KeyID               string              `json:"key_id"`
		EncryptionAlgorithm EncryptionAlgorithm `json:"encryption_algorithm"`
	}

	// DecryptRequest asks for the plaintext of up to 6144 bytes of ciphertext. KeyID may be empty.
	DecryptRequest struct {
		KeyID               string              `json:"-" path:"key"`
		CiphertextBlob      []byte              `json:"ciphertext"`
		EncryptionContext   map[string]string   `json:"encryption_context,omitempty"`
		EncryptionAlgorithm EncryptionAlgorithm `json:"encryption_algorithm,omitempty"`
	}

	// DecryptAnswer carries the plaintext. KeyID is the ARN of the key that decrypted.
	DecryptAnswer struct {
		Plaintext           Sensitive           `json:"plaintext"`
		KeyID               string              `json:"key_id"`
		EncryptionAlgorithm EncryptionAlgorithm `json:"encryption_algorithm"`
		KeyMaterialID       string              `json:"key_material_id,omitempty"`
	}

	// ReEncryptRequest asks for decryption and encryption without the plaintext leaving the node.
	// KeyID is the destination key; SourceKeyID may be empty.
	ReEncryptRequest struct {
		KeyID                          string              `json:"-" path:"key"`
		CiphertextBlob                 []byte              `json:"ciphertext"`
		SourceKeyID                    string              `json:"source_key_id,omitempty"`
		SourceEncryptionContext        map[string]string   `json:"source_encryption_context,omitempty"`
		SourceEncryptionAlgorithm      EncryptionAlgorithm `json:"source_encryption_algorithm,omitempty"`
		DestinationEncryptionContext   map[string]string   `json:"destination_encryption_context,omitempty"`
		DestinationEncryptionAlgorithm EncryptionAlgorithm `json:"destination_encryption_algorithm,omitempty"`
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
	}

	// GenerateDataKeyAnswer carries the data key and its ciphertext. KeyID is the key's ARN.
	GenerateDataKeyAnswer struct {
		Plaintext      Sensitive `json:"plaintext,omitempty"`
		CiphertextBlob []byte    `json:"ciphertext"`
		KeyID          string    `json:"key_id"`
		KeyMaterialID  string    `json:"key_material_id,omitempty"`
	}

	// GenerateRandomRequest asks for 1-1024 random bytes.
	GenerateRandomRequest struct {
		NumberOfBytes *int `json:"number_of_bytes"`
	}

	// GenerateRandomAnswer carries random bytes.
	GenerateRandomAnswer struct {
		Plaintext Sensitive `json:"plaintext"`
	}

	// CreateAliasRequest names a key. AliasName has the prefix "alias/".
	CreateAliasRequest struct {
		AliasName   string `json:"name"`
		TargetKeyID string `json:"target_key_id"`
	}

	// UpdateAliasRequest moves an alias; the path carries its name without "alias/".
	UpdateAliasRequest struct {
		AliasName   string `json:"-" path:"name"`
		TargetKeyID string `json:"target_key_id"`
	}

	// DeleteAliasRequest deletes an alias; the path carries its name without "alias/".
	DeleteAliasRequest struct {
		AliasName string `json:"-" path:"name"`
	}

	// ListAliasesRequest pages through aliases, of one key when KeyID is set.
	ListAliasesRequest struct {
		KeyID  string `json:"-" query:"key_id"`
		Limit  int    `json:"-" query:"limit"`
		Marker string `json:"-" query:"marker"`
	}

	// AliasEntry describes an alias.
	AliasEntry struct {
		AliasName       string    `json:"name"`
		AliasARN        string    `json:"arn"`
		TargetKeyID     string    `json:"target_key_id"`
		CreationDate    time.Time `json:"created_at"`
		LastUpdatedDate time.Time `json:"updated_at"`
	}

	// AliasAnswer is the answer of what creates or moves one alias.
	AliasAnswer struct {
		Alias AliasEntry `json:"alias"`
	}

	// ListAliasesAnswer is one page of aliases.
	ListAliasesAnswer struct {
		Aliases    []AliasEntry `json:"aliases"`
		NextMarker string       `json:"next_marker,omitempty"`
	}

	// Empty is the request or answer that carries nothing.
	Empty struct{}

	// CallerIdentityAnswer says who the caller is.
	CallerIdentityAnswer struct {
		Account string `json:"account"`
		ARN     string `json:"arn"`
		UserID  string `json:"user_id"`
	}

	// SettingRequest names a replicated setting.
	SettingRequest struct {
		Name string `json:"-" path:"name"`
	}

	// PutSettingRequest changes a replicated setting.
	PutSettingRequest struct {
		Name  string `json:"-" path:"name"`
		Value string `json:"value"`
	}

	// SettingAnswer carries a setting.
	SettingAnswer struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}

	// CreateAccountRequest makes a tenant.
	CreateAccountRequest struct {
		AccountID string `json:"account_id,omitempty"` // 12 digits; empty: chosen at random
		Name      string `json:"name,omitempty"`
	}

	// AccountRequest names an account.
	AccountRequest struct {
		AccountID string `json:"-" path:"account"`
	}

	// AccountEntry describes an account.
	AccountEntry struct {
		AccountID string    `json:"account_id"`
		Name      string    `json:"name"`
		Operator  bool      `json:"operator"`
		Disabled  bool      `json:"disabled"`
		CreatedAt time.Time `json:"created_at"`
	}

	// CreateAccountAnswer carries the account and, this once, its root access key.
	CreateAccountAnswer struct {
		Account         AccountEntry    `json:"account"`
		AccessKeyID     string          `json:"access_key_id"`
		SecretAccessKey SensitiveString `json:"secret_access_key"`
	}

	// AccountAnswer carries one account.
	AccountAnswer struct {
		Account AccountEntry `json:"account"`
	}

	// ListAccountsAnswer is one page of accounts.
	ListAccountsAnswer struct {
		Accounts   []AccountEntry `json:"accounts"`
		NextMarker string         `json:"next_marker,omitempty"`
	}

	// Member describes one node of the cluster.
	Member struct {
		ID           string `json:"id"`
		Name         string `json:"name"`
		APIAddr      string `json:"api_addr"`
		Voter        bool   `json:"voter"`
		Leader       bool   `json:"leader"`
		Sealed       bool   `json:"sealed"`
		Healthy      bool   `json:"healthy"`
		AppliedIndex uint64 `json:"applied_index"`
		Version      string `json:"version"`
		Reason       string `json:"reason,omitempty"` // why it is not healthy
	}

	// MembersAnswer lists the members.
	MembersAnswer struct {
		Members []Member `json:"members"`
	}

	// AllowMemberRequest lets a removed or unexpected node name join.
	AllowMemberRequest struct {
		Name string `json:"-" path:"name"`
	}

	// RemoveMemberRequest removes a node from the cluster and refuses its name from then on.
	RemoveMemberRequest struct {
		Name string `json:"-" path:"name"`
	}

	// SealRequest seals this node, or every node.
	SealRequest struct {
		Cluster bool `json:"cluster,omitempty"`
	}

	// SealAnswer says which nodes are sealed now and which could not be reached.
	SealAnswer struct {
		Sealed      []string `json:"sealed"`
		Unreachable []string `json:"unreachable,omitempty"`
	}
)
