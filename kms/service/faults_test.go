package service_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// behind returns a second node that has applied nothing since now, beside the world's.
func (w *world) behind(t *testing.T) *servicetest.Node {
	t.Helper()
	n := w.Cluster.Node(servicetest.Options{})
	n.Lag(true)
	return n
}

// A node that is behind refuses nothing that it only does not know yet: it confirms and decides
// again. Each row is made on one node and asked of another that has not applied it.
func TestFreshRefusal(t *testing.T) {
	rows := []struct {
		name string
		make func(t *testing.T, w *world) (who servicetest.Credentials, op *kms.Operation, request any)
		code kms.Code // on the fresh view
	}{
		{"a new key is used", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			return w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: w.CreateKey(w.alice), Plaintext: []byte("p")}
		}, ""},
		{"a new key's ciphertext is decrypted", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			return w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: w.encrypt(t, w.alice, w.CreateKey(w.alice), "p", nil)}
		}, ""},
		{"a new alias is used", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/new", TargetKeyID: w.CreateKey(w.alice)})
			want(t, "alias", err, "")
			return w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: "alias/new", Plaintext: []byte("p")}
		}, ""},
		{"a new identity authenticates", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			return w.CreateAccount("444444444444"), kms.OpGenerateRandom, &kms.GenerateRandomRequest{NumberOfBytes: ptr(1)}
		}, ""},
		{"an alias is free again", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			_, err := w.Do(w.alice, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/old"})
			want(t, "delete", err, "")
			return w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/old", TargetKeyID: w.CreateKey(w.alice)}
		}, ""},
		{"a stale read finds a new key", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			return w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: w.CreateKey(w.alice)}
		}, ""},
		{"a policy names a new role", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			w.must(t, w.alice, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "new", AssumeRolePolicyDocument: trusting(iamARN(aliceID, "root"))})
			return w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{Policy: policyFor(iamARN(aliceID, "root"), iamARN(aliceID, "role/new"))}
		}, ""},
		{"a policy names nobody", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			return w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{Policy: policyFor(iamARN(aliceID, "root"), iamARN(aliceID, "role/none"))}
		}, kms.CodeMalformedPolicy},
		{"what is not there is refused", func(t *testing.T, w *world) (servicetest.Credentials, *kms.Operation, any) {
			return w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: "alias/none", Plaintext: []byte("p")}
		}, kms.CodeNotFound},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			_, err := w.Do(w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/old", TargetKeyID: w.CreateKey(w.alice)})
			want(t, "alias", err, "")
			n := w.behind(t)
			who, op, request := row.make(t, w)
			call := servicetest.Call(who, op, request)
			call.Stale = true
			n.Break(servicetest.Faults{Confirm: func() error { return kms.Errorf(kms.CodeCannotConfirm, "No leader.") }})
			_, err = n.Service.Do(t.Context(), call)
			want(t, "without confirmation", err, kms.CodeCannotConfirm)
			n.Break(servicetest.Faults{})
			before := n.Counts().Confirmations
			_, err = n.Service.Do(t.Context(), call)
			want(t, "with confirmation", err, row.code)
			if got := n.Counts().Confirmations - before; got != 1 {
				t.Errorf("%d confirmations", got)
			}
		})
	}
}

// policyFor allows principals everything.
func policyFor(principals ...string) kms.PolicyDocument {
	return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*","Principal":{"AWS":["` + strings.Join(principals, `","`) + `"]}}]}`)
}

// A verdict on the kinds of keys is one on what an alias leads to now. What is wrong in a request itself costs no poll.
func TestFreshRefusalOfKinds(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	signs, signsToo := w.make(t, w.alice, signingKey).KeyID, w.make(t, w.alice, signingKey).KeyID
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: w.CreateKey(w.alice)})
	n := w.behind(t)
	w.must(t, w.alice, kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: "alias/a"})
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: signs})
	_, err := n.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: signsToo})
	want(t, "on a node that knows the alias of an encryption key", err, "")
	before := n.Counts().Confirmations
	_, err = n.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: "alias/b"})
	want(t, "an alias of an alias", err, kms.CodeValidation)
	_, err = n.Do(w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{Policy: "{}"})
	want(t, "no policy", err, kms.CodeMalformedPolicy)
	if got := n.Counts().Confirmations - before; got != 0 {
		t.Errorf("what is wrong in itself was confirmed %d times", got)
	}
}

