// Command scale measures what keys that nobody uses cost a node: memory, and time until a node that
// was killed serves again.
//
// For every number of keys it starts a new cluster of 'lockstep dev', lets it settle and reads a
// follower's memory; makes the keys; waits until the memory of applied transactions, which lasts two
// minutes, is over and the runtime has collected garbage and returned pages; and reads again. Two
// readings are told: resident anonymous memory, which holds what the garbage collector keeps for
// itself, and the live heap, which the runtime of the nodes prints (GODEBUG=gctrace=1). Then it kills
// the follower and starts it again, several times.
//
//	go run ./bench/scale
//	go run ./bench/scale -keys 10000 -settle 3m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// options are the command's flags.
type options struct {
	keys     string
	settle   time.Duration
	restarts int
	basePort int
}

func main() {
	var o options
	flag.StringVar(&o.keys, "keys", "10000,100000", "numbers of keys, comma-separated")
	flag.DurationVar(&o.settle, "settle", 140*time.Second, "how long a node is left alone before its memory is read; the runtime collects garbage every 2 minutes")
	flag.IntVar(&o.restarts, "restarts", 5, "restarts measured for every number of keys")
	flag.IntVar(&o.basePort, "base-port", 28600, "API port of the cluster's first node")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		stop()
		os.Exit(1)
	}
}

// run builds, starts, measures and prints. What it started has ended when it returns.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "lockstep-scale-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := lab.Build(ctx, dir, "cmd/lockstep"); err != nil {
		return err
	}
	fmt.Printf("%s, settling %v\n", lab.Environment(), o.settle)
	for _, text := range strings.Split(o.keys, ",") {
		keys, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || keys < 1 {
			return fmt.Errorf("-keys %q is not a list of numbers", o.keys)
		}
		if err := measureSize(ctx, o, dir, keys); err != nil {
			return fmt.Errorf("%d keys: %w", keys, err)
		}
	}
	return nil
}

// measureSize measures one number of keys in a cluster of its own.
func measureSize(ctx context.Context, o options, dir string, keys int) error {
	data := filepath.Join(dir, fmt.Sprint("data-", keys))
	c, err := lab.StartDev(ctx, lab.DevOptions{Dir: dir, BasePort: o.basePort, Kept: data,
		Env: []string{"GODEBUG=gctrace=1"}}) // the nodes log it
	if err != nil {
		return err
	}
	defer c.Close()
	leader, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	n := subject{c, (leader + 1) % len(c.Nodes), data}
	before, err := n.settled(ctx, o.settle)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := createKeys(ctx, c, n.at, keys); err != nil {
		return err
	}
	fmt.Printf("\n%d keys, created in %.1f s\n", keys, time.Since(start).Seconds())
	if err := n.forget(ctx, keys); err != nil {
		return err
	}
	after, err := n.settled(ctx, o.settle)
	if err != nil {
		return err
	}
	each := func(before, after int64) int64 { return (after - before) / int64(keys) }
	fmt.Printf("  resident, anonymous   %7.1f MiB before, %7.1f MiB after: %6d bytes a key\n", mib(before.Anonymous), mib(after.Anonymous), each(before.Anonymous, after.Anonymous))
	fmt.Printf("  live heap             %7.1f MiB before, %7.1f MiB after: %6d bytes a key\n", mib(before.heap), mib(after.heap), each(before.heap, after.heap))
	fmt.Printf("  log file              %7.1f MiB before, %7.1f MiB after: %6d bytes a key\n", mib(before.log), mib(after.log), each(before.log, after.log))
	return n.restarts(ctx, o.restarts)
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// keysAnAccount stays under the limit of keys in one account.
const keysAnAccount = 50_000

// createKeys makes keys through node i. They carry no idempotency key, so that the transactions are
// remembered for two minutes only.
func createKeys(ctx context.Context, c *lab.Cluster, i, keys int) error {
	for keys > 0 {
		account, err := c.CreateAccount(ctx)
		if err != nil {
			return err
		}
		l := lab.Load{Status: http.StatusCreated, Connections: 64, Limit: min(keys, keysAnAccount)}
		l.Address, l.Request, err = lab.NewRequest(c.Nodes[i].URL+"/v1/keys", `{"description":"bench"}`, account.Header())
		if err != nil {
			return err
		}
		r, err := l.Run()
		if err != nil {
			return err
		}
		if r.Failed > 0 {
			return fmt.Errorf("%d creations failed: %s", r.Failed, r.FirstError)
		}
		keys -= l.Limit
	}
	return nil
}
