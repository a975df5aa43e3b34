package wire

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
)

// Route is one method and path of the REST door.
type Route struct {
	Method string
	Path   string // segments in braces are path variables, named as the request's `path` tags
	Name   string // the operation's name, or that of a system route; unique together with Path

	Operation *kms.Operation // nil for a system route
	Request   reflect.Type   // the request's struct; nil when the route takes none
	Answer    reflect.Type   // the answer's struct; nil when the route answers none
	Status    int            // of a success
	Summary   string         // one sentence for the OpenAPI document
	Text      bool           // the answer is text, no JSON
	Open      bool           // needs no identity: a client sends none with an operation

	// NamePrefix stands before the path variable {name} in the request: the path of an alias
	// leaves out "alias/", the request does not.
	NamePrefix string
}

// Routes is the table. The first ones are looked for first, so what must be fast stands first.
func Routes() []Route { return append(operationRoutes(), SystemRoutes()...) }

func operationRoutes() []Route {
	return slices.Concat(cryptoRoutes(), keyRoutes(), nameRoutes(), storeRoutes(), clusterRoutes(), identityRoutes())
}

func cryptoRoutes() []Route {
	return []Route{
		of(kms.OpEncrypt, "POST", "/v1/keys/{key}/encrypt", "Encrypts up to 4096 bytes."),
		of(kms.OpDecrypt, "POST", "/v1/decrypt", "Decrypts a ciphertext; it names its key itself."),
		of(kms.OpDecrypt, "POST", "/v1/keys/{key}/decrypt", "Decrypts a ciphertext, with this key and no other."),
		of(kms.OpGenerateDataKey, "POST", "/v1/keys/{key}/generate-data-key", "Makes a random data key, in plaintext and encrypted."),
		of(kms.OpGenerateDataKeyWithoutPlaintext, "POST", "/v1/keys/{key}/generate-data-key-without-plaintext", "Makes a random data key and answers it encrypted only."),
		of(kms.OpSign, "POST", "/v1/keys/{key}/sign", "Signs a message of up to 4096 bytes, or its digest."),
		of(kms.OpVerify, "POST", "/v1/keys/{key}/verify", "Says that a signature is right; one that is not is refused."),
		of(kms.OpGenerateMac, "POST", "/v1/keys/{key}/generate-mac", "Makes the HMAC of a message of up to 4096 bytes."),
		of(kms.OpVerifyMac, "POST", "/v1/keys/{key}/verify-mac", "Says that an HMAC is right; one that is not is refused."),
		of(kms.OpReEncrypt, "POST", "/v1/keys/{key}/re-encrypt", "Decrypts a ciphertext and encrypts it under this key; the plaintext does not leave the node."),
		of(kms.OpGenerateRandom, "POST", "/v1/random", "Answers random bytes."),
		of(kms.OpGenerateDataKeyPair, "POST", "/v1/keys/{key}/generate-data-key-pair", "Makes a random key pair; its private key is answered in plaintext and encrypted."),
		of(kms.OpGenerateDataKeyPairWithoutPlaintext, "POST", "/v1/keys/{key}/generate-data-key-pair-without-plaintext", "Makes a random key pair and answers its private key encrypted only."),
		of(kms.OpDeriveSharedSecret, "POST", "/v1/keys/{key}/derive-shared-secret", "Derives the ECDH secret that the key shares with another's public key."),
		of(kms.OpEncapsulate, "POST", "/v1/keys/{key}/encapsulate", "Makes a shared secret and its ciphertext (ML-KEM)."),
		of(kms.OpDecapsulate, "POST", "/v1/keys/{key}/decapsulate", "Answers the shared secret of a ciphertext (ML-KEM)."),
		of(kms.OpGetPublicKey, "GET", "/v1/keys/{key}/get-public-key", "Answers the public key of an asymmetric key."),
	}
}

