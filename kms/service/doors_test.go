package service_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	awsedge "github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/awskms"
	"github.com/lockstep-kms/lockstep/api/awsquery"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/rest"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/api/xks"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// front is a node's service behind every door of its API, with its log.
type front struct {
	*world
	door *door.Door
	http http.Handler
	log  *bytes.Buffer
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{log: new(bytes.Buffer)}
	logger := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.world = newWorld(t, servicetest.Options{Regions: twoRegions.Regions, Logger: logger})
	f.door = door.New(door.Config{Logger: logger, Concurrency: 1})
	router := f.door.Router()
	rest.New(rest.Config{Service: f.Service, Door: f.door}).Mount(router)
	edge := awsedge.New(awsedge.Config{Service: f.Service, Door: f.door})
	kmsDoor, query := awskms.New(edge), awsquery.New(edge, twoRegions.Regions)
	router.MatcherFunc(door.Path("/")).HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if len(q.Header["X-Amz-Target"]) > 0 {
			kmsDoor.ServeHTTP(w, q)
			return
		}
		query.ServeHTTP(w, q)
	})
	xks.New(xks.Config{Edge: edge, Regions: twoRegions.Regions}).Mount(router)
	f.http = f.door.Handler(router)
	return f
}

// way is how requests of one operation come through one door.
type way struct {
	door string // as the record names it
	// make makes a request: of the right one, or one that is malformed. Its form is the door's.
	make func(op *kms.Operation, request any, malformed bool) *http.Request
	// sign proves who sends it.
	sign func(t *testing.T, q *http.Request, body string, who servicetest.Credentials)
	bad  kms.Code // of what is malformed
	// early: what is malformed is refused before anybody is authenticated.
	early bool
}

const agent = "walk/1.0"

func newRequest(method, target, body string) *http.Request {
	q := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		q = httptest.NewRequest(method, target, nil)
	}
	q.RemoteAddr = "192.0.2.9:1234"
	q.Header.Set("User-Agent", agent)
	return q
}

func basic(_ *testing.T, q *http.Request, _ string, who servicetest.Credentials) {
	for name, value := range who.Header() {
		q.Header[name] = value
	}
}

func sigv4(service, region string) func(*testing.T, *http.Request, string, servicetest.Credentials) {
	return func(t *testing.T, q *http.Request, body string, who servicetest.Credentials) {
		t.Helper()
		if who == (servicetest.Credentials{}) {
			return
		}
		sum := sha256.Sum256([]byte(body))
		length := q.ContentLength
		q.ContentLength = 0 // which the signer would sign, and a recorder does not send
		err := v4.NewSigner().SignHTTP(q.Context(), aws.Credentials{AccessKeyID: who.AccessKeyID, SecretAccessKey: who.Secret}, q, hex.EncodeToString(sum[:]), service, region, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		q.ContentLength = length
	}
}

// restWay makes requests of a route.
func restWay(rt wire.Route) way {
	return way{door: "rest", bad: kms.CodeInvalidRequest, sign: basic, early: true, make: func(op *kms.Operation, request any, malformed bool) *http.Request {
		v := reflect.ValueOf(request).Elem()
		path, query, body := rt.Path, url.Values{}, ""
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if name := f.Tag.Get("path"); name != "" {
				path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(strings.TrimPrefix(fmt.Sprint(v.Field(i)), rt.NamePrefix)))
			}
			if name := f.Tag.Get("query"); name != "" && !v.Field(i).IsZero() {
				query.Set(name, fmt.Sprint(v.Field(i)))
			}
		}
		if rt.Method == "POST" || rt.Method == "PUT" || op == kms.OpDeleteImportedKeyMaterial {
			text, _ := json.Marshal(plain(v))
			body = string(text)
		}
		if malformed {
			query.Set("nonsense", "1")
		}
		if q := query.Encode(); q != "" {
			path += "?" + q
		}
		return newRequest(rt.Method, path, body)
	}}
}

