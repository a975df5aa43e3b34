package service_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// usage asks a node for the last use of a key.
func usage(t testing.TB, n *servicetest.Node, who servicetest.Credentials, key string) *kms.KeyLastUsageAnswer {
	t.Helper()
	answer, err := n.Do(who, kms.OpGetKeyLastUsage, &kms.KeyRequest{KeyID: key})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(*kms.KeyLastUsageAnswer)
}

func operationsOf(uses []kms.UseEntry) (all []string) {
	for _, u := range uses {
		all = append(all, u.Operation)
	}
	slices.Sort(all)
	return all
}

// record opens the record of a key's use; nil when there is none.
func (w *world) record(t testing.TB, n *servicetest.Node, key string) *kms.Usage {
	t.Helper()
	k := keyOn(t, n, key)
	u, _, err := n.Catalog.View().Usage(k)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Every node tells what all of them and the records know, and who could not be asked.
func TestLastUsageIsTheClusters(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	if got := usage(t, p.Node, p.alice, key); got.LastUse != nil || len(got.Operations) != 0 || len(got.RecentCallers) != 0 || got.SilentNodes != 0 {
		t.Errorf("a key that was never used: %+v", got)
	}
	ciphertext := p.encrypt(t, p.alice, key, message, nil)
	third := p.Cluster.Node(twoRegions)
	if err := p.WriteUsage(t.Context()); err != nil { // the record knows of the encryption, the second node of the decryption, the third of a data key
		t.Fatal(err)
	}
	p.on(t, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
	_, err := third.Do(p.alice, kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256})
	want(t, "data key", err, "")
	all := []string{"Decrypt", "Encrypt", "GenerateDataKey"}
	var first *kms.KeyLastUsageAnswer
	for _, n := range []*servicetest.Node{p.Node, p.second, third} {
		got := usage(t, n, p.alice, key)
		if first == nil {
			first = got
		}
		if !slices.Equal(operationsOf(got.Operations), all) || got.LastUse == nil || !reflect.DeepEqual(got, first) {
			t.Errorf("%s: %+v", n.Name, got)
		}
		if len(got.RecentCallers) != 1 || got.RecentCallers[0].PrincipalARN != "arn:aws:iam::"+aliceID+":root" {
			t.Errorf("%s: the callers are %+v", n.Name, got.RecentCallers)
		}
		if u := got.LastUse; u.EventID == "" || u.RequestID == "" || u.At.IsZero() {
			t.Errorf("%s: %+v", n.Name, u)
		}
	}
	third.Catalog.Seal()
	got := usage(t, p.Node, p.alice, key)
	if got.SilentNodes != 1 || !slices.Equal(operationsOf(got.Operations), all[:2]) {
		t.Errorf("while a node is sealed: %+v", got)
	}
	_, err = p.Do(p.bob, kms.OpGetKeyLastUsage, &kms.KeyRequest{KeyID: key})
	if err == nil {
		t.Error("another tenant is told")
	}
}

// The event id of a use is that of its audit record.
func TestLastUsageNamesTheAuditRecord(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.encrypt(t, w.alice, key, message, nil)
	records := w.Records()
	if got := usage(t, w.Node, w.alice, key).LastUse; got == nil || got.EventID != records[len(records)-1]["eventID"] {
		t.Errorf("the last use is %+v, the record %v", got, records[len(records)-1])
	}
}

// Dry runs, failures, and what does not use the material count as no use.
func TestWhatIsNoUse(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, signing, off := w.CreateKey(w.alice), w.make(t, w.alice, signingKey).KeyID, w.CreateKey(w.alice)
	ciphertext := w.encrypt(t, w.alice, off, message, nil)
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: off})
	for _, row := range []struct {
		op      *kms.Operation
		request any
		code    kms.Code
	}{
		{kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p"), DryRun: true}, kms.CodeDryRun},
		{kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256, DryRun: true}, kms.CodeDryRun},
		{kms.OpSign, &kms.SignRequest{KeyID: signing, Message: []byte("m"), SigningAlgorithm: kms.ECDSASHA256, DryRun: true}, kms.CodeDryRun},
		{kms.OpSign, &kms.SignRequest{KeyID: signing, Message: []byte("m"), SigningAlgorithm: kms.ECDSASHA384}, "*"},
		{kms.OpVerify, &kms.VerifyRequest{KeyID: signing, Message: []byte("m"), Signature: []byte("s"), SigningAlgorithm: kms.ECDSASHA256}, "*"},
		{kms.OpDecrypt, &kms.DecryptRequest{KeyID: key, CiphertextBlob: ciphertext}, "*"},
		{kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: underNameOf(t, ciphertext, key)}, "*"},
		{kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: key, CiphertextBlob: ciphertext}, "*"}, // from the disabled key
		{kms.OpEncrypt, &kms.EncryptRequest{KeyID: signing, Plaintext: []byte("p")}, "*"},
		{kms.OpGetPublicKey, &kms.GetPublicKeyRequest{KeyID: signing}, ""},
		{kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key}, ""},
		{kms.OpRotateKeyOnDemand, &kms.KeyRequest{KeyID: key}, ""},
	} {
		if _, err := w.Do(w.alice, row.op, row.request); row.code == "*" && err == nil || row.code != "*" && kms.CodeOf(err) != row.code {
			t.Fatalf("%s: %v", row.op.Name, err)
		}
		for _, id := range []string{key, signing} {
			if got := usage(t, w.Node, w.alice, id); got.LastUse != nil || len(got.RecentCallers) != 0 {
				t.Errorf("%s counts as a use: %+v", row.op.Name, got.LastUse)
			}
		}
	}
	if got := usage(t, w.Node, w.alice, off); !slices.Equal(operationsOf(got.Operations), []string{"Encrypt"}) {
		t.Errorf("the disabled key: %+v", got.Operations)
	}
}

