package iamcmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/cmd/lockstep/internal/cli"
	"github.com/lockstep-kms/lockstep/kms"
)

// kind is users, groups or roles: what they are called and the methods that all of them have. A group has no tags
// and no boundary.
type kind struct {
	noun, sample string // sample is a name in examples

	erase      method[kms.IdentityRequest, kms.Empty]
	tag        method[kms.TagIdentityRequest, kms.Empty]
	untag      method[kms.UntagIdentityRequest, kms.Empty]
	attach     method[kms.AttachPolicyRequest, kms.Empty]
	detach     method[kms.AttachPolicyRequest, kms.Empty]
	attached   method[kms.IdentityRequest, kms.ListAttachedPoliciesAnswer]
	putInline  method[kms.PutInlinePolicyRequest, kms.Empty]
	getInline  method[kms.GetInlinePolicyRequest, kms.InlinePolicyAnswer]
	inline     method[kms.IdentityRequest, kms.ListInlinePoliciesAnswer]
	dropInline method[kms.DeleteInlinePolicyRequest, kms.Empty]
	bound      method[kms.PutBoundaryRequest, kms.Empty]
	unbound    method[kms.IdentityRequest, kms.Empty]
}

func users() *kind {
	return &kind{noun: "user", sample: "ann",
		erase:      silent(kms.OpDeleteUser, (*client.Client).DeleteUser),
		tag:        silent(kms.OpTagUser, (*client.Client).TagUser),
		untag:      silent(kms.OpUntagUser, (*client.Client).UntagUser),
		attach:     silent(kms.OpAttachUserPolicy, (*client.Client).AttachUserPolicy),
		detach:     silent(kms.OpDetachUserPolicy, (*client.Client).DetachUserPolicy),
		attached:   answering(kms.OpListAttachedUserPolicies, (*client.Client).ListAttachedUserPolicies),
		putInline:  silent(kms.OpPutUserPolicy, (*client.Client).PutUserPolicy),
		getInline:  answering(kms.OpGetUserPolicy, (*client.Client).GetUserPolicy),
		inline:     answering(kms.OpListUserPolicies, (*client.Client).ListUserPolicies),
		dropInline: silent(kms.OpDeleteUserPolicy, (*client.Client).DeleteUserPolicy),
		bound:      silent(kms.OpPutUserPermissionsBoundary, (*client.Client).PutUserPermissionsBoundary),
		unbound:    silent(kms.OpDeleteUserPermissionsBoundary, (*client.Client).DeleteUserPermissionsBoundary),
	}
}

func groups() *kind {
	return &kind{noun: "group", sample: "payments",
		erase:      silent(kms.OpDeleteGroup, (*client.Client).DeleteGroup),
		attach:     silent(kms.OpAttachGroupPolicy, (*client.Client).AttachGroupPolicy),
		detach:     silent(kms.OpDetachGroupPolicy, (*client.Client).DetachGroupPolicy),
		attached:   answering(kms.OpListAttachedGroupPolicies, (*client.Client).ListAttachedGroupPolicies),
		putInline:  silent(kms.OpPutGroupPolicy, (*client.Client).PutGroupPolicy),
		getInline:  answering(kms.OpGetGroupPolicy, (*client.Client).GetGroupPolicy),
		inline:     answering(kms.OpListGroupPolicies, (*client.Client).ListGroupPolicies),
		dropInline: silent(kms.OpDeleteGroupPolicy, (*client.Client).DeleteGroupPolicy),
	}
}

func roles() *kind {
	return &kind{noun: "role", sample: "shop",
		erase:      silent(kms.OpDeleteRole, (*client.Client).DeleteRole),
		tag:        silent(kms.OpTagRole, (*client.Client).TagRole),
		untag:      silent(kms.OpUntagRole, (*client.Client).UntagRole),
		attach:     silent(kms.OpAttachRolePolicy, (*client.Client).AttachRolePolicy),
		detach:     silent(kms.OpDetachRolePolicy, (*client.Client).DetachRolePolicy),
		attached:   answering(kms.OpListAttachedRolePolicies, (*client.Client).ListAttachedRolePolicies),
		putInline:  silent(kms.OpPutRolePolicy, (*client.Client).PutRolePolicy),
		getInline:  answering(kms.OpGetRolePolicy, (*client.Client).GetRolePolicy),
		inline:     answering(kms.OpListRolePolicies, (*client.Client).ListRolePolicies),
		dropInline: silent(kms.OpDeleteRolePolicy, (*client.Client).DeleteRolePolicy),
		bound:      silent(kms.OpPutRolePermissionsBoundary, (*client.Client).PutRolePermissionsBoundary),
		unbound:    silent(kms.OpDeleteRolePermissionsBoundary, (*client.Client).DeleteRolePermissionsBoundary),
	}
}

// describe prints a user, group or role.
func describe(w io.Writer, e *kms.IdentityEntry) {
	cli.Pairs(w, "NAME", e.Name, "ID", e.ID, "ARN", e.ARN, "CREATED", e.CreatedAt)
	cli.Given(w, "DESCRIPTION", e.Description, "BOUNDARY", e.PermissionsBoundary, "LONGEST SESSION", time.Duration(e.MaxSessionDuration)*time.Second,
		"SESSIONS VALID FROM", e.SessionsValidFrom, "TAGS", cli.Context(e.Tags), "TRUST POLICY", oneLine(e.AssumeRolePolicyDocument))
}

