package policy

import (
	"fmt"
	"slices"
)

// Kind says where a document is used, and so which elements it must and may have.
type Kind uint8

// The kinds of documents.
const (
	KeyPolicy      Kind = iota + 1 // of a KMS key: needs Principal or NotPrincipal, and Resource or NotResource
	TrustPolicy                    // of a role: needs Principal; has no Resource
	IdentityPolicy                 // of a user, group or role, managed, boundary or session policy: no Principal; needs Resource or NotResource
)

func (k Kind) String() string {
	switch k {
	case KeyPolicy:
		return "key policy"
	case TrustPolicy:
		return "trust policy"
	case IdentityPolicy:
		return "identity policy"
	}
	return "unknown policy"
}

// article returns the name of the kind as it stands after "of".
func (k Kind) article() string {
	if k == IdentityPolicy {
		return "an " + k.String()
	}
	return "a " + k.String()
}

// SyntaxError says where a document is wrong. Line and Column count from 1; Column counts
// characters. Message is a sentence that the author of the document can act on.
type SyntaxError struct {
	Line, Column int
	Message      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Document is a compiled policy. It is immutable and safe for concurrent use. The zero Document is
// not one that Parse returned: an evaluation it takes part in denies.
type Document struct {
	kind       Kind
	text       string
	variables  bool // its version has policy variables
	statements []statement
	denies     bool // one of the statements has the effect Deny
}

// Statement describes a statement for explanations.
type Statement struct {
	Index int // from 0, in the order of the document
	Sid   string
	Deny  bool
}

// Kind returns the kind the document was parsed as.
func (d *Document) Kind() Kind { return d.kind }

// Text returns the document as it was given to Parse.
func (d *Document) Text() string { return d.text }

// Statements describes the statements in the order of the document.
func (d *Document) Statements() []Statement {
	out := make([]Statement, len(d.statements))
	for i := range d.statements {
		out[i] = Statement{Index: i, Sid: d.statements[i].sid, Deny: d.statements[i].deny}
	}
	return out
}

// Principals returns what the Allow statements name under AWS: ARNs, account ids as written, and
// "*"; sorted, each once.
func (d *Document) Principals() []string {
	var out []string
	for i := range d.statements {
		if s := &d.statements[i]; !s.deny {
			for _, p := range s.principals {
				if p.kind != principalService && p.kind != principalFederated {
					out = append(out, p.text)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// statement is one compiled statement.
type statement struct {
	sid  string
	deny bool

	principals   []principal // empty for identity policies
	notPrincipal bool

	actions   []pattern // lower case
	notAction bool

	resources   []pattern // empty for trust policies, which match every resource
	notResource bool

	conditions []condition
}
