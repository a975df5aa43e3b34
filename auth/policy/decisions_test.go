package policy

import "testing"

// policies are the statements of the documents of a row. A nil slice is no document.
type policies struct {
	key      []string
	identity []string
	boundary []string
	session  []string
	grant    grant
}

// decisionRow is who asks with which policies, and what comes out. The action is kms:Encrypt on
// keyARN, which belongs to account, unless the row says otherwise.
type decisionRow struct {
	name     string
	caller   Caller
	policies policies
	action   string
	resource string
	owner    string
	keys     keys

	want   Effect
	source Source
	reason Reason
}

type decisionGroup struct {
	page string
	rows []decisionRow
}

// Statements that rows share. In a key policy, "to" is a principal.
func allowTo(to string) string {
	return `{"Effect":"Allow","Principal":{"AWS":"` + to + `"},"Action":"kms:*","Resource":"*"}`
}

func denyTo(to string) string {
	return `{"Effect":"Deny","Principal":{"AWS":"` + to + `"},"Action":"kms:*","Resource":"*"}`
}

func denyAllBut(principals string) string {
	return `{"Effect":"Deny","NotPrincipal":{"AWS":[` + principals + `]},"Action":"kms:*","Resource":"*"}`
}

const (
	allowKMS     = `{"Effect":"Allow","Action":"kms:*","Resource":"*"}`
	allowEncrypt = `{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}`
	allowDecrypt = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}`
	denyEncrypt  = `{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}`
	denyDecrypt  = `{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}`
	otherRoot    = "arn:aws:iam::444455556666:root"
	otherAlice   = "arn:aws:iam::444455556666:user/alice"
	otherRole    = "arn:aws:iam::444455556666:role/team/app"
	otherSession = "arn:aws:sts::444455556666:assumed-role/app/run-7"
)

func (r *decisionRow) query(t *testing.T) *Query {
	t.Helper()
	q := &Query{
		Request:         Request{Action: r.action, Resource: r.resource, Caller: r.caller},
		ResourceAccount: r.owner,
		Bounded:         r.policies.boundary != nil,
		HasSession:      r.policies.session != nil,
	}
	if r.keys != nil {
		q.Context = r.keys
	}
	if q.Action == "" {
		q.Action = "kms:Encrypt"
	}
	if q.Resource == "" {
		q.Resource = keyARN
	}
	if q.ResourceAccount == "" {
		q.ResourceAccount = account
	}
	if r.policies.key != nil {
		q.KeyPolicy = keyPolicy(t, r.policies.key...)
	}
	for _, s := range r.policies.identity {
		q.Identity = append(q.Identity, identity(t, s))
	}
	if r.policies.boundary != nil {
		q.Boundary = identity(t, r.policies.boundary...)
	}
	if r.policies.session != nil {
		q.Session = []*Document{identity(t, r.policies.session...)}
	}
	if r.policies.grant.id != "" {
		q.Grants = r.policies.grant
	}
	return q
}

func TestDecisions(t *testing.T) {
	for _, group := range []decisionGroup{keyPolicyRows, delegationRows, identityRows, denyRows, boundaryRows, sessionRows, sameAccountTableRows, crossAccountRows, grantRows, notPrincipalRows, serviceRows} {
		for _, row := range group.rows {
			d := Evaluate(row.query(t))
			if d.Effect != row.want || d.Source != row.source || d.Reason != row.reason {
				t.Errorf("%s\n%s: %v by %v: %v; want %v by %v: %v", group.page, row.name, d.Effect, d.Source, d.Reason, row.want, row.source, row.reason)
			}
		}
	}
}

var (
	alice   = userOf(account, "alice")
	bob     = userOf(account, "bob")
	root    = rootOf(account)
	session = sessionOf(account, "run-7")

	foreignAlice   = userOf(other, "alice")
	foreignRoot    = rootOf(other)
	foreignSession = sessionOf(other, "run-7")
)

var keyPolicyRows = decisionGroup{"kms: key-policies.html, key-policy-overview.html", []decisionRow{
	{name: "user named", caller: alice, policies: policies{key: []string{allowTo(aliceARN)}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "another user named", caller: bob, policies: policies{key: []string{allowTo(aliceARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "user of the same name elsewhere", caller: foreignAlice, policies: policies{key: []string{allowTo(aliceARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "name in another case", caller: userOf(account, "Alice"), policies: policies{key: []string{allowTo(aliceARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "star in the caller's name", caller: userOf(account, "*"), policies: policies{key: []string{allowTo(aliceARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "role named", caller: session, policies: policies{key: []string{allowTo(roleARN)}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "role named without its path", caller: session, policies: policies{key: []string{allowTo("arn:aws:iam::111122223333:role/app")}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "session named", caller: session, policies: policies{key: []string{allowTo(sessionARN)}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "another session of the role", caller: sessionOf(account, "run-8"), policies: policies{key: []string{allowTo(sessionARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "role named, user asks", caller: alice, policies: policies{key: []string{allowTo(roleARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "root by ARN", caller: root, policies: policies{key: []string{allowTo(rootARN)}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "root by account id", caller: root, policies: policies{key: []string{allowTo(account)}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "root not named", caller: root, policies: policies{key: []string{allowTo(aliceARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "root by ARN of another partition", caller: root, policies: policies{key: []string{allowTo("arn:aws-cn:iam::111122223333:root")}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "everyone", caller: alice, policies: policies{key: []string{allowTo("*")}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "everyone, short form", caller: session, policies: policies{key: []string{`{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "everyone under a condition that holds", caller: alice, keys: keys{"kms:calleraccount": {account}}, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"}}}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "everyone under a condition that does not", caller: alice, keys: keys{"kms:calleraccount": {other}}, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"}}}`}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "action not named", caller: alice, action: "kms:ScheduleKeyDeletion", policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"` + aliceARN + `"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"}`}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "resource is the key's ARN", caller: alice, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"` + aliceARN + `"},"Action":"kms:*","Resource":"` + keyARN + `"}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "resource is another key", caller: alice, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"` + aliceARN + `"},"Action":"kms:*","Resource":"` + keyARN + `0"}`}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "second of several principals", caller: alice, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":["` + roleARN + `","` + aliceARN + `"]},"Action":"kms:*","Resource":"*"}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "identity policies are not asked for", caller: alice, policies: policies{key: []string{allowTo(aliceARN)}, identity: []string{allowDecrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "identity policy alone is not enough", caller: alice, policies: policies{key: []string{allowTo(roleARN)}, identity: []string{allowKMS}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "administrator cannot pass a key policy either", caller: alice, policies: policies{key: []string{allowTo(roleARN)}, identity: []string{`{"Effect":"Allow","Action":"*","Resource":"*"}`}}, source: FromNothing, reason: KeyPolicySilent},
}}

var delegationRows = decisionGroup{"kms: key-policy-default.html#key-policy-default-allow-root-enable-iam", []decisionRow{
	{name: "identity policy allows", caller: alice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: DelegatedToIdentity},
	{name: "by account id", caller: alice, policies: policies{key: []string{allowTo(account)}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: DelegatedToIdentity},
	{name: "session of a role", caller: session, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: DelegatedToIdentity},
	{name: "no identity policy", caller: alice, policies: policies{key: []string{allowTo(rootARN)}}, source: FromIdentity, reason: DelegatedButIdentitySilent},
	{name: "identity policy allows something else", caller: alice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowDecrypt}}, source: FromIdentity, reason: DelegatedButIdentitySilent},
	{name: "second identity policy allows", caller: alice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowDecrypt, allowEncrypt}}, want: Allowed, source: FromIdentity, reason: DelegatedToIdentity},
	{name: "delegates another action only", caller: alice, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"` + rootARN + `"},"Action":"kms:Decrypt","Resource":"*"}`}, identity: []string{allowKMS}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "delegates another resource only", caller: alice, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"` + rootARN + `"},"Action":"kms:*","Resource":"` + keyARN + `0"}`}, identity: []string{allowKMS}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "delegates under a condition that does not hold", caller: alice, keys: keys{"kms:viaservice": {"s3"}}, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"` + rootARN + `"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"ec2"}}}`}, identity: []string{allowKMS}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "delegates under a condition that holds", caller: alice, keys: keys{"kms:viaservice": {"ec2"}}, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":"` + rootARN + `"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"ec2"}}}`}, identity: []string{allowKMS}}, want: Allowed, source: FromIdentity, reason: DelegatedToIdentity},
	{name: "delegates to another account", caller: alice, policies: policies{key: []string{allowTo(otherRoot)}, identity: []string{allowKMS}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "delegates and names the user", caller: alice, policies: policies{key: []string{allowTo(rootARN), allowTo(aliceARN)}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "names the user and delegates", caller: alice, policies: policies{key: []string{allowTo(aliceARN), allowTo(rootARN)}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "identity policy for another key", caller: alice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{`{"Effect":"Allow","Action":"kms:*","Resource":"` + keyARN + `0"}`}}, source: FromIdentity, reason: DelegatedButIdentitySilent},
	{name: "identity policy for this key", caller: alice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{`{"Effect":"Allow","Action":"kms:*","Resource":"` + keyARN + `"}`}}, want: Allowed, source: FromIdentity, reason: DelegatedToIdentity},
	{name: "identity policy under a condition", caller: alice, keys: keys{"aws:resourcetag/team": {"red"}, "aws:principaltag/team": {"red"}}, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{`{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}}`}}, want: Allowed, source: FromIdentity, reason: DelegatedToIdentity},
}}

