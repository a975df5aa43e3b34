// Package iam uses STS and IAM as AWS's own clients know them: the SDK for Go, boto3 and the AWS CLI. Every request goes to another
// node than the one before.
package iam

import (
	"context"
	"errors"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/lockstep-kms/lockstep/integration/clients/cluster"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// tour is a walk through the operations that notes which were called.
type tour struct {
	*testing.T
	ctx context.Context
	cfg aws.Config
	iam *iam.Client
	sts *sts.Client

	mu     sync.Mutex
	called map[string]bool // guarded by mu
}

func newTour(t *testing.T, c *cluster.Cluster) *tour {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	r := &tour{T: t, ctx: ctx, cfg: c.Config(t), called: map[string]bool{}}
	r.cfg.APIOptions = append(r.cfg.APIOptions, func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("note", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			r.mu.Lock()
			r.called[awsmiddleware.GetOperationName(ctx)] = true
			r.mu.Unlock()
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
	})
	r.iam, r.sts = iam.NewFromConfig(r.cfg), sts.NewFromConfig(r.cfg)
	return r
}

// as returns clients with other credentials.
func (r *tour) as(id, secret, token string) (*iam.Client, *sts.Client) {
	cfg := r.cfg
	cfg.Credentials = credentials.NewStaticCredentialsProvider(id, secret, token)
	return iam.NewFromConfig(cfg), sts.NewFromConfig(cfg)
}

// ok fails the test when a call was refused.
func ok[Out any](r *tour) func(*Out, error) *Out {
	return func(out *Out, err error) *Out {
		r.Helper()
		if err != nil {
			r.Fatal(err)
		}
		return out
	}
}

// refused fails the test unless a call was refused with an error of type E, or of a code when there is no type.
func refused[E error, Out any](r *tour, _ *Out, err error) {
	r.Helper()
	if _, is := errors.AsType[E](err); !is {
		r.Errorf("the answer is %v, want %T", err, *new(E))
	}
}

func (r *tour) code(err error, code string) {
	r.Helper()
	if e, is := errors.AsType[smithy.APIError](err); !is || e.ErrorCode() != code {
		r.Errorf("the answer is %v, want %s", err, code)
	}
}

const allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// TestEveryOperation calls all that is served, with the SDK's own types and error types.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	r := newTour(t, c)
	who := ok[sts.GetCallerIdentityOutput](r)(r.sts.GetCallerIdentity(r.ctx, nil))
	// Where it is given an endpoint, the SDK signs for IAM in the client's region.
	for region, taken := range map[string]bool{"us-east-1": true, "eu-west-1": true, "eu-west-2": false} {
		if _, err := r.iam.ListUsers(r.ctx, nil, func(o *iam.Options) { o.Region = region }); taken {
			ok[iam.ListUsersOutput](r)(nil, err)
		} else {
			r.code(err, "SignatureDoesNotMatch")
		}
	}
	r.people(*who.Account)
	r.policies()
	r.roles(*who.Account)
	r.sessions(*who.Account)
	r.issuers()
	r.nothings()
	r.errors(*who.Account)
	r.ends()

	page, err := os.ReadFile("../../../docs/aws-compatibility-iam.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| served").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 80 {
		t.Errorf("only %d rows of the page were found", len(rows))
	}
	for _, m := range rows {
		if !r.called[m[1]] {
			t.Errorf("%s is served and was not called", m[1])
		}
	}
}

