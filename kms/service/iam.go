package service

import (
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// Limits of AWS IAM. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxPath           = 512
	maxAttached       = 10
	maxGroupsOfUser   = 10
	maxTrust          = 4096
	maxManagedPolicy  = 6144
	maxPolicies       = 1500
	maxVersions       = 5
	maxAccessKeys     = 2
	maxProviders      = 100
	minSession        = 3600 // seconds that a role's sessions may be allowed to last
	maxSession        = 43200
	maxRoleNote       = 1000
	maxInlineOfAll    = 50 // policies
	defaultIdentities = 100
)

// species is a type of identity.
type species struct {
	kind, noun string
	prefix     string // of unique ids
	most       uint64 // in an account
	name       int    // characters
	inline     int    // characters of all inline policies together
	resource   string // in audit records
}

var (
	user  = &species{kms.TypeUser, "user", "AIDA", 5000, 64, 2048, "AWS::IAM::User"}
	group = &species{kms.TypeGroup, "group", "AGPA", 300, 128, 5120, "AWS::IAM::Group"}
	role  = &species{kms.TypeRole, "role", "AROA", 1000, 64, 10240, "AWS::IAM::Role"}
)

// checkName refuses what nothing is called.
func checkName(field, name string, highest int) error {
	if err := checkLength(field, len(name), highest); err != nil {
		return err
	}
	if !inPattern(name, "_+=,.@-") {
		return constraint(field, "Member must satisfy regular expression pattern: [\\w+=,.@-]+")
	}
	return nil
}

// checkPath refuses what is no path: "" stands for "/".
func checkPath(path string) error {
	if path == "" || path == "/" {
		return nil
	}
	ok := len(path) <= maxPath && strings.HasPrefix(path, "/") && strings.HasSuffix(path, "/") && !strings.Contains(path, "//")
	for _, segment := range strings.Split(strings.Trim(path, "/"), "/") {
		ok = ok && segment != "." && segment != ".." && inPattern(segment, "_+=,.@-")
	}
	if !ok {
		return constraint("path", "Member must begin and end with '/', and hold names of letters, digits and _+=,.@- of at most %d characters", maxPath)
	}
	return nil
}

// checkIdentity reads the name of an identity in a request.
func (r *request) checkIdentity(s *species, name string) error {
	r.note(s.noun+"Name", name)
	return checkName(s.noun+"Name", name, s.name)
}

// byName is the check of requests that carry the name of an identity and nothing else that can be wrong.
func byName(s *species) func(*request, *kms.IdentityRequest) error {
	return func(r *request, q *kms.IdentityRequest) error { return r.checkIdentity(s, q.Name) }
}

// identity finds an identity of the caller's account by name and asks whether the caller may do to it what the
// operation does. That there is none is told to those only who might.
func (r *request) identity(s *species, name string) (*catalog.Identity, error) {
	return r.identityFor(s, name, facts{})
}

func (r *request) identityFor(s *species, name string, f facts) (*catalog.Identity, error) {
	i, err := r.view.Identity(r.scope.Account, kms.IdentityKey(s.kind, name))
	none := kms.Identity{Account: r.scope.Account, Type: s.kind, Path: "/", Name: name}
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		if err := r.allowIdentity(none.ARN(r.Partition), f); err != nil {
			return nil, err
		}
		return nil, kms.Errorf(kms.CodeNotFound, "The %s with name %s cannot be found.", s.noun, kms.Printable(name))
	case err != nil:
		return nil, err
	}
	arn := i.ARN(r.Partition)
	r.resource(arn, s.resource)
	f.tags = i.Tags
	if f.boundary == "" && bounding[r.op] {
		f.boundary = i.Boundary
	}
	err = r.allowIdentity(arn, f)
	if kms.CodeOf(err) == kms.CodeAccessDenied { // in the words for one that is not there
		err = r.denied(r.op.Action, none.ARN(r.Partition))
	}
	return i, err
}

// bounding are the operations that know the permissions boundary of an identity as iam:PermissionsBoundary, beside those
// that set it. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
var bounding = map[*kms.Operation]bool{
	kms.OpAttachUserPolicy: true, kms.OpDetachUserPolicy: true, kms.OpPutUserPolicy: true, kms.OpDeleteUserPolicy: true, kms.OpDeleteUserPermissionsBoundary: true,
	kms.OpAttachRolePolicy: true, kms.OpDetachRolePolicy: true, kms.OpPutRolePolicy: true, kms.OpDeleteRolePolicy: true, kms.OpDeleteRolePermissionsBoundary: true,
}

