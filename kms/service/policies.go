package service

import (
	"errors"
	"strings"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

func policyUses(all map[*kms.Operation]*use) {
	all[kms.OpGetKeyPolicy] = reading(checkKey, getKeyPolicy)
	all[kms.OpPutKeyPolicy] = changing(checkPutPolicy, putKeyPolicy, replayPolicy)
	all[kms.OpListKeyPolicies] = reading(checkKeyList(1000), listPolicies)
}

// policyName is the one name that a key's policy has.
const policyName = "default"

// maxPolicy is the length of a key policy, in bytes.
const maxPolicy = 32 << 10

func (r *request) defaultPolicy() string { return auth.DefaultKeyPolicy(r.Partition, r.scope.Account) }

// checkPolicy refuses a document that is no key policy, naming the place where it is wrong. "" stands for the default
// policy.
func (r *request) checkPolicy(document kms.PolicyDocument) error {
	if document == "" {
		return nil
	}
	if len(document) > maxPolicy {
		return kms.Errorf(kms.CodeLimitExceeded, "A key policy has at most %d bytes.", maxPolicy)
	}
	_, err := parsePolicy(policy.KeyPolicy, document)
	return err
}

// parsePolicy compiles a document. The error is CodeMalformedPolicy.
func parsePolicy(kind policy.Kind, document kms.PolicyDocument) (*policy.Document, error) {
	d, err := policy.Parse(kind, string(document))
	if err == nil {
		return d, nil
	}
	var at *policy.SyntaxError
	if !errors.As(err, &at) {
		return nil, err
	}
	return nil, kms.Errorf(kms.CodeMalformedPolicy, "The policy is malformed at line %d, column %d: %s", at.Line, at.Column, at.Message)
}

// newPolicy decides on a policy that a key is to have: its principals exist, as far as the caller's account can
// tell, and the caller can change it again. It returns the document, "" for the account's default policy.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html
func (r *request) newPolicy(k *kms.Key, document kms.PolicyDocument, bypass bool) (string, error) {
	if document == "" {
		return "", nil
	}
	parsed, err := parsePolicy(policy.KeyPolicy, document)
	if err != nil {
		return "", err
	}
	if err := r.checkPrincipals(parsed); err != nil {
		return "", err
	}
	if !bypass && !r.mayPutPolicy(k, parsed) {
		return "", kms.Errorf(kms.CodeMalformedPolicy, "The new key policy will not allow you to update the key policy in the future.")
	}
	if string(document) == r.defaultPolicy() {
		return "", nil
	}
	return string(document), nil
}

// mayPutPolicy reports whether the caller, or the root of the account, could put a policy on the key if it had this one.
func (r *request) mayPutPolicy(k *kms.Key, d *policy.Document) bool {
	guarding, caller := r.guarding, r.principal
	r.guarding = false
	defer func() { r.guarding, r.principal = guarding, caller }()
	root := &auth.Principal{Account: k.Scope.Account, ARN: r.rootARN(k.Scope.Account), UserID: k.Scope.Account, Type: kms.TypeRoot}
	raw, err := kms.KeyIDBytes(k.ID)
	if err != nil {
		return false
	}
	arn := kms.ARN(r.Partition, k.Scope, "key/"+k.ID)
	for _, r.principal = range []*auth.Principal{caller, root} {
		err := r.allow(&auth.Query{Action: "kms:PutKeyPolicy", Resource: arn, ResourceAccount: k.Scope.Account, Key: true, Policy: d},
			facts{key: &catalog.Key{Key: *k, ARN: arn, Raw: raw}, region: k.Scope.Region})
		if err == nil {
			return true
		}
	}
	return false
}

// checkPrincipals refuses a policy that names users or roles of the caller's account that are not there. Of other
// accounts nothing is told.
func (r *request) checkPrincipals(d *policy.Document) error {
	head := "arn:" + r.Partition + ":iam::" + r.scope.Account + ":"
	for _, arn := range d.Principals() {
		resource, own := strings.CutPrefix(arn, head)
		if !own || resource == "root" {
			continue
		}
		kind, path, _ := strings.Cut(resource, "/")
		who, err := r.view.Identity(r.scope.Account, kms.IdentityKey(map[string]string{"user": kms.TypeUser, "role": kms.TypeRole}[kind], path[strings.LastIndexByte(path, '/')+1:]))
		if err == nil && who.ARN(r.Partition) == arn {
			continue
		}
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return err
		}
		return kms.Errorf(kms.CodeMalformedPolicy, "Policy contains a statement with one or more invalid principals: there is no %s.", kms.Printable(arn))
	}
	return nil
}

