package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/lockstep-kms/lockstep/fsm"
	"github.com/lockstep-kms/lockstep/storage"
)

const (
	entriesPerAppend = 64               // of up to 256 KiB each
	cachedEntries    = 256              // of the log, kept in memory for the followers
	rpcTimeout       = 10 * time.Second // of Raft's own calls, also of a snapshot's chunk
	connectionPool   = 3
	keptSnapshots    = 2
)

// startRaft opens log and snapshots and starts Raft on them.
func (r *Replica) startRaft() (err error) {
	opts := r.cfg.Log
	opts.OnTrouble, opts.OnRecovered = r.onTrouble, r.onRecovered
	if opts.Logger == nil {
		opts.Logger = r.log
	}
	dir := r.id.cfg.Dir.RaftDir()
	if r.store, err = storage.OpenLog(dir, opts); err != nil {
		return err
	}
	snapshots, err := storage.OpenSnapshots(dir, keptSnapshots, r.log)
	if err == nil {
		err = storage.CheckStart(r.store, snapshots)
	}
	var cache *raft.LogCache
	if err == nil {
		cache, err = raft.NewLogCache(cachedEntries, unparked{r.store})
	}
	if err != nil {
		return errors.Join(err, r.store.Close())
	}
	r.entries = cache
	logger := newRaftLogger(r.cfg.RaftLogger)
	r.wire = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: r.transport.RaftLayer(), MaxPool: connectionPool, Timeout: rpcTimeout, Logger: logger,
	})
	r.raft, err = raft.NewRaft(r.raftConfig(logger), sealedOff{r.fsm, r, snapshots}, parking{cache, r.store}, r.store, snapshots, wire{r.wire})
	if err != nil {
		return errors.Join(fmt.Errorf("starting raft: %w", err), r.wire.Close(), r.store.Close())
	}
	r.raft.RegisterObserver(raft.NewObserver(nil, false, r.countLeaders))
	r.store.Arm()
	return nil
}

func (r *Replica) raftConfig(logger hclog.Logger) *raft.Config {
	c, t := raft.DefaultConfig(), r.timing
	c.LocalID = raft.ServerID(r.nodeID)
	c.HeartbeatTimeout, c.ElectionTimeout = t.HeartbeatTimeout, t.ElectionTimeout
	c.LeaderLeaseTimeout, c.CommitTimeout = t.LeaderLease, t.CommitTimeout
	c.MaxAppendEntries = entriesPerAppend
	c.TrailingLogs, c.SnapshotThreshold, c.SnapshotInterval = t.TrailingLogs, t.SnapshotThreshold, t.SnapshotInterval
	c.ShutdownOnRemove = false // a removed node says so; it does not vanish
	c.NoLegacyTelemetry = true
	c.Logger = logger
	return c
}

const stopLimit = 10 * time.Second // for Raft's goroutines to end

var errNotStopped = errors.New("raft did not stop in time")

// stopRaft stops Raft, then closes what it stood on. Parked goroutines end with Release. One that
// hangs in a write does not end: it is left once the store says so, and after stopLimit in any case.
func (r *Replica) stopRaft() error {
	stopping := r.raft.Shutdown()
	err := r.wire.Close()
	r.transport.CutRaft(true) // Raft waits for calls under way, and nobody has to answer them any more
	r.store.Release()
	stopped := make(chan error, 1)
	go func() { stopped <- stopping.Error() }()
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	ticker := time.NewTicker(leaderRetry)
	defer ticker.Stop()
	for {
		select {
		case e := <-stopped:
			return errors.Join(err, e, r.store.Close())
		case <-limit.C:
			return errors.Join(err, errNotStopped, r.store.Close())
		case <-ticker.C:
			if errors.Is(r.store.Trouble(), storage.ErrDiskHung) {
				return errors.Join(err, r.store.Close())
			}
		}
	}
}

// unparked is the log as this package reads it: GetLog after storage.LogStore.Arm is not for it.
type unparked struct{ *storage.LogStore }

// GetLog implements raft.LogStore.
func (s unparked) GetLog(index uint64, log *raft.Log) error { return s.Peek(index, log) }

// parking is the log as Raft reads it: the cache over unparked, and GetLog for what cannot be read.
type parking struct {
	*raft.LogCache
	store *storage.LogStore
}

// GetLog implements raft.LogStore.
func (s parking) GetLog(index uint64, log *raft.Log) error {
	err := s.LogCache.GetLog(index, log)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	return s.store.GetLog(index, log)
}

// sealedOff is the state machine as Raft sees it: a quarantined one makes no snapshots, which would
// outlive the quarantine. It notes where configurations were committed.
type sealedOff struct {
	*fsm.FSM
	r         *Replica
	snapshots raft.SnapshotStore
}

