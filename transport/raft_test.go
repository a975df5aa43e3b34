package transport

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestRaftStreams(t *testing.T) {
	n := newNetwork(t)
	nodes := n.nodes("a", "b")
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := nodes[1].RaftLayer().Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	conn, err := nodes[0].RaftLayer().Dial("b", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other := <-accepted
	defer other.Close()
	for _, pair := range [][2]net.Conn{{conn, other}, {other, conn}} {
		if _, err := io.WriteString(pair[0], "entry"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(pair[1], got); err != nil || string(got) != "entry" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if addr := nodes[1].RaftLayer().Addr().String(); addr != "b" {
		t.Errorf("the layer's address is %s", addr)
	}
	if _, err := nodes[0].RaftLayer().Dial("nobody", time.Second); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
}

func TestCutRaft(t *testing.T) {
	n := newNetwork(t)
	nodes := n.nodes("a", "b")
	a, b := nodes[0], nodes[1]
	b.Handle("echo", echo)
	a.Handle("echo", echo)
	ctx := within(t)
	accepted := make(chan net.Conn, 4)
	for _, node := range nodes {
		go func() {
			for {
				conn, err := node.RaftLayer().Accept()
				if err != nil {
					return
				}
				accepted <- conn
			}
		}()
	}
	open := func(from, to *Transport) (dialed, taken net.Conn) {
		t.Helper()
		dialed, err := from.RaftLayer().Dial(raft.ServerAddress(to.cfg.Name), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return dialed, <-accepted
	}
	call := func() {
		t.Helper()
		if _, err := a.Call(ctx, "b", "echo", nil); err != nil {
			t.Errorf("a call while Raft is cut: %v", err)
		}
		if _, err := b.Call(ctx, "a", "echo", nil); err != nil {
			t.Errorf("a call while Raft is cut: %v", err)
		}
	}
	call()
	out, outTaken := open(a, b)
	in, inTaken := open(b, a)

	a.CutRaft(true)
	for what, conn := range map[string]net.Conn{"dialed": out, "its end": outTaken, "accepted": inTaken, "its other end": in} {
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("the %s stream lives on: %v", what, err)
		}
	}
	if _, err := a.RaftLayer().Dial("b", 10*time.Second); !errors.Is(err, ErrRaftCut) {
		t.Errorf("a dial while cut: %v", err)
	}
	var refused *RefusedError
	if _, err := b.RaftLayer().Dial("a", 10*time.Second); !errors.As(err, &refused) || !refused.Remote {
		t.Errorf("a dial to the node that is cut: %v", err)
	}
	call()

	a.CutRaft(false)
	open(a, b)
	open(b, a)
	call()
	if a.Stats().Dials != 3 { // one for calls, two for Raft: the calls never lost their connection
		t.Errorf("%+v", a.Stats())
	}

	// A closed layer stays closed, and a lifted cut does not open it again.
	_ = a.RaftLayer().Close()
	a.CutRaft(true)
	a.CutRaft(false)
	if _, err := a.RaftLayer().Dial("b", time.Second); !errors.Is(err, ErrClosed) {
		t.Errorf("a dial of a closed layer: %v", err)
	}
	if _, err := a.RaftLayer().Accept(); !errors.Is(err, ErrClosed) {
		t.Errorf("accept of a closed layer: %v", err)
	}
	call()
}

// raftNode is a Raft server in memory over a Transport.
type raftNode struct {
	*raft.Raft
	transport *Transport
}

func startRaft(t *testing.T, node *Transport, servers []raft.Server) raftNode {
	t.Helper()
	quiet := hclog.NewNullLogger()
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: node.RaftLayer(), MaxPool: 3, Timeout: 2 * time.Second, Logger: quiet,
	})
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID("id-of-" + node.cfg.Name)
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 400*time.Millisecond, 400*time.Millisecond, 300*time.Millisecond
	cfg.CommitTimeout = 5 * time.Millisecond
	cfg.Logger = quiet
	store := raft.NewInmemStore()
	snapshots := raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(cfg, store, store, snapshots, network, raft.Configuration{Servers: servers}); err != nil {
		t.Fatal(err)
	}
	server, err := raft.NewRaft(cfg, &raft.MockFSM{}, store, store, snapshots, network)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown().Error(); _ = network.Close() })
	return raftNode{server, node}
}

// A whole Raft over the port: it elects, commits, loses its leader to a cut, elects another, and takes
// the old one back.
func TestRaftOverTransport(t *testing.T) {
	n := newNetwork(t)
	names := []string{"a", "b", "c"}
	var servers []raft.Server
	for _, name := range names {
		servers = append(servers, raft.Server{ID: raft.ServerID("id-of-" + name), Address: raft.ServerAddress(name)})
	}
	var nodes []raftNode
	for _, transport := range n.nodes(names...) {
		nodes = append(nodes, startRaft(t, transport, servers))
	}
	// commit has a leader other than not commit an entry and returns that leader.
	commit := func(not *raftNode) (leader *raftNode) {
		t.Helper()
		eventually(t, "a leader commits", func() bool {
			for i := range nodes {
				if node := &nodes[i]; node != not && node.State() == raft.Leader && node.Apply([]byte("x"), time.Second).Error() == nil {
					leader = node
					return true
				}
			}
			return false
		})
		return leader
	}
	first := commit(nil)
	first.transport.CutRaft(true)
	second := commit(first)
	eventually(t, "the cut leader steps down", func() bool { return first.State() != raft.Leader })
	first.transport.CutRaft(false)
	eventually(t, "the node that was cut catches up", func() bool {
		return first.AppliedIndex() >= second.AppliedIndex()
	})
}
