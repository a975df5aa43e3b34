package sigv4

import "testing"

// A server that does not read Content-Type takes a signature that does not cover it, and of one that does every byte
// still counts. Other servers take none of the first kind.
func TestUntyped(t *testing.T) {
	untyped := kmsRules()
	untyped.Untyped = true
	verify := func(r *Request, rules *Rules) error {
		s, err := Parse(r, rules)
		if err == nil {
			err = s.Verify(r, []byte(testSecret), nil)
		}
		return err
	}
	bare := kmsHeader()
	bare.Del("Content-Type")
	r := signed(t, "POST", "https://kms.example/", testBody, bare)
	r.Header.Set("Content-Type", "application/json")
	if err := verify(r, untyped); err != nil {
		t.Errorf("not covered: %v", err)
	}
	if e, ok := verify(r, kmsRules()).(*Error); !ok || e.Failure != Unsigned {
		t.Errorf("not covered, where it is read: %v", e)
	}
	r = kmsRequest(t)
	if err := verify(r, untyped); err != nil {
		t.Errorf("covered: %v", err)
	}
	r.Header.Set("Content-Type", "application/json")
	if e, ok := verify(r, untyped).(*Error); !ok || e.Failure != Mismatch {
		t.Errorf("covered and changed: %v", e)
	}
	r = signed(t, "POST", "https://kms.example/", testBody, bare)
	r.Header.Set("X-Amz-Meta", "x")
	if e, ok := verify(r, untyped).(*Error); !ok || e.Failure != Unsigned {
		t.Errorf("another header: %v", e)
	}
}
