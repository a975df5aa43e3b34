package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
)

// otherCertificate returns a CA certificate that signed nothing.
func otherCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func rsaJWK(bits int, exponent []byte) string {
	modulus := new(big.Int).SetBit(big.NewInt(1), bits-1, 1)
	return `{"kty":"RSA","n":"` + base64.RawURLEncoding.EncodeToString(modulus.Bytes()) + `","e":"` +
		base64.RawURLEncoding.EncodeToString(exponent) + `"}`
}

func TestCheckIssuer(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://issuer.example":                          "",
		"https://issuer.example/":                         "",
		"https://issuer.example:8443/realms/a":            "",
		"https://10.96.0.1":                               "",
		"https://[fd00::1]:6443":                          "",
		"https://oidc.eks.eu-west-1.amazonaws.com/id/ABC": "",
		"":                                     "1 to 255",
		"https://" + strings.Repeat("i", 248):  "1 to 255",
		"issuer.example":                       "host",
		"https://":                             "host",
		"https:///path":                        "host",
		"https:issuer.example":                 "host",
		"https://:443":                         "host",
		"https://issuer.example:port":          "host",
		"http://issuer.example":                "https",
		"http://127.0.0.1":                     "https",
		"ftp://issuer.example":                 "https",
		"file://localhost/etc/passwd":          "https",
		"https://user@issuer.example":          "user info",
		"https://user:password@issuer.example": "user info",
		"https://issuer.example?tenant=a":      "query",
		"https://issuer.example?":              "query",
		"https://issuer.example#a":             "fragment",
		"https://issuer.example#":              "fragment",
		"https://issuer.example/a b":           "ASCII",
		"https://issuer.example/\n":            "ASCII",
		"https://issu\u0435r.example":          "ASCII",
	} {
		wantSentence(t, issuer, (&Provider{Issuer: issuer}).Check(false), want)
	}
	for issuer, want := range map[string]string{
		"http://127.0.0.1:8080": "", "http://localhost:8080/a": "", "http://[::1]:8080": "",
		"http://127.0.0.2": "https", "http://localhost.example": "https", "http://0.0.0.0": "https",
		"http://issuer.example": "https", "http://127.0.0.1.example": "https", "http://[::ffff:127.0.0.1]": "https",
		"http://user@localhost": "user info",
	} {
		wantSentence(t, issuer, (&Provider{Issuer: issuer}).Check(true), want)
	}
}

// wantSentence wants an error that is a whole sentence with some words, or no error.
func wantSentence(t *testing.T, what string, err error, words string) {
	t.Helper()
	switch {
	case words == "" && err == nil:
	case words == "" || err == nil:
		t.Errorf("%.80q: error %v, want %q", what, err, words)
	case !strings.Contains(err.Error(), words) || !strings.HasPrefix(err.Error(), "The ") && !strings.HasPrefix(err.Error(), "A") || !strings.HasSuffix(err.Error(), "."):
		t.Errorf("%.80q: error %q, want a sentence with %q", what, err, words)
	}
}

func TestCheckAudiences(t *testing.T) {
	for _, test := range []struct {
		audiences []string
		want      string
	}{
		{nil, ""},
		{slices.Repeat([]string{"a"}, maxAudiences), ""},
		{slices.Repeat([]string{"a"}, maxAudiences+1), "at most 100"},
		{[]string{strings.Repeat("a", maxAudience)}, ""},
		{[]string{"a", strings.Repeat("a", maxAudience+1)}, "1 to 255"},
		{[]string{""}, "1 to 255"},
		{[]string{"a\x00"}, "printable"},
		{[]string{"a\xff"}, "printable"},
	} {
		err := (&Provider{Issuer: "https://issuer.example", Audiences: test.audiences}).Check(false)
		wantSentence(t, strings.Join(test.audiences, " "), err, test.want)
	}
}

