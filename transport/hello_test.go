package transport

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var fullHello = Hello{
	Protocol: 1, FeatureLevel: 7,
	ClusterID: "00112233445566778899aabbccddeeff", NodeID: "ffeeddccbbaa99887766554433221100", Name: "node-1",
	APIAddr: "https://node-1:8200", PeerAddr: "node-1:8300", Version: "0.1.0",
}

// The vector is of the first release: a hello must be read for as long as the protocol is 1.
func TestHelloGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/hello_v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := encodeHello(fullHello)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encoded, golden) {
		t.Errorf("encoding changed:\n%x", encoded)
	}
	if decoded, err := decodeHello(golden); err != nil || decoded != fullHello {
		t.Errorf("%+v, %v", decoded, err)
	}
	extended := fullHello
	extended.Extensions = 0x01020304
	if encoded, err = encodeHello(extended); err != nil || !bytes.Equal(encoded, append(bytes.Clone(golden), 1, 2, 3, 4)) {
		t.Errorf("with extensions: %x, %v", encoded, err)
	}
	for _, tail := range []string{"", "\x05later", strings.Repeat("x", 100)} {
		decoded, err := decodeHello(append(bytes.Clone(encoded), tail...))
		if err != nil || decoded != extended {
			t.Errorf("with %d bytes of a later release: %+v, %v", len(tail), decoded, err)
		}
	}
	for n := range golden {
		if _, err := decodeHello(golden[:n]); err == nil {
			t.Errorf("a hello cut at %d bytes was accepted", n)
		}
	}
}

func TestHelloLongestTexts(t *testing.T) {
	h := fullHello
	for _, text := range h.texts() {
		*text = strings.Repeat("x", maxHelloText)
	}
	encoded, err := encodeHello(h)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeHello(encoded); err != nil || got != h {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestHelloRefusesUnprintable(t *testing.T) {
	for _, text := range []string{"\n", "\x1b[31m", "\x00", "é", strings.Repeat("a", 256)} {
		h := fullHello
		h.Version = text
		if _, err := encodeHello(h); err == nil {
			t.Errorf("%q was encoded", text)
		}
	}
	encoded, _ := encodeHello(fullHello)
	encoded[len(encoded)-1] = '\n'
	if _, err := decodeHello(encoded); err == nil {
		t.Error("a line feed was decoded")
	}
}

func TestHelloRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~]{0,255}`)
		h := Hello{
			Protocol: rapid.Uint32().Draw(t, "protocol"), FeatureLevel: rapid.Uint32().Draw(t, "level"),
			ClusterID: text.Draw(t, "cluster"), NodeID: text.Draw(t, "id"), Name: text.Draw(t, "name"),
			APIAddr: text.Draw(t, "api"), PeerAddr: text.Draw(t, "peer"), Version: text.Draw(t, "version"),
			Extensions: rapid.Uint32().Draw(t, "extensions"),
		}
		encoded, err := encodeHello(h)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeHello(encoded); err != nil || got != h {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func TestHandshakeBounds(t *testing.T) {
	if err := writeHandshake(&bytes.Buffer{}, kindHello, make([]byte, maxHandshake+1)); err == nil {
		t.Error("an oversized message was written")
	}
	if _, _, err := readHandshake(bytes.NewReader([]byte{kindHello, 0xff, 0xff})); !errors.Is(err, errHelloFormat) {
		t.Errorf("an oversized message: %v", err)
	}
	var wire bytes.Buffer
	if err := sendRefusal(&wire, errors.New(strings.Repeat("x", 100_000)+"\x1b[2J")); err != nil {
		t.Fatal(err)
	}
	_, err := receiveHello(&wire)
	var refused *RefusedError
	if !errors.As(err, &refused) || !refused.Remote || len(refused.Message) != maxRefusal {
		t.Errorf("a refusal arrived as %v", err)
	}
	wire.Reset()
	if err := sendRefusal(&wire, &RefusedError{Code: "removed", Message: "gone\x1b[2J\nline"}); err != nil {
		t.Fatal(err)
	}
	if err := receiveAccept(&wire); !errors.As(err, &refused) || refused.Code != "removed" || refused.Message != "gone?[2J?line" {
		t.Errorf("a refusal arrived as %v", err)
	}
}

func FuzzHello(f *testing.F) {
	seed, _ := encodeHello(fullHello)
	f.Add(seed)
	f.Add(append(bytes.Clone(seed), "later"...))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHello(b)
		if err != nil {
			if h != (Hello{}) {
				t.Fatal("an error and a hello")
			}
			return
		}
		encoded, err := encodeHello(h)
		if err != nil || !bytes.HasPrefix(b, encoded) {
			t.Fatalf("%+v encodes to %x, %v", h, encoded, err)
		}
	})
}

func FuzzHandshake(f *testing.F) {
	var wire bytes.Buffer
	_ = sendHello(&wire, fullHello)
	f.Add(wire.Bytes())
	var refusal bytes.Buffer
	_ = sendRefusal(&refusal, &RefusedError{Code: "removed", Message: "gone"})
	f.Add(refusal.Bytes())
	f.Add([]byte{kindAccept, 0, 0})
	f.Add([]byte{kindRefusal, 0, 0})
	f.Add([]byte{kindHello, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, helloErr := receiveHello(bytes.NewReader(b))
		var refused *RefusedError
		if errors.As(helloErr, &refused) {
			if !refused.Remote || len(refused.Code) > 3*maxErrorCode || len(refused.Message) > 3*maxHandshake {
				t.Fatalf("%+v", refused)
			}
			if strings.ContainsAny(refused.Error(), "\n\r\x1b\x00") {
				t.Fatalf("unprintable text reaches the log: %q", refused.Error())
			}
		}
		acceptErr := receiveAccept(bytes.NewReader(b))
		if helloErr == nil && acceptErr == nil {
			t.Fatal("one message is a hello and an accept")
		}
	})
}

func FuzzFault(f *testing.F) {
	f.Add(appendFault(nil, "code", "message", maxFaultMessage))
	f.Add([]byte{})
	f.Add([]byte{200})
	f.Fuzz(func(t *testing.T, b []byte) {
		code, message, err := decodeFault(b)
		if err != nil {
			return
		}
		again, text, err := decodeFault(appendFault(nil, code, message, len(message)))
		if len(code) <= maxErrorCode && (err != nil || !reflect.DeepEqual([]string{code, message}, []string{again, text})) {
			t.Fatalf("%q %q became %q %q, %v", code, message, again, text, err)
		}
	})
}
