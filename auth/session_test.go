package auth

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
)

// fullSession has every field that a token has.
func fullSession() *Session {
	s := testSession()
	s.Tags = map[string]string{"Team": "blue", "Cost": "7"}
	s.Policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}]}`
	s.PolicyARNs = []string{"arn:aws:iam::111122223333:policy/readers"}
	s.Federated, s.Subject = "arn:aws:iam::111122223333:oidc-provider/ci.example", "repo:orders"
	return s
}

// ownSession is one of a user itself.
func ownSession() *Session {
	s := testSession()
	s.Role, s.RoleID, s.Name, s.Generation, s.Tags, s.Issuer = "", "", "", 0, nil, ""
	s.OfKey = "AKIAOWNER"
	return s
}

// fields is what of a session its token has.
func fields(s *Session) *Session {
	return &Session{Schema: s.Schema, AccessKeyID: s.AccessKeyID, Secret: s.Secret, Account: s.Account, Role: s.Role, RoleID: s.RoleID,
		Generation: s.Generation, Name: s.Name, Issued: s.Issued, Expires: s.Expires, Tags: s.Tags, Policy: s.Policy,
		PolicyARNs: s.PolicyARNs, Issuer: s.Issuer, Federated: s.Federated, Subject: s.Subject, Certificate: s.Certificate, OfKey: s.OfKey}
}

func TestSessionRoundTrip(t *testing.T) {
	for name, s := range map[string]*Session{"least": testSession(), "full": fullSession(), "own": ownSession()} {
		plain, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeSession(plain)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := fields(s); !reflect.DeepEqual(fields(got), want) {
			t.Errorf("%s: got %+v, want %+v", name, fields(got), want)
		}
	}
}

// A field that is added to Session must be added to fullSession, so that round trips and the vector have it.
func TestFullSessionIsFull(t *testing.T) {
	v := reflect.ValueOf(fullSession()).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Name != "Certificate" && f.Name != "OfKey" && v.Field(i).IsZero() {
			t.Errorf("%s is not set", f.Name)
		}
	}
}

func TestSessionGoldenVectors(t *testing.T) {
	for file, s := range map[string]*Session{"testdata/session.hex": fullSession(), "testdata/own.hex": ownSession()} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		golden, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(plain, golden) {
			t.Errorf("%s: encoded to %x", file, plain)
		}
		got, err := DecodeSession(golden)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if want := fields(s); !reflect.DeepEqual(fields(got), want) {
			t.Errorf("%s: decoded to %+v", file, fields(got))
		}
	}
}

// pairs is the map of a session's encoding.
func pairs(t testing.TB, s *Session) map[int]any {
	t.Helper()
	plain, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var all map[int]any
	if err := cbor.Unmarshal(plain, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeSessionRefuses(t *testing.T) {
	good, err := testSession().Encode()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"nothing":        nil,
		"no map":         encoded(t, []int{1}),
		"null":           encoded(t, nil),
		"trailing byte":  append(bytes.Clone(good), 0),
		"twice":          append(bytes.Clone(good), good...),
		"duplicate":      append(append([]byte{good[0] + 1}, good[1:]...), 0x03, 0x6c, '9', '9', '9', '9', '9', '9', '9', '9', '9', '9', '9', '9'),
		"indefinite":     append(append([]byte{0xbf}, good[1:]...), 0xff),
		"tagged":         append([]byte{0xc6}, good...),
		"duplicate tag":  append(append([]byte{good[0] + 1}, good[1:]...), 0x0a, 0xa2, 0x61, 'a', 0x61, '1', 0x61, 'a', 0x61, '2'),
		"name of a text": encoded(t, map[string]any{"Schema": 1}),
	}
	for n := range good {
		tests[fmt.Sprint("cut at ", n)] = good[:n]
	}
	change := func(name string, f func(map[int]any)) {
		all := pairs(t, testSession())
		f(all)
		tests[name] = encoded(t, all)
	}
	change("schema 0", func(m map[int]any) { m[0] = 0 })
	change("schema 2", func(m map[int]any) { m[0] = 2 })
	change("schema 257", func(m map[int]any) { m[0] = 257 })
	change("unknown field", func(m map[int]any) { m[18] = 1 })
	change("of a role and a key", func(m map[int]any) { m[17] = "AKIAOWNER" })
	for key, value := range map[int]any{4: "deploy", 5: "AROA", 7: "build", 10: map[string]string{"a": "b"}, 11: "{}", 12: []string{"arn"}} {
		all := pairs(t, ownSession())
		all[key] = value
		tests[fmt.Sprint("of a key, with field ", key)] = encoded(t, all)
	}
	change("of nobody", func(m map[int]any) { delete(m, 4); delete(m, 5) })
	change("field of another type", func(m map[int]any) { m[3] = 111122223333 })
	change("not UTF-8", func(m map[int]any) { m[3] = "\xff" })
	change("empty secret", func(m map[int]any) { m[2] = []byte{} })
	change("of a certificate", func(m map[int]any) { m[16] = true })
	change("ends as it begins", func(m map[int]any) { m[9] = m[8] })
	change("too many policies", func(m map[int]any) { m[12] = make([]string, 65) })
	change("oversize", func(m map[int]any) { m[11] = strings.Repeat("x", MaxSessionToken) })
	for _, key := range []int{0, 1, 2, 3, 4, 5, 7, 9} {
		change(fmt.Sprint("without field ", key), func(m map[int]any) { delete(m, key) })
	}
	for name, plain := range tests {
		if s, err := DecodeSession(plain); err == nil || s != nil {
			t.Errorf("%s: decoded to %+v", name, s)
		}
	}
	if _, err := DecodeSession(encoded(t, pairs(t, testSession()))); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// The session of a certificate lives for one request: it must not come back as a token, however it got encoded.
func TestSessionOfCertificateIsNoToken(t *testing.T) {
	s := testSession()
	s.Certificate = true
	plain, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeSession(plain); err == nil {
		t.Error("decoded")
	}
}

func TestSessionPolicyThatDoesNotParseDeniesEverything(t *testing.T) {
	key := parse(t, policy.KeyPolicy, DefaultKeyPolicy("aws", tenant))
	all := parse(t, policy.IdentityPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	for _, tt := range []struct {
		policy string
		want   bool
	}{{"", true}, {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}]}`, true}, {"{", false}, {" ", false}} {
		s := testSession()
		s.Policy = tt.policy
		plain, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeSession(plain)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got.Limits()); (n == 0) != (tt.policy == "") {
			t.Errorf("%q: %d limits", tt.policy, n)
		}
		p := roleSession()
		p.Identity = []Policy{{ID: "all", Document: all}}
		p.Complete(got.Limits())
		d := Decide(&Query{Principal: p, Operation: kms.OpEncrypt, Resource: keyARN, ResourceAccount: tenant, Key: true, Policy: key})
		if d.Allow() != tt.want {
			t.Errorf("%q: %v (%s)", tt.policy, d.Allow(), d.Reason)
		}
	}
}

