package oidc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
)

func TestCacheFreshness(t *testing.T) {
	for _, test := range []struct {
		header string
		want   time.Duration
	}{
		{"", time.Hour},
		{"public", time.Hour},
		{"public, max-age=3600, must-revalidate", time.Hour},
		{"max-age=7200", 2 * time.Hour},
		{"Max-Age=\"7200\"", 2 * time.Hour},
		{"max-age=0", 5 * time.Minute},
		{"max-age=-1", 5 * time.Minute},
		{"no-store", 5 * time.Minute},
		{"max-age=7200, no-cache", 5 * time.Minute},
		{"max-age=31536000", 24 * time.Hour},
		{"max-age=9223372036854775807", 24 * time.Hour},
		{"max-age=99999999999999999999", time.Hour},
		{"max-age=soon", time.Hour},
		{"max-age", time.Hour},
	} {
		header := http.Header{}
		if test.header != "" {
			header.Set("Cache-Control", test.header)
		}
		if got := freshness(header); got != test.want {
			t.Errorf("%q is fresh for %v, want %v", test.header, got, test.want)
		}
	}
}

func TestCacheLifetime(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == oidctest.KeysPath {
			rw.Header().Set("Cache-Control", "max-age=7200")
		}
		return false
	})
	w.accepts(t, w.Token(good()))
	w.clock.advance(2*time.Hour - 1)
	w.accepts(t, w.Token(good()))
	w.fetches(t, 1)
	w.clock.advance(1)
	w.accepts(t, w.Token(good()))
	w.fetches(t, 2)
}

// TestCacheRevoked has a key end with its freshness, although the token is of that key.
func TestCacheRevoked(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	token := w.Token(with("exp", w.clock.Now().Add(24*time.Hour).Unix()))
	w.accepts(t, token)
	w.Rotate()
	w.clock.advance(time.Hour)
	w.refuses(t, token, UnknownKey)

	// An issuer that publishes no key at all has answered, too.
	token = w.Token(with("exp", w.clock.Now().Add(24*time.Hour).Unix()))
	w.clock.advance(time.Minute)
	w.accepts(t, token)
	w.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == oidctest.KeysPath {
			_, _ = io.WriteString(rw, `{"keys":[]}`)
			return true
		}
		return false
	})
	w.clock.advance(time.Hour)
	w.refuses(t, token, UnknownKey)
}

func TestCacheRotation(t *testing.T) {
	for name, option := range map[string]oidctest.Option{
		"kid":    oidctest.Header("typ", "JWT"),
		"no kid": oidctest.Header("kid", nil),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, oidctest.New(t))
			w.accepts(t, w.Token(good(), option))
			w.Rotate()
			w.accepts(t, w.Token(good(), option))
			w.fetches(t, 2)
			w.accepts(t, w.Token(good(), option))
			w.fetches(t, 2)
		})
	}
}

// TestCacheRefetchLimit floods a verifier with made-up key ids.
func TestCacheRefetchLimit(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	flood := func() {
		t.Helper()
		for i := range 20 {
			w.refuses(t, w.Token(good(), oidctest.Header("kid", fmt.Sprint("made up ", i))), UnknownKey)
		}
	}
	w.accepts(t, w.Token(good()))
	flood()
	w.fetches(t, 2)
	w.clock.advance(refetchInterval - 1)
	flood()
	w.fetches(t, 2)
	w.accepts(t, w.Token(good()))
	w.clock.advance(1)
	flood()
	w.fetches(t, 3)
	// The key's own signature being wrong is no reason to ask.
	w.clock.advance(refetchInterval)
	token := w.Token(good())
	w.refuses(t, token[:len(token)-4]+"AAAA", Signature)
	w.fetches(t, 3)
}

// TestCacheNewer has a caller who looked at old keys get those that came since, without a fetch.
func TestCacheNewer(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	ctx := context.Background()
	old, err := w.verifier.current(ctx, w.provider)
	if err != nil {
		t.Fatal(err)
	}
	w.Rotate()
	w.accepts(t, w.Token(good()))
	got, err := w.verifier.newer(ctx, w.provider, old)
	if err != nil || got == old || got.keys[0].id != w.KeyID(jose.ES256) {
		t.Errorf("keys %v, %v", got, err)
	}
	w.fetches(t, 2)
}

func TestCacheStale(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	token := w.Token(with("exp", w.clock.Now().Add(72*time.Hour).Unix()))
	w.accepts(t, token)
	w.Intercept(unavailable)

	w.clock.advance(defaultFresh)
	w.accepts(t, token)
	if got := w.Requests(oidctest.DiscoveryPath); got != 2 {
		t.Fatalf("%d requests, want 2", got)
	}
	// The failure is kept, with stale keys and for a key that they lack.
	w.accepts(t, token)
	w.refuses(t, w.Token(good(), oidctest.Header("kid", "new")), Unreachable)
	if got := w.Requests(oidctest.DiscoveryPath); got != 2 {
		t.Fatalf("%d requests, want 2", got)
	}
	w.clock.advance(maxStale - 1)
	w.accepts(t, token)
	w.clock.advance(1)
	w.refuses(t, token, Unreachable)

	w.Intercept(nil)
	w.refuses(t, token, Unreachable) // within failureLifetime
	w.clock.advance(failureLifetime)
	w.accepts(t, token)
}

