package policy

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// comparison says whether an order of request and policy value (-1, 0, 1) is wanted.
type comparison func(order int) bool

func equal(order int) bool          { return order == 0 }
func less(order int) bool           { return order < 0 }
func lessOrEqual(order int) bool    { return order <= 0 }
func greater(order int) bool        { return order > 0 }
func greaterOrEqual(order int) bool { return order >= 0 }

type textTest []pattern

func (t textTest) match(value string, ctx Context) answer { return matchAny(t, value, ctx) }

func texts(s syntax) func(*compiler, []node) test {
	return func(c *compiler, values []node) test {
		s := s
		s.variables = c.variables
		t := make(textTest, len(values))
		for i := range values {
			t[i] = c.pattern(&values[i], s)
		}
		return t
	}
}

// number is a decimal. Whole numbers are compared exactly, others as floats.
type number struct {
	whole int64
	float float64
	exact bool
}

func parseNumber(text string) (number, bool) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number{whole: i, float: float64(i), exact: true}, true
	}
	// ParseFloat also takes hexadecimal, underscores, infinities and NaN, which are no decimals.
	if text == "" || strings.Trim(text, "0123456789+-.eE") != "" {
		return number{}, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return number{float: f}, err == nil
}

func (n number) compare(m number) int {
	if n.exact && m.exact {
		switch {
		case n.whole < m.whole:
			return -1
		case n.whole > m.whole:
			return 1
		}
		return 0
	}
	switch {
	case n.float < m.float:
		return -1
	case n.float > m.float:
		return 1
	}
	return 0
}

// orderedTest compares a value with those of a condition that have an order: numbers or times.
type orderedTest[T any] struct {
	parse   func(string) (T, bool)
	compare func(a, b T) int
	wanted  comparison
	values  []T
}

func (t *orderedTest[T]) match(value string, _ Context) answer {
	given, ok := t.parse(value)
	if !ok {
		return no
	}
	for _, v := range t.values {
		if t.wanted(t.compare(given, v)) {
			return yes
		}
	}
	return no
}

// ordered compiles an orderedTest. problem says what is wrong with a value that does not parse.
func ordered[T any](parse func(string) (T, bool), compare func(a, b T) int, wanted comparison, problem string) func(*compiler, []node) test {
	return func(c *compiler, values []node) test {
		t := &orderedTest[T]{parse: parse, compare: compare, wanted: wanted}
		for i := range values {
			v, ok := parse(values[i].text)
			if !ok {
				c.fail(values[i].offset, quote(values[i].text)+problem)
			}
			t.values = append(t.values, v)
		}
		return t
	}
}

func numbers(wanted comparison) func(*compiler, []node) test {
	return ordered(parseNumber, number.compare, wanted, " is not a number, which this operator compares.")
}

// parseDate reads epoch seconds or the W3C profile of ISO 8601: a year, a month, a day, or a day
// and a time with seconds or without and a zone. Four digits are a year.
func parseDate(text string) (time.Time, bool) {
	if len(text) != 4 && text != "" && strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		return time.Unix(seconds, 0), err == nil
	}
	layout := time.RFC3339
	switch _, clock, timed := strings.Cut(text, "T"); {
	case timed && strings.Count(clock[:min(len(clock), 8)], ":") < 2:
		layout = "2006-01-02T15:04Z07:00"
	case timed:
	case len(text) == 4 || len(text) == 7 || len(text) == 10:
		layout = time.DateOnly[:len(text)]
	}
	t, err := time.Parse(layout, text)
	return t, err == nil && !strings.Contains(text, ",")
}

func dates(wanted comparison) func(*compiler, []node) test {
	return ordered(parseDate, time.Time.Compare, wanted,
		" is not a time: write it as 2026-01-31T12:00:00Z or in seconds since 1970.")
}

func parseBool(text string) (value, ok bool) {
	return strings.EqualFold(text, "true"), strings.EqualFold(text, "true") || strings.EqualFold(text, "false")
}

type boolTest []bool

func (t boolTest) match(value string, _ Context) answer {
	b, ok := parseBool(value)
	if !ok {
		return no
	}
	for _, v := range t {
		if v == b {
			return yes
		}
	}
	return no
}

func booleans(c *compiler, values []node) test {
	t := make(boolTest, len(values))
	for i := range values {
		t[i] = c.boolean(&values[i])
	}
	return t
}

// binaryTest holds standard base64 in its one spelling.
type binaryTest []string

func (t binaryTest) match(value string, _ Context) answer {
	for _, v := range t {
		if v == value {
			return yes
		}
	}
	return no
}

func binaries(c *compiler, values []node) test {
	t := make(binaryTest, len(values))
	for i := range values {
		raw, err := base64.StdEncoding.DecodeString(values[i].text)
		if err != nil {
			c.fail(values[i].offset, quote(values[i].text)+" is not base64, which BinaryEquals compares.")
		}
		t[i] = base64.StdEncoding.EncodeToString(raw)
	}
	return t
}

type addressTest []netip.Prefix

func (t addressTest) match(value string, _ Context) answer {
	address, err := netip.ParseAddr(value)
	if err != nil {
		return no
	}
	address = address.Unmap().WithZone("")
	for _, prefix := range t {
		if prefix.Contains(address) {
			return yes
		}
	}
	return no
}

func addresses(c *compiler, values []node) test {
	t := make(addressTest, len(values))
	for i := range values {
		prefix, err := netip.ParsePrefix(values[i].text)
		if address, single := netip.ParseAddr(values[i].text); single == nil && address.Zone() == "" {
			address = address.Unmap()
			prefix, err = address.Prefix(address.BitLen())
		}
		if err != nil || prefix.Addr().Is4In6() {
			c.fail(values[i].offset, quote(values[i].text)+" is not an IP address or a CIDR block such as 203.0.113.0/24.")
		}
		t[i] = prefix.Masked()
	}
	return t
}
