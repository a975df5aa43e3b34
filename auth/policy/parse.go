package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Parse compiles a document. The language is that of reference_policies_grammar.html in the IAM
// User Guide, and for a KeyPolicy that of key-policy-overview.html in the KMS Developer Guide. The
// error is a *SyntaxError. What Parse accepts is within the bounds of DESIGN.md.
func Parse(kind Kind, text string) (doc *Document, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fault:
			line, column := position(text, r.offset)
			doc, err = nil, &SyntaxError{Line: line, Column: column, Message: r.message}
		default:
			panic(r)
		}
	}()
	c := compiler{kind: kind}
	if kind < KeyPolicy || kind > IdentityPolicy {
		c.fail(0, "The kind of this policy is not known.")
	}
	if kind == KeyPolicy {
		c.characters(text)
	}
	root := decode(text)
	doc = &Document{kind: kind, text: text, statements: c.document(&root)}
	doc.variables = c.variables
	doc.denies = slices.ContainsFunc(doc.statements, func(s statement) bool { return s.deny })
	return doc, nil
}

// compiler turns nodes into statements. It panics with a fault, which Parse recovers.
type compiler struct {
	kind      Kind
	variables bool            // the document's version has policy variables
	sids      map[string]bool // those seen so far
	wildcards int             // those seen so far
}

func (c *compiler) fail(offset int, message string) { panic(fault{offset, message}) }

// quote writes a piece of the document for a message, cut to a bounded length.
func quote(text string) string {
	const most = 64
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strconv.Quote(text)
}

// characters refuses what KMS does not take in a key policy (PutKeyPolicy, parameter Policy).
func (c *compiler) characters(text string) {
	if len(text) > maxText {
		return // decode complains
	}
	for i, r := range text {
		if r > 0xFF || r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			c.fail(i, "A key policy can hold tab, line feed, carriage return and the characters U+0020 to U+00FF only.")
		}
	}
}

func (c *compiler) document(root *node) []statement {
	if root.kind != '{' {
		c.fail(root.offset, "A policy document is a JSON object with the elements Version and Statement.")
	}
	for i := range root.members {
		switch m := &root.members[i]; m.name {
		case "Version":
			switch v := c.text(m); v {
			case "2012-10-17":
				c.variables = true
			case "2008-10-17":
			default:
				c.fail(m.value.offset, quote(v)+" is not a version of the policy language: use \"2012-10-17\".")
			}
		case "Id":
			if c.text(m); c.kind == IdentityPolicy {
				c.fail(m.offset, "An identity policy has no Id: only resource-based policies do.")
			}
		case "Statement":
		default:
			c.fail(m.offset, quote(m.name)+" is not an element of a policy document: the elements are Version, Id and Statement.")
		}
	}
	m := root.member("Statement")
	if m == nil {
		c.fail(root.offset, "The document has no Statement.")
	}
	if m.value.kind != '{' && (m.value.kind != '[' || len(m.value.items) == 0) {
		c.fail(m.value.offset, "Statement is an object or a list of at least one object.")
	}
	list := m.value.list()
	c.sids = make(map[string]bool, len(list))
	statements := make([]statement, len(list))
	for i := range list {
		statements[i] = c.statement(&list[i])
	}
	return statements
}

// member returns the member called name, or nil.
func (n *node) member(name string) *member {
	for i := range n.members {
		if n.members[i].name == name {
			return &n.members[i]
		}
	}
	return nil
}

// text returns the string that is m's value.
func (c *compiler) text(m *member) string {
	if m.value.kind != '"' {
		c.fail(m.value.offset, m.name+" is a string.")
	}
	return m.value.text
}

// texts returns the strings that are m's value, at least one: an empty list would make a statement
// of no action, or of every one.
func (c *compiler) texts(m *member) []node {
	list := m.value.list()
	if len(list) == 0 {
		c.fail(m.value.offset, m.name+" is an empty list: name at least one value or leave the element out.")
	}
	for i := range list {
		if list[i].kind != '"' {
			c.fail(list[i].offset, m.name+" is a string or a list of strings.")
		}
	}
	return list
}

// elements are those of a statement.
const elements = "Sid, Effect, Principal, NotPrincipal, Action, NotAction, Resource, NotResource and Condition"

func (c *compiler) statement(n *node) statement {
	if n.kind != '{' {
		c.fail(n.offset, "A statement is an object.")
	}
	var s statement
	for i := range n.members {
		switch m := &n.members[i]; m.name {
		case "Sid":
			s.sid = c.sid(m)
		case "Effect":
			s.deny = c.effect(m)
		case "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition":
		default:
			c.fail(m.offset, quote(m.name)+" is not an element of a statement: the elements are "+elements+".")
		}
	}
	if n.member("Effect") == nil {
		c.fail(n.offset, "The statement has no Effect: it is \"Allow\" or \"Deny\".")
	}
	c.principalElement(&s, n)
	if m, not := c.either(n, "Action", "NotAction"); m != nil {
		s.notAction = not
		for _, v := range c.texts(m) {
			s.actions = append(s.actions, c.action(&v))
		}
	}
	c.resourceElement(&s, n)
	if m := n.member("Condition"); m != nil {
		s.conditions = c.conditionElement(m)
	}
	return s
}

// either returns the one of two elements that a statement has, and whether it is the second.
func (c *compiler) either(n *node, is, isNot string) (*member, bool) {
	m, not := n.member(is), n.member(isNot)
	switch {
	case m != nil && not != nil:
		c.fail(max(m.offset, not.offset), "A statement has "+is+" or "+isNot+" but not both.")
	case m == nil && not == nil:
		c.fail(n.offset, "The statement has neither "+is+" nor "+isNot+".")
	case not != nil:
		return not, true
	}
	return m, false
}

