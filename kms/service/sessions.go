package service

import (
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockstep-kms/lockstep/auth"
	"github.com/lockstep-kms/lockstep/auth/oidc"
	"github.com/lockstep-kms/lockstep/auth/policy"
	"github.com/lockstep-kms/lockstep/kms"
	"github.com/lockstep-kms/lockstep/kms/catalog"
)

// Sessions of roles are stateless: the token is all there is of one, so a login writes nothing, and any unsealed node
// takes it. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html

const (
	minDuration     = 900 // seconds
	defaultDuration = 3600
	maxChained      = 3600  // seconds that a session lasts that another session's caller asked for
	defaultOwn      = 43200 // seconds that a user's own session lasts
	maxOwn          = 129600
	maxRootOwn      = 3600
	maxWebToken     = 20_000
	maxPolicyARNs   = 10
)

func sessionUses(all map[*kms.Operation]*use) {
	all[kms.OpAssumeRole] = reading(checkAssumeRole, assumeRole)
	all[kms.OpAssumeRoleWithWebIdentity] = reading(checkWebIdentity, assumeRoleWithWebIdentity)
	all[kms.OpGetSessionToken] = reading(checkOwnSession, getSessionToken)
}

// wanted is what a session is asked to be.
type wanted struct {
	role     string // ARN
	name     string
	duration *int
	policy   kms.PolicyDocument
	policies []string
	tags     map[string]string
}

func (r *request) checkWanted(w wanted) error {
	r.note("roleArn", kms.Printable(w.role))
	if w.duration != nil {
		r.noteInt("durationSeconds", *w.duration)
		if err := checkRange("durationSeconds", *w.duration, minDuration, maxSession); err != nil {
			return err
		}
	}
	if _, _, err := r.parseRole(w.role); err != nil {
		return err
	}
	if len(w.name) < 2 || len(w.name) > 64 || !inPattern(w.name, "_+=,.@-") {
		return constraint("roleSessionName", "Member must satisfy regular expression pattern: [\\w+=,.@-]* and have 2 to 64 characters")
	}
	r.note("roleSessionName", w.name)
	if w.policy != "" {
		if n := utf8.RuneCountInString(string(w.policy)); n > auth.MaxSessionPolicy {
			return kms.Errorf(kms.CodeLimitExceeded, "A session policy has at most %d characters.", auth.MaxSessionPolicy)
		}
		if _, err := parsePolicy(policy.IdentityPolicy, w.policy); err != nil {
			return err
		}
		r.noteDocument("policy", w.policy)
	}
	if len(w.policies) > maxPolicyARNs {
		return constraint("policyArns", "Member must have length less than or equal to %d", maxPolicyARNs)
	}
	noteList(r, "policyArns", w.policies)
	return r.takeTags(w.tags)
}

// parseRole returns the account and name of a role's ARN.
func (r *request) parseRole(arn string) (account, name string, err error) {
	p := strings.SplitN(arn, ":", 6)
	if len(p) == 6 && p[0] == "arn" && p[1] == r.Partition && p[2] == "iam" && p[3] == "" && checkAccountID(p[4]) == nil && strings.HasPrefix(p[5], "role/") {
		if name = policyNameOf(arn); checkName("roleArn", name, role.name) == nil {
			return p[4], name, nil
		}
	}
	return "", "", kms.Errorf(kms.CodeInvalidARN, "%s is not the ARN of a role.", kms.Printable(arn))
}

func checkAssumeRole(r *request, q *kms.AssumeRoleRequest) error {
	if q.ExternalID != "" {
		if len(q.ExternalID) < 2 || len(q.ExternalID) > 1224 || !inPattern(q.ExternalID, "_+=,.@:/-") {
			return constraint("externalId", "Member must satisfy regular expression pattern: [\\w+=,.@:\\/-]* and have 2 to 1224 characters")
		}
		r.note("externalId", q.ExternalID)
	}
	return r.checkWanted(wanted{q.RoleARN, q.RoleSessionName, q.DurationSeconds, q.Policy, q.PolicyARNs, q.Tags})
}

// assumeRole asks the role's trust policy and, unless that names the caller itself, the caller's policies too.
// What is not there is refused in the same words.
func assumeRole(r *request, q *kms.AssumeRoleRequest) (any, error) {
	w := wanted{q.RoleARN, q.RoleSessionName, q.DurationSeconds, q.Policy, q.PolicyARNs, q.Tags}
	i, err := r.roleByARN(w.role)
	if err != nil {
		return nil, err
	}
	if i == nil || r.mayAssume(i, "sts:AssumeRole") != nil || len(q.Tags) > 0 && r.mayAssume(i, "sts:TagSession") != nil {
		return nil, r.denied("sts:AssumeRole", w.role)
	}
	s := &auth.Session{Issuer: r.principal.ARN, Tags: q.Tags}
	return r.issue(i, w, s)
}

