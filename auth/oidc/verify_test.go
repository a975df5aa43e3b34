package oidc

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
)

// TestVerifyKubernetes uses the claims of a projected service account token.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
func TestVerifyKubernetes(t *testing.T) {
	w := newWorld(t, oidctest.New(t, jose.RS256))
	now := w.clock.Now()
	token := w.Token(map[string]any{
		"sub": "system:serviceaccount:payments:api",
		"aud": []string{"https://kubernetes.default.svc", audience},
		"nbf": now.Unix(),
		"exp": now.Add(10 * time.Minute).Unix(),
		"jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
		"kubernetes.io": map[string]any{
			"namespace":      "payments",
			"node":           map[string]any{"name": "node-1", "uid": "646e7c5e"},
			"pod":            map[string]any{"name": "api-0", "uid": "a1bcf1ee"},
			"serviceaccount": map[string]any{"name": "api", "uid": "14ee3fa4"},
			"warnafter":      now.Unix(),
		},
	}, oidctest.Header("typ", nil))

	issuer, err := Peek(token)
	if err != nil || issuer != w.URL() {
		t.Fatalf("Peek = %q, %v", issuer, err)
	}
	got, err := w.verifier.Verify(context.Background(), w.provider, token)
	if err != nil {
		t.Fatal(err)
	}
	want := &Claims{
		Issuer:    w.URL(),
		Subject:   "system:serviceaccount:payments:api",
		Audience:  []string{"https://kubernetes.default.svc", audience},
		IssuedAt:  now,
		Expires:   now.Add(10 * time.Minute),
		notBefore: now,
		Strings: map[string][]string{
			"jti":                               {"aed34954-b33a-4142-b1ec-389d6bbb4936"},
			"kubernetes.io/namespace":           {"payments"},
			"kubernetes.io/node/name":           {"node-1"},
			"kubernetes.io/node/uid":            {"646e7c5e"},
			"kubernetes.io/pod/name":            {"api-0"},
			"kubernetes.io/pod/uid":             {"a1bcf1ee"},
			"kubernetes.io/serviceaccount/name": {"api"},
			"kubernetes.io/serviceaccount/uid":  {"14ee3fa4"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("claims\n%+v, want\n%+v", got, want)
	}
}

// TestVerifyJobs uses the claims of CI jobs.
// https://docs.github.com/en/actions/concepts/security/openid-connect
// https://docs.gitlab.com/ci/secrets/id_token_authentication/
func TestVerifyJobs(t *testing.T) {
	w := newWorld(t, oidctest.New(t, jose.RS256))
	for name, test := range map[string]struct {
		subject string
		claims  map[string]any
		strings map[string][]string
	}{
		"GitHub": {"repo:octo-org/octo-repo:ref:refs/heads/main",
			map[string]any{
				"repository": "octo-org/octo-repo", "ref": "refs/heads/main", "ref_type": "branch",
				"repository_owner": "octo-org", "run_id": "1234567890", "environment": "prod",
				"job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
			},
			map[string][]string{
				"repository": {"octo-org/octo-repo"}, "ref": {"refs/heads/main"}, "ref_type": {"branch"},
				"repository_owner": {"octo-org"}, "run_id": {"1234567890"}, "environment": {"prod"},
				"job_workflow_ref": {"octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main"},
			}},
		"GitLab": {"project_path:group/project:ref_type:branch:ref:main",
			map[string]any{
				"namespace_path": "group", "project_path": "group/project", "ref_protected": "true",
				"groups_direct": []string{"group", "group/sub"}, "empty": []string{}, "count": 3, "flag": true, "none": nil,
				"user_identities": []any{map[string]any{"provider": "github", "extern_uid": "2435223452345"}},
			},
			map[string][]string{
				"namespace_path": {"group"}, "project_path": {"group/project"}, "ref_protected": {"true"},
				"groups_direct": {"group", "group/sub"},
			}},
	} {
		t.Run(name, func(t *testing.T) {
			test.claims["sub"], test.claims["aud"] = test.subject, audience
			test.claims["amr"] = []string{"pwd", "mfa"}
			got, err := w.verifier.Verify(context.Background(), w.provider, w.Token(test.claims))
			if err != nil {
				t.Fatal(err)
			}
			if got.Subject != test.subject || !reflect.DeepEqual(got.AMR, []string{"pwd", "mfa"}) {
				t.Errorf("claims %+v", got)
			}
			if !reflect.DeepEqual(got.Strings, test.strings) {
				t.Errorf("strings %v, want %v", got.Strings, test.strings)
			}
		})
	}
	w.fetches(t, 1)
}

// TestVerifyAlgorithms also has every key refuse every other algorithm, under its own id.
func TestVerifyAlgorithms(t *testing.T) {
	issuer := oidctest.New(t, algorithms...)
	w := newWorld(t, issuer)
	for _, algorithm := range algorithms {
		w.accepts(t, w.Token(good(), oidctest.Algorithm(algorithm)))
		w.accepts(t, w.Token(good(), oidctest.Algorithm(algorithm), oidctest.Header("kid", nil)))
		for _, other := range algorithms {
			if other != algorithm {
				kid := oidctest.Header("kid", w.KeyID(other))
				w.refuses(t, w.Token(good(), oidctest.Algorithm(algorithm), kid), Algorithm)
			}
		}
	}
	w.fetches(t, 1)
}

// TestKeyFits is TestVerifyAlgorithms without the alg that an issuer may leave out.
func TestKeyFits(t *testing.T) {
	issuer := oidctest.New(t, jose.RS256, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA)
	for algorithm, want := range map[jose.SignatureAlgorithm][]jose.SignatureAlgorithm{
		jose.RS256: {jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512},
		jose.ES256: {jose.ES256}, jose.ES384: {jose.ES384}, jose.ES512: {jose.ES512}, jose.EdDSA: {jose.EdDSA},
	} {
		k := key{public: issuer.PublicKey(algorithm)}
		var got []jose.SignatureAlgorithm
		for _, a := range append([]jose.SignatureAlgorithm{"none", jose.HS256, jose.HS384, jose.HS512}, algorithms...) {
			if k.fits(a) {
				got = append(got, a)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("a key for %s fits %v, want %v", algorithm, got, want)
		}
	}
}

func TestVerifyStaticKeys(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	w.provider.Keys = w.Keys()
	if err := w.provider.Check(false); err != nil {
		t.Fatal(err)
	}
	w.accepts(t, w.Token(good()))
	w.Rotate()
	w.refuses(t, w.Token(good()), UnknownKey)
	w.refuses(t, w.Token(good(), oidctest.Header("kid", nil)), Signature)
	w.fetches(t, 0)
}

// TestVerifyLargestRSA verifies a recorded token, since making such a key takes too long.
func TestVerifyLargestRSA(t *testing.T) {
	data, err := os.ReadFile("testdata/rsa8192.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Keys  json.RawMessage `json:"keys"`
		Token string          `json:"token"`
	}
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	p := &Provider{Issuer: "https://issuer.example", Audiences: []string{audience}, Keys: string(recorded.Keys)}
	if err := p.Check(false); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Now: newClock().Now}).Verify(context.Background(), p, recorded.Token); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyAuthorizedParty(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	several := []string{audience, "third"}
	for _, test := range []struct {
		aud, azp any
		want     Failure
	}{
		{several, nil, 0},
		{several, "other", 0},
		{several, "third", Audience},
		{audience, audience, 0},
		{audience, "third", Audience},
		{"third", "other", Audience},
	} {
		claims := with("aud", test.aud)
		claims["azp"] = test.azp
		if token := w.Token(claims); test.want == 0 {
			w.accepts(t, token)
		} else {
			w.refuses(t, token, test.want)
		}
	}
}

func TestVerifyTimes(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	now := w.clock.Now().Unix()
	for _, test := range []struct {
		name  string
		value any
		want  Failure
	}{
		{"exp", now - 59, 0},
		{"exp", now - 60, Expired},
		{"exp", json.Number("4102444800.5"), 0},
		{"exp", json.Number("1e9"), Expired},
		{"exp", json.Number("1e99"), Malformed},
		{"exp", json.Number("1e999"), Malformed},
		{"exp", -1, Malformed},
		{"exp", "4102444800", Malformed},
		{"exp", nil, Malformed},
		{"nbf", now + 60, 0},
		{"nbf", now + 61, NotYet},
		{"nbf", "soon", Malformed},
		{"iat", nil, 0},
		{"iat", now + 60, 0},
		{"iat", now + 61, NotYet},
	} {
		if token := w.Token(with(test.name, test.value)); test.want == 0 {
			w.accepts(t, token)
		} else {
			w.refuses(t, token, test.want)
		}
	}
}

func TestVerifyClaimBounds(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	many := func(n int) map[string]any {
		claims := good()
		for i := range n {
			claims["claim-"+strings.Repeat("x", i)] = "v"
		}
		return claims
	}
	deep := any("v")
	for range maxDepth {
		deep = []any{deep}
	}
	w.accepts(t, w.Token(with("sub", strings.Repeat("s", maxSubject))))
	w.accepts(t, w.Token(with("sub", "repo:org/r\u00e9po:ref:refs/heads/\u4e3b")))
	w.accepts(t, w.Token(with(strings.Repeat("n", maxName), "v")))
	for name, claims := range map[string]map[string]any{
		"no sub":         with("sub", nil),
		"empty sub":      with("sub", ""),
		"long sub":       with("sub", strings.Repeat("s", maxSubject+1)),
		"control in sub": with("sub", "subject\nadmin"),
		"number sub":     with("sub", 7),
		"no aud":         with("aud", nil),
		"mixed aud":      with("aud", []any{audience, 7}),
		"object aud":     with("aud", map[string]any{audience: audience}),
		"empty azp":      with("azp", ""),
		"list azp":       with("azp", []string{audience}),
		"number amr":     with("amr", 1),
		"long iss":       with("iss", "https://"+strings.Repeat("i", maxIssuer)),
		"no iss":         with("iss", nil),
		"long name":      with(strings.Repeat("n", maxName+1), "v"),
		"too deep":       with("deep", deep),
		"joined name":    {"sub": "s", "aud": audience, "a/b": "1", "a": map[string]any{"b": "2"}},
	} {
		t.Run(name, func(t *testing.T) { w.refuses(t, w.Token(claims), Malformed) })
	}

	fits := many(100)
	if got, err := w.verifier.Verify(context.Background(), w.provider, w.Token(fits)); err != nil || len(got.Strings) != 100 {
		t.Errorf("100 claims: %v", err)
	}
	to := make(map[string][]string)
	for i := range maxStrings {
		if !flatten(to, strings.Repeat("x", i+1), "v") {
			t.Fatalf("claim %d was refused", i)
		}
	}
	if flatten(to, "one more", "v") {
		t.Errorf("more than %d claims were accepted", maxStrings)
	}
}

func TestFailureString(t *testing.T) {
	seen := make(map[string]bool)
	for f := Malformed; f <= Unreachable; f++ {
		if s := f.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("failure %d is named %q", f, s)
		} else {
			seen[s] = true
		}
	}
	if Failure(0).String() != "unknown" || (Unreachable+1).String() != "unknown" {
		t.Error("a number that is no failure has a name")
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256} {
		issuer := oidctest.New(b, algorithm)
		p := &Provider{Issuer: issuer.URL(), Audiences: []string{audience}, CA: issuer.CA()}
		static := &Provider{Issuer: issuer.URL(), Audiences: []string{audience}, Keys: issuer.Keys()}
		v := New(Config{})
		token := issuer.Token(good())
		for name, p := range map[string]*Provider{"cached": p, "static": static} {
			b.Run(string(algorithm)+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(context.Background(), p, token); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkPeek(b *testing.B) {
	token := oidctest.New(b).Token(good())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Peek(token); err != nil {
			b.Fatal(err)
		}
	}
}
