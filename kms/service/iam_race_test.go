package service_test

import (
	"slices"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// A change fails when anything that allowed it was changed between its decision and its commit.
func TestDecisionsGuardWhatAllowedThem(t *testing.T) {
	const create, nothing = "kms:CreateKey", "kms:Encrypt"
	inline := func(name string, d kms.PolicyDocument) any {
		return &kms.PutInlinePolicyRequest{Name: name, PolicyName: "p", PolicyDocument: d}
	}
	attach := func(name string) any {
		return &kms.AttachPolicyRequest{Name: name, PolicyARN: iamARN(aliceID, "policy/p")}
	}
	version := &kms.CreatePolicyVersionRequest{PolicyARN: iamARN(aliceID, "policy/p"), PolicyDocument: permit(nothing, "*"), SetAsDefault: true}
	rows := []struct {
		what   string
		op     *kms.Operation // changes what allows it
		change func(who servicetest.Credentials) any
		code   kms.Code
		by     string // what allows it
	}{
		{"user", kms.OpPutUserPolicy, func(servicetest.Credentials) any { return inline("u", permit(nothing, "*")) }, kms.CodeAccessDenied, "inline"},
		{"policy", kms.OpCreatePolicyVersion, func(servicetest.Credentials) any { return version }, kms.CodeAccessDenied, "attached"},
		{"detached", kms.OpDetachUserPolicy, func(servicetest.Credentials) any { return attach("u") }, kms.CodeAccessDenied, "attached"},
		{"group", kms.OpPutGroupPolicy, func(servicetest.Credentials) any { return inline("g", permit(nothing, "*")) }, kms.CodeAccessDenied, "group"},
		{"group that denies", kms.OpPutGroupPolicy, func(servicetest.Credentials) any { return inline("g", forbid("*", "*")) }, kms.CodeAccessDenied, "inline and group"},
		{"policy of a group", kms.OpCreatePolicyVersion, func(servicetest.Credentials) any { return version }, kms.CodeAccessDenied, "group's policy"},
		{"boundary", kms.OpCreatePolicyVersion, func(servicetest.Credentials) any { return version }, kms.CodeAccessDenied, "boundary"},
		{"access key", kms.OpUpdateAccessKey, func(who servicetest.Credentials) any {
			return &kms.UpdateAccessKeyRequest{Name: "u", AccessKeyID: who.AccessKeyID, Status: kms.AccessKeyInactive}
		}, kms.CodeUnauthenticated, "inline"},
		{"access key, gone", kms.OpDeleteAccessKey, func(who servicetest.Credentials) any {
			return &kms.DeleteAccessKeyRequest{Name: "u", AccessKeyID: who.AccessKeyID}
		}, kms.CodeUnauthenticated, "inline"},
	}
	for _, row := range rows {
		t.Run(row.what, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			who := w.hire(t, "u", "")
			w.gather(t, "g", "", "u")
			w.publish(t, "p", permit(create, "*"))
			switch row.by {
			case "inline":
				w.put(t, "user/", "u", permit(create, "*"))
			case "attached":
				w.must(t, w.alice, kms.OpAttachUserPolicy, attach("u"))
			case "group":
				w.put(t, "group/", "g", permit(create, "*"))
			case "inline and group":
				w.put(t, "user/", "u", permit(create, "*"))
				w.put(t, "group/", "g", permit(nothing, "*"))
			case "group's policy":
				w.must(t, w.alice, kms.OpAttachGroupPolicy, attach("g"))
			case "boundary":
				w.put(t, "user/", "u", allowAll)
				w.must(t, w.alice, kms.OpPutUserPermissionsBoundary, &kms.PutBoundaryRequest{Name: "u", PermissionsBoundary: iamARN(aliceID, "policy/p")})
			}
			_, err := w.Do(who, kms.OpCreateKey, &kms.CreateKeyRequest{})
			want(t, "before", err, "")
			other := w.Cluster.Node(servicetest.Options{})
			w.Break(once(func() {
				_, err := other.Do(w.alice, row.op, row.change(who))
				want(t, row.op.Name, err, "")
			}))
			_, err = w.Do(who, kms.OpCreateKey, &kms.CreateKeyRequest{})
			want(t, "the change", err, row.code)
			if n := len(w.keys(t, w.alice)); n != 1 {
				t.Errorf("%d keys", n)
			}
		})
	}
}