// sid checks a statement id. Those of key policies may have any characters, those of IAM only
// letters and digits (reference_policies_elements_sid.html).
func (c *compiler) sid(m *member) string {
	sid := c.text(m)
	if c.kind != KeyPolicy && strings.ContainsFunc(sid, func(r rune) bool { return !isAlphanumeric(r) }) {
		c.fail(m.value.offset, "A Sid of "+c.kind.article()+" has letters and digits only.")
	}
	if sid != "" && c.sids[sid] {
		c.fail(m.value.offset, "The Sid "+quote(sid)+" is taken by an earlier statement: each has its own.")
	}
	c.sids[sid] = true
	return sid
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

func (c *compiler) effect(m *member) bool {
	switch c.text(m) {
	case "Allow":
		return false
	case "Deny":
		return true
	}
	c.fail(m.value.offset, "Effect is \"Allow\" or \"Deny\", in this spelling.")
	return false
}

// action compiles "*" or "service:Name" in lower case, with wildcards in the name.
func (c *compiler) action(v *node) pattern {
	service, name, ok := strings.Cut(v.text, ":")
	switch {
	case v.text == "*" && c.kind != TrustPolicy:
	case !ok:
		c.fail(v.offset, quote(v.text)+" is not an action: write a service and an operation, as in \"kms:Encrypt\".")
	case service == "" || strings.ContainsFunc(service, func(r rune) bool { return r != '-' && !isAlphanumeric(r) }):
		c.fail(v.offset, quote(v.text)+" is not an action: the service before the colon has letters, digits and hyphens and no wildcard.")
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r != '*' && r != '?' && !isAlphanumeric(r) }):
		c.fail(v.offset, quote(v.text)+" is not an action: after the colon come letters, digits and wildcards.")
	case c.kind == TrustPolicy && !strings.EqualFold(service, "sts"):
		c.fail(v.offset, "A trust policy has actions of sts only, such as \"sts:AssumeRole\".")
	}
	return c.pattern(&node{text: strings.ToLower(v.text), offset: v.offset}, syntax{wildcards: true, fold: true})
}

// pattern compiles one value.
func (c *compiler) pattern(v *node, s syntax) pattern {
	p, complaint := compilePattern(v.text, s)
	if complaint != "" {
		c.fail(v.offset, complaint)
	}
	if c.wildcards += p.wildcards(); c.wildcards > maxWildcards {
		c.fail(v.offset, "A policy document can have at most 1000 wildcards.")
	}
	return p
}

func (c *compiler) resourceElement(s *statement, n *node) {
	if c.kind == TrustPolicy {
		for _, name := range []string{"Resource", "NotResource"} {
			if m := n.member(name); m != nil {
				c.fail(m.offset, "A trust policy has no "+name+": its resource is the role.")
			}
		}
		return
	}
	m, not := c.either(n, "Resource", "NotResource")
	s.notResource = not
	for _, v := range c.texts(m) {
		if v.text != "*" {
			c.resource(&v)
		}
		s.resources = append(s.resources, c.pattern(&v, syntax{wildcards: true, arn: true, variables: c.variables, lateVariables: true}))
	}
}

// resource checks that a value has the form of an ARN. One with fewer than six parts must end in a
// star, which takes the place of the rest.
func (c *compiler) resource(v *node) {
	if !strings.HasPrefix(v.text, "arn:") || strings.Count(v.text, ":") < 5 && !strings.HasSuffix(v.text, "*") {
		c.fail(v.offset, quote(v.text)+" is not a resource: write an ARN or \"*\".")
	}
}

func (c *compiler) conditionElement(m *member) []condition {
	if m.value.kind != '{' {
		c.fail(m.value.offset, "Condition is an object that maps operators to condition keys.")
	}
	var out []condition
	for i := range m.value.members {
		out = append(out, c.operator(&m.value.members[i])...)
	}
	return out
}

func (c *compiler) operator(m *member) []condition {
	op, quantified, ifExists, ok := findOperator(m.name)
	if !ok {
		c.fail(m.offset, quote(m.name)+" is not a condition operator.")
	}
	if m.value.kind != '{' {
		c.fail(m.value.offset, "A condition operator has an object that maps condition keys to values.")
	}
	out := make([]condition, 0, len(m.value.members))
	for i := range m.value.members {
		key := &m.value.members[i]
		service, rest, _ := strings.Cut(key.name, ":")
		if service == "" || rest == "" || strings.ContainsAny(service, " \t\r\n") {
			c.fail(key.offset, quote(key.name)+" is not a condition key: it begins with a service and a colon, as in \"aws:SourceIp\".")
		}
		cond := condition{quantifier: quantified, negated: op.negated, ifExists: ifExists, null: op.null}
		cond.name, cond.sub = splitKey(key.name)
		values := c.conditionValues(key)
		if op.null {
			if len(values) != 1 {
				c.fail(key.value.offset, "Null has one value, \"true\" or \"false\".")
			}
			cond.absent = c.boolean(&values[0])
		} else {
			cond.test = op.compile(c, values)
		}
		out = append(out, cond)
	}
	return out
}

func (c *compiler) conditionValues(key *member) []node {
	values := key.value.list()
	if len(values) == 0 {
		c.fail(key.value.offset, "The condition key "+quote(key.name)+" has no value to be compared with.")
	}
	for i := range values {
		switch values[i].kind {
		case '"', '0', 't', 'f':
		default:
			c.fail(values[i].offset, "A condition value is a string, a number or a boolean, or a list of them.")
		}
	}
	return values
}

func (c *compiler) boolean(v *node) bool {
	value, ok := parseBool(v.text)
	if !ok {
		c.fail(v.offset, quote(v.text)+" is not \"true\" or \"false\".")
	}
	return value
}
