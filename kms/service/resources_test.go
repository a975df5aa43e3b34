package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// tagged makes a key of alice's with tags, "name=value" each, and returns its ARN.
func (w *world) tagged(t testing.TB, tags ...string) string {
	t.Helper()
	q := &kms.CreateKeyRequest{Tags: map[string]string{}}
	for _, tag := range tags {
		name, value, _ := strings.Cut(tag, "=")
		q.Tags[name] = value
	}
	return w.make(t, w.alice, q).ARN
}

// resources returns the ARNs that all pages of a question answer, in order, and how many pages there were.
func (w *world) resources(t testing.TB, who servicetest.Credentials, q kms.GetResourcesRequest) (arns []string, pages int) {
	t.Helper()
	for pages = 1; ; pages++ {
		if pages > 20 {
			t.Fatalf("%+v has no end", q)
		}
		a := w.must(t, who, kms.OpGetResources, &q).(*kms.GetResourcesAnswer)
		for _, m := range a.ResourceTagMappingList {
			arns = append(arns, m.ResourceARN)
		}
		if a.PaginationToken == "" {
			slices.Sort(arns)
			return arns, pages
		}
		q.PaginationToken = a.PaginationToken
	}
}

func TestResourcesByTags(t *testing.T) {
	w := newWorld(t, twoRegions)
	a1, a2 := w.tagged(t, "a=1", "b=x"), w.tagged(t, "a=2", "b=x")
	ab, none := w.tagged(t, "a=", "B=x"), w.CreateKey(w.alice)
	w.make(t, w.bob, &kms.CreateKeyRequest{Tags: map[string]string{"a": "1", "b": "x"}})
	_, err := w.in(secondRegion)(kms.OpCreateKey, &kms.CreateKeyRequest{Tags: map[string]string{"a": "1", "b": "x"}})
	want(t, "a key of another region", err, "")
	untagged := w.tagged(t, "a=1")
	w.must(t, w.alice, kms.OpUntagResource, &kms.UntagResourceRequest{KeyID: untagged, TagKeys: []string{"a"}})
	w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: a2})

	filter := func(key string, values ...string) kms.TagFilter { return kms.TagFilter{Key: key, Values: values} }
	by := func(filters ...kms.TagFilter) kms.GetResourcesRequest {
		return kms.GetResourcesRequest{TagFilters: filters}
	}
	types := func(types ...string) kms.GetResourcesRequest {
		return kms.GetResourcesRequest{ResourceTypeFilters: types}
	}
	for name, tt := range map[string]struct {
		q    kms.GetResourcesRequest
		want []string
	}{
		"no filter":              {by(), []string{a1, a2, ab}},
		"a key":                  {by(filter("a")), []string{a1, a2, ab}},
		"the case of a key":      {by(filter("b")), []string{a1, a2}},
		"a value":                {by(filter("a", "1")), []string{a1}},
		"values":                 {by(filter("a", "1", "", "9")), []string{a1, ab}},
		"two keys":               {by(filter("b", "x"), filter("a", "2", "1")), []string{a1, a2}},
		"two keys that are none": {by(filter("a", "1"), filter("B")), nil},
		"the service":            {types("ec2", "kms"), []string{a1, a2, ab}},
		"the type":               {types("kms:key"), []string{a1, a2, ab}},
		"other types":            {types("ec2", "kms:alias"), nil},
		"ARNs": {kms.GetResourcesRequest{ResourceARNList: []string{a2, a1, "arn:aws:kms:" + firstRegion + ":" + aliceID + ":key/" + none,
			"arn:aws:kms:" + secondRegion + ":" + aliceID + ":" + strings.SplitN(a1, ":", 6)[5], "arn:aws:kms:" + firstRegion + ":" + bobID + ":" + strings.SplitN(a1, ":", 6)[5],
			"arn:aws:kms:" + firstRegion + ":" + aliceID + ":alias/a", "arn:aws:s3:::bucket", "arn:nonsense", untagged}}, []string{a1, a2}},
	} {
		t.Run(name, func(t *testing.T) {
			slices.Sort(tt.want)
			if got, _ := w.resources(t, w.alice, tt.q); !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	answer := w.must(t, w.alice, kms.OpGetResources, &kms.GetResourcesRequest{ResourceARNList: []string{a1}}).(*kms.GetResourcesAnswer)
	if got := fmt.Sprint(answer.ResourceTagMappingList); got != "[{"+a1+" [{a 1} {b x}]}]" {
		t.Errorf("the tags are %s", got)
	}
}

// The right to find keys shows only those whose tags the caller may list.
func TestResourcesNeedTheRightToTheirTags(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	open, shut, other := w.tagged(t, "team=red"), w.tagged(t, "team=red"), w.tagged(t, "team=blue")
	w.must(t, w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: shut, Policy: kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + iamARN(aliceID, "root") + `"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"kms:ListResourceTags","Resource":"*","Condition":{"StringLike":{"aws:PrincipalArn":"` + iamARN(aliceID, "user/*") + `"}}}]}`)})
	for name, tt := range map[string]struct {
		document kms.PolicyDocument
		want     []string
	}{
		"nothing but to ask": {permit("tag:GetResources", "*"), nil},
		"every key":          {permit("tag:GetResources kms:ListResourceTags", "*"), []string{open, other}},
		"one key":            {rules(rule("Allow", "tag:GetResources", "*"), rule("Allow", "kms:ListResourceTags", other)), []string{other}},
		"keys by their tags": {rules(rule("Allow", "tag:*", "*"), rule("Allow", "kms:List*", "*", `{"StringEquals":{"aws:ResourceTag/team":"red"}}`)), []string{open}},
	} {
		t.Run(name, func(t *testing.T) {
			who := w.hire(t, strings.ReplaceAll(name, " ", "-"), tt.document)
			slices.Sort(tt.want)
			for _, q := range []kms.GetResourcesRequest{{}, {ResourceARNList: []string{open, shut, other}}} {
				if got, _ := w.resources(t, who, q); !slices.Equal(got, tt.want) {
					t.Errorf("%v, want %v", got, tt.want)
				}
			}
		})
	}
	_, err := w.Do(w.hire(t, "lister", permit("kms:*", "*")), kms.OpGetResources, &kms.GetResourcesRequest{})
	want(t, "without tag:GetResources", err, kms.CodeAccessDenied)
	if got, _ := w.resources(t, w.alice, kms.GetResourcesRequest{}); len(got) != 3 {
		t.Errorf("root finds %v", got)
	}
}

