package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// streams are what a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
	env func(string) string
}

func systemStreams() streams {
	return streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
}

// run runs one command line and returns the exit status: 0 done, 1 refused or failed, 2 wrong use.
func run(ctx context.Context, args []string, s streams) int {
	root := newRootCommand(s)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(s.err, "lockstep: %v\n", err)
		return 1
	}
	return 0
}

// newRootCommand returns the command tree.
func newRootCommand(s streams) *cobra.Command {
	root := &cobra.Command{Use: "lockstep", Short: "A key management cluster", SilenceErrors: true, SilenceUsage: true}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	return root
}
