package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
)

// queries speaks AWS's query protocol to the nodes of a cluster, each request to the next one.
type queries struct {
	c    *cluster.Cluster
	next *atomic.Int64
	who  credentials
}

func (q queries) as(who credentials) queries { return queries{q.c, q.next, who} }

// xmlAnswer is what of all answers these tests read.
type xmlAnswer struct {
	status int
	node   string

	Code    string `xml:"Error>Code"`
	Message string `xml:"Error>Message"`

	Who       string `xml:"GetCallerIdentityResult>Arn"`
	UserARN   string `xml:"GetUserResult>User>Arn"`
	RoleARN   string `xml:"CreateRoleResult>Role>Arn"`
	PolicyARN string `xml:"CreatePolicyResult>Policy>Arn"`

	KeyID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
	KeySecret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`

	Role xmlCredentials `xml:"AssumeRoleResult>Credentials"`
	Web  xmlCredentials `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	Own  xmlCredentials `xml:"GetSessionTokenResult>Credentials"`
}

type xmlCredentials struct {
	AccessKeyID string `xml:"AccessKeyId"`
	Secret      string `xml:"SecretAccessKey"`
	Token       string `xml:"SessionToken"`
}

func (c xmlCredentials) credentials() credentials {
	return credentials{c.AccessKeyID, c.Secret, c.Token}
}

