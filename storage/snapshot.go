package storage

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot is one file, snapshots/TERM-INDEX-MILLISECONDS.snap:
//
//	magic "lockstep snap 1\n" 16 | len(meta) 4 | meta, JSON | CRC-32C of all before 4 |
//	state | len(state) 8 | SHA-256 of all before 32
//
// Integers are big endian. Unlike raft.FileSnapshotStore, whose checksum covers the state but not
// its metadata, every bit is covered: the CRC lets List trust the metadata without reading the
// state, and Open verifies the SHA-256 of the whole file before it gives out the first byte. The
// state machine's own codec verifies its sections and the state digest once more.
const (
	snapshotMagic   = "lockstep snap 1\n"
	snapshotsDir    = "snapshots"
	snapshotSuffix  = ".snap"
	maxSnapshotMeta = 1 << 20
	snapshotFooter  = 8 + sha256.Size
	spaceStep       = 4 << 20 // bytes written between two looks at the free space
)

// SnapshotStore keeps Raft snapshots as files. It implements raft.SnapshotStore.
type SnapshotStore struct {
	dir      string
	retain   int
	logger   *slog.Logger
	lowWater uint64
	free     func(path string) (uint64, error)
}

// OpenSnapshots opens or creates the snapshot store in dir (Dir.RaftDir), which keeps the retain
// newest snapshots. What an interrupted write left is removed.
func OpenSnapshots(dir string, retain int, logger *slog.Logger) (*SnapshotStore, error) {
	if retain < 1 {
		return nil, errors.New("at least one snapshot must be kept")
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &SnapshotStore{dir: filepath.Join(dir, snapshotsDir), retain: retain, logger: logger, lowWater: defaultLowWater, free: freeSpace}
	if err := makePrivate(s.dir); err != nil {
		return nil, err
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "*.tmp"))
	if err != nil {
		return nil, err
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Create implements raft.SnapshotStore. The sink gives up with ErrDiskLow rather than take the
// space that the log needs.
func (s *SnapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != 1 {
		return nil, fmt.Errorf("snapshot version %d is not supported", version)
	}
	meta := raft.SnapshotMeta{
		Version: version, Index: index, Term: term, Configuration: configuration, ConfigurationIndex: configurationIndex,
		ID: fmt.Sprintf("%d-%d-%d", term, index, time.Now().UnixMilli()),
	}
	head, err := encodeSnapshotHead(&meta)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path(meta.ID)+".tmp", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	sink := &snapshotSink{store: s, id: meta.ID, file: f, sum: sha256.New()}
	sink.out = bufio.NewWriterSize(io.MultiWriter(f, sink.sum), 64<<10)
	if _, err := sink.out.Write(head); err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
}

// List implements raft.SnapshotStore: at most retain snapshots whose metadata is intact, newest
// first. A file whose metadata is damaged is reported to the log and left alone.
func (s *SnapshotStore) List() ([]*raft.SnapshotMeta, error) {
	metas, err := s.list()
	if err != nil {
		return nil, err
	}
	return metas[:min(len(metas), s.retain)], nil
}

func (s *SnapshotStore) list() ([]*raft.SnapshotMeta, error) {
	ids, err := snapshotIDs(s.dir)
	if err != nil {
		return nil, err
	}
	var metas []*raft.SnapshotMeta
	for _, id := range ids {
		meta, f, err := s.open(id)
		if err != nil {
			s.logger.Error("a snapshot cannot be used", "snapshot", id, "error", err)
			continue
		}
		f.Close()
		metas = append(metas, meta)
	}
	slices.SortFunc(metas, func(a, b *raft.SnapshotMeta) int {
		return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(b.Index, a.Index), cmp.Compare(b.ID, a.ID))
	})
	return metas, nil
}

func snapshotIDs(dir string) (ids []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), snapshotSuffix); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Open implements raft.SnapshotStore. The reader yields the state of a file that was verified whole.
func (s *SnapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, f, err := s.open(id)
	if err != nil {
		return nil, nil, err
	}
	state, err := verifySnapshot(f, meta.Size)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("snapshot %s: %w", id, err)
	}
	return meta, struct {
		io.Reader
		io.Closer
	}{bufio.NewReaderSize(state, 64<<10), f}, nil
}

// open opens a snapshot file and verifies its metadata.
func (s *SnapshotStore) open(id string) (*raft.SnapshotMeta, *os.File, error) {
	if id != filepath.Base(id) {
		return nil, nil, fmt.Errorf("snapshot %q: %w", id, fs.ErrNotExist)
	}
	f, err := os.Open(s.path(id))
	if err != nil {
		return nil, nil, err
	}
	var meta *raft.SnapshotMeta
	info, err := f.Stat()
	if err == nil {
		meta, err = readSnapshotHead(f, info.Size())
	}
	if err == nil && meta.ID != id {
		err = errDamagedSnapshot("its name is not its own")
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("snapshot %s: %w", id, err)
	}
	return meta, f, nil
}

func (s *SnapshotStore) path(id string) string { return filepath.Join(s.dir, id+snapshotSuffix) }

