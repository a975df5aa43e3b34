// Package storage keeps a node's bytes: the data directory with its lock and its identity, the Raft
// log and stable store, the snapshot files, and the offline check of all of them. tree.go holds the
// ordered map with O(1) snapshots that the state machine is made of.
//
// It promises that what comes back is what was stored, or an error that names what is damaged; that
// after the first failed write nothing more is written; and that a write that hangs or fails is told
// to the node within seconds, while the process lives on: an exit would seal it.
//
// It does not promise confidentiality: everything it is given is ciphertext or public already. Its
// checksums find accidents, not attacks. It does not repair: a damaged node is re-seeded from the
// others.
//
// The invariant that would hurt: a log entry whose checksum does not fit never reaches the state
// machine, and a vote or term that may not be on the disk never leaves the node.
//
// # What goes wrong, and what the node sees
//
//	fault                               OpenLog     calls of Raft                      OnTrouble
//	an entry is flipped                 error       error                              ErrFailed, *CorruptError
//	a stable value is flipped           -           error, from NewRaft too            ErrFailed, *CorruptError
//	an entry has vanished               CheckStart  error                              ErrFailed, *CorruptError
//	a page is damaged or unreadable     error       error, not a panic or a fault      ErrFailed
//	a write or sync fails               error       error, and every later write       ErrFailed, for ever
//	a write takes more than 3 s         -           waits                              ErrDiskHung, until it ends
//	free space is under the mark        -           commands refused, elections pass   ErrDiskLow, until space is free
//	a snapshot is flipped               CheckStart  Open: error                        -
//
// Whether an entry whose StoreLogs failed is on the disk is unknown; a restart finds out.
//
// Once armed (LogStore.Arm) the calls whose errors Raft panics over wait instead of failing.
//
// # Decisions
//
// The checksum of an entry rides in its Extensions, so that its data need not be copied. Every entry
// is verified when the log is opened, about 5 µs each, since Raft panics over one it cannot read.
// The bolt file is walked read-only before that, since bbolt looks for free pages in a goroutine
// whose panic nobody can recover. When a write fails bbolt walks the file in that way once more: a
// disk that then cannot read pages either may still end the process.
//
// raft.FileSnapshotStore is not used: its checksum leaves the metadata uncovered.
package storage