// plain is a request as its JSON has it: secrets show themselves to a door's encoder only.
func plain(v reflect.Value) map[string]any {
	all := map[string]any{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if f := v.Field(i); name != "-" && !f.IsZero() {
			all[name] = value(f, func(v reflect.Value) any { return plain(v) })
		}
	}
	return all
}

// value is a member of a request as JSON has it.
func value(f reflect.Value, object func(reflect.Value) any) any {
	switch f.Kind() {
	case reflect.Pointer:
		if at, ok := f.Interface().(*time.Time); ok {
			return at.Format(time.RFC3339)
		}
		return value(f.Elem(), object)
	case reflect.Slice:
		if f.Type().Elem().Kind() == reflect.Uint8 {
			return base64.StdEncoding.EncodeToString(f.Bytes())
		}
		all := []any{}
		for i := range f.Len() {
			all = append(all, value(f.Index(i), object))
		}
		return all
	case reflect.Struct:
		return object(f)
	case reflect.String:
		return f.String()
	default:
		return f.Interface()
	}
}

// awsName is a Go name of a request as AWS spells it.
func awsName(name string) string {
	for _, word := range []string{"ID", "ARN", "URL"} {
		if head, ok := strings.CutSuffix(name, word); ok {
			return head + word[:1] + strings.ToLower(word[1:])
		}
	}
	return name
}

// awsMembers is a request in the shapes of AWS JSON.
func awsMembers(op *kms.Operation, v reflect.Value) map[string]any {
	all := map[string]any{}
	for i := range v.NumField() {
		f, name := v.Field(i), awsName(v.Type().Field(i).Name)
		switch {
		case f.IsZero() || name == "WithoutPlaintext":
			continue
		case op == kms.OpReEncrypt && name == "KeyId":
			name = "DestinationKeyId"
		}
		if tags, ok := f.Interface().(map[string]string); ok && name == "Tags" {
			list := []any{}
			for k, v := range tags {
				list = append(list, map[string]string{"TagKey": k, "TagValue": v})
			}
			all[name] = list
			continue
		}
		all[name] = value(f, func(v reflect.Value) any { return awsMembers(op, v) })
	}
	return all
}

func jsonWay(op *kms.Operation) way {
	prefix, name := "TrentService.", "kms"
	if op == kms.OpGetResources {
		prefix, name = "ResourceGroupsTaggingAPI_20170126.", "tagging"
	}
	return way{door: "awskms", bad: kms.CodeInvalidRequest, sign: sigv4(name, firstRegion), make: func(op *kms.Operation, request any, malformed bool) *http.Request {
		body, _ := json.Marshal(awsMembers(op, reflect.ValueOf(request).Elem()))
		if malformed {
			body = []byte("no JSON")
		}
		q := newRequest("POST", "/", string(body))
		q.Header.Set("Content-Type", "application/x-amz-json-1.1")
		q.Header.Set("X-Amz-Target", prefix+op.Name)
		return q
	}}
}

// noun is whose name the member Name of a request to IAM is.
func noun(op *kms.Operation) string {
	switch op {
	case kms.OpAddUserToGroup, kms.OpRemoveUserFromGroup:
		return "Group"
	case kms.OpListGroupsForUser:
		return "User"
	case kms.OpCreatePolicy:
		return "Policy"
	}
	for _, noun := range []string{"User", "Group", "Role", "InstanceProfilesForRole"} {
		if strings.Contains(op.Name, noun) {
			return noun
		}
	}
	return "User"
}

