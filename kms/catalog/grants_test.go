package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

func grantOf(k *kms.Key, id, grantee, retiring string) *kms.Grant {
	return &kms.Grant{Schema: 1, Scope: k.Scope, KeyID: k.ID, ID: id, GranteePrincipal: grantee, RetiringPrincipal: retiring,
		Operations: []kms.GrantOperation{"Decrypt"}}
}

// Whatever is asked for, page by page, is what a search through all grants finds.
func TestGrantPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLab(t)
		defer l.close()
		l.unseal(l.Catalog)
		principals := []string{"alice", "bob", "bobby"}
		var all []*kms.Grant
		var writes []fsm.Write
		for i := range rapid.IntRange(1, 30).Draw(t, "grants") {
			k := keyNumber(scopeA, rapid.IntRange(1, 3).Draw(t, "key"))
			g := grantOf(k, fmt.Sprintf("%02d", i*37%100), rapid.SampledFrom(principals).Draw(t, "grantee"),
				rapid.SampledFrom(append(principals, "")).Draw(t, "retiring"))
			all = append(all, g)
			writes = append(writes, l.write(l.ids.Grant(scopeA, k.ID, g.ID), g, l.ids.GrantsOf(scopeA, k.ID)))
		}
		l.commit(writes...)
		v := l.view()
		slices.SortFunc(all, func(a, b *kms.Grant) int { return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.ID, b.ID)) })
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		check := func(what string, belongs func(*kms.Grant) bool, page func(key [16]byte, after string) []*Grant) {
			t.Helper()
			var want, got []string
			for _, g := range all {
				if belongs(g) {
					want = append(want, g.KeyID+g.ID)
				}
			}
			var key [16]byte
			for after := ""; ; {
				p := page(key, after)
				for _, g := range p {
					got = append(got, g.KeyID+g.ID)
				}
				if len(p) < limit {
					break
				}
				key, after = p[len(p)-1].KeyRaw, p[len(p)-1].ID
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %q, want %q", what, got, want)
			}
		}
		for n := 1; n <= 3; n++ {
			k := keyNumber(scopeA, n)
			check("key", func(g *kms.Grant) bool { return g.KeyID == k.ID },
				func(_ [16]byte, after string) []*Grant { return v.Grants(scopeA, raw(k), after, limit) })
			for _, p := range principals {
				check("grantee", func(g *kms.Grant) bool { return g.KeyID == k.ID && g.GranteePrincipal == p },
					func(_ [16]byte, after string) []*Grant { return v.GrantsTo(scopeA, raw(k), p, after, limit) })
			}
			if got, want := v.Members(l.ids.GrantsOf(scopeA, k.ID)), len(v.Grants(scopeA, raw(k), "", 100)); got != uint64(want) {
				t.Fatalf("the scope counts %d grants of %d", got, want)
			}
		}
		for _, p := range principals {
			check("retiring", func(g *kms.Grant) bool { return g.RetiringPrincipal == p },
				func(key [16]byte, after string) []*Grant { return v.RetirableGrants(scopeA, p, key, after, limit) })
		}
		if v.RetirableGrants(scopeA, "", [16]byte{}, "", 9) != nil || v.Grants(kms.Scope{Account: "9"}, [16]byte{}, "", 9) != nil {
			t.Fatal("grants that nobody may retire, or of no region, were found")
		}
	})
}

