package wire

import (
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
	kms.OpReadMembers:         {"GET /v1/sys/members"},
	kms.OpAllowMember:         {"POST /v1/sys/members/{name}/allow"},
	kms.OpRemoveMember:        {"DELETE /v1/sys/members/{name}"},
	kms.OpSeal:                {"POST /v1/sys/seal"},
}

// kebab turns GenerateDataKey into generate-data-key.
func kebab(name string) string {
	var b strings.Builder
	for i, c := range name {
		if c >= 'A' && c <= 'Z' && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(c)
	}
	return strings.ToLower(b.String())
}

// Paths are part of the outside contract: an operation stands under its key, named as AWS names it in
// kebab-case, with GET where it only reads, unless the contract names it otherwise. GetParametersForImport
// makes a token, so that it is no read although it changes nothing that is kept.
func TestPathsFollowTheRule(t *testing.T) {
	got := map[*kms.Operation][]string{}
	for _, r := range operationRoutes() {
		got[r.Operation] = append(got[r.Operation], r.Method+" "+r.Path)
	}
	for _, op := range kms.Operations {
		want := named[op]
		if want == nil {
			method := "POST"
			if strings.HasPrefix(op.Name, "Get") && op != kms.OpGetParametersForImport || strings.HasPrefix(op.Name, "List") {
				method = "GET"
			}
			want = []string{method + " /v1/keys/{key}/" + kebab(op.Name)}
		}
		if strings.Join(got[op], ", ") != strings.Join(want, ", ") {
			t.Errorf("%s is at %q, want %q", op.Name, got[op], want)
		}
	}
	if len(got) != len(kms.Operations) {
		t.Errorf("%d operations have routes, the table has %d", len(got), len(kms.Operations))
	}
}
