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
// accepted in a body. Doors with other spellings derive them from the Go names, which are AWS's. Here are
// those of aliases, accounts, settings and the cluster; messages_keys.go, messages_crypto.go, messages_stores.go, messages_audit.go and messages_iam.go have the others.
type (
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
