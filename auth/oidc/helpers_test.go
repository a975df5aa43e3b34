package oidc

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
)

const audience = "sts.amazonaws.com"

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is an issuer, the provider that names it, and a verifier with a clock.
type world struct {
	*oidctest.Issuer
	clock    *clock
	provider *Provider
	verifier *Verifier
}

func newWorld(t *testing.T, issuer *oidctest.Issuer) *world {
	t.Helper()
	c := newClock()
	issuer.SetNow(c.Now)
	w := &world{
		Issuer:   issuer,
		clock:    c,
		provider: &Provider{Issuer: issuer.URL(), Audiences: []string{"other", audience}, CA: issuer.CA()},
		verifier: New(Config{Now: c.Now}),
	}
	if err := w.provider.Check(false); err != nil {
		t.Fatal(err)
	}
	return w
}

// good returns the claims of a token that is accepted.
func good() map[string]any { return map[string]any{"sub": "subject", "aud": audience} }

// with returns good claims and one more, or one less if value is nil.
func with(name string, value any) map[string]any {
	claims := good()
	claims[name] = value
	return claims
}

func (w *world) verify(token string) error {
	_, err := w.verifier.Verify(context.Background(), w.provider, token)
	return err
}

func (w *world) accepts(t *testing.T, token string) {
	t.Helper()
	if err := w.verify(token); err != nil {
		t.Fatalf("Verify: %v, caused by %v", err, errors.Unwrap(err))
	}
}

func (w *world) refuses(t *testing.T, token string, want Failure) {
	t.Helper()
	wantFailure(t, w.verify(token), want)
}

// wantFailure also looks at the message: a sentence of printable ASCII.
func wantFailure(t *testing.T, err error, want Failure) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want an *Error of %s", err, want)
	}
	if e.Failure != want {
		t.Fatalf("failure %s (%v, caused by %v), want %s", e.Failure, e, e.cause, want)
	}
	if !ascii(strings.ReplaceAll(e.Message, " ", "")) || !strings.HasSuffix(e.Message, ".") || len(e.Message) > 1000 {
		t.Errorf("message %q", e.Message)
	}
}

// fetches checks how often both documents were asked for.
func (w *world) fetches(t *testing.T, want int) {
	t.Helper()
	discovery, keys := w.Requests(oidctest.DiscoveryPath), w.Requests(oidctest.KeysPath)
	if discovery != want || keys != want {
		t.Fatalf("%d discovery and %d key requests, want %d", discovery, keys, want)
	}
}

func unavailable(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}
