package policy

import "testing"

// TestUnreadable: what takes part and cannot be read denies, even where the rest allows.
func TestUnreadable(t *testing.T) {
	good := func() *Query {
		return &Query{
			Request:         Request{Action: "kms:Encrypt", Resource: keyARN, Caller: alice},
			ResourceAccount: account,
			KeyPolicy:       keyPolicy(t, allowTo(aliceARN)),
			Identity:        []*Document{identity(t, allowKMS)},
			Grants:          grant{"g", ViaDirect},
		}
	}
	if d := Evaluate(good()); !d.Allow() {
		t.Fatalf("the query to break is denied: %v", d.Reason)
	}
	for _, row := range []struct {
		name   string
		change func(*Query)
		source Source
		reason Reason
	}{
		{"zero key policy", func(q *Query) { q.KeyPolicy = &Document{} }, FromKeyPolicy, UnreadablePolicy},
		{"identity policy as key policy", func(q *Query) { q.KeyPolicy = identity(t, allowKMS) }, FromKeyPolicy, UnreadablePolicy},
		{"nil identity policy", func(q *Query) { q.Identity = append(q.Identity, nil) }, FromIdentity, UnreadablePolicy},
		{"zero identity policy", func(q *Query) { q.Identity = append(q.Identity, &Document{}) }, FromIdentity, UnreadablePolicy},
		{"key policy as identity policy", func(q *Query) { q.Identity = append(q.Identity, q.KeyPolicy) }, FromIdentity, UnreadablePolicy},
		{"bounded without a boundary", func(q *Query) { q.Bounded = true }, FromBoundary, UnreadableBoundary},
		{"zero boundary", func(q *Query) { q.Boundary = &Document{} }, FromBoundary, UnreadableBoundary},
		{"key policy as boundary", func(q *Query) { q.Boundary = q.KeyPolicy }, FromBoundary, UnreadableBoundary},
		{"nil session policy", func(q *Query) { q.Session = []*Document{nil} }, FromSession, UnreadablePolicy},
		{"zero session policy", func(q *Query) { q.Session = []*Document{{}} }, FromSession, UnreadablePolicy},
		{"no action", func(q *Query) { q.Action = "" }, FromNothing, MalformedQuery},
		{"no resource", func(q *Query) { q.Resource = "" }, FromNothing, MalformedQuery},
		{"no caller", func(q *Query) { q.Caller = Caller{} }, FromNothing, MalformedQuery},
		{"unknown kind of caller", func(q *Query) { q.Caller.Kind = 99 }, FromNothing, MalformedQuery},
		{"caller without ARN", func(q *Query) { q.Caller.ARN = "" }, FromNothing, MalformedQuery},
		{"caller without account", func(q *Query) { q.Caller.Account = "" }, FromNothing, MalformedQuery},
		{"session without role", func(q *Query) { q.Caller = session; q.Caller.RoleARN = "" }, FromNothing, MalformedQuery},
	} {
		q := good()
		row.change(q)
		if d := Evaluate(q); d.Effect != ImplicitDeny || d.Source != row.source || d.Reason != row.reason {
			t.Errorf("%s: %v by %v: %v", row.name, d.Effect, d.Source, d.Reason)
		}
	}
	q := good()
	q.Identity = append(q.Identity, identity(t, denyEncrypt), nil)
	if d := Evaluate(q); d.Effect != ExplicitDeny {
		t.Errorf("a deny beside an unreadable policy: %v", d.Effect)
	}
}

// TestLimitsWithoutTheirMark: a boundary or session policies limit whether or not the query says
// that there are any, and so does the word that there was a session policy.
func TestLimitsWithoutTheirMark(t *testing.T) {
	base := func() *Query {
		return &Query{Request: Request{Action: "kms:Encrypt", Resource: keyARN, Caller: session}, Identity: []*Document{identity(t, allowKMS)}}
	}
	q := base()
	q.Boundary = identity(t, allowDecrypt)
	if d := Evaluate(q); d.Reason != LimitedByBoundary {
		t.Errorf("boundary without Bounded: %v", d.Reason)
	}
	q = base()
	q.Session = []*Document{identity(t, allowDecrypt)}
	if d := Evaluate(q); d.Reason != LimitedBySession {
		t.Errorf("session policy without HasSession: %v", d.Reason)
	}
	q = base()
	q.HasSession = true
	if d := Evaluate(q); d.Reason != LimitedBySession {
		t.Errorf("HasSession without a session policy: %v", d.Reason)
	}
}

