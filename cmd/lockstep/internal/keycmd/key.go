// Package keycmd holds the commands that make and manage keys: their lifecycle, names, policies, tags,
// rotation, imported material, regions, grants and key stores.
//
// It promises that material which is imported leaves this machine wrapped only, and is written nowhere. The
// invariant that would hurt: a command that destroys or revokes names one key and asks for one operation.
package keycmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// commands makes the commands of this package.
type commands struct{ *cli.App }

// Commands returns 'lockstep key', 'lockstep alias', 'lockstep grant' and 'lockstep custom-key-store'.
func Commands(a *cli.App) []*cobra.Command {
	c := commands{a}
	return []*cobra.Command{a.ClientFlags(c.key()), a.ClientFlags(c.alias()), a.ClientFlags(c.grant()), a.ClientFlags(c.store())}
}

func (a commands) key() *cobra.Command {
	return cli.Group("key", "Create and manage keys", cli.KeyHelp,
		a.create(), a.list(),
		a.oneKey("describe", "Describe a key", describeOne, false, "DescribeKey"),
		a.lastUsage(), a.updateDescription(),
		a.oneKey("enable", "Enable a key", (*client.Client).EnableKey, true, "EnableKey"),
		a.oneKey("disable", "Disable a key: it does no cryptography until it is enabled", (*client.Client).DisableKey, true, "DisableKey"),
		a.scheduleDeletion(),
		a.oneKey("cancel-deletion", "Keep a key that was to be deleted; it is disabled then", (*client.Client).CancelKeyDeletion, true, "CancelKeyDeletion"),
		a.policy(), a.tags(),
		a.oneKey("rotate", "Give a key new material now; older ciphertexts stay readable", (*client.Client).RotateKeyOnDemand, true, "RotateKeyOnDemand"),
		a.rotation(), a.publicKey(),
		a.importMaterial(), a.importParameters(), a.importWrapped(), a.deleteMaterial(),
		a.replicate(), a.updatePrimaryRegion(),
	)
}

func (a commands) create() *cobra.Command {
	var r kms.CreateKeyRequest
	var alias, policyFile string
	cmd := &cobra.Command{
		Use: "create", Short: "Create a key", Args: cobra.NoArgs,
		Example: `  lockstep key create --description "invoices" --alias alias/invoices
  lockstep key create --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY
  lockstep key create --origin EXTERNAL   # 'lockstep key import' gives it your own material
  lockstep key create -o json
  lockstep key create --idempotency-key order-4711   # repeating it creates nothing more`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if policyFile != "" {
				if r.Policy, err = a.Document(policyFile); err != nil {
					return err
				}
			}
			c, err := a.Connect()
			if err != nil {
				return err
			}
			opts, meta, err := a.WriteOptions()
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
			return a.PrintChanged(answer, meta, func(w io.Writer) {
				describeKey(w, answer)
				cli.Given(w, "ALIAS", alias)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&alias, "alias", "", "also create this alias (alias/NAME) of the key")
	f.StringVar(&r.Description, "description", "", "what the key is for")
	cli.WordVar(cmd, &r.KeySpec, "key-spec", kms.KeySpecs, "type of key material (default SYMMETRIC_DEFAULT)")
	cli.WordVar(cmd, &r.KeyUsage, "key-usage", kms.KeyUsages, "what the key is for (default ENCRYPT_DECRYPT, for symmetric keys)")
	cli.WordVar(cmd, &r.Origin, "origin", kms.Origins, "where the material comes from (default AWS_KMS: made by the node; EXTERNAL: imported)")
	f.BoolVar(&r.MultiRegion, "multi-region", false, "make a multi-Region primary key")
	f.StringToStringVar(&r.Tags, "tag", nil, "tag as NAME=VALUE, repeatable")
	f.StringVar(&policyFile, "policy", "", "JSON file with the key policy (default: the account decides)")
	lockoutFlag(cmd, &r.BypassPolicyLockoutSafetyCheck)
	return cli.Calls(a.WriteFlags(cmd), "CreateKey")
}

func lockoutFlag(cmd *cobra.Command, bypass *bool) {
	cmd.Flags().BoolVar(bypass, "bypass-policy-lockout-safety-check", false, "accept a policy that keeps you from changing it again")
}

func (a commands) list() *cobra.Command {
	var r kms.ListRequest
	page := cli.Page{Limit: &r.Limit, Marker: &r.Marker}
	cmd := &cobra.Command{
		Use: "list", Short: "List keys", Args: cobra.NoArgs,
		Example: "  lockstep key list\n  lockstep key list --limit 10 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.List(cmd.Context(), a.App, (*client.Client).ListKeys, &r, page,
				func(all *kms.ListKeysAnswer) (*[]kms.KeyEntry, *string) { return &all.Keys, &all.NextMarker },
				func(w io.Writer, keys []kms.KeyEntry) {
					cli.Row(w, "KEY ID", "ARN")
					for _, k := range keys {
						cli.Row(w, k.KeyID, k.ARN)
					}
				})
		},
	}
	cli.PageFlags(cmd, page)
	return cli.Calls(cmd, "ListKeys")
}

