// Package trace says of which request, and of which trace of its caller's, something is done: for log lines, audit records
// and the calls that nodes make on behalf of a request.
//
// A trace is W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/). This product makes no spans and exports
// none: it takes the header traceparent in, tells the trace's id wherever it tells of the request, and passes trace and
// parent on to other nodes as they came. The header tracestate is dropped: it is for whoever adds to it, and nothing here
// does; nor does it go, or traceparent, to the issuers of web identities: what is fetched there is for every request that
// waits for it, and no business of theirs.
//
// It promises that a malformed traceparent is as good as none, and that a request without one allocates nothing here.
package trace

import (
	"context"
	"encoding/hex"
)

// ID is the trace that a request is part of, and the caller's span in it. The zero value is none.
type ID struct {
	Trace  [16]byte
	Parent [8]byte
	Flags  byte // bit 0: the caller may have recorded it
}

// The form of traceparent, version 00:
//
//	00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//	version 2 | trace id 32 | parent id 16 | flags 2     lower-case hexadecimal digits between hyphens
//
// A later version begins with the same four fields; what follows them begins with a hyphen.
const (
	length   = 55
	atTrace  = 3
	atParent = 36
	atFlags  = 53
)

// Parse reads the value of a traceparent header; ok is false for one that has to be ignored.
func Parse(s string) (id ID, ok bool) {
	if len(s) < length || s[2] != '-' || s[atParent-1] != '-' || s[atFlags-1] != '-' {
		return ID{}, false
	}
	var version, flags [1]byte
	if !digits(version[:], s[:2]) || !digits(id.Trace[:], s[atTrace:atParent-1]) || !digits(id.Parent[:], s[atParent:atFlags-1]) || !digits(flags[:], s[atFlags:length]) {
		return ID{}, false
	}
	switch {
	case version[0] == 0xff, id.Trace == [16]byte{}, id.Parent == [8]byte{}:
		return ID{}, false
	case len(s) > length && (version[0] == 0 || s[length] != '-'):
		return ID{}, false
	}
	id.Flags = flags[0]
	return id, true
}

// digits decodes lower-case hexadecimal digits.
func digits(to []byte, s string) bool {
	for i := range to {
		high, low := digit(s[2*i]), digit(s[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		to[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	default:
		return 0xff
	}
}

// String returns the trace's id in 32 digits, "" for none.
func (id ID) String() string {
	if id.Trace == [16]byte{} {
		return ""
	}
	return hex.EncodeToString(id.Trace[:])
}

// Request is a request as log lines name it.
type Request struct {
	ID    string // as the answer has it; "": another node's call
	Trace ID
}

// Context is a context in which a request is served.
type Context struct {
	context.Context
	Request Request
}

type key struct{}

// Value implements context.Context.
func (c *Context) Value(k any) any {
	if k == (key{}) {
		return &c.Request
	}
	return c.Context.Value(k)
}

// With returns ctx as the context of a request.
func With(ctx context.Context, r Request) context.Context { return &Context{ctx, r} }

// From returns the request that is served in ctx; the zero value when none is.
func From(ctx context.Context) Request {
	if r, ok := ctx.Value(key{}).(*Request); ok {
		return *r
	}
	return Request{}
}
