// Command compare measures side by side what an encrypt request costs in Lockstep and what the floors
// of bench/floor cost on the same machine at the same time: echo, minimal, and encrypt on a follower
// of a three-node cluster with Basic authentication, lease, authorization and audit record.
//
// It builds the programs, starts the floor and 'lockstep dev' as processes of their own, and lets
// bench/load, another process, load one server after the other for several rounds whose order
// rotates, so that drift of the machine meets all alike. It prints every round, the medians, and the
// medians of the ratios within a round. The figure that counts is the CPU time of the server process
// per request; background work of the node (heartbeats, lease polls, gossip) is part of it.
//
//	go run ./bench/compare
//	go run ./bench/compare -rounds 9 -duration 8s
//	go run ./bench/compare -env-file dev.env   # a cluster of 'lockstep dev --env-file' that is up
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const module = "github.com/lockstep-kms/lockstep"

// options are the command's flags.
type options struct {
	rounds      int
	connections int
	warmUp      time.Duration
	duration    time.Duration
	basePort    int
	envFile     string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "measured rounds")
	flag.IntVar(&o.connections, "connections", 16, "keep-alive connections")
	flag.DurationVar(&o.warmUp, "warm-up", 2*time.Second, "load before each measurement")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "each measurement")
	flag.IntVar(&o.basePort, "base-port", 18200, "API port of the cluster's first node")
	flag.StringVar(&o.envFile, "env-file", "", "use the running cluster that wrote this file instead of starting one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		stop()
		os.Exit(1)
	}
}

// run builds, starts, measures and prints. What it started has ended when it returns.
func run(ctx context.Context, o options) (err error) {
	if o.rounds < 1 {
		return errors.New("-rounds must be at least 1")
	}
	dir, err := os.MkdirTemp("", "lockstep-compare-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs := []string{"/bench/floor", "/bench/load"}
	if o.envFile == "" {
		programs = append(programs, "/cmd/lockstep")
	}
	if err := build(ctx, dir, programs); err != nil {
		return err
	}
	floor, err := startFloor(ctx, dir)
	if err != nil {
		return err
	}
	defer floor.stop()
	if o.envFile == "" {
		o.envFile = filepath.Join(dir, "dev.env")
		dev, err := startDev(ctx, dir, o)
		if err != nil {
			return err
		}
		defer dev.stop()
	}
	c, err := openCluster(ctx, o.envFile)
	if err != nil {
		return err
	}
	return compare(ctx, o, c, []target{
		{name: "echo", url: floor.url + "/v1/keys/k/echo", pid: floor.pid()},
		{name: minimal, url: floor.url + "/v1/keys/k/encrypt", pid: floor.pid()},
		{name: "lockstep", url: c.follower.url + "/v1/keys/" + c.key + "/encrypt", pid: c.follower.pid, credentials: c.credentials()},
	}, func(t target) (measurement, error) { return load(ctx, dir, o, t) })
}

// build makes the module's programs in dir, all with the same settings.
func build(ctx context.Context, dir string, programs []string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, path := range programs {
		args = append(args, module+path)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build, inside the module: %w", err)
	}
	return nil
}

// minimal is the target that ratios refer to.
const minimal = "minimal"

// compare measures every target in every round.
func compare(ctx context.Context, o options, c *cluster, targets []target, measure func(target) (measurement, error)) error {
	all := newTable(targets)
	fmt.Print(environment(o))
	for round := range o.rounds {
		for i := range targets {
			at := (round + i) % len(targets)
			m, err := measure(targets[at])
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, targets[at].name, err)
			}
			all.add(at, m)
			fmt.Printf("round %d  %s\n", round+1, row(targets[at].name, m))
		}
		if err := c.stillFollower(ctx); err != nil {
			return err
		}
	}
	fmt.Print("\n", all)
	return nil
}

// load runs bench/load against a target.
func load(ctx context.Context, dir string, o options, t target) (measurement, error) {
	args := []string{"-url", t.url, "-pid", strconv.Itoa(t.pid), "-connections", strconv.Itoa(o.connections),
		"-warm-up", o.warmUp.String(), "-duration", o.duration.String(), "-body", body}
	if t.credentials != nil {
		args = append(args, "-basic")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "load"), args...)
	cmd.Env = append(os.Environ(), t.credentials...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return measurement{}, fmt.Errorf("load: %w: %s", err, out)
	}
	return parseMeasurement(out)
}
