package rest

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
)

// object is one JSON object of the document; encoding/json writes its names sorted.
type object = map[string]any

// openAPI returns the OpenAPI 3.1 document of the route table. Schemas come from the Go types that
// the door decodes into and encodes from.
func openAPI(version string) []byte {
	g := generator{schemas: object{}}
	paths := object{}
	for _, rt := range wire.Routes() {
		at, ok := paths[rt.Path].(object)
		if !ok {
			at = object{}
			paths[rt.Path] = at
		}
		at[strings.ToLower(rt.Method)] = g.operation(rt)
	}
	body, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{"title": "Lockstep", "version": version,
			"description": "The REST door of a Lockstep node. Every node of a cluster serves it."},
		"paths":    paths,
		"security": []any{object{"accessKey": []string{}}, object{"sessionToken": []string{}}},
		"components": object{
			"schemas": g.schemas,
			"securitySchemes": object{
				"accessKey": object{"type": "http", "scheme": "basic", "description": "Access key id and secret access key."},
				"sessionToken": object{"type": "http", "scheme": "bearer",
					"description": "The session_token that assume-role and assume-role-with-web-identity answer."},
				"metricsToken": object{"type": "http", "scheme": "bearer", "description": "The metrics_token of the node's configuration."},
			},
		},
	}, "", "  ")
	if err != nil {
		panic("rest: the OpenAPI document does not encode: " + err.Error()) // it holds strings and maps only
	}
	return body
}

type generator struct {
	schemas object // by Go type name
}

var pathVariable = regexp.MustCompile(`\{(\w+)\}`)

func (g *generator) operation(rt wire.Route) object {
	id := rt.Name
	if rt.Operation == kms.OpDecrypt && strings.Contains(rt.Path, "{key}") {
		id += "WithKey" // an operation id is unique
	}
	op := object{"operationId": id, "summary": rt.Summary}
	if params := g.parameters(rt); len(params) > 0 {
		op["parameters"] = params
	}
	if rt.Request != nil && rt.Method != http.MethodGet && rt.Method != http.MethodDelete && hasBody(rt.Request) {
		op["requestBody"] = object{"required": true, "content": jsonContent(g.ref(rt.Request))}
	}
	success := object{"description": "Done.", "headers": object{
		wire.HeaderIndex:     object{"schema": object{"type": "string"}, "description": "EPOCH.INDEX of the state that the answer saw."},
		wire.HeaderRequestID: object{"schema": object{"type": "string"}},
	}}
	switch {
	case rt.Answer != nil:
		success["content"] = jsonContent(g.ref(rt.Answer))
	case rt.Text:
		success["content"] = object{"text/plain": object{"schema": object{"type": "string"}}}
	}
	responses := object{strconv.Itoa(rt.Status): success,
		"default": object{"description": "Refused or failed.", "content": jsonContent(g.ref(reflect.TypeFor[wire.ErrorBody]()))}}
	if rt.Operation != nil && rt.Operation.Revokes {
		accepted := object{"description": "Done; some members may still honour the old state (wait=all with timeout)."}
		accepted["content"] = jsonContent(object{"allOf": []any{g.ref(rt.Answer), object{"type": "object", "properties": object{
			"awaiting": object{"type": "array", "items": object{"type": "string"}}}}}})
		responses["202"] = accepted
	}
	op["responses"] = responses
	switch {
	case rt.Name == wire.Metrics:
		op["security"] = []any{object{}, object{"metricsToken": []string{}}}
	case rt.Open:
		op["security"] = []any{}
	}
	return op
}

func (g *generator) parameters(rt wire.Route) (params []any) {
	add := func(name, in, description string, required bool, schema object) {
		params = append(params, object{"name": name, "in": in, "required": required, "description": description, "schema": schema})
	}
	for _, m := range pathVariable.FindAllStringSubmatch(rt.Path, -1) {
		add(m[1], "path", pathHelp[m[1]+rt.NamePrefix], true, object{"type": "string"})
	}
	if rt.Request != nil {
		for i := range rt.Request.NumField() {
			if name := rt.Request.Field(i).Tag.Get("query"); name != "" {
				add(name, "query", queryHelp[name], false, g.schema(rt.Request.Field(i).Type))
				if rt.Request.Field(i).Type.Kind() == reflect.Slice { // name=a,b and not name=a&name=b
					p := params[len(params)-1].(object)
					p["style"], p["explode"] = "form", false
				}
			}
		}
	}
	op := rt.Operation
	if op == nil {
		return params
	}
	add(wire.HeaderRegion, "header", "The region; default is the first one served.", false, object{"type": "string"})
	add(wire.HeaderMinIndex, "header", "EPOCH.INDEX that the node must have seen; it waits up to 2 s.", false, object{"type": "string"})
	switch {
	case op.Mutates:
		add(wire.HeaderIdempotencyKey, "header", "Makes a repeated write one write, for 10 minutes.", false, object{"type": "string", "maxLength": maxIdempotencyKey})
		add("wait", "query", "all: answer when every member honours the change; none: do not wait.", false, object{"enum": []string{"all", "none"}})
		add("timeout", "query", "With wait=all: answer 202 with the members still awaited after this long.", false, object{"type": "string"})
	case !op.Crypto:
		add("stale", "query", "true: answer from this node's state without asking the leader.", false, object{"type": "boolean"})
	}
	return params
}

var pathHelp = map[string]string{
	"key":        "A key id, key ARN, alias/NAME or alias ARN, percent-encoded.",
	"namealias/": "The alias without \"alias/\", percent-encoded.",
	"name":       "A name.",
	"account":    "A 12-digit account id.",
	"id":         "An access key id.",
	"policy":     "The ARN of a managed policy, percent-encoded.",
	"store":      "A key store's id.",
	"provider":   "An ARN, a trust anchor's name or an issuer's URL without \"https://\", percent-encoded.",
}