// oneLine returns a JSON document without the white space between its tokens.
func oneLine(document string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(document)) != nil {
		return document
	}
	return b.String()
}

func identityTable(w io.Writer, entries []kms.IdentityEntry) {
	cli.Row(w, "NAME", "ID", "ARN", "CREATED")
	for _, e := range entries {
		cli.Row(w, e.Name, e.ID, e.ARN, e.CreatedAt)
	}
}

// getOne is the command that describes one user or role.
func getOne[Answer any](a commands, k *kind, m method[kms.IdentityRequest, Answer], entry func(*Answer) *kms.IdentityEntry) *cobra.Command {
	r := &kms.IdentityRequest{}
	cmd := &cobra.Command{Use: "get NAME", Short: "Describe a " + k.noun,
		Example: fmt.Sprintf("  lockstep %s get %s\n  lockstep %s get %s -o json", k.noun, k.sample, k.noun, k.sample)}
	return run(a, cmd, m, r, into(&r.Name), func(w io.Writer, answer *Answer) { describe(w, entry(answer)) })
}

// listAll is the command that lists all users, groups or roles.
func listAll[Answer any](a commands, k *kind, m method[kms.ListRequest, Answer], parts func(*Answer) (*[]kms.IdentityEntry, *string)) *cobra.Command {
	r := &kms.ListRequest{}
	cmd := &cobra.Command{Use: "list", Short: "List the " + k.noun + "s of the account", Example: "  lockstep " + k.noun + " list"}
	return list(a, cmd, m, r, cli.Page{Limit: &r.Limit, Marker: &r.Marker}, into(), parts, identityTable)
}

func (a commands) erase(k *kind, condition string) *cobra.Command {
	r := &kms.IdentityRequest{}
	cmd := &cobra.Command{Use: "delete NAME", Short: "Delete a " + k.noun, Long: "Deletes a " + k.noun + ". " + condition,
		Example: fmt.Sprintf("  lockstep %s delete %s --wait all", k.noun, k.sample)}
	return run(a, cmd, k.erase, r, into(&r.Name), say(func() string { return r.Name + " is deleted." }))
}

func (a commands) tag(k *kind) *cobra.Command {
	r := &kms.TagIdentityRequest{}
	cmd := &cobra.Command{Use: "tag NAME TAG=VALUE...", Short: "Set tags of a " + k.noun, Args: cli.AtLeast("NAME", "TAG=VALUE"),
		Long:    "Sets tags of a " + k.noun + "; one of the same name is replaced. Policies can depend on them.",
		Example: fmt.Sprintf("  lockstep %s tag %s team=payments stage=test", k.noun, k.sample)}
	return run(a, cmd, k.tag, r, func(args []string) (err error) {
		r.Name = args[0]
		r.Tags, err = cli.ParseTags(args[1:])
		return err
	}, say(func() string { return r.Name + " is tagged." }))
}

func (a commands) untag(k *kind) *cobra.Command {
	r := &kms.UntagIdentityRequest{}
	cmd := &cobra.Command{Use: "untag NAME TAG...", Short: "Take tags off a " + k.noun, Args: cli.AtLeast("NAME", "TAG"),
		Long:    "Takes tags off a " + k.noun + "; one that is not there is no error.",
		Example: fmt.Sprintf("  lockstep %s untag %s stage", k.noun, k.sample)}
	return run(a, cmd, k.untag, r, func(args []string) error {
		r.Name, r.TagKeys = args[0], args[1:]
		return nil
	}, say(func() string { return r.Name + " does not have these tags." }))
}

func (a commands) boundary(k *kind) *cobra.Command {
	return cli.Group("boundary", "Bound what a "+k.noun+" may do",
		"A permissions boundary is a managed policy. What it does not allow, the "+k.noun+" may not do, whatever its other policies say.",
		a.boundaryPut(k), a.boundaryDelete(k))
}

func (a commands) boundaryPut(k *kind) *cobra.Command {
	r := &kms.PutBoundaryRequest{}
	cmd := &cobra.Command{Use: "put NAME POLICY-ARN", Short: "Bound a " + k.noun + " by a managed policy",
		Example: fmt.Sprintf("  lockstep %s boundary put %s arn:aws:iam::111122223333:policy/limits", k.noun, k.sample)}
	return run(a, cmd, k.bound, r, into(&r.Name, &r.PermissionsBoundary), say(func() string { return r.Name + " is bounded by " + r.PermissionsBoundary + "." }))
}

func (a commands) boundaryDelete(k *kind) *cobra.Command {
	r := &kms.IdentityRequest{}
	cmd := &cobra.Command{Use: "delete NAME", Short: "Take the boundary off a " + k.noun,
		Example: fmt.Sprintf("  lockstep %s boundary delete %s", k.noun, k.sample)}
	return run(a, cmd, k.unbound, r, into(&r.Name), say(func() string { return r.Name + " has no boundary." }))
}
