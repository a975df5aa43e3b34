package door

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/trace"
)

// start serves a door with one route, POST and GET /v1/echo/{name}, that answers the name and the body.
func start(t *testing.T, c Config) (*Door, *httptest.Server) {
	d := New(c)
	r := d.Router()
	echo := func(w http.ResponseWriter, q *http.Request) {
		body, err := d.ReadBody(w, q)
		if err != nil {
			d.Error(w, q, err)
			return
		}
		defer body.Release()
		d.Answer(w, q, http.StatusOK, 1, 7, map[string]string{"name": mux.Vars(q)["name"], "body": string(body.Bytes)})
	}
	r.Path("/v1/echo/{name}").Handler(d.Methods(map[string]http.HandlerFunc{"GET": echo, "POST": echo}))
	r.Path("/v1/panic").HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret plaintext") })
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server(d.Handler(r), slog.New(slog.DiscardHandler))
	s.Start()
	t.Cleanup(s.Close)
	return d, s
}

// raw sends bytes as they are and returns the answer.
func raw(t *testing.T, s *httptest.Server, request string) (*http.Response, wire.ErrorDetail) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return answer(t, conn)
}

func answer(t *testing.T, r io.Reader) (*http.Response, wire.ErrorDetail) {
	t.Helper()
	got, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		t.Fatal(err)
	}
	var body wire.ErrorBody
	if err := json.NewDecoder(got.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return got, body.Error
}

func get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
}

func TestPaths(t *testing.T) {
	_, s := start(t, Config{})
	tests := map[string]struct {
		path   string
		status int
	}{
		"plain":                      {"/v1/echo/a", 200},
		"escaped slash stays inside": {"/v1/echo/alias%2Fa", 200},
		"dots inside a name":         {"/v1/echo/a..b", 200},
		"three dots":                 {"/v1/echo/...", 200},
		"dot":                        {"/v1/./echo/a", 400},
		"dot dot":                    {"/v1/echo/../echo/a", 400},
		"escaped dot dot":            {"/v1/echo/%2e%2E/echo/a", 400},
		"half escaped":               {"/v1/echo/.%2e", 400},
		"last segment":               {"/v1/echo/..", 400},
		"escaped slash and a quote":  {"/v1/echo/a%2Fb\"", 400},
		"backslash":                  {"/v1/echo/a\\b", 400},
		"escaped backslash":          {"/v1/echo/a%5Cb", 400},
		"NUL":                        {"/v1/echo/a%00", 400},
		"newline":                    {"/v1/echo/a%0a", 400},
		"bad UTF-8":                  {"/v1/echo/%ff", 400},
		"double slash":               {"/v1//echo/a", 404},
		"trailing slash":             {"/v1/echo/a/", 404},
		"nothing there":              {"/v1/nothing", 404},
		"root":                       {"/", 404},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, e := raw(t, s, get(tt.path))
			if got.StatusCode != tt.status {
				t.Fatalf("%s: got %d %+v", tt.path, got.StatusCode, e)
			}
			if got.Header.Get("Location") != "" {
				t.Error("a redirect was sent")
			}
			if len(got.Header.Get(wire.HeaderRequestID)) != 36 || got.Header.Get(wire.HeaderIndex) == "" {
				t.Errorf("headers %v", got.Header)
			}
			if tt.status != 200 && (e.RequestID != got.Header.Get(wire.HeaderRequestID) || e.Message == "") {
				t.Errorf("error %+v", e)
			}
		})
	}
}

// OPTIONS * is answered as any other request is, and not by net/http.
func TestGeneralOptions(t *testing.T) {
	_, s := start(t, Config{})
	got, e := raw(t, s, strings.Replace(get("*"), "GET", "OPTIONS", 1))
	if got.StatusCode != 404 || e.RequestID == "" || e.RequestID != got.Header.Get(wire.HeaderRequestID) {
		t.Errorf("got %d %+v", got.StatusCode, e)
	}
}

// What net/http cannot read is answered by net/http and never reaches the door.
func TestUnreadable(t *testing.T) {
	_, s := start(t, Config{})
	for _, request := range []string{get("/v1/echo/%zz"), post("Content-Length: 1\r\nContent-Length: 2", "{}"), post("X-A: a\x01b", "")} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		got, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || got.StatusCode != 400 || got.Header.Get(wire.HeaderRequestID) != "" || !got.Close {
			t.Errorf("%q: %+v, %v", request, got, err)
		}
		conn.Close()
	}
}