// A key that was disabled elsewhere and enabled again is usable on a node that saw only the first.
func TestFreshRefusalOfState(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	_, err := w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	want(t, "disable", err, "")
	n := w.behind(t)
	_, err = w.Do(w.alice, kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	want(t, "enable", err, "")
	_, err = n.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
	want(t, "encrypt", err, "")
}

// Malformed input is refused without asking anybody.
func TestMalformedIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	w.Break(servicetest.Faults{Confirm: func() error { return kms.Errorf(kms.CodeCannotConfirm, "") }})
	for _, row := range []verdict{
		{"", kms.OpEncrypt, &kms.EncryptRequest{KeyID: "x", Plaintext: []byte("p")}, kms.CodeInvalidKeyID, ""},
		{"", kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: []byte("garbage")}, kms.CodeInvalidCiphertext, ""},
		{"", kms.OpCreateKey, &kms.CreateKeyRequest{KeySpec: "SM2"}, kms.CodeUnsupported, ""},
		{"", kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "x"}, kms.CodeInvalidAliasName, ""},
	} {
		records := len(w.Records())
		_, err := w.Do(w.alice, row.op, row.request)
		want(t, row.op.Name, err, row.code)
		if len(w.Records()) != records+1 {
			t.Errorf("%s: not audited", row.op.Name)
		}
	}
}

// Control reads are linearizable unless they are asked not to be.
func TestControlReadsAreConfirmed(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	n := w.behind(t)
	_, err := w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	want(t, "disable", err, "")
	call := servicetest.Call(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
	call.Stale = true
	result, err := n.Service.Do(t.Context(), call)
	want(t, "stale", err, "")
	if !result.Answer.(*kms.KeyAnswer).Key.Enabled {
		t.Error("the test's node is not behind")
	}
	stale := result.Index
	call.Stale = false
	result, err = n.Service.Do(t.Context(), call)
	want(t, "confirmed", err, "")
	if result.Answer.(*kms.KeyAnswer).Key.Enabled || result.Index <= stale {
		t.Error("a confirmed read answered the old state")
	}
	n.Break(servicetest.Faults{Confirm: func() error { return kms.Errorf(kms.CodeCannotConfirm, "") }})
	_, err = n.Service.Do(t.Context(), call)
	want(t, "unconfirmed", err, kms.CodeCannotConfirm)
}

// The lease is asked before the key is used, and again before the answer leaves.
func TestLease(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	lost := kms.Errorf(kms.CodeNoLease, "The node has not heard from the leader.")
	for i, op := range kms.Operations {
		if !op.Crypto {
			continue
		}
		w.Break(servicetest.Faults{})
		request := rights[op].request(w.topic(t, w.alice, op, "alias/"+strconv.Itoa(i)))
		for holds := range 2 { // times that the lease holds before it is lost
			var asked int
			w.Break(servicetest.Faults{Lease: func() error {
				if asked++; asked > holds {
					return lost
				}
				return nil
			}})
			records := len(w.Records())
			answer, err := w.Do(w.alice, op, request)
			want(t, op.Name, err, kms.CodeNoLease)
			if answer != nil {
				t.Errorf("%s: an answer beside the refusal", op.Name)
			}
			all := w.Records()[records:]
			if holds == 0 && (len(all) != 1 || all[0]["errorCode"] != string(kms.CodeNoLease)) {
				t.Errorf("%s: refused at once, the records are %v", op.Name, all)
			}
			if holds == 1 {
				checkWithheld(t, all, op, kms.CodeNoLease)
			}
		}
	}
	w.Break(servicetest.Faults{Lease: func() error { return lost }})
	_, err := w.Do(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
	want(t, "control work without a lease", err, "")
}

// checkWithheld looks at the records of a call whose answer did not leave at the last moment: its own, of what was done, and
// an event of the node that names it.
func checkWithheld(t *testing.T, records []map[string]any, op *kms.Operation, why kms.Code) {
	t.Helper()
	if len(records) != 2 {
		t.Errorf("%s: the records are %v", op.Name, records)
		return
	}
	call, event := records[0], records[1]
	details, _ := event["serviceEventDetails"].(map[string]any)
	if call["eventName"] != op.Name || call["errorCode"] != nil || event["eventName"] != "AnswerWithheld" || event["eventType"] != "AwsServiceEvent" || event["requestID"] != nil ||
		details["eventID"] != call["eventID"] || details["requestID"] != call["requestID"] || details["errorCode"] != string(why) {
		t.Errorf("%s: the records are %v", op.Name, records)
	}
}

// Nothing leaves without its audit record: no answer, no refusal; and no change is proposed while
// no record could be written.
func TestAuditRefusal(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	ciphertext := w.encrypt(t, w.alice, key, "p", nil)
	blocked := servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }}
	for _, op := range kms.Operations {
		if op == kms.OpSeal {
			continue
		}
		w.Break(blocked)
		// Both a right request and one that would be refused.
		for _, who := range []servicetest.Credentials{w.Root, {}} {
			answer, err := w.Do(who, op, requests(key, "alias/a", ciphertext)[op])
			want(t, op.Name, err, kms.CodeAuditBlocked)
			if answer != nil {
				t.Errorf("%s: an answer beside the refusal", op.Name)
			}
		}
		w.Break(servicetest.Faults{})
		_, err := w.Do(w.alice, kms.OpGetCallerIdentity, &kms.Empty{})
		want(t, "once records are written again", err, "")
	}
	proposals := w.Counts().Proposals
	w.Break(blocked)
	_, err := w.Do(w.alice, kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "blocked", err, kms.CodeAuditBlocked)
	_, err = w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	want(t, "a change", err, kms.CodeAuditBlocked)
	if w.Counts().Proposals != proposals {
		t.Error("a change was proposed that could not be audited")
	}
	acts := w.Counts().Acts
	_, err = w.Do(w.Root, kms.OpRemoveMember, &kms.RemoveMemberRequest{Name: "node-9"})
	want(t, "an act of the cluster", err, kms.CodeAuditBlocked)
	if w.Counts().Acts != acts {
		t.Error("the cluster did what could not be audited")
	}
}

