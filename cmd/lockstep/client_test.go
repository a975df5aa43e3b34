package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/api/door"
	"github.com/lockstep-kms/lockstep/api/rest"
	"github.com/lockstep-kms/lockstep/api/sys"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/transport"
)

const (
	testKey = "0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55"
	testARN = "arn:aws:kms:us-east-1:000000000000:key/" + testKey
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// node is a service and a system node that answer canned things and keep what they were asked.
type node struct {
	mu       sync.Mutex
	calls    []*service.Call // guarded by mu
	awaiting []string
	refuse   map[*kms.Operation]error

	sealed   bool
	need     int      // shares that unseal
	shares   []string // submitted
	given    []string // submitted, refused duplicates as well
	init     *sys.InitRequest
	canceled string
	members  *kms.MembersAnswer // when set, the answer to ReadMembers
}

func (n *node) Do(_ context.Context, c *service.Call) (*service.Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, c)
	if err := n.refuse[c.Operation]; err != nil {
		return &service.Result{}, err
	}
	answer := answers[c.Operation]
	if c.Operation == kms.OpReadMembers && n.members != nil {
		answer = n.members
	}
	if c.Operation == kms.OpListKeys && c.Request.(*kms.ListRequest).Marker != "" {
		answer = &kms.ListKeysAnswer{Keys: []kms.KeyEntry{{KeyID: "second-page", ARN: "arn2"}}}
	}
	return &service.Result{Answer: answer, Epoch: 1, Index: 1, Awaiting: n.awaiting}, nil
}

var (
	keyAnswer   = &kms.KeyAnswer{Key: kms.KeyMetadata{KeyID: testKey, ARN: testARN, KeyState: "Enabled", KeySpec: "SYMMETRIC_DEFAULT", CreatedAt: testTime}}
	aliasAnswer = &kms.AliasAnswer{Alias: kms.AliasEntry{AliasName: "alias/app", TargetKeyID: testKey}}
	account     = kms.AccountEntry{AccountID: "111122223333", Name: "shop", CreatedAt: testTime}
)

// answers are what the canned service says to each operation.
var answers = map[*kms.Operation]any{
	kms.OpCreateKey: keyAnswer, kms.OpDescribeKey: keyAnswer, kms.OpEnableKey: keyAnswer, kms.OpDisableKey: keyAnswer,
	kms.OpListKeys:                        &kms.ListKeysAnswer{Keys: []kms.KeyEntry{{KeyID: testKey, ARN: testARN}}, NextMarker: "more"},
	kms.OpGetKeyPolicy:                    &kms.GetKeyPolicyAnswer{KeyID: testARN, PolicyName: "default", Policy: `{"Version":"2012-10-17"}`},
	kms.OpEncrypt:                         &kms.EncryptAnswer{CiphertextBlob: []byte("sealed"), KeyID: testARN},
	kms.OpDecrypt:                         &kms.DecryptAnswer{Plaintext: []byte("\x00plain\n"), KeyID: testARN},
	kms.OpReEncrypt:                       &kms.ReEncryptAnswer{CiphertextBlob: []byte("sealed again"), KeyID: testARN},
	kms.OpGenerateDataKey:                 &kms.GenerateDataKeyAnswer{Plaintext: []byte("data key"), CiphertextBlob: []byte("sealed"), KeyID: testARN},
	kms.OpGenerateDataKeyWithoutPlaintext: &kms.GenerateDataKeyAnswer{CiphertextBlob: []byte("sealed"), KeyID: testARN},
	kms.OpGenerateRandom:                  &kms.GenerateRandomAnswer{Plaintext: []byte("random")},
	kms.OpCreateAlias:                     aliasAnswer, kms.OpUpdateAlias: aliasAnswer, kms.OpDeleteAlias: &kms.Empty{},
	kms.OpListAliases:       &kms.ListAliasesAnswer{Aliases: []kms.AliasEntry{aliasAnswer.Alias}},
	kms.OpGetCallerIdentity: &kms.CallerIdentityAnswer{Account: "000000000000", ARN: "arn:aws:iam::000000000000:root", UserID: "000000000000"},
	kms.OpCreateAccount:     &kms.CreateAccountAnswer{Account: account, AccessKeyID: "AKIATEST", SecretAccessKey: "the-secret"},
	kms.OpListAccounts:      &kms.ListAccountsAnswer{Accounts: []kms.AccountEntry{account}},
	kms.OpDisableAccount:    &kms.AccountAnswer{Account: kms.AccountEntry{AccountID: "111122223333", Disabled: true}},
	kms.OpGetSetting:        &kms.SettingAnswer{Name: "revocation_bound", Value: "60s"},
	kms.OpPutSetting:        &kms.SettingAnswer{Name: "revocation_bound", Value: "30s"},
	kms.OpReadMembers:       &kms.MembersAnswer{Members: []kms.Member{{Name: "node-0", APIAddr: "http://127.0.0.1:8200", Voter: true, Healthy: true}}},
	kms.OpAllowMember:       &kms.Empty{}, kms.OpRemoveMember: &kms.Empty{},
	kms.OpSeal: &kms.SealAnswer{Sealed: []string{"node-0", "node-1"}, Unreachable: []string{"node-2"}},
}

