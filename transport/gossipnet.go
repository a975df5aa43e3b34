package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A gossip stream begins, after the handshake, with one byte that says what follows:
//
//	'S'   a memberlist stream, to its end
//	'P'   packets, from the dialer only: length 2 | bytes
const (
	gossipStream  = 'S'
	gossipPackets = 'P'

	placeholderIP   = "127.0.0.1"
	placeholderPort = 1
	placeholderAddr = "127.0.0.1:1"

	gossipTimeout   = 3 * time.Second
	packetQueue     = 64               // packets that wait for one node; more are dropped
	packetsReceived = 256              // packets that wait for memberlist; more are dropped
	packetIdle      = 30 * time.Second // without a packet, after which a node's sender ends
	packetConnLife  = time.Minute      // of one connection: a path that came back is not waited for
)

// gossipNet is memberlist's Transport over the peer port. Packets to a node ride on one connection
// that its sender keeps; they may be dropped, as memberlist expects.
type gossipNet struct {
	owner    *Transport
	where    func(name string) (addr string)
	packets  chan *memberlist.Packet
	incoming chan net.Conn
	ctx      context.Context // ends with Shutdown and with the transport
	cancel   context.CancelFunc

	mu      sync.Mutex
	senders map[string]chan []byte // queues by node name; guarded by mu
}

var _ memberlist.NodeAwareTransport = (*gossipNet)(nil)

func newGossipNet(t *Transport, where func(string) string) *gossipNet {
	n := &gossipNet{
		owner:    t,
		where:    where,
		packets:  make(chan *memberlist.Packet, packetsReceived),
		incoming: make(chan net.Conn),
		senders:  map[string]chan []byte{},
	}
	n.ctx, n.cancel = context.WithCancel(t.ctx)
	return n
}

// FinalAdvertiseAddr gives the placeholder: nodes are known by name.
func (n *gossipNet) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.ParseIP(placeholderIP).To4(), placeholderPort, nil
}

var errNameless = errors.New("gossip: a node without a name")

// WriteTo is for a memberlist that does not know names; ours does.
func (n *gossipNet) WriteTo([]byte, string) (time.Time, error) { return time.Time{}, errNameless }

// DialTimeout is for a memberlist that does not know names; ours does.
func (n *gossipNet) DialTimeout(string, time.Duration) (net.Conn, error) { return nil, errNameless }

// PacketCh gives the packets received.
func (n *gossipNet) PacketCh() <-chan *memberlist.Packet { return n.packets }

// StreamCh gives the streams accepted.
func (n *gossipNet) StreamCh() <-chan net.Conn { return n.incoming }

// Shutdown ends gossip's streams and leaves the transport free for another Gossip.
func (n *gossipNet) Shutdown() error {
	n.cancel()
	n.owner.gossip.CompareAndSwap(n, nil)
	n.owner.mu.Lock()
	open := n.owner.openStreams(func(s *stream) bool { return s.peer.Channel == ChannelGossip })
	n.owner.mu.Unlock()
	for _, s := range open {
		_ = s.Close()
	}
	return nil
}

// DialAddressTimeout opens a memberlist stream to the node named in addr.
func (n *gossipNet) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()
	s, err := n.open(ctx, addr.Name, gossipStream)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (n *gossipNet) open(ctx context.Context, name string, use byte) (*stream, error) {
	if name == "" {
		return nil, errNameless
	}
	s, err := n.owner.dial(ctx, name, n.where(name), ChannelGossip)
	if err != nil {
		return nil, err
	}
	_ = s.SetWriteDeadline(time.Now().Add(gossipTimeout))
	if _, err := s.Write([]byte{use}); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// WriteToAddress queues a packet to the node named in addr, or drops it.
func (n *gossipNet) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	if addr.Name == "" {
		return time.Time{}, errNameless
	}
	if len(b) > math.MaxUint16 {
		return time.Time{}, fmt.Errorf("gossip: a packet of %d bytes", len(b))
	}
	packet := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b)))
	packet = append(packet, b...)
	n.mu.Lock()
	defer n.mu.Unlock()
	queue := n.senders[addr.Name]
	if queue == nil {
		queue = make(chan []byte, packetQueue)
		if n.ctx.Err() != nil || !n.owner.spawn(func() { n.sendPackets(addr.Name, queue) }) {
			return time.Time{}, ErrClosed
		}
		n.senders[addr.Name] = queue
	}
	select {
	case queue <- packet:
	default:
	}
	return time.Now(), nil
}

// sendPackets writes the packets of one node's queue, over a connection made when one is wanted, and
// ends when none has come for a while.
func (n *gossipNet) sendPackets(name string, queue chan []byte) {
	var (
		s   *stream
		end time.Time // of s
	)
	hangUp := func() {
		if s != nil {
			_ = s.Close()
			s = nil
		}
	}
	defer hangUp()
	idle := time.NewTimer(packetIdle)
	defer idle.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-idle.C:
			if n.retire(name, queue) {
				return
			}
		case packet := <-queue:
			idle.Reset(packetIdle)
			if time.Now().After(end) {
				hangUp()
			}
			if s == nil {
				s, end = n.openPackets(name), time.Now().Add(packetConnLife)
			}
			if s == nil {
				continue
			}
			_ = s.SetWriteDeadline(time.Now().Add(gossipTimeout))
			if _, err := s.Write(packet); err != nil {
				hangUp()
			}
		}
	}
}

func (n *gossipNet) openPackets(name string) *stream {
	ctx, cancel := context.WithTimeout(n.ctx, gossipTimeout)
	defer cancel()
	s, err := n.open(ctx, name, gossipPackets)
	if err != nil {
		return nil
	}
	return s
}

// retire forgets an idle sender, unless a packet has just come.
func (n *gossipNet) retire(name string, queue chan []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(queue) > 0 {
		return false
	}
	delete(n.senders, name)
	return true
}

// serveGossip takes an accepted gossip stream to the Gossip, if there is one.
func (t *Transport) serveGossip(s *stream) {
	n := t.gossip.Load()
	use := []byte{0}
	_ = s.SetReadDeadline(time.Now().Add(gossipTimeout))
	if _, err := io.ReadFull(s, use); err != nil || n == nil {
		_ = s.Close()
		return
	}
	_ = s.SetReadDeadline(time.Time{})
	switch use[0] {
	case gossipStream:
		select {
		case n.incoming <- s:
			return
		case <-n.ctx.Done():
		}
	case gossipPackets:
		n.receivePackets(s)
	}
	_ = s.Close()
}

func (n *gossipNet) receivePackets(s *stream) {
	for n.ctx.Err() == nil {
		_ = s.SetReadDeadline(time.Now().Add(2 * packetConnLife))
		packet, err := readPacket(s)
		if err != nil {
			return
		}
		select {
		case n.packets <- &memberlist.Packet{Buf: packet, From: nodeAddr(s.peer.Name), Timestamp: time.Now()}:
		default:
		}
	}
}

func readPacket(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, packet)
	return packet, err
}
