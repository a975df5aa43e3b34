package rest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

const (
	benchKey  = "0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55"
	benchBody = `{"plaintext":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","encryption_context":{"purpose":"bench"}}`
)

// minimalSeal is the cryptography and the audit line that both sides of the comparison do.
type minimalSeal struct {
	key   []byte
	mu    sync.Mutex
	audit *os.File // guarded by mu
}

func newMinimalSeal(b *testing.B) *minimalSeal {
	f, err := os.Create(filepath.Join(b.TempDir(), "audit"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	m := &minimalSeal{key: make([]byte, 32), audit: f}
	rand.Read(m.key)
	return m
}

func (m *minimalSeal) seal(plaintext []byte) []byte {
	salt := make([]byte, 16)
	rand.Read(salt)
	k, _ := hkdf.Key(sha256.New, m.key, salt, "enc/v1", 64)
	block, _ := aes.NewCipher(k[:32])
	g, _ := cipher.NewGCMWithRandomNonce(block)
	return append(append(salt, k[32:]...), g.Seal(nil, nil, plaintext, []byte("aad"))...)
}

func (m *minimalSeal) log(line []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.audit.Write(line)
}

// Do is a service that only seals and writes the same audit line.
func (m *minimalSeal) Do(_ context.Context, c *service.Call) (*service.Result, error) {
	r := c.Request.(*kms.EncryptRequest)
	answer := &kms.EncryptAnswer{CiphertextBlob: m.seal(r.Plaintext), EncryptionAlgorithm: kms.AlgorithmSymmetricDefault,
		KeyID: "arn:aws:kms:us-east-1:000000000000:key/" + r.KeyID}
	m.log(m.line(r.KeyID, c.Source, r.EncryptionContext))
	return &service.Result{Answer: answer, Epoch: 1, Index: 4711}, nil
}

func (m *minimalSeal) line(key, source string, context map[string]string) []byte {
	line, _ := json.Marshal(map[string]any{"time": time.Now(), "op": "Encrypt", "key": key,
		"principal": "root", "ip": source, "ctx": context, "id": "abc"})
	return append(line, '\n')
}

// minimalHandler is the least that an encrypt request can cost on this router.
func (m *minimalSeal) minimalHandler() http.Handler {
	r := mux.NewRouter()
	r.HandleFunc("/v1/keys/{key}/echo", func(http.ResponseWriter, *http.Request) {}).Methods("POST")
	r.HandleFunc("/v1/keys/{key}/encrypt", func(w http.ResponseWriter, q *http.Request) {
		var in struct {
			Plaintext []byte            `json:"plaintext"`
			Context   map[string]string `json:"encryption_context"`
		}
		if json.NewDecoder(q.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		out := struct {
			Ciphertext []byte `json:"ciphertext"`
			KeyID      string `json:"key_id"`
		}{m.seal(in.Plaintext), mux.Vars(q)["key"]}
		m.log(m.line(out.KeyID, q.RemoteAddr, in.Context))
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(out)
	}).Methods("POST")
	return r
}

// sink is a response writer that keeps nothing.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int) {
	if status != http.StatusOK {
		panic(http.StatusText(status))
	}
}

func benchHandler(b *testing.B, h http.Handler) {
	b.ReportAllocs()
	auth := "Basic " + base64.StdEncoding.EncodeToString([]byte("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI7K7MDENG7bPxRfiCYEXAMPLEKEY"))
	w := &sink{h: http.Header{}}
	body := bytes.NewReader(nil)
	for b.Loop() {
		body.Reset([]byte(benchBody))
		q, err := http.NewRequest("POST", "/v1/keys/"+benchKey+"/encrypt", io.NopCloser(body))
		if err != nil {
			b.Fatal(err)
		}
		q.ContentLength = int64(len(benchBody))
		q.RemoteAddr = "127.0.0.1:49152"
		q.Header["Authorization"] = []string{auth}
		clear(w.h)
		h.ServeHTTP(w, q)
	}
}

// BenchmarkEncrypt compares the door with the least that a handler could do; both seal and audit the
// same way, so the difference is the door.
func BenchmarkEncrypt(b *testing.B) {
	m := newMinimalSeal(b)
	b.Run("minimal", func(b *testing.B) { benchHandler(b, m.minimalHandler()) })
	b.Run("door", func(b *testing.B) {
		d := door.New(door.Config{})
		r := d.Router()
		New(Config{Service: m, Door: d}).Mount(r)
		benchHandler(b, d.Handler(r))
	})
}
