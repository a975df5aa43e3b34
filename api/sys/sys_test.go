package sys

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
)

// fake is a Node that keeps what it was asked.
type fake struct {
	health  Health
	status  SealStatus
	err     error
	who     Caller
	init    *InitRequest
	share   string
	cluster bool
	attempt string
	bearer  string
	refused []string // routes
	counted []string // as refused: door and code
	cert    *x509.Certificate
	enter   chan struct{} // when set, Unseal sends here and waits for leave
	leave   chan struct{}
}

func (f *fake) Health() Health         { return f.health }
func (f *fake) SealStatus() SealStatus { return f.status }

func (f *fake) Init(_ context.Context, who Caller, r *InitRequest) (*InitAnswer, error) {
	f.who, f.init = who, r
	return &InitAnswer{Shares: []kms.SensitiveString{"s1", "s2"}, AccessKeyID: "AKIA", SecretAccessKey: "secret"}, f.err
}

func (f *fake) Unseal(_ context.Context, who Caller, share string, cluster bool, attempt string) (*UnsealAnswer, error) {
	if f.enter != nil {
		f.enter <- struct{}{}
		<-f.leave
	}
	f.who, f.share, f.cluster, f.attempt = who, share, cluster, attempt
	return &UnsealAnswer{SealStatus: f.status, AttemptID: "id-of-the-attempt"}, f.err
}

func (f *fake) Refuse(_ context.Context, who Caller, name string, err error) error {
	f.who, f.refused = who, append(f.refused, name)
	return err
}

func (f *fake) CancelUnseal(_ context.Context, who Caller, attempt string) error {
	f.who, f.attempt = who, attempt
	return f.err
}

func (f *fake) SealedMembers(_ context.Context, who Caller, chain []*x509.Certificate) (*kms.MembersAnswer, error) {
	f.who, f.cert = who, chain[0]
	return &kms.MembersAnswer{Members: []kms.Member{{Name: "node-0"}}}, f.err
}

// serve mounts the door, and after it a route as the REST door has it.
func serve(f *fake, log io.Writer) http.Handler {
	d := door.New(door.Config{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Index: func() (uint64, uint64) { return 1, 9 }, Refused: func(of string, code kms.Code) { f.counted = append(f.counted, of+" "+string(code)) }})
	r := d.Router()
	New(Config{Node: f, Door: d, Concurrency: 1, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "lockstep_sealed 1\n") }),
		MayScrape: func(bearer string) error { f.bearer = bearer; return f.err }}).Mount(r)
	r.Path("/v1/sys/members").Handler(d.Methods(map[string]http.HandlerFunc{"GET": func(w http.ResponseWriter, q *http.Request) {
		d.Answer(w, q, http.StatusTeapot, 0, 0, "the REST door")
	}}))
	return d.Handler(r)
}

func request(method, target, body string) *http.Request {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	q := httptest.NewRequest(method, target, r)
	q.RemoteAddr = "127.0.0.1:50000"
	return q
}

func do(f *fake, q *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	serve(f, io.Discard).ServeHTTP(w, q)
	return w
}

