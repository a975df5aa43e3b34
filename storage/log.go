package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	logFile = "raft.db"

	defaultLowWater  = 64 << 20               // bytes free
	defaultTick      = 100 * time.Millisecond // of the watchdog
	defaultHangTicks = 30                     // 3 s
	probeTicks       = 10                     // free space is looked at every second
	deleteChunk      = 4096                   // entries deleted in one bolt transaction
)

// Store is what lies under the guards of a LogStore; tests wrap it to inject faults.
type Store interface {
	raft.LogStore
	raft.StableStore
}

// LogOptions configures OpenLog. The zero value is what a node runs with, callbacks aside.
type LogOptions struct {
	// LowWater is the free space in bytes under which commands are refused; default 64 MiB. They
	// are taken again when a quarter more than that is free.
	LowWater uint64
	// Free reports the free bytes of the file system that holds path; default statfs(2).
	Free func(path string) (uint64, error)
	// Ticks drives the hang watchdog; default a ticker of 100 ms. A process that was paused gets
	// one tick for the whole pause, so a pause is no hang.
	Ticks <-chan time.Time
	// HangTicks is the number of ticks a write may see before it counts as hung; default 30.
	HangTicks int
	// Wrap, when set, replaces the bolt store by a wrapper around it, beneath every guard.
	Wrap func(Store) Store
	// OnTrouble is told that a write hangs (ErrDiskHung), that one failed or corruption was met
	// (ErrFailed, the latter with a *CorruptError in it), or that commands are refused for want of
	// space (ErrDiskLow); again when one trouble gives way to another. OnRecovered is told that
	// there is none any more, which never follows ErrFailed. Both are called in order, one at a
	// time, from a goroutine of their own, and may block.
	OnTrouble   func(error)
	OnRecovered func()
	// OnAppend is told how long it took to store a batch of so many entries durably. It does not block.
	OnAppend func(took time.Duration, entries int)
	Logger   *slog.Logger // default: discard

	noSync bool // for tests that restart many stores: nothing is durable
}

// Errors of the log store; each is wrapped together with what happened.
var (
	ErrDiskLow  = errors.New("too little free disk space")
	ErrDiskHung = errors.New("a disk write hangs")
	ErrFailed   = errors.New("the log store has failed and takes no writes until the node is restarted")
	ErrClosed   = errors.New("the log store is closed")
)

// CorruptError says that what was read is not what was stored.
type CorruptError struct {
	Index  uint64 // Raft index of the entry; 0: not an entry
	Detail string
}

// Error implements error.
func (e *CorruptError) Error() string {
	if e.Index == 0 {
		return "the raft log is corrupt: " + e.Detail
	}
	return fmt.Sprintf("raft log entry %d is corrupt: %s", e.Index, e.Detail)
}

// LogStore is the Raft log and stable store of one node: raft-boltdb behind the guards that
// the package documentation lists. It implements raft.LogStore and raft.StableStore, and is not a
// raft.MonotonicLogStore: a gap between an installed snapshot and older entries is allowed.
type LogStore struct {
	store   Store        // the bolt store, or Options.Wrap of it
	close   func() error // of the bolt store
	stats   func() bbolt.Stats
	path    string     // of the bolt file
	options LogOptions // with defaults filled in

	armed    atomic.Bool
	released chan struct{} // closed by Release
	wake     chan struct{} // buffered 1: the trouble may have changed
	done     chan struct{} // closed by Close

	writing sync.Mutex // held by the one write that is under way; taken before mu

	mu         sync.Mutex
	inflight   []*write // guarded by mu: writes under way or waiting for writing
	failed     error    // guarded by mu: the first failure or corruption, for ever
	low        error    // guarded by mu: set while commands are refused for want of space
	hung       error    // guarded by mu: set while a write hangs
	probing    bool     // guarded by mu: a look at the free space is under way
	ticks      int      // guarded by mu
	tail       span     // guarded by mu
	truncated  bool     // guarded by mu: the end of the log was cut off to be written anew
	closed     bool     // guarded by mu
	isReleased bool     // guarded by mu
}

