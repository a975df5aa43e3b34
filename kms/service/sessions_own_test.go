package service_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// carl makes a user of alice's account who may do everything, and returns its access key.
func (w *world) carl(t testing.TB) servicetest.Credentials {
	t.Helper()
	w.must(t, w.alice, kms.OpCreateUser, &kms.CreateUserRequest{Name: "carl"})
	w.put(t, "user/", "carl", allowAll)
	return w.keyOf(t, "carl")
}

func (w *world) keyOf(t testing.TB, name string) servicetest.Credentials {
	t.Helper()
	a := w.must(t, w.alice, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: name}).(*kms.AccessKeyAnswer)
	return servicetest.Credentials{AccessKeyID: a.AccessKey.AccessKeyID, Secret: string(a.SecretAccessKey)}
}

func (w *world) own(t testing.TB, who servicetest.Credentials, seconds *int) *kms.SessionTokenAnswer {
	t.Helper()
	return w.must(t, who, kms.OpGetSessionToken, &kms.GetSessionTokenRequest{DurationSeconds: seconds}).(*kms.SessionTokenAnswer)
}

// A session of one's own is who asked for it, and may what that may but manage identities and make more sessions of its kind.
func TestOwnSession(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	arn := w.roleFor(t, "r", trusting("arn:aws:iam::"+aliceID+":root"), allowAll)
	for name, who := range map[string]servicetest.Credentials{"user/carl": w.carl(t), "root": w.alice} {
		s := w.own(t, who, nil)
		by := bearer(s.SessionToken)
		a, err := proven(w.Node, by, kms.OpGetCallerIdentity, &kms.Empty{})
		want(t, "who am I", err, "")
		if got := a.(*kms.CallerIdentityAnswer); got.ARN != iamARN(aliceID, name) || got.Account != aliceID || strings.Contains(got.UserID, ":") {
			t.Errorf("%s is %+v", name, got)
		}
		for _, row := range []struct {
			op      *kms.Operation
			request any
			code    kms.Code
		}{
			{kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")}, ""},
			{kms.OpAssumeRole, &kms.AssumeRoleRequest{RoleARN: arn, RoleSessionName: "from-own", Tags: map[string]string{"a": "b"}}, ""},
			{kms.OpGetUser, &kms.IdentityRequest{}, kms.CodeAccessDenied},
			{kms.OpListUsers, &kms.ListRequest{}, kms.CodeAccessDenied},
			{kms.OpCreateAccessKey, &kms.IdentityRequest{}, kms.CodeAccessDenied},
			{kms.OpListMFADevices, &kms.IdentityRequest{}, kms.CodeAccessDenied},
			{kms.OpListTrustAnchors, &kms.Empty{}, kms.CodeAccessDenied},
			{kms.OpSimulatePrincipalPolicy, &kms.SimulateRequest{PrincipalARN: iamARN(aliceID, "root"), Action: "kms:Encrypt"}, kms.CodeAccessDenied},
			{kms.OpGetSessionToken, &kms.GetSessionTokenRequest{}, kms.CodeAccessDenied},
		} {
			_, err := proven(w.Node, by, row.op, row.request)
			want(t, name+" "+row.op.Name, err, row.code)
		}
	}
	s := w.assume(t, w.alice, &kms.AssumeRoleRequest{RoleARN: arn})
	_, err := proven(w.Node, bearer(s.SessionToken), kms.OpGetSessionToken, &kms.GetSessionTokenRequest{})
	want(t, "a role's session", err, kms.CodeAccessDenied)
}

// A session of one's own ends when it expires, and with the access key or user that asked for it.
func TestOwnSessionEnds(t *testing.T) {
	c := newClock()
	w := newWorld(t, servicetest.Options{Now: c.now})
	carl := w.carl(t)
	ask := func(s *kms.SessionTokenAnswer) error {
		_, err := proven(w.Node, signedBy(t, c.now(), s.AccessKeyID, string(s.SecretAccessKey), string(s.SessionToken)), kms.OpListKeys, &kms.ListRequest{})
		return err
	}
	status := func(status kms.AccessKeyStatus) {
		w.must(t, w.alice, kms.OpUpdateAccessKey, &kms.UpdateAccessKeyRequest{Name: "carl", AccessKeyID: carl.AccessKeyID, Status: status})
	}
	s := w.own(t, carl, nil)
	other := w.own(t, w.keyOf(t, "carl"), nil)
	want(t, "at once", ask(s), "")
	status(kms.AccessKeyInactive)
	want(t, "with an inactive key", ask(s), kms.CodeUnauthenticated)
	status(kms.AccessKeyActive)
	want(t, "with an active key", ask(s), "")
	w.must(t, w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "carl", AccessKeyID: carl.AccessKeyID})
	want(t, "with a deleted key", ask(s), kms.CodeUnauthenticated)
	want(t, "of another key", ask(other), "")
	w.must(t, w.Root, kms.OpDisableAccount, &kms.AccountRequest{AccountID: aliceID})
	want(t, "of a disabled account", ask(other), kms.CodeUnauthenticated)

	bob := w.own(t, w.bob, nil)
	c.advance(time.Hour + time.Second)
	want(t, "a root's after an hour", ask(bob), kms.CodeUnauthenticated)
}

