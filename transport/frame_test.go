package transport

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/trace"
)

var someTrace = trace.ID{Trace: [16]byte{1, 2, 3}, Parent: [8]byte{4, 5}, Flags: 1}

func TestFrameGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/frames_v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	var golden []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			golden = append(golden, line)
		}
	}
	frames := [][]byte{
		appendRequest(nil, 1, request{timeout: 1500 * time.Millisecond, method: "propose", payload: []byte{1, 2, 3}}),
		append(appendHeader(nil, frameAnswer, 1, 2), 4, 5),
		appendError(frameFault, 2, "no_quorum", "no leader"),
		appendError(frameRejection, 3, CodeBusy, "too many"),
		appendHeader(nil, frameCancel, 4, 0),
		appendHeader(nil, framePing, 0, 0),
		appendHeader(nil, framePong, 0, 0),
		appendRequest(nil, 5, request{timeout: time.Second, method: "seal.now", trace: someTrace}),
	}
	if len(frames) != len(golden) {
		t.Fatalf("%d vectors", len(golden))
	}
	for i, frame := range frames {
		if hex.EncodeToString(frame) != golden[i] {
			t.Errorf("frame %d is now %x", i, frame)
		}
	}
}

func TestFrameRefuses(t *testing.T) {
	for what, b := range map[string][]byte{
		"kind 0":          appendHeader(nil, 0, 1, 0),
		"kind 9":          appendHeader(nil, 9, 1, 0),
		"a long cancel":   appendHeader(nil, frameCancel, 1, 1),
		"a long ping":     appendHeader(nil, framePing, 1, 1),
		"a huge length":   appendHeader(nil, frameAnswer, 1, math.MaxUint32),
		"a cut header":    {frameAnswer},
		"a cut body":      appendHeader(nil, frameAnswer, 1, 10),
		"a cut long body": appendHeader(nil, frameAnswer, 1, 1000),
	} {
		if _, body, err := readFrame(bytes.NewReader(b), 100); err == nil || body != nil || errors.Is(err, errBodyTooLong) {
			t.Errorf("%s: %v, %v", what, body, err)
		}
	}
	if _, _, err := readFrame(bytes.NewReader(appendHeader(nil, frameAnswer, 1, maxFrameBody+1)), 100); !errors.Is(err, errFrameLength) {
		t.Errorf("a length over every limit: %v", err)
	}
	in := bytes.NewReader(append(append(appendHeader(nil, frameAnswer, 9, 101), make([]byte, 101)...), appendHeader(nil, framePing, 0, 0)...))
	if h, body, err := readFrame(in, 100); !errors.Is(err, errBodyTooLong) || h.id != 9 || body != nil {
		t.Errorf("over the limit: %v %v %v", h, body, err)
	}
	if h, _, err := readFrame(in, 100); err != nil || h.kind != framePing {
		t.Errorf("the frame after one over the limit: %v %v", h, err)
	}
	for _, body := range [][]byte{nil, {0, 0, 0, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 2, 'a'}, append([]byte{0, 0, 0, 0, 65}, make([]byte, 65)...)} {
		if q, err := parseRequest(frameRequest, body); err == nil {
			t.Errorf("%x is %+v", body, q)
		}
	}
}

func TestTracedRequestRefuses(t *testing.T) {
	right := appendRequest(nil, 1, request{method: "m", trace: someTrace})[frameHeader:]
	noTrace, noParent := bytes.Clone(right), bytes.Clone(right)
	clear(noTrace[:16])
	clear(noParent[16:24])
	for what, body := range map[string][]byte{"nothing": nil, "a cut trace": right[:24], "no request": right[:25], "a cut request": right[:29], "no trace": noTrace, "no parent": noParent} {
		if q, err := parseRequest(frameTraced, body); err == nil {
			t.Errorf("%s is %+v", what, q)
		}
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-1: 0, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000, math.MaxInt64 - time.Second: math.MaxUint32,
	} {
		if got := milliseconds(d); got != want {
			t.Errorf("%v: %d, want %d", d, got, want)
		}
	}
}

// FuzzFrame reads a connection's bytes as either end does.
func FuzzFrame(f *testing.F) {
	f.Add(appendRequest(nil, 1, request{timeout: time.Second, method: "propose", payload: []byte("x")}))
	f.Add(appendRequest(nil, 1, request{method: "m", trace: someTrace}))
	f.Add(append(appendHeader(nil, frameAnswer, 1, 2), 4, 5))
	f.Add(appendError(frameFault, 2, "no_quorum", "no leader"))
	f.Add(appendError(frameRejection, 3, CodeBusy, "too many"))
	f.Add(append(appendHeader(nil, frameCancel, 4, 0), appendHeader(nil, framePing, 0, 0)...))
	f.Add(appendHeader(nil, frameAnswer, 1, maxFrameBody+1))
	f.Add(append(appendHeader(nil, frameRequest, 1, 300), make([]byte, 300)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 256
		in := bytes.NewReader(b)
		for {
			start := len(b) - in.Len()
			h, body, err := readFrame(in, limit)
			if errors.Is(err, errBodyTooLong) {
				if h.length <= limit || body != nil {
					t.Fatalf("%+v is not too long", h)
				}
				continue
			}
			if err != nil {
				return
			}
			whole := append(appendHeader(nil, h.kind, h.id, len(body)), body...)
			if len(body) > limit || !bytes.Equal(whole, b[start:len(b)-in.Len()]) {
				t.Fatalf("%+v with %d bytes is not what was read", h, len(body))
			}
			switch h.kind {
			case frameRequest, frameTraced:
				if q, err := parseRequest(h.kind, body); err == nil && !bytes.Equal(appendRequest(nil, h.id, q), whole) {
					t.Fatalf("%+v is not what was read", q)
				}
			case frameFault, frameRejection:
				_, _, _ = decodeFault(body)
			}
		}
	})
}
