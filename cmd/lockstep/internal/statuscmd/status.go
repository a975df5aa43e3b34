package statuscmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
)

// report is what status shows.
type report struct {
	Serves   bool           `json:"serves"` // some node can serve cryptography
	Writes   bool           `json:"writes"` // some node can take changes
	Leader   string         `json:"leader"` // "" when none is known
	Nodes    []*reported    `json:"nodes"`
	Members  int            `json:"members,omitempty"`       // as the metrics say
	Keys     map[string]int `json:"keys_by_state,omitempty"` // as the metrics of an unsealed node say
	Warnings []string       `json:"warnings"`
}

// reported is one node: what it says to everybody and what its metrics say.
type reported struct {
	Node
	Metrics *told `json:"metrics,omitempty"` // nil: they are not shown to us

	sample *sample
}

// told is what status shows of a node's metrics.
type told struct {
	LeaseSeconds float64 `json:"lease_seconds"`
	AuditQueue   float64 `json:"audit_queue_records"`
	AuditBlocked bool    `json:"audit_blocked"`
	SinksWell    int     `json:"audit_sinks_healthy"`
	Sinks        int     `json:"audit_sinks"`
}

func (c *commands) status() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show the cluster at a glance, and what is wrong with it", Args: cobra.NoArgs,
		Long: `Asks every address for its health and, where they are shown, its metrics: who leads, who can serve, leases, lag,
audit trail, keys; and warns of what an operator should look at. Health needs no identity; the metrics need
the nodes' metrics_token, unless they are development nodes. Exit status 1 when no node can serve
cryptography. 'lockstep operator status' shows health and the progress of unsealing alone.`,
		Example: "  lockstep status\n  LOCKSTEP_METRICS_TOKEN=... lockstep status -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := c.ask(cmd.Context())
			if err != nil {
				return err
			}
			r.judge(time.Now())
			if err := c.Print(r, func(w io.Writer) { r.table(w) }); err != nil {
				return err
			}
			if !r.Serves {
				return errors.New("no node can serve cryptography")
			}
			return nil
		},
	}
	return c.tokenFlag(cli.Calls(cmd, "Health", "SealStatus", "Metrics"))
}

// ask asks every address for all there is.
func (c *commands) ask(ctx context.Context) (*report, error) {
	nodes, err := everywhere(c.App, func(to *client.Client, addr string) *reported {
		n := &reported{Node: askOne(ctx, to, addr)}
		if n.Health != nil { // who does not answer is not waited for twice
			n.sample, _ = c.sampled(ctx, to) // who may not see them is told so below the table
			n.Metrics = tell(n.sample)
		}
		return n
	})
	return &report{Nodes: nodes, Warnings: []string{}}, err
}

func tell(s *sample) *told {
	if s == nil {
		return nil
	}
	t := &told{AuditQueue: s.sum("lockstep_audit_queue_records"), AuditBlocked: s.sum("lockstep_audit_blocked") == 1}
	t.LeaseSeconds, _ = s.value("lockstep_lease_remaining_seconds")
	s.each("lockstep_audit_sink_healthy", func(m *dto.Metric) {
		t.Sinks++
		if number(m) == 1 {
			t.SinksWell++
		}
	})
	return t
}

func (r *report) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// judge sums up what the nodes say, and warns.
func (r *report) judge(now time.Time) {
	leaders, versions := map[string]bool{}, map[string]bool{}
	for _, n := range r.Nodes {
		h := n.Health
		if h == nil {
			r.warn("%s does not answer: %s", n.Addr, n.Error)
			continue
		}
		r.Serves, r.Writes = r.Serves || h.CanServeCrypto, r.Writes || h.CanWrite
		versions[h.Version] = true
		if h.Leader {
			leaders[h.Name] = true
		}
		switch {
		case h.Sealed && h.Initialized:
			r.warn("%s is sealed", h.Name)
		case h.Reason != "":
			r.warn("%s: %s", h.Name, h.Reason)
		}
		r.judgeMetrics(n, now)
	}
	r.Leader = strings.Join(slices.Sorted(maps.Keys(leaders)), ", ")
	if len(leaders) > 1 {
		r.warn("more than one node says that it leads: %s", r.Leader)
	}
	if len(versions) > 1 {
		r.warn("the nodes have different versions: %s", strings.Join(slices.Sorted(maps.Keys(versions)), ", "))
	}
	if r.Serves && !r.Writes {
		r.warn("no node takes changes")
	}
	if r.Members > len(r.Nodes) {
		r.warn("the cluster has %d members and only %d addresses were asked", r.Members, len(r.Nodes))
	}
}

const day = 24 * time.Hour

