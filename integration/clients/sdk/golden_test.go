package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// golden is one of the SDK's golden documents: an operation or an exception, and the body with every member that the
// SDK knows.
type golden struct {
	name string
	body []byte
}

// snapshots reads the golden documents of a directory of the SDK's module that end in a suffix.
func snapshots(t *testing.T, directory, suffix string) []golden {
	t.Helper()
	module, err := moduleDirectory()
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(module, directory, "*"+suffix))
	if len(files) == 0 {
		t.Fatalf("the SDK's module has no %s/*%s", directory, suffix)
	}
	all := make([]golden, len(files))
	for i, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// A first line, then headers of which one names the operation, an empty line, and the body, as in HTTP; a request
		// has an empty line behind the first one, too.
		at := bytes.Index(raw, []byte("X-Amz-Target: "))
		if at < 0 {
			t.Fatalf("%s names no operation", file)
		}
		_, body, _ := bytes.Cut(raw[at:], []byte("\n\n"))
		all[i] = golden{strings.TrimSuffix(filepath.Base(file), suffix), body}
	}
	return all
}

var moduleDirectory = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/kms").Output()
	return strings.TrimSpace(string(out)), err
})

// document is what members JSON has, by their path, and of which type they are: "Keys[].KeyId" is a string. A member
// that is a map of text is one path, whatever its keys.
type document map[string]string

func (d document) add(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		d[path] = "object"
		if isMap(path[strings.LastIndexByte(path, '.')+1:]) {
			return
		}
		for name, member := range v {
			d.add(strings.TrimPrefix(path+"."+name, "."), member)
		}
	case []any:
		d[path] = "list"
		for _, member := range v {
			d.add(path+"[]", member)
		}
	case nil:
		d[path] = "null"
	default:
		d[path] = fmt.Sprintf("%T", v)
	}
}

// read returns the members of a body.
func read(body []byte) (document, error) {
	d := document{}
	if len(body) == 0 {
		return d, nil
	}
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	d.add("", v)
	delete(d, "")
	return d, nil
}

var goldenOnce struct {
	sync.Once
	responses map[string]document
}

// goldenResponses returns the members of each operation's answer.
func goldenResponses(t *testing.T) map[string]document {
	t.Helper()
	goldenOnce.Do(func() {
		all := map[string]document{}
		for _, g := range snapshots(t, "response_snapshot", ".response.snap") {
			d, err := read(g.body)
			if err != nil {
				t.Fatalf("%s: %v", g.name, err)
			}
			all[g.name] = d
		}
		goldenOnce.responses = all
	})
	return goldenOnce.responses
}

// recorder is the HTTP client of the SDK's clients. It fails its test when an answer is not one that AWS KMS could give:
// a member or a type that the golden documents do not have, another status, a header that is missing. It keeps what was
// answered.
type recorder struct {
	t      *testing.T
	http   aws.HTTPClient // that sends the requests
	golden map[string]document

	mu         sync.Mutex
	seen       map[string]map[string]bool // guarded by mu: by operation, the members of its answers; one that answered has an entry
	exceptions []string                   // guarded by mu: OPERATION/EXCEPTION
	sent       []sent                     // guarded by mu: every attempt
}

// sent is one HTTP request.
type sent struct {
	operation  string
	invocation string // amz-sdk-invocation-id: the same for every attempt of a call
	attempt    string // amz-sdk-request
	status     int
}

// Do implements the SDK's HTTPClient.
func (r *recorder) Do(q *http.Request) (*http.Response, error) {
	resp, err := r.http.Do(q)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	operation := strings.TrimPrefix(q.Header.Get("X-Amz-Target"), "TrentService.")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, sent{operation, q.Header.Get("Amz-Sdk-Invocation-Id"), q.Header.Get("Amz-Sdk-Request"), resp.StatusCode})
	if problem := r.inspect(operation, resp, body); problem != nil {
		r.t.Errorf("%s answered %d %s: %v", operation, resp.StatusCode, body, problem)
	}
	return resp, nil
}

// inspect returns what AWS KMS would not have answered. r.mu is held.
func (r *recorder) inspect(operation string, resp *http.Response, body []byte) error {
	if got := resp.Header.Get("Content-Type"); got != "application/x-amz-json-1.1" {
		return fmt.Errorf("the content type is %q", got)
	}
	if got := resp.Header.Get("X-Amzn-Requestid"); len(got) != 36 {
		return fmt.Errorf("the request id is %q", got)
	}
	if resp.StatusCode != http.StatusOK {
		return r.inspectError(operation, resp, body)
	}
	got, err := read(body)
	if err != nil {
		return err
	}
	if r.seen[operation] == nil {
		r.seen[operation] = map[string]bool{}
	}
	for path, kind := range got {
		if want := r.golden[operation][path]; kind != want {
			return fmt.Errorf("the member %s is a %s; the SDK knows a %q", path, kind, want)
		}
		r.seen[operation][path] = true
	}
	return nil
}

