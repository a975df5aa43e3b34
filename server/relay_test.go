package server

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/seal"
)

func TestReadShare(t *testing.T) {
	age := func(d int64, share string) []byte {
		return append(binary.BigEndian.AppendUint64(nil, uint64(d)), share...)
	}
	for name, tt := range map[string]struct {
		payload []byte
		age     time.Duration
		share   string
		ok      bool
	}{
		"nothing":    {nil, 0, "", false},
		"no age":     {[]byte("1234567"), 0, "", false},
		"new":        {age(0, "share"), 0, "share", true},
		"old":        {age(int64(time.Minute), "share"), time.Minute, "share", true},
		"no share":   {age(5, ""), 5, "", true},
		"not so old": {age(-1, "share"), 0, "", false},
	} {
		got, share, err := readShare(tt.payload)
		if (err == nil) != tt.ok || got != tt.age || string(share) != tt.share {
			t.Errorf("%s: %s, %q, %v", name, got, share, err)
		}
	}
}

// TestSealings: what was given before the node was sealed is refused.
func TestSealings(t *testing.T) {
	var s sealings
	ran := func() error { return nil }
	before, err := s.since(time.Hour, ran)
	if err != nil {
		t.Errorf("never sealed: %v", err)
	}
	s.add(func() {})
	if s.same(before) {
		t.Error("what went on when the node was sealed goes on")
	}
	s.last = time.Now().Add(-time.Minute)
	if _, err := s.since(time.Hour, func() error { t.Error("an older share counts"); return nil }); kms.CodeOf(err) != kms.CodeConflict {
		t.Errorf("older: %v", err)
	}
	count, err := s.since(time.Second, ran)
	if err != nil || !s.same(count) {
		t.Errorf("younger: %v", err)
	}
}

// TestActivateAsksForTheKeysOfTheCluster: another node may have activated the set that replaced the
// one whose shares were combined here.
func TestActivateAsksForTheKeysOfTheCluster(t *testing.T) {
	params := seal.Params{Shares: 2, Threshold: 2}
	old, _, oldBarrier, err := seal.Initialize(params)
	if err != nil {
		t.Fatal(err)
	}
	defer oldBarrier.Wipe()
	c, _, barrier, err := seal.ReInitialize(old, params)
	if err != nil {
		t.Fatal(err)
	}
	defer barrier.Wipe()
	if c, err = barrier.MarkActivated(c); err != nil {
		t.Fatal(err)
	}
	n := &node{fsm: fsm.New(fsm.Options{Fatal: func(err error) { t.Error(err) }})}
	body, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	command, err := fsm.EncodeBatch(1, []fsm.Txn{{ID: fsm.TxnID{1}, Event: "seal.activated",
		Writes: []fsm.Write{{Kind: fsm.KindSealConfig, ID: sealConfigID, Revision: 1, Body: body}}}})
	if err != nil {
		t.Fatal(err)
	}
	n.fsm.Apply(&raft.Log{Index: 1, Type: raft.LogCommand, Data: command})

	if err := n.activate(t.Context(), c, barrier); err != nil {
		t.Errorf("the cluster's keys: %v", err)
	}
	if err := n.activate(t.Context(), old, oldBarrier); kms.CodeOf(err) != kms.CodeShareSuperseded {
		t.Errorf("keys of the set before: %v", err)
	}
	if err := n.activate(t.Context(), c, oldBarrier); kms.CodeOf(err) != kms.CodeUnavailable {
		t.Errorf("other keys under the set's name: %v", err)
	}
}
