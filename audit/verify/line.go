package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/audit/chain"
)

// What a line that is no record is.
var (
	errTorn      = errors.New("the line ends in the middle of a record")
	errNoObject  = errors.New("the line is not one JSON object")
	errText      = errors.New("the line is not UTF-8")
	errMembers   = errors.New("the line has no node or names a member twice")
	errUnchained = errors.New("the line does not end with its place in the chain")
	errLong      = errors.New("the line is longer than 1 MiB")
)

// line is what is read of a record.
type line struct {
	link    chain.Link
	altered bool // it is not the line that was hashed
	node    string
	id      string // eventID
	name    string // eventName
	time    time.Time
	service bool   // an event of the trail's own: of eventSource lockstep and eventType AwsServiceEvent
	details []byte // serviceEventDetails of those, not shared
}

// parse reads a line, given without its newline. With errUnchained, node is read all the same.
func parse(b []byte) (l line, err error) {
	if !json.Valid(b) {
		var object json.RawMessage
		if bytes.HasPrefix(b, []byte{'{'}) && !chain.Ended(b) && json.NewDecoder(bytes.NewReader(b)).Decode(&object) == io.ErrUnexpectedEOF {
			return l, errTorn
		}
		return l, errNoObject
	}
	if b[0] != '{' || b[len(b)-1] != '}' {
		return l, errNoObject
	}
	if !utf8.Valid(b) {
		return l, errText
	}
	var source, kind string
	var details, place []byte
	var last []byte
	wrong := !members(b, func(key, value []byte) bool {
		last = key
		switch string(key) {
		case "eventTime":
			l.time, _ = time.Parse(time.RFC3339, text(value))
		case "eventID":
			if l.id = text(value); !plain(l.id, maxID) {
				l.id = ""
			}
		case "eventName":
			l.name = text(value)
		case "eventSource":
			source = text(value)
		case "eventType":
			kind = text(value)
		case "serviceEventDetails":
			details = value
		case "additionalEventData":
			place = value
		}
		return true
	})
	if wrong || string(last) != "additionalEventData" || place[0] != '{' {
		return l, errMembers
	}
	if err := l.readPlace(place); err != nil {
		return l, err
	}
	if l.link, err = chain.ReadLink(b); err != nil {
		return l, errUnchained
	}
	l.altered = !l.link.Fits(b)
	if source == "lockstep" && kind == "AwsServiceEvent" {
		l.service, l.details = true, bytes.Clone(details)
	}
	return l, nil
}

// readPlace reads the node from additionalEventData.
func (l *line) readPlace(object []byte) error {
	ok := members(object, func(key, value []byte) bool {
		if string(key) == "node" {
			l.node = text(value)
		}
		return true
	})
	if !ok || !plain(l.node, maxNode) {
		return errMembers
	}
	return nil
}

// run tells the runs of a node apart: a record of the trail about itself has an eventID that begins with a random number of its run.
func (l *line) run() string { return l.id[:max(0, strings.LastIndexByte(l.id, '-'))] }

// plain reports whether s has 1 to most bytes and may be shown as it is: a trail may be anybody's.
func plain(s string, most int) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// text returns a JSON string's value, "" of anything else.
func text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	var s string
	_ = json.Unmarshal(value, &s) // it is valid JSON, and a string
	return s
}

// members calls f for each member of a valid JSON object, and reports whether f always said yes, every name stands once and
// none is written with an escape: readers must not differ on what a record says.
func members(object []byte, f func(key, value []byte) bool) bool {
	var seen [32][]byte
	n := 0
	for i := skipBlank(object, 1); object[i] != '}'; {
		end := skipString(object, i)
		key := object[i+1 : end-1]
		i = skipBlank(object, skipBlank(object, end)+1) // over the colon
		end = skipValue(object, i)
		for _, k := range seen[:n] {
			if bytes.Equal(k, key) {
				return false
			}
		}
		if n == len(seen) || bytes.IndexByte(key, '\\') >= 0 || !f(key, object[i:end]) {
			return false
		}
		seen[n] = key
		n++
		if i = skipBlank(object, end); object[i] == ',' {
			i = skipBlank(object, i+1)
		}
	}
	return true
}

// The skip functions walk over valid JSON and return the index behind what they skip.

func skipBlank(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipValue(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		default:
			i++
		}
		if depth == 0 {
			switch b[i] {
			case ',', '}', ']', ' ', '\t', '\r', '\n':
				return i
			}
		}
	}
}
