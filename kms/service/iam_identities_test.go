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

// Names are unique in an account and of a type, without regard to case and path, and are kept as they were given.
func TestIdentityNames(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	long := strings.Repeat("x", 64)
	getters := map[string]func(string) any{
		"user/":  func(name string) any { return w.must(t, w.alice, kms.OpGetUser, &kms.IdentityRequest{Name: name}) },
		"group/": func(name string) any { return w.must(t, w.alice, kms.OpGetGroup, &kms.IdentityListRequest{Name: name}) },
		"role/":  func(name string) any { return w.must(t, w.alice, kms.OpGetRole, &kms.IdentityRequest{Name: name}) },
	}
	for _, k := range kins {
		made := entryOf(w.must(t, w.alice, k.create, k.creating("Team-A", "/x/")))
		if want := iamARN(aliceID, k.noun+"x/Team-A"); made.ARN != want || made.Name != "Team-A" || made.Path != "/x/" {
			t.Errorf("made %+v", made)
		}
		for _, path := range []string{"/x/", "", "/y/"} {
			_, err := w.Do(w.alice, k.create, k.creating("tEAM-a", path))
			want(t, "the same name", err, kms.CodeAlreadyExists)
		}
		if got := entryOf(getters[k.noun]("TEAM-A")); got.ID != made.ID || got.Name != "Team-A" {
			t.Errorf("by another spelling: %+v", got)
		}
		w.must(t, w.bob, k.create, k.creating("Team-A", "")) // another account's
		w.must(t, w.alice, k.remove, &kms.IdentityRequest{Name: "team-a"})
		again := entryOf(w.must(t, w.alice, k.create, k.creating("team-a", "")))
		if again.ID == made.ID || again.Path != "/" || again.ARN != iamARN(aliceID, k.noun+"team-a") {
			t.Errorf("made again: %+v", again)
		}
		for name, code := range map[string]kms.Code{long: "", "_+=,.@-": "", "": kms.CodeValidation, long + strings.Repeat("x", 65): kms.CodeValidation, "a b": kms.CodeValidation,
			"a/b": kms.CodeValidation, "a:b": kms.CodeValidation, "a*": kms.CodeValidation, "\u00fc": kms.CodeValidation, kms.RootName: kms.CodeValidation, "a\x00": kms.CodeValidation} {
			_, err := w.Do(w.alice, k.create, k.creating(name, ""))
			want(t, fmt.Sprintf("%s%q", k.noun, name), err, code)
		}
		_, err := w.Do(w.alice, k.create, k.creating(long+"x", ""))
		want(t, "65 characters", err, map[string]kms.Code{"user/": kms.CodeValidation, "role/": kms.CodeValidation}[k.noun])
		segment := "/" + strings.Repeat("p", 510) + "/"
		for path, code := range map[string]kms.Code{"/": "", "/a/": "", "/a/b.c_+=,@-/": "", segment: "", "a": kms.CodeValidation, "/a": kms.CodeValidation, "a/": kms.CodeValidation, "//": kms.CodeValidation,
			"/a//b/": kms.CodeValidation, "/./": kms.CodeValidation, "/a/../": kms.CodeValidation, "/a b/": kms.CodeValidation, "/*/": kms.CodeValidation, "/a:/": kms.CodeValidation, "/p" + segment[1:]: kms.CodeValidation} {
			_, err := w.Do(w.alice, k.create, k.creating(fmt.Sprintf("path-%d", len(path)*1000+strings.Count(path, "b")), path))
			want(t, k.noun+path, err, code)
		}
	}
	arn := w.publish(t, "Read-All", allowAll)
	_, err := w.Do(w.alice, kms.OpCreatePolicy, &kms.CreatePolicyRequest{Name: "read-ALL", Path: "/x/", PolicyDocument: allowAll})
	want(t, "a policy of the same name", err, kms.CodeAlreadyExists)
	for _, other := range []string{strings.ToLower(arn), iamARN(aliceID, "policy/x/Read-All"), iamARN(bobID, "policy/Read-All")} {
		_, err := w.Do(w.alice, kms.OpGetPolicy, &kms.PolicyRequest{PolicyARN: other})
		if code := kms.CodeOf(err); code != kms.CodeNotFound && code != kms.CodeInvalidARN {
			t.Errorf("by the ARN %s: %v", other, err)
		}
	}
}