// reap removes what is older than the retain newest snapshots.
func (s *SnapshotStore) reap() error {
	metas, err := s.list()
	if err != nil {
		return err
	}
	for _, meta := range metas[min(len(metas), s.retain):] {
		if err := os.Remove(s.path(meta.ID)); err != nil {
			return err
		}
	}
	return nil
}

// snapshotSink writes one snapshot. It is used by one goroutine.
type snapshotSink struct {
	store   *SnapshotStore
	id      string
	file    *os.File
	sum     hash.Hash
	out     *bufio.Writer // to file and sum
	size    uint64        // of the state
	checked uint64        // size at the last look at the free space
	closed  bool
}

// ID implements raft.SnapshotSink.
func (k *snapshotSink) ID() string { return k.id }

// Write implements io.Writer.
func (k *snapshotSink) Write(b []byte) (int, error) {
	if k.checked == 0 || k.size-k.checked >= spaceStep {
		free, err := k.store.free(k.file.Name())
		if err == nil && free < k.store.lowWater+spaceStep {
			return 0, fmt.Errorf("%w for a snapshot: %d bytes", ErrDiskLow, free)
		}
		k.checked = max(k.size, 1)
	}
	n, err := k.out.Write(b)
	k.size += uint64(n)
	return n, err
}

// Close makes the snapshot durable and visible, or leaves nothing of it.
func (k *snapshotSink) Close() error {
	if k.closed {
		return nil
	}
	if err := k.finish(); err != nil {
		return errors.Join(fmt.Errorf("snapshot %s: %w", k.id, err), k.Cancel())
	}
	k.closed = true
	if err := k.store.reap(); err != nil {
		k.store.logger.Warn("an old snapshot cannot be removed", "error", err)
	}
	return nil
}

func (k *snapshotSink) finish() error {
	if err := binary.Write(k.out, binary.BigEndian, k.size); err != nil {
		return err
	}
	if err := k.out.Flush(); err != nil {
		return err
	}
	if _, err := k.file.Write(k.sum.Sum(nil)); err != nil {
		return err
	}
	if err := k.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(k.file.Name(), k.store.path(k.id)); err != nil {
		return err
	}
	return errors.Join(syncDir(k.store.dir), k.file.Close())
}

// Cancel leaves nothing of the snapshot.
func (k *snapshotSink) Cancel() error {
	if k.closed {
		return nil
	}
	k.closed = true
	k.file.Close()
	if err := os.Remove(k.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

type errDamagedSnapshot string

// Error implements error.
func (e errDamagedSnapshot) Error() string { return "the file is damaged: " + string(e) }

func encodeSnapshotHead(meta *raft.SnapshotMeta) ([]byte, error) {
	body, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	if len(body) > maxSnapshotMeta {
		return nil, errors.New("snapshot metadata is too large")
	}
	head := binary.BigEndian.AppendUint32([]byte(snapshotMagic), uint32(len(body)))
	head = append(head, body...)
	return binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli)), nil
}

// readSnapshotHead reads and verifies what stands before the state in a file of that size, and
// fills in the size of the state.
func readSnapshotHead(r io.Reader, fileSize int64) (*raft.SnapshotMeta, error) {
	start := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(r, start); err != nil || string(start[:len(snapshotMagic)]) != snapshotMagic {
		return nil, errDamagedSnapshot("its beginning")
	}
	n := binary.BigEndian.Uint32(start[len(snapshotMagic):])
	if n > maxSnapshotMeta {
		return nil, errDamagedSnapshot("its metadata")
	}
	body := make([]byte, n+4)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, errDamagedSnapshot("its metadata")
	}
	sum := crc32.Update(crc32.Checksum(start, castagnoli), castagnoli, body[:n])
	if sum != binary.BigEndian.Uint32(body[n:]) {
		return nil, errDamagedSnapshot("its metadata")
	}
	meta := new(raft.SnapshotMeta)
	if err := json.Unmarshal(body[:n], meta); err != nil || meta.Version != 1 {
		return nil, errDamagedSnapshot("its metadata")
	}
	if meta.Size = fileSize - int64(len(start)+len(body)+snapshotFooter); meta.Size < 0 {
		return nil, errDamagedSnapshot("it is cut short")
	}
	return meta, nil
}

// verifySnapshot reads the whole file, whose state has that size, and returns a reader of the state.
func verifySnapshot(r io.ReaderAt, stateSize int64) (io.Reader, error) {
	const fixed = int64(len(snapshotMagic) + 4)
	var n [4]byte
	if _, err := r.ReadAt(n[:], fixed-4); err != nil {
		return nil, err
	}
	start := fixed + int64(binary.BigEndian.Uint32(n[:])) + 4
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, start+stateSize+8)); err != nil {
		return nil, err
	}
	footer := make([]byte, snapshotFooter)
	if _, err := r.ReadAt(footer, start+stateSize); err != nil && err != io.EOF {
		return nil, err
	}
	if binary.BigEndian.Uint64(footer) != uint64(stateSize) || !bytes.Equal(footer[8:], sum.Sum(nil)) {
		return nil, errDamagedSnapshot("its SHA-256 does not fit")
	}
	return io.NewSectionReader(r, start, stateSize), nil
}
