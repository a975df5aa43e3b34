package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/kms"
)

func (a *app) account() *cobra.Command {
	return a.clientFlags(group("account", "Manage accounts (tenants)",
		"An account is a tenant: its keys and names are its own. Only the operator account's access keys may use these commands.",
		a.accountCreate(), a.accountList(), a.accountDisable()))
}

func (a *app) accountCreate() *cobra.Command {
	var r kms.CreateAccountRequest
	cmd := &cobra.Command{
		Use: "create", Short: "Create an account; prints its root access key, once", Args: cobra.NoArgs,
		Example: "  lockstep account create --name shop\n  lockstep account create --id 111122223333 --name shop -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.writeOptions()
			if err != nil {
				return err
			}
			answer, err := c.CreateAccount(cmd.Context(), &r, opts...)
			if err != nil {
				return err
			}
			return a.printChanged(answer, meta, func(w io.Writer) {
				pairs(w, "ACCOUNT", answer.Account.AccountID, "NAME", answer.Account.Name,
					"ACCESS KEY ID", answer.AccessKeyID, "SECRET ACCESS KEY", string(answer.SecretAccessKey))
			})
		},
	}
	cmd.Flags().StringVar(&r.AccountID, "id", "", "12-digit id (default: a random one)")
	cmd.Flags().StringVar(&r.Name, "name", "", "what people call it")
	return calls(a.writeFlags(cmd), "CreateAccount")
}

func (a *app) accountList() *cobra.Command {
	var r kms.ListRequest
	cmd := &cobra.Command{
		Use: "list", Short: "List accounts", Args: cobra.NoArgs,
		Example: "  lockstep account list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			all := &kms.ListAccountsAnswer{Accounts: []kms.AccountEntry{}}
			err = pages(&r.Limit, &r.Marker, func() (string, error) {
				page, err := c.ListAccounts(cmd.Context(), &r)
				if err != nil {
					return "", err
				}
				all.Accounts = append(all.Accounts, page.Accounts...)
				all.NextMarker = page.NextMarker
				return page.NextMarker, nil
			})
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) {
				row(w, "ACCOUNT", "NAME", "OPERATOR", "DISABLED", "CREATED")
				for _, e := range all.Accounts {
					row(w, e.AccountID, e.Name, e.Operator, e.Disabled, e.CreatedAt)
				}
				moreLine(w, all.NextMarker)
			})
		},
	}
	pageFlags(cmd, &r.Limit, &r.Marker)
	return calls(cmd, "ListAccounts")
}

func (a *app) accountDisable() *cobra.Command {
	cmd := &cobra.Command{
		Use: "disable ACCOUNT", Short: "Disable an account and all of its access keys", Args: exactly("ACCOUNT"),
		Example: "  lockstep account disable 111122223333 --wait all",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.writeOptions()
			if err != nil {
				return err
			}
			answer, err := c.DisableAccount(cmd.Context(), &kms.AccountRequest{AccountID: args[0]}, opts...)
			if err != nil {
				return err
			}
			return a.printChanged(answer, meta, func(w io.Writer) {
				pairs(w, "ACCOUNT", answer.Account.AccountID, "NAME", answer.Account.Name, "DISABLED", answer.Account.Disabled)
			})
		},
	}
	return calls(a.writeFlags(cmd), "DisableAccount")
}

func (a *app) setting() *cobra.Command {
	return a.clientFlags(group("setting", "Show and change replicated settings",
		"Settings that hold for the whole cluster. revocation_bound (1s to 1h) is how long a node that is cut off may go on honouring old rights.",
		a.settingGet(), a.settingPut()))
}

func (a *app) settingGet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show a setting", Args: exactly("NAME"),
		Example: "  lockstep setting get revocation_bound",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			answer, err := c.GetSetting(cmd.Context(), &kms.SettingRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) { row(w, answer.Name, answer.Value) })
		},
	}
	return calls(cmd, "GetSetting")
}

func (a *app) settingPut() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put NAME VALUE", Short: "Change a setting", Args: exactly("NAME", "VALUE"),
		Example: "  lockstep setting put revocation_bound 30s",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.writeOptions()
			if err != nil {
				return err
			}
			answer, err := c.PutSetting(cmd.Context(), &kms.PutSettingRequest{Name: args[0], Value: args[1]}, opts...)
			if err != nil {
				return err
			}
			return a.printChanged(answer, meta, func(w io.Writer) { row(w, answer.Name, answer.Value) })
		},
	}
	return calls(a.writeFlags(cmd), "PutSetting")
}

func (a *app) whoami() *cobra.Command {
	cmd := &cobra.Command{
		Use: "whoami", Short: "Say who the access key belongs to", Args: cobra.NoArgs,
		Example: "  lockstep whoami",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			answer, err := c.GetCallerIdentity(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) { pairs(w, "ACCOUNT", answer.Account, "ARN", answer.ARN, "USER ID", answer.UserID) })
		},
	}
	return a.clientFlags(calls(cmd, "GetCallerIdentity"))
}
