package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
)

func TestReopenAudit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit", "audit.jsonl")
	cfg := defaultConfig()
	cfg.Audit.File = path
	s := &Server{node: &node{}, log: slog.New(slog.DiscardHandler)}
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
	for at, want := range map[string]string{path + ".1": "Before", path: "After"} {
		if b, err := os.ReadFile(at); err != nil || strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), want) {
			t.Errorf("%s has %q, %v", at, b, err)
		}
	}
}
