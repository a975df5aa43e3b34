package kms

import "strings"

// The types of identities, as CloudTrail's userIdentity.type has them where it has them. A group signs no request.
const (
	TypeRoot  = "Root"
	TypeUser  = "IAMUser"
	TypeGroup = "Group"
	TypeRole  = "Role"
)

// RootName names the account's root where a request names a user. No user can be called so.
const RootName = "<root_account>"

// Identity is someone of an account: its root, a user, a group of users, or a role that others assume. Names
// are unique among identities of one type in an account, without regard to case.
type Identity struct {
	Schema   uint8  `cbor:"0,keyasint"` // 1
	Account  string `cbor:"1,keyasint"` // 12 digits
	ID       string `cbor:"2,keyasint"` // of the root the account; else a prefix for the type and 16 letters, never used again
	Type     string `cbor:"3,keyasint"`
	Disabled bool   `cbor:"4,keyasint,omitempty"`
	Created  int64  `cbor:"5,keyasint"` // Unix milliseconds

	Name        string            `cbor:"6,keyasint,omitempty"`
	Path        string            `cbor:"7,keyasint,omitempty"` // begins and ends with '/'
	Description string            `cbor:"8,keyasint,omitempty"` // of a role
	Tags        map[string]string `cbor:"9,keyasint,omitempty"`
	Inline      map[string]string `cbor:"10,keyasint,omitempty"` // policy documents by name
	Attached    []string          `cbor:"11,keyasint,omitempty"` // ARNs of managed policies, sorted
	Boundary    string            `cbor:"12,keyasint,omitempty"` // ARN of the managed policy that bounds it; "": nothing does
	Groups      []string          `cbor:"13,keyasint,omitempty"` // of a user: names, sorted

	Trust      string `cbor:"14,keyasint,omitempty"` // of a role: who may assume it
	MaxSession int32  `cbor:"15,keyasint,omitempty"` // of a role: seconds that a session lasts at most
	Generation uint32 `cbor:"16,keyasint,omitempty"` // of a role: sessions of another generation are revoked
	ValidFrom  int64  `cbor:"17,keyasint,omitempty"` // of a role: sessions issued before are revoked, Unix milliseconds
}

// Key returns what names the identity in its account, for the id of its record: names are equal
// without regard to case.
func (i *Identity) Key() string { return IdentityKey(i.Type, i.Name) }

// IdentityKey is Identity.Key of a type and name; "" for the root, of which an account has one.
func IdentityKey(kind, name string) string {
	if kind == TypeRoot {
		return ""
	}
	return kind + "/" + strings.ToLower(name)
}

// IdentityARN returns the ARN of an identity.
func (i *Identity) ARN(partition string) string {
	head := "arn:" + partition + ":iam::" + i.Account + ":"
	switch i.Type {
	case TypeRoot:
		return head + "root"
	case TypeUser:
		return head + "user" + i.Path + i.Name
	case TypeGroup:
		return head + "group" + i.Path + i.Name
	default:
		return head + "role" + i.Path + i.Name
	}
}

// Credential is an access key. Its secret is recoverable, because signature schemes need it.
type Credential struct {
	Schema      uint8     `cbor:"0,keyasint"` // 1
	AccessKeyID string    `cbor:"1,keyasint"`
	Account     string    `cbor:"2,keyasint"`
	Identity    string    `cbor:"3,keyasint"` // Identity.ID: an access key never comes to another identity of the same name
	Secret      Sensitive `cbor:"4,keyasint"`
	Disabled    bool      `cbor:"5,keyasint,omitempty"`
	Created     int64     `cbor:"6,keyasint"`
	Holder      string    `cbor:"7,keyasint,omitempty"` // Identity.Key, "" for the root
}

// PolicyVersion is one version of a managed policy.
type PolicyVersion struct {
	Number   uint32 `cbor:"1,keyasint"` // from 1 on; as AWS writes it, "v1"
	Document string `cbor:"2,keyasint"`
	Created  int64  `cbor:"3,keyasint"` // Unix milliseconds
}

