// Package iamcmd holds the commands on identities: users, groups and roles, their access keys and policies, who
// else may vouch for an identity, sessions, and questions about what policies decide.
//
// It promises that a policy is sent as its file has it, so that a position in an error message is one of the file.
// The invariant that would hurt: a secret is printed once, by the command that made it, and nowhere else.
package iamcmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// commands makes the commands of this package.
type commands struct{ *cli.App }

// Commands returns the commands of this package.
func Commands(a *cli.App) []*cobra.Command {
	c := commands{a}
	all := []*cobra.Command{c.user(), c.group(), c.role(), c.accessKey(), c.policy(), c.whoCan(), c.oidcProvider(), c.trustAnchor(), c.assumeRole(), c.getSessionToken()}
	for _, cmd := range all {
		a.ClientFlags(cmd)
	}
	return all
}

// method is an operation and the client's method for it.
type method[Request, Answer any] struct {
	op   *kms.Operation
	call cli.Method[Request, Answer]
}

// answering is the method of an operation.
func answering[Request, Answer any](op *kms.Operation, call cli.Method[Request, Answer]) method[Request, Answer] {
	return method[Request, Answer]{op, call}
}

// silent is the method of an operation that answers nothing.
func silent[Request any](op *kms.Operation, call func(*client.Client, context.Context, *Request, ...client.Option) error) method[Request, kms.Empty] {
	return method[Request, kms.Empty]{op, cli.Silent(call)}
}

// run completes cmd: it calls m with r, once fill has put the arguments there, and prints the answer. The
// arguments are those that cmd.Use names, unless cmd says otherwise.
func run[Request, Answer any](a commands, cmd *cobra.Command, m method[Request, Answer], r *Request, fill func(args []string) error, table func(io.Writer, *Answer)) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fill(args); err != nil {
			return err
		}
		return cli.Run(cmd.Context(), a.App, m.call, r, table)
	}
	return a.finish(cmd, m.op)
}

// show is run for an answer that is a document: without -o json it is printed as it is.
func show[Request, Answer any](a commands, cmd *cobra.Command, m method[Request, Answer], r *Request, fill func(args []string) error, document func(*Answer) string) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fill(args); err != nil {
			return err
		}
		return cli.RunRaw(cmd.Context(), a.App, m.call, r, func(answer *Answer) []byte { return cli.Lines(document(answer)) })
	}
	return a.finish(cmd, m.op)
}

// list completes cmd: it reads what m lists, page by page.
func list[Request, Answer, Entry any](a commands, cmd *cobra.Command, m method[Request, Answer], r *Request, page cli.Page,
	fill func(args []string) error, parts func(*Answer) (*[]Entry, *string), table func(io.Writer, []Entry)) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fill(args); err != nil {
			return err
		}
		return cli.List(cmd.Context(), a.App, m.call, r, page, parts, table)
	}
	cli.PageFlags(cmd, page)
	return a.finish(cmd, m.op)
}

func (a commands) finish(cmd *cobra.Command, op *kms.Operation) *cobra.Command {
	if cmd.Args == nil {
		cmd.Args = cli.Exactly(strings.Fields(cmd.Use)[1:]...)
	}
	if op.Mutates {
		a.WriteFlags(cmd)
	}
	return cli.Calls(cmd, op.Name)
}

// say prints a sentence where an operation answers nothing.
func say(sentence func() string) func(io.Writer, *kms.Empty) {
	return func(w io.Writer, _ *kms.Empty) { fmt.Fprintln(w, sentence()) }
}

// into puts the arguments where they belong in a request.
func into(to ...*string) func(args []string) error {
	return func(args []string) error {
		for i, p := range to {
			*p = args[i]
		}
		return nil
	}
}

// optional returns the argument at i, or "".
func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

// bare is the method of an operation whose request is empty.
func bare[Answer any](call func(*client.Client, context.Context, ...client.Option) (*Answer, error)) cli.Method[kms.Empty, Answer] {
	return func(c *client.Client, ctx context.Context, _ *kms.Empty, opts ...client.Option) (*Answer, error) {
		return call(c, ctx, opts...)
	}
}