// When the record of a change that was made cannot be written, the refusal says so, and the same
// idempotency key is answered later.
func TestAuditFailsAfterTheChange(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	w.Break(servicetest.Faults{Audit: func(line []byte) error {
		if strings.Contains(string(line), "CreateKey") {
			return servicetest.ErrFault
		}
		return nil
	}})
	call := servicetest.Call(w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{Description: "once"})
	call.IdempotencyKey = "k"
	_, err := w.Service.Do(t.Context(), call)
	want(t, "create", err, kms.CodeAuditBlocked)
	if !strings.Contains(err.Error(), "change was made") {
		t.Errorf("it does not say that the change was made: %v", err)
	}
	w.Break(servicetest.Faults{})
	result, err := w.Service.Do(t.Context(), call)
	want(t, "retry", err, "")
	if result.Answer.(*kms.KeyAnswer).Key.Description != "once" {
		t.Error("the retry is answered with another key")
	}
	if n := len(w.keys(t, w.alice)); n != 1 {
		t.Errorf("%d keys", n)
	}
}

func (w *world) keys(t *testing.T, who servicetest.Credentials) []kms.KeyEntry {
	t.Helper()
	answer, err := w.Do(who, kms.OpListKeys, &kms.ListRequest{Limit: 1000})
	want(t, "list", err, "")
	return answer.(*kms.ListKeysAnswer).Keys
}

