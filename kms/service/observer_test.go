package service_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// observed writes down what a service tells its observer.
type observed struct {
	mu   sync.Mutex
	told []string // guarded by mu
}

func (o *observed) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, fmt.Sprintf(format, args...))
}

// take returns what was told since the last time.
func (o *observed) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	told := o.told
	o.told = nil
	return told
}

func (o *observed) Request(op *kms.Operation, door string, code kms.Code, took time.Duration) {
	if took < 0 || took > time.Hour {
		o.note("%s took %s", op.Name, took)
	}
	o.note("%s %s %q", op.Name, door, code)
}

func (o *observed) Used(op *kms.Operation, spec kms.KeySpec, keyID string) {
	o.note("%s used %s %s", op.Name, spec, keyID)
}

func (o *observed) PendingDeletion(keyID string)          { o.note("%s is to be deleted", keyID) }
func (o *observed) Scheduled(event string, code kms.Code) { o.note("%s %q", event, code) }

// Every call is told of once, by what it came to; a key counts as used by what is done, not by what is refused or only tried.
func TestObserver(t *testing.T) {
	o := &observed{}
	c := servicetest.New(t)
	n := c.Node(servicetest.Options{Observer: o})
	key, to := n.CreateKey(c.Root), n.CreateKey(c.Root)
	if got := o.take(); !slices.Equal(got, []string{`CreateKey test ""`, `CreateKey test ""`}) {
		t.Errorf("%q", got)
	}
	stranger := n.CreateAccount("111111111111")
	o.take()
	encrypt := func(key string) *kms.EncryptRequest { return &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")} }
	sealed, err := n.Do(c.Root, kms.OpEncrypt, encrypt(key))
	if err != nil {
		t.Fatal(err)
	}
	used := func(op, key string) string { return op + " used SYMMETRIC_DEFAULT " + key }
	if got := o.take(); !slices.Equal(got, []string{used("Encrypt", key), `Encrypt test ""`}) {
		t.Errorf("%q", got)
	}
	for name, tt := range map[string]struct {
		who     servicetest.Credentials
		op      *kms.Operation
		request any
		want    []string
	}{
		"two keys": {c.Root, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: to, CiphertextBlob: sealed.(*kms.EncryptAnswer).CiphertextBlob},
			[]string{used("ReEncrypt", key), used("ReEncrypt", to), `ReEncrypt test ""`}},
		"by what it is": {c.Root, kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: "AES_256", WithoutPlaintext: true},
			[]string{used("GenerateDataKeyWithoutPlaintext", key), `GenerateDataKeyWithoutPlaintext test ""`}},
		"dry run":     {c.Root, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x"), DryRun: true}, []string{`Encrypt test "dry_run"`}},
		"malformed":   {c.Root, kms.OpEncrypt, encrypt(""), []string{`Encrypt test "validation"`}},
		"nobody":      {servicetest.Credentials{}, kms.OpEncrypt, encrypt(key), []string{`Encrypt test "unauthenticated"`}},
		"no such key": {stranger, kms.OpEncrypt, encrypt(key), []string{`Encrypt test "not_found"`}},
	} {
		_, _ = n.Do(tt.who, tt.op, tt.request)
		if got := o.take(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A key that is to be deleted is told of when somebody who may use it is refused for that, once a call, and else not.
func TestObserverOfKeysToBeDeleted(t *testing.T) {
	o := &observed{}
	c := servicetest.New(t)
	n := c.Node(servicetest.Options{Observer: o})
	key, off := n.CreateKey(c.Root), n.CreateKey(c.Root)
	do := func(op *kms.Operation, request any) {
		t.Helper()
		_, _ = n.Do(c.Root, op, request)
	}
	do(kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(7)})
	do(kms.OpDisableKey, &kms.KeyRequest{KeyID: off})
	o.take()
	do(kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
	do(kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: "AES_256"})
	do(kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
	do(kms.OpEnableKey, &kms.KeyRequest{KeyID: key})
	do(kms.OpEncrypt, &kms.EncryptRequest{KeyID: off, Plaintext: []byte("x")})
	_, _ = n.Do(servicetest.Credentials{}, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
	want := []string{key + " is to be deleted", `Encrypt test "invalid_state"`, key + " is to be deleted", `GenerateDataKey test "invalid_state"`,
		`DescribeKey test ""`, `EnableKey test "invalid_state"`, `Encrypt test "key_disabled"`, `Encrypt test "unauthenticated"`}
	if got := o.take(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	n.Break(servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }}) // refused for another reason
	do(kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")})
	if got := o.take(); !slices.Equal(got, []string{`Encrypt test "audit_blocked"`}) {
		t.Errorf("%q", got)
	}
}

// What is scheduled is told of when it is done, once, and when it failed.
func TestObserverOfScheduledWork(t *testing.T) {
	o := &observed{}
	c := servicetest.New(t)
	n := c.Node(servicetest.Options{Observer: o})
	key := n.CreateKey(c.Root)
	if _, err := n.Do(c.Root, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(7)}); err != nil {
		t.Fatal(err)
	}
	o.take()
	run := func() { _ = n.RunDue(t.Context()) }
	run()
	if got := o.take(); got != nil {
		t.Errorf("before its time: %q", got)
	}
	c.Advance(8 * 24 * time.Hour)
	n.Break(servicetest.Faults{Memory: true})
	run()
	if got := o.take(); !slices.Equal(got, []string{`DeleteKey "no_quorum"`}) {
		t.Errorf("without a leader: %q", got)
	}
	n.Break(servicetest.Faults{})
	run()
	run()
	if got := o.take(); !slices.Equal(got, []string{`DeleteKey ""`}) {
		t.Errorf("%q", got)
	}
}

// A call that panics is counted, has a record and holds nothing any longer; the panic goes on to the door.
func TestPanic(t *testing.T) {
	o := &observed{}
	var log bytes.Buffer
	c := servicetest.New(t)
	n := c.Node(servicetest.Options{Observer: o, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	key := n.CreateKey(c.Root)
	o.take()
	n.Break(servicetest.Faults{Confirm: func() error { panic("in the middle") }})
	call := servicetest.Call(c.Root, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key})
	func() {
		defer func() {
			if p := recover(); p != "in the middle" {
				t.Errorf("the panic became %v", p)
			}
		}()
		_, _ = n.Service.Do(t.Context(), call)
	}()
	if got := o.take(); !slices.Equal(got, []string{`DescribeKey test "internal"`}) {
		t.Errorf("%q", got)
	}
	records := n.Records()
	if last := records[len(records)-1]; last["requestID"] != call.RequestID || last["errorCode"] != string(kms.CodeInternal) {
		t.Errorf("the last record is %v", last)
	}
	n.Catalog.Seal()
	if strings.Contains(log.String(), "in vain") {
		t.Errorf("sealing waited for the call that panicked: %s", &log)
	}
}
