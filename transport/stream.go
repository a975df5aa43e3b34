package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// stream is a connection whose TLS, certificate name and hello have been checked on both sides.
// Closing it closes the TCP connection at once, without waiting for a stuck peer; everything that
// runs over a stream delimits its own messages.
type stream struct {
	*tls.Conn
	raw     net.Conn
	owner   *Transport
	peer    Peer      // immutable
	expires time.Time // of the peer's certificate
	once    sync.Once
	gone    error // result of closing, set once
}

// Close closes the stream. A second call returns the first one's result.
func (s *stream) Close() error {
	s.once.Do(func() {
		s.gone = s.raw.Close()
		s.owner.mu.Lock()
		delete(s.owner.streams, s)
		s.owner.mu.Unlock()
	})
	return s.gone
}

// register makes s one of the open streams, or says why it cannot be.
func (t *Transport) register(s *stream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.admits(s.peer.Channel); err != nil {
		return err
	}
	t.streams[s] = struct{}{}
	return nil
}

// admits says whether a channel is open at all. t.mu is held.
func (t *Transport) admits(channel Channel) error {
	if t.closed {
		return ErrClosed
	}
	if channel == ChannelRaft && t.raft.isClosed() {
		return ErrClosed
	}
	if channel == ChannelRaft && t.cut {
		return ErrRaftCut
	}
	return nil
}

func (t *Transport) admitted(channel Channel) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.admits(channel)
}

func (t *Transport) local() Hello {
	h := t.cfg.Local()
	h.Protocol, h.Extensions = ProtocolVersion, extensionTraced
	if t.cfg.older {
		h.Extensions = 0
	}
	h.Name = t.cfg.Name
	return h
}

// accept makes a stream of an accepted connection. On error the caller closes raw.
func (t *Transport) accept(raw net.Conn) (*stream, error) {
	stop := context.AfterFunc(t.ctx, func() { _ = raw.Close() })
	defer stop()
	if err := raw.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	conn := tls.Server(raw, t.serverTLS)
	if err := conn.HandshakeContext(t.ctx); err != nil {
		return nil, err
	}
	s, certName, err := t.newStream(raw, conn, false)
	if err != nil {
		return nil, err
	}
	if s.peer.Hello, err = receiveHello(conn); err != nil {
		return nil, fmt.Errorf("node %s: %w", certName, err)
	}
	err = checkPeer(s.peer, certName, t.cfg.Name, t.cfg.Check)
	if err == nil {
		err = t.admitted(s.peer.Channel)
	}
	if err != nil {
		_ = sendRefusal(conn, err)
		return nil, fmt.Errorf("node %s: %w", certName, err)
	}
	if err := sendHello(conn, t.local()); err != nil {
		return nil, fmt.Errorf("node %s: %w", certName, err)
	}
	if err := receiveAccept(conn); err != nil {
		return nil, fmt.Errorf("node %s: %w", certName, err)
	}
	return s, t.finish(s, stop)
}

// dial opens a stream to node name at addr (Resolve says where when it is empty). An empty name takes
// whichever node answers, which gossip's first contact needs.
func (t *Transport) dial(ctx context.Context, name, addr string, channel Channel) (*stream, error) {
	if err := t.admitted(channel); err != nil {
		return nil, err
	}
	if addr == "" {
		var err error
		if addr, err = t.cfg.Resolve(name); err != nil {
			return nil, fmt.Errorf("%w: node %s: %w", ErrUnreachable, name, err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	raw, err := t.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: node %s at %s: %w", ErrUnreachable, name, addr, err)
	}
	s, err := t.greet(ctx, raw, name, channel)
	if err != nil {
		_ = raw.Close()
		t.refused.Add(1)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%w: node %s at %s: %w", ErrUnreachable, name, addr, err)
	}
	t.dials.Add(1)
	return s, nil
}

// greet is the dialer's half of accept. On error the caller closes raw.
func (t *Transport) greet(ctx context.Context, raw net.Conn, name string, channel Channel) (*stream, error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if err := raw.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	conn := tls.Client(raw, t.clientTLS(name, channel))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	s, certName, err := t.newStream(raw, conn, true)
	if err != nil {
		return nil, err
	}
	if err := sendHello(conn, t.local()); err != nil {
		return nil, err
	}
	if s.peer.Hello, err = receiveHello(conn); err != nil {
		return nil, err
	}
	if err := checkPeer(s.peer, certName, t.cfg.Name, t.cfg.Check); err != nil {
		_ = sendRefusal(conn, err)
		return nil, err
	}
	if err := writeHandshake(conn, kindAccept, nil); err != nil {
		return nil, err
	}
	return s, t.finish(s, stop)
}

// newStream describes a connection past TLS: its channel and the certificate's node and key.
func (t *Transport) newStream(raw net.Conn, conn *tls.Conn, dialed bool) (s *stream, certName string, err error) {
	state := conn.ConnectionState()
	channel := Channel(state.NegotiatedProtocol)
	if channel != ChannelRaft && channel != ChannelRPC && channel != ChannelGossip {
		return nil, "", fmt.Errorf("the peer speaks no protocol of the peer port (ALPN %q)", clean([]byte(channel)))
	}
	leaf := state.PeerCertificates[0]
	if certName, err = nodeName(leaf); err != nil {
		return nil, "", err
	}
	s = &stream{Conn: conn, raw: raw, owner: t, expires: leaf.NotAfter}
	s.peer = Peer{KeyHash: sha256.Sum256(leaf.RawSubjectPublicKeyInfo), Channel: channel, Dialed: dialed}
	return s, certName, nil
}

// finish lifts the handshake's deadline and registers the stream. stop ends the handshake's watch on
// its context; when it is too late for that, the connection is closed already.
func (t *Transport) finish(s *stream, stop func() bool) error {
	if !stop() {
		return context.Canceled
	}
	if err := s.raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	return t.register(s)
}

func (t *Transport) newServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{t.cfg.Cert},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              t.cfg.CA,
		NextProtos:             []string{string(ChannelRaft), string(ChannelRPC), string(ChannelGossip)},
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := nodeName(state.PeerCertificates[0])
			return err
		},
	}
}

// clientTLS verifies by hand what crypto/tls would verify by host name: a node is known by the name
// in its lockstep:// URI, wherever it is reached. InsecureSkipVerify turns off the host name check
// and the chain check; VerifyConnection, which always runs, makes the chain check.
func (t *Transport) clientTLS(name string, channel Channel) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &t.cfg.Cert, nil
		},
		NextProtos:         []string{string(channel)},
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			found, err := verifyNode(state.PeerCertificates, t.cfg.CA, x509.ExtKeyUsageServerAuth)
			if err != nil {
				return err
			}
			if name != "" && found != name {
				return fmt.Errorf("the certificate there names node %q", found)
			}
			return nil
		},
	}
}

// verifyNode checks that chain (leaf first) leads to the cluster's CA now, may be used for usage and
// names a node, whose name it returns.
func verifyNode(chain []*x509.Certificate, ca *x509.CertPool, usage x509.ExtKeyUsage) (string, error) {
	if len(chain) == 0 {
		return "", errors.New("no certificate")
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         ca,
		Intermediates: between,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return "", err
	}
	return nodeName(chain[0])
}

// nodeName is the name of the node that cert names.
func nodeName(cert *x509.Certificate) (string, error) {
	id, err := IdentityOf(cert)
	if err != nil {
		return "", err
	}
	if id.Role != RoleNode {
		return "", fmt.Errorf("the certificate names %s, not a node", id)
	}
	return id.Name, nil
}
