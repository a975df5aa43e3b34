package replica

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/integration/freeport"
	"github.com/lockstep-kms/lockstep/storage"
	"github.com/lockstep-kms/lockstep/transport"
)

// patience is how long a test waits for something that has to happen; none measures it.
const patience = 30 * time.Second

// testBound is the revocation bound of the tests: longer than any of them, unless it lets time pass.
const testBound = 2 * time.Minute

// testCluster is a set of nodes over loopback TLS whose links a test can cut.
type testCluster struct {
	t     testing.TB
	ca    *transport.CA
	peers []Peer
	nodes map[string]*testNode

	mu  sync.Mutex
	cut map[string]bool      // guarded by mu: nodes cut off from all others
	mum map[string]bool      // guarded by mu: nodes whose connections stay open and carry nothing
	at  map[string]string    // guarded by mu: name by address
	net map[net.Conn]linkEnd // guarded by mu: open connections
}

type linkEnd struct{ from, to string }

// testNode is one node; r is nil while it is down.
type testNode struct {
	c      *testCluster
	name   string
	dir    string
	cert   *transport.Pair
	clock  *testClock
	faults *faults
	timing Timing
	bound  atomic.Int64
	unfit  atomic.Bool // Config.Unfit says something
	opened *testOpened
	heard  events
	mangle func(*raft.Log) // changes entries before they are applied; nil: none
	peers  []Peer          // the list it is configured with
	addr   string
	alive  time.Duration // between pings of the transport; 0: its default
	ticks  int           // of the watchdog until a write counts as hung

	data      *storage.Dir
	transport *transport.Transport
	r         *Replica
}

// testClock is the system's clock, shifted by what a test says.
type testClock struct{ wall, boot atomic.Int64 }

func (c *testClock) Wall() time.Time { return time.Now().Add(time.Duration(c.wall.Load())) }

func (c *testClock) Boot() time.Duration {
	return systemClock{}.Boot() + time.Duration(c.boot.Load())
}

// pass lets d pass on every node, for leases and contacts though not for timers.
func (c *testCluster) pass(d time.Duration) {
	for _, n := range c.nodes {
		n.clock.boot.Add(int64(d))
		n.clock.wall.Add(int64(d))
	}
}

// testOpened is a catalog that opens what the state machine applies, unless it is held or sealed.
type testOpened struct {
	f      *fsm.FSM
	sealed atomic.Bool
	held   atomic.Uint64 // when not 0: nothing above it opens
}

func (o *testOpened) OpenedIndex() uint64 {
	if o.sealed.Load() {
		return 0
	}
	index := o.f.View().Index()
	if held := o.held.Load(); held != 0 {
		index = min(index, held)
	}
	return index
}

var errSealed = errors.New("sealed")

