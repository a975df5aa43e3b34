package keycmd

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// policy is a group that does what its get does when it is given a key instead of a command.
func (a commands) policy() *cobra.Command {
	get := a.policyGet()
	cmd := &cobra.Command{
		Use: "policy KEY", Short: "Show or replace a key's policy", Args: get.Args, RunE: get.RunE,
		Long:    "Shows a key's policy, as 'lockstep key policy get' does, or replaces it.\n\n" + cli.KeyHelp,
		Example: "  lockstep key policy alias/app\n  lockstep key policy get alias/app",
	}
	cmd.AddCommand(get, a.policyPut(), a.policyList())
	return cli.Calls(cmd, "GetKeyPolicy")
}

func showPolicy(w io.Writer, answer *kms.GetKeyPolicyAnswer) { fmt.Fprintln(w, answer.Policy) }

func (a commands) policyGet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get KEY", Short: "Show a key's policy", Long: "Shows a key's policy.\n\n" + cli.KeyHelp, Args: cli.Exactly("KEY"),
		Example: "  lockstep key policy get alias/app > policy.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.RunRaw(cmd.Context(), a.App, (*client.Client).GetKeyPolicy, &kms.KeyRequest{KeyID: args[0]},
				func(answer *kms.GetKeyPolicyAnswer) []byte { return cli.Lines(answer.Policy) })
		},
	}
	return cli.Calls(cmd, "GetKeyPolicy")
}

func (a commands) policyPut() *cobra.Command {
	r := &kms.PutKeyPolicyRequest{}
	cmd := &cobra.Command{
		Use: "put KEY [FILE]", Short: "Replace a key's policy", Args: cli.Between(1, 2, "KEY", "FILE"),
		Long: "Replaces a key's policy by the JSON document in FILE or on standard input.\n\n" + cli.KeyHelp,
		Example: `  lockstep key policy put alias/app policy.json --wait all
  lockstep key policy put alias/app < policy.json`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			file := "-"
			if len(args) > 1 {
				file = args[1]
			}
			r.KeyID = args[0]
			if r.Policy, err = a.Document(file); err != nil {
				return err
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).PutKeyPolicy, r, showPolicy)
		},
	}
	lockoutFlag(cmd, &r.BypassPolicyLockoutSafetyCheck)
	return cli.Calls(a.WriteFlags(cmd), "PutKeyPolicy")
}

func (a commands) policyList() *cobra.Command {
	var r kms.KeyListRequest
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list KEY", Short: "List the names of a key's policies", Args: cli.Exactly("KEY"),
		Long:    "Lists the names of a key's policies. There is one: default.\n\n" + cli.KeyHelp,
		Example: "  lockstep key policy list alias/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			return cli.List(cmd.Context(), a.App, (*client.Client).ListKeyPolicies, &r, page,
				func(all *kms.ListKeyPoliciesAnswer) (*[]string, *string) { return &all.PolicyNames, &all.NextMarker },
				func(w io.Writer, names []string) {
					cli.Row(w, "POLICY")
					for _, name := range names {
						cli.Row(w, name)
					}
				})
		},
	}
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "ListKeyPolicies")
}

func (a commands) tags() *cobra.Command {
	return cli.Group("tags", "List, set and remove a key's tags; find keys by theirs", cli.KeyHelp+" Who may use a key can depend on its tags.",
		a.tagsList(), a.tagsAdd(), a.tagsRemove(), a.tagsFind())
}

func (a commands) tagsFind() *cobra.Command {
	var r kms.GetResourcesRequest
	page := cli.Page{Limit: &r.ResourcesPerPage, Marker: &r.PaginationToken}
	cmd := &cobra.Command{
		Use: "find [NAME[=VALUE]...]", Short: "Find keys by their tags", Args: cobra.ArbitraryArgs,
		Long: `Lists the keys that have every tag named, with the value if one is given; a name that is given
with several values finds each of them. Without a name it lists all keys that have tags. Keys whose tags
you may not list are left out.`,
		Example: "  lockstep key tags find team=payments stage\n  lockstep key tags find stage=test stage=staging",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.TagFilters = tagFilters(args)
			return cli.List(cmd.Context(), a.App, (*client.Client).GetResources, &r, page,
				func(all *kms.GetResourcesAnswer) (*[]kms.ResourceTagMapping, *string) {
					return &all.ResourceTagMappingList, &all.PaginationToken
				},
				func(w io.Writer, found []kms.ResourceTagMapping) {
					cli.Row(w, "KEY", "TAGS")
					for _, m := range found {
						tags := make(map[string]string, len(m.Tags))
						for _, t := range m.Tags {
							tags[t.Key] = t.Value
						}
						cli.Row(w, m.ResourceARN, cli.Context(tags))
					}
				})
		},
	}
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "GetResources")
}

// tagFilters makes one filter of each name, of the values that stand with it.
func tagFilters(args []string) (all []kms.TagFilter) {
	for _, arg := range args {
		name, value, valued := strings.Cut(arg, "=")
		i := slices.IndexFunc(all, func(f kms.TagFilter) bool { return f.Key == name })
		if i < 0 {
			i = len(all)
			all = append(all, kms.TagFilter{Key: name})
		}
		if valued {
			all[i].Values = append(all[i].Values, value)
		}
	}
	return all
}

func (a commands) tagsList() *cobra.Command {
	var r kms.KeyListRequest
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list KEY", Short: "List a key's tags", Args: cli.Exactly("KEY"),
		Example: "  lockstep key tags list alias/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			return cli.List(cmd.Context(), a.App, (*client.Client).ListResourceTags, &r, page,
				func(all *kms.ListResourceTagsAnswer) (*[]kms.Tag, *string) { return &all.Tags, &all.NextMarker },
				func(w io.Writer, tags []kms.Tag) {
					cli.Row(w, "NAME", "VALUE")
					for _, t := range tags {
						cli.Row(w, t.Key, t.Value)
					}
				})
		},
	}
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "ListResourceTags")
}

func (a commands) tagsAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add KEY NAME=VALUE...", Short: "Set tags of a key", Args: cli.AtLeast("KEY", "NAME=VALUE"),
		Long:    "Sets tags of a key; one of the same name is replaced.\n\n" + cli.KeyHelp,
		Example: "  lockstep key tags add alias/app team=payments stage=test",
		RunE: func(cmd *cobra.Command, args []string) error {
			tags, err := cli.ParseTags(args[1:])
			if err != nil {
				return err
			}
			return cli.Run(cmd.Context(), a.App, cli.Silent((*client.Client).TagResource), &kms.TagResourceRequest{KeyID: args[0], Tags: tags},
				func(w io.Writer, _ *kms.Empty) { fmt.Fprintf(w, "%s is tagged.\n", args[0]) })
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "TagResource")
}

func (a commands) tagsRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove KEY NAME...", Short: "Take tags off a key", Args: cli.AtLeast("KEY", "NAME"),
		Long:    "Takes tags off a key; a name that is not there is no error.\n\n" + cli.KeyHelp,
		Example: "  lockstep key tags remove alias/app stage",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, cli.Silent((*client.Client).UntagResource), &kms.UntagResourceRequest{KeyID: args[0], TagKeys: args[1:]},
				func(w io.Writer, _ *kms.Empty) { fmt.Fprintf(w, "%s does not have these tags.\n", args[0]) })
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "UntagResource")
}
