package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
)

func seeds(f *testing.F, issuer *oidctest.Issuer) {
	token := issuer.Token(good())
	parts := strings.Split(token, ".")
	f.Add(token)
	f.Add(token[:len(token)-1])
	f.Add(parts[0] + "." + parts[1] + ".")
	f.Add(b64(`{"alg":"none"}`) + "." + parts[1] + ".")
	f.Add(b64(`{"alg":"ES256","jwk":{"kty":"EC"}}`) + "." + parts[1] + "." + parts[2])
	f.Add(b64(`{"alg":"ES256","x5c":["AA"]}`) + "." + parts[1] + "." + parts[2])
	f.Add(parts[0] + "." + b64(`{"iss":"a","iss":"b"}`) + "." + parts[2])
	f.Add("..")
	f.Add("")
}

// FuzzPeek wants an issuer within bounds or Malformed.
func FuzzPeek(f *testing.F) {
	seeds(f, oidctest.New(f))
	f.Fuzz(func(t *testing.T, raw string) {
		issuer, err := Peek(raw)
		if err != nil {
			wantFailure(t, err, Malformed)
			return
		}
		if issuer == "" || len(issuer) > maxIssuer || !printable(issuer) || len(raw) > maxToken {
			t.Errorf("issuer %q", issuer)
		}
	})
}

// FuzzVerify wants every string that no key signed refused. The seeds that are signed are known.
func FuzzVerify(f *testing.F) {
	issuer := oidctest.New(f)
	c := newClock()
	issuer.SetNow(c.Now)
	seeds(f, issuer)
	signed := map[string]bool{}
	data, err := os.ReadFile("testdata/rsa8192.json")
	if err != nil {
		f.Fatal(err)
	}
	var recorded struct {
		Keys  json.RawMessage `json:"keys"`
		Token string          `json:"token"`
	}
	if err := json.Unmarshal(data, &recorded); err != nil {
		f.Fatal(err)
	}
	signed[recorded.Token] = true
	f.Add(recorded.Token)
	p := &Provider{Issuer: "https://issuer.example", Audiences: []string{audience}, Keys: string(recorded.Keys)}
	v := New(Config{Now: c.Now})
	f.Fuzz(func(t *testing.T, raw string) {
		claims, err := v.Verify(context.Background(), p, raw)
		if (err == nil) != signed[raw] || (err == nil) != (claims != nil) {
			t.Errorf("claims %+v, error %v", claims, err)
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Failure == Unreachable) {
			t.Errorf("error %v", err)
		}
	})
}

// FuzzKeys wants every key of a set usable, and a set that Check accepts to have one.
func FuzzKeys(f *testing.F) {
	f.Add(oidctest.New(f).Keys())
	f.Add(set(rsaJWK(2048, []byte{1, 0, 1})))
	f.Add(set(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	f.Add(`{"keys":[]}`)
	f.Fuzz(func(t *testing.T, document string) {
		keys, err := parseKeys([]byte(document))
		if err != nil && keys != nil || len(keys) > maxKeys {
			t.Errorf("%d keys, error %v", len(keys), err)
		}
		for _, k := range keys {
			if k.public == nil {
				t.Error("a key without a key")
			}
		}
		if checkKeys(document) == nil && len(keys) == 0 {
			t.Error("a set without a usable key was accepted")
		}
	})
}
