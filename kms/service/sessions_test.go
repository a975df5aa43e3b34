package service_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// clock is a node's clock that a test moves. It begins at log time.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ms.Store(servicetest.Epoch)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// roleFor makes a role of alice's account with a trust policy and an inline policy, and returns its ARN.
func (w *world) roleFor(t testing.TB, name string, trust, document kms.PolicyDocument) string {
	t.Helper()
	w.must(t, w.alice, kms.OpCreateRole, &kms.CreateRoleRequest{Name: name, AssumeRolePolicyDocument: trust, MaxSessionDuration: ptr(43200)})
	w.put(t, "role/", name, document)
	return iamARN(aliceID, "role/"+name)
}

func (w *world) assume(t testing.TB, who servicetest.Credentials, q *kms.AssumeRoleRequest) *kms.SessionAnswer {
	t.Helper()
	if q.RoleSessionName == "" {
		q.RoleSessionName = "session"
	}
	return w.must(t, who, kms.OpAssumeRole, q).(*kms.SessionAnswer)
}

// proven does a call with a proof of identity of its own.
func proven(n *servicetest.Node, proof func(*service.Call), op *kms.Operation, request any) (any, error) {
	call := servicetest.Call(servicetest.Credentials{}, op, request)
	proof(call)
	result, err := n.Service.Do(context.Background(), call)
	if err != nil {
		return nil, err
	}
	return result.Answer, nil
}

func bearer[T ~string](token T) func(*service.Call) {
	return func(c *service.Call) { c.Auth.Header.Set("Authorization", "Bearer "+string(token)) }
}

// signedBy signs the call as the AWS SDK for Go does.
func signedBy(t testing.TB, at time.Time, id, secret, token string) func(*service.Call) {
	return func(c *service.Call) {
		t.Helper()
		const body = `{"x":1}`
		q, err := http.NewRequest("POST", "https://kms.example/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/x-amz-json-1.1")
		sum := sha256.Sum256([]byte(body))
		err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, q, hex.EncodeToString(sum[:]), "kms", firstRegion, at)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Length", fmt.Sprint(len(body)))
		c.Auth = auth.Request{Method: q.Method, Host: q.URL.Host, RawPath: q.URL.EscapedPath(), Header: q.Header, BodySHA256: func() [32]byte { return sum },
			Source: "192.0.2.1", Services: []string{"kms"}}
	}
}

func bySession(t testing.TB, at time.Time, s *kms.SessionAnswer) func(*service.Call) {
	return signedBy(t, at, s.AccessKeyID, string(s.SecretAccessKey), string(s.SessionToken))
}

// whoAmI is what a session says it is.
func whoAmI(n *servicetest.Node, s *kms.SessionAnswer) error {
	_, err := proven(n, bearer(s.SessionToken), kms.OpGetCallerIdentity, &kms.Empty{})
	return err
}

