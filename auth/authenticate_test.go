package auth

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/secret"
)

const (
	testID     = "AKIAABCDEFGHIJKLMNOP"
	testSecret = "0123456789abcdefghijABCDEFGHIJ0123456789"
)

// directory is a Directory over a map, counting look-ups.
type directory struct {
	keys    map[string]*Credential
	lookups int
}

func (d *directory) Credential(id string) (*Credential, bool) {
	d.lookups++
	c, ok := d.keys[id]
	return c, ok
}

func newDirectory() *directory {
	return &directory{keys: map[string]*Credential{
		testID: {AccessKeyID: testID, Secret: secret.Bytes(testSecret),
			Principal: Principal{Account: "111122223333", Type: TypeRoot, AccessKeyID: testID}},
		"AKIADISABLED": {AccessKeyID: "AKIADISABLED", Secret: secret.Bytes(testSecret), Disabled: true},
		"AKIASHORT":    {AccessKeyID: "AKIASHORT", Secret: secret.Bytes("short")},
	}}
}

func basicHeader(id, sec string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+sec))
}

func TestAuthenticate(t *testing.T) {
	good := basicHeader(testID, testSecret)
	tests := []struct {
		name    string
		headers []string
		query   string
		want    kms.Code // "" for the principal
		lookups int
	}{
		{"right", []string{good}, "", "", 1},
		{"scheme in other case", []string{"bAsIc" + good[5:]}, "", "", 1},
		{"two blanks", []string{"Basic  " + good[6:]}, "", "", 1},
		{"plain query", []string{good}, "limit=3&X-Amz", "", 1},
		{"secret of another length", []string{basicHeader("AKIASHORT", "short")}, "", "", 1},

		{"no header", nil, "", kms.CodeUnauthenticated, 0},
		{"empty header", []string{""}, "", kms.CodeUnauthenticated, 0},
		{"presigned alone", nil, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00", kms.CodeUnauthenticated, 0},
		{"unknown scheme", []string{"Bearer abc"}, "", kms.CodeUnauthenticated, 0},
		{"scheme only", []string{"Basic"}, "", kms.CodeUnauthenticated, 0},
		{"not base64", []string{"Basic !!!"}, "", kms.CodeUnauthenticated, 0},
		{"no colon", []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(testID))}, "", kms.CodeUnauthenticated, 0},
		{"too long", []string{basicHeader(testID, strings.Repeat("x", 10_000))}, "", kms.CodeUnauthenticated, 0},
		{"unknown id", []string{basicHeader("AKIANOBODY", testSecret)}, "", kms.CodeUnauthenticated, 1},
		{"unknown id, the secret it is compared with", []string{basicHeader("AKIANOBODY", strings.Repeat("\x00", SecretLength))}, "", kms.CodeUnauthenticated, 1},
		{"wrong secret", []string{basicHeader(testID, testSecret[1:]+"x")}, "", kms.CodeUnauthenticated, 1},
		{"secret with more behind", []string{basicHeader(testID, testSecret+"x")}, "", kms.CodeUnauthenticated, 1},
		{"prefix of the secret", []string{basicHeader(testID, testSecret[:39])}, "", kms.CodeUnauthenticated, 1},
		{"empty secret", []string{basicHeader(testID, "")}, "", kms.CodeUnauthenticated, 1},
		{"disabled", []string{basicHeader("AKIADISABLED", testSecret)}, "", kms.CodeUnauthenticated, 1},

		{"two headers", []string{good, good}, "", kms.CodeInvalidRequest, 0},
		{"two schemes", []string{good, "Bearer abc"}, "", kms.CodeInvalidRequest, 0},
		{"header and presigned query", []string{good}, "a=b&x-amz-signature=00", kms.CodeInvalidRequest, 0},
		{"unknown scheme and presigned query", []string{"Bearer abc"}, "X-Amz-Algorithm=A", kms.CodeInvalidRequest, 0},
	}
	messages := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := newDirectory()
			r := &Request{RawQuery: tt.query, Header: http.Header{"Authorization": tt.headers}}
			p, err := NewAuthenticator().Authenticate(dir, r)
			if got := kms.CodeOf(err); got != tt.want {
				t.Fatalf("code %q, want %q", got, tt.want)
			}
			if (p == nil) != (err != nil) {
				t.Errorf("principal %v with error %v", p, err)
			}
			if dir.lookups != tt.lookups {
				t.Errorf("%d look-ups, want %d", dir.lookups, tt.lookups)
			}
			if tt.want == kms.CodeUnauthenticated {
				messages[err.Error()] = true
			}
		})
	}
	if len(messages) != 1 {
		t.Errorf("unauthenticated has %d messages, want one for all: %v", len(messages), messages)
	}
}

func TestAuthenticateAnswersTheDirectorysPrincipal(t *testing.T) {
	dir := newDirectory()
	r := &Request{Header: http.Header{"Authorization": {basicHeader(testID, testSecret)}}}
	p, err := NewAuthenticator().Authenticate(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if p != &dir.keys[testID].Principal {
		t.Errorf("got %+v, not the directory's own principal", p)
	}
}

// The work of a refusal must not tell an unknown id from a wrong secret. Time is not asserted;
// allocations, which stand for the code path taken, are.
func TestRefusalsDoEqualWork(t *testing.T) {
	count := func(id, sec string) float64 {
		dir := newDirectory()
		r := &Request{Header: http.Header{"Authorization": {basicHeader(id, sec)}}}
		a := NewAuthenticator()
		return testing.AllocsPerRun(100, func() { _, _ = a.Authenticate(dir, r) })
	}
	wrong := strings.Repeat("x", SecretLength)
	known := count(testID, wrong)
	for _, id := range []string{"AKIAAAAAAAAAAAAAAAAA", "AKIADISABLED"} {
		if got := count(id, wrong); got != known {
			t.Errorf("%s: %v allocations, a wrong secret has %v", id, got, known)
		}
	}
	if got := count("AKIADISABLED", testSecret); got != known {
		t.Errorf("disabled with its right secret: %v allocations, a wrong secret has %v", got, known)
	}
}

func FuzzAuthenticate(f *testing.F) {
	f.Add(basicHeader(testID, testSecret), "")
	f.Add("Basic", "X-Amz-Signature")
	f.Add("Basic Og==", "&&=&")
	f.Add("Bearer a.b.c", "a=b")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=00", "")
	a, dir := NewAuthenticator(), newDirectory()
	dir.keys = map[string]*Credential{testID: dir.keys[testID]}
	f.Fuzz(func(t *testing.T, header, query string) {
		p, err := a.Authenticate(dir, &Request{RawQuery: query, Header: http.Header{"Authorization": {header}}})
		switch code := kms.CodeOf(err); code {
		case "":
			scheme, value, _ := strings.Cut(header, " ")
			raw, bad := base64.StdEncoding.DecodeString(strings.TrimLeft(value, " "))
			if p == nil || !strings.EqualFold(scheme, "Basic") || bad != nil || string(raw) != testID+":"+testSecret {
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

func BenchmarkBasic(b *testing.B) {
	a, dir := NewAuthenticator(), newDirectory()
	r := &Request{Header: http.Header{"Authorization": {basicHeader(testID, testSecret)}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(dir, r); err != nil {
			b.Fatal(err)
		}
	}
}
