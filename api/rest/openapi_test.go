package rest

import (
	"encoding/json"
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
			Name        string `json:"name"`
			In          string `json:"in"`
			Required    bool   `json:"required"`
			Description string `json:"description"`
		} `json:"parameters"`
		RequestBody any            `json:"requestBody"`
		Responses   map[string]any `json:"responses"`
		Security    *[]any         `json:"security"`
	} `json:"paths"`
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
