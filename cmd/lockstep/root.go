package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// streams are what a command reads and writes. Environment variables are looked up in env.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
	env func(string) string
}

func systemStreams() streams {
	return streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
}

// usageError is an error of whoever typed the command line: exit status 2.
type usageError struct{ error }

// Unwrap returns the error inside.
func (e usageError) Unwrap() error { return e.error }

// ranError is an error of a command that began to run. What fails before is wrong use.
type ranError struct{ error }

// Unwrap returns the error inside.
func (e ranError) Unwrap() error { return e.error }

// run runs one command line and returns the exit status: 0 done, 1 refused or failed, 2 wrong use.
func run(ctx context.Context, args []string, s streams) int {
	root := newRootCommand(s)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if _, wrong := errors.AsType[usageError](err); wrong || !errors.As(err, new(ranError)) {
		fmt.Fprintf(s.err, "lockstep: %s (see '%s --help')\n", oneLine(err), cmd.CommandPath())
		return 2
	}
	fmt.Fprintf(s.err, "lockstep: %s\n", oneLine(err))
	return 1
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// newRootCommand returns the command tree.
func newRootCommand(s streams) *cobra.Command {
	root := group("lockstep", "A key management cluster", `Lockstep is a key management cluster: what AWS KMS is, on machines you own.

Client commands read LOCKSTEP_ADDR (comma-separated URLs of the nodes), LOCKSTEP_ACCESS_KEY_ID and
LOCKSTEP_SECRET_ACCESS_KEY, and LOCKSTEP_REGION, LOCKSTEP_CACERT, LOCKSTEP_CLIENT_CERT and
LOCKSTEP_CLIENT_KEY where they are needed.

Exit status: 0 done, 1 refused or failed, 2 wrong use.`)
	root.Example = `  lockstep dev
  lockstep key create --alias alias/app
  echo -n hello | lockstep encrypt alias/app | lockstep decrypt`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)

	a := &app{streams: s}
	root.AddCommand(
		newServerCommand(), newDevCommand(), newCertCommand(), newVersionCommand(),
		a.operator(), a.health(),
		a.key(), a.alias(), a.encrypt(), a.decrypt(), a.reEncrypt(), a.generateDataKey(), a.random(),
		a.account(), a.setting(), a.whoami(),
	)
	markRuns(root)
	return root
}

// group returns a command that only holds others.
func group(use, short, long string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("there is no command %q%s", args[0], suggestion(cmd, args[0]))
		}
		return errors.New("a command is missing")
	}, RunE: func(*cobra.Command, []string) error { return nil }}
	cmd.AddCommand(children...)
	return cmd
}

func suggestion(cmd *cobra.Command, typed string) string {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(typed); len(near) > 0 {
		return fmt.Sprintf("; did you mean %q?", near[0])
	}
	return ""
}

// markRuns makes errors of commands that ran recognizable.
func markRuns(cmd *cobra.Command) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := inner(cmd, args); err != nil {
				return ranError{err}
			}
			return nil
		}
	}
	for _, child := range cmd.Commands() {
		markRuns(child)
	}
}