// TestCacheRefetchFails keeps the known keys when the issuer fails while one is looked for.
func TestCacheRefetchFails(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	w.accepts(t, w.Token(good()))
	w.Intercept(unavailable)
	unknown := w.Token(good(), oidctest.Header("kid", "new"))
	w.refuses(t, unknown, Unreachable)
	w.refuses(t, unknown, Unreachable)
	w.clock.advance(failureLifetime)
	w.refuses(t, unknown, Unreachable) // within refetchInterval
	w.accepts(t, w.Token(good()))
	if got := w.Requests(oidctest.DiscoveryPath); got != 2 {
		t.Fatalf("%d requests, want 2", got)
	}
}

func TestCacheFailure(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	w.Intercept(unavailable)
	for range 10 {
		w.refuses(t, w.Token(good()), Unreachable)
	}
	if got := w.Requests(oidctest.DiscoveryPath); got != 1 {
		t.Fatalf("%d requests, want 1", got)
	}
	w.Intercept(nil)
	w.clock.advance(failureLifetime - 1)
	w.refuses(t, w.Token(good()), Unreachable)
	w.clock.advance(1)
	w.accepts(t, w.Token(good()))
}

// inProcess answers without a network, so that a synctest bubble sees all that waits.
type inProcess struct{ http.Handler }

func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	done := make(chan *http.Response, 1)
	go func() {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, r)
		done <- recorder.Result()
	}()
	select {
	case response := <-done:
		return response, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// bubble runs f in a synctest bubble, which fails if a goroutine is left behind. Requests wait until
// release is called or they are cancelled.
func bubble(t *testing.T, f func(t *testing.T, w *world, release func())) {
	issuer := oidctest.New(t)
	w := newWorld(t, issuer)
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		issuer.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-gate:
			case <-r.Context().Done():
			}
			return false
		})
		w.verifier = New(Config{Now: w.clock.Now, Transport: func(*x509.CertPool) http.RoundTripper { return inProcess{issuer} }})
		f(t, w, func() { close(gate) })
	})
}

func TestCacheSingleFlight(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, release func()) {
		const callers = 50
		errs := make(chan error, 2*callers)
		verify := func(token string) {
			for range callers {
				go func() { errs <- w.verify(token) }()
			}
			synctest.Wait()
		}
		verify(w.Token(good()))
		release()
		for range callers {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		w.fetches(t, 1)

		// Those who miss a rotated key also wait for one fetch, in spite of the refetch limit.
		w.Rotate()
		verify(w.Token(good()))
		for range callers {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		w.fetches(t, 2)
	})
}

// TestCacheCancel has one caller leave: it is answered at once, and the fetch goes on for the other.
func TestCacheCancel(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, release func()) {
		ctx, cancel := context.WithCancel(context.Background())
		first, second := make(chan error), make(chan error)
		go func() {
			_, err := w.verifier.Verify(ctx, w.provider, w.Token(good()))
			first <- err
		}()
		synctest.Wait()
		go func() { second <- w.verify(w.Token(good())) }()
		synctest.Wait()
		cancel()
		err := <-first
		wantFailure(t, err, Unreachable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cause %v", errors.Unwrap(err))
		}
		release()
		if err := <-second; err != nil {
			t.Fatal(err)
		}
		w.fetches(t, 1)
	})
}

// TestCacheSlow has an issuer that does not answer: the fetch ends by itself, once.
func TestCacheSlow(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, _ func()) {
		begin := time.Now() // of the bubble, whose clock moves only when all wait
		err := w.verify(w.Token(good()))
		wantFailure(t, err, Unreachable)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != fetchTimeout {
			t.Errorf("after %v: %v", time.Since(begin), errors.Unwrap(err))
		}
		w.refuses(t, w.Token(good()), Unreachable)
		if got := w.Requests(oidctest.DiscoveryPath); got != 1 || time.Since(begin) != fetchTimeout {
			t.Errorf("%d requests after %v", got, time.Since(begin))
		}
	})
}

func TestCacheBound(t *testing.T) {
	v := New(Config{})
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := &Provider{Issuer: "https://kept.example"}
	s := v.source(kept)
	for i := range 2 * maxSources {
		v.source(&Provider{Issuer: fmt.Sprintf("https://issuer-%d.example", i)})
		if len(v.sources) > maxSources {
			t.Fatalf("%d sources", len(v.sources))
		}
		if v.source(kept) != s {
			t.Fatal("the source that is used most was forgotten")
		}
	}
	if v.source(&Provider{Issuer: kept.Issuer, CA: "other"}) == s {
		t.Error("two CAs share a source")
	}
}

func TestVerifyConcurrent(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	claims := with("exp", w.clock.Now().Add(24*time.Hour).Unix()) // others move the clock, too
	errs := make(chan error)
	const callers = 8
	for i := range callers {
		go func() {
			var failed []string
			for j := range 20 {
				w.clock.advance(time.Minute)
				if i == 0 && j%5 == 0 {
					w.Rotate()
				}
				// Rotation may overtake a token, so an unknown key is as good as none.
				var e *Error
				if err := w.verify(w.Token(claims)); errors.As(err, &e) && e.Failure != UnknownKey {
					failed = append(failed, err.Error())
				}
			}
			if failed != nil {
				errs <- errors.New(strings.Join(failed, " "))
				return
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
