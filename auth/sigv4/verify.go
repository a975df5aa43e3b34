package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// Verify reports whether the signature is that of r, the request it was parsed from, under secret.
// The error is nil or an *Error with Mismatch.
//
// An empty secret stands for an access key that does not exist: it never verifies. The work of a
// refusal, one derivation and one comparison, does not depend on whether the access key exists, is
// cached, or which part of the request is wrong. keys may be nil: then nothing is cached.
func (s *Signature) Verify(r *Request, secret []byte, keys *Keys) error {
	known := 1
	if len(secret) == 0 {
		known, secret = 0, make([]byte, 43) // as long as a real one
	}
	body := sha256.Sum256(nil)
	if r.BodySHA256 != nil {
		body = r.BodySHA256()
	}
	id := keyID{s.AccessKeyID, s.Date, s.Region, s.Service}
	key, ticket, cached := keys.get(id, secret)
	if !cached {
		key = derive(secret, id)
	}
	defer clear(key[:])
	if known&s.matches(r, &body, key[:])&contentHash(r, &body) == 1 {
		if !cached {
			keys.put(id, ticket, key)
		}
		return nil
	}
	if cached {
		spent := derive(secret, id)
		clear(spent[:])
	}
	return mismatch()
}

// matches returns 1 if the signature is that of r under the signing key.
func (s *Signature) matches(r *Request, body *[32]byte, key []byte) int {
	var buf [1 << 10]byte
	canonical := s.appendCanonical(buf[:0], r, body, false)
	want := s.sign(canonical, key)
	ok := subtle.ConstantTimeCompare(want[:], s.Signature[:])
	if hasSecondForm(r.RawPath) {
		canonical = s.appendCanonical(canonical[:0], r, body, true)
		want = s.sign(canonical, key)
		ok |= subtle.ConstantTimeCompare(want[:], s.Signature[:])
	}
	return ok
}

// sign returns the signature of a canonical request.
func (s *Signature) sign(canonical, key []byte) [32]byte {
	sum := sha256.Sum256(canonical)
	toSign := make([]byte, 0, 256)
	toSign = append(toSign, algorithm+"\n"...)
	toSign = append(toSign, s.stamp...)
	toSign = append(toSign, '\n')
	toSign = append(toSign, s.scope...)
	toSign = append(toSign, '\n')
	toSign = hex.AppendEncode(toSign, sum[:])
	return mac(key, toSign)
}

// contentHash returns 1 if the request has no X-Amz-Content-Sha256 or the right one.
func contentHash(r *Request, body *[32]byte) int {
	var claimed [32]byte
	value := single(r.Header, "X-Amz-Content-Sha256")
	if value == "" && len(r.Header["X-Amz-Content-Sha256"]) == 0 {
		return 1
	}
	if !decodeHex(&claimed, value) {
		return 0
	}
	return subtle.ConstantTimeCompare(claimed[:], body[:])
}

// derive returns the signing key of a scope:
//
//	HMAC(HMAC(HMAC(HMAC("AWS4"+secret, date), region), service), "aws4_request")
func derive(secret []byte, id keyID) [32]byte {
	first := append(append(make([]byte, 0, len(algorithm)+len(secret)), "AWS4"...), secret...)
	key := mac(first, []byte(id.date))
	clear(first)
	key = mac(key[:], []byte(id.region))
	key = mac(key[:], []byte(id.service))
	return mac(key[:], []byte(terminator))
}

func mac(key, message []byte) (sum [32]byte) {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	h.Sum(sum[:0])
	return sum
}
