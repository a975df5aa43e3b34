package wire

import (
	"net/http"
	"reflect"

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
	Open      bool           // needs no identity

	// NamePrefix stands before the path variable {name} in the request: the path of an alias
	// leaves out "alias/", the request does not.
	NamePrefix string
}

// Routes is the table. The first ones are looked for first, so what must be fast stands first.
func Routes() []Route { return append(operationRoutes(), SystemRoutes()...) }

func operationRoutes() []Route {
	return []Route{
		of(kms.OpEncrypt, "POST", "/v1/keys/{key}/encrypt", "Encrypts up to 4096 bytes."),
		of(kms.OpDecrypt, "POST", "/v1/decrypt", "Decrypts a ciphertext; it names its key itself."),
		of(kms.OpDecrypt, "POST", "/v1/keys/{key}/decrypt", "Decrypts a ciphertext, with this key and no other."),
		of(kms.OpGenerateDataKey, "POST", "/v1/keys/{key}/generate-data-key", "Makes a random data key, in plaintext and encrypted."),
		of(kms.OpGenerateDataKeyWithoutPlaintext, "POST", "/v1/keys/{key}/generate-data-key-without-plaintext", "Makes a random data key and answers it encrypted only."),
		of(kms.OpReEncrypt, "POST", "/v1/keys/{key}/re-encrypt", "Decrypts a ciphertext and encrypts it under this key; the plaintext does not leave the node."),
		of(kms.OpGenerateRandom, "POST", "/v1/random", "Answers random bytes."),

		of(kms.OpCreateKey, "POST", "/v1/keys", "Creates a key."),
		of(kms.OpListKeys, "GET", "/v1/keys", "Lists the keys of the account and region."),
		of(kms.OpDescribeKey, "GET", "/v1/keys/{key}", "Describes a key."),
		of(kms.OpEnableKey, "POST", "/v1/keys/{key}/enable", "Enables a key."),
		of(kms.OpDisableKey, "POST", "/v1/keys/{key}/disable", "Disables a key; it does no cryptography until it is enabled."),
		of(kms.OpGetKeyPolicy, "GET", "/v1/keys/{key}/policy", "Answers a key's policy."),

		of(kms.OpCreateAlias, "POST", "/v1/aliases", "Gives a key another name."),
		of(kms.OpListAliases, "GET", "/v1/aliases", "Lists aliases, of one key if key_id names it."),
		alias(of(kms.OpUpdateAlias, "PUT", "/v1/aliases/{name}", "Moves an alias to another key.")),
		alias(of(kms.OpDeleteAlias, "DELETE", "/v1/aliases/{name}", "Deletes an alias; its key stays.")),

		of(kms.OpGetCallerIdentity, "GET", "/v1/caller-identity", "Says who the caller is."),

		of(kms.OpCreateAccount, "POST", "/v1/accounts", "Creates an account; its root access key is answered this once."),
		of(kms.OpListAccounts, "GET", "/v1/accounts", "Lists the accounts of the cluster."),
		of(kms.OpDisableAccount, "POST", "/v1/accounts/{account}/disable", "Disables an account and all of its access keys."),

		of(kms.OpGetSetting, "GET", "/v1/sys/settings/{name}", "Answers a replicated setting."),
		of(kms.OpPutSetting, "PUT", "/v1/sys/settings/{name}", "Changes a replicated setting."),
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
	return r
}

func alias(r Route) Route {
	r.NamePrefix = "alias/"
	return r
}

type none struct{}

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
