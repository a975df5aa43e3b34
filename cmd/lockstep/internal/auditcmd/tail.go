package auditcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (c commands) tail() *cobra.Command {
	f := &filters{now: c.now}
	var lines int
	var interval time.Duration
	cmd := &cobra.Command{
		Use: "tail", Short: "Show the newest records of the audit trail and go on with new ones", Args: cobra.NoArgs,
		Long: `Show the newest records of the audit trail of all nodes, newest last, and then each new one, until it is interrupted. When a node does
not answer, another one is asked; what a node recorded while it could not be asked is shown once it can. With -o json each record is one line.`,
		Example: "  lockstep audit tail\n  lockstep audit tail --error access_denied --lines 0\n  lockstep audit tail --key alias/payments -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lines < 0 || lines > pageSize || interval < 100*time.Millisecond {
				return cli.Misuse("--lines is 0 to %d, --interval at least 100ms", pageSize)
			}
			if err := f.read(cmd); err != nil {
				return err
			}
			client, err := c.Connect()
			if err != nil {
				return err
			}
			t := &follower{commands: c, client: client, query: f.request, nodes: map[string]mark{}, table: eventTable{out: c.Out}}
			return t.run(cmd.Context(), lines, interval)
		},
	}
	f.define(cmd)
	cmd.Flags().IntVarP(&lines, "lines", "n", 10, "records to begin with")
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "between looks")
	return cli.Calls(cmd, "LookupEvents")
}

// margin is how much earlier than others a record may say that it began although it is new: clocks of nodes differ by less.
const margin = 10 * time.Second

// mark is the latest record of a node that was shown.
type mark struct {
	seq  uint64
	time time.Time
}

// follower shows new records. Those of a node are numbered, so what is new of it is what has a greater number than the
// latest that was shown.
type follower struct {
	commands
	client *client.Client
	query  kms.LookupEventsRequest
	table  eventTable

	own    []string // request ids of the latest looks, whose records are not shown
	nodes  map[string]mark
	begun  time.Time // records that are earlier are shown of no node that was unknown then
	newest time.Time // of all records that were seen
	whole  time.Time // newest, when all nodes answered last
	away   int       // nodes that were silent last
	failed bool      // nobody answered last
}

// run shows the last records, and looks for new ones until ctx ends.
func (t *follower) run(ctx context.Context, lines int, interval time.Duration) error {
	if err := t.start(ctx, lines); err != nil {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		fresh, err := t.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			t.failed = false
			if err := t.show(fresh); err != nil {
				return err
			}
		case errors.Is(err, errUnreadable) || !passing(err):
			return err
		case !t.failed:
			t.failed = true
			fmt.Fprintf(t.Err, "lockstep: no node answers, still trying: %v\n", err)
		}
	}
}

// passing reports whether an error is one of the cluster's state, and not of the request. What is no *kms.Error did not
// come from a node.
func passing(err error) bool {
	switch kms.CodeOf(err).Class() {
	case kms.ClassUnavailable, kms.ClassThrottled, kms.ClassUnknown, kms.ClassInternal:
		return true
	}
	return false
}

// start shows the last records, and notes what is there.
func (t *follower) start(ctx context.Context, lines int) error {
	var last []event
	silent, err := t.pages(ctx, func(events []event) bool {
		last = append(last, events...)
		return len(last) == 0 // of an empty page, the next one
	})
	if err != nil {
		return err
	}
	t.begun = t.now().Add(-margin)
	for _, e := range last {
		t.seen(&e)
	}
	if !t.newest.IsZero() {
		t.begun = t.newest
	}
	t.settle(silent)
	last = last[:min(lines, len(last))]
	slices.Reverse(last)
	return t.show(last)
}

// look returns what is new, oldest first.
func (t *follower) look(ctx context.Context) (fresh []event, err error) {
	met := map[string]bool{}
	since := t.whole.Add(-margin)
	silent, err := t.pages(ctx, func(events []event) bool {
		for i := range events {
			e := &events[i]
			if t.isNew(e) {
				fresh = append(fresh, *e)
			} else {
				met[e.Additional.Node] = true
			}
		}
		deep := len(events) > 0 && events[len(events)-1].Time.Before(since)
		return !deep && (len(met) < len(t.nodes) || len(met) == 0)
	})
	if err != nil {
		return nil, err // nothing is noted: the next look sees it again
	}
	slices.Reverse(fresh)
	slices.SortStableFunc(fresh, func(a, b event) int { return a.Time.Compare(b.Time) })
	for i := range fresh {
		t.seen(&fresh[i])
	}
	t.settle(silent)
	return fresh, nil
}

// pages hands on the newest records, page by page, until take returns false.
func (t *follower) pages(ctx context.Context, take func([]event) bool) (silent int, err error) {
	q, meta := t.query, client.Meta{}
	q.Limit = pageSize
	return eachPage(ctx, t.client, q, func(a *kms.LookupEventsAnswer) (bool, error) {
		const kept = 100
		t.own = append(t.own[max(0, len(t.own)-kept):], meta.RequestID)
		var events []event
		for _, raw := range a.Events {
			e, err := readEvent(raw)
			if err != nil {
				return false, err
			}
			events = append(events, e)
		}
		return take(events), nil
	}, client.WithMeta(&meta))
}

// isNew reports whether a record was not shown. A chain that begins again, since its files were lost, is told by its time.
func (t *follower) isNew(e *event) bool {
	last, known := t.nodes[e.Additional.Node]
	if !known {
		return e.Time.After(t.begun)
	}
	return e.Additional.Seq > last.seq || e.Time.After(last.time.Add(margin))
}

func (t *follower) seen(e *event) {
	last := t.nodes[e.Additional.Node]
	if e.Additional.Seq > last.seq || e.Time.After(last.time.Add(margin)) {
		last.seq = e.Additional.Seq
	}
	if e.Time.After(last.time) {
		last.time = e.Time
	}
	t.nodes[e.Additional.Node] = last
	if e.Time.After(t.newest) {
		t.newest = e.Time
	}
}

// settle notes how many nodes were silent. What they record meanwhile is looked for until all answer again.
func (t *follower) settle(silent int) {
	if silent > t.away {
		tellSilent(t.Err, silent)
	}
	if t.away = silent; silent == 0 {
		t.whole = t.newest
	}
}

func (t *follower) show(events []event) error {
	events = slices.DeleteFunc(events, func(e event) bool { return e.RequestID != "" && slices.Contains(t.own, e.RequestID) })
	if !t.JSON() {
		return t.table.write(events)
	}
	for _, e := range events {
		if _, err := fmt.Fprintf(t.Out, "%s\n", e.raw); err != nil {
			return err
		}
	}
	return nil
}
