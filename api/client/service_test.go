package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/rest"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// front serves a node's real service through the real door.
func front(t *testing.T, n *servicetest.Node, wrap func(http.Handler) http.Handler) string {
	d := door.New(door.Config{})
	r := d.Router()
	rest.New(rest.Config{Service: n.Service, Door: d}).Mount(r)
	h := d.Handler(r)
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func as(t *testing.T, who servicetest.Credentials, addrs ...string) *client.Client {
	return connect(t, client.Config{Addrs: addrs, AccessKeyID: who.AccessKeyID, SecretAccessKey: who.Secret})
}

func wantCode(t *testing.T, what string, err error, code kms.Code) {
	t.Helper()
	if kms.CodeOf(err) != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// A key's life through client, door and service, on two nodes.
func TestAKeysLife(t *testing.T) {
	ctx := context.Background()
	cluster := servicetest.New(t)
	one, two := cluster.Node(servicetest.Options{}), cluster.Node(servicetest.Options{})
	a, b := as(t, cluster.Root, front(t, one, nil)), as(t, cluster.Root, front(t, two, nil))

	var meta client.Meta
	key, err := a.CreateKey(ctx, &kms.CreateKeyRequest{Description: "invoices"}, client.WithMeta(&meta))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: key.Key.ARN}, client.MinIndex(meta.Index)); err != nil || got.Key.Description != "invoices" {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := a.CreateAlias(ctx, &kms.CreateAliasRequest{AliasName: "alias/app/main", TargetKeyID: key.Key.KeyID}); err != nil {
		t.Fatal(err)
	}
	ec := map[string]string{"purpose": "test"}
	sealed, err := b.Encrypt(ctx, &kms.EncryptRequest{KeyID: "alias/app/main", Plaintext: []byte("hello"), EncryptionContext: ec})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := a.Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: ec})
	if err != nil || string(plain.Plaintext) != "hello" || plain.KeyID != key.Key.ARN {
		t.Fatalf("%v %v", plain, err)
	}
	_, err = a.Decrypt(ctx, &kms.DecryptRequest{CiphertextBlob: sealed.CiphertextBlob})
	wantCode(t, "without the context", err, kms.CodeInvalidCiphertext)
	_, err = a.Encrypt(ctx, &kms.EncryptRequest{KeyID: key.Key.KeyID, Plaintext: make([]byte, 4097)})
	wantCode(t, "too much plaintext", err, kms.CodeValidation)

	if _, err := a.DisableKey(ctx, &kms.KeyRequest{KeyID: "alias/app/main"}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	_, err = b.Encrypt(ctx, &kms.EncryptRequest{KeyID: "alias/app/main", Plaintext: []byte("hello")})
	wantCode(t, "disabled", err, kms.CodeKeyDisabled)
	if err := b.DeleteAlias(ctx, &kms.DeleteAliasRequest{AliasName: "alias/app/main"}); err != nil {
		t.Fatal(err)
	}
	_, err = a.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: "alias/app/main"})
	wantCode(t, "deleted alias", err, kms.CodeNotFound)
	_, err = as(t, servicetest.Credentials{AccessKeyID: cluster.Root.AccessKeyID, Secret: "wrong"}, front(t, one, nil)).ListKeys(ctx, &kms.ListRequest{})
	wantCode(t, "wrong secret", err, kms.CodeUnauthenticated)
}

// The answer to a write is lost; the client's own retry, on another node, makes no second key.
func TestALostAnswerMakesOneKey(t *testing.T) {
	ctx := context.Background()
	cluster := servicetest.New(t)
	var lost atomic.Int32
	loses := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			h.ServeHTTP(httptest.NewRecorder(), q)
			lost.Add(1)
			panic(http.ErrAbortHandler)
		})
	}
	bad, good := front(t, cluster.Node(servicetest.Options{}), loses), front(t, cluster.Node(servicetest.Options{}), nil)
	key, err := as(t, cluster.Root, bad, good).CreateKey(ctx, &kms.CreateKeyRequest{})
	if err != nil || lost.Load() != 1 {
		t.Fatalf("%v, %d answers lost", err, lost.Load())
	}
	list, err := as(t, cluster.Root, good).ListKeys(ctx, &kms.ListRequest{})
	if err != nil || len(list.Keys) != 1 || list.Keys[0].KeyID != key.Key.KeyID {
		t.Errorf("%+v %v", list, err)
	}
}

func TestIdempotencyKeyOfTheCaller(t *testing.T) {
	ctx := context.Background()
	cluster := servicetest.New(t)
	c := as(t, cluster.Root, front(t, cluster.Node(servicetest.Options{}), nil))
	first, err := c.CreateKey(ctx, &kms.CreateKeyRequest{Description: "a"}, client.IdempotencyKey("once"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.CreateKey(ctx, &kms.CreateKeyRequest{Description: "a"}, client.IdempotencyKey("once"))
	if err != nil || again.Key.KeyID != first.Key.KeyID {
		t.Errorf("%+v %v", again, err)
	}
	_, err = c.CreateKey(ctx, &kms.CreateKeyRequest{Description: "b"}, client.IdempotencyKey("once"))
	wantCode(t, "another request", err, kms.CodeIdempotencyMismatch)
}

func TestASealedNodeIsPassedOver(t *testing.T) {
	cluster := servicetest.New(t)
	sealed, open := front(t, cluster.Node(servicetest.Options{Sealed: true}), nil), front(t, cluster.Node(servicetest.Options{}), nil)
	if _, err := as(t, cluster.Root, sealed, open).ListKeys(context.Background(), &kms.ListRequest{}); err != nil {
		t.Error(err)
	}
	_, err := as(t, cluster.Root, sealed).ListKeys(context.Background(), &kms.ListRequest{})
	wantCode(t, "alone", err, kms.CodeSealed)
}

// What the door refuses changes nothing and is no call.
func TestMalformedChangesNothing(t *testing.T) {
	cluster := servicetest.New(t)
	n := cluster.Node(servicetest.Options{})
	url := front(t, n, nil)
	before := cluster.State().Digest()
	for _, body := range []string{`{"description":"a","description":"b"}`, `{"policy":` + strings.Repeat(`[`, 100), "{\"description\":\"\xff\"}", `{"x":1}`,
		`{"description":"` + strings.Repeat("x", 10<<20) + `"}`} {
		q, err := http.NewRequest("POST", url+"/v1/keys", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.SetBasicAuth(cluster.Root.AccessKeyID, cluster.Root.Secret)
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			continue // the connection was closed while ten megabytes were being sent
		}
		r.Body.Close()
		if r.StatusCode < 400 || r.StatusCode > 499 || r.Header.Get(wire.HeaderRequestID) == "" {
			t.Errorf("%.40q: %s", body, r.Status)
		}
	}
	if cluster.State().Digest() != before || n.Counts() != (servicetest.Counts{}) {
		t.Errorf("something changed: %+v", n.Counts())
	}
}