func (o *testOpened) WaitOpened(ctx context.Context, index uint64) error {
	for {
		if o.sealed.Load() {
			return errSealed
		}
		if o.OpenedIndex() >= index {
			return nil
		}
		if held := o.held.Load(); held != 0 && held < index {
			if !pause(ctx, time.Millisecond) {
				return ctx.Err()
			}
			continue
		}
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		_ = o.f.Wait(short, index)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (o *testOpened) Sealed() bool { return o.sealed.Load() }

// faults sits beneath the guards of a log store.
type faults struct {
	mu   sync.Mutex
	hang chan struct{} // guarded by mu: writes wait until it is closed; nil: none
	fail error         // guarded by mu
	held int           // guarded by mu: writes that wait
	read error         // guarded by mu: of every entry that is read
}

func (f *faults) set(hang chan struct{}, fail error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hang, f.fail = hang, fail
}

func (f *faults) wait() error {
	f.mu.Lock()
	hang, fail := f.hang, f.fail
	if hang != nil {
		f.held++
	}
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return fail
}

func (f *faults) holds() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}

type faultyStore struct {
	storage.Store
	f *faults
}

func (s faultyStore) StoreLogs(logs []*raft.Log) error {
	if err := s.f.wait(); err != nil {
		return err
	}
	return s.Store.StoreLogs(logs)
}

func (s faultyStore) GetLog(index uint64, l *raft.Log) error {
	s.f.mu.Lock()
	err := s.f.read
	s.f.mu.Unlock()
	if err != nil {
		return err
	}
	return s.Store.GetLog(index, l)
}

func (s faultyStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func fastTiming() Timing {
	return Timing{
		HeartbeatTimeout: 200 * time.Millisecond, ElectionTimeout: 200 * time.Millisecond, LeaderLease: 150 * time.Millisecond,
		Join: 50 * time.Millisecond, Contact: 600 * time.Millisecond, Stable: 200 * time.Millisecond,
		Checkpoint: time.Hour, Schedule: time.Hour, Calm: time.Millisecond, Duty: 50 * time.Millisecond,
		SnapshotInterval: time.Hour, Propose: time.Second, Confirm: 500 * time.Millisecond,
	}
}

func newCluster(t testing.TB, names ...string) *testCluster {
	t.Helper()
	if p, ok := t.(*testing.T); ok {
		p.Parallel() // these tests mostly wait
	}
	ca, err := transport.NewCA("test", transport.Validity{})
	if err != nil {
		t.Fatal(err)
	}
	c := &testCluster{
		t: t, ca: ca, nodes: map[string]*testNode{}, cut: map[string]bool{}, mum: map[string]bool{},
		at: map[string]string{}, net: map[net.Conn]linkEnd{},
	}
	for _, name := range names {
		c.add(name)
	}
	for _, name := range names {
		c.peers = append(c.peers, Peer{Name: name, Addr: c.nodes[name].addr})
	}
	for _, n := range c.nodes {
		n.peers = c.peers
	}
	t.Cleanup(c.stop)
	return c
}

// add prepares a node that is not started.
func (c *testCluster) add(name string) *testNode {
	c.t.Helper()
	pair, err := c.ca.IssueNode(name, nil, transport.Validity{})
	if err != nil {
		c.t.Fatal(err)
	}
	addr := freeport.Addr(c.t)
	n := &testNode{
		c: c, name: name, dir: filepath.Join(c.t.TempDir(), name), cert: pair, clock: &testClock{}, faults: &faults{},
		timing: fastTiming(), addr: addr, peers: c.peers, ticks: 3,
	}
	n.bound.Store(int64(testBound))
	c.nodes[name] = n
	c.mu.Lock()
	c.at[addr] = name
	c.mu.Unlock()
	return n
}

// start runs the nodes called names, all when there are none.
func (c *testCluster) start(names ...string) {
	c.t.Helper()
	if len(names) == 0 {
		for _, p := range c.peers {
			names = append(names, p.Name)
		}
	}
	for _, name := range names {
		c.nodes[name].start()
	}
}

func (n *testNode) start() {
	t := n.c.t
	t.Helper()
	var err error
	if n.data, err = storage.Open(n.dir); err != nil {
		t.Fatal(err)
	}
	cert, err := n.cert.TLS()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("REPLICA_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", n.name)
	}
	state := fsm.New(fsm.Options{Fatal: func(err error) { log.Error("fatal", "error", err) }})
	n.opened = &testOpened{f: state}
	id := NewIdentity(IdentityConfig{
		Name: n.name, APIAddr: "http://" + n.name, PeerAddr: n.addr, Version: "test", Peers: n.peers,
		Dir: n.data, FSM: state, KeyHash: sha256.Sum256(leaf.RawSubjectPublicKeyInfo),
	})
	n.transport, err = transport.New(transport.Config{
		Listen: n.addr, Cert: cert, CA: n.c.ca.Pool(), Name: n.name,
		Local: id.Hello, Check: id.Check, Resolve: id.Resolve, Dial: n.c.dialer(n.name), Logger: log,
		KeepAlive: n.alive,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.r, err = Open(Config{
		Identity: id, Transport: n.transport, Opened: n.opened, Clock: n.clock, Timing: n.timing, Logger: log,
		ApplyHook: n.mangle,
		Events:    n.heard.add,
		Bound:     func() time.Duration { return time.Duration(n.bound.Load()) },
		Unfit: func() string {
			if n.unfit.Load() {
				return "a test says so"
			}
			return ""
		},
		Log: storage.LogOptions{HangTicks: n.ticks, Wrap: func(s storage.Store) storage.Store {
			return faultyStore{s, n.faults}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// kill stops a node without a word to the others.
func (n *testNode) kill() {
	if n.r == nil {
		return
	}
	n.c.isolate(n.name, true)
	n.stop()
	n.c.isolate(n.name, false)
}

func (n *testNode) stop() {
	if n.r == nil {
		return
	}
	n.faults.set(nil, nil)
	_ = n.r.Close()
	_ = n.transport.Close()
	_ = n.data.Close()
	n.r = nil
}

func (n *testNode) wipe() {
	if err := os.RemoveAll(n.dir); err != nil {
		n.c.t.Fatal(err)
	}
}

func (c *testCluster) stop() {
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		wg.Go(n.stop)
	}
	wg.Wait()
}

func (c *testCluster) dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		c.mu.Lock()
		to := c.at[addr]
		refused := c.cut[from] || c.cut[to]
		c.mu.Unlock()
		if refused {
			return nil, errors.New("the link is cut")
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			c.mu.Lock()
			c.net[conn] = linkEnd{from, to}
			c.mu.Unlock()
			conn = &mumConn{Conn: conn, c: c, end: linkEnd{from, to}}
		}
		return conn, err
	}
}

// mumConn is a connection that can go silent without ending.
type mumConn struct {
	net.Conn
	c      *testCluster
	end    linkEnd
	closed atomic.Bool
}

func (m *mumConn) wait() error {
	for {
		m.c.mu.Lock()
		silent := m.c.mum[m.end.from] || m.c.mum[m.end.to]
		m.c.mu.Unlock()
		switch {
		case m.closed.Load():
			return net.ErrClosed
		case !silent:
			return nil
		}
		pause(context.Background(), 2*time.Millisecond)
	}
}

func (m *mumConn) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if closed := m.wait(); closed != nil {
		return 0, closed
	}
	return n, err
}

func (m *mumConn) Write(p []byte) (int, error) {
	if err := m.wait(); err != nil {
		return 0, err
	}
	return m.Conn.Write(p)
}

func (m *mumConn) Close() error {
	m.closed.Store(true)
	return m.Conn.Close()
}

// silence has every connection of the node called name stay open and carry nothing, or carry again.
func (c *testCluster) silence(name string, mum bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mum[name] = mum
}

// isolate cuts every link of the node called name, or heals them.
func (c *testCluster) isolate(name string, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[name] = cut
	for conn, end := range c.net {
		if cut && (end.from == name || end.to == name) {
			conn.Close()
			delete(c.net, conn)
		}
	}
}

// until waits for something to become true.
func (c *testCluster) until(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if ok() {
			return
		}
		pause(context.Background(), 5*time.Millisecond)
	}
	for _, n := range c.nodes {
		if n.r != nil {
			c.t.Logf("%s: %+v", n.name, n.r.Status())
		}
	}
	c.t.Fatalf("waited in vain: %s", what)
}

// leader waits for a node that leads, other than those called not.
func (c *testCluster) leader(not ...string) *testNode {
	c.t.Helper()
	var found *testNode
	c.until("a leader", func() bool {
	nodes:
		for _, n := range c.nodes {
			for _, name := range not {
				if n.name == name {
					continue nodes
				}
			}
			if n.r != nil && n.r.Status().Leader {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

// follower returns a running node that does not lead.
func (c *testCluster) follower() *testNode {
	c.t.Helper()
	leader := c.leader()
	for _, p := range c.peers {
		if n := c.nodes[p.Name]; n != leader && n.r != nil {
			return n
		}
	}
	c.t.Fatal("no follower")
	return nil
}

// others returns the configured nodes but n, by name.
func (c *testCluster) others(n *testNode) (all []*testNode) {
	for _, p := range c.peers {
		if p.Name != n.name {
			all = append(all, c.nodes[p.Name])
		}
	}
	return all
}

// settled waits until all running nodes have a lease and a record, and everyone is a voter.
func (c *testCluster) settled() *testNode {
	c.t.Helper()
	leader := c.leader()
	c.until("everyone settled", func() bool {
		for _, n := range c.nodes {
			if n.r == nil {
				continue
			}
			if rec, _, ok := node(n.opened.f.View(), n.name); !ok || !rec.same(n.r.id.record()) {
				return false
			}
			if !n.opened.Sealed() && n.r.Lease() != nil || n.r.leaderName() == "" {
				return false
			}
			if voters := n.r.voters(); len(voters) < len(c.peers) {
				return false
			}
		}
		return true
	})
	return leader
}

// txn makes a transaction that writes one record of its own.
func (n *testNode) txn(id string, body []byte) *fsm.Txn {
	v := n.opened.f.View()
	old, _ := v.GetAny(fsm.KindSetting, fsm.ID(id))
	t := &fsm.Txn{
		Event: "test.written", Based: n.r.LogNow(),
		Writes: []fsm.Write{{
			Kind: fsm.KindSetting, ID: fsm.ID(id), Term: 1, Body: body,
			Revision: max(old.Revision, v.Index(), v.Floor(fsm.KindSetting)) + 1,
		}},
	}
	rand.Read(t.ID[:])
	t.Request = sha256.Sum256(body)
	return t
}

// put writes a record and fails the test when it is not applied.
func (n *testNode) put(id string) fsm.Outcome {
	n.c.t.Helper()
	var out fsm.Outcome
	n.c.until("writing "+id+" on "+n.name, func() bool {
		var err error
		out, err = n.r.Propose(context.Background(), n.txn(id, []byte(id)))
		return err == nil && (out.Status == fsm.Applied || out.Status == fsm.Repeated)
	})
	return out
}

func wantKind(t testing.TB, err error, want ...Kind) {
	t.Helper()
	for _, kind := range want {
		if KindOf(err) == kind {
			return
		}
	}
	t.Fatalf("error %v of kind %q, want %q", err, KindOf(err), want)
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("node%d", i+1))
	}
	return all
}
