// Package cluster starts real clusters for tests: nodes inside the test process, made by server.New
// with seams for faults, or processes of the binary that can be killed. Nothing is wired twice: both
// kinds run the same server from the same configuration.
package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/integration/freeport"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
	"github.com/lockstep-kms/lockstep/server/replica"
	"github.com/lockstep-kms/lockstep/transport"
)

// Options shape a cluster. The zero value is three nodes inside the test process, initialized with 5
// shares, threshold 3, and unsealed.
type Options struct {
	Nodes     int
	Processes bool     // nodes are processes of the binary, which Kill kills with SIGKILL
	Sealed    bool     // initialized, not unsealed
	Empty     bool     // not initialized
	Stopped   bool     // not even started
	TLS       bool     // the API is served over TLS, with the nodes' certificates
	Env       []string // added to the environment of processes, NAME=value
	Config    func(i int, c *server.Config)
	Seams     func(i int, s *server.Seams) // inside the test process only
}

// Cluster is a running cluster.
type Cluster struct {
	TB    testing.TB
	Nodes []*Node
	Net   *Network // of nodes inside the test process
	CA    *transport.CA

	Shares          []string
	AccessKeyID     string
	SecretAccessKey string

	dir string
	o   Options
}

// Node is one node of a Cluster, running or not.
type Node struct {
	Name    string
	Dir     string // holds data, audit.jsonl, server.log
	APIAddr string
	Config  server.Config

	c       *Cluster
	i       int
	apiAddr string
	peer    string

	mu     sync.Mutex
	cancel context.CancelFunc // guarded by mu; nil when not running
	done   chan struct{}      // guarded by mu; closed when the node ended
	err    error              // how it ended; valid once done is closed
	cmd    *exec.Cmd          // guarded by mu; of a process
}

// Start starts a cluster and stops it at the end of the test.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	c := &Cluster{TB: tb, o: o, dir: tempDir(tb), Net: NewNetwork()}
	ca, err := transport.NewCA("test", transport.Validity{})
	must(tb, err)
	c.CA = ca
	must(tb, ca.Save(filepath.Join(c.dir, "certs")))
	for i := range o.Nodes {
		c.Nodes = append(c.Nodes, c.newNode(i))
	}
	for _, n := range c.Nodes {
		n.configure()
	}
	tb.Cleanup(c.Stop)
	if o.Stopped {
		return c
	}
	for _, n := range c.Nodes {
		n.Start()
	}
	if o.Empty {
		return c
	}
	c.Init()
	if o.Sealed {
		return c
	}
	c.Unseal()
	return c
}