func TestSessionKeepsThePrincipalOfOneState(t *testing.T) {
	s, p := testSession(), &Principal{}
	if s.Kept(0, 0) != nil {
		t.Error("kept before it was told")
	}
	s.Keep(1, 2, p)
	if s.Kept(1, 2) != p || s.Kept(1, 3) != nil || s.Kept(2, 2) != nil || s.Kept(0, 0) != nil {
		t.Error("not kept for its state alone")
	}
}

func TestSessionNeverShowsItsSecret(t *testing.T) {
	s := testSession()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		text := fmt.Sprintf(verb, s)
		if strings.Contains(text, sessionSecret) || strings.Contains(text, hex.EncodeToString([]byte(sessionSecret))) {
			t.Errorf("%s shows the secret", verb)
		}
	}
}

func TestSessionIsOverAtItsMillisecond(t *testing.T) {
	s := testSession()
	for offset, want := range map[int64]bool{math.MinInt32: false, -1: false, 0: true, 1: true} {
		if got := s.over(time.UnixMilli(s.Expires + offset)); got != want {
			t.Errorf("%d ms: over %v", offset, got)
		}
	}
}

// What decodes is a whole session, and its encoding is one too.
func FuzzDecodeSession(f *testing.F) {
	for _, s := range []*Session{testSession(), fullSession(), ownSession()} {
		plain, err := s.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Add([]byte{0xa0})
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, plain []byte) {
		s, err := DecodeSession(plain)
		if err != nil {
			return
		}
		if s.Schema != 1 || s.Certificate || s.AccessKeyID == "" || len(s.Secret) == 0 || (s.RoleID == "") == (s.OfKey == "") || s.Expires <= s.Issued {
			t.Fatalf("%x decodes to %+v", plain, fields(s))
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > MaxSessionToken {
			return // a longer form of its numbers
		}
		back, err := DecodeSession(again)
		if err != nil {
			t.Fatalf("%x: %v", again, err)
		}
		if third, err := back.Encode(); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%x encodes to %x (%v)", again, third, err)
		}
	})
}
