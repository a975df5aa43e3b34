package service_test

import (
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func lastUsage(t *testing.T, n *servicetest.Node, who servicetest.Credentials, key string) *kms.KeyLastUsageAnswer {
	t.Helper()
	a, err := n.Do(who, kms.OpGetKeyLastUsage, &kms.KeyRequest{KeyID: key})
	want(t, "last usage", err, "")
	return a.(*kms.KeyLastUsageAnswer)
}

func TestUsageOfAllNodes(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	third := w.Cluster.Node(servicetest.Options{})
	key, unused := w.CreateKey(w.alice), w.CreateKey(w.alice)
	if u := lastUsage(t, w.Node, w.alice, key); u.LastUse != nil || len(u.Operations) != 0 || !u.TrackingStartDate.Equal(u.KeyCreationDate) {
		t.Errorf("a new key: %+v", u)
	}
	c := w.encrypt(t, w.alice, key, "x", nil)
	_, err := n.Do(w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: c})
	want(t, "decrypt", err, "")
	for _, one := range []*servicetest.Node{w.Node, n, third} {
		u := lastUsage(t, one, w.alice, key)
		if len(u.Operations) != 2 || u.LastUse == nil || u.LastUse.Operation != "Decrypt" || len(u.RecentCallers) != 1 || u.SilentNodes != 0 || u.LastUse.EventID == "" {
			t.Errorf("%s: %+v", one.Name, u)
		}
	}
	// What is not a use of the key.
	_, err = w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: unused, Plaintext: []byte("x"), DryRun: true})
	want(t, "dry", err, kms.CodeDryRun)
	_, err = w.Do(w.alice, kms.OpDecrypt, &kms.DecryptRequest{KeyID: unused, CiphertextBlob: c})
	want(t, "another key's", err, kms.CodeIncorrectKey)
	w.must(t, w.alice, kms.OpDescribeKey, &kms.KeyRequest{KeyID: unused})
	w.Break(servicetest.Faults{Audit: func([]byte) error { return servicetest.ErrFault }})
	_, err = w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: unused, Plaintext: []byte("x")})
	want(t, "unrecorded", err, kms.CodeAuditBlocked)
	w.Break(servicetest.Faults{})
	if u := lastUsage(t, third, w.alice, unused); u.LastUse != nil {
		t.Errorf("an unused key: %+v", u.LastUse)
	}

	// A node that is sealed is told, and what it wrote before is known.
	want(t, "write", n.WriteUsage(t.Context()), "")
	n.Catalog.Seal()
	u := lastUsage(t, third, w.alice, key)
	if u.SilentNodes != 1 || u.LastUse == nil || u.LastUse.Operation != "Decrypt" {
		t.Errorf("without a node: %+v", u)
	}
}

func TestUsageIsWrittenInBatches(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	var keys []string
	for range 70 {
		keys = append(keys, w.CreateKey(w.alice))
		w.encrypt(t, w.alice, keys[len(keys)-1], "x", nil)
	}
	before := w.Counts().Proposals
	conflicts := 0
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if conflicts++; conflicts == 1 {
			_, err := n.Do(w.alice, kms.OpUpdateKeyDescription, &kms.UpdateKeyDescriptionRequest{KeyID: keys[0], Description: "meanwhile"})
			want(t, "describe", err, "")
			want(t, "write", n.WriteUsage(t.Context()), "")
		}
	}})
	want(t, "write", w.WriteUsage(t.Context()), "")
	if got := w.Counts().Proposals - before; got != 5+1 { // and the conflict
		t.Errorf("%d transactions", got)
	}
	if got := live(w, fsm.KindUsage); got != len(keys) {
		t.Errorf("%d records", got)
	}
	want(t, "nothing new", w.WriteUsage(t.Context()), "")
	if got := w.Counts().Proposals - before; got != 6 {
		t.Errorf("%d transactions", got)
	}
	w.Catalog.Seal() // forgets what it remembered
	w.Unseal()
	for _, key := range keys {
		if u := lastUsage(t, w.Node, w.alice, key); u.LastUse == nil || u.LastUse.Operation != "Encrypt" {
			t.Fatalf("after a restart: %+v", u)
		}
	}
	// What could not be written is written the next time.
	w.encrypt(t, w.alice, keys[0], "x", nil)
	w.Break(servicetest.Faults{Propose: func(*fsm.Txn) error { return kms.Errorf(kms.CodeNoQuorum, "") }})
	want(t, "no quorum", w.WriteUsage(t.Context()), kms.CodeNoQuorum)
	w.Break(servicetest.Faults{})
	before = w.Counts().Proposals
	want(t, "later", w.WriteUsage(t.Context()), "")
	if w.Counts().Proposals != before+1 {
		t.Error("it was forgotten")
	}
}