func TestResourcesInPages(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	var all []string
	fifty := make([]string, 50)
	for i := range fifty {
		fifty[i] = fmt.Sprintf("t%02d=v", i)
	}
	for i := range 5 {
		all = append(all, w.tagged(t, append(fifty[:49:49], fmt.Sprintf("n=%d", i))...))
		w.CreateKey(w.alice)
	}
	slices.Sort(all)
	for _, tt := range []struct {
		q     kms.GetResourcesRequest
		pages int
	}{
		{kms.GetResourcesRequest{}, 1},
		{kms.GetResourcesRequest{ResourcesPerPage: 100}, 1},
		{kms.GetResourcesRequest{ResourcesPerPage: 5}, 1},
		{kms.GetResourcesRequest{ResourcesPerPage: 2}, 3},
		{kms.GetResourcesRequest{ResourcesPerPage: 1}, 5},
		{kms.GetResourcesRequest{TagsPerPage: 100}, 3},
		{kms.GetResourcesRequest{TagsPerPage: 149}, 3},
		{kms.GetResourcesRequest{TagsPerPage: 150}, 2},
		{kms.GetResourcesRequest{TagsPerPage: 500, ResourcesPerPage: 3}, 2},
	} {
		if got, pages := w.resources(t, w.alice, tt.q); pages != tt.pages || !slices.Equal(got, all) {
			t.Errorf("%+v: %d keys in %d pages, want 5 in %d", tt.q, len(got), pages, tt.pages)
		}
	}
	marker := w.must(t, w.alice, kms.OpListKeys, &kms.ListRequest{Limit: 1}).(*kms.ListKeysAnswer).NextMarker
	_, err := w.Do(w.alice, kms.OpGetResources, &kms.GetResourcesRequest{PaginationToken: marker})
	want(t, "another listing's marker", err, kms.CodeInvalidMarker)
}

// One page looks through 1000 keys, whatever it finds; behind them the next page goes on.
func TestResourcesAreLookedForInBounds(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for range 1001 {
		w.CreateKey(w.alice)
	}
	first := w.tagged(t, "a=1")
	if got, pages := w.resources(t, w.alice, kms.GetResourcesRequest{}); pages != 2 || !slices.Equal(got, []string{first}) {
		t.Errorf("%v in %d pages", got, pages)
	}
	if got, pages := w.resources(t, w.alice, kms.GetResourcesRequest{ResourceTypeFilters: []string{"s3"}}); pages != 1 || got != nil {
		t.Errorf("of another type: %v in %d pages", got, pages)
	}
}

