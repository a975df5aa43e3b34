package fsm

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// imported is what the state machine and its trees may import. None of it knows the time, the
// machine or chance; what is not here is an error, so nothing that does can come in unseen.
var imported = []string{
	"bytes", "cmp", "container/heap", "context", "crypto/sha256", "encoding/binary", "encoding/hex", "errors",
	"fmt", "io", "log/slog", "math", "math/bits", "slices", "strconv", "sync", "sync/atomic",
	"github.com/hashicorp/raft", "github.com/tidwall/btree", "github.com/lockstep-kms/lockstep/storage",
}

// waiting is the files of which nothing is called by apply but to wake who waits: only they may
// select, and none may start a goroutine.
var waiting = []string{"feed.go", "wait.go"}

// storageTree is all of storage that the state machine may use: other files there do know the machine.
var storageTree = []string{"Tree", "NewTree", "NewTreeFunc", "Get", "Set", "Load", "Delete", "Len", "Min", "Ascend", "All", "Snapshot"}

// lint returns what in the file could make two nodes differ.
func lint(fset *token.FileSet, file *ast.File, info *types.Info) (found []string) {
	name := filepath.Base(fset.Position(file.Pos()).Filename)
	report := func(at ast.Node, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s", fset.Position(at.Pos()), fmt.Sprintf(format, args...)))
	}
	for _, spec := range file.Imports {
		if path := strings.Trim(spec.Path.Value, `"`); !slices.Contains(imported, path) {
			report(spec, "imports %s", path)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.RangeStmt:
			t := info.TypeOf(n.X)
			if t == nil {
				report(n, "ranges over something of unknown type")
			} else if _, ok := t.Underlying().(*types.Map); ok {
				report(n, "ranges over a map")
			}
		case *ast.GoStmt:
			report(n, "starts a goroutine")
		case *ast.SelectStmt:
			if !slices.Contains(waiting, name) {
				report(n, "selects")
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT || n.Kind == token.IMAG {
				report(n, "computes with fractions")
			}
		case *ast.SelectorExpr:
			used := info.Uses[n.Sel]
			if used != nil && used.Pkg() != nil && name != "tree.go" && strings.HasSuffix(used.Pkg().Path(), "/storage") &&
				!slices.Contains(storageTree, used.Name()) {
				report(n, "uses storage.%s", used.Name())
			}
			if used != nil && used.Pkg() != nil && used.Pkg().Path() == "sync" && used.Name() == "Map" {
				report(n, "uses sync.Map")
			}
		}
		return true
	})
	return found
}

// Apply may use nothing but the state and the command: see the package comment.
func TestDeterminism(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
	}, ".", "github.com/lockstep-kms/lockstep/storage")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, pkg := range pkgs {
		for _, err := range pkg.Errors {
			if pkg.Name == "fsm" || strings.Contains(err.Pos, "tree.go") {
				t.Fatal(err)
			}
		}
		for _, file := range pkg.Syntax {
			if pkg.Name == "storage" && filepath.Base(pkg.Fset.Position(file.Pos()).Filename) != "tree.go" {
				continue
			}
			files++
			for _, problem := range lint(pkg.Fset, file, pkg.TypesInfo) {
				t.Error(problem)
			}
		}
	}
	if files < 10 {
		t.Fatalf("only %d files were read", files)
	}
}

// The lint finds what it is there for.
func TestLintFinds(t *testing.T) {
	for _, test := range []struct{ source, want string }{
		{`import "time"; var x = time.Now()`, "imports time"},
		{`import "math/rand/v2"; var x = rand.Int()`, "imports math/rand/v2"},
		{`import "crypto/rand"; var x = rand.Reader`, "imports crypto/rand"},
		{`import "os"; var x = os.Getpid()`, "imports os"},
		{`import "maps"; var x = maps.Keys(map[int]int{})`, "imports maps"},
		{`func f(m map[string]int) { for range m { } }`, "ranges over a map"},
		{`type set map[string]bool; func f(m struct{ s set }) { for k := range m.s { _ = k } }`, "ranges over a map"},
		{`func f() { go f() }`, "starts a goroutine"},
		{`func f(c chan int) { select { case <-c: default: } }`, "selects"},
		{`var x = 0.5`, "computes with fractions"},
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "x.go", "package x\n"+test.source, 0)
		if err != nil {
			t.Fatal(err)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
		config := types.Config{Error: func(error) {}, FakeImportC: true, Importer: nil}
		_, _ = config.Check("x", fset, []*ast.File{file}, info)
		if found := lint(fset, file, info); len(found) != 1 || !strings.Contains(found[0], test.want) {
			t.Errorf("%s: found %q, want %s", test.source, found, test.want)
		}
	}
}