func TestZeroQueryIsDenied(t *testing.T) {
	if d := Evaluate(&Query{}); d.Allow() || d.Statement != -1 {
		t.Errorf("%+v", d)
	}
	if (Decision{}).Allow() {
		t.Error("the zero decision allows")
	}
}

func TestResourceOfNobodyIsOfTheCallersAccount(t *testing.T) {
	q := &Query{Request: Request{Action: "kms:CreateKey", Resource: "*", Caller: root}}
	if d := Evaluate(q); d.Source != FromRoot {
		t.Errorf("%v by %v", d.Effect, d.Source)
	}
}

// TestExplanation: a decision points at the statement that decided and the one that let the caller in.
func TestExplanation(t *testing.T) {
	named := `{"Sid":"Let %","Effect":"Allow","Principal":{"AWS":"` + aliceARN + `"},"Action":"kms:*","Resource":"*"}`
	key := keyPolicy(t, allowTo(roleARN), allowTo(rootARN))
	direct := keyPolicy(t, allowTo(roleARN), named)
	id := identity(t, allowDecrypt, `{"Sid":"Use","Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}`)
	deny := identity(t, `{"Sid":"Stop","Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}`)
	base := Request{Action: "kms:Encrypt", Resource: keyARN, Caller: alice}
	for _, row := range []struct {
		name  string
		query Query
		want  Decision
		sid   string
	}{
		{"key policy", Query{Request: base, ResourceAccount: account, KeyPolicy: direct},
			Decision{Effect: Allowed, Source: FromKeyPolicy, Reason: KeyPolicyAllows, Document: direct, Statement: 1, Via: ViaDirect, Delegation: -1}, "Let %"},
		{"delegation", Query{Request: base, ResourceAccount: account, KeyPolicy: key, Identity: []*Document{id}},
			Decision{Effect: Allowed, Source: FromIdentity, Reason: DelegatedToIdentity, Document: id, Statement: 1, Via: ViaAccount, Delegation: 1}, "Use"},
		{"delegation, silent", Query{Request: base, ResourceAccount: account, KeyPolicy: key},
			Decision{Source: FromIdentity, Reason: DelegatedButIdentitySilent, Statement: -1, Via: ViaAccount, Delegation: 1}, ""},
		{"deny", Query{Request: base, ResourceAccount: account, KeyPolicy: direct, Identity: []*Document{id, deny}},
			Decision{Effect: ExplicitDeny, Source: FromIdentity, Reason: DeniedByStatement, Document: deny, Statement: 0, Delegation: -1}, "Stop"},
		{"grant", Query{Request: base, ResourceAccount: account, KeyPolicy: keyPolicy(t, allowTo(roleARN)), Grants: grant{"g-1", ViaDirect}},
			Decision{Effect: Allowed, Source: FromGrant, Reason: GrantAllows, Statement: -1, Via: ViaDirect, Delegation: -1, Grant: "g-1"}, ""},
		{"grant to an account", Query{Request: base, ResourceAccount: account, KeyPolicy: keyPolicy(t, allowTo(roleARN)), Identity: []*Document{id}, Grants: grant{"g-1", ViaAccount}},
			Decision{Effect: Allowed, Source: FromIdentity, Reason: GrantDelegates, Document: id, Statement: 1, Via: ViaAccount, Delegation: -1, Grant: "g-1"}, "Use"},
		{"a grant that does not name the caller", Query{Request: base, ResourceAccount: account, KeyPolicy: keyPolicy(t, allowTo(roleARN)), Grants: grant{"g-1", ViaNone}},
			Decision{Reason: KeyPolicySilent, Statement: -1, Delegation: -1}, ""},
		{"delegated twice", Query{Request: base, ResourceAccount: account, KeyPolicy: keyPolicy(t, allowTo(rootARN), allowTo(account)), Identity: []*Document{id}},
			Decision{Effect: Allowed, Source: FromIdentity, Reason: DelegatedToIdentity, Document: id, Statement: 1, Via: ViaAccount, Delegation: 0}, "Use"},
		{"silence", Query{Request: base, ResourceAccount: account, KeyPolicy: keyPolicy(t, allowTo(roleARN))},
			Decision{Reason: KeyPolicySilent, Statement: -1, Delegation: -1}, ""},
	} {
		got := Evaluate(&row.query)
		if got != row.want {
			t.Errorf("%s: %+v\nwant %+v", row.name, got, row.want)
		}
		if got.Sid() != row.sid {
			t.Errorf("%s: Sid %q", row.name, got.Sid())
		}
	}
}

