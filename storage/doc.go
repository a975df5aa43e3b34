// Package storage keeps a node's bytes: the data directory with its lock and its identity, the Raft
// log and stable store, the snapshot files, and the offline check of all of them. tree.go holds the
// ordered map with O(1) snapshots that the state machine is made of.
//
// It promises that what comes back is what was stored, or an error that names what is damaged; that
// after the first failed write nothing more is written; and that a write that hangs or fails is told
// to the node within seconds, while the process lives on.
//
// It does not promise confidentiality: everything it is given is ciphertext or public already. It
// does not repair: a damaged node is re-seeded from the others.
//
// The invariant that would hurt: a log entry whose checksum does not fit never reaches the state
// machine, and a vote or term that may not be on the disk never leaves the node.
package storage