func (r *tour) people(account string) {
	tags := []types.Tag{{Key: aws.String("team"), Value: aws.String("blue")}, {Key: aws.String("empty"), Value: aws.String("")}}
	made := ok[iam.CreateUserOutput](r)(r.iam.CreateUser(r.ctx, &iam.CreateUserInput{UserName: aws.String("ann"), Path: aws.String("/team/"), Tags: tags})).User
	if *made.Arn != "arn:aws:iam::"+account+":user/team/ann" || !strings.HasPrefix(*made.UserId, "AIDA") || made.CreateDate.IsZero() || len(made.Tags) != 2 {
		r.Errorf("made %+v", made)
	}
	for _, name := range []string{"bob", "cid"} {
		ok[iam.CreateUserOutput](r)(r.iam.CreateUser(r.ctx, &iam.CreateUserInput{UserName: &name}))
	}
	if got := ok[iam.GetUserOutput](r)(r.iam.GetUser(r.ctx, &iam.GetUserInput{UserName: aws.String("ann")})).User; *got.UserId != *made.UserId {
		r.Errorf("got %+v", got)
	}
	ok[iam.TagUserOutput](r)(r.iam.TagUser(r.ctx, &iam.TagUserInput{UserName: aws.String("ann"), Tags: []types.Tag{{Key: aws.String("stage"), Value: aws.String("x")}}}))
	ok[iam.UntagUserOutput](r)(r.iam.UntagUser(r.ctx, &iam.UntagUserInput{UserName: aws.String("ann"), TagKeys: []string{"team", "empty"}}))
	if got := ok[iam.ListUserTagsOutput](r)(r.iam.ListUserTags(r.ctx, &iam.ListUserTagsInput{UserName: aws.String("ann")})); len(got.Tags) != 1 || *got.Tags[0].Key != "stage" || got.IsTruncated {
		r.Errorf("tags %+v", got.Tags)
	}
	var names []string
	for p := iam.NewListUsersPaginator(r.iam, &iam.ListUsersInput{MaxItems: aws.Int32(1)}); p.HasMorePages(); {
		for _, u := range ok[iam.ListUsersOutput](r)(p.NextPage(r.ctx)).Users {
			names = append(names, *u.UserName)
		}
	}
	if !slices.Equal(names, []string{"ann", "bob", "cid"}) {
		r.Errorf("users %v", names)
	}
	if got := ok[iam.ListUsersOutput](r)(r.iam.ListUsers(r.ctx, &iam.ListUsersInput{PathPrefix: aws.String("/team/")})).Users; len(got) != 1 {
		r.Errorf("%d users are under the path", len(got))
	}

	ok[iam.CreateGroupOutput](r)(r.iam.CreateGroup(r.ctx, &iam.CreateGroupInput{GroupName: aws.String("g")}))
	ok[iam.AddUserToGroupOutput](r)(r.iam.AddUserToGroup(r.ctx, &iam.AddUserToGroupInput{GroupName: aws.String("g"), UserName: aws.String("ann")}))
	if got := ok[iam.GetGroupOutput](r)(r.iam.GetGroup(r.ctx, &iam.GetGroupInput{GroupName: aws.String("g")})); *got.Group.GroupName != "g" || len(got.Users) != 1 || *got.Users[0].UserName != "ann" {
		r.Errorf("group %+v", got)
	}
	if got := ok[iam.ListGroupsOutput](r)(r.iam.ListGroups(r.ctx, nil)).Groups; len(got) != 1 {
		r.Errorf("%d groups", len(got))
	}
	if got := ok[iam.ListGroupsForUserOutput](r)(r.iam.ListGroupsForUser(r.ctx, &iam.ListGroupsForUserInput{UserName: aws.String("ann")})).Groups; len(got) != 1 || !strings.HasPrefix(*got[0].GroupId, "AGPA") {
		r.Errorf("groups of ann %+v", got)
	}
}

