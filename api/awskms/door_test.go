package awskms

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// fake is a service that answers what it is told.
type fake struct {
	calls  []*service.Call
	answer any
	err    error
}

func (f *fake) Do(_ context.Context, c *service.Call) (*service.Result, error) {
	f.calls = append(f.calls, c)
	switch {
	case c.Refused != nil:
		return nil, c.Refused
	case c.Malformed != nil:
		return nil, c.Malformed
	case f.err != nil:
		return nil, f.err
	}
	answer := f.answer
	if answer == nil {
		answer = reflect.New(c.Operation.AnswerType()).Interface()
	}
	return &service.Result{Answer: answer, Epoch: 1, Index: 7}, nil
}

const aKey = "0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55"

func serve(f *fake, operation, body string) *httptest.ResponseRecorder {
	d := door.New(door.Config{})
	edge := aws.New(aws.Config{Service: f, Door: d})
	q := httptest.NewRequest("POST", "/", strings.NewReader(body))
	prefix := "TrentService."
	if operation == "GetResources" {
		prefix = "ResourceGroupsTaggingAPI_20170126."
	}
	q.Header["X-Amz-Target"] = []string{prefix + operation}
	w := httptest.NewRecorder()
	d.Handler(New(edge)).ServeHTTP(w, q)
	return w
}

// refusal is the body of an error.
type refusal struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

func refused(t *testing.T, w *httptest.ResponseRecorder) refusal {
	t.Helper()
	var r refusal
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return r
}

// ours are operations of AWS's name space that AWS KMS does not have.
var ours = []*kms.Operation{kms.OpWhoCan}

func TestEveryOperationIsServed(t *testing.T) {
	served := map[*kms.Operation]bool{}
	for _, a := range actions() {
		if served[a.operation] {
			t.Errorf("%s is bound twice", a.operation.Name)
		}
		served[a.operation] = true
		if got := a.operation.RequestType(); got != reflect.TypeOf(a.operation.NewRequest()).Elem() {
			t.Errorf("%s: %v", a.operation.Name, got)
		}
	}
	for _, op := range kms.Operations {
		service, _, _ := strings.Cut(op.Action, ":")
		if theirs := (service == "kms" || service == "tag") && !slices.Contains(ours, op); theirs != served[op] {
			t.Errorf("%s: an operation of this door: %v, served: %v", op.Name, theirs, served[op])
		}
	}
}

// full is a body that sets every member of a shape to something that keeps its constraints.
func full(a *action) string {
	body, err := json.Marshal(sample(a.input))
	if err != nil {
		panic(err)
	}
	return string(body)
}

// samples are values of members that not every text fits.
var samples = map[string]any{
	"KeyId": aKey, "TargetKeyId": aKey, "SourceKeyId": aKey, "DestinationKeyId": aKey, "AliasName": "alias/a", "PolicyName": "default",
	"KeyMaterialId": strings.Repeat("0a", 32), "ReplicaRegion": "eu-west-1", "PrimaryRegion": "eu-west-1", "RotationPeriodInDays": 365,
	"PendingWindowInDays": 7, "Limit": 5, "NumberOfBytes": 32, "ValidTo": 1700000000.5,
	"GranteeServicePrincipal": nil, "RetiringServicePrincipal": nil, "SourceArn": nil,
	"CloudHsmClusterId": "cluster-2345677abcd", "KeyStorePassword": "1234567", "XksProxyUriEndpoint": "https://example.org", "XksProxyUriPath": "/a/kms/xks/v1",
	"XksProxyVpcEndpointServiceName": "com.amazonaws.vpce.us-east-1.vpce-svc-0abc", "XksProxyVpcEndpointServiceOwner": "111122223333",
	"AccessKeyId": strings.Repeat("A", 20), "RawSecretAccessKey": strings.Repeat("a", 43), "CustomerMasterKeySpec": nil,
	"TagsPerPage": 100, "IncludeComplianceDetails": nil, "ExcludeCompliantResources": nil,
}

