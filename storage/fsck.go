package storage

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// CheckStart says whether log and snapshots together hold every entry that a start needs. It is
// called before raft.NewRaft, which panics over an entry that is missing and starts from nothing
// when every snapshot is damaged.
func CheckStart(l *LogStore, s *SnapshotStore) error {
	l.mu.Lock()
	tail := l.tail
	l.mu.Unlock()
	return checkStart(tail, s)
}

func checkStart(tail span, s *SnapshotStore) error {
	metas, err := s.List()
	if err != nil {
		return err
	}
	ids, err := snapshotIDs(s.dir)
	if err != nil {
		return err
	}
	var from uint64 // index of the newest intact snapshot
	var damaged error
	for _, meta := range metas {
		_, r, err := s.Open(meta.ID)
		if err == nil {
			r.Close()
			from = meta.Index
			break
		}
		damaged = errors.Join(damaged, err)
	}
	switch {
	case from == 0 && len(ids) > 0:
		return errors.Join(fmt.Errorf("none of the snapshots in %s is intact", s.dir), damaged)
	case tail.from > from+1:
		return errors.Join(fmt.Errorf("the raft entries %d to %d are neither in the log nor in an intact snapshot", from+1, tail.from-1), damaged)
	default:
		return nil
	}
}

// FsckOptions gives Fsck what it cannot know itself. A nil func leaves that part out.
type FsckOptions struct {
	Snapshot func(r io.Reader) error               // verifies the state in a snapshot
	Command  func(index uint64, data []byte) error // decodes the data of a command entry
}

// Report is what Fsck found. Problems is empty when the directory is sound.
type Report struct {
	NodeID, ClusterID string
	First, Last       uint64 // indexes in the log; 0: it is empty
	Entries           int    // in the log, all intact unless Problems says otherwise
	Commands          int    // entries that are commands
	Gaps              []Gap  // runs of missing indexes between First and Last
	Snapshots         []SnapshotReport
	Problems          []string
}

// Gap is a run of indexes that the log does not hold. It is sound when a snapshot covers it.
type Gap struct{ From, To uint64 }

// SnapshotReport describes one snapshot file.
type SnapshotReport struct {
	ID          string
	Index, Term uint64
	Size        int64  // of the state, bytes
	Problem     string // "": intact
}

func (r *Report) problem(err error) {
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
}

// Fsck verifies a data directory that no node uses: identity, every page and entry of the log, and
// every snapshot. It changes nothing. The error says that the check could not be made; what it
// found is in the Report.
func Fsck(dir string, o FsckOptions) (Report, error) {
	lock, err := lockDir(dir, os.O_RDONLY)
	if err != nil {
		return Report{}, err
	}
	defer lock.Close()

	var r Report
	n, err := loadNode(dir)
	r.problem(err)
	r.NodeID, r.ClusterID = n.NodeID, n.ClusterID

	path := filepath.Join(dir, raftDir, logFile)
	found, err := scan(path)
	if err == nil && len(found) > 0 {
		err = r.checkLog(path, found, o)
	}
	if err != nil {
		r.problem(fmt.Errorf("raft log: %w", err))
	}
	s := &SnapshotStore{dir: filepath.Join(dir, raftDir, snapshotsDir), retain: 1 << 30, logger: slog.New(slog.DiscardHandler)}
	if err := r.checkSnapshots(s, o); err != nil {
		return Report{}, err
	}
	if len(found) > 0 {
		r.problem(checkStart(found[len(found)-1], s))
	}
	return r, nil
}

// checkLog verifies the pages of the bolt file and the entries in the found spans.
func (r *Report) checkLog(path string, found []span, o FsckOptions) error {
	r.First, r.Last = found[0].from, found[len(found)-1].to
	for i := 1; i < len(found); i++ {
		r.Gaps = append(r.Gaps, Gap{From: found[i-1].to + 1, To: found[i].from - 1})
	}
	if err := guarded(func() error { return checkPages(path) }); err != nil {
		return err
	}
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{ReadOnly: true, Timeout: time.Second}})
	if err != nil {
		return err
	}
	defer bolt.Close()
	l := &LogStore{store: bolt}
	for _, s := range found {
		for i := s.from; i <= s.to; i++ {
			r.checkEntry(l, i, o)
		}
	}
	return nil
}

func (r *Report) checkEntry(l *LogStore, index uint64, o FsckOptions) {
	var log raft.Log
	if err := l.read(index, &log); err != nil {
		r.problem(err)
		return
	}
	r.Entries++
	if log.Type != raft.LogCommand {
		return
	}
	r.Commands++
	if o.Command != nil {
		if err := o.Command(index, log.Data); err != nil {
			r.problem(fmt.Errorf("raft log entry %d: %w", index, err))
		}
	}
}

func checkPages(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) (err error) {
		for problem := range tx.Check() {
			err = errors.Join(err, problem)
		}
		return err
	})
}

func (r *Report) checkSnapshots(s *SnapshotStore, o FsckOptions) error {
	ids, err := snapshotIDs(s.dir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		report := SnapshotReport{ID: id}
		meta, state, err := s.Open(id)
		if err == nil {
			report.Index, report.Term, report.Size = meta.Index, meta.Term, meta.Size
			if o.Snapshot != nil {
				if err = o.Snapshot(state); err != nil {
					err = fmt.Errorf("snapshot %s: %w", id, err)
				}
			}
			state.Close()
		}
		if err != nil {
			report.Problem = err.Error()
			r.problem(err)
		}
		r.Snapshots = append(r.Snapshots, report)
	}
	return nil
}
