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
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/statuscmd"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/transport"
)

const (
	testKey = "0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55"
	testARN = "arn:aws:kms:us-east-1:000000000000:key/" + testKey
)

// testEvent is an audit record.
const testEvent = `{"eventTime":"2026-01-02T03:04:05.678Z","eventID":"event-1","requestID":"request-1","eventName":"Decrypt","sourceIPAddress":"192.0.2.1","errorCode":"access_denied",` +
	`"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::000000000000:user/ann"},"resources":[{"ARN":"` + testARN + `"}],"additionalEventData":{"node":"node-0","seq":7}}`

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// node is a service and a system node that answer canned things and keep what they were asked.
type node struct {
	mu       sync.Mutex
	calls    []*service.Call // guarded by mu
	awaiting []string
	refuse   map[*kms.Operation]error
	answers  map[*kms.Operation]any   // when set, instead of the usual answer
	pages    map[*kms.Operation][]any // when set, one after the other instead of the usual answer

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
	answer := n.answers[c.Operation]
	if pages := n.pages[c.Operation]; len(pages) > 0 {
		answer, n.pages[c.Operation] = pages[0], pages[1:]
	}
	if answer == nil {
		answer = answers[c.Operation]
	}
	if answer == nil {
		answer = identityAnswers[c.Operation]
	}
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
	lastUse     = kms.UseEntry{Operation: "Decrypt", At: testTime, PrincipalARN: "arn:aws:iam::000000000000:user/ann"}
	deletedOn   = testTime.AddDate(0, 0, 30)

	pendingAnswer = &kms.KeyAnswer{Key: kms.KeyMetadata{KeyID: testKey, ARN: testARN, KeyState: kms.StatePendingDeletion, KeySpec: "SYMMETRIC_DEFAULT",
		CreatedAt: testTime, DeletionDate: &deletedOn, LastUse: &lastUse, RecentCallers: []kms.UseEntry{lastUse}}}
	grantsAnswer = &kms.ListGrantsAnswer{Grants: []kms.GrantEntry{{GrantID: "grant-1", KeyID: testARN, GranteePrincipal: "arn:aws:iam::000000000000:user/ann",
		Operations: []kms.GrantOperation{"Decrypt", "Encrypt"}, CreationDate: testTime,
		Constraints: &kms.GrantConstraints{EncryptionContextSubset: map[string]string{"b": "2", "a": "1"}}}}}

	account = kms.AccountEntry{AccountID: "111122223333", Name: "shop", CreatedAt: testTime}
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
	kms.OpListAliases:          &kms.ListAliasesAnswer{Aliases: []kms.AliasEntry{aliasAnswer.Alias}},
	kms.OpCreateCustomKeyStore: &kms.CreateCustomKeyStoreAnswer{CustomKeyStoreID: "cks-1"},
	kms.OpUpdateCustomKeyStore: &kms.Empty{}, kms.OpDeleteCustomKeyStore: &kms.Empty{}, kms.OpConnectCustomKeyStore: &kms.Empty{}, kms.OpDisconnectCustomKeyStore: &kms.Empty{},
	kms.OpDescribeCustomKeyStores: &kms.DescribeCustomKeyStoresAnswer{CustomKeyStores: []kms.CustomKeyStoreEntry{{CustomKeyStoreID: "cks-1", CustomKeyStoreName: "hsm",
		CustomKeyStoreType: "AWS_CLOUDHSM", ConnectionState: "CONNECTED", CreationDate: testTime}}},
	kms.OpGetCallerIdentity:  &kms.CallerIdentityAnswer{Account: "000000000000", ARN: "arn:aws:iam::000000000000:root", UserID: "000000000000"},
	kms.OpCreateAccount:      &kms.CreateAccountAnswer{Account: account, AccessKeyID: "AKIATEST", SecretAccessKey: "the-secret"},
	kms.OpListAccounts:       &kms.ListAccountsAnswer{Accounts: []kms.AccountEntry{account}},
	kms.OpDisableAccount:     &kms.AccountAnswer{Account: kms.AccountEntry{AccountID: "111122223333", Disabled: true}},
	kms.OpGetSetting:         &kms.SettingAnswer{Name: "revocation_bound", Value: "60s"},
	kms.OpPutSetting:         &kms.SettingAnswer{Name: "revocation_bound", Value: "30s"},
	kms.OpLookupEvents:       &kms.LookupEventsAnswer{Events: []json.RawMessage{json.RawMessage(testEvent)}},
	kms.OpGetAuditCheckpoint: &kms.AuditCheckpointAnswer{ClusterID: "00ff", Anchors: []kms.AuditAnchorEntry{{Node: "node-0", PublicKey: []byte("public"), Seq: 7, Hash: "aGFzaA", Time: testTime}}},
	kms.OpReadMembers:        &kms.MembersAnswer{Members: []kms.Member{{Name: "node-0", APIAddr: "http://127.0.0.1:8200", Voter: true, Healthy: true}}},
	kms.OpAllowMember:        &kms.Empty{}, kms.OpRemoveMember: &kms.Empty{},
	kms.OpSeal:                &kms.SealAnswer{Sealed: []string{"node-0", "node-1"}, Unreachable: []string{"node-2"}},
	kms.OpScheduleKeyDeletion: pendingAnswer, kms.OpCancelKeyDeletion: keyAnswer, kms.OpUpdateKeyDescription: keyAnswer,
	kms.OpRotateKeyOnDemand: keyAnswer, kms.OpUpdatePrimaryRegion: keyAnswer,
	kms.OpGetKeyLastUsage: &kms.KeyLastUsageAnswer{KeyID: testARN, KeyCreationDate: testTime, TrackingStartDate: testTime, LastUse: &lastUse,
		Operations: []kms.UseEntry{lastUse}, RecentCallers: []kms.UseEntry{lastUse}, SilentNodes: 1},
	kms.OpPutKeyPolicy:                        &kms.GetKeyPolicyAnswer{KeyID: testARN, PolicyName: "default", Policy: `{"Version":"new"}`},
	kms.OpListKeyPolicies:                     &kms.ListKeyPoliciesAnswer{PolicyNames: []string{"default"}},
	kms.OpListResourceTags:                    &kms.ListResourceTagsAnswer{Tags: []kms.Tag{{Key: "team", Value: "payments"}}},
	kms.OpGetResources:                        &kms.GetResourcesAnswer{ResourceTagMappingList: []kms.ResourceTagMapping{{ResourceARN: testARN, Tags: []kms.Tag{{Key: "stage", Value: "test"}, {Key: "team", Value: "payments"}}}}},
	kms.OpTagResource:                         &kms.Empty{},
	kms.OpUntagResource:                       &kms.Empty{},
	kms.OpEnableKeyRotation:                   &kms.KeyRotationStatusAnswer{KeyID: testARN, KeyRotationEnabled: true, RotationPeriodInDays: 90, NextRotationDate: &testTime},
	kms.OpDisableKeyRotation:                  &kms.KeyRotationStatusAnswer{KeyID: testARN},
	kms.OpGetKeyRotationStatus:                &kms.KeyRotationStatusAnswer{KeyID: testARN, KeyRotationEnabled: true, RotationPeriodInDays: 365, OnDemandRotations: 3},
	kms.OpListKeyRotations:                    &kms.ListKeyRotationsAnswer{Rotations: []kms.RotationEntry{{KeyID: testARN, KeyMaterialID: "0a0b", KeyMaterialState: "CURRENT", RotationDate: &testTime, RotationType: kms.RotationOnDemand}}},
	kms.OpImportKeyMaterial:                   &kms.KeyMaterialAnswer{KeyID: testARN, KeyMaterialID: "0c0d"},
	kms.OpReplicateKey:                        &kms.ReplicateKeyAnswer{Key: keyAnswer.Key, Policy: "{}"},
	kms.OpCreateGrant:                         &kms.CreateGrantAnswer{GrantID: "grant-1", GrantToken: "token-1"},
	kms.OpListGrants:                          grantsAnswer,
	kms.OpListRetirableGrants:                 grantsAnswer,
	kms.OpRetireGrant:                         &kms.Empty{},
	kms.OpRevokeGrant:                         &kms.Empty{},
	kms.OpGenerateDataKeyPair:                 &kms.GenerateDataKeyPairAnswer{PrivateKeyPlaintext: []byte("private"), PrivateKeyCiphertextBlob: []byte("sealed"), PublicKey: []byte("public"), KeyPairSpec: kms.RSA2048, KeyID: testARN},
	kms.OpSign:                                &kms.SignAnswer{KeyID: testARN, Signature: []byte("\x00signed\n"), SigningAlgorithm: kms.ECDSASHA256},
	kms.OpVerify:                              &kms.VerifyAnswer{KeyID: testARN, SignatureValid: true, SigningAlgorithm: kms.ECDSASHA256},
	kms.OpGenerateMac:                         &kms.GenerateMacAnswer{KeyID: testARN, Mac: []byte("\x00mac\n"), MacAlgorithm: kms.HMACSHA256},
	kms.OpVerifyMac:                           &kms.VerifyMacAnswer{KeyID: testARN, MacValid: true, MacAlgorithm: kms.HMACSHA256},
	kms.OpGetPublicKey:                        &kms.GetPublicKeyAnswer{KeyID: testARN, PublicKey: []byte("public"), KeySpec: kms.RSA2048, KeyUsage: kms.SignVerify},
	kms.OpDeriveSharedSecret:                  &kms.DeriveSharedSecretAnswer{KeyID: testARN, SharedSecret: []byte("shared")},
	kms.OpEncapsulate:                         &kms.EncapsulateAnswer{KeyID: testARN, SharedSecret: []byte("shared"), SharedSecretCiphertextBlob: []byte("sealed")},
	kms.OpDecapsulate:                         &kms.DecapsulateAnswer{KeyID: testARN, SharedSecret: []byte("shared")},
	kms.OpGetParametersForImport:              &kms.GetParametersForImportAnswer{KeyID: testARN, ImportToken: []byte("\x00token"), PublicKey: []byte("public"), ParametersValidTo: testTime},
	kms.OpDeleteImportedKeyMaterial:           &kms.KeyMaterialAnswer{KeyID: testARN, KeyMaterialID: "0e0f"},
	kms.OpGenerateDataKeyPairWithoutPlaintext: &kms.GenerateDataKeyPairAnswer{PrivateKeyCiphertextBlob: []byte("sealed"), PublicKey: []byte("public"), KeyPairSpec: kms.RSA2048, KeyID: testARN},
}

// Refuse records nothing.
func (n *node) Refuse(_ context.Context, _ sys.Caller, _ string, err error) error { return err }

func (n *node) Health() sys.Health {
	h := sys.Health{Initialized: true, Sealed: n.sealed, CanServeCrypto: !n.sealed, Name: "node-0", AppliedIndex: 77, FIPS: true}
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

func (n *node) SealedMembers(_ context.Context, _ sys.Caller, chain []*x509.Certificate) (*kms.MembersAnswer, error) {
	return &kms.MembersAnswer{Members: []kms.Member{{Name: "asked by " + chain[0].URIs[0].String()}}}, nil
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
	if r := n.calls[0].Request.(*kms.CreateKeyRequest); r.Policy != `{"Version":"2012-10-17"}` {
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
	if code, stdout, _ := lockstep(t, a, "", "health"); code != 0 || !strings.Contains(stdout, "CRYPTO     yes") || !strings.Contains(stdout, "FIPS MODE  yes") {
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
		Nodes []statuscmd.Node `json:"nodes"`
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