func sample(t reflect.Type) any {
	switch t.Kind() {
	case reflect.Pointer:
		return sample(t.Elem())
	case reflect.Struct:
		members := map[string]any{}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			value, special := samples[name]
			if !special {
				value = sample(t.Field(i).Type)
			}
			if value != nil {
				members[name] = value
			}
		}
		return members
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return []byte("bytes")
		}
		return []any{sample(t.Elem())}
	case reflect.Map:
		return map[string]string{"context": "value"}
	case reflect.Bool:
		return true
	case reflect.Int, reflect.Int32, reflect.Int64:
		return 1
	}
	if words := enums[t]; words != nil {
		return words[0]
	}
	return "text"
}

func TestEveryMemberReachesTheService(t *testing.T) {
	for _, a := range actions() {
		f := &fake{}
		if w := serve(f, a.operation.Name, full(a)); w.Code != http.StatusOK {
			t.Errorf("%s of %s: %d %s", a.operation.Name, full(a), w.Code, w.Body)
			continue
		}
		c := f.calls[0]
		if c.Operation != a.operation || reflect.TypeOf(c.Request).Elem() != a.operation.RequestType() {
			t.Errorf("%s: %+v", a.operation.Name, c)
		}
		v := reflect.ValueOf(c.Request).Elem()
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "WithoutPlaintext" && !(name == "Recipient" && strings.HasSuffix(a.operation.Name, "WithoutPlaintext")) {
				t.Errorf("%s: %s is not set by %s", a.operation.Name, name, full(a))
			}
		}
		service := "kms"
		if c.Operation == kms.OpGetResources {
			service = "tagging"
		}
		if !c.Auth.Signed || !slices.Equal(c.Auth.Services, []string{service}) || c.Door != "awskms" {
			t.Errorf("%s: auth %+v", a.operation.Name, c.Auth)
		}
	}
}

