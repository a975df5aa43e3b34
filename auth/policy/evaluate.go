package policy

// Request is what is decided on.
type Request struct {
	Action   string // "kms:Encrypt"; compared without case
	Resource string // an ARN, or "*" for an action that names none; compared with case
	Caller   Caller
	Context  Context // nil: no keys
}

// Grants finds a grant on the key that allows the request.
type Grants interface {
	// Granted returns the id of such a grant and how it names the caller. With several it returns
	// the one with the greatest Via.
	Granted(r *Request) (id string, via Via, ok bool)
}

// Query is a request and the policies that apply to it.
type Query struct {
	Request

	// ResourceAccount owns the resource. "" is the caller's account: a resource of "*".
	ResourceAccount string
	// KeyPolicy is the resource-based policy: of a key, or the trust policy of a role. nil says
	// that this kind of resource has none, and the identity policies of its account decide. One
	// that exists but cannot be read is &Document{}.
	KeyPolicy *Document
	// Identity holds the identity policies of the caller: those of a user and its groups, or of a
	// role. nil in it is a policy that cannot be read.
	Identity []*Document
	// Boundary is the permissions boundary of a caller that is Bounded. Bounded without a Boundary
	// is one that cannot be read: nothing is allowed.
	Boundary *Document
	Bounded  bool
	// Session holds the session policies. HasSession says that one was given when the session
	// began, so that they must allow too.
	Session    []*Document
	HasSession bool
	// Grants is asked when nothing denies and the policies do not allow. nil: there are none.
	Grants Grants
}

// Evaluate decides. It is pure, apart from what Context and Grants do, and does not allocate.
// The order is that of reference_policies_evaluation-logic_policy-eval-denyallow.html in the IAM
// User Guide; DESIGN.md shows it. A query that is incomplete, or one with a policy that cannot be
// read, is denied.
func Evaluate(q *Query) Decision {
	if q.Action == "" || q.Resource == "" || !q.Caller.complete() {
		return implicit(FromNothing, MalformedQuery)
	}
	if d, found := q.denied(); found {
		return d
	}
	if d, found := q.unreadable(); found {
		return d
	}
	if q.KeyPolicy == nil {
		return q.withoutKeyPolicy()
	}
	statement, via := q.KeyPolicy.admits(q)
	d := q.settle(via, FromKeyPolicy)
	if via != ViaNone {
		d = d.through(q.KeyPolicy, statement)
	}
	if d.Effect == Allowed || q.Grants == nil {
		return d
	}
	id, via, ok := q.Grants.Granted(&q.Request)
	if !ok || via == ViaNone {
		return d
	}
	if g := q.settle(via, FromGrant); g.Effect == Allowed || d.Via == ViaNone {
		g.Grant = id
		return g
	}
	return d
}

// through notes the statement that let the caller in: it decides, or another policy did after it.
func (d Decision) through(doc *Document, statement int) Decision {
	if d.Document == nil && d.Source == FromKeyPolicy {
		d.Document, d.Statement = doc, statement
	} else {
		d.Delegation = statement
	}
	return d
}

// foreign reports whether the resource belongs to another account than the caller.
func (q *Query) foreign() bool {
	return q.ResourceAccount != "" && q.ResourceAccount != q.Caller.Account
}

// denied looks for an explicit deny in every policy.
func (q *Query) denied() (Decision, bool) {
	if i := q.KeyPolicy.find(q, true); i >= 0 {
		return explicit(FromKeyPolicy, q.KeyPolicy, i), true
	}
	if doc, i := findIn(q.Identity, q, true); i >= 0 {
		return explicit(FromIdentity, doc, i), true
	}
	if i := q.Boundary.find(q, true); i >= 0 {
		return explicit(FromBoundary, q.Boundary, i), true
	}
	if doc, i := findIn(q.Session, q, true); i >= 0 {
		return explicit(FromSession, doc, i), true
	}
	return Decision{}, false
}

// unreadable denies when a policy that takes part did not come from Parse, or is of another kind
// than its place asks for: it might have held a Deny.
func (q *Query) unreadable() (Decision, bool) {
	if q.KeyPolicy != nil && q.KeyPolicy.kind != KeyPolicy && q.KeyPolicy.kind != TrustPolicy {
		return implicit(FromKeyPolicy, UnreadablePolicy), true
	}
	if !readable(q.Identity) {
		return implicit(FromIdentity, UnreadablePolicy), true
	}
	if q.Bounded && q.Boundary == nil || q.Boundary != nil && q.Boundary.kind != IdentityPolicy {
		return implicit(FromBoundary, UnreadableBoundary), true
	}
	if !readable(q.Session) {
		return implicit(FromSession, UnreadablePolicy), true
	}
	return Decision{}, false
}

