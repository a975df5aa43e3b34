package oidc

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
)

// TestFetchRefuses has issuers whose answers must not be used. reached counts what the refused
// answer points to: it must never be asked.
func TestFetchRefuses(t *testing.T) {
	reached := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	t.Cleanup(elsewhere.Close)
	type handler = func(w *world, rw http.ResponseWriter, r *http.Request) bool
	document := func(format string) handler {
		return func(w *world, rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == oidctest.DiscoveryPath {
				_, _ = io.WriteString(rw, strings.NewReplacer("ISSUER", w.URL(), "ELSEWHERE", elsewhere.URL).Replace(format))
				return true
			}
			return false
		}
	}
	keys := func(answer string) handler {
		return func(_ *world, rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == oidctest.KeysPath {
				_, _ = io.WriteString(rw, answer)
				return true
			}
			return false
		}
	}
	redirect := func(path, to string) handler {
		return func(w *world, rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == path {
				host := strings.TrimPrefix(w.URL(), "https://")
				http.Redirect(rw, r, strings.NewReplacer("ISSUER", w.URL(), "ELSEWHERE", elsewhere.URL, "HOST", host).Replace(to), http.StatusFound)
				return true
			}
			return false
		}
	}
	at := oidctest.KeysPath
	for name, test := range map[string]struct {
		answer handler
		cause  string // words of the cause, so that a case fails for its own reason
	}{
		"status": {func(_ *world, rw http.ResponseWriter, r *http.Request) bool { return unavailable(rw, r) }, "status 503"},
		"no content": {func(_ *world, rw http.ResponseWriter, _ *http.Request) bool {
			rw.WriteHeader(http.StatusNoContent)
			return true
		}, "status 204"},
		"broken connection": {func(*world, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, "EOF"},
		"oversize discovery": {document(`{"issuer":"ISSUER","jwks_uri":"ISSUER` + at + `","x":"` + strings.Repeat("x", maxDocument) + `"}`),
			"more than 262144 bytes"},
		"another issuer":       {document(`{"issuer":"https://issuer.example","jwks_uri":"ISSUER` + at + `"}`), "another issuer"},
		"issuer with slash":    {document(`{"issuer":"ISSUER/","jwks_uri":"ISSUER` + at + `"}`), "another issuer"},
		"no issuer":            {document(`{"jwks_uri":"ISSUER` + at + `"}`), "another issuer"},
		"issuer twice":         {document(`{"issuer":"x","issuer":"ISSUER","jwks_uri":"ISSUER` + at + `"}`), "JSON"},
		"no jwks_uri":          {document(`{"issuer":"ISSUER"}`), "must be a URL"},
		"jwks_uri no string":   {document(`{"issuer":"ISSUER","jwks_uri":7}`), "must be a URL"},
		"jwks_uri http":        {document(`{"issuer":"ISSUER","jwks_uri":"ELSEWHERE"}`), "https URL"},
		"jwks_uri file":        {document(`{"issuer":"ISSUER","jwks_uri":"file://localhost/etc/passwd"}`), "https URL"},
		"jwks_uri user info":   {document(`{"issuer":"ISSUER","jwks_uri":"https://user:password@issuer.example"}`), "user info"},
		"discovery garbage":    {document(`<html>`), "invalid character"},
		"discovery no object":  {document(`[]`), "JSON"},
		"discovery twice":      {document(`{}{}`), "JSON"},
		"keys garbage":         {keys(`<html>`), "JSON"},
		"keys no list":         {keys(`{"keys":{}}`), "a list"},
		"keys missing":         {keys(`{}`), "a list"},
		"too many keys":        {keys(set(slices.Repeat([]string{"{}"}, maxKeys+1)...)), "at most 64 keys"},
		"oversize keys":        {keys(`{"keys":[]}` + strings.Repeat(" ", maxDocument)), "more than 262144 bytes"},
		"deep keys":            {keys(`{"keys":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`), "JSON"},
		"redirect to http":     {redirect(oidctest.DiscoveryPath, "ELSEWHERE"), "another host"},
		"redirect to host":     {redirect(oidctest.DiscoveryPath, "https://issuer.example/"), "another host"},
		"redirect with user":   {redirect(oidctest.DiscoveryPath, "//user@HOST/"), "user info"},
		"redirect of keys":     {redirect(at, "ELSEWHERE"), "another host"},
		"redirect to own http": {redirect(at, "http://HOST/"), "another host"},
		"redirect for ever":    {redirect(at, "ISSUER"+at), "more than 3 redirects"},
		"redirect four times": {func(_ *world, rw http.ResponseWriter, r *http.Request) bool {
			return hops(rw, r, maxRedirects+1)
		}, "more than 3 redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, oidctest.New(t))
			w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool { return test.answer(w, rw, r) })
			err := w.verify(w.Token(good()))
			wantFailure(t, err, Unreachable)
			if cause := errors.Unwrap(err); cause == nil || !strings.Contains(cause.Error(), test.cause) {
				t.Errorf("cause %v, want %q", cause, test.cause)
			}
		})
	}
	if reached != 0 {
		t.Errorf("%d requests went elsewhere", reached)
	}
}

