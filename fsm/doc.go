// Package fsm is the replicated state machine: it turns the Raft log into records, and nothing else.
//
// A record is (kind, id) -> (revision, sealed body). A transaction writes several records when every
// guard on what its decision read still holds, and does nothing otherwise.
//
// It promises: the same log gives the same state and the same digest on every node; a transaction is
// applied wholly or not at all, and once however often it is proposed within its window; no (kind,
// id, revision) is ever written twice; a View never changes and never shows a command half applied;
// a snapshot is restored wholly verified or not at all.
//
// It does not promise confidentiality (bodies come sealed), meaning (it knows no key, name or
// policy) or time (log time is what the leader stamped, never going back).
//
// The invariant that would hurt: applying uses nothing but the state and the command. No clock, no
// randomness, no map order, no configuration, nothing of this node. determinism_test.go reads the
// source for it. A command that this release does not know stops the node: guessing would split the
// cluster's state silently.
package fsm