// oneKey is a command that takes one key and answers it.
func (a commands) oneKey(name, short string, method cli.Method[kms.KeyRequest, kms.KeyAnswer], writes bool, operation string) *cobra.Command {
	cmd := &cobra.Command{
		Use: name + " KEY", Short: short, Long: short + ".\n\n" + cli.KeyHelp, Args: cli.Exactly("KEY"),
		Example: fmt.Sprintf("  lockstep key %s alias/app\n  lockstep key %s 0b2c6c1e-4f57-4f0e-9d3a-3e1d6b0a7c55 -o json", name, name),
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, method, &kms.KeyRequest{KeyID: args[0]}, describeKey)
		},
	}
	if writes {
		a.WriteFlags(cmd)
	}
	return cli.Calls(cmd, operation)
}

// describeOne is DescribeKey without grant tokens, which nobody needs here.
func describeOne(c *client.Client, ctx context.Context, r *kms.KeyRequest, opts ...client.Option) (*kms.KeyAnswer, error) {
	return c.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: r.KeyID}, opts...)
}

func describeKey(w io.Writer, answer *kms.KeyAnswer) {
	k := &answer.Key
	cli.Pairs(w, "KEY ID", k.KeyID, "ARN", k.ARN, "STATE", k.KeyState, "SPEC", k.KeySpec, "USAGE", k.KeyUsage,
		"ORIGIN", k.Origin, "DESCRIPTION", k.Description, "CREATED", k.CreatedAt)
	cli.Given(w, "ALGORITHMS", algorithms(k), "MATERIAL", k.CurrentKeyMaterialID, "MATERIAL EXPIRES", k.ValidTo,
		"DELETED ON", k.DeletionDate, "DELETION WINDOW", days(int(k.PendingDeletionWindowInDays)))
	if k.KeyManager == kms.ManagerAWS {
		cli.Row(w, "MANAGED BY", "the account's alias/aws name")
	}
	if m := k.MultiRegionConfiguration; m != nil {
		cli.Pairs(w, "MULTI-REGION", m.MultiRegionKeyType, "PRIMARY KEY", m.PrimaryKey.ARN)
		for _, r := range m.ReplicaKeys {
			cli.Row(w, "REPLICA KEY", r.ARN)
		}
	}
	if k.LastUse != nil {
		cli.Row(w, "LAST USE", use(k.LastUse))
	}
	for i := range k.RecentCallers {
		cli.Row(w, "CALLER", use(&k.RecentCallers[i]))
	}
}

// algorithms lists those of the key's usage.
func algorithms(k *kms.KeyMetadata) string {
	return cli.Words(k.EncryptionAlgorithms) + cli.Words(k.SigningAlgorithms) + cli.Words(k.MacAlgorithms) +
		cli.Words(k.KeyAgreementAlgorithms) + cli.Words(k.EncapsulationAlgorithms)
}

func days(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d days", n)
}

// use says when a key was used, how and by whom.
func use(u *kms.UseEntry) string {
	text := u.At.UTC().Format("2006-01-02T15:04:05Z07:00") + " " + u.Operation
	if u.PrincipalARN != "" {
		text += " by " + u.PrincipalARN
	}
	return text
}

