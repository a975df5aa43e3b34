package service_test

import (
	"fmt"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func TestTags(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	tag := func(tags map[string]string) error {
		_, err := w.Do(w.alice, kms.OpTagResource, &kms.TagResourceRequest{KeyID: key, Tags: tags})
		return err
	}
	untag := func(keys ...string) error {
		_, err := w.Do(w.alice, kms.OpUntagResource, &kms.UntagResourceRequest{KeyID: key, TagKeys: keys})
		return err
	}
	all := func() map[string]string {
		t.Helper()
		tags := map[string]string{}
		for marker := ""; ; {
			a := w.must(t, w.alice, kms.OpListResourceTags, &kms.KeyListRequest{KeyID: key, Limit: 20, Marker: marker}).(*kms.ListResourceTagsAnswer)
			for _, one := range a.Tags {
				if _, twice := tags[one.Key]; twice {
					t.Errorf("%s is listed twice", one.Key)
				}
				tags[one.Key] = one.Value
			}
			if marker = a.NextMarker; marker == "" {
				return tags
			}
		}
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint(i)] = "v"
	}
	want(t, "50", tag(many), "")
	want(t, "51", tag(map[string]string{"x": ""}), kms.CodeInvalidTag)
	want(t, "replaced", tag(map[string]string{"7": "new"}), "")
	if tags := all(); len(tags) != 50 || tags["7"] != "new" || tags["8"] != "v" {
		t.Errorf("tags %v", tags)
	}
	for _, key := range []string{"aws:x", "AWS:x", "aWs:"} {
		want(t, key, tag(map[string]string{key: ""}), kms.CodeInvalidTag)
		want(t, key, untag(key), kms.CodeInvalidTag)
	}
	want(t, "none", tag(nil), kms.CodeValidation)
	want(t, "none", untag(), kms.CodeValidation)
	want(t, "not there", untag("nothing"), "")
	want(t, "there", untag("7", "8", "nothing"), "")
	want(t, "room again", tag(map[string]string{"x": "", "y": ""}), "")
	if tags := all(); len(tags) != 50 || tags["7"] != "" {
		t.Errorf("tags %v", tags)
	}
	for name := range all() {
		want(t, "untag", untag(name), "")
	}
	if tags := all(); len(tags) != 0 {
		t.Errorf("left %v", tags)
	}
}

// Aliases go in every state of their key and come in those that are not its end.
func TestAliasesInEveryState(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, other := w.CreateKey(w.alice), w.CreateKey(w.alice)
	for _, alias := range []string{"alias/a", "alias/b"} {
		w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: alias, TargetKeyID: key})
	}
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/c", TargetKeyID: other})
	w.schedule(t, key, 7)
	_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/d", TargetKeyID: key})
	want(t, "create", err, kms.CodeInvalidState)
	_, err = w.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/c", TargetKeyID: key})
	want(t, "move to", err, kms.CodeInvalidState)
	w.must(t, w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: other})
	w.must(t, w.alice, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/b"})
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: other})
	w.must(t, w.alice, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/a"})
}
