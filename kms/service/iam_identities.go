package service

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
)

func identityUses(all map[*kms.Operation]*use) {
	all[kms.OpCreateUser] = changing(checkCreateUser, createUser, replayIdentity)
	all[kms.OpListUsers] = reading(checkIdentityList, listUsers)
	all[kms.OpGetUser] = reading(checkHolder, getUser)
	all[kms.OpGetRole] = reading(byName(role), getIdentity(role))
	all[kms.OpCreateGroup] = changing(checkCreateGroup, createGroup, replayIdentity)
	all[kms.OpListGroups] = reading(checkIdentityList, listGroups)
	all[kms.OpGetGroup] = reading(checkGetGroup, getGroup)
	all[kms.OpAddUserToGroup] = changing(checkMembership, addUserToGroup, replayMembership)
	all[kms.OpRemoveUserFromGroup] = changing(checkMembership, removeUserFromGroup, replayMembership)
	all[kms.OpListGroupsForUser] = reading(byName(user), groupsOfUser)
	all[kms.OpCreateRole] = changing(checkCreateRole, createRole, replayIdentity)
	all[kms.OpListRoles] = reading(checkIdentityList, listRoles)
	all[kms.OpUpdateRole] = changing(checkUpdateRole, updateRole, replayIdentity)
	all[kms.OpUpdateAssumeRolePolicy] = changing(checkTrust, updateTrust, replayIdentity)
	all[kms.OpRevokeSessions] = changing(checkRevokeSessions, revokeSessions, replayIdentity)
	for _, one := range []struct {
		s                  *species
		remove, tag, untag *kms.Operation
	}{
		{user, kms.OpDeleteUser, kms.OpTagUser, kms.OpUntagUser},
		{group, kms.OpDeleteGroup, nil, nil},
		{role, kms.OpDeleteRole, kms.OpTagRole, kms.OpUntagRole},
	} {
		all[one.remove] = changing(byName(one.s), deleteIdentity(one.s), replayDone)
		if one.tag != nil {
			all[one.tag] = changing(checkTagIdentity(one.s), tagIdentity(one.s), replayDone)
			all[one.untag] = changing(checkUntagIdentity(one.s), untagIdentity(one.s), replayDone)
		}
	}
}

func checkCreateUser(r *request, q *kms.CreateUserRequest) error {
	r.note("path", q.Path)
	r.note("permissionsBoundary", kms.Printable(q.PermissionsBoundary))
	return firstOf(r.checkIdentity(user, q.Name), checkPath(q.Path), r.takeTags(q.Tags))
}

// firstOf returns the first error there is.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkCases refuses tags whose keys differ in case only: as condition keys they are one, so that a policy could not tell
// them apart. AWS KMS takes them.
func checkCases(tags map[string]string) error {
	seen := make(map[string]bool, len(tags))
	for key := range tags {
		if seen[strings.ToLower(key)] {
			return kms.Errorf(kms.CodeInvalidTag, "Duplicate tag keys")
		}
		seen[strings.ToLower(key)] = true
	}
	return nil
}

func createUser(r *request, q *kms.CreateUserRequest) (*change, error) {
	return r.newIdentity(user, &kms.Identity{Name: q.Name, Path: q.Path, Tags: q.Tags, Boundary: q.PermissionsBoundary})
}

// getUser describes a user, or the root to itself.
func getUser(r *request, q *kms.IdentityRequest) (any, error) {
	i, err := r.holder(q.Name)
	if err != nil {
		return nil, err
	}
	return r.identityAnswer(&i.Identity), nil
}

func listUsers(r *request, q *kms.ListRequest) (any, error) {
	all, marker, err := r.listIdentities(user, q)
	if err != nil {
		return nil, err
	}
	return &kms.ListUsersAnswer{Users: all, NextMarker: marker}, nil
}

func checkCreateGroup(r *request, q *kms.CreateGroupRequest) error {
	r.note("path", q.Path)
	return firstOf(r.checkIdentity(group, q.Name), checkPath(q.Path))
}

func createGroup(r *request, q *kms.CreateGroupRequest) (*change, error) {
	return r.newIdentity(group, &kms.Identity{Name: q.Name, Path: q.Path})
}

func listGroups(r *request, q *kms.ListRequest) (any, error) {
	all, marker, err := r.listIdentities(group, q)
	if err != nil {
		return nil, err
	}
	return &kms.ListGroupsAnswer{Groups: all, NextMarker: marker}, nil
}

