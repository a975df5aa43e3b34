package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// exactly takes one argument for each name.
func exactly(names ...string) cobra.PositionalArgs { return between(len(names), len(names), names...) }

// atMost takes no more arguments than names.
func atMost(names ...string) cobra.PositionalArgs { return between(0, len(names), names...) }

// between takes at least least and at most most arguments; names are what the message calls them.
func between(least, most int, names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least {
			return fmt.Errorf("%s is missing", names[len(args)])
		}
		if len(args) > most {
			return fmt.Errorf("there is an argument too many: %q", args[most])
		}
		return nil
	}
}