// Who may assume a role: whom its trust policy names, or whose account it names and who may.
func TestWhoMayAssume(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	may := permit("sts:AssumeRole sts:TagSession", "*")
	able, unable := w.hire(t, "able", may), w.hire(t, "unable", "")
	denied := w.hire(t, "denied", forbid("sts:*", "*"))
	w.must(t, w.bob, kms.OpCreateUser, &kms.CreateUserRequest{Name: "b"})
	foreign := func() servicetest.Credentials {
		a := w.must(t, w.bob, kms.OpCreateAccessKey, &kms.IdentityRequest{Name: "b"}).(*kms.AccessKeyAnswer)
		return servicetest.Credentials{AccessKeyID: a.AccessKey.AccessKeyID, Secret: string(a.SecretAccessKey)}
	}
	foreignUnable := foreign()
	trust := func(action, principal string, condition ...string) kms.PolicyDocument {
		text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + action + `,"Principal":{"AWS":"` + principal + `"}`
		if len(condition) > 0 {
			text += `,"Condition":` + condition[0]
		}
		return kms.PolicyDocument(text + "}]}")
	}
	const both, only = `["sts:AssumeRole","sts:TagSession"]`, `"sts:AssumeRole"`
	w.roleFor(t, "account", trust(both, iamARN(aliceID, "root")), "")
	w.roleFor(t, "named", trust(both, iamARN(aliceID, "user/unable")), "")
	w.roleFor(t, "untagged", trust(only, iamARN(aliceID, "root")), "")
	w.roleFor(t, "external", trust(only, iamARN(bobID, "root"), `{"StringEquals":{"sts:ExternalId":"secret-1"}}`), "")
	w.roleFor(t, "bobs", trust(both, iamARN(bobID, "root")), "")
	w.roleFor(t, "bob", trust(both, iamARN(bobID, "user/b")), "")
	w.roleFor(t, "session", trust(only, iamARN(aliceID, "root"), `{"StringLike":{"sts:RoleSessionName":"ci-*"}}`), "")
	w.roleFor(t, "refuses", rules(`{"Effect":"Allow","Action":"sts:*","Principal":{"AWS":"*"}}`, `{"Effect":"Deny","Action":"sts:*","Principal":{"AWS":"`+iamARN(aliceID, "user/able")+`"}}`), "")
	check := func(what string, who servicetest.Credentials, role string, q kms.AssumeRoleRequest, code kms.Code) {
		t.Helper()
		q.RoleARN = iamARN(aliceID, "role/"+role)
		if q.RoleSessionName == "" {
			q.RoleSessionName = "session"
		}
		_, err := w.Do(who, kms.OpAssumeRole, &q)
		want(t, what+", "+role, err, code)
	}
	const no = kms.CodeAccessDenied
	plain, tagged := kms.AssumeRoleRequest{}, kms.AssumeRoleRequest{Tags: map[string]string{"k": "v"}}
	check("allowed", able, "account", plain, "")
	check("not allowed", unable, "account", plain, no)
	check("denied", denied, "account", plain, no)
	check("named", unable, "named", plain, "")
	check("not named", able, "named", plain, no)
	check("named with tags", unable, "named", tagged, "")
	check("with tags", able, "account", tagged, "")
	check("with tags that the role does not take", able, "untagged", tagged, no)
	check("without them", able, "untagged", plain, "")
	check("session name", able, "session", plain, no)
	check("session name", able, "session", kms.AssumeRoleRequest{RoleSessionName: "ci-7"}, "")
	check("explicit deny", able, "refuses", plain, no)
	check("everybody else", unable, "refuses", plain, "")
	check("foreign", foreignUnable, "bobs", plain, no)
	check("foreign", foreignUnable, "bob", plain, no)
	w.must(t, w.bob, kms.OpPutUserPolicy, &kms.PutInlinePolicyRequest{Name: "b", PolicyName: "p", PolicyDocument: may})
	check("foreign and allowed", foreignUnable, "bobs", plain, "")
	check("foreign and named", foreignUnable, "bob", tagged, "")
	check("foreign and not trusted", foreignUnable, "account", plain, no)
	check("root of the other", w.bob, "bobs", plain, "")
	check("no external id", w.bob, "external", plain, no)
	check("another external id", w.bob, "external", kms.AssumeRoleRequest{ExternalID: "secret-2"}, no)
	check("the external id", w.bob, "external", kms.AssumeRoleRequest{ExternalID: "secret-1"}, "")
	// TagSession by the account needs the caller's own right, too.
	w.put(t, "user/", "able", permit("sts:AssumeRole", "*"))
	check("may not tag", able, "account", tagged, no)
	check("nor need it", able, "account", plain, "")

	// What is not there is refused in the same words.
	words := map[string]bool{}
	for _, role := range []string{"named", "nobodys", "path/account"} {
		_, err := w.Do(able, kms.OpAssumeRole, &kms.AssumeRoleRequest{RoleARN: iamARN(aliceID, "role/"+role), RoleSessionName: "session"})
		want(t, role, err, no)
		words[strings.ReplaceAll(err.Error(), "role/"+role, "")] = true
	}
	if len(words) != 1 {
		t.Errorf("refusals differ: %v", words)
	}
	w.must(t, w.Root, kms.OpDisableAccount, &kms.AccountRequest{AccountID: aliceID})
	check("a disabled account's", w.bob, "bobs", plain, no)
}

