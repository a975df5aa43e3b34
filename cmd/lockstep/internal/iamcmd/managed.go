package iamcmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

const policySample = "arn:aws:iam::111122223333:policy/use-app"

func (a commands) policy() *cobra.Command {
	return cli.Group("policy", "Manage, check and explain policies",
		`A managed policy is named by its ARN and can be attached to any number of users, groups and roles. It has up to five
versions, one of which counts. The policies of keys are under 'lockstep key policy', those of one identity under
'lockstep user policy' and alike.`,
		a.policyCreate(), a.policyGet(), a.policyList(), a.policyDelete(), a.policyTag(), a.policyUntag(), a.policyEntities(),
		cli.Group("version", "Manage the versions of a managed policy", "A managed policy has up to five versions; the default one counts.",
			a.versionCreate(), a.versionGet(), a.versionList(), a.versionSetDefault(), a.versionDelete()),
		a.lint(), a.simulate(), a.explain())
}

func describePolicy(w io.Writer, answer *kms.PolicyAnswer) {
	p := &answer.Policy
	cli.Pairs(w, "NAME", p.Name, "ID", p.ID, "ARN", p.ARN, "DEFAULT VERSION", p.DefaultVersionID, "ATTACHED", p.AttachmentCount,
		"CREATED", p.CreatedAt, "UPDATED", p.UpdatedAt)
	cli.Given(w, "DESCRIPTION", p.Description, "TAGS", cli.Context(p.Tags))
}

func (a commands) policyCreate() *cobra.Command {
	r := &kms.CreatePolicyRequest{}
	cmd := &cobra.Command{Use: "create NAME [FILE]", Short: "Create a managed policy", Args: cli.Between(1, 2, "NAME", "FILE"),
		Long: "Creates a managed policy from the JSON document in FILE or on standard input.",
		Example: `  lockstep policy create use-app policy.json --description "invoices"
  lockstep policy create use-app < policy.json`}
	cmd.Flags().StringVar(&r.Description, "description", "", "what the policy is for")
	pathVar(cmd, &r.Path)
	tagVar(cmd, &r.Tags)
	return run(a, cmd, answering(kms.OpCreatePolicy, (*client.Client).CreatePolicy), r, func(args []string) (err error) {
		r.Name = args[0]
		r.PolicyDocument, err = a.Document(optional(args, 1))
		return err
	}, describePolicy)
}

func (a commands) policyGet() *cobra.Command {
	r := &kms.PolicyRequest{}
	cmd := &cobra.Command{Use: "get POLICY-ARN", Short: "Describe a managed policy",
		Long:    "Describes a managed policy. 'lockstep policy version get' shows its document.",
		Example: "  lockstep policy get " + policySample}
	return run(a, cmd, answering(kms.OpGetPolicy, (*client.Client).GetPolicy), r, into(&r.PolicyARN), describePolicy)
}

func (a commands) policyList() *cobra.Command {
	r := &kms.ListRequest{}
	cmd := &cobra.Command{Use: "list", Short: "List the managed policies of the account", Example: "  lockstep policy list"}
	return list(a, cmd, answering(kms.OpListPolicies, (*client.Client).ListPolicies), r, cli.Page{Limit: &r.Limit, Marker: &r.Marker}, into(),
		func(all *kms.ListPoliciesAnswer) (*[]kms.PolicyEntry, *string) { return &all.Policies, &all.NextMarker },
		func(w io.Writer, policies []kms.PolicyEntry) {
			cli.Row(w, "NAME", "ARN", "VERSION", "ATTACHED", "UPDATED")
			for _, p := range policies {
				cli.Row(w, p.Name, p.ARN, p.DefaultVersionID, p.AttachmentCount, p.UpdatedAt)
			}
		})
}

func (a commands) policyDelete() *cobra.Command {
	r := &kms.PolicyRequest{}
	cmd := &cobra.Command{Use: "delete POLICY-ARN", Short: "Delete a managed policy",
		Long:    "Deletes a managed policy with all of its versions. It must not be attached and bound nobody any more.",
		Example: "  lockstep policy delete " + policySample}
	return run(a, cmd, silent(kms.OpDeletePolicy, (*client.Client).DeletePolicy), r, into(&r.PolicyARN),
		say(func() string { return r.PolicyARN + " is deleted." }))
}

func (a commands) policyTag() *cobra.Command {
	r := &kms.TagPolicyRequest{}
	cmd := &cobra.Command{Use: "tag POLICY-ARN TAG=VALUE...", Short: "Set tags of a managed policy", Args: cli.AtLeast("POLICY-ARN", "TAG=VALUE"),
		Example: "  lockstep policy tag " + policySample + " team=payments"}
	return run(a, cmd, silent(kms.OpTagPolicy, (*client.Client).TagPolicy), r, func(args []string) (err error) {
		r.PolicyARN = args[0]
		r.Tags, err = cli.ParseTags(args[1:])
		return err
	}, say(func() string { return r.PolicyARN + " is tagged." }))
}

