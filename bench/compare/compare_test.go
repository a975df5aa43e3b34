package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// fakeNode answers as a node of a cluster would.
func fakeNode(t *testing.T, leader *bool) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/sys/health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"leader":%v,"can_serve_crypto":true}`, *leader)
	})
	mux.HandleFunc("POST /v1/keys", func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "id" || secret != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"key":{"key_id":"the-key"}}`)
	})
	mux.HandleFunc("POST /v1/keys/the-key/encrypt", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Plaintext string }
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprintf(w, `{"ciphertext":%q}`, in.Plaintext)
	})
	mux.HandleFunc("POST /v1/decrypt", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Ciphertext string }
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprintf(w, `{"plaintext":%q}`, in.Ciphertext)
	})
	mux.HandleFunc("POST /v1/users", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{}`) })
	mux.HandleFunc("POST /v1/users/{name}/create-access-key", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"access_key":{"access_key_id":%q},"secret_access_key":"of the user"}`, r.PathValue("name"))
	})
	mux.HandleFunc("POST /v1/keys/{key}/put-key-policy", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Policy struct{ Statement []json.RawMessage }
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil || len(in.Policy.Statement) != 10 {
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprint(w, `{}`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestPrepare(t *testing.T) {
	yes, no := true, false
	leader, follower := fakeNode(t, &yes), fakeNode(t, &no)
	env := filepath.Join(t.TempDir(), "env")
	write := func(secret string) {
		text := fmt.Sprintf("LOCKSTEP_ADDR=%s,%s\nLOCKSTEP_NODE_PIDS=11,12\nLOCKSTEP_ACCESS_KEY_ID=id\nLOCKSTEP_SECRET_ACCESS_KEY=%s\n", leader.URL, follower.URL, secret)
		if err := os.WriteFile(env, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secret")
	open := func() (*setting, error) {
		c, err := lab.OpenDev(env)
		if err != nil {
			t.Fatal(err)
		}
		return prepare(context.Background(), c)
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if s.user.Secret != "of the user" || !strings.HasPrefix(s.user.ID, "bench-") || s.guarded != "the-key" {
		t.Errorf("user %v, key %q", s.user.ID, s.guarded)
	}
	if s.follower != (lab.Node{URL: follower.URL, PID: 12}) || s.key != "the-key" {
		t.Errorf("follower %v, key %q", s.follower, s.key)
	}
	if err := s.stillFollower(context.Background()); err != nil {
		t.Error(err)
	}
	no = true
	if err := s.stillFollower(context.Background()); err == nil {
		t.Error("a measured node that leads was accepted")
	}
	no = false
	write("wrong")
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a refusal gave %v", err)
	}
}

func TestTable(t *testing.T) {
	all := newTable([]target{{name: minimal}, {name: "lockstep"}})
	for round, cpu := range []float64{50, 100, 60} {
		all.add(0, measurement{Requests: 1, CPU: cpu})
		all.add(1, measurement{Requests: 1, CPU: cpu * []float64{1.1, 1.3, 1.2}[round]})
	}
	const want = "CPU of lockstep / minimal: 1.20 (rounds 1.10 to 1.30)\n"
	if got := all.String(); !strings.HasSuffix(got, want) || !strings.Contains(got, "60.0 us CPU/request") {
		t.Errorf("got\n%s", got)
	}
	for _, bad := range []string{"", "{}", `{"requests":5}`} {
		if _, err := parseMeasurement([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