// mayAssume asks the gate about a role, whose trust policy is its resource-based policy.
func (r *request) mayAssume(i *catalog.Identity, action string) error {
	trust := i.TrustPolicy()
	if trust == nil {
		return r.denied(action, i.ARN(r.Partition))
	}
	return r.allow(&auth.Query{Action: action, Resource: i.ARN(r.Partition), ResourceAccount: i.Account, Policy: trust}, facts{tags: i.Tags})
}

// roleByARN returns a role of any account that is there and not disabled, nil when there is none.
func (r *request) roleByARN(arn string) (*catalog.Identity, error) {
	account, name, err := r.parseRole(arn)
	if err != nil {
		return nil, err
	}
	i, err := r.view.Identity(account, kms.IdentityKey(kms.TypeRole, name))
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if a, err := r.view.Account(account); err != nil || a.Disabled || i.Disabled || i.ARN(r.Partition) != arn {
		return nil, nil
	}
	return i, nil
}

// issue makes the session of a role that the caller may assume.
func (r *request) issue(i *catalog.Identity, w wanted, s *auth.Session) (any, error) {
	seconds := defaultDuration
	if w.duration != nil {
		seconds = *w.duration
	}
	highest := int(i.MaxSession)
	if r.principal.Type == auth.TypeAssumedRole {
		highest = min(highest, maxChained)
	}
	if seconds > highest {
		return nil, kms.Errorf(kms.CodeValidation, "The requested DurationSeconds exceeds the %d seconds that sessions of this role may last.", highest)
	}
	for _, arn := range w.policies {
		if r.principal.Account != i.Account || r.principal.Type == auth.TypeWebIdentity {
			break // what there is in the account is not told; without the policy the session may do nothing
		}
		p, err := r.view.ManagedPolicy(i.Account, policyNameOf(arn))
		if err != nil || p.ARN(r.Partition) != arn {
			return nil, kms.Errorf(kms.CodeMalformedPolicy, "There is no policy %s in the account of the role.", kms.Printable(arn))
		}
	}
	s.Role, s.RoleID, s.Generation, s.Name = i.Name, i.ID, i.Generation, w.name
	s.Policy, s.PolicyARNs = string(w.policy), w.policies
	c, err := r.credentials(s, i.Account, seconds, i.ValidFrom) // the node that revoked sessions may have been ahead of this one
	if err != nil {
		return nil, err
	}
	arn := "arn:" + r.Partition + ":sts::" + i.Account + ":assumed-role/" + i.Name + "/" + s.Name
	r.resource(i.ARN(r.Partition), role.resource)
	return &kms.SessionAnswer{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		Expiration: c.Expiration, AssumedRoleARN: arn, AssumedRoleID: i.ID + ":" + s.Name,
		PackedPolicySize: 100 * (len(s.Policy) + len(strings.Join(s.PolicyARNs, ""))) / auth.MaxSessionToken}, nil
}

// credentials completes a session that says what it is, and seals it. It is issued now, or at the earliest time that counts.
func (r *request) credentials(s *auth.Session, account string, seconds int, earliest int64) (*kms.SessionTokenAnswer, error) {
	id, sec, err := auth.NewSessionKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	defer sec.Wipe()
	now := max(r.now(), earliest)
	s.Schema, s.AccessKeyID, s.Secret, s.Account = 1, id, kms.Sensitive(sec), account
	s.Issued, s.Expires = now, now+int64(seconds)*1000
	token, err := r.view.SealSession(s)
	if err != nil {
		return nil, err
	}
	if len(token) > auth.MaxSessionToken {
		return nil, kms.Errorf(kms.CodeLimitExceeded, "The session's policies and tags take %d%% of what a token may carry.", 100*len(token)/auth.MaxSessionToken)
	}
	return &kms.SessionTokenAnswer{AccessKeyID: id, SecretAccessKey: kms.SensitiveString(sec), SessionToken: kms.SensitiveString(token), Expiration: kms.Time(s.Expires)}, nil
}

func checkOwnSession(r *request, q *kms.GetSessionTokenRequest) error {
	if q.DurationSeconds == nil {
		return nil
	}
	r.noteInt("durationSeconds", *q.DurationSeconds)
	return checkRange("durationSeconds", *q.DurationSeconds, minDuration, maxOwn)
}

// getSessionToken makes a session of the user or root that calls. It is worth what the access key is that signed the
// request: it ends when that is deleted or disabled, or its user.
func getSessionToken(r *request, q *kms.GetSessionTokenRequest) (any, error) {
	if r.principal.Session != nil {
		return nil, kms.Errorf(kms.CodeAccessDenied, "Cannot call GetSessionToken with session credentials")
	}
	if err := r.allowAll(); err != nil {
		return nil, err
	}
	seconds := defaultOwn
	if q.DurationSeconds != nil {
		seconds = *q.DurationSeconds
	}
	if r.principal.Type == kms.TypeRoot {
		seconds = min(seconds, maxRootOwn) // as at AWS, which refuses nothing here
	}
	return r.credentials(&auth.Session{OfKey: r.principal.AccessKeyID}, r.principal.Account, seconds, 0)
}

