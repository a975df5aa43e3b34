package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

var testingContext = context.Background()

// Whatever is written, in whatever order and batches, the catalog that followed holds what one that
// opens everything now holds, and no view changes once it is published.
func TestCatalogEqualsRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		equalsRecords(t, dump, func(l *lab) []fsm.Write { return l.randomWrites(t) })
	})
}

// equalsRecords commits up to 25 transactions, and fails when a view changes once it is published or
// the catalog that followed does not dump as one that opens everything then.
func equalsRecords(t *rapid.T, dump func(*View) string, random func(*lab) []fsm.Write) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	views := map[*View]string{}
	for range rapid.IntRange(1, 25).Draw(t, "transactions") {
		l.commit(random(l)...)
		if rapid.Bool().Draw(t, "wait") {
			views[l.view()] = dump(l.view())
		}
	}
	followed := dump(l.view())
	for v, published := range views {
		if now := dump(v); now != published {
			t.Fatalf("the view at %d changed after it was published:\n%s", v.Index(), difference(published, now))
		}
	}
	fresh := New(l.FSM, "aws", nil)
	l.unseal(fresh)
	defer fresh.Seal()
	if loaded := dump(fresh.View()); followed != loaded {
		t.Fatalf("the catalog that followed and the one that loaded differ:\n%s", difference(followed, loaded))
	}
}

// difference returns the lines that only one of two texts has.
func difference(a, b string) string {
	var d strings.Builder
	for line := range strings.Lines(a) {
		if !strings.Contains(b, line) {
			fmt.Fprintf(&d, "- %q\n", line)
		}
	}
	for line := range strings.Lines(b) {
		if !strings.Contains(a, line) {
			fmt.Fprintf(&d, "+ %q\n", line)
		}
	}
	return d.String()
}

// randomWrites returns writes of one transaction over a small world of names, damaged ones and
// tombstones among them.
func (l *lab) randomWrites(t *rapid.T) []fsm.Write {
	scope := kms.Scope{Account: rapid.SampledFrom([]string{"111111111111", "222222222222"}).Draw(t, "account"),
		Region: rapid.SampledFrom([]string{"us-east-1", "eu-west-1"}).Draw(t, "region")}
	k := keyNumber(scope, rapid.IntRange(1, 4).Draw(t, "key"))
	k.State = rapid.SampledFrom([]kms.KeyState{kms.StateEnabled, kms.StateDisabled, "PendingDeletion"}).Draw(t, "state")
	k.Deletion = rapid.SampledFrom([]int64{0, 0, 7, 7, 9}).Draw(t, "deletion")
	if next := rapid.SampledFrom([]int64{0, 0, 5, 7}).Draw(t, "rotation"); next > 0 {
		k.Rotation = &kms.Rotation{Period: 90, Next: next}
	}
	k.DefaultPolicy = rapid.Bool().Draw(t, "default policy")
	var writes []fsm.Write
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 7, 8:
		k = keyNumber(scope, 1) // so that some meet
		unique := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "grant")
		writes = []fsm.Write{l.write(l.ids.Grant(scope, k.ID, unique), &kms.Grant{Schema: 1, Scope: scope, KeyID: k.ID,
			ID:               unique + rapid.SampledFrom([]string{"1", "2"}).Draw(t, "made again"),
			GranteePrincipal: rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "grantee"), RetiringPrincipal: rapid.SampledFrom([]string{"", "alice", "bob"}).Draw(t, "retiring"),
			Operations: []kms.GrantOperation{"Decrypt"}}, l.ids.GrantsOf(scope, k.ID))}
	case 9: // to or from the default policy, in either order
		p := l.write(l.ids.Policy(scope, k.ID), policyOf(k))
		if k.DefaultPolicy {
			p = deleted(p)
		}
		writes = []fsm.Write{l.write(l.ids.Key(scope, k.ID), k), p}
		if rapid.Bool().Draw(t, "policy first") {
			slices.Reverse(writes)
		}
	case 0:
		writes = l.writeKey(k)
	case 1:
		writes = []fsm.Write{l.write(l.ids.Key(scope, k.ID), k)}
	case 2:
		p := policyOf(k)
		p.Document = rapid.SampledFrom([]string{p.Document, "{}"}).Draw(t, "document")
		writes = []fsm.Write{l.write(l.ids.Policy(scope, k.ID), p)}
	case 3:
		name := rapid.SampledFrom([]string{"alias/a", "alias/b"}).Draw(t, "name")
		writes = []fsm.Write{l.write(l.ids.Alias(scope, name), &kms.Alias{Schema: 1, Scope: scope, Name: name, KeyID: k.ID})}
	case 4:
		writes = l.writeAccount(scope.Account)
	case 5:
		id := scope.Account
		writes = []fsm.Write{l.write(l.ids.Account(id), &kms.Account{Schema: 1, ID: id, Disabled: rapid.Bool().Draw(t, "disabled")})}
	case 6:
		value := rapid.SampledFrom([]string{"5s", "1h", "nonsense"}).Draw(t, "value")
		writes = []fsm.Write{l.write(l.ids.Setting(kms.SettingRevocationBound), &kms.Setting{Schema: 1, Name: kms.SettingRevocationBound, Value: value})}
	}
	i := rapid.IntRange(0, len(writes)-1).Draw(t, "which")
	switch rapid.SampledFrom([]string{"", "", "", "delete", "damage", "damaged tombstone", "drop"}).Draw(t, "fate") {
	case "delete":
		writes[i] = deleted(writes[i])
	case "damage":
		writes[i].Body[40] ^= 1
	case "damaged tombstone":
		writes[i] = deleted(writes[i])
		writes[i].Body = []byte{0}
	case "drop":
		writes = append(writes[:i:i], writes[i+1:]...)
	}
	return writes
}