// Re-encryption is a use of both keys.
func TestReEncryptionUsesBothKeys(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	from, to := w.CreateKey(w.alice), w.CreateKey(w.alice)
	ciphertext := w.encrypt(t, w.alice, from, message, nil)
	w.must(t, w.alice, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: to, CiphertextBlob: ciphertext})
	if got := operationsOf(usage(t, w.Node, w.alice, from).Operations); !slices.Equal(got, []string{"Encrypt", "ReEncrypt"}) {
		t.Errorf("the source: %v", got)
	}
	if got := operationsOf(usage(t, w.Node, w.alice, to).Operations); !slices.Equal(got, []string{"ReEncrypt"}) {
		t.Errorf("the destination: %v", got)
	}
}

// What is remembered is written in batches of 16 keys, each change once, and lives on in new nodes.
func TestWriteUsage(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	keys := make([]string, 40)
	for i := range keys {
		keys[i] = w.CreateKey(w.alice)
		w.encrypt(t, w.alice, keys[i], message, nil)
	}
	if u := w.record(t, w.Node, keys[0]); u != nil {
		t.Errorf("a use is written at once: %+v", u)
	}
	var sizes []int
	w.Break(servicetest.Faults{BeforePropose: func(txn *fsm.Txn) {
		if txn.Event == "key.usage_noted" {
			sizes = append(sizes, len(txn.Writes))
		}
	}})
	for range 2 {
		if err := w.WriteUsage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(sizes, []int{16, 16, 8}) {
		t.Errorf("transactions of %v records", sizes)
	}
	before := usage(t, w.Node, w.alice, keys[3])
	w.Catalog.Seal() // forgets
	w.Unseal()
	fresh := w.Cluster.Node(servicetest.Options{})
	for _, n := range []*servicetest.Node{w.Node, fresh} {
		if got := usage(t, n, w.alice, keys[3]); !reflect.DeepEqual(got, before) {
			t.Errorf("%s: %+v, before: %+v", n.Name, got, before)
		}
		for _, key := range keys {
			if u := w.record(t, n, key); u == nil || len(u.Operations) != 1 || u.Operations[0].Operation != "Encrypt" {
				t.Errorf("%s, %s: %+v", n.Name, key, u)
			}
		}
	}
}

// Writing ends although the keys are used again all the time, and writes each of them once.
func TestWriteUsageEndsUnderLoad(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	const n = 64
	var keys []*catalog.Key
	for range n {
		keys = append(keys, keyOn(t, w.Node, w.CreateKey(w.alice)))
	}
	at := w.State().LogTime()
	use := func() {
		at += 10_000
		for _, k := range keys {
			k.NoteUse("Encrypt", at, "arn:aws:iam::"+aliceID+":root", "r", [16]byte{1})
		}
	}
	use()
	proposals := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.Break(servicetest.Faults{BeforePropose: func(txn *fsm.Txn) {
		if txn.Event != "key.usage_noted" {
			return
		}
		if use(); proposals == 10*n/16 {
			cancel() // it would go on for ever
		}
		proposals++
	}})
	if err := w.WriteUsage(ctx); err != nil || proposals != n/16 {
		t.Errorf("%d transactions for %d keys: %v", proposals, n, err)
	}
}

// Writing is decided again when a key or the record changed meanwhile, nothing is lost when it fails, and a key that
// is destroyed meanwhile gets no record.
func TestWriteUsageConflicts(t *testing.T) {
	for name, row := range map[string]struct {
		meanwhile func(t *testing.T, p *pair, key string)
		fail      bool
		want      []string // operations in the record
	}{
		"nothing":             {func(*testing.T, *pair, string) {}, false, []string{"Encrypt"}},
		"the key changes":     {func(t *testing.T, p *pair, key string) { p.touchKey(t, key) }, false, []string{"Encrypt"}},
		"another node writes": {func(t *testing.T, p *pair, _ string) { writeUsageOn(t, p.second) }, false, []string{"Decrypt", "Encrypt"}},
		"the proposal fails":  {func(*testing.T, *pair, string) {}, true, nil},
		"the key is destroyed": {func(t *testing.T, p *pair, key string) {
			p.schedule(t, key, 7)
			p.Advance(8 * days)
			p.runDue(t, p.second)
		}, false, nil},
		"a deletion is planned": {func(t *testing.T, p *pair, key string) { p.schedule(t, key, 7) }, false, []string{"Decrypt", "Encrypt"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			before := p.recordsOfUsers(t)
			key := p.CreateKey(p.alice)
			ciphertext := p.encrypt(t, p.alice, key, message, nil)
			if name != "nothing" {
				p.on(t, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
			}
			var once sync.Once
			fault := servicetest.Faults{BeforePropose: func(txn *fsm.Txn) {
				if txn.Event == "key.usage_noted" {
					once.Do(func() { row.meanwhile(t, p, key) })
				}
			}}
			if row.fail {
				fault.Propose = func(*fsm.Txn) error { return kms.Errorf(kms.CodeNoQuorum, "The test has no leader.") }
			}
			p.Break(fault)
			err := p.WriteUsage(t.Context())
			p.Break(servicetest.Faults{})
			if row.fail {
				want(t, "write", err, kms.CodeNoQuorum)
				if p.record(t, p.Node, key) != nil {
					t.Fatal("it was written")
				}
				writeUsageOn(t, p.Node) // nothing was lost
				row.want = []string{"Encrypt"}
			} else {
				want(t, "write", err, "")
			}
			if keyOn(t, p.Node, key) == nil {
				if after := liveRecords(p.State()); !reflect.DeepEqual(after, before) {
					t.Errorf("%d records are left, there were %d", len(after), len(before))
				}
				return
			}
			u := p.record(t, p.Node, key)
			if u == nil {
				t.Fatal("nothing was written")
			}
			var got []string
			for _, one := range u.Operations {
				got = append(got, one.Operation)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("the record has %v, want %v", got, row.want)
			}
		})
	}
}

func writeUsageOn(t testing.TB, n *servicetest.Node) {
	t.Helper()
	if err := n.WriteUsage(t.Context()); err != nil {
		t.Fatalf("writing usage on %s: %v", n.Name, err)
	}
}

// A record of use that cannot be read costs what it told and nothing else: its key works, can be described and
// deleted, other keys' use is written, and the next write mends it.
func TestUnreadableUsage(t *testing.T) {
	p := newPair(t)
	keys := []string{p.CreateKey(p.alice), p.CreateKey(p.alice), p.CreateKey(p.alice)}
	for _, key := range keys {
		p.encrypt(t, p.alice, key, message, nil)
	}
	writeUsageOn(t, p.Node)
	damage := func(key string) {
		t.Helper()
		v := p.Catalog.View()
		write, err := v.Put(v.IDs().Usage(aliceScope, key), &kms.Usage{Schema: 1, Scope: aliceScope, KeyID: key})
		if err != nil {
			t.Fatal(err)
		}
		write.Body[len(write.Body)-1] ^= 1
		if o := p.Commit(&fsm.Txn{ID: servicetest.NewTxnID(), Event: "test.damaged", Based: p.State().LogTime(), Writes: []fsm.Write{write}}); o[0].Status != fsm.Applied {
			t.Fatal(o[0].Status)
		}
		keyOn(t, p.Node, key)
		if _, err := p.Catalog.View().Open(v.IDs().Usage(aliceScope, key)); kms.CodeOf(err) != kms.CodeUnavailable {
			t.Fatalf("the record is not damaged: %v", err)
		}
	}
	damage(keys[0])
	damage(keys[1])
	p.describe(t, keys[0])
	usage(t, p.second, p.alice, keys[0])
	for _, key := range keys {
		p.on(t, kms.OpGenerateDataKey, &kms.GenerateDataKeyRequest{KeyID: key, KeySpec: kms.DataKeyAES256})
	}
	p.schedule(t, keys[1], 7)
	writeUsageOn(t, p.second)
	for i, key := range keys {
		u := p.record(t, p.Node, key)
		if u == nil || !slices.ContainsFunc(u.Operations, func(one kms.KeyUse) bool { return one.Operation == "GenerateDataKey" }) {
			t.Errorf("key %d: the record has %+v", i, u)
		}
	}
	p.Advance(8 * days)
	p.runDue(t)
	p.gone(t, keys[1], nil)
}

// The callers of a key are the latest 16, whichever nodes they called.
func TestCallersAreTheLatest(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	at := p.State().LogTime()
	p.Advance(time.Minute + 30*time.Second) // past all of them
	for i := range 40 {
		n := []*servicetest.Node{p.Node, p.second}[i%2]
		keyOn(t, n, key).NoteUse("Encrypt", at+int64(i)*2000, fmt.Sprintf("arn:aws:iam::%s:user/%d", aliceID, i), "r", [16]byte{byte(i)})
		if i == 20 {
			writeUsageOn(t, p.Node)
		}
	}
	writeUsageOn(t, p.second)
	got := usage(t, p.Node, p.alice, key).RecentCallers
	if len(got) != kms.MaxCallers {
		t.Fatalf("%d callers", len(got))
	}
	for i, u := range got {
		if want := fmt.Sprintf("arn:aws:iam::%s:user/%d", aliceID, 39-i); u.PrincipalARN != want {
			t.Errorf("caller %d is %s, want %s", i, u.PrincipalARN, want)
		}
	}
}

// recordsOfUsers returns the records that there are once the use of the access keys is written.
func (p *pair) recordsOfUsers(t *testing.T) map[string]bool {
	t.Helper()
	for _, who := range []servicetest.Credentials{p.alice, p.Root} {
		p.must(t, who, kms.OpGetCallerIdentity, &kms.Empty{})
	}
	writeUsageOn(t, p.Node)
	return liveRecords(p.State())
}

// A key that is destroyed while its use is written gets no record of it.
func TestUsageOfAKeyThatGoes(t *testing.T) {
	p := newPair(t)
	before := p.recordsOfUsers(t)
	key := p.CreateKey(p.alice)
	p.schedule(t, key, 7)
	p.Advance(8 * days)
	keyOn(t, p.Node, key).NoteUse("Encrypt", p.State().LogTime(), "arn:aws:iam::"+aliceID+":root", "r", [16]byte{1})
	var once sync.Once
	p.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) { once.Do(func() { p.runDue(t, p.second) }) }})
	writeUsageOn(t, p.Node)
	if after := liveRecords(p.State()); !reflect.DeepEqual(after, before) {
		t.Errorf("%d records are left, there were %d", len(after), len(before))
	}
}

