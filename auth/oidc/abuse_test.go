package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// payload returns the middle part of a token and what it decodes to.
func payload(t *testing.T, token string) (encoded, decoded string) {
	t.Helper()
	encoded = strings.Split(token, ".")[1]
	data, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return encoded, string(data)
}

// TestVerifyForm refuses what is no token of one signature, and asks no issuer for it.
func TestVerifyForm(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	token := w.Token(good())
	parts := strings.Split(token, ".")
	claims, text := payload(t, token)
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":              "",
		"no dots":            "token",
		"two parts":          parts[0] + "." + parts[1],
		"two signatures":     token + "." + parts[2],
		"encrypted":          token + "." + parts[1] + "." + parts[2],
		"JSON":               jws.FullSerialize(),
		"JSON of signatures": `{"payload":"` + claims + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"leading blank":      " " + token,
		"line break":         token[:20] + "\n" + token[20:],
		"trailing break":     token + "\n",
		"padding":            token + "=",
		"bad base64":         parts[0] + ".!" + parts[1] + "." + parts[2],
		"huge":               w.Token(with("padding", strings.Repeat("x", maxToken))),
		"header no JSON":     b64("alg") + "." + claims + "." + parts[2],
		"header no object":   b64(`["ES256"]`) + "." + claims + "." + parts[2],
		"no alg":             b64(`{"typ":"JWT"}`) + "." + claims + "." + parts[2],
		"number alg":         b64(`{"alg":1}`) + "." + claims + "." + parts[2],
		"two algs":           b64(`{"alg":"none","alg":"ES256"}`) + "." + claims + "." + parts[2],
		"escaped second alg": b64(`{"alg":"ES256","\u0061lg":"none"}`) + "." + claims + "." + parts[2],
		"number kid":         b64(`{"alg":"ES256","kid":1}`) + "." + claims + "." + parts[2],
		"crit":               b64(`{"alg":"ES256","crit":["exp"],"exp":1}`) + "." + claims + "." + parts[2],
		"crit b64":           b64(`{"alg":"ES256","crit":["b64"],"b64":true}`) + "." + claims + "." + parts[2],
		"b64":                b64(`{"alg":"ES256","b64":false}`) + "." + claims + "." + parts[2],
		"unreadable jwk":     b64(`{"alg":"ES256","jwk":{"kty":"EC"}}`) + "." + claims + "." + parts[2],
		"unreadable x5c":     b64(`{"alg":"ES256","x5c":["AA"]}`) + "." + claims + "." + parts[2],
		"claims no object":   w.Sign(`[]`),
		"claims no JSON":     w.Sign(`{`),
		"no claims":          w.Sign(``),
		"duplicate sub":      w.Sign(strings.Replace(text, "{", `{"sub":"admin",`, 1)),
		"duplicate inside":   w.Sign(strings.Replace(text, "{", `{"a":{"b":1,"b":2},`, 1)),
		"escaped duplicate":  w.Sign(strings.Replace(text, "{", `{"\u0073ub":"admin",`, 1)),
		"two objects":        w.Sign(text + text),
		"trailing comma":     w.Sign(strings.TrimSuffix(text, "}") + ",}"),
		"not UTF-8":          w.Sign(strings.Replace(text, "subject", "sub\xffject", 1)),
		"name in capitals":   w.Sign(strings.Replace(text, `"sub"`, `"SUB"`, 1)),
	} {
		t.Run(name, func(t *testing.T) { w.refuses(t, bad, Malformed) })
	}
	w.fetches(t, 0)
	w.accepts(t, token)
}

