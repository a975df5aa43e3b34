// Command raft measures what hashicorp/raft and raft-boltdb alone replicate per second on this
// machine: the floor under bench/create.
//
// Three nodes run in this one process, over plain TCP on loopback, with logs of their own in one
// folder and the settings of server/replica. Clients, in a closed loop, each have a command of the
// size of a key creation replicated; commands that wait at the same time share a log entry, as
// Lockstep packs them. What Lockstep adds and this does not have: HTTP, authentication and
// authorization, sealing, forwarding from a follower, TLS between the nodes, checksums, an applied
// state, audit records, and two more processes.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// The settings of server/replica.
const (
	electionTimeout  = 350 * time.Millisecond
	leaderLease      = 300 * time.Millisecond
	commitTimeout    = 5 * time.Millisecond
	entriesPerAppend = 64
	cachedEntries    = 256
	entryBytes       = 256 << 10
	maxFlights       = 8
)

// options are the command's flags.
type options struct {
	dir      string
	clients  int
	size     int
	warmUp   time.Duration
	duration time.Duration
}

// result is what is printed; latencies are microseconds.
type result struct {
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	PerEntry  float64 `json:"commands_per_entry"`
	FsyncP50  float64 `json:"fsync_p50_us"` // of the disk, before the load
	FsyncP99  float64 `json:"fsync_p99_us"`
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", os.TempDir(), "folder on the disk to measure")
	flag.IntVar(&o.clients, "clients", 32, "clients, each waiting for its command")
	flag.IntVar(&o.size, "size", 1400, "bytes of a command")
	flag.DurationVar(&o.warmUp, "warm-up", time.Second, "load before the measurement")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "measurement")
	flag.Parse()
	r, err := run(o)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "raft:", err)
		os.Exit(1)
	}
}

func run(o options) (_ *result, err error) {
	dir, err := os.MkdirTemp(o.dir, "lockstep-raft-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fsync, err := lab.Fsync(dir, 200)
	if err != nil {
		return nil, err
	}
	leader, stop, err := startCluster(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	r, err := measure(leader, o)
	if err != nil {
		return nil, err
	}
	r.FsyncP50, r.FsyncP99 = microseconds(fsync.P50), microseconds(fsync.P99)
	return r, nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// startCluster starts three nodes and returns the one that leads.
func startCluster(dir string) (leader *raft.Raft, stop func() error, err error) {
	var stops []func() error
	stopAll := func() (err error) {
		for _, f := range stops {
			err = errors.Join(err, f())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stopAll())
		}
	}()
	var nodes []*raft.Raft
	var servers []raft.Server
	for i := range 3 {
		node, address, stopNode, err := startNode(filepath.Join(dir, fmt.Sprint(i)), fmt.Sprint(i))
		if err != nil {
			return nil, nil, err
		}
		stops = append(stops, stopNode)
		nodes = append(nodes, node)
		servers = append(servers, raft.Server{ID: raft.ServerID(fmt.Sprint(i)), Address: address})
	}
	if err := nodes[0].BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		return nil, nil, err
	}
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		for _, node := range nodes {
			if node.State() == raft.Leader {
				return node, stopAll, node.Barrier(time.Minute).Error()
			}
		}
	}
	return nil, nil, errors.New("no node was elected")
}

func startNode(dir, id string) (_ *raft.Raft, _ raft.ServerAddress, stop func() error, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, "", nil, err
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"), BoltOptions: &bbolt.Options{
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoStatistics: true}})
	if err != nil {
		return nil, "", nil, err
	}
	cache, err := raft.NewLogCache(cachedEntries, store)
	if err != nil {
		return nil, "", nil, errors.Join(err, store.Close())
	}
	logger := hclog.NewNullLogger()
	transport, err := raft.NewTCPTransportWithLogger("127.0.0.1:0", nil, 3, 10*time.Second, logger)
	if err != nil {
		return nil, "", nil, errors.Join(err, store.Close())
	}
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = electionTimeout, electionTimeout, leaderLease
	c.CommitTimeout, c.MaxAppendEntries = commitTimeout, entriesPerAppend
	c.SnapshotThreshold = 1 << 40 // never during a run
	c.Logger, c.NoLegacyTelemetry = logger, true
	node, err := raft.NewRaft(c, &machine{}, cache, store, raft.NewInmemSnapshotStore(), transport)
	if err != nil {
		return nil, "", nil, errors.Join(err, transport.Close(), store.Close())
	}
	return node, transport.LocalAddr(), func() error {
		return errors.Join(node.Shutdown().Error(), transport.Close(), store.Close())
	}, nil
}

// machine applies nothing.
type machine struct{}

// Apply implements raft.FSM.
func (*machine) Apply(*raft.Log) any { return nil }

// Snapshot implements raft.FSM.
func (*machine) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("no snapshots") }

// Restore implements raft.FSM.
func (*machine) Restore(io.ReadCloser) error { return errors.New("no snapshots") }

// command is one client's, waiting to be packed.
type command struct {
	data []byte
	done chan error // buffered 1
}

// flight is an entry given to Raft and what is in it.
type flight struct {
	future raft.ApplyFuture
	batch  []*command
}

// measure lets the clients run.
func measure(node *raft.Raft, o options) (*result, error) {
	waiting, flights := make(chan *command, o.clients), make(chan flight, maxFlights)
	var entries, measuring, stopping atomic.Int64
	go pack(node, waiting, flights, &entries)
	go settle(flights)
	latencies, errs := make([][]time.Duration, o.clients), make([]error, o.clients)
	var clients sync.WaitGroup
	for i := range o.clients {
		clients.Go(func() {
			c := &command{data: make([]byte, o.size), done: make(chan error, 1)}
			for stopping.Load() == 0 && errs[i] == nil {
				start := time.Now()
				waiting <- c
				errs[i] = <-c.done
				if measuring.Load() == 1 {
					latencies[i] = append(latencies[i], time.Since(start))
				}
			}
		})
	}
	time.Sleep(o.warmUp)
	measuring.Store(1)
	first, start := entries.Load(), time.Now()
	time.Sleep(o.duration)
	measuring.Store(0)
	took, written := time.Since(start), entries.Load()-first
	stopping.Store(1)
	clients.Wait()
	close(waiting)
	for _, err := range errs {
		if err != nil {
			return nil, err // the first says enough
		}
	}
	var all []time.Duration
	for _, l := range latencies {
		all = append(all, l...)
	}
	s := lab.Summarize(all)
	return &result{PerSecond: float64(s.N) / took.Seconds(), P50: microseconds(s.P50), P99: microseconds(s.P99),
		PerEntry: float64(s.N) / float64(max(written, 1))}, nil
}

// pack gives what waits to Raft, many commands an entry.
func pack(node *raft.Raft, waiting <-chan *command, flights chan<- flight, entries *atomic.Int64) {
	defer close(flights)
	for first := range waiting {
		batch, data := []*command{first}, append([]byte{}, first.data...)
	fill:
		for {
			select {
			case c, open := <-waiting:
				if !open {
					break fill
				}
				batch, data = append(batch, c), append(data, c.data...)
				if len(data)+len(c.data) > entryBytes {
					break fill
				}
			default:
				break fill
			}
		}
		entries.Add(1)
		flights <- flight{node.Apply(data, time.Second), batch}
	}
}

// settle tells the clients, in order.
func settle(flights <-chan flight) {
	for f := range flights {
		err := f.future.Error()
		for _, c := range f.batch {
			c.done <- err
		}
	}
}
