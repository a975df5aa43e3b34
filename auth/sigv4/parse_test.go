package sigv4

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// vanilla is a signed request that every refusal below starts from.
func vanilla(t testing.TB) *Request {
	r := kmsRequest(t)
	if err := check(r, kmsRules(), testSecret, nil); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRefusals says for each thing that can be wrong what the caller sees.
func TestRefusals(t *testing.T) {
	const hash = "(Hashed with SHA-256 and encoded with Base64) Authorization="
	auth := func(old, replacement string) func(*Request) {
		return func(r *Request) {
			h := r.Header.Get("Authorization")
			if !strings.Contains(h, old) {
				t.Fatalf("%q is not in %q", old, h)
			}
			r.Header.Set("Authorization", strings.Replace(h, old, replacement, 1))
		}
	}
	header := func(name string, values ...string) func(*Request) {
		return func(r *Request) { r.Header[name] = values }
	}
	query := func(q string) func(*Request) { return func(r *Request) { r.RawQuery = q } }
	path := func(p string) func(*Request) { return func(r *Request) { r.RawPath = p } }
	for _, c := range []struct {
		name    string
		change  func(*Request)
		failure Failure
		message string // its beginning
	}{
		{"no header", func(r *Request) { r.Header.Del("Authorization") }, MissingToken, "Missing Authentication Token"},
		{"another scheme", header("Authorization", "Basic QQ=="), MissingToken, "Missing Authentication Token"},
		{"two headers", func(r *Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, Incomplete, "The request has more than one 'authorization' header."},
		{"long header", auth("Signature=", "Signature="+strings.Repeat("0", maxAuthorization)), Incomplete, "The Authorization header is too long."},
		{"SigV4a", auth("HMAC-SHA256", "ECDSA-P256-SHA256"), Incomplete, "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now). "},
		{"lower-case scheme", auth("AWS4-HMAC", "AWS4-hmac"), Incomplete, "Unsupported AWS 'algorithm'"},
		{"nothing after the algorithm", header("Authorization", algorithm), Incomplete, "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. " + hash},
		{"no credential", auth("Credential="+testID+"/20260304/us-east-1/kms/aws4_request, ", ""), Incomplete, "Authorization header requires 'Credential' parameter. " + hash},
		{"no date", func(r *Request) { r.Header.Del("X-Amz-Date") }, Incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. " + hash},
		{"no equal sign", auth("Credential=", "Credential"), Incomplete, "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '"},
		{"trailing comma", auth("SignedHeaders", ", SignedHeaders"), Incomplete, "Invalid key=value pair"},
		{"twice", auth("Credential=", "Credential=x, Credential="), Incomplete, "Authorization header has the parameter 'Credential' empty or more than once."},
		{"unknown part", auth("Credential=", "Nonce=1, Credential="), Incomplete, "Authorization header has the unknown parameter 'Nonce'."},
		{"part in lower case", auth("Credential=", "credential="), Incomplete, "Authorization header has the unknown parameter 'credential'."},
		{"upper-case signature", func(r *Request) {
			h := r.Header.Get("Authorization")
			at := strings.Index(h, "Signature=") + len("Signature=")
			r.Header.Set("Authorization", h[:at]+strings.ToUpper(h[at:]))
		}, Incomplete, "The 'Signature' parameter"},
		{"trailing bytes", func(r *Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+"0") }, Incomplete, "The 'Signature' parameter"},
		{"names unsorted", auth("content-length;content-type", "content-type;content-length"), Incomplete, "The 'SignedHeaders' parameter"},
		{"name twice", auth(";host;", ";host;host;"), Incomplete, "The 'SignedHeaders' parameter"},
		{"name in upper case", auth(";host;", ";Host;"), Incomplete, "The 'SignedHeaders' parameter"},
		{"empty name", auth(";host;", ";;host;"), Incomplete, "The 'SignedHeaders' parameter"},
		{"authorization signed", auth("SignedHeaders=", "SignedHeaders=authorization;"), Incomplete, "The 'SignedHeaders' parameter"},
		{"too many names", auth(";host;", manyNames()+";host;"), Incomplete, "The 'SignedHeaders' parameter of the Authorization header has too many names."},
		{"date form", header("X-Amz-Date", "2026-03-04T05:06:07Z"), Incomplete, "Date must be in ISO-8601 'basic format'. Got '2026-03-04T05:06:07Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"no such day", header("X-Amz-Date", "20260230T050607Z"), Incomplete, "Date must be in ISO-8601 'basic format'."},
		{"fraction", header("X-Amz-Date", "20260304T050607.5Z"), Incomplete, "Date must be in ISO-8601 'basic format'."},
		{"HTTP date in X-Amz-Date", header("X-Amz-Date", testNow.Format(http.TimeFormat)), Incomplete, "Date must be in ISO-8601 'basic format'."},
		{"date twice", header("X-Amz-Date", "20260304T050607Z", "20260304T050607Z"), Incomplete, "The request has more than one 'X-Amz-Date' header."},
		{"four parts", auth("/us-east-1", ""), Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKIDEXAMPLE/20260304/kms/aws4_request'"},
		{"six parts", auth("/us-east-1", "/us-east-1/x"), Incomplete, "Credential must have exactly 5"},
		{"trailing slash", auth("aws4_request", "aws4_request/"), Incomplete, "Credential must have exactly 5"},
		{"no access key id", auth(testID, ""), Incomplete, "Credential must have exactly 5"},
		{"region", auth("us-east-1", "eu-west-1"), Scope, "Credential should be scoped to a valid region, not 'eu-west-1'. "},
		{"service", auth("/kms/", "/s3/"), Scope, "Credential should be scoped to correct service: 'kms'. "},
		{"end", auth("aws4_request", "aws5_request"), Scope, "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. "},
		{"date of scope", auth("20260304", "20260303"), Scope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260303' != '20260304', from '20260304T050607Z'."},
		{"all of the scope", auth("20260304/us-east-1/kms/aws4_request", "1/2/3/4"), Scope, "Credential should be scoped to a valid region, not '2'. Credential should be scoped to correct service: 'kms'. Credential should be scoped with a valid terminator: 'aws4_request', not '4'. Date in Credential scope"},
		{"host unsigned", auth(";host;", ";"), Unsigned, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"date unsigned", auth(";x-amz-date", ""), Unsigned, "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization."},
		{"target unsigned", auth(";x-amz-target", ""), Unsigned, "'x-amz-target' must be a 'SignedHeader'"},
		{"content type unsigned", auth("content-type;", ""), Unsigned, "'content-type' must be a 'SignedHeader'"},
		{"token added", header("X-Amz-Security-Token", "x"), Unsigned, "'x-amz-security-token' must be a 'SignedHeader'"},
		{"other x-amz added", header("X-Amz-Anything", "x"), Unsigned, "'x-amz-anything' must be a 'SignedHeader'"},
		{"required unsigned", header("X-Required", "x"), Unsigned, "'x-required' must be a 'SignedHeader'"},
		{"target twice", header("X-Amz-Target", "a", "b"), Incomplete, "The request has more than one 'X-Amz-Target' header."},
		{"content type twice", header("Content-Type", "a", "b"), Incomplete, "The request has more than one 'Content-Type' header."},
		{"target in lower case", header("x-amz-target", "a"), Incomplete, "The request has the malformed header 'x-amz-target'."},
		{"Host among the headers", header("Host", "kms.example"), Incomplete, "The request has the malformed header 'Host'."},
		{"line feed in a value", header("X-Amz-Target", "a\nhost:b"), Incomplete, "The header 'x-amz-target' has control characters."},
		{"long values", header("X-Amz-Target", strings.Repeat("a", maxSignedValues)), Incomplete, "The signed headers are too long."},
		{"signed header missing", func(r *Request) { r.Header.Del("X-Amz-Target") }, Mismatch, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
		{"presigned", query("X-Amz-Signature=00"), Presigned, "A signature in the query is not accepted"},
		{"presigned in lower case", query("a=1&x-amz-credential=00"), Presigned, "A signature in the query is not accepted"},
		{"presigned, escaped", query("%58-Amz%2dAlgorithm=00"), Presigned, "A signature in the query is not accepted"},
		{"query escape", query("a=%zz"), Incomplete, "The query of the request is malformed"},
		{"query escape cut off", query("a=%2"), Incomplete, "The query of the request is malformed"},
		{"empty pair", query("a=1&"), Incomplete, "The query of the request is malformed"},
		{"long query", query(strings.Repeat("a", maxQuery+1)), Incomplete, "The query of the request is malformed or too long."},
		{"many pairs", query(strings.Repeat("a&", maxQueryPairs) + "a"), Incomplete, "The query of the request is malformed or too long."},
		{"path not absolute", path("x"), Incomplete, "The path of the request"},
		{"dots", path("/a/../"), Incomplete, "The path of the request"},
		{"dots escaped", path("/a/%2e%2E"), Incomplete, "The path of the request"},
		{"dot", path("/./"), Incomplete, "The path of the request"},
		{"two slashes", path("//"), Incomplete, "The path of the request"},
		{"question mark", path("/a?b"), Incomplete, "The path of the request"},
		{"line feed in the path", path("/a\n"), Incomplete, "The path of the request"},
		{"path escape", path("/a%2"), Incomplete, "The path of the request"},
		{"long path", path("/" + strings.Repeat("a", maxPath)), Incomplete, "The path of the request"},
		{"method", func(r *Request) { r.Method = "POST\n/" }, Incomplete, "The request has a malformed method."},
		{"no method", func(r *Request) { r.Method = "" }, Incomplete, "The request has a malformed method."},
		{"no host", func(r *Request) { r.Host = "" }, Incomplete, "The request has a malformed Host header."},
		{"host with line feed", func(r *Request) { r.Host = "a\nb" }, Incomplete, "The request has a malformed Host header."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, rules := vanilla(t), kmsRules()
			rules.Required = []string{"x-required"}
			c.change(r)
			_, err := Parse(r, rules)
			if f := failureOf(t, err); f != c.failure || !strings.HasPrefix(err.Error(), c.message) {
				t.Fatalf("got %v %v, want %v %q", f, err, c.failure, c.message)
			}
		})
	}
}

func manyNames() string {
	var b strings.Builder
	for i := range maxSignedHeaders {
		b.WriteString(";d")
		b.WriteString(strings.Repeat("x", i+1))
	}
	return b.String()
}

func TestContentHash(t *testing.T) {
	for value, want := range map[string]Failure{
		"UNSIGNED-PAYLOAD":                   Incomplete,
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD": Incomplete,
		"STREAMING-UNSIGNED-PAYLOAD-TRAILER": Incomplete,
		"":                                   Incomplete,
		strings.Repeat("0", 64):              Mismatch,
		hexHash("x"):                         0,
		strings.ToUpper(hexHash("x")):        Incomplete,
		strings.Replace(hexHash("x"), "2", "3", 1): Mismatch,
	} {
		r := signed(t, "POST", "https://kms.example/", "x", http.Header{"X-Amz-Content-Sha256": {value}})
		if f := failureOf(t, check(r, kmsRules(), testSecret, nil)); f != want {
			t.Errorf("%q: %v, want %v", value, f, want)
		}
	}
}

// TestSkew walks over both ends of the window.
func TestSkew(t *testing.T) {
	r := vanilla(t)
	for _, c := range []struct {
		now     time.Duration // after the signature
		failure Failure
		message string
	}{
		{0, 0, ""},
		{Skew, 0, ""},
		{-Skew, 0, ""},
		{Skew + time.Second, TooOld, "Signature expired: 20260304T050607Z is now earlier than 20260304T050608Z (20260304T051108Z - 5 min.)"},
		{-Skew - time.Second, TooNew, "Signature not yet current: 20260304T050607Z is still later than 20260304T050606Z (20260304T050106Z + 5 min.)"},
		{24 * time.Hour, TooOld, "Signature expired: "},
		{-24 * time.Hour, TooNew, "Signature not yet current: "},
	} {
		rules := kmsRules()
		rules.Now = testNow.Add(c.now).In(time.FixedZone("", 3600))
		err := check(r, rules, testSecret, nil)
		if f := failureOf(t, err); f != c.failure || err != nil && !strings.HasPrefix(err.Error(), c.message) {
			t.Errorf("%v: %v %v", c.now, f, err)
		}
	}
}

// TestDateHeader: without X-Amz-Date the time is that of Date, which must then be signed and single.
func TestDateHeader(t *testing.T) {
	var c suiteCase
	for _, c = range suite(t) {
		if c.Name == "date-header-6" {
			break
		}
	}
	for name, change := range map[string]struct {
		do   func(*Request)
		want Failure
	}{
		"as it is": {func(*Request) {}, 0},
		"unsigned": {func(r *Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "date;host", "host", 1))
		}, Unsigned},
		"twice":                     {func(r *Request) { r.Header.Add("Date", r.Header.Get("Date")) }, Incomplete},
		"malformed":                 {func(r *Request) { r.Header.Set("Date", "Mon, 9 Sep 2011 23:36:00 GMT") }, Incomplete},
		"another zone":              {func(r *Request) { r.Header.Set("Date", "Mon, 09 Sep 2011 23:36:00 UTC") }, Incomplete},
		"another second":            {func(r *Request) { r.Header.Set("Date", "Mon, 09 Sep 2011 23:36:01 GMT") }, Mismatch},
		"expired":                   {func(r *Request) { r.Header.Set("Date", "Mon, 09 Sep 2011 23:30:59 GMT") }, TooOld},
		"X-Amz-Date beside it":      {func(r *Request) { r.Header.Set("X-Amz-Date", "20110909T233600Z") }, Unsigned},
		"X-Amz-Date goes before it": {func(r *Request) { r.Header.Set("X-Amz-Date", "20110909T000000Z") }, TooOld},
	} {
		r := c.request()
		change.do(r)
		if f := failureOf(t, check(r, c.rules(), testSecret, nil)); f != change.want {
			t.Errorf("%s: %v, want %v", name, f, change.want)
		}
	}
}

// TestNothingAccepted: rules that name no service or region accept nothing.
func TestNothingAccepted(t *testing.T) {
	if f := failureOf(t, check(vanilla(t), &Rules{Now: testNow}, testSecret, nil)); f != Scope {
		t.Fatal(f)
	}
}

func TestUnknownKey(t *testing.T) {
	for _, keys := range []*Keys{nil, NewKeys(1)} {
		if f := failureOf(t, check(vanilla(t), kmsRules(), "", keys)); f != Mismatch {
			t.Fatal(f)
		}
	}
	// Not even the secret that stands for the unknown one opens anything.
	r := vanilla(t)
	s, err := Parse(r, kmsRules())
	if err != nil {
		t.Fatal(err)
	}
	body := r.BodySHA256()
	key := derive(make([]byte, 43), keyID{s.AccessKeyID, s.Date, s.Region, s.Service})
	s.Signature = s.sign(s.appendCanonical(nil, r, &body, false), key[:])
	if err := s.Verify(r, nil, nil); failureOf(t, err) != Mismatch {
		t.Fatal("the placeholder of the unknown secret verified")
	}
	if err := s.Verify(r, make([]byte, 43), nil); err != nil {
		t.Fatalf("the test signs wrongly: %v", err)
	}
}

func TestFailureNames(t *testing.T) {
	seen := map[string]bool{}
	for f := range Mismatch + 2 {
		if name := f.String(); name == "" || seen[name] {
			t.Fatalf("failure %d is named %q", f, name)
		} else {
			seen[name] = true
		}
	}
}
