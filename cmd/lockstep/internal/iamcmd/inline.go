package iamcmd

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// policies are the commands on the policies of users, groups or roles.
func (a commands) policies(k *kind) *cobra.Command {
	return cli.Group("policy", "Manage the policies of a "+k.noun,
		"An inline policy belongs to one "+k.noun+"; a managed policy ('lockstep policy') is attached to any number.\nBoth say what the "+k.noun+" may do.",
		a.inlinePut(k), a.inlineGet(k), a.inlineList(k), a.inlineDelete(k), a.attach(k), a.detach(k), a.attached(k))
}

func (a commands) inlinePut(k *kind) *cobra.Command {
	r := &kms.PutInlinePolicyRequest{}
	cmd := &cobra.Command{Use: "put NAME POLICY [FILE]", Short: "Write an inline policy of a " + k.noun, Args: cli.Between(2, 3, "NAME", "POLICY", "FILE"),
		Long: "Writes the inline policy of the name POLICY from the JSON document in FILE or on standard input.",
		Example: fmt.Sprintf("  lockstep %s policy put %s use-app policy.json\n  lockstep %s policy put %s use-app < policy.json",
			k.noun, k.sample, k.noun, k.sample)}
	return run(a, cmd, k.putInline, r, func(args []string) (err error) {
		r.Name, r.PolicyName = args[0], args[1]
		r.PolicyDocument, err = a.Document(optional(args, 2))
		return err
	}, say(func() string { return r.Name + " has the policy " + r.PolicyName + "." }))
}

func (a commands) inlineGet(k *kind) *cobra.Command {
	r := &kms.GetInlinePolicyRequest{}
	cmd := &cobra.Command{Use: "get NAME POLICY", Short: "Show an inline policy of a " + k.noun,
		Example: fmt.Sprintf("  lockstep %s policy get %s use-app > policy.json", k.noun, k.sample)}
	return show(a, cmd, k.getInline, r, into(&r.Name, &r.PolicyName),
		func(answer *kms.InlinePolicyAnswer) string { return answer.PolicyDocument })
}

func (a commands) inlineList(k *kind) *cobra.Command {
	r := &kms.IdentityRequest{}
	cmd := &cobra.Command{Use: "list NAME", Short: "List the names of a " + k.noun + "'s inline policies",
		Example: fmt.Sprintf("  lockstep %s policy list %s", k.noun, k.sample)}
	return run(a, cmd, k.inline, r, into(&r.Name), func(w io.Writer, answer *kms.ListInlinePoliciesAnswer) {
		cli.Row(w, "POLICY")
		for _, name := range answer.PolicyNames {
			cli.Row(w, name)
		}
	})
}

func (a commands) inlineDelete(k *kind) *cobra.Command {
	r := &kms.DeleteInlinePolicyRequest{}
	cmd := &cobra.Command{Use: "delete NAME POLICY", Short: "Delete an inline policy of a " + k.noun,
		Example: fmt.Sprintf("  lockstep %s policy delete %s use-app --wait all", k.noun, k.sample)}
	return run(a, cmd, k.dropInline, r, into(&r.Name, &r.PolicyName), say(func() string { return "The policy " + r.PolicyName + " of " + r.Name + " is deleted." }))
}

func (a commands) attach(k *kind) *cobra.Command {
	r := &kms.AttachPolicyRequest{}
	cmd := &cobra.Command{Use: "attach NAME POLICY-ARN", Short: "Attach a managed policy to a " + k.noun,
		Example: fmt.Sprintf("  lockstep %s policy attach %s arn:aws:iam::111122223333:policy/use-app", k.noun, k.sample)}
	return run(a, cmd, k.attach, r, into(&r.Name, &r.PolicyARN), say(func() string { return r.Name + " has " + r.PolicyARN + "." }))
}

func (a commands) detach(k *kind) *cobra.Command {
	r := &kms.AttachPolicyRequest{}
	cmd := &cobra.Command{Use: "detach NAME POLICY-ARN", Short: "Detach a managed policy from a " + k.noun,
		Example: fmt.Sprintf("  lockstep %s policy detach %s arn:aws:iam::111122223333:policy/use-app --wait all", k.noun, k.sample)}
	return run(a, cmd, k.detach, r, into(&r.Name, &r.PolicyARN), say(func() string { return r.Name + " does not have " + r.PolicyARN + "." }))
}

func (a commands) attached(k *kind) *cobra.Command {
	r := &kms.IdentityRequest{}
	cmd := &cobra.Command{Use: "attached NAME", Short: "List the managed policies that a " + k.noun + " has attached",
		Example: fmt.Sprintf("  lockstep %s policy attached %s", k.noun, k.sample)}
	return run(a, cmd, k.attached, r, into(&r.Name), func(w io.Writer, answer *kms.ListAttachedPoliciesAnswer) {
		cli.Row(w, "POLICY", "ARN")
		for _, p := range answer.AttachedPolicies {
			cli.Row(w, p.PolicyName, p.PolicyARN)
		}
	})
}
