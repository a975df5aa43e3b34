package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/kms"
)

// Method is the client's method of one operation.
type Method[Request, Answer any] = func(*client.Client, context.Context, *Request, ...client.Option) (*Answer, error)

// Silent makes a Method of one that answers nothing.
func Silent[Request any](method func(*client.Client, context.Context, *Request, ...client.Option) error) Method[Request, kms.Empty] {
	return func(c *client.Client, ctx context.Context, r *Request, opts ...client.Option) (*kms.Empty, error) {
		return &kms.Empty{}, method(c, ctx, r, opts...)
	}
}

// Run calls one operation as the flags say and prints its answer.
func Run[Request, Answer any](ctx context.Context, a *App, method Method[Request, Answer], r *Request, table func(io.Writer, *Answer)) error {
	c, err := a.Connect()
	if err != nil {
		return err
	}
	return Call(ctx, a, c, method, r, table)
}

// Call is Run with a client that is there already.
func Call[Request, Answer any](ctx context.Context, a *App, c *client.Client, method Method[Request, Answer], r *Request, table func(io.Writer, *Answer)) error {
	return call(ctx, a, c, method, r, func(answer *Answer, meta *client.Meta) error {
		return a.PrintChanged(answer, meta, func(w io.Writer) { table(w, answer) })
	})
}

// RunRaw is Run for an answer that is bytes: without -o json they are written as they are.
func RunRaw[Request, Answer any](ctx context.Context, a *App, method Method[Request, Answer], r *Request, content func(*Answer) []byte) error {
	c, err := a.Connect()
	if err != nil {
		return err
	}
	return CallRaw(ctx, a, c, method, r, content)
}

// CallRaw is RunRaw with a client that is there already.
func CallRaw[Request, Answer any](ctx context.Context, a *App, c *client.Client, method Method[Request, Answer], r *Request, content func(*Answer) []byte) error {
	return call(ctx, a, c, method, r, func(answer *Answer, _ *client.Meta) error {
		if a.JSON() {
			return PrintJSON(a.Out, answer)
		}
		_, err := a.Out.Write(content(answer))
		return err
	})
}

func call[Request, Answer any](ctx context.Context, a *App, c *client.Client, method Method[Request, Answer], r *Request, done func(*Answer, *client.Meta) error) error {
	opts, meta, err := a.WriteOptions()
	if err != nil {
		return err
	}
	answer, err := method(c, ctx, r, opts...)
	if kms.CodeOf(err) == kms.CodeDryRun { // nobody else is answered that
		return a.Print(map[string]bool{"would_succeed": true}, func(w io.Writer) { fmt.Fprintln(w, "It would succeed; nothing was done.") })
	}
	if err != nil {
		return err
	}
	return done(answer, meta)
}

// Page says what part of a listing is wanted.
type Page struct {
	Limit  *int
	Marker *string
}

// PageFlags gives a listing its flags.
func PageFlags(cmd *cobra.Command, p Page) {
	cmd.Flags().IntVar(p.Limit, "limit", 0, "show at most this many (default: all)")
	cmd.Flags().StringVar(p.Marker, "marker", "", "go on where a listing with --limit ended")
}

// List reads every page, or one when a limit is given, and prints the entries. parts returns where an
// answer keeps its entries and its marker.
func List[Request, Answer, Entry any](ctx context.Context, a *App, method Method[Request, Answer], r *Request, p Page,
	parts func(*Answer) (*[]Entry, *string), table func(io.Writer, []Entry)) error {
	c, err := a.Connect()
	if err != nil {
		return err
	}
	var all *Answer
	entries, once := []Entry{}, *p.Limit > 0
	for {
		if all, err = method(c, ctx, r); err != nil {
			return err
		}
		list, next := parts(all)
		entries = append(entries, *list...)
		if *next == "" || once {
			*list = entries
			return a.Print(all, func(w io.Writer) {
				table(w, entries)
				if *next != "" {
					fmt.Fprintf(w, "There is more: --marker %s\n", *next)
				}
			})
		}
		*p.Marker = *next
	}
}
