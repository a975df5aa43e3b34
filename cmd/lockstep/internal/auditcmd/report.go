package auditcmd

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// report is what 'audit report' answers.
type report struct {
	Key         string   `json:"key"`
	Since       string   `json:"since,omitempty"`
	Until       string   `json:"until,omitempty"`
	Records     int      `json:"records"`
	Principals  []*usage `json:"principals"` // who called most often first
	SilentNodes int      `json:"silent_nodes,omitempty"`
}

// usage is what one principal did.
type usage struct {
	Principal  string         `json:"principal"`
	Calls      int            `json:"calls"`
	Refused    int            `json:"refused"` // of the calls
	First      time.Time      `json:"first"`
	Last       time.Time      `json:"last"`
	Operations map[string]int `json:"operations"`
	Sources    map[string]int `json:"sources"`
}

func (u *usage) note(e *event) {
	if u.Calls == 0 {
		u.First, u.Last = e.Time, e.Time
	}
	if e.Time.Before(u.First) {
		u.First = e.Time
	}
	if e.Time.After(u.Last) {
		u.Last = e.Time
	}
	if u.Calls++; e.ErrorCode != "" {
		u.Refused++
	}
	u.Operations[e.Name]++
	u.Sources[e.Source]++
}

func (c commands) report() *cobra.Command {
	f := &filters{now: c.now}
	cmd := &cobra.Command{
		Use: "report KEY", Short: "Say who used a key, when, how often and from where", Args: cli.Exactly("KEY"),
		Long: `Say who called operations on a key, when first and last, how often, how often in vain, and from which addresses, as the audit
trails of all nodes have it. A long scan tells on standard error how far it is.

` + cli.KeyHelp + " The id or ARN of a key that was destroyed does as well.\n" + timeHelp,
		Example: "  lockstep audit report alias/payments\n  lockstep audit report alias/payments --since 2026-01-01 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.read(cmd); err != nil {
				return err
			}
			client, err := c.Connect()
			if err != nil {
				return err
			}
			f.request.KeyID, f.request.Limit = args[0], pageSize
			r := &report{Key: args[0], Since: f.request.StartTime, Until: f.request.EndTime, Principals: []*usage{}}
			byName := map[string]*usage{}
			scan := scanProgress{out: c.Err, now: c.now, last: c.now()}
			r.SilentNodes, err = eachPage(cmd.Context(), client, f.request, func(a *kms.LookupEventsAnswer) (bool, error) {
				for _, raw := range a.Events {
					e, err := readEvent(raw)
					if err != nil {
						return false, err
					}
					u := byName[e.principal()]
					if u == nil {
						u = &usage{Principal: e.principal(), Operations: map[string]int{}, Sources: map[string]int{}}
						byName[u.Principal] = u
						r.Principals = append(r.Principals, u)
					}
					u.note(&e)
					r.Records++
					scan.at = e.Time
				}
				scan.tell(r.Records)
				return true, nil
			})
			if err != nil {
				return err
			}
			slices.SortFunc(r.Principals, func(a, b *usage) int {
				return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Principal, b.Principal))
			})
			tellSilent(c.Err, r.SilentNodes)
			return c.Print(r, r.table)
		},
	}
	f.defineTimes(cmd, "30d")
	return cli.Calls(cmd, "LookupEvents")
}

func (r *report) table(w io.Writer) {
	cli.Row(w, "PRINCIPAL", "CALLS", "REFUSED", "FIRST", "LAST", "OPERATIONS", "SOURCES")
	for _, u := range r.Principals {
		cli.Row(w, u.Principal, u.Calls, u.Refused, u.First, u.Last, counts(u.Operations), counts(u.Sources))
	}
}

// counts renders the five that are counted most, and how many others there are.
func counts(of map[string]int) string {
	const shown = 5
	names := slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b)) })
	var parts []string
	for _, name := range names[:min(len(names), shown)] {
		parts = append(parts, fmt.Sprintf("%s %d", cmp.Or(name, "-"), of[name]))
	}
	if more := len(names) - shown; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}

// scanProgress tells now and then how far a long scan is.
type scanProgress struct {
	out  io.Writer
	now  func() time.Time
	last time.Time // when it was told
	at   time.Time // of the record that was read
}

func (p *scanProgress) tell(records int) {
	const every = 2 * time.Second
	if p.now().Sub(p.last) >= every {
		p.last = p.now()
		fmt.Fprintf(p.out, "lockstep: %d records, back to %s\n", records, p.at.UTC().Format(time.RFC3339))
	}
}
