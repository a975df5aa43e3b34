package aws

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/kms"
)

// Constraint is what AWS's service models say of a value. Lengths of text are in characters, of blobs in bytes, of lists in
// members; of numbers it is the value.
type Constraint struct {
	Least, Most int // Most 0: any number
	Pattern     *Pattern
	Words       []string // nil: any
	Secret      bool     // the value is not shown
}

// Pattern is a regular expression of a service model, which a whole value has to match.
type Pattern struct {
	model   string
	matches *regexp.Regexp
}

// NewPattern panics on what is no regular expression.
func NewPattern(model string) *Pattern {
	return &Pattern{model, regexp.MustCompile(`\A(?:` + codePoint.ReplaceAllString(model, `\x{$1}`) + `)\z`)}
}

// codePoint is how the models, unlike package regexp, write a code point.
var codePoint = regexp.MustCompile(`\\u([0-9A-F]{4,6})`)

// maxFindings is how many findings are told: nobody needs to have signed the request that they are made of.
const maxFindings = 20

// Findings collects in what a request breaks its constraints, in AWS's words: the first twenty. Members are named as in
// "tags.1.member.tagKey".
type Findings []string

// Full reports whether nothing more is collected.
func (f Findings) Full() bool { return len(f) == maxFindings }

// Err returns all findings in one error, nil when there are none.
func (f Findings) Err() error {
	if len(f) == 0 {
		return nil
	}
	plural := "s"
	if len(f) == 1 {
		plural = ""
	}
	return kms.Errorf(kms.CodeValidation, "%d validation error%s detected: %s", len(f), plural, strings.Join(f, "; "))
}

// Add notes what a member must and does not. value is as the message shows it, after a space, or "".
func (f *Findings) Add(value, member, must string) {
	if !f.Full() {
		*f = append(*f, "Value"+value+" at '"+member+"' failed to satisfy constraint: Member must "+must)
	}
}

// Missing notes that a member was not given.
func (f *Findings) Missing(member string) { f.Add(" null", member, "not be null") }

// Text checks a text.
func (f *Findings) Text(member, s string, c *Constraint) {
	n := utf8.RuneCountInString(s)
	if c.holds(s, n) {
		return
	}
	value := c.shown(s)
	if c.Words != nil {
		f.Add(value, member, c.words())
		return
	}
	f.bounds(value, member, "length", n, c)
	if c.Pattern != nil && !c.Pattern.matches.MatchString(s) {
		f.Add(value, member, c.pattern())
	}
}

// Length checks the length of a blob or list and reports whether it is right.
func (f *Findings) Length(member string, n int, c *Constraint) bool {
	f.bounds("", member, "length", n, c)
	return c.within(n)
}

// Number checks a number.
func (f *Findings) Number(member string, n int, c *Constraint) {
	f.bounds(c.shown(strconv.Itoa(n)), member, "value", n, c)
}

// Each checks a text of a list for services that name the list alone, and reports whether it is right.
func (f *Findings) Each(list, s string, c *Constraint) bool {
	if c.holds(s, utf8.RuneCountInString(s)) {
		return true
	}
	must := []string{c.most("length"), c.least("length")}
	switch {
	case c.Words != nil:
		must = []string{c.words()}
	case c.Pattern != nil:
		must = append(must, c.pattern())
	}
	f.Add(c.shown("["+s+"]"), list, "satisfy constraint: [Member must "+strings.Join(must, ", Member must ")+"]")
	return false
}

func (f *Findings) bounds(value, member, of string, n int, c *Constraint) {
	switch {
	case n < c.Least:
		f.Add(value, member, c.least(of))
	case !c.within(n):
		f.Add(value, member, c.most(of))
	}
}

func (c *Constraint) within(n int) bool { return n >= c.Least && (c.Most == 0 || n <= c.Most) }

// holds reports whether a text of n characters keeps the constraint.
func (c *Constraint) holds(s string, n int) bool {
	return c.within(n) && (c.Words == nil || slices.Contains(c.Words, s)) && (c.Pattern == nil || c.Pattern.matches.MatchString(s))
}

// What a member must, of its length or value.

func (c *Constraint) least(of string) string {
	return fmt.Sprintf("have %s greater than or equal to %d", of, c.Least)
}
func (c *Constraint) most(of string) string {
	return fmt.Sprintf("have %s less than or equal to %d", of, c.Most)
}
func (c *Constraint) words() string {
	return "satisfy enum value set: [" + strings.Join(c.Words, ", ") + "]"
}
func (c *Constraint) pattern() string {
	return "satisfy regular expression pattern: " + c.Pattern.model
}

// shown is a value for a message.
func (c *Constraint) shown(s string) string {
	if c.Secret {
		return ""
	}
	return " '" + kms.Printable(s) + "'"
}
