package sink

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]URL{
		"file:/var/log/a.jsonl":                {Kind: File, Path: "/var/log/a.jsonl"},
		"file:/var//log/./x/../100%25.jsonl":   {Kind: File, Path: "/var/log/100%25.jsonl"},
		"stdout:":                              {Kind: Stdout},
		"syslog+tcp://Collector.example:601":   {Kind: SyslogTCP, Addr: "collector.example:601"},
		"syslog+udp://192.0.2.7:514":           {Kind: SyslogUDP, Addr: "192.0.2.7:514"},
		"syslog+tls://[2001:db8::1]:6514":      {Kind: SyslogTLS, Addr: "[2001:db8::1]:6514"},
		"syslog+tls://c:6514?ca_file=%2Fa%20b": {Kind: SyslogTLS, Addr: "c:6514", CAFile: "/a b"},
		"syslog+tls://c:6514?cert_file=/c.pem&key_file=/k.pem&ca_file=ca.pem": {Kind: SyslogTLS, Addr: "c:6514",
			CAFile: "ca.pem", CertFile: "/c.pem", KeyFile: "/k.pem"},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"":                                        "a sink is file:/path",
		"/var/log/a.jsonl":                        "a sink is file:/path",
		"syslog://c:514":                          "a sink is file:/path",
		"FILE:/a":                                 "a sink is file:/path",
		"file:a.jsonl":                            "file:/absolute/path",
		"file:///a.jsonl":                         "file:/absolute/path",
		"file:/":                                  "file:/absolute/path",
		"file:/a/..":                              "file:/absolute/path",
		"file:/a/":                                "file:/absolute/path",
		"file:/a,b":                               "no blank, comma or control character",
		"file:/a b":                               "no blank, comma or control character",
		"file:/a\x00":                             "no blank, comma or control character",
		"file:/\xff":                              "no blank, comma or control character",
		"file:/" + strings.Repeat("x", 4096):      "at most 4096 bytes",
		"stdout":                                  "written as 'stdout:'",
		"stdout:x":                                "written as 'stdout:'",
		"syslog+tcp:c:514":                        "name the collector: syslog+tcp://host:port",
		"syslog+tcp://:514":                       "name the collector",
		"syslog+tcp://-c:514":                     "name the collector",
		"syslog+tcp://c":                          "name the port",
		"syslog+tcp://c:0":                        "name the port",
		"syslog+tcp://c:0514":                     "name the port",
		"syslog+tcp://c:65536":                    "name the port",
		"syslog+tcp://c:syslog":                   "it is not a URL",
		"syslog+tcp://u:p@c:514":                  "and nothing else",
		"syslog+tcp://c:514/":                     "and nothing else",
		"syslog+tcp://c:514#x":                    "and nothing else",
		"syslog+tcp://c:514#":                     "and nothing else",
		"syslog+tcp://c:514?ca_file=a":            "has no certificates",
		"syslog+udp://c:514?x=1":                  "has no certificates",
		"syslog+tls://c:514?x=1":                  `"x" is not one of`,
		"syslog+tls://c:514?ca_file":              "ca_file is named once",
		"syslog+tls://c:514?ca_file=a&ca_file=b":  "ca_file is named once",
		"syslog+tls://c:514?ca_file=%00":          "ca_file is named once",
		"syslog+tls://c:514?ca_file=%zz":          "not name=value",
		"syslog+tls://c:514?cert_file=a":          "go together",
		"syslog+tls://c:514?key_file=a&ca_file=b": "go together",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("file:/var/log/a.jsonl")
	f.Add("stdout:")
	f.Add("syslog+tls://[::1]:6514?ca_file=a&cert_file=b&key_file=c")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(u.String())
		u.CAFile, u.CertFile, u.KeyFile = "", "", ""
		if err != nil || again != u {
			t.Errorf("%q is %+v, and its name %q is %+v, %v", text, u, u.String(), again, err)
		}
	})
}
