package catalog

import (
	"encoding/hex"
	"strings"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/seal"
)

// IDs gives records and scopes their ids. An id is an HMAC of the names, so a name is unique
// because its record is, and nobody without the index key can tell what a record is about. After the
// barrier is wiped every id is the same and no record can be sealed under it.
type IDs struct{ barrier *seal.Barrier }

// NewIDs returns the ids of the barrier's cluster.
func NewIDs(b *seal.Barrier) IDs { return IDs{b} }

func (i IDs) ref(kind fsm.Kind, label string, parts ...string) fsm.Ref {
	id := i.barrier.NameID(label, parts...)
	return fsm.Ref{Kind: kind, ID: fsm.ID(id[:])}
}

// Account names an account's record.
func (i IDs) Account(account string) fsm.Ref { return i.ref(fsm.KindAccount, "account", account) }

// Identity names the record of an identity of an account by kms.IdentityKey.
func (i IDs) Identity(account, key string) fsm.Ref {
	if key == "" { // the root
		key = account
	}
	return i.ref(fsm.KindIdentity, "identity", account, key)
}

// ManagedPolicy names a managed policy's record. Names are equal without regard to case.
func (i IDs) ManagedPolicy(account, name string) fsm.Ref {
	return i.ref(fsm.KindManagedPolicy, "managed policy", account, strings.ToLower(name))
}

// Provider names the record of an identity provider of a type.
func (i IDs) Provider(account, kind, name string) fsm.Ref {
	return i.ref(fsm.KindProvider, "provider", account, kind, name)
}

// Credential names an access key's record.
func (i IDs) Credential(accessKeyID string) fsm.Ref {
	return i.ref(fsm.KindCredential, "credential", accessKeyID)
}

// Key names a key's record; keyID is its whole id.
func (i IDs) Key(s kms.Scope, keyID string) fsm.Ref {
	return i.ref(fsm.KindKey, "key", s.Account, s.Region, keyID)
}

// Policy names the record of a key's policy.
func (i IDs) Policy(s kms.Scope, keyID string) fsm.Ref {
	return i.ref(fsm.KindPolicy, "policy", s.Account, s.Region, keyID)
}

// Alias names an alias's record; name has the prefix "alias/".
func (i IDs) Alias(s kms.Scope, name string) fsm.Ref {
	return i.ref(fsm.KindAlias, "alias", s.Account, s.Region, name)
}

// Grant names a grant's record. unique is the grant's id; of a grant that has a name, a digest of the name
// and the parameters, so that it is made once.
func (i IDs) Grant(s kms.Scope, keyID, unique string) fsm.Ref {
	return i.ref(fsm.KindGrant, "grant", s.Account, s.Region, keyID, unique)
}

// AuditAnchor names the record of a node's audit key and of the latest head of its audit trail.
func (i IDs) AuditAnchor(node string) fsm.Ref {
	return i.ref(fsm.KindAuditAnchor, "audit anchor", node)
}

// Usage names the record of a key's use.
func (i IDs) Usage(s kms.Scope, keyID string) fsm.Ref {
	return i.ref(fsm.KindUsage, "usage", s.Account, s.Region, keyID)
}

// AccessKeyUsage names the record of an access key's use.
func (i IDs) AccessKeyUsage(account, accessKeyID string) fsm.Ref {
	return i.ref(fsm.KindUsage, "access key usage", account, accessKeyID)
}

// Setting names a setting's record.
func (i IDs) Setting(name string) fsm.Ref { return i.ref(fsm.KindSetting, "setting", name) }

// Material names the record of key material by its 64 hex digits. Material that has no such id has
// no record: the ref's id is empty.
func (IDs) Material(materialID string) fsm.Ref {
	raw, err := hex.DecodeString(materialID)
	if err != nil {
		raw = nil
	}
	return fsm.Ref{Kind: fsm.KindMaterial, ID: fsm.ID(raw)}
}

func (i IDs) scope(parts ...string) fsm.ScopeID {
	id := i.barrier.NameID("scope", parts...)
	return fsm.ScopeID(id[:16])
}

// KeysOf is the scope of an account's keys, those of all regions.
func (i IDs) KeysOf(account string) fsm.ScopeID { return i.scope("keys", account) }

// IdentitiesOf is the scope of an account's identities of one type.
func (i IDs) IdentitiesOf(account, kind string) fsm.ScopeID {
	return i.scope("identities", account, kind)
}

// CredentialsOf is the scope of an identity's access keys.
func (i IDs) CredentialsOf(account, identityID string) fsm.ScopeID {
	return i.scope("credentials", account, identityID)
}

// PoliciesOf is the scope of an account's managed policies.
func (i IDs) PoliciesOf(account string) fsm.ScopeID { return i.scope("policies", account) }

// ProvidersOf is the scope of an account's identity providers.
func (i IDs) ProvidersOf(account string) fsm.ScopeID { return i.scope("providers", account) }

// AliasesOf is the scope of a key's aliases.
func (i IDs) AliasesOf(s kms.Scope, keyID string) fsm.ScopeID {
	return i.scope("aliases", s.Account, s.Region, keyID)
}

// GrantsOf is the scope of a key's grants.
func (i IDs) GrantsOf(s kms.Scope, keyID string) fsm.ScopeID {
	return i.scope("grants", s.Account, s.Region, keyID)
}

// ManagedOf is the scope of the managed aliases of an account in a region.
func (i IDs) ManagedOf(s kms.Scope) fsm.ScopeID { return i.scope("managed", s.Account, s.Region) }

// Hash returns a keyed hash of label and parts, for what must be recognized again and not guessed:
// transaction ids, request hashes, markers. No other id has these labels.
func (i IDs) Hash(label string, parts ...string) [32]byte {
	return i.barrier.NameID("hash/"+label, parts...)
}
