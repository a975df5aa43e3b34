package sigv4

import "testing"

// BenchmarkVerify is the whole hot path for a request as the SDKs send it to AWS KMS: five signed
// headers, no query, the hash of the body at hand.
func BenchmarkVerify(b *testing.B) {
	for name, keys := range map[string]*Keys{"cached": NewKeys(16), "derived": nil} {
		b.Run(name, func(b *testing.B) {
			r, rules := kmsRequest(b), kmsRules()
			body := r.BodySHA256()
			r.BodySHA256 = func() [32]byte { return body }
			secret := []byte(testSecret)
			b.ReportAllocs()
			for b.Loop() {
				s, err := Parse(r, rules)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Verify(r, secret, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyParallel(b *testing.B) {
	r, rules, keys := kmsRequest(b), kmsRules(), NewKeys(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := check(r, rules, testSecret, keys); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
