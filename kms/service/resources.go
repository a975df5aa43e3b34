package service

import (
	"encoding/base64"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/seal"
)

// Limits of the AWS Resource Groups Tagging API.
const (
	maxTagFilters    = 50
	maxFilterValues  = 20
	maxResourceTypes = 100
	maxResourceARNs  = 100
	maxResourceARN   = 1011
	maxResources     = 100
	minTagsPerPage   = 100 // more than one key can have, so that every page has one
	maxTagsPerPage   = 500
)

// Bounds of the work for one page of getResources, whatever it finds: keys that are looked through, and decisions on the
// right to a key's tags, each of which may ask every policy there is.
const (
	maxLookedThrough = 1000
	maxDecided       = 100
)

// resourcesPurpose is the purpose of the tokens of its pages. They are sealed: a page may end at a key that the caller may
// not know of.
const resourcesPurpose = "resources"

func checkGetResources(r *request, q *kms.GetResourcesRequest) error {
	if n := q.ResourcesPerPage; n != 0 {
		if err := checkRange("resourcesPerPage", n, 1, maxResources); err != nil {
			return err
		}
	}
	if n := q.TagsPerPage; n != 0 {
		if err := checkRange("tagsPerPage", n, minTagsPerPage, maxTagsPerPage); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		field      string
		n, highest int
	}{
		{"tagFilters", len(q.TagFilters), maxTagFilters},
		{"resourceTypeFilters", len(q.ResourceTypeFilters), maxResourceTypes},
		{"resourceARNList", len(q.ResourceARNList), maxResourceARNs},
	} {
		if list.n > list.highest {
			return constraint(list.field, "Member must have length less than or equal to %d", list.highest)
		}
	}
	if len(q.ResourceARNList) > 0 && (len(q.TagFilters) > 0 || len(q.ResourceTypeFilters) > 0 || q.ResourcesPerPage != 0 || q.TagsPerPage != 0 || q.PaginationToken != "") {
		return kms.Errorf(kms.CodeValidation, "A list of ARNs stands alone: leave out the filters and the paging.")
	}
	for _, arn := range q.ResourceARNList {
		if err := checkLength("resourceARNList", len(arn), maxResourceARN); err != nil {
			return err
		}
		if !strings.HasPrefix(arn, "arn:") {
			return kms.Errorf(kms.CodeValidation, "%s is not an ARN.", kms.Printable(arn))
		}
	}
	if err := checkTagFilters(q.TagFilters); err != nil {
		return err
	}
	r.noteResources(q)
	return nil
}

func (r *request) noteResources(q *kms.GetResourcesRequest) {
	var filters []audit.Pair
	for _, f := range q.TagFilters {
		filters = append(filters, audit.Members("", audit.Pair{Key: "key", Value: f.Key}, audit.List("values", f.Values)))
	}
	r.noteEntries("tagFilters", filters)
	noteList(r, "resourceTypeFilters", q.ResourceTypeFilters)
	noteList(r, "resourceARNList", q.ResourceARNList)
	if q.ResourcesPerPage != 0 {
		r.noteInt("resourcesPerPage", q.ResourcesPerPage)
	}
	if q.TagsPerPage != 0 {
		r.noteInt("tagsPerPage", q.TagsPerPage)
	}
	r.note("paginationToken", q.PaginationToken)
}

func checkTagFilters(filters []kms.TagFilter) error {
	for _, f := range filters {
		if !utf8.ValidString(f.Key) {
			return kms.Errorf(kms.CodeInvalidRequest, "A tag filter is not valid UTF-8.")
		}
		if err := checkLength("tagFilters", utf8.RuneCountInString(f.Key), maxTagKey); err != nil {
			return err
		}
		if len(f.Values) > maxFilterValues {
			return constraint("tagFilters", "Member must have length less than or equal to %d", maxFilterValues)
		}
		for _, value := range f.Values {
			if utf8.RuneCountInString(value) > maxTagValue {
				return constraint("tagFilters", "Member must have length less than or equal to %d", maxTagValue)
			}
		}
	}
	return nil
}

