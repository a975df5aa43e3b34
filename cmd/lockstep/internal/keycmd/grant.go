package keycmd

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) grant() *cobra.Command {
	return cli.Group("grant", "Let principals use a key, beside its policy",
		"A grant lets one principal do some operations with one key until it is retired or revoked.\n\n"+cli.KeyHelp,
		a.grantCreate(), a.grantList(), a.grantListRetirable(), a.grantRetire(), a.grantRevoke())
}

func (a commands) grantCreate() *cobra.Command {
	r := &kms.CreateGrantRequest{}
	var operations, equals, subset []string
	cmd := &cobra.Command{
		Use: "create KEY", Short: "Let a principal use a key", Args: cli.Exactly("KEY"),
		Long: `Lets a principal use a key. The same --name and parameters make one grant, however often. The answer
holds a token: whoever gives it with --grant-token can use the grant at once.

` + cli.KeyHelp,
		Example: `  lockstep grant create alias/app --grantee arn:aws:iam::111122223333:user/ann --operation Encrypt --operation Decrypt
  lockstep grant create alias/app --grantee arn:aws:iam::111122223333:user/ann --operation Decrypt --context-subset purpose=backup`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			for _, o := range operations {
				r.Operations = append(r.Operations, kms.GrantOperation(o))
			}
			var c kms.GrantConstraints
			var err error
			if c.EncryptionContextEquals, err = cli.ParseContext(equals); err != nil {
				return err
			}
			if c.EncryptionContextSubset, err = cli.ParseContext(subset); err != nil {
				return err
			}
			if c.EncryptionContextEquals != nil || c.EncryptionContextSubset != nil {
				r.Constraints = &c
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).CreateGrant, r, func(w io.Writer, answer *kms.CreateGrantAnswer) {
				cli.Pairs(w, "GRANT ID", answer.GrantID, "GRANT TOKEN", answer.GrantToken)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.GranteePrincipal, "grantee", "", "ARN of the principal that may use the key")
	f.StringSliceVar(&operations, "operation", nil, "what it may do, as AWS KMS spells it, repeatable")
	cli.Complete(cmd, "operation", kms.GrantOperations)
	f.StringVar(&r.RetiringPrincipal, "retiring", "", "ARN of a principal that may retire the grant")
	f.StringVar(&r.Name, "name", "", "name, so that repeating the command makes no other grant")
	f.StringArrayVar(&equals, "context-equals", nil, "only with exactly this encryption context, NAME=VALUE, repeatable")
	f.StringArrayVar(&subset, "context-subset", nil, "only with an encryption context that has this, NAME=VALUE, repeatable")
	_ = cmd.MarkFlagRequired("grantee")
	_ = cmd.MarkFlagRequired("operation")
	cli.GrantTokenVar(cmd, &r.GrantTokens)
	cli.DryRunVar(cmd, &r.DryRun)
	return cli.Calls(a.WriteFlags(cmd), "CreateGrant")
}

func grantParts(all *kms.ListGrantsAnswer) (*[]kms.GrantEntry, *string) {
	return &all.Grants, &all.NextMarker
}

func grantTable(w io.Writer, grants []kms.GrantEntry) {
	cli.Row(w, "GRANT ID", "KEY ARN", "GRANTEE", "RETIRED BY", "OPERATIONS", "CONSTRAINT", "NAME", "CREATED")
	for _, g := range grants {
		constraint := ""
		if c := g.Constraints; c != nil && c.EncryptionContextEquals != nil {
			constraint = "equals " + cli.Context(c.EncryptionContextEquals)
		} else if c != nil {
			constraint = "subset " + cli.Context(c.EncryptionContextSubset)
		}
		cli.Row(w, g.GrantID, g.KeyID, g.GranteePrincipal, g.RetiringPrincipal, cli.Words(g.Operations), constraint, g.Name, g.CreationDate)
	}
}

func (a commands) grantList() *cobra.Command {
	var r kms.ListGrantsRequest
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list KEY", Short: "List the grants of a key", Args: cli.Exactly("KEY"),
		Example: "  lockstep grant list alias/app\n  lockstep grant list alias/app --grantee arn:aws:iam::111122223333:user/ann -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID = args[0]
			return cli.List(cmd.Context(), a.App, (*client.Client).ListGrants, &r, page, grantParts, grantTable)
		},
	}
	cmd.Flags().StringVar(&r.GrantID, "id", "", "only the grant of this id")
	cmd.Flags().StringVar(&r.GranteePrincipal, "grantee", "", "only grants to the principal of this ARN")
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "ListGrants")
}

func (a commands) grantListRetirable() *cobra.Command {
	var r kms.ListRetirableGrantsRequest
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list-retirable PRINCIPAL", Short: "List the grants that a principal may retire", Args: cli.Exactly("PRINCIPAL"),
		Long:    "Lists the grants that name PRINCIPAL, an ARN, as who may retire them.",
		Example: "  lockstep grant list-retirable arn:aws:iam::111122223333:user/ann",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.RetiringPrincipal = args[0]
			return cli.List(cmd.Context(), a.App, (*client.Client).ListRetirableGrants, &r, page, grantParts, grantTable)
		},
	}
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "ListRetirableGrants")
}

func (a commands) grantRetire() *cobra.Command {
	r := &kms.RetireGrantRequest{}
	cmd := &cobra.Command{
		Use: "retire", Short: "End a grant that you hold or may retire", Args: cobra.NoArgs,
		Long: "Ends a grant, named by its token or by the key's ARN and the grant's id. For who was named to retire it, and for its grantee if it allows RetireGrant.",
		Example: `  lockstep grant retire --token AQpAM2RhZ...
  lockstep grant retire --key arn:aws:kms:us-east-1:000000000000:key/0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55 --id 5f0e...`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (r.GrantToken != "") == (r.KeyID != "" || r.GrantID != "") || (r.KeyID != "") != (r.GrantID != "") {
				return cli.Misuse("a grant is named by --token, or by --key and --id")
			}
			return cli.Run(cmd.Context(), a.App, cli.Silent((*client.Client).RetireGrant), r,
				func(w io.Writer, _ *kms.Empty) { fmt.Fprintln(w, "The grant is retired.") })
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.GrantToken, "token", "", "the grant's token")
	f.StringVar(&r.KeyID, "key", "", "ARN of the key, with --id")
	f.StringVar(&r.GrantID, "id", "", "the grant's id, with --key")
	cli.DryRunVar(cmd, &r.DryRun)
	return cli.Calls(a.WriteFlags(cmd), "RetireGrant")
}

func (a commands) grantRevoke() *cobra.Command {
	r := &kms.RevokeGrantRequest{}
	cmd := &cobra.Command{
		Use: "revoke KEY GRANT-ID", Short: "End a grant of a key", Args: cli.Exactly("KEY", "GRANT-ID"),
		Long:    "Ends a grant of a key, for who manages the key.\n\n" + cli.KeyHelp,
		Example: "  lockstep grant revoke alias/app 5f0e... --wait all",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.KeyID, r.GrantID = args[0], args[1]
			return cli.Run(cmd.Context(), a.App, cli.Silent((*client.Client).RevokeGrant), r,
				func(w io.Writer, _ *kms.Empty) { fmt.Fprintln(w, "The grant is revoked.") })
		},
	}
	cli.DryRunVar(cmd, &r.DryRun)
	return cli.Calls(a.WriteFlags(cmd), "RevokeGrant")
}
