// Command create measures how many keys a second a follower of a three-node cluster creates, and how
// soon a key that one node created can be used on another.
//
// It builds and starts 'lockstep dev', and for each number of clients lets that many keep-alive
// connections create keys through one follower, with Basic authentication and an idempotency key
// each, as the Go client sends them. bench/raft, what raft and bbolt alone replicate, runs in turn
// with it in the same rounds; it also tells the disk's fsync time. Each run uses an account of its
// own. What a node tries again within (a guard conflict, a leader that changed) does not show outside
// but as time; what it answers as a refusal is counted.
//
//	go run ./bench/create
//	go run ./bench/create -rounds 5 -clients 32,256 -uses 1000
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// options are the command's flags.
type options struct {
	rounds   int
	clients  string
	warmUp   time.Duration
	duration time.Duration
	uses     int
	basePort int
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "measured rounds")
	flag.StringVar(&o.clients, "clients", "32,256", "numbers of clients, comma-separated")
	flag.DurationVar(&o.warmUp, "warm-up", 2*time.Second, "load before each measurement")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "each measurement")
	flag.IntVar(&o.uses, "uses", 1000, "keys created on one node and used on another")
	flag.IntVar(&o.basePort, "base-port", 28200, "API port of the cluster's first node")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "create:", err)
		stop()
		os.Exit(1)
	}
}

// run builds, starts, measures and prints. What it started has ended when it returns.
func run(ctx context.Context, o options) (err error) {
	counts, err := parseClients(o.clients)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lockstep-create-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := lab.Build(ctx, dir, "bench/raft", "cmd/lockstep"); err != nil {
		return err
	}
	cluster, err := lab.StartDev(ctx, lab.DevOptions{Dir: dir, BasePort: o.basePort})
	if err != nil {
		return err
	}
	defer cluster.Close()
	if err := cluster.AwaitReady(ctx); err != nil {
		return err
	}
	fmt.Printf("%s, %d rounds of %v after %v warm-up\n\n", lab.Environment(), o.rounds, o.duration, o.warmUp)
	all := newTable(counts)
	for round := range o.rounds {
		if err := measureRound(ctx, o, dir, cluster, all, round); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	fmt.Print("\n", all, "\n")
	return uses(ctx, cluster, o.uses)
}

func parseClients(list string) (counts []int, err error) {
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-clients %q is not a list of numbers", list)
		}
		counts = append(counts, n)
	}
	return counts, nil
}

// measureRound measures bare raft and the cluster with every number of clients, the one first in
// this round and the other in the next.
func measureRound(ctx context.Context, o options, dir string, c *lab.Cluster, all *table, round int) error {
	for _, clients := range all.clients {
		bare := func() error {
			b, err := measureRaft(ctx, o, dir, clients)
			if err == nil {
				all.raft[clients] = append(all.raft[clients], b)
				fmt.Printf("round %d  %3d clients  raft      %v\n", round+1, clients, b)
			}
			return err
		}
		whole := func() error {
			m, err := measureCluster(ctx, o, c, clients)
			if err == nil {
				all.lockstep[clients] = append(all.lockstep[clients], m)
				fmt.Printf("round %d  %3d clients  lockstep  %v\n", round+1, clients, m)
			}
			return err
		}
		steps := []func() error{bare, whole}
		if round%2 == 1 {
			slices.Reverse(steps)
		}
		for _, step := range steps {
			if err := again(ctx, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// attempts is how often a measurement that an election spoiled is made.
const attempts = 3

// again repeats a measurement that failed: on a machine that is busy with other things a leader may
// lose its term, and the figures of such a run would not be one thing.
func again(ctx context.Context, step func() error) (err error) {
	for range attempts {
		if err = step(); err == nil || ctx.Err() != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "measured again after:", err)
	}
	return err
}

// measureRaft runs bench/raft.
func measureRaft(ctx context.Context, o options, dir string, clients int) (bare, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "raft"), "-dir", dir, "-clients", strconv.Itoa(clients),
		"-warm-up", o.warmUp.String(), "-duration", o.duration.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return bare{}, fmt.Errorf("raft: %w", err)
	}
	var b bare
	err = json.Unmarshal(out, &b)
	return b, err
}

// placeholder is what each request replaces by a number of its own.
const placeholder = "0000000000000000"

// measureCluster creates keys through a follower, in a new account.
func measureCluster(ctx context.Context, o options, c *lab.Cluster, clients int) (measurement, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return measurement{}, err
	}
	account, err := c.CreateAccount(ctx)
	if err != nil {
		return measurement{}, err
	}
	followers := c.Others(leader)
	l := lab.Load{Status: http.StatusCreated, Connections: clients, WarmUp: o.warmUp, Duration: o.duration,
		PIDs: []int{c.Nodes[leader].PID, followers[0].PID, followers[1].PID}}
	l.Address, l.Request, err = lab.NewRequest(followers[0].URL+"/v1/keys", `{"description":"bench"}`, account.Header(), "Idempotency-Key: bench-"+placeholder)
	if err != nil {
		return measurement{}, err
	}
	at := bytes.Index(l.Request, []byte(placeholder))
	l.Vary = func(r lab.Request, n uint64) { copy(r[at:], fmt.Sprintf("%016x", n)) }
	before, err := c.Health(ctx, followers[0])
	if err != nil {
		return measurement{}, err
	}
	r, err := l.Run()
	if err != nil {
		return measurement{}, err
	}
	after, err := c.Health(ctx, followers[0])
	if err != nil {
		return measurement{}, err
	}
	if r.Requests == 0 {
		return measurement{}, fmt.Errorf("no key was created: %s", r.FirstError)
	}
	if now, err := c.Leader(ctx); err != nil || now != leader {
		return measurement{}, errors.Join(errors.New("the leader changed meanwhile; run again"), err)
	}
	perEntry := float64(r.Sent-r.Failed) / float64(max(after.AppliedIndex-before.AppliedIndex, 1))
	return measurement{Result: *r, perEntry: perEntry, leader: r.CPUOf[l.PIDs[0]], follower: r.CPUOf[l.PIDs[1]], other: r.CPUOf[l.PIDs[2]]}, nil
}
