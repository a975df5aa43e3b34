package transport

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCASaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	ca, err := NewCA("acme", Validity{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	for file, mode := range map[string]os.FileMode{CACertFile: 0o644, CAKeyFile: 0o600, ".": 0o700 | os.ModeDir} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", file, info.Mode(), mode)
		}
	}
	if err := ca.Save(dir); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second save: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, CACertFile)); err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(dir); err == nil || !strings.Contains(err.Error(), CAKeyFile+" exists already") {
		t.Errorf("a save over a key alone: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, CACertFile), ca.CertPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := loaded.IssueNode("node-1", []string{"node-1.internal", "127.0.0.1", "::1"}, Validity{})
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "node-1.pem"), filepath.Join(dir, "node-1-key.pem")
	if err := pair.Save(certFile, keyFile); err != nil {
		t.Fatal(err)
	}
	cert, err := LoadPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := LoadPool(filepath.Join(dir, CACertFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"node-1.internal", "127.0.0.1", "::1"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host}); err != nil {
			t.Errorf("as a server at %s: %v", host, err)
		}
	}
	if id, err := IdentityOf(cert.Leaf); err != nil || id != (Identity{RoleNode, "node-1"}) {
		t.Errorf("identity %v, %v", id, err)
	}
	if _, err := LoadPool(keyFile); err == nil {
		t.Error("a key file was taken for CA certificates")
	}
	if _, err := LoadPair(certFile, filepath.Join(dir, CAKeyFile)); err == nil {
		t.Error("another key was taken for the certificate's")
	}
}

func TestLeafIsNoCA(t *testing.T) {
	dir := t.TempDir()
	pair, err := newNetwork(t).ca.IssueNode("a", nil, Validity{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Save(filepath.Join(dir, CACertFile), filepath.Join(dir, CAKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCA(dir); err == nil {
		t.Error("a node's certificate was loaded as a CA")
	}
}

func TestPairDoesNotPrintItsKey(t *testing.T) {
	pair, err := newNetwork(t).ca.IssueOperator("alice", Validity{})
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Split(string(pair.KeyPEM), "\n")[1]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		for _, value := range []any{pair, *pair} {
			if text := fmt.Sprintf(verb, value); text != "[certificate and key]" || strings.Contains(text, key) {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
}

func TestLeafNeverOutlivesTheCA(t *testing.T) {
	ca, err := NewCA("short", Validity{For: 3 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	cert := nodeCert(t, ca, "a", Validity{})
	if cert.Leaf.NotAfter.After(ca.Cert.NotAfter) {
		t.Errorf("leaf ends %v, CA %v", cert.Leaf.NotAfter, ca.Cert.NotAfter)
	}
}

func TestIssueRefuses(t *testing.T) {
	ca := newNetwork(t).ca
	for _, name := range []string{"", "A", "a_b", "-a", "a-", "a/b", strings.Repeat("a", 64), "a\n", "é"} {
		if _, err := ca.IssueNode(name, nil, Validity{}); err == nil {
			t.Errorf("node name %q was accepted", name)
		}
	}
	for _, host := range []string{"", "a:8300", "a b", "http://a", "-a", "a..b", strings.Repeat("a", 254)} {
		if _, err := ca.IssueServer([]string{host}, Validity{}); err == nil {
			t.Errorf("host %q was accepted", host)
		}
	}
	if _, err := ca.IssueServer(nil, Validity{}); err == nil {
		t.Error("a server certificate for no host")
	}
}

func TestIdentityOf(t *testing.T) {
	for _, test := range []struct {
		uris string
		want string // the identity; "" is an error
	}{
		{"lockstep://node/a", "node a"},
		{"lockstep://operator/alice", "operator alice"},
		{"https://example.com/x lockstep://node/a", "node a"},
		{"", ""},
		{"https://example.com/node/a", ""},
		{"lockstep://node/a lockstep://node/b", ""},
		{"lockstep://node/a lockstep://operator/a", ""},
		{"lockstep://root/a", ""},
		{"lockstep://node/", ""},
		{"lockstep://node/A", ""},
		{"lockstep://node//a", ""},
		{"lockstep://node/a/b", ""},
		{"lockstep://node/a?x=1", ""},
		{"lockstep://node/a#b", ""},
		{"lockstep://u@node/a", ""},
		{"lockstep://node:1/a", ""},
		{"lockstep:node/a", ""},
	} {
		cert := &x509.Certificate{}
		for text := range strings.FieldsSeq(test.uris) {
			uri, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, uri)
		}
		id, err := IdentityOf(cert)
		if (err == nil) != (test.want != "") || (err == nil && id.String() != test.want) {
			t.Errorf("%q: %v, %v; want %q", test.uris, id, err, test.want)
		}
	}
}
