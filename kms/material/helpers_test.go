package material

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

// goldenKey is fixed material of one spec and what other implementations made with it. Entries are
// never changed, only added; DESIGN.md says where they come from.
type goldenKey struct {
	Spec       kms.KeySpec `json:"spec"`
	Source     string      `json:"source"`
	Material   []byte      `json:"material"` // the stored encoding
	Public     []byte      `json:"public"`   // SubjectPublicKeyInfo
	PKCS8      []byte      `json:"pkcs8"`    // where that is not the stored encoding
	Signatures []struct {
		Algorithm   kms.SigningAlgorithm `json:"algorithm"`
		MessageType kms.MessageType      `json:"message_type"`
		Message     []byte               `json:"message"`
		Signature   []byte               `json:"signature"`
	} `json:"signatures"`
	Ciphertexts []struct {
		Algorithm  kms.EncryptionAlgorithm `json:"algorithm"`
		Plaintext  []byte                  `json:"plaintext"`
		Ciphertext []byte                  `json:"ciphertext"`
	} `json:"ciphertexts"`
	Macs []struct {
		Algorithm kms.MacAlgorithm `json:"algorithm"`
		Message   []byte           `json:"message"`
		Mac       []byte           `json:"mac"`
	} `json:"macs"`
	SharedSecrets []struct {
		Peer   []byte `json:"peer"`
		Secret []byte `json:"secret"`
	} `json:"shared_secrets"`
	Encapsulations []struct {
		Ciphertext []byte `json:"ciphertext"`
		Secret     []byte `json:"secret"`
	} `json:"encapsulations"`
}

// goldenImport is a wrapping key and key material that was encrypted under it.
type goldenImport struct {
	Private []byte `json:"private"` // PKCS#8
	Cases   []struct {
		Algorithm kms.WrappingAlgorithm `json:"algorithm"`
		Spec      kms.KeySpec           `json:"spec"`
		Plain     []byte                `json:"plain"`
		Wrapped   []byte                `json:"wrapped"`
	} `json:"cases"`
}

func readJSON[T any](t testing.TB, path string) T {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func goldenKeys(t testing.TB) []goldenKey {
	t.Helper()
	return readJSON[[]goldenKey](t, "testdata/keys_v1.json")
}

func goldenImports(t testing.TB) []goldenImport {
	t.Helper()
	return readJSON[[]goldenImport](t, "testdata/imports_v1.json")
}

// allSpecs is every spec that there is material of.
func allSpecs() []kms.KeySpec {
	var all []kms.KeySpec
	for _, spec := range kms.KeySpecs {
		if _, ok := spec.Spec(); ok {
			all = append(all, spec)
		}
	}
	return all
}

// fixedMaterial returns the first golden material of each spec, with which tests save generating RSA
// keys.
func fixedMaterial(t testing.TB) map[kms.KeySpec][]byte {
	t.Helper()
	all := map[kms.KeySpec][]byte{kms.SymmetricDefault: vectors(t)[0].Material}
	for _, g := range goldenKeys(t) {
		if all[g.Spec] == nil {
			all[g.Spec] = g.Material
		}
	}
	return all
}

// fixed returns a handle on the fixed material of a spec.
func fixed(t testing.TB, spec kms.KeySpec) *Key {
	t.Helper()
	return opened(t, spec, fixedMaterial(t)[spec])
}

func opened(t testing.TB, spec kms.KeySpec, plain []byte) *Key {
	t.Helper()
	k, err := Open(spec, plain)
	if err != nil {
		t.Fatalf("%s: %v, cause %v", spec, err, kms.AsError(err).Unwrap())
	}
	return k
}

func wantCode(t testing.TB, what string, err error, code kms.Code) {
	t.Helper()
	if kms.CodeOf(err) != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func wantError(t testing.TB, what string, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}