// An unreadable record costs the one object it describes, and one line in the log.
func TestUnreadableRecord(t *testing.T) {
	rows := []struct {
		name   string
		damage func(l *lab, k *kms.Key) fsm.Write
		mend   func(l *lab, k *kms.Key) fsm.Write
		read   func(v *View, k *kms.Key) error
		gone   error // what read returns instead of CodeUnavailable
	}{
		{"key", func(l *lab, k *kms.Key) fsm.Write { return l.damaged(l.ids.Key(scopeA, k.ID), k) },
			func(l *lab, k *kms.Key) fsm.Write { return l.write(l.ids.Key(scopeA, k.ID), k) },
			func(v *View, k *kms.Key) error { _, err := v.Key(scopeA, raw(k)); return err }, nil},
		{"policy", func(l *lab, k *kms.Key) fsm.Write { return l.damaged(l.ids.Policy(scopeA, k.ID), policyOf(k)) },
			func(l *lab, k *kms.Key) fsm.Write { return l.write(l.ids.Policy(scopeA, k.ID), policyOf(k)) },
			func(v *View, k *kms.Key) error { _, err := v.Key(scopeA, raw(k)); return err }, nil},
		{"material", func(l *lab, k *kms.Key) fsm.Write {
			return l.damaged(l.ids.Material(k.Current().ID), materialOf(k))
		}, func(l *lab, k *kms.Key) fsm.Write { return l.write(l.ids.Material(k.Current().ID), materialOf(k)) },
			func(v *View, k *kms.Key) error { return useMaterial(v, k) }, nil},
		{"material of another key", func(l *lab, k *kms.Key) fsm.Write {
			return l.write(l.ids.Material(k.Current().ID), materialOf(keyNumber(scopeA, 77)))
		}, func(l *lab, k *kms.Key) fsm.Write { return l.write(l.ids.Material(k.Current().ID), materialOf(k)) },
			func(v *View, k *kms.Key) error { return useMaterial(v, k) }, nil},
		{"alias", func(l *lab, k *kms.Key) fsm.Write { return l.damaged(l.ids.Alias(scopeA, "alias/a"), aliasOf(k)) },
			func(l *lab, k *kms.Key) fsm.Write { return l.write(l.ids.Alias(scopeA, "alias/a"), aliasOf(k)) },
			func(v *View, k *kms.Key) error { _, err := v.Alias(scopeA, "alias/a"); return err }, nil},
		{"account", func(l *lab, k *kms.Key) fsm.Write {
			return l.damaged(l.ids.Account(scopeA.Account), &kms.Account{Schema: 1, ID: scopeA.Account})
		}, func(l *lab, k *kms.Key) fsm.Write { return l.writeAccount(scopeA.Account)[0] },
			func(v *View, k *kms.Key) error { _, err := v.Account(scopeA.Account); return err }, nil},
		{"credential", func(l *lab, k *kms.Key) fsm.Write {
			return l.damaged(l.ids.Credential("AK"+scopeA.Account), &kms.Credential{Schema: 1})
		}, func(l *lab, k *kms.Key) fsm.Write { return l.writeAccount(scopeA.Account)[2] },
			func(v *View, k *kms.Key) error { return useCredential(v) }, ErrNotFound},
		{"identity", func(l *lab, k *kms.Key) fsm.Write {
			return l.damaged(l.ids.Identity(scopeA.Account, scopeA.Account), &kms.Identity{Schema: 1})
		}, func(l *lab, k *kms.Key) fsm.Write { return l.writeAccount(scopeA.Account)[1] },
			func(v *View, k *kms.Key) error { return useCredential(v) }, ErrNotFound},
		{"setting", func(l *lab, k *kms.Key) fsm.Write {
			return l.damaged(l.ids.Setting(kms.SettingRevocationBound), &kms.Setting{Schema: 1})
		}, func(l *lab, k *kms.Key) fsm.Write {
			return l.write(l.ids.Setting(kms.SettingRevocationBound), &kms.Setting{Schema: 1, Name: kms.SettingRevocationBound, Value: "9s"})
		}, func(v *View, k *kms.Key) error { _, err := v.Setting(kms.SettingRevocationBound); return err }, nil},
		{"schema of a later release", func(l *lab, k *kms.Key) fsm.Write {
			later := *k
			later.Schema = 2
			return l.write(l.ids.Key(scopeA, k.ID), &later)
		}, func(l *lab, k *kms.Key) fsm.Write { return l.write(l.ids.Key(scopeA, k.ID), k) },
			func(v *View, k *kms.Key) error { _, err := v.Key(scopeA, raw(k)); return err }, nil},
	}
	for _, row := range rows {
		for _, loaded := range []bool{false, true} { // damaged while it is followed, or before it is loaded
			t.Run(fmt.Sprintf("%s/loaded=%v", row.name, loaded), func(t *testing.T) {
				l := newLab(t)
				defer l.close()
				k, other := keyNumber(scopeA, 1), keyNumber(scopeA, 2)
				l.commit(append(append(l.writeAccount(scopeA.Account), l.writeKey(k)...), l.writeKey(other)...)...)
				l.commit(l.write(l.ids.Alias(scopeA, "alias/a"), aliasOf(k)))
				l.commit(row.mend(l, k))
				if !loaded {
					l.unseal(l.Catalog)
					l.view()
				}
				l.commit(row.damage(l, k))
				if loaded {
					l.unseal(l.Catalog)
				}
				v := l.view()
				err := row.read(v, k)
				if row.gone == nil {
					wantCode(t, "damaged", err, kms.CodeUnavailable)
				} else if !errors.Is(err, row.gone) {
					t.Fatalf("damaged: %v", err)
				}
				if row.name != "material" && row.name != "material of another key" && v.Unreadable() == 0 {
					t.Error("the view does not count it")
				}
				if row.name == "setting" && v.RevocationBound() != kms.MinRevocationBound {
					t.Errorf("an unreadable bound is taken for %s", v.RevocationBound())
				}
				_ = row.read(v, k)
				if n := l.alarms.count("level=ERROR"); n != 1 {
					t.Errorf("%d alarms", n)
				}
				if err := useMaterial(v, other); err != nil {
					t.Errorf("another key: %v", err)
				}
				l.commit(row.mend(l, k))
				if err := row.read(l.view(), k); err != nil || l.Catalog.View().Unreadable() != 0 {
					t.Errorf("mended: %v, %d unreadable", err, l.Catalog.View().Unreadable())
				}
			})
		}
	}
}

