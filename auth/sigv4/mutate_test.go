package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func hexHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// richRequest has something in every part that a signature covers.
func richRequest(t testing.TB) (*Request, string) {
	h := kmsHeader()
	h["X-Note"] = []string{"one  two", "three"}
	r := signed(t, "POST", "https://kms.example/v1/keys/alias%2Forders:x/encrypt?b=2&a=x%2Fy&a=1&c", testBody, h)
	if err := check(r, kmsRules(), testSecret, nil); err != nil {
		t.Fatal(err)
	}
	return r, testBody
}

// same reports whether two requests differ only in what a signature does not tell apart: the order
// and the escaping of the query, runs of spaces in header values, and how a list is put into headers.
func same(a, b *Request) bool {
	qa, errA := url.ParseQuery(a.RawQuery)
	qb, errB := url.ParseQuery(b.RawQuery)
	for _, q := range []url.Values{qa, qb} {
		for name := range q {
			slices.Sort(q[name])
		}
	}
	spaces := regexp.MustCompile(" +")
	headers := func(r *Request) string {
		var all []string
		for name, values := range r.Header {
			var trimmed []string
			for _, v := range values {
				trimmed = append(trimmed, spaces.ReplaceAllString(strings.Trim(v, " \t"), " "))
			}
			all = append(all, name+":"+strings.Join(trimmed, ","))
		}
		slices.Sort(all)
		return strings.Join(all, "\n")
	}
	return a.Method == b.Method && a.Host == b.Host && a.RawPath == b.RawPath && errA == nil && errB == nil &&
		qa.Encode() == qb.Encode() && headers(a) == headers(b) && a.BodySHA256() == b.BodySHA256()
}

// TestEveryByteIsCovered changes each byte of each part to several others and wants each refused,
// with and without a cached key.
func TestEveryByteIsCovered(t *testing.T) {
	keys := NewKeys(16)
	base, baseBody := richRequest(t)
	if err := check(base, kmsRules(), testSecret, keys); err != nil {
		t.Fatal(err)
	}
	parts := map[string]func(r *Request) (string, func(string)){
		"method": func(r *Request) (string, func(string)) { return r.Method, func(v string) { r.Method = v } },
		"host":   func(r *Request) (string, func(string)) { return r.Host, func(v string) { r.Host = v } },
		"path":   func(r *Request) (string, func(string)) { return r.RawPath, func(v string) { r.RawPath = v } },
		"query":  func(r *Request) (string, func(string)) { return r.RawQuery, func(v string) { r.RawQuery = v } },
		"body": func(r *Request) (string, func(string)) {
			return baseBody, func(v string) { r.BodySHA256 = bodyHash(v) }
		},
	}
	for name := range base.Header {
		parts[name] = func(r *Request) (string, func(string)) {
			return r.Header[name][0], func(v string) { r.Header[name][0] = v }
		}
	}
	for name, part := range parts {
		value, _ := part(base)
		for i := range len(value) {
			// The access key id is not signed itself: the secret is that of the id.
			if at := strings.Index(value, testID); name == "Authorization" && i >= at && i <= at+len(testID) {
				continue
			}
			for _, c := range []byte{value[i] ^ 1, value[i] ^ 0x20, value[i] + 1, 0, '0', 'a', ' ', '%', '/', '+', '&', '=', ','} {
				changed := value[:i] + string([]byte{c}) + value[i+1:]
				for _, v := range []string{changed, value[:i] + value[i+1:], value[:i] + string([]byte{c}) + value[i:], value[:i]} {
					r := *base
					r.Header = base.Header.Clone()
					_, set := part(&r)
					set(v)
					if v == value || same(base, &r) {
						continue
					}
					if err := check(&r, kmsRules(), testSecret, keys); err == nil && !sameAuthorization(name, value, v) {
						t.Fatalf("%s %q verified as %q", name, value, v)
					}
				}
			}
		}
	}
}

// sameAuthorization allows blanks around the commas of an Authorization header.
func sameAuthorization(name, a, b string) bool {
	squeeze := func(s string) string {
		scheme, parts, _ := strings.Cut(s, " ")
		all := strings.Split(parts, ",")
		for i := range all {
			all[i] = strings.Trim(all[i], " ")
		}
		return scheme + " " + strings.Join(all, ",")
	}
	return name == "Authorization" && squeeze(a) == squeeze(b)
}