func TestMethods(t *testing.T) {
	_, s := start(t, Config{})
	got, e := raw(t, s, strings.Replace(get("/v1/echo/a"), "GET", "PATCH", 1))
	if got.StatusCode != 405 || e.Code != kms.CodeMethodNotAllowed || got.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("got %d %+v, Allow %q", got.StatusCode, e, got.Header.Get("Allow"))
	}
	head, err := http.Head(s.URL + "/v1/echo/a")
	if err != nil || head.StatusCode != 200 {
		t.Errorf("HEAD: %v %v", head, err)
	}
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	want := map[kms.Class]int{kms.ClassInvalid: 400, kms.ClassUnauthenticated: 401, kms.ClassDenied: 403, kms.ClassNotFound: 404,
		kms.ClassMethod: 405, kms.ClassState: 409, kms.ClassPrecondition: 412, kms.ClassTooLarge: 413, kms.ClassThrottled: 429,
		kms.ClassInternal: 500, kms.ClassUnavailable: 503, kms.ClassUnknown: 504}
	d := New(Config{Index: func() (uint64, uint64) { return 3, 9 }})
	for _, code := range kms.Codes() {
		w := httptest.NewRecorder()
		q := httptest.NewRequest("GET", "/", nil)
		h := d.Handler(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			d.Error(w, q, fmt.Errorf("wrapped: %w", &kms.Error{Code: code, Message: "A sentence.", RetryAfter: 1500 * time.Millisecond}))
		}))
		h.ServeHTTP(w, q)
		var body wire.ErrorBody
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		e := body.Error
		if w.Code != want[code.Class()] || e.Code != code || e.Message != "A sentence." || e.RequestID != w.Header().Get(wire.HeaderRequestID) {
			t.Errorf("%s: %d %+v", code, w.Code, e)
		}
		later := w.Code == 503 || w.Code == 429
		if later != (w.Header().Get("Retry-After") == "2") {
			t.Errorf("%s: Retry-After %q", code, w.Header().Get("Retry-After"))
		}
		if (w.Code == 503) != (e.Reason == string(code)) {
			t.Errorf("%s: reason %q", code, e.Reason)
		}
		if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s: WWW-Authenticate %q", code, w.Header().Get("WWW-Authenticate"))
		}
		if w.Header().Get(wire.HeaderIndex) != "3.9" || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", code, w.Header())
		}
	}
}

func TestForeignErrorTellsNothing(t *testing.T) {
	var log bytes.Buffer
	d := New(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w := httptest.NewRecorder()
	d.Error(w, httptest.NewRequest("GET", "/", nil), errors.New("open /var/lib/x: permission denied"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "/var/lib") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "/var/lib") {
		t.Error("the cause is not in the log")
	}
}

// naming is a log handler that writes which request a line is for.
type naming struct{ slog.Handler }

func (h naming) Handle(ctx context.Context, r slog.Record) error {
	of := trace.From(ctx)
	r.AddAttrs(slog.String("request", of.ID), slog.String("trace", of.Trace.String()))
	return h.Handler.Handle(ctx, r)
}

// Of a request's traceparent lines are named, too; one that is malformed or comes twice is as good as none.
func TestTraceIsTakenIn(t *testing.T) {
	const traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for header, want := range map[string]bool{
		"": false, "Traceparent: " + traced + "\r\n": true, "TRACEPARENT: " + traced + "\r\ntracestate: a=b\r\n": true,
		"Traceparent: " + traced + "-x\r\n": false, "Traceparent: " + traced + "\r\nTraceparent: " + traced + "\r\n": false,
	} {
		var log bytes.Buffer
		_, s := start(t, Config{Logger: slog.New(naming{slog.NewTextHandler(&log, nil)})})
		_, e := raw(t, s, strings.Replace(get("/v1/panic"), "\r\n", "\r\n"+header, 1))
		if got := log.String(); strings.Contains(got, "trace=4bf92f3577b34da6a3ce929d0e0e4736") != want || !strings.Contains(got, "request="+e.RequestID) {
			t.Errorf("%q: %.300s", header, got)
		}
	}
}

func TestPanicIsAnswered(t *testing.T) {
	var log bytes.Buffer
	_, s := start(t, Config{Logger: slog.New(naming{slog.NewTextHandler(&log, nil)})})
	got, e := raw(t, s, get("/v1/panic"))
	if got.StatusCode != 500 || e.Code != kms.CodeInternal {
		t.Errorf("%d %+v", got.StatusCode, e)
	}
	if !strings.Contains(log.String(), e.RequestID) || strings.Contains(log.String(), "secret plaintext") {
		t.Errorf("log: %s", log.String())
	}
}

func post(length string, body string) string {
	return "POST /v1/echo/a HTTP/1.1\r\nHost: x\r\n" + length + "\r\n\r\n" + body
}

func TestSlowSender(t *testing.T) {
	_, s := start(t, Config{BodyTimeout: 30 * time.Millisecond})
	got, e := raw(t, s, post("Content-Length: 1000", `{"plaintext":`))
	if got.StatusCode != 400 || e.Code != kms.CodeInvalidRequest || !strings.Contains(e.Message, "30ms") {
		t.Errorf("%d %+v", got.StatusCode, e)
	}
}

// A handler may take longer than the body timeout: the deadline ends with the body.
func TestBodyDeadlineEnds(t *testing.T) {
	d := New(Config{BodyTimeout: 20 * time.Millisecond})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := d.ReadBody(w, q)
		if err != nil {
			d.Error(w, q, err)
			return
		}
		defer body.Release()
		select {
		case <-q.Context().Done():
			d.Error(w, q, kms.Errorf(kms.CodeInternal, "The request was cancelled."))
		case <-time.After(100 * time.Millisecond):
			d.Answer(w, q, 200, 0, 0, kms.Empty{})
		}
	}))
	defer s.Close()
	got, err := http.Post(s.URL, "application/json", strings.NewReader("{}"))
	if err != nil || got.StatusCode != 200 {
		t.Errorf("%v %v", got, err)
	}
}