var queryHelp = map[string]string{
	"limit":   "The most entries of a page.",
	"marker":  "The next_marker of the page before.",
	"key_id":  "Only what belongs to this key.",
	"attempt": "The id that the answer to a share gave.",

	"grant_tokens":         "Grant tokens, separated by commas.",
	"grant_id":             "Only the grant of this id.",
	"grantee_principal":    "Only grants to this principal's ARN.",
	"retiring_principal":   "The ARN of the principal that may retire them.",
	"policy_name":          "The name of the inline policy.",
	"version_id":           "The version, such as v1; default is the default version.",
	"include_key_material": "ROTATIONS_ONLY (default) or ALL_KEY_MATERIAL: first and imported material too.",

	"start_time": "RFC 3339: only records whose eventTime is not before.",
	"end_time":   "RFC 3339: only records whose eventTime is not after.",
	"principal":  "Only calls of this caller: its ARN, principal id or access key id, or the ARN of its session's role.",
	"key":        "Only records that have this key among their resources: a key id, key ARN, alias/NAME or alias ARN.",
	"event":      "Only records of this eventName.",
	"source":     "Only records of this sourceIPAddress.",
	"error":      "Only records of this errorCode.",
	"request_id": "Only records of this requestID.",
	"event_id":   "Only the record of this eventID.",
	"account":    "Only records of callers or resources of this account.",
	"read_only":  "true or false: only records of this readOnly.",

	"custom_key_store_id":   "Only the key store of this id.",
	"custom_key_store_name": "Only the key store of this name.",
}

func jsonContent(schema object) object {
	return object{"application/json": object{"schema": schema}}
}

// ref returns a reference to the schema of a struct type.
func (g *generator) ref(t reflect.Type) object {
	if _, ok := g.schemas[t.Name()]; !ok {
		g.schemas[t.Name()] = object{} // ends a recursion
		g.schemas[t.Name()] = g.structure(t)
	}
	return object{"$ref": "#/components/schemas/" + t.Name()}
}

func (g *generator) structure(t reflect.Type) object {
	properties := object{}
	var required []string
	g.members(t, properties, &required)
	s := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		sort.Strings(required)
		s["required"] = required
	}
	return s
}

func (g *generator) members(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			g.members(f.Type, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		properties[name] = g.schema(f.Type)
		if values, ok := fieldEnums[name]; ok {
			properties[name] = object{"type": "string", "enum": values}
		}
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			*required = append(*required, name)
		}
	}
}

func hasBody(t reflect.Type) bool {
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "-" {
			return true
		}
	}
	return false
}

// enums lists the spellings of the enumerations. What this release refuses is listed too: AWS's
// clients know it.
var enums = map[reflect.Type]any{
	reflect.TypeFor[kms.KeySpec]():                kms.KeySpecs,
	reflect.TypeFor[kms.KeyUsage]():               kms.KeyUsages,
	reflect.TypeFor[kms.KeyState]():               kms.KeyStates,
	reflect.TypeFor[kms.KeyManager]():             []kms.KeyManager{kms.ManagerCustomer, kms.ManagerAWS},
	reflect.TypeFor[kms.Origin]():                 kms.Origins,
	reflect.TypeFor[kms.DataKeySpec]():            kms.DataKeySpecs,
	reflect.TypeFor[kms.MessageType]():            kms.MessageTypes,
	reflect.TypeFor[kms.EncryptionAlgorithm]():    kms.EncryptionAlgorithms,
	reflect.TypeFor[kms.SigningAlgorithm]():       kms.SigningAlgorithms,
	reflect.TypeFor[kms.MacAlgorithm]():           kms.MacAlgorithms,
	reflect.TypeFor[kms.KeyAgreementAlgorithm]():  kms.KeyAgreementAlgorithms,
	reflect.TypeFor[kms.EncapsulationAlgorithm](): kms.EncapsulationAlgorithms,
	reflect.TypeFor[kms.WrappingAlgorithm]():      kms.WrappingAlgorithms,
	reflect.TypeFor[kms.ExpirationModel]():        kms.ExpirationModels,
	reflect.TypeFor[kms.ImportType]():             kms.ImportTypes,
	reflect.TypeFor[kms.RotationType]():           kms.RotationTypes,
	reflect.TypeFor[kms.GrantOperation]():         kms.GrantOperations,
	reflect.TypeFor[kms.AccessKeyStatus]():        kms.AccessKeyStatuses,
	reflect.TypeFor[kms.CustomKeyStoreType]():     kms.CustomKeyStoreTypes,
	reflect.TypeFor[kms.XksProxyConnectivity]():   kms.XksProxyConnectivities,
	reflect.TypeFor[kms.ConnectionState]():        kms.ConnectionStates,
}

// fieldEnums lists what a field takes of its type's spellings, by the member's name.
var fieldEnums = map[string]any{
	"key_pair_spec":     kms.DataKeyPairSpecs,
	"wrapping_key_spec": kms.WrappingKeySpecs,
}

func (g *generator) schema(t reflect.Type) object {
	if values, ok := enums[t]; ok {
		return object{"type": "string", "enum": values}
	}
	switch {
	case t == reflect.TypeFor[kms.PolicyDocument]():
		return object{"oneOf": []any{object{"type": "string"}, object{"type": "object"}},
			"description": "A policy document: its text, or the document itself."}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{"type": "object", "description": "A CloudTrail event."}
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return object{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": g.schema(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return object{"type": "object"}
		}
		return object{"type": "object", "additionalProperties": g.schema(t.Elem())}
	case reflect.Struct:
		return g.ref(t)
	default:
		return object{"type": "integer"}
	}
}
