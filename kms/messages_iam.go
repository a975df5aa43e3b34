package kms

import (
	"encoding/json"
	"time"
)

// PolicyDocument is the text of a policy document as its author wrote it. In JSON a request may carry it as a
// string or, as it is, as an object.
type PolicyDocument string

// UnmarshalJSON takes a string or an object.
func (d *PolicyDocument) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return json.Unmarshal(raw, (*string)(d))
	}
	if string(raw) != "null" {
		*d = PolicyDocument(raw)
	}
	return nil
}

// Requests and answers about identities, their access keys, policies and providers, and about sessions. Names of
// users, groups and roles are in the path as {name}.
type (
	// CreateUserRequest asks for a user.
	CreateUserRequest struct {
		Name                string            `json:"name"`
		Path                string            `json:"path,omitempty"` // "/" when empty
		PermissionsBoundary string            `json:"permissions_boundary,omitempty"`
		Tags                map[string]string `json:"tags,omitempty"`
	}

	// CreateGroupRequest asks for a group.
	CreateGroupRequest struct {
		Name string `json:"name"`
		Path string `json:"path,omitempty"`
	}

	// CreateRoleRequest asks for a role.
	CreateRoleRequest struct {
		Name                     string            `json:"name"`
		Path                     string            `json:"path,omitempty"`
		AssumeRolePolicyDocument PolicyDocument    `json:"assume_role_policy_document"`
		Description              string            `json:"description,omitempty"`
		MaxSessionDuration       *int              `json:"max_session_duration,omitempty"` // seconds, 3600 to 43200, 3600 when nil
		PermissionsBoundary      string            `json:"permissions_boundary,omitempty"`
		Tags                     map[string]string `json:"tags,omitempty"`
	}

	// IdentityRequest names a user, group or role. An AWS door may leave the name of a user to be the caller's.
	IdentityRequest struct {
		Name string `json:"-" path:"name"`
	}

	// IdentityListRequest pages through what belongs to a user, group or role.
	IdentityListRequest struct {
		Name   string `json:"-" path:"name"`
		Limit  int    `json:"-" query:"limit"`
		Marker string `json:"-" query:"marker"`
	}

	// IdentityEntry describes a user, group or role; what its type does not have is absent.
	IdentityEntry struct {
		Name                     string            `json:"name"`
		ID                       string            `json:"id"`
		ARN                      string            `json:"arn"`
		Path                     string            `json:"path"`
		CreatedAt                time.Time         `json:"created_at"`
		PermissionsBoundary      string            `json:"permissions_boundary,omitempty"`
		Tags                     map[string]string `json:"tags,omitempty"`
		Description              string            `json:"description,omitempty"`
		AssumeRolePolicyDocument string            `json:"assume_role_policy_document,omitempty"`
		MaxSessionDuration       int               `json:"max_session_duration,omitzero"` // seconds
		SessionsValidFrom        *time.Time        `json:"sessions_valid_from,omitempty"`
	}

	// UserAnswer carries a user.
	UserAnswer struct {
		User IdentityEntry `json:"user"`
	}

	// GroupAnswer carries a group.
	GroupAnswer struct {
		Group IdentityEntry `json:"group"`
	}

	// RoleAnswer carries a role.
	RoleAnswer struct {
		Role IdentityEntry `json:"role"`
	}

	// GetGroupAnswer carries a group and one page of its users.
	GetGroupAnswer struct {
		Group      IdentityEntry   `json:"group"`
		Users      []IdentityEntry `json:"users"`
		NextMarker string          `json:"next_marker,omitempty"`
	}

	// ListUsersAnswer is one page of users.
	ListUsersAnswer struct {
		Users      []IdentityEntry `json:"users"`
		NextMarker string          `json:"next_marker,omitempty"`
	}

	// ListGroupsAnswer is one page of groups.
	ListGroupsAnswer struct {
		Groups     []IdentityEntry `json:"groups"`
		NextMarker string          `json:"next_marker,omitempty"`
	}

	// ListRolesAnswer is one page of roles.
	ListRolesAnswer struct {
		Roles      []IdentityEntry `json:"roles"`
		NextMarker string          `json:"next_marker,omitempty"`
	}

	// TagIdentityRequest sets tags of a user or role.
	TagIdentityRequest struct {
		Name string            `json:"-" path:"name"`
		Tags map[string]string `json:"tags"`
	}

	// UntagIdentityRequest takes tags off a user or role.
	UntagIdentityRequest struct {
		Name    string   `json:"-" path:"name"`
		TagKeys []string `json:"tag_keys"`
	}

	// GroupMemberRequest puts a user into a group or takes it out.
	GroupMemberRequest struct {
		Name     string `json:"-" path:"name"` // of the group
		UserName string `json:"user_name"`
	}

	// UpdateRoleRequest changes what is not nil.
	UpdateRoleRequest struct {
		Name               string  `json:"-" path:"name"`
		Description        *string `json:"description,omitempty"`
		MaxSessionDuration *int    `json:"max_session_duration,omitempty"` // seconds
	}

	// UpdateAssumeRolePolicyRequest says anew who may assume a role.
	UpdateAssumeRolePolicyRequest struct {
		Name           string         `json:"-" path:"name"`
		PolicyDocument PolicyDocument `json:"policy_document"`
	}

	// RevokeSessionsRequest revokes the sessions of a role that were issued before a time; all there are when nil.
	RevokeSessionsRequest struct {
		Name   string     `json:"-" path:"name"`
		Before *time.Time `json:"before,omitempty"`
	}

	// AccessKeyStatus says whether an access key can be used.
	AccessKeyStatus string

	// UpdateAccessKeyRequest makes an access key Active or Inactive.
	UpdateAccessKeyRequest struct {
		Name        string          `json:"-" path:"name"` // of the user, or RootName
		AccessKeyID string          `json:"access_key_id"`
		Status      AccessKeyStatus `json:"status"`
	}

	// DeleteAccessKeyRequest deletes an access key.
	DeleteAccessKeyRequest struct {
		Name        string `json:"-" path:"name"` // of the user, or RootName
		AccessKeyID string `json:"access_key_id"`
	}

	// AccessKeyEntry describes an access key without its secret.
	AccessKeyEntry struct {
		AccessKeyID string          `json:"access_key_id"`
		UserName    string          `json:"user_name"`
		Status      AccessKeyStatus `json:"status"`
		CreatedAt   time.Time       `json:"created_at"`
	}

	// AccessKeyAnswer carries an access key; SecretAccessKey only when it was just made.
	AccessKeyAnswer struct {
		AccessKey       AccessKeyEntry  `json:"access_key"`
		SecretAccessKey SensitiveString `json:"secret_access_key,omitempty"`
	}

	// ListAccessKeysAnswer lists the access keys of a user: two at most.
	ListAccessKeysAnswer struct {
		AccessKeys []AccessKeyEntry `json:"access_keys"`
	}

	// AccessKeyRequest names an access key.
	AccessKeyRequest struct {
		AccessKeyID string `json:"-" path:"id"`
	}

	// AccessKeyLastUsedAnswer says when an access key was last used, as far as the records and the nodes that answered know.
	AccessKeyLastUsedAnswer struct {
		UserName     string     `json:"user_name"`
		LastUsedDate *time.Time `json:"last_used_at,omitempty"` // nil: never
		ServiceName  string     `json:"service_name,omitempty"`
		Region       string     `json:"region,omitempty"`
		SilentNodes  int        `json:"silent_nodes,omitzero"` // that were asked and did not answer
	}

	// CreatePolicyRequest asks for a managed policy.
	CreatePolicyRequest struct {
		Name           string            `json:"name"`
		Path           string            `json:"path,omitempty"`
		PolicyDocument PolicyDocument    `json:"policy_document"`
		Description    string            `json:"description,omitempty"`
		Tags           map[string]string `json:"tags,omitempty"`
	}

	// PolicyRequest names a managed policy.
	PolicyRequest struct {
		PolicyARN string `json:"-" path:"policy"`
	}

	// PolicyEntry describes a managed policy.
	PolicyEntry struct {
		Name             string            `json:"name"`
		ID               string            `json:"id"`
		ARN              string            `json:"arn"`
		Path             string            `json:"path"`
		Description      string            `json:"description,omitempty"`
		DefaultVersionID string            `json:"default_version_id"` // "v1"
		AttachmentCount  int               `json:"attachment_count"`
		BoundaryCount    int               `json:"permissions_boundary_usage_count"` // how many it bounds
		Tags             map[string]string `json:"tags,omitempty"`
		CreatedAt        time.Time         `json:"created_at"`
		UpdatedAt        time.Time         `json:"updated_at"`
	}

	// PolicyAnswer carries a managed policy.
	PolicyAnswer struct {
		Policy PolicyEntry `json:"policy"`
	}

	// TagPolicyRequest sets tags of a managed policy.
	TagPolicyRequest struct {
		PolicyARN string            `json:"-" path:"policy"`
		Tags      map[string]string `json:"tags"`
	}

	// UntagPolicyRequest takes tags off a managed policy.
	UntagPolicyRequest struct {
		PolicyARN string   `json:"-" path:"policy"`
		TagKeys   []string `json:"tag_keys"`
	}

	// PolicyEntity is a user, group or role that has a managed policy.
	PolicyEntity struct {
		Name     string `json:"name"`
		ID       string `json:"id"`
		Path     string `json:"path"`
		Attached bool   `json:"attached"` // as one of its policies
		Bounds   bool   `json:"bounds"`   // as its permissions boundary
	}

	// ListEntitiesForPolicyAnswer lists who has a managed policy.
	ListEntitiesForPolicyAnswer struct {
		Users  []PolicyEntity `json:"users"`
		Groups []PolicyEntity `json:"groups"`
		Roles  []PolicyEntity `json:"roles"`
	}

	// ListPoliciesAnswer is one page of managed policies.
	ListPoliciesAnswer struct {
		Policies   []PolicyEntry `json:"policies"`
		NextMarker string        `json:"next_marker,omitempty"`
	}

	// CreatePolicyVersionRequest gives a managed policy another document.
	CreatePolicyVersionRequest struct {
		PolicyARN      string         `json:"-" path:"policy"`
		PolicyDocument PolicyDocument `json:"policy_document"`
		SetAsDefault   bool           `json:"set_as_default,omitempty"`
	}

	// PolicyVersionRequest names a version of a managed policy that is to be changed.
	PolicyVersionRequest struct {
		PolicyARN string `json:"-" path:"policy"`
		VersionID string `json:"version_id"` // "v1"
	}

	// GetPolicyVersionRequest names a version of a managed policy; the default one when VersionID is empty.
	GetPolicyVersionRequest struct {
		PolicyARN string `json:"-" path:"policy"`
		VersionID string `json:"-" query:"version_id"`
	}

	// PolicyVersionEntry is one version of a managed policy; a listing has no Document.
	PolicyVersionEntry struct {
		VersionID        string    `json:"version_id"`
		IsDefaultVersion bool      `json:"is_default_version"`
		Document         string    `json:"document,omitempty"`
		CreatedAt        time.Time `json:"created_at"`
	}

	// PolicyVersionAnswer carries a version of a managed policy.
	PolicyVersionAnswer struct {
		PolicyVersion PolicyVersionEntry `json:"policy_version"`
	}

	// ListPolicyVersionsAnswer lists the versions of a managed policy: five at most.
	ListPolicyVersionsAnswer struct {
		Versions []PolicyVersionEntry `json:"versions"`
	}

	// AttachPolicyRequest attaches a managed policy to a user, group or role, or detaches it.
	AttachPolicyRequest struct {
		Name      string `json:"-" path:"name"`
		PolicyARN string `json:"policy_arn"`
	}

	// AttachedPolicy is a managed policy that is attached.
	AttachedPolicy struct {
		PolicyName string `json:"policy_name"`
		PolicyARN  string `json:"policy_arn"`
	}

	// ListAttachedPoliciesAnswer lists attached policies.
	ListAttachedPoliciesAnswer struct {
		AttachedPolicies []AttachedPolicy `json:"attached_policies"`
	}

	// PutInlinePolicyRequest writes an inline policy of a user, group or role.
	PutInlinePolicyRequest struct {
		Name           string         `json:"-" path:"name"`
		PolicyName     string         `json:"policy_name"`
		PolicyDocument PolicyDocument `json:"policy_document"`
	}

	// GetInlinePolicyRequest names an inline policy.
	GetInlinePolicyRequest struct {
		Name       string `json:"-" path:"name"`
		PolicyName string `json:"-" query:"policy_name"`
	}

	// DeleteInlinePolicyRequest deletes an inline policy.
	DeleteInlinePolicyRequest struct {
		Name       string `json:"-" path:"name"`
		PolicyName string `json:"policy_name"`
	}

	// InlinePolicyAnswer carries an inline policy.
	InlinePolicyAnswer struct {
		Name           string `json:"name"` // of the user, group or role
		PolicyName     string `json:"policy_name"`
		PolicyDocument string `json:"policy_document"`
	}

	// ListInlinePoliciesAnswer lists the names of inline policies.
	ListInlinePoliciesAnswer struct {
		PolicyNames []string `json:"policy_names"`
	}

	// PutBoundaryRequest bounds a user or role by a managed policy.
	PutBoundaryRequest struct {
		Name                string `json:"-" path:"name"`
		PermissionsBoundary string `json:"permissions_boundary"` // ARN of the policy
	}

	// CreateOIDCProviderRequest makes an account trust an OpenID Connect issuer.
	CreateOIDCProviderRequest struct {
		URL           string   `json:"url"`                      // the issuer, https
		ClientIDList  []string `json:"client_id_list"`           // audiences
		CACertificate string   `json:"ca_certificate,omitempty"` // PEM; "": the system's roots
		JWKS          string   `json:"jwks,omitempty"`           // for an issuer that the nodes cannot reach
		// ThumbprintList is kept for those who compare it; as at AWS, whom the issuer's certificate is trusted by is not
		// its matter. SHA-1 in 40 hexadecimal digits, five at most.
		ThumbprintList []string          `json:"thumbprint_list,omitempty"`
		Tags           map[string]string `json:"tags,omitempty"`
	}

	// ProviderRequest names an OpenID Connect provider by its ARN or its URL without "https://", or a trust anchor
	// by its ARN or name.
	ProviderRequest struct {
		Provider string `json:"-" path:"provider"`
	}

	// ClientIDRequest adds an audience to an OpenID Connect provider or takes it away.
	ClientIDRequest struct {
		Provider string `json:"-" path:"provider"`
		ClientID string `json:"client_id"`
	}

	// UpdateThumbprintRequest replaces the thumbprints of an OpenID Connect provider.
	UpdateThumbprintRequest struct {
		Provider       string   `json:"-" path:"provider"`
		ThumbprintList []string `json:"thumbprint_list"`
	}

	// TagProviderRequest sets tags of an OpenID Connect provider.
	TagProviderRequest struct {
		Provider string            `json:"-" path:"provider"`
		Tags     map[string]string `json:"tags"`
	}

	// UntagProviderRequest takes tags off an OpenID Connect provider.
	UntagProviderRequest struct {
		Provider string   `json:"-" path:"provider"`
		TagKeys  []string `json:"tag_keys"`
	}

	// OIDCProviderEntry describes an OpenID Connect provider.
	OIDCProviderEntry struct {
		ARN           string    `json:"arn"`
		URL           string    `json:"url"`
		ClientIDList  []string  `json:"client_id_list"`
		CACertificate string    `json:"ca_certificate,omitempty"`
		JWKS          string    `json:"jwks,omitempty"`
		CreatedAt     time.Time `json:"created_at"`

		ThumbprintList []string          `json:"thumbprint_list,omitempty"`
		Tags           map[string]string `json:"tags,omitempty"`
	}

	// OIDCProviderAnswer carries an OpenID Connect provider.
	OIDCProviderAnswer struct {
		Provider OIDCProviderEntry `json:"open_id_connect_provider"`
	}

	// ListOIDCProvidersAnswer lists OpenID Connect providers.
	ListOIDCProvidersAnswer struct {
		Providers []OIDCProviderEntry `json:"open_id_connect_providers"`
	}

	// CreateTrustAnchorRequest makes an account trust a certificate authority for client certificates.
	CreateTrustAnchorRequest struct {
		Name        string               `json:"name"`
		Certificate string               `json:"certificate"` // PEM, one or more
		Mappings    []CertificateMapping `json:"mappings"`
	}

	// TrustAnchorEntry describes a trust anchor.
	TrustAnchorEntry struct {
		Name        string               `json:"name"`
		ARN         string               `json:"arn"`
		Certificate string               `json:"certificate"`
		Mappings    []CertificateMapping `json:"mappings"`
		CreatedAt   time.Time            `json:"created_at"`
	}

	// TrustAnchorAnswer carries a trust anchor.
	TrustAnchorAnswer struct {
		TrustAnchor TrustAnchorEntry `json:"trust_anchor"`
	}

	// ListTrustAnchorsAnswer lists trust anchors.
	ListTrustAnchorsAnswer struct {
		TrustAnchors []TrustAnchorEntry `json:"trust_anchors"`
	}

	// AssumeRoleRequest asks for a session of a role.
	AssumeRoleRequest struct {
		RoleARN         string            `json:"role_arn"`
		RoleSessionName string            `json:"role_session_name"`
		DurationSeconds *int              `json:"duration_seconds,omitempty"` // from 900 to the role's maximum, 3600 when nil
		Policy          PolicyDocument    `json:"policy,omitempty"`           // session policy
		PolicyARNs      []string          `json:"policy_arns,omitempty"`      // managed policies as session policies
		Tags            map[string]string `json:"tags,omitempty"`             // session tags
		ExternalID      string            `json:"external_id,omitempty"`
	}

	// AssumeRoleWithWebIdentityRequest asks for a session of a role, by an OpenID Connect token instead of an identity.
	AssumeRoleWithWebIdentityRequest struct {
		RoleARN          string          `json:"role_arn"`
		RoleSessionName  string          `json:"role_session_name"`
		WebIdentityToken SensitiveString `json:"web_identity_token"`
		DurationSeconds  *int            `json:"duration_seconds,omitempty"`
		Policy           PolicyDocument  `json:"policy,omitempty"`
		PolicyARNs       []string        `json:"policy_arns,omitempty"`
	}

	// SessionAnswer carries the credentials of a session. As a bearer token, SessionToken is all it needs.
	SessionAnswer struct {
		AccessKeyID      string          `json:"access_key_id"`
		SecretAccessKey  SensitiveString `json:"secret_access_key"`
		SessionToken     SensitiveString `json:"session_token"`
		Expiration       time.Time       `json:"expiration"`
		AssumedRoleARN   string          `json:"assumed_role_arn"`
		AssumedRoleID    string          `json:"assumed_role_id"`             // "AROA...:SESSION"
		PackedPolicySize int             `json:"packed_policy_size,omitzero"` // percent of what a token may carry

		// Of a web identity.
		Subject  string `json:"subject_from_web_identity_token,omitempty"`
		Provider string `json:"provider,omitempty"`
		Audience string `json:"audience,omitempty"`
	}

	// GetSessionTokenRequest asks for a session of the caller itself, a user or root.
	GetSessionTokenRequest struct {
		DurationSeconds *int `json:"duration_seconds,omitempty"` // from 900 to 129600, 43200 when nil; of a root 3600 at most
	}

	// SessionTokenAnswer carries the credentials of a session of a user or root. It ends with the access key that asked for it.
	SessionTokenAnswer struct {
		AccessKeyID     string          `json:"access_key_id"`
		SecretAccessKey SensitiveString `json:"secret_access_key"`
		SessionToken    SensitiveString `json:"session_token"`
		Expiration      time.Time       `json:"expiration"`
	}

	// SimulateRequest asks what would be decided. Context holds condition keys; what it leaves out is absent but for
	// those that the principal and the key have.
	SimulateRequest struct {
		PrincipalARN string              `json:"principal_arn"`
		Action       string              `json:"action"`
		Resource     string              `json:"resource,omitempty"` // a key id, key ARN, alias or other ARN; "" for *
		Context      map[string][]string `json:"context,omitempty"`
	}

	// Verdict is what a simulation decides and why.
	Verdict struct {
		Decision     string `json:"decision"`                // allowed, implicitDeny or explicitDeny
		Reason       string `json:"reason"`                  // one sentence
		Source       string `json:"source,omitempty"`        // what kind of policy decided
		PolicyID     string `json:"policy,omitempty"`        // ARN or name of that policy
		StatementID  string `json:"statement_id,omitempty"`  // its Sid
		Statement    *int   `json:"statement,omitempty"`     // its number in the policy, from 0 on
		GrantID      string `json:"grant_id,omitempty"`      // of the grant that allows
		PrincipalARN string `json:"principal_arn,omitempty"` // who was asked about
		Action       string `json:"action,omitempty"`
		Resource     string `json:"resource,omitempty"`
	}

	// SimulateAnswer carries the verdict.
	SimulateAnswer struct {
		Verdict Verdict `json:"verdict"`
	}

	// WhoCanRequest asks who may do something with a key.
	WhoCanRequest struct {
		KeyID  string `json:"-" path:"key"`
		Action string `json:"action"`
		Limit  int    `json:"limit,omitempty"`
		Marker string `json:"marker,omitempty"`
	}

	// WhoCanAnswer lists the principals that may, each with what allows it. Others are those of other accounts that the
	// key policy or a grant names: whether they may is for their own policies to say, too.
	WhoCanAnswer struct {
		Allowed    []Verdict `json:"allowed"`
		Others     []string  `json:"others,omitempty"`
		NextMarker string    `json:"next_marker,omitempty"`
	}
)

// The states of access keys.
const (
	AccessKeyActive   AccessKeyStatus = "Active"
	AccessKeyInactive AccessKeyStatus = "Inactive"
)

// AccessKeyStatuses lists them.
var AccessKeyStatuses = []AccessKeyStatus{AccessKeyActive, AccessKeyInactive}
