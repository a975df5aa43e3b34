package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

const (
	iamARN    = "arn:aws:iam::000000000000:"
	annARN    = iamARN + "user/ann"
	shopARN   = iamARN + "role/shop"
	policyARN = iamARN + "policy/use-app"
	document  = "{\n\t\"Version\": \"2012-10-17\"\n}"
)

var (
	userEntry  = kms.IdentityEntry{Name: "ann", ID: "AIDAANN", ARN: annARN, Path: "/", CreatedAt: testTime, PermissionsBoundary: policyARN, Tags: map[string]string{"team": "payments"}}
	groupEntry = kms.IdentityEntry{Name: "payments", ID: "AGPAPAY", ARN: iamARN + "group/payments", Path: "/", CreatedAt: testTime}
	roleAnswer = &kms.RoleAnswer{Role: kms.IdentityEntry{Name: "shop", ID: "AROASHOP", ARN: shopARN, Path: "/", CreatedAt: testTime, Description: "the shop",
		AssumeRolePolicyDocument: document, MaxSessionDuration: 3600, SessionsValidFrom: &testTime}}
	keyEntry       = kms.AccessKeyEntry{AccessKeyID: "AKIAANN", UserName: "ann", Status: kms.AccessKeyActive, CreatedAt: testTime}
	policyEntry    = kms.PolicyEntry{Name: "use-app", ID: "ANPAUSE", ARN: policyARN, Path: "/", DefaultVersionID: "v2", AttachmentCount: 3, CreatedAt: testTime, UpdatedAt: testTime, Description: "alias/app"}
	versionEntry   = kms.PolicyVersionEntry{VersionID: "v2", IsDefaultVersion: true, CreatedAt: testTime}
	oidcEntry      = kms.OIDCProviderEntry{ARN: iamARN + "oidc-provider/issuer.example", URL: "https://issuer.example", ClientIDList: []string{"a", "b"}, JWKS: "{}", CreatedAt: testTime}
	anchorEntry    = kms.TrustAnchorEntry{Name: "office", ARN: "arn:aws:rolesanywhere::000000000000:trust-anchor/office", Certificate: "PEM", CreatedAt: testTime, Mappings: []kms.CertificateMapping{{Role: "shop", CommonName: "shop-*"}}}
	allowedVerdict = kms.Verdict{Decision: "allowed", Reason: "A policy of the user allows it.", Source: "identity policy", PolicyID: policyARN, Statement: ptr(1), PrincipalARN: annARN, Action: "kms:Encrypt", Resource: testARN}
	sessionAnswer  = &kms.SessionAnswer{AccessKeyID: "ASIASHOP", SecretAccessKey: "session-secret", SessionToken: "tok'en", Expiration: testTime,
		AssumedRoleARN: "arn:aws:sts::000000000000:assumed-role/shop/s", AssumedRoleID: "AROASHOP:s", PackedPolicySize: 7, Subject: "sub-1"}

	inlineAnswer   = &kms.InlinePolicyAnswer{Name: "ann", PolicyName: "p", PolicyDocument: document}
	inlineList     = &kms.ListInlinePoliciesAnswer{PolicyNames: []string{"use-app"}}
	attachedAnswer = &kms.ListAttachedPoliciesAnswer{AttachedPolicies: []kms.AttachedPolicy{{PolicyName: "use-app", PolicyARN: policyARN}}}
)