func TestHealth(t *testing.T) {
	tests := map[string]struct {
		health Health
		status int
	}{
		"serving":         {Health{Initialized: true, CanServeCrypto: true, CanWrite: true, Name: "node-0", AppliedIndex: 5, LagSeconds: 0.25, FIPS: true}, 200},
		"no quorum":       {Health{Initialized: true, CanServeCrypto: true, Reason: "no_quorum"}, 200},
		"not initialized": {Health{Sealed: true, Reason: "not_initialized"}, 501},
		"sealed":          {Health{Initialized: true, Sealed: true, Reason: "sealed"}, 503},
		"no lease":        {Health{Initialized: true, Reason: "no_lease"}, 503},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := do(&fake{health: tt.health}, request("GET", "/v1/sys/health", ""))
			var got Health
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != tt.status || got != tt.health {
				t.Errorf("%d %s %v", w.Code, w.Body, err)
			}
			if (w.Code == 503) != (w.Header().Get("Retry-After") != "") || w.Header().Get(wire.HeaderIndex) != "1.9" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
	w := do(&fake{health: tests["serving"].health}, request("GET", "/v1/sys/health", ""))
	const want = `{"initialized":true,"sealed":false,"leader":false,"leader_name":"","can_serve_crypto":true,"can_write":true,"reason":"","applied_index":5,"lag_seconds":0.25,"version":"","name":"node-0","fips":true}`
	if w.Body.String() != want+"\n" {
		t.Errorf("got %s", w.Body)
	}
}

func TestSealStatus(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := do(&fake{status: SealStatus{Initialized: true, Sealed: true, Threshold: 3, Shares: 5, Progress: 1, AttemptLabel: "7QFX", ExpiresAt: &at}},
		request("GET", "/v1/sys/seal-status", ""))
	const want = `{"initialized":true,"sealed":true,"threshold":3,"shares":5,"progress":1,"attempt_label":"7QFX","expires_at":"2026-01-02T03:04:05Z"}`
	if w.Code != 200 || w.Body.String() != want+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestInit(t *testing.T) {
	f := &fake{}
	w := do(f, request("POST", "/v1/sys/init", `{"shares":5,"threshold":3,"init_token":"token","again":true,"recipients":["age1x"]}`))
	if w.Code != 200 || w.Body.String() != `{"shares":["s1","s2"],"access_key_id":"AKIA","secret_access_key":"secret"}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if f.init.Shares != 5 || f.init.Threshold != 3 || f.init.InitToken != "token" || !f.init.Again || len(f.init.Recipients) != 1 {
		t.Errorf("%d %d %v %v", f.init.Shares, f.init.Threshold, f.init.Again, f.init.Recipients)
	}
}

func TestWhoIsLocal(t *testing.T) {
	tests := map[string]struct {
		addr, header string
		local        bool
	}{
		"IPv4 loopback":          {"127.0.0.1:1", "", true},
		"another loopback":       {"127.8.8.8:1", "", true},
		"IPv6 loopback":          {"[::1]:1", "", true},
		"mapped loopback":        {"[::ffff:127.0.0.1]:1", "", true},
		"elsewhere":              {"192.0.2.1:1", "", false},
		"no address":             {"@", "", false},
		"through a proxy":        {"127.0.0.1:1", "X-Forwarded-For", false},
		"through another proxy":  {"127.0.0.1:1", "Forwarded", false},
		"from a page in browser": {"127.0.0.1:1", "Origin", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			q := request("POST", "/v1/sys/init", `{"shares":1,"threshold":1}`)
			q.RemoteAddr = tt.addr
			if tt.header != "" {
				q.Header.Set(tt.header, "127.0.0.1")
			}
			do(f, q)
			if f.who.Loopback != tt.local {
				t.Errorf("%+v", f.who)
			}
		})
	}
}

// TestWhoCalled: the node learns who called and under which id, for its audit records.
func TestWhoCalled(t *testing.T) {
	for _, q := range []*http.Request{
		request("POST", "/v1/sys/init", `{"shares":5,"threshold":3}`),
		request("POST", "/v1/sys/unseal", `{"share":"x"}`),
		request("DELETE", "/v1/sys/unseal?attempt=x", ""),
	} {
		f := &fake{}
		q.Header.Set("User-Agent", "agent/1")
		w := do(f, q)
		if id := w.Header().Get(wire.HeaderRequestID); f.who != (Caller{Addr: "127.0.0.1", Loopback: true, RequestID: id, UserAgent: "agent/1", Host: "example.com"}) || id == "" {
			t.Errorf("%s: %+v", q.URL, f.who)
		}
	}
}

func TestUnseal(t *testing.T) {
	f := &fake{status: SealStatus{Initialized: true, Sealed: true, Threshold: 3, Shares: 5, Progress: 1}}
	w := do(f, request("POST", "/v1/sys/unseal", `{"share":"lockstep1abc","cluster":true,"attempt_id":"x"}`))
	const want = `{"initialized":true,"sealed":true,"threshold":3,"shares":5,"progress":1,"attempt_id":"id-of-the-attempt"}`
	if w.Code != 200 || w.Body.String() != want+"\n" || f.share != "lockstep1abc" || !f.cluster || f.attempt != "x" {
		t.Errorf("%d %s %+v", w.Code, w.Body, f)
	}
}

func TestCancel(t *testing.T) {
	f := &fake{status: SealStatus{Initialized: true, Sealed: true}}
	if w := do(f, request("DELETE", "/v1/sys/unseal?attempt=abc", "")); w.Code != 200 || f.attempt != "abc" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, query := range []string{"", "?attempt=", "?attempt=a&attempt=b"} {
		if w := do(&fake{}, request("DELETE", "/v1/sys/unseal"+query, "")); w.Code != 400 {
			t.Errorf("%q: %d", query, w.Code)
		}
	}
}

func TestEveryCodeIsAnswered(t *testing.T) {
	for _, code := range kms.Codes() {
		f := &fake{err: &kms.Error{Code: code, Message: "A sentence."}}
		for _, q := range []*http.Request{
			request("POST", "/v1/sys/init", `{"shares":5,"threshold":3}`),
			request("POST", "/v1/sys/unseal", `{"share":"x"}`),
			request("DELETE", "/v1/sys/unseal?attempt=x", ""),
			request("DELETE", "/v1/sys/unseal", ""), // not understood
			request("GET", "/metrics", ""),
		} {
			f.counted = nil
			w := do(f, q)
			want := code
			if q.Method == "DELETE" && q.URL.RawQuery == "" {
				want = kms.CodeInvalidRequest
			}
			if len(f.counted) != 1 || f.counted[0] != "sys "+string(want) {
				t.Errorf("%s %s is counted as %q", q.URL, code, f.counted)
			}
			var body wire.ErrorBody
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != door.Status(want) || body.Error.Code != want {
				t.Errorf("%s %s: %d %s", q.URL, code, w.Code, w.Body)
			}
		}
	}
}

// A sealed node answers an operator's certificate; everything else is the REST door's.
func TestMembersWhileSealed(t *testing.T) {
	cert := &x509.Certificate{Raw: []byte("cert")}
	shown := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	tests := map[string]struct {
		sealed bool
		tls    *tls.ConnectionState
		auth   string
		here   bool
	}{
		"sealed, certificate":                {true, shown, "", true},
		"sealed, certificate and access key": {true, shown, "Basic eDp5", false},
		"sealed, no certificate":             {true, &tls.ConnectionState{}, "", false},
		"sealed, no TLS":                     {true, nil, "", false},
		"unsealed, certificate":              {false, shown, "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{status: SealStatus{Sealed: tt.sealed}}
			q := request("GET", "/v1/sys/members", "")
			q.TLS = tt.tls
			if tt.auth != "" {
				q.Header.Set("Authorization", tt.auth)
			}
			w := do(f, q)
			if here := w.Code == 200 && f.cert == cert; here != tt.here {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if !tt.here && w.Code != http.StatusTeapot {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	tests := map[string]struct {
		method, target, body string
		status               int
	}{
		"not JSON":         {"POST", "/v1/sys/unseal", "lockstep1abc", 400},
		"unknown member":   {"POST", "/v1/sys/unseal", `{"share":"x","key":"y"}`, 400},
		"duplicate member": {"POST", "/v1/sys/unseal", `{"share":"x","share":"y"}`, 400},
		"10 MB":            {"POST", "/v1/sys/unseal", `{"share":"` + strings.Repeat("x", 10<<20) + `"}`, 413},
		"wrong method":     {"PUT", "/v1/sys/unseal", `{}`, 405},
		"init by GET":      {"GET", "/v1/sys/init", ``, 405},
		"no such path":     {"GET", "/v1/sys/nothing", ``, 404},
		"dot segment":      {"GET", "/v1/sys/./health", ``, 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			if w := do(f, request(tt.method, tt.target, tt.body)); w.Code != tt.status || f.share != "" || f.init != nil {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// Whatever goes wrong, what was submitted is neither in the log nor in the answer.
func TestSecretsStayOut(t *testing.T) {
	const canary = "lockstep1canarycanarycanary"
	for _, body := range []string{`{"share":"` + canary + `"}`, `{"share":"` + canary + `","x":1}`, `{"share":["` + canary + `"]}`,
		`{"share":"` + canary, canary} {
		var log bytes.Buffer
		w := httptest.NewRecorder()
		f := &fake{err: kms.AsError(io.ErrUnexpectedEOF)}
		serve(f, &log).ServeHTTP(w, request("POST", "/v1/sys/unseal", body))
		if strings.Contains(w.Body.String(), "canarycanary") || strings.Contains(log.String(), "canarycanary") {
			t.Errorf("%s: answered %s, logged %s", body, w.Body, log.String())
		}
	}
}

// Health is answered while every place for a body is taken.
func TestHealthBesideBusyUnseal(t *testing.T) {
	f := &fake{health: Health{Initialized: true, CanServeCrypto: true}, enter: make(chan struct{}), leave: make(chan struct{})}
	h := serve(f, io.Discard)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(httptest.NewRecorder(), request("POST", "/v1/sys/unseal", `{"share":"x"}`))
	}()
	<-f.enter
	for target, want := range map[string]int{"/v1/sys/health": 200, "/v1/sys/seal-status": 200} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, request("GET", target, "")); w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, request("POST", "/v1/sys/unseal", `{"share":"y"}`)); w.Code != 429 || !slices.Equal(f.refused, []string{wire.Unseal}) {
		t.Errorf("a second unseal: %d, recorded %v", w.Code, f.refused)
	}
	close(f.leave)
	<-done
}

// told is a body that tells when it is read and ends when the test lets it.
type told struct{ reading, end chan struct{} }

func (b *told) Read([]byte) (int, error) {
	b.reading <- struct{}{}
	<-b.end
	return 0, io.EOF
}

// Senders who never finish their bodies keep nobody from unsealing and initializing.
func TestSlowSendersTakeNoPlace(t *testing.T) {
	b := &told{reading: make(chan struct{}), end: make(chan struct{})}
	h := serve(&fake{}, io.Discard) // serves one at a time
	var slow sync.WaitGroup
	for _, path := range []string{"/v1/sys/unseal", "/v1/sys/init", "/v1/sys/unseal"} {
		slow.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", path, b)) })
		select {
		case <-b.reading:
		case <-time.After(20 * time.Second):
			t.Fatal("a body is not read: its request was refused before")
		}
	}
	for path, body := range map[string]string{"/v1/sys/unseal": `{"share":"s"}`, "/v1/sys/init": `{"shares":1,"threshold":1}`} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("POST", path, body))
		if w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	close(b.end)
	slow.Wait()
}
