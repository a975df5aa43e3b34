package service_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

const (
	aliceRoot = "arn:aws:iam::" + aliceID + ":root"
	bobRoot   = "arn:aws:iam::" + bobID + ":root"
)

func (w *world) grant(t testing.TB, q *kms.CreateGrantRequest) *kms.CreateGrantAnswer {
	t.Helper()
	return w.must(t, w.alice, kms.OpCreateGrant, q).(*kms.CreateGrantAnswer)
}

func (w *world) grants(t testing.TB, q *kms.ListGrantsRequest) (ids []string) {
	t.Helper()
	for {
		a := w.must(t, w.alice, kms.OpListGrants, q).(*kms.ListGrantsAnswer)
		for _, g := range a.Grants {
			ids = append(ids, g.GrantID)
		}
		if q.Marker = a.NextMarker; q.Marker == "" {
			return ids
		}
	}
}

func TestGrantRules(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	symmetric, signing, mac := w.CreateKey(w.alice), w.make(t, w.alice, signingKey).KeyID, w.make(t, w.alice, macKey).KeyID
	agreement := w.make(t, w.alice, agreementKey).KeyID
	kem := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.MLKEM768, KeyUsage: kms.EncapsulateDecapsulate}).KeyID
	rsa := w.make(t, w.alice, &kms.CreateKeyRequest{KeySpec: kms.RSA2048, KeyUsage: kms.EncryptDecrypt}).KeyID
	every := []kms.GrantOperation{"CreateGrant", "RetireGrant", "DescribeKey"}
	data := []kms.GrantOperation{"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"}
	for key, own := range map[string][]kms.GrantOperation{
		symmetric: append([]kms.GrantOperation{"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}, data...),
		rsa:       append([]kms.GrantOperation{"GetPublicKey"}, data...),
		signing:   {"Sign", "Verify", "GetPublicKey"},
		mac:       {"GenerateMac", "VerifyMac"},
		agreement: {"DeriveSharedSecret", "GetPublicKey"},
		kem:       {"Encapsulate", "Decapsulate", "GetPublicKey"},
	} {
		allowed := map[kms.GrantOperation]bool{}
		for _, o := range append(own, every...) {
			allowed[o] = true
		}
		for _, o := range kms.GrantOperations {
			code := kms.CodeValidation
			if allowed[o] {
				code = ""
			}
			_, err := w.Do(w.alice, kms.OpCreateGrant, &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: bobRoot, Operations: []kms.GrantOperation{o}})
			want(t, fmt.Sprint(o, " of ", key), err, code)
		}
	}

	context := func(pairs int, value string) map[string]string {
		m := map[string]string{}
		for i := range pairs {
			m[fmt.Sprint(i)] = value
		}
		return m
	}
	long := strings.Repeat("é", 384)
	with := func(key string, o kms.GrantOperation, equals, subset map[string]string) *kms.CreateGrantRequest {
		return &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: bobRoot, Operations: []kms.GrantOperation{o},
			Constraints: &kms.GrantConstraints{EncryptionContextEquals: equals, EncryptionContextSubset: subset}}
	}
	for _, row := range []struct {
		name string
		q    *kms.CreateGrantRequest
		code kms.Code
	}{
		{"equals", with(symmetric, "Encrypt", context(8, long), nil), ""},
		{"subset", with(symmetric, "Encrypt", nil, context(8, long)), ""},
		{"neither", with(symmetric, "DescribeKey", nil, nil), ""},
		{"both", with(symmetric, "Encrypt", context(1, "v"), context(1, "v")), kms.CodeValidation},
		{"9 pairs", with(symmetric, "Encrypt", context(9, "v"), nil), kms.CodeValidation},
		{"385 characters", with(symmetric, "Encrypt", nil, context(1, long+"x")), kms.CodeValidation},
		{"nothing has a context", with(symmetric, "DescribeKey", context(1, "v"), nil), kms.CodeValidation},
		{"asymmetric", with(rsa, "Encrypt", context(1, "v"), nil), kms.CodeValidation},
		{"no operation", &kms.CreateGrantRequest{KeyID: symmetric, GranteePrincipal: bobRoot}, kms.CodeValidation},
		{"no such operation", &kms.CreateGrantRequest{KeyID: symmetric, GranteePrincipal: bobRoot, Operations: []kms.GrantOperation{"ListKeys"}}, kms.CodeValidation},
		{"nobody", &kms.CreateGrantRequest{KeyID: symmetric, Operations: every}, kms.CodeValidation},
		{"no principal", &kms.CreateGrantRequest{KeyID: symmetric, GranteePrincipal: "bob", Operations: every}, kms.CodeInvalidARN},
		{"no principal to retire", &kms.CreateGrantRequest{KeyID: symmetric, GranteePrincipal: bobRoot, RetiringPrincipal: "arn:aws:s3:::x", Operations: every}, kms.CodeInvalidARN},
		{"name", &kms.CreateGrantRequest{KeyID: symmetric, GranteePrincipal: bobRoot, Operations: every, Name: "a b"}, kms.CodeValidation},
		{"dry", &kms.CreateGrantRequest{KeyID: symmetric, GranteePrincipal: bobRoot, Operations: every, Name: "dry", DryRun: true}, kms.CodeDryRun},
	} {
		_, err := w.Do(w.alice, kms.OpCreateGrant, row.q)
		want(t, row.name, err, row.code)
	}
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: symmetric})
	_, err := w.Do(w.alice, kms.OpCreateGrant, grantRequest(symmetric))
	want(t, "on a disabled key", err, kms.CodeKeyDisabled)
}

