package transport

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// raftLayer is the raft.StreamLayer: a server's address is the node's name.
type raftLayer struct {
	owner    *Transport
	accepted chan *stream
	done     chan struct{} // closed by Close
	once     sync.Once
}

func newRaftLayer(t *Transport) *raftLayer {
	return &raftLayer{owner: t, accepted: make(chan *stream), done: make(chan struct{})}
}

// RaftLayer is the stream layer for raft.NewNetworkTransport; a server's address is the node's name.
// Each call returns the same layer, and closing it (which raft's transport does) is for good.
func (t *Transport) RaftLayer() raft.StreamLayer { return t.raft }

// CutRaft closes all Raft streams, dialed and accepted, and while cut is true refuses new ones. Calls
// and gossip go on.
func (t *Transport) CutRaft(cut bool) {
	t.mu.Lock()
	t.cut = cut
	t.mu.Unlock()
	if cut {
		t.closeRaft()
	}
}

// closeRaft closes the open Raft streams. New ones are refused already, so none is missed.
func (t *Transport) closeRaft() {
	t.mu.Lock()
	open := t.openStreams(func(s *stream) bool { return s.peer.Channel == ChannelRaft })
	t.mu.Unlock()
	for _, s := range open {
		_ = s.Close()
	}
}

// offer hands an accepted stream to Raft, which must take it soon.
func (l *raftLayer) offer(s *stream) {
	timer := time.NewTimer(handshakeTimeout)
	defer timer.Stop()
	select {
	case l.accepted <- s:
		return
	case <-l.done:
	case <-l.owner.ctx.Done():
	case <-timer.C:
	}
	_ = s.Close()
}

// Accept waits for a peer's stream.
func (l *raftLayer) Accept() (net.Conn, error) {
	select {
	case s := <-l.accepted:
		return s, nil
	case <-l.done:
	case <-l.owner.ctx.Done():
	}
	return nil, ErrClosed
}

// Close ends the layer and its streams; calls and gossip go on.
func (l *raftLayer) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.owner.closeRaft()
	})
	return nil
}

func (l *raftLayer) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Addr is this node's address among Raft's servers: its name.
func (l *raftLayer) Addr() net.Addr { return nodeAddr(l.owner.cfg.Name) }

// Dial opens a stream to the node whose name is address.
func (l *raftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.owner.ctx, timeout)
	defer cancel()
	s, err := l.owner.dial(ctx, string(address), "", ChannelRaft)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// nodeAddr is a node's name as a net.Addr.
type nodeAddr string

func (nodeAddr) Network() string  { return "lockstep" }
func (a nodeAddr) String() string { return string(a) }
