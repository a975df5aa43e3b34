package server

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
)

func TestReopenAudit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit", "audit.jsonl")
	cfg := defaultConfig()
	cfg.Audit.File = path
	s := &Server{node: &node{cfg: cfg}, logs: newLogs(LogConfig{Level: "error"}, "n", nil, io.Discard)}
	s.node.metrics = s.node.newMetrics()
	log, err := s.openAudit(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	write := func(name string) {
		t.Helper()
		if err := log.Append(&audit.Record{Time: time.Now(), Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	write("Before")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.ReopenAudit()
	write("After")
	for at, want := range map[string]string{path + ".1": "[AuditStarted Before]", path: "[After]"} {
		if b, err := os.ReadFile(at); err != nil || fmt.Sprint(eventNames(b)) != want {
			t.Errorf("%s has %q, %v", at, b, err)
		}
	}
}

func eventNames(lines []byte) (names []string) {
	for _, m := range regexp.MustCompile(`"eventName":"(\w+)"`).FindAllSubmatch(lines, -1) {
		names = append(names, string(m[1]))
	}
	return names
}
