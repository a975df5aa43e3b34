package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

const testBody = `{"KeyId":"alias/orders","Plaintext":"aGVsbG8="}`

func kmsRules() *Rules {
	return &Rules{Services: []string{"kms"}, Regions: []string{"us-east-1"}, Now: testNow}
}

func kmsHeader() http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"TrentService.Encrypt"}}
}

// kmsRequest is a request of AWS KMS, signed by the signer of the AWS SDK for Go.
func kmsRequest(t testing.TB) *Request {
	return signed(t, "POST", "https://kms.example/", testBody, kmsHeader())
}

// signed signs a request with the signer of the AWS SDK for Go and returns it as it would arrive.
func signed(t testing.TB, method, url, body string, h http.Header) *Request {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	sign(t, req, body, testNow, "")
	r := &Request{Method: method, Host: req.URL.Host, RawPath: req.URL.EscapedPath(), RawQuery: req.URL.RawQuery,
		Header: req.Header, BodySHA256: bodyHash(body)}
	if req.ContentLength > 0 {
		r.Header.Set("Content-Length", strconv.FormatInt(req.ContentLength, 10))
	}
	return r
}

func sign(t testing.TB, req *http.Request, body string, at time.Time, token string) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: testID, SecretAccessKey: testSecret, SessionToken: token}
	err := v4.NewSigner().SignHTTP(context.Background(), credentials, req, hex.EncodeToString(sum[:]), "kms", "us-east-1", at)
	if err != nil {
		t.Fatal(err)
	}
}

// arrived is the request as net/http delivers it.
func arrived(r *http.Request) (*Request, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	return &Request{Method: r.Method, Host: r.Host, RawPath: path, RawQuery: query, Header: r.Header, BodySHA256: bodyHash(string(body))}, nil
}

// verdict is what a verifying server found out about one request.
type verdict struct {
	signature Signature
	path      string
	target    string
	err       error
}

// verifying starts a server, also of HTTP/2, that verifies each request and answers 200.
func verifying(t *testing.T, now func() time.Time, useTLS bool) (*httptest.Server, <-chan verdict) {
	verdicts := make(chan verdict, 16)
	keys := NewKeys(16)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := arrived(r)
		v := verdict{err: err, target: r.Header.Get("X-Amz-Target"), path: r.RequestURI}
		if err == nil {
			rules := kmsRules()
			rules.Now = now()
			if v.signature, v.err = Parse(req, rules); v.err == nil {
				v.err = v.signature.Verify(req, []byte(testSecret), keys)
			}
		}
		verdicts <- v
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"Keys":[],"Truncated":false}`)
	}))
	if srv.EnableHTTP2 = true; useTLS {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv, verdicts
}

// TestSDKSigner sends requests signed by the AWS SDK for Go through net/http.
func TestSDKSigner(t *testing.T) {
	requests := []struct {
		name, method, url, body, token string
		header                         http.Header
	}{
		{name: "kms", method: "POST", url: "/", body: testBody, header: kmsHeader()},
		{name: "kms without body", method: "POST", url: "/", header: kmsHeader()},
		{name: "session token", method: "POST", url: "/", body: testBody, header: kmsHeader(), token: "AQoD//token+=="},
		{name: "escaped slash", method: "POST", url: "/v1/keys/alias%2Forders/encrypt", body: testBody},
		{name: "escaped per cent", method: "GET", url: "/v1/keys/a%25b%252F"},
		{name: "reserved in path", method: "GET", url: "/v1/keys/arn:aws:kms:us-east-1:1@x,y;z=(1)'!$&*+"},
		{name: "utf-8 in path", method: "GET", url: "/v1/keys/%C3%A9%20"},
		{name: "trailing slash", method: "DELETE", url: "/v1/keys/"},
		{name: "query", method: "GET", url: "/v1/keys?limit=10&after=b&after=a&empty=&flag"},
		{name: "query order after escaping", method: "GET", url: "/?a=a%2Fb&a=a-b&a-=1&a=%7E&%C3%A9=1"},
		{name: "blanks in values", method: "PUT", url: "/", body: "x", header: http.Header{"X-Note": {"a   b  c", "", "d"}}},
		{name: "many", method: "POST", url: "/", body: "x", header: http.Header{"Accept-Encoding": {"identity"},
			"X-Amz-Content-Sha256": {"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}, "Amz-Sdk-Invocation-Id": {"1"}}},
	}
	for _, useTLS := range []bool{false, true} {
		srv, verdicts := verifying(t, func() time.Time { return testNow }, useTLS)
		for _, c := range requests {
			t.Run(map[bool]string{false: "http/1.1 ", true: "h2 "}[useTLS]+c.name, func(t *testing.T) {
				req, err := http.NewRequest(c.method, srv.URL+c.url, bytes.NewReader([]byte(c.body)))
				if err != nil {
					t.Fatal(err)
				}
				if req.Header = c.header.Clone(); req.Header == nil {
					req.Header = http.Header{}
				}
				sign(t, req, c.body, testNow, c.token)
				resp, err := srv.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if (resp.ProtoMajor == 2) != useTLS {
					t.Fatalf("protocol %s", resp.Proto)
				}
				v := <-verdicts
				if v.err != nil {
					t.Fatal(v.err)
				}
				if s := v.signature; s.AccessKeyID != testID || s.Region != "us-east-1" || s.Service != "kms" ||
					s.SecurityToken != c.token || !s.Time.Equal(testNow) || s.Date != "20260304" {
					t.Fatalf("signature %+v", s)
				}
			})
		}
	}
}