func TestOwnSessionLasts(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carl := w.carl(t)
	for _, row := range []struct {
		who  servicetest.Credentials
		ask  *int
		want int64
		code kms.Code
	}{
		{carl, nil, 43200, ""}, {carl, ptr(900), 900, ""}, {carl, ptr(129600), 129600, ""},
		{carl, ptr(899), 0, kms.CodeValidation}, {carl, ptr(129601), 0, kms.CodeValidation},
		{w.alice, nil, 3600, ""}, {w.alice, ptr(900), 900, ""}, {w.alice, ptr(7200), 3600, ""},
	} {
		before := w.Now()
		a, err := w.Do(row.who, kms.OpGetSessionToken, &kms.GetSessionTokenRequest{DurationSeconds: row.ask})
		want(t, "get a session", err, row.code)
		if err == nil {
			if got := a.(*kms.SessionTokenAnswer).Expiration.UnixMilli(); got < before+row.want*1000 || got > w.Now()+row.want*1000 {
				t.Errorf("asked for %v: it expires in %d ms", row.ask, got-before)
			}
		}
	}
}

// A request that names no user is about the caller.
func TestSelf(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carl := w.carl(t)
	for name, who := range map[string]servicetest.Credentials{"user/carl": carl, "root": w.alice} {
		holder := map[string]string{"user/carl": "carl", "root": kms.RootName}[name]
		a := w.must(t, who, kms.OpGetUser, &kms.IdentityRequest{}).(*kms.UserAnswer)
		if a.User.ARN != iamARN(aliceID, name) {
			t.Errorf("%s is %+v", name, a.User)
		}
		made := w.must(t, who, kms.OpCreateAccessKey, &kms.IdentityRequest{}).(*kms.AccessKeyAnswer).AccessKey
		keys := w.must(t, who, kms.OpListAccessKeys, &kms.IdentityRequest{}).(*kms.ListAccessKeysAnswer).AccessKeys
		if len(keys) != 2 || keys[0].UserName != holder || made.UserName != holder {
			t.Errorf("%s has %+v", name, keys)
		}
		w.must(t, who, kms.OpUpdateAccessKey, &kms.UpdateAccessKeyRequest{AccessKeyID: made.AccessKeyID, Status: kms.AccessKeyInactive})
		w.must(t, who, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{AccessKeyID: made.AccessKeyID})
	}
	arn := w.roleFor(t, "r", trusting("arn:aws:iam::"+aliceID+":root"), allowAll)
	s := w.assume(t, w.alice, &kms.AssumeRoleRequest{RoleARN: arn})
	_, err := proven(w.Node, bearer(s.SessionToken), kms.OpGetUser, &kms.IdentityRequest{})
	want(t, "a session of a role", err, kms.CodeValidation)
}

