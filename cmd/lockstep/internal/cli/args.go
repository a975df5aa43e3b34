package cli

import (
	"fmt"
	"math"

	"github.com/spf13/cobra"
)

// Exactly takes one argument for each name.
func Exactly(names ...string) cobra.PositionalArgs { return Between(len(names), len(names), names...) }

// AtMost takes no more arguments than names.
func AtMost(names ...string) cobra.PositionalArgs { return Between(0, len(names), names...) }

// Between takes at least least and at most most arguments; names are what the message calls them.
func Between(least, most int, names ...string) cobra.PositionalArgs {
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

// AtLeast takes one argument for each name, and more of the last one.
func AtLeast(names ...string) cobra.PositionalArgs { return Between(len(names), math.MaxInt, names...) }
