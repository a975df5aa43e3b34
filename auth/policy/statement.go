package policy

// covers reports whether the statement is about the action and the resource.
func (s *statement) covers(r *Request) bool {
	if (matchAny(s.actions, r.Action, nil) == yes) == s.notAction {
		return false
	}
	if len(s.resources) == 0 {
		return true
	}
	switch matchAny(s.resources, r.Resource, r.Context) {
	case yes:
		return !s.notResource
	case unresolved:
		return s.notResource && s.deny // doubt never widens what is allowed
	}
	return s.notResource
}

// names says how the statement names the caller.
func (s *statement) names(q *Query) Via {
	if s.notPrincipal {
		return direct(!s.exempts(q))
	}
	best := ViaNone
	for i := range s.principals {
		best = max(best, s.principals[i].names(&q.Caller, s.deny))
	}
	if best == ViaDirect && q.session() && (q.Caller.Kind == User || q.Caller.Kind == Root) && !s.everyone() {
		return ViaRole // a session made from a user is limited as one of a role is
	}
	return best
}

func (s *statement) everyone() bool {
	for i := range s.principals {
		if s.principals[i].kind == principalEveryone {
			return true
		}
	}
	return false
}

// exempts reports whether a NotPrincipal of a Deny statement spares the caller. A caller is several
// principals at once, and every one must be in the list: an account and its user, or an account, a
// role and a session. One that has a permissions boundary is never spared
// (reference_policies_elements_notprincipal.html and access_policies_boundaries.html).
func (s *statement) exempts(q *Query) bool {
	var account, role, self bool
	for i := range s.principals {
		p := &s.principals[i]
		if p.kind == principalEveryone {
			return true
		}
		switch p.names(&q.Caller, true) {
		case ViaAccount:
			account = true
		case ViaRole:
			role = true
		case ViaDirect:
			self = true
		}
	}
	switch q.Caller.Kind {
	case User:
		return self && account && q.Boundary == nil
	case AssumedRole:
		return self && role && account && q.Boundary == nil
	}
	return self
}

// holds reports whether every condition does.
func (s *statement) holds(ctx Context) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(ctx, s.deny) {
			return false
		}
	}
	return true
}
