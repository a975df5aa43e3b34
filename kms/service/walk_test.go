package service_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// want fails unless err has the code; "" means success.
func want(t *testing.T, what string, err error, code kms.Code) {
	t.Helper()
	if got := kms.CodeOf(err); got != code {
		t.Fatalf("%s: %q (%v), want %q", what, got, err, code)
	}
}

func ptr[T any](v T) *T { return &v }

// world is a cluster of one node with two tenants.
type world struct {
	*servicetest.Cluster
	*servicetest.Node
	alice, bob servicetest.Credentials
}

const (
	aliceID = "111111111111"
	bobID   = "222222222222"
)

func newWorld(t *testing.T, o servicetest.Options) *world {
	t.Helper()
	c := servicetest.New(t)
	n := c.Node(o)
	return &world{c, n, n.CreateAccount(aliceID), n.CreateAccount(bobID)}
}

func (w *world) encrypt(t *testing.T, who servicetest.Credentials, key, plaintext string, context map[string]string) []byte {
	t.Helper()
	answer, err := w.Do(who, kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte(plaintext), EncryptionContext: context})
	want(t, "encrypt", err, "")
	return answer.(*kms.EncryptAnswer).CiphertextBlob
}

// secretsOf returns every byte string and secret text of a request or answer.
func secretsOf(v reflect.Value) (all []string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			all = secretsOf(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name == "GrantToken" {
				all = append(all, v.Field(i).String())
			}
			all = append(all, secretsOf(v.Field(i))...)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() { // an audit record
			return nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return []string{string(v.Bytes())}
		}
		for i := range v.Len() {
			all = append(all, secretsOf(v.Index(i))...)
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[kms.SensitiveString]() {
			return []string{v.String()}
		}
	}
	return all
}

// shows reports whether a text shows a secret in an encoding that somebody could have used.
func shows(text []byte, secret string) bool {
	if len(secret) < 8 {
		return false // would be found by chance
	}
	forms := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 { // wherever it stands in what was encoded
			whole := e.EncodeToString(append(make([]byte, shift), secret...))
			whole = whole[:len(whole)-len(whole)%4]
			if shift > 0 {
				whole = whole[4:]
			}
			forms = append(forms, whole)
		}
	}
	for _, form := range forms {
		if len(form) >= 8 && bytes.Contains(text, []byte(form)) {
			return true
		}
	}
	return false
}

// Every operation of the table is served, or refused although it is right; its answer has the table's type, and it is
// audited once, under its own name, without any secret.
func TestEveryOperation(t *testing.T) {
	for _, op := range kms.Operations {
		t.Run(op.Name, func(t *testing.T) {
			w := newWorld(t, twoRegions)
			s := w.topic(t, w.Root, op, "alias/a")
			request := rights[op].request(s)
			before, counts := len(w.Records()), w.Counts()
			answer, err := w.Do(w.Root, op, request)
			want(t, op.Name, err, verdictOn(op))
			if got := fmt.Sprintf("%T", answer); err == nil && got != "*"+op.AnswerType().String() {
				t.Errorf("the answer is a %s", got)
			}
			records := w.Records()[before:]
			if len(records) != 1 || records[0]["eventName"] != op.Name || records[0]["readOnly"] != !op.Mutates {
				t.Fatalf("audit records: %v", records)
			}
			for _, v := range []any{request, answer} {
				if v == nil {
					continue // of a refusal
				}
				for _, secret := range append(secretsOf(reflect.ValueOf(v)), w.Root.Secret) {
					if shows(w.Lines(), secret) {
						t.Errorf("the audit records show %q of %T", secret, v)
					}
				}
			}
			after := w.Counts()
			proposed, confirmed, leases := after.Proposals-counts.Proposals, after.Confirmations-counts.Confirmations, after.Leases-counts.Leases
			switch {
			case op.Crypto && (proposed != 0 || confirmed != 0 || leases < 2):
				t.Errorf("cryptography made %d proposals, %d confirmations and asked for %d leases", proposed, confirmed, leases)
			case err != nil && (proposed != 0 || confirmed == 0):
				t.Errorf("a refusal made %d proposals and %d confirmations", proposed, confirmed)
			case !op.Crypto && leases != 0:
				t.Error("control work asked for the lease")
			case op.Revokes && after.Awaits == counts.Awaits:
				t.Error("a revocation did not wait for the members")
			}
		})
	}
}

