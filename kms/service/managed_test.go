package service_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

const managedAlias = "alias/aws/test"

func (w *world) describeAs(t *testing.T, who servicetest.Credentials, key string) kms.KeyMetadata {
	t.Helper()
	return w.must(t, who, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}).(*kms.KeyAnswer).Key
}

// A managed key comes into being with its first use, whatever node is asked, and is the same one for every other.
func TestManagedKeyComesIntoBeing(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	second := w.Cluster.Node(servicetest.Options{})
	blob := w.encrypt(t, w.alice, w.CreateKey(w.alice), message, nil)
	for i, row := range []struct {
		op      *kms.Operation
		request func(alias string) any
	}{
		{kms.OpEncrypt, func(a string) any { return &kms.EncryptRequest{KeyID: a, Plaintext: []byte(message)} }},
		{kms.OpReEncrypt, func(a string) any { return &kms.ReEncryptRequest{KeyID: a, CiphertextBlob: blob} }},
		{kms.OpGenerateDataKey, func(a string) any { return &kms.GenerateDataKeyRequest{KeyID: a, KeySpec: kms.DataKeyAES256} }},
		{kms.OpGenerateDataKeyWithoutPlaintext, func(a string) any { return &kms.GenerateDataKeyRequest{KeyID: a, KeySpec: kms.DataKeyAES256} }},
		{kms.OpGenerateDataKeyPair, func(a string) any { return &kms.GenerateDataKeyPairRequest{KeyID: a, KeyPairSpec: kms.ECCNISTP256} }},
		{kms.OpGenerateDataKeyPairWithoutPlaintext, func(a string) any { return &kms.GenerateDataKeyPairRequest{KeyID: a, KeyPairSpec: kms.ECCNISTP256} }},
		{kms.OpDescribeKey, func(a string) any { return &kms.DescribeKeyRequest{KeyID: a} }},
	} {
		for j, n := range []*servicetest.Node{w.Node, second} {
			alias := fmt.Sprintf("%s%d-%d", kms.ManagedAliasPrefix, i, j)
			before, keys := len(n.Records()), len(w.keys(t, w.alice))
			_, err := n.Do(w.alice, row.op, row.request(alias))
			want(t, row.op.Name, err, "")
			k := w.describeAs(t, w.alice, alias)
			if k.KeyManager != kms.ManagerAWS || k.Description != "Default key of "+alias+"." || k.KeySpec != kms.SymmetricDefault || k.KeyState != kms.StateEnabled {
				t.Errorf("%s made %+v", row.op.Name, k)
			}
			if n := len(w.keys(t, w.alice)) - keys; n != 1 {
				t.Errorf("%s made %d keys", row.op.Name, n)
			}
			made := 0
			for _, r := range n.Records()[before:] {
				if r["eventName"] != kms.OpCreateKey.Name {
					continue
				}
				made++
				if text := fmt.Sprint(r); !strings.Contains(text, k.ARN) || !strings.Contains(text, w.alice.AccessKeyID) || !strings.Contains(text, "192.0.2.1") {
					t.Errorf("%s: the making is audited as %v", row.op.Name, r)
				}
			}
			if made != 1 {
				t.Errorf("%s: the making is audited %d times", row.op.Name, made)
			}
			for _, other := range []*servicetest.Node{w.Node, second} {
				_, err := other.Do(w.alice, row.op, row.request(alias))
				want(t, row.op.Name+" again", err, "")
			}
			if n := len(w.keys(t, w.alice)) - keys; n != 1 {
				t.Errorf("%s: there are %d keys after more uses", row.op.Name, n)
			}
		}
	}

	// Another account has a key of its own.
	if mine, theirs := w.describeAs(t, w.alice, managedAlias), w.describeAs(t, w.bob, managedAlias); mine.KeyID == theirs.KeyID || theirs.AccountID != bobID {
		t.Errorf("%s has %s, %s has %s", mine.AccountID, mine.KeyID, theirs.AccountID, theirs.KeyID)
	}
	sealed := w.encrypt(t, w.alice, managedAlias, message, nil)
	answer, err := second.Do(w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: sealed})
	want(t, "decrypt on another node", err, "")
	if got := string(answer.(*kms.DecryptAnswer).Plaintext); got != message {
		t.Errorf("decrypted %q", got)
	}
	_, err = w.Do(w.bob, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: sealed, KeyID: managedAlias})
	if err == nil {
		t.Error("another account decrypted it under its own managed key")
	}
}

