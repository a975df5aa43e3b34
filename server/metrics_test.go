package server

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
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
	late := filepath.Join(dir, "late", transport.CACertFile)
	pair := "&cert_file=" + late + "&key_file=" + filepath.Join(dir, "late", transport.CAKeyFile)
	cfg := Config{PeerTLS: TLSFiles{CAFile: file, CertFile: "nowhere", KeyFile: "nowhere"}, APITLS: TLSFiles{CAFile: "nowhere"}, Audit: AuditConfig{Sinks: []string{
		"stdout:", "syslog+tls://a:1?ca_file=" + late, "syslog+tls://b:1?ca_file=" + file + pair, "syslog+tls://c:1?ca_file=nowhere"}}}
	got := map[string]time.Time{}
	for _, c := range certificatesOf(cfg) {
		if _, twice := got[c.Name]; twice {
			t.Errorf("%s is told twice", c.Name)
		}
		got[c.Name] = c.NotAfter
	}
	want := map[string]time.Duration{"peer_ca": 24 * time.Hour, "audit": 48 * time.Hour, "audit_ca": 24 * time.Hour}
	for name, in := range want {
		if !got[name].Equal(now.Add(in)) {
			t.Errorf("%s ends %s", name, got[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
}

// Every directory with records has its space told, once.
func TestSpacesOf(t *testing.T) {
	dir := t.TempDir()
	other := t.TempDir()
	cfg := Config{DataDir: dir, Audit: AuditConfig{File: filepath.Join(dir, "audit.jsonl"), Sinks: []string{
		"stdout:", "file:" + dir + "/second.jsonl", "file:" + other + "/third.jsonl", "file:" + other + "/fourth.jsonl"}}}
	var got []string
	for _, one := range spacesOf(cfg) {
		d := one.now()
		if d == nil || d.Size == 0 {
			t.Fatalf("%+v", d)
		}
		got = append(got, d.Directory)
	}
	if want := []string{"data", "audit", "audit:" + other}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSpaceOf(t *testing.T) {
	dir := t.TempDir()
	if d := spaceOf("data", dir).now(); d == nil || d.Directory != "data" || d.Size == 0 || d.Free > d.Size {
		t.Errorf("%+v", d)
	}
	if d := spaceOf("data", filepath.Join(dir, "gone")).now(); d != nil {
		t.Errorf("a directory that is gone has %+v", d)
	}
}

// What hangs is not known and holds nobody up, one read at a time, until it comes back.
func TestLookThatHangs(t *testing.T) {
	var reads atomic.Int64
	disk := make(chan int)
	l := &look[int]{read: func() (int, error) { reads.Add(1); return <-disk, nil }}
	for range 2 {
		if v := l.now(); v != nil {
			t.Errorf("what is not known is %d", *v)
		}
	}
	if n := reads.Load(); n != 1 {
		t.Errorf("%d reads hang", n)
	}
	disk <- 5
	for l.busy.Load() {
		runtime.Gosched()
	}
	go func() { disk <- 7 }()
	if v := l.now(); v == nil || *v != 7 {
		t.Errorf("%v", v)
	}
}
