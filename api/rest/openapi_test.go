package rest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
)

// document is as much of an OpenAPI document as the tests look at.
type document struct {
	OpenAPI string `json:"openapi"`
	Info    struct {
		Version string `json:"version"`
	} `json:"info"`
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Parameters  []struct {
			Name        string         `json:"name"`
			In          string         `json:"in"`
			Required    bool           `json:"required"`
			Description string         `json:"description"`
			Explode     *bool          `json:"explode"`
			Schema      map[string]any `json:"schema"`
		} `json:"parameters"`
		RequestBody any            `json:"requestBody"`
		Responses   map[string]any `json:"responses"`
		Security    *[]any         `json:"security"`
	} `json:"paths"`
	Security   []map[string][]string `json:"security"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]map[string]any `json:"properties"`
			Required   []string                  `json:"required"`
		} `json:"schemas"`
	} `json:"components"`
}

func fetchDocument(t *testing.T) (document, string) {
	t.Helper()
	w := send(handler(&fake{}, Config{Version: "v1.2.3"}), "GET", "/v1/openapi.json", "")
	var d document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != 200 {
		t.Fatalf("%d %v", w.Code, err)
	}
	return d, w.Body.String()
}

func TestOpenAPIHasEveryRoute(t *testing.T) {
	d, _ := fetchDocument(t)
	if d.OpenAPI != "3.1.0" || d.Info.Version != "v1.2.3" {
		t.Errorf("%s %s", d.OpenAPI, d.Info.Version)
	}
	ids := map[string]bool{}
	for _, rt := range wire.Routes() {
		op, ok := d.Paths[rt.Path][strings.ToLower(rt.Method)]
		if !ok {
			t.Errorf("%s %s is missing", rt.Method, rt.Path)
			continue
		}
		if ids[op.OperationID] || op.OperationID == "" {
			t.Errorf("operation id %q is not its own", op.OperationID)
		}
		ids[op.OperationID] = true
		declared := map[string]bool{}
		for _, p := range op.Parameters {
			declared[p.In+" "+p.Name] = true
			if p.Description == "" || p.In == "path" && !p.Required {
				t.Errorf("%s: parameter %+v", rt.Name, p)
			}
		}
		for _, m := range pathVariable.FindAllStringSubmatch(rt.Path, -1) {
			if !declared["path "+m[1]] {
				t.Errorf("%s: path variable %s is not declared", rt.Name, m[1])
			}
		}
		if (op.Security != nil) != rt.Open {
			t.Errorf("%s: security %v", rt.Name, op.Security)
		}
		if op.Responses["default"] == nil || len(op.Responses) < 2 {
			t.Errorf("%s: responses %v", rt.Name, op.Responses)
		}
	}
	for _, op := range kms.Operations {
		if !ids[op.Name] {
			t.Errorf("%s is not described", op.Name)
		}
	}
}

func TestOpenAPIReferencesResolve(t *testing.T) {
	d, text := fetchDocument(t)
	const prefix = `"#/components/schemas/`
	for rest := text; ; {
		_, after, found := strings.Cut(rest, prefix)
		if !found {
			break
		}
		name, tail, _ := strings.Cut(after, `"`)
		if _, ok := d.Components.Schemas[name]; !ok {
			t.Errorf("the schema %s is missing", name)
		}
		rest = tail
	}
}

func TestOpenAPISchemas(t *testing.T) {
	d, _ := fetchDocument(t)
	encrypt := d.Components.Schemas["EncryptRequest"]
	if encrypt.Properties["plaintext"]["contentEncoding"] != "base64" || encrypt.Properties["encryption_context"]["type"] != "object" {
		t.Errorf("%v", encrypt.Properties)
	}
	if _, ok := encrypt.Properties["key"]; ok || len(encrypt.Required) != 1 || encrypt.Required[0] != "plaintext" {
		t.Errorf("%v %v", encrypt.Properties, encrypt.Required)
	}
	if p := d.Components.Schemas["UnsealAnswer"].Properties; p["sealed"] == nil || p["attempt_id"] == nil {
		t.Errorf("an embedded struct is lost: %v", p)
	}
	if d.Components.Schemas["KeyMetadata"].Properties["created_at"]["format"] != "date-time" {
		t.Error("times are not date-time")
	}
}