// identityAnswers are what the canned service says about identities; to the others it answers nothing.
var identityAnswers = map[*kms.Operation]any{
	kms.OpCreateUser: &kms.UserAnswer{User: userEntry}, kms.OpGetUser: &kms.UserAnswer{User: userEntry},
	kms.OpListUsers:   &kms.ListUsersAnswer{Users: []kms.IdentityEntry{userEntry}},
	kms.OpCreateGroup: &kms.GroupAnswer{Group: groupEntry},
	kms.OpGetGroup:    &kms.GetGroupAnswer{Group: groupEntry, Users: []kms.IdentityEntry{userEntry}},
	kms.OpListGroups:  &kms.ListGroupsAnswer{Groups: []kms.IdentityEntry{groupEntry}}, kms.OpListGroupsForUser: &kms.ListGroupsAnswer{Groups: []kms.IdentityEntry{groupEntry}},
	kms.OpCreateRole: roleAnswer, kms.OpGetRole: roleAnswer, kms.OpUpdateRole: roleAnswer, kms.OpUpdateAssumeRolePolicy: roleAnswer, kms.OpRevokeSessions: roleAnswer,
	kms.OpListRoles: &kms.ListRolesAnswer{Roles: []kms.IdentityEntry{roleAnswer.Role}},

	kms.OpCreateAccessKey:      &kms.AccessKeyAnswer{AccessKey: keyEntry, SecretAccessKey: "new-secret"},
	kms.OpUpdateAccessKey:      &kms.AccessKeyAnswer{AccessKey: keyEntry},
	kms.OpListAccessKeys:       &kms.ListAccessKeysAnswer{AccessKeys: []kms.AccessKeyEntry{keyEntry}},
	kms.OpGetAccessKeyLastUsed: &kms.AccessKeyLastUsedAnswer{UserName: "ann", LastUsedDate: &testTime, ServiceName: "kms", SilentNodes: 1},

	kms.OpCreatePolicy: &kms.PolicyAnswer{Policy: policyEntry}, kms.OpGetPolicy: &kms.PolicyAnswer{Policy: policyEntry},
	kms.OpListPolicies:        &kms.ListPoliciesAnswer{Policies: []kms.PolicyEntry{policyEntry}, NextMarker: "more"},
	kms.OpCreatePolicyVersion: &kms.PolicyVersionAnswer{PolicyVersion: versionEntry},
	kms.OpGetPolicyVersion:    &kms.PolicyVersionAnswer{PolicyVersion: kms.PolicyVersionEntry{VersionID: "v2", Document: document}},
	kms.OpListPolicyVersions:  &kms.ListPolicyVersionsAnswer{Versions: []kms.PolicyVersionEntry{versionEntry}},

	kms.OpListAttachedUserPolicies: attachedAnswer, kms.OpListAttachedGroupPolicies: attachedAnswer, kms.OpListAttachedRolePolicies: attachedAnswer,
	kms.OpGetUserPolicy: inlineAnswer, kms.OpGetGroupPolicy: inlineAnswer, kms.OpGetRolePolicy: inlineAnswer,
	kms.OpListUserPolicies: inlineList, kms.OpListGroupPolicies: inlineList, kms.OpListRolePolicies: inlineList,

	kms.OpCreateOIDCProvider: &kms.OIDCProviderAnswer{Provider: oidcEntry}, kms.OpGetOIDCProvider: &kms.OIDCProviderAnswer{Provider: oidcEntry},
	kms.OpListOIDCProviders: &kms.ListOIDCProvidersAnswer{Providers: []kms.OIDCProviderEntry{oidcEntry}},
	kms.OpCreateTrustAnchor: &kms.TrustAnchorAnswer{TrustAnchor: anchorEntry}, kms.OpGetTrustAnchor: &kms.TrustAnchorAnswer{TrustAnchor: anchorEntry},
	kms.OpListTrustAnchors: &kms.ListTrustAnchorsAnswer{TrustAnchors: []kms.TrustAnchorEntry{anchorEntry}},

	kms.OpSimulatePrincipalPolicy: &kms.SimulateAnswer{Verdict: allowedVerdict},
	kms.OpWhoCan:                  &kms.WhoCanAnswer{Allowed: []kms.Verdict{allowedVerdict}, Others: []string{"arn:aws:iam::222233334444:root"}},
	kms.OpListEntitiesForPolicy:   &kms.ListEntitiesForPolicyAnswer{Users: []kms.PolicyEntity{{Name: "ann", ID: "AIDAANN", Attached: true}}, Roles: []kms.PolicyEntity{{Name: "shop", ID: "AROASHOP", Bounds: true}}},
	kms.OpGetSessionToken:         &kms.SessionTokenAnswer{AccessKeyID: "ASIASHOP", SecretAccessKey: "session-secret", SessionToken: "tok'en", Expiration: testTime},
	kms.OpAssumeRole:              sessionAnswer, kms.OpAssumeRoleWithWebIdentity: sessionAnswer,
}