// What cannot use a key that is made now does not make one.
func TestManagedKeyIsNotMade(t *testing.T) {
	w := newWorld(t, twoRegions)
	key := w.CreateKey(w.alice)
	blob := w.encrypt(t, w.alice, key, message, nil)
	enc := func(alias string) *kms.EncryptRequest {
		return &kms.EncryptRequest{KeyID: alias, Plaintext: []byte(message)}
	}
	rsa := enc(managedAlias)
	rsa.EncryptionAlgorithm = kms.RSAESOAEPSHA256
	dryEncrypt := enc(managedAlias)
	dryEncrypt.DryRun = true
	rows := []verdict{
		{"decrypt", kms.OpDecrypt, &kms.DecryptRequest{KeyID: managedAlias, CiphertextBlob: blob}, kms.CodeNotFound, ""},
		{"source", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, SourceKeyID: managedAlias, CiphertextBlob: blob}, kms.CodeNotFound, ""},
		{"RSA", kms.OpEncrypt, rsa, kms.CodeNotFound, ""},
		{"dry run", kms.OpEncrypt, dryEncrypt, kms.CodeDryRun, ""},
		{"dry run", kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: managedAlias, CiphertextBlob: blob, DryRun: true}, kms.CodeDryRun, ""},
		{"dry run", kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: managedAlias, KeySpec: kms.DataKeyAES256, DryRun: true}, kms.CodeDryRun, ""},
		{"dry run", kms.OpGenerateDataKeyPair, &kms.GenerateDataKeyPairRequest{KeyID: managedAlias, KeyPairSpec: kms.ECCNISTP256, DryRun: true}, kms.CodeDryRun, ""},
	}
	for _, op := range kms.Operations {
		if op.Resource == kms.ResourceKey && !op.Crypto && op != kms.OpDescribeKey {
			request := requests(managedAlias, "alias/a", nil)[op]
			switch q := request.(type) {
			case *kms.PutKeyPolicyRequest:
				q.Policy = defaultPolicy(aliceID)
			case *kms.RevokeGrantRequest:
				q.GrantID = strings.Repeat("0", 64)
			case *kms.RetireGrantRequest:
				q.GrantID = strings.Repeat("0", 64)
			}
			rows = append(rows, verdict{"control", op, request, kms.CodeNotFound, ""})
		}
	}
	for _, name := range []string{"A", "a_b", "-a", "a-", "a/b", strings.Repeat("a", 33)} {
		rows = append(rows, verdict{name, kms.OpEncrypt, enc(kms.ManagedAliasPrefix + name), kms.CodeNotFound, ""})
	}
	index := w.State().Index()
	w.judge(t, rows)
	if w.State().Index() != index || len(w.keys(t, w.alice)) != 1 {
		t.Error("something was made")
	}
	w.encrypt(t, w.alice, kms.ManagedAliasPrefix+strings.Repeat("a", 32), message, nil)
}