func (a commands) lastUsage() *cobra.Command {
	cmd := &cobra.Command{
		Use: "last-usage KEY", Short: "Say when, how and by whom a key was last used", Args: cli.Exactly("KEY"),
		Long: `Says when a key was last used by each operation, and who used it of late: what disabling or deleting it
would stop.

` + cli.KeyHelp,
		Example: "  lockstep key last-usage alias/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).GetKeyLastUsage, &kms.KeyRequest{KeyID: args[0]}, func(w io.Writer, u *kms.KeyLastUsageAnswer) {
				cli.Pairs(w, "KEY ARN", u.KeyID, "CREATED", u.KeyCreationDate, "TRACKED SINCE", u.TrackingStartDate)
				if u.LastUse == nil {
					cli.Row(w, "LAST USE", "none")
				} else {
					cli.Row(w, "LAST USE", use(u.LastUse))
				}
				for i := range u.Operations {
					cli.Row(w, "OPERATION", use(&u.Operations[i]))
				}
				for i := range u.RecentCallers {
					cli.Row(w, "CALLER", use(&u.RecentCallers[i]))
				}
				if u.SilentNodes > 0 {
					cli.Row(w, "NODES SILENT", u.SilentNodes)
				}
			})
		},
	}
	return cli.Calls(cmd, "GetKeyLastUsage")
}

func (a commands) updateDescription() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update-description KEY TEXT", Short: "Replace a key's description", Args: cli.Exactly("KEY", "TEXT"),
		Long:    "Replaces a key's description.\n\n" + cli.KeyHelp,
		Example: "  lockstep key update-description alias/app invoices",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).UpdateKeyDescription,
				&kms.UpdateKeyDescriptionRequest{KeyID: args[0], Description: args[1]}, describeKey)
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "UpdateKeyDescription")
}

func (a commands) scheduleDeletion() *cobra.Command {
	var window int
	cmd := &cobra.Command{
		Use: "schedule-deletion KEY", Short: "Have a key destroyed after a waiting time", Args: cli.Exactly("KEY"),
		Long: `Has a key destroyed after 7 to 30 days, and what it encrypted with it. Meanwhile it does no cryptography;
'lockstep key cancel-deletion' keeps it. The answer says who used the key of late.

` + cli.KeyHelp,
		Example: "  lockstep key schedule-deletion alias/app\n  lockstep key schedule-deletion alias/app --days 7 --wait all",
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &kms.ScheduleKeyDeletionRequest{KeyID: args[0]}
			if cmd.Flags().Changed("days") {
				r.PendingWindowInDays = &window
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).ScheduleKeyDeletion, r, describeKey)
		},
	}
	cmd.Flags().IntVar(&window, "days", 30, "days to wait, 7 to 30")
	return cli.Calls(a.WriteFlags(cmd), "ScheduleKeyDeletion")
}

func (a commands) replicate() *cobra.Command {
	r := &kms.ReplicateKeyRequest{}
	var policyFile string
	cmd := &cobra.Command{
		Use: "replicate KEY REGION", Short: "Make a replica of a multi-Region key in another region", Args: cli.Exactly("KEY", "REGION"),
		Long: `Makes a replica of a multi-Region primary key in another region that the cluster serves. It has the same id
and material, and a policy and tags of its own.

` + cli.KeyHelp,
		Example: "  lockstep key replicate alias/app eu-west-1 --description invoices",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.KeyID, r.ReplicaRegion = args[0], args[1]
			if policyFile != "" {
				if r.Policy, err = a.Document(policyFile); err != nil {
					return err
				}
			}
			return cli.Run(cmd.Context(), a.App, (*client.Client).ReplicateKey, r, func(w io.Writer, answer *kms.ReplicateKeyAnswer) {
				describeKey(w, &kms.KeyAnswer{Key: answer.Key})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Description, "description", "", "what the replica is for")
	f.StringToStringVar(&r.Tags, "tag", nil, "tag as NAME=VALUE, repeatable")
	f.StringVar(&policyFile, "policy", "", "JSON file with the replica's policy (default: the account decides)")
	lockoutFlag(cmd, &r.BypassPolicyLockoutSafetyCheck)
	return cli.Calls(a.WriteFlags(cmd), "ReplicateKey")
}

func (a commands) updatePrimaryRegion() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update-primary-region KEY REGION", Short: "Make the replica in a region the primary key", Args: cli.Exactly("KEY", "REGION"),
		Long:    "Makes the replica in REGION the primary key of a multi-Region key; the primary key becomes a replica.\n\n" + cli.KeyHelp,
		Example: "  lockstep key update-primary-region alias/app eu-west-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			return cli.Run(cmd.Context(), a.App, (*client.Client).UpdatePrimaryRegion,
				&kms.UpdatePrimaryRegionRequest{KeyID: args[0], PrimaryRegion: args[1]}, describeKey)
		},
	}
	return cli.Calls(a.WriteFlags(cmd), "UpdatePrimaryRegion")
}
