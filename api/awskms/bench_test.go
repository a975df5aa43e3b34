package awskms

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/kms"
)

// sink is a response writer that keeps nothing.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int) {
	if status != http.StatusOK {
		panic(http.StatusText(status))
	}
}

// BenchmarkEncrypt is what the door itself costs: its service does nothing.
func BenchmarkEncrypt(b *testing.B) {
	const text = `{"KeyId":"` + aKey + `","Plaintext":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","EncryptionContext":{"purpose":"bench"}}`
	f := &fake{answer: &kms.EncryptAnswer{CiphertextBlob: make([]byte, 146), KeyID: "arn:aws:kms:us-east-1:000000000000:key/" + aKey, EncryptionAlgorithm: kms.AlgorithmSymmetricDefault}}
	d := door.New(door.Config{})
	h := d.Handler(New(aws.New(aws.Config{Service: f, Door: d})))
	b.ReportAllocs()
	w, body := &sink{h: http.Header{}}, bytes.NewReader(nil)
	for b.Loop() {
		body.Reset([]byte(text))
		q, err := http.NewRequest("POST", "/", io.NopCloser(body))
		if err != nil {
			b.Fatal(err)
		}
		q.ContentLength = int64(len(text))
		q.RemoteAddr = "127.0.0.1:49152"
		q.Header["X-Amz-Target"] = []string{"TrentService.Encrypt"}
		clear(w.h)
		f.calls = f.calls[:0]
		h.ServeHTTP(w, q)
	}
}
