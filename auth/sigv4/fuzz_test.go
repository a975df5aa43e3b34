package sigv4

import (
	"net/http"
	"testing"
)

// FuzzParse feeds bytes of strangers to everything that reads them. Whatever is accepted is bounded.
func FuzzParse(f *testing.F) {
	for _, c := range suite(f) {
		r := c.request()
		f.Add(r.Header.Get("Authorization"), r.Method, r.Host, r.RawPath, r.RawQuery, "X-Amz-Date", "20150830T123600Z", c.Body)
	}
	f.Add("AWS4-HMAC-SHA256 Credential=A/20260304/us-east-1/kms/aws4_request,SignedHeaders=date;host,Signature=00", "GET", "h", "/%", "a=%", "Date", "Wed, 04 Mar 2026 05:06:07 GMT", "")
	f.Fuzz(func(t *testing.T, authorization, method, host, path, query, name, value, body string) {
		r := &Request{Method: method, Host: host, RawPath: path, RawQuery: query, BodySHA256: bodyHash(body),
			Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {"20150830T123600Z"}}}
		r.Header[name] = append(r.Header[name], value)
		rules := (&suiteCase{Scope: "20150830/us-east-1/service/aws4_request"}).rules()
		s, err := Parse(r, rules)
		if err != nil {
			failureOf(t, err)
			return
		}
		if len(s.AccessKeyID) > maxAccessKeyID || s.Date+"/"+s.Region+"/"+s.Service+"/"+terminator != s.scope || !s.signs("host") {
			t.Fatalf("accepted %+v", s)
		}
		if err := s.Verify(r, nil, nil); failureOf(t, err) != Mismatch {
			t.Fatal("verified without a secret")
		}
	})
}

// FuzzVerify changes a signed request in any way and wants it refused unless it means the same.
func FuzzVerify(f *testing.F) {
	base, body := richRequest(f)
	authorization := base.Header.Get("Authorization")
	f.Add(authorization, base.Method, base.Host, base.RawPath, base.RawQuery, "X-Note", "x", body)
	f.Add(authorization, base.Method, base.Host, base.RawPath, "c&a=1&a=x/y&b=2", "X-Note", "", body)
	f.Add(authorization, base.Method, base.Host, "/v1/keys/alias%252Forders%3Ax/encrypt", base.RawQuery, "X-Other", "", body)
	f.Fuzz(func(t *testing.T, auth, method, host, path, query, name, value, changedBody string) {
		r := &Request{Method: method, Host: host, RawPath: path, RawQuery: query, Header: base.Header.Clone(), BodySHA256: bodyHash(changedBody)}
		r.Header.Set("Authorization", auth)
		if value != "" {
			r.Header[name] = append(r.Header[name], value)
		}
		if err := check(r, kmsRules(), testSecret, nil); err != nil {
			failureOf(t, err)
			return
		}
		// What is not signed, and how the Authorization header is written, may differ.
		s, err := Parse(r, kmsRules())
		if err != nil || s.signedHeaders != base.signedHeaders(t) {
			t.Fatalf("verified with other signed headers: %+v", s)
		}
		for name := range r.Header {
			if !s.signs(name) {
				delete(r.Header, name)
			}
		}
		want := *base
		want.Header = base.Header.Clone()
		want.Header.Del("Authorization")
		if !same(&want, r) {
			t.Fatalf("verified %+v", r)
		}
	})
}

func (r *Request) signedHeaders(t testing.TB) string {
	s, err := Parse(r, kmsRules())
	if err != nil {
		t.Fatal(err)
	}
	return s.signedHeaders
}