// OpenLog opens or creates the store in dir (Dir.RaftDir) and verifies every entry in it, so that
// a damaged log is named here rather than met by Raft.
func OpenLog(dir string, o LogOptions) (*LogStore, error) {
	setDefaults(&o)
	if err := makePrivate(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, logFile)
	found, err := scan(path)
	if err != nil {
		return nil, fmt.Errorf("raft log %s: %w", path, err)
	}
	var bolt *raftboltdb.BoltStore
	err = guarded(func() (err error) {
		bolt, err = raftboltdb.New(raftboltdb.Options{Path: path, NoSync: o.noSync, BoltOptions: &bbolt.Options{
			NoGrowSync:     o.noSync,
			Timeout:        time.Second,
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
		}})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("raft log %s: %w", path, err)
	}
	l := &LogStore{
		store: bolt, close: bolt.Close, stats: bolt.Stats, path: path, options: o,
		released: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if o.Wrap != nil {
		l.store = o.Wrap(bolt)
	}
	if err := l.verify(found); err != nil {
		bolt.Close()
		return nil, fmt.Errorf("raft log %s: %w", path, err)
	}
	if n := len(found); n > 0 {
		l.tail = found[n-1]
	}
	go l.watch()
	go l.notify()
	return l, nil
}

func setDefaults(o *LogOptions) {
	if o.LowWater == 0 {
		o.LowWater = defaultLowWater
	}
	if o.Free == nil {
		o.Free = freeSpace
	}
	if o.HangTicks == 0 {
		o.HangTicks = defaultHangTicks
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func freeSpace(path string) (uint64, error) {
	free, _, err := Space(path)
	return free, err
}

// Space returns how many bytes of the file system that holds path are free for this process, and how many it has.
func Space(path string) (free, size uint64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", path, err)
	}
	return fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize), nil
}

// LogSize returns the bytes of the Raft log's file in a data directory. It asks the file system, which may hang.
func LogSize(dir string) (int64, error) {
	info, err := os.Stat(filepath.Join(dir, raftDir, logFile))
	if err != nil {
		return 0, fmt.Errorf("raft log: %w", err)
	}
	return info.Size(), nil
}

// LogStats is what bolt says of the log's file.
type LogStats = bbolt.Stats

// Stats returns what bolt says of the log's file, from memory.
func (l *LogStore) Stats() LogStats { return l.stats() }

// verify reads every entry of the found spans.
func (l *LogStore) verify(found []span) error {
	for _, s := range found {
		for i := s.from; i <= s.to; i++ {
			var log raft.Log
			if err := l.read(i, &log); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads and verifies one entry: raft.ErrLogNotFound, a *CorruptError, or nil.
func (l *LogStore) read(index uint64, log *raft.Log) error {
	err := guarded(func() error { return l.store.GetLog(index, log) })
	if err == nil {
		return openEntry(index, log)
	}
	if errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	return &CorruptError{Index: index, Detail: err.Error()}
}

// FirstIndex implements raft.LogStore.
func (l *LogStore) FirstIndex() (uint64, error) { return l.bound(l.store.FirstIndex) }

// LastIndex implements raft.LogStore.
func (l *LogStore) LastIndex() (uint64, error) { return l.bound(l.store.LastIndex) }

func (l *LogStore) bound(get func() (uint64, error)) (index uint64, err error) {
	err = guarded(func() (err error) {
		index, err = get()
		return err
	})
	return index, l.readFailed(err)
}

// GetLog implements raft.LogStore. An entry that is not what was stored, or that has vanished from
// the middle of the log, is a *CorruptError and the end of all writes.
func (l *LogStore) GetLog(index uint64, log *raft.Log) error {
	err := l.Peek(index, log)
	if errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	return l.park(err)
}

// Peek is GetLog for goroutines that are not Raft's: after Arm, too, it returns its error.
func (l *LogStore) Peek(index uint64, log *raft.Log) error {
	err := l.read(index, log)
	if errors.Is(err, raft.ErrLogNotFound) {
		err = l.confirmMissing(index, log, err)
		if errors.Is(err, raft.ErrLogNotFound) {
			return err
		}
	}
	return l.readFailed(err)
}

// confirmMissing tells an entry that is rightly absent from one that must be there. A write may be
// between the two, so what looks wrong is looked at again while no write is under way.
func (l *LogStore) confirmMissing(index uint64, log *raft.Log, notFound error) error {
	if !l.expects(index) {
		return notFound
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.read(index, log)
	if errors.Is(err, raft.ErrLogNotFound) && l.expects(index) {
		return &CorruptError{Index: index, Detail: "it is missing"}
	}
	return err
}

func (l *LogStore) expects(index uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tail.contains(index)
}

// StoreLog implements raft.LogStore.
func (l *LogStore) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore: it returns nil when all logs are durable. While the disk is
// low it refuses, before anything is written, a batch that holds a command; what elections write
// still passes, so that leases outlive the shortage.
func (l *LogStore) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	sealed := sealEntries(logs)
	return l.write("storing entries", func() error {
		if err := l.checkSpace(logs); err != nil {
			return err
		}
		begun := time.Now()
		if err := l.store.StoreLogs(sealed); err != nil {
			return err
		}
		if l.options.OnAppend != nil {
			l.options.OnAppend(time.Since(begun), len(logs))
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, log := range logs {
			l.tail.stored(log.Index)
		}
		l.truncated = false
		return nil
	})
}

// DeleteRange implements raft.LogStore. It deletes in chunks, so that appends pass in between; from
// the end that leaves the rest without a gap should the process die on the way.
func (l *LogStore) DeleteRange(from, to uint64) error {
	first, err := l.FirstIndex()
	if err != nil {
		return err
	}
	last, err := l.LastIndex()
	if err != nil {
		return err
	}
	from, to = max(from, first), min(to, last)
	suffix := to == last && from > first
	for err == nil && from <= to && to != 0 {
		lo, hi := from, to
		if suffix {
			lo = max(from, to-min(to, deleteChunk-1))
			to = lo - 1
		} else {
			hi = min(to, from+deleteChunk-1)
			from = hi + 1
		}
		err = l.write("deleting entries", func() error { return l.deleteChunk(lo, hi, suffix) })
	}
	return err
}

func (l *LogStore) deleteChunk(from, to uint64, suffix bool) error {
	l.mu.Lock()
	l.tail.deleted(from, to)
	l.truncated = l.truncated || suffix
	l.mu.Unlock()
	return l.store.DeleteRange(from, to)
}

// Set implements raft.StableStore.
func (l *LogStore) Set(key, value []byte) error {
	return l.park(l.write("storing "+string(key), func() error {
		return l.store.Set(key, sealValue(key, value))
	}))
}

// Get implements raft.StableStore; the error for a key that was never set reads "not found".
func (l *LogStore) Get(key []byte) (value []byte, err error) {
	err = guarded(func() (err error) {
		value, err = l.store.Get(key)
		return err
	})
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return nil, err
	}
	if err == nil {
		value, err = openValue(key, value)
	}
	return value, l.readFailed(err)
}

// SetUint64 implements raft.StableStore.
func (l *LogStore) SetUint64(key []byte, value uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (l *LogStore) GetUint64(key []byte) (uint64, error) {
	value, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, &CorruptError{Detail: "the stable value " + string(key) + " is no number"}
	}
	return binary.BigEndian.Uint64(value), nil
}
