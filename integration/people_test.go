package integration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/transport"
)

// people are a tenant's identities, policies and providers. Its user, group, role, managed policy, inline policies and
// trust anchor have one name, which nobody else uses.
type people struct {
	account, name      string
	accessKey, rootKey string // ids, of the user and of the root
	issuer             string // what the OpenID Connect provider is called
	webToken           string // of that issuer
	markers            [4]string
}

// arnOf is the ARN of what of the tenant has its name, "user" or another kind.
func (p *people) arnOf(kind string) string {
	return "arn:aws:iam::" + p.account + ":" + kind + "/" + p.name
}

// invented are people like p that nobody has, of the same account and issuer.
func (p people) invented() people {
	p.name = strings.ToLower(rand.Text())
	p.accessKey, p.rootKey = "AKIA"+rand.Text()[:16], "AKIA"+rand.Text()[:16]
	p.issuer = strings.ToLower(rand.Text()) + ".example"
	p.markers = [4]string{rand.Text(), rand.Text(), rand.Text(), rand.Text()}
	return p
}

const (
	allowsAll  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	allowsNone = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`
)

// trusting is a trust policy for a principal such as {"AWS":"ARN"}.
func trusting(action, principal string) kms.PolicyDocument {
	return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"` + action + `","Principal":` + principal + `}}`)
}

// populate makes one of everything that an account can have beside keys, and a second one of what is listed in pages.
func (n *tenant) populate(t *testing.T, issuer *oidctest.Issuer) {
	t.Helper()
	ctx, cl, own := background(t), n.nodes[0], &n.own
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, err := transport.NewCA("of "+n.account, transport.Validity{})
	check(err)
	own.account, own.name = n.account, strings.ToLower(rand.Text())
	own.issuer = strings.TrimPrefix(issuer.URL(), "https://")
	own.webToken = issuer.Token(map[string]any{"sub": "somebody", "aud": "lockstep"})
	for _, name := range []string{own.name, own.name + "-second"} {
		check(failed(cl.CreateUser(ctx, &kms.CreateUserRequest{Name: name, Tags: map[string]string{"a": "b"}})))
		check(failed(cl.CreateGroup(ctx, &kms.CreateGroupRequest{Name: name})))
		check(failed(cl.CreatePolicy(ctx, &kms.CreatePolicyRequest{Name: name, PolicyDocument: allowsAll})))
		check(failed(cl.CreateRole(ctx, &kms.CreateRoleRequest{Name: name, Tags: map[string]string{"a": "b"},
			AssumeRolePolicyDocument: trusting("sts:AssumeRole", `{"AWS":"`+n.root()+`"}`)})))
	}
	check(failed(cl.CreatePolicyVersion(ctx, &kms.CreatePolicyVersionRequest{PolicyARN: own.arnOf("policy"), PolicyDocument: allowsAll})))
	check(cl.AddUserToGroup(ctx, &kms.GroupMemberRequest{Name: own.name, UserName: own.name}))
	attach, inline := &kms.AttachPolicyRequest{Name: own.name, PolicyARN: own.arnOf("policy")}, &kms.PutInlinePolicyRequest{Name: own.name, PolicyName: own.name, PolicyDocument: allowsAll}
	bound := &kms.PutBoundaryRequest{Name: own.name, PermissionsBoundary: own.arnOf("policy")}
	for _, err := range []error{cl.AttachUserPolicy(ctx, attach), cl.AttachGroupPolicy(ctx, attach), cl.AttachRolePolicy(ctx, attach),
		cl.PutUserPolicy(ctx, inline), cl.PutGroupPolicy(ctx, inline), cl.PutRolePolicy(ctx, inline),
		cl.PutUserPermissionsBoundary(ctx, bound), cl.PutRolePermissionsBoundary(ctx, bound)} {
		check(err)
	}
	key, err := cl.CreateAccessKey(ctx, &kms.IdentityRequest{Name: own.name})
	check(err)
	own.accessKey = key.AccessKey.AccessKeyID
	check(failed(cl.CreateOpenIDConnectProvider(ctx, &kms.CreateOIDCProviderRequest{URL: issuer.URL(), ClientIDList: []string{"lockstep"}, CACertificate: issuer.CA()})))
	check(failed(cl.CreateTrustAnchor(ctx, &kms.CreateTrustAnchorRequest{Name: own.name, Certificate: string(ca.CertPEM()),
		Mappings: []kms.CertificateMapping{{Role: own.name, CommonName: "*"}}})))
	one := &kms.ListRequest{Limit: 1}
	users, err := cl.ListUsers(ctx, one)
	check(err)
	groups, err := cl.ListGroups(ctx, one)
	check(err)
	roles, err := cl.ListRoles(ctx, one)
	check(err)
	policies, err := cl.ListPolicies(ctx, one)
	check(err)
	for i, marker := range []string{users.NextMarker, groups.NextMarker, roles.NextMarker, policies.NextMarker} {
		if own.markers[i] = marker; marker == "" {
			t.Fatalf("listing %d of one of two has no next page", i)
		}
	}
}