func checkGetGroup(r *request, q *kms.IdentityListRequest) error {
	r.notePage(q.Limit, q.Marker)
	return firstOf(r.checkIdentity(group, q.Name), checkLimit(q.Limit, 1000))
}

func getGroup(r *request, q *kms.IdentityListRequest) (any, error) {
	g, err := r.identity(group, q.Name)
	if err != nil {
		return nil, err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultIdentities
	}
	users := r.usersOf(g.Name)
	for len(users) > 0 && users[0].Key() <= after {
		users = users[1:]
	}
	shown, more := page(users, limit)
	answer := &kms.GetGroupAnswer{Group: r.identityEntry(&g.Identity), Users: r.identityEntries(shown)}
	if more {
		answer.NextMarker = r.marker(shown[len(shown)-1].Key())
	}
	return answer, nil
}

func checkMembership(r *request, q *kms.GroupMemberRequest) error {
	return firstOf(r.checkIdentity(group, q.Name), r.checkIdentity(user, q.UserName))
}

// addUserToGroup writes the user, who knows its groups. The group is guarded, so that none that is deleted meanwhile has
// a member.
func addUserToGroup(r *request, q *kms.GroupMemberRequest) (*change, error) {
	g, err := r.identity(group, q.Name)
	if err != nil {
		return nil, err
	}
	return r.setGroups(q.UserName, "user.joined_group", func(i *kms.Identity) error {
		if slices.Contains(i.Groups, g.Name) {
			return nil
		}
		i.Groups = append(slices.Clone(i.Groups), g.Name)
		slices.Sort(i.Groups)
		if len(i.Groups) > maxGroupsOfUser {
			return kms.Errorf(kms.CodeLimitExceeded, "The user %s is in %d groups, which is the limit.", i.Name, maxGroupsOfUser)
		}
		return nil
	}, g.Guard())
}

func removeUserFromGroup(r *request, q *kms.GroupMemberRequest) (*change, error) {
	g, err := r.identity(group, q.Name)
	if err != nil {
		return nil, err
	}
	return r.setGroups(q.UserName, "user.left_group", func(i *kms.Identity) error {
		if !slices.Contains(i.Groups, g.Name) {
			return kms.Errorf(kms.CodeNotFound, "The user %s is not in the group %s.", i.Name, g.Name)
		}
		i.Groups = slices.DeleteFunc(slices.Clone(i.Groups), func(name string) bool { return name == g.Name })
		return nil
	}, g.Guard())
}

// setGroups changes the groups of a user, for a caller who may do it to the group.
func (r *request) setGroups(name, event string, edit func(*kms.Identity) error, group fsm.Guard) (*change, error) {
	old, err := r.view.Identity(r.scope.Account, kms.IdentityKey(kms.TypeUser, name))
	if err != nil {
		return nil, notFound(err, "The user with name %s cannot be found.", kms.Printable(name))
	}
	i := old.Identity
	if err := edit(&i); err != nil {
		return nil, err
	}
	c, err := r.writeIdentity(event, old, &i)
	c.guard(group)
	return c, err
}

// replayMembership answers a change of a user's groups that an earlier request made. The group authorized it.
func replayMembership(r *request, _ *records) (any, error) {
	q := r.call.Request.(*kms.GroupMemberRequest)
	if _, err := r.identity(group, q.Name); err != nil && kms.CodeOf(err) != kms.CodeNotFound {
		return nil, err
	}
	return &kms.Empty{}, nil
}

func groupsOfUser(r *request, q *kms.IdentityRequest) (any, error) {
	u, err := r.identity(user, q.Name)
	if err != nil {
		return nil, err
	}
	answer := &kms.ListGroupsAnswer{Groups: []kms.IdentityEntry{}}
	for _, name := range u.Groups {
		g, err := r.view.Identity(u.Account, kms.IdentityKey(kms.TypeGroup, name))
		if err != nil {
			return nil, err
		}
		answer.Groups = append(answer.Groups, r.identityEntry(&g.Identity))
	}
	return answer, nil
}

