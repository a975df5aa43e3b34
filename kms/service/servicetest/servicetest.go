// Package servicetest runs the real service over a real state machine in memory, without Raft: a
// shared log that nodes apply when they are told to. Its faults are switches. For tests only.
package servicetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/audit"
	"github.com/lockstep-kms/lockstep/audit/index"
	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/limit"
	"github.com/lockstep-kms/lockstep/auth/oidc"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/seal"
	"github.com/lockstep-kms/lockstep/secret"
)

// Operator is the account that a Cluster begins with.
const Operator = "000000000000"

// Epoch is log time when a Cluster begins, in ms.
const Epoch int64 = 1_800_000_000_000

// Credentials are an access key.
type Credentials struct{ AccessKeyID, Secret string }

// Header returns the Authorization header of Basic authentication.
func (c Credentials) Header() http.Header {
	h := http.Header{}
	if c != (Credentials{}) {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.AccessKeyID+":"+c.Secret)))
	}
	return h
}

// Cluster is a log and the nodes that apply it.
type Cluster struct {
	t     testing.TB
	Root  Credentials // of the operator account
	seal  seal.Config
	share secret.Bytes

	mu    sync.Mutex
	log   []*raft.Log // guarded by mu
	state *fsm.FSM    // guarded by mu: the leader's, which has applied all of log
	now   int64       // guarded by mu: log time
	nodes []*Node     // guarded by mu
}

// New returns an initialized cluster without nodes.
func New(t testing.TB) *Cluster {
	t.Helper()
	config, shares, barrier, err := seal.Initialize(seal.Params{Shares: 1, Threshold: 1, AllowSingle: true, AllowUnlocked: true})
	if err != nil {
		t.Fatal(err)
	}
	defer barrier.Wipe()
	c := &Cluster{t: t, seal: config, share: shares[0], state: fsm.New(fsm.Options{}), now: Epoch}
	first, err := service.FirstRecords(barrier, Operator, c.now, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Root = Credentials{first.AccessKeyID, string(first.Secret)}
	body, err := config.Encode()
	if err != nil {
		t.Fatal(err)
	}
	c.Commit(&fsm.Txn{ID: NewTxnID(), Event: "cluster.initialized", Based: c.now,
		Writes: append(first.Writes, fsm.Write{Kind: fsm.KindSealConfig, ID: "seal", Revision: 1, Body: body})})
	return c
}

// NewTxnID returns a random transaction id.
func NewTxnID() (id fsm.TxnID) {
	rand.Read(id[:])
	return id
}

// Barrier returns a barrier of the cluster, which the caller wipes.
func (c *Cluster) Barrier() *seal.Barrier {
	c.t.Helper()
	_, b, err := seal.NewUnsealer(0, true).Submit(c.seal, string(c.share), "")
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// Commit appends one command to the log, as the leader does. Nodes apply it in their own time.
func (c *Cluster) Commit(txns ...*fsm.Txn) []fsm.Outcome {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]fsm.Txn, len(txns))
	for i, t := range txns {
		all[i] = *t
	}
	c.now++
	data, err := fsm.EncodeBatch(c.now, all)
	if err != nil {
		c.t.Fatal(err)
	}
	l := &raft.Log{Index: uint64(len(c.log)) + 1, Type: raft.LogCommand, Data: data}
	c.log = append(c.log, l)
	outcomes, ok := c.state.Apply(l).([]fsm.Outcome)
	if !ok {
		c.t.Fatal(c.state.Err())
	}
	for _, n := range c.nodes {
		if !n.lagging {
			n.apply(uint64(len(c.log)))
		}
	}
	return outcomes
}

// Advance moves log time.
func (c *Cluster) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += d.Milliseconds()
}

// Now returns log time in ms.
func (c *Cluster) Now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// State returns the state that the leader has.
func (c *Cluster) State() *fsm.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.View()
}

// Faults are what can be wrong with a node. Each func may be nil and is called for every use.
type Faults struct {
	BeforePropose func(*fsm.Txn)       // before the leader sees a transaction
	Propose       func(*fsm.Txn) error // fails instead of proposing
	AfterPropose  func(*fsm.Txn) error // fails after the transaction was applied
	Memory        bool                 // there is no leader: proposals are answered from this node's memory or not at all
	Confirm       func() error
	Lease         func() error
	Sound         func() error
	Due           func(t int64) bool // instead of: log time has come
	Audit         func(line []byte) error
	AwaitAll      func(ctx context.Context, index uint64) ([]string, error) // instead of answering that all have it
}

