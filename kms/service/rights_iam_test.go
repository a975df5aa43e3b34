package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

const allowAll kms.PolicyDocument = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

const (
	issuerURL  = "https://issuer.example.com"
	unusedKeys = `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`
)

func trusting(arn string) kms.PolicyDocument {
	return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Principal":{"AWS":"` + arn + `"}}]}`)
}

// accountOf returns the account that an access key of the world belongs to.
func (w *world) accountOf(who servicetest.Credentials) string {
	switch who {
	case w.alice:
		return aliceID
	case w.bob:
		return bobID
	}
	return servicetest.Operator
}

func (s *topic) arn(resource string) string {
	return "arn:aws:iam::" + s.account + ":" + resource + s.n
}

func (s *topic) policyARN() string { return s.arn("policy/") }

// kin are the operations on one type of identity.
type kin struct {
	noun                                                                                       string
	create, remove, attach, detach, attached, put, get, drop, list, bound, unbound, tag, untag *kms.Operation
	made                                                                                       func(s *topic) any
}

var kins = []kin{
	{"user/", kms.OpCreateUser, kms.OpDeleteUser, kms.OpAttachUserPolicy, kms.OpDetachUserPolicy, kms.OpListAttachedUserPolicies, kms.OpPutUserPolicy, kms.OpGetUserPolicy,
		kms.OpDeleteUserPolicy, kms.OpListUserPolicies, kms.OpPutUserPermissionsBoundary, kms.OpDeleteUserPermissionsBoundary, kms.OpTagUser, kms.OpUntagUser,
		func(s *topic) any { return &kms.CreateUserRequest{Name: s.n, Tags: map[string]string{"k": "v"}} }},
	{"group/", kms.OpCreateGroup, kms.OpDeleteGroup, kms.OpAttachGroupPolicy, kms.OpDetachGroupPolicy, kms.OpListAttachedGroupPolicies, kms.OpPutGroupPolicy, kms.OpGetGroupPolicy,
		kms.OpDeleteGroupPolicy, kms.OpListGroupPolicies, nil, nil, nil, nil,
		func(s *topic) any { return &kms.CreateGroupRequest{Name: s.n} }},
	{"role/", kms.OpCreateRole, kms.OpDeleteRole, kms.OpAttachRolePolicy, kms.OpDetachRolePolicy, kms.OpListAttachedRolePolicies, kms.OpPutRolePolicy, kms.OpGetRolePolicy,
		kms.OpDeleteRolePolicy, kms.OpListRolePolicies, kms.OpPutRolePermissionsBoundary, kms.OpDeleteRolePermissionsBoundary, kms.OpTagRole, kms.OpUntagRole,
		func(s *topic) any {
			return &kms.CreateRoleRequest{Name: s.n, AssumeRolePolicyDocument: trusting("arn:aws:iam::" + s.account + ":root")}
		}},
}

