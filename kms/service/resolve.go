package service

import (
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

// findKey resolves an identifier in the call's region; an alias is looked up once, on the view that everything
// else is decided on. Of another account, and to a caller who may not do it with any key, nothing is told.
func (r *request) findKey(ref kms.KeyRef, action string) (*catalog.Key, error) {
	s := r.scope
	if ref.Scope.Account != "" && ref.Scope.Account != s.Account {
		if s.Account = ref.Scope.Account; !r.op.Foreign {
			return nil, r.deniedKey(action, ref)
		}
	}
	k, arn, err := r.lookUp(s, ref)
	if err == nil && s.Account != r.scope.Account {
		err = r.standing(s.Account)
	}
	if err == nil {
		r.resource(k.ARN, typeKey)
		return k, nil
	}
	if notFound(err, "") == err { // something else
		return nil, err
	}
	if s.Account != r.scope.Account {
		return nil, r.deniedKey(action, ref)
	}
	if err := r.mayHave(action, ref); err != nil {
		return nil, err
	}
	if ref.Alias != "" && arn == "" {
		if r.makesManaged(ref.Alias) {
			return nil, &unmadeKey{ref.Alias}
		}
		return nil, kms.Errorf(kms.CodeNotFound, "Alias %s is not found.", kms.ARN(r.Partition, s, ref.Alias))
	}
	return nil, kms.Errorf(kms.CodeNotFound, "Key '%s' does not exist", arn)
}

// standing returns catalog.ErrNotFound for an account that is disabled: its keys are nobody's meanwhile.
func (r *request) standing(account string) error {
	a, err := r.view.Account(account)
	if err == nil && a.Disabled {
		err = catalog.ErrNotFound
	}
	if err == nil && r.guarding {
		r.granted = append(r.granted, a.Guard())
	}
	return err
}

// lookUp returns the key of an identifier in a scope; with catalog.ErrNotFound the ARN that no key has, "" when it is
// the alias that is not there.
func (r *request) lookUp(s kms.Scope, ref kms.KeyRef) (*catalog.Key, string, error) {
	id := ref.ID
	if ref.Alias != "" {
		alias, err := r.view.Alias(s, ref.Alias)
		if err != nil {
			return nil, "", err
		}
		id = alias.KeyID
	}
	raw, err := kms.KeyIDBytes(id)
	if err != nil {
		return nil, "", err
	}
	k, err := r.view.Key(s, raw)
	if err == nil && k.ID == id {
		return k, k.ARN, nil
	}
	if err == nil { // the same bytes in the other form
		err = catalog.ErrNotFound
	}
	return nil, kms.ARN(r.Partition, s, "key/"+id), err
}

// mayHave refuses a caller who would be refused the action on such a key of its account if there was one with the
// default policy: to nobody else it is told that there is none. What an alias that is not there would lead to is any
// key: no policy names one by its alias.
func (r *request) mayHave(action string, ref kms.KeyRef) error {
	guarding := r.guarding
	r.guarding = false
	defer func() { r.guarding = guarding }()
	resource := "key/*"
	if ref.Alias == "" {
		resource = "key/" + ref.ID
	}
	err := r.allow(&auth.Query{Action: action, Resource: kms.ARN(r.Partition, r.scope, resource), ResourceAccount: r.scope.Account,
		Key: true, Policy: r.view.DefaultPolicy(r.scope.Account).Policy()}, facts{})
	if kms.CodeOf(err) == kms.CodeAccessDenied {
		return r.deniedKey(action, ref)
	}
	return err
}

// deniedKey words the refusal of a key that is not there as the one of a key that is.
func (r *request) deniedKey(action string, ref kms.KeyRef) error {
	s := r.scope
	if ref.Scope.Account != "" {
		s.Account = ref.Scope.Account
	}
	return r.denied(action, kms.ARN(r.Partition, s, resourceOf(ref)))
}

func resourceOf(ref kms.KeyRef) string {
	if ref.Alias != "" {
		return ref.Alias
	}
	return "key/" + ref.ID
}

// useKey is findKey and the gate: the key may be used for action by the caller.
func (r *request) useKey(ref kms.KeyRef, action string, context map[string]string) (*catalog.Key, error) {
	if err := r.openTokens(r.tokens); err != nil { // before the key is looked for: the refusal tells nothing of it
		return nil, err
	}
	k, err := r.findKey(ref, action)
	if err != nil {
		return nil, err
	}
	return k, r.allowKey(k, action, ref.Alias, context)
}

// allowKey asks the gate about a key.
func (r *request) allowKey(k *catalog.Key, action, alias string, context map[string]string) error {
	r.query = auth.Query{
		Action: action, Resource: k.ARN, ResourceAccount: k.Scope.Account,
		Key: true, Policy: k.Policy.Document.Policy(), PolicyRef: k.Policy.Ref(), Grants: (*grantsOf)(r),
	}
	return r.allow(&r.query, facts{key: k, alias: alias, encryptionContext: context})
}

// allowAlias asks the gate about an alias.
func (r *request) allowAlias(name string) error {
	return r.allow(&auth.Query{Resource: kms.ARN(r.Partition, r.scope, name), ResourceAccount: r.scope.Account}, facts{alias: name})
}

// allowAll asks the gate about what names no resource of its own.
func (r *request) allowAll() error { return r.allowAction(r.op.Action) }

// allowAction is allowAll of another action than the operation's.
func (r *request) allowAction(action string) error {
	return r.allowIn(r.scope.Region, action)
}

// allowIn is allowAction in another region than the call's.
func (r *request) allowIn(region, action string) error {
	return r.allow(&auth.Query{Action: action, Resource: "*", ResourceAccount: r.scope.Account}, facts{region: region})
}

// allow asks the gate. A change keeps what the gate read, to guard it.
func (r *request) allow(q *auth.Query, f facts) error {
	if q.Action == "" {
		q.Action = r.op.Action
	}
	q.Principal, q.Operation = r.principal, r.op
	f.request, f.action = r, q.Action
	if f.owner == "" {
		f.owner = q.ResourceAccount
	}
	if f.region == "" {
		f.region = r.scope.Region
	}
	r.facts, q.Context = f, &r.facts
	d := auth.Decide(q)
	if r.facts.err != nil { // a condition key could not be read
		return r.facts.err
	}
	if !d.Allow() {
		resource := q.Resource
		if f.key != nil && f.alias != "" { // what an alias is for is not told
			resource = kms.ARN(r.Partition, f.key.Scope, f.alias)
		}
		return r.denied(q.Action, resource)
	}
	if r.guarding {
		r.reads = append(r.reads, d)
		if d.Grant != "" {
			r.guardGrant(f.key, d.Grant)
		}
	}
	return nil
}

func (r *request) denied(action, resource string) error {
	return kms.Errorf(kms.CodeAccessDenied, "User: %s is not authorized to perform: %s on resource: %s", r.principal.ARN, action, kms.Printable(resource))
}

// resource notes what the call acts on, for the audit record.
func (r *request) resource(arn, kind string) {
	if r.found < len(r.resources) {
		r.resources[r.found] = audit.Resource{ARN: arn, AccountID: r.ownerOf(arn), Type: kind}
		r.found++
	}
}

// ownerOf returns the account of an ARN; the caller's of what is none.
func (r *request) ownerOf(arn string) string {
	rest := arn
	for range 4 {
		var more bool
		if _, rest, more = strings.Cut(rest, ":"); !more {
			return r.scope.Account
		}
	}
	account, _, _ := strings.Cut(rest, ":")
	return account
}