func TestGrant(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	k := keyNumber(scopeA, 1)
	l.commit(l.writeKey(k)...)
	named, plain := grantOf(k, "a1", "alice", "bob"), grantOf(k, "b2", "alice", "")
	l.commit(l.write(l.ids.Grant(scopeA, k.ID, "digest"), named), l.write(l.ids.Grant(scopeA, k.ID, "b2"), plain))
	v := l.view()
	g, err := v.Grant(scopeA, raw(k), "a1")
	if err != nil || g.GranteePrincipal != "alice" || g.Guard() != (fsm.Guard{Kind: fsm.KindGrant, ID: l.ids.Grant(scopeA, k.ID, "digest").ID, Revision: g.Revision}) {
		t.Errorf("%+v, %v", g, err)
	}
	if _, err := v.Grant(scopeA, raw(k), "c3"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no grant: %v", err)
	}
	// Retired and made again under its name, it is another grant of the same record.
	l.commit(deleted(l.write(l.ids.Grant(scopeA, k.ID, "digest"), named)))
	l.commit(l.write(l.ids.Grant(scopeA, k.ID, "digest"), grantOf(k, "d4", "alice", "bob")))
	v = l.view()
	if _, err := v.Grant(scopeA, raw(k), "a1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a retired grant: %v", err)
	}
	if all := v.GrantsTo(scopeA, raw(k), "alice", "", 9); len(all) != 2 || all[1].ID != "d4" {
		t.Errorf("%d grants", len(all))
	}
	// One that cannot be read is not honoured, and costs nothing else.
	l.commit(l.damaged(l.ids.Grant(scopeA, k.ID, "b2"), plain))
	v = l.view()
	_, err = v.Grant(scopeA, raw(k), "b2")
	wantCode(t, "damaged", err, kms.CodeUnavailable)
	if all := v.Grants(scopeA, raw(k), "", 9); len(all) != 1 || v.Unreadable() != 1 || l.alarms.count("level=ERROR") != 1 {
		t.Errorf("%d grants, %d unreadable, %d alarms", len(all), v.Unreadable(), l.alarms.count("level=ERROR"))
	}
	l.commit(l.write(l.ids.Grant(scopeA, k.ID, "b2"), plain))
	if v = l.view(); len(v.Grants(scopeA, raw(k), "", 9)) != 2 || v.Unreadable() != 0 {
		t.Error("it was not mended")
	}
}

func TestDue(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	elsewhere := kms.Scope{Account: "222222222222", Region: "eu-west-1"}
	var want []string
	for n, at := range []int64{0, 30, 10, 20, 20} {
		k := keyNumber([]kms.Scope{scopeA, elsewhere}[n%2], n)
		k.Deletion = at
		l.commit(l.writeKey(k)...)
		want = append(want, k.ID)
	}
	due := func(before int64, limit int) (ids []string) {
		for _, k := range l.view().Due(before, limit) {
			ids = append(ids, k.ID)
		}
		return ids
	}
	rows := []struct {
		before int64
		limit  int
		want   []string
	}{
		{9, 9, nil}, {10, 9, []string{want[2]}}, {25, 9, []string{want[2], want[4], want[3]}}, {25, 2, []string{want[2], want[4]}},
		{99, 9, []string{want[2], want[4], want[3], want[1]}}, {99, 0, nil},
	}
	for _, row := range rows {
		if got := due(row.before, row.limit); !slices.Equal(got, row.want) {
			t.Errorf("before %d, %d: %q, want %q", row.before, row.limit, got, row.want)
		}
	}
	later := keyNumber(scopeA, 2)
	l.commit(l.write(l.ids.Key(scopeA, later.ID), later)) // its deletion is cancelled
	if got := due(99, 1); !slices.Equal(got, []string{want[4]}) {
		t.Errorf("%q", got)
	}
	l.commit(deleted(l.write(l.ids.Key(scopeA, want[4]), keyNumber(scopeA, 4))))
	if got := due(99, 1); !slices.Equal(got, []string{want[3]}) {
		t.Errorf("%q", got)
	}
}

