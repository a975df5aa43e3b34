package service_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// asked is a request and what became of it.
type asked struct {
	status  int
	header  http.Header
	body    []byte
	records []map[string]any // that it left
}

// ask sends a request through a door.
func (f *front) ask(t *testing.T, w way, q *http.Request, who servicetest.Credentials) (a asked) {
	t.Helper()
	body, err := io.ReadAll(q.Body)
	if err != nil {
		t.Fatal(err)
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	w.sign(t, q, string(body), who)
	before := len(f.Lines())
	answer := httptest.NewRecorder()
	f.http.ServeHTTP(answer, q)
	for line := range bytes.Lines(f.Lines()[before:]) {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err == nil {
			a.records = append(a.records, record)
		} else if len(bytes.TrimSpace(line)) > 0 {
			t.Fatalf("%s: %v", line, err)
		}
	}
	a.status, a.header, a.body = answer.Code, answer.Header(), answer.Body.Bytes()
	return a
}

// anyone are the operations that whoever is authenticated may do.
var anyone = []*kms.Operation{kms.OpGetCallerIdentity, kms.OpGetSessionToken, kms.OpAssumeRoleWithWebIdentity}

// requestOf is a right request of an operation, with what it needs.
func (f *front) requestOf(t *testing.T, w way, op *kms.Operation) any {
	t.Helper()
	if w.door == "xks" && op == kms.OpDecrypt {
		key := f.CreateKey(f.Root)
		call := servicetest.Call(f.Root, kms.OpEncrypt, &service.XKSEncryptRequest{KeyID: key, Plaintext: []byte(message)})
		call.XKS = &service.XKS{}
		result, err := f.Service.Do(t.Context(), call)
		want(t, "encrypt", err, "")
		e := result.Answer.(*service.XKSEncryptAnswer)
		return &service.XKSDecryptRequest{KeyID: key, Metadata: e.Metadata, IV: e.IV, Ciphertext: e.Ciphertext, Tag: e.Tag}
	}
	if _, ok := rights[op]; ok {
		return rights[op].request(f.topic(t, f.Root, op, "alias/a"))
	}
	like := map[reflect.Type]*kms.Operation{reflect.TypeFor[kms.PolicyRequest](): kms.OpGetPolicy, reflect.TypeFor[kms.ProviderRequest](): kms.OpGetOIDCProvider,
		reflect.TypeFor[kms.UpdateRoleRequest](): kms.OpUpdateRole, reflect.TypeFor[kms.Empty](): kms.OpListOIDCProviders}[op.RequestType()]
	if like == nil {
		if like = kms.OpGetUser; noun(op) != "User" {
			like = kms.OpGetRole
		}
	}
	return rights[like].request(f.topic(t, f.Root, like, "alias/a"))
}

// Every operation, through every door that serves it, allowed, denied, without an identity, malformed and turned away at a
// full gate, leaves one record, and every field of it is right.
func TestEveryOperationIsRecordedThroughEveryDoor(t *testing.T) {
	const denied, nobody = `arn:aws:iam::` + servicetest.Operator + `:user/denied`, ""
	root := "arn:aws:iam::" + servicetest.Operator + ":root"
	doors := map[string]int{}
	for _, op := range slices.Concat(kms.Operations, kms.AWSOperations) {
		for _, w := range ways(op) {
			doors[w.door]++
			f := newFront(t)
			f.must(t, f.Root, kms.OpCreateUser, &kms.CreateUserRequest{Name: "denied"})
			key := f.must(t, f.Root, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: "denied"}).(*kms.AccessKeyAnswer)
			other := servicetest.Credentials{AccessKeyID: key.AccessKey.AccessKeyID, Secret: string(key.SecretAccessKey)}
			wrong := servicetest.Credentials{AccessKeyID: f.Root.AccessKeyID, Secret: "wrong"}
			request := f.requestOf(t, w, op)
			served := verdictOn(op)
			if op == kms.OpGetLoginProfile || op == kms.OpDeleteLoginProfile {
				served = kms.CodeNotFound // no user has a password
			}
			for _, row := range []struct {
				what      string
				who       servicetest.Credentials
				arn       string // "": nobody
				code      kms.Code
				malformed bool
				full      bool
			}{
				{"malformed", f.Root, root, w.bad, true, false},
				{"turned away", f.Root, nobody, kms.CodeThrottled, false, true},
				{"nobody", servicetest.Credentials{}, nobody, kms.CodeUnauthenticated, false, false},
				{"wrong", wrong, nobody, kms.CodeUnauthenticated, false, false},
				{"denied", other, denied, kms.CodeAccessDenied, false, false},
				{"allowed", f.Root, root, served, false, false},
			} {
				what := op.Name + " by " + w.door + ", " + row.what
				if row.what == "denied" && slices.Contains(anyone, op) {
					continue
				}
				if op.Open && (row.what == "nobody" || row.what == "wrong") {
					continue // the request proves who it is
				}
				if row.malformed && w.early || op.Open {
					row.arn = nobody
				}
				if row.full {
					f.door.Serving.Enter()
				}
				q := w.make(op, request, row.malformed)
				a := f.ask(t, w, q, row.who)
				if row.full {
					f.door.Serving.Leave()
				}
				if len(a.records) != 1 {
					t.Errorf("%s: %d %s leaves %d records: %v", what, a.status, a.body, len(a.records), a.records)
					continue
				}
				checkRecord(t, what, op, w, &a, row.arn, row.code)
				record := a.records[0]
				if parameters, _ := record["requestParameters"].(map[string]any); row.code == served && reflect.TypeOf(request).Elem().NumField() > 0 && len(parameters) == 0 &&
					!(op.RequestType() == reflect.TypeFor[kms.ListRequest]() || op == kms.OpDecrypt || op == kms.OpListAliases || op == kms.OpGetResources || op == kms.OpDescribeCustomKeyStores || op == kms.OpGetSessionToken || op == kms.OpSeal) {
					t.Errorf("%s: no parameters: %v", what, record)
				} else if row.arn == nobody && !op.Open && parameters != nil {
					t.Errorf("%s: parameters of a stranger: %v", what, parameters)
				}
				if op.Resource == kms.ResourceKey && row.code == "" && record["resources"] == nil {
					t.Errorf("%s: no resources: %v", what, record)
				}
			}
			if len(f.Lines()) > 0 && bytes.Contains(f.Lines(), []byte(`"requestID":""`)) {
				t.Errorf("%s: a record without a request id", op.Name)
			}
		}
	}
	if want := map[string]int{"rest": 130, "awskms": 50, "iam": 80, "sts": 4, "xks": 4}; len(doors) < len(want) {
		t.Errorf("the doors serve %v", doors)
	} else {
		for name, least := range want {
			if doors[name] < least {
				t.Errorf("the door %s serves %d operations", name, doors[name])
			}
		}
	}
}

