package service_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// throughout returns an operation's request about a key of another name, and of a ciphertext's key too.
func throughout(op *kms.Operation, s *topic, name string) any {
	other := *s
	other.name = name
	request := rights[op].request(&other)
	switch q := request.(type) {
	case *kms.DecryptRequest:
		q.KeyID = name
	case *kms.ReEncryptRequest:
		q.SourceKeyID = name
	case *kms.PutKeyPolicyRequest:
		q.Policy = defaultPolicy(aliceID)
	}
	return request
}

// actionsOf are the policy actions of an operation.
func actionsOf(op *kms.Operation) string {
	switch op {
	case kms.OpReEncrypt:
		return "kms:ReEncryptFrom kms:ReEncryptTo"
	case kms.OpReplicateKey:
		return "kms:ReplicateKey kms:CreateKey"
	}
	return op.Action
}

// Another account's key serves what the documentation of an operation says it may, if both accounts allow it, and
// nothing else.
func TestForeignKeys(t *testing.T) {
	w := newWorld(t, twoRegions)
	doraARN := iamARN(bobID, "user/dora")
	dora := w.member(t, w.bob, "dora", "")
	foreign := 0
	for i, op := range kms.Operations {
		if op.Resource != kms.ResourceKey || op == kms.OpRetireGrant { // which the grant says
			continue
		}
		s := w.topic(t, w.alice, op, fmt.Sprintf("alias/foreign-%d", i))
		for _, row := range []struct {
			name     string
			key      kms.PolicyDocument
			identity kms.PolicyDocument
			ok       bool
		}{
			{"neither", delegating(), permit("kms:None", "*"), false},
			{"the key's account", delegating(lets(doraARN, "kms:*")), permit("kms:None", "*"), false},
			{"the key's account, everyone", delegating(lets("*", "kms:*")), permit("kms:None", "*"), false},
			{"the caller's account", delegating(), permit("kms:* iam:*", "*"), false},
			{"both, another action", delegating(lets(doraARN, "kms:None")), permit("kms:*", "*"), false},
			{"both, another key", delegating(lets(doraARN, "kms:*")), permit("kms:*", keyARN("00000000-0000-4000-8000-000000000001")), false},
			{"both, and a Deny", delegating(lets(bobRoot, "kms:*"), bars(doraARN, "kms:*")), permit("kms:*", "*"), false},
			{"both", delegating(lets(doraARN, actionsOf(op))), permit(actionsOf(op), "*"), true},
			{"both, by the account", delegating(lets(bobRoot, actionsOf(op))), permit(actionsOf(op), keyARN(s.id)), true},
		} {
			w.repolice(t, s.id, row.key)
			w.inline(t, w.bob, kms.OpPutUserPolicy, "dora", row.identity)
			code := kms.CodeAccessDenied
			if row.ok && op.Foreign {
				code = ""
			}
			name := op.Name + ", " + row.name
			_, err := w.Do(dora, op, throughout(op, s, keyARN(s.id)))
			want(t, name, err, code)
			if err == nil && op == kms.OpRevokeGrant {
				granted(t, w, w.alice, s)
			}
			if code == "" {
				continue
			}
			// What is not there is refused in the same words, whatever it is called.
			nowhere := "00000000-0000-4000-8000-000000000001"
			if strings.HasPrefix(s.id, "mrk-") {
				nowhere = "mrk-00000000000000000000000000000001"
			}
			_, missing := w.Do(dora, op, throughout(op, s, keyARN(nowhere)))
			if missing == nil || strings.ReplaceAll(missing.Error(), nowhere, s.id) != err.Error() {
				t.Errorf("%s: %v, missing %v", name, err, missing)
			}
			head := strings.TrimSuffix(keyARN(""), "key/")
			_, there := w.Do(dora, op, throughout(op, s, head+s.alias))
			_, not := w.Do(dora, op, throughout(op, s, head+"alias/none"))
			if there == nil || not == nil || strings.ReplaceAll(not.Error(), "alias/none", s.alias) != there.Error() || strings.Contains(there.Error(), s.id) {
				t.Errorf("%s, by alias: %v, missing %v", name, there, not)
			}
		}
		// Its root needs no policy of its own.
		w.repolice(t, s.id, delegating(lets(bobRoot, actionsOf(op))))
		_, err := w.Do(w.bob, op, throughout(op, s, keyARN(s.id)))
		want(t, op.Name+" by the root", err, map[bool]kms.Code{false: kms.CodeAccessDenied}[op.Foreign])
		if op.Foreign {
			foreign++
			// An id or alias without an account is one of the caller's own account.
			for _, name := range []string{s.id, s.alias} {
				_, err := w.Do(w.bob, op, throughout(op, s, name))
				want(t, op.Name+" by "+name, err, kms.CodeNotFound)
			}
			if op == kms.OpRevokeGrant {
				granted(t, w, w.alice, s)
			}
			_, err := w.Do(w.bob, op, throughout(op, s, strings.TrimSuffix(keyARN(""), "key/")+s.alias))
			want(t, op.Name+" by alias ARN", err, "")
		}
	}
	if foreign != 20 {
		t.Errorf("%d operations take keys of other accounts", foreign)
	}
}