// TestVerifyCheapFirst refuses tokens of which no key could make good ones, and asks no issuer.
func TestVerifyCheapFirst(t *testing.T) {
	w := newWorld(t, oidctest.New(t, jose.RS256, jose.ES256))
	der, err := x509.MarshalPKIXPublicKey(w.PublicKey(jose.RS256))
	if err != nil {
		t.Fatal(err)
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	claims, _ := payload(t, w.Token(good()))
	kid := oidctest.Header("kid", w.KeyID(jose.RS256))
	for name, test := range map[string]struct {
		token string
		want  Failure
	}{
		"alg none":              {b64(`{"alg":"none"}`) + "." + claims + ".", Algorithm},
		"alg None":              {b64(`{"alg":"None"}`) + "." + claims + ".", Algorithm},
		"alg empty":             {b64(`{"alg":""}`) + "." + claims + ".", Algorithm},
		"HS256 with PEM":        {w.Token(good(), oidctest.Algorithm(jose.HS256), oidctest.Key(pemKey), kid), Algorithm},
		"HS256 with DER":        {w.Token(good(), oidctest.Algorithm(jose.HS256), oidctest.Key(der), kid), Algorithm},
		"HS512 with JWK Set":    {w.Token(good(), oidctest.Algorithm(jose.HS512), oidctest.Key([]byte(w.Keys())), kid), Algorithm},
		"wrong audience":        {w.Token(with("aud", "https://kubernetes.default.svc")), Audience},
		"audience in part":      {w.Token(with("aud", audience+"/")), Audience},
		"no audience":           {w.Token(with("aud", []string{})), Audience},
		"expired":               {w.Token(with("exp", w.clock.Now().Unix()-3600)), Expired},
		"not yet valid":         {w.Token(with("nbf", w.clock.Now().Unix()+3600)), NotYet},
		"unknown issuer":        {w.Token(with("iss", "https://issuer.example")), UnknownIssuer},
		"issuer with slash":     {w.Token(with("iss", w.URL()+"/")), UnknownIssuer},
		"issuer in other case":  {w.Token(with("iss", strings.ToUpper(w.URL()))), UnknownIssuer},
		"issuer that is longer": {w.Token(with("iss", w.URL()+"/path")), UnknownIssuer},
	} {
		t.Run(name, func(t *testing.T) { w.refuses(t, test.token, test.want) })
	}
	w.fetches(t, 0)
}

// TestVerifyForeignKey signs with keys that are not the provider's.
func TestVerifyForeignKey(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	foreign := newWorld(t, oidctest.New(t))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := jose.JSONWebKey{Key: key.Public(), KeyID: "mine", Algorithm: "ES256"}
	withKey := func(options ...oidctest.Option) string {
		return w.Token(good(), append(options, oidctest.Key(key))...)
	}
	for name, test := range map[string]struct {
		token string
		want  Failure
	}{
		"kid of the provider's": {withKey(), Signature},
		"no kid":                {withKey(oidctest.Header("kid", nil)), Signature},
		"empty kid":             {withKey(oidctest.Header("kid", "")), Signature},
		"embedded jwk":          {withKey(oidctest.Header("jwk", jwk)), Signature},
		"embedded jwk, no kid":  {withKey(oidctest.Header("jwk", jwk), oidctest.Header("kid", nil)), Signature},
		"embedded jwk, its kid": {withKey(oidctest.Header("jwk", jwk), oidctest.Header("kid", "mine")), UnknownKey},
		"jku":                   {withKey(oidctest.Header("jku", foreign.URL()+oidctest.KeysPath), oidctest.Header("kid", "mine")), UnknownKey},
		"x5u":                   {withKey(oidctest.Header("x5u", foreign.URL()+"/x5u")), Signature},
		"other provider's key":  {foreign.Token(with("iss", w.URL())), Signature},
		"unprintable kid":       {withKey(oidctest.Header("kid", strings.Repeat("\x00\u202e", 500))), UnknownKey},
	} {
		t.Run(name, func(t *testing.T) { w.refuses(t, test.token, test.want) })
	}
	foreign.fetches(t, 0)
	w.accepts(t, w.Token(good(), oidctest.Header("jwk", jwk)))
}

// TestVerifyForeignCA has two accounts name one issuer: each gets the answers its own CA vouches for.
func TestVerifyForeignCA(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	foreign := oidctest.New(t)
	w.accepts(t, w.Token(good()))

	wrong := *w.provider
	wrong.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: otherCertificate(t)}))
	wantFailure(t, (&world{provider: &wrong, verifier: w.verifier}).verify(w.Token(good())), Unreachable)
	system := *w.provider
	system.CA = ""
	wantFailure(t, (&world{provider: &system, verifier: w.verifier}).verify(w.Token(good())), Unreachable)
	system.CA = foreign.CA() + "garbage"
	wantFailure(t, (&world{provider: &system, verifier: w.verifier}).verify(w.Token(good())), Unreachable)
	w.accepts(t, w.Token(good()))
	w.fetches(t, 1)
}

// TestVerifyTampered changes each byte of a token in three ways.
func TestVerifyTampered(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA} {
		w := newWorld(t, oidctest.New(t, algorithm))
		token := w.Token(good())
		w.accepts(t, token)
		for i := range len(token) {
			for _, b := range []byte{token[i] ^ 1, token[i] ^ 2, 'A'} {
				if b == token[i] {
					continue
				}
				if bad := token[:i] + string(rune(b)) + token[i+1:]; w.verify(bad) == nil {
					t.Fatalf("%s: byte %d may be %q", algorithm, i, b)
				}
			}
			if w.verify(token[:i]) == nil {
				t.Fatalf("%s: the token may be cut at %d", algorithm, i)
			}
		}
	}
}

// TestVerifyTries bounds the work for a token without a kid.
func TestVerifyTries(t *testing.T) {
	w := newWorld(t, oidctest.New(t))
	own := w.Keys()
	own = strings.TrimSuffix(strings.TrimPrefix(own, `{"keys":[`), "]}")
	foreign := strings.TrimSuffix(strings.TrimPrefix(oidctest.New(t).Keys(), `{"keys":[`), "]}")
	token := w.Token(good(), oidctest.Header("kid", nil))

	w.provider.Keys = `{"keys":[` + strings.Repeat(foreign+",", maxTries-1) + own + `]}`
	w.accepts(t, token)
	w.provider.Keys = `{"keys":[` + strings.Repeat(foreign+",", maxTries) + own + `]}`
	w.refuses(t, token, Signature)
}

func TestPeek(t *testing.T) {
	for name, claims := range map[string]any{
		"no iss": map[string]any{}, "number": map[string]any{"iss": 1}, "empty": map[string]any{"iss": ""},
		"control": map[string]any{"iss": "https://a\x00"}, "long": map[string]any{"iss": strings.Repeat("i", maxIssuer+1)},
	} {
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		issuer, err := Peek(b64(`{"alg":"ES256"}`) + "." + b64(string(text)) + ".")
		if issuer != "" {
			t.Errorf("%s: issuer %q", name, issuer)
		}
		wantFailure(t, err, Malformed)
	}
	// The algorithm is for Verify to judge.
	issuer, err := Peek(b64(`{"alg":"none"}`) + "." + b64(`{"iss":"https://issuer.example"}`) + ".")
	if err != nil || issuer != "https://issuer.example" {
		t.Errorf("Peek = %q, %v", issuer, err)
	}
}
