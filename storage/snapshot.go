package storage

import (
	"io"
	"log/slog"

	"github.com/hashicorp/raft"
)

// SnapshotStore keeps Raft snapshots as files.
type SnapshotStore struct{ raft.SnapshotStore }

// OpenSnapshots opens or creates the snapshot store in dir (Dir.RaftDir), keeping the retain newest.
func OpenSnapshots(dir string, retain int, logger *slog.Logger) (*SnapshotStore, error) {
	return nil, ErrFailed
}

// CheckStart says, before raft.NewRaft would panic over it, whether log and snapshots together hold
// every entry a start needs.
func CheckStart(l *LogStore, s *SnapshotStore) error { return nil }

// FsckOptions gives Fsck what it cannot know itself.
type FsckOptions struct {
	Snapshot func(r io.Reader) error                 // verifies the state in a snapshot; nil: only the file is verified
	Command  func(index uint64, data []byte) error // decodes a command; nil: only its checksum is verified
}