// identityRights has every operation on identities, policies, providers and sessions.
func identityRights() map[*kms.Operation]right {
	byName := func(s *topic) any { return &kms.IdentityRequest{Name: s.n} }
	list := func(*topic) any { return &kms.ListRequest{} }
	empty := func(*topic) any { return &kms.Empty{} }
	prepared := func(steps ...func(t *testing.T, w *world, who servicetest.Credentials, s *topic)) func(*testing.T, *world, servicetest.Credentials, *topic) {
		return func(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
			for _, step := range steps {
				step(t, w, who, s)
			}
		}
	}
	do := func(op *kms.Operation, request func(s *topic) any) func(*testing.T, *world, servicetest.Credentials, *topic) {
		return func(t *testing.T, w *world, who servicetest.Credentials, s *topic) { w.must(t, who, op, request(s)) }
	}
	newPolicy := func(s *topic) any { return &kms.CreatePolicyRequest{Name: s.n, PolicyDocument: allowAll} }
	policy := do(kms.OpCreatePolicy, newPolicy)
	version := func(s *topic) any {
		return &kms.CreatePolicyVersionRequest{PolicyARN: s.policyARN(), PolicyDocument: allowAll}
	}
	byPolicy := func(s *topic) any { return &kms.PolicyRequest{PolicyARN: s.policyARN()} }
	second := func(s *topic) any { return &kms.PolicyVersionRequest{PolicyARN: s.policyARN(), VersionID: "v2"} }
	attach := func(s *topic) any { return &kms.AttachPolicyRequest{Name: s.n, PolicyARN: s.policyARN()} }
	inline := func(s *topic) any {
		return &kms.PutInlinePolicyRequest{Name: s.n, PolicyName: "p", PolicyDocument: allowAll}
	}
	bound := func(s *topic) any { return &kms.PutBoundaryRequest{Name: s.n, PermissionsBoundary: s.policyARN()} }

	all := map[*kms.Operation]right{}
	for _, k := range kins {
		exists := do(k.create, k.made)
		all[k.create] = right{request: k.made}
		all[k.remove] = right{prepare: exists, request: byName}
		all[k.attach] = right{prepare: prepared(exists, policy), request: attach}
		all[k.detach] = right{prepare: prepared(exists, policy, do(k.attach, attach)), request: attach}
		all[k.attached] = right{prepare: exists, request: byName}
		all[k.put] = right{prepare: exists, request: inline}
		all[k.get] = right{prepare: prepared(exists, do(k.put, inline)), request: func(s *topic) any { return &kms.GetInlinePolicyRequest{Name: s.n, PolicyName: "p"} }}
		all[k.drop] = right{prepare: prepared(exists, do(k.put, inline)), request: func(s *topic) any { return &kms.DeleteInlinePolicyRequest{Name: s.n, PolicyName: "p"} }}
		all[k.list] = right{prepare: exists, request: byName}
		if k.bound != nil {
			all[k.bound] = right{prepare: prepared(exists, policy), request: bound}
			all[k.unbound] = right{prepare: exists, request: byName}
			all[k.tag] = right{prepare: exists, request: func(s *topic) any { return &kms.TagIdentityRequest{Name: s.n, Tags: map[string]string{"a": "b"}} }}
			all[k.untag] = right{prepare: exists, request: func(s *topic) any { return &kms.UntagIdentityRequest{Name: s.n, TagKeys: []string{"k"}} }}
		}
	}
	user, group, role := do(kms.OpCreateUser, kins[0].made), do(kms.OpCreateGroup, kins[1].made), do(kms.OpCreateRole, kins[2].made)
	member := func(s *topic) any { return &kms.GroupMemberRequest{Name: s.n, UserName: s.n} }
	accessKey := func(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
		s.accessKey = w.must(t, who, kms.OpCreateAccessKey, byName(s)).(*kms.AccessKeyAnswer).AccessKey.AccessKeyID
	}
	issuer := func(s *topic) any {
		return &kms.CreateOIDCProviderRequest{URL: issuerURL + "/" + s.n, ClientIDList: []string{"a", "b"}, JWKS: unusedKeys}
	}
	byIssuer := func(s *topic) any {
		return &kms.ProviderRequest{Provider: "arn:aws:iam::" + s.account + ":oidc-provider/" + issuerURL[len("https://"):] + "/" + s.n}
	}
	issuerName := func(s *topic) string { return issuerURL[len("https://"):] + "/" + s.n }
	clientID := func(id string) func(s *topic) any {
		return func(s *topic) any {
			return &kms.ClientIDRequest{Provider: issuerName(s), ClientID: id}
		}
	}
	anchor := func(s *topic) any {
		return &kms.CreateTrustAnchorRequest{Name: s.n, Certificate: authority, Mappings: []kms.CertificateMapping{{Role: "r", CommonName: "c"}}}
	}
	byAnchor := func(s *topic) any { return &kms.ProviderRequest{Provider: s.n} }
	maps.Copy(all, map[*kms.Operation]right{
		kms.OpGetUser:             {prepare: user, request: byName},
		kms.OpListUsers:           {request: list},
		kms.OpGetGroup:            {prepare: group, request: func(s *topic) any { return &kms.IdentityListRequest{Name: s.n} }},
		kms.OpListGroups:          {request: list},
		kms.OpAddUserToGroup:      {prepare: prepared(user, group), request: member},
		kms.OpRemoveUserFromGroup: {prepare: prepared(user, group, do(kms.OpAddUserToGroup, member)), request: member},
		kms.OpListGroupsForUser:   {prepare: user, request: byName},
		kms.OpGetRole:             {prepare: role, request: byName},
		kms.OpListRoles:           {request: list},
		kms.OpUpdateRole:          {prepare: role, request: func(s *topic) any { return &kms.UpdateRoleRequest{Name: s.n, Description: ptr("d")} }},
		kms.OpUpdateAssumeRolePolicy: {prepare: role, request: func(s *topic) any {
			return &kms.UpdateAssumeRolePolicyRequest{Name: s.n, PolicyDocument: trusting("arn:aws:iam::" + s.account + ":root")}
		}},
		kms.OpRevokeSessions: {prepare: role, request: func(s *topic) any { return &kms.RevokeSessionsRequest{Name: s.n} }},

		kms.OpCreateAccessKey: {prepare: user, request: byName},
		kms.OpListAccessKeys:  {prepare: user, request: byName},
		kms.OpUpdateAccessKey: {prepare: prepared(user, accessKey), request: func(s *topic) any {
			return &kms.UpdateAccessKeyRequest{Name: s.n, AccessKeyID: s.accessKey, Status: kms.AccessKeyInactive}
		}},
		kms.OpDeleteAccessKey:      {prepare: prepared(user, accessKey), request: func(s *topic) any { return &kms.DeleteAccessKeyRequest{Name: s.n, AccessKeyID: s.accessKey} }},
		kms.OpGetAccessKeyLastUsed: {prepare: prepared(user, accessKey), request: func(s *topic) any { return &kms.AccessKeyRequest{AccessKeyID: s.accessKey} }},

		kms.OpCreatePolicy:            {request: newPolicy},
		kms.OpGetPolicy:               {prepare: policy, request: byPolicy},
		kms.OpListPolicies:            {request: list},
		kms.OpDeletePolicy:            {prepare: policy, request: byPolicy},
		kms.OpCreatePolicyVersion:     {prepare: policy, request: version},
		kms.OpGetPolicyVersion:        {prepare: policy, request: func(s *topic) any { return &kms.GetPolicyVersionRequest{PolicyARN: s.policyARN()} }},
		kms.OpListPolicyVersions:      {prepare: policy, request: byPolicy},
		kms.OpSetDefaultPolicyVersion: {prepare: prepared(policy, do(kms.OpCreatePolicyVersion, version)), request: second},
		kms.OpDeletePolicyVersion:     {prepare: prepared(policy, do(kms.OpCreatePolicyVersion, version)), request: second},

		kms.OpTagPolicy: {prepare: policy, request: func(s *topic) any {
			return &kms.TagPolicyRequest{PolicyARN: s.policyARN(), Tags: map[string]string{"a": "b"}}
		}},
		kms.OpUntagPolicy: {prepare: policy, request: func(s *topic) any {
			return &kms.UntagPolicyRequest{PolicyARN: s.policyARN(), TagKeys: []string{"a"}}
		}},
		kms.OpListEntitiesForPolicy: {prepare: policy, request: byPolicy},

		kms.OpUpdateOIDCThumbprint: {prepare: do(kms.OpCreateOIDCProvider, issuer), request: func(s *topic) any {
			return &kms.UpdateThumbprintRequest{Provider: issuerName(s), ThumbprintList: []string{strings.Repeat("0a", 20)}}
		}},
		kms.OpTagOIDCProvider: {prepare: do(kms.OpCreateOIDCProvider, issuer), request: func(s *topic) any {
			return &kms.TagProviderRequest{Provider: issuerName(s), Tags: map[string]string{"a": "b"}}
		}},
		kms.OpUntagOIDCProvider: {prepare: do(kms.OpCreateOIDCProvider, issuer), request: func(s *topic) any {
			return &kms.UntagProviderRequest{Provider: issuerName(s), TagKeys: []string{"a"}}
		}},
		kms.OpGetSessionToken: {request: func(*topic) any { return &kms.GetSessionTokenRequest{} }},

		kms.OpCreateOIDCProvider:             {request: issuer},
		kms.OpGetOIDCProvider:                {prepare: do(kms.OpCreateOIDCProvider, issuer), request: byIssuer},
		kms.OpListOIDCProviders:              {request: empty},
		kms.OpDeleteOIDCProvider:             {prepare: do(kms.OpCreateOIDCProvider, issuer), request: byIssuer},
		kms.OpAddClientIDToOIDCProvider:      {prepare: do(kms.OpCreateOIDCProvider, issuer), request: clientID("c")},
		kms.OpRemoveClientIDFromOIDCProvider: {prepare: do(kms.OpCreateOIDCProvider, issuer), request: clientID("a")},
		kms.OpCreateTrustAnchor:              {request: anchor},
		kms.OpGetTrustAnchor:                 {prepare: do(kms.OpCreateTrustAnchor, anchor), request: byAnchor},
		kms.OpListTrustAnchors:               {request: empty},
		kms.OpDeleteTrustAnchor:              {prepare: do(kms.OpCreateTrustAnchor, anchor), request: byAnchor},

		kms.OpSimulatePrincipalPolicy: {request: func(s *topic) any {
			return &kms.SimulateRequest{PrincipalARN: "arn:aws:iam::" + s.account + ":root", Action: "kms:Encrypt", Resource: s.name}
		}},
		kms.OpWhoCan: {request: func(s *topic) any { return &kms.WhoCanRequest{KeyID: s.name, Action: "kms:Encrypt"} }},
		kms.OpAssumeRole: {prepare: role, request: func(s *topic) any {
			return &kms.AssumeRoleRequest{RoleARN: s.arn("role/"), RoleSessionName: "session"}
		}},
		kms.OpAssumeRoleWithWebIdentity: {prepare: webRole, request: func(s *topic) any {
			return &kms.AssumeRoleWithWebIdentityRequest{RoleARN: s.arn("role/"), RoleSessionName: "session", WebIdentityToken: kms.SensitiveString(s.webToken)}
		}},
	})
	return all
}

// webRole makes a role that trusts a token of an issuer that really answers.
func webRole(t *testing.T, w *world, who servicetest.Credentials, s *topic) {
	issuer := oidctest.New(t)
	name := strings.TrimPrefix(strings.TrimPrefix(issuer.URL(), "https://"), "http://")
	w.must(t, who, kms.OpCreateOIDCProvider, &kms.CreateOIDCProviderRequest{URL: issuer.URL(), ClientIDList: []string{"lockstep"}, CACertificate: issuer.CA()})
	w.must(t, who, kms.OpCreateRole, &kms.CreateRoleRequest{Name: s.n, AssumeRolePolicyDocument: kms.PolicyDocument(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"arn:aws:iam::` + s.account + `:oidc-provider/` + name + `"},
		"Condition":{"StringEquals":{"` + name + `:aud":"lockstep","` + name + `:sub":"system:serviceaccount:shop:orders"}}}]}`)})
	s.webToken = issuer.Token(map[string]any{"aud": "lockstep", "sub": "system:serviceaccount:shop:orders"})
}

// authority is the certificate of a certificate authority, in PEM. It is immutable.
var authority = newAuthority()

func newAuthority() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of the walks"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}