func checkWebIdentity(r *request, q *kms.AssumeRoleWithWebIdentityRequest) error {
	if err := checkLength("webIdentityToken", len(q.WebIdentityToken), maxWebToken); err != nil {
		return err
	}
	return r.checkWanted(wanted{q.RoleARN, q.RoleSessionName, q.DurationSeconds, q.Policy, q.PolicyARNs, nil})
}

// assumeRoleWithWebIdentity takes a token of an issuer that the role's account trusts in place of an identity. Until its
// signature is verified the caller is nobody, and learns nothing of the account.
func assumeRoleWithWebIdentity(r *request, q *kms.AssumeRoleWithWebIdentityRequest) (any, error) {
	w := wanted{q.RoleARN, q.RoleSessionName, q.DurationSeconds, q.Policy, q.PolicyARNs, nil}
	account, _, err := r.parseRole(q.RoleARN)
	if err != nil {
		return nil, err
	}
	p, claims, err := r.webIdentity(account, string(q.WebIdentityToken))
	if err != nil {
		return nil, err
	}
	r.principal = &auth.Principal{Account: account, ARN: p.ARN(r.Partition), UserID: p.Name + ":" + kms.Printable(webAudience(claims)) + ":" + kms.Printable(claims.Subject), Name: kms.Printable(claims.Subject),
		Type: auth.TypeWebIdentity, Federated: p.ARN(r.Partition)}
	r.scope.Account = account // whose record it is
	i, err := r.roleByARN(w.role)
	if err != nil {
		return nil, err
	}
	refused := kms.Errorf(kms.CodeAccessDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	if i == nil || i.TrustPolicy() == nil {
		return nil, refused
	}
	err = r.allow(&auth.Query{Resource: w.role, ResourceAccount: account, Policy: i.TrustPolicy()}, facts{tags: i.Tags, web: &webFacts{p.Name, claims}})
	if err != nil {
		if kms.CodeOf(err) == kms.CodeAccessDenied {
			err = refused
		}
		return nil, err
	}
	answer, err := r.issue(i, w, &auth.Session{Issuer: p.ARN(r.Partition), Federated: p.ARN(r.Partition), Subject: claims.Subject})
	if err != nil {
		return nil, err
	}
	made := answer.(*kms.SessionAnswer)
	made.Subject, made.Provider, made.Audience = claims.Subject, p.ARN(r.Partition), webAudience(claims)
	return made, nil
}

// webIdentity verifies a token against the provider of an account that issued it.
func (r *request) webIdentity(account, token string) (*catalog.Provider, *oidc.Claims, error) {
	// Whatever is wrong, the answer is one: another would tell strangers which issuers an account trusts. The verifier
	// logs what it could not fetch.
	nobody := kms.Errorf(kms.CodeInvalidIdentityToken, "The token is not accepted: its issuer is not trusted by the role's account or cannot be reached, its audience is another, it has expired, or its signature is wrong.")
	if !r.logins.enter(account) {
		e := kms.Errorf(kms.CodeThrottled, "The node is verifying as many tokens as it may; try again later.")
		e.RetryAfter = time.Second
		return nil, nil, e
	}
	defer r.logins.leave(account)
	issuer, err := oidc.Peek(token)
	if err != nil || r.OIDC == nil {
		return nil, nil, nobody
	}
	p, err := r.view.Provider(account, kms.ProviderOIDC, issuerName(issuer))
	if err != nil || p.URL != issuer {
		return nil, nil, nobody
	}
	claims, err := r.OIDC.Verify(r.ctx, oidcProvider(&p.Provider), token)
	if err != nil {
		return nil, nil, nobody.WithCause(err)
	}
	return p, claims, nil
}

// webFacts are the condition keys of a web identity: its claims under the issuer's name.
type webFacts struct {
	issuer string
	claims *oidc.Claims
}

// webAudience is the audience that a trust policy sees: the authorized party where the token has one.
func webAudience(c *oidc.Claims) string {
	if c.AuthorizedParty != "" {
		return c.AuthorizedParty
	}
	return strings.Join(c.Audience, ",")
}

// lookup returns a claim by its condition key, "ISSUER:CLAIM" in lower case.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif
func (w *webFacts) lookup(name string) (policy.Values, bool) {
	claim, ok := strings.CutPrefix(name, strings.ToLower(w.issuer)+":")
	if !ok {
		return policy.Values{}, false
	}
	switch claim {
	case "sub":
		return one(w.claims.Subject)
	case "aud":
		if w.claims.AuthorizedParty != "" {
			return one(w.claims.AuthorizedParty)
		}
		return many(w.claims.Audience)
	case "oaud":
		return many(w.claims.Audience)
	case "amr":
		return many(w.claims.AMR)
	}
	for _, key := range slices.Sorted(maps.Keys(w.claims.Strings)) { // of claims that differ in case only, always the same one
		if values := w.claims.Strings[key]; strings.EqualFold(key, claim) {
			if len(values) == 1 {
				return policy.One(values[0]), true
			}
			return many(values)
		}
	}
	return policy.Values{}, false
}
