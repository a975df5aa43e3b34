package service_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/oidc/oidctest"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/service/servicetest"
)

// webTrust is a trust policy for the tokens of an issuer, by the condition on them; ISSUER in it is the issuer's name.
func webTrust(account, issuer, condition string) kms.PolicyDocument {
	name := strings.TrimPrefix(issuer, "https://")
	return kms.PolicyDocument(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"` +
		iamARN(account, "oidc-provider/"+name) + `"},"Condition":` + strings.ReplaceAll(condition, "ISSUER", name) + `}]}`)
}

// trustIssuer makes alice's account trust an issuer.
func (w *world) trustIssuer(t testing.TB, issuer *oidctest.Issuer) string {
	t.Helper()
	return w.must(t, w.alice, kms.OpCreateOIDCProvider, &kms.CreateOIDCProviderRequest{URL: issuer.URL(), ClientIDList: []string{"lockstep"}, CACertificate: issuer.CA()}).(*kms.OIDCProviderAnswer).Provider.ARN
}

func (w *world) login(n *servicetest.Node, role, token string) (*kms.SessionAnswer, error) {
	a, err := n.Do(servicetest.Credentials{}, kms.OpAssumeRoleWithWebIdentity,
		&kms.AssumeRoleWithWebIdentityRequest{RoleARN: iamARN(aliceID, "role/"+role), RoleSessionName: "session", WebIdentityToken: kms.SensitiveString(token)})
	if err != nil {
		return nil, err
	}
	return a.(*kms.SessionAnswer), nil
}

// The claims of a token decide who it is for a role: those of a Kubernetes service account, and of a CI job.
func TestWebIdentityClaims(t *testing.T) {
	c := newClock()
	w := newWorld(t, servicetest.Options{Now: c.now})
	issuer := oidctest.New(t)
	issuer.SetNow(c.now)
	provider := w.trustIssuer(t, issuer)
	w.roleFor(t, "pod", webTrust(aliceID, issuer.URL(), `{"StringEquals":{"ISSUER:aud":"lockstep","ISSUER:sub":"system:serviceaccount:shop:orders"}}`), permit("kms:CreateKey", "*"))
	w.roleFor(t, "ci", webTrust(aliceID, issuer.URL(), `{"StringEquals":{"ISSUER:aud":"lockstep","ISSUER:repository":"shop/orders"},"StringLike":{"ISSUER:sub":"repo:shop/*:ref:refs/heads/main"}}`), "")
	w.roleFor(t, "space", webTrust(aliceID, issuer.URL(), `{"StringEquals":{"ISSUER:kubernetes.io/namespace":"shop"}}`), "")
	w.roleFor(t, "cased", webTrust(aliceID, issuer.URL(), `{"StringEquals":{"ISSUER:Team":"a"}}`), "")
	pod := map[string]any{"aud": "lockstep", "sub": "system:serviceaccount:shop:orders", "kubernetes.io": map[string]any{"namespace": "shop", "pod": map[string]any{"name": "orders-1"}}}
	job := map[string]any{"aud": []string{"lockstep"}, "sub": "repo:shop/orders:ref:refs/heads/main", "repository": "shop/orders", "workflow": "deploy"}
	with := func(claims map[string]any, key string, value any) map[string]any {
		changed := map[string]any{key: value}
		for k, v := range claims {
			if k != key {
				changed[k] = v
			}
		}
		return changed
	}
	for what, row := range map[string]struct {
		role   string
		claims map[string]any
		code   kms.Code
	}{
		"a pod":                            {"pod", pod, ""},
		"a pod of another account":         {"pod", with(pod, "sub", "system:serviceaccount:shop:other"), kms.CodeAccessDenied},
		"a pod's namespace":                {"space", pod, ""},
		"a job":                            {"ci", job, ""},
		"another repository":               {"ci", with(job, "repository", "evil/orders"), kms.CodeAccessDenied},
		"none":                             {"ci", with(job, "repository", nil), kms.CodeAccessDenied},
		"a number":                         {"ci", with(job, "repository", 7), kms.CodeAccessDenied},
		"another branch":                   {"ci", with(job, "sub", "repo:shop/orders:ref:refs/heads/x"), kms.CodeAccessDenied},
		"a subject that spells more":       {"ci", with(job, "sub", "repo:evil/x:repo:shop/orders:ref:refs/heads/main"), kms.CodeAccessDenied},
		"a job for a pod's role":           {"pod", job, kms.CodeAccessDenied},
		"a role that is not there":         {"none", pod, kms.CodeAccessDenied},
		"an authorized party":              {"pod", with(with(pod, "aud", []string{"lockstep", "x"}), "azp", "lockstep"), ""},
		"a claim named as a condition key": {"ci", with(with(job, "repository", nil), "aws:repository", "shop/orders"), kms.CodeAccessDenied},
	} {
		s, err := w.login(w.Node, row.role, issuer.Token(row.claims))
		want(t, what, err, row.code)
		if err != nil {
			if row.code == kms.CodeAccessDenied && err.Error() != "access_denied: Not authorized to perform sts:AssumeRoleWithWebIdentity" {
				t.Errorf("%s tells %v", what, err)
			}
			continue
		}
		if s.Subject != row.claims["sub"] || s.Provider != provider || s.Audience != "lockstep" {
			t.Errorf("%s: %+v", what, s)
		}
		want(t, what+", with the session", whoAmI(w.Node, s), "")
	}
	// Of claims that differ in case only, it is always the same one.
	seen := map[kms.Code]bool{}
	for range 20 {
		_, err := w.login(w.Node, "cased", issuer.Token(with(with(job, "Team", "b"), "team", "a")))
		seen[kms.CodeOf(err)] = true
	}
	if len(seen) != 1 {
		t.Errorf("one token is answered in different ways: %v", seen)
	}

	// A session of a web identity may what the role may, and no node needs the provider for it.
	s, err := w.login(w.Node, "pod", issuer.Token(pod))
	want(t, "login", err, "")
	records := w.Records()
	last := records[len(records)-1]
	if id := last["userIdentity"].(map[string]any); id["type"] != auth.TypeWebIdentity || last["recipientAccountId"] != aliceID || !strings.Contains(fmt.Sprint(id), "serviceaccount:shop:orders") {
		t.Errorf("recorded %v", last)
	}
	_, err = proven(w.Node, bearer(s.SessionToken), kms.OpCreateKey, &kms.CreateKeyRequest{})
	want(t, "create a key", err, "")
	w.must(t, w.alice, kms.OpDeleteOIDCProvider, &kms.ProviderRequest{Provider: provider})
	want(t, "the session lives on", whoAmI(w.Node, s), "")
	_, err = w.login(w.Node, "pod", issuer.Token(pod))
	want(t, "without the provider", err, kms.CodeInvalidIdentityToken)
	if shows(w.Lines(), issuer.Token(pod)) || shows(w.Lines(), string(s.SessionToken)) {
		t.Error("the audit records show a token")
	}
}

