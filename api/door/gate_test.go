package door

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	g := NewGate(2)
	for i, want := range []bool{true, true, false, false} {
		if g.Enter() != want {
			t.Errorf("attempt %d: entered is %v", i+1, !want)
		}
	}
	g.Leave()
	if !g.Enter() || g.Enter() {
		t.Error("one enters for one that left")
	}
}

func TestSource(t *testing.T) {
	for at, want := range map[string]string{
		"10.0.0.1:4711": "10.0.0.1/32", "[::ffff:10.0.0.1]:4711": "10.0.0.1/32", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64",
	} {
		addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at))
		if got := source(addressed{addr: addr}).String(); got != want {
			t.Errorf("%s is %s", at, got)
		}
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	if source(ours) != (netip.Prefix{}) {
		t.Error("a pipe has no address")
	}
}

// addressed is a connection from addr that tells when it is closed.
type addressed struct {
	net.Conn
	addr   net.Addr
	closed *bool
}

func (c addressed) RemoteAddr() net.Addr { return c.addr }
func (c addressed) Close() error         { *c.closed = true; return nil }

// TestConnectionLimits opens connections of three sources at limits of 5 in all and 3 each.
func TestConnectionLimits(t *testing.T) {
	c := &connections{limit: 5, each: 3, source: map[netip.Prefix]int{}}
	open := func(from string) (addressed, bool) {
		conn := addressed{addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), closed: new(bool)}
		c.track(conn, http.StateNew)
		return conn, !*conn.closed
	}
	var all []addressed
	for i, step := range []struct {
		from string
		ok   bool
	}{{"10.0.0.1:1", true}, {"10.0.0.1:2", true}, {"10.0.0.1:3", true}, {"10.0.0.1:4", false},
		{"[2001:db8::1]:1", true}, {"10.0.0.2:1", false}} { // the one that was refused counts until it has ended
		conn, ok := open(step.from)
		if ok != step.ok {
			t.Errorf("connection %d from %s: open %v", i, step.from, ok)
		}
		all = append(all, conn)
	}
	for _, conn := range all {
		c.track(conn, http.StateActive)
		c.track(conn, http.StateIdle)
		c.track(conn, http.StateClosed)
	}
	if c.all != 0 || len(c.source) != 0 {
		t.Errorf("%d connections are left, %v", c.all, c.source)
	}
}

// A source that holds as many connections as it may gets no more until one ends.
func TestServerClosesConnectionsOverTheLimit(t *testing.T) {
	const each = 3
	ended := make(chan struct{}, each+2)
	s := httptest.NewUnstartedServer(nil)
	s.Config = serverOf(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), slog.New(slog.DiscardHandler), 100, each)
	track := s.Config.ConnState
	s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		track(conn, state)
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	listen := s.Listener
	served := make(chan error, 1)
	go func() { served <- s.Config.Serve(listen) }()
	t.Cleanup(func() { s.Config.Close(); <-served })
	var conns sync.Map
	dial := func(i int) error {
		conn, err := net.Dial("tcp", listen.Addr().String())
		if err != nil {
			return err
		}
		conns.Store(i, conn)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		return err
	}
	for i := range each {
		if err := dial(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := dial(each); err == nil {
		t.Fatal("a connection over the limit is served")
	}
	<-ended // of that one
	first, _ := conns.Load(0)
	first.(net.Conn).Close()
	<-ended
	if err := dial(each + 1); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}
