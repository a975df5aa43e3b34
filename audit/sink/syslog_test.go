package sink

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/verify"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// write writes lines as one batch.
func write(s audit.Sink, lines ...string) error {
	b := &audit.Batch{First: 1}
	for _, line := range lines {
		b.Lines = append(append(b.Lines, line...), '\n')
		b.Ends = append(b.Ends, len(b.Lines))
	}
	return s.Write(b)
}

func call() *audit.Record {
	return &audit.Record{Time: time.Now(), Source: "kms.amazonaws.com", Name: "Encrypt", Identity: audit.Identity{Type: "Root"}, Node: "node-a"}
}

// openLog starts a log with these sinks, of which one is required.
func openLog(t testing.TB, sinks ...audit.Sink) *audit.Log {
	t.Helper()
	l, err := audit.New(audit.Options{Sinks: sinks, Node: "node-a"})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// authority is a CA for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for 127.0.0.1, as a server's or a client's.
func (a *authority) issue(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// syslogd is a collector: it keeps the messages that arrive.
type syslogd struct {
	t        testing.TB
	addr     string
	listener net.Listener   // nil over UDP
	packets  net.PacketConn // of UDP

	mu       sync.Mutex
	messages []string   // guarded by mu
	conns    []net.Conn // guarded by mu: all that there were
	deaf     bool       // guarded by mu: what is sent is not read
}

// listen starts a collector; addr may be of one that was closed. Over TLS cfg is not nil.
func listen(t testing.TB, network, addr string, cfg *tls.Config) *syslogd {
	t.Helper()
	s := &syslogd{t: t}
	var err error
	if network == "udp" {
		s.packets, err = net.ListenPacket("udp", addr)
		must(t, err)
		s.addr = s.packets.LocalAddr().String()
		go s.receive()
	} else {
		s.listener, err = net.Listen("tcp", addr)
		must(t, err)
		s.addr = s.listener.Addr().String()
		if cfg != nil {
			s.listener = tls.NewListener(s.listener, cfg)
		}
		go s.accept()
	}
	t.Cleanup(s.close)
	return s
}

func (s *syslogd) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		deaf := s.deaf
		s.mu.Unlock()
		if !deaf {
			go s.read(c)
		}
	}
}

// read reads frames of RFC 6587, section 3.4.1.
func (s *syslogd) read(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		count, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(count, " "))
		if err != nil || n <= 0 || count[0] == '0' {
			s.t.Errorf("a frame begins with %q", count)
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		s.keep(b)
	}
}

func (s *syslogd) receive() {
	b := make([]byte, 1<<16)
	for {
		n, _, err := s.packets.ReadFrom(b)
		if err != nil {
			return
		}
		s.keep(b[:n])
	}
}

func (s *syslogd) keep(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, string(b))
}

func (s *syslogd) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// wait waits for n messages and returns them.
func (s *syslogd) wait(n int) []string {
	s.t.Helper()
	waitFor(s.t, fmt.Sprintf("%d messages have arrived", n), func() bool { return len(s.got()) >= n })
	return s.got()
}

// each does something with every connection that there was, and waits for the first.
func (s *syslogd) each(do func(net.Conn)) {
	s.t.Helper()
	waitFor(s.t, "there is a connection", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.conns {
			do(c)
		}
		return len(s.conns) > 0
	})
}

func (s *syslogd) close() {
	if s.packets != nil {
		s.packets.Close()
		return
	}
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

// steady is a clock that only a test moves.
type steady struct {
	mu  sync.Mutex
	now time.Time
}

func (c *steady) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *steady) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openSyslog(t testing.TB, kind, addr string, o SyslogOptions) *SyslogSink {
	t.Helper()
	u, err := Parse(kind + "://" + addr)
	must(t, err)
	o.Node = "node-a"
	s := OpenSyslog(u, o)
	t.Cleanup(func() { s.Close() })
	return s
}

const aLine = `{"eventVersion":"1.11","eventTime":"2026-11-26T20:00:00.123Z","eventID":"1","eventSource":"kms","eventName":"Encrypt","é":"x\"eventName\":\"y"}`

const aMessage = `<110>1 2026-11-26T20:00:00.123Z node-a lockstep - Encrypt - ` + aLine

func TestSyslogMessages(t *testing.T) {
	ca := newAuthority(t)
	long := strings.Replace(aLine, "Encrypt", "GenerateDataKeyPairWithoutPlaintext", 1)
	odd := `{"eventName":"a b"}`
	want := []string{aMessage, `<110>1 2026-11-26T20:00:00.123Z node-a lockstep - GenerateDataKeyPairWithoutPlaint - ` + long, `<110>1 - node-a lockstep - a - ` + odd}
	for kind, c := range map[string]struct {
		network        string
		server, client *tls.Config
	}{
		SyslogTCP: {network: "tcp"},
		SyslogUDP: {network: "udp"},
		SyslogTLS: {network: "tcp", server: &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()},
			client: &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.issue(t)}}},
	} {
		t.Run(kind, func(t *testing.T) {
			d := listen(t, c.network, "127.0.0.1:0", c.server)
			s := openSyslog(t, kind, d.addr, SyslogOptions{TLS: c.client})
			if s.Name() != kind+"://"+d.addr {
				t.Errorf("its name is %s", s.Name())
			}
			must(t, write(s, aLine, long), write(s, odd))
			if got := d.wait(3); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			must(t, s.Close(), s.Close())
		})
	}
}

