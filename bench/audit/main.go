// Command audit measures what the audit trail costs an encrypt request, for each durability and for one sink and two.
//
// It starts a one-node cluster of 'lockstep dev' for each way of keeping records, beside one whose records go nowhere
// (/dev/null, which renders, chains and hands them over all the same), and lets bench/load, another process, load one after
// the other for several rounds whose order rotates, so that drift of the machine meets all alike. The figure that counts is the
// CPU time of the server process per request, and its difference to that of the cluster without a file; latencies stand beside it.
//
//	go run ./bench/audit
//	go run ./bench/audit -rounds 7 -duration 3s
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/lockstep-kms/lockstep/bench/lab"
)

const body = `{"plaintext":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","encryption_context":{"purpose":"bench"}}`

// way is a way of keeping records.
type way struct {
	name string
	env  []string // of the node
	two  bool     // a second file, and both are required

	cluster *lab.Cluster
	url     string
	rounds  []lab.Result
}

func ways() []*way {
	fsync := "LOCKSTEP_AUDIT_DURABILITY=fsync"
	return []*way{
		{name: "nowhere", env: []string{"LOCKSTEP_AUDIT_FILE=/dev/null"}},
		{name: "write"},
		{name: "fsync", env: []string{fsync}},
		{name: "write, two files", two: true},
		{name: "fsync, two files", env: []string{fsync}, two: true},
	}
}

func main() {
	rounds := flag.Int("rounds", 5, "measured rounds")
	connections := flag.Int("connections", 16, "keep-alive connections")
	warmUp := flag.Duration("warm-up", time.Second, "load before each measurement")
	duration := flag.Duration("duration", 3*time.Second, "each measurement")
	basePort := flag.Int("base-port", 28400, "API port of the first cluster; each has one 10 above the last")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	args := []string{"-basic", "-connections", strconv.Itoa(*connections), "-warm-up", warmUp.String(), "-duration", duration.String(), "-body", body}
	fmt.Printf("%s, %d connections, %d rounds of %v after %v warm-up\n\n", lab.Environment(), *connections, *rounds, *duration, *warmUp)
	if err := run(ctx, *rounds, *basePort, args); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		stop()
		os.Exit(1)
	}
}

// run builds, starts, measures and prints. What it started has ended when it returns.
func run(ctx context.Context, rounds, basePort int, args []string) (err error) {
	if rounds < 1 {
		return errors.New("-rounds must be at least 1")
	}
	dir, err := os.MkdirTemp("", "lockstep-audit-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := lab.Build(ctx, dir, "bench/load", "cmd/lockstep"); err != nil {
		return err
	}
	fsync, err := lab.Fsync(dir, 200)
	if err != nil {
		return err
	}
	fmt.Printf("fsync of this disk: %v\n\n", fsync)
	all := ways()
	for i, w := range all {
		if err := w.start(ctx, dir, basePort+10*i); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		defer w.cluster.Close()
	}
	for round := range rounds {
		for i := range all {
			w := all[(round+i)%len(all)]
			r, err := w.load(ctx, dir, args)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, w.name, err)
			}
			w.rounds = append(w.rounds, r)
			fmt.Printf("round %d  %s\n", round+1, row(w.name, r))
		}
	}
	fmt.Println()
	for _, w := range all {
		fmt.Println("median  ", row(w.name, medians(w.rounds)))
	}
	fmt.Println()
	for _, w := range all[1:] {
		more := make([]float64, rounds)
		for i, r := range w.rounds {
			more[i] = r.CPU - all[0].rounds[i].CPU
		}
		fmt.Printf("%-17s %+5.1f us CPU a request over nowhere (rounds %+.1f to %+.1f)\n", w.name, lab.Median(more), slices.Min(more), slices.Max(more))
	}
	return nil
}

// start starts the way's cluster and makes a key in it.
func (w *way) start(ctx context.Context, dir string, port int) (err error) {
	home := filepath.Join(dir, strconv.Itoa(port))
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	if err := os.Link(filepath.Join(dir, "lockstep"), filepath.Join(home, "lockstep")); err != nil {
		return err
	}
	env := w.env
	if w.two {
		env = append(env, "LOCKSTEP_AUDIT_SINKS=file:"+filepath.Join(home, "second.jsonl"), "LOCKSTEP_AUDIT_REQUIRE=2")
	}
	if w.cluster, err = lab.StartDev(ctx, lab.DevOptions{Dir: home, BasePort: port, Env: env, Nodes: 1}); err != nil {
		return err
	}
	node := w.cluster.Nodes[0]
	key, err := w.cluster.CreateKey(ctx, node)
	w.url = node.URL + "/v1/keys/" + key + "/encrypt"
	return err
}

// load runs bench/load against the way's node.
func (w *way) load(ctx context.Context, dir string, args []string) (r lab.Result, err error) {
	root, node := w.cluster.Root(), w.cluster.Nodes[0]
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "load"), append([]string{"-url", w.url, "-pid", strconv.Itoa(node.PID)}, args...)...)
	cmd.Env = append(os.Environ(), "LOCKSTEP_ACCESS_KEY_ID="+root.ID, "LOCKSTEP_SECRET_ACCESS_KEY="+root.Secret)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("load: %w: %s", err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, err
	}
	if r.Requests == 0 || r.CPU <= 0 {
		return r, errors.New("nothing was measured")
	}
	return r, nil
}

func row(name string, r lab.Result) string {
	return fmt.Sprintf("%-17s %6.1f us CPU/request  %7.0f requests/s  p50 %7.0f us  p99 %7.0f us", name, r.CPU, r.PerSecond, r.P50, r.P99)
}

func medians(rounds []lab.Result) lab.Result {
	of := func(field func(lab.Result) float64) float64 {
		values := make([]float64, len(rounds))
		for i, r := range rounds {
			values[i] = field(r)
		}
		return lab.Median(values)
	}
	return lab.Result{
		PerSecond: of(func(r lab.Result) float64 { return r.PerSecond }),
		P50:       of(func(r lab.Result) float64 { return r.P50 }),
		P99:       of(func(r lab.Result) float64 { return r.P99 }),
		CPU:       of(func(r lab.Result) float64 { return r.CPU }),
	}
}
