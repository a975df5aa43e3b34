package audit

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

func sample() *Record {
	return &Record{
		Time:      time.Date(2026, 11, 23, 20, 15, 0, 123456789, time.FixedZone("", 3600)),
		EventID:   [16]byte{0, 1, 2, 3, 4, 5, 0x86, 7, 0x88, 9, 10, 11, 12, 13, 14, 15},
		RequestID: "req-1", Source: "kms.amazonaws.com", Name: "Encrypt", Region: "us-east-1",
		SourceIP: "192.0.2.1", UserAgent: `curl/8 "quoted" \ ` + "\x00\n\x7fé\xff€",
		Identity: Identity{Type: "Root", PrincipalID: "111122223333", ARN: "arn:aws:iam::111122223333:root",
			AccountID: "111122223333", AccessKeyID: "AKIAAAAAAAAAAAAAAAAA"},
		Parameters: []Pair{
			{Key: "keyId", Value: "alias/app"},
			{Key: "encryptionContext", Object: map[string]string{"tenant": "7", "app": "shop", "": "\u2028"}},
			Int("numberOfBytes", -32), Bool("dryRun", false),
		},
		Resources: []Resource{{ARN: "arn:aws:kms:us-east-1:111122223333:key/k1", AccountID: "111122223333", Type: "AWS::KMS::Key"}, {ARN: "arn:x"}},
		ReadOnly:  true, Recipient: "111122223333", Node: "node-a", Epoch: 1, Index: 1<<64 - 1,
	}
}

func TestGoldenRecords(t *testing.T) {
	refused := &Record{Time: time.Unix(0, 0), Source: "lockstep", Name: "Seal", ErrorCode: "access_denied", ErrorMessage: "No.", Response: []Pair{}}
	session := sample()
	session.TLS, session.Door, session.TraceID = TLS{tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, "kms.example:8443"}, "awskms", "4bf92f3577b34da6a3ce929d0e0e4736"
	session.Identity = Identity{Type: "AssumedRole", PrincipalID: "AROAEXAMPLE:build", ARN: "arn:aws:sts::111122223333:assumed-role/ci/build", AccountID: "111122223333",
		AccessKeyID: "ASIAEXAMPLE", Session: Session{Created: session.Time, Provider: "arn:aws:iam::111122223333:oidc-provider/ci.example/t1", Subject: "repo:a",
			Issuer: Issuer{"Role", "AROAEXAMPLE", "arn:aws:iam::111122223333:role/ci", "111122223333", "ci"}}}
	session.Response = []Pair{Members("keyMetadata", Pair{Key: "keyId", Value: "k1"}, Bool("enabled", true), List("encryptionAlgorithms", []string{"SYMMETRIC_DEFAULT"})),
		Members("empty"), List("none", []string{})}
	web := sample()
	web.Identity = Identity{Type: "WebIdentityUser", PrincipalID: "ci.example:app:repo:a", UserName: "repo:a", Provider: "ci.example"}
	own := sample()
	own.Identity.Session.Created = own.Time
	event := &Record{Time: time.Unix(0, 0), Source: "lockstep", Name: "NodeUnsealed", Identity: Identity{Type: "Service", PrincipalID: "n1"}, Details: []Pair{Int("term", 7)}}
	bare := &Record{Service: true}
	var got strings.Builder
	for _, r := range []*Record{sample(), refused, {}, session, web, own, event, bare} {
		got.Write(r.AppendJSON(nil))
		got.WriteByte('\n')
	}
	want, err := os.ReadFile("testdata/records.jsonl")
	if err != nil || got.String() != string(want) {
		t.Errorf("testdata/records.jsonl differs (%v); got\n%s", err, got.String())
	}
}

