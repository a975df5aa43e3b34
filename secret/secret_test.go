package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestBytesRedactItself(t *testing.T) {
	b := Bytes("hunter2-hunter2")
	type holder struct{ Key Bytes }
	var text []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U"} {
		text = append(text, fmt.Sprintf(verb, b), fmt.Sprintf(verb, holder{b}), fmt.Sprintf(verb, []Bytes{b}))
	}
	for _, v := range []any{b, holder{b}, map[string]Bytes{"k": b}} {
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, string(out))
	}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("m", "b", b, "h", holder{b})
	}
	for line := range strings.Lines(log.String()) {
		text = append(text, line)
	}
	for _, s := range text {
		if !strings.Contains(s, redacted) {
			t.Errorf("%q is not redacted", s)
		}
		for _, leak := range []string{"hunter2", fmt.Sprintf("%x", []byte(b)), fmt.Sprintf("%X", []byte(b)), "104 117 110", "0x68", "aHVudGVyMi"} {
			if strings.Contains(s, leak) {
				t.Errorf("%q shows the bytes", s)
			}
		}
	}
}

func TestEqual(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"a", "", false},
	}
	for _, tt := range tests {
		if got := Equal([]byte(tt.a), []byte(tt.b)); got != tt.want {
			t.Errorf("Equal(%q, %q) = %v", tt.a, tt.b, got)
		}
	}
}

func TestWipe(t *testing.T) {
	b := []byte("abc")
	Wipe(b[:2])
	Bytes(b[2:]).Wipe()
	if !bytes.Equal(b, []byte{0, 0, 0}) {
		t.Errorf("after Wipe: %v", b)
	}
}