// Whatever is wrong with a token, the answer is one.
func TestWebIdentityRefusals(t *testing.T) {
	c := newClock()
	w := newWorld(t, servicetest.Options{Now: c.now})
	issuer, stranger, bobs := oidctest.New(t, jose.RS256), oidctest.New(t, jose.RS256), oidctest.New(t)
	for _, i := range []*oidctest.Issuer{issuer, stranger, bobs} {
		i.SetNow(c.now)
	}
	w.trustIssuer(t, issuer)
	w.must(t, w.bob, kms.OpCreateOIDCProvider, &kms.CreateOIDCProviderRequest{URL: bobs.URL(), ClientIDList: []string{"lockstep"}, CACertificate: bobs.CA()})
	for name, of := range map[string]*oidctest.Issuer{"r": issuer, "bobs": bobs} {
		w.roleFor(t, name, webTrust(aliceID, of.URL(), `{"StringEquals":{"ISSUER:sub":"s"}}`), allowAll)
	}
	w.roleFor(t, "foreign", webTrust(bobID, bobs.URL(), `{"StringEquals":{"ISSUER:sub":"s"}}`), allowAll)
	claims := func(change ...any) map[string]any {
		all := map[string]any{"aud": "lockstep", "sub": "s"}
		for i := 0; i+1 < len(change); i += 2 {
			all[change[i].(string)] = change[i+1]
		}
		return all
	}
	right := issuer.Token(claims())
	_, err := w.login(w.Node, "r", right)
	want(t, "the right one", err, "")
	parts := strings.Split(right, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	flipped := []byte(right)
	flipped[len(flipped)-20] ^= 1
	hour := func(n int) int64 { return c.now().Add(time.Duration(n) * time.Hour).Unix() }
	public := []byte(issuer.Keys())
	messages := map[string]string{}
	for what, row := range map[string]struct{ role, token string }{
		"another audience":        {"r", issuer.Token(claims("aud", "other"))},
		"no audience":             {"r", issuer.Token(claims("aud", nil))},
		"another party":           {"r", issuer.Token(claims("azp", "other"))},
		"expired":                 {"r", issuer.Token(claims("exp", hour(-1), "iat", hour(-2)))},
		"without end":             {"r", issuer.Token(claims("exp", nil))},
		"not yet":                 {"r", issuer.Token(claims("nbf", hour(1)))},
		"no subject":              {"r", issuer.Token(claims("sub", nil))},
		"alg none":                {"r", none},
		"a signature taken off":   {"r", parts[0] + "." + parts[1] + "."},
		"a broken signature":      {"r", string(flipped)},
		"key confusion":           {"r", issuer.Sign(fmt.Sprintf(`{"iss":%q,"aud":"lockstep","sub":"s","exp":%d}`, issuer.URL(), hour(1)), oidctest.Algorithm(jose.HS256), oidctest.Key(public), oidctest.Header("kid", issuer.KeyID(jose.RS256)))},
		"an issuer nobody trusts": {"r", stranger.Token(claims())},
		"signed by a stranger":    {"r", stranger.Token(claims("iss", issuer.URL()))},
		"of bob's issuer":         {"bobs", bobs.Token(claims())},
		"of bob's account":        {"foreign", bobs.Token(claims())},
		"of an issuer with slash": {"r", issuer.Token(claims("iss", issuer.URL()+"/"))},
		"no token":                {"r", "x"},
		"two dots":                {"r", ".."},
		"a session token":         {"r", strings.Repeat("A", 600)},
		"no role either":          {"none", stranger.Token(claims())},
	} {
		_, err := w.login(w.Node, row.role, row.token)
		want(t, what, err, kms.CodeInvalidIdentityToken)
		messages[err.Error()] = what
	}
	if len(messages) != 1 {
		t.Errorf("refusals differ: %v", messages)
	}
	for what, token := range map[string]string{"nothing": "", "too much": strings.Repeat("x", 20_001)} {
		_, err := w.login(w.Node, "r", token)
		want(t, what, err, kms.CodeValidation)
	}
	// A role that trusts another provider, of the same account.
	second := oidctest.New(t)
	second.SetNow(c.now)
	w.trustIssuer(t, second)
	_, err = w.login(w.Node, "r", second.Token(claims()))
	want(t, "another provider's", err, kms.CodeAccessDenied)
	// A user's role takes no token, and a token's role no user.
	w.roleFor(t, "users", trusting(iamARN(aliceID, "root")), "")
	_, err = w.login(w.Node, "users", right)
	want(t, "a role of users", err, kms.CodeAccessDenied)
	_, err = w.Do(w.alice, kms.OpAssumeRole, &kms.AssumeRoleRequest{RoleARN: iamARN(aliceID, "role/r"), RoleSessionName: "session"})
	want(t, "a role of tokens", err, kms.CodeAccessDenied)
	// An audience that is taken away.
	name := strings.TrimPrefix(issuer.URL(), "https://")
	w.must(t, w.alice, kms.OpAddClientIDToOIDCProvider, &kms.ClientIDRequest{Provider: name, ClientID: "second"})
	w.must(t, w.alice, kms.OpRemoveClientIDFromOIDCProvider, &kms.ClientIDRequest{Provider: name, ClientID: "lockstep"})
	_, err = w.login(w.Node, "r", right)
	want(t, "an audience that was taken away", err, kms.CodeInvalidIdentityToken)
	_, err = w.login(w.Node, "r", issuer.Token(claims("aud", "second")))
	want(t, "the other audience", err, "")
	// A disabled account has no role.
	w.must(t, w.Root, kms.OpDisableAccount, &kms.AccountRequest{AccountID: aliceID})
	if _, err = w.login(w.Node, "r", issuer.Token(claims("aud", "second"))); err == nil {
		t.Error("a login to a disabled account")
	}
}