// hops redirects the keys n times on the same host before it lets them be served.
func hops(rw http.ResponseWriter, r *http.Request, n int) bool {
	if r.URL.Path != oidctest.KeysPath || r.URL.RawQuery == strings.Repeat("x", n) {
		return false
	}
	http.Redirect(rw, r, oidctest.KeysPath+"?"+r.URL.RawQuery+"x", http.StatusFound)
	return true
}

func TestFetchRedirects(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool { return hops(rw, r, maxRedirects) })
	w.accepts(t, w.Token(good()))
}

// TestFetchElsewhere has the keys on another host than the issuer, as Google has them.
func TestFetchElsewhere(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	elsewhere := oidctest.New(t) // httptest servers share one certificate
	elsewhere.SetNow(w.clock.Now)
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == oidctest.DiscoveryPath {
			_, _ = fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, w.URL(), elsewhere.URL()+oidctest.KeysPath+"?p=policy")
			return true
		}
		return false
	})
	w.refuses(t, w.Token(good()), Signature) // both have a key of that id
	w.provider.Audiences = []string{audience}
	w.accepts(t, elsewhere.Token(with("iss", w.URL())))
	if elsewhere.Requests(oidctest.DiscoveryPath) != 0 || elsewhere.Requests(oidctest.KeysPath) != 1 {
		t.Error("the keys were not fetched from where the document says")
	}
}

func TestFetchPath(t *testing.T) {
	for _, path := range []string{"/realms/a", "/realms/a/"} {
		w := newWorld(t, oidctest.New(t))
		issuer := w.URL() + path
		w.provider.Issuer = issuer
		w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/realms/a"+oidctest.DiscoveryPath {
				_, _ = fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, issuer, w.URL()+oidctest.KeysPath)
				return true
			}
			return false
		})
		w.accepts(t, w.Token(with("iss", issuer)))
	}
}

func TestFetchDeadServer(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Close()
	issuer := oidctest.New(t)
	w := newWorld(t, issuer)
	w.provider.Issuer = server.URL
	w.refuses(t, w.Token(with("iss", server.URL)), Unreachable)
}

// TestFetchLoopbackHTTP serves the same issuer without TLS.
func TestFetchLoopbackHTTP(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	var plain *httptest.Server
	plain = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == oidctest.DiscoveryPath {
			_, _ = fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, plain.URL, plain.URL+oidctest.KeysPath)
			return
		}
		w.ServeHTTP(rw, r)
	}))
	t.Cleanup(plain.Close)
	w.provider = &Provider{Issuer: plain.URL, Audiences: []string{audience}}
	token := w.Token(with("iss", plain.URL))
	w.refuses(t, token, Unreachable)
	w.verifier = New(Config{Now: w.clock.Now, AllowLoopbackHTTP: true})
	w.accepts(t, token)
}

// counting counts how often a transport was told to let go of its connections.
type counting struct {
	http.RoundTripper
	closed int
}

func (c *counting) CloseIdleConnections() { c.closed++ }

func TestFetchClosesConnections(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	var used []*counting
	w.verifier = New(Config{Now: w.clock.Now, Transport: func(roots *x509.CertPool) http.RoundTripper {
		if roots == nil {
			t.Error("the CA was not handed over")
		}
		used = append(used, &counting{RoundTripper: inProcess{w.Issuer}})
		return used[len(used)-1]
	}})
	w.accepts(t, w.Token(good()))
	w.Intercept(unavailable)
	w.clock.advance(maxFresh + maxStale)
	w.refuses(t, w.Token(good()), Unreachable)
	if len(used) != 2 || used[0].closed != 1 || used[1].closed != 1 {
		t.Errorf("transports %v", used)
	}
}

// TestFetchLog has the cause in the log, and neither it nor a token in what a caller sees.
func TestFetchLog(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	var log bytes.Buffer
	w.verifier = New(Config{Now: w.clock.Now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w.Intercept(unavailable)
	token := w.Token(good())
	_, err := w.verifier.Verify(context.Background(), w.provider, token)
	wantFailure(t, err, Unreachable)
	if !strings.Contains(log.String(), "503") || strings.Contains(err.Error(), "503") {
		t.Errorf("log %q, error %q", log.String(), err)
	}
	for part := range strings.SplitSeq(token, ".") {
		if strings.Contains(log.String(), part) || strings.Contains(err.Error(), part) {
			t.Errorf("a part of the token is in log %q or error %q", log.String(), err)
		}
	}
}
