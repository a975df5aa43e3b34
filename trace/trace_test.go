package trace

import (
	"context"
	"strings"
	"testing"
)

const (
	someTrace, someParent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	right                 = "00-" + someTrace + "-" + someParent + "-01"
)

func TestParse(t *testing.T) {
	zeroes := strings.Repeat("0", 32)
	for _, row := range []struct {
		what, in string
		ok       bool
	}{
		{"as the standard has it", right, true},
		{"not sampled", "00-" + someTrace + "-" + someParent + "-00", true},
		{"flags that are not known", "00-" + someTrace + "-" + someParent + "-ff", true},
		{"a later version", "cc" + right[2:], true},
		{"a later version with more", "cc" + right[2:] + "-what the future will be like", true},
		{"a later version with a bare hyphen", "01" + right[2:] + "-", true},
		{"a later version with more that has no hyphen", "cc" + right[2:] + ".what", false},
		{"version 00 with more", right + "-01", false},
		{"version ff", "ff" + right[2:], false},
		{"nothing", "", false},
		{"no version", right[3:], false},
		{"cut", right[:54], false},
		{"a blank before", " " + right, false},
		{"a blank behind", right + " ", false},
		{"capitals in the trace", "00-" + strings.ToUpper(someTrace) + "-" + someParent + "-01", false},
		{"capitals in the parent", "00-" + someTrace + "-" + strings.ToUpper(someParent) + "-01", false},
		{"capitals in the flags", right[:53] + "0A", false},
		{"capitals in the version", "0A" + right[2:], false},
		{"no digit", "00-" + someTrace[:31] + "g-" + someParent + "-01", false},
		{"a trace of zeroes", "00-" + zeroes + "-" + someParent + "-01", false},
		{"a parent of zeroes", "00-" + someTrace + "-" + zeroes[:16] + "-01", false},
		{"dots", strings.ReplaceAll(right, "-", "."), false},
		{"underscores between version and trace", strings.Replace(right, "-", "_", 1), false},
		{"more than one", right + "," + right, false},
	} {
		id, ok := Parse(row.in)
		if ok != row.ok || !ok && id != (ID{}) {
			t.Errorf("%s: %v, %+v", row.what, ok, id)
		}
		if ok && (id.String() != someTrace || id.Parent != [8]byte{0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}) {
			t.Errorf("%s: %+v", row.what, id)
		}
	}
	if id, _ := Parse(right); id.Flags != 1 {
		t.Errorf("flags %x", id.Flags)
	}
	if s := (ID{}).String(); s != "" {
		t.Errorf("no trace is %q", s)
	}
}

// What is taken is what was said, and nothing else begins with it.
func FuzzParse(f *testing.F) {
	f.Add(right)
	f.Add("cc" + right[2:] + "-more")
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := Parse(s)
		if !ok {
			if id != (ID{}) {
				t.Fatalf("%q is refused with %+v", s, id)
			}
			return
		}
		if s[3:35] != id.String() || s[:2] == "ff" || len(s) > 55 && (s[:2] == "00" || s[55] != '-') || id.Trace == [16]byte{} || id.Parent == [8]byte{} {
			t.Fatalf("%q is taken as %+v", s, id)
		}
	})
}

func TestContext(t *testing.T) {
	type other struct{}
	outer := context.WithValue(t.Context(), other{}, 7)
	if r := From(outer); r != (Request{}) {
		t.Errorf("%+v", r)
	}
	id, _ := Parse(right)
	ctx, cancel := context.WithCancel(With(outer, Request{ID: "r", Trace: id}))
	if r := From(ctx); r.ID != "r" || r.Trace != id || ctx.Value(other{}) != 7 {
		t.Errorf("%+v", r)
	}
	cancel()
	if ctx.Err() == nil {
		t.Error("the context goes on")
	}
}

func TestNoTraceAllocatesNothing(t *testing.T) {
	ctx, holder := t.Context(), &Context{}
	if n := testing.AllocsPerRun(100, func() {
		*holder = Context{ctx, Request{ID: "r", Trace: From(ctx).Trace}}
		if From(holder).ID != "r" || From(holder).Trace.String() != "" {
			t.Fatal("another request")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
