package lockstep_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/lockstep-kms/lockstep"

// nested is the directory of the one module beside the product's: tests with clients of others, which reach the product
// through its command line and its doors, and import nothing of it.
const nested = "integration/clients"

// imports is the whole import graph of the product: for each package, what of this module it may
// import. docs/architecture.md explains the arrows. A package that is not in the table fails the
// test, and so does an arrow that is not.
var imports = map[string][]string{
	// leaves
	"secret":     {},
	"aead":       {},
	"kms":        {},
	"auth/oidc":  {},
	"auth/limit": {},
	"auth/sigv4": {},
	"storage":    {},
	"metrics":    {"kms"},
	"trace":      {},

	"transport":    {"trace"},
	"fsm":          {"storage"},
	"seal":         {"kms", "aead", "secret"},
	"kms/material": {"kms", "aead", "secret"},
	"audit":        {"kms", "audit/chain"},
	"audit/sink":   {"audit"},
	"audit/verify": {"audit/chain"},
	"audit/chain":  {},
	"audit/index":  {"audit/chain"},
	"auth":         {"kms", "secret", "auth/policy", "auth/sigv4"},
	"auth/policy":  {},

	"kms/catalog": {"kms", "kms/material", "seal", "fsm", "secret", "auth", "auth/policy", "auth/sigv4"},
	"kms/service": {"kms", "kms/catalog", "kms/material", "auth", "auth/policy", "auth/oidc", "auth/limit", "audit", "audit/index", "audit/chain", "seal", "fsm", "secret", "trace"},

	"server/replica": {"fsm", "storage", "transport"},

	"api/wire":     {"kms"},
	"api/door":     {"kms", "api/wire", "trace"},
	"api/rest":     {"kms", "kms/service", "auth", "auth/sigv4", "api/wire", "api/door"},
	"api/aws":      {"kms", "kms/service", "auth", "auth/sigv4", "api/wire", "api/door"},
	"api/awsquery": {"kms", "kms/service", "auth", "auth/sigv4", "api/door", "api/aws"},
	"api/awskms":   {"kms", "kms/service", "auth", "api/door", "api/aws"},
	"api/xks":      {"kms", "kms/service", "auth/sigv4", "api/door", "api/aws"},
	"api/sys":      {"kms", "api/wire", "api/door"},
	"api/client":   {"kms", "api/wire"},

	"server": {"secret", "kms", "trace", "storage", "transport", "fsm", "seal", "kms/material", "audit", "audit/index", "audit/chain", "audit/sink", "auth",
		"kms/catalog", "kms/service", "server/replica", "metrics", "api/wire", "auth/oidc", "auth/limit", "api/door", "api/rest", "api/aws", "api/awskms", "api/awsquery", "api/xks", "api/sys"},

	"cmd/lockstep": {"server", "api/client", "transport", "kms", "cmd/lockstep/internal/cli", "cmd/lockstep/internal/dev",
		"cmd/lockstep/internal/keycmd", "cmd/lockstep/internal/cryptocmd", "cmd/lockstep/internal/iamcmd", "cmd/lockstep/internal/auditcmd",
		"cmd/lockstep/internal/statuscmd"},
	"cmd/lockstep/internal/auditcmd":  {"api/client", "kms", "audit/chain", "audit/verify", "cmd/lockstep/internal/cli"},
	"cmd/lockstep/internal/cli":       {"api/client", "transport", "kms"},
	"cmd/lockstep/internal/dev":       {"api/client", "transport", "kms", "cmd/lockstep/internal/cli"},
	"cmd/lockstep/internal/statuscmd": {"api/client", "cmd/lockstep/internal/cli"},
	"cmd/lockstep/internal/keycmd":    {"api/client", "kms", "cmd/lockstep/internal/cli"},
	"cmd/lockstep/internal/cryptocmd": {"api/client", "kms", "cmd/lockstep/internal/cli"},
	"cmd/lockstep/internal/iamcmd":    {"api/client", "kms", "auth/policy", "cmd/lockstep/internal/cli"},

	// importable fakes and harnesses, for tests only
	"kms/service/servicetest": {"*"},
	"auth/oidc/oidctest":      {},
	"integration":             {"*"},
	"integration/cluster":     {"*"},
	"integration/freeport":    {},

	// measuring programs
	"bench/lab":      {},
	"bench/load":     {"bench/lab"},
	"bench/floor":    {},
	"bench/compare":  {"bench/lab"},
	"bench/audit":    {"bench/lab"},
	"bench/raft":     {"bench/lab"},
	"bench/create":   {"bench/lab"},
	"bench/failover": {"bench/lab"},
	"bench/scale":    {"bench/lab"},
	"bench/lookup":   {"bench/lab", "audit", "audit/chain", "audit/index"},
}

// testOnly may be imported by tests and by each other, by nothing else.
var testOnly = []string{"kms/service/servicetest", "auth/oidc/oidctest", "integration", "integration/cluster", "integration/freeport"}

func TestImportRules(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() && filepath.ToSlash(path) == nested {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		allowed, known := imports[pkg]
		if !known {
			t.Errorf("%s: package %s is not in the import table", path, pkg)
			return nil
		}
		seen[pkg] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			ours, ok := strings.CutPrefix(target, module+"/")
			if !ok {
				if target == module {
					t.Errorf("%s imports the module root", path)
				}
				continue
			}
			if !slices.Contains(allowed, "*") && !slices.Contains(allowed, ours) {
				t.Errorf("%s: %s may not import %s", path, pkg, ours)
			}
			if slices.Contains(testOnly, ours) && !slices.Contains(testOnly, pkg) {
				t.Errorf("%s: %s is for tests and may not be imported by %s", path, ours, pkg)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 10 {
		t.Fatalf("only %d packages were found: the walk does not see the module", len(seen))
	}
}

// TestNestedModule holds the nested module to what excuses it from the import table: it is a module of its own, and
// it neither requires the product's module nor imports a package of it.
func TestNestedModule(t *testing.T) {
	files := 0
	err := filepath.WalkDir(nested, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			if (target == module || strings.HasPrefix(target, module+"/")) && !strings.HasPrefix(target, module+"/"+nested+"/") {
				t.Errorf("%s imports %s", path, target)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Error("the nested module has no source file")
	}
	goMod, err := os.ReadFile(filepath.Join(nested, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(goMod), "module "+module+"/"+nested+"\n") || strings.Contains(string(goMod), "replace") {
		t.Errorf("%s/go.mod names another module or replaces one", nested)
	}
}