// people describes the tenant's identities, policies and providers.
func (n *tenant) people(t *testing.T) string {
	t.Helper()
	ctx, cl := background(t), n.nodes[1]
	var all []any
	add := func(v any, err error) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	page := &kms.ListRequest{}
	users, err := cl.ListUsers(ctx, page)
	add(users, err)
	groups, err := cl.ListGroups(ctx, page)
	add(groups, err)
	roles, err := cl.ListRoles(ctx, page)
	add(roles, err)
	policies, err := cl.ListPolicies(ctx, page)
	add(policies, err)
	me := &kms.IdentityRequest{Name: n.own.name}
	for _, of := range []string{n.own.name, kms.RootName} {
		keys, err := cl.ListAccessKeys(ctx, &kms.IdentityRequest{Name: of})
		add(keys, err)
	}
	of, err := cl.ListGroupsForUser(ctx, me)
	add(of, err)
	for _, list := range []func(context.Context, *kms.IdentityRequest, ...client.Option) (*kms.ListAttachedPoliciesAnswer, error){
		cl.ListAttachedUserPolicies, cl.ListAttachedGroupPolicies, cl.ListAttachedRolePolicies} {
		attached, err := list(ctx, me)
		add(attached, err)
	}
	for _, get := range []func(context.Context, *kms.GetInlinePolicyRequest, ...client.Option) (*kms.InlinePolicyAnswer, error){
		cl.GetUserPolicy, cl.GetGroupPolicy, cl.GetRolePolicy} {
		inline, err := get(ctx, &kms.GetInlinePolicyRequest{Name: n.own.name, PolicyName: n.own.name})
		add(inline, err)
	}
	versions, err := cl.ListPolicyVersions(ctx, &kms.PolicyRequest{PolicyARN: n.own.arnOf("policy")})
	add(versions, err)
	providers, err := cl.ListOpenIDConnectProviders(ctx)
	add(providers, err)
	anchors, err := cl.ListTrustAnchors(ctx)
	add(anchors, err)
	text, err := json.Marshal(all)
	add(nil, err)
	return string(text)
}

// sameNames makes what has the other tenant's names, which is the tenant's own, and removes it again.
func (n *tenant) sameNames(t *testing.T, other *tenant) {
	t.Helper()
	ctx, cl, name := background(t), n.nodes[2], other.own.name
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	before := other.people(t)
	user, err := cl.CreateUser(ctx, &kms.CreateUserRequest{Name: name})
	check(err)
	role, err := cl.CreateRole(ctx, &kms.CreateRoleRequest{Name: name, AssumeRolePolicyDocument: trusting("sts:AssumeRole", `{"AWS":"`+n.root()+`"}`)})
	check(err)
	policy, err := cl.CreatePolicy(ctx, &kms.CreatePolicyRequest{Name: name, PolicyDocument: allowsNone})
	check(err)
	if err == nil {
		for _, arn := range []string{user.User.ARN, role.Role.ARN, policy.Policy.ARN} {
			if !strings.Contains(arn, ":"+n.account+":") {
				t.Errorf("what was made is %s", arn)
			}
		}
		check(cl.AttachUserPolicy(ctx, &kms.AttachPolicyRequest{Name: name, PolicyARN: policy.Policy.ARN}))
		check(cl.DetachUserPolicy(ctx, &kms.AttachPolicyRequest{Name: name, PolicyARN: policy.Policy.ARN}))
		check(cl.DeletePolicy(ctx, &kms.PolicyRequest{PolicyARN: policy.Policy.ARN}))
	}
	check(cl.DeleteUser(ctx, &kms.IdentityRequest{Name: name}))
	check(cl.DeleteRole(ctx, &kms.IdentityRequest{Name: name}))
	if after := other.people(t); after != before {
		t.Errorf("the other tenant's people have changed, from\n%s\nto\n%s", before, after)
	}
}

