package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/lockstep-kms/lockstep/trace"
)

// A call connection carries frames, in both directions, after the handshake:
//
//	kind 1 | call id 8 | length 4 | body          integers big-endian
//
// The dialer sends
//
//	request   timeout in ms 4 (0: none) | method: length 1 | text | payload
//	traced    trace id 16 | parent id 8 | flags 1 | as a request: one of a trace (package trace)
//	cancel    empty; the caller wants no answer to this id any more
//
// and is answered, in any order, once per request,
//
//	answer    payload
//	fault     code: length 1 | text; message      the handler's error
//	rejection code: length 1 | text; message      the handler was not run
//
// A traced request is sent to a peer whose hello says that it knows them; to others it goes as a request.
//
// Either side sends ping and pong, id 0 and empty. The id of a call is not used again on its
// connection. A frame over the receiver's limit is skipped and answered; one over 16 MiB and its
// overhead ends the connection.
const (
	frameRequest   = 1
	frameAnswer    = 2
	frameFault     = 3
	frameRejection = 4
	frameCancel    = 5
	framePing      = 6
	framePong      = 7
	frameTraced    = 8

	frameHeader     = 13
	traceSize       = 25
	requestOverhead = traceSize + 5 + maxMethod
	maxMethod       = 64
	maxFaultMessage = 4096
	maxFrameBody    = maxMaxFrame + requestOverhead
)

var (
	errFrame       = errors.New("malformed frame")
	errFrameLength = fmt.Errorf("a frame is over %d bytes", maxFrameBody)
	errBodyTooLong = errors.New("a frame is over this node's limit")
)

type header struct {
	kind   byte
	id     uint64
	length uint32
}

func appendHeader(b []byte, kind byte, id uint64, length int) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, id)
	return binary.BigEndian.AppendUint32(b, uint32(length))
}

// setID gives a frame its call id.
func setID(frame []byte, id uint64) { binary.BigEndian.PutUint64(frame[1:], id) }

func parseHeader(b [frameHeader]byte) (header, error) {
	h := header{kind: b[0], id: binary.BigEndian.Uint64(b[1:]), length: binary.BigEndian.Uint32(b[9:])}
	switch {
	case h.kind < frameRequest || h.kind > frameTraced:
		return header{}, errFrame
	case h.length > maxFrameBody:
		return header{}, errFrameLength
	case h.kind >= frameCancel && h.kind <= framePong && h.length != 0:
		return header{}, errFrame
	}
	return h, nil
}

// readFrame reads the next frame. A body over limit is read past and gives errBodyTooLong with the
// header; after any other error the connection cannot go on.
func readFrame(r io.Reader, limit int) (header, []byte, error) {
	var raw [frameHeader]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return header{}, nil, err
	}
	h, err := parseHeader(raw)
	if err != nil {
		return header{}, nil, err
	}
	if int(h.length) > limit {
		if _, err := io.CopyN(io.Discard, r, int64(h.length)); err != nil {
			return header{}, nil, err
		}
		return h, nil, errBodyTooLong
	}
	if h.length == 0 {
		return h, nil, nil
	}
	body := make([]byte, h.length)
	if _, err := io.ReadFull(r, body); err != nil {
		return header{}, nil, err
	}
	return h, body, nil
}

type request struct {
	timeout time.Duration // 0: none; whole milliseconds
	method  string
	payload []byte   // shares the frame's memory
	trace   trace.ID // the zero value: a request, not a traced one
}

// appendRequest appends the whole frame. The caller has checked method and payload.
func appendRequest(b []byte, id uint64, q request) []byte {
	kind, length := byte(frameRequest), 5+len(q.method)+len(q.payload)
	traced := q.trace != trace.ID{}
	if traced {
		kind, length = frameTraced, length+traceSize
	}
	b = appendHeader(b, kind, id, length)
	if traced {
		b = append(append(append(b, q.trace.Trace[:]...), q.trace.Parent[:]...), q.trace.Flags)
	}
	b = binary.BigEndian.AppendUint32(b, milliseconds(q.timeout))
	b = append(b, byte(len(q.method)))
	b = append(b, q.method...)
	return append(b, q.payload...)
}

// milliseconds rounds up, so that a timeout is never made none.
func milliseconds(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, math.MaxUint32))
}

// parseRequest reads the body of a request, or of a traced one, whose trace has to be one.
func parseRequest(kind byte, body []byte) (request, error) {
	var id trace.ID
	if kind == frameTraced {
		if len(body) < traceSize {
			return request{}, errFrame
		}
		copy(id.Trace[:], body)
		copy(id.Parent[:], body[16:])
		id.Flags, body = body[24], body[traceSize:]
		if id.Trace == [16]byte{} || id.Parent == [8]byte{} {
			return request{}, errFrame
		}
	}
	if len(body) < 5 {
		return request{}, errFrame
	}
	n := int(body[4])
	if n == 0 || n > maxMethod || len(body) < 5+n {
		return request{}, errFrame
	}
	return request{
		timeout: time.Duration(binary.BigEndian.Uint32(body)) * time.Millisecond,
		method:  string(body[5 : 5+n]),
		payload: body[5+n:],
		trace:   id,
	}, nil
}

// appendError appends a whole fault or rejection frame.
func appendError(kind byte, id uint64, code, message string) []byte {
	body := appendFault(nil, code, message, maxFaultMessage)
	return append(appendHeader(make([]byte, 0, frameHeader+len(body)), kind, id, len(body)), body...)
}