func TestMinIndex(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.behind(t)
	key := w.CreateKey(w.alice)
	index := w.State().Index()
	call := servicetest.Call(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
	call.MinEpoch, call.MinIndex = 1, index
	caught := make(chan error, 1)
	go func() { caught <- n.CatchUp(context.Background()) }()
	result, err := n.Service.Do(t.Context(), call)
	want(t, "an index that comes", err, "")
	want(t, "catching up", <-caught, "")
	if result.Index < index || result.Epoch != 1 {
		t.Errorf("answered at %d.%d", result.Epoch, result.Index)
	}
	if n.Counts().Confirmations != 0 {
		t.Error("the node did not wait, it confirmed")
	}
	call.MinEpoch, call.MinIndex = 0, 1<<60
	_, err = n.Service.Do(t.Context(), call)
	want(t, "an index of an earlier epoch", err, "")
	call.MinEpoch = 2
	result, err = n.Service.Do(t.Context(), call)
	want(t, "a later epoch", err, kms.CodeIndexNotReached)
	if result == nil || result.Index == 0 {
		t.Error("the refusal does not say how far the node is")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	call.MinEpoch, call.MinIndex = 1, 1<<60
	_, err = n.Service.Do(ctx, call)
	want(t, "an index that does not come", err, kms.CodeIndexNotReached)
}

func TestWaitForMembers(t *testing.T) { synctest.Test(t, testWaitForMembers) }

func testWaitForMembers(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	disable := func(change func(*service.Call)) (*service.Result, error) {
		call := servicetest.Call(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
		change(call)
		return w.Service.Do(t.Context(), call)
	}
	var index atomic.Uint64
	w.Break(servicetest.Faults{AwaitAll: func(ctx context.Context, i uint64) ([]string, error) {
		index.Store(i)
		<-ctx.Done()
		return []string{"node-2"}, nil
	}})
	result, err := disable(func(c *service.Call) { c.Wait, c.Timeout = service.WaitAll, 10*time.Millisecond })
	want(t, "wait=all with a timeout", err, "")
	if len(result.Awaiting) != 1 || result.Awaiting[0] != "node-2" || index.Load() != result.Index {
		t.Errorf("awaited %d: %+v", index.Load(), result)
	}
	result, err = disable(func(c *service.Call) { c.Wait = service.WaitNone })
	want(t, "wait=none", err, "")
	if result.Awaiting != nil {
		t.Errorf("wait=none: %+v", result)
	}
	result, err = disable(func(*service.Call) {}) // 2 s
	want(t, "by default", err, "")
	if result.Awaiting != nil || w.Counts().Awaits != 2 {
		t.Errorf("by default: %+v after %d waits", result, w.Counts().Awaits)
	}

	var tries atomic.Int32
	w.Break(servicetest.Faults{AwaitAll: func(context.Context, uint64) ([]string, error) {
		if tries.Add(1) < 3 {
			return nil, kms.Errorf(kms.CodeNoQuorum, "An election is running.")
		}
		return nil, nil
	}})
	result, err = disable(func(c *service.Call) { c.Wait = service.WaitAll })
	want(t, "wait=all across an election", err, "")
	if result.Awaiting != nil || tries.Load() != 3 {
		t.Errorf("across an election: %+v after %d tries", result, tries.Load())
	}
	w.Break(servicetest.Faults{AwaitAll: func(context.Context, uint64) ([]string, error) {
		return nil, kms.Errorf(kms.CodeNoQuorum, "")
	}})
	result, err = disable(func(c *service.Call) { c.Wait, c.Timeout = service.WaitAll, 10*time.Millisecond })
	want(t, "wait=all without a leader", err, "")
	if result.Awaiting == nil || len(result.Awaiting) != 0 {
		t.Errorf("without a leader: %+v", result)
	}
}

func TestSealedAndNotInitialized(t *testing.T) {
	c := servicetest.New(t)
	n := c.Node(servicetest.Options{Sealed: true})
	for op, request := range requests("k", "alias/a", nil) {
		_, err := n.Do(c.Root, op, request)
		want(t, op.Name, err, kms.CodeSealed)
	}
	if len(n.Records()) != len(kms.Operations) {
		t.Errorf("%d audit records", len(n.Records()))
	}
	n.Unseal()
	_, err := n.Do(c.Root, kms.OpSeal, &kms.SealRequest{})
	want(t, "seal", err, "")
	_, err = n.Do(c.Root, kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "after", err, kms.CodeSealed)
	n.Unseal()
	n.Break(servicetest.Faults{Confirm: func() error { return kms.Errorf(kms.CodeCannotConfirm, "") }})
	_, err = n.Do(c.Root, kms.OpSeal, &kms.SealRequest{Cluster: true})
	want(t, "seal without a quorum", err, "")

	// Nor does it wait for the audit trail, which a stranger's attempt does.
	n.Unseal()
	n.Break(servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }})
	_, err = n.Do(servicetest.Credentials{}, kms.OpSeal, &kms.SealRequest{})
	want(t, "a stranger's seal without an audit trail", err, kms.CodeAuditBlocked)
	if n.Catalog.Sealed() {
		t.Fatal("a stranger sealed the node")
	}
	answer, err := n.Do(c.Root, kms.OpSeal, &kms.SealRequest{})
	want(t, "seal without an audit trail", err, "")
	if a, ok := answer.(*kms.SealAnswer); !ok || len(a.Sealed) != 1 || !n.Catalog.Sealed() {
		t.Errorf("%+v", answer)
	}
}

// Requests that hold the view while the node is sealed finish; every ciphertext that was answered
// decrypts.
func TestSealUnderLoad(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	blobs := make(chan []byte, 1<<16)
	const workers = 4
	done := make(chan error, workers)
	for range workers {
		go func() {
			for {
				answer, err := w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("under load")})
				if err != nil {
					done <- err
					return
				}
				select {
				case blobs <- answer.(*kms.EncryptAnswer).CiphertextBlob:
				default:
				}
			}
		}()
	}
	for len(blobs) < 100 {
		<-time.After(time.Millisecond)
	}
	w.Catalog.Seal()
	for range workers {
		want(t, "a worker", <-done, kms.CodeSealed)
	}
	close(blobs)
	w.Unseal()
	for blob := range blobs {
		answer, err := w.Do(w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob})
		want(t, "decrypt", err, "")
		if string(answer.(*kms.DecryptAnswer).Plaintext) != "under load" {
			t.Fatal("another plaintext")
		}
	}
}