// allowIdentity asks the gate about an identity, policy or provider of the caller's account.
func (r *request) allowIdentity(arn string, f facts) error {
	return r.allow(&auth.Query{Resource: arn, ResourceAccount: r.scope.Account}, f)
}

// allowNew is allowIdentity of what is made. To make it with tags is to tag it, too; as yet it has none.
func (r *request) allowNew(arn string, tags map[string]string, f facts) error {
	if err := r.allowIdentity(arn, f); err != nil || len(tags) == 0 {
		return err
	}
	tag := "iam:Tag" + strings.TrimPrefix(r.op.Name, "Create")
	return r.allow(&auth.Query{Action: tag, Resource: arn, ResourceAccount: r.scope.Account}, f)
}

// writeIdentity writes an identity that was read at a revision.
func (r *request) writeIdentity(event string, old *catalog.Identity, i *kms.Identity) (*change, error) {
	c := &change{event: event, guards: []fsm.Guard{old.Guard()}, answer: &kms.Empty{}}
	ids := r.view.IDs()
	return c, c.put(r, fsm.Ref{Kind: fsm.KindIdentity, ID: old.Record}, i, ids.IdentitiesOf(i.Account, i.Type))
}

// newIdentity writes an identity that was not there, within the account's limit.
func (r *request) newIdentity(s *species, i *kms.Identity) (*change, error) {
	if i.Path == "" {
		i.Path = "/"
	}
	i.Schema, i.Account, i.Type, i.Created = 1, r.scope.Account, s.kind, r.now()
	arn := i.ARN(r.Partition)
	if err := r.allowNew(arn, i.Tags, facts{boundary: i.Boundary}); err != nil {
		return nil, err
	}
	r.resource(arn, s.resource)
	ids := r.view.IDs()
	ref, scope := ids.Identity(i.Account, i.Key()), ids.IdentitiesOf(i.Account, s.kind)
	_, err := r.view.Identity(i.Account, i.Key())
	free, err := absent(err, ref, "A %s with name %s already exists.", s.noun, i.Name)
	if err != nil {
		return nil, err
	}
	if r.view.Members(scope) >= s.most {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The account has %d %ss, which is the limit.", s.most, s.noun)
	}
	c := &change{event: s.noun + ".created", guards: []fsm.Guard{free}, below: []fsm.ScopeGuard{{Scope: scope, Below: s.most}}}
	if i.Boundary != "" {
		p, err := r.attachable(i.Boundary)
		if err != nil {
			return nil, err
		}
		c.guard(p.Guard())
	}
	if i.ID, err = auth.NewUniqueID(rand.Reader, s.prefix); err != nil {
		return nil, err
	}
	c.answer = r.identityAnswer(i)
	return c, c.put(r, ref, i, scope)
}

// identityEntry describes an identity.
func (r *request) identityEntry(i *kms.Identity) kms.IdentityEntry {
	return kms.IdentityEntry{Name: i.Name, ID: i.ID, ARN: i.ARN(r.Partition), Path: i.Path, CreatedAt: kms.Time(i.Created),
		PermissionsBoundary: i.Boundary, Tags: i.Tags, Description: i.Description, AssumeRolePolicyDocument: i.Trust,
		MaxSessionDuration: int(i.MaxSession), SessionsValidFrom: timeOf(i.ValidFrom)}
}

// identityAnswer is the answer that carries an identity.
func (r *request) identityAnswer(i *kms.Identity) any {
	switch e := r.identityEntry(i); i.Type {
	case kms.TypeUser, kms.TypeRoot:
		return &kms.UserAnswer{User: e}
	case kms.TypeGroup:
		return &kms.GroupAnswer{Group: e}
	default:
		return &kms.RoleAnswer{Role: e}
	}
}