// What only AWS's clients ask for is authorized by its own action, answered and recorded.
func TestAWSOperations(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	carl := w.carl(t)
	w.put(t, "user/", "carl", permit("kms:*", "*"))
	w.must(t, w.alice, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "carl", AssumeRolePolicyDocument: trusting("*")})
	policy := w.must(t, w.alice, kms.OpCreatePolicy, &kms.CreatePolicyRequest{Name: "carl", PolicyDocument: allowAll}).(*kms.PolicyAnswer).Policy.ARN
	issuer := w.must(t, w.alice, kms.OpCreateOIDCProvider, &kms.CreateOIDCProviderRequest{URL: issuerURL, ClientIDList: []string{"a"}, JWKS: unusedKeys}).(*kms.OIDCProviderAnswer).Provider.ARN
	for _, op := range kms.AWSOperations {
		request := op.NewRequest()
		switch q := request.(type) {
		case *kms.IdentityRequest:
			q.Name = "carl"
		case *kms.UpdateRoleRequest:
			q.Name, q.Description = "carl", ptr("d")
		case *kms.PolicyRequest:
			q.PolicyARN = policy
		case *kms.ProviderRequest:
			q.Provider = issuer
		}
		w.put(t, "user/", "carl", permit("kms:*", "*"))
		_, err := w.Do(carl, op, request)
		want(t, op.Name+" without the right", err, kms.CodeAccessDenied)
		w.put(t, "user/", "carl", permit(op.Action, "*"))
		before := len(w.Records())
		_, err = w.Do(carl, op, request)
		code := kms.Code("")
		if strings.HasSuffix(op.Name, "LoginProfile") {
			code = kms.CodeNotFound
		}
		want(t, op.Name, err, code)
		if records := w.Records()[before:]; len(records) != 1 || records[0]["eventName"] != op.Name || records[0]["readOnly"] != !(strings.HasPrefix(op.Name, "Update") || strings.HasPrefix(op.Name, "Delete")) {
			t.Errorf("%s: audit records %v", op.Name, records)
		}
		if q, ok := request.(*kms.IdentityRequest); ok {
			q.Name = "nobody"
			_, err = w.Do(w.alice, op, request)
			want(t, op.Name+" of nobody", err, kms.CodeNotFound)
		}
	}
	for _, op := range kms.Operations {
		for _, other := range kms.AWSOperations {
			if op.Name == other.Name {
				t.Errorf("%s is in both tables", op.Name)
			}
		}
	}
}

