package catalog

import (
	"errors"
	"sync"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// opened is what the tests ask of opened material.
type opened interface {
	Encrypt(dst []byte, keyID [16]byte, version uint32, context map[string]string, plaintext []byte) ([]byte, error)
}

// use opens the material of a key as a view has it, and returns it once it works.
func (l *lab) use(t *testing.T, v *View, k *kms.Key) opened {
	t.Helper()
	e, err := v.Key(k.Scope, raw(k))
	if err != nil {
		t.Fatal(err)
	}
	m, err := v.Material(e, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Encrypt(nil, e.Raw, 1, nil, []byte("p")); err != nil {
		t.Fatal(err)
	}
	return m
}

func wantWiped(t *testing.T, what string, k *kms.Key, m opened) {
	t.Helper()
	_, err := m.Encrypt(nil, raw(k), 1, nil, []byte("p"))
	wantCode(t, what, err, kms.CodeSealed)
}

// What a material record no longer holds is wiped and not served, on older views neither; what is imported
// again is opened again.
func TestDestroyedMaterial(t *testing.T) {
	l := newLab(t)
	defer l.close()
	k, other := keyNumber(scopeA, 1), keyNumber(scopeA, 2)
	l.commit(append(l.writeKey(k), l.writeKey(other)...)...)
	l.unseal(l.Catalog)
	before := l.view()
	old, kept := l.use(t, before, k), l.use(t, before, other)

	missing := *k
	missing.Origin, missing.State = kms.OriginExternal, kms.StatePendingImport
	missing.Materials = []kms.Material{k.Materials[0]}
	missing.Materials[0].Missing = true
	l.commit(l.write(l.ids.Key(scopeA, k.ID), &missing), deleted(l.write(l.ids.Material(k.Current().ID), materialOf(k))))
	after := l.view()
	wantWiped(t, "deleted", k, old)
	wantCode(t, "an older view", useMaterial(before, k), kms.CodeUnavailable)
	if err := useMaterial(after, k); !errors.Is(err, ErrNotFound) {
		t.Errorf("the newer view: %v", err)
	}
	if n := l.alarms.count("level=ERROR"); n != 0 {
		t.Errorf("%d alarms", n)
	}

	imported := missing
	imported.Materials, imported.State = k.Materials, kms.StateEnabled
	l.commit(l.write(l.ids.Key(scopeA, k.ID), &imported), l.write(l.ids.Material(k.Current().ID), materialOf(k)))
	again := l.use(t, l.view(), k)
	if again == old {
		t.Fatal("the wiped material is served")
	}
	l.commit(l.write(l.ids.Material(k.Current().ID), materialOf(k))) // replaced: imported again, sealed again
	if l.use(t, l.view(), k) == again {
		t.Fatal("the replaced material is served")
	}
	wantWiped(t, "replaced", k, again)
	if l.use(t, l.view(), other) != kept {
		t.Error("another key's material was opened again")
	}
}

// The keys of two regions share a record: when it goes, both lose what they opened of it; when one key goes,
// the other keeps it.
func TestSharedMaterial(t *testing.T) {
	l := newLab(t)
	defer l.close()
	here := keyNumber(scopeA, 1)
	here.ID = kms.MultiRegionIDFromBytes(raw(here))
	there := *here
	there.Scope.Region = "eu-west-1"
	l.commit(l.writeKey(here)...)
	l.commit(l.writeKey(&there)[:2]...)
	l.unseal(l.Catalog)
	first, second := l.use(t, l.view(), here), l.use(t, l.view(), &there)
	l.commit(deleted(l.write(l.ids.Key(there.Scope, there.ID), &there)))
	if l.use(t, l.view(), here) != first {
		t.Error("a replica that goes takes the primary's material along")
	}
	wantWiped(t, "the replica's", here, second)
	l.commit(l.writeKey(&there)[:2]...)
	third := l.use(t, l.view(), &there)
	l.commit(deleted(l.write(l.ids.Material(here.Current().ID), materialOf(here))))
	l.view()
	wantWiped(t, "the primary's", here, first)
	wantWiped(t, "the new replica's", here, third)
	if n := len(l.Catalog.session.Load().opened); n != 0 {
		t.Errorf("%d records are kept as opened", n)
	}
}

// A snapshot that is installed takes along the material of what it does not hold.
func TestResetDestroys(t *testing.T) {
	rows := []struct {
		name   string
		change func(source *lab, k *kms.Key) fsm.Write
	}{
		{"key gone", func(s *lab, k *kms.Key) fsm.Write { return deleted(s.write(s.ids.Key(scopeA, k.ID), k)) }},
		{"material gone", func(s *lab, k *kms.Key) fsm.Write {
			return deleted(s.write(s.ids.Material(k.Current().ID), materialOf(k)))
		}},
		{"material replaced", func(s *lab, k *kms.Key) fsm.Write { return s.write(s.ids.Material(k.Current().ID), materialOf(k)) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			source, l := newLab(t), newLab(t)
			defer source.close()
			defer l.close()
			l.config, l.share, l.ids = source.config, source.share, source.ids
			k, other := keyNumber(scopeA, 1), keyNumber(scopeA, 2)
			source.commit(append(source.writeKey(k), source.writeKey(other)...)...)
			l.install(t, source)
			l.unseal(l.Catalog)
			m, kept := l.use(t, l.view(), k), l.use(t, l.view(), other)
			source.commit(row.change(source, k))
			l.install(t, source)
			if l.use(t, l.view(), other) != kept {
				t.Error("material that stays was opened again")
			}
			wantWiped(t, row.name, k, m)
		})
	}
}

// First uses that race with the destruction, on whatever view, end with nothing opened.
func TestDestructionRaces(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	for n := 1; n <= 40; n++ {
		k := keyNumber(scopeA, n)
		l.commit(l.writeKey(k)...)
		v := l.view()
		e, err := v.Key(scopeA, raw(k))
		if err != nil {
			t.Fatal(err)
		}
		var using sync.WaitGroup
		for range 3 {
			using.Go(func() {
				for range 20 {
					_, _ = v.Material(e, 1)
				}
			})
		}
		l.commit(deleted(l.write(l.ids.Material(k.Current().ID), materialOf(k))))
		l.view()
		using.Wait()
		if e.handles.first.Load() != nil {
			t.Fatal("destroyed material is open")
		}
	}
}