// The rules of a request for a session.
func TestSessionRules(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	arn := w.roleFor(t, "r", trusting(iamARN(aliceID, "root")), "")
	short := w.roleFor(t, "short", trusting(iamARN(aliceID, "root")), "")
	w.must(t, w.alice, kms.OpUpdateRole, &kms.UpdateRoleRequest{Name: "short", MaxSessionDuration: ptr(3600)})
	published := w.publish(t, "p", allowAll)
	w.must(t, w.bob, kms.OpCreatePolicy, &kms.CreatePolicyRequest{Name: "p", PolicyDocument: allowAll})
	repeat := func(one string, n int) (all []string) {
		for range n {
			all = append(all, one)
		}
		return all
	}
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint(i)] = "v"
	}
	const bad, limit = kms.CodeValidation, kms.CodeLimitExceeded
	for what, row := range map[string]struct {
		q    kms.AssumeRoleRequest
		code kms.Code
	}{
		"899 s":                        {kms.AssumeRoleRequest{DurationSeconds: ptr(899)}, bad},
		"900 s":                        {kms.AssumeRoleRequest{DurationSeconds: ptr(900)}, ""},
		"12 h":                         {kms.AssumeRoleRequest{DurationSeconds: ptr(43200)}, ""},
		"more than 12 h":               {kms.AssumeRoleRequest{DurationSeconds: ptr(43201)}, bad},
		"more than the role's":         {kms.AssumeRoleRequest{RoleARN: short, DurationSeconds: ptr(3601)}, bad},
		"the role's":                   {kms.AssumeRoleRequest{RoleARN: short, DurationSeconds: ptr(3600)}, ""},
		"name of 1":                    {kms.AssumeRoleRequest{RoleSessionName: "a"}, bad},
		"name of 2":                    {kms.AssumeRoleRequest{RoleSessionName: "a@"}, ""},
		"name of 64":                   {kms.AssumeRoleRequest{RoleSessionName: strings.Repeat("a", 64)}, ""},
		"name of 65":                   {kms.AssumeRoleRequest{RoleSessionName: strings.Repeat("a", 65)}, bad},
		"name with a slash":            {kms.AssumeRoleRequest{RoleSessionName: "a/b"}, bad},
		"name with a colon":            {kms.AssumeRoleRequest{RoleSessionName: "a:b"}, bad},
		"name with a blank":            {kms.AssumeRoleRequest{RoleSessionName: "a b"}, bad},
		"external id of 1":             {kms.AssumeRoleRequest{ExternalID: "x"}, bad},
		"external id of 1225":          {kms.AssumeRoleRequest{ExternalID: strings.Repeat("x", 1225)}, bad},
		"external id with a blank":     {kms.AssumeRoleRequest{ExternalID: "x y"}, bad},
		"a large policy":               {kms.AssumeRoleRequest{Policy: padded(`"Resource":"*"`, 2049, 0)}, limit},
		"the largest":                  {kms.AssumeRoleRequest{Policy: padded(`"Resource":"*"`, 2048, 0)}, ""},
		"with blanks, which count":     {kms.AssumeRoleRequest{Policy: padded(`"Resource":"*"`, 2048, 1)}, limit},
		"no policy":                    {kms.AssumeRoleRequest{Policy: "{}"}, kms.CodeMalformedPolicy},
		"a trust policy":               {kms.AssumeRoleRequest{Policy: trusting(iamARN(aliceID, "root"))}, kms.CodeMalformedPolicy},
		"10 policies":                  {kms.AssumeRoleRequest{PolicyARNs: repeat(published, 10)}, ""},
		"11 policies":                  {kms.AssumeRoleRequest{PolicyARNs: repeat(published, 11)}, bad},
		"a policy that is not there":   {kms.AssumeRoleRequest{PolicyARNs: []string{published + "x"}}, kms.CodeMalformedPolicy},
		"a policy of another account":  {kms.AssumeRoleRequest{PolicyARNs: []string{iamARN(bobID, "policy/p")}}, kms.CodeMalformedPolicy},
		"51 tags":                      {kms.AssumeRoleRequest{Tags: many}, kms.CodeInvalidTag},
		"tags that differ in case":     {kms.AssumeRoleRequest{Tags: map[string]string{"k": "1", "K": "2"}}, kms.CodeInvalidTag},
		"reserved tags":                {kms.AssumeRoleRequest{Tags: map[string]string{"aws:k": "1"}}, kms.CodeInvalidTag},
		"a user":                       {kms.AssumeRoleRequest{RoleARN: iamARN(aliceID, "user/r")}, kms.CodeInvalidARN},
		"a name":                       {kms.AssumeRoleRequest{RoleARN: "r"}, kms.CodeInvalidARN},
		"another partition":            {kms.AssumeRoleRequest{RoleARN: strings.Replace(arn, "aws", "aws-cn", 1)}, kms.CodeInvalidARN},
		"an account that is none":      {kms.AssumeRoleRequest{RoleARN: strings.Replace(arn, aliceID, "1", 1)}, kms.CodeInvalidARN},
		"a region":                     {kms.AssumeRoleRequest{RoleARN: strings.Replace(arn, "::", ":us-east-1:", 1)}, kms.CodeInvalidARN},
		"the ARN of a session":         {kms.AssumeRoleRequest{RoleARN: "arn:aws:sts::" + aliceID + ":assumed-role/r/session"}, kms.CodeInvalidARN},
		"the name in another spelling": {kms.AssumeRoleRequest{RoleARN: iamARN(aliceID, "role/R")}, kms.CodeAccessDenied},
	} {
		q := row.q
		if q.RoleARN == "" {
			q.RoleARN = arn
		}
		if q.RoleSessionName == "" {
			q.RoleSessionName = "session"
		}
		_, err := w.Do(w.alice, kms.OpAssumeRole, &q)
		want(t, what, err, row.code)
	}
	// A session's own role lasts an hour, whatever the role's maximum is.
	next := w.roleFor(t, "next", trusting(arn), "")
	s := w.assume(t, w.alice, &kms.AssumeRoleRequest{RoleARN: arn})
	for seconds, code := range map[int]kms.Code{0: "", 3600: "", 3601: bad} {
		q := &kms.AssumeRoleRequest{RoleARN: next, RoleSessionName: "chained"}
		if seconds > 0 {
			q.DurationSeconds = &seconds
		}
		a, err := proven(w.Node, bearer(s.SessionToken), kms.OpAssumeRole, q)
		want(t, fmt.Sprintf("chained, %d s", seconds), err, code)
		if code == "" && a.(*kms.SessionAnswer).AssumedRoleARN != "arn:aws:sts::"+aliceID+":assumed-role/next/chained" {
			t.Errorf("chained %+v", a)
		}
	}
	_, err := w.Do(w.alice, kms.OpAssumeRole, &kms.AssumeRoleRequest{RoleARN: next, RoleSessionName: "direct"})
	want(t, "the chained role, directly", err, kms.CodeAccessDenied)
	if got := s.Expiration.UnixMilli(); got < servicetest.Epoch+3600_000 || got > servicetest.Epoch+3601_000 {
		t.Errorf("expires %s", s.Expiration)
	}
}

