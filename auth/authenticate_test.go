package auth

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

// with changes a request after it was made.
func with(r *Request, change func(*Request)) *Request {
	change(r)
	return r
}

func setHeader(name, value string) func(*Request) {
	return func(r *Request) { r.Header[name] = []string{value} }
}

func signedOnly(r *Request) { r.Signed = true }

func regions(names ...string) func(*Request) { return func(r *Request) { r.Regions = names } }

func TestAuthenticate(t *testing.T) {
	good := basicHeader(testID, testSecret)
	token := tokenOf(t, testSession())
	expired := testSession()
	expired.Expires, expired.Issued = testNow.UnixMilli(), testNow.UnixMilli()-1
	last := testSession()
	last.Expires = testNow.UnixMilli() + 1
	other := testSession()
	other.AccessKeyID = "ASIAZZZZZZZZZZZZZZZZ"
	ofKey := func(id, sec string) signing { return signing{id: id, secret: sec} }
	ofSession := func(token string) signing { return signing{id: sessionID, secret: sessionSecret, token: token} }
	revoked := func(d *directory) { d.revoked = true }
	basic := func(id, sec string) *Request { return request(basicHeader(id, sec)) }

	tests := []struct {
		name     string
		r        *Request
		dir      func(*directory)
		kind     FailureKind // 0 for a principal
		identity string      // of the principal or the failure
		lookups  int
	}{
		{"right", request(good), nil, 0, testID, 1},
		{"scheme in other case", request("bAsIc" + good[5:]), nil, 0, testID, 1},
		{"two blanks", request("Basic  " + good[6:]), nil, 0, testID, 1},
		{"plain query", with(request(good), func(r *Request) { r.RawQuery = "limit=3&X-Amz" }), nil, 0, testID, 1},
		{"secret of another length", basic("AKIASHORT", "short"), nil, 0, "AKIASHORT", 1},

		{"no header", request(""), nil, FailureMissing, "", 0},
		{"empty header", with(request(""), setHeader("Authorization", "")), nil, FailureMissing, "", 0},
		{"unknown scheme", request("Digest abc"), nil, FailureMissing, "", 0},
		{"scheme only", request("Basic"), nil, FailureIncomplete, "", 0},
		{"not base64", request("Basic !!!"), nil, FailureIncomplete, "", 0},
		{"URL-safe base64", request("Basic -_-_"), nil, FailureIncomplete, "", 0},
		{"no colon", request("Basic " + base64.StdEncoding.EncodeToString([]byte(testID))), nil, FailureIncomplete, "", 0},
		{"too long", basic(testID, strings.Repeat("x", 10_000)), nil, FailureIncomplete, "", 0},
		{"unknown id", basic("AKIANOBODY", testSecret), nil, FailureUnknown, "AKIANOBODY", 1},
		{"unknown id, the secret it is compared with", basic("AKIANOBODY", strings.Repeat("\x00", SecretLength)), nil, FailureUnknown, "AKIANOBODY", 1},
		{"empty id", basic("", testSecret), nil, FailureUnknown, "", 1},
		{"wrong secret", basic(testID, testSecret[1:]+"x"), nil, FailureMismatch, testID, 1},
		{"secret with more behind", basic(testID, testSecret+"x"), nil, FailureMismatch, testID, 1},
		{"prefix of the secret", basic(testID, testSecret[:39]), nil, FailureMismatch, testID, 1},
		{"empty secret", basic(testID, ""), nil, FailureMismatch, testID, 1},
		{"stored secret is empty", basic("AKIAEMPTY", ""), nil, FailureUnknown, "AKIAEMPTY", 1},
		{"disabled", basic("AKIADISABLED", testSecret), nil, FailureUnknown, "AKIADISABLED", 1},
		{"disabled, wrong secret", basic("AKIADISABLED", "x"), nil, FailureMismatch, "AKIADISABLED", 1},
		{"session's key as basic", basic(sessionID, sessionSecret), nil, FailureUnknown, sessionID, 1},

		{"bearer", request("Bearer " + token), nil, 0, sessionID, 1},
		{"bearer in other case, two blanks", request("bearer  " + token), nil, 0, sessionID, 1},
		{"bearer, last millisecond", request("Bearer " + tokenOf(t, last)), nil, 0, sessionID, 1},
		{"bearer, expired now", request("Bearer " + tokenOf(t, expired)), nil, FailureExpired, sessionID, 1},
		{"bearer, revoked", request("Bearer " + token), revoked, FailureInvalidToken, sessionID, 1},
		{"bearer of nothing", request("Bearer "), nil, FailureInvalidToken, "", 0},
		{"bearer without a blank", request("Bearer"), nil, FailureInvalidToken, "", 0},
		{"bearer too long", request("Bearer " + strings.Repeat("A", MaxSessionToken+1)), nil, FailureInvalidToken, "", 0},
		{"bearer of the greatest length", request("Bearer " + strings.Repeat("A", MaxSessionToken)), nil, FailureInvalidToken, "", 1},
		{"bearer, not of this cluster", request("Bearer abc.def.ghi"), nil, FailureInvalidToken, "", 1},
		{"bearer with a blank behind", request("Bearer " + token + " "), nil, FailureInvalidToken, "", 1},
		{"bearer of a secret", request("Bearer " + testSecret), nil, FailureInvalidToken, "", 1},

		{"signed", signed(t, ofKey(testID, testSecret)), nil, 0, testID, 1},
		{"signed, the oldest", signed(t, signing{id: testID, secret: testSecret, at: testNow.Add(-5 * time.Minute)}), nil, 0, testID, 1},
		{"signed, too old", signed(t, signing{id: testID, secret: testSecret, at: testNow.Add(-5*time.Minute - time.Second)}), nil, FailureSkew, "", 0},
		{"signed, too new", signed(t, signing{id: testID, secret: testSecret, at: testNow.Add(5*time.Minute + time.Second)}), nil, FailureSkew, "", 0},
		{"signed for another region", signed(t, signing{id: testID, secret: testSecret, region: "eu-west-1"}), nil, FailureMismatch, "", 0},
		{"signed for another service", signed(t, signing{id: testID, secret: testSecret, service: "s3"}), nil, FailureMismatch, "", 0},
		{"signed, unknown id", signed(t, ofKey("AKIANOBODY", testSecret)), nil, FailureUnknown, "AKIANOBODY", 1},
		{"signed, unknown id, the secret it is compared with", signed(t, ofKey("AKIANOBODY", strings.Repeat("\x00", SecretLength))), nil, FailureUnknown, "AKIANOBODY", 1},
		{"signed, wrong secret", signed(t, ofKey(testID, testSecret[1:]+"x")), nil, FailureMismatch, testID, 1},
		{"signed, stored secret is empty", signed(t, ofKey("AKIAEMPTY", strings.Repeat("\x00", SecretLength))), nil, FailureMismatch, "AKIAEMPTY", 1},
		{"signed, disabled", signed(t, ofKey("AKIADISABLED", testSecret)), nil, FailureUnknown, "AKIADISABLED", 1},
		{"signed, disabled, wrong secret", signed(t, ofKey("AKIADISABLED", "x")), nil, FailureMismatch, "AKIADISABLED", 1},
		{"signed, session's key without a token", signed(t, ofKey(sessionID, sessionSecret)), nil, FailureUnknown, sessionID, 1},
		{"signed, other body", with(signed(t, ofKey(testID, testSecret)), func(r *Request) { r.BodySHA256 = nil }), nil, FailureMismatch, testID, 1},
		{"signed, other method", with(signed(t, ofKey(testID, testSecret)), func(r *Request) { r.Method = "PUT" }), nil, FailureMismatch, testID, 1},
		{"signed, other host", with(signed(t, ofKey(testID, testSecret)), func(r *Request) { r.Host = "other.example" }), nil, FailureMismatch, testID, 1},
		{"signed, header that is not", with(signed(t, ofKey(testID, testSecret)), setHeader("X-Amz-Meta", "1")), nil, FailureMismatch, "", 0},
		{"signed, region that is not", with(signed(t, ofKey(testID, testSecret)), setHeader("Lockstep-Region", "us-west-2")), nil, FailureMismatch, "", 0},
		{"signed, idempotency key that is not", with(signed(t, ofKey(testID, testSecret)), setHeader("Idempotency-Key", "1")), nil, FailureMismatch, "", 0},
		{"signed, region too", signed(t, signing{id: testID, secret: testSecret, header: http.Header{"Lockstep-Region": {"us-west-2"}}}), nil, 0, testID, 1},
		{"signed, token added", with(signed(t, ofKey(testID, testSecret)), setHeader("X-Amz-Security-Token", token)), nil, FailureMismatch, "", 0},
		{"signed, token taken away", with(signed(t, ofSession(token)), func(r *Request) { delete(r.Header, "X-Amz-Security-Token") }), nil, FailureMismatch, "", 0},
		{"signed, where only that is taken", with(signed(t, ofKey(testID, testSecret)), signedOnly), nil, 0, testID, 1},
		{"right, where signatures only are taken", with(request(good), signedOnly), nil, FailureMissing, "", 0},
		{"bearer, where signatures only are taken", with(request("Bearer "+token), signedOnly), nil, FailureMissing, "", 0},
		{"signed for a region of the door's", with(signed(t, signing{id: testID, secret: testSecret, region: "eu-west-1"}), regions("eu-west-1")), nil, 0, testID, 1},
		{"signed for a served region that is not the door's", with(signed(t, ofKey(testID, testSecret)), regions("eu-west-1")), nil, FailureMismatch, "", 0},
		{"signature only", request("AWS4-HMAC-SHA256"), nil, FailureIncomplete, "", 0},
		{"signature in lower case", with(signed(t, ofKey(testID, testSecret)), func(r *Request) {
			r.Header.Set("Authorization", strings.ToLower(r.Header.Get("Authorization")))
		}), nil, FailureMissing, "", 0},
		{"other signature", request("AWS4-ECDSA-P256-SHA256 Credential=a"), nil, FailureMissing, "", 0},
		{"presigned alone", with(request(""), func(r *Request) { r.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00" }), nil, FailureIncomplete, "", 0},
		{"presigned beside a certificate", with(request(""), func(r *Request) {
			r.RawQuery, r.TLS = "x-amz-signature=00", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		}), nil, FailureIncomplete, "", 0},

		{"session signed", signed(t, ofSession(token)), nil, 0, sessionID, 1},
		{"session signed, wrong secret", signed(t, signing{id: sessionID, secret: testSecret, token: token}), nil, FailureMismatch, sessionID, 1},
		{"session signed, token of another", signed(t, ofSession(tokenOf(t, other))), nil, FailureInvalidToken, sessionID, 1},
		{"user's key with a session's token", signed(t, signing{id: testID, secret: testSecret, token: token}), nil, FailureInvalidToken, testID, 1},
		{"session's secret under a user's key", signed(t, signing{id: testID, secret: sessionSecret, token: token}), nil, FailureInvalidToken, testID, 1},
		{"session signed, expired now", signed(t, ofSession(tokenOf(t, expired))), nil, FailureExpired, sessionID, 1},
		{"session signed, last millisecond", signed(t, ofSession(tokenOf(t, last))), nil, 0, sessionID, 1},
		{"session signed, revoked", signed(t, ofSession(token)), revoked, FailureInvalidToken, sessionID, 1},
		{"session signed, not of this cluster", signed(t, ofSession("FwoGZXIvYXdzEXAMPLE")), nil, FailureInvalidToken, "", 1},
		{"session signed, token too long", signed(t, ofSession(strings.Repeat("A", MaxSessionToken+1))), nil, FailureInvalidToken, "", 0},
	}
	messages := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := newDirectory()
			if tt.dir != nil {
				tt.dir(dir)
			}
			p, err := NewAuthenticator(testOptions()).Authenticate(dir, tt.r)
			if dir.lookups != tt.lookups {
				t.Errorf("%d look-ups, want %d", dir.lookups, tt.lookups)
			}
			if (p == nil) != (err != nil) {
				t.Fatalf("principal %v with error %v", p, err)
			}
			if tt.kind == 0 {
				if err != nil || p.AccessKeyID != tt.identity {
					t.Fatalf("got %+v and %v, want %s", p, err, tt.identity)
				}
				return
			}
			var f *Failure
			if kms.CodeOf(err) != kms.CodeUnauthenticated || !errors.As(err, &f) {
				t.Fatalf("got %v", err)
			}
			if f.Kind != tt.kind || f.Identity != tt.identity || ClaimedIdentity(err) != tt.identity || f.Message == "" {
				t.Errorf("failure %+v, want kind %d of %q", f, tt.kind, tt.identity)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, f, f); strings.Contains(text, testSecret) || strings.Contains(text, sessionSecret) {
				t.Errorf("a secret in %s", text)
			}
			var public *kms.Error
			if !errors.As(err, &public) {
				t.Fatalf("%T", err)
			}
			messages[public.Message] = true
		})
	}
	if len(messages) != 1 {
		t.Errorf("unauthenticated has %d messages, want one for all: %v", len(messages), messages)
	}
}