// TestEquivalentForms: what a proxy or a client may write in another way still verifies.
func TestEquivalentForms(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"query order":          func(r *Request) { r.RawQuery = "a=1&a=x%2Fy&c&b=2" },
		"query escaping":       func(r *Request) { r.RawQuery = "%62=%32&a=x/y&a=1&c=" },
		"lower-case escape":    func(r *Request) { r.RawQuery = "b=2&a=x%2fy&a=1&c" },
		"blanks":               func(r *Request) { r.Header["X-Note"] = []string{" one     two\t", " three"} },
		"one header of a list": func(r *Request) { r.Header["X-Note"] = []string{"one two,three"} },
		"unsigned header":      func(r *Request) { r.Header["X-Forwarded-For"] = []string{"192.0.2.1", "192.0.2.2"} },
		"no blanks after commas": func(r *Request) {
			r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), ", ", ","))
		},
		"parts in another order": func(r *Request) {
			parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), algorithm+" "), ", ")
			slices.Reverse(parts)
			r.Header.Set("Authorization", algorithm+" "+strings.Join(parts, ", "))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := richRequest(t)
			change(r)
			if err := check(r, kmsRules(), testSecret, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestSecondPathForm: the path as sent may be what was signed, as curl does, but a signature for one
// path never verifies another one. A path with an escaped per cent sign that is signed as sent is the
// canonical form of another path, for every verifier of the protocol, so it must not be accepted.
func TestSecondPathForm(t *testing.T) {
	paths := []string{"/a%2Fb", "/a%252Fb", "/a%25252Fb", "/a:b", "/a%3Ab", "/a%253Ab", "/a/b", "/a%20b", "/a+b", "/a%2Bb", "/%C3%A9", "/%25", "/%2525"}
	for _, signedPath := range paths {
		for _, asSent := range []bool{false, true} {
			r := signed(t, "GET", "https://kms.example/", "", http.Header{})
			r.RawPath = signedPath
			s, err := Parse(r, kmsRules())
			if err != nil {
				t.Fatal(err)
			}
			body := r.BodySHA256()
			key := derive([]byte(testSecret), keyID{s.AccessKeyID, s.Date, s.Region, s.Service})
			s.Signature = s.sign(s.appendCanonical(nil, r, &body, asSent), key[:])
			for _, path := range paths {
				r.RawPath = path
				verified := s.Verify(r, []byte(testSecret), nil) == nil
				a, _ := url.PathUnescape(signedPath)
				b, _ := url.PathUnescape(path)
				foreign := asSent && strings.Contains(signedPath, "%25")
				if verified && a != b && !foreign {
					t.Errorf("signed %q (as sent: %v), verified %q", signedPath, asSent, path)
				}
				if path == signedPath && verified == foreign {
					t.Errorf("signed %q (as sent: %v): verified %v", signedPath, asSent, verified)
				}
			}
		}
	}
}

// TestSDKSignedVerifies: whatever the signer of the SDK signs verifies, and one changed byte does not.
func TestSDKSignedVerifies(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`[ -~é]{0,12}`)
		u := url.URL{Scheme: "https", Host: "kms.example", Path: "/"}
		for _, segment := range rapid.SliceOfN(rapid.StringMatching(`[!-.0-~ é%/]{1,8}`), 0, 4).Draw(rt, "path") {
			u = *u.JoinPath(url.PathEscape(segment + "x"))
		}
		query := url.Values{}
		for range rapid.IntRange(0, 4).Draw(rt, "pairs") {
			query.Add("q"+text.Draw(rt, "name"), text.Draw(rt, "value"))
		}
		u.RawQuery = query.Encode()
		h := http.Header{"X-Note": rapid.SliceOfN(text, 1, 3).Draw(rt, "note")}
		body := rapid.String().Draw(rt, "body")
		r := signed(t, rapid.SampledFrom([]string{"GET", "POST", "PUT", "DELETE"}).Draw(rt, "method"), u.String(), body, h)
		if err := check(r, kmsRules(), testSecret, nil); err != nil {
			rt.Fatalf("%v: %+v", err, r)
		}
		changed := *r
		changed.BodySHA256 = bodyHash(body + "x")
		if check(&changed, kmsRules(), testSecret, nil) == nil {
			rt.Fatal("verified another body")
		}
		changed = *r
		at := rapid.IntRange(1, len(r.RawPath)).Draw(rt, "at")
		changed.RawPath = r.RawPath[:at] + "y" + r.RawPath[at:]
		if check(&changed, kmsRules(), testSecret, nil) == nil {
			rt.Fatalf("signed %q, verified %q", r.RawPath, changed.RawPath)
		}
	})
}
