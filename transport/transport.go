package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// Channel is a use of the port, the name of its ALPN protocol.
type Channel string

// The channels.
const (
	ChannelRaft   Channel = "lockstep-raft/1"
	ChannelRPC    Channel = "lockstep-rpc/1"
	ChannelGossip Channel = "lockstep-gossip/1"
)

// ProtocolVersion is the version of the hello and of the frames that this package speaks.
const ProtocolVersion = 1

// Hello is what a node says of itself when a stream opens.
type Hello struct {
	Protocol     uint32 // filled in by the transport
	FeatureLevel uint32
	ClusterID    string // hex; "" before init
	NodeID       string // the incarnation
	Name         string // equals the name in the certificate
	APIAddr      string
	PeerAddr     string
	Version      string
}

// Peer is a node at the other end of a stream, as it was when the stream opened.
type Peer struct {
	Hello
	KeyHash [32]byte // SHA-256 of the certificate's SubjectPublicKeyInfo
	Channel Channel
	Dialed  bool // this node dialed
}

// Config makes a Transport. Cert, CA, Name, Local and one of Listen and Listener are required.
type Config struct {
	Listen   string       // TCP address to listen on; unused when Listener is set
	Listener net.Listener // closed by Close
	Cert     tls.Certificate
	CA       *x509.CertPool
	Name     string // this node's name, equal to the name in Cert

	Local   func() Hello                                             // what to say of this node; called for each stream
	Check   func(Peer) error                                         // nil accepts every node of the CA
	Resolve func(name string) (addr string, err error)               // host:port of a node, asked at each dial
	Dial    func(ctx context.Context, addr string) (net.Conn, error) // nil is net.Dialer

	MaxFrame  int           // largest payload of a call, in bytes; 0 is 1 MiB, at most 16 MiB
	MaxCalls  int           // calls in flight per peer and direction; 0 is 1024
	KeepAlive time.Duration // between pings on a call connection; three unanswered ones close it; 0 is 1 s
	Logger    *slog.Logger  // nil discards
}

// Stats counts what a Transport has done since New.
type Stats struct {
	CallsSent   uint64 // requests handed to a connection
	CallsServed uint64 // requests given to a handler
	Dials       uint64 // streams dialed whose hello was accepted by both sides
	Accepts     uint64 // streams accepted, likewise
	Refused     uint64 // streams that either side refused at TLS or hello
	Streams     int    // open now
}

// Transport is one node's end of the cluster's network. Safe for concurrent use.
type Transport struct{ cfg Config }

// New listens and serves. Until a method has a handler, calls to it are answered CodeUnknownMethod.
func New(cfg Config) (*Transport, error) { return &Transport{cfg: cfg}, nil }

// Addr is the address listened on.
func (t *Transport) Addr() net.Addr { return nil }

// Close closes the port and every stream and waits for the running handlers, whose context it cancels.
func (t *Transport) Close() error { return nil }

// Stats returns the counters.
func (t *Transport) Stats() Stats { return Stats{} }

// Recheck asks Check about every open stream and closes those it refuses.
func (t *Transport) Recheck() {}

// RaftLayer is the stream layer for raft.NewNetworkTransport; a server's address is the node's name.
func (t *Transport) RaftLayer() raft.StreamLayer { return nil }

// CutRaft closes all Raft streams, dialed and accepted, and while cut is true refuses new ones. Calls
// and gossip go on.
func (t *Transport) CutRaft(cut bool) {}

// Handler serves a call. Its context ends with the caller's deadline, with the caller's cancel, with
// the connection and with Close. An error that has a method RPCCode() string keeps its code.
type Handler = func(ctx context.Context, p Peer, payload []byte) ([]byte, error)

// Handle names the handler of a method, 1..64 bytes. A second handler for a method is a panic.
func (t *Transport) Handle(method string, h Handler) {}

// Call asks node name to run method and returns its answer. Errors are *RemoteError (the peer
// answered with an error) and *CallError (no answer came).
func (t *Transport) Call(ctx context.Context, name, method string, payload []byte) ([]byte, error) {
	return nil, nil
}