// Where a collector goes in good order and comes back, no record is refused; where it does not, a Write says so.
func TestSyslogCollectorGoes(t *testing.T) {
	closes := func(c net.Conn) { c.Close() }
	half := func(c net.Conn) { c.(*net.TCPConn).CloseWrite() }
	reset := func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }
	for name, c := range map[string]struct {
		end    func(net.Conn)
		before int // batches before
		loud   bool
	}{
		"in good order":      {end: closes, before: 2},
		"half":               {end: half, before: 2},
		"reset":              {end: reset, before: 2, loud: true},
		"before it took one": {end: closes, before: 1, loud: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := listen(t, "tcp", "127.0.0.1:0", nil)
			clock := &steady{now: time.Now()}
			s := openSyslog(t, SyslogTCP, d.addr, SyslogOptions{Now: clock.read})
			for range c.before {
				must(t, write(s, aLine))
			}
			d.wait(c.before)
			d.each(c.end)
			waitFor(t, "the end is seen", func() bool { _, ended := s.conn.hasEnded(); return ended })
			err := write(s, aLine)
			if (err != nil) != c.loud {
				t.Fatalf("the next write: %v", err)
			}
			if c.loud {
				if err := write(s, aLine); err == nil {
					t.Error("it connects again at once")
				}
				clock.move(syslogFirstWait)
				must(t, write(s, aLine))
			}
			d.wait(c.before + 1)
		})
	}
}

func TestSyslogCollectorIsAway(t *testing.T) {
	d := listen(t, "tcp", "127.0.0.1:0", nil)
	clock := &steady{now: time.Now()}
	s := openSyslog(t, SyslogTCP, d.addr, SyslogOptions{Now: clock.read})
	d.close()
	dials := 0
	for range 200 { // 20 s
		before := s.retry
		if err := write(s, aLine); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Fatalf("nobody listens: %v", err)
		}
		if !s.retry.Equal(before) {
			dials++
		}
		clock.move(100 * time.Millisecond)
	}
	if dials < 6 || dials > 12 || s.wait != syslogLastWait {
		t.Errorf("%d dials, waits %v", dials, s.wait)
	}
	d = listen(t, "tcp", d.addr, nil)
	clock.move(syslogLastWait)
	must(t, write(s, aLine), write(s, aLine))
	d.wait(2)
	if s.wait != 0 {
		t.Errorf("waits %v after the collector came back", s.wait)
	}
}

// A collector that does not read makes Write fail, not hang for ever.
func TestSyslogSlowCollector(t *testing.T) {
	d := listen(t, "tcp", "127.0.0.1:0", nil)
	d.mu.Lock()
	d.deaf = true
	d.mu.Unlock()
	s := openSyslog(t, SyslogTCP, d.addr, SyslogOptions{Timeout: 20 * time.Millisecond})
	line := strings.Repeat("x", 1<<20)
	var err error
	for range 1000 {
		if err = write(s, line); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after a gigabyte: %v", err)
	}
	if s.conn != nil {
		t.Error("a connection with a torn frame is kept")
	}
}

func TestSyslogCertificates(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	server := func(c *tls.Config) *tls.Config {
		c.Certificates = []tls.Certificate{ca.issue(t)}
		return c
	}
	for name, c := range map[string]struct {
		server, client *tls.Config
		says           string
	}{
		"of a foreign CA":       {server(&tls.Config{}), &tls.Config{RootCAs: foreign.pool()}, "certificate signed by unknown authority"},
		"of the system's CAs":   {server(&tls.Config{}), nil, "certificate signed by unknown authority"},
		"of another host":       {server(&tls.Config{}), &tls.Config{RootCAs: ca.pool(), ServerName: "elsewhere"}, "valid for"},
		"old protocol":          {server(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS10}, "protocol version"},
		"no client certificate": {server(&tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}), &tls.Config{RootCAs: ca.pool()}, "certificate required"},
		"client of another CA": {server(&tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: foreign.pool()}),
			&tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.issue(t)}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := listen(t, "tcp", "127.0.0.1:0", c.server)
			s := openSyslog(t, SyslogTLS, d.addr, SyslogOptions{TLS: c.client})
			var err error
			waitFor(t, "a write is refused", func() bool { // TLS 1.3 tells a client late that its certificate is not taken
				err = write(s, aLine)
				return err != nil
			})
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if got := d.got(); len(got) > 0 {
				t.Errorf("the collector has %q", got)
			}
		})
	}
}

