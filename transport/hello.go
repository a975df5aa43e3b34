package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The handshake that opens every stream, after TLS:
//
//	dialer    hello ──────────────▶ acceptor checks; refusal ends it
//	dialer    checks ◀────────────── hello
//	dialer    accept, or refusal ──▶ acceptor hands the stream out
//
// Each message is
//
//	kind 1 | length 2 | body          length <= 2048, integers big-endian
//
// and the bodies are
//
//	hello    protocol 4 | feature level 4 | cluster id | node id | name | api addr | peer addr | version
//	         extensions 4
//	         each text is length 1 | printable ASCII; extensions are left out when there are none (an earlier release); what follows is ignored, so that a later release can append
//	accept   empty
//	refusal  code: length 1 | text; the rest is the message (cut at 512 bytes)
const (
	kindHello   = 1
	kindAccept  = 2
	kindRefusal = 3

	handshakeHeader = 3
	maxHandshake    = 2048
	maxHelloText    = 255
	maxErrorCode    = 64
	maxRefusal      = 512
)

var (
	errHelloFormat = errors.New("malformed hello")
	errHelloText   = fmt.Errorf("hello: a text is over %d bytes or not printable ASCII", maxHelloText)
)

// The extensions, as bits of Hello.Extensions.
const extensionTraced = 1 // traced requests

func (h *Hello) texts() [6]*string {
	return [6]*string{&h.ClusterID, &h.NodeID, &h.Name, &h.APIAddr, &h.PeerAddr, &h.Version}
}

func encodeHello(h Hello) ([]byte, error) {
	b := binary.BigEndian.AppendUint32(nil, h.Protocol)
	b = binary.BigEndian.AppendUint32(b, h.FeatureLevel)
	for _, text := range h.texts() {
		if len(*text) > maxHelloText || !printable(*text) {
			return nil, errHelloText
		}
		b = append(b, byte(len(*text)))
		b = append(b, *text...)
	}
	if h.Extensions != 0 {
		b = binary.BigEndian.AppendUint32(b, h.Extensions)
	}
	return b, nil
}

func decodeHello(b []byte) (Hello, error) {
	var h Hello
	if len(b) < 8 || len(b) > maxHandshake {
		return Hello{}, errHelloFormat
	}
	h.Protocol = binary.BigEndian.Uint32(b)
	h.FeatureLevel = binary.BigEndian.Uint32(b[4:])
	b = b[8:]
	for _, text := range h.texts() {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return Hello{}, errHelloFormat
		}
		end := 1 + int(b[0])
		*text = string(b[1:end])
		b = b[end:]
		if !printable(*text) {
			return Hello{}, errHelloText
		}
	}
	if len(b) >= 4 {
		h.Extensions = binary.BigEndian.Uint32(b)
	}
	return h, nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// appendFault and decodeFault are the form of an error on the wire, here and in a call's answer.
func appendFault(b []byte, code, message string, maxMessage int) []byte {
	code = code[:min(len(code), maxErrorCode)]
	b = append(b, byte(len(code)))
	b = append(b, code...)
	return append(b, message[:min(len(message), maxMessage)]...)
}

func decodeFault(b []byte) (code, message string, err error) {
	if len(b) == 0 || int(b[0]) > maxErrorCode || len(b) < 1+int(b[0]) {
		return "", "", errors.New("malformed error answer")
	}
	end := 1 + int(b[0])
	return clean(b[1:end]), clean(b[end:]), nil
}

// clean makes a peer's text safe to log: what is not printable becomes a question mark.
func clean(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(b))
}

// errorCode is the code that err carries for a peer, "" when none.
func errorCode(err error) string {
	var coded interface{ RPCCode() string }
	if errors.As(err, &coded) {
		return coded.RPCCode()
	}
	return ""
}

func writeHandshake(w io.Writer, kind byte, body []byte) error {
	if len(body) > maxHandshake {
		return errHelloFormat
	}
	message := append([]byte{kind, byte(len(body) >> 8), byte(len(body))}, body...)
	_, err := w.Write(message)
	return err
}

func readHandshake(r io.Reader) (kind byte, body []byte, err error) {
	var header [handshakeHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	length := int(header[1])<<8 | int(header[2])
	if length > maxHandshake {
		return 0, nil, errHelloFormat
	}
	body = make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	return header[0], body, nil
}

// sendHello, receiveHello, sendRefusal and receiveAccept are the steps that the two sides are made of.

func sendHello(w io.Writer, h Hello) error {
	body, err := encodeHello(h)
	if err != nil {
		return err
	}
	return writeHandshake(w, kindHello, body)
}

func receiveHello(r io.Reader) (Hello, error) {
	body, err := receive(r, kindHello)
	if err != nil {
		return Hello{}, err
	}
	return decodeHello(body)
}

func receiveAccept(r io.Reader) error {
	_, err := receive(r, kindAccept)
	return err
}

// receive reads a message of the wanted kind; a refusal instead is a *RefusedError.
func receive(r io.Reader, want byte) ([]byte, error) {
	kind, body, err := readHandshake(r)
	switch {
	case err != nil:
		return nil, err
	case kind == want:
		return body, nil
	case kind == kindRefusal:
		code, message, err := decodeFault(body)
		if err != nil {
			return nil, err
		}
		return nil, &RefusedError{Remote: true, Code: code, Message: message}
	default:
		return nil, errHelloFormat
	}
}

func sendRefusal(w io.Writer, refusal error) error {
	message := refusal.Error()
	var refused *RefusedError
	if errors.As(refusal, &refused) {
		message = refused.Message
	}
	return writeHandshake(w, kindRefusal, appendFault(nil, errorCode(refusal), message, maxRefusal))
}

// checkPeer is the identity check of section "Identity": the hello must speak this protocol and bear
// the name in the certificate, which must not be this node's own; the rest is for check to say.
func checkPeer(p Peer, certName, ownName string, check func(Peer) error) error {
	refuse := func(format string, args ...any) error {
		return &RefusedError{Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case p.Protocol != ProtocolVersion:
		return refuse("protocol %d is not spoken here, %d is", p.Protocol, ProtocolVersion)
	case p.Name != certName:
		return refuse("the hello says node %q but the certificate names node %q", p.Name, certName)
	case p.Name == ownName:
		return refuse("%q is the name of the node itself", p.Name)
	case p.NodeID == "":
		return refuse("the hello has no node id")
	case check == nil:
		return nil
	}
	if err := check(p); err != nil {
		return &RefusedError{Code: errorCode(err), Message: err.Error()}
	}
	return nil
}