// A key with the default policy has no policy record, and what it is decided by is guarded by its own.
// Keys are counted by what they are now, through every change of them and a reset.
func TestKeyKinds(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	check := func(what string, want map[KeyKind]int) {
		t.Helper()
		if got := l.view().KeyKinds(); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("nothing", map[KeyKind]int{})
	k, other := keyNumber(scopeA, 1), keyNumber(kms.Scope{Account: "222222222222", Region: "eu-west-1"}, 2)
	spec := k.Spec
	l.commit(append(l.writeKey(k), l.writeKey(other)...)...)
	before := l.view()
	check("two", map[KeyKind]int{{spec, kms.StateEnabled}: 2})
	k.State = kms.StateDisabled
	l.commit(l.write(l.ids.Key(scopeA, k.ID), k))
	check("one disabled", map[KeyKind]int{{spec, kms.StateEnabled}: 1, {spec, kms.StateDisabled}: 1})
	if got := before.KeyKinds()[KeyKind{spec, kms.StateEnabled}]; got != 2 {
		t.Errorf("an earlier view changed: %d", got)
	}
	l.commit(l.write(l.ids.Key(scopeA, k.ID), k)) // the same again
	check("written again", map[KeyKind]int{{spec, kms.StateEnabled}: 1, {spec, kms.StateDisabled}: 1})
	l.commit(deleted(l.write(l.ids.Key(scopeA, k.ID), k)))
	check("one deleted", map[KeyKind]int{{spec, kms.StateEnabled}: 1})
}

func TestDefaultPolicy(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	k, own := keyNumber(scopeA, 1), keyNumber(scopeA, 2)
	k.DefaultPolicy = true
	policy := policyOf(own)
	policy.Document = "{}"
	l.commit(l.write(l.ids.Key(scopeA, k.ID), k), l.write(l.ids.Key(scopeA, own.ID), own), l.write(l.ids.Policy(scopeA, own.ID), policy))
	read := func(k *kms.Key) (*Key, Policy) {
		t.Helper()
		e, err := l.view().Key(scopeA, raw(k))
		if err != nil {
			t.Fatal(err)
		}
		return e, e.Policy
	}
	keyRef := func(e *Key) auth.Ref {
		return auth.Ref{Kind: uint8(fsm.KindKey), ID: string(e.Record), Revision: e.Revision}
	}
	e, p := read(k)
	if p.Document.String() != auth.DefaultKeyPolicy("aws", scopeA.Account) || p.Record != "" || p.Revision != 0 || p.Ref() != keyRef(e) {
		t.Errorf("%+v, %+v", p, p.Ref())
	}
	policyRef := auth.Ref{Kind: uint8(fsm.KindPolicy), ID: string(l.ids.Policy(scopeA, own.ID).ID), Revision: 2}
	if _, p = read(own); p.Document.String() != "{}" || p.Ref() != policyRef {
		t.Errorf("%+v, %+v", p, p.Ref())
	}
	// To the default and back.
	changed := *own
	changed.DefaultPolicy = true
	l.commit(deleted(l.write(l.ids.Policy(scopeA, own.ID), policy)), l.write(l.ids.Key(scopeA, own.ID), &changed))
	if e, p = read(own); p.Document.String() != auth.DefaultKeyPolicy("aws", scopeA.Account) || p.Ref() != keyRef(e) {
		t.Errorf("%+v, %+v", p, p.Ref())
	}
	l.commit(l.write(l.ids.Key(scopeA, own.ID), own), l.write(l.ids.Policy(scopeA, own.ID), policy))
	if _, p = read(own); p.Document.String() != "{}" {
		t.Errorf("%+v", p)
	}
	// A key that says it has a policy of its own and has none is unavailable.
	l.commit(deleted(l.write(l.ids.Policy(scopeA, own.ID), policy)))
	_, err := l.view().Key(scopeA, raw(own))
	wantCode(t, "no policy", err, kms.CodeUnavailable)
	if l.alarms.count("level=ERROR") != 0 {
		t.Error("an alarm")
	}
}

func TestUsageRecord(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	k := keyNumber(scopeA, 1)
	l.commit(l.writeKey(k)...)
	e, err := l.view().Key(scopeA, raw(k))
	if err != nil {
		t.Fatal(err)
	}
	if u, revision, err := l.view().Usage(e); u != nil || revision != 0 || err != nil {
		t.Errorf("%+v, %d, %v", u, revision, err)
	}
	usage := &kms.Usage{Schema: 1, Scope: scopeA, KeyID: k.ID, Operations: []kms.KeyUse{{Operation: "Encrypt", At: 5}}}
	l.commit(l.write(l.ids.Usage(scopeA, k.ID), usage))
	if u, revision, err := l.view().Usage(e); err != nil || revision != l.index || u.Operations[0].At != 5 {
		t.Errorf("%+v, %d, %v", u, revision, err)
	}
	l.commit(l.damaged(l.ids.Usage(scopeA, k.ID), usage))
	_, _, err = l.view().Usage(e)
	wantCode(t, "damaged", err, kms.CodeUnavailable)
}

func TestTokensOfAView(t *testing.T) {
	l := newLab(t)
	defer l.close()
	l.unseal(l.Catalog)
	v := l.view()
	token, err := v.SealToken("grant", []byte("aad"), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := v.OpenToken("grant", []byte("aad"), token); err != nil || string(plain) != "x" {
		t.Errorf("%q, %v", plain, err)
	}
	l.Catalog.Seal()
	_, err = v.OpenToken("grant", []byte("aad"), token)
	wantCode(t, "sealed", err, kms.CodeSealed)
}