func (r *tour) policies() {
	made := ok[iam.CreatePolicyOutput](r)(r.iam.CreatePolicy(r.ctx, &iam.CreatePolicyInput{PolicyName: aws.String("p"), Path: aws.String("/p/"), PolicyDocument: aws.String(allowAll), Description: aws.String("d")})).Policy
	arn := made.Arn
	ok[iam.TagPolicyOutput](r)(r.iam.TagPolicy(r.ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("b"), Value: aws.String("2")}}}))
	ok[iam.UntagPolicyOutput](r)(r.iam.UntagPolicy(r.ctx, &iam.UntagPolicyInput{PolicyArn: arn, TagKeys: []string{"b"}}))
	if got := ok[iam.ListPolicyTagsOutput](r)(r.iam.ListPolicyTags(r.ctx, &iam.ListPolicyTagsInput{PolicyArn: arn})).Tags; len(got) != 1 || *got[0].Value != "1" {
		r.Errorf("tags %+v", got)
	}
	v := ok[iam.CreatePolicyVersionOutput](r)(r.iam.CreatePolicyVersion(r.ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(allowAll), SetAsDefault: true})).PolicyVersion
	if *v.VersionId != "v2" || !v.IsDefaultVersion {
		r.Errorf("version %+v", v)
	}
	got := ok[iam.GetPolicyVersionOutput](r)(r.iam.GetPolicyVersion(r.ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")})).PolicyVersion
	if text, err := url.PathUnescape(*got.Document); err != nil || text != allowAll {
		r.Errorf("document %s: %v", *got.Document, err)
	}
	ok[iam.SetDefaultPolicyVersionOutput](r)(r.iam.SetDefaultPolicyVersion(r.ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")}))
	if got := ok[iam.ListPolicyVersionsOutput](r)(r.iam.ListPolicyVersions(r.ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn})).Versions; len(got) != 2 {
		r.Errorf("%d versions", len(got))
	}
	ok[iam.DeletePolicyVersionOutput](r)(r.iam.DeletePolicyVersion(r.ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")}))

	ann, g := aws.String("ann"), aws.String("g")
	ok[iam.AttachUserPolicyOutput](r)(r.iam.AttachUserPolicy(r.ctx, &iam.AttachUserPolicyInput{UserName: ann, PolicyArn: arn}))
	ok[iam.AttachGroupPolicyOutput](r)(r.iam.AttachGroupPolicy(r.ctx, &iam.AttachGroupPolicyInput{GroupName: g, PolicyArn: arn}))
	ok[iam.PutUserPermissionsBoundaryOutput](r)(r.iam.PutUserPermissionsBoundary(r.ctx, &iam.PutUserPermissionsBoundaryInput{UserName: ann, PermissionsBoundary: arn}))
	if got := ok[iam.GetUserOutput](r)(r.iam.GetUser(r.ctx, &iam.GetUserInput{UserName: ann})).User.PermissionsBoundary; got == nil || *got.PermissionsBoundaryArn != *arn {
		r.Errorf("boundary %+v", got)
	}
	if got := ok[iam.GetPolicyOutput](r)(r.iam.GetPolicy(r.ctx, &iam.GetPolicyInput{PolicyArn: arn})).Policy; *got.AttachmentCount != 2 || *got.PermissionsBoundaryUsageCount != 1 || *got.Description != "d" || !got.IsAttachable {
		r.Errorf("policy %+v", got)
	}
	if got := ok[iam.ListEntitiesForPolicyOutput](r)(r.iam.ListEntitiesForPolicy(r.ctx, &iam.ListEntitiesForPolicyInput{PolicyArn: arn, PolicyUsageFilter: types.PolicyUsageTypePermissionsPolicy})); len(got.PolicyUsers) != 1 || len(got.PolicyGroups) != 1 || len(got.PolicyRoles) != 0 {
		r.Errorf("entities %+v", got)
	}
	for scope, n := range map[types.PolicyScopeType]int{types.PolicyScopeTypeLocal: 1, types.PolicyScopeTypeAws: 0} {
		if got := ok[iam.ListPoliciesOutput](r)(r.iam.ListPolicies(r.ctx, &iam.ListPoliciesInput{Scope: scope, OnlyAttached: true})).Policies; len(got) != n {
			r.Errorf("%d policies of %s", len(got), scope)
		}
	}
	if got := ok[iam.ListAttachedUserPoliciesOutput](r)(r.iam.ListAttachedUserPolicies(r.ctx, &iam.ListAttachedUserPoliciesInput{UserName: ann})).AttachedPolicies; len(got) != 1 || *got[0].PolicyArn != *arn {
		r.Errorf("attached %+v", got)
	}
	if got := ok[iam.ListAttachedGroupPoliciesOutput](r)(r.iam.ListAttachedGroupPolicies(r.ctx, &iam.ListAttachedGroupPoliciesInput{GroupName: g})).AttachedPolicies; len(got) != 1 {
		r.Errorf("attached %+v", got)
	}
	ok[iam.PutUserPolicyOutput](r)(r.iam.PutUserPolicy(r.ctx, &iam.PutUserPolicyInput{UserName: ann, PolicyName: aws.String("i"), PolicyDocument: aws.String(allowAll)}))
	ok[iam.PutGroupPolicyOutput](r)(r.iam.PutGroupPolicy(r.ctx, &iam.PutGroupPolicyInput{GroupName: g, PolicyName: aws.String("i"), PolicyDocument: aws.String(allowAll)}))
	if got := ok[iam.GetUserPolicyOutput](r)(r.iam.GetUserPolicy(r.ctx, &iam.GetUserPolicyInput{UserName: ann, PolicyName: aws.String("i")})); *got.UserName != "ann" || !strings.HasPrefix(*got.PolicyDocument, "%7B%22Version") {
		r.Errorf("inline %+v", got)
	}
	ok[iam.GetGroupPolicyOutput](r)(r.iam.GetGroupPolicy(r.ctx, &iam.GetGroupPolicyInput{GroupName: g, PolicyName: aws.String("i")}))
	if got := ok[iam.ListUserPoliciesOutput](r)(r.iam.ListUserPolicies(r.ctx, &iam.ListUserPoliciesInput{UserName: ann})).PolicyNames; !slices.Equal(got, []string{"i"}) {
		r.Errorf("inline policies %v", got)
	}
	ok[iam.ListGroupPoliciesOutput](r)(r.iam.ListGroupPolicies(r.ctx, &iam.ListGroupPoliciesInput{GroupName: g}))
	sim := ok[iam.SimulatePrincipalPolicyOutput](r)(r.iam.SimulatePrincipalPolicy(r.ctx, &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: aws.String(strings.Replace(*arn, "policy/p/p", "user/team/ann", 1)), ActionNames: []string{"iam:GetUser", "kms:ListKeys"}, ResourceArns: []string{"*"}}))
	if len(sim.EvaluationResults) != 2 || sim.EvaluationResults[1].EvalDecision != types.PolicyEvaluationDecisionTypeAllowed || *sim.EvaluationResults[1].EvalActionName != "kms:ListKeys" {
		r.Errorf("simulated %+v", sim.EvaluationResults)
	}
}

func (r *tour) roles(account string) {
	name := aws.String("r")
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	made := ok[iam.CreateRoleOutput](r)(r.iam.CreateRole(r.ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: &trust, Description: aws.String("d"), MaxSessionDuration: aws.Int32(7200),
		Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}})).Role
	arn := aws.String("arn:aws:iam::" + account + ":policy/p/p")
	if *made.MaxSessionDuration != 7200 || len(made.Tags) != 1 {
		r.Errorf("made %+v", made)
	}
	ok[iam.UpdateRoleOutput](r)(r.iam.UpdateRole(r.ctx, &iam.UpdateRoleInput{RoleName: name, Description: aws.String("")}))
	if got := ok[iam.GetRoleOutput](r)(r.iam.GetRole(r.ctx, &iam.GetRoleInput{RoleName: name})).Role; aws.ToString(got.Description) != "" || *got.MaxSessionDuration != 7200 {
		r.Errorf("role %+v", got)
	}
	if got := ok[iam.UpdateRoleDescriptionOutput](r)(r.iam.UpdateRoleDescription(r.ctx, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: aws.String("other")})).Role; *got.Description != "other" {
		r.Errorf("role %+v", got)
	}
	ok[iam.UpdateAssumeRolePolicyOutput](r)(r.iam.UpdateAssumeRolePolicy(r.ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: &trust}))
	ok[iam.TagRoleOutput](r)(r.iam.TagRole(r.ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}}))
	ok[iam.UntagRoleOutput](r)(r.iam.UntagRole(r.ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{"a"}}))
	if got := ok[iam.ListRoleTagsOutput](r)(r.iam.ListRoleTags(r.ctx, &iam.ListRoleTagsInput{RoleName: name})).Tags; len(got) != 1 || *got[0].Key != "b" {
		r.Errorf("tags %+v", got)
	}
	if got := ok[iam.ListRolesOutput](r)(r.iam.ListRoles(r.ctx, nil)).Roles; len(got) != 1 {
		r.Errorf("%d roles", len(got))
	}
	ok[iam.AttachRolePolicyOutput](r)(r.iam.AttachRolePolicy(r.ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: arn}))
	ok[iam.ListAttachedRolePoliciesOutput](r)(r.iam.ListAttachedRolePolicies(r.ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name, PathPrefix: aws.String("/p/")}))
	ok[iam.PutRolePolicyOutput](r)(r.iam.PutRolePolicy(r.ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("i"), PolicyDocument: aws.String(allowAll)}))
	ok[iam.GetRolePolicyOutput](r)(r.iam.GetRolePolicy(r.ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("i")}))
	ok[iam.ListRolePoliciesOutput](r)(r.iam.ListRolePolicies(r.ctx, &iam.ListRolePoliciesInput{RoleName: name}))
	ok[iam.PutRolePermissionsBoundaryOutput](r)(r.iam.PutRolePermissionsBoundary(r.ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: arn}))
	if err := iam.NewRoleExistsWaiter(r.iam).Wait(r.ctx, &iam.GetRoleInput{RoleName: name}, 10*time.Second); err != nil {
		r.Error(err)
	}
}

