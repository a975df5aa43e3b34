package server

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/transport"
)

func TestMayScrape(t *testing.T) {
	const token = "0123456789abcdef"
	for name, tt := range map[string]struct {
		cfg    Config
		bearer string
		want   kms.Code
	}{
		"the token":                    {Config{MetricsToken: token}, token, ""},
		"another token":                {Config{MetricsToken: token}, "0123456789abcdeF", kms.CodeUnauthenticated},
		"no token":                     {Config{MetricsToken: token}, "", kms.CodeUnauthenticated},
		"none configured":              {Config{}, token, kms.CodeNotFound},
		"none configured nor given":    {Config{}, "", kms.CodeNotFound},
		"development":                  {Config{Dev: true}, "", ""},
		"development, token":           {Config{Dev: true, MetricsToken: token}, token, ""},
		"development, token not given": {Config{Dev: true, MetricsToken: token}, "", kms.CodeUnauthenticated},
	} {
		if got := kms.CodeOf((&node{cfg: tt.cfg}).mayScrape(tt.bearer)); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// Of several certificates in a file the one that ends first counts.
func TestCertificatesOf(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Second)
	ca := func(name string, ends time.Time) []byte {
		c, err := transport.NewCA(name, transport.Validity{From: now, For: ends.Sub(now)})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := c.Save(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, name, transport.CACertFile))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	both := append(ca("late", now.Add(48*time.Hour)), ca("soon", now.Add(24*time.Hour))...)
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	got := certificatesOf(Config{PeerTLS: TLSFiles{CAFile: file, CertFile: "nowhere", KeyFile: "nowhere"}, APITLS: TLSFiles{CAFile: "nowhere"}})
	if len(got) != 1 || got[0].Name != "peer_ca" || !got[0].NotAfter.Equal(now.Add(24*time.Hour)) {
		t.Errorf("%+v", got)
	}
}

func TestSpace(t *testing.T) {
	s := &space{name: "data", path: t.TempDir()}
	if d := s.look(); d == nil || d.Directory != "data" || d.Size == 0 || d.Free > d.Size {
		t.Errorf("%+v", d)
	}
	s.path = filepath.Join(s.path, "gone")
	if d := s.look(); d != nil {
		t.Errorf("a directory that is gone has %+v", d)
	}
	s.busy.Store(true) // as while a look hangs
	if d := s.look(); d != nil {
		t.Errorf("what is not known is %+v", d)
	}
}