// keyRoutes are those of keys: what they are, their lifecycle, policies, tags, material and grants.
func keyRoutes() []Route {
	return []Route{
		of(kms.OpCreateKey, "POST", "/v1/keys", "Creates a key."),
		of(kms.OpListKeys, "GET", "/v1/keys", "Lists the keys of the account and region."),
		of(kms.OpDescribeKey, "GET", "/v1/keys/{key}", "Describes a key."),
		of(kms.OpGetKeyLastUsage, "GET", "/v1/keys/{key}/get-key-last-usage", "Says when, how and by whom a key was last used."),
		of(kms.OpEnableKey, "POST", "/v1/keys/{key}/enable", "Enables a key."),
		of(kms.OpDisableKey, "POST", "/v1/keys/{key}/disable", "Disables a key; it does no cryptography until it is enabled."),
		of(kms.OpScheduleKeyDeletion, "POST", "/v1/keys/{key}/schedule-deletion", "Has a key destroyed after 7 to 30 days; it does no cryptography meanwhile."),
		of(kms.OpCancelKeyDeletion, "POST", "/v1/keys/{key}/cancel-deletion", "Keeps a key that was to be deleted; it is disabled then."),
		of(kms.OpUpdateKeyDescription, "POST", "/v1/keys/{key}/update-key-description", "Replaces a key's description."),

		of(kms.OpGetKeyPolicy, "GET", "/v1/keys/{key}/get-key-policy", "Answers a key's policy."),
		of(kms.OpPutKeyPolicy, "POST", "/v1/keys/{key}/put-key-policy", "Replaces a key's policy."),
		of(kms.OpListKeyPolicies, "GET", "/v1/keys/{key}/list-key-policies", "Lists the names of a key's policies."),
		of(kms.OpTagResource, "POST", "/v1/keys/{key}/tag-resource", "Sets tags of a key."),
		of(kms.OpUntagResource, "POST", "/v1/keys/{key}/untag-resource", "Takes tags off a key."),
		of(kms.OpListResourceTags, "GET", "/v1/keys/{key}/list-resource-tags", "Lists a key's tags."),
		of(kms.OpGetResources, "POST", "/v1/get-resources", "Lists keys by their tags."),

		of(kms.OpRotateKeyOnDemand, "POST", "/v1/keys/{key}/rotate", "Gives a key new material now; older ciphertexts stay readable."),
		of(kms.OpEnableKeyRotation, "POST", "/v1/keys/{key}/enable-key-rotation", "Turns automatic rotation on."),
		of(kms.OpDisableKeyRotation, "POST", "/v1/keys/{key}/disable-key-rotation", "Turns automatic rotation off."),
		of(kms.OpGetKeyRotationStatus, "GET", "/v1/keys/{key}/get-key-rotation-status", "Says how a key is rotated."),
		of(kms.OpListKeyRotations, "GET", "/v1/keys/{key}/list-key-rotations", "Lists a key's rotations, or all of its materials."),

		of(kms.OpGetParametersForImport, "POST", "/v1/keys/{key}/get-parameters-for-import", "Answers a wrapping key and an import token."),
		of(kms.OpImportKeyMaterial, "POST", "/v1/keys/{key}/import-key-material", "Brings wrapped key material into a key of origin EXTERNAL."),
		of(kms.OpDeleteImportedKeyMaterial, "POST", "/v1/keys/{key}/delete-imported-key-material", "Deletes imported key material; the key waits for another import."),

		of(kms.OpReplicateKey, "POST", "/v1/keys/{key}/replicate-key", "Makes a replica of a multi-Region key in another region."),
		of(kms.OpUpdatePrimaryRegion, "POST", "/v1/keys/{key}/update-primary-region", "Makes a replica of a multi-Region key its primary key."),

		of(kms.OpCreateGrant, "POST", "/v1/keys/{key}/create-grant", "Lets a principal use a key."),
		of(kms.OpListGrants, "GET", "/v1/keys/{key}/list-grants", "Lists the grants of a key."),
		of(kms.OpRevokeGrant, "POST", "/v1/keys/{key}/revoke-grant", "Ends a grant of a key."),
		of(kms.OpRetireGrant, "POST", "/v1/retire-grant", "Ends a grant, by its token or by key and id; for who was named to retire it."),
		of(kms.OpListRetirableGrants, "GET", "/v1/list-retirable-grants", "Lists the grants that a principal may retire."),
	}
}

func nameRoutes() []Route {
	return []Route{
		of(kms.OpCreateAlias, "POST", "/v1/aliases", "Gives a key another name."),
		of(kms.OpListAliases, "GET", "/v1/aliases", "Lists aliases, of one key if key_id names it."),
		alias(of(kms.OpUpdateAlias, "PUT", "/v1/aliases/{name}", "Moves an alias to another key.")),
		alias(of(kms.OpDeleteAlias, "DELETE", "/v1/aliases/{name}", "Deletes an alias; its key stays.")),
	}
}

// storeRoutes are those of key stores outside the cluster.
func storeRoutes() []Route {
	return []Route{
		of(kms.OpCreateCustomKeyStore, "POST", "/v1/custom-key-stores", "Creates a key store outside the cluster: none is served, so it is refused."),
		of(kms.OpDescribeCustomKeyStores, "GET", "/v1/custom-key-stores", "Lists the key stores outside the cluster: none is served, so there are none."),
		of(kms.OpUpdateCustomKeyStore, "PUT", "/v1/custom-key-stores/{store}", "Changes a key store outside the cluster: none is served, so it is refused."),
		of(kms.OpDeleteCustomKeyStore, "DELETE", "/v1/custom-key-stores/{store}", "Deletes a key store outside the cluster: none is served, so it is refused."),
		of(kms.OpConnectCustomKeyStore, "POST", "/v1/custom-key-stores/{store}/connect-custom-key-store", "Connects a key store outside the cluster: none is served, so it is refused."),
		of(kms.OpDisconnectCustomKeyStore, "POST", "/v1/custom-key-stores/{store}/disconnect-custom-key-store", "Disconnects a key store outside the cluster: none is served, so it is refused."),
	}
}