// checkRecord holds the one record of a request against what is known of that. arn is the caller's.
func checkRecord(t *testing.T, what string, op *kms.Operation, w way, a *asked, arn string, code kms.Code) {
	t.Helper()
	record := a.records[0]
	identity, _ := record["userIdentity"].(map[string]any)
	additional, _ := record["additionalEventData"].(map[string]any)
	want := map[string]any{"eventVersion": "1.11", "eventName": op.Name, "eventSource": op.Source, "awsRegion": firstRegion, "sourceIPAddress": "192.0.2.9", "userAgent": agent,
		"readOnly": !op.Mutates, "eventType": "AwsApiCall", "managementEvent": true, "eventCategory": "Management", "requestID": a.header.Get(wire.HeaderRequestID)}
	if code != "" {
		want["errorCode"] = string(code)
	}
	if arn != "" || op.Open && code == "" {
		want["recipientAccountId"] = servicetest.Operator
	}
	for name, value := range want {
		if record[name] != value {
			t.Errorf("%s: %s is %v, want %v (%d %.200s)", what, name, record[name], value, a.status, a.body)
		}
	}
	if code == "" && record["errorCode"] != nil || (record["errorMessage"] != nil) != (code != "") {
		t.Errorf("%s: %v %v", what, record["errorCode"], record["errorMessage"])
	}
	if id, _ := record["eventID"].(string); len(id) != 36 {
		t.Errorf("%s: eventID %v", what, record["eventID"])
	}
	if at, err := time.Parse(time.RFC3339, record["eventTime"].(string)); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("%s: eventTime %v", what, record["eventTime"])
	}
	if additional["door"] != w.door || additional["node"] == "" || !strings.Contains(additional["index"].(string), ".") {
		t.Errorf("%s: %v", what, additional)
	}
	switch {
	case op.Open && code == "":
		if identity["type"] != "WebIdentityUser" {
			t.Errorf("%s: %v", what, identity)
		}
	case arn == "" && !reflect.DeepEqual(identity, map[string]any{"type": "Unknown"}):
		t.Errorf("%s: somebody who proved nothing is %v", what, identity)
	case arn != "" && identity["arn"] != arn:
		t.Errorf("%s: %v", what, identity)
	}
}