// replayedIdentity returns the identity that an earlier request wrote, as it is now or was last.
func (r *request) replayedIdentity(rs *records) (*kms.Identity, error) {
	i, err := record[kms.Identity](rs, fsm.KindIdentity)
	if err != nil {
		return nil, err
	}
	r.resource(i.ARN(r.Partition), map[string]*species{kms.TypeUser: user, kms.TypeGroup: group, kms.TypeRole: role}[i.Type].resource)
	f := facts{tags: i.Tags}
	if bounding[r.op] {
		f.boundary = i.Boundary
	}
	switch q := r.call.Request.(type) {
	case *kms.AttachPolicyRequest:
		f.policyARN = q.PolicyARN
	case *kms.PutBoundaryRequest:
		f.boundary = q.PermissionsBoundary
	case *kms.CreateUserRequest:
		f.tags, f.boundary = nil, q.PermissionsBoundary
	case *kms.CreateRoleRequest:
		f.tags, f.boundary = nil, q.PermissionsBoundary
	}
	return i, r.allowIdentity(i.ARN(r.Partition), f)
}

func replayIdentity(r *request, rs *records) (any, error) {
	i, err := r.replayedIdentity(rs)
	if err != nil {
		return nil, err
	}
	return r.identityAnswer(i), nil
}

// replayDone answers a change of an identity that answers nothing.
func replayDone(r *request, rs *records) (any, error) {
	if _, err := r.replayedIdentity(rs); err != nil {
		return nil, err
	}
	return &kms.Empty{}, nil
}

func getIdentity(s *species) func(*request, *kms.IdentityRequest) (any, error) {
	return func(r *request, q *kms.IdentityRequest) (any, error) {
		i, err := r.identity(s, q.Name)
		if err != nil {
			return nil, err
		}
		return r.identityAnswer(&i.Identity), nil
	}
}

func checkIdentityList(r *request, q *kms.ListRequest) error {
	r.notePage(q.Limit, q.Marker)
	return checkLimit(q.Limit, 1000)
}

// listIdentities reads one page of identities.
func (r *request) listIdentities(s *species, q *kms.ListRequest) (all []kms.IdentityEntry, marker string, err error) {
	if err := r.allowAll(); err != nil {
		return nil, "", err
	}
	after, err := r.after(q.Marker)
	if err != nil {
		return nil, "", err
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultIdentities
	}
	shown, more := page(r.view.Identities(r.scope.Account, s.kind, after, limit+1), limit)
	all = r.identityEntries(shown)
	if more {
		marker = r.marker(shown[len(shown)-1].Key())
	}
	return all, marker, nil
}

// identityEntries describes identities without what a listing leaves out.
func (r *request) identityEntries(shown []*catalog.Identity) []kms.IdentityEntry {
	all := make([]kms.IdentityEntry, len(shown))
	for n, i := range shown {
		all[n] = r.identityEntry(&i.Identity)
	}
	return all
}

// editIdentity changes a named identity.
func (r *request) editIdentity(s *species, name, event string, edit func(*kms.Identity) error) (*change, error) {
	old, err := r.identity(s, name)
	if err != nil {
		return nil, err
	}
	i := old.Identity
	if err := edit(&i); err != nil {
		return nil, err
	}
	return r.writeIdentity(event, old, &i)
}

// deleteIdentity deletes a user, group or role to which nothing belongs any more. What belongs to it is guarded: its
// own record, the access keys of a user, the users that are in a group.
func deleteIdentity(s *species) func(*request, *kms.IdentityRequest) (*change, error) {
	return func(r *request, q *kms.IdentityRequest) (*change, error) {
		old, err := r.identity(s, q.Name)
		if err != nil {
			return nil, err
		}
		var left string
		switch {
		case len(old.Attached) > 0:
			left = "detach all policies"
		case len(old.Inline) > 0:
			left = "delete its inline policies"
		case len(old.Groups) > 0:
			left = "remove it from all groups"
		case len(r.view.Credentials(old.Account, old.ID)) > 0:
			left = "delete its access keys"
		case s == group && len(r.usersOf(old.Name)) > 0:
			left = "remove its users"
		}
		if left != "" {
			return nil, kms.Errorf(kms.CodeDeleteConflict, "The %s %s cannot be deleted yet: %s first.", s.noun, old.Name, left)
		}
		ids := r.view.IDs()
		c := &change{event: s.noun + ".deleted", guards: []fsm.Guard{old.Guard()}, answer: &kms.Empty{}}
		switch s {
		case user:
			c.below = []fsm.ScopeGuard{{Scope: ids.CredentialsOf(old.Account, old.ID), Below: 1}}
		case group:
			c.below = []fsm.ScopeGuard{r.view.Unchanged(ids.IdentitiesOf(old.Account, kms.TypeUser))}
		}
		return c, c.delete(r, fsm.Ref{Kind: fsm.KindIdentity, ID: old.Record}, &old.Identity)
	}
}