// More than one scheme is refused before anything is looked up, whatever the schemes are.
func TestAuthenticateRefusesTwoSchemes(t *testing.T) {
	schemes := map[string]string{"basic": basicHeader(testID, testSecret), "bearer": "Bearer " + tokenOf(t, testSession()),
		"signature": signed(t, signing{id: testID, secret: testSecret}).Header.Get("Authorization"), "unknown": "Digest abc", "empty": ""}
	refused := func(name string, r *Request) {
		t.Helper()
		dir := newDirectory()
		p, err := NewAuthenticator(testOptions()).Authenticate(dir, r)
		if p != nil || kms.CodeOf(err) != kms.CodeInvalidRequest || dir.lookups != 0 {
			t.Errorf("%s: %v, %v after %d look-ups", name, p, err, dir.lookups)
		}
	}
	for a, first := range schemes {
		for b, second := range schemes {
			r := signed(t, signing{id: testID, secret: testSecret})
			r.Header["Authorization"] = []string{first, second}
			refused(a+" and "+b, r)
		}
		for _, query := range []string{"X-Amz-Algorithm=A", "a=b&x-amz-signature=00", "&&X-AMZ-SIGNATURE"} {
			r := with(request(""), setHeader("Authorization", first))
			r.RawQuery = query
			refused(a+" and "+query, r)
		}
	}
}