func TestEveryOutputRenders(t *testing.T) {
	for _, a := range actions() {
		w := serve(&fake{}, a.operation.Name, full(a))
		if w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != contentType {
			t.Errorf("%s: %d %s %v", a.operation.Name, w.Code, w.Body, w.Header())
		}
		if id := w.Header().Get("x-amzn-RequestId"); len(id) != 36 {
			t.Errorf("%s: request id %q", a.operation.Name, id)
		}
		if got := w.Header().Get("Lockstep-Index"); got != "1.7" {
			t.Errorf("%s: index %q", a.operation.Name, got)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, code := range kms.Codes() {
		w := serve(&fake{err: kms.Errorf(code, "Why.")}, "ListKeys", "{}")
		x, known := exceptions[code]
		if !known {
			t.Errorf("%s has no exception", code)
			continue
		}
		r := refused(t, w)
		if code == kms.CodeUnauthenticated { // has no cause here
			x = client("MissingAuthenticationTokenException")
		} else if want := map[bool]string{false: "Why.", true: ""}[x.silent]; r.Message != want {
			t.Errorf("%s: message %q", code, r.Message)
		}
		if w.Code != x.status || r.Type != x.name || !strings.HasSuffix(x.name, "Exception") {
			t.Errorf("%s: %d %+v, want %+v", code, w.Code, r, x)
		}
		again := w.Header().Get("Retry-After") != ""
		switch code.Class() {
		case kms.ClassUnavailable:
			if w.Code != http.StatusServiceUnavailable || r.Type != "DependencyTimeoutException" || !again {
				t.Errorf("%s: %d %+v %v", code, w.Code, r, w.Header())
			}
		case kms.ClassThrottled:
			if code == kms.CodeLimitExceeded {
				if w.Code != http.StatusBadRequest || r.Type != "LimitExceededException" || again {
					t.Errorf("%s: %d %+v %v", code, w.Code, r, w.Header())
				}
			} else if w.Code != http.StatusBadRequest || r.Type != "ThrottlingException" || !again {
				t.Errorf("%s: %d %+v %v", code, w.Code, r, w.Header())
			}
		case kms.ClassUnknown, kms.ClassInternal:
			if w.Code != http.StatusInternalServerError || r.Type != "KMSInternalException" {
				t.Errorf("%s: %d %+v", code, w.Code, r)
			}
		case kms.ClassPrecondition, kms.ClassTooLarge:
		default:
			if w.Code != http.StatusBadRequest || again {
				t.Errorf("%s: %d %+v %v", code, w.Code, r, w.Header())
			}
		}
	}
	if r := refused(t, serve(&fake{err: http.ErrBodyNotAllowed}, "ListKeys", "{}")); r.Type != "KMSInternalException" || strings.Contains(r.Message, "body") {
		t.Errorf("a Go error: %+v", r)
	}
}

func TestFailuresOfIdentity(t *testing.T) {
	for kind := auth.FailureMissing; kind <= auth.FailureExpired; kind++ {
		err := kms.Errorf(kms.CodeUnauthenticated, "To the REST door all are one.").WithCause(&auth.Failure{Kind: kind, Message: "As AWS says it."})
		w := serve(&fake{err: err}, "ListKeys", "{}")
		if r := refused(t, w); w.Code != http.StatusBadRequest || failures[kind] == "" || r.Type != failures[kind] || r.Message != "As AWS says it." {
			t.Errorf("%d: %d %+v", kind, w.Code, r)
		}
	}
	if failures[auth.FailureExpired+1] != "" {
		t.Error("there are more kinds of failures than this test knows")
	}
}

func TestUnreadable(t *testing.T) {
	for _, tt := range []struct{ name, body, kind, message string }{
		{"no JSON", "x", "SerializationException", "JSON object"},
		{"a list", "[]", "SerializationException", "JSON object"},
		{"cut", `{"KeyId":`, "SerializationException", "not valid JSON"},
		{"trailing", `{"KeyId":"a"} x`, "SerializationException", "not valid JSON"},
		{"twice", `{"KeyId":"a","KeyId":"b"}`, "SerializationException", "twice"},
		{"unknown", `{"KeyId":"a","Later":1}`, "SerializationException", `"Later"`},
		{"other case", `{"keyId":"a"}`, "SerializationException", `"keyId"`},
		{"number for text", `{"KeyId":1}`, "SerializationException", `"KeyId"`},
		{"text for number", `{"KeyId":"a","PendingWindowInDays":"7"}`, "SerializationException", `"PendingWindowInDays"`},
		{"fraction", `{"KeyId":"a","PendingWindowInDays":7.5}`, "SerializationException", `"PendingWindowInDays"`},
		{"deep", strings.Repeat(`{"KeyId":`, 100), "SerializationException", "deeper"},
		{"invalid UTF-8", "{\"KeyId\":\"\xff\"}", "SerializationException", "UTF-8"},
	} {
		f := &fake{}
		w := serve(f, "ScheduleKeyDeletion", tt.body)
		if r := refused(t, w); w.Code != http.StatusBadRequest || r.Type != tt.kind || !strings.Contains(r.Message, tt.message) {
			t.Errorf("%s: %d %+v", tt.name, w.Code, r)
		}
		// It is told to who is authenticated only: the service has to see it.
		if len(f.calls) != 1 || f.calls[0].Malformed == nil || f.calls[0].Request != nil {
			t.Errorf("%s: %+v", tt.name, f.calls)
		}
	}
}

// TestBusy fills the one gate of all doors: but for the record, nothing of a request is looked at then.
func TestBusy(t *testing.T) {
	f, d := &fake{}, door.New(door.Config{Concurrency: 1})
	h := New(aws.New(aws.Config{Service: f, Door: d}))
	ask := func() *httptest.ResponseRecorder {
		q := httptest.NewRequest("POST", "/", strings.NewReader("no JSON"))
		q.Header["X-Amz-Target"] = []string{"TrentService.ListKeys"}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w
	}
	if !d.Serving.Enter() {
		t.Fatal("the gate is closed")
	}
	if r := refused(t, ask()); r.Type != "ThrottlingException" || len(f.calls) != 1 || kms.CodeOf(f.calls[0].Refused) != kms.CodeThrottled || f.calls[0].Request != nil {
		t.Errorf("%+v, calls %+v", r, f.calls) // the service records it, and looks at nothing
	}
	d.Serving.Leave()
	for range 2 {
		if r := refused(t, ask()); r.Type != "SerializationException" {
			t.Errorf("%+v", r)
		}
	}
}

func TestTargets(t *testing.T) {
	d := door.New(door.Config{})
	f := &fake{}
	h := New(aws.New(aws.Config{Service: f, Door: d}))
	for _, targets := range [][]string{nil, {""}, {"TrentService."}, {"trentservice.ListKeys"}, {"TrentService.listkeys"}, {"ListKeys"},
		{"TrentService.WhoCan"}, {"TrentService.GetResources"}, {"ResourceGroupsTaggingAPI_20170126.ListKeys"}, {"TrentService.CreateUser"}, {"TrentService.ListKeys", "TrentService.ListKeys"}, {"TrentService.ListKeys "}} {
		q := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		q.Header["X-Amz-Target"] = targets
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if r := refused(t, w); w.Code != http.StatusBadRequest || r.Type != "UnknownOperationException" {
			t.Errorf("%q: %d %+v", targets, w.Code, r)
		}
	}
	if len(f.calls) != 0 {
		t.Errorf("the service was called: %+v", f.calls)
	}
}

func TestEpoch(t *testing.T) {
	for text, want := range map[string]epoch{"0": 0, "1": 1000, "1700000000.123": 1700000000123, "1.7E9": 1700000000000, "-1.5": -1500, "null": 0} {
		var e epoch
		if err := e.UnmarshalJSON([]byte(text)); err != nil || e != want {
			t.Errorf("%s: %d, %v", text, e, err)
		}
	}
	for _, text := range []string{`"2020-01-01T00:00:00Z"`, "1e300", "NaN", "true", "{}"} {
		if err := new(epoch).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is taken for a time", text)
		}
	}
	now := time.UnixMilli(1700000000123)
	if got, _ := at(now).MarshalJSON(); string(got) != "1700000000.123" {
		t.Errorf("%s", got)
	}
	if got, _ := at(time.Unix(946684800, 0)).MarshalJSON(); string(got) != "946684800" {
		t.Errorf("%s", got)
	}
	if at(time.Time{}) != 0 || maybe(nil) != 0 || epoch(0).time() != nil || !maybe(&now).time().Equal(now) {
		t.Error("no time is not no time")
	}
}

func FuzzRequest(f *testing.F) {
	all := actions()
	for i, a := range all {
		f.Add(uint8(i), []byte(full(a)))
	}
	f.Add(uint8(0), []byte(`{"KeyId":"","KeyId":null}`))
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		a := all[int(which)%len(all)]
		q, err := a.request(slices.Clone(body))
		if (q == nil) == (err == nil) {
			t.Fatalf("%v beside %v", q, err)
		}
		if err != nil {
			if e := kms.AsError(err); e.Code == kms.CodeInternal || e.Code.Class() != kms.ClassInvalid && e.Code != kms.CodeNotFound {
				t.Fatalf("%v", err)
			}
			return
		}
		if reflect.TypeOf(q).Elem() != a.operation.RequestType() {
			t.Fatalf("%T for %s", q, a.operation.Name)
		}
	})
}

// TestRetriesAreOneChange signs as botocore does, which adds the invocation id afterwards: a change has it for its idempotency
// key, and what changes nothing has none.
func TestRetriesAreOneChange(t *testing.T) {
	for operation, want := range map[string]string{"CreateKey": "sigv4:id:4711", "ListKeys": ""} {
		f := &fake{}
		d := door.New(door.Config{})
		q := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		for name, value := range map[string]string{"X-Amz-Target": "TrentService." + operation, "X-Amz-Date": "20260304T050607Z", "Amz-Sdk-Invocation-Id": "4711",
			"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260304/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("0a", 32)} {
			q.Header.Set(name, value)
		}
		d.Handler(New(aws.New(aws.Config{Service: f, Door: d}))).ServeHTTP(httptest.NewRecorder(), q)
		if len(f.calls) != 1 || f.calls[0].IdempotencyKey != want {
			t.Errorf("%s: %d calls, the first is %+v", operation, len(f.calls), f.calls)
		}
	}
}
