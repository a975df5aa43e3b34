package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lockstep-kms/lockstep/audit"
)

// SyslogOptions configures OpenSyslog.
type SyslogOptions struct {
	Node    string           // HOSTNAME of the messages
	Timeout time.Duration    // for connecting, and for writing a batch; 0 means 2 s
	TLS     *tls.Config      // for syslog+tls; nil: the CAs of the system, no certificate of this node
	Now     func() time.Time // nil means time.Now
}

// Bounds of a SyslogSink.
const (
	syslogFirstWait = 100 * time.Millisecond // after a connection that failed; then twice as long, and so on
	syslogLastWait  = 5 * time.Second
	syslogUnacked   = 10 * time.Second // a connection on which nothing is acknowledged for so long is dead (RFC 5482)
	maxDatagram     = 65507            // bytes of a datagram in IPv4 (RFC 768, RFC 791); IPv6 has 20 more
	maxMsgID        = 32               // RFC 5424, section 6
	defaultTimeout  = 2 * time.Second
	keepBuffer      = 1 << 20 // bytes; a larger buffer is not kept for another batch
)

// syslogPRI is facility 13, log audit, and severity 6, informational, and the version of the protocol.
const syslogPRI = "<110>1 "

// SyslogSink is an audit.Sink that sends each record as a message of RFC 5424, whose MSG is the line:
//
//	<110>1 EVENTTIME NODE lockstep - EVENTNAME - {"eventVersion":...}
//
// EVENTNAME is cut to 32 bytes. There is no byte order mark, so the MSG is MSG-ANY: what a collector stores of it is the line,
// byte for byte, and can be verified. Over TCP and TLS messages are framed by counting octets (RFC 6587, section 3.4.1; RFC 5425);
// over UDP each is a datagram (RFC 5426), and a batch with a record that is larger than one is refused as a whole.
//
// No collector acknowledges anything. Write returns nil when the kernel has the messages: those of the last moments before
// a connection breaks, and any datagram, may be lost without this sink ever knowing. It does see a connection that was ended before it writes,
// and one on which nothing is acknowledged for 10 s. It connects when there is something to write, so a collector that is
// away when the node starts is a sink that fails, and comes back by itself.
type SyslogSink struct {
	url     URL           // immutable
	options SyslogOptions // immutable, with defaults filled in

	// All below is owned by Write.
	conn  *collector // nil: none
	head  []byte
	buf   []byte
	ends  []int         // of the messages in buf
	wait  time.Duration // before the next connection, once this one fails; 0: none
	retry time.Time
	last  error // why there is no connection before retry
}

// collector is a connection. What a collector sends is thrown away: that it ends is what there is to hear.
type collector struct {
	net.Conn
	held  bool          // it was alive at a later Write than its first
	ended chan struct{} // closed when reading ended; nil: not watched
	err   error         // written before ended is closed
}

// OpenSyslog makes a sink of one of the kinds syslog+tcp, syslog+tls and syslog+udp.
func OpenSyslog(u URL, o SyslogOptions) *SyslogSink {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{}
	}
	o.TLS = o.TLS.Clone()
	o.TLS.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS12) // RFC 9662
	if o.TLS.ServerName == "" {
		o.TLS.ServerName, _, _ = net.SplitHostPort(u.Addr)
	}
	return &SyslogSink{url: u, options: o}
}

// Name implements audit.Sink.
func (s *SyslogSink) Name() string { return s.url.String() }

// Write implements audit.Sink.
func (s *SyslogSink) Write(b *audit.Batch) error {
	if err := s.frame(b); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	if err := s.send(); err != nil {
		s.drop()
		return err
	}
	if cap(s.buf) > keepBuffer {
		s.buf = nil
	}
	return nil
}

// frame puts the messages of b into buf.
func (s *SyslogSink) frame(b *audit.Batch) error {
	s.buf, s.ends = s.buf[:0], s.ends[:0]
	start := 0
	for i, end := range b.Ends {
		line := b.Lines[start : end-1]
		start = end
		s.head = s.appendHeader(s.head[:0], line)
		size := len(s.head) + len(line)
		switch {
		case s.url.Kind != SyslogUDP:
			s.buf = append(strconv.AppendInt(s.buf, int64(size), 10), ' ')
		case size > maxDatagram:
			return fmt.Errorf("record %d has %d bytes as a message, and a datagram at most %d", b.First+uint64(i), size, maxDatagram)
		}
		s.buf = append(append(s.buf, s.head...), line...)
		s.ends = append(s.ends, len(s.buf))
	}
	return nil
}