// What a session may: what its role may, and of that what its session policies allow; its tags are those of the role
// and its own, which win.
func TestSessionRights(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	encrypt, describe := permit("kms:Encrypt", "*"), permit("kms:DescribeKey", "*")
	arn := w.roleFor(t, "r", trusting(iamARN(aliceID, "root")), permit("kms:Encrypt kms:DescribeKey", "*"))
	byEncrypt, byDescribe := w.publish(t, "e", encrypt), w.publish(t, "d", describe)
	tagged := w.roleFor(t, "tagged", trusting(iamARN(aliceID, "root")), rules(
		rule("Allow", "kms:Encrypt", "*", `{"StringEquals":{"aws:PrincipalTag/Team":"blue"}}`), rule("Allow", "kms:DescribeKey", "*", `{"StringEquals":{"aws:PrincipalTag/team":"blue"}}`)))
	w.must(t, w.alice, kms.OpTagRole, &kms.TagIdentityRequest{Name: "tagged", Tags: map[string]string{"Team": "red"}})
	for what, row := range map[string]struct {
		q                  kms.AssumeRoleRequest
		encrypts, describe bool
	}{
		"alone":                         {kms.AssumeRoleRequest{RoleARN: arn}, true, true},
		"with a policy":                 {kms.AssumeRoleRequest{RoleARN: arn, Policy: encrypt}, true, false},
		"with a larger policy":          {kms.AssumeRoleRequest{RoleARN: arn, Policy: allowAll}, true, true},
		"with a policy of others":       {kms.AssumeRoleRequest{RoleARN: arn, Policy: permit("kms:Decrypt", "*")}, false, false},
		"with a managed policy":         {kms.AssumeRoleRequest{RoleARN: arn, PolicyARNs: []string{byDescribe}}, false, true},
		"with two":                      {kms.AssumeRoleRequest{RoleARN: arn, PolicyARNs: []string{byDescribe, byEncrypt}}, true, true},
		"with one and a policy":         {kms.AssumeRoleRequest{RoleARN: arn, PolicyARNs: []string{byDescribe}, Policy: encrypt}, true, true},
		"with a deny":                   {kms.AssumeRoleRequest{RoleARN: arn, PolicyARNs: []string{byDescribe, byEncrypt}, Policy: forbid("kms:Encrypt", "*")}, false, true},
		"red":                           {kms.AssumeRoleRequest{RoleARN: tagged}, false, false},
		"blue":                          {kms.AssumeRoleRequest{RoleARN: tagged, Tags: map[string]string{"Team": "blue"}}, true, true},
		"blue in another spelling":      {kms.AssumeRoleRequest{RoleARN: tagged, Tags: map[string]string{"tEAM": "blue"}}, true, true},
		"not blue in another spelling":  {kms.AssumeRoleRequest{RoleARN: tagged, Tags: map[string]string{"tEAM": "green"}}, false, false},
		"red with a tag beside its own": {kms.AssumeRoleRequest{RoleARN: tagged, Tags: map[string]string{"other": "blue"}}, false, false},
	} {
		q := row.q
		s := w.assume(t, w.alice, &q)
		for op, may := range map[*kms.Operation]bool{kms.OpEncrypt: row.encrypts, kms.OpDescribeKey: row.describe} {
			request := map[*kms.Operation]any{kms.OpEncrypt: &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")}, kms.OpDescribeKey: &kms.DescribeKeyRequest{KeyID: key}}[op]
			_, err := proven(w.Node, bearer(s.SessionToken), op, request)
			want(t, what+": "+op.Name, err, map[bool]kms.Code{false: kms.CodeAccessDenied}[may])
		}
	}
	// A session policy that is changed counts as it is; one that is gone denies everything.
	s := w.assume(t, w.alice, &kms.AssumeRoleRequest{RoleARN: arn, PolicyARNs: []string{byDescribe, byEncrypt}})
	use := func() error {
		_, err := proven(w.Node, bearer(s.SessionToken), kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
		return err
	}
	want(t, "both", use(), "")
	w.must(t, w.alice, kms.OpCreatePolicyVersion, &kms.CreatePolicyVersionRequest{PolicyARN: byEncrypt, PolicyDocument: describe, SetAsDefault: true})
	want(t, "changed", use(), kms.CodeAccessDenied)
	w.must(t, w.alice, kms.OpSetDefaultPolicyVersion, &kms.PolicyVersionRequest{PolicyARN: byEncrypt, VersionID: "v1"})
	want(t, "changed back", use(), "")
	w.must(t, w.alice, kms.OpDeletePolicy, &kms.PolicyRequest{PolicyARN: byDescribe})
	want(t, "one is gone", use(), kms.CodeAccessDenied)
	// A permissions boundary of the role, and its other policies, count at once.
	s = w.assume(t, w.alice, &kms.AssumeRoleRequest{RoleARN: arn})
	want(t, "before", use(), "")
	bound := w.publish(t, "bound", describe)
	w.must(t, w.alice, kms.OpPutRolePermissionsBoundary, &kms.PutBoundaryRequest{Name: "r", PermissionsBoundary: bound})
	want(t, "bounded", use(), kms.CodeAccessDenied)
	w.must(t, w.alice, kms.OpDeleteRolePermissionsBoundary, &kms.IdentityRequest{Name: "r"})
	want(t, "no more", use(), "")
	w.put(t, "role/", "r", describe)
	want(t, "without the right", use(), kms.CodeAccessDenied)
	w.must(t, w.alice, kms.OpAttachRolePolicy, &kms.AttachPolicyRequest{Name: "r", PolicyARN: byEncrypt})
	want(t, "attached", use(), "")
}

// A session proves itself by its token, alone or with a signature, and by nothing else.
func TestSessionProof(t *testing.T) {
	c := newClock()
	o := servicetest.Options{Now: c.now}
	w := newWorld(t, o)
	arn := w.roleFor(t, "r", trusting(iamARN(aliceID, "root")), allowAll)
	s, other := w.assume(t, w.alice, &kms.AssumeRoleRequest{RoleARN: arn}), w.assume(t, w.alice, &kms.AssumeRoleRequest{RoleARN: arn, RoleSessionName: "other"})
	id, secret, token := s.AccessKeyID, string(s.SecretAccessKey), string(s.SessionToken)
	ask := func(n *servicetest.Node, proof func(*service.Call)) error {
		_, err := proven(n, proof, kms.OpGetCallerIdentity, &kms.Empty{})
		return err
	}
	basic := func(id, secret string) func(*service.Call) {
		return func(c *service.Call) {
			c.Auth.Header = servicetest.Credentials{AccessKeyID: id, Secret: secret}.Header()
		}
	}
	second := w.Cluster.Node(o) // that never saw the session
	want(t, "catch up", second.CatchUp(t.Context()), "")
	for _, n := range []*servicetest.Node{w.Node, second} {
		want(t, "bearer", ask(n, bearer(token)), "")
		want(t, "signature", ask(n, bySession(t, c.now(), s)), "")
		for what, proof := range map[string]func(*service.Call){
			"basic":                       basic(id, secret),
			"basic with the token":        basic(id, token),
			"basic with token and header": func(c *service.Call) { basic(id, secret)(c); c.Auth.Header.Set("X-Amz-Security-Token", token) },
			"signature without the token": signedBy(t, c.now(), id, secret, ""),
			"with another's token":        signedBy(t, c.now(), id, secret, string(other.SessionToken)),
			"another's secret":            signedBy(t, c.now(), id, string(other.SecretAccessKey), token),
			"a user's key with the token": signedBy(t, c.now(), w.alice.AccessKeyID, w.alice.Secret, token),
			"the token by a user's name":  signedBy(t, c.now(), w.alice.AccessKeyID, secret, token),
			"bearer of nothing":           bearer(""),
			"bearer of the secret":        bearer(secret),
			"bearer of a user's secret":   bearer(w.alice.Secret),
			"padded":                      bearer(token + "="),
			"twice":                       bearer(token + token),
			"too long":                    bearer(strings.Repeat("A", auth.MaxSessionToken+1)),
			"the header alone":            func(c *service.Call) { c.Auth.Header.Set("X-Amz-Security-Token", token) },
		} {
			want(t, what, ask(n, proof), kms.CodeUnauthenticated)
		}
		stale := bySession(t, c.now().Add(-16*time.Minute), s)
		want(t, "signed long ago", ask(n, stale), kms.CodeUnauthenticated)
	}
	for i := range len(token) {
		for _, flip := range []byte{1, 2} {
			broken := []byte(token)
			broken[i] ^= flip
			if err := ask(w.Node, bearer(string(broken))); kms.CodeOf(err) != kms.CodeUnauthenticated {
				t.Fatalf("with character %d changed: %v", i, err)
			}
		}
	}
	for n := range len(token) {
		if err := ask(w.Node, bearer(token[:n])); kms.CodeOf(err) != kms.CodeUnauthenticated {
			t.Fatalf("the first %d characters: %v", n, err)
		}
	}
	elsewhere := newWorld(t, o)
	elsewhere.roleFor(t, "r", trusting(iamARN(aliceID, "root")), allowAll)
	want(t, "another cluster's", whoAmI(elsewhere.Node, s), kms.CodeUnauthenticated)

	c.ms.Store(s.Expiration.UnixMilli() - 1)
	want(t, "the last millisecond", ask(w.Node, bearer(token)), "")
	c.advance(time.Millisecond)
	for _, n := range []*servicetest.Node{w.Node, second} {
		want(t, "expired", ask(n, bearer(token)), kms.CodeUnauthenticated)
		want(t, "expired and signed", ask(n, bySession(t, c.now(), s)), kms.CodeUnauthenticated)
	}
	c.advance(-time.Hour)
	w.Catalog.Seal()
	w.Unseal()
	want(t, "after an unseal", ask(w.Node, bearer(token)), "")
}

// What ends the sessions of a role, and what does not; on every node.
func TestSessionsEnd(t *testing.T) {
	rows := []struct {
		what string
		do   func(t *testing.T, w *world, s *kms.SessionAnswer)
		code kms.Code
		next kms.Code // of a session that is asked for then
	}{
		{"the role is deleted", func(t *testing.T, w *world, _ *kms.SessionAnswer) {
			w.must(t, w.alice, kms.OpDeleteRole, &kms.IdentityRequest{Name: "r"})
		}, kms.CodeUnauthenticated, kms.CodeAccessDenied},
		{"and made again", func(t *testing.T, w *world, _ *kms.SessionAnswer) {
			w.must(t, w.alice, kms.OpDeleteRole, &kms.IdentityRequest{Name: "r"})
			w.roleFor(t, "r", trusting(iamARN(aliceID, "root")), "")
		}, kms.CodeUnauthenticated, ""},
		{"the trust policy is another", func(t *testing.T, w *world, _ *kms.SessionAnswer) {
			w.must(t, w.alice, kms.OpUpdateAssumeRolePolicy, &kms.UpdateAssumeRolePolicyRequest{Name: "r", PolicyDocument: trusting(iamARN(bobID, "root"))})
		}, "", kms.CodeAccessDenied},
		{"all are revoked", func(t *testing.T, w *world, _ *kms.SessionAnswer) {
			w.must(t, w.alice, kms.OpRevokeSessions, &kms.RevokeSessionsRequest{Name: "r"})
		}, kms.CodeUnauthenticated, ""},
		{"those before a time are", func(t *testing.T, w *world, _ *kms.SessionAnswer) {
			w.must(t, w.alice, kms.OpRevokeSessions, &kms.RevokeSessionsRequest{Name: "r", Before: ptr(kms.Time(w.Now()))})
		}, kms.CodeUnauthenticated, ""},
		{"those before it are", func(t *testing.T, w *world, s *kms.SessionAnswer) {
			w.must(t, w.alice, kms.OpRevokeSessions, &kms.RevokeSessionsRequest{Name: "r", Before: ptr(s.Expiration.Add(-time.Hour))})
		}, "", ""},
		{"an earlier time takes nothing back", func(t *testing.T, w *world, s *kms.SessionAnswer) {
			w.must(t, w.alice, kms.OpRevokeSessions, &kms.RevokeSessionsRequest{Name: "r", Before: ptr(kms.Time(w.Now()))})
			w.must(t, w.alice, kms.OpRevokeSessions, &kms.RevokeSessionsRequest{Name: "r", Before: ptr(s.Expiration.Add(-2 * time.Hour))})
		}, kms.CodeUnauthenticated, ""},
		{"a time to come is refused", func(t *testing.T, w *world, s *kms.SessionAnswer) {
			_, err := w.Do(w.alice, kms.OpRevokeSessions, &kms.RevokeSessionsRequest{Name: "r", Before: ptr(s.Expiration)})
			want(t, "in an hour", err, kms.CodeValidation)
		}, "", ""},
		{"the account is disabled", func(t *testing.T, w *world, _ *kms.SessionAnswer) {
			w.must(t, w.Root, kms.OpDisableAccount, &kms.AccountRequest{AccountID: aliceID})
		}, kms.CodeUnauthenticated, kms.CodeUnauthenticated},
		{"who assumed it is gone", func(t *testing.T, w *world, _ *kms.SessionAnswer) {
			w.must(t, w.alice, kms.OpDeleteAccessKey, &kms.DeleteAccessKeyRequest{Name: "u", AccessKeyID: w.accessKeyOf(t, "u")})
			w.must(t, w.alice, kms.OpDeleteUserPolicy, &kms.DeleteInlinePolicyRequest{Name: "u", PolicyName: "p"})
			w.must(t, w.alice, kms.OpDeleteUser, &kms.IdentityRequest{Name: "u"})
		}, "", kms.CodeUnauthenticated},
	}
	for _, row := range rows {
		t.Run(row.what, func(t *testing.T) {
			c := newClock()
			o := servicetest.Options{Now: c.now}
			w := newWorld(t, o)
			second := w.Cluster.Node(o)
			who := w.hire(t, "u", permit("sts:AssumeRole", "*"))
			w.roleFor(t, "r", trusting(iamARN(aliceID, "root")), "")
			q := &kms.AssumeRoleRequest{RoleARN: iamARN(aliceID, "role/r"), RoleSessionName: "session"}
			s := w.assume(t, who, q)
			w.Advance(time.Second)
			for _, n := range []*servicetest.Node{w.Node, second} { // so that they know it
				want(t, "before", whoAmI(n, s), "")
			}
			row.do(t, w, s)
			for _, n := range []*servicetest.Node{w.Node, second} {
				want(t, row.what+", on "+n.Name, whoAmI(n, s), row.code)
				_, err := proven(n, bySession(t, c.now(), s), kms.OpGetCallerIdentity, &kms.Empty{})
				want(t, row.what+", signed, on "+n.Name, err, row.code)
				a, err := n.Do(who, kms.OpAssumeRole, q)
				want(t, "the next session", err, row.next)
				if err == nil {
					want(t, "with the next session", whoAmI(w.Node, a.(*kms.SessionAnswer)), "")
				}
			}
		})
	}
}

func (w *world) accessKeyOf(t testing.TB, name string) string {
	t.Helper()
	return w.must(t, w.alice, kms.OpListAccessKeys, &kms.IdentityRequest{Name: name}).(*kms.ListAccessKeysAnswer).AccessKeys[0].AccessKeyID
}

// A login writes nothing, and what a session does is recorded as its own, without token and secret.
func TestSessionsLeaveNothing(t *testing.T) {
	w := newWorld(t, servicetest.Options{})
	key := w.CreateKey(w.alice)
	who := w.hire(t, "u", permit("sts:*", "*"))
	arn := w.roleFor(t, "r", trusting(iamARN(aliceID, "root")), allowAll)
	proposals, records := w.Counts().Proposals, len(w.Records())
	s := w.assume(t, who, &kms.AssumeRoleRequest{RoleARN: arn, Tags: map[string]string{"k": "v"}})
	a, err := proven(w.Node, bearer(s.SessionToken), kms.OpGetCallerIdentity, &kms.Empty{})
	want(t, "who am I", err, "")
	session := "arn:aws:sts::" + aliceID + ":assumed-role/r/session"
	if me := a.(*kms.CallerIdentityAnswer); me.ARN != session || me.Account != aliceID || me.UserID != s.AssumedRoleID || !strings.HasPrefix(me.UserID, "AROA") || s.AssumedRoleARN != session {
		t.Errorf("I am %+v", me)
	}
	_, err = proven(w.Node, bearer(s.SessionToken), kms.OpEncrypt, &kms.EncryptRequest{KeyID: key, Plaintext: []byte("p")})
	want(t, "encrypt", err, "")
	if n := w.Counts().Proposals - proposals; n != 0 {
		t.Errorf("%d proposals", n)
	}
	all := w.Records()[records:]
	if len(all) != 3 {
		t.Fatalf("%d records", len(all))
	}
	if login := fmt.Sprint(all[0]); !strings.Contains(login, "IAMUser") || !strings.Contains(login, arn) || !strings.Contains(login, s.AccessKeyID) || all[0]["readOnly"] != true {
		t.Errorf("the login: %s", login)
	}
	for _, r := range all[1:] {
		if id := r["userIdentity"].(map[string]any); id["type"] != auth.TypeAssumedRole || id["arn"] != session || id["principalId"] != s.AssumedRoleID || id["accessKeyId"] != s.AccessKeyID || id["accountId"] != aliceID {
			t.Errorf("a use: %v", id)
		}
	}
	for _, secret := range []string{string(s.SessionToken), string(s.SecretAccessKey)} {
		if shows(w.Lines(), secret) {
			t.Error("the audit records show a secret of the session")
		}
	}
	// A session is no identity whose access keys are remembered.
	_, err = w.Do(w.alice, kms.OpGetAccessKeyLastUsed, &kms.AccessKeyRequest{AccessKeyID: s.AccessKeyID})
	want(t, "the session's last use", err, kms.CodeNotFound)
}
