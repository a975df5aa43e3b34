package service

import (
	"errors"
	"slices"
	"strings"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

func simulationUses(all map[*kms.Operation]*use) {
	all[kms.OpSimulatePrincipalPolicy] = reading(checkSimulate, simulate)
	all[kms.OpWhoCan] = reading(checkWhoCan, whoCan)
}

// readsPolicy is what the caller has to be allowed with a key that a simulation is about: it tells what the key's policy
// holds.
const readsPolicy = "kms:GetKeyPolicy"

const (
	maxSimulated = 100 // condition keys
	maxWhoCan    = 1000
)

func checkAction(action string) error {
	service, name, ok := strings.Cut(action, ":")
	if !ok || service == "" || name == "" || len(action) > 128 || !inPattern(action, ":") {
		return constraint("action", "Member must be a policy action such as kms:Encrypt")
	}
	return nil
}

func checkSimulate(r *request, q *kms.SimulateRequest) error {
	r.note("principalArn", kms.Printable(q.PrincipalARN))
	r.note("action", kms.Printable(q.Action))
	r.note("resource", kms.Printable(q.Resource))
	if len(q.Context) > maxSimulated || len(q.Resource) > 2048 {
		return constraint("context", "Member must have at most %d condition keys", maxSimulated)
	}
	r.noteValues("contextEntries", "contextKeyName", "contextKeyValues", q.Context)
	return firstOf(checkLength("principalArn", len(q.PrincipalARN), 2048), checkAction(q.Action))
}

// simulate decides for a principal of the caller's account as the gate would.
func simulate(r *request, q *kms.SimulateRequest) (any, error) {
	if err := r.allowIdentity(q.PrincipalARN, facts{}); err != nil {
		return nil, err
	}
	who, err := r.identityByARN(q.PrincipalARN)
	if err != nil {
		return nil, err
	}
	p := r.view.PrincipalOf(who)
	if p == nil {
		return nil, kms.Errorf(kms.CodeValidation, "%s signs no requests: simulate for a user, role or root.", kms.Printable(q.PrincipalARN))
	}
	k, resource, err := r.simulated(q.Resource)
	if err != nil {
		return nil, err
	}
	v, err := r.verdict(p, q.PrincipalARN, q.Action, k, resource, q.Context)
	if err != nil {
		return nil, err
	}
	return &kms.SimulateAnswer{Verdict: v}, nil
}

// identityByARN finds an identity of the caller's account.
func (r *request) identityByARN(arn string) (*catalog.Identity, error) {
	resource, own := strings.CutPrefix(arn, "arn:"+r.Partition+":iam::"+r.scope.Account+":")
	kind, path, _ := strings.Cut(resource, "/")
	key := kms.IdentityKey(map[string]string{"user": kms.TypeUser, "role": kms.TypeRole, "group": kms.TypeGroup}[kind], path[strings.LastIndexByte(path, '/')+1:])
	if resource == "root" {
		key = kms.IdentityKey(kms.TypeRoot, "")
	}
	i, err := r.view.Identity(r.scope.Account, key)
	if err == nil && (!own || i.ARN(r.Partition) != arn) || err != nil && errors.Is(err, catalog.ErrNotFound) {
		return nil, kms.Errorf(kms.CodeNotFound, "There is no %s in this account.", kms.Printable(arn))
	}
	return i, err
}

// simulated resolves what a simulation is about: a key of the caller's account, or else any resource by its ARN.
func (r *request) simulated(resource string) (*catalog.Key, string, error) {
	if resource == "" || resource == "*" {
		return nil, "*", nil
	}
	if strings.HasPrefix(resource, "arn:") && !strings.HasPrefix(resource, "arn:"+r.Partition+":kms:") {
		return nil, resource, nil
	}
	ref, err := r.parseKey(resource)
	if err != nil {
		return nil, "", err
	}
	if ref.Alias != "" && ref.Scope.Region != "" { // an alias ARN is a resource of its own
		return nil, resource, nil
	}
	k, err := r.useKey(ref, readsPolicy, nil)
	if err != nil {
		return nil, "", err
	}
	return k, k.ARN, nil
}

// verdict decides what a principal would be answered.
func (r *request) verdict(p *auth.Principal, arn, action string, k *catalog.Key, resource string, given map[string][]string) (kms.Verdict, error) {
	caller, guarding := r.principal, r.guarding
	r.principal, r.guarding = p, false
	defer func() { r.principal, r.guarding = caller, guarding }()
	op := operationOf(action)
	f := facts{request: r, action: op.Action, owner: p.Account, region: r.scope.Region, key: k, simulated: true, given: given, encryptionContext: simulatedContext(given)}
	q := auth.Query{Principal: p, Operation: op, Action: op.Action, Resource: resource, ResourceAccount: p.Account}
	if k != nil {
		f.owner, q.ResourceAccount = k.Scope.Account, k.Scope.Account
		q.Key, q.Policy, q.PolicyRef, q.Grants = true, k.Policy.Document.Policy(), k.Policy.Ref(), (*grantsOf)(r)
	} else if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 && parts[4] != "" {
		q.ResourceAccount = parts[4]
	}
	if role := r.simulatedRole(resource); role != nil && strings.HasPrefix(strings.ToLower(op.Action), "sts:") {
		if q.Policy = role.TrustPolicy(); q.Policy == nil {
			q.Policy = &policy.Document{} // it cannot be read
		}
	}
	r.facts, q.Context = f, &r.facts
	d := auth.Decide(&q)
	if r.facts.err != nil { // a condition key could not be read
		return kms.Verdict{}, r.facts.err
	}
	v := kms.Verdict{Decision: "implicitDeny", Reason: d.Reason, PolicyID: d.PolicyID(), GrantID: d.Grant, PrincipalARN: arn, Action: action, Resource: resource}
	switch d.Effect {
	case policy.Allowed:
		v.Decision = "allowed"
	case policy.ExplicitDeny:
		v.Decision = "explicitDeny"
	}
	if d.Source != policy.FromNothing {
		v.Source = d.Source.String()
	}
	if v.PolicyID == "" && d.Source == policy.FromKeyPolicy {
		v.PolicyID = resource
	}
	if d.Document != nil && d.Decision.Statement >= 0 {
		n := d.Decision.Statement
		v.Statement, v.StatementID = &n, d.Sid()
	}
	return v, nil
}

// simulatedRole returns the role of the caller's account that a resource is, nil when it is none.
func (r *request) simulatedRole(resource string) *catalog.Identity {
	account, name, err := r.parseRole(resource)
	if err != nil || account != r.scope.Account {
		return nil
	}
	i, err := r.view.Identity(account, kms.IdentityKey(kms.TypeRole, name))
	if err != nil || i.ARN(r.Partition) != resource {
		return nil
	}
	return i
}

// simulatedContext returns the encryption context that a simulation gives, for constraints of grants.
func simulatedContext(given map[string][]string) map[string]string {
	context := map[string]string{}
	const prefix = "kms:encryptioncontext:"
	for key, values := range given {
		if len(key) > len(prefix) && strings.EqualFold(key[:len(prefix)], prefix) && len(values) == 1 {
			context[key[len(prefix):]] = values[0]
		}
	}
	return context
}

// operationOf returns the operation of a policy action, which is equal without regard to case, or one like it of the
// same service.
func operationOf(action string) *kms.Operation {
	service, _, _ := strings.Cut(action, ":")
	resource := kms.ResourceKey
	for _, o := range kms.Operations {
		if strings.EqualFold(o.Action, action) {
			return o
		}
	}
	for _, o := range kms.GrantOperations { // ReEncryptFrom is no operation of its own
		if strings.EqualFold("kms:"+string(o), action) {
			action = "kms:" + string(o)
		}
	}
	if strings.EqualFold(service, "lockstep") {
		resource = kms.ResourceCluster
	}
	return &kms.Operation{Name: "Simulated", Action: action, Resource: resource}
}

func checkWhoCan(r *request, q *kms.WhoCanRequest) error {
	r.note("action", kms.Printable(q.Action))
	r.notePage(q.Limit, q.Marker)
	return firstOf(r.parseSubject(q.KeyID, nil), checkAction(q.Action), checkLimit(q.Limit, maxWhoCan))
}

// whoCan asks for each root, user and role of the account whether it may do something with a key. A page looks at so many
// of them. It tells what policies hold, so it is for who may simulate with everybody, too.
func whoCan(r *request, q *kms.WhoCanRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	if err := r.allowAction(kms.OpSimulatePrincipalPolicy.Action); err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultIdentities
	}
	shown, more := page(r.view.Everybody(k.Scope.Account, after, limit+1), limit)
	answer := &kms.WhoCanAnswer{Allowed: []kms.Verdict{}}
	for _, i := range shown {
		p := r.view.PrincipalOf(i)
		if p == nil || i.Disabled {
			continue
		}
		v, err := r.verdict(p, i.ARN(r.Partition), q.Action, k, k.ARN, nil)
		if err != nil {
			return nil, err
		}
		if v.Decision == "allowed" {
			answer.Allowed = append(answer.Allowed, v)
		}
	}
	if more {
		answer.NextMarker = r.marker(shown[len(shown)-1].Key() + "\x00")
	}
	if q.Marker == "" {
		answer.Others = r.strangersOf(k)
	}
	return answer, nil
}

// strangersOf returns who of other accounts a key's policy and grants name.
func (r *request) strangersOf(k *catalog.Key) (all []string) {
	own := ":" + k.Scope.Account + ":"
	add := func(arn string) {
		if arn != k.Scope.Account && !strings.Contains(arn, own) && !slices.Contains(all, arn) {
			all = append(all, arn)
		}
	}
	if d := k.Policy.Document.Policy(); d != nil {
		for _, arn := range d.Principals() {
			add(arn)
		}
	}
	for _, g := range r.view.Grants(k.Scope, k.Raw, "", maxWhoCan) {
		add(g.GranteePrincipal)
	}
	slices.Sort(all)
	return all
}