// judgeMetrics warns of what the metrics of a node say, at the thresholds of the alerts in deploy/prometheus.
func (r *report) judgeMetrics(n *reported, now time.Time) {
	s, name := n.sample, n.Health.Name
	if members, ok := s.value("lockstep_members"); ok {
		r.Members = max(r.Members, int(members))
	}
	if healthy, ok := s.value("lockstep_members_healthy"); ok {
		if members := s.sum("lockstep_members"); healthy < members {
			r.warn("%s hears of %.0f of %.0f members only", name, healthy, members)
		}
	}
	if lease, ok := s.value("lockstep_lease_remaining_seconds"); ok && n.Health.CanServeCrypto && lease < s.sum("lockstep_revocation_bound_seconds")/2 {
		r.warn("%s stops serving cryptography in %.0f s: it does not hear of the leader", name, lease)
	}
	s.each("lockstep_audit_sink_healthy", func(m *dto.Metric) {
		if number(m) == 0 {
			r.warn("%s: the audit sink %s takes no records", name, label(m, "sink"))
		}
	})
	s.each("lockstep_audit_missed_records_total", func(m *dto.Metric) {
		if missed := number(m); missed > 0 {
			r.warn("%s: the audit sink %s has missed %.0f records since the node was started", name, label(m, "sink"), missed)
		}
	})
	s.each("lockstep_audit_sink_trouble", func(m *dto.Metric) {
		if sink := label(m, "sink"); number(m) == 1 && s.sum("lockstep_audit_sink_healthy", "sink", sink) == 1 {
			r.warn("%s: files of the audit sink %s cannot be synced, rotated or removed", name, sink)
		}
	})
	s.each("lockstep_disk_free_bytes", func(m *dto.Metric) {
		free, dir := number(m), label(m, "directory")
		if size := s.sum("lockstep_disk_size_bytes", "directory", dir); free < 1e9 || free < size/10 {
			r.warn("%s: %.1f GB are free for the %s directory", name, free/1e9, dir)
		}
	})
	s.each("lockstep_certificate_not_after_timestamp_seconds", func(m *dto.Metric) {
		if left := time.Unix(int64(number(m)), 0).Sub(now); left < 21*day {
			r.warn("%s: the %s certificate ends in %.0f days", name, label(m, "certificate"), left.Hours()/24)
		}
	})
	s.each("lockstep_scheduler_overdue_seconds", func(m *dto.Metric) {
		if late := time.Duration(number(m)) * time.Second; late > time.Hour && n.Health.Leader {
			r.warn("%s is overdue by %s", label(m, "event"), late)
		}
	})
	s.each("lockstep_key_pending_deletion_last_request_timestamp_seconds", func(m *dto.Metric) {
		if ago := now.Sub(time.Unix(int64(number(m)), 0)); ago < time.Hour {
			r.warn("key %s is to be deleted and was asked for on %s %.0f minutes ago", label(m, "key_id"), name, ago.Minutes())
		}
	})
	if broken := s.sum("lockstep_unreadable_records"); broken > 0 {
		r.warn("%s: %.0f records do not open", name, broken)
	}
	if r.Keys == nil {
		s.each("lockstep_keys", func(m *dto.Metric) {
			if r.Keys == nil {
				r.Keys = map[string]int{}
			}
			r.Keys[label(m, "key_state")] += int(number(m))
		})
	}
}

func (r *report) table(w io.Writer) {
	state := "serves no cryptography"
	switch {
	case r.Serves && r.Writes:
		state = "serves cryptography and takes changes"
	case r.Serves:
		state = "serves cryptography, takes no changes"
	}
	cli.Row(w, "CLUSTER", state)
	cli.Row(w, "LEADER", r.Leader)
	if r.Keys != nil {
		total, parts := 0, []string{}
		for _, s := range slices.Sorted(maps.Keys(r.Keys)) {
			total += r.Keys[s]
			parts = append(parts, fmt.Sprintf("%d %s", r.Keys[s], s))
		}
		cli.Row(w, "KEYS", fmt.Sprintf("%d (%s)", total, strings.Join(parts, ", ")))
	}
	fmt.Fprintln(w)
	cli.Row(w, "NODE", "ADDRESS", "STATE", "LEADS", "CRYPTO", "WRITES", "LEASE", "LAG", "INDEX", "AUDIT", "VERSION")
	hidden := false
	for _, n := range r.Nodes {
		h := n.Health
		if h == nil {
			cli.Row(w, "-", n.Addr, n.State(), "-", "-", "-", "-", "-", "-", "-", "-")
			continue
		}
		lease, trail := "-", "-"
		if t := n.Metrics; t != nil {
			lease, trail = seconds(t.LeaseSeconds), t.audit()
		} else {
			hidden = true
		}
		cli.Row(w, h.Name, n.Addr, n.State(), h.Leader, h.CanServeCrypto, h.CanWrite, lease, lag(h), h.AppliedIndex, trail, h.Version)
	}
	if len(r.Warnings) > 0 {
		fmt.Fprintln(w)
		for _, text := range r.Warnings {
			fmt.Fprintf(w, "! %s\n", text)
		}
	}
	if hidden {
		fmt.Fprint(w, "\nLeases, audit trail and keys are told by the nodes' metrics, to who shows their metrics_token (--metrics-token, LOCKSTEP_METRICS_TOKEN).\n")
	}
}

// audit says in a word how the audit trail is.
func (t *told) audit() string {
	switch {
	case t.AuditBlocked:
		return "blocked"
	case t.SinksWell < t.Sinks:
		return fmt.Sprintf("%d of %d sinks", t.SinksWell, t.Sinks)
	}
	return "ok"
}

func seconds(s float64) string { return fmt.Sprintf("%.1fs", s) }