// A collector that ends every connection at once is one that fails, seldom tried.
func TestSyslogCollectorThatTakesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	clock := &steady{now: time.Now()}
	s := openSyslog(t, SyslogTCP, l.Addr().String(), SyslogOptions{Now: clock.read})
	failures := 0
	waitFor(t, "it waits as long as it may", func() bool {
		if s.conn != nil {
			<-s.conn.ended
		}
		if write(s, aLine) != nil {
			failures++
		}
		clock.move(100 * time.Millisecond)
		return s.wait == syslogLastWait
	})
	if failures < 10 {
		t.Errorf("%d writes failed", failures)
	}
}

func TestSyslogDatagrams(t *testing.T) {
	d := listen(t, "udp", "127.0.0.1:0", nil)
	s := openSyslog(t, SyslogUDP, d.addr, SyslogOptions{})
	frame := len(aMessage) - len(aLine)
	largest := aLine + strings.Repeat(" ", maxDatagram-frame-len(aLine))
	must(t, write(s, largest))
	if got := d.wait(1); len(got[0]) != maxDatagram {
		t.Errorf("%d bytes", len(got[0]))
	}
	if err := write(s, aLine, largest+" "); err == nil || !strings.Contains(err.Error(), "record 2 has 65508 bytes") {
		t.Errorf("a record too many bytes long: %v", err)
	}
	must(t, write(s, `{"eventName":"Last"}`))
	if got := d.wait(2); len(got) != 2 || !strings.Contains(got[1], "Last") {
		t.Errorf("of the refused batch something was sent: %d messages", len(got))
	}
	d.close()
	waitFor(t, "the kernel tells that nobody listens", func() bool { return write(s, aLine) != nil })
}

// Whatever a caller asks for, its record fits into a datagram: none can stop a node that requires this sink.
func TestEveryRecordFitsIntoADatagram(t *testing.T) {
	d := listen(t, "udp", "127.0.0.1:0", nil)
	l, err := audit.New(audit.Options{Sinks: []audit.Sink{openSyslog(t, SyslogUDP, d.addr, SyslogOptions{Node: strings.Repeat("n", 64)})}, Node: "n"})
	must(t, err)
	for _, c := range []string{"\x01", `"`, "\u2028", "\U0001f511"} {
		long := strings.Repeat(c, 8100)
		context := map[string]string{"a": long}
		must(t, l.Append(&audit.Record{Name: "ReEncrypt", UserAgent: long, ErrorMessage: long, Parameters: []audit.Pair{
			{Key: "sourceEncryptionContext", Object: context}, {Key: "destinationEncryptionContext", Object: context}, audit.Document("policy", long)}}))
	}
	must(t, l.Close())
	d.close()
}

// What a collector has is the node's trail, and what it missed while it was away is explained to who verifies it.
func TestSyslogTrailVerifies(t *testing.T) {
	d := listen(t, "tcp", "127.0.0.1:0", nil)
	sink := openSyslog(t, SyslogTCP, d.addr, SyslogOptions{})
	file, err := audit.OpenFile(filepath.Join(t.TempDir(), "audit.jsonl"), audit.FileOptions{})
	must(t, err)
	l := openLog(t, file, sink)
	append3 := func() {
		t.Helper()
		for range 3 {
			must(t, l.Append(call()))
		}
	}
	append3()
	d.wait(4) // with AuditStarted
	messages := d.got()
	waitFor(t, "nothing is being written", func() bool { return l.Stats().Sinks[1].Queue == 0 })
	d.close()
	<-sink.conn.ended // what is written before the end is seen is lost, and nobody can know
	healthy := func() bool { return l.Stats().Sinks[1].Healthy }
	waitFor(t, "the sink misses records", func() bool { append3(); return !healthy() })
	d = listen(t, "tcp", d.addr, nil)
	waitFor(t, "the sink takes records again", func() bool { append3(); return healthy() })
	append3()
	must(t, l.Close())
	stopped := func() bool {
		got := d.got()
		return len(got) > 0 && strings.Contains(got[len(got)-1], " AuditStopped - ")
	}
	waitFor(t, "the collector has the end", stopped)

	var lines strings.Builder
	for _, m := range append(messages, d.got()...) {
		_, line, ok := strings.Cut(m, " - {")
		if !ok {
			t.Fatalf("%q", m)
		}
		lines.WriteString("{" + line + "\n")
	}
	r, err := verify.Files([]verify.File{{Name: "collected", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(lines.String())), nil }}},
		verify.Options{Sink: sink.Name()})
	must(t, err)
	if len(r.Faults()) > 0 || len(r.Nodes[0].Remarks) == 0 || !strings.Contains(r.Nodes[0].Remarks[0].Text, "failed: record") {
		t.Errorf("%+v", r)
	}
}
