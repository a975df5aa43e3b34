// Command floor is the least that an encrypt request can cost with net/http and gorilla/mux, the
// yardstick of bench/compare: it parses JSON, derives a per-message key, seals, appends an audit line
// and answers, but authenticates, authorizes and replicates nothing. /echo only reads and answers.
//
// What a request does here is fixed: a ratio may change because Lockstep changed, never because the
// floor did.
package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/mux"
)

type request struct {
	Plaintext []byte            `json:"plaintext"`
	Context   map[string]string `json:"encryption_context"`
}

type answer struct {
	Ciphertext []byte `json:"ciphertext"`
	KeyID      string `json:"key_id"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:18999", "address to serve on")
	flag.Parse()
	key := make([]byte, 32)
	rand.Read(key)
	audit, err := os.CreateTemp("", "floor-audit-*")
	if err != nil {
		panic(err)
	}
	os.Remove(audit.Name())
	var mu sync.Mutex
	r := mux.NewRouter()
	r.HandleFunc("/v1/keys/{key}/echo", func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(b)
	}).Methods("POST")
	r.HandleFunc("/v1/keys/{key}/encrypt", func(w http.ResponseWriter, q *http.Request) {
		var in request
		if json.NewDecoder(q.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		salt := make([]byte, 16)
		rand.Read(salt)
		k, _ := hkdf.Key(sha256.New, key, salt, "enc/v1", 64)
		b, _ := aes.NewCipher(k[:32])
		g, _ := cipher.NewGCMWithRandomNonce(b)
		ct := g.Seal(nil, nil, in.Plaintext, []byte("aad"))
		out := answer{Ciphertext: append(append(salt, k[32:]...), ct...), KeyID: mux.Vars(q)["key"]}
		line, _ := json.Marshal(map[string]any{"time": time.Now(), "op": "Encrypt", "key": out.KeyID,
			"principal": "root", "ip": q.RemoteAddr, "ctx": in.Context, "id": "abc"})
		mu.Lock()
		audit.Write(append(line, '\n'))
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(out)
	}).Methods("POST")
	log.Fatal(http.ListenAndServe(*listen, r))
}
