package replica

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// Raft's lines keep their levels; a warning that is repeated at once is Debug, unless it is about another peer.
func TestRaftLogger(t *testing.T) {
	var out bytes.Buffer
	logger := newRaftLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	logger.Debug("d")
	logger.Info("i", "term", 7)
	logger.Warn("w")
	logger.Warn("w")
	for _, peer := range []string{"a", "b", "a"} {
		logger.Error("e", "term", 7, "peer", peer)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		got = append(got, line)
	}
	if want := "level=DEBUG msg=d|level=INFO msg=i term=7|level=WARN msg=w|level=DEBUG msg=w|level=ERROR msg=e term=7 peer=a|level=ERROR msg=e term=7 peer=b|level=DEBUG msg=e term=7 peer=a"; strings.Join(got, "|") != want {
		t.Errorf("%s", strings.Join(got, "|"))
	}
}