func raw(k *kms.Key) [16]byte {
	id, _ := kms.KeyIDBytes(k.ID)
	return id
}

func aliasOf(k *kms.Key) *kms.Alias {
	return &kms.Alias{Schema: 1, Scope: k.Scope, Name: "alias/a", KeyID: k.ID}
}

func useMaterial(v *View, k *kms.Key) error {
	e, err := v.Key(k.Scope, raw(k))
	if err != nil {
		return err
	}
	_, err = v.Material(e, 1)
	return err
}

func useCredential(v *View) error {
	if _, ok := v.Credential("AK" + scopeA.Account); !ok {
		return ErrNotFound
	}
	return nil
}

// install restores a snapshot of source under the catalog.
func (l *lab) install(t *testing.T, source *lab) {
	t.Helper()
	var b bytes.Buffer
	s, err := source.FSM.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Persist(&memorySink{Buffer: &b}); err != nil {
		t.Fatal(err)
	}
	if err := l.FSM.Restore(io.NopCloser(&b)); err != nil {
		t.Fatal(err)
	}
	l.index = source.index
}

// A snapshot that is installed under a catalog replaces everything, and keys that stay keep the
// material that is open.
func TestReset(t *testing.T) {
	source, l := newLab(t), newLab(t)
	defer source.close()
	defer l.close()
	l.config, l.share, l.ids = source.config, source.share, source.ids
	k := keyNumber(scopeA, 1)
	source.commit(source.writeKey(k)...)
	l.install(t, source)
	l.unseal(l.Catalog)
	open := func() any {
		t.Helper()
		v := l.view()
		e, err := v.Key(scopeA, raw(k))
		if err != nil {
			t.Fatal(err)
		}
		m, err := v.Material(e, 1)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	before := open()
	second := keyNumber(scopeA, 2)
	source.commit(source.writeKey(second)...)
	l.install(t, source)
	if open() != before {
		t.Error("the material was opened again")
	}
	if _, err := l.view().Key(scopeA, raw(second)); err != nil {
		t.Error(err)
	}
}

// memorySink is a raft.SnapshotSink in memory.
type memorySink struct{ *bytes.Buffer }

func (*memorySink) Close() error  { return nil }
func (*memorySink) ID() string    { return "test" }
func (*memorySink) Cancel() error { return nil }

func TestSealedStates(t *testing.T) {
	state := fsm.New(fsm.Options{})
	empty := New(state, "aws", nil)
	_, err := empty.Hold()
	wantCode(t, "nothing applied yet", err, kms.CodeSealed)
	state.Apply(&raft.Log{Index: 1, Type: raft.LogCommand, Data: fsm.EncodeCheckpoint(1)})
	_, err = empty.Hold()
	wantCode(t, "not initialized", err, kms.CodeNotInitialized)
	wantCode(t, "wait", empty.WaitOpened(t.Context(), 1), kms.CodeNotInitialized)

	l := newLab(t)
	defer l.close()
	_, err = l.Hold()
	wantCode(t, "sealed", err, kms.CodeSealed)
	if l.Catalog.View() != nil || l.OpenedIndex() != 0 || !l.Sealed() || l.RevocationBound() != kms.DefaultRevocationBound {
		t.Error("a sealed catalog shows a view")
	}
	l.Catalog.Seal() // does nothing
	l.unseal(l.Catalog)
	l.unseal(l.Catalog) // neither
	if l.Sealed() || l.OpenedIndex() != l.index {
		t.Error("it did not open")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.WaitOpened(ctx, l.index+1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled wait: %v", err)
	}
	waiting := make(chan error, 2)
	var started sync.WaitGroup
	for i := range 2 {
		index := l.index + 1 + uint64(i)
		started.Add(1)
		go func() {
			started.Done()
			waiting <- l.WaitOpened(context.Background(), index)
		}()
	}
	started.Wait()
	l.commit(l.write(l.ids.Setting("x"), &kms.Setting{Schema: 1, Name: "x"}))
	if err := <-waiting; err != nil {
		t.Errorf("an index that came: %v", err)
	}
	l.Catalog.Seal()
	wantCode(t, "sealed while waiting", <-waiting, kms.CodeSealed)
}

// Sealing waits for those who hold the view; everything they have works until they let go, and is
// wiped then.
func TestSealDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.close()
		k := keyNumber(scopeA, 1)
		l.commit(append(l.writeAccount(scopeA.Account), l.writeKey(k)...)...)
		l.unseal(l.Catalog)
		h, err := l.Hold()
		if err != nil {
			t.Fatal(err)
		}
		v := h.View()
		e, err := v.Key(scopeA, raw(k))
		if err != nil {
			t.Fatal(err)
		}
		credential, _ := v.Credential("AK" + scopeA.Account)
		sealed := make(chan struct{})
		go func() {
			l.Catalog.Seal()
			close(sealed)
		}()
		synctest.Wait()
		if !l.Sealed() || l.Catalog.View() != nil {
			t.Error("the gate is open")
		}
		if _, err := l.Hold(); kms.CodeOf(err) != kms.CodeSealed {
			t.Errorf("a hold after the gate closed: %v", err)
		}
		time.Sleep(4 * time.Second) // of the bubble's clock
		m, err := h.View().Material(e, 1)
		if err != nil {
			t.Fatalf("first use while draining: %v", err)
		}
		if _, err := m.Encrypt(nil, e.Raw, 1, nil, []byte("p")); err != nil {
			t.Fatalf("use while draining: %v", err)
		}
		if err := h.Err(); err != nil {
			t.Errorf("dropped before the time is over: %v", err)
		}
		select {
		case <-sealed:
			t.Fatal("it sealed under a hold")
		default:
		}
		h.Release()
		<-sealed
		if h.Err() != nil {
			t.Error("dropped although it let go in time")
		}
		if _, err := m.Encrypt(nil, e.Raw, 1, nil, []byte("p")); kms.CodeOf(err) != kms.CodeSealed {
			t.Errorf("material after the seal: %v", err)
		}
		if strings.Trim(string([]byte(credential.Secret)), "\x00") != "" {
			t.Error("the secret is not wiped")
		}
		if _, err := v.Put(l.ids.Setting("x"), &kms.Setting{Schema: 1}); kms.CodeOf(err) != kms.CodeSealed {
			t.Errorf("sealing a record after the seal: %v", err)
		}
	})
}

