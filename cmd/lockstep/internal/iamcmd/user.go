package iamcmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

func (a commands) user() *cobra.Command {
	k := users()
	return cli.Group("user", "Manage users and their policies",
		"A user is someone or something of an account with access keys of its own ('lockstep access-key'). It may do what\npolicies allow, and nothing before they do.",
		a.userCreate(),
		getOne(a, k, answering(kms.OpGetUser, (*client.Client).GetUser), func(answer *kms.UserAnswer) *kms.IdentityEntry { return &answer.User }),
		listAll(a, k, answering(kms.OpListUsers, (*client.Client).ListUsers), func(all *kms.ListUsersAnswer) (*[]kms.IdentityEntry, *string) {
			return &all.Users, &all.NextMarker
		}),
		a.erase(k, "It must have no access keys, policies and groups any more."),
		a.tag(k), a.untag(k), a.policies(k), a.boundary(k), a.userGroups())
}

func pathVar(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "path", "", "path in its ARN, which begins and ends with / (default /)")
}

func tagVar(cmd *cobra.Command, tags *map[string]string) {
	cmd.Flags().StringToStringVar(tags, "tag", nil, "tag as NAME=VALUE, repeatable")
}

func boundaryVar(cmd *cobra.Command, boundary *string) {
	cmd.Flags().StringVar(boundary, "boundary", "", "ARN of the managed policy that bounds it")
}

func (a commands) userCreate() *cobra.Command {
	r := &kms.CreateUserRequest{}
	cmd := &cobra.Command{Use: "create NAME", Short: "Create a user",
		Example: `  lockstep user create ann
  lockstep user create ci --path /machines/ --tag team=payments --boundary arn:aws:iam::111122223333:policy/limits`}
	pathVar(cmd, &r.Path)
	tagVar(cmd, &r.Tags)
	boundaryVar(cmd, &r.PermissionsBoundary)
	return run(a, cmd, answering(kms.OpCreateUser, (*client.Client).CreateUser), r, into(&r.Name),
		func(w io.Writer, answer *kms.UserAnswer) { describe(w, &answer.User) })
}

func (a commands) userGroups() *cobra.Command {
	r := &kms.IdentityRequest{}
	cmd := &cobra.Command{Use: "groups NAME", Short: "List the groups that a user is in", Example: "  lockstep user groups ann"}
	return run(a, cmd, answering(kms.OpListGroupsForUser, (*client.Client).ListGroupsForUser), r, into(&r.Name),
		func(w io.Writer, answer *kms.ListGroupsAnswer) { identityTable(w, answer.Groups) })
}

func (a commands) group() *cobra.Command {
	k := groups()
	return cli.Group("group", "Manage groups of users and their policies", "The policies of a group are those of all of its users.",
		a.groupCreate(), a.groupGet(),
		listAll(a, k, answering(kms.OpListGroups, (*client.Client).ListGroups), func(all *kms.ListGroupsAnswer) (*[]kms.IdentityEntry, *string) {
			return &all.Groups, &all.NextMarker
		}),
		a.erase(k, "It must have no users and policies any more."),
		a.member("add-user", "Put a user into a group", " is in ", silent(kms.OpAddUserToGroup, (*client.Client).AddUserToGroup)),
		a.member("remove-user", "Take a user out of a group", " is not in ", silent(kms.OpRemoveUserFromGroup, (*client.Client).RemoveUserFromGroup)),
		a.policies(k))
}

func (a commands) groupCreate() *cobra.Command {
	r := &kms.CreateGroupRequest{}
	cmd := &cobra.Command{Use: "create NAME", Short: "Create a group", Example: "  lockstep group create payments"}
	pathVar(cmd, &r.Path)
	return run(a, cmd, answering(kms.OpCreateGroup, (*client.Client).CreateGroup), r, into(&r.Name),
		func(w io.Writer, answer *kms.GroupAnswer) { describe(w, &answer.Group) })
}

func (a commands) groupGet() *cobra.Command {
	r := &kms.IdentityListRequest{}
	group := &kms.IdentityEntry{}
	cmd := &cobra.Command{Use: "get NAME", Short: "Describe a group and list its users", Example: "  lockstep group get payments"}
	return list(a, cmd, answering(kms.OpGetGroup, (*client.Client).GetGroup), r, cli.Page{Limit: &r.Limit, Marker: &r.Marker}, into(&r.Name),
		func(all *kms.GetGroupAnswer) (*[]kms.IdentityEntry, *string) {
			group = &all.Group
			return &all.Users, &all.NextMarker
		},
		func(w io.Writer, members []kms.IdentityEntry) {
			describe(w, group)
			for _, user := range members {
				cli.Row(w, "USER", user.Name)
			}
		})
}

func (a commands) member(use, short, is string, m method[kms.GroupMemberRequest, kms.Empty]) *cobra.Command {
	r := &kms.GroupMemberRequest{}
	cmd := &cobra.Command{Use: use + " GROUP USER", Short: short, Example: "  lockstep group " + use + " payments ann"}
	return run(a, cmd, m, r, into(&r.Name, &r.UserName), say(func() string { return r.UserName + is + r.Name + "." }))
}