// Of tag keys that differ in case only, an identity has one; the latest spelling stays.
func TestIdentityTags(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "u", Tags: map[string]string{"Team": "a", "Other": "x"}})
	w.must(t, w.alice, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "u", AssumeRolePolicyDocument: trusting(iamARN(aliceID, "root")), Tags: map[string]string{"Team": "a", "Other": "x"}})
	both := map[string]string{"k": "1", "K": "2"}
	_, err := w.Do(w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "v", Tags: both})
	want(t, "create", err, kms.CodeInvalidTag)
	for _, k := range []kin{kinOf("user/"), kinOf("role/")} {
		read := func() map[string]string {
			if k.noun == "user/" {
				return entryOf(w.must(t, w.alice, kms.OpGetUser, &kms.IdentityRequest{Name: "u"})).Tags
			}
			return entryOf(w.must(t, w.alice, kms.OpGetRole, &kms.IdentityRequest{Name: "u"})).Tags
		}
		_, err := w.Do(w.alice, k.tag, &kms.TagIdentityRequest{Name: "u", Tags: both})
		want(t, "tag twice", err, kms.CodeInvalidTag)
		for _, tags := range []map[string]string{nil, {}, {"aws:x": "v"}, {"AWS:x": "v"}, {strings.Repeat("k", 129): "v"}, {"k": strings.Repeat("v", 257)}, {"": "v"}} {
			if _, err := w.Do(w.alice, k.tag, &kms.TagIdentityRequest{Name: "u", Tags: tags}); kms.CodeOf(err) != kms.CodeInvalidTag && kms.CodeOf(err) != kms.CodeValidation {
				t.Errorf("%v: %v", tags, err)
			}
		}
		w.must(t, w.alice, k.tag, &kms.TagIdentityRequest{Name: "u", Tags: map[string]string{"tEAM": "b"}})
		if got := read(); !maps.Equal(got, map[string]string{"tEAM": "b", "Other": "x"}) {
			t.Errorf("after the tag: %v", got)
		}
		many := map[string]string{}
		for i := range 48 {
			many[fmt.Sprint("k", i)] = "v"
		}
		w.must(t, w.alice, k.tag, &kms.TagIdentityRequest{Name: "u", Tags: many})
		_, err = w.Do(w.alice, k.tag, &kms.TagIdentityRequest{Name: "u", Tags: map[string]string{"one more": "v"}})
		want(t, "51 tags", err, kms.CodeInvalidTag)
		w.must(t, w.alice, k.tag, &kms.TagIdentityRequest{Name: "u", Tags: map[string]string{"team": "c"}}) // no more than there were
		keys := []string{"TEAM", "nothing"}
		for i := range 48 {
			keys = append(keys, fmt.Sprint("K", i))
		}
		w.must(t, w.alice, k.untag, &kms.UntagIdentityRequest{Name: "u", TagKeys: keys})
		if got := read(); !maps.Equal(got, map[string]string{"Other": "x"}) {
			t.Errorf("after untag: %v", got)
		}
	}
	// Whoever may create but not tag, makes nothing with tags.
	who := w.hire(t, "maker", permit("iam:CreateUser iam:CreateRole iam:CreatePolicy", "*"))
	tags := map[string]string{"k": "v"}
	for op, q := range map[*kms.Operation]any{
		kms.OpCreateUser:   &kms.CreateUserRequest{Name: "t", Tags: tags},
		kms.OpCreateRole:   &kms.CreateRoleRequest{Name: "t", Tags: tags, AssumeRolePolicyDocument: trusting(iamARN(aliceID, "root"))},
		kms.OpCreatePolicy: &kms.CreatePolicyRequest{Name: "t", Tags: tags, PolicyDocument: allowAll},
	} {
		_, err := w.Do(who, op, q)
		want(t, op.Name+" with tags", err, kms.CodeAccessDenied)
	}
	w.must(t, who, kms.OpCreateUser, &kms.CreateUserRequest{Name: "t"})
}