// writePolicy makes a document the policy of a key that had the one of old, "" meaning the default policy. A policy that
// is not the default one has a record.
func (r *request) writePolicy(c *change, k *kms.Key, old, document string) error {
	k.DefaultPolicy = document == ""
	ref := r.view.IDs().Policy(k.Scope, k.ID)
	body := &kms.Policy{Schema: 1, Scope: k.Scope, KeyID: k.ID, Document: document}
	switch {
	case document != "":
		return c.put(r, ref, body)
	case old != "":
		body.Document = old
		return c.delete(r, ref, body)
	}
	return nil
}

func getKeyPolicy(r *request, _ *kms.KeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	return &kms.GetKeyPolicyAnswer{KeyID: k.ARN, PolicyName: policyName, Policy: k.Policy.Document.Text}, nil
}

func checkPutPolicy(r *request, q *kms.PutKeyPolicyRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if q.PolicyName != "" && q.PolicyName != policyName {
		return kms.Errorf(kms.CodeUnsupported, "A key's policy is called default.")
	}
	if q.Policy == "" {
		return constraint("policy", "Member must not be null")
	}
	r.note("policyName", policyName)
	r.noteTrue("bypassPolicyLockoutSafetyCheck", q.BypassPolicyLockoutSafetyCheck)
	if err := r.checkPolicy(q.Policy); err != nil {
		return err
	}
	r.noteDocument("policy", q.Policy)
	return nil
}

func putKeyPolicy(r *request, q *kms.PutKeyPolicyRequest) (*change, error) {
	k, c, err := r.begin("policy.changed")
	if err != nil {
		return nil, err
	}
	changed := k.Key
	document, err := r.newPolicy(&changed, q.Policy, q.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	var old string
	if !k.DefaultPolicy {
		old = k.Policy.Document.Text
	}
	if err := r.writePolicy(c, &changed, old, document); err != nil {
		return nil, err
	}
	c.answer = r.policyAnswer(&changed, document)
	return r.finish(c, &changed)
}

func (r *request) policyAnswer(k *kms.Key, document string) *kms.GetKeyPolicyAnswer {
	if document == "" {
		document = auth.DefaultKeyPolicy(r.Partition, k.Scope.Account)
	}
	return &kms.GetKeyPolicyAnswer{KeyID: kms.ARN(r.Partition, k.Scope, "key/"+k.ID), PolicyName: policyName, Policy: document}
}

// replayPolicy answers the policy that an earlier request wrote, which was this one: what the key has now may be
// another's.
func replayPolicy(r *request, rs *records) (any, error) {
	k, err := r.replayed(rs)
	if err != nil {
		return nil, err
	}
	return r.policyAnswer(k, string(r.call.Request.(*kms.PutKeyPolicyRequest).Policy)), nil
}

func listPolicies(r *request, q *kms.KeyListRequest) (any, error) {
	if _, err := r.useKey(r.key, r.op.Action, nil); err != nil {
		return nil, err
	}
	if _, err := r.after(q.Marker); err != nil {
		return nil, err
	}
	return &kms.ListKeyPoliciesAnswer{PolicyNames: []string{policyName}}, nil
}
