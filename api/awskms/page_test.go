package awskms

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// shapeNames are AWS's names of the structures inside of requests and answers.
var shapeNames = map[string]reflect.Type{
	"RecipientInfo": reflect.TypeFor[recipient](), "Tag": reflect.TypeFor[tag](),
	"TagFilter": reflect.TypeFor[tagFilter](), "ResourceTagMapping": reflect.TypeFor[resourceTags](), "GetResources.Tag": reflect.TypeFor[resourceTag](),
	"GrantConstraints": reflect.TypeFor[grantConstraints](),
	"GrantListEntry":   reflect.TypeFor[grantEntry](), "AliasListEntry": reflect.TypeFor[aliasEntry](), "KeyListEntry": reflect.TypeFor[keyEntry](),
	"KeyMetadata": reflect.TypeFor[keyMetadata](), "MultiRegionConfiguration": reflect.TypeFor[multiRegion](), "MultiRegionKey": reflect.TypeFor[regionalKey](),
	"XksKeyConfigurationType": reflect.TypeFor[xksKey](), "CustomKeyStoresListEntry": reflect.TypeFor[storeEntry](), "XksProxyConfigurationType": reflect.TypeFor[xksConfiguration](),
	"XksProxyAuthenticationCredentialType": reflect.TypeFor[xksCredential](), "KeyLastUsageData": reflect.TypeFor[lastUsage](), "RotationsListEntry": reflect.TypeFor[rotationEntry](),
}

// inside finds the structures that a shape's members are, or are lists of.
func inside(t reflect.Type, found map[reflect.Type]bool) {
	for i := range t.NumField() {
		of := t.Field(i).Type
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice && of.Elem().Kind() != reflect.Uint8 {
			of = of.Elem()
		}
		if of == reflect.TypeFor[tagMember]() {
			of = reflect.TypeFor[tag]() // of the same members
		}
		if of.Kind() == reflect.Struct && !found[of] {
			found[of] = true
			inside(of, found)
		}
	}
}

// cell is a shape as the page shows it.
func cell(t reflect.Type) string {
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if strings.Contains(t.Field(i).Tag.Get("aws"), ",required") {
			name += "*"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// TestPageOfCompatibility holds docs/aws-compatibility.md to the shapes: every operation and every structure has one row
// that names all of its members, and there are no others.
func TestPageOfCompatibility(t *testing.T) {
	page, err := os.ReadFile("../../docs/aws-compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	_, tables, _ := strings.Cut(string(page), "\n## Operations\n")
	for line := range strings.Lines(tables) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "| `"), "` | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		if rows[name] != "" {
			t.Errorf("%s has two rows", name)
		}
		rows[name] = rest
	}
	want := func(name string, cells ...string) {
		row := rows[name]
		delete(rows, name)
		start := strings.Join(cells, " | ") + " | "
		if differs, ok := strings.CutPrefix(row, start); !ok || strings.Trim(differs, " |\n") == "" {
			t.Errorf("the row must be\n| `%s` | %s(what differs) |", name, start)
		}
	}
	found := map[reflect.Type]bool{}
	for _, a := range actions() {
		want(a.operation.Name, cell(a.input), cell(a.output))
		inside(a.input, found)
		inside(a.output, found)
	}
	for name, shape := range shapeNames {
		if !found[shape] {
			t.Errorf("%s is in no request or answer", name)
		}
		delete(found, shape)
		want(name, cell(shape))
	}
	for shape := range found {
		t.Errorf("%v has no name of AWS's", shape)
	}
	for name := range rows {
		t.Errorf("there is no operation or structure %s", name)
	}
	for _, kind := range slices.Collect(func(yield func(string) bool) {
		for _, x := range exceptions {
			if !yield(x.name) {
				return
			}
		}
		for _, name := range tagging.names {
			if !yield(name) {
				return
			}
		}
		for _, name := range failures {
			if !yield(name) {
				return
			}
		}
	}) {
		if !strings.Contains(string(page), kind) {
			t.Errorf("the page does not name %s", kind)
		}
	}
}
