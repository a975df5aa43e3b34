package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lockstep-kms/lockstep/api/client"
	"github.com/lockstep-kms/lockstep/api/wire"
	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
	"github.com/lockstep-kms/lockstep/integration/cluster"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/server"
)

// realm is a cluster with a key and with what its root makes of identities.
type realm struct {
	c           *cluster.Cluster
	account     string
	key, keyARN string
	policyARN   string // allows Encrypt and GenerateDataKey with the key
	ann         *kms.AccessKeyAnswer
	session     *kms.SessionAnswer
	byRoot      credentials
}

// TestIdentities lets the root of an account make users, groups and roles on one node, and uses them on others at once.
// The first node trusts a proxy on loopback, the others do not.
func TestIdentities(t *testing.T) {
	t.Parallel()
	r := &realm{c: cluster.Start(t, cluster.Options{Config: func(i int, c *server.Config) {
		if i == 0 {
			c.TrustedProxies = []string{"127.0.0.1"}
		}
	}})}
	r.account, r.byRoot = r.c.Nodes[0].Config.OperatorAccountID, credentials{r.c.AccessKeyID, r.c.SecretAccessKey, ""}
	k, err := r.root(0).CreateKey(background(t), &kms.CreateKeyRequest{Description: "of the realm"})
	if err != nil {
		t.Fatal(err)
	}
	r.key, r.keyARN = k.Key.KeyID, k.Key.ARN
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"users", r.users}, {"groups", r.groups}, {"roles", r.roles}, {"web identities", r.webIdentities}, {"accounts", r.accounts},
		{"sources", r.sources}, {"names", r.names}, {"paths", r.paths}, {"schemes", r.schemes}, {"replays", r.replays}, {"tokens", r.tokens},
		{"another leader", r.anotherLeader},
	} {
		if !t.Run(step.name, step.do) {
			return
		}
	}
}

func (r *realm) root(node int) *client.Client { return r.c.Nodes[node].Client() }

// as returns a client of a node with an access key.
func (r *realm) as(key *kms.AccessKeyAnswer, node int) *client.Client {
	return r.c.NewClient(key.AccessKey.AccessKeyID, string(key.SecretAccessKey), r.c.Nodes[node])
}

// bearer returns a client of a node with a session's token.
func (r *realm) bearer(token string, node int) *client.Client {
	return r.c.Nodes[node].ClientWith(client.Config{SessionToken: token})
}

// allowing is a policy that allows actions on a resource.
func allowing(resource string, actions ...string) kms.PolicyDocument {
	list, _ := json.Marshal(actions)
	return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":` + string(list) + `,"Resource":"` + resource + `"}}`)
}

// newUser makes a user with an inline policy, which may be "", and an access key.
func (r *realm) newUser(t *testing.T, cl *client.Client, name string, policy kms.PolicyDocument) *kms.AccessKeyAnswer {
	t.Helper()
	ctx := background(t)
	_, err := cl.CreateUser(ctx, &kms.CreateUserRequest{Name: name})
	if err == nil && policy != "" {
		err = cl.PutUserPolicy(ctx, &kms.PutInlinePolicyRequest{Name: name, PolicyName: "inline", PolicyDocument: policy})
	}
	var key *kms.AccessKeyAnswer
	if err == nil {
		key, err = cl.CreateAccessKey(ctx, &kms.IdentityRequest{Name: name})
	}
	if err != nil {
		t.Fatalf("making the user %s: %v", name, err)
	}
	return key
}

func encrypts(ctx context.Context, cl *client.Client, key string) error {
	return failed(cl.Encrypt(ctx, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("x")}))
}

// mustDeny fails the test unless err is a refusal that names action and resource.
func mustDeny(t *testing.T, err error, action, resource string) {
	t.Helper()
	if kms.CodeOf(err) != kms.CodeAccessDenied || !strings.Contains(err.Error(), action+" on resource: "+resource) {
		t.Errorf("the answer is %v, want a refusal of %s on %s", err, action, resource)
	}
}