// What still has something is not deleted, and each thing has its own sentence.
func TestDeleteConflicts(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	arn := w.publish(t, "p", allowAll)
	key := ""
	type step struct {
		what     string
		noun     string
		have     func()
		give     func()
		sentence string
	}
	on := func(op *kms.Operation, q any) func() { return func() { w.must(t, w.alice, op, q) } }
	var steps []step
	for _, k := range kins {
		steps = append(steps,
			step{"attached", k.noun, on(k.attach, &kms.AttachPolicyRequest{Name: "n", PolicyARN: arn}), on(k.detach, &kms.AttachPolicyRequest{Name: "n", PolicyARN: arn}), "detach all policies"},
			step{"inline", k.noun, on(k.put, &kms.PutInlinePolicyRequest{Name: "n", PolicyName: "p", PolicyDocument: allowAll}), on(k.drop, &kms.DeleteInlinePolicyRequest{Name: "n", PolicyName: "p"}), "inline policies"})
	}
	member := &kms.GroupMemberRequest{Name: "n", UserName: "n"}
	steps = append(steps,
		step{"access key", "user/", func() { key = w.accessKey(t, "n").AccessKeyID }, func() {
			w.must(t, w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "n", AccessKeyID: key})
		}, "access keys"},
		step{"groups", "user/", on(kms.OpAddUserToGroup, member), on(kms.OpRemoveUserFromGroup, member), "remove it from all groups"},
		step{"users", "group/", on(kms.OpAddUserToGroup, member), on(kms.OpRemoveUserFromGroup, member), "remove its users"})
	for _, k := range kins {
		w.must(t, w.alice, k.create, k.creating("n", ""))
	}
	sentences := map[string]bool{}
	for _, s := range steps {
		k := kinOf(s.noun)
		s.have()
		_, err := w.Do(w.alice, k.remove, &kms.IdentityRequest{Name: "N"})
		want(t, s.noun+s.what, err, kms.CodeDeleteConflict)
		if !strings.Contains(err.Error(), s.sentence) {
			t.Errorf("%s%s: %v", s.noun, s.what, err)
		}
		sentences[s.noun+s.sentence] = true
		s.give()
	}
	if len(sentences) != len(steps) {
		t.Errorf("%d sentences for %d conflicts", len(sentences), len(steps))
	}
	// Taking out what is not there is an error of its own.
	for _, k := range kins {
		for op, q := range map[*kms.Operation]any{k.detach: &kms.AttachPolicyRequest{Name: "n", PolicyARN: arn}, k.drop: &kms.DeleteInlinePolicyRequest{Name: "n", PolicyName: "p"},
			k.get: &kms.GetInlinePolicyRequest{Name: "n", PolicyName: "p"}, k.attach: &kms.AttachPolicyRequest{Name: "n", PolicyARN: iamARN(aliceID, "policy/none")}} {
			_, err := w.Do(w.alice, op, q)
			want(t, op.Name, err, kms.CodeNotFound)
		}
	}
	_, err := w.Do(w.alice, kms.OpRemoveUserFromGroup, member)
	want(t, "remove who is no member", err, kms.CodeNotFound)

	// A policy: attached, a boundary, versions.
	w.must(t, w.alice, kms.OpPutRolePermissionsBoundary, &kms.PutBoundaryRequest{Name: "n", PermissionsBoundary: arn})
	_, bound := w.Do(w.alice, kms.OpDeletePolicy, &kms.PolicyRequest{PolicyARN: arn})
	want(t, "delete a boundary", bound, kms.CodeDeleteConflict)
	w.must(t, w.alice, kms.OpDeleteRolePermissionsBoundary, &kms.IdentityRequest{Name: "n"})
	w.must(t, w.alice, kms.OpCreatePolicyVersion, &kms.CreatePolicyVersionRequest{PolicyARN: arn, PolicyDocument: allowAll})
	_, versions := w.Do(w.alice, kms.OpDeletePolicy, &kms.PolicyRequest{PolicyARN: arn})
	want(t, "delete with versions", versions, kms.CodeDeleteConflict)
	if bound.Error() == versions.Error() {
		t.Error("one sentence for two conflicts")
	}
	w.must(t, w.alice, kms.OpDeletePolicyVersion, &kms.PolicyVersionRequest{PolicyARN: arn, VersionID: "v2"})
	w.must(t, w.alice, kms.OpDeletePolicy, &kms.PolicyRequest{PolicyARN: arn})
	for _, k := range kins {
		w.must(t, w.alice, k.remove, &kms.IdentityRequest{Name: "n"})
	}
}