func TestBodyCutShort(t *testing.T) {
	_, s := start(t, Config{})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, post("Content-Length: 1000", "{}"))
	conn.(*net.TCPConn).CloseWrite()
	if got, e := answer(t, conn); got.StatusCode != 400 || e.Code != kms.CodeInvalidRequest {
		t.Errorf("%d %+v", got.StatusCode, e)
	}
}

// endless is a body that counts what is read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	return len(p), nil
}

func TestBodyLimit(t *testing.T) {
	d, s := start(t, Config{BodyLimit: 1 << 20})
	t.Run("announced", func(t *testing.T) {
		got, e := raw(t, s, post("Content-Length: 10485760", ""))
		if got.StatusCode != 413 || e.Code != kms.CodeTooLarge {
			t.Errorf("%d %+v", got.StatusCode, e)
		}
	})
	t.Run("unannounced", func(t *testing.T) {
		body := &endless{}
		q := httptest.NewRequest("POST", "/", body)
		q.ContentLength = -1
		_, err := d.ReadBody(httptest.NewRecorder(), q)
		if kms.CodeOf(err) != kms.CodeTooLarge {
			t.Errorf("got %v", err)
		}
		if body.read > 1<<20+1 {
			t.Errorf("%d bytes were read", body.read)
		}
	})
	t.Run("at the limit", func(t *testing.T) {
		body, err := d.ReadBody(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 1<<20))))
		if err != nil || len(body.Bytes) != 1<<20 {
			t.Errorf("%d bytes, %v", len(body.Bytes), err)
		}
		body.Release()
	})
	if len(d.large) != 0 {
		t.Errorf("%d tokens for large bodies are not back", len(d.large))
	}
}

func TestFewLargeBodiesAtATime(t *testing.T) {
	d := New(Config{LargeBodies: 1})
	read := func(n int) (Body, error) {
		return d.ReadBody(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", n))))
	}
	first, err := read(100 << 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(100 << 10); kms.CodeOf(err) != kms.CodeThrottled {
		t.Errorf("a second large body: %v", err)
	}
	small, err := read(63 << 10)
	if err != nil {
		t.Errorf("a small body: %v", err)
	}
	small.Release()
	first.Release()
	again, err := read(100 << 10)
	if err != nil {
		t.Errorf("after release: %v", err)
	}
	again.Release()
}

func TestReleaseWipes(t *testing.T) {
	d := New(Config{})
	body, err := d.ReadBody(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(`{"plaintext":"c2VjcmV0"}`)))
	if err != nil {
		t.Fatal(err)
	}
	seen := body.Bytes
	body.Release()
	if !bytes.Equal(seen, make([]byte, len(seen))) {
		t.Errorf("the body is still there: %q", seen)
	}
	body.Release() // a second time does nothing
}

func TestRequestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newRequestID()
		if len(id) != 36 || id[14] != '4' || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func TestHost(t *testing.T) {
	for addr, want := range map[string]string{"10.0.0.1:4711": "10.0.0.1", "[::1]:80": "::1", "pipe": "pipe"} {
		if got := Host(&http.Request{RemoteAddr: addr}); got != want {
			t.Errorf("%q: got %q", addr, got)
		}
	}
}