func (n *node) Health() sys.Health {
	h := sys.Health{Initialized: true, Sealed: n.sealed, CanServeCrypto: !n.sealed, Name: "node-0", AppliedIndex: 77}
	if n.sealed {
		h.Reason = "sealed"
	}
	return h
}

func (n *node) SealStatus() sys.SealStatus {
	return sys.SealStatus{Initialized: true, Sealed: n.sealed, Threshold: n.need, Shares: 5, Progress: len(n.shares)}
}

func (n *node) Init(_ context.Context, _ sys.Caller, r *sys.InitRequest) (*sys.InitAnswer, error) {
	n.init = r
	return &sys.InitAnswer{Shares: []kms.SensitiveString{"share-one", "share-two"}, AccessKeyID: "AKIATEST", SecretAccessKey: "the-secret"}, nil
}

func (n *node) Unseal(_ context.Context, _ sys.Caller, share string, _ bool, _ string) (*sys.UnsealAnswer, error) {
	if share == "wrong" {
		return nil, kms.Errorf(kms.CodeShareWrong, "The share is wrong.")
	}
	n.given = append(n.given, share)
	if n.sealed && slices.Contains(n.shares, share) {
		return nil, kms.Errorf(kms.CodeShareDuplicate, "The share was submitted.")
	}
	n.shares = append(n.shares, share)
	n.sealed = n.sealed && len(n.shares) < n.need
	return &sys.UnsealAnswer{SealStatus: n.SealStatus(), AttemptID: "attempt-1"}, nil
}

func (n *node) CancelUnseal(_ context.Context, _ sys.Caller, attempt string) error {
	n.canceled, n.shares = attempt, nil
	return nil
}

func (n *node) SealedMembers(_ context.Context, _ sys.Caller, cert *x509.Certificate) (*kms.MembersAnswer, error) {
	return &kms.MembersAnswer{Members: []kms.Member{{Name: "asked by " + cert.URIs[0].String()}}}, nil
}

func handler(n sys.Node, s rest.Service) http.Handler {
	d := door.New(door.Config{})
	r := d.Router()
	sys.New(sys.Config{Node: n, Door: d}).Mount(r)
	rest.New(rest.Config{Service: s, Door: d}).Mount(r)
	return d.Handler(r)
}

// serve returns the environment of a client of n.
func serve(t *testing.T, n *node) map[string]string {
	t.Helper()
	s := httptest.NewServer(handler(n, n))
	t.Cleanup(s.Close)
	return map[string]string{"LOCKSTEP_ADDR": s.URL, "LOCKSTEP_ACCESS_KEY_ID": "AKIATEST", "LOCKSTEP_SECRET_ACCESS_KEY": "the-secret"}
}

