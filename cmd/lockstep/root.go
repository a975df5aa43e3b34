package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/auditcmd"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cryptocmd"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/dev"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/iamcmd"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/keycmd"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/statuscmd"
)

// ranError is an error of a command that began to run. What fails before is wrong use.
type ranError struct{ error }

// Unwrap returns the error inside.
func (e ranError) Unwrap() error { return e.error }

// run runs one command line and returns the exit status: 0 done, 1 refused or failed, 2 wrong use.
func run(ctx context.Context, args []string, s cli.Streams) int {
	root := newRootCommand(s)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if cli.IsMisuse(err) || !errors.As(err, new(ranError)) {
		fmt.Fprintf(s.Err, "lockstep: %s (see '%s --help')\n", cli.OneLine(err), cmd.CommandPath())
		return 2
	}
	fmt.Fprintf(s.Err, "lockstep: %s\n", cli.OneLine(err))
	return 1
}

// commands makes the commands of this package.
type commands struct{ *cli.App }

// newRootCommand returns the command tree.
func newRootCommand(s cli.Streams) *cobra.Command {
	root := cli.Group("lockstep", "A key management cluster", `Lockstep is a key management cluster: what AWS KMS is, on machines you own.

Client commands read LOCKSTEP_ADDR (comma-separated URLs of the nodes), LOCKSTEP_ACCESS_KEY_ID and
LOCKSTEP_SECRET_ACCESS_KEY, or LOCKSTEP_SESSION_TOKEN instead of them, and LOCKSTEP_REGION, LOCKSTEP_CACERT,
LOCKSTEP_CLIENT_CERT and LOCKSTEP_CLIENT_KEY where they are needed.

Exit status: 0 done, 1 refused or failed, 2 wrong use.`)
	root.Example = `  lockstep dev
  lockstep key create --alias alias/app
  echo -n hello | lockstep encrypt alias/app | lockstep decrypt`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)

	c := commands{&cli.App{Streams: s, Version: version}}
	root.AddCommand(newServerCommand(), dev.Command(), newCertCommand(), newVersionCommand(),
		c.operator(), c.health(), c.account(), c.setting(), c.whoami())
	root.AddCommand(keycmd.Commands(c.App)...)
	root.AddCommand(cryptocmd.Commands(c.App)...)
	root.AddCommand(iamcmd.Commands(c.App)...)
	root.AddCommand(statuscmd.Commands(c.App)...)
	root.AddCommand(auditcmd.Command(c.App))
	markRuns(root)
	return root
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
