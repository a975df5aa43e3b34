package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// Streams are what a command reads and writes. Environment variables are looked up in Env.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
	Env func(string) string
}

// SystemStreams are those of the process.
func SystemStreams() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv}
}

// Group returns a command that only holds others.
func Group(use, short, long string, children ...*cobra.Command) *cobra.Command {
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

// Complete has the shell complete the values of a flag.
func Complete[T ~string](cmd *cobra.Command, flag string, words []T) {
	list := make([]string, 0, len(words))
	for _, w := range words {
		list = append(list, string(w))
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
}

// WordVar defines a flag that is one word of a list, which the shell completes. The cluster judges it: one
// of a later release may know more.
func WordVar[T ~string](cmd *cobra.Command, p *T, flag string, words []T, usage string) {
	cmd.Flags().Var(word[T]{p}, flag, usage)
	Complete(cmd, flag, words)
}

// GrantTokenVar defines --grant-token.
func GrantTokenVar(cmd *cobra.Command, tokens *[]string) {
	cmd.Flags().StringArrayVar(tokens, "grant-token", nil, "token of a new grant that is not known everywhere yet, repeatable")
}

// DryRunVar defines --dry-run.
func DryRunVar(cmd *cobra.Command, dry *bool) {
	cmd.Flags().BoolVar(dry, "dry-run", false, "only say whether it would succeed")
}

// word is a flag's value of a string type.
type word[T ~string] struct{ p *T }

func (w word[T]) String() string {
	if w.p == nil {
		return ""
	}
	return string(*w.p)
}

func (w word[T]) Set(s string) error { *w.p = T(s); return nil }
func (w word[T]) Type() string       { return "string" }