// padded is a policy of so many characters that count, and so many blanks.
func padded(kind string, characters, blanks int) kms.PolicyDocument {
	head, tail := `{"Version":"2012-10-17","Statement":[{"Sid":"`, `","Effect":"Allow","Action":"kms:Encrypt",`+kind+`}]}`
	return kms.PolicyDocument(head + strings.Repeat("x", characters-len(head)-len(tail)) + tail + strings.Repeat(" ", blanks))
}

// Limits of one identity or policy are as those of AWS IAM, and sizes count no blanks.
func TestIdentityLimits(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	const everything = `"Resource":"*"`
	for _, k := range kins {
		w.must(t, w.alice, k.create, k.creating("n", ""))
		size := map[string]int{"user/": 2048, "group/": 5120, "role/": 10240}[k.noun]
		put := func(name string, d kms.PolicyDocument) error {
			_, err := w.Do(w.alice, k.put, &kms.PutInlinePolicyRequest{Name: "n", PolicyName: name, PolicyDocument: d})
			return err
		}
		want(t, "too large", put("a", padded(everything, size+1, 0)), kms.CodeLimitExceeded)
		want(t, "the largest", put("a", padded(everything, size, 100)), "")
		want(t, "another", put("b", padded(everything, 200, 0)), kms.CodeLimitExceeded)
		want(t, "smaller", put("a", padded(everything, size-200, 100)), "")
		want(t, "another", put("b", padded(everything, 200, 100)), "")
		want(t, "replaced", put("b", padded(everything, 199, 0)), "")
		want(t, "no policy", put("c", `{"Version":"2012-10-17"}`), kms.CodeMalformedPolicy)
		want(t, "with a principal", put("c", trusting(iamARN(aliceID, "root"))), kms.CodeMalformedPolicy)
		for i := range 11 {
			arn := w.publish(t, fmt.Sprintf("%s-%d", strings.TrimSuffix(k.noun, "/"), i), allowAll)
			q := &kms.AttachPolicyRequest{Name: "n", PolicyARN: arn}
			_, err := w.Do(w.alice, k.attach, q)
			want(t, fmt.Sprintf("policy %d", i+1), err, map[bool]kms.Code{true: kms.CodeLimitExceeded}[i == 10])
			if i < 10 {
				w.must(t, w.alice, k.attach, q) // is no change
			}
		}
	}
	for i := range 11 {
		w.gather(t, fmt.Sprintf("g%d", i), "")
		_, err := w.Do(w.alice, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: fmt.Sprintf("g%d", i), UserName: "n"})
		want(t, fmt.Sprintf("group %d", i+1), err, map[bool]kms.Code{true: kms.CodeLimitExceeded}[i == 10])
	}
	w.must(t, w.alice, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: "g3", UserName: "n"})

	newPolicy := func(n int) error {
		_, err := w.Do(w.alice, kms.OpCreatePolicy, &kms.CreatePolicyRequest{Name: "large", PolicyDocument: padded(everything, n, 50)})
		return err
	}
	want(t, "a policy too large", newPolicy(6145), kms.CodeLimitExceeded)
	want(t, "the largest policy", newPolicy(6144), "")
	trust := func(n int) error {
		_, err := w.Do(w.alice, kms.OpUpdateAssumeRolePolicy, &kms.UpdateAssumeRolePolicyRequest{Name: "n",
			PolicyDocument: kms.PolicyDocument(strings.Replace(string(padded(`"Principal":{"AWS":"`+iamARN(aliceID, "root")+`"}`, n+1, 50)), "kms:Encrypt", "sts:Assume*", 1))})
		return err
	}
	want(t, "a trust policy too large", trust(4096), kms.CodeLimitExceeded)
	want(t, "the largest trust policy", trust(4095), "")

	duration := func(q kms.UpdateRoleRequest) error {
		q.Name = "n"
		_, err := w.Do(w.alice, kms.OpUpdateRole, &q)
		return err
	}
	for seconds, code := range map[int]kms.Code{3599: kms.CodeValidation, 3600: "", 43200: "", 43201: kms.CodeValidation} {
		want(t, fmt.Sprint(seconds), duration(kms.UpdateRoleRequest{MaxSessionDuration: ptr(seconds)}), code)
	}
	want(t, "description", duration(kms.UpdateRoleRequest{Description: ptr(strings.Repeat("ü", 1000))}), "")
	want(t, "description", duration(kms.UpdateRoleRequest{Description: ptr(strings.Repeat("ü", 1001))}), kms.CodeValidation)
}

