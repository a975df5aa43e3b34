package service_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

func (w *world) grant(t testing.TB, q *kms.CreateGrantRequest) *kms.CreateGrantAnswer {
	t.Helper()
	return w.must(t, w.alice, kms.OpCreateGrant, q).(*kms.CreateGrantAnswer)
}

// grants returns the ids of a key's grants, read in pages.
func (w *world) grants(t *testing.T, q kms.ListGrantsRequest) (ids []string) {
	t.Helper()
	for {
		a := w.must(t, w.alice, kms.OpListGrants, &q).(*kms.ListGrantsAnswer)
		if q.Limit > 0 && len(a.Grants) > q.Limit {
			t.Errorf("a page of %d has %d grants", q.Limit, len(a.Grants))
		}
		for _, g := range a.Grants {
			ids = append(ids, g.GrantID)
		}
		if q.Marker = a.NextMarker; q.Marker == "" {
			return ids
		}
	}
}

// One name and its parameters are one grant, with a fresh token for everybody who asks.
func TestGrantNames(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	q := func(change func(*kms.CreateGrantRequest)) *kms.CreateGrantRequest {
		r := grantRequest(key)
		r.Name = "n"
		change(r)
		return r
	}
	same := func(*kms.CreateGrantRequest) {}
	first := w.grant(t, q(same))
	again := w.grant(t, q(func(r *kms.CreateGrantRequest) { r.Operations = append(r.Operations, r.Operations...) }))
	if again.GrantID != first.GrantID || again.GrantToken == first.GrantToken {
		t.Errorf("first %+v, again %+v", first, again)
	}
	seen := []string{first.GrantID}
	for _, change := range []func(*kms.CreateGrantRequest){
		func(r *kms.CreateGrantRequest) { r.Name = "m" },
		func(r *kms.CreateGrantRequest) { r.Operations = []kms.GrantOperation{"Encrypt"} },
		func(r *kms.CreateGrantRequest) { r.RetiringPrincipal = "" },
		func(r *kms.CreateGrantRequest) { r.GranteePrincipal = "arn:aws:iam::" + aliceID + ":root" },
		func(r *kms.CreateGrantRequest) { r.Name = "" },
		func(r *kms.CreateGrantRequest) { r.Name = "" },
	} {
		id := w.grant(t, q(change)).GrantID
		if slices.Contains(seen, id) {
			t.Error("another request has the same grant")
		}
		seen = append(seen, id)
	}
	if all := w.grants(t, kms.ListGrantsRequest{KeyID: key, Limit: 2}); len(all) != len(seen) {
		t.Errorf("%d grants, want %d", len(all), len(seen))
	}

	// One that is revoked just now is not answered: a new one is made.
	second := w.Cluster.Node(servicetest.Options{})
	var once sync.Once
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		once.Do(func() {
			if _, err := second.Do(w.alice, kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: key, GrantID: first.GrantID}); err != nil {
				t.Error(err)
			}
		})
	}})
	fresh := w.grant(t, q(same))
	if all := w.grants(t, kms.ListGrantsRequest{KeyID: key}); fresh.GrantID == first.GrantID || !slices.Contains(all, fresh.GrantID) || slices.Contains(all, first.GrantID) {
		t.Errorf("after the revocation of %s the grant is %s, of %v", first.GrantID, fresh.GrantID, all)
	}
}