// A ciphertext finds its key in whatever account, for whom both accounts let use it; it tells nobody else whose it is.
func TestForeignCiphertexts(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	second := w.Cluster.Node(servicetest.Options{})
	doraARN, key, own := iamARN(bobID, "user/dora"), w.CreateKey(w.alice), w.CreateKey(w.bob)
	dora := w.member(t, w.bob, "dora", permit("kms:*", "*"))
	blob := w.encrypt(t, w.alice, key, message, nil)
	fake := underNameOf(t, blob, "00000000-0000-4000-8000-000000000001")
	try := func(n *servicetest.Node, who servicetest.Credentials, blob []byte) (decrypt, reencrypt error) {
		_, decrypt = n.Do(who, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: blob})
		_, reencrypt = n.Do(who, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: own, CiphertextBlob: blob})
		return decrypt, reencrypt
	}
	alike := func(who servicetest.Credentials) {
		t.Helper()
		for _, n := range []*servicetest.Node{w.Node, second} {
			decrypt, reencrypt := try(n, who, blob)
			none, nowhere := try(n, who, fake)
			for what, pair := range map[string][2]error{"decrypt": {decrypt, none}, "re-encrypt": {reencrypt, nowhere}} {
				want(t, what, pair[0], kms.CodeAccessDenied)
				if pair[1] == nil || pair[0].Error() != pair[1].Error() || strings.Contains(pair[0].Error(), aliceID) {
					t.Errorf("%s: %v, of no key %v", what, pair[0], pair[1])
				}
			}
			for _, r := range n.Records()[len(n.Records())-4:] {
				if text := fmt.Sprint(r["resources"]); strings.Contains(text, key) {
					t.Errorf("the record of a refusal names the key: %s", text)
				}
			}
		}
	}
	alike(dora)
	alike(w.bob)
	w.repolice(t, key, delegating(lets(doraARN, "kms:Decrypt kms:ReEncryptFrom")))
	alike(w.bob)
	for _, n := range []*servicetest.Node{w.Node, second} {
		decrypt, reencrypt := try(n, dora, blob)
		want(t, "decrypt", decrypt, "")
		want(t, "re-encrypt", reencrypt, "")
	}
	w.repolice(t, key, delegating(lets(doraARN, "kms:Decrypt")))
	decrypt, reencrypt := try(w.Node, dora, blob)
	want(t, "decrypt", decrypt, "")
	want(t, "re-encrypt without the right", reencrypt, kms.CodeAccessDenied)
	// A key in another state is named to who may use it only.
	w.must(t, w.alice, kms.OpDisableKey, &kms.KeyRequest{KeyID: key})
	decrypt, _ = try(w.Node, dora, blob)
	want(t, "a disabled key", decrypt, kms.CodeKeyDisabled)
	alike(w.bob)
}