func clusterRoutes() []Route {
	return []Route{
		of(kms.OpGetCallerIdentity, "GET", "/v1/caller-identity", "Says who the caller is."),

		of(kms.OpCreateAccount, "POST", "/v1/accounts", "Creates an account; its root access key is answered this once."),
		of(kms.OpListAccounts, "GET", "/v1/accounts", "Lists the accounts of the cluster."),
		of(kms.OpDisableAccount, "POST", "/v1/accounts/{account}/disable", "Disables an account and all of its access keys."),

		of(kms.OpGetSetting, "GET", "/v1/sys/settings/{name}", "Answers a replicated setting."),
		of(kms.OpPutSetting, "PUT", "/v1/sys/settings/{name}", "Changes a replicated setting."),
		of(kms.OpLookupEvents, "GET", "/v1/audit/events", "Finds records of the audit trail of all nodes, newest first."),
		of(kms.OpGetAuditCheckpoint, "GET", "/v1/audit/checkpoint", "Answers the latest signed head of each node's audit trail, to verify its files against."),
		of(kms.OpReadMembers, "GET", "/v1/sys/members", "Lists the nodes of the cluster."),
		of(kms.OpAllowMember, "POST", "/v1/sys/members/{name}/allow", "Lets a removed or unexpected node name join."),
		of(kms.OpRemoveMember, "DELETE", "/v1/sys/members/{name}", "Removes a node; its name is refused from then on."),
		of(kms.OpSeal, "POST", "/v1/sys/seal", "Seals this node, or every node."),
	}
}

// The names of the system routes.
const (
	Health       = "Health"
	SealStatusOf = "SealStatus"
	Init         = "Init"
	Unseal       = "Unseal"
	CancelUnseal = "CancelUnseal"
	OpenAPI      = "OpenAPI"
	Metrics      = "Metrics"
)

// SystemRoutes are the routes that are no operation: they work on a sealed node and need no identity.
func SystemRoutes() []Route {
	return []Route{
		system[none, HealthAnswer](Health, "GET", "/v1/sys/health", "Says whether this node serves cryptography now: 200, or 501 before init, or 503."),
		system[none, SealStatus](SealStatusOf, "GET", "/v1/sys/seal-status", "Says whether this node is sealed and how far unsealing is."),
		system[InitRequest, InitAnswer](Init, "POST", "/v1/sys/init", "Makes the cluster's keys, once. Off loopback it needs the init token."),
		system[UnsealRequest, UnsealAnswer](Unseal, "POST", "/v1/sys/unseal", "Submits one key share."),
		system[CancelUnsealRequest, SealStatus](CancelUnseal, "DELETE", "/v1/sys/unseal", "Forgets the shares of an attempt."),
		system[none, none](OpenAPI, "GET", "/v1/openapi.json", "This document."),
		text(system[none, none](Metrics, "GET", "/metrics", "The node's metrics in the form that the scraper asks for, to who shows the metrics_token of its configuration; a development node asks for none.")),
	}
}

// SystemRoute returns the system route of that name; it panics on any other name, which only a
// mistake in this module can bring about.
func SystemRoute(name string) Route {
	for _, r := range SystemRoutes() {
		if r.Name == name {
			return r
		}
	}
	panic("wire: no system route " + name)
}

func of(op *kms.Operation, method, path, summary string) Route {
	r := Route{Method: method, Path: path, Name: op.Name, Operation: op, Summary: summary,
		Request: op.RequestType(), Answer: op.AnswerType(), Status: http.StatusOK}
	if op.Created {
		r.Status = http.StatusCreated
	}
	r.Open = op.Open
	return r
}

func alias(r Route) Route {
	r.NamePrefix = "alias/"
	return r
}

type none struct{}

// text marks a route whose answer is text.
func text(r Route) Route {
	r.Text = true
	return r
}

func system[Request, Answer any](name, method, path, summary string) Route {
	r := Route{Method: method, Path: path, Name: name, Summary: summary, Status: http.StatusOK, Open: true}
	if t := reflect.TypeFor[Request](); t != reflect.TypeFor[none]() {
		r.Request = t
	}
	if t := reflect.TypeFor[Answer](); t != reflect.TypeFor[none]() {
		r.Answer = t
	}
	return r
}