// usersOf returns the users of a group, by name.
func (r *request) usersOf(name string) []*catalog.Identity {
	all := r.view.Identities(r.scope.Account, kms.TypeUser, "", int(user.most))
	return slices.DeleteFunc(all, func(i *catalog.Identity) bool { return !slices.Contains(i.Groups, name) })
}

func checkTagIdentity(s *species) func(*request, *kms.TagIdentityRequest) error {
	return func(r *request, q *kms.TagIdentityRequest) error {
		if err := r.checkIdentity(s, q.Name); err != nil {
			return err
		}
		return r.checkNewTags(q.Tags)
	}
}

// checkNewTags is takeTags of a request that is about nothing else.
func (r *request) checkNewTags(tags map[string]string) error {
	if len(tags) == 0 {
		return constraint("tags", "Member must not be null")
	}
	return r.takeTags(tags)
}

func (r *request) checkGoneTags(keys []string) error {
	if err := checkTagKeys(keys); err != nil {
		return err
	}
	noteList(r, "tagKeys", keys)
	return nil
}

func tagIdentity(s *species) func(*request, *kms.TagIdentityRequest) (*change, error) {
	return func(r *request, q *kms.TagIdentityRequest) (*change, error) {
		return r.editIdentity(s, q.Name, s.noun+".tagged", func(i *kms.Identity) error {
			return setTags(&i.Tags, q.Tags)
		})
	}
}

// setTags sets some tags of all. Of keys that differ in case only there is one.
func setTags(all *map[string]string, some map[string]string) error {
	tags := maps.Clone(*all)
	if tags == nil {
		tags = map[string]string{}
	}
	for key, value := range some {
		for old := range tags {
			if old != key && strings.EqualFold(old, key) {
				delete(tags, old)
			}
		}
		tags[key] = value
	}
	if *all = tags; len(tags) > maxTags {
		return kms.Errorf(kms.CodeInvalidTag, "Too many tags")
	}
	return nil
}

// dropTags takes tags off.
func dropTags(all *map[string]string, keys []string) {
	*all = maps.Clone(*all)
	maps.DeleteFunc(*all, func(key, _ string) bool {
		return slices.ContainsFunc(keys, func(gone string) bool { return strings.EqualFold(gone, key) })
	})
}

func checkUntagIdentity(s *species) func(*request, *kms.UntagIdentityRequest) error {
	return func(r *request, q *kms.UntagIdentityRequest) error {
		if err := r.checkIdentity(s, q.Name); err != nil {
			return err
		}
		return r.checkGoneTags(q.TagKeys)
	}
}

func untagIdentity(s *species) func(*request, *kms.UntagIdentityRequest) (*change, error) {
	return func(r *request, q *kms.UntagIdentityRequest) (*change, error) {
		return r.editIdentity(s, q.Name, s.noun+".untagged", func(i *kms.Identity) error {
			dropTags(&i.Tags, q.TagKeys)
			return nil
		})
	}
}

// weight returns how many characters of a document count: blanks do not.
func weight(document string) (n int) {
	for _, c := range document {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			n++
		}
	}
	return n
}

// takeDocument refuses a document that is not of its kind, or has more characters, or far more bytes, and notes the others.
func (r *request) takeDocument(key string, kind policy.Kind, document kms.PolicyDocument, highest int) error {
	if !utf8.ValidString(string(document)) || len(document) > 4*highest || weight(string(document)) > highest {
		field := "policy"
		if kind == policy.TrustPolicy {
			field = "trust policy"
		}
		return kms.Errorf(kms.CodeLimitExceeded, "The %s has at most %d characters without blanks.", field, highest)
	}
	_, err := parsePolicy(kind, document)
	if err == nil {
		r.noteDocument(key, document)
	}
	return err
}
