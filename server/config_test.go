package server

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func noEnv(string) (string, bool) { return "", false }

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const goodConfig = `
name: node-0
data_dir: /var/lib/lockstep
api_listen: 127.0.0.1:8200
peer_listen: 127.0.0.1:8300
peer_tls: {ca_file: ca.pem, cert_file: c.pem, key_file: k.pem}
api_tls: {cert_file: a.pem, key_file: ak.pem}
audit: {file: /var/log/lockstep/audit.jsonl}
peers:
  - {name: node-0, addr: "127.0.0.1:8300"}
  - {name: node-1, addr: "127.0.0.1:8301"}
  - {name: node-2, addr: "127.0.0.1:8302"}
`

func TestConfigOrderOfSources(t *testing.T) {
	path := writeConfig(t, goodConfig+"log: {level: warn}\n")
	env := func(name string) (string, bool) {
		switch name {
		case "LOCKSTEP_LOG_LEVEL":
			return "error", true
		case "LOCKSTEP_AUDIT_TIMEOUT":
			return "3s", true
		}
		return "", false
	}
	cfg, err := LoadConfig(path, env, map[string]string{"log-level": "debug", "regions": "eu-west-1,us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Log.Level != "debug" || cfg.Audit.Timeout != 3*time.Second || len(cfg.Regions) != 2 || cfg.Regions[0] != "eu-west-1" {
		t.Errorf("flag over variable over file over default does not hold: %+v", cfg)
	}
	if cfg.APIAddr != "https://127.0.0.1:8200" || cfg.PeerAddr != "127.0.0.1:8300" {
		t.Errorf("derived addresses: api %q, peer %q", cfg.APIAddr, cfg.PeerAddr)
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	cases := []struct {
		name, text string
		want       []string
	}{
		{"unknown setting with its line", "name: node-0\nnmae: x\n", []string{"line 2", "nmae"}},
		{"no TLS off dev", strings.Replace(goodConfig, "api_tls: {cert_file: a.pem, key_file: ak.pem}", "", 1), []string{"api_tls"}},
		{"dev off loopback", strings.Replace(goodConfig, "127.0.0.1:8200", "0.0.0.0:8200", 1) + "dev: true\n", []string{"loopback"}},
		{"audit inside the data directory", strings.Replace(goodConfig, "/var/log/lockstep/", "/var/lib/lockstep/", 1), []string{"ciphertext only"}},
		{"not among its peers", strings.Replace(goodConfig, "name: node-0\n", "name: node-9\n", 1), []string{"node-9"}},
		{"more audit sinks required than there are", strings.Replace(goodConfig, "audit.jsonl}", "audit.jsonl, require: 2}", 1), []string{"audit.require"}},
		{"audit files that are too small or too short", strings.Replace(goodConfig, "audit.jsonl}", "audit.jsonl, max_size: 1000, max_age: 1s, retain: 1m, retain_size: 1048577}", 1),
			[]string{"audit.max_size", "audit.max_age", "audit.retain:"}},
		{"audit files that take more than is retained", strings.Replace(goodConfig, "audit.jsonl}", "audit.jsonl, retain_size: 1048576}", 1), []string{"audit.retain_size"}},
		{"several at once", "name: UPPER\n", []string{"name:", "data_dir:", "peer_tls:", "audit.file:"}},
		{"duplicate peer", goodConfig + "  - {name: node-2, addr: \"127.0.0.1:8309\"}\n", []string{"node-2 stands twice"}},
		{"short token", goodConfig + "init_token: short\n", []string{"init_token"}},
		{"metrics", goodConfig + "metrics_listen: here\nmetrics_token: short\nmetrics_keys: 1001\n", []string{"metrics_listen", "metrics_token", "metrics_keys"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := LoadConfig(writeConfig(t, c.text), noEnv, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// TestEverySettingHasAFlagAVariableAndHelp walks the struct: a setting without one of the three
// would exist for users of the file alone.
func TestEverySettingHasAFlagAVariableAndHelp(t *testing.T) {
	var cfg Config
	v := reflect.ValueOf(&cfg).Elem()
	texts := map[reflect.Kind]string{reflect.String: "x", reflect.Bool: "true", reflect.Int: "7", reflect.Int64: "7", reflect.Uint64: "7", reflect.Slice: "a=b:1"}
	doc, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		if s.Help == "" {
			t.Errorf("--%s has no help", s.Flag)
		}
		field := v.FieldByIndex(s.path)
		text := texts[field.Kind()]
		if field.Type() == reflect.TypeFor[time.Duration]() {
			text = "7s"
		}
		if err := setField(field, text); err != nil || field.IsZero() {
			t.Errorf("--%s cannot be set from text: %v", s.Flag, err)
		}
		if !strings.Contains(string(doc), "`"+s.Env+"`") {
			t.Errorf("docs/configuration.md does not list %s", s.Env)
		}
	}
}

// TestDevDiffersOnlyInHTTP holds what 'lockstep dev' may turn off to the one thing it says.
func TestDevDiffersOnlyInHTTP(t *testing.T) {
	withoutTLS := strings.Replace(goodConfig, "api_tls: {cert_file: a.pem, key_file: ak.pem}", "", 1)
	if _, err := LoadConfig(writeConfig(t, withoutTLS+"dev: true\n"), noEnv, nil); err != nil {
		t.Errorf("a dev node on loopback without TLS: %v", err)
	}
	for _, drop := range []string{"peer_tls: {ca_file: ca.pem, cert_file: c.pem, key_file: k.pem}", "audit: {file: /var/log/lockstep/audit.jsonl}"} {
		if _, err := LoadConfig(writeConfig(t, strings.Replace(withoutTLS, drop, "", 1)+"dev: true\n"), noEnv, nil); err == nil {
			t.Errorf("dev was accepted without %q", drop)
		}
	}
	dev, _ := LoadConfig(writeConfig(t, withoutTLS+"dev: true\n"), noEnv, nil)
	prod, _ := LoadConfig(writeConfig(t, goodConfig), noEnv, nil)
	dev.Dev, dev.APITLS, dev.APIAddr = prod.Dev, prod.APITLS, prod.APIAddr
	if !reflect.DeepEqual(dev, prod) {
		t.Errorf("dev changes more than the API's TLS:\n%+v\n%+v", dev, prod)
	}
}

// TestAuditSinks holds further sinks to their form, to being different ones, and to what audit.require asks for.
func TestAuditSinks(t *testing.T) {
	load := func(sinks string) error {
		_, err := LoadConfig(writeConfig(t, strings.Replace(goodConfig, "audit.jsonl}", "audit.jsonl, "+sinks+"}", 1)), noEnv, nil)
		return err
	}
	if err := load(`sinks: ["file:/mnt/audit.jsonl", "syslog+tls://c:6514?ca_file=/ca.pem", "syslog+udp://c:514", "stdout:"], require: 5`); err != nil {
		t.Error(err)
	}
	for sinks, says := range map[string]string{
		`require: 2`:                     "audit.require: from 1 to the number of sinks, 1",
		`sinks: ["stdout:"], require: 3`: "audit.require: from 1 to the number of sinks, 2",
		`sinks: ["syslog://c:514"]`:      `audit.sinks: "syslog://c:514": a sink is file:/path`,
		`sinks: ["stdout:", "stdout:"]`:  `audit.sinks: "stdout:" stands twice`,
		`sinks: ["syslog+tls://c:6514", "syslog+tls://C:6514?ca_file=x"]`: "stands twice",
		`sinks: ["file:/var/log/lockstep/./audit.jsonl"]`:                 "stands twice",
		`sinks: ["file:/var/lib/lockstep/audit.jsonl"]`:                   "ciphertext only",
		`sinks: ["file:/var/log/lockstep/audit.jsonl.1"]`:                 "is named as the other is once it is rotated",
		`sinks: ["file:/mnt/a-7.jsonl", "file:/mnt/a.jsonl"]`:             "is named as the other is once it is rotated",
	} {
		if err := load(sinks); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", sinks, err)
		}
	}
}

// The path of the audit file is a label of metrics, where only UTF-8 can stand.
func TestAuditFileIsUTF8(t *testing.T) {
	for name, says := range map[string]string{"/mnt/\xff.jsonl": "audit.file", "/mnt/ä.jsonl": ""} {
		_, err := LoadConfig(writeConfig(t, goodConfig), noEnv, map[string]string{"audit-file": name})
		if (err != nil) != (says != "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestAuditFileStaysOutOfTheData tries every way to write a path that leads into the data directory,
// and those that only look so.
func TestAuditFileStaysOutOfTheData(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"data", "log", "home/deep"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(root, "data"), "linked")      // a directory
	link("../data", "log/data")                      // relative, below another directory
	link("../data/new.jsonl", "log/later.jsonl")     // to a file that does not exist yet
	link("later.jsonl", "log/twice.jsonl")           // in two steps
	link(filepath.Join(root, "log"), "data/outward") // leads out again
	link("loop", "log/loop")
	link("missing", "dangling")
	for _, c := range []struct {
		dir, file string
		inside    bool
	}{
		{"data", "data/audit.jsonl", true},
		{"data/", "./data//audit.jsonl", true},
		{root + "/data", "data/audit.jsonl", true},
		{"data", root + "/log/../data/audit.jsonl", true},
		{"data", "data/no/such/yet/audit.jsonl", true},
		{"data", "data", true},
		{"data", "linked/audit.jsonl", true},
		{"linked", "data/audit.jsonl", true},
		{"linked/deep", "data/deep/audit.jsonl", true},
		{"data", "log/data/audit.jsonl", true},
		{"data", "log/later.jsonl", true},
		{"data", "log/twice.jsonl", true},
		{"new", root + "/new/audit.jsonl", true},
		{"missing", "dangling/audit.jsonl", true},
		{"/", "log/audit.jsonl", true},
		{"data", "log/audit.jsonl", false},
		{"data", "data2/audit.jsonl", false},
		{"data", "data.jsonl", false},
		{"data", "..audit.jsonl", false},
		{"data", "data/../audit.jsonl", false},
		{"data", "data/outward/audit.jsonl", false},
		{"home/deep", "home/audit.jsonl", false},
		{"data", "log/loop", false},
		{"new", "new2/audit.jsonl", false},
	} {
		if got := inside(c.dir, c.file); got != c.inside {
			t.Errorf("%s inside %s: %v", c.file, c.dir, got)
		}
		text := strings.NewReplacer("/var/lib/lockstep", c.dir, "/var/log/lockstep/audit.jsonl", c.file).Replace(goodConfig)
		if _, err := LoadConfig(writeConfig(t, text), noEnv, nil); (err != nil) != c.inside {
			t.Errorf("%s with data in %s: %v", c.file, c.dir, err)
		}
	}
}
