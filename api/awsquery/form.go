package awsquery

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/api/aws"
	"github.com/lockstep-kms/lockstep/kms"
)

// Bounds of a form. Nothing that is served needs more: 50 tags have 100 pairs.
const (
	maxPairs = 512
	maxName  = 128 // bytes of a parameter's name
)

// form is the parameters of a request by name, "Tags.member.1.Key". Each was given once.
type form map[string]string

// parseForm reads application/x-www-form-urlencoded. What two readers could take for different things is refused: a
// name that comes twice, loose escapes, what is not UTF-8. The message never holds a value. Beside an error the form
// is what was read before it.
func parseForm(body string) (form, error) {
	f := form{}
	for body != "" {
		var pair string
		pair, body, _ = strings.Cut(body, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		_, twice := f[name]
		switch {
		case err != nil || !utf8.ValidString(name) || !utf8.ValidString(value):
			return f, malformed("The form is not percent-encoded UTF-8.")
		case name == "" || len(name) > maxName:
			return f, malformed("The form has a parameter whose name is empty or longer than %d bytes.", maxName)
		case twice:
			return f, malformed("The form has the parameter %s twice.", kms.Printable(name))
		case len(f) == maxPairs:
			return f, malformed("The form has more than %d parameters.", maxPairs)
		}
		f[name] = value
	}
	return f, nil
}

func malformed(format string, args ...any) error {
	return kms.Errorf(kms.CodeInvalidRequest, format, args...)
}

// decode fills the struct that into points to from a form. A field is the parameter of its name, or of its tag "aws";
// lists are NAME.member.N as AWS encodes them, N from 1 on without gaps; an embedded struct, or one tagged "inline", is no parameter itself. The
// tag "is" holds what AWS's model says of a value: "required", a length or value "1-64", a pattern by its name, or the
// words "a|b" that there are. The violations are one error in AWS's words. A parameter that no field has is refused:
// AWS ignores it, but to drop a limit that the caller believes in would be to lie.
func decode(f form, into any) error {
	d := decoder{form: f}
	d.fields("", "", reflect.ValueOf(into).Elem())
	if d.err != nil {
		return d.err
	}
	if d.used < len(f) {
		for _, name := range sortedKeys(f) {
			if !d.known[name] {
				return kms.Errorf(kms.CodeValidation, "The parameter %s is not one that is served for this action.", kms.Printable(name))
			}
		}
	}
	return d.wrong.Err()
}

func sortedKeys[M ~map[string]string](m M) []string { return slices.Sorted(maps.Keys(m)) }

type decoder struct {
	form  form
	known map[string]bool
	used  int // len(known)
	wrong aws.Findings
	err   error // the first value that is of no form at all
}

// take returns a parameter.
func (d *decoder) take(name string) (string, bool) {
	value, ok := d.form[name]
	if ok && !d.known[name] {
		if d.known == nil {
			d.known = map[string]bool{}
		}
		d.known[name] = true
		d.used++
	}
	return value, ok
}

// fields decodes the fields of a struct and reports whether any was given.
func (d *decoder) fields(prefix, member string, v reflect.Value) (given bool) {
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		name := field.Tag.Get("aws")
		if field.Anonymous || name == "inline" {
			given = d.fields(prefix, member, v.Field(i)) || given
			continue
		}
		if name == "" {
			name = field.Name
		}
		r, _ := utf8.DecodeRuneInString(name)
		lower := string(unicode.ToLower(r)) + name[utf8.RuneLen(r):]
		given = d.value(prefix+name, member+lower, field.Tag.Get("is"), v.Field(i)) || given
	}
	return given
}

// value decodes one field and reports whether it was given.
func (d *decoder) value(name, member, is string, v reflect.Value) (given bool) {
	if v.Kind() == reflect.Slice {
		given = d.list(name, member, is, v)
	} else {
		given = d.scalar(name, member, is, v)
	}
	if !given && hasRule(is, "required") {
		d.wrong.Missing(member)
	}
	return given
}

func hasRule(is, rule string) bool { return slices.Contains(strings.Split(is, ","), rule) }