func TestClientCommands(t *testing.T) {
	n16 := 16
	tests := map[string]struct {
		args, stdin string
		op          *kms.Operation
		request     any
		table       string // in the output
		json        string // in the output with -o json
	}{
		"key create": {"key create --description invoices --tag a=b", "", kms.OpCreateKey, &kms.CreateKeyRequest{Description: "invoices", Tags: map[string]string{"a": "b"}},
			"KEY ID       " + testKey, `"key_id": "` + testKey},
		"key describe": {"key describe alias/app", "", kms.OpDescribeKey, &kms.KeyRequest{KeyID: "alias/app"}, "2026-01-02T03:04:05Z", `"created_at": "2026-01-02T03:04:05Z"`},
		"key enable":   {"key enable " + testARN, "", kms.OpEnableKey, &kms.KeyRequest{KeyID: testARN}, testARN, testARN},
		"key disable":  {"key disable k", "", kms.OpDisableKey, &kms.KeyRequest{KeyID: "k"}, "STATE", "key_state"},
		"key policy":   {"key policy k", "", kms.OpGetKeyPolicy, &kms.KeyRequest{KeyID: "k"}, `{"Version":"2012-10-17"}`, `"policy_name": "default"`},
		"key page":     {"key list --limit 1", "", kms.OpListKeys, &kms.ListRequest{Limit: 1}, "There is more: --marker more", `"next_marker": "more"`},
		"alias create": {"alias create alias/app k", "", kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/app", TargetKeyID: "k"}, "alias/app", `"name": "alias/app"`},
		"alias update": {"alias update alias/a/b k", "", kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a/b", TargetKeyID: "k"}, testKey, testKey},
		"alias delete": {"alias delete alias/app", "", kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/app"}, "alias/app is deleted", "{}"},
		"alias list":   {"alias list --key k", "", kms.OpListAliases, &kms.ListAliasesRequest{KeyID: "k"}, "ALIAS      KEY ID", `"aliases": [`},
		"encrypt": {"encrypt alias/app --context purpose=a=b", "hello\n", kms.OpEncrypt,
			&kms.EncryptRequest{KeyID: "alias/app", Plaintext: []byte("hello\n"), EncryptionContext: map[string]string{"purpose": "a=b"}}, "c2VhbGVk\n", `"ciphertext": "c2VhbGVk"`},
		"encrypt text": {"encrypt k --plaintext-text hello", "ignored", kms.OpEncrypt, &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("hello")}, "c2VhbGVk\n", ""},
		"decrypt":      {"decrypt", "c2Vh\nbGVk \n", kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: []byte("sealed")}, "\x00plain\n", `"plaintext": "AHBsYWluCg=="`},
		"decrypt with": {"decrypt c2VhbGVk --key k", "", kms.OpDecrypt, &kms.DecryptRequest{KeyID: "k", CiphertextBlob: []byte("sealed")}, "\x00plain\n", ""},
		"re-encrypt": {"re-encrypt new c2VhbGVk --from old --source-context a=b --context c=d", "", kms.OpReEncrypt,
			&kms.ReEncryptRequest{KeyID: "new", CiphertextBlob: []byte("sealed"), SourceKeyID: "old", SourceEncryptionContext: map[string]string{"a": "b"}, DestinationEncryptionContext: map[string]string{"c": "d"}},
			"c2VhbGVkIGFnYWlu", `"ciphertext"`},
		"data key":         {"generate-data-key k", "", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: "k", KeySpec: "AES_256"}, "PLAINTEXT   ZGF0YSBrZXk=", `"plaintext": "ZGF0YSBrZXk="`},
		"data key bytes":   {"generate-data-key k --bytes 16", "", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: "k", NumberOfBytes: &n16}, "CIPHERTEXT", ""},
		"data key without": {"generate-data-key k --without-plaintext", "", kms.OpGenerateDataKeyWithoutPlaintext, &kms.GenerateDataKeyRequest{KeyID: "k", KeySpec: "AES_256"}, "CIPHERTEXT", ""},
		"random":           {"random 16", "", kms.OpGenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: &n16}, "cmFuZG9t\n", `"plaintext"`},
		"whoami":           {"whoami", "", kms.OpGetCallerIdentity, &kms.Empty{}, "ACCOUNT  000000000000", `"user_id"`},
		"account create":   {"account create --name shop --id 111122223333", "", kms.OpCreateAccount, &kms.CreateAccountRequest{AccountID: "111122223333", Name: "shop"}, "SECRET ACCESS KEY  the-secret", `"secret_access_key": "the-secret"`},
		"account list":     {"account list", "", kms.OpListAccounts, &kms.ListRequest{}, "shop", `"accounts": [`},
		"account disable":  {"account disable 111122223333", "", kms.OpDisableAccount, &kms.AccountRequest{AccountID: "111122223333"}, "DISABLED  yes", `"disabled": true`},
		"setting get":      {"setting get revocation_bound", "", kms.OpGetSetting, &kms.SettingRequest{Name: "revocation_bound"}, "revocation_bound  60s", `"value": "60s"`},
		"setting put":      {"setting put revocation_bound 30s", "", kms.OpPutSetting, &kms.PutSettingRequest{Name: "revocation_bound", Value: "30s"}, "revocation_bound  30s", `"value": "30s"`},
		"members":          {"operator members", "", kms.OpReadMembers, &kms.Empty{}, "node-0", `"api_addr": "http://127.0.0.1:8200"`},
		"allow":            {"operator allow node-4", "", kms.OpAllowMember, &kms.AllowMemberRequest{Name: "node-4"}, "node-4 may join.", "{}"},
		"remove":           {"operator remove node-4", "", kms.OpRemoveMember, &kms.RemoveMemberRequest{Name: "node-4"}, "node-4 is removed.", "{}"},
	}
	called := map[*kms.Operation]bool{kms.OpSeal: true} // TestSeal
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := &node{}
			env := serve(t, n)
			code, stdout, stderr := lockstep(t, env, tt.stdin, strings.Fields(tt.args)...)
			if code != 0 || stderr != "" || !strings.Contains(stdout, tt.table) {
				t.Errorf("%d %q %q", code, stdout, stderr)
			}
			call := n.calls[0]
			if call.Operation != tt.op || !reflect.DeepEqual(call.Request, tt.request) {
				t.Errorf("%s %+v", call.Operation.Name, call.Request)
			}
			if user, secret, _ := (&http.Request{Header: call.Auth.Header}).BasicAuth(); user != "AKIATEST" || secret != "the-secret" {
				t.Errorf("identity %q", user)
			}
			code, stdout, _ = lockstep(t, env, tt.stdin, append(strings.Fields(tt.args), "-o", "json")...)
			if code != 0 || !json.Valid([]byte(stdout)) || !strings.Contains(stdout, tt.json) {
				t.Errorf("as JSON: %d %q", code, stdout)
			}
		})
		called[tt.op] = true
	}
	for _, op := range kms.Operations {
		if !called[op] {
			t.Errorf("%s is not tested", op.Name)
		}
	}
}