// getResources answers the tagged keys of the caller's account and the call's region whose tags the caller may list:
// the right to call it shows nothing that ListResourceTags would not.
func getResources(r *request, q *kms.GetResourcesRequest) (any, error) {
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	if len(q.ResourceARNList) > 0 {
		return r.listedResources(q.ResourceARNList)
	}
	last, err := r.openResources(q.PaginationToken)
	if err != nil {
		return nil, err
	}
	answer := &kms.GetResourcesAnswer{ResourceTagMappingList: []kms.ResourceTagMapping{}}
	if !namesKeys(q.ResourceTypeFilters) {
		return answer, nil
	}
	limit, tags := q.ResourcesPerPage, q.TagsPerPage
	if limit == 0 {
		limit = 50
	}
	if tags == 0 {
		tags = math.MaxInt
	}
	keys, more := page(r.view.Keys(r.scope, last, maxLookedThrough+1), maxLookedThrough)
	decided := 0
	for _, k := range keys {
		if len(k.Tags) > 0 && matches(q.TagFilters, k.Tags) {
			if decided++; decided > maxDecided {
				more = true
				break
			}
			shown, err := r.showsTags(k)
			if err != nil {
				return nil, err
			}
			if shown {
				if len(answer.ResourceTagMappingList) == limit || len(k.Tags) > tags {
					more = true
					break
				}
				tags -= len(k.Tags)
				answer.ResourceTagMappingList = append(answer.ResourceTagMappingList, mapping(k))
			}
		}
		last = k.Raw
	}
	if more {
		if answer.PaginationToken, err = r.sealResources(last); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// sealResources returns the token behind which getResources goes on after a key.
func (r *request) sealResources(last [16]byte) (string, error) {
	token, err := r.view.SealToken(resourcesPurpose, []byte(r.scope.Account+r.scope.Region), last[:])
	return base64.RawURLEncoding.EncodeToString(token), err
}

// openResources reads a token; the empty one is before everything.
func (r *request) openResources(token string) (last [16]byte, err error) {
	if token == "" {
		return last, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return last, errMarker()
	}
	plain, err := r.view.OpenToken(resourcesPurpose, []byte(r.scope.Account+r.scope.Region), raw)
	if errors.Is(err, seal.ErrOpen) || err == nil && copy(last[:], plain) != len(last) {
		err = errMarker()
	}
	return last, err
}

// listedResources answers those of the ARNs that are keys which getResources would answer too.
func (r *request) listedResources(arns []string) (any, error) {
	answer := &kms.GetResourcesAnswer{ResourceTagMappingList: []kms.ResourceTagMapping{}}
	for _, arn := range slices.Compact(slices.Sorted(slices.Values(arns))) {
		ref, err := r.parseKey(arn)
		if err != nil || ref.ID == "" || ref.Scope.Account != r.scope.Account {
			continue
		}
		k, _, err := r.lookUp(r.scope, ref)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		shown, err := r.showsTags(k)
		if err != nil {
			return nil, err
		}
		if shown {
			answer.ResourceTagMappingList = append(answer.ResourceTagMappingList, mapping(k))
		}
	}
	return answer, nil
}

// namesKeys reports whether the resource types, each "service" or "service:type", have keys among them.
func namesKeys(types []string) bool {
	return len(types) == 0 || slices.Contains(types, "kms") || slices.Contains(types, "kms:key")
}

// matches reports whether every filter finds a tag.
func matches(filters []kms.TagFilter, tags map[string]string) bool {
	for _, f := range filters {
		value, ok := tags[f.Key]
		if !ok || len(f.Values) > 0 && !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}

// showsTags reports whether the key has tags that the caller may list.
func (r *request) showsTags(k *catalog.Key) (bool, error) {
	if len(k.Tags) == 0 {
		return false, nil
	}
	if err := r.ctx.Err(); err != nil { // nobody waits for the answer
		e := kms.Errorf(kms.CodeUnavailable, "The request ended before it was answered.")
		e.RetryAfter = time.Second
		return false, e.WithCause(err)
	}
	err := r.allowKey(k, kms.OpListResourceTags.Action, "", nil)
	if kms.CodeOf(err) == kms.CodeAccessDenied {
		return false, nil
	}
	return err == nil, err
}

func mapping(k *catalog.Key) kms.ResourceTagMapping {
	m := kms.ResourceTagMapping{ResourceARN: k.ARN, Tags: make([]kms.Tag, 0, len(k.Tags))}
	for _, name := range slices.Sorted(maps.Keys(k.Tags)) {
		m.Tags = append(m.Tags, kms.Tag{Key: name, Value: k.Tags[name]})
	}
	return m
}