// Who does not let go in time is told to drop the answer, and loses the material.
func TestSealDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		defer l.close()
		k := keyNumber(scopeA, 1)
		l.commit(l.writeKey(k)...)
		l.unseal(l.Catalog)
		h, err := l.Hold()
		if err != nil {
			t.Fatal(err)
		}
		v := h.View()
		e, err := v.Key(scopeA, raw(k))
		if err != nil {
			t.Fatal(err)
		}
		m, err := v.Material(e, 1)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		l.Catalog.Seal()
		if waited := time.Since(began); waited != drainTime {
			t.Errorf("it waited %s", waited)
		}
		wantCode(t, "the hold", h.Err(), kms.CodeSealed)
		_, err = m.Encrypt(nil, e.Raw, 1, nil, []byte("p"))
		wantCode(t, "the material", err, kms.CodeSealed)
		_, err = v.Material(keyEntry(e), 1)
		wantCode(t, "a first use", err, kms.CodeSealed)
		h.Release()
		l.unseal(l.Catalog)
		if err := useMaterial(l.view(), k); err != nil {
			t.Errorf("unsealed again: %v", err)
		}
	})
}

// Who looked for the view just before the gate closed gets none either.
func TestHoldAfterTheGateClosed(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	before := l.session.Load()
	l.Catalog.Seal()
	l.session.Store(before)
	defer l.session.Store(nil)
	_, err := l.Hold()
	wantCode(t, "hold", err, kms.CodeSealed)
	if n := before.held.Load(); n != 0 {
		t.Errorf("%d holds are left", n)
	}
}

