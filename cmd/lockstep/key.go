package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/kms"
)

const keyHelp = "KEY is a key id, key ARN, alias name (alias/NAME) or alias ARN."

func (a *app) key() *cobra.Command {
	return a.clientFlags(group("key", "Create and manage keys", keyHelp,
		a.keyCreate(), a.keyList(),
		a.oneKey("describe", "Describe a key", (*client.Client).DescribeKey, false, "DescribeKey"),
		a.oneKey("enable", "Enable a key", (*client.Client).EnableKey, true, "EnableKey"),
		a.oneKey("disable", "Disable a key: it does no cryptography until it is enabled", (*client.Client).DisableKey, true, "DisableKey"),
		a.keyPolicy(),
	))
}

func (a *app) keyCreate() *cobra.Command {
	var r kms.CreateKeyRequest
	var alias, policyFile string
	cmd := &cobra.Command{
		Use: "create", Short: "Create a key", Args: cobra.NoArgs,
		Example: `  lockstep key create --description "invoices" --alias alias/invoices
  lockstep key create -o json
  lockstep key create --idempotency-key order-4711   # repeating it creates nothing more`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if policyFile != "" {
				b, err := os.ReadFile(policyFile)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(b, &r.Policy); err != nil {
					return fmt.Errorf("%s is not a JSON object", policyFile)
				}
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.writeOptions()
			if err != nil {
				return err
			}
			answer, err := c.CreateKey(cmd.Context(), &r, opts...)
			if err != nil {
				return err
			}
			if alias != "" {
				if _, err := c.CreateAlias(cmd.Context(), &kms.CreateAliasRequest{AliasName: alias, TargetKeyID: answer.Key.KeyID}); err != nil {
					return fmt.Errorf("key %s was created, but its alias was not: %w", answer.Key.KeyID, err)
				}
			}
			return a.printChanged(answer, meta, func(w io.Writer) {
				describeKey(w, answer.Key)
				if alias != "" {
					row(w, "ALIAS", alias)
				}
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&alias, "alias", "", "also create this alias (alias/NAME) of the key")
	f.StringVar(&r.Description, "description", "", "what the key is for")
	f.StringVar((*string)(&r.KeySpec), "key-spec", "", "type of key material (default SYMMETRIC_DEFAULT)")
	f.StringVar((*string)(&r.KeyUsage), "key-usage", "", "what the key is for (default ENCRYPT_DECRYPT)")
	f.StringVar((*string)(&r.Origin), "origin", "", "where the material comes from (default AWS_KMS: made by the node)")
	f.BoolVar(&r.MultiRegion, "multi-region", false, "make a multi-region key")
	f.StringToStringVar(&r.Tags, "tag", nil, "tag as NAME=VALUE, repeatable")
	f.StringVar(&policyFile, "policy", "", "JSON file with the key policy (default: the account decides)")
	return calls(a.writeFlags(cmd), "CreateKey")
}

func (a *app) keyList() *cobra.Command {
	var r kms.ListRequest
	cmd := &cobra.Command{
		Use: "list", Short: "List keys", Args: cobra.NoArgs,
		Example: "  lockstep key list\n  lockstep key list --limit 10 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			all := &kms.ListKeysAnswer{Keys: []kms.KeyEntry{}}
			err = pages(&r.Limit, &r.Marker, func() (string, error) {
				page, err := c.ListKeys(cmd.Context(), &r)
				if err != nil {
					return "", err
				}
				all.Keys = append(all.Keys, page.Keys...)
				all.NextMarker = page.NextMarker
				return page.NextMarker, nil
			})
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) {
				row(w, "KEY ID", "ARN")
				for _, k := range all.Keys {
					row(w, k.KeyID, k.ARN)
				}
				moreLine(w, all.NextMarker)
			})
		},
	}
	pageFlags(cmd, &r.Limit, &r.Marker)
	return calls(cmd, "ListKeys")
}

// pageFlags gives a listing its flags.
func pageFlags(cmd *cobra.Command, limit *int, marker *string) {
	cmd.Flags().IntVar(limit, "limit", 0, "show at most this many (default: all)")
	cmd.Flags().StringVar(marker, "marker", "", "go on where a listing with --limit ended")
}

// pages calls page until it answers no marker, or once when a limit is given.
func pages(limit *int, marker *string, page func() (string, error)) error {
	once := *limit > 0
	for {
		next, err := page()
		if err != nil || next == "" || once {
			return err
		}
		*marker = next
	}
}

func moreLine(w io.Writer, marker string) {
	if marker != "" {
		fmt.Fprintf(w, "There is more: --marker %s\n", marker)
	}
}

type keyCall = func(*client.Client, context.Context, *kms.KeyRequest, ...client.Option) (*kms.KeyAnswer, error)

// oneKey is a command that takes one key and answers it.
func (a *app) oneKey(name, short string, call keyCall, writes bool, operation string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " KEY", Short: short, Long: short + ".\n\n" + keyHelp, Args: exactly("KEY"),
		Example: fmt.Sprintf("  lockstep key %s alias/app\n  lockstep key %s 0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55 -o json", name, name),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.writeOptions()
			if err != nil {
				return err
			}
			answer, err := call(c, cmd.Context(), &kms.KeyRequest{KeyID: args[0]}, opts...)
			if err != nil {
				return err
			}
			return a.printChanged(answer, meta, func(w io.Writer) { describeKey(w, answer.Key) })
		},
	}
	if writes {
		a.writeFlags(cmd)
	}
	return calls(cmd, operation)
}

func describeKey(w io.Writer, k kms.KeyMetadata) {
	pairs(w, "KEY ID", k.KeyID, "ARN", k.ARN, "STATE", k.KeyState, "SPEC", k.KeySpec, "USAGE", k.KeyUsage,
		"ORIGIN", k.Origin, "DESCRIPTION", k.Description, "CREATED", k.CreatedAt)
}

func (a *app) keyPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy KEY", Short: "Show a key's policy", Long: "Shows a key's policy.\n\n" + keyHelp, Args: exactly("KEY"),
		Example: "  lockstep key policy alias/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			answer, err := c.GetKeyPolicy(cmd.Context(), &kms.KeyRequest{KeyID: args[0]})
			if err != nil {
				return err
			}
			return a.print(answer, func(w io.Writer) { fmt.Fprintln(w, answer.Policy) })
		},
	}
	return calls(cmd, "GetKeyPolicy")
}
