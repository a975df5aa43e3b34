package iamcmd

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) role() *cobra.Command {
	k := roles()
	return cli.Group("role", "Manage roles, their trust and their policies",
		"A role has no access keys: whoever its trust policy names assumes it ('lockstep assume-role') and gets the\ncredentials of a session, which end by themselves.",
		a.roleCreate(),
		getOne(a, k, answering(kms.OpGetRole, (*client.Client).GetRole), func(answer *kms.RoleAnswer) *kms.IdentityEntry { return &answer.Role }),
		listAll(a, k, answering(kms.OpListRoles, (*client.Client).ListRoles), func(all *kms.ListRolesAnswer) (*[]kms.IdentityEntry, *string) {
			return &all.Roles, &all.NextMarker
		}),
		a.erase(k, "It must have no policies any more."),
		a.roleUpdate(), a.roleTrust(), a.revokeSessions(),
		a.tag(k), a.untag(k), a.policies(k), a.boundary(k))
}

func describeRole(w io.Writer, answer *kms.RoleAnswer) { describe(w, &answer.Role) }

func (a commands) roleCreate() *cobra.Command {
	r := &kms.CreateRoleRequest{}
	var trust string
	var longest time.Duration
	cmd := &cobra.Command{Use: "create NAME", Short: "Create a role",
		Long: "Creates a role. Its trust policy says who may assume it; what it may do then is for its other policies to say.",
		Example: `  lockstep role create shop --trust trust.json
  lockstep role create ci --trust trust.json --max-session 2h --description "pipelines"`}
	f := cmd.Flags()
	f.StringVar(&trust, "trust", "", "JSON file with the trust policy, - for standard input")
	f.StringVar(&r.Description, "description", "", "what the role is for")
	f.DurationVar(&longest, "max-session", 0, "how long a session lasts at most, 1h to 12h (default 1h)")
	pathVar(cmd, &r.Path)
	tagVar(cmd, &r.Tags)
	boundaryVar(cmd, &r.PermissionsBoundary)
	_ = cmd.MarkFlagRequired("trust")
	return run(a, cmd, answering(kms.OpCreateRole, (*client.Client).CreateRole), r, func(args []string) (err error) {
		r.Name = args[0]
		if r.MaxSessionDuration, err = seconds(cmd, "max-session", longest); err != nil {
			return err
		}
		r.AssumeRolePolicyDocument, err = a.Document(trust)
		return err
	}, describeRole)
}

// seconds returns the seconds of a duration flag, nil when it is not given.
func seconds(cmd *cobra.Command, flag string, d time.Duration) (*int, error) {
	if !cmd.Flags().Changed(flag) {
		return nil, nil
	}
	if d%time.Second != 0 {
		return nil, cli.Misuse("--%s is a number of whole seconds, not %s", flag, d)
	}
	n := int(d / time.Second)
	return &n, nil
}

func (a commands) roleUpdate() *cobra.Command {
	r := &kms.UpdateRoleRequest{}
	var description string
	var longest time.Duration
	cmd := &cobra.Command{Use: "update NAME", Short: "Change a role's description or its longest session",
		Example: "  lockstep role update shop --max-session 4h\n  lockstep role update shop --description="}
	cmd.Flags().StringVar(&description, "description", "", "what the role is for")
	cmd.Flags().DurationVar(&longest, "max-session", 0, "how long a session lasts at most, 1h to 12h")
	cmd.MarkFlagsOneRequired("description", "max-session")
	return run(a, cmd, answering(kms.OpUpdateRole, (*client.Client).UpdateRole), r, func(args []string) (err error) {
		r.Name = args[0]
		if cmd.Flags().Changed("description") {
			r.Description = &description
		}
		r.MaxSessionDuration, err = seconds(cmd, "max-session", longest)
		return err
	}, describeRole)
}

func (a commands) roleTrust() *cobra.Command {
	r := &kms.UpdateAssumeRolePolicyRequest{}
	cmd := &cobra.Command{Use: "trust NAME [FILE]", Short: "Replace a role's trust policy", Args: cli.Between(1, 2, "NAME", "FILE"),
		Long: `Replaces a role's trust policy, which says who may assume it, by the JSON document in FILE or on standard input.
Sessions that exist go on; 'lockstep role revoke-sessions' ends them.`,
		Example: "  lockstep role trust shop trust.json --wait all\n  lockstep role trust shop < trust.json"}
	return run(a, cmd, answering(kms.OpUpdateAssumeRolePolicy, (*client.Client).UpdateAssumeRolePolicy), r, func(args []string) (err error) {
		r.Name = args[0]
		r.PolicyDocument, err = a.Document(optional(args, 1))
		return err
	}, describeRole)
}

func (a commands) revokeSessions() *cobra.Command {
	r := &kms.RevokeSessionsRequest{}
	var before string
	cmd := &cobra.Command{Use: "revoke-sessions NAME", Short: "Revoke the sessions of a role",
		Long:    "Revokes all sessions of a role that there are, or those that were issued before a time. The role can be assumed anew.",
		Example: "  lockstep role revoke-sessions shop --wait all\n  lockstep role revoke-sessions shop --before 2027-01-31T12:00:00Z"}
	cmd.Flags().StringVar(&before, "before", "", "only sessions issued before this time, such as 2027-01-31T12:00:00Z")
	return run(a, cmd, answering(kms.OpRevokeSessions, (*client.Client).RevokeSessions), r, func(args []string) error {
		r.Name = args[0]
		if before == "" {
			return nil
		}
		at, err := time.Parse(time.RFC3339, before)
		if err != nil {
			return cli.Misuse("--before is a time such as 2027-01-31T12:00:00Z, not %q", before)
		}
		at = at.UTC()
		r.Before = &at
		return nil
	}, describeRole)
}