var identityRows = decisionGroup{"reference_policies_evaluation-logic_policy-eval-basics.html", []decisionRow{
	{name: "allows", caller: alice, policies: policies{identity: []string{allowKMS}}, want: Allowed, source: FromIdentity, reason: IdentityAllows},
	{name: "nothing", caller: alice, source: FromIdentity, reason: IdentitySilent},
	{name: "allows something else", caller: alice, policies: policies{identity: []string{allowDecrypt}}, source: FromIdentity, reason: IdentitySilent},
	{name: "no resource", caller: alice, action: "kms:CreateKey", resource: "*", policies: policies{identity: []string{`{"Effect":"Allow","Action":"kms:CreateKey","Resource":"*"}`}}, want: Allowed, source: FromIdentity, reason: IdentityAllows},
	{name: "no resource, policy names one", caller: alice, action: "kms:CreateKey", resource: "*", policies: policies{identity: []string{`{"Effect":"Allow","Action":"kms:CreateKey","Resource":"arn:aws:kms:*"}`}}, source: FromIdentity, reason: IdentitySilent},
	{name: "root of the account", caller: root, want: Allowed, source: FromRoot, reason: RootOfOwner},
	{name: "root of another account", caller: foreignRoot, source: FromNothing, reason: ForeignWithoutPolicy},
	{name: "user of another account", caller: foreignAlice, policies: policies{identity: []string{allowKMS}}, source: FromNothing, reason: ForeignWithoutPolicy},
	{name: "root with a session policy that is silent", caller: root, policies: policies{session: []string{allowDecrypt}}, source: FromSession, reason: LimitedBySession},
	{name: "session of a role", caller: session, policies: policies{identity: []string{allowKMS}}, want: Allowed, source: FromIdentity, reason: IdentityAllows},
	{name: "a grant without a key policy is nothing", caller: alice, policies: policies{grant: grant{"g", ViaDirect}}, source: FromIdentity, reason: IdentitySilent},
}}