func (r *tour) sessions(account string) {
	arn := aws.String("arn:aws:iam::" + account + ":role/r")
	a := ok[sts.AssumeRoleOutput](r)(r.sts.AssumeRole(r.ctx, &sts.AssumeRoleInput{RoleArn: arn, RoleSessionName: aws.String("tour"), DurationSeconds: aws.Int32(900),
		Tags: []ststypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}, PolicyArns: []ststypes.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::" + account + ":policy/p/p")}}}))
	if *a.AssumedRoleUser.Arn != "arn:aws:sts::"+account+":assumed-role/r/tour" || a.Credentials.Expiration.Before(time.Now().Add(14*time.Minute)) {
		r.Errorf("assumed %+v", a.AssumedRoleUser)
	}
	_, bySession := r.as(*a.Credentials.AccessKeyId, *a.Credentials.SecretAccessKey, *a.Credentials.SessionToken)
	if got := ok[sts.GetCallerIdentityOutput](r)(bySession.GetCallerIdentity(r.ctx, nil)); *got.Arn != *a.AssumedRoleUser.Arn || *got.UserId != *a.AssumedRoleUser.AssumedRoleId {
		r.Errorf("the session is %s", *got.Arn)
	}
	_, err := bySession.GetSessionToken(r.ctx, nil)
	r.code(err, "AccessDenied")

	key := ok[iam.CreateAccessKeyOutput](r)(r.iam.CreateAccessKey(r.ctx, &iam.CreateAccessKeyInput{UserName: aws.String("ann")})).AccessKey
	annIAM, annSTS := r.as(*key.AccessKeyId, *key.SecretAccessKey, "")
	if got := ok[iam.GetUserOutput](r)(annIAM.GetUser(r.ctx, nil)).User; *got.UserName != "ann" {
		r.Errorf("ann is %+v", got)
	}
	if got := ok[iam.ListAccessKeysOutput](r)(annIAM.ListAccessKeys(r.ctx, nil)).AccessKeyMetadata; len(got) != 1 || *got[0].AccessKeyId != *key.AccessKeyId || got[0].Status != types.StatusTypeActive {
		r.Errorf("ann's keys are %+v", got)
	}
	if got := ok[iam.GetAccessKeyLastUsedOutput](r)(r.iam.GetAccessKeyLastUsed(r.ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: key.AccessKeyId})); *got.UserName != "ann" || got.AccessKeyLastUsed.LastUsedDate == nil || *got.AccessKeyLastUsed.ServiceName != "iam" {
		r.Errorf("last used %+v", got.AccessKeyLastUsed)
	}
	own := ok[sts.GetSessionTokenOutput](r)(annSTS.GetSessionToken(r.ctx, nil)).Credentials
	if until := time.Until(*own.Expiration); until < 11*time.Hour || until > 13*time.Hour {
		r.Errorf("ann's session lasts %s", until)
	}
	ownIAM, ownSTS := r.as(*own.AccessKeyId, *own.SecretAccessKey, *own.SessionToken)
	ok[sts.GetCallerIdentityOutput](r)(ownSTS.GetCallerIdentity(r.ctx, nil))
	_, err = ownIAM.GetUser(r.ctx, nil)
	r.code(err, "AccessDenied")
	ok[iam.UpdateAccessKeyOutput](r)(r.iam.UpdateAccessKey(r.ctx, &iam.UpdateAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive}))
	_, err = ownSTS.GetCallerIdentity(r.ctx, nil)
	r.code(err, "InvalidClientTokenId")
	ok[iam.DeleteAccessKeyOutput](r)(r.iam.DeleteAccessKey(r.ctx, &iam.DeleteAccessKeyInput{UserName: aws.String("ann"), AccessKeyId: key.AccessKeyId}))
}

