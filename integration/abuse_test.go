package integration

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
)

// sources lets a policy ask where a request comes from: what a proxy says counts at the node that trusts the proxy.
func (r *realm) sources(t *testing.T) {
	key := r.newUser(t, r.root(0), "local", kms.PolicyDocument(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*",
		"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}}`))
	local := credentials{id: key.AccessKey.AccessKeyID, secret: string(key.SecretAccessKey)}
	for _, tt := range []struct {
		node      int
		forwarded []string
		want      int
	}{
		{0, []string{"192.0.2.7"}, http.StatusOK},
		{0, []string{"203.0.113.1, 192.0.2.7"}, http.StatusOK},
		{0, []string{"203.0.113.1", "192.0.2.7"}, http.StatusOK},
		{0, []string{"192.0.2.7, 203.0.113.1"}, http.StatusForbidden}, // the client claims, the proxy saw
		{0, []string{"192.0.2.7", "203.0.113.1"}, http.StatusForbidden},
		{0, []string{"192.0.2.7, nonsense"}, http.StatusForbidden},
		{0, nil, http.StatusForbidden},
		{1, []string{"192.0.2.7"}, http.StatusForbidden}, // nobody is trusted there
		{2, nil, http.StatusForbidden},
	} {
		q := request{method: "GET", path: "/v1/keys/" + r.key, header: http.Header{"X-Forwarded-For": tt.forwarded}}
		if a := local.basic(t, r.c.Nodes[tt.node], q); a.status != tt.want {
			t.Errorf("node %d, forwarded for %q: %d %s", tt.node, tt.forwarded, a.status, a.Message)
		}
	}
}

// names asks for users by what is almost a name: letters of another case name the same user, with the same rights;
// everything else names nobody.
func (r *realm) names(t *testing.T) {
	n := r.c.Nodes[1]
	key := r.newUser(t, r.root(0), "reader", kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"},
		{"Effect":"Deny","Action":"iam:GetUser","Resource":"arn:aws:iam::`+r.account+`:user/ann"}]}`))
	reader := credentials{id: key.AccessKey.AccessKeyID, secret: string(key.SecretAccessKey)}
	for name, want := range map[string]int{
		"eve": http.StatusOK, "EVE": http.StatusOK, "ann": http.StatusForbidden, "ANN": http.StatusForbidden, "aNn": http.StatusForbidden,
		"ann ": http.StatusBadRequest, " ann": http.StatusBadRequest, "ann\u00a0": http.StatusBadRequest, "a\u017fe": http.StatusBadRequest, "ann/": http.StatusBadRequest,
		"e*": http.StatusBadRequest, "ev?": http.StatusBadRequest, "*": http.StatusBadRequest, "../eve": http.StatusBadRequest, "user/eve": http.StatusBadRequest, "ann\x00": http.StatusBadRequest,
	} {
		if a := reader.send(t, n, request{method: "GET", path: "/v1/users/" + url.PathEscape(name)}); a.status != want {
			t.Errorf("getting %q: %d %s", name, a.status, a.Message)
		}
	}
	for name, want := range map[string]int{"ANN": http.StatusConflict, "ann ": http.StatusBadRequest, "\tann": http.StatusBadRequest, "a*": http.StatusBadRequest,
		"a?n": http.StatusBadRequest, "${aws:username}": http.StatusBadRequest, "": http.StatusBadRequest, kms.RootName: http.StatusBadRequest} {
		for _, kind := range []string{"users", "groups", "roles", "policies"} {
			if name == "ANN" && kind != "users" {
				continue
			}
			body := `{"name":` + quoted(name) + `,"policy_document":` + allowsNone + `}`
			switch kind {
			case "users", "groups":
				body = `{"name":` + quoted(name) + `}`
			case "roles":
				body = `{"name":` + quoted(name) + `,"assume_role_policy_document":` + string(trusting("sts:AssumeRole", `"*"`)) + `}`
			}
			if a := r.byRoot.send(t, n, request{method: "POST", path: "/v1/" + kind, body: body}); a.status != want {
				t.Errorf("creating %q in %s: %d %s", name, kind, a.status, a.Message)
			}
		}
	}
	for _, arn := range []string{"arn:aws:iam::" + r.account + ":policy/*", "arn:aws:iam::*:policy/use", "arn:aws:iam::" + r.account + ":policy//use", "arn:aws:iam::" + r.account + ":policy/a/../use"} {
		if a := r.byRoot.send(t, n, request{method: "POST", path: "/v1/users/eve/attach-user-policy", body: `{"policy_arn":` + quoted(arn) + `}`}); a.Code != kms.CodeInvalidARN {
			t.Errorf("attaching %s: %d %s", arn, a.status, a.Message)
		}
	}
}

// quoted is a JSON string of s, which has no quotes.
func quoted(s string) string { return `"` + strings.ReplaceAll(s, "\t", `\t`) + `"` }

// paths asks for a path that others may take for another one, with a signature that is right for what was sent.
func (r *realm) paths(t *testing.T) {
	n := r.c.Nodes[2]
	for _, path := range []string{"/v1/users/../keys", "/v1/users/%2e%2e/keys", "/v1/users/%2E./keys", "/v1/./users", "/v1/users/.", "/v1/users/%2e", "/v1//users", "//v1/users",
		"/v1/users/", "/v1/users//ann", "/v1%2Fusers", "/v1/users/ann/..", "/v1/users/ann%2F..%2Feve", "/v1/users/%252e%252e/keys", "/v1/users\\..\\keys", "/V1/users", "/v1/users;a=b"} {
		a := r.byRoot.send(t, n, request{method: "GET", path: path})
		if a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized && a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// schemes presents identities in ways that are not to be accepted.
func (r *realm) schemes(t *testing.T) {
	n := r.c.Nodes[0]
	list := request{method: "GET", path: "/v1/users"}
	basic := func(h *http.Request) { h.Header.Add("Authorization", "Basic eDp5") }
	for what, tt := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"nothing else":             {func(*http.Request) {}, http.StatusOK},
		"Basic, too":               {basic, http.StatusBadRequest},
		"a bearer token, too":      {func(h *http.Request) { h.Header.Add("Authorization", "Bearer "+string(r.session.SessionToken)) }, http.StatusBadRequest},
		"the signature twice":      {func(h *http.Request) { h.Header.Add("Authorization", h.Header.Get("Authorization")) }, http.StatusBadRequest},
		"a signature in the query": {func(h *http.Request) { h.URL.RawQuery = "X-Amz-Signature=00" }, http.StatusBadRequest},
		"an unsigned x-amz header": {func(h *http.Request) { h.Header.Set("X-Amz-Meta", "1") }, http.StatusUnauthorized},
		"an unsigned session":      {func(h *http.Request) { h.Header.Set("X-Amz-Security-Token", string(r.session.SessionToken)) }, http.StatusUnauthorized},
		"an unsigned region":       {func(h *http.Request) { h.Header.Set("Lockstep-Region", "us-east-1") }, http.StatusUnauthorized},
		"another query":            {func(h *http.Request) { h.URL.RawQuery = "limit=1" }, http.StatusUnauthorized},
		"another path":             {func(h *http.Request) { h.URL.Path = "/v1/roles" }, http.StatusUnauthorized},
		"another host":             {func(h *http.Request) { h.Host = "other.example" }, http.StatusUnauthorized},
		"another access key":       {func(h *http.Request) { swap(h, r.byRoot.id, r.ann.AccessKey.AccessKeyID) }, http.StatusUnauthorized},
		"another day": {func(h *http.Request) {
			h.Header.Set("X-Amz-Date", time.Now().Add(-24*time.Hour).UTC().Format("20060102T150405Z"))
		}, http.StatusUnauthorized},
	} {
		q := list
		q.change = tt.change
		if a := r.byRoot.send(t, n, q); a.status != tt.want {
			t.Errorf("a signature and %s: %d %s", what, a.status, a.Message)
		}
	}
	h := list.unsigned(t, n)
	by := aws.Credentials{AccessKeyID: r.byRoot.id, SecretAccessKey: r.byRoot.secret}
	signed, _, err := v4.NewSigner().PresignHTTP(h.Context(), by, h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "kms", "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if h.URL, err = url.Parse(signed); err != nil {
		t.Fatal(err)
	}
	if a := send(t, h); a.status != http.StatusBadRequest {
		t.Errorf("a presigned URL: %d %s", a.status, a.Message)
	}
}

func swap(h *http.Request, old, with string) {
	h.Header.Set("Authorization", strings.Replace(h.Header.Get("Authorization"), old, with, 1))
}

// replays sends signed changes again: each is made once, whoever sends the copy and wherever to.
func (r *realm) replays(t *testing.T) {
	create := request{method: "POST", path: "/v1/keys", body: `{"description":"signed"}`}
	first := r.byRoot.sign(t, r.c.Nodes[0], create)
	made, err := send(t, first).created()
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*http.Request){
		"as it was":                  func(*http.Request) {},
		"as an invocation of an SDK": func(h *http.Request) { h.Header.Set("Amz-Sdk-Invocation-Id", "4711") },
		"from somewhere else":        func(h *http.Request) { h.Header.Set("X-Forwarded-For", "192.0.2.7") },
		"with the parts in another order": func(h *http.Request) {
			name, parts, _ := strings.Cut(h.Header.Get("Authorization"), " ")
			all := strings.Split(parts, ", ")
			h.Header.Set("Authorization", name+" "+all[2]+" , "+all[0]+","+all[1])
		},
	} {
		for _, n := range r.c.Nodes {
			if key, err := send(t, copyOf(t, n, first, create.body, change)).created(); err != nil || key != made {
				t.Errorf("%s, sent again %s: it made %q, %v", n.Name, what, key, err)
			}
		}
	}
	for what, change := range map[string]func(*http.Request){
		"an idempotency key": func(h *http.Request) { h.Header.Set("Idempotency-Key", "another") },
		"another body": func(h *http.Request) {
			h.Body, h.ContentLength = io.NopCloser(strings.NewReader(`{}`)), 2
		},
		"another signature": func(h *http.Request) {
			h.Header.Set("Authorization", h.Header.Get("Authorization")[:len(h.Header.Get("Authorization"))-1]+"g")
		},
	} {
		if a := send(t, copyOf(t, r.c.Nodes[1], first, create.body, change)); a.status != http.StatusUnauthorized {
			t.Errorf("sent again with %s: %d %s", what, a.status, a.body)
		}
	}

	create.header = http.Header{"Amz-Sdk-Invocation-Id": {"0b6f6b1e-5b1c-4d0e-8d63-2d0a1c5a9f10"}}
	one, err := r.byRoot.send(t, r.c.Nodes[0], create).created()
	if err != nil || one == made {
		t.Errorf("another request made %q, %v", one, err)
	}
	create.header.Set("Amz-Sdk-Request", "attempt=2; max=3") // signed anew, as SDKs do
	two, err := r.byRoot.send(t, r.c.Nodes[1], create).created()
	if err != nil || two != one {
		t.Errorf("the SDK's second attempt made %q, the first %q, %v", two, one, err)
	}
	create.body = `{"description":"not what it was"}`
	if a := r.byRoot.send(t, r.c.Nodes[1], create); a.Code != kms.CodeIdempotencyMismatch {
		t.Errorf("another request of one invocation: %d %s", a.status, a.Message)
	}
}

// copyOf is a copy of a signed request as somebody sends it who has seen it, with a change.
func copyOf(t *testing.T, n *cluster.Node, first *http.Request, body string, change func(*http.Request)) *http.Request {
	t.Helper()
	h := request{method: first.Method, path: first.URL.Path, body: body, header: first.Header}.unsigned(t, n)
	h.Host = first.URL.Host
	change(h)
	return h
}

// tokens presents session tokens that are not quite one.
func (r *realm) tokens(t *testing.T) {
	token := string(r.session.SessionToken)
	middle := len(token) / 2
	flipped := "A"
	if token[middle] == 'A' {
		flipped = "B"
	}
	bearer := func(n *cluster.Node, token string) answer {
		h := request{method: "POST", path: "/v1/keys/" + r.key + "/encrypt", body: `{"plaintext":"eA=="}`}.unsigned(t, n)
		h.Header.Set("Authorization", "Bearer "+token)
		return send(t, h)
	}
	if a := bearer(r.c.Nodes[0], token); a.status != http.StatusOK {
		t.Fatalf("the token itself: %d %s", a.status, a.Message)
	}
	next := 0
	for what, wrong := range map[string]string{"flipped": token[:middle] + flipped + token[middle+1:], "cut off": token[:len(token)-1], "longer": token + "A",
		"in upper case": strings.ToUpper(token), "padded": token + "=", "in two": token[:middle] + " " + token[middle:], "none": "",
		"an access key's secret": string(r.ann.SecretAccessKey), "a session's secret": string(r.session.SecretAccessKey)} {
		n := r.c.Nodes[next%len(r.c.Nodes)] // by turns: each node delays its answers to a source that fails too often
		if a := bearer(n, wrong); a.status != http.StatusUnauthorized {
			t.Errorf("%s, a token %s: %d %s", n.Name, what, a.status, a.Message)
		}
		next++
	}
}
