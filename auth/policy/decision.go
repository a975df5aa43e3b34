package policy

// Effect is the outcome of an evaluation. The zero value denies.
type Effect uint8

// The effects.
const (
	ImplicitDeny Effect = iota // nothing allows the request
	ExplicitDeny               // a Deny statement applies
	Allowed
)

func (e Effect) String() string {
	switch e {
	case ExplicitDeny:
		return "explicit deny"
	case Allowed:
		return "allow"
	}
	return "implicit deny"
}

// Source says which type of policy decided.
type Source uint8

// The sources. FromNothing is that of a request no policy speaks of.
const (
	FromNothing     Source = iota
	FromKeyPolicy          // the resource-based policy
	FromIdentity           // an identity policy of the caller
	FromBoundary           // the caller's permissions boundary
	FromSession            // a session policy
	FromGrant              // a grant on the key
	FromRoot               // the caller is the root user of the account that owns the resource
	FromTrustPolicy        // the trust policy of a role
)

var sourceNames = [...]string{"no policy", "key policy", "identity policy", "permissions boundary", "session policy", "grant", "account root", "trust policy"}

func (s Source) String() string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return "unknown source"
}

// Via says how a resource-based policy or a grant names the caller. A greater Via is the closer
// one: what it gives is limited by fewer other policies.
type Via uint8

// The ways of naming a caller.
const (
	ViaNone    Via = iota
	ViaAccount     // by its account: delegates to the account, whose identity policies decide
	ViaRole        // by the role of its session: limited by the boundary and session policies
	ViaDirect      // by itself: user, session, service, provider, root user, or everyone
)

func (v Via) String() string {
	switch v {
	case ViaAccount:
		return "account"
	case ViaRole:
		return "role"
	case ViaDirect:
		return "principal"
	}
	return "none"
}

// Reason explains a decision. It is for logs, audit and explain commands: it may tell what a
// foreign account holds and must not reach a caller who is denied.
type Reason uint8

// The reasons.
const (
	NothingAllows       Reason = iota // the zero value
	DeniedByStatement                 // explicit deny
	KeyPolicyAllows                   // allow
	DelegatedToIdentity               // allow
	BothAccountsAllow                 // allow
	IdentityAllows                    // allow
	RootOfOwner                       // allow
	GrantAllows                       // allow
	GrantDelegates                    // allow
	TrustAllows                       // allow
	TrustDelegates                    // allow, if an identity policy allows it too
	KeyPolicySilent                   // implicit deny, as all that follow
	DelegatedButIdentitySilent
	ForeignIdentitySilent
	ForeignWithoutPolicy
	IdentitySilent
	LimitedByBoundary
	LimitedBySession
	GrantButIdentitySilent
	TrustSilent
	UnreadablePolicy
	UnreadableBoundary
	MalformedQuery
)

var reasons = [...]string{
	NothingAllows:              "no policy allows it",
	DeniedByStatement:          "a statement denies it",
	KeyPolicyAllows:            "a statement of the key policy allows it",
	DelegatedToIdentity:        "the key policy delegates to the account and an identity policy allows it",
	BothAccountsAllow:          "the key policy lets in the caller of another account, whose own account allows it",
	IdentityAllows:             "an identity policy allows it",
	RootOfOwner:                "the caller is the root user of the account that owns the resource",
	GrantAllows:                "a grant allows it",
	GrantDelegates:             "a grant allows it and so does the caller's account",
	TrustAllows:                "a statement of the trust policy names the caller",
	TrustDelegates:             "the trust policy delegates to the caller's account",
	KeyPolicySilent:            "no statement of the key policy allows it and the key policy does not delegate it to the account",
	DelegatedButIdentitySilent: "the key policy delegates to the account but no identity policy of the caller allows it",
	ForeignIdentitySilent:      "the key policy lets in the caller of another account but no identity policy of the caller allows it",
	ForeignWithoutPolicy:       "the resource belongs to another account and has no policy of its own",
	IdentitySilent:             "no identity policy of the caller allows it",
	LimitedByBoundary:          "the permissions boundary of the caller does not allow it",
	LimitedBySession:           "no session policy of the caller allows it",
	GrantButIdentitySilent:     "a grant allows it but no identity policy of the caller does",
	TrustSilent:                "no statement of the trust policy allows it",
	UnreadablePolicy:           "a policy that takes part cannot be read",
	UnreadableBoundary:         "the permissions boundary of the caller cannot be read",
	MalformedQuery:             "the query names no action, resource or caller",
}

func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "unknown reason"
}

// Decision is the outcome and why. It is a value and holds no secret.
type Decision struct {
	Effect Effect
	Source Source // the type of policy that decided
	Reason Reason

	Document  *Document // the policy that decided; nil for a grant, a root user, or when none spoke
	Statement int       // the index of the deciding statement in Document, or -1

	// Via is how the resource-based policy or the grant named the caller, when one did.
	Via Via
	// Delegation is the index of the key policy's statement that let the caller in when another
	// policy decided, or -1.
	Delegation int
	// Grant is the id of the grant that took part.
	Grant string
}

// Allow reports whether the request may go on.
func (d Decision) Allow() bool { return d.Effect == Allowed }

// Sid returns the Sid of the deciding statement, or "".
func (d Decision) Sid() string {
	if d.Document == nil || d.Statement < 0 || d.Statement >= len(d.Document.statements) {
		return ""
	}
	return d.Document.statements[d.Statement].sid
}

func implicit(source Source, reason Reason) Decision {
	return Decision{Source: source, Reason: reason, Statement: -1, Delegation: -1}
}

func explicit(source Source, doc *Document, statement int) Decision {
	return Decision{Effect: ExplicitDeny, Source: source, Reason: DeniedByStatement, Document: doc, Statement: statement, Delegation: -1}
}

func allowed(source Source, reason Reason, doc *Document, statement int) Decision {
	return Decision{Effect: Allowed, Source: source, Reason: reason, Document: doc, Statement: statement, Delegation: -1}
}
