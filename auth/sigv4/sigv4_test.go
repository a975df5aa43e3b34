package sigv4

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	testID     = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// suiteCase is a published signature: of the AWS SigV4 test suite (2015, with X-Amz-Date, and 2011,
// with Date) and of the signing example of the IAM user guide.
type suiteCase struct {
	Name, Method, Path, Query, Body string
	Headers                         []string
	Scope, Signed, Signature        string
	Refused                         string // a part of the message, for what is not accepted here
}

func (c *suiteCase) request() *Request {
	r := &Request{Method: c.Method, RawPath: c.Path, RawQuery: c.Query, Header: http.Header{}, BodySHA256: bodyHash(c.Body)}
	for _, line := range c.Headers {
		name, value, _ := strings.Cut(line, ":")
		if value = strings.TrimPrefix(value, " "); name == "Host" {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+testID+"/"+c.Scope+", SignedHeaders="+c.Signed+", Signature="+c.Signature)
	return r
}

func (c *suiteCase) rules() *Rules {
	parts := strings.Split(c.Scope, "/")
	at := "20150830T123600Z"
	if strings.HasPrefix(c.Scope, "2011") {
		at = "20110909T233600Z"
	}
	now, _ := time.Parse(basic, at)
	return &Rules{Regions: []string{parts[1]}, Services: []string{parts[2]}, Now: now}
}

func bodyHash(body string) func() [32]byte {
	return func() [32]byte { return sha256.Sum256([]byte(body)) }
}

// check parses and verifies r.
func check(r *Request, rules *Rules, secret string, keys *Keys) error {
	s, err := Parse(r, rules)
	if err != nil {
		return err
	}
	return s.Verify(r, []byte(secret), keys)
}

// failureOf returns the failure of an error of this package, 0 for nil.
func failureOf(t testing.TB, err error) Failure {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *Error
	if !errors.As(err, &e) || e.Failure == 0 || e.Message == "" {
		t.Fatalf("error %v is not a whole *Error", err)
	}
	return e.Failure
}

func suite(t testing.TB) []suiteCase {
	t.Helper()
	data, err := os.ReadFile("testdata/suite.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []suiteCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 40 {
		t.Fatalf("the suite has only %d cases", len(cases))
	}
	return cases
}

func TestPublishedSuite(t *testing.T) {
	for _, c := range suite(t) {
		t.Run(c.Name, func(t *testing.T) {
			err := check(c.request(), c.rules(), testSecret, nil)
			switch {
			case c.Refused == "" && err != nil:
				t.Fatal(err)
			case c.Refused != "" && (err == nil || !strings.Contains(err.Error(), c.Refused)):
				t.Fatalf("got %v, want it refused", err)
			}
			if c.Refused == "" {
				if f := failureOf(t, check(c.request(), c.rules(), testSecret+"x", nil)); f != Mismatch {
					t.Fatalf("another secret: %v", f)
				}
			}
		})
	}
}