func (r *tour) issuers() {
	thumbprint := strings.Repeat("0a", 20)
	arn := ok[iam.CreateOpenIDConnectProviderOutput](r)(r.iam.CreateOpenIDConnectProvider(r.ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String("https://issuer.example/realm"), ClientIDList: []string{"a"},
		ThumbprintList: []string{thumbprint}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}})).OpenIDConnectProviderArn
	ok[iam.AddClientIDToOpenIDConnectProviderOutput](r)(r.iam.AddClientIDToOpenIDConnectProvider(r.ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("b")}))
	ok[iam.RemoveClientIDFromOpenIDConnectProviderOutput](r)(r.iam.RemoveClientIDFromOpenIDConnectProvider(r.ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("a")}))
	ok[iam.UpdateOpenIDConnectProviderThumbprintOutput](r)(r.iam.UpdateOpenIDConnectProviderThumbprint(r.ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{thumbprint, strings.Repeat("0b", 20)}}))
	ok[iam.TagOpenIDConnectProviderOutput](r)(r.iam.TagOpenIDConnectProvider(r.ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}}))
	ok[iam.UntagOpenIDConnectProviderOutput](r)(r.iam.UntagOpenIDConnectProvider(r.ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, TagKeys: []string{"a"}}))
	if got := ok[iam.ListOpenIDConnectProviderTagsOutput](r)(r.iam.ListOpenIDConnectProviderTags(r.ctx, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: arn})).Tags; len(got) != 1 || *got[0].Key != "b" {
		r.Errorf("tags %+v", got)
	}
	if got := ok[iam.GetOpenIDConnectProviderOutput](r)(r.iam.GetOpenIDConnectProvider(r.ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})); *got.Url != "issuer.example/realm" || !slices.Equal(got.ClientIDList, []string{"b"}) || len(got.ThumbprintList) != 2 {
		r.Errorf("issuer %+v", got)
	}
	if got := ok[iam.ListOpenIDConnectProvidersOutput](r)(r.iam.ListOpenIDConnectProviders(r.ctx, nil)).OpenIDConnectProviderList; len(got) != 1 || *got[0].Arn != *arn {
		r.Errorf("issuers %+v", got)
	}
	_, err := r.sts.AssumeRoleWithWebIdentity(r.ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: aws.String(strings.Replace(*arn, "oidc-provider/issuer.example/realm", "role/r", 1)), RoleSessionName: aws.String("web"), WebIdentityToken: aws.String("a.b.c")})
	refused[*ststypes.InvalidIdentityTokenException](r, new(struct{}), err)
	ok[iam.DeleteOpenIDConnectProviderOutput](r)(r.iam.DeleteOpenIDConnectProvider(r.ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))
}