// Counts are what a node was asked.
type Counts struct {
	Proposals, Confirmations, Leases, Awaits int

	Acts int // of the cluster: members listed, allowed and removed, nodes sealed
}

// Node is one node: a state machine, its catalog and the service.
type Node struct {
	*service.Service
	Name    string
	FSM     *fsm.FSM
	Catalog *catalog.Catalog
	Log     *audit.Log

	cluster *Cluster
	lagging bool // guarded by cluster.mu

	mu     sync.Mutex
	faults Faults   // guarded by mu
	counts Counts   // guarded by mu
	lines  [][]byte // guarded by mu: audit records
}

// Options change what a node is made of.
type Options struct {
	MaxKeys uint64
	Regions []string
	Sealed  bool // begin sealed
	Logger  *slog.Logger
	Sink    audit.Sink       // instead of keeping the records in memory
	Now     func() time.Time // the node's own clock, instead of the machine's
	Backoff *limit.Backoff   // nil: none
	Quota   *limit.Quota     // nil: none

	Observer service.Observer // nil: nobody
	Trail    service.Trail    // instead of one that finds the records kept in memory
}

// Node starts a node that has applied the log so far, unsealed unless the options say otherwise.
func (c *Cluster) Node(o Options) *Node {
	c.t.Helper()
	c.mu.Lock()
	n := &Node{Name: fmt.Sprintf("node-%d", len(c.nodes)+1), FSM: fsm.New(fsm.Options{}), cluster: c}
	c.nodes = append(c.nodes, n)
	n.apply(uint64(len(c.log)))
	c.mu.Unlock()
	n.Catalog = catalog.New(n.FSM, "aws", o.Logger)
	if o.Sink == nil {
		o.Sink = sink{n}
	}
	var err error
	if n.Log, err = audit.New(audit.Options{Sinks: []audit.Sink{o.Sink}, Node: n.Name, Timeout: time.Minute, FoldAfter: math.MaxInt, FoldOwn: math.MaxInt}); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { n.Log.Close() })
	if o.Trail == nil {
		o.Trail = &trail{node: n}
	}
	n.Service = service.New(service.Config{
		Catalog: n.Catalog, Replica: replica{n}, Cluster: members{n}, Authenticator: auth.NewAuthenticator(auth.Options{Now: o.Now, Regions: []string{"us-east-1", "eu-west-1"}, OperatorAccount: Operator, Certificates: true}), Audit: n.Log,
		Regions: o.Regions, Node: n.Name, MaxKeys: o.MaxKeys, Logger: o.Logger, Now: o.Now,
		Backoff: o.Backoff, Quota: o.Quota, OIDC: oidc.New(oidc.Config{Now: o.Now, AllowLoopbackHTTP: true}), LoopbackIssuers: true,
		Observer: o.Observer, Trail: o.Trail,
	})
	if !o.Sealed {
		n.Unseal()
	}
	c.t.Cleanup(n.Catalog.Seal)
	return n
}

// Unseal opens the catalog.
func (n *Node) Unseal() {
	n.cluster.t.Helper()
	if err := n.Catalog.Unseal(context.Background(), n.cluster.Barrier()); err != nil {
		n.cluster.t.Fatal(err)
	}
}

// apply brings the node's state machine to index. The caller holds cluster.mu.
func (n *Node) apply(index uint64) {
	if from := n.FSM.View().Index(); from < index {
		n.FSM.ApplyBatch(n.cluster.log[from:index])
	}
}

// Lag makes the node apply nothing by itself until it is called with false; a proposal or a
// confirmation still makes it catch up.
func (n *Node) Lag(lag bool) {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	n.lagging = lag
	if !lag {
		n.apply(uint64(len(c.log)))
	}
}

// CatchUp waits until the catalog holds everything that is in the log.
func (n *Node) CatchUp(ctx context.Context) error {
	c := n.cluster
	c.mu.Lock()
	index := uint64(len(c.log))
	n.apply(index)
	c.mu.Unlock()
	return n.Catalog.WaitOpened(ctx, index)
}

// Break sets what is wrong with the node from now on.
func (n *Node) Break(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Counts returns what the node was asked so far.
func (n *Node) Counts() Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counts
}