// Two nodes that are asked at once make one key.
func TestManagedKeyMadeByTwo(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	second := w.Cluster.Node(servicetest.Options{})
	var once sync.Once
	var theirs any
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		once.Do(func() {
			var err error
			if theirs, err = second.Do(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: managedAlias}); err != nil {
				t.Error(err)
			}
		})
	}})
	mine := w.describeAs(t, w.alice, managedAlias)
	if other, ok := theirs.(*kms.KeyAnswer); !ok || other.Key.KeyID != mine.KeyID || len(w.keys(t, w.alice)) != 1 {
		t.Errorf("one has %s, the other %v; there are %d keys", mine.KeyID, theirs, len(w.keys(t, w.alice)))
	}
	for _, n := range w.Records() {
		if n["eventName"] == kms.OpCreateKey.Name {
			t.Errorf("the node that did not make the key says that it did: %v", n)
		}
	}

	w.Break(servicetest.Faults{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			n := []*servicetest.Node{w.Node, second}[i%2]
			if _, err := n.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: "alias/aws/many", Plaintext: []byte(message)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(w.keys(t, w.alice)); n != 2 {
		t.Errorf("%d keys", n)
	}
}

// Nobody changes a managed key, and no alias of a customer's leads to it.
func TestManagedKeyIsChangedByNobody(t *testing.T) {
	w := newWorld(t, twoRegions)
	k := w.describeAs(t, w.alice, managedAlias)
	own := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: own})
	index, walked := w.State().Index(), 0
	for _, op := range kms.Operations {
		// Of grants there are none to end, and deleting an alias names no key.
		if !op.Mutates || op.Resource != kms.ResourceKey && op != kms.OpCreateAlias && op != kms.OpUpdateAlias || op == kms.OpRevokeGrant || op == kms.OpRetireGrant {
			continue
		}
		walked++
		request := requests(k.KeyID, "alias/a", nil)[op]
		if q, ok := request.(*kms.PutKeyPolicyRequest); ok {
			q.Policy = defaultPolicy(aliceID)
		}
		_, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, kms.CodeAccessDenied)
		if !strings.Contains(err.Error(), "managed") {
			t.Errorf("%s: %v", op.Name, err)
		}
	}
	if walked < 15 || w.State().Index() != index {
		t.Errorf("%d operations were walked, the log went from %d to %d", walked, index, w.State().Index())
	}
	w.judge(t, []verdict{
		{"moved", kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: managedAlias, TargetKeyID: own}, kms.CodeInvalidAliasName, ""},
		{"deleted", kms.OpDeleteAlias, &kms.DeleteAliasRequest{AliasName: managedAlias}, kms.CodeInvalidAliasName, ""},
		{"made", kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/aws/other", TargetKeyID: own}, kms.CodeInvalidAliasName, ""},
	})
}

// A managed key rotates yearly, and what it encrypted before is decrypted.
func TestManagedKeyRotates(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	blob := w.encrypt(t, w.alice, managedAlias, message, nil)
	before := w.describeAs(t, w.alice, managedAlias)
	status := w.must(t, w.alice, kms.OpGetKeyRotationStatus, &kms.KeyRequest{KeyID: managedAlias}).(*kms.KeyRotationStatusAnswer)
	if !status.KeyRotationEnabled || status.RotationPeriodInDays != 365 {
		t.Errorf("its rotation is %+v", status)
	}
	for _, days := range []int{364, 2} {
		w.Advance(time.Duration(days) * 24 * time.Hour)
		want(t, "run", w.RunDue(t.Context()), "")
		if rotated := w.describeAs(t, w.alice, managedAlias).CurrentKeyMaterialID != before.CurrentKeyMaterialID; rotated != (days == 2) {
			t.Errorf("after %d days more it is rotated: %v", days, rotated)
		}
	}
	if got := w.must(t, w.alice, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob}).(*kms.DecryptAnswer); string(got.Plaintext) != message {
		t.Errorf("decrypted %q", got.Plaintext)
	}
}

// An account has 64 managed keys in a region: the next one is refused, those that are there go on.
func TestManagedKeysAreLimited(t *testing.T) {
	w := newWorld(t, twoRegions)
	for i := range 64 {
		w.describeAs(t, w.alice, fmt.Sprintf("alias/aws/%d", i))
	}
	_, err := w.Do(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/aws/more"})
	want(t, "one more", err, kms.CodeLimitExceeded)
	w.encrypt(t, w.alice, "alias/aws/0", message, nil)
	w.describeAs(t, w.bob, "alias/aws/more")
	call := servicetest.Call(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/aws/more"})
	call.Region = secondRegion
	_, err = w.Service.Do(t.Context(), call)
	want(t, "in another region", err, "")
}

// A ciphertext that does not open makes no managed key, neither as what it is moved to nor as what it is opened with.
func TestManagedKeysAreNotMadeForNothing(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	ciphertext := w.encrypt(t, w.alice, w.CreateKey(w.alice), "x", nil)
	before := len(w.keys(t, w.alice))
	changed := append([]byte(nil), ciphertext...)
	changed[len(changed)-1] ^= 1
	_, err := w.Do(w.alice, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: "alias/aws/ebs", CiphertextBlob: changed})
	want(t, "changed", err, kms.CodeInvalidCiphertext)
	_, err = w.Do(w.alice, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: "alias/aws/ebs", SourceKeyID: "alias/aws/ebs", CiphertextBlob: ciphertext})
	want(t, "from itself", err, kms.CodeNotFound)
	if after := len(w.keys(t, w.alice)); after != before {
		t.Errorf("%d keys were made", after-before)
	}
}
