package statuscmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

const (
	shortestInterval = 100 * time.Millisecond
	leastPatience    = time.Second // with a node that does not answer
	topOperations    = 8
)

func (c *commands) top() *cobra.Command {
	var interval time.Duration
	var once bool
	cmd := &cobra.Command{
		Use: "top", Short: "Show what each node does, live", Args: cobra.NoArgs,
		Long: `Reads the metrics of every address again and again and shows what happened between: requests, errors (what did not
end well) and failures (errors that are the cluster's own) a second, latency of what was done, processor time, and how
the node is. On a terminal the table is drawn anew; elsewhere each one follows the last, with -o json one object a
line. The metrics need the nodes' metrics_token, unless they are development nodes.`,
		Example: "  lockstep top\n  lockstep top --once --interval 5s\n  lockstep top -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < shortestInterval {
				return cli.Misuse("--interval is at least %s", shortestInterval)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return c.watch(ctx, interval, once)
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two readings")
	cmd.Flags().BoolVar(&once, "once", false, "show one table, of one interval, and exit")
	return c.tokenFlag(cli.Calls(cmd, "Metrics"))
}

// reading is what one address answered.
type reading struct {
	addr   string
	sample *sample
	err    error
}

// watch reads until ctx ends.
func (c *commands) watch(ctx context.Context, interval time.Duration, once bool) error {
	if err := c.CheckOutput(); err != nil {
		return err
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var before []reading
	for {
		now, err := everywhere(c.App, func(to *client.Client, addr string) reading {
			return c.read(ctx, to, addr, max(interval, leastPatience))
		})
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return nil
		case before == nil:
			if err := nobody(now); err != nil {
				return err
			}
		default:
			if err := c.show(compare(before, now)); err != nil || once {
				return err
			}
		}
		before = now
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// read reads one address. One that does not answer in time holds up no table.
func (c *commands) read(ctx context.Context, to *client.Client, addr string, patience time.Duration) reading {
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := c.sampled(asked, to)
	if err != nil && asked.Err() != nil {
		err = fmt.Errorf("no answer within %s", patience)
	}
	return reading{addr, s, err}
}

// nobody is the error when no address shows its metrics.
func nobody(all []reading) error {
	var errs []error
	for _, r := range all {
		if r.err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", r.addr, r.err))
	}
	return errors.Join(errs...)
}

// activity is what top shows.
type activity struct {
	Time       time.Time  `json:"time"`
	Nodes      []doing    `json:"nodes"`
	Operations []doneWith `json:"operations"` // the most frequent ones
}

// doing is what a node did between two readings, a second, and how it is. Numbers that are not known are nil.
type doing struct {
	Addr     string   `json:"addr"`
	Name     string   `json:"name"`
	State    string   `json:"state"`
	Requests *float64 `json:"requests_per_second"`
	Errors   *float64 `json:"errors_per_second"`
	Failures *float64 `json:"failures_per_second"`
	P50      *float64 `json:"p50_seconds"`
	P99      *float64 `json:"p99_seconds"`
	CPU      *float64 `json:"cpu_cores"`
	Lag      *float64 `json:"lag_seconds"`
	Lease    *float64 `json:"lease_seconds"`
	Inside   *float64 `json:"requests_inside"`
	Audit    *float64 `json:"audit_queue_records"`
	Error    string   `json:"error,omitempty"`
}

// doneWith is what all nodes together did with one operation.
type doneWith struct {
	Operation string   `json:"operation"`
	Requests  float64  `json:"requests_per_second"`
	P50       *float64 `json:"p50_seconds"`
	P99       *float64 `json:"p99_seconds"`
}

const (
	requestsTotal = "lockstep_requests_total"
	requestsTook  = "lockstep_request_duration_seconds"
)

// compare says what happened between two readings of the same addresses.
func compare(before, now []reading) activity {
	a := activity{Operations: []doneWith{}}
	for i := range now {
		if s := now[i].sample; s != nil && s.at.After(a.Time) {
			a.Time = s.at
		}
		a.Nodes = append(a.Nodes, did(before[i], now[i]))
	}
	a.Operations = operations(before, now)
	return a
}

func did(before, now reading) doing {
	d := doing{Addr: now.addr, Name: "-", State: "no answer"}
	s := now.sample
	if s == nil {
		d.Error = cli.OneLine(now.err)
		return d
	}
	s.each("lockstep_build_info", func(m *dto.Metric) { d.Name = label(m, "node") })
	d.State = stateOf(s)
	known := func(name string, labels ...string) *float64 {
		if v, ok := s.value(name, labels...); ok {
			return &v
		}
		return nil
	}
	d.Lag, d.Lease, d.Audit = known("lockstep_lag_seconds"), known("lockstep_lease_remaining_seconds"), known("lockstep_audit_queue_records")
	d.Inside = known("lockstep_queue_depth", "queue", "serving")
	old := before.sample
	if old == nil || !s.at.After(old.at) {
		return d
	}
	a := func(count func(*sample) float64) *float64 {
		v := increase(count(old), count(s)) / s.at.Sub(old.at).Seconds()
		return &v
	}
	d.Requests = a(func(s *sample) float64 { return s.sum(requestsTotal) })
	d.Errors = a(func(s *sample) float64 { return s.sum(requestsTotal) - s.sum(requestsTotal, "outcome", "ok") })
	d.Failures = a(func(s *sample) float64 {
		return s.sum(requestsTotal, "outcome", "internal") + s.sum(requestsTotal, "outcome", "unavailable") + s.sum(requestsTotal, "outcome", "outcome_unknown")
	})
	d.CPU = a(func(s *sample) float64 { return s.sum("process_cpu_seconds_total") })
	d.P50, d.P99 = quantiles(grown(old.buckets(requestsTook, "outcome", "ok"), s.buckets(requestsTook, "outcome", "ok")))
	return d
}

func quantiles(counts map[float64]float64) (p50, p99 *float64) {
	of := func(q float64) *float64 {
		if v, ok := quantile(q, counts); ok {
			return &v
		}
		return nil
	}
	return of(.5), of(.99)
}

func stateOf(s *sample) string {
	is := func(name string) bool { return s.sum(name) == 1 }
	switch {
	case !is("lockstep_initialized"):
		return "not initialized"
	case is("lockstep_sealed"):
		return "sealed"
	case is("lockstep_audit_blocked"):
		return "audit blocked"
	case !is("lockstep_can_serve_crypto"):
		return "not serving"
	case is("lockstep_leader"):
		return "leads"
	}
	return "follows"
}

// operations says what all nodes together did, the most frequent operation first.
func operations(before, now []reading) []doneWith {
	rates := map[string]float64{}
	for i := range now {
		old, s := before[i].sample, now[i].sample
		if old == nil || s == nil || !s.at.After(old.at) {
			continue
		}
		seen := map[string]bool{}
		s.each(requestsTotal, func(m *dto.Metric) { seen[label(m, "operation")] = true })
		for name := range seen {
			rates[name] += increase(old.sum(requestsTotal, "operation", name), s.sum(requestsTotal, "operation", name)) / s.at.Sub(old.at).Seconds()
		}
	}
	all := []doneWith{}
	for name, rate := range rates {
		if rate > 0 {
			all = append(all, doneWith{Operation: name, Requests: rate})
		}
	}
	slices.SortFunc(all, func(x, y doneWith) int {
		return cmp.Or(cmp.Compare(y.Requests, x.Requests), cmp.Compare(x.Operation, y.Operation))
	})
	all = all[:min(len(all), topOperations)]
	for i := range all {
		all[i].P50, all[i].P99 = quantiles(together(before, now, all[i].Operation))
	}
	return all
}

// together adds up what the buckets of the nodes grew by, of those that answered both times.
func together(before, now []reading, operation string) map[float64]float64 {
	sum := map[float64]float64{}
	for i := range now {
		old, s := before[i].sample, now[i].sample
		if old == nil || s == nil || !s.at.After(old.at) {
			continue
		}
		of := func(s *sample) map[float64]float64 {
			return s.buckets(requestsTook, "outcome", "ok", "operation", operation)
		}
		for bound, n := range grown(of(old), of(s)) {
			sum[bound] += n
		}
	}
	return sum
}

// show prints one activity.
func (c *commands) show(a activity) error {
	if c.JSON() {
		return json.NewEncoder(c.Out).Encode(a)
	}
	f, ok := c.Out.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	if terminal {
		fmt.Fprint(c.Out, "\x1b[H\x1b[J") // to the upper left corner, and clear what is below it
	}
	w := tabwriter.NewWriter(c.Out, 0, 4, 2, ' ', 0)
	a.table(w)
	if !terminal {
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func (a activity) table(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", a.Time.UTC().Format(time.RFC3339))
	cli.Row(w, "NODE", "STATE", "REQ/S", "ERR/S", "FAIL/S", "P50", "P99", "CPU", "INSIDE", "LAG", "LEASE", "AUDIT QUEUE")
	for _, n := range a.Nodes {
		if n.Error != "" {
			cli.Row(w, n.Addr, n.State, "-", "-", "-", "-", "-", "-", "-", "-", "-", n.Error)
			continue
		}
		cli.Row(w, n.Name, n.State, shown(n.Requests, "%.1f"), shown(n.Errors, "%.1f"), shown(n.Failures, "%.1f"), latency(n.P50), latency(n.P99),
			shown(n.CPU, "%.2f"), shown(n.Inside, "%.0f"), shown(n.Lag, "%.1fs"), shown(n.Lease, "%.1fs"), shown(n.Audit, "%.0f"))
	}
	if len(a.Operations) == 0 {
		return
	}
	fmt.Fprintln(w)
	cli.Row(w, "OPERATION", "REQ/S", "P50", "P99")
	for _, o := range a.Operations {
		cli.Row(w, o.Operation, shown(&o.Requests, "%.1f"), latency(o.P50), latency(o.P99))
	}
}

func shown(v *float64, format string) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf(format, *v)
}

func latency(s *float64) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.2fms", *s*1000)
}
