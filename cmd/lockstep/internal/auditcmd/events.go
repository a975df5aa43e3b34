package auditcmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// pageSize is how many records the commands ask for at a time when they want many.
const pageSize = 1000

// event is what the commands show of a record.
type event struct {
	Time      time.Time `json:"eventTime"`
	ID        string    `json:"eventID"`
	RequestID string    `json:"requestID"`
	Name      string    `json:"eventName"`
	Source    string    `json:"sourceIPAddress"`
	ErrorCode string    `json:"errorCode"`
	Identity  struct {
		Type        string `json:"type"`
		PrincipalID string `json:"principalId"`
		ARN         string `json:"arn"`
		AccessKeyID string `json:"accessKeyId"`
	} `json:"userIdentity"`
	Resources []struct {
		ARN string `json:"ARN"`
	} `json:"resources"`
	Additional struct {
		Node string `json:"node"`
		Seq  uint64 `json:"seq"`
	} `json:"additionalEventData"`

	raw json.RawMessage
}

// errUnreadable says that a node answered something else than records.
var errUnreadable = errors.New("a record cannot be read")

// readEvent reads a record as the node answered it.
func readEvent(raw json.RawMessage) (e event, err error) {
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	e.raw = raw
	return e, nil
}

// principal says who called, as far as it is known.
func (e *event) principal() string {
	return cmp.Or(e.Identity.ARN, e.Identity.AccessKeyID, e.Identity.PrincipalID, e.Identity.Type)
}

// filters are the flags that say which records are looked for.
type filters struct {
	request      kms.LookupEventsRequest
	since, until string
	readOnly     bool
	now          func() time.Time
}

// timeHelp says what a time may be.
const timeHelp = "TIME is RFC 3339 (2026-11-26T20:53:13Z), a date (2026-11-26, from its beginning in UTC), or how long ago (90s, 1h, 30d)."

// define gives cmd the flags.
func (f *filters) define(cmd *cobra.Command) {
	q, flags := &f.request, cmd.Flags()
	flags.StringVar(&q.Principal, "principal", "", "who called: ARN, principal id or access key id, or the ARN of a role for its sessions")
	flags.StringVar(&q.KeyID, "key", "", "the key that the call was about: id, ARN, alias name or alias ARN")
	flags.StringVar(&q.EventName, "event", "", "name of the operation or event, such as Decrypt")
	flags.StringVar(&q.SourceIPAddress, "source", "", "address that the call came from")
	flags.StringVar(&q.ErrorCode, "error", "", "code of the refusal, such as access_denied")
	flags.StringVar(&q.RequestID, "request-id", "", "id of the request")
	flags.StringVar(&q.EventID, "event-id", "", "id of the record")
	flags.StringVar(&q.AccountID, "account", "", "account of the caller or of the key")
	flags.BoolVar(&f.readOnly, "read-only", false, "only what reads; with =false only what changes")
	var names []string
	for _, o := range kms.Operations {
		names = append(names, o.Name)
	}
	cli.Complete(cmd, "event", names)
	cli.Complete(cmd, "error", kms.Codes())
}

// defineTimes gives cmd the flags of a time range.
func (f *filters) defineTimes(cmd *cobra.Command, since string) {
	cmd.Flags().StringVar(&f.since, "since", since, "not before TIME")
	cmd.Flags().StringVar(&f.until, "until", "", "not after TIME")
}

// read fills the request with what the flags say.
func (f *filters) read(cmd *cobra.Command) (err error) {
	if f.request.StartTime, err = parseTime("since", f.since, f.now()); err != nil {
		return err
	}
	if f.request.EndTime, err = parseTime("until", f.until, f.now()); err != nil {
		return err
	}
	if flag := cmd.Flags().Lookup("read-only"); flag != nil && flag.Changed {
		f.request.ReadOnly = strconv.FormatBool(f.readOnly)
	}
	return nil
}

// parseTime reads a time as timeHelp says, and writes it as RFC 3339.
func parseTime(flag, text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		var ago time.Duration
		if days, ok := strings.CutSuffix(text, "d"); ok {
			var n int
			n, err = strconv.Atoi(days)
			ago = time.Duration(n) * 24 * time.Hour
			if n < 0 || n > 36500 {
				err = strconv.ErrRange
			}
		} else {
			ago, err = time.ParseDuration(text)
		}
		if err != nil || ago < 0 {
			return "", cli.Misuse("--%s is a time (2026-11-26T20:53:13Z), a date (2026-11-26) or how long ago (90s, 1h, 30d), not %q", flag, text)
		}
		t = now.Add(-ago)
	}
	return t.UTC().Format("2006-01-02T15:04:05.999Z07:00"), nil
}

// eachPage hands on one page after the other until take returns false, and returns the most members that were silent at once.
// A page may be empty though there are more: the nodes had not found anything yet.
func eachPage(ctx context.Context, c *client.Client, q kms.LookupEventsRequest, take func(*kms.LookupEventsAnswer) (bool, error), opts ...client.Option) (silent int, err error) {
	for {
		answer, err := c.LookupEvents(ctx, &q, opts...)
		if err != nil {
			return silent, err
		}
		silent = max(silent, answer.SilentNodes)
		more, err := take(answer)
		if err != nil || !more || answer.NextMarker == "" {
			return silent, err
		}
		q.Marker = answer.NextMarker
	}
}

// tellSilent says on w that records may be missing.
func tellSilent(w io.Writer, silent int) {
	if silent > 0 {
		fmt.Fprintf(w, "lockstep: %d of the nodes did not answer or cannot read all of their audit files: records of theirs are not among these\n", silent)
	}
}

// eventTable writes records as rows. Columns grow with what is written and stay as wide as they became.
type eventTable struct {
	out    io.Writer
	widths []int // nil before the first row
}

func (t *eventTable) write(events []event) error {
	var rows [][]string
	if t.widths == nil {
		rows = append(rows, []string{"TIME", "EVENT", "RESULT", "SOURCE", "PRINCIPAL", "RESOURCE", "EVENT ID"})
	}
	for i := range events {
		e := &events[i]
		resource := ""
		if len(e.Resources) > 0 {
			resource = e.Resources[0].ARN
		}
		rows = append(rows, []string{e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Name, cmp.Or(e.ErrorCode, "ok"),
			cmp.Or(e.Source, "-"), cmp.Or(e.principal(), "-"), cmp.Or(resource, "-"), e.ID})
	}
	for _, row := range rows {
		t.widths = append(t.widths, make([]int, len(row)-len(t.widths))...)
		for i, cell := range row[:len(row)-1] {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			gap := "  "
			if i == len(row)-1 {
				gap = "\n"
			}
			fmt.Fprintf(&b, "%-*s%s", t.widths[i], cell, gap)
		}
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}