func TestListingsReadEveryPage(t *testing.T) {
	n := &node{}
	code, stdout, _ := lockstep(t, serve(t, n), "", "key", "list", "-o", "json")
	if code != 0 || !strings.Contains(stdout, testKey) || !strings.Contains(stdout, "second-page") || strings.Contains(stdout, "next_marker") || len(n.calls) != 2 {
		t.Errorf("%d %s", code, stdout)
	}
}

func TestWriteFlags(t *testing.T) {
	n := &node{awaiting: []string{"node-2"}}
	env := serve(t, n)
	code, stdout, stderr := lockstep(t, env, "", "key", "disable", "k", "--wait", "all", "--wait-timeout", "1s", "--idempotency-key", "once", "--region", "eu-west-1")
	if code != 1 || !strings.Contains(stderr, "node-2") || !strings.Contains(stdout, testKey) {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if c := n.calls[0]; c.Wait != service.WaitAll || c.Timeout != time.Second || c.IdempotencyKey != "once" || c.Region != "eu-west-1" {
		t.Errorf("%+v", c)
	}
	n.awaiting = []string{}
	if code, _, stderr := lockstep(t, env, "", "key", "disable", "k", "--wait", "all", "--wait-timeout", "1s"); code != 1 || !strings.Contains(stderr, "unknown which") {
		t.Errorf("nobody knows who: %d %q", code, stderr)
	}
}

func TestKeyCreateWithAlias(t *testing.T) {
	n := &node{}
	code, stdout, _ := lockstep(t, serve(t, n), "", "key", "create", "--alias", "alias/app")
	if code != 0 || !strings.Contains(stdout, "ALIAS        alias/app") || len(n.calls) != 2 {
		t.Fatalf("%d %s", code, stdout)
	}
	if r := n.calls[1].Request.(*kms.CreateAliasRequest); r.AliasName != "alias/app" || r.TargetKeyID != testKey {
		t.Errorf("%+v", r)
	}
	n.refuse = map[*kms.Operation]error{kms.OpCreateAlias: kms.Errorf(kms.CodeAlreadyExists, "It is taken.")}
	code, _, stderr := lockstep(t, serve(t, n), "", "key", "create", "--alias", "alias/app")
	if code != 1 || !strings.Contains(stderr, testKey) || !strings.Contains(stderr, "It is taken.") {
		t.Errorf("a key without its alias: %d %q", code, stderr)
	}
}

func TestKeyCreateWithPolicy(t *testing.T) {
	n := &node{}
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(`{"Version":"2012-10-17"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := lockstep(t, serve(t, n), "", "key", "create", "--policy", file); code != 0 {
		t.Fatal(stderr)
	}
	if r := n.calls[0].Request.(*kms.CreateKeyRequest); r.Policy["Version"] != "2012-10-17" {
		t.Errorf("%+v", r)
	}
}

func TestRefusalsAreOneLine(t *testing.T) {
	n := &node{refuse: map[*kms.Operation]error{kms.OpEncrypt: kms.Errorf(kms.CodeKeyDisabled, "%s is disabled.", testARN)}}
	code, stdout, stderr := lockstep(t, serve(t, n), "x", "encrypt", "k")
	if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "lockstep: "+testARN+" is disabled. (key_disabled, request ") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}

func TestInit(t *testing.T) {
	n := &node{}
	env := serve(t, n)
	env["LOCKSTEP_INIT_TOKEN"] = "the-token"
	code, stdout, _ := lockstep(t, env, "", "operator", "init", "--shares", "2", "--threshold", "2", "--again")
	if code != 0 || n.init.Shares != 2 || n.init.Threshold != 2 || !n.init.Again || n.init.InitToken != "the-token" {
		t.Fatalf("%d %s", code, stdout)
	}
	for _, want := range []string{"SHARE 1            share-one\n", "SHARE 2            share-two\n", "ACCESS KEY ID      AKIATEST\n", "SECRET ACCESS KEY  the-secret\n", "shown once"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in %q", want, stdout)
		}
	}
	_, stdout, _ = lockstep(t, env, "", "operator", "init", "-o", "json")
	if !strings.Contains(stdout, `"share-one"`) || !strings.Contains(stdout, `"secret_access_key": "the-secret"`) {
		t.Errorf("as JSON: %s", stdout)
	}
}

func TestUnseal(t *testing.T) {
	n := &node{sealed: true, need: 3}
	env := serve(t, n)
	code, stdout, _ := lockstep(t, env, "", "operator", "unseal", "share-one")
	if code != 0 || !strings.Contains(stdout, "1 of 3 shares") || !strings.Contains(stdout, "ATTEMPT ID  attempt-1") {
		t.Errorf("%d %q", code, stdout)
	}
	if code, _, stderr := lockstep(t, env, "wrong\n", "operator", "unseal"); code != 1 || !strings.Contains(stderr, "share_wrong") || strings.Contains(stderr, `"wrong"`) {
		t.Errorf("%d %q", code, stderr)
	}
	code, stdout, _ = lockstep(t, env, "\n share-two \nshare-three\nshare-four\n", "operator", "unseal", "--cluster")
	if code != 0 || !strings.Contains(stdout, "unsealed") || !reflect.DeepEqual(n.shares, []string{"share-one", "share-two", "share-three", "share-four"}) {
		t.Errorf("%d %q %q", code, stdout, n.shares)
	}
}

// TestUnsealCluster gives a whole threshold whatever the addressed node has or is.
func TestUnsealCluster(t *testing.T) {
	sealed := &kms.MembersAnswer{Members: []kms.Member{{Name: "node-0"}, {Name: "node-2", Sealed: true}}}
	tests := map[string]struct {
		node  *node
		input string
		given string
		code  int
		out   string
	}{
		"unsealed":           {&node{need: 3}, "a b c d", "a b c", 0, "unsealed"},
		"has some":           {&node{sealed: true, need: 3, shares: []string{"a", "b"}}, "a b c d", "a b c", 0, "unsealed"},
		"has another":        {&node{sealed: true, need: 3, shares: []string{"x", "y"}}, "a b c d", "a b c", 0, "unsealed"},
		"one twice":          {&node{sealed: true, need: 3}, "a a b c", "a b c", 0, "unsealed"},
		"too few":            {&node{sealed: true, need: 3}, "a b", "a b", 0, "2 of 3"},
		"a duplicate":        {&node{sealed: true, need: 3, shares: []string{"a"}}, "a", "a", 1, ""},
		"a wrong one":        {&node{need: 3}, "a wrong c", "a", 1, ""},
		"others stay sealed": {&node{need: 2, members: sealed}, "a b", "a b", 0, "STILL SEALED  node-2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := lockstep(t, serve(t, tt.node), strings.ReplaceAll(tt.input, " ", "\n"), "operator", "unseal", "--cluster")
			if code != tt.code || strings.Join(tt.node.given, " ") != tt.given || !strings.Contains(stdout, tt.out) {
				t.Errorf("%d %q %q, given %q", code, stdout, stderr, tt.node.given)
			}
		})
	}
	n := &node{need: 2, members: sealed}
	nobody := map[string]string{"LOCKSTEP_ADDR": serve(t, n)["LOCKSTEP_ADDR"]}
	if code, stdout, _ := lockstep(t, nobody, "a\nb\n", "operator", "unseal", "--cluster"); code != 0 || strings.Contains(stdout, "STILL") || len(n.calls) != 0 {
		t.Errorf("without an identity: %d %q", code, stdout)
	}
}

func TestCancelUnseal(t *testing.T) {
	n := &node{sealed: true, need: 3, shares: []string{"x"}}
	code, stdout, _ := lockstep(t, serve(t, n), "", "operator", "cancel-unseal", "attempt-1")
	if code != 0 || n.canceled != "attempt-1" || !strings.Contains(stdout, "0 of 3 shares") {
		t.Errorf("%d %q", code, stdout)
	}
}

func TestSeal(t *testing.T) {
	n := &node{}
	code, stdout, stderr := lockstep(t, serve(t, n), "", "operator", "seal", "--cluster")
	if code != 1 || !strings.Contains(stdout, "node-0, node-1") || !strings.Contains(stderr, "node-2") || !n.calls[0].Request.(*kms.SealRequest).Cluster {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}

func TestHealthAndStatus(t *testing.T) {
	serving, sealed := &node{}, &node{sealed: true, need: 3}
	a, b := serve(t, serving), serve(t, sealed)
	if code, stdout, _ := lockstep(t, a, "", "health"); code != 0 || !strings.Contains(stdout, "CRYPTO   yes") {
		t.Errorf("%d %q", code, stdout)
	}
	if code, _, stderr := lockstep(t, b, "", "health"); code != 1 || !strings.Contains(stderr, "sealed") {
		t.Errorf("%d %q", code, stderr)
	}
	all := map[string]string{"LOCKSTEP_ADDR": a["LOCKSTEP_ADDR"] + ", " + b["LOCKSTEP_ADDR"] + ",http://127.0.0.1:1"}
	code, stdout, _ := lockstep(t, all, "", "operator", "status")
	if code != 0 || !strings.Contains(stdout, "sealed (0/3)") || !strings.Contains(stdout, "no answer") || strings.Count(stdout, "\n") != 4 {
		t.Errorf("%d %s", code, stdout)
	}
	code, stdout, _ = lockstep(t, all, "", "operator", "status", "-o", "json")
	var got struct {
		Nodes []nodeStatus `json:"nodes"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || len(got.Nodes) != 3 || got.Nodes[2].Error == "" || !got.Nodes[1].SealStatus.Sealed {
		t.Errorf("%d %s %v", code, stdout, err)
	}
}

// The certificates that 'cert' makes are what TLS, the client and the sealed members list need.
func TestTLSWithOurCertificates(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{"cert ca", "cert server api --host 127.0.0.1", "cert operator alice"} {
		args := append(strings.Fields(args), "--out", dir)
		if args[1] != "ca" {
			args = append(args, "--ca", dir)
		}
		if code, _, stderr := lockstep(t, nil, "", args...); code != 0 {
			t.Fatal(stderr)
		}
	}
	pair, err := transport.LoadPair(filepath.Join(dir, "api.pem"), filepath.Join(dir, "api-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := transport.LoadPool(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler(&node{sealed: true}, &node{}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()

	env := map[string]string{"LOCKSTEP_ADDR": s.URL}
	if code, _, stderr := lockstep(t, env, "", "operator", "status"); code != 1 || !strings.Contains(stderr, "no node answers") {
		t.Errorf("without the CA: %d %q", code, stderr)
	}
	env["LOCKSTEP_CACERT"] = filepath.Join(dir, "ca.pem")
	if code, _, stderr := lockstep(t, env, "", "operator", "status"); code != 0 {
		t.Errorf("with the CA: %d %q", code, stderr)
	}
	env["LOCKSTEP_CLIENT_CERT"], env["LOCKSTEP_CLIENT_KEY"] = filepath.Join(dir, "alice.pem"), filepath.Join(dir, "alice-key.pem")
	code, stdout, stderr := lockstep(t, env, "", "operator", "members")
	if code != 0 || !strings.Contains(stdout, "asked by lockstep://operator/alice") {
		t.Errorf("members of a sealed node: %d %q %q", code, stdout, stderr)
	}
}