// appendHeader appends everything of SYSLOG-MSG before MSG.
func (s *SyslogSink) appendHeader(b, line []byte) []byte {
	b = append(append(b, syslogPRI...), textOf(line, `"eventTime":"`)...)
	b = append(append(b, ' '), s.options.Node...)
	b = append(append(b, " lockstep - "...), textOf(line, `"eventName":"`)...)
	return append(b, " - "...)
}

// textOf returns the text of a member, cut to what a header may have, and "-" when there is none. A line begins with members of
// ours, and quotes within values are escaped, so the first place that looks like the member is the member.
func textOf(line []byte, member string) []byte {
	_, text, _ := bytes.Cut(line, []byte(member))
	end := 0
	for end < len(text) && end < maxMsgID && text[end] > ' ' && text[end] < 0x7f && text[end] != '"' {
		end++
	}
	if end == 0 {
		return []byte{'-'}
	}
	return text[:end]
}

// connect sees to it that there is a connection that is not known to be dead.
func (s *SyslogSink) connect() error {
	if c := s.conn; c != nil {
		err, ended := c.hasEnded()
		if !ended {
			c.held, s.wait = c.held || c.ended != nil, 0
			return nil
		}
		s.drop()
		// A collector that is restarted ends the connection in good order. One that ends it otherwise, or before it can have
		// taken anything, has most likely lost what it was sent, which must not look well.
		if !c.held || err != io.EOF {
			return s.failed(fmt.Errorf("the collector ended the connection: %w", err))
		}
	}
	if s.options.Now().Before(s.retry) {
		return s.last
	}
	conn, err := s.dial()
	if err != nil {
		return s.failed(err)
	}
	s.conn = &collector{Conn: conn}
	if s.url.Kind != SyslogUDP {
		s.conn.ended = make(chan struct{})
		go s.conn.watch()
	}
	return nil
}

// failed notes why there is no connection, and when there may be the next one.
func (s *SyslogSink) failed(err error) error {
	s.wait = min(max(2*s.wait, syslogFirstWait), syslogLastWait)
	s.retry, s.last = s.options.Now().Add(s.wait), err
	return err
}

func (s *SyslogSink) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Timeout)
	defer cancel()
	if s.url.Kind == SyslogUDP {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.url.Addr)
	}
	d := &net.Dialer{Control: boundUnacked, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	if s.url.Kind == SyslogTLS {
		return (&tls.Dialer{NetDialer: d, Config: s.options.TLS}).DialContext(ctx, "tcp", s.url.Addr)
	}
	return d.DialContext(ctx, "tcp", s.url.Addr)
}

// boundUnacked bounds how long what is sent may be unacknowledged, which is a quarter of an hour otherwise: tcp(7).
func boundUnacked(_, _ string, c syscall.RawConn) error {
	var err error
	if controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(syslogUnacked.Milliseconds()))
	}); controlErr != nil {
		return controlErr
	}
	return err
}

// watch reads until the collector ends the connection.
func (c *collector) watch() {
	defer close(c.ended)
	var b [512]byte
	for c.err == nil {
		_, c.err = c.Read(b[:])
	}
}

// hasEnded reports whether the collector has ended the connection, and how.
func (c *collector) hasEnded() (error, bool) {
	select {
	case <-c.ended: // blocks for ever when nil, and default is taken
		return c.err, true
	default:
		return nil, false
	}
}

// send writes what frame made.
func (s *SyslogSink) send() error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.options.Timeout)); err != nil {
		return err
	}
	if s.url.Kind != SyslogUDP {
		_, err := s.conn.Write(s.buf)
		return err
	}
	start := 0
	for _, end := range s.ends {
		if _, err := s.conn.Write(s.buf[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

func (s *SyslogSink) drop() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// Close implements audit.Sink.
func (s *SyslogSink) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
