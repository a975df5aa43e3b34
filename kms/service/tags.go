package service

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
)

func tagUses(all map[*kms.Operation]*use) {
	all[kms.OpTagResource] = changing(checkTagging, tagResource, replayNothing)
	all[kms.OpUntagResource] = changing(checkUntagging, untagResource, replayNothing)
	all[kms.OpListResourceTags] = reading(checkKeyList(50), listTags)
	all[kms.OpGetKeyPolicy] = reading(checkKey, getKeyPolicy)
	all[kms.OpPutKeyPolicy] = changing(checkPutPolicy, putKeyPolicy, replayPolicy)
	all[kms.OpListKeyPolicies] = reading(checkKeyList(1000), listPolicies)
}

func checkKeyList(highest int) func(*request, *kms.KeyListRequest) error {
	return func(r *request, q *kms.KeyListRequest) error {
		if err := r.parseSubject(q.KeyID, nil); err != nil {
			return err
		}
		return checkLimit(q.Limit, highest)
	}
}

func checkTagging(r *request, q *kms.TagResourceRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if len(q.Tags) == 0 {
		return constraint("tags", "Member must not be null")
	}
	if err := checkTags(q.Tags); err != nil {
		return err
	}
	r.noteMap("tags", q.Tags)
	return nil
}

func tagResource(r *request, q *kms.TagResourceRequest) (*change, error) {
	return r.setTags("key.tagged", func(tags map[string]string) { maps.Copy(tags, q.Tags) })
}

// setTags writes the tags of a key as edit leaves them.
func (r *request) setTags(event string, edit func(map[string]string)) (*change, error) {
	k, c, err := r.begin(event)
	if err != nil {
		return nil, err
	}
	changed := k.Key
	changed.Tags = map[string]string{}
	maps.Copy(changed.Tags, k.Tags)
	edit(changed.Tags)
	if len(changed.Tags) > maxTags {
		return nil, kms.Errorf(kms.CodeInvalidTag, "Too many tags")
	}
	c.answer = &kms.Empty{}
	return r.finish(c, &changed)
}

func checkUntagging(r *request, q *kms.UntagResourceRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if err := checkLength("tagKeys", len(q.TagKeys), maxTags); err != nil {
		return err
	}
	for _, key := range q.TagKeys {
		if err := checkTagKey(key); err != nil {
			return err
		}
	}
	r.note("tagKeys", strings.Join(q.TagKeys, ","))
	return nil
}

func untagResource(r *request, q *kms.UntagResourceRequest) (*change, error) {
	return r.setTags("key.untagged", func(tags map[string]string) {
		for _, key := range q.TagKeys {
			delete(tags, key)
		}
	})
}

func listTags(r *request, q *kms.KeyListRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	names := slices.Sorted(maps.Keys(k.Tags))
	names = slices.DeleteFunc(names, func(name string) bool { return name <= after })
	shown, more := page(names, limit)
	answer := &kms.ListResourceTagsAnswer{Tags: make([]kms.Tag, len(shown))}
	for i, name := range shown {
		answer.Tags[i] = kms.Tag{Key: name, Value: k.Tags[name]}
	}
	if more {
		answer.NextMarker = r.marker(shown[len(shown)-1])
	}
	return answer, nil
}

// policyName is the one name that a key's policy has.
const policyName = "default"

func (r *request) defaultPolicy() string { return auth.DefaultKeyPolicy(r.Partition, r.scope.Account) }

// checkPolicy refuses every policy but the default one, since no other is evaluated: a document that is
// kept and not honoured would promise what nobody keeps.
func (r *request) checkPolicy(document map[string]any) error {
	if document == nil {
		return nil
	}
	text, err := json.Marshal(document) // sorts names, as the default policy's text has them
	if err != nil || string(text) != r.defaultPolicy() {
		return kms.Errorf(kms.CodeUnsupported, "This release serves no key policy but the default one.")
	}
	return nil
}

func getKeyPolicy(r *request, _ *kms.KeyRequest) (any, error) {
	k, err := r.useKey(r.key, r.op.Action, nil)
	if err != nil {
		return nil, err
	}
	return &kms.GetKeyPolicyAnswer{KeyID: k.ARN, PolicyName: policyName, Policy: k.Policy.Document}, nil
}

func checkPutPolicy(r *request, q *kms.PutKeyPolicyRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	if q.PolicyName != "" && q.PolicyName != policyName {
		return kms.Errorf(kms.CodeUnsupported, "A key's policy is called default.")
	}
	if q.Policy == nil {
		return constraint("policy", "Member must not be null")
	}
	r.note("policyName", policyName)
	return r.checkPolicy(q.Policy)
}

// putKeyPolicy writes the default policy, which is the only one that gets past checkPolicy: a record that says
// another goes.
func putKeyPolicy(r *request, _ *kms.PutKeyPolicyRequest) (*change, error) {
	k, c, err := r.begin("policy.changed")
	if err != nil {
		return nil, err
	}
	changed := k.Key
	changed.DefaultPolicy = true
	c.answer = &kms.GetKeyPolicyAnswer{KeyID: k.ARN, PolicyName: policyName, Policy: r.defaultPolicy()}
	if c, err = r.finish(c, &changed); err != nil || k.DefaultPolicy {
		return c, err
	}
	return c, c.delete(r, r.view.IDs().Policy(k.Scope, k.ID), &kms.Policy{Schema: 1, Scope: k.Scope, KeyID: k.ID, Document: k.Policy.Document})
}

func replayPolicy(r *request, rs *records) (any, error) {
	k, err := r.replayed(rs)
	if err != nil {
		return nil, err
	}
	return &kms.GetKeyPolicyAnswer{KeyID: kms.ARN(r.Partition, k.Scope, "key/"+k.ID), PolicyName: policyName, Policy: r.defaultPolicy()}, nil
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