// checkLine parses a line with encoding/json and compares what callers control.
func checkLine(t testing.TB, r *Record) {
	t.Helper()
	line := r.AppendJSON(nil)
	if !utf8.Valid(line) || strings.ContainsAny(string(line), "\n\r\x00\u0085\u2028\u2029") {
		t.Fatalf("not one line of UTF-8: %q", line)
	}
	var got struct {
		RequestID, EventSource, EventName, AWSRegion, SourceIPAddress, UserAgent, ErrorCode, ErrorMessage string
		EventTime                                                                                         time.Time
		UserIdentity                                                                                      struct{ Type, PrincipalID, ARN, AccountID, AccessKeyID string }
		RequestParameters, ResponseElements                                                               map[string]any
		Resources                                                                                         []Resource
		RecipientAccountID                                                                                string
		ReadOnly                                                                                          bool
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	text := func(what, got, given string) {
		t.Helper()
		if whole := string([]rune(given)); len(appendText(nil, whole, 6*len(whole))) > maxText+len(`""`) { // it is cut
			if !strings.HasPrefix(whole, got) || len(appendString(nil, got)) <= maxText-len(`\u0000`) {
				t.Errorf("%s: it is cut to %q", what, got)
			}
			return
		}
		if want := strings.ToValidUTF8(given, "\ufffd"); got != want && !sameText(got, given) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	text("requestID", got.RequestID, r.RequestID)
	text("eventName", got.EventName, r.Name)
	text("sourceIPAddress", got.SourceIPAddress, r.SourceIP)
	text("userAgent", got.UserAgent, r.UserAgent)
	text("errorMessage", got.ErrorMessage, r.ErrorMessage)
	text("arn", got.UserIdentity.ARN, r.Identity.ARN)
	for i, resource := range r.Resources {
		text("resource", got.Resources[i].ARN, resource.ARN)
	}
	for _, p := range r.Parameters {
		if m, ok := got.RequestParameters[validKey(p.Key)].(map[string]any); ok {
			for k, v := range p.Object {
				if utf8.ValidString(k) {
					text("object member", m[k].(string), v)
				}
			}
		}
	}
	if (got.RequestParameters == nil) != (r.Parameters == nil) {
		t.Errorf("requestParameters: %v for %v", got.RequestParameters, r.Parameters)
	}
}

// sameText compares as encoding/json replaces bad bytes: each by one U+FFFD.
func sameText(got, given string) bool { return got == string([]rune(given)) }

func validKey(s string) string { return string([]rune(s)) }

func TestEveryRecordIsOneLineOfJSON(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := func(label string) string {
			return string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, label))
		}
		r := &Record{
			Time: time.UnixMilli(rapid.Int64().Draw(rt, "time")), RequestID: text("request"), Name: text("name"), SourceIP: text("ip"),
			UserAgent: strings.Repeat(text("agent"), 40), ErrorCode: text("code"), ErrorMessage: text("message"),
			Identity: Identity{Type: text("type"), ARN: text("arn"), UserName: text("user"), Provider: text("idp"), Session: Session{Created: time.UnixMilli(rapid.Int64().Draw(rt, "created")),
				Provider: text("provider"), Subject: text("subject"), Issuer: Issuer{Type: text("issuer"), UserName: text("role")}}},
			TLS: TLS{rapid.Uint16().Draw(rt, "tls"), rapid.Uint16().Draw(rt, "cipher"), text("host")}, Door: text("door"), TraceID: text("trace"),
			Response: []Pair{Members("m", Pair{Key: "k", Value: text("member")}), List("l", []string{text("entry")})}, Index: rapid.Uint64().Draw(rt, "index"),
		}
		for range rapid.IntRange(0, 3).Draw(rt, "pairs") {
			r.Parameters = append(r.Parameters, Pair{Key: text("key"), Value: text("value")})
		}
		r.Parameters = append(r.Parameters, Int("int", rapid.Int64().Draw(rt, "int")), Pair{Key: "context",
			Object: rapid.MapOf(rapid.String(), rapid.String()).Draw(rt, "context")})
		r.Resources = append(r.Resources, Resource{ARN: text("resource")})
		checkLine(t, r)
	})
}

func TestObjectsAreSorted(t *testing.T) {
	m := map[string]string{}
	for c := 'z'; c >= 'a'; c-- {
		m[string(c)] = "v"
		line := string(appendObject(nil, m, maxRecord))
		at := -1
		for _, k := range slices.Sorted(maps.Keys(m)) {
			next := strings.Index(line, `"`+k+`":`)
			if next <= at {
				t.Fatalf("%s", line)
			}
			at = next
		}
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\x1f\x7f\"\\\n\xff\xc3\u2028\ufffd")
	f.Fuzz(func(t *testing.T, s string) {
		checkLine(t, &Record{UserAgent: s, RequestID: s, Parameters: []Pair{{Key: s, Object: map[string]string{s: s}}}})
	})
}

