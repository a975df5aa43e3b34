package service_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// tags returns the tags of a key, read in pages.
func (w *world) tags(t *testing.T, key string, limit int) map[string]string {
	t.Helper()
	all, last := map[string]string{}, ""
	for marker := ""; ; {
		a := w.must(t, w.alice, kms.OpListResourceTags, &kms.KeyListRequest{KeyID: key, Limit: limit, Marker: marker}).(*kms.ListResourceTagsAnswer)
		if limit > 0 && len(a.Tags) > limit {
			t.Errorf("a page of %d has %d tags", limit, len(a.Tags))
		}
		for _, tag := range a.Tags {
			if tag.Key <= last {
				t.Errorf("%q comes after %q", tag.Key, last)
			}
			all[tag.Key], last = tag.Value, tag.Key
		}
		if marker = a.NextMarker; marker == "" {
			return all
		}
		if len(a.Tags) == 0 {
			t.Fatal("an empty page has a marker")
		}
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.make(t, w.alice, &kms.CreateKeyRequest{Tags: map[string]string{"a": "1", "b": "2"}}).KeyID
	tag := func(tags map[string]string) {
		w.must(t, w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: tags})
	}
	untag := func(names ...string) {
		w.must(t, w.alice, kms.OpUntagResource, &kms.UntagResourceRequest{KeyID: key, TagKeys: names})
	}
	is := func(want map[string]string) {
		t.Helper()
		for _, limit := range []int{0, 1, 50} {
			if got := w.tags(t, key, limit); !maps.Equal(got, want) {
				t.Errorf("in pages of %d the tags are %v, want %v", limit, got, want)
			}
		}
	}
	tag(map[string]string{"b": "3", "c": ""})
	is(map[string]string{"a": "1", "b": "3", "c": ""})
	untag("a", "missing", "a")
	is(map[string]string{"b": "3", "c": ""})
	untag("missing")
	is(map[string]string{"b": "3", "c": ""})

	many := map[string]string{}
	for i := range 48 {
		many[fmt.Sprintf("t%02d", i)] = "v"
	}
	tag(many)
	all := maps.Clone(many)
	all["b"], all["c"] = "3", ""
	is(all)
	_, err := w.Do(w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: map[string]string{"t00": "new", "z": "one too many"}})
	want(t, "the 51st tag", err, kms.CodeInvalidTag)
	is(all) // nothing of it
	tag(map[string]string{"t00": "new"})
	all["t00"] = "new"
	is(all)
	untag("b")
	delete(all, "b")
	tag(map[string]string{"z": "50th"})
	all["z"] = "50th"
	is(all)

	set := func(tags map[string]string) *kms.TagResourceRequest {
		return &kms.TagResourceRequest{KeyID: key, Tags: tags}
	}
	w.judge(t, []verdict{
		{"none", kms.OpTagResource, set(nil), kms.CodeValidation, ""},
		{"none", kms.OpUntagResource, &kms.UntagResourceRequest{KeyID: key}, kms.CodeValidation, ""},
		{"reserved", kms.OpTagResource, set(map[string]string{"aws:x": ""}), kms.CodeInvalidTag, "reserved"},
		{"reserved", kms.OpTagResource, set(map[string]string{"aWS:x": ""}), kms.CodeInvalidTag, "reserved"},
		{"reserved", kms.OpUntagResource, &kms.UntagResourceRequest{KeyID: key, TagKeys: []string{"AWS:x"}}, kms.CodeInvalidTag, "reserved"},
		{"reserved", kms.OpCreateKey, &kms.CreateKeyRequest{Tags: map[string]string{"Aws:": ""}}, kms.CodeInvalidTag, "reserved"},
		{"no name", kms.OpTagResource, set(map[string]string{"": "v"}), kms.CodeInvalidTag, ""},
		{"long name", kms.OpTagResource, set(map[string]string{strings.Repeat("ä", 129): ""}), kms.CodeInvalidTag, ""},
		{"long value", kms.OpTagResource, set(map[string]string{"t00": strings.Repeat("ä", 257)}), kms.CodeInvalidTag, ""},
		{"longest", kms.OpTagResource, set(map[string]string{"t00": strings.Repeat("ä", 256)}), "", ""},
		{"no UTF-8", kms.OpTagResource, set(map[string]string{"t00": "\xff"}), kms.CodeInvalidRequest, ""},
		{"limit", kms.OpListResourceTags, &kms.KeyListRequest{KeyID: key, Limit: 51}, kms.CodeValidation, ""},
		{"limit", kms.OpListResourceTags, &kms.KeyListRequest{KeyID: key, Limit: -1}, kms.CodeValidation, ""},
		{"marker", kms.OpListResourceTags, &kms.KeyListRequest{KeyID: key, Marker: "t00"}, kms.CodeInvalidMarker, ""},
	})
}