// Who of the account has no rights learns nothing of what exists; who has them is told that it does not.
func TestExistenceWithinAnAccount(t *testing.T) {
	w := newWorld(t, twoRegions)
	carl := w.member(t, w.alice, "carl", "")
	nowhere := "00000000-0000-4000-8000-000000000001"
	head := strings.TrimSuffix(keyARN(""), "key/")
	for i, op := range kms.Operations {
		if op.Resource != kms.ResourceKey {
			continue
		}
		s := w.topic(t, w.alice, op, fmt.Sprintf("alias/within-%d", i))
		nowhere := nowhere
		if strings.HasPrefix(s.id, "mrk-") {
			nowhere = "mrk-00000000000000000000000000000001"
		}
		for _, identity := range []kms.PolicyDocument{permit("kms:None", "*"), rules(rule("Allow", "kms:*", "*"), rule("Deny", "kms:*", keyARN("*")))} {
			w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", identity)
			for there, not := range map[string]string{s.id: nowhere, keyARN(s.id): keyARN(nowhere), s.alias: "alias/none", head + s.alias: head + "alias/none"} {
				_, err := w.Do(carl, op, throughout(op, s, there))
				want(t, op.Name+" of "+there, err, kms.CodeAccessDenied)
				_, missing := w.Do(carl, op, throughout(op, s, not))
				if missing == nil {
					t.Fatalf("%s of %s succeeds", op.Name, not)
				}
				text := strings.ReplaceAll(strings.ReplaceAll(missing.Error(), nowhere, s.id), "alias/none", s.alias)
				if text != err.Error() {
					t.Errorf("%s of %s: %v, missing %v", op.Name, there, err, missing)
				}
			}
		}
		// Rights to the account's keys, in either way of giving them.
		for _, identity := range []kms.PolicyDocument{permit("kms:*", "*"), permit("kms:*", keyARN("*"))} {
			w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", identity)
			for _, name := range []string{nowhere, keyARN(nowhere), "alias/none", head + "alias/none"} {
				_, err := w.Do(carl, op, throughout(op, s, name))
				want(t, op.Name+" of "+name+" by who has rights", err, kms.CodeNotFound)
			}
		}
		// Rights to that one key are none to others.
		w.inline(t, w.alice, kms.OpPutUserPolicy, "carl", permit("kms:*", keyARN(s.id)))
		_, err := w.Do(carl, op, throughout(op, s, nowhere))
		want(t, op.Name+" of another key", err, kms.CodeAccessDenied)
	}
}

// An account that may use or describe another's key is not told who else does; a change by an alias holds only while the
// alias, of the key's account, leads there.
func TestWhatForeignersAreTold(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	first, second := w.CreateKey(w.alice), w.CreateKey(w.alice)
	for _, key := range []string{first, second} {
		w.repolice(t, key, delegating(lets(bobRoot, "kms:*")))
		w.encrypt(t, w.alice, key, message, nil)
	}
	if k := w.describeAs(t, w.bob, keyARN(first)); k.LastUse != nil || len(k.RecentCallers) != 0 || k.ARN != keyARN(first) {
		t.Errorf("bob is told %+v", k)
	}
	if k := w.describeAs(t, w.alice, first); k.LastUse == nil || len(k.RecentCallers) == 0 {
		t.Errorf("alice is told %+v", k)
	}
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: first})
	w.must(t, w.bob, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/a", TargetKeyID: w.CreateKey(w.bob)})
	other := w.Cluster.Node(servicetest.Options{})
	w.Break(once(func() {
		_, err := other.Do(w.alice, kms.OpUpdateAlias, &kms.UpdateAliasRequest{AliasName: "alias/a", TargetKeyID: second})
		want(t, "move", err, "")
	}))
	q := grantRequest(strings.Replace(keyARN("x"), "key/x", "alias/a", 1))
	w.must(t, w.bob, kms.OpCreateGrant, q)
	if a, b := w.grants(t, &kms.ListGrantsRequest{KeyID: first}), w.grants(t, &kms.ListGrantsRequest{KeyID: second}); len(a) != 0 || len(b) != 1 {
		t.Errorf("the grant came to the key that the alias had left: %v, %v", a, b)
	}
}

// A replica is made in its own region: who may not make keys there makes none.
func TestReplicasAreOfTheirRegion(t *testing.T) {
	w := newWorld(t, twoRegions)
	key := w.make(t, w.alice, regionalKey).KeyID
	for region, code := range map[string]kms.Code{firstRegion: kms.CodeAccessDenied, secondRegion: ""} {
		carl := w.member(t, w.alice, "carl-"+region, rules(rule("Allow", "kms:ReplicateKey", "*"),
			rule("Allow", "kms:CreateKey kms:TagResource", "*", `{"StringEquals":{"aws:RequestedRegion":"`+region+`"}}`)))
		_, err := w.Do(carl, kms.OpReplicateKey, &kms.ReplicateKeyRequest{KeyID: key, ReplicaRegion: secondRegion, Tags: map[string]string{"a": "b"}})
		want(t, "who may make keys in "+region, err, code)
	}
}