// Whoever refers to something and whoever deletes it, on two nodes and in both orders: nothing is left that refers to
// what is gone.
func TestNoDanglingReferences(t *testing.T) {
	arn := iamARN(aliceID, "policy/p")
	byName := &kms.IdentityRequest{Name: "n"}
	member := &kms.GroupMemberRequest{Name: "n", UserName: "n"}
	type pair struct {
		refer        *kms.Operation
		request      any
		remove       *kms.Operation
		of           any
		late, failed kms.Code // when the other one came first: of refer, of remove
	}
	const missing, conflict = kms.CodeNotFound, kms.CodeDeleteConflict
	deletion := &kms.PolicyRequest{PolicyARN: arn}
	attach, bound := &kms.AttachPolicyRequest{Name: "n", PolicyARN: arn}, &kms.PutBoundaryRequest{Name: "n", PermissionsBoundary: arn}
	pairs := []pair{
		{kms.OpAddUserToGroup, member, kms.OpDeleteGroup, byName, missing, conflict},
		{kms.OpAddUserToGroup, member, kms.OpDeleteUser, byName, missing, conflict},
		{kms.OpCreateAccessKey, byName, kms.OpDeleteUser, byName, missing, conflict},
		{kms.OpPutUserPermissionsBoundary, bound, kms.OpDeletePolicy, deletion, missing, conflict},
		{kms.OpPutRolePermissionsBoundary, bound, kms.OpDeletePolicy, deletion, missing, conflict},
		{kms.OpCreateUser, &kms.CreateUserRequest{Name: "bounded", PermissionsBoundary: arn}, kms.OpDeletePolicy, deletion, missing, conflict},
		{kms.OpCreateRole, &kms.CreateRoleRequest{Name: "bounded", PermissionsBoundary: arn, AssumeRolePolicyDocument: trusting(iamARN(aliceID, "root"))}, kms.OpDeletePolicy, deletion, missing, conflict},
		{kms.OpCreatePolicyVersion, &kms.CreatePolicyVersionRequest{PolicyARN: arn, PolicyDocument: allowAll}, kms.OpDeletePolicy, deletion, missing, conflict},
	}
	for _, k := range kins {
		pairs = append(pairs, pair{k.attach, attach, kms.OpDeletePolicy, deletion, missing, conflict}, pair{k.attach, attach, k.remove, byName, missing, conflict},
			pair{k.put, &kms.PutInlinePolicyRequest{Name: "n", PolicyName: "p", PolicyDocument: allowAll}, k.remove, byName, missing, conflict})
	}
	for _, p := range pairs {
		for _, removedFirst := range []bool{true, false} {
			t.Run(p.refer.Name+" and "+p.remove.Name, func(t *testing.T) {
				w := newWorld(t, servicetest.Options{})
				for _, k := range kins {
					w.must(t, w.alice, k.create, k.creating("n", ""))
				}
				w.publish(t, "p", allowAll)
				other := w.Cluster.Node(servicetest.Options{})
				first, second := p.refer, p.remove
				firstRequest, secondRequest, code := p.request, p.of, p.failed
				if removedFirst {
					first, second, firstRequest, secondRequest, code = p.remove, p.refer, p.of, p.request, p.late
				}
				w.Break(once(func() {
					_, err := other.Do(w.alice, first, firstRequest)
					want(t, first.Name+", first", err, "")
				}))
				_, err := w.Do(w.alice, second, secondRequest)
				want(t, second.Name+", second", err, code)
				w.nothingDangles(t)
			})
		}
	}
}

// nothingDangles looks through everybody of alice's account.
func (w *world) nothingDangles(t *testing.T) {
	t.Helper()
	want(t, "catch up", w.CatchUp(t.Context()), "")
	v := w.Catalog.View()
	ids := []string{aliceID}
	policyThere := func(arn string) bool {
		return slices.ContainsFunc(v.ManagedPolicies(aliceID, "", 1000), func(p *catalog.ManagedPolicy) bool { return p.ARN("aws") == arn })
	}
	for _, kind := range []string{kms.TypeUser, kms.TypeGroup, kms.TypeRole} {
		for _, i := range v.Identities(aliceID, kind, "", 1000) {
			ids = append(ids, i.ID)
			for _, arn := range append(slices.Clone(i.Attached), i.Boundary) {
				if arn != "" && !policyThere(arn) {
					t.Errorf("%s refers to %s", i.ARN("aws"), arn)
				}
			}
			for _, g := range i.Groups {
				if _, err := v.Identity(aliceID, kms.IdentityKey(kms.TypeGroup, g)); err != nil {
					t.Errorf("%s is in the group %s", i.ARN("aws"), g)
				}
			}
		}
	}
	w.State().Ascend(fsm.KindCredential, "", func(id fsm.ID, _ fsm.Record) bool {
		body, err := v.Open(fsm.Ref{Kind: fsm.KindCredential, ID: id})
		if err != nil {
			t.Errorf("open a credential: %v", err)
			return true
		}
		if c := body.(*kms.Credential); c.Account == aliceID && len(c.Secret) > 0 && !slices.Contains(ids, c.Identity) {
			t.Errorf("the access key %s belongs to nobody", c.AccessKeyID)
		}
		return true
	})
}

// Two changes of one identity on two nodes are both made, one after the other. The one that is first may have the lower
// revision, from an older view: then the guard alone tells them apart.
func TestChangesOfOneIdentityMeet(t *testing.T) {
	for _, lagging := range []bool{false, true} {
		w := newWorld(t, servicetest.Options{})
		w.hire(t, "u", "")
		w.gather(t, "a", "")
		w.gather(t, "b", "")
		first := w.Cluster.Node(servicetest.Options{})
		first.Lag(lagging)
		w.CreateKey(w.alice)
		w.CreateKey(w.alice)
		w.Break(once(func() {
			_, err := first.Do(w.alice, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: "a", UserName: "u"})
			want(t, "first", err, "")
		}))
		w.must(t, w.alice, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: "b", UserName: "u"})
		if a := w.must(t, w.alice, kms.OpListGroupsForUser, &kms.IdentityRequest{Name: "u"}).(*kms.ListGroupsAnswer); len(a.Groups) != 2 {
			t.Errorf("groups %+v", a.Groups)
		}
	}
}

// Of access keys a user has two at most, and so has a root, however many nodes make them at once.
func TestAccessKeyLimitUnderRace(t *testing.T) {
	for _, name := range []string{"u", kms.RootName} {
		w := newWorld(t, servicetest.Options{})
		w.hire(t, "u", "")
		other := w.Cluster.Node(servicetest.Options{})
		w.Break(once(func() {
			_, err := other.Do(w.alice, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: name})
			want(t, "the second", err, "")
		}))
		_, err := w.Do(w.alice, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: name})
		want(t, "the third of "+name, err, kms.CodeLimitExceeded)
		if a := w.must(t, w.alice, kms.OpListAccessKeys, &kms.IdentityRequest{Name: name}).(*kms.ListAccessKeysAnswer); len(a.AccessKeys) != 2 {
			t.Errorf("%s has %d access keys", name, len(a.AccessKeys))
		}
	}
}