// Records returns the audit records so far, decoded.
func (n *Node) Records() []map[string]any {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]map[string]any, len(n.lines))
	for i, line := range n.lines {
		if err := json.Unmarshal(line, &all[i]); err != nil {
			n.cluster.t.Fatalf("audit record %s: %v", line, err)
		}
	}
	return all
}

// Lines returns the audit records so far, as one text.
func (n *Node) Lines() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return bytes.Join(n.lines, []byte("\n"))
}

// Call returns a call as a door would make it. The zero Credentials present no identity.
func Call(who Credentials, op *kms.Operation, request any) *service.Call {
	return &service.Call{
		Operation: op, Request: request, Door: "test",
		RequestID: "00000000-0000-4000-8000-000000000000", Source: "192.0.2.1", UserAgent: "servicetest",
		Auth: auth.Request{Method: "POST", Header: who.Header(), Source: "192.0.2.1"},
	}
}

// Do calls an operation and returns its answer.
func (n *Node) Do(who Credentials, op *kms.Operation, request any) (any, error) {
	result, err := n.Service.Do(context.Background(), Call(who, op, request))
	if err != nil {
		return nil, err
	}
	return result.Answer, nil
}

// CreateKey makes a key and returns its id.
func (n *Node) CreateKey(who Credentials) string {
	n.cluster.t.Helper()
	answer, err := n.Do(who, kms.OpCreateKey, &kms.CreateKeyRequest{})
	if err != nil {
		n.cluster.t.Fatal(err)
	}
	return answer.(*kms.KeyAnswer).Key.KeyID
}

// CreateAccount makes a tenant and returns its root's access key.
func (n *Node) CreateAccount(id string) Credentials {
	n.cluster.t.Helper()
	answer, err := n.Do(n.cluster.Root, kms.OpCreateAccount, &kms.CreateAccountRequest{AccountID: id})
	if err != nil {
		n.cluster.t.Fatal(err)
	}
	a := answer.(*kms.CreateAccountAnswer)
	return Credentials{a.AccessKeyID, string(a.SecretAccessKey)}
}

// note counts a use and returns the faults.
func (n *Node) note(count func(*Counts)) Faults {
	n.mu.Lock()
	defer n.mu.Unlock()
	count(&n.counts)
	return n.faults
}

// sink keeps audit records in memory, but what the audit trail says of itself at the start and about records that it lacks or could not take.
type sink struct{ node *Node }

func (s sink) Name() string { return "memory" }

func (s sink) Write(b *audit.Batch) error {
	for line := range bytes.Lines(b.Lines) {
		if err := s.take(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
	return nil
}

func (s sink) take(line []byte) error {
	f := s.node.note(func(*Counts) {})
	if f.Audit != nil {
		if err := f.Audit(line); err != nil {
			return err
		}
	}
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	if !itself.Match(line) {
		s.node.lines = append(s.node.lines, bytes.Clone(line))
	}
	return nil
}

var itself = regexp.MustCompile(`"eventSource":"lockstep","eventName":"Audit(Started|Stopped|RecordsMissed|RecordsDropped|Resumed)"`)

func (s sink) Close() error { return nil }

// trail finds the records that a node keeps in memory: it writes them to a file first.
type trail struct {
	node *Node

	mu      sync.Mutex
	index   *index.Index // guarded by mu; nil before the first search
	path    string       // guarded by mu
	written int          // guarded by mu: records in the file
}

// Search implements service.Trail.
func (t *trail) Search(ctx context.Context, q index.Query) (index.Page, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.index == nil {
		t.path = filepath.Join(t.node.cluster.t.TempDir(), "audit.jsonl")
		t.index = index.Open(index.Options{Path: t.path})
		t.node.cluster.t.Cleanup(func() { t.index.Close() })
	}
	f, err := os.OpenFile(t.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return index.Page{}, err
	}
	defer f.Close()
	t.node.mu.Lock()
	lines := t.node.lines[t.written:]
	t.node.mu.Unlock()
	for _, line := range lines {
		if _, err := f.Write(append(bytes.Clone(line), '\n')); err != nil {
			return index.Page{}, err
		}
	}
	t.written += len(lines)
	return t.index.Search(ctx, q)
}

// ErrFault is an error for faults that need one.
var ErrFault = errors.New("servicetest: a fault was asked for")
