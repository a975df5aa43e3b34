package policy

import "strings"

type quantifier uint8

const (
	single quantifier = iota // no set operator: any value of the key
	forAll
	forAny
)

// test is the values a policy compares a condition key with, compiled for one operator.
type test interface {
	// match says whether value is one of them. For a negated operator it answers as the operator
	// that is not.
	match(value string, ctx Context) answer
}

// condition is one key of one operator.
type condition struct {
	name, sub  string
	quantifier quantifier
	negated    bool
	ifExists   bool
	null       bool // the Null operator: absent says what it wants
	absent     bool
	test       test
}

// holds evaluates the condition. A variable without a value never lets a request pass: what is compared
// with it holds in no Allow statement, and in a Deny statement where the operator is negated.
func (c *condition) holds(ctx Context, deny bool) bool {
	var values Values
	present := false
	if ctx != nil {
		values, present = ctx.Lookup(c.name, c.sub)
		present = present && values.Len() > 0
	}
	switch {
	case c.null:
		return present != c.absent
	case !present && c.ifExists:
		return true
	}
	// ForAllValues speaks of every value. So does a negated operator without a set operator, as its
	// opposite then speaks of any. What speaks of every value is true of none.
	every := c.quantifier == forAll || c.quantifier == single && c.negated
	if !present || c.quantifier != single && values.Len() == 1 && values.At(0) == "" {
		return every // for a set operator a lone empty string is an empty set
	}
	for i := range values.Len() {
		if ok := c.accepts(values.At(i), ctx, deny); ok != every {
			return ok
		}
	}
	return every
}

// accepts compares one value of the key.
func (c *condition) accepts(value string, ctx Context, deny bool) bool {
	switch c.test.match(value, ctx) {
	case yes:
		return !c.negated
	case unresolved:
		return c.negated && deny
	}
	return c.negated
}

// operator is a condition operator without its prefix and suffix.
type operator struct {
	name    string
	negated bool
	null    bool
	compile func(c *compiler, values []node) test
}

// operators are those of reference_policies_elements_condition_operators.html in the IAM User Guide.
var operators = [...]operator{
	{name: "StringEquals", compile: texts(syntax{})},
	{name: "StringNotEquals", negated: true, compile: texts(syntax{})},
	{name: "StringEqualsIgnoreCase", compile: texts(syntax{fold: true})},
	{name: "StringNotEqualsIgnoreCase", negated: true, compile: texts(syntax{fold: true})},
	{name: "StringLike", compile: texts(syntax{wildcards: true})},
	{name: "StringNotLike", negated: true, compile: texts(syntax{wildcards: true})},
	{name: "ArnEquals", compile: texts(syntax{wildcards: true, arn: true})},
	{name: "ArnLike", compile: texts(syntax{wildcards: true, arn: true})},
	{name: "ArnNotEquals", negated: true, compile: texts(syntax{wildcards: true, arn: true})},
	{name: "ArnNotLike", negated: true, compile: texts(syntax{wildcards: true, arn: true})},
	{name: "NumericEquals", compile: numbers(equal)},
	{name: "NumericNotEquals", negated: true, compile: numbers(equal)},
	{name: "NumericLessThan", compile: numbers(less)},
	{name: "NumericLessThanEquals", compile: numbers(lessOrEqual)},
	{name: "NumericGreaterThan", compile: numbers(greater)},
	{name: "NumericGreaterThanEquals", compile: numbers(greaterOrEqual)},
	{name: "DateEquals", compile: dates(equal)},
	{name: "DateNotEquals", negated: true, compile: dates(equal)},
	{name: "DateLessThan", compile: dates(less)},
	{name: "DateLessThanEquals", compile: dates(lessOrEqual)},
	{name: "DateGreaterThan", compile: dates(greater)},
	{name: "DateGreaterThanEquals", compile: dates(greaterOrEqual)},
	{name: "Bool", compile: booleans},
	{name: "BinaryEquals", compile: binaries},
	{name: "IpAddress", compile: addresses},
	{name: "NotIpAddress", negated: true, compile: addresses},
	{name: "Null", null: true},
}

// findOperator splits a condition operator such as "ForAllValues:StringLikeIfExists". Operators are
// compared without case, as AWS does.
func findOperator(written string) (op operator, quantified quantifier, ifExists, ok bool) {
	rest := written
	if prefix, after, has := strings.Cut(written, ":"); has {
		switch {
		case strings.EqualFold(prefix, "ForAllValues"):
			quantified = forAll
		case strings.EqualFold(prefix, "ForAnyValue"):
			quantified = forAny
		default:
			return op, 0, false, false
		}
		rest = after
	}
	const suffix = "IfExists"
	if n := len(rest) - len(suffix); n > 0 && strings.EqualFold(rest[n:], suffix) {
		ifExists, rest = true, rest[:n]
	}
	for _, op := range operators {
		if strings.EqualFold(op.name, rest) {
			return op, quantified, ifExists, !op.null || quantified == single && !ifExists
		}
	}
	return op, 0, false, false
}