// list decodes a list. An empty one is sent as the bare name. The tag's rules up to ";" are for the list, those after it for each
// member.
func (d *decoder) list(name, member, is string, v reflect.Value) (given bool) {
	if value, ok := d.take(name); ok {
		given = true
		if value != "" && d.err == nil {
			d.err = malformed("The parameter %s is a list.", kms.Printable(name))
		}
	}
	whole, each, _ := strings.Cut(is, ";")
	for n := 1; n <= maxPairs; n++ {
		one := reflect.New(v.Type().Elem()).Elem()
		at, of := name+".member."+strconv.Itoa(n), member+"."+strconv.Itoa(n)+".member"
		found := false
		if one.Kind() == reflect.Struct {
			before := len(d.wrong)
			if found = d.fields(at+".", of+".", one); !found {
				d.wrong = d.wrong[:before] // what is not there lacks nothing
			}
		} else {
			found = d.scalar(at, of, each, one)
		}
		if !found {
			break
		}
		given = true
		v.Set(reflect.Append(v, one))
	}
	if given {
		d.wrong.Length(member, v.Len(), constraintOf(whole))
	}
	if c, ok := v.Interface().(interface{ check() error }); ok && d.err == nil {
		d.err = c.check()
	}
	return given
}

// scalar decodes a text, number or truth value.
func (d *decoder) scalar(name, member, is string, v reflect.Value) bool {
	text, ok := d.take(name)
	if !ok {
		return false
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	bad := func(what string) {
		if d.err == nil {
			d.err = malformed("The parameter %s is not %s.", kms.Printable(name), what)
		}
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		if hasRule(is, "never") {
			d.wrong.Add("", member, "not be given")
		}
		d.wrong.Text(member, text, constraintOf(is))
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			bad("a number")
			break
		}
		v.SetInt(n)
		d.wrong.Number(member, int(n), constraintOf(is))
	case reflect.Bool:
		switch text {
		case "true":
			v.SetBool(true)
		case "false":
		default:
			bad("true or false")
		}
	default:
		panic("awsquery: a shape has a field of type " + v.Type().String())
	}
	return true
}

// bounds reads "1-64", "1-" or "0-50".
func bounds(rule string) (low, high int, ok bool) {
	from, to, found := strings.Cut(rule, "-")
	if !found {
		return 0, 0, false
	}
	low, err := strconv.Atoi(from)
	if err != nil {
		return 0, 0, false
	}
	if to == "" {
		return low, int(^uint(0) >> 1), true
	}
	high, err = strconv.Atoi(to)
	return low, high, err == nil
}

// constraintOf reads the tag "is". No value is shown in a message.
func constraintOf(is string) *aws.Constraint {
	c := &aws.Constraint{Secret: true}
	for rule := range strings.SplitSeq(is, ",") {
		low, high, ranged := bounds(rule)
		switch {
		case ranged:
			c.Least, c.Most = low, high
		case strings.Contains(rule, "|"):
			c.Words = strings.Split(rule, "|")
		case patterns[rule] != nil:
			c.Pattern = patterns[rule]
		}
	}
	return c
}

// patterns are those that shapes name, as the models of IAM and STS have them.
var patterns = map[string]*aws.Pattern{
	"name":     aws.NewPattern(`[\w+=,.@-]+`),
	"session":  aws.NewPattern(`[\w+=,.@-]*`),
	"external": aws.NewPattern(`[\w+=,.@:\/-]*`),
	"word":     aws.NewPattern(`[\w]+`),
	"path":     aws.NewPattern(`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`),
	"prefix":   aws.NewPattern(`\u002F[\u0021-\u007F]*`),
	"document": aws.NewPattern(`[\u0009\u000A\u000D\u0020-\u00FF]+`),
	"note":     aws.NewPattern(`[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`),
	"arn":      aws.NewPattern(`[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`),
	"marker":   aws.NewPattern(`[\u0020-\u00FF]+`),
	"version":  aws.NewPattern(`v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`),
	"tagkey":   aws.NewPattern(`[\p{L}\p{Z}\p{N}_.:/=+\-@]+`),
	"tagvalue": aws.NewPattern(`[\p{L}\p{Z}\p{N}_.:/=+\-@]*`),
}
