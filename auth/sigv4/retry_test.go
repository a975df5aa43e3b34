package sigv4

import (
	"net/http"
	"strings"
	"testing"
)

// TestRetryID changes what is not signed of a request: its RetryID stays. What is signed makes another one.
func TestRetryID(t *testing.T) {
	header := func(id string) http.Header {
		h := kmsHeader()
		if id != "" {
			h[headerInvocation] = []string{id}
		}
		return h
	}
	const uuid = "6fa5b3a4-5f0e-4b8e-8a34-0a4d3f0d1c2b"
	plain := signed(t, "POST", "https://kms.example/", testBody, header(""))
	of := RetryID(plain.Header)
	if !strings.HasPrefix(of, "sigv4:") || len(of) != len("sigv4:")+64 {
		t.Fatalf("the id is %q", of)
	}
	authorization := plain.Header.Get("Authorization")
	name, parts, _ := strings.Cut(authorization, " ")
	all := strings.Split(parts, ", ")
	for _, same := range []string{name + " " + all[2] + "," + all[1] + " ,  " + all[0], authorization} {
		plain.Header.Set("Authorization", same)
		if err := check(plain, kmsRules(), testSecret, nil); err != nil || RetryID(plain.Header) != of {
			t.Errorf("%s: %q, %v", same, RetryID(plain.Header), err)
		}
	}
	plain.Header.Set(headerInvocation, uuid) // nobody signed it
	if err := check(plain, kmsRules(), testSecret, nil); err != nil || RetryID(plain.Header) != of {
		t.Errorf("an invocation id that is not signed: %q, %v", RetryID(plain.Header), err)
	}
	if got := RetryID(signed(t, "POST", "https://kms.example/", testBody+" ", header("")).Header); got == of || got == "" {
		t.Errorf("of another body: %q", got)
	}

	first, again := signed(t, "POST", "https://kms.example/", testBody, header(uuid)), signed(t, "POST", "https://kms.example/", testBody+" ", header(uuid))
	if a, b := RetryID(first.Header), RetryID(again.Header); a != "sigv4:id:"+uuid || b != a {
		t.Errorf("of one invocation: %q and %q", a, b)
	}
	for _, odd := range []string{"a  b", "a,b", strings.Repeat("a", maxHeaderName+1), "\u00e9"} {
		if got := RetryID(signed(t, "POST", "https://kms.example/", testBody, header(odd)).Header); len(got) != len(of) {
			t.Errorf("of the invocation %q: %q", odd, got)
		}
	}
	for _, none := range [][]string{nil, {authorization, authorization}, {"Basic eA=="}, {"AWS4-HMAC-SHA256"}, {strings.ToLower(authorization)}} {
		if got := RetryID(http.Header{"Authorization": none, "X-Amz-Date": {"20260304T050607Z"}}); got != "" {
			t.Errorf("of %q: %q", none, got)
		}
	}
}

// TestInvocationID signs as botocore does, which adds the invocation id afterwards.
func TestInvocationID(t *testing.T) {
	const one, two = "6fa5b3a4-5f0e-4b8e-8a34-0a4d3f0d1c2b", "0b6f6b1e-5b1c-4d0e-8d63-2d0a1c5a9f10"
	q := signed(t, "POST", "https://kms.example/", testBody, kmsHeader())
	if of := InvocationID(q.Header); of != RetryID(q.Header) || of == "" {
		t.Errorf("without an invocation: %q, want the signature", of)
	}
	for _, id := range []string{one, two} {
		q.Header.Set(headerInvocation, id)
		if of := InvocationID(q.Header); of != "sigv4:id:"+id {
			t.Errorf("of the invocation %s: %q", id, of)
		}
	}
	for _, odd := range [][]string{{"a b"}, {""}, {one, two}} {
		q.Header[headerInvocation] = odd
		if of := InvocationID(q.Header); of != RetryID(q.Header) {
			t.Errorf("of %q: %q, want the signature", odd, of)
		}
	}
	if of := InvocationID(http.Header{headerInvocation: {one}}); of != "" {
		t.Errorf("of a request that is not signed: %q", of)
	}
}