func readable(docs []*Document) bool {
	for _, d := range docs {
		if d == nil || d.kind != IdentityPolicy {
			return false
		}
	}
	return true
}

// withoutKeyPolicy decides on a resource that identity policies alone protect.
func (q *Query) withoutKeyPolicy() Decision {
	switch {
	case q.foreign():
		return implicit(FromNothing, ForeignWithoutPolicy)
	case q.Caller.Kind == Root:
		return q.unlessLimited(allowed(FromRoot, RootOfOwner, nil, -1))
	}
	return q.byIdentity(IdentityAllows, IdentitySilent)
}

// settle decides what a caller may who is named by the key policy or a grant in this way, after
// the table of resource-based policies and implicit denies in the IAM User Guide.
func (q *Query) settle(via Via, source Source) Decision {
	d := q.settled(via, source)
	d.Via = via
	return d
}

func (q *Query) settled(via Via, source Source) Decision {
	own, delegated, silent := KeyPolicyAllows, DelegatedToIdentity, DelegatedButIdentitySilent
	if source == FromGrant {
		own, delegated, silent = GrantAllows, GrantDelegates, GrantButIdentitySilent
	}
	switch {
	case via == ViaNone:
		return implicit(FromNothing, KeyPolicySilent)
	case q.foreign() && q.Caller.Kind != Service && q.Caller.Kind != Federated:
		if source == FromKeyPolicy {
			delegated, silent = BothAccountsAllow, ForeignIdentitySilent
		}
		if q.Caller.Kind == Root {
			return q.unlessLimited(allowed(source, delegated, nil, -1))
		}
		return q.byIdentity(delegated, silent)
	case via == ViaAccount:
		return q.byIdentity(delegated, silent)
	case via == ViaRole:
		return q.unlessLimited(allowed(source, own, nil, -1))
	}
	return allowed(source, own, nil, -1)
}

// byIdentity needs the identity policies, the boundary and the session policies to allow.
func (q *Query) byIdentity(reason, silent Reason) Decision {
	doc, i := findIn(q.Identity, q, false)
	if i < 0 {
		return implicit(FromIdentity, silent)
	}
	return q.unlessLimited(allowed(FromIdentity, reason, doc, i))
}

// unlessLimited returns d, unless the boundary or the session policies do not allow the request.
func (q *Query) unlessLimited(d Decision) Decision {
	if q.Boundary != nil && q.Boundary.find(q, false) < 0 {
		return implicit(FromBoundary, LimitedByBoundary)
	}
	if q.session() {
		if _, i := findIn(q.Session, q, false); i < 0 {
			return implicit(FromSession, LimitedBySession)
		}
	}
	return d
}

// session reports whether session policies limit the caller.
func (q *Query) session() bool { return q.HasSession || len(q.Session) > 0 }

// admits returns the Allow statement that names the caller most closely.
func (d *Document) admits(q *Query) (index int, best Via) {
	index = -1
	for i := range d.statements {
		s := &d.statements[i]
		if s.deny || !s.covers(&q.Request) {
			continue
		}
		via := s.names(q)
		if via > best && s.holds(q.Context) {
			index, best = i, via
			if best == ViaDirect {
				break
			}
		}
	}
	return index, best
}

// find returns the first statement with the effect that applies to the request, or -1. Statements
// without principals speak of whoever they are attached to.
func (d *Document) find(q *Query, deny bool) int {
	if d == nil || deny && !d.denies {
		return -1
	}
	for i := range d.statements {
		s := &d.statements[i]
		if s.deny == deny && s.covers(&q.Request) && (d.kind == IdentityPolicy || s.names(q) != ViaNone) && s.holds(q.Context) {
			return i
		}
	}
	return -1
}

func findIn(docs []*Document, q *Query, deny bool) (*Document, int) {
	for _, d := range docs {
		if i := d.find(q, deny); i >= 0 {
			return d, i
		}
	}
	return nil, -1
}
