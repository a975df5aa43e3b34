package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/chain"
)

// auditSigner is an unsealed node.
type auditSigner struct{ key ed25519.PrivateKey }

func (s auditSigner) Sign(seq uint64, hash chain.Hash, at time.Time) (chain.Head, ed25519.PublicKey, []byte) {
	h := chain.Head{Cluster: "c1", Node: "n1", Seq: seq, Hash: hash, Time: at.UnixMilli()}
	return h, s.key.Public().(ed25519.PublicKey), h.Sign(s.key)
}

// writeTrail writes the trail of a node that stopped, in several files, and a checkpoint.
func writeTrail(t *testing.T) (dir, checkpoint string) {
	t.Helper()
	dir, checkpoint = t.TempDir(), filepath.Join(t.TempDir(), "checkpoint.json")
	sink, err := audit.OpenFile(filepath.Join(dir, "audit.jsonl"), audit.FileOptions{MaxSize: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.New(audit.Options{Sinks: []audit.Sink{sink}, Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	signer := auditSigner{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))}
	log.SetSigner(signer)
	for range 20 {
		if err := log.Append(&audit.Record{Time: time.Now(), Source: "kms.amazonaws.com", Name: "Encrypt", Node: "n1"}); err != nil {
			t.Fatal(err)
		}
	}
	head, _, err := log.SignHead()
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(chain.Checkpoint{ClusterID: "c1", Anchors: []chain.Anchor{{Node: "n1", PublicKey: signer.key.Public().(ed25519.PublicKey),
		Seq: head.Seq, Hash: head.Hash.String(), Time: time.UnixMilli(head.Time)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(checkpoint, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, checkpoint
}

func TestAuditVerify(t *testing.T) {
	dir, checkpoint := writeTrail(t)
	verify := func(code int, stdin string, args ...string) (stdout, stderr string) {
		t.Helper()
		got, stdout, stderr := lockstep(t, nil, stdin, append([]string{"audit", "verify"}, args...)...)
		if got != code {
			t.Errorf("%q: %d %q %q", args, got, stdout, stderr)
		}
		return stdout, stderr
	}
	has := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%q is not in %q", part, text)
			}
		}
	}
	stdout, _ := verify(0, "", "--checkpoint", checkpoint, dir)
	has(stdout, "NODE", "SIGNED UP TO", "n1", "whole, as the checkpoint says")
	stdout, _ = verify(0, "", dir)
	has(stdout, "remark: nothing vouches for the end of the trail", "give a checkpoint")
	text, err := os.ReadFile(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	active := filepath.Join(dir, "audit.jsonl")
	stdout, _ = verify(0, string(text), "--checkpoint", "-", "-o", "json", active, filepath.Join(dir, "audit-*"), active)
	var answer struct {
		Whole bool
		Nodes []struct {
			Node     string
			Files    int
			Records  int
			Anchored bool
		}
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || !answer.Whole || len(answer.Nodes) != 1 || answer.Nodes[0].Files != len(files)+1 || !answer.Nodes[0].Anchored {
		t.Errorf("%v %s", err, stdout)
	}

	// Somebody compresses the first file, then changes a record of it.
	compress := func(content []byte) {
		t.Helper()
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(content)
		w.Close()
		if err := os.WriteFile(files[0]+".gz", b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	compress(first)
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	verify(0, "", "--checkpoint", checkpoint, dir)
	compress(bytes.Replace(first, []byte("Encrypt"), []byte("Decrypt"), 1))
	stdout, stderr := verify(1, "", dir)
	has(stdout, "NOT WHOLE", "fault: "+files[0]+".gz:2: record 2 (", "it was altered")
	has(stderr, "lockstep: the audit trail is not whole: "+files[0]+".gz:2: record 2 (")
	stdout, stderr = verify(1, "", "-o", "json", dir)
	has(stdout, `"whole": false`, `"seq": 2`)
	has(stderr, "not whole")
	if err := os.WriteFile(files[0]+".gz", []byte("no gzip, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr = verify(1, "", dir)
	has(stderr, files[0]+".gz: gzip: invalid header")
	if err := os.Remove(files[0] + ".gz"); err != nil {
		t.Fatal(err)
	}
	_, stderr = verify(1, "", dir)
	has(stderr, "missing here")
	verify(0, "", "--partial", dir)

	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, "FILE is missing", nil},
		{2, "--output is table or json", []string{"-o", "xml", dir}},
		{2, "unknown flag", []string{"--frob", dir}},
		{1, "no such file", []string{filepath.Join(dir, "none.jsonl")}},
		{1, "no such file", []string{filepath.Join(dir, "none*")}},
		{1, "there is no such file", []string{t.TempDir()}},
		{1, "the checkpoint " + active, []string{"--checkpoint", active, dir}},
		{1, "no such file", []string{"--checkpoint", "/nowhere/checkpoint", dir}},
		{1, "hold no record", []string{os.DevNull}},
	} {
		_, stderr := verify(c.code, "", c.args...)
		has(stderr, c.says)
	}
}
