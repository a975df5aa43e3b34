package aws

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lockstep-kms/lockstep/kms"
)

func TestFindings(t *testing.T) {
	const is, length = " failed to satisfy constraint: ", "Member must have length "
	name := &Constraint{Least: 2, Most: 3, Pattern: NewPattern(`[a-zé]+`)}
	hidden := &Constraint{Least: 2, Most: 3, Pattern: NewPattern(`[a-z]+`), Secret: true}
	word := &Constraint{Words: []string{"One", "Two"}}
	for _, tt := range []struct {
		check func(f *Findings)
		want  string // "" for none; findings are separated by "; "
	}{
		{func(f *Findings) { f.Text("m", "aé", name); f.Text("m", "ééé", name) }, ""},
		{func(f *Findings) { f.Text("m", "a", name) }, "Value 'a' at 'm'" + is + length + "greater than or equal to 2"},
		{func(f *Findings) { f.Text("m", "aaaa", name) }, "Value 'aaaa' at 'm'" + is + length + "less than or equal to 3"},
		{func(f *Findings) { f.Text("m", "A\n", name) }, "Value 'A?' at 'm'" + is + "Member must satisfy regular expression pattern: [a-zé]+"},
		{func(f *Findings) { f.Text("m", "aa\n", name) }, "Value 'aa?' at 'm'" + is + "Member must satisfy regular expression pattern: [a-zé]+"},
		{func(f *Findings) { f.Text("m", "?", hidden) }, "Value at 'm'" + is + length + "greater than or equal to 2; Value at 'm'" + is + "Member must satisfy regular expression pattern: [a-z]+"},
		{func(f *Findings) { f.Text("m", strings.Repeat("a", 300), name) }, "Value '" + strings.Repeat("a", 256) + "...' at 'm'" + is + length + "less than or equal to 3"},
		{func(f *Findings) { f.Text("m", "Two", word) }, ""},
		{func(f *Findings) { f.Text("m", "two", word) }, "Value 'two' at 'm'" + is + "Member must satisfy enum value set: [One, Two]"},
		{func(f *Findings) { f.Text("m", strings.Repeat("a", 300), &Constraint{}) }, ""},
		{func(f *Findings) { f.Number("m", 3, name) }, ""},
		{func(f *Findings) { f.Number("m", 1, name) }, "Value '1' at 'm'" + is + "Member must have value greater than or equal to 2"},
		{func(f *Findings) { f.Number("m", 4, hidden) }, "Value at 'm'" + is + "Member must have value less than or equal to 3"},
		{func(f *Findings) { f.Length("m", 2, name) }, ""},
		{func(f *Findings) { f.Length("m", 4, name) }, "Value at 'm'" + is + length + "less than or equal to 3"},
		{func(f *Findings) { f.Each("m", "aa", name) }, ""},
		{func(f *Findings) { f.Each("m", "a", name) }, "Value '[a]' at 'm'" + is + "Member must satisfy constraint: [" + length + "less than or equal to 3, " + length + "greater than or equal to 2, Member must satisfy regular expression pattern: [a-zé]+]"},
		{func(f *Findings) { f.Each("m", "x", word) }, "Value '[x]' at 'm'" + is + "Member must satisfy constraint: [Member must satisfy enum value set: [One, Two]]"},
		{func(f *Findings) { f.Missing("m") }, "Value null at 'm'" + is + "Member must not be null"},
	} {
		var f Findings
		tt.check(&f)
		err := f.Err()
		if tt.want == "" {
			if err != nil {
				t.Errorf("found %v", err)
			}
			continue
		}
		want := fmt.Sprintf("%s: %d validation error detected: ", kms.CodeValidation, len(f))
		if len(f) > 1 {
			want = strings.Replace(want, "error", "errors", 1)
		}
		if err == nil || err.Error() != want+tt.want || len(f) != strings.Count(tt.want, is) {
			t.Errorf("%v\nwant %s", err, want+tt.want)
		}
	}
}

func TestFindingsAreBounded(t *testing.T) {
	var f Findings
	for i := range 2 * maxFindings {
		if f.Full() != (i >= maxFindings) {
			t.Errorf("after %d findings full is %v", i, f.Full())
		}
		f.Missing("m")
	}
	if !strings.Contains(f.Err().Error(), "20 validation errors detected") {
		t.Error(f.Err())
	}
}

// The models write code points as Java does, those beyond the basic plane with five digits or six.
func TestPatterns(t *testing.T) {
	p := NewPattern(`[\u0009\u0020-\u007E\uE000-\uFFFD\u10000-\u10FFFF]+`)
	for s, want := range map[string]bool{"a\tz": true, "\U0001F600\U0010FFFF": true, "\uE000": true, "": false, "\n": false, "a\n": false, "\u00e9": false} {
		if got := p.matches.MatchString(s); got != want {
			t.Errorf("%q matches: %v", s, got)
		}
	}
}
