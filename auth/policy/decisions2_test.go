package policy

var boundaryRows = decisionGroup{"access_policies_boundaries.html", []decisionRow{
	{name: "both allow", caller: alice, policies: policies{identity: []string{allowKMS}, boundary: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: IdentityAllows},
	{name: "boundary is silent", caller: alice, policies: policies{identity: []string{allowKMS}, boundary: []string{allowDecrypt}}, source: FromBoundary, reason: LimitedByBoundary},
	{name: "boundary alone allows nothing", caller: alice, policies: policies{boundary: []string{allowKMS}}, source: FromIdentity, reason: IdentitySilent},
	{name: "delegation, both allow", caller: alice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowKMS}, boundary: []string{allowKMS}}, want: Allowed, source: FromIdentity, reason: DelegatedToIdentity},
	{name: "delegation, boundary is silent", caller: alice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowKMS}, boundary: []string{allowDecrypt}}, source: FromBoundary, reason: LimitedByBoundary},
	{name: "key policy names the user", caller: alice, policies: policies{key: []string{allowTo(aliceARN)}, boundary: []string{allowDecrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "key policy names the role", caller: session, policies: policies{key: []string{allowTo(roleARN)}, boundary: []string{allowDecrypt}}, source: FromBoundary, reason: LimitedByBoundary},
	{name: "key policy names the role and the boundary allows", caller: session, policies: policies{key: []string{allowTo(roleARN)}, boundary: []string{allowEncrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "key policy names the session", caller: session, policies: policies{key: []string{allowTo(sessionARN)}, boundary: []string{allowDecrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "key policy names everyone", caller: session, policies: policies{key: []string{allowTo("*")}, boundary: []string{allowDecrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "key policy names role and session", caller: session, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"AWS":["` + roleARN + `","` + sessionARN + `"]},"Action":"kms:*","Resource":"*"}`}, boundary: []string{allowDecrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "boundary under a condition", caller: alice, keys: keys{"aws:sourceip": {"192.0.2.1"}}, policies: policies{identity: []string{allowKMS}, boundary: []string{`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`}}, source: FromBoundary, reason: LimitedByBoundary},
	{name: "boundary for another key", caller: alice, policies: policies{identity: []string{allowKMS}, boundary: []string{`{"Effect":"Allow","Action":"*","Resource":"` + keyARN + `0"}`}}, source: FromBoundary, reason: LimitedByBoundary},
}}

var sessionRows = decisionGroup{"access_policies.html#policies_session", []decisionRow{
	{name: "both allow", caller: session, policies: policies{identity: []string{allowKMS}, session: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: IdentityAllows},
	{name: "session policy is silent", caller: session, policies: policies{identity: []string{allowKMS}, session: []string{allowDecrypt}}, source: FromSession, reason: LimitedBySession},
	{name: "session policy alone allows nothing", caller: session, policies: policies{session: []string{allowKMS}}, source: FromIdentity, reason: IdentitySilent},
	{name: "delegation, session policy is silent", caller: session, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowKMS}, session: []string{allowDecrypt}}, source: FromSession, reason: LimitedBySession},
	{name: "key policy names the role", caller: session, policies: policies{key: []string{allowTo(roleARN)}, session: []string{allowDecrypt}}, source: FromSession, reason: LimitedBySession},
	{name: "key policy names the role and the session policy allows", caller: session, policies: policies{key: []string{allowTo(roleARN)}, session: []string{allowEncrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "key policy names the session", caller: session, policies: policies{key: []string{allowTo(sessionARN)}, session: []string{allowDecrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "identity, boundary and session allow", caller: session, policies: policies{identity: []string{allowKMS}, boundary: []string{allowKMS}, session: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: IdentityAllows},
	{name: "boundary is silent before the session", caller: session, policies: policies{identity: []string{allowKMS}, boundary: []string{allowDecrypt}, session: []string{allowDecrypt}}, source: FromBoundary, reason: LimitedByBoundary},
	{name: "session of a user, user named", caller: alice, policies: policies{key: []string{allowTo(aliceARN)}, session: []string{allowDecrypt}}, source: FromSession, reason: LimitedBySession},
	{name: "session of a user, everyone named", caller: alice, policies: policies{key: []string{allowTo("*")}, session: []string{allowDecrypt}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "session of the root user", caller: root, policies: policies{key: []string{allowTo(rootARN)}, session: []string{allowDecrypt}}, source: FromSession, reason: LimitedBySession},
}}

// silent policies are present and say nothing of the action.
func silent(key ...string) policies {
	return policies{key: key, identity: []string{allowDecrypt}, boundary: []string{allowDecrypt}, session: []string{allowDecrypt}}
}

func silentUser(key ...string) policies {
	return policies{key: key, identity: []string{allowDecrypt}, boundary: []string{allowDecrypt}}
}

var sameAccountTableRows = decisionGroup{"reference_policies_evaluation-logic_policy-eval-denyallow.html, table of resource-based policies and implicit denies", []decisionRow{
	{name: "role session, role ARN, all silent", caller: session, policies: silent(allowTo(roleARN)), source: FromBoundary, reason: LimitedByBoundary},
	{name: "role session, session ARN, all silent", caller: session, policies: silent(allowTo(sessionARN)), want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "user, user ARN, all silent", caller: alice, policies: silentUser(allowTo(aliceARN)), want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "federated session of a user, user ARN, all silent", caller: alice, policies: silent(allowTo(aliceARN)), source: FromBoundary, reason: LimitedByBoundary},
	{name: "root user, root ARN", caller: root, policies: policies{key: []string{allowTo(rootARN)}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "service principal", caller: Caller{Kind: Service, ARN: "backup.amazonaws.com"}, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"Service":"backup.amazonaws.com"},"Action":"kms:*","Resource":"*"}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "role session, account, all silent", caller: session, policies: silent(allowTo(rootARN)), source: FromIdentity, reason: DelegatedButIdentitySilent},
}}

var crossAccountRows = decisionGroup{"reference_policies_evaluation-logic-cross-account.html; kms: key-policy-modifying-external-accounts.html", []decisionRow{
	{name: "account let in, identity allows", caller: foreignAlice, policies: policies{key: []string{allowTo(otherRoot)}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: BothAccountsAllow},
	{name: "account id let in, identity allows", caller: foreignAlice, policies: policies{key: []string{allowTo(other)}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: BothAccountsAllow},
	{name: "account let in, identity silent", caller: foreignAlice, policies: policies{key: []string{allowTo(otherRoot)}}, source: FromIdentity, reason: ForeignIdentitySilent},
	{name: "user let in, identity allows", caller: foreignAlice, policies: policies{key: []string{allowTo(otherAlice)}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: BothAccountsAllow},
	{name: "user let in, identity silent", caller: foreignAlice, policies: policies{key: []string{allowTo(otherAlice)}, identity: []string{allowDecrypt}}, source: FromIdentity, reason: ForeignIdentitySilent},
	{name: "role let in, identity allows", caller: foreignSession, policies: policies{key: []string{allowTo(otherRole)}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: BothAccountsAllow},
	{name: "role let in, identity silent", caller: foreignSession, policies: policies{key: []string{allowTo(otherRole)}}, source: FromIdentity, reason: ForeignIdentitySilent},
	{name: "session let in, identity silent", caller: foreignSession, policies: policies{key: []string{allowTo(otherSession)}}, source: FromIdentity, reason: ForeignIdentitySilent},
	{name: "session let in, identity allows", caller: foreignSession, policies: policies{key: []string{allowTo(otherSession)}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: BothAccountsAllow},
	{name: "everyone let in, identity silent", caller: foreignAlice, policies: policies{key: []string{allowTo("*")}}, source: FromIdentity, reason: ForeignIdentitySilent},
	{name: "everyone let in, identity allows", caller: foreignAlice, policies: policies{key: []string{allowTo("*")}, identity: []string{allowEncrypt}}, want: Allowed, source: FromIdentity, reason: BothAccountsAllow},
	{name: "not let in, identity allows", caller: foreignAlice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowKMS}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "root let in by its account", caller: foreignRoot, policies: policies{key: []string{allowTo(otherRoot)}}, want: Allowed, source: FromKeyPolicy, reason: BothAccountsAllow},
	{name: "root let in by everyone", caller: foreignRoot, policies: policies{key: []string{allowTo("*")}}, want: Allowed, source: FromKeyPolicy, reason: BothAccountsAllow},
	{name: "root not let in", caller: foreignRoot, policies: policies{key: []string{allowTo(rootARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "user let in, boundary silent", caller: foreignAlice, policies: policies{key: []string{allowTo(otherAlice)}, identity: []string{allowKMS}, boundary: []string{allowDecrypt}}, source: FromBoundary, reason: LimitedByBoundary},
	{name: "session let in, session policy silent", caller: foreignSession, policies: policies{key: []string{allowTo(otherSession)}, identity: []string{allowKMS}, session: []string{allowDecrypt}}, source: FromSession, reason: LimitedBySession},
	{name: "root with a session policy that is silent", caller: foreignRoot, policies: policies{key: []string{allowTo(otherRoot)}, session: []string{allowDecrypt}}, source: FromSession, reason: LimitedBySession},
	{name: "identity policy for the foreign key", caller: foreignAlice, policies: policies{key: []string{allowTo(otherRoot)}, identity: []string{`{"Effect":"Allow","Action":"kms:Encrypt","Resource":"` + keyARN + `"}`}}, want: Allowed, source: FromIdentity, reason: BothAccountsAllow},
	{name: "identity policy for keys of the own account", caller: foreignAlice, policies: policies{key: []string{allowTo(otherRoot)}, identity: []string{`{"Effect":"Allow","Action":"kms:Encrypt","Resource":"arn:aws:kms:*:444455556666:key/*"}`}}, source: FromIdentity, reason: ForeignIdentitySilent},
	{name: "a third account", caller: userOf("777788889999", "alice"), policies: policies{key: []string{allowTo(otherRoot)}, identity: []string{allowKMS}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "key policy denies the foreign account", caller: foreignAlice, policies: policies{key: []string{allowTo("*"), denyTo(otherRoot)}, identity: []string{allowKMS}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "no resource policy", caller: foreignAlice, policies: policies{identity: []string{allowKMS}}, source: FromNothing, reason: ForeignWithoutPolicy},
}}

var grantRows = decisionGroup{"kms: grants.html, permission-required.html", []decisionRow{
	{name: "user", caller: alice, policies: policies{key: []string{allowTo(roleARN)}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromGrant, reason: GrantAllows},
	{name: "none", caller: alice, policies: policies{key: []string{allowTo(roleARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "a grant without a way", caller: alice, policies: policies{key: []string{allowTo(roleARN)}, grant: grant{"g-1", ViaNone}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "key policy comes first", caller: alice, policies: policies{key: []string{allowTo(aliceARN)}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "where identity policies are silent", caller: alice, policies: policies{key: []string{allowTo(rootARN)}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromGrant, reason: GrantAllows},
	{name: "user, boundary silent", caller: alice, policies: policies{key: []string{allowTo(roleARN)}, boundary: []string{allowDecrypt}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromGrant, reason: GrantAllows},
	{name: "role", caller: session, policies: policies{key: []string{allowTo(aliceARN)}, grant: grant{"g-1", ViaRole}}, want: Allowed, source: FromGrant, reason: GrantAllows},
	{name: "role, boundary silent", caller: session, policies: policies{key: []string{allowTo(aliceARN)}, boundary: []string{allowDecrypt}, grant: grant{"g-1", ViaRole}}, source: FromBoundary, reason: LimitedByBoundary},
	{name: "role, session policy silent", caller: session, policies: policies{key: []string{allowTo(aliceARN)}, session: []string{allowDecrypt}, grant: grant{"g-1", ViaRole}}, source: FromSession, reason: LimitedBySession},
	{name: "session, session policy silent", caller: session, policies: policies{key: []string{allowTo(aliceARN)}, session: []string{allowDecrypt}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromGrant, reason: GrantAllows},
	{name: "session where the role is limited by the session policy", caller: session, policies: policies{key: []string{allowTo(roleARN)}, session: []string{allowDecrypt}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromGrant, reason: GrantAllows},
	{name: "role where the role is limited already", caller: session, policies: policies{key: []string{allowTo(roleARN)}, session: []string{allowDecrypt}, grant: grant{"g-1", ViaRole}}, source: FromSession, reason: LimitedBySession},
	{name: "account, identity allows", caller: alice, policies: policies{key: []string{allowTo(roleARN)}, identity: []string{allowKMS}, grant: grant{"g-1", ViaAccount}}, want: Allowed, source: FromIdentity, reason: GrantDelegates},
	{name: "account, identity silent", caller: alice, policies: policies{key: []string{allowTo(roleARN)}, grant: grant{"g-1", ViaAccount}}, source: FromIdentity, reason: GrantButIdentitySilent},
	{name: "foreign user, identity allows", caller: foreignAlice, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowKMS}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromIdentity, reason: GrantDelegates},
	{name: "foreign user, identity silent", caller: foreignAlice, policies: policies{key: []string{allowTo(rootARN)}, grant: grant{"g-1", ViaDirect}}, source: FromIdentity, reason: GrantButIdentitySilent},
	{name: "foreign role, boundary silent", caller: foreignSession, policies: policies{key: []string{allowTo(rootARN)}, identity: []string{allowKMS}, boundary: []string{allowDecrypt}, grant: grant{"g-1", ViaRole}}, source: FromBoundary, reason: LimitedByBoundary},
	{name: "foreign root", caller: foreignRoot, policies: policies{key: []string{allowTo(rootARN)}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromGrant, reason: GrantDelegates},
	{name: "own root", caller: root, policies: policies{key: []string{allowTo(aliceARN)}, grant: grant{"g-1", ViaDirect}}, want: Allowed, source: FromGrant, reason: GrantAllows},
}}

// q puts names in quotes with commas between them.
func q(names ...string) string {
	out := ""
	for i, n := range names {
		if i > 0 {
			out += ","
		}
		out += `"` + n + `"`
	}
	return out
}

var notPrincipalRows = decisionGroup{"reference_policies_elements_notprincipal.html", []decisionRow{
	{name: "user and account listed", caller: alice, policies: policies{key: []string{allowTo(aliceARN), denyAllBut(q(aliceARN, rootARN))}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "user and account id listed", caller: alice, policies: policies{key: []string{allowTo(aliceARN), denyAllBut(q(aliceARN, account))}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "user listed without its account", caller: alice, policies: policies{key: []string{allowTo(aliceARN), denyAllBut(q(aliceARN))}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "account listed, user not", caller: alice, policies: policies{key: []string{allowTo(aliceARN), denyAllBut(q(rootARN))}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "another user listed", caller: bob, policies: policies{key: []string{allowTo("arn:aws:iam::111122223333:user/bob"), denyAllBut(q(aliceARN, rootARN))}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "root listed", caller: root, policies: policies{key: []string{allowTo(rootARN), denyAllBut(q(rootARN))}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "root not listed", caller: root, policies: policies{key: []string{allowTo(rootARN), denyAllBut(q(aliceARN))}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "session, role and account listed", caller: session, policies: policies{key: []string{allowTo(sessionARN), denyAllBut(q(sessionARN, roleARN, rootARN))}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "session listed without its role", caller: session, policies: policies{key: []string{allowTo(sessionARN), denyAllBut(q(sessionARN, rootARN))}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "session listed without its account", caller: session, policies: policies{key: []string{allowTo(sessionARN), denyAllBut(q(sessionARN, roleARN))}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "role and account listed, session not", caller: session, policies: policies{key: []string{allowTo(roleARN), denyAllBut(q(roleARN, rootARN))}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "listed but bounded", caller: alice, policies: policies{key: []string{allowTo(aliceARN), denyAllBut(q(aliceARN, rootARN))}, boundary: []string{allowKMS}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "session listed but bounded", caller: session, policies: policies{key: []string{allowTo(sessionARN), denyAllBut(q(sessionARN, roleARN, rootARN))}, boundary: []string{allowKMS}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "everyone listed", caller: bob, policies: policies{key: []string{allowTo("*"), `{"Effect":"Deny","NotPrincipal":"*","Action":"kms:*","Resource":"*"}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "another action", caller: bob, policies: policies{key: []string{allowTo("*"), `{"Effect":"Deny","NotPrincipal":{"AWS":"` + aliceARN + `"},"Action":"kms:Decrypt","Resource":"*"}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "under a condition that does not hold", caller: bob, policies: policies{key: []string{allowTo("*"), `{"Effect":"Deny","NotPrincipal":{"AWS":"` + aliceARN + `"},"Action":"kms:*","Resource":"*","Condition":{"Bool":{"aws:ViaAWSService":"true"}}}`}}, want: Allowed, source: FromKeyPolicy, reason: KeyPolicyAllows},
	{name: "foreign user and account listed", caller: foreignAlice, policies: policies{key: []string{allowTo("*"), denyAllBut(q(otherAlice, otherRoot))}, identity: []string{allowKMS}}, want: Allowed, source: FromIdentity, reason: BothAccountsAllow},
	{name: "it denies and does not allow", caller: alice, policies: policies{key: []string{denyAllBut(q(aliceARN, rootARN))}}, source: FromNothing, reason: KeyPolicySilent},
}}

var serviceRows = decisionGroup{"reference_policies_elements_principal.html#principal-services", []decisionRow{
	{name: "another service", caller: Caller{Kind: Service, ARN: "s3.amazonaws.com"}, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"Service":"backup.amazonaws.com"},"Action":"kms:*","Resource":"*"}`}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "a service called like a user", caller: Caller{Kind: Service, ARN: aliceARN}, policies: policies{key: []string{allowTo(aliceARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "a user called like a session", caller: Caller{Kind: User, Account: account, ARN: sessionARN}, policies: policies{key: []string{allowTo(sessionARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "a user that has a role", caller: Caller{Kind: User, Account: account, ARN: aliceARN, RoleARN: roleARN}, policies: policies{key: []string{allowTo(roleARN)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "a user called like a service", caller: userOf(account, "backup.amazonaws.com"), policies: policies{key: []string{`{"Effect":"Allow","Principal":{"Service":"backup.amazonaws.com"},"Action":"kms:*","Resource":"*"}`}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "everyone does not let a service in", caller: Caller{Kind: Service, ARN: "s3.amazonaws.com"}, policies: policies{key: []string{allowTo("*")}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "everyone denies a service", caller: Caller{Kind: Service, ARN: "s3.amazonaws.com"}, policies: policies{key: []string{denyTo("*")}}, want: ExplicitDeny, source: FromKeyPolicy, reason: DeniedByStatement},
	{name: "a service has no account to be let in by", caller: Caller{Kind: Service, ARN: "s3.amazonaws.com"}, policies: policies{key: []string{allowTo(account)}}, source: FromNothing, reason: KeyPolicySilent},
	{name: "source account as a condition", caller: Caller{Kind: Service, ARN: "s3.amazonaws.com"}, keys: keys{"aws:sourceaccount": {other}}, policies: policies{key: []string{`{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}}}`}}, source: FromNothing, reason: KeyPolicySilent},
}}
