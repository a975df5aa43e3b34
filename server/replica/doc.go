// Package replica owns Raft: it forms the cluster, carries proposals to the leader and their outcomes
// back, and says how fresh this node's view is.
//
// It promises:
//
//   - A proposal is applied once or not at all, however often it had to be sent. Failed is told from
//     unknown: an error says "not applied" only when that is certain ([Kind]).
//   - A lease that holds means that everything acknowledged before it was taken is opened here.
//     A confirmation means that everything acknowledged before Confirm was called is opened here.
//   - Exactly one cluster comes out of a list of expected peers, in whatever order they start; a
//     wiped node takes the place of its dead incarnation, a removed name stays out until allowed.
//   - A node that is cut off, quarantined, short of a working disk or of a sane clock says so
//     ([Status]) and does not lead for longer than it takes to hand over.
//
// It does not promise availability, nor that a node's clock is right; it promises what a wrong clock
// cannot do. It knows neither keys nor names of keys: transactions are opaque to it.
//
// The invariant that would hurt: no read index leaves a leader before a majority of the voters said,
// after the question arrived, that they have seen no later term. See DESIGN.md.
package replica
