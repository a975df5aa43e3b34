package service

import (
	"errors"
	"strings"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// The types of audited resources, as CloudTrail has them.
const (
	typeKey     = "AWS::KMS::Key"
	typeAlias   = "AWS::KMS::Alias"
	typeAccount = "Lockstep::Account"
	typeSetting = "Lockstep::Setting"
	typeMember  = "Lockstep::Member"
)

// parseKey reads a key identifier; what no state could resolve is refused.
func (r *request) parseKey(s string) (kms.KeyRef, error) {
	ref, err := kms.ParseKeyRef(s)
	if err != nil {
		return ref, err
	}
	if ref.Scope.Region == "" {
		return ref, nil
	}
	if partition, _, _ := strings.Cut(s[len("arn:"):], ":"); partition != r.Partition {
		return ref, kms.Errorf(kms.CodeInvalidARN, "Invalid arn %s", kms.Printable(s))
	}
	if ref.Scope.Region != r.scope.Region {
		return ref, kms.Errorf(kms.CodeNotFound, "Invalid arn %s", kms.Printable(ref.Scope.Region))
	}
	return ref, nil
}

// parseSubject reads the identifier of the one key that the request is about, and its grant tokens.
func (r *request) parseSubject(key string, tokens []string) (err error) {
	if r.key, err = r.parseKey(key); err != nil {
		return err
	}
	r.note("keyId", key)
	return r.checkGrantTokens(tokens)
}

// findKey resolves an identifier in the caller's account and region; an alias is looked up once,
// on the view that everything else is decided on. Of another account nothing is looked up and
// nothing told.
func (r *request) findKey(ref kms.KeyRef, action string) (*catalog.Key, error) {
	if ref.Scope.Account != "" && ref.Scope.Account != r.scope.Account {
		return nil, r.denied(action, kms.ARN(r.Partition, ref.Scope, resourceOf(ref)))
	}
	id := ref.ID
	if ref.Alias != "" {
		alias, err := r.view.Alias(r.scope, ref.Alias)
		if errors.Is(err, catalog.ErrNotFound) && r.makesManaged(ref.Alias) {
			return nil, &unmadeKey{ref.Alias}
		}
		if err != nil {
			return nil, notFound(err, "Alias %s is not found.", kms.ARN(r.Partition, r.scope, ref.Alias))
		}
		id = alias.KeyID
	}
	raw, err := kms.KeyIDBytes(id)
	if err != nil {
		return nil, err
	}
	k, err := r.view.Key(r.scope, raw)
	if err == nil && k.ID != id { // the same bytes in the other form
		err = catalog.ErrNotFound
	}
	if err != nil {
		return nil, notFound(err, "Key '%s' does not exist", kms.ARN(r.Partition, r.scope, "key/"+id))
	}
	r.resource(k.ARN, typeKey)
	return k, nil
}

func resourceOf(ref kms.KeyRef) string {
	if ref.Alias != "" {
		return ref.Alias
	}
	return "key/" + ref.ID
}

// useKey is findKey and the gate: the key may be used for action by the caller.
func (r *request) useKey(ref kms.KeyRef, action string, context map[string]string) (*catalog.Key, error) {
	k, err := r.findKey(ref, action)
	if err != nil {
		return nil, err
	}
	if err := r.openTokens(r.tokens); err != nil {
		return nil, err
	}
	return k, r.allowKey(k, action, ref.Alias, context)
}

// allowKey asks the gate about a key.
func (r *request) allowKey(k *catalog.Key, action, alias string, context map[string]string) error {
	return r.allow(&auth.Query{
		Action: action, Resource: k.ARN, ResourceAccount: k.Scope.Account,
		Policy: k.Policy.Document, PolicyRef: k.Policy.Ref(),
		Alias: alias, EncryptionContext: context,
	})
}

// allowAlias asks the gate about an alias.
func (r *request) allowAlias(name string) error {
	return r.allow(&auth.Query{
		Resource: kms.ARN(r.Partition, r.scope, name), ResourceAccount: r.scope.Account, Alias: name,
	})
}

// allowAccount asks the gate about the caller's own account.
func (r *request) allowAccount() error {
	return r.allow(&auth.Query{Resource: "*", ResourceAccount: r.scope.Account})
}

// allowAll asks the gate about what names no resource.
func (r *request) allowAll() error { return r.allow(&auth.Query{Resource: "*"}) }

// allow asks the gate. A change keeps what the gate read, to guard it.
func (r *request) allow(q *auth.Query) error {
	q.Principal, q.Operation = r.principal, r.op
	q.Source, q.TLS = r.call.Source, r.call.TLS
	d := auth.Decide(q)
	if !d.Allow {
		action := q.Action
		if action == "" {
			action = r.op.Action
		}
		return r.denied(action, q.Resource)
	}
	if r.guarding {
		r.reads = append(r.reads, d)
	}
	return nil
}

func (r *request) denied(action, resource string) error {
	return kms.Errorf(kms.CodeAccessDenied, "User: %s is not authorized to perform: %s on resource: %s", r.principal.ARN, action, kms.Printable(resource))
}

// resource notes what the call acts on, for the audit record.
func (r *request) resource(arn, kind string) {
	if r.found < len(r.resources) {
		r.resources[r.found] = audit.Resource{ARN: arn, AccountID: r.scope.Account, Type: kind}
		r.found++
	}
}