// Tags and thumbprints of issuers are kept, tags of policies and issuers count in conditions, and who has a policy is told.
func TestTagsOfPoliciesAndIssuers(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	policy := w.must(t, w.alice, kms.OpCreatePolicy, &kms.CreatePolicyRequest{Name: "p", PolicyDocument: allowAll, Tags: map[string]string{"Old": "1"}}).(*kms.PolicyAnswer).Policy.ARN
	issuer := w.must(t, w.alice, kms.OpCreateOIDCProvider, &kms.CreateOIDCProviderRequest{URL: issuerURL, ClientIDList: []string{"a"}, JWKS: unusedKeys,
		ThumbprintList: []string{strings.Repeat("0a", 20)}, Tags: map[string]string{"Old": "1"}}).(*kms.OIDCProviderAnswer).Provider.ARN
	w.must(t, w.alice, kms.OpTagPolicy, &kms.TagPolicyRequest{PolicyARN: policy, Tags: map[string]string{"Team": "blue"}})
	w.must(t, w.alice, kms.OpUntagPolicy, &kms.UntagPolicyRequest{PolicyARN: policy, TagKeys: []string{"old", "none"}})
	w.must(t, w.alice, kms.OpTagOIDCProvider, &kms.TagProviderRequest{Provider: issuer, Tags: map[string]string{"Team": "blue"}})
	w.must(t, w.alice, kms.OpUntagOIDCProvider, &kms.UntagProviderRequest{Provider: issuer, TagKeys: []string{"old"}})
	w.must(t, w.alice, kms.OpUpdateOIDCThumbprint, &kms.UpdateThumbprintRequest{Provider: issuer, ThumbprintList: []string{strings.Repeat("0B", 20)}})
	p := w.must(t, w.alice, kms.OpGetPolicy, &kms.PolicyRequest{PolicyARN: policy}).(*kms.PolicyAnswer).Policy
	o := w.must(t, w.alice, kms.OpGetOIDCProvider, &kms.ProviderRequest{Provider: issuer}).(*kms.OIDCProviderAnswer).Provider
	for name, tags := range map[string]map[string]string{"policy": p.Tags, "issuer": o.Tags} {
		if len(tags) != 1 || tags["Team"] != "blue" {
			t.Errorf("the %s has the tags %v", name, tags)
		}
	}
	if len(o.ThumbprintList) != 1 || o.ThumbprintList[0] != strings.Repeat("0B", 20) {
		t.Errorf("thumbprints %v", o.ThumbprintList)
	}
	for _, thumbprints := range [][]string{{"0a"}, {strings.Repeat("0g", 20)}, make([]string, 6)} {
		_, err := w.Do(w.alice, kms.OpUpdateOIDCThumbprint, &kms.UpdateThumbprintRequest{Provider: issuer, ThumbprintList: thumbprints})
		want(t, "no thumbprint", err, kms.CodeValidation)
	}

	carl := w.carl(t)
	for team, code := range map[string]kms.Code{"blue": "", "red": kms.CodeAccessDenied} {
		w.put(t, "user/", "carl", kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"`+team+`"}}}]}`))
		_, err := w.Do(carl, kms.OpGetPolicy, &kms.PolicyRequest{PolicyARN: policy})
		want(t, "the policy for team "+team, err, code)
		_, err = w.Do(carl, kms.OpGetOIDCProvider, &kms.ProviderRequest{Provider: issuer})
		want(t, "the issuer for team "+team, err, code)
	}

	w.must(t, w.alice, kms.OpAttachUserPolicy, &kms.AttachPolicyRequest{Name: "carl", PolicyARN: policy})
	w.must(t, w.alice, kms.OpPutUserPermissionsBoundary, &kms.PutBoundaryRequest{Name: "carl", PermissionsBoundary: policy})
	w.must(t, w.alice, kms.OpCreateRole, &kms.CreateRoleRequest{Name: "r", AssumeRolePolicyDocument: trusting("*"), PermissionsBoundary: policy})
	w.must(t, w.alice, kms.OpCreateGroup, &kms.CreateGroupRequest{Name: "g"})
	w.must(t, w.alice, kms.OpAttachGroupPolicy, &kms.AttachPolicyRequest{Name: "g", PolicyARN: policy})
	e := w.must(t, w.alice, kms.OpListEntitiesForPolicy, &kms.PolicyRequest{PolicyARN: policy}).(*kms.ListEntitiesForPolicyAnswer)
	if len(e.Users) != 1 || !e.Users[0].Attached || !e.Users[0].Bounds || len(e.Groups) != 1 || !e.Groups[0].Attached || e.Groups[0].Bounds || len(e.Roles) != 1 || e.Roles[0].Attached || !e.Roles[0].Bounds {
		t.Errorf("entities %+v", e)
	}
	p = w.must(t, w.alice, kms.OpGetPolicy, &kms.PolicyRequest{PolicyARN: policy}).(*kms.PolicyAnswer).Policy
	if p.AttachmentCount != 2 || p.BoundaryCount != 2 {
		t.Errorf("counts %d, %d", p.AttachmentCount, p.BoundaryCount)
	}
	_, err := w.Do(w.alice, kms.OpDeletePolicy, &kms.PolicyRequest{PolicyARN: policy})
	want(t, "delete a policy that is used", err, kms.CodeDeleteConflict)
}