// identityCommands are those of users, groups, roles and access keys.
func identityCommands() map[string]commandTest {
	ann := &kms.IdentityRequest{Name: "ann"}
	tests := map[string]commandTest{
		"user create": {"user create ann --path /team/ --tag a=b --boundary " + policyARN, "", kms.OpCreateUser,
			&kms.CreateUserRequest{Name: "ann", Path: "/team/", PermissionsBoundary: policyARN, Tags: map[string]string{"a": "b"}}, "ID        AIDAANN", `"id": "AIDAANN"`},
		"user get":     {"user get ann", "", kms.OpGetUser, ann, "TAGS      team=payments", `"team": "payments"`},
		"user list":    {"user list --limit 5", "", kms.OpListUsers, &kms.ListRequest{Limit: 5}, "ann   AIDAANN  " + annARN, `"users": [`},
		"user delete":  {"user delete ann", "", kms.OpDeleteUser, ann, "ann is deleted.\n", "{}"},
		"user tag":     {"user tag ann a=1 b=x=y", "", kms.OpTagUser, &kms.TagIdentityRequest{Name: "ann", Tags: map[string]string{"a": "1", "b": "x=y"}}, "ann is tagged.\n", "{}"},
		"user untag":   {"user untag ann a b", "", kms.OpUntagUser, &kms.UntagIdentityRequest{Name: "ann", TagKeys: []string{"a", "b"}}, "ann does not have these tags.\n", "{}"},
		"user groups":  {"user groups ann", "", kms.OpListGroupsForUser, ann, "AGPAPAY", `"groups": [`},
		"group create": {"group create payments --path /team/", "", kms.OpCreateGroup, &kms.CreateGroupRequest{Name: "payments", Path: "/team/"}, "AGPAPAY", `"group": {`},
		"group get":    {"group get payments", "", kms.OpGetGroup, &kms.IdentityListRequest{Name: "payments"}, "USER     ann\n", `"users": [`},
		"group list":   {"group list", "", kms.OpListGroups, &kms.ListRequest{}, "payments  AGPAPAY", `"groups": [`},
		"group delete": {"group delete payments", "", kms.OpDeleteGroup, &kms.IdentityRequest{Name: "payments"}, "payments is deleted.\n", "{}"},
		"group add":    {"group add-user payments ann", "", kms.OpAddUserToGroup, &kms.GroupMemberRequest{Name: "payments", UserName: "ann"}, "ann is in payments.\n", "{}"},
		"group remove": {"group remove-user payments ann", "", kms.OpRemoveUserFromGroup, &kms.GroupMemberRequest{Name: "payments", UserName: "ann"}, "ann is not in payments.\n", "{}"},
		"role create": {"role create shop --trust $DIR/policy --description d --max-session 2h --tag a=b --boundary " + policyARN, "", kms.OpCreateRole,
			&kms.CreateRoleRequest{Name: "shop", AssumeRolePolicyDocument: `{"Version":"file"}`, Description: "d", MaxSessionDuration: ptr(7200), PermissionsBoundary: policyARN, Tags: map[string]string{"a": "b"}},
			`TRUST POLICY         {"Version":"2012-10-17"}`, `"assume_role_policy_document": "{\n\t\"Version\"`},
		"role create stdin": {"role create shop --trust -", document, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "shop", AssumeRolePolicyDocument: document}, "LONGEST SESSION      1h0m0s", ""},
		"role get":          {"role get shop", "", kms.OpGetRole, &kms.IdentityRequest{Name: "shop"}, "SESSIONS VALID FROM  2026-01-02T03:04:05Z", `"max_session_duration": 3600`},
		"role list":         {"role list --marker m", "", kms.OpListRoles, &kms.ListRequest{Marker: "m"}, "AROASHOP", `"roles": [`},
		"role delete":       {"role delete shop", "", kms.OpDeleteRole, &kms.IdentityRequest{Name: "shop"}, "shop is deleted.\n", "{}"},
		"role update":       {"role update shop --description= --max-session 90m", "", kms.OpUpdateRole, &kms.UpdateRoleRequest{Name: "shop", Description: ptr(""), MaxSessionDuration: ptr(5400)}, "AROASHOP", `"role": {`},
		"role update one":   {"role update shop --max-session 1h", "", kms.OpUpdateRole, &kms.UpdateRoleRequest{Name: "shop", MaxSessionDuration: ptr(3600)}, "AROASHOP", ""},
		"role trust":        {"role trust shop $DIR/policy", "", kms.OpUpdateAssumeRolePolicy, &kms.UpdateAssumeRolePolicyRequest{Name: "shop", PolicyDocument: `{"Version":"file"}`}, "AROASHOP", `"role": {`},
		"role trust stdin":  {"role trust shop", " {}\n", kms.OpUpdateAssumeRolePolicy, &kms.UpdateAssumeRolePolicyRequest{Name: "shop", PolicyDocument: " {}\n"}, "AROASHOP", ""},
		"role tag":          {"role tag shop a=1", "", kms.OpTagRole, &kms.TagIdentityRequest{Name: "shop", Tags: map[string]string{"a": "1"}}, "shop is tagged.\n", "{}"},
		"role untag":        {"role untag shop a", "", kms.OpUntagRole, &kms.UntagIdentityRequest{Name: "shop", TagKeys: []string{"a"}}, "shop does not have these tags.\n", "{}"},
		"revoke all":        {"role revoke-sessions shop", "", kms.OpRevokeSessions, &kms.RevokeSessionsRequest{Name: "shop"}, "AROASHOP", `"sessions_valid_from"`},
		"revoke before":     {"role revoke-sessions shop --before 2026-01-02T04:04:05+01:00", "", kms.OpRevokeSessions, &kms.RevokeSessionsRequest{Name: "shop", Before: &testTime}, "AROASHOP", ""},

		"access-key create":     {"access-key create ann", "", kms.OpCreateAccessKey, ann, "SECRET ACCESS KEY  new-secret\n", `"secret_access_key": "new-secret"`},
		"access-key root":       {"access-key create --root", "", kms.OpCreateAccessKey, &kms.IdentityRequest{Name: kms.RootName}, "AKIAANN", ""},
		"access-key list":       {"access-key list ann", "", kms.OpListAccessKeys, ann, "AKIAANN        Active  2026-01-02T03:04:05Z", `"access_keys": [`},
		"access-key activate":   {"access-key activate ann AKIAANN", "", kms.OpUpdateAccessKey, &kms.UpdateAccessKeyRequest{Name: "ann", AccessKeyID: "AKIAANN", Status: kms.AccessKeyActive}, "STATUS         Active", `"status": "Active"`},
		"access-key deactivate": {"access-key deactivate --root AKIAANN", "", kms.OpUpdateAccessKey, &kms.UpdateAccessKeyRequest{Name: kms.RootName, AccessKeyID: "AKIAANN", Status: kms.AccessKeyInactive}, "AKIAANN", ""},
		"access-key delete":     {"access-key delete ann AKIAANN", "", kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "ann", AccessKeyID: "AKIAANN"}, "AKIAANN is deleted.\n", "{}"},
		"access-key last-used":  {"access-key last-used AKIAANN", "", kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: "AKIAANN"}, "LAST USED     2026-01-02T03:04:05Z", `"silent_nodes": 1`},
	}
	for noun, ops := range policyOperations {
		addPolicyTests(tests, noun, ops)
	}
	return tests
}