// An answer that is late for the seal does not leave.
func TestSealDropsLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, servicetest.Options{})
		key := w.CreateKey(w.alice)
		w.encrypt(t, w.alice, key, "p", nil)
		var asked int
		w.Break(servicetest.Faults{Lease: func() error {
			if asked++; asked == 2 { // the ciphertext is made
				time.Sleep(10 * time.Second) // of the bubble's clock
			}
			return nil
		}})
		late := make(chan error)
		go func() {
			_, err := w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
			late <- err
		}()
		synctest.Wait()
		w.Catalog.Seal()
		want(t, "late", <-late, kms.CodeSealed)
		all := w.Records()
		checkWithheld(t, all[len(all)-2:], kms.OpEncrypt, kms.CodeSealed)
	})
}

// An operation that is none of the table's is refused.
func TestUnknownOperation(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for _, op := range []*kms.Operation{nil, {Name: "Encrypt"}} {
		_, err := w.Do(w.alice, op, &kms.Empty{})
		want(t, "unknown", err, kms.CodeUnsupported)
	}
}

func TestConflictIsBounded(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	// Somebody changes the key between each decision and its proposal.
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) { w.touchKey(t, key) }})
	before := w.Counts().Proposals
	_, err := w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	want(t, "disable", err, kms.CodeConflict)
	if n := w.Counts().Proposals - before; n != 16 {
		t.Errorf("%d proposals", n)
	}
	if all := w.Records(); all[len(all)-1]["errorCode"] != string(kms.CodeConflict) {
		t.Error("the conflict is not audited")
	}
}