// namesStrangers writes policies and grants that name the other tenant's people, and people who are not there: the
// answers are the same, or they would tell who is.
func (n *tenant) namesStrangers(t *testing.T, other *tenant) {
	t.Helper()
	ctx, cl, nobody := background(t), n.nodes[0], other.own.invented()
	for what, name := range map[string]func(arn string) error{
		"a key policy": func(arn string) error {
			return failed(cl.PutKeyPolicy(ctx, &kms.PutKeyPolicyRequest{KeyID: n.own.key, Policy: kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[
				{"Effect":"Allow","Action":"kms:*","Principal":{"AWS":"` + n.root() + `"},"Resource":"*"},
				{"Effect":"Allow","Action":"kms:Encrypt","Principal":{"AWS":"` + arn + `"},"Resource":"*"}]}`)}))
		},
		"a grant": func(arn string) error {
			return failed(cl.CreateGrant(ctx, &kms.CreateGrantRequest{KeyID: n.own.key, GranteePrincipal: arn, RetiringPrincipal: arn, Operations: []kms.GrantOperation{"Encrypt"}}))
		},
		"a trust policy": func(arn string) error {
			return failed(cl.UpdateAssumeRolePolicy(ctx, &kms.UpdateAssumeRolePolicyRequest{Name: n.own.name, PolicyDocument: trusting("sts:AssumeRole", `{"AWS":"`+arn+`"}`)}))
		},
	} {
		for _, kind := range []string{"user", "role"} {
			real, invented := name(other.own.arnOf(kind)), name(nobody.arnOf(kind))
			if (real == nil) != (invented == nil) || real != nil && told(real, &other.own) != told(invented, nobody) {
				t.Errorf("%s that names a %s tells who exists: %v; %v", what, kind, real, invented)
			}
		}
	}
}

// named tries what takes a name: the other's, and where more than a name is asked for, an own name with the rest of it.
func named(do func(ctx context.Context, cl *client.Client, name string, of *things) error, mixed bool) []try {
	all := []try{{"its name", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
		return do(ctx, cl, of.name, of)
	}}}
	if mixed {
		all = append(all, try{"an own name with its", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
			return do(ctx, cl, by.own.name, of)
		}})
	}
	return all
}

// get tries what takes the name of an identity and nothing else.
func get[A any](f func(*client.Client, context.Context, *kms.IdentityRequest, ...client.Option) (A, error)) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, _ *things) error {
		return failed(f(cl, ctx, &kms.IdentityRequest{Name: name}))
	}, false)
}

// end is get of what answers nothing.
func end(f func(*client.Client, context.Context, *kms.IdentityRequest, ...client.Option) error) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, _ *things) error {
		return f(cl, ctx, &kms.IdentityRequest{Name: name})
	}, false)
}

// attach tries to attach or detach.
func attach(f func(*client.Client, context.Context, *kms.AttachPolicyRequest, ...client.Option) error) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, of *things) error {
		return f(cl, ctx, &kms.AttachPolicyRequest{Name: name, PolicyARN: of.arnOf("policy")})
	}, true)
}

func putInline(f func(*client.Client, context.Context, *kms.PutInlinePolicyRequest, ...client.Option) error) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, of *things) error {
		return f(cl, ctx, &kms.PutInlinePolicyRequest{Name: name, PolicyName: of.name, PolicyDocument: allowsNone})
	}, false)
}

func getInline(f func(*client.Client, context.Context, *kms.GetInlinePolicyRequest, ...client.Option) (*kms.InlinePolicyAnswer, error)) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, of *things) error {
		return failed(f(cl, ctx, &kms.GetInlinePolicyRequest{Name: name, PolicyName: of.name}))
	}, true)
}

func deleteInline(f func(*client.Client, context.Context, *kms.DeleteInlinePolicyRequest, ...client.Option) error) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, of *things) error {
		return f(cl, ctx, &kms.DeleteInlinePolicyRequest{Name: name, PolicyName: of.name})
	}, true)
}

func tag(f func(*client.Client, context.Context, *kms.TagIdentityRequest, ...client.Option) error) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, _ *things) error {
		return f(cl, ctx, &kms.TagIdentityRequest{Name: name, Tags: map[string]string{"a": "stolen"}})
	}, false)
}

func untag(f func(*client.Client, context.Context, *kms.UntagIdentityRequest, ...client.Option) error) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, _ *things) error {
		return f(cl, ctx, &kms.UntagIdentityRequest{Name: name, TagKeys: []string{"a"}})
	}, false)
}

func putBoundary(f func(*client.Client, context.Context, *kms.PutBoundaryRequest, ...client.Option) error) []try {
	return named(func(ctx context.Context, cl *client.Client, name string, of *things) error {
		return f(cl, ctx, &kms.PutBoundaryRequest{Name: name, PermissionsBoundary: of.arnOf("policy")})
	}, true)
}

// paged tries the marker of another's listing.
func paged(i int, do func(ctx context.Context, cl *client.Client, marker string) error) []try {
	return []try{{"its marker", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
		return do(ctx, cl, of.markers[i])
	}}}
}

func userTries() map[*kms.Operation][]try {
	return map[*kms.Operation][]try{
		kms.OpCreateUser: named(func(ctx context.Context, cl *client.Client, _ string, of *things) error {
			return failed(cl.CreateUser(ctx, &kms.CreateUserRequest{Name: "bounded", PermissionsBoundary: of.arnOf("policy")}))
		}, false),
		kms.OpListUsers: paged(0, func(ctx context.Context, cl *client.Client, marker string) error {
			return failed(cl.ListUsers(ctx, &kms.ListRequest{Marker: marker}))
		}),
		kms.OpGetUser: get((*client.Client).GetUser), kms.OpDeleteUser: end((*client.Client).DeleteUser),
		kms.OpTagUser: tag((*client.Client).TagUser), kms.OpUntagUser: untag((*client.Client).UntagUser),
		kms.OpListGroupsForUser: get((*client.Client).ListGroupsForUser),
		kms.OpAttachUserPolicy:  attach((*client.Client).AttachUserPolicy), kms.OpDetachUserPolicy: attach((*client.Client).DetachUserPolicy),
		kms.OpListAttachedUserPolicies: get((*client.Client).ListAttachedUserPolicies), kms.OpListUserPolicies: get((*client.Client).ListUserPolicies),
		kms.OpPutUserPolicy: putInline((*client.Client).PutUserPolicy), kms.OpGetUserPolicy: getInline((*client.Client).GetUserPolicy),
		kms.OpDeleteUserPolicy: deleteInline((*client.Client).DeleteUserPolicy), kms.OpPutUserPermissionsBoundary: putBoundary((*client.Client).PutUserPermissionsBoundary),
		kms.OpDeleteUserPermissionsBoundary: end((*client.Client).DeleteUserPermissionsBoundary),
	}
}

func groupTries() map[*kms.Operation][]try {
	member := func(f func(*client.Client, context.Context, *kms.GroupMemberRequest, ...client.Option) error) []try {
		return named(func(ctx context.Context, cl *client.Client, name string, of *things) error {
			return f(cl, ctx, &kms.GroupMemberRequest{Name: name, UserName: of.name})
		}, true)
	}
	return map[*kms.Operation][]try{
		kms.OpListGroups: paged(1, func(ctx context.Context, cl *client.Client, marker string) error {
			return failed(cl.ListGroups(ctx, &kms.ListRequest{Marker: marker}))
		}),
		kms.OpGetGroup: named(func(ctx context.Context, cl *client.Client, name string, _ *things) error {
			return failed(cl.GetGroup(ctx, &kms.IdentityListRequest{Name: name}))
		}, false),
		kms.OpDeleteGroup:    end((*client.Client).DeleteGroup),
		kms.OpAddUserToGroup: member((*client.Client).AddUserToGroup), kms.OpRemoveUserFromGroup: member((*client.Client).RemoveUserFromGroup),
		kms.OpAttachGroupPolicy: attach((*client.Client).AttachGroupPolicy), kms.OpDetachGroupPolicy: attach((*client.Client).DetachGroupPolicy),
		kms.OpListAttachedGroupPolicies: get((*client.Client).ListAttachedGroupPolicies), kms.OpListGroupPolicies: get((*client.Client).ListGroupPolicies),
		kms.OpPutGroupPolicy: putInline((*client.Client).PutGroupPolicy), kms.OpGetGroupPolicy: getInline((*client.Client).GetGroupPolicy),
		kms.OpDeleteGroupPolicy: deleteInline((*client.Client).DeleteGroupPolicy),
	}
}

func roleTries() map[*kms.Operation][]try {
	return map[*kms.Operation][]try{
		kms.OpCreateRole: named(func(ctx context.Context, cl *client.Client, _ string, of *things) error {
			return failed(cl.CreateRole(ctx, &kms.CreateRoleRequest{Name: "bounded", PermissionsBoundary: of.arnOf("policy"), AssumeRolePolicyDocument: trusting("sts:AssumeRole", `"*"`)}))
		}, false),
		kms.OpListRoles: paged(2, func(ctx context.Context, cl *client.Client, marker string) error {
			return failed(cl.ListRoles(ctx, &kms.ListRequest{Marker: marker}))
		}),
		kms.OpGetRole: get((*client.Client).GetRole), kms.OpDeleteRole: end((*client.Client).DeleteRole),
		kms.OpTagRole: tag((*client.Client).TagRole), kms.OpUntagRole: untag((*client.Client).UntagRole),
		kms.OpUpdateRole: named(func(ctx context.Context, cl *client.Client, name string, _ *things) error {
			return failed(cl.UpdateRole(ctx, &kms.UpdateRoleRequest{Name: name, Description: new("stolen")}))
		}, false),
		kms.OpUpdateAssumeRolePolicy: {{"its role, for oneself", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
			return failed(cl.UpdateAssumeRolePolicy(ctx, &kms.UpdateAssumeRolePolicyRequest{Name: of.name, PolicyDocument: trusting("sts:AssumeRole", `{"AWS":"`+by.root()+`"}`)}))
		}}},
		kms.OpRevokeSessions: named(func(ctx context.Context, cl *client.Client, name string, _ *things) error {
			return failed(cl.RevokeSessions(ctx, &kms.RevokeSessionsRequest{Name: name}))
		}, false),
		kms.OpAttachRolePolicy: attach((*client.Client).AttachRolePolicy), kms.OpDetachRolePolicy: attach((*client.Client).DetachRolePolicy),
		kms.OpListAttachedRolePolicies: get((*client.Client).ListAttachedRolePolicies), kms.OpListRolePolicies: get((*client.Client).ListRolePolicies),
		kms.OpPutRolePolicy: putInline((*client.Client).PutRolePolicy), kms.OpGetRolePolicy: getInline((*client.Client).GetRolePolicy),
		kms.OpDeleteRolePolicy: deleteInline((*client.Client).DeleteRolePolicy), kms.OpPutRolePermissionsBoundary: putBoundary((*client.Client).PutRolePermissionsBoundary),
		kms.OpDeleteRolePermissionsBoundary: end((*client.Client).DeleteRolePermissionsBoundary),
	}
}

func accessKeyTries() map[*kms.Operation][]try {
	// ofKeys tries the other's access keys with the other's user, an own user and the own root.
	ofKeys := func(do func(ctx context.Context, cl *client.Client, user, key string) error) (all []try) {
		for what, user := range map[string]func(by *tenant, of *things) string{
			"its user's": func(_ *tenant, of *things) string { return of.name }, "an own user's": func(by *tenant, _ *things) string { return by.own.name },
			"the own root's": func(*tenant, *things) string { return kms.RootName },
		} {
			for which, key := range map[string]func(*things) string{"user": func(t *things) string { return t.accessKey }, "root": func(t *things) string { return t.rootKey }} {
				all = append(all, try{what + ", the key of its " + which, func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
					return do(ctx, cl, user(by, of), key(of))
				}})
			}
		}
		return all
	}
	return map[*kms.Operation][]try{
		kms.OpCreateAccessKey: get((*client.Client).CreateAccessKey), kms.OpListAccessKeys: get((*client.Client).ListAccessKeys),
		kms.OpUpdateAccessKey: ofKeys(func(ctx context.Context, cl *client.Client, user, key string) error {
			return failed(cl.UpdateAccessKey(ctx, &kms.UpdateAccessKeyRequest{Name: user, AccessKeyID: key, Status: kms.AccessKeyInactive}))
		}),
		kms.OpDeleteAccessKey: ofKeys(func(ctx context.Context, cl *client.Client, user, key string) error {
			return cl.DeleteAccessKey(ctx, &kms.DeleteAccessKeyRequest{Name: user, AccessKeyID: key})
		}),
		kms.OpGetAccessKeyLastUsed: ofKeys(func(ctx context.Context, cl *client.Client, _, key string) error {
			return failed(cl.GetAccessKeyLastUsed(ctx, &kms.AccessKeyRequest{AccessKeyID: key}))
		}),
	}
}

func managedPolicyTries() map[*kms.Operation][]try {
	byARN := func(do func(ctx context.Context, cl *client.Client, arn string) error) []try {
		return []try{{"its ARN", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			return do(ctx, cl, of.arnOf("policy"))
		}}}
	}
	return map[*kms.Operation][]try{
		kms.OpListPolicies: paged(3, func(ctx context.Context, cl *client.Client, marker string) error {
			return failed(cl.ListPolicies(ctx, &kms.ListRequest{Marker: marker}))
		}),
		kms.OpGetPolicy: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return failed(cl.GetPolicy(ctx, &kms.PolicyRequest{PolicyARN: arn}))
		}),
		kms.OpDeletePolicy: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return cl.DeletePolicy(ctx, &kms.PolicyRequest{PolicyARN: arn})
		}),
		kms.OpCreatePolicyVersion: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return failed(cl.CreatePolicyVersion(ctx, &kms.CreatePolicyVersionRequest{PolicyARN: arn, PolicyDocument: allowsNone, SetAsDefault: true}))
		}),
		kms.OpGetPolicyVersion: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return failed(cl.GetPolicyVersion(ctx, &kms.GetPolicyVersionRequest{PolicyARN: arn, VersionID: "v1"}))
		}),
		kms.OpListPolicyVersions: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return failed(cl.ListPolicyVersions(ctx, &kms.PolicyRequest{PolicyARN: arn}))
		}),
		kms.OpSetDefaultPolicyVersion: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return cl.SetDefaultPolicyVersion(ctx, &kms.PolicyVersionRequest{PolicyARN: arn, VersionID: "v2"})
		}),
		kms.OpDeletePolicyVersion: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return cl.DeletePolicyVersion(ctx, &kms.PolicyVersionRequest{PolicyARN: arn, VersionID: "v2"})
		}),
		kms.OpTagPolicy: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return cl.TagPolicy(ctx, &kms.TagPolicyRequest{PolicyARN: arn, Tags: map[string]string{"a": "stolen"}})
		}),
		kms.OpUntagPolicy: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return cl.UntagPolicy(ctx, &kms.UntagPolicyRequest{PolicyARN: arn, TagKeys: []string{"a"}})
		}),
		kms.OpListEntitiesForPolicy: byARN(func(ctx context.Context, cl *client.Client, arn string) error {
			return failed(cl.ListEntitiesForPolicy(ctx, &kms.PolicyRequest{PolicyARN: arn}))
		}),
		kms.OpSimulatePrincipalPolicy: simulateTries(),
		kms.OpWhoCan: with("", func(ctx context.Context, cl *client.Client, key string, _ *things) error {
			return failed(cl.WhoCan(ctx, &kms.WhoCanRequest{KeyID: key, Action: "kms:Encrypt"}))
		}),
	}
}

// simulateTries ask about the other's people, and about own people with the other's keys. Who an alias ARN belongs to is
// not looked up: what is asked of one is answered without its key.
func simulateTries() (all []try) {
	for _, kind := range []string{"user", "role", "group"} {
		all = append(all, try{"its " + kind, func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
			return failed(cl.SimulatePrincipalPolicy(ctx, &kms.SimulateRequest{PrincipalARN: of.arnOf(kind), Action: "kms:Encrypt", Resource: by.own.key}))
		}})
	}
	for _, form := range []string{"key id", "key ARN", "alias"} {
		all = append(all, try{"its " + form, func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
			return failed(cl.SimulatePrincipalPolicy(ctx, &kms.SimulateRequest{PrincipalARN: by.own.arnOf("user"), Action: "kms:Encrypt", Resource: keyForms[form](of)}))
		}})
	}
	return all
}

func providerTries() map[*kms.Operation][]try {
	byName := func(do func(ctx context.Context, cl *client.Client, name string) error, head string, name func(*things) string) []try {
		return []try{
			{"its name", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
				return do(ctx, cl, name(of))
			}},
			{"its ARN", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
				return do(ctx, cl, strings.Replace(head, "ACCOUNT", of.account, 1)+name(of))
			}},
		}
	}
	// Both tenants trust one issuer, so its name alone is everybody's own.
	oidc := func(do func(ctx context.Context, cl *client.Client, name string) error) []try {
		return byName(do, "arn:aws:iam::ACCOUNT:oidc-provider/", func(t *things) string { return t.issuer })[1:]
	}
	anchor := func(do func(ctx context.Context, cl *client.Client, name string) error) []try {
		return byName(do, "arn:aws:rolesanywhere::ACCOUNT:trust-anchor/", func(t *things) string { return t.name })
	}
	return map[*kms.Operation][]try{
		kms.OpGetOIDCProvider: oidc(func(ctx context.Context, cl *client.Client, name string) error {
			return failed(cl.GetOpenIDConnectProvider(ctx, &kms.ProviderRequest{Provider: name}))
		}),
		kms.OpDeleteOIDCProvider: oidc(func(ctx context.Context, cl *client.Client, name string) error {
			return cl.DeleteOpenIDConnectProvider(ctx, &kms.ProviderRequest{Provider: name})
		}),
		kms.OpAddClientIDToOIDCProvider: oidc(func(ctx context.Context, cl *client.Client, name string) error {
			return cl.AddClientIDToOpenIDConnectProvider(ctx, &kms.ClientIDRequest{Provider: name, ClientID: "thief"})
		}),
		kms.OpRemoveClientIDFromOIDCProvider: oidc(func(ctx context.Context, cl *client.Client, name string) error {
			return cl.RemoveClientIDFromOpenIDConnectProvider(ctx, &kms.ClientIDRequest{Provider: name, ClientID: "lockstep"})
		}),
		kms.OpUpdateOIDCThumbprint: oidc(func(ctx context.Context, cl *client.Client, name string) error {
			return cl.UpdateOpenIDConnectProviderThumbprint(ctx, &kms.UpdateThumbprintRequest{Provider: name, ThumbprintList: []string{strings.Repeat("0a", 20)}})
		}),
		kms.OpTagOIDCProvider: oidc(func(ctx context.Context, cl *client.Client, name string) error {
			return cl.TagOpenIDConnectProvider(ctx, &kms.TagProviderRequest{Provider: name, Tags: map[string]string{"a": "stolen"}})
		}),
		kms.OpUntagOIDCProvider: oidc(func(ctx context.Context, cl *client.Client, name string) error {
			return cl.UntagOpenIDConnectProvider(ctx, &kms.UntagProviderRequest{Provider: name, TagKeys: []string{"a"}})
		}),
		kms.OpGetTrustAnchor: anchor(func(ctx context.Context, cl *client.Client, name string) error {
			return failed(cl.GetTrustAnchor(ctx, &kms.ProviderRequest{Provider: name}))
		}),
		kms.OpDeleteTrustAnchor: anchor(func(ctx context.Context, cl *client.Client, name string) error {
			return cl.DeleteTrustAnchor(ctx, &kms.ProviderRequest{Provider: name})
		}),
	}
}

func sessionTries() map[*kms.Operation][]try {
	return map[*kms.Operation][]try{
		kms.OpAssumeRole: {
			{"its role", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
				return failed(cl.AssumeRole(ctx, &kms.AssumeRoleRequest{RoleARN: of.arnOf("role"), RoleSessionName: "thief"}))
			}},
			{"an own role with its policy", func(ctx context.Context, by *tenant, cl *client.Client, of *things) error {
				return failed(cl.AssumeRole(ctx, &kms.AssumeRoleRequest{RoleARN: by.own.arnOf("role"), RoleSessionName: "thief", PolicyARNs: []string{of.arnOf("policy")}}))
			}},
		},
		// The token is one that the role's account takes; the role does not.
		kms.OpAssumeRoleWithWebIdentity: {{"its role", func(ctx context.Context, _ *tenant, cl *client.Client, of *things) error {
			return failed(cl.AssumeRoleWithWebIdentity(ctx, &kms.AssumeRoleWithWebIdentityRequest{RoleARN: of.arnOf("role"), RoleSessionName: "thief", WebIdentityToken: kms.SensitiveString(of.webToken)}))
		}}},
	}
}
