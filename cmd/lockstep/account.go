package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) account() *cobra.Command {
	return a.ClientFlags(cli.Group("account", "Manage accounts (tenants)",
		"An account is a tenant: its keys and names are its own. Only the operator account's access keys may use these commands.",
		a.accountCreate(), a.accountList(), a.accountDisable()))
}

func (a commands) accountCreate() *cobra.Command {
	var r kms.CreateAccountRequest
	cmd := &cobra.Command{
		Use: "create", Short: "Create an account; prints its root access key, once", Args: cobra.NoArgs,
		Example: "  lockstep account create --name shop\n  lockstep account create --id 111122223333 --name shop -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).CreateAccount, &r, func(w io.Writer, answer *kms.CreateAccountAnswer) {
				cli.Pairs(w, "ACCOUNT", answer.Account.AccountID, "NAME", answer.Account.Name,
					"ACCESS KEY ID", answer.AccessKeyID, "SECRET ACCESS KEY", string(answer.SecretAccessKey))
			})
		},
	}
	cmd.Flags().StringVar(&r.AccountID, "id", "", "12-digit id (default: a random one)")
	cmd.Flags().StringVar(&r.Name, "name", "", "what people call it")
	return cli.Calls(a.WriteFlags(cmd), "CreateAccount")
}

func (a commands) accountList() *cobra.Command {
	var r kms.ListRequest
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list", Short: "List accounts", Args: cobra.NoArgs,
		Example: "  lockstep account list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.List(cmd.Context(), a.App, (*client.Client).ListAccounts, &r, page,
				func(all *kms.ListAccountsAnswer) (*[]kms.AccountEntry, *string) {
					return &all.Accounts, &all.NextMarker
				},
				func(w io.Writer, accounts []kms.AccountEntry) {
					cli.Row(w, "ACCOUNT", "NAME", "OPERATOR", "DISABLED", "CREATED")
					for _, e := range accounts {
						cli.Row(w, e.AccountID, e.Name, e.Operator, e.Disabled, e.CreatedAt)
					}
				})
		},
	}
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "ListAccounts")
}

func (a commands) accountDisable() *cobra.Command {
	cmd := &cobra.Command{
		Use: "disable ACCOUNT", Short: "Disable an account and all of its access keys", Args: cli.Exactly("ACCOUNT"),
		Example: "  lockstep account disable 111122223333 --wait all",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).DisableAccount, &kms.AccountRequest{AccountID: args[0]}, func(w io.Writer, answer *kms.AccountAnswer) {
				cli.Pairs(w, "ACCOUNT", answer.Account.AccountID, "NAME", answer.Account.Name, "DISABLED", answer.Account.Disabled)
			})
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "DisableAccount")
}

func (a commands) setting() *cobra.Command {
	return a.ClientFlags(cli.Group("setting", "Show and change replicated settings",
		"Settings that hold for the whole cluster. revocation_bound (1s to 1h) is how long a node that is cut off may go on honouring old rights.",
		a.settingGet(), a.settingPut()))
}

func describeSetting(w io.Writer, answer *kms.SettingAnswer) { cli.Row(w, answer.Name, answer.Value) }

func (a commands) settingGet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show a setting", Args: cli.Exactly("NAME"),
		Example: "  lockstep setting get revocation_bound",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).GetSetting, &kms.SettingRequest{Name: args[0]}, describeSetting)
		},
	}
	return cli.Calls(cmd, "GetSetting")
}

func (a commands) settingPut() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put NAME VALUE", Short: "Change a setting", Args: cli.Exactly("NAME", "VALUE"),
		Example: "  lockstep setting put revocation_bound 30s",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).PutSetting, &kms.PutSettingRequest{Name: args[0], Value: args[1]}, describeSetting)
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "PutSetting")
}

func (a commands) whoami() *cobra.Command {
	cmd := &cobra.Command{
		Use: "whoami", Short: "Say who the access key belongs to", Args: cobra.NoArgs,
		Example: "  lockstep whoami",
		RunE: func(cmd *cobra.Command, _ []string) error {
			identity := func(c *client.Client, ctx context.Context, _ *kms.Empty, opts ...client.Option) (*kms.CallerIdentityAnswer, error) {
				return c.GetCallerIdentity(ctx, opts...)
			}
			return cli.Run(cmd.Context(), a.App, identity, &kms.Empty{}, func(w io.Writer, answer *kms.CallerIdentityAnswer) {
				cli.Pairs(w, "ACCOUNT", answer.Account, "ARN", answer.ARN, "USER ID", answer.UserID)
			})
		},
	}
	return a.ClientFlags(cli.Calls(cmd, "GetCallerIdentity"))
}
