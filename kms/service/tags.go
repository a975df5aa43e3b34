package service

import (
	"maps"
	"slices"

	"github.com/lockstep-kms/lockstep/kms"
)

func tagUses(all map[*kms.Operation]*use) {
	all[kms.OpTagResource] = changing(checkTagging, tagResource, replayNothing)
	all[kms.OpUntagResource] = changing(checkUntagging, untagResource, replayNothing)
	all[kms.OpListResourceTags] = reading(checkKeyList(50), listTags)
	all[kms.OpGetResources] = reading(checkGetResources, getResources)
}

func checkKeyList(highest int) func(*request, *kms.KeyListRequest) error {
	return func(r *request, q *kms.KeyListRequest) error {
		if err := r.parseSubject(q.KeyID, nil); err != nil {
			return err
		}
		r.notePage(q.Limit, q.Marker)
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
	return r.takeTags(q.Tags)
}

// takeTags refuses tags before they are recorded, as checkTags does, and notes the others.
func (r *request) takeTags(tags map[string]string) error {
	if err := checkTags(tags); err != nil {
		return err
	}
	r.noteMap("tags", tags)
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
	if err := checkCases(changed.Tags); err != nil {
		return nil, err
	}
	c.answer = &kms.Empty{}
	return r.finish(c, &changed)
}

func checkUntagging(r *request, q *kms.UntagResourceRequest) error {
	if err := r.parseSubject(q.KeyID, nil); err != nil {
		return err
	}
	return r.checkGoneTags(q.TagKeys)
}

func checkTagKeys(keys []string) error {
	if err := checkLength("tagKeys", len(keys), maxTags); err != nil {
		return err
	}
	for _, key := range keys {
		if err := checkTagKey(key); err != nil {
			return err
		}
	}
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
