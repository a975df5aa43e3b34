package policy

// EvaluateTrust decides on the trust policy of a role alone. An allowed decision says in Via how
// the policy names the caller. With ViaDirect or ViaRole in one account nothing else is needed.
// With ViaAccount, or for a caller of another account who is no root user, an identity policy of
// the caller must allow the action on the role too: Evaluate decides both when the trust policy is
// the query's KeyPolicy.
func EvaluateTrust(d *Document, r *Request) Decision {
	if r.Action == "" || !r.Caller.complete() {
		return implicit(FromNothing, MalformedQuery)
	}
	if d == nil || d.kind != TrustPolicy {
		return implicit(FromTrustPolicy, UnreadablePolicy)
	}
	q := Query{Request: *r}
	if i := d.find(&q, true); i >= 0 {
		return explicit(FromTrustPolicy, d, i)
	}
	i, via := d.admits(&q)
	if via == ViaNone {
		return implicit(FromTrustPolicy, TrustSilent)
	}
	reason := TrustAllows
	if via == ViaAccount {
		reason = TrustDelegates
	}
	decision := allowed(FromTrustPolicy, reason, d, i)
	decision.Via = via
	return decision
}