// Whoever owns a key names it by id, ARN, alias or alias ARN; what makes or lists aliases takes no alias.
func TestEveryFormOfAName(t *testing.T) {
	for _, op := range kms.Operations {
		if op.Resource != kms.ResourceKey && op.Resource != kms.ResourceAlias && op != kms.OpListAliases {
			continue
		}
		t.Run(op.Name, func(t *testing.T) {
			w := newWorld(t, twoRegions)
			for i, form := range []string{"id", "arn", "alias", "alias arn"} {
				s := w.topic(t, w.alice, op, fmt.Sprintf("alias/%d", i))
				arn := "arn:aws:kms:" + firstRegion + ":" + aliceID + ":"
				s.name = map[string]string{"id": s.id, "arn": arn + "key/" + s.id, "alias": s.alias, "alias arn": arn + s.alias}[form]
				request := rights[op].request(s)
				switch q := request.(type) {
				case *kms.DecryptRequest:
					q.KeyID = s.name
				case *kms.ReEncryptRequest:
					q.SourceKeyID = s.name
				case *kms.PutKeyPolicyRequest:
					q.Policy = defaultPolicy(aliceID)
				case *kms.CreateAliasRequest:
					q.AliasName = fmt.Sprintf("alias/new-%d", i)
				}
				code := kms.Code("")
				switch op {
				case kms.OpCreateAlias, kms.OpUpdateAlias:
					if i >= 2 {
						code = kms.CodeValidation
					}
				case kms.OpListAliases:
					if i >= 2 {
						code = kms.CodeInvalidKeyID
					}
				}
				_, err := w.Do(w.alice, op, request)
				want(t, form, err, code)
				records := w.Records()
				if last := fmt.Sprint(records[len(records)-1]["resources"]); code == "" && op.Resource == kms.ResourceKey && !strings.Contains(last, "key/"+s.id) {
					t.Errorf("by %s the audit record has the resources %s", form, last)
				}
			}
		})
	}
}

// A request of another type, or one that names no key, is refused by every operation, once audited.
func TestEveryOperationRefusesWhatIsMalformed(t *testing.T) {
	w := newWorld(t, twoRegions)
	type stranger struct{ KeyID string }
	for _, op := range kms.Operations {
		if op == kms.OpSeal {
			continue
		}
		before := len(w.Records())
		for _, request := range []any{nil, &stranger{"x"}, reflect.Zero(reflect.PointerTo(op.RequestType())).Interface()} {
			_, err := w.Do(w.Root, op, request)
			want(t, op.Name, err, kms.CodeInvalidRequest)
		}
		if n := len(w.Records()) - before; n != 3 {
			t.Errorf("%s: %d audit records", op.Name, n)
		}
		if op.Resource != kms.ResourceKey {
			continue
		}
		for _, name := range []string{"nonsense", "", "arn:aws:kms:" + firstRegion + ":" + aliceID + ":key/x", "arn:aws:kms:" + firstRegion + ":1:key/x",
			strings.Repeat("x", 2049), "alias/", "ALIAS/a", "\x00", "mrk-00000000000000000000000000000000 "} {
			request := requests(name, "alias/a", []byte("x"))[op]
			if q, ok := request.(*kms.DecryptRequest); ok {
				q.KeyID = name
			}
			proposals, confirmed := w.Counts().Proposals, w.Counts().Confirmations
			_, err := w.Do(w.Root, op, request)
			if code := kms.CodeOf(err); code != kms.CodeInvalidKeyID && code != kms.CodeValidation && code != kms.CodeInvalidARN && code != kms.CodeInvalidCiphertext {
				t.Errorf("%s of %q: %v", op.Name, name, err)
			}
			if w.Counts().Proposals != proposals || op.Crypto && w.Counts().Confirmations != confirmed {
				t.Errorf("%s of %q cost a poll", op.Name, name)
			}
		}
	}
}

// No caller without a valid identity learns anything from any operation, and each refusal is
// confirmed and audited.
func TestEveryOperationNeedsIdentity(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	ciphertext := w.encrypt(t, w.alice, key, "p", nil)
	messages := map[string]bool{}
	for _, who := range []servicetest.Credentials{
		{}, {AccessKeyID: w.alice.AccessKeyID, Secret: "wrong"}, {AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Secret: w.alice.Secret},
	} {
		for op, request := range requests(key, "alias/a", ciphertext) {
			records, confirmed := len(w.Records()), w.Counts().Confirmations
			_, err := w.Do(who, op, request)
			if op.Open { // the token in the request is no identity either
				want(t, op.Name, err, kms.CodeInvalidIdentityToken)
				continue
			}
			want(t, op.Name, err, kms.CodeUnauthenticated)
			messages[err.Error()] = true
			if len(w.Records()) != records+1 {
				t.Errorf("%s: the refusal is not audited", op.Name)
			}
			if w.Counts().Confirmations == confirmed {
				t.Errorf("%s: the refusal left unconfirmed", op.Name)
			}
		}
	}
	if len(messages) != 1 {
		t.Errorf("refusals differ: %v", messages)
	}
}