// policyOperations are the operations on the policies of each kind of identity, as addPolicyTests wants them.
var policyOperations = map[string][9]*kms.Operation{
	"user": {kms.OpPutUserPolicy, kms.OpGetUserPolicy, kms.OpListUserPolicies, kms.OpDeleteUserPolicy, kms.OpAttachUserPolicy, kms.OpDetachUserPolicy,
		kms.OpListAttachedUserPolicies, kms.OpPutUserPermissionsBoundary, kms.OpDeleteUserPermissionsBoundary},
	"group": {kms.OpPutGroupPolicy, kms.OpGetGroupPolicy, kms.OpListGroupPolicies, kms.OpDeleteGroupPolicy, kms.OpAttachGroupPolicy, kms.OpDetachGroupPolicy,
		kms.OpListAttachedGroupPolicies},
	"role": {kms.OpPutRolePolicy, kms.OpGetRolePolicy, kms.OpListRolePolicies, kms.OpDeleteRolePolicy, kms.OpAttachRolePolicy, kms.OpDetachRolePolicy,
		kms.OpListAttachedRolePolicies, kms.OpPutRolePermissionsBoundary, kms.OpDeleteRolePermissionsBoundary},
}

func addPolicyTests(tests map[string]commandTest, noun string, ops [9]*kms.Operation) {
	n := &kms.IdentityRequest{Name: "n"}
	attach := &kms.AttachPolicyRequest{Name: "n", PolicyARN: policyARN}
	for name, tt := range map[string]commandTest{
		"put":      {"put n p $DIR/policy", "", ops[0], &kms.PutInlinePolicyRequest{Name: "n", PolicyName: "p", PolicyDocument: `{"Version":"file"}`}, "n has the policy p.\n", "{}"},
		"stdin":    {"put n p", document, ops[0], &kms.PutInlinePolicyRequest{Name: "n", PolicyName: "p", PolicyDocument: document}, "n has the policy p.\n", ""},
		"get":      {"get n p", "", ops[1], &kms.GetInlinePolicyRequest{Name: "n", PolicyName: "p"}, document + "\n", `"policy_name": "p"`},
		"list":     {"list n", "", ops[2], n, "POLICY\nuse-app\n", `"policy_names": [`},
		"delete":   {"delete n p", "", ops[3], &kms.DeleteInlinePolicyRequest{Name: "n", PolicyName: "p"}, "The policy p of n is deleted.\n", "{}"},
		"attach":   {"attach n " + policyARN, "", ops[4], attach, "n has " + policyARN + ".\n", "{}"},
		"detach":   {"detach n " + policyARN, "", ops[5], attach, "n does not have " + policyARN + ".\n", "{}"},
		"attached": {"attached n", "", ops[6], n, "use-app  " + policyARN, `"attached_policies": [`},
	} {
		tt.args = noun + " policy " + tt.args
		tests[noun+" policy "+name] = tt
	}
	if noun != "group" {
		tests[noun+" boundary put"] = commandTest{noun + " boundary put n " + policyARN, "", ops[7], &kms.PutBoundaryRequest{Name: "n", PermissionsBoundary: policyARN}, "n is bounded by " + policyARN + ".\n", "{}"}
		tests[noun+" boundary delete"] = commandTest{noun + " boundary delete n", "", ops[8], n, "n has no boundary.\n", "{}"}
	}
}

