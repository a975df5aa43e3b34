package policy

import (
	"strings"
	"unicode/utf8"
)

// answer is what a comparison with a policy's value yields.
type answer uint8

const (
	no answer = iota
	yes
	unresolved // a policy variable of the value has no single value in this request
)

type elementKind uint8

const (
	literal  elementKind = iota // text
	variable                    // the value of a condition key, compared as literal text
	star                        // any characters
	question                    // one character
	starSegment
	questionSegment // star and question that do not match a colon: those before the last part of an ARN
)

type element struct {
	kind      elementKind
	text      string // of literal; of variable, its default
	name, sub string // of variable
	fallback  bool   // of variable: text is the default
	slot      int    // of variable: its number in the pattern
}

// maxVariables bounds the policy variables of one value, so that their values fit on the stack.
const maxVariables = 16

// pattern is a compiled value of a policy: literal text, wildcards and policy variables.
// Two literals are never neighbours.
type pattern struct {
	elements  []element
	variables int
	fold      bool // compare without case; such a pattern has no wildcards, or is an action, in lower case
}

// wildcards returns how many p has.
func (p *pattern) wildcards() int {
	n := 0
	for i := range p.elements {
		if k := p.elements[i].kind; k != literal && k != variable {
			n++
		}
	}
	return n
}

// match compares text with p. Only wildcards the policy wrote are wildcards: the value of a
// variable is literal, whatever it holds.
func (p *pattern) match(text string, ctx Context) answer {
	if p.variables == 0 {
		if len(p.elements) == 1 {
			switch e := &p.elements[0]; e.kind {
			case star:
				return yes
			case literal:
				return is(e.text == text || p.fold && strings.EqualFold(e.text, text))
			}
		}
		return is(p.glob(text, nil))
	}
	var values [maxVariables]string
	for i := range p.elements {
		e := &p.elements[i]
		if e.kind != variable {
			continue
		}
		value, ok := resolve(e, ctx)
		if !ok {
			return unresolved
		}
		values[e.slot] = value
	}
	return is(p.glob(text, &values))
}

func is(ok bool) answer {
	if ok {
		return yes
	}
	return no
}

// resolve finds the value of a variable. A key with several values has none that could be put in.
func resolve(e *element, ctx Context) (string, bool) {
	if ctx != nil {
		if v, ok := ctx.Lookup(e.name, e.sub); ok && v.Len() > 0 {
			return v.At(0), v.Len() == 1
		}
	}
	return e.text, e.fallback
}

// glob matches text with backtracking to the last star only. That is enough: what stands before a
// star matches as early as it can, and a later star takes up whatever an earlier one leaves. It
// holds for stars that stop at a colon too, since they come before those that do not and every
// match of what is between two of them crosses the same number of colons.
func (p *pattern) glob(text string, values *[maxVariables]string) bool {
	pos, at := 0, 0
	resume, from := -1, 0 // the element after the last star, and where the text after the star's share begins
	for pos < len(text) || at < len(p.elements) {
		if at < len(p.elements) {
			e := &p.elements[at]
			if e.kind == star || e.kind == starSegment {
				at++
				resume, from = at, pos
				continue
			}
			if n := p.step(e, text[pos:], values); n >= 0 {
				pos += n
				at++
				continue
			}
		}
		if resume < 0 || from >= len(text) || p.elements[resume-1].kind == starSegment && text[from] == ':' {
			return false
		}
		_, size := utf8.DecodeRuneInString(text[from:])
		from += size
		pos, at = from, resume
	}
	return true
}

// step returns how many bytes of text the element takes, or -1.
func (p *pattern) step(e *element, text string, values *[maxVariables]string) int {
	want := e.text
	switch e.kind {
	case question, questionSegment:
		if text == "" || e.kind == questionSegment && text[0] == ':' {
			return -1
		}
		_, size := utf8.DecodeRuneInString(text)
		return size
	case variable:
		want = values[e.slot]
	}
	if p.fold {
		return foldPrefix(text, want)
	}
	if strings.HasPrefix(text, want) {
		return len(want)
	}
	return -1
}

// foldPrefix returns the length of the prefix of text that equals want without case, or -1. The two
// may differ in length, since some characters have cases that do.
func foldPrefix(text, want string) int {
	if len(text) >= len(want) && strings.EqualFold(text[:len(want)], want) {
		return len(want)
	}
	pos := 0
	for want != "" {
		if pos == len(text) {
			return -1
		}
		_, m := utf8.DecodeRuneInString(want)
		_, n := utf8.DecodeRuneInString(text[pos:])
		if !strings.EqualFold(want[:m], text[pos:pos+n]) {
			return -1
		}
		want = want[m:]
		pos += n
	}
	return pos
}

