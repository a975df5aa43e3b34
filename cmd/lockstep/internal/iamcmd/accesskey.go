package iamcmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) accessKey() *cobra.Command {
	return cli.Group("access-key", "Manage the access keys of users",
		`An access key is the id and the secret with which a user signs requests. A user has two at most, so that one can
replace the other: create the second, use it, deactivate the first, delete it. With --root instead of a user's
name they are those of the account's root.`,
		a.accessKeyCreate(), a.accessKeyList(),
		a.accessKeyStatus("activate", "Make an access key usable again", kms.AccessKeyActive),
		a.accessKeyStatus("deactivate", "Make an access key unusable until it is activated", kms.AccessKeyInactive),
		a.accessKeyDelete(), a.accessKeyLastUsed())
}

// ofUser gives cmd --root, and the arguments USER and names, without USER when --root is given.
func ofUser(cmd *cobra.Command, names ...string) {
	root := cmd.Flags().Bool("root", false, "of the account's root instead of a user")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if *root {
			return cli.Exactly(names...)(cmd, args)
		}
		return cli.Exactly(append([]string{"USER"}, names...)...)(cmd, args)
	}
}

// ofUserInto fills a request of a command with ofUser.
func ofUserInto(cmd *cobra.Command, user *string, to ...*string) func([]string) error {
	return func(args []string) error {
		if root, _ := cmd.Flags().GetBool("root"); root {
			args = append([]string{kms.RootName}, args...)
		}
		return into(append([]*string{user}, to...)...)(args)
	}
}

func (a commands) accessKeyCreate() *cobra.Command {
	r := &kms.IdentityRequest{}
	cmd := &cobra.Command{Use: "create USER", Short: "Create an access key; prints its secret, once",
		Example: "  lockstep access-key create ann\n  lockstep access-key create --root -o json"}
	ofUser(cmd)
	return run(a, cmd, answering(kms.OpCreateAccessKey, (*client.Client).CreateAccessKey), r, ofUserInto(cmd, &r.Name),
		func(w io.Writer, answer *kms.AccessKeyAnswer) {
			describeAccessKey(w, answer)
			cli.Row(w, "SECRET ACCESS KEY", string(answer.SecretAccessKey))
		})
}

func describeAccessKey(w io.Writer, answer *kms.AccessKeyAnswer) {
	k := &answer.AccessKey
	cli.Pairs(w, "ACCESS KEY ID", k.AccessKeyID, "USER", k.UserName, "STATUS", k.Status, "CREATED", k.CreatedAt)
}

func (a commands) accessKeyList() *cobra.Command {
	r := &kms.IdentityRequest{}
	cmd := &cobra.Command{Use: "list USER", Short: "List the access keys of a user",
		Example: "  lockstep access-key list ann\n  lockstep access-key list --root"}
	ofUser(cmd)
	return run(a, cmd, answering(kms.OpListAccessKeys, (*client.Client).ListAccessKeys), r, ofUserInto(cmd, &r.Name),
		func(w io.Writer, answer *kms.ListAccessKeysAnswer) {
			cli.Row(w, "ACCESS KEY ID", "STATUS", "CREATED")
			for _, k := range answer.AccessKeys {
				cli.Row(w, k.AccessKeyID, k.Status, k.CreatedAt)
			}
		})
}

func (a commands) accessKeyStatus(use, short string, status kms.AccessKeyStatus) *cobra.Command {
	r := &kms.UpdateAccessKeyRequest{Status: status}
	cmd := &cobra.Command{Use: use + " USER ACCESS-KEY-ID", Short: short,
		Example: "  lockstep access-key " + use + " ann AKIAIOSFODNN7EXAMPLE\n  lockstep access-key " + use + " --root AKIAIOSFODNN7EXAMPLE --wait all"}
	ofUser(cmd, "ACCESS-KEY-ID")
	return run(a, cmd, answering(kms.OpUpdateAccessKey, (*client.Client).UpdateAccessKey), r, ofUserInto(cmd, &r.Name, &r.AccessKeyID), describeAccessKey)
}

func (a commands) accessKeyDelete() *cobra.Command {
	r := &kms.DeleteAccessKeyRequest{}
	cmd := &cobra.Command{Use: "delete USER ACCESS-KEY-ID", Short: "Delete an access key",
		Example: "  lockstep access-key delete ann AKIAIOSFODNN7EXAMPLE --wait all"}
	ofUser(cmd, "ACCESS-KEY-ID")
	return run(a, cmd, silent(kms.OpDeleteAccessKey, (*client.Client).DeleteAccessKey), r, ofUserInto(cmd, &r.Name, &r.AccessKeyID),
		say(func() string { return r.AccessKeyID + " is deleted." }))
}

func (a commands) accessKeyLastUsed() *cobra.Command {
	r := &kms.AccessKeyRequest{}
	cmd := &cobra.Command{Use: "last-used ACCESS-KEY-ID", Short: "Say when an access key was last used",
		Long:    "Says when an access key was last used, as far as the nodes that answer remember: they forget it when they stop.",
		Example: "  lockstep access-key last-used AKIAIOSFODNN7EXAMPLE"}
	return run(a, cmd, answering(kms.OpGetAccessKeyLastUsed, (*client.Client).GetAccessKeyLastUsed), r, into(&r.AccessKeyID),
		func(w io.Writer, answer *kms.AccessKeyLastUsedAnswer) {
			cli.Pairs(w, "USER", answer.UserName, "LAST USED", answer.LastUsedDate)
			cli.Given(w, "SERVICE", answer.ServiceName, "REGION", answer.Region, "NODES SILENT", answer.SilentNodes)
		})
}