func TestTrust(t *testing.T) {
	const (
		assume   = `"Action":"sts:AssumeRole"`
		provider = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
	)
	web := Caller{Kind: Federated, Federated: provider}
	allow := func(principal string) *Document {
		return trust(t, `{"Effect":"Allow","Principal":`+principal+`,`+assume+`}`)
	}
	webPolicy := trust(t, `{"Effect":"Allow","Principal":{"Federated":"`+provider+`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:acme/*"}}}`)
	for _, row := range []struct {
		name   string
		doc    *Document
		caller Caller
		action string
		keys   keys
		want   Effect
		via    Via
		reason Reason
	}{
		{"user", allow(`{"AWS":"` + aliceARN + `"}`), alice, "", nil, Allowed, ViaDirect, TrustAllows},
		{"another user", allow(`{"AWS":"` + aliceARN + `"}`), bob, "", nil, ImplicitDeny, ViaNone, TrustSilent},
		{"account", allow(`{"AWS":"` + rootARN + `"}`), alice, "", nil, Allowed, ViaAccount, TrustDelegates},
		{"account of another", allow(`{"AWS":"` + other + `"}`), foreignAlice, "", nil, Allowed, ViaAccount, TrustDelegates},
		{"root", allow(`{"AWS":"` + rootARN + `"}`), root, "", nil, Allowed, ViaDirect, TrustAllows},
		{"role", allow(`{"AWS":"` + roleARN + `"}`), session, "", nil, Allowed, ViaRole, TrustAllows},
		{"session", allow(`{"AWS":"` + sessionARN + `"}`), session, "", nil, Allowed, ViaDirect, TrustAllows},
		{"everyone", allow(`"*"`), foreignAlice, "", nil, Allowed, ViaDirect, TrustAllows},
		{"everyone is no provider", allow(`"*"`), web, "", nil, ImplicitDeny, ViaNone, TrustSilent},
		{"service", allow(`{"Service":"ec2.amazonaws.com"}`), Caller{Kind: Service, ARN: "ec2.amazonaws.com"}, "", nil, Allowed, ViaDirect, TrustAllows},
		{"another action", allow(`{"AWS":"` + aliceARN + `"}`), alice, "sts:TagSession", nil, ImplicitDeny, ViaNone, TrustSilent},
		{"provider", webPolicy, web, "sts:AssumeRoleWithWebIdentity", keys{"token.actions.githubusercontent.com:sub": {"repo:acme/x"}}, Allowed, ViaDirect, TrustAllows},
		{"provider, another subject", webPolicy, web, "sts:AssumeRoleWithWebIdentity", keys{"token.actions.githubusercontent.com:sub": {"repo:evil/x"}}, ImplicitDeny, ViaNone, TrustSilent},
		{"provider without a subject", webPolicy, web, "sts:AssumeRoleWithWebIdentity", nil, ImplicitDeny, ViaNone, TrustSilent},
		{"a service that has a provider", allow(`{"Federated":"` + provider + `"}`), Caller{Kind: Service, ARN: "ec2.amazonaws.com", Federated: provider}, "", nil, ImplicitDeny, ViaNone, TrustSilent},
		{"another provider", webPolicy, Caller{Kind: Federated, Federated: provider + "x"}, "sts:AssumeRoleWithWebIdentity", keys{"token.actions.githubusercontent.com:sub": {"repo:acme/x"}}, ImplicitDeny, ViaNone, TrustSilent},
		{"deny", trust(t, `{"Effect":"Allow","Principal":"*",`+assume+`}`, `{"Effect":"Deny","Principal":{"AWS":"`+rootARN+`"},`+assume+`}`), alice, "", nil, ExplicitDeny, ViaNone, DeniedByStatement},
		{"deny of everyone is of providers too", trust(t, `{"Effect":"Deny","Principal":"*","Action":"sts:*"}`), web, "sts:AssumeRoleWithWebIdentity", nil, ExplicitDeny, ViaNone, DeniedByStatement},
		{"no document", nil, alice, "", nil, ImplicitDeny, ViaNone, UnreadablePolicy},
		{"zero document", &Document{}, alice, "", nil, ImplicitDeny, ViaNone, UnreadablePolicy},
		{"key policy", keyPolicy(t, allowTo("*")), alice, "", nil, ImplicitDeny, ViaNone, UnreadablePolicy},
		{"no caller", allow(`"*"`), Caller{}, "", nil, ImplicitDeny, ViaNone, MalformedQuery},
	} {
		r := Request{Action: row.action, Caller: row.caller}
		if r.Action == "" {
			r.Action = "sts:AssumeRole"
		}
		if row.keys != nil {
			r.Context = row.keys
		}
		d := EvaluateTrust(row.doc, &r)
		if d.Effect != row.want || d.Via != row.via || d.Reason != row.reason {
			t.Errorf("%s: %v via %v: %v; want %v via %v: %v", row.name, d.Effect, d.Via, d.Reason, row.want, row.via, row.reason)
		}
	}
}

