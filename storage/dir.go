package storage

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// The layout of a data directory (mode 0700, files 0600):
//
//	lock        flock(2) held by the one process that uses the directory; its text names the holder
//	node.json   identity, see node
//	raft/       raft.db (OpenLog) and snapshots/ (OpenSnapshots)
//
// Other packages keep further files beside these.
const (
	lockFile = "lock"
	nodeFile = "node.json"
	raftDir  = "raft"

	maxNodeFile = 4 << 10 // bytes
)

// ErrLocked is wrapped by Open when another process holds the data directory.
var ErrLocked = errors.New("the data directory is in use")

// node is the content of node.json. It is replaced as a whole, atomically and durably.
type node struct {
	Format    int    `json:"format"`               // 1
	NodeID    string `json:"node_id"`              // 32 hex digits, random, made once
	ClusterID string `json:"cluster_id,omitempty"` // hex, once known
}

// Dir is an open, locked data directory. It is safe for concurrent use.
type Dir struct {
	path string   // immutable after Open
	lock *os.File // immutable after Open

	mu   sync.Mutex
	node node // guarded by mu
}

// Open opens the data directory dir and locks it against every other process. A directory that
// does not exist is created, mode 0700; one that others may enter is closed to them. A fresh
// directory gets a random node id, which names this incarnation of the node for ever.
func Open(dir string) (*Dir, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	lock, err := lockDir(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, lock: lock}
	if d.node, err = loadNode(path); errors.Is(err, fs.ErrNotExist) {
		err = d.createNode()
	}
	if err == nil {
		err = makePrivate(d.RaftDir())
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

// Path returns the absolute path of the directory.
func (d *Dir) Path() string { return d.path }

// RaftDir returns the directory for OpenLog and OpenSnapshots.
func (d *Dir) RaftDir() string { return filepath.Join(d.path, raftDir) }

// NodeID returns the random incarnation of this node, 32 hex digits.
func (d *Dir) NodeID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.node.NodeID
}

// ClusterID returns the cluster id in lower-case hex, or "" before SetClusterID.
func (d *Dir) ClusterID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.node.ClusterID
}

// SetClusterID durably binds the directory to the cluster with that id (hex, at most 64 digits).
// Binding it again to the same id does nothing; another id is refused.
func (d *Dir) SetClusterID(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id == "" || !validHex(id) {
		return fmt.Errorf("cluster id %q is not hex", id)
	}
	switch d.node.ClusterID {
	case id:
		return nil
	case "":
		next := d.node
		next.ClusterID = id
		if err := saveNode(d.path, next); err != nil {
			return err
		}
		d.node = next
		return nil
	default:
		return fmt.Errorf("data directory %s belongs to cluster %s, not %s", d.path, d.node.ClusterID, id)
	}
}

// Close releases the lock. The stores in the directory are closed before.
func (d *Dir) Close() error {
	// A process that is just being started from this one has a copy of every descriptor until it becomes another
	// program, and would keep the lock for as long.
	unlocked := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_UN)
	return errors.Join(unlocked, d.lock.Close())
}

// createNode gives a fresh directory its identity. A directory with Raft state but no identity
// has lost it: a new one would let an old log speak for a node that never voted for it.
func (d *Dir) createNode() error {
	if _, err := os.Stat(d.RaftDir()); err == nil {
		return fmt.Errorf("data directory %s holds Raft state but no %s: restore that file, or empty the directory and let the node join again", d.path, nodeFile)
	}
	var id [16]byte
	rand.Read(id[:])
	n := node{Format: 1, NodeID: hex.EncodeToString(id[:])}
	if err := saveNode(d.path, n); err != nil {
		return err
	}
	d.node = n
	return nil
}

// makePrivate creates path with mode 0700, durably, or takes the rights of group and others away.
func makePrivate(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(path, 0o700); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		return syncDir(filepath.Dir(path))
	case err != nil:
		return fmt.Errorf("data directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("data directory %s is not a directory", path)
	case info.Mode().Perm()&0o077 == 0:
		return nil
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return fmt.Errorf("data directory %s can be entered by others and its mode cannot be changed to 0700 (name a subdirectory, which will be created): %w", path, err)
	}
	return nil
}

// lockDir takes the lock of the data directory at path without waiting. flag is for os.OpenFile.
func lockDir(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockFile), flag, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory lock %s: %w", f.Name(), err)
		}
		var holder [64]byte
		n, _ := io.ReadFull(f, holder[:])
		return nil, fmt.Errorf("%w: %s is held by %s", ErrLocked, path, strings.TrimSpace(string(holder[:n])))
	}
	if flag&os.O_RDWR != 0 {
		text := fmt.Appendf(nil, "process %d\n", os.Getpid())
		if err := errors.Join(f.Truncate(0), writeAt(f, text)); err != nil {
			f.Close()
			return nil, fmt.Errorf("data directory lock: %w", err)
		}
	}
	return f, nil
}

func writeAt(f *os.File, b []byte) error {
	_, err := f.WriteAt(b, 0)
	return err
}

func loadNode(dir string) (node, error) {
	f, err := os.Open(filepath.Join(dir, nodeFile))
	if err != nil {
		return node{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxNodeFile+1))
	if err != nil {
		return node{}, err
	}
	n, err := parseNode(b)
	if err != nil {
		return node{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return n, nil
}

func parseNode(b []byte) (node, error) {
	var n node
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if len(b) > maxNodeFile {
		return node{}, errors.New("too large")
	}
	if err := dec.Decode(&n); err != nil {
		return node{}, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return node{}, errors.New("trailing data")
	}
	if n.Format != 1 {
		return node{}, fmt.Errorf("format %d is not known", n.Format)
	}
	if len(n.NodeID) != 32 || !validHex(n.NodeID) || !validHex(n.ClusterID) {
		return node{}, errors.New("a damaged node or cluster id")
	}
	return n, nil
}

func validHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) <= 64 && s == strings.ToLower(s)
}

// saveNode replaces node.json so that after a crash the old or the new one is there, whole.
func saveNode(dir string, n node) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, nodeFile)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(writeAt(f, append(b, '\n')), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// syncDir makes renames and new names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
