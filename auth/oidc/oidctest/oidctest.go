// Package oidctest is an OpenID Connect issuer for tests: a TLS server on loopback that publishes a
// discovery document and its keys, and that signs whatever claims it is given.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The paths that an Issuer serves.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	KeysPath      = "/openid/v1/jwks" // as in Kubernetes
)

// Issuer is a fake issuer. It is safe for concurrent use.
type Issuer struct {
	tb         testing.TB
	server     *httptest.Server
	algorithms []jose.SignatureAlgorithm // the first one is the default; immutable

	mu         sync.Mutex
	now        func() time.Time                                  // guarded by mu
	generation int                                               // guarded by mu
	keys       map[jose.SignatureAlgorithm]crypto.Signer         // guarded by mu
	intercept  func(w http.ResponseWriter, r *http.Request) bool // guarded by mu
	requests   map[string]int                                    // guarded by mu; by path
}

// New starts an issuer that is closed at the end of the test. It has one key for each of the
// algorithms and signs with the first; without any, that is ES256, the cheapest to make.
func New(tb testing.TB, algorithms ...jose.SignatureAlgorithm) *Issuer {
	tb.Helper()
	if len(algorithms) == 0 {
		algorithms = []jose.SignatureAlgorithm{jose.ES256}
	}
	i := &Issuer{tb: tb, algorithms: algorithms, now: time.Now, requests: make(map[string]int)}
	i.Rotate()
	i.server = httptest.NewUnstartedServer(i)
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0) // a client that refuses the certificate is no news
	i.server.StartTLS()
	tb.Cleanup(i.server.Close)
	return i
}

// URL returns the issuer's URL, which is the iss of its tokens.
func (i *Issuer) URL() string { return i.server.URL }

// CA returns the PEM of the certificate to trust.
func (i *Issuer) CA() string {
	block := &pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw}
	return string(pem.EncodeToMemory(block))
}

// SetNow gives the issuer a clock for the times of its tokens.
func (i *Issuer) SetNow(now func() time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = now
}

// Rotate replaces all keys, and their key ids with them.
func (i *Issuer) Rotate() {
	keys := make(map[jose.SignatureAlgorithm]crypto.Signer)
	for _, algorithm := range i.algorithms {
		keys[algorithm] = i.generate(algorithm)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
	i.generation++
}

func (i *Issuer) generate(algorithm jose.SignatureAlgorithm) crypto.Signer {
	var key crypto.Signer
	var err error
	switch algorithm {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		i.tb.Fatalf("oidctest: generate a key for %s: %v", algorithm, err)
	}
	return key
}

// Keys returns the JWK Set that the issuer publishes.
func (i *Issuer) Keys() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, algorithm := range slices.Sorted(maps.Keys(i.keys)) {
		set.Keys = append(set.Keys, jose.JSONWebKey{
			Key: i.keys[algorithm].Public(), KeyID: i.keyID(algorithm), Algorithm: string(algorithm), Use: "sig",
		})
	}
	return i.encode(set)
}

// KeyID returns the id of the present key for that algorithm.
func (i *Issuer) KeyID(algorithm jose.SignatureAlgorithm) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keyID(algorithm)
}

// PublicKey returns the present key for that algorithm.
func (i *Issuer) PublicKey(algorithm jose.SignatureAlgorithm) crypto.PublicKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[algorithm].Public()
}

func (i *Issuer) keyID(algorithm jose.SignatureAlgorithm) string {
	return fmt.Sprintf("%s-%d", algorithm, i.generation)
}

func (i *Issuer) encode(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		i.tb.Errorf("oidctest: %v", err)
	}
	return string(data)
}

// Intercept lets f see every request first. It returns true if it answered; it may also only set
// headers. nil ends that.
func (i *Issuer) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.intercept = f
}

// Requests returns how often a path was asked for.
func (i *Issuer) Requests(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests[path]
}

// ServeHTTP serves the discovery document and the keys.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests[r.URL.Path]++
	intercept := i.intercept
	i.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	switch r.URL.Path {
	case DiscoveryPath:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, i.encode(map[string]any{
			"issuer":                                i.URL(),
			"jwks_uri":                              i.URL() + KeysPath,
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": i.algorithms,
		}))
	case KeysPath:
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = io.WriteString(w, i.Keys())
	default:
		http.NotFound(w, r)
	}
}

// Option changes how Token signs.
type Option func(*signing)

type signing struct {
	algorithm jose.SignatureAlgorithm
	key       any // what signs, or nil for the issuer's key
	headers   map[jose.HeaderKey]any
}

// Algorithm signs with that algorithm. Unless Key is given too, it is one the issuer was made with.
func Algorithm(algorithm jose.SignatureAlgorithm) Option {
	return func(s *signing) { s.algorithm = algorithm }
}

// Key signs with another key than the issuer's, and keeps the issuer's key id.
func Key(key any) Option { return func(s *signing) { s.key = key } }

// Header sets a header; nil removes it. The issuer sets kid and typ.
func Header(name string, value any) Option {
	return func(s *signing) { s.headers[jose.HeaderKey(name)] = value }
}

// Token returns a token of claims. Unless they are given, iss, iat and exp are the issuer's URL,
// now and an hour later. A claim that is nil is left out.
func (i *Issuer) Token(claims map[string]any, options ...Option) string {
	i.tb.Helper()
	i.mu.Lock()
	now := i.now()
	i.mu.Unlock()
	all := map[string]any{"iss": i.URL(), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return i.Sign(i.encode(all), options...)
}

// Sign returns a token whose payload is exactly that.
func (i *Issuer) Sign(payload string, options ...Option) string {
	i.tb.Helper()
	s := signing{algorithm: i.algorithms[0], headers: map[jose.HeaderKey]any{"typ": "JWT"}}
	for _, option := range options {
		option(&s)
	}
	i.mu.Lock()
	if _, set := s.headers["kid"]; !set {
		s.headers["kid"] = i.keyID(s.algorithm)
	}
	if s.key == nil {
		s.key = i.keys[s.algorithm]
	}
	i.mu.Unlock()
	maps.DeleteFunc(s.headers, func(_ jose.HeaderKey, value any) bool { return value == nil })

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.key}, &jose.SignerOptions{ExtraHeaders: s.headers})
	if err != nil {
		i.tb.Fatalf("oidctest: sign with %s: %v", s.algorithm, err)
	}
	signature, err := signer.Sign([]byte(payload))
	if err != nil {
		i.tb.Fatalf("oidctest: sign with %s: %v", s.algorithm, err)
	}
	token, err := signature.CompactSerialize()
	if err != nil {
		i.tb.Fatalf("oidctest: %v", err)
	}
	return token
}
