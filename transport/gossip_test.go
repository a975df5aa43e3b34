package transport

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// gossiping starts a node that finds others by gossip only: its Resolve knows nobody.
func gossiping(t *testing.T, n *network, cfg Config, seeds ...string) (*Transport, *Gossip) {
	t.Helper()
	cfg.Resolve = nil
	node, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	g, err := NewGossip(node, GossipConfig{
		Name:      cfg.Name,
		Advertise: node.Addr().String(),
		Meta:      []byte("meta of " + cfg.Name),
		Seeds:     func() []string { return seeds },
		quick:     true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	n.place(cfg.Name, node.Addr().String())
	return node, g
}

func (n *network) seed(name string) string {
	addr, err := n.resolve(name)
	if err != nil {
		n.t.Fatal(err)
	}
	return addr
}

// Each node is told of one other only, in one form or the other, and learns the addresses of all.
func TestGossipLearnsAddresses(t *testing.T) {
	n := newNetwork(t)
	_, a := gossiping(t, n, n.config("a"))
	_, b := gossiping(t, n, n.config("b"), "a="+n.seed("a"))
	_, c := gossiping(t, n, n.config("c"), n.seed("b"))
	for i, g := range []*Gossip{a, b, c} {
		eventually(t, fmt.Sprintf("node %d knows all", i), func() bool { return len(g.Members()) == 3 })
		for _, name := range []string{"a", "b", "c"} {
			if addr, ok := g.Addr(name); !ok || addr != n.seed(name) {
				t.Errorf("node %d has %s at %q", i, name, addr)
			}
			if addr := g.where(name); addr != n.seed(name) {
				t.Errorf("node %d would dial %s at %q", i, name, addr)
			}
		}
		for j, m := range g.Members() {
			name := string(rune('a' + j))
			if m.Name != name || m.Addr != n.seed(name) || string(m.Meta) != "meta of "+name {
				t.Errorf("node %d lists %+v", i, m)
			}
		}
	}
	if _, ok := a.Addr("nobody"); ok {
		t.Error("an address of nobody")
	}
}

// A node that comes back at another address is found there, and a node that leaves is forgotten.
func TestGossipFollowsAMove(t *testing.T) {
	n := newNetwork(t)
	_, a := gossiping(t, n, n.config("a"))
	node, b := gossiping(t, n, n.config("b"), "a="+n.seed("a"))
	first := n.seed("b")
	eventually(t, "a sees b", func() bool { addr, _ := a.Addr("b"); return addr == first })
	moved := n.config("b")
	listener, err := net.Listen("tcp", "127.0.0.1:0") // while the first port is still taken
	if err != nil {
		t.Fatal(err)
	}
	moved.Listener = listener
	_ = b.Close() // without a word
	_ = node.Close()
	_, b = gossiping(t, n, moved, "a="+n.seed("a"))
	second := n.seed("b")
	eventually(t, "a sees b elsewhere", func() bool { addr, _ := a.Addr("b"); return addr == second })
	if err := b.Leave(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a forgets b", func() bool { _, ok := a.Addr("b"); return !ok })
}

func TestGossipForgetsTheDead(t *testing.T) {
	n := newNetwork(t)
	_, a := gossiping(t, n, n.config("a"))
	node, b := gossiping(t, n, n.config("b"), "a="+n.seed("a"))
	eventually(t, "a sees b", func() bool { return len(a.Members()) == 2 })
	_ = b.Close()
	_ = node.Close()
	eventually(t, "a forgets b", func() bool { return len(a.Members()) == 1 })
}

// Seeds that are not there are tried until they are.
func TestGossipRetriesSeeds(t *testing.T) {
	n := newNetwork(t)
	later := n.config("later")
	early, err := New(later)
	if err != nil {
		t.Fatal(err)
	}
	addr := early.Addr().String()
	_ = early.Close()
	nodeA, a := gossiping(t, n, n.config("a"), "later="+addr, "a=127.0.0.1:1", "nonsense", "=", "x=")
	eventually(t, "a knocks", func() bool { return nodeA.Stats().Streams == 0 && len(a.Members()) == 1 })
	later.Listen = addr
	gossiping(t, n, later)
	eventually(t, "a sees the late one", func() bool { got, _ := a.Addr("later"); return got == addr })
}

// A refused node gossips no more than it calls.
func TestGossipObeysCheck(t *testing.T) {
	n := newNetwork(t)
	cfg := n.config("a")
	asked := make(chan struct{}, 1000)
	cfg.Check = func(p Peer) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		if p.Channel != ChannelGossip {
			t.Errorf("asked about %s", p.Channel)
		}
		return errors.New("no")
	}
	_, a := gossiping(t, n, cfg)
	_, b := gossiping(t, n, n.config("b"), "a="+n.seed("a"))
	for range 3 {
		<-asked
	}
	if len(a.Members()) != 1 || len(b.Members()) != 1 {
		t.Error("a refused node was taken in")
	}
}

// After a cut of Raft gossip goes on, and without a Gossip the port refuses gossip quietly.
func TestGossipBesidesCut(t *testing.T) {
	n := newNetwork(t)
	nodeA, a := gossiping(t, n, n.config("a"))
	nodeA.CutRaft(true)
	_, b := gossiping(t, n, n.config("b"), "a="+n.seed("a"))
	eventually(t, "they see each other", func() bool { return len(a.Members()) == 2 && len(b.Members()) == 2 })
	if _, err := NewGossip(nodeA, GossipConfig{Name: "a", Advertise: "a:1"}); err == nil {
		t.Error("a second gossip on one transport")
	}
	_ = a.Close()
	again, err := NewGossip(nodeA, GossipConfig{Name: "a", Advertise: n.seed("a"), quick: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

func TestNewGossipRefuses(t *testing.T) {
	node := newNetwork(t).node("a")
	for what, cfg := range map[string]GossipConfig{
		"another name": {Name: "b", Advertise: "a:1"},
		"no port":      {Name: "a", Advertise: "a"},
		"no address":   {Name: "a"},
		"long address": {Name: "a", Advertise: strings.Repeat("a", 254) + ":1"},
		"wrapped":      {Name: "a", Advertise: "a:1" + strings.Repeat("1", 256)},
		"long meta":    {Name: "a", Advertise: "a:1", Meta: make([]byte, maxMemberMeta+1)},
	} {
		if _, err := NewGossip(node, cfg); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	longest := gossipMeta{addr: strings.Repeat("a", 249) + ":65535", user: make([]byte, maxMemberMeta)}
	if n := len(longest.encode()); n > memberlist.MetaMaxSize {
		t.Errorf("meta of %d bytes is over memberlist's limit", n)
	}
}

func TestGossipMembersAreBounded(t *testing.T) {
	g := &Gossip{up: map[string]Member{}}
	watch := gossipWatch{g: g}
	good := gossipMeta{addr: "a:1"}.encode()
	for _, node := range []*memberlist.Node{{Name: "Bad Name", Meta: good}, {Name: "n0", Meta: nil}, {Name: "n0", Meta: []byte("x")}} {
		if watch.NotifyAlive(node) == nil {
			t.Errorf("%q with meta %x was taken", node.Name, node.Meta)
		}
	}
	for i := range 2 * maxMembers {
		node := &memberlist.Node{Name: fmt.Sprint("n", i), Meta: good}
		if watch.NotifyAlive(node) == nil {
			watch.NotifyJoin(node)
		}
	}
	if len(g.up) != maxMembers {
		t.Errorf("%d members", len(g.up))
	}
	if err := watch.NotifyAlive(&memberlist.Node{Name: "n0", Meta: good}); err != nil {
		t.Errorf("a known member: %v", err)
	}
}

func TestGossipPackets(t *testing.T) {
	n := newNetwork(t).node("a")
	g := newGossipNet(n, func(string) string { return "" })
	if _, err := g.WriteToAddress(make([]byte, math.MaxUint16+1), memberlist.Address{Name: "b"}); err == nil {
		t.Error("an oversized packet")
	}
	if _, err := g.WriteTo(nil, "1.2.3.4:5"); err == nil {
		t.Error("a packet to nobody")
	}
	for range 10 * packetQueue { // nobody is there: dropped, not kept
		if _, err := g.WriteToAddress([]byte("x"), memberlist.Address{Name: "b"}); err != nil {
			t.Fatal(err)
		}
	}
	_ = g.Shutdown()
	if _, err := g.WriteToAddress([]byte("x"), memberlist.Address{Name: "c"}); !errors.Is(err, ErrClosed) {
		t.Errorf("a packet after shutdown: %v", err)
	}
}

func FuzzGossipMeta(f *testing.F) {
	f.Add(gossipMeta{addr: "node-1:8300", user: []byte("meta")}.encode())
	f.Add([]byte{1, 0})
	f.Add([]byte{2, 3, 'a', ':', '1'})
	f.Add([]byte{1, 255, 'a'})
	for _, n := range []int{253, 254, 255} {
		f.Add(append([]byte{1, byte(n)}, (strings.Repeat("a", n-2) + ":1meta")...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseGossipMeta(b)
		if err == nil && !bytes.Equal(m.encode(), b) {
			t.Fatalf("%+v is not what was read", m)
		}
	})
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte{0, 1, 'x', 0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.NewReader(b)
		var read []byte
		for {
			packet, err := readPacket(in)
			if err != nil {
				break
			}
			read = slices.Concat(read, []byte{byte(len(packet) >> 8), byte(len(packet))}, packet)
		}
		if !bytes.HasPrefix(b, read) {
			t.Fatal("packets are not what was read")
		}
	})
}

// memberlist's lines keep their levels and lose what does not print.
func TestMemberlistLines(t *testing.T) {
	var out lines
	w := memberlistLines{out.logger()}
	for line, want := range map[string]string{
		"[DEBUG] memberlist: a\n":     "level=DEBUG msg=a",
		"[INFO] memberlist: b\n":      "level=INFO msg=b",
		"[WARN] memberlist: c\x1b\n":  "level=WARN msg=c?",
		"[ERR] memberlist: d":         "level=WARN msg=d",
		"what has no level: e":        `level=DEBUG msg="what has no level: e"`,
		"[INFO] memberlist: [ERR] f]": `level=INFO msg="[ERR] f]"`,
	} {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil || !out.contains(want) {
			t.Errorf("%q is not %s: %d, %v", line, want, n, err)
		}
	}
}