// What a grant cannot be is refused.
func TestGrantsThatCannotBe(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, sign := w.CreateKey(w.alice), w.make(t, w.alice, signingKey).KeyID
	pairs := func(n, length int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint(i)] = strings.Repeat("ä", length)
		}
		return m
	}
	row := func(name string, code kms.Code, change func(*kms.CreateGrantRequest)) verdict {
		q := grantRequest(key)
		q.Operations = []kms.GrantOperation{"Encrypt"}
		change(q)
		return verdict{name, kms.OpCreateGrant, q, code, ""}
	}
	w.judge(t, []verdict{
		row("both constraints", kms.CodeValidation, func(q *kms.CreateGrantRequest) {
			q.Constraints = &kms.GrantConstraints{EncryptionContextEquals: pairs(1, 1), EncryptionContextSubset: pairs(1, 1)}
		}),
		row("most", "", func(q *kms.CreateGrantRequest) {
			q.Constraints = &kms.GrantConstraints{EncryptionContextEquals: pairs(8, 384)}
		}),
		row("too many pairs", kms.CodeValidation, func(q *kms.CreateGrantRequest) {
			q.Constraints = &kms.GrantConstraints{EncryptionContextSubset: pairs(9, 1)}
		}),
		row("too long", kms.CodeValidation, func(q *kms.CreateGrantRequest) {
			q.Constraints = &kms.GrantConstraints{EncryptionContextSubset: pairs(1, 385)}
		}),
		row("no context", kms.CodeValidation, func(q *kms.CreateGrantRequest) {
			q.Operations, q.Constraints = []kms.GrantOperation{"DescribeKey"}, &kms.GrantConstraints{EncryptionContextSubset: pairs(1, 1)}
		}),
		row("asymmetric", kms.CodeValidation, func(q *kms.CreateGrantRequest) {
			q.KeyID, q.Operations, q.Constraints = sign, []kms.GrantOperation{"Sign"}, &kms.GrantConstraints{EncryptionContextSubset: pairs(1, 1)}
		}),
		row("sign", "", func(q *kms.CreateGrantRequest) {
			q.KeyID, q.Operations = sign, []kms.GrantOperation{"Sign", "GetPublicKey"}
		}),
		row("wrong usage", kms.CodeValidation, func(q *kms.CreateGrantRequest) { q.KeyID = sign }),
		row("wrong spec", kms.CodeValidation, func(q *kms.CreateGrantRequest) { q.Operations = []kms.GrantOperation{"GetPublicKey"} }),
		row("unknown", kms.CodeValidation, func(q *kms.CreateGrantRequest) { q.Operations = []kms.GrantOperation{"DisableKey"} }),
		row("none", kms.CodeValidation, func(q *kms.CreateGrantRequest) { q.Operations = nil }),
		row("too many", kms.CodeValidation, func(q *kms.CreateGrantRequest) { q.Operations = slices.Repeat(q.Operations, 20) }),
		row("grantee", kms.CodeInvalidARN, func(q *kms.CreateGrantRequest) { q.GranteePrincipal = "bob" }),
		row("another kind", kms.CodeInvalidARN, func(q *kms.CreateGrantRequest) { q.GranteePrincipal = "arn:aws:s3:::b" }),
		row("retiring", kms.CodeInvalidARN, func(q *kms.CreateGrantRequest) { q.RetiringPrincipal = "arn:aws:iam::1:root" }),
		row("name", kms.CodeValidation, func(q *kms.CreateGrantRequest) { q.Name = "a b" }),
		row("long name", kms.CodeValidation, func(q *kms.CreateGrantRequest) { q.Name = strings.Repeat("n", 257) }),
		row("dry run", kms.CodeDryRun, func(q *kms.CreateGrantRequest) { q.DryRun = true }),
	})
	if n := len(w.grants(t, kms.ListGrantsRequest{KeyID: key})); n != 1 {
		t.Errorf("%d grants", n)
	}
}

// Grants end by token or by key and id; a token that is another's tells nothing.
func TestGrantsEnd(t *testing.T) {
	w, stranger := newWorld(t, servicetest.Options{}), newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	foreign := stranger.grant(t, grantRequest(stranger.CreateKey(stranger.alice))).GrantToken
	a, b := w.grant(t, grantRequest(key)), w.grant(t, grantRequest(key))
	theirs := w.must(t, w.bob, kms.OpCreateGrant, grantRequest(w.CreateKey(w.bob))).(*kms.CreateGrantAnswer).GrantToken
	tampered := []byte(a.GrantToken)
	tampered[len(tampered)-1] ^= 1
	retire := func(token string) *kms.RetireGrantRequest { return &kms.RetireGrantRequest{GrantToken: token} }
	use := func(token string) *kms.EncryptRequest {
		return &kms.EncryptRequest{KeyID: key, Plaintext: []byte(message), GrantTokens: []string{token}}
	}
	w.judge(t, []verdict{
		{"tampered", kms.OpRetireGrant, retire(string(tampered)), kms.CodeInvalidGrantToken, ""},
		{"of another cluster", kms.OpRetireGrant, retire(foreign), kms.CodeInvalidGrantToken, ""},
		{"of another account", kms.OpRetireGrant, retire(theirs), kms.CodeAccessDenied, "on resource: *"},
		{"both", kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: a.GrantToken, KeyID: key, GrantID: a.GrantID}, kms.CodeValidation, ""},
		{"neither", kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: key}, kms.CodeValidation, ""},
		{"id", kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: key, GrantID: "x"}, kms.CodeInvalidGrantID, ""},
		{"missing", kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: key, GrantID: strings.Repeat("0", 64)}, kms.CodeNotFound, ""},
		{"use", kms.OpEncrypt, use(a.GrantToken), "", ""},
		{"garbage", kms.OpEncrypt, use("garbage"), kms.CodeInvalidGrantToken, ""},
		{"tampered", kms.OpEncrypt, use(string(tampered)), kms.CodeInvalidGrantToken, ""},
		{"dry run", kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: a.GrantToken, DryRun: true}, kms.CodeDryRun, ""},
	})
	if n := len(w.grants(t, kms.ListGrantsRequest{KeyID: key})); n != 2 {
		t.Fatalf("%d grants", n)
	}
	awaited := w.State().Index()
	w.Break(servicetest.Faults{AwaitAll: func(_ context.Context, index uint64) ([]string, error) { awaited = index; return nil, nil }})
	w.must(t, w.alice, kms.OpRetireGrant, retire(a.GrantToken))
	if awaited != w.State().Index() {
		t.Errorf("members are awaited at %d of %d", awaited, w.State().Index())
	}
	w.must(t, w.alice, kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: key, GrantID: b.GrantID})
	_, err := w.Do(w.alice, kms.OpRetireGrant, retire(a.GrantToken))
	want(t, "again", err, kms.CodeNotFound)
	if n := len(w.grants(t, kms.ListGrantsRequest{KeyID: key})); n != 0 {
		t.Errorf("%d grants", n)
	}
}