var denyRows = decisionGroup{"reference_policies_evaluation-logic_AccessPolicyLanguage_Interplay.html", []decisionRow{
	{name: "key policy denies the user", caller: alice, policies: policies{key: []string{allowTo(aliceARN), denyTo(aliceARN)}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "order does not matter", caller: alice, policies: policies{key: []string{denyTo(aliceARN), allowTo(aliceARN)}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "key policy denies another user", caller: alice, policies: policies{key: []string{allowTo(aliceARN), denyTo("arn:aws:iam::111122223333:user/bob")}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "key policy denies the account", caller: alice, policies: policies{key: []string{allowTo(aliceARN), denyTo(rootARN)}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "key policy denies everyone", caller: root, policies: policies{key: []string{allowTo(rootARN), denyTo("*")}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "key policy denies the role", caller: session, policies: policies{key: []string{allowTo(sessionARN), denyTo(roleARN)}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "key policy denies the session", caller: session, policies: policies{key: []string{allowTo(roleARN), denyTo(sessionARN)}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "key policy denies under a condition that holds", caller: alice, keys: keys{"aws:securetransport": {"false"}}, policies: policies{key: []string{allowTo(aliceARN), `{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "key policy denies under a condition that does not", caller: alice, keys: keys{"aws:securetransport": {"true"}}, policies: policies{key: []string{allowTo(aliceARN), `{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "identity policy denies what the key policy allows", caller: alice, policies: policies{key: []string{allowTo(aliceARN)}, identity: []string{denyEncrypt}}, want: ExplicitDeny, source: FromIdentity, reason: DeniedByStatement},
	{name: "second identity policy denies", caller: alice, policies: policies{identity: []string{allowKMS, denyEncrypt}}, want: ExplicitDeny, source: FromIdentity, reason: DeniedByStatement},
	{name: "identity policy denies another action", caller: alice, policies: policies{identity: []string{allowKMS, denyDecrypt}}, want: Allowed, source: FromIdentity, reason: IdentityAllows},
	{name: "boundary denies", caller: alice, policies: policies{key: []string{allowTo(aliceARN)}, boundary: []string{allowKMS, denyEncrypt}}, want: ExplicitDeny, source: FromBoundary, reason: DeniedByStatement},
	{name: "session policy denies", caller: session, policies: policies{key: []string{allowTo(sessionARN)}, session: []string{allowKMS, denyEncrypt}}, want: ExplicitDeny, source: FromSession, reason: DeniedByStatement},
	{name: "a grant does not pass a deny", caller: alice, policies: policies{key: []string{denyTo(aliceARN)}, grant: grant{"g", ViaDirect}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "a grant does not pass a deny of the identity", caller: alice, policies: policies{key: []string{allowTo(roleARN)}, identity: []string{denyEncrypt}, grant: grant{"g", ViaDirect}}, want: ExplicitDeny, source: FromIdentity, reason: DeniedByStatement},
	{name: "identity policy denies the root user", caller: root, policies: policies{identity: []string{denyEncrypt}}, want: ExplicitDeny, source: FromIdentity, reason: DeniedByStatement},
	{name: "identity policy of a foreign caller denies", caller: foreignAlice, policies: policies{key: []string{allowTo(otherAlice)}, identity: []string{allowKMS, denyEncrypt}}, want: ExplicitDeny, source: FromIdentity, reason: DeniedByStatement},
	{name: "key policy is named first", caller: alice, policies: policies{key: []string{denyTo(aliceARN)}, identity: []string{denyEncrypt}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "nothing allows", caller: alice, policies: policies{key: []string{denyTo(roleARN)}}, source: FromNothing, reason: KeyPolicySilent},
}}