// users makes one on the first node and uses it on the others at once; what is detached with wait=all is detached on all.
func (r *realm) users(t *testing.T) {
	ctx := background(t)
	policy, err := r.root(0).CreatePolicy(ctx, &kms.CreatePolicyRequest{Name: "use", PolicyDocument: allowing(r.keyARN, "kms:Encrypt", "kms:GenerateDataKey")})
	if err != nil {
		t.Fatal(err)
	}
	r.policyARN = policy.Policy.ARN
	r.ann = r.newUser(t, r.root(0), "ann", "")
	mustDeny(t, encrypts(ctx, r.as(r.ann, 1), r.key), "kms:Encrypt", r.keyARN)
	attached := &kms.AttachPolicyRequest{Name: "ann", PolicyARN: r.policyARN}
	if err := r.root(0).AttachUserPolicy(ctx, attached); err != nil {
		t.Fatal(err)
	}
	for _, node := range []int{1, 2, 0} {
		ann := r.as(r.ann, node)
		if err := encrypts(ctx, ann, r.key); err != nil {
			t.Errorf("on node %d: %v", node, err)
		}
		mustDeny(t, failed(ann.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: r.key})), "kms:DescribeKey", r.keyARN)
		mustDeny(t, failed(ann.ListUsers(ctx, &kms.ListRequest{})), "iam:ListUsers", "*")
		if who, err := ann.GetCallerIdentity(ctx); err != nil || who.ARN != "arn:aws:iam::"+r.account+":user/ann" {
			t.Errorf("who calls on node %d: %+v, %v", node, who, err)
		}
	}
	if err := r.root(2).DetachUserPolicy(ctx, attached, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	for node := range r.c.Nodes {
		mustDeny(t, encrypts(ctx, r.as(r.ann, node), r.key), "kms:Encrypt", r.keyARN)
	}
}

