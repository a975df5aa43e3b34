package catalog

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

// The plaintext of records that this release writes; every later one goes on reading it.
func TestGoldenRecords(t *testing.T) {
	key := "00112233-4455-6677-8899-aabbccddeeff"
	rows := []struct {
		name string
		kind fsm.Kind
		body any
	}{
		{"grant", fsm.KindGrant, &kms.Grant{Schema: 1, Scope: scopeA, KeyID: key, ID: "ab01", Name: "backup",
			GranteePrincipal: "arn:aws:iam::111111111111:user/alice", RetiringPrincipal: "arn:aws:iam::111111111111:user/bob",
			Operations:  []kms.GrantOperation{"Decrypt", "Encrypt"},
			Constraints: &kms.GrantConstraints{EncryptionContextSubset: map[string]string{"tenant": "a"}},
			Issuer:      "arn:aws:iam::111111111111:root", IssuingAccount: "arn:aws:iam::111111111111:root", Created: testStamp}},
		{"usage", fsm.KindUsage, &kms.Usage{Schema: 1, Scope: scopeA, KeyID: key,
			Operations: []kms.KeyUse{{Operation: "Encrypt", At: testStamp, EventID: "e", RequestID: "r", Principal: "arn:aws:iam::111111111111:root"}},
			Callers:    []kms.KeyUse{{Operation: "Decrypt", At: testStamp - 1, Principal: "arn:aws:iam::111111111111:user/alice"}}}},
		{"anchor", fsm.KindAuditAnchor, &kms.AuditAnchor{Schema: 1, Node: "n1", Seed: make([]byte, 32), Seq: 77, Hash: make([]byte, 32), Signed: testStamp}},
		{"key", fsm.KindKey, &kms.Key{Schema: 1, Scope: scopeA, ID: "mrk-00112233445566778899aabbccddeeff", State: kms.StatePendingImport, Spec: kms.SymmetricDefault,
			Usage: kms.EncryptDecrypt, Origin: kms.OriginExternal, Created: testStamp, DefaultPolicy: true,
			Rotation: &kms.Rotation{Period: 365, Next: testStamp}, MultiRegion: &kms.MultiRegion{Primary: "us-east-1", Regions: []string{"eu-west-1", "us-east-1"}},
			Announced: &kms.Material{Version: 1, ID: "cd", Created: testStamp, Expires: testStamp + 1}}},
	}
	for _, row := range rows {
		encoded, err := records.enc.Marshal(row.body)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", row.name+".hex")
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(encoded) + "\n"; got != string(golden) {
			t.Errorf("%s: encoded\n%s", row.name, got)
		}
		plain, err := hex.DecodeString(string(golden[:len(golden)-1]))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := records.decode(row.kind, plain); err != nil || !reflect.DeepEqual(body, row.body) {
			t.Errorf("%s: decoded %+v, %v", row.name, body, err)
		}
	}
}

func TestCheckedRecords(t *testing.T) {
	material := func(versions ...uint32) (all []kms.Material) {
		for _, v := range versions {
			all = append(all, kms.Material{Version: v})
		}
		return all
	}
	rows := []struct {
		name   string
		change func(*kms.Key)
		ok     bool
	}{
		{"as it is", func(*kms.Key) {}, true},
		{"two materials", func(k *kms.Key) { k.Materials = material(1, 4) }, true},
		{"no material", func(k *kms.Key) { k.Materials = nil }, false},
		{"no material yet", func(k *kms.Key) { k.Materials, k.Origin = nil, kms.OriginExternal }, true},
		{"version 0", func(k *kms.Key) { k.Materials = material(0) }, false},
		{"the same version", func(k *kms.Key) { k.Materials = material(1, 1) }, false},
		{"announced", func(k *kms.Key) { k.Announced = &kms.Material{Version: 2} }, true},
		{"announced below", func(k *kms.Key) { k.Announced = &kms.Material{Version: 1} }, false},
		{"announced before the first", func(k *kms.Key) {
			k.Materials, k.Origin, k.Announced = nil, kms.OriginExternal, &kms.Material{Version: 1}
		}, true},
		{"multi-Region id", func(k *kms.Key) { k.ID = "mrk-00112233445566778899aabbccddeeff" }, true},
		{"no id", func(k *kms.Key) { k.ID = "x" }, false},
	}
	for _, row := range rows {
		k := keyNumber(scopeA, 1)
		row.change(k)
		if err := checkKey(k); (err == nil) != row.ok {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	for _, g := range []kms.Grant{{KeyID: "x", ID: "1"}, {KeyID: keyNumber(scopeA, 1).ID}} {
		if checkGrant(&g) == nil {
			t.Errorf("%+v was accepted", g)
		}
	}
}