// tempDir is tb.TempDir with a short name, removed when the test passed.
func tempDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("", "lockstep-test-")
	must(tb, err)
	tb.Cleanup(func() {
		if tb.Failed() && os.Getenv("LOCKSTEP_TEST_KEEP") != "" {
			tb.Logf("the cluster's files are in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return dir
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (c *Cluster) newNode(i int) *Node {
	n := &Node{c: c, i: i, Name: fmt.Sprintf("node-%d", i)}
	n.Dir = filepath.Join(c.dir, n.Name)
	must(c.TB, os.MkdirAll(n.Dir, 0o700))
	n.apiAddr, n.peer = freeport.Addr(c.TB), freeport.Addr(c.TB)
	n.APIAddr = "http://" + n.apiAddr
	if c.o.TLS {
		n.APIAddr = "https://" + n.apiAddr
	}
	pair, err := c.CA.IssueNode(n.Name, []string{"127.0.0.1"}, transport.Validity{})
	must(c.TB, err)
	must(c.TB, pair.Save(n.file("node.pem"), n.file("node-key.pem")))
	return n
}

func (n *Node) file(name string) string { return filepath.Join(n.Dir, name) }

// DataDir is the node's data directory.
func (n *Node) DataDir() string { return n.file("data") }

func (n *Node) configure() {
	cfg := map[string]string{
		"name": n.Name, "data-dir": n.DataDir(), "api-listen": n.apiAddr, "api-addr": n.APIAddr, "peer-listen": n.peer, "peer-addr": n.peer,
		"peer-tls-ca-file": filepath.Join(n.c.dir, "certs", transport.CACertFile), "peer-tls-cert-file": n.file("node.pem"), "peer-tls-key-file": n.file("node-key.pem"),
		"audit-file": n.file("audit.jsonl"), "dev": "true", "log-level": "debug", "peers": n.c.peerList(),
	}
	if n.c.o.TLS {
		cfg["api-tls-cert-file"], cfg["api-tls-key-file"] = n.file("node.pem"), n.file("node-key.pem")
	}
	c, err := server.LoadConfig("", func(string) (string, bool) { return "", false }, cfg)
	must(n.c.TB, err)
	if n.c.o.Config != nil {
		n.c.o.Config(n.i, &c)
	}
	n.Config = c
	raw, err := yaml.Marshal(c)
	must(n.c.TB, err)
	must(n.c.TB, os.WriteFile(n.file("config.yaml"), raw, 0o600))
}

func (c *Cluster) peerList() string {
	var list []string
	for _, n := range c.Nodes {
		list = append(list, n.Name+"="+n.peer)
	}
	return strings.Join(list, ",")
}

// Start starts the node. It does not wait until it serves.
func (n *Node) Start() {
	n.c.TB.Helper()
	must(n.c.TB, n.TryStart())
}

// TryStart starts the node and returns what kept it from starting.
func (n *Node) TryStart() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cancel != nil {
		return fmt.Errorf("%s is running", n.Name)
	}
	log, err := os.OpenFile(n.file("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if n.c.o.Processes {
		return n.startProcess(log)
	}
	return n.startInside(log)
}

// startInside needs mu.
func (n *Node) startInside(log *os.File) error {
	seams := server.Seams{Version: "test", Logger: newTestLogger(log), Dial: n.c.Net.DialFrom(n.peer), Timing: FastTiming}
	if n.c.o.Seams != nil {
		n.c.o.Seams(n.i, &seams)
	}
	s, err := server.New(n.Config, seams)
	if err != nil {
		log.Close()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	n.cancel, n.done = cancel, done
	go func() {
		defer log.Close()
		n.ended(s.Run(ctx), done)
	}()
	return nil
}

// FastTiming shortens what tests would otherwise wait for.
func FastTiming(t *replica.Timing) {
	t.Join, t.Stable, t.Duty = 50*time.Millisecond, 500*time.Millisecond, 50*time.Millisecond
	t.Contact = 1500 * time.Millisecond
}

// startProcess needs mu.
func (n *Node) startProcess(log *os.File) error {
	defer log.Close()
	cmd := exec.Command(Binary(n.c.TB), "server", "--config", n.file("config.yaml"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(cleanEnvironment(), n.c.o.Env...)
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	n.cmd, n.done = cmd, done
	n.cancel = func() { cmd.Process.Signal(os.Interrupt) }
	go func() { n.ended(cmd.Wait(), done) }()
	return nil
}

func cleanEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LOCKSTEP_") {
			env = append(env, kv)
		}
	}
	return env
}

func (n *Node) ended(err error, done chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err, n.cancel, n.cmd = err, nil, nil
	close(done)
}

// Stop stops the node in order and returns how it ended.
func (n *Node) Stop() error {
	n.mu.Lock()
	cancel, done := n.cancel, n.done
	n.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if done != nil {
		<-done
	}
	return n.err
}

// Kill ends a process with SIGKILL and waits until it is gone.
func (n *Node) Kill() {
	n.mu.Lock()
	cmd, done := n.cmd, n.done
	n.mu.Unlock()
	if cmd == nil {
		n.c.TB.Fatalf("%s is not a running process", n.Name)
	}
	cmd.Process.Kill()
	<-done
}

// Done is closed when the node has ended; Err tells how.
func (n *Node) Done() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.done
}

// Err is how the node ended, once Done is closed.
func (n *Node) Err() error { return n.err }

// PID is the process id of a running process.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return 0
	}
	return n.cmd.Process.Pid
}

// Running reports whether the node runs.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cancel != nil
}

// PeerAddr is where the other nodes reach this one.
func (n *Node) PeerAddr() string { return n.peer }

// Wipe removes the data directory of a node that does not run.
func (n *Node) Wipe() { must(n.c.TB, os.RemoveAll(n.DataDir())) }

// Stop stops every node.
func (c *Cluster) Stop() {
	var wg sync.WaitGroup
	for _, n := range c.Nodes {
		wg.Go(func() { n.Stop() })
	}
	wg.Wait()
}

// Client returns a client of this node alone, which repeats nothing.
func (n *Node) Client() *client.Client {
	return n.c.NewClient(n.c.AccessKeyID, n.c.SecretAccessKey, n)
}

// Client returns a client of all nodes, as users have it.
func (c *Cluster) Client() *client.Client {
	var addrs []string
	for _, n := range c.Nodes {
		addrs = append(addrs, n.APIAddr)
	}
	cl, err := client.New(client.Config{Addrs: addrs, AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, TLS: c.ClientTLS()})
	must(c.TB, err)
	return cl
}

// NewClient returns a client of one node with an access key of its own.
func (c *Cluster) NewClient(id, key string, n *Node) *client.Client {
	return n.ClientWith(client.Config{AccessKeyID: id, SecretAccessKey: key})
}

// ClientWith returns a client of this node alone, which repeats nothing, with another identity. Unless the configuration
// has a TLS of its own, it trusts the cluster's CA.
func (n *Node) ClientWith(cfg client.Config) *client.Client {
	cfg.Addrs, cfg.Attempts = []string{n.APIAddr}, 1
	if cfg.TLS == nil {
		cfg.TLS = n.c.ClientTLS()
	}
	cl, err := client.New(cfg)
	must(n.c.TB, err)
	return cl
}

