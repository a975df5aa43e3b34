package index

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// fields is what the index knows of a record. The texts are slices of the line, or of memory of their own; nil and empty are
// absent. What has another type than ours is absent.
type fields struct {
	at    int64 // eventTime, ms since 1970
	timed bool  // there is an eventTime

	arn, principalID, accessKeyID, issuer []byte
	account                               []byte
	resources                             [2]resource
	listed                                span // the value of resources
	more                                  bool // there are more than two resources
	event                                 []byte
	readOnly                              bool
	source, errorCode                     []byte
	requestID, eventID                    []byte
}

type resource struct {
	arn, account []byte
	at           span
}

// span is a part of the line.
type span struct{ from, to int }

// maxDepth is how deep objects and lists may stand in each other. Records of ours have 5 levels.
const maxDepth = 64

// place is an object of a record of which members are wanted.
type place uint8

const (
	elsewhere place = iota
	inRecord
	inIdentity
	inContext
	inIssuer
	inResource
)

// scanner reads one JSON object (RFC 8259), as encoding/json would read it into a map: of a name that is given twice the
// last one counts, and bytes that are not UTF-8 become U+FFFD.
type scanner struct {
	b []byte
	i int
	f *fields
	r *resource // of inResource; nil beyond the second
}

// scan reads a line. It returns false when that is no JSON object, or one deeper than maxDepth.
func scan(line []byte, f *fields) bool {
	*f = fields{}
	s := scanner{b: line, f: f}
	s.blanks()
	if s.peek() != '{' || !s.object(inRecord, 1) {
		return false
	}
	s.blanks()
	return s.i == len(s.b)
}

func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) blanks() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\n' || s.b[s.i] == '\r') {
		s.i++
	}
}

// object reads an object; s stands at its brace.
func (s *scanner) object(at place, depth int) bool {
	if depth > maxDepth {
		return false
	}
	s.i++
	s.blanks()
	if s.peek() == '}' {
		s.i++
		return true
	}
	for {
		if s.peek() != '"' {
			return false
		}
		token, plain, ok := s.token()
		if !ok {
			return false
		}
		s.blanks()
		if s.peek() != ':' {
			return false
		}
		s.i++
		s.blanks()
		if at == elsewhere {
			ok = s.value(elsewhere, depth)
		} else {
			ok = s.member(at, text(token, plain), depth)
		}
		if !ok {
			return false
		}
		if more, ok := s.next('}'); !more {
			return ok
		}
	}
}

// next goes on behind a value: to the next one, or past the end of what encloses it.
func (s *scanner) next(end byte) (more, ok bool) {
	s.blanks()
	switch s.peek() {
	case ',':
		s.i++
		s.blanks()
		return true, true
	case end:
		s.i++
		return false, true
	}
	return false, false
}

// member reads the value of a member of an object of which some are wanted.
func (s *scanner) member(at place, name []byte, depth int) bool {
	f := s.f
	switch at {
	case inRecord:
		switch string(name) {
		case "eventTime":
			return s.time()
		case "eventName":
			return s.into(&f.event, depth)
		case "sourceIPAddress":
			return s.into(&f.source, depth)
		case "errorCode":
			return s.into(&f.errorCode, depth)
		case "requestID":
			return s.into(&f.requestID, depth)
		case "eventID":
			return s.into(&f.eventID, depth)
		case "recipientAccountId":
			return s.into(&f.account, depth)
		case "readOnly":
			f.readOnly = s.peek() == 't'
		case "userIdentity":
			f.arn, f.principalID, f.accessKeyID, f.issuer = nil, nil, nil, nil
			return s.value(inIdentity, depth)
		case "resources":
			f.resources, f.more = [2]resource{}, false
			f.listed.from = s.i
			ok := s.value(inResource, depth)
			f.listed.to = s.i
			return ok
		}
	case inIdentity:
		switch string(name) {
		case "arn":
			return s.into(&f.arn, depth)
		case "principalId":
			return s.into(&f.principalID, depth)
		case "accessKeyId":
			return s.into(&f.accessKeyID, depth)
		case "sessionContext":
			f.issuer = nil
			return s.value(inContext, depth)
		}
	case inContext:
		if string(name) == "sessionIssuer" {
			f.issuer = nil
			return s.value(inIssuer, depth)
		}
	case inIssuer:
		if string(name) == "arn" {
			return s.into(&f.issuer, depth)
		}
	case inResource:
		switch {
		case s.r == nil:
		case string(name) == "ARN":
			return s.into(&s.r.arn, depth)
		case string(name) == "accountId":
			return s.into(&s.r.account, depth)
		}
	}
	return s.value(elsewhere, depth)
}