// Two tenants cannot see each other: walk every operation with each form of the other's names.
func TestTenantsCannotSeeEachOther(t *testing.T) {
	w := newWorld(t, twoRegions)
	key := w.CreateKey(w.alice)
	w.must(t, w.alice, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/secret-name", TargetKeyID: key})
	ciphertext := w.encrypt(t, w.alice, key, "p", nil)
	own := w.CreateKey(w.bob)
	const nowhere = "00000000-0000-4000-8000-000000000001"
	account := "arn:aws:kms:" + firstRegion + ":" + aliceID + ":"

	for i, op := range kms.Operations {
		if op == kms.OpSeal {
			continue // denied below with the other cluster operations; here it would end the walk
		}
		theirs := w.topic(t, w.alice, op, fmt.Sprintf("alias/theirs-%d", i))
		for form, name := range map[string]string{"id": theirs.id, "arn": account + "key/" + theirs.id, "alias arn": account + theirs.alias} {
			ask := func(name string) (any, error) {
				s := *theirs
				s.name = name
				request := rights[op].request(&s)
				switch q := request.(type) {
				case *kms.PutKeyPolicyRequest:
					q.Policy = defaultPolicy(bobID)
				case *kms.ListRetirableGrantsRequest:
					q.RetiringPrincipal = "arn:aws:iam::" + aliceID + ":root"
				}
				return w.Do(w.bob, op, request)
			}
			answer, err := ask(name)
			if slices.Contains(unserved, op) { // the same for everybody
				want(t, op.Name, err, kms.CodeUnsupported)
				continue
			}
			switch op {
			case kms.OpCreateKey, kms.OpListKeys, kms.OpGenerateRandom, kms.OpGetCallerIdentity, kms.OpGetSessionToken, kms.OpListRetirableGrants, kms.OpGetResources, kms.OpDescribeCustomKeyStores:
				want(t, op.Name, err, "")
				if text := fmt.Sprintf("%+v", answer); strings.Contains(text, theirs.id) || strings.Contains(text, aliceID) {
					t.Errorf("%s shows the other tenant: %s", op.Name, text)
				}
				continue
			}
			if op == kms.OpLookupEvents && form != "alias arn" { // asking costs nothing, and tells nothing
				want(t, op.Name, err, "")
				if events := answer.(*kms.LookupEventsAnswer).Events; len(events) != 0 {
					t.Errorf("%s by %s shows the other tenant: %s", op.Name, form, events)
				}
				continue
			}
			if op == kms.OpAssumeRoleWithWebIdentity { // who has the token is who it says
				want(t, op.Name, err, "")
				continue
			}
			if op.Resource == kms.ResourceIdentity && (op.Created && op != kms.OpCreateAccessKey || strings.HasPrefix(op.Name, "List") && op.RequestType().Name() != "IdentityRequest" && op.RequestType().Name() != "PolicyRequest") {
				// The names of an account are its own: the other's are free in it, and not listed.
				if code := kms.CodeOf(err); code != "" && code != kms.CodeAlreadyExists {
					t.Errorf("%s by %s: %v", op.Name, form, err)
				}
				if text := fmt.Sprintf("%+v", answer); err == nil && strings.Contains(text, "iam::"+aliceID+":user/") {
					t.Errorf("%s shows the other tenant: %s", op.Name, text)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s by %s succeeds: %+v", op.Name, form, answer)
				continue
			}
			code := kms.CodeOf(err)
			if code != kms.CodeAccessDenied && code != kms.CodeNotFound && code != kms.CodeValidation && code != kms.CodeInvalidKeyID && code != kms.CodeInvalidARN {
				t.Errorf("%s by %s: %v", op.Name, form, err)
			}
			// What does not exist is refused in the same words as what exists elsewhere.
			if form == "alias arn" || op.Resource != kms.ResourceKey || op == kms.OpDecrypt || op == kms.OpReEncrypt {
				continue
			}
			_, missing := ask(strings.ReplaceAll(name, theirs.id, nowhere))
			if missing == nil || strings.ReplaceAll(missing.Error(), nowhere, theirs.id) != err.Error() {
				t.Errorf("%s by %s tells existence: %v, %v", op.Name, form, err, missing)
			}
		}
	}
	var err error

	// The other's ciphertext, under no name and under one's own.
	_, err = w.Do(w.bob, kms.OpDecrypt, &kms.DecryptRequest{CiphertextBlob: ciphertext})
	want(t, "decrypt", err, kms.CodeAccessDenied)
	_, err = w.Do(w.bob, kms.OpDecrypt, &kms.DecryptRequest{KeyID: own, CiphertextBlob: ciphertext})
	want(t, "decrypt with own key", err, kms.CodeIncorrectKey)
	_, err = w.Do(w.bob, kms.OpReEncrypt, &kms.ReEncryptRequest{KeyID: own, CiphertextBlob: ciphertext})
	want(t, "re-encrypt", err, kms.CodeAccessDenied)

	// The same alias name is another alias.
	_, err = w.Do(w.bob, kms.OpCreateAlias, &kms.CreateAliasRequest{AliasName: "alias/secret-name", TargetKeyID: own})
	want(t, "alias of the same name", err, "")
	answer, err := w.Do(w.alice, kms.OpDescribeKey, &kms.DescribeKeyRequest{KeyID: "alias/secret-name"})
	want(t, "describe", err, "")
	if answer.(*kms.KeyAnswer).Key.KeyID != key {
		t.Error("the other tenant moved the alias")
	}
}

// Actions on the cluster are for the operator account alone.
func TestClusterOperationsAreTheOperators(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	for op, request := range requests("k", "alias/a", nil) {
		if op.Resource != kms.ResourceCluster {
			continue
		}
		_, err := w.Do(w.alice, op, request)
		want(t, op.Name, err, kms.CodeAccessDenied)
	}
	if w.Catalog.Sealed() {
		t.Error("a tenant sealed the node")
	}
}