// ClientTLS is what a client needs to trust the nodes' certificates.
func (c *Cluster) ClientTLS() *tls.Config { return &tls.Config{RootCAs: c.CA.Pool()} }

// Init initializes the cluster through the first node that takes it.
func (c *Cluster) Init() {
	c.TB.Helper()
	c.Eventually(30*time.Second, "init", func(ctx context.Context) error {
		a, err := c.Nodes[0].Client().Init(ctx, client.InitRequest{Shares: 5, Threshold: 3})
		if err != nil {
			return err
		}
		c.keep(a)
		return nil
	})
}

func (c *Cluster) keep(a *client.InitAnswer) {
	c.Shares = nil
	for _, s := range a.Shares {
		c.Shares = append(c.Shares, string(s))
	}
	c.AccessKeyID, c.SecretAccessKey = a.AccessKeyID, string(a.SecretAccessKey)
}

// Keep remembers the answer of an init that the test made itself.
func (c *Cluster) Keep(a *client.InitAnswer) { c.keep(a) }

// Unseal unseals every running node, each with its own shares, and waits until all serve.
func (c *Cluster) Unseal() {
	c.TB.Helper()
	for _, n := range c.Nodes {
		if n.Running() {
			n.Unseal()
		}
	}
	for _, n := range c.Nodes {
		if n.Running() {
			n.WaitServing()
		}
	}
}

// Unseal gives this node alone its shares.
func (n *Node) Unseal() {
	n.c.TB.Helper()
	n.c.Eventually(30*time.Second, "unsealing "+n.Name, func(ctx context.Context) error {
		for _, share := range n.c.Shares[:3] {
			if h, err := n.Client().Health(ctx); err == nil && h.Initialized && !h.Sealed {
				return nil
			}
			_, err := n.Client().Unseal(ctx, client.UnsealRequest{Share: kms.SensitiveString(share)})
			if err != nil && kms.CodeOf(err) != kms.CodeShareDuplicate {
				return err
			}
		}
		if h, err := n.Client().Health(ctx); err != nil || h.Sealed {
			return errors.Join(err, errors.New("still sealed"))
		}
		return nil
	})
}

// WaitServing waits until the node's health is 200.
func (n *Node) WaitServing() {
	n.c.TB.Helper()
	n.c.Eventually(30*time.Second, n.Name+" serving", func(ctx context.Context) error {
		h, err := n.Client().Health(ctx)
		if err != nil {
			return err
		}
		if !h.CanServeCrypto {
			return errors.New(h.Reason)
		}
		return nil
	})
}

// Leader waits until exactly one running node says that it leads, and returns it.
func (c *Cluster) Leader() *Node {
	c.TB.Helper()
	var leader *Node
	c.Eventually(30*time.Second, "a leader", func(ctx context.Context) error {
		leader = nil
		for _, n := range c.Nodes {
			if !n.Running() {
				continue
			}
			if h, err := n.Client().Health(ctx); err == nil && h.Leader {
				if leader != nil {
					return errors.New("two nodes say that they lead")
				}
				leader = n
			}
		}
		if leader == nil {
			return errors.New("no node says that it leads")
		}
		return nil
	})
	return leader
}

// Followers returns the running nodes but the leader.
func (c *Cluster) Followers() []*Node {
	leader := c.Leader()
	var rest []*Node
	for _, n := range c.Nodes {
		if n != leader && n.Running() {
			rest = append(rest, n)
		}
	}
	return rest
}

// Eventually polls f until it returns nil; after limit the test fails with its last error.
func (c *Cluster) Eventually(limit time.Duration, what string, f func(ctx context.Context) error) {
	c.TB.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			c.TB.Fatalf("%s: not within %s: %v\n%s", what, limit, err, c.logs())
		case <-tick.C:
		}
	}
}

// logs returns the end of every node's log, for a failure's message.
func (c *Cluster) logs() string {
	var b strings.Builder
	for _, n := range c.Nodes {
		raw, _ := os.ReadFile(n.file("server.log"))
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", n.Name, strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
	return b.String()
}

var binary struct {
	sync.Once
	path string
	err  error
}

// Binary builds the product once a test run and returns its path.
func Binary(tb testing.TB) string {
	tb.Helper()
	binary.Do(func() {
		dir, err := os.MkdirTemp("", "lockstep-binary-")
		if err != nil {
			binary.err = err
			return
		}
		_, self, _, _ := runtime.Caller(0)
		binary.path = filepath.Join(dir, "lockstep")
		cmd := exec.Command("go", "build", "-o", binary.path, "./cmd/lockstep")
		cmd.Dir = filepath.Join(filepath.Dir(self), "..", "..")
		if out, err := cmd.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("building the binary: %w\n%s", err, out)
		}
	})
	must(tb, binary.err)
	return binary.path
}

// RemoveBinary removes what Binary built; TestMain calls it last.
func RemoveBinary() {
	if binary.path != "" {
		os.RemoveAll(filepath.Dir(binary.path))
	}
}