// nothings are what tools look for before they delete a user or role.
func (r *tour) nothings() {
	ann := aws.String("ann")
	for what, n := range map[string]int{
		"instance profiles": len(ok[iam.ListInstanceProfilesForRoleOutput](r)(r.iam.ListInstanceProfilesForRole(r.ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: aws.String("r")})).InstanceProfiles),
		"MFA devices":       len(ok[iam.ListMFADevicesOutput](r)(r.iam.ListMFADevices(r.ctx, &iam.ListMFADevicesInput{UserName: ann})).MFADevices),
		"virtual devices":   len(ok[iam.ListVirtualMFADevicesOutput](r)(r.iam.ListVirtualMFADevices(r.ctx, &iam.ListVirtualMFADevicesInput{AssignmentStatus: types.AssignmentStatusTypeAssigned})).VirtualMFADevices),
		"certificates":      len(ok[iam.ListSigningCertificatesOutput](r)(r.iam.ListSigningCertificates(r.ctx, &iam.ListSigningCertificatesInput{UserName: ann})).Certificates),
		"SSH keys":          len(ok[iam.ListSSHPublicKeysOutput](r)(r.iam.ListSSHPublicKeys(r.ctx, &iam.ListSSHPublicKeysInput{UserName: ann})).SSHPublicKeys),
		"credentials":       len(ok[iam.ListServiceSpecificCredentialsOutput](r)(r.iam.ListServiceSpecificCredentials(r.ctx, &iam.ListServiceSpecificCredentialsInput{UserName: ann})).ServiceSpecificCredentials),
		"aliases":           len(ok[iam.ListAccountAliasesOutput](r)(r.iam.ListAccountAliases(r.ctx, nil)).AccountAliases),
	} {
		if n != 0 {
			r.Errorf("%d %s", n, what)
		}
	}
	_, err := r.iam.GetLoginProfile(r.ctx, &iam.GetLoginProfileInput{UserName: ann})
	refused[*types.NoSuchEntityException](r, new(struct{}), err)
	_, err = r.iam.DeleteLoginProfile(r.ctx, &iam.DeleteLoginProfileInput{UserName: ann})
	refused[*types.NoSuchEntityException](r, new(struct{}), err)
}

