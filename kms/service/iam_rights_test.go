package service_test

import (
	"fmt"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// What somebody may is what all of its policies say together, and every change of them takes effect with the next
// request, on every node. One that can take rights away waits for the members.
func TestRightsFollowEveryChange(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	nodes := []*servicetest.Node{w.Node, w.Cluster.Node(servicetest.Options{}), w.Cluster.Node(servicetest.Options{})}
	key := w.CreateKey(w.alice)
	who := w.hire(t, "u", "")
	w.gather(t, "g", "")
	encrypt, nothing := permit("kms:Encrypt", "*"), permit("kms:Decrypt", "*")
	arn := w.publish(t, "p", encrypt)
	bound := w.publish(t, "b", encrypt)
	attach, byName := &kms.AttachPolicyRequest{Name: "u", PolicyARN: arn}, &kms.IdentityRequest{Name: "u"}
	ofGroup := &kms.AttachPolicyRequest{Name: "g", PolicyARN: arn}
	member := &kms.GroupMemberRequest{Name: "g", UserName: "u"}
	inline := func(name string, d kms.PolicyDocument) any {
		return &kms.PutInlinePolicyRequest{Name: name, PolicyName: "p", PolicyDocument: d}
	}
	version := func(arn string, d kms.PolicyDocument) any {
		return &kms.CreatePolicyVersionRequest{PolicyARN: arn, PolicyDocument: d, SetAsDefault: true}
	}
	dropInline := func(name string) any { return &kms.DeleteInlinePolicyRequest{Name: name, PolicyName: "p"} }
	access := func(s kms.AccessKeyStatus) any {
		return &kms.UpdateAccessKeyRequest{Name: "u", AccessKeyID: who.AccessKeyID, Status: s}
	}
	const denied, unknown = kms.CodeAccessDenied, kms.CodeUnauthenticated
	rows := []struct {
		what    string
		op      *kms.Operation
		request any
		code    kms.Code
	}{
		{"an inline policy", kms.OpPutUserPolicy, inline("u", encrypt), ""},
		{"replaced", kms.OpPutUserPolicy, inline("u", nothing), denied},
		{"replaced again", kms.OpPutUserPolicy, inline("u", encrypt), ""},
		{"deleted", kms.OpDeleteUserPolicy, dropInline("u"), denied},
		{"attached", kms.OpAttachUserPolicy, attach, ""},
		{"another version", kms.OpCreatePolicyVersion, version(arn, nothing), denied},
		{"the first version", kms.OpSetDefaultPolicyVersion, &kms.PolicyVersionRequest{PolicyARN: arn, VersionID: "v1"}, ""},
		{"detached", kms.OpDetachUserPolicy, attach, denied},
		{"a group that may nothing", kms.OpAddUserToGroup, member, denied},
		{"a group's inline policy", kms.OpPutGroupPolicy, inline("g", encrypt), ""},
		{"deleted", kms.OpDeleteGroupPolicy, dropInline("g"), denied},
		{"a group's attached policy", kms.OpAttachGroupPolicy, ofGroup, ""},
		{"a boundary that allows it", kms.OpPutUserPermissionsBoundary, &kms.PutBoundaryRequest{Name: "u", PermissionsBoundary: bound}, ""},
		{"a boundary that does not", kms.OpCreatePolicyVersion, version(bound, nothing), denied},
		{"no boundary", kms.OpDeleteUserPermissionsBoundary, byName, ""},
		{"a deny in the group", kms.OpPutGroupPolicy, inline("g", forbid("kms:*", "*")), denied},
		{"allowed beside the deny", kms.OpPutUserPolicy, inline("u", allowAll), denied},
		{"out of the group", kms.OpRemoveUserFromGroup, member, ""},
		{"inactive", kms.OpUpdateAccessKey, access(kms.AccessKeyInactive), unknown},
		{"active", kms.OpUpdateAccessKey, access(kms.AccessKeyActive), ""},
		{"no access key", kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "u", AccessKeyID: who.AccessKeyID}, unknown},
	}
	for _, n := range nodes {
		want(t, "catch up", n.CatchUp(t.Context()), "")
		want(t, "nobody allowed it yet", uses(n, who, key), denied)
	}
	for i, row := range rows {
		at := nodes[i%len(nodes)]
		awaits := at.Counts().Awaits
		_, err := at.Do(w.alice, row.op, row.request)
		want(t, row.what, err, "")
		if at.Counts().Awaits != awaits+1 {
			t.Errorf("%s: %s did not wait for the members", row.what, row.op.Name)
		}
		for _, n := range nodes {
			want(t, "catch up", n.CatchUp(t.Context()), "")
			want(t, fmt.Sprintf("%s, on %s", row.what, n.Name), uses(n, who, key), row.code)
		}
	}
	want(t, "delete", deleteUser(w, "u"), kms.CodeDeleteConflict)
	w.must(t, w.alice, kms.OpDeleteUserPolicy, dropInline("u"))
	want(t, "delete", deleteUser(w, "u"), "")
}

