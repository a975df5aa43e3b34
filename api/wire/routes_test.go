package wire

import (
	"regexp"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// Names of the outside contract that do not follow the rule, or that the rule does not reach.
var named = map[*kms.Operation][]string{
	kms.OpCreateKey:           {"POST /v1/keys"},
	kms.OpListKeys:            {"GET /v1/keys"},
	kms.OpDescribeKey:         {"GET /v1/keys/{key}"},
	kms.OpEnableKey:           {"POST /v1/keys/{key}/enable"},
	kms.OpDisableKey:          {"POST /v1/keys/{key}/disable"},
	kms.OpScheduleKeyDeletion: {"POST /v1/keys/{key}/schedule-deletion"},
	kms.OpCancelKeyDeletion:   {"POST /v1/keys/{key}/cancel-deletion"},
	kms.OpRotateKeyOnDemand:   {"POST /v1/keys/{key}/rotate"},
	kms.OpDecrypt:             {"POST /v1/decrypt", "POST /v1/keys/{key}/decrypt"},
	kms.OpGenerateRandom:      {"POST /v1/random"},
	kms.OpRetireGrant:         {"POST /v1/retire-grant"},
	kms.OpListRetirableGrants: {"GET /v1/list-retirable-grants"},
	kms.OpGetResources:        {"POST /v1/get-resources"},
	kms.OpCreateAlias:         {"POST /v1/aliases"},
	kms.OpListAliases:         {"GET /v1/aliases"},
	kms.OpUpdateAlias:         {"PUT /v1/aliases/{name}"},
	kms.OpDeleteAlias:         {"DELETE /v1/aliases/{name}"},
	kms.OpGetCallerIdentity:   {"GET /v1/caller-identity"},
	kms.OpCreateAccount:       {"POST /v1/accounts"},
	kms.OpListAccounts:        {"GET /v1/accounts"},
	kms.OpDisableAccount:      {"POST /v1/accounts/{account}/disable"},
	kms.OpGetSetting:          {"GET /v1/sys/settings/{name}"},
	kms.OpPutSetting:          {"PUT /v1/sys/settings/{name}"},
	kms.OpLookupEvents:        {"GET /v1/audit/events"},
	kms.OpGetAuditCheckpoint:  {"GET /v1/audit/checkpoint"},
	kms.OpReadMembers:         {"GET /v1/sys/members"},
	kms.OpAllowMember:         {"POST /v1/sys/members/{name}/allow"},
	kms.OpRemoveMember:        {"DELETE /v1/sys/members/{name}"},
	kms.OpSeal:                {"POST /v1/sys/seal"},

	kms.OpGetAccessKeyLastUsed:      {"GET /v1/access-keys/{id}/get-access-key-last-used"},
	kms.OpDescribeCustomKeyStores:   {"GET /v1/custom-key-stores"},
	kms.OpRevokeSessions:            {"POST /v1/roles/{name}/revoke-sessions"},
	kms.OpSimulatePrincipalPolicy:   {"POST /v1/policy/simulate"},
	kms.OpWhoCan:                    {"POST /v1/keys/{key}/who-can"},
	kms.OpAssumeRole:                {"POST /v1/assume-role"},
	kms.OpGetSessionToken:           {"POST /v1/get-session-token"},
	kms.OpAssumeRoleWithWebIdentity: {"POST /v1/assume-role-with-web-identity"},
}

var (
	wordEnd   = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	wordAfter = regexp.MustCompile(`([A-Z])([A-Z][a-z])`) // an abbreviation
)

// kebab turns GenerateDataKey into generate-data-key and OpenIDConnect into open-id-connect.
func kebab(name string) string {
	return strings.ToLower(wordAfter.ReplaceAllString(wordEnd.ReplaceAllString(name, "$1-$2"), "$1-$2"))
}

// families are what operations on identities, policies, providers and key stores stand under: the first one whose word is in
// the operation's name. noun is what Create, Get, List, Update and Delete name, if they do.
var families = []struct{ word, noun, all, one string }{
	{"CustomKeyStore", "CustomKeyStore", "/v1/custom-key-stores", "/v1/custom-key-stores/{store}"},
	{"ForUser", "", "", "/v1/users/{name}"},
	{"Group", "Group", "/v1/groups", "/v1/groups/{name}"},
	{"Role", "Role", "/v1/roles", "/v1/roles/{name}"},
	{"User", "User", "/v1/users", "/v1/users/{name}"},
	{"AccessKey", "", "", "/v1/users/{name}"},
	{"OpenIDConnectProvider", "OpenIDConnectProvider", "/v1/oidc-providers", "/v1/oidc-providers/{provider}"},
	{"TrustAnchor", "TrustAnchor", "/v1/trust-anchors", "/v1/trust-anchors/{provider}"},
	{"Polic", "Policy", "/v1/policies", "/v1/policies/{policy}"},
}

// ruled is where the rule puts an operation.
func ruled(op *kms.Operation) string {
	method := "POST"
	if strings.HasPrefix(op.Name, "Get") && op != kms.OpGetParametersForImport || strings.HasPrefix(op.Name, "List") {
		method = "GET"
	}
	if op.Resource != kms.ResourceIdentity && !strings.Contains(op.Name, "CustomKeyStore") {
		return method + " /v1/keys/{key}/" + kebab(op.Name)
	}
	for _, f := range families {
		if !strings.Contains(op.Name, f.word) {
			continue
		}
		switch plural := strings.TrimSuffix(f.noun, "y"); op.Name {
		case "Create" + f.noun:
			return "POST " + f.all
		case "List" + f.noun + "s", "List" + plural + "ies":
			return "GET " + f.all
		case "Get" + f.noun:
			return "GET " + f.one
		case "Update" + f.noun:
			return "PUT " + f.one
		case "Delete" + f.noun:
			return "DELETE " + f.one
		}
		return method + " " + f.one + "/" + kebab(op.Name)
	}
	return ""
}

// Paths are part of the outside contract: an operation stands under its key, named as AWS names it in
// kebab-case, with GET where it only reads, unless the contract names it otherwise. One on identities stands under
// its user, group, role, policy or provider, one on key stores under its store; what makes, describes, lists, updates or deletes one of those is a
// method of its path. GetParametersForImport makes a token, so that it is no read although it changes nothing that
// is kept.
func TestPathsFollowTheRule(t *testing.T) {
	got := map[*kms.Operation][]string{}
	for _, r := range operationRoutes() {
		got[r.Operation] = append(got[r.Operation], r.Method+" "+r.Path)
	}
	for _, op := range kms.Operations {
		want := named[op]
		if want == nil {
			want = []string{ruled(op)}
		}
		if strings.Join(got[op], ", ") != strings.Join(want, ", ") {
			t.Errorf("%s is at %q, want %q", op.Name, got[op], want)
		}
	}
	if len(got) != len(kms.Operations) {
		t.Errorf("%d operations have routes, the table has %d", len(got), len(kms.Operations))
	}
}

// The path variables of a route are fields of its request, or the door would leave them out.
func TestPathVariablesAreFields(t *testing.T) {
	variable := regexp.MustCompile(`\{(\w+)\}`)
	for _, r := range operationRoutes() {
		have := map[string]bool{}
		for i := range r.Request.NumField() {
			have[r.Request.Field(i).Tag.Get("path")] = true
		}
		for _, m := range variable.FindAllStringSubmatch(r.Path, -1) {
			if !have[m[1]] {
				t.Errorf("%s %s: the request has no field for {%s}", r.Method, r.Path, m[1])
			}
		}
	}
}

// Only what proves the caller by its request is open beside the system routes.
func TestOpenOperations(t *testing.T) {
	for _, r := range operationRoutes() {
		if r.Open != (r.Operation == kms.OpAssumeRoleWithWebIdentity) {
			t.Errorf("%s: open is %v", r.Name, r.Open)
		}
	}
}
