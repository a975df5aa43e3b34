package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/transport"
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

// TestEverySinkHasTheRecords writes to a second file and to a collector that asks for a certificate.
func TestEverySinkHasTheRecords(t *testing.T) {
	dir := t.TempDir()
	ca, err := transport.NewCA("CA", transport.Validity{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	pair, err := ca.IssueNode("n", []string{"127.0.0.1"}, transport.Validity{})
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := pair.Save(at("n.pem"), at("n-key.pem")); err != nil {
		t.Fatal(err)
	}
	own, err := transport.LoadPair(at("n.pem"), at("n-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := transport.LoadPool(at(transport.CACertFile))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	collected := make(chan string, 1)
	go func() {
		c, err := listener.Accept()
		if err == nil {
			all, _ := io.ReadAll(c)
			collected <- string(all)
		}
	}()

	cfg := defaultConfig()
	cfg.Name = "n"
	cfg.Audit.File, cfg.Audit.Require = at("audit.jsonl"), 3
	url := "syslog+tls://" + listener.Addr().String() + "?cert_file=" + at("n.pem") + "&key_file=" + at("n-key.pem")
	cfg.Audit.Sinks = []string{"file:" + at("second.jsonl"), url + "&ca_file=" + at(transport.CACertFile)}
	s := &Server{node: &node{cfg: cfg}, logs: newLogs(LogConfig{Level: "error"}, "n", nil, io.Discard)}
	s.node.metrics = s.node.newMetrics()
	log, err := s.openAudit(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(&audit.Record{Time: time.Now(), Name: "Encrypt"}); err != nil {
		t.Error(err)
	}
	s.close()
	const want = "[AuditStarted Encrypt AuditStopped]"
	for _, name := range []string{"audit.jsonl", "second.jsonl"} {
		if b, err := os.ReadFile(at(name)); err != nil || fmt.Sprint(eventNames(b)) != want {
			t.Errorf("%s has %s, %v", name, b, err)
		}
	}
	if got := <-collected; fmt.Sprint(eventNames([]byte(got))) != want || !strings.Contains(got, " n lockstep - Encrypt - {") {
		t.Errorf("the collector has %s", got)
	}
	for _, bad := range []string{url + "&ca_file=" + at("none.pem"), strings.Replace(url, "n-key", "other", 1), "file:" + at("n.pem/audit.jsonl"), "x"} {
		cfg.Audit.Sinks = []string{bad}
		if _, err := s.openAudit(cfg); err == nil || !strings.Contains(err.Error(), "audit.sinks") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func eventNames(lines []byte) (names []string) {
	for _, m := range regexp.MustCompile(`"eventName":"(\w+)"`).FindAllSubmatch(lines, -1) {
		names = append(names, string(m[1]))
	}
	return names
}
