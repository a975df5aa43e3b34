// Package service is the use cases: every operation of the table goes through Service.Do, the one
// gate, and nothing else leads to a key.
//
// What Do does, in this order: it waits for the index that the caller has seen; authenticates;
// checks the request; resolves names, each once; asks the gate; decides on one immutable view;
// computes, or proposes a transaction that guards every record the decision read; writes the audit
// record; waits for the members when rights were taken away; answers.
//
// It promises:
//
//   - No key is used without the freshness lease, asked before the use and again before the answer
//     leaves. A crypto operation makes no Raft entry.
//
//   - A control read answers a state that was confirmed after the request arrived, unless it was
//     asked not to.
//
//   - A refusal that a stale view could get wrong leaves only after the node confirmed its view and
//     authenticated and decided the request again. Malformed input is refused at once.
//
//   - A change is decided again when anything that the decision read has changed, at most 16 times.
//
//   - A retry under the same idempotency key is answered from the records that the first one wrote.
//
//   - Nothing leaves without its audit record, refusals included. What a fault leaves behind:
//
//     | what failed                             | state       | the caller sees               |
//     |-----------------------------------------|-------------|-------------------------------|
//     | audit, before anything was proposed     | unchanged   | audit_blocked                 |
//     | the proposal, surely                    | unchanged   | no_quorum, throttled, ...     |
//     | the proposal, perhaps                   | either      | outcome_unknown               |
//     | audit, after the change was applied     | changed     | audit_blocked, which says so; |
//     |                                         |             | the record is written later   |
//     | the node was sealed after the change    | changed     | outcome_unknown               |
//     | the lease, after a crypto operation     | (no state)  | no_lease; the result is wiped |
//     | members, while a revocation was awaited | changed     | the answer, and who is awaited |
//
// What nobody calls for is done by RunDue, on the leader: rotations, expiries and destructions that are due. It decides
// on a view and guards the key as a request does, and has a record of its own in the audit log.
//
// It does not promise that identities who cannot be authenticated learn anything, and it does not
// bound how many requests run: the doors do.
//
// The invariant that would hurt: everything a verdict depends on is read from one view, and is either
// guarded (a change), leased (cryptography) or confirmed (a read, a refusal).
package service