// form is a request in the shapes of AWS's query protocol.
func form(op *kms.Operation, request any) url.Values {
	all, v := url.Values{}, reflect.ValueOf(request).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		switch {
		case f.IsZero() || name == "JWKS" || name == "CACertificate":
			continue
		case name == "Name":
			name = noun(op) + "Name"
		case name == "Provider":
			name = "OpenIDConnectProviderArn"
		case name != "ClientID":
			name = awsName(name)
		}
		switch x := f.Interface().(type) {
		case map[string]string:
			n := 0
			for k, v := range x {
				n++
				all.Set(fmt.Sprintf("%s.member.%d.Key", name, n), k)
				all.Set(fmt.Sprintf("%s.member.%d.Value", name, n), v)
			}
		case []string:
			for n, v := range x {
				all.Set(fmt.Sprintf("%s.member.%d", name, n+1), v)
			}
		default:
			all.Set(name, fmt.Sprint(value(f, nil)))
		}
	}
	switch q := request.(type) {
	case *kms.GetPolicyVersionRequest: // AWS has no default
		all.Set("VersionId", cmp.Or(q.VersionID, "v1"))
	case *kms.SimulateRequest:
		all = url.Values{"PolicySourceArn": {q.PrincipalARN}, "ActionNames.member.1": {q.Action}, "ResourceArns.member.1": {q.Resource}}
	}
	return all
}

func queryWay(service string) way {
	version := map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}[service]
	return way{door: service, bad: kms.CodeValidation, sign: sigv4(service, firstRegion), make: func(op *kms.Operation, request any, malformed bool) *http.Request {
		all := form(op, request)
		all.Set("Action", op.Name)
		all.Set("Version", version)
		if malformed {
			all.Set("Nonsense", "1")
		}
		q := newRequest("POST", "/", all.Encode())
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return q
	}}
}

// xksWay makes the requests of AWS KMS to its external key store.
func xksWay(op *kms.Operation) way {
	return way{door: "xks", bad: kms.CodeInvalidRequest, sign: sigv4("kms-xks-proxy", firstRegion), make: func(op *kms.Operation, request any, malformed bool) *http.Request {
		const said = `"requestMetadata":{"awsPrincipalArn":"arn:aws:iam::123456789012:user/Alice","kmsOperation":"Encrypt","kmsRequestId":"a","kmsKeyArn":"arn:aws:kms:us-east-2:123456789012:/key/k"}`
		path, more := "health", ""
		text := func(name string, value []byte) string {
			return `,"` + name + `":"` + base64.StdEncoding.EncodeToString(value) + `"`
		}
		switch r := request.(type) {
		case *kms.EncryptRequest:
			path, more = "keys/"+r.KeyID+"/encrypt", `,"encryptionAlgorithm":"AES_GCM"`+text("plaintext", r.Plaintext)
		case *service.XKSDecryptRequest:
			path, more = "keys/"+r.KeyID+"/decrypt", `,"encryptionAlgorithm":"AES_GCM"`+text("ciphertextMetadata", r.Metadata)+text("initializationVector", r.IV)+
				text("ciphertext", r.Ciphertext)+text("authenticationTag", r.Tag)
		case *kms.DescribeKeyRequest:
			path = "keys/" + r.KeyID + "/metadata"
		}
		body := "{" + said + more + "}"
		if malformed {
			body = "{"
		}
		q := newRequest("POST", "/xks/"+firstRegion+"/kms/xks/v1/"+path, body)
		q.Header.Set("Content-Type", "application/json")
		return q
	}}
}

// ways are those through every door that serves an operation.
func ways(op *kms.Operation) (all []way) {
	for _, rt := range wire.Routes() {
		if rt.Operation == op && (op != kms.OpDecrypt || !strings.Contains(rt.Path, "{key}")) {
			all = append(all, restWay(rt))
		}
	}
	switch {
	case op.Source == kms.OpEncrypt.Source && op != kms.OpWhoCan, op == kms.OpGetResources:
		all = append(all, jsonWay(op))
	case op.Source == kms.OpAssumeRole.Source:
		all = append(all, queryWay("sts"))
	case op.Source == kms.OpCreateUser.Source && op != kms.OpRevokeSessions:
		all = append(all, queryWay("iam"))
	}
	switch op {
	case kms.OpEncrypt, kms.OpDecrypt, kms.OpDescribeKey, kms.OpGetCallerIdentity:
		all = append(all, xksWay(op))
	}
	return all
}
