package server

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server/replica"
)

// TestEveryReplicaErrorHasACode reads the replica's kinds from its source: each has a code outside,
// and only the unknown outcome is unknown.
func TestEveryReplicaErrorHasACode(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "replica/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != "Kind" {
			return true
		}
		text, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		kind := replica.Kind(text)
		found++
		got := kms.AsError(kmsError(&replica.Error{Kind: kind, Msg: "what happened"}))
		if _, ok := kinds[kind]; !ok || got.Code == kms.CodeInternal {
			t.Errorf("%s has no code outside", kind)
		}
		if unknown := got.Code == kms.CodeOutcomeUnknown; unknown != (kind == replica.KindOutcomeUnknown) {
			t.Errorf("%s becomes %s", kind, got.Code)
		}
		if got.Code.Class() == kms.ClassUnavailable && (got.Reason == "" || got.RetryAfter <= 0) {
			t.Errorf("%s says neither why nor when to retry: %+v", kind, got)
		}
		return true
	})
	if found != len(kinds) {
		t.Errorf("%d kinds in the source, %d in the table", found, len(kinds))
	}
	if got := kmsError(errors.New("inside")); kms.CodeOf(got) != kms.CodeInternal {
		t.Errorf("a foreign error becomes %v", got)
	}
	if kmsError(nil) != nil {
		t.Error("nil becomes an error")
	}
}