// policyCommands are those of managed policies and of questions about policies.
func policyCommands() map[string]commandTest {
	policy := &kms.PolicyRequest{PolicyARN: policyARN}
	version := &kms.PolicyVersionRequest{PolicyARN: policyARN, VersionID: "v1"}
	ask := " --principal " + annARN + " --action kms:Encrypt --resource alias/app --context a=b=c --context d=e --context a="
	asked := &kms.SimulateRequest{PrincipalARN: annARN, Action: "kms:Encrypt", Resource: "alias/app", Context: map[string][]string{"a": {"b=c", ""}, "d": {"e"}}}
	return map[string]commandTest{
		"policy create": {"policy create use-app $DIR/policy --description d --path /p/ --tag a=b", "", kms.OpCreatePolicy,
			&kms.CreatePolicyRequest{Name: "use-app", Path: "/p/", PolicyDocument: `{"Version":"file"}`, Description: "d", Tags: map[string]string{"a": "b"}}, "DEFAULT VERSION  v2", `"attachment_count": 3`},
		"policy create stdin": {"policy create use-app", document, kms.OpCreatePolicy, &kms.CreatePolicyRequest{Name: "use-app", PolicyDocument: document}, policyARN, ""},
		"policy get":          {"policy get " + policyARN, "", kms.OpGetPolicy, policy, "ATTACHED         3", `"policy": {`},
		"policy list":         {"policy list --limit 1", "", kms.OpListPolicies, &kms.ListRequest{Limit: 1}, "There is more: --marker more", `"next_marker": "more"`},
		"policy delete":       {"policy delete " + policyARN, "", kms.OpDeletePolicy, policy, policyARN + " is deleted.\n", "{}"},
		"policy tag":          {"policy tag " + policyARN + " a=1", "", kms.OpTagPolicy, &kms.TagPolicyRequest{PolicyARN: policyARN, Tags: map[string]string{"a": "1"}}, policyARN + " is tagged.\n", "{}"},
		"policy untag":        {"policy untag " + policyARN + " a b", "", kms.OpUntagPolicy, &kms.UntagPolicyRequest{PolicyARN: policyARN, TagKeys: []string{"a", "b"}}, policyARN + " does not have these tags.\n", "{}"},
		"policy entities":     {"policy entities " + policyARN, "", kms.OpListEntitiesForPolicy, policy, "role  shop  AROASHOP  no        yes\n", `"attached": true`},
		"version create": {"policy version create " + policyARN + " $DIR/policy --set-default", "", kms.OpCreatePolicyVersion,
			&kms.CreatePolicyVersionRequest{PolicyARN: policyARN, PolicyDocument: `{"Version":"file"}`, SetAsDefault: true}, "v2       yes", `"policy_version": {`},
		"version get":         {"policy version get " + policyARN + " v2", "", kms.OpGetPolicyVersion, &kms.GetPolicyVersionRequest{PolicyARN: policyARN, VersionID: "v2"}, document + "\n", `"version_id": "v2"`},
		"version get default": {"policy version get " + policyARN, "", kms.OpGetPolicyVersion, &kms.GetPolicyVersionRequest{PolicyARN: policyARN}, document + "\n", ""},
		"version list":        {"policy version list " + policyARN, "", kms.OpListPolicyVersions, policy, "v2       yes      2026-01-02T03:04:05Z", `"versions": [`},
		"version set-default": {"policy version set-default " + policyARN + " v1", "", kms.OpSetDefaultPolicyVersion, version, "v1 of " + policyARN + " counts.\n", "{}"},
		"version delete":      {"policy version delete " + policyARN + " v1", "", kms.OpDeletePolicyVersion, version, "v1 of " + policyARN + " is deleted.\n", "{}"},
		"policy simulate":     {"policy simulate" + ask, "", kms.OpSimulatePrincipalPolicy, asked, "STATEMENT  number 1\n", `"statement": 1`},
		"policy explain": {"policy explain" + ask, "", kms.OpSimulatePrincipalPolicy, asked, annARN + " may do kms:Encrypt on " + testARN + " (allowed).\nA policy of the user allows it.\nThe statement number 1 of the identity policy " + policyARN + " decides.\n",
			`"decision": "allowed"`},
		"who-can": {"who-can alias/app kms:Encrypt --limit 9", "", kms.OpWhoCan, &kms.WhoCanRequest{KeyID: "alias/app", Action: "kms:Encrypt", Limit: 9}, annARN + "  identity policy  " + policyARN + "  number 1   -\narn:aws:iam::222233334444:root      another account or service\n", `"arn:aws:iam::222233334444:root"`},
	}
}

