package server

import (
	"io"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/storage"
)

// FsckReport is what Fsck found.
type FsckReport = storage.Report

// Fsck checks the data directory of a stopped node: the checksum of every log entry, that every
// command is one this release knows, and every snapshot down to its digest. It changes nothing.
func Fsck(dir string) (FsckReport, error) {
	return storage.Fsck(dir, storage.FsckOptions{
		Snapshot: func(r io.Reader) error { _, err := fsm.VerifySnapshot(r); return err },
		Command:  func(_ uint64, data []byte) error { _, err := fsm.DecodeCommand(data); return err },
	})
}