// An account has so many identities, policies and providers and no more.
func TestAccountLimits(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for _, one := range []struct {
		kind string
		most int
		op   *kms.Operation
		q    any
	}{
		{kms.TypeUser, 5000, kms.OpCreateUser, &kms.CreateUserRequest{Name: "last"}},
		{kms.TypeGroup, 300, kms.OpCreateGroup, &kms.CreateGroupRequest{Name: "last"}},
		{kms.TypeRole, 1000, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "last", AssumeRolePolicyDocument: trusting(iamARN(aliceID, "root"))}},
	} {
		w.fill(t, one.most-1, func(ids catalog.IDs) fsm.ScopeID { return ids.IdentitiesOf(aliceID, one.kind) }, func(ids catalog.IDs, i int) (fsm.Ref, any) {
			id := &kms.Identity{Schema: 1, Account: aliceID, ID: fmt.Sprint(i), Type: one.kind, Name: fmt.Sprint("n", i), Path: "/"}
			return ids.Identity(aliceID, id.Key()), id
		})
		w.lastRoom(t, one.op, one.q, kinOf(map[string]string{kms.TypeUser: "user/", kms.TypeGroup: "group/", kms.TypeRole: "role/"}[one.kind]).creating("over", ""))
	}
	w.fill(t, 1499, func(ids catalog.IDs) fsm.ScopeID { return ids.PoliciesOf(aliceID) }, func(ids catalog.IDs, i int) (fsm.Ref, any) {
		p := &kms.ManagedPolicy{Schema: 1, Account: aliceID, ID: fmt.Sprint(i), Name: fmt.Sprint("n", i), Path: "/"}
		return ids.ManagedPolicy(aliceID, p.Name), p
	})
	w.lastRoom(t, kms.OpCreatePolicy, &kms.CreatePolicyRequest{Name: "last", PolicyDocument: allowAll}, &kms.CreatePolicyRequest{Name: "over", PolicyDocument: allowAll})
	w.fill(t, 99, func(ids catalog.IDs) fsm.ScopeID { return ids.ProvidersOf(aliceID) }, func(ids catalog.IDs, i int) (fsm.Ref, any) {
		p := &kms.Provider{Schema: 1, Account: aliceID, Type: kms.ProviderOIDC, Name: fmt.Sprint("n", i)}
		return ids.Provider(aliceID, p.Type, p.Name), p
	})
	anchor := func(name string) any {
		return &kms.CreateTrustAnchorRequest{Name: name, Certificate: authority, Mappings: []kms.CertificateMapping{{Role: "r", CommonName: "c"}}}
	}
	w.lastRoom(t, kms.OpCreateTrustAnchor, anchor("last"), anchor("over"))
	// Listings go through all of them, each once.
	seen, marker := map[string]bool{}, ""
	for {
		a := w.must(t, w.alice, kms.OpListUsers, &kms.ListRequest{Limit: 999, Marker: marker}).(*kms.ListUsersAnswer)
		for _, u := range a.Users {
			seen[u.Name] = true
		}
		if marker = a.NextMarker; marker == "" {
			break
		}
	}
	if len(seen) != 5000 {
		t.Errorf("%d users are listed", len(seen))
	}
	w.must(t, w.alice, kms.OpListPolicies, &kms.ListRequest{Limit: 1000})
}

// lastRoom has room for one more, and then for none; two writers who both see the room get one.
func (w *world) lastRoom(t *testing.T, op *kms.Operation, last, over any) {
	t.Helper()
	other := w.Cluster.Node(servicetest.Options{})
	w.Break(once(func() {
		_, err := other.Do(w.alice, op, last)
		want(t, op.Name+", the last", err, "")
	}))
	_, err := w.Do(w.alice, op, over)
	want(t, op.Name+", over the limit under a race", err, kms.CodeLimitExceeded)
	_, err = w.Do(w.alice, op, over)
	want(t, op.Name+", over the limit", err, kms.CodeLimitExceeded)
}