func (a commands) policyUntag() *cobra.Command {
	r := &kms.UntagPolicyRequest{}
	cmd := &cobra.Command{Use: "untag POLICY-ARN TAG...", Short: "Take tags off a managed policy", Args: cli.AtLeast("POLICY-ARN", "TAG"),
		Example: "  lockstep policy untag " + policySample + " team"}
	return run(a, cmd, silent(kms.OpUntagPolicy, (*client.Client).UntagPolicy), r, func(args []string) error {
		r.PolicyARN, r.TagKeys = args[0], args[1:]
		return nil
	}, say(func() string { return r.PolicyARN + " does not have these tags." }))
}

func (a commands) policyEntities() *cobra.Command {
	r := &kms.PolicyRequest{}
	cmd := &cobra.Command{Use: "entities POLICY-ARN", Short: "List who has a managed policy",
		Long:    "Lists the users, groups and roles that a managed policy is attached to, and those that it bounds.",
		Example: "  lockstep policy entities " + policySample}
	return run(a, cmd, answering(kms.OpListEntitiesForPolicy, (*client.Client).ListEntitiesForPolicy), r, into(&r.PolicyARN),
		func(w io.Writer, answer *kms.ListEntitiesForPolicyAnswer) {
			cli.Row(w, "TYPE", "NAME", "ID", "ATTACHED", "BOUNDS")
			for _, some := range []struct {
				noun string
				all  []kms.PolicyEntity
			}{{"user", answer.Users}, {"group", answer.Groups}, {"role", answer.Roles}} {
				for _, e := range some.all {
					cli.Row(w, some.noun, e.Name, e.ID, e.Attached, e.Bounds)
				}
			}
		})
}

func versionTable(w io.Writer, versions ...kms.PolicyVersionEntry) {
	cli.Row(w, "VERSION", "DEFAULT", "CREATED")
	for _, v := range versions {
		cli.Row(w, v.VersionID, v.IsDefaultVersion, v.CreatedAt)
	}
}

func (a commands) versionCreate() *cobra.Command {
	r := &kms.CreatePolicyVersionRequest{}
	cmd := &cobra.Command{Use: "create POLICY-ARN [FILE]", Short: "Give a managed policy another document", Args: cli.Between(1, 2, "POLICY-ARN", "FILE"),
		Long:    "Makes a version of a managed policy from the JSON document in FILE or on standard input.",
		Example: "  lockstep policy version create " + policySample + " policy.json --set-default --wait all"}
	cmd.Flags().BoolVar(&r.SetAsDefault, "set-default", false, "make it the version that counts")
	return run(a, cmd, answering(kms.OpCreatePolicyVersion, (*client.Client).CreatePolicyVersion), r, func(args []string) (err error) {
		r.PolicyARN = args[0]
		r.PolicyDocument, err = a.Document(optional(args, 1))
		return err
	}, func(w io.Writer, answer *kms.PolicyVersionAnswer) { versionTable(w, answer.PolicyVersion) })
}

func (a commands) versionGet() *cobra.Command {
	r := &kms.GetPolicyVersionRequest{}
	cmd := &cobra.Command{Use: "get POLICY-ARN [VERSION]", Short: "Show the document of a managed policy", Args: cli.Between(1, 2, "POLICY-ARN", "VERSION"),
		Long:    "Shows the document of a version of a managed policy, or of the default one.",
		Example: "  lockstep policy version get " + policySample + " > policy.json\n  lockstep policy version get " + policySample + " v2"}
	return show(a, cmd, answering(kms.OpGetPolicyVersion, (*client.Client).GetPolicyVersion), r, func(args []string) error {
		r.PolicyARN, r.VersionID = args[0], optional(args, 1)
		return nil
	}, func(answer *kms.PolicyVersionAnswer) string { return answer.PolicyVersion.Document })
}

func (a commands) versionList() *cobra.Command {
	r := &kms.PolicyRequest{}
	cmd := &cobra.Command{Use: "list POLICY-ARN", Short: "List the versions of a managed policy", Example: "  lockstep policy version list " + policySample}
	return run(a, cmd, answering(kms.OpListPolicyVersions, (*client.Client).ListPolicyVersions), r, into(&r.PolicyARN),
		func(w io.Writer, answer *kms.ListPolicyVersionsAnswer) { versionTable(w, answer.Versions...) })
}

func (a commands) versionSetDefault() *cobra.Command {
	r := &kms.PolicyVersionRequest{}
	cmd := &cobra.Command{Use: "set-default POLICY-ARN VERSION", Short: "Make a version the one that counts",
		Example: "  lockstep policy version set-default " + policySample + " v1 --wait all"}
	return run(a, cmd, silent(kms.OpSetDefaultPolicyVersion, (*client.Client).SetDefaultPolicyVersion), r, into(&r.PolicyARN, &r.VersionID),
		say(func() string { return r.VersionID + " of " + r.PolicyARN + " counts." }))
}

func (a commands) versionDelete() *cobra.Command {
	r := &kms.PolicyVersionRequest{}
	cmd := &cobra.Command{Use: "delete POLICY-ARN VERSION", Short: "Delete a version that does not count",
		Example: "  lockstep policy version delete " + policySample + " v1"}
	return run(a, cmd, silent(kms.OpDeletePolicyVersion, (*client.Client).DeletePolicyVersion), r, into(&r.PolicyARN, &r.VersionID),
		say(func() string { return r.VersionID + " of " + r.PolicyARN + " is deleted." }))
}