// keyEntry returns the key as if nobody had used it.
func keyEntry(e *Key) *Key {
	c := *e
	c.handles = new(handles)
	return &c
}

// Material is opened once, whoever comes first.
func TestMaterialOpensOnce(t *testing.T) {
	l := newLab(t)
	defer l.close()
	k := keyNumber(scopeA, 1)
	l.commit(l.writeKey(k)...)
	l.unseal(l.Catalog)
	v := l.view()
	e, err := v.Key(scopeA, raw(k))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan any, 8)
	for range cap(got) {
		go func() {
			m, err := v.Material(e, 1)
			if err != nil {
				t.Error(err)
			}
			got <- m
		}()
	}
	first := <-got
	for range cap(got) - 1 {
		if <-got != first {
			t.Fatal("two handles of one material")
		}
	}
	// A change of the key does not open it again.
	changed := *k
	changed.State = kms.StateDisabled
	l.commit(l.write(l.ids.Key(scopeA, k.ID), &changed))
	v = l.view()
	e, err = v.Key(scopeA, raw(k))
	if err != nil || e.State != kms.StateDisabled {
		t.Fatalf("%v, %v", e, err)
	}
	if m, _ := v.Material(e, 1); m != first {
		t.Error("the material was opened again")
	}
	if _, err := v.Material(e, 2); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version the key does not have: %v", err)
	}
	// A key that is gone takes its material along.
	l.commit(deleted(l.write(l.ids.Key(scopeA, k.ID), k)))
	l.view()
	m, _ := v.Material(e, 1)
	_, err = m.Encrypt(nil, e.Raw, 1, nil, []byte("p"))
	wantCode(t, "material of a deleted key", err, kms.CodeSealed)
}

