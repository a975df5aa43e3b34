package keycmd

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) alias() *cobra.Command {
	return cli.Group("alias", "Give keys other names", "An alias is a second, movable name of a key: alias/NAME.",
		a.aliasCreate(), a.aliasUpdate(), a.aliasDelete(), a.aliasList())
}

func (a commands) aliasCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create alias/NAME KEY", Short: "Create an alias", Args: cli.Exactly("alias/NAME", "KEY"),
		Example: "  lockstep alias create alias/app 0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).CreateAlias, &kms.CreateAliasRequest{AliasName: args[0], TargetKeyID: args[1]}, describeAlias)
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "CreateAlias")
}

func (a commands) aliasUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update alias/NAME KEY", Short: "Move an alias to another key", Args: cli.Exactly("alias/NAME", "KEY"),
		Example: "  lockstep alias update alias/app 6f1b7d0c-0f0a-4f4e-8a54-0d8f2c9f1e11 --wait all",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).UpdateAlias, &kms.UpdateAliasRequest{AliasName: args[0], TargetKeyID: args[1]}, describeAlias)
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "UpdateAlias")
}

func (a commands) aliasDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete alias/NAME", Short: "Delete an alias; its key stays", Args: cli.Exactly("alias/NAME"),
		Example: "  lockstep alias delete alias/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, cli.Silent((*client.Client).DeleteAlias), &kms.DeleteAliasRequest{AliasName: args[0]},
				func(w io.Writer, _ *kms.Empty) { fmt.Fprintf(w, "%s is deleted.\n", args[0]) })
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "DeleteAlias")
}

func (a commands) aliasList() *cobra.Command {
	var r kms.ListAliasesRequest
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list", Short: "List aliases", Args: cobra.NoArgs,
		Example: "  lockstep alias list\n  lockstep alias list --key 0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.List(cmd.Context(), a.App, (*client.Client).ListAliases, &r, page,
				func(all *kms.ListAliasesAnswer) (*[]kms.AliasEntry, *string) { return &all.Aliases, &all.NextMarker },
				func(w io.Writer, aliases []kms.AliasEntry) {
					cli.Row(w, "ALIAS", "KEY ID", "UPDATED")
					for _, e := range aliases {
						cli.Row(w, e.AliasName, e.TargetKeyID, e.LastUpdatedDate)
					}
				})
		},
	}
	cmd.Flags().StringVar(&r.KeyID, "key", "", "only aliases of this key")
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "ListAliases")
}

func describeAlias(w io.Writer, answer *kms.AliasAnswer) {
	e := &answer.Alias
	cli.Pairs(w, "ALIAS", e.AliasName, "KEY ID", e.TargetKeyID, "ARN", e.AliasARN, "CREATED", e.CreationDate, "UPDATED", e.LastUpdatedDate)
}