func TestAuthenticateAnswersTheDirectorysPrincipal(t *testing.T) {
	dir := newDirectory()
	for _, r := range []*Request{request(basicHeader(testID, testSecret)), signed(t, signing{id: testID, secret: testSecret})} {
		p, err := NewAuthenticator(testOptions()).Authenticate(dir, r)
		if err != nil {
			t.Fatal(err)
		}
		if p != &dir.keys[testID].Principal {
			t.Errorf("got %+v, not the directory's own principal", p)
		}
	}
}

// No change of one character of a token leaves it valid, and no shorter or longer one is.
func TestAuthenticateRefusesChangedTokens(t *testing.T) {
	token := tokenOf(t, testSession())
	a, dir := NewAuthenticator(testOptions()), newDirectory()
	changed := []string{token[1:], token[:len(token)-1], token + "A", token + "=", token + token, strings.ToUpper(token)}
	for i := range token {
		for _, c := range []byte{token[i] ^ 1, 'A', '_', 0} {
			if c != token[i] {
				changed = append(changed, token[:i]+string(rune(c))+token[i+1:])
			}
		}
	}
	for _, one := range changed {
		_, err := a.Authenticate(dir, request("Bearer "+one))
		var f *Failure
		if !errors.As(err, &f) || f.Kind != FailureInvalidToken {
			t.Fatalf("%q: %v", one, err)
		}
	}
	if _, err := a.Authenticate(dir, request("Bearer "+token)); err != nil {
		t.Error(err)
	}
}