// errors provokes what the SDK has types for.
func (r *tour) errors(account string) {
	user, err := r.iam.GetUser(r.ctx, &iam.GetUserInput{UserName: aws.String("nobody")})
	refused[*types.NoSuchEntityException](r, user, err)
	created, err := r.iam.CreateUser(r.ctx, &iam.CreateUserInput{UserName: aws.String("ANN")})
	refused[*types.EntityAlreadyExistsException](r, created, err)
	deleted, err := r.iam.DeleteUser(r.ctx, &iam.DeleteUserInput{UserName: aws.String("ann")})
	refused[*types.DeleteConflictException](r, deleted, err)
	role, err := r.iam.CreateRole(r.ctx, &iam.CreateRoleInput{RoleName: aws.String("x"), AssumeRolePolicyDocument: aws.String("{")})
	refused[*types.MalformedPolicyDocumentException](r, role, err)
	attached, err := r.iam.AttachUserPolicy(r.ctx, &iam.AttachUserPolicyInput{UserName: aws.String("ann"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
	refused[*types.InvalidInputException](r, attached, err)
	for range 2 {
		ok[iam.CreateAccessKeyOutput](r)(r.iam.CreateAccessKey(r.ctx, &iam.CreateAccessKeyInput{UserName: aws.String("bob")}))
	}
	third, err := r.iam.CreateAccessKey(r.ctx, &iam.CreateAccessKeyInput{UserName: aws.String("bob")})
	refused[*types.LimitExceededException](r, third, err)
	_, err = r.iam.CreateUser(r.ctx, &iam.CreateUserInput{UserName: aws.String("a b")})
	r.code(err, "ValidationError")
	malformed, err := r.sts.AssumeRole(r.ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + account + ":role/r"), RoleSessionName: aws.String("s1"), Policy: aws.String("{}")})
	refused[*ststypes.MalformedPolicyDocumentException](r, malformed, err)
	long := `{"Version":"2012-10-17","Statement":[{"Sid":"` + strings.Repeat("a", 2048) + `","Effect":"Allow","Action":"*","Resource":"*"}]}`
	large, err := r.sts.AssumeRole(r.ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + account + ":role/r"), RoleSessionName: aws.String("s1"), Policy: &long})
	refused[*ststypes.PackedPolicyTooLargeException](r, large, err)
	strange, _ := r.as("AKIAAAAAAAAAAAAAAAAA", "secret", "")
	_, err = strange.ListUsers(r.ctx, nil)
	r.code(err, "InvalidClientTokenId")
}