// sessionCommands are those of providers and sessions.
func sessionCommands() map[string]commandTest {
	office := &kms.ProviderRequest{Provider: "office"}
	issuer := &kms.ProviderRequest{Provider: "issuer.example/realm"}
	client := &kms.ClientIDRequest{Provider: "issuer.example/realm", ClientID: "app"}
	assume := "assume-role " + shopARN + " --session-name s"
	return map[string]commandTest{
		"oidc create": {"oidc-provider create https://issuer.example --client-id a --client-id b,c --ca-file $DIR/token --jwks-file $DIR/policy", "", kms.OpCreateOIDCProvider,
			&kms.CreateOIDCProviderRequest{URL: "https://issuer.example", ClientIDList: []string{"a", "b,c"}, CACertificate: "the token", JWKS: `{"Version":"file"}`}, "CLIENT IDS  a, b\n", `"jwks": "{}"`},
		"oidc get":    {"oidc-provider get issuer.example/realm", "", kms.OpGetOIDCProvider, issuer, "OWN KEYS    yes", `"url": "https://issuer.example"`},
		"oidc list":   {"oidc-provider list", "", kms.OpListOIDCProviders, &kms.Empty{}, "https://issuer.example  a, b", `"open_id_connect_providers": [`},
		"oidc delete": {"oidc-provider delete issuer.example/realm", "", kms.OpDeleteOIDCProvider, issuer, "issuer.example/realm is deleted.\n", "{}"},
		"oidc add":    {"oidc-provider add-client-id issuer.example/realm app", "", kms.OpAddClientIDToOIDCProvider, client, "app is accepted by issuer.example/realm.\n", "{}"},
		"oidc remove": {"oidc-provider remove-client-id issuer.example/realm app", "", kms.OpRemoveClientIDFromOIDCProvider, client, "app is not accepted by issuer.example/realm.\n", "{}"},
		"oidc thumbprints": {"oidc-provider set-thumbprints issuer.example/realm aa bb", "", kms.OpUpdateOIDCThumbprint,
			&kms.UpdateThumbprintRequest{Provider: "issuer.example/realm", ThumbprintList: []string{"aa", "bb"}}, "issuer.example/realm has these thumbprints.\n", "{}"},
		"oidc tag":   {"oidc-provider tag issuer.example/realm a=1", "", kms.OpTagOIDCProvider, &kms.TagProviderRequest{Provider: "issuer.example/realm", Tags: map[string]string{"a": "1"}}, "issuer.example/realm is tagged.\n", "{}"},
		"oidc untag": {"oidc-provider untag issuer.example/realm a", "", kms.OpUntagOIDCProvider, &kms.UntagProviderRequest{Provider: "issuer.example/realm", TagKeys: []string{"a"}}, "issuer.example/realm does not have these tags.\n", "{}"},
		"get-session-token": {"get-session-token --duration 1h", "", kms.OpGetSessionToken, &kms.GetSessionTokenRequest{DurationSeconds: ptr(3600)},
			"SESSION TOKEN      tok'en\n", `"secret_access_key": "session-secret"`},
		"anchor create": {`trust-anchor create office --ca-file $DIR/token --map role=shop,cn=shop-*,ou=o,dns=*.example,uri=spiffe://e/s,email=*@e --map role=x,"ou=a,b"`, "", kms.OpCreateTrustAnchor,
			&kms.CreateTrustAnchorRequest{Name: "office", Certificate: "the token", Mappings: []kms.CertificateMapping{
				{Role: "shop", CommonName: "shop-*", Unit: "o", DNSName: "*.example", URI: "spiffe://e/s", Email: "*@e"}, {Role: "x", Unit: "a,b"}}}, "MAPPING  role=shop, cn=shop-*\n", `"common_name": "shop-*"`},
		"anchor get":    {"trust-anchor get office", "", kms.OpGetTrustAnchor, office, "NAME     office", `"certificate": "PEM"`},
		"anchor list":   {"trust-anchor list", "", kms.OpListTrustAnchors, &kms.Empty{}, "office  1", `"trust_anchors": [`},
		"anchor delete": {"trust-anchor delete office", "", kms.OpDeleteTrustAnchor, office, "office is deleted.\n", "{}"},
		"assume-role":   {assume, "", kms.OpAssumeRole, &kms.AssumeRoleRequest{RoleARN: shopARN, RoleSessionName: "s"}, "SESSION TOKEN          tok'en\n", `"session_token": "tok'en"`},
		"assume-role with": {assume + " --duration 15m --policy-file $DIR/policy --policy-arn p --policy-arn q --tag a=b --external-id x", "", kms.OpAssumeRole,
			&kms.AssumeRoleRequest{RoleARN: shopARN, RoleSessionName: "s", DurationSeconds: ptr(900), Policy: `{"Version":"file"}`, PolicyARNs: []string{"p", "q"}, Tags: map[string]string{"a": "b"}, ExternalID: "x"}, "SECRET ACCESS KEY      session-secret\n", ""},
		"web identity": {assume + " --web-identity-token-file - --duration 1h --policy-arn p", "a.b.c\n", kms.OpAssumeRoleWithWebIdentity,
			&kms.AssumeRoleWithWebIdentityRequest{RoleARN: shopARN, RoleSessionName: "s", WebIdentityToken: "a.b.c", DurationSeconds: ptr(3600), PolicyARNs: []string{"p"}}, "SUBJECT                sub-1\n", `"subject_from_web_identity_token": "sub-1"`},
	}
}