// groups gives a user rights by a group and takes them away with it.
func (r *realm) groups(t *testing.T) {
	ctx := background(t)
	if _, err := r.root(1).CreateGroup(ctx, &kms.CreateGroupRequest{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	member := &kms.GroupMemberRequest{Name: "shop", UserName: "ann"}
	if err := r.root(2).AttachGroupPolicy(ctx, &kms.AttachPolicyRequest{Name: "shop", PolicyARN: r.policyARN}); err != nil {
		t.Fatal(err)
	}
	if err := r.root(0).AddUserToGroup(ctx, member); err != nil {
		t.Fatal(err)
	}
	for node := range r.c.Nodes {
		if err := encrypts(ctx, r.as(r.ann, node), r.key); err != nil {
			t.Errorf("as a member, on node %d: %v", node, err)
		}
	}
	if err := r.root(0).RemoveUserFromGroup(ctx, member, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	for node := range r.c.Nodes {
		mustDeny(t, encrypts(ctx, r.as(r.ann, node), r.key), "kms:Encrypt", r.keyARN)
	}
}

// roles lets a user assume a role on one node and uses the session on the others, as bearer token and by signatures.
func (r *realm) roles(t *testing.T) {
	ctx := background(t)
	ann := "arn:aws:iam::" + r.account + ":user/ann"
	role, err := r.root(0).CreateRole(ctx, &kms.CreateRoleRequest{Name: "clerk", AssumeRolePolicyDocument: trusting("sts:AssumeRole", `{"AWS":"`+ann+`"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.root(0).AttachRolePolicy(ctx, &kms.AttachPolicyRequest{Name: "clerk", PolicyARN: r.policyARN}); err != nil {
		t.Fatal(err)
	}
	assume := &kms.AssumeRoleRequest{RoleARN: role.Role.ARN, RoleSessionName: "morning"}
	stranger := r.newUser(t, r.root(0), "eve", "")
	mustDeny(t, failed(r.as(stranger, 1).AssumeRole(ctx, assume)), "sts:AssumeRole", role.Role.ARN)
	s, err := r.as(r.ann, 1).AssumeRole(ctx, assume)
	if err != nil {
		t.Fatal(err)
	}
	by := credentials{s.AccessKeyID, string(s.SecretAccessKey), string(s.SessionToken)}
	if err := encrypts(ctx, r.bearer(by.token, 2), r.key); err != nil {
		t.Errorf("as bearer token: %v", err)
	}
	mustDeny(t, failed(r.bearer(by.token, 2).DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: r.key})), "kms:DescribeKey", r.keyARN)
	encrypt := request{method: "POST", path: "/v1/keys/" + r.key + "/encrypt", body: `{"plaintext":"eA=="}`}
	if a := by.send(t, r.c.Nodes[0], encrypt); a.status != http.StatusOK {
		t.Errorf("signed: %+v", a)
	}
	for what, wrong := range map[string]credentials{"without its token": {by.id, by.secret, ""}, "under another access key": {r.ann.AccessKey.AccessKeyID, by.secret, by.token},
		"with another secret": {by.id, string(r.ann.SecretAccessKey), by.token}} {
		if a := wrong.send(t, r.c.Nodes[0], encrypt); a.status != http.StatusUnauthorized {
			t.Errorf("signed %s: %+v", what, a)
		}
	}
	if _, err := r.root(1).RevokeSessions(ctx, &kms.RevokeSessionsRequest{Name: "clerk"}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	for i, n := range r.c.Nodes {
		mustCode(t, encrypts(ctx, r.bearer(by.token, i), r.key), kms.CodeUnauthenticated)
		if a := by.send(t, n, encrypt); a.status != http.StatusUnauthorized {
			t.Errorf("signed with a revoked session: %+v", a)
		}
	}
	if r.session, err = r.as(r.ann, 1).AssumeRole(ctx, assume); err != nil {
		t.Fatal(err)
	}
	if err := encrypts(ctx, r.bearer(string(r.session.SessionToken), 0), r.key); err != nil {
		t.Errorf("a session that began after the revocation: %v", err)
	}
}

// webIdentities lets tokens like those of Kubernetes and of a CI assume a role.
func (r *realm) webIdentities(t *testing.T) {
	ctx := background(t)
	issuer := oidctest.New(t)
	name := strings.TrimPrefix(issuer.URL(), "https://")
	if _, err := r.root(0).CreateOpenIDConnectProvider(ctx, &kms.CreateOIDCProviderRequest{URL: issuer.URL(), ClientIDList: []string{"lockstep"}, CACertificate: issuer.CA()}); err != nil {
		t.Fatal(err)
	}
	trust := func(conditions string) kms.PolicyDocument {
		return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity",
			"Principal":{"Federated":"arn:aws:iam::` + r.account + `:oidc-provider/` + name + `"},"Condition":` + strings.ReplaceAll(conditions, "ISSUER", name) + `}}`)
	}
	pod := map[string]any{"sub": "system:serviceaccount:shop:app", "aud": []string{"lockstep"},
		"kubernetes.io": map[string]any{"namespace": "shop", "serviceaccount": map[string]any{"name": "app"}}}
	build := map[string]any{"sub": "repo:acme/shop:ref:refs/heads/main", "aud": "lockstep", "repository": "acme/shop", "ref": "refs/heads/main"}
	changed := func(claims map[string]any, claim string, value any) map[string]any {
		other := map[string]any{claim: value}
		for k, v := range claims {
			if k != claim {
				other[k] = v
			}
		}
		return other
	}
	for _, of := range []struct {
		role, trust string
		claims      map[string]any
		refused     []map[string]any
		misfit      map[string]any
	}{
		{"pod", `{"StringEquals":{"ISSUER:sub":"system:serviceaccount:shop:app","ISSUER:aud":"lockstep"}}`, pod,
			[]map[string]any{changed(pod, "sub", "system:serviceaccount:other:app"), build}, changed(pod, "aud", "another")},
		{"build", `{"StringLike":{"ISSUER:sub":"repo:acme/shop:*"},"StringEquals":{"ISSUER:repository":"acme/shop"}}`, build,
			[]map[string]any{changed(build, "sub", "repo:acme/shopping:ref"), changed(build, "repository", "evil/shop"), pod}, changed(build, "exp", time.Now().Add(-time.Hour).Unix())},
	} {
		role, err := r.root(0).CreateRole(ctx, &kms.CreateRoleRequest{Name: of.role, AssumeRolePolicyDocument: trust(of.trust)})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.root(0).AttachRolePolicy(ctx, &kms.AttachPolicyRequest{Name: of.role, PolicyARN: r.policyARN}); err != nil {
			t.Fatal(err)
		}
		nobody := r.c.Nodes[1].ClientWith(client.Config{})
		login := func(token string) (*kms.SessionAnswer, error) {
			return nobody.AssumeRoleWithWebIdentity(ctx, &kms.AssumeRoleWithWebIdentityRequest{RoleARN: role.Role.ARN, RoleSessionName: of.role, WebIdentityToken: kms.SensitiveString(token)})
		}
		s, err := login(issuer.Token(of.claims))
		if err != nil {
			t.Fatalf("%s: %v", of.role, err)
		}
		if s.Subject != of.claims["sub"] || s.Audience != "lockstep" {
			t.Errorf("%s: %+v", of.role, s)
		}
		if err := encrypts(ctx, r.bearer(string(s.SessionToken), 2), r.key); err != nil {
			t.Errorf("%s: %v", of.role, err)
		}
		for _, claims := range of.refused {
			_, err := login(issuer.Token(claims))
			mustCode(t, err, kms.CodeAccessDenied)
		}
		for _, token := range []string{issuer.Token(of.misfit), oidctest.New(t).Token(changed(of.claims, "iss", issuer.URL()))} {
			_, err = login(token)
			mustCode(t, err, kms.CodeInvalidIdentityToken)
		}
	}
}

// accounts lets a key policy and a grant give rights to another account, which nothing else does.
func (r *realm) accounts(t *testing.T) {
	ctx := background(t)
	other := newTenant(t, r.c, "other")
	bob := "arn:aws:iam::" + other.account + ":user/bob"
	key := r.newUser(t, other.nodes[0], "bob", allowing("*", "kms:*"))
	eve := r.newUser(t, other.nodes[0], "eve", "")
	mustDeny(t, encrypts(ctx, r.as(key, 1), r.keyARN), "kms:Encrypt", r.keyARN)
	mustDeny(t, encrypts(ctx, other.nodes[1], r.keyARN), "kms:Encrypt", r.keyARN)
	if _, err := r.root(0).PutKeyPolicy(ctx, &kms.PutKeyPolicyRequest{KeyID: r.key, Policy: kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"kms:*","Principal":{"AWS":"arn:aws:iam::` + r.account + `:root"},"Resource":"*"},
		{"Effect":"Allow","Action":"kms:Encrypt","Principal":{"AWS":"` + other.root() + `"},"Resource":"*"}]}`)}); err != nil {
		t.Fatal(err)
	}
	for _, may := range []*client.Client{r.as(key, 1), other.nodes[2]} {
		if err := encrypts(ctx, may, r.keyARN); err != nil {
			t.Errorf("what the key policy allows: %v", err)
		}
		mustDeny(t, failed(may.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: r.keyARN})), "kms:DescribeKey", r.keyARN)
	}
	mustDeny(t, encrypts(ctx, r.as(eve, 1), r.keyARN), "kms:Encrypt", r.keyARN)
	g, err := r.root(0).CreateGrant(ctx, &kms.CreateGrantRequest{KeyID: r.key, GranteePrincipal: bob, RetiringPrincipal: bob, Operations: []kms.GrantOperation{"DescribeKey"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.as(key, 1).DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: r.keyARN}); err != nil {
		t.Errorf("what the grant allows: %v", err)
	}
	retire := &kms.RetireGrantRequest{KeyID: r.keyARN, GrantID: g.GrantID}
	mustDeny(t, r.as(eve, 2).RetireGrant(ctx, retire), "kms:RetireGrant", r.keyARN)
	mustDeny(t, r.as(eve, 2).RetireGrant(ctx, &kms.RetireGrantRequest{GrantToken: g.GrantToken}), "kms:RetireGrant", "*")
	if err := r.as(key, 2).RetireGrant(ctx, retire); err != nil {
		t.Errorf("the retiring principal: %v", err)
	}
	for node := range r.c.Nodes {
		mustDeny(t, failed(r.as(key, node).DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: r.keyARN})), "kms:DescribeKey", r.keyARN)
	}
	if _, err := r.root(0).PutKeyPolicy(ctx, &kms.PutKeyPolicyRequest{KeyID: r.key, Policy: kms.PolicyDocument(trustingRoot(r.account))}, client.WaitAll(0)); err != nil {
		t.Fatal(err)
	}
	for node := range r.c.Nodes {
		mustDeny(t, encrypts(ctx, other.nodes[node], r.keyARN), "kms:Encrypt", r.keyARN)
	}
}

// trustingRoot is a key policy that leaves everything to the account's own policies.
func trustingRoot(account string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Resource":"*"}}`
}

// anotherLeader stops the leader. A session outlives that, and is honoured by the node that led and has forgotten everything.
func (r *realm) anotherLeader(t *testing.T) {
	ctx := background(t)
	old := r.c.Leader()
	if err := old.Stop(); err != nil {
		t.Fatal(err)
	}
	r.c.Leader()
	token := string(r.session.SessionToken)
	for i, n := range r.c.Nodes {
		if n != old {
			n.WaitServing()
			if err := encrypts(ctx, r.bearer(token, i), r.key); err != nil {
				t.Errorf("under another leader, %s: %v", n.Name, err)
			}
		}
	}
	old.Start()
	old.Unseal()
	old.WaitServing()
	if err := encrypts(ctx, old.ClientWith(client.Config{SessionToken: token}), r.key); err != nil {
		t.Errorf("on the restarted node: %v", err)
	}
}

// credentials sign requests as AWS clients do.
type credentials struct{ id, secret, token string }

// request is a request as it is to be sent; change is applied after signing.
type request struct {
	method, path, body string
	header             http.Header
	change             func(*http.Request)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	wire.ErrorDetail
}

// sign returns a request that is signed.
func (c credentials) sign(t *testing.T, n *cluster.Node, q request) *http.Request {
	t.Helper()
	h := q.unsigned(t, n)
	sum := sha256.Sum256([]byte(q.body))
	by := aws.Credentials{AccessKeyID: c.id, SecretAccessKey: c.secret, SessionToken: c.token}
	if err := v4.NewSigner().SignHTTP(h.Context(), by, h, hex.EncodeToString(sum[:]), "kms", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (q request) unsigned(t *testing.T, n *cluster.Node) *http.Request {
	t.Helper()
	h, err := http.NewRequestWithContext(background(t), q.method, n.APIAddr+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.header != nil {
		h.Header = q.header.Clone()
	}
	return h
}

// send signs a request, changes it and sends it.
func (c credentials) send(t *testing.T, n *cluster.Node, q request) answer {
	t.Helper()
	h := c.sign(t, n, q)
	if q.change != nil {
		q.change(h)
	}
	return send(t, h)
}

// basic sends a request with the secret itself.
func (c credentials) basic(t *testing.T, n *cluster.Node, q request) answer {
	t.Helper()
	h := q.unsigned(t, n)
	h.SetBasicAuth(c.id, c.secret)
	return send(t, h)
}

func send(t *testing.T, h *http.Request) answer {
	t.Helper()
	w, err := http.DefaultClient.Do(h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	a := answer{status: w.StatusCode, header: w.Header}
	if a.body, err = io.ReadAll(w.Body); err != nil {
		t.Fatal(err)
	}
	var e wire.ErrorBody
	if w.StatusCode > 299 && json.NewDecoder(bytes.NewReader(a.body)).Decode(&e) != nil {
		t.Fatalf("%d %s", w.StatusCode, a.body)
	}
	a.ErrorDetail = e.Error
	return a
}

// created returns the id of the key that an answer carries.
func (a answer) created() (string, error) {
	var k kms.KeyAnswer
	if err := json.Unmarshal(a.body, &k); err != nil || a.status != http.StatusCreated || k.Key.KeyID == "" {
		return "", errors.Join(err, fmt.Errorf("%d %s", a.status, a.body))
	}
	return k.Key.KeyID, nil
}
