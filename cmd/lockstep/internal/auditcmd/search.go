package auditcmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (c commands) search() *cobra.Command {
	f := &filters{now: c.now}
	var limit int
	var all bool
	cmd := &cobra.Command{
		Use: "search", Short: "Find records of the audit trail of all nodes, newest first", Args: cobra.NoArgs,
		Long: `Find records of the audit trail of all nodes, newest first. What several flags ask for must all be true.

You see what belongs to your account: its callers' calls, and others' calls of its keys. Whom the policies of the operator account
allow lockstep:ReadAudit sees the records of all accounts, and those of calls that nobody was known to make.

` + timeHelp,
		Example: "  lockstep audit search --key alias/payments --since 1h\n  lockstep audit search --error access_denied --since 2026-11-26 --all\n  lockstep audit search --principal AKIA... --event Decrypt -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return cli.Misuse("--limit is at least 1")
			}
			if err := f.read(cmd); err != nil {
				return err
			}
			client, err := c.Connect()
			if err != nil {
				return err
			}
			out := c.listing()
			left := limit
			silent, err := eachPage(cmd.Context(), client, withLimit(f.request, limit, all), func(a *kms.LookupEventsAnswer) (bool, error) {
				if !all {
					a.Events = a.Events[:min(len(a.Events), left)]
					left -= len(a.Events)
				}
				return all || left > 0, out.add(a.Events)
			})
			if err != nil {
				return err
			}
			tellSilent(c.Err, silent)
			return out.end(silent)
		},
	}
	f.define(cmd)
	f.defineTimes(cmd, "")
	cmd.Flags().IntVar(&limit, "limit", 50, "show at most this many")
	cmd.Flags().BoolVar(&all, "all", false, "show all that there are")
	cmd.MarkFlagsMutuallyExclusive("limit", "all")
	return cli.Calls(cmd, "LookupEvents")
}

// withLimit asks for as many records at a time as are wanted.
func withLimit(q kms.LookupEventsRequest, limit int, all bool) kms.LookupEventsRequest {
	q.Limit = min(limit, pageSize)
	if all {
		q.Limit = pageSize
	}
	return q
}

// listing writes records as they come: of many, none are kept.
type listing struct {
	out   io.Writer
	json  bool
	n     int
	table eventTable
}

func (c commands) listing() *listing {
	return &listing{out: c.Out, json: c.JSON(), table: eventTable{out: c.Out}}
}

func (l *listing) add(records []json.RawMessage) error {
	if l.json {
		for _, raw := range records {
			separator := ",\n    "
			if l.n++; l.n == 1 {
				separator = "{\n  \"events\": [\n    "
			}
			var b bytes.Buffer
			b.WriteString(separator)
			if err := json.Indent(&b, raw, "    ", "  "); err != nil {
				return fmt.Errorf("%w: %w", errUnreadable, err)
			}
			if _, err := l.out.Write(b.Bytes()); err != nil {
				return err
			}
		}
		return nil
	}
	events := make([]event, 0, len(records))
	for _, raw := range records {
		e, err := readEvent(raw)
		if err != nil {
			return err
		}
		events = append(events, e)
	}
	l.n += len(events)
	return l.table.write(events)
}

// end ends a listing.
func (l *listing) end(silent int) error {
	if !l.json {
		return nil
	}
	begin, end := "", "\n  ]"
	if l.n == 0 {
		begin, end = "{\n  \"events\": [", "]"
	}
	if silent > 0 {
		end += fmt.Sprintf(",\n  \"silent_nodes\": %d", silent)
	}
	_, err := io.WriteString(l.out, begin+end+"\n}\n")
	return err
}
