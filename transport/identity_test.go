package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// expired is a certificate's life that has ended.
var expired = Validity{From: time.Now().Add(-48 * time.Hour), For: 24 * time.Hour}

// knock speaks to addr as a hand-made peer and returns the error that it meets: nil when the other
// side sent its hello.
func knock(t *testing.T, addr string, cfg *tls.Config, h Hello) error {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, cfg)
	if err := conn.Handshake(); err != nil {
		return err
	}
	if err := sendHello(conn, h); err != nil {
		return err
	}
	_, err = receiveHello(conn)
	return err
}

// knocker is the TLS configuration of a well-behaved dialer, for a test to change.
func knocker(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{string(ChannelRPC)},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &cert, nil
		},
	}
}

func TestAcceptorRefuses(t *testing.T) {
	n, other := newNetwork(t), newNetwork(t)
	refusals := &lines{}
	cfg := n.config("a")
	cfg.Logger = refusals.logger()
	cfg.Check = func(p Peer) error {
		if p.ClusterID == "other" {
			return coded{"other_cluster", "this is cluster one"}
		}
		return nil
	}
	a := n.start(cfg)

	operator, err := n.ca.IssueOperator("alice", Validity{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := n.ca.IssueServer([]string{"b"}, Validity{})
	if err != nil {
		t.Fatal(err)
	}
	hello := func(change func(*Hello)) Hello {
		h := helloOf("b")
		change(&h)
		return h
	}
	for _, test := range []struct {
		what   string
		cert   tls.Certificate
		tls    func(*tls.Config)
		hello  Hello
		says   string // in the error that the dialer meets; "" when TLS may end first
		accept bool
	}{
		{what: "a good peer", cert: n.cert("b"), hello: helloOf("b"), accept: true},
		{what: "another CA", cert: other.cert("b"), hello: helloOf("b")},
		{what: "an expired certificate", cert: nodeCert(t, n.ca, "b", expired), hello: helloOf("b")},
		{what: "a certificate of tomorrow", cert: nodeCert(t, n.ca, "b", Validity{From: time.Now().Add(24 * time.Hour)}), hello: helloOf("b")},
		{what: "an operator", cert: certOf(t, operator), hello: helloOf("alice")},
		{what: "an API server certificate", cert: certOf(t, server), hello: helloOf("b")},
		{what: "no certificate", tls: func(c *tls.Config) { c.GetClientCertificate = nil }, hello: helloOf("b")},
		{what: "TLS 1.2", cert: n.cert("b"), tls: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, hello: helloOf("b")},
		{what: "no ALPN", cert: n.cert("b"), tls: func(c *tls.Config) { c.NextProtos = nil }, hello: helloOf("b")},
		{what: "another ALPN", cert: n.cert("b"), tls: func(c *tls.Config) { c.NextProtos = []string{"h2"} }, hello: helloOf("b")},
		{what: "a hello with another name", cert: n.cert("b"), hello: helloOf("c"), says: `"c" but the certificate names node "b"`},
		{what: "this node's own name", cert: n.cert("a"), hello: helloOf("a"), says: "the node itself"},
		{what: "another protocol", cert: n.cert("b"), hello: hello(func(h *Hello) { h.Protocol = 2 }), says: "protocol 2"},
		{what: "no node id", cert: n.cert("b"), hello: hello(func(h *Hello) { h.NodeID = "" }), says: "no node id"},
		{what: "another cluster id", cert: n.cert("b"), hello: hello(func(h *Hello) { h.ClusterID = "other" }), says: "this is cluster one"},
	} {
		t.Run(test.what, func(t *testing.T) {
			cfg := knocker(test.cert)
			if test.tls != nil {
				test.tls(cfg)
			}
			before := a.Stats().Refused
			err := knock(t, a.Addr().String(), cfg, test.hello)
			if (err == nil) != test.accept {
				t.Fatalf("met %v", err)
			}
			if test.says == "" {
				return
			}
			var refused *RefusedError
			if !errors.As(err, &refused) || !refused.Remote || !strings.Contains(refused.Message, test.says) {
				t.Errorf("met %v, want a refusal that says %q", err, test.says)
			}
			eventually(t, "the refusal is counted", func() bool { return a.Stats().Refused > before })
		})
	}
	if a.Stats().Accepts != 0 || a.Stats().Streams != 0 {
		t.Errorf("streams were made: %+v", a.Stats())
	}
	if !refusals.contains("was refused") {
		t.Error("no refusal was logged")
	}
}

// coded is an error with a code for the peer.
type coded struct{ code, message string }

func (e coded) Error() string   { return e.message }
func (e coded) RPCCode() string { return e.code }

// impostor is a TLS server with cert that says hello and then serves nothing.
func impostor(t *testing.T, cert tls.Certificate, h Hello) (addr string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.RequestClientCert,
		NextProtos:   []string{string(ChannelRaft), string(ChannelRPC), string(ChannelGossip)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := receiveHello(conn); err == nil && sendHello(conn, h) == nil {
					_, _ = io.Copy(io.Discard, conn)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestDialerRefuses(t *testing.T) {
	n, other := newNetwork(t), newNetwork(t)
	cfg := n.config("a")
	cfg.Check = func(p Peer) error {
		if p.ClusterID == "other" {
			return coded{"other_cluster", "this is cluster one"}
		}
		return nil
	}
	a := n.start(cfg)
	server, err := n.ca.IssueServer([]string{"127.0.0.1"}, Validity{})
	if err != nil {
		t.Fatal(err)
	}
	operator, err := n.ca.IssueOperator("b", Validity{})
	if err != nil {
		t.Fatal(err)
	}
	foreign := helloOf("b")
	foreign.ClusterID = "other"
	for _, test := range []struct {
		what   string
		cert   tls.Certificate
		hello  Hello
		says   string
		accept bool
	}{
		{what: "a good peer", cert: n.cert("b"), hello: helloOf("b"), accept: true},
		{what: "another CA", cert: other.cert("b"), hello: helloOf("b"), says: "unknown authority"},
		{what: "an expired certificate", cert: nodeCert(t, n.ca, "b", expired), hello: helloOf("b"), says: "expired"},
		{what: "another node", cert: n.cert("c"), hello: helloOf("c"), says: `names node "c"`},
		{what: "another node that says it is b", cert: n.cert("c"), hello: helloOf("b"), says: `names node "c"`},
		{what: "b that says it is another node", cert: n.cert("b"), hello: helloOf("c"), says: `hello says node "c"`},
		{what: "an operator", cert: certOf(t, operator), hello: helloOf("b"), says: "key usage"},
		{what: "an API server", cert: certOf(t, server), hello: helloOf("b"), says: "names no node"},
		{what: "another cluster id", cert: n.cert("b"), hello: foreign, says: "this is cluster one"},
	} {
		for _, channel := range []Channel{ChannelRaft, ChannelRPC, ChannelGossip} {
			t.Run(test.what+" "+string(channel), func(t *testing.T) {
				n.place("b", impostor(t, test.cert, test.hello))
				s, err := a.dial(within(t), "b", "", channel)
				if test.accept {
					if err != nil {
						t.Fatal(err)
					}
					_ = s.Close()
					return
				}
				if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("met %v, want %q", err, test.says)
				}
			})
		}
	}
	if open := a.Stats().Streams; open != 0 {
		t.Errorf("%d streams are open", open)
	}
}

func TestNewRefusesItsOwnBadCertificate(t *testing.T) {
	n, other := newNetwork(t), newNetwork(t)
	operator, err := n.ca.IssueOperator("a", Validity{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what string
		cert tls.Certificate
		says string
	}{
		{"another CA", other.cert("a"), "unknown authority"},
		{"expired", nodeCert(t, n.ca, "a", expired), "expired"},
		{"another node", n.cert("b"), `names node "b", but the node is "a"`},
		{"operator", certOf(t, operator), "key usage"},
		{"none", tls.Certificate{}, "required"},
	} {
		cfg := n.config("a")
		cfg.Cert = test.cert
		if node, err := New(cfg); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v", test.what, node, err)
		}
	}
}

// Both sides see each other's hello and key, and the refusal of either reaches the other with its code.
func TestHelloIsExchanged(t *testing.T) {
	n := newNetwork(t)
	seen := map[string]chan Peer{"a": make(chan Peer, 1), "b": make(chan Peer, 1)}
	start := func(name string) *Transport {
		cfg := n.config(name)
		cfg.Local = func() Hello {
			return Hello{FeatureLevel: 3, ClusterID: "cafe", NodeID: "id-of-" + name, APIAddr: "https://" + name, PeerAddr: name + ":1", Version: "9"}
		}
		cfg.Check = func(p Peer) error { seen[name] <- p; return nil }
		return n.start(cfg)
	}
	a, b := start("a"), start("b")
	b.Handle("echo", func(_ context.Context, p Peer, _ []byte) ([]byte, error) { return []byte(p.Name + " " + p.NodeID), nil })
	answer, err := a.Call(within(t), "b", "echo", nil)
	if err != nil || string(answer) != "a id-of-a" {
		t.Fatalf("%q, %v", answer, err)
	}
	for name, from := range map[string]string{"a": "b", "b": "a"} {
		want := Peer{
			Hello:   Hello{Protocol: 1, FeatureLevel: 3, ClusterID: "cafe", NodeID: "id-of-" + from, Name: from, APIAddr: "https://" + from, PeerAddr: from + ":1", Version: "9", Extensions: extensionTraced},
			Channel: ChannelRPC,
			Dialed:  name == "a",
		}
		got := <-seen[name]
		if got.KeyHash == [32]byte{} {
			t.Errorf("%s saw no key", name)
		}
		want.KeyHash = got.KeyHash
		if got != want {
			t.Errorf("%s saw %+v", name, got)
		}
	}
}

func TestKeyHashFollowsTheKey(t *testing.T) {
	n := newNetwork(t)
	hashes := make(chan [32]byte, 3)
	cfg := n.config("a")
	cfg.Check = func(p Peer) error { hashes <- p.KeyHash; return nil }
	a := n.start(cfg)
	cert := n.cert("b")
	for _, c := range []tls.Certificate{cert, cert, n.cert("b")} {
		if err := knock(t, a.Addr().String(), knocker(c), helloOf("b")); err != nil {
			t.Fatal(err)
		}
	}
	first, same, other := <-hashes, <-hashes, <-hashes
	if first != same || first == other {
		t.Error("the hash does not follow the key")
	}
}

func TestRefusalReachesTheOtherSide(t *testing.T) {
	for _, refuser := range []string{"a", "b"} {
		t.Run("by "+refuser, func(t *testing.T) {
			n := newNetwork(t)
			logs := map[string]*lines{"a": {}, "b": {}}
			start := func(name string) *Transport {
				cfg := n.config(name)
				cfg.Logger = logs[name].logger()
				cfg.Check = func(p Peer) error {
					if name == refuser {
						return fmt.Errorf("wrapped: %w", coded{"removed", "node was removed"})
					}
					return nil
				}
				return n.start(cfg)
			}
			a, b := start("a"), start("b")
			b.Handle("echo", echo)
			_, err := a.Call(within(t), "b", "echo", nil)
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Remote != (refuser == "b") || refused.Code != "removed" || !NeverRan(err) {
				t.Fatalf("%v", err)
			}
			if refuser == "a" { // the acceptor learns it too
				eventually(t, "b logs the refusal", func() bool { return logs["b"].contains("refused by the peer") })
			}
			if b.Stats().CallsServed != 0 {
				t.Error("the call was served")
			}
		})
	}
}

func TestRecheckClosesWhatIsRefusedNow(t *testing.T) {
	n := newNetwork(t)
	var removed atomic.Bool
	cfg := n.config("b")
	cfg.Check = func(Peer) error {
		if removed.Load() {
			return errors.New("was removed")
		}
		return nil
	}
	b := n.start(cfg)
	b.Handle("echo", echo)
	a := n.node("a")
	if _, err := a.Call(within(t), "b", "echo", nil); err != nil {
		t.Fatal(err)
	}
	b.Recheck()
	if open := b.Stats().Streams; open != 1 {
		t.Fatalf("%d streams after a recheck that refused none", open)
	}
	removed.Store(true)
	b.Recheck()
	if open := b.Stats().Streams; open != 0 {
		t.Fatalf("%d streams after the peer was removed", open)
	}
	eventually(t, "the removed node is told", func() bool {
		_, err := a.Call(within(t), "b", "echo", nil)
		return err != nil && strings.Contains(err.Error(), "was removed")
	})
}

func TestRecheckClosesExpired(t *testing.T) {
	n := newNetwork(t)
	nodes := n.nodes("a", "b")
	nodes[1].Handle("echo", echo)
	if _, err := nodes[0].Call(within(t), "b", "echo", nil); err != nil {
		t.Fatal(err)
	}
	nodes[0].mu.Lock()
	for s := range nodes[0].streams {
		s.expires = time.Now().Add(-time.Second)
	}
	nodes[0].mu.Unlock()
	nodes[0].Recheck()
	if open := nodes[0].Stats().Streams; open != 0 {
		t.Errorf("%d streams", open)
	}
}

// A connection that never speaks holds a handshake's place only, and Close does not wait for it.
func TestCloseEndsHandshakes(t *testing.T) {
	n := newNetwork(t)
	a := n.node("a")
	raw, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	eventually(t, "the handshake began", func() bool { return len(a.handshakes) == 1 })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Call(within(t), "b", "echo", nil); !errors.Is(err, ErrClosed) || !NeverRan(err) {
		t.Errorf("a call after Close: %v", err)
	}
}

func TestHandshakesAreBounded(t *testing.T) {
	n := newNetwork(t)
	a := n.node("a")
	for range maxHandshakes {
		a.handshakes <- struct{}{}
	}
	if err := knock(t, a.Addr().String(), knocker(n.cert("b")), helloOf("b")); err == nil {
		t.Error("a connection over the bound was served")
	}
	<-a.handshakes
	if err := knock(t, a.Addr().String(), knocker(n.cert("b")), helloOf("b")); err != nil {
		t.Error(err)
	}
}

func TestThrottle(t *testing.T) {
	q := newThrottle()
	if !q.allow("a") || q.allow("a") || !q.allow("b") {
		t.Error("not one line a subject")
	}
	for i := range 10 * throttleSubjects {
		q.allow(fmt.Sprint(i))
	}
	if len(q.last) > throttleSubjects {
		t.Errorf("%d subjects are kept", len(q.last))
	}
}