// TestTrustOfProviderAsResourcePolicy: a provider has no account and needs no identity policy.
func TestTrustOfProviderAsResourcePolicy(t *testing.T) {
	q := &Query{
		Request:         Request{Action: "sts:AssumeRoleWithWebIdentity", Resource: roleARN, Caller: Caller{Kind: Federated, Federated: "accounts.google.com"}},
		ResourceAccount: account,
		KeyPolicy:       trust(t, `{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity"}`),
	}
	if d := Evaluate(q); d.Reason != KeyPolicyAllows {
		t.Errorf("%v", d.Reason)
	}
}

// TestTrustAsResourcePolicy: Evaluate takes a trust policy as the policy of the role.
func TestTrustAsResourcePolicy(t *testing.T) {
	q := &Query{
		Request:         Request{Action: "sts:AssumeRole", Resource: roleARN, Caller: foreignAlice},
		ResourceAccount: account,
		KeyPolicy:       trust(t, `{"Effect":"Allow","Principal":{"AWS":"`+other+`"},"Action":"sts:AssumeRole"}`),
	}
	if d := Evaluate(q); d.Reason != ForeignIdentitySilent {
		t.Errorf("without an identity policy: %v", d.Reason)
	}
	q.Identity = []*Document{identity(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"`+roleARN+`"}`)}
	if d := Evaluate(q); !d.Allow() {
		t.Errorf("with an identity policy: %v", d.Reason)
	}
}

func TestPrincipals(t *testing.T) {
	d := keyPolicy(t, allowTo(rootARN), allowTo(aliceARN), allowTo(aliceARN), denyTo("arn:aws:iam::111122223333:user/bob"),
		`{"Effect":"Allow","Principal":{"AWS":["*","444455556666"],"Service":"s3.amazonaws.com"},"Action":"kms:*","Resource":"*"}`)
	got := q(d.Principals()...)
	if want := q("*", "444455556666", rootARN, aliceARN); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestNames: every value of an enumeration has a name of its own.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	check := func(name string) {
		if name == "" || seen[name] {
			t.Errorf("name %q is empty or taken", name)
		}
		seen[name] = true
	}
	for r := NothingAllows; r <= MalformedQuery; r++ {
		check(r.String())
	}
	for s := FromNothing; s <= FromTrustPolicy; s++ {
		check("source " + s.String())
	}
	for e := ImplicitDeny; e <= Allowed; e++ {
		check(e.String())
	}
	for v := ViaNone; v <= ViaDirect; v++ {
		check("via " + v.String())
	}
	for k := Kind(0); k <= IdentityPolicy; k++ {
		check(k.String())
	}
	if Reason(200).String() != "unknown reason" || Source(200).String() != "unknown source" {
		t.Error("unknown values have names")
	}
}
