package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/kms"
)

func (a *app) alias() *cobra.Command {
	return a.clientFlags(group("alias", "Give keys other names", "An alias is a second, movable name of a key: alias/NAME.",
		a.aliasCreate(), a.aliasUpdate(), a.aliasDelete(), a.aliasList()))
}

func (a *app) aliasCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create alias/NAME KEY", Short: "Create an alias", Args: exactly("alias/NAME", "KEY"),
		Example: "  lockstep alias create alias/app 0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.writeOptions()
			if err != nil {
				return err
			}
			answer, err := c.CreateAlias(cmd.Context(), &kms.CreateAliasRequest{AliasName: args[0], TargetKeyID: args[1]}, opts...)
			if err != nil {
				return err
			}
			return a.printChanged(answer, meta, func(w io.Writer) { describeAlias(w, answer.Alias) })
		},
	}
	return calls(a.writeFlags(cmd), "CreateAlias")
}

func (a *app) aliasUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update alias/NAME KEY", Short: "Move an alias to another key", Args: exactly("alias/NAME", "KEY"),
		Example: "  lockstep alias update alias/app 6f1b7d0c-0f0a-4f4e-8a54-0d8f2c9f1e11 --wait all",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.writeOptions()
			if err != nil {
				return err
			}
			answer, err := c.UpdateAlias(cmd.Context(), &kms.UpdateAliasRequest{AliasName: args[0], TargetKeyID: args[1]}, opts...)
			if err != nil {
				return err
			}
			return a.printChanged(answer, meta, func(w io.Writer) { describeAlias(w, answer.Alias) })
		},
	}
	return calls(a.writeFlags(cmd), "UpdateAlias")
}

func (a *app) aliasDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete alias/NAME", Short: "Delete an alias; its key stays", Args: exactly("alias/NAME"),
		Example: "  lockstep alias delete alias/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.writeOptions()
			if err != nil {
				return err
			}
			if err := c.DeleteAlias(cmd.Context(), &kms.DeleteAliasRequest{AliasName: args[0]}, opts...); err != nil {
				return err
			}
			return a.printChanged(kms.Empty{}, meta, func(w io.Writer) { fmt.Fprintf(w, "%s is deleted.\n", args[0]) })
		},
	}
	return calls(a.writeFlags(cmd), "DeleteAlias")
}

func (a *app) aliasList() *cobra.Command {
	var r kms.ListAliasesRequest
	cmd := &cobra.Command{
		Use: "list", Short: "List aliases", Args: cobra.NoArgs,
		Example: "  lockstep alias list\n  lockstep alias list --key 0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			all := &kms.ListAliasesAnswer{Aliases: []kms.AliasEntry{}}
			err = pages(&r.Limit, &r.Marker, func() (string, error) {
				page, err := c.ListAliases(cmd.Context(), &r)
				if err != nil {
					return "", err
				}
				all.Aliases = append(all.Aliases, page.Aliases...)
				all.NextMarker = page.NextMarker
				return page.NextMarker, nil
			})
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) {
				row(w, "ALIAS", "KEY ID", "UPDATED")
				for _, e := range all.Aliases {
					row(w, e.AliasName, e.TargetKeyID, e.LastUpdatedDate)
				}
				moreLine(w, all.NextMarker)
			})
		},
	}
	cmd.Flags().StringVar(&r.KeyID, "key", "", "only aliases of this key")
	pageFlags(cmd, &r.Limit, &r.Marker)
	return calls(cmd, "ListAliases")
}

func describeAlias(w io.Writer, e kms.AliasEntry) {
	pairs(w, "ALIAS", e.AliasName, "KEY ID", e.TargetKeyID, "ARN", e.AliasARN, "CREATED", e.CreationDate, "UPDATED", e.LastUpdatedDate)
}