func (r *recorder) inspectError(operation string, resp *http.Response, body []byte) error {
	var e map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&e); err != nil {
		return err
	}
	name, _ := e["__type"].(string)
	message, ok := e["message"].(string)
	switch {
	case len(e) != 2 || name == "" || !ok:
		return fmt.Errorf("an error has __type and message")
	case resp.StatusCode == http.StatusServiceUnavailable && name != "DependencyTimeoutException",
		resp.StatusCode == http.StatusInternalServerError && name != "KMSInternalException",
		resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusInternalServerError && resp.StatusCode != http.StatusBadRequest:
		return fmt.Errorf("the status of %s", name)
	case slices.Contains([]string{"InvalidCiphertextException", "KMSInvalidSignatureException", "KMSInvalidMacException"}, name) != (message == "") && name != "UnknownOperationException":
		return fmt.Errorf("the message of %s", name)
	}
	r.exceptions = append(r.exceptions, operation+"/"+name)
	return nil
}

// answered reports whether an operation succeeded.
func (r *recorder) answered(operation string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[operation] != nil
}

// attempts returns what was sent for an operation.
func (r *recorder) attempts(operation string) []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.sent), func(s sent) bool { return s.operation != operation })
}

// verdicts is attempts without those that a node refused for the state that it was in.
func (r *recorder) verdicts(operation string) []sent {
	return slices.DeleteFunc(r.attempts(operation), func(s sent) bool { return s.status == http.StatusServiceUnavailable })
}

// raw sends a body as it is, signed by the SDK, and returns how it was answered: a status and the name of the exception.
// It calls operation with an empty input and puts the body in place of the SDK's.
func raw(t *testing.T, operation string, body []byte) (status int, exception string) {
	t.Helper()
	c, rec := client(t, func(o *kms.Options) { o.APIOptions = append(o.APIOptions, withBody(operation, body)) })
	// Any operation will do: its target and body are replaced before they are signed.
	_, err := c.ListKeys(t.Context(), &kms.ListKeysInput{})
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.sent) == 0 {
		t.Fatalf("%s: %v", operation, err)
	}
	if n := len(rec.exceptions); n > 0 {
		_, exception, _ = strings.Cut(rec.exceptions[n-1], "/")
	}
	return rec.sent[len(rec.sent)-1].status, exception
}

// TestGoldenRequests sends every golden request of the SDK as it is, over HTTP and signed, since the door's module has
// nothing to do with the SDK's: the door reads every member of it, with its type. The
// values are placeholders, so nothing succeeds; but only a body that cannot be read is answered with
// SerializationException, and it is when a member is added or is of another type, wherever it stands.
func TestGoldenRequests(t *testing.T) {
	all := snapshots(t, "request_snapshot", ".request.snap")
	if n := len(operations()); len(all) != n {
		t.Errorf("%d golden requests for %d operations", len(all), n)
	}
	for _, g := range all {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			if len(g.body) == 0 {
				g.body = []byte("{}")
			}
			status, exception := raw(t, g.name, g.body)
			if exception == "SerializationException" || exception == "UnknownOperationException" || status != http.StatusOK && status != http.StatusBadRequest {
				t.Errorf("answered %d %s", status, exception)
			}
			for _, broken := range breaks(t, g.body) {
				if _, exception := raw(t, g.name, broken); exception != "SerializationException" {
					t.Errorf("answered %q to %s", exception, broken)
				}
			}
		})
	}
}

// breaks returns bodies that the door must not read: with a member that nobody knows, in the body and in each structure
// inside, and with each member of another type.
func breaks(t *testing.T, body []byte) (all [][]byte) {
	t.Helper()
	var whole map[string]any
	if err := json.Unmarshal(body, &whole); err != nil {
		t.Fatal(err)
	}
	add := func() {
		b, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	var visit func(name string, v any)
	visit = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if isMap(name) {
				return
			}
			v["NoSuchMember"] = "x"
			add()
			delete(v, "NoSuchMember")
			for name, member := range v {
				visit(name, member)
			}
		case []any:
			visit(name, v[0])
		}
	}
	visit("", whole)
	for name, member := range whole {
		if _, number := member.(float64); number {
			whole[name] = "x"
		} else {
			whole[name] = 7.5
		}
		add()
		whole[name] = member
	}
	return all
}

// isMap reports whether a member is a map of text and no structure.
func isMap(member string) bool { return strings.Contains(member, "EncryptionContext") }

// withBody replaces what is sent, before it is signed.
func withBody(operation string, body []byte) func(*middleware.Stack) error {
	return func(s *middleware.Stack) error {
		return s.Build.Add(middleware.BuildMiddlewareFunc("withBody", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			q, err := in.Request.(*smithyhttp.Request).SetStream(bytes.NewReader(body))
			if err != nil {
				return middleware.BuildOutput{}, middleware.Metadata{}, err
			}
			q.Header.Set("X-Amz-Target", "TrentService."+operation)
			in.Request = q
			return next.HandleBuild(ctx, in)
		}), middleware.Before)
	}
}