// A key that was cached for a secret must not verify once the secret is another one.
func TestSignatureAfterTheSecretChanged(t *testing.T) {
	a, dir := NewAuthenticator(testOptions()), newDirectory()
	r := signed(t, signing{id: testID, secret: testSecret})
	if _, err := a.Authenticate(dir, r); err != nil {
		t.Fatal(err)
	}
	dir.keys[testID] = &Credential{AccessKeyID: testID, Secret: []byte(sessionSecret)}
	if _, err := a.Authenticate(dir, r); kms.CodeOf(err) != kms.CodeUnauthenticated {
		t.Errorf("got %v", err)
	}
}

// The work of a refusal must not tell an unknown id from a wrong secret. Time is not asserted;
// allocations, which stand for the code path taken, are.
func TestRefusalsDoEqualWork(t *testing.T) {
	wrong := strings.Repeat("x", SecretLength)
	ids := map[string]string{"wrong secret": testID, "unknown": "AKIAAAAAAAAAAAAAAAAA", "disabled": "AKIADISABLED"}
	for scheme, of := range map[string]func(id, sec string) *Request{
		"basic":     func(id, sec string) *Request { return request(basicHeader(id, sec)) },
		"signature": func(id, sec string) *Request { return signed(t, signing{id: id, secret: sec}) },
	} {
		count := func(r *Request) float64 {
			a, dir := NewAuthenticator(testOptions()), newDirectory()
			return testing.AllocsPerRun(100, func() {
				if p, _ := a.Authenticate(dir, r); p != nil {
					t.Fatal("authenticated")
				}
			})
		}
		want := count(of(testID, wrong))
		for name, id := range ids {
			if got := count(of(id, wrong)); got != want {
				t.Errorf("%s, %s: %v allocations, a wrong secret has %v", scheme, name, got, want)
			}
		}
		if scheme == "basic" { // a signature that verifies is cheaper: who made it knows the secret
			if got := count(of("AKIADISABLED", testSecret)); got != want {
				t.Errorf("disabled with its right secret: %v allocations, a wrong secret has %v", got, want)
			}
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	token := tokenOf(f, testSession())
	sigv4 := signed(f, signing{id: testID, secret: testSecret})
	session := signed(f, signing{id: sessionID, secret: sessionSecret, token: token})
	f.Add(basicHeader(testID, testSecret), "", "", "")
	f.Add("Basic", "X-Amz-Signature", "", "")
	f.Add("Basic Og==", "&&=&", "", "")
	f.Add("Bearer a.b.c", "a=b", "", "")
	f.Add("Bearer "+token, "", "", "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=00", "", "20260304T050607Z", "")
	f.Add(sigv4.Header.Get("Authorization"), "", sigv4.Header.Get("X-Amz-Date"), "")
	f.Add(session.Header.Get("Authorization"), "", session.Header.Get("X-Amz-Date"), token)
	// The signatures of signed's request that the secrets make: no other one can authenticate.
	genuine := []string{}
	for _, r := range []*Request{sigv4, session} {
		_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
		genuine = append(genuine, signature)
	}
	a, dir := NewAuthenticator(testOptions()), newDirectory()
	f.Fuzz(func(t *testing.T, header, query, date, given string) {
		r := signed(t, signing{id: testID, secret: testSecret})
		r.Header["Authorization"], r.RawQuery = []string{header}, query
		r.Header["X-Amz-Date"] = []string{date}
		if given != "" {
			r.Header["X-Amz-Security-Token"] = []string{given}
		}
		p, err := a.Authenticate(dir, r)
		switch code := kms.CodeOf(err); code {
		case "":
			scheme, value, _ := strings.Cut(header, " ")
			value = strings.TrimLeft(value, " ")
			raw, _ := base64.StdEncoding.DecodeString(value)
			id, sec, _ := strings.Cut(string(raw), ":")
			stored := dir.keys[id]
			right := strings.EqualFold(scheme, "Basic") && stored != nil && !stored.Disabled && string(stored.Secret) == sec ||
				strings.EqualFold(scheme, "Bearer") && value == token ||
				scheme == "AWS4-HMAC-SHA256" && (strings.Contains(value, genuine[0]) || strings.Contains(value, genuine[1]))
			if p == nil || !right {
				t.Fatalf("%q authenticates %v", header, p)
			}
		case kms.CodeUnauthenticated, kms.CodeInvalidRequest:
			if p != nil {
				t.Fatalf("%q: a principal beside %v", header, err)
			}
		default:
			t.Fatalf("%q: unexpected %v", header, err)
		}
	})
}

func benchmark(b *testing.B, r *Request) {
	a, dir := NewAuthenticator(testOptions()), newDirectory()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(dir, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBasic(b *testing.B) { benchmark(b, request(basicHeader(testID, testSecret))) }

func BenchmarkSignature(b *testing.B) {
	benchmark(b, signed(b, signing{id: testID, secret: testSecret}))
}

// The directory of these tests opens the token each time; a catalog remembers opened tokens.
func BenchmarkBearer(b *testing.B) { benchmark(b, request("Bearer "+tokenOf(b, testSession()))) }