// TestNotUnderstoodIsRecorded hands over a call that a door could not read: it is refused as the door
// said, on record, and not when the record cannot be written.
func TestNotUnderstoodIsRecorded(t *testing.T) {
	n := newWorld(t, servicetest.Options{})
	before := len(n.Records())
	refused := kms.Errorf(kms.CodeInvalidRequest, "The body is not JSON.")
	c := &service.Call{Operation: kms.OpEncrypt, RequestID: "r-1", Source: "192.0.2.7", Refused: refused}
	_, err := n.Service.Do(t.Context(), c)
	if err == nil || kms.AsError(err).Message != refused.Message {
		t.Fatalf("it is refused with %v", err)
	}
	all := n.Records()
	if len(all) != before+1 {
		t.Fatalf("%d records for one call", len(all)-before)
	}
	if r := all[before]; r["eventName"] != "Encrypt" || r["errorCode"] != "invalid_request" || r["requestID"] != "r-1" || r["sourceIPAddress"] != "192.0.2.7" {
		t.Errorf("the record: %v", r)
	}
	n.Break(servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }})
	_, err = n.Service.Do(t.Context(), c)
	if kms.CodeOf(err) != kms.CodeAuditBlocked {
		t.Errorf("unrecorded it is answered with %v", err)
	}
}

// TestLongestBoundIsRemembered lowers the revocation bound twice: for as long as a lease under the
// first may last, the view still says so.
func TestLongestBoundIsRemembered(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	set := func(value string) {
		t.Helper()
		_, err := w.Do(w.Root, kms.OpPutSetting, &kms.PutSettingRequest{Name: kms.SettingRevocationBound, Value: value})
		want(t, "setting "+value, err, "")
	}
	longest := func(want time.Duration) {
		t.Helper()
		v := w.Catalog.View()
		if got := v.LongestRevocationBound(v.LogTime()); got != want {
			t.Errorf("the longest bound is %s, want %s", got, want)
		}
	}
	longest(kms.DefaultRevocationBound)
	set("1h")
	set("10m")
	set("1s")
	longest(time.Hour)
	w.Advance(30 * time.Minute)
	set("2s")
	longest(time.Hour)
	w.Advance(2 * time.Hour)
	set("3s")
	longest(3 * time.Second)
}

// TestLeaseCoversTheView lets a poll complete between the arrival of a request and its look at the lease:
// what the lease then speaks of is decided on, not what was opened before.
func TestLeaseCoversTheView(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	n := w.behind(t)
	_, err := w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	want(t, "disable", err, "")
	n.Break(servicetest.Faults{Lease: func() error { return n.CatchUp(context.Background()) }})
	_, err = n.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
	want(t, "a request on a view older than the lease", err, kms.CodeKeyDisabled)
}

// TestRepeatIsAuthorizedAnew answers a repeat from the node's own memory, as the replica does without
// a leader: without a confirmation nothing leaves, and with one the caller's rights of now count.
func TestRepeatIsAuthorizedAnew(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	call := servicetest.Call(w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{Description: "one"})
	call.IdempotencyKey = "k"
	do := func(n *servicetest.Node) error {
		c := *call
		_, err := n.Service.Do(t.Context(), &c)
		return err
	}
	want(t, "the first", do(w.Node), "")

	n := w.Cluster.Node(servicetest.Options{})
	n.Lag(true)
	_, err := w.Do(w.Root, kms.OpDisableAccount, &kms.AccountRequest{AccountID: aliceID})
	want(t, "disable the account", err, "")

	cutOff := kms.Errorf(kms.CodeCannotConfirm, "")
	n.Break(servicetest.Faults{Confirm: func() error { return cutOff }, Memory: true})
	want(t, "the repeat on a node that is cut off", do(n), kms.CodeCannotConfirm)
	n.Break(servicetest.Faults{Memory: true})
	want(t, "the repeat once confirmed", do(n), kms.CodeUnauthenticated)
}

// TestSealedAfterTheChange seals the node between a change and its answer, past the grace for running
// requests: the caller is not told that nothing happened.
func TestSealedAfterTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, servicetest.Options{})
		key := w.CreateKey(w.alice)
		w.Break(servicetest.Faults{Audit: func([]byte) error { w.Catalog.Seal(); return nil }})
		_, err := w.Do(w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
		want(t, "a change whose node was sealed", err, kms.CodeOutcomeUnknown)
	})
}
