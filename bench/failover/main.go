// Command failover kills the leader of a three-node cluster with SIGKILL, over and over, and measures
// how long no write succeeds and what the survivors' crypto operations notice of it.
//
// It builds and starts 'lockstep dev'. In every round, connections to both survivors encrypt and
// decrypt without a pause, from before the kill until after it; one connection to each survivor
// begins, once the process is dead, to create keys. The time to the next write runs from the kill to
// the first success on either survivor; the time on both, to the later of the two first successes.
// Every crypto answer that is not 200 and every broken connection counts as failed. Then the node is
// started again with 'lockstep dev restart'.
//
//	go run ./bench/failover
//	go run ./bench/failover -rounds 50
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

// options are the command's flags.
type options struct {
	rounds      int
	connections int
	lead        time.Duration
	trail       time.Duration
	basePort    int
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 20, "leaders killed")
	flag.IntVar(&o.connections, "connections", 4, "crypto connections to each survivor")
	flag.DurationVar(&o.lead, "lead", time.Second, "crypto load before the kill")
	flag.DurationVar(&o.trail, "trail", time.Second, "crypto load after the first write on both survivors")
	flag.IntVar(&o.basePort, "base-port", 28400, "API port of the cluster's first node")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		stop()
		os.Exit(1)
	}
}

// run builds, starts, measures and prints. What it started has ended when it returns.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "lockstep-failover-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := lab.Build(ctx, dir, "cmd/lockstep"); err != nil {
		return err
	}
	cluster, err := lab.StartDev(ctx, lab.DevOptions{Dir: dir, BasePort: o.basePort})
	if err != nil {
		return err
	}
	defer cluster.Close()
	fmt.Printf("%s, %d rounds, %d crypto connections to each survivor\n\n", lab.Environment(), o.rounds, o.connections)
	var all []round
	for i := range o.rounds {
		r, err := measureRound(ctx, o, cluster)
		if err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
		all = append(all, r)
		fmt.Printf("round %2d  %v\n", i+1, r)
	}
	fmt.Print("\n", summary(all))
	return nil
}

// round is what one kill showed.
type round struct {
	any, both  time.Duration // from the kill to the first write on one survivor, and on each
	operations int           // crypto operations on the survivors
	failed     int
	firstError string
	refused    int           // writes that were answered with a failure before one succeeded
	slowest    time.Duration // crypto operation
	restart    time.Duration // from 'lockstep dev restart' until the node serves
}

// String renders milliseconds.
func (r round) String() string {
	text := fmt.Sprintf("next write after %6.0f ms (on both %6.0f ms, %d refused before)  crypto on survivors: %d, failed %d, slowest %.0f ms  restart %.0f ms",
		milliseconds(r.any), milliseconds(r.both), r.refused, r.operations, r.failed, milliseconds(r.slowest), milliseconds(r.restart))
	if r.firstError != "" {
		text += "\n          first failure: " + r.firstError
	}
	return text
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measureRound kills the leader once and brings it back.
func measureRound(ctx context.Context, o options, c *lab.Cluster) (r round, err error) {
	if err := c.AwaitReady(ctx); err != nil {
		return r, err
	}
	leader, err := c.Leader(ctx)
	if err != nil {
		return r, err
	}
	survivors := c.Others(leader)
	crypto, err := startCrypto(ctx, c, survivors, o.connections)
	if err != nil {
		return r, err
	}
	if err = pause(ctx, o.lead); err == nil {
		if err = c.Kill(leader); err == nil {
			if err = r.awaitWrites(ctx, c, survivors); err == nil {
				err = pause(ctx, o.trail)
			}
		}
	}
	crypto.stop(&r)
	if err != nil {
		return r, err
	}
	start := time.Now()
	err = c.Restart(ctx, leader)
	r.restart = time.Since(start)
	return r, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// summary adds the rounds up.
func summary(all []round) string {
	var one, both, restarts []time.Duration
	operations, failed := 0, 0
	for _, r := range all {
		one, both, restarts = append(one, r.any), append(both, r.both), append(restarts, r.restart)
		operations, failed = operations+r.operations, failed+r.failed
	}
	return fmt.Sprintf("next write on a survivor    %v\nnext write on each          %v\nrestart until it serves     %v\ncrypto operations on survivors: %d, failed %d\n",
		lab.Summarize(one), lab.Summarize(both), lab.Summarize(restarts), operations, failed)
}