// value reads any value. at is what an object found there is; in a list, only resources are.
func (s *scanner) value(at place, depth int) bool {
	switch c := s.peek(); {
	case c == '{' && at == inResource: // not in a list
		return s.object(elsewhere, depth+1)
	case c == '{':
		return s.object(at, depth+1)
	case c == '[':
		return s.list(at == inResource, depth+1)
	case c == '"':
		_, _, ok := s.token()
		return ok
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) list(resources bool, depth int) bool {
	if depth > maxDepth {
		return false
	}
	s.i++
	s.blanks()
	if s.peek() == ']' {
		s.i++
		return true
	}
	for n := 0; ; n++ {
		var ok bool
		if resources && s.peek() == '{' {
			s.r = nil
			if s.f.more = n >= len(s.f.resources); !s.f.more {
				s.r = &s.f.resources[n]
				s.r.at.from = s.i
			}
			if ok = s.object(inResource, depth+1); ok && s.r != nil {
				s.r.at.to = s.i
			}
		} else {
			ok = s.value(elsewhere, depth)
		}
		if !ok {
			return false
		}
		if more, ok := s.next(']'); !more {
			return ok
		}
	}
}

// into reads a value, which is wanted if it is a string.
func (s *scanner) into(to *[]byte, depth int) bool {
	*to = nil
	if s.peek() != '"' {
		return s.value(elsewhere, depth)
	}
	token, plain, ok := s.token()
	*to = text(token, plain)
	return ok
}

func (s *scanner) time() bool {
	var t []byte
	if !s.into(&t, 1) {
		return false
	}
	s.f.at, s.f.timed = parseTime(t)
	return true
}

// special marks the bytes that do not stand for themselves in a string, or may not.
var special = func() (t [256]bool) {
	for c := range t {
		t[c] = c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return t
}()

// token reads a string with its quotes. plain: what is between them is the text.
func (s *scanner) token() (token []byte, plain, ok bool) {
	b, start := s.b, s.i
	plain = true
	for i := start + 1; i < len(b); i++ {
		c := b[i]
		if !special[c] {
			continue
		}
		switch {
		case c == '"':
			s.i = i + 1
			return b[start:s.i], plain, true
		case c < ' ':
			return nil, false, false
		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				return nil, false, false
			}
			i += n - 1
		}
		plain = false
	}
	return nil, false, false
}

// escape returns the length of the escape at the start of b, 0 when it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// text returns what a string says.
func text(token []byte, plain bool) []byte {
	if len(token) < 2 {
		return nil
	}
	if plain {
		return token[1 : len(token)-1]
	}
	var t string
	if json.Unmarshal(token, &t) != nil {
		return nil
	}
	return []byte(t)
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// number reads -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if s.peek()|0x20 == 'e' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	start := s.i
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.i++
	}
	return s.i > start
}

// parseTime reads an RFC 3339 time in ms since 1970.
func parseTime(b []byte) (int64, bool) {
	if ms, ok := parseOurs(b); ok {
		return ms, true
	}
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return 0, false
	}
	return t.UnixMilli(), true
}

// parseOurs reads 2006-01-02T15:04:05.000Z, as records have it, about ten times as fast as package time.
func parseOurs(b []byte) (int64, bool) {
	const form = "0000-00-00T00:00:00.000Z"
	if len(b) != len(form) {
		return 0, false
	}
	for i, c := range b {
		if form[i] == '0' && (c < '0' || c > '9') || form[i] != '0' && c != form[i] {
			return 0, false
		}
	}
	n := func(from, to int) (n int) {
		for _, c := range b[from:to] {
			n = 10*n + int(c-'0')
		}
		return n
	}
	year, month, day := n(0, 4), n(5, 7), n(8, 10)
	hour, minute, second := n(11, 13), n(14, 16), n(17, 19)
	if month < 1 || month > 12 || day < 1 || day > 28 || hour > 23 || minute > 59 || second > 59 {
		return 0, false // the last days of a month are for package time
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, n(20, 23)*1e6, time.UTC).UnixMilli(), true
}