// What is exported can be evaluated, whatever a node answers.
func TestAssumeRoleExports(t *testing.T) {
	env := serve(t, &node{})
	code, stdout, _ := lockstep(t, env, "", "assume-role", shopARN, "--session-name", "s", "--export")
	want := `export LOCKSTEP_ACCESS_KEY_ID='ASIASHOP'
export LOCKSTEP_SECRET_ACCESS_KEY='session-secret'
export LOCKSTEP_SESSION_TOKEN='tok'\''en'
export AWS_ACCESS_KEY_ID='ASIASHOP'
export AWS_SECRET_ACCESS_KEY='session-secret'
export AWS_SESSION_TOKEN='tok'\''en'
`
	if code != 0 || stdout != want {
		t.Errorf("%d %s", code, stdout)
	}
}

// A session token replaces the access key, which of a session is no identity by itself.
func TestSessionTokenIsTheIdentity(t *testing.T) {
	n := &node{}
	env := serve(t, n)
	env["LOCKSTEP_SESSION_TOKEN"] = "a.b.c"
	if code, _, stderr := lockstep(t, env, "", "whoami"); code != 0 || n.calls[0].Auth.Header.Get("Authorization") != "Bearer a.b.c" {
		t.Errorf("%d %q, identity %q", code, stderr, n.calls[0].Auth.Header)
	}
}

// A question has been answered when the answer is no.
func TestPolicyExplainDenied(t *testing.T) {
	n := &node{answers: map[*kms.Operation]any{kms.OpSimulatePrincipalPolicy: &kms.SimulateAnswer{Verdict: kms.Verdict{
		Decision: "explicitDeny", Reason: "The key policy denies it.", Source: "key policy", StatementID: "NoOne", PrincipalARN: annARN, Action: "kms:Encrypt"}}}}
	code, stdout, _ := lockstep(t, serve(t, n), "", "policy", "explain", "--principal", annARN, "--action", "kms:Encrypt")
	if code != 0 || stdout != annARN+" may not do kms:Encrypt on * (explicitDeny).\nThe key policy denies it.\nThe statement NoOne of the key policy decides.\n" {
		t.Errorf("%d %q", code, stdout)
	}
	grant := kms.Verdict{Decision: "allowed", Reason: "A grant allows it.", Source: "grant", GrantID: "g-1", PrincipalARN: annARN, Action: "kms:Encrypt", Resource: "k"}
	n.answers[kms.OpSimulatePrincipalPolicy] = &kms.SimulateAnswer{Verdict: grant}
	code, stdout, _ = lockstep(t, serve(t, n), "", "policy", "explain", "--principal", annARN, "--action", "kms:Encrypt")
	if code != 0 || !strings.HasSuffix(stdout, "The grant g-1 decides.\n") || strings.Count(stdout, "\n") != 3 {
		t.Errorf("%d %q", code, stdout)
	}
}

// All of a key's pages are one answer, and so are the principals of other accounts.
func TestWhoCanReadsEveryPage(t *testing.T) {
	n := &node{pages: map[*kms.Operation][]any{kms.OpWhoCan: {
		&kms.WhoCanAnswer{Allowed: []kms.Verdict{allowedVerdict}, Others: []string{"other-1"}, NextMarker: "m"},
		&kms.WhoCanAnswer{Allowed: []kms.Verdict{{PrincipalARN: shopARN}}, Others: []string{"other-2"}},
	}}}
	code, stdout, _ := lockstep(t, serve(t, n), "", "who-can", "k", "kms:Encrypt", "-o", "json")
	for _, want := range []string{annARN, shopARN, "other-1", "other-2"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s is missing: %d %s", want, code, stdout)
		}
	}
	if r := n.calls[1].Request.(*kms.WhoCanRequest); r.Marker != "m" || r.Action != "kms:Encrypt" {
		t.Errorf("%+v", r)
	}
}