// ends takes everything away again, as a tool that destroys does.
func (r *tour) ends() {
	ann, g, name := aws.String("ann"), aws.String("g"), aws.String("r")
	arn := ok[iam.ListPoliciesOutput](r)(r.iam.ListPolicies(r.ctx, nil)).Policies[0].Arn
	ok[iam.RemoveUserFromGroupOutput](r)(r.iam.RemoveUserFromGroup(r.ctx, &iam.RemoveUserFromGroupInput{GroupName: g, UserName: ann}))
	ok[iam.DeleteUserPermissionsBoundaryOutput](r)(r.iam.DeleteUserPermissionsBoundary(r.ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: ann}))
	ok[iam.DeleteRolePermissionsBoundaryOutput](r)(r.iam.DeleteRolePermissionsBoundary(r.ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name}))
	ok[iam.DetachUserPolicyOutput](r)(r.iam.DetachUserPolicy(r.ctx, &iam.DetachUserPolicyInput{UserName: ann, PolicyArn: arn}))
	ok[iam.DetachGroupPolicyOutput](r)(r.iam.DetachGroupPolicy(r.ctx, &iam.DetachGroupPolicyInput{GroupName: g, PolicyArn: arn}))
	ok[iam.DetachRolePolicyOutput](r)(r.iam.DetachRolePolicy(r.ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: arn}))
	ok[iam.DeleteUserPolicyOutput](r)(r.iam.DeleteUserPolicy(r.ctx, &iam.DeleteUserPolicyInput{UserName: ann, PolicyName: aws.String("i")}))
	ok[iam.DeleteGroupPolicyOutput](r)(r.iam.DeleteGroupPolicy(r.ctx, &iam.DeleteGroupPolicyInput{GroupName: g, PolicyName: aws.String("i")}))
	ok[iam.DeleteRolePolicyOutput](r)(r.iam.DeleteRolePolicy(r.ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("i")}))
	ok[iam.DeleteGroupOutput](r)(r.iam.DeleteGroup(r.ctx, &iam.DeleteGroupInput{GroupName: g}))
	ok[iam.DeleteRoleOutput](r)(r.iam.DeleteRole(r.ctx, &iam.DeleteRoleInput{RoleName: name}))
	ok[iam.DeleteUserOutput](r)(r.iam.DeleteUser(r.ctx, &iam.DeleteUserInput{UserName: ann}))
	ok[iam.DeletePolicyOutput](r)(r.iam.DeletePolicy(r.ctx, &iam.DeletePolicyInput{PolicyArn: arn}))
}