// Two nodes that write the use of one key at the same time lose nothing, whichever decided first.
func TestUsageWrittenByTwoNodes(t *testing.T) {
	p := newPair(t)
	key := p.CreateKey(p.alice)
	ciphertext := p.encrypt(t, p.alice, key, message, nil)
	p.on(t, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
	decided, commit, done := make(chan struct{}), make(chan struct{}), make(chan error)
	var first, second sync.Once
	p.second.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) { first.Do(func() { close(decided); <-commit }) }})
	go func() { done <- p.second.WriteUsage(t.Context()) }()
	<-decided
	p.CreateKey(p.alice) // the log goes on: what is decided now has a higher revision
	p.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		second.Do(func() {
			close(commit)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}})
	writeUsageOn(t, p.Node)
	if u := p.record(t, p.Node, key); u == nil || len(u.Operations) != 2 {
		t.Errorf("the record has %+v", u)
	}
}

// A node whose clock is ahead does not say that a key was used in the future, to others or to itself.
func TestUseIsNeverInTheFuture(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	ahead := w.Cluster.Node(servicetest.Options{Now: func() time.Time { return kms.Time(servicetest.Epoch).AddDate(10, 0, 0) }})
	key := w.CreateKey(w.alice)
	caughtUp(t, ahead)
	if _, err := ahead.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	writeUsageOn(t, ahead)
	for _, n := range []*servicetest.Node{w.Node, ahead} {
		if u := usage(t, n, w.alice, key); u.LastUse == nil || u.LastUse.At.After(kms.Time(w.Now())) {
			t.Errorf("%s: %+v, log time %s", n.Name, u.LastUse, kms.Time(w.Now()))
		}
	}
}