// Who may list no tags makes a page of few decisions, comes to the end by its tokens, and is shown no key by them.
func TestResourcesOfOthersAreLookedForInBounds(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for range 250 {
		w.tagged(t, "a=1")
	}
	asker := w.hire(t, "asker", permit("tag:GetResources", "*"))
	if got, pages := w.resources(t, asker, kms.GetResourcesRequest{}); pages != 3 || got != nil {
		t.Errorf("%d keys in %d pages", len(got), pages)
	}
	if got, pages := w.resources(t, w.alice, kms.GetResourcesRequest{ResourcesPerPage: 100}); pages != 3 || len(slices.Compact(got)) != 250 {
		t.Errorf("root finds %d keys in %d pages", len(got), pages)
	}
	if got, pages := w.resources(t, asker, kms.GetResourcesRequest{TagFilters: []kms.TagFilter{{Key: "b"}}}); pages != 1 || got != nil {
		t.Errorf("by other tags: %d keys in %d pages", len(got), pages)
	}
	token := w.must(t, asker, kms.OpGetResources, &kms.GetResourcesRequest{}).(*kms.GetResourcesAnswer).PaginationToken
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	want(t, "a token", err, "")
	for _, k := range w.keys(t, w.alice) {
		if raw, err := kms.KeyIDBytes(k.KeyID); err != nil || bytes.Contains(sealed, raw[:]) {
			t.Fatalf("the token shows %s (%v)", k.KeyID, err)
		}
	}
	sealed[len(sealed)-1] ^= 1
	for name, row := range map[string]struct {
		who   servicetest.Credentials
		token string
	}{"of another account": {w.bob, token}, "changed": {asker, base64.RawURLEncoding.EncodeToString(sealed)}, "with more": {asker, token + "="}} {
		_, err := w.Do(row.who, kms.OpGetResources, &kms.GetResourcesRequest{PaginationToken: row.token})
		want(t, name, err, kms.CodeInvalidMarker)
	}

	ctx, cancel := context.WithCancel(t.Context())
	w.Break(servicetest.Faults{Confirm: func() error { cancel(); return nil }})
	_, err = w.Service.Do(ctx, servicetest.Call(w.alice, kms.OpGetResources, &kms.GetResourcesRequest{}))
	if kms.CodeOf(err) != kms.CodeUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("for nobody: %v", err)
	}
}

func TestResourceQuestionsAreChecked(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	arn := w.tagged(t, "a=1")
	repeat := func(n int, s string) []string { return slices.Repeat([]string{s}, n) }
	filters := func(n int, key string, values ...string) *kms.GetResourcesRequest {
		return &kms.GetResourcesRequest{TagFilters: slices.Repeat([]kms.TagFilter{{Key: key, Values: values}}, n)}
	}
	var tests []verdict
	add := func(code kms.Code, q *kms.GetResourcesRequest) {
		tests = append(tests, verdict{fmt.Sprintf("%.200v", *q), kms.OpGetResources, q, code, ""})
	}
	for _, code := range []kms.Code{"", kms.CodeValidation} {
		over := 0
		if code != "" {
			over = 1
		}
		add(code, &kms.GetResourcesRequest{ResourcesPerPage: 100 + over})
		add(code, &kms.GetResourcesRequest{ResourcesPerPage: 1 - 2*over})
		add(code, &kms.GetResourcesRequest{TagsPerPage: 500 + over})
		add(code, &kms.GetResourcesRequest{TagsPerPage: 100 - over})
		add(code, &kms.GetResourcesRequest{ResourceARNList: repeat(100+over, arn)})
		add(code, &kms.GetResourcesRequest{ResourceARNList: []string{arn, "arn:" + strings.Repeat("x", 1007+over)}})
		add(code, &kms.GetResourcesRequest{ResourceTypeFilters: repeat(100+over, "kms")})
		add(code, filters(50+over, "a"))
		add(code, filters(1, strings.Repeat("ä", 128+over)))
		add(code, filters(1, "a", repeat(20+over, "1")...))
		add(code, filters(1, "a", strings.Repeat("ä", 256+over)))
	}
	add(kms.CodeValidation, filters(1, ""))
	add(kms.CodeInvalidRequest, filters(1, "\xff"))
	for _, id := range []string{"", arn[strings.LastIndex(arn, "/")+1:], "alias/a"} {
		add(kms.CodeValidation, &kms.GetResourcesRequest{ResourceARNList: []string{arn, id}})
	}
	for _, with := range []kms.GetResourcesRequest{
		{TagFilters: []kms.TagFilter{{Key: "a"}}}, {ResourceTypeFilters: []string{"kms"}}, {ResourcesPerPage: 5}, {TagsPerPage: 100}, {PaginationToken: "m"},
	} {
		with.ResourceARNList = []string{arn}
		add(kms.CodeValidation, &with)
	}
	add(kms.CodeInvalidMarker, &kms.GetResourcesRequest{PaginationToken: "garbage"})
	w.judge(t, tests)
}