func TestIdentityMisuse(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "binary")
	if err := os.WriteFile(binary, []byte("{\xff}"), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := map[string]string{"LOCKSTEP_ADDR": "http://127.0.0.1:1"}
	tests := map[string]struct {
		args string
		code int
		says string
	}{
		"no name":            {"user create", 2, "NAME is missing"},
		"no user":            {"access-key create", 2, "USER is missing"},
		"user and root":      {"access-key create ann --root", 2, `too many: "ann"`},
		"no key id":          {"access-key delete ann", 2, "ACCESS-KEY-ID is missing"},
		"no trust":           {"role create shop", 2, "trust"},
		"no trust file":      {"role create shop --trust /nowhere/trust", 1, "/nowhere/trust"},
		"binary trust":       {"role create shop --trust " + binary, 1, "is not UTF-8"},
		"half a second":      {"role create shop --max-session 3600500ms --trust -", 2, "--max-session"},
		"update of nothing":  {"role update shop", 2, "description"},
		"before in words":    {"role revoke-sessions shop --before yesterday", 2, "--before"},
		"policy of nothing":  {"user policy put ann p", 1, "standard input holds no policy document"},
		"tag without value":  {"user tag ann team", 2, "NAME=VALUE"},
		"tag twice":          {"role tag shop a=1 a=2", 2, "NAME=VALUE"},
		"principal of no":    {"policy simulate --action kms:Encrypt", 2, "principal"},
		"condition key":      {"policy simulate --principal p --action a --context b", 2, "NAME=VALUE"},
		"no action":          {"who-can k", 2, "ACTION is missing"},
		"no client id":       {"oidc-provider create https://i", 2, "client-id"},
		"map without role":   {"trust-anchor create a --ca-file - --map cn=a,ou=b", 2, "--map"},
		"map of a role":      {"trust-anchor create a --ca-file - --map role=a", 2, "--map"},
		"map of what":        {"trust-anchor create a --ca-file - --map role=a,o=b", 2, "--map"},
		"map twice":          {"trust-anchor create a --ca-file - --map role=a,cn=b,cn=c", 2, "--map"},
		"map of nothing":     {"trust-anchor create a --ca-file - --map role=a,cn=", 2, "--map"},
		"no session name":    {"assume-role r", 2, "session-name"},
		"tags of a token":    {"assume-role r --session-name s --web-identity-token-file f --tag a=b", 2, "web-identity-token-file"},
		"no token":           {"assume-role r --session-name s --web-identity-token-file /nowhere/t", 1, "/nowhere/t"},
		"export as JSON":     {"assume-role r --session-name s --export -o json", 2, "--export"},
		"part of a second":   {"assume-role r --session-name s --duration 1ms", 2, "--duration"},
		"group has no tag":   {"group tag payments a=b", 2, `no command "tag"`},
		"policy alone":       {"policy", 2, "a command is missing"},
		"near miss of a key": {"access-key deactivat ann k", 2, `did you mean "deactivate"?`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := lockstep(t, nobody, "", strings.Fields(tt.args)...)
			if code != tt.code || !strings.Contains(stderr, tt.says) {
				t.Errorf("%d %q", code, stderr)
			}
		})
	}
}

// The positions are those of the file, whatever stands in it.
func TestPolicyLint(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const trust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}}`
	wrong := write("wrong.json", "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": {\"Effect\": \"Permit\", \"Action\": \"kms:*\", \"Resource\": \"*\"}\n}\n")
	unusual := write("unusual.json", "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\n \"Action\":[\"kms:ReEncrypt*\",\"sts:TagSession\",\"kms:Encrpyt\"],\"Resource\":\"*\"}}")
	tests := map[string]struct {
		args, stdin string
		code        int
		out, says   string
	}{
		"right":          {write("trust.json", trust) + " --kind trust", "", 0, "", ""},
		"standard input": {"--kind trust", trust, 0, "", ""},
		"another kind":   {"--kind key", trust, 1, "<stdin>:1:", "lockstep: <stdin> is no valid key policy\n"},
		"wrong":          {wrong, "", 1, wrong + ":3:27: ", "lockstep: " + wrong + " is no valid identity policy\n"},
		"as JSON":        {wrong + " -o json", "", 1, `"column": 27`, "valid identity policy\n"},
		"right as JSON":  {"--kind trust -o json", trust, 0, "{\n  \"problems\": []\n}\n", ""},
		"unusual":        {unusual, "", 0, unusual + ":2:46: warning: ", ""},
		"no JSON":        {"-", "Effect: Allow", 1, "<stdin>:1:1: ", "valid identity policy\n"},
		"nothing":        {"", " \n", 1, "", "standard input holds no policy document\n"},
		"no file":        {"/nowhere/policy", "", 1, "", "/nowhere/policy"},
		"what output":    {"-o yaml", trust, 2, "", "--output"},
		"what kind":      {"--kind bucket", trust, 2, "", "--kind"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := lockstep(t, nil, tt.stdin, append([]string{"policy", "lint"}, strings.Fields(tt.args)...)...)
			if code != tt.code || !strings.Contains(stdout, tt.out) || (tt.out == "") != (stdout == "") || !strings.Contains(stderr, tt.says) {
				t.Errorf("%d %q %q", code, stdout, stderr)
			}
		})
	}
}