func TestRenderingDoesNotAllocate(t *testing.T) {
	r, b := sample(), make([]byte, 0, 4096)
	r.TLS = TLS{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "kms.example"}
	r.Identity.Session = Session{Created: r.Time, Issuer: Issuer{Type: "Role"}, Provider: "arn:x/y", Subject: "s"}
	if n := testing.AllocsPerRun(100, func() { b = r.AppendJSON(b[:0]) }); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	r, buf := sample(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendJSON(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

// However long what a caller said is, its record is not.
func TestParametersAreCut(t *testing.T) {
	long, many := strings.Repeat("x", 1<<16), map[string]string{}
	for i := range 100 {
		many[fmt.Sprintf("%04d", i)] = long[:1000]
	}
	context := map[string]string{"a": long[:8000], "b": "", "c": long[:150]} // as large as one may be: it stays whole
	var got struct {
		RequestParameters, ResponseElements struct {
			Text            string
			Object, Context map[string]string
		}
	}
	pairs := []Pair{{Key: "text", Value: long}, {Key: "object", Object: many}, {Key: "context", Object: context}}
	for _, r := range []*Record{{Parameters: pairs}, {Response: pairs}} {
		if err := json.Unmarshal(r.AppendJSON(nil), &got); err != nil { // null leaves what is there
			t.Fatal(err)
		}
	}
	for which, of := range []struct {
		Text            string
		Object, Context map[string]string
	}{got.RequestParameters, got.ResponseElements} {
		size := len("{}")
		for k, v := range of.Object {
			size += len(`"":"",`) + len(k) + len(v)
		}
		if size--; of.Text != long[:1024] || size != 16<<10 || of.Object["0000"] != long[:1000] || !maps.Equal(of.Context, context) {
			t.Errorf("%d: %d bytes in a text, %d in an object of %d, %d in a context", which, len(of.Text), size, len(of.Object), len(of.Context["a"]))
		}
	}
}

// No record is too long for a datagram, whatever is in it and however it has to be escaped; what is cut is cut between characters.
func TestNoRecordIsTooLong(t *testing.T) {
	for _, c := range []string{"x", "\x01", `"`, "\\", "\u2028", "\u0085", "é", "€", "\U0001f511", "\xff", "x\xe2\x82", "\ufffd"} {
		long := strings.Repeat(c, 40<<10)
		context := map[string]string{long[:3996]: long[:4104], "a": long[:8100]}
		list := List("l", []string{long, long, long, long, long, long, long, long, long, long, long, long, long, long, long, long, long, long})
		everything := []Pair{{Key: "t", Value: long}, Document("d", long), {Key: "source", Object: context}, {Key: "destination", Object: context}, list, Document("e", long),
			Members("m", list, Document("d", long), Int("n", 1)), Entries("entries", []Pair{Members("", Pair{Key: "k", Object: context}), list, list}), Bool("last", true)}
		long = strings.Repeat(c, 2<<10)
		for _, r := range []*Record{
			{Parameters: everything[2:4]},
			{Parameters: everything, Response: everything, Details: everything},
			{Parameters: everything, Response: everything, Details: everything, RequestID: long, Source: long, Name: long, Region: long, SourceIP: long, UserAgent: long,
				Identity:  Identity{long, long, long, long, long, long, long, Session{time.Unix(0, 0), Issuer{long, long, long, long, long}, long + "/" + long, long}},
				Resources: []Resource{{long, long, long}, {long, long, long}, {long, long, long}}, ErrorCode: long, ErrorMessage: long, Recipient: long,
				TLS: TLS{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, long}, Node: long, Door: long, TraceID: long, Epoch: 1<<64 - 1, Index: 1<<64 - 1},
		} {
			line, _ := chain.AppendLink(r.appendOpen([]byte("before")), len("before"), 1<<64-1, chain.Hash{})
			line = line[len("before"):]
			if !json.Valid(line) || !utf8.Valid(line) || len(line) >= maxRecord {
				t.Errorf("%q: %d bytes, JSON: %v", c, len(line), json.Valid(line))
			}
			if utf8.ValidString(c) && c != "\ufffd" && strings.Contains(string(line), "\ufffd") {
				t.Errorf("%q is cut within a character", c)
			}
		}
	}
}