// matchAny compares text with each of patterns: yes if one matches, else unresolved if one is.
func matchAny(patterns []pattern, text string, ctx Context) answer {
	result := no
	for i := range patterns {
		switch patterns[i].match(text, ctx) {
		case yes:
			return yes
		case unresolved:
			result = unresolved
		}
	}
	return result
}

// syntax says what is special in a value.
type syntax struct {
	wildcards bool // * and ?
	variables bool // ${...}; documents of version 2012-10-17 only
	arn       bool // wildcards stop at the colons of the first five parts
	fold      bool

	lateVariables bool // variables only after the fifth colon, as in a resource
}

// compilePattern compiles a value. A complaint is about one of its policy variables.
func compilePattern(value string, s syntax) (p pattern, complaint string) {
	p.fold = s.fold
	colons := 0
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			p.elements = append(p.elements, element{kind: literal, text: text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(value); {
		c := value[i]
		switch {
		case s.variables && strings.HasPrefix(value[i:], "${"):
			e, size, complaint := parseVariable(value[i:])
			if complaint != "" {
				return p, complaint
			}
			if s.lateVariables && colons < 5 {
				return p, "A policy variable in a resource stands after the fifth colon of the ARN."
			}
			i += size
			if e.kind == literal {
				text.WriteString(e.text)
				continue
			}
			if p.variables == maxVariables {
				return p, "A value can have at most 16 policy variables."
			}
			flush()
			e.slot = p.variables
			p.variables++
			p.elements = append(p.elements, e)
			continue
		case s.wildcards && (c == '*' || c == '?'):
			flush()
			segment := s.arn && colons < 5 && (c == '?' || i < len(value)-1)
			p.elements = append(p.elements, element{kind: wildcard(c, segment)})
		default:
			if c == ':' {
				colons++
			}
			text.WriteByte(c)
		}
		i++
	}
	flush()
	return p, ""
}

func wildcard(c byte, segment bool) elementKind {
	switch {
	case c == '*' && segment:
		return starSegment
	case c == '*':
		return star
	case segment:
		return questionSegment
	}
	return question
}

// parseVariable reads ${key}, ${key, 'default'}, ${*}, ${?} or ${$} at the beginning of text and
// returns how long it is.
func parseVariable(text string) (element, int, string) {
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return element{}, 0, "A policy variable that begins with \"${\" needs a closing \"}\"."
	}
	inner := text[2:end]
	switch inner {
	case "*", "?", "$":
		return element{kind: literal, text: inner}, end + 1, ""
	}
	name, fallback, has := strings.Cut(inner, ",")
	e := element{kind: variable, fallback: has}
	if has {
		quoted := strings.TrimSpace(fallback)
		// The default may hold a brace, so its end is the quote and not the first brace.
		open := strings.IndexByte(text, '\'')
		if !strings.HasPrefix(quoted, "'") || open < 0 {
			return e, 0, "The default of a policy variable is written in single quotes, as in ${aws:username, 'nobody'}."
		}
		rest := text[open+1:]
		stop := strings.IndexByte(rest, '\'')
		if stop < 0 || !strings.HasPrefix(rest[stop+1:], "}") {
			return e, 0, "The default of a policy variable ends with a single quote before the closing \"}\"."
		}
		e.text = rest[:stop]
		end = open + 1 + stop + 1
	}
	name = strings.TrimSpace(name)
	if name == "" || strings.ContainsAny(name, "${*?'\" \t\n\r") {
		return e, 0, "A policy variable names a condition key, as in ${aws:username}."
	}
	e.name, e.sub = splitKey(name)
	return e, end + 1, ""
}

// families are the condition keys whose last part is a name of the author's choice.
var families = [...]string{"aws:principaltag/", "aws:resourcetag/", "aws:requesttag/", "kms:encryptioncontext:"}

// splitKey returns the name a Context is asked for and the part after the '/' or ':' of a family.
func splitKey(key string) (name, sub string) {
	for _, family := range families {
		if n := len(family); len(key) > n && strings.EqualFold(key[:n], family) {
			return family[:n-1], key[n:]
		}
	}
	return strings.ToLower(key), ""
}
