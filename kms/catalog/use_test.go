package catalog

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/kms"
)

const caller = "arn:aws:iam::111111111111:user/alice"

// eventOf returns the id of an event that a test calls by a short name.
func eventOf(name string) (id [16]byte) {
	copy(id[:], name)
	return id
}

func useOf(operation string, at int64, event, request, principal string) kms.KeyUse {
	return kms.KeyUse{Operation: operation, At: at, EventID: kms.KeyIDFromBytes(eventOf(event)), RequestID: request, Principal: principal}
}

// keysOf commits keys 1 to n and returns their entries.
func (l *lab) keysOf(t *testing.T, n int) (all []*Key) {
	t.Helper()
	for i := 1; i <= n; i++ {
		l.commit(l.writeKey(keyNumber(scopeA, i))...)
	}
	for i := 1; i <= n; i++ {
		e, err := l.view().Key(scopeA, raw(keyNumber(scopeA, i)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestNoteUse(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	k := l.keysOf(t, 1)[0]
	if u := k.Used(); u.Operations != nil || u.Callers != nil || u.KeyID != k.ID || u.Scope != k.Scope || u.Schema != 1 {
		t.Errorf("never used: %+v", u)
	}
	k.NoteUse("Encrypt", 1000, caller, "r1", eventOf("e1"))
	k.NoteUse("Encrypt", 1999, caller, "r2", eventOf("e2")) // within the second
	k.NoteUse("Decrypt", 1500, caller, "r3", eventOf("e3"))
	k.NoteUse("Encrypt", 1600, "bob", "r4", eventOf("e4"))
	k.NoteUse("Encrypt", 900, "carol", "r5", eventOf("e5")) // late
	want := kms.Usage{Schema: 1, Scope: k.Scope, KeyID: k.ID,
		Operations: []kms.KeyUse{useOf("Decrypt", 1500, "e3", "r3", caller), useOf("Encrypt", 1600, "e4", "r4", "bob")},
		Callers:    []kms.KeyUse{useOf("Encrypt", 1600, "e4", "r4", "bob"), useOf("Decrypt", 1500, "e3", "r3", caller), useOf("Encrypt", 900, "e5", "r5", "carol")}}
	if got := k.Used(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	// The facts belong to the key, not to the entry.
	changed := *keyNumber(scopeA, 1)
	changed.State = kms.StateDisabled
	l.commit(l.write(l.ids.Key(scopeA, k.ID), &changed))
	e, err := l.view().Key(scopeA, raw(&changed))
	if err != nil || !reflect.DeepEqual(e.Used(), want) {
		t.Errorf("after a change: %+v, %v", e.Used(), err)
	}
}

func TestCallersAreBounded(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	k := l.keysOf(t, 1)[0]
	const n = 1000
	for i := range n {
		k.NoteUse("Encrypt", int64(i), fmt.Sprint("caller ", i), "", eventOf(""))
	}
	if kept := len(k.handles.use.Load().callers); kept > kms.MaxCallers*4 {
		t.Errorf("%d callers are kept", kept)
	}
	u := k.Used()
	if len(u.Callers) != kms.MaxCallers {
		t.Fatalf("%d callers", len(u.Callers))
	}
	for i, c := range u.Callers {
		if c.Principal != fmt.Sprint("caller ", n-1-i) {
			t.Errorf("caller %d is %s", i, c.Principal)
		}
	}
}

func TestNoteUseAllocatesNothing(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	k := l.keysOf(t, 1)[0]
	operations := []string{"Encrypt", "Decrypt"}
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		i++
		k.NoteUse(operations[i%2], testStamp+int64(i), caller, "r", eventOf("e"))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDrainUse(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	keys := l.keysOf(t, 4)
	drain := func(limit int) (ids []string) {
		for _, k := range l.view().DrainUse(limit) {
			ids = append(ids, k.ID)
		}
		return ids
	}
	want := func(what string, got []string, keys ...*Key) {
		t.Helper()
		var ids []string
		for _, k := range keys {
			ids = append(ids, k.ID)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("%s: %q, want %q", what, got, ids)
		}
	}
	want("unused", drain(9))
	for _, i := range []int{2, 0, 2, 1, 3} {
		keys[i].NoteUse("Encrypt", testStamp, caller, "", eventOf(""))
	}
	changed := *keyNumber(scopeA, 1)
	changed.State = kms.StateDisabled
	l.commit(l.write(l.ids.Key(scopeA, changed.ID), &changed))
	l.commit(deleted(l.write(l.ids.Key(scopeA, keys[3].ID), keyNumber(scopeA, 4))))
	want("none", drain(0))
	want("two", drain(2), keys[2], keys[0])
	keys[2].NoteUse("Encrypt", testStamp+useEvery, caller, "", eventOf(""))
	want("the rest, without the key that is gone", drain(9), keys[1], keys[2])
	want("drained", drain(9))
	if u := keys[1].Used(); len(u.Callers) != 1 {
		t.Errorf("draining forgot %+v", u)
	}
	keys[0].NoteUse("Encrypt", testStamp+2*useEvery, caller, "", eventOf(""))
	if all := l.view().DrainUse(9); len(all) != 1 || all[0].State != kms.StateDisabled {
		t.Errorf("%d keys, not as the view has them", len(all))
	}
}

// Every use that is noted is told by what follows a drain, however many note and drain at once.
func TestNoteUseRaces(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	keys := l.keysOf(t, 5)
	v := l.view()
	var noting sync.WaitGroup
	const workers, uses = 8, 500
	for w := range workers {
		noting.Go(func() {
			for i := range uses {
				keys[(w+i)%len(keys)].NoteUse(fmt.Sprint("Operation", w%3), int64(i)*useEvery, fmt.Sprint("caller ", w), "r", eventOf("e"))
			}
		})
	}
	seen := map[string]kms.Usage{}
	drain := func() {
		for _, k := range v.DrainUse(3) {
			seen[k.ID] = MergeUsage(seen[k.ID], k.Used())
		}
	}
	done := make(chan struct{})
	go func() { noting.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		drain()
	}
	drain()
	drain()
	for _, k := range keys {
		if got, want := seen[k.ID], k.Used(); !reflect.DeepEqual(got, want) || len(got.Callers) != workers {
			t.Errorf("drained %+v\nnoted %+v", got, want)
		}
	}
}

func TestMergeUsage(t *testing.T) {
	one := rapid.Custom(func(t *rapid.T) kms.KeyUse {
		return kms.KeyUse{
			Operation: rapid.SampledFrom([]string{"Encrypt", "Decrypt", "Sign"}).Draw(t, "operation"), At: rapid.Int64Range(0, 6).Draw(t, "at"),
			EventID: rapid.SampledFrom([]string{"", "e"}).Draw(t, "event"), Principal: fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "principal")),
		}
	})
	usage := rapid.Custom(func(t *rapid.T) kms.Usage {
		return kms.Usage{Schema: 1, Scope: scopeA, KeyID: "k", Operations: rapid.SliceOfN(one, 0, 5).Draw(t, "operations"), Callers: rapid.SliceOfN(one, 0, 30).Draw(t, "callers")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := usage.Draw(t, "a"), usage.Draw(t, "b"), usage.Draw(t, "c")
		same := func(law string, x, y kms.Usage) {
			t.Helper()
			if fmt.Sprint(x) != fmt.Sprint(y) {
				t.Fatalf("%s:\n%v\n%v", law, x, y)
			}
		}
		ab := MergeUsage(a, b)
		same("commutative", ab, MergeUsage(b, a))
		same("associative", MergeUsage(ab, c), MergeUsage(a, MergeUsage(b, c)))
		same("idempotent", ab, MergeUsage(ab, ab))
		same("nothing adds nothing", ab, MergeUsage(ab, kms.Usage{}))
		same("nothing adds nothing", ab, MergeUsage(kms.Usage{}, ab))
		last := map[string]int64{}
		for _, one := range slices.Concat(a.Operations, b.Operations) {
			last[one.Operation] = max(last[one.Operation], one.At)
		}
		for i, one := range ab.Operations {
			if one.At != last[one.Operation] || i > 0 && one.Operation <= ab.Operations[i-1].Operation {
				t.Fatalf("operations %v", ab.Operations)
			}
		}
		callers := map[string]bool{}
		for i, one := range ab.Callers {
			if callers[one.Principal] || i > 0 && one.At > ab.Callers[i-1].At {
				t.Fatalf("callers %v", ab.Callers)
			}
			callers[one.Principal] = true
		}
		if len(ab.Operations) != len(last) || len(ab.Callers) > kms.MaxCallers {
			t.Fatalf("%d operations of %d, %d callers", len(ab.Operations), len(last), len(ab.Callers))
		}
	})
}

// A clock that was ahead and is set back does not keep later uses from being noted.
func TestNoteUseAfterAClockWasSetBack(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.fill(1, true)
	l.unseal(l.Catalog)
	k := l.view().Keys(scopeA, [16]byte{}, 1)[0]
	k.NoteUse("Encrypt", testStamp+100_000, "caller", "", eventOf("e"))
	if n := len(l.view().DrainUse(10)); n != 1 {
		t.Fatalf("%d keys are used", n)
	}
	k.NoteUse("Encrypt", testStamp, "caller", "", eventOf("e"))
	if n := len(l.view().DrainUse(10)); n != 1 {
		t.Errorf("the second use is not noted: %d", n)
	}
}