// What one commit through the catalog allocates does not grow with the number of keys.
func TestCommitAllocations(t *testing.T) {
	perCommit := func(keys int) float64 {
		l := newLab(t)
		defer l.close()
		l.fill(keys, false)
		l.unseal(l.Catalog)
		n := keys
		return testing.AllocsPerRun(50, func() {
			n++
			l.commit(l.writeKey(keyNumber(scopeA, n))...)
			l.view()
		})
	}
	few, many := perCommit(1000), perCommit(100_000)
	t.Logf("allocations of one commit: %.0f at 1,000 keys, %.0f at 100,000", few, many)
	if many >= 3*few {
		t.Errorf("one commit allocates %.0f times at 100,000 keys and %.0f at 1,000", many, few)
	}
}

// fill commits keys 1 to n, many a transaction, with or without their material.
func (l *lab) fill(n int, material bool) {
	l.t.Helper()
	var writes []fsm.Write
	for i := 1; i <= n; i++ {
		k := keyNumber(scopeA, i)
		writes = append(writes, l.write(l.ids.Key(k.Scope, k.ID), k, l.ids.KeysOf(k.Scope.Account)), l.write(l.ids.Policy(k.Scope, k.ID), policyOf(k)))
		if material {
			writes = append(writes, l.write(l.ids.Material(k.Current().ID), materialOf(k)))
		}
		if len(writes) >= 240 || i == n {
			l.commit(writes...)
			writes = nil
		}
	}
}
