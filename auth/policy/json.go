package policy

import (
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of a document.
const (
	maxText   = 64 << 10
	maxDepth  = 8
	maxValues = 1000

	// maxWildcards bounds the work of comparing: its worst case is their number times the length of
	// what they are compared with.
	maxWildcards = 1000
)

// node is a JSON value and where it begins.
type node struct {
	kind    byte // as jsontext.Kind: { [ " 0 t f n
	offset  int
	text    string // of a string, its value; of a number or boolean, as written
	members []member
	items   []node
}

// member is a name of an object and its value.
type member struct {
	name   string
	offset int // of the name
	value  node
}

// list returns the items of an array, or n itself.
func (n *node) list() []node {
	if n.kind == '[' {
		return n.items
	}
	return []node{*n}
}

// position turns an offset into a line and a column, both from 1.
func position(text string, offset int) (line, column int) {
	offset = min(offset, len(text))
	before := text[:offset]
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
}

// fault is a complaint about the document at an offset. It becomes a SyntaxError.
type fault struct {
	offset  int
	message string
}

// decoder reads a document into nodes within the bounds. It panics with a fault, which Parse
// recovers.
type decoder struct {
	text   string
	json   *jsontext.Decoder
	values int
}

func decode(text string) node {
	if len(text) > maxText {
		panic(fault{maxText, "A policy document can have at most 65536 bytes."})
	}
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				panic(fault{i, "The document is not valid UTF-8."})
			}
		}
	}
	d := decoder{text: text, json: jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true))}
	root := d.value(1)
	if rest := strings.TrimLeft(text[d.json.InputOffset():], " \t\r\n"); rest != "" {
		panic(fault{len(text) - len(rest), "The document ends before this: remove what follows."})
	}
	return root
}

// start returns where the next token begins.
func (d *decoder) start() int {
	at := int(d.json.InputOffset())
	for at < len(d.text) && strings.IndexByte(" \t\r\n,:", d.text[at]) >= 0 {
		at++
	}
	return at
}

// next reads a token and returns where it begins.
func (d *decoder) next() (jsontext.Token, int) {
	start := d.start()
	token, err := d.json.ReadToken()
	if err == nil {
		return token, start
	}
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		panic(fault{len(d.text), "The document ends too early: a value, a quote or a closing bracket is missing."})
	case errors.As(err, &syntax):
		panic(fault{int(syntax.ByteOffset), "The document is not valid JSON: " + syntax.Err.Error() + "."})
	}
	panic(fault{start, "The document is not valid JSON."})
}

func (d *decoder) value(depth int) node {
	token, start := d.next()
	if d.values++; d.values > maxValues {
		panic(fault{start, "A policy document can have at most 1000 values."})
	}
	n := node{kind: byte(token.Kind()), offset: start}
	switch n.kind {
	case '{', '[':
		if depth > maxDepth {
			panic(fault{start, "A policy document can be nested at most 8 levels deep."})
		}
		if n.kind == '{' {
			n.members = d.members(depth)
		} else {
			n.items = d.items(depth)
		}
	default:
		n.text = token.String()
	}
	return n
}

func (d *decoder) items(depth int) []node {
	items := []node{}
	for d.json.PeekKind() != ']' {
		items = append(items, d.value(depth+1))
	}
	d.next()
	return items
}

func (d *decoder) members(depth int) []member {
	members := []member{}
	for d.json.PeekKind() != '}' {
		token, start := d.next()
		name := token.String()
		for i := range members {
			if members[i].name == name {
				panic(fault{start, "The name " + quote(name) + " is in this object twice: join the two."})
			}
		}
		members = append(members, member{name: name, offset: start, value: d.value(depth + 1)})
	}
	d.next()
	return members
}