func TestGrantNames(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	request := func(name string, operations ...kms.GrantOperation) *kms.CreateGrantRequest {
		return &kms.CreateGrantRequest{KeyID: key, GranteePrincipal: bobRoot, Operations: operations, Name: name}
	}
	first := w.grant(t, request("a", "Encrypt", "Decrypt"))
	again := w.grant(t, request("a", "Decrypt", "Encrypt", "Decrypt")) // the same set
	if again.GrantID != first.GrantID || again.GrantToken == first.GrantToken {
		t.Errorf("%+v, then %+v", first, again)
	}
	ids := map[string]bool{first.GrantID: true}
	other := request("a", "Encrypt", "Decrypt")
	other.RetiringPrincipal = aliceRoot
	constrained := request("a", "Encrypt", "Decrypt")
	constrained.Constraints = &kms.GrantConstraints{EncryptionContextEquals: map[string]string{"k": "v"}}
	subset := request("a", "Encrypt", "Decrypt")
	subset.Constraints = &kms.GrantConstraints{EncryptionContextSubset: map[string]string{"k": "v"}}
	different := []*kms.CreateGrantRequest{request("a", "Encrypt"), request("b", "Encrypt", "Decrypt"), other, constrained, subset, request("", "Encrypt"), request("", "Encrypt")}
	for _, q := range different {
		ids[w.grant(t, q).GrantID] = true
	}
	if len(ids) != len(different)+1 || len(w.grants(t, &kms.ListGrantsRequest{KeyID: key})) != len(ids) {
		t.Errorf("%d grants of %d", len(ids), len(different)+1)
	}
	w.must(t, w.alice, kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: key, GrantID: first.GrantID})
	if next := w.grant(t, request("a", "Encrypt", "Decrypt")); next.GrantID == first.GrantID {
		t.Error("a grant that was revoked came back with its id")
	}
}

// A grant that is revoked while the same is asked for again does not come back.
func TestRevokedUnderARepetition(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	n := w.Cluster.Node(servicetest.Options{})
	key := w.CreateKey(w.alice)
	q := grantRequest(key)
	q.Name = "a"
	first := w.grant(t, q)
	decided, may, revoked := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	begun := false
	n.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if !begun {
			begun = true
			close(decided)
			<-may
		}
	}})
	go func() {
		_, err := n.Do(w.alice, kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: key, GrantID: first.GrantID})
		revoked <- err
	}()
	<-decided
	w.CreateKey(w.alice)
	once := false
	w.Break(servicetest.Faults{BeforePropose: func(*fsm.Txn) {
		if !once {
			once = true
			close(may)
			want(t, "revoke", <-revoked, "")
		}
	}})
	if again := w.grant(t, q); again.GrantID == first.GrantID {
		t.Error("the revoked grant is back")
	}
}