// Listings go on where they stopped; the limit of a key is guarded; a key that is destroyed leaves no grants.
func TestGrantsAreListed(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	w.Break(servicetest.Faults{BeforePropose: func(txn *fsm.Txn) {
		if len(txn.ScopeGuards) != 1 || txn.ScopeGuards[0].Below != 50_000 {
			t.Errorf("guarded by %+v", txn.ScopeGuards)
		}
	}})
	var ids []string
	for range 5 {
		ids = append(ids, w.grant(t, grantRequest(key)).GrantID)
	}
	w.Break(servicetest.Faults{})
	slices.Sort(ids)
	for _, q := range []kms.ListGrantsRequest{{Limit: 0}, {Limit: 2}, {Limit: 2, GranteePrincipal: "arn:aws:iam::" + bobID + ":root"}} {
		q.KeyID = key
		if got := slices.Sorted(slices.Values(w.grants(t, q))); !slices.Equal(got, ids) {
			t.Errorf("%+v lists %v, want %v", q, got, ids)
		}
	}
	if got := w.grants(t, kms.ListGrantsRequest{KeyID: key, GrantID: ids[3]}); !slices.Equal(got, ids[3:4]) {
		t.Errorf("by id: %v", got)
	}
	if got := w.grants(t, kms.ListGrantsRequest{KeyID: key, GranteePrincipal: "arn:aws:iam::" + aliceID + ":root"}); len(got) != 0 {
		t.Errorf("to another: %v", got)
	}
	retirable := func() (n int) {
		q := kms.ListRetirableGrantsRequest{RetiringPrincipal: "arn:aws:iam::" + aliceID + ":root", Limit: 2}
		for {
			a := w.must(t, w.alice, kms.OpListRetirableGrants, &q).(*kms.ListGrantsAnswer)
			if n += len(a.Grants); a.NextMarker == "" {
				return n
			}
			q.Marker = a.NextMarker
		}
	}
	if n := retirable(); n != 5 {
		t.Errorf("%d retirable grants", n)
	}
	w.judge(t, []verdict{
		{"both", kms.OpListGrants, &kms.ListGrantsRequest{KeyID: key, GrantID: ids[0], GranteePrincipal: "x"}, kms.CodeValidation, ""},
		{"limit", kms.OpListGrants, &kms.ListGrantsRequest{KeyID: key, Limit: 101}, kms.CodeValidation, ""},
		{"marker", kms.OpListGrants, &kms.ListGrantsRequest{KeyID: key, Marker: "x"}, kms.CodeInvalidMarker, ""},
	})
	w.must(t, w.alice, kms.OpScheduleKeyDeletion, &kms.ScheduleKeyDeletionRequest{KeyID: key, PendingWindowInDays: ptr(7)})
	w.Advance(8 * 24 * time.Hour)
	want(t, "run", w.RunDue(t.Context()), "")
	if n := retirable(); n != 0 {
		t.Errorf("%d grants of a key that is gone", n)
	}
}