// Description and tags together have at most 40 KiB.
func TestTagsAndDescriptionAreBounded(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.make(t, w.alice, &kms.CreateKeyRequest{Description: strings.Repeat("€", 8192)}).KeyID // 24 KiB
	tags := map[string]string{}
	for i := range 20 {
		tags[fmt.Sprintf("%02d", i)] = strings.Repeat("€", 256) // 770 bytes with its name
	}
	w.must(t, w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: tags})
	more := map[string]string{"20": strings.Repeat("€", 256), "21": strings.Repeat("€", 256)}
	if n := 3*8192 + 22*770; n <= 40<<10 || n-770 > 40<<10 {
		t.Fatalf("the test counts wrongly: %d", n)
	}
	_, err := w.Do(w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: more})
	if err == nil {
		t.Fatal("more than 40 KiB were taken")
	}
	if got := w.tags(t, key, 0); !maps.Equal(got, tags) {
		t.Errorf("the tags are %v", got)
	}
	delete(more, "21")
	w.must(t, w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: more})
}

// A key whose policy cannot be read is refused to everybody: that nobody can evaluate it gives no rights.
func TestPolicyOfItsOwn(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.repolicy(t, key)
	for op, request := range map[*kms.Operation]any{kms.OpGetKeyPolicy: &kms.KeyRequest{KeyID: key}, kms.OpDescribeKey: &kms.DescribeKeyRequest{KeyID: key}} {
		_, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, kms.CodeAccessDenied)
	}
	_, err := w.Do(w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: defaultPolicy(aliceID)})
	want(t, "put", err, kms.CodeAccessDenied)

	// One that allows the same has a record all the same, until the policy is put.
	policy := func(ids catalog.IDs) fsm.Ref { return ids.Policy(aliceScope, key) }
	w.touch(t, policy, func(body any) { body.(*kms.Policy).Document = string(defaultPolicy(aliceID)) })
	want(t, "catch up", w.CatchUp(t.Context()), "")
	has := func() bool {
		v := w.Catalog.View()
		return v.Has(policy(v.IDs()))
	}
	if !has() {
		t.Error("the policy has no record to begin with")
	}
	w.must(t, w.alice, kms.OpPutKeyPolicy, &kms.PutKeyPolicyRequest{KeyID: key, Policy: defaultPolicy(aliceID)})
	if has() {
		t.Error("the policy still has a record")
	}
	w.encrypt(t, w.alice, key, message, nil)
}

// Aliases come to keys that stay, leave all others, and are limited to 50 of a key.
func TestAliasesOfKeys(t *testing.T) {
	w := newWorld(t, twoRegions)
	stays, goes := w.CreateKey(w.alice), w.CreateKey(w.alice)
	create := func(alias, key string) error {
		_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: alias, TargetKeyID: key})
		return err
	}
	update := func(alias, key string) error {
		_, err := w.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: alias, TargetKeyID: key})
		return err
	}
	want(t, "create", create("alias/leaves", goes), "")
	want(t, "create", create("alias/stays", stays), "")
	w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: goes})
	want(t, "create on a key that goes", create("alias/new", goes), kms.CodeInvalidState)
	want(t, "move to a key that goes", update("alias/stays", goes), kms.CodeInvalidState)
	want(t, "move away from it", update("alias/leaves", stays), "")
	if got := w.describeAs(t, w.alice, "alias/leaves").KeyID; got != stays {
		t.Errorf("the alias leads to %s", got)
	}
	want(t, "create on a signing key", create("alias/signs", w.make(t, w.alice, signingKey).KeyID), "")
	want(t, "move between kinds", update("alias/signs", stays), kms.CodeValidation)

	for i := range 48 {
		want(t, "create", create(fmt.Sprintf("alias/%d", i), stays), "")
	}
	want(t, "the 51st", create("alias/new", stays), kms.CodeLimitExceeded)
	other := w.CreateKey(w.alice)
	want(t, "create", create("alias/other", other), "")
	want(t, "the 51st, moved", update("alias/other", stays), kms.CodeLimitExceeded)
	want(t, "to where it is", update("alias/0", stays), "")
	want(t, "move away", update("alias/0", other), "")
	want(t, "the 50th, moved", update("alias/other", stays), "")

	for _, state := range reachable {
		t.Run(string(state), func(t *testing.T) {
			w := newWorld(t, twoRegions)
			s := w.bring(t, kms.OpDeleteAlias, state)
			w.must(t, w.alice, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: s.alias})
			_, err := w.Do(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: s.alias})
			want(t, "deleted", err, kms.CodeNotFound)
		})
	}
}
