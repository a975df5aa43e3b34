package service_test

import (
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// full makes the node's audit sink fail from the moment on in which a change is made.
func full(n *servicetest.Node, lost error) {
	n.Break(servicetest.Faults{AfterPropose: func(*fsm.Txn) error {
		n.Break(servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }})
		return lost
	}})
}

// recordsOf returns the records of an event since from.
func recordsOf(n *servicetest.Node, from int, event string) (all []map[string]any) {
	for _, rec := range n.Records()[from:] {
		if rec["eventName"] == event {
			all = append(all, rec)
		}
	}
	return all
}

// A change that was made, or may have been, has its record although no record could be written in that moment: once. A repeat
// under its idempotency key has one of its own.
func TestAChangeIsOnRecordAfterAll(t *testing.T) {
	for name, lost := range map[string]error{"made": nil, "outcome unknown": kms.Errorf(kms.CodeOutcomeUnknown, "The test loses the answer.")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, servicetest.Options{})
			from := len(w.Records())
			full(w.Node, lost)
			call := servicetest.Call(w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{Description: "once"})
			call.IdempotencyKey, call.RequestID = "k", "the-first"
			_, err := w.Service.Do(t.Context(), call)
			want(t, "the change", err, kms.CodeAuditBlocked)
			_, err = w.Do(w.alice, kms.OpCreateKey, &kms.CreateKeyRequest{})
			want(t, "another, meanwhile", err, kms.CodeAuditBlocked)
			if len(w.Records()) != from {
				t.Fatal("records are written")
			}
			w.Break(servicetest.Faults{})
			for range 2 { // what is late stands before the second
				_, err = w.Do(w.alice, kms.OpGetCallerIdentity, &kms.Empty{})
				want(t, "once records are written again", err, "")
			}
			all := recordsOf(w.Node, from, "CreateKey")
			if len(all) != 1 || all[0]["requestID"] != "the-first" || (all[0]["errorCode"] == nil) != (lost == nil) {
				t.Fatalf("the trail has %v", w.Records()[from:])
			}
			call.RequestID = "the-second"
			_, err = w.Service.Do(t.Context(), call)
			want(t, "the repeat", err, "")
			all = recordsOf(w.Node, from, "CreateKey")
			if len(all) != 2 || all[1]["requestID"] != "the-second" || all[1]["eventID"] == all[0]["eventID"] || len(w.keys(t, w.alice)) != 1 {
				t.Errorf("the trail has %v", all)
			}
		})
	}
}

// What was only asked for, and refused or not answered, has no record when none can be written: nothing was done.
func TestNothingDoneIsNotOnRecord(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	from := len(w.Records())
	w.Break(servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }})
	for _, row := range []verdict{
		{"", kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")}, kms.CodeAuditBlocked, ""},
		{"", kms.OpDisableKey, &kms.KeyRequest{KeyID: key}, kms.CodeAuditBlocked, ""},
	} {
		_, err := w.Do(w.alice, row.op, row.request)
		want(t, row.op.Name, err, row.code)
	}
	w.Break(servicetest.Faults{})
	want(t, "healthy", w.Log.Healthy(), "")
	if all := w.Records()[from:]; len(all) != 0 {
		t.Errorf("the trail has %v", all)
	}
}

// What the scheduler did has its record although none could be written in that moment.
func TestScheduledWorkIsOnRecordAfterAll(t *testing.T) {
	for name, lost := range map[string]error{"done": nil, "outcome unknown": kms.Errorf(kms.CodeOutcomeUnknown, "The test loses the answer.")} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			c := p.newChores(t)
			p.Advance(100 * days)
			uncertain := 0
			for range c.events() {
				full(p.Node, lost)
				if err := p.RunDue(t.Context()); err == nil {
					t.Error("it could be recorded")
				}
				if lost != nil {
					uncertain++
				}
				p.Break(servicetest.Faults{})
				want(t, "once records are written again", p.Log.Healthy(), "")
				want(t, "catching up", p.CatchUp(t.Context()), "")
			}
			p.runDue(t, p.Node, p.second)
			c.done(t, p.world, uncertain, p.Node, p.second)
		})
	}
}

// So has a managed key that a call made.
func TestAManagedKeyIsOnRecordAfterAll(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	from := len(w.Records())
	full(w.Node, nil)
	_, err := w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: managedAlias, Plaintext: []byte("p")})
	want(t, "its first use", err, kms.CodeAuditBlocked)
	w.Break(servicetest.Faults{})
	want(t, "healthy", w.Log.Healthy(), "")
	if all := w.Records()[from:]; len(all) != 1 || all[0]["eventName"] != "CreateKey" || !strings.Contains(string(w.Lines()), w.describeAs(t, w.alice, managedAlias).KeyID) {
		t.Errorf("the trail has %v", all)
	}
}