// ask sends one request; parameters are names and values.
func (q queries) ask(t *testing.T, service, action string, parameters ...string) (a xmlAnswer) {
	t.Helper()
	n := q.c.Nodes[int(q.next.Add(1))%len(q.c.Nodes)]
	form := url.Values{"Action": {action}, "Version": {map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}[service]}}
	for i := 0; i+1 < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	body := form.Encode()
	h := request{method: "POST", path: "/", body: body, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}.unsigned(t, n)
	if q.who != (credentials{}) {
		sum := sha256.Sum256([]byte(body))
		by := aws.Credentials{AccessKeyID: q.who.id, SecretAccessKey: q.who.secret, SessionToken: q.who.token}
		if err := v4.NewSigner().SignHTTP(h.Context(), by, h, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	w, err := http.DefaultClient.Do(h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	if err := xml.NewDecoder(w.Body).Decode(&a); err != nil {
		t.Fatalf("%s of %s: %d: %v", action, n.Name, w.StatusCode, err)
	}
	a.status, a.node = w.StatusCode, n.Name
	return a
}

// must asks and fails the test when it is refused.
func (q queries) must(t *testing.T, service, action string, parameters ...string) xmlAnswer {
	t.Helper()
	a := q.ask(t, service, action, parameters...)
	if a.status != http.StatusOK {
		t.Fatalf("%s of %s: %d %s: %s", action, a.node, a.status, a.Code, a.Message)
	}
	return a
}

// refused asks every node and fails the test unless all refuse it alike.
func (q queries) refused(t *testing.T, status int, code, service, action string, parameters ...string) {
	t.Helper()
	for range q.c.Nodes {
		if a := q.ask(t, service, action, parameters...); a.status != status || a.Code != code {
			t.Errorf("%s of %s: %d %q %s, want %d %s", action, a.node, a.status, a.Code, a.Message, status, code)
		}
	}
}

// TestQueryProtocol tells one story through STS and IAM, each request to another node: what one wrote every other has.
func TestQueryProtocol(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	root := queries{c, new(atomic.Int64), credentials{c.AccessKeyID, c.SecretAccessKey, ""}}
	account := c.Nodes[0].Config.OperatorAccountID
	iam := "arn:aws:iam::" + account + ":"

	if a := root.must(t, "sts", "GetCallerIdentity"); a.Who != iam+"root" {
		t.Errorf("the root is %s", a.Who)
	}
	root.must(t, "iam", "CreateUser", "UserName", "ann", "Path", "/team/", "Tags.member.1.Key", "team", "Tags.member.1.Value", "blue")
	root.refused(t, 409, "EntityAlreadyExists", "iam", "CreateUser", "UserName", "Ann")
	key := root.must(t, "iam", "CreateAccessKey", "UserName", "ann")
	ann := root.as(credentials{key.KeyID, key.KeySecret, ""})
	policy := root.must(t, "iam", "CreatePolicy", "PolicyName", "assume", "PolicyDocument", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","iam:GetUser"],"Resource":"*"}}`).PolicyARN
	ann.refused(t, 403, "AccessDenied", "iam", "GetUser")
	root.must(t, "iam", "AttachUserPolicy", "UserName", "ann", "PolicyArn", policy)
	for range c.Nodes {
		if a := ann.must(t, "iam", "GetUser"); a.UserARN != iam+"user/team/ann" {
			t.Errorf("on %s ann is %s", a.node, a.UserARN)
		}
	}

	role := root.must(t, "iam", "CreateRole", "RoleName", "shop", "AssumeRolePolicyDocument",
		fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"%sroot"},"Action":"sts:AssumeRole"}}`, iam)).RoleARN
	root.must(t, "iam", "PutRolePolicy", "RoleName", "shop", "PolicyName", "read", "PolicyDocument", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}}`)
	shop := root.as(ann.must(t, "sts", "AssumeRole", "RoleArn", role, "RoleSessionName", "story").Role.credentials())
	for range c.Nodes {
		if a := shop.must(t, "sts", "GetCallerIdentity"); a.Who != "arn:aws:sts::"+account+":assumed-role/shop/story" {
			t.Errorf("on %s the session is %s", a.node, a.Who)
		}
		shop.must(t, "iam", "ListUsers")
	}
	shop.refused(t, 403, "AccessDenied", "iam", "CreateUser", "UserName", "eve")
	shop.refused(t, 403, "AccessDenied", "sts", "GetSessionToken")

	own := root.as(ann.must(t, "sts", "GetSessionToken", "DurationSeconds", "900").Own.credentials())
	for range c.Nodes {
		if a := own.must(t, "sts", "GetCallerIdentity"); a.Who != iam+"user/team/ann" {
			t.Errorf("on %s ann's own session is %s", a.node, a.Who)
		}
		own.must(t, "sts", "AssumeRole", "RoleArn", role, "RoleSessionName", "own")
	}
	own.refused(t, 403, "AccessDenied", "iam", "GetUser")

	issuer := oidctest.New(t)
	if _, err := c.Client().CreateOpenIDConnectProvider(background(t), &kms.CreateOIDCProviderRequest{URL: issuer.URL(), ClientIDList: []string{"lockstep"}, CACertificate: issuer.CA()}); err != nil {
		t.Fatal(err) // its CA is nothing that AWS's clients can name
	}
	name := issuer.URL()[len("https://"):]
	ci := root.must(t, "iam", "CreateRole", "RoleName", "ci", "AssumeRolePolicyDocument", fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"%soidc-provider/%s"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:sub":"build"}}}}`, iam, name, name)).RoleARN
	nobody := root.as(credentials{})
	for range c.Nodes {
		web := nobody.must(t, "sts", "AssumeRoleWithWebIdentity", "RoleArn", ci, "RoleSessionName", "b1", "WebIdentityToken", issuer.Token(map[string]any{"aud": "lockstep", "sub": "build"})).Web
		if a := root.as(web.credentials()).must(t, "sts", "GetCallerIdentity"); a.Who != "arn:aws:sts::"+account+":assumed-role/ci/b1" {
			t.Errorf("on %s the build is %s", a.node, a.Who)
		}
	}
	nobody.refused(t, 403, "AccessDenied", "sts", "AssumeRoleWithWebIdentity", "RoleArn", ci, "RoleSessionName", "b1", "WebIdentityToken", issuer.Token(map[string]any{"aud": "lockstep", "sub": "other"}))
	nobody.refused(t, 403, "MissingAuthenticationToken", "iam", "ListUsers")
	root.as(credentials{c.AccessKeyID, "wrong", ""}).refused(t, 403, "SignatureDoesNotMatch", "iam", "ListUsers")
	root.as(credentials{"AKIAAAAAAAAAAAAAAAAA", "wrong", ""}).refused(t, 403, "InvalidClientTokenId", "sts", "GetCallerIdentity")

	// What is taken away is gone on every node once the answer is here.
	root.must(t, "iam", "UpdateAccessKey", "UserName", "ann", "AccessKeyId", key.KeyID, "Status", "Inactive")
	ann.refused(t, 403, "InvalidClientTokenId", "sts", "GetCallerIdentity")
	own.refused(t, 403, "InvalidClientTokenId", "sts", "GetCallerIdentity")
	root.must(t, "iam", "UpdateAccessKey", "UserName", "ann", "AccessKeyId", key.KeyID, "Status", "Active")
	own.must(t, "sts", "GetCallerIdentity")
	root.refused(t, 409, "DeleteConflict", "iam", "DeleteUser", "UserName", "ann")
	root.must(t, "iam", "DeleteAccessKey", "UserName", "ann", "AccessKeyId", key.KeyID)
	own.refused(t, 403, "InvalidClientTokenId", "sts", "GetCallerIdentity")
	root.must(t, "iam", "DetachUserPolicy", "UserName", "ann", "PolicyArn", policy)
	root.must(t, "iam", "DeleteUser", "UserName", "ann")
	root.refused(t, 404, "NoSuchEntity", "iam", "GetUser", "UserName", "ann")
	root.must(t, "iam", "DeleteRolePolicy", "RoleName", "shop", "PolicyName", "read")
	shop.refused(t, 403, "AccessDenied", "iam", "ListUsers")
	root.must(t, "iam", "DeleteRole", "RoleName", "shop")
	shop.refused(t, 403, "InvalidClientTokenId", "sts", "GetCallerIdentity")
	root.must(t, "iam", "DeletePolicy", "PolicyArn", policy)
}