// What identities, policies and sessions are made of is described as it is sent.
func TestOpenAPIIdentitySchemas(t *testing.T) {
	d, _ := fetchDocument(t)
	for at, want := range map[[2]string]string{
		{"CreateRoleRequest", "assume_role_policy_document"}: "map[description:A policy document: its text, or the document itself. oneOf:[map[type:string] map[type:object]]]",
		{"CreateKeyRequest", "policy"}:                       "map[description:A policy document: its text, or the document itself. oneOf:[map[type:string] map[type:object]]]",
		{"UpdateRoleRequest", "description"}:                 "map[type:string]",
		{"UpdateRoleRequest", "max_session_duration"}:        "map[type:integer]",
		{"SimulateRequest", "context"}:                       "map[additionalProperties:map[items:map[type:string] type:array] type:object]",
		{"CreateTrustAnchorRequest", "mappings"}:             "map[items:map[$ref:#/components/schemas/CertificateMapping] type:array]",
		{"CertificateMapping", "common_name"}:                "map[type:string]",
		{"ListUsersAnswer", "users"}:                         "map[items:map[$ref:#/components/schemas/IdentityEntry] type:array]",
		{"SessionAnswer", "session_token"}:                   "map[type:string]",
		{"RevokeSessionsRequest", "before"}:                  "map[format:date-time type:string]",
	} {
		if got := fmt.Sprint(d.Components.Schemas[at[0]].Properties[at[1]]); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
	if r := d.Components.Schemas["UpdateRoleRequest"].Required; len(r) != 0 {
		t.Errorf("UpdateRole requires %s", r)
	}
}

// The exchange of a token needs no identity; everything else takes an access key or a session token.
func TestOpenAPISecurity(t *testing.T) {
	d, text := fetchDocument(t)
	if s := d.Paths["/v1/assume-role-with-web-identity"]["post"].Security; s == nil || len(*s) != 0 {
		t.Errorf("assume-role-with-web-identity: security %v", s)
	}
	if got := fmt.Sprint(d.Security); got != "[map[accessKey:[]] map[sessionToken:[]]]" || !strings.Contains(text, `"scheme": "bearer"`) {
		t.Errorf("security %s", got)
	}
}

// A word that the product knows from a list must be listed in the document.
func TestOpenAPIListsEveryEnumeration(t *testing.T) {
	plain := map[reflect.Type]bool{reflect.TypeFor[string](): true, reflect.TypeFor[kms.SensitiveString](): true, reflect.TypeFor[kms.Code](): true,
		reflect.TypeFor[kms.PolicyDocument](): true}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				walk(typ.Field(i).Type)
			}
		case reflect.String:
			if enums[typ] == nil && !plain[typ] {
				t.Errorf("the values of %s are not listed", typ)
			}
		}
	}
	for _, rt := range wire.Routes() {
		for _, typ := range []reflect.Type{rt.Request, rt.Answer} {
			if typ != nil {
				walk(typ)
			}
		}
	}
	for typ := range enums {
		if !seen[typ] {
			t.Errorf("%s is listed and nothing has it", typ)
		}
	}
	d, _ := fetchDocument(t)
	values := func(schema, member string) string {
		p := d.Components.Schemas[schema].Properties[member]
		if items, ok := p["items"].(map[string]any); ok {
			p = items
		}
		return fmt.Sprint(p["enum"])
	}
	for at, want := range map[[2]string]any{
		{"CreateKeyRequest", "key_spec"}:                       kms.KeySpecs,
		{"GenerateDataKeyPairRequest", "key_pair_spec"}:        kms.DataKeyPairSpecs,
		{"GetParametersForImportRequest", "wrapping_key_spec"}: kms.WrappingKeySpecs,
		{"CreateGrantRequest", "operations"}:                   kms.GrantOperations,
		{"KeyMetadata", "signing_algorithms"}:                  kms.SigningAlgorithms,
		{"UpdateAccessKeyRequest", "status"}:                   kms.AccessKeyStatuses,
	} {
		if got := values(at[0], at[1]); got != fmt.Sprint(want) {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}

// What takes rights away may be answered before everybody honours it, and nothing else.
func TestOpenAPIRevocationsAreAccepted(t *testing.T) {
	d, _ := fetchDocument(t)
	for _, rt := range wire.Routes() {
		accepted := d.Paths[rt.Path][strings.ToLower(rt.Method)].Responses["202"] != nil
		if want := rt.Operation != nil && rt.Operation.Revokes; accepted != want {
			t.Errorf("%s: 202 is declared: %v", rt.Name, accepted)
		}
	}
}

// A list in the query is one parameter with commas.
func TestOpenAPIListParameter(t *testing.T) {
	d, _ := fetchDocument(t)
	for _, p := range d.Paths["/v1/keys/{key}/get-public-key"]["get"].Parameters {
		if p.Name == "grant_tokens" && p.Schema["type"] == "array" && p.Explode != nil && !*p.Explode {
			return
		}
	}
	t.Error("grant_tokens is not declared as a list with commas")
}