func deleteUser(w *world, name string) error {
	_, err := w.Do(w.alice, kms.OpDeleteUser, &kms.IdentityRequest{Name: name})
	return err
}

// An administrator who may make users with one boundary only makes none without it, and cannot take it off.
func TestDelegatedAdministrator(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	bound, other := w.publish(t, "bound", permit("kms:Encrypt iam:Get*", "*")), w.publish(t, "other", allowAll)
	admin := w.hire(t, "admin", rules(
		rule("Allow", "iam:CreateUser iam:CreateRole iam:PutUserPolicy iam:DeleteUserPolicy iam:AttachUserPolicy iam:DetachUserPolicy iam:PutUserPermissionsBoundary iam:PutRolePolicy", "*",
			`{"StringEquals":{"iam:PermissionsBoundary":"`+bound+`"}}`),
		rule("Allow", "iam:CreateAccessKey iam:Get* iam:List*", iamARN(aliceID, "*")),
		rule("Deny", "iam:DeleteUserPermissionsBoundary iam:DeleteRolePermissionsBoundary", "*"),
		rule("Deny", "iam:CreatePolicyVersion iam:DeletePolicy iam:SetDefaultPolicyVersion iam:DeletePolicyVersion", bound)))
	w.hire(t, "free", "") // without a boundary
	trust := trusting(iamARN(aliceID, "root"))
	for _, row := range []struct {
		what    string
		op      *kms.Operation
		request any
		code    kms.Code
	}{
		{"without a boundary", kms.OpCreateUser, &kms.CreateUserRequest{Name: "x"}, kms.CodeAccessDenied},
		{"with another one", kms.OpCreateUser, &kms.CreateUserRequest{Name: "x", PermissionsBoundary: other}, kms.CodeAccessDenied},
		{"with another's", kms.OpCreateUser, &kms.CreateUserRequest{Name: "x", PermissionsBoundary: iamARN(bobID, "policy/bound")}, kms.CodeAccessDenied},
		{"with it", kms.OpCreateUser, &kms.CreateUserRequest{Name: "x", PermissionsBoundary: bound}, ""},
		{"a role without", kms.OpCreateRole, &kms.CreateRoleRequest{Name: "x", AssumeRolePolicyDocument: trust}, kms.CodeAccessDenied},
		{"a role with it", kms.OpCreateRole, &kms.CreateRoleRequest{Name: "x", AssumeRolePolicyDocument: trust, PermissionsBoundary: bound}, ""},
		{"every right", kms.OpPutUserPolicy, &kms.PutInlinePolicyRequest{Name: "x", PolicyName: "p", PolicyDocument: allowAll}, ""},
		{"to who has no boundary", kms.OpPutUserPolicy, &kms.PutInlinePolicyRequest{Name: "free", PolicyName: "p", PolicyDocument: allowAll}, kms.CodeAccessDenied},
		{"to oneself", kms.OpPutUserPolicy, &kms.PutInlinePolicyRequest{Name: "admin", PolicyName: "p", PolicyDocument: allowAll}, kms.CodeAccessDenied},
		{"attach", kms.OpAttachUserPolicy, &kms.AttachPolicyRequest{Name: "x", PolicyARN: other}, ""},
		{"attach to who has no boundary", kms.OpAttachUserPolicy, &kms.AttachPolicyRequest{Name: "free", PolicyARN: other}, kms.CodeAccessDenied},
		{"another boundary", kms.OpPutUserPermissionsBoundary, &kms.PutBoundaryRequest{Name: "x", PermissionsBoundary: other}, kms.CodeAccessDenied},
		{"the boundary again", kms.OpPutUserPermissionsBoundary, &kms.PutBoundaryRequest{Name: "x", PermissionsBoundary: bound}, ""},
		{"no boundary", kms.OpDeleteUserPermissionsBoundary, &kms.IdentityRequest{Name: "x"}, kms.CodeAccessDenied},
		{"another text of the boundary", kms.OpCreatePolicyVersion, &kms.CreatePolicyVersionRequest{PolicyARN: bound, PolicyDocument: allowAll, SetAsDefault: true}, kms.CodeAccessDenied},
		{"delete the boundary", kms.OpDeletePolicy, &kms.PolicyRequest{PolicyARN: bound}, kms.CodeAccessDenied},
	} {
		_, err := w.Do(admin, row.op, row.request)
		want(t, row.what, err, row.code)
	}
	made := w.accessKey(t, "x")
	want(t, "what the boundary has", uses(w.Node, made, key), "")
	_, err := w.Do(made, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
	want(t, "what it has not", err, kms.CodeAccessDenied)
	_, err = w.Do(made, kms.OpDeleteUserPermissionsBoundary, &kms.IdentityRequest{Name: "x"})
	want(t, "off with one's own boundary", err, kms.CodeAccessDenied)
	if e := entryOf(w.must(t, made, kms.OpGetUser, &kms.IdentityRequest{Name: "x"})); e.PermissionsBoundary != bound {
		t.Errorf("user %+v", e)
	}
}

// iam:PolicyARN says which policies may be attached and detached.
func TestPolicyARNCondition(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	mine, other := w.publish(t, "mine", permit("kms:Encrypt", "*")), w.publish(t, "other", allowAll)
	who := w.hire(t, "u", permit("iam:Attach* iam:Detach*", "*", `{"ArnEquals":{"iam:PolicyARN":"`+mine+`"}}`))
	for _, k := range kins {
		if k.noun != "user/" {
			w.must(t, w.alice, k.create, k.creating("u", ""))
		}
		for _, op := range []*kms.Operation{k.attach, k.detach} {
			_, err := w.Do(who, op, &kms.AttachPolicyRequest{Name: "u", PolicyARN: other})
			want(t, op.Name+" the other", err, kms.CodeAccessDenied)
			_, err = w.Do(who, op, &kms.AttachPolicyRequest{Name: "u", PolicyARN: mine})
			want(t, op.Name, err, "")
		}
	}
}

// Whoever administers a part does not come to the rest.
func TestEscalation(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	users := w.hire(t, "users", permit("iam:*", iamARN(aliceID, "user/team/*")))
	all := w.hire(t, "all", permit("iam:*", "*"))
	own := w.hire(t, "own", rules(rule("Allow", "iam:*AccessKey*", iamARN(aliceID, "user/own")), rule("Allow", "iam:AddUserToGroup", iamARN(aliceID, "group/own"))))
	w.gather(t, "own", "")
	w.gather(t, "admins", allowAll)
	arn := w.publish(t, "p", allowAll)
	w.must(t, w.alice, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "r", AssumeRolePolicyDocument: trusting(iamARN(aliceID, "user/nobody"))})
	root := &kms.IdentityRequest{Name: kms.RootName}
	rootKey := w.alice.AccessKeyID
	const denied = kms.CodeAccessDenied
	for _, row := range []struct {
		what    string
		who     servicetest.Credentials
		op      *kms.Operation
		request any
		code    kms.Code
	}{
		{"of the team", users, kms.OpCreateUser, &kms.CreateUserRequest{Name: "t", Path: "/team/"}, ""},
		{"of another team", users, kms.OpCreateUser, &kms.CreateUserRequest{Name: "t2", Path: "/teams/"}, denied},
		{"of no team", users, kms.OpCreateUser, &kms.CreateUserRequest{Name: "t2"}, denied},
		{"with tags", users, kms.OpTagUser, &kms.TagIdentityRequest{Name: "t", Tags: map[string]string{"a": "b"}}, ""},
		{"itself", users, kms.OpPutUserPolicy, &kms.PutInlinePolicyRequest{Name: "users", PolicyName: "p", PolicyDocument: allowAll}, denied},
		{"into a group", users, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: "admins", UserName: "t"}, denied},
		{"itself into a group", users, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: "admins", UserName: "users"}, denied},
		{"a group", users, kms.OpCreateGroup, &kms.CreateGroupRequest{Name: "t"}, denied},
		{"a role", users, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "t", AssumeRolePolicyDocument: trusting(iamARN(aliceID, "root"))}, denied},
		{"a trust policy", users, kms.OpUpdateAssumeRolePolicy, &kms.UpdateAssumeRolePolicyRequest{Name: "r", PolicyDocument: trusting(iamARN(aliceID, "root"))}, denied},
		{"a policy", users, kms.OpCreatePolicyVersion, &kms.CreatePolicyVersionRequest{PolicyARN: arn, PolicyDocument: allowAll}, denied},
		{"a provider", users, kms.OpCreateOIDCProvider, &kms.CreateOIDCProviderRequest{URL: issuerURL, ClientIDList: []string{"a"}, JWKS: unusedKeys}, denied},
		{"an anchor", all, kms.OpCreateTrustAnchor, &kms.CreateTrustAnchorRequest{Name: "a", Certificate: authority, Mappings: []kms.CertificateMapping{{Role: "r", CommonName: "c"}}}, denied},
		{"an access key of the team", users, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: "t"}, ""},
		{"an access key of another", users, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: "all"}, denied},
		{"the last use of another's", users, kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: all.AccessKeyID}, denied},

		{"an access key of the root", all, kms.OpCreateAccessKey, root, denied},
		{"those of the root", all, kms.OpListAccessKeys, root, denied},
		{"the root's made inactive", all, kms.OpUpdateAccessKey, &kms.UpdateAccessKeyRequest{Name: kms.RootName, AccessKeyID: rootKey, Status: kms.AccessKeyInactive}, denied},
		{"the root's deleted", all, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: kms.RootName, AccessKeyID: rootKey}, denied},
		{"the root's, as one's own", all, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "all", AccessKeyID: rootKey}, kms.CodeNotFound},
		{"the root's last use", all, kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: rootKey}, denied},
		{"the root's, by the root", w.alice, kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: rootKey}, ""},
		{"another account's", w.alice, kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: w.bob.AccessKeyID}, kms.CodeNotFound},
		{"another account's", w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: kms.RootName, AccessKeyID: w.bob.AccessKeyID}, kms.CodeNotFound},
		{"a cluster operation", all, kms.OpCreateAccount, &kms.CreateAccountRequest{}, denied},

		{"one's own access key", own, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: "OWN"}, ""},
		{"another's", own, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: "all"}, denied},
		{"another's, as one's own", own, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "own", AccessKeyID: all.AccessKeyID}, kms.CodeNotFound},
		{"into the own group", own, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: "own", UserName: "own"}, ""},
		{"into another group", own, kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: "admins", UserName: "own"}, denied},
		{"out of another group", own, kms.OpRemoveUserFromGroup, &kms.GroupMemberRequest{Name: "admins", UserName: "own"}, denied},
		{"rights for the own group", own, kms.OpPutGroupPolicy, &kms.PutInlinePolicyRequest{Name: "own", PolicyName: "p", PolicyDocument: allowAll}, denied},
		{"who there is", own, kms.OpGetUser, &kms.IdentityRequest{Name: "all"}, denied},
		{"who there is not", own, kms.OpGetUser, &kms.IdentityRequest{Name: "nobody"}, denied},
	} {
		_, err := w.Do(row.who, row.op, row.request)
		want(t, row.what, err, row.code)
	}
	// The message for who is there is that for who is not.
	for _, op := range []*kms.Operation{kms.OpGetUser, kms.OpListAccessKeys, kms.OpCreateAccessKey, kms.OpDeleteUser} {
		_, there := w.Do(own, op, &kms.IdentityRequest{Name: "all"})
		_, not := w.Do(own, op, &kms.IdentityRequest{Name: "alk"})
		if len(there.Error()) != len(not.Error()) {
			t.Errorf("%s tells existence: %v, %v", op.Name, there, not)
		}
	}
}
