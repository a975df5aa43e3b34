package service_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/rest"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// panicking is a service that panics with everything it was given.
type panicking struct{}

func (panicking) Do(_ context.Context, c *service.Call) (*service.Result, error) {
	panic(fmt.Sprintf("%+v %s", c, secretsOf(reflect.ValueOf(c.Request))))
}

// secrets are what of a request, an answer and their proofs of identity nobody may find anywhere.
func (f *front) secrets(values ...any) []string {
	all := []string{f.Root.Secret}
	for _, v := range values {
		if v != nil {
			all = append(all, secretsOf(reflect.ValueOf(v))...)
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < 8 })
}

// Plaintexts, ciphertexts, key material, secrets and tokens of every operation, through every door that serves it, are in no
// audit record, no log line (down to debug) and no refusal, whether the request is allowed, denied, malformed or meets a
// handler that panics.
func TestNothingSecretIsShown(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and nothing runs beside anything: the run without -short has it")
	}
	looked := 0
	for _, op := range kms.Operations {
		for _, w := range ways(op) {
			f := newFront(t)
			request := f.requestOf(t, w, op)
			var refusals []byte
			stranger := servicetest.Credentials{AccessKeyID: f.Root.AccessKeyID, Secret: "canary of a secret that is wrong"}
			malformed := w.make(op, request, true)
			if canary := base64.StdEncoding.EncodeToString([]byte(message)); malformed.Body != nil && w.door != "rest" {
				malformed = newRequest(malformed.Method, malformed.URL.String(), `{"Nonsense":"`+message+`","More":"`+canary+`"}`+canary) // names of members are told, values never
				malformed.Header.Set("X-Amz-Target", "TrentService."+op.Name)
			}
			bearer := w.make(op, request, false)
			bearer.Header.Set("Authorization", "Bearer "+stranger.Secret)
			for _, a := range []asked{
				f.ask(t, w, w.make(op, request, false), stranger),
				f.ask(t, w, w.make(op, request, true), f.Root),
				f.ask(t, w, malformed, f.Root),
				f.ask(t, w, bearer, servicetest.Credentials{}),
				f.ask(t, w, w.make(op, request, false), f.Root),
			} {
				if a.status >= 300 {
					refusals = append(refusals, a.body...)
				}
			}
			g := newFront(t)
			typed := rights[op].request(g.topic(t, g.Root, op, "alias/a"))
			answer, err := g.Do(g.Root, op, typed) // what doors encode is known by its type here
			want(t, op.Name, err, verdictOn(op))
			secrets := append(append(f.secrets(request), g.secrets(typed, answer)...), stranger.Secret, message)
			slices.Sort(secrets)
			texts := map[string][]byte{"the audit records": slices.Concat(f.Lines(), g.Lines()), "the log": slices.Concat(f.log.Bytes(), g.log.Bytes()), "a refusal": refusals}
			for _, secret := range slices.Compact(secrets) {
				looked++
				for where, text := range texts {
					if shows(text, secret) {
						t.Errorf("%s by %s: %s show %q", op.Name, w.door, where, secret)
					}
				}
			}
		}
	}
	if looked < 1000 {
		t.Errorf("looked for %d secrets only", looked)
	}
}

// What a handler panics with reaches neither its answer nor the log.
func TestPanicsShowNothing(t *testing.T) {
	f := newFront(t)
	router := f.door.Router()
	rest.New(rest.Config{Service: panicking{}, Door: f.door}).Mount(router)
	f.http = f.door.Handler(router)
	for _, rt := range wire.Routes() {
		if rt.Operation == nil || rt.Operation == kms.OpDecrypt && strings.Contains(rt.Path, "{key}") {
			continue
		}
		w := restWay(rt)
		request := requests("k", "alias/a", []byte("canary of a ciphertext"))[rt.Operation]
		if request == nil {
			continue
		}
		q := w.make(rt.Operation, request, false)
		q.Header.Set("Authorization", "Bearer canary of a token")
		a := f.ask(t, w, q, servicetest.Credentials{})
		if a.status != http.StatusInternalServerError || !strings.Contains(string(a.body), door.RequestID(recorded(a.header))) {
			t.Errorf("%s: %d %s", rt.Name, a.status, a.body)
		}
		for _, secret := range append(f.secrets(request), "canary of a token", message) {
			if shows(a.body, secret) || shows(f.log.Bytes(), secret) {
				t.Errorf("%s: a panic shows %q", rt.Name, secret)
			}
		}
	}
	if !strings.Contains(f.log.String(), "panic in a handler") {
		t.Error("no panic is logged")
	}
}

// recordedHeader is a writer that has a header and nothing else.
type recordedHeader http.Header

func (h recordedHeader) Header() http.Header       { return http.Header(h) }
func (h recordedHeader) Write([]byte) (int, error) { return 0, nil }
func (h recordedHeader) WriteHeader(int)           {}
func recorded(h http.Header) http.ResponseWriter   { return recordedHeader(h) }