// Versions of a policy count up and never come again; one is the default, which cannot go.
func TestPolicyVersions(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	arn := w.publish(t, "p", permit("kms:Encrypt", "*"))
	create := func(action string, set bool) (string, error) {
		a, err := w.Do(w.alice, kms.OpCreatePolicyVersion, &kms.CreatePolicyVersionRequest{PolicyARN: arn, PolicyDocument: permit(action, "*"), SetAsDefault: set})
		if err != nil {
			return "", err
		}
		v := a.(*kms.PolicyVersionAnswer).PolicyVersion
		if v.IsDefaultVersion != set || v.Document != string(permit(action, "*")) {
			t.Errorf("made %+v", v)
		}
		return v.VersionID, nil
	}
	version := func(op *kms.Operation, id string) error {
		_, err := w.Do(w.alice, op, &kms.PolicyVersionRequest{PolicyARN: arn, VersionID: id})
		return err
	}
	key := w.CreateKey(w.alice)
	who := w.hire(t, "u", "")
	w.must(t, w.alice, kms.OpAttachUserPolicy, &kms.AttachPolicyRequest{Name: "u", PolicyARN: arn})
	want(t, "v1", uses(w.Node, who, key), "")
	for i := 2; i <= 5; i++ {
		id, err := create("kms:Decrypt", false)
		want(t, "version", err, "")
		if id != fmt.Sprint("v", i) {
			t.Errorf("version %s", id)
		}
	}
	_, err := create("kms:Decrypt", false)
	want(t, "v6", err, kms.CodeLimitExceeded)
	want(t, "a version that is not the default changes nothing", uses(w.Node, who, key), "")
	want(t, "delete the default", version(kms.OpDeletePolicyVersion, "v1"), kms.CodeDeleteConflict)
	want(t, "set the default", version(kms.OpSetDefaultPolicyVersion, "v3"), "")
	want(t, "the default counts", uses(w.Node, who, key), kms.CodeAccessDenied)
	want(t, "delete", version(kms.OpDeletePolicyVersion, "v5"), "")
	want(t, "delete again", version(kms.OpDeletePolicyVersion, "v5"), kms.CodeNotFound)
	want(t, "set what is gone", version(kms.OpSetDefaultPolicyVersion, "v5"), kms.CodeNotFound)
	for _, id := range []string{"", "5", "V1", "v01", "v0", "v-1", "v18446744073709551617"} {
		want(t, "version "+id, version(kms.OpDeletePolicyVersion, id), kms.CodeNotFound)
	}
	id, err := create("kms:Encrypt", true)
	want(t, "another", err, "")
	if id != "v6" {
		t.Errorf("a number comes again: %s", id)
	}
	want(t, "the new default", uses(w.Node, who, key), "")
	p := w.must(t, w.alice, kms.OpGetPolicy, &kms.PolicyRequest{PolicyARN: arn}).(*kms.PolicyAnswer).Policy
	if p.DefaultVersionID != "v6" || p.AttachmentCount != 1 {
		t.Errorf("policy %+v", p)
	}
	listed := w.must(t, w.alice, kms.OpListPolicyVersions, &kms.PolicyRequest{PolicyARN: arn}).(*kms.ListPolicyVersionsAnswer).Versions
	ids := ""
	for _, v := range listed {
		ids += v.VersionID
		if v.Document != "" || v.IsDefaultVersion != (v.VersionID == "v6") {
			t.Errorf("listed %+v", v)
		}
	}
	if ids != "v1v2v3v4v6" {
		t.Errorf("versions %s", ids)
	}
	for id, text := range map[string]string{"": string(permit("kms:Encrypt", "*")), "v2": string(permit("kms:Decrypt", "*"))} {
		a := w.must(t, w.alice, kms.OpGetPolicyVersion, &kms.GetPolicyVersionRequest{PolicyARN: arn, VersionID: id}).(*kms.PolicyVersionAnswer)
		if a.PolicyVersion.Document != text {
			t.Errorf("version %q is %s", id, a.PolicyVersion.Document)
		}
	}
}
