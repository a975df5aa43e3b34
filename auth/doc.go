// Package auth says who a caller is and what the caller may do. Authenticators prove a Principal
// from what a request carries; Decide is the one gate, a pure function from a Query to a Decision.
//
// It promises that a request carries exactly one proof of identity, that an unknown access key, a
// disabled one and a wrong secret cost the same work and give one identical error, and that Decide
// allows nothing that it does not understand. It does not promise freshness: a verdict is as old as
// the directory and the policy it was given, and the caller confirms refusals and leases.
//
// The invariant that would hurt: Decide reads nothing but its Query and reports every record behind
// its verdict, so that a write can guard the rights it was allowed by.
package auth
