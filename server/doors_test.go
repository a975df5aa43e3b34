package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// failing is a service that fails every call in the same way, or answers what no door can render.
type failing struct{ err error }

func (f failing) Do(context.Context, *service.Call) (*service.Result, error) {
	if f.err == nil {
		return &service.Result{Answer: &kms.EncryptAnswer{KeyID: "\xff"}}, nil
	}
	return nil, f.err
}

// requests has one for each door for operations.
var requests = map[string]struct {
	path, body, target string
	json               bool
}{
	"rest":   {path: "/v1/keys/k/encrypt", body: `{"plaintext":""}`, json: true},
	"awskms": {path: "/", body: `{"KeyId":"k","Plaintext":"YQ=="}`, target: "TrentService.Encrypt", json: true},
	"sts":    {path: "/", body: "Version=2011-06-15&Action=GetCallerIdentity"},
	"iam":    {path: "/", body: "Version=2010-05-08&Action=ListUsers"},
	"xks":    {path: "/xks/us-east-1/kms/xks/v1/health", body: `{"requestMetadata":{"awsPrincipalArn":"p","kmsOperation":"o","kmsRequestId":"r"}}`},
}

// ask asks a door once and returns what the log says from debug on, each line with the id of the request that was answered.
func ask(t *testing.T, name string, svc failing) (lines []map[string]any, id string) {
	t.Helper()
	var log bytes.Buffer
	l := newLogs(LogConfig{Level: "debug", Format: "json"}, "n", nil, &log)
	cfg := defaultConfig()
	cfg.Regions = []string{"us-east-1"}
	d := door.New(door.Config{Logger: l.of("api")})
	router := d.Router()
	mount(router, d, cfg, "1", svc)
	r := requests[name]
	q := httptest.NewRequest("POST", r.path, strings.NewReader(r.body))
	if r.target != "" {
		q.Header.Set("X-Amz-Target", r.target)
	}
	w := httptest.NewRecorder()
	d.Handler(router).ServeHTTP(w, q)
	if w.Code < 500 {
		t.Fatalf("%s answers %d %s", name, w.Code, w.Body)
	}
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fields)
	}
	return lines, w.Header().Get(wire.HeaderRequestID)
}

// What a door refuses by itself is counted as that door's, whatever the request says of itself.
func TestDoorsCountWhatTheyRefuse(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path, target, body, want string
	}{
		"no such path":              {method: "GET", path: "/v1/nothing", want: "none not_found"},
		"no such method":            {method: "DELETE", path: "/v1/keys", want: "none method_not_allowed"},
		"a dot segment":             {method: "GET", path: "/v1/../keys", want: "none invalid_request"},
		"unknown target":            {method: "POST", path: "/", target: "TrentService.Unheard", want: "awskms not_found"},
		"unknown action":            {method: "POST", path: "/", body: "Version=2011-06-15&Action=Unheard", want: "sts not_found"},
		"unknown action of IAM":     {method: "POST", path: "/", body: "Version=2010-05-08&Action=Unheard", want: "iam not_found"},
		"malformed, unknown action": {method: "POST", path: "/", body: "Action=Unheard&%", want: "sts invalid_request"},
		"too large a form":          {method: "POST", path: "/", body: strings.Repeat("a", 5000), want: "sts too_large"},
		"no path of XKS":            {method: "POST", path: "/xks/mars/kms/xks/v1/health", want: "xks not_found"},
		"no method of XKS":          {method: "GET", path: "/xks/us-east-1/kms/xks/v1/health", want: "xks method_not_allowed"},
		"a call that fails":         {method: "GET", path: "/v1/keys"},
	} {
		var got []string
		d := door.New(door.Config{BodyLimit: 4096, Refused: func(of string, code kms.Code) { got = append(got, of+" "+string(code)) }})
		router := d.Router()
		cfg := defaultConfig()
		cfg.Regions = []string{"us-east-1"}
		mount(router, d, cfg, "1", failing{kms.Errorf(kms.CodeAccessDenied, "No.")})
		q := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		if tt.target != "" {
			q.Header.Set("X-Amz-Target", tt.target)
		}
		d.Handler(router).ServeHTTP(httptest.NewRecorder(), q)
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// What an answer's request id is to find in the log is there, once, whichever door answered; what is unavailable for everybody is
// no error of each request.
func TestEveryDoorLogsWhyItFailed(t *testing.T) {
	for name, r := range requests {
		for what, tt := range map[string]struct {
			svc   failing
			level slog.Level
			cause string
		}{
			"a plain error":               {failing{errors.New("the disk burns")}, slog.LevelError, "the disk burns"},
			"an internal error, no cause": {failing{kms.Errorf(kms.CodeInternal, "A record is odd.")}, slog.LevelError, "A record is odd."},
			"unavailable, with a cause":   {failing{kms.Errorf(kms.CodeNoQuorum, "No.").WithCause(errors.New("no leader"))}, slog.LevelDebug, "no leader"},
			"unknown outcome, with cause": {failing{kms.Errorf(kms.CodeOutcomeUnknown, "No.").WithCause(errors.New("too late"))}, slog.LevelDebug, "too late"},
			"an answer that has no UTF-8": {failing{}, slog.LevelError, "UTF-8"},
		} {
			if tt.svc.err == nil && !r.json {
				continue // whose answers are of other types
			}
			lines, id := ask(t, name, tt.svc)
			if len(lines) != 1 || lines[0]["level"] != tt.level.String() || lines[0]["request_id"] != id || !strings.Contains(lines[0]["cause"].(string), tt.cause) {
				t.Errorf("%s, %s: request %s, log %v", name, what, id, lines)
			}
		}
	}
}