// Restore implements raft.FSM.
func (s sealedOff) Restore(from io.ReadCloser) error {
	if err := s.FSM.Restore(from); err != nil {
		return err
	}
	if kept, err := s.snapshots.List(); err == nil && len(kept) > 0 { // the newest first
		s.r.formed.Store(max(s.r.formed.Load(), kept[0].ConfigurationIndex))
	}
	return nil
}

// Snapshot implements raft.FSM.
func (s sealedOff) Snapshot() (raft.FSMSnapshot, error) {
	if why := s.r.quarantined(); why != "" {
		return nil, errorf(KindQuarantined, "no snapshot is made of a state that differs from the majority's: %s", why)
	}
	return s.FSM.Snapshot()
}

// ApplyBatch implements raft.BatchingFSM.
func (s sealedOff) ApplyBatch(logs []*raft.Log) []any {
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			s.r.formed.Store(l.Index)
		}
	}
	if hook := s.r.cfg.ApplyHook; hook != nil {
		for i, l := range logs {
			changed := *l
			hook(&changed)
			logs[i] = &changed
		}
	}
	return s.FSM.ApplyBatch(logs)
}

// newRaftLogger gives Raft's lines to log at their levels. Of warnings and errors each text comes once in ten seconds for each peer,
// since Raft repeats them as long as one is away; the others of it are Debug.
func newRaftLogger(log *slog.Logger) hclog.Logger {
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: io.Discard})
	logger.RegisterSink(&raftSink{log: log})
	return logger
}

type raftSink struct {
	log  *slog.Logger
	last sync.Map // time.Time of the last line, by raftLine
}

// raftLine is what is said once in a while: Raft has a fixed set of texts, and its peers are members.
type raftLine struct{ text, peer string }

const raftLogGap = 10 * time.Second

// raftPeer returns the member that a line of Raft's is about, "" when it names none.
func raftPeer(args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "server-id", "target":
			return fmt.Sprint(args[i+1])
		}
	}
	return ""
}

// Accept implements hclog.SinkAdapter.
func (s *raftSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := raftLevel(level)
	if to >= slog.LevelWarn {
		now, line := time.Now(), raftLine{msg, raftPeer(args)}
		if last, said := s.last.Load(line); said && now.Sub(last.(time.Time)) < raftLogGap {
			to = slog.LevelDebug
		} else {
			s.last.Store(line, now)
		}
	}
	if !s.log.Enabled(context.Background(), to) {
		return
	}
	for i, arg := range args {
		if f, ok := arg.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	s.log.Log(context.Background(), to, msg, args...)
}

func raftLevel(level hclog.Level) slog.Level {
	switch {
	case level >= hclog.Error:
		return slog.LevelError
	case level == hclog.Warn:
		return slog.LevelWarn
	case level == hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// onTrouble is called by the log store. When its writes hang or have failed the node drops out of
// Raft, so that the others elect a leader; when only space is short, it stays in and refuses proposals.
func (r *Replica) onTrouble(err error) {
	r.trouble.Store(&err)
	r.transport.CutRaft(!errors.Is(err, storage.ErrDiskLow))
	r.log.Error("the log cannot be written; this node refuses proposals", "error", err)
	r.tell(Event{Name: EventDiskTrouble, Reason: err.Error()})
}

func (r *Replica) onRecovered() {
	r.trouble.Store(nil)
	r.transport.CutRaft(false)
	r.log.Info("the log can be written again")
	r.tell(Event{Name: EventDiskWell})
}

// diskTrouble says why the log cannot be written, or "".
func (r *Replica) diskTrouble() string {
	if err := r.trouble.Load(); err != nil {
		return (*err).Error()
	}
	return ""
}

// servers returns the latest configuration known here.
func (r *Replica) servers() []raft.Server { return r.raft.GetConfiguration().Configuration().Servers }

// voters returns the ids and names of the voters.
func (r *Replica) voters() (all []raft.Server) {
	for _, s := range r.servers() {
		if s.Suffrage == raft.Voter {
			all = append(all, s)
		}
	}
	return all
}

// leaderName is the name of the node that leads as far as known here, or "".
func (r *Replica) leaderName() string {
	name, _ := r.raft.LeaderWithID()
	return string(name)
}

// commandIndex is the index of the last committed command. Raft's commit index counts entries that
// are no commands too; a view waits for commands only.
func (r *Replica) commandIndex() (uint64, error) {
	commit := r.raft.CommitIndex()
	for index := commit; ; index-- {
		if applied := r.fsm.View().Index(); index <= applied {
			return applied, nil
		}
		var entry raft.Log
		switch err := r.entries.GetLog(index, &entry); {
		case errors.Is(err, raft.ErrLogNotFound):
			return r.fsm.View().Index(), nil // compacted, and so applied
		case err != nil:
			return 0, errorf(KindDisk, "the log cannot be read: %v", err)
		case entry.Type == raft.LogCommand:
			return index, nil
		}
	}
}
