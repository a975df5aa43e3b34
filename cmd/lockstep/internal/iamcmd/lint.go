package iamcmd

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// problem is what lint says about one place of a file.
type problem struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Severity string `json:"severity"` // error or warning
	Message  string `json:"message"`
}

func (a commands) lint() *cobra.Command {
	var kind string
	cmd := &cobra.Command{Use: "lint [FILE]", Short: "Check a policy without a node", Args: cli.AtMost("FILE"),
		Long: `Checks the policy in FILE or on standard input without asking a node. Each problem is a line FILE:LINE:COLUMN: MESSAGE.
An error is what a node refuses, too, and makes the exit status 1; a warning is what is probably not meant.`,
		Example: "  lockstep policy lint policy.json\n  lockstep policy lint --kind key key-policy.json\n  lockstep policy lint --kind trust < trust.json",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.check(optional(args, 0), kind)
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "identity", "what the policy is for: key (of a key), identity (of a user, group, role or session, or a boundary) or trust (of a role)")
	cli.Complete(cmd, "kind", []string{"key", "identity", "trust"})
	return cmd
}

func (a commands) check(file, kind string) error {
	kinds := map[string]policy.Kind{"key": policy.KeyPolicy, "identity": policy.IdentityPolicy, "trust": policy.TrustPolicy}
	if kinds[kind] == 0 {
		return cli.Misuse("--kind is key, identity or trust, not %q", kind)
	}
	if err := a.CheckOutput(); err != nil {
		return err
	}
	text, err := a.Document(file)
	if err != nil {
		return err
	}
	if file == "" || file == "-" {
		file = "<stdin>"
	}
	problems, wrong := examine(file, kinds[kind], string(text))
	err = a.Print(map[string][]problem{"problems": problems}, func(w io.Writer) {
		for _, p := range problems {
			severity := ""
			if p.Severity == "warning" {
				severity = "warning: "
			}
			fmt.Fprintf(w, "%s:%d:%d: %s%s\n", p.File, p.Line, p.Column, severity, p.Message)
		}
	})
	if err == nil && wrong {
		err = fmt.Errorf("%s is no valid %s policy", file, kind)
	}
	return err
}

// examine returns what is wrong with a policy, and whether a node would refuse it.
func examine(file string, kind policy.Kind, text string) (problems []problem, wrong bool) {
	document, err := policy.Parse(kind, text)
	if syntax, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return []problem{{file, syntax.Line, syntax.Column, "error", syntax.Message}}, true
	}
	problems = []problem{}
	for _, w := range policy.Lint(document, actions()) {
		problems = append(problems, problem{file, w.Line, w.Column, "warning", w.Message})
	}
	return problems, false
}

// actions are all that policies can allow here. Re-encryption is two actions, and passing session tags is one
// without an operation of its own.
func actions() []string {
	all := []string{"kms:ReEncryptFrom", "sts:TagSession"}
	for _, op := range kms.Operations {
		all = append(all, op.Action)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
