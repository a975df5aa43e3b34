// Package sink holds the sinks of audit records that are not files of the node: collectors of syslog, and standard output. Files
// are package audit's own.
//
// It promises that what a sink cannot know it does not say: see SyslogSink about what a collector acknowledges. The invariant that
// would hurt: a batch of which a part is known not to have been taken is refused, so that the trail tells of it.
package sink

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Kinds of a URL.
const (
	File      = "file"
	Stdout    = "stdout"
	SyslogTCP = "syslog+tcp"
	SyslogTLS = "syslog+tls"
	SyslogUDP = "syslog+udp"
)

const maxURL = 4096 // bytes

// URL says where records go:
//
//	file:/var/log/lockstep/audit.jsonl
//	stdout:
//	syslog+tcp://host:port
//	syslog+tls://host:port?ca_file=/path&cert_file=/path&key_file=/path
//	syslog+udp://host:port
//
// Of the query everything may be left out. Values in it are escaped as in any URL; the path of a file is not.
type URL struct {
	Kind string
	Path string // of a file: absolute, cleaned
	Addr string // of syslog: host:port

	CAFile   string // PEM file of the CAs that the collector's certificate must chain to; "": those of the system
	CertFile string // PEM file of this node's certificate
	KeyFile  string // PEM file of its key
}

// String returns the name of the sink: the URL without what only connecting needs.
func (u URL) String() string {
	switch u.Kind {
	case File:
		return "file:" + u.Path
	case Stdout:
		return "stdout:"
	default:
		return u.Kind + "://" + u.Addr
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

// Parse reads the URL of a sink. A comma is refused: names are listed with commas between them.
func Parse(text string) (URL, error) {
	if len(text) > maxURL {
		return URL{}, fmt.Errorf("a URL of a sink has at most %d bytes", maxURL)
	}
	for _, r := range text {
		if r <= ' ' || r == ',' || r == 0x7f || r == '\ufffd' {
			return URL{}, errors.New("the URL of a sink has no blank, comma or control character in it")
		}
	}
	kind, rest, _ := strings.Cut(text, ":")
	u := URL{Kind: kind}
	switch kind {
	case File:
		u.Path = filepath.Clean(rest)
		if !strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "//") || strings.HasSuffix(rest, "/") || u.Path == "/" {
			return URL{}, errors.New("a file is written as file:/absolute/path")
		}
		return u, nil
	case Stdout:
		if text != "stdout:" {
			return URL{}, errors.New("standard output is written as 'stdout:'")
		}
		return u, nil
	case SyslogTCP, SyslogTLS, SyslogUDP:
		return u, u.parseSyslog(text)
	}
	return URL{}, errors.New("a sink is file:/path, stdout:, syslog+tcp://host:port, syslog+tls://host:port or syslog+udp://host:port")
}

func (u *URL) parseSyslog(text string) error {
	parsed, err := url.Parse(text)
	if err != nil {
		return errors.New("it is not a URL")
	}
	host, port := parsed.Hostname(), parsed.Port()
	n, err := strconv.ParseUint(port, 10, 16)
	_, ipErr := netip.ParseAddr(host)
	switch {
	case ipErr != nil && !hostName.MatchString(host):
		return fmt.Errorf("name the collector: %s://host:port", u.Kind)
	case err != nil || n == 0 || port[0] == '0':
		return fmt.Errorf("name the port of the collector: %s://host:port", u.Kind)
	case parsed.User != nil || parsed.Path != "" || parsed.Fragment != "" || strings.HasSuffix(text, "#"):
		return fmt.Errorf("a collector is %s://host:port and nothing else", u.Kind)
	}
	u.Addr = net.JoinHostPort(strings.ToLower(host), port)
	query, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return errors.New("what is behind the question mark is not name=value&name=value")
	}
	for name, values := range query {
		to := map[string]*string{"ca_file": &u.CAFile, "cert_file": &u.CertFile, "key_file": &u.KeyFile}[name]
		switch {
		case u.Kind != SyslogTLS:
			return fmt.Errorf("%s has no certificates: nothing stands behind the port", u.Kind)
		case to == nil:
			return fmt.Errorf("%q is not one of ca_file, cert_file, key_file", name)
		case len(values) != 1 || values[0] == "" || strings.ContainsRune(values[0], 0):
			return fmt.Errorf("%s is named once, with a file", name)
		}
		*to = values[0]
	}
	if (u.CertFile == "") != (u.KeyFile == "") {
		return errors.New("cert_file and key_file go together")
	}
	return nil
}