func checkCreateRole(r *request, q *kms.CreateRoleRequest) error {
	r.note("path", q.Path)
	r.note("description", q.Description)
	r.note("permissionsBoundary", kms.Printable(q.PermissionsBoundary))
	if q.MaxSessionDuration != nil {
		r.noteInt("maxSessionDuration", *q.MaxSessionDuration)
	}
	return firstOf(r.checkIdentity(role, q.Name), checkPath(q.Path), r.takeTags(q.Tags), checkRoleNote(q.Description),
		checkDuration(q.MaxSessionDuration), r.takeDocument("assumeRolePolicyDocument", policy.TrustPolicy, q.AssumeRolePolicyDocument, maxTrust))
}

func checkRoleNote(description string) error {
	if !utf8.ValidString(description) || utf8.RuneCountInString(description) > maxRoleNote {
		return constraint("description", "Member must have length less than or equal to %d", maxRoleNote)
	}
	return nil
}

func checkDuration(seconds *int) error {
	if seconds == nil {
		return nil
	}
	return checkRange("maxSessionDuration", *seconds, minSession, maxSession)
}

func createRole(r *request, q *kms.CreateRoleRequest) (*change, error) {
	i := &kms.Identity{Name: q.Name, Path: q.Path, Tags: q.Tags, Boundary: q.PermissionsBoundary, Description: q.Description,
		Trust: string(q.AssumeRolePolicyDocument), MaxSession: minSession}
	if q.MaxSessionDuration != nil {
		i.MaxSession = int32(*q.MaxSessionDuration)
	}
	return r.newIdentity(role, i)
}

func listRoles(r *request, q *kms.ListRequest) (any, error) {
	all, marker, err := r.listIdentities(role, q)
	if err != nil {
		return nil, err
	}
	return &kms.ListRolesAnswer{Roles: all, NextMarker: marker}, nil
}

func checkUpdateRole(r *request, q *kms.UpdateRoleRequest) error {
	if q.Description != nil {
		r.note("description", *q.Description)
		if err := checkRoleNote(*q.Description); err != nil {
			return err
		}
	}
	if q.MaxSessionDuration != nil {
		r.noteInt("maxSessionDuration", *q.MaxSessionDuration)
	}
	return firstOf(r.checkIdentity(role, q.Name), checkDuration(q.MaxSessionDuration))
}

// editRole changes a role and answers it.
func (r *request) editRole(name, event string, edit func(*kms.Identity)) (*change, error) {
	var changed *kms.Identity
	c, err := r.editIdentity(role, name, event, func(i *kms.Identity) error { edit(i); changed = i; return nil })
	if err == nil {
		c.answer = r.identityAnswer(changed)
	}
	return c, err
}

func updateRole(r *request, q *kms.UpdateRoleRequest) (*change, error) {
	return r.editRole(q.Name, "role.updated", func(i *kms.Identity) {
		if q.Description != nil {
			i.Description = *q.Description
		}
		if q.MaxSessionDuration != nil {
			i.MaxSession = int32(*q.MaxSessionDuration)
		}
	})
}

func checkTrust(r *request, q *kms.UpdateAssumeRolePolicyRequest) error {
	return firstOf(r.checkIdentity(role, q.Name), r.takeDocument("policyDocument", policy.TrustPolicy, q.PolicyDocument, maxTrust))
}

func updateTrust(r *request, q *kms.UpdateAssumeRolePolicyRequest) (*change, error) {
	return r.editRole(q.Name, "role.trust_changed", func(i *kms.Identity) { i.Trust = string(q.PolicyDocument) })
}

func checkRevokeSessions(r *request, q *kms.RevokeSessionsRequest) error {
	if q.Before != nil {
		r.note("before", q.Before.UTC().Format("2006-01-02T15:04:05Z"))
	}
	return r.checkIdentity(role, q.Name)
}

// revokeSessions revokes what was issued before a time, or everything that was issued: then no clock has a say. A time to
// come would revoke what is not issued yet.
func revokeSessions(r *request, q *kms.RevokeSessionsRequest) (*change, error) {
	if q.Before != nil && q.Before.UnixMilli() > r.now() {
		return nil, constraint("before", "Member must not be in the future")
	}
	return r.editRole(q.Name, "role.sessions_revoked", func(i *kms.Identity) {
		if q.Before == nil {
			i.Generation++
			i.ValidFrom = r.now()
		} else {
			i.ValidFrom = max(i.ValidFrom, q.Before.UnixMilli())
		}
	})
}