// ManagedPolicy is a policy that identities of an account can have attached.
type ManagedPolicy struct {
	Schema      uint8             `cbor:"0,keyasint"` // 1
	Account     string            `cbor:"1,keyasint"`
	ID          string            `cbor:"2,keyasint"`
	Name        string            `cbor:"3,keyasint"`
	Path        string            `cbor:"4,keyasint"`
	Description string            `cbor:"5,keyasint,omitempty"`
	Tags        map[string]string `cbor:"6,keyasint,omitempty"`
	Versions    []PolicyVersion   `cbor:"7,keyasint"` // ascending, at most 5
	Default     uint32            `cbor:"8,keyasint"` // the one that counts
	Created     int64             `cbor:"9,keyasint"`
	Updated     int64             `cbor:"10,keyasint"`
	Last        uint32            `cbor:"11,keyasint"` // highest number that a version has had: none comes again
}

// ARN returns the policy's ARN.
func (p *ManagedPolicy) ARN(partition string) string {
	return "arn:" + partition + ":iam::" + p.Account + ":policy" + p.Path + p.Name
}

// Document returns the text of the default version, "" when there is none.
func (p *ManagedPolicy) Document() string {
	for i := range p.Versions {
		if p.Versions[i].Number == p.Default {
			return p.Versions[i].Document
		}
	}
	return ""
}

// The types of identity providers.
const (
	ProviderOIDC        = "oidc-provider"
	ProviderTrustAnchor = "trust-anchor"
)

// Provider is whose word about identities an account takes: an OpenID Connect issuer or a certificate
// authority.
type Provider struct {
	Schema  uint8  `cbor:"0,keyasint"` // 1
	Account string `cbor:"1,keyasint"`
	Type    string `cbor:"2,keyasint"`
	Name    string `cbor:"3,keyasint"` // of an issuer its URL without "https://", of a trust anchor its name
	Created int64  `cbor:"4,keyasint"`

	URL       string   `cbor:"5,keyasint,omitempty"` // of an issuer
	Audiences []string `cbor:"6,keyasint,omitempty"` // of an issuer: client ids
	CA        string   `cbor:"7,keyasint,omitempty"` // PEM: of an issuer who signed its TLS certificate; of a trust anchor who signs clients' certificates
	Keys      string   `cbor:"8,keyasint,omitempty"` // of an issuer: a JWK Set, instead of the one it serves

	Mappings []CertificateMapping `cbor:"9,keyasint,omitempty"` // of a trust anchor, the first that matches counts

	Tags        map[string]string `cbor:"10,keyasint,omitempty"` // of an issuer
	Thumbprints []string          `cbor:"11,keyasint,omitempty"` // of an issuer: kept for clients, no trust is in them
}

// ARN returns the provider's ARN.
func (p *Provider) ARN(partition string) string {
	service := "iam"
	if p.Type == ProviderTrustAnchor {
		service = "rolesanywhere"
	}
	return "arn:" + partition + ":" + service + "::" + p.Account + ":" + p.Type + "/" + p.Name
}

// CertificateMapping says which role a client certificate of a trust anchor assumes. The fields that are not empty
// must all match; '*' in them stands for any characters. At least one is set beside Role.
type CertificateMapping struct {
	Role       string `json:"role" cbor:"1,keyasint"`                                    // name
	CommonName string `json:"common_name,omitempty" cbor:"2,keyasint,omitempty"`         // of the subject
	Unit       string `json:"organizational_unit,omitempty" cbor:"3,keyasint,omitempty"` // of the subject, one of them
	DNSName    string `json:"dns_name,omitempty" cbor:"4,keyasint,omitempty"`            // one of the subject alternative names
	URI        string `json:"uri,omitempty" cbor:"5,keyasint,omitempty"`                 // likewise, such as a SPIFFE ID
	Email      string `json:"email,omitempty" cbor:"6,keyasint,omitempty"`               // likewise
}
