package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// Store is what lies under the guards of a LogStore; tests wrap it to inject faults.
type Store interface {
	raft.LogStore
	raft.StableStore
}

// LogOptions configures OpenLog. The zero value is what a node runs with.
type LogOptions struct {
	// LowWater is the free space in bytes under which entries are refused; default 64 MiB.
	LowWater uint64
	// Free reports the free bytes of the file system that holds path; default statfs.
	Free func(path string) (uint64, error)
	// Ticks drives the hang watchdog; default a ticker of 100 ms.
	Ticks <-chan time.Time
	// HangTicks is the number of ticks a write may see before it counts as hung; default 30.
	HangTicks int
	// Wrap, when set, replaces the bolt store by a wrapper around it, beneath every guard.
	Wrap func(Store) Store
	// OnTrouble is told that writes hang, fail or are refused for want of space; OnRecovered that
	// they work again (never after a failure: that is latched). They are called in order, one at a
	// time, from a goroutine of their own, and may block.
	OnTrouble   func(error)
	OnRecovered func()
	Logger      *slog.Logger
}

// Errors of the log store; all are wrapped with what happened.
var (
	ErrDiskLow  = errors.New("too little free disk space")
	ErrDiskHung = errors.New("a disk write hangs")
	ErrFailed   = errors.New("the log store failed and is latched until restart")
)

// CorruptError says that a stored entry is not what was stored.
type CorruptError struct {
	Index  uint64 // Raft index of the entry
	Detail string
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("raft log entry %d is corrupt: %s", e.Index, e.Detail)
}

// LogStore is the Raft log and stable store of one node.
type LogStore struct{ Store }

// OpenLog opens or creates the store in dir (Dir.RaftDir).
func OpenLog(dir string, o LogOptions) (*LogStore, error) { return nil, ErrFailed }

// Arm is to be called once raft.NewRaft has returned. From then on a call whose error would make
// Raft panic, and so end and seal the process, parks its goroutine until Close instead.
func (l *LogStore) Arm() {}

// Trouble returns why the store does not take writes now, or nil.
func (l *LogStore) Trouble() error { return nil }

// Close closes the store.
func (l *LogStore) Close() error { return nil }
