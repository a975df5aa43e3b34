package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/rest"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/integration/freeport"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
)

// node is an HTTP server that keeps the requests it got and answers as told.
type node struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []*http.Request
	answer func(n int, w http.ResponseWriter, q *http.Request) // n counts from 1
}

func newNode(t *testing.T, answer func(n int, w http.ResponseWriter, q *http.Request)) *node {
	n := &node{answer: answer}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		n.mu.Lock()
		n.seen = append(n.seen, q)
		count := len(n.seen)
		n.mu.Unlock()
		n.answer(count, w, q)
	}))
	t.Cleanup(n.Close)
	return n
}

func (n *node) requests() []*http.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen
}

func ok(_ int, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{}`) }

func refuse(code kms.Code) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(door.Status(code))
		json.NewEncoder(w).Encode(wire.ErrorBody{Error: wire.ErrorDetail{Code: code, Message: "A sentence.", RequestID: "r1", Reason: "why"}})
	}
}

// hangUp reads the request and closes the connection without an answer.
func hangUp(_ int, _ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

// deadAddr is an address where nobody listens.
func deadAddr(t *testing.T) string {
	return "http://" + freeport.Addr(t)
}

func connect(t *testing.T, c client.Config) *client.Client {
	t.Helper()
	cl, err := client.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func TestNewRefuses(t *testing.T) {
	for _, addrs := range [][]string{nil, {"node1:8200"}, {"ftp://node1"}, {"http://"}, {"http://a", "::"}} {
		if _, err := client.New(client.Config{Addrs: addrs}); err == nil {
			t.Errorf("%q was accepted", addrs)
		}
	}
}

func TestFailsOverWhenNobodyListens(t *testing.T) {
	alive := newNode(t, ok)
	c := connect(t, client.Config{Addrs: []string{deadAddr(t), alive.URL}})
	for range 3 {
		if _, err := c.ListKeys(context.Background(), &kms.ListRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(alive.requests()); got != 3 {
		t.Errorf("%d requests", got)
	}
}

// The node that failed is not asked first by the next call.
func TestRemembersWhoFailed(t *testing.T) {
	sealed, alive := newNode(t, refuse(kms.CodeSealed)), newNode(t, ok)
	c := connect(t, client.Config{Addrs: []string{sealed.URL, alive.URL}})
	for range 5 {
		if _, err := c.Encrypt(context.Background(), &kms.EncryptRequest{KeyID: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := len(sealed.requests()), len(alive.requests()); a != 1 || b != 5 {
		t.Errorf("the sealed node got %d requests, the other one %d", a, b)
	}
}

func TestWhatIsRepeated(t *testing.T) {
	create := func(c *client.Client) error {
		_, err := c.CreateKey(context.Background(), &kms.CreateKeyRequest{})
		return err
	}
	encrypt := func(c *client.Client) error {
		_, err := c.Encrypt(context.Background(), &kms.EncryptRequest{KeyID: "k"})
		return err
	}
	unseal := func(c *client.Client) error {
		_, err := c.Unseal(context.Background(), client.UnsealRequest{Share: "x", Cluster: true})
		return err
	}
	initialize := func(c *client.Client) error {
		_, err := c.Init(context.Background(), client.InitRequest{Shares: 1, Threshold: 1})
		return err
	}
	sealOne := func(c *client.Client) error {
		_, err := c.Seal(context.Background(), &kms.SealRequest{})
		return err
	}
	tests := map[string]struct {
		call   func(*client.Client) error
		first  func(int, http.ResponseWriter, *http.Request)
		repeat bool // at the second node
	}{
		"write, no lease here":    {create, refuse(kms.CodeNoLease), true},
		"write, no quorum":        {create, refuse(kms.CodeNoQuorum), true},
		"write, outcome unknown":  {create, refuse(kms.CodeOutcomeUnknown), true},
		"write, connection lost":  {create, hangUp, true},
		"write, conflict":         {create, refuse(kms.CodeConflict), false},
		"write, denied":           {create, refuse(kms.CodeAccessDenied), false},
		"write, throttled":        {create, refuse(kms.CodeThrottled), false},
		"crypto, sealed":          {encrypt, refuse(kms.CodeSealed), true},
		"crypto, audit blocked":   {encrypt, refuse(kms.CodeAuditBlocked), true},
		"crypto, connection lost": {encrypt, hangUp, true},
		"crypto, disabled":        {encrypt, refuse(kms.CodeKeyDisabled), false},
		"crypto, internal":        {encrypt, refuse(kms.CodeInternal), false},
		"crypto, a proxy's page": {encrypt, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "<html>")
		}, true},
		"unseal, unavailable":     {unseal, refuse(kms.CodeUnavailable), false},
		"unseal, connection lost": {unseal, hangUp, false},
		"init, connection lost":   {initialize, hangUp, false},
		"init, outcome unknown":   {initialize, refuse(kms.CodeOutcomeUnknown), false},
		"seal, sealed already":    {sealOne, refuse(kms.CodeSealed), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			first, second := newNode(t, tt.first), newNode(t, ok)
			c := connect(t, client.Config{Addrs: []string{first.URL, second.URL}, Attempts: 2})
			err := tt.call(c)
			if got := len(second.requests()); (got == 1) != tt.repeat || (err == nil) != tt.repeat {
				t.Errorf("the second node got %d requests; %v", got, err)
			}
		})
	}
}

// What is never sent twice goes on only when nothing was sent.
func TestUnsealSkipsADeadAddressForTheCluster(t *testing.T) {
	alive := newNode(t, ok)
	c := connect(t, client.Config{Addrs: []string{deadAddr(t), alive.URL}})
	if _, err := c.Unseal(context.Background(), client.UnsealRequest{Share: "x", Cluster: true}); err != nil {
		t.Errorf("with cluster: %v", err)
	}
	if _, err := c.Unseal(context.Background(), client.UnsealRequest{Share: "x"}); err == nil || len(alive.requests()) != 1 {
		t.Errorf("for one node: %v, %d requests elsewhere", err, len(alive.requests()))
	}
}

// All attempts of one write carry the same key, and two writes carry two.
func TestIdempotencyKeys(t *testing.T) {
	n := newNode(t, func(n int, w http.ResponseWriter, q *http.Request) {
		if n%2 == 1 {
			hangUp(n, w, q)
		}
		ok(n, w, q)
	})
	c := connect(t, client.Config{Addrs: []string{n.URL}})
	for range 2 {
		if _, err := c.CreateKey(context.Background(), &kms.CreateKeyRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for _, q := range n.requests() {
		keys = append(keys, q.Header.Get(wire.HeaderIdempotencyKey))
	}
	if len(keys) != 4 || keys[0] == "" || keys[0] != keys[1] || keys[2] != keys[3] || keys[0] == keys[2] {
		t.Errorf("keys %q", keys)
	}
	if _, err := c.Encrypt(context.Background(), &kms.EncryptRequest{KeyID: "k"}); err != nil {
		t.Fatal(err)
	}
	if got := n.requests()[5].Header.Get(wire.HeaderIdempotencyKey); got != "" {
		t.Errorf("a computation carries the key %q", got)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	n := newNode(t, refuse(kms.CodeNoQuorum))
	for attempts, want := range map[int]int{1: 1, 0: 2, 3: 3} {
		before := len(n.requests())
		var meta client.Meta
		c := connect(t, client.Config{Addrs: []string{n.URL}, Attempts: attempts})
		_, err := c.ListKeys(context.Background(), &kms.ListRequest{}, client.WithMeta(&meta))
		if kms.CodeOf(err) != kms.CodeNoQuorum {
			t.Fatal(err)
		}
		if got := len(n.requests()) - before; got != want || meta.Attempts != want {
			t.Errorf("attempts %d: %d requests, meta says %d", attempts, got, meta.Attempts)
		}
	}
}

func TestContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	n := newNode(t, func(n int, w http.ResponseWriter, q *http.Request) {
		cancel()
		refuse(kms.CodeNoQuorum)(n, w, q)
	})
	c := connect(t, client.Config{Addrs: []string{n.URL}, Attempts: 1000})
	if _, err := c.ListKeys(ctx, &kms.ListRequest{}); err == nil || len(n.requests()) != 1 {
		t.Errorf("%v, %d requests", err, len(n.requests()))
	}
}

func TestTimeoutMovesOn(t *testing.T) {
	release := make(chan struct{})
	hung := newNode(t, func(_ int, _ http.ResponseWriter, q *http.Request) {
		select {
		case <-release:
		case <-q.Context().Done():
		}
	})
	defer close(release)
	alive := newNode(t, ok)
	c := connect(t, client.Config{Addrs: []string{hung.URL, alive.URL}, Timeout: 50 * time.Millisecond})
	if _, err := c.ListKeys(context.Background(), &kms.ListRequest{}); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	n := newNode(t, refuse(kms.CodeSealed))
	c := connect(t, client.Config{Addrs: []string{n.URL}, Attempts: 1})
	_, err := c.ListKeys(context.Background(), &kms.ListRequest{})
	e, isError := errors.AsType[*client.Error](err)
	if !isError || e.Status != 503 || e.RequestID != "r1" || e.Addr != n.URL || e.Err.Reason != "why" {
		t.Fatalf("%#v", err)
	}
	if !errors.Is(err, kms.Errorf(kms.CodeSealed, "")) || kms.CodeOf(err) != kms.CodeSealed {
		t.Errorf("%v is not recognized", err)
	}
	if got := err.Error(); got != "A sentence. (sealed, request r1)" {
		t.Errorf("%q", got)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other := newNode(t, ok)
	n := newNode(t, func(_ int, w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, other.URL, http.StatusTemporaryRedirect)
	})
	c := connect(t, client.Config{Addrs: []string{n.URL}, AccessKeyID: "AKIA", SecretAccessKey: "secret"})
	if _, err := c.ListKeys(context.Background(), &kms.ListRequest{}); err == nil || len(other.requests()) != 0 {
		t.Errorf("%v, %d requests followed", err, len(other.requests()))
	}
}

// A session's token is its whole identity.
func TestSessionToken(t *testing.T) {
	n := newNode(t, ok)
	c := connect(t, client.Config{Addrs: []string{n.URL}, AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: "a.b.c"})
	if _, err := c.ListKeys(context.Background(), &kms.ListRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AssumeRoleWithWebIdentity(context.Background(), &kms.AssumeRoleWithWebIdentityRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SealStatus(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"Bearer a.b.c", "", "Bearer a.b.c"} {
		if got := n.requests()[i].Header.Get("Authorization"); got != want {
			t.Errorf("request %d: %q, want %q", i, got, want)
		}
	}
}

// A policy arrives as it was written: positions in messages about it are those of the author's file.
func TestPolicyIsSentAsItIs(t *testing.T) {
	const text = "\n {\t\"Statement\" : [ \"<&>\u2028ü\" ] }\n"
	var got kms.PutKeyPolicyRequest
	n := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if err := json.NewDecoder(q.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		io.WriteString(w, `{}`)
	}))
	defer n.Close()
	c := connect(t, client.Config{Addrs: []string{n.URL}})
	if _, err := c.PutKeyPolicy(context.Background(), &kms.PutKeyPolicyRequest{KeyID: "k", Policy: text}); err != nil || got.Policy != text {
		t.Errorf("%q %v", got.Policy, err)
	}
}

func TestHealthOfANodeThatCannotServe(t *testing.T) {
	for _, status := range []int{200, 501, 503} {
		n := newNode(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, `{"initialized":true,"sealed":true,"reason":"sealed"}`)
		})
		h, err := connect(t, client.Config{Addrs: []string{n.URL}}).Health(context.Background())
		if err != nil || !h.Sealed || h.Reason != "sealed" {
			t.Errorf("%d: %+v %v", status, h, err)
		}
	}
	n := newNode(t, refuse(kms.CodeNotFound))
	if _, err := connect(t, client.Config{Addrs: []string{n.URL}}).Health(context.Background()); err == nil {
		t.Error("404 counts as health")
	}
}

// recorder is a service behind a real door.
type recorder struct {
	mu   sync.Mutex
	call *service.Call
	next *service.Result
}

func (r *recorder) Do(_ context.Context, c *service.Call) (*service.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.call = c
	if r.next != nil {
		return r.next, nil
	}
	return &service.Result{Answer: reflect.New(c.Operation.AnswerType()).Interface(), Epoch: 4, Index: 2}, nil
}

// Every operation's method reaches that operation through the real door with every field intact.
func TestMethodsAgainstTheDoor(t *testing.T) {
	s := &recorder{}
	d := door.New(door.Config{})
	r := d.Router()
	rest.New(rest.Config{Service: s, Door: d}).Mount(r)
	server := httptest.NewServer(d.Handler(r))
	defer server.Close()
	c := connect(t, client.Config{Addrs: []string{server.URL}, AccessKeyID: "AKIA", SecretAccessKey: "s", Region: "eu-west-1", Attempts: 1})

	reached := map[*kms.Operation]bool{}
	methods := reflect.ValueOf(c)
	for i := range methods.NumMethod() {
		name := methods.Type().Method(i).Name
		if name == "Members" {
			name = "ReadMembers"
		}
		op, isOperation := kms.OperationByName(name)
		if !isOperation {
			continue
		}
		args := []reflect.Value{reflect.ValueOf(context.Background())}
		want := op.NewRequest()
		if op.RequestType().NumField() > 0 {
			fill(reflect.ValueOf(want).Elem())
			args = append(args, reflect.ValueOf(want))
		}
		out := methods.Method(i).Call(args)
		if err := out[len(out)-1]; !err.IsNil() {
			t.Errorf("%s: %v", op.Name, err)
			continue
		}
		reached[s.call.Operation] = true
		if s.call.Operation != op || !reflect.DeepEqual(s.call.Request, want) {
			t.Errorf("%s reached %s with %+v, want %+v", name, s.call.Operation.Name, s.call.Request, want)
		}
		identity := "Basic QUtJQTpz"
		if op == kms.OpAssumeRoleWithWebIdentity { // the token in the request is the identity
			identity = ""
		}
		if got := s.call.Auth.Header.Get("Authorization"); s.call.Region != "eu-west-1" || got != identity {
			t.Errorf("%s: region %q, identity %q", name, s.call.Region, got)
		}
	}
	for _, op := range kms.Operations {
		if !reached[op] {
			t.Errorf("no method reaches %s", op.Name)
		}
	}
}

// fill sets every field to something that must survive the way.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString("alias/a b%/ü+?&#")
		case reflect.Int:
			f.SetInt(7)
		case reflect.Bool:
			f.SetBool(v.Type().Field(i).Name != "WithoutPlaintext") // which would turn one operation into another
		case reflect.Slice:
			list := reflect.MakeSlice(f.Type(), 2, 2)
			switch f.Type().Elem().Kind() {
			case reflect.String:
				list.Index(0).SetString("a+/=b %&")
				list.Index(1).SetString("c")
			case reflect.Struct:
				fill(list.Index(0))
				fill(list.Index(1))
			default:
				list = reflect.ValueOf([]byte{0, 0xff, 0xfe}).Convert(f.Type())
			}
			f.Set(list)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
			switch p := f.Interface().(type) {
			case *int:
				*p = 3
			case *string:
				*p = "" // is not nil
			case *time.Time:
				*p = time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
			default:
				fill(f.Elem())
			}
		case reflect.Struct, reflect.Float64, reflect.Uint64:
			panic("a request has a field of a kind that this does not fill: " + v.Type().Field(i).Name)
		case reflect.Map:
			switch f.Interface().(type) {
			case map[string]string:
				f.Set(reflect.ValueOf(map[string]string{"a=b": "c\"\n"}))
			case map[string][]string:
				f.Set(reflect.ValueOf(map[string][]string{"aws:TagKeys": {"a", "c\"\n"}}))
			default:
				f.Set(reflect.ValueOf(map[string]any{"Statement": []any{"x"}}))
			}
		}
	}
}

func TestOptionsAgainstTheDoor(t *testing.T) {
	s := &recorder{next: &service.Result{Answer: &kms.KeyAnswer{Key: kms.KeyMetadata{KeyID: "k"}}, Epoch: 1, Index: 8, Awaiting: []string{"node-2"}}}
	d := door.New(door.Config{})
	r := d.Router()
	rest.New(rest.Config{Service: s, Door: d}).Mount(r)
	server := httptest.NewServer(d.Handler(r))
	defer server.Close()
	c := connect(t, client.Config{Addrs: []string{server.URL}})

	var meta client.Meta
	key, err := c.DisableKey(context.Background(), &kms.KeyRequest{KeyID: "k"}, client.WaitAll(2*time.Second),
		client.IdempotencyKey("mine"), client.MinIndex("1.7"), client.WithMeta(&meta))
	if err != nil || key.Key.KeyID != "k" {
		t.Fatal(key, err)
	}
	if s.call.Wait != service.WaitAll || s.call.Timeout != 2*time.Second || s.call.IdempotencyKey != "mine" || s.call.MinEpoch != 1 || s.call.MinIndex != 7 {
		t.Errorf("%+v", s.call)
	}
	if meta.Index != "1.8" || meta.RequestID == "" || meta.Addr != server.URL || len(meta.Awaiting) != 1 || meta.Awaiting[0] != "node-2" {
		t.Errorf("%+v", meta)
	}
	if _, err := c.DescribeKey(context.Background(), &kms.DescribeKeyRequest{KeyID: "k"}, client.Stale()); err != nil || !s.call.Stale {
		t.Errorf("%v %+v", err, s.call)
	}
	if _, err := c.DescribeKey(context.Background(), &kms.DescribeKeyRequest{KeyID: ".."}); kms.CodeOf(err) != kms.CodeValidation {
		t.Errorf("a key named ..: %v", err)
	}
	for _, token := range []string{"a,b", ""} { // the door would read it as two, or as none
		if _, err := c.GetPublicKey(context.Background(), &kms.GetPublicKeyRequest{KeyID: "k", GrantTokens: []string{token}}); kms.CodeOf(err) != kms.CodeValidation {
			t.Errorf("the grant token %q: %v", token, err)
		}
	}
}
