// Package limit bounds what one caller can ask of a node: Backoff delays the answers to failed
// authentication, Quota counts the requests of an identity, and Source finds the address that both
// of them and the audit trail should name.
//
// It promises that its memory is bounded by the configuration, whatever callers send, that nothing
// a caller chose is stored (only hashes under a seed of this process), and that a request which
// authenticates takes no lock, unless its identity just failed or was idle. It does not promise that
// secrets cannot be guessed, which is the business of their length, and it shares nothing between
// nodes: a caller that spreads over n nodes has n times the quota.
//
// The invariant that would hurt: a correct credential is never delayed and never refused by
// Backoff. The caller verifies first and asks about failures only, so nobody can lock another out.
package limit