func TestCheckCA(t *testing.T) {
	der := otherCertificate(t)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for _, test := range []struct{ ca, want string }{
		{certificate, ""},
		{certificate + "\n" + certificate + "\n\n", ""},
		{"\n", "no certificate"},
		{"garbage", "PEM"},
		{certificate + "garbage", "PEM"},
		{certificate + key, "PEM"},
		{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der[1:]})), "cannot be read"},
		{strings.Repeat(certificate, maxCA/len(certificate)+1), "at most"},
	} {
		wantSentence(t, test.ca, (&Provider{Issuer: "https://issuer.example", CA: test.ca}).Check(false), test.want)
	}
}

func TestCheckKeys(t *testing.T) {
	issuer := oidctest.New(t)
	public := strings.TrimSuffix(strings.TrimPrefix(issuer.Keys(), `{"keys":[`), "]}")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := json.Marshal(jose.JSONWebKey{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	usual := []byte{1, 0, 1}
	for _, test := range []struct{ keys, want string }{
		{set(public), ""},
		{set(slices.Repeat([]string{public}, maxKeys)...), ""},
		{set(slices.Repeat([]string{public}, maxKeys+1)...), "at most 64"},
		{set(public, `{"kty":"RSA","use":"enc"}`), ""},
		{set(`{"kty":"RSA","use":"enc"}`), "no key for signatures"},
		{set(strings.Replace(public, "{", `{"key_ops":["verify"],`, 1)), ""},
		{set(strings.Replace(public, "{", `{"key_ops":["sign"],`, 1)), "no key for signatures"},
		{set(strings.Replace(public, `"ES256"`, `"ES384"`, 1)), "no key for signatures"},
		{set(), "no key for signatures"},
		{set(string(private)), "private or symmetric"},
		{set(public, string(private)), "private or symmetric"},
		{set(`{"kty":"oct","k":"c2VjcmV0"}`), "private or symmetric"},
		{set(`{"kty":"oct"}`), "private or symmetric"},
		{set(`{"kty":"RSA","use":"enc","d":"AQAB"}`), "private or symmetric"},
		{set(`{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`), "cannot be read"},
		{set(`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`), "cannot be read"},
		{set(`{"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 43) + `"}`), "cannot be read"},
		{set(`{"kty":"AKP"}`), "of a type"},
		{set(`{}`), "of a type"},
		{set(`{"kty":1}`), "not a string"},
		{set(`7`), "not a JSON object"},
		{set(rsaJWK(2048, usual)), ""},
		{set(rsaJWK(8192, usual)), ""},
		{set(rsaJWK(2047, usual)), "2048 to 8192"},
		{set(rsaJWK(8193, usual)), "2048 to 8192"},
		{set(rsaJWK(2048, []byte{3})), ""},
		{set(rsaJWK(2048, []byte{1})), "exponent"},
		{set(rsaJWK(2048, []byte{4})), "exponent"},
		{set(rsaJWK(2048, nil)), "exponent"},
		{set(rsaJWK(2048, []byte{0x80, 0, 0, 1})), "exponent"},
		{set(rsaJWK(2048, []byte{1, 0, 0, 0, 1})), "exponent"},
		{`{"keys":[],"keys":[` + public + `]}`, "name given twice"},
		{`{"Keys":[` + public + `]}`, `a list "keys"`},
		{`[` + public + `]`, "one JSON object"},
		{`garbage`, "one JSON object"},
		{set(public) + strings.Repeat(" ", maxKeysText), "at most 65536 bytes"},
	} {
		wantSentence(t, test.keys, (&Provider{Issuer: "https://issuer.example", Keys: test.keys}).Check(false), test.want)
	}
}

// TestParseKeysLeavesOut has one usable key between those that Check refuses.
func TestParseKeysLeavesOut(t *testing.T) {
	public := strings.TrimSuffix(strings.TrimPrefix(oidctest.New(t).Keys(), `{"keys":[`), "]}")
	keys, err := parseKeys([]byte(set(`{"kty":"oct","k":"c2VjcmV0"}`, `{"kty":"new"}`, public, rsaJWK(1024, []byte{1, 0, 1}))))
	if err != nil || len(keys) != 1 || keys[0].id != "ES256-1" {
		t.Errorf("keys %v, %v", keys, err)
	}
	if _, err := parseKeys([]byte(set(public) + strings.Repeat(" ", maxDocument))); err == nil {
		t.Error("a document that is too large was accepted")
	}
}