func TestGrantTokensAndEnds(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	foreign := newWorld(t, servicetest.Options{})
	theirs := foreign.grant(t, grantRequest(foreign.CreateKey(foreign.alice)))
	g := w.grant(t, grantRequest(key))
	flip := func(s string) string {
		if s[20] == '0' {
			return s[:20] + "1" + s[21:]
		}
		return s[:20] + "0" + s[21:]
	}
	for name, token := range map[string]string{"tampered": flip(g.GrantToken), "short": g.GrantToken[:20], "no hex": "zz", "of another cluster": theirs.GrantToken} {
		_, err := w.Do(w.alice, kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: token})
		want(t, name, err, kms.CodeInvalidGrantToken)
		_, err = w.Do(w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x"), GrantTokens: []string{token}})
		want(t, name, err, kms.CodeInvalidGrantToken)
		_, err = w.Do(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key, GrantTokens: []string{token}})
		want(t, name, err, kms.CodeInvalidGrantToken)
	}
	w.must(t, w.alice, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x"), GrantTokens: []string{g.GrantToken}})
	w.must(t, w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: key, GrantTokens: []string{g.GrantToken}})
	for _, q := range []*kms.RetireGrantRequest{{}, {GrantToken: "a", KeyID: key}, {KeyID: key}, {GrantID: g.GrantID}} {
		_, err := w.Do(w.alice, kms.OpRetireGrant, q)
		want(t, fmt.Sprint(q), err, kms.CodeValidation)
	}
	_, err := w.Do(w.bob, kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: g.GrantToken})
	want(t, "retire a foreign grant", err, kms.CodeAccessDenied)
	_, err = w.Do(w.alice, kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: g.GrantToken, DryRun: true})
	want(t, "dry", err, kms.CodeDryRun)
	w.must(t, w.alice, kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: g.GrantToken})
	_, err = w.Do(w.alice, kms.OpRetireGrant, &kms.RetireGrantRequest{GrantToken: g.GrantToken})
	want(t, "again", err, kms.CodeNotFound)
	g = w.grant(t, grantRequest(key))
	w.must(t, w.alice, kms.OpRetireGrant, &kms.RetireGrantRequest{KeyID: "arn:aws:kms:us-east-1:" + aliceID + ":key/" + key, GrantID: g.GrantID})
	g = w.grant(t, grantRequest(key))
	w.schedule(t, key, 7) // grants end in every state
	awaits := w.Counts().Awaits
	w.must(t, w.alice, kms.OpRevokeGrant, &kms.RevokeGrantRequest{KeyID: key, GrantID: g.GrantID})
	if w.Counts().Awaits != awaits+1 {
		t.Error("the revocation did not wait for the members")
	}
	if left := w.grants(t, &kms.ListGrantsRequest{KeyID: key}); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestGrantListings(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key, other := w.CreateKey(w.alice), w.CreateKey(w.alice)
	mine := map[string]bool{}
	for i := range 7 {
		q := grantRequest(key)
		if i == 3 {
			q.GranteePrincipal = aliceRoot
		}
		mine[w.grant(t, q).GrantID] = true
	}
	apart := w.grant(t, grantRequest(other)).GrantID
	got := w.grants(t, &kms.ListGrantsRequest{KeyID: key, Limit: 3})
	for _, id := range got {
		if !mine[id] {
			t.Errorf("%s is not one of the key's", id)
		}
	}
	if len(got) != 7 {
		t.Errorf("%d grants", len(got))
	}
	if n := len(w.grants(t, &kms.ListGrantsRequest{KeyID: key, GranteePrincipal: bobRoot, Limit: 4})); n != 6 {
		t.Errorf("%d grants to bob", n)
	}
	if ids := w.grants(t, &kms.ListGrantsRequest{KeyID: key, GrantID: got[2]}); len(ids) != 1 || ids[0] != got[2] {
		t.Errorf("by id %v", ids)
	}
	_, err := w.Do(w.alice, kms.OpListGrants, &kms.ListGrantsRequest{KeyID: key, GrantID: apart})
	want(t, "of another key", err, kms.CodeNotFound)
	_, err = w.Do(w.alice, kms.OpListGrants, &kms.ListGrantsRequest{KeyID: key, Limit: 101})
	want(t, "page", err, kms.CodeValidation)
	retirable, marker := 0, ""
	for {
		a := w.must(t, w.alice, kms.OpListRetirableGrants, &kms.ListRetirableGrantsRequest{RetiringPrincipal: aliceRoot, Limit: 3, Marker: marker}).(*kms.ListGrantsAnswer)
		retirable += len(a.Grants)
		if marker = a.NextMarker; marker == "" {
			break
		}
	}
	if retirable != 8 {
		t.Errorf("%d grants may be retired", retirable)
	}
	// Another account sees none of it.
	a, err := w.Do(w.bob, kms.OpListRetirableGrants, &kms.ListRetirableGrantsRequest{RetiringPrincipal: aliceRoot})
	want(t, "bob", err, "")
	if len(a.(*kms.ListGrantsAnswer).Grants) != 0 {
		t.Error("bob sees grants of alice")
	}
	for _, name := range []string{key, "arn:aws:kms:us-east-1:" + aliceID + ":key/" + key} {
		_, err = w.Do(w.bob, kms.OpListGrants, &kms.ListGrantsRequest{KeyID: name})
		if code := kms.CodeOf(err); code != kms.CodeNotFound && code != kms.CodeAccessDenied {
			t.Errorf("bob: %v", err)
		}
	}
}

// The limit is counted by the scope; its members are faked by cheap records that name it.
func TestGrantLimit(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	b := w.Barrier()
	defer b.Wipe()
	scope := catalog.NewIDs(b).GrantsOf(aliceScope, key)
	w.Lag(true)
	const limit, each = 50_000, 250
	for i := 0; i < limit-1; {
		txn := &fsm.Txn{ID: servicetest.NewTxnID(), Event: "test", Based: w.Now()}
		for ; len(txn.Writes) < each && i < limit-1; i++ {
			txn.Writes = append(txn.Writes, fsm.Write{Kind: fsm.KindNode, ID: fsm.ID(fmt.Sprintf("%016d", i)), Revision: 1 << 20, Body: []byte("x"), Scopes: []fsm.ScopeID{scope}})
		}
		if o := w.Commit(txn); o[0].Status != fsm.Applied {
			t.Fatalf("%+v", o)
		}
	}
	w.Lag(false)
	q := grantRequest(key)
	q.Name = "last"
	w.grant(t, q)
	w.grant(t, q) // the same once more
	_, err := w.Do(w.alice, kms.OpCreateGrant, grantRequest(key))
	want(t, "one more", err, kms.CodeLimitExceeded)
}
